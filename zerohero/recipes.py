"""How each model is trained on each data set, as data, and the training that follows such a recipe to saved weights.

The loop itself is `training.fit`; the recipes are those of the lectures and of `zerohero train`.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zerohero import datasets, diagnosis, models, random
from zerohero.arguments import integer, one_of
from zerohero.checkpoints import save_weights
from zerohero.datasets import Dataset
from zerohero.nn.module import Module
from zerohero.operation import engine_of
from zerohero.optim import Adam
from zerohero.training import Augmentation, Evaluation, History, evaluate, fit


@dataclass(frozen=True)
class Recipe:
    """How one model is trained on one data set.

    Attributes
    ----------
    model, data : str
        Names, as `models.create` and `datasets.load` take them.
    options : mapping
        Options of the model beyond what the images decide (channels, size, classes).
    size : int, optional
        The side to which images are resized.
    epochs, batch_size : int
    lr : float
        Adam's learning rate; the highest, if there is a schedule.
    schedule : str, optional
        As `training.fit` takes it.
    shift : int
        Each training image is moved by up to so many pixels, each epoch anew.
    flip : bool
        Whether training images are mirrored by chance.

    Examples
    --------
    >>> recipe = find("lenet5", "digits")
    >>> recipe.epochs, recipe.lr
    (15, 0.003)
    >>> train = recipe.load("train")
    >>> recipe.create(train).num_parameters()
    61706
    """

    model: str
    data: str
    options: Mapping[str, Any] = field(default_factory=dict)
    size: int | None = None
    epochs: int = 10
    batch_size: int = 32
    lr: float = 1e-3
    schedule: str | None = "one-cycle"
    shift: int = 0
    flip: bool = False

    def load(self, split: str = "train") -> Dataset:
        """A split of the data set, in the size that the model is trained for."""
        return datasets.load(self.data, split, size=self.size)

    def options_for(self, dataset: Dataset) -> dict[str, Any]:
        """The model's options for the images and classes of a data set."""
        channels, height = dataset.images.shape[1:3]
        decided = dict(num_classes=len(dataset.class_names), in_channels=channels, image_size=height)
        takes = models.options_of(self.model)
        return {name: value for name, value in decided.items() if name in takes} | dict(self.options)

    def create(self, dataset: Dataset) -> Module:
        """The model for a data set, freshly initialised (see `zerohero.seed`)."""
        return models.create(self.model, **self.options_for(dataset))

    def fit(self, model: Module, train: Dataset, **settings: Any) -> History:
        """Train a model by this recipe; `settings` are further ones of `training.fit`, such as seed and validation."""
        return fit(
            model, train, epochs=self.epochs, batch_size=self.batch_size, schedule=self.schedule,
            optimizer=Adam(model.parameters(), lr=self.lr),
            augment=Augmentation(shift=self.shift, flip=self.flip) if self.shift or self.flip else None, **settings,
        )  # fmt: skip

    def __str__(self) -> str:
        extras = [f"shifts of ±{self.shift} px" * bool(self.shift), "flips" * self.flip, self.schedule or ""]
        chosen = "".join(f", {extra}" for extra in extras if extra)
        return f"{self.epochs} epochs in batches of {self.batch_size}, Adam with learning rate {self.lr:g}{chosen}"


# Images too small for networks made for MNIST are resized to its 28×28.
SIZES = {"digits": 28}
RECIPES = {
    (recipe.model, recipe.data): recipe
    for recipe in (
        Recipe("lenet5", "digits", size=28, epochs=15, batch_size=32, lr=3e-3, shift=2),
        Recipe("lenet5", "mnist", epochs=3, batch_size=32, lr=3e-3, shift=1),
        Recipe("lenet5", "fashion_mnist", epochs=10, batch_size=32, lr=3e-3, shift=1),
        Recipe("capsnet", "mnist", {"preset": "fast"}, epochs=8, batch_size=128, lr=5e-3, shift=2),
        Recipe("resnet20", "cifar10", epochs=30, batch_size=128, lr=5e-3, shift=4, flip=True),
        # The baseline with as many parameters as the CapsNet above, 1,281,098 against 1,280,880.
        Recipe("capsnet_baseline", "mnist", {"channels": (16, 16, 12), "hidden": (132, 192)}, epochs=8, batch_size=128,
               lr=5e-3, shift=2),
        Recipe("capsnet", "fashion_mnist", {"preset": "fast"}, epochs=20, batch_size=128, lr=5e-3, shift=1, flip=True),
    )
}


def find(model: str, data: str) -> Recipe:
    """The recipe for a model and a data set; plain settings if none was worked out.

    Parameters
    ----------
    model, data : str

    Returns
    -------
    Recipe

    Raises
    ------
    ValueError
        If there is no such model or data set.

    Examples
    --------
    >>> print(find("lenet5", "digits"))
    15 epochs in batches of 32, Adam with learning rate 0.003, shifts of ±2 px, one-cycle
    """
    one_of(model, "recipes.find", "model", models.names())
    one_of(data, "recipes.find", "data", datasets.names())
    return RECIPES.get((model, data)) or Recipe(model, data, size=SIZES.get(data))


@dataclass(frozen=True)
class Trained:
    """What came of a recipe.

    Attributes
    ----------
    recipe : Recipe
    seed : int
    model : Module
    options : dict
        What the model was created with.
    history : History
    train : Dataset
        What it was trained on; its pixels are not kept in the card.
    held_out : int
        How many images of the training split were kept for validation.
    test : Evaluation, optional
        On the test split, with the weights in the type in which they are saved; None if there is no such split here.
    test_note : str
        What a reader must know about the test split, such as why there is none.
    dtype : str
        The type in which the weights are saved.
    """

    recipe: Recipe
    seed: int
    model: Module = field(repr=False)
    options: dict[str, Any]
    history: History
    train: Dataset = field(repr=False)
    held_out: int
    test: Evaluation | None
    test_note: str
    dtype: str

    def card(self, command: str = "") -> dict[str, Any]:
        """How the weights were made, and how good they are, without a path of this machine."""
        return {
            "model": self.recipe.model,
            "options": self.options,
            "parameters": self.model.num_parameters(),
            "dtype": self.dtype,
            "command": command,
            "seed": self.seed,
            "recipe": asdict(self.recipe),
            "data": {
                "name": self.recipe.data, "examples": len(self.train), "held_out": self.held_out,
                "note": self.train.note,
            },
            "test": self._tested(),
            "test_note": self.test_note if self.test else "there was no test split to measure it on",
            "seconds": round(sum(self.history.column("seconds")), 1),
            "history": [{name: _short(value) for name, value in row.items()} for row in self.history.epochs],
            "backend": engine_of(self.model.parameters()[0].data),
            "versions": diagnosis.versions(),
            "machine": diagnosis.machine() | self._gpu(),
            "date": datetime.date.today().isoformat(),
        }  # fmt: skip

    def _gpu(self) -> dict[str, str]:
        on_gpu = engine_of(self.model.parameters()[0].data) == "cupy"
        tf32 = ", TF32" * (os.environ.get("CUPY_TF32") == "1")
        return {"gpu": diagnosis.doctor().gpu + tf32} if on_gpu else {}

    def _tested(self) -> dict[str, Any] | None:
        if self.test is None:
            return None
        count, accuracy = len(self.test.predictions), self.test.accuracy
        right = round(accuracy * count)
        return {"examples": count, "right": right, "accuracy": _short(accuracy), "loss": _short(self.test.loss)}

    def save(self, path: str | os.PathLike, command: str = "") -> tuple[Path, Path]:
        """Write the weights to `path`, which ends in .safetensors, and the card beside it, in .json.

        Returns
        -------
        weights, card : Path
        """
        card = self.card(command)
        text = {"model": self.recipe.model, "options": json.dumps(self.options), "data": self.recipe.data}
        weights = save_weights(self.model, path, dtype=self.dtype, metadata=text)
        beside = weights.with_suffix(".json")
        beside.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return weights, beside


def _short(value: float) -> float:
    """Six digits of a float; an int as it is."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def train(
    recipe: Recipe, *, seed: int = 0, limit: int | None = None, validation: float = 0.0, dtype: str = "float32",
    device: str = "numpy", **settings: Any,
) -> Trained:  # fmt: skip
    """Follow a recipe: load the data, train a new model, and measure it on the test split.

    Parameters
    ----------
    recipe : Recipe
        As `find` gives it; `dataclasses.replace` changes it.
    seed : int
        Decides the initial weights, the order of examples, augmentation and dropout.
    limit : int, optional
        Train on so many images at most, the same share of each class.
    validation : float
        The share of the training images that is held out and evaluated after each epoch.
    dtype : "float32" or "float16"
        The type in which the weights will be saved; what is measured are the weights rounded to it.
    device : "numpy" or "cupy"
        Where to train: on the CPU or on a GPU.
    **settings
        Further settings of `training.fit`: checkpoint, resume, progress, patience.

    Returns
    -------
    Trained

    Examples
    --------
    >>> from dataclasses import replace
    >>> short = replace(find("lenet5", "digits"), epochs=1)
    >>> trained = train(short, limit=40, progress=False)
    >>> trained.test.predictions.shape
    (449,)
    """
    one_of(dtype, "train", "dtype", ("float32", "float16"))
    seed = integer(seed, "train", "seed", least=0)
    examples, held_out = _examples(recipe, limit, validation)
    test, note = _test_split(recipe)
    random.seed(seed)
    model = recipe.create(examples).to(device)
    history = recipe.fit(model, examples, validation=held_out, seed=seed, **settings)
    model.load_state_dict({name: np.asarray(value, dtype) for name, value in model.state_dict().items()})
    measured = None if test is None else evaluate(model, test)
    return Trained(
        recipe=recipe, seed=seed, model=model, options=recipe.options_for(examples), history=history, train=examples,
        held_out=0 if held_out is None else len(held_out), test=measured, test_note=note, dtype=dtype,
    )  # fmt: skip


def _examples(recipe: Recipe, limit: int | None, validation: float) -> tuple[Dataset, Dataset | None]:
    """The images to train on and those held out."""
    examples, held_out = recipe.load("train"), None
    if validation:
        held_out, examples = examples.split(validation, seed=0)
    if limit is not None and integer(limit, "train", "limit", least=1) < len(examples):
        examples = examples.split(limit / len(examples), seed=0)[0]
    return examples, held_out


def _test_split(recipe: Recipe) -> tuple[Dataset | None, str]:
    """The test split and its note, or None and why; before the training, so that a download's failure isn't its end."""
    try:
        dataset = recipe.load("test")
    except (FileNotFoundError, ConnectionError, PermissionError) as error:
        return None, str(error)
    return dataset, dataset.note
