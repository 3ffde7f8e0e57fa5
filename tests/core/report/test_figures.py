"""Figures that are gathered while rollouts pass by."""

from hypothesis import given
from hypothesis import strategies as st

from agentcore_rl.report.figures import Figures, histogram
from agentcore_rl.reward import Reward
from agentcore_rl.rollout import Failure, FailureKind
from made_rollouts import golden_rollout, make_rollout, numbers


@given(st.lists(numbers, max_size=60))
def test_a_histogram_loses_no_reward(values):
    """Its counts add up, for any finite numbers; few values stand for themselves."""
    shown = histogram(values)
    assert sum(shown["counts"]) == len(values)
    if len(set(values)) <= 10:
        assert shown["values"] == sorted(set(values))


def test_equal_parts():
    """More values than ten: 20 parts, the last with its upper end."""
    shown = histogram([number / 10 for number in range(101)])
    assert (shown["low"], shown["width"], len(shown["counts"])) == (0.0, 0.5, 20)
    assert shown["counts"] == [5] * 19 + [6]


def test_groups_have_intervals():
    """By framework, policy version and model, each with the interval of its mean reward."""
    figures = Figures()
    for number in range(6):
        figures.add(
            make_rollout(
                task=f"t{number}",
                reward=Reward(number % 2),
                software={"agentcore-rl-strands": "1"},
                policy_versions=[3, 4 + number % 2],
            )
        )
    groups = {(group["by"], group["name"]): group for group in figures.to_dict()["groups"]}
    assert groups["framework", "strands"]["mean_reward"] == 0.5
    assert groups["policy version", "5"]["mean_reward"] == 1.0
    low, high = groups["framework", "strands"]["interval"]
    assert 0 < low < 0.5 < high < 1


def test_what_is_not_known_has_a_name():
    """No framework and no version: unknown, not left out. Nothing judged: None, not zero."""
    figures = Figures()
    figures.add(make_rollout(software={}, policy_versions=[], model=None, reward=None))
    groups = figures.to_dict()["groups"]
    assert [group["name"] for group in groups] == ["unknown"] * 3
    assert groups[0]["mean_reward"] is None
    assert groups[0]["interval"] is None


def test_failures_are_grouped_by_cause():
    """What varies in a message does not tell causes apart; one message stands for all."""
    figures = Figures()
    for number in range(3):
        figures.add(
            make_rollout(failure=Failure(FailureKind.AGENT, f"Order {number} is missing.", "KeyError"))
        )
    figures.add(golden_rollout())
    told = figures.to_dict()
    assert [(cause["count"], cause["cause"]) for cause in told["causes"]] == [
        (3, "agent (KeyError): Order # is missing."),
        (1, "reward (ContractError): The reward is NaN."),
    ]
    assert told["causes"][0]["message"] == "Order 0 is missing."
    assert told["suspect"] == {"inferred_scope": 1}
