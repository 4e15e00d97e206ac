"""What `import zerohero` costs: no heavy package, and little more time than NumPy."""

import os
import statistics
import subprocess
import sys

import pytest

import zerohero as zh

HEAVY = ("numba", "torch", "matplotlib", "sklearn", "skimage", "ipywidgets", "tqdm", "typer", "rich", "scipy", "pooch",
         "safetensors", "cupy", "requests", "pandas")  # fmt: skip


def python(code):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "code",
    [
        "import zerohero",
        "import zerohero as zh; zh.conv2d([[1, 2], [3, 4]], [[1]]); zh.Tensor([1.0], requires_grad=True)",
        "import zerohero as zh; zh.models.create('lenet5').predict([[0.0] * 28] * 28); zh.optim.Adam, zh.training.fit",
    ],
    ids=["import", "an operation and a tensor", "a model"],
)
def test_importing_and_computing_brings_in_nothing_heavy(code):
    found = python(f"{code}\nimport sys\nprint(*[name for name in {HEAVY} if name in sys.modules])")
    assert found == ""


def test_import_takes_at_most_twice_the_time_of_numpy():
    # Processor time, so that a busy machine does not matter; alternating, so that a slow minute hits both.
    times = {"numpy": [], "zerohero": []}
    for _ in range(7):
        for package, found in times.items():
            code = f"import time; t = time.process_time(); import {package}; print(time.process_time() - t)"
            found.append(float(python(code)))
    numpy, zerohero = (statistics.median(found) for found in times.values())
    print(f"import numpy {numpy * 1000:.0f} ms, import zerohero {zerohero * 1000:.0f} ms: {zerohero / numpy:.2f}×")
    assert zerohero <= 2 * numpy


def test_every_public_name_is_there_and_documented():
    for name in zh.__all__:
        assert getattr(zh, name).__doc__, name
    assert set(zh.__all__) <= set(dir(zh))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'zerohero' has no attribute 'conv3d'"):
        zh.conv3d  # noqa: B018
