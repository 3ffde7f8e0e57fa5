"""Answers in the Hermes form read from ids: thoughts in `<think>`, calls as JSON in `<tool_call>`."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from agentcore_rl_gateway.rendering.renderer import Parsed, ParsedCall
from agentcore_rl_gateway.rendering.vocabulary import Vocabulary

__all__ = ["parse_hermes", "read_call", "without_end"]

OPEN, CLOSE = b"<tool_call>", b"</tool_call>"
THINK, THOUGHT = b"<think>", b"</think>"

_BLANK = re.compile(r"[ \t\r\n]*")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def without_end(ids: Sequence[int], stop_ids: frozenset[int]) -> tuple[Sequence[int], bool]:
    """The ids in front of the first that ends an answer, and whether any stand behind it."""
    for at, one in enumerate(ids):
        if one in stop_ids:
            return ids[:at], at + 1 < len(ids)
    return ids, False


class _Reading:
    """The bytes of ids, in which a marker is found only where the model could have meant it.

    Where the vocabulary has a marker as one token, the same letters spelled by other tokens are text.
    """

    def __init__(self, vocabulary: Vocabulary, ids: Sequence[int]) -> None:
        pieces = vocabulary.pieces(ids)
        self.bytes = b"".join(pieces)
        self._starts = [0, *accumulate(map(len, pieces))]
        self._atoms = {
            self._starts[at]: pieces[at] for at, one in enumerate(ids) if vocabulary.is_control(one)
        }
        self._control = {name.encode() for name in vocabulary.control}

    def find(self, marker: bytes, start: int) -> int:
        """Place of the next such marker, or -1."""
        at = self.bytes.find(marker, start)
        while at >= 0 and marker in self._control and self._atoms.get(at) != marker:
            at = self.bytes.find(marker, at + 1)
        return at

    def text(self, start: int, end: int | None = None) -> str:
        return self.bytes[start:end].decode(errors="replace")

    def id_at(self, place: int) -> int:
        """Index of the id that the byte belongs to."""
        return max(0, bisect_right(self._starts, place) - 1)


def parse_hermes(
    vocabulary: Vocabulary,
    ids: Sequence[int],
    stop_ids: frozenset[int],
    *,
    thinks: bool,
    thinking: bool = False,
) -> Parsed:
    """What the ids say; raises nothing and looks at each byte a fixed number of times.

    Args:
        vocabulary: of the model.
        ids: that were sampled.
        stop_ids: that end an answer.
        thinks: `<think>` has a meaning for this model.
        thinking: the prompt has begun a thought already.
    """
    said, behind = without_end(ids, stop_ids)
    read = _Reading(vocabulary, said)
    notes = ["ids_behind_stop"] if behind else []
    start, reasoning, complete = 0, None, True
    if thinks:
        start, reasoning, complete = _thought(read, thinking)
    first = read.find(OPEN, start)
    if first < 0:
        content = read.text(start)
        return Parsed(content.strip(), reasoning, (), complete, "", tuple(notes))
    calls, end = _calls(read, first)
    trailing = read.text(end).strip() if end < len(read.bytes) else ""
    if trailing:
        notes.append("trailing_text")
    return Parsed(read.text(start, first).strip(), reasoning, tuple(calls), complete, trailing, tuple(notes))


def _thought(read: _Reading, thinking: bool) -> tuple[int, str | None, bool]:
    """Where the answer's visible part begins, the thought in front of it, and whether that was ended."""
    start = 0
    if not thinking:
        at = read.find(THINK, 0)
        if at < 0 or read.bytes[:at].strip():
            return 0, None, True
        start = at + len(THINK)
    end = read.find(THOUGHT, start)
    if end >= 0:
        return end + len(THOUGHT), read.text(start, end).strip(), True
    # A call ends a thought, as engines read it.
    call = read.find(OPEN, start)
    place = len(read.bytes) if call < 0 else call
    return place, read.text(start, place).strip(), call >= 0


def _calls(read: _Reading, first: int) -> tuple[list[ParsedCall], int]:
    """All calls from the first marker on, and the place behind the last."""
    calls: list[ParsedCall] = []
    opened, end = first, first
    while opened >= 0:
        inside = opened + len(OPEN)
        closed = read.find(CLOSE, inside)
        if closed < 0:
            end = len(read.bytes)
            span = (read.id_at(opened), read.id_at(end))
            calls.append(ParsedCall("unclosed", None, None, read.text(inside), span))
            break
        end = closed + len(CLOSE)
        raw = read.text(inside, closed)
        name, arguments = read_call(raw)
        status = "ok" if name is not None and arguments is not None else "invalid"
        span = (read.id_at(opened), read.id_at(end - 1) + 1)
        calls.append(ParsedCall("ok" if status == "ok" else "invalid", name, arguments, raw, span))
        opened = read.find(OPEN, end)
    return calls, end


def read_call(raw: str) -> tuple[str | None, str | None]:
    """Name and arguments of a call's JSON, the arguments as they stand in the text.

    None for what is not there once and of its type: a name that is text, arguments that are an object.
    """
    names: list[str | None] = []
    arguments: list[str | None] = []
    try:
        at = _beyond(raw, 0, "{")
        while True:
            key, at = _DECODER.raw_decode(raw, at)
            at = _beyond(raw, at, ":")
            value, end = _DECODER.raw_decode(raw, at)
            if key == "name":
                names.append(value if isinstance(value, str) and value else None)
            elif key == "arguments":
                arguments.append(raw[at:end] if isinstance(value, dict) else None)
            at = _blank(raw, end)
            if raw[at : at + 1] != ",":
                break
            at = _blank(raw, at + 1)
        at = _beyond(raw, at, "}")
        if at != len(raw):
            return None, None
    except (ValueError, RecursionError):
        return None, None
    return (names[0] if len(names) == 1 else None, arguments[0] if len(arguments) == 1 else None)


def _blank(raw: str, at: int) -> int:
    found = _BLANK.match(raw, at)
    return at if found is None else found.end()


def _beyond(raw: str, at: int, letter: str) -> int:
    at = _blank(raw, at)
    if raw[at : at + 1] != letter:
        raise ValueError(f"no {letter}")
    return _blank(raw, at + 1)
