"""The graph of a rollout's turns: which prompt extends which, with every message stored once.

A pure state machine without I/O. A turn's parent is the turn whose prompt and answer its own
prompt begins with, compared by canonical form; among several the longest. What a prompt adds is
stored as indexes into one table of distinct messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from agentcore_rl.decoders import decoder
from agentcore_rl.messages import (
    fingerprint,
    has_broken_arguments,
    loose_fingerprint,
    without_text_beside_calls,
)

__all__ = ["MessageTable", "Placement", "TurnGraph"]


class MessageTable:
    """Distinct JSON values, each stored once as raw bytes.

    Lookup compares bytes, so what is read back is exactly what was added.
    """

    def __init__(self) -> None:
        self._values: list[bytes] = []
        self._index: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index: int) -> bytes:
        return self._values[index]

    def __contains__(self, raw: bytes) -> bool:
        return raw in self._index

    def add(self, raw: bytes) -> int:
        """The index of `raw`, stored now if it is new."""
        index = self._index.get(raw)
        if index is None:
            index = len(self._values)
            self._values.append(raw)
            self._index[raw] = index
        return index

    def raws(self) -> list[msgspec.Raw]:
        """The values as they go into a record."""
        return [msgspec.Raw(value) for value in self._values]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a prompt stands in the graph.

    Attributes:
        turn: the new turn's id.
        parent: the turn that it extends; None for a root.
        keep: leading messages that are, byte for byte, those of the parent's prompt.
        new: indexes of the messages behind them.
        forked: the agent already has an answered turn that this prompt does not continue, nor is it of
            another of the conversations that its caller began at once.
    """

    turn: int
    parent: int | None
    keep: int
    new: tuple[int, ...]
    forked: bool


@dataclass(slots=True)
class _Node:
    agent: str
    parent: int | None
    keep: int
    new: tuple[int, ...]
    end: int  # trie position behind the prompt
    place: str
    answer: int | None = None
    continued: bool = False  # an answered turn extends it


@dataclass(slots=True)
class _Agent:
    """What one agent's turns look like so far."""

    last_answered: dict[str, int] = field(default_factory=dict)  # place -> turn
    begun: dict[str, int] = field(default_factory=dict)  # place -> conversations that begin there
    ends: dict[int, int] = field(default_factory=dict)  # trie position behind prompt and answer -> turn


class _Role(msgspec.Struct):
    role: Any = None


def _role(message: bytes) -> Any:
    try:
        return decoder(_Role).decode(message).role
    except (ValueError, RecursionError):
        return None


class TurnGraph:
    """Turns of one rollout. `add` places a prompt, `answer` completes its turn."""

    def __init__(self) -> None:
        self.messages = MessageTable()
        self._forms: list[int] = []  # message index -> number of its canonical form
        self._numbers: dict[bytes, int] = {}  # fingerprint -> number
        self._trie: dict[tuple[int, int], int] = {}  # (position, form) -> position; 0 is the empty prompt
        # The same for answers whose tool arguments are no JSON, by their loose form: frameworks can
        # only send something else back in their place, which is no edit.
        self._mended: dict[tuple[int, bytes], int] = {}
        self._nodes: list[_Node] = []
        self._agents: dict[str, _Agent] = {}
        self._leaf: tuple[int, list[int]] | None = None  # the last turn placed and its whole prompt

    def add(
        self, prompt: Iterable[bytes], *, agent: str = "main", place: str = "", conversations: int = 1
    ) -> Placement:
        """Place the prompt of a new turn.

        Args:
            prompt: its messages as raw JSON, in order.
            agent: who makes the call; paths of different agents are kept apart.
            place: where in the agent (a node of its graph); each may have a conversation of its own,
                or go on with another's.
            conversations: that may begin in this place and go on side by side: as many as its caller
                called at once.
        """
        indexes = [self._message(raw) for raw in prompt]
        mine = self._agents.setdefault(agent, _Agent())
        position, parent = 0, None
        for index in indexes:
            parent = mine.ends.get(position, parent)
            position = self._step(position, index)
        # A prompt that ends exactly at an answer continues it too (the agent asks the model to go on).
        parent = mine.ends.get(position, parent)
        keep = 0
        if parent is not None:
            before = self.prompt(parent)
            most = min(len(before), len(indexes))
            while keep < most and before[keep] == indexes[keep]:
                keep += 1
        turn = len(self._nodes)
        self._nodes.append(_Node(agent, parent, keep, tuple(indexes[keep:]), position, place))
        self._leaf = (turn, indexes)
        last = mine.last_answered.get(place)
        forked = last is not None and (parent is None or last not in self.path(parent))
        if forked and conversations > 1:
            forked = not self._of_another(mine, place, conversations, indexes, parent)
        if parent is None:
            mine.begun[place] = mine.begun.get(place, 0) + 1
        return Placement(turn, parent, keep, tuple(indexes[keep:]), forked)

    def _of_another(
        self, mine: _Agent, place: str, conversations: int, prompt: Sequence[int], parent: int | None
    ) -> bool:
        """Whether a prompt that does not continue the last answered turn is of another conversation.

        It continues a turn that nothing has continued yet; or it begins one of those that may begin, and then
        nothing was answered in it. All else repeats or changes what was said.
        """
        if parent is not None:
            return not self._nodes[parent].continued
        if mine.begun.get(place, 0) >= conversations:
            return False
        return all(_role(self.messages[index]) != "assistant" for index in prompt)

    def answer(self, turn: int, message: bytes) -> int:
        """Complete a turn with its answer's message; the message's index.

        Raises:
            ValueError: the turn has an answer already.
        """
        node = self._nodes[turn]
        if node.answer is not None:
            raise ValueError(f"Turn {turn} has an answer already.")
        node.answer = self._message(message)
        if node.parent is not None:
            self._nodes[node.parent].continued = True
        mine = self._agents[node.agent]
        end = self._step(node.end, node.answer)
        mine.ends[end] = turn
        if has_broken_arguments(message):
            self._mended[node.end, loose_fingerprint(message)] = end
        # As with reasoning, what a framework leaves out is no edit.
        shortened = without_text_beside_calls(message)
        if shortened is not None:
            self._trie.setdefault((node.end, self.form(shortened)), end)
        mine.last_answered[node.place] = turn
        return node.answer

    def prompt(self, turn: int) -> list[int]:
        """Indexes of the whole prompt of a turn."""
        if self._leaf is not None and self._leaf[0] == turn:
            return self._leaf[1]
        line = []
        at: int | None = turn
        while at is not None:
            line.append(self._nodes[at])
            at = self._nodes[at].parent
        indexes: list[int] = []
        for node in reversed(line):
            del indexes[node.keep :]
            indexes.extend(node.new)
        return indexes

    def path(self, turn: int) -> Sequence[int]:
        """Ids of the turns from the root to this one."""
        line: list[int] = []
        at: int | None = turn
        while at is not None:
            line.append(at)
            at = self._nodes[at].parent
        return line[::-1]

    def answer_of(self, turn: int) -> int | None:
        """Index of a turn's answer; None while it has none."""
        return self._nodes[turn].answer

    def form_of(self, index: int) -> int:
        """A number that is equal for messages of equal canonical form."""
        return self._forms[index]

    def form(self, raw: bytes) -> int:
        """The number of a message's canonical form, whether it is in the table or not."""
        return self._numbers.setdefault(fingerprint(raw), len(self._numbers))

    def _message(self, raw: bytes) -> int:
        index = self.messages.add(raw)
        if index == len(self._forms):
            self._forms.append(self.form(raw))
        return index

    def _step(self, position: int, index: int) -> int:
        step = (position, self._forms[index])
        if self._mended and step not in self._trie:
            end = self._mended.get((position, loose_fingerprint(self.messages[index])))
            if end is not None:
                return end
        return self._trie.setdefault(step, len(self._trie) + 1)
