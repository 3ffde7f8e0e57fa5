"""The HTTP client towards an engine; what it raises becomes the answer that a client gets."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import msgspec

from agentcore_rl_gateway.bodies import off_loop
from agentcore_rl_gateway.http.answering import AnswerBroken, AnswerSilent, IncomingAnswer
from agentcore_rl_gateway.http.client import Client, Exchange, Unreachable
from agentcore_rl_gateway.refusals import CallRefused, refusal_of_engine

__all__ = ["Events", "Upstream", "broke_off", "decoded", "encoded_ids", "malformed"]

_MOST_OF_ERROR = 65_536
_MANY_IDS = 50_000
_LINE_END = re.compile(rb"\r\n|\n|\r")


class _Sending:
    """A request to an engine, whose failures become refusals."""

    __slots__ = ("_exchange", "_upstream")

    def __init__(self, upstream: Upstream, exchange: Exchange) -> None:
        self._upstream, self._exchange = upstream, exchange

    async def __aenter__(self) -> IncomingAnswer:
        try:
            answer = await self._exchange.__aenter__()
            if 200 <= answer.status < 300:
                return answer
            said = await answer.read(_MOST_OF_ERROR)
        except (Unreachable, AnswerBroken, AnswerSilent) as error:
            self._exchange.end()
            raise self._upstream.refusal_of(error) or error from None
        except BaseException:
            self._exchange.end()
            raise
        self._exchange.end()
        raise refusal_of_engine(answer.status, said[:_MOST_OF_ERROR], answer.headers)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exchange.end()
        refusal = self._upstream.refusal_of(error) if error is not None else None
        if refusal is not None:
            raise refusal from None


class Upstream:
    """An engine's server. Nothing is retried: what was sampled once must not be sampled twice.

    Args:
        url: of the server, without a trailing slash.
        key: the bearer token that it wants; empty for none.
        silence_s: seconds without a byte after which it counts as lost.
    """

    def __init__(self, url: str, *, key: str = "", silence_s: float = 600.0) -> None:
        self.url = url.rstrip("/")
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        self._client = Client(self.url, headers, silence_s=silence_s)
        self._silence_s = silence_s

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()

    def send(self, method: str, path: str, body: bytes | None = None) -> _Sending:
        """One request, as an async context; gives its answer, whose status is 2xx, when its head is there.

        The context raises:
            CallRefused: 503 when it cannot be reached, 502 when it breaks off, 504 when it is silent, and
                its own status and body when it answers with an error.
        """
        return _Sending(self, self._client.request(method, path, body))

    def refusal_of(self, error: BaseException | None) -> CallRefused | None:
        """What a client gets where a call to the engine failed so; None where the fault is another's."""
        if isinstance(error, Unreachable):
            return CallRefused(
                f"The engine at {self.url} cannot be reached ({error}): start it, or wait until it is up.",
                status=503,
                code="engine_unreachable",
                headers={"Retry-After": "1"},
            )
        if isinstance(error, AnswerSilent):
            return CallRefused(
                f"The engine at {self.url} sent nothing for {self._silence_s:g} s and counts as lost.",
                status=504,
                code="engine_silent",
            )
        if isinstance(error, AnswerBroken):
            return broke_off(f"The engine at {self.url} broke off ({error}): see its log.")
        return None

    async def json(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """A small JSON answer, decoded.

        Raises:
            CallRefused: as `send`, and 502 when it is no JSON.
        """
        content = None if body is None else msgspec.json.encode(body)
        async with self.send(method, path, content) as response:
            said = await response.read()
        return decoded(said)

    async def cards(self) -> list[dict[str, Any]]:
        """OpenAI model cards of what the server lists; raises as `json`."""
        listed = await self.json("GET", "/v1/models")
        return [card for card in listed.get("data", ()) if isinstance(card, dict)]

    async def healthy(self) -> bool:
        """Whether the server says on /health that it is."""
        try:
            async with asyncio.timeout(5.0), self.send("GET", "/health"):
                return True
        except (CallRefused, TimeoutError):
            return False


async def encoded_ids(asked: Mapping[str, Any], ids: int) -> bytes:
    """A request as JSON that holds so many ids; many take a thread."""
    return await off_loop(lambda: msgspec.json.encode(asked), large=ids > _MANY_IDS)


def broke_off(sentence: str) -> CallRefused:
    """The engine did not sample its answer to the end: never a 200."""
    return CallRefused(sentence, status=502, code="engine_broke_off")


def decoded(content: bytes) -> Any:
    """An engine's JSON; NaN and infinities are let through, and dealt with where they matter."""
    try:
        return msgspec.json.decode(content)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise malformed(content) from None


def malformed(content: bytes) -> CallRefused:
    """The engine's answer cannot be read: never a 200."""
    said = content[:200].decode("utf-8", "replace")
    return CallRefused(
        f"The engine's answer is not what it should be; it begins with {said!r}.",
        status=502,
        code="engine_malformed",
    )


class Events:
    """Server-sent events out of bytes that come in pieces of any size. Engines write one data line each."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, content: bytes) -> list[bytes]:
        """The payloads of the lines that are whole now; comments and other fields are dropped."""
        self._rest += content
        if b"\n" not in content and b"\r" not in self._rest:
            return []  # a long line that comes in pieces is looked at once
        held = b""
        if self._rest.endswith(b"\r"):  # it may be half of a line end
            held = b"\r"
            del self._rest[-1:]
        *lines, rest = _LINE_END.split(bytes(self._rest))
        self._rest = bytearray(rest + held)
        return [line[5:].strip() for line in lines if line.startswith(b"data:")]

    def end(self) -> list[bytes]:
        """The payload of a last line without an end, once no more bytes come."""
        return self.feed(b"\n") if self._rest else []
