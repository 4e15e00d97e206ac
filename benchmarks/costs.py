"""The rows of the table that are no contests of speed: importing, memory, and the time of the lectures."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import memory
from benchmarks.contest import Settings
from benchmarks.peers.capsule_layer import LAYOUTS
from zerohero.benchmark import quartiles, speedup

ROOT = Path(__file__).resolve().parent.parent
LECTURES = 14  # 00 to 13


class CannotMeasure(RuntimeError):
    """This machine, or this way of running, doesn't allow a measurement; the text says why."""


def import_time(settings: Settings) -> dict[str, Any]:
    """Processor time of `import zerohero` against `import numpy`, each in fresh processes, alternately."""
    seconds: dict[str, list[float]] = {"import zerohero": [], "import numpy": []}
    for _ in range(2 * settings.rounds):
        for statement, found in seconds.items():
            code = f"import time; start = time.process_time(); {statement}; print(time.process_time() - start)"
            found.append(float(_run("-c", code)))
    ratio = speedup(seconds["import zerohero"], seconds["import numpy"])
    return _row("import zerohero", "import numpy", "×", ratio.median, [ratio.low, ratio.high], 2.0, 1.3,
                {name: _timing(found) for name, found in seconds.items()}, "import")  # fmt: skip


def memory_of_capsule_layer(settings: Settings, batch: int = 128) -> dict[str, Any]:
    """Peak memory of forward and backward above inputs, outputs and gradients."""
    if settings.device == "gpu":
        raise CannotMeasure("CuPy's memory pool doesn't keep its peak")
    if not memory.can_measure():
        raise CannotMeasure("only Linux tells a process its peak memory again and again")
    found = {f"zerohero {settings.backend}": settings.backend} | {f"PyTorch eager, {name}": name for name in LAYOUTS}
    contestants = {
        name: json.loads(_run("-m", "benchmarks.memory", contestant, str(batch))) for name, contestant in found.items()
    }
    ours, *peers = (each["above_megabytes"] for each in contestants.values())
    row = _row("capsule_layer, peak memory", "", "MB", ours, None, 40.0, None, contestants,
               f"batch {batch}, 1152×8 → 10×16, 3 iterations, forward + backward")  # fmt: skip
    row["figures"][0]["against"] = f"PyTorch eager needs {min(peers):.0f} MB"
    return row


def lectures(settings: Settings) -> dict[str, Any]:
    """Every lecture executed from top to bottom, on copies, as many at once as there are threads."""
    if settings.device == "gpu":
        raise CannotMeasure("the lectures run on the processor")
    with tempfile.TemporaryDirectory() as folder:
        copies = Path(folder) / "notebooks"
        shutil.copytree(ROOT / "notebooks", copies, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
        files = sorted(copies.glob("*.ipynb"))
        start = time.perf_counter()
        with ThreadPoolExecutor(settings.threads) as pool:
            seconds = list(pool.map(_execute, files))
        minutes = (time.perf_counter() - start) / 60
    what = f"{len(files)} of {LECTURES} lectures, {settings.threads} at once"
    return _row(f"lectures executed ({len(files)} of {LECTURES})", "", "min", minutes, None, 15.0, 8.0,
                {file.name: {"seconds": [s]} for file, s in zip(files, seconds)}, what)  # fmt: skip


def _execute(notebook: Path) -> float:
    start = time.perf_counter()
    _run(str(ROOT / "tools" / "notebooks.py"), "execute", str(notebook), threads=1)
    return time.perf_counter() - start


def _run(*arguments: str, threads: int | None = None) -> str:
    """What another Python prints; its last error line if it fails."""
    environment = dict(os.environ)
    if threads is not None:
        environment |= {name: str(threads) for name in environment if name.endswith("_NUM_THREADS")}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT, env=environment)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it says nothing"]
        raise RuntimeError(f"{' '.join(arguments)[:80]} failed: {lines[-1]}")
    return done.stdout


def _timing(seconds: Sequence[float]) -> dict[str, Any]:
    spread = quartiles(seconds)
    return {"seconds": list(seconds), "median": spread.median, "quartiles": [spread.low, spread.high]}


def _row(
    label: str, against: str, unit: str, value: float, interval: list[float] | None, must: float, goal: float | None,
    contestants: dict[str, Any], what: str,
) -> dict[str, Any]:  # fmt: skip
    """One figure of which less is better, and where it comes from."""
    return {
        "figures": [{"label": label, "against": against, "unit": unit, "more_is_better": False, "value": value,
                     "interval": interval, "must": must, "goal": goal}],
        "parts": [{"name": what, "contestants": contestants}],
        "skips": [],
    }  # fmt: skip
