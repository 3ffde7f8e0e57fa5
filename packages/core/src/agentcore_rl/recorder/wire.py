"""The transports that carry every model call: bound to their rollout at each call, and read along.

The only file of agentcore-rl that imports an HTTP client library. The clients here are handed to
the OpenAI SDK (2 from 2.47, and 3) by the adapters. They are built once, shared by every model and
every rollout of the process, and not closed by whoever uses them: SDKs and frameworks open and
close clients per call, which costs more than the call's own overhead.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import os
import ssl
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Any, Self

import httpx2

from agentcore_rl.recorder.answer_types import build_answer_types
from agentcore_rl.recorder.exchange import LABEL, PLACEHOLDER_URL, Exchange, Refusal

__all__ = [
    "LABEL",
    "PLACEHOLDER_URL",
    "AsyncWire",
    "AsyncWireClient",
    "Wire",
    "WireClient",
    "clients",
    "openai_arguments",
    "plain_client",
]

# Servers commonly keep idle connections for 5 s; ours must be the side that gives up first, or a
# request meets a connection that is just being closed.
_LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=2.0)
_UNSENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.WriteError,
    httpx2.ReadError,
    httpx2.RemoteProtocolError,
)
"""What a connection that is lost before the answer's first byte raises."""
_DRAIN_S = 0.1
_ERROR_BYTES = 65_536


@functools.cache
def _tls() -> ssl.SSLContext:
    """One for the process: making it takes tens of milliseconds, and loops may live for one call."""
    return httpx2.create_ssl_context()


def _verify(scheme: str) -> ssl.SSLContext | bool:
    return _tls() if scheme == "https" else False


def _refused(refusal: Refusal) -> httpx2.Response:
    return httpx2.Response(refusal.status, headers={"content-type": "application/json"}, content=refusal.body)


def _exchange(request: httpx2.Request, body: bytes) -> Exchange:
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
    return Exchange(request.method, str(request.url), headers, body)


def _request(exchange: Exchange, original: httpx2.Request) -> httpx2.Request:
    return httpx2.Request(
        exchange.method,
        exchange.url,
        headers=exchange.headers,
        content=exchange.body,
        extensions={**original.extensions, "timeout": _timeout(original, exchange.timeout_s)},
    )


def _timeout(original: httpx2.Request, longest_s: float) -> dict[str, float | None]:
    """The SDK's timeouts, none of them longer than the endpoint's."""
    given = original.extensions.get("timeout") or {}
    return {
        name: longest_s if given.get(name) is None else min(given[name], longest_s)
        for name in ("connect", "read", "write", "pool")
    }


def _failure(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _refusing(status: int, content: bytes) -> str:
    return f"HTTP {status}: {content[:_ERROR_BYTES].decode('utf-8', 'replace')}"


class _Pools:
    """One connection pool per scheme: plain HTTP needs no TLS setup."""

    def __init__(self) -> None:
        self._pools: dict[str, httpx2.HTTPTransport] = {}
        self._lock = threading.Lock()
        self._pid = os.getpid()
        atexit.register(self._close)

    def _close(self) -> None:
        if self._pid == os.getpid():
            for pool in self._pools.values():
                pool.close()

    def get(self, scheme: str) -> httpx2.HTTPTransport:
        with self._lock:
            if self._pid != os.getpid():  # connections do not survive a fork
                self._pools, self._pid = {}, os.getpid()
            if scheme not in self._pools:
                self._pools[scheme] = httpx2.HTTPTransport(verify=_verify(scheme), limits=_LIMITS)
            return self._pools[scheme]


class Wire(httpx2.BaseTransport):
    """Carries the model calls of synchronous clients."""

    def __init__(self) -> None:
        self._pools = _Pools()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one model call for the rollout that this code belongs to."""
        exchange = _exchange(request, request.read())
        if exchange.refusal is not None:
            return _refused(exchange.refusal)
        try:
            return self._send(exchange, request)
        except BaseException as error:
            exchange.end(_failure(error))
            raise

    def _send(self, exchange: Exchange, original: httpx2.Request) -> httpx2.Response:
        while True:
            request = _request(exchange, original)
            exchange.attempt()
            try:
                response = self._pools.get(request.url.scheme).handle_request(request)
            except _UNSENT as error:
                exchange.attempt_failed(_failure(error))
                delay = exchange.retry_delay()
                if delay is None or not exchange.wait(delay):
                    raise
                continue
            exchange.answered(response.status_code, response.headers.get("content-type", ""))
            if response.status_code < 300:
                response.stream = _Tee(response.stream, exchange)  # type: ignore[arg-type]
                return response
            # The SDK does not read the body of an error that it retries; the record wants it.
            content = response.read()
            response.close()
            exchange.attempt_failed(_refusing(response.status_code, content))
            delay = exchange.retry_delay(
                status=response.status_code, retry_after=response.headers.get("retry-after")
            )
            if delay is None or not exchange.wait(delay):
                exchange.end()
                return httpx2.Response(
                    response.status_code,
                    headers=response.headers,
                    content=content,
                    extensions=response.extensions,
                )

    def close(self) -> None:
        """Nothing: the pools are shared and live as long as the process."""


class _Tee(httpx2.SyncByteStream):
    def __init__(self, stream: httpx2.SyncByteStream, exchange: Exchange) -> None:
        self._stream = stream
        self._exchange = exchange

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._stream:
                self._exchange.chunk(chunk)
                yield chunk
        except BaseException as error:
            self._exchange.end(
                None if isinstance(error, GeneratorExit) and self._exchange.complete else _failure(error)
            )
            raise
        self._exchange.end()

    def close(self) -> None:
        self._exchange.end(None if self._exchange.complete else "closed before its end")
        self._stream.close()


class AsyncWire(httpx2.AsyncBaseTransport):
    """Carries the model calls of asynchronous clients, from any number of event loops."""

    def __init__(self) -> None:
        self._pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _LoopPool]] = (
            weakref.WeakKeyDictionary()
        )
        self._lock = threading.Lock()

    async def _pool(self, scheme: str) -> httpx2.AsyncHTTPTransport:
        loop = asyncio.get_running_loop()
        with self._lock:
            mine = self._pools.get(loop)
            if mine is None:
                self._forget_closed()
                mine = self._pools[loop] = {}
        # Outside of the lock: making the first pool imports, and other loops need not wait for that.
        pool = mine.get(scheme)
        if pool is None:
            pool = mine[scheme] = _LoopPool(scheme, functools.partial(self._forget, weakref.ref(loop)))
        await pool.bind()
        return pool.transport

    def _forget(self, loop: weakref.ref[asyncio.AbstractEventLoop]) -> None:
        """Drop a loop's pools, which refer to the loop and would keep it for ever."""
        alive = loop()
        with self._lock:
            if alive is not None:
                self._pools.pop(alive, None)

    def _forget_closed(self) -> None:
        """Drop the pools of loops that were closed without shutting their generators down."""
        for loop in [loop for loop in self._pools if loop.is_closed()]:
            del self._pools[loop]

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one model call for the rollout that this code belongs to."""
        exchange = _exchange(request, await request.aread())
        if exchange.refusal is not None:
            return _refused(exchange.refusal)
        try:
            return await self._send(exchange, request)
        except BaseException as error:
            exchange.end(_failure(error))
            raise

    async def _send(self, exchange: Exchange, original: httpx2.Request) -> httpx2.Response:
        while True:
            request = _request(exchange, original)
            pool = await self._pool(request.url.scheme)
            exchange.attempt()
            try:
                response = await pool.handle_async_request(request)
            except _UNSENT as error:
                exchange.attempt_failed(_failure(error))
                delay = exchange.retry_delay()
                if delay is None:
                    raise
                await asyncio.sleep(delay)
                if exchange.over:
                    raise
                continue
            exchange.answered(response.status_code, response.headers.get("content-type", ""))
            if response.status_code < 300:
                response.stream = _AsyncTee(response.stream, exchange)  # type: ignore[arg-type]
                return response
            content = await response.aread()
            await response.aclose()
            exchange.attempt_failed(_refusing(response.status_code, content))
            delay = exchange.retry_delay(
                status=response.status_code, retry_after=response.headers.get("retry-after")
            )
            if delay is not None:
                await asyncio.sleep(delay)
            if delay is None or exchange.over:
                exchange.end()
                return httpx2.Response(
                    response.status_code,
                    headers=response.headers,
                    content=content,
                    extensions=response.extensions,
                )

    async def aclose(self) -> None:
        """Nothing: each loop's pools are closed with their loop."""


class _LoopPool:
    """An event loop's connection pool, closed when the loop shuts its generators down.

    Frameworks make short-lived loops (one per synchronous agent call). `asyncio.run` closes the
    async generators of its loop at the end, so one suspended generator per pool is a finaliser
    that runs while the loop still can.
    """

    def __init__(self, scheme: str, forget: Callable[[], None]) -> None:
        self.transport = httpx2.AsyncHTTPTransport(verify=_verify(scheme), limits=_LIMITS)
        self._forget = forget
        self._lifetime: AsyncGenerator[None, None] | None = None

    async def bind(self) -> None:
        if self._lifetime is None:
            self._lifetime = self._live()
            await anext(self._lifetime)

    async def _live(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._forget()
            await self.transport.aclose()


class _AsyncTee(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, exchange: Exchange) -> None:
        self._stream = stream
        self._exchange = exchange
        self._chunks: AsyncIterator[bytes] | None = None
        self._exhausted = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._chunks = aiter(self._stream)
        try:
            async for chunk in self._chunks:
                self._exchange.chunk(chunk)
                yield chunk
        except BaseException as error:
            self._exchange.end(
                None if isinstance(error, GeneratorExit) and self._exchange.complete else _failure(error)
            )
            raise
        self._exhausted = True
        self._exchange.end()

    async def aclose(self) -> None:
        try:
            await self._drain()
        finally:  # a cancellation may arrive while draining
            self._exchange.end(None if self._exchange.complete else "closed before its end")
            await self._stream.aclose()

    async def _drain(self) -> None:
        """Readers stop at `[DONE]`; taking the last bytes behind it keeps the connection usable."""
        if self._exhausted or self._chunks is None or not self._exchange.complete:
            return
        try:
            async with asyncio.timeout(_DRAIN_S):
                async for chunk in self._chunks:
                    self._exchange.chunk(chunk)
        except (TimeoutError, httpx2.HTTPError, RuntimeError):
            return


class WireClient(httpx2.Client):
    """A synchronous client that its users cannot close."""

    def close(self) -> None:
        """Nothing: the client is shared."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Nothing: the client is shared."""


class AsyncWireClient(httpx2.AsyncClient):
    """An asynchronous client that its users cannot close, usable from any event loop."""

    async def aclose(self) -> None:
        """Nothing: the client is shared."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Nothing: the client is shared."""


_shared: tuple[WireClient, AsyncWireClient] | None = None
_shared_lock = threading.Lock()


def clients() -> tuple[WireClient, AsyncWireClient]:
    """The process's pair of clients; every model of every framework gets both."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = (
                WireClient(transport=Wire(), trust_env=False, timeout=None),
                AsyncWireClient(transport=AsyncWire(), trust_env=False, timeout=None),
            )
        return _shared


def openai_arguments(*, agent: str, timeout_s: float) -> dict[str, Any]:
    """Arguments of the OpenAI SDK's clients, except which of the two HTTP clients they take.

    Args:
        agent: label of the calls.
        timeout_s: seconds; given to the SDK, since it takes an HTTP client's own 5 s for "unset".
    """
    build_answer_types()
    return {
        "base_url": PLACEHOLDER_URL,
        "api_key": "set-at-each-call",
        "max_retries": 0,  # the transport alone retries
        "timeout": timeout_s,
        "default_headers": {f"{LABEL}agent": agent},
    }


def plain_client(*, timeout_s: float = 60.0) -> httpx2.AsyncClient:
    """An asynchronous client that records nothing, follows no redirects and ignores proxies; close it."""
    return httpx2.AsyncClient(timeout=timeout_s, trust_env=False, follow_redirects=False)
