"""Submit: whose turn it is, when it may start, and how often a start is tried.

Rollouts begin in the order of asking, so that the group of a task begins before the next group;
a further attempt goes before everything that has not begun. A rollout begins when a place among
`concurrency` is free, a session of the launcher's budget is, and its rate lets a new session pass.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from agentcore_rl.batch.flight import Item, Pace
from agentcore_rl.exceptions import OutcomeUnknown, RetryLater, ServiceBusy
from agentcore_rl.launchers import Launcher
from agentcore_rl.outcome import RolloutOutcome

__all__ = ["Feed", "Submitter", "pause_before", "start_patiently"]

_UNKNOWN_TRIES = 3
_LONG_S = 4.0  # a wait that whoever looks on should hear of

_log = logging.getLogger(__name__)


class Feed:
    """What one caller asks for; items are made when their turn comes.

    Args:
        items: gives its items, in order of asking.
        hand: takes each outcome, or what broke the batch.

    Attributes:
        hand: as given.
        closed: the caller has left: nothing more begins for it.
        taken_on: the pipelines have it.
        flying: its items that were taken on and have no outcome.
    """

    def __init__(
        self,
        items: Callable[[Feed], Iterator[Item]],
        hand: Callable[[RolloutOutcome | BaseException], None],
    ) -> None:
        self._items = items(self)
        self.hand = hand
        self.closed = self.taken_on = False
        self.flying: set[Item] = set()

    def take(self) -> Item | None:
        """The next item; None when there is none."""
        item = None if self.closed else next(self._items, None)
        if item is not None:
            self.flying.add(item)
        return item


class Submitter:
    """Decides what begins next and when.

    Args:
        launcher: whose budget holds.
        concurrency: rollouts in flight at once.
        recall: asked of each new item; whether it needs an attempt to be begun.
        begin: called with each item whose turn has come.
    """

    def __init__(
        self,
        launcher: Launcher,
        concurrency: int,
        *,
        recall: Callable[[Item], Awaitable[bool]],
        begin: Callable[[Item], None],
    ) -> None:
        self._limiter = launcher.limiter
        self._slots = asyncio.Semaphore(concurrency)
        self._recall, self._begin = recall, begin
        self._feeds: deque[Feed] = deque()
        self._ready: list[Item] = []
        self._changed = asyncio.Event()

    def add(self, feed: Feed) -> None:
        """Take on what a caller asks for."""
        feed.taken_on = True
        self._feeds.append(feed)
        self._changed.set()

    def again(self, item: Item, pause_s: float) -> None:
        """Give an item another turn, before all that have not begun, once a pause is over."""

        def ready() -> None:
            heapq.heappush(self._ready, item)
            self._changed.set()

        asyncio.get_running_loop().call_later(pause_s, ready)

    def free_slot(self) -> None:
        """An item in flight has left its place."""
        self._slots.release()

    def free_session(self) -> None:
        """A session is no longer alive."""
        self._limiter.sessions.release()

    async def run(self) -> None:
        """Begin items for as long as the batch lives."""
        while True:
            await self._prepare()
            await self._slots.acquire()
            session = False
            try:
                await self._limiter.sessions.take()
                session = True
                await self._limiter.new_sessions.take()
                item = self._pop()
            except BaseException:
                self._give_back(session)
                raise
            if item is None:
                self._give_back(session)
            else:
                self._begin(item)

    def _give_back(self, session: bool) -> None:
        self._slots.release()
        if session:
            self._limiter.sessions.release()

    async def _prepare(self) -> None:
        """Wait until at least one item is ready."""
        while True:
            self._drop_over()
            if self._ready:
                return
            self._changed.clear()
            item = self._next()
            if item is None:
                await self._changed.wait()
            elif await self._recall(item) and not item.over:
                heapq.heappush(self._ready, item)

    def _next(self) -> Item | None:
        while self._feeds:
            item = self._feeds[0].take()
            if item is not None:
                return item
            self._feeds.popleft()
        return None

    def _pop(self) -> Item | None:
        self._drop_over()
        return heapq.heappop(self._ready) if self._ready else None

    def _drop_over(self) -> None:
        while self._ready and self._ready[0].over:
            heapq.heappop(self._ready)


async def start_patiently(
    launcher: Launcher,
    session: str,
    payload: Mapping[str, Any],
    *,
    patience_s: float,
    busy_s: float | None = None,
    first: bool = False,
) -> Mapping[str, Any]:
    """`launcher.start`, repeated with backoff while the place says "later" or nothing at all.

    The same session id makes every repetition safe: the app joins it to the first.

    Args:
        launcher: where.
        session: the session.
        payload: the rollout.
        patience_s: for how long "later" is taken for an answer.
        busy_s: the same where the service itself has too much to do; None is `patience_s`.
        first: the turn for the first try was taken already.

    Raises:
        LauncherError, RequestRefused: as `Launcher.start`; RetryLater when the patience is used up,
            OutcomeUnknown when no answer came several times.
    """
    began = time.monotonic()
    busy_s = patience_s if busy_s is None else busy_s
    wait_s, unknown = 0.25, 0
    while True:
        if not first:
            await launcher.limiter.new_sessions.take()
        first = False
        try:
            return await launcher.start(session, payload)
        except RetryLater as error:
            wait_s = min(wait_s * 2, 30.0)
            # The service's own wish, and not all at the same moment.
            pause = wait_s * random.uniform(0.5, 1.0) if error.after_s is None else error.after_s
            patience = busy_s if isinstance(error, ServiceBusy) else patience_s
            if time.monotonic() + pause > began + patience:
                raise
            if wait_s >= _LONG_S:
                _log.warning("Session %s waits to be started: %s", session, error)
        except OutcomeUnknown:
            unknown += 1
            if unknown >= _UNKNOWN_TRIES:
                raise
            pause = unknown * random.uniform(0.5, 1.0)
        await asyncio.sleep(pause)


def pause_before(number: int, pace: Pace) -> float:
    """Seconds until the attempt with this number among those of this process, with jitter."""
    return min(pace.again_s * 2.0 ** min(number - 1, 10), 60.0) * random.uniform(0.5, 1.0)
