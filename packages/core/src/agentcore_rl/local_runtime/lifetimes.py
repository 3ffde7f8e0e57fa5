"""When sessions end by themselves: after a time without use, and after a time in any case."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable

from agentcore_rl.launchers import SessionStatus
from agentcore_rl.local_runtime.process import SessionProcess

__all__ = ["IDLE_TIMEOUT_S", "MAX_LIFETIME_S", "Lifetimes"]

IDLE_TIMEOUT_S = 900.0
"""AgentCore Runtime's default."""
MAX_LIFETIME_S = 28_800.0
"""AgentCore Runtime's default."""
_AT_ONCE = 16
_LOOKS = 4


class Lifetimes:
    """Ends sessions that are idle for too long, or too old.

    A session is idle while no call waits for it and its /ping says Healthy; HealthyBusy prolongs. Only
    one that has been quiet for the whole timeout is asked. One that was busy then is asked four times
    per timeout, so that it ends between one and one and a quarter timeouts after its last sign of life.
    A session that gives no answer counts as busy; its lifetime ends it.

    Args:
        sessions: gives the sessions that are alive.
        status: asks a session's /ping.
        idle_timeout_s, max_lifetime_s: seconds; None is no limit.
    """

    def __init__(
        self,
        sessions: Callable[[], Iterable[SessionProcess]],
        status: Callable[[SessionProcess], Awaitable[SessionStatus]],
        *,
        idle_timeout_s: float | None,
        max_lifetime_s: float | None,
    ) -> None:
        self._sessions, self._status = sessions, status
        self._idle_s = math.inf if idle_timeout_s is None else idle_timeout_s
        self._life_s = math.inf if max_lifetime_s is None else max_lifetime_s
        self._asking = asyncio.Semaphore(_AT_ONCE)
        self._ending: set[asyncio.Task[None]] = set()

    async def watch(self) -> None:
        """End what is due, until cancelled."""
        longest = min(self._idle_s, self._life_s)
        if longest == math.inf:
            return
        now = asyncio.get_running_loop().time
        while True:
            began = now()
            alive = [session for session in self._sessions() if session.alive]
            await asyncio.gather(*(self._look(session) for session in alive if self._due(session) <= began))
            # A session that begins meanwhile is not due before the shorter of the two times is over.
            due = min((self._due(session) for session in self._sessions() if session.alive), default=math.inf)
            await asyncio.sleep(min(longest, max(0.0, due - now())))

    def _due(self, session: SessionProcess) -> float:
        if session.calls:
            # Asked again when its call may be over and long past.
            quiet = asyncio.get_running_loop().time() + self._idle_s
        else:
            quiet = session.quiet_since + self._idle_s
            quiet = quiet if session.look_at is None else min(quiet, session.look_at)
        return min(session.born + self._life_s, quiet)

    async def _look(self, session: SessionProcess) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() >= session.born + self._life_s:
            self._end(session, f"reached its maximum lifetime of {self._life_s:g} s")
            return
        async with self._asking:
            asked_at, seen = loop.time(), session.quiet_since
            status = await self._status(session)
        if session.calls or session.quiet_since != seen or not session.alive:
            return
        if status is not SessionStatus.IDLE:
            session.quiet_since, session.look_at = asked_at, asked_at + self._idle_s / _LOOKS
        elif asked_at >= seen + self._idle_s:
            self._end(session, f"was idle for {self._idle_s:g} s")
        else:
            session.look_at = None

    def _end(self, session: SessionProcess, reason: str) -> None:
        task = asyncio.create_task(session.stop(reason))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
