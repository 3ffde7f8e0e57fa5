"""One rollout is a batch of one."""

import asyncio

import pytest

from agentcore_rl.batch.flight import Pace
from agentcore_rl.client import RolloutClient
from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.rollout import FailureKind
from agentcore_rl.stores.directory import DirectoryNotices, DirectoryStore
from inprocess_launcher import InProcessLauncher, until

QUICK = Pace(hear_s=0.1, list_s=0.1, look_s=0.05, grace_s=0.1)


@pytest.fixture
def launcher(tmp_path):
    """Records and notices in a directory."""
    return InProcessLauncher(DirectoryStore(tmp_path / "records"), DirectoryNotices(tmp_path / "notices"))


def client_of(launcher, **options):
    """A quick client of a launcher."""
    return RolloutClient(
        launcher, store=launcher.store, notices=launcher.notices, run="r", pace=QUICK, **options
    )


async def test_a_rollout_is_run_and_read(launcher):
    """The payload needs no id; the record is behind the outcome."""
    async with client_of(launcher) as client:
        outcome = await client.rollout({"prompt": "2 + 2?", "does": {"reward": 0.5}})
        assert outcome.reward.value == 0.5
        assert outcome.request.run == client.run_id == "r"
        assert (await client.read(outcome)).turns[0].answer["content"] == "answer 0"
    assert launcher.alive == []


async def test_the_same_payload_again_is_the_next_sample(launcher):
    """Each call is a rollout of its own; the store is checked once."""
    client = client_of(launcher)
    ids = [(await client.rollout({"prompt": "?"}, task="a")).request.rollout_id for _ in range(3)]
    assert ids == ["a.0", "a.1", "a.2"]
    assert (await client.rollout({"prompt": "?"}, task="a", sample=7)).request.sample == 7
    assert (await client.rollout({"prompt": "?"}, task="a")).request.sample == 8
    assert launcher.probes == 1


async def test_many_at_once(launcher):
    """Calls share slots and notices and take each other's nothing away."""
    client = client_of(launcher, concurrency=3)
    outcomes = await asyncio.gather(
        *(client.rollout({"id": f"t{n}", "does": {"reward": n, "seconds": 0.02}}) for n in range(10))
    )
    assert [outcome.reward.value for outcome in outcomes] == list(range(10))
    assert launcher.probes == 1


async def test_a_failure_is_an_outcome(launcher):
    """Not an exception."""
    outcome = await client_of(launcher).rollout({"does": {"leaves": "nothing"}})
    assert outcome.failure.kind is FailureKind.RUNTIME


async def test_cancelling_one_call_leaves_the_others(launcher):
    """Its session is stopped; the other comes."""
    client = client_of(launcher)
    slow = asyncio.create_task(client.rollout({"id": "slow", "does": {"seconds": 60}}))
    other = asyncio.create_task(client.rollout({"id": "other", "does": {"seconds": 0.5}}))
    await until(lambda: len(launcher.delivered) == 2)
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    assert (await other).request.task == "other"
    await until(lambda: launcher.alive == [])


async def test_closing_ends_calls_that_wait(launcher):
    """With nothing left alive."""
    client = client_of(launcher)
    slow = asyncio.create_task(client.rollout({"id": "slow", "does": {"seconds": 60}}))
    await until(lambda: launcher.delivered)
    await client.aclose()
    with pytest.raises(RuntimeError, match="was closed while it ran"):
        await asyncio.wait_for(slow, 2)
    assert launcher.alive == []


async def test_the_same_sample_twice_at_once_is_refused(launcher):
    """One session cannot have two owners."""
    client = client_of(launcher)
    first = asyncio.create_task(client.rollout({"id": "a", "does": {"seconds": 0.5}}, sample=0))
    await until(lambda: launcher.delivered)
    with pytest.raises(ConfigurationError, match=r"a\.0 is running already"):
        await client.rollout({"id": "a"}, sample=0)
    assert (await first).request.rollout_id == "a.0"
