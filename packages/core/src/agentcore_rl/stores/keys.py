"""What a record's key may be."""

from __future__ import annotations

__all__ = ["check_key"]


def check_key(key: str) -> str:
    """The key itself, if a record store takes it.

    Raises:
        ValueError: with the reason.
    """
    if not key.endswith(".json"):
        raise ValueError(f"The key {key!r} does not end in .json.")
    for segment in key.split("/"):
        if segment in ("", ".", ".."):
            raise ValueError(f"The key {key!r} has the segment {segment!r}.")
    if any(char < " " or char == "\x7f" for char in key):
        raise ValueError(f"The key {key!r} has a control character.")
    try:
        key.encode()
    except UnicodeEncodeError:
        raise ValueError(f"The key {key!r} cannot be written as UTF-8.") from None
    return key
