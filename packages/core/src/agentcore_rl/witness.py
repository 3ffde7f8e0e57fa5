"""What two parties who saw a rollout's answers can compare: a digest of response ids and sampled ids.

A gateway and a record each make it from what they hold. Equal digests say that every answer which either
of them counts is, id for id, the other's too. Turns count once, in the order of their response ids, since
calls that ran at the same time have no other order that both sides know.

    digest = sha256 over, for each answered turn in the order of response ids: sha256 of that turn
    turn   = response id in UTF-8 | 0x00 | the sampled ids, u32 little-endian
             (only the response id and 0x01 where the server gave no ids)
"""

from __future__ import annotations

import hashlib
import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from agentcore_rl.turn import Transcript
from agentcore_rl.turns import Turns

if TYPE_CHECKING:
    from agentcore_rl.rollout import Rollout

__all__ = ["combined_digest", "rollout_digest", "turn_digest"]


def turn_digest(response_id: str, answer_ids: Sequence[int] | bytes | None) -> bytes:
    """The digest of one answered turn.

    Args:
        response_id: the answer's id.
        answer_ids: what was sampled, or the same as little-endian u32 bytes; None where it is not known.
    """
    if answer_ids is None:
        return hashlib.sha256(response_id.encode() + b"\x01").digest()
    if not isinstance(answer_ids, bytes):
        ids = array("I", answer_ids)
        if sys.byteorder == "big":
            ids.byteswap()
        answer_ids = ids.tobytes()
    return hashlib.sha256(response_id.encode() + b"\x00" + answer_ids).digest()


def combined_digest(turns: Mapping[str, bytes] | Iterable[tuple[str, bytes]]) -> str:
    """The digest of a rollout, in hexadecimal.

    Args:
        turns: response id -> `turn_digest`.
    """
    pairs = dict(turns)
    return hashlib.sha256(b"".join(pairs[name] for name in sorted(pairs))).hexdigest()


def rollout_digest(rollout: Rollout | Transcript) -> str:
    """The digest of a record (or of a transcript): its turns that have a whole answer and a response id."""
    return combined_digest(
        (turn.stored.response_id, turn_digest(turn.stored.response_id, turn.answer_ids))
        for turn in Turns(rollout)
        if turn.stored.answer is not None and turn.stored.response_id is not None
    )
