"""Of many attempts exactly one counts, by the same rule for everybody."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore_rl.read.attempts import choose_attempt, is_infrastructure_failure
from agentcore_rl.rollout import Failure, FailureKind


@dataclass(frozen=True)
class Try:
    attempt: int
    session: str
    failure: Failure | None


failures = st.none() | st.builds(
    Failure, kind=st.sampled_from(FailureKind), message=st.just(""), retryable=st.booleans()
)
tries = st.lists(
    st.builds(
        Try, attempt=st.integers(0, 5), session=st.text("abcdef", min_size=3, max_size=8), failure=failures
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda tried: tried.session,
)


@given(tries, st.randoms(use_true_random=False), st.integers(0, 12))
def test_the_choice_follows_the_rule(attempts, random, pick):
    """Delivered stays; else the lowest that is no infrastructure failure; else the highest; in any order."""
    delivered = attempts[pick].session if pick < len(attempts) else None
    choice = choose_attempt(attempts, delivered)
    assert sorted([choice.chosen, *choice.late], key=id) == sorted(attempts, key=id)
    sound = [tried for tried in attempts if not is_infrastructure_failure(tried.failure)]
    if delivered is not None:
        assert choice.chosen.session == delivered
    elif sound:
        assert choice.chosen in sound
        assert choice.chosen.attempt == min(tried.attempt for tried in sound)
    else:
        assert choice.chosen.attempt == max(tried.attempt for tried in attempts)
    shuffled = list(attempts)
    random.shuffle(shuffled)
    assert choose_attempt(shuffled, delivered) == choice


@given(tries, st.data())
def test_what_was_delivered_stays_whatever_comes_later(attempts, data):
    """A reader that knows of a delivery never changes its mind when more attempts are stored."""
    known = attempts[: data.draw(st.integers(1, len(attempts)))]
    winner = choose_attempt(known).chosen
    assert choose_attempt(attempts, winner.session).chosen is winner


def test_a_delivered_session_without_a_record_is_as_none():
    """A runtime failure was delivered and its record came late: the rule decides among what is there."""
    late = Try(0, "s", None)
    assert choose_attempt([late], "another").chosen is late


def test_nothing_cannot_be_chosen_from():
    """No attempts is the caller's mistake."""
    with pytest.raises(ValueError, match="no attempt"):
        choose_attempt([])


def test_model_failures_count_as_the_record_says():
    """A model that answered nothing is infrastructure; one that answered badly is not."""
    assert is_infrastructure_failure(Failure(FailureKind.MODEL, "", retryable=True))
    assert not is_infrastructure_failure(Failure(FailureKind.MODEL, ""))
    kinds = {kind.value for kind in FailureKind if is_infrastructure_failure(Failure(kind, ""))}
    assert kinds == {"runtime", "sink", "environment"}
