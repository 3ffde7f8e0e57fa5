"""A rollout in flight, with its attempts, as the client sees it."""

from __future__ import annotations

import asyncio
import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agentcore_rl.exceptions import LauncherError, LaunchRejected, RequestRefused, StoreError
from agentcore_rl.outcome import Phases, RequestIds, RolloutOutcome
from agentcore_rl.rollout import Failure, FailureKind, Rollout, Status
from agentcore_rl.stores import RecordStore

if TYPE_CHECKING:
    from agentcore_rl.batch.submit import Feed
    from agentcore_rl.tasks import Task

__all__ = [
    "Attempt",
    "Item",
    "Pace",
    "given_up",
    "location_of",
    "outcome_of",
    "start_failure",
    "unreadable",
    "unrecorded",
]


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the client looks and how long it is patient, in seconds.

    Attributes:
        hear_s: for how long one call waits for notices; ending a batch may take as long.
        list_s: between two LISTs of the run; at least ten times what the last one took.
        look_s: until a session is looked at first; later looks come at a tenth of its age.
        grace_s: from a session's end to the last look for its record.
        idle_s: how long a session may be idle without a record before it counts as lost.
        past_deadline_s: how long after a rollout's deadline its record may come.
        start_s: for how long a start is repeated while the place says "later".
        store_s: for how long a record that is announced may stay unreadable.
        again_s: before a second attempt; it doubles with each further one, up to a minute.
        ears: calls that wait for notices at once.
    """

    hear_s: float = 1.0
    list_s: float = 15.0
    look_s: float = 1.0
    grace_s: float = 3.0
    idle_s: float = 15.0
    past_deadline_s: float = 30.0
    start_s: float = 300.0
    store_s: float = 300.0
    again_s: float = 1.0
    ears: int = 1


@dataclass(eq=False, slots=True)
class Attempt:
    """One attempt, with the moments (monotonic) at which it passed from phase to phase.

    Attributes:
        ids: its ids.
        asked: when it was decided on.
        begun: when its turn came.
        accepted: when the app had answered.
        heard: when its record was heard of.
        idle_since: since when its session was seen idle.
        next_look: when to look at its session.
        alive: its session occupies a place.
        reading: somebody reads its record.
        rejoined: an earlier process of this client began it.
        keyed: the gateway has a key for it.
        starting: the task that starts it.
        outcome: how it ended; None while it may still report.
        recorded: its outcome was read from its record.
    """

    ids: RequestIds
    asked: float = field(default_factory=time.monotonic)
    begun: float | None = None
    accepted: float | None = None
    heard: float | None = None
    idle_since: float | None = None
    next_look: float = 0.0
    alive: bool = False
    reading: bool = False
    rejoined: bool = False
    keyed: bool = False
    starting: asyncio.Task[None] | None = None
    outcome: RolloutOutcome | None = None
    recorded: bool = False

    @property
    def attempt(self) -> int:
        """Its number, from 0."""
        return self.ids.attempt

    @property
    def session(self) -> str:
        """Its session."""
        return self.ids.session

    @property
    def failure(self) -> Failure | None:
        """What broke; None when it succeeded, or has not ended."""
        return None if self.outcome is None else self.outcome.failure

    def phases(self, asked: float, read_from: float | None) -> Phases:
        """Where its time went until now.

        Args:
            asked: when its rollout was asked for.
            read_from: when reading its record began; None if it did not.
        """
        now = time.monotonic()
        begun, accepted, heard = self.begun, self.accepted, self.heard
        return Phases(
            queued_s=None if begun is None else begun - self.asked,
            start_s=None if begun is None or accepted is None else accepted - begun,
            run_s=None if accepted is None or heard is None else max(0.0, heard - accepted),
            read_s=None if read_from is None else now - read_from,
            total_s=now - asked,
        )


@dataclass(eq=False, slots=True)
class Item:
    """One rollout that is asked for, until its outcome is delivered.

    Attributes:
        task: what it tries.
        sample: its index among the rollouts of this task.
        feed: whose it is.
        number: its place in the order of asking.
        left: attempts that may still be begun.
        asked: when it was asked for.
        status: queued, running, or how it ended.
        dropped: who asked has left.
        first: none of its attempts was begun by this process.
        waiting: a further attempt is decided on and has not begun.
        attempts: those made, in order; the last one is the current one.
    """

    task: Task
    sample: int
    feed: Feed
    number: int
    left: int
    asked: float = field(default_factory=time.monotonic)
    status: Status = Status.QUEUED
    dropped: bool = False
    waiting: bool = False
    first: bool = True
    attempts: list[Attempt] = field(default_factory=list)

    def __lt__(self, other: Item) -> bool:
        return self.number < other.number

    @property
    def rollout_id(self) -> str:
        """`{task}.{sample}`."""
        return f"{self.task.id}.{self.sample}"

    @property
    def current(self) -> Attempt:
        """The attempt that was decided on last."""
        return self.attempts[-1]

    @property
    def over(self) -> bool:
        """Nobody waits for it any more: it has its outcome, or was dropped."""
        return self.dropped or self.status in (Status.SUCCEEDED, Status.FAILED)

    def deliver(self, outcome: RolloutOutcome) -> None:
        """Give its outcome to whoever asked."""
        self.status = outcome.status
        self.feed.flying.discard(self)
        self.feed.hand(outcome)


def start_failure(error: Exception) -> Failure:
    """The failure of an attempt whose start raised."""
    if isinstance(error, LaunchRejected | RequestRefused):
        return Failure(FailureKind.CONTRACT, str(error), type=type(error).__name__)
    if isinstance(error, LauncherError):
        return Failure(FailureKind.RUNTIME, str(error), type=type(error).__name__, retryable=True)
    return Failure(
        FailureKind.RUNTIME,
        f"The launcher broke: {error!r}",
        type=type(error).__name__,
        traceback="".join(traceback.format_exception(error)),
        retryable=True,
    )


def unreadable(error: Exception) -> Failure:
    """The failure of an attempt whose record is there and cannot be read."""
    text = str(error) if isinstance(error, StoreError) else f"The record cannot be read: {error!r}"
    return Failure(FailureKind.SINK, text, type=type(error).__name__, retryable=True)


def given_up() -> Failure:
    """The failure of an attempt that an earlier process of this client began and did not see to its end."""
    return Failure(FailureKind.RUNTIME, "The client that had begun it ended first.", retryable=True)


def location_of(store: RecordStore, key: str) -> str:
    """Where an object is, for a person."""
    return f"{store.location.rstrip('/')}/{key}"


def outcome_of(
    ids: RequestIds, rollout: Rollout, location: str, timings: Phases, *, witnessed: bool | None = None
) -> RolloutOutcome:
    """How an attempt ended, as its record says."""
    return RolloutOutcome(
        request=ids,
        status=rollout.status,
        failure=rollout.failure,
        reward=rollout.reward,
        location=location,
        timings=timings,
        witnessed=witnessed,
    )


def unrecorded(
    ids: RequestIds, failure: Failure, timings: Phases, location: str | None = None
) -> RolloutOutcome:
    """How an attempt ended that left no record, or at `location` one that cannot be read."""
    return RolloutOutcome(ids, Status.FAILED, failure, None, location, timings)
