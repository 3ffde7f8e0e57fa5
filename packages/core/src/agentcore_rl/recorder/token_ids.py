"""Token ids of a rollout's turns, each stored once: a prompt's as what they add to the parent turn's."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from agentcore_rl.recorder.calls import Answer
from agentcore_rl.turn import Tokens

__all__ = ["place_tokens"]


def place_tokens(answer: Answer, ancestors: Iterable[Tokens | None]) -> Tokens | None:
    """The ids of a turn, as a record holds them.

    Args:
        answer: what the server gave.
        ancestors: the ids of the turns behind this one, root first.

    Returns:
        None when the server gave none.
    """
    if answer.answer_ids is None and answer.prompt_ids is None:
        return None
    keep, new = 0, answer.prompt_ids
    if new is not None:
        keep = _shared(_whole(ancestors), new)
        new = new[keep:]
    return Tokens(keep, new, answer.answer_ids or (), answer.logprobs)


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


def _shared(one: array[int], other: array[int]) -> int:
    """Length of the common beginning; compares slices, so that long ones cost little."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
