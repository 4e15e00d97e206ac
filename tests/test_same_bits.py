"""The same seed gives the same bits on every way of training; another number of threads differs by rounding alone."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import zerohero as zh
from tests.training_paths import PATHS, trained
from zerohero import nn, optim, training
from zerohero.models.resnet_cifar import resnet_cifar

# Kernels of our own write the same bits for any number of threads; OpenBLAS adds up in another order.
THREADS_TOLERANCE = 1e-5  # of the largest weight in an array, after 3 to 6 steps


@pytest.mark.parametrize("backend", zh.available_backends())
@pytest.mark.parametrize("name", PATHS)
def test_the_same_seed_trains_to_the_same_bits(name, backend):
    once, again = trained(name, backend), trained(name, backend)
    assert once.keys() == again.keys()
    for key, value in once.items():
        assert np.isfinite(value).all() and value.tobytes() == again[key].tobytes(), f"{key} differs"


def test_another_seed_trains_to_other_bits(monkeypatch):
    once = trained("dropout", "numpy")
    monkeypatch.setattr(zh, "seed", lambda number, seed=zh.seed: seed(number + 1))
    assert any(value.tobytes() != once[key].tobytes() for key, value in trained("dropout", "numpy").items())


@pytest.mark.slow
@pytest.mark.parametrize("backend", zh.available_backends())
def test_any_number_of_threads_trains_to_the_same_weights(backend, tmp_path):
    worker = Path(__file__).with_name("training_paths.py")
    found = {}
    for threads in ("1", "2", "7"):
        path = tmp_path / f"{threads}.npz"
        of_threads = {"NUMBA_NUM_THREADS": threads, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        environment = os.environ | of_threads | {"PYTHONPATH": str(worker.parent.parent)}
        subprocess.run([sys.executable, worker, backend, path], env=environment, check=True, timeout=600)
        with np.load(path, allow_pickle=False) as file:
            found[threads] = dict(file)
    for threads in ("2", "7"):
        for key, value in found["1"].items():
            most = THREADS_TOLERANCE * max(1e-3, float(np.abs(value).max()))
            np.testing.assert_allclose(found[threads][key], value, rtol=0, atol=most, err_msg=f"{key}, {threads}")


# ---- NaN names its layer ---------------------------------------------------------------------------------


def _lenet():
    model = zh.models.create("lenet5", num_classes=3)
    return model, 28, next(name for name, each in model.named_modules() if isinstance(each, nn.Linear))


def _resnet():
    model = resnet_cifar(8, num_classes=3, in_channels=1, width=4)
    return model, 12, [name for name, each in model.named_modules() if isinstance(each, nn.Conv2d)][2]


def _capsnet():
    sizes = dict(image_size=20, num_classes=3, channels=8, types=2, hidden=(8, 16))
    model = zh.models.create("capsnet", preset="fast", **sizes)
    return model, 20, next(name for name, each in model.named_modules() if isinstance(each, nn.Conv2d))


@pytest.mark.parametrize("backend", zh.available_backends())
@pytest.mark.parametrize("make", [_lenet, _resnet, _capsnet])
def test_nan_in_a_models_weights_stops_training_with_the_layers_name(make, backend):
    model, size, layer = make()
    dict(model.named_modules())[layer].weight.data.flat[0] = np.nan
    images = np.random.default_rng(0).random((8, 1, size, size), dtype=np.float32)
    rule = optim.SGD(model.parameters(), lr=0.1)
    with zh.use_backend(backend), pytest.raises(FloatingPointError, match=f"first in the output of {layer}[;,. ]"):
        training.fit(model, (images, np.arange(8) % 3), epochs=1, batch_size=8, optimizer=rule, progress=False)
