"""Who learns a new task best from much or little, similar or different data: a new network, or one trained before?

Two sources: the LeNet-5 that ships, trained on MNIST, and one trained here on six classes of CIFAR-10. Each is carried
to similar and to different pictures, much or little of them, with 0 to 4 of its five layers frozen, with only its lower
layers learning, and beside a new network. Strategies differ in nothing else: images, order and steps are the same, and
the rate is looked for in the same way, on validation images.
"""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from photographs import standardised
from rates import best_rate
from recording import Recording, arguments, history

import zerohero as zh
from zerohero import datasets, models, nn, optim, training, transfer, weights
from zerohero.datasets import Dataset

LEARNED_BEFORE = ("airplane", "automobile", "bird", "deer", "dog", "frog")
HELD_OUT = ("cat", "horse", "ship", "truck")
# The last thing that a LeNet-5 computes with its first k layers.
AFTER = {1: "max_pool2d", 2: "flatten", 3: "relu#3", 4: "relu#4"}
# What is carried where: source, target, whether they are similar, and how many images per class are little and much.
CASES = [
    ("mnist", "usps", True, {"little": 10, "much": 400}),
    ("mnist", "fashion_mnist", False, {"little": 10, "much": 400}),
    ("cifar", "held-out classes", True, {"little": 10, "much": 1000}),
    ("cifar", "faces", False, {"little": 10}),
    ("cifar", "fashion_mnist", False, {"little": 10, "much": 400}),
]
BATCH = {"little": 10, "much": 32}


def main() -> None:
    options = arguments(__doc__, seeds=3, little_steps=200, much_steps=400, source_epochs=6)
    zh.use_backend(options.backend)
    recording = Recording("transfer", __doc__.split("\n")[0], vars(options))
    sources = {"mnist": weights.load("lenet5_mnist"), "cifar": cifar_source(recording, options)}
    for amount in ("little", "much"):
        strategies = ("scratch", *range(5), "lower") if amount == "little" else ("scratch", *range(5))
        for source, target, similar, counts in CASES:
            if amount in counts:
                case = Case(sources[source], source, target, amount, counts[amount], options)
                for strategy in strategies:
                    case.record(recording, strategy, similar=similar)


def cifar_source(recording: Recording, options):
    """The LeNet-5 of six classes of CIFAR-10. Its checkpoint stays in `runs/`, so that a stopped run goes on."""
    zh.seed(0)
    model = models.create("lenet5", in_channels=3, image_size=32, num_classes=len(LEARNED_BEFORE))
    train, test = (as_the_source_saw(cifar_classes(LEARNED_BEFORE, split), colour=True) for split in ("train", "test"))

    def learn(source_for: str) -> dict:
        curves = training.fit(
            model, train, epochs=options.source_epochs, batch_size=64, seed=0, schedule="one-cycle",
            optimizer=optim.Adam(model.parameters(), lr=3e-3), progress=False,
            augment=training.Augmentation(shift=4, flip=True), checkpoint=recording.checkpoint(source=source_for),
        )  # fmt: skip
        accuracy = training.evaluate(model, test).accuracy
        return {"curves": history(curves), "accuracy": accuracy, "examples": len(test), "trained_on": len(train)}

    recording.measure(learn, source_for="cifar")
    learn("cifar")  # at once, from the checkpoint
    return model


class Case:
    """One target with little or much of it to learn from, and the network that is carried there."""

    def __init__(self, model, source: str, target: str, amount: str, images_per_class: int, options):
        self.model, self.count, self.batch_size = model, images_per_class, BATCH[amount]
        self.steps, self.seeds = vars(options)[f"{amount}_steps"], options.seeds
        self.names = {"source": source, "target": target, "amount": amount}
        self.pool, self.validation, self.test = pictures(target, colour=source == "cifar")

    def record(self, recording: Recording, strategy: str | int, **facts: Any) -> None:
        """Choose a rate with a draw of training images of its own, on validation images; then test with each seed."""

        def choose(choice: bool, rate: float, **names: Any) -> dict:
            return self.learn(strategy, 1000, rate, self.validation)

        def test(seed: int, **names: Any) -> dict:
            return facts | {"images_per_class": self.count, "rate": rate} | self.learn(strategy, seed, rate, self.test)

        names = self.names | {"strategy": strategy}
        rate = best_rate(lambda rate: recording.measure(choose, choice=True, rate=rate, **names)["right"], first=1)
        for seed in range(self.seeds):
            recording.measure(test, seed=seed, **names)

    def learn(self, strategy: str | int, seed: int, rate: float, shown: Dataset) -> dict:
        """Train by a strategy: "scratch", "lower", or a number of frozen layers; count what it then gets right."""
        train = self.pool.per_class(self.count, seed=seed)
        zh.seed(seed)
        model, layer = prepared(self.model, strategy, len(train.class_names))
        examples = [(part.images, part.labels) for part in (train, shown)]
        if layer is not None:  # what is frozen is computed once
            examples = [(transfer.features(model, part, layer, progress=False), labels) for part, labels in examples]
            model = rest(model, strategy)
        epochs = round(self.steps / math.ceil(len(train) / self.batch_size))
        curves = training.fit(
            model, examples[0], epochs=epochs, batch_size=self.batch_size, seed=seed, schedule="one-cycle",
            optimizer=optim.Adam(model.parameters(), lr=rate), progress=False,
        )  # fmt: skip
        right = int((training.evaluate(model, examples[1]).predictions == shown.labels).sum())
        return {"right": right, "examples": len(shown), "train_accuracy": round(curves.column("accuracy")[-1], 4)}


def prepared(source, strategy: str | int, classes: int):
    """A copy of the source as a strategy wants it, or a new network; and the layer after which it learns, if any."""
    channels = source.conv1.weight.shape[1]
    side = 28 if channels == 1 else 32
    model = models.create("lenet5", in_channels=channels, image_size=side, num_classes=source.fc3.weight.shape[0])
    if strategy != "scratch":
        model.load_state_dict(source.state_dict())
    transfer.replace_head(model, classes)
    if strategy == "lower":
        transfer.freeze(model, ["fc1", "fc2"])
    elif strategy != "scratch":
        transfer.freeze(model, first=strategy)
    return model, AFTER.get(strategy)


def rest(model, frozen: int) -> nn.Sequential:
    """What a LeNet-5 does after its first frozen layers, with its own weights."""
    parts = [
        [model.conv2, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()], [model.fc1, nn.ReLU()], [model.fc2, nn.ReLU()],
        [model.fc3],
    ]  # fmt: skip
    return nn.Sequential(*(layer for part in parts[frozen - 1 :] for layer in part))


# ---- pictures -------------------------------------------------------------------------------------------

# Images of each class that are set apart: for the test, for validation. USPS has a test set of its own.
APART = {"usps": (0, 140), "fashion_mnist": (200, 140), "held-out classes": (1000, 350), "faces": (50, 20)}


def pictures(target: str, *, colour: bool) -> tuple[Dataset, Dataset, Dataset]:
    """Three parts of a target that share no image: to draw training images from, for validation, for the test."""
    for_test, for_validation = APART[target]
    if target == "usps":
        pool, test = usps("train"), usps("test")
    else:
        held_out, split = target == "held-out classes", "all" if target == "faces" else "train"
        whole = cifar_classes(HELD_OUT) if held_out else datasets.load(target, split)
        pool, test = apart(whole, for_test)
    pool, validation = apart(pool, for_validation)
    return tuple(as_the_source_saw(part, colour) for part in (pool, validation, test))  # type: ignore[return-value]


def apart(whole: Dataset, images_per_class: int) -> tuple[Dataset, Dataset]:
    """All others, and so many images of each class; always the same ones."""
    numbered = dataclasses.replace(whole, extra={"row": np.arange(len(whole))})
    taken = numbered.per_class(images_per_class, seed=0)
    return numbered[np.setdiff1d(numbered.extra["row"], taken.extra["row"])], taken


def usps(split: str) -> Dataset:
    """Digits off envelopes, 16×16; here 20×20 in a frame of 28×28, as MNIST's."""
    with np.load(Path(os.environ["ZEROHERO_DATA"]) / "usps" / "usps.npz", allow_pickle=False) as arrays:
        images, labels = arrays[f"{split}_data"].reshape(-1, 1, 16, 16), arrays[f"{split}_target"].astype(np.int64)
    return Dataset(images, labels, tuple("0123456789"), "usps", split).resized(28, margin=4)


def cifar_classes(names: tuple[str, ...], split: str = "train") -> Dataset:
    """Some classes of CIFAR-10, numbered anew."""
    whole = datasets.load("cifar10", split)
    numbers = [whole.class_names.index(name) for name in names]
    part = whole[np.isin(whole.labels, numbers)]
    labels = np.searchsorted(numbers, part.labels)  # both lists of names are in CIFAR-10's order
    return dataclasses.replace(part, labels=labels.astype(np.int64), class_names=names)


def as_the_source_saw(part: Dataset, colour: bool) -> Dataset:
    """On the source's scale: 28×28 in [0, 1] as MNIST, or 32×32 in three colours, standardised as CIFAR-10."""
    side = 32 if colour else 28
    part = part if part.images.shape[2] == side else part.resized(side)
    if not colour:
        return part
    images = standardised(np.repeat(part.images, 3 // part.images.shape[1], axis=1)).astype(np.float32)
    return dataclasses.replace(part, images=images)


if __name__ == "__main__":
    main()
