"""The experiments' recordings: kept after each measurement, gone on from, and held to the files that made them."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from zerohero import weights

FOLDER = Path(__file__).parent.parent / "experiments"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the experiments lie in a checkout only")
RESULTS = sorted((FOLDER / "results").glob("*.json"))


@pytest.fixture
def recording():
    specification = importlib.util.spec_from_file_location("recording", FOLDER / "recording.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


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
