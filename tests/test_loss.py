"""Losses: against PyTorch, and at scores that would overflow."""

import math

import numpy as np
import pytest
import torch
from against_torch import agree, compare
from torch.nn import functional as F

import zerohero as zh

LABELS = np.array([2, 0, 3, 3, 1])


def ours(**options):
    return lambda logits: zh.cross_entropy(logits, LABELS[: len(logits)], **options)


def theirs(**options):
    return lambda logits: F.cross_entropy(logits, torch.tensor(LABELS[: len(logits)]), **options)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("logits", [(5, 4), (1, 4), (3, 7)])
def test_cross_entropy_equals_pytorch(reduction, label_smoothing, logits):
    options = dict(reduction=reduction, label_smoothing=label_smoothing)
    compare(ours(**options), theirs(**options), logits)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_cross_entropy_of_extreme_scores_does_not_overflow(dtype, label_smoothing):
    logits = np.array([[1e4, -1e4, 0, 0], [1000, 1000, 1000, 999], [0, 0, -1e4, 0]], dtype)
    options = dict(reduction="none", label_smoothing=label_smoothing)
    agree(ours(**options), theirs(**options), [logits])


def test_a_class_of_score_minus_infinity_does_not_make_the_others_loss_nan():
    logits = np.array([[0.0, -np.inf, 1.0, 2.0], [3.0, -np.inf, 0.0, -np.inf]])
    agree(ours(), theirs(), [logits])


def test_cross_entropy_of_equal_scores_is_the_logarithm_of_the_number_of_classes():
    assert zh.cross_entropy(np.zeros((6, 10)), np.arange(6)) == pytest.approx(math.log(10), rel=1e-12)


def test_the_gradient_of_cross_entropy_is_softmax_minus_one_hot_over_n(rng):
    logits = zh.Tensor(rng.standard_normal((3, 4)), requires_grad=True)
    zh.cross_entropy(logits, LABELS[:3]).backward()
    np.testing.assert_allclose(logits.grad, (zh.softmax(logits.data) - np.eye(4)[LABELS[:3]]) / 3, rtol=1e-12)
    np.testing.assert_allclose(logits.grad.sum(1), np.zeros(3), atol=1e-15)


def test_cross_entropy_with_one_class_is_zero():
    agree(lambda x: zh.cross_entropy(x, [0, 0]), lambda x: F.cross_entropy(x, torch.tensor([0, 0])), [np.ones((2, 1))])


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.int64, list])
def test_labels_may_be_integers_of_any_kind(dtype, rng):
    logits = rng.standard_normal((5, 4))
    labels = LABELS.tolist() if dtype is list else LABELS.astype(dtype)
    assert zh.cross_entropy(logits, labels) == zh.cross_entropy(logits, LABELS)


@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_an_empty_batch_has_a_sum_of_losses_but_no_mean(reduction):
    logits = zh.Tensor(np.zeros((0, 3)), requires_grad=True)
    loss = zh.cross_entropy(logits, np.zeros(0, int), reduction=reduction)
    assert loss.shape == (() if reduction == "sum" else (0,))
    loss.sum().backward()
    assert logits.grad.shape == (0, 3)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(), (4,), (2, 3, 4)])
def test_mse_loss_equals_pytorch(reduction, shape):
    compare(zh.mse_loss, F.mse_loss, shape, shape, reduction=reduction)


def test_mse_loss_without_an_option_is_a_mean_over_all_values():
    assert zh.mse_loss(np.zeros((2, 3)), np.full((2, 3), 2.0)) == 4
