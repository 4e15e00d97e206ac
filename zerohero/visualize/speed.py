"""Pictures of speed: the roofline with what reached which part of it, a race, threads laid over an output."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.patches import Rectangle

from zerohero.arguments import integers, number

from .arrays import as_array
from .style import COLORS, CYCLE, Picture, styled

MARKERS = "osD^vPX*"
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
MOST_CELLS = 32  # along a side of an output on which threads can still be told apart


def short_time(seconds: float) -> str:
    """A time with two digits or so, in seconds, milliseconds or microseconds.

    Examples
    --------
    >>> short_time(131.4), short_time(0.0147), short_time(4.2e-5)
    ('131 s', '15 ms', '42 µs')
    """
    size, unit = next(((size, unit) for size, unit in UNITS if seconds >= size), UNITS[-1])
    count = seconds / size
    return f"{count:,.0f} {unit}" if count >= 9.95 else f"{count:.1f} {unit}"


# ---- the roofline ---------------------------------------------------------------------------------------


@styled
def roofline(
    roof: Any, points: Mapping[str, tuple[float, float]] | None = None, *, title: str | None = None
) -> Picture:
    """Draw what a machine can reach for each intensity, and what programs did reach.

    Parameters
    ----------
    roof : Roofline
        As `zerohero.benchmark.roofline` measures it: `peak` in GFLOPS, `bandwidth` in 10⁹ bytes a second.
    points : mapping from name to (intensity, GFLOPS), optional
        Intensity: floating-point operations for each byte that has to be moved. At most eight.
    title : str, optional

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If a number isn't above 0, or there are too many points.

    References
    ----------
    Williams, Waterman & Patterson 2009, doi:10.1145/1498765.1498785.

    Examples
    --------
    >>> from zerohero.benchmark import Roofline
    >>> roofline(Roofline({"product": 100.0}, bandwidth=20.0, threads=1), {"ReLU": (0.125, 2.0)}, title="A machine")
    A machine: the roof rises by 20 GFLOPS for each FLOP per byte up to 100 GFLOPS, at 5 FLOPs per byte. \
ReLU: 2 GFLOPS at 0.12 FLOPs per byte, 80 % of its roof.
    """
    points = dict(points or {})
    if len(points) > len(MARKERS):
        raise ValueError(f"roofline: points can be told apart up to {len(MARKERS)}, but got {len(points)}")
    for name, values in points.items():
        for value in values:
            if number(value, "roofline", f"points[{name!r}]", low=0) == 0:
                raise ValueError(f"roofline: points[{name!r}] needs numbers above 0, but got {values}")
    ridge = roof.peak / roof.bandwidth
    at = [ridge, *(intensity for intensity, _ in points.values())]
    reached = [roof.peak, *(speed for _, speed in points.values())]
    left, right = min(at) / 4, max(at) * 4
    x = np.geomspace(left, right, 200)
    fig = Picture(figsize=(8.4, 4.4), layout="constrained")
    ax = fig.subplots()
    ax.loglog(x, np.minimum(roof.peak, roof.bandwidth * x), color=COLORS["neutral"], linewidth=2.5)
    ax.axvline(ridge, color=COLORS["grid"], linewidth=1, zorder=0)
    ax.text(left * 1.15, roof.peak * 1.12, f"{roof.peak:.0f} GFLOPS: computing", va="bottom")
    ax.text(ridge, min(reached) / 2.6, f" {ridge:.1f} FLOPs per byte", va="bottom", color=COLORS["neutral"])
    said = [
        f"{title or 'Roofline'}: the roof rises by {roof.bandwidth:.3g} GFLOPS for each FLOP per byte up to "
        f"{roof.peak:.3g} GFLOPS, at {ridge:.2g} FLOPs per byte."
    ]
    for marker, color, (name, (intensity, speed)) in zip(MARKERS, [*CYCLE, CYCLE[0]], points.items()):
        share = speed / min(roof.peak, roof.bandwidth * intensity)
        style: dict[str, Any] = dict(linestyle="none", marker=marker, markersize=9, color=color)
        ax.plot(intensity, speed, label=f"{name} ({percent(share)})", **style)
        said.append(f"{name}: {speed:.2g} GFLOPS at {intensity:.2g} FLOPs per byte, {percent(share)} of its roof.")
    ax.set(xlim=(left, right), ylim=(min(reached) / 3, roof.peak * 2.4))
    ax.set(xlabel="intensity (FLOPs for each byte)", ylabel="speed (GFLOPS)", title=title or "")
    ax.grid()
    if points:
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), title="share of its roof")
    fig.alt = " ".join(said)
    return fig


def percent(share: float) -> str:
    """A share with two digits.

    Examples
    --------
    >>> percent(0.83), percent(0.021), percent(0.00004)
    ('83 %', '2.1 %', '0.004 %')
    """
    hundred = 100 * share
    digits = 0 if hundred >= 9.95 else 1 - math.floor(math.log10(hundred)) if 0 < hundred < 1 else 1
    return f"{hundred:.{digits}f}".rstrip("0").rstrip(".") + " %" if digits > 1 else f"{hundred:.{digits}f} %"


# ---- a race ---------------------------------------------------------------------------------------------


@styled
def race(picture: Any, seconds: Mapping[str, float], elapsed: float, *, title: str | None = None) -> Picture:
    """Draw how much of the same picture each engine has made after so much time.

    Parameters
    ----------
    picture : array-like (H, W)
        What each of them makes; drawn as if from the top, row by row.
    seconds : mapping from name to seconds for all of it
        At most six.
    elapsed : float
        Seconds since the start.
    title : str, optional

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If there is no engine, there are too many, or a time isn't above 0.

    Examples
    --------
    >>> race([[1, 2], [3, 4]], {"loops": 10.0, "numba": 0.01}, 0.1)
    After 100 ms: loops 1.0 %; numba done in 10 ms.
    """
    pixels = as_array(picture, "race: picture").astype(float)
    if pixels.ndim != 2 or pixels.size == 0:
        raise ValueError(f"race: picture needs rows and columns, but has shape {pixels.shape}")
    if not 1 <= len(seconds) <= 6 or not all(math.isfinite(each) and each > 0 for each in seconds.values()):
        raise ValueError(f"race: seconds needs one to six numbers above 0 by name, but got {dict(seconds)!r}")
    number(elapsed, "race", "elapsed", low=0)
    count = len(seconds)
    fig = Picture(figsize=(min(9.6, 1.75 * count + 0.3), 2.75 if count > 3 else 3.4), layout="constrained")
    axes = np.atleast_1d(fig.subplots(1, count))
    heading = f"{title}, after" if title else "After"
    fig.suptitle(f"{heading} {short_time(elapsed)}")
    said = []
    for ax, (name, needed) in zip(axes, seconds.items()):
        share = min(1.0, elapsed / needed)
        shown = np.full(pixels.size, np.nan)
        shown[: int(share * pixels.size)] = pixels.ravel()[: int(share * pixels.size)]
        ax.set_facecolor(COLORS["grid"])
        ax.imshow(shown.reshape(pixels.shape), cmap="gray", vmin=pixels.min(), vmax=pixels.max())
        ax.set(xticks=[], yticks=[])
        ax.set_title(name, fontsize=9.5)
        state = f"done in {short_time(needed)}" if share == 1 else percent(share)
        color = COLORS["output"] if share == 1 else COLORS["neutral"]
        for side in ax.spines.values():
            side.set(visible=True, color=color, linewidth=3 if share == 1 else 1)
        ax.set_xlabel(state, fontsize=9.5)
        said.append(f"{' '.join(name.split())} {state}")
    fig.alt = f"{heading} {short_time(elapsed)}: {'; '.join(said)}."
    return fig


# ---- a grid of threads ----------------------------------------------------------------------------------


def thread_grid(
    output: tuple[int, int], block: tuple[int, int], *, thread: tuple[int, int, int, int] | None = None,
    kernel: tuple[int, int] = (3, 3), shared: bool = False, title: str | None = None,
) -> Picture:  # fmt: skip
    """Draw the threads of a CUDA grid over the numbers that they make, and what one of them reads.

    Parameters
    ----------
    output : (rows, columns)
        Of the output; each number is made by one thread. At most 32 by 32.
    block : (rows, columns)
        Threads in a block. Blocks are laid so that they cover the output; what hangs over has nothing to do.
    thread : (block row, block column, row, column), optional
        The thread to mark: which block, and where in it.
    kernel : (rows, columns)
        Of the convolution.
    shared : bool
        Also frame the piece of the input that the marked thread's block reads together.
    title : str, optional

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If there is no such thread, or the output is too large to be drawn.

    Examples
    --------
    >>> thread_grid((5, 6), (2, 4), thread=(1, 1, 0, 1))
    6 blocks of 2 × 4 threads over an output of 5 × 6: 48 threads, 18 of them with nothing to do. \
Thread (x 1, y 0) of block (x 1, y 1) makes number [2, 5] from rows 2 to 4 and columns 5 to 7 of the input.
    """
    grid = ThreadGrid(output, block, kernel, title)
    if thread is not None:
        grid.mark(thread, shared)
    return grid.fig


class ThreadGrid:
    """The threads of a CUDA grid over an output, on one picture; `mark` marks another of them."""

    @styled
    def __init__(self, output: Any, block: Any, kernel: Any, title: str | None = None) -> None:
        self.output = rows, columns = integers(list(output), "thread_grid", "output", count=2, least=1)
        self.block = high, wide = integers(list(block), "thread_grid", "block", count=2, least=1)
        self.kernel = kh, kw = integers(list(kernel), "thread_grid", "kernel", count=2, least=1)
        if max(rows, columns) > MOST_CELLS:
            raise ValueError(f"thread_grid: output needs at most {MOST_CELLS} rows and columns, but got {output}")
        self.blocks = down, across = -(-rows // high), -(-columns // wide)
        self.fig = Picture(figsize=(9.4, 4.3), layout="constrained")
        self.left, self.right = left, right = self.fig.subplots(1, 2)
        self.fig.suptitle(title or "A thread for each number of the output")
        _cells(left, rows + kh - 1, columns + kw - 1, COLORS["input"], "input x", 0.30)
        _cells(right, rows, columns, COLORS["output"], "output y and its threads", 0.30)
        idle_style: dict[str, Any] = dict(facecolor="#FFFFFF", edgecolor=COLORS["neutral"], hatch="////", linewidth=0.3)
        for i in range(down * high):
            for j in range(across * wide):
                if i >= rows or j >= columns:
                    right.add_patch(Rectangle((j, i), 1, 1, **idle_style))
        for i in range(down):
            for j in range(across):
                right.add_patch(_frame(i * high, j * wide, high, wide, COLORS["ink"], 1.8))
        for ax in (left, right):
            ax.set(xlim=(-0.3, max(across * wide, columns + kw - 1) + 0.3))
            ax.set(ylim=(max(down * high, rows + kh - 1) + 0.3, -0.3), aspect="equal", xlabel="column", ylabel="row")
        idle = down * across * high * wide - rows * columns
        self.said = self.fig.alt = (
            f"{down * across} blocks of {high} × {wide} threads over an output of {rows} × {columns}: "
            f"{down * across * high * wide} threads, {idle} of them with nothing to do."
        )

    @styled
    def mark(self, thread: Any, shared: bool = False) -> None:
        """Mark one thread, its window, and its block's piece of the input; the description says what it does."""
        (rows, columns), (high, wide), (kh, kw) = self.output, self.block, self.kernel
        by, bx, ty, tx = integers(list(thread), "thread_grid", "thread", count=4, least=0)
        if by >= self.blocks[0] or bx >= self.blocks[1] or ty >= high or tx >= wide:
            raise ValueError(
                f"thread_grid: there is no thread {thread}: the grid has {self.blocks[0]} × {self.blocks[1]} blocks of "
                f"{high} × {wide}"
            )
        for patch in self.fig.moving:
            patch.remove()
        i, j = by * high + ty, bx * wide + tx
        works = i < rows and j < columns
        style: dict[str, Any] = dict(facecolor=COLORS["highlight"], edgecolor=COLORS["ink"], linewidth=1.5)
        self.fig.moving = [self.right.add_patch(Rectangle((j, i), 1, 1, **style))]
        if shared:
            tall, broad = min(high, rows - by * high) + kh - 1, min(wide, columns - bx * wide) + kw - 1
            piece = _frame(by * high, bx * wide, tall, broad, COLORS["ink"], 2.2, linestyle="--")
            self.fig.moving += [self.left.add_patch(piece)]
        if works:
            self.fig.moving += [self.left.add_patch(Rectangle((j, i), kw, kh, **style))]
        reads = f"from rows {i} to {i + kh - 1} and columns {j} to {j + kw - 1} of the input."
        does = f"makes number [{i}, {j}] {reads}" if works else (
            f"would make number [{i}, {j}], which isn't there: it must do nothing."
        )  # fmt: skip
        fetched = " Its block fetches the dashed piece together." if shared else ""
        self.fig.alt = f"{self.said} Thread (x {tx}, y {ty}) of block (x {bx}, y {by}) {does}{fetched}"


def _cells(ax: Any, rows: int, columns: int, color: str, title: str, alpha: float) -> None:
    ax.set_title(title)
    ax.add_patch(Rectangle((0, 0), columns, rows, facecolor=color, alpha=alpha, linewidth=0))
    for i in range(rows + 1):
        ax.plot([0, columns], [i, i], color=COLORS["neutral"], linewidth=0.5, zorder=1)
    for j in range(columns + 1):
        ax.plot([j, j], [0, rows], color=COLORS["neutral"], linewidth=0.5, zorder=1)
    ax.set_xticks(np.arange(0, columns, 4) + 0.5, map(str, range(0, columns, 4)))
    ax.set_yticks(np.arange(0, rows, 4) + 0.5, map(str, range(0, rows, 4)))
    for side in ax.spines.values():
        side.set_visible(False)
    ax.tick_params(length=0)


def _frame(row: float, column: float, height: float, width: float, color: str, line: float, **style: Any) -> Rectangle:
    return Rectangle((column, row), width, height, fill=False, edgecolor=color, linewidth=line, **style)
