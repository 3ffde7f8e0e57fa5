"""The client over real sessions: the local runtime with a directory, and with S3 and SQS.

The same tests in each. The other tests of this folder ask more, of sessions that are played in the test's own
process.
"""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import pytest

from agentcore_rl.batch import BatchRunner, Pace
from agentcore_rl.client import RolloutClient
from agentcore_rl.endpoint import Endpoint
from agentcore_rl.launchers import SessionStatus
from agentcore_rl.launchers.local import LocalLauncher
from agentcore_rl.read import read_run
from agentcore_rl.rollout import FailureKind, Status
from agentcore_rl.stores.places import open_notices, open_store
from agentcore_rl.tasks import task_from_payload
from inprocess_launcher import until

APP = str(Path(__file__).with_name("doing_app.py"))
PACE = Pace(hear_s=0.5, list_s=1.0, look_s=0.1, grace_s=0.3, past_deadline_s=5, again_s=0.05, ears=2)


class Place:
    """Where rollouts run, and where their records and notices go."""

    def __init__(self, location: str, queue: str | None, directory: Path) -> None:
        self.location, self.queue, self.directory = location, queue, directory
        self.launchers: list[LocalLauncher] = []

    def launcher(self) -> LocalLauncher:
        env = {"AGENTCORE_RL_STORE": self.location}
        if self.queue is not None:
            env["AGENTCORE_RL_QUEUE"] = self.queue
        launcher = LocalLauncher(APP, directory=self.directory / "runtime", env=env)
        self.launchers.append(launcher)
        return launcher

    def options(self, run: str) -> dict[str, Any]:
        notices = open_notices(self.location, run=run, queue=self.queue)
        return {"store": open_store(self.location), "notices": notices, "pace": PACE, "run": run}

    def batch(self, launcher: LocalLauncher | None = None, run: str = "r", **options: Any) -> BatchRunner:
        options = {"concurrency": 8, **self.options(run), **options}
        return BatchRunner(launcher or self.launcher(), **options)

    async def aclose(self) -> None:
        for launcher in self.launchers:
            await launcher.aclose()


@pytest.fixture(params=["directory", "S3 and SQS"])
async def place(request, aws, tmp_path):
    """Each place in turn."""
    if request.param == "directory":
        there = Place(str(tmp_path / "records"), None, tmp_path)
    else:
        name = f"b{uuid.uuid4().hex[:12]}"
        await asyncio.to_thread(aws.bucket, name)
        there = Place(f"s3://{name}/some/prefix", await asyncio.to_thread(aws.queue, name), tmp_path)
    yield there
    await there.aclose()


def task(name, *tries, **does):
    """A task whose session does this."""
    return task_from_payload({"id": name, "does": {"tries": list(tries)} if tries else does})


async def all_of(runner, tasks):
    """The outcomes by rollout id; fails when one comes twice."""
    async with runner:
        outcomes = [outcome async for outcome in runner.run(tasks)]
    found = {outcome.request.rollout_id: outcome for outcome in outcomes}
    assert len(found) == len(outcomes)
    return found


async def all_gone(launcher, sessions):
    """Wait until no session is left; one that has ended is busy until its spool is delivered."""
    async with asyncio.timeout(30):
        for session in sessions:
            while await launcher.status(session) is not SessionStatus.GONE:  # noqa: ASYNC110 - nothing tells it
                await asyncio.sleep(0.05)


async def test_every_sample_of_every_task_comes_once(place, tmp_path):
    """Judged, read, where it says it is, with its phases; and the run can be read from its folder."""
    runner = place.batch(samples=3, folder=tmp_path / "run")
    outcomes = await all_of(runner, [task("a", reward=1.0), task("b", reward=0.0)])
    assert sorted(outcomes) == ["a.0", "a.1", "a.2", "b.0", "b.1", "b.2"]
    assert {each.status for each in outcomes.values()} == {Status.SUCCEEDED}
    outcome = outcomes["a.2"]
    assert outcome.reward.value == 1.0
    assert outcome.location == f"{place.location}/{outcome.request.key}"
    assert (await runner.read(outcome)).sample == 2
    took = outcome.timings
    assert None not in (took.queued_s, took.start_s, took.run_s, took.read_s)
    run = await asyncio.to_thread(read_run, tmp_path / "run")
    assert run.ids == sorted(outcomes)
    assert run.asked == 6
    assert run.unreadable == {}


async def test_each_failure_is_its_own(place):
    """The agent's stays, a deadline stays, a session that dies is tried again; the sound ones succeed."""
    outcomes = await all_of(
        place.batch(deadline_s=2.0, attempts=2),
        [
            task("sound", reward=1.0),
            task("raises", raises=True),
            task("slow", seconds=30),
            task("mortal", {"dies": True}, {"reward": 0.5}),
            task("doomed", dies=True),
        ],
    )
    said = {name: each.failure and each.failure.kind for name, each in outcomes.items()}
    assert said == {
        "sound.0": None,
        "raises.0": FailureKind.AGENT,
        "slow.0": FailureKind.TIMEOUT,
        "mortal.0": None,
        "doomed.0": FailureKind.RUNTIME,
    }
    assert {name: each.attempts for name, each in outcomes.items()} == {
        "sound.0": 1,
        "raises.0": 1,
        "slow.0": 1,
        "mortal.0": 2,
        "doomed.0": 2,
    }
    assert outcomes["mortal.0"].reward.value == 0.5


async def test_what_the_app_refuses_is_a_contract_failure(place):
    """An endpoint outside its fences; with the app's sentence, at once, and not tried again."""
    runner = place.batch(endpoint=Endpoint("http://example.com/v1", "m"))
    outcome = (await all_of(runner, [task("a")]))["a.0"]
    assert (outcome.failure.kind, outcome.attempts) == (FailureKind.CONTRACT, 1)
    assert "AGENTCORE_RL_ENDPOINTS" in outcome.failure.message


async def test_without_notices_the_list_finds_everything(place):
    """More slowly, and as surely."""
    outcomes = await all_of(place.batch(notices=None), [task(f"t{n}", reward=1.0) for n in range(6)])
    assert len(outcomes) == 6


async def test_breaking_off_stops_what_runs_and_resuming_ends_it(place, tmp_path):
    """No session of the first client is left; the second runs what is not stored, and only that."""
    launcher = place.launcher()
    tasks = [task("fast", reward=1.0), *(task(f"t{n}", seconds=60) for n in range(3))]
    runner = place.batch(launcher, folder=tmp_path / "run")
    sessions = [runner._terms.ids(each, 0).session for each in tasks]
    async with runner:
        async for outcome in runner.run(tasks):
            assert outcome.request.task == "fast"
            break
    await all_gone(launcher, sessions)
    tasks = [tasks[0], *(task(f"t{n}", reward=1.0) for n in range(3))]
    outcomes = await all_of(place.batch(launcher, folder=tmp_path / "run", resume=True), tasks)
    assert {each.status for each in outcomes.values()} == {Status.SUCCEEDED}
    assert [name for name, each in outcomes.items() if each.earlier] == ["fast.0"]


async def test_cancelling_stops_what_runs(place):
    """Whoever waits may be cancelled at any moment."""
    launcher = place.launcher()
    runner = place.batch(launcher)
    tasks = [task(f"t{n}", seconds=60) for n in range(3)]
    sessions = [runner._terms.ids(each, 0).session for each in tasks]
    running = asyncio.create_task(all_of(runner, tasks))
    await until(lambda: runner.progress.running == 3, within_s=40)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await all_gone(launcher, sessions)


async def test_forty_at_once(place):
    """All come, once."""
    outcomes = await all_of(place.batch(concurrency=40), [task(f"t{n}", seconds=0.2) for n in range(40)])
    assert {each.status for each in outcomes.values()} == {Status.SUCCEEDED}
    assert len(outcomes) == 40


async def test_one_rollout_at_a_time(place):
    """`RolloutClient` is a batch of one, as often as asked, at once if asked."""
    options = place.options("single")
    async with RolloutClient(place.launcher(), **options) as client:
        first, second = await asyncio.gather(
            client.rollout({"id": "a", "does": {"reward": 1.0}}), client.rollout({"id": "a"})
        )
        assert (first.request.sample, second.request.sample) == (0, 1)
        assert first.reward.value == 1.0
        assert (await client.read(second)).task == "a"
