"""Pictures of where networks fail: shares with their intervals, accuracy by viewpoint, an attack, a map of pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zerohero.arguments import integer, number

from .arrays import as_array
from .style import COLORS, CYCLE, DIVERGING, Picture, styled

MARKERS = "osD^vP"
LINES = ("-", "--", ":", "-.")


def share_interval(count: int, total: int) -> tuple[float, float]:
    """Where a share may lie of which `count` out of `total` was seen: Wilson's 95 % interval.

    It never leaves [0, 1], and 0 of 25 does not mean never.

    Parameters
    ----------
    count, total : int

    Returns
    -------
    low, high : float

    Raises
    ------
    ValueError
        If total is below 1, or count isn't between 0 and total.

    References
    ----------
    E. B. Wilson 1927, "Probable inference, the law of succession, and statistical inference", JASA 22,
    doi:10.1080/01621459.1927.10502953.

    Examples
    --------
    >>> from zerohero.visualize import share_interval
    >>> "{:.2f} to {:.2f}".format(*share_interval(0, 25))
    '0.00 to 0.13'
    """
    total = integer(total, "share_interval", "total", least=1)
    count = integer(count, "share_interval", "count", least=0)
    if count > total:
        raise ValueError(f"share_interval: count needs to be at most total, but they are {count} and {total}")
    z, share = 1.959964, count / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, middle - half), min(1.0, middle + half)


@styled
def shares(
    counts: Mapping[str, Mapping[str, Sequence[int]]], *, title: str | None = None, xlabel: str = "share in %"
) -> Picture:
    """Draw shares as dots with 95 % intervals: a row for each thing that was counted, a colour for each group.

    Parameters
    ----------
    counts : mapping from group to mapping from row to (count, total)
        All groups have the same rows, in the same order.
    title, xlabel : str, optional

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If there is none, the rows differ, or a count isn't between 0 and its total.

    Examples
    --------
    >>> from zerohero.visualize import shares
    >>> shares({"CNN": {"faces": (25, 25), "swapped": (24, 25)}}, xlabel="called a face, in %")
    Shares with 95 % intervals, called a face, in %: CNN faces 100 % of 25, swapped 96 % of 25.
    """
    rows = [list(group) for group in counts.values()]
    if not rows or not rows[0] or any(each != rows[0] for each in rows):
        raise ValueError(f"shares: counts needs the same rows for each group, and at least one, but got {rows}")
    names = rows[0]
    fig = Picture(figsize=(8.4, 0.42 * len(names) * max(1, 0.5 * len(counts)) + 1.3), layout="constrained")
    ax = fig.subplots()
    for place, ((group, values), color, marker) in enumerate(zip(counts.items(), CYCLE, MARKERS)):
        height = np.arange(len(names)) + (place - (len(counts) - 1) / 2) * 0.8 / max(len(counts), 2)
        middle = np.array([100 * count / total for count, total in values.values()])
        limits = np.array([share_interval(count, total) for count, total in values.values()]) * 100
        reach = np.maximum(np.stack([middle - limits[:, 0], limits[:, 1] - middle]), 0)
        ax.errorbar(middle, height, xerr=reach, fmt=marker, color=color, capsize=3, linewidth=1.5, label=group)
    ax.set(xlim=(-3, 103), ylim=(len(names) - 0.5, -0.5), xlabel=xlabel, title=title or "")
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    for edge in np.arange(0.5, len(names) - 1):
        ax.axhline(edge, color=COLORS["grid"], linewidth=0.8)
    if len(counts) > 1:
        fig.legend(loc="outside lower center", ncols=len(counts))
    said = "; ".join(
        f"{group} "
        + ", ".join(f"{name} {100 * count / total:.0f} % of {total}" for name, (count, total) in each.items())
        for group, each in counts.items()
    )
    fig.alt = f"{title or 'Shares with 95 % intervals'}, {xlabel}: {' '.join(said.split())}."
    return fig


@styled
def viewpoints(
    curves: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
    *,
    chance: float | None = None,
    title: str | None = None,
    ylabel: str = "accuracy in %",
) -> Picture:
    """Draw how accuracy falls with each change of viewpoint: a picture for each change, a line for each model.

    Parameters
    ----------
    curves : mapping from change to mapping from model to (values, accuracies)
        Accuracies from 0 to 1.
    chance : float, optional
        The accuracy of guessing, drawn as a dotted line.
    title, ylabel : str, optional

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If there is no curve, or one hasn't as many accuracies as values.

    Examples
    --------
    >>> from zerohero.visualize import viewpoints
    >>> viewpoints({"degrees": {"CNN": ([0, 45], [0.99, 0.6])}}, chance=0.1)
    Accuracy by viewpoint: degrees: CNN from 99 % at 0 to 60 % at 45.
    """
    if not curves or not all(curves.values()):
        raise ValueError("viewpoints: curves needs at least one line for each change, but one has none")
    for change, lines in curves.items():
        for name, (values, accuracies) in lines.items():
            if len(values) != len(accuracies) or not len(values):
                raise ValueError(
                    f"viewpoints: {name!r} of {change!r} needs as many accuracies as values, at least one, but has "
                    f"{len(values)} and {len(accuracies)}"
                )
    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    fig = Picture(figsize=(min(9.5, 3.3 * columns + 0.6), 2.7 * rows + 0.5), layout="constrained")
    axes = fig.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for ax, (change, lines) in zip(axes, curves.items()):
        for (name, (values, accuracies)), color, marker, line in zip(lines.items(), CYCLE, MARKERS, LINES * 2):
            shown = 100 * np.asarray(accuracies, dtype=float)
            ax.plot(values, shown, line, color=color, marker=marker, markersize=4, label=name)
        if chance is not None:
            ax.axhline(100 * chance, color=COLORS["neutral"], linestyle=":", linewidth=1)
        ax.set(xlabel=change, ylim=(0, 103))
        ax.grid(axis="y")
    for ax in axes[len(curves) :]:
        ax.axis("off")
    for ax in axes[::columns]:
        ax.set_ylabel(ylabel)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(next(iter(curves.values()))))
    if title:
        fig.suptitle(title)
    said = "; ".join(f"{change}: " + ", ".join(_range_of(name, *line) for name, line in lines.items())
                     for change, lines in curves.items())  # fmt: skip
    fig.alt = f"{title or 'Accuracy by viewpoint'}: {said}."
    return fig


def _range_of(name: str, values: Sequence[float], accuracies: Sequence[float]) -> str:
    """The best and the worst place of a curve, in words."""
    best, worst = int(np.argmax(accuracies)), int(np.argmin(accuracies))
    return (
        f"{name} from {100 * accuracies[best]:.0f} % at {values[best]:g} to {100 * accuracies[worst]:.0f} % at "
        f"{values[worst]:g}"
    )


@styled
def attack(
    image: Any, changed: Any, *, before: str = "", after: str = "", title: str | None = None, limit: float | None = None
) -> Picture:
    """Draw an image, what was added to it, and the sum: what a network is shown instead.

    Parameters
    ----------
    image, changed : array-like (H, W) or (C, H, W)
        With values in [0, 1]; C is 1 or 3.
    before, after : str
        What the network says to each; written above it.
    title : str, optional
    limit : float, optional
        The change that is drawn in full colour; by default the largest. Of a colour image the mean change is drawn.

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If the two have different shapes, or one that can't be drawn.

    Examples
    --------
    >>> import numpy as np
    >>> from zerohero.visualize import attack
    >>> attack(np.zeros((4, 4)), np.eye(4), before="nothing", after="a line")
    An image, the change, and the changed image: 4 of 16 pixels changed by up to 1; before: nothing; after: a line.
    """
    first, second = (as_array(each, f"attack: {name}").astype(float) for each, name in
                     ((image, "image"), (changed, "changed")))  # fmt: skip
    if first.shape != second.shape or first.ndim not in (2, 3) or (first.ndim == 3 and len(first) not in (1, 3)):
        raise ValueError(
            f"attack: image and changed need the same shape, (H, W) or (C, H, W) with C 1 or 3, but have {first.shape} "
            f"and {second.shape}"
        )
    step = second - first
    flat = step if step.ndim == 2 else step.mean(axis=0)
    largest = float(np.abs(step).max()) if limit is None else number(limit, "attack", "limit", low=1e-12)
    fig = Picture(figsize=(8.4, 2.9), layout="constrained")
    axes = fig.subplots(1, 3)
    for ax, pixels, heading in ((axes[0], first, before), (axes[2], second, after)):
        shown = pixels if pixels.ndim == 2 else np.moveaxis(pixels, 0, -1).squeeze()
        ax.imshow(shown.clip(0, 1), cmap="gray" if shown.ndim == 2 else None, vmin=0, vmax=1)
        ax.set_title(heading)
    axes[1].imshow(flat, cmap=DIVERGING, vmin=-(largest or 1), vmax=largest or 1)
    axes[1].set_title(f"the change, up to {np.abs(step).max():.3g}")
    for ax in axes:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(True)
        ax.spines[:].set_color(COLORS["grid"])
    if title:
        fig.suptitle(title)
    count = int((np.abs(step) > 0).sum(axis=0).astype(bool).sum() if step.ndim == 3 else (step != 0).sum())
    fig.alt = (
        f"{title or 'An image, the change, and the changed image'}: {count} of {flat.size} pixels changed by up to "
        f"{np.abs(step).max():.3g}; before: {before or 'not said'}; after: {after or 'not said'}."
    )
    return fig


@styled
def margin_map(image: Any, margins: Mapping[str, Any], *, title: str | None = None) -> Picture:
    """Draw an image, and beside it maps of how far the right class is ahead when one pixel is set, pixel by pixel.

    Parameters
    ----------
    image : array-like (H, W), (1, H, W) or (3, H, W)
    margins : mapping from name to array (H, W)
        As `limits.pixel_map` gives them. Blue: still right; orange: this pixel fools the network.
    title : str, optional

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If there is no map, or one has another size than the image.

    Examples
    --------
    >>> import numpy as np
    >>> from zerohero.visualize import margin_map
    >>> margin_map(np.zeros((2, 2)), {"white": [[1, 2], [-1, 3]]})
    Margins with one pixel set: white: from -1 to 3, 1 of 4 pixels fools the network.
    """
    pixels = as_array(image, "margin_map: image").astype(float)
    shown = pixels if pixels.ndim == 2 else np.moveaxis(pixels, 0, -1).squeeze()
    maps = {name: as_array(each, f"margin_map: {name}").astype(float) for name, each in margins.items()}
    if not maps or any(each.shape != shown.shape[:2] for each in maps.values()):
        raise ValueError(
            f"margin_map: margins needs maps of the image's size {shown.shape[:2]}, but got "
            f"{[each.shape for each in maps.values()]}"
        )
    limit = max(float(np.abs(each).max()) for each in maps.values()) or 1.0
    fig = Picture(figsize=(min(9.5, 3.0 * (len(maps) + 1)), 3.1), layout="constrained")
    axes = fig.subplots(1, len(maps) + 1, squeeze=False)[0]
    axes[0].imshow(shown, cmap="gray" if shown.ndim == 2 else None, vmin=0, vmax=1)
    axes[0].set(xticks=[], yticks=[], title="the image")
    for ax, (name, each) in zip(axes[1:], maps.items()):
        drawn = ax.imshow(each, cmap=DIVERGING, vmin=-limit, vmax=limit)
        ax.set(xlabel="column", ylabel="row", title=name)
        ax.set_xticks(range(0, each.shape[1], -(-each.shape[1] // 4)))
        ax.set_yticks(range(0, each.shape[0], -(-each.shape[0] // 4)))
    fig.colorbar(drawn, ax=axes[1:].tolist(), label="margin", shrink=0.8)
    if title:
        fig.suptitle(title)
    said = []
    for name, each in maps.items():
        fooling = int((each < 0).sum())
        verb = "fools" if fooling == 1 else "fool"
        said.append(
            f"{name}: from {each.min():.3g} to {each.max():.3g}, {fooling} of {each.size} pixels {verb} the network"
        )
    fig.alt = f"{title or 'Margins with one pixel set'}: {'; '.join(said)}."
    return fig
