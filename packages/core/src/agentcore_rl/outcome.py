"""What a batch says of each rollout, and of itself while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agentcore_rl.reward import Reward
from agentcore_rl.rollout import Failure, Status

__all__ = ["Phases", "Progress", "RequestIds", "RolloutOutcome"]


@dataclass(frozen=True, slots=True)
class RequestIds:
    """The ids of one attempt, as the client asked for it.

    Attributes:
        run, task, sample, attempt, session: see the glossary.
        key: the record's key in its store.
    """

    run: str
    task: str
    sample: int
    attempt: int
    session: str
    key: str

    @property
    def rollout_id(self) -> str:
        """`{task}.{sample}`: the rollout's id in its run."""
        return f"{self.task}.{self.sample}"


@dataclass(frozen=True, slots=True)
class Phases:
    """Where the time of a rollout went, in seconds, as the client saw it. None: it did not come to this.

    Attributes:
        queued_s: until its turn came.
        start_s: from there until the app had answered.
        run_s: from there until the record was heard of (0 when it came before the answer).
        read_s: to read and decode the record.
        total_s: from the call of `run` to the outcome.
    """

    queued_s: float | None
    start_s: float | None
    run_s: float | None
    read_s: float | None
    total_s: float


@dataclass(frozen=True, slots=True)
class RolloutOutcome:
    """How one rollout ended. Its turns are in the record: `await runner.read(outcome)`.

    Attributes:
        request: the ids of the attempt that counts.
        status: succeeded or failed.
        failure: what broke; None when it succeeded.
        reward: the judgement; None when not judged.
        location: where the record is, for a person; None when there is none.
        timings: where the time went, in the attempt that counts.
        attempts: how many were made.
        earlier: it had been delivered before the run was resumed.
        witnessed: the gateway has seen the very answers, id for id, that the record holds; False: others;
            None: there was no gateway, no record, or the gateway could not be asked.
    """

    request: RequestIds
    status: Status
    failure: Failure | None
    reward: Reward | None
    location: str | None
    timings: Phases
    attempts: int = 1
    earlier: bool = False
    witnessed: bool | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a batch stands.

    Attributes:
        total: rollouts asked for.
        queued: of these, not begun.
        running: of these, begun and without an outcome.
        succeeded: of these, succeeded.
        failed: of these, failed, by failure kind.
        again: further attempts that were decided on, after failures of infrastructure.
        judged: rollouts with a reward.
        mean_reward: over the judged; None when there is none.
        elapsed_s: seconds since the first call of `run`; 0 before.
    """

    total: int = 0
    queued: int = 0
    running: int = 0
    succeeded: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)
    again: int = 0
    judged: int = 0
    mean_reward: float | None = None
    elapsed_s: float = 0.0

    @property
    def done(self) -> int:
        """Rollouts with an outcome."""
        return self.succeeded + sum(self.failed.values())
