"""Generators that a forked process must not share."""

import random

import numpy as np

from agentcore_rl.local_runtime.randomness import generators, reseed


def test_generators_of_the_app_are_found_and_seeded():
    """Private ones of `random` and numpy; the system's own needs none."""

    class Own(random.Random):
        """Somebody's subclass."""

    made = [random.Random(1), Own(1), np.random.default_rng(1), np.random.RandomState(1)]
    system = random.SystemRandom()
    found = generators()
    assert all(any(one is other for other in found) for one in made)
    assert not any(other is system for other in found)
    before = [one.random() for one in (random.Random(1), Own(1), np.random.default_rng(1))]
    reseed(made)
    assert not set(before) & {one.random() for one in made}
