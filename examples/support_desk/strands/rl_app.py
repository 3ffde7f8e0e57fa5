"""The support desk as it serves production and rollouts."""

from typing import Any

from desk import DESK_PROMPT, REFUNDS_PROMPT, REFUNDS_ROLE, Desk, DeskReward
from starlette.exceptions import HTTPException
from strands import Agent, tool

from agentcore_rl_strands import (
    StrandsAgentCoreRLApp,
    StrandsRolloutCollector,
    create_openai_compatible_model,
)

app = StrandsAgentCoreRLApp()
model = create_openai_compatible_model()


@app.rollout_entrypoint(reward=DeskReward())
def serve(payload: dict) -> dict:
    prompt = payload.get("prompt")
    # Strands takes content blocks too, and runs the tool of a toolUse block without asking the model.
    if not isinstance(prompt, str):
        raise HTTPException(400, '"prompt" must be a string.')
    with Desk() as desk:
        terms: dict[str, Any] = {
            "model": model,
            "callback_handler": None,
            "hooks": [StrandsRolloutCollector()],
        }
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
