"""A batch of rollouts: tasks x samples, outcomes as they come."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from agentcore_rl.batch.flight import Item, Pace
from agentcore_rl.batch.folder import describe, new_run_id, open_folder
from agentcore_rl.batch.gateway import GatewayControl
from agentcore_rl.batch.hold import Hold
from agentcore_rl.batch.journal import Journal
from agentcore_rl.batch.pipelines import Pipelines
from agentcore_rl.batch.probe import probe
from agentcore_rl.batch.resume import Resume
from agentcore_rl.batch.submit import Feed
from agentcore_rl.batch.terms import Terms
from agentcore_rl.batch.threads import finish
from agentcore_rl.codec import decode_record
from agentcore_rl.endpoint import Endpoint
from agentcore_rl.exceptions import (
    ConfigurationError,
    RecordNotFound,
)
from agentcore_rl.launchers import Launcher
from agentcore_rl.outcome import Progress, RolloutOutcome
from agentcore_rl.rollout import Destination, Limits, Rollout, Status
from agentcore_rl.stores import Notices, RecordStore
from agentcore_rl.tasks import Task

__all__ = ["BatchRunner", "new_run_id"]


class BatchRunner:
    """Runs rollouts at a launcher and yields their outcomes as they come.

        async with BatchRunner(launcher, store=store, notices=notices, samples=4) as runner:
            async for outcome in runner.run(read_tasks("tasks.jsonl")):
                print(outcome.request.rollout_id, outcome.status, outcome.reward)

    Breaking off, a cancellation or Ctrl-C stops what still runs. Without `async with` this happens
    when Python finalises the iterator, soon after `break`.

    Attributes:
        run_id: the run's id.
        folder: the run's folder; None without one.
    """

    def __init__(
        self,
        launcher: Launcher,
        *,
        store: RecordStore,
        notices: Notices | None = None,
        run: str | None = None,
        endpoint: Endpoint | None = None,
        concurrency: int = 4,
        samples: int = 1,
        attempts: int = 3,
        deadline_s: float | None = None,
        max_turns: int | None = None,
        max_tokens: int | None = None,
        policy_version: int | None = None,
        stream: bool | None = None,
        destination: Destination | None = None,
        folder: str | os.PathLike[str] | None = None,
        pace: Pace | None = None,
        resume: bool = False,
        about: Mapping[str, Any] | None = None,
        gateway: GatewayControl | None = None,
    ) -> None:
        """Nothing is started or written before the first `run`.

        Args:
            launcher: where rollouts are started; it stays the caller's to close.
            store: where the app's records can be read; checked before the first rollout.
            notices: the channel by which the app announces records; None: the store is listed.
            run: the run's id; None makes one.
            endpoint: the model endpoint that agents should use; None: the app's own.
            concurrency: rollouts in flight at once, at least 1; the launcher's limit holds too.
            samples: rollouts per task, at least 1.
            attempts: how often a rollout is tried, each time in a new session, when infrastructure
                fails it (a session that dies, a store, an environment, a model server that gives no
                answer); at least 1. What the agent or the reward did is never tried again.
            deadline_s: seconds that a rollout may take in the app.
            max_turns: model calls that a rollout may make.
            max_tokens: tokens that a rollout may sample.
            policy_version: of the policy behind the endpoint.
            stream: whether model calls stream; None leaves it to the agent.
            destination: where records go, if not where the app puts them by itself.
            folder: the run's folder, for run.json and the journal; None: neither is written. With a
                directory store, `store root/run id` keeps records, run.json and journal together.
            pace: how often the client looks; None suits the store.
            resume: go on with the run that `folder` holds: what is stored is not run again.
            about: what else run.json says; a JSON object without secrets.
            gateway: where the endpoint is a gateway of agentcore-rl: every attempt gets a key of its own,
                and what the gateway has seen is compared with the record. It stays the caller's to close.

        Raises:
            ConfigurationError: an argument cannot be used.
        """
        if resume and (run is None or folder is None):
            raise ConfigurationError("To resume a run, name it and its folder: run=..., folder=....")
        for name, number in (("concurrency", concurrency), ("samples", samples), ("attempts", attempts)):
            if number < 1:
                raise ConfigurationError(f"{name} must be at least 1, not {number}.")
        self.run_id = new_run_id() if run is None else run
        self.folder = None if folder is None else Path(folder)
        self._launcher = launcher
        self._store = store
        self._notices = notices
        self._terms = Terms(
            run=self.run_id,
            endpoint=endpoint,
            destination=destination or Destination(),
            limits=Limits(deadline_s, max_turns, max_tokens),
            policy_version=policy_version,
            stream=stream,
        )
        self._terms.check()
        self._concurrency = concurrency
        self._samples = samples
        self._attempts = attempts
        self._resume = resume
        self._about = dict(about or {})
        self._gateway = gateway
        if gateway is not None and (endpoint is None or endpoint.base_url.rstrip("/") != gateway.base_url):
            raise ConfigurationError(
                f"With a gateway the endpoint is the gateway's: Endpoint({gateway.base_url!r}, MODEL)."
            )
        self._pace = pace or _pace(store, notices)
        self._pipelines: Pipelines | None = None
        self._journal: Journal | None = None
        self._hold: Hold | None = None
        self._opening = asyncio.Lock()
        self._users: dict[Feed, int] = {}
        self._numbers = itertools.count()
        self._resumed: Resume | None = None
        self._probed = False
        self._began: float | None = None
        self._ended: float | None = None
        self._count: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._reward_sum = 0.0

    async def __aenter__(self) -> BatchRunner:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop whatever still runs; who still iterates gets a RuntimeError. Closing twice is fine."""
        for feed in list(self._users):
            await finish(self._leave(feed))
            feed.hand(RuntimeError(f"The batch {self.run_id} was closed while it ran."))

    @property
    def progress(self) -> Progress:
        """Where the batch stands; cheap, for displays."""
        judged, failed = self._count["judged"], dict(sorted(self._failed.items()))
        done = self._count["succeeded"] + sum(failed.values())
        until = time.monotonic() if self._ended is None else self._ended
        return Progress(
            total=self._count["total"],
            queued=self._count["total"] - self._count["begun"],
            running=self._count["begun"] - done,
            succeeded=self._count["succeeded"],
            failed=failed,
            again=self._count["again"],
            judged=judged,
            mean_reward=self._reward_sum / judged if judged else None,
            elapsed_s=0.0 if self._began is None else until - self._began,
        )

    async def run(
        self, tasks: Iterable[Task], *, tasks_file: str | os.PathLike[str] | None = None
    ) -> AsyncGenerator[RolloutOutcome, None]:
        """Run every task `samples` times; the outcomes in the order in which they come.

        May be called again, also while another call runs; a rollout (task and sample) runs only once
        in a run. In a resumed run what was delivered before comes again, marked `earlier`.

        Args:
            tasks: with different ids.
            tasks_file: where they were read, for run.json.

        Raises:
            ConfigurationError: tasks cannot be used, the run's folder holds another run, or this
                client cannot read where the app writes.
            LauncherError: the app could not be reached at all.
            StoreError: the store cannot be reached at all.
        """
        # Closed here and now: an inner generator left to the garbage collector would stop nothing in time.
        async with aclosing(self._run(list(tasks), range(self._samples), tasks_file)) as outcomes:
            async for outcome in outcomes:
                yield outcome

    async def run_one(self, task: Task, sample: int) -> RolloutOutcome:
        """Run one sample of one task; raises as `run` does."""
        async with aclosing(self._run([task], range(sample, sample + 1), None)) as outcomes:
            return await anext(outcomes)

    async def read(self, outcome: RolloutOutcome) -> Rollout:
        """The record of an outcome, with its turns.

        Raises:
            RecordNotFound: the rollout left none.
            RecordUnreadable: it is damaged.
            StoreUnavailable: it cannot be read now.
        """
        if outcome.location is None:
            raise RecordNotFound(f"Rollout {outcome.request.rollout_id} left no record: {_why(outcome)}")
        key = outcome.request.key
        return await asyncio.to_thread(lambda: decode_record(self._store.get(key)))

    async def _run(
        self, tasks: Sequence[Task], samples: range, tasks_file: str | os.PathLike[str] | None
    ) -> AsyncGenerator[RolloutOutcome, None]:
        self._check(tasks, samples)
        outcomes: asyncio.Queue[RolloutOutcome | BaseException] = asyncio.Queue()
        asked = len(tasks) * len(samples)
        if not asked:
            return

        def hand(outcome: RolloutOutcome | BaseException) -> None:
            if isinstance(outcome, RolloutOutcome):
                self._counted(outcome)
            outcomes.put_nowait(outcome)

        feed = Feed(lambda feed: self._items(tasks, samples, feed), hand)
        self._users[feed] = asked
        try:
            pipelines = await self._open(tasks, samples, tasks_file)
            self._count["total"] += asked
            pipelines.submit(feed)
            for _ in range(asked):
                outcome = await outcomes.get()
                if isinstance(outcome, BaseException):
                    raise outcome
                self._users[feed] -= 1
                yield outcome
        finally:
            await finish(self._leave(feed))

    def _check(self, tasks: Sequence[Task], samples: range) -> None:
        """Refuse tasks that could not all be run, before anything is."""
        seen: set[str] = set()
        for task in tasks:
            if task.id in seen:
                raise ConfigurationError(f"Two tasks have the id {task.id!r}.")
            seen.add(task.id)
            self._terms.payload(task, self._terms.ids(task, samples[-1]))

    def _items(self, tasks: Sequence[Task], samples: range, feed: Feed) -> Iterator[Item]:
        """Made one by one, when their turn comes: a batch of any length takes the memory of what flies."""
        asked = time.monotonic()
        for task in tasks:
            for sample in samples:
                yield Item(task, sample, feed, next(self._numbers), self._attempts, asked)

    def _changed(self, item: Item) -> None:
        if item.waiting:
            self._count["again"] += 1
        elif item.first:
            self._count["begun"] += 1

    def _counted(self, outcome: RolloutOutcome) -> None:
        if outcome.earlier:
            self._count["begun"] += 1
        if outcome.status is Status.SUCCEEDED:
            self._count["succeeded"] += 1
        else:
            self._failed[outcome.failure.kind.value if outcome.failure else "unknown"] += 1
        if outcome.reward is not None:
            self._count["judged"] += 1
            self._reward_sum += outcome.reward.value

    async def _recall(self, item: Item) -> bool:
        """Whether an item needs an attempt to be begun: all do, but for what a resumed run has already."""
        if self._resumed is None or self._pipelines is None:
            return True
        found = await self._resumed.recall(item)
        if isinstance(found, RolloutOutcome):
            item.deliver(replace(found, attempts=len(item.attempts) or 1, earlier=True))
            return False
        if found:
            item.first = False
            self._count["begun"] += 1
            await self._pipelines.deliver(item)
            return False
        if self._gateway is not None and item.attempts and item.current.rejoined:
            # Its key was told once, to a client that is gone: it cannot be joined.
            await self._pipelines.give_up(item)
        return True

    # Opening and closing: the pipelines live as long as a call of `run` uses them.

    async def _open(
        self, tasks: Sequence[Task], samples: range, tasks_file: str | os.PathLike[str] | None
    ) -> Pipelines:
        async with self._opening:
            if self._began is None:
                self._began = time.monotonic()
            self._ended = None
            if self._pipelines is None:
                if self.folder is not None:
                    await self._open_folder(self.folder, tasks, tasks_file)
                self._pipelines = Pipelines(
                    self._launcher,
                    self._store,
                    self._notices,
                    terms=self._terms,
                    concurrency=self._concurrency,
                    pace=self._pace,
                    journal=self._journal,
                    on_change=self._changed,
                    recall=self._recall,
                    gateway=self._gateway,
                )
                if self._resume and self._journal is not None:
                    self._resumed = Resume(self._journal, self._store, self._terms, self._pipelines.threads)
                    await self._resumed.prepare()
                self._pipelines.open()
            if not self._probed:
                ids = self._terms.ids(tasks[0], samples[0])
                await probe(
                    self._launcher,
                    self._store,
                    ids.session,
                    payload_of=self._terms.probe,
                    busy_s=self._pace.start_s,
                    threads=self._pipelines.threads,
                    stop=self._pipelines.stop_session,
                )
                self._probed = True
        if self._journal is not None:
            journal, rollouts = self._journal, [(task.id, sample) for task in tasks for sample in samples]
            await asyncio.to_thread(journal.add_items, rollouts)
        return self._pipelines

    async def _open_folder(
        self, folder: Path, tasks: Sequence[Task], tasks_file: str | os.PathLike[str] | None
    ) -> None:
        def about() -> dict[str, Any]:
            return describe(
                self._terms,
                tasks,
                tasks_file,
                location=self._store.location,
                samples=self._samples,
                concurrency=self._concurrency,
                launcher=type(self._launcher).__name__,
                further=self._about,
            )

        fresh = not self._probed and not self._resume
        # In the thread: the digest of all tasks is in it, and only a fresh run needs it.
        self._journal = await asyncio.to_thread(open_folder, folder, self.run_id, about if fresh else None)
        try:
            self._hold = await asyncio.to_thread(Hold, folder)
        except BaseException:
            await asyncio.to_thread(self._journal.close)
            self._journal = None
            raise

    async def _leave(self, feed: Feed) -> None:
        left = self._users.pop(feed, 0)
        begun = sum(not item.first for item in feed.flying)
        if self._pipelines is not None and feed.taken_on:
            self._count["begun"] -= begun
            self._count["total"] -= left
            await self._pipelines.drop(feed)
        if self._users:
            return
        async with self._opening:
            if self._users:
                return
            pipelines, journal, hold = self._pipelines, self._journal, self._hold
            self._pipelines = self._journal = self._resumed = self._hold = None
            self._ended = time.monotonic()
            if pipelines is not None:
                await pipelines.aclose()
            if journal is not None:
                await asyncio.to_thread(journal.close)
            if hold is not None:
                hold.release()


def _why(outcome: RolloutOutcome) -> str:
    return outcome.failure.message if outcome.failure else "for no reason known"


def _pace(store: RecordStore, notices: Notices | None) -> Pace:
    """What suits a store: one of this machine is cheap to list, another is called less often and longer."""
    if "://" not in store.location:
        return Pace(list_s=2.0)
    return Pace(list_s=5.0) if notices is None else Pace(hear_s=2.0, list_s=15.0, ears=2)
