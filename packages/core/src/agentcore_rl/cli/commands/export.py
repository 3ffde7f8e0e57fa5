"""Writes a run for a trainer or another tool, and says what became of every rollout and token.

RUN is a run's folder, its id or the beginning of one, `last`, or s3://bucket/prefix/RUN. Formats:

  trl                    conversations with tools for TRL's SFT
  trl-prompt-completion  one example per answer for TRL's SFT
  trl-rollout            ids, logprobs and masks, as GRPO's rollout_func returns them
  verl                   outputs of agent loops
  verl-prompts           the tasks as a data set of prompts (Parquet)
  tinker                 a Datum per row
  prime-rl               a TrainingSample per row
  openai                 conversations for OpenAI's fine-tuning
  parquet                whole rollouts with their turns
  parquet-rows           training rows
  otel                   OpenTelemetry GenAI spans as OTLP/JSON

Suspect rollouts and those that failed do not train; those that infrastructure failed are left out. All are
counted.

  agentcore-rl export last --to trl --where 'reward>0'
  agentcore-rl export last --to verl --out rollouts.jsonl
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from agentcore_rl.export import Exported

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `export` takes."""
    parser.add_argument("run", metavar="RUN", help="a run's folder, its id, the beginning of one, or last")
    parser.add_argument("--to", metavar="FORMAT", required=True, help="the format, as listed above")
    parser.add_argument(
        "--out", metavar="FILE", help="the file (default: RUN-FORMAT.jsonl or .parquet in this directory)"
    )
    parser.add_argument(
        "--where",
        metavar="CONDITION",
        action="append",
        default=[],
        help="only rollouts such as 'reward>0', status=succeeded, suspect=none; given again, all must hold",
    )
    parser.add_argument(
        "--include-suspect",
        action="store_true",
        help="suspect rollouts train too, though their turns may not be the whole truth",
    )
    parser.add_argument(
        "--failed-reward",
        metavar="R",
        type=_finite,
        help="rollouts that the agent failed or that ran out of time train with this reward",
    )
    parser.add_argument(
        "--advantages",
        choices=("mean", "grpo", "none"),
        help="made of each task's rewards (default: mean for tinker and prime-rl, none for others)",
    )
    parser.add_argument(
        "--runs-in", metavar="DIR", default="rollouts", help="directory of run folders (default: rollouts)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def main(args: argparse.Namespace) -> int:
    """Write the file; print where it is and what is in it."""
    import json
    import time
    from pathlib import Path

    from agentcore_rl.cli.run_folder import find_run
    from agentcore_rl.cli.terminal import StatusLine
    from agentcore_rl.export import export_run

    place = find_run(args.run, Path(args.runs_in))
    status = StatusLine()
    started = time.monotonic()
    try:
        done = export_run(
            place,
            to=args.to,
            out=args.out,
            where=args.where,
            include_suspect=args.include_suspect,
            failed_reward=args.failed_reward,
            advantages=args.advantages,
            heard=lambda read, total: status.update(f"export: {read:,} of {total:,} rollouts"),
        )
    finally:
        status.clear()
    if args.json:
        print(json.dumps({**done.to_dict(), "seconds": round(time.monotonic() - started, 3)}))
        return 0
    print("\n".join(_lines(done)))
    for note in done.notes:
        status.say(note)
    return 0


def _lines(done: Exported) -> list[str]:
    from agentcore_rl.cli.terminal import shown_path, visible

    rows = [
        ("file", f"{shown_path(done.path)}, {done.size / 1e6:.1f} MB"),
        ("entries", f"{done.entries:,} of {done.exported:,} rollouts, {done.rollouts:,} read"),
        ("masked", _told(done.masked)),
        ("left out", _told(done.left_out)),
        ("unfit", _told(done.unfit)),
        ("unreadable", f"{done.unreadable:,}" if done.unreadable else ""),
    ]
    tokens = done.account
    if tokens is not None:
        rows += [
            ("tokens", f"{tokens.sampled:,} sampled, {tokens.trained:,} train"),
            ("", f"masked: {_told(tokens.masked)}" if tokens.masked else ""),
            ("", f"in answers that are not whole: {tokens.partial:,}" if tokens.partial else ""),
            ("", f"answers without ids: {tokens.without_ids:,}" if tokens.without_ids else ""),
        ]
    return [visible(f"{label:<10}  {value}") for label, value in rows if value]


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in sorted(counts.items()))


def _finite(text: str) -> float:
    from argparse import ArgumentTypeError

    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise ArgumentTypeError(f"{text!r} is no finite number")
    return value
