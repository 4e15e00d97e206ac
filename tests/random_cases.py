"""Random calls of every operation, drawn by hypothesis: ours, PyTorch's, and the arrays that both are given."""

import importlib
import operator
import pkgutil

import numpy as np
import torch
from hypothesis import strategies as st
from torch.nn import functional as F

import zerohero as zh
from tests.test_capsule import torch_capsules, torch_squash
from tests.test_em_routing import torch_em, torch_spread
from zerohero import ops
from zerohero.operation import Operation
from zerohero.ops import arithmetic
from zerohero.ops.em_windows import em_routing_windows, windows

CASES = {}  # name -> strategy of (ours, theirs, arrays)
OPERATIONS = {}  # name -> the operations that the case calls

WITHOUT_GRADIENT = {"adam_step"}  # held to PyTorch's optimizers in test_optim.py


def every_operation():
    """The names of all operations in zerohero.ops."""
    modules = [importlib.import_module(f"zerohero.ops.{each.name}") for each in pkgutil.iter_modules(ops.__path__)]
    return {value.name for module in modules for value in vars(module).values() if isinstance(value, Operation)}


def case(*operations):
    """Register a composite strategy under its name, with the operations that it is for."""

    def register(strategy):
        CASES[strategy.__name__], OPERATIONS[strategy.__name__] = strategy, operations
        return strategy

    return register


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


@case("conv2d")
@st.composite
def conv2d(draw):
    groups, kernel = draw(whole(1, 3)), (draw(whole(1, 4)), draw(whole(1, 4)))
    options = dict(stride=draw(pairs(1, 4)), padding=draw(pairs(0, 3)), dilation=draw(pairs(1, 3)), groups=groups)
    extent = [d * (k - 1) + 1 for d, k in zip(both(options["dilation"]), kernel)]
    size = image_sizes(draw, extent, both(options["padding"]))
    depth, filters = draw(whole(1, 3)), groups * draw(whole(1, 3))
    batch = draw(st.sampled_from([(1,), (2,), (3,), (), (0,)]))
    arrays = [normal(draw, *batch, groups * depth, *size), normal(draw, filters, depth, *kernel)]
    arrays.append(normal(draw, filters) if draw(st.booleans()) else None)
    return lambda *a: zh.conv2d(*a, **options), lambda *a: F.conv2d(*a, **options), arrays


@case("conv2d")
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


@case("conv_transpose2d")
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
    arrays = [normal(draw, draw(whole(0, 3)), groups * depth, *size), normal(draw, groups * depth, filters, *kernel)]
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
    shape = draw(st.sampled_from([(1, 1), (2, 3), (3,), (0, 2)]))
    # At least `dilation` rows, or a window may see nothing but padding: PyTorch then writes outside its arrays.
    size = [max(n, d) for n, d in zip(image_sizes(draw, extent, options["padding"]), dilation)]
    return options, [normal(draw, *shape, *size)]


@case("max_pool2d")
@st.composite
def max_pool2d(draw):
    dilation = (draw(whole(1, 3)), draw(whole(1, 3)))
    options, arrays = pool(draw, dilation)
    options["dilation"] = dilation
    if draw(st.booleans()):
        arrays = [np.round(arrays[0])]  # ties
    return lambda x: zh.max_pool2d(x, **options), lambda x: F.max_pool2d(x, **options), arrays


@case("avg_pool2d")
@st.composite
def avg_pool2d(draw):
    options, arrays = pool(draw, (1, 1))
    options["count_include_pad"] = draw(st.booleans())
    return lambda x: zh.avg_pool2d(x, **options), lambda x: F.avg_pool2d(x, **options), arrays


@case("adaptive_avg_pool2d")
@st.composite
def adaptive_avg_pool2d(draw):
    size = (draw(whole(1, 9)), draw(whole(1, 9)))
    arrays = [normal(draw, draw(whole(1, 2)), draw(whole(1, 3)), draw(whole(1, 9)), draw(whole(1, 9)))]
    return lambda x: zh.adaptive_avg_pool2d(x, size), lambda x: F.adaptive_avg_pool2d(x, size), arrays


@case("batch_norm")
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


@case("local_response_norm")
@st.composite
def local_response_norm(draw):
    space = draw(st.sampled_from([(2,), (2, 3), (1, 1)]))
    arrays = [normal(draw, draw(whole(1, 3)), draw(whole(1, 7)), *space)]
    options = dict(
        size=draw(whole(1, 8)), alpha=draw(st.floats(0, 5)), beta=draw(st.floats(0, 2)), k=1 + draw(whole(0, 2))
    )
    return lambda x: zh.local_response_norm(x, **options), lambda x: F.local_response_norm(x, **options), arrays


@case("softmax", "log_softmax")
@st.composite
def softmax(draw):
    shape = draw(st.lists(whole(1, 4), min_size=1, max_size=4))
    axis, name = draw(whole(-len(shape), len(shape) - 1)), draw(st.sampled_from(["softmax", "log_softmax"]))
    arrays = [normal(draw, *shape) * draw(st.sampled_from([1, 100]))]
    return lambda x: getattr(zh, name)(x, axis), lambda x: getattr(torch, name)(x, axis), arrays


@case("sum", "mean", "max")
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


@case("add", "subtract", "multiply", "divide")
@st.composite
def broadcasting_arithmetic(draw):
    shape = draw(st.lists(whole(0, 4), max_size=4))
    narrowed = [[1 if draw(st.booleans()) else n for n in shape][draw(whole(0, len(shape))) :] for _ in range(2)]
    op = draw(st.sampled_from([operator.add, operator.sub, operator.mul, operator.truediv]))
    a, b = (normal(draw, *each) for each in narrowed)
    return op, op, [a, np.sign(b) * (np.abs(b) + 0.5)]  # nothing divides by almost 0


@case("matmul")
@st.composite
def matmul(draw):
    m, k, n = (draw(whole(0, 4)) for _ in range(3))
    lead = draw(st.lists(whole(0, 3), max_size=2))
    leads = [[1 if draw(st.booleans()) else i for i in lead][draw(whole(0, len(lead))) :] for _ in range(2)]
    return operator.matmul, operator.matmul, [normal(draw, *leads[0], m, k), normal(draw, *leads[1], k, n)]


@case("linear")
@st.composite
def linear(draw):
    inputs, outputs = draw(whole(1, 5)), draw(whole(1, 5))
    lead = draw(st.lists(whole(0, 4), max_size=3))
    bias = normal(draw, outputs) if draw(st.booleans()) else None
    return zh.linear, F.linear, [normal(draw, *lead, inputs), normal(draw, outputs, inputs), bias]


@case("concat")
@st.composite
def concat(draw):
    shape = draw(st.lists(whole(1, 4), min_size=1, max_size=4))
    axis = draw(whole(-len(shape), len(shape) - 1))
    arrays = []
    for _ in range(draw(whole(1, 4))):
        shape[axis] = draw(whole(0, 4))
        arrays.append(normal(draw, *shape))
    return lambda *a: zh.concat(list(a), axis), lambda *a: torch.cat(a, axis), arrays


@case("pad")
@st.composite
def pad(draw):
    shape = draw(st.lists(whole(1, 4), min_size=1, max_size=4))
    width = [(draw(whole(0, 3)), draw(whole(0, 3))) for _ in range(draw(whole(1, len(shape))))]
    value = draw(st.sampled_from([0.0, 2.5]))
    flat = [n for each in reversed(width) for n in each]
    return lambda x: zh.pad(x, width, value), lambda x: F.pad(x, flat, value=value), [normal(draw, *shape)]


@case("cross_entropy")
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

# ---- element by element, and shapes -----------------------------------------------------------------------

ELEMENTWISE = {
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "exp": torch.exp,
    "absolute": torch.abs,
}


def named(name):
    return getattr(zh, name, None) or getattr(arithmetic, name)


def any_shape(draw, least=0):
    return draw(st.lists(whole(least, 4), max_size=4))


@case(*ELEMENTWISE, "leaky_relu", "log", "power")
@st.composite
def elementwise(draw):
    x, name = normal(draw, *any_shape(draw)), draw(st.sampled_from([*ELEMENTWISE, "leaky_relu", "log", "power"]))
    slope, exponent = draw(st.floats(-1, 1)), draw(st.sampled_from([-2, -0.5, 0, 0.5, 1, 2, 3]))
    ours, theirs, x = {
        "leaky_relu": lambda: (lambda x: zh.leaky_relu(x, slope), lambda x: F.leaky_relu(x, slope), x),
        "log": lambda: (arithmetic.log, torch.log, np.abs(x) + 0.1),
        "power": lambda: (lambda x: arithmetic.power(x, exponent), lambda x: x**exponent, np.abs(x) + 0.1),
    }.get(name, lambda: (named(name), ELEMENTWISE[name], x))()
    return ours, theirs, [x]


@case("reshape", "transpose", "flatten")
@st.composite
def other_shapes(draw):
    x = normal(draw, *any_shape(draw))
    order = draw(st.permutations(range(x.ndim)))
    start = draw(whole(0, max(0, x.ndim - 1)))
    ours, theirs = draw(
        st.sampled_from(
            [
                (lambda x: arithmetic.transpose(x, order), lambda x: x.permute(order)),
                (lambda x: arithmetic.transpose(x), lambda x: x.permute(tuple(reversed(range(x.ndim))))),
                (lambda x: zh.flatten(x, start), lambda x: x.flatten(start)),
                (lambda x: arithmetic.reshape(x, (x.size,)), lambda x: x.reshape(x.numel())),
                (lambda x: arithmetic.reshape(x, x.shape[::-1]), lambda x: x.reshape(x.shape[::-1])),
            ]
        )
    )
    return ours, theirs, [x]


@case("index")
@st.composite
def index(draw):
    shape = draw(st.lists(whole(1, 4), min_size=1, max_size=3))
    key = []
    for n in shape[: draw(whole(1, len(shape)))]:
        number, several = whole(-n, n - 1), st.lists(whole(-n, n - 1), min_size=2, max_size=2)
        step = st.builds(slice, st.none() | number, st.none() | number, st.none() | whole(1, 3))
        key.append(draw(number | step | several.map(np.array)))
    if draw(st.booleans()) and not any(isinstance(k, np.ndarray) for k in key):  # where NumPy's rules are others
        key.insert(draw(whole(0, len(key))), draw(st.sampled_from([None, Ellipsis])))
    theirs = tuple(torch.tensor(k) if isinstance(k, np.ndarray) else k for k in key)
    return lambda x: arithmetic.index(x, tuple(key)), lambda x: x[theirs], [normal(draw, *shape)]


@case("dropout")
@st.composite
def dropout(draw):
    x, p, seed = normal(draw, *any_shape(draw)), draw(st.sampled_from([0.0, 0.3, 1.0])), draw(whole(0, 9))
    kept = zh.dropout(np.ones(x.shape), p, rng=np.random.default_rng(seed))
    assert ((kept == 0) | (kept == (1 / (1 - p) if p < 1 else 0))).all()
    return lambda x: zh.dropout(x, p, rng=np.random.default_rng(seed)), lambda x: x * torch.tensor(kept), [x]


# ---- capsules ---------------------------------------------------------------------------------------------


@case("squash")
@st.composite
def squash(draw):
    x = normal(draw, *draw(st.lists(whole(1, 4), min_size=1, max_size=4)))
    axis = draw(whole(-x.ndim, x.ndim - 1))
    x = x * 10.0 ** draw(whole(-3, 3))
    return lambda x: zh.squash(x, axis), lambda x: torch_squash(x, axis), [x]


@case("capsule_votes", "capsule_layer", "dynamic_routing")
@st.composite
def capsules(draw):
    n, i, p, j, q = draw(whole(0, 18)), draw(whole(1, 9)), draw(whole(1, 9)), draw(whole(1, 4)), draw(whole(1, 17))
    arrays = [normal(draw, n, i, p), normal(draw, i, p, j, q) / np.sqrt(p)]
    kind = draw(st.sampled_from(["capsule_votes", "capsule_layer", "dynamic_routing"]))
    if kind == "capsule_votes":
        return zh.capsule_votes, lambda u, w: torch.einsum("nip,ipjq->nijq", u, w), arrays
    bias = normal(draw, j, q) if draw(st.booleans()) else None
    options = dict(iterations=draw(whole(1, 4)), stop_gradient=draw(st.booleans()))

    def layer(u, weight, bias=None):
        return zh.capsule_layer(u, weight, bias, **options)

    def routing(u, weight, bias=None):
        return zh.dynamic_routing(zh.capsule_votes(u, weight), bias, **options)

    ours = layer if kind == "capsule_layer" else routing
    return ours, lambda *a: torch_capsules(*a, **options), [*arrays, bias]


@case("em_routing")
@st.composite
def em_routing(draw):
    n, i, j, h, which = draw(whole(0, 3)), draw(whole(1, 6)), draw(whole(1, 4)), draw(whole(1, 5)), draw(whole(0, 1))
    options = dict(iterations=draw(whole(1, 3)), inverse_temperature=draw(st.floats(0, 1)))
    options["minimum_variance"] = draw(st.floats(0.1, 1))
    arrays = [normal(draw, n, i, j, h), 0.1 + 0.8 / (1 + normal(draw, n, i) ** 2), normal(draw, j), normal(draw, j)]
    return lambda *a: zh.em_routing(*a, **options)[which], lambda *a: torch_em(*a, **options)[which], arrays


@case("em_routing_windows")
@st.composite
def em_routing_in_one_window(draw):
    """Windows that don't overlap are routed each for itself, as by `torch_em`."""
    n, c, h, types = draw(whole(1, 2)), draw(whole(1, 3)), draw(whole(1, 3)), draw(whole(1, 2))
    kernel, down, right, which = draw(whole(1, 2)), draw(whole(1, 2)), draw(whole(1, 2)), draw(whole(0, 1))
    children = windows(down * kernel, right * kernel, types, kernel, kernel)  # (P, K)
    places, size = children.shape
    arrays = [normal(draw, n, places, size, c, h), 0.1 + 0.8 / (1 + normal(draw, n, children.size) ** 2)]
    arrays += [normal(draw, c), normal(draw, c)]

    def theirs(votes, activations, beta_a, beta_u):
        alone = [torch_em(votes[:, p], activations[:, children[p]], beta_a, beta_u)[which] for p in range(places)]
        return torch.stack(alone, 1)

    return lambda *a: em_routing_windows(*a, children)[which], theirs, arrays


# ---- losses -----------------------------------------------------------------------------------------------


@case("mse_loss", "reconstruction_loss")
@st.composite
def differences(draw):
    shape = draw(st.lists(whole(1, 4), min_size=1, max_size=4))
    reduction = draw(st.sampled_from(["mean", "sum", "none"]))
    x, target = normal(draw, *shape), normal(draw, *shape)
    if draw(st.booleans()):
        images = torch.tensor(target)
        ours = lambda x: zh.reconstruction_loss(x, target.astype(x.dtype))
        return ours, lambda x: ((x - images) ** 2).sum() / len(x), [x]

    def theirs(x, target):
        return F.mse_loss(x, target, reduction=reduction)

    return lambda x, target: zh.mse_loss(x, target, reduction=reduction), theirs, [x, target]


@case("margin_loss", "spread_loss")
@st.composite
def margins(draw):
    n, classes, size = draw(whole(1, 4)), draw(whole(2, 5)), draw(whole(1, 4))
    labels = np.array([draw(whole(0, classes - 1)) for _ in range(n)])
    reduction, margin = draw(st.sampled_from(["mean", "sum", "none"])), draw(st.floats(0, 1))
    if draw(st.booleans()):
        return (
            lambda a: zh.spread_loss(a, labels, margin, reduction=reduction),
            lambda a: torch_spread(a, labels, margin, reduction),
            [normal(draw, n, classes)],
        )
    there = F.one_hot(torch.tensor(labels), classes)

    def theirs(v):
        length = v.norm(dim=2)
        missing, excess = (0.9 - length).clamp(min=0), (length - margin).clamp(min=0)
        loss = (there * missing**2 + 0.5 * (1 - there) * excess**2).sum(1)
        return loss if reduction == "none" else getattr(loss, reduction)()

    def ours(v):
        return zh.margin_loss(v, labels, m_minus=margin, reduction=reduction)

    return ours, theirs, [normal(draw, n, classes, size)]


# ---- options that may not fit -----------------------------------------------------------------------------

REFUSALS = {}  # name -> strategy of (ours, theirs, arrays, why we may differ or None)


def may_not_fit(strategy):
    """Register a composite strategy whose options nobody made fit together."""
    REFUSALS[strategy.__name__] = strategy
    return strategy


@may_not_fit
@st.composite
def any_conv2d(draw):
    shape, kernels = [draw(whole(0, 4)) for _ in range(4)], [draw(whole(0, 4)) for _ in range(4)]
    options = dict(stride=draw(pairs(0, 2)), padding=draw(pairs(0, 2)), dilation=draw(pairs(0, 2)))
    options["groups"] = draw(whole(0, 2))
    kernels[1] = draw(whole(0, 4) | st.just(shape[1] // max(1, options["groups"])))  # or else hardly anything fits
    arrays = [normal(draw, *shape), normal(draw, *kernels)]
    why = "something is empty" if 0 in shape[1:] + kernels else None
    if 0 in both(options["dilation"]):
        why = "a dilation of 0, which PyTorch sometimes takes"
    return lambda *a: zh.conv2d(*a, **options), lambda *a: F.conv2d(*a, **options), arrays, why


@may_not_fit
@st.composite
def any_conv_transpose2d(draw):
    shape, kernels = [draw(whole(1, 3)) for _ in range(4)], [draw(whole(1, 3)) for _ in range(4)]
    options = dict(stride=draw(pairs(0, 2)), padding=draw(pairs(0, 2)), output_padding=draw(pairs(0, 2)))
    options |= dict(dilation=draw(whole(1, 2)), groups=draw(whole(1, 2)))
    arrays = [normal(draw, *shape), normal(draw, *kernels)]
    return lambda *a: zh.conv_transpose2d(*a, **options), lambda *a: F.conv_transpose2d(*a, **options), arrays, None


@may_not_fit
@st.composite
def any_pool(draw):
    name, shape = draw(st.sampled_from(["max_pool2d", "avg_pool2d"])), [draw(whole(0, 5)) for _ in range(4)]
    options = dict(kernel_size=draw(pairs(0, 4)), stride=draw(pairs(0, 3)), padding=draw(pairs(0, 2)))
    options["ceil_mode"] = draw(st.booleans())
    why = "something is empty" if 0 in shape else None
    if any(2 * p > k for p, k in zip(both(options["padding"]), both(options["kernel_size"]))):
        why = "a padding over half the window, which PyTorch refuses"
    return lambda x: named(name)(x, **options), lambda x: getattr(F, name)(x, **options), [normal(draw, *shape)], why


@may_not_fit
@st.composite
def any_product(draw):
    left, right = any_shape(draw), any_shape(draw)
    name = draw(st.sampled_from(["matmul", "linear", "add"]))
    why = "a vector as a matrix, which only PyTorch takes" if min(len(left), len(right)) < 2 and name != "add" else None
    theirs = {"matmul": torch.matmul, "linear": F.linear, "add": torch.add}[name]
    return named(name), theirs, [normal(draw, *left), normal(draw, *right)], why


@may_not_fit
@st.composite
def any_axis(draw):
    x, axis = normal(draw, *any_shape(draw, least=1)), draw(whole(-4, 4))
    why = "a number without axes, whose axis 0 PyTorch takes" if x.ndim == 0 else None
    ours, theirs = draw(
        st.sampled_from(
            [
                (lambda x: zh.softmax(x, axis), lambda x: torch.softmax(x, axis)),
                (lambda x: arithmetic.sum(x, axis), lambda x: x.sum(axis)),
                (lambda x: arithmetic.max(x, axis), lambda x: x.amax(axis)),
                (lambda x: zh.concat([x, x], axis), lambda x: torch.cat([x, x], axis)),
                (lambda x: arithmetic.reshape(x, (axis, 2)), lambda x: x.reshape(axis, 2)),
                (lambda x: arithmetic.index(x, axis), lambda x: x[axis]),
            ]
        )
    )
    return ours, theirs, [x], why


@may_not_fit
@st.composite
def any_labels(draw):
    labels = np.array(draw(st.lists(whole(-1, 4), max_size=3)), dtype=np.int64)
    logits = normal(draw, draw(whole(0, 3)), draw(whole(0, 4)))
    why = "no example, whose mean PyTorch says is NaN, or no class" if 0 in logits.shape else None
    theirs = lambda x: F.cross_entropy(x, torch.tensor(labels), ignore_index=-100)
    return lambda x: zh.cross_entropy(x, labels), theirs, [logits], why
