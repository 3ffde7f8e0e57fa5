"""OpenAI messages from every type of message that AutoGen has."""

from typing import Any, Literal, get_args

import PIL.Image
import pytest
from autogen_agentchat import messages as chat
from autogen_agentchat.base import Response, TaskResult
from autogen_core import FunctionCall, Image
from autogen_core.code_executor import CodeResult
from autogen_core.memory import MemoryContent
from autogen_core.models import (
    AssistantMessage,
    CreateResult,
    FunctionExecutionResult,
    FunctionExecutionResultMessage,
    LLMMessage,
    RequestUsage,
    SystemMessage,
    UserMessage,
)
from pydantic import BaseModel

from agentcore_rl.messages import canonical
from agentcore_rl.testing import Answer, ToolCall
from agentcore_rl.tools import Tool
from agentcore_rl_autogen import adapter, create_openai_compatible_model, to_openai_messages


class Sum(BaseModel):
    total: int


class Shouted(chat.BaseTextChatMessage):
    type: Literal["Shouted"] = "Shouted"

    def to_model_message(self) -> UserMessage:
        return UserMessage(content=self.content.upper(), source=self.source)


IMAGE = Image.from_pil(PIL.Image.new("RGB", (1, 1)))
SHOWN = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": IMAGE.data_uri}}]
CALL = FunctionCall(id="c1", name="add", arguments='{"a": "ü"')
SPELLED = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": "ü"'}}
RESULT = FunctionExecutionResult(content="3", name="add", call_id="c1", is_error=True)
TOLD = {"role": "tool", "tool_call_id": "c1", "content": "3"}
USAGE = RequestUsage(1, 1)


def said(content: Any, **further: Any) -> dict[str, Any]:
    """An assistant message."""
    return {"role": "assistant", "content": content, **further}


CASES: list[tuple[Any, list[dict[str, Any]]]] = [
    (SystemMessage(content="ünï"), [{"role": "system", "content": "ünï"}]),
    (UserMessage(content="hi", source="ann"), [{"role": "user", "content": "hi"}]),
    (UserMessage(content=["look", IMAGE], source="user"), [{"role": "user", "content": SHOWN}]),
    (AssistantMessage(content="hi", source="a"), [said("hi")]),
    (AssistantMessage(content="", thought="hm", source="a"), [said("", reasoning_content="hm")]),
    (AssistantMessage(content=[CALL], source="a"), [said(None, tool_calls=[SPELLED])]),
    (AssistantMessage(content=[CALL], thought="hm", source="a"), [said("hm", tool_calls=[SPELLED])]),
    (FunctionExecutionResultMessage(content=[RESULT, RESULT]), [TOLD, TOLD]),
    (CreateResult(content="hi", finish_reason="stop", usage=USAGE, cached=False), [said("hi")]),
    (chat.TextMessage(content="hi", source="user"), [{"role": "user", "content": "hi"}]),
    (chat.TextMessage(content="hi", source="a"), [said("hi")]),
    (chat.MultiModalMessage(content=["look", IMAGE], source="user"), [{"role": "user", "content": SHOWN}]),
    (chat.MultiModalMessage(content=["look", IMAGE], source="a"), [said(SHOWN)]),
    (chat.StopMessage(content="stop", source="a"), [said("stop")]),
    (chat.HandoffMessage(content="over", source="a", target="b"), [said("over")]),
    (chat.ToolCallSummaryMessage(content="3", source="a", tool_calls=[CALL], results=[RESULT]), [said("3")]),
    (chat.StructuredMessage[Sum](content=Sum(total=3), source="a"), [said('{"total":3}')]),
    (Shouted(content="hi", source="a"), [said("HI")]),
    (chat.ToolCallRequestEvent(content=[CALL], source="a"), [said(None, tool_calls=[SPELLED])]),
    (chat.ToolCallExecutionEvent(content=[RESULT], source="a"), [TOLD]),
    (chat.CodeGenerationEvent(content="c", retry_attempt=0, code_blocks=[], source="a"), [said("c")]),
    (
        chat.CodeExecutionEvent(result=CodeResult(exit_code=0, output="3"), retry_attempt=0, source="a"),
        [{"role": "user", "content": "3"}],
    ),
    (chat.ThoughtEvent(content="hm", source="a"), [said("", reasoning_content="hm")]),
    (chat.ModelClientStreamingChunkEvent(content="h", source="a"), []),
    (chat.SelectSpeakerEvent(content=["a"], source="a"), []),
    (chat.SelectorEvent(content="a", source="a"), []),
    (chat.UserInputRequestedEvent(request_id="1", source="a"), []),
    (
        chat.MemoryQueryEvent(content=[MemoryContent(content="m", mime_type="text/plain")], source="a"),
        [],
    ),
]


@pytest.mark.parametrize(("native", "expected"), CASES, ids=lambda value: type(value).__name__)
def test_each_type_of_message(native: Any, expected: list[dict[str, Any]]):
    """As one message, in a list, and as what an agent returns."""
    assert to_openai_messages(native) == expected
    assert to_openai_messages([native]) == expected
    if isinstance(native, chat.BaseChatMessage | chat.BaseAgentEvent):
        assert to_openai_messages(TaskResult(messages=[native])) == expected


def test_no_type_is_left_out():
    """Every type that AutoGen exports is among the cases above."""
    tested = {type(native) for native, _ in CASES}
    framework = {*get_args(get_args(LLMMessage)[0])}
    for union in (chat.ChatMessage, chat.AgentEvent):
        framework |= {*get_args(get_args(union)[0])}
    framework |= {cls for cls in chat.BaseAgentEvent.__subclasses__() if cls.__module__ == chat.__name__}
    assert framework <= tested


class Foreign(chat.BaseAgentEvent):
    def to_text(self) -> str:
        return ""


@pytest.mark.parametrize(
    "native", [Foreign(source="a"), [Foreign(source="a")], "text", {"role": "user"}, None, 3]
)
def test_an_unknown_type_is_refused(native: Any):
    """Rather a sentence than a conversation with a hole."""
    with pytest.raises(TypeError, match="Unknown type of message"):
        to_openai_messages(native)


def test_a_thought_belongs_to_what_follows():
    """Beside tool calls it is their text, beside text it is reasoning; a response has both."""
    response = Response(
        chat_message=chat.TextMessage(content="3", source="a"),
        inner_messages=[
            chat.ThoughtEvent(content="Let me add.", source="a"),
            chat.ModelClientStreamingChunkEvent(content="L", source="a"),
            chat.ToolCallRequestEvent(content=[CALL], source="a"),
            chat.ToolCallExecutionEvent(content=[RESULT], source="a"),
            chat.ThoughtEvent(content="hm", source="a"),
        ],
    )
    assert to_openai_messages(response) == [
        said("Let me add.", tool_calls=[SPELLED]),
        TOLD,
        said("3", reasoning_content="hm"),
    ]


@pytest.mark.parametrize("stream", [False, True])
def test_what_an_agent_returns_is_what_was_recorded(play, stream: bool):
    """Up to what every framework changes: the messages of a run are those of its last turn."""
    kept: list[Any] = []

    async def handler() -> None:
        add = Tool("add", "Add.", function=lambda a, b: str(a + b))
        agent = adapter.build_agent(create_openai_compatible_model(), [add], "")
        kept.append(await agent.run(task="Begin. ß"))

    call = ToolCall("add", {"a": 1, "b": 2})
    played = play([Answer("Let me… 你好", tool_calls=[call, call]), Answer("3 ✓")], handler, stream=stream)
    recorded = [canonical(message) for message in played.turns[-1].messages]
    assert [canonical(message) for message in to_openai_messages(kept[0])] == recorded
