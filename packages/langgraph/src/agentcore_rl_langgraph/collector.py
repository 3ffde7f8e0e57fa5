"""The rollout collector: what LangChain's callbacks say of model calls and tools."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID
from weakref import WeakKeyDictionary

import msgspec

from agentcore_rl.messages import Message
from agentcore_rl.model_terms import importing
from agentcore_rl.recorder.recorder import Recorder
from agentcore_rl.recorder.scope import current_recorder
from agentcore_rl.recorder.turns_so_far import RolloutData
from agentcore_rl.rollout import ToolExecution
from agentcore_rl_langgraph.adapter import FRAMEWORK, INSTALL
from agentcore_rl_langgraph.messages import (
    finish_reason,
    native_call,
    to_openai_messages,
    unparsed_answer,
    usage,
)

with importing(FRAMEWORK, INSTALL):
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.tracers.context import register_configure_hook

if TYPE_CHECKING:
    from langchain_core.messages import ToolMessage

__all__ = ["LangGraphRolloutCollector"]

logger = logging.getLogger(__name__)

_UNNAMED = "LangGraph"
_NODE = "graph:step:"
"""How LangGraph tags the run of a node; the run around it is its graph's."""


@dataclass(slots=True, eq=False)
class _Run:
    """One run of LangChain's tree: a graph, a node, a tool, a model call or a step between them.

    Attributes:
        name: of the graph, node or tool.
        up: the run around it; None for the outermost that callbacks told of.
        marked: `lc_agent_name` of its metadata: of the agent that it is, or is in.
        agent: name of the agent that a graph's run is; None for other runs.
        calls_agents: a node or a tool, after which an unnamed graph inside is called.
        has_graph: a graph runs directly in it.
        tool: what is known of a tool's execution so far.
        started: monotonic.
    """

    name: str | None
    up: _Run | None
    marked: str | None = None
    agent: str | None = None
    calls_agents: bool = False
    has_graph: bool = False
    tool: ToolExecution | None = None
    started: float = field(default_factory=time.monotonic)

    def above(self) -> Iterator[_Run]:
        """The runs around it, innermost first."""
        run = self.up
        while run is not None:
            yield run
            run = run.up

    def graph(self) -> _Run | None:
        """The innermost graph around it."""
        return next((run for run in self.above() if run.agent is not None), None)

    def become_graph(self) -> None:
        """A node ran in it: it is a graph, named by its author or after what calls it."""
        outer = self.graph()
        if self.marked and (outer is None or self.marked != outer.marked):
            self.agent = self.marked
        elif self.name and self.name != _UNNAMED:
            self.agent = self.name
        else:
            self.agent = next((run.name for run in self.above() if run.calls_agents and run.name), "main")
        if self.up is not None:
            self.up.has_graph = True


_open: WeakKeyDictionary[Recorder, dict[UUID, _Run]] = WeakKeyDictionary()
"""The runs under way. They end with their rollout: a cancelled model call has no end of its own."""
_lock = threading.Lock()


class LangGraphRolloutCollector(BaseCallbackHandler):
    """Tells the rollout's recorder what callbacks say: which agent and node calls, its answers, its tools.

    Pass it where a graph is called, `graph.invoke(..., config={"callbacks": [collector]})`, or let it
    listen to all that runs in a block: `with collector.listening(): ...`. Graphs, models and tools
    that run inside are heard as well. One collector may serve any number of rollouts, several may
    hear the same call, and outside of a rollout it does nothing.
    """

    # Else an async graph calls it in another thread, whose variables the model's call does not see.
    run_inline = True

    def get_rollout_data(self) -> RolloutData:
        """The current rollout's turns so far, each with its full history; empty outside of a rollout."""
        return RolloutData(current_recorder())

    @contextmanager
    def listening(self) -> Iterator[LangGraphRolloutCollector]:
        """Hear every LangChain call that is made in this block, without passing a config."""
        token = _listening.set(self)
        try:
            yield self
        finally:
            _listening.reset(token)

    # ---- graphs and nodes

    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        """A graph, a node or another runnable begins."""
        runs = _runs(current_recorder())
        if runs is None or run_id in runs:
            return
        run = _Run(name, runs.get(parent_run_id) if parent_run_id else None, _marked(metadata))
        runs[run_id] = run
        if any(tag.startswith(_NODE) for tag in tags or ()):
            run.calls_agents = True
            if run.up is not None and run.up.agent is None:
                run.up.become_graph()

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """It is over; a tool node may have refused calls that name no tool."""
        recorder = current_recorder()
        run = _ended(recorder, run_id)
        # What an inner graph's nodes refused has been heard from themselves.
        if recorder is not None and run is not None and run.calls_agents and not run.has_graph:
            for message in _tool_messages(outputs):
                if _is_unknown_tool(message):
                    recorder.tool_executed(
                        ToolExecution(
                            call_id=message.tool_call_id,
                            name=str(message.name),
                            outcome="unknown_tool",
                            error=str(message.text),
                        )
                    )

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """It raised."""
        _ended(current_recorder(), run_id)

    # ---- model calls

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[Any]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A model call begins."""
        recorder = current_recorder()
        runs = _runs(recorder)
        if recorder is None or runs is None or run_id in runs:
            return
        run = runs[run_id] = _Run(None, runs.get(parent_run_id) if parent_run_id else None)
        graph = run.graph()
        if graph is None:
            # The collector heard nothing of what runs around the model.
            agent, parent = _marked(metadata) or "main", None
        else:
            outer = graph.graph()
            agent = graph.agent or "main"
            parent = outer.agent if outer is not None and outer.agent != agent else None
        node = (metadata or {}).get("langgraph_node")
        recorder.callback_started(
            _key(run_id),
            agent=agent,
            parent=parent,
            labels={} if node is None else {"node": node},
            prompt=lambda: native_call(messages[0], kwargs.get("invocation_params") or {}),
        )

    def on_llm_end(self, response: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """It is over."""
        message = _first(response)
        answer = None
        if message is not None:
            try:
                [answer] = to_openai_messages(message)
            except (TypeError, ValueError) as error:
                # LangChain would only log what a callback raises; the cross-check tells that they differ.
                logger.warning("An answer has no form as an OpenAI message: %s", error)
        self._answered(run_id, answer, finish_reason=finish_reason(message), usage=usage(message))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """It raised, perhaps only after an answer: one that does not parse is one."""
        self._answered(run_id, unparsed_answer(_first(kwargs.get("response"))))

    def _answered(self, run_id: UUID, answer: Message | None, **further: Any) -> None:
        recorder = current_recorder()
        if recorder is not None and _ended(recorder, run_id) is not None:
            recorder.callback_ended(_key(run_id), answer=answer, **further)

    # ---- tools

    def on_tool_start(
        self,
        serialized: dict[str, Any] | None,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        inputs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A tool begins; without a call's id it was not the model that asked for it."""
        runs = _runs(current_recorder())
        if runs is None or run_id in runs:
            return
        name = str((serialized or {}).get("name") or kwargs.get("name") or "")
        call_id = kwargs.get("tool_call_id")
        runs[run_id] = _Run(
            name,
            runs.get(parent_run_id) if parent_run_id else None,
            _marked(metadata),
            calls_agents=True,
            tool=None if call_id is None else ToolExecution(str(call_id), name, _copied(inputs)),
        )

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """A tool returned."""
        failed = getattr(output, "status", None) == "error"
        self._executed(run_id, str(getattr(output, "text", output)) if failed else None)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """A tool raised; an interrupt is no failure, the tool runs again when the graph goes on."""
        from langgraph.errors import GraphBubbleUp

        if isinstance(error, GraphBubbleUp):
            _ended(current_recorder(), run_id)
        else:
            self._executed(run_id, str(error) or type(error).__name__)

    def _executed(self, run_id: UUID, error: str | None) -> None:
        recorder = current_recorder()
        run = _ended(recorder, run_id)
        if recorder is None or run is None or run.tool is None:
            return
        recorder.tool_executed(
            replace(
                run.tool,
                outcome="succeeded" if error is None else "failed",
                error=error,
                seconds=time.monotonic() - run.started,
            )
        )


_listening: ContextVar[LangGraphRolloutCollector | None] = ContextVar(
    "agentcore_rl_langgraph_listening", default=None
)
# With the class named, a graph that was given a collector gets no second one.
register_configure_hook(_listening, inheritable=True, handle_class=LangGraphRolloutCollector)


def _runs(recorder: Recorder | None) -> dict[UUID, _Run] | None:
    """The rollout's runs under way; None outside of a rollout."""
    if recorder is None:
        return None
    with _lock:
        runs = _open.get(recorder)
        if runs is None:
            runs = _open[recorder] = {}
            recorder.attach_collector()
        return runs


def _ended(recorder: Recorder | None, run_id: UUID) -> _Run | None:
    """The run, the first time that it is said to be over; None where its rollout knows of none."""
    runs = _runs(recorder)
    return runs.pop(run_id, None) if runs is not None else None


def _key(run_id: UUID) -> str:
    return f"langgraph-{run_id}"


def _first(response: Any) -> Any:
    """The first message of what LangChain calls a response; None without one."""
    return next((one.message for some in getattr(response, "generations", ()) for one in some), None)


def _marked(metadata: Mapping[str, Any] | None) -> str | None:
    name = (metadata or {}).get("lc_agent_name")
    return str(name) if name else None


def _tool_messages(outputs: Any) -> Iterator[ToolMessage]:
    """Tool messages of what a tool node returns: a list, or a state with one."""
    from langchain_core.messages import ToolMessage

    for part in outputs.values() if isinstance(outputs, Mapping) else [outputs]:
        for message in part if isinstance(part, list) else ():
            if isinstance(message, ToolMessage):
                yield message


def _is_unknown_tool(message: ToolMessage) -> bool:
    from langgraph.prebuilt.tool_node import INVALID_TOOL_NAME_ERROR_TEMPLATE

    refused = INVALID_TOOL_NAME_ERROR_TEMPLATE.partition("{available_tools}")[0]
    return message.status == "error" and str(message.text).startswith(
        refused.format(requested_tool=message.name)
    )


def _copied(arguments: Any) -> Any:
    """A copy as JSON has it: a tool may change its arguments, or be called with other than JSON."""
    try:
        return msgspec.json.decode(msgspec.json.encode(arguments, enc_hook=str))
    except (RecursionError, TypeError, ValueError, msgspec.MsgspecError):
        return None
