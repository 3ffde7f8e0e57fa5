"""The classification agrees with BFCL's checker, but for differences that have a reason.

Every fifteenth question here; `benchmarks/bfcl_agreement.py` prints the table of all.
"""

import pytest

from bfcl import CATEGORIES, NEEDS_GOLD, items, judged

pytest.importorskip("bfcl_eval")  # only developers' environments have it


@pytest.fixture(scope="module")
def outcomes():
    """A sample of all categories, judged by both."""
    return [outcome for name in CATEGORIES for item in items(name, every=15) for outcome in judged(item)]


def test_the_sample_is_not_empty(outcomes):
    """Every category and every kind of mistake is in it."""
    assert {outcome.case.item.category for outcome in outcomes} == set(CATEGORIES)
    planted = {outcome.case.planted for outcome in outcomes}
    assert planted >= {
        "none",
        "wrong name",
        "missing required",
        "unexpected",
        "not in enum",
        "integer as 5.0",
    }
    assert planted >= {
        f"wrong type for {kind}" for kind in ("string", "integer", "float", "boolean", "array")
    }
    assert len(outcomes) > 700


def test_every_difference_has_a_reason(outcomes):
    """Where the two differ, it is known why."""
    unexplained = [outcome for outcome in outcomes if outcome.reason is None]
    assert unexplained == []


def test_gold_answers_are_right_and_planted_mistakes_are_found(outcomes):
    """What a record can tell is told as BFCL tells it, by verdict and by class."""
    judgeable = [
        outcome
        for outcome in outcomes
        if outcome.case.planted not in (*NEEDS_GOLD, "none", "integer as 5.0") and not outcome.reason
    ]
    assert all(outcome.classes_agree for outcome in judgeable)
    assert all(outcome.ours for outcome in judgeable if outcome.case.planted != "float as 5")
    gold = [outcome for outcome in outcomes if outcome.case.planted == "none"]
    assert sum(outcome.theirs is None and outcome.ours is None for outcome in gold) > 0.85 * len(gold)


def test_what_only_the_gold_answer_shows_is_not_guessed(outcomes):
    """Another value of the same type is wrong to BFCL alone."""
    others = [outcome for outcome in outcomes if outcome.case.planted == "another value of the type"]
    assert others
    assert all(outcome.theirs and outcome.ours is None for outcome in others if outcome.reason)
