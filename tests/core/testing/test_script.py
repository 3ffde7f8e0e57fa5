"""Lines that contradict themselves are refused when they are written."""

from typing import Any

import pytest

import agentcore_rl.testing
from agentcore_rl.testing import Answer, ToolCall
from agentcore_rl.testing.script import mismatch


@pytest.mark.parametrize(
    ("kwargs", "complaint"),
    [
        ({"chunks": 0}, "at least one piece"),
        ({"content": "ab", "chunks": ("a", "c")}, "differs from Answer.content"),
        ({"token_ids": [1], "logprobs": [0.0, 0.0]}, "2 logprobs for 1 token_ids"),
        ({"logprobs": [0.0]}, "needs Answer.token_ids"),
    ],
)
def test_an_answer_agrees_with_itself(kwargs: dict[str, Any], complaint: str) -> None:
    """Pieces are those of the content, and logprobs those of the ids."""
    with pytest.raises(ValueError, match=complaint):
        Answer(**kwargs)


def test_a_tool_call_omits_only_what_it_has() -> None:
    """A misspelt key would be a fault that is never played."""
    with pytest.raises(ValueError, match=r"not \['ids'\]"):
        ToolCall("f", omit=["ids"])


def test_true_is_not_one() -> None:
    """JSON tells booleans from numbers, and so does an expectation."""
    assert mismatch({"stream": True}, {"stream": True}) is None
    assert mismatch({"stream": True}, {"stream": 1}) == "request['stream'] is 1, expected True"


def test_every_public_name_is_there() -> None:
    """What the package offers can be imported, and nothing else."""
    for name in agentcore_rl.testing.__all__:
        assert getattr(agentcore_rl.testing, name) is not None
    assert set(agentcore_rl.testing.__all__) <= set(dir(agentcore_rl.testing))
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = agentcore_rl.testing.Nothing
