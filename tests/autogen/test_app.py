"""The app with AutoGen's model at hand, and the older form of an entrypoint."""

from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_ext.models.openai import OpenAIChatCompletionClient
from bedrock_agentcore import BedrockAgentCoreApp

from agentcore_rl.aws.app import AgentCoreRLApp
from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.testing import Answer, ScriptedModel
from agentcore_rl_autogen import AutoGenAgentCoreRLApp, AutoGenRolloutCollector


def test_it_is_an_agentcore_app_that_makes_models():
    """Ours, hence the SDK's; its method is the function."""
    app = AutoGenAgentCoreRLApp()
    assert isinstance(app, AgentCoreRLApp)
    assert isinstance(app, BedrockAgentCoreApp)
    model: Any = app.create_openai_compatible_model(agent="critic")
    assert isinstance(model, OpenAIChatCompletionClient)
    assert model.announced_as == "critic"
    with pytest.raises(ConfigurationError):
        app.create_openai_compatible_model(model="x")


def test_an_entrypoint_may_return_rollout_data_and_rewards(serving, monkeypatch):
    """The older form: the handler asks the collector for the turns and judges them itself."""
    app = AutoGenAgentCoreRLApp()

    @app.rollout_entrypoint
    async def solve(payload: dict[str, Any], context: Any) -> dict[str, Any]:
        collector = AutoGenRolloutCollector()
        agent = AssistantAgent("solver", app.create_openai_compatible_model(), system_message="S")
        await agent.run(task=payload["prompt"])
        rollout_data = collector.get_rollout_data()
        return {"rollout_data": rollout_data, "rewards": [float(len(rollout_data))]}

    with ScriptedModel([Answer("ok")]) as model:
        monkeypatch.setenv("BASE_URL", model.base_url)
        with serving(app) as client:
            record = client.rollout({"prompt": "Begin.", "_rollout": {"exp_id": "r", "input_id": "t.0"}})
    assert record.failure is None
    assert record.reward is not None
    assert record.reward.value == 1.0
    [turn] = record.turns
    assert [message["role"] for message in turn.messages] == ["system", "user", "assistant"]


@pytest.mark.parametrize("stream", [False, True])
def test_the_requests_stream_is_the_models(serving, monkeypatch, stream: bool):
    """A model that is made in the handler streams as the request says."""
    app = AutoGenAgentCoreRLApp()

    @app.rollout_entrypoint(reward=None)
    async def solve(payload: dict[str, Any]) -> str:
        agent = AssistantAgent("solver", app.create_openai_compatible_model())
        return (await agent.run(task=payload["prompt"])).messages[-1].to_text()

    with ScriptedModel([Answer("ok", expect={"stream": stream})]) as model:
        monkeypatch.setenv("BASE_URL", model.base_url)
        with serving(app) as client:
            ids = {"exp_id": "r", "input_id": "t.0", "stream": stream}
            record = client.rollout({"prompt": "Begin.", "_rollout": ids})
    assert record.output == "ok"
