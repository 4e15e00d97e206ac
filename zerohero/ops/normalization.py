"""Normalization over a batch or over neighbouring channels, and dropout."""

from __future__ import annotations

import numpy as np

from zerohero import random
from zerohero.arguments import boolean, integer, number, shape_of, shown
from zerohero.operation import array_module, operation, sliding_windows


def _prepare_batch_norm(x, weight, bias, running_mean, running_var, training, momentum, eps):
    if x.ndim < 2:
        raise ValueError(f"batch_norm: x needs shape (N, C) or (N, C, H, W), but has shape {x.shape}")
    boolean(training, "batch_norm", "training")
    channels = x.shape[1]
    named = dict(weight=weight, bias=bias, running_mean=running_mean, running_var=running_var)
    for name, value in named.items():
        if value is not None and (found := shape_of(value, "batch_norm", name)) != (channels,):
            raise ValueError(
                f"batch_norm: {name} needs shape ({channels},), one per channel of x {x.shape}, but has {found}"
            )
    if training and x.size // max(channels, 1) < 2:
        raise ValueError(
            f"batch_norm: training needs more than one value per channel to have a variance, but x has shape {x.shape}"
        )
    if not training and (running_mean is None or running_var is None):
        raise ValueError("batch_norm: running_mean and running_var are needed when training is False, but got None")
    for name, value in dict(running_mean=running_mean, running_var=running_var).items():
        if training and value is not None and getattr(value, "dtype", None) not in (np.float32, np.float64):
            raise TypeError(
                f"batch_norm: {name} needs a float array, which training changes in place, but got {shown(value)}"
            )
    momentum = number(momentum, "batch_norm", "momentum", low=0, high=1)
    return dict(momentum=momentum, eps=number(eps, "batch_norm", "eps", low=0))


@operation(inputs=3, prepare=_prepare_batch_norm)
def batch_norm(
    x, weight=None, bias=None, running_mean=None, running_var=None,
    *, training=False, momentum=0.1, eps=1e-5, save=None,
):  # fmt: skip
    """Give every channel mean 0 and variance 1, then scale by `weight` and shift by `bias`.

    Parameters
    ----------
    x : array (N, C) or (N, C, H, W)
    weight, bias : array (C,), optional
    running_mean, running_var : array (C,), optional
        In training they are **changed in place**: r ← (1 - momentum)·r + momentum·(mean, or unbiased variance).
        In evaluation they are what x is normalised with.
    training : bool
        Whether mean and (biased) variance of this batch are used.
    momentum, eps : float

    Returns
    -------
    array, x's shape

    Raises
    ------
    ValueError
        If shapes don't fit, or a training batch has one value per channel.

    References
    ----------
    Ioffe & Szegedy 2015, "Batch normalization", arXiv:1502.03167, algorithms 1 and 2.

    Examples
    --------
    >>> batch_norm([[1.0], [3.0]], training=True, eps=0)
    array([[-1.],
           [ 1.]], dtype=float32)
    """
    axes, shape = _channel_axes(x)
    if training:
        count = x.size // x.shape[1]
        mean = x.mean(axes, dtype=np.float64).astype(x.dtype)  # a sum in float32 loses digits that the variance needs
        centered = x - mean.reshape(shape)
        variance = (centered * centered).mean(axes, dtype=np.float64).astype(x.dtype)
        if running_mean is not None:
            running_mean += momentum * (mean - running_mean)
        if running_var is not None:
            running_var += momentum * (variance * (count / (count - 1)) - running_var)
    else:
        xp = array_module(x)
        mean, variance = xp.asarray(running_mean, dtype=x.dtype), xp.asarray(running_var, dtype=x.dtype)
        centered = x - mean.reshape(shape)
    deviation = 1 / np.sqrt(variance + x.dtype.type(eps))
    normalized = centered * deviation.reshape(shape)
    if save:
        save(normalized=normalized, deviation=deviation)
    y = normalized if weight is None else normalized * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


@batch_norm.gradient
def batch_norm_gradient(grad, x, weight, bias, normalized, deviation, training):
    axes, shape = _channel_axes(x)
    d_weight = None if weight is None else (grad * normalized).sum(axes)
    d_bias = None if bias is None else grad.sum(axes)
    g = grad if weight is None else grad * weight.reshape(shape)
    if training:  # mean and variance depend on x too
        g = g - g.mean(axes, keepdims=True) - normalized * (g * normalized).mean(axes, keepdims=True)
    return g * deviation.reshape(shape), d_weight, d_bias


def _channel_axes(x):
    """The axes to average over, and the shape that lines (C,) up with x."""
    return (0, *range(2, x.ndim)), (1, -1) + (1,) * (x.ndim - 2)


def _prepare_lrn(x, size, alpha, beta, k):
    where = "local_response_norm"
    if x.ndim < 2:
        raise ValueError(f"{where}: x needs shape (N, C, ...), but has shape {x.shape}")
    alpha, beta, k = (number(v, where, n) for v, n in ((alpha, "alpha"), (beta, "beta"), (k, "k")))
    return dict(size=integer(size, where, "size", least=1), alpha=alpha, beta=beta, k=k)


@operation(prepare=_prepare_lrn)
def local_response_norm(x, size=5, *, alpha=1e-4, beta=0.75, k=2.0, save=None):
    """Divide every value by (k + alpha / size · Σ squares over `size` neighbouring channels) to the power beta.

    Parameters
    ----------
    x : array (N, C, ...)
    size : int
        Neighbouring channels in the sum, the channel itself in the middle (at an even size one more before it, as in
        PyTorch).
    alpha, beta, k : float
        alpha is divided by size, as in ONNX and PyTorch. The AlexNet paper doesn't divide: its alpha = 1e-4 with
        size 5 is alpha=5e-4 here.

    Returns
    -------
    array, x's shape

    References
    ----------
    Krizhevsky, Sutskever & Hinton 2012, "ImageNet classification with deep convolutional neural networks", 3.3.

    Examples
    --------
    >>> local_response_norm([[3.0, 4.0]], size=1, alpha=1.0, beta=0.5, k=0.0)
    array([[1., 1.]], dtype=float32)
    """
    base = k + alpha / size * _channel_sums(x * x, size)
    scale = base**-beta
    if save:
        save(base=base, scale=scale)
    return x * scale


@local_response_norm.gradient
def local_response_norm_gradient(grad, x, base, scale, size, alpha, beta):
    crossed = grad * x * scale / base  # how much each sum of squares matters
    return grad * scale - (2 * alpha * beta / size) * x * _channel_sums(crossed, size, mirrored=True)


def _channel_sums(values, size: int, mirrored: bool = False):
    """Sums over `size` neighbouring channels, at the edges over those that exist."""
    before, after = size // 2, (size - 1) // 2
    if mirrored:  # the channels whose sums this one is in
        before, after = after, before
    width = [(0, 0), (before, after)] + [(0, 0)] * (values.ndim - 2)
    padded = np.pad(values, width)
    return sliding_windows(padded, (size,), (1,)).sum(-1)


def _prepare_dropout(x, p, training, rng):
    boolean(training, "dropout", "training")
    return dict(p=number(p, "dropout", "p", low=0, high=1))


@operation(prepare=_prepare_dropout)
def dropout(x, p=0.5, *, training=True, rng=None, save=None):
    """In training, set each value to 0 with probability p and scale the others by 1 / (1 - p).

    Parameters
    ----------
    x : array, any shape
    p : float in [0, 1]
    training : bool
        False returns x as it is.
    rng : numpy.random.Generator, optional
        Defaults to the library's generator, which `zerohero.seed` starts.

    Returns
    -------
    array, same shape

    References
    ----------
    Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15.

    Examples
    --------
    >>> dropout([1.0, 2.0], p=0.5, training=False)
    array([1., 2.], dtype=float32)
    """
    if not training or p == 0:
        kept = x.dtype.type(1)
    else:
        draw = _draw(random.generator() if rng is None else rng, x)
        kept = array_module(x).asarray((draw >= p) / (1 - p) if p < 1 else 0 * draw, dtype=x.dtype)
    if save:
        save(kept=kept)
    return x * kept


@dropout.gradient
def dropout_gradient(grad, kept):
    return grad * kept


def _draw(rng, x):
    """A number in [0, 1) for each value of x, beside it."""
    try:
        return random.uniform(x.shape, rng, array_module(x))
    except (AttributeError, TypeError):  # such as numpy.random itself, which has another `random`
        raise TypeError(
            f"dropout: rng needs a numpy.random.Generator, as default_rng(0) makes it, but got {shown(rng)}"
        ) from None
