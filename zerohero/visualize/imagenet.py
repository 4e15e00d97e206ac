"""Pictures of the ImageNet years: errors by year, where a network keeps its cost, how long a training takes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .arrays import as_array
from .style import COLORS, CYCLE, Picture, shade, styled

MINUTE, HOUR, DAY, YEAR = 60.0, 3600.0, 86_400.0, 365.25 * 86_400
UNITS = (("year", YEAR), ("day", DAY), ("hour", HOUR), ("minute", MINUTE), ("second", 1.0))


def duration(seconds: float) -> str:
    """A time in words, in the largest unit of which there is at least one.

    Parameters
    ----------
    seconds : float
        Not negative.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If it is negative, infinite or NaN.

    Examples
    --------
    >>> duration(0.25), duration(90), duration(5.5 * 86_400), duration(4e10)
    ('0.25 seconds', '1.5 minutes', '5.5 days', '1,270 years')
    """
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"duration: seconds needs a number from 0 on, but got {seconds!r}")
    unit, length = next(((unit, length) for unit, length in UNITS if seconds >= length), UNITS[-1])
    count = seconds / length
    if count >= 1000:
        text = f"{float(f'{count:.3g}'):,.0f}"
    else:
        text = f"{count:.0f}" if count >= 100 else f"{count:.2g}"
    return f"{text} {unit}{'' if text == '1' else 's'}"


@styled
def durations(seconds: Mapping[str, float], *, title: str | None = None) -> Picture:
    """Draw times as bars on a scale of powers of ten, each with its length in words.

    Parameters
    ----------
    seconds : mapping from name to seconds, all above 0
    title : str, optional

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If there is none, or one isn't above 0.

    Examples
    --------
    >>> from zerohero.visualize import durations
    >>> durations({"one core": 3.2e7, "two GPUs": 475_200}, title="A training")
    A training: one core 1 year; two GPUs 5.5 days.
    """
    if not seconds or not all(math.isfinite(value) and value > 0 for value in seconds.values()):
        raise ValueError(f"durations: seconds needs numbers above 0 by name, but got {dict(seconds)!r}")
    names, values = list(seconds), np.array(list(seconds.values()), float)
    fig = Picture(figsize=(8.6, 0.48 * len(names) + 1.35), layout="constrained")
    ax = fig.subplots()
    low = max([place for place, _ in _marks() if place <= values.min() / 2], default=values.min() / 4)
    high = 10.0 ** (math.log10(values.max()) + 0.32 * math.log10(values.max() / low) + 0.3)  # room for the words
    colors = [CYCLE[i % len(CYCLE)] for i in range(len(names))]
    bars = ax.barh(range(len(names)), values - low, left=low, color=[shade(c, 0.75) for c in colors], height=0.66)
    ax.bar_label(bars, [duration(value) for value in values], padding=4)
    ax.set_xscale("log")
    ax.set(xlim=(low, high), ylim=(len(names) - 0.4, -0.6), title=title or "")
    shown = [(place, word) for place, word in _marks() if low <= place <= high]
    shown = shown if len(shown) <= 7 else [each for each in shown if each[1].startswith("1 ")]
    ax.set_xticks([place for place, _ in shown], [word for _, word in shown])
    ax.set_xticks([], minor=True)
    ax.set_yticks(range(len(names)), names)
    ax.set_xlabel("time (logarithmic scale)")
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    ax.set_axisbelow(True)
    said = "; ".join(f"{name} {duration(value)}" for name, value in zip(names, values))
    fig.alt = f"{title or 'Times'}: {said}."
    return fig


@styled
def error_chart(errors: Mapping[str, float], *, human: float | None = None, title: str | None = None) -> Picture:
    """Draw the error of each year's best entry as a bar, and a person's as a line.

    Parameters
    ----------
    errors : mapping from name to percent
        A name may have several lines.
    human : float, optional
        Percent.
    title : str, optional

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If there is none, or one isn't a percentage.

    Examples
    --------
    >>> from zerohero.visualize import error_chart
    >>> error_chart({"2011": 25.8, "2012 AlexNet": 16.4, "2015 ResNet": 3.57}, human=5.1)
    Top-5 error: 2011 25.8 %, 2012 AlexNet 16.4 %, 2015 ResNet 3.57 %; a person: 5.1 %, passed by 2015 ResNet.
    """
    given = [*errors.values(), *([] if human is None else [human])]
    if not errors or not all(0 <= value <= 100 for value in given):
        raise ValueError(f"error_chart: errors needs percentages by name, but got {dict(errors)!r}, human {human!r}")
    names, values = list(errors), np.array(list(errors.values()), float)
    fig = Picture(figsize=(min(9.5, 0.9 * len(names) + 1.6), 3.9), layout="constrained")
    ax = fig.subplots()
    below = values < (-1 if human is None else human)
    colors = [COLORS["output"] if better else COLORS["positive"] for better in below]
    bars = ax.bar(range(len(names)), values, color=colors, width=0.68)
    box = {"facecolor": COLORS["paper"], "edgecolor": "none", "pad": 0.8}  # numbers can be read on the line, too
    ax.bar_label(bars, [f"{value:g}" for value in values], padding=3, bbox=box, zorder=4)
    if human is not None:
        ax.axhline(human, color=COLORS["negative"], linestyle="--", linewidth=1.6)
        ax.text(len(names) - 0.45, human + 0.5, f"a person: {human:g} %", ha="right", va="bottom")
    ax.set_xticks(range(len(names)), names)
    ax.tick_params(axis="x", length=0)
    ax.set(ylabel="top-5 error in %", ylim=(0, 1.12 * values.max()), title=title or "")
    fig.alt = f"{title or 'Top-5 error'}: " + ", ".join(
        f"{' '.join(name.split())} {value:g} %" for name, value in zip(names, values)
    )
    if human is not None:
        first = next((" ".join(name.split()) for name, better in zip(names, below) if better), None)
        fig.alt += f"; a person: {human:g} %" + (f", passed by {first}" if first else "")
    fig.alt += "."
    return fig


@styled
def cost_bars(rows: Iterable[Any], *, title: str | None = None) -> Picture:
    """Draw each layer's share of a network's parameters and of its multiplications, side by side.

    Parameters
    ----------
    rows : Summary, or iterable of its rows, or of (name, parameters, multiply_adds)
        Layers that have neither are left out.
    title : str, optional

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If no layer has a cost.

    Examples
    --------
    >>> from zerohero.visualize import cost_bars
    >>> cost_bars([("conv", 100, 9000), ("relu", 0, 0), ("fc", 900, 1000)])
    Cost by layer: conv 10 % of parameters, 90 % of multiply-adds; fc 90 % of parameters, 10 % of multiply-adds.
    """
    triples = [row if isinstance(row, tuple) else (row.name, row.parameters, row.multiply_adds) for row in rows]
    triples = [row for row in triples if row[1] or row[2]]
    if not triples:
        raise ValueError("cost_bars: rows needs at least one layer with parameters or multiply-adds, but has none")
    names = [row[0] for row in triples]
    counts = as_array([row[1:] for row in triples], "cost_bars: rows").astype(float)  # (layers, 2)
    shares = 100 * counts / np.maximum(counts.sum(axis=0), 1)
    fig = Picture(figsize=(8.8, 0.36 * len(names) + 1.5), layout="constrained")
    axes = fig.subplots(1, 2, sharey=True)
    for ax, column, kind, color in zip(axes, (0, 1), ("parameters", "multiply-adds"), ("positive", "highlight")):
        bars = ax.barh(range(len(names)), shares[:, column], color=COLORS[color], height=0.7)
        ax.bar_label(bars, [_share(value) for value in shares[:, column]], padding=3, fontsize=10)
        ax.set(xlim=(0, 1.22 * shares.max()), xlabel="% of all", title=f"{kind}: {_millions(counts[:, column].sum())}")
        ax.tick_params(axis="y", length=0)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(len(names) - 0.4, -0.6)
    if title:
        fig.suptitle(title)
    said = "; ".join(
        f"{name} {_share(a)} of parameters, {_share(b)} of multiply-adds" for name, (a, b) in zip(names, shares)
    )
    fig.alt = f"{title or 'Cost by layer'}: {said}."
    return fig


def _share(percent: float) -> str:
    return f"{percent:.0f} %" if percent >= 9.95 or percent == 0 else f"{percent:.1f} %"


def _millions(count: float) -> str:
    if count >= 1e9:
        return f"{count / 1e9:,.2f} billion"
    return f"{count / 1e6:,.1f} million" if count >= 1e5 else f"{count:,.0f}"


def _marks() -> list[tuple[float, str]]:
    """Times that are written along a scale, the shortest first."""
    singles = [(length, f"1 {unit}") for unit, length in UNITS]
    tens = [(10 * length, f"10 {unit}s") for unit, length in UNITS]
    return sorted([*singles, *tens, (100 * YEAR, "100 years"), (1000 * YEAR, "1,000 years")])
