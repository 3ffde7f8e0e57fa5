"""Random generators that a forked process must not share with its siblings."""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Iterable
from typing import Any

__all__ = ["generators", "reseed"]


def generators() -> list[Any]:
    """Generators that the app has made: of `random.Random`, and of numpy's two kinds.

    They are looked for once, before the garbage collector forgets what is there (`gc.freeze`). Types are
    compared, never `isinstance`, which asks an object's own class attribute and so may run code of the app.
    """
    kinds: set[type] = {random.Random}
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        kinds |= {numpy_random.Generator, numpy_random.RandomState}
    return [
        found
        for found in gc.get_objects()
        if not kinds.isdisjoint(type(found).__mro__) and not isinstance(found, random.SystemRandom)
    ]


def reseed(found: Iterable[Any]) -> None:
    """Seed all of them, and the two that belong to everybody, from the system's randomness."""
    random.seed()
    for generator in found:
        if hasattr(generator, "seed"):
            generator.seed()
        else:
            bits = generator.bit_generator
            bits.state = type(bits)().state
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
