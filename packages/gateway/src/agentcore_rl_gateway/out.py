"""The way back to a client: one answer, whole or as a stream that is kept alive."""

from __future__ import annotations

import asyncio

import msgspec

from agentcore_rl_gateway.answers import DONE, sse
from agentcore_rl_gateway.http.request import Request
from agentcore_rl_gateway.refusals import CallRefused, Reply

__all__ = ["Out"]

_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
_KEEP_ALIVE = b": still sampling\n\n"


class Out:
    """Where one call's answer goes.

    A stream begins with its first chunk, or with the first keep-alive; until then an error still has its
    own HTTP status.

    Args:
        request: whose answer it is.
        keep_alive_s: seconds of silence in a stream after which a comment is sent.
        stream: the client asked for a stream.
    """

    def __init__(self, request: Request, *, stream: bool, keep_alive_s: float) -> None:
        self._request = request
        self._timer: asyncio.TimerHandle | None = None
        if stream:
            self._keep_alive_s = keep_alive_s
            self._loop = asyncio.get_running_loop()
            self._wrote = self._loop.time()
            self._timer = self._loop.call_later(keep_alive_s, self._keep_alive)

    @property
    def gone(self) -> bool:
        """The client has left."""
        return self._request.gone

    @property
    def begun(self) -> bool:
        """Bytes of the answer are on their way."""
        return self._request.begun

    async def emit(self, chunk: bytes) -> None:
        """One chunk (a JSON object) of a stream."""
        await self._write(sse(chunk))

    async def end_stream(self, chunks: list[bytes]) -> None:
        """The last chunks and the stream's end, in one write."""
        await self._end(b"".join(map(sse, chunks)) + DONE)

    async def whole(self, reply: Reply) -> None:
        """An answer that is no stream."""
        self.close()
        await self._request.answer(reply.status, reply.headers, reply.body)

    async def refuse(self, refusal: CallRefused) -> None:
        """An error: with its status where nothing was sent yet, else as a stream's last event."""
        if not self._request.begun:
            await self.whole(refusal.reply())
        else:
            await self._end(sse(msgspec.json.encode({"error": refusal.error()})))

    def close(self) -> None:
        """Nothing more will be sent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _write(self, content: bytes) -> None:
        self._wrote = self._loop.time()
        if self._request.begun:
            await self._request.more(content)
        else:
            await self._request.stream(_STREAM_HEADERS, content)

    async def _end(self, content: bytes) -> None:
        self.close()
        if self._request.begun:
            await self._request.end(content)
        else:
            await self._request.stream_whole(_STREAM_HEADERS, content)

    def _keep_alive(self) -> None:
        """Break a silence; one timer for the whole stream."""
        now = self._loop.time()
        due = self._wrote + self._keep_alive_s
        if now >= due:
            self._wrote, due = now, now + self._keep_alive_s
            self._request.comment(_STREAM_HEADERS, _KEEP_ALIVE)
        self._timer = self._loop.call_at(due, self._keep_alive)
