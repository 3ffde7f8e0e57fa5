"""The figures of a run, from records alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

from agentcore_rl.read.tool_calls import tool_calls
from agentcore_rl.rollout import Crosscheck, Rollout, Status

__all__ = ["Interval", "Summary", "mean_interval", "summarize"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % confidence interval."""

    low: float
    high: float


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
        }


def summarize(rollouts: Iterable[Rollout]) -> Summary:
    """The figures of rollouts, read one by one (give the chosen attempts: `Run.rollouts`)."""
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
        for call in tool_calls(rollout):
            count["tool_calls"] += 1
            count["well_formed_calls"] += call.well_formed
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
    )


def mean_interval(groups: Sequence[Sequence[float]]) -> Interval | None:
    """A 95 % interval of the mean of rewards, clustered by task: samples of one task are not independent.

    With G tasks, n rewards r in all, their mean m and c_g = sum of (r - m) over the samples of task g,
    the standard error is s = sqrt(G / (G - 1) * sum of c_g^2) / n (cluster-robust with the usual
    small-sample factor: Cameron and Miller, "A Practitioner's Guide to Cluster-Robust Inference", 2015,
    section VI; E. Miller, "Adding Error Bars to Evals", 2024, section 2.2) and the interval is
    m +- t * s with Student's t at G - 1 degrees of freedom. With one sample per task this is the
    textbook t interval.

    Where every reward is 0 or 1 that interval leaves [0, 1] and has no width at 0 and at 1. There it
    is Wilson's score interval (Wilson, 1927) for n_e = m (1 - m) / s^2 observations, s without the
    small-sample factor and n_e held between G and n: exactly n with one sample per task, fewer the more
    the samples of a task agree, and G where m is 0 or 1 (effective sample size: Kish, "Survey
    Sampling", 1965).

    Args:
        groups: the rewards of each task; empty groups do not count.

    Returns:
        None with fewer than two tasks: how tasks differ cannot be told from one.
    """
    clusters = [group for group in groups if group]
    tasks, number = len(clusters), sum(map(len, clusters))
    if tasks < 2:
        return None
    mean = math.fsum(value for group in clusters for value in group) / number
    squares = math.fsum(math.fsum(value - mean for value in group) ** 2 for group in clusters)
    if all(value in (0, 1) for group in clusters for value in group):
        spread = mean * (1 - mean) * number**2
        effective = min(max(spread / squares if squares else number, tasks), number) if spread else tasks
        return _wilson(mean, effective)
    error = math.sqrt(tasks / (tasks - 1) * squares) / number
    half = _student_975(tasks - 1) * error
    return Interval(mean - half, mean + half)


_Z = NormalDist().inv_cdf(0.975)

# Student's t, 0.975 quantile, 1 to 10 degrees of freedom; above, the expansion is right to 4 digits.
_T = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)


def _student_975(freedom: int) -> float:
    """The 0.975 quantile of Student's t (Abramowitz and Stegun 26.7.5 above 10 degrees of freedom)."""
    if freedom <= len(_T):
        return _T[freedom - 1]
    z, v = _Z, freedom
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )


def _wilson(share: float, number: float) -> Interval:
    square = _Z**2
    middle = (share + square / (2 * number)) / (1 + square / number)
    half = _Z / (1 + square / number) * math.sqrt(share * (1 - share) / number + square / (4 * number**2))
    return Interval(max(0.0, middle - half), min(1.0, middle + half))
