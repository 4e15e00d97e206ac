"""One contest: the same work done by zerohero and by its peers, first compared in its numbers, then in its times."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from zerohero.benchmark import Roofline, mean_speedup, quartiles, side_by_side
from zerohero.tensor import move

Work = Callable[[], Sequence[Any]]  # gives its results, so that they can be compared

# How far results may lie apart in float32, relative to the largest number of an array. On a GPU, where TF32 keeps ten
# bits while the times are taken, we and PyTorch eager are compared in float32 all the same. What torch.compile makes is
# made for TF32: the length of its difference to ours in float32 counts.
TOLERANCE, TOLERANCE_TF32 = 5e-4, 2e-2


@dataclass(frozen=True)
class Settings:
    """What is asked for on the command line, and the machine's roofline once it was measured."""

    threads: int
    backend: str  # numpy or numba, or cupy for the GPU
    rounds: int = 11
    least: float = 0.05  # seconds of a turn
    patience: float = 1.5  # seconds for each part of the roofline
    compiled: bool = True  # whether torch.compile takes part
    roof: Roofline | None = None

    @property
    def device(self) -> str:
        return "gpu" if self.backend == "cupy" else "cpu"

    @property
    def clock(self) -> str:
        """One thread is timed by what it computed, also on a busy machine; several, and GPUs, by the wall clock."""
        return "processor time" if self.device == "cpu" and self.threads == 1 else "wall clock"

    @property
    def seconds(self) -> Callable[[], float]:
        return time.process_time if self.clock == "processor time" else time.perf_counter

    def ours(self, array: np.ndarray) -> Any:
        """An array where zerohero computes."""
        return move(array, "cupy") if self.device == "gpu" else array

    def theirs(self, array: np.ndarray) -> torch.Tensor:
        """A copy of it where PyTorch computes."""
        return torch.tensor(array, device="cuda" if self.device == "gpu" else "cpu")

    @contextlib.contextmanager
    def exactly(self) -> Iterator[None]:
        """Inside the `with` block a GPU multiplies in float32, not in TF32."""
        if self.device == "cpu":
            yield
            return
        precision, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        ours = os.environ.get("CUPY_TF32", "0")
        try:
            torch.set_float32_matmul_precision("highest")
            torch.backends.cudnn.allow_tf32, os.environ["CUPY_TF32"] = False, "0"
            yield
        finally:
            torch.set_float32_matmul_precision(precision)
            torch.backends.cudnn.allow_tf32, os.environ["CUPY_TF32"] = convolutions, ours

    def synchronise(self) -> None:
        """Wait for the GPU; all streams of it, so that both sides are done."""
        if self.device == "gpu":
            torch.cuda.synchronize()


@dataclass(frozen=True)
class Peer:
    """One way in which PyTorch does the work; of several of a kind, the fastest counts."""

    kind: str  # "PyTorch eager" or "torch.compile"
    variant: str
    work: Work

    @property
    def name(self) -> str:
        return f"{self.kind}, {self.variant}" if self.variant else self.kind


@dataclass(frozen=True)
class Contest:
    """The work, who does it, and the operations and bytes that it needs at least."""

    name: str
    ours: Work
    peers: Sequence[Peer]
    flops: float
    bytes: float


class Disagreement(ArithmeticError):
    """Two contestants give different numbers, so that their times mean nothing."""


@dataclass
class Outcome:
    """What came of a contest: seconds of every round by contestant, our name first, and who could not take part."""

    contest: Contest
    seconds: dict[str, list[float]]
    differences: dict[str, float]
    skips: list[str] = field(default_factory=list)

    def fastest(self, kind: str) -> list[float] | None:
        """The times of the fastest peer of a kind."""
        names = [peer.name for peer in self.contest.peers if peer.kind == kind and peer.name in self.seconds]
        return min((self.seconds[name] for name in names), key=np.median) if names else None

    def record(self, roof: Roofline | None) -> dict[str, Any]:
        """As it stands in the JSON file."""
        contest, contestants = self.contest, {}
        for name, seconds in self.seconds.items():
            spread = quartiles(seconds)
            contestants[name] = {
                "seconds": seconds, "median": spread.median, "quartiles": [spread.low, spread.high],
                "gflops": contest.flops / spread.median / 1e9,
                "roofline_share": roof and roof.share(spread.median, flops=contest.flops, bytes=contest.bytes),
            }  # fmt: skip
        return {"name": contest.name, "flops": contest.flops, "bytes": contest.bytes, "contestants": contestants,
                "largest_relative_difference": self.differences}  # fmt: skip


def hold(contest: Contest, settings: Settings) -> Outcome:
    """Compare the numbers of all contestants, then their times.

    Raises
    ------
    Disagreement
        If a peer's numbers are not ours.
    """
    us = f"zerohero {settings.backend}"
    takes_part: dict[str, Work] = {us: contest.ours}
    differences: dict[str, float] = {}
    skips: list[str] = []
    with settings.exactly():
        wanted = _plain(contest.ours())
    for peer in contest.peers:
        in_tf32 = settings.device == "gpu" and peer.kind == "torch.compile"
        apart, tolerance = (distance, TOLERANCE_TF32) if in_tf32 else (difference, TOLERANCE)
        try:
            with contextlib.nullcontext() if in_tf32 else settings.exactly():
                got = _plain(peer.work())
        except Exception as error:
            if peer.kind != "torch.compile":
                raise
            skips.append(f"{peer.name}: it can't compile this here: {_first_line(error)}")
            continue
        differences[peer.name] = apart(wanted, got)
        if not differences[peer.name] <= tolerance:
            raise Disagreement(
                f"{contest.name}: {peer.name} and zerohero differ by {differences[peer.name]:.1e} of the largest "
                f"number, where {tolerance:.0e} is rounding"
            )
        takes_part[peer.name] = peer.work
    seconds = side_by_side(takes_part, rounds=settings.rounds, least=settings.least, clock=settings.seconds,
                           synchronise=settings.synchronise)  # fmt: skip
    return Outcome(contest, seconds, differences, skips)


def distance(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> float:
    """The largest ‖ours - theirs‖ / ‖theirs‖ of any array; infinite if shapes differ."""
    if [a.shape for a in ours] != [b.shape for b in theirs]:
        return float("inf")
    norm = np.linalg.norm
    return float(max(norm(a - b) / max(norm(b), 1e-30) for a, b in zip(ours, theirs, strict=True)))


def difference(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> float:
    """The largest difference in any array, relative to the array's largest number; infinite if shapes differ."""
    if [a.shape for a in ours] != [b.shape for b in theirs]:
        return float("inf")
    pairs = [(np.abs(a - b).max(initial=0), np.abs(b).max(initial=0)) for a, b in zip(ours, theirs, strict=True)]
    return float(max(gap / max(largest, 1e-30) for gap, largest in pairs))


def figure(
    label: str, kind: str, outcomes: Sequence[Outcome], must: float | None, goal: float | None
) -> dict[str, Any] | None:
    """One line of the table: how many times as fast as the fastest peers of a kind; None if there are none."""
    pairs = [(outcome.fastest(kind), next(iter(outcome.seconds.values()))) for outcome in outcomes]
    if any(theirs is None for theirs, _ in pairs):
        return None
    spread = mean_speedup([(theirs, ours) for theirs, ours in pairs if theirs is not None])
    return {"label": label, "against": kind, "unit": "×", "more_is_better": True, "value": spread.median,
            "interval": [spread.low, spread.high], "must": must, "goal": goal}  # fmt: skip


def _plain(results: Sequence[Any]) -> list[np.ndarray]:
    """The results of either side as NumPy arrays."""
    return [
        each.detach().cpu().numpy() if isinstance(each, torch.Tensor) else np.asarray(move(each, "numpy"))
        for each in results
    ]


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__
