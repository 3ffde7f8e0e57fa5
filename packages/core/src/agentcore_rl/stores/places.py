"""Finds the record store and the notices that a location names."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.stores import Notices, RecordStore
from agentcore_rl.stores.directory import DirectoryNotices, DirectoryStore
from agentcore_rl.stores.keys import check_key

__all__ = ["open_notices", "open_store"]


def open_store(location: str, *, bucket: str | None = None) -> RecordStore:
    """The record store at a location. Opening does no I/O.

    Args:
        location: a directory, as a path or a `file://` URL.
        bucket: a folder of it, where a request names one.

    Raises:
        ConfigurationError: there is no store of this kind, or the bucket is not a name.
    """
    return DirectoryStore(_folder(location, bucket))


def open_notices(
    location: str, *, run: str, bucket: str | None = None, prefix: str = "", queue: str | None = None
) -> Notices:
    """The channel that announces a run's records. Opening does no I/O.

    With a directory it is the folder `{prefix}{run}/notices` beside the records.

    Args:
        location: where the records are, as in `open_store`.
        run: the run.
        bucket: as in `open_store`.
        prefix: put before the keys of the run's records.
        queue: a channel of its own: a folder of that name below.

    Raises:
        ConfigurationError: there is no channel of this kind, or a part is not a name.
    """
    path = f"{prefix}{run}/notices"
    try:
        check_key(f"{path}/x.json")
    except ValueError as error:
        raise ConfigurationError(f"There can be no notices for the run {run!r}: {error}") from None
    folder = _folder(location, bucket) / path
    return DirectoryNotices(folder / _name(queue, "queue") if queue else folder)


def _folder(location: str, bucket: str | None) -> Path:
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", location)
    if scheme is None:
        root = Path(location).expanduser()
    elif scheme[1].lower() == "file":
        parts = urlsplit(location)
        if parts.netloc not in ("", "localhost") or not parts.path:
            raise ConfigurationError(f"The store {location!r} must have the form file:///path.")
        root = Path(unquote(parts.path))
    else:
        raise ConfigurationError(
            f"This release has no record store for {scheme[1]}://; name a directory (AGENTCORE_RL_STORE)."
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
