"""`doctor()`: what this machine has of what the course needs, and what to do about the rest. It installs nothing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import textwrap
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zerohero import __version__, datasets
from zerohero.datasets import files
from zerohero.datasets.inventory import BUILT_IN, DRAWN_FROM, take
from zerohero.operation import available_backends

COURSE = ("jupyterlab", "ipywidgets", "scikit-learn", "scikit-image")  # what the extra `course` installs
CORE = ("numba", "matplotlib", "safetensors", "pooch", "tqdm", "typer", "rich")
OPTIONAL = ("torch",)


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """What `doctor` found; its repr is the report.

    Attributes
    ----------
    versions : dict of str
        Of python, zerohero and numpy.
    backends : tuple of str
        What `zerohero.use_backend` takes here.
    gpu : str
        The GPU's name, or why there is none to use.
    machine : dict
        As `machine()` gives it.
    data : dict of str
        For each data set, where it is, or that it will be downloaded.
    packages : dict
        The version of each package that the course uses; None for one that is not installed.
    problems : list of str
        What keeps the course from working as it should, each with what to do about it.

    Examples
    --------
    >>> sorted(doctor().versions)
    ['numpy', 'python', 'zerohero']
    """

    versions: dict[str, str]
    backends: tuple[str, ...]
    gpu: str
    machine: dict[str, Any]
    data: dict[str, str]
    packages: dict[str, str | None]
    problems: list[str]

    def __repr__(self) -> str:
        threads = self.machine["threads"]
        there = [f"{name} {version}" for name, version in self.packages.items() if version]
        lacking = [name for name, version in self.packages.items() if not version]
        v = self.versions
        lines = [
            f"zerohero {v['zerohero']}, Python {v['python']}, NumPy {v['numpy']}",
            f"  machine    {self.machine['processor']}, {_count(self.machine['cores'], 'core')}, "
            + (f"{_count(threads, 'thread')} for matrix products" if threads else "threads unknown"),
            f"  backends   {', '.join(self.backends)}",
            f"  GPU        {self.gpu}",
            *(f"  {'data' if i == 0 else '':<10} {name:<13} {at}" for i, (name, at) in enumerate(self.data.items())),
            *textwrap.wrap(f"  packages   {', '.join(there)}", 100, subsequent_indent=" " * 13),
            *([f"             not installed: {', '.join(lacking)}"] if lacking else []),
        ]
        if not self.problems:
            return "\n".join([*lines, "No problems found."])
        return "\n".join([*lines, f"{_count(len(self.problems), 'problem')}:", *(f"  - {p}" for p in self.problems)])


def doctor() -> Diagnosis:
    """Look at this machine: versions, backends, GPU, data sets, packages, threads, and what to do about problems.

    Nothing is installed, downloaded or changed. In a notebook the report shows by itself; in a script, print it.

    Returns
    -------
    Diagnosis
        Its repr is the report; `problems` lists what to mend.

    Examples
    --------
    >>> report = doctor()
    >>> report.backends[0]
    'numpy'
    >>> print(report)
    zerohero ..., Python ..., NumPy ...
      machine    ...
    """
    problems: list[str] = []
    here = machine()
    if (here["threads"] or 0) > here["cores"]:
        problems.append(
            f"{here['threads']} threads for matrix products share {_count(here['cores'], 'core')}, which slows them "
            f"down: set OMP_NUM_THREADS={here['cores']} before Python starts"
        )
    packages = {name: _version(name) for name in (*CORE, *COURSE, *OPTIONAL)}
    return Diagnosis(
        versions=versions(),
        backends=available_backends(),
        gpu=_gpu(),
        machine=here,
        data=_data(problems),
        packages=packages,
        problems=_packages_lacking(packages) + problems,
    )


def versions() -> dict[str, str]:
    """The versions that numbers depend on: python, numpy and zerohero.

    Examples
    --------
    >>> sorted(versions())
    ['numpy', 'python', 'zerohero']
    """
    return {"python": platform.python_version(), "numpy": np.__version__, "zerohero": __version__}


def machine() -> dict[str, Any]:
    """The processor's name, how many cores this process may use, and how many threads NumPy's matrix products use.

    The last is None if it can't be told. Sums are split over threads, so their number changes last digits.

    Examples
    --------
    >>> sorted(machine())
    ['cores', 'processor', 'threads']
    """
    return {"processor": _processor(), "cores": _cores(), "threads": _threads()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine() or "unknown processor"


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # Linux: the cores that this process may use, not those that exist
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _threads() -> int | None:
    """What NumPy's BLAS says, or else the environment."""
    try:
        from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

        found = [pool["num_threads"] for pool in threadpool_info() if pool.get("user_api") == "blas"]
    except Exception:  # a report never fails over a detail
        found = []
    asked = os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS") or ""
    return max(found) if found else int(asked) if asked.isdigit() else None


def _gpu() -> str:
    """The GPU that `.to("cupy")` would use, or why there is none. Never raises: drivers fail in many ways."""
    if importlib.util.find_spec("cupy") is None:
        if shutil.which("nvidia-smi"):
            return "not used: CuPy is not installed (pip install 'zerohero[cuda13]', or [cuda12] for an older driver)"
        return "none, and none is needed"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import cupy

            if not cupy.is_available():
                return "none: CuPy is installed, but finds no NVIDIA GPU"
            properties = cupy.cuda.runtime.getDeviceProperties(0)
        return f"{properties['name'].decode()}, {properties['totalGlobalMem'] / 2**30:.0f} GiB, CuPy {cupy.__version__}"
    except Exception as error:
        return f"not used: CuPy is installed, but fails: {type(error).__name__}: {' '.join(str(error).split())[:120]}"


def _data(problems: list[str]) -> dict[str, str]:
    try:
        files.data_folder()
    except FileNotFoundError as error:
        problems.append(str(error))
        return {name: BUILT_IN.get(name, "unknown while ZEROHERO_DATA is wrong") for name in datasets.names()}
    cache = files.cache_folder()
    places = {name: _place(name) for name in datasets.names()}
    if not _writable(cache) and any("downloaded" in place for place in places.values()):
        problems.append(f"the cache {cache} can't be written: set ZEROHERO_CACHE to a folder that can")
    return places


def _place(name: str) -> str:
    """Where a data set is, split by split if they differ."""
    if name in BUILT_IN:
        return BUILT_IN[name] if datasets.available(name) else f"needs {BUILT_IN[name]}"
    holding = take(name)
    if name in DRAWN_FROM:
        return f"drawn from {DRAWN_FROM[name]}, or from digits"
    here = [split for split in ("train", "test") if datasets.available(name, split)]
    if not here and not holding.can_be_fetched:
        return f"not here, and no download: its files go into {files.cache_folder() / name}"
    if not here:
        return "will be downloaded when asked for"
    words = {"ZEROHERO_DATA": "ZEROHERO_DATA", "cache": "the cache"}
    found = dict.fromkeys(f"{words[file.root]} ({file.path.parent})" for file in holding.files)
    where = " and ".join(found)
    return where if len(here) == 2 else f"{where}: {here[0]} only; the rest will be downloaded when asked for"


def _writable(folder: Path) -> bool:
    """Whether files can be written there, in a folder still to be made if need be."""
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    return existing.is_dir() and os.access(existing, os.W_OK)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _packages_lacking(packages: dict[str, str | None]) -> list[str]:
    problems = []
    course = [name for name in COURSE if packages[name] is None]
    core = [name for name in CORE if packages[name] is None]
    if core:
        problems.append(f"{_listed(core)} not installed, and the library needs it: pip install zerohero")
    if course:
        problems.append(f"{_listed(course)} not installed, and the lectures need it: pip install 'zerohero[course]'")
    return problems


def _listed(names: list[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("" if number == 1 else "s")
