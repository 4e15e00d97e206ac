"""A pad to draw a digit on, read by one or more networks at every stroke; no network is trained here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from zerohero.arguments import integer
from zerohero.visualize.arrays import as_array
from zerohero.visualize.style import COLORS, CYCLE, Picture, shade, styled

from .explorer import Control, Explorer
from .networks import _settle
from .viewpoint import _shares

SIDE = 28
THICK = 1.6  # from the middle of a stroke to where its ink ends, in pixels
UP, DOWN = 0, 1


class DigitPad(Explorer):
    """See `digit_pad`."""

    title = "Digit pad"

    def __init__(self, models: Mapping[str, Any], image: Any) -> None:
        super().__init__(
            Control("row", "row (down)", 0, SIDE - 1, 6),
            Control("column", "column (right)", 0, SIDE - 1, 9),
            Control("pen", "pen", UP, DOWN, UP),
        )
        if not isinstance(models, Mapping) or not models:
            raise ValueError(f"{self.title}: models needs networks by name, at least one")
        self.ink = np.zeros((SIDE, SIDE), np.float32) if image is None else self._ink(image)
        self.models = dict(models)
        self._kept: tuple[bytes, dict[str, np.ndarray]] = b"", {}
        shapes = {name: shares.shape for name, shares in self._read(self.ink).items()}
        if set(shapes.values()) != {(10,)}:
            raise ValueError(f"{self.title}: models need ten scores for an image, one a digit, but give {shapes}")
        self._live: _PadPage | None = None

    def _ink(self, image: Any) -> np.ndarray:
        array = as_array(image, f"{self.title}: image").astype(np.float32)
        ink = array[0] if array.ndim == 3 and len(array) == 1 else array
        if ink.shape != (SIDE, SIDE) or not (ink.min() >= 0 and ink.max() <= 1):
            raise ValueError(f"{self.title}: image needs shape (28, 28) and numbers from 0 to 1, but has shape "
                             f"{array.shape} and numbers from {array.min():g} to {array.max():g}")  # fmt: skip
        return ink.copy()

    # ---- drawing ------------------------------------------------------------------------------------------

    def set(self, **values: int) -> None:
        """Move the pen to ``row``, ``column``; with ``pen=1`` it is down, and draws a line to there."""
        new = self._checked(values)
        self.ink = self._after(new)
        self.values = new
        self._refresh()

    def draw(self, points: Iterable[tuple[int, int]]) -> None:
        """Draw a stroke through points (row, column), pen up before and after it."""
        places = [(integer(row, self.title, "row"), integer(column, self.title, "column")) for row, column in points]
        if not places:
            raise ValueError(f"{self.title}: points needs at least one (row, column), but is empty")
        for row, column in places:
            self._checked({"row": row, "column": column})  # all of them, before the first is drawn
        for place, (row, column) in enumerate(places):
            if place == 0:
                self.values = self._checked({"row": row, "column": column, "pen": UP})
            new = self._checked({"row": row, "column": column, "pen": DOWN})
            self.ink, self.values = self._after(new), new
        self.set(pen=UP)

    def clear(self) -> None:
        """An empty pad, pen up where it is."""
        self.ink = np.zeros_like(self.ink)
        self.set(pen=UP)

    def _after(self, new: dict[str, int]) -> np.ndarray:
        """The ink once the pen has moved from where it is to `new`."""
        if new["pen"] == UP:
            return self.ink
        start, end = (np.array([values["row"], values["column"]], float) for values in (self.values, new))
        return np.maximum(self.ink, stroke(start, end))

    # ---- reading ------------------------------------------------------------------------------------------

    def _read(self, ink: np.ndarray) -> dict[str, np.ndarray]:
        """What each network says to the drawing, ten shares of 1."""
        if self._kept[0] != ink.tobytes():  # picture and text ask for the same
            batch = centred(ink)[None, None]
            shares = {name: _shares(np.asarray(model.scores(batch)))[0] for name, model in self.models.items()}
            self._kept = ink.tobytes(), shares
        return self._kept[1]

    @property
    def state(self) -> dict[str, Any]:
        shares = self._read(self.ink)
        answers = {name: int(each.argmax()) for name, each in shares.items()} if self.ink.any() else {}
        return {**self.values, "image": self.ink[None].copy(), "seen": centred(self.ink)[None],
                "shares": shares, "answers": answers}  # fmt: skip

    # ---- showing ------------------------------------------------------------------------------------------

    def _control_rows(self, ipywidgets: Any, parts: dict[str, Any]) -> list[Any]:
        sliders = super()._control_rows(ipywidgets, parts)
        clear = ipywidgets.Button(description="Clear", layout=ipywidgets.Layout(width="6em"))
        clear.on_click(lambda _: self.clear())
        parts["clear"] = clear
        return [*sliders[:2], ipywidgets.HBox([parts["pen"], clear])]

    def _slider(self, ipywidgets: Any, control: Control) -> Any:
        if control.name != "pen":
            return super()._slider(ipywidgets, control)
        options = [("pen up", UP), ("pen down", DOWN)]
        pen = ipywidgets.ToggleButtons(options=options, value=self.values["pen"], style={"button_width": "7em"})
        pen.observe(lambda change: self._moved("pen", change["new"]), names="value")
        return pen

    def picture(self) -> Picture:
        if self._live is None:
            self._live = _PadPage(list(self.models))
        self._live.show(self.ink, self.values, self._read(self.ink), self.text())
        return self._live.fig

    def figure(self, **values: Any) -> Picture:
        now = self._checked(values)
        ink, page = self._after(now), _PadPage(list(self.models))
        page.show(ink, now, self._read(ink), self._words(ink, now))
        return page.fig

    def text(self) -> str:
        return self._words(self.ink, self.values)

    def _words(self, ink: np.ndarray, values: dict[str, int]) -> str:
        pen = f"pen {'down' if values['pen'] == DOWN else 'up'} at row {values['row']}, column {values['column']}"
        if not ink.any():
            return f"{pen}: nothing is drawn yet"
        shares = self._read(ink)
        return f"{pen}: " + ", ".join(f"{name} says {s.argmax()} ({s.max():.0%})" for name, s in shares.items())


def stroke(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The ink (28, 28) of a straight stroke between two places (row, column), full in its middle, soft at its edge."""
    places = np.moveaxis(np.indices((SIDE, SIDE)), 0, -1).astype(float)  # (28, 28, 2)
    along = end - start
    share = ((places - start) @ along / max(float(along @ along), 1e-12)).clip(0, 1)
    distance = np.linalg.norm(places - start - share[..., None] * along, axis=-1)
    return (THICK - distance).clip(0, 1).astype(np.float32)


def centred(ink: np.ndarray) -> np.ndarray:
    """The drawing moved by whole pixels, so that its centre of mass is in the middle, as MNIST's digits are.

    No ink is pushed over the edge: then it is moved less far.

    Examples
    --------
    >>> corner = np.zeros((28, 28)); corner[:2, :2] = 1
    >>> np.argwhere(centred(corner)).min(axis=0)
    array([13, 13])
    """
    if not ink.any():
        return ink
    moved = []
    for axis in (0, 1):
        profile = ink.sum(axis=1 - axis)
        here = np.flatnonzero(profile)
        wanted = round((SIDE - 1) / 2 - float(profile @ np.arange(SIDE)) / float(profile.sum()))
        moved.append(min(max(wanted, -here[0]), SIDE - 1 - here[-1]))
    return np.roll(ink, moved, axis=(0, 1))


class _PadPage:
    """The pad with its pen, the drawing as the networks see it, and a bar for each digit and network."""

    @styled
    def __init__(self, names: list[str]) -> None:
        self.fig = Picture(figsize=(9.4, 3.9), layout="constrained")
        first, middle, last = self.fig.subplots(1, 3, width_ratios=[1.25, 0.8, 1.25])
        blank = np.zeros((SIDE, SIDE))
        self.pad = first.imshow(blank, cmap="gray_r", vmin=0, vmax=1)
        self.seen = middle.imshow(blank, cmap="gray", vmin=0, vmax=1)
        self.pen = first.plot([0], [0], "o", markersize=9, markeredgewidth=2, markeredgecolor=COLORS["highlight"])[0]
        first.set(title="your pad", xticks=range(0, SIDE, 7), yticks=range(0, SIDE, 7), xlabel="column", ylabel="row")
        middle.set(title="what the networks see", xticks=[], yticks=[])
        self.bars, height = {}, 0.8 / len(names)
        for place, (name, color) in enumerate(zip(names, CYCLE)):
            at = np.arange(10) + (place - (len(names) - 1) / 2) * height
            self.bars[name] = last.barh(at, np.zeros(10), height * 0.9, color=shade(color, 0.8), label=name)
        last.set(xlim=(0, 1.02), ylim=(9.55, -0.55), yticks=range(10), title="what they say")
        last.set(xlabel="share of the score", ylabel="digit")
        self.fig.legend(*last.get_legend_handles_labels(), loc="outside lower center", ncols=len(names))
        bars = [bar for container in self.bars.values() for bar in container]
        _settle(self.fig, self.pad, self.seen, self.pen, *bars)

    @styled
    def show(self, ink: np.ndarray, values: dict[str, int], shares: dict[str, np.ndarray], words: str) -> None:
        self.pad.set_data(ink)
        self.seen.set_data(centred(ink))
        self.pen.set_data([values["column"]], [values["row"]])
        self.pen.set_markerfacecolor(COLORS["highlight"] if values["pen"] == DOWN else "none")
        for name, bars in self.bars.items():
            for bar, share in zip(bars, shares[name].tolist()):
                bar.set_width(share if ink.any() else 0)
        self.fig.alt = f"A pad with a drawing, and what networks say to it: {words}."


def digit_pad(models: Mapping[str, Any], image: Any = None, *, static: bool = False) -> Any:
    """Draw a digit, and watch what networks say at every stroke.

    The pen is moved by two sliders, with the mouse or with Tab and arrow keys; while it is down it draws. The networks
    see the drawing moved so that its centre of mass is in the middle, as MNIST's digits were made.

    Parameters
    ----------
    models : mapping from name to Module
        Each gives ten scores for images (N, 1, 28, 28), such as LeNet-5 and a CapsNet. Scores within [0, 1], such as
        lengths, are divided by their sum; others go through softmax.
    image : array-like (28, 28) or (1, 28, 28), optional
        What is on the pad at the start, ink from 0 to 1; by default nothing.
    static : bool
        Return the static picture of the start instead.

    Returns
    -------
    Explorer or Picture
        Controls: row, column, pen (1 is down). ``draw(points)`` draws a stroke from code, ``clear()`` empties the pad.
        ``state``: the controls, image (1, 28, 28), seen (the same, centred), shares and answers by network.

    Raises
    ------
    ValueError, TypeError
        If there is no network, one doesn't give ten scores, or the image doesn't fit.

    Examples
    --------
    >>> import zerohero as zh
    >>> pad = digit_pad({"LeNet-5": zh.weights.load("lenet5_mnist")})
    >>> pad.draw([(5, 14), (22, 14)])
    >>> pad.state["answers"]
    {'LeNet-5': 1}
    """
    pad = DigitPad(models, image)
    return pad.figure() if static else pad
