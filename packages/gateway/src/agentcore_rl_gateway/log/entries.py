"""What stands in the call log: sessions, calls, how their answers fared, policy versions.

Long things are stored once. A call's messages and its prompt's token ids name an earlier call of the session
(`basis`), how much of it they begin with, and what comes behind.
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = [
    "CallAnswered",
    "CallFailed",
    "Entry",
    "PolicySet",
    "Recovered",
    "SessionClosed",
    "SessionOpened",
    "Undelivered",
]


class SessionOpened(msgspec.Struct, frozen=True, tag="open", omit_defaults=True):
    """A rollout's key was issued.

    Attributes:
        session: its id.
        key_digest: sha256 of the key; the key itself is nowhere stored.
        expires: seconds since the epoch.
        model: the model that it may use; None for any that is served.
        sampling: parameters that win over the agent's.
    """

    session: str
    key_digest: bytes
    expires: float
    model: str | None = None
    sampling: dict[str, Any] = {}


class SessionClosed(msgspec.Struct, frozen=True, tag="close"):
    """A session ended. `reason` is "revoked" or "expired"."""

    session: str
    reason: str


class CallAnswered(msgspec.Struct, frozen=True, tag="call", omit_defaults=True):
    """One call with its whole answer; written before the answer's last byte leaves.

    Attributes:
        session: whose it is.
        number: of the call in its session, from 0.
        response_id: the answer's id.
        call_id: the client's idempotency id; empty when it sent none.
        checksum: 64 bits of sha256 of the client's request, by which a repeated call is known to be the same.
        basis: number of the call that messages and prompt ids begin with; None for neither.
        messages_keep: leading bytes of the basis' messages (JSON) that are these messages' own.
        messages_new: the bytes behind them.
        request: every other field of the request as the engine got it, JSON.
        body: the answer without token ids, as one chat completion, JSON.
        parent: response id of the call whose ids the prompt extends; None for none.
        prompt_keep: leading ids of the basis (prompt, then answer) that are this prompt's own.
        prompt_new: ids behind them, u32 little-endian; None when the engine gave no prompt ids.
        answer: sampled ids, u32 little-endian; None when the engine gave none.
        logprobs: of the sampled ids, f64 little-endian, NaN where `masked` has a reason; None for none.
        masked: [first, last + 1, reason] of sampled ids that must not train.
        remarks: what keeps this turn from being the whole truth ("constrained", "no_token_ids", ...).
        restored: messages that lacked something of an answer which the prompt has all the same, by kind.
        fork: why the prompt does not extend an earlier turn; None when it does, or begins a conversation.
        policy_version: of the policy that sampled; None when unknown.
        began: seconds since the epoch.
        seconds: from the request to the end of the answer.
    """

    session: str
    number: int
    response_id: str
    request: bytes
    body: bytes
    began: float
    seconds: float
    call_id: str = ""
    checksum: int = 0
    basis: int | None = None
    messages_keep: int = 0
    messages_new: bytes = b""
    parent: str | None = None
    prompt_keep: int = 0
    prompt_new: bytes | None = None
    answer: bytes | None = None
    logprobs: bytes | None = None
    masked: list[tuple[int, int, str]] = []
    remarks: list[str] = []
    restored: dict[str, int] = {}
    fork: str | None = None
    policy_version: int | None = None


class CallFailed(msgspec.Struct, frozen=True, tag="fail", omit_defaults=True):
    """A call without a whole answer; it is never a training row.

    Attributes:
        status: HTTP status that the client got; 0 when it left first.
        reason: one sentence.
        sampled: ids that are known to have been sampled before it broke.
    """

    session: str
    number: int
    status: int
    reason: str
    call_id: str = ""
    sampled: int = 0


class Undelivered(msgspec.Struct, frozen=True, tag="lost"):
    """The client had left before the answer's last byte; a repeated call may still fetch it."""

    session: str
    number: int


class Recovered(msgspec.Struct, frozen=True, tag="found"):
    """The answer of a call that was undelivered reached its client by a repeated call."""

    session: str
    number: int


class PolicySet(msgspec.Struct, frozen=True, tag="policy"):
    """Calls that begin from here on are sampled by this policy version."""

    version: int


Entry = SessionOpened | SessionClosed | CallAnswered | CallFailed | Undelivered | Recovered | PolicySet
"""Everything that a frame may hold, as MessagePack."""
