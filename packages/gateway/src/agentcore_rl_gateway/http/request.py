"""A request as the app sees it, and the way back for its answer."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterable
from typing import Protocol

__all__ = ["ClientLeft", "Request", "Wire"]

_REASONS = {
    200: b"OK",
    400: b"Bad Request",
    401: b"Unauthorized",
    404: b"Not Found",
    500: b"Internal Server Error",
}
_HELD = 2**18
"""Bytes of a body that wait for the app before the client is made to wait."""


class ClientLeft(Exception):
    """The client ended its connection before its request was whole."""


class Wire(Protocol):
    """What a request needs of its connection."""

    def write(self, parts: Iterable[bytes]) -> None:
        """Send bytes, now or as soon as those before them are sent."""
        ...

    async def room(self) -> None:
        """Wait until the client has taken the most of what was written; one that takes nothing is left."""
        ...

    def full(self) -> bool:
        """The client has yet to take what was written."""
        ...

    def let_read(self, reads: bool) -> None:
        """Take further bytes, or let the client wait."""
        ...

    def ended(self, request: Request) -> None:
        """The answer's last byte was written."""
        ...

    def cut(self) -> None:
        """End it at once, so that no client takes what it got for whole."""
        ...


class Request:
    """One request.

    Args:
        wire: its connection.
        method, path, headers: as it begins; the path is decoded and without a query, headers are by name in
            lower case, the first of each.
        keep_alive: another request may follow on the connection.
        streams: the client's HTTP knows chunks; else a stream ends with its connection.

    Attributes:
        whole: all of its body has come.
        gone: the client has left.
        begun: bytes of the answer are on their way.
        over: the answer's last byte was written.
        expects: it waits for a 100 before it sends its body.
        task: that answers it.
    """

    __slots__ = (
        "_chunked",
        "_failure",
        "_held",
        "_on_gone",
        "_parts",
        "_waiter",
        "begun",
        "expects",
        "gone",
        "headers",
        "keep_alive",
        "method",
        "over",
        "path",
        "streams",
        "task",
        "whole",
        "wire",
    )

    def __init__(
        self,
        wire: Wire,
        method: str,
        path: str,
        headers: dict[bytes, bytes],
        *,
        keep_alive: bool,
        streams: bool,
    ) -> None:
        self.wire = wire
        self.method, self.path, self.headers = method, path, headers
        self.keep_alive, self.streams = keep_alive, streams
        self.expects = headers.get(b"expect", b"").lower() == b"100-continue"
        self.whole = self.gone = self.begun = self.over = False
        self._chunked = False
        self._failure: Exception | None = None
        self._held = 0
        self._parts: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._on_gone: Callable[[], object] | None = None
        self.task: asyncio.Task[None] | None = None

    def header(self, name: bytes) -> str:
        """A header's value; empty where there is none."""
        return self.headers.get(name, b"").decode("latin-1")

    def when_gone(self, call: Callable[[], object] | None) -> None:
        """Call this once when the client leaves before its answer is over; None takes it back."""
        self._on_gone = call
        if self.gone and call is not None:
            self._on_gone = None
            call()

    # ---- its body

    @property
    def waiting(self) -> bool:
        """Bytes of the body have not been taken yet."""
        return bool(self._parts)

    def at_hand(self, most: int) -> bytes | None:
        """The whole body, where all of it has come and it is at most so long; else None."""
        if not self.whole or self._held > most or self._held > _HELD:
            return None
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._held = 0
        return body

    async def take(self, slow_s: float) -> bytes:
        """What came of the body since the last look, or comes next; empty at its end.

        Raises:
            TimeoutError: nothing came for `slow_s` seconds.
            ClientLeft: nothing will.
            CallRefused: what comes cannot be read.
        """
        if not self._parts and not self.whole and self.expects:
            self.expects = False
            self.wire.write((b"HTTP/1.1 100 Continue\r\n\r\n",))
        while not self._parts and not self.whole:
            if self._failure is not None:
                raise self._failure
            if self.gone:
                raise ClientLeft
            self._waiter = asyncio.get_running_loop().create_future()
            async with asyncio.timeout(slow_s):
                await self._waiter
        taken = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        if self._held > _HELD:
            self.wire.let_read(True)
        self._held = 0
        return taken

    # ---- its answer

    async def answer(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """All of the answer at once."""
        if self.gone or self.begun:
            return
        head = self._head(status, headers, b"content-length: %d\r\n" % len(body))
        await self._last((head, body) if self.method != "HEAD" else (head,))

    async def stream(self, headers: Iterable[tuple[bytes, bytes]], content: bytes) -> None:
        """The head of an answer of unknown length and its first bytes."""
        await self._write((self._open(headers), *self._framed(content)))

    async def stream_whole(self, headers: Iterable[tuple[bytes, bytes]], content: bytes) -> None:
        """A stream of which all bytes are there at once."""
        if not self.gone and not self.begun:
            await self._last((self._open(headers), *self._framed(content), *self._closing()))

    async def more(self, content: bytes) -> None:
        """Further bytes of a stream."""
        await self._write(self._framed(content))

    async def end(self, content: bytes) -> None:
        """A stream's last bytes."""
        if not self.gone and not self.over:
            await self._last((*self._framed(content), *self._closing()))

    def comment(self, headers: Iterable[tuple[bytes, bytes]], content: bytes) -> None:
        """Bytes of a stream that may as well not be sent: not to a client that has yet to take others.

        Args:
            headers: of the stream, should it begin with them.
            content: the bytes.
        """
        if not self.gone and not self.over and not self.wire.full():
            head = () if self.begun else (self._open(headers),)
            self.wire.write((*head, *self._framed(content)))

    def _open(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        self._chunked = self.streams
        self.keep_alive = self.keep_alive and self.streams
        return self._head(200, headers, b"transfer-encoding: chunked\r\n" if self.streams else b"")

    def _closing(self) -> tuple[bytes, ...]:
        return (b"0\r\n\r\n",) if self._chunked else ()

    async def _write(self, parts: Iterable[bytes]) -> None:
        if not self.gone and not self.over:
            self.wire.write(parts)
            await self.wire.room()

    async def _last(self, parts: Iterable[bytes]) -> None:
        """Of many bytes none counts as sent before the client has made room for the most."""
        self.over = True
        self.wire.write(parts)
        try:
            if self.wire.full():
                await self.wire.room()
        finally:
            if not self.gone:
                self.wire.ended(self)

    def _framed(self, content: bytes) -> tuple[bytes, ...]:
        if not self._chunked:
            return (content,)
        return (b"%x\r\n" % len(content), content, b"\r\n") if content else ()

    def _head(self, status: int, headers: Iterable[tuple[bytes, bytes]], length: bytes) -> bytes:
        opening = _opening(status, tuple(headers))
        self.begun = True
        return b"%b%b%b\r\n" % (opening, length, b"" if self.keep_alive else b"connection: close\r\n")

    # ---- for its connection

    def came(self, piece: bytes) -> None:
        """Bytes of the body; dropped once the answer is over."""
        if self.over:
            return
        self._parts.append(piece)
        self._held += len(piece)
        if self._held > _HELD:
            self.wire.let_read(False)
        if self._waiter is not None:
            self._wake()

    def came_whole(self) -> None:
        """The body has ended."""
        self.whole = True
        if self._waiter is not None:
            self._wake()

    def spoiled(self, failure: Exception) -> None:
        """What comes of the body cannot be read."""
        self._failure = failure
        self._wake()

    def left(self) -> None:
        """The client has left."""
        self.gone = True
        self._wake()
        call, self._on_gone = self._on_gone, None
        if call is not None:
            call()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


@functools.lru_cache(maxsize=64)
def _opening(status: int, headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """The first lines of an answer's head; most answers have the same."""
    fields = [b"%b: %b\r\n" % header for header in headers]
    lines = b"".join(fields)
    if lines.count(b"\n") != len(fields) or lines.count(b"\r") != len(fields):
        raise ValueError("a header of an answer holds the end of a line")
    return b"HTTP/1.1 %d %b\r\n%b" % (status, _REASONS.get(status, b""), lines)
