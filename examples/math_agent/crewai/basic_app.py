"""The math agent as it serves production: a plain AgentCore app."""

import os

from bedrock_agentcore import BedrockAgentCoreApp
from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool
from starlette.exceptions import HTTPException

from agentcore_rl.demo.math import SYSTEM_PROMPT, calculator

app = BedrockAgentCoreApp()
model = LLM(
    model=os.environ["MODEL_ID"],
    base_url=os.environ["BASE_URL"],
    api_key=os.environ.get("API_KEY", "none"),
    custom_openai=True,
)


@app.entrypoint
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
    return Crew(agents=[solver], tasks=[problem]).kickoff().raw


if __name__ == "__main__":
    app.run()
