"""What the experiments on routing share: digits, a small CapsNet and a CNN of its size, and one way to train both."""

import numpy as np
from recording import device

import zerohero as zh
from zerohero import datasets, models, training
from zerohero.models.capsnet import CapsNet
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


def fit(model, train, options, seed: int, **settings):
    """Train as all networks of these experiments are: Adam, one cycle up to 5e-3, shifts of ±2 pixels.

    The CNN goes up to 1e-3: with 5e-3 it stayed at chance on some seeds.
    """
    chosen = vars(options) | settings
    rate = 5e-3 if isinstance(model, CapsNet) else 1e-3
    return training.fit(
        model, train, epochs=chosen["epochs"], batch_size=options.batch_size, seed=seed, progress=False,
        schedule=chosen.get("schedule", "one-cycle"), optimizer=Adam(model.parameters(), lr=rate),
        augment=training.Augmentation(shift=2),
    )


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
