"""Watching a network: class probabilities while an image slides, filters while they form; no training is done here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from zerohero.arguments import integer
from zerohero.visualize.arrays import _filter_tiles, as_array, filter_grid, number
from zerohero.visualize.style import COLORS, CYCLE, Picture, shade, styled

from .explorer import Control, Explorer

MOST_SNAPSHOTS = 400
MOST_LINES = 6  # classes whose probability is drawn along a row of shifts: those that win most often


class ShiftExplorer(Explorer):
    """See `shift_explorer`."""

    title = "Shift explorer"

    def __init__(
        self, model: Any, image: Any, reach: int, class_names: Sequence[Any] | None, label: int | None
    ) -> None:
        self.reach = integer(reach, self.title, "reach", least=1)
        super().__init__(
            Control("right", "pixels to the right", -reach, reach, 0), Control("down", "pixels down", -reach, reach, 0)
        )
        array = as_array(image, f"{self.title}: image").astype(np.float32)
        self.image = array[None] if array.ndim == 2 else array
        if self.image.ndim != 3 or len(self.image) not in (1, 3):
            raise ValueError(
                f"{self.title}: image needs shape (H, W) or (C, H, W) with C 1 or 3, but has {array.shape}"
            )
        self.probabilities = self._all_shifts(model)  # (down, right, classes)
        classes = self.probabilities.shape[-1]
        self.names = [str(name) for name in (range(classes) if class_names is None else class_names)]
        if len(self.names) != classes:
            raise ValueError(f"{self.title}: class_names needs {classes} names, but has {len(self.names)}")
        self.label = label
        self._live: _ShiftPage | None = None

    def _all_shifts(self, model: Any) -> np.ndarray:
        steps = range(-self.reach, self.reach + 1)
        batch = np.stack([shifted(self.image, down, right) for down in steps for right in steps])
        scores = model.scores(batch) if hasattr(model, "scores") else model(batch)
        scores = as_array(scores, f"{self.title}: the model's answer").astype(float)
        if scores.ndim != 2 or len(scores) != len(batch):
            raise ValueError(
                f"{self.title}: model needs to return (N, classes) for {len(batch)} images, but gave {scores.shape}"
            )
        return _probabilities(scores).reshape(len(steps), len(steps), -1)

    @property
    def state(self) -> dict[str, Any]:
        now = self._at(self.values)
        best = int(now.argmax())
        return {
            **self.values,
            "probabilities": now.copy(),
            "answer": self.names[best],
            "image": self._image(self.values),
        }

    def _at(self, values: dict[str, int]) -> np.ndarray:
        return self.probabilities[values["down"] + self.reach, values["right"] + self.reach]

    def _image(self, values: dict[str, int]) -> np.ndarray:
        return shifted(self.image, values["down"], values["right"])

    def surviving(self) -> float:
        """The share of all these shifts at which the answer is the same as without a shift."""
        answers = self.probabilities.argmax(axis=-1)
        return float((answers == answers[self.reach, self.reach]).mean())

    def picture(self) -> Picture:
        if self._live is None:
            self._live = _ShiftPage(self)
        self._live.show(self.values, self.text())
        return self._live.fig

    def figure(self, **values: Any) -> Picture:
        now = self._checked(values)
        page = _ShiftPage(self)
        page.show(now, self._words(now))
        return page.fig

    def text(self) -> str:
        return self._words(self.values)

    def _words(self, values: dict[str, int]) -> str:
        now = self._at(values)
        first, second = np.argsort(-now, kind="stable")[:2].tolist() if len(now) > 1 else (0, 0)
        answers = self.probabilities.argmax(axis=-1)
        same = answers[values["down"] + self.reach, values["right"] + self.reach] == answers[self.reach, self.reach]
        across = f"{abs(values['right'])} {'right' if values['right'] >= 0 else 'left'}"
        along = f"{abs(values['down'])} {'down' if values['down'] >= 0 else 'up'}"
        verdict = "the same answer as unmoved" if same else "another answer than unmoved"
        return (
            f"pixels moved: {across}, {along}; answer {self.names[first]} ({100 * now[first]:.0f} %), then "
            f"{self.names[second]} ({100 * now[second]:.0f} %); {verdict}"
        )


class _ShiftPage:
    """The shifted image, a bar for each class, and the probabilities along the row of shifts."""

    @styled
    def __init__(self, explorer: ShiftExplorer) -> None:
        self.explorer = explorer
        classes = len(explorer.names)
        self.fig = Picture(figsize=(9.4, max(3.2, 0.26 * classes + 1.0)), layout="constrained")
        first, middle, last = self.fig.subplots(1, 3, width_ratios=[1, 1, 1.25])
        pixels = np.moveaxis(explorer.image, 0, -1).squeeze()
        self.image = first.imshow(pixels, cmap="gray" if pixels.ndim == 2 else None)
        first.set(xticks=[], yticks=[], title="what the network sees")
        self.bars = middle.barh(range(classes), np.zeros(classes), height=0.72)
        names = [f"✓ {name}" if i == explorer.label else name for i, name in enumerate(explorer.names)]
        middle.set_yticks(range(classes), names)
        middle.set(xlim=(0, 1.02), ylim=(classes - 0.45, -0.55), xlabel="probability", title="what it says")
        middle.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
        middle.tick_params(axis="y", length=0)
        self.steps = np.arange(-explorer.reach, explorer.reach + 1)
        wins = np.bincount(explorer.probabilities.argmax(axis=-1).ravel(), minlength=classes)
        winners = [c for c in np.argsort(-wins, kind="stable").tolist() if wins[c]][:MOST_LINES]
        self.lines = {}
        for c, color, marker in zip(winners, CYCLE, "osD^vPX", strict=False):
            style = {"color": color, "marker": marker, "markersize": 4, "label": explorer.names[c]}
            self.lines[c] = last.plot(self.steps, np.zeros(len(self.steps)), **style)[0]
        self.here = last.axvline(0, ymax=0.76, color=COLORS["highlight"], linewidth=3, alpha=0.7, zorder=0)
        last.set(ylim=(-0.03, 1.34), xlabel="pixels to the right", title="along this row of shifts")
        last.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
        last.legend(loc="upper center", ncols=3, columnspacing=1.0, handlelength=1.4, borderaxespad=0.1)
        _settle(self.fig, self.image, *self.bars, *self.lines.values(), self.here)

    @styled
    def show(self, values: dict[str, int], words: str) -> None:
        explorer = self.explorer
        now = explorer._at(values)
        self.image.set_data(np.moveaxis(explorer._image(values), 0, -1).squeeze())
        best = int(now.argmax())
        for index, (bar, share) in enumerate(zip(self.bars, now.tolist(), strict=True)):
            bar.set_width(share)
            bar.set_facecolor(COLORS["highlight"] if index == best else shade(COLORS["positive"], 0.55))
        for index, line in self.lines.items():
            line.set_ydata(explorer.probabilities[values["down"] + explorer.reach, :, index])
        self.here.set_xdata([values["right"]] * 2)
        self.fig.alt = f"A shifted image and what the network says: {words}."


class _FilterPage:
    """A layer's filters whose colours can be changed without drawing the rest anew."""

    def __init__(self, weight: np.ndarray, limit: float, heading: str) -> None:
        self.fig = filter_grid(weight, title=heading, numbers=False)
        _settle(self.fig)
        self.show(weight, limit, heading)

    @styled
    def show(self, weight: np.ndarray, limit: float, heading: str) -> None:
        tiles, _ = _filter_tiles(weight.astype(float), limit, None)
        for ax, tile in zip(self.fig.axes, tiles, strict=False):
            ax.images[0].set_data(tile)
            ax.images[0].set_clim(-limit, limit)
        self.fig.suptitle(heading)
        low, high = number(float(weight.min())), number(float(weight.max()))
        self.fig.alt = f"{heading}: {len(weight)} filters, weights from {low} to {high}."


class FilterWatcher(Explorer):
    """See `filter_watcher`."""

    title = "Filter watcher"
    can_play = True

    def __init__(self, weight: Any, title: str) -> None:
        self.weight, self.heading = weight, title
        self.snapshots: list[np.ndarray] = []
        self.notes: list[str] = []
        self._live: _FilterPage | None = None
        super().__init__(Control("snapshot", "snapshot", 0, 0, 0))
        self.record("before training")

    def record(self, note: str = "") -> None:
        """Keep the filters as they are now, and show them if the widget is on a page."""
        array = np.array(as_array(self.weight, f"{self.title}: weight"), dtype=np.float32)
        if array.ndim != 4:
            raise ValueError(f"{self.title}: weight needs shape (out, in, kh, kw), but has shape {array.shape}")
        if len(self.snapshots) == MOST_SNAPSHOTS:  # keep every second, so that a long training fits
            self.snapshots, self.notes = self.snapshots[::2], self.notes[::2]
        self.snapshots.append(array)
        self.notes.append(note or f"snapshot {len(self.snapshots) - 1}")
        last = len(self.snapshots) - 1
        self.controls["snapshot"] = Control("snapshot", "snapshot", 0, last, 0)
        if "snapshot" in self._parts:
            self._quiet = True
            self._parts["snapshot"].max = self._parts["play"].max = last
            self._quiet = False
        self.set(snapshot=last)

    @contextlib.contextmanager
    def watching(self, optimizer: Any, every: int = 10) -> Iterator[FilterWatcher]:
        """Inside the ``with`` block, record after every so many steps of the optimizer.

        Parameters
        ----------
        optimizer : zerohero.optim.Optimizer
        every : int
        """
        every = integer(every, self.title, "every", least=1)
        step: Callable[[], None] = optimizer.step

        def step_and_record() -> None:
            step()
            if optimizer.steps % every == 0:
                self.record(f"after {optimizer.steps} steps")

        optimizer.step = step_and_record
        try:
            yield self
        finally:
            del optimizer.step  # the method of its class shows again
            if self.notes[-1] != f"after {optimizer.steps} steps":
                self.record(f"after {optimizer.steps} steps")

    @property
    def state(self) -> dict[str, Any]:
        place = self.values["snapshot"]
        return {"snapshot": place, "note": self.notes[place], "weight": self.snapshots[place]}

    def _shown(self, place: int) -> tuple[np.ndarray, float, str]:
        limit = max(float(np.abs(snapshot).max()) for snapshot in self.snapshots) or 1.0  # one scale for all
        return self.snapshots[place], limit, f"{self.heading}, {self.notes[place]}"

    def picture(self) -> Picture:
        if self._live is None:
            self._live = _FilterPage(*self._shown(0))
        self._live.show(*self._shown(self.values["snapshot"]))
        return self._live.fig

    def figure(self, snapshot: int | None = None, **values: Any) -> Picture:
        values |= {} if snapshot is None else {"snapshot": snapshot}
        return _FilterPage(*self._shown(self._checked(values)["snapshot"])).fig

    def text(self) -> str:
        place = self.values["snapshot"]
        now, start = self.snapshots[place], self.snapshots[0]
        changed = float(np.linalg.norm(now - start) / (np.linalg.norm(start) or 1.0))
        return f"{self.notes[place]}: the filters have moved by {100 * changed:.0f} % of their starting length"


def shifted(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """An image (..., H, W) moved by whole pixels; zeros come in, what leaves is lost (nothing wraps around)."""
    result = np.zeros_like(image)
    height, width = image.shape[-2:]
    if abs(down) < height and abs(right) < width:
        target = (..., slice(max(0, down), height + min(0, down)), slice(max(0, right), width + min(0, right)))
        source = (..., slice(max(0, -down), height + min(0, -down)), slice(max(0, -right), width + min(0, -right)))
        result[target] = image[source]
    return result


def shift_explorer(
    model: Any,
    image: Any,
    *,
    reach: int = 8,
    class_names: Sequence[Any] | None = None,
    label: int | None = None,
    static: bool = False,
) -> Any:
    """Slide an image pixel by pixel and watch the class probabilities flicker.

    Parameters
    ----------
    model : zerohero.nn.Module, or callable
        From images (N, C, H, W) to scores (N, classes); rows that already are probabilities are taken as they are,
        others go through softmax.
    image : array-like, (H, W) or (C, H, W)
        As the model wants it. Zeros come in from outside.
    reach : int
        How far it may move, in each direction. All (2·reach + 1)² shifts are computed at the start.
    class_names : sequence, optional
    label : int, optional
        The right class, marked with ✓.
    static : bool
        Return the static picture of the unmoved image instead.

    Returns
    -------
    Explorer or Picture
        Controls: right, down. ``state``: these, probabilities, answer, image. ``surviving()``: the share of shifts
        with an unchanged answer; ``probabilities``: array (down, right, classes).

    Raises
    ------
    ValueError, TypeError
        If image, answer of the model or names have another shape.

    Examples
    --------
    >>> import numpy as np
    >>> def left_or_right(images):  # scores: how much ink is in each half
    ...     return np.stack([images[..., :4].sum((1, 2, 3)), images[..., 4:].sum((1, 2, 3))], axis=1)
    >>> image = np.zeros((8, 8)); image[2:6, 2] = 1
    >>> explorer = shift_explorer(left_or_right, image, reach=3, class_names=["left", "right"])
    >>> explorer.set(right=2)
    >>> print(explorer.text())
    pixels moved: 2 right, 0 down; answer right (98 %), then left (2 %); another answer than unmoved
    """
    explorer = ShiftExplorer(model, image, reach, class_names, label)
    return explorer.figure() if static else explorer


def filter_watcher(weight: Any, *, title: str = "Filters") -> Any:
    """Watch the filters of a layer form: live while training, afterwards snapshot by snapshot.

    Parameters
    ----------
    weight : Tensor or array, (out, in, kh, kw)
        For example ``model.conv1.weight``; it is read again at every `record`.
    title : str

    Returns
    -------
    Explorer
        Control: ``snapshot``. ``record(note)`` keeps the filters as they are; ``with watcher.watching(optimizer,
        every=20): zh.training.fit(...)`` records by itself. ``state``: snapshot, note, weight.

    Raises
    ------
    ValueError
        If the weight has another shape.

    Examples
    --------
    >>> import numpy as np
    >>> weight = np.ones((2, 1, 3, 3), np.float32)
    >>> watcher = filter_watcher(weight)
    >>> weight *= 1.5
    >>> watcher.record("after 10 steps")
    >>> print(watcher.text())
    after 10 steps: the filters have moved by 50 % of their starting length
    """
    return FilterWatcher(weight, title)


def _probabilities(scores: np.ndarray) -> np.ndarray:
    if scores.min() >= 0 and np.allclose(scores.sum(axis=1), 1, atol=1e-4):
        return scores
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _settle(fig: Picture, *moving: Any) -> None:
    """Find the places of all axes once, before anything moves: what is moving needs no new ones."""
    fig.canvas.draw()
    fig.set_layout_engine("none")
    fig.moving = list(moving)
