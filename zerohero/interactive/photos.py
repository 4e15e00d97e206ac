"""Painting a filter on a photograph; named filters to begin with."""

from __future__ import annotations

from typing import Any

import numpy as np

from zerohero.visualize.arrays import Cells, _image_pixels, as_array, number
from zerohero.visualize.style import DIVERGING, Picture, styled

from .explorer import Explorer

LARGEST_PHOTO = 256  # rows or columns; larger ones are averaged down, so that one pixel stays visible

# Filters of 3 by 3 for photographs, by name (lecture 01).
FILTERS: dict[str, np.ndarray] = {
    name: np.array(rows, dtype=np.float32) / divisor
    for name, rows, divisor in (
        ("identity", [[0, 0, 0], [0, 1, 0], [0, 0, 0]], 1),
        ("vertical edges", [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], 1),
        ("horizontal edges", [[-1, -2, -1], [0, 0, 0], [1, 2, 1]], 1),
        ("all edges", [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], 1),
        ("sharpen", [[0, -1, 0], [-1, 5, -1], [0, -1, 0]], 1),
        ("Gaussian blur", [[1, 2, 1], [2, 4, 2], [1, 2, 1]], 16),
        ("mean", [[1, 1, 1], [1, 1, 1], [1, 1, 1]], 9),
        ("emboss", [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], 1),
    )
}


class FilterPainter(Explorer):
    """See `filter_painter`."""

    title = "Filter painter"

    def __init__(self, photo: Any, weight: Any) -> None:
        super().__init__()
        self.photo = _grey(photo)
        self.weight = _kernel(weight)
        self._live: _Page | None = None

    @property
    def state(self) -> dict[str, Any]:
        return {"weight": self.weight.copy(), "response": self.response(self.weight)}

    def response(self, weight: np.ndarray) -> np.ndarray:
        """The photograph convolved with a filter, in its own size; the pixels of its border are repeated outwards."""
        import zerohero as zh

        around = [((size - 1) // 2, size // 2) for size in weight.shape]
        return zh.conv2d(np.pad(self.photo, around, mode="edge"), weight)

    def set(self, **values: Any) -> None:
        """Change the filter: ``weight=array`` of the same size, or ``name=`` one of `FILTERS`."""
        self.weight = self._wanted(values)
        self._refresh()

    def _wanted(self, values: dict[str, Any]) -> np.ndarray:
        if set(values) - {"weight", "name"} or len(values) > 1:
            raise ValueError(f"{self.title}: needs weight= or name=, but got {', '.join(values)}")
        if "name" in values:
            return _kernel(values["name"])
        weight = _kernel(values.get("weight", self.weight))
        if weight.shape != self.weight.shape:
            raise ValueError(f"{self.title}: weight needs shape {self.weight.shape}, but has {weight.shape}")
        return weight

    def picture(self) -> Picture:
        if self._live is None:
            self._live = _Page(self.photo, self.weight.shape)
        self._live.show(self.weight, self.response(self.weight), self.text())
        return self._live.fig

    def figure(self, **values: Any) -> Picture:
        weight = self._wanted(values)
        page = _Page(self.photo, weight.shape)
        page.show(weight, self.response(weight), self._words(weight))
        return page.fig

    def text(self) -> str:
        return self._words(self.weight)

    def _words(self, weight: np.ndarray) -> str:
        rows = "; ".join(" ".join(number(value) for value in row) for row in weight.tolist())
        name = next((name for name, other in FILTERS.items() if np.array_equal(other, weight)), None)
        effect = "changes only" if _signed(weight) else "a picture again"
        return f"filter {rows}{f' ({name})' if name else ''}, sum {number(float(weight.sum()))}: {effect}"

    def _control_rows(self, ipywidgets: Any, parts: dict[str, Any]) -> list[Any]:
        size = ipywidgets.Layout(width="5.5em")
        rows = []
        for row in range(self.weight.shape[0]):
            for column in range(self.weight.shape[1]):
                field = ipywidgets.FloatText(step=1.0, layout=size, tooltip=f"weight in row {row}, column {column}")
                field.observe(lambda change, r=row, c=column: self._painted(r, c, change["new"]), names="value")
                parts[f"weight {row} {column}"] = field
            rows.append(ipywidgets.HBox([parts[f"weight {row} {c}"] for c in range(self.weight.shape[1])]))
        choice = ipywidgets.Dropdown(options=["your own", *self._fitting()], description="filter")
        choice.observe(lambda change: self._chosen(change["new"]), names="value")
        parts["choice"] = choice
        return [choice, *rows]

    def _fitting(self) -> list[str]:
        return [name for name, weight in FILTERS.items() if weight.shape == self.weight.shape]

    def _painted(self, row: int, column: int, value: float) -> None:
        if not self._quiet and np.isfinite(value):
            weight = self.weight.copy()
            weight[row, column] = value
            self.set(weight=weight)

    def _chosen(self, name: str) -> None:
        if not self._quiet and name in FILTERS:
            self.set(name=name)

    def _refresh(self) -> None:
        if self._parts:
            self._quiet = True
            try:
                for (row, column), value in np.ndenumerate(self.weight):
                    self._parts[f"weight {row} {column}"].value = round(float(value), 4)
                names = [name for name in self._fitting() if np.array_equal(FILTERS[name], self.weight)]
                self._parts["choice"].value = names[0] if names else "your own"
            finally:
                self._quiet = False
        super()._refresh()


class _Page:
    """Photograph, filter and response side by side."""

    @styled
    def __init__(self, photo: np.ndarray, shape: tuple[int, ...]) -> None:
        ratio = photo.shape[0] / photo.shape[1]
        self.fig = Picture(figsize=(9.4, min(6.0, 3.6 * ratio + 0.55)), layout="none")
        self.fig.image_format = "jpeg"
        tall = 3.6 * ratio / (3.6 * ratio + 0.55)
        first, middle, last = (
            self.fig.add_axes((left, 0.01, width, min(tall, 0.9)))
            for left, width in ((0.005, 0.383), (0.4, 0.2), (0.612, 0.383))
        )
        # A title whose height is given, and no ticks: nothing to lay out again at every redraw.
        titles = [ax.set_title(title, y=1.01) for ax, title in ((first, "photograph"), (middle, "filter"), (last, ""))]
        self.title = titles[2]
        for ax in (first, middle, last):
            ax.set(xticks=[], yticks=[])
            ax.set_axis_off()
        first.imshow(photo, cmap="gray", vmin=0, vmax=1)
        self.cells = Cells(middle, np.zeros(shape), points=72 * 9.4 * 0.2 / shape[1], longest=5, limit=1.0, fmt=None)
        middle.set(xlim=(-0.1, shape[1] + 0.1), ylim=(shape[0] + 0.1, -0.1))
        self.response = last.imshow(photo, cmap="gray", vmin=0, vmax=1)

    @styled
    def show(self, weight: np.ndarray, response: np.ndarray, words: str) -> None:
        limit = float(np.abs(weight).max()) or 1.0
        self.cells.fmt = None
        self.cells.norm.vmin, self.cells.norm.vmax = -2.6 * limit, 2.6 * limit
        self.cells.update(weight)
        signed = _signed(weight)
        edge = max(0.05, float(np.quantile(np.abs(response), 0.995)))  # a few extreme pixels do not set the scale
        self.response.set(data=response, cmap=DIVERGING if signed else "gray")
        self.response.set_clim((-edge, edge) if signed else (0, 1))
        self.title.set_text("response: blue +, orange −" if signed else "response")
        self.fig.alt = f"A photograph, a filter and the filter's response on it: {words}."


def filter_painter(photo: Any = None, weight: Any = "identity", *, static: bool = False) -> Any:
    """Change the numbers of a filter and see at once what it does to a photograph.

    Parameters
    ----------
    photo : array-like, (H, W), (1, H, W) or (3, H, W), optional
        Bytes, or numbers from 0 to 1; colours become grey, more than 256 rows are averaged down. By default
        scikit-image's "camera".
    weight : array-like (kh, kw), or a name in `FILTERS`
        Where to begin; at most 5 by 5.
    static : bool
        Return the static picture instead.

    Returns
    -------
    Explorer or Picture
        ``set(weight=array)`` or ``set(name="sharpen")``. ``state``: weight, response. A filter whose weights add
        up to 0 answers to changes only, and its response is drawn in blue (positive) and orange (negative).

    Raises
    ------
    ValueError, TypeError
        If photo or weight have another shape.

    Examples
    --------
    >>> painter = filter_painter(np.eye(16), "all edges")
    >>> print(painter.text())
    filter −1 −1 −1; −1 8 −1; −1 −1 −1 (all edges), sum 0: changes only
    """
    if photo is None:
        from zerohero.datasets import photo as load_photo

        photo = load_photo("camera")
    painter = FilterPainter(photo, weight)
    return painter.figure() if static else painter


def _grey(photo: Any) -> np.ndarray:
    pixels = _image_pixels(photo, "filter_painter")
    pixels = pixels[..., :3].mean(axis=-1) if pixels.ndim == 3 else pixels
    pixels = pixels / 255 if as_array(photo).dtype.kind in "iu" and pixels.max() > 1 else pixels
    if not (pixels.min() >= 0 and pixels.max() <= 1):
        raise ValueError(
            f"filter_painter: photo needs numbers from 0 to 1, but goes from {pixels.min():g} to {pixels.max():g}"
        )
    step = -(-max(pixels.shape) // LARGEST_PHOTO)
    rows, columns = (size // step * step for size in pixels.shape)
    blocks = pixels[:rows, :columns].reshape(rows // step, step, columns // step, step)
    return blocks.mean(axis=(1, 3)).astype(np.float32)


def _kernel(weight: Any) -> np.ndarray:
    if isinstance(weight, str):
        if weight not in FILTERS:
            raise ValueError(f"filter_painter: there is no filter {weight!r}; there are {', '.join(FILTERS)}")
        return FILTERS[weight]
    kernel = as_array(weight, "filter_painter: weight").astype(np.float32)
    if kernel.ndim != 2 or not kernel.size or max(kernel.shape) > 5:
        raise ValueError(f"filter_painter: weight needs shape (kh, kw), at most 5 by 5, but has shape {kernel.shape}")
    return kernel


def _signed(weight: np.ndarray) -> bool:
    """Whether the filter answers to changes only: its weights cancel."""
    return bool(abs(weight.sum()) < 1e-3 * max(1.0, np.abs(weight).sum()))
