"""Writes one HTML file that shows runs, and opens it in the browser.

RUN is a run's folder, its id or the beginning of one, `last`, or s3://bucket/prefix/RUN. The file needs no
server and no network. Several runs are compared with the first.

  agentcore-rl view last
  agentcore-rl view before after --out comparison.html
"""

from __future__ import annotations

from agentcore_rl.cli.arguments import at_least_one

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from agentcore_rl.read import Run
    from agentcore_rl.report import Report, Vocabulary

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `view` takes."""
    parser.add_argument(
        "runs", metavar="RUN", nargs="+", help="a run's folder, its id, the beginning of one, or last"
    )
    parser.add_argument("--out", metavar="FILE", help="the HTML file (default: report-RUN.html here)")
    parser.add_argument(
        "--failed",
        action="store_true",
        help="list only rollouts that failed or are suspect; figures are of all",
    )
    parser.add_argument(
        "--limit", type=at_least_one, metavar="N", help="list at most so many rollouts; figures are of all"
    )
    parser.add_argument(
        "--tokenizer",
        metavar="FILE",
        help="the model's tokenizer.json or GGUF file: shows texts of tokens, not ids alone "
        "(default: the local model's, for runs of it)",
    )
    parser.add_argument("--no-open", action="store_true", help="do not open a browser")
    parser.add_argument(
        "--runs-in", metavar="DIR", default="rollouts", help="directory of run folders (default: rollouts)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def main(args: argparse.Namespace) -> int:
    """Write the file; print where it is."""
    import json
    from pathlib import Path

    from agentcore_rl.cli.terminal import StatusLine, shown_path
    from agentcore_rl.report import Vocabulary, write_report

    vocabulary = None if args.tokenizer is None else Vocabulary.read(args.tokenizer)
    runs = [_run(wanted, Path(args.runs_in)) for wanted in args.runs]
    vocabulary = vocabulary or _of_local_model(runs)
    target = _target(args.out, runs)
    status = StatusLine()
    report = write_report(
        runs,
        target,
        failed=args.failed,
        limit=args.limit,
        vocabulary=vocabulary,
        progress=lambda done, total: status.update(f"reading {done:,} of {total:,} rollouts"),
    )
    status.clear()
    opened = not args.no_open and _open(report.path)
    if args.json:
        print(json.dumps({**_told(report), "opened": opened}))
        return 0
    print(shown_path(report.path))
    for remark in _remarks(report):
        status.say(remark)
    if not opened:
        status.say("Next     open it in a browser; it needs no server and no network")
    return 0


def _run(wanted: str, root: Path) -> Run:
    from agentcore_rl.cli.run_folder import find_run
    from agentcore_rl.read import read_run

    return read_run(find_run(wanted, root))


def _of_local_model(runs: Sequence[Run]) -> Vocabulary | None:
    """The local model's vocabulary, where it is the model of all runs and lies on this machine."""
    from agentcore_rl.exceptions import ConfigurationError
    from agentcore_rl.local_model import find_model
    from agentcore_rl.local_model.engine import MODELS
    from agentcore_rl.report import Vocabulary

    if not all((first := next(iter(run.rollouts), None)) and first.model in MODELS for run in runs):
        return None
    try:
        return Vocabulary.read(find_model())
    except ConfigurationError:  # ids are shown without texts
        return None


def _target(out: str | None, runs: Sequence[Run]) -> Path:
    """Where the file goes: as asked, else beside the records where they are on this machine."""
    from pathlib import Path

    from agentcore_rl.exceptions import ConfigurationError

    if out is not None:
        target = Path(out)
        if target.is_dir():
            target /= "report.html"
        if not target.absolute().parent.is_dir():
            raise ConfigurationError(f"There is no folder {target.parent}: make it, or name another --out.")
        return target
    names = "-".join(run.id for run in runs)[:100]
    return Path("".join(char if char.isalnum() or char in "-_." else "-" for char in f"report-{names}.html"))


def _open(path: Path) -> bool:
    """Show the file in a browser; False where there is no display, or none opens."""
    import os
    import sys
    import webbrowser

    shown = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.environ.get("BROWSER")
    if sys.platform.startswith("linux") and not shown:
        return False
    return webbrowser.open(path.as_uri())


def _told(report: Report) -> dict[str, object]:
    return {
        "report": str(report.path),
        "size": report.size,
        "rollouts": report.rollouts,
        "listed": report.listed,
        "transcripts": report.transcripts,
        "unreadable": report.unreadable,
    }


def _remarks(report: Report) -> list[str]:
    """What the file does not hold, and what to do about it."""
    said = [f"{report.size / 1e6:.1f} MB, {report.listed:,} of {report.rollouts:,} rollouts listed."]
    if report.transcripts < report.listed:
        said.append(
            f"{report.listed - report.transcripts:,} transcripts were left out, as browsers become slow with "
            "files this large. --failed or --limit N makes a smaller one that holds all it lists."
        )
    if report.unreadable:
        objects = "1 object" if report.unreadable == 1 else f"{report.unreadable:,} objects"
        said.append(f"{objects} cannot be read as a record; the report names what and why.")
    return said
