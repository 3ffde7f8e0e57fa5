"""The rollout collector: labels, tools and answers, from every way in which a graph may be run."""

import asyncio
import gc
import json
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelFallbackMiddleware, SummarizationMiddleware
from langchain.agents.structured_output import ToolStrategy
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command, interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict

from agentcore_rl.endpoint import Endpoint
from agentcore_rl.messages import canonical
from agentcore_rl.recorder.scope import Scope, scoped
from agentcore_rl.rollout import Limits, StopReason
from agentcore_rl.testing import Answer, ScriptedModel, Status, ToolCall
from agentcore_rl.tools import Tool
from agentcore_rl_langgraph import LangGraphRolloutCollector, adapter, create_openai_compatible_model
from agentcore_rl_langgraph.collector import _open
from played import Moment

both_ways = pytest.mark.parametrize("stream", [False, True])
sync_and_async = pytest.mark.parametrize("asynchronous", [False, True])

# As users have them: made at import, deep in a module, without a collector.
MODEL = create_openai_compatible_model()
COLLECTOR = LangGraphRolloutCollector()


@tool
def add(a: int, b: int) -> str:
    """Add two numbers."""
    if a == 13:
        raise RuntimeError("thirteen brings bad luck")
    return str(a + b)


CALL = ToolCall("add", {"a": 1, "b": 2})


def heard(graph: Any, asynchronous: bool = False, text: str = "Begin.") -> Any:
    """Run a graph while a collector listens; the text of its last message."""
    if not asynchronous:
        with COLLECTOR.listening():
            return graph.invoke(_asked(text))["messages"][-1].text

    async def run() -> Any:
        with COLLECTOR.listening():
            return (await graph.ainvoke(_asked(text)))["messages"][-1].text

    return asyncio.run(run())


def paths(played: Any) -> dict[str, tuple[str | None, int]]:
    """Agent -> (parent, number of turns)."""
    return {path.agent: (path.parent, len(path.turns)) for path in played.recording.transcript.trajectories}


def nodes(played: Any) -> list[tuple[str, str | None]]:
    """Agent and node of each turn."""
    return [(turn.stored.agent, turn.stored.labels.get("node")) for turn in played.turns]


@both_ways
@sync_and_async
def test_a_tool_is_called_and_answered(play, stream: bool, asynchronous: bool):
    """The plain case: two turns, one trajectory, one execution, both witnesses agree on everything."""
    played = play(
        [Answer(tool_calls=[CALL]), Answer("3")],
        lambda: heard(create_agent(create_openai_compatible_model(), [add]), asynchronous),
        stream=stream,
    )
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
    assert played.agreement == (2, 0, 0, 0)
    assert played.recording.suspect == []
    assert paths(played) == {"main": (None, 2)}
    assert nodes(played) == [("main", "model"), ("main", "model")]


@both_ways
@sync_and_async
def test_parallel_calls_text_and_errors(play, stream: bool, asynchronous: bool):
    """Calls beside a text: one succeeds, two fail, one names no tool; the agent goes on."""
    calls = [
        CALL,
        ToolCall("add", {"a": 13, "b": 2}),
        ToolCall("nosuch", {"x": "ß"}),
        ToolCall("add", {"a": "q"}),
    ]
    graph = StateGraph(MessagesState)
    bound = create_openai_compatible_model(stream=stream).bind_tools([add])

    def think(state: Any) -> Any:
        return {"messages": [bound.invoke(state["messages"])]}

    async def athink(state: Any) -> Any:
        return {"messages": [await bound.ainvoke(state["messages"])]}

    graph.add_node("think", RunnableLambda(think, afunc=athink))
    graph.add_node("act", ToolNode([add], handle_tool_errors=True))
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", tools_condition, {"tools": "act", "__end__": "__end__"})
    graph.add_edge("act", "think")
    compiled = graph.compile(name="desk")
    script = [Answer("All at once… 你好", tool_calls=calls), Answer("so be it")]
    played = play(script, lambda: heard(compiled, asynchronous), stream=stream)
    assert played.output == "so be it"
    ids = [call["id"] for call in played.turns[0].answer["tool_calls"]]
    done = {execution.call_id: execution for execution in played.executions}
    assert len(played.executions) == 4
    assert [done[name].outcome for name in ids] == ["succeeded", "failed", "unknown_tool", "failed"]
    assert done[ids[0]].error is None
    assert done[ids[1]].error == "thirteen brings bad luck"
    assert done[ids[2]].name == "nosuch"
    assert "validation error" in str(done[ids[3]].error)
    assert [message["content"].partition(".")[0] for message in played.turns[1].prompt[-4:-1]] == [
        "3",
        "Error: RuntimeError('thirteen brings bad luck')\n Please fix your mistakes",
        "Error: nosuch is not a valid tool, try one of [add]",
    ]
    assert nodes(played) == [("desk", "think"), ("desk", "think")]
    assert played.agreement == (2, 0, 0, 0)
    assert played.recording.suspect == []


def test_a_raising_tool_ends_a_plain_agent(play):
    """LangGraph's own way: the exception leaves the agent; it is recorded as the tool's."""
    played = play(
        [Answer(tool_calls=[ToolCall("add", {"a": 13, "b": 1})])], lambda: heard(create_agent(MODEL, [add]))
    )
    assert str(played.error) == "thirteen brings bad luck"
    [execution] = played.executions
    assert (execution.outcome, execution.error) == ("failed", "thirteen brings bad luck")
    assert played.recording.suspect == []


def test_tool_results_keep_the_order_of_the_calls(play):
    """Tools run at once; a slow first one still answers first."""

    @tool
    def wait(seconds: float) -> str:
        """Wait."""
        time.sleep(seconds)
        return f"waited {seconds}"

    calls = [ToolCall("wait", {"seconds": 0.2}), ToolCall("wait", {"seconds": 0.01})]
    played = play([Answer(tool_calls=calls), Answer("ok")], lambda: heard(create_agent(MODEL, [wait])))
    assert [message["content"] for message in played.turns[1].prompt[-2:]] == ["waited 0.2", "waited 0.01"]
    assert [execution.arguments["seconds"] for execution in played.executions] == [0.01, 0.2]
    assert played.executions[1].seconds >= 0.2


def test_arguments_are_recorded_as_they_were(play):
    """A tool that changes its arguments changes its own copy of them."""

    def grow(items: list[int]) -> str:
        items.append(99)
        return str(len(items))

    schema = {"type": "object", "properties": {"items": {"type": "array", "items": {"type": "integer"}}}}
    grown = Tool("grow", "", schema, grow)
    played = play(
        [Answer(tool_calls=[ToolCall("grow", {"items": [1]})]), Answer("2")],
        lambda: adapter.run_agent(
            adapter.build_agent(MODEL, [grown], "", collector=adapter.collector()), "Begin."
        ),
    )
    assert played.executions[0].arguments == {"items": [1]}


# ---- sub-agents, subgraphs, branches


def _desk(inner_name: str | None, name: str | None, asynchronous: bool) -> Any:
    """An agent with another in its tool, which it calls without a config, as users do."""
    inner = create_agent(MODEL, [], name=inner_name)
    if asynchronous:

        @tool
        async def ask_expert(question: str) -> str:
            """Ask the expert."""
            return str((await inner.ainvoke(_asked(question)))["messages"][-1].text)
    else:

        @tool
        def ask_expert(question: str) -> str:
            """Ask the expert."""
            return str(inner.invoke(_asked(question))["messages"][-1].text)

    return create_agent(MODEL, [ask_expert], name=name)


ASKING = [
    Answer(tool_calls=[ToolCall("ask_expert", {"question": "1+1?"})]),
    Answer("two"),
    Answer("the expert says two"),
]


@sync_and_async
@pytest.mark.parametrize(
    ("inner", "outer", "expected"),
    [
        ("expert", "boss", {"boss": (None, 2), "expert": ("boss", 1)}),
        # Without a name the inner agent is called after its tool, the outermost "main".
        (None, "boss", {"boss": (None, 2), "ask_expert": ("boss", 1)}),
        (None, None, {"main": (None, 2), "ask_expert": ("main", 1)}),
        ("expert", None, {"main": (None, 2), "expert": ("main", 1)}),
        ("boss", "boss", {"boss": (None, 3)}),
    ],
)
def test_agents_in_tools(play, inner: str | None, outer: str | None, expected: Any, asynchronous: bool):
    """An agent in another's tool: both named, the inner one's parent is the outer one."""
    played = play(ASKING, lambda: heard(_desk(inner, outer, asynchronous), asynchronous))
    assert played.output == "the expert says two"
    assert paths(played) == expected
    assert [execution.name for execution in played.executions] == ["ask_expert"]
    assert played.agreement == (3, 0, 0, 0)
    # Two agents of one name look like one that forgot what it said.
    assert set(played.recording.suspect) <= ({"forked"} if inner == outer == "boss" else set())


@pytest.mark.parametrize("how", ["config", "bound", "listening", "all three"])
def test_every_way_to_attach_it_hears_each_call_once(play, how: str):
    """In a config, bound to the graph, for a block; several collectors do not count anything twice."""

    def handler() -> Any:
        graph = _desk("expert", "boss", False)
        config = {"callbacks": [LangGraphRolloutCollector()]} if how in ("config", "all three") else None
        if how in ("bound", "all three"):
            graph = graph.with_config(callbacks=[LangGraphRolloutCollector()])
        if how == "listening" or how == "all three":
            with COLLECTOR.listening():
                return graph.invoke(_asked(), config)["messages"][-1].text
        return graph.invoke(_asked(), config)["messages"][-1].text

    played = play(ASKING, handler)
    assert paths(played) == {"boss": (None, 2), "expert": ("boss", 1)}
    assert len(played.executions) == 1
    assert played.agreement == (3, 0, 0, 0)


def test_without_a_collector_the_wire_has_everything(play):
    """The model alone is enough for messages; only the names are not known then."""
    played = play(ASKING, lambda: _desk("expert", "boss", False).invoke(_asked())["messages"][-1].text)
    played.assert_as_served()
    assert paths(played) == {"main": (None, 3)}
    assert not played.recording.crosscheck.collected
    assert set(played.recording.suspect) <= {"forked"}


def _branches(inner_name: str | None) -> Any:
    """A plan, then left (a subgraph) and right at once, then the writer (an agent)."""

    def ask(state: Any) -> Any:
        return {"messages": [MODEL.invoke(state["messages"])]}

    async def aask(state: Any) -> Any:
        return {"messages": [await MODEL.ainvoke(state["messages"])]}

    asking = RunnableLambda(ask, afunc=aask)
    inner = StateGraph(MessagesState)
    inner.add_node("draft", asking)
    inner.add_edge(START, "draft")
    graph = StateGraph(MessagesState)
    graph.add_node("plan", asking)
    graph.add_node("left", inner.compile(name=inner_name))
    graph.add_node("right", asking)
    graph.add_node("writer", create_agent(MODEL, [], name="scribe"))
    graph.add_edge(START, "plan")
    graph.add_edge("plan", "left")
    graph.add_edge("plan", "right")
    graph.add_edge(["left", "right"], "writer")
    return graph.compile()


@sync_and_async
@pytest.mark.parametrize(("inner", "left"), [(None, "left"), ("drafter", "drafter")])
def test_subgraphs_and_parallel_branches(play, inner: str | None, left: str, asynchronous: bool):
    """Each call has its node; a subgraph is an agent, called after its node where it has no name."""
    played = play(
        [Answer(text) for text in "1234"], lambda: heard(_branches(inner), asynchronous=asynchronous)
    )
    assert played.output == "4"
    assert paths(played) == {"main": (None, 2), left: ("main", 1), "scribe": ("main", 1)}
    by_node = sorted(nodes(played))
    assert by_node == sorted([("main", "plan"), ("main", "right"), (left, "draft"), ("scribe", "model")])
    assert played.agreement == (4, 0, 0, 0)
    assert played.recording.suspect == []


class Numbered(TypedDict):
    messages: Annotated[list[Any], add_messages]


def test_a_map_of_one_node_over_many_inputs(play):
    """`batch` within a node: each call in a thread of its own, none mixed up."""

    def fan(state: Any) -> Any:
        return {"messages": MODEL.batch([f"say {number}" for number in range(8)])}

    graph = StateGraph(Numbered)
    graph.add_node("fan", fan)
    graph.add_edge(START, "fan")
    played = play(
        lambda call: Answer(f"said {call.json['messages'][0]['content'][4:]}"),
        lambda: heard(graph.compile(name="mapper")),
    )
    assert {turn.prompt[0]["content"]: turn.answer["content"] for turn in played.turns} == {
        f"say {number}": f"said {number}" for number in range(8)
    }
    assert played.agreement == (8, 0, 0, 0)


def test_an_agents_unknown_tool_is_counted_once(play):
    """In a subgraph whose messages the outer graph sees again."""
    graph = StateGraph(MessagesState)
    graph.add_node("desk", create_agent(MODEL, [add], name="desk"))
    graph.add_edge(START, "desk")
    played = play([Answer(tool_calls=[ToolCall("nosuch", {})]), Answer("ok")], lambda: heard(graph.compile()))
    assert [execution.outcome for execution in played.executions] == ["unknown_tool"]


def test_a_models_label_wins_over_the_agents_name(play):
    """`create_openai_compatible_model(agent=...)` names the calls through that object."""
    played = play(
        [Answer("ok")],
        lambda: heard(create_agent(create_openai_compatible_model(agent="critic"), [], name="x")),
    )
    assert list(paths(played)) == ["critic"]


# ---- middleware, structured output, interrupts


class Sum(BaseModel):
    total: int


def test_structured_output_by_tool_is_tried_again(play):
    """LangChain's own retry: the failed answer is a turn like any other."""
    script = [
        Answer(tool_calls=[ToolCall("Sum", {"total": "many"})]),
        Answer(tool_calls=[ToolCall("Sum", {"total": 3})]),
    ]

    def handler() -> Any:
        with COLLECTOR.listening():
            return create_agent(MODEL, [], response_format=ToolStrategy(Sum)).invoke(_asked())

    played = play(script, handler)
    assert played.output["structured_response"] == Sum(total=3)
    assert played.calls[0].json["tool_choice"] == "required"
    assert played.agreement == (2, 0, 0, 0)
    assert played.recording.suspect == []


def test_middleware_that_calls_models_is_heard(play):
    """The summariser's call has its node; a fallback's first call ended without an answer."""
    summary = SummarizationMiddleware(MODEL, trigger=("messages", 3), keep=("messages", 1))
    agent = create_agent(MODEL, [], middleware=[summary, ModelFallbackMiddleware(MODEL)], name="x")

    def handler() -> Any:
        with COLLECTOR.listening():
            said = [("user", "one"), ("assistant", "two"), ("user", "three")]
            return agent.invoke({"messages": said})["messages"][-1].text

    played = play([Answer("a summary"), Status(500), Answer("ok")], handler)
    assert played.output == "ok"
    assert nodes(played)[0] == ("x", "SummarizationMiddleware.before_model")
    assert played.agreement == (3, 0, 0, 0)
    assert set(played.recording.suspect) - {"forked"} == {"no_answer"}


def test_an_interrupted_tool_is_no_failure(play):
    """It runs again when the graph goes on, and then it is one execution."""

    @tool
    def buy(what: str) -> str:
        """Buy it."""
        return f"{what}: {interrupt('sure?')}"

    def handler() -> str:
        agent = create_agent(MODEL, [buy], checkpointer=InMemorySaver())
        config: Any = {"configurable": {"thread_id": "1"}, "callbacks": [COLLECTOR]}
        agent.invoke(_asked(), config)
        return str(agent.invoke(Command(resume="yes"), config)["messages"][-1].text)

    played = play([Answer(tool_calls=[ToolCall("buy", {"what": "tea"})]), Answer("bought")], handler)
    assert played.output == "bought"
    assert [(done.outcome, done.error) for done in played.executions] == [("succeeded", None)]


# ---- what goes wrong


def test_arguments_that_are_no_json_end_the_agent(play):
    """Not streamed, the call is kept as it is, no tool runs, and both witnesses agree."""
    played = play(
        [Answer(tool_calls=[ToolCall("add", '{"a": 1,')])], lambda: heard(create_agent(MODEL, [add]))
    )
    assert played.output == ""
    assert played.turns[0].answer["tool_calls"][0]["function"]["arguments"] == '{"a": 1,'
    assert played.executions == []
    assert played.agreement == (1, 0, 0, 0)


def test_streamed_arguments_are_completed_and_the_record_says_so(play):
    """LangChain completes the JSON and runs the tool: the record has what was sampled."""
    played = play(
        [Answer(tool_calls=[ToolCall("add", '{"a": 1, "b": 2')]), Answer("3")],
        lambda: heard(create_agent(create_openai_compatible_model(), [add])),
        stream=True,
    )
    assert played.turns[0].answer["tool_calls"][0]["function"]["arguments"] == '{"a": 1, "b": 2'
    assert played.executions[0].arguments == {"a": 1, "b": 2}
    # No framework can hand broken arguments on: what it makes of them does not count as a difference.
    assert played.agreement == (2, 0, 0, 0)
    assert played.recording.suspect == []


def test_a_limit_ends_the_agent(play):
    """The call beyond the limit is refused before it is sent; callbacks count nothing for it."""
    again = Answer(tool_calls=[CALL])
    played = play([again, again], lambda: heard(create_agent(MODEL, [add])), limits=Limits(max_turns=2))
    assert "max_turns is used up" in str(played.error)
    assert played.recording.stop_reason is StopReason.TURN_LIMIT
    assert played.agreement == (2, 0, 0, 0)
    assert played.recording.suspect == []


@both_ways
def test_a_cancelled_call_is_no_other_calls(play, stream: bool):
    """LangChain tells no end of a cancelled call; later calls are not mixed up with it."""
    asked = Moment()

    async def handler() -> str:
        model = create_openai_compatible_model(stream=stream)
        with COLLECTOR.listening():
            for cancelled in (create_agent(model, [], name="first").ainvoke(_asked()), model.ainvoke("x")):
                with pytest.raises(TimeoutError):
                    async with asked.ends():
                        await cancelled
            second = create_agent(model, [], name="second")
            return str((await second.ainvoke(_asked()))["messages"][-1].text)

    late = Answer("late", delay_s=2, expect=asked)
    played = play([late, late, Answer("ok")], handler, stream=stream)
    assert played.output == "ok"
    assert [turn.stored.agent for turn in played.turns] == ["first", "main", "second"]
    assert played.turns[0].answer is None
    assert played.agreement == (3, 0, 0, 0)
    assert played.recording.suspect == ["no_answer"]


def test_an_abandoned_stream_is_no_other_calls(play):
    """Whoever breaks off a stream leaves a part of an answer."""

    def handler() -> str:
        with COLLECTOR.listening():
            for _ in create_openai_compatible_model().stream("x"):
                break
            return MODEL.invoke("y").text

    played = play([Answer("one two three four", chunk_delay_s=0.05), Answer("ok")], handler, stream=True)
    assert played.output == "ok"
    assert played.agreement == (2, 0, 0, 0)
    assert "cut_answer" in played.recording.suspect


# ---- models that cannot carry our transport


def test_a_users_own_client_is_recorded_from_callbacks(play):
    """The wire does not see it; what callbacks say is the record, and marked so."""
    with ScriptedModel([Answer(tool_calls=[CALL]), Answer("3", reasoning="so")]) as own:
        model = ChatOpenAI(model="x", base_url=own.base_url, api_key="k", temperature=0.5)  # type: ignore[arg-type]
        played = play([], lambda: heard(create_agent(model, [add], system_prompt="S", name="own")))
        sent = [call.json for call in own.calls]
    assert played.output == "3"
    assert [canonical_all(turn.prompt) for turn in played.turns] == [
        canonical_all(body["messages"]) for body in sent
    ]
    assert [turn.stored.source for turn in played.turns] == ["callbacks", "callbacks"]
    assert played.turns[0].tools == sent[0]["tools"]
    assert played.turns[0].stored.model == "x"
    assert played.turns[0].stored.sampling["temperature"] == 0.5
    assert played.turns[0].stored.finish_reason == "tool_calls"
    assert played.turns[1].stored.usage.completion_tokens > 0
    assert [execution.outcome for execution in played.executions] == ["succeeded"]
    assert nodes(played) == [("own", "model"), ("own", "model")]


def test_a_model_on_bedrock_is_recorded_from_callbacks(play, converse):
    """Through boto3, with reasoning and a tool; the second prompt continues the first."""
    model = create_openai_compatible_model(provider_model_id="us.amazon.nova-lite-v1:0", temperature=0.5)
    agent = create_agent(model, [add], system_prompt="S")
    played = play([], lambda: heard(agent, asynchronous=True))
    assert played.output == "3"
    assert len(converse) == 2
    first, second = played.turns
    assert first.answer == {
        "role": "assistant",
        "content": "let me",
        "reasoning_content": "hm",
        "tool_calls": [
            {"type": "function", "id": "t1", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}
        ],
    }
    assert second.stored.parent == first.stored.id
    assert [message["role"] for message in second.prompt] == ["system", "user", "assistant", "tool"]
    assert (first.stored.source, first.stored.finish_reason) == ("callbacks", "tool_calls")
    assert (first.stored.usage.prompt_tokens, first.stored.usage.completion_tokens) == (5, 7)
    assert first.stored.model == "us.amazon.nova-lite-v1:0"
    assert first.tools[0]["function"]["name"] == "add"
    assert [execution.call_id for execution in played.executions] == ["t1"]


@pytest.fixture
def converse() -> Iterator[list[dict[str, Any]]]:
    """A stand-in for Bedrock's Converse API; the requests that it got."""
    asked: list[dict[str, Any]] = []
    said = [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
        {"text": "let me"},
        {"toolUse": {"toolUseId": "t1", "name": "add", "input": {"a": 1, "b": 2}}},
    ]

    class Converse(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            last = len(asked) > 1
            answer = {
                "output": {"message": {"role": "assistant", "content": [{"text": "3"}] if last else said}},
                "stopReason": "end_turn" if last else "tool_use",
                "usage": {"inputTokens": 5, "outputTokens": 7, "totalTokens": 12},
                "metrics": {"latencyMs": 1},
            }
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Converse)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"] = f"http://127.0.0.1:{server.server_port}"
    yield asked
    server.shutdown()
    thread.join()
    server.server_close()


def canonical_all(messages: Any) -> list[Any]:
    """The messages in canonical form."""
    return [canonical(message) for message in messages]


# ---- what is left


def test_rollout_data_are_the_turns_so_far(play):
    """Each turn with its full OpenAI-style history, also while the rollout runs; empty outside of one."""
    seen: list[Any] = []

    def handler() -> None:
        agent = create_agent(MODEL, [])
        state = agent.invoke(_asked("One?"), {"callbacks": [COLLECTOR]})
        agent.invoke({"messages": [*state["messages"], ("user", "Two?")]}, {"callbacks": [COLLECTOR]})
        seen.extend(COLLECTOR.get_rollout_data())

    play([Answer("1"), Answer("2")], handler)
    assert len(seen) == 2
    history = seen[1]["formatted_request"]["messages"]
    assert [message["role"] for message in history] == ["user", "assistant", "user", "assistant"]
    assert history[-1]["content"] == "2"
    assert list(COLLECTOR.get_rollout_data()) == []


def test_nothing_is_kept_after_a_rollout(play):
    """What a cancelled or broken graph leaves open goes with its recorder."""
    others = list(_open)  # of tests whose recorders somebody still holds
    asked = Moment()

    async def handler() -> None:
        with COLLECTOR.listening():
            async with asked.ends():
                await create_agent(MODEL, []).ainvoke(_asked())

    played = play([Answer("late", delay_s=2, expect=asked)], handler)
    assert isinstance(played.error, TimeoutError)
    del played
    end = time.monotonic() + 5
    while len(_open) > len(others) and time.monotonic() < end:
        gc.collect()
        time.sleep(0.02)
    assert len(_open) == len(others)


def test_outside_a_rollout_nothing_is_collected():
    """In a plain request the collector does nothing, and the agent works."""
    others = list(_open)
    with ScriptedModel([Answer("ok")]) as server, scoped(Scope(Endpoint(server.base_url))):
        assert heard(create_agent(MODEL, [])) == "ok"
    gc.collect()
    assert len(_open) == len(others)


def _asked(text: str = "Begin.") -> dict[str, Any]:
    return {"messages": [("user", text)]}
