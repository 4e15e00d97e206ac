"""Where many submissions are marked at once: in processes of this machine, or on the workers of a Dask cluster."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, ProcessPoolExecutor, wait
from typing import TypeVar

Given = TypeVar("Given")
Gave = TypeVar("Gave")


def spread(
    function: Callable[[Given], Gave], given: Iterable[Given], jobs: int, scheduler: str | None
) -> Iterator[Gave]:
    """Yield what a function gives, in the order in which it is ready. Few are under way at a time.

    Parameters
    ----------
    function : callable
        Importable by its name.
    given : iterable
        What to call it with.
    jobs : int
        Processes of this machine; with 1, this one.
    scheduler : str or None
        Address of a Dask scheduler, `tcp://host:8786`, whose workers do it instead.
    """
    if jobs == 1 and scheduler is None:
        yield from map(function, given)
        return
    with _dask(scheduler) if scheduler else _processes(jobs) as (executor, workers):
        given = iter(given)
        waiting = {executor.submit(function, each) for each in itertools.islice(given, 2 * workers)}
        try:
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                waiting |= {executor.submit(function, each) for each in itertools.islice(given, len(done))}
                for future in done:
                    yield future.result()
        finally:
            for future in waiting:
                future.cancel()


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def _processes(jobs: int) -> Iterator[tuple[Executor, int]]:
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as executor:
        yield executor, jobs


@contextlib.contextmanager
def _dask(scheduler: str) -> Iterator[tuple[Executor, int]]:
    try:
        from distributed import Client
    except ImportError:
        raise ImportError("grade: scheduler needs Dask: pip install 'zerohero[cluster]'") from None
    from zerohero.grading.classes import version

    try:
        client = Client(scheduler, timeout="10s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConnectionError(f"grade: no scheduler answers at {scheduler!r}: {error}") from error
    with client:
        theirs = client.run(version)
        if not theirs:
            raise ConnectionError(f"grade: the scheduler {scheduler!r} has no workers yet")
        if other := sorted(worker for worker, found in theirs.items() if found != version()):
            raise ValueError(f"grade: zerohero or NumPy is another version on {', '.join(other)}: grades could differ")
        yield client.get_executor(pure=False, retries=0), sum(client.nthreads().values())
