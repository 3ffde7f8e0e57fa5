"""OpenAI chat messages from the Agent Framework's, one test for each type."""

import pytest
from agent_framework import ChatResponse, Content, Message
from agentcore_rl_agent_framework import to_openai_messages

PNG = "data:image/png;base64,iVBORw0KGgo="
IMAGE = Content.from_uri(PNG, media_type="image/png")


def test_roles_and_texts() -> None:
    """Texts are strings, joined as the framework joins them; no content is an empty text."""
    native = [
        Message("system", ["Be exact."]),
        Message("user", ["one", "two"]),
        Message("assistant", []),
    ]
    assert to_openai_messages(native) == [
        {"role": "system", "content": "Be exact."},
        {"role": "user", "content": "one\ntwo"},
        {"role": "assistant", "content": ""},
    ]


def test_tool_calls_and_their_results() -> None:
    """Arguments stay as they were written; each result is a message of its own."""
    asked = Message(
        "assistant",
        [
            Content.from_text_reasoning(text="One and two."),
            Content.from_text("I add."),
            Content.from_function_call("call_1", "add", arguments='{"a":1,  "b":2'),
            Content.from_function_call("call_2", "say", arguments={"text": "ß"}),
            Content.from_usage({"input_token_count": 3}),
        ],
    )
    told = Message(
        "tool",
        [
            Content.from_function_result("call_1", result="3"),
            Content.from_function_result("call_2", result=[Content.from_text("ß")]),
        ],
    )
    calls = [
        {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a":1,  "b":2'}},
        {"id": "call_2", "type": "function", "function": {"name": "say", "arguments": '{"text": "ß"}'}},
    ]
    assert to_openai_messages(ChatResponse(messages=[asked, told])) == [
        {
            "role": "assistant",
            "content": "I add.",
            "reasoning_content": "One and two.",
            "tool_calls": calls,
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "3"},
        {"role": "tool", "tool_call_id": "call_2", "content": "ß"},
    ]


def test_images_sound_and_files() -> None:
    """They are parts of a content."""
    native = Message(
        "user",
        [
            Content.from_text("Look."),
            IMAGE,
            Content.from_uri("data:audio/wav;base64,UklGRg==", media_type="audio/wav"),
            Content.from_uri("data:application/pdf;base64,JVBERg==", media_type="application/pdf"),
        ],
    )
    assert to_openai_messages(native) == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look."},
                {"type": "image_url", "image_url": {"url": PNG}},
                {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERg=="}},
            ],
        }
    ]


@pytest.mark.parametrize(
    "message",
    [
        Message("narrator", ["Once upon a time"]),
        Message("tool", ["a text"]),
        Message("user", [Content.from_uri("https://example.com/a.mp4", media_type="video/mp4")]),
        Message("user", [Content.from_hosted_file("file-1")]),
        Message("assistant", [Content.from_error(message="no luck")]),
        Message("tool", [Content.from_function_result("c", result=[IMAGE])]),
    ],
    ids=["role", "tool's text", "video", "hosted file", "error", "tool's image"],
)
def test_what_openai_messages_cannot_carry_is_refused(message: Message) -> None:
    """Nothing is passed over in silence."""
    with pytest.raises(TypeError):
        to_openai_messages(message)
