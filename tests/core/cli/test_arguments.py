"""Types of arguments."""

from argparse import ArgumentTypeError

import pytest

from agentcore_rl.cli.arguments import at_least_one, json_object, port, seconds


def test_what_is_meant_is_taken():
    """Numbers and objects as they are written."""
    assert (at_least_one("12"), port("0"), seconds("2.5")) == (12, 0, 2.5)
    assert json_object('{"temperature": 0}') == {"temperature": 0}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *((at_least_one, text) for text in ("0", "-1", "1.5", "", "x", "٣")),
        *((port, text) for text in ("-1", "65536", "99999999999999999999", "http")),
        *((seconds, text) for text in ("0", "-1", "inf", "nan", "")),
        *((json_object, text) for text in ("", "[]", "1", "{a}")),
    ],
)
def test_what_cannot_be_meant_is_refused(kind, text):
    """With a sentence."""
    with pytest.raises(ArgumentTypeError):
        kind(text)
