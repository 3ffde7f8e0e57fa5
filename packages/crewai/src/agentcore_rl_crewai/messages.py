"""OpenAI chat messages from CrewAI's messages.

CrewAI keeps a conversation as OpenAI messages with keys of its own, whatever the model. Its
callbacks, though, hold what lies five levels deep as the text that Python would print.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from agentcore_rl.messages import Message, canonical
from agentcore_rl.recorder.call import CONVERSE_FINISH_REASONS
from agentcore_rl.recorder.recorder import Native
from agentcore_rl.rollout import Usage

__all__ = [
    "answer_message",
    "finish_reason",
    "native_call",
    "same_as_told",
    "to_openai_messages",
    "usage",
]

_ROLES = ("system", "user", "assistant", "tool")
_SENT = ("role", "content", "name", "tool_calls", "tool_call_id")
# Marks of caches and Gemini's own form of the calls: no text, or text that stands there already.
_LEFT_OUT = {"cache_breakpoint", "raw_tool_call_parts"}
_DEPTH = 5
_SAMPLING = (
    "frequency_penalty",
    "max_tokens",
    "n",
    "presence_penalty",
    "seed",
    "stream",
    "temperature",
    "top_p",
)


def to_openai_messages(native: Any) -> list[Message]:
    """OpenAI chat messages from what CrewAI has.

    Args:
        native: an agent or an executor (the messages of its last run), the output of an agent or a
            task, a list of messages, one message, or a prompt (a string).

    Raises:
        TypeError: a message or a tool call is of an unknown type, or holds files, which CrewAI puts
            into a form of the model's own when it sends them.
    """
    if isinstance(native, str):
        return [{"role": "user", "content": native}]
    if isinstance(native, Mapping):
        return [_message(native)]
    for name in ("last_messages", "messages"):
        messages = getattr(native, name, None)
        if isinstance(messages, list):
            return to_openai_messages(messages)
    if isinstance(native, Iterable) and not isinstance(native, bytes):
        return [_message(message) for message in native]
    raise TypeError(
        "CrewAI's messages are those of an agent or an output, a list, one message or a string, not "
        f"{type(native).__name__}."
    )


def _message(message: Any) -> Message:
    role = message.get("role") if isinstance(message, Mapping) else None
    content = message.get("content") if isinstance(message, Mapping) else None
    if role not in _ROLES or not (content is None or isinstance(content, str | list)):
        raise TypeError(f"Not a message of CrewAI (role {', '.join(_ROLES)}, text): {message!r:.200}")
    filled = {name for name, value in message.items() if value is not None}
    if unknown := filled - {*_SENT, *_LEFT_OUT}:
        raise TypeError(f"OpenAI messages have no {', '.join(sorted(unknown))}: {message!r:.200}")
    said: Message = {name: message.get(name) for name in _SENT if name in filled or name == "content"}
    if "tool_calls" in said:
        said["tool_calls"] = [_tool_call(call) for call in said["tool_calls"]]
    return said


def answer_message(response: Any) -> Message:
    """The answer that a completed call of CrewAI tells of: its text, or else its tool calls.

    Raises:
        TypeError: it is neither.
    """
    response = _whole(response)
    if response is None or isinstance(response, str):
        return {"role": "assistant", "content": response}
    if isinstance(response, list) and response:
        return {
            "role": "assistant",
            "content": None,
            "tool_calls": [_tool_call(call) for call in response],
        }
    if isinstance(response, Mapping):  # an answer that was to have a form, and has been read
        return {"role": "assistant", "content": json.dumps(response, ensure_ascii=False)}
    raise TypeError(f"Not an answer of CrewAI: {response!r:.200}")


def _tool_call(call: Any) -> dict[str, Any]:
    """A tool call in OpenAI's form, from that form, Bedrock's or Anthropic's, or Gemini's."""
    function = _of(call, "function") or _of(call, "function_call") or call
    name = _of(function, "name")
    arguments = next(
        (value for key in ("arguments", "args", "input") if (value := _of(function, key)) is not None),
        None,
    )
    call_id = next((found for key in ("call_id", "id", "toolUseId") if (found := _of(call, key))), "")
    if not isinstance(name, str) or arguments is None:
        raise TypeError(f"Unknown type of tool call in CrewAI: {call!r:.200}")
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments)  # spelled as CrewAI does for the next prompt
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _of(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)


def same_as_told(said: Mapping[str, Any], heard: Mapping[str, Any]) -> bool:
    """Whether an answer on the wire is the one that CrewAI tells of.

    CrewAI tells of no text beside tool calls, and of an answer that was to have a form as it wrote
    that form itself.
    """
    if heard.get("tool_calls"):
        return canonical({**said, "content": None}) == canonical(heard)
    try:
        return bool(json.loads(said["content"]) == json.loads(heard["content"]))
    except (KeyError, TypeError, ValueError):
        return False


def native_call(event: Any) -> Callable[[], Native]:
    """The call that a started call of CrewAI tells of, put together when it is asked for."""

    def call() -> Native:
        tools = _whole(event.tools or [])
        return Native(
            messages=to_openai_messages(_whole(event.messages or [])),
            tools=[tool for tool in tools if isinstance(tool, Mapping)],
            model=event.model,
            sampling={name: value for name in _SAMPLING if (value := getattr(event, name)) is not None},
        )

    return call


def _whole(value: Any, depth: int = 0) -> Any:
    """What CrewAI had before it wrote the parts that lie deep as Python prints them."""
    if depth == _DEPTH:
        try:
            return ast.literal_eval(value) if isinstance(value, str) else value
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return value
    if isinstance(value, Mapping):
        return {name: _whole(part, depth + 1) for name, part in value.items()}
    return [_whole(part, depth + 1) for part in value] if isinstance(value, list) else value


def usage(told: Mapping[str, Any] | None) -> Usage | None:
    """The token counts that a completed call tells of; None without."""
    for prompt, answer in (("prompt_tokens", "completion_tokens"), ("inputTokens", "outputTokens")):
        if told and answer in told:
            return Usage(told.get(prompt), told[answer])
    return None


def finish_reason(told: str | None) -> str | None:
    """The finish reason that a completed call tells of, in OpenAI's words."""
    return CONVERSE_FINISH_REASONS.get(told, told) if told else None
