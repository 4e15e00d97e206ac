"""The node cases of ONNX's own backend test, run on the library's operations; no arithmetic of ours is specified here.

The package `onnx` makes the cases: small models of one operator, with inputs and the outputs ONNX expects. An adapter
per operator puts them into our words, and does what a caller of ours would do where an operation lacks an argument:
class weights multiply the losses of `reduction="none"`, rows with an ignored label are left out, and a mean over a
window with gaps is a convolution.
"""

import itertools
import math
import warnings

import numpy as np
import onnx
import pytest
from onnx.backend.test.case.node import collect_testcases

import zerohero as zh

# ---- from ONNX's words to ours ----------------------------------------------------------------------------------


def one_axis_too(adapter):
    """Let an adapter for images (N, C, H, W) take lines (N, C, W): a line is an image of height 1."""
    heights = {"kernel_shape": 1, "strides": 1, "dilations": 1, "output_padding": 0, "output_shape": 1}

    def run(attributes, *inputs):
        if inputs[0].ndim != 3:
            yield from adapter(attributes, *inputs)
            return
        higher = {name: [height, *attributes[name]] for name, height in heights.items() if name in attributes}
        if "pads" in attributes:
            start, end = attributes["pads"]
            higher["pads"] = [0, start, 0, end]
        images = [array[:, :, None] if array.ndim == 3 else array for array in inputs]
        for output in adapter(attributes | higher, *images):
            yield output.squeeze(2)

    return run


def sliding(attributes, size, kernel):
    """Stride, padding and dilation of a window of `kernel` that slides over an image of `size`."""
    stride, dilation = (tuple(attributes.get(name, (1, 1))) for name in ("strides", "dilations"))
    padding = edges(attributes.get("pads", (0, 0, 0, 0)))
    if attributes["auto_pad"] == b"SAME_UPPER":
        padding = "same"
    elif attributes["auto_pad"] == b"SAME_LOWER":  # as many zeros, the odd one at the top and left
        extent = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
        total = [max((-(-n // s) - 1) * s + e - n, 0) for n, s, e in zip(size, stride, extent, strict=True)]
        padding = tuple((t - t // 2, t // 2) for t in total)
    return dict(stride=stride, padding=padding, dilation=dilation)


def edges(pads):
    """ONNX's (top, left, bottom, right) as our ((top, bottom), (left, right))."""
    top, left, bottom, right = pads
    return (top, bottom), (left, right)


# ---- an adapter per operator: it yields the operator's outputs in order, and none that the case doesn't ask for ---


@one_axis_too
def conv(attributes, x, weight, bias=None):
    yield zh.conv2d(x, weight, bias, groups=attributes["group"], **sliding(attributes, x.shape[2:], weight.shape[2:]))


@one_axis_too
def conv_transpose(attributes, x, weight, bias=None):
    stride, dilation = (attributes.get(name, (1, 1)) for name in ("strides", "dilations"))
    extra = list(attributes.get("output_padding", (0, 0)))
    padding = edges(attributes.get("pads", (0, 0, 0, 0)))
    wanted = attributes.get("output_shape")
    if attributes["auto_pad"] in (b"SAME_UPPER", b"SAME_LOWER"):
        wanted = [n * s for n, s in zip(x.shape[2:], stride, strict=True)]
    if wanted:
        total = [
            s * (n - 1) + e + d * (k - 1) + 1 - size
            for s, n, e, d, k, size in zip(stride, x.shape[2:], extra, dilation, weight.shape[2:], wanted, strict=True)
        ]
        extra = [e + max(-t, 0) for e, t in zip(extra, total, strict=True)]  # too small: add rows, cut none
        small, large = [max(t, 0) // 2 for t in total], [-(-max(t, 0) // 2) for t in total]
        ends = (small, large) if attributes["auto_pad"] == b"SAME_UPPER" else (large, small)
        padding = tuple(zip(*ends, strict=True))
    yield zh.conv_transpose2d(
        x, weight, bias, stride=tuple(stride), padding=padding, output_padding=tuple(extra),
        dilation=tuple(dilation), groups=attributes["group"],
    )  # fmt: skip


@one_axis_too
def max_pool(attributes, x):
    kernel = tuple(attributes["kernel_shape"])
    options = sliding(attributes, x.shape[2:], kernel) | dict(ceil_mode=bool(attributes["ceil_mode"]))
    y = zh.max_pool2d(x, kernel, **options)
    yield y.astype(x.dtype)  # we pool integers as float32, which holds every 8-bit one exactly
    # Indices: an output comes from where its gradient goes. Each plane (H, W) is pooled once for each of its outputs.
    outputs, planes = math.prod(y.shape[2:]), x.reshape(-1, 1, *x.shape[2:])
    copies = zh.Tensor(np.repeat(planes, outputs, axis=0), requires_grad=True)  # (planes · outputs, 1, H, W)
    pooled = zh.max_pool2d(copies, kernel, **options)
    pooled.backward(np.tile(np.eye(outputs), (len(planes), 1)).reshape(pooled.shape))
    source = copies.grad.swapaxes(2, 3) if attributes["storage_order"] else copies.grad  # 1: counted down the columns
    size = planes[0].size
    within = source.reshape(len(planes), outputs, size) @ np.arange(size)  # all of the gradient goes to one place
    yield (within.astype(np.int64) + size * np.arange(len(planes))[:, None]).reshape(y.shape)


@one_axis_too
def average_pool(attributes, x):
    kernel = tuple(attributes["kernel_shape"])
    options = sliding(attributes, x.shape[2:], kernel)
    dilation = options.pop("dilation")
    if dilation != (1, 1):  # our windows of means have no gaps, but a convolution of equal weights has
        equal = np.full((x.shape[1], 1, *kernel), 1 / math.prod(kernel), x.dtype)
        yield zh.conv2d(x, equal, groups=x.shape[1], dilation=dilation, **options)
    else:
        ceil_mode, counted = bool(attributes["ceil_mode"]), bool(attributes["count_include_pad"])
        yield zh.avg_pool2d(x, kernel, ceil_mode=ceil_mode, count_include_pad=counted, **options)


@one_axis_too
def global_average_pool(attributes, x):
    yield zh.global_avg_pool2d(x)


@one_axis_too
def global_max_pool(attributes, x):
    yield zh.max_pool2d(x, x.shape[2:])


def batch_normalization(attributes, x, scale, bias, mean, variance):
    training, kept = bool(attributes["training_mode"]), attributes["momentum"]
    after, spread = mean.copy(), variance.copy()
    yield zh.batch_norm(
        x, scale, bias, after, spread, training=training, momentum=1 - kept, eps=attributes["epsilon"]
    )  # fmt: skip
    count = x.size // x.shape[1]
    yield after
    yield kept * variance + (spread - kept * variance) * (count - 1) / count  # ONNX keeps the population's variance


def lrn(attributes, x):
    alpha, beta, k = (attributes[name] for name in ("alpha", "beta", "bias"))
    yield zh.local_response_norm(x, attributes["size"], alpha=alpha, beta=beta, k=k)


def gemm(attributes, a, b, c=None):
    a = attributes["alpha"] * (a.T if attributes["transA"] else a)
    weight = b if attributes["transB"] else b.T
    if c is None or (c.ndim == 2 and len(c) > 1):  # no bias, or one of its own for every row
        yield zh.linear(a, weight) + (0 if c is None else attributes["beta"] * c)
    else:
        yield zh.linear(a, weight, attributes["beta"] * np.broadcast_to(c.reshape(-1), len(weight)))


def softmax_cross_entropy(attributes, scores, labels, weights=None):
    rows, flat = np.moveaxis(scores, 1, -1).reshape(-1, scores.shape[1]), labels.reshape(-1)  # a row per label
    counts = flat != attributes.get("ignore_index", np.nan)
    reduction = attributes["reduction"].decode()
    if weights is None and reduction != "none":
        yield zh.cross_entropy(rows[counts], flat[counts], reduction=reduction)
    else:
        weight = np.ones(counts.sum(), scores.dtype) if weights is None else weights[flat[counts]]
        losses = np.zeros(flat.shape, scores.dtype)
        losses[counts] = weight * zh.cross_entropy(rows[counts], flat[counts], reduction="none")
        total = losses.sum()
        yield {"none": losses.reshape(labels.shape), "sum": total, "mean": total / weight.sum()}[reduction]
    yield zh.log_softmax(scores, axis=1)


def flatten(attributes, x):
    axis = attributes["axis"] % x.ndim
    yield zh.flatten(x.reshape(math.prod(x.shape[:axis]), *x.shape[axis:]))


def dropout(attributes, x, ratio=None, training=None):
    ratio = attributes.get("ratio", 0.5) if ratio is None else float(ratio)
    seed = attributes.get("seed", 0)
    for values in (x, np.ones_like(x)):  # the second output is the mask: where a 1 survives
        y = zh.dropout(values, ratio, training=bool(training), rng=ReferenceDraws(seed))
        yield y if values is x else y != 0


class ReferenceDraws:
    """The random numbers ONNX drew for its expected outputs, in place of a generator."""

    def __init__(self, seed):
        self.state = np.random.RandomState(seed)

    def random(self, shape, dtype):
        return self.state.uniform(0, 1, shape)


def one_output(rule):
    """An adapter for an operator with a single output, from the rule that computes it."""

    def run(attributes, *inputs):
        yield rule(attributes, *inputs)

    return run


ADAPTERS = {
    "AveragePool": average_pool,
    "BatchNormalization": batch_normalization,
    "Concat": one_output(lambda attributes, *arrays: zh.concat(list(arrays), attributes["axis"])),
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Dropout": dropout,
    "Flatten": flatten,
    "Gemm": gemm,
    "GlobalAveragePool": global_average_pool,
    "GlobalMaxPool": global_max_pool,
    "LRN": lrn,
    "LeakyRelu": one_output(lambda attributes, x: zh.leaky_relu(x, attributes["alpha"])),
    "LogSoftmax": one_output(lambda attributes, x: zh.log_softmax(x, attributes["axis"])),
    "MaxPool": max_pool,
    "Relu": one_output(lambda attributes, x: zh.relu(x)),
    "Sigmoid": one_output(lambda attributes, x: zh.sigmoid(x)),
    "Softmax": one_output(lambda attributes, x: zh.softmax(x, attributes["axis"])),
    "SoftmaxCrossEntropyLoss": softmax_cross_entropy,
    "Tanh": one_output(lambda attributes, x: zh.tanh(x)),
}

THREE_AXES = "three spatial axes, where our images have two"
NOT_SUPPORTED = {
    "test_averagepool_3d_default": THREE_AXES,
    "test_averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_False": THREE_AXES,
    "test_averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_True": THREE_AXES,
    "test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_False": THREE_AXES,
    "test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True": THREE_AXES,
    "test_averagepool_3d_dilations_small": THREE_AXES,
    "test_convtranspose_3d": THREE_AXES,
    "test_maxpool_3d_default": THREE_AXES,
    "test_maxpool_3d_dilations": THREE_AXES,
    "test_maxpool_3d_dilations_use_ref_impl": THREE_AXES,
    "test_maxpool_3d_dilations_use_ref_impl_large": THREE_AXES,
}


# Inputs and outputs that ONNX typed in with four decimals: right to one unit of the last. All others are computed.
ROUNDED = {"test_averagepool_2d_ceil_last_window_starts_on_pad"}


# ---- the cases --------------------------------------------------------------------------------------------------


def load_cases():
    """Every case of an operator in ADAPTERS by name, and the names of those left out as expanded functions.

    ONNX repeats many cases as "..._expanded": the same numbers for a model in which the operator is spelled out in
    others (Softmax as Exp, ReduceSum, Div). These test whether a runtime has the others; there is nothing new for ours.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ONNX's own arithmetic on purpose-made overflows
        found = collect_testcases(None)
    concerned = [c for c in found if not ADAPTERS.keys().isdisjoint(node.op_type for node in c.model.graph.node)]
    expanded = {c.name for c in concerned if "_expanded" in c.name}
    return {c.name: c for c in concerned if c.name not in expanded}, expanded


CASES, EXPANDED = load_cases()
RUN = sorted(CASES.keys() - NOT_SUPPORTED.keys())


def node_of(case):
    (node,) = case.model.graph.node
    return node


def attributes_of(case):
    """The node's attributes over the defaults of its operator in the opset that the case is written for."""
    node = node_of(case)
    schema = onnx.defs.get_schema(node.op_type, case.model.opset_import[0].version)
    defaults = [a.default_value for a in schema.attributes.values() if a.default_value.name]
    return {a.name: onnx.helper.get_attribute_value(a) for a in [*defaults, *node.attribute]}


def outputs_of(case, inputs):
    """What our operations make of the inputs: as many outputs as the case asks for."""
    node = node_of(case)
    given = iter(inputs)
    arguments = [next(given) if name else None for name in node.input]  # "" stands for one that is left out
    outputs = ADAPTERS[node.op_type](attributes_of(case), *arguments)
    return list(itertools.islice(outputs, len(node.output)))


@pytest.mark.parametrize("backend", zh.available_backends())
@pytest.mark.parametrize("name", RUN)
def test_onnx_case_gives_what_onnx_expects(name, backend):
    case = CASES[name]
    tolerance = dict(rtol=0, atol=1e-4) if name in ROUNDED else dict(rtol=1e-5, atol=1e-6)  # the cases allow rtol=1e-3
    for inputs, expected in case.data_sets:
        with zh.use_backend(backend):
            outputs = outputs_of(case, inputs)
        assert len(outputs) == len(expected)
        for ours, theirs in zip(outputs, expected, strict=True):
            assert (np.shape(ours), np.asarray(ours).dtype) == (np.shape(theirs), np.asarray(theirs).dtype)
            np.testing.assert_allclose(ours, theirs, **tolerance)


@pytest.mark.parametrize("name", sorted(NOT_SUPPORTED))
def test_a_listed_case_is_one_that_our_operations_refuse(name):
    case = CASES[name]
    with pytest.raises(ValueError, match=r"x needs shape \(H, W\), \(C, H, W\) or \(N, C, H, W\)"):
        outputs_of(case, case.data_sets[0][0])


@pytest.mark.parametrize("operator", sorted(ADAPTERS))
def test_operator_has_a_case_that_is_run(operator):
    assert any(node_of(CASES[name]).op_type == operator for name in RUN)


def test_only_functions_of_several_operators_are_left_out_as_expanded():
    assert EXPANDED
    assert all(len(case.model.graph.node) == 1 for case in CASES.values())


@pytest.mark.parametrize("count", [pytest.param(len(RUN), id=f"{len(RUN)} of {len(CASES)} cases run")])
def test_every_case_is_run_or_listed_with_its_reason(count, capsys, record_property):
    assert NOT_SUPPORTED.keys() <= CASES.keys(), "a listed case that ONNX does not have (any more)"
    assert count + len(NOT_SUPPORTED) == len(CASES)
    reasons = "; ".join(
        f"{sum(reason == each for each in NOT_SUPPORTED.values())} × {reason}"
        for reason in sorted(set(NOT_SUPPORTED.values()))
    )
    line = f"ONNX {onnx.__version__}: {count} of {len(CASES)} cases run, {len(NOT_SUPPORTED)} not supported: {reasons}"
    record_property("onnx", line)
    with capsys.disabled():
        print(f"\n{line}")
