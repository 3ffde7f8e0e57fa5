"""Sampled ids beside their logprobs, as engines report them: joined by id, never by position.

An engine may leave entries out: llama.cpp has none for an id that leaves a character unfinished. Joined by
position, every logprob behind the first emoji would belong to another id. Where an entry may belong to more
than one of several equal ids (the last two bytes of some characters are one id, twice), it is joined to none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["NO_LOGPROB", "ROUNDING", "Aligned", "align", "spans"]

NO_LOGPROB = "engine_no_logprob"
"""Why an id is masked: it was sampled, and the engine did not say how likely it was."""

ROUNDING = 1e-4
"""A logprob above it is none; that of a token that is certain may end above zero."""


@dataclass(slots=True)
class Aligned:
    """One logprob for each id; None where there is none, and then `masked` says so.

    Attributes:
        logprobs: natural logarithms; None as a whole when no entry could be joined.
        masked: [first, last + 1, reason].
    """

    logprobs: list[float | None] | None
    masked: list[tuple[int, int, str]] = field(default_factory=list)


def align(ids: Sequence[int], entries: Sequence[tuple[int | None, Any]]) -> Aligned:
    """Join ids with (id, logprob) entries in order; an entry without an id needs as many as there are ids.

    A logprob that is no finite number at or below zero counts as missing, never as 0.0.
    """
    if not ids:
        return Aligned([])
    if all(known is not None for known, _ in entries) and entries:
        found = _walk(ids, entries)
    elif len(entries) == len(ids):
        found = [_logprob(value) for _, value in entries]
    else:
        found = None
    if found is None or all(value is None for value in found):
        return Aligned(None, [(0, len(ids), NO_LOGPROB)])
    return Aligned(found, [(first, last, NO_LOGPROB) for first, last in spans(found)])


def _walk(ids: Sequence[int], entries: Sequence[tuple[int | None, Any]]) -> list[float | None] | None:
    """Logprobs of ids of which the entries are a subsequence; None when they are not."""
    found: list[float | None] = [None] * len(ids)
    names = [known for known, _ in entries]
    first = _earliest(ids, names)
    if first is None:
        return None
    latest = first
    if len(ids) != len(names):
        behind = _earliest(ids[::-1], names[::-1]) or []
        latest = [len(ids) - 1 - at for at in reversed(behind)]
    for at, other, (_, value) in zip(first, latest, entries, strict=True):
        if at == other:  # else it may belong to any of several
            found[at] = _logprob(value)
    return found


def _earliest(ids: Sequence[int], names: Sequence[int | None]) -> list[int] | None:
    """The first place that each of the names, in their order, can have in the ids; None when one has none."""
    places = []
    at = 0
    for name in names:
        while at < len(ids) and ids[at] != name:
            at += 1
        if at == len(ids):
            return None
        places.append(at)
        at += 1
    return places


def _logprob(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer of hundreds of digits
        return None
    return number if math.isfinite(number) and number <= ROUNDING else None


def spans(values: Sequence[float | None]) -> list[tuple[int, int]]:
    """The runs of None, as [first, last + 1]."""
    runs: list[tuple[int, int]] = []
    for at, value in enumerate(values):
        if value is None:
            if runs and runs[-1][1] == at:
                runs[-1] = (runs[-1][0], at + 1)
            else:
                runs.append((at, at + 1))
    return runs
