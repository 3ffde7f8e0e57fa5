"""Shows where a run stands: submitted, running, done, failed by kind, rate and time left.

RUN is a run's folder, its id or the beginning of one, or `last`. In a terminal the table is renewed until
the run's client has ended; elsewhere, and with --once, it is printed once. With --follow it is followed
everywhere: where no table can be renewed, by a line for each change. It reads the journal alone, so it may be
asked while the run goes on, from any other shell.

  agentcore-rl status last
  agentcore-rl status last --follow --json
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from agentcore_rl.batch.standing import Standing

__all__ = ["add_arguments", "main"]

_EVERY_S = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `status` takes."""
    parser.add_argument("run", metavar="RUN", help="a run's folder, its id, the beginning of one, or last")
    parser.add_argument(
        "--out", metavar="DIR", default="rollouts", help="directory of run folders (default: rollouts)"
    )
    parser.add_argument("--once", action="store_true", help="print it once, also in a terminal")
    parser.add_argument("--follow", action="store_true", help="until the run's client has ended, everywhere")
    parser.add_argument("--plain", action="store_true", help="lines, also in a terminal")
    parser.add_argument(
        "--json", action="store_true", help="one JSON object; with --follow one for each change, a line each"
    )


def main(args: argparse.Namespace) -> int:
    """Print or renew the table; 1 when rollouts have failed."""
    import os
    import sys
    from pathlib import Path

    from agentcore_rl.batch.standing import standing_of
    from agentcore_rl.cli.run_folder import find_folder
    from agentcore_rl.cli.terminal import shown_path
    from agentcore_rl.exceptions import ConfigurationError

    if args.once and args.follow:
        raise ConfigurationError("--once and --follow exclude each other: leave one of them out.")
    folder = find_folder(args.run, Path(args.out))
    screen = sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not (args.plain or args.json)
    standing = standing_of(folder)
    if screen and standing.alive and not args.once:
        standing = _watched(folder)
    elif args.follow:
        standing = _followed(folder, args.json)
    if args.json:
        if not args.follow:
            _print_json(folder.name, standing)
        return 1 if standing.failed else 0
    print("\n".join(_lines(folder.name, standing)), flush=True)
    if standing.state == "broken off":
        print(f"\nNext     agentcore-rl resume {shown_path(folder)}")
    return 1 if standing.failed else 0


def _watched(folder: Path) -> Standing:
    """Draw the table anew until the run's client has ended."""
    import sys
    import time

    from agentcore_rl.batch.standing import standing_of
    from agentcore_rl.cli.screen import Line, Screen, has_screen

    standing = standing_of(folder)
    if not has_screen(sys.stdout):
        return _followed(folder, False)
    screen = Screen(sys.stdout)
    try:
        while standing.alive:
            rows = (line.partition("  ") for line in _lines(folder.name, standing))
            screen.draw([Line(label, text.strip()) for label, _, text in rows])
            time.sleep(_EVERY_S)
            standing = standing_of(folder)
    finally:
        screen.close()
    return standing


def _followed(folder: Path, as_json: bool) -> Standing:
    """Print a line for each change until the run's client has ended."""
    import time

    from agentcore_rl.batch.standing import standing_of
    from agentcore_rl.cli.terminal import number

    told: tuple[int, ...] = ()
    while True:
        standing = standing_of(folder)
        now = (standing.begun, standing.done, standing.again, standing.alive)
        if now != told:
            told = now
            if as_json:
                _print_json(folder.name, standing)
            else:
                failed = f", {sum(standing.failed.values())} failed" if standing.failed else ""
                print(
                    f"{standing.done} of {standing.asked} done, {standing.running} running{failed}, "
                    f"reward {number(standing.mean_reward)}",
                    flush=True,
                )
        if not standing.alive:
            return standing
        time.sleep(_EVERY_S)


def _print_json(name: str, standing: Standing) -> None:
    import json

    print(json.dumps({"run": name, **standing.to_dict()}), flush=True)


def _lines(name: str, standing: Standing) -> list[str]:
    from agentcore_rl.cli.terminal import duration, number, visible

    rows = [
        ("run", f"{visible(name)}, {standing.state}"),
        ("submitted", f"{standing.begun} of {standing.asked}"),
        ("running", str(standing.running)),
        ("done", f"{standing.done}{_share(standing)}"),
        ("succeeded", str(standing.succeeded)),
        *((f"failed, {kind}", str(count)) for kind, count in standing.failed.items()),
    ]
    if standing.again:
        rows.append(("tried again", str(standing.again)))
    if standing.late:
        rows.append(("late", str(standing.late)))
    rows.append(("reward", f"{number(standing.mean_reward)} over {standing.judged}"))
    rows.append(("rate", "-" if standing.rate is None else f"{standing.rate:.2f} per second"))
    if standing.alive:
        rows.append(("time left", "-" if standing.left_s is None else duration(standing.left_s)))
    width = max(len(label) for label, _ in rows)
    return [f"{label:<{width}}  {value}" for label, value in rows]


def _share(standing: Standing) -> str:
    return f" ({standing.done / standing.asked:.0%})" if standing.asked else ""
