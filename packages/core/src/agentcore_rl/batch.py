"""A batch of rollouts: tasks x samples, outcomes as they come."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import secrets
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any

from agentcore_rl.codec import decode_record
from agentcore_rl.endpoint import Endpoint
from agentcore_rl.exceptions import ConfigurationError, LaunchRejected, RecordNotFound, RequestRefused
from agentcore_rl.flight import Item, Pace
from agentcore_rl.journal import Journal
from agentcore_rl.launchers import Launcher
from agentcore_rl.outcome import Progress, RequestIds, RolloutOutcome
from agentcore_rl.pipelines import Pipelines, finish
from agentcore_rl.rollout import Destination, Limits, Rollout, Status
from agentcore_rl.stores import Notices, RecordStore
from agentcore_rl.submission import Terms
from agentcore_rl.tasks import Task, digest

__all__ = ["BatchRunner", "new_run_id"]


_PROBE_PATIENCE_S = 10.0  # an app that cannot write says "later" too, and whoever waits should read why


def new_run_id() -> str:
    """A new run's id: the time (UTC) and six random hex digits, such as 20250131-142530-9f3a1c."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


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
        deadline_s: float | None = None,
        max_turns: int | None = None,
        max_tokens: int | None = None,
        policy_version: int | None = None,
        stream: bool | None = None,
        destination: Destination | None = None,
        folder: str | os.PathLike[str] | None = None,
        pace: Pace | None = None,
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
            deadline_s: seconds that a rollout may take in the app.
            max_turns: model calls that a rollout may make.
            max_tokens: tokens that a rollout may sample.
            policy_version: of the policy behind the endpoint.
            stream: whether model calls stream; None leaves it to the agent.
            destination: where records go, if not where the app puts them by itself.
            folder: the run's folder, for run.json and the journal; None: neither is written. With a
                directory store, `store root/run id` keeps records, run.json and journal together.
            pace: how often the client looks; None suits the store.

        Raises:
            ConfigurationError: an argument cannot be used.
        """
        for name, number in (("concurrency", concurrency), ("samples", samples)):
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
        self._pace = pace or Pace(list_s=2.0 if notices is None or "://" not in store.location else 15.0)
        self._pipelines: Pipelines | None = None
        self._journal: Journal | None = None
        self._opening = asyncio.Lock()
        self._users: dict[int, list[Item]] = {}
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
        for user, items in list(self._users.items()):
            await finish(self._leave(user))
            for item in items[:1]:
                item.deliver(RuntimeError(f"The batch {self.run_id} was closed while it ran."))

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
            judged=judged,
            mean_reward=self._reward_sum / judged if judged else None,
            elapsed_s=0.0 if self._began is None else until - self._began,
        )

    async def run(
        self, tasks: Iterable[Task], *, tasks_file: str | os.PathLike[str] | None = None
    ) -> AsyncGenerator[RolloutOutcome, None]:
        """Run every task `samples` times; the outcomes in the order in which they come.

        May be called again, also while another call runs; a rollout (task and sample) runs only once
        in a run.

        Args:
            tasks: with different ids.
            tasks_file: where they were read, for run.json.

        Raises:
            ConfigurationError: tasks cannot be used, the run's folder holds another run, or this
                client cannot read where the app writes.
            LauncherError: the app could not be reached at all.
            StoreError: the store cannot be reached at all.
        """
        wanted = list(tasks)
        asked = [(task, sample) for task in wanted for sample in range(self._samples)]
        # Closed here and now: an inner generator left to the garbage collector would stop nothing in time.
        async with aclosing(self._run(asked, tasks_file)) as outcomes:
            async for outcome in outcomes:
                yield outcome

    async def run_one(self, task: Task, sample: int) -> RolloutOutcome:
        """Run one sample of one task; raises as `run` does."""
        async with aclosing(self._run([(task, sample)], None)) as outcomes:
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
        self, asked: Sequence[tuple[Task, int]], tasks_file: str | os.PathLike[str] | None
    ) -> AsyncGenerator[RolloutOutcome, None]:
        outcomes: asyncio.Queue[RolloutOutcome | BaseException] = asyncio.Queue()
        items = self._items(asked, outcomes)
        if not items:
            return
        user = id(outcomes)
        self._users[user] = items
        try:
            pipelines = await self._open(items, asked, tasks_file)
            pipelines.submit(items)
            for _ in items:
                outcome = await outcomes.get()
                if isinstance(outcome, BaseException):
                    raise outcome
                yield outcome
        finally:
            await finish(self._leave(user))

    def _items(
        self, asked: Sequence[tuple[Task, int]], outcomes: asyncio.Queue[RolloutOutcome | BaseException]
    ) -> list[Item]:
        def deliver(outcome: RolloutOutcome | BaseException) -> None:
            if isinstance(outcome, RolloutOutcome):
                self._counted(outcome)
            outcomes.put_nowait(outcome)

        items: dict[str, Item] = {}
        for task, sample in asked:
            ids = self._terms.ids(task, sample)
            if ids.session in items:
                raise ConfigurationError(f"Two tasks have the id {task.id!r}.")
            payload = self._terms.payload(task, ids)
            items[ids.session] = Item(ids, payload, deliver, deadline_s=self._terms.limits.deadline_s)
        return list(items.values())

    def _changed(self, item: Item) -> None:
        self._count["begun" if item.status is Status.RUNNING else "total"] += 1

    def _counted(self, outcome: RolloutOutcome) -> None:
        if outcome.status is Status.SUCCEEDED:
            self._count["succeeded"] += 1
        else:
            self._failed[outcome.failure.kind.value if outcome.failure else "unknown"] += 1
        if outcome.reward is not None:
            self._count["judged"] += 1
            self._reward_sum += outcome.reward.value

    # Opening and closing: the pipelines live as long as a call of `run` uses them.

    async def _open(
        self,
        items: Sequence[Item],
        asked: Sequence[tuple[Task, int]],
        tasks_file: str | os.PathLike[str] | None,
    ) -> Pipelines:
        async with self._opening:
            if self._began is None:
                self._began = time.monotonic()
            self._ended = None
            if self._pipelines is None:
                if self.folder is not None:
                    folder = self.folder
                    about = {} if self._probed else await asyncio.to_thread(self._about, asked, tasks_file)
                    self._journal = await asyncio.to_thread(_open_folder, folder, about)
                self._pipelines = Pipelines(
                    self._launcher,
                    self._store,
                    self._notices,
                    folder=self._terms.folder,
                    concurrency=self._concurrency,
                    pace=self._pace,
                    journal=self._journal,
                    on_change=self._changed,
                )
                self._pipelines.open()
            if not self._probed:
                await self._probe(self._pipelines, items[0].ids)
                self._probed = True
        if self._journal is not None:
            journal, rollouts = self._journal, [(item.ids.task, item.ids.sample) for item in items]
            await asyncio.to_thread(journal.add_items, rollouts)
        return self._pipelines

    async def _leave(self, user: int) -> None:
        items = self._users.pop(user, [])
        given_up = [item for item in items if not item.done]
        self._count["begun"] -= sum(item.begun is not None for item in given_up)
        self._count["total"] -= sum(item.taken for item in given_up)
        if self._pipelines is not None:
            await self._pipelines.drop(items)
        if self._users:
            return
        async with self._opening:
            pipelines, journal = self._pipelines, self._journal
            self._pipelines = self._journal = None
            self._ended = time.monotonic()
            if pipelines is not None:
                await pipelines.aclose()
            if journal is not None:
                await asyncio.to_thread(journal.close)

    async def _probe(self, pipelines: Pipelines, ids: RequestIds) -> None:
        """Let the app put a small object where it would put a record, and read it from here."""
        token = secrets.token_hex(8)
        try:
            try:
                answer = await pipelines.start_patiently(
                    ids.session, self._terms.probe(token), patience_s=_PROBE_PATIENCE_S
                )
            except (LaunchRejected, RequestRefused) as error:
                raise ConfigurationError(f"The app takes no rollouts of this run: {error}") from error
            await self._check_probe(pipelines, token, answer)
        except BaseException:
            await finish(pipelines.stop_session(ids.session))
            raise

    async def _check_probe(self, pipelines: Pipelines, token: str, answer: Mapping[str, Any]) -> None:
        key = answer.get("probe_key")
        if not isinstance(key, str):
            raise ConfigurationError(
                "The app was asked where it writes its records and answered something else: it has no "
                "function under @app.rollout_entrypoint, or is no agentcore-rl app of this release."
            )
        there = next(
            (answer[name] for name in ("store", "location") if isinstance(answer.get(name), str)), None
        )
        content = b""
        for pause in (0.0, 0.2, 0.5):
            await asyncio.sleep(pause)
            with suppress(RecordNotFound, ValueError):
                content = await pipelines.in_thread(lambda: self._store.get(key))
                break
        if token.encode() not in content:
            raise ConfigurationError(
                f"The app writes its records to {there} (it put {key} there), but this client reads "
                f"{self._store.location}, where that is not: give both the same store "
                "(AGENTCORE_RL_STORE is the app's)."
            )

    def _about(
        self, asked: Sequence[tuple[Task, int]], tasks_file: str | os.PathLike[str] | None
    ) -> dict[str, Any]:
        """What run.json says: what was asked, of which software, and where the records are. No keys."""
        terms, endpoint = self._terms, self._terms.endpoint
        tasks = list({task.id: task for task, _ in asked}.values())
        return {
            "schema": "agentcore-rl/run/1",
            "run": self.run_id,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "records": {
                "location": self._store.location,
                "bucket": terms.destination.bucket,
                "prefix": terms.folder.removesuffix(f"{self.run_id}/"),
            },
            "tasks": {
                "file": None if tasks_file is None else str(Path(tasks_file).absolute()),
                "count": len(tasks),
                "sha256": digest(tasks),
            },
            "samples": self._samples,
            "concurrency": self._concurrency,
            "limits": {
                "deadline_s": terms.limits.deadline_s,
                "max_turns": terms.limits.max_turns,
                "max_tokens": terms.limits.max_tokens,
            },
            "endpoint": None
            if endpoint is None
            else {
                "base_url": endpoint.base_url,
                "model": endpoint.model,
                "sampling": dict(endpoint.sampling),
            },
            "policy_version": terms.policy_version,
            "stream": terms.stream,
            "launcher": type(self._launcher).__name__,
            "software": {"python": platform.python_version(), "agentcore-rl": _release()},
        }


def _open_folder(folder: Path, about: Mapping[str, Any]) -> Journal:
    """The journal of a run's folder; writes run.json when `about` holds something."""
    path = folder / "run.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if about:
            content = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
            with path.open("x", encoding="utf-8") as file:
                file.write(content)
    except FileExistsError:
        raise ConfigurationError(f"{folder} holds a run already; choose another run id or folder.") from None
    except OSError as error:
        raise ConfigurationError(
            f"The run's folder {folder} cannot be written: {error.strerror or error}."
        ) from error
    return Journal(folder / "journal.sqlite")


def _why(outcome: RolloutOutcome) -> str:
    return outcome.failure.message if outcome.failure else "for no reason known"


def _release() -> str | None:
    try:
        return version("agentcore-rl")
    except PackageNotFoundError:
        return None
