"""The rollout collector: what AutoGen says of model calls and tools.

Model calls are told by the clients that `create_openai_compatible_model` makes, before they are
sent, so that the wire knows whose they are. Tools, and the calls of other clients, are told by
AutoGen's two loggers of structured records. One filter on each listens for the whole process: a
logger's level and handlers are other people's, and one listener per rollout would hear them all.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from agentcore_rl.logs import logger_of
from agentcore_rl.messages import Message
from agentcore_rl.recorder.recorder import Native, Recorder
from agentcore_rl.recorder.scope import current_recorder
from agentcore_rl.recorder.turns_so_far import RolloutData
from agentcore_rl.rollout import ToolExecution, Usage
from agentcore_rl_autogen.messages import to_openai_messages

__all__ = ["AutoGenRolloutCollector", "ModelCall"]

logger = logger_of(__name__)

_keys = itertools.count(1)
_announced: ContextVar[bool] = ContextVar("agentcore_rl_autogen_announced", default=False)
"""The model call that runs here has been told by its client."""
_speaker: ContextVar[str | None] = ContextVar("agentcore_rl_autogen_speaker", default=None)
"""Who made the latest model call here."""
_streamed: ContextVar[Sequence[Any]] = ContextVar("agentcore_rl_autogen_streamed", default=())
"""The prompt of the latest streamed call of another client."""
_MANAGERS = ("GroupChatManager", "Orchestrator")
"""Ends of team managers' names. Each of their calls shows the talk anew: none goes on with the last."""
_FINISH_REASONS = {"function_calls": "tool_calls", "unknown": None}


class AutoGenRolloutCollector:
    """Tells each rollout's recorder what AutoGen says: which agent calls, its answers, its tools.

    Make one, at import or in the entrypoint: there is nothing to attach it to. From then on it
    hears all rollouts of the process, also if it is dropped; a second one hears nothing twice.
    """

    def __init__(self) -> None:
        for ear in _EARS:
            ear.attach()
        recorder = current_recorder()
        if recorder is not None:
            recorder.attach_collector()

    def get_rollout_data(self) -> RolloutData:
        """The current rollout's turns so far, each with its full history; empty outside of a rollout."""
        return RolloutData(current_recorder())


@dataclass(eq=False)
class _Tools:
    """Tool calls of one answer, while they run."""

    agent: str
    place: str | None
    calls: Sequence[Any]
    outer: _Tools | None
    task: Callable[[], object]
    started: float = field(default_factory=time.monotonic)
    ended: list[tuple[str, Any, float]] = field(default_factory=list)

    def around(self, prompt: Sequence[Any]) -> Sequence[Any]:
        """The calls in one of which a model is given this prompt."""
        if len(self.calls) == 1:
            return self.calls
        # An agent as a tool is given the tool's task as it stands.
        said = [message.content for message in prompt if isinstance(message.content, str)]
        return [call for call in self.calls if _task(call.arguments) in said] or self.calls


_inside: ContextVar[_Tools | None] = ContextVar("agentcore_rl_autogen_inside", default=None)
"""The tool calls in which this code runs."""


class ModelCall:
    """One call of a model client, told to the recorder: `with ModelCall(...) as call`, then `answered`.

    Args:
        label: the client's label; with "main" the agent is named by where the call is made.
        prompt: AutoGen's messages.
        native: gives the call as OpenAI messages, for a client that does not pass our transport.
    """

    def __init__(self, label: str, prompt: Sequence[Any], native: Callable[[], Native] | None = None) -> None:
        self._label = label
        self._prompt = prompt
        self._native = native
        self._recorder: Recorder | None = None
        self._key = f"autogen-{next(_keys)}"
        self._answer: Any = None

    def __enter__(self) -> ModelCall:
        self._recorder = current_recorder() if _EARS[0].attached else None
        if self._recorder is not None:
            _announced.set(True)
            _start(self._recorder, self._key, self._label, self._prompt, self._native)
        return self

    def answered(self, answer: Any) -> None:
        """The client gives this `CreateResult` to the agent."""
        self._answer = answer

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._recorder is None:
            return
        _announced.set(False)
        answer = self._answer
        if answer is None:
            # AutoGen may raise over an answer that does not parse, and then shows none.
            self._recorder.callback_ended(self._key, answer=None, silent=isinstance(error, Exception))
            return
        self._recorder.callback_ended(
            self._key,
            answer=_converted(answer),
            finish_reason=_FINISH_REASONS.get(answer.finish_reason, answer.finish_reason),
            usage=Usage(answer.usage.prompt_tokens, answer.usage.completion_tokens),
        )


def _start(
    recorder: Recorder, key: str, label: str, prompt: Sequence[Any], native: Callable[[], Native] | None
) -> None:
    """Tell that a model call begins: whose it is, and in whose tool."""
    inside, place = _inside.get(), _place()
    # An agent waits for its tools, which run in tasks of their own: what its own task calls is not
    # in them, even if they never told their end.
    while inside is not None and inside.task() is asyncio.current_task():
        inside = inside.outer
    agent = _name(place) or "main"
    labels: dict[str, str] = {}
    if inside is not None and inside.place == place:  # else it is a team in a tool
        calls = inside.around(prompt)
        agent = "|".join(sorted({call.name for call in calls}))
        if len(calls) == 1:
            # Called again, a tool may begin a new conversation.
            labels["node"] = calls[0].id
    elif agent.endswith(_MANAGERS):
        labels["node"] = key
    agent = agent if label == "main" else label
    parent = inside.agent if inside is not None and inside.agent != agent else None
    _speaker.set(agent)
    recorder.callback_started(key, agent=agent, parent=parent, labels=labels, prompt=native)


def _place() -> str | None:
    """The runtime's id of the agent or team manager whose message is being handled here."""
    from autogen_core import MessageHandlerContext

    try:
        return str(MessageHandlerContext.agent_id())
    except RuntimeError:
        return None


def _name(place: str | None) -> str | None:
    """The agent's name: teams register it as `name_<team>/<team>`."""
    if place is None:
        return None
    kind, _, team = place.partition("/")
    return kind.removesuffix(f"_{team}")


def _converted(answer: Any) -> Message | None:
    try:
        [message] = to_openai_messages(answer)
    except (TypeError, ValueError) as error:
        # The agent's call is not ours to break; the cross-check tells that they differ.
        logger.warning("An answer has no form as an OpenAI message: %s", error)
        return None
    return message


# ---- AutoGen's loggers


class _Ear(logging.Filter):
    """Hears all records of a logger, and lets pass those that would have passed without it."""

    def __init__(self, name: str, level: int, hear: Callable[[Any], None]) -> None:
        super().__init__()
        self._logger = logging.getLogger(name)
        # One below what AutoGen uses: if it is another now, then somebody has set it since.
        self._level = level - 1
        self._hear = hear
        self._own = logging.NOTSET
        self._silenced = False
        self._lock = threading.Lock()
        self.attached = False

    def attach(self) -> None:
        """Listen; what configured the logger since the last time is overheard too."""
        with self._lock:
            if self._logger.level != self._level:
                self._own = self._logger.level
                self._logger.setLevel(self._level)
            self._silenced = self._logger.disabled or self._silenced
            self._logger.disabled = False
            self._logger.addFilter(self)
            self.attached = True

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            self._hear(record.msg)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not break the agent
            logger.warning("A record of AutoGen's could not be read (%s).", type(error).__name__)
        level = self._own if self._logger.level == self._level else self._logger.level
        if level == logging.NOTSET and self._logger.parent is not None:
            level = self._logger.parent.getEffectiveLevel()
        return not self._silenced and record.levelno >= level


def _hear_agent(said: Any) -> None:
    """A record of `autogen_agentchat.events`: an agent's tools begin or have ended."""
    recorder = current_recorder()
    kind = type(said).__name__
    if recorder is None or kind not in ("ToolCallRequestEvent", "ToolCallExecutionEvent"):
        return
    if kind == "ToolCallRequestEvent":
        task = asyncio.current_task()
        _inside.set(
            _Tools(
                agent=_speaker.get() or said.source,
                place=_place(),
                calls=said.content,
                outer=_inside.get(),
                task=weakref.ref(task) if task is not None else lambda: None,
            )
        )
        return
    tools = _inside.get()
    ids = [answered.call_id for answered in said.content]
    if tools is None or [call.id for call in tools.calls] != ids:
        tools = None  # they began in another context
    else:
        _inside.set(tools.outer)
    for execution in _executions(said.content, tools):
        recorder.tool_executed(execution)


def _executions(answered: Sequence[Any], tools: _Tools | None) -> Iterator[ToolExecution]:
    now = time.monotonic()
    for index, one in enumerate(answered):
        arguments, seconds = None, None
        if tools is not None:
            arguments = _parsed(tools.calls[index].arguments)
            seconds = now - tools.started if len(answered) == 1 else _duration(tools, one.name, arguments)
        unknown = one.is_error and one.content.startswith(f"Error: tool '{one.name}' not found")
        yield ToolExecution(
            call_id=one.call_id,
            name=one.name,
            arguments=arguments,
            outcome="unknown_tool" if unknown else "failed" if one.is_error else "succeeded",
            error=one.content if one.is_error else None,
            seconds=seconds,
        )


def _duration(tools: _Tools, name: str, arguments: Any) -> float | None:
    """From the beginning of all of them, which run at once, to the end of this one."""
    for index, (ended, given, moment) in enumerate(tools.ended):
        if ended == name and given == arguments:
            del tools.ended[index]
            return moment - tools.started
    return None


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return None


def _task(arguments: str) -> Any:
    parsed = _parsed(arguments)
    return parsed.get("task") if isinstance(parsed, dict) else None


def _hear_core(said: Any) -> None:
    """A record of `autogen_core.events`: a tool has ended, or another client has called a model."""
    recorder = current_recorder()
    kind = type(said).__name__
    if recorder is None:
        return
    if kind == "ToolCallEvent":
        if tools := _inside.get():
            tools.ended.append((said.kwargs["tool_name"], said.kwargs["arguments"], time.monotonic()))
    elif _announced.get():
        return
    elif kind == "LLMStreamStartEvent":
        _streamed.set(said.kwargs["messages"])
    elif kind == "LLMCallEvent":
        _hear_call(recorder, said.kwargs, said.kwargs["messages"], said.kwargs["response"])
    elif kind == "LLMStreamEndEvent":
        _hear_call(recorder, said.kwargs, _streamed.get(), said.kwargs["response"])
        _streamed.set(())


def _hear_call(
    recorder: Recorder, told: Mapping[str, Any], prompt: Sequence[Any], response: Mapping[str, Any]
) -> None:
    """A call of a client that is not ours, told when it is over: what AutoGen says is the record."""
    answer, finish_reason, model = _answer(response)
    key = f"autogen-{next(_keys)}"
    native = functools.partial(_native, prompt, told.get("tools") or (), model)
    _start(recorder, key, "main", (), native)
    recorder.callback_ended(
        key,
        answer=answer,
        finish_reason=_FINISH_REASONS.get(finish_reason or "", finish_reason),
        usage=Usage(told["prompt_tokens"], told["completion_tokens"]),
    )


def _native(prompt: Sequence[Any], tools: Sequence[Any], model: str | None) -> Native:
    """A call as its client logs it, if it does so in OpenAI's form: each client has its own.

    Raises:
        TypeError: it has another form.
    """
    for message in prompt:
        parts = message.get("content") if isinstance(message, Mapping) else ()
        kinds = {part.get("type") for part in parts if isinstance(part, Mapping)} if parts else set()
        if not isinstance(message, Mapping) or not kinds <= {"text", "image_url"}:
            raise TypeError("this client's messages are not OpenAI's")
    return Native(list(prompt), tools, model)


def _answer(response: Mapping[str, Any]) -> tuple[Message | None, str | None, str | None]:
    """Message, finish reason and model, from OpenAI's chat completion or AutoGen's `CreateResult`."""
    if response.get("choices"):
        [choice, *_] = response["choices"]
        message = {name: value for name, value in choice["message"].items() if value is not None}
        return message, choice.get("finish_reason"), response.get("model")
    if "content" not in response or "finish_reason" not in response:
        return None, None, response.get("model")
    from autogen_core.models import CreateResult

    return _converted(CreateResult.model_validate(response)), response["finish_reason"], None


_EARS = (
    _Ear("autogen_core.events", logging.INFO, _hear_core),
    _Ear("autogen_agentchat.events", logging.DEBUG, _hear_agent),
)
