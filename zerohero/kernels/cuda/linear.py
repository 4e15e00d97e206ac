"""The fully connected layer on the GPU: matrix products that can be recorded; the sums around them are CuPy's."""

from __future__ import annotations

import math

from zerohero.kernels.cuda import products
from zerohero.ops.linear import linear, linear_gradient


@linear.kernel("cupy")
def linear_cuda(x, weight, bias):
    y = products.matmul(_rows(x), weight.T)
    if bias is not None:
        y += bias
    return y.reshape(*x.shape[:-1], len(weight))


@linear_gradient.kernel("cupy")
def linear_gradient_cuda(grad, x, weight, bias, needs):
    rows = _rows(grad)
    d_x = products.matmul(rows, weight).reshape(x.shape) if "x" in needs else None
    d_weight = products.matmul(rows.T, _rows(x)) if "weight" in needs else None
    return d_x, d_weight, rows.sum(0) if "bias" in needs else None


def _rows(array):
    """(..., K) as a matrix (N, K)."""
    return array.reshape(math.prod(array.shape[:-1]), array.shape[-1])
