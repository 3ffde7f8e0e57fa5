"""The two witnesses compared: turns on the wire against calls that callbacks saw."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agentcore_rl.rollout import Crosscheck

__all__ = ["Heard", "Verdicts", "Witnessed", "compare"]


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A turn as the wire saw it.

    Attributes:
        turn: its id.
        callback: key of the callback's call that was under way; None when there was none.
        form: number of the answer's canonical form; None without an answer.
        whole: the answer did not break off.
    """

    turn: int
    callback: str | None
    form: int | None
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Heard:
    """A call as the framework's callbacks saw it.

    Attributes:
        key: names the call.
        form: number of the answer's canonical form; None when it ended without one.
        silent: it does not say what the answer was, if there was one.
    """

    key: str
    form: int | None
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The counts, and which turns deserve a remark."""

    counts: Crosscheck
    wire_only: Sequence[int]
    differing: Sequence[int]


def compare(wire: Iterable[Witnessed], callbacks: Iterable[Heard]) -> Verdicts:
    """Join the two by the callback's key.

    Of several turns under one callback (a framework that retries by itself) the last one is its
    answer and the others are wire only. A callback that ended without an answer matches a turn
    without one, or with a part of one; a silent one matches whatever came.
    """
    under: dict[str, list[Witnessed]] = {}
    wire_only: list[int] = []
    for turn in wire:
        if turn.callback is None:
            wire_only.append(turn.turn)
        else:
            under.setdefault(turn.callback, []).append(turn)
    matched, callback_only = 0, 0
    differing: list[int] = []
    for call in callbacks:
        turns = under.pop(call.key, [])
        if not turns:
            callback_only += 1
            continue
        *earlier, last = turns
        wire_only.extend(turn.turn for turn in earlier)
        if call.silent or last.form == call.form or (call.form is None and not last.whole):
            matched += 1
        else:
            differing.append(last.turn)
    wire_only.extend(turn.turn for turns in under.values() for turn in turns)
    counts = Crosscheck(matched, len(wire_only), callback_only, len(differing), collected=True)
    return Verdicts(counts, sorted(wire_only), differing)
