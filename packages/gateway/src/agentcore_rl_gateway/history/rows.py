"""Turns as ids, each holding what it adds, and the training rows that they make."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agentcore_rl_gateway.history.forms import Served

__all__ = ["Account", "Node", "Row", "account_of", "chain", "rows_of"]


@dataclass(slots=True)
class Node:
    """One answered turn.

    Attributes:
        id: its number.
        parent: the turn whose ids it extends; None for a root.
        added: the prompt's ids behind the parent's answer.
        answer: the sampled ids.
        logprobs: of these, NaN for holes; None where the engine gave none.
        depth: messages of its prompt.
        place: where its prompt ends, in the graph of messages.
        tools: form of the tools offered.
        served: what the client got.
        response_id: the answer's id.
        policy_version: of the policy that sampled.
        masked: why ids of it must not train: (first, end, reason).
        partial: the answer is not whole.
        delivered: the client has it.
        continued: some turn extends it.
    """

    id: int
    parent: int | None
    added: array[int]
    answer: array[int]
    logprobs: array[float] | None
    depth: int
    place: int
    tools: bytes
    served: Served
    response_id: str
    policy_version: int | None
    masked: tuple[tuple[int, int, str], ...]
    partial: bool
    delivered: bool
    continued: bool = False

    def reasons(self) -> list[str | None]:
        """For each sampled id why it must not train; None where it may."""
        if not self.delivered and not self.continued:
            return ["undelivered"] * len(self.answer)
        found: list[str | None] = [None if self.logprobs is not None else "no_logprob"] * len(self.answer)
        for at, value in enumerate(self.logprobs or ()):
            if math.isnan(value):
                found[at] = "no_logprob"
        for first, end, reason in self.masked:
            for at in range(max(0, first), min(end, len(found))):
                found[at] = reason
        return found


@dataclass(frozen=True, slots=True)
class Row:
    """One branch as a training row.

    Attributes:
        ids: of the whole branch.
        mask: 1 where the policy sampled the id and this row trains it.
        logprobs: at sampling time; NaN where the id was not sampled or has none.
        nodes: the turns, root first.
        response_ids: their answers' ids.
        policy_versions: lowest and highest; None when unknown.
    """

    ids: array[int]
    mask: array[int]
    logprobs: array[float]
    nodes: tuple[int, ...]
    response_ids: tuple[str, ...]
    policy_versions: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Account:
    """Where every sampled token went: `sampled == trained + sum of masked + partial`, always.

    Attributes:
        sampled: ids that were sampled.
        trained: of these, in a training row with mask 1.
        masked: of these, in none, by reason.
        partial: of these, in answers that are not whole.
    """

    sampled: int
    trained: int
    masked: Mapping[str, int] = field(default_factory=dict)
    partial: int = 0

    @property
    def holds(self) -> bool:
        """Whether nothing was lost or counted twice."""
        return self.sampled == self.trained + sum(self.masked.values()) + self.partial


def chain(nodes: Sequence[Node], node: int | None) -> list[Node]:
    """A turn and those behind it, root first."""
    line: list[Node] = []
    while node is not None:
        line.append(nodes[node])
        node = nodes[node].parent
    return line[::-1]


def _kept(node: Node) -> bool:
    """Whether a row may end with this turn: it is whole, and its client has it."""
    return not node.partial and (node.delivered or node.continued)


def rows_of(nodes: Sequence[Node]) -> list[Row]:
    """One row for each branch, sorted by its ids: the order of arrival has no say.

    A turn that several branches share trains in the first of them alone.
    """
    inner: set[int] = set()
    for node in nodes:
        at = node.parent if _kept(node) else None
        while at is not None and at not in inner:
            inner.add(at)
            at = nodes[at].parent
    leaves = [node for node in nodes if _kept(node) and node.id not in inner]
    lines = [chain(nodes, leaf.id) for leaf in leaves]
    made = []
    for line in lines:
        ids: array[int] = array("I")
        for node in line:
            ids.extend(node.added)
            ids.extend(node.answer)
        made.append((ids, line))
    made.sort(key=lambda one: (one[0].tobytes(), [node.response_id for node in one[1]]))
    trained: set[int] = set()
    return [_row(ids, line, trained) for ids, line in made]


def _row(ids: array[int], line: Sequence[Node], trained: set[int]) -> Row:
    mask: array[int] = array("b")
    logprobs: array[float] = array("d")
    for node in line:
        mask.extend([0] * len(node.added))
        logprobs.extend([math.nan] * len(node.added))
        first = node.id not in trained and not node.partial
        trained.add(node.id)
        mask.extend([1 if first and reason is None else 0 for reason in node.reasons()])
        logprobs.extend(node.logprobs if node.logprobs is not None else [math.nan] * len(node.answer))
    versions = [node.policy_version for node in line if node.policy_version is not None]
    return Row(
        ids,
        mask,
        logprobs,
        tuple(node.id for node in line),
        tuple(node.response_id for node in line),
        (min(versions), max(versions)) if versions else None,
    )


def account_of(nodes: Sequence[Node], sampled: int) -> Account:
    """Counted over the rows themselves and over what no row has.

    Args:
        nodes: all turns.
        sampled: counted when they came.
    """
    trained = sum(sum(row.mask) for row in rows_of(nodes))
    masked: Counter[str] = Counter()
    partial = 0
    for node in nodes:
        if node.partial:
            partial += len(node.answer)
        else:
            masked.update(reason for reason in node.reasons() if reason is not None)
    return Account(sampled, trained, dict(masked), partial)
