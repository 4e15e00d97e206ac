"""Small trained weights that ship with the package, each with a card that says how it was made."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from zerohero import models
from zerohero.arguments import reason, shown
from zerohero.checkpoints import read_arrays
from zerohero.nn import init
from zerohero.nn.module import Module

FOLDER = Path(__file__).parent
CAPSULES = FOLDER / "capsules"
INITIALIZATIONS = 4  # how often a model may draw a parameter's initial values anew


def names() -> list[str]:
    """The names that `load` and `card` take.

    Examples
    --------
    >>> "lenet5_digits" in names()
    True
    """
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def load(name: str) -> Module:
    """A trained model, ready to use.

    Parameters
    ----------
    name : str
        One of `names()`.

    Returns
    -------
    Module
        In evaluation mode.

    Raises
    ------
    ValueError
        If no weights of that name ship with the package.

    Examples
    --------
    >>> load("lenet5_digits").num_parameters()
    61706
    """
    return read(_path(name, ".safetensors"))[0]


def read(path: str | os.PathLike) -> tuple[Module, dict[str, str]]:
    """The trained model in a file that says which model it holds, as `zerohero train` writes them.

    Parameters
    ----------
    path : path

    Returns
    -------
    model : Module
        In evaluation mode.
    text : dict of str
        What the file says: `model`, `options` (JSON), `data`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, doesn't say which model it holds, or its weights don't fit that model.

    Examples
    --------
    >>> model, text = read(FOLDER / "lenet5_digits.safetensors")
    >>> text["model"], text["data"]
    ('lenet5', 'digits')
    """
    arrays, text = read_arrays(path)
    if "facts" in text:
        raise ValueError(
            f"weights.read: {str(path)!r} is a checkpoint; the same training with epochs left to do, or done, "
            "gives the weights (zerohero train … --checkpoint … --out …)"
        )
    if "model" not in text:
        raise ValueError(
            f"weights.read: {str(path)!r} doesn't say which model it holds; create the model and use load_weights"
        )
    try:
        options = json.loads(text.get("options", "{}"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"weights.read: {str(path)!r} is damaged: its options are no JSON: {reason(error)}") from None
    try:
        model = _created(text["model"], options, sum(array.size for array in arrays.values()))
        model.load_state_dict(arrays)
    except (ValueError, TypeError, ArithmeticError, MemoryError) as error:
        raise ValueError(
            f"weights.read: {str(path)!r} holds no weights of the model it names: {reason(error, 600)}"
        ) from None
    return model.eval(), text


def _created(name: str, options: Any, numbers: int) -> Module:
    """The model that a file names, if it isn't larger than the numbers in the file."""
    if not isinstance(options, dict):
        raise ValueError(f"its options need to be a dict, but are {shown(options)}")
    if too_large := [value for value in _integers(options) if value > max(numbers, 1000)]:
        raise ValueError(f"its options say {shown(too_large[0])}, but the file has {numbers:,} numbers")
    with init.at_most(INITIALIZATIONS * numbers):
        return models.create(name, **options)


def _integers(value: Any) -> Iterator[int]:
    """Every number in options, however deep."""
    if isinstance(value, (list, dict)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _integers(each)
    elif isinstance(value, (int, float)):
        yield abs(int(value)) if math.isfinite(value) else sys.maxsize


def card(name: str) -> dict:
    """How the weights were made: command, seed, recipe, data, accuracy, time, versions, machine, date.

    Parameters
    ----------
    name : str
        One of `names()`.

    Returns
    -------
    dict
        As `recipes.Trained.card` makes it.

    Examples
    --------
    >>> card("lenet5_digits")["test"]["accuracy"] > 0.985
    True
    """
    return json.loads(_path(name, ".json").read_text(encoding="utf-8"))


def capsules(name: str) -> dict[str, np.ndarray]:
    """Class capsules that a shipped CapsNet found in images, for where the images aren't: to draw and to perturb.

    Parameters
    ----------
    name : str
        Weights of a CapsNet among `names()`.

    Returns
    -------
    dict of arrays
        v (n, J, Q), the class capsules; labels (n,), what the images show; indices (n,), the images' places in the
        split on which the card's accuracy was measured. First two examples of every class that the network read
        right, class by class, then mistakes: the longest capsule isn't the label's.

    Raises
    ------
    ValueError
        If no capsules ship with these weights.

    Examples
    --------
    >>> kept = capsules("capsnet_mnist")
    >>> kept["v"].shape[1:], kept["labels"][:6]
    ((10, 16), array([0, 0, 1, 1, 2, 2]))
    """
    path = CAPSULES / f"{name}.safetensors"
    if not path.is_file():
        some = ", ".join(sorted(each.stem for each in CAPSULES.glob("*.safetensors")))
        raise ValueError(f"weights.capsules: name needs one of {some}, but got {name!r}")
    return read_arrays(path)[0]


def _path(name: str, suffix: str) -> Path:
    if name not in names():
        raise ValueError(f"weights: name needs one of {', '.join(names())}, but got {name!r}")
    return FOLDER / f"{name}{suffix}"
