"""How numba kernels are compiled: kept on disk, and said aloud when it takes long."""

import importlib.util
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is not installed")

KERNEL = """
    from zerohero.kernels.numba_cpu.compiling import compiled

    @compiled
    def total(numbers):
        result = 0.0
        for number in numbers:
            result += number
        return result
"""
RUN = """
    import sys
    import numpy as np
    from zerohero.kernels.numba_cpu import compiling
    compiling.PATIENCE = float(sys.argv[1])
    import zerohero
    zerohero.__path__.append(sys.argv[2])
    from zerohero import made_up
    print(made_up.total(np.ones(3)), sum(made_up.total.stats.cache_hits.values()))
"""


def run(tmp_path, patience):
    (tmp_path / "made_up.py").write_text(textwrap.dedent(KERNEL))
    command = [sys.executable, "-c", textwrap.dedent(RUN), str(patience), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split(), done.stderr


def test_says_so_when_a_compilation_takes_long_and_not_when_the_code_is_on_disk(tmp_path):
    assert run(tmp_path, 0.001) == (
        ["3.0", "0"],
        "zerohero: compiling total for this processor, once; the next run finds it on disk\n",
    )
    assert run(tmp_path, 0.001) == (["3.0", "1"], "")


def test_says_nothing_when_a_compilation_is_quick(tmp_path):
    assert run(tmp_path, 60) == (["3.0", "0"], "")
