"""The forms in which what a client sends back is compared with what it was served."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from agentcore_rl.messages import canonical

__all__ = ["Served", "form_of", "minted_ids", "served_form", "tools_form"]

_REASONING = ("reasoning_content", "reasoning", "thinking")


def _hash(value: Any) -> bytes:
    try:
        content = msgspec.json.encode(value, order="deterministic")
    except (UnicodeEncodeError, RecursionError):
        content = repr(value).encode(errors="surrogatepass")
    return hashlib.blake2b(content, digest_size=16).digest()


def form_of(message: Mapping[str, Any]) -> bytes:
    """16 bytes that are equal for messages that say the same; ids of tool calls are no part of an answer."""
    form = canonical(message)
    if message.get("role") == "assistant":
        form = _visible(form)
    return _hash(form)


def tools_form(tools: Sequence[Mapping[str, Any]]) -> bytes:
    """Of a list of tools, order of tools and keys included: they are in the prompt as they come."""
    return _hash_ordered(list(tools)) if tools else b""


def _hash_ordered(value: Any) -> bytes:
    return hashlib.blake2b(msgspec.json.encode(value), digest_size=16).digest()


def _visible(form: dict[str, Any]) -> dict[str, Any]:
    content = form.get("content")
    if isinstance(content, str):
        # Frameworks trim what an answer begins or ends with.
        form["content"] = content.strip()
    calls = form.get("tool_calls")
    if isinstance(calls, list):
        form["tool_calls"] = [
            {key: value for key, value in call.items() if key != "id"} if isinstance(call, dict) else call
            for call in calls
        ]
    return {key: value for key, value in form.items() if value not in ("", None)}


def minted_ids(message: Mapping[str, Any]) -> list[str]:
    """Ids of ours that an assistant message may carry: of its tool calls, and of the answer."""
    calls = message.get("tool_calls")
    found = [call.get("id") for call in calls if isinstance(call, Mapping)] if isinstance(calls, list) else []
    return [one for one in [*found, message.get("id")] if isinstance(one, str) and one]


@dataclass(frozen=True, slots=True)
class Served:
    """What an answer said, as far as a later message is compared with it.

    Attributes:
        whole: form of text and calls.
        calls: form of the calls alone; None without calls or without text beside them.
        text: form of the text as it was served, blanks included.
        arguments: form of the arguments' JSON texts as they were sampled.
        reasoning: form of the thoughts; None without any.
    """

    whole: bytes
    calls: bytes | None
    text: bytes
    arguments: bytes
    reasoning: bytes | None

    def agrees(self, message: Mapping[str, Any]) -> bool:
        """Whether the message says what was served; what it leaves out is no edit, what it changes is."""
        told = _reasoning(message)
        if told is not None and told != self.reasoning:
            return False
        form = form_of(message)
        return form == self.whole or (self.calls is not None and form == self.calls)

    def restored(self, message: Mapping[str, Any]) -> list[str]:
        """What the ids have and an agreeing message lacks or spells otherwise."""
        lacks = []
        if self.reasoning is not None and _reasoning(message) is None:
            lacks.append("reasoning")
        if self.calls is not None and form_of(message) == self.calls:
            lacks.append("text_beside_calls")
        elif _hash(canonical(message).get("content") or "") != self.text:
            lacks.append("blanks")
        if _hash(_arguments(message)) != self.arguments:
            lacks.append("arguments")
        return lacks


def served_form(message: Mapping[str, Any]) -> Served:
    """Of an answer's message as the client gets it."""
    calls = None
    if message.get("tool_calls") and canonical(message).get("content"):
        calls = form_of({**message, "content": None})
    return Served(
        form_of(message),
        calls,
        _hash(canonical(message).get("content") or ""),
        _hash(_arguments(message)),
        _reasoning(message),
    )


def _reasoning(message: Mapping[str, Any]) -> bytes | None:
    for key in _REASONING:
        value = message.get(key)
        if isinstance(value, str) and value.strip():
            return _hash(value.strip())
    return None


def _arguments(message: Mapping[str, Any]) -> list[Any]:
    calls = message.get("tool_calls")
    found = []
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, Mapping) else None
        found.append(function.get("arguments") if isinstance(function, Mapping) else None)
    return found
