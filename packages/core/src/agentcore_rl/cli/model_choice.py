"""The model that a command's rollouts use: chosen by options or the environment, and asked if it is there."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from agentcore_rl.cli.gateway_choice import admin_key, embedded_gateway, gateway_installed, named_gateway
from agentcore_rl.cli.terminal import StatusLine
from agentcore_rl.endpoint import Endpoint, Secret
from agentcore_rl.exceptions import ConfigurationError, MissingDependencyError
from agentcore_rl.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from agentcore_rl.batch.gateway import GatewayControl

__all__ = [
    "LOCAL_MODELS",
    "ModelChoice",
    "check_model",
    "chosen_model",
    "local_endpoint",
    "local_model",
    "local_models",
    "model_file",
    "named_model",
]

LOCAL_MODELS = ("smollm2", "smollm2-tools")
"""Names that `--model` takes in place of a URL."""

_LOOK_S = 5.0


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model endpoint, as a client sends it and as a deployment has it.

    Attributes:
        endpoint: for the rollouts' requests; None leaves the choice to the app.
        env: environment variables of the sessions.
        gateway: what issues each attempt's key; None: the endpoint is called as it is.
    """

    endpoint: Endpoint | None
    env: Mapping[str, str]
    gateway: GatewayControl | None = None

    @classmethod
    def of(cls, endpoint: Endpoint, gateway: GatewayControl | None = None) -> ModelChoice:
        """The choice of this endpoint. The deployment has it too, so that its fences let it through."""
        key = endpoint.api_key.reveal()
        env = {"BASE_URL": endpoint.base_url, "MODEL_ID": endpoint.model, "API_KEY": key}
        return cls(endpoint, env, gateway)


def named_model(url: str, model_id: str | None, sampling: Mapping[str, Any]) -> Endpoint:
    """The endpoint that `--model URL --model-id ID` names.

    The key in API_KEY goes to no other host than the one that BASE_URL names, where that is set.

    Raises:
        ConfigurationError: it is neither a URL nor the name of a local model.
    """
    if not re.match(r"https?://[^/]", url):
        from difflib import get_close_matches

        near = get_close_matches(url, LOCAL_MODELS, n=1)
        hint = f"did you mean {near[0]}?" if near else "such as http://127.0.0.1:8000/v1."
        raise ConfigurationError(
            f"--model {url} is neither a URL nor one of {', '.join(LOCAL_MODELS)}; {hint}"
        )
    own = os.environ.get("BASE_URL", "").strip()
    key = os.environ.get("API_KEY", "") if not own or own.rstrip("/") == url.rstrip("/") else ""
    return Endpoint(url.rstrip("/"), model_id or "", Secret(key), sampling=sampling)


@contextlib.asynccontextmanager
async def chosen_model(
    model: str | None,
    model_id: str | None,
    sampling: Mapping[str, Any],
    status: StatusLine,
    *,
    log: Path,
    engine: str | None = None,
    tokenizer: str | None = None,
    renderer: str | None = None,
) -> AsyncIterator[ModelChoice]:
    """The model that options name, there while the block runs; else the one in BASE_URL, or the app's own.

    A local model, and an engine, stand behind a gateway of their own where it is installed.

    Args:
        model: a URL, or the name of a local model, which is then served; None when the option is not given.
        model_id: the model's id at that URL, or behind that engine.
        sampling: parameters of each call.
        status: where to say what is going on.
        log: folder of the log that a gateway of one's own keeps.
        engine: what a gateway of one's own stands in front of, as its `--engine` names it.
        tokenizer: of that engine's model.
        renderer: of that engine's model.

    Raises:
        ConfigurationError: the model cannot be used; the message says why.
    """
    key = admin_key()
    if engine is not None:
        if model is not None:
            raise ConfigurationError(
                "--engine has its model behind it: name it with --model-id, not --model."
            )
        if not model_id:
            raise ConfigurationError(f"--engine {engine} may serve several models: name one with --model-id.")
        async with embedded_gateway(
            engine, status, log=log, tokenizer=tokenizer, renderer=renderer
        ) as gateway:
            yield ModelChoice.of(Endpoint(gateway.base_url, model_id, sampling=sampling), gateway)
    elif model in LOCAL_MODELS:
        if model_id is not None:
            raise ConfigurationError(f"--model {model} is a model by itself: leave --model-id out.")
        async with local_models([model], sampling, status, log=log) as choices:
            yield choices[0]
    elif model is not None and key is not None:
        named = named_model(model, model_id, sampling).base_url
        async with named_gateway(named, model_id, sampling, key) as (gateway, endpoint):
            yield ModelChoice.of(endpoint, gateway)
    elif model is not None:
        yield ModelChoice.of(await check_model(named_model(model, model_id, sampling), status))
    else:
        yield await _from_environment(model_id, sampling, status)


async def _from_environment(
    model_id: str | None, sampling: Mapping[str, Any], status: StatusLine
) -> ModelChoice:
    own = Settings.from_environment().endpoint
    if own is not None:
        wanted = replace(own, model=model_id or own.model, sampling=sampling)
        return ModelChoice.of(await check_model(wanted, status))
    if model_id is not None:
        raise ConfigurationError("--model-id belongs to --model URL, or to BASE_URL; give one of them.")
    return ModelChoice(Endpoint("", sampling=sampling) if sampling else None, {})


async def check_model(endpoint: Endpoint, status: StatusLine) -> Endpoint:
    """Ask an endpoint for its models; the endpoint, with its only model's id where none was named.

    Raises:
        ConfigurationError: it does not answer, refuses the key, or several models are there to choose from.
    """
    served = await _served(endpoint)
    if served is None:  # it has no list of models, as some gateways
        if endpoint.model:
            return endpoint
        raise ConfigurationError(
            f"The model server at {endpoint.base_url} does not list its models: add --model-id."
        )
    if not endpoint.model:
        if len(served) == 1:
            return replace(endpoint, model=served[0])
        some = ", ".join(served[:8]) + (", ..." if len(served) > 8 else "")
        raise ConfigurationError(
            f"{endpoint.base_url} serves {len(served)} models: choose one with --model-id ({some})."
        )
    if served and endpoint.model not in served:
        some = ", ".join(served[:8]) + (", ..." if len(served) > 8 else "")
        status.say(f"note: {endpoint.base_url} does not list the model {endpoint.model!r}, but {some}")
    return endpoint


async def _served(endpoint: Endpoint) -> list[str] | None:
    """Ids of the models that an endpoint lists; None when it has no such list."""
    from agentcore_rl.recorder.wire import plain_client

    url = f"{endpoint.base_url.rstrip('/')}/models"
    key = endpoint.api_key.reveal()
    async with plain_client(timeout_s=_LOOK_S) as client:
        try:
            answer = await client.get(url, headers={"authorization": f"Bearer {key}"} if key else {})
        except Exception as error:  # noqa: BLE001 - only wire.py may import the client's own errors
            said = str(error) or f"no answer within {_LOOK_S:g} s"
            raise ConfigurationError(
                f"The model at {endpoint.base_url} cannot be reached ({said}): start it, or correct the URL."
            ) from None
    if answer.status_code in (401, 403):
        raise ConfigurationError(
            f"The model at {endpoint.base_url} refuses the key (HTTP {answer.status_code}): set API_KEY."
        )
    if answer.status_code >= 500:
        raise ConfigurationError(
            f"The model at {endpoint.base_url} is not well (HTTP {answer.status_code}): see its server's log."
        )
    try:
        listed = json.loads(answer.content)["data"]
        return [str(model["id"]) for model in listed]
    except (ValueError, LookupError, TypeError):
        return None


def model_file(status: StatusLine) -> tuple[Path, float]:
    """The local model's file, fetched if it is missing; and the seconds that fetching took.

    Raises:
        ConfigurationError: it cannot be fetched; the message says what to do.
        MissingDependencyError: the engine that runs it is not installed.
    """
    from importlib.util import find_spec

    from agentcore_rl.local_model import fetch_model, find_model

    if find_spec("xllamacpp") is None:  # said before 98 MB are fetched for nothing
        raise MissingDependencyError(
            'The local model needs llama.cpp, which is not installed: pip install "agentcore-rl[local-model]"'
        )
    try:
        return find_model(), 0.0
    except ConfigurationError:
        if os.environ.get("AGENTCORE_RL_MODEL_FILE", "").strip():
            raise
    began = time.monotonic()

    def tell(step: str, done: int, total: int) -> None:
        far = f", {done / total:.0%}" if total else ""
        status.update(f"{step}{far}, {time.monotonic() - began:.0f} s")

    path = fetch_model(progress=tell)
    status.clear()
    return path, time.monotonic() - began


@contextlib.asynccontextmanager
async def local_models(
    names: Sequence[str], sampling: Mapping[str, Any], status: StatusLine, *, log: Path
) -> AsyncIterator[list[ModelChoice]]:
    """Local models while the block runs: behind a gateway where it is installed, else as they are served.

    Args:
        names: of `LOCAL_MODELS`.
        sampling: parameters of each call.
        status: where to say what is going on.
        log: folder of the gateway's log.
    """
    if gateway_installed():
        async with embedded_gateway("llama.cpp", status, log=log) as gateway:
            yield [
                ModelChoice.of(Endpoint(gateway.base_url, name, sampling=sampling), gateway) for name in names
            ]
    else:
        async with local_model(status) as base_url:
            yield [ModelChoice.of(local_endpoint(base_url, name, sampling)) for name in names]


@contextlib.asynccontextmanager
async def local_model(status: StatusLine) -> AsyncIterator[str]:
    """The local model's server while the block runs; gives its base URL."""
    from agentcore_rl.local_model import LocalModel

    model = LocalModel()
    status.update("starting the local model")
    try:
        await asyncio.to_thread(model.start)
        yield model.base_url
    finally:
        await asyncio.to_thread(model.stop)


def local_endpoint(
    base_url: str, name: str, sampling: Mapping[str, Any], *, logprobs: bool = True
) -> Endpoint:
    """One of the local models, which is asked for token ids, and for logprobs, as well."""
    asked = {"return_token_ids": True, **({"logprobs": True} if logprobs else {})}
    return Endpoint(base_url, name, sampling=sampling, extra_body=asked)
