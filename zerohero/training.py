"""Training and evaluating a model: batches, augmentation, progress, history, early stop, checkpoints."""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from zerohero import random
from zerohero.arguments import integer
from zerohero.checkpoints import load_checkpoint, save_checkpoint
from zerohero.nn.module import Module, first_not_finite
from zerohero.ops.loss import cross_entropy
from zerohero.optim import Adam, OneCycle, Optimizer, Schedule
from zerohero.tensor import Tensor, no_grad

SCHEDULES: dict[str, Callable[[], Schedule]] = {"one-cycle": OneCycle}


class History:
    """What happened epoch by epoch.

    Attributes
    ----------
    epochs : list of dict
        One for each epoch: epoch, loss, accuracy, val_loss and val_accuracy if there was a validation set, lr, seconds.
    stopped_early : bool

    Examples
    --------
    >>> history = History([{"epoch": 1, "loss": 2.3}, {"epoch": 2, "loss": 0.9}])
    >>> history.column("loss")
    [2.3, 0.9]
    """

    def __init__(self, epochs: list[dict[str, float]] | None = None, stopped_early: bool = False):
        self.epochs = epochs or []
        self.stopped_early = stopped_early

    def column(self, name: str) -> list[float]:
        """One quantity over the epochs."""
        if self.epochs and name not in self.epochs[0]:
            raise ValueError(f"column: name needs one of {', '.join(self.epochs[0])}, but got {name!r}")
        return [row[name] for row in self.epochs]

    def __len__(self) -> int:
        return len(self.epochs)

    def __repr__(self) -> str:
        if not self.epochs:
            return "History(no epochs)"
        last = ", ".join(f"{k} {v:.4g}" for k, v in self.epochs[-1].items() if k not in ("epoch", "seconds"))
        return f"History({len(self)} epochs; last: {last})"


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """How a model does on a data set.

    Attributes
    ----------
    loss, accuracy : float
        Means over all examples.
    scores : array (N, classes)
    predictions : int array (N,)
    """

    loss: float
    accuracy: float
    scores: np.ndarray = dataclasses.field(repr=False)
    predictions: np.ndarray = dataclasses.field(repr=False)


class Augmentation:
    """Small random changes of the images of a batch, drawn for each image anew.

    Parameters
    ----------
    shift : int
        Moves each image by up to so many pixels down or up and right or left; zeros come in from outside.
    crop : int, optional
        Cuts a random square of this side out of each image.
    flip : bool
        Mirrors every second image, left to right, by chance. Not for digits.

    Examples
    --------
    >>> images = np.zeros((4, 1, 28, 28), np.float32)
    >>> Augmentation(shift=2)(images, np.random.default_rng(0)).shape
    (4, 1, 28, 28)
    """

    def __init__(self, *, shift: int = 0, crop: int | None = None, flip: bool = False):
        self.shift = integer(shift, "Augmentation", "shift", least=0)
        self.crop = None if crop is None else integer(crop, "Augmentation", "crop", least=1)
        self.flip = bool(flip)

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        count, _, height, width = images.shape
        size = (height, width) if self.crop is None else (self.crop, self.crop)
        if size[0] > height or size[1] > width:
            raise ValueError(f"Augmentation: crop {self.crop} is larger than the images, {height} × {width}")
        if self.shift or self.crop:
            s = self.shift
            padded = np.pad(images, ((0, 0), (0, 0), (s, s), (s, s)))
            places = np.lib.stride_tricks.sliding_window_view(padded, size, axis=(2, 3))  # (N, C, down, right, h, w)
            down, right = (rng.integers(0, n, count) for n in places.shape[2:4])
            images = places[np.arange(count), :, down, right]
        if self.flip:
            mirrored = rng.random(count) < 0.5
            images = np.where(mirrored[:, None, None, None], images[..., ::-1], images)
        return images

    def __repr__(self) -> str:
        return f"Augmentation(shift={self.shift}, crop={self.crop}, flip={self.flip})"


def classification_step(model: Module, images: Any, labels: Any) -> tuple[Tensor, np.ndarray]:
    """Loss and scores of a batch for an ordinary classifier: cross-entropy of what the model returns."""
    scores = model(Tensor(images))
    return cross_entropy(scores, labels), scores.numpy()


def fit(
    model: Module,
    train: Any,
    *,
    validation: Any = None,
    epochs: int = 10,
    batch_size: int = 64,
    optimizer: Optimizer | None = None,
    schedule: str | Schedule | None = None,
    augment: Augmentation | Callable | None = None,
    seed: int = 0,
    patience: int | None = None,
    checkpoint: str | os.PathLike | None = None,
    resume: bool = True,
    progress: bool = True,
) -> History:
    """Train a model, showing loss and accuracy as it goes.

    Parameters
    ----------
    model : Module
        Its own `training_step(images, labels) -> (loss, scores)` is used if it has one, else `classification_step`.
    train : Dataset, or (images (N, C, H, W), labels (N,))
    validation : likewise, optional
        Evaluated after each epoch; never trained on.
    epochs, batch_size : int
    optimizer : Optimizer, optional
        Defaults to Adam with lr 1e-3 on all parameters.
    schedule : "one-cycle", or a callable (step, total steps) -> factor for the learning rate, optional
        See `zerohero.optim`.
    augment : Augmentation, or callable (images, rng) -> images, optional
        Applied to training images only, each epoch anew.
    seed : int
        Decides the order of examples, augmentation and dropout: same seed, same machine, same numbers.
    patience : int, optional
        Stop when validation accuracy has not improved for so many epochs, and go back to the best weights.
    checkpoint : path ending in .safetensors, optional
        Written after each epoch. If it is there already and `resume` is true, training goes on from it and ends
        where an unbroken run would have ended, bit for bit.
    resume : bool
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    History

    Raises
    ------
    ValueError
        If the data don't fit together, or a checkpoint belongs to other settings.
    FloatingPointError
        If the loss is NaN or infinite; the message names the first layer where that shows.
    """
    images, labels = _examples(train, "train")
    held_out = None if validation is None else _examples(validation, "validation")
    epochs = integer(epochs, "fit", "epochs", least=1)
    batch_size = integer(batch_size, "fit", "batch_size", least=1)
    if patience is not None and held_out is None:
        raise ValueError("fit: patience needs a validation set, but validation is None")
    optimizer = Adam(model.parameters()) if optimizer is None else optimizer
    if isinstance(schedule, str):
        if schedule not in SCHEDULES:
            raise ValueError(f"fit: schedule needs one of {', '.join(SCHEDULES)} or a callable, but got {schedule!r}")
        schedule = SCHEDULES[schedule]()
    steps = math.ceil(len(images) / batch_size)
    history, best = History(), _Best()
    settings = {
        "examples": len(images), "batch_size": batch_size, "seed": seed, "schedule": repr(schedule),
        "augment": repr(augment), "optimizer": type(optimizer).__name__, "total": schedule and steps * epochs,
    }  # fmt: skip
    if checkpoint is not None and resume:
        _restore(checkpoint, model, optimizer, history, best, settings)
    bar = _Bar(epochs, steps, done=len(history), shown=progress)
    for epoch in range(len(history) + 1, epochs + 1):
        if history.stopped_early:
            break
        started = time.perf_counter()
        with random.seeded([seed, epoch]) as rng:
            row = _epoch(model, images, labels, batch_size, optimizer, schedule, steps * epochs, augment, rng, bar)
        if held_out is not None:
            measured = evaluate(model, held_out, batch_size=max(batch_size, 256))
            row |= {"val_loss": measured.loss, "val_accuracy": measured.accuracy}
            best.look(measured.accuracy, epoch, model)
        history.epochs.append({"epoch": epoch} | row | {"seconds": time.perf_counter() - started})
        history.stopped_early = patience is not None and epoch - best.epoch >= patience
        if checkpoint is not None:
            _store(checkpoint, model, optimizer, history, best, settings)
    bar.close()
    if patience is not None and best.weights:
        model.load_state_dict(best.weights)
    return history


def evaluate(model: Module, dataset: Any, *, batch_size: int = 256) -> Evaluation:
    """Loss, accuracy and predictions of a model in evaluation mode.

    Parameters
    ----------
    model : Module
    dataset : Dataset, or (images (N, C, H, W), labels (N,))
    batch_size : int
        Does not change the result beyond rounding.

    Returns
    -------
    Evaluation
    """
    images, labels = _examples(dataset, "dataset")
    integer(batch_size, "evaluate", "batch_size", least=1)
    step = _step_of(model)
    modes = [(module, module.training) for _, module in model.named_modules()]
    model.eval()
    losses, pieces = [], []
    try:
        with no_grad():
            for start in range(0, len(images), batch_size):
                chunk = slice(start, start + batch_size)
                loss, scores = step(model, images[chunk], labels[chunk])
                losses.append(loss.item() * len(scores))
                pieces.append(scores)
    finally:
        for module, mode in modes:
            module.training = mode
    scores = np.concatenate(pieces)
    predictions = scores.argmax(axis=1)
    return Evaluation(sum(losses) / len(images), float((predictions == labels).mean()), scores, predictions)


# ---- one epoch ------------------------------------------------------------------------------------------


def _epoch(model, images, labels, batch_size, optimizer, schedule, total, augment, rng, bar) -> dict[str, float]:
    """Go through all examples once in random order; the means of loss and accuracy on the way."""
    step = _step_of(model)
    model.train()
    order = rng.permutation(len(images))
    loss_sum = correct = seen = 0.0
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        batch = images[chosen] if augment is None else augment(images[chosen], rng)
        if schedule is not None:
            optimizer.factor = schedule(optimizer.steps, total)
        optimizer.zero_grad()
        loss, scores = step(model, batch, labels[chosen])
        value = loss.item()
        if not math.isfinite(value):
            _explain(model, batch, value, optimizer)
        loss.backward()
        optimizer.step()
        loss_sum += value * len(chosen)
        correct += float((scores.argmax(axis=1) == labels[chosen]).sum())
        seen += len(chosen)
        bar.step(loss_sum / seen, correct / seen)
    rate = optimizer.groups[0]["lr"] * optimizer.factor
    return {"loss": loss_sum / seen, "accuracy": correct / seen, "lr": rate}


def _step_of(model: Module) -> Callable:
    own = getattr(type(model), "training_step", None)
    return own if own is not None else classification_step


def _explain(model: Module, batch: np.ndarray, value: float, optimizer: Optimizer) -> None:
    layer = first_not_finite(model, batch)
    place = f"first in the output of {layer}" if layer else "in the loss itself, no layer's output is to blame"
    raise FloatingPointError(
        f"fit: the loss became {value} at step {optimizer.steps + 1}, {place}; the weights are those before this step; "
        f"try a learning rate below {optimizer.groups[0]['lr'] * optimizer.factor:g}, or look for a division by zero"
    )


def _examples(data: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of a Dataset or a pair, checked."""
    images, labels = (data.images, data.labels) if hasattr(data, "images") else _pair(data, name)
    images, labels = np.asarray(images), np.asarray(labels)
    if images.ndim != 4:
        raise ValueError(f"fit: {name} needs images of shape (N, C, H, W), but they have shape {images.shape}")
    if images.dtype not in (np.float32, np.float64):
        images = images.astype(np.float32)
    if len(images) == 0:
        raise ValueError(f"fit: {name} holds no images")
    if labels.shape[:1] != images.shape[:1]:
        raise ValueError(f"fit: {name} has {len(images)} images, but labels of shape {labels.shape}")
    if not np.isfinite(images).all():
        first = int(np.flatnonzero(~np.isfinite(images).all(axis=(1, 2, 3)))[0])
        raise ValueError(f"fit: {name} holds NaN or infinity, first in image {first}")
    return images, labels


def _pair(data: Any, name: str) -> tuple[Any, Any]:
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise TypeError(f"fit: {name} needs a Dataset or a pair (images, labels), but got {type(data).__name__}")
    return data[0], data[1]


# ---- progress, best weights, checkpoints ----------------------------------------------------------------


class _Bar:
    """The progress bar: one tick a batch, loss and accuracy of the running epoch beside it."""

    def __init__(self, epochs: int, steps: int, *, done: int, shown: bool):
        from tqdm.auto import tqdm

        self.epochs, self.steps = epochs, steps
        self.bar = tqdm(total=epochs * steps, initial=done * steps, disable=not shown, unit="batch", leave=True)

    def step(self, loss: float, accuracy: float) -> None:
        if not self.bar.disable:
            self.bar.set_description(f"epoch {self.bar.n // self.steps + 1}/{self.epochs}", refresh=False)
            self.bar.set_postfix_str(f"loss {loss:.4f}, accuracy {accuracy:.4f}", refresh=False)
        self.bar.update()

    def close(self) -> None:
        self.bar.close()


class _Best:
    """The best validation accuracy so far, and the weights that had it."""

    def __init__(self) -> None:
        self.accuracy, self.epoch = -1.0, 0
        self.weights: dict[str, np.ndarray] = {}

    def look(self, accuracy: float, epoch: int, model: Module) -> None:
        if accuracy > self.accuracy:
            self.accuracy, self.epoch = accuracy, epoch
            self.weights = {name: np.array(value) for name, value in model.state_dict().items()}


def _store(path, model, optimizer, history, best, settings) -> None:
    groups = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "best": best.weights}
    arrays = {f"{group}/{name}": value for group, state in groups.items() for name, value in state.items()}
    facts = {
        "settings": settings, "epochs": history.epochs, "stopped_early": history.stopped_early,
        "best_accuracy": best.accuracy, "best_epoch": best.epoch,
    }  # fmt: skip
    save_checkpoint(path, arrays, facts)


def _restore(path, model, optimizer, history, best, settings) -> None:
    found = load_checkpoint(path)
    if found is None:
        return
    arrays, facts = found
    for name, value in settings.items():
        if facts["settings"].get(name) != value:
            raise ValueError(
                f"fit: checkpoint {str(path)!r} was written with {name} {facts['settings'].get(name)!r}, but now it is "
                f"{value!r}; use the same settings, another path, or resume=False"
            )
    states: dict[str, dict[str, np.ndarray]] = {"model": {}, "optimizer": {}, "best": {}}
    for key, value in arrays.items():
        group, _, name = key.partition("/")
        states[group][name] = value
    model.load_state_dict(states["model"])
    optimizer.load_state_dict(states["optimizer"])
    history.epochs, history.stopped_early = facts["epochs"], facts["stopped_early"]
    best.accuracy, best.epoch, best.weights = facts["best_accuracy"], facts["best_epoch"], states["best"]
