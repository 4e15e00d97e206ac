"""Pictures of a loss over one or two parameters and an optimiser's path on it; nothing is optimised here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .arrays import _brief, as_array
from .style import COLORS, CYCLE, Picture, styled

MARKERS = ("o", "s", "^", "D", "v")


@styled
def descent(
    function: Callable[[np.ndarray], Any],
    paths: Any = None,
    *,
    x: tuple[float, float] = (-3.0, 3.0),
    title: str | None = None,
    labels: tuple[str, str] = ("parameter", "loss"),
) -> Picture:
    """Draw a loss over one parameter, and the steps of gradient descent along it.

    Parameters
    ----------
    function : callable
        Takes an array of parameters, returns as many losses.
    paths : array-like (steps,), or a mapping from name to such, optional
        The parameter after each step, the start first.
    x : (low, high)
        Range of the parameter; it is widened to hold the paths.
    title : str, optional
    labels : (str, str)
        Names of the axes.

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If a path is not one-dimensional, or the loss is not finite on the range.

    Examples
    --------
    >>> from zerohero.visualize import descent
    >>> descent(lambda w: w**2, {"step 0.1": [2.0, 1.6, 1.28]})
    Loss over parameter. step 0.1: 2 steps from 2 (loss 4) to 1.3 (loss 1.6).
    """
    walks = _walks(paths, 1, "descent")
    low, high = _widened(x, [walk for walk in walks.values()])
    places = np.linspace(low, high, 401)
    losses = _finite(np.asarray(as_array(function(places)), dtype=float), places.shape, "descent")
    fig = Picture(figsize=(6.4, 3.8), layout="constrained")
    ax = fig.subplots()
    ax.plot(places, losses, color=COLORS["neutral"], zorder=1)
    said = []
    for index, (name, walk) in enumerate(walks.items()):
        heights = np.asarray(as_array(function(walk)), dtype=float)
        style: dict[str, Any] = {"color": CYCLE[index % len(CYCLE)], "marker": MARKERS[index % len(MARKERS)]}
        ax.plot(walk, heights, linewidth=1.2, label=name or None, zorder=2, **style)
        ax.plot(walk[-1], heights[-1], markersize=11, zorder=3, **style)
        said.append(
            f"{name or 'Path'}: {len(walk) - 1} steps from {_brief(walk[0])} (loss {_brief(heights[0])}) "
            f"to {_brief(walk[-1])} (loss {_brief(heights[-1])})"
        )
    ax.set(xlabel=labels[0], ylabel=labels[1])
    if any(walks):
        ax.legend()
    if title:
        ax.set_title(title)
    fig.alt = ". ".join([title or f"{labels[1].capitalize()} over {labels[0]}", *said]) + "."
    return fig


@styled
def surface(
    function: Callable[[np.ndarray, np.ndarray], Any],
    paths: Any = None,
    *,
    x: tuple[float, float] = (-3.0, 3.0),
    y: tuple[float, float] = (-3.0, 3.0),
    minimum: tuple[float, float] | None = None,
    levels: int = 16,
    title: str | None = None,
    labels: tuple[str, str] = ("first parameter", "second parameter"),
) -> Picture:
    """Draw a loss over two parameters as contour lines, and the paths of optimisers on it.

    Parameters
    ----------
    function : callable
        Takes two arrays of one shape, returns the losses in that shape.
    paths : array-like (steps, 2), or a mapping from name to such, optional
        For example ``{"SGD": ..., "momentum": ..., "Adam": ...}``; the start first. A larger mark is the end.
    x, y : (low, high)
        Ranges of the two parameters.
    minimum : (float, float), optional
        Where to draw a star.
    levels : int
        Number of contour lines, closer together where the loss is low.
    title : str, optional
    labels : (str, str)
        Names of the axes.

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If a path has not two columns, or the loss is not finite on the ranges.

    Examples
    --------
    >>> from zerohero.visualize import surface
    >>> surface(lambda a, b: a**2 + 10 * b**2, {"SGD": [[2, 1], [1.6, -1], [1.3, 1]]}, minimum=(0, 0))
    Loss over first parameter and second parameter, lowest at (0, 0). SGD: 2 steps from loss 14 to loss 12.
    """
    walks = _walks(paths, 2, "surface")
    across, up = np.meshgrid(np.linspace(*x, 161), np.linspace(*y, 161))
    losses = _finite(np.asarray(as_array(function(across, up)), dtype=float), across.shape, "surface")
    fig = Picture(figsize=(6.6, 4.8), layout="constrained")
    ax = fig.subplots()
    spread = float(losses.max() - losses.min()) or 1.0
    heights = float(losses.min()) + spread * np.linspace(0, 1, levels + 1) ** 3
    drawn = ax.contourf(across, up, losses, levels=heights, cmap="Greys", alpha=0.35, zorder=0)
    ax.contour(
        across,
        up,
        losses,
        levels=heights[1:-1],
        colors=COLORS["neutral"],
        linewidths=0.6,
        alpha=0.7,
        zorder=1,
    )
    bar = fig.colorbar(drawn, ax=ax, label="loss", ticks=heights[:: max(1, levels // 4)])
    bar.ax.set_yticklabels([_brief(value) for value in heights[:: max(1, levels // 4)]])
    said = []
    for index, (name, walk) in enumerate(walks.items()):
        style: dict[str, Any] = {"color": CYCLE[index % len(CYCLE)], "marker": MARKERS[index % len(MARKERS)]}
        ax.plot(walk[:, 0], walk[:, 1], linewidth=1.6, markersize=4, label=name or None, zorder=2, **style)
        ax.plot(walk[-1, 0], walk[-1, 1], markersize=11, markeredgecolor="white", zorder=3, **style)
        ends = np.asarray(as_array(function(walk[[0, -1], 0], walk[[0, -1], 1])), dtype=float)
        said.append(f"{name or 'Path'}: {len(walk) - 1} steps from loss {_brief(ends[0])} to loss {_brief(ends[1])}")
    if minimum is not None:
        ax.plot(
            *minimum,
            marker="*",
            markersize=16,
            color=COLORS["ink"],
            linestyle="",
            label="lowest loss",
            zorder=4,
        )
    ax.set(xlim=x, ylim=y, xlabel=labels[0], ylabel=labels[1])
    if any(walks) or minimum is not None:
        ax.legend(frameon=True, facecolor="white", framealpha=0.85, edgecolor="none")
    if title:
        ax.set_title(title)
    where = f", lowest at ({_brief(minimum[0])}, {_brief(minimum[1])})" if minimum is not None else ""
    fig.alt = ". ".join([(title or f"Loss over {labels[0]} and {labels[1]}") + where, *said]) + "."
    return fig


def _walks(paths: Any, axes: int, where: str) -> dict[str, np.ndarray]:
    given = {} if paths is None else paths if isinstance(paths, Mapping) else {"": paths}
    walks = {str(name): as_array(path, f"{where}: path {name}".strip()).astype(float) for name, path in given.items()}
    for name, walk in walks.items():
        shape = "(steps,)" if axes == 1 else "(steps, 2)"
        if walk.ndim != axes or not len(walk) or (axes == 2 and walk.shape[1] != 2):
            raise ValueError(f"{where}: path {name} needs shape {shape}, but has shape {walk.shape}".replace("  ", " "))
        if not np.isfinite(walk).all():
            step = int(np.flatnonzero(~np.isfinite(walk).reshape(len(walk), -1).all(axis=1))[0])
            raise ValueError(f"{where}: path {name} is NaN or infinite from step {step} on".replace("  ", " "))
    return walks


def _widened(limits: tuple[float, float], walks: list[np.ndarray]) -> tuple[float, float]:
    ends = np.concatenate([np.asarray(limits, float), *walks])
    return float(ends.min()), float(ends.max())


def _finite(losses: np.ndarray, shape: tuple[int, ...], where: str) -> np.ndarray:
    losses = np.broadcast_to(losses, shape) if losses.ndim == 0 else losses
    if losses.shape != shape:
        raise ValueError(
            f"{where}: function needs to return one loss for each place, {shape}, but returned {losses.shape}"
        )
    if not np.isfinite(losses).all():
        raise ValueError(f"{where}: function is NaN or infinite somewhere on the range; choose a smaller one")
    return losses
