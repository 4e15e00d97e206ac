"""Initial values of parameters: each function fills a parameter in place and returns it."""

from __future__ import annotations

import contextlib
import contextvars
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from zerohero import random
from zerohero.arguments import number, shown
from zerohero.operation import array_module
from zerohero.tensor import Parameter, Tensor

_room: contextvars.ContextVar[list[int] | None] = contextvars.ContextVar("zerohero_room", default=None)


@contextlib.contextmanager
def at_most(count: int) -> Iterator[None]:
    """Inside the `with` block, ValueError before more than `count` initial values are drawn: for sizes from a file.

    Examples
    --------
    >>> with at_most(10):
    ...     normal(Parameter(np.empty((3, 4))), 1.0)
    Traceback (most recent call last):
    ...
    ValueError: init: a parameter of shape (3, 4) is more than the 10 values that may be drawn
    """
    token = _room.set([count])
    try:
        yield
    finally:
        _room.reset(token)


def fans(parameter: Parameter) -> tuple[int, int]:
    """How many values go into one output of a weight (out, in, ...), and how many outputs one value goes into."""
    _check(parameter)
    if parameter.ndim < 2:
        raise ValueError(f"init: parameter needs at least the axes (out, in), but has shape {parameter.shape}")
    window = math.prod(parameter.shape[2:])
    return parameter.shape[1] * window, parameter.shape[0] * window


def zeros(parameter: Parameter) -> Parameter:
    """All zeros."""
    return constant(parameter, 0.0)


def constant(parameter: Parameter, value: float) -> Parameter:
    """All the same value."""
    _check(parameter)
    parameter.data[...] = number(value, "init", "value")
    return parameter


def uniform(parameter: Parameter, bound: float, *, rng: np.random.Generator | None = None) -> Parameter:
    """Uniform in [-bound, bound]."""
    rng, bound = _generator(parameter, rng), number(bound, "init", "bound", low=0)
    draw = rng.random(parameter.shape, dtype=np.float32)
    draw *= 2 * bound  # in place: the hundred million weights of a fully connected layer need memory once
    draw -= bound
    return _fill(parameter, draw)


def normal(parameter: Parameter, deviation: float, *, rng: np.random.Generator | None = None) -> Parameter:
    """Normal with mean 0 and the given standard deviation."""
    rng, deviation = _generator(parameter, rng), number(deviation, "init", "deviation", low=0)
    draw = rng.standard_normal(parameter.shape, dtype=np.float32)
    draw *= deviation
    return _fill(parameter, draw)


def truncated_normal(parameter: Parameter, deviation: float, *, rng: np.random.Generator | None = None) -> Parameter:
    """Normal with mean 0, values beyond two standard deviations drawn again (as TensorFlow's initialiser does)."""
    rng, deviation = _generator(parameter, rng), number(deviation, "init", "deviation", low=0)
    draw = rng.standard_normal(parameter.shape, dtype=np.float32)
    while (beyond := np.abs(draw) > 2).any():
        draw[beyond] = rng.standard_normal(int(beyond.sum()), dtype=np.float32)
    return _fill(parameter, deviation * draw)


def he_normal(parameter: Parameter, *, rng: np.random.Generator | None = None) -> Parameter:
    """Normal with variance 2 / fan_in: keeps the size of activations from layer to layer under ReLU.

    Parameters
    ----------
    parameter : Parameter (out, in, ...)
    rng : numpy.random.Generator, optional
        Defaults to the library's generator.

    Returns
    -------
    Parameter
        The same one.

    References
    ----------
    He, Zhang, Ren & Sun 2015, "Delving deep into rectifiers", arXiv:1502.01852, equation 10.
    """
    return normal(parameter, math.sqrt(2 / fans(parameter)[0]), rng=rng)


def xavier_uniform(parameter: Parameter, *, rng: np.random.Generator | None = None) -> Parameter:
    """Uniform with variance 2 / (fan_in + fan_out): a compromise between forward and backward pass, for tanh.

    References
    ----------
    Glorot & Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", equation 16.
    """
    return uniform(parameter, math.sqrt(6 / sum(fans(parameter))), rng=rng)


def default(weight: Parameter, bias: Parameter | None, *, rng: np.random.Generator | None = None) -> None:
    """What layers start from: weight and bias uniform within ± 1 / √fan_in, as in PyTorch."""
    bound = 1 / math.sqrt(fans(weight)[0])
    uniform(weight, bound, rng=rng)
    if bias is not None:
        uniform(bias, bound, rng=rng)


def he_convolutions(model: Any, *, rng: np.random.Generator | None = None) -> None:
    """Give the convolutions of a model `he_normal` weights, and biases of 0: deep networks don't start without.

    Parameters
    ----------
    model : Module
        Its weights with four axes count as convolutions.
    rng : numpy.random.Generator, optional
        Defaults to the library's generator.

    References
    ----------
    He, Zhang, Ren & Sun 2015, "Delving deep into rectifiers", arXiv:1502.01852.

    Examples
    --------
    >>> from zerohero import nn
    >>> model = nn.Sequential(nn.Conv2d(8, 50, 3), nn.Linear(2, 2))
    >>> he_convolutions(model, rng=np.random.default_rng(0))
    >>> round(float(model[0].weight.data.std()), 2), model[0].bias.data.max()  # √(2 / 72) = 0.17
    (0.17, np.float32(0.0))
    """
    for _, module in model.named_modules():
        weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
        if isinstance(weight, Parameter) and weight.ndim == 4:
            he_normal(weight, rng=rng)
            if bias is not None:
                zeros(bias)


def _generator(parameter: Parameter, rng: np.random.Generator | None) -> np.random.Generator:
    _check(parameter)
    if (room := _room.get()) is not None:
        if parameter.size > room[0]:
            raise ValueError(
                f"init: a parameter of shape {parameter.shape} is more than the {room[0]:,} values that may be drawn"
            )
        room[0] -= parameter.size
    if rng is not None and not isinstance(rng, np.random.Generator):
        raise TypeError(f"init: rng needs a numpy.random.Generator, as default_rng(0) makes it, but got {shown(rng)}")
    return random.generator() if rng is None else rng


def _check(parameter: Parameter) -> None:
    if not isinstance(parameter, Tensor):
        raise TypeError(f"init: parameter needs to be a Parameter, such as layer.weight, but got {shown(parameter)}")


def _fill(parameter: Parameter, values: Any) -> Parameter:
    parameter.data = array_module(parameter.data).asarray(values, dtype=parameter.dtype)
    return parameter
