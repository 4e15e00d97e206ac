"""`zerohero bench`: starts the benchmarks of a checkout, in a process whose threads are fixed from the start."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

PACKAGE = Path(__file__).resolve().parent.parent
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def bench(
    rows: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Measure this row only; may be given several times.")
    ] = None,
    quick: Annotated[bool, typer.Option(help="Three short rounds, and no torch.compile.")] = False,
    rounds: Annotated[int | None, typer.Option(min=1, help="In each, everybody has a turn; by default 11.")] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="For everybody; by default all cores. One is timed in processor time.")
    ] = None,
    backend: Annotated[str | None, typer.Option(help="Our kernels: numba or numpy; by default numba.")] = None,
    gpu: Annotated[bool, typer.Option("--gpu", help="On the GPU: CuPy arrays against PyTorch with CUDA.")] = False,
    lectures: Annotated[bool, typer.Option("--lectures", help="Also execute every lecture: minutes.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all that was measured to this file.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Draw the ratios into this .png file.")] = None,
    report: Annotated[
        bool, typer.Option("--report", help="Measure nothing: make RESULTS.md from benchmarks/results*.json.")
    ] = False,
) -> int:
    """Measure zerohero beside PyTorch, in one process with equal threads.

    Needs the repository (its folder benchmarks holds the peers) and PyTorch. Every contestant's numbers are compared
    before its times. Exits with 1 if a row fails.

    \b
    zerohero bench --quick
    zerohero bench --rows capsule_layer --rows import
    zerohero bench --lectures --json benchmarks/results.json
    zerohero bench --report
    """
    root = checkout()
    if not report and importlib.util.find_spec("torch") is None:
        raise ImportError("bench: the peers are written in PyTorch: pip install 'zerohero[torch]'")
    options = dict(
        rows=rows, quick=quick, rounds=rounds, threads=threads, backend=backend, gpu=gpu, lectures=lectures,
        json=_output(json_file, "--json", ".json"), figure=_output(figure, "--figure", ".png"), report=report,
        command=_command(),
    )  # fmt: skip
    return subprocess.call(
        [sys.executable, "-m", "benchmarks", json.dumps(options)], cwd=root, env=os.environ | environment(threads, gpu)
    )


def checkout() -> Path:
    """The folder of the repository: this one, or the one that the package lies in."""
    for root in (Path.cwd(), PACKAGE.parent):
        if (root / "benchmarks" / "peers").is_dir() and (root / "zerohero").is_dir():
            return root.resolve()
    raise FileNotFoundError(
        "bench: the folder benchmarks with the peers is neither here nor beside the package; it comes with the "
        "repository: git clone it, and run this in its folder"
    )


def environment(threads: int | None, gpu: bool) -> dict[str, str]:
    """The same number of threads for everybody who reads it when it is loaded; TF32 for CuPy on a GPU."""
    from zerohero.diagnosis import machine

    number = str(threads or machine()["cores"])
    return dict.fromkeys(THREADS, number) | ({"CUPY_TF32": "1"} if gpu else {})


def _command() -> str:
    """The command line, without folders of this machine."""
    words = [Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:]]
    return shlex.join(["zerohero", *words])


def _output(path: Path | None, option: str, suffix: str) -> str | None:
    """A file to be written, said now to be impossible rather than after minutes."""
    if path is None:
        return None
    if path.suffix != suffix:
        raise ValueError(f"bench: {option} needs a file that ends in {suffix}, but got {path.name!r}")
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"bench: {option} needs a folder that exists, but {str(path.parent)!r} doesn't")
    return str(path.absolute())
