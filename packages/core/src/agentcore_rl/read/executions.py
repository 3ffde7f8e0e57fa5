"""What became of tool calls: which execution is whose, and what was sent back to the model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from agentcore_rl.read.canonical import canonical_json
from agentcore_rl.rollout import Rollout, ToolExecution, Turns

__all__ = ["SentBack", "paired"]


def paired(
    calls: Sequence[tuple[str, str]], executions: Sequence[ToolExecution]
) -> list[ToolExecution | None]:
    """The execution of each call of one answer; None where there is none.

    By the call's id; calls that share an id get theirs in order, and the last of several executions of one
    call counts, since that is what the model saw. A call without an id gets the next of its name that has
    none either.

    Args:
        calls: id and name of each call, in order.
        executions: of that turn, in the order in which they ended.
    """
    left: dict[tuple[str, str], list[ToolExecution]] = defaultdict(list)
    for execution in executions:
        left[_key(execution.call_id, execution.name)].append(execution)
    owed: dict[tuple[str, str], int] = defaultdict(int)
    for call_id, name in calls:
        owed[_key(call_id, name)] += 1
    found: list[ToolExecution | None] = []
    for call_id, name in calls:
        key = _key(call_id, name)
        those = left[key]
        owed[key] -= 1
        if not those:
            found.append(None)
        elif owed[key]:
            found.append(those.pop(0))
        else:
            found.append(those[-1])
    return found


def _key(call_id: str, name: str) -> tuple[str, str]:
    return (call_id, "") if call_id else ("", name)


class SentBack:
    """What the model was told of its calls: the tool messages in the prompts that follow."""

    def __init__(self, rollout: Rollout) -> None:
        self._under: dict[tuple[int | None, str], list[str]] = defaultdict(list)
        self._anywhere: dict[str, set[str]] = defaultdict(set)
        turns = Turns(rollout)
        for turn in turns:
            for index in turn.stored.prompt.new:
                message: Any = turns.message(index)
                if not isinstance(message, dict) or message.get("role") != "tool":
                    continue
                call_id = message.get("tool_call_id")
                if isinstance(call_id, str) and call_id:
                    text = canonical_json(message.get("content"))
                    self._under[turn.stored.parent, call_id].append(text)
                    self._anywhere[call_id].add(text)

    def of(self, turn: int, call_id: str, occurrence: int) -> str | None:
        """What was sent back for a call, in canonical form; None when the record does not tell.

        Args:
            turn: id of the turn whose answer holds the call.
            call_id: its id.
            occurrence: how many calls of that answer before it have the same id.
        """
        told = self._under.get((turn, call_id), [])
        if occurrence < len(told):
            return told[occurrence]
        # A history that was sent anew, as a new root: an id that was answered once is clear all the same.
        anywhere = self._anywhere.get(call_id, set())
        return next(iter(anywhere)) if len(anywhere) == 1 and not told else None
