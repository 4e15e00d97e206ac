"""Explorers of speed: engines racing on a clock that slows down, one thread of a CUDA grid; `visualize.speed` draws."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from zerohero.visualize.speed import ThreadGrid, race
from zerohero.visualize.style import Picture

from .explorer import Control, Explorer

STEPS_PER_DECADE = 6


class EngineRace(Explorer):
    """See `engine_race`."""

    title = "Engine race"
    can_play = True

    def __init__(self, picture: Any, seconds: Mapping[str, float]) -> None:
        race(picture, seconds, 0.0)  # refuses what can't be drawn
        self.image, self.seconds = np.asarray(picture), dict(seconds)
        self.first = min(seconds.values()) / 4
        steps = math.ceil(STEPS_PER_DECADE * math.log10(max(seconds.values()) / self.first))
        super().__init__(Control("step", "time, a step is 1.5 times", 0, steps, 0))

    def elapsed(self, step: int) -> float:
        """Seconds since the start; each step is a sixth of a power of ten, the last is the slowest engine's time."""
        if step == self.controls["step"].high:
            return max(self.seconds.values())
        return self.first * 10 ** (step / STEPS_PER_DECADE)

    @property
    def state(self) -> dict[str, Any]:
        elapsed = self.elapsed(self.values["step"])
        done = {name: min(1.0, elapsed / each) for name, each in self.seconds.items()}
        return {**self.values, "elapsed": elapsed, "done": done}

    def figure(self, **values: Any) -> Picture:
        return race(self.image, self.seconds, self.elapsed(self._checked(values)["step"]))


def engine_race(picture: Any, seconds: Mapping[str, float], *, static: bool = False) -> Any:
    """Watch engines make the same picture, each at the speed that was measured; time runs faster and faster.

    Parameters
    ----------
    picture : array-like (H, W)
    seconds : mapping from name to measured seconds
        One to six engines.
    static : bool
        Return the static picture of the moment when the fastest has just ended instead.

    Returns
    -------
    Explorer or Picture
        Control: ``step``; each multiplies the time by 1.5. ``state``: step, elapsed, done (a share for each engine).

    Raises
    ------
    ValueError
        If there is no engine, there are too many, or a time isn't above 0.

    Examples
    --------
    >>> from zerohero.interactive import engine_race
    >>> runners = engine_race([[1, 2], [3, 4]], {"loops": 10.0, "numba": 0.01})
    >>> runners.set(step=6)
    >>> runners.state["done"]
    {'loops': 0.0025, 'numba': 1.0}
    """
    runners = EngineRace(picture, seconds)
    fastest = math.ceil(STEPS_PER_DECADE * math.log10(4))
    return runners.figure(step=min(fastest, runners.controls["step"].high)) if static else runners


class ThreadExplorer(Explorer):
    """See `thread_explorer`."""

    title = "Thread explorer"

    def __init__(self, output: tuple[int, int], block: tuple[int, int], kernel: tuple[int, int]) -> None:
        self.output, self.block, self.kernel = output, block, kernel
        self._live = self._grid()  # refuses what can't be drawn
        down, across = -(-output[0] // block[0]), -(-output[1] // block[1])
        super().__init__(
            Control("block_x", "blockIdx.x", 0, across - 1, 0),
            Control("block_y", "blockIdx.y", 0, down - 1, 0),
            Control("thread_x", "threadIdx.x", 0, block[1] - 1, 0),
            Control("thread_y", "threadIdx.y", 0, block[0] - 1, 0),
        )

    @property
    def state(self) -> dict[str, Any]:
        row = self.values["block_y"] * self.block[0] + self.values["thread_y"]
        column = self.values["block_x"] * self.block[1] + self.values["thread_x"]
        works = row < self.output[0] and column < self.output[1]
        return {**self.values, "row": row, "column": column, "works": works}

    def _grid(self) -> ThreadGrid:
        return ThreadGrid(self.output, self.block, self.kernel)

    def picture(self) -> Picture:
        return self._marked(self._live, self.values)

    def figure(self, **values: Any) -> Picture:
        return self._marked(self._grid(), self._checked(values))

    def _marked(self, grid: ThreadGrid, values: dict[str, int]) -> Picture:
        grid.mark([values[name] for name in ("block_y", "block_x", "thread_y", "thread_x")], shared=True)
        return grid.fig


def thread_explorer(
    output: tuple[int, int] = (10, 14), block: tuple[int, int] = (4, 4), kernel: tuple[int, int] = (3, 3), *,
    static: bool = False,
) -> Any:  # fmt: skip
    """Choose a block and a thread of a CUDA grid: which number it makes, what it reads, whether it has work at all.

    Parameters
    ----------
    output : (rows, columns)
        At most 32 by 32.
    block : (rows, columns)
        Threads in a block.
    kernel : (rows, columns)
        Of the convolution.
    static : bool
        Return the static picture of the first thread instead.

    Returns
    -------
    Explorer or Picture
        Controls: ``block_x``, ``block_y``, ``thread_x``, ``thread_y``, as CUDA counts them. ``state``: these, and the
        thread's ``row`` and ``column`` in the output, and whether it ``works``.

    Raises
    ------
    ValueError
        If the output is too large to be drawn.

    Examples
    --------
    >>> from zerohero.interactive import thread_explorer
    >>> explorer = thread_explorer((5, 6), (2, 4))
    >>> explorer.set(block_x=1, block_y=2, thread_x=3)
    >>> explorer.state["row"], explorer.state["column"], explorer.state["works"]
    (4, 7, False)
    """
    explorer = ThreadExplorer(output, block, kernel)
    return explorer.figure() if static else explorer
