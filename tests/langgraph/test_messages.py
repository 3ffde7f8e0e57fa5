"""OpenAI messages from every type of message that LangChain has."""

import inspect
from typing import Any

import langchain_core.messages as lc
import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from agentcore_rl.messages import canonical
from agentcore_rl.testing import Answer, ToolCall
from agentcore_rl_langgraph import adapter, create_openai_compatible_model, to_openai_messages

CALL = {"name": "add", "args": {"a": "ü"}, "id": "c1"}
SPELLED = {"type": "function", "id": "c1", "function": {"name": "add", "arguments": '{"a": "ü"}'}}
PNG = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AQ=="}}

CASES: list[tuple[BaseMessage, dict[str, Any]]] = [
    (SystemMessage("ünï"), {"role": "system", "content": "ünï"}),
    (HumanMessage("hi", name="ann"), {"role": "user", "content": "hi", "name": "ann"}),
    (HumanMessage(["a", {"type": "text", "text": "b"}]), {"role": "user", "content": "ab"}),
    (HumanMessage(""), {"role": "user", "content": ""}),
    (
        HumanMessage(["see", PNG]),
        {"role": "user", "content": [{"type": "text", "text": "see"}, PNG]},
    ),
    (
        HumanMessage([{"type": "image", "base64": "AQ==", "mime_type": "image/png"}]),
        {"role": "user", "content": [PNG]},
    ),
    (
        HumanMessage([{"image": {"format": "png", "source": {"bytes": b"\x01"}}}, {"cachePoint": {}}]),
        {"role": "user", "content": [PNG]},
    ),
    (AIMessage(""), {"role": "assistant", "content": ""}),
    (AIMessage("", tool_calls=[CALL]), {"role": "assistant", "content": None, "tool_calls": [SPELLED]}),
    (AIMessage("so", tool_calls=[CALL]), {"role": "assistant", "content": "so", "tool_calls": [SPELLED]}),
    (
        AIMessage(
            "",
            tool_calls=[CALL],
            invalid_tool_calls=[{"name": "add", "args": '{"a":', "id": "c0", "error": "no JSON"}],
        ),
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                SPELLED,
                {"type": "function", "id": "c0", "function": {"name": "add", "arguments": '{"a":'}},
            ],
        },
    ),
    (
        AIMessage("no", additional_kwargs={"refusal": "never", "reasoning_content": "hm"}),
        {"role": "assistant", "content": "no", "refusal": "never", "reasoning_content": "hm"},
    ),
    (
        AIMessage("", additional_kwargs={"function_call": {"name": "add", "arguments": "{}"}}),
        {"role": "assistant", "content": None, "function_call": {"name": "add", "arguments": "{}"}},
    ),
    (
        AIMessage(
            [{"type": "reasoning", "reasoning": "hm"}, {"type": "tool_call", **CALL}], tool_calls=[CALL]
        ),
        {"role": "assistant", "content": None, "tool_calls": [SPELLED], "reasoning_content": "hm"},
    ),
    (
        AIMessage(
            [
                {"type": "reasoning_content", "reasoning_content": {"text": "h", "signature": "s"}},
                {"type": "thinking", "thinking": "m"},
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "!"}]},
                {"type": "text", "text": "so"},
                {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": "ü"}},
            ],
            tool_calls=[CALL],
        ),
        {"role": "assistant", "content": "so", "tool_calls": [SPELLED], "reasoning_content": "hm!"},
    ),
    (AIMessageChunk("part"), {"role": "assistant", "content": "part"}),
    (
        ToolMessage("3", tool_call_id="c1", name="add", status="error"),
        {"role": "tool", "tool_call_id": "c1", "content": "3"},
    ),
    (FunctionMessage("3", name="add"), {"role": "function", "name": "add", "content": "3"}),
    (ChatMessage("x", role="developer"), {"role": "developer", "content": "x"}),
]


@pytest.mark.parametrize(("message", "expected"), CASES, ids=lambda case: getattr(case, "type", "")[:20])
def test_each_type_has_its_form(message: BaseMessage, expected: dict[str, Any]):
    """And the message itself is left as it was."""
    before = message.model_copy(deep=True)
    assert to_openai_messages(message) == [expected]
    assert to_openai_messages([message]) == [expected]
    assert message == before


def test_every_message_type_of_langchain_is_known():
    """A type that a later LangChain adds is noticed here."""
    known = {
        thing.__name__
        for _, thing in inspect.getmembers(lc, inspect.isclass)
        if issubclass(thing, BaseMessage) and not thing.__name__.endswith("Chunk")
    }
    tested = {type(message).__name__ for message, _ in CASES}
    assert known - tested == {"AnyMessage", "BaseMessage", "RemoveMessage"} & known


def test_a_state_and_what_langchain_takes_for_messages():
    """A graph's state, tuples of role and text, and dicts."""
    said = [("system", "s"), {"role": "user", "content": "u"}, AIMessage("a")]
    expected = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": "a"},
    ]
    assert to_openai_messages({"messages": said, "other": 1}) == expected
    assert adapter.to_openai_messages(tuple(said)) == expected
    assert to_openai_messages(said[1]) == expected[1:2]


class Hologram(BaseMessage):
    type: str = "hologram"


@pytest.mark.parametrize(
    "native",
    [
        lc.RemoveMessage(id="1"),
        Hologram(content="x"),
        HumanMessage([{"type": "hologram"}]),
        HumanMessage([{"type": "video", "base64": "AQ==", "mime_type": "video/mp4"}]),
        HumanMessage([{"type": "image"}]),
        "text",
        7,
        [7],
        {"role": "hologram", "content": "x"},
        {"content": "x"},
    ],
    ids=repr,
)
def test_what_they_cannot_carry_is_refused(native: Any):
    """Never dropped in silence."""
    with pytest.raises(TypeError):
        to_openai_messages(native)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "answer",
    [
        Answer("Grüße 你好 🎈\n\ttab"),
        Answer(""),
        Answer(None, tool_calls=[ToolCall("add", {"a": 1, "b": 2})]),
        Answer("beside", tool_calls=[ToolCall("add", '{"b":2,  "a":"\\u0069"}'), ToolCall("add", {})]),
        Answer("so", reasoning="hm"),
        Answer("", tool_calls=[ToolCall("add", {"a": 1}, id="")]),
    ],
    ids=["unicode", "empty", "null", "text beside calls", "reasoning", "empty id"],
)
def test_what_langchain_keeps_is_what_the_server_said(play, answer: Answer, stream: bool):
    """The native answer, converted, equals the wire's in canonical form."""
    native: list[Any] = []
    model = create_openai_compatible_model(stream=stream)
    played = play([answer], lambda: native.append(model.invoke("Begin.")))
    [turn] = played.turns
    [converted] = to_openai_messages(native)
    assert canonical(converted) == canonical(turn.answer)
