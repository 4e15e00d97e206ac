"""A step of Adam in one pass: every number is read once and written once, where NumPy goes over them ten times."""

from __future__ import annotations

import math

import numpy as np

from zerohero.kernels.numba_cpu.compiling import compiled
from zerohero.kernels.numba_cpu.threads import share
from zerohero.ops.optim import adam_step

BLOCK = 4096  # numbers a thread takes at least


@adam_step.kernel("numba")
def adam_step_numba(value, gradient, mean, square, rate, betas, eps, decay, shrink):
    arrays = value, gradient, mean, square
    if len({a.dtype for a in arrays}) > 1 or len({a.shape for a in arrays}) > 1:
        return NotImplemented
    if not all(a.flags.c_contiguous and a.flags.aligned for a in arrays) or not gradient.flags.writeable:
        return NotImplemented
    numbers = np.array([rate, 1 - betas[0], 1 - betas[1], eps, decay, shrink], value.dtype)
    share(_adam, -(-value.size // BLOCK), *(a.reshape(-1) for a in arrays), numbers)
    return None


@compiled
def _adam(start, stop, value, gradient, mean, square, numbers):
    rate, of_g, of_square, eps, decay, shrink = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5]
    begin, end = start * BLOCK, min(stop * BLOCK, len(value))
    value, gradient, mean, square = value[begin:end], gradient[begin:end], mean[begin:end], square[begin:end]
    for i in range(len(value)):
        x = value[i] * shrink
        g = gradient[i] + decay * x
        m = mean[i] + of_g * (g - mean[i])
        s = square[i] + of_square * (g * g - square[i])
        value[i] = x - rate * m / (math.sqrt(s) + eps)
        mean[i], square[i] = m, s
