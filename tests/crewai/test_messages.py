"""CrewAI's messages as OpenAI's, total over what CrewAI has."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from crewai import Agent
from crewai.llms.base_llm import BaseLLM
from crewai.utilities.serialization import to_serializable
from crewai.utilities.types import LLMMessage

from agentcore_rl.rollout import Usage
from agentcore_rl.testing import Answer, ToolCall
from agentcore_rl_crewai import create_openai_compatible_model, to_openai_messages
from agentcore_rl_crewai.messages import (
    answer_message,
    finish_reason,
    native_call,
    same_as_told,
    usage,
)

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"ü": "\\"q\\" 😀"}'}}


def test_a_conversation_is_as_on_the_wire(play):
    """What an agent keeps of its run, and what its output has, are the messages that were sent."""
    from crewai.tools import tool

    @tool("add")
    def add(a: int, b: int) -> str:
        """Add."""
        return str(a + b)

    kept: list[Any] = []

    def handler() -> None:
        agent = Agent(role="R", goal="G", backstory="B", llm=create_openai_compatible_model(), tools=[add])
        kept.append(agent.kickoff("Begin."))

    played = play([Answer(tool_calls=[ToolCall("add", {"a": 1, "b": 2})]), Answer("3 ✓")], handler)
    [output] = kept
    expected = [*played.turns[1].prompt, {"role": "assistant", "content": "3 ✓"}]
    assert to_openai_messages(output) == expected
    assert to_openai_messages(output.messages) == expected


@pytest.mark.parametrize(
    ("native", "expected"),
    [
        ("Begin.", [{"role": "user", "content": "Begin."}]),
        (
            {"role": "system", "content": "S", "cache_breakpoint": True},
            [{"role": "system", "content": "S"}],
        ),
        (
            [{"role": "assistant", "content": None, "tool_calls": [CALL], "raw_tool_call_parts": [object()]}],
            [{"role": "assistant", "content": None, "tool_calls": [CALL]}],
        ),
        (
            {"role": "tool", "tool_call_id": "c", "name": "f", "content": "r", "files": None},
            [{"role": "tool", "content": "r", "name": "f", "tool_call_id": "c"}],
        ),
        (
            {"role": "user", "content": [{"type": "text", "text": "a"}]},
            [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
        ),
        ({"role": "assistant"}, [{"role": "assistant", "content": None}]),
        ([], []),
    ],
)
def test_messages_are_converted(native: Any, expected: list[dict[str, Any]]):
    """Without what is CrewAI's own."""
    assert to_openai_messages(native) == expected


def test_every_key_of_crewais_messages_is_known():
    """A key that a newer CrewAI adds is met here first."""
    keys = {"role", "content", "tool_call_id", "name", "tool_calls", "raw_tool_call_parts", "files"}
    assert set(LLMMessage.__annotations__) == keys


@pytest.mark.parametrize(
    "native",
    [
        None,
        3,
        b"bytes",
        [None],
        ["text"],
        {"content": "no role"},
        {"role": "robot", "content": "x"},
        {"role": "user", "content": 3},
        {"role": "user", "content": "x", "files": {"a": "b"}},
        {"role": "user", "content": "x", "audio": "y"},
        {"role": "assistant", "content": None, "tool_calls": [object()]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "name": "f"}]},
    ],
)
def test_an_unknown_type_raises(native: Any):
    """Nothing is left out in silence."""
    with pytest.raises(TypeError):
        to_openai_messages(native)


@pytest.mark.parametrize(
    "call",
    [
        CALL,
        SimpleNamespace(id="c", function=SimpleNamespace(name="f", arguments=CALL["function"]["arguments"])),
        {"call_id": "c", "name": "f", "arguments": CALL["function"]["arguments"]},
        {"toolUseId": "c", "name": "f", "input": {"ü": '"q" 😀'}},
        SimpleNamespace(id="c", name="f", input={"ü": '"q" 😀'}),
        SimpleNamespace(id="c", function_call=SimpleNamespace(name="f", args={"ü": '"q" 😀'})),
    ],
)
def test_tool_calls_of_every_provider_are_read(call: Any):
    """OpenAI's two forms, Bedrock's, Anthropic's and Gemini's."""
    [converted] = answer_message([call])["tool_calls"]
    assert (converted["id"], converted["type"], converted["function"]["name"]) == ("c", "function", "f")
    assert json.loads(converted["function"]["arguments"]) == {"ü": '"q" 😀'}


def test_answers_are_text_calls_or_a_form():
    """Anything else raises."""
    assert answer_message("so") == {"role": "assistant", "content": "so"}
    assert answer_message(None) == {"role": "assistant", "content": None}
    assert answer_message({"total": 3}) == {"role": "assistant", "content": '{"total": 3}'}
    for odd in ([], 3, [3]):
        with pytest.raises(TypeError):
            answer_message(odd)


DEEP = {"type": "object", "properties": {"a": {"enum": ["x", None, 1.5, True], "items": {"b": ["c"]}}}}


def test_what_crewai_cuts_short_is_whole_again():
    """Beyond depth five it writes what Python prints; read back, it is what was there."""
    messages = [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "'quoted' \\ ü"}}]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
    ]
    tools = [{"type": "function", "function": {"name": "f", "description": "d", "parameters": DEEP}}]
    parameters = dict.fromkeys(
        ("temperature", "top_p", "max_tokens", "stream", "seed", "frequency_penalty", "presence_penalty", "n")
    )
    event = SimpleNamespace(
        messages=to_serializable(messages),
        tools=to_serializable(tools),
        model="m",
        **parameters | {"seed": 7},
    )
    assert event.messages != messages
    native = native_call(event)()
    assert native.messages == messages
    assert native.tools == tools
    assert (native.model, native.sampling) == ("m", {"seed": 7})


@pytest.mark.parametrize(
    ("said", "heard", "same"),
    [
        ({"content": "text", "tool_calls": [CALL]}, {"content": None, "tool_calls": [CALL]}, True),
        ({"content": "text", "tool_calls": [CALL]}, {"tool_calls": [{**CALL, "id": "d"}]}, False),
        ({"content": "text"}, {"content": None, "tool_calls": [CALL]}, False),
        ({"content": '{"a":1}'}, {"content": '{\n"a": 1}'}, True),
        ({"content": '{"a":1}'}, {"content": '{"a":2}'}, False),
        ({"content": "a"}, {"content": "b"}, False),
        ({"content": None}, {"content": "b"}, False),
        ({}, {"content": "b"}, False),
    ],
)
def test_answers_are_compared_as_far_as_crewai_tells(said: Any, heard: Any, same: bool):
    """It tells no text beside tool calls, and writes JSON anew."""
    assert same_as_told({"role": "assistant", **said}, {"role": "assistant", **heard}) is same


def test_counts_and_reasons_are_in_openais_words():
    """Bedrock's are translated; what is unknown stays."""
    assert usage({"prompt_tokens": 1, "completion_tokens": 2}) == Usage(1, 2)
    assert usage({"inputTokens": 1, "outputTokens": 2}) == Usage(1, 2)
    assert usage({"total_tokens": 0}) is None
    assert usage(None) is None
    assert [finish_reason(told) for told in ("stop", "end_turn", "odd", None)] == [
        "stop",
        "stop",
        "odd",
        None,
    ]


def test_crewai_still_has_what_we_build_on():
    """Names that are no public interface: an upgrade that moves them fails here first."""
    assert callable(BaseLLM._wrap_call_method)
    assert BaseLLM.is_tool_result_overflowing_threshold
    assert BaseLLM.is_context_window_overflowing_threshold
