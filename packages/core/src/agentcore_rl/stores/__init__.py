"""Where records are put and read, and how a reader hears of them: two protocols.

The object in the record store is the truth; a notice is a hint that one is there. An
implementation of either is accepted when it passes `agentcore_rl.testing.store_conformance`.
Every method may block (it does I/O), is thread-safe, and is called off the event loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Delivery", "Notice", "Notices", "RecordStore", "StoredObject"]


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One entry of a listing.

    Attributes:
        key: the object's key, `/`-separated.
        size: bytes.
    """

    key: str
    size: int


class RecordStore(Protocol):
    """Immutable objects under `/`-separated keys.

    Keys are relative, end in `.json`, have no empty, `.` or `..` segment, no control character and no
    half of a surrogate pair; any other raises `ValueError` (`agentcore_rl.stores.keys.check_key`). They
    are told apart by case and by every character.
    """

    @property
    def location(self) -> str:
        """Where this store is, as a URL or a path that a person can use; never holds a secret."""
        ...

    def put_if_absent(self, key: str, content: bytes) -> bool:
        """Store `content` under `key` unless an object is there already.

        Atomic and durable: when it returns, the object is whole and survives a crash; of several
        writers at once exactly one gets True. A reader never sees part of an object.

        Returns:
            True when this call stored it; False when `key` was taken (its content is untouched).

        Raises:
            StoreUnavailable: nothing is known to be stored; the same call may succeed later.
        """
        ...

    def get(self, key: str) -> bytes:
        """The whole object.

        Raises:
            RecordNotFound: there is none.
            StoreUnavailable: it cannot be read now.
        """
        ...

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        """The objects whose key starts with `prefix`, in ascending order of the key's UTF-8 bytes.

        Unfinished puts, and what is stored there under names that are no keys, are never listed.
        What is put meanwhile may be listed or not.

        Args:
            prefix: string prefix (`run/a` matches `run/ab/c.json`); empty for all.
            after: only keys that sort behind this one; it need not be there.

        Raises:
            StoreUnavailable: it cannot be listed now (raised while iterating).
        """
        ...


@dataclass(frozen=True, slots=True)
class Notice:
    """Says that a record is stored. Small: at most a few hundred bytes as JSON.

    What a store itself announces tells no more than the key: attempt, sha256 and status are None then.

    Attributes:
        run, task, sample, attempt, session: the record's ids.
        key: its key in the record store.
        size: its bytes.
        sha256: hex digest of its bytes.
        status: "succeeded" or "failed".
        reward: the reward's value; None when not judged, or not told.
    """

    run: str
    task: str
    sample: int
    attempt: int | None
    session: str
    key: str
    size: int
    sha256: str | None
    status: str | None
    reward: float | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One received notice and what `ack` needs to remove it."""

    notice: Notice
    token: str


class Notices(Protocol):
    """A channel of notices: at least once, unordered."""

    def send(self, notice: Notice) -> None:
        """Announce a record. Durable when it returns.

        Raises:
            StoreUnavailable: it may not have been sent; the same call may succeed later.
        """
        ...

    def receive(self, *, most: int = 10, wait_s: float = 0.0) -> Sequence[Delivery]:
        """Up to `most` notices, waiting up to `wait_s` seconds for the first.

        A delivery that is not acknowledged is delivered again after the channel's visibility
        timeout, to this or another receiver, and not before. What is not a notice of ours is
        skipped, and never blocks the others. Empty when there was none in time.

        Raises:
            StoreUnavailable: the channel cannot be read now.
        """
        ...

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Remove these from the channel. Acknowledging twice is fine.

        Raises:
            StoreUnavailable: some may be delivered again.
        """
        ...

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give back what is not for this receiver, so that others have it soon.

        It is delivered again before its visibility timeout is over, to anyone; one that comes back
        often may wait longer. Releasing what is gone is fine.

        Raises:
            StoreUnavailable: some may come no sooner than without.
        """
        ...
