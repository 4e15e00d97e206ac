"""Explorers of where windows lie: output size, receptive field; the drawings are `visualize.geometry`'s."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zerohero.visualize.geometry import (
    FieldPage,
    _layers,
    _seen,
    output_size,
    output_size_formula,
    receptive_field_size,
    windows,
)
from zerohero.visualize.style import Picture

from .explorer import Control, Explorer

NAMES = ("size", "kernel_size", "stride", "padding", "dilation")


class OutputSizeExplorer(Explorer):
    """See `output_size_explorer`."""

    title = "Output size explorer"

    @property
    def state(self) -> dict[str, Any]:
        try:
            return {**self.values, "output_size": output_size(**self.values)}
        except ValueError:
            return {**self.values, "output_size": None}

    def figure(self, **values: Any) -> Picture:
        now: dict[str, Any] = dict(self._checked(values))
        return windows(**now)

    def text(self) -> str:
        try:
            return f"output size = {output_size_formula(**self.values)}"
        except ValueError as error:
            return str(error)


class ReceptiveFieldExplorer(Explorer):
    """See `receptive_field_explorer`."""

    title = "Receptive field explorer"

    def __init__(self, layers: Sequence[Any], outputs: int) -> None:
        self.layers, self.outputs = list(layers), outputs
        depth = len(_layers(self.layers))
        super().__init__(
            Control("depth", "layers", 1, depth, depth),
            Control("position", "output cell", 0, outputs - 1, outputs // 2),
        )
        self._live = {depth: FieldPage(self.layers, outputs)}  # by depth; a stack that cannot be drawn says so now

    @property
    def state(self) -> dict[str, Any]:
        size = receptive_field_size(self.layers[: self.values["depth"]])
        return {**self.values, "receptive_field": size}

    def figure(self, **values: Any) -> Picture:
        now = self._checked(values)
        page = FieldPage(self.layers[: now["depth"]], self.outputs)
        page.move(now["position"])
        return page.fig

    def picture(self) -> Picture:
        depth = self.values["depth"]
        if depth not in self._live:
            self._live[depth] = FieldPage(self.layers[:depth], self.outputs)
        self._live[depth].move(self.values["position"])
        return self._live[depth].fig

    def text(self) -> str:
        depth, position = self.values["depth"], self.values["position"]
        seen = _seen(_layers(self.layers[:depth]), position)[0]
        size = self.state["receptive_field"]
        return (
            f"after {depth} layer{'s' * (depth > 1)} output cell {position} can see input cells {seen[0]} to "
            f"{seen[-1]}: {size} cell{'s' * (size > 1)} along each axis"
        )


def output_size_explorer(
    size: int = 7,
    kernel_size: int = 3,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    static: bool = False,
) -> Any:
    """Move size, kernel, stride, padding and dilation, and see where the windows lie and what the formula says.

    Parameters
    ----------
    size, kernel_size, stride, padding, dilation : int
        Where the sliders start: size 1 to 32, kernel 1 to 11, stride 1 to 6, padding 0 to 6, dilation 1 to 5.
    static : bool
        Return the static picture instead.

    Returns
    -------
    Explorer or Picture
        Controls: size, kernel_size, stride, padding, dilation. ``state``: these and output_size (None where no
        window fits).

    Raises
    ------
    ValueError, TypeError
        If a start is outside its range.

    Examples
    --------
    >>> explorer = output_size_explorer(7, 3, stride=2)
    >>> print(explorer.text())
    output size = ⌊(7 + 2·0 − 1·(3 − 1) − 1) / 2⌋ + 1 = 3
    """
    explorer = OutputSizeExplorer(
        Control("size", "input size", 1, 32, 7),
        Control("kernel_size", "kernel size", 1, 11, 3),
        Control("stride", "stride", 1, 6, 1),
        Control("padding", "padding", 0, 6, 0),
        Control("dilation", "dilation", 1, 5, 1),
    )
    explorer.set(**dict(zip(NAMES, (size, kernel_size, stride, padding, dilation), strict=True)))
    return explorer.figure() if static else explorer


def receptive_field_explorer(layers: Sequence[Any] = (3, 3, 3), *, outputs: int = 3, static: bool = False) -> Any:
    """Move the number of layers and the output cell, and see which input cells it sees.

    Parameters
    ----------
    layers : sequence
        From input to output; each a kernel size, or (kernel_size, stride), or (kernel_size, stride, dilation).
    outputs : int
        How many output cells to draw.
    static : bool
        Return the static picture of the whole stack instead.

    Returns
    -------
    Explorer or Picture
        Controls: depth, position. ``state``: these and receptive_field.

    Raises
    ------
    ValueError, TypeError
        If the layers are not given as described, or would fill more than 64 input cells.

    Examples
    --------
    >>> print(receptive_field_explorer([3, (3, 2), 3]).text())
    after 3 layers output cell 1 can see input cells 2 to 10: 9 cells along each axis
    """
    explorer = ReceptiveFieldExplorer(layers, outputs)
    return explorer.figure() if static else explorer
