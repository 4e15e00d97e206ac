"""What is killed loses nothing: trainings end bit for bit where unbroken ones end, whatever moment they died at."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import zerohero as zh
from zerohero import checkpoints, nn, optim, training
from zerohero.checkpoints import load_checkpoint, previous_of, read_arrays, save_checkpoint, write_arrays

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(not hasattr(os, "fork") or not hasattr(signal, "SIGKILL"), reason="no fork, no SIGKILL")


def killed(*arguments):
    command = [sys.executable, "-m", "tests.killed_trainings", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_writes_killed_at_every_call_and_trainings_killed_at_random_moments_lose_nothing():
    said = killed("--writes", 12, "--kills", 3, "--training", "small")
    assert "48 at bytes; 0 lost the newest whole checkpoint" in said
    assert "small: 3 kills" in said and "0 trainings ended elsewhere" in said


@pytest.mark.slow
def test_fifty_kills_change_nothing():
    said = killed("--kills", 50)
    assert all(f"{name}: {kills} kills" in said for name, kills in (("small", 17), ("residual", 17), ("capsules", 16)))
    assert "0 trainings ended elsewhere" in said


# ---- damage that a kill doesn't do, and a disk does -----------------------------------------------------------


def store(path, number):
    save_checkpoint(path, {"a": np.full(100, number)}, {"epochs": [0] * number})


def newest(path):
    return len(load_checkpoint(path)[1]["epochs"])


@pytest.mark.parametrize("place", [20, 200, -300, -1], ids=["header", "text", "numbers", "last"])
def test_a_single_bit_that_changed_is_noticed(tmp_path, place):
    path = tmp_path / "run.safetensors"
    store(path, 1)
    store(path, 2)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert newest(path) == 1


def test_a_torn_checkpoint_never_takes_the_place_of_the_whole_one_before_it(tmp_path):
    path = tmp_path / "run.safetensors"
    store(path, 1)
    store(path, 2)
    path.write_bytes(path.read_bytes()[:-8])
    store(path, 3)
    assert newest(path) == 3 and newest(previous_of(path)) == 1


def test_a_checkpoint_from_before_there_were_checksums_is_still_read(tmp_path):
    path = tmp_path / "run.safetensors"
    write_arrays(path, {"a": np.ones(3)}, {"facts": json.dumps({"epochs": [0, 0]})})
    assert newest(path) == 2


def test_a_checksum_covers_names_types_and_facts():
    arrays = {"a": np.float32([1, 2]), "b": np.zeros((2, 3))}
    others = [{"a": arrays["a"], "c": arrays["b"]}, {**arrays, "b": np.zeros((3, 2))},
              {**arrays, "b": np.zeros((2, 3), "i8")}]  # fmt: skip
    told = checkpoints._checksum(arrays, "facts")
    assert told == checkpoints._checksum(dict(reversed(arrays.items())), "facts")
    assert told not in [checkpoints._checksum(each, "facts") for each in others]
    assert told != checkpoints._checksum(arrays, "fact")


def test_a_full_disk_is_one_sentence_and_the_checkpoint_before_it_is_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "run.safetensors"
    store(path, 1)

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"safetensors' could not be written \(No space left on device\)") as caught:
        store(path, 2)
    assert caught.value.errno == 28 and newest(path) == 1
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


# ---- fit and what it finds there ------------------------------------------------------------------------------


def fit(path, epochs=2, seed=0):
    images, labels = np.ones((4, 1, 2, 2), np.float32), np.array([0, 1, 0, 1])
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    history = training.fit(model, (images, labels), epochs=epochs, batch_size=2, optimizer=optimizer, seed=seed,
                           checkpoint=path, progress=False)  # fmt: skip
    return model, optimizer, history


def test_what_killed_writes_left_behind_is_cleared_away_and_nothing_else(tmp_path):
    path = tmp_path / "run.safetensors"
    ours, others = [".run.safetensors.abc", ".run.safetensors.xyz_1"], [".other.safetensors.abc", "run.safetensors.txt"]
    for name in ours + others:
        (tmp_path / name).write_bytes(b"half")
    fit(path)
    assert sorted(os.listdir(tmp_path)) == sorted([*others, "run.previous.safetensors", "run.safetensors"])


@pytest.mark.parametrize("change", [
    lambda facts: {**facts, "settings": 3}, lambda facts: {**facts, "epochs": {"a": 1}}, lambda facts: [facts],
    lambda facts: {**facts, "epochs": [1, 2]}, lambda facts: {**facts, "epochs": [{"loss": "low"}] * 2},
    lambda facts: {**facts, "best_accuracy": "best"}, lambda facts: {}, lambda facts: {**facts, "stopped_early": None},
])
def test_facts_that_no_training_wrote_are_refused_by_name(tmp_path, change):
    path = tmp_path / "run.safetensors"
    fit(path)
    arrays, text = read_arrays(path)
    write_arrays(path, arrays, {"facts": json.dumps(change(json.loads(text["facts"])))})
    with pytest.raises(ValueError, match=r"fit: checkpoint .*run\.safetensors' is damaged: its \w+ can't be"):
        fit(path, epochs=3)


def test_arrays_that_do_not_fit_leave_model_and_optimizer_as_they_were(tmp_path):
    path = tmp_path / "run.safetensors"
    fit(path)
    arrays, text = read_arrays(path)
    wrong = {**arrays, "optimizer/steps": np.array([1, 2])}
    write_arrays(path, wrong, {"facts": text["facts"]})
    zh.seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    before = model[1].weight.data.copy()
    with pytest.raises(ValueError, match=r"run\.safetensors' is of another model or optimizer"):
        training.fit(model, (np.ones((4, 1, 2, 2)), np.array([0, 1, 0, 1])), epochs=3, batch_size=2,
                     optimizer=optimizer, checkpoint=path, progress=False)  # fmt: skip
    assert (model[1].weight.data == before).all() and optimizer.steps == 0
