"""Runs what was asked for, now or earlier, and says what came of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

from agentcore_rl.cli.asked import Asked
from agentcore_rl.cli.collection import Collection, outcome_json
from agentcore_rl.cli.figures import Row, failures, figures
from agentcore_rl.cli.model_choice import LOCAL_MODELS, chosen_model, model_file
from agentcore_rl.cli.terminal import StatusLine, shown_path
from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.outcome import RolloutOutcome
from agentcore_rl.rollout import Limits
from agentcore_rl.tasks import Task

__all__ = ["run_asked"]


def run_asked(
    asked: Asked, tasks: Sequence[Task], folder: Path, *, as_json: bool, resume: bool, plain: bool = False
) -> int:
    """Run a batch to its end, or until Ctrl-C; the command's exit code.

    Args:
        asked: what was asked for.
        tasks: the tasks in its file.
        folder: the run's folder.
        as_json: print JSON lines, one per rollout, then the summary.
        resume: the run is in the folder already.
        plain: lines now and then in place of a live view.
    """
    _check_reach(asked)
    status = StatusLine(plain=plain)
    try:
        if asked.model in LOCAL_MODELS or asked.engine == "llama.cpp":
            model_file(status)  # fetched where it is missing
        collection, outcomes = asyncio.run(_collect(asked, tasks, folder, status, as_json, resume))
    except KeyboardInterrupt:
        if (folder / "run.json").is_file():
            status.say(
                "Interrupted; what ran was stopped, what had ended is stored. "
                f"Next: agentcore-rl resume {shown_path(folder)}"
            )
        else:
            status.say("Interrupted; nothing was run.")
        return 130
    return _report(collection, outcomes, as_json)


def _check_reach(asked: Asked) -> None:
    """A model that is started for the run listens on this machine alone."""
    own = f"--engine {asked.engine}" if asked.engine else f"--model {asked.model}"
    if (asked.engine or asked.model in LOCAL_MODELS) and not asked.place.on_this_machine:
        raise ConfigurationError(
            f"{own} is started on this machine, where sessions at {asked.place.app} cannot reach it: start a "
            "model or agentcore-rl gateway at an address that they can reach, and give that URL with --model."
        )


async def _collect(
    asked: Asked, tasks: Sequence[Task], folder: Path, status: StatusLine, as_json: bool, resume: bool
) -> tuple[Collection, list[RolloutOutcome]]:
    async with chosen_model(
        asked.model,
        asked.model_id,
        asked.sampling,
        status,
        log=folder / "gateway",
        engine=asked.engine,
        tokenizer=asked.tokenizer,
        renderer=asked.renderer,
    ) as model:
        collection = Collection(
            place=asked.place,
            tasks=tasks,
            tasks_file=asked.tasks,
            out=folder.parent,
            run=folder.name,
            model=model,
            samples=asked.samples,
            concurrency=asked.at_once,
            limits=Limits(asked.deadline, asked.max_turns, asked.max_tokens),
            records=asked.store,
            queue=asked.queue,
            attempts=asked.attempts,
            limiter=asked.limiter(),
            resume=resume,
            about=asked.to_about(),
        )

        def heard(outcome: RolloutOutcome) -> None:
            if as_json:
                print(json.dumps(outcome_json(outcome, model=collection.model_id)), flush=True)

        return collection, await collection.collect(status, label=f"run {folder.name}", heard=heard)


def _report(collection: Collection, outcomes: Sequence[RolloutOutcome], as_json: bool) -> int:
    """Print the run's figures, taken from its records, and what to type next."""
    row = Row.of(collection, outcomes)
    if as_json:
        print(json.dumps({"done": True, "summary": [row.to_dict()]}), flush=True)
        return 1 if row.failed else 0
    print("\n".join(figures([row])))
    for line in failures(outcomes):
        print(line)
    folder = shown_path(collection.folder)
    print(f"\nRecords  {folder if collection.records is None else collection.records}")
    print(f"Next     agentcore-rl view {folder}")
    print(f"         agentcore-rl show {folder} {outcomes[0].request.rollout_id}")
    if any(outcome.failure is not None and outcome.failure.retryable for outcome in outcomes):
        print(f"         agentcore-rl resume {folder}   # tries again what infrastructure failed")
    return 1 if row.failed else 0
