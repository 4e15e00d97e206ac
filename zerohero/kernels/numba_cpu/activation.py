"""Activations that NumPy needs several passes for, in one pass over memory; in all threads."""

from __future__ import annotations

import numpy as np

from zerohero.kernels.numba_cpu.compiling import compiled
from zerohero.kernels.numba_cpu.threads import share
from zerohero.ops.activation import leaky_relu, leaky_relu_gradient, relu, relu_gradient

BLOCK = 16384  # numbers a thread takes at least


@relu.kernel("numba")
def relu_numba(x):
    return _each(_leaky, x, x, x.dtype.type(0))


@relu_gradient.kernel("numba")
def relu_gradient_numba(grad, y):
    return _each(_leaky_gradient, y, grad, y.dtype.type(0))


@leaky_relu.kernel("numba")
def leaky_relu_numba(x, slope):
    return _each(_leaky, x, x, x.dtype.type(slope))


@leaky_relu_gradient.kernel("numba")
def leaky_relu_gradient_numba(grad, x, slope):
    return _each(_leaky_gradient, x, grad, x.dtype.type(slope))


def _each(kernel, x, grad, slope):
    """kernel, on every number of x; grad may be x."""
    if x.dtype != grad.dtype or x.size < BLOCK:  # so few that a call of NumPy costs less than the threads do
        return NotImplemented
    result = np.empty(x.shape, x.dtype)
    x, grad = (np.require(array, requirements="CWA").reshape(-1) for array in (x, grad))
    share(kernel, -(-x.size // BLOCK), x, grad, result.reshape(-1), slope)
    return result


@compiled
def _leaky(start, stop, x, _, result, slope):
    for i in range(start * BLOCK, min(stop * BLOCK, len(x))):
        result[i] = x[i] if not x[i] < 0 else x[i] * slope  # NaN stays NaN


@compiled
def _leaky_gradient(start, stop, x, grad, result, slope):
    for i in range(start * BLOCK, min(stop * BLOCK, len(x))):
        result[i] = grad[i] * (1 if x[i] > 0 else slope)
