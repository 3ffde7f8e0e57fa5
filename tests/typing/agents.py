"""An app and a client as users write them. mypy reads this file, nothing runs it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_type

from agentcore_rl import (
    ADAPTERS,
    AgentBuilder,
    AgentCoreRLApp,
    BatchRunner,
    Endpoint,
    FrameworkAdapter,
    Rollout,
    RolloutClient,
    RolloutOutcome,
    Tool,
    read_run,
)
from agentcore_rl.launchers.local import LocalLauncher
from agentcore_rl.stores.directory import DirectoryStore
from agentcore_rl.tasks import read_tasks
from agentcore_rl_strands import (
    StrandsAdapter,
    StrandsAgentCoreRLApp,
    StrandsRolloutCollector,
    create_openai_compatible_model,
)

app = AgentCoreRLApp()
model = create_openai_compatible_model(agent="main", temperature=0.5, stream=True)


def judge(payload: Mapping[str, Any], output: Any, rollout: Rollout) -> float:
    return float(len(rollout.turns))


@app.rollout_entrypoint(reward=judge)
async def solve(payload: dict[str, Any], context: Any) -> str:
    return str(payload["prompt"])


@StrandsAgentCoreRLApp().rollout_entrypoint
def answer(payload: dict[str, Any]) -> dict[str, Any]:
    collector = StrandsRolloutCollector()
    return {"rollout_data": collector.get_rollout_data(), "rewards": 1.0}


assert_type(answer({"prompt": "x"}), dict[str, Any])
app.rollout_entrypoint(reward=3)  # type: ignore[call-overload]

adapter: FrameworkAdapter = StrandsAdapter()
builder: AgentBuilder = StrandsAdapter()
tools: list[Tool] = builder.extract_tools(builder.build_agent(model, [], "Be exact."))
ADAPTERS["strands"].collector()


async def collect() -> list[RolloutOutcome]:
    store = DirectoryStore(Path("rollouts"))
    endpoint = Endpoint("http://127.0.0.1:8000/v1", "my-model", sampling={"temperature": 1.0})
    async with BatchRunner(LocalLauncher("rl_app.py"), store=store, endpoint=endpoint, samples=4) as runner:
        return [outcome async for outcome in runner.run(read_tasks("tasks.jsonl"))]


async def one() -> float | None:
    async with RolloutClient(LocalLauncher("rl_app.py"), store=DirectoryStore(Path("rollouts"))) as client:
        outcome = await client.rollout({"prompt": "What is 1 + 2?"})
        return outcome.reward.value if outcome.reward else None


for rollout in read_run("rollouts/run").rollouts:
    assert_type(rollout, Rollout)
    for turn in rollout.turns:
        assert_type(turn.messages, list[dict[str, Any]])
        assert_type(turn.answer_ids, list[int] | None)
