"""One HTTP/1.1 exchange over a session's Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import h11

from agentcore_rl.exceptions import LauncherError

__all__ = ["Connection"]

_READ = 65_536


class Connection:
    """Carries one request and its answer.

    Args:
        reader, writer: the stream.
        loss: tells why there was no (whole) answer.
        closed: called once, when the exchange is over.

    Attributes:
        status: HTTP status of the answer.
        headers: its header fields, names in lower case.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        loss: Callable[[], Awaitable[LauncherError]],
        closed: Callable[[], None],
    ) -> None:
        self._reader, self._writer, self._loss, self._on_close = reader, writer, loss, closed
        self._open = True
        self._wire = h11.Connection(h11.CLIENT)
        self.status = 0
        self.headers: dict[str, str] = {}

    async def ask(
        self, method: str, target: str, headers: Iterable[tuple[bytes, bytes]] = (), body: bytes = b""
    ) -> None:
        """Send the request and read the head of its answer; closes the connection if that fails.

        Raises:
            LauncherError: what `loss` says, when there is no answer.
        """
        own = [(b"host", b"session"), (b"connection", b"close"), (b"content-length", b"%d" % len(body))]
        head = self._wire.send(h11.Request(method=method, target=target, headers=[*own, *headers])) or b""
        self._wire.send(h11.Data(data=body))
        self._wire.send(h11.EndOfMessage())
        try:
            self._writer.writelines((head, body))
            # An app may answer before it has read all: its answer is there to be read all the same.
            with contextlib.suppress(ConnectionError):
                await self._writer.drain()
            while not isinstance(answer := await self._next(), h11.Response):
                pass
        except BaseException:
            self.close()
            raise
        self.status = answer.status_code
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in answer.headers}

    async def chunks(self) -> AsyncIterator[bytes]:
        """The answer's body as it comes; raises what `loss` says when it breaks off."""
        while isinstance(piece := await self._next(), h11.Data):
            yield bytes(piece.data)

    async def content(self) -> bytes:
        """The whole body; closes the connection."""
        try:
            return b"".join([chunk async for chunk in self.chunks()])
        finally:
            self.close()

    async def _next(self) -> object:
        try:
            while (found := self._wire.next_event()) is h11.NEED_DATA:
                self._wire.receive_data(await self._reader.read(_READ))
        except (OSError, h11.RemoteProtocolError):
            raise await self._loss() from None
        return found

    def after(self, closed: Callable[[], None]) -> None:
        """Have `closed` called too when the exchange is over."""
        before = self._on_close

        def both() -> None:
            before()
            closed()

        self._on_close = both

    def close(self) -> None:
        """Close it, whatever is under way."""
        if self._open:
            self._open = False
            self._writer.close()
            self._on_close()
