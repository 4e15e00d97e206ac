"""Which pixels an answer depends on: occlusion, saliency, Grad-CAM, and gradients under other ReLU rules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from zerohero.arguments import integer, number, one_of, shown
from zerohero.datasets.dataset import resampling
from zerohero.limits.images import as_images
from zerohero.nn.inside import frozen, layer_outputs
from zerohero.nn.module import Module
from zerohero.operation import Operation, array_module, operation
from zerohero.ops.activation import softmax
from zerohero.tensor import Tensor, grad, intercept, move

from .arrays import _image_pixels, as_array
from .maps import device_of, network
from .style import DIVERGING, Picture, styled, subplots

RULES = ("gradient", "guided", "deconvnet")


# ---- the score that is asked about --------------------------------------------------------------------------


def class_scores(output: Any, where: str) -> Tensor:
    """What a model says of every class, (N, classes), before any softmax; of class capsules (N, J, Q) the lengths."""
    if isinstance(output, Tensor) and output.ndim == 3:
        return ((output * output).sum(axis=-1) + 1e-12) ** 0.5  # a length of 0 has no gradient without this
    if not isinstance(output, Tensor) or output.ndim != 2:
        got = f"shape {output.shape}" if isinstance(output, Tensor) else shown(output)
        raise ValueError(f"{where}: model needs to return scores (N, classes) or capsules (N, J, Q), but gave {got}")
    return output


def _one_image(image: Any, where: str) -> np.ndarray:
    """An image (H, W) or (C, H, W) as (1, C, H, W)."""
    array = as_images(image, where, "image")
    if array.ndim == 4 and len(array) > 1:
        raise ValueError(f"{where}: image needs to be one image (C, H, W), but has shape {array.shape}")
    return array.reshape((1,) * (4 - array.ndim) + array.shape)


def _target(model: Module, image: np.ndarray, target: Any, where: str) -> int:
    """The class to ask about; by default the one the model answers with."""
    scores = model.scores(image)
    if scores.ndim != 2:
        raise ValueError(f"{where}: model needs to give scores (N, classes), but gave {scores.shape}")
    if target is None:
        return int(scores[0].argmax())
    chosen = integer(target, where, "target", least=0)
    if chosen >= scores.shape[1]:
        raise ValueError(f"{where}: target needs to lie below {scores.shape[1]}, the classes, but got {chosen}")
    return chosen


# ---- occlusion ----------------------------------------------------------------------------------------------


def occlusion(
    model: Module,
    image: Any,
    target: int | None = None,
    *,
    size: int = 8,
    stride: int = 2,
    fill: str | float = "mean",
    of: str = "score",
    batch_size: int = 64,
    progress: bool = False,
) -> np.ndarray:
    """How much the score of a class drops when a square of the image is covered, place by place.

    Parameters
    ----------
    model : Module
    image : array or Tensor (H, W) or (C, H, W)
    target : int, optional
        The class; by default the model's answer.
    size, stride : int
        Side of the square, and pixels between places. The last row and column of places end at the image's edge.
    fill : "mean" or number
        What covers: the image's mean of each channel, or a number. Black (0) is a strong pattern for many networks,
        not nothing.
    of : "score" or "probability"
        What drops. A probability of 1.000 may stay while the score falls by half.
    batch_size : int
    progress : bool

    Returns
    -------
    ndarray (H, W)
        For each pixel the mean drop over all squares that cover it: positive where the pixels speak *for* the class.

    Raises
    ------
    ValueError
        If the square is larger than the image, or the stride larger than the square.

    References
    ----------
    M. D. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks", 2013, arXiv:1311.2901, figure 6.

    Examples
    --------
    >>> import zerohero as zh
    >>> from zerohero.visualize import occlusion
    >>> lenet, test = zh.weights.load("lenet5_digits"), zh.datasets.load("digits", "test", size=28)
    >>> occlusion(lenet, test.images[0], size=7, stride=7).shape
    (28, 28)
    """
    from tqdm.auto import tqdm

    where = "occlusion"
    network(model, where)
    batch = _one_image(image, where)
    height, width = batch.shape[2:]
    size = integer(size, where, "size", least=1)
    stride = integer(stride, where, "stride", least=1)
    if size > min(height, width) or stride > size:
        raise ValueError(f"{where}: size {size} needs to fit into {height}×{width} pixels, stride {stride} into size")
    one_of(of, where, "of", ("score", "probability"))
    chosen = _target(model, batch, target, where)
    color = _fill(batch[0], fill)
    places = [(top, left) for top in _starts(height, size, stride) for left in _starts(width, size, stride)]
    found = []
    many = integer(batch_size, where, "batch_size", least=1)
    for begin in tqdm(range(0, len(places), many), unit="batch", disable=not progress):
        part = places[begin : begin + many]
        covered = batch.repeat(len(part), axis=0)
        for each, (top, left) in zip(covered, part):
            each[:, top : top + size, left : left + size] = color
        found.append(_asked(model.scores(covered), of)[:, chosen])
    drops = _asked(model.scores(batch), of)[0, chosen] - np.concatenate(found)
    total, times = np.zeros((height, width)), np.zeros((height, width))
    for drop, (top, left) in zip(drops, places):
        total[top : top + size, left : left + size] += drop
        times[top : top + size, left : left + size] += 1
    return total / times


def _starts(extent: int, size: int, stride: int) -> list[int]:
    return [*range(0, extent - size, stride), extent - size]


def _fill(image: np.ndarray, fill: Any) -> np.ndarray:
    """A colour (C, 1, 1)."""
    if isinstance(fill, str):
        one_of(fill, "occlusion", "fill", ("mean",))
        return image.mean(axis=(1, 2), keepdims=True)
    return np.full((len(image), 1, 1), number(fill, "occlusion", "fill"))


def _asked(scores: np.ndarray, of: str) -> np.ndarray:
    scores = scores.astype(np.float64)
    return scores if of == "score" else np.asarray(softmax(scores))


# ---- gradients ----------------------------------------------------------------------------------------------


@operation(elementwise=True)
def guided_relu(x):
    """ReLU; on the way back negative gradients stop, too (Springenberg et al. 2014)."""
    return array_module(x).maximum(x, 0)


@guided_relu.gradient
def guided_relu_gradient(grad, y):
    return array_module(grad).maximum(grad, 0) * (y > 0)


@operation(elementwise=True)
def deconvnet_relu(x):
    """ReLU; on the way back it is a ReLU again, whatever came in forward (Zeiler & Fergus 2013)."""
    return array_module(x).maximum(x, 0)


@deconvnet_relu.gradient
def deconvnet_relu_gradient(grad):
    return array_module(grad).maximum(grad, 0)


@contextmanager
def relu_rule(rule: str, where: str) -> Iterator[None]:
    """In the block every ReLU goes back by another rule; what it computes forward stays."""
    others = {"guided": guided_relu, "deconvnet": deconvnet_relu}
    if one_of(rule, where, "rule", RULES) == "gradient":
        yield
        return

    def run(called: Operation, arguments: dict[str, Any]) -> Any:
        with intercept(None):  # type: ignore[arg-type]  # as if nobody were looking
            if called.name == "relu":
                return others[rule](arguments["x"])
            return called(**arguments)

    with intercept(run):
        yield


def input_gradient(
    model: Module,
    image: Any,
    target: int | None = None,
    *,
    rule: str = "gradient",
    layer: str | None = None,
    channel: int | None = None,
) -> np.ndarray:
    """The gradient of a class score, or of a unit inside the model, with respect to the image's pixels.

    Parameters
    ----------
    model : Module
    image : array or Tensor (H, W) or (C, H, W)
    target : int, optional
        The class; by default the model's answer. Left out if a layer is given.
    rule : "gradient", "guided" or "deconvnet"
        How ReLUs go back: the true gradient; "guided" stops negative gradients, too; "deconvnet" stops only these.
        The last two are pictures, no gradients. With "deconvnet" and a layer this is Zeiler and Fergus's deconvnet:
        a convolution goes back as a transposed convolution with its own weights, a max pooling through its switches.
    layer, channel : str and int, optional
        Ask about the largest activation of this channel of this layer instead of a class.

    Returns
    -------
    ndarray (C, H, W)

    References
    ----------
    M. D. Zeiler, R. Fergus, arXiv:1311.2901, section 2.1; J. T. Springenberg et al., "Striving for simplicity: the all
    convolutional net", 2014, arXiv:1412.6806, section 3.4.

    Examples
    --------
    >>> import zerohero as zh
    >>> from zerohero.visualize import input_gradient
    >>> lenet, test = zh.weights.load("lenet5_digits"), zh.datasets.load("digits", "test", size=28)
    >>> input_gradient(lenet, test.images[0], 3).shape
    (1, 28, 28)
    """
    where = "input_gradient"
    network(model, where)
    if (layer is None) != (channel is None):
        raise ValueError(f"{where}: layer and channel go together, but got {shown(layer)} and {shown(channel)}")
    batch = _one_image(image, where)
    chosen = _target(model, batch, target, where) if layer is None else 0
    pixels = Tensor(move(batch, device_of(model)), requires_grad=True)
    with frozen(model):
        if layer is None:
            with relu_rule(rule, where):
                score = class_scores(model(pixels), where)[0, chosen]
        else:
            maps = _maps_by_rule(model, pixels, layer, rule, where)
            score = _strongest(maps, channel, where)
        gradient = grad(score, pixels)
    return move(gradient[0], "numpy")


def _maps_by_rule(model: Module, pixels: Tensor, layer: str, rule: str, where: str) -> Tensor:
    """A layer's output whose ReLUs go back by a rule: looking for the layer already stands between."""
    with relu_rule(rule, where):
        return layer_outputs(model, pixels, [layer], where)[1][layer]


def _strongest(maps: Tensor, channel: Any, where: str) -> Tensor:
    channel = integer(channel, where, "channel", least=0)
    if channel >= maps.shape[1]:
        raise ValueError(f"{where}: channel needs to lie below {maps.shape[1]}, but got {channel}")
    one = maps[0, channel]
    return one.max() if one.ndim else one


def saliency(model: Module, image: Any, target: int | None = None) -> np.ndarray:
    """How strongly each pixel moves a class score: the gradient's absolute value, the largest of the channels.

    Parameters
    ----------
    model : Module
    image : array or Tensor (H, W) or (C, H, W)
    target : int, optional
        The class; by default the model's answer. Its score *before* the softmax: a probability also rises because
        the other classes fall.

    Returns
    -------
    ndarray (H, W)

    References
    ----------
    K. Simonyan, A. Vedaldi, A. Zisserman, "Deep inside convolutional networks", 2013, arXiv:1312.6034, section 3.1.

    Examples
    --------
    >>> import zerohero as zh
    >>> from zerohero.visualize import saliency
    >>> lenet, test = zh.weights.load("lenet5_digits"), zh.datasets.load("digits", "test", size=28)
    >>> saliency(lenet, test.images[0]).min() >= 0
    np.True_
    """
    network(model, "saliency")
    return np.abs(input_gradient(model, image, target)).max(axis=0)


def grad_cam(
    model: Module, image: Any, layer: str, target: int | None = None, *, resize: bool = True, relu: bool = True
) -> np.ndarray:
    """Where the maps of a layer speak for a class: ReLU(Σₖ αₖ Aᵏ), αₖ the mean of the score's gradient over map k.

    Parameters
    ----------
    model : Module
    image : array or Tensor (H, W) or (C, H, W)
    layer : str
        See `activations`; usually the last with rows and columns.
    target : int, optional
        The class; by default the model's answer.
    resize : bool
        Whether to enlarge the map to the image's size, bilinearly.
    relu : bool
        False keeps what speaks against the class, too.

    Returns
    -------
    ndarray (H, W), or the layer's own (h, w)

    Raises
    ------
    ValueError
        If there is no such layer, or it has no rows and columns.

    References
    ----------
    R. R. Selvaraju et al., "Grad-CAM", 2016, arXiv:1610.02391, equations 1 and 2.

    Examples
    --------
    >>> import zerohero as zh
    >>> from zerohero.visualize import grad_cam
    >>> lenet, test = zh.weights.load("lenet5_digits"), zh.datasets.load("digits", "test", size=28)
    >>> grad_cam(lenet, test.images[0], "relu#2").shape, grad_cam(lenet, test.images[0], "relu#2", resize=False).shape
    ((28, 28), (10, 10))
    """
    where = "grad_cam"
    network(model, where)
    batch = _one_image(image, where)
    chosen = _target(model, batch, target, where)
    with frozen(model):
        pixels = Tensor(move(batch, device_of(model)), requires_grad=True)  # so that there is a tape
        output, found = layer_outputs(model, pixels, [layer], where, to_the_end=True)
        maps = found[layer]  # (1, K, h, w)
        if maps.ndim != 4:
            raise ValueError(f"{where}: layer {layer!r} needs rows and columns, but gives shape {maps.shape}")
        gradient = move(grad(class_scores(output, where)[0, chosen], maps), "numpy")[0]  # (K, h, w)
    importance = gradient.mean(axis=(1, 2), keepdims=True)
    heat = (importance * move(maps.data, "numpy")[0]).sum(axis=0)
    heat = np.maximum(heat, 0) if relu else heat
    return resized(heat, batch.shape[2:]) if resize else heat


def resized(heat: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A map (h, w) enlarged to (H, W), bilinearly."""
    rows, columns = (resampling(here, there) for here, there in zip(heat.shape, shape))
    return rows @ heat @ columns.T


# ---- the sanity check -----------------------------------------------------------------------------------------


def map_similarity(a: Any, b: Any) -> float:
    """How alike two maps are: Spearman's correlation of their pixels' ranks, 1 for the same order, about 0 for none.

    Parameters
    ----------
    a, b : array (H, W)

    Returns
    -------
    float
        0 if one of them is the same everywhere.

    Examples
    --------
    >>> from zerohero.visualize import map_similarity
    >>> map_similarity([[0, 1], [2, 3]], [[0, 1], [4, 9]])
    1.0
    """
    first, second = (as_array(each, f"map_similarity: {name}").astype(float) for each, name in ((a, "a"), (b, "b")))
    if first.shape != second.shape:
        raise ValueError(f"map_similarity: a and b need one shape, but have {first.shape} and {second.shape}")
    ranks = [_ranks(each.ravel()) for each in (first, second)]
    x, y = (each - each.mean() for each in ranks)
    size = np.sqrt((x * x).sum() * (y * y).sum())
    return float((x * y).sum() / size) if size > 0 else 0.0


def _ranks(values: np.ndarray) -> np.ndarray:
    """Places in ascending order; equal values share the mean of theirs."""
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[where]


@contextmanager
def randomized(model: Module, layers: int | None = None, *, seed: int = 0) -> Iterator[Module]:
    """In the `with` block the weights of a model's last layers are shuffled; afterwards they are as they were.

    Every weight array keeps its numbers, in another order: what was learned is gone, sizes and signs stay. A picture of
    "what the network looks at" that hardly changes shows the image, not the network.

    Parameters
    ----------
    model : Module
    layers : int, optional
        How many parameters with two axes or more, counted from the end, as in a cascade; by default all.
    seed : int

    Yields
    ------
    Module
        The model.

    References
    ----------
    J. Adebayo et al., "Sanity checks for saliency maps", 2018, arXiv:1810.03292, section 3.

    Examples
    --------
    >>> import zerohero as zh
    >>> from zerohero.visualize import randomized
    >>> lenet = zh.weights.load("lenet5_digits")
    >>> before = lenet.fc3.weight.data
    >>> with randomized(lenet, 1):
    ...     bool((lenet.fc3.weight.data == before).all())
    False
    >>> bool((lenet.fc3.weight.data == before).all())
    True
    """
    network(model, "randomized")
    weights = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    if layers is not None:
        weights = weights[len(weights) - min(integer(layers, "randomized", "layers", least=1), len(weights)) :]
    kept = [(weight, weight.data) for weight in weights]
    rng, device = np.random.default_rng(seed), device_of(model)
    try:
        for weight in weights:
            values = move(weight.data, "numpy").ravel()
            weight.data = move(values[rng.permutation(values.size)].reshape(weight.shape), device)
        yield model
    finally:
        for weight, values in kept:
            weight.data = values


# ---- pictures -------------------------------------------------------------------------------------------------


@styled
def heatmap(photo: Any, heat: Any, *, title: str | None = None, label: str = "value") -> Picture:
    """Draw an image, a map of the same size over it, and the map alone with its scale.

    Parameters
    ----------
    photo : array (H, W), (1, H, W) or (3, H, W) in [0, 1]
    heat : array (H, W)
        Positive numbers are blue, negative ones orange.
    title : str, optional
    label : str
        What the numbers are.

    Returns
    -------
    Picture

    Examples
    --------
    >>> import numpy as np
    >>> from zerohero.visualize import heatmap
    >>> heatmap(np.zeros((4, 4)), np.eye(4), title="A diagonal")
    A diagonal: a map of 4 by 4 from 0 to 1, strongest at row 0, column 0.
    """
    return heatmaps(photo, {label: heat}, title=title)


@styled
def heatmaps(photo: Any, maps: Any, *, title: str | None = None) -> Picture:
    """Draw an image and several maps of it side by side, each over the grey image on a scale of its own.

    Parameters
    ----------
    photo : array (H, W), (1, H, W) or (3, H, W) in [0, 1]
    maps : mapping from name to array (H, W)
    title : str, optional

    Returns
    -------
    Picture

    Examples
    --------
    >>> fig = heatmaps(np.ones((4, 4)), {"left": np.eye(4), "right": -np.eye(4)})
    >>> "left" in fig.alt
    True
    """
    pixels = _image_pixels(photo, "heatmaps: photo")
    if not hasattr(maps, "items") or not maps:
        raise ValueError(f"heatmaps: maps needs arrays by name, but got {shown(maps)}")
    arrays = {name: as_array(heat, f"heatmaps: {name}").astype(float) for name, heat in maps.items()}
    for name, heat in arrays.items():
        if heat.shape != pixels.shape[:2]:
            raise ValueError(f"heatmaps: {name} needs the image's shape {pixels.shape[:2]}, but has {heat.shape}")
    columns = 1 + len(arrays)
    fig, axes = subplots(1, columns, width=min(9.5, 2.9 * columns), height=min(3.4, 9.5 / columns + 0.7), title=title)
    axes[0].imshow(pixels, cmap="gray")
    axes[0].set(title="image", xticks=[], yticks=[])
    grey = pixels if pixels.ndim == 2 else pixels.mean(axis=2)
    for ax, (name, heat) in zip(axes[1:], arrays.items()):
        limit = np.abs(heat).max() or 1.0
        ax.imshow(grey, cmap="gray", alpha=0.45)
        drawn = ax.imshow(heat, cmap=DIVERGING, vmin=-limit, vmax=limit, alpha=0.7)
        ax.set(title=name, xticks=[], yticks=[])
        fig.colorbar(drawn, ax=ax, location="bottom", fraction=0.05, pad=0.03)
    fig.image_format = "jpeg" if pixels.shape[0] > 100 else "png"
    fig.alt = " ".join(_heat_sentence(title if len(arrays) == 1 and title else name, h) for name, h in arrays.items())
    return fig


def _heat_sentence(name: str, heat: np.ndarray) -> str:
    row, column = np.unravel_index(np.abs(heat).argmax(), heat.shape)
    size = " by ".join(map(str, heat.shape))
    low, high = heat.min(), heat.max()
    return f"{name}: a map of {size} from {low:.3g} to {high:.3g}, strongest at row {row}, column {column}."
