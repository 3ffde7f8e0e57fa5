"""Many attempts, one that counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from agentcore_rl.rollout import Failure

__all__ = ["Choice", "Tried", "choose_attempt", "is_infrastructure_failure"]


class Tried(Protocol):
    """What the choice needs to know of an attempt; a `Rollout` has it."""

    @property
    def attempt(self) -> int:
        """Its number, from 0."""
        ...

    @property
    def session(self) -> str:
        """Its session, unique among a rollout's attempts."""
        ...

    @property
    def failure(self) -> Failure | None:
        """What broke; None when it succeeded."""
        ...


T = TypeVar("T", bound=Tried)


@dataclass(frozen=True, slots=True)
class Choice(Generic[T]):
    """The attempt that counts.

    Attributes:
        chosen: it.
        late: the others, in the order of their numbers.
    """

    chosen: T
    late: tuple[T, ...]


def is_infrastructure_failure(failure: Failure | None) -> bool:
    """Whether a failure is neither the policy's nor the user's, so that a new attempt is worth making.

    runtime, sink and environment always are; model is when the endpoint gave no answer after the
    transport's retries, which the record says by `retryable`.
    """
    return failure is not None and (failure.retryable or failure.kind.infrastructure)


def choose_attempt(attempts: Iterable[T], delivered: str | None = None) -> Choice[T]:
    """Which attempt of one rollout counts; the same for journal, readers, resume and trainers.

    An attempt that was delivered already stays the winner. Else the lowest number that is no
    infrastructure failure wins. If all are, the highest number stands, failed. The order in which
    attempts are given changes nothing; of two with the same number the lower session comes first.

    Args:
        attempts: at least one.
        delivered: session of the attempt that was given to somebody before; None when none was.
            One that is not among the attempts is as none.

    Raises:
        ValueError: there is no attempt.
    """
    order = sorted(attempts, key=lambda tried: (tried.attempt, tried.session))
    if not order:
        raise ValueError("There is no attempt to choose from.")
    chosen = next((tried for tried in order if delivered is not None and tried.session == delivered), None)
    if chosen is None:
        chosen = next((tried for tried in order if not is_infrastructure_failure(tried.failure)), order[-1])
    return Choice(chosen, tuple(tried for tried in order if tried is not chosen))
