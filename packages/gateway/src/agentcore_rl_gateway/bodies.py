"""A request's body before it is read: how much there is to read in it.

Whatever reads JSON keeps the interpreter to itself until it is done, in whichever thread. So what bounds how
long everybody else waits is how many values a body has, and that is counted first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from agentcore_rl_gateway.refusals import CallRefused

__all__ = ["DENSE_FROM", "MOST_VALUES", "off_loop", "refuse_dense"]

MOST_VALUES = 100_000
"""JSON values of a request at most; to read so many takes 30 ms."""

DENSE_FROM = 2 * MOST_VALUES
"""Bytes; a shorter body cannot have more values."""

T = TypeVar("T")


async def off_loop(work: Callable[[], T], *, large: bool) -> T:
    """What this work gives; in a thread where it is large, since a thread costs as much as small work."""
    return await asyncio.to_thread(work) if large else work()


async def refuse_dense(body: bytes) -> None:
    """Refuse a body of `DENSE_FROM` bytes or more that has too many values to be read at once.

    Raises:
        CallRefused: it has more than `MOST_VALUES`.
    """
    if body.count(b",") <= MOST_VALUES:  # most of a text's are in its strings
        return
    if await asyncio.to_thread(_values, body) > MOST_VALUES:
        raise CallRefused(
            f"The request has more than {MOST_VALUES} JSON values, which is the most that is read: send "
            "texts whole instead of in small parts.",
            status=413,
            code="request_too_dense",
        )


def _values(body: bytes) -> int:
    """Commas outside of strings, up to one more than is allowed; a loop here lets other threads run."""
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")  # quotes that are left begin and end strings
    at = count = 0
    while count <= MOST_VALUES:
        opens = plain.find(b'"', at)
        if opens < 0:
            return count + plain.count(b",", at)
        count += plain.count(b",", at, opens)
        closes = plain.find(b'"', opens + 1)
        if closes < 0:
            break
        at = closes + 1
    return count
