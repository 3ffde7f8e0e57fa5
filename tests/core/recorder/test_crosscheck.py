"""Wire against callbacks: what each saw, joined by the call's key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore_rl.recorder.crosscheck import Heard, Verdicts, Witnessed, compare
from agentcore_rl.rollout import Crosscheck


def verdicts(wire: str, callbacks: str) -> Verdicts:
    """Turns as `callback:form` (`!` behind a cut one), calls as `key:form`; `-` is none."""
    turns = []
    for number, text in enumerate(wire.split()):
        key, form = text.rstrip("!").split(":")
        turns.append(
            Witnessed(
                number,
                None if key == "-" else key,
                None if form == "-" else int(form),
                form != "-" and not text.endswith("!"),
            )
        )
    heard = [
        Heard(key, None if form == "-" else int(form))
        for key, form in (text.split(":") for text in callbacks.split())
    ]
    return compare(turns, heard)


@pytest.mark.parametrize(
    ("wire", "callbacks", "counts", "wire_only", "differing"),
    [
        ("", "", (0, 0, 0, 0), [], []),
        ("a:1 b:2", "a:1 b:2", (2, 0, 0, 0), [], []),
        ("a:1 -:2", "a:1", (1, 1, 0, 0), [1], []),
        ("a:1", "a:1 b:2", (1, 0, 1, 0), [], []),
        ("a:1", "a:2", (0, 0, 0, 1), [], [0]),
        ("a:- a:1", "a:1", (1, 1, 0, 0), [0], []),
        ("a:1 a:2", "a:1", (0, 1, 0, 1), [0], [1]),
        ("a:-", "a:-", (1, 0, 0, 0), [], []),
        ("a:1!", "a:-", (1, 0, 0, 0), [], []),
        ("a:1", "a:-", (0, 0, 0, 1), [], [0]),
        ("a:-", "a:1", (0, 0, 0, 1), [], [0]),
        ("c:1", "a:1", (0, 1, 1, 0), [0], []),
        ("b:2 a:1", "a:1 b:2", (2, 0, 0, 0), [], []),
    ],
)
def test_the_two_witnesses_are_joined(
    wire: str, callbacks: str, counts: tuple[int, ...], wire_only: list[int], differing: list[int]
):
    """Matched, hidden, bypassed, differing; repeats under one call, calls without an answer."""
    found = verdicts(wire, callbacks)
    assert found.counts == Crosscheck(*counts, collected=True)
    assert list(found.wire_only) == wire_only
    assert list(found.differing) == differing


KEYS = st.sampled_from("abcd")
FORMS = st.none() | st.integers(0, 2)


@given(
    st.lists(st.tuples(st.none() | KEYS, FORMS, st.booleans()), max_size=8),
    st.dictionaries(KEYS, FORMS, max_size=4),
)
def test_the_counts_add_up(turns: list[tuple[str | None, int | None, bool]], calls: dict[str, int | None]):
    """Every turn and every call is counted once, and every remark is about a turn that is there."""
    wire = [Witnessed(n, key, form, form is not None and whole) for n, (key, form, whole) in enumerate(turns)]
    found = compare(wire, [Heard(key, form) for key, form in calls.items()])
    counts = found.counts
    assert counts.matched + counts.wire_only + counts.differing == len(turns)
    assert counts.matched + counts.callback_only + counts.differing == len(calls)
    assert len(found.wire_only) == counts.wire_only
    assert len(found.differing) == counts.differing
    assert len({*found.wire_only, *found.differing}) == counts.wire_only + counts.differing
    assert all(turns[n][0] in calls for n in found.differing)
