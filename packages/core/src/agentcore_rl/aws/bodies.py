"""What messages of a queue say: ours, S3's own event notifications, and what is neither. No I/O.

ours            {"schema": "agentcore-rl/notice/1", "location": "s3://...", "run": ..., "key": ..., ...}
S3              {"Records": [{"eventName": "ObjectCreated:Put", "s3": {...}}]}, keys form-encoded
S3's test       {"Event": "s3:TestEvent"}: sent once, when notifications are switched on
EventBridge     {"source": "aws.s3", "detail-type": "Object Created", "detail": {...}}, keys as they are
SNS             {"Type": "Notification", "Message": "..."} around any of these
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from enum import Enum
from typing import Any
from urllib.parse import unquote_plus

import msgspec

from agentcore_rl.stores import Notice
from agentcore_rl.stores.keys import check_key, split_input_id

__all__ = ["Meaning", "read_body", "write_body"]

SCHEMA = "agentcore-rl/notice/1"
_PROBE = re.compile(r"(?:.*/)?probe-[^/]+\.json")


class Meaning(Enum):
    """What a message is for its receiver."""

    NOTICES = "notices"
    """It announces records of this store."""
    ELSEWHERE = "elsewhere"
    """It announces records of another store: somebody else's."""
    NOTHING = "nothing"
    """It is understood and has nothing to say: to be removed."""
    UNKNOWN = "unknown"
    """It is not understood: to be left alone."""


def write_body(notice: Notice, location: str | None) -> str:
    """The body of a message that announces a record of the store at this location."""
    fields = {"schema": SCHEMA, "location": location, **asdict(notice)}
    return msgspec.json.encode(fields).decode()


def read_body(body: str, location: str | None) -> tuple[Meaning, Sequence[Notice]]:
    """What a body says to a reader of the store at this location.

    Args:
        body: of a message; anybody may have written it.
        location: `s3://bucket/prefix`; None hears of every store, with keys as they are in their buckets.
    """
    try:
        said = _unwrapped(msgspec.json.decode(body))
        if said.get("schema") == SCHEMA:
            return _ours(said, location)
        return _of_objects(said, location)
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError, TypeError, KeyError, AttributeError):
        return Meaning.UNKNOWN, ()
    except RecursionError:
        return Meaning.UNKNOWN, ()


def _unwrapped(said: Any) -> Any:
    if said.get("Type") == "Notification" and "TopicArn" in said:
        return msgspec.json.decode(said["Message"])
    return said


def _ours(said: Any, location: str | None) -> tuple[Meaning, Sequence[Notice]]:
    notice = msgspec.convert(said, Notice)
    check_key(notice.key)
    if location is not None and said.get("location") not in (None, location):
        return Meaning.ELSEWHERE, ()
    return Meaning.NOTICES, [notice]


def _of_objects(said: Any, location: str | None) -> tuple[Meaning, Sequence[Notice]]:
    if said.get("Event") == "s3:TestEvent":
        return Meaning.NOTHING, ()
    notices: dict[str, Notice] = {}
    meanings = {Meaning.UNKNOWN}
    for bucket, name, size in _objects(said):
        key = _key(bucket, name, location)
        if key is None:
            meanings.add(Meaning.ELSEWHERE)
        elif _PROBE.fullmatch(key):
            meanings.add(Meaning.NOTHING)  # the client that asked for it looks for it by itself
        elif (notice := _notice(key, size)) is not None:
            notices[key] = notice
    if notices:
        return Meaning.NOTICES, list(notices.values())
    return next(m for m in (Meaning.ELSEWHERE, Meaning.NOTHING, Meaning.UNKNOWN) if m in meanings), ()


def _objects(said: Any) -> Iterator[tuple[str, str, int]]:
    """(bucket, key, size) of each object that was created."""
    if said.get("source") == "aws.s3":
        if said.get("detail-type") == "Object Created":
            detail = said["detail"]
            yield detail["bucket"]["name"], detail["object"]["key"], int(detail["object"].get("size", 0))
        return
    for record in said.get("Records", ()):
        if record.get("eventSource") == "aws:s3" and record.get("eventName", "").startswith("ObjectCreated:"):
            made = record["s3"]["object"]
            key = unquote_plus(made["key"], errors="strict")
            yield record["s3"]["bucket"]["name"], key, int(made.get("size", 0))


def _key(bucket: str, name: str, location: str | None) -> str | None:
    """The key in the store at this location; None when the object is not in it."""
    if location is None:
        return name
    there, _, root = location.removeprefix("s3://").partition("/")
    if bucket != there or (root and not name.startswith(f"{root}/")):
        return None
    return name.removeprefix(f"{root}/") if root else name


def _notice(key: str, size: int) -> Notice | None:
    """What can be said of a record from its place, `{prefix}{run}/{task}.{sample}/{session}.json`."""
    parts = check_key(key).split("/")
    if len(parts) < 3:
        return None
    task, sample = split_input_id(parts[-2])
    return Notice(
        run=parts[-3],
        task=task,
        sample=sample,
        attempt=None,
        session=parts[-1].removesuffix(".json"),
        key=key,
        size=size,
        sha256=None,
        status=None,
        reward=None,
    )
