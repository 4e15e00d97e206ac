"""smallNORB: the binary format, read back from files written here; the pairs at hand; preparation and crops."""

import gzip
import struct

import numpy as np
import pytest

from zerohero import datasets
from zerohero.datasets import smallnorb
from zerohero.datasets.files import find

HAND = find("smallnorb", "smallnorb_12pairs.npz")


def written(array):
    """An array in the format of the original files: magic, axes, at least three lengths, data."""
    magic = {"uint8": 0x1E3D4C55, "int32": 0x1E3D4C54}[array.dtype.name]
    lengths = list(array.shape) + [1] * (3 - array.ndim)
    return struct.pack(f"<{2 + len(lengths)}i", magic, array.ndim, *lengths) + array.tobytes()


@pytest.mark.parametrize("shape, dtype", [((4,), "int32"), ((3, 4), "int32"), ((2, 2, 5, 5), "uint8")])
@pytest.mark.parametrize("packed", [False, True])
def test_a_file_is_read_as_it_was_written(tmp_path, shape, dtype, packed):
    array = np.arange(np.prod(shape), dtype=dtype).reshape(shape)
    path = tmp_path / ("a.mat.gz" if packed else "a.mat")
    path.write_bytes(gzip.compress(written(array)) if packed else written(array))
    found = smallnorb.read_matrix(path)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("spoil", [lambda raw: raw[:-1], lambda raw: raw + b"\0", lambda raw: b"\0" + raw[1:],
                                   lambda raw: raw[:6], lambda raw: b""])
def test_damaged_files_are_refused(tmp_path, spoil):
    path = tmp_path / "b.mat"
    path.write_bytes(spoil(written(np.arange(6, dtype=np.int32))))
    with pytest.raises(ValueError, match=r"b\.mat"):
        smallnorb.read_matrix(path)


def test_original_files_make_the_set(tmp_path, monkeypatch):
    monkeypatch.setenv("ZEROHERO_DATA", str(tmp_path))
    monkeypatch.setenv("ZEROHERO_CACHE", str(tmp_path / "cache"))
    with pytest.raises(FileNotFoundError, match="smallnorb"):
        datasets.load("smallnorb", "train")
    assert not datasets.available("smallnorb", "train")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 2, 96, 96), dtype=np.uint8)
    labels, info = np.arange(5, dtype=np.int32), rng.integers(0, 9, (5, 4)).astype(np.int32)
    (tmp_path / "smallnorb").mkdir()
    for part, array in (("dat", images), ("cat", labels), ("info", info)):
        (tmp_path / "smallnorb" / f"{smallnorb.STEMS['train']}-{part}.mat").write_bytes(written(array))
    found = datasets.load("smallnorb", "train")
    np.testing.assert_array_equal(np.rint(found.images * 255), images)
    assert found.labels.tolist() == [0, 1, 2, 3, 4] and found.note == ""
    np.testing.assert_array_equal(found.extra["azimuth"], info[:, 2])
    ready = datasets.load("smallnorb", "train", prepared=True).images
    assert ready.shape == (5, 2, 48, 48)
    np.testing.assert_allclose(ready.mean(axis=(2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(ready.std(axis=(2, 3)), 1, atol=1e-4)


@pytest.mark.skipif(HAND is None, reason="needs smallnorb_12pairs.npz under ZEROHERO_DATA")
def test_the_pairs_at_hand_say_how_few_they_are():
    for split in ("train", "test"):
        found = datasets.load("smallnorb", split)
        assert found.images.shape == (6, 2, 96, 96) and "6 of the 24,300" in found.note
        assert (found.extra["azimuth"] % 2 == 0).all() and found.extra["azimuth"].max() <= 34


def test_halving_averages_blocks_of_four():
    image = np.zeros((1, 1, 4, 4))
    image[0, 0, 0, 0], image[0, 0, 2:, 2:] = 4, 1  # one bright pixel in a block, four dim ones in another: 1 on average
    np.testing.assert_allclose(smallnorb.prepare(image)[0, 0], [[1, -1], [-1, 1]], rtol=1e-6)
    assert not smallnorb.prepare(np.ones((1, 1, 4, 4))).any()  # a flat image stays finite


def test_crops_are_cut_where_they_should():
    images = np.arange(2 * 6 * 6.0).reshape(2, 1, 6, 6)
    np.testing.assert_array_equal(smallnorb.crops(images, 2), images[:, :, 2:4, 2:4])
    many = smallnorb.crops(np.repeat(images[:1], 300, axis=0), 2, where="random", seed=1)
    assert len({image.tobytes() for image in many}) == 25
    np.testing.assert_array_equal(many, smallnorb.crops(np.repeat(images[:1], 300, axis=0), 2, where="random", seed=1))


@pytest.mark.parametrize("call, words", [
    (lambda: smallnorb.prepare(np.ones((1, 1, 3, 4))), "even"), (lambda: smallnorb.prepare(np.ones((4, 4))), "shape"),
    (lambda: smallnorb.crops(np.ones((1, 1, 4, 4)), 5), "larger"),
    (lambda: smallnorb.crops(np.ones((1, 1, 4, 4)), 2, where="left"), "where"),
    (lambda: datasets.load("smallnorb", prepared=1), "prepared"),
])
def test_wrong_input_is_refused(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call()
