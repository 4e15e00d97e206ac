"""Pictures of what deep networks are made of: paths, who feeds whom, gradients by depth, size and error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zerohero.arguments import integer

from .arrays import as_array
from .style import COLORS, CYCLE, DIVERGING, Picture, shade, styled

MARKERS = "osD^vP"
LINES = ("-", "--", ":", "-.")


@styled
def paths(source: str, branches: Sequence[Sequence[str]], join: str, *, title: str | None = None) -> Picture:
    """Draw paths that leave one place, run side by side, and meet again; a path without boxes is a shortcut.

    Parameters
    ----------
    source : str
        Where they start.
    branches : sequence of sequences of str
        For each path its boxes, in order; a text may have several lines.
    join : str
        What happens where they meet.
    title : str, optional

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If there is no path.

    Examples
    --------
    >>> from zerohero.visualize import paths
    >>> paths("x", [["conv", "ReLU"], []], "add")
    Paths from x: conv → ReLU; a shortcut. They meet in: add.
    """
    if not branches:
        raise ValueError("paths: branches needs at least one path, but is empty")
    most = max(max(len(boxes) for boxes in branches), 1)
    fig = Picture(figsize=(min(9.4, 1.75 * most + 3.2), 0.72 * len(branches) + 0.9), layout="constrained")
    ax = fig.subplots()
    middle, end = (len(branches) - 1) / 2, most + 1
    start = _box(ax, 0, middle, source, COLORS["input"])
    goal = _box(ax, end, middle, join, COLORS["output"])
    for row, boxes in enumerate(branches):
        stops = [start]
        for i, text in enumerate(boxes):
            stops.append(_box(ax, 1 + (most - len(boxes)) / 2 + i, row, text, COLORS["highlight"]))
        if not boxes:
            stops += [_bend(ax, 0.75, row), _bend(ax, end - 0.75, row)]
        for here, there in zip(stops, [*stops[1:], goal]):
            _arrow(ax, here, there)
    ax.set(xlim=(-0.45, end + 0.45), ylim=(len(branches) - 0.55, -0.45), title=title or "")
    ax.axis("off")
    said = "; ".join(" → ".join(" ".join(b.split()) for b in boxes) or "a shortcut" for boxes in branches)
    fig.alt = f"{title or f'Paths from {source}'}: {said}. They meet in: {' '.join(join.split())}."
    return fig


@styled
def connectivity(matrices: Mapping[str, Any], *, title: str | None = None) -> Picture:
    """Draw, for networks side by side, which layer is fed by which: a row for each layer, a column for each source.

    Parameters
    ----------
    matrices : mapping from name to array (layers, sources)
        Not zero where a source feeds a layer. The first source is the input, the next the first layer, and so on.
    title : str, optional

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If there is none, or one isn't a matrix.

    Examples
    --------
    >>> from zerohero.visualize import connectivity
    >>> connectivity({"dense": [[1, 0], [1, 1]]})
    Who feeds whom: dense 3 connections between 2 sources and 2 layers.
    """
    if not matrices:
        raise ValueError("connectivity: matrices needs arrays by name, but is empty")
    arrays = {name: as_array(matrix, f"connectivity: {name}") for name, matrix in matrices.items()}
    for name, array in arrays.items():
        if array.ndim != 2:
            raise ValueError(f"connectivity: {name} needs shape (layers, sources), but has shape {array.shape}")
    fig = Picture(figsize=(min(9.5, 3.1 * len(arrays) + 0.4), 3.4), layout="constrained")
    axes = fig.subplots(1, len(arrays), squeeze=False)[0]
    for ax, (name, array) in zip(axes, arrays.items()):
        ax.imshow(array != 0, cmap=DIVERGING, vmin=-1.5, vmax=1.5)
        ax.set_xticks(range(array.shape[1]), ["input", *range(1, array.shape[1])], fontsize=9)
        ax.set_yticks(range(array.shape[0]), range(1, array.shape[0] + 1), fontsize=9)
        ax.set_xticks(np.arange(array.shape[1] + 1) - 0.5, minor=True)
        ax.set_yticks(np.arange(array.shape[0] + 1) - 0.5, minor=True)
        ax.grid(which="minor", color=COLORS["grid"])
        ax.tick_params(which="both", length=0)
        ax.set(xlabel="from", ylabel="to layer", title=f"{name}: {np.count_nonzero(array)} connections")
    if title:
        fig.suptitle(title)
    said = ", ".join(
        f"{name} {np.count_nonzero(a)} connections between {a.shape[1]} sources and {a.shape[0]} layers"
        for name, a in arrays.items()
    )
    fig.alt = f"{title or 'Who feeds whom'}: {said}."
    return fig


def gradient_depth(
    norms: Mapping[str, Sequence[Sequence[float]]], depth: int | None = None, *, title: str | None = None
) -> Picture:
    """Draw how large gradients are: block by block at one depth, and in the first block at every depth.

    Parameters
    ----------
    norms : mapping from name to one sequence for each depth
        ``norms[name][d - 1]`` holds the gradient norms of the d blocks of a network with d of them, the first first.
    depth : int, optional
        The depth of the left picture, marked in the right one; the largest by default.
    title : str, optional

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If a network with d blocks hasn't d norms above 0, or there is no such depth.

    Examples
    --------
    >>> from zerohero.visualize import gradient_depth
    >>> gradient_depth({"plain": [[1.0], [0.1, 1.0]], "residual": [[1.0], [0.9, 1.0]]}, depth=2)
    Gradient norms: with 2 blocks, first block against last: plain 0.1 and 1, residual 0.9 and 1.
    """
    page = GradientPage(norms, title)
    page.move(page.deepest if depth is None else depth)
    return page.fig


class GradientPage:
    """The gradients of a network block by block, and of the first block at every depth; `move` goes to a depth."""

    @styled
    def __init__(self, norms: Mapping[str, Sequence[Sequence[float]]], title: str | None) -> None:
        self.norms, self.title, self.deepest = norms, title, _deepest(norms)
        self.fig = Picture(figsize=(9.3, 3.7), layout="constrained")
        self.left, right = self.fig.subplots(1, 2, sharey=True)
        depths, reach, self.lines = range(1, self.deepest + 1), (0.5, self.deepest + 0.5), []
        for (name, all_depths), color, marker, line in zip(norms.items(), CYCLE, MARKERS, LINES * 2):
            style: dict[str, Any] = dict(color=color, marker=marker, markersize=4, linestyle=line, label=name)
            self.lines += self.left.plot(depths, all_depths[-1], **style)
            right.plot(depths, [each[0] for each in all_depths], **style)
        self.here = right.axvline(1, color=COLORS["highlight"], linewidth=4, alpha=0.5, zorder=0)
        largest = max(math.log10(n) for curves in norms.values() for each in curves for n in each)
        smallest = min(math.log10(n) for curves in norms.values() for each in curves for n in each)
        room = 0.06 * (largest - smallest) + 0.3
        self.left.set(yscale="log", ylim=(10 ** (smallest - room), 10 ** (largest + room)))
        self.left.set(xlabel="block, from the input to the output", ylabel="norm of the gradient", xlim=reach)
        right.set(xlabel="blocks in the network", title="in its first block", xlim=reach)
        for ax in (self.left, right):
            ax.grid(axis="y")
        if title:
            self.fig.suptitle(title)
        over = [right.yaxis, *right.lines[:-1]]  # what lies over the line at this depth
        self.fig.moving = [*self.lines, self.left.title, self.left.legend(loc="best"), self.here, *over]

    @styled
    def move(self, depth: int) -> None:
        """Show the blocks of a network of this depth."""
        depth = integer(depth, "gradient_depth", "depth", least=1)
        if depth > self.deepest:
            raise ValueError(f"gradient_depth: depth needs to lie in [1, {self.deepest}], but got {depth}")
        many, at = "s" * (depth > 1), {name: each[depth - 1] for name, each in self.norms.items()}
        for line, each in zip(self.lines, at.values()):
            line.set_data(np.arange(1, depth + 1), np.asarray(each))
        self.here.set_xdata([depth, depth])
        self.left.set_title(f"a network of {depth} block{many}")
        said = ", ".join(f"{name} {each[0]:.2g} and {each[-1]:.2g}" for name, each in at.items())
        heading = self.title or "Gradient norms"
        self.fig.alt = f"{heading}: with {depth} block{many}, first block against last: {said}."


@styled
def evolution(networks: Mapping[str, Mapping[str, float]], *, title: str | None = None) -> Picture:
    """Draw networks as rows and what is known of each as bars in columns, each column on its own scale.

    Parameters
    ----------
    networks : mapping from name to mapping from quantity to number
        All have the same quantities, in the same order.
    title : str, optional

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If there is none, or two have different quantities.

    Examples
    --------
    >>> from zerohero.visualize import evolution
    >>> evolution({"AlexNet": {"layers": 8, "error in %": 18.2}, "VGG-16": {"layers": 16, "error in %": 9.33}})
    Networks: AlexNet layers 8, error in % 18.2; VGG-16 layers 16, error in % 9.33.
    """
    columns = [list(quantities) for quantities in networks.values()]
    if not columns or any(each != columns[0] for each in columns):
        raise ValueError(f"evolution: networks needs the same quantities for each of them, but got {columns}")
    names, quantities = list(networks), columns[0]
    fig = Picture(figsize=(9.5, 0.42 * len(names) + 1.25), layout="constrained")
    axes = fig.subplots(1, len(quantities), sharey=True, squeeze=False)[0]
    for ax, quantity, color in zip(axes, quantities, CYCLE):
        values = [networks[name][quantity] for name in names]
        bars = ax.barh(range(len(names)), values, color=shade(color, 0.8), height=0.68)
        ax.bar_label(bars, [f"{value:.3g}" for value in values], padding=3, fontsize=9.5)
        ax.set(xlim=(0, 1.32 * max(values)), title=quantity, ylim=(len(names) - 0.45, -0.55))
        ax.set_xticks([])
        ax.spines["bottom"].set_visible(False)
        ax.tick_params(axis="y", length=0)
        ax.title.set_fontsize(10.5)
    axes[0].set_yticks(range(len(names)), names)
    if title:
        fig.suptitle(title)
    said = "; ".join(
        f"{name} " + ", ".join(f"{quantity} {value:.3g}" for quantity, value in row.items())
        for name, row in networks.items()
    )
    fig.alt = f"{title or 'Networks'}: {' '.join(said.split())}."
    return fig


@styled
def size_and_error(
    families: Mapping[str, Mapping[str, tuple[float, float]]],
    *,
    xlabel: str = "million parameters",
    ylabel: str = "error in %",
    title: str | None = None,
) -> Picture:
    """Draw families of networks as lines, each network a marked point: its size to the right, its error upwards.

    Parameters
    ----------
    families : mapping from name to mapping from network to (size, error)
    xlabel, ylabel : str
    title : str, optional

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If there is none, or one is empty.

    Examples
    --------
    >>> from zerohero.visualize import size_and_error
    >>> size_and_error({"ResNet": {"34": (21.8, 26.73), "152": (60.2, 22.16)}, "DenseNet": {"121": (8, 25.02)}})
    Size and error: ResNet 34 at 21.8, 26.7; ResNet 152 at 60.2, 22.2; DenseNet 121 at 8, 25.
    """
    if not families or not all(families.values()):
        raise ValueError("size_and_error: families needs at least one network in each family, but one is empty")
    fig = Picture(figsize=(7.4, 4.0), layout="constrained")
    ax = fig.subplots()
    for (family, members), color, marker, line in zip(families.items(), CYCLE, MARKERS, LINES * 2):
        sizes, errors = zip(*members.values())
        ax.plot(sizes, errors, line, color=color, marker=marker, markersize=7, label=family)
        for name, (size, error) in members.items():
            ax.annotate(name, (size, error), (6, 5), textcoords="offset points", fontsize=10)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title or "")
    ax.margins(0.1, 0.12)
    ax.set_xlim(left=0)
    ax.grid(axis="y")
    ax.legend()
    said = "; ".join(
        f"{family} {name} at {size:.3g}, {error:.3g}"
        for family, members in families.items()
        for name, (size, error) in members.items()
    )
    fig.alt = f"{title or 'Size and error'}: {said}."
    return fig


def _deepest(norms: Mapping[str, Sequence[Sequence[float]]]) -> int:
    """How many depths all curves have; refuses what `gradient_depth` cannot draw."""
    if not norms:
        raise ValueError("gradient_depth: norms needs sequences by name, but is empty")
    deepest = len(next(iter(norms.values())))
    for name, all_depths in norms.items():
        if len(all_depths) != deepest or any(len(each) != d for d, each in enumerate(all_depths, start=1)):
            raise ValueError(
                f"gradient_depth: norms[{name!r}] needs d numbers for each depth d from 1 to {deepest}, but has "
                f"{[len(each) for each in all_depths]}"
            )
        if not all(math.isfinite(n) and n > 0 for each in all_depths for n in each):
            raise ValueError(f"gradient_depth: norms[{name!r}] needs finite numbers above 0 for a scale of powers")
    return deepest


def _box(ax: Any, x: float, y: float, text: str, color: str) -> Any:
    face = {"boxstyle": "round,pad=0.35", "facecolor": shade(color, 0.3), "edgecolor": color}
    return ax.text(x, y, text, ha="center", va="center", fontsize=10, bbox=face, zorder=3)


def _bend(ax: Any, x: float, y: float) -> Any:
    """A corner of a path: a place without a box."""
    return ax.text(x, y, "")


def _arrow(ax: Any, here: Any, there: Any) -> None:
    """From the edge of one box to that of the next, drawn after both; to a corner a line without a head."""
    ends = here.get_bbox_patch(), there.get_bbox_patch()
    look = {"arrowstyle": "-" if ends[1] is None else "-|>", "color": COLORS["ink"], "linewidth": 1.4}
    look |= {"patchA": ends[0], "patchB": ends[1], "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", there.get_position(), here.get_position(), arrowprops=look, zorder=4)
