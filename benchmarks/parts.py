"""Where the time of a CapsNet's training step goes on a GPU: its parts one by one, each beside what bounds it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import zerohero as zh
from benchmarks.contest import Contest, Outcome, Settings
from benchmarks.costs import CannotMeasure
from benchmarks.rows import FLOAT, loss_of, normal
from zerohero.optim import Adam

BATCH = 128
REPEATS = 20  # of a part, between two looks at the GPU's clock


def capsnet_parts(settings: Settings) -> dict[str, Any]:
    """Parts of the step of the paper's CapsNet, batch 128, recorded as CUDA graphs: the GPU's time alone."""
    if settings.device == "cpu":
        raise CannotMeasure("parts are timed on a GPU, where they can be recorded and repeated without gaps")
    records = []
    for name, (work, flops, moved) in _parts(settings).items():
        outcome = Outcome(Contest(name, work, [], flops, moved), {"zerohero cupy": _seconds(work, settings)}, {})
        records.append(outcome.record(settings.roof))
    return {"figures": [], "parts": records, "skips": []}


def _seconds(work: Callable, settings: Settings) -> list[float]:
    """Seconds of a part in every round, by the GPU's clock."""
    import cupy

    from zerohero.kernels.cuda.graphs import Recording

    work()
    work()  # compiled, and made on first use
    recording = Recording(work)
    start, end, found = cupy.cuda.Event(), cupy.cuda.Event(), []
    for _ in range(settings.rounds):
        start.record()
        for _ in range(REPEATS):
            recording.launch()
        end.record()
        end.synchronize()
        found.append(cupy.cuda.get_elapsed_time(start, end) / 1e3 / REPEATS)
    return found


def _parts(settings: Settings) -> dict[str, tuple[Callable, float, float]]:
    """Name: (what is done, operations, bytes that the chosen way of doing it moves)."""
    from zerohero.kernels.cuda import capsule, convolution, products
    from zerohero.kernels.cuda.activation import relu_gradient_cuda

    def array(*shape: int, scale: float = 1.0) -> Any:
        return settings.ours(normal(shape, scale))

    none, one, two = ((0, 0), (0, 0)), (1, 1), (2, 2)
    images, w1, b1, y1 = array(BATCH, 1, 28, 28), array(256, 1, 9, 9), array(256), array(BATCH, 256, 20, 20)
    wide = array(1, 256, 81 * 256, scale=0.01)
    windows = convolution.unfold(y1, (9, 9), two, none, one, 1, (6, 6))
    rows, d_wide = array(1, 256, BATCH * 36), array(1, 256, 81 * 256)
    u, weight, bias = array(BATCH, 1152, 8, scale=0.3), array(1152, 8, 10, 16, scale=0.1), array(10, 16)
    v, kept = array(BATCH, 10, 16), {}
    capsule.capsule_layer_cuda(u, weight, bias, 3, False, save=kept.update)
    s = kept["s"]
    first = dict(stride=one, padding=none, dilation=one, groups=1)
    product, layer = 2.0 * 256 * windows.size, 2.0 * BATCH * weight.size
    columns, maps = FLOAT * windows.size, FLOAT * y1.size
    capsules = FLOAT * (u.size + weight.size)
    parts: dict[str, tuple[Callable, float, float]] = {
        "conv1, forward": (lambda: convolution.conv2d_cuda(images, w1, b1, **first), 2.0 * 81 * y1.size, maps),
        "conv1, gradients": (
            lambda: convolution.conv2d_gradient_cuda(y1, images, w1, b1, needs={"weight", "bias"}, **first),
            2.0 * 81 * y1.size, maps,
        ),
        "ReLU after conv1": (lambda: np.maximum(y1, 0), 0.0, 2 * maps),
        "ReLU after conv1, gradient": (lambda: relu_gradient_cuda(y1, y1), 0.0, 3 * maps),
        "PrimaryCaps: windows as columns": (
            lambda: convolution.unfold(y1, (9, 9), two, none, one, 1, (6, 6)), 0.0, columns + maps
        ),
        "PrimaryCaps: product, forward": (lambda: products.matmul(wide, windows), product, columns),
        "PrimaryCaps: product, gradient of the weight": (
            lambda: products.matmul(rows, windows.swapaxes(1, 2), d_wide), product, columns
        ),
        "PrimaryCaps: product, gradient of the columns": (
            lambda: products.matmul(wide.swapaxes(1, 2), rows), product, columns
        ),
        "PrimaryCaps: columns folded back": (
            lambda: convolution.fold(windows, y1.shape, (9, 9), two, none, one, (6, 6)), 0.0, columns + maps
        ),
        "capsule layer, forward": (
            lambda: capsule.capsule_layer_cuda(u, weight, bias, 3, False), 3 * layer, capsules
        ),
        "capsule layer, gradients": (
            lambda: capsule.capsule_layer_gradient_cuda(v, u, weight, bias, s, False), 5 * layer, 2 * capsules
        ),
    }  # fmt: skip
    zh.seed(0)
    model = zh.models.create("capsnet").to("cupy")
    optimizer, labels = Adam(model.parameters()), settings.ours(np.arange(BATCH) % 10)

    def whole() -> None:
        optimizer.zero_grad()
        loss_of(model, images, labels)[0].backward()
        optimizer.step()

    whole()
    parameters = model.num_parameters()
    parts["Adam"] = (optimizer.step, 0.0, 7.0 * FLOAT * parameters)
    flops = 2 * 2.0 * 81 * y1.size + 3 * product + 8 * layer + 6.0 * BATCH * math.prod((160, 512)) * 2
    moved = 5 * maps + 6 * columns + 3 * capsules + 7.0 * FLOAT * parameters
    parts["the whole step"] = (whole, flops, moved)
    return parts
