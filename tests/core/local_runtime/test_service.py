"""Faults and endpoints as an unmodified boto3 client meets them."""

import asyncio
import json
import os
import time
from contextlib import suppress

import pytest
from botocore.exceptions import BotoCoreError, ConnectionClosedError

from agentcore_rl.exceptions import LaunchRejected, OutcomeUnknown, RetryLater, SessionLost
from agentcore_rl.launchers import SessionStatus


@pytest.fixture
def invoke(light_runtime, light_client):
    """Sends a payload to a session and gives the decoded answer."""

    def send(session, qualifier="DEFAULT", **payload):
        answer = light_client.invoke_agent_runtime(
            agentRuntimeArn=light_runtime.arn,
            runtimeSessionId=session,
            qualifier=qualifier,
            payload=json.dumps(payload),
        )
        return json.loads(answer["response"].read())

    return send


@pytest.mark.parametrize(
    ("fault", "error", "status"),
    [
        ("throttle", "ThrottlingException", 429),
        ("quota", "ServiceQuotaExceededException", 402),
        ("conflict", "RetryableConflictException", 409),
        ("deny", "AccessDeniedException", 403),
        ("internal", "InternalServerException", 500),
        ("fail-start", "RuntimeClientError", 424),
    ],
)
def test_refusals_are_typed(light_client, invoke, faults, name, fault, error, status):
    """Each is boto3's own exception; the app never hears of the call, the next one goes through."""
    session = name()
    faults.add(fault, count=1)
    with pytest.raises(getattr(light_client.exceptions, error), match=f"the fault {fault} asks") as raised:
        invoke(session)
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert invoke(session)["deliveries"] == 1


def test_a_stop_can_be_refused(light_client, light_runtime, invoke, faults, name):
    """It is an operation of its own."""
    session = name()
    invoke(session)
    faults.add("conflict", operation="stop", count=1)
    stop = {"agentRuntimeArn": light_runtime.arn, "runtimeSessionId": session}
    with pytest.raises(light_client.exceptions.RetryableConflictException):
        light_client.stop_runtime_session(**stop)
    light_client.stop_runtime_session(**stop)


def test_a_lost_answer(invoke, faults, name):
    """The app has run, its client sees a closed connection, and the next call finds the same session."""
    session = name()
    faults.add("lose-answer", count=1)
    with pytest.raises(ConnectionClosedError):
        invoke(session)
    assert invoke(session)["deliveries"] == 2


def test_a_duplicate_delivery(invoke, faults, name):
    """The app gets one payload twice."""
    faults.add("duplicate", count=1)
    assert invoke(name())["deliveries"] == 2


def test_a_session_that_is_killed_before_it_answers(light_client, invoke, faults, name):
    """The call is lost, and the id starts anew."""
    session = name()
    before = invoke(session)
    faults.add("kill-before", count=1)
    with pytest.raises(light_client.exceptions.RuntimeClientError, match="ended by SIGKILL"):
        invoke(session)
    after = invoke(session)
    assert (after["deliveries"], after["pid"] != before["pid"]) == (1, True)


def test_a_session_that_is_killed_after_its_answer(invoke, faults, name, gone):
    """The answer comes, and the session ends."""
    faults.add("kill-after", count=1)
    assert gone(invoke(name())["pid"])


def test_a_session_that_is_killed_at_some_moment(invoke, faults, name, gone, light_client):
    """It ends, whether its answer has come by then or not."""
    session = name()
    before = invoke(session)
    faults.add("kill", count=1, seconds=0.2)
    with suppress(light_client.exceptions.RuntimeClientError, BotoCoreError):
        invoke(session)
    assert gone(before["pid"])


def test_a_slow_start(invoke, faults, name):
    """A new session is late; one that is there is not."""
    session = name()
    faults.add("slow-start", seconds=0.4)
    began = time.monotonic()
    invoke(session)
    assert time.monotonic() - began >= 0.4
    invoke(session)
    assert faults.rules[0].hits == 1


async def test_the_same_past_http(light_runtime, faults, name):
    """Each fault is one of the four classes of a launcher's errors."""
    session = name()
    for fault, error in (
        ("throttle", RetryLater),
        ("quota", RetryLater),
        ("conflict", RetryLater),
        ("deny", LaunchRejected),
        ("internal", OutcomeUnknown),
        ("fail-start", SessionLost),
        ("lose-answer", OutcomeUnknown),
        ("kill-before", SessionLost),
    ):
        faults.add(fault, count=1)
        with pytest.raises(error):
            await light_runtime.invoke(session, b"{}")
    faults.add("deny", operation="stop", count=1)
    with pytest.raises(LaunchRejected):
        await light_runtime.stop_session(session)
    # It is busy until its spool has been looked at.
    for _ in range(1000):
        if (status := await light_runtime.status(session)) is SessionStatus.GONE:
            break
        await asyncio.sleep(0.01)
    assert status is SessionStatus.GONE


def test_endpoints(light_client, light_runtime, invoke, name):
    """Each qualifier has sessions of its own; one that was not declared is not there."""
    session = name()
    default, canary = invoke(session), invoke(session, "canary")
    assert default["pid"] != canary["pid"]
    assert str(light_runtime.directory / "endpoints" / "canary") in canary["spools"][1]
    with pytest.raises(light_client.exceptions.ResourceNotFoundException, match="there are: DEFAULT, canary"):
        invoke(session, "nowhere")
    light_client.stop_runtime_session(
        agentRuntimeArn=light_runtime.arn, runtimeSessionId=session, qualifier="canary"
    )
    os.kill(default["pid"], 0)
    assert invoke(session)["pid"] == default["pid"]
