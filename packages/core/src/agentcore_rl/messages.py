"""OpenAI chat messages: what they may hold, and the form in which two of them are compared.

A message is a plain dict, as in the chat completions API. Records keep it as it was on the wire;
only comparisons use the canonical form, which forgets what frameworks change without meaning to.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from agentcore_rl.exceptions import InvalidRequest

__all__ = [
    "Message",
    "canonical",
    "check_messages",
    "fingerprint",
    "has_broken_arguments",
    "loose_fingerprint",
    "without_text_beside_calls",
]

Message = dict[str, Any]
"""One OpenAI chat message."""

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_COMPARED = ("role", "content", "tool_calls", "tool_call_id", "function_call", "refusal")


def check_messages(messages: Any, *, where: str = "messages") -> None:
    """Check that this is a list of chat messages.

    Raises:
        InvalidRequest: it is not; the message says where.
    """
    if not isinstance(messages, Sequence) or isinstance(messages, str | bytes):
        raise InvalidRequest(f"{where} must be a list of chat messages.")
    for index, message in enumerate(messages):
        spot = f"{where}[{index}]"
        if not isinstance(message, Mapping):
            raise InvalidRequest(f"{spot} must be an object.")
        if message.get("role") not in ROLES:
            raise InvalidRequest(f"{spot}.role must be one of {', '.join(ROLES)}.")
        content = message.get("content")
        if content is not None and not isinstance(content, str | list):
            raise InvalidRequest(f"{spot}.content must be a string, a list of parts or null.")


def canonical(message: Mapping[str, Any]) -> Message:
    """The form in which messages are compared.

    Rules: key order does not matter; a list of text parts is the string that they spell; absent,
    null and empty content are the same; `name`, reasoning and what the API does not define for a
    message are dropped; argument JSON that parses is compared by value.
    """
    form: Message = {}
    for key in _COMPARED:
        value = message.get(key)
        if key == "content":
            value = _content(value)
        elif key == "tool_calls" and isinstance(value, list):
            value = [_call(call) for call in value] or None
        if value is not None and value != "":
            form[key] = value
    return form


def fingerprint(raw: bytes | msgspec.Raw) -> bytes:
    """16 bytes that are equal for messages of equal canonical form.

    Args:
        raw: the message as JSON; what is no JSON object is compared byte by byte.
    """
    try:
        message = msgspec.json.decode(raw)
        form = canonical(message) if isinstance(message, dict) else message
        text = _text(form)
    except (ValueError, RecursionError):  # no JSON, no UTF-8, or nested too deeply to look into
        text = bytes(raw)
    return hashlib.blake2b(text, digest_size=16).digest()


def _text(form: Any) -> bytes:
    try:
        return msgspec.json.encode(form, order="deterministic")
    except UnicodeEncodeError:  # arguments that spell half of a surrogate pair
        return json.dumps(form, sort_keys=True).encode()


def loose_fingerprint(raw: bytes | msgspec.Raw) -> bytes:
    """Like `fingerprint`, but neither arguments nor the order of tool calls are compared."""
    try:
        message = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return fingerprint(raw)
    if not isinstance(message, dict) or not isinstance(message.get("tool_calls"), list):
        return fingerprint(raw)
    form = canonical(message)
    calls = [
        {**call, "arguments": None} if isinstance(call, dict) else call for call in form.get("tool_calls", ())
    ]
    # Some frameworks move a broken call behind the others.
    form["tool_calls"] = sorted(calls, key=repr)
    return hashlib.blake2b(_text(form), digest_size=16).digest()


def without_text_beside_calls(raw: bytes | msgspec.Raw) -> bytes | None:
    """This message with its tool calls alone; None where it has no text beside tool calls.

    Some frameworks send it back like this.
    """
    try:
        message = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
    if not isinstance(message, dict) or not message.get("tool_calls") or not message.get("content"):
        return None
    return msgspec.json.encode({**message, "content": None})


def has_broken_arguments(raw: bytes | msgspec.Raw) -> bool:
    """Whether a tool call of this message has arguments that are not JSON.

    No framework can send such arguments back as they were sampled: what they put in their place
    is compared loosely.
    """
    try:
        message = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return False
    calls = message.get("tool_calls") if isinstance(message, dict) else None
    return any(
        isinstance(form, dict) and isinstance(form.get("arguments"), str)
        for form in (map(_call, calls) if isinstance(calls, list) else ())
    )


def _content(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    texts = [part.get("text") for part in content if isinstance(part, Mapping) and part.get("type") == "text"]
    if len(texts) == len(content) and all(isinstance(text, str) for text in texts):
        return "".join(texts)  # type: ignore[arg-type]
    return content


def _call(call: Any) -> Any:
    if not isinstance(call, Mapping):
        return call
    function = call.get("function")
    if not isinstance(function, Mapping):
        return dict(call)
    return {
        "id": call.get("id"),
        "name": function.get("name"),
        "arguments": _arguments(function.get("arguments")),
    }


def _arguments(arguments: Any) -> Any:
    if not isinstance(arguments, str):
        return arguments
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    # A marker keeps the text '"x"' apart from the value "x".
    return {"json": value}
