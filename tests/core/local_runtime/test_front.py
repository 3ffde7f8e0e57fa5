"""The API of AgentCore Runtime, spoken by an unmodified boto3."""

import http.client
import json
import time
from urllib.parse import quote

import pytest
from botocore.exceptions import ClientError, ResponseStreamingError

ARN = "arn:aws-us-gov:bedrock-agentcore:us-gov-west-1:123456789012:runtime/some_Agent1-aB3dE6gH9k"
HEADER = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"


def _post(runtime, path, headers=None, method="POST"):
    """What a client other than boto3 may send: status, error type, message."""
    connection = http.client.HTTPConnection(runtime.endpoint_url.removeprefix("http://"), timeout=20)
    connection.request(method, path, b"{}", headers or {})
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    return answer.status, answer.headers["x-amzn-ErrorType"], content.get("message", content)


def test_a_session_is_one_process(client, runtime, invoke, shared):
    """Invokes with one session id meet the same process, another id another one; any ARN will do."""
    answer = client.invoke_agent_runtime(agentRuntimeArn=ARN, payload=b"{}", qualifier="DEFAULT")
    made_up = json.loads(answer["response"].read())
    client.stop_runtime_session(agentRuntimeArn=ARN, runtimeSessionId=made_up["session"])
    assert (answer["statusCode"], answer["contentType"]) == (200, "application/json")
    assert answer["runtimeSessionId"] == made_up["session"]
    first, second = invoke(shared), invoke(shared)
    assert first["pid"] == second["pid"] != made_up["pid"]
    assert first["session"] == shared


def test_an_absent_session_id_is_made_up(runtime):
    """Without the header the service starts a session under an id of its own."""
    path = f"/runtimes/{quote(runtime.arn, safe='')}/invocations"
    status, _, said = _post(runtime, path)
    assert (status, len(said["session"])) == (200, 36)
    stopped, _, _ = _post(
        runtime, path.replace("invocations", "stopruntimesession"), {HEADER: said["session"]}
    )
    assert stopped == 200


def test_a_stream_arrives_as_it_is_made(client, runtime, shared):
    """Server-sent events pass through one by one, not when the last has been made."""
    began = time.monotonic()
    answer = client.invoke_agent_runtime(
        agentRuntimeArn=runtime.arn, runtimeSessionId=shared, payload=json.dumps({"stream": 3, "pause": 0.5})
    )
    assert answer["contentType"].startswith("text/event-stream")
    came = [(line, time.monotonic() - began) for line in answer["response"].iter_lines(chunk_size=1) if line]
    assert [line for line, _ in came] == [b"data: 0", b"data: 1", b"data: 2"]
    assert came[2][1] - came[0][1] > 0.8


def test_an_answer_of_any_kind_passes_through(client, runtime, shared):
    """Status, content type and bytes of the app's answer are the runtime's."""
    answer = client.invoke_agent_runtime(
        agentRuntimeArn=runtime.arn, runtimeSessionId=shared, payload=json.dumps({"bytes": [0, 255, 10]})
    )
    assert (answer["statusCode"], answer["contentType"]) == (201, "application/x-test")
    assert answer["response"].read() == b"\x00\xff\n"


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        ({"raise": "no such city"}, "Received error (500) from runtime: no such city"),
        ({"refuse": 409}, "Received error (409) from runtime: not like this"),
    ],
)
def test_an_error_of_the_app_carries_its_sentence(client, invoke, payload, sentence, shared):
    """What the app refuses or breaks at is a RuntimeClientError (424) that says what the app said."""
    with pytest.raises(client.exceptions.RuntimeClientError) as raised:
        invoke(shared, **payload)
    assert raised.value.response["Error"]["Message"] == sentence
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 424


def test_headers_reach_the_app(runtime, shared):
    """Custom headers and a bearer token go on to the app; AWS's signature and its own fields do not."""
    path = f"/runtimes/{quote(runtime.arn, safe='')}/invocations"
    own = {HEADER: shared, "X-Amz-Date": "now"}
    name = "X-Amzn-Bedrock-AgentCore-Runtime-Custom-Tier"
    sent = {**own, name: "gold", "Authorization": "Bearer abc"}
    arrived = {key.lower(): value for key, value in _post(runtime, path, sent)[2]["headers"].items()}
    assert (arrived[name.lower()], arrived["authorization"]) == ("gold", "Bearer abc")
    assert "x-amz-date" not in arrived
    arrived = _post(runtime, path, {**own, "Authorization": "AWS4-HMAC-SHA256 Credential=local"})[2][
        "headers"
    ]
    assert "authorization" not in {key.lower() for key in arrived}


def test_a_body_of_a_hundred_megabytes(client, runtime, invoke, shared):
    """The service's limit is the runtime's: beyond it, a ValidationException that arrives."""
    assert invoke(shared, text="x" * 20_000_000)["length"] == 20_000_000
    with pytest.raises(client.exceptions.ValidationException, match="at most 100,000,000 bytes"):
        client.invoke_agent_runtime(
            agentRuntimeArn=runtime.arn, runtimeSessionId=shared, payload=b" " * 100_000_001
        )


def test_a_stopped_session_is_unknown(client, runtime, invoke, session):
    """Stop ends the process; a second stop is a 404, and an invoke with that id starts a new process."""
    before = invoke(session)["pid"]
    answer = client.stop_runtime_session(agentRuntimeArn=runtime.arn, runtimeSessionId=session)
    assert (answer["statusCode"], answer["runtimeSessionId"]) == (200, session)
    with pytest.raises(client.exceptions.ResourceNotFoundException, match=f"no session {session}"):
        client.stop_runtime_session(agentRuntimeArn=runtime.arn, runtimeSessionId=session)
    assert invoke(session)["pid"] != before


def test_a_stream_that_dies_breaks_off(client, runtime, session):
    """A session that dies in the middle of an answer leaves a broken answer, never a short whole one."""
    answer = client.invoke_agent_runtime(
        agentRuntimeArn=runtime.arn,
        runtimeSessionId=session,
        payload=json.dumps({"stream": 9, "exit_after": 1, "pause": 0.1}),
    )
    with pytest.raises(ResponseStreamingError):
        answer["response"].read()


def test_malformed_requests_are_refused(client, runtime):
    """A bad ARN, a bad or missing session id, an unknown operation: ValidationExceptions with a reason."""
    good = quote(runtime.arn, safe="")
    for method, path, headers, reason in [
        ("POST", "/runtimes/my-agent/invocations", {}, "'my-agent' is no ARN of a runtime"),
        ("POST", f"/runtimes/{runtime.arn}/invocations", {}, "the ARN percent-encoded"),
        ("GET", f"/runtimes/{good}/invocations", {}, "not GET"),
        ("POST", f"/runtimes/{good}/commands", {}, "knows InvokeAgentRuntime"),
        ("POST", f"/runtimes/{good}/invocations", {HEADER: "short"}, "33 to 256 characters"),
        ("POST", f"/runtimes/{good}/invocations", {HEADER: "../" * 20}, "33 to 256 characters"),
        ("POST", f"/runtimes/{good}/stopruntimesession", {}, "needs the header"),
    ]:
        status, kind, message = _post(runtime, path, headers, method)
        assert (status, kind) == (400, "ValidationException")
        assert reason in message
    with pytest.raises(ClientError) as raised:
        client.get_agent_card(agentRuntimeArn=runtime.arn)
    assert raised.value.response["Error"]["Code"] == "ValidationException"
