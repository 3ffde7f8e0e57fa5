"""One model call between the transport and the recorder: what is sent where, and when to try again."""

import email.utils
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from agentcore_rl.endpoint import Endpoint, Secret
from agentcore_rl.exceptions import AmbiguousRollout, LimitReached, RolloutClosed
from agentcore_rl.recorder.exchange import LONGEST_WAIT_S, PLACEHOLDER_URL, RETRIED, Exchange, Refusal
from agentcore_rl.recorder.recorder import Recorder
from agentcore_rl.recorder.scope import Scope, rollout_scope
from recording import ended, turns_of

BODY = json.dumps({"model": "policy", "messages": [{"role": "user", "content": "q"}]}).encode()
ANSWER = b'{"choices": [{"message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}]}'


@contextmanager
def begun(
    url: str = f"{PLACEHOLDER_URL}/chat/completions",
    *,
    method: str = "POST",
    body: bytes = BODY,
    headers: list[tuple[str, str]] | None = None,
    base_url: str = "http://host:1/api/v1",
    retries: int = 2,
    **endpoint: object,
) -> Iterator[tuple[Exchange, Recorder]]:
    """A call of a rollout that has begun."""
    recorder = Recorder()
    with rollout_scope(Scope(Endpoint(base_url, "real", **endpoint), recorder, retries=retries)):  # type: ignore[arg-type]
        yield Exchange(method, url, headers or [], body), recorder


@pytest.mark.parametrize(
    ("url", "base_url", "sent"),
    [
        (f"{PLACEHOLDER_URL}/chat/completions", "http://h:1/v1", "http://h:1/v1/chat/completions"),
        (f"{PLACEHOLDER_URL}/chat/completions", "http://h:1/v1/", "http://h:1/v1/chat/completions"),
        (f"{PLACEHOLDER_URL}/chat/completions", "https://h/a/b", "https://h/a/b/chat/completions"),
        ("https://api.openai.com/v1/chat/completions?x=1", "http://h/v1", "http://h/v1/chat/completions?x=1"),
        ("https://user.example/deep/v7/embeddings", "http://h/v1", "http://h/v1/embeddings"),
        (f"{PLACEHOLDER_URL}/models/m", "http://h/v1", "http://h/v1/models/m"),
        (f"{PLACEHOLDER_URL}/files", "http://h/v1", "http://h/v1/files"),
    ],
)
def test_the_endpoints_url_takes_the_place_of_the_models(url: str, base_url: str, sent: str):
    """What stands behind the version path stays."""
    with begun(url, base_url=base_url, method="GET", body=b"") as (exchange, _):
        assert exchange.url == sent


def test_headers_are_ours_where_they_must_be():
    """The endpoint's own win; keys, labels, cookies and lengths of the SDK stay here."""
    headers = [
        *[("Host", "x"), ("Content-Length", "9"), ("Authorization", "Bearer sdk"), ("api-key", "sdk")],
        *[("X-Agentcore-RL-Agent", "critic"), ("Idempotency-Key", "sdk"), ("Cookie", "c")],
        *[("X-A", "1"), ("X-B", "2")],
    ]
    with begun(headers=headers, api_key=Secret("sk-1")) as (exchange, recorder):
        sent = {name.lower(): value for name, value in exchange.headers}
        assert sent.pop("idempotency-key").startswith("agentcore-rl-")
        assert sent.pop("agentcore-rl-tokens") == "new"
        assert sent == {"x-a": "1", "x-b": "2", "accept-encoding": "identity", "authorization": "Bearer sk-1"}
        assert [path.agent for path in recorder.transcript().trajectories] == ["critic"]
    with rollout_scope(Scope(Endpoint("http://h/v1", headers={"X-A": "own"}))):
        exchange = Exchange("POST", f"{PLACEHOLDER_URL}/chat/completions", headers, BODY)
        assert [value for name, value in exchange.headers if name == "X-A"] == ["own"]


def test_a_whole_answer_ends_the_turn_once():
    """Later ends are ignored."""
    with begun() as (exchange, recorder):
        exchange.attempt()
        exchange.answered(200, "application/json")
        exchange.chunk(ANSWER)
        exchange.end()
        exchange.end("closed again")
        [turn] = turns_of(ended(recorder))
        assert turn.answer == {"role": "assistant", "content": "a"}
        [attempt] = turn.stored.http
        assert (attempt.status, attempt.error, attempt.complete) == (200, None, True)


@pytest.mark.parametrize(
    ("content", "suspect", "error"),
    [
        (b"<html>", ["malformed_answer", "no_answer"], "the answer is not a chat completion"),
        (b"", ["malformed_answer", "no_answer"], "the answer is not a chat completion"),
        (b'{"object": "list"}', ["malformed_answer", "no_answer"], "the answer is not a chat completion"),
    ],
)
def test_an_answer_that_is_none_is_told(content: bytes, suspect: list[str], error: str):
    """A 200 with something else in it is no answer."""
    with begun() as (exchange, recorder):
        exchange.attempt()
        exchange.answered(200, "application/json")
        exchange.chunk(content)
        exchange.end()
        [turn] = turns_of(ended(recorder))
        assert turn.stored.suspect == suspect
        assert turn.stored.http[0].error == error


def test_a_connection_that_breaks_behind_the_end_is_told():
    """The answer is whole, and the record says what happened then."""
    with begun() as (exchange, recorder):
        exchange.attempt()
        exchange.answered(200, "text/event-stream")
        exchange.chunk(b'data: {"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}\n\n')
        assert exchange.complete
        exchange.end("ReadError")
        [turn] = turns_of(ended(recorder))
        assert turn.stored.suspect == ["broken_after_end"]
        assert turn.stored.http[0].complete


@pytest.mark.parametrize("status", [*sorted(RETRIED), None])
def test_what_was_not_sampled_is_tried_again(status: int | None):
    """So often, each time after a longer wait."""
    with begun(retries=2) as (exchange, _):
        delays = []
        for _ in range(3):
            exchange.attempt()
            exchange.attempt_failed("broken")
            delays.append(exchange.retry_delay(status=status))
    assert delays[2] is None
    first, second = delays[:2]
    assert first is not None
    assert second is not None
    assert 0.3 < first < second < 1.5


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 409, 422, 500, 501, 505])
def test_what_may_have_been_sampled_is_not_tried_again(status: int):
    """An error of the server's own, or of the request."""
    with begun() as (exchange, _):
        exchange.attempt()
        assert exchange.retry_delay(status=status, retry_after="1") is None


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        ("0", 0, 0),
        ("2.5", 2.5, 2.5),
        ("-3", 0, 0),
        ("nan", 0, 0),
        (timedelta(seconds=30), 20, 31),
        (timedelta(days=-1), 0, 0),
        ("soon", 0.3, 0.7),
        ("", 0.3, 0.7),
        (None, 0.3, 0.7),
    ],
)
def test_the_server_says_when(header: str | timedelta | None, low: float, high: float):
    """Seconds or a date; what is neither is passed over."""
    if isinstance(header, timedelta):
        header = email.utils.format_datetime(datetime.now(UTC) + header, usegmt=True)
    with begun() as (exchange, _):
        exchange.attempt()
        delay = exchange.retry_delay(status=429, retry_after=header)
        assert delay is not None
        assert low <= delay <= high


@pytest.mark.parametrize("header", [str(LONGEST_WAIT_S + 1), "inf", "1e9"])
def test_nobody_waits_for_ever(header: str):
    """A wait above a minute is the caller's to decide."""
    with begun() as (exchange, _):
        exchange.attempt()
        assert exchange.retry_delay(status=429, retry_after=header) is None


def test_the_end_of_the_rollout_ends_the_wait():
    """At once, in a thread that waits."""
    with begun() as (exchange, recorder):
        exchange.attempt()
        assert exchange.wait(0) is True
        recorder.close("over")
        started = time.monotonic()
        assert exchange.wait(5) is False
        assert time.monotonic() - started < 1
        assert exchange.over
        assert exchange.retry_delay(status=429) is None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LimitReached("x"), "limit_reached"),
        (RolloutClosed("x"), "rollout_closed"),
        (AmbiguousRollout("x"), "ambiguous_rollout"),
    ],
)
def test_a_refusal_is_shaped_like_openais_errors(error: Exception, code: str):
    """With a code that programs can read."""
    refusal = Refusal.of(error)
    assert refusal.status == 403
    assert json.loads(refusal.body) == {
        "error": {"message": "x", "type": "agentcore_rl_refused", "param": None, "code": code}
    }


def test_a_body_that_cannot_be_read_passes_and_is_told():
    """It is the server's to refuse; nothing records it."""
    with begun(body=b"{broken") as (exchange, recorder):
        assert exchange.refusal is None
        assert exchange.body == b"{broken"
        exchange.attempt()
        exchange.answered(400, "application/json")
        exchange.end()
        assert ended(recorder).suspect == ["unrecorded_call"]
