import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore_rl.local_model.tool_calls import read_calls, write_calls

CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'


def _names(calls):
    return [(call["function"]["name"], call["function"]["arguments"]) for call in calls]


def test_a_call_is_read_with_its_arguments_as_written():
    """Spaces and the order of keys inside the arguments are those that were sampled."""
    content, calls = read_calls('<tool_call>{"name":"add",  "arguments" : {"b":2,  "a": 1.0}}</tool_call>')
    assert content is None
    assert _names(calls) == [("add", '{"b":2,  "a": 1.0}')]
    assert calls[0]["type"] == "function"
    assert calls[0]["id"].startswith("call_")


def test_text_before_two_calls_is_content():
    """Calls keep their order and get ids of their own."""
    content, calls = read_calls(f"Let me see.\n{CALL}\n{CALL}")
    assert content == "Let me see."
    assert len({call["id"] for call in calls}) == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no call at all",
        "<tool_call>",
        CALL[:-3],
        CALL + "<tool_call>{",
        CALL + " and more words",
        "<tool_call>add(1)</tool_call>" + CALL,
        CALL.replace('"add"', "5"),
        CALL.replace('{"a": 1}', '"a"'),
        CALL.replace('{"a": 1}', "null"),
        CALL.replace("1", "NaN"),
        CALL.replace("}}", "}, 1}"),
        CALL.replace('"arguments"', '"parameters"'),
        "<tool_call>" + "[" * 100_000 + "</tool_call>",
        '<tool_call>{"name": "add", "arguments": {"a": ' + "[" * 100_000 + "}}</tool_call>",
        '<tool_call>{"name": "add", "arguments": {"a": ' + "9" * 5000 + "}}</tool_call>",
    ],
)
def test_what_cannot_be_read_stays_text(text):
    """One malformed call makes the whole answer text: nothing that was sampled is lost."""
    assert read_calls(text) == (text, [])


@given(st.text(), st.lists(st.dictionaries(st.text(), st.integers() | st.text()), min_size=1, max_size=3))
def test_written_calls_are_read_back(words, arguments):
    """`write_calls` puts a message as the model would have written it."""
    if "<tool_call>" in words or "</tool_call>" in json.dumps(arguments):
        return
    words = words.rstrip()
    calls = [{"function": {"name": "f", "arguments": json.dumps(a)}} for a in arguments]
    content, read = read_calls(write_calls({"content": words, "tool_calls": calls}))
    assert content == (words or None)
    assert _names(read) == [("f", json.dumps(a)) for a in arguments]


def test_messages_of_clients_come_in_many_shapes():
    """Content in parts or none, arguments as an object or as broken JSON are all written."""
    assert write_calls({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}) == "a\nb"
    assert write_calls({"content": None}) == ""
    assert write_calls({"tool_calls": [{"function": {"name": "add", "arguments": {"a": 1}}}]}) == CALL
    assert "{broken" in write_calls({"tool_calls": [{"function": {"name": "add", "arguments": "{broken"}}]})
