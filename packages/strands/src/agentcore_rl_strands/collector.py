"""The rollout collector: what Strands' hooks say of model calls and tools."""

from __future__ import annotations

import itertools
import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import msgspec

from agentcore_rl.recorder.call import CONVERSE_FINISH_REASONS
from agentcore_rl.recorder.recorder import Native, Recorder
from agentcore_rl.recorder.scope import current_recorder
from agentcore_rl.recorder.turns_so_far import RolloutData
from agentcore_rl.rollout import ToolExecution, Usage
from agentcore_rl.tools import Tool
from agentcore_rl_strands.messages import to_openai_messages

if TYPE_CHECKING:
    from strands.hooks import (
        AfterInvocationEvent,
        AfterModelCallEvent,
        AfterToolCallEvent,
        BeforeInvocationEvent,
        BeforeModelCallEvent,
        HookRegistry,
    )

__all__ = ["StrandsRolloutCollector"]

logger = logging.getLogger(__name__)

_UNNAMED = "Strands Agents"
_keys = itertools.count(1)
_Running = tuple[str, Any]
_running: ContextVar[_Running | None] = ContextVar("agentcore_rl_strands_running", default=None)
"""The agents that run in this context, innermost first: (name, what it runs in)."""


class StrandsRolloutCollector:
    """Tells the rollout's recorder what Strands' hooks say: which agent calls, its answers, its tools.

    Attach it to each agent: `Agent(hooks=[StrandsRolloutCollector()])`. One collector may serve
    several agents and any number of rollouts. Outside of a rollout it does nothing.
    """

    def __init__(self) -> None:
        # Keyed by agent and invocation: an agent may run in several rollouts, one after another.
        self._open: dict[tuple[int, int], tuple[Recorder, str]] = {}

    def get_rollout_data(self) -> RolloutData:
        """The current rollout's turns so far, each with its full history; empty outside of a rollout."""
        return RolloutData(current_recorder())

    def register_hooks(self, registry: HookRegistry, **kwargs: Any) -> None:
        """Called by Strands when the collector is attached to an agent."""
        from strands import hooks

        registry.add_callback(hooks.BeforeInvocationEvent, self._invocation_begins)
        registry.add_callback(hooks.AfterInvocationEvent, self._invocation_ends)
        registry.add_callback(hooks.BeforeModelCallEvent, self._model_call_begins)
        registry.add_callback(hooks.AfterModelCallEvent, self._model_call_ends)
        registry.add_callback(hooks.AfterToolCallEvent, self._tool_call_ends)

    def _invocation_begins(self, event: BeforeInvocationEvent) -> None:
        recorder = current_recorder()
        if recorder is not None:
            recorder.attach_collector()
            _running.set((_name(event.agent), _running.get()))

    def _invocation_ends(self, event: AfterInvocationEvent) -> None:
        # A call that was cancelled has had no end of its own.
        self._end(event, None)
        running = _running.get()
        if running is not None and running[0] == _name(event.agent):
            _running.set(running[1])

    def _model_call_begins(self, event: BeforeModelCallEvent) -> None:
        recorder = current_recorder()
        if recorder is None:
            return
        key = f"strands-{next(_keys)}"
        self._open[_call(event)] = (recorder, key)
        # Strands goes on to change its list of messages; what they hold stays.
        agent, messages = event.agent, list(event.agent.messages)
        recorder.callback_started(
            key, agent=_name(agent), parent=_caller(agent), prompt=lambda: _native(agent, messages)
        )

    def _model_call_ends(self, event: AfterModelCallEvent) -> None:
        response = event.stop_response
        if response is None:
            self._end(event, None)
        else:
            self._end(event, response.message, CONVERSE_FINISH_REASONS.get(response.stop_reason))

    def _end(
        self, event: AfterModelCallEvent | AfterInvocationEvent, message: Any, reason: str | None = None
    ) -> None:
        recorder, key = self._open.pop(_call(event), (None, ""))
        if recorder is None:
            return
        answer = None
        if message is not None:
            try:
                [answer] = to_openai_messages(message)
            except (TypeError, ValueError) as error:
                # A hook that raises would break the agent; the cross-check tells that they differ.
                logger.warning("An answer has no form as an OpenAI message: %s", error)
        recorder.callback_ended(key, answer=answer, finish_reason=reason, usage=_usage(message))

    def _tool_call_ends(self, event: AfterToolCallEvent) -> None:
        recorder = current_recorder()
        if recorder is None:
            return
        use, error = event.tool_use, None
        if event.cancel_message is not None or event.selected_tool is not None:
            outcome = "failed" if event.result.get("status") == "error" else "succeeded"
        else:
            outcome = "unknown_tool"
        if outcome != "succeeded":
            error = event.cancel_message or (str(event.exception) if event.exception is not None else None)
            error = error or "".join(part.get("text", "") for part in event.result.get("content", []))
        recorder.tool_executed(
            ToolExecution(
                call_id=str(use.get("toolUseId")),
                name=str(use.get("name")),
                arguments=_copied(use.get("input")),
                outcome=outcome,
                error=error,
                seconds=event.duration,
            )
        )


def _name(agent: Any) -> str:
    """The agent's name; the one that Strands gives to an agent without a name is "main"."""
    name = str(agent.name)
    return "main" if name == _UNNAMED else name


def _caller(agent: Any) -> str | None:
    """Name of the agent in whose tool this agent runs; None for the first, or of the same name."""
    running = _running.get()
    outer = running[1] if running is not None else None
    return outer[0] if outer is not None and outer[0] != _name(agent) else None


def _native(agent: Any, messages: list[Any]) -> Native:
    """A call as Strands makes it, for a model that our transport does not carry."""
    system = agent.system_prompt
    prompt = [{"role": "system", "content": system}] if isinstance(system, str) and system else []
    specs = agent.tool_registry.get_all_tool_specs()
    model = getattr(agent.model, "config", None) or {}
    return Native(
        [*prompt, *to_openai_messages(messages)],
        [Tool(spec["name"], spec["description"], spec["inputSchema"]["json"]).to_openai() for spec in specs],
        model.get("model_id") if isinstance(model, dict) else None,
    )


def _usage(message: Any) -> Usage | None:
    reported = ((message or {}).get("metadata") or {}).get("usage")
    return Usage(reported["inputTokens"], reported["outputTokens"]) if reported else None


def _call(event: Any) -> tuple[int, int]:
    return id(event.agent), id(event.invocation_state)


def _copied(arguments: Any) -> Any:
    """A copy as JSON has it: a tool may change its arguments, or be called with other than JSON."""
    try:
        return msgspec.json.decode(msgspec.json.encode(arguments, enc_hook=str))
    except (RecursionError, TypeError, ValueError, msgspec.MsgspecError):
        return None
