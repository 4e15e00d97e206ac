"""The architectures by name; one file each."""

from __future__ import annotations

import importlib
from typing import Any

from zerohero.nn.module import Module

# name -> (module of this package, function in it)
_BUILDERS: dict[str, tuple[str, str]] = {
    "lenet5": ("lenet", "lenet5"),
    "capsnet": ("capsnet", "capsnet"),
    "capsnet_baseline": ("capsnet", "capsnet_baseline"),
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
    if name not in _BUILDERS:
        raise ValueError(f"create: name needs one of {', '.join(_BUILDERS)}, but got {name!r}")
    module, function = _BUILDERS[name]
    build = getattr(importlib.import_module(f"zerohero.models.{module}"), function)
    try:
        return build(**options)
    except TypeError as error:
        if "unexpected keyword argument" in str(error):
            raise TypeError(
                f"create: {str(error).replace(f'{function}() got', f'{name} takes no such option: got')}"
            ) from None
        raise
