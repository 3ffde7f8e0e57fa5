"""The tool calls of a record: were they parsed, was the tool known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from agentcore_rl.rollout import Rollout

__all__ = ["ToolCall", "tool_calls"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call that the model made.

    Attributes:
        turn: id of the turn whose answer holds it.
        id: the call's id; empty when the answer gave none.
        name: the tool's name as the model wrote it.
        arguments: the arguments' text as the model wrote it.
        parsed: the arguments, decoded; None when they are not a JSON object.
        known: the request offered a tool of this name.
    """

    turn: int
    id: str
    name: str
    arguments: str
    parsed: dict[str, Any] | None
    known: bool

    @property
    def well_formed(self) -> bool:
        """Its arguments are a JSON object and its tool was offered."""
        return self.known and self.parsed is not None


def tool_calls(rollout: Rollout) -> Iterator[ToolCall]:
    """Every tool call in the answers of a record, in order.

    A call that a server could not parse out of the model's text is text, not a call, and so is not here.
    """
    names: dict[int, frozenset[str]] = {}
    for turn in rollout.turns:
        answer = turn.answer
        if answer is None or not answer.get("tool_calls"):
            continue
        index = turn.stored.tools
        if index is not None and index not in names:
            names[index] = frozenset(_offered(turn.tools))
        offered = frozenset[str]() if index is None else names[index]
        for call in answer["tool_calls"]:
            function = _object(_object(call).get("function"))
            name, arguments = str(function.get("name") or ""), function.get("arguments")
            text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
            yield ToolCall(
                turn.stored.id,
                str(_object(call).get("id") or ""),
                name,
                text,
                _decoded(text),
                name in offered,
            )


def _offered(tools: list[dict[str, Any]]) -> Iterator[str]:
    for tool in tools:
        name = _object(_object(tool).get("function")).get("name")
        if isinstance(name, str):
            yield name


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _decoded(text: str) -> dict[str, Any] | None:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
