"""One rollout as the page shows it: turns, each call with its result and its class, branches, masks.

Everything that must be worked out is worked out here; the page only draws.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from agentcore_rl.codec import StoredTurns
from agentcore_rl.messages import canonical
from agentcore_rl.read import ToolCall, is_infrastructure_failure
from agentcore_rl.report.blocks import TokenColumns
from agentcore_rl.report.branches import branches, lanes
from agentcore_rl.report.masks import rollout_mask, turn_mask
from agentcore_rl.rollout import Rollout, Tokens, ToolExecution, Turn

__all__ = ["LONGEST_TEXT", "page_form"]

LONGEST_TEXT = 256 * 1024
"""Characters of one text that a page carries; the record has the rest."""


def page_form(rollout: Rollout, calls: Sequence[ToolCall], tokens: TokenColumns, *, location: str) -> bytes:
    """The JSON text of a rollout in a chunk.

    Args:
        rollout: the record.
        calls: its tool calls, judged (`read.tool_calls`).
        tokens: takes its token ids and logprobs; the text says where they begin.
        location: where the record is.
    """
    turns = sorted((turn for path in rollout.trajectories for turn in path.turns), key=lambda turn: turn.id)
    pairing = _Pairing(rollout, turns)
    by_turn: dict[int, list[ToolCall]] = {}
    for call in calls:
        by_turn.setdefault(call.turn, []).append(call)
    lane_of = lanes(turns)
    failure, reward = rollout.failure, rollout.reward
    return msgspec.json.encode(
        {
            "id": rollout.input_id,
            **{name: getattr(rollout, name) for name in ("run", "task", "sample", "attempt", "session")},
            "status": rollout.status.value,
            "stop_reason": rollout.stop_reason.value,
            "failure": None
            if failure is None
            else {
                **_fields(failure),
                "kind": failure.kind.value,
                "infrastructure": is_infrastructure_failure(failure),
            },
            "reward": None if reward is None else _fields(reward),
            "suspect": list(rollout.suspect),
            "masked": rollout_mask(rollout),
            "usage": _fields(rollout.usage),
            "timings": _rounded(_fields(rollout.timings)),
            "model": rollout.model,
            "policy_versions": list(rollout.policy_versions),
            "software": dict(rollout.software),
            "crosscheck": _fields(rollout.crosscheck),
            "counts": dict(rollout.counts),
            "trace_id": rollout.trace_id,
            "payload": _readable_json(rollout.payload),
            "output": _clipped(rollout.output)
            if isinstance(rollout.output, str)
            else _readable_json(rollout.output),
            "record": location,
            "messages": [_carried(raw) for raw in rollout.messages],
            "tools": [_carried(raw) for raw in rollout.tools],
            "agents": [{"agent": path.agent, "parent": path.parent} for path in rollout.trajectories],
            "branches": branches(turns),
            "tokens_at": tokens.place,
            "turns": [
                _turn(turn, pairing, by_turn.get(turn.id, ()), tokens, lane_of[turn.id]) for turn in turns
            ],
        },
        enc_hook=_as_json,
    )


def _turn(
    turn: Turn,
    pairing: _Pairing,
    calls: Sequence[ToolCall],
    tokens: TokenColumns,
    lane: int,
) -> dict[str, Any]:
    executions = {each.call_id: each for each in turn.executions}
    shown = [_call(call, pairing.outcome(turn, call.id), executions.pop(call.id, None)) for call in calls]
    return {
        "id": turn.id,
        "parent": turn.parent,
        "agent": turn.agent,
        "lane": lane,
        "new": pairing.new_messages(turn),
        "answer": turn.answer,
        "calls": shown,
        "executions": [_execution(each) for each in executions.values()],
        "tools": turn.tools,
        "model": turn.model,
        "sampling": _readable_json(turn.sampling) if turn.sampling else None,
        "asked": _readable_json(turn.asked) if turn.asked else None,
        "labels": _readable_json(turn.labels) if turn.labels else None,
        "finish_reason": turn.finish_reason,
        "usage": None if turn.usage is None else _fields(turn.usage),
        "response_id": turn.response_id,
        "policy_version": turn.policy_version,
        "scope": turn.scope,
        "source": turn.source,
        "suspect": list(turn.suspect),
        "started_s": round(turn.started_s, 4),
        "seconds": round(turn.seconds, 4),
        "http": _http(turn),
        "tokens": _tokens(turn.tokens, tokens),
        "masked": turn_mask(turn),
    }


def _execution(execution: ToolExecution) -> dict[str, Any]:
    """What running a tool came to. What it was called with stands in the call."""
    told = _rounded(_fields(execution))
    del told["call_id"], told["arguments"]
    return told


def _http(turn: Turn) -> list[dict[str, Any]]:
    """The HTTP attempts, where they tell more than that one was answered at once."""
    if len(turn.http) == 1 and turn.http[0].complete and turn.http[0].status == 200:
        return []
    return [_fields(each) for each in turn.http]


def _call(call: ToolCall, outcome: int | None, execution: ToolExecution | None) -> dict[str, Any]:
    return {
        "id": call.id,
        "name": call.name,
        "arguments": _clipped(call.arguments),
        "parsed": call.parsed is not None,
        "error": call.error,
        "findings": [{"error": finding.error, "sentence": finding.sentence} for finding in call.errors],
        "schema_valid": call.schema_valid,
        "repeated": call.repeated,
        "recovered": call.recovered,
        "constrained": call.constrained,
        "outcome": outcome,
        "execution": None if execution is None else _execution(execution),
    }


# ── what belongs together ──────────────────────────────────────────────────


class _Pairing:
    """Which message answers which call, and what a prompt adds to what has been shown."""

    def __init__(self, rollout: Rollout, turns: Sequence[Turn]) -> None:
        self._rollout = rollout
        self._by_id = {turn.id: turn for turn in turns}
        self._children: dict[int, list[Turn]] = {}
        for turn in turns:
            if turn.parent is not None:
                self._children.setdefault(turn.parent, []).append(turn)
        self._decoded: dict[int, Any] = {}
        self._outcomes: dict[int, set[int]] = {}

    def outcome(self, turn: Turn, call: str) -> int | None:
        """Index of the tool message that answers this call of a turn, in the first turn that sends one."""
        if not call:
            return None
        taken = self._outcomes.setdefault(turn.id, set())
        for child in self._children.get(turn.id, ()):
            for index in child.prompt.new:
                message = self._message(index)
                if (
                    index not in taken
                    and message.get("role") == "tool"
                    and message.get("tool_call_id") == call
                ):
                    taken.add(index)
                    return index
        return None

    def new_messages(self, turn: Turn) -> list[int]:
        """What this prompt adds, without the parent's answer and the outcomes that stand beside its calls."""
        new = list(turn.prompt.new)
        parent = None if turn.parent is None else self._by_id.get(turn.parent)
        if parent is None:
            return new
        if new and parent.answer is not None and self._same(new[0], parent.answer):
            del new[0]
        shown = self._outcomes.get(parent.id, set())
        return [index for index in new if index not in shown]

    def _same(self, one: int, other: int) -> bool:
        return one == other or canonical(self._message(one)) == canonical(self._message(other))

    def _message(self, index: int) -> Mapping[str, Any]:
        if index not in self._decoded:
            value = msgspec.json.decode(self._rollout.messages[index])
            self._decoded[index] = value if isinstance(value, dict) else {}
        found: Mapping[str, Any] = self._decoded[index]
        return found


# ── tokens ──────────────────────────────────────────────────────────────


def _tokens(tokens: Tokens | None, into: TokenColumns) -> dict[str, Any] | None:
    """How many tokens a turn has in the chunk: first those of the prompt, then the answer's."""
    if tokens is None:
        return None
    into.add_ids(tokens.prompt_new or ())
    into.add_ids(tokens.answer)
    logprobs: Any = tokens.logprobs
    if logprobs is not None:
        # A number such as -9999, which some servers give, has no byte: such a turn's go as they are.
        logprobs = True if into.add_logprobs(logprobs) else list(logprobs)
    return {
        "keep": tokens.prompt_keep,
        "prompt": None if tokens.prompt_new is None else len(tokens.prompt_new),
        "answer": len(tokens.answer),
        "logprobs": logprobs,
    }


# ── texts ──────────────────────────────────────────────────────────────────


def _readable_json(value: Any) -> str | None:
    """A value as indented JSON, clipped; None for None."""
    if value is None:
        return None
    return _clipped(json.dumps(_plain(value), ensure_ascii=False, indent=2))


def _clipped(text: str) -> str:
    if len(text) <= LONGEST_TEXT:
        return text
    return f"{text[:LONGEST_TEXT]}\n… {len(text) - LONGEST_TEXT:,} more characters are in the record"


def _carried(raw: msgspec.Raw) -> msgspec.Raw:
    """The message as it is, or with its longest texts clipped where it is huge."""
    if len(memoryview(raw)) <= LONGEST_TEXT:
        return raw
    return msgspec.Raw(msgspec.json.encode(_clip(msgspec.json.decode(raw))))


def _clip(value: Any) -> Any:
    if isinstance(value, str):
        return _clipped(value)
    if isinstance(value, dict):
        return {key: _clip(item) for key, item in value.items()}
    return [_clip(item) for item in value] if isinstance(value, list) else value


def _rounded(fields: dict[str, Any]) -> dict[str, Any]:
    """Seconds to a tenth of a millisecond: no more is told of them, and it is half of their digits."""
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in fields.items()}


def _fields(record: Any) -> dict[str, Any]:
    """The fields of one of a record's classes."""
    return {name: _plain(getattr(record, name)) for name in record.__dataclass_fields__}


def _plain(value: Any) -> Any:
    """The value in JSON's own types, its texts clipped."""
    if isinstance(value, StoredTurns):
        return {"$see": "turns"}
    if isinstance(value, str):
        return _clipped(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_plain(item) for item in value]
    return value


def _as_json(value: Any) -> Any:
    if isinstance(value, Iterator):
        return list(value)
    return str(value)
