"""What the collector tells beyond the contract of every adapter."""

import asyncio
from typing import Any

from agent_framework import Agent
from agentcore_rl_agent_framework import AgentFrameworkRolloutCollector, create_openai_compatible_model

from agentcore_rl.endpoint import Endpoint
from agentcore_rl.recorder.recorder import Recorder, Recording
from agentcore_rl.recorder.scope import Scope, rollout_scope
from agentcore_rl.rollout import Turns
from agentcore_rl.testing import Answer, ScriptedModel, ToolCall


def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


def _agent(**options: Any) -> Agent[Any]:
    model = create_openai_compatible_model()
    return Agent(model, middleware=[AgentFrameworkRolloutCollector()], **options)


def _record(server: ScriptedModel, run: Any) -> Recording:
    recorder = Recorder()
    with rollout_scope(Scope(Endpoint(server.base_url), recorder)):
        asyncio.run(run)
    recorder.close("done")
    return recorder.finish()


def test_an_agent_as_a_tool_has_its_caller() -> None:
    """`Agent.as_tool`, the framework's own way, with a model that both share."""
    boss = [Answer(tool_calls=[ToolCall("solver", {"task": "1+2?"}, id="call_1")]), Answer("so 3")]
    script = {"boss": boss, "solver": [Answer("3")]}

    async def run() -> None:
        solver = _agent(name="solver", instructions="[[conversation:solver]]")
        await _agent(name="boss", instructions="[[conversation:boss]]", tools=[solver.as_tool()]).run("hi")

    with ScriptedModel(script) as server:
        recording = _record(server, run())
    paths = recording.transcript.trajectories
    assert {path.agent: (path.parent, len(path.turns)) for path in paths} == {
        "boss": (None, 2),
        "solver": ("boss", 1),
    }
    assert recording.suspect == []


def test_a_stream_that_nobody_reads_to_its_end() -> None:
    """The turn is cut, and callbacks do not claim an answer."""

    async def run() -> None:
        stream = _agent().run("hi", stream=True)
        async with stream:
            async for _ in stream:
                break

    with ScriptedModel([Answer("one two three four")]) as server:
        recording = _record(server, run())
        server.settle()
    assert recording.crosscheck.differing + recording.crosscheck.wire_only == 0


def test_arguments_that_are_no_json() -> None:
    """No tool runs with them: the execution failed, and the next prompt has them as they were."""
    script = [Answer(tool_calls=[ToolCall("add", '{"a": 1', id="call_1")]), Answer("ok")]
    with ScriptedModel(script) as server:
        recording = _record(server, _agent(tools=[add]).run("hi"))
    first, second = Turns(recording.transcript)
    [execution] = first.stored.executions
    assert (execution.outcome, execution.arguments) == ("failed", None)
    assert second.prompt[-2]["tool_calls"][0]["function"]["arguments"] == '{"a": 1'


def test_an_agent_with_a_session_keeps_its_history() -> None:
    """A second run's prompt extends the first's; from then on answers carry the agent's name."""

    async def run() -> None:
        agent = _agent(name="clerk")
        session = agent.create_session()
        await agent.run("one?", session=session)
        await agent.run("two?", session=session)

    with ScriptedModel([Answer("1"), Answer("2")]) as server:
        recording = _record(server, run())
    second = Turns(recording.transcript)[1]
    assert [message["role"] for message in second.prompt] == ["user", "assistant", "user"]
    assert (second.stored.parent, second.prompt[1].get("name")) == (0, "clerk")
    assert recording.suspect == []
