"""Pictures of how a network learned and what it gets wrong: curves, confusion, mistakes, spread over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from .arrays import _add, _brief, as_array, image_grid
from .style import COLORS, CYCLE, Picture, shade, styled


@styled
def curves(history: Any, *, title: str | None = None, accuracy_from: float | None = None) -> Picture:
    """Draw loss and accuracy of every epoch, for training and for validation.

    Parameters
    ----------
    history : zerohero.training.History, mapping of lists, or list of rows
        With ``loss`` and, as far as they were measured, ``accuracy``, ``val_loss`` and ``val_accuracy``.
    title : str, optional
    accuracy_from : float, optional
        Where the accuracy axis begins; by default a little below the lowest accuracy.

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If there is no ``loss``, or the columns are not equally long.

    Examples
    --------
    >>> from zerohero.visualize import curves
    >>> curves({"loss": [2.3, 0.5, 0.2], "val_loss": [2.2, 0.6, 0.4], "accuracy": [0.1, 0.8, 0.9]})
    Learning curves over 3 epochs: training loss from 2.3 to 0.2; validation loss from 2.2 to 0.4, lowest in epoch 3;
    training accuracy from 10 % to 90 %.
    """
    table = _columns(history)
    epochs = table.pop("epoch", np.arange(1, len(table["loss"]) + 1))
    kinds = ["loss"] + (["accuracy"] if any(name.endswith("accuracy") for name in table) else [])
    fig = Picture(figsize=(4.7 * len(kinds) if len(kinds) > 1 else 5.6, 3.5), layout="constrained")
    said = []
    for ax, kind in zip(np.atleast_1d(np.asarray(fig.subplots(1, len(kinds)))), kinds, strict=True):
        for name, role, style in (("training", "train", "o-"), ("validation", "validation", "s--")):
            values = table.get(kind if role == "train" else f"val_{kind}")
            if values is not None:
                ax.plot(
                    epochs,
                    values,
                    style,
                    color=COLORS[role],
                    label=name,
                    markersize=4 if len(epochs) <= 30 else 0,
                )
                said.append(_curve_words(name, kind, values, epochs))
        ax.set(xlabel="epoch", ylabel=kind)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.grid(axis="y")
        ax.legend()
        if kind == "accuracy":
            lowest = min(float(np.nanmin(v)) for k, v in table.items() if k.endswith("accuracy"))
            ax.set_ylim(max(0.0, lowest - 0.03) if accuracy_from is None else accuracy_from, 1.005)
            ax.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        else:
            ax.set_ylim(bottom=0)
    if title:
        fig.suptitle(title)
    fig.alt = f"{title or 'Learning curves'} over {len(epochs)} epoch{'s' * (len(epochs) > 1)}: {'; '.join(said)}."
    return fig


def confusion_counts(labels: Any, predictions: Any, classes: int | None = None) -> np.ndarray:
    """Count how often each class was taken for each class.

    Parameters
    ----------
    labels, predictions : integer array-like, (N,)
        What is right, and what the network said.
    classes : int, optional
        How many classes there are; by default one more than the largest number that occurs.

    Returns
    -------
    numpy.ndarray, (classes, classes), int
        Row: the right class; column: the answer.

    Raises
    ------
    ValueError, TypeError
        If the two are not equally long, not integers, or out of range.

    Examples
    --------
    >>> from zerohero.visualize import confusion_counts
    >>> confusion_counts([0, 0, 1, 1], [0, 1, 1, 1])
    array([[1, 1],
           [0, 2]])
    """
    right, answers = (_class_numbers(v, n) for v, n in ((labels, "labels"), (predictions, "predictions")))
    if right.shape != answers.shape:
        raise ValueError(
            f"confusion: predictions needs one for each of {right.size} labels, but there are {answers.size}"
        )
    largest = int(max(right.max(), answers.max()))
    classes = largest + 1 if classes is None else classes
    if min(right.min(), answers.min()) < 0 or largest >= classes:
        worst = largest if largest >= classes else int(min(right.min(), answers.min()))
        raise ValueError(f"confusion: labels and predictions need to lie in [0, {classes - 1}], but {worst} occurs")
    return np.bincount(right * classes + answers, minlength=classes * classes).reshape(classes, classes)


@styled
def confusion_matrix(
    labels: Any, predictions: Any, class_names: Sequence[Any] | None = None, *, title: str | None = None
) -> Picture:
    """Draw which classes were taken for which: right answers on the blue diagonal, mistakes in orange.

    Parameters
    ----------
    labels, predictions : integer array-like, (N,)
    class_names : sequence, optional
    title : str, optional
        By default the share of right answers.

    Returns
    -------
    Picture

    Raises
    ------
    ValueError, TypeError
        As in `confusion_counts`.

    Examples
    --------
    >>> from zerohero.visualize import confusion_matrix
    >>> confusion_matrix([0, 0, 1, 1], [0, 1, 1, 1], ["cat", "dog"])
    Confusion matrix of 4 images: 3 right, 75.0 %. Most frequent mistakes: cat taken for dog (1).
    """
    counts = confusion_counts(labels, predictions, None if class_names is None else len(class_names))
    names = [str(name) for name in (range(len(counts)) if class_names is None else class_names)]
    total, right, classes = int(counts.sum()), int(np.trace(counts)), len(counts)
    cell = max(0.38, min(0.55, 7.0 / classes))
    long = max(len(name) for name in names)
    fig = Picture(figsize=(cell * classes + 1.2 + 0.07 * long, cell * classes + 1.2), layout="constrained")
    ax = fig.subplots()
    _draw_counts(ax, counts)
    ax.set_xticks(range(classes), names, rotation=45 if long > 4 else 0, ha="right" if long > 4 else "center")
    ax.set_yticks(range(classes), names)
    ax.tick_params(length=0)
    ax.set(xlabel="answer of the network", ylabel="right class")
    ax.set_title(title or f"{right} of {total} right: {100 * right / total:.1f} %")
    fig.alt = (
        f"{title or 'Confusion matrix'} of {total} images: {right} right, {100 * right / total:.1f} %. "
        f"Most frequent mistakes: {_frequent_mistakes(counts, names)}."
    )
    return fig


@styled
def worst_mistakes(
    images: Any,
    labels: Any,
    probabilities: Any,
    n: int = 12,
    *,
    class_names: Sequence[Any] | None = None,
    title: str | None = None,
) -> Picture:
    """Draw the wrongly classified images to whose right class the network gave the least probability.

    Parameters
    ----------
    images : array-like, (N, H, W) or (N, C, H, W)
    labels : integer array-like, (N,)
    probabilities : array-like, (N, classes)
        Each row adds up to 1.
    n : int
        At most how many; fewer are drawn when there are fewer mistakes.
    class_names : sequence, optional
    title : str, optional

    Returns
    -------
    Picture

    Raises
    ------
    ValueError, TypeError
        If the shapes do not fit, or the rows are not probabilities.

    Examples
    --------
    >>> import numpy as np
    >>> from zerohero.visualize import worst_mistakes
    >>> worst_mistakes(np.zeros((2, 4, 4)), [0, 1], [[0.9, 0.1], [0.8, 0.2]])
    The worst of 1 mistake among 2 images: 1 image of 4 by 4 pixels, labelled 1, taken for 0, at 80 %.
    """
    pictures, right, shares = (
        as_array(images, "worst_mistakes: images"),
        _class_numbers(labels, "labels"),
        _shares(probabilities),
    )
    if not len(pictures) == len(right) == len(shares):
        raise ValueError(
            f"worst_mistakes: needs as many images as labels and rows of probabilities, but got {len(pictures)}, "
            f"{len(right)} and {len(shares)}"
        )
    if right.min() < 0 or right.max() >= shares.shape[1]:
        raise ValueError(f"worst_mistakes: labels need to lie in [0, {shares.shape[1] - 1}], but go to {right.max()}")
    answers = shares.argmax(axis=1)
    wrong = np.flatnonzero(answers != right)
    order = wrong[np.argsort(shares[wrong, right[wrong]], kind="stable")][:n]
    names = [str(name) for name in (range(shares.shape[1]) if class_names is None else class_names)]
    count = f"{len(wrong)} mistake{'s' * (len(wrong) != 1)} among {len(right)} images"
    if not len(order):
        return _note(title or "No mistakes", f"No mistakes among {len(right)} images.")
    captions = [
        f"{names[right[i]]}, taken\nfor {names[answers[i]]}, at {100 * shares[i, answers[i]]:.0f} %" for i in order
    ]
    heading = title or f"The worst of {count}"
    fig = image_grid(pictures[order], captions, title=heading, shared_scale=False)
    fig.alt = fig.alt.replace("taken, for", "taken for")
    return fig


@styled
def probabilities(
    values: Any,
    class_names: Sequence[Any] | None = None,
    *,
    right: int | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Picture:
    """Draw the probability of each class as a bar with its number.

    Parameters
    ----------
    values : array-like, (classes,)
        They need not add up to 1 (so that a slide's mistake can be drawn), but each lies in [0, 1].
    class_names : sequence, optional
    right : int, optional
        The right class, whose name gets a mark.
    title : str, optional
    ax : matplotlib Axes, optional

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If a value lies outside [0, 1], or the names are not as many.

    Examples
    --------
    >>> from zerohero.visualize import probabilities
    >>> probabilities([0.1, 0.7, 0.15, 0.05], ["cat", "human", "dog", "mouse"])
    Probabilities: cat 10 %, human 70 %, dog 15 %, mouse 5 %; the largest is human.
    """
    shares = as_array(values, "probabilities: values").astype(float)
    if shares.ndim != 1 or not shares.size or not ((shares >= -1e-6) & (shares <= 1 + 1e-6)).all():
        raise ValueError(f"probabilities: values needs one number from 0 to 1 for each class, but got {values!r:.80}")
    names = [str(name) for name in (range(len(shares)) if class_names is None else class_names)]
    if len(names) != len(shares):
        raise ValueError(f"probabilities: class_names needs {len(shares)} names, but has {len(names)}")
    fig: Any = ax.figure if ax is not None else Picture(figsize=(5.2, 0.32 * len(shares) + 1.1), layout="constrained")
    ax = ax or fig.subplots()
    places = np.arange(len(shares))
    best = int(shares.argmax())
    colors = [COLORS["highlight"] if i == best else shade(COLORS["positive"], 0.55) for i in places]
    bars = ax.barh(places, shares, color=colors, height=0.72)
    ax.bar_label(bars, [f"{100 * share:.0f} %" for share in shares], padding=3, fontsize=10)
    ax.set_yticks(places, [f"✓ {name}" if i == right else name for i, name in enumerate(names)])
    ax.set(xlim=(0, 1.13), ylim=(len(shares) - 0.45, -0.55), xlabel="probability", title=title or "")
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "25 %", "50 %", "75 %", "100 %"])
    ax.tick_params(axis="y", length=0)
    said = ", ".join(f"{name} {100 * share:.0f} %" for name, share in zip(names, shares, strict=True))
    mark = f"; right is {names[right]}" if right is not None else ""
    _add(fig, f"{title or 'Probabilities'}: {said}; the largest is {names[best]}{mark}.")
    return fig


def mean_interval(values: Any, confidence: float = 0.95) -> tuple[float, float]:
    """Mean of a few repeated measurements, and the half-width of its confidence interval (Student's t).

    Parameters
    ----------
    values : array-like, (n,)
        One number for each seed, n ≥ 2.
    confidence : float
        The share of such intervals that would hold the true mean.

    Returns
    -------
    mean, half_width : float

    Raises
    ------
    ValueError
        If there are fewer than two numbers.

    References
    ----------
    Student (1908), The probable error of a mean, Biometrika 6, 1–25, doi:10.1093/biomet/6.1.1.

    Examples
    --------
    >>> from zerohero.visualize import mean_interval
    >>> mean, half = mean_interval([98.6, 98.9, 98.7, 98.8, 98.5])
    >>> f"{mean:.2f} ± {half:.2f}"
    '98.70 ± 0.20'
    """
    sample = as_array(values, "mean_interval: values").astype(float).ravel()
    if sample.size < 2:
        raise ValueError(
            f"mean_interval: values needs at least 2 numbers to say how they spread, but got {sample.size}"
        )
    if not 0 < confidence < 1:
        raise ValueError(f"mean_interval: confidence needs to lie between 0 and 1, but got {confidence!r}")
    error = sample.std(ddof=1) / math.sqrt(sample.size)
    return float(sample.mean()), float(_student_t(sample.size - 1, confidence) * error)


@styled
def interval(
    values: Any,
    *,
    title: str | None = None,
    xlabel: str = "value",
    fmt: str = ".2f",
    confidence: float = 0.95,
) -> Picture:
    """Draw each measurement as a dot, and their mean with its confidence interval.

    Parameters
    ----------
    values : array-like (n,), or a mapping from name to such
        For example the test accuracy of each seed, for each network.
    title, xlabel : str
    fmt : str
        Format of the mean and of ±.
    confidence : float

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If a name has fewer than two numbers.

    Examples
    --------
    >>> from zerohero.visualize import interval
    >>> interval({"LeNet-5": [98.6, 98.9, 98.7, 98.8, 98.5]}, xlabel="test accuracy in %")
    Means with 95 % intervals, test accuracy in %: LeNet-5 98.70 ± 0.20 from 5 measurements.
    """
    groups = dict(values) if isinstance(values, Mapping) else {"": values}
    if not groups:
        raise ValueError("interval: values needs at least one row of numbers, but is empty")
    fig = Picture(figsize=(7.0, 0.75 * len(groups) + 1.2), layout="constrained")
    ax = fig.subplots()
    said = []
    for place, (name, numbers) in enumerate(groups.items()):
        sample = as_array(numbers, f"interval: values {name}".strip()).astype(float).ravel()
        mean, half = mean_interval(sample, confidence)
        color = CYCLE[place % len(CYCLE)]
        ax.errorbar(mean, place, xerr=half, fmt="D", color=color, capsize=6, markersize=7, linewidth=2.5, zorder=3)
        ax.plot(
            sample,
            np.full(sample.size, place + 0.24),
            "o",
            color=color,
            alpha=0.6,
            markersize=6,
            clip_on=False,
        )
        text = f"{mean:{fmt}} ± {half:{fmt}}".replace("-", "−")
        ax.annotate(
            text,
            (mean, place),
            xytext=(0, 9),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=11,
        )
        said.append(f"{name} {text} from {sample.size} measurements".strip())
    ax.set_yticks(range(len(groups)), list(groups))
    ax.set(
        ylim=(len(groups) - 0.45, -0.65),
        xlabel=f"{xlabel}   (◆ mean, bar: {100 * confidence:g} % interval, ● single runs)",
    )
    ax.tick_params(axis="y", length=0)
    ax.margins(x=0.12)
    ax.grid(axis="x")
    if title:
        ax.set_title(title)
    fig.alt = f"{title or 'Means'} with {100 * confidence:g} % intervals, {xlabel}: {'; '.join(said)}."
    return fig


def _columns(history: Any) -> dict[str, np.ndarray]:
    """A history of any form as named columns."""
    rows = getattr(history, "epochs", history)
    if isinstance(rows, Mapping):
        table = {str(name): column for name, column in rows.items() if column is not None and np.ndim(column) == 1}
    elif isinstance(rows, Sequence) and rows and all(isinstance(row, Mapping) for row in rows):
        table = {str(name): [row.get(name, math.nan) for row in rows] for name in rows[0]}
    else:
        raise ValueError(
            "curves: history needs at least one epoch with a loss: a History, or a mapping such as {'loss': [...]}"
        )
    wanted = ("epoch", "loss", "val_loss", "accuracy", "val_accuracy")
    columns = {
        name: np.array([math.nan if v is None else v for v in table[name]], float) for name in wanted if name in table
    }
    columns = {name: column for name, column in columns.items() if not np.isnan(column).all()}
    if not len(columns.get("loss", ())):
        raise ValueError(
            "curves: history needs at least one epoch with a loss: a History, or a mapping such as {'loss': [...]}"
        )
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"curves: history needs equally long columns, but their lengths are {lengths}")
    return columns


def _curve_words(name: str, kind: str, values: np.ndarray, epochs: np.ndarray) -> str:
    def say(value: float) -> str:
        return f"{100 * value:.0f} %" if kind == "accuracy" else _brief(value)

    words = f"{name} {kind} from {say(values[0])} to {say(values[-1])}"
    if name == "validation":
        best = int(np.nanargmax(values) if kind == "accuracy" else np.nanargmin(values))
        words += f", {'highest' if kind == 'accuracy' else 'lowest'} in epoch {epochs[best]:g}"
    return words


def _class_numbers(values: Any, name: str) -> np.ndarray:
    array = as_array(values, name)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: needs class numbers (integers), but holds {array.dtype}; take argmax first")
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{name}: needs shape (N,) with N at least 1, but has shape {array.shape}")
    return array.astype(np.int64)


def _shares(values: Any) -> np.ndarray:
    shares = as_array(values, "worst_mistakes: probabilities").astype(float)
    if shares.ndim != 2 or not np.allclose(shares.sum(axis=1), 1, atol=1e-3) or shares.min() < -1e-6:
        raise ValueError(
            "worst_mistakes: probabilities needs shape (N, classes) with rows that add up to 1; "
            "apply zh.softmax to logits first"
        )
    return shares


def _draw_counts(ax: Axes, counts: np.ndarray) -> None:
    mistakes = counts - np.diag(np.diag(counts))
    colors = np.ones((*counts.shape, 3))
    for (row, column), count in np.ndenumerate(counts):
        if row == column:
            colors[row, column] = shade(COLORS["positive"], 0.12 + 0.43 * count / max(1, counts.max()))
        elif count:
            colors[row, column] = shade(COLORS["negative"], 0.15 + 0.6 * count / mistakes.max())
    ax.imshow(colors)
    size = min(11.0, 36 / max(2, len(str(counts.max()))))
    for (row, column), count in np.ndenumerate(counts):
        weight = "bold" if row != column and count else "normal"
        ax.text(
            column,
            row,
            str(count) if count else "·",
            ha="center",
            va="center",
            fontsize=size,
            fontweight=weight,
        )
    ax.set_xticks(np.arange(-0.5, len(counts)), minor=True)
    ax.set_yticks(np.arange(-0.5, len(counts)), minor=True)
    ax.grid(which="minor", color=COLORS["grid"])
    ax.tick_params(which="minor", length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _frequent_mistakes(counts: np.ndarray, names: list[str]) -> str:
    mistakes = counts - np.diag(np.diag(counts))
    order = np.argsort(-mistakes, axis=None, kind="stable")[:3]
    pairs = [(int(i) // len(names), int(i) % len(names)) for i in order if mistakes.flat[i]]
    return ", ".join(f"{names[r]} taken for {names[c]} ({mistakes[r, c]})" for r, c in pairs) or "none"


def _note(heading: str, sentence: str) -> Picture:
    fig = Picture(figsize=(5.0, 1.2), layout="constrained")
    fig.suptitle(heading)
    fig.text(0.5, 0.35, sentence, ha="center")
    fig.alt = sentence
    return fig


def _student_t(freedom: int, confidence: float) -> float:
    """The t for which a share `confidence` of Student's distribution lies within ±t."""
    # With t = √f·tan θ the density becomes proportional to cos^(f−1) θ on a finite range, which a sum integrates.
    angles = np.linspace(0, math.pi / 2, 20001)
    density = np.cos(angles) ** (freedom - 1)
    below = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return math.sqrt(freedom) * math.tan(float(np.interp(confidence, below / below[-1], angles)))
