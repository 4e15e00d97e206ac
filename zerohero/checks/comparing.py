"""Where two arrays differ. Whose they are and what a difference means is not known here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Difference:
    """How one array differs from the expected one."""

    kind: Literal["shape", "type", "value"]
    where: np.ndarray | None = None  # True where values differ; None unless kind is "value"

    @property
    def first(self) -> tuple[int, ...]:
        """The index of the first differing entry, in reading order."""
        assert self.where is not None
        return tuple(int(i) for i in np.unravel_index(int(self.where.argmax()), self.where.shape))


def difference(yours: np.ndarray, expected: np.ndarray, rtol: float, atol: float) -> Difference | None:
    """Return how `yours` differs from `expected`, or None: shape first, then values, then the type of number."""
    if yours.shape != expected.shape:
        return Difference("shape")
    where = differs(yours, expected, rtol, atol)
    if where.any():
        return Difference("value", where)
    if _rank(yours) > _rank(expected):
        return Difference("type")
    return None


def differs(yours: np.ndarray, expected: np.ndarray, rtol: float, atol: float) -> np.ndarray:
    """Return True where two arrays of one shape differ; NaN equals NaN, and integers compare exactly."""
    if "U" in (yours.dtype.kind, expected.dtype.kind) or (_rank(yours) <= 1 and _rank(expected) <= 1):
        return np.asarray(yours != expected)
    common = complex if "c" in (yours.dtype.kind, expected.dtype.kind) else float
    mine, right = yours.astype(common), expected.astype(common)
    with np.errstate(all="ignore"):
        near = abs(mine - right) <= atol + rtol * abs(right)
        near &= ~np.isinf(right)
    return np.asarray(~(near | (mine == right) | (np.isnan(mine) & np.isnan(right))))


def equal(yours: np.ndarray, others: np.ndarray, rtol: float, atol: float) -> bool:
    """Whether shapes and values agree, whatever the types of number."""
    return yours.shape == others.shape and not differs(yours, others, rtol, atol).any()


def _rank(array: np.ndarray) -> int:
    """What kind of number: truth values and integers may stand for real numbers, not the other way round."""
    return {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}.get(array.dtype.kind, 4)
