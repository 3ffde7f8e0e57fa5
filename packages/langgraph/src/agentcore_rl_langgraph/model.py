"""LangChain models that find their endpoint at each call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agentcore_rl.exceptions import MissingDependencyError
from agentcore_rl.model_terms import ModelTerms, check_sampling, importing
from agentcore_rl.recorder.calls import MODEL_ALIAS
from agentcore_rl.recorder.wire import clients, openai_arguments
from agentcore_rl_langgraph.adapter import FRAMEWORK, INSTALL

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

__all__ = ["create_openai_compatible_model"]

# Arguments of ChatOpenAI that are not sent under their own name.
_NOT_SENT_AS_NAMED = {"max_tokens", "metadata"}
_SDK_ARGUMENTS = {"extra_headers", "extra_query"}
# The Converse API's names for what the OpenAI API calls otherwise.
_BEDROCK_NAMES = {"max_completion_tokens": "max_tokens", "stop": "stop_sequences"}
_BEDROCK_OWN = {"max_tokens", "stop_sequences", "temperature", "timeout", "top_p"}


def create_openai_compatible_model(
    *, agent: str = "main", provider_model_id: str | None = None, **sampling: Any
) -> BaseChatModel:
    """A LangChain chat model that finds its endpoint at each call.

    Make it anywhere (at import, in a function, once for all rollouts): url, key, model id and the
    request's sampling are taken from the rollout that a call belongs to, or from BASE_URL, API_KEY
    and MODEL_ID outside of one.

    Args:
        agent: label of the calls that are made through this object; with "main" it is the name of
            the agent or graph, where a collector listens.
        provider_model_id: a hosted model instead, for evaluation: an id on Bedrock, or
            `provider:model` as `langchain.chat_models.init_chat_model` takes it. Its calls do not
            pass our transport.
        **sampling: what the agent asks for; the endpoint's and the request's own wins. Parameters
            that the OpenAI API does not have (`top_k`, `min_p`, ...) go into the body as they are.
            `stream` (default False) is fixed here, whatever the caller of the graph asks for, by
            the request's `stream` where the model is made in a rollout whose request has one.
            `timeout` is in seconds without a byte. None counts as not given.

    Raises:
        MissingDependencyError: LangChain, the OpenAI SDK or the hosted model's package is not
            installed, or the SDK is too old.
        ConfigurationError: a parameter is none of sampling, or `agent` cannot be a label.
    """
    if provider_model_id is not None:
        return _hosted(provider_model_id, check_sampling(sampling))
    with importing(FRAMEWORK, INSTALL):
        from langchain_openai import ChatOpenAI

        terms = ModelTerms.of(agent, sampling)
    fields, rest, body = _sorted(terms.params, set(ChatOpenAI.model_fields))
    # Sync nodes call the sync client, also under `ainvoke`: with one of the two missing, its calls
    # would pass nobody.
    plain, asynchronous = clients()
    return ChatOpenAI(
        model=MODEL_ALIAS,
        **openai_arguments(agent=agent, timeout_s=terms.timeout_s),
        http_client=plain,
        http_async_client=asynchronous,
        openai_proxy=None,
        streaming=terms.stream,
        # Whoever streams a graph's answers would else decide how the model is asked.
        disable_streaming=not terms.stream,
        stream_usage=True,
        stream_chunk_timeout=terms.timeout_s,
        use_responses_api=False,
        # A cached answer is no sample.
        cache=False,
        **fields,
        model_kwargs=rest,
        extra_body={**body, **terms.extra_body} or None,
    )


def _sorted(
    params: Mapping[str, Any], known: set[str]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The model's own arguments, the SDK's, and what goes into the body as it is.

    `max_tokens` is of the last kind: as an argument it would be sent as `max_completion_tokens`.
    """
    fields: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    body: dict[str, Any] = {}
    for name, value in params.items():
        if name in _SDK_ARGUMENTS:
            rest[name] = value
        elif name in known and name not in _NOT_SENT_AS_NAMED:
            fields[name] = value
        else:
            body[name] = value
    return fields, rest, body


def _hosted(model_id: str, asked: dict[str, Any]) -> BaseChatModel:
    provider, colon, _ = model_id.partition(":")
    # Ids on Bedrock end in a version (`...-v1:0`), or are ARNs.
    if colon and "." not in provider and provider != "arn":
        with importing(FRAMEWORK, INSTALL):
            from langchain.chat_models import init_chat_model
        try:
            model: BaseChatModel = init_chat_model(model_id, **asked)
        except ImportError as error:
            raise MissingDependencyError(str(error)) from None
        return model
    with importing({**FRAMEWORK, "langchain_aws": "LangChain's Bedrock model"}, f"{INSTALL}[bedrock]"):
        from langchain_aws import ChatBedrockConverse
    fields = {_BEDROCK_NAMES.get(name, name): value for name, value in asked.items()}
    stream = bool(fields.pop("stream", False))
    if isinstance(fields.get("stop_sequences"), str):
        fields["stop_sequences"] = [fields["stop_sequences"]]
    own: dict[str, Any] = {name: value for name, value in fields.items() if name in _BEDROCK_OWN}
    further = {name: value for name, value in fields.items() if name not in _BEDROCK_OWN}
    if further:
        own["additional_model_request_fields"] = further
    return ChatBedrockConverse(model=model_id, streaming=stream, disable_streaming=not stream, **own)
