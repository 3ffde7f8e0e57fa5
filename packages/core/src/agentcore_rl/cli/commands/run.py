"""Runs rollouts of your app over a task file and stores their records.

APP is an app file, which runs in the local runtime, one process per session; or the ARN of a runtime on
AgentCore; or, with --on URL, an app that runs already. A task file has one JSON object per line; the object
is the payload that your app gets. An `id` in it names the task. run.json and journal of the run are in
OUT/RUN, and so are the records, unless --store says where else. A run that broke off goes on with
agentcore-rl resume.

  agentcore-rl run rl_app.py --tasks tasks.jsonl --samples 4 --model http://127.0.0.1:8000/v1
  agentcore-rl run arn:aws:bedrock-agentcore:... --tasks tasks.jsonl --store s3://bucket/rollouts
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `run` takes."""
    from agentcore_rl.cli.arguments import above_zero, at_least_one, json_object, seconds

    parser.add_argument(
        "app",
        metavar="APP",
        nargs="?",
        help="your app file (FILE.py or FILE.py:NAME), a runtime's ARN, or the URL of an app that runs",
    )
    parser.add_argument(
        "--on",
        metavar="WHERE",
        help="local, agentcore, or the URL of an app that runs (default: what APP is)",
    )
    parser.add_argument("--tasks", metavar="FILE", required=True, help="task file, one JSON object per line")
    parser.add_argument(
        "--samples", metavar="N", type=at_least_one, default=1, help="rollouts per task (default: 1)"
    )
    parser.add_argument(
        "--attempts",
        metavar="N",
        type=at_least_one,
        default=3,
        help="how often a rollout is tried when infrastructure fails it (default: 3)",
    )
    parser.add_argument(
        "--concurrency",
        metavar="N",
        type=at_least_one,
        help="rollouts at once (default: one per CPU core; on AgentCore its active sessions)",
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
        "--engine",
        metavar="ENGINE",
        help="instead of --model: behind a gateway of the run's own, as agentcore-rl gateway --engine has it "
        "(vllm=URL, sglang=URL, capture=URL, llama.cpp); with --model-id",
    )
    parser.add_argument(
        "--tokenizer", metavar="FILE", help="of the engine's model, as agentcore-rl gateway --tokenizer"
    )
    parser.add_argument(
        "--renderer", metavar="NAME", help="of the engine's model, as agentcore-rl gateway --renderer"
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
        "--out", metavar="DIR", default="rollouts", help="directory of run folders (default: rollouts)"
    )
    parser.add_argument(
        "--store",
        metavar="WHERE",
        help="where the app puts its records: a directory or s3://BUCKET/PREFIX (default: OUT; on AgentCore "
        "AGENTCORE_RL_STORE)",
    )
    parser.add_argument(
        "--queue", metavar="URL", help="SQS queue that announces records in S3 (default: AGENTCORE_RL_QUEUE)"
    )
    for name, what in (
        ("--new-sessions-per-s", "sessions started per second (on AgentCore 25)"),
        ("--interactions-per-s", "calls per second (on AgentCore 200)"),
    ):
        parser.add_argument(name, metavar="N", type=above_zero, help=what)
    parser.add_argument(
        "--active-sessions", metavar="N", type=at_least_one, help="sessions alive at once (on AgentCore 1000)"
    )
    parser.add_argument(
        "--plain",
        action="store_true",
        help="no live view: a line now and then, as where there is no terminal",
    )
    parser.add_argument("--json", action="store_true", help="JSON lines: one per rollout, then the summary")


def main(args: argparse.Namespace) -> int:
    """Run the rollouts; 1 when some failed."""
    from pathlib import Path

    from agentcore_rl.batch.folder import new_run_id
    from agentcore_rl.cli.asked import Asked
    from agentcore_rl.cli.place import chosen_place
    from agentcore_rl.cli.running import run_asked
    from agentcore_rl.exceptions import ConfigurationError
    from agentcore_rl.tasks import check_id, read_tasks

    tasks = read_tasks(args.tasks)
    asked = Asked.of(args, chosen_place(args.app, args.on))
    run = new_run_id() if args.run is None else args.run
    if unusable := check_id(run):
        raise ConfigurationError(f"--run {run} cannot be used: {unusable}.")
    return run_asked(asked, tasks, Path(asked.out) / run, as_json=args.json, plain=args.plain, resume=False)
