"""The demo's app: the math agent in whichever framework an installed adapter brings."""

import asyncio

import pytest

from agentcore_rl.demo import app as demo
from agentcore_rl.demo.math import SYSTEM_PROMPT
from agentcore_rl.endpoint import Endpoint
from agentcore_rl.recorder.recorder import Recorder
from agentcore_rl.recorder.scope import Scope, rollout_scope
from agentcore_rl.rollout import Limits
from agentcore_rl.testing import Answer, ScriptedModel, ToolCall


def ask(model: ScriptedModel, payload: dict[str, object]) -> str:
    """What the agent answers, in a rollout."""
    scope = Scope(Endpoint(model.base_url, "scripted"), Recorder(limits=Limits()))
    with rollout_scope(scope):
        return asyncio.run(demo.solve(payload))


def test_the_agent_uses_the_calculator():
    """The system prompt and the declared tool are sent; the tool's value comes back; the answer is text."""
    call = ToolCall("calculator", {"expression": "6*7"})
    with ScriptedModel([Answer(tool_calls=[call]), Answer("#### 42")]) as model:
        assert ask(model, {"prompt": "What is 6 times 7?"}) == "#### 42"
        first, second = (served.json for served in model.calls)
    assert first["messages"][0]["content"] == SYSTEM_PROMPT
    assert [tool["function"]["name"] for tool in first["tools"]] == ["calculator"]
    assert second["messages"][-1]["role"] == "tool"
    assert "42" in str(second["messages"][-1]["content"])


def test_an_answer_that_was_cut_is_an_answer():
    """Where a framework raises at the limit of tokens, the text so far is what the agent answers."""
    with ScriptedModel([Answer("so it goes on and", finish_reason="length")]) as model:
        assert ask(model, {"prompt": "What is 6 times 7?"}) == "so it goes on and"


def test_any_other_error_is_the_agents():
    """A model that refuses is no cut answer."""
    from agentcore_rl.testing import Status

    with ScriptedModel([Status(400, "no")]) as model, pytest.raises(Exception, match="no"):
        ask(model, {"prompt": "What is 6 times 7?"})


@pytest.mark.parametrize("payload", [{}, {"prompt": None}, {"prompt": [{"toolUse": {"name": "calculator"}}]}])
def test_a_prompt_is_a_string(payload):
    """Content blocks never reach the framework: some would run the tool that a block names."""
    with pytest.raises(ValueError, match='needs a "prompt" that is a string'):
        asyncio.run(demo.solve(payload))
