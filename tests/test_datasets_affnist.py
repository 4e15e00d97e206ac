"""affNIST's protocol: placed and affine digits, the pose as asked for, and a file in the original format."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.io import savemat

from zerohero import datasets
from zerohero.datasets import affnist


def load(split, **options):
    return datasets.load("affnist", split, source="digits", **options)


def test_training_digits_are_only_moved_and_none_is_cut():
    base, placed = datasets.load("digits", "train", size=28, margin=4), load("train")
    assert placed.images.shape == (1348, 1, 40, 40)
    for k in (0, 5, 1000):
        top, left = 6 + placed.extra["down"][k], 6 + placed.extra["right"][k]
        np.testing.assert_array_equal(placed.images[k, 0, top : top + 28, left : left + 28], base.images[k, 0])
    np.testing.assert_allclose(placed.images.sum(axis=(1, 2, 3)), base.images.sum(axis=(1, 2, 3)), rtol=1e-5)
    for key in ("down", "right"):
        assert placed.extra[key].min() == -6 and placed.extra[key].max() == 6


def test_poses_lie_in_affnists_ranges_and_fill_them():
    test = load("test")
    for key, (low, high) in affnist.RANGES.items():
        found = test.extra[key]
        assert low <= found.min() < low + 0.1 * (high - low) and high - 0.1 * (high - low) < found.max() <= high
    assert not np.array_equal(test.extra["scale_x"], test.extra["scale_y"])


def test_an_affine_digit_is_what_scipy_makes_of_it():
    image = datasets.load("digits", "test", size=28, margin=4).images[7, 0]
    pose = dict(rotation=17.0, shear=-0.15, scale_y=0.85, scale_x=1.15)
    ours = affnist.transformed(image[None], **{key: np.array([value]) for key, value in pose.items()})[0]
    turn = np.radians(pose["rotation"])
    # on (right, up): stretch, then shear, then rotate
    forward = (np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
               @ np.array([[1, pose["shear"]], [0, 1]]) @ np.diag([pose["scale_x"], pose["scale_y"]]))
    flip = np.array([[0, -1], [1, 0]])  # (right, up) from (down, right) is (x, y) = (right, -down)
    to_right_up = np.array([[0, 1], [-1, 0]])
    back = np.linalg.inv(np.linalg.inv(to_right_up) @ forward @ to_right_up)
    assert np.allclose(flip, np.linalg.inv(to_right_up))
    theirs = ndimage.affine_transform(image, back, offset=13.5 - back @ np.array([19.5, 19.5]), output_shape=(40, 40),
                                      order=1, mode="grid-constant")
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_moved_ink_never_leaves_and_goes_everywhere():
    images = np.zeros((400, 40, 40), np.float32)
    images[:, 10:13, 20:25] = 1
    moved, by = affnist.scattered(images, np.random.default_rng(0))
    assert (moved.sum(axis=(1, 2)) == 15).all()
    assert by[:, 0].min() == -10 and by[:, 0].max() == 27 and by[:, 1].min() == -20 and by[:, 1].max() == 15
    k = 3
    assert tuple(np.argwhere(moved[k])[0]) == (10 + by[k, 0], 20 + by[k, 1])
    blank, still = affnist.scattered(np.zeros((2, 4, 4)), np.random.default_rng(0))
    assert not blank.any() and not still.any()


def test_the_seed_decides_and_affine_can_be_turned_off():
    np.testing.assert_array_equal(load("test", seed=4).images, load("test", seed=4).images)
    assert (load("test", seed=4).images != load("test", seed=5).images).any()
    assert "rotation" not in load("test", affine=False).extra and len(load("test", n=7)) == 7


def test_an_original_file_is_read(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 40, 40), dtype=np.uint8)
    content = {"image": images.reshape(5, 1600).T, "label_int": np.array([[3, 1, 4, 1, 5]], np.uint8),
               "human_readable_transform": rng.random((6, 5))}
    savemat(tmp_path / "1.mat", {"affNISTdata": content})
    found = affnist.read_affnist(tmp_path / "1.mat")
    np.testing.assert_array_equal(np.rint(found.images[:, 0] * 255), images)
    assert found.labels.tolist() == [3, 1, 4, 1, 5] and found.extra["transform"].shape == (5, 6)


@pytest.mark.parametrize("content", [
    {"other": 1}, {"affNISTdata": {"image": np.zeros((1600, 2), np.uint8)}},
    {"affNISTdata": {"image": np.zeros((784, 2), np.uint8), "label_int": [1, 2]}},
    {"affNISTdata": {"image": np.zeros((1600, 2)), "label_int": [1, 2]}},
    {"affNISTdata": {"image": np.zeros((1600, 2), np.uint8), "label_int": [1, 12]}},
])
def test_other_files_are_refused(tmp_path, content):
    savemat(tmp_path / "x.mat", content)
    with pytest.raises(ValueError, match=r"read_affnist: x\.mat"):
        affnist.read_affnist(tmp_path / "x.mat")


def test_no_file_and_no_matlab_file_are_refused(tmp_path):
    (tmp_path / "y.mat").write_bytes(b"\x80\x04nothing of MATLAB")
    with pytest.raises(ValueError, match="no MATLAB file"):
        affnist.read_affnist(tmp_path / "y.mat")
    with pytest.raises(FileNotFoundError, match="there is no"):
        affnist.read_affnist(tmp_path / "none.mat")


@pytest.mark.parametrize("options, words", [
    (dict(affine=1), "affine"), (dict(n=0), "n needs"), (dict(seed=-1), "seed"),
])
def test_wrong_options_are_refused(options, words):
    with pytest.raises((ValueError, TypeError), match=words):
        load("test", **options)


def test_wrong_poses_are_refused():
    one = np.ones(1)
    with pytest.raises(ValueError, match="1 numbers each"):
        affnist.transformed(np.ones((1, 4, 4)), rotation=[0, 1], shear=one, scale_y=one, scale_x=one)
    with pytest.raises(ValueError, match="positive"):
        affnist.transformed(np.ones((1, 4, 4)), rotation=one, shear=one, scale_y=0 * one, scale_x=one)
    with pytest.raises(ValueError, match="shape"):
        affnist.transformed(np.ones((4, 4)), rotation=one, shear=one, scale_y=one, scale_x=one)
