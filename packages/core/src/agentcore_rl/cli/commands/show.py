"""Shows what a run left: a list of its rollouts, or the transcript of one.

RUN is a run's folder, its id or the beginning of one, `last`, or s3://bucket/prefix/RUN. ROLLOUT is
TASK.SAMPLE or the beginning of it. Control characters in what models and tools said are shown as escapes.

  agentcore-rl show last
  agentcore-rl show rollouts/demo-1 heldout-1-t00-000.0
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from agentcore_rl.read import Run, ToolCall
    from agentcore_rl.rollout import Rollout

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `show` takes."""
    parser.add_argument("run", metavar="RUN", help="a run's folder, its id, the beginning of one, or last")
    parser.add_argument("rollout", metavar="ROLLOUT", nargs="?", help="a rollout's id, or its beginning")
    parser.add_argument("--full", action="store_true", help="do not fold long texts; show tracebacks")
    parser.add_argument("--failed", action="store_true", help="list only rollouts that failed or are suspect")
    parser.add_argument(
        "--out", metavar="DIR", default="rollouts", help="directory of the record store (default: rollouts)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")


def main(args: argparse.Namespace) -> int:
    """Print the list or the transcript."""
    import json
    import sys
    from pathlib import Path

    from agentcore_rl.cli.run_folder import find_run
    from agentcore_rl.cli.terminal import Style
    from agentcore_rl.cli.transcript import rollout_json, transcript
    from agentcore_rl.read import read_run

    place = find_run(args.run, Path(args.out))
    run = read_run(place)
    if args.rollout is None:
        return _list(args, run, place)
    rollout = run.find(args.rollout)
    location = _location(run, rollout)
    if args.json:
        print(json.dumps(rollout_json(rollout, location=location)))
        return 0
    for line in transcript(rollout, Style(sys.stdout), location=location, full=args.full):
        print(line)
    return 0


def _list(args: argparse.Namespace, run: Run, place: str) -> int:
    """Print one line per rollout, then the run's figures."""
    import json

    from agentcore_rl.cli.figures import Row, call_figures, figures
    from agentcore_rl.cli.terminal import shown_place, table, visible
    from agentcore_rl.read import summarize

    listed: list[dict[str, Any]] = []

    def seen(rollout: Rollout, calls: list[ToolCall]) -> None:  # one record in memory at a time
        line = _line(rollout, calls)
        if not args.failed or line["failure"] or line["suspect"]:
            listed.append({**line, "record": _location(run, rollout)})

    summary = summarize(run.rollouts, seen=seen)
    models = {line["model"] for line in listed}
    row = Row(summary, models.pop() if len(models) == 1 else None, folder=_absolute(place))
    unreadable = dict(run.unreadable)
    if args.json:
        whole = {"run": run.id, "rollouts": listed, "summary": row.to_dict(), "unreadable": unreadable}
        print(json.dumps(whole))
        return 0
    print(f"run {visible(run.id)}\n")
    if listed:
        headings = ["rollout", "status", "reward", "turns", "calls", "tokens", "seconds", "remarks"]
        print("\n".join(table(headings, [_cells(line) for line in listed], right=(2, 3, 4, 5, 6))))
    else:
        print(
            "No rollout failed or is suspect."
            if args.failed and summary.rollouts
            else "No rollout is stored."
        )
    print("\n" + "\n".join(figures([row])))
    if calls := call_figures(summary.reliability):
        print("\ntool calls\n" + "\n".join(calls))
    for key, reason in unreadable.items():
        print(visible(f"unreadable  {key}: {reason}"))
    if listed:
        print(f"\nNext: agentcore-rl show {shown_place(place)} {visible(listed[0]['id'])}")
    return 0


def _line(rollout: Rollout, calls: list[ToolCall]) -> dict[str, Any]:
    """What a list says of one rollout."""
    failure = rollout.failure
    return {
        "id": rollout.input_id,
        "attempt": rollout.attempt,
        "status": rollout.status.value,
        "stop_reason": rollout.stop_reason.value,
        "reward": None if rollout.reward is None else rollout.reward.value,
        "failure": None if failure is None else {"kind": failure.kind.value, "message": failure.message},
        "suspect": list(rollout.suspect),
        "model": rollout.model,
        "turns": len(rollout.turns),
        "tool_calls": len(calls),
        "well_formed_calls": sum(call.well_formed for call in calls),
        "prompt_tokens": rollout.usage.prompt_tokens,
        "completion_tokens": rollout.usage.completion_tokens,
        "seconds": round(rollout.timings.total_s, 3),
    }


def _cells(line: dict[str, Any]) -> list[str]:
    known = [count for count in (line["prompt_tokens"], line["completion_tokens"]) if count is not None]
    remarks = [] if line["stop_reason"] == "finished" else [line["stop_reason"]]
    remarks += [f"suspect: {', '.join(line['suspect'])}"] if line["suspect"] else []
    if line["failure"]:
        message = " ".join(line["failure"]["message"].split())
        remarks.append(f"{line['failure']['kind']}: {message[:100]}{'...' if len(message) > 100 else ''}")
    return [
        line["id"],
        line["status"],
        "-" if line["reward"] is None else f"{line['reward']:g}",
        str(line["turns"]),
        f"{line['well_formed_calls']}/{line['tool_calls']}",
        f"{sum(known):,}" if known else "-",
        f"{line['seconds']:.1f}",
        "; ".join(remarks),
    ]


def _absolute(place: str) -> str:
    import os

    return place if "://" in place else os.path.abspath(place)


def _location(run: Run, rollout: Rollout) -> str:
    """Where a record is, for a person."""
    return f"{run.store.location.rstrip('/')}/{run.prefix}{run.id}/{rollout.input_id}/{rollout.session}.json"
