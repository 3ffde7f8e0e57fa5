"""What the collector adds to the wire: which agent, which tools, and a second witness."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import openai
import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import MaxMessageTermination, TextMentionTermination
from autogen_agentchat.teams import RoundRobinGroupChat, SelectorGroupChat, Swarm
from autogen_agentchat.tools import AgentTool, TeamTool
from autogen_core import CancellationToken
from autogen_core.tools import FunctionTool
from autogen_ext.models.openai import OpenAIChatCompletionClient
from pydantic import BaseModel, ValidationError

from agentcore_rl.endpoint import Endpoint
from agentcore_rl.recorder.recorder import Recorder
from agentcore_rl.recorder.scope import Scope, rollout_scope, scoped
from agentcore_rl.rollout import Limits, StopReason
from agentcore_rl.testing import Answer, CutStream, ScriptedModel, Status, ToolCall
from agentcore_rl.tools import Tool
from agentcore_rl_autogen import AutoGenRolloutCollector, adapter, create_openai_compatible_model
from played import Moment

both_ways = pytest.mark.parametrize("stream", [False, True])
ONE = ToolCall("add", {"a": 1, "b": 2})
COLLECTOR = AutoGenRolloutCollector()  # as users have it: made at import, for all rollouts


def plain_agent(name: str = "solver", model: Any = None, **further: Any) -> AssistantAgent:
    """An agent as users make them, without our AgentBuilder; its instructions are its name."""
    return AssistantAgent(
        name,
        model_client=model or create_openai_compatible_model(),
        system_message=name,
        **{"max_tool_iterations": 9, **further},
    )


def paths(recorded: Any) -> dict[str, tuple[str | None, int]]:
    """Of each trajectory: its agent, parent, and number of turns."""
    trajectories = getattr(recorded, "recording", recorded).transcript.trajectories
    return {path.agent: (path.parent, len(path.turns)) for path in trajectories}


def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


@both_ways
def test_a_tool_is_called_and_answered(play, stream: bool):
    """The plain case: two turns, one trajectory, one execution, both witnesses agree on everything."""
    played = play([Answer(tool_calls=[ONE]), Answer("3")], stream=stream)
    assert played.output == "3"
    played.assert_as_served()
    first, second = played.turns
    assert second.stored.parent == first.stored.id
    assert second.prompt[-1] == {
        "role": "tool",
        "tool_call_id": first.answer["tool_calls"][0]["id"],
        "content": "3",
    }
    [execution] = played.executions
    assert (execution.name, execution.arguments, execution.outcome) == ("add", {"a": 1, "b": 2}, "succeeded")
    assert execution.seconds is not None
    assert execution.seconds >= 0
    assert first.stored.usage is not None
    assert played.agreement == (2, 0, 0, 0)
    assert played.recording.suspect == []
    assert paths(played) == {"main": (None, 2)}


@both_ways
def test_parallel_calls_text_and_errors(play, stream: bool):
    """Four calls beside a text: one succeeds, one raises, one names no tool, one is no JSON."""
    calls = [ONE, ToolCall("add", {"a": 13, "b": 2}), ToolCall("nosuch", {"x": "ß"}), ToolCall("add", '{"a"')]
    played = play(
        [Answer("Four at once… 你好", tool_calls=calls, reasoning="hm"), Answer("so be it", reasoning="hm")],
        stream=stream,
    )
    assert played.output == "so be it"
    done = played.executions
    assert [execution.outcome for execution in done] == ["succeeded", "failed", "unknown_tool", "failed"]
    assert done[0].error is None
    assert done[1].error == "thirteen brings bad luck"
    assert [execution.arguments for execution in done] == [
        {"a": 1, "b": 2},
        {"a": 13, "b": 2},
        {"x": "ß"},
        None,
    ]
    assert done[0].seconds is not None
    assert done[1].seconds is None  # AutoGen does not tell when one of several failed
    assert [message["content"] for message in played.turns[1].prompt[-4:-1]] == [
        "3",
        "thirteen brings bad luck",
        "Error: tool 'nosuch' not found in any workbench",
    ]
    assert played.turns[1].prompt[2]["content"] == "Four at once… 你好"
    assert played.turns[0].answer["reasoning_content"] == "hm"
    assert played.turns[1].stored.parent == 0
    assert played.agreement == (2, 0, 0, 0)
    assert played.recording.suspect == []


def test_tool_results_keep_the_order_of_the_calls(play):
    """Tools run at once; a slow first one still answers first, and each one's seconds are its own."""

    def wait(seconds: float) -> str:
        time.sleep(seconds)
        return f"waited {seconds}"

    slow = Tool("wait", "Wait.", {"type": "object", "properties": {"seconds": {"type": "number"}}}, wait)
    calls = [ToolCall("wait", {"seconds": 0.2}), ToolCall("wait", {"seconds": 0.01})]

    def handler() -> Any:
        return adapter.run_agent(adapter.build_agent(create_openai_compatible_model(), [slow], ""), "Begin.")

    played = play([Answer(tool_calls=calls), Answer("ok")], handler)
    assert [message["content"] for message in played.turns[1].prompt[-2:]] == ["waited 0.2", "waited 0.01"]
    first, second = played.executions
    assert (first.arguments["seconds"], second.arguments["seconds"]) == (0.2, 0.01)
    assert second.seconds < 0.2 <= first.seconds


@both_ways
@pytest.mark.parametrize("content", ["", None])
def test_empty_answers_are_answers(play, content: str | None, stream: bool):
    """Null and empty are the same; AutoGen warns of them in a stream, and goes on."""

    def handler() -> Any:
        agent = plain_agent()
        if not stream:
            return adapter.run_agent(agent, "Begin.")
        with pytest.warns(UserWarning, match="No text content"):
            return asyncio.run(adapter.run_agent(agent, "Begin."))

    played = play([Answer(content)], handler, stream=stream)
    assert played.output == ""
    assert played.agreement == (1, 0, 0, 0)
    assert played.recording.suspect == []


# ---- who called


def test_a_clients_label_names_its_calls(play):
    """One client per agent is right everywhere; one for all is right in teams alone."""

    async def handler() -> None:
        shared = create_openai_compatible_model()
        await plain_agent("first", create_openai_compatible_model(agent="writer")).run(task="Begin.")
        await plain_agent("second", shared).run(task="Begin.")

    played = play([Answer("1"), Answer("2")], handler)
    assert paths(played) == {"writer": (None, 1), "main": (None, 1)}
    assert played.agreement == (2, 0, 0, 0)


@both_ways
def test_the_agents_of_a_team_stand_side_by_side(play, stream: bool):
    """In a team AutoGen's runtime knows who speaks, also through one shared client."""

    async def handler() -> str:
        model = create_openai_compatible_model()
        agents = [
            plain_agent("alice", model, tools=[add], model_client_stream=stream),
            plain_agent("bob", model, model_client_stream=stream),
        ]
        result = await RoundRobinGroupChat(agents, max_turns=3).run(task="Begin.")
        return result.messages[-1].to_text()

    played = play([Answer("a1", tool_calls=[ONE]), Answer("a2"), Answer("b1"), Answer("a3")], handler)
    assert played.output == "a3"
    assert paths(played) == {"alice": (None, 3), "bob": (None, 1)}
    assert len(played.executions) == 1
    assert played.agreement == (4, 0, 0, 0)
    assert played.recording.suspect == []
    assert all(call.json["stream"] is stream for call in played.calls)


def test_a_selector_is_an_agent_of_its_own(play):
    """Its calls choose who speaks; each shows the talk anew, which is no edit."""

    async def handler() -> None:
        model = create_openai_compatible_model()
        team = SelectorGroupChat(
            [plain_agent("alice", model), plain_agent("bob", model)],
            model,
            termination_condition=MaxMessageTermination(3),
            allow_repeated_speaker=True,
        )
        await team.run(task="Begin.")

    played = play([Answer("alice"), Answer("I am alice"), Answer("bob"), Answer("I am bob")], handler)
    assert paths(played) == {
        "SelectorGroupChatManager": (None, 2),
        "alice": (None, 1),
        "bob": (None, 1),
    }
    assert played.agreement == (4, 0, 0, 0)
    assert played.recording.suspect == []


def test_a_handoff_is_a_tool_execution(play):
    """In a swarm the model hands over by a tool call; the next agent is told."""

    async def handler() -> str:
        model = create_openai_compatible_model()
        agents = [plain_agent("alice", model, handoffs=["bob"]), plain_agent("bob", model)]
        result = await Swarm(agents, termination_condition=TextMentionTermination("DONE")).run(task="Begin.")
        return result.messages[-1].to_text()

    played = play([Answer(tool_calls=[ToolCall("transfer_to_bob", {})]), Answer("DONE")], handler)
    assert played.output == "DONE"
    assert paths(played) == {"alice": (None, 1), "bob": (None, 1)}
    [execution] = played.executions
    assert (execution.name, execution.outcome) == ("transfer_to_bob", "succeeded")
    assert played.agreement == (2, 0, 0, 0)
    assert played.recording.suspect == []


@pytest.mark.parametrize("in_team", [False, True])
def test_an_agent_as_a_tool_is_a_child(play, in_team: bool):
    """Also in a team, where AutoGen's runtime says that the outer agent calls."""

    async def handler() -> str:
        model = create_openai_compatible_model()
        expert = AgentTool(plain_agent("expert", model, tools=[add]), return_value_as_last_message=True)
        lead = plain_agent(
            "lead", model if in_team else create_openai_compatible_model(agent="lead"), tools=[expert]
        )
        runs: Any = RoundRobinGroupChat([lead], max_turns=1) if in_team else lead
        return (await runs.run(task="Begin.")).messages[-1].to_text()

    script = [
        Answer(tool_calls=[ToolCall("expert", {"task": "1+2?"})]),
        Answer(tool_calls=[ONE]),
        Answer("three"),
        Answer("the expert says three"),
    ]
    played = play(script, handler)
    assert played.output == "the expert says three"
    assert paths(played) == {"lead": (None, 2), "expert": ("lead", 2)}
    assert {run.name: run.outcome for run in played.executions} == {"expert": "succeeded", "add": "succeeded"}
    assert played.agreement == (4, 0, 0, 0)
    assert played.recording.suspect == []


def test_agents_as_tools_at_once_are_told_apart():
    """Two inner agents run at the same time through one client; each is given its own task."""

    async def handler() -> str:
        model = create_openai_compatible_model()
        tools = [
            AgentTool(plain_agent(name, model), return_value_as_last_message=True)
            for name in ("left", "right")
        ]
        return (await plain_agent("lead", model, tools=tools).run(task="Begin.")).messages[-1].to_text()

    calls = [ToolCall("left", {"task": "l?"}), ToolCall("right", {"task": "r?"})]
    answers = {
        "lead": [Answer(tool_calls=calls), Answer("both")],
        "left": [Answer("l!")],
        "right": [Answer("r!")],
    }
    recorder = Recorder()
    server = ScriptedModel(answers, key=lambda call: call.json["messages"][0]["content"])
    with server, rollout_scope(Scope(Endpoint(server.base_url), recorder)):
        assert asyncio.run(handler()) == "both"
    recording = recorder.finish()
    assert paths(recording) == {
        "main": (None, 2),
        "left": ("main", 1),
        "right": ("main", 1),
    }
    assert recording.crosscheck.matched == 4
    assert recording.suspect == []


def test_a_team_as_a_tool_has_its_own_agents(play):
    """Its runtime names them; their parent is the agent that called the tool."""

    async def handler() -> None:
        model = create_openai_compatible_model()
        team = RoundRobinGroupChat([plain_agent("alice", model), plain_agent("bob", model)], max_turns=2)
        tool = TeamTool(team, name="crew", description="The crew.")
        await plain_agent("lead", create_openai_compatible_model(agent="lead"), tools=[tool]).run(
            task="Begin."
        )

    script = [Answer(tool_calls=[ToolCall("crew", {"task": "?"})]), Answer("a"), Answer("b"), Answer("ok")]
    played = play(script, handler)
    assert paths(played) == {"lead": (None, 2), "alice": ("lead", 1), "bob": ("lead", 1)}
    assert played.agreement == (4, 0, 0, 0)


def test_a_models_call_in_a_users_tool_is_the_tools(play):
    """The agent that a tool makes for itself is named by the tool; made anew, it begins anew."""

    async def handler() -> None:
        async def ask_expert(question: str) -> str:
            return (await plain_agent("expert").run(task=question)).messages[-1].to_text()

        tool = FunctionTool(ask_expert, description="Ask.")
        await plain_agent("lead", tools=[tool]).run(task="Begin.")

    asked = Answer(tool_calls=[ToolCall("ask_expert", {"question": "?"})])
    played = play([asked, Answer("!"), asked, Answer("!!"), Answer("ok")], handler)
    assert paths(played) == {"main": (None, 3), "ask_expert": ("main", 2)}
    assert played.recording.suspect == []


def test_an_agent_that_was_broken_off_in_its_tools_leaves_no_trace(play):
    """It has told no end of them; what the same task does next is not in them."""
    sleeps = Moment()

    async def handler() -> None:
        async def sleep() -> str:
            sleeps()
            await asyncio.sleep(60)
            return ""

        with pytest.raises(TimeoutError):
            async with sleeps.ends():
                await plain_agent("first", tools=[FunctionTool(sleep, description="Sleep.")]).run(
                    task="Begin."
                )
        await plain_agent("second").run(task="Begin.")

    played = play([Answer(tool_calls=[ToolCall("sleep", {})]), Answer("ok")], handler)
    assert [turn.stored.agent for turn in played.turns] == ["main", "main"]


# ---- what goes wrong


class Sum(BaseModel):
    total: int


# pydantic: AutoGen logs the parsed answer as if it were of the type before parsing.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
@both_ways
def test_structured_output_is_an_answer(play, stream: bool):
    """AutoGen parses it; after tools it asks once more, without them."""

    async def handler() -> int:
        tools = [FunctionTool(add, description="Add.", strict=True)]
        agent = plain_agent(tools=tools, output_content_type=Sum, max_tool_iterations=1)
        return (await agent.run(task="1+2?")).messages[-1].content.total

    played = play([Answer(tool_calls=[ONE]), Answer('{"total": 3}')], handler, stream=stream)
    assert played.output == 3
    assert ["tools" in call.json for call in played.calls] == [True, False]
    assert played.agreement == (2, 0, 0, 0)
    assert played.recording.suspect == []


@both_ways
def test_an_answer_that_does_not_parse_is_in_the_record(play, stream: bool):
    """AutoGen raises and shows nothing of it, and its log is silent; the call is matched all the same."""

    async def handler() -> None:
        await plain_agent(output_content_type=Sum).run(task="1+2?")

    played = play([Answer('{"total": "three"}')], handler, stream=stream)
    assert isinstance(played.error, ValidationError)
    assert played.turns[0].answer["content"] == '{"total": "three"}'
    assert played.agreement == (1, 0, 0, 0)
    assert played.recording.suspect == []


def test_a_streamed_answer_that_is_no_json_is_cut(play):
    """The SDK parses as it reads, and hangs up at the first character that cannot be JSON."""

    async def handler() -> None:
        await plain_agent(output_content_type=Sum).run(task="1+2?")

    played = play([Answer("three times over")], handler, stream=True)
    assert isinstance(played.error, ValueError)
    assert "three times over".startswith(played.turns[0].answer["content"])
    assert played.agreement == (1, 0, 0, 0)
    assert played.recording.suspect == ["cut_answer"]


@both_ways
def test_an_answer_cut_at_its_limit_is_an_answer(play, stream: bool):
    """AutoGen returns the text so far."""
    played = play([Answer("so far", finish_reason="length")], stream=stream)
    assert played.output == "so far"
    assert played.turns[0].stored.finish_reason == "length"
    assert played.agreement == (1, 0, 0, 0)


def test_a_limit_ends_the_agent(play):
    """The call beyond the limit is refused before it is sent; callbacks count nothing for it."""
    played = play([Answer(tool_calls=[ONE])] * 2, limits=Limits(max_turns=2))
    assert "max_turns is used up" in str(played.error)
    assert played.recording.stop_reason is StopReason.TURN_LIMIT
    assert played.agreement == (2, 0, 0, 0)
    assert played.recording.suspect == []


@both_ways
def test_an_error_of_the_server_is_heard_by_both(play, stream: bool):
    """AutoGen's log is silent about calls that fail; the client is not."""
    played = play([Status(500, message="no luck")], stream=stream, retries=0)
    assert isinstance(played.error, openai.InternalServerError)
    assert played.agreement == (1, 0, 0, 0)
    assert played.recording.suspect == ["no_answer"]


def test_a_cut_stream_keeps_what_came(play):
    """The agent fails; the part of the answer is in the record, marked."""
    played = play([CutStream(Answer("one two three four"), after_chunks=3)], stream=True)
    assert played.error is not None
    assert "one two three four".startswith(played.turns[0].answer["content"])
    assert played.recording.suspect == ["cut_answer"]
    assert played.agreement == (1, 0, 0, 0)


@both_ways
@pytest.mark.parametrize("by_token", [False, True])
def test_a_cancelled_call_is_no_other_calls(play, by_token: bool, stream: bool):
    """By asyncio or by AutoGen's token; the next agent's calls are not mixed up with it."""
    asked = Moment()

    async def handler() -> str:
        first = plain_agent("first", create_openai_compatible_model(agent="first"))
        token = CancellationToken()
        with pytest.raises(asyncio.CancelledError if by_token else TimeoutError):
            async with asked.calls(token.cancel) if by_token else asked.ends():
                await first.run(task="Begin.", cancellation_token=token)
        return (await plain_agent("second").run(task="Begin.")).messages[-1].to_text()

    played = play([Answer("late", delay_s=2, expect=asked), Answer("ok")], handler, stream=stream)
    assert played.output == "ok"
    assert [turn.stored.agent for turn in played.turns] == ["first", "main"]
    assert played.turns[0].answer is None
    assert played.agreement == (2, 0, 0, 0)
    assert played.recording.suspect == ["no_answer"]


# ---- rollout data, other clients, and AutoGen's loggers


def test_rollout_data_are_the_turns_so_far(play):
    """Each turn with its full OpenAI-style history, also while the rollout runs; empty outside of one."""
    seen: list[Any] = []

    async def handler() -> None:
        agent = plain_agent()
        await agent.run(task="One?")
        await agent.run(task="Two?")
        seen.extend(COLLECTOR.get_rollout_data())

    play([Answer("1"), Answer("2")], handler)
    history = seen[1]["formatted_request"]["messages"]
    assert [message["role"] for message in history] == ["system", "user", "assistant", "user", "assistant"]
    assert history[-1]["content"] == "2"
    assert list(COLLECTOR.get_rollout_data()) == []


def test_outside_a_rollout_nothing_is_collected():
    """In a plain request the collector does nothing, and the agent works."""
    with (
        ScriptedModel([Answer(tool_calls=[ONE]), Answer("ok")]) as server,
        scoped(Scope(Endpoint(server.base_url))),
    ):
        result = asyncio.run(plain_agent(tools=[add]).run(task="Begin."))
    assert result.messages[-1].to_text() == "ok"


@both_ways
def test_a_client_of_the_users_own_is_heard(play, stream: bool):
    """Its calls do not pass our transport: what AutoGen logs of them is the record, and marked so."""
    with ScriptedModel([Answer("Let me.", tool_calls=[ONE]), Answer("3 ✓")]) as own:

        async def handler() -> str:
            model = OpenAIChatCompletionClient(
                model="theirs",
                base_url=own.base_url,
                api_key="k",
                model_info={
                    "vision": False,
                    "function_calling": True,
                    "json_output": True,
                    "structured_output": True,
                    "family": "unknown",
                    "multiple_system_messages": True,
                },
                include_name_in_message=False,
            )
            agents: list[Any] = [plain_agent("alice", model, tools=[add], model_client_stream=stream)]
            result = await RoundRobinGroupChat(agents, max_turns=1).run(task="Begin.")
            await model.close()
            return result.messages[-1].to_text()

        played = play([], handler)
        sent = [call.json for call in own.calls]
    assert played.output == "3 ✓"
    assert [turn.stored.source for turn in played.turns] == ["callbacks", "callbacks"]
    assert [turn.prompt for turn in played.turns] == [body["messages"] for body in sent]
    assert played.turns[0].answer["content"] == "Let me."
    assert played.turns[1].answer["content"] == "3 ✓"
    assert played.turns[0].tools == ([] if stream else sent[0]["tools"])  # it does not log them of a stream
    assert paths(played) == {"alice": (None, 2)}
    assert [run.outcome for run in played.turns[0].stored.executions] == ["succeeded"]
    assert played.agreement == (0, 0, 2, 0)
    assert played.recording.suspect == ["callback_only"]


@pytest.mark.parametrize(("level", "shown"), [(logging.NOTSET, 0), (logging.INFO, 1), (logging.DEBUG, 3)])
def test_what_others_see_of_autogens_logs_stays_as_it_was(play, level: int, shown: int):
    """The collector hears everything; handlers get what the logger's own level lets pass."""
    seen: list[str] = []

    class Seeing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(type(record.msg).__name__)

    handler, loggers = Seeing(), [logging.getLogger(name) for name in ("autogen_core", "autogen_agentchat")]
    before = logging.getLogger().level
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(level)
    try:
        played = play([Answer(tool_calls=[ONE]), Answer("3")])
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)
    assert len(played.executions) == 1
    kinds = {"LLMCallEvent", "ToolCallRequestEvent", "ToolCallExecutionEvent"}
    assert len(kinds & set(seen)) == shown
    assert logging.getLogger().level == before


def test_a_logger_that_others_have_set_is_heard_again(play):
    """A later level, or a configuration that disables loggers, is overheard by the next collector."""
    logger = logging.getLogger("autogen_agentchat.events")
    deaf: list[Callable[[], None]] = [
        lambda: logger.setLevel(logging.ERROR),
        lambda: setattr(logger, "disabled", True),
    ]
    for deafen in deaf:
        deafen()
        played = play([Answer(tool_calls=[ONE]), Answer("3")])
        assert len(played.executions) == 1
    logger.setLevel(logging.NOTSET)


def test_a_hidden_agents_label_reaches_the_server_nowhere(play):
    """Labels are for the record."""
    played = play([Answer("ok")], lambda: adapter.run_agent(plain_agent(), "Begin."))
    assert not [name for name, _ in played.calls[0].headers if name.startswith("x-agentcore-rl")]
    assert "name" not in played.calls[0].json["messages"][1]
