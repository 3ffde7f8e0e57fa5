"""The math agent as it serves production: a plain AgentCore app."""

import os

from bedrock_agentcore import BedrockAgentCoreApp
from starlette.exceptions import HTTPException
from strands import Agent, tool
from strands.models.openai import OpenAIModel

from agentcore_rl.demo.math import SYSTEM_PROMPT, calculator

app = BedrockAgentCoreApp()
model = OpenAIModel(
    client_args={"base_url": os.environ["BASE_URL"], "api_key": os.environ.get("API_KEY", "none")},
    model_id=os.environ["MODEL_ID"],
)


@app.entrypoint
def solve(payload: dict) -> str:
    prompt = payload.get("prompt")
    # Strands takes content blocks too, and runs the tool of a toolUse block without asking the model.
    if not isinstance(prompt, str):
        raise HTTPException(400, '"prompt" must be a string.')
    agent = Agent(
        model=model,
        tools=[tool(calculator)],
        system_prompt=SYSTEM_PROMPT,
        callback_handler=None,
    )
    return str(agent(prompt))


if __name__ == "__main__":
    app.run()
