"""Token-in mode: the gateway keeps a conversation as ids, and the engine gets ids and gives ids.

A turn's prompt is what its messages add behind ids that were served before; sampled ids are never made anew
from their text. Rendering, parsing and the history stand behind the protocols here.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from agentcore_rl.logs import logger_of
from agentcore_rl_gateway.answers import chunks_of, completion, packed_doubles
from agentcore_rl_gateway.bodies import off_loop
from agentcore_rl_gateway.call import Call, Finished, Origin
from agentcore_rl_gateway.chat import new_id
from agentcore_rl_gateway.engines.alignment import Aligned, align
from agentcore_rl_gateway.engines.token_engine import Piece, Terms, TokenEngine, read_terms
from agentcore_rl_gateway.engines.upstream import broke_off
from agentcore_rl_gateway.history import History, Plan
from agentcore_rl_gateway.lineage import packed
from agentcore_rl_gateway.refusals import CallRefused
from agentcore_rl_gateway.rendering.renderer import Parsed, Renderer
from agentcore_rl_gateway.sessions import Session
from agentcore_rl_gateway.spoken import Spoken, message_of

__all__ = ["TokenIn"]

logger = logger_of(__name__)

_OFF_LOOP_BYTES = 20_000
_OFF_LOOP_IDS = 2_000
_LARGE_IDS = 50_000
_MOST_MESSAGES = 10_000
_MOST_TEXT = 2 * 2**20  # bytes; the ids of more are a list whose making alone keeps the loop waiting
_TAIL_IDS = 256  # of a prompt, in which a thought may have been begun


@dataclass(slots=True)
class _Memory:
    history: History
    lock: threading.Lock = field(default_factory=threading.Lock)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    responses: list[str] = field(default_factory=list)  # of each turn of the history, its response id


class TokenIn:
    """Ids in, ids out.

    Args:
        engine: what samples.
        renderer: messages to ids and back, by the model's template.
        self_test: run at the start; raises `ConfigurationError` where renderer and engine differ.
    """

    name = "token-in"

    def __init__(
        self,
        engine: TokenEngine,
        renderer: Renderer,
        self_test: Callable[[], None] | None = None,
    ) -> None:
        self.engine, self.renderer = engine, renderer
        self._self_test = self_test

    async def start(self) -> None:
        """Start the engine and test that it and the renderer mean the same ids."""
        await self.engine.start()
        if self._self_test is not None:
            await asyncio.to_thread(self._self_test)

    async def models(self) -> Sequence[dict[str, Any]]:
        """What the engine serves."""
        return await self.engine.models()

    async def ready(self) -> bool:
        """Whether the engine answers now."""
        return await self.engine.ready()

    async def close(self) -> None:
        """Let go of the engine."""
        await self.engine.close()

    def delivered(self, session: Session, response_id: str, reached: bool) -> None:
        """Tell the session's history whether an answer reached its client."""
        memory = session.memory
        if isinstance(memory, _Memory) and response_id in memory.responses:
            memory.history.deliver(memory.responses.index(response_id), reached)

    async def answer(self, call: Call) -> Finished:
        """Render, sample, parse."""
        terms = read_terms(call.ask, self.engine, sorted(self.renderer.stop_ids))
        memory = await self._memory(call)
        plan, tools = await self._plan(call, memory)
        tail = list(plan.prompt_ids[-_TAIL_IDS:])

        def parse(ids: Sequence[int]) -> Parsed:
            return self.renderer.parse(ids, tail, tools)

        spoken = Spoken(parse, call, response_id=new_id())
        sampled = await self._sample(call, plan.prompt_ids, terms, spoken)
        ids = sampled.ids
        parsed = await asyncio.to_thread(parse, ids) if len(ids) > _OFF_LOOP_IDS else parse(ids)
        message, remarks = message_of(
            parsed, self.renderer, ids, terms.stop, calls=bool(tools), said=spoken.said or ""
        )
        aligned = align(ids, sampled.entries)
        if terms.schema is not None:
            if sampled.finish_reason == "stop" and not _is_json(message.get("content")):
                raise CallRefused(
                    "The engine sampled without this schema: it has no grammar for something in it. "
                    "Leave out what is not plain (`not`, `uniqueItems`, look-ahead in patterns).",
                    param="response_format",
                )
            remarks.append("constrained")
        if self.engine.raw_logprobs and not terms.plain:
            remarks.append("logprobs_before_sampling_terms")
        return await off_loop(
            lambda: self._finished(call, spoken, plan, message, remarks, sampled, aligned, memory),
            large=len(plan.prompt_ids) + 10 * len(ids) > _LARGE_IDS,
        )

    async def _sample(self, call: Call, prompt: Sequence[int], terms: Terms, spoken: Spoken) -> Piece:
        """All pieces of one answer, joined; a client that streams hears of them as they come."""
        whole = Piece([])
        async for piece in self.engine.sample(prompt, terms, model=call.ask.model, pieces=call.ask.stream):
            try:
                packed(piece.ids)
            except (OverflowError, TypeError):
                raise broke_off("The engine sampled what is no token id: see its log.") from None
            whole.ids += piece.ids
            whole.entries += piece.entries
            whole.finish_reason = piece.finish_reason or whole.finish_reason
            call.sampled = len(whole.ids)  # also of an answer that is given up
            if piece.given_up:
                why = f"The engine ended the answer with {piece.finish_reason!r}"
                raise broke_off(f"{why}: it was not sampled to its end.")
            if call.ask.stream and whole.finish_reason is None and not terms.stop:
                await spoken.hear(whole.ids)
        if whole.finish_reason is None:
            raise broke_off("The engine's stream ended before its answer did: see its log.")
        return whole

    def _finished(
        self,
        call: Call,
        spoken: Spoken,
        plan: Plan,
        message: dict[str, Any],
        remarks: list[str],
        sampled: Piece,
        aligned: Aligned,
        memory: _Memory,
    ) -> Finished:
        ids, reason = sampled.ids, sampled.finish_reason or "stop"
        calls = message.get("tool_calls") or ()
        answer = completion(
            spoken.response_id,
            call.ask.model,
            message,
            "tool_calls" if calls and reason == "stop" else reason,
            prompt_tokens=len(plan.prompt_ids),
            completion_tokens=len(ids),
            logprobs=self._logprobs(ids, aligned) if call.ask.logprobs else None,
        )
        chunks: list[dict[str, Any]] = []
        if call.ask.stream:
            said = spoken.said
            if said is not None and not (message.get("content") or "").startswith(said):
                remarks.append("stream_said_otherwise")
            chunks = list(chunks_of(answer, usage=call.ask.usage, said=said))

        def kept() -> None:
            with memory.lock:
                memory.history.commit(
                    plan,
                    ids,
                    aligned.logprobs,
                    reason,
                    spoken.response_id,
                    [one["id"] for one in calls],
                    call.policy_version,
                    message=message,
                    masked=aligned.masked,
                )
                memory.responses.append(spoken.response_id)

        parent = None if plan.parent is None else memory.responses[plan.parent]
        return Finished(
            spoken.response_id,
            msgspec.json.encode(answer),
            [msgspec.json.encode(chunk) for chunk in chunks],
            len(chunks) - (2 if call.ask.usage else 1),
            prompt=packed(plan.prompt_ids),
            answer=packed(ids),
            logprobs=None if aligned.logprobs is None else packed_doubles(aligned.logprobs),
            masked=aligned.masked,
            remarks=remarks,
            restored=plan.newly,
            origin=Origin(parent, plan.fork),
            kept=kept,
        )

    def _logprobs(self, ids: Sequence[int], aligned: Aligned) -> dict[str, Any]:
        """OpenAI's form; an id without a logprob has no entry."""
        entries = []
        for one, value in zip(ids, aligned.logprobs or (), strict=False):
            if value is None:
                continue
            text = self.renderer.text([one])
            entries.append(
                {
                    "id": one,
                    "token": text,
                    "bytes": list(text.encode()),
                    "logprob": value,
                    "top_logprobs": [],
                }
            )
        return {"content": entries}

    async def _plan(self, call: Call, memory: _Memory) -> tuple[Plan, list[Mapping[str, Any]]]:
        """The prompt, and the tools that it offers."""

        def plan() -> tuple[Plan, list[Mapping[str, Any]]]:
            messages, tools = _spoken_of(call)
            with memory.lock:
                return memory.history.plan(messages, tools), tools

        size = len(call.ask.messages) + len(call.ask.fields.get("tools", b""))
        try:
            return await off_loop(plan, large=size > _OFF_LOOP_BYTES or memory.lock.locked())
        except CallRefused:
            raise
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise CallRefused(
                f"The model's template cannot render these messages: {str(error)[:500]}", param="messages"
            ) from error

    async def _memory(self, call: Call) -> _Memory:
        """The session's history; after a restart it is made anew from the log."""
        memory = call.session.memory
        if memory is None:
            call.session.memory = memory = _Memory(History(self.renderer))
            try:
                if call.session.restored:
                    await asyncio.to_thread(self._replay, memory, call)
            except BaseException:
                call.session.memory = None
                raise
            finally:
                memory.ready.set()
        assert isinstance(memory, _Memory)
        await memory.ready.wait()
        return memory

    def _replay(self, memory: _Memory, call: Call) -> None:
        assert call.past is not None
        for turn in call.past():
            asked = msgspec.json.decode(turn.request)
            tools = () if asked.get("tool_choice") == "none" else asked.get("tools") or ()
            parent = memory.responses.index(turn.parent) if turn.parent in memory.responses else None
            plan = memory.history.plan(msgspec.json.decode(turn.messages), tools, parent=parent)
            if packed(plan.prompt_ids) != turn.prompt:
                logger.warning("a turn of session %s could not be restored", call.session.id)
                continue
            choice = msgspec.json.decode(turn.body)["choices"][0]
            reason = choice["finish_reason"]
            names = [one["id"] for one in choice["message"].get("tool_calls") or ()]
            memory.history.commit(
                plan,
                list(turn.answer),
                turn.logprobs,
                "stop" if reason == "tool_calls" else reason,
                turn.response_id,
                names,
                turn.policy_version,
                delivered=not call.session.is_lost(turn.response_id),
                message=choice["message"],
                masked=turn.masked,
            )
            memory.responses.append(turn.response_id)


def _is_json(content: object) -> bool:
    try:
        msgspec.json.decode(content if isinstance(content, str) else "")
    except (ValueError, RecursionError):
        return False
    return True


def _spoken_of(call: Call) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Messages and tools, decoded and of the right form on the outside.

    Raises:
        CallRefused: they are not.
    """
    if len(call.ask.messages) > _MOST_TEXT:
        raise CallRefused(
            f"In token-in mode a conversation has at most {_MOST_TEXT} bytes, and this one has "
            f"{len(call.ask.messages)}: shorten it, or serve the model with --engine capture=URL.",
            status=413,
            param="messages",
            code="context_length_exceeded",
        )
    try:
        messages = msgspec.json.decode(call.ask.messages, type=list[dict[str, Any]])
        tools = call.ask.value("tools") or []
    except (ValueError, RecursionError):
        raise CallRefused("`messages` must be a list of objects.", param="messages") from None
    if len(messages) > _MOST_MESSAGES:
        raise CallRefused(
            f"A conversation has at most {_MOST_MESSAGES} messages, and this one has {len(messages)}.",
            param="messages",
        )
    if not all(isinstance(message.get("role"), str) for message in messages):
        raise CallRefused("Every message must have a `role`.", param="messages")
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise CallRefused("`tools` must be a list of objects.", param="tools")
    return list(messages), [] if call.ask.value("tool_choice") == "none" else tools
