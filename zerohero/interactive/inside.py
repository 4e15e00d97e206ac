"""Looking inside a network by hand: choose layer and channel, slide a cover over an image. No method is new here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zerohero.arguments import integer
from zerohero.nn.module import Module
from zerohero.visualize.arrays import as_array
from zerohero.visualize.maps import activations, network
from zerohero.visualize.style import COLORS, DIVERGING, Picture, shade, styled

from .explorer import Control, Explorer
from .networks import _settle


def _one_image(image: Any, where: str) -> np.ndarray:
    """An image (C, H, W) in float32."""
    array = as_array(image, f"{where}: image").astype(np.float32)
    array = array[None] if array.ndim == 2 else array
    if array.ndim != 3 or len(array) not in (1, 3):
        raise ValueError(f"{where}: image needs shape (H, W) or (C, H, W) with C 1 or 3, but has {array.shape}")
    return array


def _pixels(image: np.ndarray) -> np.ndarray:
    return np.moveaxis(image, 0, -1).squeeze().clip(0, 1)


# ---- layer and channel ----------------------------------------------------------------------------------------


class ChannelExplorer(Explorer):
    """See `channel_explorer`."""

    title = "Channel explorer"

    def __init__(self, model: Module, image: Any, layers: Sequence[str]) -> None:
        network(model, self.title)
        self.image = _one_image(image, self.title)
        self.layers = list(layers)
        if not self.layers:
            raise ValueError(f"{self.title}: layers needs the names of layers, but is empty")
        self.maps = [activations(model, self.image, layer) for layer in self.layers]  # (channels, h, w) each
        for layer, maps in zip(self.layers, self.maps):
            if maps.ndim != 3:
                raise ValueError(f"{self.title}: layer {layer!r} needs rows and columns, but gives {maps.shape}")
        most = max(map(len, self.maps))
        super().__init__(
            Control("layer", "layer", 0, len(self.layers) - 1, 0), Control("channel", "channel", 0, most - 1, 0)
        )
        self._live: _ChannelPage | None = None

    def _shown(self, values: dict[str, int]) -> tuple[str, np.ndarray, int]:
        """The layer's name, its maps, and the channel: the layer's last one where it has fewer."""
        maps = self.maps[values["layer"]]
        return self.layers[values["layer"]], maps, min(values["channel"], len(maps) - 1)

    @property
    def state(self) -> dict[str, Any]:
        name, maps, channel = self._shown(self.values)
        return {**self.values, "name": name, "channel": channel, "map": maps[channel]}

    def picture(self) -> Picture:
        if self._live is None:
            self._live = _ChannelPage(self)
        self._live.show(self.values)
        return self._live.fig

    def figure(self, **values: Any) -> Picture:
        page = _ChannelPage(self)
        page.show(self._checked(values))
        return page.fig

    def text(self) -> str:
        return self._words(self.values)

    def _words(self, values: dict[str, int]) -> str:
        name, maps, channel = self._shown(values)
        chosen = maps[channel]
        row, column = np.unravel_index(chosen.argmax(), chosen.shape)
        return (
            f"{name}, channel {channel} of {len(maps)} (0 to {len(maps) - 1}): {chosen.shape[0]} by {chosen.shape[1]} "
            f"places, from {chosen.min():.3g} (black) to {chosen.max():.3g} (white), strongest at row {row}, "
            f"column {column}"
        )


class _ChannelPage:
    """The image, one channel's map, and the largest activation of each channel of the layer."""

    @styled
    def __init__(self, explorer: ChannelExplorer) -> None:
        self.explorer = explorer
        self.fig = Picture(figsize=(9.4, 3.3), layout="constrained")
        first, middle, self.last = self.fig.subplots(1, 3, width_ratios=[1, 1, 1.2])
        first.imshow(_pixels(explorer.image), cmap="gray", vmin=0, vmax=1)
        first.set(xticks=[], yticks=[], title="image")
        self.map = middle.imshow(np.zeros((2, 2)), cmap="gray", extent=(0, 1, 1, 0))
        middle.set(xticks=[], yticks=[], title="what the channel answers")
        (self.largest,) = self.last.plot([], [], ".", color=COLORS["positive"])
        (self.here,) = self.last.plot([], [], "o", color=COLORS["highlight"], ms=9)
        self.last.set(xlabel="channel", ylabel="largest activation", xlim=(0, 1), ylim=(0, 1), title="all of the layer")
        self.last.locator_params(axis="x", integer=True)
        _settle(self.fig)

    @styled
    def show(self, values: dict[str, int]) -> None:
        _, maps, channel = self.explorer._shown(values)
        self.map.set_data(maps[channel])
        self.map.set_clim(maps[channel].min(), max(maps[channel].max(), maps[channel].min() + 1e-12))
        largest = maps.max(axis=(1, 2))
        self.largest.set_data(range(len(maps)), largest)
        self.here.set_data([channel], [largest[channel]])
        low, high = min(float(largest.min()), 0.0), max(float(largest.max()), 1e-12)
        self.last.set(xlim=(-1, len(maps)), ylim=(low - 0.05 * (high - low), high + 0.05 * (high - low)))
        self.fig.alt = f"An image, a channel, and all channels of its layer: {self.explorer._words(values)}."


def channel_explorer(model: Any, image: Any, layers: Sequence[str], *, static: bool = False) -> Any:
    """Choose a layer and a channel, and see what it answers to an image.

    Parameters
    ----------
    model : zerohero.nn.Module
    image : array-like, (H, W) or (C, H, W)
        As the model wants it.
    layers : sequence of str
        Names as for `zerohero.visualize.activations`; each needs rows and columns.
    static : bool
        Return the static picture of the first channel instead.

    Returns
    -------
    Explorer or Picture
        Controls: layer, channel (the layer's last one where it has fewer). ``state``: these, name, map.

    Raises
    ------
    ValueError, TypeError
        If there is no such layer, it has no rows and columns, or the image has another shape.

    Examples
    --------
    >>> import numpy as np, zerohero as zh
    >>> lenet = zh.weights.load("lenet5_digits")
    >>> explorer = channel_explorer(lenet, np.tri(28), ["conv1", "conv2"])
    >>> explorer.set(layer=1, channel=3)
    >>> explorer.state["name"], explorer.state["map"].shape
    ('conv2', (10, 10))
    """
    explorer = ChannelExplorer(model, image, layers)
    return explorer.figure() if static else explorer


# ---- a cover --------------------------------------------------------------------------------------------------


class OcclusionExplorer(Explorer):
    """See `occlusion_explorer`."""

    title = "Occlusion explorer"

    def __init__(self, model: Module, image: Any, target: Any, reach: int, stride: int) -> None:
        network(model, self.title)
        self.image = _one_image(image, self.title)
        self.grey = self.image.mean(axis=(1, 2), keepdims=True)
        height, width = self.image.shape[1:]
        reach = integer(reach, self.title, "reach", least=1)
        self.stride = integer(stride, self.title, "stride", least=1)
        scores = as_array(model.scores(self.image[None]), f"{self.title}: the model's answer").astype(float)
        if scores.ndim != 2:
            raise ValueError(f"{self.title}: model needs to give scores (N, classes), but gave {scores.shape}")
        self.target = int(scores[0].argmax()) if target is None else integer(target, self.title, "target", least=0)
        if self.target >= scores.shape[1]:
            raise ValueError(f"{self.title}: target needs to lie below {scores.shape[1]}, but got {self.target}")
        self.before = float(scores[0, self.target])
        self.rows, self.columns = range(0, height, self.stride), range(0, width, self.stride)
        super().__init__(
            Control("reach", "pixels to each side", 1, reach, min(3, reach)),
            Control("row", "row", 0, len(self.rows) - 1, len(self.rows) // 2),
            Control("column", "column", 0, len(self.columns) - 1, len(self.columns) // 2),
        )
        self.drops = np.stack([self._drops(model, each) for each in range(1, reach + 1)])  # (reach, rows, columns)
        self._live: _OcclusionPage | None = None

    def _covered(self, reach: int, row: int, column: int) -> np.ndarray:
        """The image with a grey square about a pixel, cut off at the edges."""
        covered = self.image.copy()
        top, left = max(row - reach, 0), max(column - reach, 0)
        covered[:, top : row + reach + 1, left : column + reach + 1] = self.grey
        return covered

    def _drops(self, model: Module, reach: int) -> np.ndarray:
        batch = np.stack([self._covered(reach, row, column) for row in self.rows for column in self.columns])
        after = as_array(model.scores(batch), self.title)[:, self.target].astype(float)
        return self.before - after.reshape(len(self.rows), len(self.columns))

    def _place(self, values: dict[str, int]) -> tuple[int, int, int, float]:
        """Pixels to each side, row and column of the middle, and how far the score falls."""
        drop = self.drops[values["reach"] - 1, values["row"], values["column"]]
        return values["reach"], self.rows[values["row"]], self.columns[values["column"]], float(drop)

    @property
    def state(self) -> dict[str, Any]:
        reach, row, column, drop = self._place(self.values)
        return {**self.values, "drop": drop, "image": self._covered(reach, row, column), "map": self.drops[reach - 1]}

    def picture(self) -> Picture:
        if self._live is None:
            self._live = _OcclusionPage(self)
        self._live.show(self.values)
        return self._live.fig

    def figure(self, **values: Any) -> Picture:
        page = _OcclusionPage(self)
        page.show(self._checked(values))
        return page.fig

    def text(self) -> str:
        return self._words(self.values)

    def _words(self, values: dict[str, int]) -> str:
        reach, row, column, drop = self._place(values)
        moved = "falls" if drop >= 0 else "rises"
        return (
            f"a square of {2 * reach + 1} pixels about row {row}, column {column}: the score of class {self.target} "
            f"{moved} by {abs(drop):.2f}, from {self.before:.2f} to {self.before - drop:.2f}"
        )


class _OcclusionPage:
    """The covered image, and the drop of the score for every place of a square of this size."""

    @styled
    def __init__(self, explorer: OcclusionExplorer) -> None:
        self.explorer = explorer
        self.fig = Picture(figsize=(8.4, 3.6), layout="constrained")
        first, self.last = self.fig.subplots(1, 2, width_ratios=[1, 1.15])
        self.image = first.imshow(_pixels(explorer.image), cmap="gray", vmin=0, vmax=1)
        first.set(xticks=[], yticks=[], title="what the network sees")
        limit, half = np.abs(explorer.drops).max() or 1.0, explorer.stride / 2
        where = (-half, explorer.columns[-1] + half, explorer.rows[-1] + half, -half)
        self.map = self.last.imshow(explorer.drops[0], cmap=DIVERGING, vmin=-limit, vmax=limit, extent=where)
        (self.here,) = self.last.plot([0], [0], "s", mfc="none", mec=COLORS["highlight"], mew=2.5, ms=9)
        self.last.set(xlabel="column", ylabel="row", title=f"drop of the score of class {explorer.target}")
        self.last.set_facecolor(shade(COLORS["positive"], 0.1))
        self.fig.colorbar(self.map, ax=self.last)
        _settle(self.fig, self.image, self.map, self.here)

    @styled
    def show(self, values: dict[str, int]) -> None:
        reach, row, column, _ = self.explorer._place(values)
        self.image.set_data(_pixels(self.explorer._covered(reach, row, column)))
        self.map.set_data(self.explorer.drops[reach - 1])
        self.here.set_data([column], [row])
        self.fig.alt = f"A covered image and the map of drops: {self.explorer._words(values)}."


def occlusion_explorer(
    model: Any, image: Any, target: int | None = None, *, reach: int = 5, stride: int = 2, static: bool = False
) -> Any:
    """Slide a grey square over an image, make it larger, and watch the score of a class fall.

    Parameters
    ----------
    model : zerohero.nn.Module
    image : array-like, (H, W) or (C, H, W)
        As the model wants it, in [0, 1]. The cover has the mean of each channel.
    target : int, optional
        The class; by default the model's answer.
    reach : int
        The square has up to so many pixels on each side of its middle: side 2·reach + 1. All sizes and places are
        computed at the start.
    stride : int
        Pixels between places.
    static : bool
        Return the static picture instead.

    Returns
    -------
    Explorer or Picture
        Controls: reach, row, column (counted in strides). ``state``: these, drop, image, map.

    Raises
    ------
    ValueError, TypeError
        If image, target or the model's answer have another shape.

    Examples
    --------
    >>> import numpy as np, zerohero as zh
    >>> lenet, test = zh.weights.load("lenet5_digits"), zh.datasets.load("digits", "test", size=28)
    >>> explorer = occlusion_explorer(lenet, test.images[3], stride=7, reach=2)
    >>> explorer.set(reach=2, row=2, column=1)
    >>> explorer.state["map"].shape, explorer.text().split(":")[0]
    ((4, 4), 'a square of 5 pixels about row 14, column 7')
    """
    explorer = OcclusionExplorer(model, image, target, reach, stride)
    return explorer.figure() if static else explorer
