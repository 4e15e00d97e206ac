"""Matrix products on the GPU by cuBLAS, called directly: CuPy's own `@` can't be recorded as part of a CUDA graph.

Operands may be transposed views, which cuBLAS reads as they lie: nothing is copied. With CUPY_TF32=1, as in CuPy,
float32 is multiplied on the tensor cores with the ten bits of TF32.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import threading
from typing import Any

import numpy as np

from zerohero.operation import engine_of

WORKSPACE_BYTES = 32 * 2**20  # as cuBLAS advises for compute capability 9.0; its own can't be made while recording
MOST = 2**31 - 1  # cuBLAS counts rows, columns and distances in 32 bits

# cuBLAS' and CUDA's enumerations: (type of the data, type of the sums) of a dtype, and the sums in TF32
TYPES = {np.dtype(np.float32): (0, 68), np.dtype(np.float64): (1, 70)}
TF32 = 77
NOT_TRANSPOSED, TRANSPOSED, DEFAULT_ALGORITHM = 0, 1, -1


def matmul(a: Any, b: Any, out: Any = None, *, add: bool = False) -> Any:
    """The product of matrices (..., M, K) and (..., K, L), or of stacks of them; as a new array or into `out`.

    Parameters
    ----------
    a, b : arrays of one dtype, with two axes, or with three of which the first counts the matrices
    out : array, C-contiguous, optional
    add : bool
        Add the product to what is in `out`.

    Returns
    -------
    array
        `out`, if it was given.
    """
    shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
    if not _takes(a, b, shape):
        product = a @ b
        if out is None:
            return product
        out[...] = out + product if add else product
        return out
    out = sys.modules["cupy"].empty(shape, a.dtype) if out is None else out
    if 0 in shape:
        return out
    (a, a_layout, a_distance, a_step), (b, b_layout, b_distance, b_step) = _as_it_lies(a), _as_it_lies(b)
    kind, sums = TYPES[a.dtype]
    if a.dtype == np.float32 and os.environ.get("CUPY_TF32") == "1":
        sums = TF32
    number = ctypes.c_double if a.dtype == np.float64 else ctypes.c_float
    one, beta = number(1), number(1 if add else 0)
    rows, columns = shape[-2:]
    # cuBLAS writes columns: what it takes for the transposed product, it computes from bᵀ and aᵀ
    library, handle = _library(), _handle()
    _check(library.cublasGemmStridedBatchedEx(
        handle, b_layout, a_layout, columns, rows, a.shape[-1], ctypes.byref(one),
        ctypes.c_void_p(b.data.ptr), kind, b_distance, ctypes.c_longlong(b_step),
        ctypes.c_void_p(a.data.ptr), kind, a_distance, ctypes.c_longlong(a_step), ctypes.byref(beta),
        ctypes.c_void_p(out.data.ptr), kind, columns, ctypes.c_longlong(rows * columns),
        shape[0] if len(shape) == 3 else 1, sums, DEFAULT_ALGORITHM,
    ))  # fmt: skip
    return out


def _takes(a: Any, b: Any, shape: tuple[int, ...]) -> bool:
    """Whether cuBLAS can multiply these."""
    on_gpu = engine_of(a) == engine_of(b) == "cupy" and hasattr(sys.modules["cupy"], "cuda")
    alike = a.dtype == b.dtype and a.dtype in TYPES and a.ndim in (2, 3) and b.ndim in (2, 3)
    return on_gpu and alike and max(*a.shape, *b.shape, *shape) <= MOST and a.shape[-1] > 0


def _as_it_lies(array: Any) -> tuple[Any, int, int, int]:
    """A matrix or a stack of them, its layout for cuBLAS, and how far apart its rows (or columns) and matrices are."""
    rows, columns = array.shape[-2:]
    down, across = (stride // array.itemsize for stride in array.strides[-2:])
    step = array.strides[0] // array.itemsize if array.ndim == 3 and len(array) > 1 else 0
    if (across == 1 or columns == 1) and (down >= columns or rows == 1):
        return array, NOT_TRANSPOSED, down if rows > 1 else columns, step
    if (down == 1 or rows == 1) and (across >= rows or columns == 1):
        return array, TRANSPOSED, across if columns > 1 else rows, step
    array = sys.modules["cupy"].ascontiguousarray(array)
    return array, NOT_TRANSPOSED, columns, rows * columns if array.ndim == 3 else 0


# ---- the library ----------------------------------------------------------------------------------------


@functools.cache
def _library() -> Any:
    """cuBLAS, which CuPy has loaded already."""
    from cuda.pathfinder import load_nvidia_dynamic_lib

    return ctypes.CDLL(load_nvidia_dynamic_lib("cublas").abs_path)


_of_thread = threading.local()  # a handle belongs to one thread, for its stream can be changed


def _handle() -> ctypes.c_void_p:
    """cuBLAS' handle of this thread and device, set to CuPy's current stream."""
    cupy, library = sys.modules["cupy"], _library()
    device, stream = cupy.cuda.runtime.getDevice(), cupy.cuda.get_current_stream().ptr
    handles = vars(_of_thread).setdefault("handles", {})
    if device not in handles:
        handle = ctypes.c_void_p()
        _check(library.cublasCreate_v2(ctypes.byref(handle)))
        handles[device] = [handle, None, cupy.cuda.Memory(WORKSPACE_BYTES)]
    handle, set_to, workspace = handles[device]
    if set_to != stream:
        _check(library.cublasSetStream_v2(handle, ctypes.c_void_p(stream)))  # takes the workspace away
        _check(library.cublasSetWorkspace_v2(handle, ctypes.c_void_p(workspace.ptr), ctypes.c_size_t(WORKSPACE_BYTES)))
        handles[device][1] = stream
    return handle


def _check(status: int) -> None:
    if status:
        raise RuntimeError(f"matmul: cuBLAS answered with status {status}")
