"""MultiMNIST: the paper's rule, held to pairs that its authors' files contain; reproducible; wrong input refused."""

import numpy as np
import pytest

from zerohero import datasets
from zerohero.datasets import multimnist
from zerohero.datasets.files import find

HAND = find("multimnist", "multimnist_10pairs.npz")


@pytest.fixture(scope="module")
def pairs():
    return datasets.load("multimnist", "train", n=2000, source="digits", seed=3)


def test_an_image_is_the_cut_off_sum_of_its_two_digits(pairs):
    first, second = pairs.extra["digits"].astype(int).transpose(1, 0, 2, 3)
    assert (first + second).max() > 255
    expected = np.minimum(first + second, 255)
    np.testing.assert_array_equal(np.rint(pairs.images[:, 0] * 255), expected)
    assert pairs.images.shape == (2000, 1, 36, 36) and pairs.images.dtype == np.float32


@pytest.mark.skipif(HAND is None, reason="needs multimnist_10pairs.npz under ZEROHERO_DATA")
def test_the_authors_pairs_follow_the_same_rule():
    with np.load(HAND, allow_pickle=False) as found:
        np.testing.assert_array_equal(multimnist.merged(found["image_1"], found["image_2"]), found["merged"])
        assert (found["label_1"] != found["label_2"]).all()
        for single in ("image_1", "image_2"):  # each is some 28×28 in a frame of zeros, shifted by at most 4
            ink = found[single] > 0
            assert ink.any(axis=2).sum(axis=1).max() <= 28 and ink.any(axis=1).sum(axis=1).max() <= 28


def test_labels_differ_are_sorted_and_name_the_class(pairs):
    low, high = pairs.extra["labels"].T
    assert (low < high).all()
    assert [pairs.class_names[k] for k in pairs.labels[:50]] == [f"{a}+{b}" for a, b in pairs.extra["labels"][:50]]
    assert len(np.unique(pairs.labels)) == 45


def strokes(image):
    """The ink of an image of bytes, wherever it stands."""
    return image[image.any(axis=1)][:, image.any(axis=0)].tobytes()


def scans(split):
    """The labels of all that has the same ink, by the ink."""
    base, known = datasets.load("digits", split, size=28, margin=4), {}
    for image, label in zip(np.rint(base.images[:, 0] * 255).astype(np.uint8), base.labels):
        known.setdefault(strokes(image), set()).add(label)
    return known


def test_each_digit_is_one_of_its_label_shifted_by_at_most_four(pairs):
    known, shifts = scans("train"), set()
    for digits, labels in zip(pairs.extra["digits"][:300], pairs.extra["labels"]):
        for image, label in zip(digits, labels):
            rows = np.flatnonzero(image.any(axis=1))
            assert label in known[strokes(image)]
            shifts.add(int(rows[0]))
    assert min(shifts) == 4 and max(shifts) >= 12  # 4 of MNIST's margin + 4 of padding ± 4


def test_shifts_reach_every_corner_and_are_drawn_for_each_digit():
    corners = np.array([[-4, -4], [4, 4], [-4, 4], [0, 0]])
    placed = multimnist.padded(np.ones((4, 28, 28), np.uint8), corners)
    assert [tuple(np.argwhere(image)[0]) for image in placed] == [(0, 0), (8, 8), (0, 8), (4, 4)]
    assert (placed.sum(axis=(1, 2)) == 28 * 28).all()


def test_the_seed_decides_everything():
    load = lambda seed: datasets.load("multimnist", "train", n=50, source="digits", seed=seed).images
    np.testing.assert_array_equal(load(1), load(1))
    assert (load(1) != load(2)).any()


def test_test_pairs_are_made_of_test_digits():
    train, test = scans("train"), scans("test")
    digits = datasets.load("multimnist", "test", n=300, source="digits").extra["digits"].reshape(-1, 36, 36)
    assert all(strokes(image) in test for image in digits)
    assert sum(strokes(image) in train for image in digits) < 0.05 * len(digits)  # written twice alike, if at all


def test_splits_are_drawn_apart_even_if_their_digits_were_the_same(monkeypatch):
    same = datasets.load("digits", "test", size=28, margin=4)
    monkeypatch.setattr(multimnist.digits, "load", lambda *which, **options: same)
    train, test = (datasets.load("multimnist", split, n=50, source="digits").images for split in ("train", "test"))
    assert (train != test).any()


def test_every_digit_is_used():
    labels = np.arange(10).repeat(20)
    rows = multimnist.partners(labels, 400, np.random.default_rng(0))
    assert set(range(200)) == set(rows.ravel().tolist())


@pytest.mark.parametrize("options, words", [
    (dict(n=0), "n needs"), (dict(shift=5), "at most 4"), (dict(source="usps"), "source"), (dict(seed=-1), "seed"),
])
def test_wrong_options_are_refused_in_one_sentence(options, words):
    with pytest.raises((ValueError, TypeError), match=words):
        datasets.load("multimnist", "train", **{"source": "digits", "n": 5, **options})


@pytest.mark.parametrize("call, words", [
    (lambda: multimnist.merged(np.ones((2, 2)), np.ones((2, 2), np.uint8)), "first needs uint8"),
    (lambda: multimnist.merged(np.ones((2, 2), np.uint8), np.ones((2, 3), np.uint8)), "one shape"),
    (lambda: multimnist.padded(np.ones((1, 2, 2)), [[0, 5]]), "from -4 to 4"),
    (lambda: multimnist.padded(np.ones((2, 2)), [[0, 0]]), "shape"),
    (lambda: multimnist.pair_index([[3, 3]]), "twice"),
    (lambda: multimnist.pair_index([3, 4]), "shape"),
    (lambda: multimnist.partners([1, 1], 3, np.random.default_rng(0)), "two different"),
])
def test_the_parts_refuse_wrong_input(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call()
