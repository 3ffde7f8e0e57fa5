"""SGLang: its token-level route `/generate`. Untested on a real engine."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from agentcore_rl_gateway.engines.token_engine import Piece, Terms
from agentcore_rl_gateway.engines.token_server import TokenServer
from agentcore_rl_gateway.engines.upstream import (
    Events,
    broke_off,
    decoded,
    encoded_ids,
    malformed,
)

__all__ = ["SGLang"]


class SGLang(TokenServer):
    """An SGLang server; made as a `TokenServer`."""

    name = "sglang"
    schemas = True
    raw_logprobs = False  # they are taken behind the temperature

    async def sample(
        self, prompt: Sequence[int], terms: Terms, *, model: str, pieces: bool
    ) -> AsyncIterator[Piece]:
        """Sample one answer, streamed where the client streams."""
        asked = {
            "input_ids": prompt,
            "sampling_params": _sampling(terms),
            "return_logprob": True,
            "logprob_start_len": -1,
            "stream": pieces,
        }
        seen = _Seen()
        body = await encoded_ids(asked, len(prompt))
        async with self._upstream.send("POST", "/generate", body) as response:
            if "event-stream" not in response.headers.get("content-type", ""):
                yield seen.piece(decoded(await response.read()))
                return
            events = Events()
            async for content in response.pieces():
                for payload in events.feed(content):
                    if payload != b"[DONE]":
                        yield seen.piece(decoded(payload))


def _sampling(terms: Terms) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "temperature": terms.temperature,
        "top_p": terms.top_p,
        "top_k": terms.top_k or -1,
        "min_p": terms.min_p,
        "presence_penalty": terms.presence_penalty,
        "frequency_penalty": terms.frequency_penalty,
        "repetition_penalty": terms.repetition_penalty,
        "stop_token_ids": list(terms.stop_ids),
        "skip_special_tokens": False,
        "no_stop_trim": True,
    }
    if terms.max_tokens is not None:
        asked["max_new_tokens"] = terms.max_tokens
    if terms.seed is not None:
        asked["sampling_seed"] = terms.seed
    if terms.stop:
        asked["stop"] = list(terms.stop)
    if terms.schema is not None:
        asked["json_schema"] = json.dumps(terms.schema or {"type": "object"})
    return asked


class _Seen:
    """What a stream said so far: chunks repeat all ids, or hold the new ones alone, as it was told."""

    def __init__(self) -> None:
        self._ids = 0

    def piece(self, said: Any) -> Piece:
        """What a chunk (or a whole answer) adds."""
        try:
            if said.get("error"):
                raise broke_off(f"The engine failed in the middle of its answer: {str(said['error'])[:300]}")
            meta, ids = said["meta_info"], list(said["output_ids"])
            entries = [(entry[1], entry[0]) for entry in meta.get("output_token_logprobs") or ()]
            counted = meta.get("completion_tokens")
            reason = meta.get("finish_reason")
        except (LookupError, TypeError, AttributeError):
            raise malformed(msgspec.json.encode(said)) from None
        if counted == len(ids) and self._ids:  # all of them once more
            ids = ids[self._ids :]
        if len(entries) > len(ids):
            entries = entries[len(entries) - len(ids) :]
        self._ids += len(ids)
        return Piece(ids, entries, *_reason(reason))


def _reason(reason: Any) -> tuple[str | None, str | None]:
    if reason is None:
        return None, None
    kind = reason.get("type") if isinstance(reason, dict) else reason
    matched = reason.get("matched") if isinstance(reason, dict) else None
    return str(kind), matched if isinstance(matched, str) else None
