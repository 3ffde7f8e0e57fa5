"""The support desk as it serves production: a plain AgentCore app."""

import os

from bedrock_agentcore import BedrockAgentCoreApp
from desk import DESK_PROMPT, REFUNDS_PROMPT, REFUNDS_ROLE, Desk
from langchain.agents import create_agent
from langchain.agents.middleware import ToolErrorMiddleware
from langchain.tools import tool
from langchain_openai import ChatOpenAI
from starlette.exceptions import HTTPException

app = BedrockAgentCoreApp()
model = ChatOpenAI(
    base_url=os.environ["BASE_URL"],
    api_key=os.environ.get("API_KEY", "none"),
    model=os.environ["MODEL_ID"],
)
declared = tool(parse_docstring=True)
# Else what a tool raises ends the agent, and the model never learns of its mistake.
told = ToolErrorMiddleware(lambda error, _: f"Error: {error}")


@app.entrypoint
def serve(payload: dict) -> dict:
    prompt = payload.get("prompt")
    if not isinstance(prompt, str):
        raise HTTPException(400, '"prompt" must be a string.')
    with Desk() as desk:
        specialist = create_agent(
            model,
            [declared(function) for function in desk.refunds_tools],
            system_prompt=REFUNDS_PROMPT,
            middleware=[told],
            name="refunds",
        )

        @tool("refunds", description=REFUNDS_ROLE)
        def ask_specialist(case: str) -> str:
            return specialist.invoke({"messages": [("user", case)]})["messages"][-1].text

        agent = create_agent(
            model,
            [*(declared(function) for function in desk.desk_tools), ask_specialist],
            system_prompt=DESK_PROMPT,
            middleware=[told],
            name="desk",
        )
        state = agent.invoke({"messages": [("user", prompt)]})
        return desk.outcome(state["messages"][-1].text)


if __name__ == "__main__":
    app.run()
