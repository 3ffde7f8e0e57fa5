"""What an answer says while it is sampled, and the message that it is in the end."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from agentcore_rl_gateway.call import Call
from agentcore_rl_gateway.rendering.renderer import Parsed, Renderer

__all__ = ["Spoken", "message_of"]


class Spoken:
    """The content of a stream, as far as it is certain.

    Nothing from the first `<` on is sent before the answer is whole: a tool call or a thought may begin
    there, and what was sent cannot be taken back. Looked at ever more rarely as the answer grows, so that
    the work stays linear in its length.

    Args:
        parse: reads ids.
        call: whose stream it is.
        response_id: the answer's id.

    Attributes:
        said: content that was sent; None before the first piece.
    """

    def __init__(self, parse: Callable[[Sequence[int]], Parsed], call: Call, *, response_id: str) -> None:
        self.response_id = response_id
        self.said: str | None = None
        self._parse, self._call = parse, call
        self._head = {
            "id": response_id,
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": call.ask.model,
        }
        self._look_at = 1

    async def hear(self, ids: Sequence[int]) -> None:
        """More was sampled; `ids` are all so far."""
        if len(ids) < self._look_at:
            return
        self._look_at = len(ids) + max(1, len(ids) // 16)
        parsed = self._parse(ids)
        content = str(parsed.content or "").partition("<")[0].rstrip("\ufffd").rstrip()
        said = self.said or ""
        if len(content) <= len(said) or not content.startswith(said):
            return
        delta: dict[str, Any] = {"content": content[len(said) :]}
        if self.said is None:
            delta = {"role": "assistant", **delta}
        self.said = content
        spoken = {"index": 0, "delta": delta, "finish_reason": None, "logprobs": None}
        usage = {"usage": None} if self._call.ask.usage else {}
        await self._call.emit(msgspec.json.encode({**self._head, "choices": [spoken], **usage}))


def message_of(
    parsed: Parsed,
    renderer: Renderer,
    ids: Sequence[int],
    stop: Sequence[str],
    *,
    calls: bool,
    said: str = "",
) -> tuple[dict[str, Any], list[str]]:
    """An answer's message, and what is to be remarked of it.

    Where a call cannot be read, or none was asked for, the whole text is content: the agent sees what the
    model wrote, and nothing is lost.

    Args:
        parsed: what the renderer reads in the ids.
        renderer: for the text itself.
        ids: that were sampled.
        stop: texts that end an answer; they and what follows are no content.
        calls: tools are offered.
        said: content that was streamed already, with which the message begins.
    """
    remarks: list[str] = []
    message: dict[str, Any] = {"role": "assistant"}
    readable = calls and parsed.calls and all(one.status == "ok" for one in parsed.calls)
    content = parsed.content or ""
    if parsed.calls and not readable:
        ended = list(ids)
        if ended and ended[-1] in renderer.stop_ids:
            del ended[-1]
        content = renderer.text(ended)
        content = content[max(0, content.find(said)) :]
        if calls:
            remarks.append("unreadable_tool_call")
    elif parsed.reasoning:
        message["reasoning_content"] = parsed.reasoning
    for text in stop:
        content = content.partition(text)[0]
    message["content"] = content or (None if readable else "")
    if readable:
        message["tool_calls"] = [
            {
                "id": f"call_{uuid.uuid4().hex[:24]}",
                "type": "function",
                "function": {"name": one.name, "arguments": one.arguments},
            }
            for one in parsed.calls
        ]
    elif calls:
        remarks.append("tools_offered_none_parsed")
    return message, remarks
