"""llama.cpp: `/completion` of its server, with token ids in and out.

Its stream leaves ids out (those inside a character that spans several), so it is never streamed: a client
that streams is served in pieces of a few ids, each a call of its own behind the ids before it, which costs
little since the server keeps the prompt.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from agentcore_rl_gateway.engines.alignment import align
from agentcore_rl_gateway.engines.token_engine import Piece, Terms
from agentcore_rl_gateway.engines.upstream import Upstream, malformed
from agentcore_rl_gateway.refusals import CallRefused

__all__ = ["LlamaCpp"]

PIECE_IDS = 16
MOST_HOLES = 8
"""Ids without a logprob that are scored by a call each; of more, all stay masked."""


class _Likely(msgspec.Struct):
    id: int
    logprob: float | None = None
    top_logprobs: list[_Likely] = []


class _Said(msgspec.Struct):
    tokens: list[int] | None = None
    completion_probabilities: list[_Likely] = []
    stop_type: str = "none"
    stopping_word: str = ""
    tokens_predicted: int = 0
    tokens_evaluated: int = 0


_SAID = msgspec.json.Decoder(_Said)


class LlamaCpp:
    """A llama.cpp server.

    Args:
        url: its address.
        models: name of each model served -> scale of the server's first adapter; None asks the server.
        default_max_tokens: ids of an answer when the request names no bound; a small model may not end.
    """

    name = "llama.cpp"
    schemas = True
    raw_logprobs = True

    def __init__(
        self, url: str, *, models: dict[str, float] | None = None, default_max_tokens: int = 512
    ) -> None:
        self._upstream = Upstream(url)
        self._models = models
        self._default = default_max_tokens
        self._vocabulary = 0

    async def start(self) -> None:
        """Nothing: a server that is down is a 503 until it is up."""

    async def sample(
        self, prompt: Sequence[int], terms: Terms, *, model: str, pieces: bool
    ) -> AsyncIterator[Piece]:
        """Sample one answer, in pieces where neither a stop text nor a grammar spans them."""
        if self._models is not None and model not in self._models:
            raise CallRefused(
                f"There is no model {model[:100]!r} here, but {' and '.join(self._models)}.",
                status=404,
                code="model_not_found",
                param="model",
            )
        most = terms.max_tokens or self._default
        apart = pieces and not terms.stop and terms.schema is None
        ids: list[int] = []
        while True:
            room = min(PIECE_IDS, most - len(ids)) if apart else most
            try:
                said = await self._complete([*prompt, *ids], terms, model, room, len(ids))
            except CallRefused as refusal:
                if not ids or refusal.code != "context_length_exceeded":
                    raise
                yield Piece([], [], "length")  # the piece before has filled the context
                return
            entries = await self._entries([*prompt, *ids], said, terms, model)
            assert said.tokens is not None
            ids += said.tokens
            ended = said.stop_type in ("eos", "word") or bool(
                said.tokens and said.tokens[-1] in terms.stop_ids
            )
            full = len(ids) >= most or len(said.tokens) < room
            reason = "stop" if ended else "length" if full else None
            yield Piece(list(said.tokens), entries, reason, said.stopping_word or None)
            if reason is not None:
                return

    async def _complete(self, prompt: list[int], terms: Terms, model: str, most: int, begun: int) -> _Said:
        asked = self._asked(prompt, terms, model) | {"n_predict": most, "n_probs": 1}
        if terms.stop:
            asked["stop"] = list(terms.stop)
        if terms.seed is not None:
            asked["seed"] = (terms.seed + begun) % 2**32
        if terms.schema is not None:
            asked["json_schema"] = terms.schema or {"type": "object"}
        said = await self._post(asked)
        if said.tokens is None or len(said.tokens) != said.tokens_predicted:
            raise _unlike("sampled", said.tokens_predicted, len(said.tokens or ()))
        if said.tokens_evaluated != len(prompt):
            raise _unlike("been prompted with", said.tokens_evaluated, len(prompt))
        return said

    def _asked(self, prompt: list[int], terms: Terms, model: str) -> dict[str, Any]:
        asked: dict[str, Any] = {
            "prompt": prompt,
            "return_tokens": True,
            "cache_prompt": True,
            "stream": False,
            "temperature": terms.temperature,
            "top_k": terms.top_k,
            "top_p": terms.top_p,
            "min_p": terms.min_p,
            "presence_penalty": terms.presence_penalty,
            "frequency_penalty": terms.frequency_penalty,
            "repeat_penalty": terms.repetition_penalty,
        }
        if self._models is not None and model in self._models:
            asked["lora"] = [{"id": 0, "scale": self._models[model]}]
        return asked

    async def _entries(
        self, prompt: list[int], said: _Said, terms: Terms, model: str
    ) -> list[tuple[int | None, Any]]:
        """The logprobs; what the server left out is scored by one call for each, where these are few."""
        ids = said.tokens or []
        entries: list[tuple[int | None, Any]] = [
            (likely.id, likely.logprob) for likely in said.completion_probabilities
        ]
        holes = [at for first, last, _ in align(ids, entries).masked for at in range(first, last)]
        if not holes or len(holes) > MOST_HOLES:
            return entries
        found = align(ids, entries).logprobs or [None] * len(ids)
        for at in holes:
            with contextlib.suppress(CallRefused):  # it stays a hole, and is masked
                found[at] = await self._score([*prompt, *ids[:at]], ids[at], model)
        return list(zip(ids, found, strict=True))

    async def _score(self, prompt: list[int], wanted: int, model: str) -> float | None:
        """The logprob of one id behind a prompt, out of the whole vocabulary's.

        A grammar forces a whole character, since an unfinished one has no entry either; it does not touch
        the logprobs.
        """
        if not self._vocabulary:
            cards = await self.models()
            known = [(card.get("meta") or {}).get("n_vocab") for card in await self._cards() or cards]
            self._vocabulary = next((count for count in known if isinstance(count, int)), 262_144)
        asked = self._asked(prompt, Terms(), model) | {
            "n_predict": 1,
            "n_probs": self._vocabulary,
            "grammar": 'root ::= "a"',
        }
        said = await self._post(asked)
        (likely,) = said.completion_probabilities[:1] or (_Likely(-1),)
        return next((other.logprob for other in likely.top_logprobs if other.id == wanted), None)

    async def _post(self, asked: dict[str, Any]) -> _Said:
        try:
            async with self._upstream.send("POST", "/completion", msgspec.json.encode(asked)) as response:
                content = await response.read()
        except CallRefused as refusal:
            raise _in_our_words(refusal) from None
        try:
            if len(content) > 200_000:
                return await asyncio.to_thread(_SAID.decode, content)
            return _SAID.decode(content)
        except (ValueError, RecursionError):
            raise malformed(content) from None

    async def _cards(self) -> list[dict[str, Any]]:
        listed = await self._upstream.json("GET", "/v1/models")
        return [card for card in listed.get("data", ()) if isinstance(card, dict)]

    async def models(self) -> Sequence[dict[str, Any]]:
        """The models' cards."""
        if self._models is None:
            return await self._cards()
        return [
            {"id": name, "object": "model", "created": 0, "owned_by": "llama.cpp"} for name in self._models
        ]

    async def ready(self) -> bool:
        """Whether the server has its model loaded."""
        try:
            async with asyncio.timeout(5.0):
                await self._upstream.json("GET", "/health")
        except (CallRefused, TimeoutError):
            return False
        return True

    async def close(self) -> None:
        """Close the connections."""
        await self._upstream.close()


def _unlike(what: str, counted: int, given: int) -> CallRefused:
    return CallRefused(
        f"llama.cpp counts {counted} ids that it has {what}, and there are {given}: its answer cannot train.",
        status=502,
        code="engine_ids_differ",
    )


def _in_our_words(refusal: CallRefused) -> CallRefused:
    """A prompt that is too long, as OpenAI's clients know it."""
    if refusal.body is None or b"exceed_context_size_error" not in refusal.body:
        return refusal
    return CallRefused(
        "The prompt is longer than the engine's context.",
        status=400,
        code="context_length_exceeded",
        param="messages",
    )
