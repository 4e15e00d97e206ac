"""The fully connected layer, and the moves on array shapes around it: flatten, concat, pad."""

from __future__ import annotations

import math

import numpy as np

from zerohero.arguments import axis_of, integer, number, pair, shown
from zerohero.operation import operation


def _prepare_linear(x, weight, bias):
    if weight.ndim != 2:
        raise ValueError(f"linear: weight needs shape (out, in), but has shape {weight.shape}")
    if x.ndim < 1 or x.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"linear: weight expects {weight.shape[1]} inputs (weight.shape[1]), but x has "
            f"{x.shape[-1] if x.ndim else 'no axis'}: x {x.shape}, weight {weight.shape}"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"linear: bias needs shape ({weight.shape[0]},), one per output, but has shape {bias.shape}")
    return {}


@operation(inputs=3, prepare=_prepare_linear)
def linear(x, weight, bias=None):
    """The fully connected layer, x Wᵀ + b: every output is a weighted sum of all inputs.

    Parameters
    ----------
    x : array (..., in)
    weight : array (out, in)
    bias : array (out,), optional

    Returns
    -------
    array (..., out)

    Raises
    ------
    ValueError
        If the number of inputs differs from weight's.

    Examples
    --------
    >>> linear([1, 2], [[1, 1], [0, 3]], [0.5, 0])
    array([3.5, 6. ], dtype=float32)
    """
    y = x @ weight.T
    return y if bias is None else y + bias


@linear.gradient
def linear_gradient(grad, x, weight, bias, needs):
    rows = grad.reshape(math.prod(grad.shape[:-1]), grad.shape[-1])  # (N, out)
    d_x = grad @ weight if "x" in needs else None
    d_weight = rows.T @ x.reshape(len(rows), x.shape[-1]) if "weight" in needs else None
    return d_x, d_weight, rows.sum(0) if "bias" in needs else None


def _prepare_flatten(x, start_axis):
    start = integer(start_axis, "flatten", "start_axis", least=0)
    if start >= max(x.ndim, 1):
        raise ValueError(f"flatten: start_axis needs to be below x's {x.ndim} axes, but got {start}")
    return dict(start_axis=start)


@operation(prepare=_prepare_flatten)
def flatten(x, start_axis=1):
    """Lay out all axes from `start_axis` on as one, in the order (C, H, W).

    Parameters
    ----------
    x : array (N, ...)
    start_axis : int
        1 keeps the batch apart; 0 flattens everything.

    Returns
    -------
    array (N, product of the rest)

    Examples
    --------
    >>> flatten([[[5, 3], [2, 4]], [[3, 1], [2, 1]]], start_axis=0)
    array([5., 3., 2., 4., 3., 1., 2., 1.], dtype=float32)
    """
    return x.reshape(*x.shape[:start_axis], math.prod(x.shape[start_axis:]))


@flatten.gradient
def flatten_gradient(grad, x):
    return grad.reshape(x.shape)


def _prepare_concat(arrays, axis):
    if not arrays:
        raise ValueError("concat: arrays needs at least one array, but got an empty list")
    axis = axis_of(axis, arrays[0].ndim, "concat")
    rest = [a.shape[:axis] + a.shape[axis + 1 :] for a in arrays]
    if any(a.ndim != arrays[0].ndim for a in arrays) or len(set(rest)) > 1:
        shapes = ", ".join(str(a.shape) for a in arrays)
        raise ValueError(f"concat: arrays need equal shapes except along axis {axis}, but got {shapes}")
    return dict(axis=axis)


@operation(sequence=True, prepare=_prepare_concat)
def concat(arrays, axis=0):
    """Join arrays along an axis.

    Parameters
    ----------
    arrays : list of arrays, equal shapes except along `axis`
    axis : int

    Returns
    -------
    array, their shape, with the sum of their lengths along `axis`

    Examples
    --------
    >>> concat([[[1, 2]], [[3, 4]]], axis=1)
    array([[1., 2., 3., 4.]], dtype=float32)
    """
    return np.concatenate(arrays, axis=axis)


@concat.gradient
def concat_gradient(grad, arrays, axis):
    ends = np.cumsum([a.shape[axis] for a in arrays])[:-1]
    return np.split(grad, [int(end) for end in ends], axis=axis)


def _prepare_pad(x, width, value):
    if not isinstance(width, (list, tuple)):
        raise TypeError(
            f"pad: width needs a list of (before, after), one for each of the last axes, but got {shown(width)}"
        )
    pairs = [pair(each, "pad", "width (before, after)", least=0) for each in width]
    if len(pairs) > x.ndim:
        raise ValueError(f"pad: width holds {len(pairs)} pairs, but x has only {x.ndim} axes")
    return dict(width=[(0, 0)] * (x.ndim - len(pairs)) + pairs, value=number(value, "pad", "value"))


@operation(prepare=_prepare_pad)
def pad(x, width, value=0.0):
    """Put `value` around x.

    Parameters
    ----------
    x : array, any shape
    width : list of (before, after)
        One pair for each of the last axes: [(top, bottom), (left, right)] pads images.
    value : float

    Returns
    -------
    array, x's shape and the widths

    Examples
    --------
    >>> pad([[1, 2]], [(0, 1), (1, 0)])
    array([[0., 1., 2.],
           [0., 0., 0.]], dtype=float32)
    """
    return np.pad(x, width, constant_values=value)


@pad.gradient
def pad_gradient(grad, x, width):
    return grad[tuple(slice(before, before + n) for (before, _), n in zip(width, x.shape, strict=True))]
