"""Limits that hold: rates and numbers of sessions, across threads and event loops.

The client paces itself with them and the local runtime refuses with them, so that each can be
tested against the other. Nothing here reads the wall clock.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

__all__ = ["AGENTCORE_QUOTAS", "Limiter", "Quotas", "RateLimiter", "Slots"]

_SLOWEST = 1 / 16
_RECOVERY_S = 30.0
_ONE_THROTTLING_S = 1.0


@dataclass(frozen=True, slots=True)
class Quotas:
    """What a place allows; None is no limit.

    Attributes:
        new_sessions_per_s: sessions that may be started, per second.
        interactions_per_s: calls of any kind, per second.
        active_sessions: sessions alive at once.
    """

    new_sessions_per_s: float | None = None
    interactions_per_s: float | None = None
    active_sessions: int | None = None


AGENTCORE_QUOTAS = Quotas(new_sessions_per_s=25.0, interactions_per_s=200.0, active_sessions=1000)
"""AgentCore Runtime's, as documented in July 2026; they moved twice in the year before, so look yours up."""


class RateLimiter:
    """A token bucket. Thread-safe, and usable from any number of event loops at once.

    In any span of t seconds at most `burst + rate * t` calls pass. Who waits is served in the order of
    asking. `throttled()` halves the rate; it comes back within half a minute of silence.

    Args:
        rate: calls per second, above 0; None lets every call pass.
        burst: calls that may come at once after a pause, at least 1. With 1 calls are evenly spaced.
        clock: seconds that never go back.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self, rate: float | None, *, burst: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if rate is not None and not (rate > 0 and math.isfinite(rate)):
            raise ValueError(f"A rate is a number of calls per second above 0, not {rate!r}.")
        if not burst >= 1:
            raise ValueError(f"A burst is a number of calls of at least 1, not {burst!r}.")
        self._full = rate
        self._rate = rate or math.inf
        self._burst = burst
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens = burst
        self._seen = clock()
        self._throttled_at = -math.inf

    @property
    def rate(self) -> float | None:
        """Calls per second at this moment; None without a limit."""
        if self._full is None:
            return None
        with self._lock:
            self._refill()
            return self._rate

    def try_take(self) -> float:
        """Take a call's turn if it may pass now: 0.0 when it may, else the seconds until it might."""
        if self._full is None:
            return 0.0
        with self._lock:
            self._refill()
            if self._tokens >= 1:
                self._tokens -= 1
                return 0.0
            return (1 - self._tokens) / self._rate

    async def take(self) -> None:
        """Wait for a call's turn."""
        wait_s = self._reserve()
        if wait_s > 0:
            try:
                await asyncio.sleep(wait_s)
            except asyncio.CancelledError:
                with self._lock:
                    self._tokens += 1
                raise

    def take_blocking(self) -> None:
        """Wait for a call's turn; for threads."""
        time.sleep(self._reserve())

    def throttled(self) -> None:
        """The service refused a call for its rate: slow down.

        Refusals within a second of each other count once, since they tell of the same moment.
        """
        if self._full is None:
            return
        with self._lock:
            self._refill()
            now = self._clock()
            if now - self._throttled_at >= _ONE_THROTTLING_S:
                self._throttled_at = now
                self._rate = max(self._rate / 2, self._full * _SLOWEST)
                self._tokens = min(self._tokens, 0.0)

    def _reserve(self) -> float:
        if self._full is None:
            return 0.0
        with self._lock:
            self._refill()
            self._tokens -= 1
            return max(0.0, -self._tokens / self._rate)

    def _refill(self) -> None:
        assert self._full is not None
        now = self._clock()
        passed = max(0.0, now - self._seen)
        self._seen = now
        self._tokens = min(self._burst, self._tokens + passed * self._rate)
        self._rate = min(self._full, self._rate + passed * self._full / _RECOVERY_S)


class Slots:
    """A number of places of which each holder occupies one. Thread-safe, and usable from any event loop.

    Args:
        number: of places, at least 1; None for no limit.

    Raises:
        ValueError: the number is below 1.
    """

    def __init__(self, number: int | None) -> None:
        if number is not None and number < 1:
            raise ValueError(f"There must be at least 1 place, not {number}.")
        self._number = number
        self._lock = threading.Lock()
        self._taken = 0
        self._waiting: deque[Future[None]] = deque()

    @property
    def taken(self) -> int:
        """Places that are occupied."""
        return self._taken

    def try_take(self) -> bool:
        """Take a place if one is free and nobody waits for it; whether it was taken."""
        with self._lock:
            if self._number is not None and (self._taken >= self._number or self._waiting):
                return False
            self._taken += 1
            return True

    async def take(self) -> None:
        """Wait for a place; in the order of asking."""
        with self._lock:
            if self._number is None or (self._taken < self._number and not self._waiting):
                self._taken += 1
                return
            turn: Future[None] = Future()
            self._waiting.append(turn)
        try:
            await asyncio.wrap_future(turn)
        except asyncio.CancelledError:
            # Either it never gets the place, or it got it at this very moment and hands it on.
            if not turn.cancel() and not turn.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Give a place back; whoever waits longest gets it."""
        with self._lock:
            while self._waiting:
                turn = self._waiting.popleft()
                if turn.set_running_or_notify_cancel():
                    break
            else:
                self._taken -= 1
                return
        turn.set_result(None)


class Limiter:
    """The budget of one place, shared by everything that calls it.

    Args:
        quotas: what the place allows.

    Attributes:
        quotas: as given.
        new_sessions: turns of calls that start a session.
        interactions: turns of all calls, those that start a session among them.
        sessions: places of sessions that are alive.
    """

    def __init__(self, quotas: Quotas | None = None) -> None:
        self.quotas = quotas or Quotas()
        self.new_sessions = _paced(self.quotas.new_sessions_per_s)
        self.interactions = _paced(self.quotas.interactions_per_s)
        self.sessions = Slots(self.quotas.active_sessions)


def _paced(rate: float | None) -> RateLimiter:
    """Even spacing, with a tenth of a second to make up for what a busy machine does late."""
    return RateLimiter(rate, burst=max(1.0, (rate or 0.0) / 10))
