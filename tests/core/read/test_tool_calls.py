"""Tool calls are counted from the answers, each judged by its own request."""

from agentcore_rl.read import tool_calls
from agentcore_rl.rollout import PromptRef, Trajectory
from made_rollouts import make_rollout, make_turn, raw

TOOLS = [{"type": "function", "function": {"name": "calculator", "parameters": {"type": "object"}}}]


def call(name: str, arguments: object) -> dict[str, object]:
    """A tool call of an answer."""
    return {"id": f"call-{name}", "type": "function", "function": {"name": name, "arguments": arguments}}


def rollout_of(*answers, tools=0):
    """A rollout whose turns have these answers."""
    messages = [raw({"role": "user", "content": "?"}), *map(raw, answers)]
    turns = [
        make_turn(n, parent=None, prompt=PromptRef(0, [0]), answer=n + 1, tools=tools)
        for n in range(len(answers))
    ]
    return make_rollout(messages=messages, tools=[raw(TOOLS)], trajectories=[Trajectory("main", None, turns)])


def test_a_call_is_well_formed_when_parsed_and_known():
    """Arguments that are a JSON object, for a tool that was offered; the text stays as the model wrote it."""
    answer = {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            call("calculator", '{"expression": "2+2"}'),
            call("calculator", '{"expression": '),
            call("calculator", "[1]"),
            call("search", "{}"),
            call("calculator", ""),
        ],
    }
    found = list(tool_calls(rollout_of({"role": "assistant", "content": "no call"}, answer)))
    assert [each.well_formed for each in found] == [True, False, False, False, False]
    assert [each.known for each in found] == [True, True, True, False, True]
    assert found[0].parsed == {"expression": "2+2"}
    assert found[1].arguments == '{"expression": '
    assert {each.turn for each in found} == {1}


def test_without_tools_no_call_is_known():
    """A model that calls tools unasked makes no well-formed call."""
    answer = {"role": "assistant", "content": None, "tool_calls": [call("calculator", "{}")]}
    assert [each.well_formed for each in tool_calls(rollout_of(answer, tools=None))] == [False]


def test_odd_answers_are_counted_and_harm_nothing():
    """Calls of a shape that no server should send, and turns without an answer."""
    answer = {"role": "assistant", "tool_calls": [{}, None, {"function": {"name": 5, "arguments": None}}]}
    found = list(tool_calls(rollout_of(answer)))
    assert [(each.name, each.arguments) for each in found] == [("", "null"), ("", "null"), ("5", "null")]
    assert not any(each.well_formed for each in found)
    turn = make_turn(0, answer=None)
    assert list(tool_calls(make_rollout(trajectories=[Trajectory("main", None, [turn])]))) == []
