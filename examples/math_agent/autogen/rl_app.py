"""The math agent as it serves production and rollouts."""

from autogen_agentchat.agents import AssistantAgent
from starlette.exceptions import HTTPException

from agentcore_rl.demo.math import SYSTEM_PROMPT, GSM8KReward, calculator
from agentcore_rl_autogen import (
    AutoGenAgentCoreRLApp,
    AutoGenRolloutCollector,
    create_openai_compatible_model,
)

app = AutoGenAgentCoreRLApp()
collector = AutoGenRolloutCollector()
model = create_openai_compatible_model()


@app.rollout_entrypoint(reward=GSM8KReward())
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
