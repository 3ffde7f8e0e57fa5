"""`/_faults`: faults asked for over HTTP, from this machine."""

import http.client
import json

import pytest

from agentcore_rl.local_runtime import LocalRuntime

JSON = {"content-type": "application/json"}


def _ask(runtime, method, body=None, headers=None):
    connection = http.client.HTTPConnection(runtime.endpoint_url.removeprefix("http://"), timeout=20)
    connection.request(method, "/_faults", body, headers or {})
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    return answer.status, content


def test_rules_come_and_go(light_runtime, light_client, faults, name):
    """POST adds one, GET lists them with their hits, DELETE forgets them."""
    status, rule = _ask(light_runtime, "POST", '{"fault": "deny", "count": 1}', JSON)
    assert (status, rule["fault"], rule["hits"]) == (201, "deny", 0)
    with pytest.raises(light_client.exceptions.AccessDeniedException):
        light_client.invoke_agent_runtime(
            agentRuntimeArn=light_runtime.arn, runtimeSessionId=name(), payload=b"{}"
        )
    assert [rule["hits"] for rule in _ask(light_runtime, "GET")[1]] == [1]
    assert _ask(light_runtime, "DELETE") == (200, [])


@pytest.mark.parametrize(
    ("method", "body", "headers", "status", "reason"),
    [
        ("POST", '{"fault": "deny"}', {"content-type": "text/plain"}, 415, "as application/json"),
        ("POST", "[]", JSON, 400, "A rule is a JSON object"),
        ("POST", "{", JSON, 400, "A rule is a JSON object"),
        ("POST", '{"fault": "explode"}', JSON, 400, "There is no fault 'explode'"),
        ("PUT", "{}", JSON, 405, "not PUT"),
    ],
)
def test_what_it_does_not_take(light_runtime, faults, method, body, headers, status, reason):
    """A web page's form, no rule, another method: refused with a sentence, and nothing is added."""
    got, said = _ask(light_runtime, method, body, headers)
    assert got == status
    assert reason in said["message"]
    assert faults.rules == []


def test_it_is_there_when_asked_for_alone(light, tmp_path):
    """Without `fault_route` it is an operation that the runtime does not know."""
    runtime = LocalRuntime(str(light), directory=tmp_path)
    runtime.start()
    try:
        assert _ask(runtime, "POST", '{"fault": "deny"}', JSON)[0] == 400
        assert runtime.faults.rules == []
    finally:
        runtime.stop()
