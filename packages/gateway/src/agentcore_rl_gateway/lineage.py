"""What a session's calls have in common: messages and prompts as what they add to an earlier call's.

A conversation re-sends all that was said. Kept whole, fifty turns to 32k tokens would cost twenty-five
times the last prompt; kept as what each adds, they cost the last prompt once. Only the tips of a session's
conversations are held in memory, and their beginnings are compared as bytes.
"""

from __future__ import annotations

import sys
from array import array
from typing import Any

import msgspec

__all__ = ["IdText", "Lineage", "Placed", "packed", "packed_text", "unpacked"]

MOST_TIPS = 32
"""Conversations of a session that are held at once; of more, the oldest is stored whole when it goes on."""

FEW_TIPS = 8
MOST_HELD = 2**24
"""Bytes that more than a few of them may hold."""
MOST_TWINS = 8
"""Calls with the same messages that are held at once."""

_PART_BYTES = 2**18
_NEAR = 8
"""Bytes at which most of what has little in common has parted."""
_IDS = msgspec.json.Decoder(list[int])


def packed(ids: list[int] | array[int]) -> bytes:
    """Ids as u32, little-endian.

    Raises:
        OverflowError: one is negative or too large to be a token id.
    """
    values = ids if isinstance(ids, array) and ids.typecode == "I" else array("I", ids)
    if sys.byteorder == "big":
        values = array("I", values)
        values.byteswap()
    return values.tobytes()


def unpacked(content: bytes) -> array[int]:
    """The ids in these bytes."""
    values = array("I")
    values.frombytes(content)
    if sys.byteorder == "big":
        values.byteswap()
    return values


class IdText(msgspec.Struct, frozen=True, gc=False):
    """A prompt's ids as an engine wrote them: the inside of a JSON list."""

    text: bytes


class _Role(msgspec.Struct):
    role: Any = None


_ROLES = msgspec.json.Decoder(list[_Role])


class Placed(msgspec.Struct, frozen=True):
    """A call relative to an earlier one; the fields are those of `CallAnswered`, and further ones.

    Attributes:
        basis_id: response id of the earlier one.
        prompt: all ids of the prompt, packed; None where they are not known.
        extends: the prompt begins with all ids of the earlier one's prompt and answer.
        inside_answer: it leaves them inside the answer.
        goes_on: the messages begin with all of the earlier one's.
        twins: further calls had the same messages as the earlier one, so that these do not tell which of them
            is gone on with.
    """

    basis: int | None
    basis_id: str | None
    messages_keep: int
    messages_new: bytes
    prompt_keep: int
    prompt_new: bytes | None
    prompt: bytes | None
    extends: bool
    inside_answer: bool
    goes_on: bool
    twins: bool

    @property
    def follows(self) -> bool:
        """Whoever sent this prompt has read the earlier one's answer: it is in it.

        Of calls that run at once, each may be placed on one whose answer its client reads later.
        """
        if self.extends or self.twins:
            return self.extends
        return self.goes_on and _begins_with_answer(self.messages_new)


class _Tip(msgspec.Struct, gc=False):
    number: int
    response_id: str
    messages: bytes
    stem: memoryview  # the messages without their closing bracket: where others go on, they have a comma
    text: bytes
    prompt: bytes | None
    answer: bytes


class Lineage:
    """The tips of one session's conversations."""

    def __init__(self) -> None:
        self._tips: list[_Tip] = []

    def __len__(self) -> int:
        return len(self._tips)

    @property
    def held(self) -> int:
        """Bytes that the tips hold."""
        return sum(
            len(tip.messages) + len(tip.text) + len(tip.prompt or b"") + len(tip.answer) for tip in self._tips
        )

    def add(
        self,
        number: int,
        response_id: str,
        messages: bytes,
        prompt: bytes | IdText | None,
        answer: bytes | None,
    ) -> Placed:
        """Place a call behind those before it, and hold it as a tip.

        Args:
            number: of the call in its session.
            response_id: the answer's id.
            messages: a JSON list.
            prompt: the prompt's ids, packed or as text; None where they are not known.
            answer: the sampled ids, packed; None where they are not known.

        Raises:
            ValueError: the text of the ids is no list of ids.
            OverflowError: one is no token id.
        """
        nearest, keep = self._nearest(messages)
        tip = nearest[0] if nearest else None
        text = prompt.text if isinstance(prompt, IdText) else b""
        ids = _packed_text(text, tip) if isinstance(prompt, IdText) else prompt
        if len(nearest) > 1 and ids is not None:
            extended = (one for one in nearest if one.prompt and ids.startswith(one.prompt + one.answer))
            tip = next(extended, tip)
        ids_keep, extends, inside = 0, False, False
        if tip is not None and tip.prompt is not None and ids is not None:
            same = _common(tip.prompt, ids)
            if same == len(tip.prompt):
                inside = True
                same += _common(tip.answer, ids, same)
            ids_keep = same // 4
            extends = ids_keep * 4 == len(tip.prompt) + len(tip.answer)
            inside = inside and not extends
        placed = Placed(
            basis=None if tip is None else tip.number,
            basis_id=None if tip is None else tip.response_id,
            messages_keep=keep,
            messages_new=messages[keep:],
            prompt_keep=ids_keep,
            prompt_new=None if ids is None else ids[ids_keep * 4 :],
            prompt=ids,
            extends=extends,
            inside_answer=inside,
            goes_on=tip is not None and keep == len(tip.stem) and len(messages) > len(tip.messages),
            twins=len(nearest) > 1,
        )
        over = tip if placed.goes_on else None
        if len(nearest) >= MOST_TWINS and messages == nearest[-1].messages:
            over = nearest[-1]
        self._hold(number, response_id, messages, text, ids, answer, over)
        return placed

    def restore(self, number: int, response_id: str, stored: Any) -> None:
        """Hold a call again that was placed before, from its `CallAnswered`."""
        tip = next((tip for tip in self._tips if tip.number == stored.basis), None)
        messages = (tip.messages[: stored.messages_keep] if tip else b"") + stored.messages_new
        prompt = None
        if stored.prompt_new is not None:
            whole = (tip.prompt or b"") + tip.answer if tip else b""
            prompt = whole[: stored.prompt_keep * 4] + stored.prompt_new
        gone_on = (
            tip is not None and stored.messages_keep == len(tip.stem) and len(messages) > len(tip.messages)
        )
        over = tip if gone_on else None
        self._hold(number, response_id, messages, b"", prompt, stored.answer, over)

    def _hold(
        self,
        number: int,
        response_id: str,
        messages: bytes,
        text: bytes,
        prompt: bytes | None,
        answer: bytes | None,
        over: _Tip | None,
    ) -> None:
        """A new tip; `over` is one of which all is the new one's beginning."""
        if over is not None:
            self._tips.remove(over)
        stem = memoryview(messages)[:-1]
        self._tips.append(_Tip(number, response_id, messages, stem, text, prompt, answer or b""))
        while len(self._tips) > FEW_TIPS and (len(self._tips) > MOST_TIPS or self.held > MOST_HELD):
            del self._tips[0]

    def _nearest(self, messages: bytes) -> tuple[list[_Tip], int]:
        """The tips with the longest common beginning, if that is worth naming, and its length.

        There are several where calls had the same messages; the latest is the first.
        """
        best: list[_Tip] = []
        length, most = 1, len(messages) - 1  # an opening bracket is no conversation
        for tip in reversed(self._tips):
            size = len(tip.stem)
            if length <= size <= most and messages.startswith(tip.stem):
                best = [*best, tip] if size == length else [tip]
                length = size
        for tip in reversed(self._tips):
            if length == most:
                break  # none can have more in common
            if len(tip.stem) > length and messages.startswith(tip.stem[: length + 1]):
                same = _common(tip.stem[:most], messages)
                if same > length:
                    best, length = [tip], same
        return best, length if best else 0


def _common(one: bytes | memoryview, other: bytes, at: int = 0) -> int:
    """Length of the common beginning of one and what is at a place of the other, without a copy of either."""
    if other.startswith(one, at):
        return len(one)
    view = memoryview(one)
    low, high = 0, min(len(view), len(other) - at)
    if other.startswith(view[:high], at):
        return high
    if not other.startswith(view[:_NEAR], at):
        high = min(high, _NEAR - 1)
    while low < high:
        middle = (low + high + 1) // 2
        if other.startswith(view[low:middle], at + low):
            low = middle
        else:
            high = middle - 1
    return low


def _begins_with_answer(rest: bytes) -> bool:
    """Whether the rest of a list of messages begins with an answer."""
    try:
        roles = _ROLES.decode(b"[" + rest.lstrip(b" \n\r\t,"))
    except (ValueError, RecursionError):
        return False
    return bool(roles) and roles[0].role == "assistant"


def packed_text(text: bytes) -> bytes:
    """The ids of a list's inside, read in parts so that other threads get their turns.

    Raises:
        ValueError: it is no list of ids.
        OverflowError: one is no token id.
    """
    parts, at = [], 0
    while at < len(text):
        end = text.find(b",", at + _PART_BYTES)
        end = len(text) if end < 0 else end
        parts.append(packed(_IDS.decode(b"[" + text[at:end] + b"]")))
        at = end + 1
    return b"".join(parts)


def _packed_text(text: bytes, tip: _Tip | None) -> bytes:
    """The ids of a text; of what it has in common with the tip's, nothing is read again."""
    before = tip.text if tip is not None else b""
    prompt = tip.prompt if tip is not None else None
    same = _common(before, text) if before and prompt else 0
    if same < len(before) or text[same : same + 1] not in (b",", b""):
        same = text.rfind(b",", 0, same)  # the id that it ends in may be another one
    if same <= 0 or prompt is None or same == len(text) - 1:
        return packed(_IDS.decode(b"[" + text + b"]"))
    ids = len(prompt) if same == len(before) else 4 * (before.count(b",", 0, same) + 1)
    return prompt[:ids] + packed(_IDS.decode(b"[" + text[same + 1 :] + b"]"))
