"""Every way of training, small and seeded: functions that return the trained weights, and a script that saves them.

python tests/training_paths.py BACKEND FILE.npz
"""

import sys

import numpy as np

import zerohero as zh
from zerohero import optim, training
from zerohero.models.resnet_cifar import resnet_cifar
from zerohero.models.transforming_autoencoder import learn_shifts
from zerohero.models.transforming_autoencoder import transforming_autoencoder as transforming_autoencoder_of


def _digits(size, pad=0):
    """The first images of three classes: images (24, 1, size, size), labels (24,)."""
    data = zh.datasets.load("digits", "train", size=size)
    chosen = np.flatnonzero(data.labels < 3)[:24]
    return np.pad(data.images[chosen], ((0, 0), (0, 0), (pad, pad), (pad, pad))), data.labels[chosen]


def _fitted(model, data, **options):
    history = training.fit(model, data, batch_size=8, seed=3, progress=False, **{"epochs": 2, **options})
    losses = np.array(history.column("loss"))
    return {"losses": losses} | model.state_dict()


def lenet():
    """A momentum step, a schedule, images that are shifted."""
    model = zh.models.create("lenet5", num_classes=3)
    rule = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    return _fitted(
        model, _digits(28), optimizer=rule, schedule="one-cycle", augment=training.Augmentation(shift=2), epochs=1
    )


def resnet():
    """Batch norm with its running averages, images that are cropped and mirrored, a cosine."""
    model = resnet_cifar(8, num_classes=3, in_channels=1, width=4)
    augment = training.Augmentation(shift=1, crop=12, flip=True)
    return _fitted(model, _digits(14), augment=augment, schedule="cosine")


def capsnet():
    """Dynamic routing, and a decoder that learns with it."""
    sizes = dict(image_size=20, num_classes=3, channels=8, types=2, hidden=(8, 16))
    model = zh.models.create("capsnet", preset="fast", **sizes)
    return _fitted(model, _digits(20))


def matrix_capsnet():
    """EM routing; the spread loss, whose margin grows."""
    sizes = dict(image_size=12, in_channels=1, A=4, B=2, C=2, D=2, kernel_size=3, stride=1, iterations=2)
    model = zh.models.create("matrix_capsnet", **sizes, num_classes=3, margin_steps=6)
    return _fitted(model, _digits(8, pad=2))


def transforming_autoencoder():
    """A training loop of its own."""
    model = transforming_autoencoder_of(image_size=16, capsules=4)
    losses = learn_shifts(model, _digits(8, pad=4)[0], epochs=2, batch_size=8)
    return {"losses": np.array(losses)} | model.state_dict()


def dropout():
    """Units that are dropped, on features."""
    model = zh.nn.Sequential(zh.nn.Linear(6, 40), zh.nn.ReLU(), zh.nn.Dropout(0.5), zh.nn.Linear(40, 3))
    rng = np.random.default_rng(0)
    return _fitted(model, (rng.standard_normal((24, 6), dtype=np.float32), np.arange(24) % 3))


PATHS = {each.__name__: each for each in (lenet, resnet, capsnet, matrix_capsnet, transforming_autoencoder, dropout)}


def trained(name, backend):
    """The weights that a path ends with; the same seed each time."""
    with zh.use_backend(backend):
        zh.seed(7)
        return PATHS[name]()


if __name__ == "__main__":
    backend, path = sys.argv[1:]
    np.savez(path, **{f"{name}/{key}": value for name in PATHS for key, value in trained(name, backend).items()})
