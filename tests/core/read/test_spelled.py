"""Calls that stayed text are found, and talk about calls is not."""

import time

import pytest

from agentcore_rl.read import spelled_calls
from agentcore_rl.rollout import PromptRef, Trajectory
from made_rollouts import make_rollout, make_turn, raw

TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]


def found(content, *, tools=0, **fields):
    """Name and form of the spelled calls of a rollout whose answer has this content."""
    answer = content if isinstance(content, dict) else {"role": "assistant", "content": content}
    turn = make_turn(0, prompt=PromptRef(0, [0]), tools=tools, **{"answer": 1} | fields)
    messages = [raw({"role": "user", "content": "?"}), raw(answer)]
    made = make_rollout(
        messages=messages, tools=[raw(TOOLS)], trajectories=[Trajectory("main", None, [turn])]
    )
    return [(each.name, each.form) for each in spelled_calls(made)]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ('<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"\n</tool_call>', "<tool_call>"),
        ('Let me look.\n<tool_call>{"name": "get_weather"}', "<tool_call>"),
        ('[TOOL_CALLS][{"name": "get_weather", "arguments": {}}]', "[TOOL_CALLS]"),
        ("<function=get_weather>{}</function>", "<function="),
        ('<invoke name="get_weather">', "<invoke name="),
        ('```json\n{"name": "get_weather", "arguments": {}}\n```', "object"),
        ('{"tool": "get_weather", "parameters": {}}', "object"),
        ("Thought: look\nAction: get_weather\nAction Input: {}", "action"),
        ([{"type": "text", "text": '{"name": "get_weather", "arguments": {}}'}], "object"),
    ],
)
def test_spelled_calls_are_found(text, form):
    """In each of the ways in which models write calls."""
    assert found(text) == [("get_weather", form)]


@pytest.mark.parametrize(
    "text",
    [
        "The weather is fine.",
        "I would write <tool_call> now, but I know the answer.",
        "get_weather is a tool that I have.",
        '<tool_call>{"name": "search"}</tool_call>',
        '{"name": "Ada", "arguments": "none"}',
        '{"name": "get_weather_tomorrow", "arguments": {}}',
        "<tool_call>" + " " * 300 + "get_weather",
        "Action: get_weather, if you ask me.",
        None,
        7,
        [None, {"text": 3}],
    ],
)
def test_other_answers_are_left_alone(text):
    """Other names, a mark without a call, a name without a mark."""
    assert found(text) == []


def test_only_where_tools_were_offered_and_none_was_called():
    """A call that was parsed, tools that were forbidden, and no tools at all."""
    text = '{"name": "get_weather", "arguments": {}}'
    assert found(text, tools=None) == []
    assert found(text, sampling={"tool_choice": "none"}) == []
    assert found({"content": text, "tool_calls": [{"id": "x"}]}) == []
    assert found(text, answer=None) == []


def test_hostile_texts_do_not_hang():
    """Marks, braces and spaces without end."""
    began = time.process_time()
    for part in (
        "<tool_call>",
        "{",
        '{"name": "',
        "{ " * 50,
        "Action: ",
        "Action: x\n\n\n",
        '{"name" : "a" , ',
    ):
        assert found(part * (300_000 // len(part))) == []
    assert time.process_time() - began < 5
