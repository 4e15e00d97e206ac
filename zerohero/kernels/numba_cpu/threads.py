"""Sharing the work of a kernel among threads; the kernels release the interpreter's lock while they run."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba

TURNS = 4  # parts for each thread, so that a thread which is held up leaves work to the others
_config: Any = numba.config
_pool: ThreadPoolExecutor | None = None


def share(kernel: Callable, count: int, *arguments: Any) -> None:
    """Run `kernel(start, stop, *arguments)` over range(count), in parts that threads take in turn.

    Threads of our own, and not those of `prange`: numba's can't be used by two Python threads at once everywhere, nor
    (with GNU OpenMP) in a process forked after use, and its parallel code takes several times as long to compile.
    `numba.set_num_threads` and NUMBA_NUM_THREADS say how many. Kernels write the same bits whatever the parts are.
    """
    threads = max(1, min(numba.get_num_threads(), count))
    parts = min(TURNS * threads, count) if threads > 1 else 1
    turns = iter([(count * part // parts, count * (part + 1) // parts) for part in range(parts)])

    def work() -> None:
        for start, stop in turns:
            kernel(start, stop, *arguments)

    others = [_threads().submit(work) for _ in range(threads - 1)]
    try:
        work()
    finally:
        for other in others:
            other.result()


def _threads() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(max(1, _config.NUMBA_NUM_THREADS), "zerohero")
    return _pool


def _forget() -> None:
    """In a forked process, whose threads stayed with its parent."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
