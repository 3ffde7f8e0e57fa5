"""One connection of a client that asks: its requests in order, one answered at a time.

llhttp (through httptools) reads the bytes, strictly. What it does not decide is here: how long a head may be,
who waits for whom, and when a connection ends.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import cast
from urllib.parse import unquote

import httptools

from agentcore_rl_gateway.http.request import Request
from agentcore_rl_gateway.refusals import CallRefused

__all__ = ["Asking", "Patience"]

_MOST_HEAD = 2**16
_MOST_HEADERS = 200
_MOST_DROPPED = 64 * 2**20
"""Bytes of a body that nobody reads any more; a client that still sends would not see its answer."""


class Patience:
    """How long clients may take.

    Args:
        slow_s: to take some of what they are sent.
        idle_s: between requests, and over a request's head.
    """

    def __init__(self, slow_s: float, idle_s: float = 75.0) -> None:
        self.slow_s, self.idle_s = slow_s, idle_s


class Asking(asyncio.Protocol):
    """A client's connection.

    Args:
        begin: told each request when it is its turn, with why it is refused where it could not be read.
        lost: told when the connection is gone.
        patience: with the client.
    """

    def __init__(
        self,
        begin: Callable[[Request, CallRefused | None], None],
        lost: Callable[[Asking], None],
        patience: Patience,
    ) -> None:
        self._begin, self._lost, self._patience = begin, lost, patience
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._head_size = self._head_count = 0
        self._unread = 0  # bytes since the parser last told anything: it gathers a header until it is whole
        self._reading: Request | None = None  # whose body comes
        self._answering: Request | None = None
        self._queue: deque[Request] = deque()
        self._dropped = 0
        self._reads = True
        self._last_one = False
        self._room: asyncio.Future[None] | None = None
        self._since = self._loop.time()
        self._watch = self._loop.call_at(self._since + patience.idle_s, self._look)

    # ---- for the listener

    @property
    def at_work(self) -> bool:
        """A request of it is being answered."""
        return self._answering is not None

    def finish(self) -> None:
        """Take no further request; end once the one under way is answered."""
        self._last_one = True
        self._queue.clear()
        if self._answering is None:
            self._transport.close()
        else:
            self._answering.keep_alive = False

    def cut(self) -> None:
        """End it at once."""
        self._transport.abort()

    # ---- for its requests

    def write(self, parts: Iterable[bytes]) -> None:
        """Send bytes."""
        if not self._transport.is_closing():
            self._transport.writelines(parts)

    def full(self) -> bool:
        """The client has yet to take what was written."""
        return self._room is not None

    async def room(self) -> None:
        """Wait until the client has taken the most of what was written; one that takes nothing is left."""
        while (room := self._room) is not None:
            before = self._transport.get_write_buffer_size()
            await asyncio.wait((room,), timeout=self._patience.slow_s)
            if not room.done() and self._transport.get_write_buffer_size() >= before:
                self._leave()
                self.cut()

    def let_read(self, reads: bool) -> None:
        """Take further bytes, or let the client wait."""
        if reads and self._queue:
            return  # whoever pipelines waits until the last of what is here has its turn
        if reads is not self._reads and not self._transport.is_closing():
            self._reads = reads
            if reads:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def ended(self, request: Request) -> None:
        """The answer's last byte was written: on to the next request."""
        self._answering = None
        self._since = self._loop.time()
        if self._last_one or (request.whole and not request.keep_alive):
            self._transport.close()
            return
        if request.whole and self._queue:
            self._next()  # else what is left of its body is read and dropped first
        if not self._reads:
            self.let_read(True)

    def _next(self) -> None:
        if self._queue and self._answering is None:
            self._start(self._queue.popleft())

    def _start(self, request: Request, refusal: CallRefused | None = None) -> None:
        self._answering = request
        self._begin(request, refusal)

    def _leave(self) -> None:
        """Tell what is under way that nobody waits for it."""
        self._resume()
        if self._answering is not None:
            request, self._answering = self._answering, None
            request.left()

    def _look(self) -> None:
        """End a connection that is idle for long. One timer for all requests of it."""
        due = self._since + self._patience.idle_s
        if self._answering is None and self._loop.time() >= due:
            if self._transport.is_closing():
                self.cut()  # nobody takes its last bytes
            self._transport.close()
            due = self._loop.time() + self._patience.idle_s
        self._watch = self._loop.call_at(max(due, self._loop.time() + 1.0), self._look)

    # ---- what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._watch.cancel()
        self._queue.clear()
        if self._reading is not None and self._reading is not self._answering:
            self._reading.left()
        self._leave()
        self._lost(self)

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        if self._room is None:
            self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._resume()

    def _resume(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Bytes."""
        if self._last_one and self._reading is None:
            return
        self._unread += len(data)
        try:
            self._parser.feed_data(data)
            if self._unread > _MOST_HEAD:
                raise _too_long()
        except CallRefused as refusal:
            self._refuse(refusal.message, refusal.status)
        except httptools.HttpParserCallbackError as error:
            reason = error.__context__
            if not isinstance(reason, CallRefused):
                raise
            self._refuse(reason.message, reason.status)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._refuse(f"This is no HTTP request: {error}.")

    def _refuse(self, sentence: str, status: int = 400) -> None:
        """Answer what cannot be read, where its turn is now, and end the connection."""
        self._last_one = True
        refusal = CallRefused(sentence, status=status)
        broken = self._reading
        if broken is not None and not broken.over:
            broken.keep_alive = False
            broken.spoiled(refusal)
        elif self._answering is not None:
            self._answering.keep_alive = False
        else:
            request = Request(self, "GET", "", {}, keep_alive=False, streams=True)
            request.whole = True
            self._start(request, refusal)

    # ---- what the parser calls

    def on_message_begin(self) -> None:
        """A request."""
        self._target, self._headers = b"", {}
        self._head_size = self._head_count = 0

    def on_url(self, part: bytes) -> None:
        """A part of its target."""
        self._target += part
        self._head_size += len(part)
        if self._head_size > _MOST_HEAD:
            raise _too_long()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._unread = 0
        self._head_count += 1
        self._head_size += len(name) + len(value)
        if self._head_size > _MOST_HEAD or self._head_count > _MOST_HEADERS:
            raise _too_long()
        self._headers.setdefault(name.lower(), value)

    def on_headers_complete(self) -> None:
        """The head is there."""
        if self._last_one:
            return
        if self._parser.should_upgrade():
            raise CallRefused("This server speaks HTTP/1.1 alone: leave out `Upgrade` and CONNECT.")
        target = self._target
        path = (target if target[:1] == b"/" else _path_of(target)).partition(b"?")[0].decode("latin-1")
        request = self._reading = Request(
            self,
            self._parser.get_method().decode("latin-1"),
            unquote(path) if "%" in path else path,
            self._headers,
            keep_alive=self._parser.should_keep_alive(),
            streams=self._parser.get_http_version() != "1.0",
        )
        self._dropped = 0
        if self._answering is None and not self._queue:
            self._start(request)
        else:
            self._queue.append(request)
            self.let_read(False)

    def on_body(self, piece: bytes) -> None:
        """Bytes of its body."""
        self._unread = 0
        request = self._reading
        if request is None:
            return
        if request.over:
            self._dropped += len(piece)
            if self._dropped > _MOST_DROPPED:
                self._transport.close()
        else:
            request.came(piece)

    def on_message_complete(self) -> None:
        """It is whole."""
        self._unread = 0
        request, self._reading = self._reading, None
        if request is None:
            return
        request.came_whole()
        if request.over:
            if request.keep_alive:
                self._next()
            else:
                self._transport.close()


def _too_long() -> CallRefused:
    return CallRefused("The head of this request is too long.", status=431)


def _path_of(target: bytes) -> bytes:
    """The path of a target that is a whole URL."""
    try:
        return httptools.parse_url(target).path or b"/"
    except httptools.HttpParserInvalidURLError:
        raise CallRefused("The target of this request is no path.", status=400) from None
