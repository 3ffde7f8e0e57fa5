"""The math agent as it serves production and rollouts."""

from starlette.exceptions import HTTPException
from strands import Agent, tool

from agentcore_rl.demo.math import SYSTEM_PROMPT, GSM8KReward, calculator
from agentcore_rl_strands import (
    StrandsAgentCoreRLApp,
    StrandsRolloutCollector,
    create_openai_compatible_model,
)

app = StrandsAgentCoreRLApp()
model = create_openai_compatible_model()


@app.rollout_entrypoint(reward=GSM8KReward())
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
        hooks=[StrandsRolloutCollector()],
    )
    return str(agent(prompt))


if __name__ == "__main__":
    app.run()
