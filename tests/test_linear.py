"""The fully connected layer, flatten, concat and pad: against PyTorch."""

import numpy as np
import pytest
import torch
from against_torch import compare
from torch.nn import functional as F

import zerohero as zh


@pytest.mark.parametrize("x", [(5,), (1, 5), (3, 5), (2, 3, 5), (2, 1, 3, 5)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_linear_equals_pytorch(x, with_bias):
    compare(zh.linear, F.linear, x, (4, 5), (4,) if with_bias else None)


@pytest.mark.parametrize("weight", [(1, 1), (3, 1), (1, 3)])
def test_a_layer_may_have_one_input_or_one_output(weight):
    compare(zh.linear, F.linear, (2, weight[1]), weight, (weight[0],))


def test_linear_of_an_empty_batch_is_empty_and_gives_no_gradient():
    x, weight = zh.Tensor(np.zeros((0, 3)), requires_grad=True), zh.Tensor(np.ones((2, 3)), requires_grad=True)
    bias = zh.Tensor(np.ones(2), requires_grad=True)
    y = zh.linear(x, weight, bias)
    assert y.shape == (0, 2)
    y.sum().backward()
    assert x.grad.shape == (0, 3)
    np.testing.assert_array_equal(weight.grad, np.zeros((2, 3)))
    np.testing.assert_array_equal(bias.grad, np.zeros(2))


@pytest.mark.parametrize("frozen", ["x", "weight", "bias"])
def test_linear_gives_a_frozen_input_no_gradient(frozen, rng):
    shapes = dict(x=(2, 3), weight=(4, 3), bias=(4,))
    tensors = {name: zh.Tensor(rng.standard_normal(s), requires_grad=name != frozen) for name, s in shapes.items()}
    zh.linear(**tensors).sum().backward()
    assert [name for name, tensor in tensors.items() if tensor.grad is None] == [frozen]


@pytest.mark.parametrize("start_axis", [0, 1, 2, 3])
def test_flatten_equals_pytorch(start_axis):
    compare(lambda x: zh.flatten(x, start_axis), lambda x: torch.flatten(x, start_axis), (2, 3, 4, 5))


def test_flatten_runs_through_channels_first_then_rows_then_columns():
    x = np.arange(24).reshape(1, 2, 3, 4)  # the value at (c, i, j) is its place in that order
    np.testing.assert_array_equal(zh.flatten(x), [np.arange(24)])


def test_flatten_keeps_an_empty_batch():
    assert zh.flatten(np.zeros((0, 2, 3))).shape == (0, 6)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_concat_equals_pytorch(axis):
    shapes = [[2, 3, 4], [2, 3, 4], [2, 3, 4]]
    for shape, length in zip(shapes, (1, 5, 2)):
        shape[axis] = length
    compare(
        lambda *arrays: zh.concat(list(arrays), axis=axis),
        lambda *tensors: torch.cat(tensors, dim=axis),
        *map(tuple, shapes),
    )


def test_concat_of_one_array_is_that_array():
    compare(lambda x: zh.concat([x]), lambda x: torch.cat([x]), (2, 3))


def test_concat_takes_tuples_and_empty_parts():
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(zh.concat((x, np.zeros((0, 3), np.float32))), x)


def test_concat_of_arrays_and_tensors_gives_gradients_to_those_that_want_one():
    first, second = zh.Tensor([1.0, 2.0], requires_grad=True), zh.Tensor([3.0])
    third = zh.Tensor([5.0], requires_grad=True)
    y = zh.concat([first, second, np.array([4.0], np.float32), third])
    np.testing.assert_array_equal(y.data, [1, 2, 3, 4, 5])
    y.backward([10, 20, 30, 40, 50])
    np.testing.assert_array_equal(first.grad, [10, 20])
    assert second.grad is None
    np.testing.assert_array_equal(third.grad, [50])


def test_concat_of_one_tensor_twice_adds_both_gradients():
    x = zh.Tensor([1.0, 2.0], requires_grad=True)
    zh.concat([x, x]).backward([1, 2, 10, 20])
    np.testing.assert_array_equal(x.grad, [11, 22])


@pytest.mark.parametrize("width", [[(1, 2)], [(1, 0), (0, 3)], [(0, 0), (1, 1), (2, 0)]])
@pytest.mark.parametrize("value", [0.0, -1.5])
def test_pad_equals_pytorch(width, value):
    flat = [n for pair in reversed(width) for n in pair]  # PyTorch names the last axis first
    compare(lambda x: zh.pad(x, width, value), lambda x: F.pad(x, flat, value=value), (2, 3, 4))


def test_pad_takes_one_number_for_both_ends_and_infinity_as_value():
    np.testing.assert_array_equal(zh.pad([[1.0]], [0, 1], value=-np.inf), [[-np.inf, 1, -np.inf]])
