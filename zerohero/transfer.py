"""Carrying a trained network to another task: freezing layers, learning rates by depth, kept features, another head.

None of this trains: `training.fit` does, with an optimizer over the groups that are made here. What "frozen" means for
batch normalization, dropout and weight decay is said at `freeze`.
"""

from __future__ import annotations

import fnmatch
import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zerohero.arguments import integer, number, shown
from zerohero.checkpoints import read_arrays, weights_path, write_arrays
from zerohero.nn.inside import evaluating, layer_outputs
from zerohero.nn.layers import BatchNorm2d, Conv2d, Linear
from zerohero.nn.module import Module
from zerohero.operation import engine_of
from zerohero.tensor import Tensor, move, no_grad

# ---- layers, counted from the images --------------------------------------------------------------------


def layers(model: Module) -> dict[str, list[str]]:
    """The layers with weights, the first one first, and the names of the parameters that belong to each.

    As the literature counts: a convolution or a fully connected layer is one. Batch normalization is none of its own;
    it belongs to the layer that is set before it in the model (the first one, if none is).

    Parameters
    ----------
    model : Module

    Returns
    -------
    dict from str to list of str
        In the order in which the model's attributes were set, which for the models of this library is the way that
        images take.

    Examples
    --------
    >>> from zerohero import models
    >>> list(layers(models.create("lenet5")))
    ['conv1', 'conv2', 'fc1', 'fc2', 'fc3']
    >>> len(layers(models.create("resnet20")))
    20
    >>> layers(models.create("resnet20"))["conv1"]
    ['conv1.weight', 'bn1.weight', 'bn1.bias']
    """
    found: dict[str, list[str]] = {}
    waiting: list[str] = []  # normalization before any layer
    norms = {name for name, module in _module(model, "layers").named_modules() if isinstance(module, BatchNorm2d)}
    for name, _ in model.named_parameters():
        owner = name.rpartition(".")[0]
        if owner not in norms:
            found.setdefault(owner, waiting).append(name)
            waiting = []
        elif found:
            next(reversed(found.values())).append(name)
        else:
            waiting.append(name)
    return found


# ---- freezing -------------------------------------------------------------------------------------------


def freeze(model: Module, patterns: str | Iterable[str] | None = None, *, first: int | None = None) -> list[str]:
    """Keep parameters as they are while the others learn: all, those named, or those of the first layers.

    A frozen parameter takes no gradient, and no optimizer changes it: neither weight decay nor momentum from before
    moves it. Batch normalization whose scale and shift are both frozen is frozen as a whole: in training, too, it
    normalizes with its running mean and variance, and these don't move. (In PyTorch and in papers this is a second
    step, which is easily forgotten.) Dropout in frozen layers still drops while training.

    Parameters
    ----------
    model : Module
    patterns : str or list of str, optional
        Names of parameters ("conv1.weight"), of modules, which stand for all that is in them ("layer1"), or patterns
        in which * stands for anything, dots too, and ? for one character ("layer1.*.conv?.weight").
    first : int, optional
        Instead of patterns: so many layers, as `layers(model)` counts them, beginning at the images. 0 freezes none.

    Returns
    -------
    list of str
        The names of the parameters that were frozen by this call. What was frozen before stays so.

    Raises
    ------
    ValueError
        If a pattern fits no parameter, both or more layers are asked for than there are; the message lists what fits.

    References
    ----------
    Yosinski, Clune, Bengio & Lipson 2014, "How transferable are features in deep neural networks?", arXiv:1411.1792.

    Examples
    --------
    >>> from zerohero import models
    >>> model = models.create("lenet5")
    >>> freeze(model, first=2)
    ['conv1.weight', 'conv1.bias', 'conv2.weight', 'conv2.bias']
    >>> [name for name, parameter in model.named_parameters() if parameter.requires_grad][0]
    'fc1.weight'
    """
    return _set(model, patterns, first, "freeze", wanted=False)


def unfreeze(model: Module, patterns: str | Iterable[str] | None = None, *, first: int | None = None) -> list[str]:
    """Let parameters learn again: all, those named, or those of the first layers. The reverse of `freeze`.

    Parameters
    ----------
    model : Module
    patterns, first
        As for `freeze`.

    Returns
    -------
    list of str
        The names of the parameters that this call was about.

    Examples
    --------
    >>> from zerohero import models
    >>> model = models.create("lenet5")
    >>> _ = freeze(model)
    >>> unfreeze(model, "fc3")
    ['fc3.weight', 'fc3.bias']
    """
    return _set(model, patterns, first, "unfreeze", wanted=True)


def _set(model: Module, patterns: Any, first: Any, where: str, *, wanted: bool) -> list[str]:
    """Say of the chosen parameters whether they learn, and of the normalizations they belong to."""
    parameters = dict(_module(model, where).named_parameters())
    names = _chosen(model, list(parameters), patterns, first, where)
    for name in names:
        parameters[name].requires_grad, parameters[name].grad = wanted, None
    touched = {id(parameters[name]) for name in names}
    for _, module in model.named_modules():
        if isinstance(module, BatchNorm2d) and touched & {id(module.weight), id(module.bias)}:
            module.frozen = not (module.weight.requires_grad or module.bias.requires_grad)
    return names


def _chosen(model: Module, names: list[str], patterns: Any, first: Any, where: str) -> list[str]:
    if patterns is not None and first is not None:
        raise ValueError(f"{where}: needs patterns or first, but got both: {shown(patterns)} and {shown(first)}")
    if first is not None:
        by_layer = layers(model)
        count = integer(first, where, "first", least=0)
        if count > len(by_layer):
            raise ValueError(f"{where}: first needs to be at most {len(by_layer)}, the model's layers, but got {count}")
        chosen = {name for each in list(by_layer.values())[:count] for name in each}
    elif patterns is None:
        return names
    else:
        chosen = {name for pattern in _strings(patterns, where) for name in _fitting(pattern, names, where)}
    return [name for name in names if name in chosen]


def _strings(patterns: Any, where: str) -> list[str]:
    several = [patterns] if isinstance(patterns, str) else patterns
    several = list(several) if isinstance(several, Iterable) else [several]
    for each in several:
        if not isinstance(each, str):
            raise TypeError(f"{where}: patterns needs names such as 'conv1' or 'layer1.*', but got {shown(each)}")
    if not several:
        raise ValueError(f"{where}: patterns needs at least one name, but got none; for no layer at all take first=0")
    return several


def _fitting(pattern: str, names: list[str], where: str) -> list[str]:
    """The names that a pattern fits, or that lie in a module which it fits."""
    found = [name for name in names if any(fnmatch.fnmatchcase(name, each) for each in (pattern, f"{pattern}.*"))]
    if not found:
        more = f" and {len(names) - 12} more" if len(names) > 12 else ""
        raise ValueError(f"{where}: {shown(pattern)} fits no parameter; there are {', '.join(names[:12])}{more}")
    return found


# ---- learning rates -------------------------------------------------------------------------------------


def groups(model: Module, rates: Mapping[str, float]) -> list[dict[str, Any]]:
    """Parameters in groups, each with a learning rate of its own, as optimizers take them.

    Parameters
    ----------
    model : Module
    rates : mapping from str to float
        Patterns as for `freeze`, and the learning rate of what they fit. Every parameter that learns needs exactly
        one; a frozen one may have one, for when it is unfrozen.

    Returns
    -------
    list of dict
        {"params": list of Parameters, "lr": float} for each pattern, in their order. `optim.SGD(groups(…))`.

    Raises
    ------
    ValueError
        If a parameter has two rates, or one that learns has none; the message names it.

    Examples
    --------
    >>> from zerohero import models, optim
    >>> found = groups(models.create("lenet5"), {"conv*": 1e-4, "fc*": 1e-2})
    >>> [(len(group["params"]), group["lr"]) for group in found]
    [(4, 0.0001), (6, 0.01)]
    >>> optim.SGD(found, momentum=0.9).groups[1]["lr"]
    0.01
    """
    parameters = dict(_module(model, "groups").named_parameters())
    if not isinstance(rates, Mapping) or not rates:
        raise TypeError(f"groups: rates needs a dict such as {{'conv*': 1e-4, 'fc*': 1e-2}}, but got {shown(rates)}")
    taken: dict[str, str] = {}
    found = []
    for pattern, rate in rates.items():
        rate = number(rate, "groups", f"the rate of {pattern!r}", low=0)
        names = _fitting(_strings(pattern, "groups")[0], list(parameters), "groups")
        for name in names:
            if name in taken:
                raise ValueError(f"groups: {name} is in two groups, {taken[name]!r} and {pattern!r}; it needs one rate")
            taken[name] = pattern
        found.append({"params": [parameters[name] for name in names], "lr": rate})
    left = [name for name, parameter in parameters.items() if parameter.requires_grad and name not in taken]
    if left:
        raise ValueError(f"groups: {left[0]} learns, but has no rate; give it one, or freeze it ({len(left)} such)")
    return found


def groups_by_depth(model: Module, lr: float, *, factor: float) -> list[dict[str, Any]]:
    """A group for each layer: the last one learns with lr, and each one nearer to the images `factor` times slower.

    Parameters
    ----------
    model : Module
    lr : float
        Learning rate of the last layer.
    factor : float in [0, 1]
        How much of its rate a layer hands on to the one before it: 1 gives all the same rate.

    Returns
    -------
    list of dict
        {"params": list of Parameters, "lr": float} for each of `layers(model)`, the first layer first.

    References
    ----------
    Howard & Ruder 2018, "Universal language model fine-tuning for text classification", arXiv:1801.06146, section
    3.2, with factor 1 / 2.6.

    Examples
    --------
    >>> from zerohero import models
    >>> [group["lr"] for group in groups_by_depth(models.create("lenet5"), 1.0, factor=0.5)]
    [0.0625, 0.125, 0.25, 0.5, 1.0]
    """
    lr = number(lr, "groups_by_depth", "lr", low=0)
    factor = number(factor, "groups_by_depth", "factor", low=0, high=1)
    by_layer = list(layers(model).values())
    parameters = dict(model.named_parameters())
    return [
        {"params": [parameters[name] for name in names], "lr": lr * factor ** (len(by_layer) - 1 - depth)}
        for depth, names in enumerate(by_layer)
    ]


# ---- features -------------------------------------------------------------------------------------------


def features(
    model: Module, images: Any, layer: str, *, batch_size: int = 256, cache: str | os.PathLike | None = None,
    progress: bool = True,
) -> np.ndarray:  # fmt: skip
    """What a layer says about images, in their order: computed once in evaluation mode, then learned from at leisure.

    Parameters
    ----------
    model : Module
        Stays as it is, its mode included.
    images : array (N, C, H, W), or a Dataset
        On the model's scale: normalised as the images that it was trained on.
    layer : str
        A name out of `model.summary(shape)`, such as "flatten" or "fc2"; the model runs only so far.
    batch_size : int
        Does not change the result beyond rounding.
    cache : path ending in .safetensors, optional
        If the features of these images, weights and layer are there already, they are read; else they are computed
        and written there. Another model, other images or another layer never get the wrong ones: a cache of
        something else is computed anew.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    array (N, ...)
        On the CPU. Row i belongs to image i, so that the images' labels are the features' labels.

    Raises
    ------
    ValueError
        If there is no such layer (the message lists those there are), or `cache` names a file that is no cache.

    References
    ----------
    Donahue et al. 2013, "DeCAF", arXiv:1310.1531; Razavian et al. 2014, "CNN features off-the-shelf", arXiv:1403.6382.

    Examples
    --------
    >>> from zerohero import datasets, weights
    >>> digits = datasets.load("digits", "test", size=28)
    >>> features(weights.load("lenet5_digits"), digits, "relu", progress=False).shape
    (449, 6, 28, 28)
    """
    _module(model, "features")
    array = _images(images)
    batch_size = integer(batch_size, "features", "batch_size", least=1)
    if cache is None:
        return _compute(model, array, layer, batch_size, progress)
    path = weights_path(cache)
    facts = {"layer": str(layer), "images": _checksum([array]), "weights": _checksum(model.state_dict().values())}
    kept = _kept(path, facts)
    if kept is None:
        kept = _compute(model, array, layer, batch_size, progress)
        write_arrays(path, {"features": kept}, facts)
    return kept


def _compute(model: Module, images: np.ndarray, layer: str, batch_size: int, progress: bool) -> np.ndarray:
    from tqdm.auto import tqdm

    device = "cupy" if any(engine_of(parameter.data) == "cupy" for parameter in model.parameters()) else "numpy"
    pieces = []
    starts = range(0, len(images), batch_size)
    with evaluating(model), no_grad():
        for start in tqdm(starts, disable=not progress, unit="batch", desc="features"):
            batch = move(images[start : start + batch_size], device)
            piece = move(layer_outputs(model, Tensor(batch), [layer], "features")[1][layer].data, "numpy")
            if piece.shape[:1] != batch.shape[:1]:
                raise ValueError(
                    f"features: {layer!r} gives {piece.shape} for {len(batch)} images: no row for each of them"
                )
            pieces.append(piece)
    return np.concatenate(pieces)


def _images(given: Any) -> np.ndarray:
    array = given.images if hasattr(given, "images") else given
    array = np.asarray(move(array.data if isinstance(array, Tensor) else array, "numpy"))
    if array.ndim != 4 or not len(array):
        raise ValueError(f"features: images needs shape (N, C, H, W) with N at least 1, but has {array.shape}")
    array = array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)
    if not np.isfinite(array).all():
        first = int(np.flatnonzero(~np.isfinite(array).all(axis=(1, 2, 3)))[0])
        raise ValueError(f"features: images holds NaN or infinity, first in image {first}")
    return array


def _kept(path: Path, facts: dict[str, str]) -> np.ndarray | None:
    """The features in a file, if they are those; None if there is no file, or a cache of something else."""
    if not path.exists():
        return None
    arrays, text = read_arrays(path)
    if set(arrays) != {"features"} or set(text) != set(facts):
        raise ValueError(f"features: cache {str(path)!r} is a file of another kind; name another path")
    return arrays["features"] if text == facts else None


def _checksum(arrays: Iterable[Any]) -> str:
    total, shapes = 0, []
    for array in arrays:
        array = np.ascontiguousarray(move(array, "numpy"))
        total = zlib.crc32(array.tobytes(), total)
        shapes.append((array.shape, str(array.dtype)))
    return f"{total:08x} {zlib.crc32(repr(shapes).encode()):08x}"


# ---- another head ---------------------------------------------------------------------------------------


def replace_head(model: Module, num_classes: int, *, layer: str | None = None) -> Module:
    """Put a new last layer, not yet trained, in the place of the old one: for other classes, and as many as needed.

    Parameters
    ----------
    model : Module
        Changed in place. An optimizer made before still holds the old head: make it afterwards.
    num_classes : int
    layer : str, optional
        The name of the layer to replace, a Linear or a Conv2d; by default the last of `layers(model)`.

    Returns
    -------
    Module
        The same model. The new head learns, even if the old one was frozen; its values are drawn as in any new layer
        (`zerohero.seed`), and lie where the old ones lay.

    Raises
    ------
    ValueError
        If the layer is neither Linear nor Conv2d, or the model trains in a way of its own (a CapsNet, GoogLeNet), so
        that its last layer may be something else than its head: then `layer` needs to be named.

    Examples
    --------
    >>> from zerohero import weights
    >>> model = weights.load("resnet20_cifar10")
    >>> _ = freeze(model)
    >>> replace_head(model, 2).linear
    Linear(64 → 2)
    >>> model.linear.weight.requires_grad
    True
    """
    classes = integer(num_classes, "replace_head", "num_classes", least=1)
    names = list(layers(_module(model, "replace_head")))
    if layer is None:
        if hasattr(type(model), "training_step"):
            raise ValueError(
                f"replace_head: a {type(model).__name__} trains in its own way, so its last layer may not be its "
                f"head; layer needs one of {', '.join(names)}"
            )
        layer = names[-1] if names else ""
    modules = dict(model.named_modules())
    old = modules.get(layer) if isinstance(layer, str) and layer else None
    if not isinstance(old, (Linear, Conv2d)) or (isinstance(old, Conv2d) and old.groups > 1):
        fit = [name for name in names if isinstance(modules.get(name), (Linear, Conv2d))]
        raise ValueError(
            f"replace_head: layer needs a Linear or a Conv2d without groups, one of {', '.join(fit) or 'none here'}, "
            f"but got {shown(layer)}"
        )
    _put(model, layer, _like(old, classes))
    return model


def _like(old: Linear | Conv2d, classes: int) -> Linear | Conv2d:
    """A new layer as the old one, with another number of outputs."""
    bias = old.bias is not None
    new: Linear | Conv2d
    if isinstance(old, Linear):
        new = Linear(old.weight.shape[1], classes, bias=bias)
    else:
        settings = dict(stride=old.stride, padding=old.padding, dilation=old.dilation, bias=bias)
        new = Conv2d(old.weight.shape[1], classes, old.weight.shape[2:], **settings)
    new.train(old.training)
    for parameter in new.parameters():
        parameter.data = parameter.data.astype(old.weight.dtype, copy=False)
    return new.to("cupy") if engine_of(old.weight.data) == "cupy" else new  # type: ignore[return-value]


def _put(model: Module, name: str, new: Module) -> None:
    """Set a module by its dotted name, also in lists and dicts."""
    *path, last = name.split(".")
    place: Any = model
    for part in path:
        place = _inside(place, part)
    if isinstance(place, dict):
        place[next(key for key in place if str(key) == last)] = new
    elif isinstance(place, list):
        place[int(last)] = new
    elif isinstance(place, tuple):
        raise ValueError(f"replace_head: {name!r} lies in a tuple, which can't be changed; keep the layers in a list")
    else:
        setattr(place, last, new)


def _inside(place: Any, part: str) -> Any:
    if isinstance(place, dict):
        return next(value for key, value in place.items() if str(key) == part)
    return place[int(part)] if isinstance(place, (list, tuple)) else getattr(place, part)


def _module(model: Any, where: str) -> Module:
    if not isinstance(model, Module):
        raise TypeError(f"{where}: model needs a Module, but got a {type(model).__name__}")
    return model
