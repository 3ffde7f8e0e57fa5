"""Answers as clients get them: chat completions, chunks of streams, and the tokens that are added. No I/O."""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from agentcore_rl_gateway.lineage import Placed, unpacked
from agentcore_rl_gateway.log import CallAnswered

__all__ = [
    "DONE",
    "chunks_of",
    "completion",
    "doubles",
    "origin_of",
    "packed_doubles",
    "sse",
    "token_fields",
    "with_fields",
    "with_ids",
]

DONE = b"data: [DONE]\n\n"
"""What ends a stream."""
# What a chunk says in a way of its own; all else of an answer goes on as it is.
_OWN_TOP = frozenset({"id", "created", "model", "object", "choices", "usage"})
_OWN_CHOICE = frozenset({"index", "message", "finish_reason", "logprobs"})
_OWN_MESSAGE = frozenset({"role", "content", "tool_calls"})
_CHOICES = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


def sse(chunk: bytes) -> bytes:
    """One chunk as a server-sent event."""
    return b"data: " + chunk + b"\n\n"


def packed_doubles(values: Sequence[float | None]) -> bytes:
    """Logprobs as f64, NaN for None."""
    return array("d", [math.nan if value is None else value for value in values]).tobytes()


def doubles(content: bytes) -> list[float | None]:
    """The logprobs in these bytes, None for NaN."""
    values = array("d")
    values.frombytes(content)
    return [None if math.isnan(value) else value for value in values]


def completion(
    response_id: str,
    model: str,
    message: Mapping[str, Any],
    finish_reason: str,
    *,
    prompt_tokens: int,
    completion_tokens: int,
    logprobs: Any = None,
) -> dict[str, Any]:
    """One chat completion, as OpenAI writes it."""
    return {
        "id": response_id,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": logprobs}],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }


def chunks_of(answer: Mapping[str, Any], *, usage: bool, said: str | None = None) -> Iterator[dict[str, Any]]:
    """A chat completion as the chunks of a stream; the one with the finish reason is the last with a choice.

    Args:
        answer: a chat completion.
        usage: whether its usage follows in a chunk of its own.
        said: content that was streamed already, the role with it; None when nothing was.
    """
    head = {name: answer.get(name) for name in ("id", "created", "model")}
    head |= {name: value for name, value in answer.items() if name not in _OWN_TOP and value is not None}
    head["object"] = "chat.completion.chunk"
    choice = answer["choices"][0]
    message = choice["message"]
    more = {name: value for name, value in choice.items() if name not in _OWN_CHOICE and value is not None}

    def chunk(delta: Mapping[str, Any], reason: str | None = None, logprobs: Any = None) -> dict[str, Any]:
        spoken = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": logprobs}
        return {**head, "choices": [spoken], **({"usage": None} if usage else {})}

    if said is None:
        yield chunk({"role": "assistant", "content": "" if message.get("content") is not None else None})
    for name, value in message.items():
        if name not in _OWN_MESSAGE and value:
            yield chunk({name: value})
    rest = (message.get("content") or "")[len(said or "") :]
    if rest:
        yield chunk({"content": rest})
    for index, call in enumerate(message.get("tool_calls") or ()):
        yield chunk({"tool_calls": [{"index": index, **call}]})
    last = chunk({}, choice["finish_reason"], choice.get("logprobs"))
    last["choices"][0] |= more
    yield last
    if usage:
        yield {**head, "choices": [], "usage": answer.get("usage")}


def token_fields(entry: CallAnswered, placed_on: str | None, prompt: bytes | None) -> dict[str, Any]:
    """What a record lacks of a call: `agentcore_rl` in its answer.

    Args:
        entry: the call.
        placed_on: response id of the turn whose prompt and answer `prompt_keep` counts in; None gives the
            prompt whole.
        prompt: all ids of it, packed.
    """
    new = prompt if placed_on is None else entry.prompt_new
    return {
        "placed_on": placed_on,
        "parent": entry.parent,
        "fork": entry.fork,
        "prompt_keep": 0 if placed_on is None else entry.prompt_keep,
        "prompt_new": None if new is None else list(unpacked(new)),
        "answer": None if entry.answer is None else list(unpacked(entry.answer)),
        "logprobs": None if entry.logprobs is None else doubles(entry.logprobs),
        "masked": entry.masked,
        "remarks": entry.remarks,
        "policy_version": entry.policy_version,
    }


def with_fields(body: bytes, fields: Mapping[str, Any]) -> bytes:
    """A JSON object with further fields at its end; what is there is not looked into."""
    if not fields:
        return body
    return body.rstrip()[:-1] + b"," + msgspec.json.encode(fields)[1:]


def with_ids(body: bytes, prompt: bytes | None, answer: bytes | None) -> bytes:
    """A chat completion (or the chunk with its finish reason) with all its ids, as vLLM names them."""
    fields = _OBJECT.decode(body)
    choices = _CHOICES.decode(fields["choices"])
    choices[0]["token_ids"] = _raw(answer)
    fields["choices"] = msgspec.Raw(msgspec.json.encode(choices))
    fields["prompt_token_ids"] = _raw(prompt)
    return msgspec.json.encode(fields)


def _raw(ids: bytes | None) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(None if ids is None else list(unpacked(ids))))


def origin_of(placed: Placed) -> tuple[str | None, str | None]:
    """Parent and reason of a fork, where only ids can tell."""
    if placed.extends:
        return placed.basis_id, None
    if placed.basis is None or placed.prompt_new is None:
        return None, None
    return None, "drift" if placed.inside_answer else "template"
