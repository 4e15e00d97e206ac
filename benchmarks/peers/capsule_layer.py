"""Votes and routing by agreement with `torch.einsum`, in the two layouts that one would write."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.linalg import vector_norm


def squash(s: Tensor) -> Tensor:
    n = vector_norm(s, dim=-1, keepdim=True)
    return s * (n / (1 + n * n))


def capsule_layer_bijq(u: Tensor, weight: Tensor, bias: Tensor, iterations: int = 3) -> Tensor:
    """u (b, i, p), weight (i, p, j, q), bias (j, q) → (b, j, q); votes are kept as (b, i, j, q)."""
    votes = torch.einsum("bip,ipjq->bijq", u, weight)
    logits = votes.new_zeros(votes.shape[:3])
    for iteration in range(iterations):
        couplings = logits.softmax(dim=2)
        v = squash(torch.einsum("bij,bijq->bjq", couplings, votes) + bias)
        if iteration < iterations - 1:
            logits = logits + torch.einsum("bijq,bjq->bij", votes, v)
    return v


def capsule_layer_bjiq(u: Tensor, weight: Tensor, bias: Tensor, iterations: int = 3) -> Tensor:
    """The same with votes kept as (b, j, i, q), so that the sums over i are matrix products of one batch each."""
    votes = torch.einsum("bip,ipjq->bjiq", u, weight)
    logits = votes.new_zeros(votes.shape[:3])
    for iteration in range(iterations):
        couplings = logits.softmax(dim=1)
        v = squash(torch.einsum("bji,bjiq->bjq", couplings, votes) + bias)
        if iteration < iterations - 1:
            logits = logits + torch.einsum("bjiq,bjq->bji", votes, v)
    return v


LAYOUTS = {"(b,i,j,q)": capsule_layer_bijq, "(b,j,i,q)": capsule_layer_bjiq}
