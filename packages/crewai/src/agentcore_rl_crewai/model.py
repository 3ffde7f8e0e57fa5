"""CrewAI models that find their endpoint at each call."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agentcore_rl.exceptions import MissingDependencyError
from agentcore_rl.model_terms import ModelTerms, check_sampling, importing
from agentcore_rl.recorder.calls import MODEL_ALIAS
from agentcore_rl.recorder.wire import clients, openai_arguments
from agentcore_rl_crewai.adapter import INSTALL, MODULES

with importing(MODULES, INSTALL):
    from crewai import LLM
    from crewai.llms.providers.openai.completion import OpenAICompletion
    from crewai.utilities.exceptions.context_window_exceeding_exception import LLMContextLengthExceededError
    from openai import AsyncOpenAI, OpenAI

if TYPE_CHECKING:
    from crewai import BaseLLM

__all__ = ["LateBoundCompletion", "create_openai_compatible_model"]

# What CrewAI's model has a field for and sends as it is. The rest goes through `additional_params`:
# of its other fields `n` and `stop` are never sent, and `reasoning_effort` only for some names.
_SENT_FIELDS = {
    "frequency_penalty",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "presence_penalty",
    "seed",
    "temperature",
    "top_logprobs",
    "top_p",
}
_BEDROCK_NAMES = {"max_completion_tokens": "max_tokens"}
_BEDROCK_OWN = {"max_tokens", "stop", "stream", "temperature", "top_k", "top_p"}


class LateBoundCompletion(OpenAICompletion):
    """CrewAI's own OpenAI model on our transport, without what it does beside asking the model.

    It does not shorten prompts before the server says that they are too long, does not retry, and
    does not end the process.
    """

    def _build_sync_client(self) -> OpenAI:
        return OpenAI(**{**self._get_client_params(), "http_client": clients()[0]})

    def _build_async_client(self) -> AsyncOpenAI:
        return AsyncOpenAI(**{**self._get_client_params(), "http_client": clients()[1]})

    def is_context_window_overflowing_threshold(self, *args: Any, **kwargs: Any) -> bool:
        """Never: CrewAI takes an unknown model's window for 8,192 tokens and rewrites the history."""
        return False

    def is_tool_result_overflowing_threshold(self, tool_result: str) -> tuple[bool, int]:
        """Never: likewise, a long tool result would be replaced by a reference and a further tool."""
        return False, 0

    @classmethod
    def _wrap_call_method(cls, method_name: str) -> None:
        """Nothing: CrewAI wraps a loop of three tries around `call`, and the transport alone retries."""

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """One call of the model."""
        try:
            return _call(self, *args, **kwargs)
        except LLMContextLengthExceededError as error:
            raise _kept_from_exiting(error, kwargs.get("from_agent")) from error

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        """One call of the model."""
        try:
            return await _acall(self, *args, **kwargs)
        except LLMContextLengthExceededError as error:
            raise _kept_from_exiting(error, kwargs.get("from_agent")) from error


_call: Any = inspect.unwrap(OpenAICompletion.call)
_acall: Any = inspect.unwrap(OpenAICompletion.acall)


def _kept_from_exiting(error: Exception, agent: Any) -> Exception:
    """An error that CrewAI does not take for a reason to exit, which would end all other rollouts too."""
    if getattr(agent, "respect_context_window", True):
        return error
    return RuntimeError(
        "The prompt does not fit into the model, and this agent may not summarise it "
        "(respect_context_window=False)."
    )


def create_openai_compatible_model(
    *, agent: str = "main", provider_model_id: str | None = None, **sampling: Any
) -> BaseLLM:
    """A CrewAI model that finds its endpoint at each call.

    Make it anywhere (at import, in a function, once for all rollouts): url, key, model id and the
    request's sampling are taken from the rollout that a call belongs to, or from BASE_URL, API_KEY
    and MODEL_ID outside of one.

    Args:
        agent: label of the calls that are made through this object; with "main" it is the role of
            the agent that calls, where a collector listens.
        provider_model_id: a hosted model instead, for evaluation: an id on Bedrock, or
            `provider/model` as `crewai.LLM` takes it. Its calls do not pass our transport.
        **sampling: what the agent asks for; the endpoint's and the request's own wins. Parameters
            that the OpenAI API does not have (`top_k`, `min_p`, ...) go into the body as they are.
            `stream` (default False) is fixed here, by the request's `stream` where the model is
            made in a rollout whose request has one. `timeout` is in seconds without a byte.
            None counts as not given.

    Raises:
        MissingDependencyError: CrewAI, the OpenAI SDK or the hosted model's package is not
            installed, or the SDK is too old.
        ConfigurationError: a parameter is none of sampling, or `agent` cannot be a label.
    """
    if provider_model_id is not None:
        return _hosted(provider_model_id, check_sampling(sampling))
    terms = ModelTerms.of(agent, sampling)
    rest = {name: value for name, value in terms.params.items() if name not in _SENT_FIELDS}
    if terms.extra_body:
        rest["extra_body"] = dict(terms.extra_body)
    return LateBoundCompletion(
        model=MODEL_ALIAS,
        # Else a 404 would move it to another API for good.
        custom_openai=True,
        **openai_arguments(agent=agent, timeout_s=terms.timeout_s),
        stream=terms.stream,
        **{name: value for name, value in terms.params.items() if name in _SENT_FIELDS},
        additional_params=rest,
    )


def _hosted(model_id: str, asked: Mapping[str, Any]) -> BaseLLM:
    fields = dict(asked)
    # Ids on Bedrock have no slash, but in an ARN.
    if "/" not in model_id or model_id.startswith("arn:"):
        model_id = f"bedrock/{model_id}"
    provider = model_id.partition("/")[0]
    if provider == "bedrock":
        named = {_BEDROCK_NAMES.get(name, name): value for name, value in asked.items()}
        fields = {name: value for name, value in named.items() if name in _BEDROCK_OWN}
        if further := {name: value for name, value in named.items() if name not in _BEDROCK_OWN}:
            fields["additional_model_request_fields"] = further
    try:
        return LLM(model=model_id, **fields)
    except ImportError as error:
        raise MissingDependencyError(
            f"CrewAI's model of {provider} needs a package that is not installed here ({error}). "
            f'Install it with: pip install "crewai[{provider}]"'
        ) from None
