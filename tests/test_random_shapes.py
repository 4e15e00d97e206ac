"""Shapes and options that nobody thought of, drawn by hypothesis: forward and gradient against PyTorch, in float64."""

import operator

import numpy as np
import pytest
import torch
from against_torch import agree
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import zerohero as zh

TOLERANCE = dict(rtol=1e-8, atol=1e-10)
CASES = {}  # name -> strategy of (ours, theirs, arrays)


def case(strategy):
    """Register a composite strategy under its name."""
    CASES[strategy.__name__] = strategy
    return strategy


def whole(low, high):
    return st.integers(low, high)


def pairs(low, high):
    """An int, or two."""
    return whole(low, high) | st.tuples(whole(low, high), whole(low, high))


def both(value):
    return value if isinstance(value, tuple) else (value, value)


def normal(draw, *shape):
    return np.random.default_rng(draw(whole(0, 2**32))).standard_normal(shape)


def image_sizes(draw, window, padding, slack=6):
    """Height and width into which a window fits, given the padding on both sides."""
    return [draw(whole(max(1, w - 2 * p), max(1, w - 2 * p) + slack)) for w, p in zip(window, padding)]


@case
@st.composite
def conv2d(draw):
    groups, kernel = draw(whole(1, 3)), (draw(whole(1, 4)), draw(whole(1, 4)))
    options = dict(stride=draw(pairs(1, 4)), padding=draw(pairs(0, 3)), dilation=draw(pairs(1, 3)), groups=groups)
    extent = [d * (k - 1) + 1 for d, k in zip(both(options["dilation"]), kernel)]
    size = image_sizes(draw, extent, both(options["padding"]))
    depth, filters = draw(whole(1, 3)), groups * draw(whole(1, 3))
    batch = draw(st.sampled_from([(1,), (2,), (3,), ()]))
    arrays = [normal(draw, *batch, groups * depth, *size), normal(draw, filters, depth, *kernel)]
    arrays.append(normal(draw, filters) if draw(st.booleans()) else None)
    return lambda *a: zh.conv2d(*a, **options), lambda *a: F.conv2d(*a, **options), arrays


@case
@st.composite
def conv2d_with_four_paddings(draw):
    kernel, stride = (draw(whole(1, 4)), draw(whole(1, 4))), draw(pairs(1, 3))
    top, bottom, left, right = (draw(whole(0, 3)) for _ in range(4))
    height = draw(whole(max(1, kernel[0] - top - bottom), 8))
    width = draw(whole(max(1, kernel[1] - left - right), 8))
    arrays = [normal(draw, draw(whole(1, 2)), 2, height, width), normal(draw, 3, 2, *kernel)]

    def ours(x, weight):
        return zh.conv2d(x, weight, stride=stride, padding=((top, bottom), (left, right)))

    def theirs(x, weight):
        return F.conv2d(F.pad(x, (left, right, top, bottom)), weight, stride=stride)

    return ours, theirs, arrays


@case
@st.composite
def conv_transpose2d(draw):
    groups, kernel = draw(whole(1, 3)), (draw(whole(1, 4)), draw(whole(1, 4)))
    stride, dilation = (draw(whole(1, 4)), draw(whole(1, 4))), (draw(whole(1, 3)), draw(whole(1, 3)))
    size = (draw(whole(1, 5)), draw(whole(1, 5)))
    extra = [draw(whole(0, max(s, d) - 1)) for s, d in zip(stride, dilation)]
    grown = [(n - 1) * s + d * (k - 1) + 1 + e for n, s, d, k, e in zip(size, stride, dilation, kernel, extra)]
    padding = tuple(draw(whole(0, min(3, (n - 1) // 2))) for n in grown)
    options = dict(stride=stride, padding=padding, output_padding=tuple(extra), dilation=dilation, groups=groups)
    depth, filters = draw(whole(1, 3)), draw(whole(1, 3))
    arrays = [normal(draw, draw(whole(1, 3)), groups * depth, *size), normal(draw, groups * depth, filters, *kernel)]
    arrays.append(normal(draw, groups * filters) if draw(st.booleans()) else None)
    return lambda *a: zh.conv_transpose2d(*a, **options), lambda *a: F.conv_transpose2d(*a, **options), arrays


def pool(draw, dilation):
    """What both pools share: an image and options that PyTorch takes (padding up to half the kernel)."""
    kernel = (draw(whole(1, 4)), draw(whole(1, 4)))
    extent = [d * (k - 1) + 1 for d, k in zip(dilation, kernel)]
    options = dict(
        kernel_size=kernel,
        stride=draw(st.none() | pairs(1, 5)),
        padding=tuple(draw(whole(0, k // 2)) for k in kernel),
        ceil_mode=draw(st.booleans()),
    )
    shape = draw(st.sampled_from([(1, 1), (2, 3), (3,)]))
    # At least `dilation` rows, or a window may see nothing but padding: PyTorch then writes outside its arrays.
    size = [max(n, d) for n, d in zip(image_sizes(draw, extent, options["padding"]), dilation)]
    return options, [normal(draw, *shape, *size)]


@case
@st.composite
def max_pool2d(draw):
    dilation = (draw(whole(1, 3)), draw(whole(1, 3)))
    options, arrays = pool(draw, dilation)
    options["dilation"] = dilation
    if draw(st.booleans()):
        arrays = [np.round(arrays[0])]  # ties
    return lambda x: zh.max_pool2d(x, **options), lambda x: F.max_pool2d(x, **options), arrays


@case
@st.composite
def avg_pool2d(draw):
    options, arrays = pool(draw, (1, 1))
    options["count_include_pad"] = draw(st.booleans())
    return lambda x: zh.avg_pool2d(x, **options), lambda x: F.avg_pool2d(x, **options), arrays


@case
@st.composite
def adaptive_avg_pool2d(draw):
    size = (draw(whole(1, 9)), draw(whole(1, 9)))
    arrays = [normal(draw, draw(whole(1, 2)), draw(whole(1, 3)), draw(whole(1, 9)), draw(whole(1, 9)))]
    return lambda x: zh.adaptive_avg_pool2d(x, size), lambda x: F.adaptive_avg_pool2d(x, size), arrays


@case
@st.composite
def batch_norm(draw):
    channels, training = draw(whole(1, 4)), draw(st.booleans())
    space = draw(st.sampled_from([(), (3,), (2, 3), (1, 1)]))
    x = normal(draw, draw(whole(3 if training else 1, 5)), channels, *space)
    affine = [normal(draw, channels) if draw(st.booleans()) else None for _ in range(2)]
    running = normal(draw, channels), normal(draw, channels) ** 2 + 0.1
    options = dict(training=training, momentum=draw(st.sampled_from([0.0, 0.1, 1.0])), eps=1e-3)

    def ours(x, weight, bias):
        return zh.batch_norm(x, weight, bias, *(r.copy() for r in running), **options)

    def theirs(x, weight, bias):
        return F.batch_norm(x, *(torch.tensor(r) for r in running), weight, bias, **options)

    return ours, theirs, [x, *affine]


@case
@st.composite
def local_response_norm(draw):
    space = draw(st.sampled_from([(2,), (2, 3), (1, 1)]))
    arrays = [normal(draw, draw(whole(1, 3)), draw(whole(1, 7)), *space)]
    options = dict(
        size=draw(whole(1, 8)), alpha=draw(st.floats(0, 5)), beta=draw(st.floats(0, 2)), k=1 + draw(whole(0, 2))
    )
    return lambda x: zh.local_response_norm(x, **options), lambda x: F.local_response_norm(x, **options), arrays


@case
@st.composite
def softmax(draw):
    shape = draw(st.lists(whole(1, 4), min_size=1, max_size=4))
    axis, name = draw(whole(-len(shape), len(shape) - 1)), draw(st.sampled_from(["softmax", "log_softmax"]))
    arrays = [normal(draw, *shape) * draw(st.sampled_from([1, 100]))]
    return lambda x: getattr(zh, name)(x, axis), lambda x: getattr(torch, name)(x, axis), arrays


@case
@st.composite
def reductions(draw):
    shape = draw(st.lists(whole(1, 4), min_size=1, max_size=4))
    axes = tuple(draw(st.lists(whole(0, len(shape) - 1), min_size=1, unique=True)))
    axes = tuple(axis - len(shape) if draw(st.booleans()) else axis for axis in axes)
    keepdims, name = draw(st.booleans()), draw(st.sampled_from(["sum", "mean", "max"]))
    x = normal(draw, *shape)
    x = np.round(x) if draw(st.booleans()) else x  # ties

    def ours(x):
        result = getattr(x if isinstance(x, zh.Tensor) else zh.Tensor(x), name)(axes, keepdims)
        return result if isinstance(x, zh.Tensor) else result.data

    def theirs(x):
        return getattr(x, "amax" if name == "max" else name)(axes, keepdims)

    return ours, theirs, [x]


@case
@st.composite
def broadcasting_arithmetic(draw):
    shape = draw(st.lists(whole(1, 4), max_size=4))
    narrowed = [[1 if draw(st.booleans()) else n for n in shape][draw(whole(0, len(shape))) :] for _ in range(2)]
    op = draw(st.sampled_from([operator.add, operator.sub, operator.mul, operator.truediv]))
    a, b = (normal(draw, *each) for each in narrowed)
    return op, op, [a, np.sign(b) * (np.abs(b) + 0.5)]  # nothing divides by almost 0


@case
@st.composite
def matmul(draw):
    m, k, n = (draw(whole(1, 4)) for _ in range(3))
    lead = draw(st.lists(whole(1, 3), max_size=2))
    leads = [[1 if draw(st.booleans()) else i for i in lead][draw(whole(0, len(lead))) :] for _ in range(2)]
    return operator.matmul, operator.matmul, [normal(draw, *leads[0], m, k), normal(draw, *leads[1], k, n)]


@case
@st.composite
def linear(draw):
    inputs, outputs = draw(whole(1, 5)), draw(whole(1, 5))
    lead = draw(st.lists(whole(1, 4), max_size=3))
    bias = normal(draw, outputs) if draw(st.booleans()) else None
    return zh.linear, F.linear, [normal(draw, *lead, inputs), normal(draw, outputs, inputs), bias]


@case
@st.composite
def concat(draw):
    shape = draw(st.lists(whole(1, 4), min_size=1, max_size=4))
    axis = draw(whole(-len(shape), len(shape) - 1))
    arrays = []
    for _ in range(draw(whole(1, 4))):
        shape[axis] = draw(whole(0, 4))
        arrays.append(normal(draw, *shape))
    return lambda *a: zh.concat(list(a), axis), lambda *a: torch.cat(a, axis), arrays


@case
@st.composite
def pad(draw):
    shape = draw(st.lists(whole(1, 4), min_size=1, max_size=4))
    width = [(draw(whole(0, 3)), draw(whole(0, 3))) for _ in range(draw(whole(1, len(shape))))]
    value = draw(st.sampled_from([0.0, 2.5]))
    flat = [n for each in reversed(width) for n in each]
    return lambda x: zh.pad(x, width, value), lambda x: F.pad(x, flat, value=value), [normal(draw, *shape)]


@case
@st.composite
def cross_entropy(draw):
    count, classes = draw(whole(1, 5)), draw(whole(1, 6))
    labels = np.array([draw(whole(0, classes - 1)) for _ in range(count)])
    options = dict(
        reduction=draw(st.sampled_from(["mean", "sum", "none"])), label_smoothing=draw(st.sampled_from([0.0, 0.1, 1.0]))
    )

    def theirs(logits):
        return F.cross_entropy(logits, torch.tensor(labels), **options)

    return lambda logits: zh.cross_entropy(logits, labels, **options), theirs, [10 * normal(draw, count, classes)]


def check(name, data):
    ours, theirs, arrays = data.draw(CASES[name]())
    for backend in zh.available_backends():
        with zh.use_backend(backend):
            agree(ours, theirs, arrays, tolerance=TOLERANCE)


every_case = pytest.mark.parametrize("name", CASES)
too_slow = [HealthCheck.too_slow, HealthCheck.data_too_large]


@every_case
@settings(max_examples=150, suppress_health_check=too_slow)
@given(data=st.data())
def test_whatever_the_shape_it_is_what_pytorch_gives(name, data):
    check(name, data)


@pytest.mark.slow
@every_case
@settings(max_examples=3000, suppress_health_check=too_slow, derandomize=False)
@given(data=st.data())
def test_whatever_the_shape_it_is_what_pytorch_gives_searched_long(name, data):
    check(name, data)
