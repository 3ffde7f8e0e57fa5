"""Two runs of the same tasks, compared pair by pair.

Everything is the second run's minus the first's. Rollouts are paired by task and sample, so that how hard
tasks are drops out of the differences; samples of one task are not independent, so that intervals and tests
count tasks, not rollouts.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import mul
from typing import Any

from agentcore_rl.read.interval import Interval, difference_interval
from agentcore_rl.read.run import Run
from agentcore_rl.read.tool_calls import tool_calls
from agentcore_rl.rollout import Rollout

__all__ = ["Comparison", "PairedTest", "RateDifference", "TaskDifference", "compare", "sign_test"]

_MOST_TOOLS = 20
_LEVELS = ("format", "execution")


@dataclass(frozen=True, slots=True)
class TaskDifference:
    """One task's mean reward in both runs, over the samples that both have judged."""

    task: str
    first: float
    second: float

    @property
    def difference(self) -> float:
        """The second's minus the first's."""
        return self.second - self.first


@dataclass(frozen=True, slots=True)
class PairedTest:
    """An exact test of whether one run wins more tasks than the other.

    Attributes:
        name: "mcnemar" where each task has one pair of rewards that are 0 or 1, else "sign": of the
            difference of each task's mean. Both are the same computation.
        won, lost, tied: tasks in which the second run is better, worse, equal.
        p_value: chance of a split at least as uneven if neither were better; None without a difference.
    """

    name: str
    won: int
    lost: int
    tied: int
    p_value: float | None


@dataclass(frozen=True, slots=True)
class RateDifference:
    """A rate of tool calls in both runs, over the tasks that both have.

    Attributes:
        first, second: the rates; None where there is nothing to count.
        calls: of how many calls in either.
        interval: 95 % interval of second - first, from a bootstrap over tasks; None when either rate is.
    """

    first: float | None
    second: float | None
    calls: tuple[int, int]
    interval: Interval | None

    @property
    def difference(self) -> float | None:
        """The second's minus the first's; None when either is."""
        return None if self.first is None or self.second is None else self.second - self.first


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two runs of the same tasks have to tell of each other.

    Attributes:
        pairs: rollouts that both runs have and have judged.
        tasks: of how many tasks.
        unjudged: rollouts that both have and of which at least one has no reward.
        first_mean, second_mean: mean rewards over the pairs; None without one.
        interval: 95 % interval of the mean difference, clustered by task; None when it cannot be told.
        test: an exact paired test over tasks.
        format, execution: the two rates of all tool calls.
        tools: for each tool, the same two, by `format` and `execution`; the 20 most called.
        won, lost: tasks in which the second run is better or worse, by how much, the largest first.
        only_first, only_second: ids (`task.sample`) of rollouts that one run alone has.
    """

    pairs: int
    tasks: int
    unjudged: int
    first_mean: float | None
    second_mean: float | None
    interval: Interval | None
    test: PairedTest
    format: RateDifference
    execution: RateDifference
    tools: Mapping[str, Mapping[str, RateDifference]] = field(default_factory=dict)
    won: Sequence[TaskDifference] = ()
    lost: Sequence[TaskDifference] = ()
    only_first: Sequence[str] = ()
    only_second: Sequence[str] = ()

    @property
    def difference(self) -> float | None:
        """Mean difference of the rewards over the pairs; None without one."""
        if self.first_mean is None or self.second_mean is None:
            return None
        return self.second_mean - self.first_mean

    def to_dict(self) -> dict[str, Any]:
        """This comparison as a JSON object."""
        return {
            "pairs": self.pairs,
            "tasks": self.tasks,
            "unjudged": self.unjudged,
            "reward": {
                "first": self.first_mean,
                "second": self.second_mean,
                "difference": self.difference,
                "interval": None if self.interval is None else self.interval.to_list(),
            },
            "test": {name: getattr(self.test, name) for name in ("name", "won", "lost", "tied", "p_value")},
            **{level: _rate_json(getattr(self, level)) for level in _LEVELS},
            "tools": {
                name: {level: _rate_json(levels[level]) for level in _LEVELS}
                for name, levels in self.tools.items()
            },
            "won": [_task_json(task) for task in self.won],
            "lost": [_task_json(task) for task in self.lost],
            "only_first": list(self.only_first),
            "only_second": list(self.only_second),
        }


def _rate_json(rate: RateDifference) -> dict[str, Any]:
    return {
        "first": rate.first,
        "second": rate.second,
        "difference": rate.difference,
        "interval": None if rate.interval is None else rate.interval.to_list(),
        "calls": list(rate.calls),
    }


def _task_json(task: TaskDifference) -> dict[str, Any]:
    return {"task": task.task, "first": task.first, "second": task.second, "difference": task.difference}


@dataclass(slots=True)
class _Read:
    """What is kept of a rollout: its reward, and for each tool and level (right, judged)."""

    reward: float | None
    calls: dict[tuple[str, str], tuple[int, int]]


def compare(first: Run | Iterable[Rollout], second: Run | Iterable[Rollout], *, seed: int = 0) -> Comparison:
    """Compare two runs of the same tasks.

    Args:
        first: a run, or rollouts (the chosen attempts).
        second: the other; differences are its figures minus the first's.
        seed: of the bootstrap; the same seed gives the same intervals.
    """
    one, two = _read(first), _read(second)
    both = sorted(one.keys() & two.keys())
    groups: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for key in both:
        before, after = one[key].reward, two[key].reward
        if before is not None and after is not None:
            groups[key[0]].append((before, after))
    pairs = [pair for group in groups.values() for pair in group]
    by_task = [
        TaskDifference(task, *(math.fsum(values) / len(group) for values in zip(*group, strict=True)))
        for task, group in groups.items()
    ]
    binary = len(pairs) == len(groups) and all(value in (0, 1) for pair in pairs for value in pair)
    tools = _tools(one, two, both, seed)
    return Comparison(
        pairs=len(pairs),
        tasks=len(groups),
        unjudged=len(both) - len(pairs),
        first_mean=math.fsum(before for before, _ in pairs) / len(pairs) if pairs else None,
        second_mean=math.fsum(after for _, after in pairs) / len(pairs) if pairs else None,
        interval=difference_interval(
            [[after - before for before, after in group] for group in groups.values()]
        ),
        test=sign_test([task.difference for task in by_task], name="mcnemar" if binary and pairs else "sign"),
        format=tools[""]["format"],
        execution=tools[""]["execution"],
        tools={name: levels for name, levels in tools.items() if name},
        won=sorted((each for each in by_task if each.difference > 0), key=lambda each: -each.difference),
        lost=sorted((each for each in by_task if each.difference < 0), key=lambda each: each.difference),
        only_first=[f"{task}.{sample}" for task, sample in sorted(one.keys() - two.keys())],
        only_second=[f"{task}.{sample}" for task, sample in sorted(two.keys() - one.keys())],
    )


def _read(run: Run | Iterable[Rollout]) -> dict[tuple[str, int], _Read]:
    """Every rollout of a run, by task and sample; one record in memory at a time."""
    read: dict[tuple[str, int], _Read] = {}
    for rollout in run.rollouts if isinstance(run, Run) else run:
        counts: dict[tuple[str, str], tuple[int, int]] = {}
        for call in tool_calls(rollout):
            for level, good in (("format", call.format_ok), ("execution", call.execution_ok)):
                for name in ("", call.name) if call.known else ("",):
                    if good is not None:
                        right, judged = counts.get((name, level), (0, 0))
                        counts[name, level] = (right + good, judged + 1)
        reward = None if rollout.reward is None else rollout.reward.value
        read[rollout.task, rollout.sample] = _Read(reward, counts)
    return read


def sign_test(differences: Iterable[float], *, name: str = "sign") -> PairedTest:
    """The exact two-sided sign test; of pairs of zeros and ones it is McNemar's exact test.

    Differences of 0 tell nothing and are left out (Dixon and Mood, 1946; McNemar, 1947). Differences that
    rounding alone makes are taken for 0.

    Args:
        differences: one per task.
        name: what the test is called.
    """
    signs = [0 if abs(value) < 1e-12 else 1 if value > 0 else -1 for value in differences]
    won, lost = signs.count(1), signs.count(-1)
    number = won + lost
    if not number:
        return PairedTest(name, 0, 0, len(signs), None)
    log_half = number * math.log(2)
    tail = math.fsum(
        math.exp(math.lgamma(number + 1) - math.lgamma(k + 1) - math.lgamma(number - k + 1) - log_half)
        for k in range(min(won, lost) + 1)
    )
    return PairedTest(name, won, lost, signs.count(0), min(1.0, 2 * tail))


def _tools(
    one: Mapping[tuple[str, int], _Read],
    two: Mapping[tuple[str, int], _Read],
    both: Sequence[tuple[str, int]],
    seed: int,
) -> dict[str, dict[str, RateDifference]]:
    """The rates of each tool ("" is all of them) in both runs, over the rollouts that both have."""
    tasks = {task: number for number, task in enumerate(dict.fromkeys(task for task, _ in both))}
    columns: dict[tuple[str, str, int], list[list[int]]] = {}
    for key in both:
        for which, read in enumerate((one[key], two[key])):
            for (name, level), (right, judged) in read.calls.items():
                column = columns.setdefault((name, level, which), [[0] * len(tasks), [0] * len(tasks)])
                column[0][tasks[key[0]]] += right
                column[1][tasks[key[0]]] += judged
    called: dict[str, int] = defaultdict(int)
    for (name, _, __), (___, judged_by_task) in columns.items():
        called[name] += sum(judged_by_task)
    names = [
        "",
        *sorted((name for name in called if name), key=lambda name: (-called[name], name))[:_MOST_TOOLS],
    ]
    empty: list[list[int]] = [[], []]
    sides = {
        (name, level): (columns.get((name, level, 0), empty), columns.get((name, level, 1), empty))
        for name in names
        for level in _LEVELS
    }
    intervals = _bootstrap(list(sides.values()), len(tasks), seed)
    rates = dict(zip(sides, map(_rates, sides.values(), intervals), strict=True))
    return {name: {level: rates[name, level] for level in _LEVELS} for name in names}


def _rates(sides: tuple[list[list[int]], list[list[int]]], interval: Interval | None) -> RateDifference:
    (right, judged), (right_after, judged_after) = [tuple(map(sum, side)) for side in sides]
    return RateDifference(
        right / judged if judged else None,
        right_after / judged_after if judged_after else None,
        (judged, judged_after),
        interval,
    )


def _bootstrap(
    sides: Sequence[tuple[list[list[int]], list[list[int]]]], tasks: int, seed: int
) -> list[Interval | None]:
    """Percentile intervals of the differences, each draw taking as many tasks as there are, with repetition.

    Tasks are drawn, and the calls of a task stay together in both runs (Efron and Tibshirani, "An
    Introduction to the Bootstrap", 1993, chapters 8 and 13). Fewer draws where there are many tasks.
    """
    differences: list[list[float]] = [[] for _ in sides]
    chance = random.Random(seed)
    for _ in range(max(400, min(2000, 400_000 // max(tasks, 1))) if tasks > 1 else 0):
        weights = [0] * tasks
        for drawn in chance.choices(range(tasks), k=tasks):
            weights[drawn] += 1
        for found, side in zip(differences, sides, strict=True):
            rates = [_weighted(column, weights) for column in side]
            if rates[0] is not None and rates[1] is not None:
                found.append(rates[1] - rates[0])
    return [_percentiles(found) for found in differences]


def _weighted(column: list[list[int]], weights: list[int]) -> float | None:
    judged = sum(map(mul, column[1], weights))
    return sum(map(mul, column[0], weights)) / judged if judged else None


def _percentiles(found: list[float]) -> Interval | None:
    if len(found) < 100:  # hardly any draw has a call of it
        return None
    found.sort()
    return Interval(found[round(0.025 * (len(found) - 1))], found[round(0.975 * (len(found) - 1))])
