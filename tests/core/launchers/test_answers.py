"""How an app's answer to a start is taken."""

import pytest

from agentcore_rl.exceptions import LaunchRejected, RetryLater, SessionLost
from agentcore_rl.launchers.answers import error_sentence, immediate_answer, payload_bytes


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"error": "no such task"}', "no such task"),
        (b'{"message": "gone"}', "gone"),
        (b'{"error": {"message": "deep"}}', "deep"),
        (b'{"code": 7}', '{"code": 7}'),
        (b"plain text\n", "plain text"),
        (b"\xff", "\ufffd"),
        (b"", "no reason given"),
        (b"x" * 5000, "x" * 1000),
    ],
)
def test_the_sentence_of_an_error(content, sentence):
    """Out of the shapes that apps and services use; never empty, never long."""
    assert error_sentence(content) == sentence


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, LaunchRejected) for status in (307, 400, 404, 409)),
        *((status, RetryLater) for status in (429, 503)),
        *((status, SessionLost) for status in (500, 502)),
    ],
)
def test_a_status_has_a_class(status, kind):
    """Each status is one of the launcher's classes, with the app's sentence."""
    with pytest.raises(kind, match=f"answered {status}: why"):
        immediate_answer(status, {}, b'{"error": "why"}')


def test_later_may_say_when():
    """Retry-After in seconds is kept; a date is not understood and nothing is invented."""
    for field, after_s in (("7", 7.0), ("Sat, 21 Nov 2026 01:00:00 GMT", None)):
        with pytest.raises(RetryLater) as raised:
            immediate_answer(503, {"retry-after": field}, b"")
        assert raised.value.after_s == after_s


@pytest.mark.parametrize("content", [b"", b'"the answer"', b"[1]", b"<html>"])
def test_an_answer_that_is_no_object(content):
    """An app that answers a rollout with something else has no rollout entrypoint."""
    with pytest.raises(LaunchRejected, match="rollout_entrypoint"):
        immediate_answer(200, {}, content)


def test_a_payload_that_is_not_json():
    """NaN and foreign types never leave the client."""
    assert payload_bytes({"prompt": "è"}) == '{"prompt": "è"}'.encode()
    for payload in ({"x": float("nan")}, {"x": object()}):
        with pytest.raises(LaunchRejected, match="cannot be sent as JSON"):
            payload_bytes(payload)
