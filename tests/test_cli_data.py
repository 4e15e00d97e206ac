"""`zerohero data`: where each set lies, what is fetched, and that no damaged file is called right."""

import gzip
import json
import lzma
import os
import re
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from zerohero import datasets, diagnosis
from zerohero.datasets import cifar10, files, inventory, mnist


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """An empty ZEROHERO_DATA and an empty cache."""
    data, cache = tmp_path / "data", tmp_path / "cache"
    data.mkdir()
    monkeypatch.setenv("ZEROHERO_DATA", str(data))
    monkeypatch.setenv("ZEROHERO_CACHE", str(cache))
    monkeypatch.setattr(files, "_digests", {})
    return data, cache


@pytest.fixture
def small(monkeypatch):
    """MNIST with four small files, and a download that always works; gives their contents and what was asked for."""
    family = mnist.FAMILY["mnist"]
    contents = {remote.name: gzip.compress(remote.name.encode()) for pair in family.files.values() for remote in pair}
    smaller = {
        split: tuple(replace(remote, sha256=sha256(contents[remote.name]).hexdigest()) for remote in pair)
        for split, pair in family.files.items()
    }
    asked = []

    def download(remote, target, *rest):
        asked.append(remote.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(contents[remote.name])
        return target

    monkeypatch.setattr(mnist, "FAMILY", {**mnist.FAMILY, "mnist": replace(family, files=smaller)})
    monkeypatch.setattr(files, "_download", download)
    return contents, asked


def put(folder, contents):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)


def listed(zerohero, *names):
    status, out, err = zerohero("data", "list", *names, "--json")
    assert (status, err) == (0, "")
    return {each["name"]: each for each in json.loads(out)}


# --- list -----------------------------------------------------------------------------------------------------


def test_every_set_is_listed_with_its_place_and_its_size(zerohero, folders):
    found = listed(zerohero)
    assert list(found) == datasets.names()
    assert {name for name in found if found[name]["place"] == "embedded"} == set(inventory.BUILT_IN)
    assert {name for name in found if found[name]["place"] == "missing"} == set(found) - set(inventory.BUILT_IN)
    assert found["mnist"]["bytes_to_fetch"] == 9912422 + 28881 + 1648877 + 4542
    assert not found["smallnorb"]["can_be_fetched"] and found["multimnist"]["source"] == "mnist"


def test_the_list_for_people_says_the_same(zerohero, folders):
    status, out, _ = zerohero("data", "list")
    lines = {line.split()[0]: line for line in out.splitlines() if line}
    assert status == 0 and set(datasets.names()) <= set(lines)
    assert "`zerohero data fetch mnist` downloads 11.6 MB" in lines["mnist"]
    assert "inside scikit-learn" in lines["digits"] and "drawn from mnist" in lines["affnist"]
    assert lines["ZEROHERO_DATA:"].endswith(str(folders[0])) and lines["cache:"].endswith(str(folders[1]))


def test_a_set_lies_where_its_files_lie(zerohero, folders, small):
    put(folders[1] / "mnist", small[0])
    found = listed(zerohero, "mnist", "affnist")
    assert found["mnist"]["place"] == found["affnist"]["place"] == "cache"
    assert found["mnist"]["bytes_to_fetch"] == 0 and found["mnist"]["bytes"] == sum(map(len, small[0].values()))
    put(folders[0] / "mnist", {"train-labels-idx1-ubyte": b"unpacked by hand"})
    assert listed(zerohero, "mnist")["mnist"]["place"] == "ZEROHERO_DATA, cache"


def test_an_unpacked_file_need_not_be_fetched(zerohero, folders, small):
    put(folders[0] / "mnist", {name.removesuffix(".gz"): b"?" for name in small[0]})
    assert listed(zerohero, "mnist")["mnist"]["bytes_to_fetch"] == 0


def test_batches_stand_for_the_archive_only_if_all_are_there(zerohero, folders):
    batches = [name for split in cifar10.BATCHES.values() for name in split]
    put(folders[0] / "cifar10", {f"{name}.xz": b"" for name in batches[:-1]})
    assert listed(zerohero, "cifar10")["cifar10"]["bytes_to_fetch"] == cifar10.ARCHIVE.size
    put(folders[0] / "cifar10", {batches[-1]: b""})
    assert listed(zerohero, "cifar10")["cifar10"]["bytes_to_fetch"] == 0


# --- fetch ----------------------------------------------------------------------------------------------------


def test_fetch_brings_what_is_missing_and_only_that(zerohero, folders, small):
    contents, asked = small
    there = next(iter(contents))
    put(folders[1] / "mnist", {there: contents[there]})
    status, out, _ = zerohero("data", "fetch", "mnist")
    assert status == 0 and f"mnist: 4 files, verified, in {folders[1] / 'mnist'}" in out
    assert sorted(asked) == sorted(set(contents) - {there})
    assert zerohero("data", "fetch", "multimnist")[0] == 0 and len(asked) == 3
    paths = json.loads(zerohero("data", "fetch", "mnist", "--json")[1])["mnist"]
    assert sorted(Path(path).name for path in paths) == sorted(contents)


def test_fetch_replaces_a_damaged_file_in_the_cache(zerohero, folders, small):
    contents, asked = small
    spoilt = next(iter(contents))
    put(folders[1] / "mnist", contents | {spoilt: b"half of it"})
    assert zerohero("data", "verify", "mnist")[0] == 1
    assert zerohero("data", "fetch", "mnist")[0] == 0 and asked == [spoilt]
    assert zerohero("data", "verify", "mnist")[0] == 0


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [(("fetch",), 2, "fetch needs the names of data sets"),
     (("fetch", "smallnorb"), 2, "smallnorb isn't published for download"),
     (("fetch", "mnist", "mnits"), 2, "NAME needs to be one of affnist, .* but got 'mnits'"),
     (("list", "mnits"), 2, "NAME needs to be one of"),
     (("burn",), 2, "'burn' is not one of 'list', 'fetch', 'verify'")],
)  # fmt: skip
def test_wrong_input_fetches_nothing_and_is_one_sentence(zerohero, folders, small, words, status, sentence):
    got, out, err = zerohero("data", *words)
    assert got == status and out == "" and re.search(sentence, err) and len(err.splitlines()) == 1
    assert small[1] == []


def test_a_site_out_of_reach_is_no_wrong_input(zerohero, folders, monkeypatch):
    def unreachable(remote, target, *rest):
        raise ConnectionError(f"{remote.name} could not be downloaded")

    monkeypatch.setattr(files, "_download", unreachable)
    status, _, err = zerohero("data", "fetch", "kmnist")
    assert status == 1 and "could not be downloaded" in err and len(err.splitlines()) == 1


def test_what_is_embedded_needs_no_fetching(zerohero, folders):
    assert zerohero("data", "fetch", "digits") == (0, "digits: nothing to fetch (inside scikit-learn)\n", "")


# --- verify ---------------------------------------------------------------------------------------------------


def test_verify_tells_right_damaged_and_unknown_files_apart(zerohero, folders, small):
    contents, _ = small
    first, second = list(contents)[:2]
    put(folders[0] / "mnist", {first: contents[first]})
    put(folders[1] / "mnist", {first: contents[first] + b"more", second: contents[second]})
    put(folders[0] / "smallnorb", {"smallnorb_12pairs.npz": b"?"})
    status, out, _ = zerohero("data", "verify", "--json")
    verdicts = {(each["place"], Path(each["path"]).name): each["verdict"] for each in json.loads(out)}
    assert status == 1 and verdicts == {
        ("ZEROHERO_DATA", first): "ok", ("cache", first): "damaged", ("cache", second): "ok",
        ("ZEROHERO_DATA", "smallnorb_12pairs.npz"): "unknown"}  # fmt: skip
    out = zerohero("data", "verify")[1]
    assert f"DAMAGED  {folders[1] / 'mnist' / first}" in out and "4 files, 1 damaged, 1 of which no SHA-256" in out
    assert zerohero("data", "verify", "smallnorb")[0] == 0


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
def test_a_batch_is_verified_by_its_unpacked_bytes(zerohero, folders, monkeypatch, pack):
    right = os.urandom(5000)
    monkeypatch.setattr(cifar10, "BATCHES", {"train": {"data_batch_1.bin": sha256(right).hexdigest()}, "test": {}})
    name = "data_batch_1.bin" + {bytes: "", gzip.compress: ".gz", lzma.compress: ".xz"}[pack]
    put(folders[1] / "cifar10", {name: pack(right)})
    assert zerohero("data", "verify", "cifar10")[0] == 0
    for wrong in (pack(right[:-1]), pack(right)[:-5], b"", pack(right) + b"more"):
        put(folders[1] / "cifar10", {name: wrong})
        assert zerohero("data", "verify", "cifar10")[0] == 1


def test_without_files_there_is_nothing_to_verify(zerohero, folders):
    status, out, _ = zerohero("data", "verify", "digits", "mnist")
    assert status == 0 and "nothing to verify" in out


def test_a_wrong_data_folder_is_one_sentence(zerohero, monkeypatch):
    monkeypatch.setenv("ZEROHERO_DATA", "/no/such/folder")
    for action in (["list"], ["verify"], ["fetch", "mnist"]):
        status, _, err = zerohero("data", *action)
        assert status == 2 and "ZEROHERO_DATA is '/no/such/folder'" in err and len(err.splitlines()) == 1


@pytest.mark.data
def test_the_real_files_are_right(zerohero, monkeypatch, tmp_path):
    monkeypatch.setenv("ZEROHERO_CACHE", str(tmp_path))
    shutil.copytree(Path(os.environ["ZEROHERO_DATA"]) / "mnist", tmp_path / "mnist")
    status, out, _ = zerohero("data", "verify", "mnist", "--json")
    assert status == 0 and len(json.loads(out)) >= 8 and {each["verdict"] for each in json.loads(out)} == {"ok"}


# --- what the doctor says of the same ---------------------------------------------------------------------------


def test_the_doctor_promises_no_download_that_there_is_not(folders):
    data = diagnosis.doctor().data
    assert data["smallnorb"].startswith("not here, and no download") and data["affnist"].startswith("drawn from mnist")
    put(folders[1] / "smallnorb", {"smallnorb_12pairs.npz": b"?"})
    assert diagnosis.doctor().data["smallnorb"] == f"the cache ({folders[1] / 'smallnorb'})"
