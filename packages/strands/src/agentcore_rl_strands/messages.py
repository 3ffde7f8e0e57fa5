"""OpenAI chat messages from Strands' messages.

Strands keeps a conversation in Bedrock's Converse form: messages of role user and assistant, each
a list of content blocks, one key per block that names its type.
"""

from __future__ import annotations

import base64
import json
import mimetypes
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from agentcore_rl.messages import Message

__all__ = ["to_openai_messages"]

_IMAGE_NOTE = (
    "Tool successfully returned an image. The image is being provided in the following user message."
)
"""What Strands itself tells the model, whose tool messages carry no images."""


def to_openai_messages(native: Any) -> list[Message]:
    """OpenAI chat messages from what Strands has.

    Tool results become `tool` messages, in front of what else their message says; images in them
    follow as a user message, since `tool` messages carry text. Reasoning becomes
    `reasoning_content`. Cache points and encrypted reasoning are left out: they are no text.

    Args:
        native: an agent (its system prompt and messages), a list of messages, or one message.

    Raises:
        TypeError: a message or a content block is of an unknown type, or of one that OpenAI
            messages cannot carry (video, references to storage, audio other than wav and mp3).
    """
    messages = getattr(native, "messages", None)
    if messages is not None:
        return [*_system(native.system_prompt), *to_openai_messages(messages)]
    if isinstance(native, Mapping):
        return _message(native)
    if isinstance(native, Iterable) and not isinstance(native, str | bytes):
        return [converted for message in native for converted in _message(message)]
    raise TypeError(f"Strands' messages are an agent, a list or one message, not {type(native).__name__}.")


def _system(prompt: str | None) -> list[Message]:
    return [{"role": "system", "content": prompt}] if prompt else []


def _message(message: Any) -> list[Message]:
    role = message.get("role") if isinstance(message, Mapping) else None
    if role not in ("user", "assistant") or not isinstance(message.get("content"), list):
        raise TypeError(
            f"Not a message of Strands (role user or assistant, a list of blocks): {message!r:.200}"
        )
    parts: list[dict[str, Any]] = []
    reasoning: list[str] = []
    calls: list[dict[str, Any]] = []
    results: list[Message] = []
    images: list[Message] = []
    for block in message["content"]:
        kind, value = _kind(block)
        if kind == "toolUse":
            calls.append(_tool_call(value))
        elif kind == "toolResult":
            result, shown = _tool_result(value)
            results.append(result)
            if shown:
                images.append({"role": "user", "content": shown})
        elif kind == "reasoningContent":
            reasoning.append((value.get("reasoningText") or {}).get("text") or "")
        elif kind != "cachePoint":
            parts.append(_PARTS[kind](value))
    said: Message = {"role": role}
    if parts or role == "assistant":
        said["content"] = _content(parts) if parts else None if calls else ""
    if any(reasoning):
        said["reasoning_content"] = "".join(reasoning)
    if calls:
        said["tool_calls"] = calls
    silent = role == "user" and len(said) == 1
    return [*results, *images, *([] if silent else [said])]


def _kind(block: Any) -> tuple[str, Any]:
    """A block's type and value."""
    if not isinstance(block, Mapping) and callable(getattr(block, "to_dict", None)):
        block = block.to_dict()
    if isinstance(block, Mapping):
        for kind in _KINDS:
            if kind in block:
                return kind, block[kind]
    raise TypeError(f"Unknown type of content block in a Strands message: {block!r:.200}")


def _content(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    if all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def _guarded(value: Mapping[str, Any]) -> dict[str, Any]:
    return _text(value["text"]["text"])


def _cited(value: Mapping[str, Any]) -> dict[str, Any]:
    return _text("".join(part["text"] for part in value.get("content", [])))


def _image(value: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": _url(value, "image")}}


def _document(value: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "file", "file": {"filename": value["name"], "file_data": _url(value, "document")}}


def _audio(value: Mapping[str, Any]) -> dict[str, Any]:
    if value.get("format") not in ("wav", "mp3"):
        raise TypeError(f"OpenAI messages carry audio as wav or mp3, not as {value.get('format')}.")
    return {
        "type": "input_audio",
        "input_audio": {"format": value["format"], "data": _base64(value, "audio")},
    }


def _video(value: Mapping[str, Any]) -> dict[str, Any]:
    raise TypeError("OpenAI messages carry no video.")


_PARTS: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "audio": _audio,
    "video": _video,
    "guardContent": _guarded,
    "citationsContent": _cited,
}
_KINDS = (*_PARTS, "toolUse", "toolResult", "reasoningContent", "cachePoint")


def _base64(value: Mapping[str, Any], what: str) -> str:
    content = value.get("source", {}).get("bytes")
    if not isinstance(content, bytes):
        raise TypeError(
            f"OpenAI messages carry the bytes of the {what}, not a reference to where it is stored."
        )
    return base64.b64encode(content).decode()


def _url(value: Mapping[str, Any], what: str) -> str:
    mime = mimetypes.types_map.get(f".{value.get('format')}", "application/octet-stream")
    return f"data:{mime};base64,{_base64(value, what)}"


def _tool_call(value: Mapping[str, Any]) -> dict[str, Any]:
    arguments = json.dumps(value["input"], ensure_ascii=False)
    return {
        "id": value["toolUseId"],
        "type": "function",
        "function": {"name": value["name"], "arguments": arguments},
    }


def _tool_result(value: Mapping[str, Any]) -> tuple[Message, list[dict[str, Any]]]:
    """The `tool` message, and the images that it cannot carry."""
    texts: list[str] = []
    shown: list[dict[str, Any]] = []
    for block in value["content"]:
        if "json" in block:
            texts.append(json.dumps(block["json"], ensure_ascii=False))
            continue
        kind, content = _kind(block)
        if kind not in ("text", "image"):
            raise TypeError(f"OpenAI tool messages carry text, not a tool result's {kind}.")
        if kind == "text":
            texts.append(content)
        else:
            shown.append(_image(content))
    if shown:
        texts.append(_IMAGE_NOTE)
    return {"role": "tool", "tool_call_id": value["toolUseId"], "content": "\n".join(texts)}, shown
