"""CUDA graphs: what a function asks of the GPU is recorded once, and asked for again by a single call."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any


def can_record() -> bool:
    """Whether CuPy is the real one, and not the double of the tests."""
    return hasattr(sys.modules["cupy"], "cuda")


class Recording:
    """What `work()` asked of the GPU, to be done again: by the same kernels, on the same arrays.

    Nothing is computed while recording. Arrays that `work` makes lie in memory that belongs to the recording; they
    hold new values after each `launch`. Arrays from outside must stay where they are.

    Parameters
    ----------
    work : callable
        It must have run before: what is compiled, or made on first use, must be there.

    Attributes
    ----------
    result
        What `work` returned.

    Raises
    ------
    Exception
        If `work` does what can't be recorded, such as waiting for the GPU or copying from the CPU.
    """

    def __init__(self, work: Callable[[], Any]):
        cupy = sys.modules["cupy"]
        self.pool = cupy.cuda.MemoryPool()  # nobody else must be given what the recording writes to
        stream = cupy.cuda.Stream(non_blocking=True)
        cupy.cuda.get_current_stream().synchronize()
        with stream, cupy.cuda.using_allocator(self.pool.malloc):
            stream.begin_capture()
            try:
                self.result = work()
            except BaseException:
                with contextlib.suppress(Exception):
                    stream.end_capture()
                raise
            self.graph = stream.end_capture()
        self.stream = stream  # the pool's memory belongs to it

    def launch(self) -> None:
        """Ask for all of it again, on CuPy's current stream."""
        self.graph.launch(sys.modules["cupy"].cuda.get_current_stream())
