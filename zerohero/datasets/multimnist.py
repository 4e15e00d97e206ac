"""MultiMNIST: two different digits on top of each other, drawn by the paper's recipe from MNIST or scans."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from zerohero.arguments import class_labels, integer, one_of, shown
from zerohero.datasets import digits, mnist
from zerohero.datasets.dataset import Dataset

SPLITS = ("train", "test")
MARGIN = 4  # 28×28 is padded to 36×36
PAIRS = np.array(list(combinations(range(10), 2)))  # (45, 2): the smaller digit first


def available(name: str, split: str) -> bool:
    """Whether MNIST is at hand; with `source="digits"` nothing is missing."""
    return mnist.available("mnist", split)


def load(name: str, split: str, *, seed: int = 0, download: bool = True, n: int = 10_000, shift: int = MARGIN,
         source: str = "mnist") -> Dataset:
    """`n` pairs of the split's digits; a pair's two digits come from the same split, and never have the same label.

    The 45 classes are the pairs "0+1" to "8+9". `extra["labels"]` (N, 2) holds both labels, the smaller first, and
    `extra["digits"]` (N, 2, 36, 36) both digits alone, as bytes. The same seed gives the same pairs.
    """
    n, shift = integer(n, "multimnist", "n", least=1), integer(shift, "multimnist", "shift", least=0)
    if shift > MARGIN:
        raise ValueError(f"multimnist: shift needs to be at most {MARGIN}, so that no ink is lost, but got {shift}")
    one_of(source, "multimnist", "source", ("mnist", "digits"))
    base = (mnist.load("mnist", split, download=download) if source == "mnist"
            else digits.load("digits", split, size=28, margin=4))
    rng = np.random.default_rng([integer(seed, "multimnist", "seed", least=0), SPLITS.index(split)])
    rows = partners(base.labels, n, rng)
    pixels = np.rint(base.images[:, 0] * 255).astype(np.uint8)
    both = np.stack([padded(pixels[rows[:, k]], rng.integers(-shift, shift + 1, (n, 2))) for k in (0, 1)], axis=1)
    labels = base.labels[rows]
    images = np.divide(merged(both[:, 0], both[:, 1])[:, None], np.float32(255), dtype=np.float32)
    names = tuple(f"{a}+{b}" for a, b in PAIRS)
    return Dataset(images, pair_index(labels), names, name, split, {"labels": labels, "digits": both},
                   f"drawn from {source}")


def partners(labels: Any, n: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of `n` random pairs with different labels, that of the smaller label first: (n, 2).

    Every example is a first digit as often as every other, but for one; each has a partner of another label.

    Examples
    --------
    >>> labels = np.array([3, 3, 5])
    >>> labels[partners(labels, 4, np.random.default_rng(0))].tolist()
    [[3, 5], [3, 5], [3, 5], [3, 5]]
    """
    labels = np.asarray(labels)
    if len(np.unique(labels)) < 2:
        raise ValueError("partners: labels needs at least two different ones, since a digit isn't paired with its own")
    first = np.concatenate([rng.permutation(len(labels)) for _ in range(-(-n // len(labels)))])[:n]
    second = rng.integers(0, len(labels), n)
    while (same := np.flatnonzero(labels[first] == labels[second])).size:
        second[same] = rng.integers(0, len(labels), same.size)
    rows = np.stack([first, second], axis=1)
    return np.take_along_axis(rows, labels[rows].argsort(axis=1, kind="stable"), axis=1)


def padded(digit: Any, shift: Any) -> np.ndarray:
    """Digits padded by four zeros on each side, then shifted, each on its own.

    Parameters
    ----------
    digit : array (N, H, W)
    shift : int array (N, 2)
        Pixels down and to the right, from -4 to 4.

    Returns
    -------
    ndarray (N, H + 8, W + 8), of the digits' dtype

    Examples
    --------
    >>> padded(np.ones((1, 1, 1), np.uint8), [[0, -4]])[0, 4].tolist()
    [1, 0, 0, 0, 0, 0, 0, 0, 0]
    """
    digit, shift = np.asarray(digit), np.asarray(shift)
    if digit.ndim != 3:
        raise ValueError(f"padded: digit needs shape (N, H, W), but has {digit.shape}")
    if shift.shape != (len(digit), 2) or shift.dtype.kind not in "iu" or np.abs(shift).max(initial=0) > MARGIN:
        raise ValueError(f"padded: shift needs {len(digit)} pairs of integers from -{MARGIN} to {MARGIN}, "
                         f"but got {shown(shift)}")
    count, height, width = digit.shape
    out = np.zeros((count, height + 2 * MARGIN, width + 2 * MARGIN), digit.dtype)
    rows = MARGIN + shift[:, :1] + np.arange(height)
    columns = MARGIN + shift[:, 1:] + np.arange(width)
    out[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None]] = digit
    return out


def merged(first: Any, second: Any) -> np.ndarray:
    """Two images of bytes on top of each other: min(a + b, 255).

    Examples
    --------
    >>> merged(np.array([100, 200], np.uint8), np.array([50, 100], np.uint8)).tolist()
    [150, 255]
    """
    first, second = np.asarray(first), np.asarray(second)
    for name, image in (("first", first), ("second", second)):
        if image.dtype != np.uint8:
            raise TypeError(f"merged: {name} needs uint8, but got {image.dtype}")
    if first.shape != second.shape:
        raise ValueError(f"merged: first and second need one shape, but have {first.shape} and {second.shape}")
    return np.minimum(first.astype(np.uint16) + second, 255).astype(np.uint8)


def pair_index(labels: Any) -> np.ndarray:
    """The row of each pair of labels (N, 2), in whatever order, among `PAIRS`.

    Examples
    --------
    >>> pair_index([[0, 1], [9, 8]]).tolist()
    [0, 44]
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.shape[1] != 2:
        raise ValueError(f"pair_index: labels needs shape (N, 2), but has {labels.shape}")
    class_labels(labels.reshape(-1), "pair_index", labels.size, 10)
    low, high = labels.min(axis=1), labels.max(axis=1)
    if (low == high).any():
        raise ValueError(f"pair_index: labels needs two different digits in each row, but row "
                         f"{int((low == high).argmax())} has {low[(low == high).argmax()]} twice")
    return (low * (17 - low) // 2 + high - 1).astype(np.int64)
