"""A step of Adam on the GPU in one pass: every number is read once and written once, by a thread of its own."""

from __future__ import annotations

import math

from numba import cuda

from zerohero.kernels.cuda.launching import launch_each
from zerohero.operation import array_module
from zerohero.ops.optim import adam_step


@cuda.jit
def adam_kernel(value, gradient, mean, square, rate, of_gradient, of_square, eps, decay, shrink):
    """`adam_step` for arrays laid out as (K,); of_gradient and of_square are 1 - β₁ and 1 - β₂."""
    i = cuda.grid(1)
    if i >= len(value):
        return
    x = value[i] * shrink
    g = gradient[i] + decay * x
    m = mean[i] + of_gradient * (g - mean[i])
    s = square[i] + of_square * (g * g - square[i])
    value[i] = x - rate * m / (math.sqrt(s) + eps)
    mean[i], square[i] = m, s


@adam_step.kernel("cupy")
def adam_step_cuda(value, gradient, mean, square, rate, betas, eps, decay, shrink):
    changed = value, mean, square
    several = len({array.dtype for array in (*changed, gradient)}) > 1
    if several or gradient.shape != value.shape or not all(array.flags.c_contiguous for array in changed):
        return NotImplemented
    gradient = array_module(gradient).ascontiguousarray(gradient)
    flat = (array.reshape(-1) for array in (value, gradient, mean, square))
    numbers = map(value.dtype.type, (rate, 1 - betas[0], 1 - betas[1], eps, decay, shrink))
    launch_each(adam_kernel, value.size, *flat, *numbers)
    return None
