"""Pooling: the maximum or the mean of every window, with their gradients."""

from __future__ import annotations

import functools
import math

import numpy as np

from zerohero.arguments import Padding, Pair, boolean, images, padding_pairs, pair
from zerohero.operation import array_module, operation
from zerohero.ops.convolution import fold, windows


def _prepare(where: str, x, kernel_size, stride, padding, dilation, ceil_mode):
    batch = images(x, where)
    boolean(ceil_mode, where, "ceil_mode")
    kernel = pair(kernel_size, where, "kernel_size", least=1)
    stride = kernel if stride is None else pair(stride, where, "stride", least=1)
    dilation = pair(dilation, where, "dilation", least=1)
    extent = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    padding = padding_pairs(padding, where, batch.shape[2:], (extent[0], extent[1]), stride)
    over = [s - 1 if ceil_mode else 0 for s in stride]  # how far a last window may hang over the edge
    along = zip(batch.shape[2:], padding, extent, over, ("height", "width"), strict=True)
    for size, ends, window, beyond, axis in along:
        if max(ends) >= window:
            raise ValueError(
                f"{where}: padding needs to be smaller than the window ({window} in {axis}), got {padding}"
            )
        if size == 0 or size + sum(ends) + beyond < window:
            raise ValueError(
                f"{where}: the window spans {window} in {axis}, but the padded x has only {size + sum(ends)}: "
                f"x {x.shape}, padding {padding}"
            )
    return dict(x=batch, kernel_size=kernel, stride=stride, padding=padding)


def _prepare_max(x, kernel_size, stride, padding, dilation, ceil_mode):
    plain = _prepare("max_pool2d", x, kernel_size, stride, padding, dilation, ceil_mode)
    return plain | {"dilation": pair(dilation, "max_pool2d", "dilation", least=1)}


@operation(prepare=_prepare_max)
def max_pool2d(x, kernel_size, *, stride=None, padding=0, dilation=1, ceil_mode=False, save=None):
    """The largest value of every window. Padding never wins: it counts as -∞.

    Parameters
    ----------
    x : array (H, W), (C, H, W) or (N, C, H, W)
    kernel_size : int or (kh, kw)
    stride : int or (vertical, horizontal), optional
        Defaults to kernel_size: windows side by side.
    padding : int, (vertical, horizontal), ((top, bottom), (left, right)) or "same"
    dilation : int or (vertical, horizontal)
    ceil_mode : bool
        Keep a last window that hangs over the edge, if it starts inside x or its leading padding.

    Returns
    -------
    array (OH, OW), (C, OH, OW) or (N, C, OH, OW)
        OH = (H + top + bottom - dilation·(kh - 1) - 1) // stride + 1 (rounded up in ceil_mode), and OW likewise.
        A window that holds NaN gives NaN.

    Raises
    ------
    ValueError
        If the window is larger than the padded x (in ceil_mode by `stride` or more), or a padding is as large as it.

    Examples
    --------
    >>> max_pool2d([[1, 2, 5, 3], [4, 0, 1, 1]], 2)
    array([[4., 5.]], dtype=float32)
    """
    reach = _reach(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    places = _places(windows(x, kernel_size, stride, reach, dilation, fill=-np.inf))
    y = functools.reduce(np.maximum, places[1:], places[0].copy())
    if save:
        save(argmax=_first(places, y)[..., None])
    return y


@max_pool2d.gradient
def max_pool2d_gradient(grad, x, argmax, kernel_size, stride, padding, dilation, ceil_mode):
    reach = _reach(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    offsets = array_module(grad).arange(math.prod(kernel_size)).reshape(-1, 1, 1, 1)
    winner, share = argmax[..., 0].swapaxes(0, 1)[:, None], grad.swapaxes(0, 1)[:, None]  # (C, 1, N, OH, OW)
    columns = np.where(winner == offsets, share, 0)  # (C, kh·kw, N, OH, OW): all to the winner
    return fold(columns, x.shape, kernel_size, stride, reach, dilation, grad.shape[2:])


def _prepare_avg(x, kernel_size, stride, padding, ceil_mode, count_include_pad):
    boolean(count_include_pad, "avg_pool2d", "count_include_pad")
    return _prepare("avg_pool2d", x, kernel_size, stride, padding, 1, ceil_mode)


@operation(prepare=_prepare_avg)
def avg_pool2d(x, kernel_size, *, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """The mean of every window.

    Parameters
    ----------
    x : array (H, W), (C, H, W) or (N, C, H, W)
    kernel_size, stride, padding, ceil_mode
        As for `max_pool2d`.
    count_include_pad : bool
        Whether the zeros of the padding count in the mean. What hangs over in ceil_mode never counts.

    Returns
    -------
    array (OH, OW), (C, OH, OW) or (N, C, OH, OW)

    Raises
    ------
    ValueError
        If the window is larger than the padded x (in ceil_mode by `stride` or more), or a padding is as large as it.

    Examples
    --------
    >>> avg_pool2d([[1, 2, 5, 3], [4, 1, 1, 1]], 2)
    array([[2. , 2.5]], dtype=float32)
    """
    reach = _reach(x.shape[2:], kernel_size, stride, padding, (1, 1), ceil_mode)
    total = functools.reduce(np.add, _places(windows(x, kernel_size, stride, reach, (1, 1))))
    return total / _counts(x, kernel_size, stride, padding, reach, count_include_pad)


@avg_pool2d.gradient
def avg_pool2d_gradient(grad, x, kernel_size, stride, padding, ceil_mode, count_include_pad):
    reach = _reach(x.shape[2:], kernel_size, stride, padding, (1, 1), ceil_mode)
    share = grad / _counts(x, kernel_size, stride, padding, reach, count_include_pad)
    share = share.swapaxes(0, 1)[:, None]  # (C, 1, N, OH, OW): every value of a window gets the same
    columns = np.broadcast_to(share, (share.shape[0], math.prod(kernel_size), *share.shape[2:]))
    return fold(columns, x.shape, kernel_size, stride, reach, (1, 1), grad.shape[2:])


def _prepare_adaptive(x, output_size):
    return dict(x=images(x, "adaptive_avg_pool2d"), output_size=_target(x, output_size))


def _target(x, output_size) -> Pair:
    size = pair(output_size, "adaptive_avg_pool2d", "output_size", least=1)
    if 0 in x.shape[-2:]:
        raise ValueError(f"adaptive_avg_pool2d: x needs at least one row and column, but has shape {x.shape}")
    return size


@operation(prepare=_prepare_adaptive)
def adaptive_avg_pool2d(x, output_size):
    """The means over a grid of `output_size` windows that covers x, whatever its size.

    Window i along an axis of n values and m windows spans floor(i·n/m) to ceil((i+1)·n/m).

    Parameters
    ----------
    x : array (H, W), (C, H, W) or (N, C, H, W)
    output_size : int or (rows, columns)

    Returns
    -------
    array (rows, columns), (C, rows, columns) or (N, C, rows, columns)

    Examples
    --------
    >>> adaptive_avg_pool2d([[1, 2, 5, 3], [4, 1, 1, 1]], (1, 2))
    array([[2. , 2.5]], dtype=float32)
    """
    y = array_module(x).empty((*x.shape[:2], *output_size), x.dtype)
    for i, j, window in _grid(x.shape[2:], output_size):
        y[:, :, i, j] = x[window].mean((2, 3))
    return y


@adaptive_avg_pool2d.gradient
def adaptive_avg_pool2d_gradient(grad, x, output_size):
    d_x = array_module(x).zeros_like(x)
    for i, j, window in _grid(x.shape[2:], output_size):
        count = math.prod(d_x[window].shape[2:])
        d_x[window] += grad[:, :, i, j, None, None] / count
    return d_x


def global_avg_pool2d(x):
    """The mean of every channel: `adaptive_avg_pool2d(x, 1)`.

    Parameters
    ----------
    x : array (H, W), (C, H, W) or (N, C, H, W)

    Returns
    -------
    array (1, 1), (C, 1, 1) or (N, C, 1, 1)

    References
    ----------
    Lin, Chen & Yan 2013, "Network in network", arXiv:1312.4400, section 3.2.

    Examples
    --------
    >>> global_avg_pool2d([[1, 2], [3, 6]])
    array([[3.]], dtype=float32)
    """
    return adaptive_avg_pool2d(x, 1)


def _reach(size, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair, ceil_mode: bool) -> Padding:
    """The padding, at the end as far as the last window reaches: in ceil_mode one may hang over the edge."""
    if not ceil_mode:
        return padding
    (top, bottom), (left, right) = (
        _reach_along(n, d * (k - 1) + 1, s, ends)
        for n, k, s, ends, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )
    return (top, bottom), (left, right)


def _reach_along(size: int, window: int, stride: int, ends: Pair) -> Pair:
    over = -(size + sum(ends) - window) % stride  # how far beyond the padding one more window reaches
    starts = size + sum(ends) + over - window
    return (ends[0], ends[1] + over) if starts < size + ends[0] else ends


def _counts(x, kernel: Pair, stride: Pair, padding: Padding, reach: Padding, count_include_pad: bool):
    """How many values each window's mean is taken over: (OH, OW)."""
    inside = array_module(x).ones((1, 1, *x.shape[2:]), x.dtype)
    if count_include_pad:
        inside = np.pad(inside, ((0, 0), (0, 0), *padding), constant_values=1)
        reach = tuple((0, r[1] - p[1]) for r, p in zip(reach, padding, strict=True))  # type: ignore[assignment]
    return windows(inside, kernel, stride, reach, (1, 1)).sum(axis=(4, 5))[0, 0]


def _grid(size, output_size: Pair):
    """The windows of an adaptive pool, as (row, column, index into (N, C, H, W))."""
    down, across = (
        [slice(i * n // m, -(-(i + 1) * n // m)) for i in range(m)] for n, m in zip(size, output_size, strict=True)
    )
    return ((i, j, np.s_[:, :, rows, columns]) for i, rows in enumerate(down) for j, columns in enumerate(across))


def _places(view) -> list:
    """The values at each place in the window: kh·kw arrays (N, C, OH, OW), so that loops over places replace loops
    over windows."""
    return [view[..., i, j] for i, j in np.ndindex(*view.shape[4:])]


def _first(places: list, y):
    """The number of the first place that holds the maximum y; a NaN is one."""
    xp = array_module(y)
    before, number = xp.ones(y.shape, bool), xp.zeros(y.shape, np.intp)
    for values in places:
        before &= (values != y) & (values == values)
        number += before
    return number
