"""The math agent as it serves production: a plain AgentCore app."""

import os

from bedrock_agentcore import BedrockAgentCoreApp
from langchain.agents import create_agent
from langchain.agents.middleware import ToolErrorMiddleware
from langchain.tools import tool
from langchain_openai import ChatOpenAI
from starlette.exceptions import HTTPException

from agentcore_rl.demo.math import SYSTEM_PROMPT, calculator

app = BedrockAgentCoreApp()
model = ChatOpenAI(
    base_url=os.environ["BASE_URL"],
    api_key=os.environ.get("API_KEY", "none"),
    model=os.environ["MODEL_ID"],
)
agent = create_agent(
    model,
    [tool(parse_docstring=True)(calculator)],
    system_prompt=SYSTEM_PROMPT,
    # Else what a tool raises ends the agent, and the model never learns of its mistake.
    middleware=[ToolErrorMiddleware(lambda error, _: f"Error: {error}")],
)


@app.entrypoint
def solve(payload: dict) -> str:
    prompt = payload.get("prompt")
    if not isinstance(prompt, str):
        raise HTTPException(400, '"prompt" must be a string.')
    state = agent.invoke({"messages": [("user", prompt)]})
    return state["messages"][-1].text


if __name__ == "__main__":
    app.run()
