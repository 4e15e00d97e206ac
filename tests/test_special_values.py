"""Infinity, NaN, the largest and the smallest numbers: operations and gradients make of them what PyTorch does."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import zerohero as zh
from tests.random_cases import WITHOUT_GRADIENT, every_operation
from tests.test_capsule import torch_capsules, torch_squash
from tests.test_em_routing import torch_em, torch_spread
from zerohero.ops import arithmetic
from zerohero.ops.em_windows import em_routing_windows

SPECIAL = {
    "+inf": np.inf,
    "-inf": -np.inf,
    "nan": np.nan,
    "large": 3e38,  # twice as much is more than float32 holds
    "square overflows": -1e25,
    "tiny": 1e-30,  # its square is 0
    "denormal": -1e-40,
    "-0": -0.0,
}
LABELS = np.array([1, 0])
THERE = torch.tensor([[0, 1, 0], [1, 0, 0]])
CHILDREN = np.arange(4).reshape(2, 2)


def torch_margin(v):
    length = v.norm(dim=2)
    missing, excess = (0.9 - length).clamp(min=0), (length - 0.1).clamp(min=0)
    return (THERE * missing**2 + 0.5 * (1 - THERE) * excess**2).sum(1).mean()


def torch_em_poses(*given):
    """With PyTorch's own check of what a normal distribution is made of turned off."""
    torch.distributions.Distribution.set_default_validate_args(False)
    try:
        return torch_em(*given)[0]
    finally:
        torch.distributions.Distribution.set_default_validate_args(True)


def torch_windows(votes, activations, beta_a, beta_u):
    return torch.stack([torch_em_poses(votes[:, p], activations[:, CHILDREN[p]], beta_a, beta_u) for p in (0, 1)], 1)


def torch_votes(u, weight):
    return torch.einsum("nip,ipjq->nijq", u, weight)


# name -> (ours, theirs, shapes of the inputs; a special number goes into each in turn)
TABLE = {
    "relu": (zh.relu, torch.relu, [(1, 2, 100, 100)]),  # large enough for the kernel
    "leaky_relu": (zh.leaky_relu, F.leaky_relu, [(1, 2, 100, 100)]),
    "sigmoid": (zh.sigmoid, torch.sigmoid, [(5,)]),
    "tanh": (zh.tanh, torch.tanh, [(5,)]),
    "exp": (arithmetic.exp, torch.exp, [(5,)]),
    "log": (arithmetic.log, torch.log, [(5,)]),
    "absolute": (arithmetic.absolute, torch.abs, [(5,)]),
    "power": (lambda x: arithmetic.power(x, 2), lambda x: x**2, [(5,)]),
    "softmax": (zh.softmax, lambda x: torch.softmax(x, -1), [(2, 5)]),
    "log_softmax": (zh.log_softmax, lambda x: torch.log_softmax(x, -1), [(2, 5)]),
    "add": (arithmetic.add, torch.add, [(5,), (5,)]),
    "subtract": (arithmetic.subtract, torch.sub, [(5,), (5,)]),
    "multiply": (arithmetic.multiply, torch.mul, [(5,), (5,)]),
    "divide": (arithmetic.divide, torch.div, [(5,), (5,)]),
    "matmul": (arithmetic.matmul, torch.matmul, [(2, 3), (3, 2)]),
    "sum": (arithmetic.sum, torch.sum, [(5,)]),
    "mean": (arithmetic.mean, torch.mean, [(5,)]),
    "max": (arithmetic.max, lambda x: x.amax(), [(5,)]),
    "reshape": (lambda x: arithmetic.reshape(x, (3, 2)), lambda x: x.reshape(3, 2), [(2, 3)]),
    "transpose": (arithmetic.transpose, lambda x: x.T, [(2, 3)]),
    "index": (lambda x: arithmetic.index(x, np.array([0, 0, 1])), lambda x: x[[0, 0, 1]], [(3,)]),
    "flatten": (zh.flatten, lambda x: x.flatten(1), [(2, 3)]),
    "concat": (lambda a, b: zh.concat([a, b]), lambda a, b: torch.cat([a, b]), [(2,), (3,)]),
    "pad": (lambda x: zh.pad(x, [(1, 1)]), lambda x: F.pad(x, (1, 1)), [(3,)]),
    "linear": (zh.linear, F.linear, [(2, 3), (4, 3), (4,)]),
    "conv2d": (
        lambda *a: zh.conv2d(*a, padding=1), lambda *a: F.conv2d(*a, padding=1), [(2, 2, 5, 5), (3, 2, 3, 3), (3,)]
    ),
    "conv_transpose2d": (
        lambda *a: zh.conv_transpose2d(*a, stride=2),
        lambda *a: F.conv_transpose2d(*a, stride=2),
        [(2, 2, 3, 3), (2, 3, 2, 2), (3,)],
    ),
    "max_pool2d": (lambda x: zh.max_pool2d(x, 2), lambda x: F.max_pool2d(x, 2), [(1, 2, 4, 4)]),
    "avg_pool2d": (lambda x: zh.avg_pool2d(x, 2), lambda x: F.avg_pool2d(x, 2), [(1, 2, 4, 4)]),
    "adaptive_avg_pool2d": (
        lambda x: zh.adaptive_avg_pool2d(x, 2), lambda x: F.adaptive_avg_pool2d(x, 2), [(1, 2, 4, 4)]
    ),
    "batch_norm": (
        lambda *a: zh.batch_norm(*a, training=True),
        lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
        [(3, 2, 2, 2), (2,), (2,)],
    ),
    "local_response_norm": (zh.local_response_norm, lambda x: F.local_response_norm(x, 5, k=2.0), [(2, 6, 2)]),
    "dropout": (lambda x: zh.dropout(x, training=False), lambda x: F.dropout(x, training=False), [(5,)]),
    "cross_entropy": (
        lambda x: zh.cross_entropy(x, LABELS), lambda x: F.cross_entropy(x, torch.tensor(LABELS)), [(2, 3)]
    ),
    "mse_loss": (zh.mse_loss, F.mse_loss, [(5,), (5,)]),
    "squash": (zh.squash, torch_squash, [(2, 3)]),
    "capsule_votes": (zh.capsule_votes, torch_votes, [(2, 4, 3), (4, 3, 2, 3)]),
    "capsule_layer": (zh.capsule_layer, torch_capsules, [(2, 4, 3), (4, 3, 2, 3), (2, 3)]),
    "dynamic_routing": (
        lambda u, w: zh.dynamic_routing(zh.capsule_votes(u, w)), torch_capsules, [(2, 4, 3), (4, 3, 2, 3)]
    ),
    "margin_loss": (lambda v: zh.margin_loss(v, LABELS), torch_margin, [(2, 3, 4)]),
    "reconstruction_loss": (
        lambda x: zh.reconstruction_loss(x, np.ones((2, 3), np.float32)), lambda x: ((x - 1) ** 2).sum() / 2, [(2, 3)]
    ),
    "spread_loss": (lambda a: zh.spread_loss(a, LABELS, 0.5), lambda a: torch_spread(a, LABELS, 0.5), [(2, 3)]),
    "em_routing": (lambda *a: zh.em_routing(*a)[0], torch_em_poses, [(1, 4, 2, 3), (1, 4), (2,), (2,)]),
    "em_routing_windows": (
        lambda *a: em_routing_windows(*a, CHILDREN)[0], torch_windows, [(1, 2, 2, 2, 3), (1, 4), (2,), (2,)]
    ),
}  # fmt: skip

# Where we differ, and why. Each is asked for: one that ceases to differ has to leave the list.
DIFFERENCES = {
    ("relu", "nan"): "the gradient stops at NaN; PyTorch passes it on",
    ("absolute", "nan"): "the slope at NaN is NaN; PyTorch's is 0",
    ("reconstruction_loss", "large"): "PyTorch doubles a difference before it divides: infinite where ours is not",
} | {
    ("conv2d", special): "such a weight times the zeros of the padding is NaN; PyTorch leaves the padding out"
    for special in ("+inf", "-inf", "nan")
} | {
    ("batch_norm", special): "PyTorch makes a factor and a shift of weight, bias and moments first: these overflow"
    for special in ("+inf", "-inf", "large", "square overflows")
} | {
    (name, special): "β so extreme that a parent gets no mass: its mean is 0, not 0 / 0"
    for name in ("em_routing", "em_routing_windows") for special in ("-inf", "large", "square overflows")
}  # fmt: skip


def results_of(function, make, arrays):
    """Values and the gradients of all inputs, as NumPy arrays."""
    tensors = [make(a) for a in arrays]
    y = function(*tensors)
    if isinstance(y, torch.Tensor):
        y.backward(torch.ones_like(y))
        return [y.detach().numpy(), *(t.grad.numpy() for t in tensors)]
    y.backward(np.ones(y.shape, np.float32))
    return [y.numpy(), *(t.grad for t in tensors)]


def disagreements(name, special):
    """Sentences, one for each input that holds the special number and each result that is not PyTorch's."""
    ours, theirs, shapes = TABLE[name]
    for position in range(len(shapes)):
        rng = np.random.default_rng(0)
        arrays = [rng.uniform(0.1, 0.9, shape).astype(np.float32) for shape in shapes]
        if name.startswith("em_") and position == 1:
            continue  # activations outside 0 … 1 are refused
        arrays[position].flat[1] = SPECIAL[special]
        wanted = results_of(theirs, lambda a: torch.tensor(a, requires_grad=True), arrays)
        for backend in zh.available_backends():
            with zh.use_backend(backend), np.errstate(all="ignore"):
                got = results_of(ours, lambda a: zh.Tensor(a, requires_grad=True), arrays)
            for i, (ours_now, theirs_now) in enumerate(zip(got, wanted, strict=True)):
                if not np.allclose(ours_now, theirs_now, rtol=1e-4, atol=1e-6, equal_nan=True):
                    yield f"{backend}, input {position}: {'values' if i == 0 else f'gradient {i - 1}'}"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("special", SPECIAL)
@pytest.mark.parametrize("name", TABLE)
def test_special_numbers_give_what_pytorch_gives(name, special):
    found = list(disagreements(name, special))
    if (name, special) in DIFFERENCES:
        assert found, f"{name} does with {special} what PyTorch does: take it off the list"
    else:
        assert not found, found


def test_every_operation_is_in_the_table():
    assert every_operation() == set(TABLE) | WITHOUT_GRADIENT
