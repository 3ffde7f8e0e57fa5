"""Models of the Agent Framework that find their endpoint at each call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agentcore_rl.model_terms import ModelTerms, check_sampling, importing
from agentcore_rl.recorder.calls import MODEL_ALIAS
from agentcore_rl.recorder.wire import clients, openai_arguments
from agentcore_rl_agent_framework.adapter import INSTALL, MODULES

if TYPE_CHECKING:
    from agent_framework import BaseChatClient

__all__ = ["create_openai_compatible_model"]

_SDK_ARGUMENTS = {"extra_headers", "extra_query"}
_BEDROCK_NAMES = {"max_completion_tokens": "max_tokens"}
_BEDROCK_OWN = {"max_tokens", "stop", "temperature", "top_p"}


def create_openai_compatible_model(
    *, agent: str = "main", provider_model_id: str | None = None, **sampling: Any
) -> BaseChatClient[Any]:
    """A chat client of the Agent Framework that finds its endpoint at each call.

    Make it anywhere (at import, in a function, once for all rollouts): url, key, model id and the
    request's sampling are taken from the rollout that a call belongs to, or from BASE_URL, API_KEY
    and MODEL_ID outside of one.

    Args:
        agent: label of the calls that are made through this object; with "main" it is the name of
            the agent, where a collector is attached.
        provider_model_id: id of a hosted model on Bedrock instead, for evaluation. Its calls do not
            pass our transport.
        **sampling: what the agent asks for; options of the agent or its run win over it, the
            endpoint's and the request's own over both. Parameters that the OpenAI API does not have
            (`top_k`, `min_p`, ...) go into the body as they are. `stream` (default False) is fixed
            here, however the agent is run, by the request's `stream` where the model is made in a
            rollout whose request has one. `timeout` is in seconds without a byte. None counts as
            not given.

    Raises:
        MissingDependencyError: the Agent Framework, the OpenAI SDK or the hosted model's package is
            not installed, or the SDK is too old.
        ConfigurationError: a parameter is none of sampling, or `agent` cannot be a label.
    """
    if provider_model_id is not None:
        return _hosted(provider_model_id, check_sampling(sampling))
    with importing(MODULES, INSTALL):
        from agent_framework.openai import OpenAIChatCompletionClient
        from openai import AsyncOpenAI

        terms = ModelTerms.of(agent, sampling)
    # In the body, since as an option `max_tokens` would be sent as `max_completion_tokens`.
    body = {name: value for name, value in terms.params.items() if name not in _SDK_ARGUMENTS}
    options = {name: value for name, value in terms.params.items() if name in _SDK_ARGUMENTS}
    sdk = AsyncOpenAI(
        **openai_arguments(agent=agent, timeout_s=terms.timeout_s),
        http_client=clients()[1],  # type: ignore[arg-type]  # typed for one HTTP library, takes both
    )
    return OpenAIChatCompletionClient(
        MODEL_ALIAS,
        async_client=sdk,
        middleware=[_asking(options, "extra_body", {**body, **terms.extra_body}, stream=terms.stream)],
    )


def _hosted(model_id: str, asked: dict[str, Any]) -> BaseChatClient[Any]:
    bedrock = {"agent_framework_bedrock": "The Agent Framework's Bedrock model", "boto3": "The AWS SDK"}
    with importing({**MODULES, **bedrock}, f"{INSTALL}[bedrock]"):
        import boto3
        from agent_framework_bedrock import BedrockChatClient
    stream = bool(asked.pop("stream", False))
    fields = {_BEDROCK_NAMES.get(name, name): value for name, value in asked.items()}
    own = {name: value for name, value in fields.items() if name in _BEDROCK_OWN}
    further = {name: value for name, value in fields.items() if name not in _BEDROCK_OWN}
    model: BaseChatClient[Any] = BedrockChatClient(
        model=model_id,
        boto3_session=boto3.Session(),  # without one the region is us-east-1, whatever AWS's settings say
        middleware=[_asking(own, "additionalModelRequestFields", further, stream=stream)],
    )
    return model


def _asking(own: Mapping[str, Any], rest: str, further: Mapping[str, Any], *, stream: bool) -> Any:
    """A middleware around model calls: clients have no sampling of their own, and callers choose `stream`.

    Args:
        own: options of the client.
        rest: the option that holds whatever is no option.
        further: what goes there.
        stream: how the model is asked, whatever the caller wants to get.
    """
    from agent_framework import ChatContext, ChatResponse, ResponseStream, chat_middleware

    @chat_middleware
    async def ask(context: ChatContext, call_next: Any) -> None:
        asked = {name: value for name, value in (context.options or {}).items() if value is not None}
        body = {name: value for name, value in further.items() if name not in asked}
        body.update(asked.get(rest) or {})
        context.options = {**own, **asked, **({rest: body} if body else {})}
        wanted, context.stream = context.stream, stream
        await call_next()
        context.stream = wanted
        answer = context.result
        if isinstance(answer, ResponseStream) and not wanted:
            context.result = await answer.get_final_response()
        elif isinstance(answer, ChatResponse) and wanted:
            context.result = ResponseStream(_each(answer.to_updates()), finalizer=lambda _: answer)

    return ask


async def _each(updates: Sequence[Any]) -> AsyncIterator[Any]:
    for update in updates:
        yield update
