"""Arithmetic, reductions and indexing: what `Tensor`'s operators are made of."""

from __future__ import annotations

import math

import numpy as np

from zerohero.arguments import axes_of, boolean, integer, number, shown
from zerohero.operation import array_module, operation


def _broadcasting(where: str):
    def prepare(a, b):
        if not _broadcast(a.shape, b.shape):
            raise ValueError(f"{where}: shapes {a.shape} and {b.shape} do not broadcast")
        return {}

    return prepare


def _broadcast(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    """Whether two shapes broadcast: from the last axis on, lengths are equal or one of them is 1."""
    return all(m == n or 1 in (m, n) for m, n in zip(reversed(first), reversed(second)))


@operation(inputs=2, elementwise=True, prepare=_broadcasting("add"))
def add(a, b):
    """a + b, broadcast.

    Examples
    --------
    >>> add([1, 2], 3)
    array([4., 5.], dtype=float32)
    """
    return a + b


@add.gradient
def add_gradient(grad):
    return grad, grad


@operation(inputs=2, elementwise=True, prepare=_broadcasting("subtract"))
def subtract(a, b):
    """a - b, broadcast.

    Examples
    --------
    >>> subtract([1, 2], 3)
    array([-2., -1.], dtype=float32)
    """
    return a - b


@subtract.gradient
def subtract_gradient(grad):
    return grad, -grad


@operation(inputs=2, elementwise=True, prepare=_broadcasting("multiply"))
def multiply(a, b):
    """a · b element by element, broadcast.

    Examples
    --------
    >>> multiply([1, 2], 3)
    array([3., 6.], dtype=float32)
    """
    return a * b


@multiply.gradient
def multiply_gradient(grad, a, b):
    return grad * b, grad * a


@operation(inputs=2, elementwise=True, prepare=_broadcasting("divide"))
def divide(a, b):
    """a / b element by element, broadcast.

    Examples
    --------
    >>> divide([1, 2], 4)
    array([0.25, 0.5 ], dtype=float32)
    """
    return a / b


@divide.gradient
def divide_gradient(grad, b, y):
    return grad / b, -grad * y / b


@operation(prepare=lambda x, exponent: dict(exponent=number(exponent, "power", "exponent")))
def power(x, exponent):
    """x to the power of a plain number.

    Examples
    --------
    >>> power([1, 2], 3)
    array([1., 8.], dtype=float32)
    """
    return x**exponent


@power.gradient
def power_gradient(grad, x, exponent):
    return grad * exponent * x ** (exponent - 1) if exponent else 0 * grad


@operation
def exp(x):
    """e to the power x.

    Examples
    --------
    >>> exp([0])
    array([1.], dtype=float32)
    """
    return np.exp(x)


@exp.gradient
def exp_gradient(grad, y):
    return grad * y


@operation
def log(x):
    """Natural logarithm.

    Examples
    --------
    >>> log([1])
    array([0.], dtype=float32)
    """
    return np.log(x)


@log.gradient
def log_gradient(grad, x):
    return grad / x


@operation
def absolute(x):
    """`|x|`; at 0 the gradient is 0.

    Examples
    --------
    >>> absolute([-2, 3])
    array([2., 3.], dtype=float32)
    """
    return np.abs(x)


@absolute.gradient
def absolute_gradient(grad, x):
    return grad * np.sign(x)


def _prepare_matmul(a, b):
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-2] or not _broadcast(a.shape[:-2], b.shape[:-2]):
        raise ValueError(f"matmul: needs (..., m, k) @ (..., k, n), but got {a.shape} @ {b.shape}")
    return {}


@operation(inputs=2, elementwise=True, prepare=_prepare_matmul)
def matmul(a, b):
    """Matrix product of the last two axes; leading axes broadcast.

    Examples
    --------
    >>> matmul([[1, 2]], [[3], [4]])
    array([[11.]], dtype=float32)
    """
    return a @ b


@matmul.gradient
def matmul_gradient(grad, a, b):
    return grad @ b.swapaxes(-1, -2), a.swapaxes(-1, -2) @ grad


# ---- reductions -----------------------------------------------------------------------------------------


def _reduction(where: str, empty: bool):
    def prepare(x, axis, keepdims):
        axes = axes_of(axis, x.ndim, where)
        if not empty and any(x.shape[a] == 0 for a in axes):
            raise ValueError(f"{where}: x has nothing to reduce along axis {axis}: its shape is {x.shape}")
        return dict(axis=axes, keepdims=boolean(keepdims, where, "keepdims"))

    return prepare


@operation(prepare=_reduction("sum", empty=True))
def sum(x, axis=None, keepdims=False):
    """Sum over one axis, several, or all (None).

    Examples
    --------
    >>> sum([[1, 5], [3, 2]], axis=1)
    array([6., 5.], dtype=float32)
    """
    return x.sum(axis, keepdims=keepdims)


@sum.gradient
def sum_gradient(grad, x, axis, keepdims):
    return np.broadcast_to(_kept(grad, axis, keepdims), x.shape)


@operation(prepare=_reduction("mean", empty=False))
def mean(x, axis=None, keepdims=False):
    """Mean over one axis, several, or all (None).

    Examples
    --------
    >>> mean([[1, 5], [3, 2]], axis=1)
    array([3. , 2.5], dtype=float32)
    """
    return x.mean(axis, keepdims=keepdims)


@mean.gradient
def mean_gradient(grad, x, axis, keepdims):
    count = math.prod(x.shape[a] for a in axis)
    return np.broadcast_to(_kept(grad, axis, keepdims) / count, x.shape)


@operation(prepare=_reduction("max", empty=False))
def max(x, axis=None, keepdims=False):
    """Maximum over one axis, several, or all (None); several equal maxima share the gradient.

    Examples
    --------
    >>> max([[1, 5], [3, 2]], axis=1)
    array([5., 3.], dtype=float32)
    """
    return x.max(axis, keepdims=keepdims)


@max.gradient
def max_gradient(grad, x, y, axis, keepdims):
    winners = x == _kept(y, axis, keepdims)
    return _kept(grad, axis, keepdims) * winners / winners.sum(axis, keepdims=True)


def _kept(values, axis: tuple[int, ...], keepdims: bool):
    """Reduced values with the reduced axes put back as length 1."""
    return values if keepdims else np.expand_dims(values, axis)


# ---- shape and indexing ---------------------------------------------------------------------------------


def _prepare_reshape(x, shape):
    several = shape if isinstance(shape, (list, tuple)) or getattr(shape, "ndim", 0) > 0 else (shape,)
    return dict(shape=tuple(integer(n, "reshape", "shape", least=-1) for n in several))


@operation(prepare=_prepare_reshape)
def reshape(x, shape):
    """The same values in another shape; one entry may be -1.

    Examples
    --------
    >>> reshape([1, 2, 3, 4], (2, 2))
    array([[1., 2.],
           [3., 4.]], dtype=float32)
    """
    try:
        return x.reshape(shape)
    except ValueError:
        raise ValueError(f"reshape: {x.size} values of shape {x.shape} do not fit into shape {shape}") from None


@reshape.gradient
def reshape_gradient(grad, x):
    return grad.reshape(x.shape)


def _prepare_transpose(x, axes):
    order = tuple(reversed(range(x.ndim))) if axes is None else axes_of(axes, x.ndim, "transpose")
    if len(order) != x.ndim:
        raise ValueError(f"transpose: axes needs each of the {x.ndim} axes of x once, but got {shown(axes)}")
    return dict(axes=order)


@operation(prepare=_prepare_transpose)
def transpose(x, axes=None):
    """Axes in another order (None: reversed).

    Examples
    --------
    >>> transpose([[1, 2], [3, 4]])
    array([[1., 3.],
           [2., 4.]], dtype=float32)
    """
    return x.transpose(axes)


@transpose.gradient
def transpose_gradient(grad, axes):
    return grad.transpose(tuple(int(i) for i in np.argsort(axes)))


@operation
def index(x, key):
    """x[key], with NumPy's rules.

    Examples
    --------
    >>> index([5, 6, 7], [2, 0])
    array([7., 5.], dtype=float32)
    """
    try:
        return x[key]
    except (IndexError, TypeError, ValueError) as error:
        raise IndexError(f"index: {error}; x has shape {x.shape}") from None


@index.gradient
def index_gradient(grad, x, key):
    d_x = array_module(x).zeros_like(x, dtype=grad.dtype)
    parts = key if isinstance(key, tuple) else (key,)
    if all(part is None or part is Ellipsis or isinstance(part, (int, slice)) for part in parts):
        d_x[key] = grad  # every value is taken at most once
    else:
        array_module(x).add.at(d_x, key, grad)
    return d_x
