"""A step of Adam on the GPU in one pass: every number is read once and written once, by a thread of its own."""

from __future__ import annotations

import math

from numba import cuda

from zerohero.kernels.cuda.launching import launch_each
from zerohero.operation import array_module, engine_of
from zerohero.ops.optim import adam_step


@cuda.jit(device=True)
def change(i, value, gradient, mean, square, rate, of_gradient, of_square, eps, decay, shrink):
    """`adam_step` for number i of arrays laid out as (K,); of_gradient and of_square are 1 - β₁ and 1 - β₂."""
    x = value[i] * shrink
    g = gradient[i] + decay * x
    m = mean[i] + of_gradient * (g - mean[i])
    s = square[i] + of_square * (g * g - square[i])
    value[i] = x - rate * m / (math.sqrt(s) + eps)
    mean[i], square[i] = m, s


@cuda.jit
def adam_kernel(value, gradient, mean, square, rate, of_gradient, of_square, eps, decay, shrink):
    """A step whose numbers come with the call."""
    i = cuda.grid(1)
    if i < len(value):
        change(i, value, gradient, mean, square, rate, of_gradient, of_square, eps, decay, shrink)


@cuda.jit
def adam_kernel_again(value, gradient, mean, square, rate, of_gradient, of_square, eps, decay, shrink):
    """A step whose rate, eps and shrink, (1,) each, lie on the GPU: so that it can be recorded, and done again."""
    i = cuda.grid(1)
    if i < len(value):
        change(i, value, gradient, mean, square, rate[0], of_gradient, of_square, eps[0], decay, shrink[0])


@adam_step.kernel("cupy")
def adam_step_cuda(value, gradient, mean, square, rate, betas, eps, decay, shrink):
    changed = value, mean, square
    several = len({array.dtype for array in (*changed, gradient)}) > 1
    if several or gradient.shape != value.shape or not all(array.flags.c_contiguous for array in changed):
        return NotImplemented
    gradient = array_module(gradient).ascontiguousarray(gradient)
    flat = (array.reshape(-1) for array in (value, gradient, mean, square))
    number = value.dtype.type
    of_gradient, of_square, decay = number(1 - betas[0]), number(1 - betas[1]), number(decay)
    if engine_of(rate) == "cupy":
        kernel, (rate, eps, shrink) = adam_kernel_again, (each.reshape(1) for each in (rate, eps, shrink))
    else:
        kernel, (rate, eps, shrink) = adam_kernel, map(number, (rate, eps, shrink))
    launch_each(kernel, value.size, *flat, rate, of_gradient, of_square, eps, decay, shrink)
    return None
