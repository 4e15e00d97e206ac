"""The one source of random numbers that layers and initialisers draw from when none is given."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

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
    """The generator in use; it starts from 0 if `seed` was never called."""
    global _generator
    if _generator is None:
        _generator = np.random.default_rng(0)
    return _generator


@contextlib.contextmanager
def seeded(numbers: Sequence[int]) -> Iterator[np.random.Generator]:
    """Draw from a generator made from `numbers` inside a `with` block; the one before comes back after it."""
    global _generator
    before, _generator = _generator, (inside := np.random.default_rng(numbers))
    try:
        yield inside
    finally:
        _generator = before
