"""Ranks that train together end as one process does, also after one was killed, and from other numbers of ranks."""

import doctest
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import one_rank
from zerohero import checkpoints, distributed, models, nn, random, recipes, training

torch = pytest.importorskip("torch")

WORKER = Path(__file__).parent / "one_rank.py"
EVERY = ("cnn", "batch_norm", "capsnet")
QUICK = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(WORKER.parent.parent)}


def started(command, environment):
    """What a command printed, once it ended well."""
    process = subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        output, errors = process.communicate(timeout=600)
    except subprocess.TimeoutExpired:
        process.terminate()  # so that torchrun ends its ranks, too
        process.communicate()
        raise
    assert process.returncode == 0, errors[-3000:]
    return output


def run(folder, ranks, networks=("cnn",), restarts=0, **settings):
    """The arrays with which every rank ended, by network."""
    folder.mkdir(exist_ok=True)
    starter = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", f"--max-restarts={restarts}"]
    command = [sys.executable, *(starter if ranks > 1 else []), str(WORKER), str(folder),
               json.dumps({"networks": networks, **settings})]  # fmt: skip
    started(command, QUICK)
    return {
        name: [checkpoints.read_arrays(folder / f"{name}.rank{rank}.safetensors")[0] for rank in range(ranks)]
        for name in networks
    }


def same(one, other, tolerance=2e-5):
    return furthest(one, other) <= tolerance


def furthest(one, other):
    """The largest difference of a weight or a loss."""
    return max(np.abs(one[name] - other[name]).max() for name in one if name != "stored")


def bit_for_bit(one, other, but=("stored",)):
    return all((one[name] == other[name]).all() for name in one if name not in but)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return {name: ends for name, (ends,) in run(tmp_path_factory.mktemp("alone"), 1, EVERY).items()}


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    return run(tmp_path_factory.mktemp("two"), 2, EVERY)


@pytest.mark.parametrize("network", ["cnn", "capsnet"])
def test_two_ranks_end_as_one_process_does(alone, two, network):
    first, second = two[network]
    assert same(alone[network], first), furthest(alone[network], first)
    assert bit_for_bit(first, second)


def test_a_capsnet_learns_on_the_way_and_its_decoder_too(alone):
    # so that ending alike says something: a network that stood still would, too
    random.seed(1)
    before, after = one_rank.capsnet().state_dict(), alone["capsnet"]
    assert all(np.abs(after[name] - array).max() > 1e-3 for name, array in before.items())
    assert after["loss"][-1] < 0.9 * after["loss"][0]


def test_batch_norm_sees_its_share_only_so_ranks_end_near_one_process(alone, two):
    first, second = two["batch_norm"]
    assert bit_for_bit(first, second)  # running means too
    assert 1e-4 < np.abs(alone["batch_norm"]["loss"] / first["loss"] - 1).max() < 0.1


def test_the_first_rank_alone_writes_checkpoints(two):
    for ends in two.values():
        assert [int(end["stored"]) for end in ends] == [3, 0]


def test_a_rank_killed_in_the_middle_of_an_epoch_is_started_again_and_ends_as_if_nothing_had_been(two, tmp_path):
    broken = run(tmp_path, 2, kill_at=8, restarts=1)["cnn"]  # the third of five batches of the second epoch
    assert (tmp_path / "killed").read_text() == "1"
    for unbroken, end in zip(two["cnn"], broken, strict=True):
        assert bit_for_bit(unbroken, end, but=("stored", "batches"))
        assert end["batches"] == 10  # the first epoch was not done again


# Notes, in every process that Python starts, which rank put which file into its place.
NOTING = """
import os, sys
def note(event, args, folder=os.path.dirname(__file__)):
    if event == "os.rename" and str(args[1]).endswith(".safetensors"):
        with open(os.path.join(folder, "written"), "a") as file:
            file.write(f"{os.environ.get('RANK')} {os.path.basename(args[1])}\\n")
sys.addaudithook(note)
"""


def test_the_command_under_torchrun_says_and_writes_all_once_and_learns_as_one_process_does(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(NOTING)
    said = started(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "zerohero", "train",
         "capsnet", "--data", "digits", "--preset", "fast", "--limit", "40", "--epochs", "2", "--batch-size", "16",
         "--checkpoint", str(tmp_path / "run.safetensors"), "--out", str(tmp_path / "capsnet.safetensors")],
        QUICK | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{WORKER.parent.parent}"},
    )  # fmt: skip
    for line in ("capsnet on digits:", "last epoch:", "test:", "weights:"):
        assert said.count(line) == 1, said
    assert sorted((tmp_path / "written").read_text().split("\n")) == [
        "", "0 capsnet.safetensors", "0 run.safetensors", "0 run.safetensors"
    ]  # fmt: skip
    recipe = replace(recipes.find("capsnet", "digits"), options={"preset": "fast"}, epochs=2, batch_size=16)
    alone = recipes.train(recipe, limit=40, progress=False).card()
    together = json.loads((tmp_path / "capsnet.json").read_text())
    for epoch, wanted in zip(together["history"], alone["history"], strict=True):
        assert abs(epoch["loss"] / wanted["loss"] - 1) < 1e-4 and epoch["accuracy"] == wanted["accuracy"]
    assert abs(together["test"]["loss"] / alone["test"]["loss"] - 1) < 1e-4
    assert len(checkpoints.load_checkpoint(tmp_path / "run.safetensors")[1]["epochs"]) == 2


@pytest.mark.slow
def test_a_rank_killed_before_there_is_a_checkpoint_begins_anew(two, tmp_path):
    broken = run(tmp_path, 2, kill_at=4, restarts=1)["cnn"]
    assert (tmp_path / "killed").read_text() == "0"
    assert all(bit_for_bit(unbroken, end) for unbroken, end in zip(two["cnn"], broken, strict=True))


@pytest.mark.slow
def test_four_ranks_end_as_one_process_does(alone, tmp_path):
    for network, ends in run(tmp_path, 4, ["cnn", "capsnet"]).items():
        assert same(alone[network], ends[0]) and all(bit_for_bit(ends[0], end) for end in ends)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 4])
def test_another_number_of_ranks_goes_on_from_the_checkpoint(alone, tmp_path, ranks):
    run(tmp_path, 2, epochs=2)
    (end, *_) = run(tmp_path, ranks, epochs=3)["cnn"]
    assert end["batches"] == 5 and same(alone["cnn"] | {"batches": 5}, end)


def findings(alone, ends):
    """What the tests above say of two ranks' ends."""
    return {
        name
        for name, found in {
            "not as one process": not same(alone, ends[0]),
            "ranks differ": not bit_for_bit(*ends),
            "two write": int(ends[1]["stored"]) > 0,
        }.items()
        if found
    }


SHARE = "distributed.Ranks.share = lambda self, count: "
# what is wrong: the code that makes it so on both ranks, and what is found
PLANTS = {
    "gradients are summed, not averaged": (
        "b = distributed.Bucket; b.begin = lambda self, c, f=b.begin: (f(self, c), self.flat.__setitem__(-1, c / 2))",
        {"not as one process"},
    ),
    "gradients are not exchanged": (
        "distributed.Ranks.reduce = lambda self, a, *, wait, f=distributed.Ranks.reduce: f(self, a.copy(), wait=wait)",
        {"not as one process", "ranks differ"},
    ),
    "all ranks have one share": (SHARE + "distributed.share(count, 0, self.size)", {"not as one process"}),
    "shares overlap": (
        SHARE + "slice(max(0, (s := distributed.share(count, self.rank, 2)).start - 1), s.stop)",
        {"not as one process"},
    ),
    "an unfinished bucket is sent": (
        """
def put(self, place, gradient, count):
    self.missing.clear()
    np.multiply(gradient, count, out=self.views[place])
distributed.Bucket.put = put
""",
        {"not as one process", "ranks differ"},
    ),
    "buckets in another order": (
        """
made = distributed._buckets
distributed._buckets = lambda p, size: made(p if os.environ.get("RANK") == "0" else p[:2] + p[2:4][::-1] + p[4:], size)
""",
        {"it can't even finish"},  # sums of unequal lengths
    ),
    "a gradient goes into its neighbour's place": (
        """
put = distributed.Bucket.put
def astray(self, place, gradient, count):
    put(self, place, gradient, count)
    self.views[place][...] = np.roll(self.views[place], 1)
distributed.Bucket.put = astray
""",
        {"not as one process"},
    ),
    "every rank draws its own": (
        "training.random.seeded = lambda n, f=random.seeded: f([*n, int(os.environ.get('RANK', 0))])",
        {"not as one process"},
    ),
    "everybody is the first": (
        "training.distributed.is_first = lambda: True",
        {"two write"},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("network", ["cnn", "capsnet"])
def test_a_bug_of_parallel_training_shows(alone, tmp_path, network, plant):
    code, found = PLANTS[plant]
    try:
        ends = run(tmp_path, 2, [network], plant=code)[network]
    except (AssertionError, FileNotFoundError):
        assert "it can't even finish" in found
    else:
        assert findings(alone[network], ends) == found


@pytest.mark.slow
def test_running_means_that_nobody_agrees_on_show(tmp_path):
    plant = "distributed.agree_on_buffers = lambda model: None"
    assert not bit_for_bit(*run(tmp_path, 2, ["batch_norm"], plant=plant)["batch_norm"])


@pytest.mark.slow
def test_a_loss_that_sums_over_the_batch_shows(tmp_path):
    plant = """
import zerohero.models.capsnet
mean = zerohero.models.capsnet.reconstruction_loss
zerohero.models.capsnet.reconstruction_loss = lambda drawn, images: mean(drawn, images) * len(images)
"""
    alone, two = (run(tmp_path / str(ranks), ranks, ["capsnet"], plant=plant)["capsnet"] for ranks in (1, 2))
    assert not same(alone[0], two[0])


@pytest.mark.slow
def test_an_optimizer_that_forgets_in_a_crash_shows(two, tmp_path):
    plant = "optim.Adam.load_state_dict = lambda self, saved: None"
    broken = run(tmp_path, 2, kill_at=8, restarts=1, plant=plant)["cnn"]
    assert not bit_for_bit(two["cnn"][0], broken[0], but=("stored", "batches"))


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
    failed, tried = doctest.testfile(str(page), module_relative=False)
    assert tried >= 8 and not failed
    assert f"{models.create('capsnet').num_parameters():_} * 4" in page.read_text(encoding="utf-8")


def test_the_page_on_scaling_says_what_was_measured():
    root = WORKER.parent.parent
    page = (root / "docs" / "scaling.md").read_text(encoding="utf-8")
    content = json.loads((root / "experiments" / "results" / "weak_scaling.json").read_text(encoding="utf-8"))
    quiet = min(content["measurements"], key=lambda each: each["load_before"])
    for size, each in quiet["ranks"].items():
        assert (
            f"| {size} | {each['step_ms']:.0f} ms | {each['processor_ms']:.0f} ms | {each['waiting_share']:.0%} "
            f"| {each['efficiency']:.0%} |"
        ) in page
    assert f"load average {quiet['load_before']} before and {quiet['load_after']} after" in page
    assert f">>> step, sent = {quiet['ranks']['1']['processor_ms'] / 1e3:.4f}, {quiet['bytes']}  #" in page
    assert f"{quiet['bytes'] / 1e6:.1f} MB" in page and f"`{content['command']}`" in page
    assert (root / "experiments" / "results" / "weak_scaling.png").stat().st_size < 100_000
