"""Record <-> bytes; the only file that knows schema versions and the envelope.

A record is one JSON object. Its top level is the envelope that readers of agentcore-rl-toolkit
expect: what the agent returned, spread when it is a dict, and the keys of `ENVELOPE_KEYS`. Under
`rollout` lies the record of our own schema. Nothing is stored twice: an output that is spread is
named by its keys alone, the payload lies in the envelope, and turns that the agent handed back as
`rollout_data` are referred to.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, overload

import msgspec

from agentcore_rl.decoders import decoder
from agentcore_rl.endpoint import Secret
from agentcore_rl.exceptions import ContractError, RecordUnreadable, UnknownSchema
from agentcore_rl.redaction import Redactor
from agentcore_rl.reward import Reward
from agentcore_rl.rollout import (
    Crosscheck,
    Failure,
    Rollout,
    Status,
    StopReason,
    Timings,
    Trajectory,
    Turn,
    Usage,
)
from agentcore_rl.storable import redacted, storable
from agentcore_rl.strict_json import Walk, first_problem

__all__ = [
    "ENVELOPE_KEYS",
    "ROLLOUT_DATA",
    "SCHEMA",
    "StoredTurns",
    "check_json",
    "decode_record",
    "encode_record",
    "envelope_conflicts",
    "json_schema",
    "salvage",
]

SCHEMA = "agentcore-rl/rollout/1"
"""What this release writes, and all that it reads."""

ENVELOPE_KEYS = ("status_code", "stop_reason", "input_id", "s3_bucket", "result_key", "payload", "rollout")
"""Top-level keys that are the envelope's own: an agent must not return them."""

_FAMILY = "agentcore-rl/rollout/"
_SEE_TURNS = {"$see": "rollout.trajectories"}


class StoredTurns(Sequence[dict[str, Any]]):
    """The turns of a record where its agent had returned `rollout_data`: expanded on access.

    Each item is `ExpandedTurn.to_dict()`. `ROLLOUT_DATA` is the one that belongs to no record: put
    it where the agent's output holds the rollout's turns, and they are not stored a second time.
    """

    __slots__ = ("_rollout",)

    def __init__(self) -> None:
        self._rollout: Rollout | None = None

    def __len__(self) -> int:
        return 0 if self._rollout is None else len(self._rollout.turns)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        turns = () if self._rollout is None else self._rollout.turns
        if isinstance(index, slice):
            return [turn.to_dict() for turn in turns[index]]
        return turns[index].to_dict()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if self._rollout is not None:
            for turn in self._rollout.turns:
                yield turn.to_dict()

    def __eq__(self, other: object) -> bool:
        """Equal to `ROLLOUT_DATA`, which stands for any turns, and to equal turns."""
        if not isinstance(other, StoredTurns):
            return NotImplemented
        return self._rollout is None or other._rollout is None or list(self) == list(other)

    __hash__ = None  # type: ignore[assignment] # as lists are

    def __repr__(self) -> str:
        return "ROLLOUT_DATA" if self._rollout is None else f"<{len(self)} turns>"


ROLLOUT_DATA = StoredTurns()
"""Stands in an output for the rollout's own turns."""

_KEEP = (StoredTurns,)


class _Stored(msgspec.Struct):
    """The record under `rollout`: the fields of `agentcore_rl.Rollout`, but for output and payload.

    output: what the agent returned, unless it is spread over the top level.
    output_keys: the top-level keys that the agent returned; null when output is not spread.
    output_turns: paths in the agent's output at which it had returned the rollout's own turns.
    """

    schema: str
    run: str
    task: str
    sample: int
    attempt: int
    session: str
    input_id: str
    status: Status
    stop_reason: StopReason
    failure: Failure | None
    messages: Sequence[msgspec.Raw]
    tools: Sequence[msgspec.Raw]
    trajectories: Sequence[Trajectory]
    reward: Reward | None
    suspect: Sequence[str]
    usage: Usage
    timings: Timings
    model: str | None
    policy_versions: Sequence[int]
    software: Mapping[str, str]
    crosscheck: Crosscheck
    counts: Mapping[str, int]
    trace_id: str | None
    output: Any
    output_keys: list[str] | None
    output_turns: list[list[str | int]]


_RECORD_FIELDS = tuple(
    name for name in _Stored.__struct_fields__ if name in Rollout.__dataclass_fields__ and name != "output"
)


class _Envelope(msgspec.Struct):
    """One record. Further top-level keys are what the agent returned.

    status_code: 200 when the rollout succeeded, else 500.
    stop_reason: "end_turn", or the failure's message.
    input_id: the id in the record's key.
    s3_bucket: the bucket that holds the record.
    result_key: the record's key in it.
    payload: the payload of the rollout, secrets replaced by ***.
    rollout: the record itself.
    """

    status_code: int
    stop_reason: str
    input_id: str
    s3_bucket: str
    result_key: str
    payload: Any
    rollout: _Stored


class _Head(msgspec.Struct):
    schema: Any = None


def check_json(value: Any, where: str = "output", *, secrets: Sequence[Secret] = ()) -> None:
    """Does nothing when `value` comes back from a record as it is (tuples as lists).

    Refused are NaN and infinities, bytes, sets and every other type that JSON has not, keys that
    are no strings, halves of surrogate pairs, integers of more than 3,900 digits, circular
    references, and nesting deeper than 200 levels. `ROLLOUT_DATA` may stand anywhere.

    Args:
        value: what a rollout returns.
        where: what the place begins with.
        secrets: values of which the error quotes no part; those that stand in it whole stay.

    Raises:
        ContractError: naming the place, as in `output["a"][2] is NaN`.
    """
    problem = first_problem(value, where, _KEEP, Redactor(secrets).text)
    if problem is not None:
        raise ContractError(f"{problem}. What a rollout returns must be plain JSON.")


def salvage(value: Any, *, secrets: Sequence[Secret] = ()) -> Any:
    """A copy that can be stored: all of `value` but what `check_json` refuses.

    Each refused leaf becomes `{"$unserialisable": "its repr, at most 500 characters"}`; keys that
    are no strings become their repr.

    Args:
        value: what a rollout returned.
        secrets: values that are taken out of these reprs, which end where 500 characters end.
    """
    return Walk(keep=_KEEP, hide=Redactor(secrets).text).plain(value)


def envelope_conflicts(output: Any) -> list[str]:
    """The keys of an agent's output that the envelope owns, sorted; empty when it is no dict."""
    return sorted(set(ENVELOPE_KEYS) & output.keys()) if isinstance(output, dict) else []


def encode_record(rollout: Rollout, *, bucket: str, key: str, secrets: Sequence[Secret] = ()) -> bytes:
    """The bytes of a record.

    Ids, enumerations and our own keys are never redacted; every other text is, and then `suspect`
    of the rollout and of the turns concerned says `redacted`. Parts of turns that are no JSON are
    salvaged, and `suspect` says `unserialisable`.

    Args:
        rollout: the record; its token arrays may be `array.array`.
        bucket: name for the envelope's `s3_bucket`.
        key: the record's key, for the envelope's `result_key`.
        secrets: values that must not stand in the record (of at least 8 characters each).

    Raises:
        ContractError: the output is not JSON, or the reward not finite (see `check_json`).
    """
    check_json(rollout.output, secrets=secrets)
    redactor = Redactor(secrets)
    rollout = storable(rollout, redactor)
    content = _written(rollout, bucket, key)
    if redactor and redactor.finds(content.decode()):
        rollout = redacted(rollout, redactor)
        content = _written(rollout, bucket, key)
    return content


def decode_record(content: bytes) -> Rollout:
    """The record that these bytes hold. Token ids and logprobs are `array.array`, other sequences lists.

    Raises:
        UnknownSchema: it was written by another release.
        RecordUnreadable: it is not a record of ours, or it is damaged.
    """
    try:
        top = decoder(dict[str, msgspec.Raw]).decode(content)
        schema = decoder(_Head).decode(top["rollout"]).schema if "rollout" in top else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordUnreadable(f"The object is not a whole JSON object: {error}.") from None
    if not isinstance(schema, str) or not schema.startswith(_FAMILY):
        raise RecordUnreadable(
            "The object is JSON, but not a record of agentcore-rl: it has no rollout.schema."
        )
    if schema != SCHEMA:
        raise UnknownSchema(
            f"The record has the schema {schema[:100]!r}, and this release reads only {SCHEMA!r}: "
            "use the release of agentcore-rl that wrote it, or a newer one."
        )
    try:
        stored = decoder(_Stored).decode(top["rollout"])
        output = _assembled(stored, top)
        rollout = Rollout(
            **{name: getattr(stored, name) for name in _RECORD_FIELDS},
            output=output,
            payload=msgspec.json.decode(top["payload"]) if "payload" in top else None,
        )
        return _whole(_bound(rollout, stored.output_turns))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, LookupError, TypeError) as error:
        raise RecordUnreadable(f"The record is damaged: {error}.") from None


def json_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a record, made from the classes that are stored."""
    (schema,), components = msgspec.json.schema_components((_Envelope,), ref_template="#/$defs/{name}")
    text = msgspec.json.encode(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": SCHEMA,
            **components.pop("_Envelope"),
            "$defs": components,
        }
    )
    assert schema == {"$ref": "#/$defs/_Envelope"}
    named: dict[str, Any] = msgspec.json.decode(
        text.replace(b"_Envelope", b"Record").replace(b"_Stored", b"StoredRollout")
    )
    return named


# ── writing ────────────────────────────────────────────────────────────────


def _written(rollout: Rollout, bucket: str, key: str) -> bytes:
    walk = Walk(keep=_KEEP)
    output = walk.plain(rollout.output)
    for path in walk.kept:
        output = _put(output, path, _SEE_TURNS)
    spread = isinstance(output, dict) and not envelope_conflicts(output)
    stored = _Stored(
        schema=SCHEMA,
        **{name: getattr(rollout, name) for name in _RECORD_FIELDS},
        output=None if spread else output,
        output_keys=list(output) if spread else None,
        output_turns=walk.kept,
    )
    top: dict[str, Any] = dict(output) if spread else {}
    if rollout.reward is not None:
        # Readers of agentcore-rl-toolkit look for the reward here; what the agent returned stands.
        top.setdefault("rewards", rollout.reward.value)
    return msgspec.json.encode(
        top
        | {
            "status_code": 200 if rollout.status is Status.SUCCEEDED else 500,
            "stop_reason": "end_turn" if rollout.failure is None else rollout.failure.message,
            "input_id": rollout.input_id,
            "s3_bucket": bucket,
            "result_key": key,
            "payload": rollout.payload,
            "rollout": stored,
        },
        enc_hook=_as_json,
    )


def _as_json(value: Any) -> Any:
    """What msgspec does not know: arrays, and the read-only forms of lists, dicts and strings."""
    if isinstance(value, array):
        return value.tolist()
    if isinstance(value, str):
        return str(value) if isinstance(value, Secret) else str.__str__(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    raise ContractError(f"A record cannot hold a {type(value).__qualname__}.")


def _put(output: Any, path: Sequence[str | int], value: Any) -> Any:
    """`output` with `value` at `path`; changes its containers."""
    if not path:
        return value
    place = output
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return output


# ── reading ────────────────────────────────────────────────────────────────


def _assembled(stored: _Stored, top: Mapping[str, msgspec.Raw]) -> Any:
    if stored.output_keys is None:
        return stored.output
    return {key: msgspec.json.decode(top[key]) for key in stored.output_keys}


def _bound(rollout: Rollout, places: Sequence[Sequence[str | int]]) -> Rollout:
    """The record with its turns where its output had held them."""
    if not places:
        return rollout
    turns = StoredTurns()
    output = rollout.output
    for path in places:
        output = _put(output, path, turns)
    rollout = replace(rollout, output=output)
    turns._rollout = rollout
    return rollout


def _whole(rollout: Rollout) -> Rollout:
    """The same record, checked to refer to nothing that it does not hold, and made compact."""
    seen: set[int] = set()
    for turn in sorted(
        (turn for path in rollout.trajectories for turn in path.turns), key=lambda turn: turn.id
    ):
        if turn.id in seen or not (turn.parent is None or turn.parent in seen):
            raise LookupError(f"turn {turn.id} stands twice, or before the turn that it extends")
        seen.add(turn.id)
        for index in (*turn.prompt.new, *(() if turn.answer is None else (turn.answer,))):
            if not 0 <= index < len(rollout.messages):
                raise LookupError(f"turn {turn.id} refers to message {index} of {len(rollout.messages)}")
        if turn.tools is not None and not 0 <= turn.tools < len(rollout.tools):
            raise LookupError(f"turn {turn.id} refers to tools {turn.tools} of {len(rollout.tools)}")
        _compact(turn)
    # Copies: a view would keep the whole content alive for the sake of its messages.
    return replace(
        rollout,
        messages=[raw.copy() for raw in rollout.messages],
        tools=[raw.copy() for raw in rollout.tools],
    )


def _compact(turn: Turn) -> None:
    """Token ids and logprobs as arrays: 4 and 8 bytes each instead of a Python object."""
    tokens = turn.tokens
    if tokens is None:
        return
    # The turn was made a moment ago and nobody else has it yet, frozen though it is.
    object.__setattr__(tokens, "answer", _ids(tokens.answer))
    if tokens.prompt_new is not None:
        object.__setattr__(tokens, "prompt_new", _ids(tokens.prompt_new))
    if tokens.logprobs is not None:
        object.__setattr__(tokens, "logprobs", array("d", tokens.logprobs))


def _ids(values: Sequence[int]) -> array[int]:
    try:
        return array("I", values)
    except OverflowError as error:
        raise LookupError(f"a token id does not fit 32 bits ({error})") from None
