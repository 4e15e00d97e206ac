"""Batch normalization, local response normalization and dropout: against PyTorch, and what each leaves alone."""

import math

import numpy as np
import pytest
import torch
from against_torch import compare
from torch.nn import functional as F

import zerohero as zh


@pytest.mark.parametrize("x", [(5, 3), (4, 3, 5), (4, 3, 2, 5), (1, 3, 2, 2), (2, 1, 1, 1)])
@pytest.mark.parametrize("affine", [(True, True), (True, False), (False, True), (False, False)])
def test_batch_norm_in_training_equals_pytorch(x, affine):
    channels = (x[1],)
    compare(
        lambda x, w, b: zh.batch_norm(x, w, b, None, None, training=True),
        lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
        x,
        *(channels if given else None for given in affine),
    )


@pytest.mark.parametrize("x", [(5, 3), (4, 3, 5), (4, 3, 2, 5), (1, 3, 1, 1)])
@pytest.mark.parametrize("affine", [(True, True), (True, False), (False, True), (False, False)])
def test_batch_norm_in_evaluation_equals_pytorch(x, affine, rng):
    mean, variance = rng.standard_normal(x[1]), rng.random(x[1]) + 0.5

    def ours(x, w, b):
        return zh.batch_norm(x, w, b, mean, variance, eps=1e-3)

    def theirs(x, w, b):
        running = (torch.tensor(r, dtype=x.dtype) for r in (mean, variance))
        return F.batch_norm(x, *running, w, b, training=False, eps=1e-3)

    compare(ours, theirs, x, *((x[1],) if given else None for given in affine))


@pytest.mark.parametrize("momentum", [0.0, 0.1, 0.7, 1.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_moves_the_running_mean_and_unbiased_variance_in_place(momentum, dtype, rng):
    x = (3 + 2 * rng.standard_normal((4, 3, 2, 5))).astype(dtype)
    mean, variance = np.full(3, 0.5, dtype), np.full(3, 2.0, dtype)
    theirs = torch.tensor(mean), torch.tensor(variance)
    for _ in range(3):
        zh.batch_norm(x, None, None, mean, variance, training=True, momentum=momentum)
        F.batch_norm(torch.tensor(x), *theirs, training=True, momentum=momentum)
    np.testing.assert_allclose(mean, theirs[0].numpy(), rtol=1e-5)
    np.testing.assert_allclose(variance, theirs[1].numpy(), rtol=1e-5)
    assert mean.dtype == variance.dtype == dtype


def test_evaluation_leaves_the_running_statistics_alone(rng):
    mean, variance = np.zeros(3), np.ones(3)
    zh.batch_norm(rng.standard_normal((4, 3)), None, None, mean, variance)
    np.testing.assert_array_equal(mean, np.zeros(3))
    np.testing.assert_array_equal(variance, np.ones(3))


def test_in_evaluation_an_image_does_not_depend_on_the_others_in_its_batch(rng):
    x, mean, variance = rng.standard_normal((4, 3, 2, 2)), rng.standard_normal(3), rng.random(3) + 0.5
    together = zh.batch_norm(x, None, None, mean, variance)
    np.testing.assert_array_equal(together[:1], zh.batch_norm(x[:1], None, None, mean, variance))


def test_training_gives_every_channel_mean_0_and_variance_1(rng):
    y = zh.batch_norm(5 + 3 * rng.standard_normal((8, 2, 4, 4)), training=True, eps=0)
    np.testing.assert_allclose(y.mean((0, 2, 3)), np.zeros(2), atol=1e-12)
    np.testing.assert_allclose(y.var((0, 2, 3)), np.ones(2), rtol=1e-12)


def test_a_channel_that_never_changes_becomes_zero_and_not_nan():
    x = zh.Tensor(np.full((4, 1), 7.0), requires_grad=True)
    y = zh.batch_norm(x, training=True)
    np.testing.assert_array_equal(y.data, np.zeros((4, 1)))
    y.sum().backward()
    assert np.all(np.isfinite(x.grad))


# ---- local response normalization -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("x", [(2, 6, 3, 2), (1, 1, 2, 2), (2, 4, 3)])
def test_local_response_norm_equals_pytorch(size, x):
    options = dict(alpha=0.7, beta=0.6, k=1.5)
    compare(zh.local_response_norm, F.local_response_norm, x, size=size, **options)


def test_local_response_norm_starts_from_alexnets_constants_with_alpha_divided():
    compare(zh.local_response_norm, lambda x: F.local_response_norm(x, 5, alpha=1e-4, beta=0.75, k=2.0), (2, 8, 2, 2))


def test_local_response_norm_takes_rows_of_channels():
    x = np.array([[1.0, 2.0, 3.0]])
    expected = x / (1 + 6 / 3 * np.array([[1 + 4, 1 + 4 + 9, 4 + 9]])) ** 0.5
    np.testing.assert_allclose(zh.local_response_norm(x, 3, alpha=6, beta=0.5, k=1), expected, rtol=1e-12)


# ---- dropout --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dropout_keeps_1_minus_p_of_the_values_and_scales_them_up(p, dtype, rng):
    count = 40_000
    y = zh.dropout(np.ones(count, dtype), p, rng=rng)
    assert y.dtype == dtype
    kept = y[y != 0]
    np.testing.assert_allclose(kept, 1 / (1 - p), rtol=1e-6)
    deviation = math.sqrt(p * (1 - p) / count)
    assert abs(len(kept) / count - (1 - p)) < 5 * deviation


def test_dropout_sends_the_gradient_where_the_value_went():
    x = zh.Tensor(np.ones((5, 6)), requires_grad=True)
    y = zh.dropout(x, 0.4, rng=np.random.default_rng(3))
    y.sum().backward()
    assert 0 < (y.data == 0).sum() < 30
    np.testing.assert_array_equal(x.grad, y.data)


def test_dropout_drops_each_value_by_itself(rng):
    y = zh.dropout(np.ones((50, 60)), 0.5, rng=rng)
    assert len(np.unique(y, axis=0)) == 50
    assert len(np.unique(y, axis=1).T) == 60


@pytest.mark.parametrize("options", [dict(training=False), dict(p=0.0)])
def test_dropout_in_evaluation_or_with_p_0_changes_nothing(options, rng):
    x = rng.standard_normal((3, 4))
    np.testing.assert_array_equal(zh.dropout(x, **options), x)


def test_dropout_with_p_1_drops_everything():
    x = zh.Tensor(np.ones((3, 4)), requires_grad=True)
    y = zh.dropout(x, 1.0)
    y.sum().backward()
    np.testing.assert_array_equal(y.data, np.zeros((3, 4)))
    np.testing.assert_array_equal(x.grad, np.zeros((3, 4)))


def test_dropout_draws_from_the_librarys_generator_which_seed_starts_again():
    x = np.ones((20, 20))
    zh.seed(5)
    first, second = zh.dropout(x), zh.dropout(x)
    zh.seed(5)
    np.testing.assert_array_equal(zh.dropout(x), first)
    assert not np.array_equal(first, second)


def test_dropout_with_a_generator_of_its_own_leaves_the_librarys_alone(rng):
    zh.seed(5)
    expected = zh.dropout(np.ones(100))
    zh.seed(5)
    zh.dropout(np.ones(100), rng=rng)
    np.testing.assert_array_equal(zh.dropout(np.ones(100)), expected)
