"""Messages as chat templates take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from agentcore_rl_gateway.rendering.chatml import function_of, text_of
from agentcore_rl_gateway.rendering.renderer import Message, Unrenderable

__all__ = ["for_template", "with_tool_names"]

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})


def with_tool_names(messages: Sequence[Message]) -> list[Message]:
    """Tool results with the name of the tool, which some templates write, taken from the call's id."""
    names: dict[str, str] = {}
    named: list[Message] = []
    for message in messages:
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            function = call.get("function") if isinstance(call, Mapping) else None
            if isinstance(function, Mapping) and isinstance(call.get("id"), str):
                names[call["id"]] = str(function.get("name"))
        name = names.get(str(message.get("tool_call_id"))) if message.get("role") == "tool" else None
        named.append(message if name is None or message.get("name") else {**message, "name": name})
    return named


def for_template(messages: Sequence[Message], *, developer: bool = False) -> list[dict[str, Any]]:
    """Plain messages with text as one string and arguments as objects where they are objects.

    Args:
        messages: of a client.
        developer: the template knows that role; else it becomes "system".

    Raises:
        Unrenderable: a role or a part that no template of text has a form for.
    """
    made = []
    for message in messages:
        role = message.get("role")
        if role not in _ROLES:
            raise Unrenderable(
                f"A message has the role {role!r}, which the model's template has no form for: use system, "
                "user, assistant or tool."
            )
        plain: dict[str, Any] = {**message, "content": text_of(message)}
        if role == "developer" and not developer:
            plain["role"] = "system"
        reasoning = message.get("reasoning_content") or message.get("reasoning")
        if role == "assistant" and isinstance(reasoning, str) and reasoning:
            plain["reasoning_content"] = reasoning
        if isinstance(message.get("tool_calls"), list):
            plain["tool_calls"] = [_call(call) for call in message["tool_calls"]]
        else:
            plain.pop("tool_calls", None)
        made.append(plain)
    return made


def _call(call: Any) -> dict[str, Any]:
    function = function_of(call)
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            value = msgspec.json.decode(arguments) if arguments.strip() else {}
        except (ValueError, RecursionError):
            value = arguments
        arguments = value if isinstance(value, dict) else arguments
    return {**call, "type": "function", "function": {**function, "arguments": arguments}}
