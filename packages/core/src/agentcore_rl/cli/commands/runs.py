"""Lists the runs in a folder, the latest last, and where each stands.

agentcore-rl runs
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

__all__ = ["LOGS", "add_arguments", "main"]

LOGS = False
"""It shows no log: importing `logging` would cost a list more than all else."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `runs` takes."""
    parser.add_argument(
        "--out", metavar="DIR", default="rollouts", help="directory of run folders (default: rollouts)"
    )
    parser.add_argument(
        "--json", action="store_true", help="JSON lines: one object per run, then one that says done"
    )


def main(args: argparse.Namespace) -> int:
    """Print the list."""
    import os

    from agentcore_rl.cli.run_folder import runs_in
    from agentcore_rl.cli.terminal import number, shown_path, table

    found = [_one(os.path.join(args.out, run), run) for run in runs_in(args.out)]
    if args.json:
        import json

        for run in found:
            print(json.dumps(run))
        print(json.dumps({"done": True, "runs": len(found)}))
        return 0
    if not found:
        print(
            f"There are no runs in {shown_path(args.out)}. Begin one: agentcore-rl run rl_app.py --tasks FILE"
        )
        return 0
    rows = [
        [
            run["run"],
            run["created_at"] or "-",
            run["state"],
            f"{run['done']} of {run['asked']}",
            str(sum(run["failed"].values())),
            number(run["mean_reward"]),
        ]
        for run in found
    ]
    headings = ["run", "begun", "state", "done", "failed", "reward"]
    print("\n".join(table(headings, rows, right=(3, 4, 5))))
    return 0


def _one(folder: str, run: str) -> dict[str, Any]:
    from agentcore_rl.batch.standing import Standing, standing_of
    from agentcore_rl.cli.run_folder import begun_at
    from agentcore_rl.exceptions import ConfigurationError

    try:
        standing, state = standing_of(folder), None
    except ConfigurationError:
        standing, state = Standing(0, 0, 0), "no journal"
    said = {"run": run, "created_at": begun_at(folder), **standing.to_dict()}
    return said if state is None else {**said, "state": state}
