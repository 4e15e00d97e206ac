"""CUDA kernels without a GPU: every one in numba's simulator against its NumPy form, and training on CuPy's double.

The simulator runs a thread of a kernel as a thread of Python: it finds wrong indices and sums, but not always what
only real simultaneity brings about, such as a missing barrier (tests/test_cuda_ptx.py counts those). It must be chosen
before numba is imported, so all of this runs in other processes.
"""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from tests import cuda_kernels, cuda_training

pytestmark = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is not installed")


def simulated(module):
    """What came of each check of a module: {name: error or None}."""
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", module], capture_output=True, text=True, env=environment, timeout=600,
        cwd=os.path.dirname(os.path.dirname(__file__)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["name"]: row["error"] for row in rows}


@pytest.fixture(scope="module")
def kernels():
    return simulated("tests.cuda_kernels")


@pytest.fixture(scope="module")
def trainings():
    return simulated("tests.cuda_training")


@pytest.mark.parametrize("name", cuda_kernels.CHECKS)
def test_a_kernel_gives_what_the_numpy_form_gives(kernels, name):
    assert kernels[name] is None, kernels[name]


@pytest.mark.parametrize("name", cuda_training.CHECKS)
def test_on_a_gpu_all_is_as_on_the_cpu(trainings, name):
    assert trainings[name] is None, trainings[name]


def test_importing_the_library_and_computing_on_the_cpu_leaves_the_kernels_alone():
    code = (
        "import sys, zerohero as zh; zh.conv2d([[1.0]], [[1.0]]); zh.capsule_layer([[[1.0]]], [[[[1.0]]]]);"
        "print('cupy' in sys.modules, 'zerohero.kernels.cuda' in sys.modules, 'cupy' in zh.conv2d.kernels)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False"] * 3, done.stderr


def test_the_double_has_nothing_that_cupy_has_not():
    cupy = pytest.importorskip("cupy")
    from tests import cupy_double as double

    names = [*double.MAKE, *double.LIKE, *double.FUNCTIONS, *double.UFUNCS, "array", "asarray", "ndarray"]
    assert [name for name in names if not hasattr(cupy, name)] == []
    assert hasattr(cupy.add, "at") and hasattr(cupy.lib.stride_tricks, "sliding_window_view")
    own = [name for name in vars(double.ndarray) if name not in ("values", "__module__", "__dict__", "__weakref__")]
    assert [name for name in own if not hasattr(cupy.ndarray, name)] == []


def test_the_double_refuses_what_cupy_refuses():
    import numpy as np

    from tests import cupy_double as double

    x = double.ndarray(np.ones(3))
    y = np.ones(3)
    for refused in (lambda: np.asarray(x), lambda: x + y, lambda: y + x, lambda: np.sqrt(x, out=y),
                    lambda: x.__setitem__(0, y[:1]), lambda: np.ascontiguousarray(x)):  # fmt: skip
        with pytest.raises(TypeError):
            refused()
    with double.no_copies():
        assert type(x.sum()) is type(np.float32(2) * x) is double.ndarray
        for hidden in (x.get, lambda: float(x[0]), lambda: bool(x[0]), lambda: x[x > 0], lambda: x[np.array([0])],
                       lambda: double._array([1.0])):  # fmt: skip
            with pytest.raises(double.HiddenCopy):
                hidden()
