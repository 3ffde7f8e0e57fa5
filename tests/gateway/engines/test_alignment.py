import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore_rl_gateway.engines.alignment import NO_LOGPROB, align

IDS = st.lists(st.integers(0, 5), max_size=30)


@given(IDS, st.randoms(use_true_random=False))
def test_what_is_joined_is_the_ids_own(ids, chance):
    """Whatever entries an engine leaves out, a logprob stands at its own id's place, or is masked."""
    entries = [(one, -float(at) - 1) for at, one in enumerate(ids) if chance.random() < 0.7]
    aligned = align(ids, entries)
    masked = {at for first, last, _ in aligned.masked for at in range(first, last)}
    found = aligned.logprobs if aligned.logprobs is not None else [None] * len(ids)
    assert {at for at, value in enumerate(found) if value is None} == masked
    assert all(value in (None, -float(at) - 1) for at, value in enumerate(found))
    for at, one in enumerate(ids):
        if ids.count(one) == 1 and (one, -float(at) - 1) in entries:
            assert found[at] is not None
    if len(entries) == len(ids):
        assert None not in found


def test_an_entry_of_one_of_several_equal_ids_is_joined_to_none():
    """The last two bytes of a character may be one id twice, and only the second has an entry."""
    assert align([7, 3, 3, 8], [(3, -0.5), (8, -1.0)]).logprobs == [None, None, None, -1.0]
    assert align([7, 3, 3, 7, 3, 3], [(3, -0.5), (3, -1.0)]).logprobs is None


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, 0.5, True, "x"])
def test_what_is_no_logprob_is_masked_and_never_zero(value):
    """A value that cannot be a logprob is a hole with the reason."""
    aligned = align([1, 2], [(1, -0.5), (2, value)])
    assert aligned.logprobs == [-0.5, None]
    assert aligned.masked == [(1, 2, NO_LOGPROB)]


@pytest.mark.parametrize("entries", [[], [(None, -0.5)], [(9, -0.5), (1, -0.5)], [(None, -0.5)] * 3])
def test_entries_that_do_not_fit_mask_everything(entries):
    """Too few without ids, or of other ids: nothing is guessed."""
    aligned = align([1, 2], entries)
    assert aligned.logprobs is None
    assert aligned.masked == [(0, 2, NO_LOGPROB)]
