"""The front's HTTP protocol: uvicorn's, and a way to drop a connection without an answer."""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakValueDictionary

from starlette.types import Receive, Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["FrontProtocol", "drop"]

_open: WeakValueDictionary[tuple[Any, ...], FrontProtocol] = WeakValueDictionary()


class FrontProtocol(H11Protocol):
    """Remembers its connection by both ends' addresses."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(transport)
        if self.client and self.server:
            _open[(*self.client, *self.server)] = self


async def drop(scope: Scope, receive: Receive) -> None:
    """Close a request's connection before anything was answered; returns when it is closed."""
    protocol = _open.get((*(scope["client"] or ()), *(scope["server"] or ())))
    if protocol is not None:
        protocol.transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass
