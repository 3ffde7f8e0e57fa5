"""One attempt in flight, as the client sees it."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentcore_rl.exceptions import LauncherError, LaunchRejected, RequestRefused, StoreError
from agentcore_rl.outcome import Phases, RequestIds, RolloutOutcome
from agentcore_rl.rollout import Failure, FailureKind, Status

__all__ = ["Item", "Pace", "start_failure", "unreadable"]


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
    """

    hear_s: float = 1.0
    list_s: float = 15.0
    look_s: float = 1.0
    grace_s: float = 3.0
    idle_s: float = 15.0
    past_deadline_s: float = 30.0
    start_s: float = 300.0
    store_s: float = 300.0


@dataclass(eq=False, slots=True)
class Item:
    """One attempt in flight, with the moments (monotonic) at which it passed from phase to phase."""

    ids: RequestIds
    payload: Mapping[str, Any]
    deliver: Callable[[RolloutOutcome | BaseException], None]
    deadline_s: float | None = None
    asked: float = field(default_factory=time.monotonic)
    begun: float | None = None
    accepted: float | None = None
    heard: float | None = None
    status: Status = Status.QUEUED
    taken: bool = False
    starting: asyncio.Task[None] | None = None
    reading: bool = False
    alive: bool = False
    next_look: float = 0.0
    idle_since: float | None = None

    @property
    def done(self) -> bool:
        """It has its outcome."""
        return self.status in (Status.SUCCEEDED, Status.FAILED)

    def phases(self, read_from: float | None) -> Phases:
        """Where its time went until now; `read_from` is when reading its record began, None if it did not."""
        now = time.monotonic()
        begun, accepted, heard = self.begun, self.accepted, self.heard
        return Phases(
            queued_s=None if begun is None else begun - self.asked,
            start_s=None if begun is None or accepted is None else accepted - begun,
            run_s=None if accepted is None or heard is None else max(0.0, heard - accepted),
            read_s=None if read_from is None else now - read_from,
            total_s=now - self.asked,
        )


def start_failure(error: Exception) -> Failure:
    """The failure of a rollout whose start raised."""
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
    """The failure of a rollout whose record is there and cannot be read."""
    text = str(error) if isinstance(error, StoreError) else f"The record cannot be read: {error!r}"
    return Failure(FailureKind.SINK, text, type=type(error).__name__, retryable=True)
