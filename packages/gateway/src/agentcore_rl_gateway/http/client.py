"""A client of one server: connections that are kept, and what a request costs beside its bytes: little."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from agentcore_rl_gateway.http.answering import AnswerBroken, Answering, IncomingAnswer

__all__ = ["Client", "Exchange", "Unreachable"]

_CONNECT_S = 10.0
_KEPT_S = 2.0
"""Servers commonly close connections that were idle for 5 s; ours must be the side that gives up first."""


class Unreachable(Exception):
    """The server takes no connection."""


class Exchange:
    """A request and its answer; a class, since a generator costs several times as much."""

    __slots__ = ("_body", "_client", "_connection", "_head", "_repeatable")

    def __init__(self, client: Client, head: bytes, body: bytes, *, repeatable: bool) -> None:
        self._client, self._head, self._body, self._repeatable = client, head, body, repeatable
        self._connection: Answering | None = None

    async def __aenter__(self) -> IncomingAnswer:
        connection = self._connection = self._client.kept() or await self._client.connection()
        try:
            return await connection.ask(self._head, self._body)
        except AnswerBroken:
            self.end()
            if not self._repeatable or connection.used == 1:
                raise  # else it was closed while it was idle
        except BaseException:
            self.end()
            raise
        connection = self._connection = await self._client.connection()
        try:
            return await connection.ask(self._head, self._body)
        except BaseException:
            self.end()
            raise

    async def __aexit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Let the connection go: nothing more is read of the answer."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._client.done(connection)


class Client:
    """Sends requests to one server. None that could have been acted on is ever sent again.

    Args:
        url: of the server, a path that all requests begin with included.
        headers: of all requests.
        silence_s: seconds without a byte after which an answer counts as lost.
    """

    def __init__(self, url: str, headers: Mapping[str, str], *, silence_s: float) -> None:
        parts = urlsplit(url)
        self._tls: ssl.SSLContext | None = ssl.create_default_context() if parts.scheme == "https" else None
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._path = parts.path.rstrip("/")
        self._silence_s = silence_s
        fields = {"Host": parts.netloc.rpartition("@")[2], **headers}
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            fields.setdefault("Authorization", "Basic " + base64.b64encode(pair.encode()).decode())
        self._fields = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._starts: dict[tuple[str, str], bytes] = {}
        self._idle: list[Answering] = []
        self._busy: set[Answering] = set()
        self._sweep: asyncio.TimerHandle | None = None

    def request(self, method: str, path: str, body: bytes | None = None) -> Exchange:
        """One request, as an async context: its answer when its head is there; left early, it is cut off.

        Entering it raises:
            Unreachable: nothing was sent.
            AnswerBroken, AnswerSilent: it has no whole answer.
        """
        start = self._starts.get((method, path))
        if start is None:
            text = f"{method} {self._path}{path} HTTP/1.1\r\n{self._fields}"
            start = self._starts[method, path] = text.encode("latin-1")
        head = start + (b"\r\n" if body is None else b"Content-Length: %d\r\n\r\n" % len(body))
        return Exchange(self, head, body or b"", repeatable=method == "GET")

    async def close(self) -> None:
        """End all connections."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for connection in (*self._idle, *self._busy):
            connection.cut()
        self._idle.clear()
        await asyncio.sleep(0)  # transports close in the loop's next turn

    def kept(self) -> Answering | None:
        """A connection that was kept and carries nothing; None where there is none."""
        while self._idle:
            connection = self._idle.pop()
            if connection.open and connection.loop.time() - connection.idle_since < _KEPT_S:
                self._busy.add(connection)
                return connection
            connection.cut()
        return None

    async def connection(self) -> Answering:
        """A new connection.

        Raises:
            Unreachable: the server takes none.
        """
        loop = asyncio.get_running_loop()
        name = self._host if self._tls is not None else None
        try:
            async with asyncio.timeout(_CONNECT_S):
                _, connection = await loop.create_connection(
                    lambda: Answering(self._silence_s),
                    self._host,
                    self._port,
                    ssl=self._tls,
                    server_hostname=name,
                )
        except TimeoutError:
            raise Unreachable(f"it took no connection within {_CONNECT_S:g} s") from None
        except (OSError, ValueError) as error:
            raise Unreachable(getattr(error, "strerror", None) or str(error)) from None
        self._busy.add(connection)
        return connection

    def done(self, connection: Answering) -> None:
        """Its exchange is over: keep it, where it can carry another."""
        self._busy.discard(connection)
        if not connection.release():
            return
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(_KEPT_S, self._close_old)

    def _close_old(self) -> None:
        self._sweep = None
        loop = asyncio.get_running_loop()
        young = [one for one in self._idle if one.open and loop.time() - one.idle_since < _KEPT_S]
        for connection in self._idle:
            if connection not in young:
                connection.cut()
        self._idle = young
        if young:
            self._sweep = loop.call_later(_KEPT_S, self._close_old)
