"""The OpenAI SDK's answers are built before threads read them."""

import json
import subprocess
import sys
from typing import Any

PROGRAM = """
import json, sys
from agentcore_rl.recorder.wire import openai_arguments

openai_arguments(agent="main", timeout_s=1)
assert "openai" not in sys.modules, "the SDK is the adapter's to import"
import openai
from openai.types import chat, completion_usage
from openai.types.chat import chat_completion, chat_completion_chunk

named = [
    chat.ChatCompletion, chat.ChatCompletionChunk, chat.ChatCompletionMessage,
    completion_usage.CompletionUsage,
    chat_completion.Choice, chat_completion.ChoiceLogprobs, chat_completion_chunk.Choice,
    chat_completion_chunk.ChoiceDelta, chat_completion_chunk.ChoiceDeltaToolCall,
    chat_completion_chunk.ChoiceDeltaToolCallFunction,
]
before = [each.__pydantic_complete__ for each in named]
openai_arguments(agent="main", timeout_s=1)
print(json.dumps([before, [each.__pydantic_complete__ for each in named]]))
"""


def test_every_class_of_an_answer_is_built_with_the_model_object() -> None:
    """The SDK would build each at its first use, and two threads at once break it."""
    asked = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=False, capture_output=True, text=True, timeout=50
    )
    assert asked.returncode == 0, asked.stderr
    before, after = json.loads(asked.stdout)
    assert not any(before), "the SDK builds its classes itself now: nothing is left to do"
    assert all(after)


def test_what_the_sdk_has_built_is_what_it_reads() -> None:
    """An answer with a tool call is read as before."""
    from openai.types.chat import ChatCompletionChunk

    chunk: dict[str, Any] = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": "hi", "token_ids": [1]}, "finish_reason": None}],
    }
    read = ChatCompletionChunk.model_validate(chunk)
    assert read.choices[0].delta.content == "hi"
    assert (read.choices[0].delta.model_extra or {})["token_ids"] == [1]
