"""Types of command line arguments; their errors are sentences."""

from __future__ import annotations

from argparse import ArgumentTypeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["above_zero", "at_least_one", "json_object", "port", "seconds"]


def at_least_one(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isascii() or not text.isdigit() or int(text[:10]) < 1:
        raise ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def port(text: str) -> int:
    """A TCP port; 0 takes a free one."""
    if not text.isascii() or not text.isdigit() or int(text[:6]) > 65535:
        raise ArgumentTypeError(f"{text!r} is no port: a whole number from 0 to 65535")
    return int(text)


def above_zero(text: str, what: str = "number") -> float:
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ArgumentTypeError(f"{text!r} is no {what} above 0")
    return value


def seconds(text: str) -> float:
    """A number of seconds above 0."""
    return above_zero(text, "number of seconds")


def json_object(text: str) -> dict[str, Any]:
    """A JSON object."""
    import json

    try:
        value = json.loads(text)
    except ValueError as error:
        raise ArgumentTypeError(
            f"it is not JSON ({error}); quote it, as '{{\"temperature\": 0.7}}'"
        ) from None
    if not isinstance(value, dict):
        raise ArgumentTypeError("it is no JSON object, such as '{\"temperature\": 0.7}'")
    return value
