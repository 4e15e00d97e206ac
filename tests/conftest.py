"""What all tests share: reproducible random numbers, figures without a screen, and which tests a machine can run."""

import os

import hypothesis
import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")

# The same examples on every machine and in every run, however slow the machine is today.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, max_examples=50)
hypothesis.settings.register_profile("search", deadline=None, max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture
def rng():
    """Return a generator that starts every test at the same place."""
    return np.random.default_rng(0)


@pytest.fixture
def zerohero(capsys):
    """Run a command line in this process; gives exit code, output and error output."""

    from zerohero import cli

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return run


@pytest.fixture(autouse=True)
def _nothing_is_solved_by_tests(tmp_path, monkeypatch):
    monkeypatch.setenv("ZEROHERO_PROGRESS", str(tmp_path / "progress.jsonl"))


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def pytest_collection_modifyitems(items):
    """Skip, with the reason, what this machine lacks."""
    for item in items:
        if item.get_closest_marker("data") and not os.environ.get("ZEROHERO_DATA"):
            item.add_marker(pytest.mark.skip(reason="ZEROHERO_DATA names no folder of real data sets"))
        if item.get_closest_marker("gpu") and not _has_gpu():
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


def _has_gpu() -> bool:
    try:
        import cupy
    except ImportError:
        return False
    return cupy.is_available()
