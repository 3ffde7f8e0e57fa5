"""AutoGen model clients that find their endpoint at each call."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.model_terms import ModelTerms, check_sampling, importing
from agentcore_rl.recorder.calls import MODEL_ALIAS
from agentcore_rl.recorder.recorder import Native
from agentcore_rl.recorder.wire import clients, openai_arguments
from agentcore_rl_autogen.adapter import INSTALL, MODULES
from agentcore_rl_autogen.collector import ModelCall
from agentcore_rl_autogen.messages import to_openai_messages

if TYPE_CHECKING:
    from autogen_core.models import ChatCompletionClient

__all__ = ["create_openai_compatible_model"]

# AutoGen reads one answer per call, and takes tools from the agent.
_REFUSED = ("function_call", "functions", "n")
_CAPABILITIES = {
    "vision": True,  # else AutoGen takes images out of prompts without a word
    "function_calling": True,
    "json_output": True,
    "structured_output": True,
    "family": "unknown",  # "r1" would cut <think> out of the text
    "multiple_system_messages": True,  # else they are joined and stripped
}
# Anthropic's names for what the OpenAI API calls otherwise.
_ANTHROPIC_NAMES = {"max_completion_tokens": "max_tokens", "stop": "stop_sequences"}


def create_openai_compatible_model(
    *, agent: str = "main", provider_model_id: str | None = None, **sampling: Any
) -> ChatCompletionClient:
    """An AutoGen model client that finds its endpoint at each call.

    Make it anywhere (at import, in a function, once for all rollouts): url, key, model id and the
    request's sampling are taken from the rollout that a call belongs to, or from BASE_URL, API_KEY
    and MODEL_ID outside of one.

    Args:
        agent: label of the calls that are made through this object. AutoGen does not tell a client
            which agent calls: give each agent a client of its own. With "main" a collector names
            the agent where it can: in teams, and by the tool where the call is made in one.
        provider_model_id: id of an Anthropic model on Bedrock instead, for evaluation. Its calls do
            not pass our transport; a collector records them as AutoGen has them.
        **sampling: what the agent asks for; the endpoint's and the request's own wins. Parameters
            that the OpenAI API does not have (`top_k`, `min_p`, ...) go into the body as they are.
            `stream` (default False) is fixed here, by the request's `stream` where the model is
            made in a rollout whose request has one; an agent with `model_client_stream=True`
            always streams. `timeout` is in seconds without a byte. None counts as not given.

    Raises:
        MissingDependencyError: AutoGen or the OpenAI SDK is not installed, or the SDK is too old.
        ConfigurationError: a parameter is none of sampling, or `agent` cannot be a label.
    """
    if provider_model_id is not None:
        return _hosted(provider_model_id, agent, check_sampling(sampling))
    with importing(MODULES, INSTALL):
        from autogen_ext.models.openai import OpenAIChatCompletionClient

        terms = ModelTerms.of(agent, sampling)
    params = dict(terms.params)
    if refused := [name for name in _REFUSED if name in params]:
        raise ConfigurationError(
            f"AutoGen does not take {', '.join(refused)}: one answer per call, no functions."
        )
    arguments = openai_arguments(agent=agent, timeout_s=terms.timeout_s)
    # These two AutoGen would drop from a request.
    arguments["default_headers"] |= params.pop("extra_headers", {})
    arguments["default_query"] = params.pop("extra_query", None)
    streaming = params.pop("stream_options", {"include_usage": True})
    client: ChatCompletionClient = _announcing(OpenAIChatCompletionClient)(
        model=MODEL_ALIAS,
        **arguments,
        **params,
        extra_body=dict(terms.extra_body) or None,
        http_client=clients()[1],
        model_info=_CAPABILITIES,
        include_name_in_message=False,
        announced_as=agent,
        hosted=None,
        streams=terms.stream,
        streaming={"stream_options": streaming},
    )
    return client


@functools.cache
def _announcing(client: type[Any]) -> type[Any]:
    """A client class of AutoGen's whose calls are told to collectors, before and after."""
    from autogen_core.models import CreateResult

    class AnnouncingClient(client):  # type: ignore[misc]
        def __init__(
            self,
            *,
            announced_as: str,
            hosted: str | None,
            streams: bool,
            streaming: Mapping[str, Any],
            **arguments: Any,
        ) -> None:
            super().__init__(**arguments)
            self.announced_as = announced_as
            self.streams = streams
            self._hosted = hosted
            self._streaming = streaming
            # The answer names the endpoint's model: AutoGen would warn of another one than our alias.
            self._resolved_model = None

        def announcing_as(self, agent: str) -> AnnouncingClient:
            """This client, its calls under another label."""
            # `copy` would make an HTTP client of its own.
            other = object.__new__(type(self))
            other.__dict__.update(self.__dict__, announced_as=agent)
            return other

        async def create(self, messages: Sequence[Any], **terms: Any) -> Any:
            if self.streams:
                async with aclosing(self.create_stream(messages, **terms)) as parts:
                    return [part async for part in parts][-1]
            with self._call(messages, terms) as call:
                answer = await super().create(messages, **terms)
                call.answered(answer)
                return answer

        async def create_stream(self, messages: Sequence[Any], **terms: Any) -> AsyncGenerator[Any, None]:
            terms["extra_create_args"] = {**self._streaming, **terms.get("extra_create_args", {})}
            with self._call(messages, terms) as call:
                async with aclosing(super().create_stream(messages, **terms)) as parts:
                    async for part in parts:
                        if isinstance(part, CreateResult):
                            call.answered(part)
                        yield part

        def _call(self, messages: Sequence[Any], terms: Mapping[str, Any]) -> ModelCall:
            native = None
            if self._hosted is not None:
                native = functools.partial(_native, messages, terms.get("tools", ()), self._hosted)
            return ModelCall(self.announced_as, messages, native)

    AnnouncingClient.__name__ = AnnouncingClient.__qualname__ = client.__name__
    return AnnouncingClient


def _native(messages: Sequence[Any], tools: Sequence[Any], model: str) -> Native:
    schemas = (tool if isinstance(tool, dict) else tool.schema for tool in tools)
    declared = [{"type": "function", "function": schema} for schema in schemas]
    return Native(to_openai_messages(messages), declared, model)


def _hosted(model_id: str, agent: str, asked: Mapping[str, Any]) -> ChatCompletionClient:
    if "anthropic" not in model_id:
        raise ConfigurationError(
            f"Of the models on Bedrock AutoGen has a client for Anthropic's, and {model_id!r} is none. "
            "Give the agent a model client of your own: a collector hears its calls."
        )
    with importing({**MODULES, "anthropic": "Anthropic's SDK"}, f"{INSTALL}[bedrock]"):
        from autogen_ext.models.anthropic import AnthropicBedrockChatCompletionClient
    fields = {_ANTHROPIC_NAMES.get(name, name): value for name, value in asked.items()}
    if isinstance(fields.get("stop_sequences"), str):
        fields["stop_sequences"] = [fields["stop_sequences"]]
    client: ChatCompletionClient = _announcing(AnthropicBedrockChatCompletionClient)(
        model=model_id,
        streams=bool(fields.pop("stream", False)),
        **fields,
        # Region and keys are found as boto3 does.
        bedrock_info={"aws_region": None},
        model_info={**_CAPABILITIES, "structured_output": False},
        announced_as=agent,
        hosted=model_id,
        streaming={},
    )
    return client
