"""The runs of the demo: one per framework and model, over the same tasks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from agentcore_rl.adapter import ADAPTERS
from agentcore_rl.cli.collection import Collection, outcome_json
from agentcore_rl.cli.figures import Row
from agentcore_rl.cli.model_choice import (
    LOCAL_MODELS,
    ModelChoice,
    check_model,
    local_models,
    named_model,
)
from agentcore_rl.cli.place import Place
from agentcore_rl.cli.terminal import StatusLine
from agentcore_rl.demo.math import load_tasks
from agentcore_rl.endpoint import Endpoint
from agentcore_rl.exceptions import ConfigurationError, MissingDependencyError
from agentcore_rl.outcome import RolloutOutcome
from agentcore_rl.rollout import Limits
from agentcore_rl.tasks import Task, task_from_payload

if TYPE_CHECKING:
    from agentcore_rl.testing import Answer, ServedCall

__all__ = ["SCRIPTED_MODELS", "DemoRun", "DemoTerms", "collect_runs", "demo_tasks", "frameworks"]

SCRIPTED_MODELS = ("scripted", "scripted-tools")
"""What `--scripted` plays: a model that uses no tools, and one that does and is right."""

_SAMPLING = {"temperature": 1.0, "max_tokens": 256}
_LIMITS = Limits(max_turns=6)
_FRAMEWORK = "AGENTCORE_RL_DEMO_FRAMEWORK"  # as in demo/app.py, whose import would load a framework


@dataclass(frozen=True, slots=True)
class DemoTerms:
    """What the demo is asked to do.

    Attributes:
        tasks: the tasks.
        frameworks: names of adapters.
        base: how many of the tasks the base model gets, in the first framework.
        tuned: how many the tuned model gets, in every framework.
        out: root of the directory store, absolute.
        model, model_id: as the options give them; None runs the local models.
        scripted: play answers instead of asking a model.
        json: print a JSON line per rollout.
    """

    tasks: Sequence[Task]
    frameworks: Sequence[str]
    base: int
    tuned: int
    out: Path
    model: str | None
    model_id: str | None
    scripted: bool
    json: bool

    @property
    def needs_model_file(self) -> bool:
        """Whether a local model will be asked."""
        return not self.scripted and (self.model is None or self.model in LOCAL_MODELS)


@dataclass(frozen=True, slots=True)
class DemoRun:
    """One run of the demo.

    Attributes:
        collection: what was collected.
        framework: the agent's.
        outcomes: in the order in which they came.
        row: its figures, from its records.
    """

    collection: Collection
    framework: str
    outcomes: Sequence[RolloutOutcome]
    row: Row


def demo_tasks(number: int) -> list[Task]:
    """The first held-out problems of the easiest level.

    Raises:
        ConfigurationError: there are not so many.
    """
    payloads = load_tasks("heldout", level=1)
    if number > len(payloads):
        raise ConfigurationError(f"The demo has {len(payloads)} held-out tasks of one step, not {number}.")
    return [task_from_payload(payload) for payload in payloads[:number]]


def frameworks(name: str | None) -> list[str]:
    """The frameworks to run: the one named, or all whose adapter is installed. Imports none of them.

    Raises:
        MissingDependencyError: there is none.
    """
    installed = list(ADAPTERS)
    if name is not None and name not in installed:
        ADAPTERS.require(name)
    if not installed:
        raise MissingDependencyError(
            "No framework's adapter is installed, which the demo needs: pip install agentcore-rl-strands"
        )
    return [name] if name is not None else installed


async def collect_runs(terms: DemoTerms, status: StatusLine, runs: list[DemoRun]) -> None:
    """Run every framework on every model, one run after the other; each is added to `runs` as it ends."""
    import agentcore_rl.demo

    app = str(Path(str(agentcore_rl.demo.__file__)).with_name("app.py"))
    stamp = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    async with _models(terms, status) as models:
        for framework, model, tasks in _plan(terms, models):
            name = model.endpoint.model if model.endpoint else ""
            collection = Collection(
                place=Place.local(app),
                tasks=tasks,
                out=terms.out,
                run=_run_id(terms.out, f"demo-{stamp}-{framework}-{name}"),
                model=model,
                concurrency=os.cpu_count() or 1,
                limits=_LIMITS,
                env={_FRAMEWORK: framework},
            )

            def heard(outcome: RolloutOutcome, *, framework: str = framework, model: str = name) -> None:
                if terms.json:
                    print(json.dumps(outcome_json(outcome, framework=framework, model=model)), flush=True)

            outcomes = await collection.collect(status, label=f"{framework}, {name}", heard=heard)
            row = Row.of(collection, outcomes, framework=framework)
            runs.append(DemoRun(collection, framework, outcomes, row))


def _plan(
    terms: DemoTerms, models: Sequence[ModelChoice]
) -> Iterator[tuple[str, ModelChoice, Sequence[Task]]]:
    """What is run, in order: the last model in every framework, the others beside it in the first."""
    *bases, tuned = models
    for place, framework in enumerate(terms.frameworks):
        if place == 0:
            for base in bases:
                yield framework, base, terms.tasks[: terms.base]
        yield framework, tuned, terms.tasks[: terms.tuned]


def _run_id(out: Path, wanted: str) -> str:
    """An id that no run has yet."""
    name = re.sub(r"[^A-Za-z0-9=_-]+", "-", wanted)[:100]
    taken = {folder.name for folder in out.iterdir()} if out.is_dir() else set()
    number = 1
    while (free := name if number == 1 else f"{name}-{number}") in taken:
        number += 1
    return free


@contextlib.asynccontextmanager
async def _models(terms: DemoTerms, status: StatusLine) -> AsyncIterator[list[ModelChoice]]:
    """The models to run, there while the block runs."""
    if terms.scripted:
        from agentcore_rl.testing import ScriptedModel

        answers = {str(task.payload["prompt"]): str(task.payload["answer"]) for task in terms.tasks}
        with ScriptedModel(lambda call: _played(call, answers)) as server:
            asked = {"logprobs": True, "return_token_ids": True}
            yield [
                ModelChoice.of(Endpoint(server.base_url, name, sampling=_SAMPLING, extra_body=asked))
                for name in SCRIPTED_MODELS
            ]
    elif terms.model is None or terms.model in LOCAL_MODELS:
        names = LOCAL_MODELS if terms.model is None else (terms.model,)
        log = await asyncio.to_thread(tempfile.mkdtemp, prefix="agentcore-rl-gateway-")
        try:
            async with local_models(names, _SAMPLING, status, log=Path(log)) as choices:
                yield choices
        finally:
            # The records have every token of it.
            await asyncio.to_thread(shutil.rmtree, log, ignore_errors=True)
    else:
        named = named_model(terms.model, terms.model_id, _SAMPLING)
        yield [ModelChoice.of(await check_model(named, status))]


def _played(call: ServedCall, answers: dict[str, str]) -> Answer:
    """What the scripted models say to one call."""
    from agentcore_rl.testing import Answer, ToolCall

    asked = call.json or {}
    messages = asked["messages"]
    prompt = next(_text(message) for message in messages if message["role"] == "user")
    if asked["model"] != SCRIPTED_MODELS[1]:
        return Answer("I think that the answer is #### 0")
    if messages[-1]["role"] == "tool":
        return Answer(f"#### {_text(messages[-1])}")
    return Answer(tool_calls=[ToolCall("calculator", {"expression": f"{answers[prompt]} + 0"})])


def _text(message: dict[str, object]) -> str:
    content = message["content"]
    return "".join(part["text"] for part in content) if isinstance(content, list) else str(content)
