"""The architectures by name; one file each."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any

from zerohero.arguments import one_of
from zerohero.nn.module import Module

# name -> (module of this package, function in it, its positional arguments)
_BUILDERS: dict[str, tuple[Any, ...]] = {
    "lenet5": ("lenet", "lenet5"),
    "alexnet": ("alexnet", "alexnet"),
    "alexnet_torchvision": ("alexnet", "alexnet_torchvision"),
    "vgg11": ("vgg", "vgg", "A"),
    "vgg11_lrn": ("vgg", "vgg", "A-LRN"),
    "vgg13": ("vgg", "vgg", "B"),
    "vgg16_c": ("vgg", "vgg", "C"),
    "vgg16": ("vgg", "vgg", "D"),
    "vgg19": ("vgg", "vgg", "E"),
    "googlenet": ("googlenet", "googlenet"),
    "googlenet_bn": ("googlenet", "googlenet_bn"),
    **{f"resnet{depth}": ("resnet", "resnet", depth) for depth in (18, 34, 50, 101, 152)},
    **{f"resnet{depth}": ("resnet_cifar", "resnet_cifar", depth) for depth in (20, 32, 44, 56)},
    **{f"densenet{depth}": ("densenet", "densenet", depth) for depth in (121, 169, 201, 264)},
    "squeezenet1_1": ("squeezenet", "squeezenet1_1"),
    "capsnet": ("capsnet", "capsnet"),
    "capsnet_baseline": ("capsnet", "capsnet_baseline"),
    "matrix_capsnet": ("matrix_capsnet", "matrix_capsnet"),
}


def names() -> list[str]:
    """The names that `create` takes.

    Examples
    --------
    >>> "lenet5" in names()
    True
    """
    return list(_BUILDERS)


def create(name: str, **options: Any) -> Module:
    """Build a model, freshly initialised from the library's random numbers (see `zerohero.seed`).

    Parameters
    ----------
    name : str
        One of `names()`.
    **options
        What the model's own function takes, for example `num_classes`.

    Returns
    -------
    Module

    Raises
    ------
    ValueError
        If there is no model of that name.
    TypeError
        If the model doesn't take an option.

    Examples
    --------
    >>> create("lenet5").num_parameters()
    61706
    """
    build, takes = _builder(name), options_of(name)
    for option in options:
        if option not in takes:
            raise TypeError(f"create: {name!r} has no option {option!r}; it has {', '.join(takes)}")
    return build(**options)


def options_of(name: str) -> dict[str, Any]:
    """The options that `create` takes for a model, and their defaults.

    Examples
    --------
    >>> options_of("lenet5")
    {'num_classes': 10, 'in_channels': 1, 'image_size': 28, 'variant': 'modern'}
    """
    return {option: p.default for option, p in inspect.signature(_builder(name)).parameters.items()}


def _builder(name: str) -> Callable[..., Module]:
    module, function, *first = _BUILDERS[one_of(name, "create", "name", list(_BUILDERS))]
    return functools.partial(getattr(importlib.import_module(f"zerohero.models.{module}"), function), *first)
