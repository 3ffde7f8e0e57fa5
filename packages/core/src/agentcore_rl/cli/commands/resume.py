"""Goes on with a run that broke off, or whose rollouts infrastructure failed.

RUN is a run's folder, its id or the beginning of one, or `last`. Nothing that is stored is run again: it is
told again from the journal and the records. Place, tasks, model and limits are those of the run; keys come
from the environment, as for `run`.

  agentcore-rl resume last
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `resume` takes."""
    from agentcore_rl.cli.arguments import at_least_one

    parser.add_argument("run", metavar="RUN", help="a run's folder, its id, the beginning of one, or last")
    parser.add_argument(
        "--out", metavar="DIR", default="rollouts", help="directory of run folders (default: rollouts)"
    )
    parser.add_argument("--tasks", metavar="FILE", help="where the task file is now, if it was moved")
    parser.add_argument(
        "--concurrency", metavar="N", type=at_least_one, help="rollouts at once (default: as before)"
    )
    parser.add_argument(
        "--attempts", metavar="N", type=at_least_one, help="further attempts per rollout (default: as before)"
    )
    parser.add_argument("--model", metavar="URL", help="where the model is now, if it was moved")
    parser.add_argument(
        "--plain",
        action="store_true",
        help="no live view: a line now and then, as where there is no terminal",
    )
    parser.add_argument("--json", action="store_true", help="JSON lines: one per rollout, then the summary")


def main(args: argparse.Namespace) -> int:
    """Run what is left; 1 when some failed."""
    from pathlib import Path

    from agentcore_rl.batch.folder import read_about
    from agentcore_rl.cli.asked import Asked
    from agentcore_rl.cli.run_folder import find_folder
    from agentcore_rl.cli.running import run_asked
    from agentcore_rl.exceptions import ConfigurationError
    from agentcore_rl.tasks import digest, read_tasks

    folder = find_folder(args.run, Path(args.out)).absolute()
    about = read_about(folder)
    tasks_file = None if args.tasks is None else str(Path(args.tasks).absolute())
    asked = Asked.recall(about).changed(
        tasks=tasks_file, concurrency=args.concurrency, attempts=args.attempts, model=args.model
    )
    tasks = read_tasks(asked.tasks)
    if digest(tasks) != about.get("tasks", {}).get("sha256"):
        raise ConfigurationError(
            f"{asked.tasks} is not what the run {about['run']} was begun with: its tasks have changed. "
            "Give the file as it was with --tasks, or begin a new run."
        )
    return run_asked(asked, tasks, folder, as_json=args.json, plain=args.plain, resume=True)
