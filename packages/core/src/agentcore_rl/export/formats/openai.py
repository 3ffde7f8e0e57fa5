"""OpenAI fine-tuning: chat conversations as JSON lines (the API's "supervised fine-tuning" with tools).

Documented limits that are checked: roles and their fields, at least one assistant message that trains, the
last message is the assistant's, every tool call is answered, at most 128 tools with names of at most 64
characters of [a-zA-Z0-9_-], at least 10 examples, files of at most 512 MB. Limits that depend on the model
(tokens of an example) are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from agentcore_rl.export.conversations import Conversation, message_texts
from agentcore_rl.export.formats.unfit import Unfit

__all__ = ["example", "notes"]

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOOLS, _EXAMPLES, _BYTES = 128, 10, 512_000_000


def example(conversation: Conversation) -> Iterator[dict[str, Any]]:
    """`messages`, and where tools were offered `tools` and `parallel_tool_calls`.

    `weight` is 0 for assistant messages that must not train here: what the prompt brought along, what trains
    in another branch, what was cut.
    """
    if not conversation.trained:
        raise Unfit("answer_trains_elsewhere")
    messages = [_message(one, at in conversation.trained) for at, one in enumerate(conversation.messages)]
    _check_calls(messages)
    line: dict[str, Any] = {"messages": messages}
    if conversation.tools:
        line["tools"] = [_tool(tool) for tool in conversation.tools]
        if len(line["tools"]) > _TOOLS:
            raise Unfit("more_than_128_tools")
        parallel = conversation.sampling.get("parallel_tool_calls")
        line["parallel_tool_calls"] = parallel if isinstance(parallel, bool) else True
    yield line


def notes(entries: int, size: int) -> list[str]:
    """What the API will refuse of the file as a whole."""
    found = []
    if entries < _EXAMPLES:
        found.append(f"OpenAI wants at least {_EXAMPLES} examples, and these are {entries}.")
    if size > _BYTES:
        found.append(f"OpenAI takes files of at most 512 MB, and this one has {size / 1e6:.0f}: split it.")
    return found


def _message(message: Mapping[str, Any], trains: bool) -> dict[str, Any]:
    role = message.get("role")
    if role not in _ROLES:
        raise Unfit("unknown_role")
    made: dict[str, Any] = {"role": role}
    content = message.get("content")
    if role == "assistant":
        calls = message.get("tool_calls")
        text = message_texts(message)
        if calls:
            made["tool_calls"] = calls
        if isinstance(message.get("refusal"), str) and not text:
            made["refusal"] = message["refusal"]
        elif text or not calls:
            made["content"] = text
        if not trains:
            made["weight"] = 0
        elif not text and not calls and "refusal" not in made:
            raise Unfit("empty_answer")
    elif role == "tool":
        made |= {"tool_call_id": str(message.get("tool_call_id") or ""), "content": message_texts(message)}
    else:
        made["content"] = content if isinstance(content, list) and role == "user" else message_texts(message)
    name = message.get("name")
    if isinstance(name, str) and role != "tool" and _NAME.fullmatch(name):
        made["name"] = name
    return made


def _check_calls(messages: list[dict[str, Any]]) -> None:
    """Every tool call but those of the last message is answered, right behind it."""
    open_calls: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                raise Unfit("tool_result_without_call")
            open_calls.discard(message["tool_call_id"])
            continue
        if open_calls:
            raise Unfit("tool_call_without_result")
        for call in message.get("tool_calls", ()):
            if not call["id"] or not _NAME.fullmatch(call["function"]["name"]):
                raise Unfit("tool_call_without_id_or_name")
            open_calls.add(call["id"])


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = tool.get("function")
    name = function.get("name") if isinstance(function, Mapping) else None
    if tool.get("type") != "function" or not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Unfit("tool_that_is_no_function")
    assert isinstance(function, Mapping)
    kept = ("name", "description", "parameters", "strict")
    return {
        "type": "function",
        "function": {key: function[key] for key in kept if function.get(key) is not None},
    }
