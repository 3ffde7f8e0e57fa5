"""Token ids of a rollout's turns, each stored once: a prompt's as what they add to the parent turn's."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from agentcore_rl.recorder.calls import Answer
from agentcore_rl.turn import Tokens

__all__ = ["common_length", "place_tokens"]


def place_tokens(
    answer: Answer,
    ancestors: Iterable[Tokens | None],
    named: Iterable[Tokens | None] | None = None,
) -> Tokens | None:
    """The ids of a turn, as a record holds them.

    Args:
        answer: what the server gave.
        ancestors: the ids of the turns behind this one, root first.
        named: where the answer names an earlier one that its prompt adds to, the ids of that turn and of
            those behind it, root first; None where that turn is not known.

    Returns:
        None when the server gave none.
    """
    if answer.prompt_rest is not None and answer.prompt_ids is None:
        answer.prompt_ids = _joined(answer.prompt_rest, named)
        if answer.prompt_ids is None:
            answer.remarks.append("prompt_ids_unknown")
    if answer.answer_ids is None and answer.prompt_ids is None:
        return None
    keep, new = 0, answer.prompt_ids
    if new is not None:
        keep = common_length(_whole(ancestors), new)
        new = new[keep:]
    return Tokens(keep, new, answer.answer_ids or (), answer.logprobs)


def _joined(
    rest: tuple[str | None, int, array[int]], named: Iterable[Tokens | None] | None
) -> array[int] | None:
    """A prompt that was given as what it adds; None where what it adds to is not known."""
    _, keep, new = rest
    before = array("I") if named is None else _whole(named)
    return before[:keep] + new if len(before) >= keep else None


def _whole(line: Iterable[Tokens | None]) -> array[int]:
    """All ids up to the last of these turns' answer. Put together anew: kept, they would double."""
    full = array("I")
    for tokens in line:
        if tokens is None or tokens.prompt_new is None:
            full = array("I")  # as readers do: nothing is known behind such a turn
            continue
        del full[tokens.prompt_keep :]
        full.extend(tokens.prompt_new)
        full.extend(tokens.answer)
    return full


def common_length(one: array[int] | bytes, other: array[int] | bytes) -> int:
    """Length of the common beginning of two of a kind; compares slices, so that long ones cost little."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:  # slices are copies, and still faster than views compared by element
        return high
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
