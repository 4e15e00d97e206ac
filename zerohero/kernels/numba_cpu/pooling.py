"""Max pooling with its gradient, windows looked at where they are. The mean of windows is as fast in NumPy's form."""

from __future__ import annotations

import numpy as np

from zerohero.kernels.numba_cpu.compiling import compiled
from zerohero.kernels.numba_cpu.threads import share
from zerohero.ops.convolution import _output_size
from zerohero.ops.pooling import _reach, max_pool2d, max_pool2d_gradient


@max_pool2d.kernel("numba")
def max_pool2d_numba(x, kernel_size, stride, padding, dilation, ceil_mode, save=None):
    if not save:  # nobody asks which number won: NumPy's form is as fast
        return NotImplemented
    reach = _reach(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    size = _output_size(x.shape[2:], kernel_size, stride, reach, dilation)
    y = np.empty((*x.shape[:2], *size), x.dtype)
    argmax = np.empty((*y.shape, 1), np.intp)
    geometry = *kernel_size, *stride, reach[0][0], reach[1][0], *dilation
    share(_largest, len(_planes(y)), _planes(x), _planes(y), _planes(argmax[..., 0]), *geometry)
    save(argmax=argmax)
    return y


@max_pool2d_gradient.kernel("numba")
def max_pool2d_gradient_numba(grad, x, argmax, kernel_size, stride, padding, dilation, ceil_mode):
    reach = _reach(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    d_x = np.zeros(x.shape, grad.dtype)
    geometry = *kernel_size, *stride, reach[0][0], reach[1][0], *dilation
    share(_to_winners, len(_planes(d_x)), _planes(grad), _planes(argmax[..., 0]), _planes(d_x), *geometry)
    return d_x


def _planes(array):
    """(N, C, H, W) as (N · C, H, W), of the kind that numba has compiled for: contiguous and writable."""
    return np.require(array, requirements=["C", "W", "A"]).reshape(-1, *array.shape[2:])


@compiled
def _inside(first, step, count, size):
    """The k [from, to) of 0..count at which first + k · step lies inside an axis: from 0 to below size."""
    begin = 0 if first >= 0 else (step - 1 - first) // step
    end = min(count, max(0, (size - first + step - 1) // step))
    return begin, max(begin, end)


# A row of windows is looked at one place of the window at a time: the loop over the windows is then a simple one, and
# LLVM turns it into vector instructions if it knows how far apart neighbours are: hence the cases of 1 and 2.


@compiled
def _larger(best, place, line, across, number):
    if across == 1:
        for c in range(len(best)):
            value = line[c]
            wins = (value > best[c]) | ((value != value) & (best[c] == best[c]))  # the first NaN wins for good
            best[c], place[c] = value if wins else best[c], number if wins else place[c]
    elif across == 2:
        for c in range(len(best)):
            value = line[2 * c]
            wins = (value > best[c]) | ((value != value) & (best[c] == best[c]))
            best[c], place[c] = value if wins else best[c], number if wins else place[c]
    else:
        for c in range(len(best)):
            value = line[c * across]
            wins = (value > best[c]) | ((value != value) & (best[c] == best[c]))
            best[c], place[c] = value if wins else best[c], number if wins else place[c]


@compiled
def _largest(begin, end, x, y, argmax, kh, kw, down, across, top, left, dh, dw):
    _, height, width = x.shape
    _, rows, columns = y.shape
    places = np.empty(columns, np.int32)
    for n in range(begin, end):
        for row in range(rows):
            best = y[n, row]
            best[:], places[:] = -np.inf, 0
            i0, i1 = _inside(row * down - top, dh, kh, height)
            for i in range(i0, i1):
                line = x[n, row * down - top + i * dh]
                for j in range(kw):
                    c0, c1 = _inside(j * dw - left, across, columns, width)
                    _larger(
                        best[c0:c1], places[c0:c1], line[c0 * across + j * dw - left :], across, np.int32(i * kw + j)
                    )
            argmax[n, row] = places


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
