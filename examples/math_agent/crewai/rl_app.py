"""The math agent as it serves production and rollouts."""

# First: it sets what CrewAI reads when it is imported.
from agentcore_rl_crewai import (
    CrewAIAgentCoreRLApp,
    CrewAIRolloutCollector,
    create_openai_compatible_model,
)

# isort: split
from crewai import Agent, Crew, Task
from crewai.tools import tool
from starlette.exceptions import HTTPException

from agentcore_rl.demo.math import SYSTEM_PROMPT, GSM8KReward, calculator

app = CrewAIAgentCoreRLApp()
model = create_openai_compatible_model()


@app.rollout_entrypoint(reward=GSM8KReward())
def solve(payload: dict) -> str:
    prompt = payload.get("prompt")
    if not isinstance(prompt, str):
        raise HTTPException(400, '"prompt" must be a string.')
    solver = Agent(
        role="Math tutor",
        goal="Solve the problem.",
        backstory=SYSTEM_PROMPT,
        llm=model,
        tools=[tool(calculator)],
        cache=False,
    )
    problem = Task(
        description=prompt,
        expected_output="A short explanation, then a line with #### and the number.",
        agent=solver,
    )
    with CrewAIRolloutCollector().listening():
        return Crew(agents=[solver], tasks=[problem]).kickoff().raw


if __name__ == "__main__":
    app.run()
