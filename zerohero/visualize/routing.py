"""Pictures of what routing does: its steps, overlapping digits in two colours, logit changes, R², robustness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps

from zerohero.arguments import integer

from .arrays import as_array
from .limits import MARKERS
from .style import COLORS, CYCLE, SEQUENTIAL, Picture, styled, text_color

RED, GREEN = np.array([0.95, 0.25, 0.1]), np.array([0.0, 0.62, 0.45])


@styled
def unrolled_routing(iterations: int = 2) -> Picture:
    """Draw routing by agreement unrolled like a recurrent network: from logits of 0 to v, the votes in every step.

    Parameters
    ----------
    iterations : int
        From 1 to 3.

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If there are more than three iterations, which would not be readable.

    Examples
    --------
    >>> from zerohero.visualize import unrolled_routing
    >>> unrolled_routing(1)
    Routing in 1 step, from b = 0 to v. A step makes c = softmax(b) and v = squash(Σ c û); between two steps û · v is
    added to b. The votes û enter everywhere.
    """
    if integer(iterations, "unrolled_routing", "iterations", least=1) > 3:
        raise ValueError(f"unrolled_routing: iterations needs to lie in [1, 3], but got {iterations}")
    steps = 3.6 + 4.8 * np.arange(iterations)  # the middle of each step
    end = steps[-1] + 2.7
    fig = Picture(figsize=(min(9.5, 0.72 * (end + 1.3)), 2.9), layout="constrained")
    ax = fig.subplots()
    ax.set(xlim=(0, end + 1.3), ylim=(-0.1, 3.5), title="Routing, unrolled")
    ax.set_axis_off()

    def box(x: float, text: str, color: str = COLORS["paper"]) -> Any:
        frame = dict(boxstyle="round,pad=0.4", facecolor=color, edgecolor=COLORS["neutral"])
        return ax.text(x, 2.6, text, ha="center", va="center", fontsize=11 - iterations, bbox=frame)

    for k, x in enumerate(steps):
        box(x, f"step {k + 1}\nc = softmax(b)\nv = squash(Σ c û)", "#E3F1FA")
    for x in steps[1:]:
        box(x - 2.4, "b + û · v")
    box(0.7, "b = 0")
    box(end, "v", "#DDF2EA")
    style = dict(arrowstyle="-|>", color=COLORS["neutral"], shrinkA=0, shrinkB=0)
    across = [(1.2, steps[0] - 1.05), (steps[-1] + 1.05, end - 0.25)]
    across += [(x + start, x + stop) for x in steps[:-1] for start, stop in ((1.05, 1.75), (3.05, 3.75))]
    for start, stop in across:
        ax.annotate("", (stop, 2.6), (start, 2.6), arrowprops=style)
    for x, top in [*((x, 2.08) for x in steps), *((x - 2.4, 2.32) for x in steps[1:])]:
        ax.annotate("", (x, top), (x, 0.75), arrowprops=style)
    ax.fill_between([2.2, steps[-1] + 1.4], -0.05, 0.75, facecolor="#FBF3DD", edgecolor=COLORS["neutral"])
    many = "s" * (iterations > 1)
    said = "the votes û" + (": the same in every step" if iterations > 1 else "")
    ax.text((steps[-1] + 3.6) / 2, 0.35, said, ha="center", va="center")
    fig.alt = (f"Routing in {iterations} step{many}, from b = 0 to v. A step makes c = softmax(b) and v = squash(Σ c û)"
               "; between two steps û · v is added to b. The votes û enter everywhere.")
    return fig


def overlaid(first: Any, second: Any) -> np.ndarray:
    """Two sets of grey images as one in colours: the first red, the second green, both where they overlap.

    The red is an orange one and the green a bluish one, which are told apart also without red-green vision.

    Parameters
    ----------
    first, second : array-like (N, H, W), in [0, 1]

    Returns
    -------
    ndarray (N, 3, H, W), in [0, 1]

    Raises
    ------
    ValueError
        If the shapes differ or a pixel is outside [0, 1].

    Examples
    --------
    >>> from zerohero.visualize import overlaid
    >>> overlaid([[[1.0, 0.0]]], [[[0.0, 0.0]]])[0, :, 0].tolist()
    [[0.95, 0.0], [0.25, 0.0], [0.1, 0.0]]
    """
    named = {"first": first, "second": second}
    both = [as_array(images, f"overlaid: {name}").astype(float) for name, images in named.items()]
    if both[0].ndim != 3 or both[0].shape != both[1].shape:
        raise ValueError(f"overlaid: first and second need one shape (N, H, W), but have "
                         f"{both[0].shape} and {both[1].shape}")
    if any(images.size and not (images.min() >= 0 and images.max() <= 1) for images in both):
        raise ValueError("overlaid: first and second need pixels in [0, 1]")
    colours = [images[:, None] * colour[:, None, None] for images, colour in zip(both, (RED, GREEN))]
    return np.minimum(colours[0] + colours[1], 1)


@styled
def overlaps(
    rows: Mapping[str, Any], labels: Sequence[Sequence[str]] | None = None, *, title: str | None = None
) -> Picture:
    """Draw images in rows, each row with its name: what a network saw, and digits in red and green below it.

    Parameters
    ----------
    rows : mapping from name to array-like (N, H, W), grey, or (N, 3, H, W), as `overlaid` makes them
        In [0, 1]; N is the same for all.
    labels : for each row N texts, written above its images, optional
    title : str, optional

    Returns
    -------
    Picture

    Examples
    --------
    >>> import numpy as np
    >>> from zerohero.visualize import overlaid, overlaps
    >>> a, b = np.eye(4)[None], np.eye(4)[None, ::-1]
    >>> overlaps({"seen": np.maximum(a, b), "drawn": overlaid(a, b)}, title="Two strokes")
    Two strokes: 1 images in each row; from the top: seen, drawn.
    """
    arrays = {name: as_array(images, f"overlaps: {name}").astype(float) for name, images in rows.items()}
    counts = {len(images) for images in arrays.values()}
    if len(counts) != 1 or 0 in counts or any(
        images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[1] != 3) for images in arrays.values()
    ):
        shapes = [images.shape for images in arrays.values()]
        raise ValueError(f"overlaps: rows needs (N, H, W) or (N, 3, H, W) each, with one N above 0, but got {shapes}")
    (count,) = counts
    if labels is not None and [len(row) for row in labels] != [count] * len(arrays):
        raise ValueError(f"overlaps: labels needs {count} texts for each of {len(arrays)} rows, "
                         f"but got {[len(row) for row in labels]}")
    side = min(1.2, 9.0 / (count + 1))
    fig = Picture(figsize=(side * count + 1.4, (side + 0.25) * len(arrays) + 0.4), layout="constrained")
    axes = fig.subplots(len(arrays), count, squeeze=False)
    for row, (name, images) in enumerate(arrays.items()):
        for column, image in enumerate(images):
            ax = axes[row, column]
            ax.imshow(np.moveaxis(image, 0, -1) if image.ndim == 3 else image, cmap="gray", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
            if labels is not None:
                ax.set_title(labels[row][column], fontsize=9)
        axes[row, 0].set_ylabel(name, rotation=0, ha="right", va="center")
    fig.suptitle(title or "")
    fig.alt = f"{title or 'Overlapping digits'}: {count} images in each row; from the top: {', '.join(arrays)}."
    return fig


@styled
def logit_changes(changes: Any, *, title: str = "How much routing still changes its logits") -> Picture:
    """Draw the mean `|Δ logit|` from each iteration of routing to the next, a line for each epoch of training.

    Parameters
    ----------
    changes : array-like (epochs + 1, iterations)
        Above 0; the first row before training.
    title : str

    Returns
    -------
    Picture

    Examples
    --------
    >>> from zerohero.visualize import logit_changes
    >>> logit_changes([[0.001, 0.001], [0.02, 0.03]])
    How much routing still changes its logits: after 0 epochs from 0.001 to 0.001; after 1 epochs from 0.02 to 0.03.
    """
    values = as_array(changes, "logit_changes: changes").astype(float)
    if values.ndim != 2 or not values.size or not values.min() > 0:
        raise ValueError(f"logit_changes: changes needs positive numbers (epochs + 1, iterations), "
                         f"but has shape {values.shape}")
    fig = Picture(figsize=(7.2, 3.6), layout="constrained")
    ax = fig.subplots()
    shades = colormaps[SEQUENTIAL] if isinstance(SEQUENTIAL, str) else SEQUENTIAL
    for epoch, line in enumerate(values):
        ax.semilogy(range(1, len(line) + 1), line, color=shades(0.15 + 0.7 * epoch / max(1, len(values) - 1)),
                    marker="o" if epoch == 0 else None, linestyle="--" if epoch == 0 else "-",
                    label={len(values) - 1: f"after epoch {len(values) - 1}", 0: "before training"}.get(epoch))
    ax.set(xlabel="after iteration", ylabel="mean |change of b|", title=title, xticks=range(1, values.shape[1] + 1))
    if len(values) > 1:
        ax.legend()
    ends = dict.fromkeys((0, len(values) - 1))
    said = "; ".join(f"after {k} epochs from {values[k, 0]:.2g} to {values[k, -1]:.2g}" for k in ends)
    fig.alt = f"{title}: {said}."
    return fig


@styled
def r2_matrix(r2: Any, poses: Sequence[str], *, title: str = "Which number follows which pose") -> Picture:
    """Draw R² for each number of a capsule and each pose parameter.

    Parameters
    ----------
    r2 : array-like (numbers, poses)
        At most 1; below 0 is drawn as 0.
    poses : names
    title : str

    Returns
    -------
    Picture

    Examples
    --------
    >>> from zerohero.visualize import r2_matrix
    >>> r2_matrix([[0.9, 0.0], [0.1, 0.4]], ["shift", "rotation"])
    Which number follows which pose: R² of 2 numbers; the best for shift is number 0 with 0.90, for rotation is number 1
    with 0.40.
    """
    values = as_array(r2, "r2_matrix: r2").astype(float)
    if values.ndim != 2 or not values.size or values.shape[1] != len(poses) or values.max() > 1:
        raise ValueError(f"r2_matrix: r2 needs numbers up to 1 of shape (numbers, {len(poses)}), "
                         f"but has shape {values.shape}")
    fig = Picture(figsize=(8.6, 0.42 * len(poses) + 1.6), layout="constrained")
    ax = fig.subplots()
    drawn = ax.imshow(values.T, cmap=SEQUENTIAL, vmin=0, vmax=1, aspect="auto")
    for (k, j), value in np.ndenumerate(values):
        ax.text(k, j, f"{max(value, 0):.2f}".removeprefix("0"), ha="center", va="center", fontsize=9,
                color=text_color(drawn.cmap(max(value, 0.0))[:3]))
    ax.set(xticks=range(len(values)), xlabel="number of the capsule", title=title)
    ax.set_yticks(range(len(poses)), poses)
    ax.tick_params(length=0)
    fig.colorbar(drawn, ax=ax, label="R²")
    best = values.argmax(axis=0)
    said = ", ".join(f"for {name} is number {k} with {values[k, j]:.2f}"
                     for j, (name, k) in enumerate(zip(poses, best)))
    fig.alt = f"{title}: R² of {len(values)} numbers; the best {said}."
    return fig


@styled
def robustness(
    runs: Mapping[str, Sequence[tuple[Sequence[float], Sequence[float]]]],
    *,
    title: str = "Affine against clean accuracy",
) -> Picture:
    """Draw accuracy on affine images over accuracy on clean ones, a line for each training, a dot for each epoch.

    Whoever is higher at the same place of the horizontal axis is more robust at equal clean accuracy.

    Parameters
    ----------
    runs : mapping from network to a list of (clean, affine) accuracies by epoch, from 0 to 1
    title : str

    Returns
    -------
    Picture

    Examples
    --------
    >>> from zerohero.visualize import robustness
    >>> robustness({"CNN": [([0.9, 0.99], [0.5, 0.66])]})
    Affine against clean accuracy: CNN ends at 99.0 % clean and 66.0 % affine.
    """
    if not runs or not all(runs.values()):
        raise ValueError("robustness: runs needs at least one training for each network")
    fig = Picture(figsize=(7.0, 4.0), layout="constrained")
    ax = fig.subplots()
    said = []
    for (network, trainings), color, marker in zip(runs.items(), CYCLE, MARKERS):
        for k, (clean, affine) in enumerate(trainings):
            x, y = (100 * np.asarray(values, float) for values in (clean, affine))
            if x.shape != y.shape or x.ndim != 1 or not x.size:
                raise ValueError(f"robustness: {network} needs as many affine as clean accuracies, "
                                 f"but has {y.shape} and {x.shape}")
            ax.plot(x, y, color=color, marker=marker, markersize=4, linewidth=1, label=None if k else network)
            said.append(f"{network} ends at {x[-1]:.1f} % clean and {y[-1]:.1f} % affine")
    ax.set(xlabel="accuracy on placed digits in %", ylabel="accuracy on affine digits in %", title=title)
    ax.legend()
    fig.alt = f"{title}: {'; '.join(said)}."
    return fig
