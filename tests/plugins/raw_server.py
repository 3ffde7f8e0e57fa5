"""A server that sends the very bytes that a test writes down, cut where it says, and sees what came."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Self

END = object()
"""In a script: close the connection."""
RESET = object()
"""In a script: break it."""


class RawServer:
    """Answers each request with the next script; a script is parts that are sent one by one.

    Args:
        scripts: of one request each, in order; the last is given again and again.
        pause_s: between two parts.
        tls: of the server.

    Attributes:
        connections: that were made.
        seen: each request's bytes.
        cut: connections that the client ended.
    """

    def __init__(
        self, *scripts: Sequence[object], pause_s: float = 0.0, tls: ssl.SSLContext | None = None
    ) -> None:
        self._scripts = list(scripts)
        self._pause_s, self._tls = pause_s, tls
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.seen: list[bytes] = []
        self.cut = 0
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        scheme = "https" if self._tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while await self._one(reader, writer):
                continue
        except (asyncio.IncompleteReadError, ConnectionError):
            self.cut += 1
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
        self.seen.append(head + await reader.readexactly(int(fields.get(b"content-length", b"0"))))
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        for part in script:
            if part is END:
                return False
            if part is RESET:
                writer.transport.abort()
                return False
            assert isinstance(part, bytes)
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(self._pause_s)
        return True
