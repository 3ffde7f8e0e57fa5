"""The adapter behind core's protocols, and each deviation that it declares, both ways."""

import asyncio
import dataclasses
import subprocess
import sys
import textwrap
from typing import Annotated, Any

import openai
import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams import Swarm
from autogen_agentchat.tools import AgentTool
from autogen_core.tools import FunctionTool, StaticWorkbench

from agentcore_rl.adapter import ADAPTERS, AgentBuilder, Deviations, FrameworkAdapter
from agentcore_rl.endpoint import Endpoint
from agentcore_rl.recorder.recorder import Recorder
from agentcore_rl.recorder.scope import Scope, current_recorder, rollout_scope
from agentcore_rl.testing import Answer, ScriptedModel, Status, ToolCall
from agentcore_rl.tools import Tool
from agentcore_rl_autogen import AutoGenAdapter, adapter

CALL = ToolCall("add", {"a": 1, "b": 2})
RAISING = ToolCall("add", {"a": 13, "b": 2})
BROKEN = ToolCall("add", '{"a": 1,')


def test_it_is_found_by_name():
    """The entry point gives the object that the package exports, which has both protocols."""
    assert ADAPTERS["autogen"] is adapter
    assert isinstance(adapter, AutoGenAdapter)
    assert isinstance(adapter, FrameworkAdapter)
    assert isinstance(adapter, AgentBuilder)
    assert adapter.name == "autogen"
    assert dict(adapter.import_env) == {}


def measured(play: Any) -> Deviations:
    """The deviations as this very version of AutoGen shows them on the wire."""

    def next_prompt(*calls: ToolCall, stream: bool = False, **answer: Any) -> list[dict[str, Any]]:
        played = play([Answer(tool_calls=calls, **answer), Answer("ok")], stream=stream)
        return played.turns[1].prompt

    def bad_json(stream: bool) -> Any:
        prompt = next_prompt(BROKEN, stream=stream)
        kept = [call["function"]["arguments"] for call in prompt[2].get("tool_calls", [])]
        return {'{"a": 1,': "kept", "{}": "empty_object"}[kept[0]] if kept else "dropped"

    text = next_prompt(CALL, content="Let me add.", reasoning="so")
    failed = next_prompt(RAISING)[-1]["content"]
    odd = next_prompt(ToolCall("add", '{"a":1,  "b":2}'))
    cut = play([Answer("so far", finish_reason="length")])
    bare = play([Answer("ok")], lambda: adapter.run_agent(_agent([]), "Begin."))
    told = adapter.deviations.is_tool_error(failed, "thirteen brings bad luck")
    return dataclasses.replace(
        Deviations(),
        bad_json=bad_json(False),
        bad_json_streamed=bad_json(True),
        tool_exception="answered",
        tool_error_text=adapter.deviations.tool_error_text if told else f"not {failed}",
        keeps_reasoning=any("reasoning" in key for message in text for key in message),
        keeps_text_with_tools=bool(text[2].get("content")),
        args_reserialised=odd[2]["tool_calls"][0]["function"]["arguments"] != '{"a":1,  "b":2}',
        content_parts=isinstance(text[1]["content"], list),
        adds_name=any("name" in message for message in text),
        length_raises=cut.error is not None,
        empty_tools_list=bare.calls[0].json.get("tools") == [],
    )


def test_deviations_are_what_autogen_does(play):
    """Each field is measured, so that neither a missing nor a surplus declaration stands."""
    assert dataclasses.asdict(measured(play)) == dataclasses.asdict(adapter.deviations)


def test_an_agent_has_what_was_declared():
    """Name, instructions and tools reach the wire as they are; AutoGen adds `strict` alone."""
    schema = {
        "type": "object",
        "properties": {
            "city": {"type": "string", "enum": ["Zürich", "Bern"]},
            "days": {"type": "integer", "default": 1},
        },
        "required": ["city"],
    }
    weather = Tool("weather-now", "The weather.", schema, lambda city, days=1: f"{city} {days}")
    with ScriptedModel([Answer("ok")]) as server:
        with rollout_scope(Scope(Endpoint(server.base_url), Recorder())):
            agent = _agent([weather], name="1st-meteo")
            assert asyncio.run(adapter.run_agent(agent, "Begin.")) == "ok"
        body = server.calls[0].json
    assert agent.name == "_1st_meteo"
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    [sent] = body["tools"]
    assert sent["function"].pop("strict") is False
    assert sent == weather.to_openai()
    assert adapter.extract_tools(agent) == [weather]


def test_tools_of_users_agents_are_extracted():
    """Plain functions, AutoGen's own tools, handoffs, and those of all agents of a team."""

    def shout(text: Annotated[str, "What to say."]) -> str:
        """Say it loud."""
        return text.upper()

    model = adapter.create_openai_compatible_model()
    first = AssistantAgent("first", model, tools=[shout], handoffs=["second"])
    second = AssistantAgent(
        "second", model, tools=[FunctionTool(shout, "Loud.", name="loud"), AgentTool(first)]
    )
    [extracted, handoff] = adapter.extract_tools(first)
    assert (extracted.name, extracted.description) == ("shout", "Say it loud.")
    assert extracted.parameters["properties"]["text"]["description"] == "What to say."
    assert handoff.name == "transfer_to_second"
    assert [tool.name for tool in adapter.extract_tools(Swarm([first, second]))] == [
        "shout",
        "transfer_to_second",
        "loud",
        "first",
    ]


def test_tools_on_a_server_are_not_known_at_once():
    """A workbench that must be asked over a connection cannot be read without waiting."""

    class Remote(StaticWorkbench):
        async def list_tools(self) -> list[Any]:
            await asyncio.sleep(0)
            return []

    agent = AssistantAgent("first", adapter.create_openai_compatible_model(), workbench=Remote([]))
    with pytest.raises(TypeError, match="on a server"):
        adapter.extract_tools(agent)


def test_asynchronous_tools_run(play):
    """A tool's callable may be a coroutine function."""

    async def add(a: int, b: int) -> str:
        await asyncio.sleep(0)
        return str(a + b)

    schema = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}

    def handler() -> Any:
        return adapter.run_agent(_agent([Tool("add", "Add.", schema, add)]), "Begin.")

    played = play([Answer(tool_calls=[CALL]), Answer("ok")], handler)
    assert played.turns[1].prompt[-1]["content"] == "3"


def test_a_tool_without_a_function_cannot_be_given():
    """A declaration alone is for reading."""
    with pytest.raises(TypeError, match="'add' has no function"):
        _agent([Tool("add")])


@pytest.mark.parametrize("prompt", [[{"text": "hi"}], None])
def test_a_prompt_is_a_string(prompt: Any):
    """AutoGen takes messages, and none."""
    with pytest.raises(TypeError, match="A prompt is a string"):
        asyncio.run(adapter.run_agent(_agent([]), prompt))


def test_a_plain_functions_tool_runs_in_the_rollout(play):
    """AutoGen would run it in a thread without the rollout's variables."""
    seen: list[Any] = []

    def look() -> str:
        seen.append(current_recorder())
        return ""

    def handler() -> Any:
        return adapter.run_agent(_agent([Tool("look", "Look.", function=look)]), "Begin.")

    play([Answer(tool_calls=[ToolCall("look")]), Answer("ok")], handler)
    assert seen[0] is not None


def test_a_built_agent_is_quiet_and_does_not_retry(play, capsys):
    """Nothing is printed, and a refusal that is left after our retries ends the agent at once."""
    played = play([Answer(tool_calls=[CALL]), Status(429)], retries=0)
    assert isinstance(played.error, openai.RateLimitError)
    assert capsys.readouterr().out == ""
    assert played.recording.last_call_failed


def test_a_long_rollout_goes_on_and_keeps_its_beginning(play):
    """By default AutoGen's agents stop after one round of tools."""
    played = play([*[Answer(tool_calls=[CALL])] * 25, Answer("ok")])
    assert len(played.turns[-1].prompt) == 52
    assert played.recording.suspect == []


def test_importing_the_package_imports_no_framework():
    """Importing it, and finding the adapter, cost neither AutoGen nor the OpenAI SDK."""
    code = """
        import sys
        from agentcore_rl.adapter import ADAPTERS
        import agentcore_rl_autogen, agentcore_rl_autogen.adapter
        assert ADAPTERS["autogen"].deviations.bad_json == "kept"
        assert agentcore_rl_autogen.adapter is ADAPTERS["autogen"]
        from agentcore_rl_autogen import AutoGenRolloutCollector, to_openai_messages
        print(*{name.partition(".")[0] for name in sys.modules})
    """
    loaded = set(_python(code).split())
    assert (
        loaded
        & {
            "autogen_agentchat",
            "autogen_core",
            "autogen_ext",
            "openai",
            "httpx",
            "httpx2",
            "pydantic",
            "boto3",
            "bedrock_agentcore",
        }
        == set()
    )


@pytest.mark.parametrize(
    ("module", "named", "call"),
    [
        ("autogen_core", "AutoGen", "a.create_openai_compatible_model()"),
        ("autogen_ext", "AutoGen's extensions", "a.create_openai_compatible_model()"),
        ("openai", "The OpenAI SDK", "a.create_openai_compatible_model()"),
        ("tiktoken", "AutoGen's OpenAI extension", "a.create_openai_compatible_model()"),
        ("autogen_agentchat", "AutoGen AgentChat", "a.adapter.build_agent(None, [], '')"),
        ("autogen_agentchat", "AutoGen AgentChat", "a.to_openai_messages([])"),
    ],
)
def test_a_missing_framework_is_one_sentence(module: str, named: str, call: str):
    """With the command that installs it."""
    code = f"""
        import sys
        class Blocked:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] == {module!r}:
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        sys.meta_path.insert(0, Blocked())
        import agentcore_rl_autogen as a
        from agentcore_rl.exceptions import MissingDependencyError
        try:
            {call}
        except MissingDependencyError as error:
            print(error)
    """
    sentence = f'{named} is not installed here. Install it with: pip install "agentcore-rl-autogen"\n'
    assert _python(code) == sentence


def _agent(tools: list[Tool], **further: Any) -> Any:
    model = adapter.create_openai_compatible_model()
    return adapter.build_agent(model, tools, "Be brief.", **further)


def _python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
