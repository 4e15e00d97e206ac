"""Files of data sets: found, fetched from a server that may lie, unpacked, and refused when damaged."""

import errno
import gzip
import hashlib
import http.server
import io
import lzma
import os
import struct
import subprocess
import sys
import tarfile
import threading
import tracemalloc
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from zerohero import datasets
from zerohero.datasets import cifar10, files, mnist
from zerohero.datasets.cifar10 import RECORD, read_batch
from zerohero.datasets.idx import read_idx

PACKINGS = {"plain": bytes, "gzip": gzip.compress, "xz": lzma.compress}


def idx(array, code=0x08):
    """An array as the bytes of an IDX file."""
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    return header + np.ascontiguousarray(array).astype(array.dtype.newbyteorder(">")).tobytes()


def records(labels, seed=0):
    """CIFAR-10 records with those labels and random pixels, as bytes."""
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), RECORD - 1), dtype=np.uint8)
    return np.column_stack([np.array(labels, np.uint8), pixels]).tobytes()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


IMAGES = np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8)
LABELS = (np.arange(20) % 10).astype(np.uint8)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """An empty ZEROHERO_DATA, an empty cache, no proxies."""
    data, cache = tmp_path / "data", tmp_path / "cache"
    data.mkdir()
    monkeypatch.setenv("ZEROHERO_DATA", str(data))
    monkeypatch.setenv("ZEROHERO_CACHE", str(cache))
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(files, "_digests", {})
    return data, cache


def in_cache(cache):
    return sorted(path.name for path in cache.rglob("*") if path.is_file())


# ---- reading IDX -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize(("dtype", "code"), [("u1", 8), ("i1", 9), ("i2", 11), ("i4", 12), ("f4", 13), ("f8", 14)])
def test_idx_arrays_come_back_in_the_machines_byte_order(packing, dtype, code):
    array = (np.arange(24) * 5).reshape(2, 3, 4).astype(dtype)
    read = read_idx(PACKINGS[packing](idx(array, code)))
    np.testing.assert_array_equal(read, array)
    assert read.dtype == np.dtype(dtype) and read.dtype.isnative


def test_idx_is_read_from_a_path_and_from_a_stream(tmp_path):
    (tmp_path / "labels").write_bytes(gzip.compress(idx(LABELS)))
    np.testing.assert_array_equal(read_idx(tmp_path / "labels"), LABELS)
    np.testing.assert_array_equal(read_idx(str(tmp_path / "labels")), LABELS)
    np.testing.assert_array_equal(read_idx(io.BytesIO(idx(LABELS))), LABELS)
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "nothing")


WHOLE = idx(IMAGES)
PACKED = gzip.compress(WHOLE)
XZ = lzma.compress(WHOLE)


@pytest.mark.parametrize(("data", "sentence"), [
    (b"", "the buffer is damaged or not what its name says: it ends 4 bytes early; delete it and load again"),
    (b"\0\0\x08", "it ends 1 bytes early"),
    (b"\1" + WHOLE[1:], "an IDX file begins with 00 00, a type from 08 to 0e and 1 to 4 axes, but this one with 0100"),
    (WHOLE[:2] + b"\x07" + WHOLE[3:], "but this one with 0000 07 03"),
    (WHOLE[:3] + b"\0" + WHOLE[4:], "but this one with 0000 08 00"),
    (WHOLE[:3] + b"\xff" + WHOLE[4:], "but this one with 0000 08 ff"),
    (WHOLE[:10], "it ends 6 bytes early"),
    (WHOLE[:-1], "it ends 1 bytes early"),
    (WHOLE + b"x", "more bytes follow than its header says"),
    (b"\0\0\x08\2" + bytes(4) + b"\xff" * 4, r"claims shape \(0, 4294967295\), 0 bytes"),
    (b"\0\0\x0e\4" + b"\xff" * 16, "claims shape"),
    (PACKED[:-9], "Compressed file ended before the end-of-stream marker was reached"),
    (PACKED[:-8] + bytes(4) + PACKED[-4:], "CRC check failed"),
    (PACKED[:-4] + bytes(4), "Incorrect length of data"),
    (PACKED + b"x", "Not a gzipped file"),
    (PACKED[:40] + bytes(40) + PACKED[80:], "is damaged"),
    (PACKED + PACKED, "more bytes follow than its header says"),
    (XZ[:-9], "the xz stream ends early"),
    (XZ + b"x", "something follows the xz stream"),
    (XZ + XZ, "something follows the xz stream"),
    (XZ[:60] + b"\0\xff\0" + XZ[63:], "is damaged"),
    (b"<!DOCTYPE html><html>Not found</html>", "but this one with 3c21"),
    (b"\x80\x04K\x01.", "an IDX file begins with"),
])
def test_a_damaged_idx_file_is_a_sentence(data, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_idx(data)


def mutated(draw_from):
    """Buffers with bytes changed, cut out, put in, or the end cut off."""
    whole = st.sampled_from(draw_from)
    changes = st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 3), st.binary(min_size=1, max_size=8)),
                       min_size=1, max_size=4)

    def apply(data, changes):
        data = bytearray(data)
        for position, kind, new in changes:
            position %= len(data) + 1
            if kind == 0:
                data[position:position + len(new)] = new
            elif kind == 1:
                data[position:position] = new
            elif kind == 2:
                del data[position:position + len(new)]
            else:
                del data[position:]
        return bytes(data)

    return st.builds(apply, whole, changes)


SMALL = idx(np.arange(60, dtype=np.uint8).reshape(3, 4, 5))


@given(mutated([SMALL, gzip.compress(SMALL), lzma.compress(SMALL), idx(np.arange(9, dtype="f4"), 13)]))
@settings(max_examples=600, deadline=None)
@example(b"\x1f\x8b")
@example(b"\xfd7zXZ\0")
@example(b"\x1f\x8b\x08\x04" + bytes(6) + b"\xff\xff")
def test_a_mutated_idx_file_is_read_or_a_value_error(data):
    try:
        array = read_idx(data)
    except ValueError as error:
        assert str(error).startswith("the buffer is damaged or not what its name says: ")
    else:
        assert isinstance(array, np.ndarray) and 0 < array.nbytes <= len(data) * 1100


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_noise_is_a_value_error_or_an_array_no_bigger_than_itself(data):
    for read in (read_idx, read_batch):
        try:
            read(data)
        except ValueError:
            pass
        else:
            assert data.startswith(b"\0\0") and read is read_idx


def peak_memory(call):
    """The most bytes that Python and NumPy held during a call that fails."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="is damaged"):
            call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_header_that_claims_more_than_there_is_costs_no_memory():
    liar = struct.pack(">HBBIII", 0, 8, 3, 300_000, 50, 50) + bytes(1000)           # claims 750 MB
    assert peak_memory(lambda: read_idx(liar)) < 3 << 20
    assert peak_memory(lambda: read_idx(gzip.compress(liar))) < 3 << 20
    huge = struct.pack(">HBBIII", 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1)
    assert peak_memory(lambda: read_idx(huge)) < 1 << 20


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_a_bomb_costs_no_more_than_its_header_claims(pack):
    bomb, batch = pack(idx(IMAGES) + bytes(200 << 20)), pack(bytes(200 << 20))       # 200 MB of zeros behind 16 kB
    assert len(bomb) < 1 << 20
    dictionary = 8 << 20 if pack is lzma.compress else 0                             # which xz unpacks with
    assert peak_memory(lambda: read_idx(bomb)) < (3 << 20) + dictionary
    assert peak_memory(lambda: read_batch(batch)) < 1.3 * cifar10.BATCH * RECORD + dictionary


def test_reading_takes_little_more_memory_than_the_array():
    packed = gzip.compress(idx(np.zeros((30_000, 28, 28), np.uint8)))
    tracemalloc.start()
    array = read_idx(packed)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.3 * array.nbytes


def test_an_xz_header_that_asks_for_gigabytes_is_refused():
    packed = bytearray(lzma.compress(WHOLE))
    # Block header: its length / 4 − 1, flags, filter 21 (LZMA2), 1 byte of properties: the dictionary, 40 is 4 GiB.
    length = (packed[12] + 1) * 4
    assert packed[13:16] == b"\0\x21\x01"
    packed[16] = 40
    packed[12 + length - 4:12 + length] = struct.pack("<I", zlib.crc32(packed[12:12 + length - 4]))
    with pytest.raises(ValueError, match="Memory usage limit exceeded"):
        read_idx(bytes(packed))


# ---- reading CIFAR-10 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_batch_holds_labels_and_planes_of_red_green_and_blue(packing):
    one = bytes([7]) + bytes([10] * 1024) + bytes([20] * 1024) + bytes(range(256)) * 4
    images, labels = read_batch(PACKINGS[packing](one + records([0, 9])))
    assert images.shape == (3, 3, 32, 32) and images.dtype == np.uint8 and labels.tolist() == [7, 0, 9]
    assert np.all(images[0, 0] == 10) and np.all(images[0, 1] == 20)
    assert images[0, 2, 0].tolist() == list(range(32)) and images[0, 2, 1, 0] == 32


@pytest.mark.parametrize(("data", "sentence"), [
    (b"", "a batch needs records of 3,073 bytes, but it has 0 bytes"),
    (records([1, 2])[:-1], "a batch needs records of 3,073 bytes, but it has 6,145 bytes"),
    (records([1, 10]), "a record's label needs to be 0 to 9, but one is 10"),
    (gzip.compress(records([1]))[:-5], "Compressed file ended before"),
    (bytes(cifar10.BATCH * RECORD + 1), "more bytes follow"),
])
def test_a_damaged_batch_is_a_sentence(data, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_batch(data)


def test_a_batch_with_one_other_bit_is_refused_by_its_hash():
    data = records([1, 2, 3])
    assert len(read_batch(data, sha256=sha256(data))[1]) == 3
    changed = bytearray(data)
    changed[5000] ^= 1
    with pytest.raises(ValueError, match="don't have the SHA-256 of the official batch"):
        read_batch(bytes(changed), sha256=sha256(data))


@given(mutated([records([3, 1]), gzip.compress(records([3, 1])), lzma.compress(records([3, 1]))]))
@settings(max_examples=300, deadline=None)
def test_a_mutated_batch_is_read_or_a_value_error(data):
    try:
        images, labels = read_batch(data)
    except ValueError as error:
        assert str(error).startswith("the buffer is damaged or not what its name says: ")
    else:
        assert images.shape == (len(labels), 3, 32, 32) and labels.max() <= 9


# ---- a small MNIST, in folders --------------------------------------------------------------------------------


def family(contents, sites=(), pieces=()):
    """A MNIST of these two files, {name: bytes}, as both splits."""
    images, labels = (files.Remote("mnist", name, len(data), sha256(data), tuple(sites))
                      for name, data in contents.items())
    return {"mnist": mnist.Family(tuple("0123456789"), {"train": (images, labels), "test": (images, labels)},
                                  {"train": tuple(pieces)})}


CONTENTS = {"train-images-idx3-ubyte.gz": gzip.compress(idx(IMAGES)),
            "train-labels-idx1-ubyte.gz": gzip.compress(idx(LABELS))}


def put(folder, contents):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)


def test_a_set_is_found_in_the_data_folder_and_in_the_cache(folders, monkeypatch):
    monkeypatch.setattr(mnist, "FAMILY", family(CONTENTS))
    for folder in folders:
        assert not datasets.available("mnist")
        put(folder / "mnist", CONTENTS)
        assert datasets.available("mnist")
        data = datasets.load("mnist", download=False)
        np.testing.assert_array_equal(data.images[:, 0], IMAGES / np.float32(255))
        np.testing.assert_array_equal(data.labels, LABELS)
        for name in CONTENTS:
            (folder / "mnist" / name).unlink()


def test_any_set_can_be_resized(folders, monkeypatch):
    monkeypatch.setattr(mnist, "FAMILY", family(CONTENTS))
    put(folders[0] / "mnist", CONTENTS)
    assert datasets.load("mnist", size=32).images.shape == (20, 1, 32, 32)


def test_files_that_were_unpacked_are_found_too(folders, monkeypatch):
    monkeypatch.setattr(mnist, "FAMILY", family(CONTENTS))
    plain = {name.removesuffix(".gz"): gzip.decompress(data) for name, data in CONTENTS.items()}
    monkeypatch.setattr(mnist, "UNPACKED", {("mnist", name): sha256(data) for name, data in plain.items()})
    put(folders[0] / "mnist", plain)
    assert datasets.available("mnist") and len(datasets.load("mnist", download=False)) == 20
    monkeypatch.setattr(mnist, "UNPACKED", {("mnist", name): "0" * 64 for name in plain})
    with pytest.raises(ValueError, match=r"instead of 000000000000…; delete it and load again"):
        datasets.load("mnist", download=False)


def test_the_data_folder_comes_before_the_cache(folders, monkeypatch):
    monkeypatch.setattr(mnist, "FAMILY", family(CONTENTS))
    put(folders[0] / "mnist", CONTENTS)
    put(folders[1] / "mnist", {name: b"never looked at" for name in CONTENTS})
    assert len(datasets.load("mnist", download=False)) == 20


@pytest.mark.parametrize("place", [0, 1])
def test_another_file_under_an_official_name_is_refused(folders, monkeypatch, place):
    monkeypatch.setattr(mnist, "FAMILY", family(CONTENTS))
    put(folders[place] / "mnist", CONTENTS | {"train-labels-idx1-ubyte.gz": gzip.compress(idx(LABELS[::-1]))})
    with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte.gz is damaged or another file than .* its SHA-256"):
        datasets.load("mnist", download=False)


def test_a_file_is_hashed_once_until_it_changes(folders):
    path = folders[0] / "file"
    path.write_bytes(b"one")
    files.verify(path, sha256(b"one"))
    key, = files._digests
    files._digests[key] = "seen"
    assert files.sha256(path) == "seen"
    path.write_bytes(b"another")
    assert files.sha256(path) == sha256(b"another")


def test_a_missing_file_is_named_with_where_to_put_it(folders):
    with pytest.raises(FileNotFoundError) as caught:
        datasets.load("mnist", download=False)
    message = str(caught.value)
    for part in ("mnist/train-images-idx3-ubyte.gz", "ZEROHERO_DATA", str(folders[0]), str(folders[1] / "mnist")):
        assert part in message
    assert not folders[1].exists()


def test_a_data_folder_that_is_none_is_an_error(folders, monkeypatch):
    monkeypatch.setenv("ZEROHERO_DATA", str(folders[0] / "nowhere"))
    for call in (lambda: datasets.load("mnist"), lambda: datasets.available("cifar10")):
        with pytest.raises(FileNotFoundError, match="nowhere is not a folder; give it an absolute path, or unset it"):
            call()
    assert datasets.available("digits")


def test_the_cache_is_the_systems_unless_told_otherwise(monkeypatch):
    monkeypatch.delenv("ZEROHERO_CACHE", raising=False)
    assert files.cache_folder().name.lower() in ("zerohero", "cache") and files.cache_folder().is_absolute()
    monkeypatch.setenv("ZEROHERO_CACHE", "~/elsewhere")
    assert files.cache_folder().is_absolute() and files.cache_folder().name == "elsewhere"


@pytest.mark.parametrize(("images", "labels", "sentence"), [
    (IMAGES[:, :27], LABELS, r"needs bytes of shape \(N, 28, 28\), but holds uint8 \(20, 27, 28\)"),
    (LABELS, LABELS, r"needs bytes of shape \(N, 28, 28\), but holds uint8 \(20,\)"),
    (IMAGES, LABELS[:19], r"needs 20 bytes from 0 to 9, one for each image in train-images-idx3-ubyte.gz, but holds"),
    (IMAGES, LABELS + 1, r"but holds uint8 \(20,\) up to 10"),
    (IMAGES, IMAGES, r"but holds uint8 \(20, 28, 28\)"),
])
def test_images_and_labels_that_do_not_fit_are_refused(folders, monkeypatch, images, labels, sentence):
    contents = dict(zip(CONTENTS, (gzip.compress(idx(images)), gzip.compress(idx(labels)))))
    monkeypatch.setattr(mnist, "FAMILY", family(contents))
    put(folders[0] / "mnist", contents)
    with pytest.raises(ValueError, match=sentence):
        datasets.load("mnist", download=False)


def test_pieces_stand_in_for_a_split_and_say_so(folders, monkeypatch):
    stretched = mnist.stretched(IMAGES)
    assert np.all(stretched.max(axis=(1, 2)) == 255)
    # Images 0 to 4 are exact; the second piece has 3 to 19, stretched: 3 and 4 must not come twice.
    packed = {"a": gzip.compress(idx(IMAGES[:5] // 2)), "b": gzip.compress(idx(LABELS[:5])),
              "c": gzip.compress(idx(mnist.stretched(IMAGES // 2)[3:])), "d": gzip.compress(idx(LABELS[3:]))}
    digest = {name: (name, sha256(data)) for name, data in packed.items()}
    pieces = (mnist.Piece(digest["a"], digest["b"], True), mnist.Piece(digest["c"], digest["d"], False))
    monkeypatch.setattr(mnist, "FAMILY", family(CONTENTS, pieces=pieces))
    put(folders[0] / "mnist", packed)
    data = datasets.load("mnist")
    np.testing.assert_array_equal(data.labels, LABELS)
    np.testing.assert_array_equal(data.extra["exact"], np.arange(20) < 5)
    np.testing.assert_array_equal(data.images[:5, 0], (IMAGES[:5] // 2) / np.float32(255))
    assert data.note.startswith("20 of the 60,000 training images: 5 exact, 15 stretched")
    assert datasets.available("mnist") and not datasets.available("mnist", "test")
    with pytest.raises(FileNotFoundError, match=r"mnist/train-images-idx3-ubyte.gz is neither in"):
        datasets.load("mnist", partial=False, download=False)
    put(folders[0] / "mnist", {"d": b"damaged"})
    with pytest.raises(ValueError, match="d is damaged or another file"):
        datasets.load("mnist")


# ---- a small CIFAR-10, in folders ------------------------------------------------------------------------------

NAMES = [f"data_batch_{i}.bin" for i in range(1, 6)]
BINS = {name: records([i, (i + 1) % 10], seed=i) for i, name in enumerate(NAMES)} | {"test_batch.bin": records([9, 8])}


def archive(contents):
    """A .tar.gz of those files, as the official one is laid out."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, data in ({"readme.html": b"<html>"} | contents).items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return packed.getvalue()


@pytest.fixture
def small_cifar(folders, monkeypatch):
    """CIFAR-10 with batches of two records."""
    monkeypatch.setattr(cifar10, "BATCH", 2)
    digests = {name: sha256(data) for name, data in BINS.items()}
    monkeypatch.setattr(cifar10, "BATCHES", {"train": {name: digests[name] for name in NAMES},
                                             "test": {"test_batch.bin": digests["test_batch.bin"]}})
    monkeypatch.setattr(cifar10, "PIECES", {"train": {}, "test": {
        "test_batch_first1000.bin": sha256(BINS["test_batch.bin"][:RECORD])}})
    packed = archive(BINS)
    monkeypatch.setattr(cifar10, "ARCHIVE", replace(cifar10.ARCHIVE, size=len(packed), sha256=sha256(packed), sites=()))
    return folders[0] / "cifar10", packed


def expected_images(names):
    data = np.frombuffer(b"".join(BINS[name] for name in names), np.uint8).reshape(-1, RECORD)
    return data[:, 1:].reshape(-1, 3, 32, 32) / np.float32(255), data[:, 0]


@pytest.mark.parametrize("layout", ["plain", "xz", "gz", "folder", "archive"])
def test_cifar10_is_read_in_every_form_it_comes_in(small_cifar, layout):
    folder, packed = small_cifar
    if layout == "archive":
        put(folder, {"cifar-10-binary.tar.gz": packed})
    else:
        pack, ending, inner = {"plain": (bytes, "", "."), "xz": (lzma.compress, ".xz", "."),
                               "gz": (gzip.compress, ".gz", "."), "folder": (bytes, "", "cifar-10-batches-bin")}[layout]
        put(folder / inner, {name + ending: pack(data) for name, data in BINS.items()})
    for split, names in (("train", NAMES), ("test", ["test_batch.bin"])):
        assert datasets.available("cifar10", split)
        data = datasets.load("cifar10", split, download=False)
        images, labels = expected_images(names)
        np.testing.assert_array_equal(data.images, images)
        np.testing.assert_array_equal(data.labels, labels)
        assert data.note == "" and data.images.dtype == np.float32


def test_some_batches_stand_in_for_all_and_say_so(small_cifar):
    folder, _ = small_cifar
    put(folder, {"data_batch_2.bin": BINS["data_batch_2.bin"],
                 "data_batch_4.bin.xz": lzma.compress(BINS["data_batch_4.bin"]),
                 "test_batch_first1000.bin.gz": gzip.compress(BINS["test_batch.bin"][:RECORD])})
    train, test = datasets.load("cifar10"), datasets.load("cifar10", "test")
    assert train.note == "4 of the 10 images: data_batch_2, data_batch_4" and train.labels.tolist() == [1, 2, 3, 4]
    assert test.note == "1 of the 2 images: test_batch_first1000" and test.labels.tolist() == [9]
    for split in ("train", "test"):
        with pytest.raises(FileNotFoundError, match=r"cifar10/cifar-10-binary.tar.gz is neither in"):
            datasets.load("cifar10", split, partial=False, download=False)


def test_the_whole_archive_comes_before_some_batches(small_cifar):
    folder, packed = small_cifar
    put(folder, {"data_batch_2.bin": BINS["data_batch_2.bin"], "cifar-10-binary.tar.gz": packed})
    assert len(datasets.load("cifar10")) == 10


def test_a_batch_of_another_content_is_refused(small_cifar):
    folder, _ = small_cifar
    put(folder, {"data_batch_1.bin": records([1, 1])})
    with pytest.raises(ValueError, match=r"data_batch_1.bin is damaged .* don't have the SHA-256"):
        datasets.load("cifar10")


@pytest.mark.parametrize("damage", [lambda packed: packed[:-2000], lambda packed: b"not an archive",
                                    lambda packed: packed[:500] + bytes(600) + packed[1100:]])
def test_a_damaged_archive_is_refused_by_its_hash_and_even_without(small_cifar, monkeypatch, damage):
    folder, packed = small_cifar
    put(folder, {"cifar-10-binary.tar.gz": damage(packed)})
    with pytest.raises(ValueError, match="is damaged or another file"):
        datasets.load("cifar10")
    monkeypatch.setattr(cifar10, "ARCHIVE", replace(cifar10.ARCHIVE, sha256=sha256(damage(packed))))
    with pytest.raises(ValueError, match=r"cifar-10-binary.tar.gz (is damaged|lacks)|the stream is damaged"):
        datasets.load("cifar10")


@given(mutated([gzip.decompress(archive({name: records([1]) for name in NAMES}))]), st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_mutated_archive_is_read_or_a_value_error(tmp_path_factory, data, cut):
    path = tmp_path_factory.getbasetemp() / "mutated.tar.gz"
    path.write_bytes(gzip.compress(data)[:-9 if cut else None])
    try:
        cifar10._from_archive(path, {name: sha256(records([1])) for name in NAMES})
    except ValueError as error:
        assert "; delete it and load again" in str(error)


def test_an_archive_without_a_batch_is_refused(small_cifar, monkeypatch):
    folder, _ = small_cifar
    packed = archive({name: data for name, data in BINS.items() if name != "data_batch_3.bin"})
    put(folder, {"cifar-10-binary.tar.gz": packed})
    monkeypatch.setattr(cifar10, "ARCHIVE", replace(cifar10.ARCHIVE, sha256=sha256(packed)))
    with pytest.raises(ValueError, match=r"lacks data_batch_3.bin; delete it and load again"):
        datasets.load("cifar10")


# ---- downloads from a server that may lie ------------------------------------------------------------------------


@pytest.fixture
def server(folders):
    """A web server on this machine. `routes` maps a path to (declared length, chunks to send); `asked` is its log."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            if self.path not in self.server.routes:
                self.send_error(404)
                return
            length, chunks = self.server.routes[self.path]
            self.send_response(200)
            if length is not None:
                self.send_header("Content-Length", str(length))
            self.end_headers()
            try:
                for chunk in chunks:
                    self.wfile.write(chunk)
                    self.server.sent += len(chunk)
            except (BrokenPipeError, ConnectionResetError):
                pass                                   # the client has had enough

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.routes, running.asked, running.sent = {}, [], 0
        running.url = f"http://127.0.0.1:{running.server_address[1]}"
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def serve(server, site, contents):
    for name, data in contents.items():
        server.routes[f"/{site}/{name}"] = (len(data), [data])
    return f"{server.url}/{site}/"


def test_a_set_is_downloaded_once(server, folders, monkeypatch, capfd):
    monkeypatch.setattr(mnist, "FAMILY", family(CONTENTS, [serve(server, "good", CONTENTS)]))
    assert not datasets.available("mnist") and not server.asked
    np.testing.assert_array_equal(datasets.load("mnist").labels, LABELS)
    assert sorted(server.asked) == [f"/good/{name}" for name in CONTENTS]
    assert in_cache(folders[1]) == sorted(CONTENTS)
    assert datasets.available("mnist") and len(datasets.load("mnist")) == 20
    assert len(server.asked) == 2
    assert capfd.readouterr().out == ""


def test_a_second_site_is_asked_when_the_first_fails(server, folders, monkeypatch):
    sites = [f"{server.url}/empty/", serve(server, "other", {name: b"another" for name in CONTENTS}),
             serve(server, "good", CONTENTS)]
    monkeypatch.setattr(mnist, "FAMILY", family(CONTENTS, sites))
    assert len(datasets.load("mnist")) == 20
    assert in_cache(folders[1]) == sorted(CONTENTS)


def broken(kind):
    """What a bad server sends instead of the images: (declared length, chunks)."""
    good = CONTENTS["train-images-idx3-ubyte.gz"]
    return {"another file": (len(good), [bytes(len(good))]),
            "a shorter file": (100, [good[:100]]),
            "a page": (20, [b"<html>log in</html>!"]),
            "more bytes": (len(good) + 9, [good, b"and more."]),
            "no end": (None, (bytes(1 << 16) for _ in range(2000))),
            "nothing": (0, []),
            "a torn file": (len(good), [good[:2000]])}[kind]


@pytest.mark.parametrize("kind", ["another file", "a shorter file", "a page", "more bytes", "no end", "nothing"])
def test_a_lying_download_leaves_nothing_and_says_what_to_do(server, folders, monkeypatch, kind):
    monkeypatch.setattr(mnist, "FAMILY", family(CONTENTS, [f"{server.url}/bad/"]))
    server.routes["/bad/train-images-idx3-ubyte.gz"] = broken(kind)
    with pytest.raises(ValueError) as caught:
        datasets.load("mnist")
    message = str(caught.value)
    for part in ("mnist/train-images-idx3-ubyte.gz", f"{server.url}/bad/ sent", "SHA-256", "try again later",
                 f"put it into {folders[1] / 'mnist'}", "ZEROHERO_DATA"):
        assert part in message
    assert in_cache(folders[1]) == [] and not datasets.available("mnist")
    assert server.sent < 20 << 20          # what has no end is not waited for


def test_a_torn_download_leaves_nothing_and_says_what_to_do(server, folders, monkeypatch):
    monkeypatch.setattr(mnist, "FAMILY", family(CONTENTS, [f"{server.url}/bad/"]))
    server.routes["/bad/train-images-idx3-ubyte.gz"] = broken("a torn file")
    with pytest.raises((ConnectionError, ValueError), match=r"put it into .*mnist, or set ZEROHERO_DATA to a folder"):
        datasets.load("mnist")
    assert in_cache(folders[1]) == []


def test_without_a_network_the_error_names_file_folder_and_variable(folders, monkeypatch):
    monkeypatch.setattr(mnist, "FAMILY", family(CONTENTS, ["http://127.0.0.1:9/"]))
    with pytest.raises(ConnectionError) as caught:
        datasets.load("mnist")
    for part in ("mnist/train-images-idx3-ubyte.gz", "could not be downloaded", "http://127.0.0.1:9/",
                 f"put it into {folders[1] / 'mnist'}", "set ZEROHERO_DATA to a folder that holds mnist/train-images"):
        assert part in str(caught.value)
    assert in_cache(folders[1]) == []


def test_a_damaged_file_in_the_cache_is_fetched_anew(server, folders, monkeypatch):
    monkeypatch.setattr(mnist, "FAMILY", family(CONTENTS, [serve(server, "good", CONTENTS)]))
    put(folders[1] / "mnist", CONTENTS | {"train-images-idx3-ubyte.gz": b"half of it"})
    assert len(datasets.load("mnist")) == 20
    assert server.asked == ["/good/train-images-idx3-ubyte.gz"]


def test_a_damaged_file_in_the_data_folder_is_left_to_its_owner(server, folders, monkeypatch):
    monkeypatch.setattr(mnist, "FAMILY", family(CONTENTS, [serve(server, "good", CONTENTS)]))
    put(folders[0] / "mnist", CONTENTS | {"train-images-idx3-ubyte.gz": b"half of it"})
    with pytest.raises(ValueError, match="is damaged or another file"):
        datasets.load("mnist")
    assert server.asked == [] and (folders[0] / "mnist" / "train-images-idx3-ubyte.gz").read_bytes() == b"half of it"


def test_a_file_that_is_damaged_after_it_was_loaded_is_noticed(server, folders, monkeypatch):
    monkeypatch.setattr(mnist, "FAMILY", family(CONTENTS, [serve(server, "good", CONTENTS)]))
    assert len(datasets.load("mnist")) == 20
    path = folders[1] / "mnist" / "train-images-idx3-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.gz is damaged"):
        datasets.load("mnist", download=False)
    assert len(datasets.load("mnist")) == 20 and path.read_bytes() == CONTENTS[path.name]


def test_a_damaged_file_that_cannot_be_fetched_anew_is_called_damaged_and_not_missing(folders, monkeypatch):
    monkeypatch.setattr(mnist, "FAMILY", family(CONTENTS, ["http://127.0.0.1:9/"]))
    put(folders[1] / "mnist", CONTENTS | {"train-images-idx3-ubyte.gz": b"half of it"})
    with pytest.raises(ConnectionError, match=r"ubyte.gz is damaged .* could not be downloaded") as caught:
        datasets.load("mnist")
    assert "neither in" not in str(caught.value)
    assert in_cache(folders[1]) == sorted(CONTENTS)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_disk_that_fills_leaves_nothing_and_says_what_to_do(server, folders, monkeypatch, number):
    monkeypatch.setattr(mnist, "FAMILY", family(CONTENTS, [serve(server, "good", CONTENTS)] * 2))
    room = [5000]
    write = files._Limited.write

    def fills(self, data):
        room[0] -= len(data)
        if room[0] < 0:
            raise OSError(number, os.strerror(number))
        return write(self, data)

    monkeypatch.setattr(files._Limited, "write", fills)
    with pytest.raises(OSError, match=r"could not be written .* make room there, or set ZEROHERO_CACHE") as caught:
        datasets.load("mnist")
    assert caught.value.errno == number and os.strerror(number) in str(caught.value)
    assert in_cache(folders[1]) == [] and len(server.asked) == 1  # another site would not help


ELSEWHERE = """
import os, resource, sys
from zerohero.datasets.files import Remote, fetch
url, size, digest, room, times = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
if room:
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
children = []
for _ in range(times):
    children.append(os.fork())
    if not children[-1]:
        try:
            fetch(Remote("folder", "file", size, digest, (url,)))
            os._exit(0)
        except OSError as error:
            print(error, flush=True)
            os._exit(3)
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


def elsewhere(server, data, *, room=0, times=1):
    """Fetch in processes of their own, at the same time; `room` is what a file may hold. Exit status and output."""
    command = [sys.executable, "-c", ELSEWHERE, f"{server.url}/good/", len(data), sha256(data), room, times]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


def test_a_disk_that_is_really_full_leaves_nothing(server, folders):
    data = bytes(range(256)) * 400
    serve(server, "good", {"file": data})
    status, said = elsewhere(server, data, room=50_000)
    assert status == 3 and "could not be written (File too large); it needs 102,400 bytes" in said
    assert in_cache(folders[1]) == []
    assert elsewhere(server, data) == (0, "") and in_cache(folders[1]) == ["file"]


def test_two_processes_that_fetch_at_once_get_one_good_copy(server, folders):
    data = bytes(range(256)) * 400
    both = threading.Barrier(2)

    class Together:
        """Half of the file goes to each; the other half when both have the first."""

        def __iter__(self):
            yield data[:50_000]
            both.wait(60)
            yield data[50_000:]

    server.routes["/good/file"] = (len(data), Together())
    assert elsewhere(server, data, times=2) == (0, "")
    assert server.asked == ["/good/file"] * 2 and in_cache(folders[1]) == ["file"]
    assert (folders[1] / "folder" / "file").read_bytes() == data


def test_a_cache_that_cannot_be_made_is_a_sentence(server, folders, monkeypatch):
    monkeypatch.setattr(mnist, "FAMILY", family(CONTENTS, [serve(server, "good", CONTENTS)]))
    folders[1].write_text("a file where the cache should be")
    with pytest.raises(OSError, match=r"cannot be made .* set ZEROHERO_CACHE to a folder that can be written"):
        datasets.load("mnist")


# ---- what is known of the official files -------------------------------------------------------------------------


def test_every_official_file_has_a_length_a_hash_and_a_site():
    remotes = [remote for member in mnist.FAMILY.values() for pair in member.files.values() for remote in pair]
    for remote in [*remotes, cifar10.ARCHIVE]:
        assert remote.size > 4000 and len(remote.sha256) == 64 and int(remote.sha256, 16)
        assert remote.sites and all(site.startswith("http") and site.endswith("/") for site in remote.sites)
    assert len({remote.sha256 for remote in remotes}) == 12


@pytest.mark.data
@pytest.mark.skipif(not os.environ.get("ZEROHERO_DATA"), reason="needs the real data sets: set ZEROHERO_DATA")
def test_the_real_files_have_their_official_lengths_and_hashes():
    seen = 0
    for member in mnist.FAMILY.values():
        for remote in (remote for pair in member.files.values() for remote in pair):
            if path := files.find(remote.folder, remote.name):
                files.verify(path, remote.sha256)
                assert path.stat().st_size == remote.size
                plain = mnist.UNPACKED.get((remote.folder, remote.name.removesuffix(".gz")))
                assert plain is None or sha256(gzip.decompress(path.read_bytes())) == plain
                seen += 1
    assert seen
