"""Activations on the GPU where one pass over memory can do what CuPy does in several."""

from __future__ import annotations

from numba import cuda

from zerohero.kernels.cuda.launching import launch_each
from zerohero.operation import array_module
from zerohero.ops.activation import relu_gradient


@cuda.jit
def relu_gradient_kernel(grad, y, d_x):
    """d_x = grad where y > 0, else 0, for arrays laid out as (K,)."""
    i = cuda.grid(1)
    if i < len(y):
        d_x[i] = grad[i] * y.dtype.type(y[i] > 0)


@relu_gradient.kernel("cupy")
def relu_gradient_cuda(grad, y):
    if grad.dtype != y.dtype:
        return NotImplemented
    xp = array_module(y)
    d_x = xp.empty(y.shape, y.dtype)
    flat = (xp.ascontiguousarray(array).reshape(-1) for array in (grad, y))
    launch_each(relu_gradient_kernel, y.size, *flat, d_x.reshape(-1))
    return d_x
