"""Pictures of transfer: which strategy wins with how much and how similar data, and accuracy by frozen layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .limits import LINES, MARKERS
from .style import COLORS, CYCLE, Picture, styled

Accuracies = Sequence[float]  # of one strategy, a number from 0 to 1 for each seed


@styled
def strategy_quadrants(
    gains: Mapping[str, Mapping[str, Mapping[str, Accuracies]]],
    *,
    predicted: Mapping[str, str | Sequence[str]] | None = None,
    columns: int = 2,
    title: str | None = None,
) -> Picture:
    """Draw what strategies gain over a network that starts anew: a picture for each kind of data, a row a strategy.

    Parameters
    ----------
    gains : mapping from kind of data to mapping from task to mapping from strategy to accuracies
        A kind of data is a quadrant, such as "much, similar". Each task has its own mark and colour. An accuracy minus
        that of the new network with the same seed, from -1 to 1, one for each seed; all tasks have the same strategies.
    predicted : mapping from kind of data to strategy, or to several, optional
        Whose row is shaded: what somebody says will win there.
    columns : int
    title : str, optional

    Returns
    -------
    Picture
        Dots are means over the seeds, bars their standard deviation.

    Raises
    ------
    ValueError
        If there is no task, strategies differ, or a prediction is none of them.

    Examples
    --------
    >>> from zerohero.visualize import strategy_quadrants
    >>> gains = {"little, similar": {"digits": {"tune all": [0.02, 0.04], "head only": [0.10, 0.12]}}}
    >>> strategy_quadrants(gains, predicted={"little, similar": "head only"})
    Points gained over a new network: little, similar (predicted: head only): digits tune all +3.0, head only +11.0.
    """
    predicted = {kind: [each] if isinstance(each, str) else list(each) for kind, each in (predicted or {}).items()}
    names = _strategies(gains)
    for kind, winners in predicted.items():
        if kind not in gains or any(each not in names for each in winners):
            raise ValueError(
                f"strategy_quadrants: predicted needs kinds of data and strategies out of {names}, "
                f"but has {kind!r}: {winners}"
            )
    rows = -(-len(gains) // columns)
    fig = Picture(figsize=(9.5, (0.42 * len(names) + 0.9) * rows + 0.5), layout="constrained")
    axes = fig.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    styles = dict(zip(dict.fromkeys(task for tasks in gains.values() for task in tasks), zip(CYCLE, MARKERS)))
    for ax, (kind, tasks) in zip(axes, gains.items()):
        for winner in predicted.get(kind, ()):
            row = names.index(winner)
            ax.axhspan(row - 0.5, row + 0.5, color=COLORS["grid"], zorder=0)
        for place, (task, strategies) in enumerate(tasks.items()):
            color, marker = styles[task]
            points = 100 * np.array([np.mean(strategies[name]) for name in names])
            spread = 100 * np.array([_spread(strategies[name]) for name in names])
            height = np.arange(len(names)) + (place - (len(tasks) - 1) / 2) * 0.22
            ax.errorbar(points, height, xerr=spread, fmt=marker, color=color, capsize=3, markersize=5, label=task)
        ax.axvline(0, color=COLORS["neutral"], linewidth=1)
        ax.set(title=kind, ylim=(len(names) - 0.5, -0.5))
        ax.set_yticks(range(len(names)), names)
        ax.tick_params(axis="y", length=0)
        ax.locator_params(axis="x", nbins=6, prune="both")  # no numbers at the edges, where neighbours have theirs
        ax.grid(axis="x")
    for ax in axes[len(gains) :]:
        ax.axis("off")
    for ax in axes[max(0, len(gains) - columns) : len(gains)]:
        ax.set_xlabel("points gained over a new network")
    handles = {label: each for ax in axes for each, label in zip(*ax.get_legend_handles_labels())}
    fig.legend(handles.values(), handles, loc="outside lower center", ncols=min(3, len(handles)))
    if title:
        fig.suptitle(title)
    said = "; ".join(_kind_in_words(kind, tasks, predicted.get(kind)) for kind, tasks in gains.items())
    fig.alt = f"{title or 'Points gained over a new network'}: {said}."
    return fig


@styled
def freezing_curves(
    curves: Mapping[str, Mapping[int, Accuracies]],
    *,
    anew: Mapping[str, Accuracies] | None = None,
    title: str | None = None,
) -> Picture:
    """Draw accuracy against the number of layers that are frozen, counted from the images.

    Parameters
    ----------
    curves : mapping from task to mapping from frozen layers to accuracies
        One accuracy from 0 to 1 for each seed.
    anew : mapping from task to accuracies, optional
        Of a network that starts anew: a dotted line at their mean.
    title : str, optional

    Returns
    -------
    Picture
        Dots are means over the seeds, bars their standard deviation.

    Raises
    ------
    ValueError
        If a task has no accuracy, or `anew` names another task.

    Examples
    --------
    >>> from zerohero.visualize import freezing_curves
    >>> freezing_curves({"digits": {0: [0.94, 0.96], 4: [0.97]}}, anew={"digits": [0.84]})
    Accuracy by frozen layers: digits 95.0 % with 0, 97.0 % with 4, anew 84.0 %.
    """
    anew = anew or {}
    if not curves or not all(task and all(map(len, task.values())) for task in curves.values()):
        raise ValueError("freezing_curves: curves needs at least one accuracy for each task, but one has none")
    if unknown := [task for task in anew if task not in curves]:
        raise ValueError(f"freezing_curves: anew needs tasks out of {list(curves)}, but has {unknown[0]!r}")
    fig = Picture(figsize=(8, 4.2), layout="constrained")
    ax = fig.subplots()
    said = []
    for (task, curve), color, marker, line in zip(curves.items(), CYCLE, MARKERS, LINES * 2):
        middle = [100 * np.mean(each) for each in curve.values()]
        spread = [100 * _spread(each) for each in curve.values()]
        ax.errorbar(list(curve), middle, yerr=spread, fmt=line, marker=marker, color=color, capsize=3, label=task)
        words = [f"{value:.1f} % with {count}" for count, value in zip(curve, middle)]
        if task in anew:
            ax.axhline(100 * float(np.mean(anew[task])), color=color, linestyle=":", linewidth=1)
            words.append(f"anew {100 * np.mean(anew[task]):.1f} %")
        said.append(f"{task} {', '.join(words)}")
    ax.set(xlabel="layers frozen, from the images on", ylabel="accuracy in %", title=title or "")
    ax.set_xticks(sorted({count for curve in curves.values() for count in curve}))
    ax.grid(axis="y")
    fig.legend(loc="outside lower center", ncols=min(3, len(curves)))
    fig.alt = f"{title or 'Accuracy by frozen layers'}: {'; '.join(said)}."
    return fig


def _strategies(gains: Mapping[str, Mapping[str, Mapping[str, Accuracies]]]) -> list[str]:
    every = [list(strategies) for tasks in gains.values() for strategies in tasks.values()]
    if not every or not every[0] or any(each != every[0] for each in every):
        raise ValueError(f"strategy_quadrants: gains needs tasks with the same strategies, but has {every}")
    return every[0]


def _spread(accuracies: Accuracies) -> float:
    """The standard deviation over the seeds; 0 for a single one."""
    return float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else 0.0


def _kind_in_words(kind: str, tasks: Mapping[str, Mapping[str, Accuracies]], predicted: Sequence[str] | None) -> str:
    hint = f" (predicted: {' or '.join(predicted)})" if predicted else ""
    each = [
        f"{task} " + ", ".join(f"{name} {100 * np.mean(values):+.1f}" for name, values in strategies.items())
        for task, strategies in tasks.items()
    ]
    return f"{kind}{hint}: {', '.join(each)}"
