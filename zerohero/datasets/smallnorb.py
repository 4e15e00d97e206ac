"""smallNORB: stereo pairs of toys in five classes, from the original binary files, prepared as in the paper."""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np

from zerohero.arguments import boolean, integer, one_of
from zerohero.datasets.dataset import Dataset
from zerohero.datasets.files import Known, Remote, find, unpacked
from zerohero.npz import read_npz

SPLITS = ("train", "test")
CLASSES = ("animal", "human", "airplane", "truck", "car")
STEMS = {"train": "smallnorb-5x46789x9x18x6x2x96x96-training", "test": "smallnorb-5x01235x9x18x6x2x96x96-testing"}
MATRIX: dict[int, np.dtype[Any]] = {0x1E3D4C55: np.dtype("u1"), 0x1E3D4C54: np.dtype("<i4")}
MOST = 1 << 30                  # bytes of a file, unpacked; the largest has 447,897,600
META = ("instance", "elevation", "azimuth", "lighting")


def _paths(split: str) -> list[Path | None]:
    names = [f"{STEMS[split]}-{part}.mat" for part in ("dat", "cat", "info")]
    return [find("smallnorb", name, f"{name}.gz") for name in names]


def available(name: str, split: str) -> bool:
    """Whether the three original files of the split are at hand, or the twelve pairs that stand in for them."""
    return all(_paths(split)) or find("smallnorb", "smallnorb_12pairs.npz") is not None


def known(name: str) -> list[Known]:
    """The original files, packed or not, and the twelve pairs; no SHA-256 of them is published."""
    originals = [f"{stem}-{part}.mat{end}" for stem in STEMS.values() for part in ("dat", "cat", "info")
                 for end in ("", ".gz")]  # fmt: skip
    return [Known("smallnorb", file) for file in (*originals, "smallnorb_12pairs.npz")]


def lacking(name: str) -> list[Remote]:
    """Nothing that could be downloaded: see `load`."""
    return []


def load(name: str, split: str, *, prepared: bool = False) -> Dataset:
    """24,300 pairs of 96×96 in each split, as two channels; `prepared` halves and standardises them to 48×48.

    Looked for in the folder smallnorb, as the original dat, cat and info files, packed or not; else the six pairs at
    hand of each split, and `note` says so. `extra` has instance, elevation, azimuth and lighting. Not downloaded:
    its owners give it for research and not to be sold.
    """
    prepared = boolean(prepared, "smallnorb", "prepared")
    paths, few = _paths(split), find("smallnorb", "smallnorb_12pairs.npz")
    if all(paths):
        images, labels, info = (read_matrix(path) for path in paths if path)
        note = ""
    elif few:
        found = read_npz(few)
        if absent := {f"{split}_{part}" for part in ("images", "labels", "meta")} - found.keys():
            raise ValueError(f"smallnorb: {few} lacks {', '.join(sorted(absent))}; delete it and load again")
        images, labels, info = (found[f"{split}_{part}"] for part in ("images", "labels", "meta"))
        note = f"{len(labels)} of the 24,300 pairs"
    else:
        raise FileNotFoundError(f"smallnorb: put {STEMS[split]}-dat.mat, -cat.mat and -info.mat into the folder "
                                "smallnorb under ZEROHERO_DATA")
    labels, place = labels.reshape(-1), paths[0] if all(paths) else few
    if images.dtype != np.uint8 or images.shape != (len(labels), 2, 96, 96) or info.shape != (len(labels), 4):
        raise ValueError(f"smallnorb: {place} needs bytes (N, 2, 96, 96), N labels and (N, 4) facts, but there are "
                         f"{images.dtype} {images.shape}, {labels.shape} and {info.shape}; delete it and load again")
    if not (np.isin(labels, range(len(CLASSES))).all() and np.isfinite(info).all()):
        raise ValueError(f"smallnorb: {place} needs labels from 0 to {len(CLASSES) - 1} and facts that are numbers, "
                         "but holds others; delete it and load again")
    pixels = np.divide(images, np.float32(255), dtype=np.float32)
    extra = {key: info[:, k].astype(np.int64) for k, key in enumerate(META)}
    return Dataset(prepare(pixels) if prepared else pixels, labels.astype(np.int64), CLASSES, name, split, extra, note)


def read_matrix(path: str | os.PathLike) -> np.ndarray:
    """Read one of smallNORB's files: magic number, number of axes, their lengths (at least three words), data.

    Parameters
    ----------
    path : path
        Plain or packed with gzip or xz; memory grows with what it really holds, not with what its header claims.

    Returns
    -------
    ndarray of uint8 or int32

    Raises
    ------
    ValueError
        If the file has another magic number, or is too short or too long for its shape.

    References
    ----------
    Y. LeCun, F. J. Huang, L. Bottou, "Learning methods for generic object recognition with invariance to pose and
    lighting", CVPR 2004, doi:10.1109/CVPR.2004.1315150.
    """
    with unpacked(Path(path)) as file:
        magic, axes = struct.unpack("<Ii", file.exactly(8))
        if magic not in MATRIX or not 1 <= axes <= 8:
            raise file.damaged("it doesn't begin with one of smallNORB's magic numbers and 1 to 8 axes")
        words = max(3, axes)
        shape, dtype = struct.unpack(f"<{words}i", file.exactly(4 * words))[:axes], MATRIX[magic]
        needed = dtype.itemsize * math.prod(shape)
        if min(shape) < 1 or needed > MOST:
            raise file.damaged(f"its header claims shape {shape}, {needed:,} bytes, and 1 to {MOST:,} are taken")
        elements = file.exactly(needed)
        file.end()
    return np.frombuffer(elements, dtype).reshape(shape)


def prepare(images: Any) -> np.ndarray:
    """Halve images (N, C, H, W) by averaging 2×2 pixels; bring each channel of each to mean 0, variance 1.

    Examples
    --------
    >>> prepare(np.arange(16.0).reshape(1, 1, 4, 4)).round(2)[0, 0]
    array([[-1.21, -0.73],
           [ 0.73,  1.21]], dtype=float32)
    """
    images = _batch(images, "prepare")
    n, c, height, width = images.shape
    if height % 2 or width % 2:
        raise ValueError(f"prepare: images needs even sides, but they are {height}×{width}")
    small = images.reshape(n, c, height // 2, 2, width // 2, 2).mean(axis=(3, 5))
    small = small - small.mean(axis=(2, 3), keepdims=True)
    return (small / np.maximum(small.std(axis=(2, 3), keepdims=True), 1e-6)).astype(np.float32)


def crops(images: Any, side: int = 32, *, where: str = "centre", seed: int = 0) -> np.ndarray:
    """Cut a square out of each image: at its centre, as for tests, or at random, as in training.

    Parameters
    ----------
    images : array (N, C, H, W)
    side : int
    where : "centre" or "random"
    seed : int

    Returns
    -------
    ndarray (N, C, side, side)

    Examples
    --------
    >>> crops(np.arange(9.0).reshape(1, 1, 3, 3), 1).tolist()
    [[[[4.0]]]]
    """
    images, side = _batch(images, "crops"), integer(side, "crops", "side", least=1)
    one_of(where, "crops", "where", ("centre", "random"))
    n, _, height, width = images.shape
    if side > min(height, width):
        raise ValueError(f"crops: side {side} is larger than the images, {height}×{width}")
    rng = np.random.default_rng(integer(seed, "crops", "seed", least=0))
    top, left = ((np.full(n, (extent - side) // 2) if where == "centre" else rng.integers(0, extent - side + 1, n))
                 for extent in (height, width))
    windows = np.lib.stride_tricks.sliding_window_view(images, (side, side), axis=(2, 3))
    return windows[np.arange(n), :, top, left].copy()


def _batch(images: Any, where: str) -> np.ndarray:
    images = np.asarray(images)
    if images.ndim != 4 or images.dtype.kind not in "fiu":
        raise ValueError(f"{where}: images needs numbers of shape (N, C, H, W), but got {images.dtype} {images.shape}")
    return images
