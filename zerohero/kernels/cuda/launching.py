"""How kernels are started: on CuPy's stream, on arrays that stay where they are, without waiting for the result."""

from __future__ import annotations

import functools
import sys
from typing import Any

from numba import config, cuda

from zerohero.operation import engine_of

# Threads in a block where each thread makes one value on its own: 8 warps of 32. Fewer would leave a processor's
# schedulers idle sooner, and more would round the last block up further; multiples of 32 waste no lane.
THREADS = 256

# A small grid is no mistake of the reader's: a small network has small layers.
vars(config)["CUDA_LOW_OCCUPANCY_WARNINGS"] = 0

SHARED_BYTES = 48 * 1024  # what a block may share without asking the driver for more, on every GPU


def launch(kernel: Any, blocks: Any, threads: Any, *arguments: Any) -> None:
    """Start `kernel` on a grid of `blocks`, each of `threads`; an empty grid starts nothing."""
    if 0 not in (blocks if isinstance(blocks, tuple) else (blocks,)):
        on_gpu = any(engine_of(argument) == "cupy" for argument in arguments)
        stream = _stream() if on_gpu else 0  # numba's simulator computes on NumPy arrays
        kernel[blocks, threads, stream](*map(_device_array, arguments))


def launch_each(kernel: Any, count: int, *arguments: Any) -> None:
    """Start `kernel` with a thread for each of `count` values; the kernel leaves alone those beyond the last."""
    launch(kernel, -(-count // THREADS), THREADS, *arguments)


def _stream() -> Any:
    """CuPy's current stream, so that kernels and CuPy's own functions run in the order in which they were called."""
    return _numbas(sys.modules["cupy"].cuda.get_current_stream().ptr)


@functools.lru_cache(maxsize=64)
def _numbas(stream: int) -> Any:
    """A stream as numba sees it: one object for each, since numba keeps what it prepares for a launch by the object."""
    return cuda.external_stream(stream)


def _device_array(argument: Any) -> Any:
    """A CuPy array as numba sees it, without a copy.

    Left to itself, numba would wait here until the GPU has done all that was asked before: it can't know that
    producer and consumer share a stream.
    """
    return cuda.as_cuda_array(argument, sync=False) if engine_of(argument) == "cupy" else argument
