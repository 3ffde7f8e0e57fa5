"""Chat clients that find their endpoint at each call."""

import asyncio
import importlib.util

import pytest
from agent_framework import Agent
from agentcore_rl_agent_framework import create_openai_compatible_model

from agentcore_rl.endpoint import Endpoint
from agentcore_rl.exceptions import ConfigurationError, MissingDependencyError
from agentcore_rl.recorder.scope import Scope, scoped
from agentcore_rl.testing import Answer, ScriptedModel


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("fixed", [False, True])
def test_how_the_model_is_asked_is_fixed_with_it(fixed: bool, asked: bool) -> None:
    """Whoever runs the agent gets a stream if wanted; the request is streamed if the model was made so."""

    async def run() -> str:
        agent = Agent(create_openai_compatible_model(stream=fixed))
        if not asked:
            return (await agent.run("hi")).text
        return "".join([update.text async for update in agent.run("hi", stream=True)])

    with ScriptedModel([Answer("hello there")]) as server, scoped(Scope(Endpoint(server.base_url))):
        assert asyncio.run(run()) == "hello there"
        assert [call.streamed for call in server.calls] == [fixed]


def test_options_of_an_agent_win_over_its_models() -> None:
    """They are nearer to the call; each parameter keeps the name that it was given under."""
    model = create_openai_compatible_model(temperature=0.5, max_tokens=9, top_k=3)
    agent = Agent(model, default_options={"temperature": 0.25})
    with ScriptedModel([Answer("ok")]) as server, scoped(Scope(Endpoint(server.base_url))):
        asyncio.run(agent.run("hi"))
        [call] = server.calls
    body = call.json or {}
    assert {name: body.get(name) for name in ("temperature", "max_tokens", "top_k")} == {
        "temperature": 0.25,
        "max_tokens": 9,
        "top_k": 3,
    }


def test_a_parameter_that_is_none_of_sampling_is_refused() -> None:
    """Messages belong to the framework."""
    with pytest.raises(ConfigurationError, match="messages"):
        create_openai_compatible_model(messages=[])


def test_a_hosted_model_names_its_extra() -> None:
    """Where its package is not installed, one sentence says what to install."""
    sentence = r'pip install "agentcore-rl-agent-framework\[bedrock\]"$'
    if importlib.util.find_spec("agent_framework_bedrock") is None:
        with pytest.raises(MissingDependencyError, match=sentence):
            create_openai_compatible_model(provider_model_id="us.hosted-1")
    else:
        model = create_openai_compatible_model(provider_model_id="us.hosted-1")
        assert type(model).__name__ == "BedrockChatClient"
