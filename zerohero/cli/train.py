"""`zerohero train`: train a model by its recipe, measure it, save it with a card that says how it was made."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer


def train(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model, such as lenet5.")],
    data: Annotated[str, typer.Option(help="Name of the data set, such as digits or mnist.")],
    preset: Annotated[str | None, typer.Option(help="For capsnet: paper, authors or fast.")] = None,
    epochs: Annotated[int | None, typer.Option(help="How often to go through the images.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images in a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    schedule: Annotated[str | None, typer.Option(help="one-cycle, cosine or none.")] = None,
    shift: Annotated[int | None, typer.Option(help="Move training images by up to so many pixels.")] = None,
    flip: Annotated[bool | None, typer.Option(help="Mirror training images by chance.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same machine, same numbers.")] = 0,
    validation: Annotated[
        float, typer.Option(help="Share of the training images to hold out and evaluate after each epoch.")
    ] = 0.0,
    limit: Annotated[int | None, typer.Option(help="Train on so many images only.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Keep each finished epoch in this .safetensors file.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint if it is there.")] = True,
    out: Annotated[Path | None, typer.Option(help="Write weights to this .safetensors file, and a .json card.")] = None,
    dtype: Annotated[str, typer.Option(help="Type of the written weights: float32 or float16.")] = "float32",
    curves: Annotated[
        Path | None, typer.Option(help="Draw loss and accuracy of the epochs into this .png file.")
    ] = None,
    backend: Annotated[str, typer.Option(help="What computes: numpy, numba, or cupy for a GPU.")] = "numpy",
    as_json: Annotated[bool, typer.Option("--json", help="Print only the card, as JSON.")] = False,
) -> int:
    """Train a model by its recipe, and measure it on the test split.

    What you don't set, the recipe for this model and data set decides.

    \b
    zerohero train lenet5 --data digits
    zerohero train lenet5 --data mnist --epochs 3 --out lenet5_mnist.safetensors
    zerohero train lenet5 --data mnist --validation 0.1 --checkpoint run.safetensors
    zerohero train capsnet --preset fast --data mnist --curves curves.png
    torchrun --nproc-per-node 2 -m zerohero train capsnet --data mnist --backend numba --checkpoint run.safetensors
    """
    from zerohero import distributed, recipes
    from zerohero.checkpoints import weights_path
    from zerohero.operation import use_backend
    from zerohero.tensor import need_gpu

    given = dict(epochs=epochs, batch_size=batch_size, lr=lr, schedule=schedule, shift=shift, flip=flip)
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    also = dict(seed=seed, validation=validation or None, limit=limit, dtype=None if dtype == "float32" else dtype,
                backend=None if backend == "numpy" else backend, out=out and out.name)  # fmt: skip
    command = _command(model, dict(data=data, preset=preset) | chosen | also)
    if schedule == "none":
        chosen["schedule"] = None
    recipe = dataclasses.replace(recipes.find(model, data), **chosen)
    if preset is not None:
        recipe = dataclasses.replace(recipe, options={**recipe.options, "preset": preset})
    if backend == "cupy":
        need_gpu()
        os.environ.setdefault("CUPY_TF32", "1")  # products on the tensor cores; CUPY_TF32=0 asks for all of float32
    else:
        use_backend(backend)
    if out is not None:
        weights_path(out)  # says now what would fail after the training
    if curves is not None:
        _picture_path(curves)
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_MININTERVAL", "30")  # a log needs no film
    distributed.join()
    if not as_json and distributed.is_first():
        print(f"{model} on {data}: {recipe}, seed {seed}", flush=True)
    try:
        trained = recipes.train(recipe, seed=seed, limit=limit, validation=validation, dtype=dtype,
                                device="cupy" if backend == "cupy" else "numpy", checkpoint=checkpoint,
                                resume=resume, progress=not as_json)  # fmt: skip
    except KeyboardInterrupt:
        typer.echo(_stopped(checkpoint), err=True)
        return 130
    if not distributed.is_first():
        return 0  # rank 0 writes and prints
    files = trained.save(out, command) if out is not None else ()
    if curves is not None:
        _draw(trained.history, f"{model} on {data}", curves)
    if as_json:
        print(json.dumps(trained.card(command), indent=2, ensure_ascii=False))
    else:
        print("\n".join(_summary(trained.card(command), trained.test_note, files)))
    return 0


def _command(model: str, options: dict[str, Any]) -> str:
    """The command line that does this, without folders of this machine."""
    words = ["zerohero", "train", model]
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True or value is False:
            words.append(flag if value else f"--no-{name}")
        elif value is not None:
            words += [flag, str(value)]
    return shlex.join(words)


def _stopped(checkpoint: Path | None) -> str:
    from zerohero.checkpoints import load_checkpoint

    if checkpoint is None:
        return "zerohero train: stopped; nothing was kept (with --checkpoint FILE, finished epochs are)"
    found = load_checkpoint(checkpoint)
    if found is None:
        return f"zerohero train: stopped before the first epoch was done, so there is no checkpoint {checkpoint} yet"
    return (
        f"zerohero train: stopped; checkpoint {checkpoint} holds the epochs done so far ({len(found[1]['epochs'])}), "
        "and the same command goes on from there"
    )


def _picture_path(path: Path) -> None:
    if path.suffix != ".png":
        raise ValueError(f"train: --curves needs a file that ends in .png, but got {path.name!r}")
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"train: --curves needs a folder that exists, but {str(path.parent)!r} doesn't")


def _draw(history: Any, title: str, path: Path) -> None:
    from zerohero import visualize

    visualize.curves(history, title=title).savefig(path)


def _summary(card: dict[str, Any], note: str, files: tuple[Path, ...]) -> list[str]:
    """What came out, in a few lines."""
    last, test = card["history"][-1], card["test"]
    lines = [
        f"{card['parameters']:,} parameters, trained on {card['data']['examples']:,} images in {card['seconds']:.1f} s",
        f"last epoch: {last['accuracy']:.2%} right, loss {last['loss']:.4f}, counted while the weights still changed",
    ]
    if card["data"]["note"]:
        lines.append(f"  note: {card['data']['note']}")
    if "val_loss" in last:
        lines.append(f"validation: {last['val_accuracy']:.2%} right, loss {last['val_loss']:.4f}")
    if test:
        lines.append(f"test: {test['right']:,} of {test['examples']:,} right, {test['accuracy']:.2%}; "
                     f"loss {test['loss']:.4f}")  # fmt: skip
        lines += [f"  note: {note}"] if note else []
    else:
        lines.append(f"test: not measured, there is no test split here: {note}")
    lines.append(f"weights: {files[0]}, and how they were made: {files[1]}" if files
                 else "weights: not kept (--out FILE.safetensors writes them)")  # fmt: skip
    return lines
