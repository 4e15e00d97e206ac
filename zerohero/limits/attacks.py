"""Images made to fool a model: a small step for every pixel along the gradient's sign, or one pixel found by search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zerohero.arguments import class_labels, integer, number
from zerohero.limits.images import as_images
from zerohero.nn.inside import evaluating
from zerohero.nn.module import Module
from zerohero.operation import engine_of
from zerohero.ops.capsule import margin_loss
from zerohero.ops.loss import cross_entropy
from zerohero.tensor import Tensor, grad, move

# ---- the fast gradient sign method ------------------------------------------------------------------------


def fgsm(
    model: Module, images: Any, labels: Any, epsilon: float, *, loss: Callable | None = None, low: float = 0,
    high: float = 1, batch_size: int = 256,
) -> np.ndarray:  # fmt: skip
    """The fast gradient sign method: every pixel takes one step of ε in the direction that raises the loss.

    x' = clip(x + ε · sign(∂L/∂x)), away from the label that is given. Pixels with gradient 0 stay.

    Parameters
    ----------
    model : Module
        Returns scores (N, classes) or capsules (N, classes, Q).
    images : array (N, C, H, W)
        Within [low, high].
    labels : int array (N,)
        The right ones.
    epsilon : float
        The step, in units of the pixels; at least 0.
    loss : callable, optional
        (output of the model, labels) → Tensor of one value. By default what the model was trained with: cross-entropy
        for scores, margin loss for capsules. The margin loss of a sure answer is exactly 0, and so is its gradient:
        such an image does not move, which looks like strength and is none. `score_gap` has no such flat place.
    low, high : float
        The range of a pixel; the result is cut to it.
    batch_size : int

    Returns
    -------
    ndarray (N, C, H, W)
        No pixel farther than ε from where it was.

    Raises
    ------
    ValueError, TypeError
        If images and labels don't fit together or to the model, or a pixel is out of range.

    References
    ----------
    I. Goodfellow, J. Shlens, C. Szegedy, "Explaining and harnessing adversarial examples", 2015, arXiv:1412.6572,
    section 4. A. Athalye, N. Carlini, D. Wagner, arXiv:1802.00420: gradients that only seem to be 0.

    Examples
    --------
    >>> import zerohero as zh
    >>> lenet, test = zh.weights.load("lenet5_digits"), zh.datasets.load("digits", "test", size=28)
    >>> fooled = fgsm(lenet, test.images, test.labels, 0.2)
    >>> before, after = (zh.training.evaluate(lenet, (x, test.labels)).accuracy for x in (test.images, fooled))
    >>> before > 0.98, after < 0.5
    (True, True)
    """
    low, high = _range(low, high, "fgsm")
    array = _pixels(images, "fgsm", low, high, batch=True)
    right = class_labels(labels, "fgsm", len(array), np.iinfo(np.int64).max)
    epsilon = number(epsilon, "fgsm", "epsilon", low=0, high=1e6)
    batch_size = integer(batch_size, "fgsm", "batch_size", least=1)
    pieces = []
    with evaluating(model):
        for start in range(0, len(array), batch_size):
            chosen = slice(start, start + batch_size)
            slope = _slope(model, array[chosen], right[chosen], loss)
            pieces.append(np.clip(array[chosen] + array.dtype.type(epsilon) * np.sign(slope), low, high))
    return np.concatenate(pieces).astype(array.dtype, copy=False)


def _slope(model: Module, images: np.ndarray, labels: np.ndarray, loss: Callable | None) -> np.ndarray:
    """The gradient of the loss with respect to the images; nobody's `.grad` is touched."""
    device = "cupy" if any(engine_of(p.data) == "cupy" for p in model.parameters()) else "numpy"
    x = Tensor(move(images, device), requires_grad=True)
    output = model(x)
    if loss is None:
        loss = margin_loss if output.ndim == 3 else cross_entropy
    return move(grad(loss(output, move(labels, device)), x), "numpy")


def score_gap(output: Any, labels: Any) -> Any:
    """A loss for attacks: how far the best wrong class is above the right one, mean over the images.

    Unlike the margin loss it is nowhere flat, however sure the answer.

    Parameters
    ----------
    output : Tensor (N, classes) of scores, or (N, classes, Q) of capsules
        Capsules are compared by their squared lengths.
    labels : int array (N,)

    Returns
    -------
    Tensor of one value

    Examples
    --------
    >>> score_gap(Tensor([[1.0, 4.0, 2.0]]), [1]).item()
    -2.0
    """
    scores = (output * output).sum(axis=2) if output.ndim == 3 else output
    own = np.zeros(scores.shape, scores.dtype)
    own[np.arange(len(own)), np.asarray(move(labels, "numpy"))] = 1
    own = move(own, "cupy" if engine_of(scores.data) == "cupy" else "numpy")
    return ((scores - 1e6 * own).max(axis=1) - (scores * own).sum(axis=1)).mean()


# ---- one pixel --------------------------------------------------------------------------------------------


def margins(model: Module, images: Any, labels: Any) -> np.ndarray:
    """How far the right class is ahead of the best wrong one: its score minus the best other score.

    Below 0 the image is misclassified. Scores are what `model.scores` gives: logits, or lengths of capsules.

    Parameters
    ----------
    model : Module
    images : array (N, C, H, W)
    labels : int, or int array (N,)

    Returns
    -------
    ndarray (N,)

    Examples
    --------
    >>> import zerohero as zh
    >>> lenet, test = zh.weights.load("lenet5_digits"), zh.datasets.load("digits", "test", size=28)
    >>> wrong = margins(lenet, test.images, test.labels) < 0
    >>> bool((wrong == (lenet.predict(test.images) != test.labels)).all())
    True
    """
    array = as_images(images, "margins", batch=True)
    scores = model.scores(array)
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise ValueError(f"margins: model needs to give scores (N, classes) of two or more, but gave {scores.shape}")
    right = np.broadcast_to(np.asarray(labels), (len(array),)) if np.ndim(labels) == 0 else labels
    right = class_labels(right, "margins", len(array), scores.shape[1])
    rows = np.arange(len(scores))
    own = scores[rows, right]
    others = scores.copy()
    others[rows, right] = -np.inf
    return own - others.max(axis=1)


def with_pixel(image: Any, candidates: Any) -> np.ndarray:
    """One image many times, each with *one* pixel replaced, in all its channels.

    Parameters
    ----------
    image : array (C, H, W) or (H, W)
    candidates : array (n, 2 + C)
        Row, column, and the new value of each channel.

    Returns
    -------
    ndarray (n, C, H, W)

    Raises
    ------
    ValueError
        If a candidate has another number of columns, or lies outside the image.

    Examples
    --------
    >>> with_pixel([[1.0, 2.0], [3.0, 4.0]], [[0, 1, 9], [1, 0, 7]]).tolist()
    [[[[1.0, 9.0], [3.0, 4.0]]], [[[1.0, 2.0], [7.0, 4.0]]]]
    """
    picture = _one_image(image, "with_pixel")
    rows = np.atleast_2d(np.asarray(candidates, dtype=np.float64))
    channels, height, width = picture.shape
    if rows.ndim != 2 or rows.shape[1] != 2 + channels:
        raise ValueError(
            f"with_pixel: candidates needs shape (n, {2 + channels}): row, column and {channels} "
            f"value{'s' * (channels > 1)}, but has shape {rows.shape}"
        )
    if not np.isfinite(rows).all() or (rows[:, :2] % 1).any():
        raise ValueError("with_pixel: candidates needs whole rows and columns, and finite values")
    places = rows[:, :2].astype(int)
    if ((places < 0) | (places >= (height, width))).any():
        raise ValueError(f"with_pixel: candidates needs places inside {height}×{width} pixels, but one lies outside")
    result = np.repeat(picture[None], len(rows), axis=0)
    result[np.arange(len(rows)), :, places[:, 0], places[:, 1]] = rows[:, 2:]
    return result


def pixel_map(model: Module, image: Any, label: int, value: Any) -> np.ndarray:
    """For every pixel: how far the right class would be ahead if this pixel alone had that value.

    For grey images, where a pixel is best made black or white, the two maps of 0 and 1 try *every* one-pixel attack of
    that kind, which no search can do better.

    Parameters
    ----------
    model : Module
    image : array (C, H, W) or (H, W)
    label : int
        The right class.
    value : float, or one for each channel

    Returns
    -------
    ndarray (H, W)
        `margins`: below 0 the pixel fools the model.

    Examples
    --------
    >>> import zerohero as zh
    >>> lenet, test = zh.weights.load("lenet5_digits"), zh.datasets.load("digits", "test", size=28)
    >>> pixel_map(lenet, test.images[0], test.labels[0], 1.0).shape
    (28, 28)
    """
    picture = _one_image(image, "pixel_map")
    channels, height, width = picture.shape
    values = np.broadcast_to(np.asarray(value, dtype=np.float64), (channels,))
    places = np.indices((height, width)).reshape(2, -1).T
    candidates = np.hstack([places, np.tile(values, (len(places), 1))])
    return margins(model, with_pixel(picture, candidates), label).reshape(height, width)


@dataclass(frozen=True)
class OnePixel:
    """The best one-pixel change that a search found.

    Attributes
    ----------
    image : ndarray (C, H, W)
        The changed image.
    row, column : int
    value : tuple of float
        The pixel's new value in each channel.
    answer : int
        What the model now says.
    success : bool
        Whether that is wrong.
    margin : float
        See `margins`.
    evaluations : int
        How many images the model was asked about.

    Examples
    --------
    >>> image = np.zeros((1, 8, 8))
    >>> OnePixel(image, 2, 3, (1.0,), answer=7, success=True, margin=0.1, evaluations=40).answer
    7
    """

    image: np.ndarray = field(repr=False)
    row: int
    column: int
    value: tuple[float, ...]
    answer: int
    success: bool
    margin: float
    evaluations: int


def one_pixel(
    model: Module, image: Any, label: int, *, population: int = 100, generations: int = 30, seed: int = 0,
    low: float = 0, high: float = 1,
) -> OnePixel:  # fmt: skip
    """Search for one pixel that makes a model change its mind, by differential evolution.

    A candidate is (row, column, value of each channel). Each generation makes a child for every candidate, a + (b −
    c)/2 of three others drawn at random; the child replaces it if it is better. The model is only asked for its
    scores: no gradient, no look inside. The search ends at the first success. It may miss: a failure is no proof of
    strength.

    Su et al. minimise the probability of the right class, with 400 candidates and up to 100 generations. Here the
    margin (see `margins`) is minimised, which is still sensitive where a probability rounds to 1; values that leave
    the range are drawn anew.

    Parameters
    ----------
    model : Module
    image : array (C, H, W) or (H, W)
        Rightly classified, its pixels within [low, high].
    label : int
        The right class.
    population, generations : int
        The model is asked about at most population · (generations + 1) images. At least four candidates.
    seed : int
    low, high : float
        The range of a pixel.

    Returns
    -------
    OnePixel

    Raises
    ------
    ValueError
        If the image is already misclassified: then nothing can be learned from an attack.

    References
    ----------
    J. Su, D. V. Vargas, K. Sakurai, "One pixel attack for fooling deep neural networks", 2019, arXiv:1710.08864,
    doi:10.1109/TEVC.2019.2890858. R. Storn, K. Price, "Differential evolution", 1997, doi:10.1023/A:1008202821328.

    Examples
    --------
    >>> import zerohero as zh
    >>> lenet, test = zh.weights.load("lenet5_digits"), zh.datasets.load("digits", "test", size=28)
    >>> found = one_pixel(lenet, test.images[0], test.labels[0], generations=5)
    >>> found.evaluations <= 600, int((found.image != test.images[0]).sum())
    (True, 1)
    """
    low, high = _range(low, high, "one_pixel")
    picture = _one_image(_pixels(image, "one_pixel", low, high), "one_pixel")
    label = integer(label, "one_pixel", "label", least=0)
    population = integer(population, "one_pixel", "population", least=4)
    generations = integer(generations, "one_pixel", "generations", least=0)
    rng = np.random.default_rng(integer(seed, "one_pixel", "seed", least=0))
    if (said := int(model.scores(picture[None]).argmax())) != label:
        raise ValueError(f"one_pixel: image needs to be classified rightly, as {label}, but the model says {said}")
    edges = np.array([*picture.shape[1:], *[1] * len(picture)], dtype=np.float64)  # where places and values end

    def judged(candidates: np.ndarray) -> np.ndarray:
        return margins(model, with_pixel(picture, _pixel_of(candidates, edges, low, high)), label)

    members = rng.random((population, len(edges))) * edges
    members[:, 2:] = np.clip(rng.normal(0.5, 0.5, (population, len(picture))), 0, 1)  # many at either end, as theirs
    scores, evaluations = judged(members), population
    for _ in range(generations):
        if scores.min() < 0:
            break
        a, b, c = (members[others] for others in _three_others(rng, population))
        children = a + 0.5 * (b - c)
        children = np.where((children < 0) | (children > edges), rng.random(children.shape) * edges, children)
        theirs = judged(children)
        better = theirs < scores
        members[better], scores = children[better], np.minimum(scores, theirs)
        evaluations += population
    best = _pixel_of(members[[scores.argmin()]], edges, low, high)
    changed = with_pixel(picture, best)[0]
    answer = int(model.scores(changed[None]).argmax())
    row, column, *value = best[0].tolist()
    return OnePixel(
        changed, int(row), int(column), tuple(value), answer, answer != label, float(scores.min()), evaluations
    )


def _pixel_of(members: np.ndarray, edges: np.ndarray, low: float, high: float) -> np.ndarray:
    """Candidates with real places and values in [0, 1] as whole places and values in [low, high]."""
    places = np.minimum(np.floor(members[:, :2]), edges[:2] - 1)
    return np.hstack([places, low + (high - low) * members[:, 2:]])


def _three_others(rng: np.random.Generator, population: int) -> np.ndarray:
    """For each member three different ones, none of them itself: (3, population)."""
    steps = np.stack([rng.permutation(population - 1)[:3] + 1 for _ in range(population)], axis=1)
    return (np.arange(population) + steps) % population


def _range(low: Any, high: Any, where: str) -> tuple[float, float]:
    low, high = number(low, where, "low", low=-1e6, high=1e6), number(high, where, "high", low=-1e6, high=1e6)
    if not low < high:
        raise ValueError(f"{where}: low needs to be below high, but they are {low:g} and {high:g}")
    return low, high


def _pixels(images: Any, where: str, low: float, high: float, *, batch: bool = False) -> np.ndarray:
    array = as_images(images, where, batch=batch)
    if array.min() < low or array.max() > high:
        raise ValueError(
            f"{where}: images needs pixels within [{low:g}, {high:g}] (see low and high), but they go from "
            f"{array.min():g} to {array.max():g}"
        )
    return array


def _one_image(image: Any, where: str) -> np.ndarray:
    array = as_images(image, where, "image")
    if array.ndim == 4:
        raise ValueError(f"{where}: image needs to be one image, (C, H, W) or (H, W), but has shape {array.shape}")
    return array[None] if array.ndim == 2 else array
