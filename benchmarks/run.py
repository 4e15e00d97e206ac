"""What `zerohero bench` runs in a process of its own, with its threads fixed: the rows one by one, and the machine."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import importlib.metadata
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zerohero import available_backends, diagnosis, use_backend
from zerohero.arguments import integer
from zerohero.benchmark import Roofline, Watch, best, roofline

FORMAT = 1
FOLDER = Path(__file__).resolve().parent
ROWS = ("capsule_layer", "conv2d_forward", "conv2d_gradients", "capsnet_step", "capsnet_fast_step", "lenet_step",
        "capsnet_parts", "memory", "import", "lectures")  # fmt: skip
ONLY_IF_ASKED = ("lectures",)  # minutes


def main(options: dict[str, Any]) -> int:
    """Measure, or only write the report of what was measured; says where the results are."""
    from benchmarks import report

    if options.get("report"):
        print(f"wrote {report.write(FOLDER)}")
        return 0
    document = measure(options)
    report.show(document)
    if options.get("json"):
        Path(options["json"]).write_text(to_text(document), encoding="utf-8")
    if options.get("figure"):
        report.draw(document).savefig(options["figure"])
    return int(any(row["status"] == "failed" for row in document["rows"].values()))


def measure(options: dict[str, Any]) -> dict[str, Any]:
    """All rows asked for, and the machine they were measured on."""
    names = chosen(options.get("rows"), bool(options.get("lectures")))
    settings = _settings(options)
    watch, began, commit = Watch(), datetime.datetime.now().astimezone(), _commit()
    if settings.device == "cpu":
        use_backend(settings.backend)
    _say("the roofline")
    settings = dataclasses.replace(settings, roof=roof_of(settings))
    rows = {name: _one(name, settings) for name in names}
    return {
        "format": FORMAT,
        "command": options.get("command", ""),
        "date": began.isoformat(timespec="minutes"),
        "commit": commit,
        "device": settings.device, "backend": settings.backend, "threads": settings.threads, "rounds": settings.rounds,
        "clock": settings.clock,
        "machine": diagnosis.machine() | {"gpu": _gpu(settings)},
        "versions": diagnosis.versions() | {name: _version(name) for name in ("numba", "torch", "cupy", "numba-cuda")},
        "calm": watch.calm().to_dict() | {"sentence": str(watch.calm())},
        "roofline": dataclasses.asdict(settings.roof),
        "rows": rows,
    }  # fmt: skip


def chosen(names: list[str] | None, lectures: bool = False) -> list[str]:
    """The rows to measure, in the order of the table."""
    for name in names or ():
        if name not in ROWS:
            raise ValueError(f"bench: --rows needs names among {', '.join(ROWS)}, but got {name!r}")
    wanted = set(names) if names else set(ROWS) - set(ONLY_IF_ASKED)
    return [name for name in ROWS if name in wanted or (lectures and name == "lectures")]


def to_text(document: dict[str, Any]) -> str:
    """The JSON file: four digits of every number are more than a clock can tell."""

    def short(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: short(each) for name, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [short(each) for each in value]
        return float(f"{value:.4g}") if isinstance(value, float) else value

    return json.dumps(short(document), indent=1, ensure_ascii=False) + "\n"


def _settings(options: dict[str, Any]) -> Any:
    import torch

    from benchmarks.contest import Settings

    threads = integer(options.get("threads") or diagnosis.machine()["cores"], "bench", "--threads", least=1)
    backend = options.get("backend") or ("numba" if "numba" in available_backends() else "numpy")
    if options.get("gpu"):
        backend = "cupy"
        _need_gpu()
        torch.set_float32_matmul_precision("high")  # TF32, as CUPY_TF32=1 asks of CuPy
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True  # its fastest algorithms
    elif backend not in available_backends():
        raise ValueError(f"bench: --backend needs one of {', '.join(available_backends())}, but got {backend!r}")
    torch.set_num_threads(threads)
    quick: dict[str, Any] = dict(rounds=3, least=0.01, patience=0.2, compiled=False) if options.get("quick") else {}
    chosen = {"rounds": integer(options["rounds"], "bench", "--rounds", least=1)} if options.get("rounds") else {}
    return Settings(threads, backend, **quick | chosen)


def _need_gpu() -> None:
    import torch

    found = diagnosis.doctor().gpu
    if found.startswith(("none", "not used")):
        raise ValueError(f"bench: --gpu needs an NVIDIA GPU and CuPy: {found}")
    if not torch.cuda.is_available():
        raise ValueError("bench: --gpu needs a PyTorch with CUDA, and this one finds no GPU: there would be no peers")


def roof_of(settings: Any) -> Roofline:
    """The roofline of the device in use; PyTorch's matrix product is among its peaks, on a GPU in TF32."""
    if settings.device == "gpu":
        return roof_by_torch(settings, "PyTorch's matrix product, TF32", size=8192, megabytes=2048)
    by_torch = roof_by_torch(settings, "PyTorch's matrix product", size=1024, megabytes=64)
    ours = roofline(settings.threads, patience=settings.patience, clock=settings.seconds)
    return dataclasses.replace(ours, peaks=ours.peaks | by_torch.peaks)


def roof_by_torch(settings: Any, name: str, size: int, megabytes: int) -> Roofline:
    """As `zerohero.benchmark.roofline` on any device, without the loop of multiply-adds."""
    import torch

    device = "cuda" if settings.device == "gpu" else "cpu"
    left, right, result = torch.ones(3, size, size, device=device)
    x, y, out = torch.ones(3, megabytes * 2**18, device=device)

    def timed(work: Callable[[], Any]) -> float:
        return best(lambda: (work(), settings.synchronise()), settings.patience, settings.seconds)

    product = 2 * size**3 / timed(lambda: torch.mm(left, right, out=result))
    moved = 12 * len(x) / timed(lambda: torch.add(x, y, alpha=0.5, out=out))
    return Roofline({name: product / 1e9}, moved / 1e9, settings.threads)


def _one(name: str, settings: Any) -> dict[str, Any]:
    """A row, or why there is none: what can't be measured here is skipped, what goes wrong has failed."""
    from benchmarks.costs import CannotMeasure

    _say(name)
    start, watch = time.perf_counter(), Watch()
    found: dict[str, Any] = {"status": "measured", "reason": "", "figures": [], "parts": [], "skips": []}
    try:
        found |= _row_functions()[name](settings)
    except CannotMeasure as why:
        found |= {"status": "skipped", "reason": str(why)}
    except Exception as error:  # one row that fails must not cost the others
        text = " ".join(str(error).split())
        found |= {"status": "failed", "reason": f"{type(error).__name__}: {text}"}
    return found | {"others": watch.calm().others, "took": time.perf_counter() - start}


def _row_functions() -> dict[str, Callable[[Any], dict[str, Any]]]:
    from benchmarks import costs, parts, rows

    special = {"capsnet_parts": parts.capsnet_parts, "import": costs.import_time,
               "memory": costs.memory_of_capsule_layer, "lectures": costs.lectures}  # fmt: skip
    return {name: special[name] if name in special else getattr(rows, name) for name in ROWS}


def _gpu(settings: Any) -> str | None:
    return diagnosis.doctor().gpu if settings.device == "gpu" else None


def _version(package: str) -> str | None:
    for name in (package, f"{package}-cuda13x", f"{package}-cuda12x"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
    return None


def _commit() -> str | None:
    """Which version of the repository this is; "+" says that files were changed since."""
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=FOLDER, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "../zerohero", "../benchmarks")
        return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _say(what: str) -> None:
    print(f"bench: {what}", file=sys.stderr, flush=True)
