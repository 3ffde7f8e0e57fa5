"""Rewards as users write them. mypy reads this file, nothing runs it.

A line that must not type-check says so with `type: ignore[code]`; mypy fails when it does check after all.
"""

from collections.abc import Mapping
from typing import Any, assert_type

from agentcore_rl.reward import Reward, RewardFunction
from agentcore_rl.rollout import Rollout


class ExactMatch(RewardFunction):
    def reward(self, payload: Mapping[str, Any], output: str, rollout: Rollout) -> float:
        return float(output == payload["answer"])


class Judged(RewardFunction):
    async def reward(self, payload: Mapping[str, Any], output: str, rollout: Rollout) -> Reward | None:
        if not rollout.turns:
            return None
        return Reward.from_scores({"right": 1.0, "short": 0.5}, weights={"short": 0.1}, metrics={"turns": 3})


class ByHand(RewardFunction):
    def reward(self, *, response_text: str, ground_truth: str) -> float:
        return float(response_text == ground_truth)


ByHand()(response_text="4", ground_truth="4")
RewardFunction()  # type: ignore[abstract]
assert_type(Reward.from_scores({"right": 1}).value, float)
Reward(value="1")  # type: ignore[arg-type]
