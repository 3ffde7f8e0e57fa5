"""Every error of the data plane's model, over HTTP and through boto3 as it is."""

import asyncio
import json
import re

import botocore.session
import pytest

from agentcore_rl.aws import clients
from agentcore_rl.aws.launcher import AgentCoreLauncher
from agentcore_rl.exceptions import (
    LauncherError,
    LaunchRejected,
    OutcomeUnknown,
    RetryLater,
    ServiceBusy,
    SessionLost,
)
from agentcore_rl.limits import Limiter, Quotas
from answering_server import Answer, AnsweringServer

ARN = "arn:aws:bedrock-agentcore:us-west-2:123456789012:runtime/agent-0123456789"
SESSION = "run-task-0-0-0123456789abcdef0123456789abcdef"

# code, status, message, what it is, what the sentence must say
TABLE = [
    ("ThrottlingException", 429, "Rate exceeded", ServiceBusy, "Rate exceeded"),
    ("ServiceQuotaExceededException", 402, "maxVms limit exceeded", ServiceBusy, "maxVms limit exceeded"),
    ("RetryableConflictException", 409, "busy", ServiceBusy, "another call"),
    ("ConflictException", 409, "stopping", ServiceBusy, "another call"),
    ("ValidationException", 400, "qualifier is malformed", LaunchRejected, "qualifier is malformed"),
    ("AccessDeniedException", 403, "not authorized", LaunchRejected, "bedrock-agentcore:"),
    ("UnauthorizedException", 401, "no token", LaunchRejected, "OAuth"),
    ("ResourceNotFoundException", 404, "No endpoint or agent found", LaunchRejected, "READY"),
    ("InternalServerException", 500, "oops", RetryLater, "oops"),
    ("RuntimeClientError", 424, "Runtime initialization time exceeded", SessionLost, "CloudWatch"),
]
# What the app says through the service, and what stands before the model's own errors.
FURTHER = [
    ("RuntimeClientError", 424, "Received error (400) from runtime: bad ids", LaunchRejected, "400: bad ids"),
    ("RuntimeClientError", 424, "Received error (409) from runtime: other", LaunchRejected, "409: other"),
    ("RuntimeClientError", 424, "Received error (422) from runtime.", LaunchRejected, "no reason given"),
    ("RuntimeClientError", 424, "Received error (503) from runtime: full", RetryLater, "503: full"),
    ("RuntimeClientError", 424, "Received error (429) from runtime: slow", RetryLater, "429: slow"),
    ("RuntimeClientError", 424, "Received error (500) from runtime. See the log.", SessionLost, "500"),
    ("RuntimeClientError", 424, "", SessionLost, "no reason given"),
    ("ExpiredTokenException", 403, "The security token has expired", RetryLater, "refresh"),
    ("UnrecognizedClientException", 403, "invalid token", RetryLater, "refresh"),
    ("InvalidSignatureException", 403, "skew", RetryLater, "refresh"),
    ("ServiceUnavailableException", 503, "later", ServiceBusy, "later"),
    ("BadGateway", 502, "gateway", RetryLater, "gateway"),
    ("SomethingNew", 418, "teapot", LaunchRejected, "teapot"),
]


def answer(code, status, message, **headers):
    """An error as the service spells it."""
    fields = {"content-type": "application/json", "x-amzn-errortype": code, **headers}
    return Answer(status, json.dumps({"message": message}).encode(), fields)


@pytest.fixture
def server():
    """What stands in for the service."""
    with AnsweringServer() as there:
        yield there


async def failing(server, call, how, **options):
    """The error of one call, and the launcher that made it."""
    server.answers.clear()
    server.answers.append(how)
    launcher = AgentCoreLauncher(ARN, endpoint_url=server.url, **options)
    try:
        with pytest.raises(LauncherError) as caught:
            await (launcher.start(SESSION, {}) if call == "start" else launcher.stop(SESSION))
    finally:
        await launcher.aclose()
    return caught.value


def test_the_table_is_the_model():
    """Every error that botocore's model lists for the two operations, with its status; none besides."""
    model = botocore.session.Session().get_service_model("bedrock-agentcore")
    listed = {
        (shape.name, shape.metadata["error"]["httpStatusCode"])
        for operation in ("InvokeAgentRuntime", "StopRuntimeSession")
        for shape in model.operation_model(operation).error_shapes
    }
    assert listed == {(code, status) for code, status, *_ in TABLE}


@pytest.mark.parametrize(("code", "status", "message", "kind", "says"), TABLE + FURTHER)
async def test_a_start_that_fails(server, code, status, message, kind, says):
    """Is of its class, says why and what to do, and was asked once."""
    error = await failing(server, "start", answer(code, status, message))
    assert type(error) is kind
    assert says in str(error)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("code", "status", "message", "kind", "says"),
    [row for row in TABLE if row[0] != "ResourceNotFoundException"],
)
async def test_a_stop_that_fails(server, code, status, message, kind, says):
    """Is of the same class; what botocore may repeat was asked up to three times, with one token."""
    server.answers.clear()
    error = await failing(server, "stop", answer(code, status, message))
    assert type(error) is kind
    tokens = {json.loads(body)["clientToken"] for _, _, body in server.seen}
    assert len(tokens) == 1
    assert 1 <= len(server.seen) <= 3


async def test_stopping_what_is_not_there_is_fine(server):
    """404 of a stop is no error, and the session is gone."""
    server.answers.append(answer("ResourceNotFoundException", 404, "no session"))
    server.answers.popleft()
    launcher = AgentCoreLauncher(ARN, endpoint_url=server.url)
    await launcher.stop(SESSION)
    assert (await launcher.status(SESSION)).value == "gone"
    await launcher.aclose()


async def test_later_is_when_the_service_says(server):
    """Retry-After, for throttling, for a full account, and for what is not there for a while."""
    for code, status in (
        ("ThrottlingException", 429),
        ("ServiceQuotaExceededException", 402),
        ("ServiceUnavailableException", 503),
    ):
        error = await failing(server, "start", answer(code, status, "later", **{"retry-after": "7"}))
        assert isinstance(error, RetryLater)
        assert error.after_s == 7.0


@pytest.mark.parametrize(
    ("code", "status", "call", "slower"),
    [
        ("ThrottlingException", 429, "start", {"new_sessions", "interactions"}),
        ("ThrottlingException", 429, "stop", {"interactions"}),
        ("ServiceQuotaExceededException", 402, "start", set()),
        ("InternalServerException", 500, "start", set()),
    ],
)
async def test_throttling_slows_down_what_was_throttled(server, code, status, call, slower):
    """Rates are halved where calls came too fast; where the account is full, speed is not to blame."""
    limiter = Limiter(Quotas(new_sessions_per_s=1000.0, interactions_per_s=1000.0))
    await failing(server, call, answer(code, status, "no"), limiter=limiter)
    found = {name for name in ("new_sessions", "interactions") if getattr(limiter, name).rate < 990}
    assert found == slower


async def test_no_answer_is_an_unknown_outcome(server):
    """Neither within the time, nor where the connection breaks: the session may have started."""
    error = await failing(server, "start", Answer(after_s=30), timeout_s=0.3)
    assert type(error) is OutcomeUnknown
    assert SESSION in str(error)
    error = await failing(server, "start", Answer(hang_up=True))
    assert type(error) is OutcomeUnknown
    slow = Answer(body=b"{" + b" " * 200 + b"}", chunks_every_s=0.05)
    assert type(await failing(server, "start", slow, timeout_s=0.4)) is OutcomeUnknown
    assert len(server.seen) == 3


async def test_an_answer_that_is_not_aws_is_unknown_or_later(server):
    """A proxy's page in place of an answer: nobody knows what came of the call."""
    page = Answer(504, b"<html>gateway</html>", {"content-type": "text/html"})
    assert type(await failing(server, "start", page)) in (RetryLater, OutcomeUnknown)


async def test_no_connection_is_later():
    """The service has not seen the call, and the same session may be asked again."""
    launcher = AgentCoreLauncher(ARN, endpoint_url="http://127.0.0.1:9")
    with pytest.raises(RetryLater, match="no connection"):
        await launcher.start(SESSION, {})
    await launcher.aclose()


async def test_without_credentials_a_call_comes_later(server, monkeypatch):
    """They may be refreshed; a role's are sometimes away for a moment."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    clients.renew_credentials()
    launcher = AgentCoreLauncher(ARN, endpoint_url=server.url)
    with pytest.raises(RetryLater, match="credentials"):
        await launcher.start(SESSION, {})
    await asyncio.sleep(clients.RENEWAL_S)
    with pytest.raises(RetryLater, match="credentials"):
        await launcher.start(SESSION, {})
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "fresh")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "fresh")
    assert await launcher.start(SESSION, {}) == {}
    assert re.search("Credential=fresh/", server.seen[-1][1]["authorization"])
    await launcher.aclose()


async def test_credentials_that_expired_are_read_anew(server, monkeypatch):
    """The next call is signed with those that are there then."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "old")
    clients.renew_credentials()
    launcher = AgentCoreLauncher(ARN, endpoint_url=server.url)
    server.answers.appendleft(answer("ExpiredTokenException", 403, "The security token has expired"))
    clients.client("bedrock-agentcore", region="us-west-2")
    await asyncio.sleep(clients.RENEWAL_S)
    with pytest.raises(RetryLater):
        await launcher.start(SESSION, {})
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "new")
    await launcher.start(SESSION, {})
    assert ["Credential=old/" in seen[1]["authorization"] for seen in server.seen] == [True, False]
    clients.renew_credentials()
    await launcher.aclose()


async def test_what_cannot_be_sent_is_rejected(server):
    """A session id that is too short never leaves this machine."""
    launcher = AgentCoreLauncher(ARN, endpoint_url=server.url)
    with pytest.raises(LaunchRejected, match="runtimeSessionId"):
        await launcher.start("short", {})
    assert server.seen == []
    await launcher.aclose()
