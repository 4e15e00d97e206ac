"""Weights and checkpoints on disk: whole or as they were before; and trainings that were killed go on from them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest

import zerohero as zh
from zerohero import datasets, nn, optim, training
from zerohero.checkpoints import load_checkpoint, previous_of, read_arrays, write_arrays
from zerohero.training import Augmentation


def model_with_state(seed=0):
    zh.seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(144, 10)
    )


def equal(a, b):
    return a.keys() == b.keys() and all(a[n].dtype == b[n].dtype and (a[n] == b[n]).all() for n in a)


# ---- weights --------------------------------------------------------------------------------------------


def test_weights_come_back_as_they_were(tmp_path):
    first, second = model_with_state(1), model_with_state(2)
    path = zh.save_weights(first, tmp_path / "w.safetensors", metadata={"model": "mine"})
    zh.load_weights(second, path)
    assert equal(first.state_dict(), second.state_dict())
    assert read_arrays(path)[1] == {"model": "mine"}


def test_float16_halves_the_file_and_rounds_to_three_digits(tmp_path):
    model = nn.Linear(100, 100)
    whole = zh.save_weights(model, tmp_path / "32.safetensors")
    half = zh.save_weights(model, tmp_path / "16.safetensors", dtype="float16")
    assert half.stat().st_size < 0.52 * whole.stat().st_size
    other = nn.Linear(100, 100)
    zh.load_weights(other, half)
    assert other.weight.dtype == np.float32
    np.testing.assert_allclose(other.weight.data, model.weight.data, rtol=1e-3, atol=1e-6)


def test_any_safetensors_reader_can_read_them(tmp_path):
    import safetensors.torch

    model = model_with_state()
    read = safetensors.torch.load_file(zh.save_weights(model, tmp_path / "w.safetensors"))
    assert equal({name: value.numpy() for name, value in read.items()}, model.state_dict())


def test_weights_laid_out_backwards_are_saved_as_they_read(tmp_path):
    values = np.arange(6.0).reshape(2, 3)
    write_arrays(tmp_path / "w.safetensors", {"a": values.T, "b": values[::-1], "one": np.array(7)}, {})
    arrays, _ = read_arrays(tmp_path / "w.safetensors")
    assert (arrays["a"] == values.T).all() and (arrays["b"] == values[::-1]).all()
    assert arrays["one"].shape == () and arrays["one"] == 7


def test_the_same_weights_and_text_are_the_same_bytes(tmp_path):
    model, text = nn.Linear(2, 3), {name: f"{name} – “{name}”" for name in "gdbaefc"}
    files = {zh.save_weights(model, tmp_path / "w.safetensors", metadata=text).read_bytes() for _ in range(10)}
    assert len(files) == 1
    arrays, found = read_arrays(tmp_path / "w.safetensors")
    assert found == text and equal(arrays, model.state_dict())
    assert int.from_bytes(next(iter(files))[:8], "little") % 8 == 0


@pytest.mark.parametrize("failing", ["os.replace", "os.fsync"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failing):
    path = zh.save_weights(nn.Linear(2, 2), tmp_path / "w.safetensors")
    before = path.read_bytes()

    def fail(*arguments):
        raise OSError("no space left on device")

    monkeypatch.setattr(failing, fail)
    with pytest.raises(OSError, match="no space"):
        zh.save_weights(nn.Linear(2, 2), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["w.safetensors"]


@pytest.mark.parametrize(
    "change,words",
    [
        (lambda content: content[: len(content) // 2], "is damaged or no safetensors file"),
        (lambda content: content[:4], "is damaged or no safetensors file"),
        (lambda content: b"", "is damaged or no safetensors file"),
        (lambda content: b"\x80\x04pickle" * 20, "is damaged or no safetensors file"),
        (lambda content: b"\xff" * 7 + b"\x7f" + content[8:], "is damaged or no safetensors file"),
        (lambda content: content + b"more", "is damaged or no safetensors file"),
    ],
    ids=["half", "four bytes", "empty", "a pickle", "a header of exabytes", "too long"],
)
def test_a_damaged_file_is_refused_and_the_model_stays(tmp_path, change, words):
    path = zh.save_weights(nn.Linear(3, 2), tmp_path / "w.safetensors")
    path.write_bytes(change(path.read_bytes()))
    model = nn.Linear(3, 2)
    before = model.weight.data.copy()
    with pytest.raises(ValueError, match=words) as error:
        zh.load_weights(model, path)
    assert str(path) in str(error.value)
    assert (model.weight.data == before).all()


def test_weights_of_another_model_are_refused_by_name(tmp_path):
    path = zh.save_weights(nn.Linear(3, 2), tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"does not fit Linear: misshapen: weight \(2, 3\) instead of \(2, 4\)"):
        zh.load_weights(nn.Linear(4, 2), path)
    zh.load_weights(nn.Linear(3, 2, bias=False), path, strict=False)


@pytest.mark.parametrize(
    "act,error,words",
    [
        (lambda at: zh.load_weights(nn.Linear(2, 2), at / "no.safetensors"), FileNotFoundError, "there is no file"),
        (lambda at: zh.load_weights(nn.Linear(2, 2), at), FileNotFoundError, "there is no file"),
        (lambda at: zh.save_weights(nn.Linear(2, 2), at / "w.npz"), ValueError, r"ends in \.safetensors, but got"),
        (lambda at: zh.save_weights(nn.Linear(2, 2), at / "no" / "w.safetensors"), FileNotFoundError, "does not exist"),
        (
            lambda at: zh.save_weights(nn.Linear(2, 2), at / "w.safetensors", dtype="int8"),
            ValueError,
            "'float16' or 'float32', but got 'int8'",
        ),
    ],
)
def test_a_wrong_path_or_dtype_is_named(tmp_path, act, error, words):
    with pytest.raises(error, match=words):
        act(tmp_path)


# ---- checkpoints in one process -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    train = datasets.load("digits")
    return train.subset(range(160)), train.subset(range(160, 220))


def run(digits, epochs=4, seed=0, optimizer=None, **settings):
    model = model_with_state(seed)
    optimizer = optimizer(model.parameters()) if optimizer else optim.Adam(model.parameters(), lr=0.01)
    given = dict(batch_size=32, validation=digits[1], augment=Augmentation(shift=1), progress=False)
    history = training.fit(model, digits[0], epochs=epochs, optimizer=optimizer, **(given | settings))
    return model, optimizer, history


def outcome(model, optimizer, history):
    """Everything that a resumed run must share with an unbroken one."""
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in history.epochs]
    return model.state_dict() | {f"optimizer {n}": np.asarray(v) for n, v in optimizer.state_dict().items()}, rows


class Interrupt:
    """An augmentation that raises at a given batch, described like any other so that a resumed run takes it up."""

    def __init__(self, at):
        self.at, self.calls = at, 0

    def __call__(self, images, rng):
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt
        return Augmentation(shift=1)(images, rng)

    def __repr__(self):
        return repr(Augmentation(shift=1))


@pytest.mark.parametrize("at", [6, 10, 20])  # of 5 batches an epoch: in epochs 2, 2 and 4
@pytest.mark.parametrize("how", [{}, {"schedule": "one-cycle"}, {"patience": 3}], ids=str)
def test_a_training_broken_off_ends_where_an_unbroken_one_does(tmp_path, digits, at, how):
    path = tmp_path / "run.safetensors"
    unbroken = outcome(*run(digits, **how))
    with pytest.raises(KeyboardInterrupt):
        run(digits, checkpoint=path, **how | {"augment": Interrupt(at)})
    assert len(load_checkpoint(path)[1]["epochs"]) == (at - 1) // 5
    resumed = outcome(*run(digits, seed=9, checkpoint=path, **how))  # other initial weights: the file's count
    assert equal(unbroken[0], resumed[0])
    assert unbroken[1] == resumed[1]


@pytest.mark.parametrize("optimizer", [optim.Adam, lambda p: optim.SGD(p, lr=0.1, momentum=0.9)], ids=["Adam", "SGD"])
def test_more_epochs_go_on_from_the_last_one(tmp_path, digits, optimizer):
    path = tmp_path / "run.safetensors"
    whole = outcome(*run(digits, optimizer=optimizer))
    run(digits, epochs=3, optimizer=optimizer, checkpoint=path)
    assert equal(whole[0], outcome(*run(digits, optimizer=optimizer, checkpoint=path))[0])


def test_a_finished_training_is_not_trained_again(tmp_path, digits):
    path = tmp_path / "run.safetensors"
    first = outcome(*run(digits, epochs=2, checkpoint=path))
    written = path.stat().st_mtime_ns
    assert equal(first[0], outcome(*run(digits, epochs=2, checkpoint=path))[0])
    assert path.stat().st_mtime_ns == written


def test_an_early_stop_is_remembered(tmp_path, digits):
    rng = np.random.default_rng(0)
    noise = (digits[0].images, rng.permutation(digits[0].labels)), digits[1]
    path = tmp_path / "run.safetensors"
    model, _, history = run(noise, epochs=30, patience=2, checkpoint=path)
    again, _, remembered = run(noise, epochs=30, patience=2, checkpoint=path)
    assert history.stopped_early and remembered.stopped_early and len(history) == len(remembered) < 30
    assert equal(model.state_dict(), again.state_dict())  # the best weights, not the last


def test_the_best_epoch_of_before_is_still_the_best(tmp_path, digits, monkeypatch):
    scores = iter(2 * [0.5, 0.9, 0.7, 0.8])
    monkeypatch.setattr(training, "evaluate", lambda *_, **__: SimpleNamespace(loss=1.0, accuracy=next(scores)))
    unbroken = outcome(*run(digits, patience=3))
    with pytest.raises(KeyboardInterrupt):
        run(digits, patience=3, checkpoint=tmp_path / "run.safetensors", augment=Interrupt(12))  # in epoch 3
    assert equal(unbroken[0], outcome(*run(digits, patience=3, checkpoint=tmp_path / "run.safetensors"))[0])


def test_without_resume_a_training_starts_over(tmp_path, digits):
    path = tmp_path / "run.safetensors"
    run(digits, epochs=3, checkpoint=path)
    _, _, history = run(digits, epochs=1, checkpoint=path, resume=False)
    assert len(history) == 1 and len(load_checkpoint(path)[1]["epochs"]) == 1


@pytest.mark.parametrize(
    "other,words",
    [
        (dict(batch_size=16), "batch_size 32, but now it is 16"),
        (dict(augment=Augmentation(shift=2)), "augment"),
        (dict(augment=None), "augment"),
        (dict(schedule="one-cycle"), "schedule"),
        (dict(validation=None), "validation 60, but now it is None"),
        (dict(patience=2), "patience None, but now it is 2"),
        (dict(optimizer=lambda p: optim.Adam(p, lr=0.02)), r"optimizer 'Adam\(lr=0.01"),
        (dict(optimizer=lambda p: optim.SGD(p, lr=0.01)), "optimizer"),
        (dict(epochs=1), "epochs is 1, but checkpoint '.*' holds 2"),
    ],
    ids=lambda given: None if isinstance(given, str) else "-".join(given),
)
def test_a_checkpoint_of_other_settings_is_refused(tmp_path, digits, other, words):
    path = tmp_path / "run.safetensors"
    run(digits, epochs=2, checkpoint=path)
    content = path.read_bytes()
    with pytest.raises(ValueError, match=words):
        run(digits, **dict(epochs=2, checkpoint=path) | other)
    assert path.read_bytes() == content


def test_a_checkpoint_of_another_seed_or_other_data_is_refused(tmp_path, digits):
    path = tmp_path / "run.safetensors"
    model = model_with_state()
    settings = dict(epochs=1, batch_size=32, progress=False, checkpoint=path)
    training.fit(model, digits[0], **settings)
    with pytest.raises(ValueError, match="seed 0, but now it is 1"):
        training.fit(model, digits[0], seed=1, **settings)
    with pytest.raises(ValueError, match="checksum of the labels"):
        training.fit(model, (digits[0].images, np.roll(digits[0].labels, 1)), **settings)
    with pytest.raises(ValueError, match=r"images \[160, 1, 8, 8\], but now it is \[100, 1, 8, 8\]"):
        training.fit(model, digits[0][:100], **settings)


def test_a_checkpoint_of_another_model_is_refused(tmp_path, digits):
    path = tmp_path / "run.safetensors"
    settings = dict(epochs=1, batch_size=32, progress=False, checkpoint=path)
    training.fit(model_with_state(), digits[0], **settings)
    with pytest.raises(ValueError, match="does not fit Sequential"):
        training.fit(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), digits[0], **settings)


def test_a_function_as_augmentation_can_be_resumed(tmp_path, digits):
    first, second = (lambda images, rng: images[..., ::-1] for _ in range(2))  # alike, at two addresses
    path = tmp_path / "run.safetensors"
    run(digits, epochs=1, checkpoint=path, augment=first)
    assert len(run(digits, epochs=2, checkpoint=path, augment=second)[2]) == 2


# ---- damage ---------------------------------------------------------------------------------------------


def test_a_torn_checkpoint_gives_way_to_the_one_before_it(tmp_path, digits):
    path = tmp_path / "run.safetensors"
    unbroken = outcome(*run(digits))
    run(digits, epochs=3, checkpoint=path)
    path.write_bytes(path.read_bytes()[:1000])
    assert len(load_checkpoint(path)[1]["epochs"]) == 2
    resumed = outcome(*run(digits, checkpoint=path))
    assert equal(unbroken[0], resumed[0]) and unbroken[1] == resumed[1]


def test_a_checkpoint_lost_between_two_writes_is_found_under_its_previous_name(tmp_path, digits):
    path = tmp_path / "run.safetensors"
    run(digits, epochs=3, checkpoint=path)
    path.unlink()
    assert len(load_checkpoint(path)[1]["epochs"]) == 2


def test_two_torn_checkpoints_are_an_error_and_no_silent_new_start(tmp_path, digits):
    path = tmp_path / "run.safetensors"
    run(digits, epochs=2, checkpoint=path)
    for each in (path, previous_of(path)):
        each.write_bytes(b"torn")
    with pytest.raises(ValueError, match="and the one before it cannot be read"):
        run(digits, checkpoint=path)
    assert path.read_bytes() == b"torn"


def test_weights_are_no_checkpoint_and_are_not_overwritten(tmp_path, digits):
    path = zh.save_weights(model_with_state(), tmp_path / "w.safetensors")
    content = path.read_bytes()
    with pytest.raises(ValueError, match="is no checkpoint of a training"):
        run(digits, checkpoint=path)
    assert path.read_bytes() == content


def test_a_checkpoints_folder_is_made(tmp_path, digits):
    path = tmp_path / "runs" / "today" / "run.safetensors"
    run(digits, epochs=1, checkpoint=path)
    assert path.exists()


def test_a_file_system_without_second_names_keeps_the_previous_one_by_copying(tmp_path, digits, monkeypatch):
    def no_links(*arguments):
        raise PermissionError("operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "run.safetensors"
    run(digits, epochs=2, checkpoint=path)
    assert len(json.loads(read_arrays(previous_of(path))[1]["facts"])["epochs"]) == 1


def test_a_checkpoint_holds_the_best_weights_only_where_patience_needs_them(tmp_path, digits):
    run(digits, epochs=1, checkpoint=tmp_path / "a.safetensors")
    run(digits, epochs=1, checkpoint=tmp_path / "b.safetensors", patience=1)
    best = [any(n.startswith("best/") for n in read_arrays(tmp_path / f"{x}.safetensors")[0]) for x in "ab"]
    assert best == [False, True]


# ---- killed ---------------------------------------------------------------------------------------------

KILLED = textwrap.dedent("""
    # A training that kills itself: argv are the checkpoint, where to write the outcome, and when.
    import json, os, signal, sys
    import numpy as np
    import zerohero as zh
    from zerohero import checkpoints, datasets, nn, optim, training

    checkpoint, result, moment, number = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])

    def kill():
        os.kill(os.getpid(), signal.SIGKILL)

    class Shift(training.Augmentation):
        calls = 0
        def __call__(self, images, rng):
            self.calls += 1
            if moment == "batch" and self.calls == number:
                kill()
            return super().__call__(images, rng)

    writes, replace, fsync = [0], os.replace, os.fsync
    def counted(name, real):
        def act(*arguments):
            writes[0] += name == moment
            if name == moment and writes[0] == number:
                kill()
            return real(*arguments)
        return act
    os.replace, os.fsync, os.link = (counted(n, getattr(os, n)) for n in ("replace", "fsync", "link"))

    train = datasets.load("digits")
    zh.seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(144, 10)
    )
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    history = training.fit(
        model, train.subset(range(160)), validation=train.subset(range(160, 220)), epochs=6, batch_size=32,
        optimizer=optimizer, schedule="one-cycle", augment=Shift(shift=1), patience=5, checkpoint=checkpoint,
        progress=False,
    )
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in history.epochs]
    state = model.state_dict() | {"optimizer " + n: np.asarray(v) for n, v in optimizer.state_dict().items()}
    checkpoints.write_arrays(result, state, {"rows": json.dumps(rows)})
""")


def start(folder, name, moment="never", number=0):
    script = folder / "training.py"
    script.write_text(KILLED)
    command = [sys.executable, script, folder / f"{name}.safetensors", folder / f"{name}-result.safetensors", moment]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run([*map(str, command), str(number)], env=environment, timeout=300).returncode


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
def test_a_training_killed_again_and_again_ends_where_an_unbroken_one_does(tmp_path):
    assert start(tmp_path, "unbroken") == 0
    moments = [
        ("batch", 3),     # before any checkpoint
        ("batch", 9),     # in epoch 2
        ("fsync", 1),     # the new file is written, but not in place
        ("link", 1),      # before the old one has its second name
        ("replace", 2),   # both are there
        ("batch", 6),
    ]  # fmt: skip
    kept = [len(found[1]["epochs"]) if (found := load_checkpoint(tmp_path / "run.safetensors")) else 0]
    for moment, number in moments:
        assert start(tmp_path, "run", moment, number) == -signal.SIGKILL, f"survived {moment} {number}"
        found = load_checkpoint(tmp_path / "run.safetensors")
        kept.append(len(found[1]["epochs"]) if found else 0)
    assert kept == sorted(kept), "a kill lost an epoch that was finished before"
    assert start(tmp_path, "run") == 0
    unbroken, resumed = (read_arrays(tmp_path / f"{name}-result.safetensors") for name in ("unbroken", "run"))
    assert equal(unbroken[0], resumed[0])
    assert unbroken[1] == resumed[1]


def test_a_killed_write_leaves_at_most_a_hidden_file(tmp_path):
    assert start(tmp_path, "run", "fsync", 1) == -signal.SIGKILL
    left = [name for name in os.listdir(tmp_path) if name != "training.py"]
    assert all(name.startswith(".run.safetensors.") for name in left), left
    shutil.rmtree(tmp_path)
