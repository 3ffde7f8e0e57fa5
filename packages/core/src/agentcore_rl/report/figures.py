"""The figures of a report, gathered while its rollouts pass by: what the page shows before any transcript."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from agentcore_rl.read import framework_of, mean_interval
from agentcore_rl.report.index import cause_of
from agentcore_rl.rollout import Rollout, Status

__all__ = ["Figures", "histogram"]

_BINS = 20
_CAUSES = 50


class Figures:
    """What the rollouts of one run come to, by framework and policy version, by cause and by reason."""

    def __init__(self) -> None:
        self._rewards: list[float] = []
        self._groups: dict[tuple[str, str], _Group] = {}
        self._causes: Counter[str] = Counter()
        self._examples: dict[str, dict[str, Any]] = {}
        self._suspect: Counter[str] = Counter()
        self._stops: Counter[str] = Counter()

    def add(self, rollout: Rollout) -> None:
        """Count one more rollout."""
        if rollout.reward is not None:
            self._rewards.append(rollout.reward.value)
        for by, name in _groups_of(rollout):
            self._groups.setdefault((by, name), _Group()).add(rollout)
        if rollout.failure is not None:
            cause = cause_of(rollout.failure)
            self._causes[cause] += 1
            self._examples.setdefault(
                cause,
                {
                    "kind": rollout.failure.kind.value,
                    "message": rollout.failure.message[:1000],
                    "id": rollout.input_id,
                },
            )
        self._suspect.update(set(rollout.suspect))
        self._stops[rollout.stop_reason.value] += 1

    def to_dict(self) -> dict[str, Any]:
        """The figures as a JSON object."""
        return {
            "rewards": histogram(self._rewards),
            "groups": [
                {"by": by, "name": name, **group.to_dict()} for (by, name), group in self._groups.items()
            ],
            "causes": [
                {"cause": cause, "count": count, **self._examples[cause]}
                for cause, count in self._causes.most_common(_CAUSES)
            ],
            "more_causes": max(0, len(self._causes) - _CAUSES),
            "suspect": dict(self._suspect.most_common()),
            "stops": dict(self._stops.most_common()),
        }


class _Group:
    """Rollouts that have something in common."""

    def __init__(self) -> None:
        self._rollouts = 0
        self._succeeded = 0
        self._rewards: dict[str, list[float]] = {}

    def add(self, rollout: Rollout) -> None:
        self._rollouts += 1
        self._succeeded += rollout.status is Status.SUCCEEDED
        if rollout.reward is not None:
            self._rewards.setdefault(rollout.task, []).append(rollout.reward.value)

    def to_dict(self) -> dict[str, Any]:
        rewards = list(self._rewards.values())
        judged = sum(map(len, rewards))
        interval = mean_interval(rewards)
        return {
            "rollouts": self._rollouts,
            "succeeded": self._succeeded,
            "judged": judged,
            "mean_reward": math.fsum(value for task in rewards for value in task) / judged
            if judged
            else None,
            "interval": None if interval is None else [interval.low, interval.high],
        }


def _groups_of(rollout: Rollout) -> Iterator[tuple[str, str]]:
    yield "framework", framework_of(rollout) or "unknown"
    yield "policy version", str(rollout.policy_versions[-1]) if rollout.policy_versions else "unknown"
    yield "model", rollout.model or "unknown"


def histogram(values: Sequence[float]) -> dict[str, Any]:
    """How often each value occurs where there are few, else how many lie in each of equal parts of the range.

    Returns:
        `values` and `counts`; or `low`, `width` and `counts`, the last part with its upper end.
    """
    different = sorted(set(values))
    if len(different) <= _BINS // 2:
        counted = Counter(values)
        return {"values": different, "counts": [counted[value] for value in different]}
    low, high = different[0], different[-1]
    width = high / _BINS - low / _BINS
    counts = [0] * _BINS
    for value in values:
        # Not (value - low) / width: the difference of two rewards may be no finite number.
        counts[min(_BINS - 1, max(0, int(value / width - low / width))) if width else 0] += 1
    return {"low": low, "width": width, "counts": counts}
