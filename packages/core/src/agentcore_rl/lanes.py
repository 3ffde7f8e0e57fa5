"""Lanes: what waits for one thing to work, and the threads that serve them.

A lane is served by several threads at once while it works and asked with one item while it does
not, at pauses that double. As many threads live as have something to do, and one that waits, so
that neither a lane that hangs nor the way to it holds up another.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from agentcore_rl.exceptions import AgentCoreRLError
from agentcore_rl.logs import logger_of

__all__ = ["THREADS", "WIDTH", "Lane", "Lanes"]

_log = logger_of(__name__)

WIDTH = 4
"""Items that one lane is given at once while it works."""
THREADS = 32
"""Threads that live at most; so many calls that hang are waited for at once."""
_WAITING = 2  # with one alone, each item would start a thread that ends at once


class _Item(Protocol):
    busy: bool
    """Whether a thread has it; no other may, in whichever lane."""


Item = TypeVar("Item", bound=_Item)


@dataclass(slots=True, eq=False)
class Lane(Generic[Item]):
    """What waits for one thing to work: a store, a channel of notices, the spool.

    Attributes:
        name: for the log.
        serve: does an item's part; raises to have it tried again later.
        items: those that wait, and those that threads have.
        due: when the next item may be tried, on the monotonic clock.
        failures: since the last success.
        busy: how many of its items threads have.
    """

    name: str
    serve: Callable[[Item], None]
    items: deque[Item] = field(default_factory=deque)
    due: float = 0.0
    failures: int = 0
    busy: int = 0

    def next(self) -> Item | None:
        """The item that may be tried when the lane's time has come; None when there is none now."""
        if self.busy >= (1 if self.failures else WIDTH):
            return None
        return next((item for item in self.items if not item.busy), None)


class Lanes(Generic[Item]):
    """Some lanes and their threads. Whoever changes items or lanes holds `changed`, and notifies it.

    Args:
        first: a lane that is always there.
        retry_s: the first and the longest pause of a lane after failures; they double, with jitter.
        is_done: whether nothing is left to do, asked when it is closing.

    Attributes:
        changed: the lock of all this, and of what its owner keeps beside it.
    """

    def __init__(
        self, first: Lane[Item], *, retry_s: tuple[float, float], is_done: Callable[[], bool]
    ) -> None:
        self.changed = threading.Condition()
        self._first = first
        self._retry_s = retry_s
        self._is_done = is_done
        self._lanes: dict[Hashable, Lane[Item]] = {}
        self._threads: set[threading.Thread] = set()
        self._waiting = 0
        self._until: float | None = None

    def start(self, before: Callable[[], None]) -> bool:
        """Serve from now on, and call `before` on the side; False when it serves already, or is closed."""
        with self.changed:
            if self._threads or self._until is not None:
                return False
            self._add_thread(before)
            self._add_thread(self._work)
            return True

    def add(self, item: Item, key: Hashable, name: str, serve: Callable[[Item], None]) -> None:
        """Put an item at the end of the lane with this key."""
        for old in [
            old for old, lane in self._lanes.items() if not lane.items and not lane.failures and old != key
        ]:
            del self._lanes[old]
        self._lanes.setdefault(key, Lane(name, serve)).items.append(item)
        self.changed.notify_all()

    def failed(self, lane: Lane[Item]) -> None:
        """Give the lane a pause, longer than the one before."""
        first, longest = self._retry_s
        pause = min(longest, first * 2.0 ** min(lane.failures, 30))
        lane.failures += 1
        lane.due = time.monotonic() + pause * random.uniform(0.5, 1.0)

    def close(self, timeout_s: float) -> bool:
        """Serve what can be served within `timeout_s` seconds, and stop; whether all threads have ended."""
        with self.changed:
            self._until = time.monotonic() + timeout_s
            for lane in (self._first, *self._lanes.values()):
                lane.due = 0.0
            self.changed.notify_all()
            return self.changed.wait_for(lambda: not self._threads, timeout_s + 1.0)

    # ── the threads

    def _add_thread(self, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            finally:
                with self.changed:
                    self._threads.discard(thread)
                    self.changed.notify_all()

        thread = threading.Thread(target=run, name="agentcore-rl-sink", daemon=True)
        self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError:  # the system has no more: those that are there do all
            self._threads.discard(thread)
            if not self._threads:
                raise

    def _work(self) -> None:
        """Serve until there is nothing to do and another thread waits for what comes."""
        while (found := self._next()) is not None:
            self._serve(*found)

    def _next(self) -> tuple[Lane[Item], Item, int] | None:
        """An item to serve now, and its lane's failures, waiting for one; None when this thread may end."""
        with self.changed:
            while True:
                now = time.monotonic()
                if self._until is not None and (self._is_done() or now >= self._until):
                    self.changed.notify_all()
                    return None
                ready = [
                    (lane.due, number, lane, item)
                    for number, lane in enumerate((self._first, *self._lanes.values()))
                    if (item := lane.next()) is not None
                ]
                due, _, lane, item = min(ready, default=(None, 0, self._first, None))
                if due is not None and item is not None and due <= now:
                    self._take(lane, item, now)
                    return lane, item, lane.failures
                if self._waiting >= _WAITING:
                    return None
                times = [at for at in (due, self._until) if at is not None]
                self._waiting += 1
                self.changed.wait(min(times) - now if times else None)
                self._waiting -= 1

    def _take(self, lane: Lane[Item], item: Item, now: float) -> None:
        item.busy = True
        lane.busy += 1
        # Lanes take turns: the one that was served longest ago is next.
        lane.due = now
        # Somebody waits for what comes meanwhile.
        if not self._waiting and len(self._threads) < THREADS:
            self._add_thread(self._work)

    def _serve(self, lane: Lane[Item], item: Item, failures: int) -> None:
        try:
            lane.serve(item)
        except Exception as error:  # noqa: BLE001 - whatever a store raises, the item must not be lost
            self._retry_later(lane, item, error, failures)
            return
        with self.changed:
            self._let_go(lane, item)
            if lane.failures == failures:  # else it says nothing about what has failed since
                lane.failures = 0

    def _retry_later(self, lane: Lane[Item], item: Item, error: Exception, failures: int) -> None:
        with self.changed:
            # To the end: an item that can never be served must not keep the others back.
            self._let_go(lane, item)
            lane.items.append(item)
            if lane.failures > failures:  # several that were on their way are one failure of the lane
                return
            self.failed(lane)
            now = lane.failures
        if now in (1, 10) or now % 100 == 0:
            reason = (
                str(error) if isinstance(error, AgentCoreRLError) else f"{type(error).__name__} was raised."
            )
            _log.warning("%s does not work (%d times in a row): %s", lane.name, now, reason)

    def _let_go(self, lane: Lane[Item], item: Item) -> None:
        with suppress(ValueError):
            lane.items.remove(item)
        lane.busy -= 1
        item.busy = False
        self.changed.notify_all()
