"""Strands models that find their endpoint at each call."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.recorder.calls import MODEL_ALIAS
from agentcore_rl.recorder.scope import current_scope
from agentcore_rl.recorder.wire import clients, openai_arguments
from agentcore_rl.settings import Settings
from agentcore_rl_strands.framework import check_openai, framework

if TYPE_CHECKING:
    from strands.models import Model

__all__ = ["create_openai_compatible_model"]

_NOT_SAMPLING = ("messages", "model", "tools")
# The Converse API's names for what the OpenAI API calls otherwise.
_BEDROCK_NAMES = {"max_completion_tokens": "max_tokens", "stop": "stop_sequences", "stream": "streaming"}
_BEDROCK_OWN = {"max_tokens", "stop_sequences", "streaming", "temperature", "top_p"}


def create_openai_compatible_model(
    *, agent: str = "main", provider_model_id: str | None = None, **sampling: Any
) -> Model:
    """A Strands model that finds its endpoint at each call.

    Make it anywhere (at import, in a function, once for all rollouts): url, key, model id and the
    request's sampling are taken from the rollout that a call belongs to, or from BASE_URL, API_KEY
    and MODEL_ID outside of one.

    Args:
        agent: label of the calls that are made through this object; with "main" it is the name of
            the Strands agent, where a collector is attached.
        provider_model_id: id of a hosted model on Bedrock instead, for evaluation. Its calls do not
            pass our transport.
        **sampling: what the agent asks for; the endpoint's and the request's own wins. Parameters
            that the OpenAI API does not have (`top_k`, `min_p`, ...) go into the body as they are.
            `stream` (default False) is fixed here, by the request's `stream` where the model is
            made in a rollout whose request has one. `timeout` is in seconds without a byte.
            None counts as not given.

    Raises:
        MissingDependencyError: Strands or the OpenAI SDK is not installed, or the SDK is too old.
        ConfigurationError: a parameter is none of sampling, or `agent` cannot be a label.
    """
    asked = {name: value for name, value in sampling.items() if value is not None}
    if wrong := [name for name in _NOT_SAMPLING if name in asked]:
        raise ConfigurationError(
            f"{', '.join(wrong)} cannot be fixed in a model: Strands sends messages and tools, the endpoint "
            "names the model (MODEL_ID, or the request), and provider_model_id chooses a hosted one."
        )
    if not agent or not agent.isascii() or not agent.isprintable():
        raise ConfigurationError(f"agent must be a label of printable ASCII characters, not {agent!r}.")
    if provider_model_id is not None:
        return _hosted(provider_model_id, asked)
    with framework():
        import openai
        from strands.models.openai import OpenAIModel
    check_openai(openai.__version__)
    scope = current_scope()
    requested = scope.stream if scope is not None else None
    stream = bool(asked.pop("stream", False))
    timeout_s = asked.pop("timeout", None) or Settings.from_environment().model_timeout_s
    return OpenAIModel(
        client_args={
            **openai_arguments(agent=agent, timeout_s=float(timeout_s)),
            "http_client": clients()[1],
        },
        model_id=MODEL_ALIAS,
        stream=stream if requested is None else requested,
        params=_params(asked),
    )


def _params(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the SDK's `create`: what it does not know goes into the body by its own door."""
    known = _openai_parameters()
    params = {name: value for name, value in asked.items() if name in known}
    further = {name: value for name, value in asked.items() if name not in known}
    if further:
        params["extra_body"] = {**further, **params.get("extra_body", {})}
    return params


@functools.cache
def _openai_parameters() -> frozenset[str]:
    from openai.resources.chat.completions import AsyncCompletions

    return frozenset(inspect.signature(AsyncCompletions.create).parameters) - {"self"}


def _hosted(model_id: str, asked: Mapping[str, Any]) -> Model:
    with framework():
        from strands.models import BedrockModel
    fields = {_BEDROCK_NAMES.get(name, name): value for name, value in asked.items()}
    if isinstance(fields.get("stop_sequences"), str):
        fields["stop_sequences"] = [fields["stop_sequences"]]
    own: dict[str, Any] = {name: value for name, value in fields.items() if name in _BEDROCK_OWN}
    further = {name: value for name, value in fields.items() if name not in _BEDROCK_OWN}
    if further:
        own["additional_request_fields"] = further
    return BedrockModel(model_id=model_id, **own)
