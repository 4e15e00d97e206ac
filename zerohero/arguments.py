"""Checks on what callers pass to operations: each returns the canonical form or raises one clear sentence.

No arithmetic lives here, and nothing that knows a particular operation.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from zerohero.operation import engine_of, plain_array

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]


def shown(value: Any) -> str:
    """`value` as an error message shows it: on one line, cut short if it is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def reason(error: BaseException, most: int = 200) -> str:
    """What an error of others says, as our own message shows it: on one line, printable, cut short if it is long."""
    text = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())
    return (text if len(text) <= most else text[: most - 3] + "...") or type(error).__name__


def listed(names: Iterable[Any], most: int = 8) -> str:
    """Names as an error message lists them: the first few, on one line, odd ones as `repr` shows them."""
    every = [str(name) for name in names]
    each = [name if name.isprintable() and len(name) <= 80 else shown(name) for name in every[:most]]
    return ", ".join(each) + (f" and {len(every) - most} more" if len(every) > most else "")


def integer(value: Any, where: str, name: str, *, least: int | None = None) -> int:
    """`value` as an int that is at least `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{where}: {name} needs an integer, but got {shown(value)}") from None
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{where}: {name} needs an integer, but got {shown(value)}")
    if least is not None and number < least:
        raise ValueError(f"{where}: {name} needs to be at least {least}, but got {shown(number)}")
    return number


def integers(value: Any, where: str, name: str, *, count: int, least: int) -> tuple[int, ...]:
    """`value`, a list or tuple of `count` ints."""
    if not isinstance(value, (tuple, list)) or len(value) != count:
        raise ValueError(f"{where}: {name} needs {count} integers, but got {shown(value)}")
    return tuple(integer(each, where, name, least=least) for each in value)


def boolean(value: Any, where: str, name: str) -> bool:
    """`value`, if it is True or False: "False" and a second axis that slipped in count as neither."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{where}: {name} needs True or False, but got {shown(value)}")
    return bool(value)


def number(value: Any, where: str, name: str, *, low: float = -np.inf, high: float = np.inf) -> float:
    """`value` as a float in [low, high]; NaN lies nowhere."""
    if isinstance(value, (str, bytes)) or getattr(value, "ndim", 0) > 0:
        raise TypeError(f"{where}: {name} needs a number, but got {shown(value)}")
    try:
        result = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{where}: {name} needs a number, but got {shown(value)}") from None
    except OverflowError:
        raise ValueError(f"{where}: {name} is too large for a float: {shown(value)}") from None
    if not low <= result <= high:
        raise ValueError(f"{where}: {name} needs to lie in [{low:g}, {high:g}], but got {shown(value)}")
    return result


def pair(value: Any, where: str, name: str, *, least: int) -> Pair:
    """An int, or (vertical, horizontal), as a pair of ints."""
    if isinstance(value, (tuple, list)) or getattr(value, "ndim", 0) > 0:
        if len(value) != 2:
            raise ValueError(f"{where}: {name} needs one integer or two (vertical, horizontal), but got {shown(value)}")
        vertical, horizontal = value
    else:
        vertical = horizontal = value
    return integer(vertical, where, name, least=least), integer(horizontal, where, name, least=least)


def padding_pairs(value: Any, where: str, size: Sequence[int], window: Pair, stride: Pair) -> Padding:
    """Padding as ((top, bottom), (left, right)).

    `value` is an int, (vertical, horizontal), ((top, bottom), (left, right)), or "same": enough zeros that the
    output has ceil(size / stride) rows and columns, the odd one at the bottom and right (ONNX's SAME_UPPER).
    `window` is the extent of a kernel with its gaps, dilation * (kernel - 1) + 1.
    """
    if isinstance(value, str):
        if value != "same":
            raise ValueError(f"{where}: padding needs integers or 'same', but got {shown(value)}")
        total = [max((-(-n // s) - 1) * s + w - n, 0) for n, w, s in zip(size, window, stride, strict=True)]
        return (total[0] // 2, total[0] - total[0] // 2), (total[1] // 2, total[1] - total[1] // 2)
    if isinstance(value, (tuple, list)) and len(value) == 2 and any(isinstance(v, (tuple, list)) for v in value):
        return (
            pair(value[0], where, "padding (top, bottom)", least=0),
            pair(value[1], where, "padding (left, right)", least=0),
        )
    vertical, horizontal = pair(value, where, "padding", least=0)
    return (vertical, vertical), (horizontal, horizontal)


def images(x: Any, where: str) -> Any:
    """x of shape (H, W), (C, H, W) or (N, C, H, W) as (N, C, H, W)."""
    if x.ndim not in (2, 3, 4):
        raise ValueError(f"{where}: x needs shape (H, W), (C, H, W) or (N, C, H, W), but has shape {x.shape}")
    return x.reshape((1,) * (4 - x.ndim) + x.shape)


def images_of_size(x: Any, where: str, *, least: int) -> None:
    """Check that x has shape (N, C, H, W) with at least `least` rows and columns."""
    shape = shape_of(x, where, "x")
    if len(shape) != 4 or min(shape[2:]) < least:
        raise ValueError(
            f"{where}: x needs images (N, C, H, W) of at least {least}×{least} pixels, but has shape {shape}"
        )


def shape_of(value: Any, where: str, name: str) -> tuple[int, ...]:
    """The shape of an array, a list or a number."""
    return value.shape if hasattr(value, "shape") else plain_array(value, where, name).shape


def axes_of(axis: Any, ndim: int, where: str) -> tuple[int, ...]:
    """`axis` (None, an int, or several) as non-negative ints, each within `ndim` axes and none twice."""
    if axis is None:
        return tuple(range(ndim))
    several = axis if isinstance(axis, (tuple, list)) or getattr(axis, "ndim", 0) > 0 else (axis,)
    result = []
    for each in several:
        index = integer(each, where, "axis")
        if not ndim:
            raise ValueError(f"{where}: axis {shown(index)} needs an array, but got a single number, which has no axis")
        if not -ndim <= index < ndim:
            raise ValueError(
                f"{where}: axis needs to lie in [{-ndim}, {ndim - 1}] for {ndim} axes, but got {shown(index)}"
            )
        result.append(index % ndim)
    if len(set(result)) < len(result):
        raise ValueError(f"{where}: axis names one axis twice: {shown(axis)}")
    return tuple(result)


def axis_of(axis: Any, ndim: int, where: str) -> int:
    """`axis`, one int, as a non-negative int within `ndim` axes."""
    return axes_of(integer(axis, where, "axis"), ndim, where)[0]


def class_labels(labels: Any, where: str, count: int, classes: int) -> Any:
    """Integer labels of shape (count,), each in 0 … classes - 1."""
    labels = labels if engine_of(labels) == "cupy" else plain_array(labels, where, "labels")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{where}: labels needs integers, but its dtype is {labels.dtype}")
    if labels.shape != (count,):
        raise ValueError(f"{where}: labels needs shape ({count},), one per row of the batch, but has {labels.shape}")
    if engine_of(labels) != "cupy" and count and not (0 <= labels.min() and labels.max() < classes):
        wrong = labels[(labels < 0) | (labels >= classes)][0]
        raise ValueError(
            f"{where}: labels needs values from 0 to {classes - 1} for {classes} classes, but holds {wrong}"
        )
    return labels


def one_of(value: Any, where: str, name: str, choices: Sequence[str]) -> str:
    """`value`, if it is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{where}: {name} needs one of {', '.join(map(repr, choices))}, but got {shown(value)}")
    return value
