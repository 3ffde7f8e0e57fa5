"""Runs rollouts of your app over a task file, in the local runtime, and stores their records.

A task file has one JSON object per line; the object is the payload that your app gets. An `id` in it names
the task. Records, run.json and journal of the run are in OUT/RUN.

  agentcore-rl run rl_app.py --tasks tasks.jsonl --samples 4 --model http://127.0.0.1:8000/v1
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from agentcore_rl.cli.collection import Collection
    from agentcore_rl.cli.terminal import StatusLine
    from agentcore_rl.outcome import RolloutOutcome
    from agentcore_rl.tasks import Task

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `run` takes."""
    from agentcore_rl.cli.arguments import at_least_one, json_object, seconds

    parser.add_argument(
        "app", metavar="APP", help="your app file (FILE.py or FILE.py:NAME), or the URL of one that runs"
    )
    parser.add_argument("--tasks", metavar="FILE", required=True, help="task file, one JSON object per line")
    parser.add_argument(
        "--samples", metavar="N", type=at_least_one, default=1, help="rollouts per task (default: 1)"
    )
    parser.add_argument(
        "--concurrency", metavar="N", type=at_least_one, help="rollouts at once (default: one per CPU core)"
    )
    parser.add_argument(
        "--model",
        metavar="URL",
        help="OpenAI-compatible endpoint such as http://host:8000/v1, with its key in API_KEY; or smollm2 or "
        "smollm2-tools, the local ones (default: BASE_URL and MODEL_ID, else what the app uses)",
    )
    parser.add_argument(
        "--model-id", metavar="ID", help="model at that URL; not needed when it serves only one"
    )
    parser.add_argument(
        "--sampling",
        metavar="JSON",
        type=json_object,
        default={},
        help="""parameters of each model call, such as '{"temperature": 0.7, "max_tokens": 200}'""",
    )
    parser.add_argument(
        "--deadline", metavar="S", type=seconds, help="seconds that a rollout may take (default: no limit)"
    )
    parser.add_argument(
        "--max-turns", metavar="N", type=at_least_one, help="model calls that a rollout may make"
    )
    parser.add_argument(
        "--max-tokens",
        metavar="N",
        type=at_least_one,
        help="tokens that a rollout may sample, over all turns",
    )
    parser.add_argument("--run", metavar="NAME", help="the run's id (default: the time and six hex digits)")
    parser.add_argument(
        "--out", metavar="DIR", default="rollouts", help="directory of the record store (default: rollouts)"
    )
    parser.add_argument("--json", action="store_true", help="JSON lines: one per rollout, then the summary")


def main(args: argparse.Namespace) -> int:
    """Run the rollouts; 1 when some failed."""
    import asyncio
    from pathlib import Path

    from agentcore_rl.batch import new_run_id
    from agentcore_rl.cli.terminal import StatusLine, shown_path
    from agentcore_rl.exceptions import ConfigurationError
    from agentcore_rl.local_runtime.app_file import find_app_file
    from agentcore_rl.tasks import check_id, read_tasks

    status = StatusLine()
    tasks = read_tasks(args.tasks)
    if not args.app.startswith(("http://", "https://")):
        find_app_file(args.app)
    run = new_run_id() if args.run is None else args.run
    if unusable := check_id(run):
        raise ConfigurationError(f"--run {run} cannot be used: {unusable}.")
    folder = Path(args.out).absolute() / run
    try:
        collection, outcomes = asyncio.run(_collect(args, tasks, folder.parent, run, status))
    except KeyboardInterrupt:
        stored = f"what had ended is stored, see agentcore-rl show {shown_path(folder)}"
        status.say(f"Interrupted; {stored if folder.is_dir() else 'nothing was run'}.")
        return 130
    return _report(args, collection, outcomes)


async def _collect(
    args: argparse.Namespace, tasks: Sequence[Task], out: Path, run: str, status: StatusLine
) -> tuple[Collection, list[RolloutOutcome]]:
    import json
    import os

    from agentcore_rl.cli.collection import Collection, outcome_json
    from agentcore_rl.cli.model_choice import chosen_model
    from agentcore_rl.rollout import Limits

    async with chosen_model(args.model, args.model_id, args.sampling, status) as model:
        collection = Collection(
            app=args.app,
            tasks=tasks,
            tasks_file=args.tasks,
            out=out,
            run=run,
            model=model,
            samples=args.samples,
            concurrency=args.concurrency or os.cpu_count() or 1,
            limits=Limits(args.deadline, args.max_turns, args.max_tokens),
        )

        def heard(outcome: RolloutOutcome) -> None:
            if args.json:
                print(json.dumps(outcome_json(outcome, model=collection.model_id)), flush=True)

        return collection, await collection.collect(status, label=f"run {run}", heard=heard)


def _report(args: argparse.Namespace, collection: Collection, outcomes: Sequence[RolloutOutcome]) -> int:
    """Print the run's figures, taken from its records, and what to type next."""
    import json

    from agentcore_rl.cli.figures import Row, failures, figures
    from agentcore_rl.cli.terminal import shown_path

    row = Row.of(collection, outcomes)
    if args.json:
        print(json.dumps({"summary": [row.to_dict()]}), flush=True)
        return 1 if row.failed else 0
    print("\n".join(figures([row])))
    for line in failures(outcomes):
        print(line)
    folder = shown_path(collection.folder)
    print(f"\nRecords  {folder}")
    print(f"Next     agentcore-rl show {folder}")
    print(f"         agentcore-rl show {folder} {outcomes[0].request.rollout_id}")
    return 1 if row.failed else 0
