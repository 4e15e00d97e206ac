"""How long does a training step take when 1, 2 or 4 ranks do the same work each, and how much is waiting for sums?

All ranks run all the time; in each turn the first rank trains alone, then the first two, then all four, and who has no
part waits. So a busy moment of the machine hits all three. The processes that were there beside them are recorded, too.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from recording import RESULTS, Recording, arguments

import zerohero as zh
from zerohero import distributed, models, optim

SIZES = (1, 2, 4)


class Some(distributed.Ranks):
    """The first few of the ranks, and how long this one waited for sums over them."""

    def __init__(self, everybody: distributed.Ranks, size: int):
        super().__init__(everybody.rank, size, everybody.torch)
        self.group, self.waited = self.torch.distributed.new_group(list(range(size))), 0.0

    def reduce(self, array, *, wait):
        begin = time.perf_counter()
        work = self.torch.distributed.all_reduce(self._lent(array), group=self.group, async_op=True)
        self.waited += time.perf_counter() - begin
        return Waited(self, work)

    def agree(self, arrays):
        for array in arrays:
            self.torch.distributed.broadcast(self._lent(array), 0, group=self.group)


class Waited:
    """A sum on its way, the wait for which is timed."""

    def __init__(self, ranks: Some, work):
        self.ranks, self.work = ranks, work

    def wait(self):
        begin = time.perf_counter()
        self.work.wait()
        self.ranks.waited += time.perf_counter() - begin


def steps(ranks: Some, model, batch: int, count: int) -> list[tuple[float, float, float]]:
    """Training steps of this rank: seconds, seconds of its processor, and seconds of waiting, of each."""
    images = np.random.default_rng(ranks.rank).random((batch, *model.image_shape), dtype=np.float32)
    labels, optimizer, took = np.arange(batch) % 10, optim.Adam(model.parameters()), []
    exchange = distributed.Exchange(model, ranks)
    for _ in range(count):
        ranks.waited, begin, busy = 0.0, time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        loss, _ = model.training_step(images, labels)
        exchange.backward(loss, batch)
        optimizer.step()
        took.append((time.perf_counter() - begin, time.process_time() - busy, ranks.waited))
    exchange.close()
    return took


def one_rank(preset: str, batch: int, turns: int, count: int, file: str) -> None:
    """What every rank does; rank 0 writes what it measured: {size: turns × steps × 3}."""
    zh.use_backend("numba")
    everybody = distributed.join()
    groups, took = [Some(everybody, size) for size in SIZES], {size: [] for size in SIZES}
    zh.seed(0)
    model = models.create("capsnet", preset=preset)
    for turn in range(-1, turns):  # one before the first, in which everything is compiled
        for ranks in groups:
            everybody.torch.distributed.barrier()
            if everybody.rank < ranks.size:
                found = steps(ranks, model, batch, count)
                took[ranks.size] += [found] if turn >= 0 else []
    if everybody.rank == 0:
        sent = 4 * sum(bucket.flat.size for bucket in distributed.Exchange(model, groups[0]).buckets)
        Path(file).write_text(json.dumps({"bytes": sent, "took": took}), encoding="utf-8")
    distributed.leave()


def summary(took: dict) -> dict:
    """Medians over the turns of a turn's medians: milliseconds, share of waiting, and efficiency beside one rank."""
    middle = {int(size): np.median(np.array(each), axis=1) for size, each in took.items()}  # (turns, 3)
    found = {}
    for size, each in middle.items():
        seconds, busy, waited = each.T
        found[str(size)] = {
            "step_ms": round(1e3 * float(np.median(seconds)), 1),
            "processor_ms": round(1e3 * float(np.median(busy)), 1),
            "waiting_share": round(float(np.median(waited / seconds)), 3),
            "efficiency": round(float(np.median(middle[1][:, 0] / seconds)), 3),
            "ranks_per_core": size / os.cpu_count(),
        }
    return found


def main() -> None:
    options = arguments(__doc__, preset="fast", batch=16, turns=8, steps=5, runs=2)
    recording = Recording("weak_scaling", __doc__, vars(options))

    def measure(run: int) -> dict:
        file = RESULTS.parent / "runs" / "weak_scaling.json"
        file.parent.mkdir(exist_ok=True)
        before = os.getloadavg()[0]
        subprocess.run(
            [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={max(SIZES)}", __file__,
             "--rank", options.preset, str(options.batch), str(options.turns), str(options.steps), str(file)],
            env=os.environ | {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "NUMBA")}, check=True,
        )  # fmt: skip
        found = json.loads(file.read_text(encoding="utf-8"))
        file.unlink()
        return {"bytes": found["bytes"], "load_before": round(before, 1), "load_after": round(os.getloadavg()[0], 1),
                "ranks": summary(found["took"])}

    for run in range(options.runs):
        print(recording.measure(measure, run=run))
    draw(quietest(recording.content)["ranks"]).savefig(RESULTS / "weak_scaling.png", dpi=80)


def quietest(content: dict) -> dict:
    """The measurement before which the fewest other processes were at work."""
    return min(content["measurements"], key=lambda each: each["load_before"])


def draw(ranks: dict):
    """Bars of a step's time, split into computing and waiting for sums."""
    from zerohero import visualize

    fig, axes = visualize.subplots(title="The same work per rank: how long a step takes")
    waiting = [each["step_ms"] * each["waiting_share"] for each in ranks.values()]
    computing = [each["step_ms"] - waits for each, waits in zip(ranks.values(), waiting, strict=True)]
    names = [f"{size}{', two per core' if each['ranks_per_core'] > 1 else ''}" for size, each in ranks.items()]
    axes.bar(names, computing, color=visualize.style.CYCLE[0], label="computing, or waiting for a core")
    axes.bar(names, waiting, bottom=computing, color=visualize.style.CYCLE[1], label="waiting for sums")
    axes.set(xlabel="ranks", ylabel="milliseconds per step")
    axes.legend()
    return fig


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rank"]:
        preset, batch, turns, count, file = sys.argv[2:]
        one_rank(preset, int(batch), int(turns), int(count), file)
    else:
        main()
