"""OpenAI chat messages from AutoGen's messages.

AutoGen has two kinds: those of its model clients (a prompt and its answer) and those that agents
and teams exchange and show (`TaskResult.messages`). Which speaker of the second kind is the user
is told by the source alone: it is named "user".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from agentcore_rl.messages import Message
from agentcore_rl.model_terms import importing
from agentcore_rl_autogen.adapter import INSTALL, MODULES

__all__ = ["to_openai_messages"]

_NOTICES = (
    "MemoryQueryEvent",
    "ModelClientStreamingChunkEvent",
    "SelectSpeakerEvent",
    "SelectorEvent",
    "UserInputRequestedEvent",
)
"""What is said beside a conversation, or once more as a message of it."""


def to_openai_messages(native: Any) -> list[Message]:
    """OpenAI chat messages from what AutoGen has.

    A thought is an assistant message's text where it stands beside tool calls, as in AutoGen's own
    prompts, and `reasoning_content` where it stands beside text. Names of speakers are left out,
    and so is what is no part of a conversation: chunks, requests for input, choices of a speaker,
    memory that was looked up.

    Args:
        native: a `TaskResult`, a `Response`, a model client's `CreateResult`, a list of messages of
            either kind, or one message.

    Raises:
        TypeError: a message is of an unknown type.
    """
    with importing(MODULES, INSTALL):
        from autogen_agentchat.base import Response, TaskResult
        from pydantic import BaseModel
    if isinstance(native, TaskResult):
        return list(_converted(native.messages))
    if isinstance(native, Response):
        return list(_converted([*(native.inner_messages or []), native.chat_message]))
    # Each message is a pydantic model, and those can be iterated over too.
    several = isinstance(native, Iterable) and not isinstance(native, BaseModel | str | bytes)
    return list(_converted(native if several else [native]))


def _converted(messages: Iterable[Any]) -> Iterator[Message]:
    thought: str | None = None  # told ahead of the message that it belongs to
    for message in messages:
        if type(message).__name__ == "ThoughtEvent":
            thought = message.content
            continue
        for converted in _message(message, thought):
            yield converted
            thought = None
    if thought is not None:
        yield _said("", thought)


def _message(native: Any, thought: str | None) -> list[Message]:
    from autogen_agentchat import messages as chat
    from autogen_core import models

    match native:
        case models.SystemMessage():
            return [{"role": "system", "content": native.content}]
        case models.UserMessage():
            return [{"role": "user", "content": _content(native.content)}]
        case models.AssistantMessage() | models.CreateResult():
            return [_said(native.content, native.thought)]
        case models.FunctionExecutionResultMessage() | chat.ToolCallExecutionEvent():
            return [_tool_answer(answered) for answered in native.content]
        case chat.ToolCallRequestEvent():
            return [_said(native.content, thought)]
        case chat.CodeGenerationEvent():
            return [_said(native.content, thought)]
        case chat.CodeExecutionEvent():
            return [{"role": "user", "content": native.result.output}]
        case chat.BaseChatMessage():
            # Also types of a user's own: AutoGen itself asks them for this.
            content = _content(native.to_model_message().content)
            if native.source == "user":
                return [{"role": "user", "content": content}]
            return [_said(content, thought)]
        case chat.BaseAgentEvent() if type(native).__name__ in _NOTICES:
            return []
    raise TypeError(f"Unknown type of message in AutoGen: {type(native).__name__}")


def _said(content: Any, thought: str | None) -> Message:
    """An assistant message; `content` is text, parts or AutoGen's function calls."""
    if isinstance(content, list) and not (content and isinstance(content[0], dict)):
        return {"role": "assistant", "content": thought, "tool_calls": [_tool_call(call) for call in content]}
    said: Message = {"role": "assistant", "content": content}
    if thought:
        said["reasoning_content"] = thought
    return said


def _content(content: str | Sequence[Any]) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    return [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image_url", "image_url": {"url": part.data_uri}}
        for part in content
    ]


def _tool_call(call: Any) -> dict[str, Any]:
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }


def _tool_answer(answered: Any) -> Message:
    return {"role": "tool", "tool_call_id": answered.call_id, "content": answered.content}
