"""OpenAI chat messages from LangChain's messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from agentcore_rl.messages import Message

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage, BaseMessage

__all__ = ["to_openai_messages"]

_REASONING = {"reasoning", "reasoning_content", "thinking"}
# Calls stand beside the content as well, encrypted reasoning and cache marks are no text.
_CALLS = {"invalid_tool_call", "tool_call", "tool_call_chunk", "tool_use"}
_LEFT_OUT = {"cachePoint", "redacted_thinking", *_CALLS}


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
    """
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
