"""Small trained weights that ship with the package, each with a card that says how it was made."""

from __future__ import annotations

import json
from pathlib import Path

from zerohero import models
from zerohero.checkpoints import read_arrays
from zerohero.nn.module import Module

FOLDER = Path(__file__).parent


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
    arrays, text = read_arrays(_path(name, ".safetensors"))
    model = models.create(text["model"], **json.loads(text.get("options", "{}")))
    model.load_state_dict(arrays)
    return model.eval()


def card(name: str) -> dict:
    """How the weights were made: command, seed, data, accuracy, time, versions, machine, date.

    Parameters
    ----------
    name : str
        One of `names()`.
    """
    return json.loads(_path(name, ".json").read_text(encoding="utf-8"))


def _path(name: str, suffix: str) -> Path:
    if name not in names():
        raise ValueError(f"weights: name needs one of {', '.join(names())}, but got {name!r}")
    return FOLDER / f"{name}{suffix}"
