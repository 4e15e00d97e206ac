"""What every rank of tests/test_distributed.py runs: small networks, trained one after the other, each to its own file.

    python tests/one_rank.py FOLDER '{"networks": ["cnn"], "epochs": 3, "kill_at": 8, "plant": "some code"}'
"""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np

from zerohero import checkpoints, datasets, distributed, models, nn, optim, random, training

BATCH_SIZE = 8  # of 39 images: the last batch is smaller, and splits unequally


def noise():
    rng = np.random.default_rng(0)
    return rng.random((39, 1, 8, 8), dtype=np.float32), rng.integers(0, 4, 39)


def digits():
    scans = datasets.load("digits", "train", size=20)
    return scans.images[:39], scans.labels[:39]


def cnn():
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 16), nn.ReLU(), nn.Linear(16, 4))


def batch_norm():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 4))


def capsnet():
    return models.create("capsnet", image_size=20, channels=8, types=4, hidden=(16, 32))


NETWORKS = {"cnn": (cnn, noise), "batch_norm": (batch_norm, noise), "capsnet": (capsnet, digits)}


class Shifted:
    """Shifts images, and at the batch number `kill_at` kills the process, if it is rank 1 and it is the first time."""

    def __init__(self, folder, kill_at):
        self.folder, self.kill_at, self.seen = folder, kill_at, 0

    def __call__(self, images, rng):
        self.seen += 1
        marker = self.folder / "killed"
        if self.seen == self.kill_at and os.environ.get("RANK") == "1" and not marker.exists():
            found = checkpoints.load_checkpoint(self.folder / "cnn.run.safetensors")
            marker.write_text(str(len(found[1]["epochs"]) if found else 0))
            os.kill(os.getpid(), signal.SIGKILL)
        return training.Augmentation(shift=1)(images, rng)

    def __repr__(self):
        return "Shifted"


def train(folder, name, epochs, kill_at):
    """The arrays with which a network ends, and its losses."""
    create, load = NETWORKS[name]
    random.seed(1 if distributed.is_first() else 2)  # the others' weights must not count
    model, shifted = create(), Shifted(folder, kill_at)
    history = training.fit(
        model, load(), epochs=epochs, batch_size=BATCH_SIZE, augment=shifted, progress=False,
        optimizer=optim.Adam(model.parameters(), lr=3e-3), checkpoint=folder / f"{name}.run.safetensors",
    )  # fmt: skip
    ends = {key: np.array(array) for key, array in model.state_dict().items()}
    return ends | {"loss": np.array(history.column("loss")), "batches": np.array(shifted.seen)}


def main(folder, networks=("cnn",), epochs=3, kill_at=0, plant=""):
    distributed.Exchange.__init__.__defaults__ = (2048,)  # bytes, so that there are several buckets
    exec(plant, globals())
    ranks = distributed.join()
    rank = 0 if ranks is None else ranks.rank
    stored, training.save_checkpoint = [], lambda *a, store=training.save_checkpoint: (stored.append(1), store(*a))
    for name in networks:
        stored.clear()
        ends = train(folder, name, epochs, kill_at) | {"stored": np.array(len(stored))}
        checkpoints.write_arrays(folder / f"{name}.rank{rank}.safetensors", ends, {})
    distributed.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), **json.loads(sys.argv[2]))
