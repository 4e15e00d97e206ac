"""Ranks that train together end as one process does, also after one was killed, and from other numbers of ranks."""

import doctest
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from zerohero import checkpoints, distributed, models, nn, random, training

torch = pytest.importorskip("torch")

# What every rank runs. A small model with several buckets; the last batch is smaller and splits unequally.
WORKER = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    import numpy as np
    from zerohero import checkpoints, distributed, models, nn, random, training, optim
    folder, epochs, kill = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "kill"
    distributed.BUCKET_BYTES = 2048
    distributed.Exchange.__init__.__defaults__ = (2048,)
    exec(sys.argv[4])
    ranks = distributed.join()
    rng = np.random.default_rng(0)
    images = rng.random((39, 1, 8, 8), dtype=np.float32)
    labels = rng.integers(0, 4, 39)
    random.seed(1 if distributed.is_first() else 2)  # the others' weights must not count
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 16), nn.ReLU(), nn.Linear(16, 4))
    seen = []
    def augment(images, rng):
        seen.append(1)
        marker = folder / "killed"
        if kill and len(seen) == 4 and distributed._ranks.rank == 1 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return training.Augmentation(shift=1)(images, rng)
    class Shift:
        __call__ = staticmethod(augment)
        __repr__ = lambda self: "Shift"
    history = training.fit(model, (images, labels), epochs=epochs, batch_size=8, augment=Shift(), progress=False,
                           checkpoint=folder / "run.safetensors", optimizer=optim.Adam(model.parameters(), lr=3e-3))
    weights = {name: np.array(a) for name, a in model.state_dict().items()}
    rank = 0 if ranks is None else ranks.rank
    weights["loss"] = np.array(history.column("loss"))
    checkpoints.write_arrays(folder / f"rank{rank}.safetensors", weights, {})
    distributed.leave()
    """
)


def run(folder, ranks, epochs=3, kill=False, plant="", restarts=0, check=True):
    """The arrays with which every rank ended."""
    folder.mkdir(exist_ok=True)
    script = folder / "worker.py"
    script.write_text(WORKER)
    starter = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", f"--max-restarts={restarts}"]
    command = [sys.executable, *(starter if ranks > 1 else []), str(script), str(folder), str(epochs),
               "kill" if kill else "no", plant]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=150)
    assert not check or done.returncode == 0, done.stderr[-3000:]
    return [checkpoints.read_arrays(folder / f"rank{rank}.safetensors")[0] for rank in range(ranks)]


def same(one, other, tolerance=2e-5):
    return all(np.abs(one[name] - other[name]).max() <= tolerance for name in one)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return run(tmp_path_factory.mktemp("alone"), 1)[0]


def test_two_ranks_end_as_one_process_does(alone, tmp_path):
    first, second = run(tmp_path, 2)
    assert same(alone, first), {name: np.abs(alone[name] - first[name]).max() for name in alone}
    assert all((first[name] == second[name]).all() for name in first)  # bit for bit among themselves


@pytest.mark.slow
def test_four_ranks_end_as_one_process_does(alone, tmp_path):
    ends = run(tmp_path, 4)
    assert same(alone, ends[0]) and all((ends[0][n] == end[n]).all() for end in ends for n in end)


@pytest.mark.slow
def test_a_killed_rank_is_started_again_and_ends_as_if_nothing_had_been(tmp_path):
    unbroken = run(tmp_path / "unbroken", 2)[0]
    broken = run(tmp_path / "broken", 2, kill=True, restarts=1)[0]
    assert (tmp_path / "broken" / "killed").exists()
    assert all((unbroken[name] == broken[name]).all() for name in unbroken)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 4])
def test_another_number_of_ranks_goes_on_from_the_checkpoint(alone, tmp_path, ranks):
    run(tmp_path, 2, epochs=2)
    assert same(alone, run(tmp_path, ranks, epochs=3)[0])


SUMMED = "b = distributed.Bucket; b.begin = lambda self, c, f=b.begin: (f(self, c), self.flat.__setitem__(-1, c / 2))"
SHARELESS = "distributed.Ranks.share = lambda self, count: distributed.share(count, 0, self.size)"
EARLY = """
def put(self, place, gradient, count):
    self.missing.clear()
    np.multiply(gradient, count, out=self.views[place])
distributed.Bucket.put = put
"""
OTHER_ORDER = """
made = distributed._buckets
distributed._buckets = lambda p, size: made(p if os.environ.get("RANK") == "0" else p[:2] + p[2:4][::-1] + p[4:], size)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "plant", [SUMMED, SHARELESS, EARLY, OTHER_ORDER], ids=["summed", "shareless", "early", "order"]
)
def test_a_bug_of_parallel_training_shows(alone, tmp_path, plant):
    try:
        ends = run(tmp_path, 2, plant=plant)
    except (AssertionError, FileNotFoundError):
        assert plant is OTHER_ORDER  # sums of unequal lengths: the ranks can't even finish
        return
    assert not same(alone, ends[0]) or not all((ends[0][n] == ends[1][n]).all() for n in ends[0])


def test_shares_are_a_partition():
    for count in range(12):
        for size in range(1, 6):
            shares = [distributed.share(count, rank, size) for rank in range(size)]
            assert [i for each in shares for i in range(count)[each]] == list(range(count))
            lengths = [each.stop - each.start for each in shares]
            assert max(lengths) - min(lengths) <= 1


class Alone:
    """Two ranks of which only this one is there: sums and agreements leave what is there."""

    rank, size = 0, 2

    def agree(self, arrays):
        list(arrays)

    def reduce(self, array, *, wait):
        return self

    def wait(self):
        pass


def test_buckets_are_sent_while_backward_still_works():
    random.seed(0)
    model = models.create("lenet5")
    exchange = distributed.Exchange(model, Alone(), bucket_bytes=50_000)
    images, labels = np.random.default_rng(0).random((4, 1, 28, 28), np.float32), np.array([0, 1, 2, 3])
    loss, _ = training.classification_step(model, images, labels)
    exchange.backward(loss, 4)
    assert len(exchange.buckets) > 2 and exchange.sent_early >= len(exchange.buckets) - 1
    exchange.close()
    reduced = [parameter.grad for parameter in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = None
    training.classification_step(model, images, labels)[0].backward()
    for found, parameter in zip(reduced, model.parameters(), strict=True):
        np.testing.assert_allclose(found, parameter.grad, rtol=1e-6, atol=1e-8)
    assert not any(parameter.hooks for parameter in model.parameters())


def test_more_ranks_than_examples_in_the_last_batch_are_named(monkeypatch):
    monkeypatch.setattr(distributed, "_ranks", Alone())
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(ValueError, match="batch_size 4 leaves a batch of 1 of 5 examples, but each of the 2 ranks"):
        training.fit(model, (np.zeros((5, 1, 2, 2), np.float32), np.zeros(5, int)), batch_size=4, progress=False)


def test_without_pytorch_ranks_are_told_what_they_need(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="WORLD_SIZE says that 2 ranks"):
        distributed.join()


def test_the_plan_for_many_machines_computes_what_it_says():
    page = Path(__file__).parent.parent / "docs" / "scaling.md"
    if not page.exists():
        pytest.skip("the pages lie in a checkout only")
    failed, tried = doctest.testfile(str(page), module_relative=False)
    assert tried >= 8 and not failed
    assert f"{models.create('capsnet').num_parameters():_} * 4" in page.read_text(encoding="utf-8")
