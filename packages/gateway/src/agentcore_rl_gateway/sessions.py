"""Sessions: who may call, with what, until when; and what their calls came to. No I/O.

A session belongs to one rollout. Its key is made here, told once, and kept as a hash only.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentcore_rl.witness import combined_digest, turn_digest
from agentcore_rl_gateway.chat import new_id
from agentcore_rl_gateway.lineage import Lineage
from agentcore_rl_gateway.log import CallAnswered, CallFailed, Place, SessionOpened
from agentcore_rl_gateway.refusals import CallRefused

__all__ = ["Counts", "Session", "Sessions", "key_digest"]

KEY_PREFIX = "arl-"
LONGEST_TTL_S = 7 * 86_400.0


def key_digest(key: str) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


@dataclass(slots=True)
class Counts:
    """What became of a session's calls and of the tokens that they sampled.

    Attributes:
        answered, failed, undelivered, repeated: calls; a repeated one was answered from the log.
        sampled: ids that the engine sampled, as far as they are known.
        kept: of these, in whole answers that reached their client, with logprobs, and unmasked.
        masked: of these, with a reason not to train on them, by reason.
        partial: of these, in calls without a whole answer.
        restored: messages that lacked something of an answer which their prompt has all the same, by kind.
    """

    answered: int = 0
    failed: int = 0
    undelivered: int = 0
    repeated: int = 0
    sampled: int = 0
    kept: int = 0
    partial: int = 0
    restored: Counter[str] = field(default_factory=Counter)
    masked: dict[str, int] = field(default_factory=dict)

    def balance(self) -> int:
        """Sampled ids that are accounted for nowhere; 0, always."""
        return self.sampled - self.kept - self.partial - sum(self.masked.values())


@dataclass(slots=True)
class Session:
    """One rollout's calls, while it runs.

    Attributes:
        id: its id.
        digest: sha256 of its key.
        expires: seconds since the epoch.
        model: the only model that it may use; None for any.
        sampling: parameters that win over the agent's.
        calls: how many were begun; the number of the next.
        places: idempotency id -> where the answer stands in the log.
        under_way: idempotency id -> its call, while it runs.
        tasks: calls that run.
        lineage: the tips of its conversations.
        memory: what the mode keeps for it (a history of ids); None before its first call.
    """

    id: str
    digest: bytes
    expires: float
    model: str | None
    sampling: Mapping[str, Any]
    calls: int = 0
    counts: Counts = field(default_factory=Counts)
    places: dict[str, Place] = field(default_factory=dict)
    numbers: dict[int, Place] = field(default_factory=dict)
    under_way: dict[str, asyncio.Future[Any]] = field(default_factory=dict)
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    lineage: Lineage = field(default_factory=Lineage)
    memory: Any = None
    restored: bool = False
    closed: str | None = None
    _claimed: dict[str, int] = field(default_factory=dict)
    _turns: dict[str, bytes] = field(default_factory=dict)

    def begin(self) -> int:
        """The number of a new call."""
        number = self.calls
        self.calls += 1
        return number

    def claim(self, response_id: str, number: int) -> str:
        """The id of a call's answer: this one, or one of ours where another answer of the session has it.

        Engines may be told which id to give, or have one for all; rows and digests tell answers by theirs.
        From any thread.
        """
        if response_id and self._claimed.setdefault(response_id, number) == number:
            return response_id
        own = new_id()
        self._claimed[own] = number
        return own

    def answered(self, entry: CallAnswered, place: Place) -> None:
        """A call is in the log with its whole answer."""
        self.calls = max(self.calls, entry.number + 1)
        self._claimed[entry.response_id] = entry.number
        self.numbers[entry.number] = place
        if entry.call_id:
            self.places[entry.call_id] = place
        self._turns[entry.response_id] = turn_digest(entry.response_id, entry.answer)
        counts = self.counts
        counts.answered += 1
        if entry.restored:
            counts.restored.update(entry.restored)
        sampled = len(entry.answer or b"") // 4
        counts.sampled += sampled
        for first, last, reason in entry.masked:
            counts.masked[reason] = counts.masked.get(reason, 0) + last - first
            sampled -= last - first
        counts.kept += sampled

    def lost(self, entry: CallAnswered) -> None:
        """The answer of a call did not reach its client: what it sampled does not train."""
        self._turns.pop(entry.response_id, None)
        self.counts.undelivered += 1
        kept = len(entry.answer or b"") // 4 - sum(last - first for first, last, _ in entry.masked)
        self.counts.kept -= kept
        self.counts.masked["undelivered"] = self.counts.masked.get("undelivered", 0) + kept

    def found(self, entry: CallAnswered) -> None:
        """A lost answer was fetched by a repeated call, or gone on with, after all."""
        self._turns[entry.response_id] = turn_digest(entry.response_id, entry.answer)
        self.counts.undelivered -= 1
        kept = len(entry.answer or b"") // 4 - sum(last - first for first, last, _ in entry.masked)
        self.counts.kept += kept
        self.counts.masked["undelivered"] -= kept

    def is_lost(self, response_id: str) -> bool:
        """Whether this answered call's answer did not reach its client."""
        return response_id not in self._turns

    def place_of(self, response_id: str) -> Place:
        """Where the answer with this id stands in the log."""
        return self.numbers[self._claimed[response_id]]

    def failed(self, entry: CallFailed) -> None:
        """A call ended without a whole answer."""
        self.calls = max(self.calls, entry.number + 1)
        self.counts.failed += 1
        self.counts.sampled += entry.sampled
        self.counts.partial += entry.sampled

    def summary(self) -> dict[str, Any]:
        """What the control route tells of it; never the key."""
        counts = self.counts
        return {
            "session": self.id,
            "expires_at": self.expires,
            "model": self.model,
            "sampling": dict(self.sampling),
            "calls": {
                "begun": self.calls,
                "answered": counts.answered,
                "failed": counts.failed,
                "undelivered": counts.undelivered,
                "repeated": counts.repeated,
                "under_way": len(self.tasks),
            },
            "tokens": {
                "sampled": counts.sampled,
                "kept": counts.kept,
                "masked": {name: count for name, count in counts.masked.items() if count},
                "partial": counts.partial,
            },
            "restored": dict(counts.restored),
            "digest": combined_digest(self._turns),
            "closed": self.closed,
        }


class Sessions:
    """Every session that may call, by key and by id."""

    def __init__(self) -> None:
        self._by_digest: dict[bytes, Session] = {}
        self._by_id: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_id.values()))

    def open(
        self, session: str, *, ttl_s: float, model: str | None, sampling: Mapping[str, Any]
    ) -> tuple[str, SessionOpened]:
        """A new key for a rollout, and what the log is to hold of it. `restore` makes it valid.

        Raises:
            CallRefused: 409 when a session of this id is open.
        """
        if session in self._by_id:
            raise CallRefused(
                f"The session {session!r} is open already: close it first, or choose another id.",
                status=409,
                code="session_exists",
            )
        key = KEY_PREFIX + secrets.token_urlsafe(32)
        expires = time.time() + ttl_s  # a date, since it must hold over a restart
        return key, SessionOpened(session, key_digest(key), expires, model, dict(sampling))

    def restore(self, opened: SessionOpened) -> Session:
        """A session as the log has it."""
        session = Session(opened.session, opened.key_digest, opened.expires, opened.model, opened.sampling)
        self._by_digest[opened.key_digest] = session
        self._by_id[opened.session] = session
        return session

    def find(self, session: str) -> Session | None:
        """The open session of this id."""
        return self._by_id.get(session)

    def admit(self, key: str) -> Session:
        """The session that a key belongs to.

        Raises:
            CallRefused: 401 when the key is unknown, revoked or expired.
        """
        session = self._by_digest.get(key_digest(key)) if key else None
        if session is not None and session.expires > time.time():
            return session
        why = "has expired" if session is not None else "is not known here, or was revoked"
        raise CallRefused(
            f"The API key {why}: a rollout's key is issued by POST /control/sessions and ends with it."
            if key
            else "There is no API key in this call: send the rollout's key as `Authorization: Bearer KEY`.",
            status=401,
            kind="authentication_error",
            code="invalid_api_key",
        )

    def refuse(self, session: Session, reason: str) -> None:
        """The beginning of a session's end: its key is refused, its calls are broken off."""
        self._by_digest.pop(session.digest, None)
        session.closed = reason
        for task in session.tasks:
            task.cancel()

    def go_on(self, session: Session) -> None:
        """Take a session's end back that got no further than its beginning."""
        self._by_digest[session.digest] = session
        session.closed = None

    def close(self, session: Session, reason: str) -> None:
        """End a session: its key is refused from now on, its calls are broken off, its memory is freed."""
        self.refuse(session, reason)
        self._by_id.pop(session.id, None)
        session.places.clear()
        session.numbers.clear()
        session._claimed.clear()
        session.lineage = Lineage()
        session.memory = None

    def expired(self) -> list[Session]:
        """Those whose time is over."""
        now = time.time()
        return [session for session in self._by_id.values() if session.expires <= now]
