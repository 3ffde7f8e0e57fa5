"""The figures of a run, from records alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentcore_rl.read.interval import Interval, mean_interval
from agentcore_rl.read.reliability import Reliability, ReliabilityCount
from agentcore_rl.read.tool_calls import ToolCall
from agentcore_rl.rollout import Crosscheck, Rollout, Status

__all__ = ["Summary", "summarize"]


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of some rollouts. None is "nothing to count", never zero.

    Attributes:
        rollouts: how many.
        succeeded: of these, status succeeded.
        failed: of these, status failed, by failure kind.
        judged: of these, with a reward.
        mean_reward: over the judged; None when there is none.
        reward_interval: 95 % interval of it (see `mean_interval`); None when it cannot be told.
        tool_calls: calls in the models' answers.
        well_formed_calls: of these, whose arguments are a JSON object and whose tool was offered.
        turns: model calls.
        prompt_tokens, completion_tokens: sums over the rollouts whose server reported them; None when
            none did.
        suspect: rollouts whose turns may not be the whole truth.
        crosscheck: sums over the rollouts with a collector; `collected` when there was at least one.
        reliability: how reliably tools were called.
    """

    rollouts: int = 0
    succeeded: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)
    judged: int = 0
    mean_reward: float | None = None
    reward_interval: Interval | None = None
    tool_calls: int = 0
    well_formed_calls: int = 0
    turns: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    suspect: int = 0
    crosscheck: Crosscheck = field(default_factory=Crosscheck)
    reliability: Reliability = field(default_factory=Reliability)

    @property
    def well_formed_rate(self) -> float | None:
        """Well-formed calls per call; None without a call."""
        return self.well_formed_calls / self.tool_calls if self.tool_calls else None

    def to_dict(self) -> dict[str, Any]:
        """These figures as a JSON object."""
        crosscheck, interval = self.crosscheck, self.reward_interval
        return {
            "rollouts": self.rollouts,
            "succeeded": self.succeeded,
            "failed": dict(self.failed),
            "judged": self.judged,
            "mean_reward": self.mean_reward,
            "reward_interval": None if interval is None else [interval.low, interval.high],
            "tool_calls": self.tool_calls,
            "well_formed_calls": self.well_formed_calls,
            "turns": self.turns,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "suspect": self.suspect,
            "crosscheck": {
                "matched": crosscheck.matched,
                "wire_only": crosscheck.wire_only,
                "callback_only": crosscheck.callback_only,
                "differing": crosscheck.differing,
                "collected": crosscheck.collected,
            },
            "reliability": self.reliability.to_dict(),
        }


def summarize(
    rollouts: Iterable[Rollout], *, seen: Callable[[Rollout, list[ToolCall]], None] | None = None
) -> Summary:
    """The figures of rollouts, read one by one (give the chosen attempts: `Run.rollouts`).

    Args:
        rollouts: the rollouts.
        seen: called with each rollout and its tool calls, for whoever wants more of them: judging calls is
            most of the work.
    """
    calls = ReliabilityCount()
    count: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    cross: Counter[str] = Counter()
    tokens: dict[str, int] = {}
    rewards: dict[str, list[float]] = {}
    for rollout in rollouts:
        count["rollouts"] += 1
        count["succeeded"] += rollout.status is Status.SUCCEEDED
        if rollout.status is not Status.SUCCEEDED:
            failed[rollout.failure.kind.value if rollout.failure else "unknown"] += 1
        if rollout.reward is not None:
            rewards.setdefault(rollout.task, []).append(rollout.reward.value)
        made = calls.add(rollout)
        count["tool_calls"] += len(made)
        count["well_formed_calls"] += sum(call.well_formed for call in made)
        count["turns"] += sum(len(path.turns) for path in rollout.trajectories)
        count["suspect"] += bool(rollout.suspect)
        for name in ("prompt_tokens", "completion_tokens"):
            reported = getattr(rollout.usage, name)
            if reported is not None:
                tokens[name] = tokens.get(name, 0) + reported
        if rollout.crosscheck.collected:
            cross["collected"] += 1
            for name in ("matched", "wire_only", "callback_only", "differing"):
                cross[name] += getattr(rollout.crosscheck, name)
        if seen is not None:
            seen(rollout, made)
    groups = list(rewards.values())
    judged = sum(map(len, groups))
    return Summary(
        rollouts=count["rollouts"],
        succeeded=count["succeeded"],
        failed=dict(sorted(failed.items())),
        judged=judged,
        mean_reward=math.fsum(value for group in groups for value in group) / judged if judged else None,
        reward_interval=mean_interval(groups),
        tool_calls=count["tool_calls"],
        well_formed_calls=count["well_formed_calls"],
        turns=count["turns"],
        prompt_tokens=tokens.get("prompt_tokens"),
        completion_tokens=tokens.get("completion_tokens"),
        suspect=count["suspect"],
        crosscheck=Crosscheck(
            matched=cross["matched"],
            wire_only=cross["wire_only"],
            callback_only=cross["callback_only"],
            differing=cross["differing"],
            collected=cross["collected"] > 0,
        ),
        reliability=calls.figures(),
    )
