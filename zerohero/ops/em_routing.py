"""EM routing with its gradient, and the spread loss: capsules that are Gaussians fitted to votes.

Axes: N examples, I children, J parents, H numbers in a vote (16 in the paper, a 4×4 pose). Source of everything here:
Hinton, Sabour & Frosst 2018, "Matrix capsules with EM routing", ICLR, openreview.net/forum?id=HJWLfGWRb.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from zerohero.arguments import class_labels, integer, number, one_of
from zerohero.operation import array_module, engine_of, float_array, operation
from zerohero.ops.activation import sigmoid, softmax, softmax_gradient
from zerohero.ops.loss import REDUCTIONS, expand, reduce

NOBODY = 1e-20  # a parent with less mass than this has no votes to be fitted to: mean 0, no gradient


def _prepare_em(votes, activations, beta_a, beta_u, **settings):
    return _checked("em_routing", votes, activations, beta_a, beta_u, settings)


@operation(inputs=4, prepare=_prepare_em)
def em_routing(
    votes, activations, beta_a, beta_u, *, iterations=3, inverse_temperature=0.01, minimum_variance=5e-4, save=None
):
    """Routing by expectation and maximisation (procedure 1): a parent is a Gaussian, fitted to votes it explains.

    R = 1/J. In every iteration t = 0, 1, … each parent is fitted to the votes, which count r_ij = R_ij a_i:
    mass_j = Σ_i r_ij, μ_j = Σ_i r_ij V_ij / mass_j, σ_j² the same of (V_ij - μ_j)². It is active if that is cheap:
    a_j = sigmoid(λ_t (β_a - Σ_h (β_u + log σ_jh) mass_j)), λ_t = λ (1 - 0.95^(t+1)). Then each child shares itself
    out among the parents again: R_ij ∝ a_j N(V_ij; μ_j, σ_j²).

    Parameters
    ----------
    votes : array (N, I, J, H)
    activations : array (N, I)
        The children's, from 0 to 1. A child with 0 counts for nothing.
    beta_a : array (J,)
        What a parent saves by being there.
    beta_u : array (J,)
        What describing one number of one vote costs, apart from log σ.
    iterations : int
    inverse_temperature : float
        λ, towards which λ_t grows.
    minimum_variance : float, above 0
        Added to each σ², so that votes that agree exactly cost no -∞. As in the authors' code.

    Returns
    -------
    poses : array (N, J, H)
        The means μ of the last iteration.
    activations : array (N, J)
        The parents' a_j. Each is decided by itself: they need not sum to 1.

    Raises
    ------
    ValueError
        If the shapes don't fit each other, or activations lie outside 0 … 1.

    Notes
    -----
    The gradient flows through all iterations. The authors' code has further details that the paper doesn't: the mean
    keeps a tenth of the previous one, and its β are scaled. They are left out here.

    References
    ----------
    Hinton, Sabour & Frosst 2018, procedure 1; google-research/capsule_em, the authors' code, for λ and the minimum
    variance.

    Examples
    --------
    >>> votes = [[[[1.0]], [[1.0]], [[4.0]]]]  # three children, one parent, one number
    >>> poses, activations = em_routing(votes, [[1.0, 1.0, 0.0]], [0.0], [0.0])
    >>> poses
    array([[[1.]]], dtype=float32)
    """
    steps = _iterate(votes, activations, beta_a, beta_u, iterations, inverse_temperature, minimum_variance)
    if save:
        save(shares=[step.R for step in steps])  # (N, I, J) each; all else follows from them
    return steps[-1].mean, steps[-1].activation


@em_routing.gradient
def em_routing_gradient(
    grad, votes, activations, beta_a, beta_u, inverse_temperature, minimum_variance, shares
):  # fmt: skip
    given = votes, activations, beta_a, beta_u
    d_given = [np.zeros_like(each) for each in given]
    d_mean, d_activation = grad
    d_variance, d_log_activation = np.zeros_like(d_mean), np.zeros_like(d_activation)
    for t in reversed(range(len(shares))):
        step = _m_step(*given, shares[t], _growing(inverse_temperature, t), minimum_variance)
        d_logit = (1 - step.activation) * (d_activation * step.activation + d_log_activation)
        *of_given, d_shares = _m_step_gradient(d_mean, d_variance, d_logit, *given, step, minimum_variance, t=t,
                                               inverse_temperature=inverse_temperature)  # fmt: skip
        d_given = [total + each for total, each in zip(d_given, of_given)]
        if t == 0:
            break  # the first shares are constants
        before = _m_step(*given, shares[t - 1], _growing(inverse_temperature, t - 1), minimum_variance)
        d_score = softmax_gradient(d_shares, shares[t], axis=2)
        d_votes, d_mean, d_variance, d_log_activation = _e_step_gradient(d_score, votes, before)
        d_given[0] = d_given[0] + d_votes
        d_activation = np.zeros_like(d_activation)  # of an earlier iteration only its logarithm is used
    return tuple(d_given)


class EMTrace(NamedTuple):
    """What happened in EM routing; the first axis counts the iterations.

    Attributes
    ----------
    R : array (T, N, I, J)
        The shares with which an iteration begins; they sum to 1 over the J parents.
    mean, variance : array (T, N, J, H)
        The parents' Gaussians, μ and σ² (with the minimum variance in it).
    mass : array (T, N, J)
        Σ_i R_ij a_i: how much each parent has to explain.
    cost : array (T, N, J, H)
        (β_u + log σ) · mass.
    activation : array (T, N, J)

    Examples
    --------
    >>> votes, activations = np.ones((1, 2, 3, 4)), np.ones((1, 2))
    >>> trace = em_routing_trace(votes, activations, np.zeros(3), np.zeros(3), iterations=2)
    >>> trace.activation.shape  # iterations, N, J
    (2, 1, 3)
    """

    R: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    mass: np.ndarray
    cost: np.ndarray
    activation: np.ndarray


def em_routing_trace(
    votes, activations, beta_a, beta_u, *, iterations=3, inverse_temperature=0.01, minimum_variance=5e-4
) -> EMTrace:
    """Every quantity of every iteration of `em_routing`, as plain arrays to look at.

    Parameters
    ----------
    votes : array (N, I, J, H)
    activations : array (N, I)
    beta_a, beta_u : array (J,)
    iterations, inverse_temperature, minimum_variance
        As `em_routing`.

    Returns
    -------
    EMTrace

    Examples
    --------
    >>> trace = em_routing_trace(np.ones((1, 3, 2, 4)), np.ones((1, 3)), [0, 0], [0, 0])
    >>> trace.R.shape, float(trace.R[0, 0, 0, 0]), trace.mass[0]
    ((3, 1, 3, 2), 0.5, array([[1.5, 1.5]]))
    """
    settings = dict(
        iterations=iterations, inverse_temperature=inverse_temperature, minimum_variance=minimum_variance
    )  # fmt: skip
    arrays, settings = _plain("em_routing_trace", votes, activations, beta_a, beta_u, settings)
    steps = _iterate(*arrays, **settings)
    return EMTrace(*(np.stack([getattr(step, name) for step in steps]) for name in EMTrace._fields))


def em_routing_loops(
    votes, activations, beta_a, beta_u, *, iterations=3, inverse_temperature=0.01, minimum_variance=5e-4
):
    """Procedure 1 of the paper line by line, with loops over capsules: the definition, not the fast form.

    Parameters
    ----------
    votes : array (N, I, J, H)
    activations : array (N, I)
    beta_a, beta_u : array (J,)
    iterations, inverse_temperature, minimum_variance
        As `em_routing`.

    Returns
    -------
    poses : array (N, J, H)
    activations : array (N, J)

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> given = rng.standard_normal((2, 5, 3, 4)), rng.uniform(size=(2, 5)), np.ones(3), np.zeros(3)
    >>> np.allclose(em_routing_loops(*given)[0], em_routing(*given)[0], rtol=1e-12)
    True
    """
    settings = dict(
        iterations=iterations, inverse_temperature=inverse_temperature, minimum_variance=minimum_variance
    )  # fmt: skip
    (votes, activations, beta_a, beta_u), settings = _plain(
        "em_routing_loops", votes, activations, beta_a, beta_u, settings
    )
    examples, children, parents, numbers = votes.shape
    mean, a = np.zeros((examples, parents, numbers), votes.dtype), np.zeros((examples, parents), votes.dtype)
    for n in range(examples):
        R = np.full((children, parents), 1 / parents, votes.dtype)
        for t in range(settings["iterations"]):
            variance = np.zeros((parents, numbers), votes.dtype)
            for j in range(parents):  # M-step: each parent for itself
                r = [R[i, j] * activations[n, i] for i in range(children)]  # not made to sum to 1 again
                mass = sum(r)
                cost = 0
                for h in range(numbers):
                    mean[n, j, h] = sum(r[i] * votes[n, i, j, h] for i in range(children)) / mass
                    squares = [(votes[n, i, j, h] - mean[n, j, h]) ** 2 for i in range(children)]
                    variance[j, h] = sum(r[i] * squares[i] for i in range(children)) / mass + minimum_variance
                    cost += (beta_u[j] + np.log(np.sqrt(variance[j, h]))) * mass
                a[n, j] = 1 / (1 + np.exp(-inverse_temperature * (1 - 0.95 ** (t + 1)) * (beta_a[j] - cost)))
            for i in range(children):  # E-step: each child for itself
                log_p = np.zeros(parents)
                for j in range(parents):
                    distance = (votes[n, i, j] - mean[n, j]) ** 2 / (2 * variance[j])
                    log_p[j] = np.log(a[n, j]) - (distance + np.log(2 * np.pi * variance[j]) / 2).sum()
                R[i] = np.exp(log_p - log_p.max()) / np.exp(log_p - log_p.max()).sum()
    return mean, a


# ---- loss -----------------------------------------------------------------------------------------------


def _prepare_spread(activations, labels, margin, reduction):
    if activations.ndim != 2 or activations.shape[1] == 0:
        raise ValueError(f"spread_loss: activations needs shape (N, J), but has shape {activations.shape}")
    one_of(reduction, "spread_loss", "reduction", REDUCTIONS)
    if reduction == "mean" and len(activations) == 0:
        raise ValueError("spread_loss: activations holds no example, and the mean of none is undefined")
    margin = number(margin, "spread_loss", "margin", low=0)
    labels = array_module(activations).asarray(class_labels(labels, "spread_loss", *activations.shape))
    return dict(labels=labels, margin=margin)


@operation(prepare=_prepare_spread)
def spread_loss(activations, labels, margin, *, reduction="mean"):
    """Σ_{i≠t} max(0, m - (a_t - a_i))², averaged over the examples (equation 3): class t leads each other by m.

    Parameters
    ----------
    activations : array (N, J)
    labels : int array (N,)
        The true classes, 0 … J - 1.
    margin : float
        m. In the paper it grows from 0.2 to 0.9 in training.
    reduction : "mean", "sum" or "none"

    Returns
    -------
    scalar, or array (N,) for "none"

    Examples
    --------
    >>> round(float(spread_loss([[0.9, 0.2, 0.6]], [0], 0.5)), 4)
    0.04
    """
    missing, _ = _missing(activations, labels, margin)
    return reduce((missing**2).sum(1), reduction)


@spread_loss.gradient
def spread_loss_gradient(grad, activations, labels, margin, reduction):
    missing, true = _missing(activations, labels, margin)
    push = 2 * missing * expand(grad, len(activations), reduction)[..., None]
    return push - np.where(true, push.sum(1, keepdims=True), 0)


def _missing(activations, labels, margin):
    """What each rival's distance lacks, (N, J), 0 for the true class; and where the true class is."""
    true = array_module(activations).arange(activations.shape[1]) == labels[:, None]
    gap = np.where(true, activations, 0).sum(1, keepdims=True) - activations  # times 0, an infinite one would be NaN
    return np.where(true, 0, np.maximum(0, margin - gap)), true


# ---- parts ----------------------------------------------------------------------------------------------


class _Step(NamedTuple):
    """One iteration: `EMTrace` without its first axis, and log a, which stays exact where a is nearly 0."""

    R: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    mass: np.ndarray
    cost: np.ndarray
    activation: np.ndarray
    log_activation: np.ndarray


def _iterate(
    votes, activations, beta_a, beta_u, iterations: int, inverse_temperature: float, minimum_variance: float
) -> list[_Step]:
    R = array_module(votes).full(votes.shape[:3], 1 / votes.shape[2], votes.dtype)  # (N, I, J)
    steps: list[_Step] = []
    for t in range(iterations):
        R = _e_step(votes, steps[-1]) if steps else R
        growing = _growing(inverse_temperature, t)
        steps.append(_m_step(votes, activations, beta_a, beta_u, R, growing, minimum_variance))
    return steps


def _growing(inverse_temperature: float, t: int) -> float:
    return inverse_temperature * (1 - 0.95 ** (t + 1))


def _m_step(votes, activations, beta_a, beta_u, R, inverse_temperature: float, minimum_variance: float) -> _Step:
    r = R * activations[..., None]
    mass = r.sum(1)
    weights = r * _inverse(mass)[:, None]  # what each vote counts in its parent's averages
    mean = _average(weights, votes)
    variance = _average(weights, (votes - mean[:, None]) ** 2) + minimum_variance
    cost = (beta_u[:, None] + np.log(variance) / 2) * mass[..., None]
    logit = inverse_temperature * (beta_a - cost.sum(2))
    return _Step(R, mean, variance, mass, cost, sigmoid.forward(logit), -np.logaddexp(0, -logit))


def _m_step_gradient(
    d_mean, d_variance, d_logit, votes, activations, beta_a, beta_u, step, minimum_variance, *, inverse_temperature, t
):  # fmt: skip
    """Gradients of votes, activations, both β and R."""
    d_saved = _growing(inverse_temperature, t) * d_logit  # of β_a - cost, (N, J)
    price = beta_u[:, None] + np.log(step.variance) / 2  # (N, J, H)
    d_variance = d_variance - (d_saved * step.mass)[..., None] / (2 * step.variance)
    d_mass = -d_saved * price.sum(2)
    d_beta_u = -(d_saved * step.mass).sum(0) * votes.shape[3]

    deviation = votes - step.mean[:, None]  # (N, I, J, H); weighted, it sums to 0: σ² doesn't change with μ
    inverse, r = _inverse(step.mass)[:, None], step.R * activations[..., None]
    beyond = deviation**2 - (step.variance - minimum_variance)[:, None]
    d_r = (d_mean[:, None] * deviation + d_variance[:, None] * beyond).sum(3) * inverse + d_mass[:, None]
    d_votes = (r * inverse)[..., None] * (d_mean[:, None] + 2 * d_variance[:, None] * deviation)
    return d_votes, (d_r * step.R).sum(2), d_saved.sum(0), d_beta_u, d_r * activations[..., None]


def _e_step(votes, step: _Step):
    """R: how well each parent explains each vote, by Bayes' rule."""
    return softmax.forward(_log_shares(votes, step), axis=2)


def _log_shares(votes, step: _Step):
    """log(a N(V; μ, σ²)), (N, I, J), without the constant with 2π, which cancels."""
    distance = (votes - step.mean[:, None]) ** 2 / (2 * step.variance[:, None])
    return step.log_activation[:, None] - (distance + np.log(step.variance)[:, None] / 2).sum(3)


def _e_step_gradient(d_score, votes, step: _Step):
    """Gradients of votes, mean, variance and log a."""
    scaled = (votes - step.mean[:, None]) / step.variance[:, None]
    d_votes = -d_score[..., None] * scaled
    d_variance = (_average(d_score, scaled**2) - d_score.sum(1)[..., None] / step.variance) / 2
    return d_votes, -d_votes.sum(1), d_variance, d_score.sum(1)


def _average(weights, x):
    """Σ_i w_ij x_ij: (N, I, J), (N, I, J, H) → (N, J, H)."""
    return np.einsum("nij,nijh->njh", weights, x)


def _inverse(mass):
    """1 / mass, and 0 for a parent that has nobody."""
    somebody = mass > NOBODY
    return somebody / np.where(somebody, mass, 1)


def _checked(where: str, votes, activations, beta_a, beta_u, settings: dict) -> dict:
    """The settings as plain numbers; the arrays fit each other."""
    if votes.ndim != 4 or 0 in votes.shape[1:]:
        raise ValueError(f"{where}: votes needs shape (N, I, J, H), no capsules empty, but has shape {votes.shape}")
    if activations.shape != votes.shape[:2]:
        raise ValueError(
            f"{where}: activations needs shape {votes.shape[:2]}, votes' (N, I), but has shape {activations.shape}"
        )
    for name, beta in dict(beta_a=beta_a, beta_u=beta_u).items():
        if beta.shape != votes.shape[2:3]:
            raise ValueError(f"{where}: {name} needs shape {votes.shape[2:3]}, votes' (J,), but has shape {beta.shape}")
    on_gpu = engine_of(activations) == "cupy"  # where a look would stop everything until it is there
    if not on_gpu and not bool(((activations >= 0) & (activations <= 1)).all()):
        raise ValueError(f"{where}: activations needs numbers from 0 to 1, but holds others")
    variance = number(settings["minimum_variance"], where, "minimum_variance", low=0)
    if variance == 0:
        raise ValueError(f"{where}: minimum_variance needs a number above 0, for votes that agree exactly, but got 0")
    return dict(
        iterations=integer(settings["iterations"], where, "iterations", least=1),
        inverse_temperature=number(settings["inverse_temperature"], where, "inverse_temperature", low=0),
        minimum_variance=variance,
    )


def _plain(where: str, votes, activations, beta_a, beta_u, settings: dict):
    """The four arrays, Tensors included, and the settings, checked."""
    named = dict(votes=votes, activations=activations, beta_a=beta_a, beta_u=beta_u)
    arrays = [float_array(x.numpy() if hasattr(x, "numpy") else x, where, name) for name, x in named.items()]
    dtype = np.result_type(*arrays)
    votes, activations, beta_a, beta_u = (array.astype(dtype) for array in arrays)
    return (votes, activations, beta_a, beta_u), _checked(where, votes, activations, beta_a, beta_u, settings)
