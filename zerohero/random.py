"""The one source of random numbers that layers and initialisers draw from when none is given."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from zerohero.arguments import integer

_generator: np.random.Generator | None = None  # made on first use: numpy.random is slow to import


def seed(n: int) -> None:
    """Start the library's random numbers again from `n`: same seed, same numbers.

    Parameters
    ----------
    n : int
        At least 0.

    Examples
    --------
    >>> seed(7)
    >>> first = generator().random()
    >>> seed(7)
    >>> generator().random() == first
    True
    """
    global _generator
    _generator = np.random.default_rng(integer(n, "seed", "n", least=0))


def generator() -> np.random.Generator:
    """The generator in use; it starts from 0 if `seed` was never called.

    Examples
    --------
    >>> seed(7)
    >>> generator().integers(10) in range(10)
    True
    """
    global _generator
    if _generator is None:
        _generator = np.random.default_rng(0)
    return _generator


def uniform(shape: Sequence[int], rng: np.random.Generator, xp: Any = np) -> Any:
    """Numbers in [0, 1), float32, made where they are needed: by `rng`, or on the GPU from one number that `rng` draws.

    On a GPU every number is a function of that one and of its own place, which is what SplitMix64 is good at: nothing
    is copied there, and the same seed gives the same numbers in every run.

    Parameters
    ----------
    shape : tuple of int
    rng : numpy.random.Generator
    xp : module
        `numpy`, or `cupy` for the GPU.

    Returns
    -------
    array

    References
    ----------
    Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators", doi:10.1145/2660193.2660195.

    Examples
    --------
    >>> uniform((2, 3), np.random.default_rng(0)).shape
    (2, 3)
    """
    if xp is np:
        return rng.random(shape, dtype=np.float32)
    z = xp.arange(1, math.prod(shape) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z += rng.integers(2**64, dtype=np.uint64)  # uint64 wraps around, as it should here
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return ((z >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)).reshape(shape)  # the 24 bits of a float32


@contextlib.contextmanager
def seeded(numbers: Sequence[int]) -> Iterator[np.random.Generator]:
    """Draw from a generator made from `numbers` inside a `with` block; the one before comes back after it.

    Examples
    --------
    >>> with seeded([1, 2]):
    ...     first = generator().random()
    >>> with seeded([1, 2]):
    ...     generator().random() == first
    True
    """
    global _generator
    before, _generator = _generator, (inside := np.random.default_rng(numbers))
    try:
        yield inside
    finally:
        _generator = before
