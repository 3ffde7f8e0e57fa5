"""Runs the math agent on a small real language model: as it was published, and tuned to use a calculator.

Both models run on this machine's CPU. Each rollout is one held-out word problem, solved by the agent in a
process of its own, judged and stored. The models are tiny (135 million parameters): what counts is the
difference. The model file (98 MB) is fetched where it is missing.

  agentcore-rl demo
  agentcore-rl demo --model http://127.0.0.1:8000/v1 --model-id my-model
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from agentcore_rl.cli.demo_runs import DemoRun

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `demo` takes."""
    from agentcore_rl.cli.arguments import at_least_one

    parser.add_argument(
        "--tasks",
        metavar="N",
        type=at_least_one,
        help="tasks per framework and model (default: 10; with several frameworks 5 for the tuned model)",
    )
    parser.add_argument(
        "--framework",
        metavar="NAME",
        help="framework of the agent (default: every one whose adapter is installed)",
    )
    parser.add_argument(
        "--model",
        metavar="URL",
        help="this OpenAI-compatible endpoint instead, its key in API_KEY; or only smollm2 or smollm2-tools",
    )
    parser.add_argument(
        "--model-id", metavar="ID", help="model at that URL; not needed when it serves only one"
    )
    parser.add_argument(
        "--scripted", action="store_true", help="no real model: played answers, to see the rest work"
    )
    parser.add_argument(
        "--out", metavar="DIR", default="rollouts", help="directory of the record store (default: rollouts)"
    )
    parser.add_argument("--json", action="store_true", help="JSON lines: one per rollout, then the summary")


def main(args: argparse.Namespace) -> int:
    """Run the demo; 1 when some rollouts failed."""
    import asyncio
    import time
    from pathlib import Path

    from agentcore_rl.cli.demo_runs import DemoTerms, collect_runs, demo_tasks, frameworks
    from agentcore_rl.cli.model_choice import model_file
    from agentcore_rl.cli.terminal import StatusLine, shown_path

    chosen = frameworks(args.framework)
    base, tuned = (args.tasks,) * 2 if args.tasks else (10, 10 if len(chosen) == 1 else 5)
    terms = DemoTerms(
        tasks=demo_tasks(max(base, tuned)),
        frameworks=chosen,
        base=base,
        tuned=tuned,
        out=Path(args.out).absolute(),
        model=args.model,
        model_id=args.model_id,
        scripted=args.scripted,
        json=args.json,
    )
    status = StatusLine()
    runs: list[DemoRun] = []
    try:
        fetching_s = model_file(status)[1] if terms.needs_model_file else 0.0
        began = time.monotonic()
        asyncio.run(collect_runs(terms, status, runs))
    except KeyboardInterrupt:
        status.say(f"Interrupted; rollouts that had ended are stored in {shown_path(terms.out)}.")
        return 130
    return _report(args, runs, time.monotonic() - began, fetching_s)


def _report(args: argparse.Namespace, runs: Sequence[DemoRun], took_s: float, fetching_s: float) -> int:
    """Print the table, whose numbers come from the records, and what to type next."""
    import json

    from agentcore_rl.cli.figures import failures, figures
    from agentcore_rl.cli.model_choice import LOCAL_MODELS
    from agentcore_rl.cli.terminal import shown_path

    rows = [run.row for run in runs]
    code = 1 if any(row.failed for row in rows) else 0
    if args.json:
        times = {"seconds": round(took_s, 3), "fetching_s": round(fetching_s, 3)}
        print(json.dumps({"done": True, "summary": [row.to_dict() for row in rows], **times}), flush=True)
        return code
    print("\n".join(figures(rows)))
    for run in runs:
        print("".join(f"{run.collection.model_id}: {line}\n" for line in failures(run.outcomes)), end="")
    print()
    if args.scripted:
        print("The answers were played from a script; no model was asked.")
    elif any(row.model in LOCAL_MODELS for row in rows):
        print(
            "smollm2 has 135 million parameters and was not made for tools: the numbers are low because the"
        )
        print("models are small. smollm2-tools is the same with a small adapter, trained on other problems.")
    fetching = f", besides {fetching_s:.0f} s for fetching the model" if fetching_s else ""
    print(f"Held-out problems, each in a session of its own; {took_s:.0f} s{fetching}.\n")
    folders = [shown_path(run.collection.folder) for run in runs]
    print("Records  " + "\n         ".join(folders))
    first = runs[-1].collection.tasks[0].id
    print(f"Next     agentcore-rl view {' '.join(folders)}")
    print(f"         agentcore-rl show {folders[-1]} {first}")
    print("         agentcore-rl run YOUR_APP.py --tasks TASKS.jsonl --model smollm2-tools")
    return code
