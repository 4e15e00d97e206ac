"""Turning, scaling and shearing an image under the eyes of one or more networks; no network is trained here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zerohero.limits.warping import warped
from zerohero.visualize.arrays import as_array
from zerohero.visualize.limits import LINES, MARKERS
from zerohero.visualize.style import COLORS, CYCLE, Picture, shade, styled

from .explorer import Control, Explorer
from .networks import _settle

TURNS = tuple(range(-180, 181, 15))  # where the curve under the image is computed


class ViewpointExplorer(Explorer):
    """See `viewpoint_explorer`."""

    title = "Viewpoint explorer"

    def __init__(self, models: Mapping[str, Any], image: Any, class_names: Sequence[Any] | None, label: int | None):
        super().__init__(
            Control("turn", "degrees, counter-clockwise", -180, 180, 0),
            Control("size", "size in %", 40, 160, 100),
            Control("lean", "lean, pixels per 10 up", -10, 10, 0),
            Control("right", "pixels to the right", -8, 8, 0),
            Control("down", "pixels down", -8, 8, 0),
        )
        if not isinstance(models, Mapping) or not models:
            raise ValueError(f"{self.title}: models needs networks by name, at least one")
        array = as_array(image, f"{self.title}: image").astype(np.float32)
        self.image = array[None] if array.ndim == 2 else array
        if self.image.ndim != 3 or len(self.image) not in (1, 3):
            raise ValueError(
                f"{self.title}: image needs shape (H, W) or (C, H, W) with C 1 or 3, but has {array.shape}"
            )
        self.models = dict(models)
        sizes = {name: scores.shape[-1] for name, scores in self._scores(self.image[None]).items()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"{self.title}: all models need the same classes, but they have {sizes}")
        classes = next(iter(sizes.values()))
        self.names = [str(name) for name in (range(classes) if class_names is None else class_names)]
        if len(self.names) != classes:
            raise ValueError(f"{self.title}: class_names needs {classes} names, but has {len(self.names)}")
        self.label = label
        self._live: _ViewpointPage | None = None

    def _scores(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """What each network says, (N, classes), as shares of 1; see `_shares`."""
        return {name: _shares(np.asarray(model.scores(batch))) for name, model in self.models.items()}

    def _seen(self, values: dict[str, int]) -> np.ndarray:
        return warped(
            self.image,
            rotation=values["turn"],
            scale=values["size"] / 100,
            shear=values["lean"] / 10,
            shift=(values["right"], values["down"]),
        )

    def _answers(self, values: dict[str, int]) -> dict[str, str]:
        scores = self._scores(self._seen(values)[None])
        return {name: self.names[int(each[0].argmax())] for name, each in scores.items()}

    @property
    def state(self) -> dict[str, Any]:
        return {**self.values, "answers": self._answers(self.values), "image": self._seen(self.values)}

    def picture(self) -> Picture:
        if self._live is None:
            self._live = _ViewpointPage(self)
        self._live.show(self.values)
        return self._live.fig

    def figure(self, **values: Any) -> Picture:
        page = _ViewpointPage(self)
        page.show(self._checked(values))
        return page.fig

    def text(self) -> str:
        return self._words(self.values)

    def _words(self, values: dict[str, int]) -> str:
        where = f"turned {values['turn']}°, size {values['size']} %, lean {values['lean']}"
        where += f", moved {values['right']} right and {values['down']} down"
        said = ", ".join(f"{name} says {answer}" for name, answer in self._answers(values).items())
        return f"{where.replace('-', '−')}: {said}"


class _ViewpointPage:
    """The image from this viewpoint, a bar for each class and network, and the right class while the image turns."""

    @styled
    def __init__(self, explorer: ViewpointExplorer) -> None:
        self.explorer = explorer
        classes, networks = len(explorer.names), len(explorer.models)
        self.fig = Picture(figsize=(9.4, max(3.3, 0.3 * classes + 1.1)), layout="constrained")
        first, middle, last = self.fig.subplots(1, 3, width_ratios=[1, 1.1, 1.3])
        pixels = np.moveaxis(explorer.image, 0, -1).squeeze()
        self.image = first.imshow(pixels, cmap="gray" if pixels.ndim == 2 else None, vmin=0, vmax=1)
        first.set(xticks=[], yticks=[], title="what the networks see")
        self.bars, height = {}, 0.8 / networks
        for place, (name, color) in enumerate(zip(explorer.models, CYCLE)):
            heights = np.arange(classes) + (place - (networks - 1) / 2) * height
            self.bars[name] = middle.barh(heights, np.zeros(classes), height * 0.9, color=shade(color, 0.8), label=name)
        names = [f"✓ {name}" if i == explorer.label else name for i, name in enumerate(explorer.names)]
        middle.set_yticks(range(classes), names)
        middle.set(xlim=(0, 1.02), ylim=(classes - 0.45, -0.55), xlabel="share of the score", title="what they say")
        middle.tick_params(axis="y", length=0)
        self.lines = {
            name: last.plot(TURNS, np.zeros(len(TURNS)), line, color=color, marker=marker, markersize=4)[0]
            for name, color, marker, line in zip(explorer.models, CYCLE, MARKERS, LINES * 2)
        }
        self.here = last.axvline(0, color=COLORS["highlight"], linewidth=3, alpha=0.7, zorder=0)
        kept = "right class" if explorer.label is not None else "class before turning"
        last.set(ylim=(-0.03, 1.03), xlabel="degrees", title=f"share of the {kept}", xticks=range(-180, 181, 90))
        self.fig.legend(*middle.get_legend_handles_labels(), loc="outside lower center", ncols=networks)
        bars = [bar for container in self.bars.values() for bar in container]
        _settle(self.fig, self.image, *bars, *self.lines.values(), self.here)

    @styled
    def show(self, values: dict[str, int]) -> None:
        explorer = self.explorer
        seen = explorer._seen(values)
        self.image.set_data(np.moveaxis(seen, 0, -1).squeeze())
        now = explorer._scores(seen[None])
        turned = np.stack([explorer._seen({**values, "turn": turn}) for turn in TURNS])
        along = explorer._scores(turned)
        for name in explorer.models:
            for bar, share in zip(self.bars[name], now[name][0].tolist()):
                bar.set_width(share)
            kept = int(along[name][TURNS.index(0)].argmax()) if explorer.label is None else explorer.label
            self.lines[name].set_ydata(along[name][:, kept])
        self.here.set_xdata([values["turn"]] * 2)
        self.fig.alt = f"An image and what networks say: {explorer._words(values)}."


def _shares(scores: np.ndarray) -> np.ndarray:
    """Scores (N, classes) as shares of 1: lengths, within [0, 1], divided by their sum; others through softmax."""
    if scores.ndim != 2:
        raise ValueError(f"Viewpoint explorer: models need to give scores (N, classes), but gave {scores.shape}")
    if scores.min() >= 0 and scores.max() <= 1:
        return scores / np.maximum(scores.sum(axis=1, keepdims=True), 1e-12)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def viewpoint_explorer(
    models: Mapping[str, Any],
    image: Any,
    *,
    class_names: Sequence[Any] | None = None,
    label: int | None = None,
    static: bool = False,
) -> Any:
    """Turn, scale, lean and move an image, and watch what networks say to it.

    Parameters
    ----------
    models : mapping from name to Module
        Each gives scores (N, classes) for images (N, C, H, W). Scores within [0, 1], such as a CapsNet's lengths, are
        divided by their sum; others go through softmax.
    image : array-like (H, W) or (C, H, W)
        With values in [0, 1]. Zeros come in from outside.
    class_names : sequence, optional
    label : int, optional
        The right class, marked with ✓. Its share is drawn for every angle; without a label, that of the class each
        network saw in the unturned image.
    static : bool
        Return the static picture of the start instead.

    Returns
    -------
    Explorer or Picture
        Controls: turn (degrees), size (%), lean (pixels to the right per 10 up), right, down. ``state``: these, the
        networks' answers by name, and the image they see.

    Raises
    ------
    ValueError, TypeError
        If there is no network, they have different classes, or the image or the names don't fit.

    Examples
    --------
    >>> import zerohero as zh
    >>> test = zh.datasets.load("digits", "test", size=28)
    >>> explorer = viewpoint_explorer({"LeNet-5": zh.weights.load("lenet5_digits")}, test.images[2])
    >>> explorer.set(turn=90)
    >>> explorer.state["answers"].keys(), explorer.state["image"].shape
    (dict_keys(['LeNet-5']), (1, 28, 28))
    """
    explorer = ViewpointExplorer(models, image, class_names, label)
    return explorer.figure() if static else explorer
