"""Tinker: a Datum is the row, shifted by one."""

import dataclasses

import pytest

from agentcore_rl.export import FORMATS, rows_of
from agentcore_rl.export.formats.unfit import Unfit
from made_branches import Session, asked, said, talk


def test_a_datum():
    """Position i of each field says what comes behind input i; all have one length."""
    (row,) = rows_of(talk(1))
    (line,) = FORMATS["tinker"].converter()(dataclasses.replace(row, advantage=0.5))
    assert line["datum"] == {
        "model_input": {"chunks": [{"type": "encoded_text", "tokens": [1, 2, 3, 10, 11]}]},
        "loss_fn_inputs": {
            "target_tokens": {"data": [2, 3, 10, 11, 12], "dtype": "int64", "shape": [5]},
            "logprobs": {
                "data": [0.0, 0.0, -10 / 64, -11 / 64, -12 / 64],
                "dtype": "float32",
                "shape": [5],
            },
            "mask": {"data": [0.0, 0.0, 1.0, 1.0, 1.0], "dtype": "float32", "shape": [5]},
            "advantages": {"data": [0.0, 0.0, 0.5, 0.5, 0.5], "dtype": "float32", "shape": [5]},
        },
    }


def test_without_an_advantage():
    """There is none rather than zeros."""
    (line,) = FORMATS["tinker"].converter()(rows_of(talk(1))[0])
    assert "advantages" not in line["datum"]["loss_fn_inputs"]


def test_an_id_that_nothing_stands_before():
    """The first id of a row is never a target; sampled, it would be lost without a word."""
    session = Session()
    session.call([asked("q")], [], [1, 2], [-1.0, -1.0], answer=said("a"))
    with pytest.raises(Unfit, match="sampled_without_a_prompt"):
        list(FORMATS["tinker"].converter()(rows_of(session.rollout())[0]))
