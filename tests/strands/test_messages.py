"""OpenAI messages from every type of content block that Strands has."""

import typing
from typing import Any

import pytest
from strands import Agent
from strands.models.openai import OpenAIModel
from strands.types.content import ContentBlock, TextBlock

from agentcore_rl.messages import canonical
from agentcore_rl_strands import to_openai_messages
from agentcore_rl_strands.messages import _KINDS

USER: list[Any] = [
    ({"text": "ünï"}, "ünï"),
    ({"guardContent": {"text": {"text": "guarded", "qualifiers": ["guard_content"]}}}, "guarded"),
    ({"citationsContent": {"citations": [], "content": [{"text": "a"}, {"text": "b"}]}}, "ab"),
    (
        {"image": {"format": "png", "source": {"bytes": b"\x01"}}},
        [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AQ=="}}],
    ),
    (
        {"document": {"format": "pdf", "name": "d", "source": {"bytes": b"\x01"}}},
        [{"type": "file", "file": {"filename": "d", "file_data": "data:application/pdf;base64,AQ=="}}],
    ),
    (
        {"audio": {"format": "wav", "source": {"bytes": b"\x01"}}},
        [{"type": "input_audio", "input_audio": {"format": "wav", "data": "AQ=="}}],
    ),
]


@pytest.mark.parametrize(("block", "content"), USER, ids=[next(iter(block)) for block, _ in USER])
def test_what_openai_messages_carry_is_carried(block: dict[str, Any], content: Any):
    """Text is a string; with anything beside text, content is a list of parts."""
    assert to_openai_messages({"role": "user", "content": [block]}) == [{"role": "user", "content": content}]


def test_every_block_type_of_strands_is_known():
    """A type that a later Strands adds is noticed here."""
    assert set(_KINDS) == set(typing.get_type_hints(ContentBlock))


@pytest.mark.parametrize(
    "block",
    [
        {"hologram": {}},
        {},
        "text",
        {"video": {"format": "mp4", "source": {"bytes": b""}}},
        {"audio": {"format": "flac", "source": {"bytes": b""}}},
        {"image": {"format": "png", "source": {"location": {"type": "s3", "uri": "s3://b/k"}}}},
    ],
    ids=str,
)
def test_what_they_cannot_carry_is_refused(block: Any):
    """Never dropped in silence."""
    with pytest.raises(TypeError):
        to_openai_messages([{"role": "user", "content": [block]}])


@pytest.mark.parametrize(
    "native", ["text", 7, [{"role": "tool", "content": []}], {"role": "user", "content": "x"}]
)
def test_what_is_no_message_is_refused(native: Any):
    """A string is no message of Strands, nor is a role that it does not have."""
    with pytest.raises(TypeError):
        to_openai_messages(native)


def test_an_answer_with_reasoning_text_and_calls():
    """Reasoning has its own key, encrypted reasoning has no text, arguments are JSON."""
    message = {
        "role": "assistant",
        "content": [
            {"reasoningContent": {"reasoningText": {"text": "so: "}}},
            {"reasoningContent": {"redactedContent": b"\x00"}},
            {"text": "I "},
            {"text": "add."},
            {"cachePoint": {"type": "default"}},
            {"toolUse": {"toolUseId": "c1", "name": "add", "input": {"a": "ß"}}},
        ],
    }
    assert to_openai_messages(message) == [
        {
            "role": "assistant",
            "content": "I add.",
            "reasoning_content": "so: ",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": "ß"}'}}
            ],
        }
    ]


@pytest.mark.parametrize(("content", "expected"), [([], ""), ([{"text": ""}], "")])
def test_an_empty_answer_is_an_answer(content: list[Any], expected: str):
    """An assistant message without blocks says nothing, and is one."""
    assert to_openai_messages({"role": "assistant", "content": content}) == [
        {"role": "assistant", "content": expected}
    ]


def test_tool_results_are_tool_messages():
    """Text and JSON of one result are lines of its message; an error is told by its text."""
    message = {
        "role": "user",
        "content": [
            {
                "toolResult": {
                    "toolUseId": "c1",
                    "status": "success",
                    "content": [{"text": "a"}, {"json": {"b": 1}}],
                }
            },
            {"toolResult": {"toolUseId": "c2", "status": "error", "content": [{"text": "Error: no"}]}},
            {"text": "go on"},
        ],
    }
    assert to_openai_messages(message) == [
        {"role": "tool", "tool_call_id": "c1", "content": 'a\n{"b": 1}'},
        {"role": "tool", "tool_call_id": "c2", "content": "Error: no"},
        {"role": "user", "content": "go on"},
    ]


def test_an_agents_system_prompt_comes_first():
    """From an agent: its system prompt, then its messages; blocks may be Strands' own classes."""
    agent = Agent(
        model=OpenAIModel(client_args={"api_key": "k"}, model_id="x"),
        system_prompt="Be brief.",
        messages=[{"role": "user", "content": [TextBlock("hi")]}],  # type: ignore[list-item]
        callback_handler=None,
    )
    assert to_openai_messages(agent) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
    ]


def test_a_conversation_reads_as_strands_sends_it():
    """Our messages and those of Strands' own OpenAI model have the same canonical form."""
    image = {"format": "png", "source": {"bytes": b"\x01"}}
    history: Any = [
        {"role": "user", "content": [{"text": "one "}, {"text": "two"}]},
        {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm"}}},
                {"toolUse": {"toolUseId": "c1", "name": "add", "input": {}}},
                {"toolUse": {"toolUseId": "c2", "name": "look", "input": {"x": 1.5}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "toolResult": {
                        "toolUseId": "c1",
                        "status": "success",
                        "content": [{"text": "a"}, {"text": "b"}],
                    }
                },
                {"toolResult": {"toolUseId": "c2", "status": "success", "content": [{"image": image}]}},
            ],
        },
        {"role": "assistant", "content": [{"text": "done"}]},
    ]
    theirs = OpenAIModel.format_request_messages(history)
    for message in theirs:
        for part in message.get("content") or []:
            if isinstance(part, dict) and "image_url" in part:  # beside the url, two words of its own
                part["image_url"] = {"url": part["image_url"]["url"]}
    assert [canonical(m) for m in to_openai_messages(history)] == [canonical(m) for m in theirs]
