"""Pictures of arrays: numbers in cells, images, filters, histograms; none that explains an operation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from .style import COLORS, CYCLE, DIVERGING, Picture, styled, text_color

LARGEST_GRID = 40  # rows or columns of numbers that can still be read on a page
PHOTO_SIZE = 100  # images with more rows than this are stored as JPEG


def as_array(values: Any, name: str = "array") -> np.ndarray:
    """Turn anything that holds numbers into a NumPy array: lists, arrays, Tensors, PyTorch or CuPy arrays.

    Parameters
    ----------
    values : array-like, or an object with ``.numpy()`` or ``.get()``
    name : str
        How an error should call it.

    Returns
    -------
    numpy.ndarray
        Of bool, integer or floating type; the data is not copied where it need not be.

    Raises
    ------
    TypeError
        If it does not hold real numbers.

    Examples
    --------
    >>> from zerohero.visualize import as_array
    >>> as_array([[1, 2], [3, 4]]).shape
    (2, 2)
    """
    source = values.detach() if hasattr(values, "detach") else values
    if hasattr(source, "numpy"):
        source = source.numpy()
    elif hasattr(source, "get") and hasattr(source, "dtype"):
        source = source.get()  # CuPy: from the GPU
    try:
        array = np.asarray(source)
    except ValueError as error:
        raise ValueError(f"{name}: its rows must all have the same length") from error
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name}: needs real numbers, but got {type(values).__name__} holding {array.dtype}")
    return array


def number(value: float, fmt: str | None = None) -> str:
    """A number as the slides write it: at most two decimals, no trailing zeros, a true minus sign."""
    if fmt is not None:
        text = format(value, fmt)
    elif math.isfinite(value) and value != 0 and (abs(value) < 0.005 or abs(value) >= 1e5):
        text = f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e")
    else:
        text = f"{value:.2f}".rstrip("0").rstrip(".") if math.isfinite(value) else str(value)
    if text.startswith("-") and not text.strip("-0."):
        text = text[1:]  # a zero has no sign
    return text.replace("-", "−")


def common_format(values: np.ndarray) -> str | None:
    """The fewest decimals (at most two) that show all numbers of an array; None where their sizes differ too much."""
    finite = values[np.isfinite(values.astype(float))].astype(float)
    large = np.abs(finite).max() if finite.size else 0
    small = np.abs(finite[finite != 0]).min() if finite.any() else 1
    if large >= 1e5 or (small < 0.005 and large < 0.05):
        return None
    decimals = next(d for d in (0, 1, 2) if d == 2 or np.allclose(finite, finite.round(d), rtol=0, atol=5e-3))
    return f".{decimals}f"


class Cells:
    """A 2-D array drawn as coloured cells with numbers, anywhere on an axes; NaN leaves a cell empty.

    The artists are kept, so that `update` only changes colours and letters: a stepper redraws in milliseconds.
    Positive numbers are blue, negative ones orange, the deeper the larger.
    """

    def __init__(
        self,
        ax: Axes,
        values: np.ndarray,
        *,
        left: float = 0.0,
        top: float = 0.0,
        points: float = 36.0,
        fmt: str | None = None,
        cmap: Any = None,
        limit: float | None = None,
        longest: int = 0,
    ) -> None:
        # points: the width of a cell; longest: letters of the longest number that `update` will bring
        self.ax, self.left, self.top, self.fmt = ax, left, top, fmt or common_format(values)
        letters = max(
            longest, *(len(number(value, self.fmt)) for value in values.ravel().tolist() if value == value), 2
        )
        fontsize = min(13.0, 0.42 * points, 1.45 * points / letters)
        rows, columns = values.shape
        self.cmap = matplotlib_cmap(cmap)
        self.norm = _cell_scale(values, cmap, limit)
        self.image = ax.imshow(
            np.zeros((rows, columns, 3)),
            extent=(left, left + columns, top + rows, top),
            aspect="equal",
            zorder=1,
        )
        lines = [[(left, top + r), (left + columns, top + r)] for r in range(rows + 1)]
        lines += [[(left + c, top), (left + c, top + rows)] for c in range(columns + 1)]
        self.lines = ax.add_collection(LineCollection(lines, colors=COLORS["grid"], linewidths=1.0, zorder=2))
        self.frames: list[Rectangle] = []
        self.texts = [
            [
                ax.text(left + c + 0.5, top + r + 0.52, "", ha="center", va="center", fontsize=fontsize, zorder=3)
                for c in range(columns)
            ]
            for r in range(rows)
        ]
        self.update(values)

    def update(self, values: np.ndarray) -> None:
        """Show other numbers in the same cells."""
        self.values = values
        colors = self.cmap(self.norm(np.ma.masked_invalid(values.astype(float))))[..., :3]
        colors[np.isnan(values.astype(float))] = 0.97
        self.image.set_data(colors)
        for texts, row, row_colors in zip(self.texts, values.tolist(), colors.tolist(), strict=True):
            for text, value, color in zip(texts, row, row_colors, strict=True):
                text.set_text("" if value != value else number(value, self.fmt))
                text.set_color(text_color(color))

    def frame(self, row: float, column: float, height: float = 1, width: float = 1, **style: Any) -> Rectangle:
        """Put a thick frame around a window of cells; the rectangle that is returned can be moved with `move`."""
        style = {"edgecolor": COLORS["highlight"], "linewidth": 3.5, "zorder": 5, **style}
        patch = Rectangle((self.left + column, self.top + row), width, height, fill=False, **style)
        self.frames.append(patch)
        return self.ax.add_patch(patch)  # type: ignore[return-value]

    @property
    def artists(self) -> list[Any]:
        """The cells and their frames."""
        return [self.image, self.lines, *(text for texts in self.texts for text in texts), *self.frames]

    def move(self, frame: Rectangle, row: float, column: float) -> None:
        """Move a frame made by `frame` so that its first cell is (row, column)."""
        frame.set_xy((self.left + column, self.top + row))

    def caption(self, text: str, **style: Any) -> None:
        """Write what the cells are above them."""
        style = {"ha": "center", "va": "bottom", "fontsize": 11, "fontweight": "bold", **style}
        self.ax.text(self.left + self.values.shape[1] / 2, self.top - 0.55, text, **style)

    def indices(self) -> None:
        """Write the row and column numbers along the left and upper edges."""
        rows, columns = self.values.shape
        style: dict[str, Any] = {"fontsize": 9, "color": COLORS["neutral"], "va": "center"}
        for r in range(rows):
            self.ax.text(self.left - 0.15, self.top + r + 0.52, str(r), ha="right", **style)
        for c in range(columns):
            self.ax.text(self.left + c + 0.5, self.top - 0.28, str(c), ha="center", **style)


@styled
def number_grid(
    array: Any,
    *,
    title: str | None = None,
    highlight: Any = None,
    ax: Axes | None = None,
    fmt: str | None = None,
    cmap: Any = None,
    labels: tuple[str, str] = ("column", "row"),
) -> Picture:
    """Draw a small 2-D array as cells with its numbers in them, as the slides do.

    Parameters
    ----------
    array : array-like, (rows, columns) or (n,)
        At most 40 by 40. NaN leaves a cell empty.
    title : str, optional
    highlight : tuple (row, column, height, width), or a list of such, optional
        Windows to put a frame around.
    ax : matplotlib Axes, optional
        Where to draw; by default a new picture.
    fmt : str, optional
        Format of the numbers (``".1f"``); by default at most two decimals.
    cmap : str or Colormap, optional
        By default blue for positive and orange for negative numbers; ``"gray"`` for the pixels of an image.
    labels : (str, str)
        Names of the horizontal and the vertical axis.

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If the array is not 1-D or 2-D, is too large to be read, or a window lies outside it.

    Examples
    --------
    >>> from zerohero.visualize import number_grid
    >>> number_grid([[1, 0, -2], [1, 1, 0], [0, -1, 1]], title="The filter")
    The filter: 3 rows by 3 columns of numbers, from −2 to 1.
    """
    values = np.atleast_2d(as_array(array, "number_grid: array"))
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"number_grid: array needs rows and columns, but has shape {values.shape}")
    rows, columns = values.shape
    if max(rows, columns) > LARGEST_GRID:
        raise ValueError(
            f"number_grid: array is {rows} by {columns}, and at most {LARGEST_GRID} by {LARGEST_GRID} numbers can be "
            "read; draw it with image, or a part of it"
        )
    boxes = _windows("number_grid", highlight, rows, columns)
    fmt = fmt or common_format(values)
    width = max(len(number(float(value), fmt)) for value in values.flat)
    cell = max(0.3, min(0.62, 9.0 / columns, max(0.42, 0.1 * width + 0.12)))
    if ax is None:
        fig = Picture(figsize=(cell * columns + 0.9, cell * rows + (1.2 if title else 0.8)), layout="constrained")
        ax = fig.subplots()
    else:
        fig = ax.figure  # type: ignore[assignment]
        space = ax.get_window_extent()
        cell = min(space.width / columns, space.height / rows) / fig.dpi
    cells = Cells(ax, values, fmt=fmt, cmap=cmap, points=72 * cell)
    for row, column, height, wide in boxes:
        cells.frame(row, column, height, wide)
    ax.set(xlim=(-0.06, columns + 0.06), ylim=(rows + 0.06, -0.06), xlabel=labels[0], ylabel=labels[1])
    _index_ticks(ax, rows, columns)
    if title:
        ax.set_title(title)
    _add(
        fig,
        f"{title or 'Array'}: {rows} rows by {columns} columns of numbers{_range(values)}{_marked(boxes)}.",
    )
    return fig


@styled
def image(
    array: Any,
    *,
    title: str | None = None,
    ax: Axes | None = None,
    cmap: Any = None,
    limits: tuple[float, float] | None = None,
    colorbar: bool | None = None,
    highlight: Any = None,
    axis: bool = True,
) -> Picture:
    """Draw an image: grey values, colours, or signed responses.

    Parameters
    ----------
    array : array-like, (H, W), (1, H, W), (3, H, W) or (4, H, W)
        Channels first. Colours: bytes 0 to 255, or numbers 0 to 1.
    title : str, optional
    ax : matplotlib Axes, optional
    cmap : str or Colormap, optional
        For one channel. By default grey, and for arrays with negative numbers blue (positive) and orange (negative)
        around a white zero.
    limits : (low, high), optional
        The values drawn darkest and brightest; by default the smallest and largest of the array.
    colorbar : bool, optional
        By default only for signed arrays, where a colour needs its number.
    highlight : tuple (row, column, height, width), or a list of such, optional
    axis : bool
        Whether to show pixel positions along the edges.

    Returns
    -------
    Picture
        Stored as JPEG in notebooks when the image has more than 100 rows.

    Raises
    ------
    ValueError
        If the shape is no image's, or colours lie outside their range.

    Examples
    --------
    >>> import numpy as np
    >>> from zerohero.visualize import image
    >>> image(np.eye(8), title="A diagonal stroke")
    A diagonal stroke: image of 8 by 8 pixels, values from 0 to 1.
    """
    pixels = _image_pixels(array, "image", limits)
    rows, columns = pixels.shape[:2]
    boxes = _windows("image", highlight, rows, columns)
    if ax is None:
        high = min(5.0, max(2.6, 4.0 * rows / columns))
        fig = Picture(figsize=(high * columns / rows + 0.9, high + (0.7 if title else 0.4)), layout="constrained")
        ax = fig.subplots()
    else:
        fig = ax.figure  # type: ignore[assignment]
    signed = pixels.ndim == 2 and bool(np.nanmin(pixels) < 0)
    drawn = ax.imshow(pixels, **_image_scale(pixels, cmap, limits))
    for row, column, height, width in boxes:
        style: dict[str, Any] = {"edgecolor": COLORS["highlight"], "linewidth": 3, "fill": False}
        ax.add_patch(Rectangle((column - 0.5, row - 0.5), width, height, **style))
    if colorbar or (colorbar is None and signed):
        fig.colorbar(drawn, ax=ax, label="value", fraction=0.05, pad=0.03)
    _frame_only(ax, ticks=axis)
    if axis:
        ax.set(xlabel="column", ylabel="row")
    if title:
        ax.set_title(title)
    if rows > PHOTO_SIZE and isinstance(fig, Picture):
        fig.image_format = "jpeg"
    kind = "colour image" if pixels.ndim == 3 else "image"
    values = "" if pixels.ndim == 3 else f", values{_range(pixels, lead=' from ')}"
    _add(fig, f"{title or 'Image'}: {kind} of {rows} by {columns} pixels{values}{_marked(boxes)}.")
    return fig


@styled
def image_grid(
    images: Any,
    labels: Sequence[Any] | None = None,
    *,
    title: str | None = None,
    columns: int | None = None,
    cmap: Any = None,
    shared_scale: bool = True,
    size: float | None = None,
) -> Picture:
    """Draw many images side by side, each with its label above it.

    Parameters
    ----------
    images : array-like (N, H, W) or (N, C, H, W), or a list of images of any sizes
    labels : sequence of N strings or numbers, optional
        Written above the images.
    title : str, optional
    columns : int, optional
        Images in a row; by default up to 10.
    cmap : str or Colormap, optional
        As in `image`.
    shared_scale : bool
        Whether one grey means one number in all images; False gives each image its own darkest and brightest.
    size : float, optional
        Height of one image in inches.

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If there are no images, or the labels are not as many.

    Examples
    --------
    >>> import numpy as np
    >>> from zerohero.visualize import image_grid
    >>> image_grid(np.zeros((3, 8, 8)), labels=["a", "b", "c"], title="Three empty images")
    Three empty images: 3 images of 8 by 8 pixels, labelled a, b, c.
    """
    pixels = _many_images(images, "image_grid")
    captions = _captions(labels, len(pixels), "image_grid")
    across = columns or _across(len(pixels), captions)
    down = math.ceil(len(pixels) / across)
    size = size or max(0.8, min(2.4, 9.2 / across))
    lines = max(caption.count("\n") + 1 for caption in captions) if any(captions) else 0
    heights = (size + 0.06 + 0.17 * lines) * down + (0.45 if title else 0.1)
    fig = Picture(figsize=(min(9.5, max(2.5, (size + 0.12) * across)), heights), layout="compressed")
    limits = _common_limits(pixels) if shared_scale else None
    axes = fig.subplots(down, across, squeeze=False).ravel()
    for index, ax in enumerate(axes):
        if index >= len(pixels):
            ax.set_axis_off()
            continue
        ax.imshow(pixels[index], **_image_scale(pixels[index], cmap, limits))
        _frame_only(ax, ticks=False)
        ax.set_title(captions[index], fontsize=10, pad=3)
    if title:
        fig.suptitle(title)
    if sum(array.shape[0] > PHOTO_SIZE for array in pixels) and size > 1:
        fig.image_format = "jpeg"
    _add(fig, _grid_sentence(title, pixels, captions))
    return fig


@styled
def filter_grid(
    weights: Any,
    *,
    title: str | None = None,
    labels: Sequence[Any] | None = None,
    columns: int | None = None,
    numbers: bool | None = None,
) -> Picture:
    """Draw the filters of a convolution layer on one scale: blue weights are positive, orange ones negative.

    Parameters
    ----------
    weights : array-like, (out, in, kh, kw), (out, kh, kw) or (kh, kw)
        With three input channels a filter is drawn in colours (grey is zero); with another number of channels each
        filter is a row, each channel a column.
    title : str, optional
    labels : sequence of strings, optional
        One for each filter; by default its index.
    columns : int, optional
        Filters in a row.
    numbers : bool, optional
        Whether to write the weights into the cells; by default when there are at most 8 filters of at most 3 by 3.

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If the weights have another shape.

    Examples
    --------
    >>> from zerohero.visualize import filter_grid
    >>> filter_grid([[[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]], title="A vertical edge", labels=["Sobel"])
    A vertical edge: 1 filter of 3 by 3 weights, from −2 to 2, labelled Sobel.
    """
    filters = as_array(weights, "filter_grid: weights").astype(float)
    filters = filters[None, None] if filters.ndim == 2 else filters[:, None] if filters.ndim == 3 else filters
    if filters.ndim != 4 or filters.size == 0:
        raise ValueError(f"filter_grid: weights needs (out, in, kh, kw), but has shape {filters.shape}")
    count, channels, height, width = filters.shape
    word = "" if channels in (1, 3) else "filter "
    captions = _captions(labels if labels is not None else [f"{word}{i}" for i in range(count)], count, "filter_grid")
    limit = float(np.nanmax(np.abs(filters))) or 1.0
    tiles, across = _filter_tiles(filters, limit, columns)
    down = math.ceil(len(tiles) / across)
    size = max(0.62, min(1.5, 8.2 / across))
    colored = channels == 3
    figsize = (
        max(3.2, (size + 0.1) * across + (0.4 if colored else 1.2)),
        (size + 0.3) * down + (0.5 if title else 0.1),
    )
    fig = Picture(figsize=figsize, layout="compressed")
    axes = fig.subplots(down, across, squeeze=False)
    per_channel = channels not in (1, 3)
    with_numbers = numbers if numbers is not None else count <= 8 and max(height, width) <= 3 and channels == 1
    drawn = None
    for index, ax in enumerate(axes.ravel()):
        if index >= len(tiles):
            ax.set_axis_off()
            continue
        drawn = ax.imshow(tiles[index], cmap=DIVERGING, vmin=-limit, vmax=limit)
        _frame_only(ax, ticks=False)
        if with_numbers and not colored:
            _write_weights(ax, tiles[index], limit, 72 * size / width * 0.3)
        if per_channel:
            ax.set_title(f"channel {index}" if index < across else "", fontsize=10, pad=3)
            ax.set_ylabel(captions[index // across] if index % across == 0 else "", fontsize=10)
        else:
            ax.set_title(captions[index], fontsize=10, pad=3)
    if not colored and drawn is not None:
        fig.colorbar(drawn, ax=axes, label="weight", fraction=0.04, pad=0.02, aspect=max(6, 8 * down))
    if title:
        fig.suptitle(title)
    named = f", labelled {', '.join(captions)}" if labels is not None else ""
    depth = f" over {channels} channels" if channels > 1 else ""
    _add(
        fig,
        f"{title or 'Filters'}: {count} filter{'s' * (count > 1)} of {height} by {width} weights{depth}"
        f"{_range(filters)}{named}.",
    )
    return fig


@styled
def histogram(
    values: Any,
    *,
    bins: int = 30,
    title: str | None = None,
    xlabel: str = "value",
    ax: Axes | None = None,
    share: bool = False,
) -> Picture:
    """Draw how often each value occurs, for one array or for several named ones in the same bins.

    Parameters
    ----------
    values : array-like of any shape, or a mapping from name to array
    bins : int
        Number of intervals, shared by all arrays.
    title, xlabel : str
    ax : matplotlib Axes, optional
    share : bool
        Draw shares of the array instead of counts, so that arrays of different sizes compare.

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If there are no values, or some are NaN or infinite.

    Examples
    --------
    >>> from zerohero.visualize import histogram
    >>> histogram([1, 1, 2], bins=2, title="Three numbers")
    Three numbers: histogram of 3 values from 1 to 2 with mean 1.3.
    """
    given = values if isinstance(values, Mapping) else {"": values}
    arrays = {
        str(name): as_array(part, f"histogram: values {name}".rstrip()).astype(float).ravel()
        for name, part in given.items()
    }
    if not arrays or not all(array.size for array in arrays.values()):
        raise ValueError("histogram: values needs at least one number, but got none")
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            bad = int((~np.isfinite(array)).sum())
            raise ValueError(
                f"histogram: values {name} holds {bad} numbers that are NaN or infinite".replace("  ", " ")
            )
    if ax is None:
        fig = Picture(figsize=(6.4, 3.4), layout="constrained")
        ax = fig.subplots()
    else:
        fig = ax.figure  # type: ignore[assignment]
    edges = np.histogram_bin_edges(np.concatenate(list(arrays.values())), bins=bins)
    for index, (name, array) in enumerate(arrays.items()):
        counts = np.histogram(array, bins=edges)[0].astype(float)
        counts = counts / array.size if share else counts
        ax.stairs(
            counts,
            edges,
            fill=len(arrays) == 1,
            color=CYCLE[index % len(CYCLE)],
            label=name or None,
            linewidth=2,
        )
    ax.set(xlabel=xlabel, ylabel="share of values" if share else "number of values")
    if not share:
        ax.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    if len(arrays) > 1:
        ax.legend()
    if title:
        ax.set_title(title)
    parts = []
    for name, array in arrays.items():
        words = f"histogram of {array.size} values{_range(array, ' from ')} with mean {_brief(array.mean())}"
        parts.append(f"{name}: {words}" if name else words)
    _add(fig, f"{title or 'Values'}: " + "; ".join(parts) + ".")
    return fig


def matplotlib_cmap(cmap: Any) -> Any:
    """A colormap object from a name, an object, or None (the course's diverging one)."""
    from matplotlib import colormaps

    return DIVERGING if cmap is None else colormaps[cmap] if isinstance(cmap, str) else cmap


def _cell_scale(values: np.ndarray, cmap: Any, limit: float | None) -> Normalize:
    finite = values[np.isfinite(values.astype(float))].astype(float)
    largest = limit or (float(np.abs(finite).max()) if finite.size else 1.0) or 1.0
    if cmap is not None:
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        return Normalize(low, high if high > low else low + 1)
    return Normalize(-2.6 * largest, 2.6 * largest)  # pale, so that the numbers stay readable


def _windows(where: str, highlight: Any, rows: int, columns: int) -> list[tuple[int, int, int, int]]:
    if highlight is None:
        return []
    windows = [highlight] if np.ndim(highlight[0]) == 0 else list(highlight)
    for window in windows:
        if len(window) != 4:
            raise ValueError(f"{where}: highlight needs (row, column, height, width), but got {tuple(window)}")
        row, column, height, width = window
        if min(row, column) < 0 or min(height, width) < 1 or row + height > rows or column + width > columns:
            raise ValueError(
                f"{where}: highlight (row, column, height, width) = {tuple(window)} lies outside the "
                f"{rows} by {columns} array"
            )
    return [tuple(int(part) for part in window) for window in windows]  # type: ignore[misc]


def _image_pixels(array: Any, where: str, limits: tuple[float, float] | None = None) -> np.ndarray:
    """An image as matplotlib wants it: (H, W) floats, or (H, W, 3 or 4) in 0 to 1."""
    values = as_array(array, f"{where}: array")
    if values.ndim == 3 and values.shape[0] not in (1, 3, 4):
        hint = (
            "; it looks channels-last, so transpose it with array.transpose(2, 0, 1)"
            if values.shape[2] in (1, 3, 4)
            else ""
        )
        hint = hint or "; for many images or channels use image_grid"
        raise ValueError(
            f"{where}: array needs (H, W) or (C, H, W) with C = 1, 3 or 4, but has shape {values.shape}{hint}"
        )
    if values.ndim not in (2, 3) or values.size == 0:
        hint = "; for many images use image_grid" if values.ndim == 4 else ""
        raise ValueError(f"{where}: array needs (H, W) or (C, H, W), but has shape {values.shape}{hint}")
    if values.ndim == 2 or values.shape[0] == 1:
        return (values if values.ndim == 2 else values[0]).astype(float)
    colors = np.moveaxis(values, 0, -1)
    if colors.dtype.kind in "iu":
        limits = limits or (0, 255)
    low, high = limits or (0.0, 1.0)
    colors = (colors.astype(float) - low) / (high - low)
    slack = 1e-6  # of rounding in float32
    if not (np.nanmin(colors) >= -slack and np.nanmax(colors) <= 1 + slack):
        raise ValueError(
            f"{where}: colours need numbers from {number(low)} to {number(high)}, but the array goes "
            f"from {number(float(values.min()))} to {number(float(values.max()))}; pass limits=(low, high)"
        )
    return np.clip(colors, 0, 1)


def _image_scale(pixels: np.ndarray, cmap: Any, limits: tuple[float, float] | None) -> dict[str, Any]:
    if pixels.ndim == 3:
        return {}
    low, high = limits or (float(np.nanmin(pixels)), float(np.nanmax(pixels)))
    if cmap is None and low < 0:
        high = max(-low, high)
        low = -high
    return {
        "cmap": ("gray" if low >= 0 else DIVERGING) if cmap is None else cmap,
        "vmin": low,
        "vmax": high if high > low else low + 1,
    }


def _many_images(images: Any, where: str) -> list[np.ndarray]:
    if not isinstance(images, list | tuple):
        images = as_array(images, f"{where}: images")
        if images.ndim not in (3, 4):
            raise ValueError(f"{where}: images needs (N, H, W) or (N, C, H, W), but has shape {images.shape}")
    if not len(images):
        raise ValueError(f"{where}: images needs at least one image, but got none")
    return [_image_pixels(item, f"{where}: images") for item in images]


def _captions(labels: Iterable[Any] | None, count: int, where: str) -> list[str]:
    if labels is None:
        return [""] * count
    captions = [str(label) for label in (as_array(labels) if hasattr(labels, "dtype") else labels)]
    if len(captions) != count:
        raise ValueError(f"{where}: labels needs one for each of {count}, but got {len(captions)}")
    return captions


def _across(count: int, captions: list[str]) -> int:
    """Images in a row: at most ten, rows of equal length, and captions that do not touch."""
    letters = max(len(line) for caption in captions for line in (caption.split("\n") or [""]))
    most = max(1, min(10, int(9.2 / max(0.8, 0.078 * letters + 0.1))))
    return math.ceil(count / math.ceil(count / most))


def _common_limits(pixels: list[np.ndarray]) -> tuple[float, float] | None:
    grey = [array for array in pixels if array.ndim == 2]
    return (min(float(np.nanmin(a)) for a in grey), max(float(np.nanmax(a)) for a in grey)) if grey else None


def _filter_tiles(filters: np.ndarray, limit: float, columns: int | None) -> tuple[list[np.ndarray], int]:
    count, channels = filters.shape[:2]
    if channels == 3:
        tiles = [np.moveaxis(item, 0, -1) / (2 * limit) + 0.5 for item in filters]
    elif channels == 1:
        tiles = [item[0] for item in filters]
    else:
        return [channel for item in filters for channel in item], channels
    return tiles, columns or min(count, 8)


def _write_weights(ax: Axes, tile: np.ndarray, limit: float, fontsize: float) -> None:
    for (row, column), value in np.ndenumerate(tile):
        color = text_color(DIVERGING((value / limit + 1) / 2)[:3])
        ax.text(column, row, number(value), ha="center", va="center", fontsize=min(12, fontsize), color=color)


def _index_ticks(ax: Axes, rows: int, columns: int) -> None:
    for axis, count in ((ax.xaxis, columns), (ax.yaxis, rows)):
        every = 1 if count <= 16 else 2 if count <= 30 else 5
        axis.set_ticks(
            [index + 0.5 for index in range(0, count, every)],
            [str(index) for index in range(0, count, every)],
        )
        axis.set_tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _frame_only(ax: Axes, *, ticks: bool) -> None:
    for spine in ax.spines.values():
        spine.set(visible=True, color=COLORS["grid"])
    if ticks:
        ax.locator_params(integer=True, nbins=6)
    else:
        ax.set(xticks=[], yticks=[])


def _brief(value: float) -> str:
    """Two significant digits: the same on every processor."""
    return number(float(f"{value:.2g}"))


def _range(values: np.ndarray, lead: str = ", from ") -> str:
    finite = values[np.isfinite(values.astype(float))]
    if not finite.size:
        return ""
    return f"{lead}{_brief(float(finite.min()))} to {_brief(float(finite.max()))}"


def _marked(boxes: list[tuple[int, int, int, int]]) -> str:
    if not boxes:
        return ""

    def span(name: str, first: int, count: int) -> str:
        return f"{name} {first}" if count == 1 else f"{name}s {first} to {first + count - 1}"

    return "; marked: " + " and ".join(f"{span('row', r, h)}, {span('column', c, w)}" for r, c, h, w in boxes)


def _grid_sentence(title: str | None, pixels: list[np.ndarray], captions: list[str]) -> str:
    shapes = {array.shape[:2] for array in pixels}
    size = " of {} by {} pixels".format(*shapes.pop()) if len(shapes) == 1 else " of different sizes"
    words = [caption.replace("\n", ", ") for caption in captions if caption]
    named = (
        f", labelled {'; '.join(words) if any(', ' in word for word in words) else ', '.join(words)}" if words else ""
    )
    if len(words) > 12:
        named = f", labelled from {words[0]} to {words[-1]}"
    return f"{title or 'Images'}: {len(pixels)} image{'s' * (len(pixels) > 1)}{size}{named}."


def _add(fig: Any, sentence: str) -> None:
    if isinstance(fig, Picture):
        fig.add_sentence(sentence)
