"""Training and evaluating a model: batches, augmentation, progress, history, early stop, checkpoints."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import re
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from zerohero import distributed, random
from zerohero.arguments import integer, reason, shown
from zerohero.checkpoints import checkpoint_path, forget_unfinished, load_checkpoint, save_checkpoint
from zerohero.nn.module import Module, first_not_finite
from zerohero.operation import array_module, engine_of, sliding_windows
from zerohero.ops.loss import cross_entropy
from zerohero.optim import Adam, CosineDecay, OneCycle, Optimizer, Schedule
from zerohero.stepping import Stepper
from zerohero.tensor import Tensor, move, no_grad

# Steps on a GPU between two looks at the loss. A look waits until the GPU has done everything it was told; in between
# it is told of the next steps while it computes. What went wrong shows so many steps later, and is then found again.
LOOK_EVERY = 50

SCHEDULES: dict[str, Callable[[], Schedule]] = {"one-cycle": OneCycle, "cosine": CosineDecay}


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

    Examples
    --------
    >>> Evaluation(loss=0.1, accuracy=0.5, scores=np.eye(2), predictions=np.array([0, 1])).accuracy
    0.5
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
            places = sliding_windows(padded, size, (2, 3))  # (N, C, down, right, h, w)
            down, right = (_integers(rng, n, count, images) for n in places.shape[2:4])
            images = places[array_module(images).arange(count), :, down, right]
        if self.flip:
            on_gpu = engine_of(images) == "cupy"
            mirrored = _integers(rng, 2, count, images) == 0 if on_gpu else rng.random((count,)) < 0.5
            images = np.where(mirrored[:, None, None, None], images[..., ::-1], images)
        return images

    def __repr__(self) -> str:
        return f"Augmentation(shift={self.shift}, crop={self.crop}, flip={self.flip})"


def _integers(rng: np.random.Generator, below: int, count: int, beside: Any) -> Any:
    """Integers from 0 to below - 1, drawn by `rng`; where `beside` lies on a GPU, made there."""
    xp = array_module(beside)
    if xp is np:
        return rng.integers(0, below, count)
    return np.minimum(random.uniform((count,), rng, xp) * below, below - 1).astype(np.intp)  # it may round up to below


def classification_step(model: Module, images: Any, labels: Any) -> tuple[Tensor, Any]:
    """Loss and scores of a batch for an ordinary classifier: cross-entropy of what the model returns.

    Examples
    --------
    >>> loss, scores = classification_step(lambda x: x, [[0.0, 0.0]], [1])
    >>> round(loss.item(), 4)  # log 2
    0.6931
    """
    scores = model(Tensor(images))
    return cross_entropy(scores, labels), scores.data


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
        If it lies on a GPU (`model.to("cupy")`), images and labels are moved there, once, and the losses are looked at
        every 50 steps, since a look stops the GPU.
    train : Dataset, or (images (N, C, H, W), labels (N,))
        Or (features (N, D), labels), for a model that takes those: a head alone, on what `transfer.features` gives.
    validation : likewise, optional
        Evaluated after each epoch; never trained on.
    epochs, batch_size : int
    optimizer : Optimizer, optional
        Defaults to Adam with lr 1e-3 on all parameters.
    schedule : "one-cycle", "cosine", or a callable (step, total steps) -> factor for the learning rate, optional
        See `zerohero.optim`. Steps are counted from 0 here, whatever the optimizer did before.
    augment : Augmentation, or callable (images, rng) -> images, optional
        Applied to training images only, each epoch anew.
    seed : int
        Decides the order of examples, augmentation and dropout: the same seed gives the same numbers on the same
        machine with the same number of threads.
    patience : int, optional
        Stop when validation accuracy has not improved for so many epochs, and go back to the best weights.
    checkpoint : path ending in .safetensors, optional
        Written after each epoch. If it is there already and `resume` is true, training goes on from it and ends
        where an unbroken run would have ended, bit for bit. Without a schedule, `epochs` may be more than before.
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
        If the loss or a gradient is NaN or infinite. The message names the layer where that shows first, and the
        model is as it was before that step.

    Examples
    --------
    >>> from zerohero import nn
    >>> images = np.random.default_rng(0).random((100, 1, 4, 4), dtype=np.float32)
    >>> labels = (images.mean(axis=(1, 2, 3)) > 0.5).astype(int)
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    >>> history = fit(model, (images, labels), epochs=20, batch_size=10, progress=False)
    >>> history.column("loss")[-1] < history.column("loss")[0]
    True
    """
    images, labels = _examples(train, "fit", "train")
    if augment is not None and images.ndim != 4:
        raise ValueError(f"fit: augment changes images (N, C, H, W), but train has features of shape {images.shape}")
    held_out = None if validation is None else _examples(validation, "fit", "validation")
    epochs = integer(epochs, "fit", "epochs", least=1)
    batch_size = integer(batch_size, "fit", "batch_size", least=1)
    seed = integer(seed, "fit", "seed", least=0)
    if patience is not None:
        patience = integer(patience, "fit", "patience", least=1)
        if held_out is None:
            raise ValueError("fit: patience needs a validation set, but validation is None")
    if checkpoint is not None:
        checkpoint = checkpoint_path(checkpoint)  # says at once what would fail after the first epoch
    optimizer = Adam(model.parameters()) if optimizer is None else optimizer
    if not {id(p) for p in optimizer.parameters} & {id(p) for p in model.parameters()}:
        raise ValueError("fit: optimizer holds no parameter of this model; make it from this model's parameters()")
    if isinstance(schedule, str):
        if schedule not in SCHEDULES:
            raise ValueError(f"fit: schedule needs one of {', '.join(SCHEDULES)} or a callable, but got {schedule!r}")
        schedule = SCHEDULES[schedule]()
    steps = math.ceil(len(images) / batch_size)
    history, best = History(), _Best()
    settings = {
        "images": list(images.shape), "checksum of the labels": zlib.crc32(labels.tobytes()),
        "batch_size": batch_size, "validation": None if held_out is None else len(held_out[0]), "patience": patience,
        "seed": seed, "schedule": _described(schedule), "augment": _described(augment),
        "optimizer": _described(optimizer), "total steps": schedule and steps * epochs,
    }  # fmt: skip
    images, labels = _beside(model, images), _beside(model, labels)
    if checkpoint is not None and distributed.is_first():
        forget_unfinished(checkpoint)
    if checkpoint is not None and resume:
        _restore(checkpoint, model, optimizer, history, best, settings, epochs)

    stepper = Stepper(model, optimizer, _step_of(model))

    def factor(step: int) -> float:
        return 1.0 if schedule is None else schedule(step, steps * epochs)

    shown = progress and distributed.is_first()
    together = distributed.exchanging(model, len(images), batch_size)
    with together, _Bar(epochs, steps, done=len(history), shown=shown) as bar:
        while len(history) < epochs and not history.stopped_early:
            started, epoch = time.perf_counter(), len(history) + 1
            with random.seeded([seed, epoch]) as rng:
                batches = _batches(images, labels, batch_size, augment, rng)
                row = _epoch(stepper, batches, factor, (epoch - 1) * steps, rng, bar)
            if held_out is not None:
                measured = evaluate(model, held_out, batch_size=max(batch_size, 256))
                row |= {"val_loss": measured.loss, "val_accuracy": measured.accuracy}
            if patience is not None:
                best.look(measured.accuracy, epoch, model)
                history.stopped_early = epoch - best.epoch >= patience
            history.epochs.append({"epoch": epoch} | row | {"seconds": time.perf_counter() - started})
            if checkpoint is not None:
                if distributed.is_first():
                    _store(checkpoint, model, optimizer, history, best, settings)
                distributed.total(0.0)  # nobody goes on before it is written
    if best.weights:
        model.load_state_dict(best.weights)
    return history


def evaluate(model: Module, dataset: Any, *, batch_size: int = 256) -> Evaluation:
    """Loss, accuracy and predictions of a model in evaluation mode.

    Parameters
    ----------
    model : Module
    dataset : Dataset, or (images (N, C, H, W), labels (N,)), or (features (N, D), labels (N,))
    batch_size : int
        Does not change the result beyond rounding.

    Returns
    -------
    Evaluation

    Examples
    --------
    >>> from zerohero import datasets, weights
    >>> found = evaluate(weights.load("lenet5_digits"), datasets.load("digits", "test", size=28))
    >>> found.accuracy > 0.985, found.predictions.shape
    (True, (449,))
    """
    images, labels = _examples(dataset, "evaluate", "dataset")
    integer(batch_size, "evaluate", "batch_size", least=1)
    step = _step_of(model)
    modes = [(module, module.training) for _, module in model.named_modules()]
    model.eval()
    losses, pieces = [], []
    on_device, right = _beside(model, images), _beside(model, labels)
    try:
        with no_grad():
            for start in range(0, len(images), batch_size):
                chunk = slice(start, start + batch_size)
                loss, scores = step(model, on_device[chunk], right[chunk])
                losses.append((loss, len(scores)))
                pieces.append(scores)
    finally:
        for module, mode in modes:
            module.training = mode
    scores = np.concatenate([move(piece, "numpy") for piece in pieces])
    predictions = scores.argmax(axis=1)
    total = sum(loss.item() * count for loss, count in losses)
    return Evaluation(total / len(images), float((predictions == labels).mean()), scores, predictions)


# ---- one epoch ------------------------------------------------------------------------------------------


def _batches(images, labels, batch_size, augment, rng) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All examples once in random order, batch by batch."""
    order = array_module(images).asarray(rng.permutation(len(images)))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        batch = images[chosen] if augment is None else augment(images[chosen], rng)
        yield distributed.my_share(batch, labels[chosen])


def _epoch(stepper, batches, factor, first, rng, bar) -> dict[str, float]:
    """Take a step for every batch, the first of them number `first`; the means of loss and accuracy on the way."""
    model, optimizer = stepper.model, stepper.optimizer
    model.train()
    loss_sum = correct = seen = 0.0
    watched = (_in_one_go if _on_gpu(model) else _one_by_one)(stepper, enumerate(batches, first), factor, rng)
    try:
        for steps, loss, right, count in watched:
            loss_sum, correct, seen = loss_sum + loss, correct + right, seen + count
            bar.step(loss_sum / seen, correct / seen, steps)
        rate = optimizer.groups[0]["lr"] * optimizer.factor
    finally:
        optimizer.factor = 1.0  # whoever steps this optimizer next starts from its own learning rate
    distributed.agree_on_buffers(model)
    loss_sum, correct, seen = distributed.total(loss_sum, correct, seen)
    return {"loss": loss_sum / seen, "accuracy": correct / seen, "lr": rate}


def _one_by_one(stepper, batches, factor, rng) -> Iterator[tuple[int, float, float, int]]:
    """Take the steps, and look at each: (1, sum of the losses, right answers, examples) of every batch."""
    optimizer = stepper.optimizer
    for number, (images, labels) in batches:
        optimizer.factor = _finite_factor(factor, number)
        loss, scores = _step(stepper.model, images, labels, optimizer, rng, number + 1)
        yield 1, loss * len(labels), float((scores.argmax(axis=1) == labels).sum()), len(labels)


def _in_one_go(stepper, batches, factor, rng) -> Iterator[tuple[int, float, float, int]]:
    """Take LOOK_EVERY steps at a time on the GPU, and look at them together; if one went wrong, go back and find it."""
    model, optimizer = stepper.model, stepper.optimizer
    while True:
        before, taken, loss_sum, right = _Snapshot(model, optimizer), [], 0.0, 0.0
        for number, (images, labels) in itertools.islice(batches, LOOK_EVERY):
            taken.append((number, images, labels, rng.bit_generator.state))
            optimizer.factor = _finite_factor(factor, number)
            with np.errstate(all="ignore"):
                loss, scores = stepper(images, labels)
            loss_sum = loss_sum + loss.astype(np.float64) * len(labels)
            right = right + (scores.argmax(axis=1) == labels).sum()
        if not taken:
            return
        loss_sum, right, finite = _look(loss_sum, right, [parameter.data for parameter in model.parameters()])
        if not (finite and math.isfinite(loss_sum)):
            loss_sum = _again(model, before, taken, optimizer, factor, rng)
        yield len(taken), loss_sum, right, sum(len(labels) for _, _, labels, _ in taken)


def _look(loss_sum, right, weights) -> tuple[float, float, bool]:
    """The sums, and whether all weights are finite, in a single copy from the GPU."""
    xp = array_module(loss_sum)
    finite = xp.stack([np.isfinite(array).all() for array in weights]).all()
    seen = move(xp.stack([value.astype(np.float64) for value in (loss_sum, right, finite)]), "numpy")
    return float(seen[0]), float(seen[1]), bool(seen[2])


def _again(model, before, taken, optimizer, factor, rng) -> float:
    """From where all was well take the same steps once more, looking at each: the one that goes wrong raises."""
    before.restore()
    after, loss_sum = rng.bit_generator.state, 0.0
    for number, images, labels, drawn in taken:
        rng.bit_generator.state, optimizer.factor = drawn, factor(number)
        loss_sum += _step(model, images, labels, optimizer, rng, number + 1)[0] * len(labels)
    rng.bit_generator.state = after
    return loss_sum


def _finite_factor(factor, number: int) -> float:
    value = factor(number)
    if not math.isfinite(value):
        raise ValueError(f"fit: schedule needs to give finite numbers, but gave {value} at step {number}")
    return value


class _Snapshot:
    """Weights, buffers and the optimizer's state, to go back to."""

    def __init__(self, model: Module, optimizer: Optimizer):
        self.model, self.optimizer, self.steps = model, optimizer, optimizer.steps
        self.weights = {name: array.copy() for name, array in model.state_dict().items()}
        self.state = [
            {name: value.copy() if hasattr(value, "copy") else value for name, value in state.items()}
            for state in optimizer.state
        ]

    def restore(self) -> None:
        self.model.load_state_dict(self.weights)
        self.optimizer.state, self.optimizer.steps = self.state, self.steps


def _on_gpu(model: Module) -> bool:
    return any(engine_of(parameter.data) == "cupy" for parameter in model.parameters())


def _beside(model: Module, array: Any) -> Any:
    """An array where the model's parameters lie."""
    return move(array, "cupy" if _on_gpu(model) else "numpy")


def _step(model, images, labels, optimizer, rng, number) -> tuple[float, Any]:
    """Change the weights once; or raise, with everything as it was before, if loss or gradients aren't finite."""
    step = _step_of(model)
    draws, buffers = rng.bit_generator.state, [(buffer, buffer.copy()) for _, buffer in model.named_buffers()]
    optimizer.zero_grad()
    with np.errstate(all="ignore"):  # what overflows shows in what is looked at here
        loss, scores = step(model, images, labels)
        value = loss.item()
        if math.isfinite(value):
            distributed.backward(loss, len(labels))
            wrong = [name for name, p in model.named_parameters() if not _finite(p.grad)]
            if not wrong:
                optimizer.step()
                return value, scores
            what = f"the gradient of {wrong[-1]} became NaN or infinite at step {number}, while the loss is {value:g}"
        else:
            rng.bit_generator.state = draws  # dropout drops the same again
            layer = first_not_finite(model, lambda: step(model, images, labels))
            place = f"first in the output of {layer}" if layer else "in the loss itself, no layer's output is to blame"
            place = place if _finite(images) else "already in the images that augment made"
            what = f"the loss became {value} at step {number}, {place}"
    optimizer.zero_grad()
    for buffer, before in buffers:
        buffer[...] = before
    raise FloatingPointError(
        f"fit: {what}; the weights are those before this step; "
        f"try a learning rate below {optimizer.groups[0]['lr'] * optimizer.factor:g}, or look for a division by zero"
    )


def _finite(array: Any) -> bool:
    return array is None or bool(np.isfinite(array).all())


def _step_of(model: Module) -> Callable:
    own = getattr(type(model), "training_step", None)
    return own if own is not None else classification_step


def _examples(data: Any, where: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of a Dataset or a pair, checked."""
    images, labels = (data.images, data.labels) if hasattr(data, "images") else _pair(data, where, name)
    images, labels = np.asarray(move(images, "numpy")), np.asarray(move(labels, "numpy"))
    if images.ndim not in (2, 4):
        raise ValueError(f"{where}: {name} needs images (N, C, H, W) or features (N, D), but got shape {images.shape}")
    if images.dtype not in (np.float32, np.float64):
        images = images.astype(np.float32)
    if len(images) == 0:
        raise ValueError(f"{where}: {name} holds no images")
    if labels.shape[:1] != images.shape[:1]:
        raise ValueError(f"{where}: {name} has {len(images)} images, but labels of shape {labels.shape}")
    if not np.isfinite(images).all():
        first = int(np.flatnonzero(~np.isfinite(images).all(axis=tuple(range(1, images.ndim))))[0])
        raise ValueError(f"{where}: {name} holds NaN or infinity, first in image {first}")
    return images, labels


def _pair(data: Any, where: str, name: str) -> tuple[Any, Any]:
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise TypeError(f"{where}: {name} needs a Dataset or a pair (images, labels), but got {type(data).__name__}")
    return data[0], data[1]


# ---- progress, best weights, checkpoints ----------------------------------------------------------------


class _Bar:
    """The progress bar: one tick a batch, loss and accuracy of the running epoch beside it."""

    def __init__(self, epochs: int, steps: int, *, done: int, shown: bool):
        from tqdm.auto import tqdm

        self.epochs, self.steps = epochs, steps
        self.bar = tqdm(total=epochs * steps, initial=done * steps, disable=not shown, unit="batch", leave=True)

    def step(self, loss: float, accuracy: float, steps: int = 1) -> None:
        if not self.bar.disable:
            self.bar.set_description(f"epoch {self.bar.n // self.steps + 1}/{self.epochs}", refresh=False)
            self.bar.set_postfix_str(f"loss {loss:.4f}, accuracy {accuracy:.4f}", refresh=False)
        self.bar.update(steps)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.bar.close()


class _Best:
    """The best validation accuracy so far, and the weights that had it."""

    def __init__(self) -> None:
        self.accuracy, self.epoch = -1.0, 0
        self.weights: dict[str, Any] = {}

    def look(self, accuracy: float, epoch: int, model: Module) -> None:
        if accuracy > self.accuracy:
            self.accuracy, self.epoch = accuracy, epoch
            self.weights = {name: value.copy() for name, value in model.state_dict().items()}


def _store(path, model, optimizer, history, best, settings) -> None:
    groups = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "best": best.weights}
    arrays = {f"{group}/{name}": move(a, "numpy") for group, state in groups.items() for name, a in state.items()}
    facts = {
        "settings": settings, "epochs": history.epochs, "stopped_early": history.stopped_early,
        "best_accuracy": best.accuracy, "best_epoch": best.epoch,
    }  # fmt: skip
    save_checkpoint(path, arrays, facts)


def _described(setting: Any) -> str:
    """A setting in words that are the same in every process: without addresses."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(setting))


def _check_facts(path, facts: Any) -> None:
    """A checkpoint's facts are of the kinds that `_store` writes."""
    kinds: dict[str, Any] = {
        "settings": dict, "epochs": list, "stopped_early": bool, "best_accuracy": (int, float), "best_epoch": int,
    }  # fmt: skip
    told = facts if isinstance(facts, dict) else {}
    wrong = [name for name, kind in kinds.items() if not isinstance(told.get(name), kind)]
    if not wrong and not all(map(_is_row, told["epochs"])):
        wrong = ["epochs"]
    if wrong:
        what = shown(told.get(wrong[0]))
        raise ValueError(f"fit: checkpoint {str(path)!r} is damaged: its {wrong[0]} can't be {what}")


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and "loss" in row and all(isinstance(value, (int, float)) for value in row.values())


def _restore(path, model, optimizer, history, best, settings, epochs) -> None:
    found = load_checkpoint(path)
    if found is None:
        return
    arrays, facts = found
    _check_facts(path, facts)
    for name, value in settings.items():
        if (then := facts["settings"].get(name)) != value:
            raise ValueError(
                f"fit: checkpoint {str(path)!r} was written with {name} {then!r:.200}, but now it is {value!r:.200}; "
                "use the same settings, another path, or resume=False"
            )
    if len(facts["epochs"]) > epochs:
        raise ValueError(
            f"fit: epochs is {epochs}, but checkpoint {str(path)!r} holds {len(facts['epochs'])}; "
            "use another path, or resume=False"
        )
    states: dict[str, dict[str, np.ndarray]] = {"model": {}, "optimizer": {}, "best": {}}
    for key, value in arrays.items():
        group, _, name = key.partition("/")
        states.setdefault(group, {})[name] = value
    before = _Snapshot(model, optimizer)
    try:
        model.load_state_dict(states["model"])
        optimizer.load_state_dict(states["optimizer"])
    except (ValueError, TypeError, OverflowError) as error:
        before.restore()
        raise ValueError(
            f"fit: checkpoint {str(path)!r} is of another model or optimizer: {reason(error, 600)}"
        ) from None
    history.epochs, history.stopped_early = facts["epochs"], facts["stopped_early"]
    best.accuracy, best.epoch, best.weights = facts["best_accuracy"], facts["best_epoch"], states["best"]
