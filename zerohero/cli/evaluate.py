"""`zerohero evaluate`: how good trained weights are on a data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    weights: Annotated[
        str, typer.Argument(metavar="WEIGHTS", help="A file that zerohero train wrote, or a name of shipped weights.")
    ],
    data: Annotated[str, typer.Option(help="Name of the data set.")],
    split: Annotated[str, typer.Option(help="train, test, or what else the data set has.")] = "test",
    backend: Annotated[str, typer.Option(help="Kernels to compute with: numpy or numba.")] = "numpy",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure trained weights on a data set.

    A weights file says which model it holds and with which options.

    \b
    zerohero evaluate lenet5_digits --data digits
    zerohero evaluate lenet5.safetensors --data mnist --split train --json
    """
    from zerohero import recipes, training
    from zerohero import weights as shipped
    from zerohero.operation import use_backend

    use_backend(backend)
    model, text = shipped.read(_file(weights))
    dataset = recipes.find(text["model"], data).load(split)
    found = training.evaluate(model, dataset)
    right = int((found.predictions == dataset.labels).sum())
    if as_json:
        result = {"weights": weights, "model": text["model"], "data": data, "split": split, "examples": len(dataset),
                  "right": right, "accuracy": found.accuracy, "loss": found.loss, "note": dataset.note}  # fmt: skip
        print(json.dumps(result, indent=2, ensure_ascii=False))
        return
    print(f"{weights} ({text['model']}) on the {split} split of {data}:")
    print(f"  {right:,} of {len(dataset):,} right, {found.accuracy:.2%}; loss {found.loss:.4f}")
    if dataset.note:
        print(f"  note: {dataset.note}")


def _file(weights: str) -> Path:
    """The file that a name of shipped weights, or a path, stands for."""
    from zerohero import models
    from zerohero import weights as shipped

    if weights in shipped.names():
        return shipped.FOLDER / f"{weights}.safetensors"
    if weights in models.names() and not Path(weights).exists():
        raise ValueError(
            f"evaluate: {weights!r} is a model without weights; name a file that `zerohero train {weights} … --out` "
            f"wrote, or one of {', '.join(shipped.names())}"
        )
    if not Path(weights).is_file():
        raise FileNotFoundError(
            f"evaluate: there is no file {weights!r}, and the weights that ship are {', '.join(shipped.names())}"
        )
    return Path(weights)
