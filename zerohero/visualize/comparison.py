"""Curves of several trainings in one picture, each with its spread over seeds; a single training is in learning.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from .arrays import as_array
from .style import CYCLE, Picture, styled

LINES = ("-", "--", ":", "-.")
MARKS = "os^Dv*"


@styled
def compare_curves(
    curves: Mapping[str, Any],
    *,
    title: str | None = None,
    ylabel: str = "loss",
    xlabel: str = "epoch",
    limits: tuple[float, float] | None = None,
) -> Picture:
    """Draw the curve of each name; where it has several runs, their mean, and between which values they lie.

    Parameters
    ----------
    curves : mapping from name to array (epochs,) or (runs, epochs)
        At most 7.
    title, ylabel, xlabel : str
    limits : (low, high), optional
        Of the vertical axis.

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If there are no curves or too many, or one has no numbers in one of the two shapes.

    Examples
    --------
    >>> from zerohero.visualize import compare_curves
    >>> compare_curves({"ReLU": [2.3, 0.4], "tanh": [[2.2, 0.5], [2.4, 0.7]]}, title="Two functions")
    Two functions, loss over 2 epochs: ReLU from 2.3 to 0.4; tanh from 2.3 to 0.6 (mean of 2 runs).
    """
    if not 1 <= len(curves) <= len(CYCLE):
        raise ValueError(f"compare_curves: curves needs 1 to {len(CYCLE)} curves by name, but has {len(curves)}")
    fig = Picture(figsize=(7.0, 3.6), layout="constrained")
    ax = fig.subplots()
    said, longest = [], 1
    for place, (name, values) in enumerate(curves.items()):
        runs = np.atleast_2d(as_array(values, f"compare_curves: curves[{name!r}]").astype(float))
        if runs.ndim != 2 or not runs.size:
            raise ValueError(
                f"compare_curves: curves[{name!r}] needs shape (epochs,) or (runs, epochs), but has {runs.shape}"
            )
        mean, epochs = runs.mean(axis=0), np.arange(1, runs.shape[1] + 1)
        longest = max(longest, len(epochs))
        color, line = CYCLE[place], LINES[place % len(LINES)]
        mark = MARKS[place % len(MARKS)] if len(epochs) <= 30 else ""
        ax.plot(epochs, mean, line, color=color, marker=mark, markersize=4, label=name)
        if len(runs) > 1:
            ax.fill_between(epochs, runs.min(axis=0), runs.max(axis=0), color=color, alpha=0.18, linewidth=0)
        many = f" (mean of {len(runs)} runs)" if len(runs) > 1 else ""
        said.append(f"{name} from {mean[0]:.3g} to {mean[-1]:.3g}{many}")
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title or "")
    if limits is not None:
        ax.set_ylim(*limits)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(axis="y")
    ax.legend()
    fig.alt = f"{title or 'Curves'}, {ylabel} over {longest} {xlabel}s: {'; '.join(said)}."
    return fig
