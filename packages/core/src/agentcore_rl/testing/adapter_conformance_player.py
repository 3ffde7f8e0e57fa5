"""Plays scripts through an adapter's agents, and keeps what server, record and agent say of it.

Needs no pytest: the suite, the measuring of deviations and the command line play alike.
"""

from __future__ import annotations

import asyncio
import functools
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from agentcore_rl.endpoint import Endpoint
from agentcore_rl.messages import Message
from agentcore_rl.recorder.recorder import Recorder, Recording
from agentcore_rl.recorder.scope import Scope, rollout_scope
from agentcore_rl.rollout import Limits, Rollout, ToolExecution, Turns
from agentcore_rl.testing.script import Answer, Line
from agentcore_rl.testing.scripted_model import Script, ScriptedModel
from agentcore_rl.testing.served_call import ServedCall
from agentcore_rl.tools import Tool

__all__ = ["INSTRUCTIONS", "PROMPT", "TOOLS", "Played", "Player", "Way", "record_in_app", "said"]

Way: TypeAlias = Literal["async", "sync", "app"]
"""How an agent is run: awaited on a loop, called in a thread without one, or by AgentCore's app."""

INSTRUCTIONS = "You add numbers. Antworte kurz – 简短。"
"""The system prompt of the suite's agents."""
PROMPT = 'What is 1 + 2? "Quoted", ünquoted & 😀'
"""What they are asked."""

_NUMBERS = {
    "type": "object",
    "properties": {
        "a": {"type": "integer", "description": "The first number."},
        "b": {"type": "integer", "description": "The second number."},
    },
    "required": ["a", "b"],
}
_TEXT = {
    "type": "object",
    "properties": {"text": {"type": "string", "description": "Any text."}},
    "required": ["text"],
}


def _add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


def _echo(text: str) -> str:
    """Give the text back."""
    return text


def _fail(text: str) -> str:
    """Raise an error."""
    raise ValueError(text)


TOOLS = (
    Tool("add", "Add two numbers.", _NUMBERS, _add),
    Tool("echo", "Give the text back.", _TEXT, _echo),
    Tool("fail", "Raise an error.", _TEXT, _fail),
)
"""What agents of the suite are given: a tool that works, one that repeats, one that raises."""


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a script.

    Attributes:
        answer: what the agent returned; None when it raised.
        error: what it raised.
        recording: what the rollout's recorder has.
        calls: the chat completions that the server was asked for, in order of arrival.
        broken: how the script was not played as written, one sentence each.
    """

    answer: str | None
    error: BaseException | None
    recording: Recording
    calls: Sequence[ServedCall]
    broken: Sequence[str]

    @property
    def turns(self) -> Turns:
        """The recorded turns, in order."""
        return Turns(self.recording.transcript)

    @property
    def executions(self) -> list[ToolExecution]:
        """What was done with tool calls, in the order of their turns."""
        return [execution for turn in self.turns for execution in turn.stored.executions]

    @property
    def agreement(self) -> tuple[int, int, int, int]:
        """The cross-check: matched, wire only, callback only, differing."""
        counts = self.recording.crosscheck
        return counts.matched, counts.wire_only, counts.callback_only, counts.differing

    @property
    def agents(self) -> dict[str, tuple[str | None, int]]:
        """Each agent's parent and number of turns."""
        paths = self.recording.transcript.trajectories
        return {path.agent: (path.parent, len(path.turns)) for path in paths}

    @property
    def sent(self) -> list[list[bytes]]:
        """The messages of each request, byte for byte as the server got them."""
        bodies = [msgspec.json.decode(call.body, type=dict[str, msgspec.Raw]) for call in self.calls]
        return [
            [bytes(raw) for raw in msgspec.json.decode(body["messages"], type=list[msgspec.Raw])]
            for body in bodies
        ]

    @property
    def recorded(self) -> list[list[bytes]]:
        """The messages of each turn's prompt, byte for byte as they are in the record."""
        turns, messages = self.turns, self.recording.transcript.messages
        return [[bytes(messages[index]) for index in turns.prompt_indexes(turn.stored)] for turn in turns]

    @property
    def labels(self) -> set[str]:
        """Headers of ours that reached the server."""
        names = {name.lower() for call in self.calls for name, _ in call.headers}
        return {name for name in names if name.startswith("x-agentcore-rl-")}


@dataclass(frozen=True, slots=True)
class Player:
    """Builds and runs an adapter's agents against scripts.

    Attributes:
        adapter: a `FrameworkAdapter` and `AgentBuilder`.
        run_sync: the framework's own synchronous call of an agent, made in a thread without an event
            loop; None: `asyncio.run` of the adapter's `run_agent` there.
    """

    adapter: Any
    run_sync: Callable[[Any, str], str] | None = None

    def build(
        self,
        *,
        tools: Sequence[Tool] = TOOLS,
        instructions: str = INSTRUCTIONS,
        name: str = "main",
        model: Any = None,
        collector: Any = None,
        **sampling: Any,
    ) -> Any:
        """An agent with a collector; `sampling` goes to its model, unless one is given."""
        if model is None:
            model = self.adapter.create_openai_compatible_model(**sampling)
        collector = self.adapter.collector() if collector is None else collector
        return self.adapter.build_agent(model, list(tools), instructions, collector=collector, name=name)

    async def ask(self, agent: Any, prompt: str = PROMPT, *, way: Way = "async") -> str:
        """Run an agent on one prompt, awaited or in a thread of its own."""
        if way != "sync":
            return str(await self.adapter.run_agent(agent, prompt))
        if self.run_sync is not None:
            return await asyncio.to_thread(self.run_sync, agent, prompt)
        return await asyncio.to_thread(lambda: asyncio.run(self.adapter.run_agent(agent, prompt)))

    async def play(
        self,
        script: Script,
        run: Callable[[], Awaitable[Any]] | None = None,
        *,
        way: Way = "async",
        stream: bool = False,
        tools: Sequence[Tool] = TOOLS,
        limits: Limits | None = None,
        retries: int = 2,
        endpoint: Mapping[str, Any] | None = None,
        key: Callable[[ServedCall], str | None] | None = None,
        **sampling: Any,
    ) -> Played:
        """One rollout against a script.

        Args:
            script: what the model answers.
            run: what happens in the rollout; by default one agent is built and asked once.
            way: how it is run.
            stream: what the rollout's request says of streaming.
            tools: of the default agent.
            limits: of the rollout.
            retries: further HTTP attempts of one model call.
            endpoint: further fields of the `Endpoint`.
            key: which conversation of the script a call belongs to.
            **sampling: of the default agent's model.
        """

        async def plain() -> Any:
            return await self.ask(self.build(tools=tools, **sampling), way=way)

        await asyncio.to_thread(_import, self.adapter)
        recorder = Recorder(limits=limits)
        model = ScriptedModel(script, key=key).start()
        answer, error = None, None
        try:
            scope = Scope(
                Endpoint(model.base_url, **{"model": "policy-7", **(endpoint or {})}),
                recorder,
                stream=stream,
                retries=retries,
            )
            if way == "app":
                answer = await _in_app(scope, run or plain)
            else:
                with rollout_scope(scope):
                    answer = await (run or plain)()
        except Exception as raised:  # noqa: BLE001 - what it is, is for the reader to judge
            error = raised
        finally:
            recorder.close("the script is over")
            await asyncio.to_thread(model.stop)
        calls = [call for call in model.calls if call.path.startswith("/v1/chat/completions")]
        broken = [*model.violations, *(f"not read: {line!r:.200}" for line in model.unread)]
        return Played(answer, error, recorder.finish(), calls, broken)


@functools.cache
def _import(adapter: Any) -> None:
    """Import the framework: it takes seconds, for which no loop may stand still."""
    adapter.build_agent(adapter.create_openai_compatible_model(), list(TOOLS), INSTRUCTIONS)


async def _in_app(scope: Scope, run: Callable[[], Awaitable[Any]]) -> Any:
    """Run in an async handler of the app, which the SDK puts on its own loop in its own thread."""
    from agentcore_rl.aws.app import AgentCoreRLApp
    from agentcore_rl.recorder.wire import plain_client
    from agentcore_rl.settings import Settings

    app = AgentCoreRLApp(settings=Settings(None, store="", spool=Path()))
    outcome: dict[str, Any] = {}

    @app.entrypoint
    async def invoke(payload: Any, context: Any) -> dict[str, Any]:
        with rollout_scope(scope):
            try:
                outcome["answer"] = await run()
            except Exception as raised:  # noqa: BLE001 - raised again by whoever asked
                outcome["error"] = raised
        return {}

    async with _serving(app) as url, plain_client() as http:
        await http.post(f"{url}/invocations", json={"prompt": PROMPT})
    if "error" in outcome:
        raise outcome["error"]
    return outcome["answer"]


async def record_in_app(handler: Callable[..., Any], request: Mapping[str, Any], place: Path) -> Rollout:
    """Serve a rollout entrypoint as AgentCore Runtime does, ask it for one rollout, and read its record.

    Args:
        handler: the entrypoint, sync or async; its reward is 1.
        request: the payload's `_rollout`.
        place: an empty folder, for records and spool.
    """
    from agentcore_rl.aws.app import AgentCoreRLApp
    from agentcore_rl.codec import decode_record
    from agentcore_rl.recorder.wire import plain_client
    from agentcore_rl.settings import Settings

    store = place / "rollouts"
    app = AgentCoreRLApp(settings=Settings(None, store=str(store), spool=place / "spool"))
    app.rollout_entrypoint(reward=lambda payload, output, rollout: 1.0)(handler)
    async with _serving(app) as url, plain_client() as http:
        answer = await http.post(f"{url}/invocations", json={"prompt": PROMPT, "_rollout": dict(request)})
        record = store / str(answer.json().get("result_key", answer.text))
        async with asyncio.timeout(30):
            while not record.exists():  # noqa: ASYNC110 - another thread puts it there
                await asyncio.sleep(0.01)
    return decode_record(record.read_bytes())


@asynccontextmanager
async def _serving(app: Any) -> AsyncIterator[str]:
    """Serve an ASGI app on a free port of this machine, in a thread of its own; gives its url."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical"))
    thread = threading.Thread(target=server.run, name="conformance-app")
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("The app's server ended before it listened.")
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await asyncio.to_thread(thread.join)


def said(line: Line) -> Message:
    """The message that an answer of a script is; its tool calls must have ids.

    Raises:
        TypeError: the line is no whole answer.
    """
    if not isinstance(line, Answer):
        raise TypeError(f"{line!r:.100} is no whole answer.")
    message: Message = {"role": "assistant", "content": line.content}
    if line.reasoning is not None:
        message["reasoning_content"] = line.reasoning
    if line.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": call.arguments
                    if isinstance(call.arguments, str)
                    else json.dumps(call.arguments, ensure_ascii=False),
                },
            }
            for call in line.tool_calls
        ]
    return message
