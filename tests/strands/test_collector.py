"""What the collector adds to the wire: which agent, which tools, and a second witness."""

import time
import warnings
from typing import Any

import pytest
from pydantic import BaseModel
from strands import Agent, tool
from strands.agent.conversation_manager import SummarizingConversationManager
from strands.multiagent import GraphBuilder

from agentcore_rl.endpoint import Endpoint
from agentcore_rl.recorder.recorder import Recorder
from agentcore_rl.recorder.scope import Scope, rollout_scope, scoped
from agentcore_rl.rollout import Limits, StopReason
from agentcore_rl.testing import Answer, ScriptedModel, Status, ToolCall
from agentcore_rl.tools import Tool
from agentcore_rl_strands import StrandsRolloutCollector, adapter, create_openai_compatible_model
from played import Moment

both_ways = pytest.mark.parametrize("stream", [False, True])


def plain_agent(name: str | None = None, **further: Any) -> Agent:
    """An agent as users make them, without our AgentBuilder."""
    model = create_openai_compatible_model()
    return Agent(model=model, name=name, hooks=[StrandsRolloutCollector()], callback_handler=None, **further)


@both_ways
def test_a_tool_is_called_and_answered(play, stream: bool):
    """The plain case: two turns, one trajectory, one execution, both witnesses agree on everything."""
    played = play([Answer(tool_calls=[ToolCall("add", {"a": 1, "b": 2})]), Answer("3")], stream=stream)
    assert played.output == "3"
    played.assert_as_served()
    first, second = played.turns
    assert second.stored.parent == first.stored.id
    assert second.prompt[:-1] != first.messages  # Strands spells it anew: content is absent, not null
    assert second.prompt[-1] == {
        "role": "tool",
        "tool_call_id": first.answer["tool_calls"][0]["id"],
        "content": "3",
    }
    [execution] = played.executions
    assert (execution.name, execution.arguments, execution.outcome) == ("add", {"a": 1, "b": 2}, "succeeded")
    assert execution.seconds is not None
    assert execution.seconds >= 0
    assert played.agreement == (2, 0, 0, 0)
    assert played.recording.suspect == []
    assert [(path.agent, path.parent) for path in played.recording.transcript.trajectories] == [
        ("main", None)
    ]


@both_ways
def test_a_synchronous_agent_is_recorded_alike(play, stream: bool):
    """`agent("...")` runs in a thread and a loop of its own; the rollout's variables go with it."""
    played = play(
        [Answer(tool_calls=[ToolCall("add", {"a": 1, "b": 2})]), Answer("3")],
        lambda: str(
            adapter.build_agent(
                create_openai_compatible_model(), [_add()], "Be brief.", collector=adapter.collector()
            )("Begin.")
        ),
        stream=stream,
    )
    assert played.output == "3\n"
    played.assert_as_served()
    assert played.agreement == (2, 0, 0, 0)
    assert len(played.executions) == 1


@both_ways
def test_parallel_calls_text_and_errors(play, stream: bool):
    """Three calls beside a text: one succeeds, one raises, one names no tool; the agent goes on."""
    calls = [
        ToolCall("add", {"a": 1, "b": 2}),
        ToolCall("add", {"a": 13, "b": 2}),
        ToolCall("nosuch", {"x": "ß"}),
    ]
    played = play([Answer("Three at once… 你好", tool_calls=calls), Answer("so be it")], stream=stream)
    assert played.output == "so be it"
    ids = [call["id"] for call in played.turns[0].answer["tool_calls"]]
    done = {execution.call_id: execution for execution in played.executions}
    assert [done[name].outcome for name in ids] == ["succeeded", "failed", "unknown_tool"]
    assert done[ids[0]].error is None
    assert done[ids[1]].error == "thirteen brings bad luck"
    assert done[ids[2]].arguments == {"x": "ß"}
    assert [message["content"] for message in played.turns[1].prompt[-3:]] == [
        "3",
        "Error: RuntimeError - thirteen brings bad luck",
        "Unknown tool: nosuch",
    ]
    assert played.turns[0].answer["content"] == "Three at once… 你好"
    assert played.agreement == (2, 0, 0, 0)
    assert played.recording.suspect == []


def test_tool_results_keep_the_order_of_the_calls(play):
    """Tools run at once; a slow first one still answers first."""

    def wait(seconds: float) -> str:
        """Wait."""
        time.sleep(seconds)
        return f"waited {seconds}"

    slow = Tool("wait", "Wait.", {"type": "object", "properties": {"seconds": {"type": "number"}}}, wait)
    calls = [ToolCall("wait", {"seconds": 0.2}), ToolCall("wait", {"seconds": 0.01})]

    def handler() -> Any:
        agent = adapter.build_agent(
            create_openai_compatible_model(), [slow], "", collector=adapter.collector()
        )
        return adapter.run_agent(agent, "Begin.")

    played = play([Answer(tool_calls=calls), Answer("ok")], handler)
    assert [message["content"] for message in played.turns[1].prompt[-2:]] == ["waited 0.2", "waited 0.01"]
    assert [execution.arguments["seconds"] for execution in played.executions] == [0.01, 0.2]
    assert played.executions[1].seconds >= 0.2


def test_arguments_are_recorded_as_they_were(play):
    """A tool that changes its arguments changes its own copy of them."""

    def grow(items: list[int]) -> str:
        """Grow."""
        items.append(99)
        return str(len(items))

    schema = {"type": "object", "properties": {"items": {"type": "array", "items": {"type": "integer"}}}}

    def handler() -> Any:
        agent = adapter.build_agent(
            create_openai_compatible_model(),
            [Tool("grow", "", schema, grow)],
            "",
            collector=adapter.collector(),
        )
        return adapter.run_agent(agent, "Begin.")

    played = play([Answer(tool_calls=[ToolCall("grow", {"items": [1]})]), Answer("2")], handler)
    assert played.executions[0].arguments == {"items": [1]}


def test_sub_agents_have_trajectories_of_their_own(play):
    """An agent as another's tool: both named, the inner one's parent is the outer one."""

    def handler() -> str:
        @tool
        def ask_expert(question: str) -> str:
            """Ask the expert."""
            return str(plain_agent("expert")(question)).strip()

        return str(plain_agent(tools=[ask_expert])("Begin.")).strip()

    script = [
        Answer(tool_calls=[ToolCall("ask_expert", {"question": "1+1?"})]),
        Answer("two"),
        Answer("the expert says two"),
    ]
    played = play(script, handler)
    assert played.output == "the expert says two"
    paths = {path.agent: path for path in played.recording.transcript.trajectories}
    assert {name: (path.parent, len(path.turns)) for name, path in paths.items()} == {
        "main": (None, 2),
        "expert": ("main", 1),
    }
    assert played.agreement == (3, 0, 0, 0)
    assert played.recording.suspect == []


def test_agents_as_tools_at_once_share_a_model_and_a_collector():
    """Two inner agents run at the same time through one model object; each call has its own label."""

    def handler() -> str:
        model, collector = create_openai_compatible_model(), StrandsRolloutCollector()

        def make(name: str, tools: Any = ()) -> Agent:
            return Agent(
                model=model,
                name=name,
                description=name,
                tools=list(tools),
                hooks=[collector],
                callback_handler=None,
                system_prompt=name,
            )

        return str(make("lead", [make("left"), make("right")])("Begin.")).strip()

    calls = [ToolCall("left", {"input": "l?"}), ToolCall("right", {"input": "r?"})]
    answers = {
        "lead": [Answer(tool_calls=calls), Answer("both")],
        "left": [Answer("l!")],
        "right": [Answer("r!")],
    }
    recorder = Recorder()
    server = ScriptedModel(answers, key=lambda call: call.json["messages"][0]["content"])
    with server, rollout_scope(Scope(Endpoint(server.base_url), recorder)):
        assert handler() == "both"
    recording = recorder.finish()
    paths = {path.agent: (path.parent, len(path.turns)) for path in recording.transcript.trajectories}
    assert paths == {"lead": (None, 2), "left": ("lead", 1), "right": ("lead", 1)}
    assert recording.crosscheck.matched == 4
    assert recording.suspect == []


def test_the_nodes_of_a_graph_stand_side_by_side(play):
    """A graph calls its agents itself: no agent is another's parent."""

    def handler() -> None:
        builder = GraphBuilder()
        builder.add_node(plain_agent("first"), "first")
        builder.add_node(plain_agent("second"), "second")
        builder.add_edge("first", "second")
        builder.set_entry_point("first")
        builder.set_max_node_executions(2)
        builder.build()("Begin.")

    played = play([Answer("one"), Answer("two")], handler)
    paths = [(path.agent, path.parent) for path in played.recording.transcript.trajectories]
    assert paths == [("first", None), ("second", None)]
    assert played.recording.suspect == []


def test_a_models_label_wins_over_the_agents_name(play):
    """`create_openai_compatible_model(agent=...)` names the calls through that object."""

    def handler() -> str:
        model = create_openai_compatible_model(agent="critic")
        return str(
            Agent(model=model, name="x", hooks=[StrandsRolloutCollector()], callback_handler=None)("Begin.")
        )

    assert [path.agent for path in play([Answer("ok")], handler).recording.transcript.trajectories] == [
        "critic"
    ]


def test_a_call_that_no_hook_sees_is_wire_only(play):
    """Legacy structured output calls the model past the hooks; the wire has it, and the record says so."""

    class Sum(BaseModel):
        total: int

    def handler() -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return plain_agent().structured_output(Sum, "1+2?").total

    played = play([Answer('{"total": 3}')], handler)
    assert played.output == 3
    assert played.agreement == (0, 1, 0, 0)
    assert played.recording.suspect == ["wire_only"]


def test_a_summarisers_call_is_wire_only(play):
    """On an overflow Strands lets the model summarise, which no hook sees; the retry is a new root."""
    manager = SummarizingConversationManager(summary_ratio=0.5, preserve_recent_messages=1)
    history = [
        {"role": role, "content": [{"text": text}]}
        for role, text in (("user", "q1"), ("assistant", "a1"), ("user", "q2"), ("assistant", "a2"))
    ]
    overflow = Status(400, message="too long", code="context_length_exceeded")
    played = play(
        [overflow, Answer("a summary"), Answer("ok")],
        lambda: str(plain_agent(conversation_manager=manager, messages=history)("q3")),
    )
    assert played.output == "ok\n"
    assert played.agreement == (2, 1, 0, 0)
    assert {"wire_only", "no_answer"} <= set(played.recording.suspect)


@both_ways
@pytest.mark.parametrize("stopped_by", ["stop", "length"])
def test_arguments_that_are_no_json_are_kept_as_sampled(play, stream: bool, stopped_by: str):
    """Strands goes on with {}, which is no edit."""
    broken = Answer(
        tool_calls=[ToolCall("add", '{"a": 1,')], finish_reason=None if stopped_by == "stop" else "length"
    )
    played = play([broken, *([Answer("well")] if stopped_by == "stop" else [])], stream=stream)
    assert played.turns[0].answer["tool_calls"][0]["function"]["arguments"] == '{"a": 1,'
    assert played.recording.suspect == []
    assert played.agreement == (len(played.turns), 0, 0, 0)
    if stopped_by == "stop":
        assert played.turns[1].stored.parent == 0
        assert played.executions[0].arguments == {}
        assert played.executions[0].outcome == "failed"


def test_a_limit_ends_the_agent(play):
    """The call beyond the limit is refused before it is sent; callbacks count nothing for it."""
    again = Answer(tool_calls=[ToolCall("add", {"a": 1, "b": 2})])
    played = play([again, again], limits=Limits(max_turns=2))
    assert "max_turns is used up" in str(played.error)
    assert played.recording.stop_reason is StopReason.TURN_LIMIT
    assert played.agreement == (2, 0, 0, 0)
    assert played.recording.suspect == []


def test_a_cancelled_call_is_no_other_calls(play):
    """An agent that is cancelled in a call has told no end of it; the next agent's calls are not mixed up."""
    asked = Moment()

    async def handler() -> str:
        first = plain_agent("first")
        with pytest.raises(TimeoutError):
            async with asked.ends():
                await first.invoke_async("Begin.")
        return str(await plain_agent("second").invoke_async("Begin."))

    played = play([Answer("late", delay_s=2, expect=asked), Answer("ok")], handler)
    assert played.output == "ok\n"
    assert [turn.stored.agent for turn in played.turns] == ["first", "second"]
    assert played.turns[0].answer is None
    assert played.agreement == (2, 0, 0, 0)
    assert played.recording.suspect == ["no_answer"]


def test_rollout_data_are_the_turns_so_far(play):
    """Each turn with its full OpenAI-style history, also while the rollout runs; empty outside of one."""
    seen: list[Any] = []

    def handler() -> None:
        collector = StrandsRolloutCollector()
        agent = Agent(model=create_openai_compatible_model(), hooks=[collector], callback_handler=None)
        agent("One?")
        agent("Two?")
        seen.extend(collector.get_rollout_data())

    play([Answer("1"), Answer("2")], handler)
    assert len(seen) == 2
    history = seen[1]["formatted_request"]["messages"]
    assert [message["role"] for message in history] == ["user", "assistant", "user", "assistant"]
    assert history[-1]["content"] == "2"
    assert list(StrandsRolloutCollector().get_rollout_data()) == []


def test_outside_a_rollout_nothing_is_collected():
    """In a plain request the collector does nothing, and the agent works."""
    with ScriptedModel([Answer("ok")]) as server, scoped(Scope(Endpoint(server.base_url))):
        collector = StrandsRolloutCollector()
        agent = Agent(model=create_openai_compatible_model(), hooks=[collector], callback_handler=None)
        assert str(agent("Begin.")) == "ok\n"
        assert collector._open == {}


def test_a_model_that_goes_around_the_transport_is_seen(play):
    """A user's own client: callbacks tell of the call, the wire does not."""
    from strands.models.openai import OpenAIModel

    with ScriptedModel([Answer("ok")]) as own:

        def handler() -> str:
            model = OpenAIModel(
                client_args={"base_url": own.base_url, "api_key": "k"}, model_id="x", stream=False
            )
            return str(Agent(model=model, hooks=[StrandsRolloutCollector()], callback_handler=None)("Begin."))

        played = play([], handler)
    assert played.output == "ok\n"
    assert played.agreement == (0, 0, 1, 0)
    assert played.recording.suspect == ["callback_only"]


def _add() -> Tool:
    def add(a: int, b: int) -> str:
        """Add."""
        return str(a + b)

    schema = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}
    return Tool("add", "Add.", schema, add)
