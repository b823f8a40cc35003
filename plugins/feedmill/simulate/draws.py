"""Random numbers by key: the numbers for one purpose and place do not depend on earlier draws.

Philox (Salmon et al. 2011) is counter-based: a generator is just a key, and streams of different keys are independent.
So an hour, or a block of it, has the same rows whether it is generated alone or with the others.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """The purpose of a draw, which is part of the key. A new purpose takes a new number."""

    ARCHETYPES = 1
    USERS = 2
    DRIFT = 3
    ITEMS = 4
    TRENDS = 5
    HOUR = 6
    BLOCK = 7
    EVALUATION = 8


def generator(seed: int, stream: Stream, first: int = 0, second: int = 0) -> np.random.Generator:
    """The generator of a purpose and a place; ``first`` and ``second`` are below 2**28."""
    low = int(stream) << 56 | first << 28 | second
    return np.random.Generator(np.random.Philox(key=np.array([seed, low], dtype=np.uint64)))
