"""The life of a call: admitted once, answered, in the log, delivered; or failed, and said so."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Coroutine
from typing import Any

import msgspec

from agentcore_rl.logs import logger_of
from agentcore_rl_gateway.answers import chunks_of, origin_of, token_fields, with_fields, with_ids
from agentcore_rl_gateway.bodies import off_loop
from agentcore_rl_gateway.call import Call, Finished, Mode
from agentcore_rl_gateway.chat import Ask
from agentcore_rl_gateway.lineage import Lineage, Placed
from agentcore_rl_gateway.log import (
    CallAnswered,
    CallFailed,
    CallLog,
    Place,
    PolicySet,
    Recovered,
    Undelivered,
)
from agentcore_rl_gateway.log.entries import Entry, SessionClosed, SessionOpened
from agentcore_rl_gateway.metrics import Metrics
from agentcore_rl_gateway.out import Out
from agentcore_rl_gateway.past import past_turns
from agentcore_rl_gateway.policy import PolicyGate
from agentcore_rl_gateway.refusals import CallRefused, Reply
from agentcore_rl_gateway.sessions import Session, Sessions

__all__ = ["Calls"]

logger = logger_of(__name__)

_BREAK_OFF_S = 5.0
"""That the calls of a session have to end when it does."""
_LARGE_ANSWER = 400_000
"""Bytes of ids and text above which an answer is put together in a thread."""


class Calls:
    """Every call of every session, and the log that they stand in.

    Args:
        mode: what answers.
        log: open, not yet replayed.
        sessions: filled from the log by `restore`.
        gate: the policy version in force.
        metrics: what is counted.
    """

    def __init__(
        self, mode: Mode, log: CallLog, sessions: Sessions, gate: PolicyGate, metrics: Metrics
    ) -> None:
        self.mode, self.log, self.sessions, self.gate, self.metrics = mode, log, sessions, gate, metrics

    # ---- what a restart finds

    def restore(self) -> None:
        """Everything that the log says: open sessions, answered calls, the policy version."""
        for place, entry in self.log.replay():
            self._restore(place, entry)
        for session in self.sessions:
            session.restored = True

    def _restore(self, place: Place, entry: Entry) -> None:
        if isinstance(entry, SessionOpened):
            self.sessions.restore(entry)
            return
        if isinstance(entry, PolicySet):
            self.gate.version = entry.version
            return
        session = self.sessions.find(entry.session)
        if session is None:  # closed since
            return
        if isinstance(entry, SessionClosed):
            self.sessions.close(session, entry.reason)
        elif isinstance(entry, CallAnswered):
            session.answered(entry, place)
            session.lineage.restore(entry.number, entry.response_id, entry)
        elif isinstance(entry, CallFailed):
            session.failed(entry)
        elif entry.number in session.numbers:
            lost = self.log.read(session.numbers[entry.number])
            if isinstance(lost, CallAnswered):
                (session.lost if isinstance(entry, Undelivered) else session.found)(lost)

    # ---- the end of a session

    async def end(self, session: Session, reason: str) -> dict[str, Any]:
        """End a session; its calls are broken off first, and what they sampled is counted.

        Returns:
            What it came to.

        Raises:
            OSError: the log cannot be written; the session is as it was, since a restart would find it so.
        """
        self.sessions.refuse(session, reason)
        if session.tasks:
            await asyncio.wait(list(session.tasks), timeout=_BREAK_OFF_S)
        summary = session.summary()
        try:
            self.log.append(SessionClosed(session.id, reason))
        except OSError:
            self.sessions.go_on(session)
            raise
        self.sessions.close(session, reason)
        return summary

    # ---- one call

    def run(self, session: Session, ask: Ask, out: Out) -> Coroutine[Any, Any, None]:
        """Answer a call, from the log where it was answered before.

        Awaiting it raises:
            CallRefused: it has no answer; the client is to be told.
        """
        return self._once(session, ask, out) if ask.call_id else self._run(session, ask, out)

    async def _once(self, session: Session, ask: Ask, out: Out) -> None:
        while (running := session.under_way.get(ask.call_id)) is not None:
            await asyncio.wait([running])
        place = session.places.get(ask.call_id)
        if place is not None:
            await self._repeat(session, ask, out, place)
            return
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        session.under_way[ask.call_id] = over
        try:
            await self._run(session, ask, out)
        finally:
            del session.under_way[ask.call_id]
            over.set_result(None)

    async def _run(self, session: Session, ask: Ask, out: Out) -> None:
        began, started = time.time(), time.monotonic()
        call = Call(session, session.begin(), ask, None, out.emit, past=lambda: past_turns(self.log, session))
        try:
            while self.gate.held:
                await self.gate.opened()
            call.policy_version = self.gate.enter()
            try:
                finished = await self.mode.answer(call)
                entry, placed = self._entry(call, finished, began, time.monotonic() - started)
                place = self._append(session, entry)
            finally:
                self.gate.leave()
        except CallRefused as refusal:
            self._failed(call, refusal.status, refusal.message)
            raise
        except asyncio.CancelledError:
            self._failed(call, 0, session.closed or "the client left before its answer was whole")
            raise
        except Exception as error:
            logger.exception("a call could not be answered")
            self._failed(call, 500, f"a defect of the gateway: {type(error).__name__}")
            raise CallRefused(
                "The gateway has a defect and could not answer this call; its log has the details.",
                status=500,
                code="internal_error",
            ) from error
        session.answered(entry, place)
        if entry.parent is not None and session.is_lost(entry.parent):
            self._found(session, entry.parent)  # who goes on with an answer has it
        if finished.kept is not None:
            finished.kept()
        self.metrics.answered(entry, time.monotonic() - started)
        try:
            if self.log.fsync:
                await self.log.settle()
            placed_on = placed.basis_id if ask.tokens and placed.follows else None
            await self._deliver(entry, placed_on, placed.prompt, finished, ask, out)
        except OSError as error:
            self._lost(session, entry)
            raise _unwritable(error) from error
        except asyncio.CancelledError:
            self._lost(session, entry)
            raise
        if out.gone:
            self._lost(session, entry)

    def _entry(
        self, call: Call, finished: Finished, began: float, seconds: float
    ) -> tuple[CallAnswered, Placed]:
        session = call.session
        try:
            placed = session.lineage.add(
                call.number, finished.response_id, call.ask.messages, finished.prompt, finished.answer
            )
        except (ValueError, OverflowError):
            raise CallRefused(
                "The engine's prompt token ids are no list of ids.", status=502, code="engine_error"
            ) from None
        parent, fork = origin_of(placed)
        if finished.origin is not None:
            parent, fork = finished.origin.parent, finished.origin.fork
        entry = CallAnswered(
            session=session.id,
            number=call.number,
            response_id=finished.response_id,
            request=call.ask.request(),
            body=finished.body,
            began=began,
            seconds=seconds,
            call_id=call.ask.call_id,
            checksum=call.ask.checksum,
            basis=placed.basis,
            messages_keep=placed.messages_keep,
            messages_new=placed.messages_new,
            parent=parent,
            prompt_keep=placed.prompt_keep,
            prompt_new=placed.prompt_new,
            answer=finished.answer,
            logprobs=finished.logprobs,
            masked=finished.masked,
            remarks=finished.remarks,
            restored=dict(finished.restored),
            fork=fork,
            policy_version=call.policy_version,
        )
        return entry, placed

    def _append(self, session: Session, entry: CallAnswered) -> Place:
        try:
            return self.log.append(entry)
        except OSError as error:
            session.lineage = Lineage()  # the next call must not refer to what is not there
            raise _unwritable(error) from error

    async def _deliver(
        self,
        entry: CallAnswered,
        placed_on: str | None,
        prompt: bytes | None,
        finished: Finished,
        ask: Ask,
        out: Out,
    ) -> None:
        body = finished.chunks[finished.last] if ask.stream else finished.body
        if ask.ids or ask.tokens:
            told = len(prompt or b"") if ask.ids or placed_on is None else len(entry.prompt_new or b"")
            dress = functools.partial(_dressed, body, entry, placed_on, prompt, ask)
            body = await off_loop(dress, large=told + len(body) > _LARGE_ANSWER)
        elif entry.policy_version is not None:
            body = with_fields(body, {"policy_version": entry.policy_version})
        if ask.stream:
            finished.chunks[finished.last] = body
            await out.end_stream(finished.chunks)
        else:
            await out.whole(Reply(200, body))

    def _prompt(self, entry: CallAnswered) -> bytes | None:
        """All ids of a prompt, put together from the log; None where they are not known."""
        line = [entry]
        while line[-1].basis is not None and line[-1].prompt_keep:
            session = self.sessions.find(entry.session)
            place = None if session is None else session.numbers.get(line[-1].basis)
            before = None if place is None else self.log.read(place)
            if not isinstance(before, CallAnswered) or before.prompt_new is None:
                return None
            line.append(before)
        whole = b""
        for one in reversed(line):
            if one.prompt_new is None:
                return None
            whole = whole[: one.prompt_keep * 4] + one.prompt_new
            if one is not entry:
                whole += one.answer or b""
        return whole

    # ---- calls that were answered before, or are not answered at all

    async def _repeat(self, session: Session, ask: Ask, out: Out, place: Place) -> None:
        entry = self.log.read(place)
        assert isinstance(entry, CallAnswered)
        if entry.checksum != ask.checksum:
            raise CallRefused(
                "This idempotency key came with another request before: give each call a key of its own.",
                status=422,
                code="idempotency_conflict",
            )
        finished = Finished(entry.response_id, entry.body)
        if ask.stream:
            parts = list(chunks_of(msgspec.json.decode(entry.body), usage=ask.usage))
            finished.chunks = [msgspec.json.encode(part) for part in parts]
            finished.last = len(parts) - (2 if ask.usage else 1)
        session.counts.repeated += 1
        prompt = await asyncio.to_thread(self._prompt, entry) if ask.ids or ask.tokens else None
        await self._deliver(entry, None, prompt, finished, ask, out)
        if session.is_lost(entry.response_id) and not out.gone:
            self._found(session, entry.response_id)

    def _found(self, session: Session, response_id: str) -> None:
        entry = self.log.read(session.place_of(response_id))
        assert isinstance(entry, CallAnswered)
        session.found(entry)
        self.mode.delivered(session, response_id, True)
        self._note(Recovered(session.id, entry.number))

    def _lost(self, session: Session, entry: CallAnswered) -> None:
        if self._holds(session) and not session.is_lost(entry.response_id):
            session.lost(entry)
            self.mode.delivered(session, entry.response_id, False)
            self.metrics.undelivered += 1
            self._note(Undelivered(session.id, entry.number))

    def _failed(self, call: Call, status: int, reason: str) -> None:
        self.metrics.failed(status)
        if not self._holds(call.session):
            return  # it is over for the log
        entry = CallFailed(
            call.session.id, call.number, status, reason[:2000], call.ask.call_id, call.sampled
        )
        call.session.failed(entry)
        self._note(entry)

    def _holds(self, session: Session) -> bool:
        return self.sessions.find(session.id) is session

    def _note(self, entry: Entry) -> None:
        """Write what no client waits for; a full disk must not hide the failure that it is about."""
        try:
            self.log.append(entry)
        except OSError:
            logger.error("the log cannot be written: a call's failure stands only here: %s", entry)


def _dressed(
    body: bytes, entry: CallAnswered, placed_on: str | None, prompt: bytes | None, ask: Ask
) -> bytes:
    """An answer, or the chunk with its finish reason, with everything that its client wants to be told."""
    fields: dict[str, Any] = {}
    if entry.policy_version is not None:
        fields["policy_version"] = entry.policy_version
    if ask.tokens:
        fields["agentcore_rl"] = token_fields(entry, placed_on, prompt)
    return with_fields(with_ids(body, prompt, entry.answer) if ask.ids else body, fields)


def _unwritable(error: OSError) -> CallRefused:
    return CallRefused(
        f"The gateway's log cannot be written ({error.strerror or error}), and no answer leaves before it "
        "stands there: make room on its disk.",
        status=503,
        code="log_unwritable",
        headers={"Retry-After": "5"},
    )
