"""Max and average pooling on the GPU, with their gradients: a thread for each value that is made."""

from __future__ import annotations

import math

from numba import cuda

from zerohero.kernels.cuda.launching import launch_each
from zerohero.operation import array_module
from zerohero.ops import pooling as definition
from zerohero.ops.convolution import _output_size
from zerohero.ops.pooling import avg_pool2d, avg_pool2d_gradient, max_pool2d, max_pool2d_gradient


@cuda.jit
def max_kernel(x, y, winner, kh, kw, stride_down, stride_right, top, left, dilation_down, dilation_right):
    """The largest value of every window of x (N, C, H, W), and the number of its place; NaN counts as largest.

    Padding counts as -∞, which is where the search begins, so that places outside x need no look.
    """
    _, channels, height, width = x.shape
    images, _, rows, cols = y.shape
    rest = cuda.grid(1)
    if rest >= images * channels * rows * cols:
        return
    ow, rest = rest % cols, rest // cols
    oh, rest = rest % rows, rest // rows
    c, n = rest % channels, rest // channels
    best, place = x.dtype.type(-math.inf), 0
    for i in range(kh):
        h = oh * stride_down + i * dilation_down - top
        for j in range(kw):
            w = ow * stride_right + j * dilation_right - left
            if 0 <= h < height and 0 <= w < width:
                value = x[n, c, h, w]
                if best == best and (value > best or value != value):  # only NaN differs from itself
                    best, place = value, i * kw + j
    y[n, c, oh, ow] = best
    winner[n, c, oh, ow, 0] = place


@cuda.jit
def max_gradient_kernel(grad, winner, d_x, kh, kw, stride_down, stride_right, top, left, dilation_down, dilation_right):
    """Each value of x gets the gradients of the windows that it won: a thread looks through all that hold it."""
    images, channels, height, width = d_x.shape
    _, _, rows, cols = grad.shape
    rest = cuda.grid(1)
    if rest >= images * channels * height * width:
        return
    w, rest = rest % width, rest // width
    h, rest = rest % height, rest // height
    c, n = rest % channels, rest // channels
    total = d_x.dtype.type(0)
    for i in range(kh):
        down = h + top - i * dilation_down  # where a window would start whose row i lies here
        if down < 0 or down % stride_down or down // stride_down >= rows:
            continue
        for j in range(kw):
            right = w + left - j * dilation_right
            if right >= 0 and right % stride_right == 0 and right // stride_right < cols:
                oh, ow = down // stride_down, right // stride_right
                if winner[n, c, oh, ow, 0] == i * kw + j:
                    total += grad[n, c, oh, ow]
    d_x[n, c, h, w] = total


@cuda.jit
def sum_kernel(x, y, kh, kw, stride_down, stride_right, top, left):
    """The sum of every window of x (N, C, H, W)."""
    _, channels, height, width = x.shape
    images, _, rows, cols = y.shape
    rest = cuda.grid(1)
    if rest >= images * channels * rows * cols:
        return
    ow, rest = rest % cols, rest // cols
    oh, rest = rest % rows, rest // rows
    c, n = rest % channels, rest // channels
    total = x.dtype.type(0)
    for h in range(max(0, oh * stride_down - top), min(height, oh * stride_down - top + kh)):
        for w in range(max(0, ow * stride_right - left), min(width, ow * stride_right - left + kw)):
            total += x[n, c, h, w]
    y[n, c, oh, ow] = total


@cuda.jit
def sum_gradient_kernel(grad, d_x, kh, kw, stride_down, stride_right, top, left):
    """Each value of x gets the gradients of all windows that hold it."""
    images, channels, height, width = d_x.shape
    _, _, rows, cols = grad.shape
    rest = cuda.grid(1)
    if rest >= images * channels * height * width:
        return
    w, rest = rest % width, rest // width
    h, rest = rest % height, rest // height
    c, n = rest % channels, rest // channels
    # windows oh with oh · stride ≤ h + top < oh · stride + kh
    above = max(0, (h + top - kh + stride_down) // stride_down)
    before = max(0, (w + left - kw + stride_right) // stride_right)
    total = d_x.dtype.type(0)
    for oh in range(above, min(rows, (h + top) // stride_down + 1)):
        for ow in range(before, min(cols, (w + left) // stride_right + 1)):
            total += grad[n, c, oh, ow]
    d_x[n, c, h, w] = total


@max_pool2d.kernel("cupy")
def max_pool2d_cuda(x, kernel_size, stride, padding, dilation, ceil_mode, save=None):
    xp = array_module(x)
    y = xp.empty((*x.shape[:2], *_size(x, kernel_size, stride, padding, dilation, ceil_mode)), x.dtype)
    winner = xp.empty((*y.shape, 1), xp.intp)
    (top, _), (left, _) = padding
    launch_each(max_kernel, y.size, xp.ascontiguousarray(x), y, winner, *kernel_size, *stride, top, left, *dilation)
    if save:
        save(argmax=winner)
    return y


@max_pool2d_gradient.kernel("cupy")
def max_pool2d_gradient_cuda(grad, x, argmax, kernel_size, stride, padding, dilation):
    xp = array_module(grad)
    d_x = xp.empty(x.shape, grad.dtype)
    (top, _), (left, _) = padding
    launch_each(max_gradient_kernel, d_x.size, xp.ascontiguousarray(grad), xp.ascontiguousarray(argmax), d_x,
                *kernel_size, *stride, top, left, *dilation)  # fmt: skip
    return d_x


@avg_pool2d.kernel("cupy")
def avg_pool2d_cuda(x, kernel_size, stride, padding, ceil_mode, count_include_pad):
    xp = array_module(x)
    y = xp.empty((*x.shape[:2], *_size(x, kernel_size, stride, padding, (1, 1), ceil_mode)), x.dtype)
    (top, _), (left, _) = padding
    launch_each(sum_kernel, y.size, xp.ascontiguousarray(x), y, *kernel_size, *stride, top, left)
    y /= _counts(x, kernel_size, stride, padding, ceil_mode, count_include_pad)
    return y


@avg_pool2d_gradient.kernel("cupy")
def avg_pool2d_gradient_cuda(grad, x, kernel_size, stride, padding, ceil_mode, count_include_pad):
    xp = array_module(grad)
    share = xp.ascontiguousarray(grad / _counts(x, kernel_size, stride, padding, ceil_mode, count_include_pad))
    d_x = xp.empty(x.shape, grad.dtype)
    (top, _), (left, _) = padding
    launch_each(sum_gradient_kernel, d_x.size, share, d_x, *kernel_size, *stride, top, left)
    return d_x


def _size(x, kernel, stride, padding, dilation, ceil_mode):
    """Rows and columns of the output."""
    reach = definition._reach(x.shape[2:], kernel, stride, padding, dilation, ceil_mode)
    return _output_size(x.shape[2:], kernel, stride, reach, dilation)


def _counts(x, kernel, stride, padding, ceil_mode, count_include_pad):
    """How many values each window's mean is taken over: (OH, OW), or one number if they all have as many."""
    if not ceil_mode and (count_include_pad or not any(map(any, padding))):
        return x.dtype.type(math.prod(kernel))
    reach = definition._reach(x.shape[2:], kernel, stride, padding, (1, 1), ceil_mode)
    return definition._counts(x, kernel, stride, padding, reach, count_include_pad)
