"""The embedded sets of real pictures, `digits` and `faces`, and the fixed split they share. Nothing is downloaded."""

from __future__ import annotations

import importlib.util

import numpy as np

from zerohero.datasets.dataset import Dataset, stratified_rows

SPLITS = ("train", "test", "all")
# Which package brings which set.
PACKAGES = {"digits": ("sklearn", "scikit-learn"), "faces": ("skimage", "scikit-image")}


def available(name: str, split: str) -> bool:
    """Whether the package that brings the set is installed."""
    return importlib.util.find_spec(PACKAGES[name][0]) is not None


def load(name: str, split: str, *, size: int | None = None, margin: int = 0) -> Dataset:
    """`digits` or `faces`.

    `digits`: 1,797 scans of handwritten digits, 8×8, grey values 0..16 (here /16). They fill their frame; `size=28,
    margin=4` puts them into one like MNIST's. `faces`: 100 faces, then 100 pictures of other things, 25×25.

    The split into train (three quarters) and test is stratified, drawn once, and the same for everybody. For
    `digits` it gives 1,348 and 449 scans; it cannot keep writers apart, since the set doesn't tell who wrote what.
    """
    if not available(name, split):
        raise ImportError(f"datasets.load: {name!r} comes with {PACKAGES[name][1]}, which is not installed: "
                          "pip install 'zerohero[course]'")
    if margin and size is None:
        raise ValueError(f"datasets.load: {name!r} takes margin only with size: the resized image with its margins")
    images, labels, class_names = _digits() if name == "digits" else _faces()
    dataset = Dataset(images[:, None].astype(np.float32), labels.astype(np.int64), class_names, name, split)
    if split != "all":
        dataset = dataset.subset(fixed_rows(dataset.labels, split))
    return dataset if size is None else dataset.resized(size, margin)


def fixed_rows(labels: np.ndarray, split: str) -> np.ndarray:
    """The rows of "train" or "test". RandomState, because NumPy promises never to change its numbers."""
    train = stratified_rows(labels, 0.75, np.random.RandomState(0))
    return train if split == "train" else np.setdiff1d(np.arange(len(labels)), train)


def _digits() -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images / 16, digits.target, tuple("0123456789")


def _faces() -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    from skimage.data import lfw_subset

    return lfw_subset(), np.repeat([1, 0], 100), ("other", "face")
