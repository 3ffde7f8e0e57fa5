"""The counts themselves: a wrong token is found wherever it is planted."""

from array import array
from math import nan

import pytest

from agentcore_rl_gateway.history import Row
from gateway_fidelity import Answered, branches, in_turn, wrong_in_rows, wrong_in_turns

LOG = [Answered([1, 2], [3, 4], [-0.1, -0.2]), Answered([1, 2, 3, 4, 5], [6], [-0.3])]


def _row(ids=(1, 2, 3, 4, 5, 6), mask=(0, 0, 1, 1, 0, 1), logprobs=(nan, nan, -0.1, -0.2, nan, -0.3)):
    return Row(array("I", ids), array("b", mask), array("d", logprobs), (0, 1), ("a", "b"), None)


def test_what_is_right_counts_nothing():
    """The log's own row and turns have no wrong token."""
    assert wrong_in_rows(LOG, [_row()]) == 0
    assert wrong_in_turns(LOG, [(a.prompt, a.ids, a.logprobs) for a in reversed(LOG)]) == 0
    assert branches(LOG) == 1
    log = in_turn([[1, 2]])
    assert (log([7])[0], log.answers[0].prompt, log.sampled) == ([1, 2], [7], 2)


@pytest.mark.parametrize(
    "rows",
    [
        [_row(ids=(1, 2, 3, 9, 5, 6))],
        [_row(ids=(1, 2, 3, 4, 9, 6))],
        [_row(mask=(0, 1, 1, 1, 0, 1))],
        [_row(mask=(0, 0, 1, 1, 0, 0))],
        [_row(logprobs=(nan, nan, -0.2, -0.1, nan, -0.3))],
        [_row(), _row()],
        [],
    ],
)
def test_a_wrong_row_is_found(rows):
    """An id, a mask or a logprob that is not the engine's, a row twice, and none."""
    assert wrong_in_rows(LOG, rows) > 0


@pytest.mark.parametrize(
    "turn",
    [
        ([1, 9], [3, 4], [-0.1, -0.2]),
        ([1, 2], [3], [-0.1]),
        ([1, 2], [3, 4], None),
        ([1, 2], [3, 4], [-0.1, 0]),
    ],
)
def test_a_wrong_turn_is_found(turn):
    """An id that differs or is missing, a logprob that is missing or another; and no turn at all."""
    last = (LOG[1].prompt, LOG[1].ids, LOG[1].logprobs)
    assert wrong_in_turns(LOG, [turn, last]) > 0
    assert wrong_in_turns(LOG, [last]) > 0
