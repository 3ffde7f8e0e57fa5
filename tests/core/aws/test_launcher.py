"""The launcher of AgentCore Runtime: what it sends, what it bears, and that nothing hangs on it."""

import asyncio
import json
import threading
import time
from pathlib import Path
from urllib.parse import unquote

import pytest

from agentcore_rl.aws import launcher as module
from agentcore_rl.aws.launcher import AgentCoreLauncher
from agentcore_rl.batch import BatchRunner, Pace
from agentcore_rl.exceptions import (
    ConfigurationError,
    LaunchRejected,
    OutcomeUnknown,
    RetryLater,
    SessionLost,
)
from agentcore_rl.limits import Limiter, Quotas
from agentcore_rl.local_runtime import LocalRuntime
from agentcore_rl.rollout import Status
from agentcore_rl.stores.places import open_notices, open_store
from agentcore_rl.tasks import task_from_payload
from answering_server import Answer, AnsweringServer

ARN = "arn:aws:bedrock-agentcore:us-west-2:123456789012:runtime/agent-0123456789"
APP = str(Path(__file__).parent.parent / "batch" / "doing_app.py")


def session(number=0):
    """A session's id."""
    return f"run-task-{number:04}-0123456789abcdef0123456789"


@pytest.fixture
def server():
    """What stands in for the service."""
    with AnsweringServer(Answer(body=b'{"status": "accepted"}')) as there:
        yield there


@pytest.fixture
async def launcher(server):
    """A launcher that calls it."""
    made = AgentCoreLauncher(ARN, endpoint_url=server.url, qualifier="canary", limiter=Limiter())
    yield made
    await made.aclose()


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Where the app puts its records."""
    return str(tmp_path_factory.mktemp("records"))


@pytest.fixture(scope="module")
def served(tmp_path_factory, records):
    """The local runtime, with records in a directory."""
    env = {"AGENTCORE_RL_STORE": records}
    with_faults = LocalRuntime(APP, directory=tmp_path_factory.mktemp("runtime"), env=env)
    with_faults.start()
    yield with_faults
    with_faults.stop()


@pytest.fixture
def runtime(served):
    """The same, without a fault."""
    served.faults.clear()
    return served


async def test_a_start_is_one_invoke_with_our_session(server, launcher):
    """The ARN, the qualifier, the session id and the payload are what was asked for."""
    assert await launcher.start(session(), {"prompt": "ü"}) == {"status": "accepted"}
    ((path, headers, body),) = server.seen
    assert unquote(path) == f"/runtimes/{ARN}/invocations?qualifier=canary"
    assert headers["x-amzn-bedrock-agentcore-runtime-session-id"] == session()
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {"prompt": "ü"}
    assert "/us-west-2/bedrock-agentcore/" in headers["authorization"]


async def test_a_stop_names_the_session_and_a_token(server, launcher):
    """A token of its own for each stop, since one that is known already would do nothing."""
    await launcher.stop(session())
    await launcher.stop(session())
    assert all(unquote(path).startswith(f"/runtimes/{ARN}/stopruntimesession") for path, _, _ in server.seen)
    tokens = {json.loads(body)["clientToken"] for _, _, body in server.seen}
    assert len(tokens) == 2


async def test_a_session_is_gone_when_it_was_stopped_or_is_too_old(server):
    """Until then nobody can tell; a start gives it a new life."""
    made = AgentCoreLauncher(ARN, endpoint_url=server.url, max_lifetime_s=0.2)
    said = [await made.status(session())]
    await made.start(session(), {})
    said.append(await made.status(session()))
    await asyncio.sleep(0.3)
    said.append(await made.status(session()))
    await made.start(session(), {})
    await made.stop(session())
    said.append(await made.status(session()))
    await made.aclose()
    assert [status.value for status in said] == ["unknown", "unknown", "gone", "gone"]


@pytest.mark.parametrize(
    ("arn", "options"),
    [
        ("runtime/agent-0123456789", {}),
        ("arn:aws:s3:::bucket", {}),
        (ARN + "/runtime-endpoint/x", {}),
        (ARN, {"timeout_s": 0}),
        (ARN, {"threads": 0}),
        (ARN, {"max_lifetime_s": -1}),
    ],
)
def test_what_cannot_be_used_is_said_at_once(arn, options):
    """Before any call."""
    with pytest.raises(ConfigurationError):
        AgentCoreLauncher(arn, **options)


async def test_the_region_is_the_arns(server):
    """Unless another is named."""
    made = AgentCoreLauncher(ARN.replace("us-west-2", "eu-north-1"), endpoint_url=server.url)
    await made.start(session(), {})
    assert "/eu-north-1/" in server.seen[-1][1]["authorization"]
    await made.aclose()


@pytest.mark.blocks_event_loop  # 100 MB of JSON are made in one step
async def test_a_payload_that_is_too_large_is_not_sent(server, launcher):
    """The service takes 100 MB."""
    with pytest.raises(LaunchRejected, match="100,000,000"):
        await launcher.start(session(), {"text": "x" * module.LONGEST_PAYLOAD})
    assert server.seen == []


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b"x" * (module.LONGEST_ANSWER + 1)),
        Answer(body=b"data: 1\n\n", headers={"content-type": "text/event-stream"}),
        Answer(body=b"[1]"),
        Answer(body=b"fine"),
    ],
    ids=["long", "stream", "list", "text"],
)
async def test_an_answer_that_is_no_rollouts_is_rejected(server, launcher, answer):
    """The sentence names the entrypoint."""
    server.answers[0] = answer
    with pytest.raises(LaunchRejected, match="rollout_entrypoint"):
        await launcher.start(session(), {})


async def test_starts_that_hang_hold_up_nobody(server):
    """With two threads and two starts that were given up, further starts and stops go on."""
    server.answers.clear()
    server.answers.extend([Answer(after_s=30), Answer(after_s=30), Answer()])
    made = AgentCoreLauncher(ARN, endpoint_url=server.url, limiter=Limiter(), threads=2)
    stuck = [asyncio.create_task(made.start(session(n), {})) for n in range(2)]
    await calls_came(server, 2)
    waiting = asyncio.create_task(made.start(session(2), {}))
    await made.stop(session(0))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    for task in stuck:
        task.cancel()
    assert await waiting == {}
    assert await asyncio.gather(*(made.start(session(n), {}) for n in range(3, 9))) == [{}] * 6
    assert all(isinstance(each, asyncio.CancelledError) for each in await gathered(stuck))
    await made.aclose()


async def calls_came(server, number):
    """Wait until the service has got so many calls."""
    while len(server.seen) < number:  # noqa: ASYNC110 - it is in another thread
        await asyncio.sleep(0.01)


async def gathered(tasks):
    """What came of each task."""
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_closing_waits_for_no_call(server):
    """Calls that hang are left to themselves, and what has not begun ends with a sentence."""
    server.answers[0] = Answer(after_s=30)
    made = AgentCoreLauncher(ARN, endpoint_url=server.url, limiter=Limiter(), threads=1)
    calls = [asyncio.create_task(made.start(session(n), {})) for n in range(2)]
    await calls_came(server, 1)
    await made.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await calls[1]
    with pytest.raises(RuntimeError, match="closed"):
        await made.start(session(3), {})
    calls[0].cancel()
    await gathered(calls)
    await made.aclose()


async def test_as_many_starts_are_under_way_as_there_are_threads(server):
    """Threads begin when they are needed, and end with the launcher."""
    server.answers[0] = Answer(after_s=30)
    made = AgentCoreLauncher(ARN, endpoint_url=server.url, limiter=Limiter(), threads=40)
    calls = [asyncio.create_task(made.start(session(n), {})) for n in range(50)]
    await calls_came(server, 40)
    await asyncio.sleep(0.1)
    assert len(server.seen) == 40
    server.answers[0] = Answer()
    server.released.set()
    assert await asyncio.gather(*calls) == [{}] * 50
    await made.aclose()
    until = time.monotonic() + 5
    while any(thread.name == "agentcore-rl-start" for thread in threading.enumerate()):
        assert time.monotonic() < until
        await asyncio.sleep(0.01)


async def test_every_call_takes_its_turn(server):
    """Starts and stops are interactions of the account's budget."""
    limiter = Limiter(Quotas(interactions_per_s=0.5))
    made = AgentCoreLauncher(ARN, endpoint_url=server.url, limiter=limiter)
    await made.start(session(), {})
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(made.stop(session()), 0.1)
    assert len(server.seen) == 1
    await made.aclose()


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("throttle", RetryLater),
        ("quota", RetryLater),
        ("conflict", RetryLater),
        ("internal", RetryLater),
        ("deny", LaunchRejected),
        ("fail-start", SessionLost),
        ("kill-before", SessionLost),
        ("lose-answer", OutcomeUnknown),
    ],
)
async def test_the_local_runtimes_faults_are_what_they_are_for(runtime, fault, kind):
    """The faults that it makes on purpose, and afterwards the same session answers."""
    made = AgentCoreLauncher(runtime.arn, endpoint_url=runtime.endpoint_url, limiter=Limiter())
    runtime.faults.add(fault, count=1)
    name = f"{fault}-0123456789abcdef0123456789abcdef"
    with pytest.raises(kind):
        await made.start(name, {"id": "a"})
    assert await made.start(name, {"id": "a"}) is not None
    await made.stop(name)
    await made.stop(name)
    await made.aclose()


async def test_a_batch_over_boto3_bears_faults(runtime, records):
    """Thirty rollouts, with throttling, lost answers and sessions that do not start: each comes once."""
    for fault, count in (
        ("throttle", 3),
        ("lose-answer", 3),
        ("fail-start", 2),
        ("quota", 1),
        ("conflict", 2),
    ):
        runtime.faults.add(fault, count=count, probability=0.4, seed=count)
    made = AgentCoreLauncher(runtime.arn, endpoint_url=runtime.endpoint_url, limiter=Limiter())
    pace = Pace(hear_s=0.2, list_s=1.0, look_s=0.2, grace_s=0.2, again_s=0.05)
    runner = BatchRunner(
        made,
        store=open_store(records),
        notices=open_notices(records, run="r"),
        run="r",
        concurrency=15,
        pace=pace,
        deadline_s=20,
    )
    tasks = [task_from_payload({"id": f"t{n}", "does": {"reward": n}}) for n in range(30)]
    async with runner:
        outcomes = [outcome async for outcome in runner.run(tasks)]
    await made.aclose()
    assert sorted(outcome.reward.value for outcome in outcomes) == list(range(30))
    assert {outcome.status for outcome in outcomes} == {Status.SUCCEEDED}
