"""Trainings and writes that are killed by SIGKILL, and what is on the disk afterwards.

    python -m tests.killed_trainings --kills 50 --seed 0      trainings, killed at random moments and resumed
    python -m tests.killed_trainings --writes 40              writes of a checkpoint, killed at every call and in bytes

Every life of a training is a process of its own, forked from one that has never trained: it knows the file alone.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

import zerohero as zh
from zerohero import checkpoints, datasets, nn, optim, training
from zerohero.training import Augmentation

# ---- three trainings that differ in what has to survive ---------------------------------------------------


class Small(nn.Module):
    """A convolution, batch normalization, dropout: running statistics and random numbers in every step."""

    def __init__(self) -> None:
        self.conv, self.norm, self.drop = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.3)
        self.fc = nn.Linear(144, 10)

    def forward(self, x):
        return self.fc(self.drop(zh.flatten(zh.relu(self.norm(self.conv(x))))))


def small(**settings):
    """Adam, one cycle of the learning rate, shifts and flips, an early stop and the best weights."""
    model, train = Small(), datasets.load("digits")
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    history = training.fit(
        model, train.subset(range(300)), validation=train.subset(range(300, 380)), epochs=10, batch_size=32,
        optimizer=optimizer, schedule="one-cycle", augment=Augmentation(shift=1, flip=True), patience=9, seed=3,
        **settings,
    )  # fmt: skip
    return model, optimizer, history


def residual(**settings):
    """ResNet-20, thin: batch normalization in every block, momentum, random crops."""
    model, train = zh.models.create("resnet20", width=2, in_channels=1), datasets.load("digits")
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    history = training.fit(model, train.subset(range(64)), epochs=5, batch_size=16, optimizer=optimizer,
                           augment=Augmentation(shift=1, crop=8), seed=4, **settings)  # fmt: skip
    return model, optimizer, history


def capsules(**settings):
    """A CapsNet, thin, with its decoder and routing; Adam by default."""
    model = zh.models.create("capsnet", channels=4, types=2, dim=4, out_dim=4, hidden=(16, 16))
    train = datasets.load("digits", size=28)
    optimizer = optim.Adam(model.parameters())
    history = training.fit(model, train.subset(range(24)), epochs=4, batch_size=8, optimizer=optimizer, seed=5,
                           augment=Augmentation(shift=2), **settings)  # fmt: skip
    return model, optimizer, history


TRAININGS = {function.__name__: function for function in (small, residual, capsules)}


def life(name: str, checkpoint: Path, outcome: Path) -> None:
    """Train, from the checkpoint if there is one, and write everything that must be the same in the end."""
    zh.seed(1)
    before = zh.random.generator().random()
    model, optimizer, history = TRAININGS[name](checkpoint=checkpoint, progress=False)
    rows = [{key: value for key, value in row.items() if key != "seconds"} for row in history.epochs]
    drawn = [before, zh.random.generator().random()]  # the library's own numbers go on as if nothing was trained
    state = model.state_dict() | {f"optimizer {key}": value for key, value in optimizer.state_dict().items()}
    checkpoints.write_arrays(outcome, state, {"rows": json.dumps(rows), "drawn": json.dumps(drawn)})


def forked(work: Callable[[], None]) -> int:
    """Start a process that does that and nothing else; its id."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return child


def whole(name: str, folder: Path) -> tuple[bytes, float]:
    """The outcome of an unbroken training, as bytes, and how long it took."""
    start = time.perf_counter()
    child = forked(lambda: life(name, folder / "unbroken.safetensors", folder / "unbroken-outcome.safetensors"))
    assert os.waitpid(child, 0)[1] == 0
    return (folder / "unbroken-outcome.safetensors").read_bytes(), time.perf_counter() - start


def broken(name: str, folder: Path, most: int, seconds: float, dice: random.Random) -> tuple[bytes, list[int]]:
    """Train in lives that last a random time, until `most` were ended; then to the end. What each left behind."""
    path, outcome, epochs = folder / "run.safetensors", folder / "run-outcome.safetensors", []
    while True:
        child = forked(lambda: life(name, path, outcome))
        if len(epochs) < most:
            time.sleep(dice.uniform(0, seconds))
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        if status == 0:
            return outcome.read_bytes(), epochs
        assert status == signal.SIGKILL, f"the training ended with status {status}"
        found = checkpoints.load_checkpoint(path)
        epochs.append(len(found[1]["epochs"]) if found else 0)


def trainings(kills: int, seed: int, names: list[str]) -> int:
    """Kill until there were so many, shared out among the trainings; 1 if one ended elsewhere or lost an epoch."""
    wrong = 0
    for position, name in enumerate(names):
        dice, done, runs, left = random.Random(f"{seed} {name}"), 0, 0, set()
        share = kills // len(names) + (position < kills % len(names))
        with tempfile.TemporaryDirectory() as folder:
            expected, seconds = whole(name, Path(folder))
        while done < share:
            with tempfile.TemporaryDirectory() as folder:
                # A life lasts a third of the training at most, so that one training is killed several times.
                found, epochs = broken(name, Path(folder), min(share - done, 8), max(seconds / 3, 0.05), dice)
                left |= {path.name for path in Path(folder).iterdir() if path.name.startswith(".")}
            same, kept = found == expected, epochs == sorted(epochs)
            wrong += not (same and kept and not left)
            done, runs = done + len(epochs), runs + 1
            if not (same and kept and not left):
                print(f"{name}: same outcome {same}, epochs after each kill {epochs}, left behind {left}", flush=True)
        print(f"{name}: {done} kills in {runs} trainings of {seconds:.1f} s each", flush=True)
    print(f"{wrong} trainings ended elsewhere, lost an epoch or left something behind", flush=True)
    return int(wrong > 0)


# ---- one write, killed everywhere -------------------------------------------------------------------------


def store(path: Path, number: int) -> None:
    checkpoints.save_checkpoint(path, {"a": np.full(1000, number)}, {"epochs": [0] * number})


def killed_at_call(path: Path, number: int, at: int) -> None:
    """Store, and die before the call number `at` that Python makes to the file system."""
    calls = [0]

    def count(event: str, arguments: tuple) -> None:
        if event in ("open", "os.rename", "os.link", "os.remove", "os.chmod", "shutil.copyfile", "tempfile.mkstemp"):
            calls[0] += 1
            if calls[0] == at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    store(path, number)


def killed_at_byte(path: Path, number: int, at: int) -> None:
    """Store, and die when the byte number `at` of a file was written."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (at, at))
    store(path, number)


def writes(bytes_tried: int, seed: int) -> int:
    """Kill a write at every call and at random bytes; 1 if the newest whole checkpoint was lost even once."""
    wrong, tried, dice = 0, {"call": 0, "byte": 0}, random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.safetensors")
        store(path, 3)
        length = path.stat().st_size
        for state in ("two whole ones", "the newest torn", "the newest with another bit", "none"):
            for kind, kill, moments in (
                ("call", killed_at_call, range(1, 100)),
                ("byte", killed_at_byte, sorted(dice.sample(range(length), bytes_tried))),
            ):
                for at in moments:
                    newest = prepare(path, state)
                    status = os.waitpid(forked(partial(kill, path, 3, at)), 0)[1]
                    if status == 0:
                        break  # it makes fewer calls
                    tried[kind] += 1
                    found = kept(path)
                    if found not in (newest, 3):
                        wrong += 1
                        print(f"{state}, killed at {kind} {at}: {found} is left, and {newest} was there", flush=True)
    print(f"{tried['call']} kills at calls, {tried['byte']} at bytes; {wrong} lost the newest whole checkpoint")
    return int(wrong > 0 or not all(tried.values()))


def prepare(path: Path, state: str) -> int:
    """Put files there as a state has them; the number of the newest whole checkpoint."""
    for each in path.parent.iterdir():
        each.unlink()
    if state == "none":
        return 0
    store(path, 1)
    store(path, 2)
    content = bytearray(path.read_bytes())
    if state == "the newest torn":
        path.write_bytes(content[:-100])
    elif state == "the newest with another bit":
        content[-5] ^= 1
        path.write_bytes(content)
    return 2 if state == "two whole ones" else 1


def kept(path: Path) -> int | None:
    """The number of the checkpoint that would be gone on from; None if it is not what was stored."""
    try:
        found = checkpoints.load_checkpoint(path)
    except ValueError:
        return None
    number = len(found[1]["epochs"]) if found else 0
    return number if not found or (found[0]["a"] == number).all() else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--writes", type=int, default=0, help="bytes at which a write is killed, besides all calls")
    parser.add_argument("--training", choices=TRAININGS, action="append")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    datasets.load("digits")  # which imports what it needs before anything is forked
    status = writes(given.writes, given.seed) if given.writes else 0
    return status | (trainings(given.kills, given.seed, given.training or list(TRAININGS)) if given.kills else 0)


if __name__ == "__main__":
    sys.exit(main())
