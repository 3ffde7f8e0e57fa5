"""How an answer is spelled for one request: as one JSON object, or as the chunks of a stream.

Shapes follow vLLM (`return_token_ids`: `prompt_token_ids` at the top level and in a stream's first chunk,
`choices[].token_ids` in each later one; `return_tokens_as_token_ids`) and llama.cpp
(`logprobs.content[].id`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeAlias

from agentcore_rl.testing import tokens
from agentcore_rl.testing.script import Answer, ToolCall

__all__ = [
    "Engine",
    "Spelling",
    "split",
    "to_json",
]

Engine: TypeAlias = Literal["vllm", "llama.cpp", "openai"]
"""Whose manner of giving token ids is followed."""

# One constant, so that the same script gives the same bytes.
_CREATED = 1_700_000_000


def to_json(value: Any) -> bytes:
    """Return compact JSON as UTF-8; lone surrogates, which UTF-8 cannot carry, are escaped."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Spelling:
    """One answer, ready to be spelled for one request.

    Attributes:
        answer: What the script says.
        request: The request's JSON.
        engine: Whose manner of giving token ids is followed.
        model: The model id that the answer carries.
        seat: What this answer's minted ids are derived from: unique within the server.
    """

    answer: Answer
    request: Mapping[str, Any]
    engine: Engine
    model: str
    seat: str

    @property
    def finish_reason(self) -> str:
        """The answer's finish reason, derived where the script leaves it open."""
        return self.answer.finish_reason or ("tool_calls" if self.answer.tool_calls else "stop")

    def whole(self) -> dict[str, Any]:
        """Return the answer as one chat completion object."""
        message = self._message()
        ids = self._ids(message)
        choice: dict[str, Any] = {
            "index": 0,
            "message": {**message, **self.answer.message_extra},
            "logprobs": self._logprobs(ids, 0, len(ids)),
            "finish_reason": self.finish_reason,
        }
        body = self._top("chat.completion") | {"choices": [choice]}
        usage = self._usage(len(ids))
        if usage:
            body["usage"] = usage
        if self._gives_ids():
            choice["token_ids"] = ids
            body["prompt_token_ids"] = self._prompt_ids()
        return body | dict(self.answer.extra)

    def chunks(self) -> Iterator[dict[str, Any]]:
        """Yield the answer as the chunk objects of a stream, usage last where the request asks for it."""
        message = self._message()
        ids = self._ids(message)
        usage = self._usage(len(ids))
        options = self.request.get("stream_options") or {}
        each = bool(usage) and self.answer.style.usage_each_chunk
        first = {"role": "assistant", "content": None if self.answer.content is None else ""}
        opening = self._chunk(first | dict(self.answer.message_extra), None, usage if each else None)
        if self._gives_ids():
            opening["prompt_token_ids"] = self._prompt_ids()
        yield opening
        deltas: list[dict[str, Any]] = [*self._deltas(message), {}]
        for at, delta in enumerate(deltas):
            start, stop = at * len(ids) // len(deltas), (at + 1) * len(ids) // len(deltas)
            last = at + 1 == len(deltas)
            chunk = self._chunk(delta, self.finish_reason if last else None, usage if each else None)
            choice = chunk["choices"][0]
            choice["logprobs"] = self._logprobs(ids, start, stop)
            if self._gives_ids():
                choice["token_ids"] = ids[start:stop]
            yield chunk
        if usage and options.get("include_usage"):
            yield (
                self._top("chat.completion.chunk") | {"choices": [], "usage": usage} | dict(self.answer.extra)
            )

    def _message(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": self.answer.content}
        if self.answer.reasoning is not None:
            message["reasoning_content"] = self.answer.reasoning
        if self.answer.tool_calls:
            message["tool_calls"] = [self._call(call, at) for at, call in enumerate(self.answer.tool_calls)]
        return message

    def _call(self, call: ToolCall, at: int) -> dict[str, Any]:
        minted = "call_" + _digest(f"{self.seat}/{at}", 24)
        arguments = call.arguments
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        function = {"name": call.name, "arguments": arguments}
        spelled = {"id": minted if call.id is None else call.id, "type": "function"}
        return {
            **{key: value for key, value in spelled.items() if key not in call.omit},
            "function": {key: value for key, value in function.items() if key not in call.omit},
        }

    def _deltas(self, message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        pieces = self.answer.chunks
        count = pieces if isinstance(pieces, int) else len(pieces)
        for piece in split(self.answer.reasoning or "", count):
            yield {"reasoning_content": piece}
        content = split(self.answer.content or "", count) if isinstance(pieces, int) else pieces
        for piece in content:
            yield {"content": piece}
        for index, call in enumerate(message.get("tool_calls", ())):
            arguments = call["function"].get("arguments")
            function = call["function"] if arguments is None else call["function"] | {"arguments": ""}
            yield {"tool_calls": [{"index": index, **call, "function": function}]}
            for piece in split(arguments or "", count):
                yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}

    def _top(self, kind: str) -> dict[str, Any]:
        return {
            "id": "chatcmpl-" + _digest(self.seat, 32),
            "object": kind,
            "created": _CREATED,
            "model": self.model,
        }

    def _chunk(
        self, delta: dict[str, Any], finish: str | None, usage: dict[str, Any] | None
    ) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        chunk = self._top("chat.completion.chunk") | {"choices": [choice]}
        if usage:
            chunk["usage"] = usage
        return chunk | dict(self.answer.extra)

    def _ids(self, message: Mapping[str, Any]) -> list[int]:
        if self.answer.token_ids is not None:
            return list(self.answer.token_ids)
        return tokens.answer_ids(message, self.finish_reason)

    def _prompt_ids(self) -> list[int]:
        if self.answer.prompt_token_ids is not None:
            return list(self.answer.prompt_token_ids)
        return tokens.prompt_ids(self.request)

    def _gives_ids(self) -> bool:
        return self.engine == "vllm" and self.request.get("return_token_ids") is True

    def _usage(self, answer_tokens: int) -> dict[str, Any]:
        if self.answer.usage is not None:
            return dict(self.answer.usage)
        given = self.answer.prompt_token_ids
        prompt = tokens.count_prompt(self.request) if given is None else len(given)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": answer_tokens,
            "total_tokens": prompt + answer_tokens,
        }

    def _logprobs(self, ids: list[int], start: int, stop: int) -> dict[str, Any] | None:
        if self.request.get("logprobs") is not True:
            return None
        return {"content": [self._token(ids[at], at) for at in range(start, stop)]}

    def _token(self, token_id: int, at: int) -> dict[str, Any]:
        # Sixteenths are exact in binary, so that comparisons need no tolerance.
        given = self.answer.logprobs
        logprob = -(token_id % 13 + 1) / 16 if given is None else given[at]
        spelled = [token_id] if token_id < tokens.START else []
        text = bytes(spelled).decode(errors="replace") if spelled else f"<{token_id}>"
        if self.engine == "vllm" and self.request.get("return_tokens_as_token_ids") is True:
            text = f"token_id:{token_id}"
        entry: dict[str, Any] = {"token": text, "logprob": logprob, "bytes": spelled or None}
        if self.engine == "llama.cpp":
            entry["id"] = token_id
        top = [dict(entry)] if self.request.get("top_logprobs") else []
        return entry | {"top_logprobs": top}


def split(text: str, count: int) -> Sequence[str]:
    """Split a text into at most `count` pieces of about one length, none of them empty."""
    bounds = [at * len(text) // count for at in range(count + 1)]
    return [text[start:stop] for start, stop in pairwise(bounds) if start < stop]


def _digest(seat: str, length: int) -> str:
    return hashlib.sha256(seat.encode("utf-8", "surrogatepass")).hexdigest()[:length]
