"""Activations: the functions that stand between layers, element by element or over one axis."""

from __future__ import annotations

import numpy as np

from zerohero.arguments import axis_of, number
from zerohero.operation import operation


@operation
def relu(x):
    """Rectified linear unit: max(0, x).

    Parameters
    ----------
    x : array, any shape

    Returns
    -------
    array, same shape
        At 0, and where x is NaN, the gradient is 0.

    References
    ----------
    Nair & Hinton 2010, "Rectified linear units improve restricted Boltzmann machines".

    Examples
    --------
    >>> relu([-1, 0, 2])
    array([0., 0., 2.], dtype=float32)
    """
    return np.maximum(x, 0)


@relu.gradient
def relu_gradient(grad, y):
    return grad * (y > 0)


def _prepare_leaky(x, slope):
    return dict(slope=number(slope, "leaky_relu", "slope"))


@operation(prepare=_prepare_leaky)
def leaky_relu(x, slope=0.01):
    """x where it is positive, slope · x elsewhere.

    Parameters
    ----------
    x : array, any shape
    slope : float

    Returns
    -------
    array, same shape

    Examples
    --------
    >>> leaky_relu([-10, 0, 2], slope=0.1)
    array([-1.,  0.,  2.], dtype=float32)
    """
    return np.where(x > 0, x, slope * x)


@leaky_relu.gradient
def leaky_relu_gradient(grad, x, slope):
    return np.where(x > 0, grad, slope * grad)


@operation
def sigmoid(x):
    """1 / (1 + exp(-x)), without overflow for any x.

    Parameters
    ----------
    x : array, any shape

    Returns
    -------
    array, same shape, values in [0, 1]

    Examples
    --------
    >>> sigmoid([-1000, 0])
    array([0. , 0.5], dtype=float32)
    """
    small = np.exp(-np.abs(x))  # in (0, 1]: never overflows
    return (np.where(x >= 0, 1, small) / (1 + small)).astype(x.dtype, copy=False)


@sigmoid.gradient
def sigmoid_gradient(grad, y):
    return grad * y * (1 - y)


@operation
def tanh(x):
    """Hyperbolic tangent.

    Parameters
    ----------
    x : array, any shape

    Returns
    -------
    array, same shape, values in [-1, 1]

    Examples
    --------
    >>> tanh([0, 100])
    array([0., 1.], dtype=float32)
    """
    return np.tanh(x)


@tanh.gradient
def tanh_gradient(grad, y):
    return grad * (1 - y * y)


def _one_axis(where: str):
    def prepare(x, axis):
        index = axis_of(axis, x.ndim, where)
        if x.shape[index] == 0:
            raise ValueError(f"{where}: axis needs to be an axis of x that is not empty, but got {axis}: x {x.shape}")
        return dict(axis=index)

    return prepare


@operation(prepare=_one_axis("softmax"))
def softmax(x, axis=-1):
    """exp(x) / Σ exp(x) along one axis: positive numbers that sum to 1, without overflow.

    Parameters
    ----------
    x : array, any shape
    axis : int

    Returns
    -------
    array, same shape

    Examples
    --------
    >>> softmax([1000, 1000])
    array([0.5, 0.5], dtype=float32)
    """
    powers = np.exp(x - x.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


@softmax.gradient
def softmax_gradient(grad, y, axis):
    return y * (grad - (grad * y).sum(axis, keepdims=True))


@operation(prepare=_one_axis("log_softmax"))
def log_softmax(x, axis=-1):
    """The logarithm of `softmax`, exact also where softmax rounds to 0.

    Parameters
    ----------
    x : array, any shape
    axis : int

    Returns
    -------
    array, same shape, values ≤ 0

    Examples
    --------
    >>> log_softmax([0, -1000])
    array([    0., -1000.], dtype=float32)
    """
    shifted = x - x.max(axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))


@log_softmax.gradient
def log_softmax_gradient(grad, y, axis):
    return grad - np.exp(y) * grad.sum(axis, keepdims=True)
