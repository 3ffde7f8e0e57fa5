import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore_rl.strict_json import MAX_DEPTH, Walk, first_problem, nesting
from made_rollouts import json_values


@given(
    st.recursive(
        st.text(max_size=4), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner)
    )
)
def test_nesting_is_never_underestimated(value: object) -> None:
    """Whatever stands in strings, the levels of a text are at most what is said."""

    def depth(value: object) -> int:
        if isinstance(value, dict):
            return 1 + max(map(depth, value.values()), default=0)
        if isinstance(value, list):
            return 1 + max(map(depth, value), default=0)
        return 0

    assert nesting(json.dumps(value).encode()) >= depth(value)


def test_brackets_in_strings_and_siblings_are_no_levels() -> None:
    """A long list, and a text full of brackets, are not deep."""
    assert nesting(json.dumps([[]] * 1000).encode()) == 2
    assert nesting(json.dumps(["[{" * 1000, '\\"[' * 1000]).encode()) == 1
    assert nesting(b"[" * 300 + b"]" * 300) == 300


@given(json_values)
def test_json_has_no_problem(value: object) -> None:
    """Plain JSON passes."""
    assert first_problem(value, "x") is None


def test_all_problems_are_collected_with_their_paths() -> None:
    """One walk finds everything; a long path is shortened in the middle."""
    walk = Walk("output")
    walk.plain({"a": [float("nan"), {"b": b""}], "c": {1}})
    assert [problem.split(" is ")[0] for problem in walk.problems] == [
        'output["a"][0]',
        'output["a"][1]["b"]',
        'output["c"]',
    ]
    deep: object = float("nan")
    for _ in range(50):
        deep = [deep]
    assert first_problem(deep, "x") == f"x{'[0]' * 11}...[0] is NaN"


@pytest.mark.parametrize("levels", [MAX_DEPTH, MAX_DEPTH + 1])
def test_the_last_level_is_still_allowed(levels: int) -> None:
    """So many levels and no more."""
    value: object = 1
    for _ in range(levels):
        value = [value]
    assert (first_problem(value, "x") is None) == (levels == MAX_DEPTH)
