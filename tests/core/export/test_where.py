"""Conditions: few, strict, and errors that say what would do."""

import pytest

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.export.where import Condition, conditions
from made_rollouts import golden_rollout, make_rollout


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("reward>0", True),
        ("reward > 1", False),
        ("reward>=1", True),
        ("reward=1.0", True),
        ("reward!=none", True),
        ("status=succeeded", True),
        ("status!=succeeded", False),
        ("stop_reason=finished", True),
        ("stop_reason=time limit", False),
        ("failure=none", True),
        ("suspect=none", True),
        ("task=task", True),
        ("turns<2", True),
        ("policy_version=3", True),
        ("tokens<=2", True),
        ("agents=1", True),
    ],
)
def test_a_condition(text, holds):
    """Numbers are compared as numbers, words as words, and `none` is what is not there."""
    assert Condition.parse(text).holds(make_rollout()) is holds


def test_what_is_not_there():
    """It is neither greater nor smaller than anything, and differs from every number."""
    rollout = make_rollout(reward=None)
    told = {
        text: Condition.parse(f"reward{text}").holds(rollout) for text in ("<0", ">=0", "=0", "!=0", "=none")
    }
    assert told == {"<0": False, ">=0": False, "=0": False, "!=0": True, "=none": True}


def test_a_field_of_several_words():
    """A rollout is suspect for each of its reasons."""
    assert Condition.parse("suspect=inferred_scope").holds(golden_rollout())
    assert Condition.parse("suspect!=forked").holds(golden_rollout())
    assert str(Condition.parse("suspect = none")) == "suspect=none"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("reward", "is no condition"),
        ("rewards>0", "did you mean reward?"),
        ("colour=red", "there are reward"),
        ("reward>high", "a number, with 'high'"),
        ("reward>nan", "which is none"),
        ("reward>none", "nothing is greater"),
        ("status>succeeded", "takes = and !="),
        ("status=", "status=none asks"),
        ("reward>0 and turns<3", "which is none"),
        ("__class__=x", "There is no field"),
    ],
)
def test_what_is_no_condition(text, said):
    """The error names what is wrong and what there is."""
    with pytest.raises(ConfigurationError, match=said.replace("?", r"\?")):
        conditions([text])
