import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Callable

import httpx2
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentcore_rl.testing import Answer, CutStream, Drop, Raw, ScriptedModel, Status, ToolCall
from agentcore_rl_gateway.log import CallAnswered, CallFailed, Undelivered, read_log

USER = [{"role": "user", "content": "Hello?"}]


def _entries(desk, kind):
    return [entry for entry in read_log(desk.folder) if isinstance(entry, kind)]


def _eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def test_the_sdk_gets_an_answer_without_ids(hello):
    """The OpenAI SDK gets the model's answer, and nothing of the ids that the gateway asked for."""
    desk, model = hello
    answer = desk.client(desk.open()).chat.completions.create(model="scripted", messages=USER)
    assert answer.choices[0].message.content == "Hello, friend."
    assert answer.choices[0].logprobs is None
    assert not answer.model_extra
    assert model.calls[-1].json["return_token_ids"] is True


def test_the_sdk_gets_a_stream(hello):
    """A stream comes in pieces, with usage when asked for, and ends once."""
    desk, _ = hello
    chunks = list(
        desk.client(desk.open()).chat.completions.create(
            model="scripted", messages=USER, stream=True, stream_options={"include_usage": True}
        )
    )
    said = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(said) == "Hello, friend."
    assert len([piece for piece in said if piece]) > 1
    assert chunks[-1].usage is not None
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"


def test_a_stream_streams(serve):
    """The first piece of a stream is with the client while the model still makes the rest."""
    with ScriptedModel(lambda _: Answer("one two three four", chunks=4, chunk_delay_s=0.3)) as model:
        desk = serve(model.base_url)
        stream = desk.client(desk.open()).chat.completions.create(
            model="scripted", messages=USER, stream=True
        )
        for chunk in stream:
            if chunk.choices[0].delta.content:
                assert model.calls[-1].ended is None
                break
        stream.close()


def test_a_silent_stream_is_kept_alive(serve):
    """While a model is silent, a stream gets comments, which clients skip."""
    with ScriptedModel(lambda _: Answer("late", delay_s=0.5)) as model:
        desk = serve(model.base_url, keep_alive_s=0.1)
        status, said, headers = desk.chat(desk.open(), USER, stream=True)
        assert status == 200
        assert said.count(": still sampling") >= 2
        assert said.rstrip().endswith("data: [DONE]")
        assert headers["content-type"].startswith("text/event-stream")


def test_tool_calls_and_logprobs_pass(serve):
    """Tool calls come through streamed and not; logprobs reach a client that asks for them."""
    line = Answer(tool_calls=[ToolCall("add", {"a": 1})])
    with ScriptedModel(lambda _: line) as model:
        desk = serve(model.base_url)
        key = desk.open()
        tools = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
        _, said, _ = desk.chat(key, USER, tools=tools, logprobs=True)
        assert said["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "add"
        assert said["choices"][0]["logprobs"]["content"]
        stream = desk.client(key).chat.completions.create(
            model="scripted", messages=USER, tools=tools, stream=True
        )
        parts = [call for chunk in stream for call in chunk.choices[0].delta.tool_calls or ()]
        assert json.loads("".join(part.function.arguments or "" for part in parts)) == {"a": 1}


@pytest.mark.parametrize("stream", [False, True])
def test_tokens_are_added_when_asked_for(hello, stream):
    """With the header, an answer has what a record lacks: its ids, and what its prompt adds."""
    desk, _ = hello
    key = desk.open()
    first = _tokens(desk.chat(key, USER, stream=stream, h_agentcore_rl_tokens="new")[1])
    more = [*USER, {"role": "assistant", "content": "Hello, friend."}, {"role": "user", "content": "And?"}]
    second = _tokens(desk.chat(key, more, stream=stream, h_agentcore_rl_tokens="new")[1])
    assert first["parent"] is None
    assert len(first["answer"]) == len(first["logprobs"])
    assert second["parent"] == second["placed_on"] is not None
    assert second["prompt_keep"] == len(first["prompt_new"]) + len(first["answer"])


def _tokens(said):
    if isinstance(said, str):
        chunks = [line[6:] for line in said.splitlines() if line.startswith("data: {")]
        (said,) = [chunk for chunk in map(json.loads, chunks) if "agentcore_rl" in chunk]
        assert said["choices"][0]["finish_reason"]
    return said["agentcore_rl"]


@pytest.mark.parametrize("stream", [False, True])
def test_all_ids_are_given_as_vllm_names_them(hello, stream):
    """`return_token_ids` gives every id of prompt and answer, also of a prompt that is stored as a delta."""
    desk, _ = hello
    key = desk.open()
    more = [*USER, {"role": "assistant", "content": "Hello, friend."}, {"role": "user", "content": "And?"}]
    desk.chat(key, USER)
    said = desk.chat(key, more, stream=stream, return_token_ids=True)[1]
    if stream:
        chunks = [json.loads(line[6:]) for line in said.splitlines() if line.startswith("data: {")]
        (said,) = [chunk for chunk in chunks if "prompt_token_ids" in chunk]
    assert bytes(i for i in said["prompt_token_ids"] if i < 256).decode().startswith("user\nHello?")
    assert said["choices"][0]["token_ids"][-1] == 257


@pytest.mark.parametrize(
    ("body", "status", "names"),
    [
        (b"{", 400, "not JSON"),
        (b"", 400, "not JSON"),
        (b"[]", 400, "JSON object"),
        (b'"x"', 400, "JSON object"),
        (b"{}", 400, "messages"),
        (b'{"messages": []}', 400, "messages"),
        (b'{"messages": "hi"}', 400, "messages"),
        (b'{"messages": [1], "n": 2}', 400, "`n`"),
        (b'{"messages": [1], "stream": 1}', 400, "`stream`"),
        (b'{"messages": [1], "best_of": 3}', 400, "best_of"),
        (b'{"messages": [1], "functions": []}', 400, "functions"),
        (b'{"messages": [1], "model": 7}', 400, "model"),
        (b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "deep"),
        (b'{"messages": ["\xff"]}', 400, "not JSON"),
    ],
)
def test_bad_requests_are_told_why(hello, body, status, names):
    """What is no chat completion is a 4xx in the API's shape that says what is wrong, and is never sent."""
    desk, model = hello
    before = len(model.calls)
    got, said, _ = desk.send("POST", "/v1/chat/completions", body, desk.open())
    assert got == status
    assert names in said["error"]["message"]
    assert set(said["error"]) == {"message", "type", "param", "code"}
    assert len(model.calls) == before


def test_a_huge_body_is_refused_before_it_is_read(serve):
    """A body above the bound is a 413, by its announced length and by what comes."""
    with ScriptedModel(lambda _: Answer("yes")) as model:
        desk = serve(model.base_url, body_bytes=10_000)
        key = desk.open()
        status, said, _ = desk.send("POST", "/v1/chat/completions", b" " * 20_000, key)
        assert (status, said["error"]["code"]) == (413, "request_too_large")

        def pieces():
            for _ in range(20):
                yield b" " * 1000

        answer = httpx2.post(
            desk.root + "/v1/chat/completions",
            content=pieces(),
            headers={"authorization": f"Bearer {key}"},
        )
        assert answer.status_code == 413


def test_a_body_that_does_not_come_is_given_up(serve):
    """A client that announces a body and sends none gets a 408 and holds nothing."""
    with ScriptedModel(lambda _: Answer("yes")) as model:
        desk = serve(model.base_url, slow_s=0.2)
        key = desk.open()
        host, port = desk.root.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as client:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
            client.sendall(head.encode() + b"content-length: 100\r\n\r\n{")
            assert b" 408 " in client.recv(4096)


@pytest.mark.parametrize("key", [None, "", "wrong", "arl-" + "x" * 43, "\xe9" * 20])
def test_unknown_keys_are_refused(hello, key):
    """Without a key, or with one that is not known, a call is a 401 and never sent."""
    desk, model = hello
    before = len(model.calls)
    status, said, _ = desk.chat(key, USER)
    assert status == 401
    assert said["error"]["type"] == "authentication_error"
    assert len(model.calls) == before


def test_paths_and_methods_that_are_not_there(hello):
    """Other paths are a 404 and other methods a 405, in the API's shape."""
    desk, _ = hello
    assert desk.send("GET", "/v1/nothing")[0] == 404
    status, said, headers = desk.send("GET", "/v1/chat/completions")
    assert (status, headers["allow"]) == (405, "POST")
    assert said["error"]["message"]


def test_upstream_errors_pass_with_status_and_retry_after(serve):
    """An engine's 429 comes through with its body and Retry-After; its page of HTML in the API's shape."""
    lines = [
        Status(429, "slow down", "rate_limit", headers={"retry-after": "7"}),
        Raw(body=b"<html>Bad gateway</html>", status=502),
    ]
    with ScriptedModel(lambda call: lines.pop(0) if call.json["messages"] == USER else Answer("yes")) as m:
        desk = serve(m.base_url)
        key = desk.open()
        status, said, headers = desk.chat(key, USER)
        assert (status, headers["retry-after"]) == (429, "7")
        assert "slow down" in said["error"]["message"]
        status, said, _ = desk.chat(key, USER)
        assert status == 502
        assert "Bad gateway" in said["error"]["message"]
        assert [entry.status for entry in _entries(desk, CallFailed)] == [429, 502]
        assert _entries(desk, CallAnswered) == []


def test_an_engine_that_is_down_is_a_503(serve):
    """Before the engine is up calls are a 503 with Retry-After; once it is, they are answered."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    desk = serve(f"http://127.0.0.1:{port}/v1")
    status, said, headers = desk.chat(desk.open(), USER)
    assert (status, headers["retry-after"]) == (503, "1")
    assert "cannot be reached" in said["error"]["message"]
    assert desk.send("GET", "/healthz")[0] == 503


@pytest.mark.parametrize(
    "line", [Drop(), Raw(body=b'{"choices": [', status=200), Raw(body=b"{}", status=200)]
)
def test_a_broken_answer_is_a_502(serve, line):
    """An engine that drops the connection or answers with no chat completion is a 502, never a 200."""
    with ScriptedModel(lambda call: line if call.json["messages"] == USER else Answer("yes")) as model:
        desk = serve(model.base_url)
        status, said, _ = desk.chat(desk.open(), USER)
        assert (status, said["error"]["type"]) == (502, "server_error")
        assert len(_entries(desk, CallFailed)) == 1


def test_a_stream_that_breaks_ends_with_an_error(serve):
    """A stream that the engine cuts ends with an error event and without [DONE]; nothing of it trains."""

    def script(call):
        return (
            CutStream(Answer("a long answer"), after_chunks=3)
            if call.json["messages"] == USER
            else Answer("yes")
        )

    with ScriptedModel(script) as model:
        desk = serve(model.base_url)
        status, said, _ = desk.chat(desk.open(), USER, stream=True)
        assert status == 200
        assert '"error"' in said
        assert "[DONE]" not in said
        (failed,) = _entries(desk, CallFailed)
        told = desk.control("GET", "/sessions/r1")["tokens"]
        assert told["partial"] == told["sampled"] == failed.sampled
        assert told["kept"] == 0


def test_a_client_that_leaves_breaks_the_call_off(serve):
    """When a client leaves in the middle of a stream, the engine's call is broken off and failed."""

    def script(call):
        line = Answer("x" * 200, chunks=100, chunk_delay_s=0.05)
        return line if call.json["messages"] == USER else Answer("yes")

    with ScriptedModel(script) as model:
        desk = serve(model.base_url)
        stream = desk.client(desk.open()).chat.completions.create(
            model="scripted", messages=USER, stream=True
        )
        next(iter(stream))
        stream.close()
        _eventually(lambda: len(_entries(desk, CallFailed)) == 1)
        _eventually(lambda: model.calls[-1].client_left)
        assert _entries(desk, CallFailed)[0].status == 0


def test_a_repeated_call_is_answered_from_the_log(hello):
    """The same idempotency key and request give the same answer, streamed or not, without the engine."""
    desk, model = hello
    key = desk.open()
    first = desk.chat(key, USER, h_idempotency_key="k1", h_agentcore_rl_tokens="new")[1]
    before = len(model.calls)
    again = desk.chat(key, USER, h_idempotency_key="k1", h_agentcore_rl_tokens="new")[1]
    assert again == first
    assert len(model.calls) == before
    other = desk.chat(key, [*USER, *USER], h_idempotency_key="k1")
    assert (other[0], other[1]["error"]["code"]) == (422, "idempotency_conflict")
    assert desk.control("GET", "/sessions/r1")["calls"]["repeated"] == 1
    assert len(_entries(desk, CallAnswered)) == 1


def test_a_repeated_stream_is_answered_from_the_log(hello):
    """A stream that is asked for again says the same with the same id."""
    desk, _ = hello
    key = desk.open()
    said = [
        desk.chat(key, USER, stream=True, h_idempotency_key="k", h_agentcore_rl_tokens="new")[1]
        for _ in range(2)
    ]
    texts = [
        "".join(
            chunk["choices"][0]["delta"].get("content") or ""
            for chunk in (json.loads(line[6:]) for line in one.splitlines() if line.startswith("data: {"))
        )
        for one in said
    ]
    assert texts == ["Hello, friend."] * 2
    assert _tokens(said[0]) == _tokens(said[1])


def test_a_repeated_call_waits_for_the_first(serve):
    """A call that is repeated while it runs waits for it: the engine samples once."""
    with ScriptedModel(lambda _: Answer("Hello.", delay_s=0.3)) as model:
        desk = serve(model.base_url)
        key = desk.open()
        before = len(model.calls)
        said = []
        threads = [
            threading.Thread(target=lambda: said.append(desk.chat(key, USER, h_idempotency_key="k")[1]))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(model.calls) - before == 1
        assert len({answer["id"] for answer in said}) == 1


def test_an_answer_nobody_takes_is_marked_and_can_be_fetched(serve):
    """A client that resets its connection leaves a mark; its repetition fetches the answer, and counts."""
    large = Answer("x" * 8_000_000, token_ids=[7, 8, 9], logprobs=[-0.1, -0.2, -0.3])
    with ScriptedModel(lambda _: large) as model:
        desk = serve(model.base_url, slow_s=20.0)
        key = desk.open()
        host, port = desk.root.removeprefix("http://").split(":")
        body = json.dumps({"model": "m", "messages": USER}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
        head += f"idempotency-key: k\r\ncontent-length: {len(body)}\r\n\r\n"
        with socket.create_connection((host, int(port)), timeout=10) as client:
            client.sendall(head.encode() + body)
            _eventually(lambda: len(_entries(desk, CallAnswered)) == 1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        _eventually(lambda: len(_entries(desk, Undelivered)) == 1)
        told = desk.control("GET", "/sessions/r1")
        assert told["calls"]["undelivered"] == 1
        assert told["tokens"]["kept"] == 0
        status, said, _ = desk.send("POST", "/v1/chat/completions", body, key, idempotency_key="k")
        assert (status, len(said["choices"][0]["message"]["content"])) == (200, 8_000_000)
        told = desk.control("GET", "/sessions/r1")
        assert told["calls"]["undelivered"] == 0
        assert told["tokens"]["kept"] == told["tokens"]["sampled"] > 0


def test_metrics_and_health_are_told(hello):
    """/metrics counts in Prometheus' form, /healthz names the mode and where ids come from."""
    desk, _ = hello
    desk.chat(desk.open(), USER)
    _, text, headers = desk.send("GET", "/metrics")
    assert 'agentcore_rl_gateway_calls_total{outcome="answered"} 1' in text
    assert "agentcore_rl_gateway_unaccounted_tokens 0" in text
    assert headers["content-type"].startswith("text/plain")
    status, said, _ = desk.send("GET", "/healthz")
    assert (status, said["mode"], said["token_ids"]) == (200, "capture", "return_token_ids")


def test_models_are_those_that_the_key_may_use(hello):
    """/v1/models lists the engine's models, and for a session with one model that one."""
    desk, _ = hello
    assert [m.id for m in desk.client(desk.open("a")).models.list()] == ["scripted"]
    assert [m.id for m in desk.client(desk.open("b", model="other")).models.list()] == ["other"]
    with pytest.raises(openai.AuthenticationError):
        desk.client("no").models.list()


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_names = st.sampled_from(
    ["messages", "model", "stream", "stream_options", "n", "logprobs", "tools", "return_token_ids", "stop"]
)


@pytest.fixture
def fuzzed(serve):
    """A gateway, and a key, in front of a model that may be sent nonsense."""
    model = ScriptedModel(lambda _: Answer("yes")).start()
    desk = serve(model.base_url)
    yield desk, desk.open()
    model.stop()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=200)
    | st.dictionaries(_names, _json, max_size=6).map(lambda d: json.dumps(d).encode())
)
def test_whatever_is_sent_gets_an_answer_in_shape(fuzzed, body):
    """Fuzzed bodies are answered in the API's shape and never as a defect of the gateway."""
    desk, key = fuzzed
    status, said, _ = desk.send("POST", "/v1/chat/completions", body, key)
    assert status in (200, 400, 401, 404, 422)
    assert status == 200 or "message" in said["error"]


async def test_many_calls_at_once_are_all_answered(hello):
    """Two hundred calls of twenty sessions at once: each is answered once and stands in its session's log."""
    desk, _ = hello
    keys = [await asyncio.to_thread(desk.open, f"s{number}") for number in range(20)]
    async with httpx2.AsyncClient(timeout=30) as client:

        async def call(number: int) -> int:
            key = keys[number % 20]
            answer = await client.post(
                desk.server.base_url + "/chat/completions",
                json={"model": "m", "messages": [{"role": "user", "content": f"{number}"}]},
                headers={"authorization": f"Bearer {key}"},
            )
            return answer.status_code

        statuses = await asyncio.gather(*map(call, range(200)))
    assert set(statuses) == {200}
    entries = await asyncio.to_thread(_entries, desk, CallAnswered)
    assert len({(entry.session, entry.number) for entry in entries}) == 200
