"""affNIST's protocol: digits placed at random on 40×40 to train on, affine ones to test on."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from zerohero.arguments import boolean, integer, one_of, reason
from zerohero.datasets import digits, mnist
from zerohero.datasets.dataset import Dataset
from zerohero.datasets.matlab import read_struct

SPLITS = ("train", "test")
SIDE = 40
# Uniform within these ranges: degrees counter-clockwise, pixels to the right per pixel up, factors.
RANGES = {"rotation": (-20.0, 20.0), "shear": (-0.2, 0.2), "scale_y": (0.8, 1.2), "scale_x": (0.8, 1.2)}


def available(name: str, split: str) -> bool:
    """Whether MNIST is at hand; with `source="digits"` nothing is missing."""
    return mnist.available("mnist", split)


def load(name: str, split: str, *, seed: int = 0, download: bool = True, n: int | None = None,
         source: str = "mnist", affine: bool | None = None) -> Dataset:
    """Digits on 40×40: only placed at random ("train"), or also turned, sheared and stretched ("test").

    `affine` says which of the two, whatever the split. `n` of the split's digits, by default each once; the same
    seed gives the same images. `extra` has down and right, and the pose of affine ones. These are drawn by
    affNIST's ranges; `read_affnist` reads the original files.
    """
    affine = split == "test" if affine is None else boolean(affine, "affnist", "affine")
    one_of(source, "affnist", "source", ("mnist", "digits"))
    base = (mnist.load("mnist", split, download=download) if source == "mnist"
            else digits.load("digits", split, size=28, margin=4))
    rng = np.random.default_rng([integer(seed, "affnist", "seed", least=0), SPLITS.index(split), int(affine)])
    if n is not None:
        base = base[rng.permutation(np.resize(np.arange(len(base)), integer(n, "affnist", "n", least=1)))]
    if affine:
        poses = {key: rng.uniform(*limits, len(base)) for key, limits in RANGES.items()}
        images = transformed(base.images[:, 0], **poses)
    else:
        poses, images = {}, np.pad(base.images[:, 0], ((0, 0), (6, 6), (6, 6)))
    images, moved = scattered(images, rng, None if affine else 6)
    note = f"drawn from {source}" + " by affNIST's ranges" * affine
    return Dataset(images[:, None], base.labels, base.class_names, name, split,
                   {**poses, "down": moved[:, 0], "right": moved[:, 1]}, note)


def transformed(images: Any, *, rotation: Any, shear: Any, scale_y: Any, scale_x: Any) -> np.ndarray:
    """Images (N, H, W) each under its own stretch, shear and rotation about the middle, in that order, on 40×40.

    Parameters
    ----------
    images : float array (N, H, W)
    rotation, shear, scale_y, scale_x : array (N,)
        Degrees counter-clockwise; pixels to the right per pixel up; factors upwards and to the right.

    Returns
    -------
    ndarray of float32 (N, 40, 40), sampled bilinearly

    Examples
    --------
    >>> dot = np.zeros((1, 3, 3)); dot[0, 1, 2] = 1  # to the right of the middle
    >>> turned = transformed(dot, rotation=[90], shear=[0], scale_y=[1], scale_x=[1])
    >>> np.argwhere(turned[0] > 0.2).round().tolist()  # above the middle, which lies between four pixels
    [[18, 19], [18, 20], [19, 19], [19, 20]]
    """
    images = np.asarray(images, np.float32)
    if images.ndim != 3:
        raise ValueError(f"transformed: images needs shape (N, H, W), but has {images.shape}")
    values = [np.asarray(value, float) for value in (rotation, shear, scale_y, scale_x)]
    if any(value.shape != images.shape[:1] for value in values):
        raise ValueError(f"transformed: rotation, shear, scale_y and scale_x need {len(images)} numbers each, "
                         f"but have shapes {[value.shape for value in values]}")
    turn, lean, up, wide = np.radians(values[0]), *values[1:]
    if not (up.min(initial=1) > 0 and wide.min(initial=1) > 0):
        raise ValueError("transformed: scale_y and scale_x need positive numbers")
    height, width = images.shape[1:]
    row, column = np.indices((SIDE, SIDE)).reshape(2, 1, -1) - (SIDE - 1) / 2
    x, y = column, -row
    cos, sin = np.cos(turn)[:, None], np.sin(turn)[:, None]
    x, y = cos * x + sin * y, cos * y - sin * x
    x = (x - lean[:, None] * y) / wide[:, None]
    y = y / up[:, None]
    return bilinear(images, (height - 1) / 2 - y, (width - 1) / 2 + x).reshape(-1, SIDE, SIDE)


def bilinear(images: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Values of images (N, H, W) at real places (N, K), 0 outside."""
    height, width = images.shape[1:]
    ringed = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    row, column = np.clip(row + 1, 0, height + 1), np.clip(column + 1, 0, width + 1)
    top, left = np.minimum(row.astype(int), height), np.minimum(column.astype(int), width)
    down, right = (row - top).astype(np.float32), (column - left).astype(np.float32)
    which = np.arange(len(images))[:, None]
    upper = ringed[which, top, left] * (1 - right) + ringed[which, top, left + 1] * right
    lower = ringed[which, top + 1, left] * (1 - right) + ringed[which, top + 1, left + 1] * right
    return upper * (1 - down) + lower * down


def scattered(images: np.ndarray, rng: np.random.Generator, most: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, H, W) each moved by whole pixels at random, so that no ink leaves: by up to `most`, or anywhere.

    Returns the images, and how far each went, down and right (N, 2).
    """
    images = np.asarray(images)
    moved = np.empty((len(images), 2), np.int64)
    for axis in (0, 1):
        ink: np.ndarray = np.any(images > 0, axis=2 - axis)  # (N, rows) or (N, columns)
        side = ink.shape[1]
        first, last = ink.argmax(axis=1), side - 1 - ink[:, ::-1].argmax(axis=1)
        low, high = (-first, side - 1 - last) if most is None else (np.full(len(ink), -most), np.full(len(ink), most))
        low, high = np.where(ink.any(axis=1), (low, high), 0)
        moved[:, axis] = rng.integers(low, high + 1)
    out = np.zeros_like(images)
    height, width = images.shape[1:]
    for k, (down, right) in enumerate(moved):
        to = slice(max(0, down), height + min(0, down)), slice(max(0, right), width + min(0, right))
        of = slice(max(0, -down), height - max(0, down)), slice(max(0, -right), width - max(0, right))
        out[k][to] = images[k][of]
    return out, moved


def read_affnist(path: str | os.PathLike) -> Dataset:
    """Read one of affNIST's original files (.mat), such as test.mat or training_and_validation_batches/1.mat.

    Parameters
    ----------
    path : path of a MATLAB file with a struct `affNISTdata`: `image` (1600, N) bytes, `label_int` (1, N)

    Returns
    -------
    Dataset
        Images (N, 1, 40, 40); `extra["transform"]` holds `human_readable_transform`, a row an image, if it is there.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it isn't one of affNIST's.

    References
    ----------
    T. Tieleman, "affNIST", 2013, https://www.cs.toronto.edu/~tijmen/affNIST/.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"read_affnist: path needs one of affNIST's files, but there is no {path}")
    try:
        found = read_struct(path, "affNISTdata", ("image", "label_int", "human_readable_transform"))
        images, labels = found["image"], found["label_int"].reshape(-1)
    except (ValueError, KeyError, zlib.error) as error:
        raise ValueError(f"read_affnist: {path.name} is no MATLAB file with a struct affNISTdata of image and "
                         f"label_int: {reason(error)}") from None
    if images.dtype != np.uint8 or images.shape != (SIDE * SIDE, len(labels)):
        raise ValueError(f"read_affnist: {path.name} needs image as bytes of shape (1600, {len(labels)}), but holds "
                         f"{images.dtype} {images.shape}")
    if labels.dtype.kind not in "iuf" or not np.isin(labels, range(10)).all():
        raise ValueError(f"read_affnist: {path.name} needs label_int from 0 to 9, but holds others")
    extra = {"transform": found["human_readable_transform"].T} if "human_readable_transform" in found else {}
    if any(len(values) != len(labels) for values in extra.values()):
        raise ValueError(f"read_affnist: {path.name} needs human_readable_transform with {len(labels)} columns, but "
                         f"holds {extra['transform'].shape[0]}")
    pixels = np.divide(images.T.reshape(-1, 1, SIDE, SIDE), np.float32(255), dtype=np.float32)
    return Dataset(pixels, labels.astype(np.int64), tuple("0123456789"), "affnist", "file", extra, path.name)
