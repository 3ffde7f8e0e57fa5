"""One rollout, as a batch of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from agentcore_rl.batch import BatchRunner
from agentcore_rl.batch.flight import Pace
from agentcore_rl.endpoint import Endpoint
from agentcore_rl.launchers import Launcher
from agentcore_rl.outcome import RolloutOutcome
from agentcore_rl.rollout import Destination, Rollout
from agentcore_rl.stores import Notices, RecordStore
from agentcore_rl.tasks import task_from_payload

__all__ = ["RolloutClient"]


class RolloutClient:
    """Runs rollouts one by one, or as many at once as you await.

        async with RolloutClient(launcher, store=store) as client:
            outcome = await client.rollout({"prompt": "What is 2 + 2?", "answer": "4"})
            rollout = await client.read(outcome)

    Attributes:
        run_id: the run to which all its rollouts belong.
    """

    def __init__(
        self,
        launcher: Launcher,
        *,
        store: RecordStore,
        notices: Notices | None = None,
        run: str | None = None,
        endpoint: Endpoint | None = None,
        concurrency: int = 4,
        deadline_s: float | None = None,
        max_turns: int | None = None,
        max_tokens: int | None = None,
        policy_version: int | None = None,
        stream: bool | None = None,
        destination: Destination | None = None,
        pace: Pace | None = None,
    ) -> None:
        """Takes what `BatchRunner` takes and means the same by it; `concurrency` is over all calls.

        Raises:
            ConfigurationError: an argument cannot be used.
        """
        self._runner = BatchRunner(
            launcher,
            store=store,
            notices=notices,
            run=run,
            endpoint=endpoint,
            concurrency=concurrency,
            deadline_s=deadline_s,
            max_turns=max_turns,
            max_tokens=max_tokens,
            policy_version=policy_version,
            stream=stream,
            destination=destination,
            pace=pace,
        )
        self._samples: Counter[str] = Counter()
        self.run_id = self._runner.run_id

    async def __aenter__(self) -> RolloutClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop whatever still runs."""
        await self._runner.aclose()

    async def rollout(
        self, payload: Mapping[str, Any], *, task: str | None = None, sample: int | None = None
    ) -> RolloutOutcome:
        """Run one rollout and wait for its outcome. A cancellation stops its session.

        Args:
            payload: the JSON object that the agent's handler gets.
            task: the task's id; None: the payload's `id`, else a digest of the payload.
            sample: its index among this task's rollouts; None takes the next.

        Raises:
            ConfigurationError: the payload cannot be used, or this client cannot read where the app writes.
            LauncherError: the app could not be reached at all.
        """
        wanted = task_from_payload(payload, id=task)
        number = self._samples[wanted.id] if sample is None else sample
        self._samples[wanted.id] = max(self._samples[wanted.id], number + 1)
        return await self._runner.run_one(wanted, number)

    async def read(self, outcome: RolloutOutcome) -> Rollout:
        """The record of an outcome, with its turns; raises as `BatchRunner.read` does."""
        return await self._runner.read(outcome)
