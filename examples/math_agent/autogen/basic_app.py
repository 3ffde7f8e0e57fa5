"""The math agent as it serves production: a plain AgentCore app."""

import os

from autogen_agentchat.agents import AssistantAgent
from autogen_ext.models.openai import OpenAIChatCompletionClient
from bedrock_agentcore import BedrockAgentCoreApp
from starlette.exceptions import HTTPException

from agentcore_rl.demo.math import SYSTEM_PROMPT, calculator

app = BedrockAgentCoreApp()
model = OpenAIChatCompletionClient(
    base_url=os.environ["BASE_URL"],
    api_key=os.environ.get("API_KEY", "none"),
    model=os.environ["MODEL_ID"],
    model_info={
        "vision": False,
        "function_calling": True,
        "json_output": True,
        "structured_output": True,
        "family": "unknown",
    },
)


@app.entrypoint
async def solve(payload: dict) -> str:
    prompt = payload.get("prompt")
    if not isinstance(prompt, str):
        raise HTTPException(400, '"prompt" must be a string.')
    agent = AssistantAgent(
        "solver",
        model_client=model,
        tools=[calculator],
        system_message=SYSTEM_PROMPT,
        max_tool_iterations=20,  # AutoGen's own is 1: what the tool returns would be the answer
    )
    result = await agent.run(task=prompt)
    return result.messages[-1].to_text()


if __name__ == "__main__":
    app.run()
