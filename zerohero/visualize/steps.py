"""Pictures of one position of a sliding window: a convolution's products and sum, a pool's winner; they can move on."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.patches import FancyArrowPatch

from zerohero.arguments import integer, one_of, padding_pairs, pair

from .arrays import Cells, as_array, number
from .style import COLORS, Picture, styled

LARGEST_SIDE = 16  # rows or columns of cells that still fit beside filter and output
GAP = 1.5  # cells between two boards
CELL = 0.44  # inches
FULL_WIDTH = 9.4  # inches


class Sheet:
    """A page measured in cells, on which several boards of numbers stand side by side."""

    def __init__(self, width: float, height: float) -> None:
        cell = min(CELL, FULL_WIDTH / width)
        self.points = 72 * cell
        self.fig = Picture(figsize=(width * cell, height * cell), layout="none")
        self.ax = self.fig.add_axes((0.0, 0.0, 1.0, 1.0))
        self.ax.set_axis_off()
        self.width, self.height = width, height

    def board(self, values: np.ndarray, left: float, middle: float, caption: str = "", **options: Any) -> Cells:
        """Cells whose vertical middle lies at `middle`, with a caption above."""
        cells = Cells(self.ax, values, left=left, top=middle - values.shape[0] / 2, points=self.points, **options)
        if caption:
            cells.caption(caption)
        return cells

    def sign(self, text: str, x: float, y: float, **style: Any) -> Any:
        style = {"ha": "center", "va": "center", "fontsize": 16, **style}
        return self.ax.text(x, y, text, **style)

    def arrow(self, x: float, y: float) -> None:
        """A short arrow to the right, from products to output."""
        style: dict[str, Any] = {
            "arrowstyle": "-|>",
            "mutation_scale": 14,
            "linewidth": 1.8,
            "color": COLORS["neutral"],
        }
        self.ax.add_patch(FancyArrowPatch((x - 0.55, y), (x + 0.55, y), **style))

    def finish(self) -> None:
        """Undo what drawing the boards did to the limits of the axes."""
        self.ax.set(xlim=(0, self.width), ylim=(self.height, 0))
        self.ax.set_aspect("auto")


class ConvolutionPicture:
    """Input, filter, products and output of a convolution at one position, on one sheet; `move` goes to another."""

    @styled
    def __init__(
        self,
        x: Any,
        weight: Any,
        bias: float = 0.0,
        *,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        where: str = "convolution_step",
    ) -> None:
        self.x, self.weight = _one_filter(x, weight, where)
        self.bias = float(bias)
        self.stride = pair(stride, where, "stride", least=1)
        self.dilation = pair(dilation, where, "dilation", least=1)
        (self.top, bottom), (self.before, after) = padding_pairs(
            padding, where, self.x.shape[1:], self._extent(), self.stride
        )
        self.padded = np.pad(self.x, ((0, 0), (self.top, bottom), (self.before, after)))
        self.output = self._output(where)
        if max(*self.padded.shape[1:], *self.output.shape) > LARGEST_SIDE or len(self.x) > 4:
            raise ValueError(
                f"{where}: x is {self.padded.shape[1]} by {self.padded.shape[2]} with its padding and {len(self.x)} "
                f"channels deep, and at most {LARGEST_SIDE} by {LARGEST_SIDE} cells and 4 channels can be read; take "
                "a part of it"
            )
        self._build()
        self.move(0, 0)

    def _extent(self) -> tuple[int, int]:
        height, width = self.weight.shape[1:]
        return self.dilation[0] * (height - 1) + 1, self.dilation[1] * (width - 1) + 1

    def _output(self, where: str) -> np.ndarray:
        rows, columns = (
            (size - extent) // step + 1
            for size, extent, step in zip(self.padded.shape[1:], self._extent(), self.stride, strict=True)
        )
        if rows < 1 or columns < 1:
            raise ValueError(
                f"{where}: the filter spans {self._extent()[0]} by {self._extent()[1]} cells, but the padded x has "
                f"only {self.padded.shape[1]} by {self.padded.shape[2]}"
            )
        import zerohero as zh

        weight = self.weight[None]
        return zh.conv2d(self.padded, weight, stride=self.stride, dilation=self.dilation)[0] + self.bias

    def _build(self) -> None:
        channels, height, width = self.padded.shape
        kh, kw = self.weight.shape[1:]
        rows, columns = self.output.shape
        block = max(height, kh, rows if channels == 1 else 0) + 1.9
        lefts = np.cumsum([0.9, width + GAP, kw + GAP, kw + GAP + 0.9]).tolist()
        lines = channels + 1 if channels > 1 else 1
        sheet = Sheet(lefts[-1] + columns + 0.5, 1.1 + channels * block + 0.75 * lines + 0.6)
        self.fig, middles = sheet.fig, [1.2 + block * c + block / 2 for c in range(channels)]
        self.title = sheet.sign("", sheet.width / 2, 0.75, fontsize=13)
        size = f"{self.x.shape[1]} × {self.x.shape[2]}"
        self.inputs, self.frames, self.products = [], [], []
        for c, middle in enumerate(middles):
            name = f"channel {c}" if channels > 1 else f"input, {size}"
            board = sheet.board(
                self.padded[c],
                lefts[0],
                middle,
                name if channels > 1 or not self._is_padded() else f"{name}, padded",
            )
            board.indices()
            self._grey_padding(board, c)
            self.inputs.append(board)
            self.frames.append(self._window_frames(board))
            kernel = sheet.board(self.weight[c], lefts[1], middle, f"filter, {kh} × {kw}" if c == 0 else "")
            kernel.frame(0, 0, kh, kw, edgecolor=COLORS["filter"], linewidth=2.5)
            products = sheet.board(
                np.zeros((kh, kw)), lefts[2], middle, "products" if c == 0 else "", **self._products(c)
            )
            products.frame(0, 0, kh, kw)
            self.products.append(products)
            sheet.sign("×", lefts[1] - GAP / 2, middle)
            sheet.sign("=", lefts[2] - GAP / 2, middle)
        self.sums = [
            sheet.sign("", lefts[2] + kw / 2, m + kh / 2 + 0.6, fontsize=12, fontweight="bold") for m in middles
        ]
        center = float(np.mean(middles))
        sheet.arrow(lefts[3] - (GAP + 0.9) / 2, center)
        self.result = sheet.board(self.output, lefts[3], center, f"output, {rows} × {columns}")
        self.result.indices()
        self.here = self.result.frame(0, 0)
        self.lines = [
            sheet.sign("", sheet.width / 2, 1.5 + channels * block + 0.75 * i, fontsize=11) for i in range(lines)
        ]
        sheet.finish()
        windows = [frame for frames in self.frames for frame, _, _ in frames]
        boards = [artist for board in (*self.products, self.result) for artist in board.artists]
        self.fig.moving = [self.title, *windows, *boards, *self.sums, *self.lines]

    def _products(self, c: int) -> dict[str, Any]:
        """Scale and format that suit the products at every position."""
        extremes = np.outer(_extremes(self.padded[c]), _extremes(self.weight[c])).ravel()
        whole = all((array == array.round()).all() for array in (self.padded, self.weight))
        fmt = ".0f" if whole else ".2f"
        longest = max(len(number(value, fmt)) for value in extremes.tolist())
        return {"limit": float(np.abs(extremes).max()) or 1.0, "fmt": fmt, "longest": longest}

    def _is_padded(self) -> bool:
        return self.padded.shape != self.x.shape

    def _grey_padding(self, board: Cells, c: int) -> None:
        if self._is_padded():
            board.frame(self.top, self.before, *self.x.shape[1:], edgecolor=COLORS["ink"], linewidth=1.6)
            inside = np.pad(np.ones(self.x.shape[1:], bool), _pads(self.x[c], self.padded[c], self.top, self.before))
            for text, is_input in zip(np.ravel(np.array(board.texts, dtype=object)), inside.ravel(), strict=True):
                text.set_alpha(1.0 if is_input else 0.45)

    def _window_frames(self, board: Cells) -> list[Any]:
        """One frame around the window, or one around each cell that is read when there are gaps between them."""
        kh, kw = self.weight.shape[1:]
        if self.dilation == (1, 1):
            return [(board.frame(0, 0, kh, kw), 0, 0)]
        down, right = self.dilation
        return [(board.frame(0, 0, linewidth=3), down * i, right * j) for i in range(kh) for j in range(kw)]

    @styled
    def move(self, row: int, column: int, *, whole: bool = False) -> None:
        """Show output position (row, column), and the output up to it (or the whole output)."""
        self.row, self.column = row, column
        start = (row * self.stride[0], column * self.stride[1])
        for board, frames in zip(self.inputs, self.frames, strict=True):
            for frame, down, right in frames:
                board.move(frame, start[0] + down, start[1] + right)
        values = self.window() * self.weight
        for board, products in zip(self.products, values, strict=True):
            board.update(products)
        for text, total in zip(self.sums, values.sum((1, 2)).tolist(), strict=True):
            text.set_text(f"sum = {number(total)}")
        shown = self.output.astype(float).copy()
        if not whole:
            shown.ravel()[row * shown.shape[1] + column + 1 :] = np.nan
        self.result.update(shown)
        self.result.move(self.here, row, column)
        self.title.set_text(f"Row {row}, column {column} of the output")
        for text, line in zip(self.lines, self._equations(), strict=True):
            text.set_text(line)
        self.fig.alt = self.sentence()

    def window(self) -> np.ndarray:
        """The cells of the padded input that the filter lies on, (channels, kh, kw)."""
        rows = self.row * self.stride[0] + self.dilation[0] * np.arange(self.weight.shape[1])
        columns = self.column * self.stride[1] + self.dilation[1] * np.arange(self.weight.shape[2])
        return self.padded[:, rows[:, None], columns]

    def total(self) -> float:
        """The output at this position."""
        return float(self.output[self.row, self.column])

    def _equations(self) -> list[str]:
        """What stands under the boards: one line, or one for each channel."""
        window, bias = self.window(), f" + bias {_signed(self.bias)}" if self.bias else ""
        if len(window) == 1:
            return [f"{_sum_of_products(window[0], self.weight[0], 10)}{bias} = {number(self.total())}"]
        sums = (window * self.weight).sum((1, 2)).tolist()
        lines = [
            f"channel {c}: {_sum_of_products(window[c], self.weight[c], 10)} = {number(sums[c])}"
            for c in range(len(window))
        ]
        together = " + ".join(_signed(part) for part in sums)
        return [*lines, f"all channels: {together}{bias} = {number(self.total())}"]

    def text(self) -> str:
        """The whole computation at this position as one line."""
        window = self.window()
        bias = f" + bias {_signed(self.bias)}" if self.bias else ""
        terms = _sum_of_products(window, self.weight, 36)
        return f"row {self.row}, column {self.column}: {terms}{bias} = {number(self.total())}"

    def sentence(self) -> str:
        """The description of the picture."""
        rows, columns = self.x.shape[1:]
        channels = f" with {len(self.x)} channels" if len(self.x) > 1 else ""
        kernel = "{} by {}".format(*self.weight.shape[1:])
        return (
            f"Convolution of a {rows} by {columns} input{channels} with a {kernel} filter, at output {self.text()}. "
            f"Output: {self.output.shape[0]} by {self.output.shape[1]}."
        )


class PoolingPicture:
    """Input, window and output of a pooling layer at one position, on one sheet; `move` goes to another."""

    @styled
    def __init__(
        self, x: Any, kernel_size: Any, *, stride: Any = None, mode: str = "max", where: str = "pooling_step"
    ) -> None:
        self.x = as_array(x, f"{where}: x").astype(float)
        if self.x.ndim != 2 or self.x.size == 0:
            raise ValueError(f"{where}: x needs shape (H, W), one channel, but has shape {self.x.shape}")
        self.kernel = pair(kernel_size, where, "kernel_size", least=1)
        self.stride = self.kernel if stride is None else pair(stride, where, "stride", least=1)
        self.mode = one_of(mode, where, "mode", ("max", "average"))
        if self.kernel[0] > self.x.shape[0] or self.kernel[1] > self.x.shape[1]:
            raise ValueError(f"{where}: kernel_size {self.kernel} is larger than x with shape {self.x.shape}")
        if max(self.x.shape) > LARGEST_SIDE:
            raise ValueError(
                f"{where}: x is {self.x.shape[0]} by {self.x.shape[1]}, and at most {LARGEST_SIDE} by {LARGEST_SIDE} "
                "cells can be read; take a part of it"
            )
        import zerohero as zh

        pool = zh.max_pool2d if self.mode == "max" else zh.avg_pool2d
        self.output = np.asarray(pool(self.x, self.kernel, stride=self.stride))
        self._build()
        self.move(0, 0)

    def _build(self) -> None:
        (height, width), (kh, kw), (rows, columns) = self.x.shape, self.kernel, self.output.shape
        lefts = np.cumsum([0.9, width + GAP + 0.6, kw + GAP + 1.1]).tolist()
        block = max(height, kh, rows) + 1.9
        sheet = Sheet(max(lefts[-1] + columns + 0.5, 13.0), 1.1 + block + 1.3)
        self.fig, middle = sheet.fig, 1.2 + block / 2
        self.title = sheet.sign("", sheet.width / 2, 0.75, fontsize=13)
        self.input = sheet.board(self.x, lefts[0], middle, f"input, {height} × {width}")
        self.input.indices()
        self.frame = self.input.frame(0, 0, kh, kw)
        limit = float(np.abs(self.x).max()) or 1.0
        self.part = sheet.board(self.x[:kh, :kw], lefts[1], middle, "window", limit=limit)
        self.part.frame(0, 0, kh, kw)
        winner: dict[str, Any] = {"edgecolor": COLORS["output"], "linewidth": 3.5, "visible": self.mode == "max"}
        self.winner = self.part.frame(0, 0, **winner)
        sheet.arrow(lefts[1] - (GAP + 0.6) / 2, middle)
        sheet.arrow(lefts[2] - (GAP + 1.1) / 2 + 0.1, middle)
        sheet.sign(self.mode, lefts[2] - (GAP + 1.1) / 2 + 0.1, middle - 0.55, fontsize=11)
        self.result = sheet.board(self.output, lefts[2], middle, f"output, {rows} × {columns}", limit=limit)
        self.result.indices()
        self.here = self.result.frame(0, 0)
        self.line = sheet.sign("", sheet.width / 2, 1.2 + block + 0.5, fontsize=11)
        sheet.finish()
        self.fig.moving = [self.title, self.frame, *self.part.artists, *self.result.artists, self.line]

    @styled
    def move(self, row: int, column: int, *, whole: bool = False) -> None:
        """Show output position (row, column), and the output up to it (or the whole output)."""
        self.row, self.column = row, column
        self.input.move(self.frame, row * self.stride[0], column * self.stride[1])
        window = self.window()
        self.part.update(window)
        best = np.unravel_index(int(window.argmax()), window.shape)
        self.part.move(self.winner, int(best[0]), int(best[1]))
        shown = self.output.astype(float).copy()
        if not whole:
            shown.ravel()[row * shown.shape[1] + column + 1 :] = np.nan
        self.result.update(shown)
        self.result.move(self.here, row, column)
        self.title.set_text(f"Row {row}, column {column} of the output")
        self.line.set_text(self.text().split(": ", 1)[1])
        self.fig.alt = self.sentence()

    def window(self) -> np.ndarray:
        """The cells of the input under the window."""
        top, left = self.row * self.stride[0], self.column * self.stride[1]
        return self.x[top : top + self.kernel[0], left : left + self.kernel[1]]

    def text(self) -> str:
        """The whole computation at this position as one line."""
        cells = [number(value) for value in self.window().ravel().tolist()]
        if len(cells) > 16:
            cells = [*cells[:8], f"… ({len(cells)} numbers)"]
        name = "max" if self.mode == "max" else "average"
        result = number(float(self.output[self.row, self.column]))
        return f"row {self.row}, column {self.column}: {name}({', '.join(cells)}) = {result}"

    def sentence(self) -> str:
        """The description of the picture."""
        kind = "Max" if self.mode == "max" else "Average"
        size, step = "{} by {}".format(*self.kernel), "{} by {}".format(*self.stride)
        return (
            f"{kind} pooling of a {self.x.shape[0]} by {self.x.shape[1]} input, window {size}, stride {step}, "
            f"at output {self.text()}. Output: {self.output.shape[0]} by {self.output.shape[1]}."
        )


def convolution_step(
    x: Any,
    weight: Any,
    row: int = 0,
    column: int = 0,
    *,
    bias: float = 0.0,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    whole: bool = False,
) -> Picture:
    """Draw one position of a convolution: the window, the filter, their products and the sum, and the output so far.

    Parameters
    ----------
    x : array-like, (H, W) or (C, H, W)
        Up to 16 by 16 with its padding, up to 4 channels.
    weight : array-like, (kh, kw) or (C, kh, kw)
        One filter.
    row, column : int
        Which position of the output.
    bias : float
    stride, padding, dilation : int or pair
        As in `zerohero.conv2d`.
    whole : bool
        Show the whole output instead of the part computed up to this position, row by row.

    Returns
    -------
    Picture

    Raises
    ------
    ValueError, TypeError
        If the shapes do not fit, or the position lies outside the output.

    Examples
    --------
    >>> from zerohero.visualize import convolution_step
    >>> fig = convolution_step([[1, 2, 0], [0, 1, 3]], [[1, -1], [0, 2]], row=0, column=1)
    >>> print(fig.alt)
    Convolution of a 2 by 3 input with a 2 by 2 filter, at output row 0, column 1: 2·1 + 0·(−1) + 1·0 + 3·2 = 8.
    Output: 1 by 2.
    """
    picture = ConvolutionPicture(x, weight, bias, stride=stride, padding=padding, dilation=dilation)
    picture.move(*_position(row, column, picture.output.shape, "convolution_step"), whole=whole)
    return picture.fig


def pooling_step(
    x: Any,
    kernel_size: Any,
    row: int = 0,
    column: int = 0,
    *,
    stride: Any = None,
    mode: str = "max",
    whole: bool = False,
) -> Picture:
    """Draw one position of a pooling layer: the window, its largest number or its mean, and the output so far.

    Parameters
    ----------
    x : array-like, (H, W)
        Up to 16 by 16.
    kernel_size : int or pair
    row, column : int
        Which position of the output.
    stride : int or pair, optional
        By default the kernel size.
    mode : {"max", "average"}
    whole : bool
        Show the whole output instead of the part computed up to this position.

    Returns
    -------
    Picture

    Raises
    ------
    ValueError, TypeError
        If the window does not fit, or the position lies outside the output.

    Examples
    --------
    >>> from zerohero.visualize import pooling_step
    >>> fig = pooling_step([[1, 2, 0, 4], [5, 1, 3, 3]], 2, row=0, column=1)
    >>> print(fig.alt)
    Max pooling of a 2 by 4 input, window 2 by 2, stride 2 by 2, at output row 0, column 1: max(0, 4, 3, 3) = 4.
    Output: 1 by 2.
    """
    picture = PoolingPicture(x, kernel_size, stride=stride, mode=mode)
    picture.move(*_position(row, column, picture.output.shape, "pooling_step"), whole=whole)
    return picture.fig


def _one_filter(x: Any, weight: Any, where: str) -> tuple[np.ndarray, np.ndarray]:
    x, weight = as_array(x, f"{where}: x").astype(float), as_array(weight, f"{where}: weight").astype(float)
    x = x[None] if x.ndim == 2 else x
    weight = weight[None] if weight.ndim == 2 else weight[0] if weight.ndim == 4 and len(weight) == 1 else weight
    if x.ndim != 3 or weight.ndim != 3 or not x.size or not weight.size:
        raise ValueError(
            f"{where}: needs one image, x (H, W) or (C, H, W), and one filter, weight (kh, kw) or (C, kh, kw), "
            f"but got shapes {x.shape} and {weight.shape}"
        )
    if len(x) != len(weight):
        raise ValueError(f"{where}: weight needs as many channels as x, {len(x)}, but has {len(weight)}")
    return x, weight


def _position(row: Any, column: Any, shape: tuple[int, ...], where: str) -> tuple[int, int]:
    row, column = integer(row, where, "row"), integer(column, where, "column")
    if not (0 <= row < shape[0] and 0 <= column < shape[1]):
        raise ValueError(
            f"{where}: the output has rows 0 to {shape[0] - 1} and columns 0 to {shape[1] - 1}, but got "
            f"({row}, {column})"
        )
    return row, column


def _signed(value: float) -> str:
    """A number as it stands inside a sum: negative ones in brackets."""
    return f"({number(value)})" if value < 0 else number(value)


def _sum_of_products(window: np.ndarray, weight: np.ndarray, most: int) -> str:
    terms = [
        f"{_signed(a)}·{_signed(b)}" for a, b in zip(window.ravel().tolist(), weight.ravel().tolist(), strict=True)
    ]
    if len(terms) > most:
        terms = [*terms[:4], f"… ({len(terms)} products)"]
    return " + ".join(terms)


def _extremes(values: np.ndarray) -> np.ndarray:
    return np.array([values.min(), values.max()])


def _pads(inner: np.ndarray, outer: np.ndarray, top: int, left: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return (top, outer.shape[0] - inner.shape[0] - top), (left, outer.shape[1] - inner.shape[1] - left)
