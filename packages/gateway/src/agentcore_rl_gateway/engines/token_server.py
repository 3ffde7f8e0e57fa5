"""What engines on a server of their own have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentcore_rl_gateway.engines.upstream import Upstream

__all__ = ["TokenServer"]


class TokenServer:
    """A server with a token-level route, `/v1/models` and `/health`.

    Args:
        url: its address, without `/v1`.
        key: the bearer token that it wants; empty for none.
    """

    def __init__(self, url: str, *, key: str = "") -> None:
        self._upstream = Upstream(url, key=key)

    async def start(self) -> None:
        """Nothing: a server that is down is a 503 until it is up."""

    async def models(self) -> Sequence[dict[str, Any]]:
        """What the server lists."""
        return await self._upstream.cards()

    async def ready(self) -> bool:
        """Whether the server says that it is healthy."""
        return await self._upstream.healthy()

    async def close(self) -> None:
        """Close the connections."""
        await self._upstream.close()
