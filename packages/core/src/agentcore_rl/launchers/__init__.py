"""What starts rollouts somewhere: one protocol, an implementation per place.

Results never travel through a launcher; records and notices do. Every method is idempotent on
the session id.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol

from agentcore_rl.limits import Limiter

__all__ = ["Launcher", "SessionStatus"]


class SessionStatus(StrEnum):
    """What a session is doing.

    busy: a rollout runs, or a record waits in its spool. idle: alive with nothing to do.
    gone: dead or stopped, will never report. unknown: cannot be told now.
    """

    BUSY = "busy"
    IDLE = "idle"
    GONE = "gone"
    UNKNOWN = "unknown"


class Launcher(Protocol):
    """Starts, looks at and stops sessions of one app."""

    @property
    def limiter(self) -> Limiter:
        """The place's budget.

        Who starts sessions takes `sessions` and `new_sessions` from it before each try; the launcher takes
        `interactions` itself, for every call that it makes, and says what was throttled.
        """
        ...

    async def start(self, session: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Deliver `payload` to the session, starting it if need be; the app's immediate answer.

        Args:
            session: 33-100 characters of [A-Za-z0-9-_].
            payload: the JSON object that the app's /invocations gets.

        Raises:
            RetryLater, SessionLost, LaunchRejected, OutcomeUnknown: see `agentcore_rl.exceptions`.
        """
        ...

    async def status(self, session: str) -> SessionStatus:
        """What the session is doing now. Never raises for an unknown session (`gone`)."""
        ...

    async def stop(self, session: str) -> None:
        """End the session. Stopping one that is gone is fine."""
        ...

    async def aclose(self) -> None:
        """Release this launcher's own resources; sessions that still run are stopped where it owns them."""
        ...
