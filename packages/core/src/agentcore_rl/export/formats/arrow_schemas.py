"""The typed Arrow schemas of the Parquet formats."""

from __future__ import annotations

import functools
from importlib import import_module
from typing import Any

from agentcore_rl.exceptions import MissingDependencyError

__all__ = ["arrow", "of"]


def arrow() -> Any:
    """The pyarrow package.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import_module("pyarrow.parquet")
        return import_module("pyarrow")
    except ImportError:
        raise MissingDependencyError(
            'Parquet needs pyarrow, which is not installed: pip install "agentcore-rl[notebook]"'
        ) from None


def of(name: str) -> Any:
    """The schema of a format.

    Raises:
        MissingDependencyError: pyarrow is not installed.
    """
    return {
        "parquet": _rollouts,
        "parquet-rows": _rows,
        "verl-prompts": _verl_prompts,
    }[name]()


def _mapping(values: Any) -> Any:
    """Of names to values: a list of pairs, since Hugging Face's datasets cannot read Arrow's maps."""
    pa = arrow()
    return pa.list_(pa.struct([("name", pa.string()), ("value", values)]))


def _with_metadata(fields: list[Any], name: str) -> Any:
    return arrow().schema(fields, metadata={"agentcore_rl": name})


@functools.cache
def _rollouts() -> Any:
    """One row per rollout; values of any shape (`..._json`) are JSON texts, and so are messages and tools."""
    pa = arrow()
    text, whole, number, flag = pa.string(), pa.int64(), pa.float64(), pa.bool_()
    usage = pa.struct([("prompt_tokens", whole), ("completion_tokens", whole)])
    tokens = pa.struct(
        [
            ("prompt_keep", whole),
            ("prompt_new", pa.list_(pa.uint32())),
            ("answer", pa.list_(pa.uint32())),
            ("logprobs", pa.list_(number)),
        ]
    )
    execution = pa.struct(
        [
            ("call_id", text),
            ("name", text),
            ("arguments_json", text),
            ("outcome", text),
            ("error", text),
            ("seconds", number),
            ("verdict_json", text),
        ]
    )
    http = pa.struct(
        [
            ("started_s", number),
            ("seconds", number),
            ("status", whole),
            ("error", text),
            ("complete", flag),
        ]
    )
    turn = pa.struct(
        [
            ("id", whole),
            ("parent", whole),
            ("agent", text),
            ("prompt", pa.struct([("keep", whole), ("new", pa.list_(whole))])),
            ("answer", whole),
            ("tools", whole),
            ("model", text),
            ("sampling_json", text),
            ("asked_json", text),
            ("finish_reason", text),
            ("usage", usage),
            ("response_id", text),
            ("tokens", tokens),
            ("policy_version", whole),
            ("executions", pa.list_(execution)),
            ("http", pa.list_(http)),
            ("scope", text),
            ("source", text),
            ("labels_json", text),
            ("suspect", pa.list_(text)),
            ("started_s", number),
            ("seconds", number),
        ]
    )
    numbers = _mapping(number)
    fields = [
        *((name, text) for name in ("schema", "run", "task")),
        ("sample", whole),
        ("attempt", whole),
        *((name, text) for name in ("session", "input_id", "status", "stop_reason")),
        (
            "failure",
            pa.struct(
                [("kind", text), ("message", text), ("type", text), ("traceback", text), ("retryable", flag)]
            ),
        ),
        ("messages", pa.list_(text)),
        ("tools", pa.list_(text)),
        (
            "trajectories",
            pa.list_(pa.struct([("agent", text), ("parent", text), ("turns", pa.list_(turn))])),
        ),
        (
            "reward",
            pa.struct(
                [
                    ("value", number),
                    ("scores", numbers),
                    ("weights", numbers),
                    ("metrics", numbers),
                    ("turn_rewards", pa.list_(number)),
                ]
            ),
        ),
        ("suspect", pa.list_(text)),
        ("usage", usage),
        (
            "timings",
            pa.struct(
                [("accepted_at", number), ("handler_s", number), ("reward_s", number), ("total_s", number)]
            ),
        ),
        ("model", text),
        ("policy_versions", pa.list_(whole)),
        ("software", _mapping(text)),
        (
            "crosscheck",
            pa.struct(
                [
                    ("matched", whole),
                    ("wire_only", whole),
                    ("callback_only", whole),
                    ("differing", whole),
                    ("collected", flag),
                ]
            ),
        ),
        ("counts", _mapping(whole)),
        ("trace_id", text),
        ("output_json", text),
        ("output_keys", pa.list_(text)),
        ("output_turns_json", text),
        ("payload_json", text),
    ]
    return _with_metadata(fields, "rollouts")


@functools.cache
def _rows() -> Any:
    """One row per training row; a logprob that is missing is null."""
    pa = arrow()
    text, whole, number = pa.string(), pa.int64(), pa.float64()
    span = pa.struct(
        [
            ("turn", whole),
            ("start", whole),
            ("end", whole),
            ("sampled", pa.bool_()),
            ("agent", text),
            ("policy_version", whole),
            ("temperature", number),
            ("constrained", pa.bool_()),
            ("reward", number),
            ("masked", text),
        ]
    )
    fields = [
        ("run", text),
        ("task", text),
        ("sample", whole),
        ("attempt", whole),
        ("session", text),
        ("input_id", text),
        ("branch", whole),
        ("agent", text),
        ("ids", pa.list_(pa.uint32())),
        ("mask", pa.list_(pa.int8())),
        ("logprobs", pa.list_(number)),
        ("spans", pa.list_(span)),
        ("reward", number),
        ("scores", _mapping(number)),
        ("metrics", _mapping(number)),
        ("masked", text),
        ("status", text),
        ("stop_reason", text),
        ("model", text),
        ("advantage", number),
    ]
    return _with_metadata(fields, "rows")


@functools.cache
def _verl_prompts() -> Any:
    pa = arrow()
    text = pa.string()
    return pa.schema(
        [
            ("data_source", text),
            ("prompt", pa.list_(pa.struct([("role", text), ("content", text)]))),
            ("ability", text),
            ("reward_model", pa.struct([("style", text), ("ground_truth", text)])),
            (
                "extra_info",
                pa.struct([("split", text), ("index", pa.int64()), ("task", text), ("payload", text)]),
            ),
        ]
    )
