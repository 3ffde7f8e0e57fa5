"""The adapter behind core's protocols, and each deviation that it declares, both ways."""

import asyncio
import dataclasses
import os
import re
import subprocess
import sys
import textwrap
from typing import Any

import pytest
from crewai import Agent
from crewai.tools import tool

from agentcore_rl.adapter import ADAPTERS, AgentBuilder, Deviations, FrameworkAdapter
from agentcore_rl.endpoint import Endpoint
from agentcore_rl.recorder.recorder import Recorder
from agentcore_rl.recorder.scope import Scope, rollout_scope
from agentcore_rl.testing import Answer, ScriptedModel, Status, ToolCall
from agentcore_rl.tools import Tool
from agentcore_rl_crewai import CrewAIAdapter, adapter

CALL = ToolCall("add", {"a": 1, "b": 2})
RAISING = ToolCall("add", {"a": 13, "b": 2})
BROKEN = ToolCall("add", '{"a": 1,')


def test_it_is_found_by_name():
    """The entry point gives the object that the package exports, which has both protocols."""
    assert ADAPTERS["crewai"] is adapter
    assert isinstance(adapter, CrewAIAdapter)
    assert isinstance(adapter, FrameworkAdapter)
    assert isinstance(adapter, AgentBuilder)
    assert adapter.name == "crewai"
    assert dict(adapter.import_env) == {
        "CREWAI_DISABLE_TELEMETRY": "true",
        "CREWAI_TRACING_ENABLED": "false",
        "CREWAI_DISABLE_VERSION_CHECK": "true",
    }
    assert {name: os.environ[name] for name in adapter.import_env} == dict(adapter.import_env)


def measured(play: Any) -> Deviations:
    """The deviations as this very version of CrewAI shows them on the wire."""

    def next_prompt(*calls: ToolCall, stream: bool = False, **answer: Any) -> list[dict[str, Any]]:
        played = play([Answer(tool_calls=calls, **answer), Answer("ok")], stream=stream)
        return played.turns[1].prompt

    def bad_json(stream: bool) -> Any:
        prompt = next_prompt(BROKEN, stream=stream)
        kept = [call["function"]["arguments"] for call in prompt[2].get("tool_calls", [])]
        return {'{"a": 1,': "kept", "{}": "empty_object"}[kept[0]] if kept else "dropped"

    text = next_prompt(CALL, content="Let me add.", reasoning="so")
    failed = next_prompt(RAISING)
    odd = next_prompt(ToolCall("add", '{"a":1,  "b":2}'))
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
        empty_raises=play([Answer("")]).error is not None,
        # test_collector and test_model have every kind of call, and each is heard.
        hidden_calls=False,
    )


def test_deviations_are_what_crewai_does(play):
    """Each field is measured, so that neither a missing nor a surplus declaration stands."""
    assert dataclasses.asdict(measured(play)) == dataclasses.asdict(adapter.deviations)


def test_an_agent_has_what_was_declared():
    """Name, instructions and prompt reach the wire; CrewAI's strict mode rewrites a tool's schema."""
    schema = {
        "type": "object",
        "properties": {
            "city": {"type": "string", "enum": ["Zürich", "Bern"], "description": "Where."},
            "days": {"type": "integer", "default": 1},
        },
        "required": ["city"],
    }
    weather = Tool("Weather-Now", "The weather.", schema, lambda city, days=1: f"{city} {days}")
    with ScriptedModel([Answer("ok")]) as server:
        with rollout_scope(Scope(Endpoint(server.base_url), Recorder())):
            agent = _agent([weather], name="meteo")
            assert asyncio.run(adapter.run_agent(agent, " {Begin}\n")) == "ok"
        body = server.calls[0].json
    assert agent.agent.role == "meteo"
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": " {Begin}\n"},
    ]
    [sent] = body["tools"]
    [extracted] = adapter.extract_tools(agent)
    assert sent["function"].pop("strict") is True
    assert sent == extracted.to_openai()
    parameters = sent["function"]["parameters"]
    city = parameters["properties"]["city"]
    assert (city["type"], city["enum"], city["description"]) == ("string", ["Zürich", "Bern"], "Where.")
    # Every parameter is required, and its default gone.
    assert parameters["required"] == ["city", "days"]
    assert "default" not in parameters["properties"]["days"]
    assert (extracted.name, extracted.description) == ("weather_now", "The weather.")
    assert schema["required"] == ["city"]


def test_without_instructions_there_is_no_system_message():
    """The prompt alone."""
    with ScriptedModel([Answer("ok")]) as server:
        with rollout_scope(Scope(Endpoint(server.base_url), Recorder())):
            agent = adapter.build_agent(adapter.create_openai_compatible_model(), [], "")
            asyncio.run(adapter.run_agent(agent, "Begin."))
        assert server.calls[0].json["messages"] == [{"role": "user", "content": "Begin."}]


def test_an_agent_in_a_tool_keeps_its_own_prompt(play):
    """The words of the agent that is built are verbatim; those of others are CrewAI's."""

    def ask(question: str) -> str:
        """Ask."""
        expert = Agent(
            role="Expert", goal="Know.", backstory="B", llm=adapter.create_openai_compatible_model()
        )
        return str(expert.kickoff(question).raw)

    schema = {"type": "object", "properties": {"question": {"type": "string"}}}

    def handler() -> Any:
        agent = _agent([Tool("ask", "Ask.", schema, ask)], collector=adapter.collector())
        return adapter.run_agent(agent, "Begin.")

    played = play(
        [Answer(tool_calls=[ToolCall("ask", {"question": "Why?"})]), Answer("so"), Answer("ok")], handler
    )
    inner = next(turn for turn in played.turns if turn.stored.agent == "Expert")
    assert inner.prompt[0]["content"].startswith("You are Expert.")
    assert [path.parent for path in played.recording.transcript.trajectories] == [None, "main"]


def test_tools_of_a_users_agent_are_extracted():
    """Also those that a user declared with CrewAI's own decorator."""

    @tool("shout")
    def shout(text: str) -> str:
        """Say it loud."""
        return text.upper()

    agent = Agent(
        role="R", goal="G", backstory="B", llm=adapter.create_openai_compatible_model(), tools=[shout]
    )
    [extracted] = adapter.extract_tools(agent)
    assert (extracted.name, extracted.description) == ("shout", "Say it loud.")
    assert extracted.parameters["properties"]["text"]["type"] == "string"


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


@pytest.mark.parametrize("prompt", [[{"role": "user", "content": "hi"}], {"text": "hi"}, None])
def test_a_prompt_is_a_string(prompt: Any):
    """A list of messages could bring tool calls and results that nobody made."""
    with pytest.raises(TypeError, match="A prompt is a string"):
        asyncio.run(adapter.run_agent(_agent([]), prompt))


def test_a_built_agent_is_quiet_and_does_not_retry(play, capsys):
    """Nothing is printed, and a refusal that is left after our retries ends the agent at once."""
    played = play([Answer(tool_calls=[CALL]), Status(429)], retries=0)
    assert played.error is not None
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")
    assert played.recording.last_call_failed


def test_a_long_rollout_keeps_its_tools_and_its_beginning(play):
    """CrewAI's limit of 25 iterations, and its cache of tool results, are off in agents that we build."""
    calls = [Answer(tool_calls=[ToolCall("add", {"a": number, "b": 0})]) for number in range(30)]
    played = play([*calls, Answer("ok")])
    assert len(played.turns[-1].prompt) == 62
    assert played.turns[-1].tools
    assert played.recording.suspect == []


def test_each_tool_call_runs(play):
    """With CrewAI's cache a repeated call would be answered without running; the fifth in a row ends it."""
    count = 0

    def step() -> str:
        """Go on."""
        nonlocal count
        count += 1
        return str(count)

    def handler() -> Any:
        return adapter.run_agent(_agent([Tool("step", "Go on.", function=step)]), "Begin.")

    played = play([*[Answer(tool_calls=[ToolCall("step", {})])] * 6, Answer("ok")], handler)
    assert played.output == "ok"
    assert count == 6


def test_importing_the_package_imports_no_framework():
    """Importing it, and finding the adapter, cost neither CrewAI nor the OpenAI SDK."""
    code = """
        import sys
        from agentcore_rl.adapter import ADAPTERS
        import agentcore_rl_crewai, agentcore_rl_crewai.adapter
        assert ADAPTERS["crewai"].deviations.adds_name
        assert agentcore_rl_crewai.adapter is ADAPTERS["crewai"]
        from agentcore_rl_crewai import CrewAIRolloutCollector, to_openai_messages
        print(*{name.partition(".")[0] for name in sys.modules})
    """
    loaded = set(_python(code).split())
    assert loaded & {"crewai", "openai", "httpx", "httpx2", "pydantic", "boto3", "bedrock_agentcore"} == set()


def test_nothing_but_the_endpoint_is_called_and_the_process_ends_at_once():
    """No other socket, nobody's signal handlers, no question on a terminal, an exit without a wait."""
    code = """
        import atexit, signal, sys, time
        # The first to register is the last to run. What Python itself needs to leave 2,000 modules
        # is not counted.
        atexit.register(lambda: print(time.monotonic() - ended))
        from agentcore_rl.testing import Answer, ScriptedModel
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.getsignal(number) for number in signals}
        from agentcore_rl_crewai import CrewAIRolloutCollector, create_openai_compatible_model
        from crewai import Agent, Crew, Task
        import os
        sys.stdin.isatty = sys.stdout.isatty = lambda: True
        with ScriptedModel([Answer("ok")]) as server:
            port = int(server.base_url.split(":")[2].split("/")[0])
            called = []
            def watch(name, arguments):
                if name == "socket.connect":
                    called.append(arguments[1])
                elif name == "socket.getaddrinfo":
                    called.append(arguments[:2])
            sys.addaudithook(watch)
            os.environ["BASE_URL"] = server.base_url
            by = Agent(role="R", goal="G", backstory="B", llm=create_openai_compatible_model())
            crew = Crew(agents=[by], tasks=[Task(description="Begin.", expected_output="W", agent=by)])
            with CrewAIRolloutCollector().listening():
                assert crew.kickoff().raw == "ok"
            assert {address[1] for address in called} == {port}, called
        assert before == {number: signal.getsignal(number) for number in before}
        ended = time.monotonic()
    """
    assert float(_python(code).split()[-1]) < 1


def test_a_framework_that_was_imported_first_is_warned_of():
    """It has read its settings; the sentence says which."""
    code = """
        import sys, types, warnings
        sys.modules["crewai"] = types.ModuleType("crewai")
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            import agentcore_rl_crewai
        print(len(said), said[0].message)
    """
    assert _python(code).startswith("1 crewai was imported before its adapter, which sets CREWAI_DISABLE_TEL")


@pytest.mark.parametrize(
    ("module", "named", "call"),
    [
        ("crewai", "CrewAI", "a.create_openai_compatible_model()"),
        ("openai", "The OpenAI SDK", "a.create_openai_compatible_model()"),
        ("crewai", "CrewAI", "a.CrewAIAgentCoreRLApp"),
        ("crewai", "CrewAI", "a.adapter.build_agent(None, [], '')"),
        ("crewai", "CrewAI", "a.CrewAIRolloutCollector().listening().__enter__()"),
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
        import agentcore_rl_crewai as a
        from agentcore_rl.exceptions import MissingDependencyError
        try:
            {call}
        except MissingDependencyError as error:
            print(error)
    """
    sentence = f'{named} is not installed here. Install it with: pip install "agentcore-rl-crewai"\n'
    assert _python(code) == sentence


def _agent(tools: list[Tool], **further: Any) -> Any:
    model = adapter.create_openai_compatible_model()
    return adapter.build_agent(model, tools, "Be brief.", **further)


def _python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("CREWAI_")},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_hosted_model_without_its_package_says_what_to_install():
    """CrewAI's extra, by name."""
    code = """
        import sys
        class Blocked:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] == "boto3":
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        sys.meta_path.insert(0, Blocked())
        import agentcore_rl_crewai as a
        from agentcore_rl.exceptions import MissingDependencyError
        for name in ("amazon.nova-lite-v1:0", "anthropic/claude-x"):
            try:
                a.create_openai_compatible_model(provider_model_id=name)
            except MissingDependencyError as error:
                print(error)
    """
    first, *others = _python(code).splitlines()
    assert first.endswith('Install it with: pip install "crewai[bedrock]"')
    assert all(other.endswith('Install it with: pip install "crewai[anthropic]"') for other in others)
