"""What a data set is once it is in memory: images, labels and names. How one is found, read or drawn is elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, overload

import numpy as np

from zerohero.arguments import integer, number


@dataclass(frozen=True, repr=False, eq=False)
class Dataset:
    """Labelled images, with whatever else is known about each of them.

    Parameters
    ----------
    images : ndarray of float32, shape (N, C, H, W)
        Pixels in [0, 1].
    labels : ndarray of int64, shape (N,)
        Each indexes `class_names`.
    class_names : tuple of str
        One name per class.
    name, split_name : str
        Where the images come from, such as "mnist" and "test".
    extra : dict of ndarray
        What else is known: arrays of shape (N, ...), such as the poses of glyphs. Selecting images selects
        the same rows here.
    note : str
        What a reader must know, such as that these are not all the images.

    Raises
    ------
    TypeError
        If an array has another dtype.
    ValueError
        If shapes disagree, or a label is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from zerohero.datasets import Dataset
    >>> images = np.zeros((4, 1, 2, 2), np.float32)
    >>> toy = Dataset(images, np.array([0, 1, 0, 1]), ("left", "right"), "toy", "train")
    >>> toy
    Dataset('toy', 'train': 4 images of 1×2×2, 2 classes: left 2, right 2)
    >>> toy[toy.labels == 1]
    Dataset('toy', 'train': 2 images of 1×2×2, 2 classes: left 0, right 2)
    >>> image, label = toy[1]
    >>> image.shape, label
    ((1, 2, 2), 1)
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    name: str
    split_name: str
    extra: dict[str, np.ndarray] = field(default_factory=dict)
    note: str = ""

    def __post_init__(self) -> None:
        if self.images.dtype != np.float32:
            raise TypeError(f"Dataset: images needs float32, but got {self.images.dtype}")
        if self.images.ndim != 4:
            raise ValueError(f"Dataset: images needs shape (N, C, H, W), but got {self.images.shape}")
        if self.labels.dtype != np.int64:
            raise TypeError(f"Dataset: labels needs int64, but got {self.labels.dtype}")
        if self.labels.shape != self.images.shape[:1]:
            raise ValueError(f"Dataset: labels needs shape {self.images.shape[:1]}, one for each image, "
                             f"but got {self.labels.shape}")
        if len(self) and not 0 <= self.labels.min() <= self.labels.max() < len(self.class_names):
            raise ValueError(f"Dataset: labels needs values from 0 to {len(self.class_names) - 1}, "
                             f"but got {self.labels.min()} to {self.labels.max()}")
        for key, values in self.extra.items():
            if len(values) != len(self):
                raise ValueError(f"Dataset: extra[{key!r}] needs {len(self)} rows, one for each image, "
                                 f"but got {len(values)}")

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        shape = "×".join(map(str, self.images.shape[1:]))
        classes = ", ".join(f"{name} {count:,}" for name, count in zip(self.class_names, counts))
        note = f"; {self.note}" if self.note else ""
        return (f"Dataset({self.name!r}, {self.split_name!r}: {len(self):,} images of {shape}, "
                f"{len(self.class_names)} classes: {classes}{note})")

    @overload
    def __getitem__(self, index: int) -> tuple[np.ndarray, int]: ...
    @overload
    def __getitem__(self, index: slice | np.ndarray | Sequence[int] | Sequence[bool]) -> Dataset: ...
    def __getitem__(self, index: Any) -> Any:
        """An integer gives `(image, label)`; a slice, mask or array of indices gives a Dataset."""
        if isinstance(index, (int, np.integer)) and not isinstance(index, bool):
            if not -len(self) <= index < len(self):
                raise IndexError(f"Dataset: index {index} is out of range for {len(self)} images")
            return self.images[index], int(self.labels[index])
        return self._take(index if isinstance(index, slice) else self._rows(index))

    def _rows(self, index: Any) -> np.ndarray:
        """A mask or a list of indices as a checked array of indices."""
        rows = np.asarray(index)
        if rows.size == 0 and rows.ndim == 1:
            rows = rows.astype(np.int64)
        if rows.ndim != 1 or rows.dtype.kind not in "iub":
            raise TypeError(f"Dataset: an index needs to be an integer, a slice, a mask of shape ({len(self)},) "
                            f"or a 1-D array of integers, but got {rows.dtype} of shape {rows.shape}")
        if rows.dtype == bool:
            if len(rows) != len(self):
                raise ValueError(f"Dataset: a mask needs shape ({len(self)},), but got {rows.shape}")
            return np.flatnonzero(rows)
        if len(rows) and not (-len(self) <= rows.min() and rows.max() < len(self)):
            raise IndexError(f"Dataset: indices {rows.min()} to {rows.max()} are out of range "
                             f"for {len(self)} images")
        return rows

    def _take(self, rows: slice | np.ndarray) -> Dataset:
        extra = {key: values[rows] for key, values in self.extra.items()}
        return replace(self, images=self.images[rows], labels=self.labels[rows], extra=extra)

    def subset(self, indices: np.ndarray | Sequence[int]) -> Dataset:
        """The images at `indices`, in that order.

        Parameters
        ----------
        indices : array of int, shape (M,)
            May repeat.

        Returns
        -------
        Dataset

        Examples
        --------
        >>> from zerohero import datasets
        >>> datasets.load("digits").subset([5, 3]).labels.shape
        (2,)
        """
        return self[np.asarray(indices)]

    def split(self, fraction: float, seed: int = 0, *, stratified: bool = True) -> tuple[Dataset, Dataset]:
        """Two parts at random: `fraction` of the images, and the others. Both keep the images' order.

        Parameters
        ----------
        fraction : float
            The share of the first part, between 0 and 1.
        seed : int
            The same seed gives the same parts.
        stratified : bool
            True if every class is to be shared out in that proportion.

        Returns
        -------
        first, second : Dataset

        Raises
        ------
        ValueError
            If a part would be empty.

        Examples
        --------
        >>> from zerohero import datasets
        >>> train, validation = datasets.load("digits").split(0.8, seed=1)
        >>> len(train), len(validation)
        (1078, 270)
        """
        fraction = number(fraction, "Dataset.split", "fraction", low=0, high=1)
        groups = self.labels if stratified else np.zeros_like(self.labels)
        first = stratified_rows(groups, fraction, np.random.default_rng(seed))
        if not 0 < len(first) < len(self):
            raise ValueError(f"Dataset.split: fraction {fraction:g} of {len(self)} images leaves a part empty")
        return self._take(first), self._take(np.setdiff1d(np.arange(len(self)), first))

    def per_class(self, n: int, seed: int = 0) -> Dataset:
        """`n` images of every class at random, in the order in which they stand here.

        Parameters
        ----------
        n : int
            Images of each class.
        seed : int
            The same seed gives the same images.

        Returns
        -------
        Dataset

        Raises
        ------
        ValueError
            If a class has fewer images.

        Examples
        --------
        >>> from zerohero import datasets
        >>> len(datasets.load("digits").per_class(20))
        200
        """
        n = integer(n, "Dataset.per_class", "n", least=1)
        rng = np.random.default_rng(seed)
        chosen = []
        for label, name in enumerate(self.class_names):
            rows = np.flatnonzero(self.labels == label)
            if len(rows) < n:
                raise ValueError(f"Dataset.per_class: n is {n}, but class {name!r} has {len(rows)} images")
            chosen.append(rng.permutation(rows)[:n])
        return self._take(np.sort(np.concatenate(chosen)))

    def resized(self, size: int, margin: int = 0) -> Dataset:
        """The images resized to `size` × `size`, bilinearly; shrinking averages over all the pixels it covers.

        Parameters
        ----------
        size : int
            Height and width of the result.
        margin : int
            Of these, rows and columns of zeros on each side, as MNIST has four.

        Returns
        -------
        Dataset

        Raises
        ------
        ValueError
            If the margins leave no pixel.

        Examples
        --------
        >>> from zerohero import datasets
        >>> datasets.load("digits").resized(28, margin=4).images.shape
        (1348, 1, 28, 28)
        """
        size = integer(size, "Dataset.resized", "size", least=1)
        margin = integer(margin, "Dataset.resized", "margin", least=0)
        inner = size - 2 * margin
        if inner < 1:
            raise ValueError(f"Dataset.resized: margin {margin} on both sides leaves no pixel of size {size}")
        rows, columns = (resampling(extent, inner) for extent in self.images.shape[2:])
        images = np.minimum(rows @ self.images @ columns.T, np.float32(1))
        return replace(self, images=np.pad(images, ((0, 0), (0, 0), (margin, margin), (margin, margin))))


def stratified_rows(labels: np.ndarray, fraction: float, rng: Any) -> np.ndarray:
    """`fraction` of the rows of every class, sorted; what rounding leaves over goes to the largest remainders."""
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    exact = fraction * np.array([len(group) for group in groups])
    take = np.floor(exact).astype(int)
    missing = round(fraction * len(labels)) - take.sum()
    take[np.argsort(take - exact, kind="stable")[:missing]] += 1
    return np.sort(np.concatenate([rng.permutation(group)[:count] for group, count in zip(groups, take)]))


def resampling(old: int, new: int) -> np.ndarray:
    """The (new, old) matrix that resizes one axis with a triangle filter (bilinear), wider where it shrinks."""
    centres = (np.arange(new) + 0.5) * old / new - 0.5
    reach = max(1.0, old / new)
    weights = np.maximum(0, 1 - np.abs(np.arange(old) - centres[:, None]) / reach)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
