"""The experiments that want a GPU, on a few digits and the CPU: they run, go on where they were, and start together."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import zerohero as zh
from zerohero import datasets, models, training

FOLDER = Path(__file__).parent.parent / "experiments"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the experiments lie in a checkout only")


@pytest.fixture
def experiment(monkeypatch, tmp_path):
    """A function that runs an experiment with small networks and embedded digits, and gives what it recorded."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setenv("ZEROHERO_RESULTS", str(tmp_path / "results"))
    digits, create = datasets.load, models.create
    monkeypatch.setattr(datasets, "load", lambda name, split="train", **_: digits("digits", split, size=28))
    monkeypatch.setattr(
        models, "create", lambda name, **options: create(name, **options, channels=8, types=2, hidden=(8, 16))
    )

    def run(name, *options):
        for module in ("recording", name):
            sys.modules.pop(module, None)
        monkeypatch.setattr(sys, "argv", [f"{name}.py", "--backend", "numpy", *options])
        importlib.import_module(name).main()
        return json.loads((tmp_path / "results" / f"{name}.json").read_text(encoding="utf-8"))

    yield run
    zh.use_backend("numpy")
    for module in ("recording", "capsnet_full_size", "capsnet_twin"):
        sys.modules.pop(module, None)


FEW = "--epochs 3 --choosing 1 --seeds 1 --images 60 --test-images 30 --batch-size 20".split()


def without_times(content):
    return [
        {key: value for key, value in each.items() if key not in ("seconds", "curves")}
        | {"curves": {key: value for key, value in each["curves"].items() if key != "seconds"}}
        for each in content["measurements"]
    ]


def test_the_full_size_chooses_by_held_out_images_and_goes_on_within_a_training(experiment, monkeypatch, tmp_path):
    unbroken = without_times(experiment("capsnet_full_size", *FEW))
    *chosen, final = unbroken
    best = max(chosen, key=lambda each: each["held_out_accuracy"])["variant"]
    assert len(chosen) == 3 and final["variant"] == best | {"seed": 0} and final["wrong"] <= 30
    (tmp_path / "results" / "capsnet_full_size.json").unlink()
    store, stored = training.save_checkpoint, []

    def interrupted(path, arrays, facts):
        store(path, arrays, facts)
        stored.append(path.name)
        if "seed" in path.name and len(stored) == 5:  # three choices of an epoch each, and two epochs of the last
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "save_checkpoint", interrupted)
    with pytest.raises(KeyboardInterrupt):
        experiment("capsnet_full_size", *FEW)
    assert len(stored) == 5
    assert without_times(experiment("capsnet_full_size", *FEW)) == unbroken
    assert len(stored) == 6  # the third epoch only
    assert not list((tmp_path / "runs").glob("*.safetensors"))


@pytest.mark.slow  # for it also looks for the faster layout, in batches of 128
def test_the_twin_sees_what_ours_sees_after_every_step(experiment):
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    try:
        found = experiment("capsnet_twin", *"--epochs 2 --seeds 1 --images 300 --test-images 100 --every 1".split())
    finally:
        torch.set_num_threads(threads)
    layout, run = found["measurements"]
    assert layout["best"] in layout["step_seconds"] and run["variant"]["layout"] == layout["best"]
    ours, twin = ([look["accuracy"] for look in run[name]["held_out"]] for name in ("zerohero", "PyTorch"))
    assert len(ours) == 4 and len(set(ours)) > 1  # two batches in each epoch; they learn
    np.testing.assert_allclose(ours, twin, atol=1 / 100)  # of a hundred held-out digits one may sit on the fence
    seconds = [run[name]["epoch_seconds"] for name in ("PyTorch", "zerohero")]
    assert found["summary"]["PyTorch"]["epoch_ratio"] == pytest.approx(np.median(np.divide(*seconds)))


def test_one_command_starts_all_and_a_failure_stops_none_of_the_others(monkeypatch, capsys):
    monkeypatch.syspath_prepend(FOLDER)
    on_a_gpu, started = importlib.import_module("on_a_gpu"), []

    def run(command, env):
        started.append(Path(command[1]).name)
        return subprocess.CompletedProcess(command, returncode=int("twin" in command[1]))

    monkeypatch.setattr(on_a_gpu.subprocess, "run", run)
    monkeypatch.setattr(sys, "argv", ["on_a_gpu.py"])
    assert on_a_gpu.main() == 1
    assert started == ["capsnet_full_size.py", "capsnet_twin.py", "multimnist.py"]
    assert "failed: capsnet_twin.py" in capsys.readouterr().out
    assert all((FOLDER / each.split()[0]).is_file() for each in on_a_gpu.COMMANDS + on_a_gpu.TRIES)


@pytest.mark.slow
@pytest.mark.data
def test_one_command_runs_all_on_a_few_digits(tmp_path):
    command = [sys.executable, str(FOLDER / "on_a_gpu.py"), "--try", str(tmp_path / "results")]
    subprocess.run(command, check=True, timeout=900)
    written = {path.stem for path in (tmp_path / "results").glob("*.json")}
    assert written == {"capsnet_full_size", "capsnet_twin", "multimnist"}


@pytest.fixture
def results_page(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("results_page")


def test_the_page_of_results_is_made_from_the_recordings(results_page):
    assert results_page.PAGE.read_text(encoding="utf-8") == results_page.page(), "python experiments/results_page.py"
    assert results_page.PAPERS.keys() <= {path.stem for path in FOLDER.glob("*.py")}


def recorded(folder, name, **content):
    basics = dict(question="Which?\nMore.", command=f"python experiments/{name}.py", date="2026-01-01",
                  machine={"processor": "a processor"})  # fmt: skip
    (folder / f"{name}.json").write_text(json.dumps(basics | content))


def test_a_new_recording_appears_by_itself_with_means_over_seeds(results_page, tmp_path):
    runs = [dict(variant={"network": "cnn", "seed": seed}, right=8 + seed, examples=10, seconds=2.0) for seed in (0, 1)]
    recorded(tmp_path, "fresh", measurements=runs)
    last = results_page.page(tmp_path).splitlines()[-1]
    assert last == ("| [Which?](results/fresh.json) | network cnn: 85.0 % right (2 seeds) |  | "
                    "`python experiments/fresh.py` | 4, a processor, 2026-01-01 |")  # fmt: skip


def test_the_papers_number_stands_beside_ours(results_page, tmp_path):
    runs = [dict(variant={"preset": "paper", "lr": 0.001, "seed": 0}, wrong=30, error_percent=0.3, seconds=2.0)]
    recorded(tmp_path, "capsnet_full_size", measurements=runs)
    cells = results_page.page(tmp_path).splitlines()[-1].split(" | ")
    assert cells[1] == "preset paper, lr 0.001: 0.30 % wrong" and cells[2].startswith("0.25 % wrong")
