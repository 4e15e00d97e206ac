"""Batch normalization, one channel at a time: its numbers are in cache when they are needed again."""

from __future__ import annotations

import numpy as np

from zerohero.kernels.numba_cpu.compiling import compiled
from zerohero.kernels.numba_cpu.threads import share
from zerohero.ops.normalization import batch_norm, batch_norm_gradient


@batch_norm.kernel("numba")
def batch_norm_numba(x, weight, bias, running_mean, running_var, training, momentum, eps, save=None):
    if not _takes(x, weight, bias):
        return NotImplemented
    channels, dtype = x.shape[1], x.dtype
    planes = _planes(x)
    mean, variance = np.empty(channels, dtype), np.empty(channels, dtype)
    if training:
        share(_moments, channels, planes, mean, variance)
        count = x.size // channels
        if running_mean is not None:
            running_mean += momentum * (mean - running_mean)
        if running_var is not None:
            running_var += momentum * (variance * (count / (count - 1)) - running_var)
    else:
        mean[:], variance[:] = running_mean, running_var
    deviation = 1 / np.sqrt(variance + dtype.type(eps))
    factor = np.ones(channels, dtype) if weight is None else _plain(weight)
    shift = np.zeros(channels, dtype) if bias is None else _plain(bias)
    y = np.empty(x.shape, dtype)
    normalized = np.empty(x.shape if save else (1, 1), dtype)
    share(_normalize, channels, planes, mean, deviation, factor, shift, _planes(y), _planes(normalized), bool(save))
    if save:
        save(normalized=normalized, deviation=deviation)
    return y


@batch_norm_gradient.kernel("numba")
def batch_norm_gradient_numba(grad, x, weight, bias, normalized, deviation, training):
    if not _takes(grad, x, weight, bias):
        return NotImplemented
    channels, dtype = x.shape[1], x.dtype
    factor = np.ones(channels, dtype) if weight is None else _plain(weight)
    d_x, d_weight, d_bias = np.empty(x.shape, dtype), np.empty(channels, dtype), np.empty(channels, dtype)
    share(_normalize_gradient, channels, _planes(grad), _planes(normalized), deviation, factor, _planes(d_x), d_weight,
          d_bias, training)  # fmt: skip
    return d_x, None if weight is None else d_weight, None if bias is None else d_bias


def _takes(x, *others) -> bool:
    """Whether channels are planes that make a loop worth while, and all arrays are of one dtype."""
    plane = x.size // max(1, x.shape[0] * x.shape[1])
    return plane >= 4 and all(other is None or other.dtype == x.dtype for other in others)


def _plain(array):
    """The array as numba has compiled for: contiguous and writable."""
    return np.require(array, requirements=["C", "W", "A"])


def _planes(x):
    """(N, C, H, W) as (N, C, H · W)."""
    return _plain(x).reshape(*x.shape[:2], -1)


@compiled
def _moments(begin, end, x, mean, variance):
    """Sums in float64: in float32 they would lose the digits that the variance needs."""
    images, _, area = x.shape
    for c in range(begin, end):
        total = 0.0
        for n in range(images):
            for i in range(area):
                total += x[n, c, i]
        mean[c] = total / (images * area)
        squares = 0.0
        for n in range(images):
            for i in range(area):
                centered = x[n, c, i] - mean[c]
                squares += np.float64(centered) * centered
        variance[c] = squares / (images * area)


@compiled
def _normalize(begin, end, x, mean, deviation, factor, shift, y, normalized, saving):
    images, _, area = x.shape
    for c in range(begin, end):
        middle, scale, times, plus = mean[c], deviation[c], factor[c], shift[c]
        for n in range(images):
            if saving:
                for i in range(area):
                    normalized[n, c, i] = (x[n, c, i] - middle) * scale
                    y[n, c, i] = normalized[n, c, i] * times + plus
            else:
                for i in range(area):
                    y[n, c, i] = (x[n, c, i] - middle) * scale * times + plus


@compiled
def _normalize_gradient(begin, end, grad, normalized, deviation, factor, d_x, d_weight, d_bias, training):
    images, _, area = grad.shape
    for c in range(begin, end):
        total, along = 0.0, 0.0
        for n in range(images):
            for i in range(area):
                total += grad[n, c, i]
                along += np.float64(grad[n, c, i]) * normalized[n, c, i]
        d_bias[c], d_weight[c] = total, along
        scale = factor[c] * deviation[c]
        mean, slope = d_bias[c] / (images * area), d_weight[c] / (images * area)
        if not training:  # mean and variance were given, and don't depend on x
            mean, slope = 0 * mean, 0 * slope
        mean, slope = d_x.dtype.type(mean), d_x.dtype.type(slope)
        for n in range(images):
            for i in range(area):
                d_x[n, c, i] = (grad[n, c, i] - mean - normalized[n, c, i] * slope) * scale
