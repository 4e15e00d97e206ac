"""CUDA kernels compiled for real GPUs, on a machine that has none: types, barriers, shared memory, registers.

The simulator runs kernels as Python, to which all types are right; here the compiler has its say.
"""

import importlib.util
import re
import types

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(importlib.util.find_spec("numba_cuda") is None, reason="numba-cuda is not installed")

CAPABILITIES = ((8, 0), (9, 0))  # A100, H100 and H200
DTYPES = (np.float32, np.float64)
INT = np.int64


def kernels(dtype):
    """All kernels: name -> (kernel, the dtype and axes of its arguments); those made for sizes at the paper's sizes."""
    from zerohero.kernels.cuda import activation, capsule, convolution, optim, pooling

    unfold, fold = convolution.window_kernels((5, 3), (2, 1), (1, 2), dtype)
    layer = capsule.layer_kernels(8, 10, 16, 32 if dtype is np.float32 else 16, dtype)
    x = {axes: (dtype, axes) for axes in range(1, 7)}
    whole, number = (INT, 0), (dtype, 0)
    return {
        "unfold_kernel": (unfold, [x[4], x[2], *[whole] * 4]),
        "fold_kernel": (fold, [x[2], x[4], *[whole] * 4]),
        "convolve": (
            convolution.tiled_kernel((5, 5), (1, 1), (1, 1), convolution.TILE, dtype),
            [x[4], x[4], x[1], x[4], whole, whole],
        ),
        "max_kernel": (pooling.max_kernel, [x[4], x[4], (INT, 5), *[whole] * 8]),
        "max_gradient_kernel": (pooling.max_gradient_kernel, [x[4], (INT, 5), x[4], *[whole] * 8]),
        "sum_kernel": (pooling.sum_kernel, [x[4], x[4], *[whole] * 6]),
        "sum_gradient_kernel": (pooling.sum_gradient_kernel, [x[4], x[4], *[whole] * 6]),
        "squash_kernel": (capsule.squash_kernel, [x[3], x[3]]),
        "squash_gradient_kernel": (capsule.squash_gradient_kernel, [x[3], x[3], x[3]]),
        "sums": (layer.sums, [x[3], x[2], x[3], x[4]]),
        "pull": (layer.pull, [x[3], x[2], x[4], x[4], whole, x[4]]),
        "adam_kernel": (optim.adam_kernel, [*[x[1]] * 4, *[number] * 6]),
        "adam_kernel_again": (
            optim.adam_kernel_again, [*[x[1]] * 4, x[1], number, number, x[1], number, x[1]]
        ),
        "gradients": (layer.gradients, [x[3], x[2], x[4], x[4], x[4], whole, x[3], x[2]]),
        "relu_gradient_kernel": (activation.relu_gradient_kernel, [x[1]] * 3),
    }


NAMES = (
    "unfold_kernel", "fold_kernel", "convolve", "max_kernel", "max_gradient_kernel", "sum_kernel",
    "sum_gradient_kernel", "squash_kernel", "squash_gradient_kernel", "sums", "pull", "gradients", "adam_kernel",
    "adam_kernel_again", "relu_gradient_kernel",
)  # fmt: skip
BARRIERS = {"convolve": 2, "sums": 4, "pull": 6, "gradients": 8}  # counted in the source; none elsewhere


def compiled(name, dtype, capability, monkeypatch):
    """The PTX of a kernel."""
    import numba
    from numba import cuda
    from numba.cuda import dispatcher

    from zerohero.kernels.cuda import capsule

    # functions that kernels call are compiled for the GPU at hand: say that it is this one
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: types.SimpleNamespace(compute_capability=capability))
    capsule.layer_kernels.cache_clear()
    kernel, arguments = kernels(dtype)[name]
    signature = tuple(
        numba.types.Array(numba.from_dtype(np.dtype(kind)), axes, "C") if axes else numba.from_dtype(np.dtype(kind))
        for kind, axes in arguments
    )
    ptx, _ = cuda.compile_ptx(kernel.py_func, signature, cc=capability)
    capsule.layer_kernels.cache_clear()
    return ptx


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("capability", CAPABILITIES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_a_kernel_compiles(name, dtype, capability, monkeypatch):
    ptx = compiled(name, dtype, capability, monkeypatch)
    assert f".target sm_{capability[0]}{capability[1]}" in ptx and ".entry" in ptx
    # all threads wait where the source says so: the simulator would not notice a missing barrier
    assert len(re.findall(r"\bbar(?:rier)?\.sync", ptx)) == BARRIERS.get(name, 0)
    # a float32 kernel never computes in float64, which is slower by 2 on a server's GPU and by 64 on a desktop's
    assert (".f64" in ptx) == (dtype is np.float64)
    # what a thread keeps is in registers: none of it was put into memory
    assert "__local_depot" not in ptx
    shared = sum(int(size) for size in re.findall(r"\.shared \.align \d+ \.b8 \w+\[(\d+)\]", ptx))
    assert shared <= 48 * 1024 and (shared > 0) == (name in BARRIERS)


def test_no_kernel_is_left_out():
    from zerohero.kernels.cuda import activation, capsule, convolution, optim, pooling

    found = {
        name for module in (activation, capsule, convolution, optim, pooling) for name, value in vars(module).items()
        if hasattr(value, "py_func") and not value.targetoptions.get("device")
    }  # fmt: skip
    made_for_sizes = {"convolve", "unfold_kernel", "fold_kernel", *capsule.LayerKernels._fields}
    assert found | made_for_sizes == set(NAMES)
