"""The experiments' recordings: kept after each measurement, gone on from, and held to the files that made them."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from zerohero import datasets, transfer, weights
from zerohero.tensor import Tensor

FOLDER = Path(__file__).parent.parent / "experiments"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the experiments lie in a checkout only")
RESULTS = sorted((FOLDER / "results").glob("*.json"))


@pytest.fixture
def recording():
    specification = importlib.util.spec_from_file_location("recording", FOLDER / "recording.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


# how many measurements the case study of lectures 05 and 06 has of each question
WHOLE = {"activation_functions": 9, "densenet_parameters": 9, "dropout": 6, "plain_and_residual": 4, "small_kernels": 6}


@pytest.mark.parametrize("name", WHOLE)
def test_every_variant_of_the_case_study_was_recorded(name):
    content = json.loads((FOLDER / "results" / f"{name}.json").read_text(encoding="utf-8"))
    variants = [json.dumps(each["variant"], sort_keys=True) for each in content["measurements"]]
    assert len(variants) == len(set(variants)) == WHOLE[name]
    epochs = content["settings"]["epochs"]
    assert all(len(each["curves"]["val_accuracy"]) == epochs for each in content["measurements"])


def squares(calls):
    def square(number, seed):
        calls.append((number, seed))
        return {"square": number**2 + seed}

    return square


def test_a_run_that_was_stopped_goes_on_where_it_stopped(recording, tmp_path):
    calls = []
    first = recording.Recording("squares", "How large?", {"epochs": 2}, tmp_path)
    first.measure(squares(calls), number=3, seed=0)
    again = recording.Recording("squares", "How large?", {"epochs": 2}, tmp_path)
    assert again.measure(squares(calls), number=3, seed=0)["square"] == 9
    assert again.measure(squares(calls), number=3, seed=1)["square"] == 10
    assert calls == [(3, 0), (3, 1)]
    written = json.loads((tmp_path / "squares.json").read_text())
    assert [each["variant"] for each in written["measurements"]] == [dict(number=3, seed=0), dict(number=3, seed=1)]
    assert list(tmp_path.iterdir()) == [tmp_path / "squares.json"]


def test_other_settings_begin_anew(recording, tmp_path):
    calls = []
    for epochs in (2, 3):
        recording.Recording("squares", "How large?", {"epochs": epochs}, tmp_path).measure(
            squares(calls), number=3, seed=0
        )
    assert calls == [(3, 0), (3, 0)]
    written = json.loads((tmp_path / "squares.json").read_text())
    assert written["settings"] == {"epochs": 3} and len(written["measurements"]) == 1


def test_more_seeds_go_on_with_what_is_there(recording, tmp_path):
    calls = []
    for seeds in (1, 2):
        content = recording.Recording("squares", "How large?", {"epochs": 2, "seeds": seeds}, tmp_path)
        for seed in range(seeds):
            content.measure(squares(calls), number=3, seed=seed)
    assert calls == [(3, 0), (3, 1)]
    assert json.loads((tmp_path / "squares.json").read_text())["settings"] == {"epochs": 2, "seeds": 2}


@pytest.mark.parametrize("scores, tried, best", [
    ([0, 0, 5, 7, 6, 0], [1e-3, 3e-3, 1e-2], 3e-3),
    ([0, 0, 5, 7, 7, 0], [1e-3, 3e-3, 1e-2], 3e-3),  # of equal ones the smallest
    ([1, 8, 7, 5, 2, 9], [1e-3, 3e-3, 1e-2, 3e-4, 1e-4], 3e-4),
    ([0, 0, 1, 2, 3, 4], [1e-3, 3e-3, 1e-2, 3e-2], 3e-2),
    ([9, 8, 7, 6, 5, 4], [1e-3, 3e-3, 1e-2, 3e-4, 1e-4], 1e-4),
])  # fmt: skip
def test_a_rate_is_chosen_by_validation_images_and_looked_for_outwards(scores, tried, best, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    capsnets, rates = importlib.import_module("capsnets"), importlib.import_module("rates")
    seen, unseen, trained = [1, 2], [3, 4, 5], []

    def fit(model, images, options, seed, *, rate, epochs):
        assert images is seen and epochs == 7
        trained.append(rate)

    def right(model, images):
        assert images is unseen
        return scores[rates.RATES.index(trained[-1])]

    monkeypatch.setattr(capsnets, "fit", fit)
    monkeypatch.setattr(capsnets, "right", right)
    notes = capsnets.Recording("rates", "Which?", {}, tmp_path)
    assert capsnets.chosen_rate(notes, "cnn", lambda options: None, seen, unseen, None, epochs=7) == best
    assert trained == tried
    written = json.loads((tmp_path / "rates.json").read_text())["measurements"]
    assert [each["variant"] for each in written] == [{"rate_for": "cnn", "rate": rate} for rate in tried]
    assert all(each["examples"] == 3 for each in written)


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_recorded_result_says_how_it_was_made(path):
    content, text = json.loads(path.read_text(encoding="utf-8")), path.read_text(encoding="utf-8")
    source = FOLDER / f"{path.stem}.py"
    assert content["question"] in source.read_text(encoding="utf-8")
    assert content["command"].startswith(f"python experiments/{path.stem}.py")
    assert {"python", "numpy", "zerohero"} <= content["versions"].keys() and content["machine"]["processor"]
    assert content["measurements"] and all("seconds" in each for each in content["measurements"])
    assert str(Path.home()) not in text and sys.prefix not in text


@pytest.mark.parametrize("path", sorted((FOLDER / "cards").glob("*.json")), ids=lambda path: path.stem)
def test_a_card_is_of_another_seed_of_shipped_weights(path):
    name, _, seed = path.stem.rpartition("_")
    card, shipped = json.loads(path.read_text(encoding="utf-8")), weights.card(name)
    assert card["seed"] == int(seed) != shipped["seed"]
    assert all(card[what] == shipped[what] for what in ("model", "options", "parameters", "recipe", "data"))
    assert card["command"].split(" --out")[0] == shipped["command"].split(" --out")[0].replace(
        f"--seed {shipped['seed']}", f"--seed {seed}"
    )


def test_the_command_line_has_a_number_for_each_setting(recording, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["experiment.py", "--batch-size", "7"])
    assert vars(recording.arguments("?", epochs=20, batch_size=128)) == dict(epochs=20, batch_size=7, backend="numba")


@pytest.fixture
def transfer_experiment(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("transfer")


@pytest.mark.parametrize("scores, tried, best", [
    ([0, 5, 7, 6, 0, 0], 3, 1e-3),
    ([0, 5, 7, 7, 6, 0], 3, 1e-3),  # of equal ones the smallest
    ([1, 9, 7, 6, 0, 0], 4, 3e-4),  # the best was the outermost, so one more
    ([0, 1, 2, 3, 4, 5], 5, 3e-2),
])  # fmt: skip
def test_a_search_begins_where_it_is_told_and_goes_outwards(scores, tried, best, monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    rates, seen = importlib.import_module("rates"), set()

    def score(rate):
        seen.add(rate)
        return scores[rates.RATES.index(rate)]

    assert rates.best_rate(score, first=1) == best
    assert len(seen) == tried


@pytest.mark.parametrize("frozen", range(1, 5))
def test_what_transfer_trains_on_kept_features_is_the_same_network(frozen, transfer_experiment):
    source = weights.load("lenet5_mnist")
    model, layer = transfer_experiment.prepared(source, frozen, 3)
    images = datasets.load("digits", "test", size=28).images[:7]
    kept = transfer.features(model, images, layer, progress=False)
    behind = transfer_experiment.rest(model, frozen)
    np.testing.assert_allclose(behind(Tensor(kept)).numpy(), model(Tensor(images)).numpy(), rtol=1e-4, atol=1e-5)
    learning = {id(p) for p in model.parameters() if p.requires_grad}
    assert learning == {id(p) for p in behind.parameters()}
    np.testing.assert_array_equal(model.conv1.weight.data, source.conv1.weight.data)


def test_transfers_parts_share_no_image(transfer_experiment):
    whole = datasets.load("digits", "train")
    pool, taken = transfer_experiment.apart(whole, 20)
    assert not set(pool.extra["row"]) & set(taken.extra["row"])
    assert len(pool) + len(taken) == len(whole) and (np.bincount(taken.labels) == 20).all()
