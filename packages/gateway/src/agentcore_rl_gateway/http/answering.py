"""One connection to a server that answers, and an answer as its bytes come.

llhttp (through httptools) reads the bytes; what it does not decide is here: answers that end with their
connection, interim ones, bytes that nobody asked for, a server that is silent, one that sends faster than it
is read.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Protocol, cast

import httptools

__all__ = ["AnswerBroken", "AnswerSilent", "Answering", "IncomingAnswer"]

_MOST_HEAD = 2**16
_HELD = 4 * 2**20
"""Bytes of an answer that wait for a reader before the server is made to wait."""
_PART = 2**18
"""A larger body is written in such parts, between which others have a turn."""


class AnswerBroken(Exception):
    """The server ended, or what it sent is not HTTP, before its answer was whole."""


class AnswerSilent(Exception):
    """The server sent nothing for too long."""


class _Decoder(Protocol):
    """zlib's, in short."""

    def decompress(self, content: bytes, /) -> bytes: ...


class IncomingAnswer:
    """An answer as it comes; one coroutine reads it.

    Attributes:
        status: HTTP status; 0 until the head is there.
        headers: by name in lower case.
        complete: all of it has come.
    """

    __slots__ = (
        "_connection",
        "_decoder",
        "_failure",
        "_parts",
        "_waiter",
        "_wanted_whole",
        "complete",
        "headers",
        "held",
        "status",
    )

    def __init__(self, connection: Answering) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.complete = False
        self.held = 0
        self._connection = connection
        self._decoder: _Decoder | None = None
        self._parts: list[bytes] = []
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._wanted_whole = False

    # ---- for whoever reads

    async def read(self, most: int | None = None) -> bytes:
        """The body, or its beginning.

        Args:
            most: bytes that are waited for; None for all.

        Raises:
            AnswerBroken, AnswerSilent: it does not come.
        """
        self._wanted_whole = most is None
        if not self._connection.reads:
            self._connection.let_read(True)
        while not self.complete and (most is None or self.held < most):
            await self.more()
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        return self._plain(body) if "content-encoding" in self.headers else body

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body in pieces as they come; raises as `read`, once what did come was given."""
        while True:
            if self._parts:
                piece = b"".join(self._parts)
                self._parts.clear()
                self.held = 0
                self._connection.let_read(True)
                yield self._plain(piece)
            elif self.complete:
                return
            else:
                await self.more()

    def more(self) -> asyncio.Future[None]:
        """What ends as soon as anything has come.

        Raises:
            AnswerBroken, AnswerSilent: nothing will.
        """
        if self._failure is not None:
            raise self._failure
        self._waiter = self._connection.loop.create_future()
        return self._waiter

    def _plain(self, piece: bytes) -> bytes:
        if "content-encoding" not in self.headers:
            return piece
        if self._decoder is None:
            coding = self.headers["content-encoding"].strip().lower()
            if coding == "identity":
                return piece
            if coding not in ("gzip", "deflate"):
                raise AnswerBroken(f"its answer is coded as {coding[:40]!r}, which was not asked for")
            self._decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)
        try:
            return self._decoder.decompress(piece)
        except zlib.error:
            raise AnswerBroken("its answer is not coded as it says") from None

    # ---- for the connection

    def take(self, piece: bytes) -> None:
        """Bytes of the body."""
        self._parts.append(piece)
        self.held += len(piece)
        if self.held > _HELD and not self._wanted_whole:
            self._connection.let_read(False)
        if not self._wanted_whole and self._waiter is not None:
            self.wake()

    def fail(self, failure: Exception) -> None:
        """No more comes."""
        self._failure = self._failure or failure
        self.wake()

    def wake(self) -> None:
        """Something changed for whoever waits."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class Answering(asyncio.Protocol):
    """A connection to a server; one request at a time.

    Args:
        silence_s: seconds without a byte after which an answer counts as lost.

    Attributes:
        open: it can be used.
        idle_since: loop's time at which its last answer was whole.
        used: requests that it has carried.
        reads: bytes are taken; else the server waits.
        loop: that it runs in.
    """

    def __init__(self, silence_s: float) -> None:
        self.open = False
        self.idle_since = 0.0
        self.used = 0
        self._silence_s = silence_s
        self.loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._answer: IncomingAnswer | None = None
        self._headers: dict[str, str] = {}
        self._head_size = 0
        self._unread = 0  # bytes since the parser last told anything: it gathers a header until it is whole
        self._interim = False
        self._until_end = False
        self._sent = True
        self._heard = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self.reads = True
        self._room: asyncio.Future[None] | None = None

    # ---- for the client

    async def ask(self, head: bytes, body: bytes) -> IncomingAnswer:
        """Send a request; its answer, when its head is there.

        Raises:
            AnswerBroken, AnswerSilent: it does not come.
        """
        answer = self._answer = IncomingAnswer(self)
        self.used += 1
        self._heard = self.loop.time()
        if self._watch is None:
            self._watch = self.loop.call_at(self._heard + self._silence_s, self._look)
        if len(body) <= 4 * _PART:
            self._transport.writelines((head, body) if body else (head,))
        else:
            await self._send(head, memoryview(body), answer)
        while not answer.status:
            await answer.more()
        return answer

    def release(self) -> bool:
        """The answer was taken; whether the connection can carry another request. If not, it is cut."""
        answer, self._answer = self._answer, None
        if answer is not None and answer.complete and self.open and self._sent:
            if not self.reads:
                self.let_read(True)
            self.idle_since = self.loop.time()
            return True
        self.cut()
        return False

    def cut(self) -> None:
        """End it at once: a server that still samples sees that nobody listens."""
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    def let_read(self, reads: bool) -> None:
        """Take further bytes, or let the server wait."""
        if reads is not self.reads and not self._transport.is_closing():
            self.reads = reads
            if reads:
                self._heard = self.loop.time()  # it was we who were silent
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    async def _send(self, head: bytes, body: memoryview, answer: IncomingAnswer) -> None:
        self._sent = False
        self._transport.write(head)
        for at in range(0, len(body), _PART):
            if answer.status or not self.open:
                return  # it has answered without reading on
            self._transport.write(body[at : at + _PART])
            if self._room is None:
                await asyncio.sleep(0)
            else:
                await self._room
        self._sent = True

    def _look(self) -> None:
        """Lose an answer whose server is silent. One timer for all requests of the connection."""
        self._watch = None
        if self._answer is None or self._answer.complete:
            return
        due = self._heard + self._silence_s
        if self.reads and self.loop.time() >= due:
            self._answer.fail(AnswerSilent(f"nothing came for {self._silence_s:g} s"))
            self.cut()
        else:
            self._watch = self.loop.call_at(max(due, self.loop.time() + 0.01), self._look)

    # ---- what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast(asyncio.Transport, transport)
        self.open = True

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone; an answer that ends with its connection is whole."""
        self.open = False
        self.resume_writing()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        answer = self._answer
        if answer is None or answer.complete:
            return
        if answer.status and self._until_end and exc is None:
            answer.complete = True
            answer.wake()
        else:
            answer.fail(AnswerBroken("the connection ended before the answer did"))

    def pause_writing(self) -> None:
        """The server reads more slowly than we write."""
        if self._room is None:
            self._room = self.loop.create_future()

    def resume_writing(self) -> None:
        """It has caught up."""
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Bytes."""
        if self._answer is None:
            self.cut()  # nobody asked
            return
        self._heard = self.loop.time()
        self._unread += len(data)
        try:
            self._parser.feed_data(data)
            if self._unread > _MOST_HEAD:
                raise httptools.HttpParserError("its head is too long")
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._answer.complete:
                self._answer.fail(AnswerBroken(f"what it sent is not HTTP: {error}"))
            self.cut()

    # ---- what the parser calls

    def on_message_begin(self) -> None:
        """An answer, or one more than was asked for."""
        if self._answer is None or self._answer.status:
            raise ValueError("an answer that nobody asked for")
        self._headers, self._head_size = {}, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; one that comes again is joined, as HTTP says."""
        self._unread = 0
        self._head_size += len(name) + len(value)
        if self._head_size > _MOST_HEAD:
            raise ValueError("its head is too long")
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        """The head is there."""
        status = self._parser.get_status_code()
        self._interim = status < 200
        if self._interim or self._answer is None:
            return
        chunked = "chunked" in self._headers.get("transfer-encoding", "").lower()
        self._until_end = not chunked and "content-length" not in self._headers
        self._answer.headers = self._headers
        self._answer.status = status
        self._answer.wake()

    def on_body(self, piece: bytes) -> None:
        """Bytes of the body."""
        self._unread = 0
        if self._answer is not None:
            self._answer.take(piece)

    def on_message_complete(self) -> None:
        """The answer is whole; an interim one is not the answer."""
        self._unread = 0
        if self._interim or self._answer is None:
            return
        self.open = self.open and self._parser.should_keep_alive()
        self._answer.complete = True
        self._answer.wake()
