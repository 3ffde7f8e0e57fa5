"""Submit, hear, read and stop: four pipelines that share nothing but the items in flight.

    submit   queue ► slot ► launcher.start, retried while the place says "later"
    hear     notices (long poll) and a slow LIST; both only say "look at this key"
    watch    sessions that are gone, or past their deadline, without a record
    read     key ► record ► outcome; whoever hears first, once per item
    stop     the session of an item with an outcome, off the critical path

The record in the store is the truth. A session that is gone is looked after twice, because what
drains its spool may be slower than the news of its death.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from agentcore_rl.codec import decode_record
from agentcore_rl.exceptions import (
    ConfigurationError,
    LauncherError,
    LaunchRejected,
    OutcomeUnknown,
    RecordNotFound,
    RequestRefused,
    RetryLater,
    StoreError,
    StoreUnavailable,
)
from agentcore_rl.flight import Item, Pace, start_failure, unreadable
from agentcore_rl.journal import Journal
from agentcore_rl.launchers import Launcher, SessionStatus
from agentcore_rl.logs import logger_of
from agentcore_rl.outcome import RolloutOutcome
from agentcore_rl.rollout import Failure, FailureKind, Rollout, Status
from agentcore_rl.stores import Notices, RecordStore

__all__ = ["Pipelines", "finish"]

_log = logger_of(__name__)
T = TypeVar("T")


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end whatever is cancelled meanwhile; a cancellation is raised afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
        except Exception:  # noqa: BLE001 - raised below, from the task itself
            break
    if cancelled is not None:
        raise cancelled
    return task.result()


class Pipelines:
    """The machinery of a batch while it runs; made, used and closed on one event loop."""

    def __init__(
        self,
        launcher: Launcher,
        store: RecordStore,
        notices: Notices | None,
        *,
        folder: str,
        concurrency: int,
        pace: Pace,
        journal: Journal | None,
        on_change: Callable[[Item], None],
    ) -> None:
        self.launcher = launcher
        self.store = store
        self._notices = notices
        self._folder = folder
        self._pace = pace
        self._journal = journal
        self._on_change = on_change
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="agentcore-rl-batch")
        self._diary = ThreadPoolExecutor(1, thread_name_prefix="agentcore-rl-journal")
        self._items: dict[str, Item] = {}
        self._queue: asyncio.Queue[Item] = asyncio.Queue()
        self._slots = asyncio.Semaphore(concurrency)
        alive = launcher.limits.concurrent
        self._alive = None if alive is None else asyncio.Semaphore(alive)
        self._stopping = asyncio.Semaphore(8)
        self._looking = asyncio.Semaphore(8)
        self._tasks: set[asyncio.Task[None]] = set()
        self._stops: set[asyncio.Task[None]] = set()
        self._broken: BaseException | None = None

    # Opening and closing

    def open(self) -> None:
        """Start the pipelines that run for as long as there are items."""
        self._own(self._submit_all())
        self._own(self._list_all())
        self._own(self._watch_all())
        if self._notices is not None:
            self._own(self._hear_all(self._notices))

    def submit(self, items: Sequence[Item]) -> None:
        """Take items; each gets exactly one outcome, unless it is dropped before.

        Raises:
            ConfigurationError: one of them runs already; none is taken.
        """
        for item in items:
            if item.ids.session in self._items:
                raise ConfigurationError(f"Rollout {item.ids.rollout_id} is running already.")
        for item in items:
            self._items[item.ids.session] = item
            item.taken = True
            self._on_change(item)
            if self._broken is not None:
                item.deliver(self._broken)
            self._queue.put_nowait(item)

    async def drop(self, items: Sequence[Item]) -> None:
        """Give up items: what has begun is stopped, nothing of them is delivered."""
        given_up = [item for item in items if self._items.get(item.ids.session) is item]
        for item in given_up:
            del self._items[item.ids.session]
        begun = [item for item in given_up if item.begun is not None]
        for item in begun:
            if item.starting is not None:
                item.starting.cancel()
            self._stop_later(item)
        if self._journal is not None and begun:
            journal = self._journal
            await self._note(lambda: journal.stopped([item.ids.session for item in begun]))

    async def aclose(self) -> None:
        """End the pipelines; waits until sessions that are to be stopped are."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._stops:
            await asyncio.wait(self._stops, timeout=30.0)
            for task in self._stops:
                task.cancel()
        await self.in_thread(lambda: None, pool=self._diary)
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._diary.shutdown(wait=False)

    def _own(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and self._broken is None:
            # A defect, in us or in an implementation of a protocol: nobody may wait for ever.
            self._broken = error
            for item in list(self._items.values()):
                item.deliver(error)

    async def in_thread(self, call: Callable[[], T], *, pool: ThreadPoolExecutor | None = None) -> T:
        """What a blocking call returns, made in a private thread."""
        return await asyncio.get_running_loop().run_in_executor(pool or self._pool, call)

    async def _note(self, write: Callable[[], None]) -> None:
        """Write to the journal. It can be rebuilt from records, so its failure ends nothing."""
        try:
            # Shielded: what has been decided is written, also when all is being given up.
            await asyncio.shield(self.in_thread(write, pool=self._diary))
        except sqlite3.Error as error:
            _log.warning("The journal could not be written (%s); it can be rebuilt from the records.", error)

    # Submit

    async def _submit_all(self) -> None:
        while True:
            item = await self._queue.get()
            await self._slots.acquire()
            if self._alive is not None:
                await self._alive.acquire()
            if self._items.get(item.ids.session) is not item:  # dropped while it waited
                self._slots.release()
                self._release_session()
                continue
            item.begun, item.alive, item.status = time.monotonic(), True, Status.RUNNING
            self._on_change(item)
            item.starting = self._own(self._start(item))

    async def _start(self, item: Item) -> None:
        if self._journal is not None:
            journal = self._journal
            await self._note(lambda: journal.begin(item.ids))
        try:
            await self.start_patiently(item.ids.session, item.payload)
        except OutcomeUnknown as error:
            _log.info("%s: %s Its record may still come.", item.ids.rollout_id, error)
        except Exception as error:  # noqa: BLE001 - whatever a launcher raises ends this item alone
            if not isinstance(error, LaunchRejected | RequestRefused) and await self._look_for(item):
                return
            await self._fail(item, start_failure(error))
            return
        item.accepted = time.monotonic()
        item.next_look = item.accepted + self._pace.look_s

    async def start_patiently(
        self, session: str, payload: Mapping[str, Any], *, patience_s: float | None = None
    ) -> Mapping[str, Any]:
        """`launcher.start`, repeated with backoff while the place says "later"."""
        until = time.monotonic() + (self._pace.start_s if patience_s is None else patience_s)
        wait_s = 0.25
        while True:
            try:
                return await self.launcher.start(session, payload)
            except RetryLater as error:
                wait_s = min(wait_s * 2, 30.0)
                pause = wait_s * random.uniform(0.5, 1.0) if error.after_s is None else error.after_s
                if time.monotonic() + pause > until:
                    raise
                await asyncio.sleep(pause)

    # Hear

    async def _hear_all(self, notices: Notices) -> None:
        trouble = 0
        while True:
            try:
                foreign = await self._hear(notices)
                trouble = 0
            except StoreError as error:
                trouble += 1
                _log.warning("Notices cannot be heard (%s); the store is listed meanwhile.", error)
                await asyncio.sleep(min(2.0**trouble, 30.0))
                continue
            # Those of others stay in the channel; an eager one must not spin here.
            await asyncio.sleep(0.2 if foreign else 0)

    async def _hear(self, notices: Notices) -> bool:
        """Receive and acknowledge some notices; whether there were any of other runs."""
        deliveries = await self.in_thread(lambda: notices.receive(most=10, wait_s=self._pace.hear_s))
        ours = [delivery for delivery in deliveries if delivery.notice.key.startswith(self._folder)]
        # Begun before the records are read, so that the end of the batch does not come between.
        acked = asyncio.ensure_future(self.in_thread(lambda: notices.ack(ours))) if ours else None
        for delivery in ours:
            self._heard(delivery.notice.key)
        if acked is not None:
            await asyncio.shield(acked)
        return len(ours) < len(deliveries)

    async def _list_all(self) -> None:
        while True:
            began = time.monotonic()
            try:
                keys = await self.in_thread(lambda: [stored.key for stored in self.store.list(self._folder)])
                for key in keys:
                    self._heard(key)
            except StoreError as error:
                _log.warning("The records of %s cannot be listed now: %s", self._folder, error)
            took = time.monotonic() - began
            await asyncio.sleep(max(self._pace.list_s, 10 * took))

    def _heard(self, key: str) -> None:
        """A key is there, says somebody; of what is not asked for nothing is believed."""
        item = self._items.get(key.rpartition("/")[2].removesuffix(".json"))
        if item is not None and item.ids.key == key and item.begun is not None and not item.done:
            if item.heard is None:
                item.heard = time.monotonic()
            if not item.reading:
                item.reading = True
                self._own(self._read(item))

    # Read

    async def _read(self, item: Item) -> None:
        began = time.monotonic()
        wait_s = 0.1
        try:
            while not item.done:
                try:
                    rollout = await self.in_thread(lambda: decode_record(self.store.get(item.ids.key)))
                except RecordNotFound:
                    return  # a hint that was wrong, or early: the LIST will tell
                except StoreUnavailable as error:
                    wait_s = min(wait_s * 2, 15.0)
                    if time.monotonic() - began + wait_s > self._pace.store_s:
                        await self._fail(item, unreadable(error), began=began)
                        return
                    _log.warning("%s cannot be read now: %s", item.ids.key, error)
                    await asyncio.sleep(wait_s)
                except Exception as error:  # noqa: BLE001 - one damaged object harms no other rollout
                    await self._fail(item, unreadable(error), began=began)
                else:
                    await self._succeed(item, rollout, began)
        finally:
            item.reading = False

    async def _succeed(self, item: Item, rollout: Rollout, began: float) -> None:
        await self._end(
            item,
            RolloutOutcome(
                request=item.ids,
                status=rollout.status,
                failure=rollout.failure,
                reward=rollout.reward,
                location=self.location(item.ids.key),
                timings=item.phases(began),
            ),
            rollout,
        )

    async def _fail(self, item: Item, failure: Failure, *, began: float | None = None) -> None:
        """An outcome without a (readable) record."""
        location = None if began is None else self.location(item.ids.key)
        timings = item.phases(began)
        await self._end(item, RolloutOutcome(item.ids, Status.FAILED, failure, None, location, timings), None)

    async def _end(self, item: Item, outcome: RolloutOutcome, rollout: Rollout | None) -> None:
        if item.done or self._items.get(item.ids.session) is not item:
            return
        item.status = outcome.status
        del self._items[item.ids.session]
        if item.starting is not None and item.starting is not asyncio.current_task():
            item.starting.cancel()
        self._stop_later(item)
        if self._journal is not None:
            journal = self._journal
            await self._note(lambda: journal.end(outcome, rollout))
        item.deliver(outcome)

    def location(self, key: str) -> str:
        """Where an object is, for a person."""
        return f"{self.store.location.rstrip('/')}/{key}"

    # Watch

    async def _watch_all(self) -> None:
        while True:
            now = time.monotonic()
            for item in list(self._items.values()):
                if item.accepted is not None and item.next_look <= now and not item.done:
                    item.next_look = float("inf")
                    self._own(self._look_at(item))
            await asyncio.sleep(min(0.25, self._pace.look_s))

    async def _look_at(self, item: Item) -> None:
        assert item.accepted is not None
        status = SessionStatus.UNKNOWN
        async with self._looking:
            try:
                status = await self.launcher.status(item.ids.session)
            except Exception as error:  # noqa: BLE001 - one session that cannot be seen harms no other
                _log.info("%s cannot be looked at now: %s", item.ids.rollout_id, error)
        now = time.monotonic()
        item.idle_since = (item.idle_since or now) if status is SessionStatus.IDLE else None
        ended, limit_s, grace_s = None, item.deadline_s, self._pace.past_deadline_s
        if status is SessionStatus.GONE:
            ended = "The session ended without a record."
        elif item.idle_since is not None and now - item.idle_since >= self._pace.idle_s:
            ended = "The session has nothing to do and left no record; was its process started anew?"
        elif limit_s is not None and now - item.accepted > limit_s + grace_s:
            ended = f"No record came within {limit_s:g} s and {grace_s:g} s of grace."
        if ended is None:
            item.next_look = now + min(max(self._pace.look_s, (now - item.accepted) / 10), 30.0)
            return
        if status is not SessionStatus.GONE:
            await self.stop_session(item.ids.session)
        if not await self._look_for(item):
            await self._fail(item, Failure(FailureKind.RUNTIME, ended, retryable=True))
        item.next_look = time.monotonic() + self._pace.grace_s

    async def _look_for(self, item: Item) -> bool:
        """Look for the record of a session that ended, now and after the grace; whether it is there."""
        patience = time.monotonic() + self._pace.store_s
        looks = 0
        while looks < 2 and not item.done and not item.reading:
            try:
                await self.in_thread(lambda: self.store.get(item.ids.key))
            except RecordNotFound:
                looks += 1
                if looks < 2:
                    await asyncio.sleep(self._pace.grace_s)
            except StoreError:
                if time.monotonic() > patience:
                    return False
                await asyncio.sleep(1.0)
            else:
                self._heard(item.ids.key)
        return item.done or item.reading

    # Stop

    def _stop_later(self, item: Item) -> None:
        """Free the item's slot now and stop its session on the side."""
        if item.alive:
            item.alive = False
            self._slots.release()
            task = asyncio.create_task(self._stop(item.ids.session))
            self._stops.add(task)
            task.add_done_callback(self._stops.discard)

    async def _stop(self, session: str) -> None:
        try:
            async with self._stopping:
                await self.stop_session(session)
        finally:
            self._release_session()

    async def stop_session(self, session: str) -> None:
        """Stop a session; a failure is only logged, since no rollout depends on it."""
        try:
            await _twice(lambda: self.launcher.stop(session))
        except Exception as error:  # noqa: BLE001 - nothing waits for this
            _log.warning("Session %s could not be stopped: %s", session, error)

    def _release_session(self) -> None:
        if self._alive is not None:
            self._alive.release()


async def _twice(call: Callable[[], Awaitable[None]]) -> None:
    try:
        await call()
    except LauncherError:
        await asyncio.sleep(0.5)
        await call()
