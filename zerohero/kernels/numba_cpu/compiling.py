"""How the kernels are compiled: the options they share, and the sentence for someone who waits for a compilation."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import numba
from numba.core import event

# Sums may be reordered and multiply-adds fused, as in any BLAS; NaN and infinity keep their meaning.
FAST = {"contract", "reassoc", "nsz", "arcp"}
PATIENCE = 2.0  # seconds


def compiled(function: Callable | None = None, **options: Any) -> Any:
    """Decorator: compile with numba, once for each machine: the machine code is kept on disk between runs.

    Parameters
    ----------
    function : callable
    **options
        Of `numba.njit`, such as parallel=True.
    """
    if function is None:
        return lambda each: compiled(each, **options)
    settings: dict[str, Any] = dict(cache=True, nogil=True, error_model="numpy", fastmath=FAST) | options
    return numba.njit(**settings)(function)


class _Announcer(event.Listener):
    """Says that a kernel is being compiled, if that takes long; a kernel found on disk isn't compiled."""

    def __init__(self) -> None:
        self.timers: dict[int, threading.Timer] = {}

    def on_start(self, event: Any) -> None:
        kernel = event.data["dispatcher"].py_func
        if kernel.__module__.startswith("zerohero."):
            timer = threading.Timer(PATIENCE, _say, [kernel.__name__])
            timer.daemon = True
            self.timers[threading.get_ident()] = timer
            timer.start()

    def on_end(self, event: Any) -> None:
        timer = self.timers.pop(threading.get_ident(), None)
        if timer is not None:
            timer.cancel()


def _say(kernel: str) -> None:
    print(f"zerohero: compiling {kernel} for this processor, once; the next run finds it on disk", file=sys.stderr)


_announcer: _Announcer | None = None


def announce() -> None:
    """From now on, say so when compiling a kernel takes more than two seconds."""
    global _announcer
    if _announcer is None:
        _announcer = _Announcer()
        event.register("numba:compile", _announcer)
