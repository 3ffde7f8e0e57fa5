"""JSON decoders of types, each made once.

msgspec inspects a type when it is first decoded; two threads that do so at the same moment can crash
the interpreter (seen with msgspec 0.22), so that is done under a lock.
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec

__all__ = ["decoder"]

T = TypeVar("T")
_made: dict[Any, msgspec.json.Decoder[Any]] = {}
_making = threading.Lock()


def decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """The decoder of JSON texts that hold a `kind`."""
    found = _made.get(kind)
    if found is None:
        with _making:
            found = _made.get(kind)
            if found is None:
                found = _made[kind] = msgspec.json.Decoder(kind)
    return found
