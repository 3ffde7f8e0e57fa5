"""What a record's key may be, and what it says."""

from __future__ import annotations

import re

__all__ = ["check_key", "split_input_id"]


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


def split_input_id(input_id: str) -> tuple[str, int]:
    """Task and sample: of `{task}.{sample}`, or any other id as a task with sample 0."""
    task, dot, number = input_id.rpartition(".")
    if dot and task and re.fullmatch(r"0|[1-9][0-9]{0,8}", number):
        return task, int(number)
    return input_id, 0
