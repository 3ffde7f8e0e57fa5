"""Tool calls as the model writes them: JSON between `<tool_call>` tags (the Hermes form).

llama.cpp could read them too, but it then samples the rest of a call under a grammar made of the tools: a
call would be well-formed whatever the model had learnt, and its tokens would not be the policy's own. So the
model samples freely and what it wrote is read here.
"""

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

__all__ = ["read_calls", "write_calls"]

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_NAME = re.compile(r'\s*\{\s*"name"\s*:\s*')
_ARGUMENTS = re.compile(r'\s*,\s*"arguments"\s*:\s*')
_END = re.compile(r"\s*\}\s*")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def read_calls(text: str) -> tuple[str | None, list[dict[str, Any]]]:
    """Splits a sampled answer into content and tool calls.

    Args:
        text: What the model wrote, without its end token.

    Returns:
        The text before the first call (None when there is none), and the calls as OpenAI writes them, with
        ids of ours; `arguments` is cut from the text unchanged. If any call cannot be read, the whole text
        is content and there are no calls.
    """
    before, opened, rest = text.partition(_OPEN)
    if not opened:
        return text, []
    calls = []
    while opened:
        inside, closed, after = rest.partition(_CLOSE)
        call = _call(inside) if closed else None
        if call is None:
            return text, []
        calls.append(call)
        gap, opened, rest = after.partition(_OPEN)
        if gap.strip():
            return text, []  # words behind a call would be lost
    return before.rstrip() or None, calls


def _call(inside: str) -> dict[str, Any] | None:
    try:
        start = _matched(_NAME, inside, 0)
        name, end = _DECODER.raw_decode(inside, start)
        start = _matched(_ARGUMENTS, inside, end)
        arguments, end = _DECODER.raw_decode(inside, start)
    except (ValueError, RecursionError):
        return None
    if not isinstance(name, str) or not isinstance(arguments, dict) or not _END.fullmatch(inside, end):
        return None
    function = {"name": name, "arguments": inside[start:end]}
    return {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function}


def _matched(pattern: re.Pattern[str], text: str, start: int) -> int:
    found = pattern.match(text, start)
    if found is None:
        raise ValueError("not a call")
    return found.end()


def write_calls(message: Mapping[str, Any]) -> str:
    """An assistant message of a request as the model would have written it, arguments unchanged."""
    parts = [_text(message.get("content"))]
    for call in message.get("tool_calls") or ():
        function = call["function"]
        arguments = function.get("arguments") or "{}"
        written = arguments if isinstance(arguments, str) else json.dumps(arguments)
        parts.append(f'{_OPEN}\n{{"name": {json.dumps(function["name"])}, "arguments": {written}}}\n{_CLOSE}')
    return "\n".join(part for part in parts if part)


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content)
    return str(content or "")
