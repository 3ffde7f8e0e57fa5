"""The smallest HTTP/1.1 server that gives every byte, pause and closing into the caller's hand."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

__all__ = [
    "BadRequest",
    "Connection",
    "Request",
    "header",
]

_HEAD_LIMIT = 256 * 1024


class BadRequest(Exception):
    """What came is not HTTP/1.1."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came: its head's bytes, what they say, and its body without framing."""

    head: bytes
    method: str
    path: str
    version: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the first header of that name, whatever its case."""
        return header(self.headers, name)

    @property
    def keeps_alive(self) -> bool:
        """Whether the client wants to send another request on this connection."""
        said = (self.header("connection") or "").lower()
        return "close" not in said if self.version == "HTTP/1.1" else "keep-alive" in said


def header(headers: tuple[tuple[str, str], ...], name: str) -> str | None:
    """Return the first header of that name, whatever its case."""
    name = name.lower()
    return next((value for key, value in headers if key.lower() == name), None)


class Connection(asyncio.Protocol):
    """One client's connection; each request on it is given to `serve`, one after the other."""

    def __init__(
        self,
        serve: Callable[[Request, Connection], Awaitable[None]],
        refuse: Callable[[BadRequest, Connection], Awaitable[None]],
        open_connections: set[Connection],
    ) -> None:
        self._serve = serve
        self._refuse = refuse
        self._open = open_connections
        self._buffer = bytearray()
        self._news = asyncio.Event()
        self._writable = True
        self._finished = False  # the client will send no more
        self.lost = False
        """The connection is gone, in both directions."""

    # Called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to read requests."""
        self._transport = cast(asyncio.Transport, transport)
        # With a limit of zero `send` returns when the kernel has the bytes, so a lost client is noticed.
        self._transport.set_write_buffer_limits(0)
        self._open.add(self)
        self.task = asyncio.get_running_loop().create_task(self._run())

    def data_received(self, data: bytes) -> None:
        """Keep what came."""
        self._buffer += data
        self._news.set()

    def eof_received(self) -> bool:
        """Note that the client will send no more."""
        self._finished = True
        self._news.set()
        return True  # a client may close its sending half and still read

    def pause_writing(self) -> None:
        """Note that the kernel has not taken all bytes."""
        self._writable = False

    def resume_writing(self) -> None:
        """Note that it has now."""
        self._writable = True
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake whoever waits on this connection."""
        self.lost = self._finished = True
        self._open.discard(self)
        self._news.set()

    # Called by whoever serves

    async def send(self, wire: bytes) -> bool:
        """Send bytes and wait until the kernel has them; return whether the connection still stands."""
        if not self.lost:
            self._transport.write(wire)
        while not (self._writable or self.lost):
            await self._changed()
        return not self.lost

    async def pause(self, seconds: float) -> bool:
        """Wait; return False as soon as the client leaves."""
        try:
            async with asyncio.timeout(seconds):
                while not self._finished:
                    await self._changed()
        except TimeoutError:
            return True
        return False

    def abort(self) -> None:
        """Close at once, whatever is unsent."""
        self._transport.abort()

    def close(self, reset: bool = False) -> None:
        """Close once all is sent; with `reset` at once, so that the client sees a connection reset."""
        if not reset:
            self._transport.close()
            return
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    # The connection's own course

    async def _run(self) -> None:
        try:
            while request := await self._read_request():
                await self._serve(request, self)
                if self._transport.is_closing() or not request.keeps_alive:
                    break
        except BadRequest as error:
            await self._refuse(error, self)
        finally:
            self._transport.close()

    async def _read_request(self) -> Request | None:
        head = await self._read_head()
        if head is None:
            return None
        lines = head.decode("latin-1").split("\r\n")[:-2]
        try:
            method, path, version = lines[0].split(" ")
            if not version.startswith("HTTP/1."):
                raise ValueError(version)
            pairs = [line.split(":", 1) for line in lines[1:]]
            headers = tuple((name, value.strip()) for name, value in pairs)
            length = int(header(headers, "content-length") or 0)
        except ValueError as error:
            raise BadRequest(f"the request's head is not HTTP/1.1: {head[:80]!r}") from error
        if (header(headers, "expect") or "").lower() == "100-continue":
            await self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        chunked = "chunked" in (header(headers, "transfer-encoding") or "").lower()
        body = await (self._read_chunks() if chunked else self._read(length))
        return None if body is None else Request(head, method, path, version, headers, body)

    async def _read_head(self) -> bytes | None:
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if end >= 0:
                return await self._read(end + 4)
            if len(self._buffer) > _HEAD_LIMIT:
                raise BadRequest(f"the request's head is longer than {_HEAD_LIMIT} bytes")
            if self._finished:
                return None
            await self._changed()

    async def _read_chunks(self) -> bytes | None:
        pieces: list[bytes] = []
        while True:
            while (end := self._buffer.find(b"\r\n")) < 0:
                if self._finished:
                    return None
                await self._changed()
            line = await self._read(end + 2) or b""
            try:
                size = int(line.split(b";")[0], 16)
            except ValueError as error:
                raise BadRequest(f"a chunk of the request's body has no size: {line[:40]!r}") from error
            piece = await self._read(size + 2)
            if piece is None:
                return None
            if not size:
                return b"".join(pieces)
            pieces.append(piece[:-2])

    async def _read(self, length: int) -> bytes | None:
        while len(self._buffer) < length:
            if self._finished:
                return None
            await self._changed()
        taken = bytes(self._buffer[:length])
        del self._buffer[:length]
        return taken

    async def _changed(self) -> None:
        self._news.clear()
        await self._news.wait()
