"""A training row: one branch of a rollout as token ids, and where every sampled token went."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from agentcore_rl.export.origin import Origin

__all__ = ["Account", "Row", "Span", "runs"]


@dataclass(frozen=True, slots=True)
class Span:
    """A run of ids of a row that came together.

    Attributes:
        turn: id of the turn whose prompt or answer they are.
        start, end: first id and the one behind the last, in the row.
        sampled: the policy sampled them; else they are context (a prompt, tool results, template).
        agent: who made the call.
        policy_version: of the policy that sampled the turn; None when unknown.
        temperature: as the turn's request said it; None where it said none.
        constrained: they were sampled under a JSON schema or a grammar.
        reward: the turn's own reward; None where the reward function gave none per turn.
        masked: why sampled ids do not train in this row; None where they do, and for context.
    """

    turn: int
    start: int
    end: int
    sampled: bool
    agent: str
    policy_version: int | None = None
    temperature: float | None = None
    constrained: bool = False
    reward: float | None = None
    masked: str | None = None


@dataclass(frozen=True, slots=True)
class Row(Origin):
    """One branch of one agent's turns as a training sequence, made from a record alone.

    Attributes beside those of `Origin`:
        ids: token ids of the whole branch.
        mask: for each id 1 where the policy sampled it and this row trains it, else 0.
        logprobs: for each id its natural logarithm at sampling time; None where it was not sampled, or
            where the server gave none (then `mask` is 0). Never 0.0 for one that is missing.
        spans: runs of ids that came together; they cover `ids` without gaps.
        scores: named judgements before weighting.
        metrics: numbers that are watched and never trained on.
        advantage: credit from the group's rewards; None unless it was asked for.
    """

    ids: array[int]
    mask: array[int]
    logprobs: list[float | None]
    spans: tuple[Span, ...]
    scores: Mapping[str, float]
    metrics: Mapping[str, float]
    advantage: float | None = None

    @property
    def turns(self) -> tuple[int, ...]:
        """Ids of its turns, root first."""
        return tuple(turn for turn, _ in groupby(span.turn for span in self.spans))

    @property
    def first_sampled(self) -> int:
        """Where the first answer begins: trainers that want a prompt and a response cut here."""
        return next((span.start for span in self.spans if span.sampled), len(self.ids))

    @property
    def policy_versions(self) -> tuple[int, int] | None:
        """Lowest and highest that sampled; None when unknown."""
        known = [span.policy_version for span in self.spans if span.sampled]
        versions = [version for version in known if version is not None]
        return (min(versions), max(versions)) if versions else None

    @property
    def about(self) -> dict[str, Any]:
        """What stands beside a consumer's own object: where it is from."""
        return {
            "id": self.id,
            "group": self.group,
            "agent": self.agent,
            "reward": self.reward,
            "masked": self.masked,
            "policy_versions": self.policy_versions,
        }

    @property
    def temperatures(self) -> list[float | None]:
        """For each id the temperature of its turn; None where the request said none."""
        return [span.temperature for span in self.spans for _ in range(span.start, span.end)]

    @property
    def filled_logprobs(self) -> list[float]:
        """The logprobs of what trains, and 0.0 elsewhere, for consumers that know no null beside a mask."""
        return [
            value if on and value is not None else 0.0
            for value, on in zip(self.logprobs, self.mask, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Account:
    """Where every sampled token went: `sampled == trained + sum of masked + partial`, always.

    Attributes:
        sampled: ids that were sampled, as the records have them.
        trained: of these, in a row with mask 1.
        masked: of these, in none, by reason.
        partial: of these, in answers that are not whole.
        without_ids: answers whose server gave no ids; their tokens are in none of these numbers.
    """

    sampled: int = 0
    trained: int = 0
    masked: Mapping[str, int] = field(default_factory=dict)
    partial: int = 0
    without_ids: int = 0

    @property
    def holds(self) -> bool:
        """Whether nothing was lost or counted twice."""
        return self.sampled == self.trained + sum(self.masked.values()) + self.partial

    def __add__(self, other: Account) -> Account:
        return Account(
            self.sampled + other.sampled,
            self.trained + other.trained,
            dict(Counter(self.masked) + Counter(other.masked)),
            self.partial + other.partial,
            self.without_ids + other.without_ids,
        )

    def only(self, trained: int, reason: str | None) -> Account:
        """The same tokens where only so many of them are in a file.

        Args:
            trained: with mask 1 in what was written.
            reason: why the others are not; None when there must be none.

        Raises:
            AssertionError: more are in the file than were sampled, or some are missing without a reason.
        """
        missing = self.trained - trained
        if missing < 0 or (missing and reason is None):
            raise AssertionError(f"{trained} tokens train in what was written, and {self.trained} may.")
        masked = Counter(self.masked)
        masked[reason or ""] += missing
        return Account(self.sampled, trained, dict(+masked), self.partial, self.without_ids)


def runs(values: Sequence[str | None]) -> Iterator[tuple[int, int, str | None]]:
    """Where equal neighbours begin and end: (start, end, value)."""
    at = 0
    for value, group in groupby(values):
        end = at + sum(1 for _ in group)
        yield at, end, value
        at = end
