"""The rollout collector: what CrewAI's events say of model calls and tools."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context, ContextVar
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from agentcore_rl.messages import Message
from agentcore_rl.model_terms import importing
from agentcore_rl.recorder.recorder import Recorder
from agentcore_rl.recorder.scope import current_recorder
from agentcore_rl.recorder.turns_so_far import RolloutData
from agentcore_rl.rollout import ToolExecution
from agentcore_rl_crewai.adapter import INSTALL, MODULES
from agentcore_rl_crewai.messages import (
    answer_message,
    finish_reason,
    native_call,
    same_as_told,
    usage,
)

__all__ = ["CrewAIRolloutCollector"]

logger = logging.getLogger(__name__)

_listening: ContextVar[bool] = ContextVar("agentcore_rl_crewai_listening", default=False)


class CrewAIRolloutCollector:
    """Tells the rollout's recorder what CrewAI's events say: which agent calls, its answers, its tools.

    Let it listen to all that runs in a block: `with collector.listening(): crew.kickoff()`. It hears
    crews, agents and flows, in threads and tasks that they start. One collector may serve any number
    of rollouts, and outside of a rollout it does nothing.
    """

    def get_rollout_data(self) -> RolloutData:
        """The current rollout's turns so far, each with its full history; empty outside of a rollout."""
        return RolloutData(current_recorder())

    @contextmanager
    def listening(self) -> Iterator[CrewAIRolloutCollector]:
        """Hear everything that CrewAI does in this block."""
        # Handlers of the event bus run in threads of its own, whose variables the model's call does
        # not see; these are called in the call's place.
        with importing(MODULES, INSTALL):
            from crewai.events.stream_context import add_stream_sink, reset_stream_sinks
        if _listening.get():  # whoever listens around this block hears it all
            yield self
            return
        _start_event_bus()
        recorder = current_recorder()
        if recorder is not None:
            recorder.attach_collector()
        listens = _listening.set(True)
        sinks = add_stream_sink(_hear)
        try:
            yield self
        finally:
            reset_stream_sinks(sinks)
            _listening.reset(listens)


@cache
def _start_event_bus() -> None:
    """Start the event bus's loop outside of any rollout.

    It starts at the process's first event, and keeps that event's context variables for good: the
    rollout, with all its messages.
    """
    from crewai.events import crewai_event_bus
    from crewai.events.base_events import BaseEvent

    class Start(BaseEvent):
        type: str = "agentcore_rl_start"

    # It starts for an event that has a handler.
    crewai_event_bus.on(Start)(lambda source, event: None)
    Context().run(crewai_event_bus.emit, None, Start())


@dataclass(slots=True, eq=False)
class _Doing:
    """Something under way, as CrewAI nests it: a crew, a task, an agent, a tool, a method of a flow.

    Attributes:
        kind: what it is, as the names of its events begin.
        within: what it is part of; None for the outermost.
        agent: role of the agent that it is; None for other things.
        method: name of the method of a flow that it is; None for other things.
        number: of such agents in the rollout, from 1: each begins a conversation of its own.
        asked: tool calls of the latest answer in it that have not begun.
        call: the tool call that it executes.
        started: monotonic.
    """

    kind: str
    within: _Doing | None
    agent: str | None = None
    method: str | None = None
    number: int = 1
    asked: list[Message] = field(default_factory=list)
    call: ToolExecution | None = None
    started: float = field(default_factory=time.monotonic)

    def around(self) -> Iterator[_Doing]:
        """Itself and what it is part of, innermost first."""
        doing: _Doing | None = self
        while doing is not None:
            yield doing
            doing = doing.within


_under_way: WeakKeyDictionary[Recorder, dict[str, _Doing]] = WeakKeyDictionary()
"""By the id of the event that told of the beginning. It ends with its rollout."""
_begun: WeakKeyDictionary[Recorder, Counter[str]] = WeakKeyDictionary()
"""How often each agent has begun, by role."""
_lock = threading.Lock()


def _hear(_: Any, event: Any) -> None:
    recorder = current_recorder()
    if recorder is None:
        return
    try:
        _HEARD.get(event.type, _other)(recorder, event)
    except Exception as error:  # noqa: BLE001 - what a sink raises would end the agent
        # Its name alone: the text may quote a message.
        logger.warning("The collector failed at %s (%s).", event.type, type(error).__name__)


def _known(recorder: Recorder) -> dict[str, _Doing]:
    return _under_way.setdefault(recorder, {})


def _begin(recorder: Recorder, event: Any, **more: Any) -> _Doing:
    with _lock:
        known = _known(recorder)
        doing = known[event.event_id] = _Doing(_kind(event), known.get(event.parent_event_id), **more)
        return doing


def _end(recorder: Recorder, event: Any) -> _Doing | None:
    with _lock:
        known = _known(recorder)
        doing = known.get(event.started_event_id)
        # CrewAI tells twice that a model call failed; the second time ends what is around it.
        return known.pop(event.started_event_id) if doing and doing.kind == _kind(event) else None


def _kind(event: Any) -> str:
    return str(event.type).rpartition("_")[0]


def _other(recorder: Recorder, event: Any) -> None:
    if event.type.endswith("_started"):
        _begin(recorder, event, method=getattr(event, "method_name", None))
    elif event.started_event_id is not None:
        _end(recorder, event)


def _agent_begins(recorder: Recorder, event: Any) -> None:
    _begin_agent(recorder, event, str(event.agent.role))


def _lone_agent_begins(recorder: Recorder, event: Any) -> None:
    _begin_agent(recorder, event, str(event.agent_info["role"]))


def _begin_agent(recorder: Recorder, event: Any, role: str) -> None:
    doing = _begin(recorder, event, agent=role)
    with _lock:
        counts = _begun.setdefault(recorder, Counter())
        counts[role] += 1
        doing.number = counts[role]


# ---- model calls


def _model_call_begins(recorder: Recorder, event: Any) -> None:
    around = list(_begin(recorder, event).around())
    agents = [doing for doing in around if doing.agent]
    # CrewAI names no agent for summaries, forced final answers and the like.
    agent = event.agent_role or (agents[0].agent if agents else None) or "main"
    labels = {"role": event.agent_role, "node": _node(around, agents)}
    recorder.callback_started(
        _key(event),
        agent=agent,
        parent=next((doing.agent for doing in agents if doing.agent != agent), None),
        labels={name: value for name, value in labels.items() if value},
        prompt=native_call(event),
    )


def _node(around: list[_Doing], agents: list[_Doing]) -> str | None:
    """The method of a flow, and which run of its agent it is: a task begins a new conversation."""
    words = [doing.method for doing in around if doing.method][:1]
    if agents and agents[0].number > 1:
        words.append(f"#{agents[0].number}")
    return " ".join(words) or None


def _model_call_ends(recorder: Recorder, event: Any) -> None:
    doing = _end(recorder, event)
    answer = answer_message(event.response)
    if doing is not None and doing.within is not None:
        with _lock:
            doing.within.asked = list(answer.get("tool_calls", ()))
    recorder.callback_ended(
        _key(event),
        answer=answer,
        finish_reason=finish_reason(event.finish_reason),
        usage=usage(event.usage),
        same=same_as_told,
    )


def _model_call_fails(recorder: Recorder, event: Any) -> None:
    _end(recorder, event)
    recorder.callback_ended(_key(event), answer=None)


def _key(event: Any) -> str:
    return f"crewai-{event.call_id}"


# ---- tools


def _tool_begins(recorder: Recorder, event: Any) -> None:
    doing = _begin(recorder, event)
    doing.call = ToolExecution(
        _call_id(doing.within, event), str(event.tool_name), arguments=_copied(event.tool_args)
    )


def _tool_ends(recorder: Recorder, event: Any) -> None:
    doing = _end(recorder, event)
    if doing is None or doing.call is None:
        return
    outcome, error = "succeeded", None
    if event.type == "tool_usage_error":
        outcome, error = "failed", str(event.error)
    elif event.failure is not None:
        unknown = event.failure.reason.value == "unknown_tool"
        outcome, error = "unknown_tool" if unknown else "failed", event.failure.message
    seconds = time.monotonic() - doing.started
    recorder.tool_executed(replace(doing.call, outcome=outcome, error=error, seconds=seconds))


def _tool_failure(recorder: Recorder, event: Any) -> None:
    """Arguments that are no JSON: the tool does not begin, and this is all that is told."""
    if isinstance(event.tool_args, str):
        with _lock:
            within = _known(recorder).get(event.parent_event_id)
        recorder.tool_executed(
            ToolExecution(
                _call_id(within, event),
                str(event.tool_name),
                outcome="failed",
                error=event.failure.message,
            )
        )


def _call_id(within: _Doing | None, event: Any) -> str:
    """Id of the tool call, which CrewAI does not tell: the next one of this name with these arguments."""
    from crewai.utilities.string_utils import sanitize_tool_name

    with _lock:
        asked = within.asked if within is not None else []
        for call in asked:
            function = call["function"]
            if sanitize_tool_name(function["name"]) == event.tool_name and _means(
                function["arguments"], event.tool_args
            ):
                asked.remove(call)
                return str(call["id"])
    return ""


def _means(arguments: str, parsed: Any) -> bool:
    if isinstance(parsed, str):
        return arguments == parsed
    try:
        return bool((json.loads(arguments) or {}) == parsed)
    except (ValueError, RecursionError):
        return False


def _copied(arguments: Any) -> Any:
    """A copy as JSON has it: a tool may change its arguments, or be called with other than JSON."""
    try:
        return msgspec.json.decode(msgspec.json.encode(arguments, enc_hook=str))
    except (RecursionError, TypeError, ValueError, msgspec.MsgspecError):
        return None


_HEARD: Mapping[str, Callable[[Recorder, Any], None]] = {
    "agent_execution_started": _agent_begins,
    "lite_agent_execution_started": _lone_agent_begins,
    "llm_call_started": _model_call_begins,
    "llm_call_completed": _model_call_ends,
    "llm_call_failed": _model_call_fails,
    "tool_usage_started": _tool_begins,
    "tool_usage_finished": _tool_ends,
    "tool_usage_error": _tool_ends,
    "tool_failure_detected": _tool_failure,
}
