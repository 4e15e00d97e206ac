"""Peak memory of capsule_layer forward and backward, in a process of its own: `python -m benchmarks.memory CONTESTANT`.

What counts is the memory above what must be there: the inputs, the outputs and the gradients. Only Linux tells.
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
RESET_PEAK = "5"  # see proc(5)


def peak_above(work: Callable[[], Any]) -> float:
    """Megabytes (10⁶ bytes) that this process needed at most during `work()`, above what it had before."""
    _give_back()
    before = _status("VmRSS")
    CLEAR.write_text(RESET_PEAK)
    result = work()
    peak = _status("VmHWM")
    del result
    return (peak - before) / 1e6


def _give_back() -> None:
    """Let the C library return what was freed, so that it isn't used again unseen (glibc keeps up to some 10 MB)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def can_measure() -> bool:
    """Whether this system lets a process forget its peak, and tells the new one."""
    try:
        CLEAR.write_text(RESET_PEAK)
    except OSError:
        return False
    return STATUS.exists()


def _status(name: str) -> int:
    """A line of /proc/self/status, in bytes."""
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])


def ours(arrays: list[np.ndarray], grad: np.ndarray, backend: str) -> Callable[[], Any]:
    import zerohero as zh

    zh.use_backend(backend)

    def work() -> list[Any]:
        tensors = [zh.Tensor(array, requires_grad=True) for array in arrays]
        v = zh.capsule_layer(*tensors)
        v.backward(grad)
        return [v.data, *(tensor.grad for tensor in tensors)]

    return work


def theirs(arrays: list[np.ndarray], grad: np.ndarray, layout: str) -> Callable[[], Any]:
    import torch

    from benchmarks.peers.capsule_layer import LAYOUTS

    layer: Callable = LAYOUTS[layout]
    tensors, upstream = [torch.from_numpy(array).requires_grad_() for array in arrays], torch.from_numpy(grad)

    def work() -> list[Any]:
        v = layer(*tensors)
        return [v.detach(), *torch.autograd.grad(v, tensors, upstream)]

    return work


def measure(contestant: str, batch: int) -> dict[str, float]:
    """`contestant` is a backend of zerohero or a layout of PyTorch; the layer is the paper's."""
    rng = np.random.default_rng(0)
    shapes = {"u": (batch, 1152, 8), "weight": (1152, 8, 10, 16), "bias": (10, 16)}
    arrays = [rng.standard_normal(shape).astype(np.float32) * np.float32(0.1) for shape in shapes.values()]
    grad = rng.standard_normal((batch, 10, 16)).astype(np.float32)
    make = theirs if contestant.startswith("(") else ours
    make([arrays[0][:1], *arrays[1:]], grad[:1], contestant)()  # what is compiled and loaded doesn't count
    given = sum(array.nbytes for array in arrays)  # the gradients are as large as the inputs, v as large as grad
    needed = peak_above(make(arrays, grad, contestant))
    return {"peak_megabytes": needed, "results_megabytes": (given + grad.nbytes) / 1e6,
            "above_megabytes": needed - (given + grad.nbytes) / 1e6}  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
