"""The support desk as it serves production and rollouts."""

# First: it sets what CrewAI reads when it is imported.
from agentcore_rl_crewai import (
    CrewAIAgentCoreRLApp,
    CrewAIRolloutCollector,
    create_openai_compatible_model,
)

# isort: split
from crewai import Agent, Crew, Task
from crewai.tools import tool
from desk import DESK_PROMPT, REFUNDS_PROMPT, REFUNDS_ROLE, Desk, DeskReward
from starlette.exceptions import HTTPException

app = CrewAIAgentCoreRLApp()
model = create_openai_compatible_model()


@app.rollout_entrypoint(reward=DeskReward())
def serve(payload: dict) -> dict:
    prompt = payload.get("prompt")
    if not isinstance(prompt, str):
        raise HTTPException(400, '"prompt" must be a string.')
    with Desk() as desk, CrewAIRolloutCollector().listening():
        specialist = Agent(
            role="refunds",
            goal=REFUNDS_ROLE,
            backstory=REFUNDS_PROMPT,
            tools=[tool(function) for function in desk.refunds_tools],
            llm=model,
            max_retry_limit=0,
        )
        agent = Agent(
            role="desk",
            goal="Answer the customer.",
            backstory=DESK_PROMPT,
            tools=[tool(function) for function in desk.desk_tools],
            allow_delegation=True,
            llm=model,
            # A task that is begun anew would find its own refunds in the database.
            max_retry_limit=0,
        )
        task = Task(description=prompt, expected_output="What was decided.", agent=agent)
        crew = Crew(agents=[agent, specialist], tasks=[task])
        return desk.outcome(crew.kickoff().raw)


if __name__ == "__main__":
    app.run()
