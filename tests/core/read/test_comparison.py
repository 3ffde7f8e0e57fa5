"""Two runs are compared pair by pair, and what chance alone makes is not called a difference."""

import json
import math
import random

import pytest

from agentcore_rl.read.comparison import compare, sign_test
from agentcore_rl.reward import Reward
from agentcore_rl.rollout import PromptRef, Trajectory
from made_rollouts import make_rollout, make_turn, raw

SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
TOOLS = raw(
    [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in ("add", "sub")]
)


def one(task, reward, *, sample=0, calls=()):
    """A rollout with this reward, and calls: (tool, right)."""
    written = [
        {
            "id": f"c{n}",
            "type": "function",
            "function": {"name": name, "arguments": '{"x": 1}' if right else "{}"},
        }
        for n, (name, right) in enumerate(calls)
    ]
    turn = make_turn(0, prompt=PromptRef(0, [0]), answer=1, tools=0)
    return make_rollout(
        task=task,
        sample=sample,
        input_id=f"{task}.{sample}",
        reward=None if reward is None else Reward(reward),
        messages=[raw({"role": "user", "content": "?"}), raw({"role": "assistant", "tool_calls": written})],
        tools=[TOOLS],
        trajectories=[Trajectory("main", None, [turn])],
    )


def test_rollouts_are_paired_by_task_and_sample():
    """What only one has, and what is not judged in both, is told and not counted."""
    first = [one("a", 0.0), one("a", 1.0, sample=1), one("b", 0.0), one("c", None), one("d", 1.0)]
    second = [one("b", 0.5), one("a", 1.0), one("a", 1.0, sample=1), one("c", 1.0), one("e", 0.0, sample=3)]
    found = compare(iter(first), iter(second))
    assert (found.pairs, found.tasks, found.unjudged) == (3, 2, 1)
    assert (found.first_mean, found.second_mean, found.difference) == pytest.approx((1 / 3, 2.5 / 3, 0.5))
    assert (found.only_first, found.only_second) == (["d.0"], ["e.3"])
    assert [(each.task, each.first, each.second) for each in found.won] == [("a", 0.5, 1.0), ("b", 0.0, 0.5)]
    assert found.lost == []
    assert (found.test.name, found.test.won, found.test.tied, found.test.p_value) == ("sign", 2, 0, 0.5)


def test_zeros_and_ones_are_mcnemars():
    """One pair per task and rewards of 0 and 1: b = 1 against c = 8 has the published p of 0.0391."""
    first = [one(f"t{n:02}", float(n < 9)) for n in range(20)]
    second = [one(f"t{n:02}", float(8 <= n < 10)) for n in range(20)]
    found = compare(first, second)
    assert (found.test.name, found.test.won, found.test.lost, found.test.tied) == ("mcnemar", 1, 8, 11)
    assert found.test.p_value == pytest.approx(0.0390625)


@pytest.mark.parametrize(
    ("won", "lost", "p"), [(0, 0, None), (1, 0, 1.0), (5, 5, 1.0), (0, 10, 2 / 1024), (9, 1, 22 / 1024)]
)
def test_the_sign_test_is_exact(won, lost, p):
    """Against sums of binomial coefficients."""
    found = sign_test([1.0] * won + [-0.5] * lost + [0.0, 1e-17])
    assert (found.won, found.lost, found.tied) == (won, lost, 2)
    assert found.p_value == (p if p is None else pytest.approx(p))


def test_the_sign_test_holds_for_many_tasks():
    """No overflow, and no p of zero."""
    exact = 2 * sum(math.comb(1050, k) for k in range(501)) / (1 << 1050)
    assert sign_test([1.0] * 550 + [-1.0] * 500).p_value == pytest.approx(exact, rel=1e-6)
    assert sign_test([1.0] * 3000).p_value >= 0


def test_intervals_cluster_by_task():
    """Repeating each sample of a task tells nothing new."""
    chance = random.Random(5)
    rewards = [(chance.random(), chance.random()) for _ in range(12)]
    once = compare(
        [one(f"t{n}", a) for n, (a, _) in enumerate(rewards)],
        [one(f"t{n}", b) for n, (_, b) in enumerate(rewards)],
    )
    four = compare(
        [one(f"t{n}", a, sample=s) for n, (a, _) in enumerate(rewards) for s in range(4)],
        [one(f"t{n}", b, sample=s) for n, (_, b) in enumerate(rewards) for s in range(4)],
    )
    assert four.interval.to_list() == pytest.approx(once.interval.to_list())
    assert four.test == once.test


def test_equal_runs_do_not_differ():
    """No difference, no interval that pretends to know, no p value."""
    run = [one("a", 1.0, calls=[("add", True)]), one("b", 0.0, calls=[("add", False)])]
    found = compare(run, run)
    assert (found.difference, found.interval, found.test.p_value) == (0.0, None, None)
    assert found.format.difference == 0.0
    assert found.format.interval.to_list() == [0.0, 0.0]


def test_tools_are_compared_over_the_tasks_that_both_have():
    """Rates of each tool and of all, with an interval from a bootstrap over tasks."""
    first = [one(f"t{n}", 0.0, calls=[("add", n % 2 == 0), ("sub", True)]) for n in range(30)]
    second = [one(f"t{n}", 0.0, calls=[("add", True), ("mul", True)]) for n in range(31)]
    found = compare(first, second)
    assert list(found.tools) == ["add", "sub"]
    add = found.tools["add"]["format"]
    assert (add.first, add.second, add.calls) == (0.5, 1.0, (30, 30))
    assert 0.25 < add.interval.low < 0.5 < add.interval.high < 0.75
    sub = found.tools["sub"]["format"]
    assert (sub.first, sub.second, sub.difference, sub.interval) == (1.0, None, None, None)
    assert found.format.calls == (60, 60)  # a call of a tool that was not offered counts among all


def test_the_same_seed_gives_the_same_intervals():
    """And another seed about the same."""
    chance = random.Random(2)
    runs = [
        [one(f"t{n}", 0.0, calls=[("add", chance.random() < p)] * 3) for n in range(40)] for p in (0.5, 0.7)
    ]
    found = compare(*runs, seed=1)
    assert found == compare(*runs, seed=1)
    other = compare(*runs, seed=2)
    assert found.format.interval != other.format.interval
    assert found.format.interval.to_list() == pytest.approx(other.format.interval.to_list(), abs=0.05)


def test_a_comparison_is_json():
    """Everything that it has."""
    found = compare([one("a", 0.0, calls=[("add", True)])], [one("a", 1.0), one("b", 1.0)])
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["reward"] == {"first": 0.0, "second": 1.0, "difference": 1.0, "interval": None}
    assert told["tools"]["add"]["format"]["calls"] == [1, 0]
    assert told["won"] == [{"task": "a", "first": 0.0, "second": 1.0, "difference": 1.0}]
    assert told["only_second"] == ["b.0"]
