import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcore_rl_gateway.http.asking import Patience
from agentcore_rl_gateway.http.listener import Listener
from agentcore_rl_gateway.http.request import Request

TYPE = [(b"content-type", b"text/plain")]


@dataclass
class Echo:
    """An app that says what it was asked; /slow waits until it is let go, /stream streams."""

    seen: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    at_once: int = 0
    most_at_once: int = 0

    async def __call__(self, request: Request) -> None:
        self.seen.append(request.path)
        if request.path == "/unread":
            await request.answer(401, TYPE, b"no")
            return
        if request.path == "/defect":
            raise RuntimeError("a defect")
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        request.when_gone(lambda: self.left.append(request.path))
        try:
            await self._answer(request)
        finally:
            self.at_once -= 1

    async def _answer(self, request: Request) -> None:
        body = b""
        while not request.whole or request.waiting:
            body += await request.take(0.5)
        if request.path == "/slow":
            await self.go.wait()
        if request.path == "/large":
            await request.answer(200, TYPE, b"x" * int(body))
        elif request.path == "/stream":
            await request.stream(TYPE, b"one")
            await request.more(b"two")
            await request.end(b"")
        elif request.path == "/half":
            await request.stream(TYPE, b"one")
            raise RuntimeError("a defect")
        elif request.path == "/forged":
            await request.answer(200, [(b"x", b"a\r\nset-cookie: b")], b"")
        else:
            await request.answer(
                200, TYPE, b"%s %s %s" % (request.method.encode(), request.path.encode(), body)
            )


@dataclass
class Served:
    """A running listener."""

    app: Echo
    port: int
    listener: Listener
    task: asyncio.Task[None]

    async def talk(self, *parts: bytes, wait_s: float = 0.0) -> bytes:
        """Send parts; everything that comes until the connection ends or nothing came for a while."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for part in parts:
            writer.write(part)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            await asyncio.sleep(wait_s)
        said = await _all(reader)
        writer.close()
        return said


async def _all(reader: asyncio.StreamReader) -> bytes:
    said = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        while part := await asyncio.wait_for(reader.read(2**16), 0.5):
            said += part
    return said


@contextlib.asynccontextmanager
async def _served(**patience: float) -> AsyncIterator[Served]:
    app = Echo()
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    listener = Listener(
        app, sock, Patience(patience.get("slow_s", 10.0), patience.get("idle_s", 75.0)), grace_s=1.0
    )
    up = asyncio.Event()
    task = asyncio.create_task(listener.serve(up.set))
    await up.wait()
    try:
        yield Served(app, port, listener, task)
    finally:
        listener.stop()
        await task


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - of sockets there is no event
            await asyncio.sleep(0.01)


POST = b"POST /a%20b?q=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"Host: x\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"POST /a%20b HTTP/1.1\r\n" + CHUNKED + b"2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nA: b\r\n\r\n"


@pytest.mark.parametrize("content", [POST, CHUNKS])
@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(1, 120), max_size=5))
def test_a_request_is_read_however_it_is_cut(content, cuts):
    """Two requests on one connection arrive in pieces of any size."""
    twice = content * 2
    places = sorted({0, len(twice), *(cut % len(twice) for cut in cuts)})

    async def run() -> None:
        async with _served() as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            for first, last in pairwise(places):
                writer.write(twice[first:last])
                await writer.drain()
                await asyncio.sleep(0)
            wanted = (
                b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 16\r\n\r\nPOST /a b hello"
            )
            wanted = wanted.replace(b"16", b"%d" % len(b"POST /a b hello"))
            async with asyncio.timeout(10):
                assert await reader.readexactly(2 * len(wanted)) == wanted * 2
            writer.close()

    asyncio.run(run())


async def test_pipelined_requests_are_answered_in_order_one_at_a_time():
    """Requests that come before their turn wait for it, however many they are."""
    async with _served() as served:
        many = b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % at for at in range(500))
        said = await served.talk(many)
        assert served.app.seen == [f"/{at}" for at in range(500)]
        assert re.findall(rb"\r\n\r\nGET /(\d+) ", said) == [b"%d" % at for at in range(500)]
        assert served.app.most_at_once == 1


REFUSED = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no method": b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "a length and chunks": b"POST / HTTP/1.1\r\nContent-Length: 5\r\n" + CHUNKED + b"0\r\n\r\n",
    "a length that is none": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\nhello",
    "an end of line in a header": b"GET / HTTP/1.1\r\nHost: x\r\nA: b\nC\r\n\r\n",
    "an upgrade": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "a tunnel": b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a broken chunk": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
}


@pytest.mark.parametrize("kind", REFUSED)
async def test_what_is_no_request_is_a_400_in_shape(kind):
    """It is said why, as an error object, and the connection ends; others are served as before."""
    async with _served() as served:
        said = await served.talk(REFUSED[kind])
        head, _, body = said.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n"), said
        assert b"connection: close" in head
        assert body.startswith(b'{"error":{"message":"')
        assert (await served.talk(POST)).endswith(b"POST /a b hello")


async def test_heads_are_bounded():
    """A head that is too long, in size or in headers, is a 431."""
    async with _served() as served:
        for more in (b"X: " + b"y" * 70_000 + b"\r\n", b"A: b\r\n" * 300):
            said = await served.talk(b"GET / HTTP/1.1\r\nHost: x\r\n" + more + b"\r\n")
            assert said.startswith(b"HTTP/1.1 431 "), said[:100]
        assert served.app.seen == []


@pytest.mark.parametrize(
    "begin",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX: ",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"GET /",
        b"POST / HTTP/1.1\r\n" + CHUNKED + b"2;x=",
        b"POST / HTTP/1.1\r\n" + CHUNKED + b"2\r\nhe\r\n0\r\nX: ",
    ],
)
async def test_what_has_no_end_is_refused_before_it_is_gathered(begin):
    """A header, its name, a target, a chunk's extension, a trailer: none is waited for beyond the bound."""
    async with _served() as served:
        said = await served.talk(begin, *[b"y" * 20_000] * 5, wait_s=0.05)
        assert said.startswith(b"HTTP/1.1 431 "), said[:100]


async def test_a_body_that_nobody_reads_is_passed_over():
    """An answer that comes before its request's body: what follows the body is a request of its own."""
    async with _served() as served:
        head = b"POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n"
        said = await served.talk(head, b"x" * 300_000 + POST, wait_s=0.1)
        assert said.startswith(b"HTTP/1.1 401 ")
        assert said.endswith(b"POST /a b hello")


async def test_a_client_that_asks_first_is_told_to_go_on():
    """`Expect: 100-continue` gets its 100 when the body is wanted, and no body that is not."""
    async with _served() as served:
        head = b"POST /%s HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        said = await served.talk(head % b"a", b"hello", wait_s=0.1)
        assert said.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
        assert b"100 Continue" not in await served.talk(head % b"unread")


async def test_streams_have_chunks_or_end_with_their_connection():
    """HTTP/1.1 gets chunks and may go on; HTTP/1.0 gets the bytes and the end."""
    async with _served() as served:
        said = await served.talk(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n" + POST)
        assert b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\nHTTP/1.1 200 OK" in said
        old = await served.talk(b"GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert old.endswith(b"\r\n\r\nonetwo")
        assert b"connection: close" in old


async def test_a_head_alone_is_sent_for_head():
    """HEAD gets the length and no body; the connection goes on."""
    async with _served() as served:
        said = await served.talk(b"HEAD /x HTTP/1.1\r\nHost: x\r\n\r\n" + POST)
        assert b"content-length: 8\r\n\r\nHTTP/1.1 200 OK" in said


async def test_a_client_that_leaves_is_noticed():
    """Whoever answers is told at once, by an end and by a reset; an answer that is over is not."""
    async with _served() as served:
        for reset in (False, True):
            served.app.left.clear()
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
            await _until(lambda: served.app.at_once)
            if reset:
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            else:
                writer.close()
            await _until(lambda: served.app.left == ["/slow"])
            served.app.go.set()
            await _until(lambda: not served.app.at_once)
            served.app.go.clear()
            del reader
        await served.talk(POST)
        assert served.app.left == ["/slow"]


async def test_a_client_that_takes_nothing_is_left():
    """Bytes that nobody takes are given up after a while; a client that takes some, slowly, gets them all."""
    async with _served(slow_s=0.5) as served:
        size = 40_000_000
        ask = b"POST /large HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n%d" % size
        _, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=2**16)
        writer.write(ask)
        await _until(lambda: served.app.at_once)
        await _until(lambda: served.app.left == ["/large"])
        writer.transport.abort()
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=2**16)
        writer.write(ask)
        got = 0
        while got < size:
            part = await reader.read(4_000_000)
            assert part
            got += len(part)
            await asyncio.sleep(0.01)
        writer.close()


async def test_idle_connections_and_half_a_head_end():
    """A connection without a request, or with the beginning of one, is closed after a while."""
    async with _served(idle_s=0.3) as served:
        for begun in (b"", b"GET / HT"):
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(begun)
            async with asyncio.timeout(10):
                assert await reader.read() == b""
            writer.close()


async def test_a_defect_is_a_500_and_never_a_whole_answer():
    """What fails before its answer is said; what fails in a stream ends it without its last chunk."""
    async with _served() as served:
        for path in (b"/defect", b"/forged"):
            said = await served.talk(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path)
            assert said.startswith(b"HTTP/1.1 500 "), said
            assert b"set-cookie" not in said
        said = await served.talk(b"GET /half HTTP/1.1\r\nHost: x\r\n\r\n")
        assert not said.endswith(b"0\r\n\r\n")


async def test_the_end_lets_answers_under_way_leave():
    """At the end, idle connections close at once, a call under way has a while, and no new one begins."""
    async with _served() as served:
        idle, idle_writer = await asyncio.open_connection("127.0.0.1", served.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        await _until(lambda: served.app.at_once)
        served.listener.stop()
        async with asyncio.timeout(10):
            assert await idle.read() == b""
            served.app.go.set()
            assert (await reader.read()).count(b"200 OK") == 1
            await served.task
        assert served.app.seen == ["/slow"]
        writer.close()
        idle_writer.close()


async def test_what_does_not_end_is_broken_off():
    """A call that outlives the grace is cancelled, and so is every call when the end is asked for twice."""
    for again in (False, True):
        async with _served() as served:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
            await _until(lambda: served.app.at_once)
            served.listener.stop()
            if again:
                await asyncio.sleep(0)
                served.listener.stop()
            async with asyncio.timeout(10):
                assert await _all(reader) == b""
                await served.task
            assert served.app.at_once == 0
            writer.close()
