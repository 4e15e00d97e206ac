"""How far a layer, or a whole model, is from invariance and from equivariance, as a number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from zerohero.arguments import integer, shown
from zerohero.limits.images import as_images
from zerohero.nn.inside import evaluating, layer_outputs
from zerohero.nn.module import Module
from zerohero.operation import engine_of
from zerohero.tensor import Tensor, move, no_grad

Function = Callable[[Any], Any]


@dataclass(frozen=True)
class Deviation:
    """How far two sets of outputs are apart, relative to their size.

    Attributes
    ----------
    error : float
        ‖a − b‖ / ‖b‖ over all images and all numbers that count: 0 if they are equal.
    unrelated : float
        The same between outputs that belong to *different* images: what an error of "not at all" looks like. NaN if
        there is only one image.

    Examples
    --------
    >>> Deviation(error=0.0, unrelated=1.4).error
    0.0
    """

    error: float
    unrelated: float

    def __repr__(self) -> str:
        return f"Deviation(error {self.error:.3g}, unrelated {self.unrelated:.3g})"


def invariance_error(
    model: Module | Function, images: Any, transform: Function, *, layer: str | None = None, border: int = 0
) -> Deviation:
    """How much a model's output, or a layer's, changes when its input is transformed.

    f is *invariant* to T if f(T x) = f(x) for all x. The error is ‖f(T x) − f(x)‖ / ‖f(x)‖, the norms taken over
    all images together. An output that is nearly the same for *all* images has a small error too and knows nothing:
    compare `unrelated`, the same with f(x) of the next image.

    Parameters
    ----------
    model : Module, or a function of images that returns an array
    images : array (N, C, H, W)
    transform : callable
        Images (N, C, H, W) → images; for example ``lambda x: zh.limits.warped(x, shift=(1, 0))``.
    layer : str, optional
        A layer of the model, as `layer_output` takes it; by default the model's own output.
    border : int
        So many rows and columns on every side of an output (N, C, H, W) don't count.

    Returns
    -------
    Deviation

    Raises
    ------
    ValueError, TypeError
        If there is no such layer, shapes don't fit, the border leaves nothing, or all outputs are 0.

    References
    ----------
    K. Lenc, A. Vedaldi, "Understanding image representations by measuring their equivariance and equivalence", 2015,
    arXiv:1411.5908, section 2; I. Goodfellow et al., "Measuring invariances in deep networks", NIPS 2009.

    Examples
    --------
    >>> import numpy as np, zerohero as zh
    >>> images = np.random.default_rng(0).random((4, 1, 8, 8))
    >>> def mirrored(x):
    ...     return x[..., ::-1]
    >>> invariance_error(lambda x: zh.global_avg_pool2d(x), images, mirrored).error < 1e-12
    True
    """
    return _deviation("invariance_error", model, images, transform, lambda outputs: outputs, layer, border)


def equivariance_error(
    model: Module | Function,
    images: Any,
    transform: Function,
    *,
    border: int,
    output_transform: Function | None = None,
    layer: str | None = None,
) -> Deviation:
    """How far a model, or a layer, is from doing to its output what was done to its input.

    f is *equivariant* to T if there is a T' with f(T x) = T' f(x) for all x, and T' is known beforehand. The error is
    ‖f(T x) − T' f(x)‖ / ‖T' f(x)‖, the norms taken over all images together. T' the identity is invariance; T' may
    be any map, so say which: a shift by 2 pixels is a shift by 1 after a layer of stride 2.

    Parameters
    ----------
    model : Module, or a function of images that returns an array
    images : array (N, C, H, W)
    transform : callable
        T: images (N, C, H, W) → images.
    border : int
        So many rows and columns on every side of an output (N, C, H, W) don't count: where windows reach padding,
        or pixels that came in from outside. It has no default, since forgetting it is the classic mistake: a
        convolution then looks as if it weren't equivariant.
    output_transform : callable, optional
        T': outputs → outputs; by default T itself.
    layer : str, optional
        A layer of the model, as `layer_output` takes it; by default the model's own output.

    Returns
    -------
    Deviation

    Raises
    ------
    ValueError, TypeError
        If there is no such layer, shapes don't fit, the border leaves nothing, or all outputs are 0.

    References
    ----------
    K. Lenc, A. Vedaldi, arXiv:1411.5908, section 2: φ(g x) ≈ M_g φ(x). There M_g is learned; here it is given.

    Examples
    --------
    >>> import numpy as np, zerohero as zh
    >>> images = np.random.default_rng(0).random((4, 1, 12, 12))
    >>> def right(x):
    ...     return zh.limits.warped(x, shift=(1, 0))
    >>> kernel = np.random.default_rng(1).normal(size=(2, 1, 3, 3))
    >>> equivariance_error(lambda x: zh.conv2d(x, kernel), images, right, border=1).error < 1e-12
    True
    >>> equivariance_error(lambda x: zh.max_pool2d(x, 2), images, right, border=1).error > 0.1
    True
    """
    then = transform if output_transform is None else output_transform
    return _deviation("equivariance_error", model, images, transform, then, layer, border)


def _deviation(
    where: str, model: Any, images: Any, transform: Function, then: Function, layer: str | None, border: Any
) -> Deviation:
    border = integer(border, where, "border", least=0)
    for name, function in (("transform", transform), ("output_transform", then)):
        if not callable(function):
            raise TypeError(f"{where}: {name} needs to be a function of images, but got {shown(function)}")
    array = as_images(images, where, batch=True)
    outputs = _outputs(model, array, layer, where)
    # Both transforms get arrays of their own: one that writes into its input spoils nothing.
    moved = as_images(transform(array.copy()), where, "transform(images)", batch=True)
    seen = _within(_outputs(model, moved, layer, where), border)
    wanted = _within(np.asarray(then(outputs.copy())), border)
    if seen.shape != wanted.shape:
        raise ValueError(
            f"{where}: the output of transformed images has shape {seen.shape}, the transformed output "
            f"{wanted.shape}; give an output_transform that fits"
        )
    size = np.linalg.norm(wanted)
    if not size > 0:
        raise ValueError(f"{where}: the outputs are empty or all 0 within the border of {border}: nothing to compare")
    others = np.linalg.norm(seen - np.roll(wanted, 1, axis=0)) / size if len(wanted) > 1 else np.nan
    return Deviation(float(np.linalg.norm(seen - wanted) / size), float(others))


def _within(outputs: np.ndarray, border: int) -> np.ndarray:
    """Outputs (N, C, H, W) without a border, in float64 so that sums don't round; others as they are."""
    if outputs.ndim == 4 and border:
        outputs = outputs[:, :, border:-border, border:-border]
    elif border:
        raise ValueError(f"border: outputs of shape {outputs.shape} have no rows and columns; border needs to be 0")
    return outputs.astype(np.float64)


def _outputs(model: Any, images: np.ndarray, layer: str | None, where: str) -> np.ndarray:
    if isinstance(model, Module):
        return layer_output(model, images, layer)
    if layer is not None or not callable(model):
        raise TypeError(f"{where}: model needs to be a Module (a function has no layers), but got {shown(model)}")
    found = model(images.copy())
    outputs = np.asarray(found.data if isinstance(found, Tensor) else found)
    if outputs.ndim < 1 or len(outputs) != len(images):
        raise ValueError(f"{where}: model needs to give an output for each image, but gave shape {outputs.shape}")
    return outputs


# ---- one layer of a model ---------------------------------------------------------------------------------


def layer_output(model: Module, images: Any, layer: str | None = None, *, batch_size: int = 256) -> np.ndarray:
    """What one layer of a model gives for images, in evaluation mode and without a tape.

    Parameters
    ----------
    model : Module
    images : array (N, C, H, W)
    layer : str, optional
        A name out of the table `model.summary(shape)`, or a module's dotted name: "conv1", "layer1.0.conv1". What
        runs more than once is counted: "max_pool2d" is the first, "max_pool2d#2" the second. By default what the
        model itself returns.
    batch_size : int

    Returns
    -------
    ndarray (N, ...)

    Raises
    ------
    ValueError
        If there is no such layer; the message lists those there are.

    Examples
    --------
    >>> import numpy as np, zerohero as zh
    >>> lenet, images = zh.weights.load("lenet5_digits"), np.zeros((2, 1, 28, 28), np.float32)
    >>> layer_output(lenet, images, "conv2").shape, layer_output(lenet, images, "max_pool2d#2").shape
    ((2, 16, 10, 10), (2, 16, 5, 5))
    """
    if not isinstance(model, Module):
        raise TypeError(f"layer_output: model needs to be a Module, but got {shown(model)}")
    array = as_images(images, "layer_output", batch=True)
    batch_size = integer(batch_size, "layer_output", "batch_size", least=1)
    device = "cupy" if any(engine_of(p.data) == "cupy" for p in model.parameters()) else "numpy"
    pieces = []
    with evaluating(model), no_grad():
        for start in range(0, len(array), batch_size):
            batch = Tensor(move(array[start : start + batch_size], device))
            pieces.append(move(_output(model, batch, layer).data, "numpy"))
    return np.concatenate(pieces)


def _output(model: Module, batch: Tensor, layer: str | None) -> Tensor:
    return model(batch) if layer is None else layer_outputs(model, batch, [layer], "layer_output")[1][layer]
