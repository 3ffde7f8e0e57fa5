"""Parquet: whole rollouts, or training rows, in typed Arrow schemas; both are read back equal."""

from __future__ import annotations

import dataclasses
import os
from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from agentcore_rl.codec import decode_record, encode_record
from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.export.formats.arrow_schemas import arrow
from agentcore_rl.export.row import Row, Span
from agentcore_rl.rollout import Rollout

__all__ = ["read_parquet", "rollout", "row"]

_MAPS = ("software", "counts")
_REWARD_MAPS = ("scores", "weights", "metrics")
_ROW_MAPS = ("scores", "metrics")
_TURN_TEXTS = ("sampling", "asked", "labels")
_EXECUTION_TEXTS = ("arguments", "verdict")
_READ_AT_ONCE = 64


def rollout(record: Rollout) -> Iterator[dict[str, Any]]:
    """A record as one row: its own fields, with JSON texts where a value may have any shape."""
    top = msgspec.json.decode(encode_record(record, bucket="", key=""))
    entry: dict[str, Any] = top["rollout"]
    output = entry.pop("output")
    if entry["output_keys"] is not None:
        output = {key: top[key] for key in entry["output_keys"]}
    entry["output_json"] = _text(output)
    entry["output_turns_json"] = _text(entry.pop("output_turns"))
    entry["payload_json"] = _text(top["payload"])
    # As they are, and not as they would be written again.
    for table in ("messages", "tools"):
        entry[table] = [bytes(raw).decode() for raw in getattr(record, table)]
    for path in entry["trajectories"]:
        for turn in path["turns"]:
            _to_texts(turn, _TURN_TEXTS)
            for execution in turn["executions"]:
                _to_texts(execution, _EXECUTION_TEXTS)
    _to_pairs(entry, _MAPS)
    if entry["reward"] is not None:
        _to_pairs(entry["reward"], _REWARD_MAPS)
    yield entry


def row(made: Row) -> Iterator[dict[str, Any]]:
    """A training row as one row."""
    entry = {field.name: getattr(made, field.name) for field in dataclasses.fields(Row)}
    entry |= {
        "ids": made.ids.tolist(),
        "mask": made.mask.tolist(),
        "spans": [dataclasses.asdict(span) for span in made.spans],
    }
    _to_pairs(entry, _ROW_MAPS)
    yield entry


def read_parquet(path: str | os.PathLike[str]) -> Iterator[Rollout | Row]:
    """What a Parquet file of ours holds, equal to what was written, a few at a time.

    Args:
        path: of a file that `export --to parquet` wrote (rollouts) or `--to parquet-rows` (rows).

    Raises:
        MissingDependencyError: pyarrow is not installed.
        ConfigurationError: it is no such file.
    """
    pa = arrow()
    try:
        file = pa.parquet.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise ConfigurationError(f"{os.fspath(path)} cannot be read as Parquet: {error}.") from None
    with file:
        kind = (file.schema_arrow.metadata or {}).get(b"agentcore_rl")
        backs: dict[bytes, Callable[[dict[str, Any]], Rollout | Row]]
        backs = {b"rollouts": _rollout_back, b"rows": _row_back}
        back = backs.get(kind or b"")
        if back is None:
            raise ConfigurationError(
                f"{os.fspath(path)} was not written by export --to parquet or parquet-rows, so it holds "
                "neither rollouts nor rows."
            )
        for batch in file.iter_batches(batch_size=_READ_AT_ONCE):
            for entry in batch.to_pylist():
                yield back(entry)


def _rollout_back(entry: dict[str, Any]) -> Rollout:
    """Through the record's own JSON, so that what a record checks is checked here too."""
    output = msgspec.json.decode(entry.pop("output_json"))
    payload = msgspec.Raw(entry.pop("payload_json").encode())
    keys = entry["output_keys"]
    entry["output_turns"] = msgspec.json.decode(entry.pop("output_turns_json"))
    entry["output"] = None if keys is not None else output
    _from_pairs(entry, _MAPS)
    if entry["reward"] is not None:
        _from_pairs(entry["reward"], _REWARD_MAPS)
    for table in ("messages", "tools"):
        entry[table] = [msgspec.Raw(text.encode()) for text in entry[table]]
    for path in entry["trajectories"]:
        for turn in path["turns"]:
            _from_texts(turn, _TURN_TEXTS)
            for execution in turn["executions"]:
                _from_texts(execution, _EXECUTION_TEXTS)
    top = output if keys is not None else {}
    return decode_record(msgspec.json.encode({**top, "payload": payload, "rollout": entry}))


def _row_back(entry: dict[str, Any]) -> Row:
    entry |= {
        "ids": array("I", entry["ids"]),
        "mask": array("b", entry["mask"]),
        "spans": tuple(Span(**span) for span in entry["spans"]),
    }
    _from_pairs(entry, _ROW_MAPS)
    return Row(**entry)


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _to_texts(entry: dict[str, Any], names: Iterable[str]) -> None:
    for name in names:
        entry[f"{name}_json"] = _text(entry.pop(name))


def _to_pairs(entry: dict[str, Any], names: Iterable[str]) -> None:
    for name in names:
        entry[name] = [{"name": key, "value": value} for key, value in entry[name].items()]


def _from_pairs(entry: dict[str, Any], names: Iterable[str]) -> None:
    for name in names:
        entry[name] = {pair["name"]: pair["value"] for pair in entry[name]}


def _from_texts(entry: dict[str, Any], names: Iterable[str]) -> None:
    for name in names:
        entry[name] = msgspec.Raw(entry.pop(f"{name}_json").encode())
