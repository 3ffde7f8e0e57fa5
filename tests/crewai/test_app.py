"""The app with CrewAI's model at hand, and the older form of an entrypoint."""

from typing import Any

import pytest
from bedrock_agentcore import BedrockAgentCoreApp
from crewai import Agent

from agentcore_rl.aws.app import AgentCoreRLApp
from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.testing import Answer, ScriptedModel
from agentcore_rl_crewai import CrewAIAgentCoreRLApp, CrewAIRolloutCollector
from agentcore_rl_crewai.model import LateBoundCompletion


def test_it_is_an_agentcore_app_that_makes_models():
    """Ours, hence the SDK's; its method is the function."""
    app = CrewAIAgentCoreRLApp()
    assert isinstance(app, AgentCoreRLApp)
    assert isinstance(app, BedrockAgentCoreApp)
    model: Any = app.create_openai_compatible_model(agent="critic", temperature=0.5, top_k=3)
    assert isinstance(model, LateBoundCompletion)
    assert (model.temperature, model.additional_params) == (0.5, {"extra_body": {"top_k": 3}})
    assert "critic" in (model.default_headers or {}).values()
    with pytest.raises(ConfigurationError):
        app.create_openai_compatible_model(model="x")


def test_an_entrypoint_may_return_rollout_data_and_rewards(serving, monkeypatch):
    """The older form: the handler asks the collector for the turns and judges them itself."""
    app = CrewAIAgentCoreRLApp()

    @app.rollout_entrypoint
    async def solve(payload: dict[str, Any], context: Any) -> dict[str, Any]:
        collector = CrewAIRolloutCollector()
        agent = Agent(role="R", goal="G", backstory="B", llm=app.create_openai_compatible_model())
        with collector.listening():
            await agent.kickoff_async(payload["prompt"])
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
    app = CrewAIAgentCoreRLApp()

    @app.rollout_entrypoint(reward=None)
    def solve(payload: dict[str, Any]) -> str:
        agent = Agent(role="R", goal="G", backstory="B", llm=app.create_openai_compatible_model())
        return str(agent.kickoff(payload["prompt"]).raw)

    with ScriptedModel([Answer("ok", expect=lambda asked: asked.get("stream", False) is stream)]) as model:
        monkeypatch.setenv("BASE_URL", model.base_url)
        with serving(app) as client:
            ids = {"exp_id": "r", "input_id": "t.0", "stream": stream}
            record = client.rollout({"prompt": "Begin.", "_rollout": ids})
    assert record.output == "ok"
