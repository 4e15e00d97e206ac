"""The numba kernels on processors with narrower vector registers than this one's: the same numbers."""

import importlib.util
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is not installed")

# The kernels choose their tiles by what llvmlite says of the processor; here it says less than is true. Machine code
# for other tiles must not be taken from the disk, nor be left there.
NARROWED = """
import sys
from llvmlite import binding
features = binding.get_host_cpu_features()
features.update(avx512f=False, avx=sys.argv[1] == "32")
binding.get_host_cpu_features = lambda: features
import zerohero as zh
zh.use_backend("numba")
from zerohero.kernels.numba_cpu import lanes, tiles
assert lanes.REGISTER == tiles.REGISTER == int(sys.argv[1])
zh.use_backend("numpy")
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", *sys.argv[2:]]))
"""


@pytest.mark.parametrize("size", [32, pytest.param(16, marks=pytest.mark.slow)])
def test_kernels_in_narrower_registers(size, tmp_path):
    chosen = [
        "tests/test_kernels_convolution.py", "tests/test_kernels_capsule.py", "-k",
        "(odd or tile or at_once or groups or stride or sizes) and not threads and not memory",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", NARROWED, str(size), *chosen],
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_NUM_THREADS": "2"},
        capture_output=True, text=True, timeout=580,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
