"""The math agent as it serves production and rollouts."""

from langchain.agents import create_agent
from langchain.agents.middleware import ToolErrorMiddleware
from langchain.tools import tool
from starlette.exceptions import HTTPException

from agentcore_rl.demo.math import SYSTEM_PROMPT, GSM8KReward, calculator
from agentcore_rl_langgraph import (
    LangGraphAgentCoreRLApp,
    LangGraphRolloutCollector,
    create_openai_compatible_model,
)

app = LangGraphAgentCoreRLApp()
model = create_openai_compatible_model()
agent = create_agent(
    model,
    [tool(parse_docstring=True)(calculator)],
    system_prompt=SYSTEM_PROMPT,
    # Else what a tool raises ends the agent, and the model never learns of its mistake.
    middleware=[ToolErrorMiddleware(lambda error, _: f"Error: {error}")],
)


@app.rollout_entrypoint(reward=GSM8KReward())
def solve(payload: dict) -> str:
    prompt = payload.get("prompt")
    if not isinstance(prompt, str):
        raise HTTPException(400, '"prompt" must be a string.')
    state = agent.invoke({"messages": [("user", prompt)]}, {"callbacks": [LangGraphRolloutCollector()]})
    return state["messages"][-1].text


if __name__ == "__main__":
    app.run()
