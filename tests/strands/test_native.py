"""A model on Bedrock, which our transport does not carry: the collector alone makes the record."""

from __future__ import annotations

import os

from agentcore_rl.recorder.recorder import Recorder
from agentcore_rl.recorder.scope import Scope, rollout_scope
from agentcore_rl.rollout import Turns, Usage
from agentcore_rl.tools import Tool
from agentcore_rl_strands import StrandsAdapter
from converse_stub import ConverseStub, text, tool_use


def add(a: int, b: int) -> str:
    """Adds."""
    return str(a + b)


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}


def test_a_hosted_models_rollout_is_openai_style_and_marked() -> None:
    """Prompts, tools, answers, executions; every turn says that callbacks are its source."""
    adapter, recorder = StrandsAdapter(), Recorder()
    with ConverseStub([tool_use("add", {"a": 1, "b": 2}, said="let me see"), text("3")]) as bedrock:
        os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"] = bedrock.url
        model = adapter.create_openai_compatible_model(
            provider_model_id="us.hosted-1", stream=False, max_tokens=50
        )
        agent = adapter.build_agent(
            model, [Tool("add", "Adds.", SCHEMA, add)], "Be exact.", collector=adapter.collector()
        )
        with rollout_scope(Scope(None, recorder)):
            assert "3" in str(agent("What is 1 + 2?"))
    recorder.close("done")
    recording = recorder.finish()
    assert recording.suspect == ["callback_only"]
    first, second = Turns(recording.transcript)
    assert first.prompt == [
        {"role": "system", "content": "Be exact."},
        {"role": "user", "content": "What is 1 + 2?"},
    ]
    assert first.answer is not None
    assert first.answer["tool_calls"][0]["function"]["name"] == "add"
    assert first.tools[0]["function"]["name"] == "add"
    assert second.prompt[-1] == {"role": "tool", "tool_call_id": "tooluse_1", "content": "3"}
    assert second.stored.parent == 0
    assert {turn.stored.source for turn in (first, second)} == {"callbacks"}
    assert first.stored.model == "us.hosted-1"
    assert first.stored.finish_reason == "tool_calls"
    assert first.stored.usage == Usage(11, 7)
    assert first.stored.executions[0].outcome == "succeeded"
    assert recording.suspect == ["callback_only"]
    assert len(bedrock.requests) == 2
