"""Watch: sessions that are gone, idle, or past their deadline, without a record.

A session that is gone is looked after twice, because what drains its spool may be slower than the
news of its death.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

from agentcore_rl.batch.flight import Attempt, Pace
from agentcore_rl.batch.threads import Threads
from agentcore_rl.exceptions import RecordNotFound, StoreError
from agentcore_rl.launchers import Launcher, SessionStatus
from agentcore_rl.logs import logger_of
from agentcore_rl.stores import RecordStore

__all__ = ["Watch"]

_log = logger_of(__name__)
_AT_ONCE = 8


class Watch:
    """Looks at the sessions of attempts that are in flight.

    Args:
        launcher: whose sessions they are.
        store: where their records would be.
        pace: how often, and how patiently.
        deadline_s: of each rollout; None without.
        threads: where blocking calls are made.
        flying: the attempts in flight.
        own: runs a coroutine on the side.
        stop: stops a session.
        heard: called with a key at which a record is.
        lost: called with an attempt that will not report, and why.
    """

    def __init__(
        self,
        launcher: Launcher,
        store: RecordStore,
        pace: Pace,
        deadline_s: float | None,
        threads: Threads,
        *,
        flying: Callable[[], Iterable[Attempt]],
        own: Callable[[Awaitable[None]], object],
        stop: Callable[[str], Awaitable[None]],
        heard: Callable[[str], None],
        lost: Callable[[Attempt, str], Awaitable[None]],
    ) -> None:
        self._launcher, self._store, self._pace = launcher, store, pace
        self._deadline_s, self._threads = deadline_s, threads
        self._flying, self._own, self._stop, self._heard, self._lost = flying, own, stop, heard, lost
        self._looking = asyncio.Semaphore(_AT_ONCE)

    async def run(self) -> None:
        """Look for as long as the batch lives."""
        while True:
            now = time.monotonic()
            due = [
                attempt
                for attempt in self._flying()
                if attempt.accepted is not None and attempt.next_look <= now and attempt.outcome is None
            ]
            for attempt in due:
                attempt.next_look = float("inf")
                self._own(self._look_at(attempt))
            await asyncio.sleep(min(0.25, self._pace.look_s))

    async def _look_at(self, attempt: Attempt) -> None:
        assert attempt.accepted is not None
        status = SessionStatus.UNKNOWN
        async with self._looking:
            try:
                status = await self._launcher.status(attempt.session)
            except Exception as error:  # noqa: BLE001 - one session that cannot be seen harms no other
                _log.info("%s cannot be looked at now: %s", attempt.ids.rollout_id, error)
        now = time.monotonic()
        attempt.idle_since = (attempt.idle_since or now) if status is SessionStatus.IDLE else None
        ended, limit_s, grace_s = None, self._deadline_s, self._pace.past_deadline_s
        if status is SessionStatus.GONE:
            ended = "The session ended without a record."
        elif attempt.idle_since is not None and now - attempt.idle_since >= self._pace.idle_s:
            ended = "The session has nothing to do and left no record; was its process started anew?"
        elif limit_s is not None and now - attempt.accepted > limit_s + grace_s:
            ended = f"No record came within {limit_s:g} s and {grace_s:g} s of grace."
        if ended is None:
            attempt.next_look = now + min(max(self._pace.look_s, (now - attempt.accepted) / 10), 30.0)
            return
        if status is not SessionStatus.GONE:
            await self._stop(attempt.session)
        if not await self.look_for(attempt):
            await self._lost(attempt, ended)
        attempt.next_look = time.monotonic() + self._pace.grace_s

    async def look_for(self, attempt: Attempt) -> bool:
        """Look for the record of a session that ended, now and after the grace; whether it is there."""
        patience = time.monotonic() + self._pace.store_s
        looks = 0
        while looks < 2 and attempt.outcome is None and not attempt.reading:
            try:
                await self._threads.call(lambda: self._store.get(attempt.ids.key))
            except RecordNotFound:
                looks += 1
                if looks < 2:
                    await asyncio.sleep(self._pace.grace_s)
            except StoreError:
                if time.monotonic() > patience:
                    return False
                await asyncio.sleep(1.0)
            else:
                self._heard(attempt.ids.key)
        return attempt.outcome is not None or attempt.reading
