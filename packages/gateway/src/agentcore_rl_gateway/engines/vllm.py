"""vLLM: its token-level route `/inference/v1/generate`. Untested on a real engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
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

__all__ = ["VLLM"]


class VLLM(TokenServer):
    """A vLLM server; made as a `TokenServer`."""

    name = "vllm"
    schemas = True
    raw_logprobs = True  # `logprobs_mode` is raw_logprobs unless the server was told otherwise

    async def sample(
        self, prompt: Sequence[int], terms: Terms, *, model: str, pieces: bool
    ) -> AsyncIterator[Piece]:
        """Sample one answer, streamed where the client streams."""
        asked = {
            "model": model,
            "token_ids": prompt,
            "sampling_params": _sampling(terms),
            "stream": pieces,
        }
        body = await encoded_ids(asked, len(prompt))
        async with self._upstream.send("POST", "/inference/v1/generate", body) as response:
            if "event-stream" not in response.headers.get("content-type", ""):
                yield _piece(decoded(await response.read()), whole=True)
                return
            events = Events()
            async for content in response.pieces():
                for payload in events.feed(content):
                    if payload != b"[DONE]" and (piece := _streamed(payload)) is not None:
                        yield piece


def _sampling(terms: Terms) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "n": 1,
        "logprobs": 1,
        "temperature": terms.temperature,
        "top_p": terms.top_p,
        "top_k": terms.top_k,
        "min_p": terms.min_p,
        "presence_penalty": terms.presence_penalty,
        "frequency_penalty": terms.frequency_penalty,
        "repetition_penalty": terms.repetition_penalty,
        "stop_token_ids": list(terms.stop_ids),
        "skip_special_tokens": False,
    }
    for name in ("seed", "max_tokens"):
        if getattr(terms, name) is not None:
            asked[name] = getattr(terms, name)
    if terms.stop:
        asked["stop"] = list(terms.stop)
        asked["include_stop_str_in_output"] = True
    if terms.schema is not None:
        asked["structured_outputs"] = {"json": terms.schema or {"type": "object"}}
    return asked


def _streamed(payload: bytes) -> Piece | None:
    said = decoded(payload)
    if isinstance(said, Mapping) and said.get("error"):
        raise broke_off(f"The engine failed in the middle of its answer: {str(said['error'])[:300]}")
    if isinstance(said, Mapping) and not said.get("choices"):
        return None  # usage alone
    return _piece(said, whole=False)


def _piece(said: Any, *, whole: bool) -> Piece:
    try:
        (choice,) = said["choices"]
        ids = choice.get("token_ids") or []
        if not all(isinstance(one, int) for one in ids):
            raise TypeError("ids")
        entries = [
            (_named(entry.get("token")), entry.get("logprob"))
            for entry in (choice.get("logprobs") or {}).get("content") or ()
        ]
        reason = choice.get("finish_reason")
    except (LookupError, TypeError, ValueError, AttributeError):
        raise malformed(msgspec.json.encode(said)) from None
    if whole and reason is None:
        raise malformed(msgspec.json.encode(said))
    return Piece(list(ids), entries, reason)


def _named(token: Any) -> int | None:
    """The id in `token_id:17`, as the route names tokens without a tokenizer; None for a text."""
    if isinstance(token, str) and token.startswith("token_id:") and token[9:].isdigit():
        return int(token[9:])
    return None
