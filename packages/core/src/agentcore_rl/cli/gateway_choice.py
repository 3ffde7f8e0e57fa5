"""The gateway between a command's rollouts and their model: one of its own, or one that is named."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from agentcore_rl.batch.gateway import GatewayControl
from agentcore_rl.cli.terminal import StatusLine
from agentcore_rl.endpoint import Endpoint, Secret
from agentcore_rl.exceptions import ConfigurationError, LauncherError, MissingDependencyError

__all__ = ["admin_key", "embedded_gateway", "gateway_installed", "named_gateway"]

_ADMIN_KEY = "AGENTCORE_RL_GATEWAY_ADMIN_KEY"


def gateway_installed() -> bool:
    """Whether the package of the gateway is there."""
    return find_spec("agentcore_rl_gateway") is not None


def admin_key() -> Secret | None:
    """The key of a gateway that runs already, from the environment: `--model` is then that gateway's URL."""
    key = os.environ.get(_ADMIN_KEY, "").strip()
    return Secret(key) if key else None


@contextlib.asynccontextmanager
async def embedded_gateway(
    engine: str, status: StatusLine, *, log: Path, tokenizer: str | None = None, renderer: str | None = None
) -> AsyncIterator[GatewayControl]:
    """A gateway on this machine while the block runs.

    Args:
        engine: as `--engine` of `agentcore-rl gateway`; a server's key is API_KEY.
        status: where to say what is going on.
        log: folder of its log.
        tokenizer: as `--tokenizer` of `agentcore-rl gateway`.
        renderer: as `--renderer` of it.

    Raises:
        MissingDependencyError: the gateway is not installed.
        ConfigurationError: it cannot be started; the message says why.
    """
    if not gateway_installed():
        raise MissingDependencyError('The gateway is not installed: pip install "agentcore-rl-gateway"')
    status.update("starting the gateway and its engine")
    # By name: the core knows of the gateway only that it may be there.
    module = import_module("agentcore_rl_gateway.embedded")
    gateway = module.EmbeddedGateway(
        engine,
        log=log,
        tokenizer=tokenizer,
        renderer=renderer,
        engine_key=os.environ.get("API_KEY", ""),
    )
    try:
        await asyncio.to_thread(gateway.start)
        async with GatewayControl(gateway.base_url, gateway.admin_key) as control:
            yield control
    finally:
        await asyncio.to_thread(gateway.stop)


@contextlib.asynccontextmanager
async def named_gateway(
    url: str, model_id: str | None, sampling: Mapping[str, Any], key: Secret
) -> AsyncIterator[tuple[GatewayControl, Endpoint]]:
    """A gateway that runs already, and what rollouts call there.

    Raises:
        ConfigurationError: there is no gateway at the URL, it refuses the key, or no model is named.
    """
    if not model_id:
        raise ConfigurationError(
            f"{_ADMIN_KEY} is set, so {url} is taken for a gateway, whose keys are for one model each: name "
            "it with --model-id."
        )
    async with GatewayControl(url, key) as control:
        try:
            await control.check()
        except LauncherError as error:
            raise ConfigurationError(
                f"{_ADMIN_KEY} is set, so {url} is taken for a gateway: {error} Correct the URL or the key, "
                "or unset the variable to call the model as it is."
            ) from error
        yield control, Endpoint(control.base_url, model_id, sampling=sampling)
