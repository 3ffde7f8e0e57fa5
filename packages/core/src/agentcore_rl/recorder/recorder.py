"""The recorder of one rollout: its calls on the wire, and what callbacks say of them.

Thread-safe: a rollout's calls may come from any thread. What it holds is what the record needs,
each message once.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import msgspec

from agentcore_rl.conversation import MessageTable, TurnGraph
from agentcore_rl.decoders import decoder
from agentcore_rl.endpoint import Secret
from agentcore_rl.exceptions import LimitReached, RolloutClosed
from agentcore_rl.logs import logger_of
from agentcore_rl.messages import has_broken_arguments, loose_fingerprint
from agentcore_rl.recorder.call import CallInProgress, HeardCall, Native
from agentcore_rl.recorder.calls import Answer, Ask
from agentcore_rl.recorder.recording import Recording, Seen, recording_of, transcript_of
from agentcore_rl.recorder.token_ids import place_tokens
from agentcore_rl.redaction import Redactor
from agentcore_rl.rollout import (
    HTTPAttempt,
    Limits,
    StopReason,
    ToolExecution,
    Transcript,
    Usage,
)

__all__ = ["CallInProgress", "Native", "Recorder", "Recording", "calling"]

logger = logger_of(__name__)

_ERROR_CHARACTERS = 2000

calling: ContextVar[str | None] = ContextVar("agentcore_rl_calling", default=None)
"""Key of the model call that the framework's callbacks have announced in this context."""


class Recorder:
    """Records one rollout.

    Args:
        limits: `max_turns` and `max_tokens` refuse further calls; `deadline_s` is the caller's to keep.
        secrets: values that are replaced by *** wherever they stand in a message.
        policy_version: noted with each turn whose answer does not say another.
    """

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        secrets: Sequence[Secret] = (),
        policy_version: int | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._redactor = Redactor(secrets)
        self._policy_version = policy_version
        # Re-entrant: an adapter that is asked for a call's prompt may look at the recorder.
        self._lock = threading.RLock()
        self._origin = time.monotonic()
        self._graph = TurnGraph()
        self._tools = MessageTable()
        self._calls: list[CallInProgress] = []
        self._by_tool_call: dict[str, int] = {}
        self._by_response: dict[str, int] = {}
        self._sampled = 0
        self._mappings: dict[bytes, Mapping[str, Any]] = {}  # the latest, by their JSON
        self._callbacks: dict[str, HeardCall] = {}
        self._collected = False
        self._orphans: list[ToolExecution] = []
        self._counts: dict[str, int] = {}
        self._remarks: set[str] = set()
        self._limit: StopReason | None = None
        self._closed: str | None = None
        self.closing = threading.Event()
        """Set when the rollout is over; a wait between retries ends with it."""
        self.deadline: float | None = None
        """Monotonic time after which no retry is worth starting; None without a deadline."""

    # ---- the wire

    def begin(self, ask: Ask, *, labels: Mapping[str, Any], inferred: bool) -> CallInProgress:
        """A model call is about to be sent.

        Args:
            ask: the request as it goes on the wire.
            labels: from the request's label headers; `agent` names the agent.
            inferred: the call came from outside the rollout's own threads.

        Raises:
            RolloutClosed: the rollout is over.
            LimitReached: `max_turns` or `max_tokens` is used up.
        """
        callback = calling.get()
        with self._lock:
            heard = self._callbacks.get(callback) if callback is not None else None
            if heard is not None and heard.ended:
                # It ended in another context than this one, which still has its key.
                heard = None
            try:
                self._admit()
            except Exception:
                if heard is not None:
                    heard.refused = True
                raise
            suspect: list[str] = []
            prompt = [self._redacted(raw, suspect, self._graph.messages) for raw in ask.messages]
            agent = self._agent(labels, heard)
            place, conversations = self._place(heard)
            placement = self._graph.add(prompt, agent=agent, place=place, conversations=conversations)
            if placement.forked:
                suspect.append("forked")
            if inferred:
                suspect.append("inferred_scope")
            tools = None
            if ask.tools is not None:
                tools = self._tools.add(self._redacted(ask.tools, suspect, self._tools))
            call = CallInProgress(
                placement=placement,
                agent=agent,
                tools=tools,
                # The bytes live in the tables from here on.
                ask=replace(
                    ask,
                    body=b"",
                    messages=(),
                    tools=None,
                    sampling=self._one(ask.sampling),
                    asked=self._one(ask.asked),
                ),
                labels=self._one({**(heard.labels if heard else {}), **_told(labels)}),
                callback=heard.key if heard is not None else None,
                inferred=inferred,
                started=time.monotonic(),
                suspect=suspect,
            )
            self._calls.append(call)
            return call

    def _one(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """The equal mapping that an earlier call has: most calls differ in nothing."""
        spelling = _encoded(fields)
        if len(self._mappings) > 8:
            self._mappings.clear()
        return self._mappings.setdefault(spelling, fields)

    def refuse_if_over(self) -> None:
        """A call that is no turn (embeddings, a list of models) is about to be sent.

        Raises:
            RolloutClosed: the rollout is over.
        """
        with self._lock:
            self._refuse_if_over()

    def _refuse_if_over(self) -> None:
        if self._closed is not None:
            self._counts["refused_calls"] = self._counts.get("refused_calls", 0) + 1
            raise RolloutClosed(
                f"This rollout is over ({self._closed}); no further model call belongs to it."
            )

    def _admit(self) -> None:
        self._refuse_if_over()
        limits = self._limits
        if limits.max_turns is not None and len(self._calls) >= limits.max_turns:
            self._limit = self._limit or StopReason.TURN_LIMIT
        elif limits.max_tokens is not None and self._sampled >= limits.max_tokens:
            self._limit = self._limit or StopReason.TOKEN_LIMIT
        if self._limit is not None:
            self._counts["refused_calls"] = self._counts.get("refused_calls", 0) + 1
            what = "max_turns" if self._limit is StopReason.TURN_LIMIT else "max_tokens"
            raise LimitReached(f"This rollout's {what} is used up; no further model call is sent.")

    def _agent(self, labels: Mapping[str, Any], heard: HeardCall | None) -> str:
        """A label on the model wins; then the agent that callbacks named."""
        named = labels.get("agent")
        if named and named != "main":
            return str(named)
        return heard.agent if heard is not None else "main"

    def _place(self, heard: HeardCall | None) -> tuple[str, int]:
        """Where in its agent a call is made: the node of its graph, and for a sub-agent its caller's turn.

        In each of them a conversation may begin: a sub-agent that is called again may know nothing. Called
        several times by one turn, as many may begin there: the second value.
        """
        if heard is None:
            return "", 1
        node = str(heard.labels.get("node") or "")
        if heard.parent is None:
            return node, 1
        caller = next((call for call in reversed(self._calls) if call.agent == heard.parent), None)
        if caller is None:
            return node, 1
        answer = caller.answer_index
        calls = 0 if answer is None else len(_tool_calls(self._graph.messages[answer]))
        return f"{node}@{caller.placement.turn}", max(1, calls)

    def attempted(self, call: CallInProgress, attempt: HTTPAttempt) -> None:
        """One HTTP attempt of the call has ended."""
        with self._lock:
            if self._closed is None:
                if attempt.error is not None:
                    # Redacted before it is cut: half a key is not recognised.
                    attempt = replace(attempt, error=self._redactor.text(attempt.error)[:_ERROR_CHARACTERS])
                call.http.append(attempt)

    def since_start(self, moment: float) -> float:
        """Seconds from the rollout's acceptance to a monotonic time."""
        return moment - self._origin

    def end(self, call: CallInProgress, answer: Answer) -> None:
        """The call is over; `answer` has what came of it. A call ends once, later ends are ignored."""
        with self._lock:
            if call.ended is not None or self._closed is not None:
                return
            call.ended = time.monotonic()
            call.suspect.extend(answer.remarks)
            if answer.message is not None:
                message = self._redacted(answer.message, call.suspect, self._graph.messages)
                call.answer_index = self._graph.answer(call.placement.turn, message)
                self._note_tool_calls(message, call.placement.turn)
                if not answer.complete:
                    call.suspect.append("cut_answer")
            else:
                call.suspect.append("no_answer")
            parent = call.placement.parent
            ancestors = () if parent is None else self._graph.path(parent)
            named = self._by_response.get(answer.prompt_rest[0] or "") if answer.prompt_rest else None
            call.tokens = place_tokens(
                answer,
                (self._calls[turn].tokens for turn in ancestors),
                None if named is None else (self._calls[turn].tokens for turn in self._graph.path(named)),
            )
            if "prompt_ids_unknown" in answer.remarks:
                call.suspect.append("prompt_ids_unknown")
            if answer.response_id is not None:
                self._by_response[answer.response_id] = call.placement.turn
            sampled = answer.usage.completion_tokens if answer.usage else None
            self._sampled += sampled if sampled is not None else len(answer.answer_ids or ())
            answer.message = answer.prompt_ids = answer.answer_ids = None
            call.answer = answer

    def _note_tool_calls(self, message: bytes, turn: int) -> None:
        for call in _tool_calls(message):
            if isinstance(call.id, str) and call.id:
                self._by_tool_call[call.id] = turn

    def _redacted(self, raw: bytes, suspect: list[str], known: MessageTable) -> bytes:
        # What is in the table has been looked through: a prompt's history costs nothing.
        if not self._redactor or raw in known:
            return raw
        value = msgspec.Raw(raw)
        new = self._redactor.raw(value)
        if new is value:
            return raw
        if "redacted" not in suspect:
            suspect.append("redacted")
        return bytes(new)

    # ---- the callbacks

    def attach_collector(self) -> None:
        """A collector listens from now on, so that the cross-check means something."""
        with self._lock:
            self._collected = True

    def callback_started(
        self,
        key: str,
        *,
        agent: str,
        parent: str | None = None,
        labels: Mapping[str, Any] | None = None,
        prompt: Callable[[], Native] | None = None,
    ) -> None:
        """The framework says that a model call begins; the wire's next calls in this context are its.

        Args:
            key: names the call; any string that is unique in the rollout.
            agent: who makes it.
            parent: the agent that called this agent; None for the first.
            labels: further words of the framework (node, task, ...).
            prompt: gives the call as OpenAI messages; asked only when the call ends without having
                been on the wire (a model that cannot carry our transport), and then the record.
        """
        with self._lock:
            self._collected = True
            self._callbacks[key] = HeardCall(key, agent, parent, dict(labels or {}), calling.get(), prompt)
        calling.set(key)

    def callback_ended(
        self,
        key: str,
        *,
        answer: Mapping[str, Any] | None,
        finish_reason: str | None = None,
        usage: Usage | None = None,
        same: Callable[[Mapping[str, Any], Mapping[str, Any]], bool] | None = None,
        silent: bool = False,
    ) -> None:
        """The framework says that the call is over.

        Args:
            key: as in `callback_started`.
            answer: its answer as an OpenAI message; None when it ended without one.
            finish_reason: as the framework has it; used where the wire saw nothing.
            usage: likewise.
            same: whether an answer on the wire, and this one, are the same as far as the framework
                tells (one that tells of tool calls but not of the text beside them, say). Asked where
                they differ; None: then they differ.
            silent: without an answer, this does not say that there was none: the framework raised,
                perhaps over an answer that does not parse, and shows nothing of it.
        """
        raw = None if answer is None else _encoded(answer)
        with self._lock:
            heard = self._callbacks.get(key)
            if heard is None or heard.ended:
                return
            heard.ended = True
            heard.silent = silent and raw is None
            seen = [call for call in self._calls if call.callback == key]
            if raw is not None:
                raw = self._redacted(raw, [], self._graph.messages)
                heard.form = self._heard_form(raw, seen, same)
            prompt, heard.prompt = heard.prompt, None
            if not seen and not heard.refused and prompt is not None and self._closed is None:
                self._add_native(heard, prompt, raw, finish_reason, usage)
            outer = self._callbacks.get(heard.outer) if heard.outer is not None else None
        if calling.get() == key:
            # A call inside another's (a model that asks a model) gives the place back.
            calling.set(outer.key if outer is not None and not outer.ended else None)

    def _heard_form(
        self,
        raw: bytes,
        seen: Sequence[CallInProgress],
        same: Callable[[Mapping[str, Any], Mapping[str, Any]], bool] | None,
    ) -> int:
        """The form of a callback's answer; the wire's own where they differ in what cannot be compared."""
        index = seen[-1].answer_index if seen else None
        if index is not None:
            said = self._graph.messages[index]
            if has_broken_arguments(said) and loose_fingerprint(said) == loose_fingerprint(raw):
                return self._graph.form_of(index)
            if same is not None and _agree(same, said, raw):
                return self._graph.form_of(index)
        return self._graph.form(raw)

    def _add_native(
        self,
        heard: HeardCall,
        prompt: Callable[[], Native],
        answer: bytes | None,
        finish_reason: str | None,
        usage: Usage | None,
    ) -> None:
        """A turn that only the callbacks saw: what they say is the record, and marked so."""
        suspect: list[str] = []
        try:
            native = prompt()
            messages = [
                self._redacted(_encoded(message), suspect, self._graph.messages)
                for message in native.messages
            ]
            tools = _encoded(list(native.tools)) if native.tools else None
        except Exception as error:  # noqa: BLE001 - an adapter's fault must not break the agent's call
            self._remarks.add("unreadable_callback")
            # Its name alone: the text may quote a message.
            logger.warning(
                "A call that only callbacks saw has no form as OpenAI messages (%s).", type(error).__name__
            )
            return
        place, conversations = self._place(heard)
        placement = self._graph.add(messages, agent=heard.agent, place=place, conversations=conversations)
        call = CallInProgress(
            placement=placement,
            agent=heard.agent,
            tools=None if tools is None else self._tools.add(self._redacted(tools, suspect, self._tools)),
            ask=Ask(b"", (), None, native.model, dict(native.sampling), {}, streamed=False),
            labels=heard.labels,
            callback=heard.key,
            inferred=False,
            started=heard.started,
            suspect=[*suspect, *(["forked"] if placement.forked else [])],
            source="callbacks",
        )
        self._calls.append(call)
        call.ended = time.monotonic()
        call.answer = Answer(finish_reason=finish_reason, usage=usage, complete=answer is not None)
        if answer is None:
            call.suspect.append("no_answer")
        else:
            call.answer_index = self._graph.answer(placement.turn, answer)
            self._note_tool_calls(answer, placement.turn)
        self._sampled += (usage.completion_tokens or 0) if usage is not None else 0

    def tool_executed(self, execution: ToolExecution) -> None:
        """The framework ran (or refused) a tool call of an answer."""
        with self._lock:
            turn = self._by_tool_call.get(execution.call_id)
            if self._closed is not None:
                return
            if turn is None:
                self._orphans.append(execution)
            else:
                self._calls[turn].executions.append(execution)

    def count(self, name: str) -> None:
        """Raise one of the rollout's counts by one."""
        with self._lock:
            self._counts[name] = self._counts.get(name, 0) + 1

    def remark(self, reason: str) -> None:
        """Add a reason why the rollout's turns may not be the whole truth."""
        with self._lock:
            self._remarks.add(reason)

    # ---- the end

    @property
    def limit_reached(self) -> StopReason | None:
        """The limit that refused a call; None while none did."""
        return self._limit

    def close(self, reason: str) -> None:
        """The rollout is over: later calls are refused, later bytes of running ones are not kept."""
        with self._lock:
            self._closed = self._closed or reason
        self.closing.set()

    def transcript(self) -> Transcript:
        """The turns so far."""
        with self._lock:
            return transcript_of(self._seen())

    def finish(self) -> Recording:
        """Everything that the record needs. Close the recorder first."""
        with self._lock:
            return recording_of(
                self._seen(),
                remarks=self._remarks
                | ({"ambiguous_calls"} if self._counts.get("ambiguous_calls") else set()),
                counts=self._counts
                | ({"unplaced_tool_executions": len(self._orphans)} if self._orphans else {}),
                stop_reason=self._limit,
            )

    def _seen(self) -> Seen:
        return Seen(
            self._graph,
            self._tools,
            self._calls,
            list(self._callbacks.values()),
            collected=self._collected,
            policy_version=self._policy_version,
            origin=self._origin,
        )


def _encoded(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value, enc_hook=str)
    except (TypeError, ValueError, RecursionError):  # whatever a framework may hold in a message
        return json.dumps(value, default=str, skipkeys=True).encode()


def _agree(same: Callable[[Mapping[str, Any], Mapping[str, Any]], bool], said: bytes, heard: bytes) -> bool:
    try:
        return same(msgspec.json.decode(said), msgspec.json.decode(heard))
    except (ValueError, RecursionError):  # no UTF-8, or nested too deeply to look into
        return False


def _told(labels: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without the label of a model that was given none."""
    return {name: value for name, value in labels.items() if (name, value) != ("agent", "main")}


class _CallId(msgspec.Struct):
    id: Any = None


class _Calls(msgspec.Struct):
    tool_calls: list[_CallId] | None = None


def _tool_calls(message: bytes) -> Sequence[_CallId]:
    try:
        return decoder(_Calls).decode(message).tool_calls or ()
    except (ValueError, RecursionError):
        return ()
