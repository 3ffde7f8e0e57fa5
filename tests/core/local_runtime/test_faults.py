"""Rules of faults: which call they fit, how often, and how they are written."""

import pytest

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.local_runtime.faults import FAULTS, Faults


def test_a_count_is_used_up():
    """The next two calls, then none; hits are counted."""
    faults = Faults()
    rule = faults.add("throttle", count=2)
    assert [faults.pick("invoke", "s") is rule for _ in range(3)] == [True, True, False]
    assert (rule.hits, rule.count) == (2, 0)


def test_a_probability_is_drawn_from_a_seed():
    """The same seed makes the same calls fail, about as many as it says."""
    series = []
    for _ in range(2):
        faults = Faults()
        faults.add("kill", probability=0.2, seed=3)
        series.append([faults.pick("invoke", "s") is not None for _ in range(1000)])
    assert series[0] == series[1]
    assert 150 < sum(series[0]) < 250


def test_a_rule_fits_what_it_names():
    """Sessions by pattern, operations by name, a start only where one is needed; the first rule counts."""
    faults = Faults()
    slow = faults.add("slow-start", sessions="run-1-*")
    deny = faults.add("deny", operation="stop")
    assert faults.pick("invoke", "run-1-a", new=True) is slow
    assert faults.pick("invoke", "run-1-a", new=False) is None
    assert faults.pick("invoke", "run-2-a", new=True) is None
    assert faults.pick("stop", "run-2-a") is deny
    assert faults.rules == [slow, deny]
    faults.clear()
    assert faults.pick("stop", "run-2-a") is None


def test_a_rule_in_words():
    """Name, probability, attributes."""
    rule = Faults().add_text("kill:0.1:seconds=3:seed=7:sessions=run-*")
    assert (rule.fault, rule.probability, rule.seconds, rule.seed, rule.sessions) == (
        "kill",
        0.1,
        3.0,
        7,
        "run-*",
    )
    assert 0 <= rule.moment() <= 3
    assert Faults().add_text("throttle:count=5").count == 5


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("explode", "There is no fault 'explode'; there are: throttle, quota"),
        ("kill:often", "'often' of the fault 'kill:often' is no number"),
        ("kill:2", "A probability is a number from 0 to 1, not 2.0"),
        ("kill:seconds=-1", "A fault's seconds are a number of at least 0"),
        ("kill:count=-1", "A fault's count is a whole number of at least 0"),
        ("kill:colour=red", "not colour"),
        ("kill:operation=stop", "The fault kill happens to an invoke alone"),
        ("kill:operation=look", "A fault's operation is invoke or stop"),
    ],
)
def test_a_rule_that_makes_no_sense(text, reason):
    """Is refused with a sentence."""
    with pytest.raises(ConfigurationError, match=reason):
        Faults().add_text(text)
    with pytest.raises(ConfigurationError, match="the name is missing"):
        Faults().add_json({"count": 1})
    assert set(FAULTS) >= {"kill", "lose-answer", "duplicate"}
