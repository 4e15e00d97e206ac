"""What the experiments share: a JSON file that says what was run, and that an interrupted run goes on from."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zerohero import diagnosis
from zerohero.checkpoints import previous_of

RESULTS = Path(os.environ.get("ZEROHERO_RESULTS") or Path(__file__).parent / "results")


class Recording:
    """The measurements of one experiment, kept after each of them.

    Parameters
    ----------
    name : str
        Of the file in `results/`.
    question : str
        What the experiment asks, in one sentence.
    settings : dict
        What every measurement has in common. A file with other settings is begun anew; `seeds`, how many are to be
        run, may change.
    folder : path
    """

    def __init__(self, name: str, question: str, settings: dict[str, Any], folder: Path = RESULTS):
        self.path = folder / f"{name}.json"
        settings = json.loads(json.dumps(settings))
        found = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}
        alike = found and found["settings"] | {"seeds": None} == settings | {"seeds": None}
        self.content: dict[str, Any] = {
            "question": question,
            "command": " ".join(["python", f"experiments/{name}.py", *sys.argv[1:]]),
            "settings": settings,
            "versions": diagnosis.versions(),
            "machine": diagnosis.machine() | ({"gpu": diagnosis.doctor().gpu} if settings.get("device") else {}),
            "date": datetime.date.today().isoformat(),
            "measurements": found["measurements"] if alike else [],
        }

    def measure(self, function: Callable[..., dict[str, Any]], **variant: Any) -> dict[str, Any]:
        """The measurement of a variant, such as model="plain", seed=0: from the file, or by calling the function."""
        for each in self.content["measurements"]:
            if each["variant"] == variant:
                return each
        print(", ".join(f"{name} {value}" for name, value in variant.items()), flush=True)
        begin = time.perf_counter()
        result = function(**variant)
        each = {"variant": variant, **result, "seconds": round(time.perf_counter() - begin, 1)}
        self.content["measurements"].append(each)
        self._write()
        return each

    def checkpoint(self, **variant: Any) -> Path:
        """Where a long training of a variant keeps its checkpoint (git-ignored); `forget` it once it is measured."""
        words = [self.path.stem, *(f"{name}-{value}" for name, value in variant.items())]
        folder = self.path.parent.parent / "runs"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / ("-".join(words) + ".safetensors")

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".json.part")
        draft.write_text(json.dumps(self.content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(draft, self.path)


def forget(checkpoint: Path) -> None:
    """Delete a checkpoint whose training is measured, and the one before it, from which a training would go on, too."""
    for path in (checkpoint, previous_of(checkpoint)):
        path.unlink(missing_ok=True)


def arguments(question: str | None, **defaults: int | str) -> argparse.Namespace:
    """The command line of an experiment: values by name, such as epochs=20, the backend, and the GPU if asked for."""
    parser = argparse.ArgumentParser(description=question)
    for name, value in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help=f"default: {value}")
    parser.add_argument("--backend", default="numba", help="numpy or numba")
    parser.add_argument("--device", default=argparse.SUPPRESS, choices=("cupy",), help="cupy: train on the GPU")
    return parser.parse_args()


def device(options: argparse.Namespace) -> str:
    """Where to train: `model.to(device(options))`."""
    return getattr(options, "device", "numpy")


def history(columns: Any) -> dict[str, list[float]]:
    """The curves of a `training.History`, with six digits."""
    names = [name for name in columns.epochs[0] if name != "epoch"]
    return {name: [float(f"{value:.6g}") for value in columns.column(name)] for name in names}
