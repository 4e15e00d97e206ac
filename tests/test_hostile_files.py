"""Files that lie are read, or refused by one sentence: they never run or crash, and take no memory they don't have."""

import gzip
import io
import json
import lzma
import os
import struct
import subprocess
import sys
import textwrap
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from scipy.io import savemat

import zerohero as zh
from zerohero import nn, weights
from zerohero.datasets import affnist, smallnorb
from zerohero.datasets.idx import read_idx

ROOT = Path(__file__).parent.parent
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
BILLIONS = 10**12


def python(*arguments):
    """What a Python of its own says, run from the repository's root."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=os.environ | ONE_THREAD, capture_output=True, text=True)


def table(text):
    """{loader: (files, read, refused, failures)} of what tests/hostile_files.py prints."""
    rows = [line for line in text.splitlines()[1:] if not line.startswith(" ")]
    return {line[:20].strip(): tuple(int(n) for n in line[20:].split()[:4]) for line in rows}


# ---- thousands of changed files ---------------------------------------------------------------------------


def changed_files(count):
    done = python("-m", "tests.hostile_files", "--files", count, "--seed", 0)
    assert done.returncode == 0, done.stdout + done.stderr
    found = table(done.stdout)
    assert len(found) == 16 and found.pop("in all")[0] >= count
    for loader, (files, read, refused, failures) in found.items():
        assert files >= count // 15 and read + refused == files and not failures
        assert read > 0, f"{loader} refuses everything, honest files too"
        assert refused > files // 3 or loader in ("progress", "grade"), f"{loader} reads what can't be read"


def test_changed_files_are_read_or_refused_by_a_sentence():
    changed_files(900)


@pytest.mark.slow
def test_a_hundred_thousand_changed_files_are_read_or_refused_by_a_sentence():
    changed_files(100_000)


PLANTS = textwrap.dedent("""
    # Readers with a fault each, given changed files: what the examination says of them.
    import ctypes, pickle
    import numpy as np
    from tests import hostile_files as h

    def trusts(path):  # what a header claims, it takes
        data = path.read_bytes()
        count = int.from_bytes(data[:4], "little")
        np.ones(count, np.uint8)
        raise ValueError(f"{path} is refused, too late")

    def asks_too_late(path):  # the same, and hides that there was no memory
        try:
            np.empty((int.from_bytes(path.read_bytes()[:4], "little"), 1000))
        except MemoryError as error:
            raise ValueError(f"{path}: {error}") from None

    def unpickles(path):
        try:
            pickle.loads(path.read_bytes()[8:])
        except Exception:
            raise ValueError(f"{path} is refused, too late") from None

    def evaluates(path):
        try:
            eval(path.read_bytes()[8:20])
        except Exception:
            raise ValueError(f"{path} is refused, too late") from None

    def stumbles(path):
        return {}[path.read_bytes()[:1]]

    def says_nothing(path):
        raise ValueError("invalid file")

    def crashes(path):
        if path.read_bytes()[:4] > b"\\x80":
            ctypes.string_at(0)

    honest = [(100).to_bytes(4, "little") + bytes(4) + pickle.dumps([1, 2, complex]) * 3]
    plants = [h.Loader(f.__name__, lambda: honest, f) for f in
              (trusts, asks_too_late, unpickles, evaluates, stumbles, says_nothing, crashes)]
    h.LOADERS[:] = plants
    for plant in plants:
        outcomes, failures, _ = h.run(plant, 400, 0, chunk=400)
        print(plant.name, "|", outcomes["failure"], "|", failures[0] if failures else "")
""")


def test_readers_with_a_fault_are_found_out():
    done = python("-c", PLANTS)
    said = {name: (int(count), text) for name, count, text in (line.split(" | ") for line in done.stdout.splitlines())}
    words = {"trusts": "bytes of memory for", "asks_too_late": "memory",
             "unpickles": "pickle.find_class", "evaluates": "it brought about compile", "stumbles": "KeyError",
             "says_nothing": "no sentence", "crashes": "the process died"}  # fmt: skip
    assert said.keys() == words.keys(), done.stderr
    for name, text in words.items():
        assert said[name][0] > 0 and text in said[name][1], (name, said[name])


# ---- claims: sizes that a file only talks of ----------------------------------------------------------------


def refused(call, words, most):
    """The memory that a call took before it raised a ValueError of these words; at most `most` bytes."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=words) as caught:
            call()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most, f"{peak:,} bytes"
    assert str(caught.value).isprintable() and "allocat" not in str(caught.value)


def test_safetensors_that_claim_a_trillion_numbers_are_refused_by_arithmetic(tmp_path):
    path = tmp_path / "w.safetensors"
    for shape, end in (([BILLIONS], 4 * BILLIONS), ([BILLIONS], 8), ([2**32, 2**32], 8), ([2], BILLIONS)):
        header = json.dumps({"weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}).encode()
        path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
        refused(lambda: zh.load_weights(nn.Linear(2, 1), path), r"w\.safetensors' is damaged", 1 << 20)


def npy(shape, content=bytes(8), descr="<f4"):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + content


def archive(path, members, kind=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", kind) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


@pytest.mark.parametrize("shape", [f"({BILLIONS},)", "(1000000, 1000000)", f"(0, {BILLIONS})", "(3,)"])
def test_an_array_that_claims_more_than_its_file_has_is_refused_by_arithmetic(tmp_path, shape):
    path = archive(tmp_path / "w.npz", {"weight.npy": npy(shape)})
    refused(lambda: zh.load_weights(nn.Linear(2, 1), path), r"'weight' claims shape .* but 8 bytes are there", 1 << 20)


def test_a_header_of_many_digits_is_refused_at_once(tmp_path):
    from zerohero.grading import exchange
    from zerohero.npz import HEADER

    line = b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"1" * 400 + b"x), }"
    assert HEADER.fullmatch(line) is None and exchange.HEADER.fullmatch(line) is None


def test_an_archive_that_unpacks_to_a_thousand_times_itself_is_refused_before_it_does(tmp_path):
    bomb = npy("(10000000,)", bytes(40_000_000))
    path = archive(tmp_path / "w.npz", {"weight.npy": bomb}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 60_000
    refused(lambda: zh.load_weights(nn.Linear(2, 1), path), "claim to unpack to 40,000,128", 1 << 20)
    twice = bytearray(path.read_bytes())
    where = twice.find(b"PK\1\2") + 24  # what the directory says that it unpacks to
    twice[where : where + 4] = (1000).to_bytes(4, "little")
    path.write_bytes(twice)
    refused(lambda: zh.load_weights(nn.Linear(2, 1), path), r"w\.npz' is damaged", 1 << 20)


@pytest.mark.parametrize("kind", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_packings_that_numpy_does_not_write_are_refused_before_they_take_a_dictionary(tmp_path, kind):
    path = archive(tmp_path / "w.npz", {"weight.npy": npy("(2,)")}, kind)
    refused(lambda: zh.load_weights(nn.Linear(2, 1), path), "packed in a way that NumPy doesn't write", 1 << 20)


def test_what_numpy_writes_is_read_as_numpy_reads_it(tmp_path):
    from zerohero.npz import read_npz

    rng = np.random.default_rng(0)
    arrays = {"a": rng.random((3, 4), np.float32), "fortran": np.asfortranarray(rng.random((2, 3, 4))),
              "big": np.arange(5, dtype=">i4"), "half": np.float16([1.5]), "one": np.array(7), "none": np.zeros((0, 3)),
              "truth": np.array([True, False]), "long": np.arange(700_000)}  # fmt: skip
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **arrays)
        found = read_npz(tmp_path / "a.npz")
        with np.load(tmp_path / "a.npz") as theirs:
            assert found.keys() == set(theirs.files)
            for name in theirs.files:
                assert found[name].dtype == theirs[name].dtype and found[name].shape == theirs[name].shape
                np.testing.assert_array_equal(found[name], theirs[name])


def test_a_pytorch_file_whose_parts_are_packed_is_refused_before_they_unpack(tmp_path):
    import torch

    torch.save({"weight": torch.zeros(1, 2), "bias": torch.zeros(1)}, tmp_path / "honest.pth")
    with zipfile.ZipFile(tmp_path / "honest.pth") as file:
        members = {name: file.read(name) for name in file.namelist()}
    bomb = {name: bytes(5_000_000) if name.endswith("data/0") else content for name, content in members.items()}
    path = archive(tmp_path / "w.pth", bomb, zipfile.ZIP_DEFLATED)
    refused(lambda: zh.load_weights(nn.Linear(2, 1), path), "its parts claim 5,00.* more than the file has", 1 << 20)


def test_a_pytorch_file_of_the_older_form_that_claims_a_trillion_numbers_is_refused(tmp_path):
    import torch

    path = tmp_path / "w.pth"
    state = {"weight": torch.zeros(1, 77), "bias": torch.zeros(1)}
    torch.save(state, path, _use_new_zipfile_serialization=False)
    honest = path.read_bytes()
    assert honest.count(b"cpuq\x08KMN") == 1 or honest.count(b"KMNt") == 1  # BININT1 77, NONE, TUPLE
    path.write_bytes(honest.replace(b"KMN", b"\x8a\x06" + BILLIONS.to_bytes(6, "little") + b"N", 1))
    refused(lambda: zh.load_weights(nn.Linear(77, 1), path), "claims 1,000,000,000,000 numbers", 1 << 20)


@pytest.mark.parametrize("legacy", [False, True])
def test_one_number_that_looks_like_a_trillion_is_refused(tmp_path, legacy):
    import torch

    expanded = torch.zeros(1, dtype=torch.bfloat16).expand(10**6, 10**6)
    state = {"weight": expanded, "bias": torch.zeros(1)}
    torch.save(state, tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    refused(lambda: zh.load_weights(nn.Linear(2, 1), tmp_path / "w.pth"), "is more than the file's", 1 << 21)


def test_a_pytorch_file_may_have_any_name(tmp_path):
    import torch

    torch.save({"weight": torch.ones(1, 2), "bias": torch.zeros(1)}, tmp_path / "w.safetensors")
    layer = nn.Linear(2, 1)
    zh.load_weights(layer, tmp_path / "w.safetensors")
    assert (layer.weight.data == 1).all()


@pytest.mark.parametrize("options", [{"num_classes": 10**9}, {"image_size": 10**5}, {"num_classes": 10**12},
                                     {"in_channels": 60_000}, {"num_classes": 1e300}, {"num_classes": [10**9]}])
def test_a_model_file_whose_options_ask_for_a_giant_is_refused_before_it_is_made(tmp_path, options):
    text = {"model": "lenet5", "options": json.dumps(options)}
    path = zh.save_weights(zh.models.create("lenet5", image_size=12), tmp_path / "m.safetensors", metadata=text)
    # np.empty stakes out the largest array, and nothing is put there.
    refused(lambda: weights.read(path), r"m\.safetensors' holds no weights of the model it names", 1 << 30)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_a_smallnorb_bomb_costs_no_more_than_its_header_claims(tmp_path, pack):
    plain = struct.pack("<5i", 0x1E3D4C55, 2, 3, 4, 1) + bytes(12)
    path = tmp_path / "a.mat.gz"
    path.write_bytes(pack(plain + bytes(16 << 20)))
    dictionary = 8 << 20 if pack is lzma.compress else 0
    refused(lambda: smallnorb.read_matrix(path), "more bytes follow than its header says", (3 << 20) + dictionary)
    path.write_bytes(pack(struct.pack("<6i", 0x1E3D4C55, 4, 24300, 2, 96, 96) + bytes(100)))
    refused(lambda: smallnorb.read_matrix(path), "ends 447,897,500 bytes early", (3 << 20) + dictionary)
    path.write_bytes(struct.pack("<6i", 0x1E3D4C55, 4, 2**31 - 1, 2**31 - 1, 96, 96) + bytes(100))
    refused(lambda: smallnorb.read_matrix(path), "and 1 to 1,073,741,824 are taken", 1 << 20)


def matlab(tmp_path, content, packed):
    savemat(tmp_path / "a.mat", {"affNISTdata": content}, do_compression=packed)
    return tmp_path / "a.mat"


@pytest.mark.parametrize("packed", [False, True])
def test_matlab_files_are_read_as_scipy_reads_them(tmp_path, packed):
    from scipy.io import loadmat

    from zerohero.datasets.matlab import read_struct

    rng = np.random.default_rng(0)
    kinds = {kind: rng.integers(0, 100, (3, 5)).astype(kind) for kind in "u1 i1 u2 i2 u4 i4 u8 i8 f4 f8".split()}
    content = {**kinds, "text": "skipped", "cell": np.array([1, "a"], object), "inside": {"a": 1}, "row": [1.5, 2.5]}
    path = matlab(tmp_path, content, packed)
    theirs = loadmat(path, squeeze_me=False)["affNISTdata"]
    found = read_struct(path, "affNISTdata", (*kinds, "row", "absent"))
    assert found.keys() == {*kinds, "row"}
    for name, array in found.items():
        np.testing.assert_array_equal(array, theirs[name].item())
        assert array.dtype == theirs[name].item().dtype


def test_a_matlab_file_that_claims_or_packs_gigabytes_is_refused(tmp_path):
    content = {"image": np.zeros((1600, 2), np.uint8), "label_int": [[1, 2]]}
    honest = matlab(tmp_path, content, False).read_bytes()
    path, shape = tmp_path / "b.mat", struct.pack("<2i", 1600, 2)
    assert honest.count(shape) == 1
    path.write_bytes(honest.replace(shape, struct.pack("<2i", 1600, 2**31 - 1)))
    refused(lambda: affnist.read_affnist(path), "claims shape .1600, 2147483647.", 1 << 20)
    longer, place = bytearray(honest[128:]), honest.index(shape) - 128  # a tag lies 32 bytes before it, one 16 behind
    longer[place : place + 8] = struct.pack("<2i", 1600, 62_500)
    for tag, size in ((4, 2**32 - 8), (place - 28, 100_000_064), (place + 20, 100_000_000)):
        longer[tag : tag + 4] = struct.pack("<I", size)
    packed = zlib.compress(longer)
    path.write_bytes(honest[:128] + struct.pack("<2I", 15, len(packed)) + packed)
    refused(lambda: affnist.read_affnist(path), r"b\.mat is no MATLAB file .* early", 3 << 20)
    other = matlab(tmp_path, {"zeros": np.zeros((10_000, 5_000), np.uint8), **content}, True)  # 50 MB in 50 kB, skipped
    tracemalloc.start()
    assert affnist.read_affnist(other).labels.tolist() == [1, 2]
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_numbers_that_do_not_fit_are_refused_and_the_model_stays(tmp_path):
    layer = nn.Linear(2, 1)
    before = layer.weight.data.copy()
    for wrong, words in ((np.float64([[1, 1e300]]), "numbers that float32 cannot hold"), (np.complex64([[1, 2j]]), "")):
        archive(tmp_path / "w.npz", {"weight.npy": npy("(1, 2)", wrong.tobytes(), wrong.dtype.str),
                                     "bias.npy": npy("(1,)", bytes(4))})  # fmt: skip
        with pytest.raises(ValueError, match=rf"w\.npz' .*{words}"):
            zh.load_weights(layer, tmp_path / "w.npz")
        assert (layer.weight.data == before).all()


def test_names_from_a_file_cannot_write_on_a_terminal(tmp_path):
    np.savez(tmp_path / "w.npz", **{"\x1b[31mred\nnew line": np.zeros(1), "x" * 500: np.zeros(1)})
    with pytest.raises(ValueError, match="unexpected") as caught:
        zh.load_weights(nn.Linear(2, 1), tmp_path / "w.npz")
    assert str(caught.value).isprintable() and len(str(caught.value)) < 600


def test_an_xz_file_of_idx_takes_at_most_its_dictionary(tmp_path):
    (tmp_path / "a").write_bytes(lzma.compress(struct.pack(">HBBI", 0, 8, 1, 10) + bytes(16 << 20), preset=9))
    refused(lambda: read_idx(tmp_path / "a"), "more bytes follow", 80 << 20)


def test_reading_an_honest_archive_takes_little_more_than_its_arrays(tmp_path):
    array = np.random.default_rng(0).random((2000, 1000), np.float32)
    packed = io.BytesIO()
    np.savez(packed, weight=array)
    (tmp_path / "w.npz").write_bytes(packed.getvalue())
    del packed
    from zerohero.npz import read_npz

    tracemalloc.start()
    assert (read_npz(tmp_path / "w.npz")["weight"] == array).all()
    assert tracemalloc.get_traced_memory()[1] < 1.5 * array.nbytes
    tracemalloc.stop()


@pytest.mark.parametrize(
    "name, options",
    [("vgg19", {}), ("resnet152", {}), ("capsnet", {"image_size": 900}), ("lenet5", {"num_classes": 900})],
)
def test_a_small_file_that_names_a_large_model_is_refused_before_the_model_is_built(tmp_path, name, options):
    text = {"model": name, "options": json.dumps(options)}
    save_file({"weight": np.zeros(10, np.float32)}, tmp_path / "w.safetensors", text)
    refused(lambda: weights.read(tmp_path / "w.safetensors"), "more than the .* values that may be drawn", 8 << 20)
