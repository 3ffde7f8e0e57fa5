"""The scripted model's tokenizer: one token for each UTF-8 byte, and two tokens around each message.

It is stable, fast, can be read back by eye, and keeps the law that training relies on: a prompt that repeats
an earlier prompt and its answer word for word has their ids as its beginning.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "END",
    "START",
    "answer_ids",
    "content_text",
    "count_prompt",
    "prompt_ids",
]

START = 256
"""Id of the token that opens a message."""
END = 257
"""Id of the token that closes a message; the model samples it at the end of an answer."""


def prompt_ids(request: Mapping[str, Any]) -> list[int]:
    """Return the token ids of a request's tools and messages, ending where the answer begins."""
    ids: list[int] = []
    for text in _prompt_texts(request):
        ids.append(START)
        ids.extend(text)
        ids.append(END)
    ids.append(START)
    ids.extend(b"assistant\n")
    return ids


def count_prompt(request: Mapping[str, Any]) -> int:
    """Return `len(prompt_ids(request))` without making them."""
    return sum(len(text) + 2 for text in _prompt_texts(request)) + len(b"assistant\n") + 1


def answer_ids(message: Mapping[str, Any], finish_reason: str) -> list[int]:
    """Return the token ids of an answer; the end token is missing where the model was cut short."""
    ids = list(_encode(_message_text(message)))
    if finish_reason != "length":
        ids.append(END)
    return ids


def _prompt_texts(request: Mapping[str, Any]) -> list[bytes]:
    texts = []
    if request.get("tools"):
        texts.append(_encode("tools\n" + json.dumps(request["tools"], ensure_ascii=False, sort_keys=True)))
    texts.extend(
        _encode(f"{message.get('role')}\n{_message_text(message)}") for message in request["messages"]
    )
    return texts


def _message_text(message: Mapping[str, Any]) -> str:
    parts = []
    if message.get("reasoning_content"):
        parts.append(f"<think>{message['reasoning_content']}</think>")
    parts.append(content_text(message.get("content")))
    for call in message.get("tool_calls") or ():
        function = call.get("function", {})
        parts.append(f"<tool_call>{function.get('name')} {function.get('arguments')}</tool_call>")
    return "".join(parts)


def content_text(content: Any) -> str:
    """Return the text of a message's content, which is a string, a list of parts, or null."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return str(content)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
