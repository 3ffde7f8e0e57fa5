"""Why tokens are not trained on: the exports' own rule, in words."""

import pytest
from hypothesis import given, settings

from agentcore_rl.export.rows import account_of
from agentcore_rl.report.masks import rollout_mask, turn_mask
from agentcore_rl.rollout import Failure, FailureKind, Status, Tokens
from made_rollouts import golden_rollout, make_rollout, make_turn, rollouts

WHOLE = Tokens(0, [1], [2], [-0.5])


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, None),
        ({"suspect": ["forked", "redacted"]}, "the rollout is suspect: forked, redacted"),
        ({"reward": None}, "the rollout has no reward"),
        (
            {"failure": Failure(FailureKind.RUNTIME, "It died.", retryable=True), "status": Status.FAILED},
            "infrastructure failed, which says nothing of the policy",
        ),
    ],
)
def test_of_a_rollout(fields, reason):
    """What masks all of it; a success with a reward is masked by nothing."""
    assert rollout_mask(make_rollout(**fields)) == reason


def test_of_a_failed_rollout():
    """The boundary at which it broke."""
    assert rollout_mask(golden_rollout()) == "the rollout failed: reward"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"tokens": WHOLE}, None),
        ({"tokens": None}, "the server gave no token ids"),
        ({"tokens": Tokens(0, None, [2], [-0.5])}, "the server gave no ids of the prompt"),
        ({"tokens": Tokens(0, [1], [2], None)}, "the server gave no logprobs"),
        ({"tokens": WHOLE, "suspect": ["cut_answer"]}, "the answer is not whole"),
        ({"tokens": WHOLE, "finish_reason": None}, "the answer is not whole"),
    ],
)
def test_of_a_turn(fields, reason):
    """What masks one turn, whatever its rollout."""
    assert turn_mask(make_turn(0, **fields)) == reason


@settings(max_examples=10)
@given(rollouts())
def test_the_page_masks_what_exports_mask(rollout):
    """For any record, so many sampled tokens are without a reason here as train in an export."""
    turns = [turn for path in rollout.trajectories for turn in path.turns]
    free = [turn for turn in turns if rollout_mask(rollout) is None and turn_mask(turn) is None]
    assert sum(len(turn.tokens.answer) for turn in free) == account_of(rollout).trained
