"""The token sequences of a record: which prompt goes on with which answer, id for id.

A turn's parent in the record is the turn whose messages its prompt begins with. Here the ids decide: a prompt
goes on with the turn of the same agent whose prompt and answer are, id for id, the longest beginning of it.
So what a template or a client changed begins a branch of its own, and what it left alone does not.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentcore_rl.rollout import Rollout
from agentcore_rl.turn import Turn

__all__ = ["Branch", "Node", "branches", "ids_of", "is_partial", "nodes_of"]

_PARTIAL = frozenset({"abort", "aborted", "cancelled", "error"})
_CUT = frozenset({"cut_answer", "unfinished_call", "no_answer"})


def is_partial(turn: Turn) -> bool:
    """Whether a turn's answer is not whole: it was cut, refused, or still under way at the end."""
    return (
        turn.answer is None
        or turn.finish_reason is None
        or turn.finish_reason in _PARTIAL
        or not _CUT.isdisjoint(turn.suspect)
    )


@dataclass(slots=True, eq=False)
class Node:
    """A turn with ids, as what it adds to the turn that it goes on with.

    Attributes:
        turn: it.
        parent: what it goes on with; None for a root.
        added: ids of its prompt behind the parent's answer.
        answer: the ids that were sampled.
        end: how many ids prompt and answer have in all.
        partial: the answer is not whole.
    """

    turn: Turn
    parent: Node | None
    added: array[int]
    answer: array[int]
    end: int
    partial: bool
    _hash: Any = field(repr=False)

    @property
    def line(self) -> list[Node]:
        """It and those behind it, root first."""
        line: list[Node] = []
        node: Node | None = self
        while node is not None:
            line.append(node)
            node = node.parent
        return line[::-1]


@dataclass(frozen=True, slots=True)
class Branch:
    """A path of turns whose prompts extend each other.

    Attributes:
        agent: whose.
        line: its turns, root first.
    """

    agent: str
    line: list[Node]


class _Agent:
    """The turns of one agent, found again by what they end with."""

    def __init__(self) -> None:
        self._nodes: dict[int, dict[bytes, Node]] = {}  # end -> digest of all ids -> node
        self._ends: list[int] = []

    def add(self, node: Node) -> None:
        if node.end not in self._nodes:
            self._nodes[node.end] = {}
            insort(self._ends, node.end)
        self._nodes[node.end].setdefault(node._hash.digest(), node)

    def longest(self, prompt: array[int]) -> Node | None:
        """The turn whose prompt and answer are the longest beginning of a prompt."""
        found, at, passed = None, 0, hashlib.blake2b(digest_size=16)
        view = memoryview(prompt).cast("B")
        size = prompt.itemsize
        for end in self._ends:
            if end > len(prompt):
                break
            passed.update(view[at * size : end * size])
            at = end
            found = self._nodes[end].get(passed.digest(), found)
        return found


def nodes_of(rollout: Rollout) -> dict[int, Node]:
    """The turns of a record that have ids for prompt and answer, by their ids."""
    agents = {turn.id: path.agent for path in rollout.trajectories for turn in path.turns}
    known: dict[str, _Agent] = {}
    nodes: dict[int, Node] = {}
    for turn in sorted((t for path in rollout.trajectories for t in path.turns), key=lambda t: t.id):
        tokens = turn.tokens
        if tokens is None or tokens.prompt_new is None:
            continue
        mine = known.setdefault(agents[turn.id], _Agent())
        before = nodes.get(turn.parent) if turn.parent is not None else None
        new, answer = _array(tokens.prompt_new), _array(tokens.answer)
        if (
            before is not None
            and agents[before.turn.id] == agents[turn.id]
            and tokens.prompt_keep == before.end
        ):
            parent: Node | None = before
        else:
            prompt = (array("I") if before is None else ids_of(before.line)[: tokens.prompt_keep]) + new
            parent = mine.longest(prompt)
            new = prompt if parent is None else prompt[parent.end :]
        state = hashlib.blake2b(digest_size=16) if parent is None else parent._hash.copy()
        state.update(new)
        state.update(answer)
        end = (0 if parent is None else parent.end) + len(new) + len(answer)
        node = nodes[turn.id] = Node(turn, parent, new, answer, end, is_partial(turn), state)
        if end:
            mine.add(node)
    return nodes


def branches(rollout: Rollout, nodes: Mapping[int, Node]) -> list[Branch]:
    """The branches of a record that end with a whole answer; those of most turns first for each agent."""
    found = []
    for path in rollout.trajectories:
        mine = [nodes[turn.id] for turn in path.turns if turn.id in nodes]
        kept = [node for node in mine if node.answer and not node.partial]
        inner: set[Node] = set()
        for node in kept:
            at = node.parent
            while at is not None and at not in inner:
                inner.add(at)
                at = at.parent
        lines = [node.line for node in kept if node not in inner]
        lines.sort(key=lambda line: (-len(line), line[-1].turn.id))
        found += [Branch(path.agent, line) for line in lines]
    return found


def ids_of(line: Iterable[Node]) -> array[int]:
    """All ids of a line of turns: prompts and answers."""
    ids: array[int] = array("I")
    for node in line:
        ids.extend(node.added)
        ids.extend(node.answer)
    return ids


def _array(values: Iterable[int]) -> array[int]:
    return values if isinstance(values, array) and values.typecode == "I" else array("I", values)
