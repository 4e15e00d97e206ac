"""EM routing where a parent sees only a window of children, as in a convolution.

Axes: N examples, I children, P windows (places of parents), K children in a window, C types of parents at every place,
H numbers in a vote. Source: Hinton, Sabour & Frosst 2018, openreview.net/forum?id=HJWLfGWRb, section 4.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from zerohero.arguments import integer
from zerohero.operation import array_module, engine_of, operation
from zerohero.ops.activation import softmax, softmax_gradient
from zerohero.ops.em_routing import (
    _checked,
    _e_step_gradient,
    _growing,
    _log_shares,
    _m_step,
    _m_step_gradient,
    _Step,
)

NOWHERE = -1e30  # log of a share that isn't there: exp of it is 0, and it can be subtracted from itself


def _prepare_windows(votes, activations, beta_a, beta_u, children, **settings):
    where = "em_routing_windows"
    if votes.ndim != 5 or 0 in votes.shape[1:]:
        raise ValueError(f"{where}: votes needs shape (N, P, K, C, H), none empty, but has shape {votes.shape}")
    if activations.ndim != 2 or len(activations) != len(votes):
        raise ValueError(
            f"{where}: activations needs shape ({len(votes)}, I), votes' N, but has shape {activations.shape}"
        )
    children = np.asarray(children)
    if children.shape != votes.shape[1:3] or children.dtype.kind not in "iu":
        raise ValueError(
            f"{where}: children needs whole numbers of shape {votes.shape[1:3]}, votes' (P, K), "
            f"but got {children.dtype} {children.shape}"
        )
    if children.min() < 0 or children.max() >= activations.shape[1]:
        raise ValueError(
            f"{where}: children needs numbers from 0 to {activations.shape[1] - 1}, but holds "
            f"{children.min()} to {children.max()}"
        )
    if any(len(set(window)) < len(window) for window in children.tolist()):
        raise ValueError(f"{where}: children needs each child at most once in a window")
    if engine_of(activations) != "cupy" and not bool(((activations >= 0) & (activations <= 1)).all()):
        raise ValueError(f"{where}: activations needs numbers from 0 to 1, but holds others")
    seen = array_module(votes).zeros(votes.shape[:1] + votes.shape[2:3], votes.dtype)  # (N, K)
    return dict(children=children) | _checked(where, votes[:, 0], seen, beta_a, beta_u, settings)


@operation(inputs=4, prepare=_prepare_windows)
def em_routing_windows(
    votes, activations, beta_a, beta_u, children, *, iterations=3, inverse_temperature=0.01, minimum_variance=5e-4,
    save=None,
):  # fmt: skip
    """`em_routing` where a parent is fitted to its own window of children only.

    A child in several windows has parents at several places. They compete for it: in the E-step its shares sum to 1
    over **all** its parents, places and types together. It begins with equal shares.

    Parameters
    ----------
    votes : array (N, P, K, C, H)
        What child `children[p, k]` votes for the parent of type c at place p.
    activations : array (N, I)
        The children's, from 0 to 1.
    beta_a, beta_u : array (C,)
        One for each type, the same at every place; see `em_routing`.
    children : int array (P, K)
        Which children lie in which window. A child in no window counts for nothing.
    iterations, inverse_temperature, minimum_variance
        As `em_routing`.

    Returns
    -------
    poses : array (N, P, C, H)
    activations : array (N, P, C)

    Raises
    ------
    ValueError
        If the shapes don't fit each other, or activations lie outside 0 … 1.

    Notes
    -----
    The authors' code begins with 1 / C at every place, not with equal shares that sum to 1.

    References
    ----------
    Hinton, Sabour & Frosst 2018; google-research/capsule_em, `update_conv_routing`, for the sum over places and types;
    Gritzman 2019, arXiv:1907.00652, section 3.3, for what goes wrong without it.

    Examples
    --------
    >>> votes = np.zeros((1, 2, 2, 1, 3))  # two places; the windows share child 1
    >>> poses, activations = em_routing_windows(votes, np.ones((1, 3)), [0.0], [0.0], [[0, 1], [1, 2]])
    >>> poses.shape, activations.shape
    ((1, 2, 1, 3), (1, 2, 1))
    """
    n, places, _, types, numbers = votes.shape
    homes = _Homes(children, activations.shape[1], like=votes)
    steps = _iterate(votes, activations, beta_a, beta_u, homes, iterations, inverse_temperature, minimum_variance)
    if save:
        save(shares=[step.R for step in steps], homes=homes)
    last = steps[-1]
    return last.mean.reshape(n, places, types, numbers), last.activation.reshape(n, places, types)


@em_routing_windows.gradient
def em_routing_windows_gradient(
    grad, votes, activations, beta_a, beta_u, inverse_temperature, minimum_variance, shares, homes
):  # fmt: skip
    (folded, seen), betas = _each_place_alone(votes, activations, homes), (beta_a, beta_u)
    total = [np.zeros_like(each) for each in (folded, seen, *betas)]
    d_mean, d_activation = grad[0].reshape(-1, *grad[0].shape[2:]), grad[1].reshape(-1, grad[1].shape[2])
    d_variance, d_log_activation = np.zeros_like(d_mean), np.zeros_like(d_activation)
    for t in reversed(range(len(shares))):
        step = _m_step(folded, seen, *betas, shares[t], _growing(inverse_temperature, t), minimum_variance)
        d_logit = (1 - step.activation) * (d_activation * step.activation + d_log_activation)
        *of_given, d_shares = _m_step_gradient(
            d_mean, d_variance, d_logit, folded, seen, *betas, step, minimum_variance, t=t,
            inverse_temperature=inverse_temperature,
        )  # fmt: skip
        total = [before + each for before, each in zip(total, of_given)]
        if t == 0:
            break  # the first shares are constants
        before = _m_step(folded, seen, *betas, shares[t - 1], _growing(inverse_temperature, t - 1), minimum_variance)
        d_score = homes.over_all_parents(softmax_gradient, d_shares, shares[t])
        d_folded, d_mean, d_variance, d_log_activation = _e_step_gradient(d_score, folded, before)
        total[0] = total[0] + d_folded
        d_activation = np.zeros_like(d_activation)
    return total[0].reshape(votes.shape), homes.sum(total[1]), total[2], total[3]


def _iterate(
    votes, activations, beta_a, beta_u, homes: _Homes, iterations, inverse_temperature, minimum_variance
) -> list[_Step]:  # fmt: skip
    folded, seen = _each_place_alone(votes, activations, homes)
    R = homes.over_all_parents(softmax.forward, np.zeros_like(folded[..., 0]), fill=NOWHERE)  # equal shares
    steps: list[_Step] = []
    for t in range(iterations):
        if steps:
            R = homes.over_all_parents(softmax.forward, _log_shares(folded, steps[-1]), fill=NOWHERE)
        growing = _growing(inverse_temperature, t)
        steps.append(_m_step(folded, seen, beta_a, beta_u, R, growing, minimum_variance))
    return steps


def _each_place_alone(votes, activations, homes: _Homes):
    """Votes (N·P, K, C, H) and the activations of the children seen there, (N·P, K): a place as if an example."""
    seen = activations[:, homes.children]
    return votes.reshape(-1, *votes.shape[2:]), seen.reshape(-1, seen.shape[2])


class _Homes:
    """For each child the slots (p, k) at which windows see it, so that its parents can be put side by side.

    Attributes
    ----------
    children : int array (P, K)
    slots : int array (I, M)
        Slots p·K + k, M at most; P·K where a child has fewer.
    place : int array (P·K,)
        Where in (I, M), flat, a slot stands.
    """

    def __init__(self, children: np.ndarray, count: int, like: Any):
        flat = children.ravel()
        order = np.argsort(flat, kind="stable")
        among = np.arange(len(flat)) - np.searchsorted(flat[order], flat[order])  # 0, 1, … of the same child
        self.most = int(among.max()) + 1
        slots, place = np.full((count, self.most), len(flat)), np.empty(len(flat), int)
        slots[flat[order], among] = order
        place[order] = flat[order] * self.most + among
        xp = array_module(like)
        self.children, self.slots, self.place = xp.asarray(children), xp.asarray(slots), xp.asarray(place)

    def beside(self, x, fill: float = 0.0):
        """(N·P, K, C) → (N, I, M·C): a child's parents side by side, `fill` where it has none."""
        places, size = self.children.shape
        rows = x.reshape(-1, places * size, x.shape[2])
        padded = np.concatenate([rows, np.zeros_like(rows[:, :1]) + rows.dtype.type(fill)], axis=1)
        return padded[:, self.slots].reshape(len(rows), len(self.slots), -1)

    def back(self, x, types: int):
        """(N, I, M·C) → (N·P, K, C)."""
        rows = x.reshape(len(x), -1, types)[:, self.place]
        return rows.reshape(-1, self.children.shape[1], types)

    def over_all_parents(self, function, *arrays, fill: float = 0.0):
        """A softmax, or its gradient, over all parents of each child: (N·P, K, C) → (N·P, K, C)."""
        side_by_side = [self.beside(each, fill) for each in arrays]
        return self.back(function(*side_by_side, axis=2), arrays[0].shape[2])

    def sum(self, x):
        """(N·P, K) → (N, I): over all slots of a child."""
        return self.beside(x[..., None]).sum(2)


def windows(height: int, width: int, types: int, kernel: int, stride: int) -> np.ndarray:
    """Which children lie in which window: children are numbered (y, x, type), windows (y, x) of their parents.

    Parameters
    ----------
    height, width, types : int
        Of the children.
    kernel, stride : int

    Returns
    -------
    int array (P, kernel² · types)

    Examples
    --------
    >>> windows(2, 3, 1, kernel=2, stride=1)
    array([[0, 1, 3, 4],
           [1, 2, 4, 5]])
    """
    named = dict(height=height, width=width, types=types, kernel=kernel, stride=stride)
    for name, value in named.items():
        integer(value, "windows", name, least=1)
    if kernel > min(height, width):
        raise ValueError(f"windows: kernel needs to fit into {height}×{width} capsules, but got {kernel}")
    rows, columns = (np.arange(0, size - kernel + 1, stride) for size in (height, width))
    y = rows[:, None, None, None, None] + np.arange(kernel)[:, None, None]
    x = columns[:, None, None, None] + np.arange(kernel)[:, None]
    inside = (y * width + x) * types + np.arange(types)  # (rows, columns, kernel, kernel, types)
    return inside.reshape(len(rows) * len(columns), -1)
