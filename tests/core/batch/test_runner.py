"""A batch yields every rollout once, as they come; one item's trouble is its own."""

import asyncio
import gc
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import aclosing, closing
from pathlib import Path
from typing import ClassVar

import pytest

from agentcore_rl.batch import BatchRunner, new_run_id
from agentcore_rl.batch.flight import Pace
from agentcore_rl.codec import decode_record
from agentcore_rl.endpoint import Endpoint, Secret
from agentcore_rl.exceptions import ConfigurationError, RecordNotFound, RetryLater, StoreUnavailable
from agentcore_rl.read import read_run
from agentcore_rl.rollout import FailureKind, Status, derive_session
from agentcore_rl.stores import Notice
from agentcore_rl.stores.directory import DirectoryNotices, DirectoryStore
from agentcore_rl.tasks import check_id, task_from_payload
from inprocess_launcher import InProcessLauncher, make_attempt, store_rollout, until

QUICK = Pace(
    hear_s=0.1,
    list_s=0.1,
    look_s=0.05,
    grace_s=0.1,
    idle_s=0.4,
    past_deadline_s=0.2,
    start_s=0.5,
    store_s=0.5,
    again_s=0.02,
)
DEAF = Pace(hear_s=0.1, list_s=600, look_s=0.05, grace_s=0.1, idle_s=600)


def task(name, **does):
    """A task whose session does this."""
    return task_from_payload({"id": name, "prompt": "2 + 2?", "does": does})


def batch(launcher, notices=None, *, pace=QUICK, run="r", **options):
    """A quick batch on the launcher's own store."""
    return BatchRunner(launcher, store=launcher.store, notices=notices, run=run, pace=pace, **options)


async def all_of(runner, tasks, **options):
    """The outcomes of a batch by rollout id."""
    return {outcome.request.rollout_id: outcome async for outcome in runner.run(tasks, **options)}


def rows(path, query):
    """What a journal says."""
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


# Outcomes


async def test_every_sample_of_every_task_comes_once(store, notices):
    """With reward, location, timings and a readable record; sessions are stopped afterwards."""
    launcher = InProcessLauncher(store, notices)
    runner = batch(launcher, notices, samples=3)
    outcomes = await all_of(runner, [task("a", reward=1.0), task("b", reward=0.0)])
    assert sorted(outcomes) == ["a.0", "a.1", "a.2", "b.0", "b.1", "b.2"]
    outcome = outcomes["a.2"]
    assert outcome.status is Status.SUCCEEDED
    assert outcome.reward.value == 1.0
    assert outcome.request.session == derive_session("r", "a", 2, 0)
    assert decode_record(await asyncio.to_thread(Path(outcome.location).read_bytes)).sample == 2
    assert (await runner.read(outcome)).turns[0].answer["content"] == "answer 0"
    took = outcome.timings
    assert all(
        part is not None and part >= 0 for part in (took.queued_s, took.start_s, took.run_s, took.read_s)
    )
    assert took.total_s >= took.queued_s + took.start_s
    assert sorted(launcher.stopped) == sorted(each.request.session for each in outcomes.values())
    assert launcher.probes == 1


async def test_outcomes_come_as_they_are_ready(store, notices):
    """A slow rollout holds up nobody."""
    launcher = InProcessLauncher(store, notices)
    tasks = [task("slow", seconds=0.8), task("fast"), task("middle", seconds=0.4)]
    order = [outcome.request.task async for outcome in batch(launcher, notices).run(tasks)]
    assert order == ["fast", "middle", "slow"]


async def test_concurrency_is_kept(store):
    """No more rollouts in flight than asked for; no more sessions than the place allows."""
    launcher = InProcessLauncher(store)
    await all_of(batch(launcher, concurrency=2), [task(f"t{n}", seconds=0.05) for n in range(6)])
    assert launcher.most_alive <= 3  # two in flight, and one that is being stopped
    narrow = InProcessLauncher(store, concurrent=1)
    await all_of(batch(narrow, concurrency=4, run="r2"), [task(f"t{n}") for n in range(4)])
    assert narrow.most_alive == 1


async def test_an_items_trouble_is_its_own(store, notices):
    """Each way of failing gives its own failed outcome, and the sound ones succeed."""
    launcher = InProcessLauncher(store, notices)
    outcomes = await all_of(
        batch(launcher, notices, concurrency=8),
        [
            task("sound", reward=1.0),
            task("rejected", raises="LaunchRejected"),
            task("refused", raises="InvalidRequest"),
            task("lost", raises="SessionLost"),
            task("broken", raises="ZeroDivisionError"),
            task("dead", leaves="nothing"),
            task("garbage", leaves="garbage"),
            task("failed", leaves="failure"),
            task("unknown", raises="OutcomeUnknown", reward=0.5),
            task("later", later=2),
        ],
    )
    kinds = {name: each.failure and each.failure.kind.value for name, each in outcomes.items()}
    assert kinds == {
        "sound.0": None,
        "rejected.0": "contract",
        "refused.0": "contract",
        "lost.0": "runtime",
        "broken.0": "runtime",
        "dead.0": "runtime",
        "garbage.0": "sink",
        "failed.0": "agent",
        "unknown.0": None,
        "later.0": None,
    }
    assert outcomes["rejected.0"].failure.message == "It did not work."
    assert not outcomes["rejected.0"].failure.retryable
    assert outcomes["rejected.0"].location is None
    assert outcomes["lost.0"].failure.retryable
    assert "ZeroDivisionError" in outcomes["broken.0"].failure.traceback
    assert outcomes["dead.0"].failure.retryable
    assert outcomes["dead.0"].location is None
    assert outcomes["garbage.0"].location.endswith(".json")
    assert outcomes["failed.0"].location is not None
    assert outcomes["unknown.0"].reward.value == 0.5


async def test_a_place_that_always_says_later_ends_in_a_failure(store):
    """Patience is bounded."""
    outcomes = await all_of(batch(InProcessLauncher(store)), [task("a", later=10**6)])
    assert outcomes["a.0"].failure.type == "RetryLater"
    assert outcomes["a.0"].failure.retryable


async def test_a_record_without_a_living_session_counts(store, notices):
    """A session that dies after its record was stored, unannounced, has succeeded."""

    class Mortal(InProcessLauncher):
        async def status(self, session):
            alive = await super().status(session)
            if alive.value == "idle":
                self._sessions[session] = None
            return await super().status(session)

    launcher = Mortal(store, notices)
    outcomes = await all_of(batch(launcher, notices, pace=DEAF), [task("a", announced=False)])
    assert outcomes["a.0"].status is Status.SUCCEEDED


async def test_a_record_that_comes_in_the_grace_counts(store):
    """What drains a dead session's spool may be slower than the news of its death."""
    launcher = InProcessLauncher(store)
    pace = Pace(hear_s=0.1, list_s=600, look_s=0.05, grace_s=0.5)
    session = derive_session("r", "a", 0, 0)

    async def drain():
        await until(lambda: launcher.delivered)
        await asyncio.sleep(0.2)
        await asyncio.to_thread(store_rollout, store, make_attempt("r", "a", session=session))

    draining = asyncio.create_task(drain())
    outcomes = await all_of(batch(launcher, pace=pace), [task("a", leaves="nothing")])
    await draining
    assert outcomes["a.0"].status is Status.SUCCEEDED


async def test_an_idle_session_without_a_record_is_lost(store):
    """Its process was started anew, and nobody will ever report."""

    class Forgetful(InProcessLauncher):
        def _begin(self, session, payload):
            self._sessions[session] = asyncio.create_task(asyncio.sleep(0))

    outcomes = await all_of(batch(Forgetful(store)), [task("a")])
    assert outcomes["a.0"].failure.kind is FailureKind.RUNTIME
    assert "nothing to do" in outcomes["a.0"].failure.message


async def test_no_record_by_the_deadline_is_a_failure(store):
    """The session is stopped and looked after once more."""
    launcher = InProcessLauncher(store)
    outcomes = await all_of(batch(launcher, deadline_s=0.2), [task("a", seconds=60)])
    assert "No record came within 0.2 s" in outcomes["a.0"].failure.message
    assert launcher.alive == []


# Hearing


async def test_lost_notices_are_made_up_for_by_the_list(store, notices):
    """Nobody announces anything, and everything is found."""
    launcher = InProcessLauncher(store, notices)
    outcomes = await all_of(batch(launcher, notices), [task(f"t{n}", announced=False) for n in range(5)])
    assert {each.status for each in outcomes.values()} == {Status.SUCCEEDED}


async def test_notices_alone_are_enough(store, notices):
    """Without a LIST the news travels by notice, in well under a second, and the channel ends empty."""
    launcher = InProcessLauncher(store, notices)
    began = time.monotonic()
    outcomes = await all_of(batch(launcher, notices, pace=DEAF), [task(f"t{n}") for n in range(5)])
    assert len(outcomes) == 5
    assert time.monotonic() - began < 3
    assert notices.receive() == []


async def test_duplicate_notices_and_foreign_objects_change_nothing(store, notices):
    """Each rollout comes once; what others store and announce in the run is left alone."""
    store_rollout(store, make_attempt("r", "stranger", session="s-stranger"))
    store.put_if_absent("r/a.0/not-a-record.json", b"{}")
    store.put_if_absent("r/a.0/deeper/than-that.json", b"{}")
    other = InProcessLauncher(store, notices)
    await all_of(batch(other, None, run="other"), [task("a", announced=2)])
    launcher = InProcessLauncher(store, notices)
    runner = batch(launcher, notices)
    order = [outcome.request.rollout_id async for outcome in runner.run([task("a", announced=3), task("b")])]
    assert sorted(order) == ["a.0", "b.0"]
    assert runner.progress.done == 2


async def test_notices_of_other_runs_stay_in_the_channel(store, tmp_path):
    """Who shares a channel loses nothing to us."""
    notices = DirectoryNotices(tmp_path / "notices", visibility_s=0.2)
    theirs = Notice("other", "a", 0, 0, "s", "other/a.0/s.json", 1, "", "succeeded", None)
    await asyncio.to_thread(notices.send, theirs)
    await all_of(batch(InProcessLauncher(store, notices), notices), [task("b", seconds=0.3)])
    found: list[Notice] = []
    end = time.monotonic() + 5.0
    # A notice of ours may be there as well: the LIST can find a record before it is announced.
    while theirs not in found and time.monotonic() < end:
        deliveries = await asyncio.to_thread(lambda: notices.receive(wait_s=1.0))
        found += [delivery.notice for delivery in deliveries]
    assert theirs in found


async def test_notices_that_cannot_be_removed_cost_nothing(store, tmp_path):
    """Nor do those that cannot be given back; the channel is heard on, and no error is left lying about."""

    class Sticky(DirectoryNotices):
        asked: ClassVar[list[str]] = []

        def ack(self, deliveries):
            self.asked.append("ack")
            time.sleep(0.1)
            raise StoreUnavailable("Notices cannot be removed.")

        def release(self, deliveries):
            self.asked.append("release")
            raise StoreUnavailable("Notices cannot be given back.")

    loop, errors = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: errors.append(context))
    notices = Sticky(tmp_path / "notices", visibility_s=0.2)
    theirs = Notice("other", "a", 0, 0, "s", "other/a.0/s.json", 1, "", "succeeded", None)
    await asyncio.to_thread(notices.send, theirs)
    tasks = [task("a"), task("b", seconds=0.5), task("c", seconds=1)]
    # Were one refusal taken for a silent channel, c would be late: the store is hardly ever listed.
    runner = batch(InProcessLauncher(store, notices), notices, pace=DEAF)
    async with asyncio.timeout(20):
        outcomes = await all_of(runner, tasks)
    await asyncio.sleep(0.2)
    gc.collect()
    assert [outcome.status for outcome in outcomes.values()] == [Status.SUCCEEDED] * 3
    assert {"ack", "release"} <= set(notices.asked)
    assert errors == []


async def test_a_store_that_is_away_for_a_while_loses_nothing(store, notices):
    """Reading and listing are repeated."""

    class Shaky(DirectoryStore):
        failures = 2

        def get(self, key):
            if "probe" not in key and self.failures:
                self.failures -= 1
                raise StoreUnavailable("The store is away.")
            return super().get(key)

        def list(self, prefix="", *, after=""):
            if self.failures:
                raise StoreUnavailable("The store is away.")
            yield from super().list(prefix, after=after)

    launcher = InProcessLauncher(Shaky(store.location), notices)
    outcomes = await all_of(batch(launcher, notices, pace=Pace(hear_s=0.1, list_s=0.1)), [task("a")])
    assert outcomes["a.0"].status is Status.SUCCEEDED
    assert launcher.store.failures == 0


async def test_a_defect_in_a_store_ends_the_batch_with_its_error(store):
    """Nobody waits for ever, and what runs is stopped."""

    class Broken(DirectoryStore):
        def list(self, prefix="", *, after=""):
            raise ZeroDivisionError("a defect")

    launcher = InProcessLauncher(Broken(store.location))
    with pytest.raises(ZeroDivisionError, match="a defect"):
        await all_of(batch(launcher), [task("a", seconds=60)])
    assert launcher.alive == []


# Breaking off


async def test_breaking_off_stops_the_rest(store, tmp_path):
    """What runs is stopped, what waits never begins, and the journal says so."""
    launcher = InProcessLauncher(store)
    tasks = [task("fast"), *(task(f"slow{n}", seconds=60) for n in range(3))]
    async with batch(launcher, concurrency=3, folder=tmp_path / "run") as runner:
        async for outcome in runner.run(tasks):
            assert outcome.request.task == "fast"
            await until(lambda: len(launcher.delivered) == 4)
            break
    assert launcher.alive == []
    journal = tmp_path / "run" / "journal.sqlite"
    assert len(rows(journal, "SELECT * FROM items")) == 4
    assert sorted(rows(journal, "SELECT task, stopped FROM attempts")) == [
        ("fast", 0),
        ("slow0", 1),
        ("slow1", 1),
        ("slow2", 1),
    ]
    assert runner.progress.running == 0


async def test_breaking_off_without_with_stops_as_well(store):
    """Python finalises the iterator soon after the loop."""
    launcher = InProcessLauncher(store)
    async for _ in batch(launcher).run([task("fast"), task("slow", seconds=60)]):
        break
    await until(lambda: launcher.alive == [])


async def test_cancelling_stops_what_runs(store):
    """A cancelled task ends soon, cancelled, with nothing left alive, however often it is cancelled."""
    launcher = InProcessLauncher(store)
    running = asyncio.create_task(all_of(batch(launcher), [task(f"t{n}", seconds=60) for n in range(3)]))
    await until(lambda: len(launcher.delivered) == 3)
    running.cancel()
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert launcher.alive == []


async def test_a_session_that_cannot_be_stopped_holds_up_nobody(store):
    """Its failure is logged; outcomes come all the same."""

    class Stubborn(InProcessLauncher):
        async def stop(self, session):
            await super().stop(session)
            raise ZeroDivisionError("a defect")

    outcomes = await all_of(batch(Stubborn(store)), [task("a"), task("b")])
    assert len(outcomes) == 2


KILLED = """
import asyncio, sys
from pathlib import Path
from inprocess_launcher import InProcessLauncher
from agentcore_rl.batch import BatchRunner
from agentcore_rl.stores import Notice
from agentcore_rl.stores.directory import DirectoryStore
from agentcore_rl.tasks import task_from_payload

async def main(root):
    launcher = InProcessLauncher(DirectoryStore(root))
    runner = BatchRunner(launcher, store=launcher.store, run="r", folder=root / "r", concurrency=3)
    tasks = [task_from_payload({"id": "fast", "does": {"reward": 1.0}})]
    tasks += [task_from_payload({"id": f"slow{n}", "does": {"seconds": 60}}) for n in range(3)]
    async with runner:
        async for outcome in runner.run(tasks):
            while len(launcher.delivered) < 4:
                await asyncio.sleep(0.01)
            print(outcome.request.task, flush=True)

try:
    asyncio.run(main(Path(sys.argv[1])))
finally:
    print("ended", flush=True)
"""


def started(tmp_path):
    """A batch in a process of its own, at the moment when one outcome is delivered and three rollouts run."""
    path = os.pathsep.join([str(Path(__file__).parents[2] / "plugins"), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert process.stdout.readline() == "fast\n"
    return process


def test_a_killed_client_leaves_a_consistent_journal(tmp_path):
    """What was delivered is there as the winner, what ran is there as begun, and the records can be read."""
    process = started(tmp_path)
    process.kill()
    process.communicate()
    journal = tmp_path / "r" / "journal.sqlite"
    assert rows(journal, "PRAGMA integrity_check") == [("ok",)]
    assert [row[0] for row in rows(journal, "SELECT task FROM winners")] == ["fast"]
    assert [row[0] for row in rows(journal, "SELECT reward FROM outcomes")] == [1.0]
    assert len(rows(journal, "SELECT * FROM attempts WHERE stopped = 0")) == 4
    assert [rollout.task for rollout in read_run(tmp_path / "r").rollouts] == ["fast"]


def test_ctrl_c_stops_what_runs(tmp_path):
    """The process ends soon, and the journal says that three sessions were stopped."""
    process = started(tmp_path)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert out == "ended\n"
    assert "KeyboardInterrupt" in err
    assert "never awaited" not in err
    assert "destroyed" not in err
    found = rows(tmp_path / "r" / "journal.sqlite", "SELECT task FROM attempts WHERE stopped = 1 ORDER BY 1")
    assert [row[0] for row in found] == ["slow0", "slow1", "slow2"]


# Before the first rollout


async def test_an_app_that_writes_elsewhere_stops_the_batch(store, tmp_path):
    """One sentence with both places; no agent runs, no session stays."""
    launcher = InProcessLauncher(store)
    mine = DirectoryStore(tmp_path / "mine")
    runner = BatchRunner(launcher, store=mine, run="r", pace=QUICK)
    with pytest.raises(ConfigurationError) as caught:
        await all_of(runner, [task("a")])
    assert store.location in str(caught.value)
    assert mine.location in str(caught.value)
    assert launcher.delivered == []
    assert launcher.stopped == [derive_session("r", "a", 0, 0)]


async def test_a_probe_that_holds_something_else_stops_the_batch(store):
    """Another app's object at this key proves nothing."""

    class Wrong(InProcessLauncher):
        async def start(self, session, payload):
            self.store.put_if_absent("r/probe-0.json", b"{}")
            return {"status": "ready", "probe_key": "r/probe-0.json"}

    with pytest.raises(ConfigurationError, match="give both the same store"):
        await all_of(batch(Wrong(store)), [task("a")])


async def test_an_app_of_another_kind_stops_the_batch(store):
    """An answer without a probe key, and a refusal, are one sentence each."""

    class Plain(InProcessLauncher):
        async def start(self, session, payload):
            return {"answer": "4"}

    with pytest.raises(ConfigurationError, match=r"no function under @app\.rollout_entrypoint"):
        await all_of(batch(Plain(store)), [task("a")])


async def test_the_probe_is_no_rollout_for_readers(store):
    """It lies in the run and is skipped."""
    await all_of(batch(InProcessLauncher(store)), [task("a")])
    run = read_run(Path(store.location) / "r")
    assert run.ids == ["a.0"]
    assert run.unreadable == {}


# What is sent


async def test_the_payload_is_the_tasks_object_with_the_terms(store):
    """Endpoint, sampling, limits and destination travel in `_rollout`; the task's object is untouched."""
    launcher = InProcessLauncher(store)
    endpoint = Endpoint(
        "http://127.0.0.1:9/v1",
        "policy-7",
        Secret("sk-very-secret"),
        sampling={"temperature": 0.5},
        extra_body={"top_k": 3},
    )
    runner = batch(
        launcher,
        endpoint=endpoint,
        deadline_s=60,
        max_turns=3,
        max_tokens=100,
        policy_version=2,
        stream=False,
    )
    mine = task("a")
    await all_of(runner, [mine])
    (session, payload), *_ = launcher.delivered
    assert payload["_rollout"] == {
        "exp_id": "r",
        "input_id": "a.0",
        "attempt": 0,
        "base_url": "http://127.0.0.1:9/v1",
        "api_key": "sk-very-secret",
        "model_id": "policy-7",
        "sampling_params": {"temperature": 0.5},
        "top_k": 3,
        "deadline_s": 60,
        "max_turns": 3,
        "max_tokens": 100,
        "policy_version": 2,
        "stream": False,
    }
    assert type(payload["_rollout"]["api_key"]) is str
    assert {name: value for name, value in payload.items() if name != "_rollout"} == mine.payload
    assert "_rollout" not in mine.payload
    assert session == derive_session("r", "a", 0, 0)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"concurrency": 0}, "concurrency must be at least 1"),
        ({"samples": 0}, "samples must be at least 1"),
        ({"run": "a/b"}, "run id"),
        ({"run": "."}, "run id"),
        ({"endpoint": Endpoint("http://h/v1", headers={"a": "b"})}, "headers"),
        ({"endpoint": Endpoint("", api_key=Secret("x"))}, "base_url"),
        ({"endpoint": Endpoint("http://h/v1", extra_body={"exp_id": 1})}, "exp_id"),
    ],
)
def test_bad_arguments_are_refused_at_once(store, options, reason):
    """Before anything is started."""
    with pytest.raises(ConfigurationError, match=reason):
        BatchRunner(InProcessLauncher(store), store=store, **options)


async def test_bad_tasks_are_refused_before_anything_starts(store):
    """Two tasks with one id, and an id that is too long with its sample."""
    launcher = InProcessLauncher(store)
    with pytest.raises(ConfigurationError, match="Two tasks have the id 'a'"):
        await all_of(batch(launcher), [task("a"), task("a")])
    with pytest.raises(ConfigurationError, match="no usable id"):
        await all_of(batch(launcher), [task("a" * 127)])
    assert launcher.probes == 0


def test_run_ids_are_usable_and_different():
    """They sort by time."""
    made = {new_run_id() for _ in range(50)}
    assert len(made) == 50
    assert all(check_id(each) is None for each in made)


# The run's folder and the progress


async def test_the_run_folder_says_what_was_asked(store, tmp_path):
    """run.json and journal lie beside the records; no key is in either."""
    folder = Path(store.location) / "r"
    launcher = InProcessLauncher(store)
    endpoint = Endpoint("http://127.0.0.1:9/v1", "policy", Secret("sk-very-secret"))
    runner = batch(launcher, folder=folder, samples=2, endpoint=endpoint)
    await all_of(runner, [task("a", reward=1.0)], tasks_file=tmp_path / "tasks.jsonl")
    about = json.loads((folder / "run.json").read_text())
    assert (about["run"], about["samples"], about["tasks"]["count"]) == ("r", 2, 1)
    assert about["records"]["location"] == store.location
    assert about["tasks"]["file"] == str(tmp_path / "tasks.jsonl")
    assert about["endpoint"] == {"base_url": "http://127.0.0.1:9/v1", "model": "policy", "sampling": {}}
    assert rows(folder / "journal.sqlite", "SELECT count(*) FROM phases") == [(2,)]
    for path in folder.iterdir():
        if path.is_file() and not path.name.startswith("probe"):
            assert b"sk-very-secret" not in path.read_bytes()
    run = read_run(folder)
    assert run.ids == ["a.0", "a.1"]
    assert run.asked == 2
    assert run.unreadable == {}
    assert {path.name for path in folder.glob("journal*")} == {"journal.sqlite"}


async def test_a_folder_that_holds_a_run_is_refused(store, tmp_path):
    """Nothing of it is overwritten, nothing is started."""
    await all_of(batch(InProcessLauncher(store), folder=tmp_path / "run"), [task("a")])
    launcher = InProcessLauncher(store)
    with pytest.raises(ConfigurationError, match="holds a run already"):
        await all_of(batch(launcher, folder=tmp_path / "run"), [task("a")])
    assert launcher.probes == 0


async def test_progress_is_what_happened(store):
    """Counts while it runs and at the end, with the mean over the judged."""
    launcher = InProcessLauncher(store)
    runner = batch(launcher, concurrency=2)
    assert runner.progress.total == 0
    tasks = [
        task("a", reward=1.0),
        task("b", reward=0.0),
        task("c", leaves="failure"),
        task("d", seconds=0.3),
    ]
    seen = []
    async with aclosing(runner.run(tasks)) as outcomes:
        async for _ in outcomes:
            seen.append(runner.progress)  # noqa: PERF401 - taken as they come
    assert [each.done for each in seen] == sorted(each.done for each in seen)
    assert all(each.total == 4 == each.queued + each.running + each.done for each in seen)
    last = runner.progress
    assert (last.succeeded, last.failed, last.judged, last.mean_reward) == (3, {"agent": 1}, 2, 0.5)
    assert last.elapsed_s == runner.progress.elapsed_s > 0


async def test_a_rollout_without_a_record_cannot_be_read(store):
    """With the reason."""
    runner = batch(InProcessLauncher(store))
    outcomes = await all_of(runner, [task("a", leaves="nothing")])
    with pytest.raises(RecordNotFound, match=r"a\.0 left no record: The session ended"):
        await runner.read(outcomes["a.0"])


async def test_a_place_that_takes_no_rollout_at_all_is_told(store):
    """The probe's patience is short, so that whoever waits reads why."""

    class Full(InProcessLauncher):
        async def start(self, session, payload):
            raise RetryLater("The app cannot write to its record store.", after_s=20)

    with pytest.raises(RetryLater, match="cannot write"):
        await all_of(batch(Full(store)), [task("a")])


async def test_a_hundred_rollouts_at_once(store, notices):
    """All come, quickly, on one loop that nothing blocks."""
    launcher = InProcessLauncher(store, notices)
    outcomes = await all_of(
        batch(launcher, notices, concurrency=100), [task(f"t{n}", seconds=0.2) for n in range(100)]
    )
    assert len(outcomes) == 100
    assert {each.status for each in outcomes.values()} == {Status.SUCCEEDED}
