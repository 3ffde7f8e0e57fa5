"""The figures are what the records say, and None where they say nothing."""

import math
import random
from statistics import mean, stdev

import pytest

from agentcore_rl.read import mean_interval, summarize
from agentcore_rl.read.interval import student_975
from agentcore_rl.reward import Reward
from agentcore_rl.rollout import Crosscheck, Failure, FailureKind, Status, Usage
from made_rollouts import make_rollout


def test_figures_of_a_few_rollouts():
    """Every count is right, and a rollout that was not judged is no zero."""
    rollouts = [
        make_rollout(turns=2, task="a", reward=Reward(1.0)),
        make_rollout(task="b", reward=Reward(0.0), suspect=["forked"], usage=Usage(None, 7)),
        make_rollout(
            task="c",
            reward=None,
            status=Status.FAILED,
            failure=Failure(FailureKind.AGENT, "It raised."),
            usage=Usage(),
            crosscheck=Crosscheck(matched=5),
        ),
    ]
    summary = summarize(iter(rollouts))
    assert (summary.rollouts, summary.succeeded, summary.failed) == (3, 2, {"agent": 1})
    assert (summary.judged, summary.mean_reward, summary.turns, summary.suspect) == (2, 0.5, 4, 1)
    assert (summary.prompt_tokens, summary.completion_tokens) == (20, 11)
    assert summary.crosscheck == Crosscheck(matched=3, collected=True)
    assert summary.well_formed_rate is None
    assert summary.to_dict()["reward_interval"] == [summary.reward_interval.low, summary.reward_interval.high]


def test_nothing_is_not_zero():
    """Without rollouts there is no mean, no interval, no token count."""
    summary = summarize([])
    assert (summary.mean_reward, summary.reward_interval, summary.prompt_tokens) == (None, None, None)
    assert summary.to_dict()["rollouts"] == 0


def test_one_sample_per_task_is_the_textbook_interval():
    """The mean and t * s / sqrt(n) to both sides, against the formula from the statistics module."""
    values = [0.2, 0.9, 0.4, 0.7, 0.1]
    interval = mean_interval([[value] for value in values])
    half = 2.7764 * stdev(values) / math.sqrt(5)
    assert interval.low == pytest.approx(mean(values) - half)
    assert interval.high == pytest.approx(mean(values) + half)


def test_zeros_and_ones_get_wilsons_interval():
    """Wilson's published values; never outside [0, 1], never without width."""
    eight_of_ten = mean_interval([[1.0]] * 8 + [[0.0]] * 2)
    assert (eight_of_ten.low, eight_of_ten.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    none_of_ten = mean_interval([[0]] * 10)
    assert (none_of_ten.low, none_of_ten.high) == pytest.approx((0.0, 0.2775), abs=1e-4)


def test_samples_that_agree_tell_nothing_new():
    """Four equal samples of each task give the interval of the tasks alone; others a narrower one."""
    once = mean_interval([[1], [0], [1], [1], [0], [1]])
    fourfold = mean_interval([[x] * 4 for x in (1, 0, 1, 1, 0, 1)])
    assert (fourfold.low, fourfold.high) == pytest.approx((once.low, once.high))
    mixed = mean_interval([[1, 0, 1, 1], [0, 1, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0]])
    assert mixed.high - mixed.low < once.high - once.low


def test_one_task_has_no_interval():
    """How tasks differ cannot be told from one; empty groups do not count."""
    assert mean_interval([[0.5, 0.7], []]) is None
    assert mean_interval([[1, 0, 1]]) is None


@pytest.mark.parametrize(
    ("freedom", "value"), [(1, 12.706), (10, 2.228), (11, 2.201), (30, 2.042), (120, 1.980)]
)
def test_students_quantiles(freedom, value):
    """Against the printed table."""
    assert student_975(freedom) == pytest.approx(value, abs=6e-4)


@pytest.mark.parametrize("binary", [True, False])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(binary):
    """30 tasks of different difficulty, 4 samples each: 95 % within 3 points over 1,000 simulated runs."""
    chance = random.Random(7)
    covered = 0
    for _ in range(1000):
        groups = []
        for _ in range(30):
            level = chance.random()
            groups.append(
                [float(chance.random() < level) if binary else level + chance.gauss(0, 0.2) for _ in range(4)]
            )
        interval = mean_interval(groups)
        covered += interval.low <= 0.5 <= interval.high
    assert 920 <= covered <= 980
