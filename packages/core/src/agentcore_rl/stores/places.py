"""Finds the record store and the notices that a location names.

/path, file:///path    a directory, with notices beside the records
s3://bucket/prefix     S3, with notices in a queue of SQS if one is named
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.stores import Notices, RecordStore
from agentcore_rl.stores.directory import DirectoryNotices, DirectoryStore
from agentcore_rl.stores.keys import check_key

__all__ = ["object_of", "open_notices", "open_store"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")


def open_store(location: str, *, bucket: str | None = None) -> RecordStore:
    """The record store at a location. Opening does no I/O.

    Args:
        location: a directory, as a path or a `file://` URL; or `s3://bucket/prefix`.
        bucket: where a request names one: a folder of the directory, or the bucket in place of the
            location's, with the location's prefix.

    Raises:
        ConfigurationError: there is no store of this kind, or the bucket is not a name.
    """
    s3 = _s3(location, bucket)
    if s3 is None:
        return DirectoryStore(_folder(location, bucket))
    from agentcore_rl.aws.s3 import S3Store

    return S3Store(*s3, encryption=os.environ.get("AGENTCORE_RL_S3_SSE", "").strip() or None)


def open_notices(
    location: str, *, run: str, bucket: str | None = None, prefix: str = "", queue: str | None = None
) -> Notices | None:
    """The channel that announces a run's records. Opening does no I/O.

    With a directory it is the folder `{prefix}{run}/notices` beside the records; with S3 the queue.

    Args:
        location: where the records are, as in `open_store`.
        run: the run.
        bucket: as in `open_store`.
        prefix: put before the keys of the run's records.
        queue: a channel of its own: a folder of that name below; with S3 the URL of a queue of SQS,
            in place of the environment's AGENTCORE_RL_QUEUE.

    Returns:
        The channel; None with S3 and no queue: whoever waits lists the store, or hears of the bucket's
        own event notifications.

    Raises:
        ConfigurationError: there is no channel of this kind, or a part is not a name.
    """
    path = f"{prefix}{run}/notices"
    try:
        check_key(f"{path}/x.json")
    except ValueError as error:
        raise ConfigurationError(f"There can be no notices for the run {run!r}: {error}") from None
    s3 = _s3(location, bucket)
    if s3 is None:
        folder = _folder(location, bucket) / path
        return DirectoryNotices(folder / _name(queue, "queue") if queue else folder)
    from agentcore_rl.aws.s3 import S3Store
    from agentcore_rl.aws.sqs import SQSNotices

    store = S3Store(*s3)
    queue = queue or os.environ.get("AGENTCORE_RL_QUEUE", "").strip() or None
    return None if queue is None else SQSNotices(queue, location=store.location)


def object_of(location: str, key: str, *, bucket: str | None = None) -> tuple[str, str]:
    """Where a record lies, in the words of S3's own clients: bucket and key.

    With a directory store that is the request's bucket ("" when it names none) and the record's key.

    Args:
        location: as in `open_store`.
        key: the record's key in that store.
        bucket: as in `open_store`.
    """
    s3 = _s3(location, bucket)
    if s3 is None:
        return bucket or "", key
    there, prefix = s3
    return there, f"{prefix}/{key}" if prefix else key


def _s3(location: str, bucket: str | None) -> tuple[str, str] | None:
    """Bucket and prefix of a location in S3; None for another."""
    scheme = _SCHEME.match(location)
    if scheme is None or scheme[1].lower() != "s3":
        return None
    there, _, prefix = location[scheme.end() :].partition("/")
    return bucket or there, prefix.strip("/")


def _folder(location: str, bucket: str | None) -> Path:
    scheme = _SCHEME.match(location)
    if scheme is None:
        root = Path(location).expanduser()
    elif scheme[1].lower() == "file":
        parts = urlsplit(location)
        if parts.netloc not in ("", "localhost") or not parts.path:
            raise ConfigurationError(f"The store {location!r} must have the form file:///path.")
        root = Path(unquote(parts.path))
    else:
        raise ConfigurationError(
            f"There is no record store for {scheme[1]}://; name a directory or s3://bucket/prefix "
            "(AGENTCORE_RL_STORE)."
        )
    if not location:
        raise ConfigurationError("The store's location is empty; name a directory (AGENTCORE_RL_STORE).")
    return root / _name(bucket, "bucket") if bucket else root


def _name(text: str, what: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_=-][A-Za-z0-9._=-]{0,127}", text):
        raise ConfigurationError(
            f"With a directory store the {what} is the name of a folder ([A-Za-z0-9._=-]), not {text!r}."
        )
    return text
