"""Images made for a network: what excites a unit, what has a photograph's features, dreams. Only the image learns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zerohero.arguments import integer, number, shown
from zerohero.limits.images import as_images
from zerohero.nn.inside import frozen, layer_outputs
from zerohero.nn.module import Module
from zerohero.operation import array_module
from zerohero.ops.arithmetic import index
from zerohero.optim import Adam
from zerohero.tensor import Parameter, Tensor, move

from .arrays import image_grid
from .attribution import class_scores, resized
from .maps import device_of, network
from .style import CYCLE, Picture, styled, subplots

Unit = Any  # a channel, or (channel, row, column)


@dataclass(frozen=True)
class Synthesis:
    """An image that was made step by step.

    Attributes
    ----------
    image : array (C, H, W)
    start : array (C, H, W)
        Where it began.
    history : list of float
        What was aimed at, before every tenth step and at the end: the unit's activation, or the relative distance.

    Examples
    --------
    >>> Synthesis(image=np.ones((1, 2, 2)), start=np.zeros((1, 2, 2)), history=[0.0, 1.0]).history[-1]
    1.0
    """

    image: np.ndarray
    start: np.ndarray = field(repr=False)
    history: list[float] = field(repr=False)
    what: str = ""

    def __repr__(self) -> str:
        height, width = self.image.shape[-2:]
        ends = f"{self.history[0]:.3g} to {self.history[-1]:.3g}"
        return f"Synthesis({height}×{width} pixels, {self.what} from {ends})"


# ---- activation maximization -----------------------------------------------------------------------------------


def maximize_activation(
    model: Module,
    layer: str | None,
    unit: Unit,
    *,
    shape: Sequence[int] | None = None,
    start: Any = None,
    steps: int = 200,
    lr: float = 0.02,
    l2: float = 0.0,
    total_variation: float = 0.0,
    jitter: int = 0,
    blur: float = 0.0,
    limits: tuple[float, float] = (0.0, 1.0),
    seed: int = 0,
    progress: bool = True,
) -> Synthesis:
    """Climb to an image that excites a unit as much as possible. The image learns, by Adam; the weights stay.

    Parameters
    ----------
    model : Module
    layer : str or None
        See `activations`; None is the model's class scores, before the softmax.
    unit : int or (channel, row, column)
        A channel (the mean of its map), one of its places, or a class.
    shape : (C, H, W), optional
        Of the image, if there is no `start`.
    start : array (C, H, W), optional
        By default grey, half way between the limits, with a little noise.
    steps : int
    lr : float
        Size of a step for each pixel.
    l2, total_variation : float
        How much is taken off for the mean square distance from mid-grey, and for the mean square difference between
        neighbours.
    jitter : int
        Before each step the image is shifted at random, by up to so many pixels, and back after it.
    blur : float
        Standard deviation in pixels of a Gaussian blur, every fourth step but not at the end.
    limits : (low, high)
        Pixels are cut off there after every step: an image stays an image.
    seed : int
    progress : bool

    Returns
    -------
    Synthesis
        `history`: the unit's activation, without what is taken off and without jitter.

    Raises
    ------
    ValueError
        If there is no such layer or unit, or neither shape nor start is given.

    References
    ----------
    D. Erhan et al., "Visualizing higher-layer features of a deep network", 2009; K. Simonyan et al., arXiv:1312.6034,
    section 2 (L2); A. Mahendran, A. Vedaldi, arXiv:1412.0035 (total variation); A. Mordvintsev et al., "Inceptionism",
    2015 (jitter); J. Yosinski et al., arXiv:1506.06579 (blur).

    Examples
    --------
    >>> import zerohero as zh
    >>> from zerohero.visualize import maximize_activation
    >>> lenet = zh.weights.load("lenet5_digits")
    >>> made = maximize_activation(lenet, None, 3, shape=(1, 28, 28), steps=5, progress=False)
    >>> made.history[-1] > made.history[0], made.image.min() >= 0
    (True, np.True_)
    """
    where = "maximize_activation"
    network(model, where)
    first = _start(shape, start, limits, seed, where)
    low, high = limits
    rng = np.random.default_rng([seed, 1])
    shift = integer(jitter, where, "jitter", least=0)
    weights = {name: number(v, where, name, low=0) for name, v in (("l2", l2), ("total_variation", total_variation))}
    blur = number(blur, where, "blur", low=0)

    def loss(pixels: Tensor) -> tuple[Tensor, float]:
        value = _unit(_output(model, pixels, layer, where), unit, where)
        penalty = weights["l2"] * ((pixels - (low + high) / 2) ** 2).mean() if weights["l2"] else 0
        if weights["total_variation"]:
            penalty = weights["total_variation"] * roughness(pixels) + penalty
        return penalty - value, value.item()

    def before(pixels: Parameter) -> Callable[[], None]:
        if not shift:
            return lambda: None
        by = tuple(rng.integers(-shift, shift + 1, 2).tolist())
        pixels.data = array_module(pixels.data).roll(pixels.data, by, (2, 3))

        def back() -> None:
            pixels.data = array_module(pixels.data).roll(pixels.data, (-by[0], -by[1]), (2, 3))
            pixels.grad = array_module(pixels.data).roll(pixels.grad, (-by[0], -by[1]), (2, 3))

        return back

    def after(pixels: Parameter, step: int) -> None:
        if blur and step % 4 == 3 and step + 1 < steps:
            pixels.data = blurred(pixels.data, blur)

    return _learn(model, first, loss, steps, lr, limits, before, after, progress, "activation", where)


def _output(model: Module, pixels: Tensor, layer: str | None, where: str) -> Tensor:
    if layer is None:
        return class_scores(model(pixels), where)
    return layer_outputs(model, pixels, [layer], where)[1][layer]


def _unit(maps: Tensor, unit: Unit, where: str) -> Tensor:
    """One number: a channel's mean, or a place of it."""
    place = (unit,) if not isinstance(unit, (tuple, list)) else tuple(unit)
    if len(place) not in (1, maps.ndim - 1):
        raise ValueError(
            f"{where}: unit needs to be a channel or {maps.ndim - 1} numbers for maps of {maps.shape[1:]}, "
            f"but got {shown(unit)}"
        )
    for which, extent in zip(place, maps.shape[1:]):
        if integer(which, where, "unit", least=0) >= extent:
            raise ValueError(f"{where}: unit needs numbers below {maps.shape[1:]}, but got {shown(unit)}")
    return index(maps, (0, *(int(which) for which in place))).mean()


def _start(shape: Any, start: Any, limits: Any, seed: int, where: str) -> np.ndarray:
    """The first image (1, C, H, W), within the limits."""
    if not isinstance(limits, (tuple, list)) or len(limits) != 2:
        raise ValueError(f"{where}: limits needs (low, high), but got {shown(limits)}")
    low, high = (number(each, where, "limits") for each in limits)
    if not low < high:
        raise ValueError(f"{where}: limits needs (low, high) with low < high, but got {shown(limits)}")
    if start is not None:
        array = as_images(start, where, "start")
        if array.ndim == 4 and len(array) > 1:
            raise ValueError(f"{where}: start needs one image (C, H, W), but has shape {array.shape}")
        return np.clip(array.reshape((1,) * (4 - array.ndim) + array.shape), low, high).astype(np.float32)
    if not isinstance(shape, (tuple, list)) or len(shape) != 3:
        raise ValueError(f"{where}: shape needs (C, H, W), or give a start, but got shape {shown(shape)}")
    size = tuple(integer(each, where, "shape", least=1) for each in shape)
    noise = np.random.default_rng(seed).normal(0, 0.02 * (high - low), (1, *size))
    return np.clip((low + high) / 2 + noise, low, high).astype(np.float32)


def roughness(pixels: Tensor) -> Tensor:
    """The mean square difference between neighbouring pixels, down and across: total variation with exponent 2."""
    down = pixels[:, :, 1:, :] - pixels[:, :, :-1, :]
    across = pixels[:, :, :, 1:] - pixels[:, :, :, :-1]
    return (down**2).mean() + (across**2).mean()


def blurred(pixels: np.ndarray, deviation: float) -> np.ndarray:
    """Images (N, C, H, W) under a Gaussian blur; at the edges it is made up for what is missing."""

    def matrix(extent: int) -> np.ndarray:
        apart = np.arange(extent)[:, None] - np.arange(extent)
        kernel = np.exp(-0.5 * (apart / deviation) ** 2)
        return (kernel / kernel.sum(1, keepdims=True)).astype(pixels.dtype)

    return matrix(pixels.shape[2]) @ pixels @ matrix(pixels.shape[3]).T


def _learn(
    model: Module,
    first: np.ndarray,
    loss: Callable[[Tensor], tuple[Tensor, float]],
    steps: int,
    lr: float,
    limits: tuple[float, float],
    before: Callable[[Parameter], Callable[[], None]],
    after: Callable[[Parameter, int], None],
    progress: bool,
    what: str,
    where: str,
) -> Synthesis:
    """Gradient descent on the pixels; the model is frozen and in evaluation mode meanwhile."""
    from tqdm.auto import tqdm

    steps, lr = integer(steps, where, "steps", least=1), number(lr, where, "lr", low=0)
    pixels = Parameter(move(first.copy(), device_of(model)))
    optimizer = Adam([pixels], lr=lr)
    history: list[float] = []
    with frozen(model):
        for step in tqdm(range(steps), unit="step", disable=not progress):
            if not history or step % 10 == 0:  # without jitter, but not every time: it costs a run
                history.append(loss(Tensor(pixels.data))[1])
            back = before(pixels)
            pixels.grad = None
            loss(pixels)[0].backward()
            back()  # the gradient, too: Adam's averages belong to the image's pixels, not to the shifted ones
            optimizer.step()
            after(pixels, step)
            pixels.data = pixels.data.clip(*limits)
        history.append(loss(Tensor(pixels.data))[1])
    return Synthesis(move(pixels.data, "numpy")[0], first[0], history, what)


# ---- feature inversion ------------------------------------------------------------------------------------------


def invert_features(
    model: Module,
    image: Any,
    layer: str,
    *,
    start: Any = None,
    steps: int = 300,
    lr: float = 0.02,
    total_variation: float = 0.0,
    limits: tuple[float, float] = (0.0, 1.0),
    seed: int = 0,
    progress: bool = True,
) -> Synthesis:
    """Find an image with the same features at a layer as a given one: what the layer still knows of it.

    The loss is the relative distance ‖Φ(x) − Φ(x₀)‖² / ‖Φ(x₀)‖², plus the roughness. The start is grey noise, so
    whatever appears came through the layer.

    Parameters
    ----------
    model : Module
    image : array or Tensor (H, W) or (C, H, W)
    layer : str
        See `activations`.
    start : array (C, H, W), optional
    steps, lr, limits, seed, progress
        As for `maximize_activation`.
    total_variation : float
        How much the mean square difference between neighbours counts.

    Returns
    -------
    Synthesis
        `history`: the relative distance ‖Φ(x) − Φ(x₀)‖ / ‖Φ(x₀)‖.

    Raises
    ------
    ValueError
        If there is no such layer, or all its features are 0.

    References
    ----------
    A. Mahendran, A. Vedaldi, "Understanding deep image representations by inverting them", 2014, arXiv:1412.0035.

    Examples
    --------
    >>> import zerohero as zh
    >>> from zerohero.visualize import invert_features
    >>> lenet, test = zh.weights.load("lenet5_digits"), zh.datasets.load("digits", "test", size=28)
    >>> found = invert_features(lenet, test.images[0], "relu", steps=30, progress=False)
    >>> found.history[-1] < 0.5 * found.history[0]
    True
    """
    where = "invert_features"
    network(model, where)
    array = as_images(image, where, "image")
    if array.ndim == 4 and len(array) > 1:
        raise ValueError(f"{where}: image needs to be one image (C, H, W), but has shape {array.shape}")
    shape = (1,) * (3 - array.ndim) + array.shape[-3:]
    first = _start(shape, start, limits, seed, where)
    if first.shape[1:] != shape:
        raise ValueError(f"{where}: start needs the image's shape {shape}, but has {first.shape[1:]}")
    weight = number(total_variation, where, "total_variation", low=0)
    with frozen(model):
        given = Tensor(move(array.reshape(1, *shape).astype(np.float32), device_of(model)))
        wanted = layer_outputs(model, given, [layer], where)[1][layer].detach()
    size = float((wanted.data**2).sum())
    if not size > 0:
        raise ValueError(f"{where}: all features of layer {layer!r} are 0 for this image: nothing to find again")

    def loss(pixels: Tensor) -> tuple[Tensor, float]:
        apart = ((_output(model, pixels, layer, where) - wanted) ** 2).sum() * (1 / size)
        return (apart + weight * roughness(pixels) if weight else apart), apart.item() ** 0.5

    nothing = (lambda pixels: lambda: None), (lambda pixels, step: None)
    return _learn(model, first, loss, steps, lr, limits, *nothing, progress, "relative distance", where)


# ---- DeepDream --------------------------------------------------------------------------------------------------


def deep_dream(
    model: Module,
    image: Any,
    layer: str,
    channel: int | None = None,
    *,
    octaves: int = 3,
    scale: float = 1.4,
    steps: int = 10,
    lr: float = 0.03,
    jitter: int = 4,
    limits: tuple[float, float] = (0.0, 1.0),
    seed: int = 0,
    progress: bool = True,
) -> np.ndarray:
    """Start from a photograph and strengthen whatever a layer sees in it, from coarse to fine.

    The image is first shrunk; in each octave it grows by `scale`, and the detail that was lost by shrinking is put
    back in. In each step pixels move along the gradient of half the mean square of the layer's activations, divided by
    its own mean size, so that a step is about `lr` whatever the layer.

    Parameters
    ----------
    model : Module
        One that takes images of several sizes.
    image : array or Tensor (H, W) or (C, H, W)
    layer : str
        See `activations`.
    channel : int, optional
        Strengthen this channel alone.
    octaves : int
        How many sizes; 1 is the image's own alone.
    scale : float
        From one size to the next.
    steps : int
        In each octave.
    lr : float
    jitter : int
        Before each step the image is shifted at random, by up to so many pixels, and back after it.
    limits, seed, progress
        As for `maximize_activation`.

    Returns
    -------
    ndarray (C, H, W)

    References
    ----------
    A. Mordvintsev, C. Olah, M. Tyka, "Inceptionism: going deeper into neural networks", Google Research blog, 2015.

    Examples
    --------
    >>> import numpy as np, zerohero as zh
    >>> from zerohero.visualize import deep_dream
    >>> resnet = zh.weights.load("resnet20_cifar10")
    >>> deep_dream(resnet, np.full((3, 40, 48), 0.5), "layer1", octaves=2, steps=2, progress=False).shape
    (3, 40, 48)
    """
    from tqdm.auto import tqdm

    where = "deep_dream"
    network(model, where)
    photo = _start(None, image, limits, seed, where)
    count, scale = integer(octaves, where, "octaves", least=1), number(scale, where, "scale", low=1.01)
    steps, shift = integer(steps, where, "steps", least=1), integer(jitter, where, "jitter", least=0)
    lr = number(lr, where, "lr", low=0)
    rng = np.random.default_rng(seed)
    sizes = [tuple(max(1, round(side / scale**level)) for side in photo.shape[2:]) for level in reversed(range(count))]
    dreamt = np.zeros((*photo.shape[:2], *sizes[0]), np.float32)  # what was added so far
    with frozen(model), tqdm(total=count * steps, unit="step", disable=not progress) as bar:
        for size in sizes:
            dreamt = _all_resized(dreamt, size)
            plain = _all_resized(photo, size)
            pixels = np.clip(plain + dreamt, *limits)
            for _ in range(steps):
                by = rng.integers(-shift, shift + 1, 2)
                moved = np.roll(pixels, by, (2, 3))
                gradient = _excitement(model, moved, layer, channel, where)
                moved = moved + lr * gradient / (np.abs(gradient).mean() + 1e-12)
                pixels = np.clip(np.roll(moved, -by, (2, 3)), *limits).astype(np.float32)
                bar.update()
            dreamt = pixels - plain
    return pixels[0]


def _all_resized(images: np.ndarray, size: Sequence[int]) -> np.ndarray:
    return np.stack([[resized(each, tuple(size)) for each in image] for image in images]).astype(np.float32)


def _excitement(model: Module, pixels: np.ndarray, layer: str, channel: int | None, where: str) -> np.ndarray:
    """The gradient of half the mean square of a layer's activations, or of one channel's, by the pixels."""
    leaf = Parameter(move(np.ascontiguousarray(pixels), device_of(model)))
    maps = _output(model, leaf, layer, where)
    if channel is not None:
        if integer(channel, where, "channel", least=0) >= maps.shape[1]:
            raise ValueError(f"{where}: channel needs to lie below {maps.shape[1]}, but got {channel}")
        maps = maps[:, int(channel)]
    (0.5 * (maps * maps).mean()).backward()
    return move(leaf.grad, "numpy")


# ---- pictures ---------------------------------------------------------------------------------------------------


@styled
def climb(made: Any, *, title: str | None = None) -> Picture:
    """Draw where a synthesis began, what came out, and what was aimed at on the way.

    Parameters
    ----------
    made : Synthesis
        As `maximize_activation` and `invert_features` make it.
    title : str, optional

    Returns
    -------
    Picture

    Examples
    --------
    >>> made = Synthesis(image=np.ones((1, 2, 2)), start=np.zeros((1, 2, 2)), history=[0.0, 1.0])
    >>> type(climb(made)).__name__
    'Picture'
    """
    if not isinstance(made, Synthesis):
        raise TypeError(f"climb: made needs a Synthesis, but got {shown(made)}")
    fig, axes = subplots(1, 3, width=9.2, height=3.1, title=title, width_ratios=[1, 1, 1.5])
    for ax, pixels, name in zip(axes, (made.start, made.image), ("start", "result")):
        ax.imshow(np.moveaxis(pixels, 0, -1).squeeze(), cmap="gray", vmin=0, vmax=1)
        ax.set(title=name, xticks=[], yticks=[])
    axes[2].plot(made.history, color=CYCLE[0], marker="o", ms=3)
    axes[2].set(xlabel="tens of steps", ylabel=made.what, title="on the way")
    fig.alt = f"{title or 'A synthesis'}: start, result, and a curve; {made!r}."
    return fig


@styled
def syntheses(made: Any, *, title: str | None = None, columns: int | None = None, first: Any = None) -> Picture:
    """Draw images that were made, each with its name and what it reached.

    Parameters
    ----------
    made : mapping from name to Synthesis
    title : str, optional
    columns : int, optional
    first : array (C, H, W), optional
        An image to put before them, such as the photograph whose features were inverted.

    Returns
    -------
    Picture

    Examples
    --------
    >>> made = Synthesis(image=np.ones((1, 2, 2)), start=np.zeros((1, 2, 2)), history=[0.0, 1.0])
    >>> type(syntheses({"one": made})).__name__
    'Picture'
    """
    if not hasattr(made, "items") or not made or not all(isinstance(each, Synthesis) for each in made.values()):
        raise ValueError(f"syntheses: made needs a Synthesis by name, but got {shown(made)}")
    images = [each.image for each in made.values()]
    labels = [f"{name}\n{each.history[-1]:.3g}" for name, each in made.items()]
    if first is not None:
        images, labels = [np.asarray(first), *images], ["the image\n", *labels]
    fig = image_grid(images, labels, title=title, columns=columns)
    reached = "; ".join(f"{name}: {each.what} {each.history[-1]:.3g}" for name, each in made.items())
    fig.alt = f"{title or 'Images made'}: {reached}."
    return fig
