"""The paths of a rollout's turns: where each is drawn, and which turns make a branch."""

from __future__ import annotations

from collections.abc import Sequence

from agentcore_rl.rollout import Turn

__all__ = ["branches", "lanes"]


def branches(turns: Sequence[Turn]) -> list[list[int]]:
    """Every path from a root to a turn that none extends, as ids, in the order of their last turns.

    Args:
        turns: all turns of a rollout, in the order of their ids.
    """
    parents = {turn.id: turn.parent for turn in turns}
    extended = {turn.parent for turn in turns}
    paths = []
    for turn in turns:
        if turn.id in extended:
            continue
        path: list[int] = []
        at: int | None = turn.id
        while at is not None:
            path.append(at)
            at = parents[at]
        paths.append(path[::-1])
    return paths


def lanes(turns: Sequence[Turn]) -> dict[int, int]:
    """The column of each turn: a branch goes straight down, what forks off stands further right.

    Args:
        turns: all turns of a rollout, in the order of their ids.
    """
    lane_of: dict[int, int] = {}
    continued: set[int] = set()
    used = 0
    for turn in turns:
        if turn.parent is not None and turn.parent not in continued:
            continued.add(turn.parent)
            lane_of[turn.id] = lane_of[turn.parent]
        else:
            lane_of[turn.id] = used
            used += 1
    return lane_of
