"""Pooling: against PyTorch, and what it says of borders, ties and windows that hang over."""

import numpy as np
import pytest
import torch
from against_torch import agree, compare
from torch.nn import functional as F

import zerohero as zh

POOLS = {
    "2 × 2": ((2, 3, 4, 6), dict(kernel_size=2)),
    "a row left over": ((1, 2, 5, 7), dict(kernel_size=2)),
    "a kernel that is no square": ((2, 1, 6, 5), dict(kernel_size=(3, 2))),
    "overlapping": ((2, 2, 7, 6), dict(kernel_size=3, stride=2)),
    "stride larger than the kernel": ((1, 2, 7, 8), dict(kernel_size=2, stride=3)),
    "different strides": ((2, 1, 5, 6), dict(kernel_size=2, stride=(1, 3))),
    "padding": ((2, 2, 4, 5), dict(kernel_size=3, stride=2, padding=1)),
    "different paddings": ((1, 2, 4, 5), dict(kernel_size=(4, 2), stride=1, padding=(2, 0))),
    "a kernel as large as the image": ((2, 2, 3, 4), dict(kernel_size=(3, 4))),
    "a kernel larger than the image but for padding": (
        (1, 1, 2, 3),
        dict(kernel_size=(4, 5), padding=(2, 1), stride=1),
    ),
    "1 × 1": ((2, 2, 3, 3), dict(kernel_size=1)),
    "1 × 1 with stride": ((2, 2, 4, 5), dict(kernel_size=1, stride=2)),
    "hanging over": ((2, 2, 5, 6), dict(kernel_size=2, stride=2, ceil_mode=True)),
    "hanging over by more than a row": ((1, 2, 6, 7), dict(kernel_size=3, stride=3, padding=1, ceil_mode=True)),
    "a last window that would start in the padding": ((1, 1, 5, 5), dict(kernel_size=2, padding=1, ceil_mode=True)),
    "hanging over with a long stride": ((1, 1, 6, 9), dict(kernel_size=3, stride=(4, 5), ceil_mode=True)),
    "ceil_mode with nothing over": ((1, 2, 4, 4), dict(kernel_size=2, ceil_mode=True)),
    "one image": ((3, 5, 4), dict(kernel_size=2, stride=1)),
}


@pytest.mark.parametrize("x, options", POOLS.values(), ids=POOLS.keys())
def test_max_pool2d_equals_pytorch(x, options):
    compare(zh.max_pool2d, F.max_pool2d, x, **options)


@pytest.mark.parametrize(
    "options",
    [
        dict(kernel_size=2, dilation=2),
        dict(kernel_size=(2, 3), stride=2, dilation=(3, 1), padding=1),
        dict(kernel_size=3, stride=3, dilation=2, padding=1, ceil_mode=True),
    ],
)
def test_dilated_max_pool2d_equals_pytorch(options):
    compare(zh.max_pool2d, F.max_pool2d, (2, 2, 8, 7), **options)


@pytest.mark.parametrize("count_include_pad", [True, False])
@pytest.mark.parametrize("x, options", POOLS.values(), ids=POOLS.keys())
def test_avg_pool2d_equals_pytorch(x, options, count_include_pad):
    compare(zh.avg_pool2d, F.avg_pool2d, x, count_include_pad=count_include_pad, **options)


@pytest.mark.parametrize("pool", ["max_pool2d", "avg_pool2d"])
def test_pools_take_one_image_without_channels(pool):
    def theirs(x):
        return getattr(F, pool)(x[None], 3, stride=2, padding=1)[0]

    compare(lambda x: getattr(zh, pool)(x, 3, stride=2, padding=1), theirs, (5, 6))


@pytest.mark.parametrize("padding", [((1, 0), (0, 0)), ((0, 2), (1, 2)), ((2, 1), (0, 1))])
@pytest.mark.parametrize("stride", [1, 2])
def test_padding_may_differ_on_all_four_sides(padding, stride):
    (top, bottom), (left, right) = padding

    def largest(x):
        return F.max_pool2d(F.pad(x, (left, right, top, bottom), value=-torch.inf), 3, stride)

    def mean(x):
        return F.avg_pool2d(F.pad(x, (left, right, top, bottom)), 3, stride)

    def mean_of_those_inside(x):
        inside = F.pad(torch.ones_like(x), (left, right, top, bottom))
        return mean(x) / F.avg_pool2d(inside, 3, stride)

    shape = (2, 2, 5, 4)
    compare(lambda x: zh.max_pool2d(x, 3, stride=stride, padding=padding), largest, shape)
    compare(lambda x: zh.avg_pool2d(x, 3, stride=stride, padding=padding), mean, shape)
    compare(
        lambda x: zh.avg_pool2d(x, 3, stride=stride, padding=padding, count_include_pad=False),
        mean_of_those_inside,
        shape,
    )


@pytest.mark.parametrize("kernel, stride", [(2, 1), (3, 1), (3, 2), (4, 3)])
def test_same_padding_gives_one_window_per_stride(kernel, stride, rng):
    x = -1 - rng.random((1, 2, 7, 5))
    for pool in (zh.max_pool2d, zh.avg_pool2d):
        assert pool(x, kernel, stride=stride, padding="same").shape == (1, 2, -(-7 // stride), -(-5 // stride))
    assert zh.max_pool2d(x, kernel, stride=stride, padding="same").max() == x.max()


def test_padding_never_wins_a_max_pool():
    x = zh.Tensor(np.full((1, 1, 3, 3), -5.0), requires_grad=True)
    y = zh.max_pool2d(x, 3, stride=2, padding=1)
    np.testing.assert_array_equal(y.data, np.full((1, 1, 2, 2), -5.0))
    y.sum().backward()
    assert x.grad.sum() == 4  # and takes no part of the gradient


def test_padding_counts_in_an_average_unless_told_otherwise():
    x = np.full((2, 2), 4.0)
    assert zh.avg_pool2d(x, 2, stride=3, padding=1)[0, 0] == 1
    assert zh.avg_pool2d(x, 2, stride=3, padding=1, count_include_pad=False)[0, 0] == 4


def test_what_hangs_over_never_counts_in_an_average():
    np.testing.assert_array_equal(zh.avg_pool2d([[1, 2, 6]], (1, 2), ceil_mode=True), [[1.5, 6]])


def test_the_first_of_equal_maxima_takes_the_whole_gradient():
    agree(lambda x: zh.max_pool2d(x, 2), lambda x: F.max_pool2d(x, 2), [np.ones((1, 2, 4, 4))])
    x = zh.Tensor(np.ones((2, 2)), requires_grad=True)
    zh.max_pool2d(x, 2).sum().backward()
    np.testing.assert_array_equal(x.grad, [[1, 0], [0, 0]])


def test_a_value_that_wins_several_windows_gets_the_sum_of_their_gradients():
    x = zh.Tensor([[0, 0, 0], [0, 9, 0], [0, 0, 0]], requires_grad=True)
    zh.max_pool2d(x, 2, stride=1).backward([[1, 10], [100, 1000]])
    np.testing.assert_array_equal(x.grad, [[0, 0, 0], [0, 1111, 0], [0, 0, 0]])


def test_a_max_pool_does_not_hide_nan():
    x = np.zeros((4, 4))
    x[1, 2] = np.nan
    np.testing.assert_array_equal(np.isnan(zh.max_pool2d(x, 2)), [[False, True], [False, False]])
    theirs = F.max_pool2d(torch.tensor(x)[None], 2)[0].numpy()
    np.testing.assert_array_equal(zh.max_pool2d(x, 2), theirs)


def test_a_window_of_minus_infinity_gives_minus_infinity():
    x = np.full((1, 1, 2, 2), -np.inf)
    agree(lambda x: zh.max_pool2d(x, 2, padding=1), lambda x: F.max_pool2d(x, 2, padding=1), [x], grads=False)


@pytest.mark.parametrize(
    "pool",
    [
        lambda x: zh.max_pool2d(x, 2),
        lambda x: zh.avg_pool2d(x, 2, padding=1, count_include_pad=False),
        lambda x: zh.adaptive_avg_pool2d(x, 2),
        zh.global_avg_pool2d,
    ],
)
@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 0, 4, 4)])
def test_pooling_no_images_or_channels_gives_none(pool, shape):
    x = zh.Tensor(np.zeros(shape), requires_grad=True)
    y = pool(x)
    assert y.shape[:2] == shape[:2]
    y.sum().backward()
    assert x.grad.shape == shape


@pytest.mark.parametrize("x", [(2, 3, 6, 4), (1, 1, 7, 5), (3, 5, 7)])
@pytest.mark.parametrize("output_size", [1, 2, 3, (2, 3), (5, 1), 9])
def test_adaptive_avg_pool2d_equals_pytorch(x, output_size):
    compare(lambda x: zh.adaptive_avg_pool2d(x, output_size), lambda x: F.adaptive_avg_pool2d(x, output_size), x)


def test_adaptive_and_global_pools_take_one_image_without_channels():
    compare(lambda x: zh.adaptive_avg_pool2d(x, (2, 3)), lambda x: F.adaptive_avg_pool2d(x[None], (2, 3))[0], (5, 7))
    compare(zh.global_avg_pool2d, lambda x: x.mean((-2, -1), keepdim=True), (5, 7))


def test_global_avg_pool2d_is_the_mean_of_every_channel():
    compare(zh.global_avg_pool2d, lambda x: x.mean((-2, -1), keepdim=True), (2, 3, 5, 4))
