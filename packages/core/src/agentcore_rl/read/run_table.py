"""A run as a table, one row per rollout, for Arrow and pandas."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import msgspec

from agentcore_rl.exceptions import MissingDependencyError
from agentcore_rl.read.reliability import framework_of
from agentcore_rl.read.tool_calls import tool_calls
from agentcore_rl.rollout import Rollout

__all__ = ["arrow_table", "output_text", "pandas_frame", "rollout_row"]

# Column -> its type in Arrow. `score.NAME` and `metric.NAME` follow, for each name that any rollout has.
_COLUMNS = {
    **dict.fromkeys(("run", "task"), "string"),
    **dict.fromkeys(("sample", "attempt"), "int64"),
    **dict.fromkeys(("session", "input_id", "status", "stop_reason", "failure_kind", "failure"), "string"),
    "reward": "double",
    **dict.fromkeys(("trajectories", "turns", "prompt_tokens", "completion_tokens"), "int64"),
    **dict.fromkeys(("tool_calls", "well_formed_calls", "format_judged_calls", "format_ok_calls"), "int64"),
    **dict.fromkeys(("execution_judged_calls", "execution_ok_calls", "calls_with_error"), "int64"),
    **dict.fromkeys(("recovered_calls", "repeated_calls"), "int64"),
    "suspect": "list<string>",
    "accepted_at": "timestamp",
    **dict.fromkeys(("handler_s", "reward_s", "total_s"), "double"),
    **dict.fromkeys(("model", "framework"), "string"),
    **dict.fromkeys(("first_policy_version", "last_policy_version"), "int64"),
    **dict.fromkeys(("prompt", "output", "trace_id"), "string"),
}


def rollout_row(rollout: Rollout) -> dict[str, Any]:
    """One rollout as a row: ids, how it ended, reward and its parts, counts, timings, what made it.

    A column that the record says nothing of is None, never zero. `failure` is the failure's message;
    `output` is the output's text, or its JSON where it is none.
    """
    failure, reward, timings = rollout.failure, rollout.reward, rollout.timings
    return {
        **{
            name: getattr(rollout, name)
            for name in ("run", "task", "sample", "attempt", "session", "input_id")
        },
        "status": rollout.status.value,
        "stop_reason": rollout.stop_reason.value,
        "failure_kind": None if failure is None else failure.kind.value,
        "failure": None if failure is None else failure.message,
        "reward": None if reward is None else reward.value,
        **({} if reward is None else {f"score.{name}": value for name, value in reward.scores.items()}),
        **({} if reward is None else {f"metric.{name}": value for name, value in reward.metrics.items()}),
        "trajectories": len(rollout.trajectories),
        "turns": sum(len(path.turns) for path in rollout.trajectories),
        "prompt_tokens": rollout.usage.prompt_tokens,
        "completion_tokens": rollout.usage.completion_tokens,
        **_call_counts(rollout),
        "suspect": list(rollout.suspect),
        "accepted_at": datetime.fromtimestamp(timings.accepted_at, UTC),
        "handler_s": timings.handler_s,
        "reward_s": timings.reward_s,
        "total_s": timings.total_s,
        "model": rollout.model,
        "framework": framework_of(rollout),
        "first_policy_version": rollout.policy_versions[0] if rollout.policy_versions else None,
        "last_policy_version": rollout.policy_versions[-1] if rollout.policy_versions else None,
        "prompt": _prompt(rollout.payload),
        "output": output_text(rollout.output),
        "trace_id": rollout.trace_id,
    }


def _call_counts(rollout: Rollout) -> dict[str, int]:
    calls = list(tool_calls(rollout))
    return {
        "tool_calls": len(calls),
        "well_formed_calls": sum(call.well_formed for call in calls),
        "format_judged_calls": sum(call.format_ok is not None for call in calls),
        "format_ok_calls": sum(call.format_ok is True for call in calls),
        "execution_judged_calls": sum(call.execution_ok is not None for call in calls),
        "execution_ok_calls": sum(call.execution_ok is True for call in calls),
        "calls_with_error": sum(call.error is not None for call in calls),
        "recovered_calls": sum(call.recovered is True for call in calls),
        "repeated_calls": sum(call.repeated for call in calls),
    }


def _prompt(payload: Any) -> str | None:
    prompt = payload.get("prompt") if isinstance(payload, dict) else None
    return prompt if isinstance(prompt, str) else None


def output_text(output: Any) -> str | None:
    """What a handler returned as a text: itself, or its JSON; None where it returned nothing."""
    if output is None or isinstance(output, str):
        return output
    # What stands for the turns that an agent returned is no JSON; they are in the record's turns.
    return msgspec.json.encode(output, enc_hook=lambda turns: {"$see": "turns"}).decode()


def arrow_table(rollouts: Iterable[Rollout]) -> Any:
    """The rows of rollouts as an Arrow table. Its columns and their types do not depend on what is in it.

    Only `score.NAME` and `metric.NAME` do: there is one for each name that occurs.

    Raises:
        MissingDependencyError: pyarrow is not installed.
    """
    arrow = _imported("pyarrow")
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    number = 0
    for rollout in rollouts:
        for name, value in rollout_row(rollout).items():
            column = columns.setdefault(name, [])
            column.extend([None] * (number - len(column)))
            column.append(value)
        number += 1
    kinds = {
        "string": arrow.string(),
        "int64": arrow.int64(),
        "double": arrow.float64(),
        "list<string>": arrow.list_(arrow.string()),
        "timestamp": arrow.timestamp("us", "UTC"),
    }
    arrays = {}
    for name in [*_COLUMNS, *sorted(columns.keys() - _COLUMNS.keys())]:
        columns[name].extend([None] * (number - len(columns[name])))
        arrays[name] = arrow.array(columns[name], kinds[_COLUMNS.get(name, "double")])
    return arrow.table(arrays)


def pandas_frame(rollouts: Iterable[Rollout]) -> Any:
    """The same as a pandas frame, on Arrow's types, so that what is not there stays apart from zero.

    Raises:
        MissingDependencyError: pandas or pyarrow is not installed.
    """
    types = _imported("pandas").ArrowDtype
    return arrow_table(rollouts).to_pandas(types_mapper=types)


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingDependencyError(
            f'A table of a run needs {name}, which is not installed: pip install "agentcore-rl[notebook]"'
        ) from error
