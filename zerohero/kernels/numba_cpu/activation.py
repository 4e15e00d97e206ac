"""Activations that NumPy needs several passes for, in one pass over memory; in all threads."""

from __future__ import annotations

import numpy as np

from zerohero.kernels.numba_cpu.compiling import compiled
from zerohero.kernels.numba_cpu.threads import share
from zerohero.ops.activation import leaky_relu, leaky_relu_gradient, relu, relu_gradient

BLOCK = 16384  # numbers a thread takes at least


@relu.kernel("numba")
def relu_numba(x):
    return _each(_relu, x, x, x.dtype.type(0))


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
    x, grad = (np.require(array, requirements=["C", "W", "A"]).reshape(-1) for array in (x, grad))
    share(kernel, -(-x.size // BLOCK), x, grad, result.reshape(-1), slope)
    return result


@compiled
def _relu(start, stop, x, _, result, zero):
    begin, end = start * BLOCK, min(stop * BLOCK, len(x))
    x, result = x[begin:end], result[begin:end]  # counted from 0, no index looks negative, and the loop is vectorised
    for i in range(len(x)):
        result[i] = zero if x[i] < 0 else x[i]  # NaN stays NaN


@compiled
def _leaky(start, stop, x, _, result, slope):
    begin, end = start * BLOCK, min(stop * BLOCK, len(x))
    x, result = x[begin:end], result[begin:end]
    for i in range(len(x)):
        result[i] = x[i] * slope if x[i] < 0 else x[i]


@compiled
def _leaky_gradient(start, stop, x, grad, result, slope):
    begin, end = start * BLOCK, min(stop * BLOCK, len(x))
    x, grad, result = x[begin:end], grad[begin:end], result[begin:end]
    one = result.dtype.type(1)
    for i in range(len(x)):
        result[i] = grad[i] * (one if x[i] > 0 else slope)
