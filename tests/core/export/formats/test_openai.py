"""OpenAI fine-tuning: lines that the API's own types take, and its documented limits."""

import dataclasses

import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import TypeAdapter

from agentcore_rl.export import FORMATS, Terms, conversations_of
from agentcore_rl.export.formats.unfit import Unfit
from made_branches import Session, asked, forked, said
from made_rollouts import golden_rollout, make_rollout, raw

ALL = Terms(include_suspect=True)
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "odd": 1}}


def _lines(rollout):
    convert = FORMATS["openai"].converter()
    return [line for one in conversations_of(rollout, ALL) for line in convert(one)]


@pytest.mark.parametrize("rollout", [golden_rollout(), forked().rollout()], ids=["golden", "forked"])
def test_the_sdks_types_take_it(rollout):
    """Messages and tools validate; every line ends with an assistant message that trains."""
    for line in _lines(rollout):
        TypeAdapter(list[ChatCompletionMessageParam]).validate_python(line["messages"])
        TypeAdapter(list[ChatCompletionToolParam]).validate_python(line.get("tools", []))
        assert line["messages"][-1]["role"] == "assistant"
        assert "weight" not in line["messages"][-1]


def test_a_line_with_tools():
    """Arguments stay the text that was sampled; parallel calls are allowed unless the request forbids."""
    (line,) = _lines(golden_rollout())
    assert line["messages"][2]["tool_calls"][0]["function"]["arguments"] == '{"expression": "6*7"}'
    assert line["parallel_tool_calls"] is True
    assert line.keys() == {"messages", "tools", "parallel_tool_calls"}


def test_weights():
    """0 for what trains in another branch and for what the prompt brought along."""
    edited = _lines(forked().rollout())[1]
    assert [one.get("weight") for one in edited["messages"] if one["role"] == "assistant"] == [0, None]
    session = Session()
    session.call([asked("q"), said("an example"), asked("r")], [1], [2], [-1.0], answer=said("a"))
    (line,) = _lines(session.rollout())
    assert [one.get("weight") for one in line["messages"] if one["role"] == "assistant"] == [0, None]


def _called(calls, *, name="f", results=("c0",), tools=None):
    """Tool calls, results, an answer."""
    asked_for = [
        {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": "{"}}
        for n in range(calls)
    ]
    session = Session()
    begin = [asked("q")]
    call = {"role": "assistant", "content": None, "tool_calls": asked_for}
    session.call(begin, [1], [2], [-1.0], answer=call)
    told = [{"role": "tool", "tool_call_id": one, "content": "done"} for one in results]
    session.call([*begin, call, *told], [1, 2, 3], [4], [-1.0], answer=said("a"))
    rollout = session.rollout()
    if tools is None:
        return rollout
    (path,) = rollout.trajectories
    turns = [dataclasses.replace(turn, tools=0) for turn in path.turns]
    return dataclasses.replace(
        rollout, tools=[raw(tools)], trajectories=[dataclasses.replace(path, turns=turns)]
    )


@pytest.mark.parametrize(
    ("rollout", "reason"),
    [
        (_called(2), "tool_call_without_result"),
        (_called(1, results=("c0", "c9")), "tool_result_without_call"),
        (_called(1, name="no name"), "tool_call_without_id_or_name"),
        (_called(1, tools=[TOOL] * 129), "more_than_128_tools"),
        (_called(1, tools=[{"type": "custom"}]), "tool_that_is_no_function"),
        (make_rollout(messages=[raw(asked("q")), raw(said(""))]), "empty_answer"),
        (make_rollout(messages=[raw({"role": "critic", "content": "q"}), raw(said("a"))]), "unknown_role"),
    ],
)
def test_what_the_api_would_refuse(rollout, reason):
    """It is left out with its reason."""
    with pytest.raises(Unfit, match=reason):
        _lines(rollout)


def test_tools_keep_what_the_api_knows():
    """Further keys of a function are dropped."""
    (line,) = _lines(_called(1, tools=[TOOL]))
    assert line["tools"] == [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    ]


def test_limits_of_the_file():
    """Ten examples at least, 512 MB at most."""
    form = FORMATS["openai"]
    assert form.notes(10, 1000) == []
    assert form.notes(9, 1000) == ["OpenAI wants at least 10 examples, and these are 9."]
    assert "split it" in form.notes(10, 600_000_000)[0]
