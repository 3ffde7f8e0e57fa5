"""Paths of turns."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agentcore_rl.report.branches import branches, lanes
from made_rollouts import make_turn


def turns(*parents):
    """Turns that extend these."""
    return [make_turn(number, parent=parent) for number, parent in enumerate(parents)]


def test_one_conversation_is_one_branch():
    """Straight down, in one lane."""
    line = turns(None, 0, 1)
    assert branches(line) == [[0, 1, 2]]
    assert lanes(line) == {0: 0, 1: 0, 2: 0}


def test_a_fork_and_a_new_root():
    """What forks off has a lane of its own, and its branch the turns before it."""
    forked = turns(None, 0, 0, 1, None)
    assert branches(forked) == [[0, 2], [0, 1, 3], [4]]
    assert lanes(forked) == {0: 0, 1: 0, 2: 1, 3: 0, 4: 2}


def test_no_turns():
    """Nothing to draw."""
    assert branches([]) == []
    assert lanes([]) == {}


@given(st.lists(st.integers(-1, 20), max_size=20))
def test_every_turn_is_on_a_branch(parents):
    """Each branch goes from a root to a turn that none extends; together they have every turn."""
    graph = turns(*(None if parent < 0 or not n else parent % n for n, parent in enumerate(parents)))
    parent_of = {turn.id: turn.parent for turn in graph}
    paths = branches(graph)
    assert {turn for path in paths for turn in path} == parent_of.keys()
    for path in paths:
        assert parent_of[path[0]] is None
        assert path[-1] not in parent_of.values()
        assert all(parent_of[after] == before for before, after in pairwise(path))
    assert lanes(graph).keys() == parent_of.keys()
