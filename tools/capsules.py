"""Keep a few class capsules beside the weights of a shipped CapsNet, so that its decoder has something to draw.

    python tools/capsules.py capsnet_mnist

The images are those on which the weights' card measures the accuracy: the test split, or what was held out of the
training split where there is no test split.
"""

import sys
from typing import Any

import numpy as np

from zerohero import recipes, weights
from zerohero.checkpoints import write_arrays
from zerohero.datasets import Dataset

RIGHT, WRONG = 2, 12  # examples: of every class, and in all


def measured_on(card: dict) -> Dataset:
    """The images on which the card's accuracy was measured."""
    recipe = recipes.find(card["model"], card["data"]["name"])
    if card["test"]:
        return recipe.load("test")
    train = recipe.load("train")
    held_out = card["data"]["held_out"]
    return train.split(held_out / len(train), seed=0)[0]


def chosen(lengths: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The first images of every class that were read right, then the first mistakes."""
    right = lengths.argmax(1) == labels
    of_classes = [np.flatnonzero(right & (labels == each))[:RIGHT] for each in range(lengths.shape[1])]
    return np.concatenate([*of_classes, np.flatnonzero(~right)[:WRONG]])


def keep(name: str) -> None:
    model: Any = weights.load(name)
    card = weights.card(name)
    dataset = measured_on(card)
    v = np.concatenate([model.capsules(dataset.images[i : i + 500]) for i in range(0, len(dataset), 500)])
    indices = chosen(np.sqrt((v * v).sum(2)), dataset.labels)
    arrays = dict(v=v[indices].astype(np.float32), labels=dataset.labels[indices], indices=indices)
    path = write_arrays(
        weights.CAPSULES / f"{name}.safetensors", arrays, {"weights": name, "data": card["data"]["name"]}
    )
    mistakes = len(indices) - RIGHT * v.shape[1]
    print(f"{path.name}: {len(indices)} capsules, {mistakes} of them mistakes, from {len(dataset)} images")


if __name__ == "__main__":
    for each in sys.argv[1:]:
        keep(each)
