"""Turns with their full histories, expanded on access."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, overload

import msgspec

from agentcore_rl.turn import Trajectory, Turn

__all__ = ["ExpandedTurn", "Turns"]


class _Source(Protocol):
    """What turns refer to: a rollout, or a transcript that is still being made."""

    @property
    def messages(self) -> Sequence[msgspec.Raw]: ...
    @property
    def tools(self) -> Sequence[msgspec.Raw]: ...
    @property
    def trajectories(self) -> Sequence[Trajectory]: ...


@dataclass(frozen=True, slots=True)
class ExpandedTurn:
    """A turn with its full history. Every access expands anew; keep what you need.

    Attributes:
        stored: the turn as it is stored.
    """

    stored: Turn
    _turns: Turns = field(repr=False, compare=False)

    @property
    def prompt(self) -> list[dict[str, Any]]:
        """Every message of the prompt, as sent."""
        return [self._turns.message(index) for index in self._turns.prompt_indexes(self.stored)]

    @property
    def answer(self) -> dict[str, Any] | None:
        """The answer's message, as the server said it; None when the call has no whole answer."""
        index = self.stored.answer
        return None if index is None else self._turns.message(index)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The prompt, then the answer if there is one."""
        answer = self.answer
        return self.prompt if answer is None else [*self.prompt, answer]

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The tools that the request offered, as sent."""
        index = self.stored.tools
        return [] if index is None else self._turns.tool_list(index)

    @property
    def prompt_ids(self) -> list[int] | None:
        """All token ids of the prompt; None when the server gave none."""
        return self._turns.prompt_ids(self.stored)

    @property
    def answer_ids(self) -> list[int] | None:
        """The ids that were sampled; None when the server gave none."""
        return None if self.stored.tokens is None else list(self.stored.tokens.answer)

    def to_dict(self) -> dict[str, Any]:
        """This turn as one entry of `rollout_data`: full OpenAI-style history and answer."""
        request: dict[str, Any] = {"messages": self.messages}
        if self.stored.tools is not None:
            request["tools"] = self.tools
        return {"turn_id": self.stored.id, "agent": self.stored.agent, "formatted_request": request}


class Turns(Sequence[ExpandedTurn]):
    """The turns of a rollout (or of a transcript), expanded on access."""

    __slots__ = ("_by_id", "_order", "_source")

    def __init__(self, source: _Source) -> None:
        self._source = source
        self._order = sorted(
            (turn for path in source.trajectories for turn in path.turns), key=lambda t: t.id
        )
        self._by_id = {turn.id: turn for turn in self._order}

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, index: int) -> ExpandedTurn: ...
    @overload
    def __getitem__(self, index: slice) -> list[ExpandedTurn]: ...
    def __getitem__(self, index: int | slice) -> ExpandedTurn | list[ExpandedTurn]:
        if isinstance(index, slice):
            return [ExpandedTurn(turn, self) for turn in self._order[index]]
        return ExpandedTurn(self._order[index], self)

    def message(self, index: int) -> dict[str, Any]:
        """One message of the table, decoded."""
        decoded: dict[str, Any] = msgspec.json.decode(self._source.messages[index])
        return decoded

    def tool_list(self, index: int) -> list[dict[str, Any]]:
        """One list of tools of the table, decoded."""
        decoded: list[dict[str, Any]] = msgspec.json.decode(self._source.tools[index])
        return decoded

    def _lineage(self, turn: Turn) -> list[Turn]:
        """The turn and its ancestors, root first."""
        line = [turn]
        while turn.parent is not None:
            turn = self._by_id[turn.parent]
            line.append(turn)
        return line[::-1]

    def prompt_indexes(self, turn: Turn) -> list[int]:
        """Indexes into `Rollout.messages` of the whole prompt of `turn`."""
        indexes: list[int] = []
        for ancestor in self._lineage(turn):
            del indexes[ancestor.prompt.keep :]
            indexes.extend(ancestor.prompt.new)
        return indexes

    def prompt_ids(self, turn: Turn) -> list[int] | None:
        """All token ids of the prompt of `turn`; None when the server gave none."""
        if turn.tokens is None or turn.tokens.prompt_new is None:
            return None
        full: list[int] = []
        for ancestor in self._lineage(turn):
            tokens = ancestor.tokens
            if tokens is None or tokens.prompt_new is None:
                full = []
                continue
            del full[tokens.prompt_keep :]
            full.extend(tokens.prompt_new)
            if ancestor is not turn:
                full.extend(tokens.answer)
        return full
