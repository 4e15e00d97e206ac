"""Pooling, one plane of an image at a time: windows are looked at where they are, and no copy of them is made."""

from __future__ import annotations

import numpy as np

from zerohero.kernels.numba_cpu.compiling import compiled
from zerohero.kernels.numba_cpu.threads import share
from zerohero.ops.convolution import _output_size
from zerohero.ops.pooling import _counts, _reach, avg_pool2d, avg_pool2d_gradient, max_pool2d, max_pool2d_gradient


@max_pool2d.kernel("numba")
def max_pool2d_numba(x, kernel_size, stride, padding, dilation, ceil_mode, save=None):
    reach = _reach(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    size = _output_size(x.shape[2:], kernel_size, stride, reach, dilation)
    y = np.empty((*x.shape[:2], *size), x.dtype)
    argmax = np.empty((*y.shape, 1), np.intp)
    geometry = *kernel_size, *stride, reach[0][0], reach[1][0], *dilation
    share(_largest, len(_planes(y)), _planes(x), _planes(y), _planes(argmax[..., 0]), *geometry)
    if save:
        save(argmax=argmax)
    return y


@max_pool2d_gradient.kernel("numba")
def max_pool2d_gradient_numba(grad, x, argmax, kernel_size, stride, padding, dilation, ceil_mode):
    reach = _reach(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    d_x = np.zeros(x.shape, grad.dtype)
    geometry = *kernel_size, *stride, reach[0][0], reach[1][0], *dilation
    share(_to_winners, len(_planes(d_x)), _planes(grad), _planes(argmax[..., 0]), _planes(d_x), *geometry)
    return d_x


@avg_pool2d.kernel("numba")
def avg_pool2d_numba(x, kernel_size, stride, padding, ceil_mode, count_include_pad):
    reach = _reach(x.shape[2:], kernel_size, stride, padding, (1, 1), ceil_mode)
    counts = _counts(x, kernel_size, stride, padding, reach, count_include_pad)
    y = np.empty((*x.shape[:2], *counts.shape), x.dtype)
    share(_means, len(_planes(y)), _planes(x), _planes(y), counts, *kernel_size, *stride, reach[0][0], reach[1][0])
    return y


@avg_pool2d_gradient.kernel("numba")
def avg_pool2d_gradient_numba(grad, x, kernel_size, stride, padding, ceil_mode, count_include_pad):
    reach = _reach(x.shape[2:], kernel_size, stride, padding, (1, 1), ceil_mode)
    counts = _counts(x, kernel_size, stride, padding, reach, count_include_pad)
    d_x = np.zeros(x.shape, grad.dtype)
    geometry = *kernel_size, *stride, reach[0][0], reach[1][0]
    share(_to_all, len(_planes(d_x)), _planes(grad), _planes(d_x), counts, *geometry)
    return d_x


def _planes(array):
    """(N, C, H, W) as (N · C, H, W), of the kind that numba has compiled for: contiguous and writable."""
    return np.require(array, requirements="CWA").reshape(-1, *array.shape[2:])


@compiled
def _inside(first, step, count, size):
    """The places [from, to) of a window's axis that lie inside an axis of `size`: 0 ≤ first + place · step < size."""
    begin = 0 if first >= 0 else (step - 1 - first) // step
    end = min(count, (size - first + step - 1) // step)
    return begin, max(begin, end)


@compiled
def _largest(begin, end, x, y, argmax, kh, kw, down, across, top, left, dh, dw):
    _, height, width = x.shape
    _, rows, columns = y.shape
    for n in range(begin, end):
        for row in range(rows):
            h = row * down - top
            i0, i1 = _inside(h, dh, kh, height)
            for column in range(columns):
                w = column * across - left
                j0, j1 = _inside(w, dw, kw, width)
                best, place = -np.inf, 0
                for i in range(i0, i1):
                    for j in range(j0, j1):
                        value = x[n, h + i * dh, w + j * dw]
                        if value > best or (value != value and best == best):  # the first NaN wins for good
                            best, place = value, i * kw + j
                y[n, row, column] = best
                argmax[n, row, column] = place


@compiled
def _to_winners(begin, end, grad, argmax, d_x, kh, kw, down, across, top, left, dh, dw):
    _, height, width = d_x.shape
    _, rows, columns = grad.shape
    for n in range(begin, end):
        for row in range(rows):
            for column in range(columns):
                place = argmax[n, row, column]
                h, w = row * down - top + place // kw * dh, column * across - left + place % kw * dw
                if 0 <= h < height and 0 <= w < width:  # among nothing but -∞, the padding may win
                    d_x[n, h, w] += grad[n, row, column]


@compiled
def _means(begin, end, x, y, counts, kh, kw, down, across, top, left):
    _, height, width = x.shape
    _, rows, columns = y.shape
    for n in range(begin, end):
        for row in range(rows):
            h = row * down - top
            i0, i1 = _inside(h, 1, kh, height)
            for column in range(columns):
                w = column * across - left
                j0, j1 = _inside(w, 1, kw, width)
                total = x.dtype.type(0)
                for i in range(i0, i1):
                    for j in range(j0, j1):
                        total += x[n, h + i, w + j]
                y[n, row, column] = total / counts[row, column]


@compiled
def _to_all(begin, end, grad, d_x, counts, kh, kw, down, across, top, left):
    _, height, width = d_x.shape
    _, rows, columns = grad.shape
    for n in range(begin, end):
        for row in range(rows):
            h = row * down - top
            i0, i1 = _inside(h, 1, kh, height)
            for column in range(columns):
                w = column * across - left
                j0, j1 = _inside(w, 1, kw, width)
                part = grad[n, row, column] / counts[row, column]
                for i in range(i0, i1):
                    for j in range(j0, j1):
                        d_x[n, h + i, w + j] += part
