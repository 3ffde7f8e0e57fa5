"""Many sessions at once over boto3, at a fake service in another process: the benchmark in small."""

import asyncio

import pytest

import fake_agentcore
from agentcore_rl.aws.launcher import AgentCoreLauncher
from agentcore_rl.aws.s3 import S3Store
from agentcore_rl.aws.sqs import SQSNotices
from agentcore_rl.batch import BatchRunner, Pace
from agentcore_rl.limits import Limiter, Quotas
from agentcore_rl.rollout import Status
from agentcore_rl.tasks import task_from_payload

ROLLOUTS, RATE = 60, 50.0


@pytest.fixture(scope="module")
def service():
    """Sixty rollouts of 0.3 to 0.9 s find it with a quota of fifty new sessions a second."""
    with fake_agentcore.running("--rate", str(RATE), "--cold-start", "0.1") as there:
        yield there


@pytest.mark.parametrize("with_queue", [True, False], ids=["SQS", "LIST"])
async def test_sixty_sessions_come_once_and_nothing_is_throttled(service, monkeypatch, with_queue):
    """Each outcome once, at the rate that the quota allows, every session stopped, no message left."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", service.url)
    store = S3Store(fake_agentcore.BUCKET)
    notices = SQSNotices(service.queue_url, location=store.location) if with_queue else None
    limiter = Limiter(Quotas(new_sessions_per_s=RATE * 0.9, interactions_per_s=180.0, active_sessions=1000))
    launcher = AgentCoreLauncher(fake_agentcore.ARN, limiter=limiter)
    runner = BatchRunner(
        launcher,
        store=store,
        notices=notices,
        concurrency=ROLLOUTS,
        pace=Pace(hear_s=1.0, list_s=0.5, ears=2),
    )
    before = await asyncio.to_thread(service.counts)
    tasks = [task_from_payload({"id": f"t{n}", "seconds": 0.3 + n / 100}) for n in range(ROLLOUTS)]
    async with runner:
        outcomes = [outcome async for outcome in runner.run(tasks)]
    await launcher.aclose()
    counts = await asyncio.to_thread(service.counts)
    calls = {name: number - before["calls"].get(name, 0) for name, number in counts["calls"].items()}
    assert sorted(outcome.request.task for outcome in outcomes) == sorted(task.id for task in tasks)
    assert {outcome.status for outcome in outcomes} == {Status.SUCCEEDED}
    assert counts["throttled"] == 0
    assert calls["InvokeAgentRuntime"] == ROLLOUTS + 1  # the probe shares the first one's session
    assert calls["StopRuntimeSession"] == ROLLOUTS
    if with_queue:
        assert counts["messages"] == 0
