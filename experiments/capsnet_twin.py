"""Do our CapsNet and its twin in PyTorch learn the same from the same batches, and how long does each take?

Both start from the same weights and see the same images, shifted alike, in the same order, by the recipe of
`zerohero train capsnet --data mnist`. An epoch's batches are made before it; what is timed are the steps on them, until
the device is done. Held-out digits are looked at outside the timed part, the test images once, after the last step.
"""

import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from recording import Recording, arguments, device

sys.path.insert(0, str(Path(__file__).parent.parent))  # for benchmarks/peers, which aren't installed

import zerohero as zh
from zerohero import optim, recipes, training
from zerohero.stepping import Stepper
from zerohero.tensor import move, no_grad

TARGET = 0.99  # of the held-out digits
HELD_OUT = 2000


class Ours:
    """Our CapsNet: takes steps, and says which classes it sees."""

    name = "zerohero"

    def __init__(self, model: Any, lr: float):
        self.model, self.where = model, "cupy" if training._on_gpu(model) else "numpy"
        self.optimizer = optim.Adam(model.parameters(), lr=lr)
        self.stepper = Stepper(model.train(), self.optimizer, type(model).training_step)

    def batches(self, images: np.ndarray, labels: np.ndarray, size: int) -> list[tuple]:
        return list(_cut(move(images, self.where), move(labels, self.where), size))

    def step(self, images: Any, labels: Any, factor: float) -> None:
        self.optimizer.factor = factor
        self.stepper(images, labels)

    def wait(self) -> None:
        if self.where == "cupy":
            sys.modules["cupy"].cuda.get_current_stream().synchronize()

    def classes(self, images: np.ndarray) -> np.ndarray:
        with no_grad():
            pieces = [self.model(zh.Tensor(piece)) for piece, _ in self.batches(images, images[:, 0, 0, 0], 500)]
        return np.concatenate([(piece.numpy() ** 2).sum(-1).argmax(1) for piece in pieces])


class Twin:
    """The same in PyTorch, with fused Adam; its loss compiled by torch.compile if you like."""

    def __init__(self, ours: Any, lr: float, layout: str, compiled: bool = False):
        import torch

        from benchmarks.peers.capsnet import CapsNet
        from benchmarks.peers.capsule_layer import LAYOUTS

        self.torch, self.lr, self.where = torch, lr, "cuda" if training._on_gpu(ours) else "cpu"
        channels, types = ours.conv1.weight.shape[0], ours.digits.weight.shape[0] // 36
        hidden = tuple(layer.weight.shape[0] for layer in (ours.decoder.fc1, ours.decoder.fc2))
        self.model = CapsNet(channels, types, hidden, LAYOUTS[layout])
        weights = {name: torch.tensor(move(array, "numpy")) for name, array in ours.state_dict().items()}
        self.model.load_state_dict(weights)
        self.model.to(self.where)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=lr, fused=True)
        self.name, self.loss = "torch.compile" if compiled else "PyTorch", self.model.loss
        if compiled:
            mode = "reduce-overhead" if self.where == "cuda" else None  # repeats CUDA graphs, as ours does
            self.loss = torch.compile(self.model.loss, dynamic=False, mode=mode)

    def warm_up(self, images: np.ndarray, labels: np.ndarray, size: int) -> None:
        """Let everything be compiled, for whole batches and for the last one, without learning."""
        whole_and_last = self.batches(images, labels, size)[:: max(1, (len(images) - 1) // size)][-2:]
        for images, labels in whole_and_last * 3:
            self.loss(images, labels).backward()
            self.optimizer.zero_grad(set_to_none=True)

    def batches(self, images: np.ndarray, labels: np.ndarray, size: int) -> list[tuple]:
        return list(_cut(*(self.torch.from_numpy(array).to(self.where) for array in (images, labels)), size))

    def step(self, images: Any, labels: Any, factor: float) -> None:
        self.optimizer.param_groups[0]["lr"] = self.lr * factor
        self.optimizer.zero_grad(set_to_none=True)
        self.loss(images, labels).backward()
        self.optimizer.step()

    def wait(self) -> None:
        if self.where == "cuda":
            self.torch.cuda.synchronize()

    def classes(self, images: np.ndarray) -> np.ndarray:
        with self.torch.no_grad():
            pieces = [self.model(piece) for piece, _ in self.batches(images, images[:, 0, 0, 0], 500)]
        return np.concatenate([(piece**2).sum(-1).argmax(1).cpu().numpy() for piece in pieces])


def main() -> None:
    options = arguments(__doc__, seeds=3, epochs=8, images=60_000, test_images=10_000, every=50, preset="fast",
                        compiled=0)  # 1: torch.compile takes part
    on_gpu = device(options) == "cupy"
    if on_gpu:
        os.environ.setdefault("CUPY_TF32", "1")
    else:
        zh.use_backend(options.backend)
    threads = _like_ours(on_gpu)
    recipe = recipes.find("capsnet", "mnist")
    train, test = recipe.load("train"), recipe.load("test")
    if options.images < len(train):
        train = train.split(options.images / len(train), seed=0)[0]
    held_out, rest = train.split(min(HELD_OUT, len(train) // 3) / len(train), seed=0)
    settings = {name: value for name, value in vars(options).items() if name != "compiled" or value}
    settings |= {"threads": threads, "tf32": os.environ.get("CUPY_TF32") == "1"}
    recording = Recording("capsnet_twin", __doc__, settings)

    def fresh(seed: int) -> Any:
        zh.seed(seed)
        return zh.models.create("capsnet", preset=options.preset).to(device(options))

    def pair(seed: int, layout: str) -> dict:
        model = fresh(seed)
        twins = [Twin(model, recipe.lr, layout, compiled) for compiled in (False, True)[: 1 + (options.compiled > 0)]]
        everybody = [*twins, Ours(model, recipe.lr)]  # the twins copy the weights first
        batches = -(-len(rest) // recipe.batch_size)
        schedule, total = optim.OneCycle(), batches * options.epochs
        found = {one.name: {"epoch_seconds": [], "held_out": []} for one in everybody}
        for twin in twins[1:]:
            twin.warm_up(rest.images, rest.labels.astype(np.int64), recipe.batch_size)
        for epoch in range(options.epochs):
            rng = np.random.default_rng([seed, epoch])
            order = rng.permutation(len(rest))
            images = training.Augmentation(shift=recipe.shift)(rest.images[order], rng)
            labels = rest.labels[order].astype(np.int64)
            for one in everybody[:: 1 - 2 * (epoch % 2)]:  # who goes first changes from epoch to epoch
                factors = [schedule(epoch * batches + step, total) for step in range(batches)]
                _learn(one, one.batches(images, labels, recipe.batch_size), factors, found[one.name], held_out, options)
        for one in everybody:
            seen = one.classes(test.images[: options.test_images])
            found[one.name]["test_accuracy"] = float((seen == test.labels[: options.test_images]).mean())
        return found

    layout = recording.measure(lambda layout: _best_layout(fresh(0), rest, recipe), layout="the faster one")["best"]
    runs = [recording.measure(pair, seed=seed, layout=layout) for seed in range(options.seeds)]
    recording.content["summary"] = _summary(runs)
    recording._write()
    print(recording.content["summary"])


def _like_ours(on_gpu: bool) -> int:
    """Give PyTorch as many threads as ours, or TF32 where ours has it; how many threads."""
    import numba
    import torch

    threads = numba.get_num_threads()
    torch.set_num_threads(threads)
    tf32 = on_gpu and os.environ.get("CUPY_TF32") == "1"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    return threads


def _learn(one: Any, batches: list, factors: list[float], found: dict, held_out: Any, options: Any) -> None:
    """One epoch's steps, timed; every so many of them a look at the held-out digits, untimed."""
    before, seconds = sum(found["epoch_seconds"]), 0.0
    one.wait()
    begin = time.perf_counter()
    for number, ((images, labels), factor) in enumerate(zip(batches, factors, strict=True), 1):
        one.step(images, labels, factor)
        if number % options.every == 0 or number == len(batches):
            one.wait()
            seconds += time.perf_counter() - begin
            accuracy = float((one.classes(held_out.images) == held_out.labels).mean())
            found["held_out"].append({"seconds": round(before + seconds, 4), "accuracy": accuracy})
            one.wait()
            begin = time.perf_counter()
    found["epoch_seconds"].append(seconds)


def _best_layout(model: Any, examples: Any, recipe: Any, turns: int = 2, steps: int = 8) -> dict:
    """In which layout of the votes PyTorch is faster; everything is compiled and chosen by the way, ours too."""
    from benchmarks.peers.capsule_layer import LAYOUTS

    images, labels = examples.images[: recipe.batch_size], examples.labels[: recipe.batch_size].astype(np.int64)
    contestants = {layout: Twin(model, 0.0, layout) for layout in LAYOUTS} | {"zerohero": Ours(model, 0.0)}
    took: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(turns):  # in turns, so that a busy moment hits all; the first steps of each warm up
        for name, one in contestants.items():
            took[name] += _step_seconds(one, images, labels, 3 + steps)[3:]
    seconds = {name: statistics.median(each) for name, each in took.items()}
    return {"best": min(LAYOUTS, key=seconds.__getitem__), "step_seconds": seconds}


def _step_seconds(one: Any, images: np.ndarray, labels: np.ndarray, steps: int) -> list[float]:
    """What each of so many steps takes."""
    ((images, labels),) = one.batches(images, labels, len(images))
    took = []
    for _ in range(steps):
        begin = time.perf_counter()
        one.step(images, labels, 1.0)
        one.wait()
        took.append(time.perf_counter() - begin)
    return took


def _summary(runs: list[dict]) -> dict:
    """Of each the accuracy, and medians of seconds; of the others how many times as long as ours, epoch by epoch."""
    ours, *others = (name for name in ("zerohero", "PyTorch", "torch.compile") if name in runs[0])
    table: dict[str, Any] = {name: _row([run[name] for run in runs]) for name in (ours, *others)}
    for name in others:  # the machine's busy moments come and go: what is compared was taken side by side
        theirs, our = (np.array([run[who]["epoch_seconds"] for run in runs]) for who in (name, ours))
        table[name]["epoch_ratio"] = float(np.median(theirs / our))
    return table


def _row(runs: list[dict]) -> dict:
    accuracies = [run["test_accuracy"] for run in runs]
    to_target = [next((at["seconds"] for at in run["held_out"] if at["accuracy"] >= TARGET), None) for run in runs]
    reached = [seconds for seconds in to_target if seconds is not None]
    return {
        "test_accuracy": statistics.mean(accuracies),
        "test_accuracy_std": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        "epoch_seconds": statistics.median(seconds for run in runs for seconds in run["epoch_seconds"]),
        "reached_target": len(reached),
        "seconds_to_target": statistics.median(reached) if reached else None,
    }  # fmt: skip


def _cut(images: Any, labels: Any, size: int) -> Iterator[tuple[Any, Any]]:
    for start in range(0, len(images), size):
        yield images[start : start + size], labels[start : start + size]


if __name__ == "__main__":
    main()
