"""Submit, hear, read and stop: pipelines that share nothing but the rollouts in flight.

    submit   in order of asking ► place, session, rate ► launcher.start, tried while the place says "later"
    hear     notices (long poll) and a slow LIST; both only say "look at this key"
    watch    sessions that are gone, idle, or past their deadline, without a record
    read     key ► record ► verdict; whoever hears first, once per attempt
    stop     the session of an attempt that has ended, off the critical path

The record in the store is the truth. An attempt that failed by infrastructure is followed by another
in a new session, while attempts are left; of several, `choose_attempt` says which counts. What the
policy or the user did (agent, reward, contract, timeout) is never tried again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace

from agentcore_rl.batch.flight import (
    Attempt,
    Item,
    Pace,
    given_up,
    location_of,
    outcome_of,
    start_failure,
    unreadable,
    unrecorded,
)
from agentcore_rl.batch.gateway import GatewayControl, Keys
from agentcore_rl.batch.hear import Ear
from agentcore_rl.batch.journal import Journal
from agentcore_rl.batch.submit import Feed, Submitter, pause_before, start_patiently
from agentcore_rl.batch.terms import Terms
from agentcore_rl.batch.threads import Threads
from agentcore_rl.batch.watch import Watch
from agentcore_rl.codec import decode_record
from agentcore_rl.exceptions import (
    ConfigurationError,
    LauncherError,
    LaunchRejected,
    OutcomeUnknown,
    RecordNotFound,
    RecordUnreadable,
    RequestRefused,
    StoreError,
    StoreUnavailable,
)
from agentcore_rl.launchers import Launcher
from agentcore_rl.logs import logger_of
from agentcore_rl.outcome import RequestIds
from agentcore_rl.read.attempts import choose_attempt, is_infrastructure_failure
from agentcore_rl.rollout import Failure, FailureKind, Rollout, Status
from agentcore_rl.stores import Notices, RecordStore

__all__ = ["Pipelines", "read_attempt"]

_log = logger_of(__name__)
_STOPS_AT_ONCE = 16
_CLOSING_S = 60.0


class Pipelines:
    """The machinery of a batch while it runs; made, used and closed on one event loop.

    Args:
        launcher: where sessions are started.
        store: where their records are.
        notices: the channel that announces records; None: the store is listed alone.
        terms: what all rollouts have in common.
        concurrency: rollouts in flight at once.
        pace: how often to look, and how patiently.
        journal: what remembers; None: nothing does.
        on_change: called with each item when it is begun, and at each further attempt.
        recall: asked of each item before its first attempt; whether it needs one.
        gateway: what issues a key per attempt; None: the endpoint's own key is used.
    """

    def __init__(
        self,
        launcher: Launcher,
        store: RecordStore,
        notices: Notices | None,
        *,
        terms: Terms,
        concurrency: int,
        pace: Pace,
        journal: Journal | None,
        on_change: Callable[[Item], None],
        recall: Callable[[Item], Awaitable[bool]],
        gateway: GatewayControl | None = None,
    ) -> None:
        self.launcher, self.store = launcher, store
        self.threads = Threads()
        self._keys = Keys(gateway, terms, pace, self.threads)
        self._terms, self._pace, self._journal, self._on_change = terms, pace, journal, on_change
        self._submitter = Submitter(launcher, concurrency, recall=recall, begin=self._begin)
        self._ear = Ear(
            store,
            notices,
            folder=terms.folder,
            pace=pace,
            threads=self.threads,
            wanted=self._wanted,
            heard=self._heard,
        )
        self._watch = Watch(
            launcher,
            store,
            pace,
            terms.limits.deadline_s,
            self.threads,
            flying=lambda: [attempt for _, attempt in self._flying.values()],
            own=self._own,
            stop=self.stop_session,
            heard=self._heard,
            lost=self._lost,
        )
        self._flying: dict[str, tuple[Item, Attempt]] = {}
        self._several: dict[str, set[str]] = {}
        self._feeds: list[Feed] = []
        self._stopping = asyncio.Semaphore(_STOPS_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._stops: set[asyncio.Task[None]] = set()
        self._broken: BaseException | None = None

    # Opening and closing

    def open(self) -> None:
        """Start the pipelines that run for as long as there are items."""
        self._own(self._submitter.run())
        self._own(self._ear.look())
        self._own(self._watch.run())
        for _ in range(self._pace.ears):
            self._own(self._ear.hear())

    def submit(self, feed: Feed) -> None:
        """Take on what a caller asks for; each item gets exactly one outcome, unless it is dropped before."""
        if self._broken is not None:
            feed.hand(self._broken)
        self._feeds.append(feed)
        self._submitter.add(feed)

    async def drop(self, feed: Feed) -> None:
        """Give up a caller's items: what has begun is stopped, nothing of them is delivered."""
        feed.closed = True
        if feed in self._feeds:
            self._feeds.remove(feed)
        stopped = []
        for item in feed.flying:
            item.dropped = True
            for attempt in item.attempts:
                if self._flying.get(attempt.session, (None,))[0] is item:
                    del self._flying[attempt.session]
                if attempt.begun is not None and attempt.outcome is None:
                    stopped.append(attempt.session)
                    self._stop_later(attempt)
        feed.flying.clear()
        if stopped:
            await self._note(lambda journal: journal.stopped(stopped))

    async def aclose(self) -> None:
        """End the pipelines; waits until sessions that are to be stopped are."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._stops:
            await asyncio.wait(self._stops, timeout=_CLOSING_S)
            for task in self._stops:
                task.cancel()
            await asyncio.gather(*self._stops, return_exceptions=True)
        await self.threads.aclose()

    def _own(self, work: Awaitable[None]) -> asyncio.Task[None]:
        assert isinstance(work, Coroutine)
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended_task)
        return task

    def _ended_task(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and self._broken is None:
            # A defect, in us or in an implementation of a protocol: nobody may wait for ever.
            self._broken = error
            for feed in self._feeds:
                feed.hand(error)

    async def _note(self, write: Callable[[Journal], None]) -> None:
        """Write to the journal, where there is one."""
        journal = self._journal
        if journal is not None:
            await self.threads.note(lambda: write(journal))

    # Submit

    def _begin(self, item: Item) -> None:
        """An item's turn has come: begin its current attempt."""
        if not item.attempts or item.current.outcome is not None:
            number = item.current.attempt + 1 if item.attempts else 0
            item.attempts.append(Attempt(self._terms.ids(item.task, item.sample, number), item.asked))
        attempt = item.current
        if attempt.session in self._flying:
            self._submitter.free_slot()
            self._submitter.free_session()
            item.feed.hand(ConfigurationError(f"Rollout {item.rollout_id} is running already."))
            return
        attempt.begun, attempt.alive, item.status = time.monotonic(), True, Status.RUNNING
        item.left -= 1
        item.waiting = False
        for each in item.attempts:
            if not each.recorded:
                self._flying[each.session] = (item, each)
        self._on_change(item)
        item.first = False
        attempt.starting = self._own(self._start(item, attempt))

    async def _start(self, item: Item, attempt: Attempt) -> None:
        await self._note(lambda journal: journal.begin(attempt.ids))
        try:
            key = await self._keys.issue(attempt)
            payload = self._terms.payload(item.task, attempt.ids, key)
            await start_patiently(
                self.launcher, attempt.session, payload, patience_s=self._pace.start_s, first=True
            )
        except OutcomeUnknown as error:
            _log.info("%s: %s Its record may still come.", attempt.ids.rollout_id, error)
        except Exception as error:  # noqa: BLE001 - whatever a launcher raises ends this attempt alone
            refused = isinstance(error, LaunchRejected | RequestRefused)
            if not refused and await self._watch.look_for(attempt):
                return
            failure = start_failure(error)
            if refused and attempt.rejoined:
                # The session has another payload of this rollout, such as one for another endpoint.
                failure = replace(failure, kind=FailureKind.RUNTIME, retryable=True)
            await self._end_without_record(item, attempt, failure)
            return
        attempt.accepted = time.monotonic()
        attempt.next_look = attempt.accepted + self._pace.look_s

    async def give_up(self, item: Item) -> None:
        """End the session of an attempt that an earlier client began, so that another attempt follows."""
        attempt = item.current
        attempt.outcome = unrecorded(attempt.ids, given_up(), attempt.phases(item.asked, None))
        await self.stop_session(attempt.session)

    # Hear

    def _wanted(self, key: str) -> bool:
        session = key.rpartition("/")[2].removesuffix(".json")
        return session in self._flying or key.rpartition("/")[0] in self._several

    def _heard(self, key: str) -> None:
        """A key is there, says somebody; of what is not asked for nothing is believed."""
        folder, _, name = key.rpartition("/")
        session = name.removesuffix(".json")
        item, attempt = self._flying.get(session, (None, None))
        if item is None or attempt is None:
            if folder in self._several and session not in self._several[folder]:
                self._several[folder].add(session)
                self._own(self._note_late(key))
            return
        if attempt.ids.key != key or attempt.recorded:
            return
        if attempt.heard is None:
            attempt.heard = time.monotonic()
        if not attempt.reading:
            attempt.reading = True
            self._own(self._read(item, attempt))

    async def _note_late(self, key: str) -> None:
        """An attempt's record came after its rollout's outcome was delivered: that outcome stays."""
        _log.info("%s came after its rollout was delivered: it is kept and does not count.", key)
        task, _, sample = key.removeprefix(self._terms.folder).partition("/")[0].rpartition(".")
        await self._note(lambda journal: journal.late(task, int(sample)))

    # Read

    async def _read(self, item: Item, attempt: Attempt) -> None:
        began = time.monotonic()
        wait_s = 0.1
        try:
            while not item.over and not attempt.recorded:
                try:
                    rollout = await self.threads.call(lambda: read_attempt(self.store, attempt.ids))
                except RecordNotFound:
                    return  # a hint that was wrong, or early: the LIST will tell
                except StoreUnavailable as error:
                    wait_s = min(wait_s * 2, 15.0)
                    if time.monotonic() - began + wait_s > self._pace.store_s:
                        await self._end_with_record(item, attempt, unreadable(error), began)
                        return
                    _log.warning("%s cannot be read now: %s", attempt.ids.key, error)
                    await asyncio.sleep(wait_s)
                except Exception as error:  # noqa: BLE001 - one damaged object harms no other rollout
                    await self._end_with_record(item, attempt, unreadable(error), began)
                else:
                    await self._end_with_record(item, attempt, rollout, began)
        finally:
            attempt.reading = False

    async def _end_with_record(
        self, item: Item, attempt: Attempt, found: Rollout | Failure, began: float
    ) -> None:
        if attempt.recorded:
            return
        attempt.recorded = True
        rollout = found if isinstance(found, Rollout) else None
        witnessed = await self._keys.end(attempt, rollout)
        where, timings = location_of(self.store, attempt.ids.key), attempt.phases(item.asked, began)
        if isinstance(found, Rollout):
            attempt.outcome = outcome_of(attempt.ids, found, where, timings, witnessed=witnessed)
        else:
            attempt.outcome = unrecorded(attempt.ids, found, timings, where)
        await self._judge(item, attempt, rollout)

    async def _lost(self, attempt: Attempt, why: str) -> None:
        item, _ = self._flying.get(attempt.session, (None, None))
        if item is not None:
            await self._end_without_record(item, attempt, Failure(FailureKind.RUNTIME, why, retryable=True))

    async def _end_without_record(self, item: Item, attempt: Attempt, failure: Failure) -> None:
        if attempt.outcome is not None:
            return
        attempt.outcome = unrecorded(attempt.ids, failure, attempt.phases(item.asked, None))
        await self._judge(item, attempt, None)

    # The verdict

    async def _judge(self, item: Item, attempt: Attempt, rollout: Rollout | None) -> None:
        """An attempt has ended: another follows, or the rollout has its outcome."""
        outcome = attempt.outcome
        assert outcome is not None
        if attempt.starting is not None and attempt.starting is not asyncio.current_task():
            attempt.starting.cancel()
        self._stop_later(attempt)
        if not attempt.recorded:
            await self._keys.end(attempt, None)
        if item.over:
            return
        await self._note(lambda journal: journal.attempt_ended(outcome, rollout))
        if is_infrastructure_failure(outcome.failure):
            if item.over or item.waiting or attempt is not item.current:
                return
            if item.left > 0:
                item.waiting = True
                _log.info("%s is tried again: %s", item.rollout_id, outcome.failure)
                self._on_change(item)
                self._submitter.again(item, pause_before(attempt.attempt + 1, self._pace))
                return
        if attempt.attempt > 0:
            await self._read_earlier(item)
        await self.deliver(item)

    async def _read_earlier(self, item: Item) -> None:
        """Read what earlier attempts have stored by now: the choice is among all that is there."""
        waiting = {each.ids.key: each for each in item.attempts if not each.recorded}
        prefix = f"{self._terms.folder}{item.rollout_id}/"
        try:
            keys = await self.threads.call(lambda: [stored.key for stored in self.store.list(prefix)])
        except StoreError as error:
            _log.warning("Earlier attempts of %s cannot be listed: %s", item.rollout_id, error)
            return
        for key in keys:
            if (earlier := waiting.get(key)) is None or earlier.reading:
                continue
            earlier.reading = True
            try:
                await self._read_once(item, earlier)
            finally:
                earlier.reading = False

    async def _read_once(self, item: Item, attempt: Attempt) -> None:
        """Read an attempt's record for the choice alone."""
        began = time.monotonic()
        try:
            rollout = await self.threads.call(lambda: read_attempt(self.store, attempt.ids))
        except Exception as error:  # noqa: BLE001 - what cannot be read cannot be chosen
            _log.info("%s cannot be read: %s", attempt.ids.key, error)
            return
        where = location_of(self.store, attempt.ids.key)
        outcome = outcome_of(attempt.ids, rollout, where, attempt.phases(item.asked, began))
        attempt.outcome, attempt.recorded = outcome, True
        await self._note(lambda journal: journal.attempt_ended(outcome, rollout))

    async def deliver(self, item: Item) -> None:
        """Give an item the outcome of the attempt that counts among those that have ended."""
        if item.over:
            return
        choice = choose_attempt([attempt for attempt in item.attempts if attempt.outcome is not None])
        outcome = choice.chosen.outcome
        assert outcome is not None
        outcome = replace(outcome, attempts=len(item.attempts))
        item.status = outcome.status  # from here on it is over
        for attempt in item.attempts:
            self._flying.pop(attempt.session, None)
            if attempt.starting is not None and attempt.starting is not asyncio.current_task():
                attempt.starting.cancel()
            self._stop_later(attempt)
        late = sum(each.recorded for each in choice.late)
        if len(item.attempts) > 1:
            known = {each.session for each in item.attempts if each.recorded}
            self._several[f"{self._terms.folder}{item.rollout_id}"] = known
        await self._note(lambda journal: journal.won(outcome, late))
        if not item.dropped:
            item.deliver(outcome)

    # Stop

    def _stop_later(self, attempt: Attempt) -> None:
        """Free the attempt's place now and stop its session on the side."""
        if attempt.alive:
            attempt.alive = False
            self._submitter.free_slot()
            task = asyncio.create_task(self._stop(attempt))
            self._stops.add(task)
            task.add_done_callback(self._stops.discard)

    async def _stop(self, attempt: Attempt) -> None:
        try:
            async with self._stopping:
                await self.stop_session(attempt.session)
                # Of attempts that were given up: nobody else would end their keys.
                await self._keys.end(attempt, None)
        finally:
            self._submitter.free_session()

    async def stop_session(self, session: str) -> None:
        """Stop a session; a failure is only logged, since no rollout depends on it."""
        try:
            try:
                await self.launcher.stop(session)
            except LauncherError:
                await asyncio.sleep(0.5)
                await self.launcher.stop(session)
        except Exception as error:  # noqa: BLE001 - nothing waits for this
            _log.warning("Session %s could not be stopped: %s", session, error)


def read_attempt(store: RecordStore, ids: RequestIds) -> Rollout:
    """The record of an attempt. Blocks.

    Raises:
        StoreError: as `RecordStore.get`; RecordUnreadable also for the record of another rollout.
    """
    rollout = decode_record(store.get(ids.key))
    found = (rollout.run, rollout.input_id, rollout.session)
    if found != (ids.run, ids.rollout_id, ids.session):
        raise RecordUnreadable(f"{ids.key} holds the record {'/'.join(found)}, not the one of its key.")
    return rollout
