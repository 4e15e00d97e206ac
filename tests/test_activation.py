"""Activations: against PyTorch, and at the ends of the number line."""

import numpy as np
import pytest
import torch
from against_torch import agree, compare
from torch.nn import functional as F

import zerohero as zh

ELEMENT_BY_ELEMENT = {
    "relu": (zh.relu, torch.relu),
    "leaky_relu": (zh.leaky_relu, F.leaky_relu),
    "leaky_relu, slope 0.3": (lambda x: zh.leaky_relu(x, 0.3), lambda x: F.leaky_relu(x, 0.3)),
    "leaky_relu, slope -2": (lambda x: zh.leaky_relu(x, -2), lambda x: F.leaky_relu(x, -2)),
    "leaky_relu, slope 0": (lambda x: zh.leaky_relu(x, 0), lambda x: F.leaky_relu(x, 0)),
    "sigmoid": (zh.sigmoid, torch.sigmoid),
    "tanh": (zh.tanh, torch.tanh),
}
functions = pytest.mark.parametrize("ours, theirs", ELEMENT_BY_ELEMENT.values(), ids=ELEMENT_BY_ELEMENT.keys())


@functions
@pytest.mark.parametrize("shape", [(), (1,), (7,), (2, 3, 4, 5), (0, 3)])
def test_an_activation_equals_pytorch_at_every_shape(ours, theirs, shape):
    compare(ours, theirs, shape)


@functions
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_activation_neither_overflows_nor_warns_anywhere(ours, theirs, dtype):
    x = np.array([-1e30, -1000, -100, -10, -1e-30, -0.0, 0.0, 1e-30, 10, 100, 1000, 1e30], dtype)
    agree(ours, theirs, [x])


@functions
def test_an_activation_lets_nan_through(ours, theirs):
    assert np.isnan(ours(np.array([np.nan, 1.0]))[0])


def test_the_gradient_of_relu_at_zero_is_zero():
    x = zh.Tensor([-1.0, 0.0, 1.0], requires_grad=True)
    zh.relu(x).sum().backward()
    np.testing.assert_array_equal(x.grad, [0, 0, 1])


def test_sigmoid_is_symmetric_to_the_last_bit_where_float64_can_tell():
    x = np.linspace(-30, 30, 201)
    np.testing.assert_allclose(zh.sigmoid(x) + zh.sigmoid(-x), 1, rtol=0, atol=1e-15)


# ---- over one axis --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize(
    "shape, axis", [((5,), 0), ((3, 4), 1), ((3, 4), 0), ((2, 3, 4), -1), ((2, 3, 4), -2), ((4, 1), 1)]
)
def test_softmax_equals_pytorch_along_every_axis(name, shape, axis):
    compare(lambda x: getattr(zh, name)(x, axis=axis), lambda x: getattr(torch, name)(x, dim=axis), shape)


def test_softmax_runs_over_the_last_axis_unless_told_otherwise(rng):
    x = rng.standard_normal((3, 4))
    np.testing.assert_allclose(zh.softmax(x).sum(-1), np.ones(3), rtol=1e-12)
    np.testing.assert_array_equal(zh.log_softmax(x), zh.log_softmax(x, axis=1))


def test_softmax_does_not_change_when_all_scores_move_together(rng):
    x = rng.standard_normal((3, 4))
    np.testing.assert_allclose(zh.softmax(x + 500), zh.softmax(x), rtol=1e-11)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_does_not_overflow(name, dtype):
    x = np.array([[1e4, 0, -1e4], [3e4, 3e4, 3e4], [-1e4, -1e4, -2e4], [-np.inf, 0, 1]], dtype)
    agree(lambda x: getattr(zh, name)(x, axis=1), lambda x: getattr(torch, name)(x, dim=1), [x])


def test_log_softmax_is_exact_where_softmax_rounds_to_zero():
    assert zh.softmax([0.0, -1000.0])[1] == 0
    assert zh.log_softmax([0.0, -1000.0])[1] == -1000


def test_softmax_of_an_empty_batch_is_empty():
    assert zh.softmax(np.zeros((0, 3))).shape == (0, 3)
