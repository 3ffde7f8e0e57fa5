"""One call between the server and what answers it: the `Mode` protocol and what passes through it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from agentcore_rl_gateway.chat import Ask
from agentcore_rl_gateway.lineage import IdText
from agentcore_rl_gateway.sessions import Session

__all__ = ["GIVEN_UP", "Call", "Finished", "Mode", "Origin", "PastTurn"]

GIVEN_UP = frozenset({"abort", "aborted", "cancelled", "error"})
"""Finish reasons of answers that were not sampled to their end."""


@dataclass(frozen=True, slots=True)
class PastTurn:
    """An answered call as the log has it, put together again.

    Attributes:
        messages, request, body, response_id, policy_version: as in `CallAnswered`.
        prompt: all ids of it, packed.
        answer: the sampled ids.
        logprobs: of these; None for a hole, and as a whole where there are none.
        masked: [first, last + 1, reason] of these that must not train.
        parent: response id of the turn whose ids the prompt extends; None for none.
    """

    messages: bytes
    request: bytes
    body: bytes
    response_id: str
    policy_version: int | None
    prompt: bytes
    answer: Sequence[int]
    logprobs: Sequence[float | None] | None
    masked: Sequence[tuple[int, int, str]]
    parent: str | None


class Call(msgspec.Struct):
    """A call that is being answered.

    Attributes:
        session: whose it is.
        number: of the call in its session.
        ask: what is asked for.
        policy_version: in force for the whole call.
        emit: sends one chunk (a JSON object) of a stream now; a mode may leave everything to the end.
        sampled: ids known to be sampled so far, for the count of what a broken call leaves.
        past: the session's answered calls that have ids, oldest first, from the log.
    """

    session: Session
    number: int
    ask: Ask
    policy_version: int | None
    emit: Callable[[bytes], Awaitable[None]]
    sampled: int = 0
    past: Callable[[], Iterator[PastTurn]] | None = None

    def claim(self, response_id: str) -> str:
        """The id that its answer may have in the session, from the one that the engine gave it."""
        return self.session.claim(response_id, self.number)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a mode that owns the history says that a prompt comes from.

    Attributes:
        parent: response id of the turn whose ids it extends; None for none.
        fork: why it extends none although a conversation is under way; None otherwise.
    """

    parent: str | None
    fork: str | None


class Finished(msgspec.Struct):
    """A whole answer that has not reached its client yet.

    Attributes:
        response_id: its id.
        body: one chat completion without token ids, JSON.
        chunks: of a stream, the chunks (JSON objects) that are still to be sent; the one that has the
            finish reason is `last`.
        last: index into `chunks`.
        prompt: the prompt's ids, packed or as text; None where the engine gave none.
        answer: sampled ids, packed; None where the engine gave none.
        logprobs: of `answer`, f64 little-endian, NaN for holes; None for none.
        masked: [first, last + 1, reason] of ids that must not train.
        remarks: what keeps the turn from being the whole truth.
        restored: what the client's messages lacked of earlier answers and the prompt has, by kind.
        origin: set where the mode knows better than a comparison of ids.
        kept: called once the answer is in the log; puts the turn into the mode's history.
    """

    response_id: str
    body: bytes
    chunks: list[bytes] = []
    last: int = 0
    prompt: bytes | IdText | None = None
    answer: bytes | None = None
    logprobs: bytes | None = None
    masked: list[tuple[int, int, str]] = []
    remarks: list[str] = []
    restored: Mapping[str, int] = {}
    origin: Origin | None = None
    kept: Callable[[], None] | None = None


class Mode(Protocol):
    """How calls are answered: with ids of ours (token-in), or by carrying messages (capture)."""

    name: str

    async def start(self) -> None:
        """Reach the engine and find out what it can do; raises `ConfigurationError` where it cannot serve."""
        ...

    async def answer(self, call: Call) -> Finished:
        """Answer one call; raises `CallRefused` where it cannot be."""
        ...

    def delivered(self, session: Session, response_id: str, reached: bool) -> None:
        """An answer that is in the log did not reach its client, or did by a repeated call after all."""
        ...

    async def models(self) -> Sequence[dict[str, Any]]:
        """OpenAI model cards of what is served."""
        ...

    async def ready(self) -> bool:
        """Whether the engine answers now."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
