"""The support desk as it serves production: a plain AgentCore app."""

import functools
import os

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.tools import AgentTool
from autogen_ext.models.openai import OpenAIChatCompletionClient
from bedrock_agentcore import BedrockAgentCoreApp
from desk import DESK_PROMPT, REFUNDS_PROMPT, REFUNDS_ROLE, Desk
from starlette.exceptions import HTTPException

app = BedrockAgentCoreApp()
create_model = functools.partial(
    OpenAIChatCompletionClient,
    base_url=os.environ["BASE_URL"],
    api_key=os.environ.get("API_KEY", "none"),
    model=os.environ["MODEL_ID"],
    model_info={
        "family": "unknown",
        "function_calling": True,
        "json_output": True,
        "structured_output": True,
        "vision": False,
    },
)
# An agent keeps what it was told: AutoGen runs none as a tool twice at once.
desk_model = create_model(parallel_tool_calls=False)
refunds_model = create_model()


@app.entrypoint
async def serve(payload: dict) -> dict:
    prompt = payload.get("prompt")
    if not isinstance(prompt, str):
        raise HTTPException(400, '"prompt" must be a string.')
    with Desk() as desk:
        specialist = AssistantAgent(
            "refunds",
            refunds_model,
            description=REFUNDS_ROLE,
            system_message=REFUNDS_PROMPT,
            tools=desk.refunds_tools,
            max_tool_iterations=20,
        )
        agent = AssistantAgent(
            "desk",
            desk_model,
            system_message=DESK_PROMPT,
            tools=[*desk.desk_tools, AgentTool(specialist, return_value_as_last_message=True)],
            max_tool_iterations=20,
        )
        talk = await agent.run(task=prompt)
        return desk.outcome(talk.messages[-1].to_text())


if __name__ == "__main__":
    app.run()
