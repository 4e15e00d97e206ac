"""Capsules: squash, votes, dynamic routing with both of its gradients, and the losses of a CapsNet.

Axes: N examples, I input capsules of P numbers, J output capsules of Q numbers. Source of everything here:
Sabour, Frosst & Hinton 2017, "Dynamic routing between capsules", arXiv:1710.09829.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from zerohero.arguments import axes_of, boolean, class_labels, integer, number, one_of, shape_of
from zerohero.operation import array_module, engine_of, float_array, operation
from zerohero.ops.activation import softmax, softmax_gradient
from zerohero.ops.loss import REDUCTIONS, expand, reduce


def _prepare_squash(s, axis):
    (index,) = axes_of((axis,), s.ndim, "squash")
    return dict(axis=index)


@operation(prepare=_prepare_squash)
def squash(s, axis=-1):
    """Shrink vectors to a length below 1, in their own direction: v = ‖s‖² / (1 + ‖s‖²) · s / ‖s‖ (equation 1).

    Written as s · n / (1 + n²) with n = ‖s‖ it divides by nothing that can be 0: squash(0) is exactly 0, and so
    is its gradient there.

    Parameters
    ----------
    s : array, any shape
    axis : int
        The axis along which the numbers of one vector lie.

    Returns
    -------
    array, same shape

    Examples
    --------
    >>> squash([3.0, 4.0]).round(4)
    array([0.5769, 0.7692], dtype=float32)
    """
    n = np.sqrt((s * s).sum(axis, keepdims=True))
    return s * (n / (1 + n * n))


@squash.gradient
def squash_gradient(grad, s, axis):
    n = np.sqrt((s * s).sum(axis, keepdims=True))
    aligned = (s * grad).sum(axis, keepdims=True)
    slope = (1 - n * n) / (np.where(n > 0, n, 1) * (1 + n * n) ** 2)  # how the factor changes with the length
    return grad * (n / (1 + n * n)) + s * (slope * aligned)


def _prepare_votes(u, weight):
    _check_weight("capsule_votes", u, weight)
    return {}


@operation(inputs=2, prepare=_prepare_votes)
def capsule_votes(u, weight):
    """What every input capsule says about every output capsule: û_ij = u_i W_ij.

    Parameters
    ----------
    u : array (N, I, P)
    weight : array (I, P, J, Q)
        A matrix of its own for every pair of input and output capsule.

    Returns
    -------
    array (N, I, J, Q)

    Examples
    --------
    >>> capsule_votes([[[1.0, 2.0]]], [[[[1.0, 0.0]], [[0.0, 1.0]]]])
    array([[[[1., 2.]]]], dtype=float32)
    """
    capsules, _, parents, out = weight.shape
    votes = u.swapaxes(0, 1) @ _matrices(weight)  # (I, N, J·Q)
    votes = array_module(votes).ascontiguousarray(votes.swapaxes(0, 1))
    return votes.reshape(len(u), capsules, parents, out)


@capsule_votes.gradient
def capsule_votes_gradient(grad, u, weight, needs):
    by_capsule = grad.reshape(*grad.shape[:2], weight.shape[2] * weight.shape[3]).swapaxes(0, 1)  # (I, N, J·Q)
    d_u = (by_capsule @ _matrices(weight).swapaxes(1, 2)).swapaxes(0, 1) if "u" in needs else None
    d_weight = (u.transpose(1, 2, 0) @ by_capsule).reshape(weight.shape) if "weight" in needs else None
    return d_u, d_weight


def _prepare_routing(votes, bias, iterations, stop_gradient):
    _check_votes("dynamic_routing", votes, bias)
    boolean(stop_gradient, "dynamic_routing", "stop_gradient")
    return dict(iterations=integer(iterations, "dynamic_routing", "iterations", least=1))


@operation(inputs=2, prepare=_prepare_routing)
def dynamic_routing(votes, bias=None, *, iterations=3, stop_gradient=False, save=None):
    """Routing by agreement (procedure 1): input capsules send more to the output capsules they agree with.

    b = 0, then in every iteration c = softmax of b over the output capsules, s_j = Σ_i c_ij û_ij + bias_j,
    v = squash(s), b_ij ← b_ij + û_ij · v_j. The logits b start at 0 for every example: nothing is learned here.

    Parameters
    ----------
    votes : array (N, I, J, Q)
    bias : array (J, Q), optional
        Added in every iteration. Without any bias, routing cannot tell votes from their negatives.
    iterations : int
    stop_gradient : bool
        False: the gradient flows through all iterations, as in the authors' code. True: the couplings of the
        last iteration count as constants.

    Returns
    -------
    array (N, J, Q)
        The output capsules v.

    References
    ----------
    Sabour et al. 2017, procedure 1; their code for the bias; Peer, Stabinger & Rodríguez-Sánchez 2019,
    "Limitation of capsule networks", arXiv:1905.08744, for why there is one.

    Examples
    --------
    >>> dynamic_routing([[[[1.0, 0.0]], [[0.0, 1.0]]]]).round(3)
    array([[[0.471, 0.471]]], dtype=float32)
    """
    steps = _route(votes, bias, iterations)
    if save:
        save(s=array_module(votes).stack([step.s for step in steps]))  # (T, N, J, Q); all else follows from it
    return steps[-1].v


@dynamic_routing.gradient
def dynamic_routing_gradient(grad, votes, bias, s, stop_gradient):
    v = squash.forward(s, axis=3)
    d_votes, d_logits, d_bias = np.zeros_like(votes), np.zeros_like(votes[..., 0]), 0
    g = grad  # of v in this iteration
    for t in reversed(range(len(s))):
        couplings = softmax.forward(_agreement(votes, v[:t].sum(0)), axis=2)  # b = û · (v⁰ + … + vᵗ⁻¹)
        d_s = squash_gradient(g, s[t], axis=2)
        d_bias = d_bias + d_s.sum(0)
        d_votes += couplings[..., None] * d_s[:, None]
        if stop_gradient or t == 0:
            break  # the first couplings come from logits that are constants
        d_logits += softmax_gradient(_agreement(votes, d_s), couplings, axis=2)
        d_votes += d_logits[..., None] * v[t - 1][:, None]  # logits had grown by û · v
        g = _weighted_sum(d_logits, votes)
    return d_votes, None if bias is None else d_bias


class RoutingTrace(NamedTuple):
    """What happened in routing; the first axis counts the iterations.

    Attributes
    ----------
    logits : array (T, N, I, J)
        b before each iteration's softmax; zeros at first.
    couplings : array (T, N, I, J)
        c; they sum to 1 over the J output capsules.
    s, v : array (T, N, J, Q)
        Output capsules before and after squash.

    Examples
    --------
    >>> trace = routing_trace(np.ones((1, 2, 3, 4)), iterations=2)
    >>> trace.couplings.shape  # iterations, N, I, J
    (2, 1, 2, 3)
    """

    logits: np.ndarray
    couplings: np.ndarray
    s: np.ndarray
    v: np.ndarray


def routing_trace(votes, bias=None, *, iterations=3) -> RoutingTrace:
    """Every quantity of every iteration of `dynamic_routing`, as plain arrays to look at.

    Parameters
    ----------
    votes : array (N, I, J, Q)
    bias : array (J, Q), optional
    iterations : int

    Returns
    -------
    RoutingTrace

    Examples
    --------
    >>> trace = routing_trace(np.ones((1, 3, 2, 4), np.float32))
    >>> trace.couplings.shape, float(trace.couplings[0, 0, 0, 0])
    ((3, 1, 3, 2), 0.5)
    """
    votes, bias = _plain("routing_trace", votes, bias)
    steps = _route(votes, bias, integer(iterations, "routing_trace", "iterations", least=1))
    return RoutingTrace(*(np.stack([getattr(step, name) for step in steps]) for name in RoutingTrace._fields))


def dynamic_routing_loops(votes, bias=None, *, iterations=3):
    """Procedure 1 of the paper line by line, with loops over capsules: the definition, not the fast form.

    Parameters
    ----------
    votes : array (N, I, J, Q)
    bias : array (J, Q), optional
    iterations : int

    Returns
    -------
    array (N, J, Q)

    Examples
    --------
    >>> votes = np.random.default_rng(0).standard_normal((2, 5, 3, 4))
    >>> np.allclose(dynamic_routing_loops(votes), dynamic_routing(votes), rtol=1e-12)
    True
    """
    votes, bias = _plain("dynamic_routing_loops", votes, bias)
    iterations = integer(iterations, "dynamic_routing_loops", "iterations", least=1)
    examples, capsules, parents, _ = votes.shape
    outputs = np.zeros((examples, *votes.shape[2:]), votes.dtype)
    for n in range(examples):
        b = np.zeros((capsules, parents), votes.dtype)  # line 2: for every example anew
        for _ in range(iterations):
            c = np.zeros_like(b)
            for i in range(capsules):
                c[i] = np.exp(b[i] - b[i].max()) / np.exp(b[i] - b[i].max()).sum()  # line 4: over the parents
            for j in range(parents):
                s = sum(c[i, j] * votes[n, i, j] for i in range(capsules))  # line 5
                s = s if bias is None else s + bias[j]
                length = np.sqrt(np.sum(s * s))
                outputs[n, j] = s * length / (1 + length**2)  # line 6: squash
            for i in range(capsules):
                for j in range(parents):
                    b[i, j] += votes[n, i, j] @ outputs[n, j]  # line 7: agreement
    return outputs


def _prepare_layer(u, weight, bias, iterations, stop_gradient):
    _check_weight("capsule_layer", u, weight)
    boolean(stop_gradient, "capsule_layer", "stop_gradient")
    if bias is not None and bias.shape != weight.shape[2:]:
        raise ValueError(f"capsule_layer: bias needs shape {weight.shape[2:]}, weight's (J, Q), but has {bias.shape}")
    return dict(iterations=integer(iterations, "capsule_layer", "iterations", least=1))


@operation(inputs=3, prepare=_prepare_layer)
def capsule_layer(u, weight, bias=None, *, iterations=3, stop_gradient=False, save=None):
    """Votes and routing in one: `dynamic_routing(capsule_votes(u, weight), bias)`.

    A kernel can then do both without ever storing the votes of a whole batch (94 MB for 128 digits at the paper's
    size); this NumPy form computes them, and again for the gradient.

    Parameters
    ----------
    u : array (N, I, P)
    weight : array (I, P, J, Q)
    bias : array (J, Q), optional
    iterations, stop_gradient
        As `dynamic_routing`.

    Returns
    -------
    array (N, J, Q)

    Examples
    --------
    >>> u, weight = np.ones((2, 6, 4), np.float32), np.ones((6, 4, 3, 5), np.float32)
    >>> capsule_layer(u, weight).shape
    (2, 3, 5)
    """
    return dynamic_routing.forward(
        capsule_votes.forward(u, weight), bias, iterations=iterations, stop_gradient=stop_gradient, save=save
    )


@capsule_layer.gradient
def capsule_layer_gradient(grad, u, weight, bias, s, stop_gradient, needs):
    votes = capsule_votes.forward(u, weight)
    d_votes, d_bias = dynamic_routing_gradient(grad, votes, bias, s, stop_gradient)
    return *capsule_votes_gradient(d_votes, u, weight, needs), d_bias


# ---- losses ---------------------------------------------------------------------------------------------


def _prepare_margin(v, labels, m_plus, m_minus, down_weight, reduction):
    if v.ndim != 3:
        raise ValueError(f"margin_loss: v needs shape (N, J, Q), but has shape {v.shape}")
    one_of(reduction, "margin_loss", "reduction", REDUCTIONS)
    if reduction == "mean" and len(v) == 0:
        raise ValueError("margin_loss: v holds no example, and the mean of none is undefined")
    named = dict(m_plus=m_plus, m_minus=m_minus, down_weight=down_weight)
    settings = {name: number(value, "margin_loss", name, low=0) for name, value in named.items()}
    return dict(labels=_present("margin_loss", labels, v)) | settings


@operation(prepare=_prepare_margin)
def margin_loss(v, labels, *, m_plus=0.9, m_minus=0.1, down_weight=0.5, reduction="mean"):
    """Σ_k T_k max(0, m⁺ - ‖v_k‖)² + λ (1 - T_k) max(0, ‖v_k‖ - m⁻)², averaged over the examples (equation 4).

    Parameters
    ----------
    v : array (N, J, Q)
        Output capsules; their lengths are compared with the margins.
    labels : int array (N,), or array of 0 and 1 (N, J)
        The class that is there, or all of them where several may be.
    m_plus, m_minus : float
        Classes that are there should be at least m_plus long, the others at most m_minus.
    down_weight : float
        λ: how much the absent classes count.
    reduction : "mean", "sum" or "none"

    Returns
    -------
    scalar, or array (N,) for "none"

    Examples
    --------
    >>> v = np.full((1, 10, 1), 0.3); v[0, 4] = 0.5
    >>> round(float(margin_loss(v, [4])), 2)
    0.34
    """
    length = np.sqrt((v * v).sum(2))
    missing, excess = np.maximum(0, m_plus - length), np.maximum(0, length - m_minus)
    return reduce((labels * missing**2 + down_weight * (1 - labels) * excess**2).sum(1), reduction)


@margin_loss.gradient
def margin_loss_gradient(grad, v, labels, m_plus, m_minus, down_weight, reduction):
    length = np.sqrt((v * v).sum(2))
    missing, excess = np.maximum(0, m_plus - length), np.maximum(0, length - m_minus)
    d_length = -2 * labels * missing + 2 * down_weight * (1 - labels) * excess
    d_length = d_length * expand(grad, len(v), reduction)[..., None]
    return v * (d_length / np.where(length > 0, length, 1))[..., None]  # 0 where there is no direction


def _prepare_reconstruction(reconstruction, images):
    images = float_array(images, "reconstruction_loss", "images")
    alike = reconstruction.shape[:1] == images.shape[:1] and reconstruction.size == images.size
    if not (alike and images.ndim and images.size):
        raise ValueError(
            f"reconstruction_loss: reconstruction needs as many examples and pixels as images {images.shape}, "
            f"and at least one, but has shape {reconstruction.shape}"
        )
    return dict(images=images.reshape(reconstruction.shape))


@operation(prepare=_prepare_reconstruction)
def reconstruction_loss(reconstruction, images):
    """Sum of the squared differences of all pixels, averaged over the examples.

    The paper adds 0.0005 times this sum to the margin loss; 0.0005 times the *mean* would be 784 times too weak.

    Parameters
    ----------
    reconstruction : array (N, ...)
    images : array (N, ...)
        As many pixels each; in [0, 1] if the decoder ends in a sigmoid.

    Returns
    -------
    scalar

    Examples
    --------
    >>> float(reconstruction_loss([[1.0, 0.0]], [[0.0, 2.0]]))
    5.0
    """
    return ((reconstruction - images) ** 2).sum() / len(images)


@reconstruction_loss.gradient
def reconstruction_loss_gradient(grad, reconstruction, images):
    return grad * 2 / len(images) * (reconstruction - images)


# ---- parts ----------------------------------------------------------------------------------------------


def _route(votes, bias, iterations: int) -> list[RoutingTrace]:
    """The iterations of routing, one `RoutingTrace` without a first axis each."""
    logits = array_module(votes).zeros(votes.shape[:3], votes.dtype)  # (N, I, J)
    steps = []
    for iteration in range(iterations):
        couplings = softmax.forward(logits, axis=2)
        s = _weighted_sum(couplings, votes)  # (N, J, Q)
        s = s if bias is None else s + bias
        v = squash.forward(s, axis=2)
        steps.append(RoutingTrace(logits, couplings, s, v))
        if iteration < iterations - 1:
            logits = logits + _agreement(votes, v)
    return steps


def _weighted_sum(c, votes):
    """Σ_i c_ij û_ij: (N, I, J), (N, I, J, Q) → (N, J, Q)."""
    return np.einsum("nij,nijq->njq", c, votes)


def _agreement(votes, v):
    """û_ij · v_j: (N, I, J, Q), (N, J, Q) → (N, I, J)."""
    return np.einsum("nijq,njq->nij", votes, v)


def _matrices(weight):
    """(I, P, J, Q) as one matrix for each input capsule: (I, P, J·Q)."""
    return weight.reshape(*weight.shape[:2], weight.shape[2] * weight.shape[3])


def _check_weight(where: str, u, weight) -> None:
    if u.ndim != 3:
        raise ValueError(f"{where}: u needs shape (N, I, P), but has shape {u.shape}")
    if weight.ndim != 4 or 0 in weight.shape:
        raise ValueError(f"{where}: weight needs shape (I, P, J, Q), nothing empty, but has shape {weight.shape}")
    if u.shape[1:] != weight.shape[:2]:
        raise ValueError(
            f"{where}: weight expects {weight.shape[0]} capsules of {weight.shape[1]} numbers, but u has "
            f"{u.shape[1]} of {u.shape[2]}: u {u.shape}, weight {weight.shape}"
        )


def _check_votes(where: str, votes, bias) -> None:
    if votes.ndim != 4 or 0 in votes.shape[1:]:
        raise ValueError(f"{where}: votes needs shape (N, I, J, Q), no capsules empty, but has shape {votes.shape}")
    if bias is not None and bias.shape != votes.shape[2:]:
        raise ValueError(f"{where}: bias needs shape {votes.shape[2:]}, votes' (J, Q), but has shape {bias.shape}")


def _plain(where: str, votes, bias):
    """Votes and bias as checked arrays, Tensors included."""
    votes, bias = (x.numpy() if hasattr(x, "numpy") else x for x in (votes, bias))
    votes = float_array(votes, where, "votes")
    bias = None if bias is None else float_array(bias, where, "bias")
    _check_votes(where, votes, bias)
    return votes, bias


def _present(where: str, labels: Any, v):
    """Labels (N,), or multi-hot (N, J), as an array (N, J) of 0 and 1 in v's dtype."""
    xp = array_module(v)
    if len(shape_of(labels, where, "labels")) == 2:
        labels = xp.asarray(labels)
        if labels.shape != v.shape[:2]:
            raise ValueError(f"{where}: labels needs shape {v.shape[:1]} or {v.shape[:2]}, but has {labels.shape}")
        on_gpu = engine_of(labels) == "cupy"  # where a look would stop everything until it is there
        if not on_gpu and not bool(((labels == 0) | (labels == 1)).all()):
            raise ValueError(f"{where}: labels needs 0 or 1 in shape {labels.shape}, but holds other values")
        return labels.astype(v.dtype)
    labels = xp.asarray(class_labels(labels, where, *v.shape[:2]))
    return (xp.arange(v.shape[1]) == labels[:, None]).astype(v.dtype)
