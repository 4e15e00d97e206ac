"""Losses: from what a network says and what it should say to one number, or one per example."""

from __future__ import annotations

import numpy as np

from zerohero.arguments import class_labels, number, one_of
from zerohero.operation import array_module, operation
from zerohero.ops.activation import log_softmax

REDUCTIONS = ("mean", "sum", "none")


def reduce(values, reduction: str):
    """One loss per example as their mean, their sum, or as they are.

    Examples
    --------
    >>> float(reduce(np.array([1.0, 3.0]), "mean"))
    2.0
    """
    return {"mean": values.mean, "sum": values.sum, "none": lambda: values}[reduction]()


def expand(grad, count: int, reduction: str):
    """The gradient of `reduce`: the share of each of `count` values, in a shape that broadcasts over them.

    Examples
    --------
    >>> expand(1.0, 4, "mean"), expand(1.0, 4, "sum")
    (0.25, 1.0)
    """
    return grad / count if reduction == "mean" else grad


def _prepare_cross_entropy(logits, labels, reduction, label_smoothing):
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ValueError(f"cross_entropy: logits needs shape (N, classes), but has shape {logits.shape}")
    one_of(reduction, "cross_entropy", "reduction", REDUCTIONS)
    if reduction == "mean" and len(logits) == 0:
        raise ValueError("cross_entropy: logits holds no example, and the mean of none is undefined")
    smoothing = number(label_smoothing, "cross_entropy", "label_smoothing", low=0, high=1)
    labels = array_module(logits).asarray(class_labels(labels, "cross_entropy", *logits.shape))
    return dict(labels=labels, label_smoothing=smoothing)


@operation(prepare=_prepare_cross_entropy)
def cross_entropy(logits, labels, *, reduction="mean", label_smoothing=0.0, save=None):
    """-log of the probability that softmax(logits) gives the right class.

    Parameters
    ----------
    logits : array (N, C)
        Scores before softmax.
    labels : int array (N,)
        Right classes, 0 … C - 1.
    reduction : "mean", "sum" or "none"
    label_smoothing : float in [0, 1]
        The part of the target that is spread evenly over all classes.

    Returns
    -------
    scalar, or array (N,) for "none"

    Raises
    ------
    ValueError, TypeError
        If labels are no integers, out of range, or not one per row.

    Examples
    --------
    >>> round(float(cross_entropy([[0.0, 0.0]], [1])), 4)
    0.6931
    """
    log_probabilities = log_softmax(logits, axis=1)
    if save:
        save(log_probabilities=log_probabilities)
    losses = -log_probabilities[array_module(logits).arange(len(labels)), labels]
    if label_smoothing:
        losses = (1 - label_smoothing) * losses - label_smoothing * log_probabilities.mean(1)
    return reduce(losses, reduction)


@cross_entropy.gradient
def cross_entropy_gradient(grad, log_probabilities, labels, reduction, label_smoothing):
    target = _target(log_probabilities, labels, label_smoothing)
    share = expand(grad, len(target), reduction)
    return (np.exp(log_probabilities) - target) * share[..., None]


def _target(log_probabilities, labels, label_smoothing: float):
    """The probabilities wanted: 1 for the label, or a little less and the rest spread over all classes."""
    xp = array_module(log_probabilities)
    count, classes = log_probabilities.shape
    target = xp.full((count, classes), label_smoothing / classes, dtype=log_probabilities.dtype)
    target[xp.arange(count), labels] += 1 - label_smoothing
    return target


def _prepare_mse(x, target, reduction):
    if x.shape != target.shape:
        raise ValueError(f"mse_loss: target needs x's shape {x.shape}, but has shape {target.shape}")
    one_of(reduction, "mse_loss", "reduction", REDUCTIONS)
    if reduction == "mean" and x.size == 0:
        raise ValueError("mse_loss: x holds no value, and the mean of none is undefined")
    return {}


@operation(inputs=2, prepare=_prepare_mse)
def mse_loss(x, target, *, reduction="mean"):
    """Squared error (x - target)², averaged over all values.

    Parameters
    ----------
    x, target : array, equal shapes
    reduction : "mean", "sum" or "none"

    Returns
    -------
    scalar, or array of x's shape for "none"

    Examples
    --------
    >>> float(mse_loss([1.0, 2.0], [1.0, 4.0]))
    2.0
    """
    return reduce((x - target) ** 2, reduction)


@mse_loss.gradient
def mse_loss_gradient(grad, x, target, reduction):
    d_x = 2 * expand(grad, x.size, reduction) * (x - target)  # twice a large difference may be too large
    return d_x, -d_x
