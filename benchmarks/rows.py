"""The rows of the table that are contests with PyTorch: what is computed, by whom, and what must be reached.

Operations are counted as the algorithm needs them, without what a program computes twice; bytes as if every array
were read or written once where it has to be. Elementwise work is not counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

import zerohero as zh
from benchmarks.contest import Contest, Outcome, Peer, Settings, figure, hold
from benchmarks.peers import capsnet, conv, lenet, training
from benchmarks.peers.capsule_layer import LAYOUTS
from zerohero.ops.loss import cross_entropy
from zerohero.optim import Adam
from zerohero.stepping import Stepper

EAGER, COMPILED = "PyTorch eager", "torch.compile"
FLOAT = 4  # bytes of a float32

# x, weight, and options of conv2d
CONV_SHAPES: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, int]]] = [
    ((32, 1, 28, 28), (256, 1, 9, 9), {}),
    ((8, 256, 20, 20), (256, 256, 9, 9), dict(stride=2)),
    ((8, 64, 56, 56), (64, 64, 3, 3), dict(padding=1)),
    ((128, 16, 32, 32), (16, 16, 3, 3), dict(padding=1)),
    ((8, 3, 227, 227), (96, 3, 11, 11), dict(stride=4)),
    ((8, 256, 28, 28), (64, 256, 1, 1), {}),
    ((8, 96, 27, 27), (256, 48, 5, 5), dict(padding=2, groups=2)),
]
PAPER_LAYER = dict(batch=128, inputs=1152, in_dim=8, outputs=10, out_dim=16)


def normal(shape: Sequence[int], scale: float = 1.0, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


# ---- capsule_layer --------------------------------------------------------------------------------------


def capsule_layer(settings: Settings, sizes: dict[str, int] | None = None, iterations: int = 3) -> dict[str, Any]:
    """Forward and backward through all iterations."""
    outcome = hold(capsule_contest(settings, sizes or PAPER_LAYER, iterations), settings)
    label = "capsule_layer, forward + backward"
    targets = {EAGER: (5.0, 10.0), COMPILED: (1.5, 4.0)} if settings.device == "cpu" else {}
    skips = [] if settings.compiled else [f"{COMPILED}: left out by --quick"]
    return _row([outcome], [(label, kind, *targets.get(kind, (None, None))) for kind in (EAGER, COMPILED)],
                settings, skips)  # fmt: skip


def capsule_contest(settings: Settings, sizes: dict[str, int], iterations: int) -> Contest:
    n, i, p, j, q = (sizes[name] for name in ("batch", "inputs", "in_dim", "outputs", "out_dim"))
    arrays = normal((n, i, p), 0.3), normal((i, p, j, q), 0.1, 1), normal((j, q), 0.1, 2)
    grad = normal((n, j, q), 1.0, 3)
    ours_in, ours_grad = [settings.ours(a) for a in arrays], settings.ours(grad)
    theirs_in, theirs_grad = [settings.theirs(a).requires_grad_() for a in arrays], settings.theirs(grad)

    def ours() -> list[Any]:
        tensors = [zh.Tensor(a, requires_grad=True) for a in ours_in]
        v = zh.capsule_layer(*tensors, iterations=iterations)
        v.backward(ours_grad)
        return [v.data, *(tensor.grad for tensor in tensors)]

    def theirs(layer: Callable) -> Callable:
        def work() -> list[torch.Tensor]:
            v = layer(*theirs_in, iterations)
            return [v.detach(), *torch.autograd.grad(v, theirs_in, theirs_grad)]

        return work

    peers = [Peer(EAGER, name, theirs(layer)) for name, layer in LAYOUTS.items()]
    if settings.compiled:
        peers += [Peer(COMPILED, name, theirs(torch.compile(layer, dynamic=False))) for name, layer in LAYOUTS.items()]
    name = f"capsule_layer {n}×{i}×{p} → {j}×{q}, {iterations} iterations"
    read_and_written = 3 * (n * i * p + i * p * j * q) + 2 * n * j * q  # u, W twice, their gradients; v and its
    return Contest(name, ours, peers, capsule_flops(n, i, p, j, q, iterations), FLOAT * read_and_written)


def capsule_flops(n: int, i: int, p: int, j: int, q: int, iterations: int) -> float:
    """Forward and backward through all iterations, votes computed once."""
    votes = 2 * n * i * p * j * q  # and again for each of the two gradients
    sweep = 2 * n * i * j * q  # a weighted sum of votes, an agreement, or an outer product
    forward = iterations + (iterations - 1)  # weighted sums, agreements
    backward = 1 + 4 * (iterations - 1)
    return float(3 * votes + (forward + backward) * sweep)


# ---- conv2d ---------------------------------------------------------------------------------------------


def conv2d_forward(settings: Settings, shapes: Sequence[tuple] = CONV_SHAPES) -> dict[str, Any]:
    return _conv_row(settings, shapes, gradients=False)


def conv2d_gradients(settings: Settings, shapes: Sequence[tuple] = CONV_SHAPES) -> dict[str, Any]:
    """Forward and the gradients of x and weight, also where x is an image."""
    return _conv_row(settings, shapes, gradients=True)


def _conv_row(settings: Settings, shapes: Sequence[tuple], gradients: bool) -> dict[str, Any]:
    outcomes = [hold(conv_contest(settings, *shape, gradients=gradients), settings) for shape in shapes]
    what = "forward + backward" if gradients else "forward"
    targets = (0.7, 1.2) if settings.device == "cpu" else (None, None)
    return _row(outcomes, [(f"conv2d, {what}, {len(shapes)} shapes", EAGER, *targets)], settings)


def conv_contest(settings: Settings, x_shape: tuple, weight_shape: tuple, options: dict, *, gradients: bool) -> Contest:
    x, weight = normal(x_shape), normal(weight_shape, 1 / math.sqrt(math.prod(weight_shape[1:])), 1)
    y_shape = zh.conv2d(x[:1], weight, **options).shape
    grad = normal((len(x), *y_shape[1:]), 1.0, 2)
    ours_x, ours_weight, ours_grad = map(settings.ours, (x, weight, grad))

    def forward() -> list[Any]:
        return [zh.conv2d(ours_x, ours_weight, **options)]

    def with_gradients() -> list[Any]:
        tensors = [zh.Tensor(a, requires_grad=True) for a in (ours_x, ours_weight)]
        y = zh.conv2d(*tensors, **options)
        y.backward(ours_grad)
        return [y.data, *(tensor.grad for tensor in tensors)]

    def theirs(layout: torch.memory_format) -> Callable:
        given = [settings.theirs(a).contiguous(memory_format=layout) for a in (x, weight)]
        out = settings.theirs(grad).contiguous(memory_format=layout)
        if not gradients:
            return lambda: conv.forward(*given, **options)
        for tensor in given:
            tensor.requires_grad_()
        return lambda: conv.with_gradients(given[0], given[1], out, **options)

    what = "forward + backward" if gradients else "forward"
    name = f"conv2d {what} {_shape(x_shape)}·{_shape(weight_shape)}" + "".join(f", {k} {v}" for k, v in options.items())
    once = 2.0 * grad.size * math.prod(weight_shape[1:])
    forward_bytes, backward_bytes = x.size + weight.size + grad.size, 2 * (x.size + weight.size) + grad.size
    return Contest(
        name, with_gradients if gradients else forward,
        [Peer(EAGER, layout, theirs(kind)) for layout, kind in conv.LAYOUTS.items()],
        flops=3 * once if gradients else once,
        bytes=float(FLOAT * (forward_bytes + (backward_bytes if gradients else 0))),
    )  # fmt: skip


# ---- training steps -------------------------------------------------------------------------------------


def capsnet_step(settings: Settings, batch: int | None = None) -> dict[str, Any]:
    """One training step of the paper's CapsNet: batch 32 on a processor, 128 on a GPU."""
    batch = batch or (32 if settings.device == "cpu" else 128)
    targets = {EAGER: (1.2, 1.8)} if settings.device == "cpu" else {EAGER: (1.5, 3.0), COMPILED: (1.0, 1.5)}
    return _capsnet_row(settings, "paper", batch, targets)


def capsnet_fast_step(settings: Settings, batch: int = 128) -> dict[str, Any]:
    """One training step of the preset "fast"."""
    return _capsnet_row(settings, "fast", batch, {})


def _capsnet_row(settings: Settings, preset: str, batch: int, targets: dict[str, tuple]) -> dict[str, Any]:
    outcome = hold(capsnet_contest(settings, preset, batch), settings)
    label = f"CapsNet ({preset}), training step, batch {batch}"
    kinds = [EAGER] if settings.device == "cpu" else [EAGER, COMPILED]
    return _row([outcome], [(label, kind, *targets.get(kind, (None, None))) for kind in kinds], settings)


def capsnet_contest(settings: Settings, preset: str, batch: int) -> Contest:
    sizes = {"paper": (256, 32, (512, 1024)), "fast": (64, 8, (256, 512))}
    channels, types, hidden = sizes[preset]
    zh.seed(0)
    model = zh.models.create("capsnet", preset=preset)

    def theirs(layer: Callable) -> torch.nn.Module:
        return capsnet.CapsNet(channels, types, hidden, layer)

    capsules = types * 36
    flops = (
        2 * conv_flops(batch, channels, 20 * 20, 81)  # the gradient to the images isn't needed
        + 3 * conv_flops(batch, types * 8, 6 * 6, channels * 81)
        + capsule_flops(batch, capsules, 8, 10, 16, 3)
        + 3 * sum(2 * batch * a * b for a, b in ((160, hidden[0]), hidden, (hidden[1], 784)))
    )
    activations = batch * (784 + channels * 400 + capsules * 8 + 160 + sum(hidden) + 784)
    return _step_contest(f"CapsNet ({preset}), batch {batch}", settings, model, theirs, LAYOUTS, batch,
                         flops, activations)  # fmt: skip


def lenet_step(settings: Settings, batch: int = 32) -> dict[str, Any]:
    zh.seed(0)
    flops = (
        2 * conv_flops(batch, 6, 28 * 28, 25)
        + 3 * conv_flops(batch, 16, 10 * 10, 6 * 25)
        + 3 * 2 * batch * (400 * 120 + 120 * 84 + 84 * 10)
    )
    activations = batch * (784 + 6 * 784 + 6 * 196 + 16 * 100 + 16 * 25 + 120 + 84 + 10)
    contest = _step_contest(f"LeNet-5, batch {batch}", settings, zh.models.create("lenet5"),
                            lambda _: lenet.LeNet5(), {"": None}, batch, flops, activations)  # fmt: skip
    return _row([hold(contest, settings)], [(f"LeNet-5, training step, batch {batch}", EAGER, None, None)], settings)


def conv_flops(batch: int, filters: int, positions: int, window: int) -> float:
    """A convolution forward; each of its two gradients takes as many."""
    return 2.0 * batch * filters * positions * window


def _step_contest(
    name: str, settings: Settings, model: Any, theirs: Callable, layouts: dict[str, Any], batch: int, flops: float,
    activations: int,
) -> Contest:  # fmt: skip
    """Loss, gradients and Adam, from the same weights on the same batch."""
    rng = np.random.default_rng(0)
    images, labels = rng.random((batch, 1, 28, 28), dtype=np.float32), rng.integers(0, 10, batch)
    weights = model.state_dict()
    peers = []
    kinds: list[tuple[str, str | None]] = [(EAGER, None)]
    if settings.compiled and settings.device == "gpu":
        kinds += [(COMPILED, None), (COMPILED, "reduce-overhead")]
    for kind, mode in kinds:
        for layout, layer in layouts.items():
            for order, memory in conv.LAYOUTS.items():
                if mode is not None and memory is not torch.contiguous_format:
                    continue  # compiling takes its time, and the order of the images hardly matters to graphs
                peer = theirs(layer)
                peer.load_state_dict({key: torch.tensor(value) for key, value in weights.items()})
                peer.to("cuda" if settings.device == "gpu" else "cpu")
                for convolution in (each for each in peer.modules() if isinstance(each, torch.nn.Conv2d)):
                    convolution.weight.data = convolution.weight.data.contiguous(memory_format=memory)
                batch_of = settings.theirs(images).contiguous(memory_format=memory), settings.theirs(labels)
                variant = ", ".join(filter(None, (layout, order, mode)))
                step = training.stepper(peer, *batch_of, compiled=kind == COMPILED, mode=mode)
                peers.append(Peer(kind, variant, step))
    if settings.device == "gpu":
        model.to("cupy")
    parameters = model.num_parameters()
    # weights: read twice, gradient written; Adam reads four arrays and writes three. Activations: written, read by
    # the next layer and for the gradient; their gradients written and read.
    bytes_moved = FLOAT * (10.0 * parameters + 5.0 * activations)
    return Contest(name, our_stepper(model, settings.ours(images), settings.ours(labels)), peers, flops, bytes_moved)


def loss_of(model: Any, images: Any, labels: Any) -> tuple[Any, None]:
    """The loss of a step as `training.fit` would compute it; no scores."""
    output = model(zh.Tensor(images))
    return model.loss(output, images, labels) if hasattr(model, "loss") else cross_entropy(output, labels), None


def our_stepper(model: Any, images: Any, labels: Any) -> Callable[[], list[Any]]:
    """As `benchmarks.peers.training.stepper`: the loss and the steps that `training.fit` would take, without scores."""

    take_step = Stepper(model, Adam(model.parameters(), lr=1e-3), loss_of)

    def step() -> list[Any]:
        loss, _ = take_step(images, labels)
        return [loss, *(parameter.grad for parameter in model.parameters())]

    return step


# ---- the table ------------------------------------------------------------------------------------------


def _row(outcomes: Sequence[Outcome], figures: Sequence[tuple], settings: Settings, skips: Sequence[str] = ()) -> dict:
    """A row as it stands in the JSON file: its figures, and every contest they come from."""
    made = [figure(label, kind, outcomes, must, goal) for label, kind, must, goal in figures]
    return {
        "figures": [each for each in made if each is not None],
        "parts": [outcome.record(settings.roof) for outcome in outcomes],
        "skips": [*skips, *(skip for outcome in outcomes for skip in outcome.skips)],
    }


def _shape(shape: Sequence[int]) -> str:
    return f"({','.join(map(str, shape))})"
