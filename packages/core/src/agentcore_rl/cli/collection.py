"""Rollouts of one app with one model: launcher, store, batch and progress put together."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentcore_rl.batch import BatchRunner
from agentcore_rl.cli.model_choice import ModelChoice
from agentcore_rl.cli.place import Place
from agentcore_rl.cli.terminal import StatusLine, number
from agentcore_rl.exceptions import AgentCoreRLError
from agentcore_rl.outcome import Progress, RolloutOutcome
from agentcore_rl.rollout import Limits
from agentcore_rl.stores.places import open_notices, open_store
from agentcore_rl.tasks import Task

if TYPE_CHECKING:
    from agentcore_rl.limits import Limiter

__all__ = ["Collection", "outcome_json"]

_LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class Collection:
    """What is to be collected.

    Attributes:
        place: where the app is.
        tasks: the tasks.
        out: directory of run folders, absolute; records go there too, unless `records` says where.
        run: the run's id; its folder is `out/run`.
        model: the model that the app should use.
        tasks_file: where the tasks were read; None when they come from elsewhere.
        samples: rollouts per task.
        concurrency: rollouts at once.
        limits: of each rollout.
        env: further environment variables of the sessions.
        records: location of the record store; None: `out`.
        queue: channel of notices, as `open_notices` takes it.
        attempts: how often a rollout is tried when infrastructure fails it.
        limiter: budget of the place; None: unlimited.
        resume: go on with the run in the folder.
        about: what else run.json says.
    """

    place: Place
    tasks: Sequence[Task]
    out: Path
    run: str
    model: ModelChoice
    tasks_file: str | None = None
    samples: int = 1
    concurrency: int = 2
    limits: Limits = field(default_factory=Limits)
    env: dict[str, str] = field(default_factory=dict)
    records: str | None = None
    queue: str | None = None
    attempts: int = 3
    limiter: Limiter | None = None
    resume: bool = False
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def store(self) -> str:
        """Location of the record store."""
        return self.records or str(self.out)

    @property
    def folder(self) -> Path:
        """The run's folder: records, run.json and journal."""
        return self.out / self.run

    @property
    def model_id(self) -> str | None:
        """The model's id on the wire; None when the app chooses."""
        return (self.model.endpoint.model or None) if self.model.endpoint else None

    async def collect(
        self, status: StatusLine, *, label: str, heard: Callable[[RolloutOutcome], None]
    ) -> list[RolloutOutcome]:
        """Run all rollouts; their outcomes in the order in which they came.

        Args:
            status: where to show how far it is.
            label: what the progress line begins with.
            heard: called with each outcome as it comes.
        """
        env = {"AGENTCORE_RL_STORE": self.store, **({"AGENTCORE_RL_QUEUE": self.queue} if self.queue else {})}
        env |= {**self.model.env, **self.env}
        # In a thread: it asks every installed adapter what its framework must find in the environment.
        launcher = await asyncio.to_thread(self.place.launcher, env=env, limiter=self.limiter)
        batch = BatchRunner(
            launcher,
            store=open_store(self.store),
            notices=open_notices(self.store, run=self.run, queue=self.queue),
            run=self.run,
            endpoint=self.model.endpoint,
            concurrency=self.concurrency,
            samples=self.samples,
            attempts=self.attempts,
            deadline_s=self.limits.deadline_s,
            max_turns=self.limits.max_turns,
            max_tokens=self.limits.max_tokens,
            folder=self.folder,
            resume=self.resume,
            about=self.about,
            gateway=self.model.gateway,
        )
        outcomes: list[RolloutOutcome] = []
        there = await asyncio.to_thread((self.folder / "run.json").exists)
        try:
            async with batch as runner, _shown(runner, status, label, self.store) as tell:
                async for outcome in runner.run(self.tasks, tasks_file=self.tasks_file):
                    outcomes.append(outcome)
                    tell(outcome)
                    heard(outcome)
        except AgentCoreRLError:
            if not there and not batch.progress.total:  # no rollout was begun: the run's id stays free
                await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)
            raise
        finally:
            await launcher.aclose()
        return outcomes


@contextlib.asynccontextmanager
async def _shown(
    runner: BatchRunner, status: StatusLine, label: str, store: str
) -> AsyncIterator[Callable[[RolloutOutcome], None]]:
    """Show the progress of a batch while the block runs; gives what is to be told of each outcome."""
    if status.has_screen:
        from agentcore_rl.cli.live_view import LiveView

        view = await asyncio.to_thread(LiveView, label, store, lambda: runner.progress)
        view.__enter__()
        try:
            yield view.hear
        finally:
            # Even when this task is cancelled: the cursor must not stay hidden.
            await asyncio.shield(asyncio.to_thread(view.__exit__))
        return

    async def show() -> None:
        while True:
            status.update(f"{label}: {_sentence(runner.progress)}")
            await asyncio.sleep(_LOOK_S)

    task = asyncio.create_task(show())
    try:
        yield lambda outcome: status.clear()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        status.clear()


def _sentence(progress: Progress) -> str:
    if not progress.total:
        return f"starting the app, {progress.elapsed_s:.0f} s"
    failed = sum(progress.failed.values())
    parts = [f"{progress.done} of {progress.total} rollouts", f"{progress.running} running"]
    if failed:
        parts.append(f"{failed} failed")
    if progress.again:
        parts.append(f"{progress.again} tried again")
    if progress.mean_reward is not None:
        parts.append(f"mean reward {number(progress.mean_reward)}")
    return ", ".join([*parts, f"{progress.elapsed_s:.0f} s"])


def outcome_json(outcome: RolloutOutcome, **further: Any) -> dict[str, Any]:
    """One rollout for a program: ids, status, reward, failure, and where the record is."""
    ids, failure = outcome.request, outcome.failure
    return {
        "id": ids.rollout_id,
        **further,
        "run": ids.run,
        "status": outcome.status.value,
        "reward": None if outcome.reward is None else outcome.reward.value,
        "failure": None if failure is None else {"kind": failure.kind.value, "message": failure.message},
        "record": outcome.location,
        "seconds": round(outcome.timings.total_s, 3),
        "attempts": outcome.attempts,
        "earlier": outcome.earlier,
    }
