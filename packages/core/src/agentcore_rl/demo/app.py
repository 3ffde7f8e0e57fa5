"""The demo's app: the math agent, in whichever framework an installed adapter brings.

`agentcore-rl demo` runs it in the local runtime; `agentcore-rl run` and `serve` take its path as well.
AGENTCORE_RL_DEMO_FRAMEWORK names the adapter; unset, it is the first one that is installed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from agentcore_rl.adapter import ADAPTERS
from agentcore_rl.aws.app import AgentCoreRLApp
from agentcore_rl.demo.math import SYSTEM_PROMPT, GSM8KReward, calculator
from agentcore_rl.recorder.scope import current_recorder
from agentcore_rl.rollout import Turns
from agentcore_rl.tools import Tool

__all__ = ["CALCULATOR", "FRAMEWORK", "app", "solve"]

FRAMEWORK = "AGENTCORE_RL_DEMO_FRAMEWORK"
"""Environment variable that names the adapter."""

CALCULATOR = Tool(
    name="calculator",
    description="Evaluate an arithmetic expression and return its value.",
    parameters={
        "type": "object",
        "properties": {
            "expression": {
                "type": "string",
                "description": "Numbers with + - * / ** // % and parentheses, for example 3 * (4 + 5).",
            }
        },
        "required": ["expression"],
    },
    function=calculator,
)
"""The math agent's only tool."""

adapter = ADAPTERS.require(os.environ.get(FRAMEWORK) or next(iter(ADAPTERS), "strands"))
model = adapter.create_openai_compatible_model()
app = AgentCoreRLApp()
"""What the local runtime serves."""


@app.rollout_entrypoint(reward=GSM8KReward())
async def solve(payload: Mapping[str, Any]) -> str:
    """Answer the word problem in `payload["prompt"]`.

    Raises:
        ValueError: The prompt is missing or no string. Content blocks are refused: some frameworks would
            run a tool that a block names without asking the model.
    """
    prompt = payload.get("prompt")
    if not isinstance(prompt, str):
        raise ValueError(f'The payload needs a "prompt" that is a string, not {type(prompt).__name__}.')
    agent = adapter.build_agent(model, [CALCULATOR], SYSTEM_PROMPT, collector=adapter.collector())
    try:
        return str(await adapter.run_agent(agent, prompt))
    except Exception:
        # Some frameworks raise where an answer was cut at its token limit: a poor answer, no broken agent.
        cut = _cut_answer()
        if cut is None:
            raise
        return cut


def _cut_answer() -> str | None:
    """The text so far of the rollout's last answer, if that was cut at its limit of tokens."""
    recorder = current_recorder()
    turns = Turns(recorder.transcript()) if recorder is not None else ()
    last = turns[-1] if turns else None
    if last is None or last.answer is None or last.stored.finish_reason != "length":
        return None
    return str(last.answer.get("content") or "")
