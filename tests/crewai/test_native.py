"""A model that cannot carry our transport: what CrewAI's events say is the record."""

import os
from typing import Any

import pytest
from crewai import Agent, Crew, Task
from crewai.llms.providers.bedrock.completion import BedrockCompletion
from crewai.tools import tool

from agentcore_rl_crewai import CrewAIRolloutCollector, create_openai_compatible_model
from converse_stub import ConverseStub, text, tool_use

QUERY = {"cities": [{"name": 'Zürich "1"', "tags": ["a", {"b": {"c": None}}]}], "days": True}


@tool("weather")
def weather(cities: list[dict[str, Any]], days: bool) -> str:
    """The weather."""
    return f"{len(cities)} {days}"


def test_bedrock_is_recorded_from_events(play):
    """Whole messages though CrewAI cuts them short at depth five; the second prompt follows the first."""
    with ConverseStub([tool_use("weather", QUERY), text("sunny")]) as bedrock:
        os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"] = bedrock.url

        def handler() -> str:
            model = create_openai_compatible_model(provider_model_id="amazon.nova-lite-v1:0", temperature=0.5)
            by = Agent(role="Meteo", goal="Tell.", backstory="You know.", llm=model, tools=[weather])
            crew = Crew(agents=[by], tasks=[Task(description="Begin.", expected_output="Words.", agent=by)])
            with CrewAIRolloutCollector().listening():
                return str(crew.kickoff())

        played = play([], handler)
    assert played.output == "sunny"
    assert len(bedrock.requests) == 2
    first, second = played.turns
    [call] = first.answer["tool_calls"]
    assert (call["id"], call["function"]["name"]) == ("tooluse_1", "weather")
    assert [message["role"] for message in second.prompt] == ["system", "user", "assistant", "tool"]
    assert second.prompt[2]["tool_calls"] == first.answer["tool_calls"]
    assert second.prompt[3]["content"] == "1 True"
    assert second.stored.parent == first.stored.id
    assert first.tools[0]["function"]["parameters"]["properties"]["cities"]["type"] == "array"
    stored = first.stored
    assert (stored.source, stored.agent, stored.finish_reason) == ("callbacks", "Meteo", "tool_calls")
    assert (stored.usage.prompt_tokens, stored.usage.completion_tokens) == (11, 7)
    assert (stored.model, stored.sampling["temperature"]) == ("amazon.nova-lite-v1:0", 0.5)
    assert [(run.call_id, run.arguments) for run in played.executions] == [("tooluse_1", QUERY)]
    assert played.agreement == (0, 0, 2, 0)


@pytest.mark.parametrize("name", ["amazon.nova-lite-v1:0", "bedrock/amazon.nova-lite-v1:0"])
def test_a_hosted_model_is_bedrocks(name: str):
    """`provider_model_id` gives CrewAI's BedrockCompletion, the sampling in its words."""
    model = create_openai_compatible_model(
        provider_model_id=name, max_completion_tokens=9, stop="X", stream=False, top_k=3, guided=True
    )
    assert isinstance(model, BedrockCompletion)
    assert (model.model, model.max_tokens, model.stop) == ("amazon.nova-lite-v1:0", 9, ["X"])
    assert (model.stream, model.top_k) == (False, 3)
    assert model.additional_model_request_fields == {"guided": True}
