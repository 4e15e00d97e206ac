"""Where windows lie: output sizes and receptive fields, as numbers and as pictures along one axis; no values here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Polygon, Rectangle

from zerohero.arguments import integer

from .style import COLORS, Picture, shade, styled

MOST_CELLS = 64


def output_size(size: int, kernel_size: int, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """Output size of a convolution or pooling layer along one axis: ⌊(n + 2p − d·(k − 1) − 1) / s⌋ + 1.

    Parameters
    ----------
    size, kernel_size, stride, padding, dilation : int
        n, k, s, p and d of the formula; padding is added on both sides.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If the kernel does not fit into the padded input.

    Examples
    --------
    >>> from zerohero.visualize import output_size
    >>> output_size(6, 3), output_size(227, 11, stride=4), output_size(28, 5, padding=2)
    (4, 55, 28)
    """
    n, k, s, p, d = _window_numbers("output_size", size, kernel_size, stride, padding, dilation)
    if d * (k - 1) + 1 > n + 2 * p:
        raise ValueError(
            f"output_size: no window fits: the kernel spans {d * (k - 1) + 1} cells (dilation·(kernel − 1) + 1), "
            f"but the padded input has only {n + 2 * p}"
        )
    return (n + 2 * p - d * (k - 1) - 1) // s + 1


def output_size_formula(size: int, kernel_size: int, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> str:
    """The formula of `output_size` with its numbers put in."""
    top = f"({size} + 2·{padding} − {dilation}·({kernel_size} − 1) − 1)"
    result = output_size(size, kernel_size, stride=stride, padding=padding, dilation=dilation)
    return f"⌊{top} / {stride}⌋ + 1 = {result}"


@styled
def windows(
    size: int,
    kernel_size: int,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    title: str | None = None,
) -> Picture:
    """Draw where every window lies along one axis: cells of the input above, one line for each output below.

    Parameters
    ----------
    size, kernel_size, stride, padding, dilation : int
        As in `output_size`; at most 64 cells with the padding.
    title : str, optional
        By default the output-size formula with these numbers.

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If the kernel does not fit, or there are too many cells to draw.

    Examples
    --------
    >>> from zerohero.visualize import windows
    >>> windows(6, 3, stride=2)
    A kernel of 3 with stride 2, padding 0 and dilation 1 on 6 cells: 2 outputs. They start at cells 0, 2.
    Never read: 5.
    """
    n, k, s, p, d = _window_numbers("windows", size, kernel_size, stride, padding, dilation)
    count = output_size(n, k, stride=s, padding=p, dilation=d)
    if n + 2 * p > MOST_CELLS:
        raise ValueError(f"windows: at most {MOST_CELLS} cells can be drawn, but {n} + 2·{p} were asked for")
    taps = [[start * s - p + d * j for j in range(k)] for start in range(count)]
    unread = sorted(set(range(n)) - {cell for window in taps for cell in window})
    cell = min(0.42, 8.0 / (n + 2 * p + 2))
    row = min(0.36, 6.0 / count)
    fig = Picture(figsize=(cell * (n + 2 * p + 2) + 1.2, 1.3 + row * count + 0.75), layout="constrained")
    ax = fig.subplots()
    _draw_axis(ax, n, p, unread, 72 * cell)
    for index, window in enumerate(taps):
        y = 1.45 + index
        ax.plot(
            [window[0] + 0.5, window[-1] + 0.5],
            [y + 0.5] * 2,
            color=COLORS["highlight"],
            linewidth=2,
            zorder=1,
        )
        for position in window:
            style: dict[str, Any] = {"facecolor": COLORS["highlight"], "edgecolor": COLORS["ink"], "linewidth": 0.8}
            ax.add_patch(Rectangle((position + 0.12, y + 0.18), 0.76, 0.64, **style))
    every = 1 if count <= 20 else 5
    ax.set(xlim=(-p - 0.3, n + p + 0.3), ylim=(1.45 + count + 0.2, -0.3))
    ax.set_yticks([1.95 + i for i in range(0, count, every)], [str(i) for i in range(0, count, every)])
    ax.set_xticks([])
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set(ylabel="output", title=title or output_size_formula(n, k, stride=s, padding=p, dilation=d))
    padded = f"{p} cell{'s' * (p > 1)} of padding on each side (dashed)" if p else ""
    never = f"never read: {_cells(unread)} (hatched)" if unread else ""
    ax.set_xlabel("    ".join(part for part in (padded, never) if part))
    starts = ", ".join(str(window[0]).replace("-", "−") for window in taps)
    fig.alt = (
        f"A kernel of {k} with stride {s}, padding {p} and dilation {d} on {n} cells: {count} "
        f"output{'s' * (count > 1)}. They start at cells {starts}. Never read: {_cells(unread) if unread else 'none'}."
    )
    return fig


def receptive_field_size(layers: Sequence[Any]) -> int:
    """How many input cells along one axis one output cell of a stack of layers can see.

    Parameters
    ----------
    layers : sequence
        From input to output; each is a kernel size, or (kernel_size, stride), or (kernel_size, stride, dilation).
        Convolution and pooling count alike.

    Returns
    -------
    int

    Examples
    --------
    >>> from zerohero.visualize import receptive_field_size
    >>> receptive_field_size([3, 3, 3]), receptive_field_size([(5, 1), (2, 2), (5, 1), (2, 2)])
    (7, 16)
    """
    return _fields(_layers(layers))[-1][1]


def receptive_field(
    layers: Sequence[Any], *, position: int | None = None, outputs: int = 3, title: str | None = None
) -> Picture:
    """Draw a stack of layers along one axis and mark every cell that one output cell can see.

    Parameters
    ----------
    layers : sequence
        As in `receptive_field_size`, without padding.
    position : int, optional
        Which output cell; by default the middle one.
    outputs : int
        How many output cells to draw.
    title : str, optional

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If the layers are not given as described, or too many input cells would have to be drawn.

    Examples
    --------
    >>> from zerohero.visualize import receptive_field
    >>> receptive_field([3, (3, 2)], outputs=2, position=0)
    Receptive field of output 0 of 2: layer 1 (kernel 3, stride 1) gives 5 cells, of which 0 to 2 are seen; layer 2
    (kernel 3, stride 2) gives 2 cells. It sees input cells 0 to 4 of 7, 5 cells.
    """
    page = FieldPage(layers, outputs, title)
    page.move(page.counts[-1] // 2 if position is None else position)
    return page.fig


class FieldPage:
    """A stack of layers along one axis; `move` marks what another output cell can see."""

    @styled
    def __init__(self, layers: Sequence[Any], outputs: int, title: str | None = None) -> None:
        self.stack = stack = _layers(layers)
        outputs = integer(outputs, "receptive_field", "outputs", least=1)
        self.counts = counts = _counts(stack, outputs)
        if counts[0] > MOST_CELLS:
            raise ValueError(
                f"receptive_field: {counts[0]} input cells would have to be drawn for {outputs} outputs, and at most "
                f"{MOST_CELLS} can; ask for fewer outputs or layers"
            )
        width = min(9.4, max(5.0, 0.42 * counts[0] + 1.6))
        self.fig = Picture(figsize=(width, 0.95 * len(counts) + 0.9), layout="constrained")
        ax = self.fig.subplots()
        self.fields = [(1, 1, 0.5), *_fields(stack)]
        places = list(zip(range(len(stack), -1, -1), counts, self.fields))
        self.levels = [_draw_level(ax, y, count, jump, first) for y, count, (jump, _, first) in places]
        style: dict[str, Any] = dict(facecolor=shade(COLORS["highlight"], 0.22), edgecolor="none", zorder=1)
        self.cones = [Polygon([(0, 0)] * 4, **style) for _ in stack]
        for cone in self.cones:
            ax.add_patch(cone)
        self.fig.moving = [*self.cones, *(cell for cells in self.levels for cell in cells)]
        kinds = [
            f"layer {i + 1}\nkernel {k}, stride {s}" + (f"\ndilation {d}" if d > 1 else "")
            for i, (k, s, d) in enumerate(stack)
        ]
        ax.set_yticks([y for y, _, _ in places], ["input", *kinds])
        ax.set(xlim=(-0.3, counts[0] + 0.3), ylim=(len(stack) + 0.45, -0.45))
        every = 1 if counts[0] <= 20 else 5
        ax.set_xticks([i + 0.5 for i in range(0, counts[0], every)], [str(i) for i in range(0, counts[0], every)])
        ax.tick_params(length=0)
        for spine in ax.spines.values():
            spine.set_visible(False)
        seen = _seen(stack, 0)[0]
        title = title or f"One output cell can see {seen[-1] - seen[0] + 1} input cells"
        ax.set(xlabel="cell of the input", title=title)

    @styled
    def move(self, position: int) -> None:
        """Mark what this output cell can see, layer by layer down to the input."""
        outputs = self.counts[-1]
        if integer(position, "receptive_field", "position", least=0) >= outputs:
            raise ValueError(f"receptive_field: position needs to lie in [0, {outputs - 1}], but got {position}")
        seen = _seen(self.stack, position)
        for cells, marked in zip(self.levels, seen):
            for index, cell in enumerate(cells):
                inside = index in marked
                cell.set_facecolor(shade(COLORS["highlight" if inside else "grid"], 0.8))
                cell.set(edgecolor=COLORS["ink" if inside else "neutral"], linewidth=1.6 if inside else 0.6)
        for level, cone in enumerate(self.cones):
            y = len(self.stack) - level - 1
            cone.set_xy(_cone(y, self.fields[level : level + 2], seen[level : level + 2]))
        self.fig.alt = _field_sentence(self.stack, self.counts, seen, position)


def _window_numbers(
    where: str, size: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any
) -> tuple[int, ...]:
    return (
        integer(size, where, "size", least=1),
        integer(kernel_size, where, "kernel_size", least=1),
        integer(stride, where, "stride", least=1),
        integer(padding, where, "padding", least=0),
        integer(dilation, where, "dilation", least=1),
    )


def _draw_axis(ax: Axes, size: int, padding: int, unread: list[int], points: float) -> None:
    fontsize = min(11.0, 0.55 * points)
    for cell in range(-padding, size + padding):
        inside = 0 <= cell < size
        style: dict[str, Any] = {"edgecolor": COLORS["neutral"], "facecolor": shade(COLORS["input"], 0.45)}
        style |= {} if inside else {"linestyle": "--", "facecolor": COLORS["paper"]}
        style |= {"hatch": "////", "facecolor": COLORS["paper"]} if cell in unread else {}
        ax.add_patch(Rectangle((cell, 0), 1, 1, **style))
        box = {"facecolor": COLORS["paper"], "edgecolor": "none", "pad": 1.2} if cell in unread else None
        ax.text(
            cell + 0.5,
            0.52,
            str(cell) if inside else "0",
            ha="center",
            va="center",
            fontsize=fontsize,
            bbox=box,
            color=COLORS["ink"] if inside else COLORS["neutral"],
        )


def _layers(layers: Sequence[Any]) -> list[tuple[int, int, int]]:
    """Each layer as (kernel, stride, dilation)."""
    stack = []
    for index, layer in enumerate(layers):
        parts = tuple(layer) if isinstance(layer, list | tuple) else (layer,)
        if not 1 <= len(parts) <= 3:
            raise ValueError(
                f"receptive_field: layers[{index}] needs a kernel size, (kernel_size, stride) or "
                f"(kernel_size, stride, dilation), but got {layer!r}"
            )
        names = ("kernel_size", "stride", "dilation")
        k, s, d = (
            *(integer(p, f"receptive_field: layers[{index}]", n, least=1) for p, n in zip(parts, names)),
            1,
            1,
        )[:3]
        stack.append((k, s, d))
    if not stack:
        raise ValueError("receptive_field: layers needs at least one layer, but is empty")
    return stack


def _fields(stack: list[tuple[int, int, int]]) -> list[tuple[int, int, float]]:
    """For each layer: its step in input cells, its receptive field, and the centre of its first cell."""
    jump, field, first, result = 1, 1, 0.5, []
    for kernel, stride, dilation in stack:
        first += jump * dilation * (kernel - 1) / 2
        field += jump * dilation * (kernel - 1)
        jump *= stride
        result.append((jump, field, first))
    return result


def _counts(stack: list[tuple[int, int, int]], outputs: int) -> list[int]:
    """Cells of the input and of each layer, so that the last one has `outputs`."""
    counts = [outputs]
    for kernel, stride, dilation in reversed(stack):
        counts.insert(0, (counts[0] - 1) * stride + dilation * (kernel - 1) + 1)
    return counts


def _seen(stack: list[tuple[int, int, int]], position: int) -> list[list[int]]:
    """At each level, input first, the cells that reach output `position`."""
    levels = [[position]]
    for kernel, stride, dilation in reversed(stack):
        levels.insert(0, sorted({cell * stride + dilation * tap for cell in levels[0] for tap in range(kernel)}))
    return levels


def _draw_level(ax: Axes, y: int, count: int, jump: int, first: float) -> list[Any]:
    width, lefts = 0.86 * jump, [first + jump * cell - 0.43 * jump for cell in range(count)]
    return [ax.add_patch(Rectangle((left, y - 0.2), width, 0.4, zorder=3)) for left in lefts]


def _cone(y: int, fields: list[tuple[int, int, float]], seen: list[list[int]]) -> list[tuple[float, float]]:
    """From the seen cells of one layer down to what they see in the layer below."""
    (lower, _, first_lower), (upper, _, first_upper) = fields
    half_low, half_up = 0.43 * lower, 0.43 * upper
    return [
        (first_upper + upper * seen[1][0] - half_up, y + 0.2),
        (first_upper + upper * seen[1][-1] + half_up, y + 0.2),
        (first_lower + lower * seen[0][-1] + half_low, y + 0.8),
        (first_lower + lower * seen[0][0] - half_low, y + 0.8),
    ]


def _cells(cells: list[int]) -> str:
    return ", ".join(str(cell) for cell in cells)


def _field_sentence(stack: list[tuple[int, int, int]], counts: list[int], seen: list[list[int]], position: int) -> str:
    parts = []
    for index, (kernel, stride, dilation) in enumerate(stack):
        spread = f", dilation {dilation}" if dilation > 1 else ""
        cells = seen[index + 1]
        which = f", of which {cells[0]} to {cells[-1]} are seen" if index + 1 < len(stack) else ""
        parts.append(
            f"layer {index + 1} (kernel {kernel}, stride {stride}{spread}) gives {counts[index + 1]} cells{which}"
        )
    low, high = seen[0][0], seen[0][-1]
    holes = "" if len(seen[0]) == high - low + 1 else f", {len(seen[0])} of them read"
    return (
        f"Receptive field of output {position} of {counts[-1]}: {'; '.join(parts)}. "
        f"It sees input cells {low} to {high} of {counts[0]}, {high - low + 1} cells{holes}."
    )
