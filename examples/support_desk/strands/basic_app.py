"""The support desk as it serves production: a plain AgentCore app."""

import os
from typing import Any

from bedrock_agentcore import BedrockAgentCoreApp
from desk import DESK_PROMPT, REFUNDS_PROMPT, REFUNDS_ROLE, Desk
from starlette.exceptions import HTTPException
from strands import Agent, tool
from strands.models.openai import OpenAIModel

app = BedrockAgentCoreApp()
model = OpenAIModel(
    client_args={"base_url": os.environ["BASE_URL"], "api_key": os.environ.get("API_KEY", "none")},
    model_id=os.environ["MODEL_ID"],
)


@app.entrypoint
def serve(payload: dict) -> dict:
    prompt = payload.get("prompt")
    # Strands takes content blocks too, and runs the tool of a toolUse block without asking the model.
    if not isinstance(prompt, str):
        raise HTTPException(400, '"prompt" must be a string.')
    with Desk() as desk:
        terms: dict[str, Any] = {"model": model, "callback_handler": None}
        specialist = Agent(
            name="refunds",
            description=REFUNDS_ROLE,
            system_prompt=REFUNDS_PROMPT,
            tools=[tool(function) for function in desk.refunds_tools],
            **terms,
        )
        agent = Agent(
            name="desk",
            system_prompt=DESK_PROMPT,
            tools=[*(tool(function) for function in desk.desk_tools), specialist.as_tool()],
            **terms,
        )
        return desk.outcome(str(agent(prompt)))


if __name__ == "__main__":
    app.run()
