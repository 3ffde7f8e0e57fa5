"""Chat messages: what they may hold, and when two of them are the same."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore_rl.exceptions import InvalidRequest
from agentcore_rl.messages import (
    canonical,
    check_messages,
    fingerprint,
    has_broken_arguments,
    loose_fingerprint,
    without_text_beside_calls,
)


def raw(message: Any) -> bytes:
    """A message's JSON."""
    return json.dumps(message).encode()


def call(arguments: Any, **more: Any) -> dict[str, Any]:
    """An assistant message with one tool call."""
    tool_call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}, **more}
    return {"role": "assistant", "tool_calls": [tool_call]}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"role": "user", "content": "a"}, {"content": "a", "role": "user"}),
        ({"role": "user", "content": "ab"}, {"role": "user", "content": [{"type": "text", "text": "ab"}]}),
        (
            {"role": "user", "content": "ab"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        ),
        ({"role": "assistant", "content": None}, {"role": "assistant"}),
        ({"role": "assistant", "content": ""}, {"role": "assistant", "content": []}),
        ({"role": "assistant", "content": "a", "tool_calls": []}, {"role": "assistant", "content": "a"}),
        (
            {"role": "assistant", "content": "a", "reasoning_content": "hm"},
            {"role": "assistant", "content": "a"},
        ),
        ({"role": "user", "content": "a", "name": "bob"}, {"role": "user", "content": "a"}),
        (call('{"a": 1, "b": [2]}'), call('{"b":[2],"a":1}')),
        (call('{"a": "\\u00e9"}'), call('{"a": "é"}')),
        (call("{}"), {**call(" {} "), "content": None, "refusal": None}),
        (call("{}"), call("{}", index=0)),
    ],
)
def test_what_frameworks_change_without_meaning_to_is_the_same(one: Any, other: Any):
    """Order of keys, parts, null against absent, reasoning, names and the spelling of arguments."""
    assert canonical(one) == canonical(other)
    assert fingerprint(raw(one)) == fingerprint(raw(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"role": "user", "content": "a"}, {"role": "user", "content": "a "}),
        ({"role": "user", "content": "a"}, {"role": "system", "content": "a"}),
        (
            {"role": "tool", "content": "a", "tool_call_id": "1"},
            {"role": "tool", "content": "a", "tool_call_id": "2"},
        ),
        (call('{"a": 1}'), call('{"a": 2}')),
        (call('{"a": 1}'), call('{"a": 1.0}')),
        (call('{"a": true}'), call('{"a": 1}')),
        (call('{"a": 1'), call('{"a":1')),
        (call('"x"'), call("x")),
        (call('{"json": 1}'), call({"json": 1})),
        (call("{}"), call("{}", id="c2")),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "a"}}]}, {"role": "user"}),
    ],
)
def test_what_a_model_would_see_differs(one: Any, other: Any):
    """Texts, roles, ids, values and types of arguments."""
    assert fingerprint(raw(one)) != fingerprint(raw(other))


@pytest.mark.parametrize(
    "odd",
    [
        b"",
        b"\xff",
        b"[1]",
        b'{"content": 1e999}',
        b"[" * 5000,
        raw(call('"\\ud800"')),
        raw(call("9" * 5000)),
        raw(call("[" * 5000)),
        raw({"role": "assistant", "tool_calls": [None, {"function": 7}, 3]}),
        raw({"role": "user", "content": [None, 3, {"type": "text", "text": None}]}),
        raw({"tool_calls": "x", "content": {"a": 1}}),
    ],
)
def test_anything_has_a_fingerprint(odd: bytes):
    """Whatever stands in a message, it can be compared; nothing raises."""
    assert len(fingerprint(odd)) == len(loose_fingerprint(odd)) == 16
    has_broken_arguments(odd)
    assert fingerprint(odd) == fingerprint(bytes(bytearray(odd)))


@given(st.dictionaries(st.sampled_from(["role", "content", "tool_calls", "name"]), st.none() | st.text()))
def test_the_canonical_form_is_its_own(message: Any):
    """A canonical text message has itself as canonical form."""
    assert canonical(canonical(message)) == canonical(message)


@pytest.mark.parametrize(
    ("messages", "sentence"),
    [
        ("hello", "prompt must be a list of chat messages."),
        ({"role": "user"}, "prompt must be a list of chat messages."),
        (None, "prompt must be a list of chat messages."),
        (["hello"], r"prompt\[0\] must be an object."),
        ([{"role": "user", "content": "a"}, {"role": "bot"}], r"prompt\[1\].role must be one of system, .*"),
        ([{"role": "user", "content": 3}], r"prompt\[0\].content must be a string, a list of parts or null."),
    ],
)
def test_what_is_no_list_of_messages_is_refused(messages: Any, sentence: str):
    """The sentence says where."""
    with pytest.raises(InvalidRequest, match=f"^{sentence}$"):
        check_messages(messages, where="prompt")


def test_a_list_of_messages_passes():
    """Every role, text and parts and null."""
    check_messages([])
    check_messages(
        [
            {"role": role, "content": content}
            for role in ("developer", "tool", "assistant")
            for content in ("a", [], None)
        ]
    )


def test_broken_arguments_are_compared_loosely():
    """What a framework sends back in place of arguments that are no JSON is the same call, loosely."""
    broken, mended = call('{"a": 1'), call("{}")
    assert has_broken_arguments(raw(broken))
    assert not has_broken_arguments(raw(mended))
    assert not has_broken_arguments(raw({"role": "user", "content": "{"}))
    assert loose_fingerprint(raw(broken)) == loose_fingerprint(raw(mended))
    assert loose_fingerprint(raw(broken)) != loose_fingerprint(raw(call("{}", id="c2")))
    assert loose_fingerprint(raw({"role": "user", "content": "a"})) == fingerprint(
        b'{"content":"a","role":"user"}'
    )


def test_text_beside_calls_can_be_left_out():
    """Only where there is both; the calls stay as they are."""
    said = {**call("{}"), "content": "so"}
    shortened = without_text_beside_calls(raw(said))
    assert shortened is not None
    assert json.loads(shortened) == {**said, "content": None}
    for other in (call("{}"), {"role": "assistant", "content": "so"}, {**call("{}"), "content": ""}, "text"):
        assert without_text_beside_calls(raw(other)) is None
    assert without_text_beside_calls(b"{broken") is None
