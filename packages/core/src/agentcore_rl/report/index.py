"""The table of a report: what it says of each rollout, in columns, apart from the transcripts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from agentcore_rl.read import ToolCall, framework_of
from agentcore_rl.rollout import Failure, Rollout, Status

__all__ = ["Index", "cause_of"]

_PREVIEW = 160
_COLUMNS = (
    *("run", "id", "task", "chunk", "place", "succeeded", "stop", "kind", "cause", "reward", "turns"),
    *("calls", "wrong", "tools", "errors", "prompt_tokens", "answer_tokens", "seconds", "began"),
    *("suspect", "framework", "model", "policy", "agents", "asked", "said"),
)
# What differs between two failures of one cause: numbers, ids, addresses, quoted names.
_VARYING = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8,}(?:-[0-9a-f]+)*|\d+(?:\.\d+)?", re.IGNORECASE)


class Index:
    """Columns with one entry per rollout; texts that repeat are numbers into `names`."""

    def __init__(self) -> None:
        self._columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
        self._names: dict[str, dict[str, int]] = {}
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def add(
        self, rollout: Rollout, calls: Sequence[ToolCall], *, run: int, place: tuple[int, int] | None
    ) -> None:
        """One more row.

        Args:
            rollout: the record.
            calls: its tool calls.
            run: number of its run in the report.
            place: chunk and place in it; None when the page does not carry its transcript.
        """
        failure, usage = rollout.failure, rollout.usage
        turns = [turn for path in rollout.trajectories for turn in path.turns]
        self._rows += 1
        self._put("run", run)
        self._put("id", rollout.input_id)
        self._put("task", rollout.task)
        self._put("chunk", -1 if place is None else place[0])
        self._put("place", -1 if place is None else place[1])
        self._put("succeeded", int(rollout.status is Status.SUCCEEDED))
        self._put("stop", self._name("stop", rollout.stop_reason.value))
        self._put("kind", -1 if failure is None else self._name("kind", failure.kind.value))
        self._put("cause", -1 if failure is None else self._name("cause", cause_of(failure)))
        self._put("reward", None if rollout.reward is None else rollout.reward.value)
        self._put("turns", len(turns))
        self._put("calls", len(calls))
        self._put("wrong", sum(call.error is not None for call in calls))
        self._put("tools", sorted({self._name("tool", call.name) for call in calls}))
        wrong = {(self._name("tool", call.name), call.error) for call in calls if call.error is not None}
        self._put("errors", sorted([tool, self._name("error", error.value)] for tool, error in wrong))
        self._put("prompt_tokens", usage.prompt_tokens)
        self._put("answer_tokens", usage.completion_tokens)
        self._put("seconds", round(rollout.timings.total_s, 3))
        self._put("began", round(rollout.timings.accepted_at, 3))
        self._put("suspect", [self._name("suspect", reason) for reason in rollout.suspect])
        self._put("framework", self._named("framework", framework_of(rollout)))
        self._put("model", self._named("model", rollout.model))
        versions = rollout.policy_versions
        self._put("policy", versions[-1] if versions else None)
        self._put("agents", len({path.agent for path in rollout.trajectories}))
        self._put("asked", _preview(rollout.payload))
        self._put("said", _preview(rollout.output))

    def to_dict(self) -> dict[str, Any]:
        """Columns and names as a JSON object."""
        names = {kind: list(known) for kind, known in self._names.items()}
        return {"rows": self._rows, "columns": self._columns, "names": names}

    def _put(self, column: str, value: Any) -> None:
        self._columns[column].append(value)

    def _named(self, kind: str, name: str | None) -> int:
        return -1 if name is None else self._name(kind, name)

    def _name(self, kind: str, name: str) -> int:
        known = self._names.setdefault(kind, {})
        return known.setdefault(name, len(known))


def cause_of(failure: Failure) -> str:
    """What failures of one cause have in common: their kind, type, and message without what varies."""
    message = _VARYING.sub("#", " ".join(failure.message[:1000].split()))
    what = f"{failure.kind.value} ({failure.type})" if failure.type else failure.kind.value
    return f"{what}: {message[:200]}"


def _preview(value: Any) -> str | None:
    """The beginning of the first text in a payload or an output."""
    if isinstance(value, dict):
        likely = [value[key] for key in ("prompt", "question", "input", "answer", "output") if key in value]
        value = next((item for item in [*likely, *value.values()] if isinstance(item, str)), None)
    if not isinstance(value, str):
        return None if value is None else str(value)[:_PREVIEW]
    return " ".join(value[: 4 * _PREVIEW].split())[:_PREVIEW]
