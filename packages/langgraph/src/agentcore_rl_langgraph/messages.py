"""OpenAI chat messages from LangChain's messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agentcore_rl.messages import Message
from agentcore_rl.model_terms import importing
from agentcore_rl.recorder.call import CONVERSE_FINISH_REASONS
from agentcore_rl.recorder.recorder import Native
from agentcore_rl.rollout import Usage
from agentcore_rl_langgraph.adapter import FRAMEWORK, INSTALL

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage, BaseMessage

__all__ = ["finish_reason", "native_call", "to_openai_messages", "unparsed_answer", "usage"]

_REASONING = {"reasoning", "reasoning_content", "thinking"}
# Calls stand beside the content as well, encrypted reasoning and cache marks are no text.
_CALLS = {"invalid_tool_call", "tool_call", "tool_call_chunk", "tool_use"}
_LEFT_OUT = {"cachePoint", "redacted_thinking", *_CALLS}
_NOT_SAMPLING = {"_type", "messages", "model", "model_id", "model_name", "tools"}


def to_openai_messages(native: Any) -> list[Message]:
    """OpenAI chat messages from what LangChain has.

    LangChain's own conversion, with what it leaves out: tool calls whose arguments are no JSON
    follow the others, as they do in the next prompt, and reasoning becomes `reasoning_content`.
    Cache points and encrypted reasoning are left out: they are no text.

    Args:
        native: a graph's state (its `messages`), a list of messages, or one message; a message is
            one of LangChain's, or what LangChain takes for one (a tuple of role and text, a dict).

    Raises:
        TypeError: a message or a content block is of an unknown type, or of one that OpenAI
            messages cannot carry.
        MissingDependencyError: LangChain is not installed.
    """
    with importing(FRAMEWORK, INSTALL):
        from langchain_core.messages import BaseMessage

    if isinstance(native, Mapping) and "messages" in native:
        native = native["messages"]
    if isinstance(native, BaseMessage):
        return _messages(native)
    if isinstance(native, Mapping):
        return _messages(_read(native))
    if isinstance(native, Iterable) and not isinstance(native, str | bytes):
        return [converted for message in native for converted in _messages(_read(message))]
    raise TypeError(f"LangChain's messages are a state, a list or one message, not {type(native).__name__}.")


def _read(message: Any) -> BaseMessage:
    from langchain_core.messages import BaseMessage, convert_to_messages

    if isinstance(message, BaseMessage):
        return message
    try:
        [converted] = convert_to_messages([message])
    except (KeyError, NotImplementedError, TypeError, ValueError) as error:
        raise TypeError(f"Not a message of LangChain: {message!r:.200} ({error!s:.200})") from None
    return converted


def _messages(message: BaseMessage) -> list[Message]:
    from langchain_core.messages import AIMessage, convert_to_openai_messages

    content, reasoning = _without_reasoning(message)
    try:
        converted = convert_to_openai_messages(
            [message.model_copy(update={"content": content})],
            text_format="block",
            pass_through_unknown_blocks=False,
        )
    except (KeyError, ValueError) as error:
        raise TypeError(f"No OpenAI message can carry this one: {error!s:.300}") from None
    for one in converted:
        one["content"] = _plain(one.get("content"))
        if one["role"] == "tool":
            one.pop("name", None)  # LangChain's note of the tool; the API has no place for it
    if isinstance(message, AIMessage):
        _complete(converted[-1], message, reasoning)
    return converted


def _without_reasoning(message: BaseMessage) -> tuple[str | list[Any], list[str]]:
    if isinstance(message.content, str):
        return message.content, []
    kept: list[Any] = []
    reasoning: list[str] = []
    for block in message.content:
        kind = "text" if isinstance(block, str) else block.get("type") or next(iter(block), None)
        if kind in _REASONING and isinstance(block, Mapping):
            reasoning.append(_reasoning(block))
        elif kind not in _LEFT_OUT:
            kept.append(block)
    return kept, reasoning


def _reasoning(block: Mapping[str, Any]) -> str:
    """The text: as LangChain, Anthropic, Bedrock or OpenAI's Responses API have it."""
    for name in ("reasoning", "thinking", "reasoning_content"):
        value = block.get(name)
        if isinstance(value, Mapping):
            value = value.get("text")
        if isinstance(value, str):
            return value
    return "".join(str(part.get("text", "")) for part in block.get("summary") or ())


def _complete(said: Message, message: AIMessage, reasoning: list[str]) -> None:
    """An assistant's message with the calls and the reasoning that LangChain keeps elsewhere."""
    legacy = message.additional_kwargs.get("function_call")
    calls = [*said.get("tool_calls", ()), *map(_broken_call, message.invalid_tool_calls)]
    if calls:
        said["tool_calls"] = calls
    elif legacy:
        said["function_call"] = legacy
    if not said["content"] and (calls or legacy):
        said["content"] = None
    text = "".join(reasoning) or message.additional_kwargs.get("reasoning_content")
    if text:
        said["reasoning_content"] = text


def _broken_call(call: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "function",
        "id": call["id"],
        "function": {"name": call["name"], "arguments": call["args"]},
    }


def _plain(content: Any) -> Any:
    """A list of texts as one text."""
    if not isinstance(content, list):
        return content or ""
    if all(part["type"] == "text" for part in content):
        return "".join(part["text"] for part in content)
    return content


def native_call(messages: Sequence[Any], invocation: Mapping[str, Any]) -> Native:
    """A model call as callbacks have it, for models that cannot carry our transport.

    Args:
        messages: the prompt.
        invocation: LangChain's `invocation_params`: sampling, the model's id, its tools.

    Raises:
        TypeError, ValueError: a message or a tool has no form in the OpenAI API.
    """
    from langchain_core.utils.function_calling import convert_to_openai_tool

    return Native(
        messages=to_openai_messages(messages),
        tools=[convert_to_openai_tool(tool) for tool in invocation.get("tools") or ()],
        model=invocation.get("model") or invocation.get("model_id"),
        sampling={
            name: value
            for name, value in invocation.items()
            if name not in _NOT_SAMPLING and value is not None
        },
    )


def finish_reason(message: Any) -> str | None:
    """Why an answer ended, in OpenAI's words where they are known."""
    metadata = getattr(message, "response_metadata", {})
    reason = metadata.get("finish_reason") or metadata.get("stopReason") or metadata.get("stop_reason")
    return None if reason is None else CONVERSE_FINISH_REASONS.get(reason, str(reason))


def usage(message: Any) -> Usage | None:
    """Token counts of an answer; None where LangChain has none."""
    counted = getattr(message, "usage_metadata", None)
    return None if counted is None else Usage(counted.get("input_tokens"), counted.get("output_tokens"))


def unparsed_answer(message: Any) -> Message | None:
    """The answer in the body that LangChain attaches to an error, under a message that it makes up."""
    body = getattr(message, "response_metadata", {}).get("body")
    choices = body.get("choices") if isinstance(body, Mapping) else None
    return choices[0].get("message") if choices else None
