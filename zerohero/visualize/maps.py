"""What a layer makes of images: its maps in grey, dead channels, the images and patches that excite a channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zerohero.arguments import integer, integers, one_of, shown
from zerohero.limits.images import as_images
from zerohero.nn.inside import evaluating, layer_outputs
from zerohero.nn.module import Module
from zerohero.operation import engine_of
from zerohero.tensor import Tensor, move, no_grad

from .arrays import as_array, image, image_grid
from .style import COLORS, DIVERGING, Picture, styled, subplots

SCALES = ("layer", "channel", "zero")


def activations(model: Module, images: Any, layer: str, *, batch_size: int = 64, progress: bool = False) -> np.ndarray:
    """What one layer of a model gives for images: the activations of all its channels.

    Parameters
    ----------
    model : Module
    images : array or Tensor (H, W), (C, H, W) or (N, C, H, W)
    layer : str
        A module's dotted name, "conv1", "layer1.0.conv1", or an operation that the model calls by itself, "relu";
        what runs more than once is counted: "relu#2". `model.summary(shape)` lists them.
    batch_size : int
        How many images are computed at once.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    ndarray (N, channels, h, w), without N for a single image
        (N, units) for a layer without rows and columns.

    Raises
    ------
    ValueError
        If there is no such layer, or the images don't fit the model.

    Examples
    --------
    >>> import numpy as np, zerohero as zh
    >>> from zerohero.visualize import activations
    >>> lenet, digit = zh.weights.load("lenet5_digits"), np.zeros((1, 28, 28), np.float32)
    >>> activations(lenet, digit, "conv1").shape, activations(lenet, digit, "relu#2").shape
    ((6, 28, 28), (16, 10, 10))
    """
    from tqdm.auto import tqdm

    network(model, "activations")
    array = as_images(images, "activations")
    batch = array.reshape((1,) * (4 - array.ndim) + array.shape)
    size = integer(batch_size, "activations", "batch_size", least=1)
    pieces = []
    with evaluating(model), no_grad():
        for start in tqdm(range(0, len(batch), size), unit="batch", disable=not progress):
            part = Tensor(move(batch[start : start + size], device_of(model)))
            output = layer_outputs(model, part, [layer], "activations")[1][layer]
            pieces.append(move(output.data, "numpy"))
    result = np.concatenate(pieces)
    return result if array.ndim == 4 else result[0]


def network(model: Any, where: str) -> Module:
    """`model`, if it is a Module: a plain function has no layers to look into."""
    if not isinstance(model, Module):
        raise TypeError(f"{where}: model needs to be a Module, but got {shown(model)}")
    return model


def device_of(model: Module) -> str:
    """Where the model's weights are, "numpy" or "cupy"."""
    return "cupy" if any(engine_of(p.data) == "cupy" for p in model.parameters()) else "numpy"


# ---- maps in grey -----------------------------------------------------------------------------------------


def as_grey(maps: Any, scale: str = "layer") -> np.ndarray:
    """Activations as grey values from 0 (black) to 1 (white).

    Parameters
    ----------
    maps : array (channels, h, w)
    scale : "layer", "channel" or "zero"
        What becomes black and white. "layer": the smallest and the largest of all channels, as on the slides.
        "channel": those of each channel. "zero": 0 is black, and with it all that a ReLU would cut off; the largest
        of all channels is white.

    Returns
    -------
    ndarray (channels, h, w) of float64
        A channel (or layer) that has one value everywhere is 0.5; with "zero", one that has nothing above 0 is 0.

    Examples
    --------
    >>> from zerohero.visualize import as_grey
    >>> as_grey([[[2, 3, 4]]]).tolist(), as_grey([[[2, 3, 4]]], "zero").tolist()
    ([[[0.0, 0.5, 1.0]]], [[[0.5, 0.75, 1.0]]])
    """
    array = as_array(maps, "as_grey: maps").astype(float)
    if array.ndim != 3 or 0 in array.shape:
        raise ValueError(f"as_grey: maps needs shape (channels, h, w) with none of them 0, but has {array.shape}")
    if one_of(scale, "as_grey", "scale", SCALES) == "zero":
        largest = array.max()
        return np.maximum(array, 0) / largest if largest > 0 else np.zeros_like(array)
    axes = (1, 2) if scale == "channel" else None
    low, high = array.min(axes, keepdims=True), array.max(axes, keepdims=True)
    span = np.where(high > low, high - low, 1)
    return np.where(high > low, (array - low) / span, 0.5)


@styled
def activation_grid(
    maps: Any,
    *,
    scale: str = "layer",
    channels: Sequence[int] | None = None,
    columns: int | None = None,
    title: str | None = None,
) -> Picture:
    """Draw the activations of a layer, a box for each channel, in grey: white is strong.

    Parameters
    ----------
    maps : array (channels, h, w)
        As `activations` gives them for one image.
    scale : "layer", "channel" or "zero"
        See `as_grey`. Black is the *minimum* of the layer or of the channel: it may be negative, 0 or positive.
    channels : sequence of int, optional
        Which to draw; by default all, at most 128.
    columns : int, optional
    title : str, optional

    Returns
    -------
    Picture

    Examples
    --------
    >>> from zerohero.visualize import activation_grid
    >>> activation_grid([[[0, 1], [2, 3]]], title="One channel")
    One channel: the activations of 1 channel of 2 by 2, from 0 (black) to 3 (white).
    """
    array = as_array(maps, "activation_grid: maps")
    grey = as_grey(array, scale)
    chosen = range(min(len(grey), 128)) if channels is None else channels
    picked = [integer(each, "activation_grid", "channels", least=0) for each in chosen]
    if not picked or max(picked) >= len(grey):
        raise ValueError(f"activation_grid: channels needs numbers below {len(grey)}, but got {shown(channels)}")
    across = columns or min(len(picked), 16 if len(picked) > 40 else 8)
    fig = image_grid(
        grey[picked],
        [str(each) for each in picked],
        columns=across,
        cmap="gray",
        size=max(0.55, min(1.4, 9.0 / across)),
        title=title,
    )
    for ax in fig.axes[: len(picked)]:
        ax.images[0].set_clim(0, 1)
    low, high = (0, max(array.max(), 0)) if scale == "zero" else (array.min(), array.max())
    ends = "each from its own minimum (black) to its own maximum (white)"
    if scale != "channel":
        ends = f"from {low:.3g} (black) to {high:.3g} (white)"
    many = f"{len(picked)} channel{'s' * (len(picked) > 1)} of {grey.shape[1]} by {grey.shape[2]}"
    fig.alt = f"{title or 'Activations'}: the activations of {many}, {ends}."
    return fig


# ---- dead channels ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ChannelReport:
    """How often each channel of a layer is above 0; `dead_channels` makes it.

    Attributes
    ----------
    layer : str
    images : int
        How many were shown.
    largest : array (channels,)
        The largest activation over all images and places.
    active : array (channels,)
        The share of images for which the channel is above 0 at one place at least.
    dead : list of int
        Channels that are above 0 for no image at no place.

    Examples
    --------
    >>> ChannelReport("conv1", 2, largest=np.array([0.0, 3.0]), active=np.array([0.0, 1.0])).dead
    [0]
    """

    layer: str
    images: int
    largest: np.ndarray
    active: np.ndarray

    @property
    def dead(self) -> list[int]:
        return np.flatnonzero(self.largest <= 0).tolist()

    def __repr__(self) -> str:
        count, dead = len(self.largest), self.dead
        found = f"channels {', '.join(map(str, dead))} are dead" if len(dead) > 1 else f"channel {dead} is dead"
        found = "none is dead" if not dead else found.replace("[", "").replace("]", "")
        return f"{self.layer}: of {count} channels, over {self.images:,} images, {found}"


def dead_channels(
    model: Module, images: Any, layer: str, *, batch_size: int = 64, progress: bool = False
) -> ChannelReport:
    """Find the channels of a layer that are never above 0, over many images.

    After a ReLU such a channel is 0 everywhere: it tells the next layer nothing, and gets no gradient. The verdict is
    about these images: a channel may wait for something that none of them shows.

    Parameters
    ----------
    model : Module
    images : array or Tensor (N, C, H, W)
        Many, and of all classes.
    layer : str
        See `activations`; the layer before a ReLU and the ReLU itself give the same dead channels.
    batch_size : int
    progress : bool

    Returns
    -------
    ChannelReport

    Raises
    ------
    ValueError
        If there is no such layer, or it has no channels.

    References
    ----------
    M. D. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks", 2013, arXiv:1311.2901, section 4.1.

    Examples
    --------
    >>> import zerohero as zh
    >>> from zerohero.visualize import dead_channels
    >>> lenet, test = zh.weights.load("lenet5_digits"), zh.datasets.load("digits", "test", size=28)
    >>> dead_channels(lenet, test.images[:50], "conv1")
    conv1: of 6 channels, over 50 images, none is dead
    """
    from tqdm.auto import tqdm

    array = as_images(images, "dead_channels", batch=True)
    size = integer(batch_size, "dead_channels", "batch_size", least=1)
    strongest = []
    for start in tqdm(range(0, len(array), size), unit="batch", disable=not progress):
        maps = activations(model, array[start : start + size], layer, batch_size=size)
        if maps.ndim not in (2, 4):
            raise ValueError(f"dead_channels: layer {layer!r} needs to give (N, channels, h, w), but gave {maps.shape}")
        strongest.append(maps.max((2, 3)) if maps.ndim == 4 else maps)
    highest = np.concatenate(strongest)  # (N, channels)
    return ChannelReport(layer, len(array), highest.max(0), (highest > 0).mean(0))


@styled
def channel_chart(report: ChannelReport, *, title: str | None = None) -> Picture:
    """Draw for how many of the images each channel is above 0; dead channels are marked.

    Parameters
    ----------
    report : ChannelReport
        As `dead_channels` makes it.
    title : str, optional

    Returns
    -------
    Picture

    Examples
    --------
    >>> report = ChannelReport("conv1", 2, largest=np.array([0.0, 3.0]), active=np.array([0.0, 1.0]))
    >>> "dead" in channel_chart(report).alt
    True
    """
    if not isinstance(report, ChannelReport):
        raise TypeError(f"channel_chart: report needs what dead_channels returns, but got {shown(report)}")
    share = 100 * report.active
    fig, ax = subplots(width=8.5, height=2.9)
    ax.bar(range(len(share)), share, color=COLORS["positive"])
    if report.dead:
        ax.plot(report.dead, [3] * len(report.dead), "x", color=COLORS["negative"], ms=9, mew=2.5, label="dead")
        ax.legend(loc="upper right")
    ax.set(xlabel="channel", ylabel="images in %", ylim=(0, 125), yticks=range(0, 101, 20), title=title or report.layer)
    fig.alt = f"{title or 'Images that excite each channel'}: {report!r}."
    return fig


# ---- the images and patches that excite a channel most ------------------------------------------------------


@dataclass(frozen=True)
class Maximal:
    """The images that excite a channel most, the strongest first; `maximal_images` makes it.

    Attributes
    ----------
    layer : str
    channel : int
    indices : int array (count,)
        Places of the images in the set.
    values : array (count,)
        The channel's largest activation in each.
    places : int array (count, 2)
        Row and column of that activation in the map; (0, 0) for layers without rows and columns.
    boxes : list of (top, left, height, width)
        What that activation can see, cut off at the image's edges.
    images : array (count, C, H, W)

    Examples
    --------
    >>> images = np.eye(8).reshape(1, 1, 8, 8)
    >>> Maximal("conv1", 0, np.array([5]), np.array([2.0]), np.array([[3, 4]]), [(1, 2, 5, 5)], images).patches[0].shape
    (1, 5, 5)
    """

    layer: str
    channel: int
    indices: np.ndarray
    values: np.ndarray
    places: np.ndarray
    boxes: list[tuple[int, int, int, int]]
    images: np.ndarray

    @property
    def patches(self) -> list[np.ndarray]:
        """The boxes, cut out of the images, each (C, height, width)."""
        cuts = zip(self.images, self.boxes)
        return [img[:, top : top + height, left : left + width] for img, (top, left, height, width) in cuts]

    def __repr__(self) -> str:
        best = ", ".join(f"image {i} ({v:.3g})" for i, v in zip(self.indices[:3], self.values[:3]))
        return f"{self.layer}, channel {self.channel}: most excited by {best}"


def maximal_images(
    model: Module,
    images: Any,
    layer: str,
    channel: int,
    *,
    count: int = 9,
    batch_size: int = 64,
    progress: bool = False,
) -> Maximal:
    """Find the images of a set that excite one channel of a layer most, and the patch that does it in each.

    Parameters
    ----------
    model : Module
    images : array or Tensor (N, C, H, W)
    layer : str
        See `activations`.
    channel : int
    count : int
        How many images; each counts once, with its strongest place.
    batch_size : int
    progress : bool

    Returns
    -------
    Maximal

    Raises
    ------
    ValueError
        If there is no such layer or channel.

    References
    ----------
    R. Girshick et al., "Rich feature hierarchies for accurate object detection and semantic segmentation", 2013,
    arXiv:1311.2524, section 3.1.

    Examples
    --------
    >>> import zerohero as zh
    >>> from zerohero.visualize import maximal_images
    >>> lenet, test = zh.weights.load("lenet5_digits"), zh.datasets.load("digits", "test", size=28)
    >>> found = maximal_images(lenet, test.images, "relu#2", 3, count=4)
    >>> found.indices.shape, found.patches[0].shape[0]
    ((4,), 1)
    """
    from tqdm.auto import tqdm

    where = "maximal_images"
    network(model, where)
    array = as_images(images, where, batch=True)
    size, count = integer(batch_size, where, "batch_size", least=1), integer(count, where, "count", least=1)
    channel = integer(channel, where, "channel", least=0)
    values, places = np.empty(len(array), np.float32), np.zeros((len(array), 2), int)
    for start in tqdm(range(0, len(array), size), unit="batch", disable=not progress):
        maps = activations(model, array[start : start + size], layer, batch_size=size)
        if channel >= maps.shape[1]:
            raise ValueError(f"{where}: channel needs to lie below {maps.shape[1]}, the channels of {layer}, "
                             f"but got {channel}")  # fmt: skip
        one = maps[:, channel].reshape(len(maps), -1)
        best = one.argmax(1)
        values[start : start + size] = one[np.arange(len(one)), best]
        if maps.ndim == 4:
            places[start : start + size] = np.stack(np.unravel_index(best, maps.shape[2:]), 1)
    order = np.argsort(-values, kind="stable")[:count]
    boxes = [_seen(model, array.shape, layer, place) for place in places[order].tolist()]
    return Maximal(layer, channel, order, values[order], places[order], boxes, array[order])


def _seen(model: Module, shape: tuple[int, ...], layer: str, place: Sequence[int]) -> tuple[int, int, int, int]:
    """What the value at a place of a layer's map sees of the image, cut off at the edges; all, if it has no place."""
    window = model.summary((1, *shape[1:])).windows.get(layer)
    if window is None:
        return 0, 0, shape[2], shape[3]
    top, left, height, width = window.at(*place)
    bottom, right = min(top + height, shape[2]), min(left + width, shape[3])
    top, left = max(top, 0), max(left, 0)
    return top, left, bottom - top, right - left


@styled
def maximal_grid(found: Maximal, *, patches: bool = False, title: str | None = None) -> Picture:
    """Draw the images that excite a channel most, each with a frame around the patch that does it, or these patches.

    Parameters
    ----------
    found : Maximal
        As `maximal_images` makes it.
    patches : bool
        Draw the patches alone.
    title : str, optional

    Returns
    -------
    Picture

    Examples
    --------
    >>> images = np.eye(8).reshape(1, 1, 8, 8)
    >>> found = Maximal("conv1", 0, np.array([5]), np.array([2.0]), np.array([[3, 4]]), [(1, 2, 5, 5)], images)
    >>> type(maximal_grid(found)).__name__
    'Picture'
    """
    if not isinstance(found, Maximal):
        raise TypeError(f"maximal_grid: found needs what maximal_images returns, but got {shown(found)}")
    labels = [f"{value:.2f}" for value in found.values]
    heading = title or f"{found.layer}, channel {found.channel}: what excites it most"
    if patches:
        fig = image_grid(found.patches, labels, title=heading, shared_scale=False)
    else:
        fig = image_grid(found.images, labels, title=heading)
        for ax, box in zip(fig.axes, found.boxes):
            mark(ax, box)
    fig.alt = f"{heading}; {found!r}."
    return fig


def mark(ax: Any, box: Sequence[int]) -> None:
    """A frame around (top, left, height, width)."""
    from matplotlib.patches import Rectangle

    top, left, height, width = integers(tuple(box), "mark", "box", count=4, least=-10_000)
    style: dict[str, Any] = {"edgecolor": COLORS["highlight"], "linewidth": 2, "fill": False}
    ax.add_patch(Rectangle((left - 0.5, top - 0.5), width, height, **style))


@styled
def channel_picture(photo: Any, activation: Any, *, title: str | None = None) -> Picture:
    """Draw an image, one channel's activations, and where in the image the channel is strong.

    Parameters
    ----------
    photo : array (H, W), (1, H, W) or (3, H, W) in [0, 1]
    activation : array (h, w)
    title : str, optional

    Returns
    -------
    Picture

    Examples
    --------
    >>> import numpy as np
    >>> from zerohero.visualize import channel_picture
    >>> channel_picture(np.zeros((8, 8)), [[0, 1], [2, 3]])
    A channel: image of 8 by 8, activations of 2 by 2 from 0 to 3.
    """
    pixels, values = as_array(photo, "channel_picture: photo"), as_array(activation, "channel_picture: activation")
    if values.ndim != 2:
        raise ValueError(f"channel_picture: activation needs shape (h, w), but has {values.shape}")
    fig, axes = subplots(1, 3, width=9.2, height=3.3, title=title, layout="constrained")
    image(pixels, ax=axes[0], title="image", axis=False)
    image(values, ax=axes[1], title="activation", cmap="gray", colorbar=True, axis=False)
    height, width = pixels.shape[-2:]
    grey = pixels.reshape(-1, height, width).mean(0)
    axes[2].imshow(grey, cmap="gray", vmin=0, vmax=1)
    strong = np.maximum(values, 0)
    tone = {"cmap": DIVERGING, "vmin": -max(strong.max(), 1e-12), "vmax": max(strong.max(), 1e-12), "alpha": 0.6}
    axes[2].imshow(strong, extent=(-0.5, width - 0.5, height - 0.5, -0.5), interpolation="bilinear", **tone)
    axes[2].set(xticks=[], yticks=[], title="both")
    size = " by ".join(map(str, values.shape))
    ends = f"{values.min():.3g} to {values.max():.3g}"
    fig.alt = f"{title or 'A channel'}: image of {height} by {width}, activations of {size} from {ends}."
    return fig
