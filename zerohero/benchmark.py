"""How speed is measured: contestants side by side, what their times say, and the roofline of this machine.

What is measured against what is no matter of this file: that stands in the repository's folder `benchmarks/`.
"""

from __future__ import annotations

import gc
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zerohero.arguments import integer, number

Work = Callable[[], Any]  # what is timed; the result is thrown away


# ---- time -----------------------------------------------------------------------------------------------


def side_by_side(
    contestants: Mapping[str, Work], *, rounds: int = 9, least: float = 0.05, pause: float = 0.02,
    synchronise: Work | None = None, clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:  # fmt: skip
    """Time several ways of doing the same work, alternately, so that a slow minute of the machine hits all of them.

    Each contestant runs twice to warm up (what it compiles, it compiles now). Then, in every round, each has its
    turn; the round starts with a different one each time. A turn that is over too soon for the clock is made of
    several calls.

    Parameters
    ----------
    contestants : mapping of callables without arguments, by name
    rounds : int
    least : float
        Seconds that a turn should take at least.
    pause : float
        Seconds of rest before a turn, in which the threads of the one before stop waiting for more to do.
    synchronise : callable, optional
        Waits until a GPU is done; called before the clock is read.
    clock : callable
        Gives seconds. Work on one thread may be timed by `time.process_time`, which stands still while other
        processes have the core; with several threads it would add up their waiting.

    Returns
    -------
    dict of lists
        Seconds for one call, one number for each round.

    Examples
    --------
    >>> found = side_by_side({"short": lambda: sum(range(10)), "long": lambda: sum(range(10_000))}, least=1e-3)
    >>> quartiles(found["short"]).median < quartiles(found["long"]).median
    True
    """
    integer(rounds, "side_by_side", "rounds", least=1)
    wait = synchronise or (lambda: None)

    def seconds(work: Work, calls: int) -> float:
        wait()
        start = clock()
        for _ in range(calls):
            work()
        wait()
        return (clock() - start) / calls

    calls = {}
    for name, work in contestants.items():
        seconds(work, 1)
        calls[name] = max(1, math.ceil(least / max(seconds(work, 1), 1e-7)))
    found: dict[str, list[float]] = {name: [] for name in contestants}
    order = list(contestants)
    for turn in range(rounds):
        first = turn % len(order)
        gc.collect()
        for name in order[first:] + order[:first]:
            time.sleep(pause)
            found[name].append(seconds(contestants[name], calls[name]))
    return found


# ---- what the times say ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spread:
    """The middle of some numbers, and the range of the middle half (or of what an interval was asked for).

    Examples
    --------
    >>> quartiles([1, 2, 3, 4, 5]).median
    3.0
    """

    median: float
    low: float
    high: float


def quartiles(values: Sequence[float]) -> Spread:
    """Median, first and third quartile.

    Examples
    --------
    >>> quartiles([1.0, 2.0, 3.0, 4.0, 100.0])
    Spread(median=3.0, low=2.0, high=4.0)
    """
    low, middle, high = np.percentile(np.asarray(values, float), [25, 50, 75])
    return Spread(float(middle), float(low), float(high))


def speedup(theirs: Sequence[float], ours: Sequence[float]) -> Spread:
    """How many times as fast ours is: the median over the rounds of theirs / ours, with a 95 % interval.

    Parameters
    ----------
    theirs, ours : sequences of seconds, one number for each round
        The rounds belong together, as `side_by_side` gives them: what slowed a round down slowed both.

    Examples
    --------
    >>> speedup([2.0, 2.0, 4.0], [1.0, 1.0, 2.0])
    Spread(median=2.0, low=2.0, high=2.0)
    """
    return mean_speedup([(theirs, ours)])


def mean_speedup(pairs: Sequence[tuple[Sequence[float], Sequence[float]]], *, draws: int = 2000) -> Spread:
    """The geometric mean over several pieces of work of the speedup of each, with a 95 % interval.

    The interval is a bootstrap: rounds are drawn anew, with replacement, from those that were measured.

    Parameters
    ----------
    pairs : sequence of (theirs, ours), as `speedup` takes them
    draws : int

    References
    ----------
    Fleming & Wallace 1986, "How not to lie with statistics: the correct way to summarize benchmark results",
    doi:10.1145/5666.5673, for the geometric mean; Efron 1979, doi:10.1214/aos/1176344552, for the bootstrap.

    Examples
    --------
    >>> mean_speedup([([2.0], [1.0]), ([1.0], [2.0])])
    Spread(median=1.0, low=1.0, high=1.0)
    """
    ratios = [np.asarray(theirs, float) / np.asarray(ours, float) for theirs, ours in pairs]
    middle = math.exp(np.mean([np.log(np.median(each)) for each in ratios]))
    rng = np.random.default_rng(0)
    drawn = np.mean(
        [np.log(np.median(each[rng.integers(0, len(each), (draws, len(each)))], axis=1)) for each in ratios], axis=0
    )
    low, high = np.exp(np.percentile(drawn, [2.5, 97.5]))
    return Spread(float(middle), float(low), float(high))


# ---- what is possible -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Roofline:
    """The most that a machine computes and moves in a second; no program is faster than both allow.

    Attributes
    ----------
    peaks : dict of float
        GFLOPS (10⁹ operations in a second) by how they were reached; the largest is the roof.
    bandwidth : float
        10⁹ bytes in a second between processor and memory.
    threads : int

    References
    ----------
    Williams, Waterman & Patterson 2009, "Roofline: an insightful visual performance model for multicore
    architectures", doi:10.1145/1498765.1498785.

    Examples
    --------
    >>> roof = Roofline({"matrix product": 100.0}, bandwidth=20.0, threads=1)
    >>> roof.seconds(flops=2e9, bytes=1e6), roof.seconds(flops=1e6, bytes=2e9)
    (0.02, 0.1)
    >>> roof.share(0.04, flops=2e9, bytes=1e6)
    0.5
    """

    peaks: dict[str, float]
    bandwidth: float
    threads: int

    @property
    def peak(self) -> float:
        """The roof for computing, in GFLOPS."""
        return max(self.peaks.values())

    def seconds(self, *, flops: float, bytes: float) -> float:
        """The least time for so many operations that move so many bytes."""
        return max(flops / (self.peak * 1e9), bytes / (self.bandwidth * 1e9))

    def share(self, seconds: float, *, flops: float, bytes: float) -> float:
        """Which part of the possible speed was reached by who took `seconds`."""
        return self.seconds(flops=flops, bytes=bytes) / number(seconds, "share", "seconds", low=1e-12)


def roofline(
    threads: int, *, patience: float = 1.5, size: int = 1024, megabytes: int = 64, clock: Callable = time.perf_counter,
) -> Roofline:  # fmt: skip
    """Measure the roofline of this processor in float32: loops of multiply-adds, matrix products, a triad.

    What is possible is what was reached once, so the best of many short tries counts, not the median.

    Parameters
    ----------
    threads : int
        NumPy's matrix product uses the number it was started with; make sure that it is the same.
    patience : float
        Seconds for the tries of each of the three.
    size : int
        Side of the matrices.
    megabytes : int
        Of each of the triad's three arrays; it must be far more than the caches hold.
    clock : callable
        As for `side_by_side`.

    Returns
    -------
    Roofline
    """
    import numba

    from zerohero.kernels.numba_cpu.roofline import HORNER, multiply_adds, triad

    numba.set_num_threads(threads)
    half = np.float32(0.5)
    blocks, repeats = np.zeros((threads, 512), np.float32), 20_000
    left, right = np.full((2, size, size), half, np.float32)
    x, y, out = np.full((3, megabytes * 2**18), half, np.float32)
    multiply_adds(blocks, 1, half, half)
    triad(out, x, y, half)
    loop = best(lambda: multiply_adds(blocks, repeats, half, half), patience, clock)
    product = best(lambda: left @ right, patience, clock)
    moving = best(lambda: triad(out, x, y, half), patience, clock)
    return Roofline(
        {
            "multiply-adds": 2 * HORNER * repeats * blocks.size / loop / 1e9,
            "NumPy's matrix product": 2 * size**3 / product / 1e9,
        },
        bandwidth=3 * x.nbytes / moving / 1e9,
        threads=threads,
    )


def best(work: Work, patience: float, clock: Callable[[], float] = time.perf_counter) -> float:
    """The shortest time of as many tries as go into `patience` seconds, five at least.

    Examples
    --------
    >>> best(lambda: None, patience=0.01) >= 0
    True
    """
    found: list[float] = []
    while sum(found) < patience or len(found) < 5:
        start = clock()
        work()
        found.append(clock() - start)
    return min(found)


# ---- the state of the machine ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Calm:
    """How busy the machine was with other things while something was measured.

    Attributes
    ----------
    load_before, load_after : float or None
        Average number of running processes in the last minute; the second includes the measuring itself.
    others : float or None
        Cores that other processes kept busy, on average, or that the host machine took away. None where it can't be
        told (only Linux says).

    Examples
    --------
    >>> Calm(load_before=0.1, load_after=1.0, others=0.0).noisy
    False
    """

    load_before: float | None
    load_after: float | None
    others: float | None

    @property
    def noisy(self) -> bool | None:
        """Whether others took more than a tenth of a core; None where it can't be told."""
        return None if self.others is None else self.others > 0.1

    def __str__(self) -> str:
        if self.others is None:
            return f"load average {_load_text(self.load_before)} before; what others did meanwhile can't be told here"
        kind = "a noisy machine" if self.noisy else "a quiet machine"
        return (
            f"{kind}: other processes kept {self.others:.2f} cores busy; load average {_load_text(self.load_before)} "
            f"before, {_load_text(self.load_after)} after"
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"noisy": self.noisy}


class Watch:
    """Looks at the machine from its making until `calm()`.

    Examples
    --------
    >>> watch = Watch()
    >>> isinstance(watch.calm().noisy, (bool, type(None)))
    True
    """

    def __init__(self) -> None:
        self.load, self.start, self.busy, self.own = _load(), time.monotonic(), _busy_seconds(), _own_seconds()

    def calm(self) -> Calm:
        """What was seen so far."""
        elapsed, busy = time.monotonic() - self.start, _busy_seconds()
        if busy is None or self.busy is None or elapsed <= 0:
            return Calm(self.load, _load(), None)
        others = (busy - self.busy - (_own_seconds() - self.own)) / elapsed
        return Calm(self.load, _load(), max(0.0, others))


def _load() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _load_text(load: float | None) -> str:
    return "unknown" if load is None else f"{load:.2f}"


def _own_seconds() -> float:
    """Processor time of this process and of its children that have ended."""
    return sum(os.times()[:4])


def _busy_seconds() -> float | None:
    """Seconds in which any core did anything, since the machine started."""
    try:
        words = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
    except OSError:
        return None
    user, nice, system, _idle, _waiting, irq, softirq, steal = map(int, words[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
