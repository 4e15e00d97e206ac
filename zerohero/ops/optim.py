"""The arithmetic of optimizers' steps on arrays, in place; what is kept between steps is in zerohero/optim.py."""

from __future__ import annotations

from zerohero.operation import array_module, operation


@operation(inputs=4)
def adam_step(value, gradient, mean, square, *, rate, betas, eps, decay=0.0, shrink=1.0):
    """One step of Adam. It changes `value`, `mean` and `square`, and returns nothing.

    value ← shrink · value; g = gradient + decay · value; mean and square ← their running means of g and g²;
    value ← value - rate · mean / (√square + eps).

    Parameters
    ----------
    value, gradient, mean, square : array, one shape
    rate, eps : float
        With the corrections for starting at 0 in them: lr · √(1 - β₂ᵗ) / (1 - β₁ᵗ), and eps · √(1 - β₂ᵗ).
    betas : (β₁, β₂)
    decay, shrink : float
        Weight decay through the gradient, or of the value itself (1 - lr · weight_decay).

    References
    ----------
    Kingma & Ba 2014, "Adam", arXiv:1412.6980, end of section 2, for the corrections in rate and eps.

    Examples
    --------
    >>> import numpy as np
    >>> value, gradient, mean, square = np.ones(1), np.ones(1), np.zeros(1), np.zeros(1)
    >>> adam_step(value, gradient, mean, square, rate=0.5, betas=(0.0, 0.0), eps=0.0)
    >>> value
    array([0.5])
    """
    first, second = betas
    xp = array_module(value)
    if shrink != 1:
        value *= shrink
    if decay:
        gradient = gradient + decay * value
    # Two new arrays, and all else in place: making them costs more than the arithmetic.
    change = xp.subtract(gradient, mean, out=xp.empty_like(mean))
    change *= 1 - first
    mean += change
    xp.multiply(gradient, gradient, out=change)
    change -= square
    change *= 1 - second
    square += change
    xp.sqrt(square, out=change)
    change += eps
    step = xp.multiply(mean, rate, out=xp.empty_like(mean))
    step /= change
    value -= step
