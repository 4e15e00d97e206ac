"""Convolution and transposed convolution: against PyTorch, the slide's loops, and each as the other's adjoint."""

import numpy as np
import pytest
import torch
from against_torch import compare
from torch.nn import functional as F

import zerohero as zh
from zerohero.ops.convolution import fold, unfold

CONVOLUTIONS = {
    "one channel, one filter": ((1, 1, 5, 4), (1, 1, 3, 2), {}),
    "several of everything": ((2, 3, 7, 6), (4, 3, 3, 2), {}),
    "stride": ((2, 2, 7, 8), (3, 2, 3, 3), dict(stride=2)),
    "stride that leaves rows over": ((1, 2, 8, 9), (2, 2, 3, 3), dict(stride=3)),
    "stride larger than the kernel": ((2, 2, 7, 7), (2, 2, 2, 2), dict(stride=4)),
    "different strides": ((2, 2, 6, 9), (3, 2, 2, 3), dict(stride=(1, 3))),
    "padding": ((2, 2, 4, 5), (3, 2, 3, 3), dict(padding=1)),
    "padding larger than the kernel": ((1, 1, 3, 3), (2, 1, 2, 2), dict(padding=4)),
    "different paddings": ((2, 2, 4, 3), (3, 2, 3, 2), dict(padding=(2, 0))),
    "dilation": ((1, 2, 7, 8), (2, 2, 3, 3), dict(dilation=2)),
    "different dilations": ((2, 2, 6, 7), (2, 2, 2, 3), dict(dilation=(3, 1), padding=(1, 2))),
    "two groups": ((2, 4, 5, 5), (6, 2, 3, 3), dict(groups=2)),
    "one group a channel": ((2, 3, 5, 4), (6, 1, 3, 3), dict(groups=3, padding=1)),
    "everything at once": ((2, 4, 9, 8), (4, 2, 3, 2), dict(stride=(2, 1), padding=(1, 2), dilation=(2, 3), groups=2)),
    "1 × 1 kernel": ((2, 3, 4, 3), (5, 3, 1, 1), {}),
    "1 × 1 kernel with stride": ((2, 3, 5, 4), (2, 3, 1, 1), dict(stride=2)),
    "kernel as large as the image": ((2, 3, 4, 3), (2, 3, 4, 3), {}),
    "kernel larger than the image but for padding": ((1, 2, 2, 2), (2, 2, 4, 3), dict(padding=(1, 1))),
    "one row": ((2, 2, 1, 6), (3, 2, 1, 3), {}),
    "batch of one": ((1, 2, 4, 4), (3, 2, 3, 3), {}),
}


@pytest.mark.parametrize("x, weight, options", CONVOLUTIONS.values(), ids=CONVOLUTIONS.keys())
def test_conv2d_equals_pytorch(x, weight, options):
    compare(zh.conv2d, F.conv2d, x, weight, (weight[0],), **options)


@pytest.mark.parametrize("x, weight, options", CONVOLUTIONS.values(), ids=CONVOLUTIONS.keys())
def test_conv2d_without_bias_equals_pytorch(x, weight, options):
    compare(zh.conv2d, F.conv2d, x, weight, None, differences=False, **options)


def test_conv2d_takes_one_image_of_several_channels():
    compare(zh.conv2d, F.conv2d, (3, 6, 5), (4, 3, 3, 2), (4,), stride=2, padding=1)


def test_conv2d_takes_one_image_without_channels():
    def theirs(x, weight):
        return F.conv2d(x[None, None], weight[None, None], stride=2, padding=1)[0, 0]

    compare(lambda x, weight: zh.conv2d(x, weight, stride=2, padding=1), theirs, (6, 5), (3, 2))


def test_one_image_without_channels_takes_a_bias_of_one_value():
    def theirs(x, weight, bias):
        return F.conv2d(x[None, None], weight[None, None], bias)[0, 0]

    compare(zh.conv2d, theirs, (4, 5), (2, 2), (1,))


@pytest.mark.parametrize("padding", [((1, 0), (0, 0)), ((0, 2), (1, 3)), ((2, 1), (0, 1))])
@pytest.mark.parametrize("stride", [1, 2])
def test_padding_may_differ_on_all_four_sides(padding, stride):
    (top, bottom), (left, right) = padding

    def theirs(x, weight, bias):
        return F.conv2d(F.pad(x, (left, right, top, bottom)), weight, bias, stride=stride)

    def ours(x, weight, bias):
        return zh.conv2d(x, weight, bias, stride=stride, padding=padding)

    compare(ours, theirs, (2, 2, 5, 4), (3, 2, 3, 3), (3,))


@pytest.mark.parametrize("kernel", [(1, 1), (2, 2), (3, 3), (5, 4), (2, 7)])
@pytest.mark.parametrize("stride", [1, 2, 3, (3, 1)])
@pytest.mark.parametrize("dilation", [1, 2])
def test_same_padding_gives_one_output_per_stride_with_the_odd_zero_last(kernel, stride, dilation):
    steps = stride if isinstance(stride, tuple) else (stride, stride)
    height, width = 7, 6
    ends = []
    for size, k, s in zip((height, width), kernel, steps):
        total = max((int(np.ceil(size / s)) - 1) * s + dilation * (k - 1) + 1 - size, 0)
        ends.append((total // 2, total - total // 2))
    (top, bottom), (left, right) = ends

    def theirs(x, weight):
        return F.conv2d(F.pad(x, (left, right, top, bottom)), weight, stride=stride, dilation=dilation)

    def ours(x, weight):
        return zh.conv2d(x, weight, stride=stride, padding="same", dilation=dilation)

    compare(ours, theirs, (1, 1, height, width), (2, 1, *kernel), differences=False)
    expected = (int(np.ceil(height / steps[0])), int(np.ceil(width / steps[1])))
    assert ours(np.ones((height, width)), np.ones(kernel)).shape == expected


def test_conv2d_does_not_flip_the_kernel():
    impulse = np.zeros((5, 5), np.float32)
    impulse[2, 2] = 1
    kernel = np.arange(9, dtype=np.float32).reshape(3, 3)
    np.testing.assert_array_equal(zh.conv2d(impulse, kernel)[::-1, ::-1], kernel)


def test_a_convolution_by_hand():
    x = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    np.testing.assert_array_equal(zh.conv2d(x, [[1, 2], [3, 4]]), [[37, 47], [67, 77]])


def test_every_filter_sums_over_all_channels():
    x = np.stack([np.full((3, 3), 1.0), np.full((3, 3), 10.0), np.full((3, 3), 100.0)])
    weight = np.ones((1, 3, 2, 2)) * np.array([1, 2, 3]).reshape(1, 3, 1, 1)
    np.testing.assert_array_equal(zh.conv2d(x, weight), np.full((1, 2, 2), 4 * (1 + 20 + 300)))


def test_the_gradient_of_the_weights_sums_over_the_batch(rng):
    x, weight = rng.standard_normal((3, 2, 4, 4)), rng.standard_normal((2, 2, 3, 3))

    def d_weight(batch):
        tensor = zh.Tensor(weight, requires_grad=True)
        zh.conv2d(batch, tensor).sum().backward()
        return tensor.grad

    np.testing.assert_allclose(d_weight(x), sum(d_weight(x[i : i + 1]) for i in range(3)), rtol=1e-12)


def test_conv2d_of_an_empty_batch_is_empty_and_gives_the_weights_no_gradient():
    x, weight = zh.Tensor(np.zeros((0, 2, 5, 5)), requires_grad=True), zh.Tensor(np.ones((3, 2, 2, 2)), True)
    y = zh.conv2d(x, weight, zh.Tensor(np.ones(3)), stride=2, padding=1)
    assert y.shape == (0, 3, 3, 3)
    y.sum().backward()
    assert x.grad.shape == x.shape
    np.testing.assert_array_equal(weight.grad, np.zeros_like(weight.data))


@pytest.mark.parametrize("frozen", ["x", "weight", "bias"])
def test_conv2d_gives_a_frozen_input_no_gradient_and_the_others_theirs(frozen, rng):
    arrays = dict(x=rng.standard_normal((1, 2, 4, 4)), weight=rng.standard_normal((3, 2, 2, 2)), bias=np.ones(3))
    tensors = {name: zh.Tensor(array, requires_grad=name != frozen) for name, array in arrays.items()}
    everything = {name: zh.Tensor(array, requires_grad=True) for name, array in arrays.items()}
    zh.conv2d(**tensors).sum().backward()
    zh.conv2d(**everything).sum().backward()
    for name, tensor in tensors.items():
        if name == frozen:
            assert tensor.grad is None
        else:
            np.testing.assert_array_equal(tensor.grad, everything[name].grad)


@pytest.mark.parametrize("dtypes", [("float32", "float64"), ("float64", "float32")])
def test_a_convolution_of_mixed_dtypes_is_float64_and_gradients_keep_their_own(dtypes, rng):
    x = zh.Tensor(rng.standard_normal((1, 1, 4, 4)).astype(dtypes[0]), requires_grad=True)
    weight = zh.Tensor(rng.standard_normal((1, 1, 2, 2)).astype(dtypes[1]), requires_grad=True)
    y = zh.conv2d(x, weight)
    y.sum().backward()
    assert y.dtype == np.float64
    assert (x.grad.dtype, weight.grad.dtype) == dtypes


@pytest.mark.parametrize(
    "x, weight, options",
    [
        ((5, 6), (3, 2), {}),
        ((5, 6), (3, 2), dict(stride=2, padding=1)),
        ((2, 5, 6), (3, 2, 2, 3), dict(stride=2)),
        ((2, 3, 6, 5), (4, 3, 3, 3), dict(padding=2)),
        ((2, 3, 6, 5), (4, 3, 3, 2), dict(stride=(2, 1), padding=((1, 0), (0, 2)))),
        ((0, 1, 3, 3), (1, 1, 2, 2), {}),
    ],
)
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_slides_loops_give_what_the_matrix_product_gives(x, weight, options, with_bias, dtype, rng):
    x, weight = rng.standard_normal(x).astype(dtype), rng.standard_normal(weight).astype(dtype)
    bias = rng.standard_normal(weight.shape[0] if weight.ndim == 4 else 1).astype(dtype) if with_bias else None
    loops, fast = zh.conv2d_loops(x, weight, bias, **options), zh.conv2d(x, weight, bias, **options)
    assert loops.dtype == fast.dtype == dtype
    np.testing.assert_allclose(loops, fast, rtol=1e-4 if dtype == "float32" else 1e-12, atol=1e-5)


# ---- transposed -----------------------------------------------------------------------------------------

TRANSPOSED = {
    "one of everything": ((1, 1, 3, 4), (1, 1, 2, 3), {}),
    "several of everything": ((2, 3, 4, 3), (3, 2, 3, 2), {}),
    "stride": ((2, 2, 3, 4), (2, 3, 3, 3), dict(stride=2)),
    "stride larger than the kernel": ((1, 2, 3, 3), (2, 2, 2, 2), dict(stride=3)),
    "padding": ((2, 2, 4, 4), (2, 3, 3, 3), dict(padding=1)),
    "output padding": ((2, 2, 3, 3), (2, 2, 3, 3), dict(stride=2, padding=1, output_padding=1)),
    "different in both directions": (
        (1, 2, 3, 4),
        (2, 2, 2, 3),
        dict(stride=(3, 2), padding=(0, 1), output_padding=(2, 0)),
    ),
    "dilation": ((1, 2, 4, 3), (2, 2, 3, 2), dict(dilation=2)),
    "output padding only allowed by dilation": (
        (1, 1, 4, 4),
        (1, 1, 2, 2),
        dict(stride=1, dilation=3, output_padding=2),
    ),
    "groups": ((2, 4, 3, 3), (4, 3, 2, 2), dict(groups=2, stride=2)),
    "everything at once": (
        (2, 4, 4, 3),
        (4, 1, 3, 2),
        dict(stride=(2, 3), padding=(2, 1), output_padding=(1, 2), dilation=(2, 1), groups=4),
    ),
    "1 × 1 kernel": ((2, 3, 3, 2), (3, 2, 1, 1), {}),
    "batch of one": ((1, 2, 3, 3), (2, 1, 3, 3), dict(stride=2)),
}


@pytest.mark.parametrize("x, weight, options", TRANSPOSED.values(), ids=TRANSPOSED.keys())
def test_conv_transpose2d_equals_pytorch(x, weight, options):
    bias = (weight[1] * options.get("groups", 1),)
    compare(zh.conv_transpose2d, F.conv_transpose2d, x, weight, bias, **options)


def test_conv_transpose2d_without_bias_equals_pytorch():
    compare(zh.conv_transpose2d, F.conv_transpose2d, (2, 3, 4, 3), (3, 2, 3, 2), None, stride=2)


def test_conv_transpose2d_takes_one_image_with_and_without_channels():
    compare(zh.conv_transpose2d, F.conv_transpose2d, (2, 3, 4), (2, 3, 3, 2), (3,), stride=2)

    def theirs(x, weight):
        return F.conv_transpose2d(x[None, None], weight[None, None], stride=2)[0, 0]

    compare(lambda x, weight: zh.conv_transpose2d(x, weight, stride=2), theirs, (3, 4), (3, 2))


def test_conv_transpose2d_cuts_each_side_by_its_own_padding():
    def theirs(x, weight):
        return F.conv_transpose2d(x, weight, stride=2)[:, :, 1:, 2:-1]

    def ours(x, weight):
        return zh.conv_transpose2d(x, weight, stride=2, padding=((1, 0), (2, 1)))

    compare(ours, theirs, (2, 2, 3, 4), (2, 3, 3, 3))


def test_conv_transpose2d_of_an_empty_batch_is_empty():
    assert zh.conv_transpose2d(np.zeros((0, 2, 3, 3)), np.ones((2, 4, 3, 3)), stride=2).shape == (0, 4, 7, 7)


def test_a_stride_longer_than_the_kernel_leaves_holes_of_zero_between_the_stamps():
    np.testing.assert_array_equal(
        zh.conv_transpose2d([[1, 2]], [[1, 10]], stride=3), [[1, 10, 0, 2, 20]]
    )  # no value of x reaches the hole


@pytest.mark.parametrize(
    "options, rows_over",  # what a stride leaves over at the bottom and right, output_padding puts back
    [
        ({}, (0, 0)),
        (dict(groups=2), (0, 0)),
        (dict(stride=2, padding=1), (0, 0)),
        (dict(stride=(3, 4), padding=((1, 2), (0, 1))), (0, 3)),
        (dict(stride=(2, 3), dilation=2, padding=1), (0, 1)),
    ],
)
def test_conv_transpose2d_is_the_adjoint_of_conv2d(options, rows_over, rng):
    x, weight = rng.standard_normal((2, 4, 9, 8)), rng.standard_normal((6, 4 // options.get("groups", 1), 3, 2))
    y = zh.conv2d(x, weight, **options)
    v = rng.standard_normal(y.shape)
    back = zh.conv_transpose2d(v, weight, output_padding=rows_over, **options)
    assert back.shape == x.shape
    np.testing.assert_allclose((y * v).sum(), (x * back).sum(), rtol=1e-10)


def test_fold_is_the_adjoint_of_unfold(rng):
    x = rng.standard_normal((2, 3, 7, 6))
    where = dict(kernel=(3, 2), stride=(2, 1), padding=((1, 0), (2, 1)), dilation=(1, 2))
    columns = unfold(x, **where)
    v = rng.standard_normal(columns.shape)
    size = ((7 + 1 - 3) // 2 + 1, 6 + 3 - 3 + 1)
    np.testing.assert_allclose((columns * v).sum(), (x * fold(v, x.shape, size=size, **where)).sum(), rtol=1e-12)


def test_unfold_lays_windows_out_as_pytorch_does(rng):
    x = rng.standard_normal((2, 3, 5, 6))
    theirs = F.unfold(torch.tensor(x), (2, 3), stride=(1, 2), padding=(1, 0), dilation=(2, 1)).numpy()
    ours = unfold(x, (2, 3), (1, 2), ((1, 1), (0, 0)), (2, 1))  # (1, C·kh·kw, N·L); theirs (N, C·kh·kw, L)
    np.testing.assert_array_equal(ours[0].reshape(18, 2, -1).swapaxes(0, 1), theirs)
