"""OpenAI chat messages from the Agent Framework's messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from agentcore_rl.messages import Message
from agentcore_rl.model_terms import importing
from agentcore_rl_agent_framework.adapter import INSTALL, MODULES

if TYPE_CHECKING:
    from agent_framework import Content

__all__ = ["to_openai_messages"]

# Tokens that were counted, and questions to a person: the framework does not send them either.
_LEFT_OUT = {"function_approval_request", "function_approval_response", "usage"}


def to_openai_messages(native: Any) -> list[Message]:
    """OpenAI chat messages from what the Agent Framework has.

    Reasoning becomes `reasoning_content`; encrypted reasoning, usage and approvals are left out.

    Args:
        native: a response of an agent or a chat client (its `messages`), a list of messages, or one.

    Raises:
        TypeError: a message or a content is of an unknown type, or of one that OpenAI messages cannot
            carry (hosted tools and files, video, audio other than wav and mp3).
    """
    with importing(MODULES, INSTALL):
        from agent_framework import AgentResponse, ChatResponse
        from agent_framework import Message as FrameworkMessage

    if isinstance(native, AgentResponse | ChatResponse):
        native = native.messages
    if isinstance(native, FrameworkMessage):
        return _message(native.role, native.contents)
    if not isinstance(native, Iterable) or isinstance(native, str | bytes | Mapping):
        raise TypeError(f"Messages are a response, a list or one message, not {type(native).__name__}.")
    messages: list[Message] = []
    for one in native:
        if not isinstance(one, FrameworkMessage):
            raise TypeError(f"Not a message of the Agent Framework: {one!r:.200}")
        messages.extend(_message(one.role, one.contents))
    return messages


def _message(role: str, contents: Iterable[Content]) -> list[Message]:
    if role not in ("system", "developer", "user", "assistant", "tool"):
        raise TypeError(f"OpenAI messages have no role {role!r}.")
    parts: list[dict[str, Any]] = []
    reasoning: list[str] = []
    calls: list[dict[str, Any]] = []
    results: list[Message] = []
    for content in contents:
        if content.type == "function_call":
            calls.append(_tool_call(content))
        elif content.type == "function_result":
            results.append(_tool_result(content))
        elif content.type == "text_reasoning":
            reasoning.append(content.text or "")
        elif content.type not in _LEFT_OUT:
            parts.append(_part(content))
    if role == "tool":
        if parts or calls:
            raise TypeError("A tool message carries results of tools, and nothing else.")
        return results
    said: Message = {"role": role, "content": _content(parts) if parts else None if calls else ""}
    if any(reasoning):
        said["reasoning_content"] = "".join(reasoning)
    if calls:
        said["tool_calls"] = calls
    # A streamed run may keep results in the message that has the calls.
    silent = bool(results) and not parts and not calls and not any(reasoning)
    return [*([] if silent else [said]), *results]


def _content(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)  # as the framework joins them
    return parts


def _tool_call(content: Content) -> dict[str, Any]:
    arguments = content.arguments
    if isinstance(arguments, Mapping):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return {
        "id": content.call_id,
        "type": "function",
        "function": {"name": content.name, "arguments": arguments or ""},
    }


def _tool_result(content: Content) -> Message:
    items = content.items
    if items is None:
        text = "" if content.result is None else str(content.result)
    elif odd := [item.type for item in items if item.type != "text"]:
        raise TypeError(f"OpenAI tool messages carry text, not a tool result's {odd[0]}.")
    else:
        text = "\n".join(item.text or "" for item in items)
    return {"role": "tool", "tool_call_id": content.call_id, "content": text}


def _part(content: Content) -> dict[str, Any]:
    """One part of a message's content."""
    if content.type == "text":
        return {"type": "text", "text": content.text or ""}
    kind = (content.media_type or "").partition("/")[0] if content.type in ("data", "uri") else None
    uri = content.uri or ""
    if kind == "image":
        return {"type": "image_url", "image_url": {"url": uri}}
    if uri.startswith("data:"):
        if kind == "application":
            named = {"filename": content.name} if content.name else {}
            return {"type": "file", "file": {"file_data": uri, **named}}
        form = {"audio/wav": "wav", "audio/mp3": "mp3", "audio/mpeg": "mp3"}.get(content.media_type or "")
        if form is not None:
            return {
                "type": "input_audio",
                "input_audio": {"data": uri.partition(",")[2], "format": form},
            }
    what = content.media_type or content.type
    raise TypeError(f"OpenAI messages cannot carry this content of the Agent Framework: {what}.")
