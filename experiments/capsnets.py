"""What the experiments on routing share: digits, a small CapsNet and a CNN of its size, and one way to train both."""

from collections.abc import Callable

import numpy as np
from rates import best_rate
from recording import Recording, device

import zerohero as zh
from zerohero import datasets, models, training
from zerohero.optim import Adam

# A small CapsNet and a CNN of its size, by what they are trained on: MNIST on a GPU, or 1,348 scans on a CPU.
SIZES = {
    "mnist": (dict(preset="fast"), dict(channels=(16, 16, 12), hidden=(132, 192))),
    "digits": (dict(preset="fast", channels=32, types=4, hidden=(64, 128)), dict(channels=(8, 8, 8), hidden=(61, 64))),
    "fashion_mnist": (dict(preset="fast", channels=32, types=4, hidden=(64, 128)), {}),
}



def load(data: str, split: str):
    """Digits of 28×28: MNIST, or the embedded scans in a frame like MNIST's."""
    return datasets.load("digits", split, size=28, margin=4) if data == "digits" else datasets.load(data, split)


def capsnet(options, **changes):
    """A small CapsNet on the chosen device."""
    return models.create("capsnet", **{**SIZES[options.data][0], **changes}).to(device(options))


def cnn(options, **changes):
    """The paper's kind of CNN, about as large."""
    return models.create("capsnet_baseline", **{**SIZES[options.data][1], **changes}).to(device(options))


def fit(model, train, options, seed: int, *, rate: float = 5e-3, **settings):
    """Train as all networks of these experiments are: Adam, one cycle up to the rate, shifts of ±2 pixels."""
    chosen = vars(options) | dict(schedule="one-cycle", optimizer=Adam(model.parameters(), lr=rate)) | settings
    return training.fit(
        model, train, epochs=chosen["epochs"], batch_size=options.batch_size, seed=seed, progress=False,
        schedule=chosen["schedule"], optimizer=chosen["optimizer"], augment=training.Augmentation(shift=2),
    )


def chosen_rate(recording: Recording, network: str, create: Callable, seen, unseen, options, **settings) -> float:
    """The rate with which a network, trained on some of the training images, reads most of some others of them.

    Every network begins with 0.001, 0.003 and 0.01, and goes on outwards while the best is the outermost. Each try is
    recorded; of equal ones the smallest is taken. The test images have no part in it.
    """

    def measure(rate_for: str, rate: float) -> dict:
        zh.seed(0)
        model = create(options)
        fit(model, seen, options, 0, rate=rate, **settings)
        return {"right": right(model, unseen), "examples": len(unseen)}

    return best_rate(lambda rate: recording.measure(measure, rate_for=network, rate=rate)["right"], first=2)


def right(model, test) -> int:
    """How many of the test images are read rightly."""
    return int((training.evaluate(model, test).predictions == test.labels).sum())


def logit_changes(model, images, iterations: int) -> list[float]:
    """Mean |Δ logit| from each iteration of routing to the next, whatever the number the model was trained with."""
    with zh.no_grad():
        on_device = zh.Tensor(images).to("numpy" if isinstance(model.digits.weight.data, np.ndarray) else "cupy")
        u = model.primary(zh.relu(model.conv1(on_device))).numpy()
    weight, bias = model.digits.weight.numpy(), model.digits.bias.numpy()
    logits = zh.routing_trace(zh.capsule_votes(u, weight), bias, iterations=iterations + 1).logits
    return [float(f"{value:.4g}") for value in np.abs(np.diff(logits, axis=0)).mean(axis=(1, 2, 3))]
