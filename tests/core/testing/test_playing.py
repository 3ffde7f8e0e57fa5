"""The bytes of the scripted model: a client that reads sockets as they are gets what the log says."""

import json
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcore_rl.testing import (
    Answer,
    CutBody,
    CutStream,
    Drop,
    Line,
    Raw,
    ScriptedModel,
    ScriptError,
    ServedCall,
    Stall,
    Status,
    StreamStyle,
    Timeout,
    ToolCall,
)

QUESTION: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "q"}]}


def request_bytes(body: Any = QUESTION, *, more: str = "", stream: bool = False) -> bytes:
    """Spells a request; `more` holds further header lines, each with its line end."""
    payload = body if isinstance(body, bytes) else json.dumps({**body, "stream": stream}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(payload)}\r\n{more}\r\n"
    return head.encode() + payload


def connect(model: ScriptedModel) -> socket.socket:
    """Opens a connection with a time limit."""
    parts = urlsplit(model.base_url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=5)


def read_all(sock: socket.socket) -> bytes:
    """Reads until the server closes."""
    return b"".join(iter(lambda: sock.recv(65536), b""))


def exchange(model: ScriptedModel, *, stream: bool = False, body: Any = QUESTION) -> bytes:
    """Sends one request that asks the server to close, and returns all that came."""
    with connect(model) as sock:
        sock.sendall(request_bytes(body, stream=stream, more="Connection: close\r\n"))
        return read_all(sock)


def body_of(response: bytes) -> bytes:
    """Takes the framing off a body, as far as it goes."""
    head, _, rest = response.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in head:
        return rest
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        body, rest = body + rest[:length], rest[length + 2 :]
    return body


WEATHER = Answer("Zürich: 雨", tool_calls=[ToolCall("weather", {"city": "Zürich"})])
LINES: list[Line] = [
    WEATHER,
    Answer("x" * 300_000, style=StreamStyle(piece_bytes=4096)),
    Answer("slow", delay_s=0.05, chunk_delay_s=0.01),
    Status(429, retry_after=7),
    Status(503, body={"busy": True}, delay_s=0.02),
    Status(599, message="odd"),
    Raw(200, {"content-type": "text/html"}, b"<html>"),
    Raw(200, {"content-length": "100"}, b"short"),
    CutBody(WEATHER, after_bytes=0),
    CutBody(WEATHER, after_bytes=33),
    CutStream(WEATHER, after_chunks=0),
    CutStream(WEATHER, after_chunks=3),
    CutStream(WEATHER, after_chunks=3, clean=True),
    Stall(0.05, WEATHER, after_chunks=2),
    Stall(0.05),
    Drop(),
    Timeout(0.05),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("line", LINES, ids=lambda line: repr(line)[:60])
def test_the_log_is_what_came(line: Line, stream: bool) -> None:
    """Every byte that a raw client read is in the log, whatever the line, and no other."""
    with ScriptedModel([line]) as model:
        came = exchange(model, stream=stream)
        call = model.calls[0]
    assert came == call.response_bytes
    assert body_of(came) == call.response_body
    assert came.split(b" ")[1:2] == ([str(call.status).encode()] if call.status else [])
    assert call.body == request_bytes(stream=stream).partition(b"\r\n\r\n")[2]
    assert call.request_head + call.body == request_bytes(stream=stream, more="Connection: close\r\n")
    assert call.line is line
    assert call.streamed is stream
    assert not call.client_left


def test_a_cut_body_breaks_its_promise() -> None:
    """The head names the whole length, and fewer bytes follow."""
    with ScriptedModel([CutBody(WEATHER, after_bytes=33), WEATHER]) as model:
        cut, full = exchange(model), exchange(model)
    assert cut.partition(b"\r\n\r\n")[0] == full.partition(b"\r\n\r\n")[0]
    assert len(body_of(cut)) == 33
    assert body_of(full).startswith(b'{"id":"chatcmpl-')


def test_a_cut_stream_lacks_its_end() -> None:
    """Cut hard it lacks HTTP's last chunk; cut clean it has that, and no finish reason."""
    with ScriptedModel([CutStream(WEATHER, 3), CutStream(WEATHER, 3, clean=True)]) as model:
        hard, clean = exchange(model, stream=True), exchange(model, stream=True)
    for response in (hard, clean):
        assert response.count(b"data: ") == 3
        assert b"[DONE]" not in response
        assert b'"finish_reason":"' not in response
    assert not hard.endswith(b"0\r\n\r\n")
    assert clean.endswith(b"\r\n0\r\n\r\n")


def test_a_stall_is_silent_where_it_says() -> None:
    """Head and two chunks come at once, the rest after the silence."""
    with ScriptedModel([Stall(0.3, WEATHER, after_chunks=2)]) as model, connect(model) as sock:
        begun = time.monotonic()
        sock.sendall(request_bytes(stream=True, more="Connection: close\r\n"))
        early = b""
        while early.count(b"data: ") < 2:
            early += sock.recv(65536)
        assert time.monotonic() - begun < 0.25
        assert early.count(b"data: ") == 2
        late = read_all(sock)
        assert time.monotonic() - begun >= 0.3
        assert late.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


def test_a_reset_is_a_reset() -> None:
    """The client sees a TCP reset instead of an orderly end."""
    with ScriptedModel([Drop(reset=True)]) as model, connect(model) as sock:
        sock.sendall(request_bytes())
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


def test_a_client_that_leaves_ends_the_silence() -> None:
    """The server notices at once, and the log says so."""
    with ScriptedModel([Timeout(30)]) as model:
        with connect(model) as sock:
            sock.sendall(request_bytes())
            while not model.calls:
                time.sleep(0.005)
        model.settle(2)
        call = model.calls[0]
    assert call.client_left
    assert (call.status, call.response_bytes) == (None, b"")


def test_one_connection_carries_many_requests() -> None:
    """Keep-alive and requests sent ahead work; answers come in order."""
    with ScriptedModel([Answer("one"), Answer("two"), Answer("three")]) as model, connect(model) as sock:
        sock.sendall(
            request_bytes() + request_bytes(stream=True) + request_bytes(more="Connection: close\r\n")
        )
        came = read_all(sock)
        assert came == b"".join(call.response_bytes for call in model.calls)
    assert came.index(b'"one"') < came.index(b"[DONE]") < came.index(b'"three"')


def test_a_chunked_request_is_read() -> None:
    """The body is logged without its framing; a client that waits for 100 Continue gets it."""
    payload = json.dumps(QUESTION).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n"
    chunks = (
        b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (payload[:9], payload[9:])) + b"0\r\n\r\n"
    )
    with ScriptedModel([Answer("a")]) as model, connect(model) as sock:
        sock.sendall(head + b"Connection: close\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(chunks)
        assert read_all(sock) == model.calls[0].response_bytes
        assert model.calls[0].body == payload


def test_a_request_that_comes_in_crumbs_is_read() -> None:
    """Where TCP cuts the request does not matter, multi-byte characters included."""
    body = {**QUESTION, "messages": [{"role": "user", "content": "雨"}]}
    payload = json.dumps(body, ensure_ascii=False).encode()
    with ScriptedModel([Answer("a", expect=body)]) as model, connect(model) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request_bytes(payload, more="Connection: close\r\n"):
            sock.sendall(bytes([byte]))
        assert read_all(sock) == model.calls[0].response_bytes


@pytest.mark.parametrize(
    "sent", [b"what is this\r\n\r\n", b"GET /v1/models HTTP/1.1\r\nContent-Length: x\r\n\r\n"]
)
def test_what_is_no_http_is_a_violation(sent: bytes) -> None:
    """It is refused with a 400 and fails the test."""
    model = ScriptedModel([]).start()
    with connect(model) as sock:
        sock.sendall(sent)
        assert b"script_violation" in read_all(sock)
    model.stop()
    with pytest.raises(ScriptError, match=r"not HTTP/1\.1"):
        model.assert_finished()


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"\xff", b'{"messages": NaN}', b""])
def test_a_body_that_is_no_json_object_is_a_violation(body: bytes) -> None:
    """It gets a 400 with the body's beginning in the sentence."""
    model = ScriptedModel([]).start()
    came = exchange(model, body=body)
    model.stop()
    assert came.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert "not a JSON object" in model.violations[0]
    assert model.calls[0].json is None


def test_what_a_client_does_not_read_is_not_sent() -> None:
    """A client that leaves in the middle of a large answer is in the log as having left."""
    with ScriptedModel([Answer("x" * 20_000_000)]) as model:
        with connect(model) as sock:
            sock.sendall(request_bytes())
            sock.recv(1000)
        model.settle()
        assert model.calls[0].client_left


@settings(max_examples=60)
@given(
    content=st.none() | st.text(max_size=60),
    reasoning=st.none() | st.text(max_size=30),
    arguments=st.lists(st.text(max_size=40), max_size=3),
    chunks=st.integers(1, 9),
    piece_bytes=st.none() | st.integers(1, 50),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_any_answer_is_spelled_alike_streamed_and_whole(
    content: str | None,
    reasoning: str | None,
    arguments: list[str],
    chunks: int,
    piece_bytes: int | None,
    newline: Any,
) -> None:
    """For any texts the stream's deltas are the whole answer's message, and its ids the whole's ids."""
    answer = Answer(
        content,
        [ToolCall(f"f{n}", text) for n, text in enumerate(arguments)],
        reasoning,
        chunks=chunks,
        style=StreamStyle(newline=newline, piece_bytes=piece_bytes),
    )
    asked = {**QUESTION, "return_token_ids": True}
    with ScriptedModel({"c": [answer]}, key=lambda call: "c") as model:
        streamed = body_of(exchange(model, stream=True, body=asked))
    with ScriptedModel({"c": [answer]}, key=lambda call: "c") as model:
        whole = json.loads(body_of(exchange(model, body=asked)))["choices"][0]
    lines = [line for line in streamed.decode().split(newline) if line]
    assert lines[-1] == "data: [DONE]"
    deltas = [json.loads(line.removeprefix("data: "))["choices"][0] for line in lines[:-1]]
    calls: dict[int, Any] = {}
    for choice in deltas:
        for call in choice["delta"].get("tool_calls", ()):
            known = calls.setdefault(
                call["index"], {**call, "function": {**call["function"], "arguments": ""}}
            )
            known["function"]["arguments"] += call["function"]["arguments"]
    said = [{key: value for key, value in call.items() if key != "index"} for call in calls.values()]
    message = whole["message"]
    assert "".join(choice["delta"].get("content") or "" for choice in deltas) == (content or "")
    assert deltas[0]["delta"]["content"] == (None if content is None else "")
    assert "".join(choice["delta"].get("reasoning_content", "") for choice in deltas) == (reasoning or "")
    assert said == message.get("tool_calls", [])
    assert [token for choice in deltas for token in choice.get("token_ids", ())] == whole["token_ids"]


def test_a_function_sees_the_call_before_it_is_answered() -> None:
    """The call's answer is empty then, and its request is all there."""
    seen: list[Any] = []

    def look(call: ServedCall) -> Line:
        seen.extend([call.json, call.status, call.ended, call.response_bytes, call.method])
        return Answer("a")

    with ScriptedModel(look) as model:
        exchange(model)
    assert seen == [{**QUESTION, "stream": False}, None, None, b"", "POST"]
