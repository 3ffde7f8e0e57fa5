"""Capture mode: any OpenAI-compatible server renders and samples; its ids are read from its answers.

Which ids a server gives, and how it is asked for them, is found out by one call of one token at the start.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from agentcore_rl.logs import logger_of
from agentcore_rl_gateway.answers import chunks_of
from agentcore_rl_gateway.call import Call, Finished
from agentcore_rl_gateway.chat import Ask
from agentcore_rl_gateway.engines.capture_answer import StreamedAnswer, read_completion
from agentcore_rl_gateway.engines.plain_answer import Claim
from agentcore_rl_gateway.engines.upstream import Events, Upstream, malformed
from agentcore_rl_gateway.lineage import IdText, packed_text
from agentcore_rl_gateway.refusals import CallRefused
from agentcore_rl_gateway.sessions import Session

__all__ = ["Capture", "Dialect"]

logger = logger_of(__name__)

_LARGE_ANSWER = 2**20
"""Bytes of an answer above which it is read in a thread."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a server is asked for ids.

    Attributes:
        name: as `/healthz` tells it.
        flags: fields of the request.
        streams: it gives them in a stream too; else the gateway streams for it.
        raw: the flags as JSON.
    """

    name: str
    flags: Mapping[str, Any]
    streams: bool = True
    raw: Mapping[str, msgspec.Raw] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in self.flags.items()}
        object.__setattr__(self, "raw", raw)


_VLLM = Dialect("return_token_ids", {"return_token_ids": True, "logprobs": True})
_SGLANG = Dialect("sglext", {"return_input_ids": True, "return_output_ids": True, "logprobs": True})
_LOGPROBS = Dialect("ids of logprobs", {"logprobs": True})
_NONE = Dialect("no token ids", {})


class Capture:
    """Carries chat completions to a server and reads along.

    Args:
        url: of the server with its version path, such as http://127.0.0.1:8000/v1.
        key: the bearer token that it wants; empty for none.
        silence_s: seconds without a byte after which the server counts as lost.
        reason: why calls are only carried, where token-in was asked for; `/healthz` tells it.

    Attributes:
        dialect: how it is asked for ids; None until the probe was answered.
    """

    name = "capture"

    def __init__(self, url: str, *, key: str = "", silence_s: float = 600.0, reason: str = "") -> None:
        self.reason = reason
        self._upstream = Upstream(url, key=key, silence_s=silence_s)
        self._probing = asyncio.Lock()
        self.dialect: Dialect | None = None

    async def start(self) -> None:
        """Probe the server; one that is not up yet is probed again at the first call."""
        try:
            await self._probe("")
        except CallRefused as refusal:
            logger.warning("the engine could not be probed and will be at the first call: %s", refusal)

    async def _probe(self, model: str) -> Dialect:
        async with self._probing:
            if self.dialect is not None:
                return self.dialect
            names = [str(card.get("id", "")) for card in await self.models()]
            asked = {
                "model": names[0] if names else model,
                "messages": [{"role": "user", "content": "Say yes."}],
                "max_tokens": 1,
            }
            for dialect in (_VLLM, _SGLANG, _LOGPROBS, _NONE):
                found = await self._try(dialect, asked)
                if found is not None:
                    self.dialect = found
                    return found
            raise CallRefused(
                "The engine refuses even a plain chat completion of one token: see its log.",
                status=503,
                code="engine_unfit",
                headers={"Retry-After": "5"},
            )

    async def _try(self, dialect: Dialect, asked: Mapping[str, Any]) -> Dialect | None:
        try:
            answer = await self._upstream.json("POST", "/chat/completions", {**asked, **dialect.flags})
        except CallRefused as refusal:
            if refusal.status in (400, 422):  # it does not know the flags
                return None
            raise
        try:
            choice = answer["choices"][0]
            entries = (choice.get("logprobs") or {}).get("content") or []
            ids = [entry.get("id") for entry in entries]
        except (LookupError, TypeError, AttributeError):
            raise malformed(msgspec.json.encode(answer)) from None
        if dialect is _VLLM and isinstance(choice.get("token_ids"), list):
            return Dialect(dialect.name, dialect.flags, streams="prompt_token_ids" not in choice)
        given = answer.get("sglext")
        if dialect is _SGLANG and isinstance(given, dict) and "output_ids" in given:
            return dialect
        if dialect is _LOGPROBS and ids and all(isinstance(one, int) for one in ids):
            return dialect
        return dialect if dialect is _NONE else None

    async def models(self) -> Sequence[dict[str, Any]]:
        """What the server lists; empty where it has no list."""
        try:
            listed = await self._upstream.json("GET", "/models")
        except CallRefused as refusal:
            if refusal.status in (404, 405):
                return []
            raise
        cards = listed.get("data") if isinstance(listed, dict) else None
        return [card for card in cards if isinstance(card, dict)] if isinstance(cards, list) else []

    async def ready(self) -> bool:
        """Whether the server lists its models now."""
        try:
            async with asyncio.timeout(5.0):
                await self.models()
        except (CallRefused, TimeoutError):
            return False
        return True

    def delivered(self, session: Session, response_id: str, reached: bool) -> None:
        """Nothing: no history is kept here."""

    async def close(self) -> None:
        """Close the connections."""
        await self._upstream.close()

    async def answer(self, call: Call) -> Finished:
        """Carry one call."""
        ask = call.ask
        dialect = self.dialect or await self._probe(ask.model)
        fields = dict(ask.fields)
        fields.pop("return_token_ids", None)
        fields.update(dialect.raw)
        if ask.stream and not dialect.streams:
            fields.pop("stream_options", None)
            fields["stream"] = msgspec.Raw(b"false")
        async with self._upstream.send("POST", "/chat/completions", msgspec.json.encode(fields)) as response:
            if ask.stream and "event-stream" in response.headers.get("content-type", ""):
                return await self._streamed(call, response.pieces())
            content = await response.read()
        large = len(content) > _LARGE_ANSWER
        read = functools.partial(_read, content, ask, call.claim)
        finished = await asyncio.to_thread(read) if large else read()
        if ask.stream:
            try:
                parts = list(chunks_of(msgspec.json.decode(finished.body), usage=ask.usage))
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
                raise malformed(content) from None  # it cannot be said in pieces
            finished.chunks = [msgspec.json.encode(part) for part in parts]
            finished.last = len(parts) - (2 if ask.usage else 1)
        return finished

    async def _streamed(self, call: Call, content: Any) -> Finished:
        events, answer = Events(), StreamedAnswer(call.ask, call.claim)

        async def take(payloads: list[bytes]) -> None:
            for payload in payloads:
                if payload == b"[DONE]":
                    continue
                chunk = answer.pass_on(payload)
                call.sampled = answer.sampled
                if chunk is not None:
                    await call.emit(chunk)

        async for piece in content:
            await take(events.feed(piece))
        await take(events.end())
        return answer.finish()


def _read(content: bytes, ask: Ask, claim: Claim) -> Finished:
    finished = read_completion(content, ask, claim)
    if len(content) > _LARGE_ANSWER and isinstance(finished.prompt, IdText):
        with contextlib.suppress(ValueError, OverflowError):  # whoever places the call says what is wrong
            finished.prompt = packed_text(finished.prompt.text)
    return finished
