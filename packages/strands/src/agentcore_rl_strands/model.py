"""Strands models that find their endpoint at each call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agentcore_rl.model_terms import ModelTerms, check_sampling, importing
from agentcore_rl.recorder.calls import MODEL_ALIAS
from agentcore_rl.recorder.wire import clients, openai_arguments
from agentcore_rl_strands.adapter import INSTALL, MODULES

if TYPE_CHECKING:
    from strands.models import Model

__all__ = ["create_openai_compatible_model"]

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
    if provider_model_id is not None:
        return _hosted(provider_model_id, check_sampling(sampling))
    with importing(MODULES, INSTALL):
        from strands.models.openai import OpenAIModel

        terms = ModelTerms.of(agent, sampling)
    params = dict(terms.params)
    if terms.extra_body:
        params["extra_body"] = dict(terms.extra_body)
    return OpenAIModel(
        client_args={
            **openai_arguments(agent=agent, timeout_s=terms.timeout_s),
            "http_client": clients()[1],
        },
        model_id=MODEL_ALIAS,
        stream=terms.stream,
        params=params,
    )


def _hosted(model_id: str, asked: Mapping[str, Any]) -> Model:
    with importing(MODULES, INSTALL):
        from strands.models import BedrockModel
    fields = {_BEDROCK_NAMES.get(name, name): value for name, value in asked.items()}
    if isinstance(fields.get("stop_sequences"), str):
        fields["stop_sequences"] = [fields["stop_sequences"]]
    own: dict[str, Any] = {name: value for name, value in fields.items() if name in _BEDROCK_OWN}
    further = {name: value for name, value in fields.items() if name not in _BEDROCK_OWN}
    if further:
        own["additional_request_fields"] = further
    return BedrockModel(model_id=model_id, **own)
