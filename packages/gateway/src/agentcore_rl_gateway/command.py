"""What `agentcore-rl gateway` runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from agentcore_rl_gateway.engines.choice import chosen_mode
from agentcore_rl_gateway.serving import ADMIN_KEY_VARIABLE, GatewayServer, Options

__all__ = ["ENGINE_KEY_VARIABLE", "serve"]

ENGINE_KEY_VARIABLE = "AGENTCORE_RL_GATEWAY_ENGINE_KEY"
"""Environment variable with the key that an engine's server wants."""


def serve(
    engine: str,
    *,
    tokenizer: Path | None,
    renderer: str | None = None,
    folder: Path,
    host: str,
    port: int,
    fsync: bool,
    started: Callable[[str, str, str], None],
) -> None:
    """Serve until interrupted.

    Args:
        engine: as `chosen_mode` takes it; a server's key is read from `ENGINE_KEY_VARIABLE`.
        tokenizer: as `chosen_mode` takes it.
        renderer: as `chosen_mode` takes it.
        folder: of the log.
        host: address to listen on.
        port: to listen on; 0 takes a free one.
        fsync: answers wait for the disk.
        started: told the base URL, the control route's URL and, where the gateway made it itself, the admin
            key (else an empty text), once requests are accepted.

    Raises:
        ConfigurationError: the engine, the address or the folder cannot be used.
    """
    given = os.environ.get(ADMIN_KEY_VARIABLE, "")
    key = os.environ.get(ENGINE_KEY_VARIABLE, "")
    with chosen_mode(engine, tokenizer=tokenizer, renderer=renderer, key=key) as mode:
        server = GatewayServer(mode, Options(folder, host, port, given, fsync))
        control = server.base_url.removesuffix("/v1") + "/control"
        server.serve(lambda: started(server.base_url, control, "" if given else server.admin_key))
