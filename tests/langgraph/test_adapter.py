"""The adapter behind core's protocols, and each deviation that it declares, both ways."""

import asyncio
import dataclasses
import os
import re
import subprocess
import sys
import textwrap
import time
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from agentcore_rl.adapter import ADAPTERS, AgentBuilder, Deviations, FrameworkAdapter
from agentcore_rl.endpoint import Endpoint
from agentcore_rl.recorder.recorder import Recorder
from agentcore_rl.recorder.scope import Scope, rollout_scope
from agentcore_rl.testing import Answer, ScriptedModel, Status, ToolCall
from agentcore_rl.tools import Tool
from agentcore_rl_langgraph import LangGraphAdapter, adapter

CALL = ToolCall("add", {"a": 1, "b": 2})
RAISING = ToolCall("add", {"a": 13, "b": 2})
BROKEN = ToolCall("add", '{"a": 1,')


def test_it_is_found_by_name():
    """The entry point gives the object that the package exports, which has both protocols."""
    assert ADAPTERS["langgraph"] is adapter
    assert ADAPTERS["langchain"] is adapter
    assert isinstance(adapter, LangGraphAdapter)
    assert isinstance(adapter, FrameworkAdapter)
    assert isinstance(adapter, AgentBuilder)
    assert adapter.name == "langgraph"
    assert dict(adapter.import_env) == {"LANGSMITH_TRACING": "false", "LANGCHAIN_TRACING_V2": "false"}


def measured(play: Any) -> Deviations:
    """The deviations as this very version of LangGraph shows them on the wire."""

    def played_with(*calls: ToolCall, stream: bool = False, **answer: Any) -> Any:
        def line(call: Any) -> Answer:
            return Answer("ok") if call.number else Answer(tool_calls=calls, **answer)

        return play(line, stream=stream)

    def bad_json(stream: bool) -> Any:
        played = played_with(BROKEN, stream=stream)
        if len(played.turns) == 1:
            return "stop"
        kept = [call["function"]["arguments"] for call in played.turns[1].prompt[2].get("tool_calls", [])]
        return {'{"a": 1,': "kept", "{}": "empty_object", '{"a": 1}': "repaired"}[kept[0]]

    text = played_with(CALL, content="Let me add.", reasoning="so").turns[1].prompt
    failed = played_with(RAISING).turns[1].prompt
    odd = played_with(ToolCall("add", '{"a":1,  "b":2}')).turns[1].prompt
    cut = play([Answer("so far", finish_reason="length")])
    bare = play([Answer("ok")], lambda: adapter.run_agent(_agent([]), "Begin."))
    return Deviations(
        bad_json=bad_json(False),
        bad_json_streamed=bad_json(True),
        tool_exception="answered",
        tool_error_text=adapter.deviations.tool_error_text
        if re.search(adapter.deviations.tool_error_text, failed[-1]["content"])
        else f"not {failed[-1]['content']}",
        keeps_reasoning=any("reasoning" in key for message in text for key in message),
        keeps_text_with_tools=bool(text[2].get("content")),
        args_reserialised=odd[2]["tool_calls"][0]["function"]["arguments"] != '{"a":1,  "b":2}',
        content_parts=isinstance(text[1]["content"], list),
        adds_name=any("name" in message for message in text),
        length_raises=cut.error is not None,
        empty_tools_list=bare.calls[0].json.get("tools") == [],
        hidden_calls=False,
    )


def test_deviations_are_what_langgraph_does(play):
    """Each field is measured, so that neither a missing nor a surplus declaration stands."""
    assert dataclasses.asdict(measured(play)) == dataclasses.asdict(adapter.deviations)


def test_an_agent_has_what_was_declared():
    """Name, instructions and tools reach the wire as they are."""
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Zürich", "Bern"]}, "days": {"type": "integer"}},
        "required": ["city"],
    }
    weather = Tool("weather-now", "The weather.", schema, lambda city, days=1: f"{city} {days}")
    with ScriptedModel([Answer("ok")]) as server:
        with rollout_scope(Scope(Endpoint(server.base_url), Recorder())):
            agent = _agent([weather], name="meteo")
            assert asyncio.run(adapter.run_agent(agent, "Begin.")) == "ok"
        body = server.calls[0].json
    assert agent.name == "meteo"
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    [sent] = body["tools"]
    [extracted] = adapter.extract_tools(agent)
    assert sent == extracted.to_openai() == weather.to_openai()


@tool
def shout(text: str) -> str:
    """Say it loud."""
    return text.upper()


def test_tools_of_a_users_agent_are_extracted():
    """Those of `create_agent` and of a graph's own tool nodes; a graph without any has none."""
    model = adapter.create_openai_compatible_model()
    graph = StateGraph(MessagesState)
    graph.add_node("act", ToolNode([shout]))
    graph.add_node("think", lambda state: state)
    graph.add_edge(START, "think")
    for agent in (create_agent(model, [shout]), graph.compile()):
        [extracted] = adapter.extract_tools(agent)
        assert (extracted.name, extracted.description) == ("shout", "Say it loud.")
        assert extracted.parameters["properties"]["text"] == {"type": "string"}
    assert adapter.extract_tools(create_agent(model, [])) == []


def test_asynchronous_tools_run(play):
    """A tool's callable may be a coroutine function."""

    async def add(a: int, b: int) -> str:
        await asyncio.sleep(0)
        return str(a + b)

    schema = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}
    played = play(
        [Answer(tool_calls=[CALL]), Answer("ok")],
        lambda: adapter.run_agent(_agent([Tool("add", "Add.", schema, add)]), "Begin."),
    )
    assert played.turns[1].prompt[-1]["content"] == "3"


def test_a_tool_without_a_function_cannot_be_given():
    """A declaration alone is for reading."""
    with pytest.raises(TypeError, match="'add' has no function"):
        _agent([Tool("add")])


@pytest.mark.parametrize("prompt", [[{"type": "text", "text": "hi"}], None])
def test_a_prompt_is_a_string(prompt: Any):
    """Nothing else may come from a payload."""
    with pytest.raises(TypeError, match="A prompt is a string"):
        asyncio.run(adapter.run_agent(_agent([]), prompt))


def test_a_built_agent_is_quiet_and_does_not_retry(play, capsys):
    """Nothing is printed, and a refusal that is left after our retries ends the agent at once."""
    played = play([Answer(tool_calls=[CALL]), Status(429)], retries=0)
    assert played.error is not None
    assert capsys.readouterr().out == ""
    assert played.recording.last_call_failed


def test_importing_the_package_imports_no_framework():
    """Importing it, and finding the adapter, cost neither LangChain nor the OpenAI SDK."""
    code = """
        import sys
        from agentcore_rl.adapter import ADAPTERS
        import agentcore_rl_langgraph, agentcore_rl_langgraph.adapter
        assert ADAPTERS["langgraph"].deviations.bad_json == "stop"
        assert agentcore_rl_langgraph.adapter is ADAPTERS["langgraph"]
        from agentcore_rl_langgraph import to_openai_messages
        print(*{name.partition(".")[0] for name in sys.modules})
    """
    loaded = set(_python(code).split())
    framework = {"langchain", "langchain_core", "langgraph", "langsmith", "openai"}
    assert loaded & (framework | {"httpx", "httpx2", "pydantic", "boto3", "bedrock_agentcore"}) == set()


@pytest.mark.parametrize(
    ("module", "named", "call"),
    [
        ("langchain_openai", "LangChain's OpenAI model", "a.create_openai_compatible_model()"),
        ("openai", "The OpenAI SDK", "a.create_openai_compatible_model()"),
        ("langchain_core", "LangChain", "a.LangGraphRolloutCollector()"),
        ("langgraph", "LangGraph", "a.adapter.build_agent(None, [], '')"),
        ("langchain", "LangChain", "a.adapter.build_agent(None, [], '')"),
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
        import agentcore_rl_langgraph as a
        from agentcore_rl.exceptions import MissingDependencyError
        try:
            {call}
        except MissingDependencyError as error:
            print(error)
    """
    assert _python(code) == (
        f'{named} is not installed here. Install it with: pip install "agentcore-rl-langgraph"\n'
    )


def test_a_rollout_opens_no_socket_but_the_endpoints():
    """Also where LangSmith was asked for: what the adapter wants set before the import silences it."""
    code = """
        import os, sys, time
        from agentcore_rl_langgraph import adapter
        os.environ.update(adapter.import_env)
        hosts = []
        def watch(name, arguments):
            if name == "socket.connect":
                hosts.append(arguments[1])
            elif name == "socket.getaddrinfo":
                hosts.append(arguments[:2])
        sys.addaudithook(watch)
        import asyncio
        from agentcore_rl.endpoint import Endpoint
        from agentcore_rl.recorder.recorder import Recorder
        from agentcore_rl.recorder.scope import Scope, rollout_scope
        from agentcore_rl.testing import Answer, ScriptedModel
        with ScriptedModel([Answer("ok"), Answer("ok")]) as server:
            with rollout_scope(Scope(Endpoint(server.base_url), Recorder())):
                agent = adapter.build_agent(
                    adapter.create_openai_compatible_model(), [], "", collector=adapter.collector()
                )
                asyncio.run(adapter.run_agent(agent, "Begin."))
                agent.invoke({"messages": [("user", "Begin.")]})
            port = int(server.base_url.split(":")[2].split("/")[0])
        strangers = {host for host in hosts if isinstance(host, str) or host[1] not in (port, str(port))}
        assert not strangers, strangers
        print(time.time())
    """
    os.environ.update(LANGSMITH_TRACING="true", LANGSMITH_API_KEY="k", LANGSMITH_ENDPOINT="http://x.invalid")

    def leaving() -> float:
        printed = float(_python(code))
        return time.time() - printed

    # A busy machine may be late once; a framework that waits for its exporters is late each time.
    assert any(leaving() < 2.0 for _ in range(3))


def test_the_adapter_leaves_a_persons_choice_of_tracing():
    """Off where nothing is set; what was set stands until a process is started with `import_env`."""
    code = "import os, agentcore_rl_langgraph; print(os.environ['LANGSMITH_TRACING'])"
    os.environ.pop("LANGSMITH_TRACING", None)
    assert _python(code) == "false\n"
    os.environ["LANGSMITH_TRACING"] = "true"
    assert _python(code) == "true\n"


def _agent(tools: list[Tool], **further: Any) -> Any:
    model = adapter.create_openai_compatible_model()
    return adapter.build_agent(model, tools, "Be brief.", **further)


def _python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
