"""The rollout collector: what the Agent Framework's middleware sees of model calls and tools."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from agentcore_rl.logs import logger_of
from agentcore_rl.model_terms import importing
from agentcore_rl.recorder.recorder import Native, Recorder, calling
from agentcore_rl.recorder.scope import current_recorder
from agentcore_rl.recorder.turns_so_far import RolloutData
from agentcore_rl.rollout import ToolExecution, Usage
from agentcore_rl.tools import Tool
from agentcore_rl_agent_framework.adapter import INSTALL, MODULES
from agentcore_rl_agent_framework.messages import to_openai_messages

with importing(MODULES, INSTALL):
    from agent_framework import (
        AgentContext,
        AgentMiddleware,
        ChatContext,
        ChatMiddleware,
        ChatResponse,
        Content,
        FunctionInvocationContext,
        FunctionMiddleware,
        FunctionTool,
        Message,
        ResponseStream,
        prepend_instructions_to_messages,
    )

__all__ = ["AgentFrameworkRolloutCollector"]

logger = logger_of(__name__)

_keys = itertools.count(1)
_NOT_SAMPLING = {"conversation_id", "instructions", "messages", "model", "store", "tools", "user"}
_Next = Callable[[], Awaitable[None]]


@dataclass(slots=True, eq=False)
class _Run:
    """One run of an agent.

    Attributes:
        recorder: of the rollout.
        agent: its name.
        outer: the run in whose tool it is; None for the first.
        asked: tool calls of its answers that nothing has been heard of since, by their ids.
    """

    recorder: Recorder
    agent: str
    outer: _Run | None
    asked: dict[str, Content] = field(default_factory=dict)

    @property
    def parent(self) -> str | None:
        """The agent in whose tool this one runs; None for the first, or of the same name."""
        return self.outer.agent if self.outer is not None and self.outer.agent != self.agent else None


_running: ContextVar[_Run | None] = ContextVar("agentcore_rl_agent_framework_running", default=None)


class AgentFrameworkRolloutCollector(AgentMiddleware):
    """Tells the rollout's recorder which agent calls, its answers, its tools.

    Attach it to each agent: `Agent(middleware=[AgentFrameworkRolloutCollector()])`. One collector may
    serve several agents and any number of rollouts. Outside of a rollout it does nothing.
    """

    def get_rollout_data(self) -> RolloutData:
        """The current rollout's turns so far, each with its full history; empty outside of a rollout."""
        return RolloutData(current_recorder())

    async def process(self, context: AgentContext, call_next: _Next) -> None:
        """Called by the framework around each run of an agent."""
        recorder = current_recorder()
        if recorder is None:
            return await call_next()
        recorder.attach_collector()
        run = _Run(recorder, str(context.agent.name or "main"), _running.get())
        # Behind those of others, so that they see what is sent and what came.
        inner = [*(context.client_kwargs.get("middleware") or ()), _CALLS, _TOOLS]
        context.client_kwargs = {**context.client_kwargs, "middleware": inner}
        with _within(run):
            await call_next()
        if isinstance(context.result, ResponseStream):
            # It has not begun: it runs, pull by pull, where it is read.
            context.result.with_pull_context_manager(lambda: _within(run))
        return None


@contextmanager
def _within(run: _Run) -> Iterator[None]:
    token = _running.set(run)
    try:
        yield
    finally:
        _running.reset(token)


class _Calls(ChatMiddleware):
    """Around each model call of a run. It has no state: a client keeps the last run's middleware."""

    async def process(self, context: ChatContext, call_next: _Next) -> None:
        run = _running.get()
        if run is None:
            return await call_next()
        call = _Call(run, f"agent-framework-{next(_keys)}")
        call.begins(context)
        try:
            await call_next()
        except BaseException:
            call.breaks_off()
            raise
        if isinstance(context.result, ResponseStream):
            context.result.with_pull_context_manager(call.pull).with_result_hook(call.ends)
        elif isinstance(context.result, ChatResponse):
            call.ends(context.result)
        return None


@dataclass(frozen=True, slots=True)
class _Call:
    """One model call, told to the recorder."""

    run: _Run
    key: str

    def begins(self, context: ChatContext) -> None:
        self._tell_of_unheard(context.messages)
        # The framework goes on to change its list of messages; what they hold stays.
        messages, options = list(context.messages), dict(context.options or {})
        model = getattr(context.client, "model", None)
        self.run.recorder.callback_started(
            self.key,
            agent=self.run.agent,
            parent=self.run.parent,
            prompt=lambda: _native(messages, options, model),
        )

    def breaks_off(self) -> None:
        self.run.recorder.callback_ended(self.key, answer=None)

    @contextmanager
    def pull(self) -> Iterator[None]:
        """Around the wait for each piece of a streamed answer, in whichever task that is."""
        token = calling.set(self.key)
        try:
            yield
        except StopAsyncIteration:
            raise
        except BaseException:
            self.breaks_off()
            raise
        finally:
            calling.reset(token)

    def ends(self, response: ChatResponse[Any]) -> None:
        calls = [content for message in response.messages for content in message.contents]
        self.run.asked.update(
            {str(content.call_id): content for content in calls if content.type == "function_call"}
        )
        answer = None
        try:
            [answer] = to_openai_messages(response.messages)
        except (TypeError, ValueError) as error:
            # A middleware that raises would break the agent; the cross-check tells that they differ.
            logger.warning("An answer has no form as an OpenAI message: %s", error)
        counted = response.usage_details or {}
        usage = Usage(counted.get("input_token_count"), counted.get("output_token_count"))
        self.run.recorder.callback_ended(
            self.key, answer=answer, finish_reason=response.finish_reason, usage=usage if counted else None
        )

    def _tell_of_unheard(self, messages: Sequence[Message]) -> None:
        """Calls that were answered without a tool having run: there is none of that name."""
        for message in messages:
            for content in message.contents:
                if content.type != "function_result":
                    continue
                asked = self.run.asked.pop(str(content.call_id), None)
                if asked is not None:
                    error = content.exception or str(content.result)
                    self.run.recorder.tool_executed(_execution(asked, outcome="unknown_tool", error=error))


class _Tools(FunctionMiddleware):
    """Around each tool of a run."""

    async def process(self, context: FunctionInvocationContext, call_next: _Next) -> None:
        run = _running.get()
        asked = None if run is None else run.asked.pop(str(context.metadata.get("call_id")), None)
        if run is None or asked is None:
            return await call_next()
        started = time.monotonic()
        try:
            await call_next()
        except Exception as error:
            seconds = time.monotonic() - started
            run.recorder.tool_executed(_execution(asked, outcome="failed", error=str(error), seconds=seconds))
            raise
        run.recorder.tool_executed(_execution(asked, seconds=time.monotonic() - started))
        return None


_CALLS, _TOOLS = _Calls(), _Tools()


def _execution(asked: Content, **told: Any) -> ToolExecution:
    arguments: Any = asked.arguments
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except ValueError:
            arguments = None
    elif isinstance(arguments, Mapping):
        arguments = dict(arguments)
    return ToolExecution(str(asked.call_id), str(asked.name), arguments, **told)


def _native(messages: list[Message], options: Mapping[str, Any], model: str | None) -> Native:
    """A call as the framework makes it, for a model that our transport does not carry."""
    instructions = options.get("instructions")
    if instructions:
        messages = prepend_instructions_to_messages(messages, instructions)
    tools = [tool for tool in options.get("tools") or () if isinstance(tool, FunctionTool)]
    return Native(
        to_openai_messages(messages),
        [Tool(tool.name, tool.description, dict(tool.parameters())).to_openai() for tool in tools],
        options.get("model") or model,
        {name: value for name, value in options.items() if name not in _NOT_SAMPLING and value is not None},
    )
