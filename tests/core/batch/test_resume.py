"""A run that broke off goes on: nothing that is stored runs again, nothing is lost."""

import asyncio
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from agentcore_rl.batch import BatchRunner, Pace
from agentcore_rl.batch.journal import Journal
from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.read import read_run
from agentcore_rl.rollout import Status, derive_session
from agentcore_rl.tasks import task_from_payload
from inprocess_launcher import InProcessLauncher, make_attempt, store_rollout

PACE = Pace(hear_s=0.1, list_s=0.1, look_s=0.05, grace_s=0.05, idle_s=5, store_s=0.5, again_s=0.02)


def task(name, **does):
    """A task whose session does this."""
    return task_from_payload({"id": name, "prompt": "2 + 2?", "does": does})


def batch(launcher, folder, **options):
    """A quick batch with a folder."""
    options = {"run": "r", "pace": PACE, "folder": folder, **options}
    return BatchRunner(launcher, store=launcher.store, **options)


async def all_of(runner, tasks):
    """The outcomes of a batch by rollout id; fails when one comes twice."""
    outcomes = [outcome async for outcome in runner.run(tasks)]
    found = {outcome.request.rollout_id: outcome for outcome in outcomes}
    assert len(found) == len(outcomes)
    return found


async def broken_off(store, folder, tasks, after, **options):
    """A batch that its caller leaves after some outcomes."""
    runner = batch(InProcessLauncher(store), folder, **options)
    count = 0
    async with runner:
        async for _ in runner.run(tasks):
            count += 1
            if count == after:
                break


async def test_what_was_delivered_comes_again_and_is_not_run_again(store, tmp_path):
    """With its reward, its location and the mark; only the rest begins."""
    tasks = [task("a", reward=0.25), task("b", reward=0.5), task("c", seconds=60)]
    await broken_off(store, tmp_path / "run", tasks, 2, concurrency=2)
    launcher = InProcessLauncher(store)
    tasks[2] = task("c", reward=1.0)
    runner = batch(launcher, tmp_path / "run", resume=True)
    outcomes = await all_of(runner, tasks)
    assert {name: each.reward.value for name, each in outcomes.items()} == {
        "a.0": 0.25,
        "b.0": 0.5,
        "c.0": 1.0,
    }
    assert {name: each.earlier for name, each in outcomes.items()} == {"a.0": True, "b.0": True, "c.0": False}
    assert (await runner.read(outcomes["a.0"])).task == "a"
    assert [payload["_rollout"]["input_id"] for _, payload in launcher.delivered] == ["c.0"]
    assert (runner.progress.total, runner.progress.done, runner.progress.running) == (3, 3, 0)


async def test_a_record_that_came_while_no_client_was_there_counts(store, tmp_path):
    """It was begun, the client died, the session went on: its record is the outcome."""
    await broken_off(store, tmp_path / "run", [task("a"), task("b", seconds=60)], 1)
    await asyncio.to_thread(
        store_rollout, store, make_attempt("r", "b", session=derive_session("r", "b", 0, 0))
    )
    launcher = InProcessLauncher(store)
    outcomes = await all_of(batch(launcher, tmp_path / "run", resume=True), [task("a"), task("b")])
    assert outcomes["b.0"].status is Status.SUCCEEDED
    assert not outcomes["b.0"].earlier
    assert launcher.delivered == []


async def test_what_was_stopped_gets_a_new_session(store, tmp_path):
    """The stopped session may still leave a record that says so; a new one is not mixed up with it."""
    await broken_off(store, tmp_path / "run", [task("a"), task("b", seconds=60)], 1)
    launcher = InProcessLauncher(store)
    outcomes = await all_of(batch(launcher, tmp_path / "run", resume=True), [task("a"), task("b")])
    assert [session for session, _ in launcher.delivered] == [derive_session("r", "b", 0, 1)]
    assert outcomes["b.0"].attempts == 2


async def test_infrastructure_failures_are_tried_again(store, tmp_path):
    """Those of the policy stay as they are."""
    tasks = [task("a", leaves="nothing"), task("b", leaves="failure")]
    first = await all_of(batch(InProcessLauncher(store), tmp_path / "run", attempts=1), tasks)
    assert {each.status for each in first.values()} == {Status.FAILED}
    tasks[0] = task("a", reward=1.0)
    launcher = InProcessLauncher(store)
    outcomes = await all_of(batch(launcher, tmp_path / "run", resume=True), tasks)
    assert outcomes["a.0"].status is Status.SUCCEEDED
    assert outcomes["b.0"].failure.kind.value == "agent"
    assert [payload["_rollout"]["input_id"] for _, payload in launcher.delivered] == ["a.0"]
    again = await all_of(batch(InProcessLauncher(store), tmp_path / "run", resume=True), tasks)
    assert again["a.0"].request == outcomes["a.0"].request
    assert again["a.0"].earlier


async def test_a_session_that_still_runs_is_joined(store, tmp_path):
    """The client was killed, so nobody stopped it: the same session is asked again and nothing runs twice."""
    folder = tmp_path / "run"
    await broken_off(store, folder, [task("a")], 1)
    journal = Journal(folder / "journal.sqlite")
    journal.add_items([("b", 0)])
    runner = batch(InProcessLauncher(store), tmp_path / "other")
    journal.begin(runner._terms.ids(task("b"), 0))
    journal.close()
    launcher = InProcessLauncher(store)
    outcomes = await all_of(batch(launcher, folder, resume=True), [task("a"), task("b", reward=1.0)])
    assert [session for session, _ in launcher.delivered] == [derive_session("r", "b", 0, 0)]
    assert (outcomes["b.0"].request.attempt, outcomes["b.0"].attempts) == (0, 1)


async def test_a_session_that_was_given_another_payload_is_left_for_a_new_one(store, tmp_path):
    """As when the model has another port: what the app refuses of a joined session is no contract failure."""
    folder = tmp_path / "run"
    await broken_off(store, folder, [task("a")], 1)
    journal = Journal(folder / "journal.sqlite")
    runner = batch(InProcessLauncher(store), tmp_path / "other")
    journal.begin(runner._terms.ids(task("b"), 0))
    journal.close()
    launcher = InProcessLauncher(store)
    second = task("b", tries=[{"raises": "LaunchRejected"}, {"reward": 1.0}])
    outcomes = await all_of(batch(launcher, folder, resume=True), [task("a"), second])
    assert outcomes["b.0"].request.attempt == 1
    assert outcomes["b.0"].status is Status.SUCCEEDED


async def test_a_lost_journal_is_made_up_for_by_the_records(store, tmp_path):
    """Records alone keep what is stored from running again."""
    tasks = [task("a", reward=0.5), task("b", reward=1.0)]
    await all_of(batch(InProcessLauncher(store), tmp_path / "run"), tasks)
    for file in (tmp_path / "run").glob("journal.sqlite*"):
        file.unlink()
    launcher = InProcessLauncher(store)
    outcomes = await all_of(batch(launcher, tmp_path / "run", resume=True), tasks)
    assert {name: each.reward.value for name, each in outcomes.items()} == {"a.0": 0.5, "b.0": 1.0}
    assert launcher.delivered == []


def test_a_run_that_is_not_there_cannot_be_resumed(store, tmp_path):
    """Neither without its names nor from another run's folder."""
    with pytest.raises(ConfigurationError, match="name it and its folder"):
        BatchRunner(InProcessLauncher(store), store=store, resume=True)
    with pytest.raises(ConfigurationError, match=r"no run's folder"):
        asyncio.run(all_of(batch(InProcessLauncher(store), tmp_path / "none", resume=True), [task("a")]))
    asyncio.run(all_of(batch(InProcessLauncher(store), tmp_path / "run"), [task("a")]))
    with pytest.raises(ConfigurationError, match=r"holds the run 'r', not 'q'"):
        asyncio.run(
            all_of(batch(InProcessLauncher(store), tmp_path / "run", run="q", resume=True), [task("a")])
        )


CLIENT = """
import asyncio, sys
from pathlib import Path
from inprocess_launcher import InProcessLauncher
from agentcore_rl.batch import BatchRunner, Pace
from agentcore_rl.stores.directory import DirectoryNotices, DirectoryStore
from agentcore_rl.tasks import task_from_payload

async def main(root, resume):
    store = DirectoryStore(root)
    notices = DirectoryNotices(root / "r" / "notices")
    launcher = InProcessLauncher(store, notices)
    pace = Pace(hear_s=0.1, list_s=0.2, look_s=0.2, grace_s=0.05, again_s=0.01)
    runner = BatchRunner(launcher, store=store, notices=notices, run="r", folder=root / "r", concurrency=8,
                         samples=2, pace=pace, resume=resume)
    fine = {"seconds": 0.03, "reward": 1.0}
    tasks = [task_from_payload({"id": f"t{n}", "does": {"tries": [{"leaves": "nothing"}, fine]} if n % 5 == 0
             else fine}) for n in range(20)]
    async with runner:
        async for outcome in runner.run(tasks):
            print(outcome.request.rollout_id, outcome.status, flush=True)
    print("all", flush=True)

asyncio.run(main(Path(sys.argv[1]), sys.argv[2] == "resume"))
"""


def test_a_client_that_is_killed_ten_times_loses_and_doubles_nothing(tmp_path):
    """Killed at random moments and resumed: in the end every rollout has one outcome, and one that counts."""
    path = os.pathsep.join([str(Path(__file__).parents[2] / "plugins"), os.environ.get("PYTHONPATH", "")])
    chance, kills, said = random.Random(7), 0, []
    while not said or said[-1] != "all":
        resume = "resume" if (tmp_path / "r" / "journal.sqlite").exists() else "fresh"
        process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(tmp_path), resume],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        if kills < 10:
            # From the first outcome on, so that starting Python does not eat the moments.
            process.stdout.readline()
            time.sleep(chance.uniform(0, 0.12))
            process.kill()
            kills += 1
        out, _ = process.communicate(timeout=50)
        said = out.splitlines()
        assert not process.returncode or kills <= 10
    assert kills == 10
    last = Counter(line.split()[0] for line in said[:-1])
    assert set(last) == {f"t{n}.{s}" for n in range(20) for s in range(2)}
    assert set(last.values()) == {1}
    run = read_run(tmp_path / "r")
    assert sorted(rollout.input_id for rollout in run.rollouts) == sorted(last)
    assert run.unreadable == {}
