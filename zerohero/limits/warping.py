"""Images seen from elsewhere: shifted, turned, scaled, sheared; and how a model's accuracy falls with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from zerohero.arguments import class_labels, number, one_of, shown
from zerohero.limits.images import as_images
from zerohero.nn.module import Module

# The five ways of changing a viewpoint by one number, and what the number of "no change" is.
UNCHANGED = {"shift_x": 0.0, "shift_y": 0.0, "rotation": 0.0, "scale": 1.0, "shear": 0.0}


def warped(
    images: Any, *, shift: Sequence[float] = (0, 0), rotation: float = 0, scale: float = 1, shear: float = 0
) -> np.ndarray:
    """Images sheared, scaled and rotated about their middle, then shifted: the pose that `datasets.glyph` knows.

    Each pixel of the result looks up where it comes from and mixes the four pixels around that place (bilinear).
    What comes from outside is 0: nothing wraps around. Whole shifts and quarter turns of square images mix nothing,
    they are exact. Shrinking to below a half skips pixels, since no more than four are mixed.

    Parameters
    ----------
    images : array (H, W), (C, H, W) or (N, C, H, W)
    shift : (float, float)
        Pixels to the right and pixels *down*.
    rotation : float
        Degrees; positive turns counter-clockwise, as one sees it.
    scale : float
        Above 0; 2 doubles height and width.
    shear : float
        Pixels to the right for every pixel upwards; positive leans to the right, as italics do.

    Returns
    -------
    ndarray, shape of `images`, float32 or float64

    Raises
    ------
    ValueError, TypeError
        If the images aren't finite numbers of such a shape, or a number is out of range.

    Examples
    --------
    >>> warped([[1.0, 2.0], [3.0, 4.0]], shift=(1, 0))
    array([[0., 1.],
           [0., 3.]], dtype=float32)
    >>> warped([[1.0, 2.0], [3.0, 4.0]], rotation=90)
    array([[2., 4.],
           [1., 3.]], dtype=float32)
    >>> warped([[1.0, 2.0], [3.0, 4.0]], shift=(0.5, 0))
    array([[0.5, 1.5],
           [1.5, 3.5]], dtype=float32)
    """
    array = as_images(images, "warped")
    height, width = array.shape[-2:]
    places, shares = _sources(height, width, shift, rotation, scale, shear)
    ringed = np.pad(array, [(0, 0)] * (array.ndim - 2) + [(1, 1), (1, 1)])  # zeros all around
    pixels = ringed.reshape(*array.shape[:-2], (height + 2) * (width + 2))
    result = sum(share * pixels[..., place] for place, share in zip(places, shares.astype(array.dtype)))
    return result.reshape(array.shape)


def _sources(height: int, width: int, shift: Any, rotation: Any, scale: Any, shear: Any) -> tuple[np.ndarray, Any]:
    """For each pixel of the result four places in the ringed image, and the share of each: (4, H·W) both."""
    if not isinstance(shift, (tuple, list, np.ndarray)) or len(shift) != 2:
        raise ValueError(f"warped: shift needs two numbers, (right, down), but got {shown(shift)}")
    right, down = (number(value, "warped", "shift", low=-1e6, high=1e6) for value in shift)
    turn = math.radians(number(rotation, "warped", "rotation", low=-1e6, high=1e6))
    scale = number(scale, "warped", "scale", low=0.01, high=100)
    shear = number(shear, "warped", "shear", low=-10, high=10)
    # Acts on columns (right, up): rotate ∘ scale ∘ shear, as in datasets.glyph.
    pose = scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    back = np.linalg.inv(pose @ np.array([[1, shear], [0, 1]]))
    middle = (height - 1) / 2, (width - 1) / 2
    row, column = np.indices((height, width)).reshape(2, -1)
    to_right, up = back @ np.stack([column - middle[1] - right, -(row - middle[0] - down)])
    # Rounded, so that what should be a whole pixel is one; clipped into the ring of zeros.
    row_of = np.clip((middle[0] - up).round(9), -1, height) + 1
    column_of = np.clip((middle[1] + to_right).round(9), -1, width) + 1
    top = np.minimum(row_of.astype(int), height)
    left = np.minimum(column_of.astype(int), width)
    lower, later = row_of - top, column_of - left
    places = [(top + i) * (width + 2) + left + j for i in (0, 1) for j in (0, 1)]
    shares = [(lower if i else 1 - lower) * (later if j else 1 - later) for i in (0, 1) for j in (0, 1)]
    return np.stack(places), np.stack(shares)


def accuracy_curve(model: Module, data: Any, change: str, values: Sequence[float]) -> np.ndarray:
    """The share of images that a model classifies rightly, for each size of one change of viewpoint.

    Parameters
    ----------
    model : Module
    data : Dataset, or (images (N, C, H, W), labels (N,))
    change : "shift_x", "shift_y", "rotation", "scale" or "shear"
        What `warped` does to all images: pixels right, pixels down, degrees, a factor, pixels right per pixel up.
    values : sequence of float

    Returns
    -------
    ndarray of float64, one accuracy for each of the values

    Raises
    ------
    ValueError, TypeError
        If there is no such change, no value, or the images and labels don't fit together.

    Examples
    --------
    >>> import zerohero as zh
    >>> lenet, test = zh.weights.load("lenet5_digits"), zh.datasets.load("digits", "test", size=28)
    >>> bool(accuracy_curve(lenet, test, "rotation", [0, 180])[1] < 0.5)
    True
    """
    images, labels = labelled(data, "accuracy_curve")
    change = one_of(change, "accuracy_curve", "change", tuple(UNCHANGED))
    amounts = [number(value, "accuracy_curve", "values") for value in values]
    if not amounts:
        raise ValueError("accuracy_curve: values needs at least one number, but is empty")
    return np.array([(model.scores(changed(images, change, v)).argmax(axis=1) == labels).mean() for v in amounts])


def changed(images: Any, change: str, value: float) -> np.ndarray:
    """`warped` by one number: "shift_x", "shift_y", "rotation", "scale" or "shear"."""
    if change.startswith("shift"):
        return warped(images, shift=(value, 0) if change == "shift_x" else (0, value))
    return warped(images, **{change: value})  # type: ignore[arg-type]


def labelled(data: Any, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, C, H, W) and labels (N,) of a Dataset or a pair."""
    pair = (data.images, data.labels) if hasattr(data, "images") and hasattr(data, "labels") else data
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError(f"{where}: data needs a Dataset or (images, labels), but got {shown(data)}")
    images = as_images(pair[0], where, batch=True)
    return images, class_labels(pair[1], where, len(images), np.iinfo(np.int64).max)
