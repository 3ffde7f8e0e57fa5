"""How a page carries what it shows: gzip and base 85 in script blocks that no browser runs.

A block's text has only base 85's characters (without `<`), so nothing in a record can close it. Rollouts are
carried in chunks, each of two blocks that the page inflates when a rollout is opened, and when its tokens are
asked for:

    chunk-N   the rollouts as JSON texts, each behind a record separator (RFC 7464): a byte that JSON cannot
              contain, so that one rollout is parsed without the others
    tokens-N  u32 number of ids, u32 number of logprobs; the first byte of every id, the second of every id,
              the third, the fourth; a byte for every logprob. Little-endian. Bytes of one kind side by side
              compress to what they tell; in JSON they would take twice as much.

A logprob's byte is a number in `SURPRISES`: two digits of it, which is what a colour and a glance need. The
record has all of them.
"""

from __future__ import annotations

import gzip
import struct
import sys
from array import array
from base64 import b85encode
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise

__all__ = ["PER_CHUNK", "SEPARATOR", "SURPRISES", "Chunks", "TokenColumns", "block"]

PER_CHUNK = 64
"""Rollouts in a chunk: small enough to open at once, large enough to compress well."""
SEPARATOR = b"\x1e"
"""Stands before every rollout in a chunk."""
SURPRISES = (
    *(step / 1000 for step in range(101)),
    *(step / 100 for step in range(11, 101)),
    *(step / 10 for step in range(11, 61)),
    *(float(step) for step in range(7, 22)),
)
"""What a logprob's byte stands for, without the sign: steps of 0.001 to 0.1, 0.01 to 1, 0.1 to 6, 1 to 21."""
_CHUNK_BYTES = 4 * 1024 * 1024
_LEVEL = 6


def block(name: str, content: bytes) -> bytes:
    """A script block with this content; `name` is its element's id."""
    # The time would make equal reports differ. `<` alone could begin anything that HTML knows.
    packed = b85encode(gzip.compress(content, _LEVEL, mtime=0)).replace(b"<", b",")
    return b'<script type="application/x-gzip" id="%s">%s</script>\n' % (name.encode("ascii"), packed)


class TokenColumns:
    """The token ids and logprobs of a chunk's rollouts, one behind the other.

    Attributes:
        ids: the ids.
    """

    def __init__(self) -> None:
        self.ids = array("I")
        self._surprises = bytearray()

    @property
    def size(self) -> int:
        """How many bytes they are."""
        return 4 * len(self.ids) + len(self._surprises)

    @property
    def place(self) -> tuple[int, int]:
        """Where the next ids and the next logprobs will begin."""
        return len(self.ids), len(self._surprises)

    def add_ids(self, ids: Sequence[int]) -> None:
        """Take ids."""
        self.ids.extend(ids)

    def add_logprobs(self, logprobs: Sequence[float]) -> bool:
        """Take logprobs. False, and none is taken, where one of them has no byte."""
        if not all(_LEAST <= value <= 0 for value in logprobs):
            return False
        self._surprises.extend([_BYTE_OF[round(-1000 * value)] for value in logprobs])
        return True

    def packed(self) -> bytes:
        """What a block of tokens holds."""
        raw, size = self.ids.tobytes(), self.ids.itemsize
        places = range(size) if sys.byteorder == "little" else range(size - 1, -1, -1)
        columns = [raw[place::size] for place in places]
        return struct.pack("<II", len(self.ids), len(self._surprises)) + b"".join([*columns, self._surprises])


# The byte of every thousandth: the nearest of SURPRISES.
_LEAST = -SURPRISES[-1]
_MIDDLES = [500 * (low + high) for low, high in pairwise(SURPRISES)]
_BYTE_OF = bytes(bisect_left(_MIDDLES, step) for step in range(round(1000 * SURPRISES[-1]) + 1))


class Chunks:
    """Collects rollouts until a chunk is full.

    Attributes:
        tokens: where the tokens of the next rollout go.
    """

    def __init__(self) -> None:
        self.tokens = TokenColumns()
        self._texts: list[bytes] = []
        self._size = 0
        self._sealed = 0

    def add(self, text: bytes) -> tuple[int, int]:
        """Take one rollout's JSON; the number of its chunk and its place in it."""
        self._texts.append(text)
        self._size += len(text)
        return self._sealed, len(self._texts) - 1

    @property
    def full(self) -> bool:
        """Whether it is time to `seal`."""
        return len(self._texts) >= PER_CHUNK or self._size + self.tokens.size >= _CHUNK_BYTES

    def seal(self) -> Iterator[bytes]:
        """The blocks of what was collected since the last time; none where nothing was."""
        if self._texts:
            yield block(f"chunk-{self._sealed}", b"".join(SEPARATOR + text for text in self._texts))
            if self.tokens.size:
                yield block(f"tokens-{self._sealed}", self.tokens.packed())
            self.tokens, self._texts, self._size = TokenColumns(), [], 0
            self._sealed += 1
