"""Data sets in memory: the Dataset class, embedded sets, poses of glyphs. Files are tested in test_dataset_files.py."""

import dataclasses
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zerohero import datasets
from zerohero.datasets import Dataset, glyph
from zerohero.datasets.digits import fixed_rows
from zerohero.datasets.glyphs import FONTS, covered, outline

real_data = pytest.mark.skipif(not os.environ.get("ZEROHERO_DATA"),
                               reason="needs the real data sets: set ZEROHERO_DATA to their folder")


def toy(n=12, classes=3):
    """Images whose every pixel is the row number over n, so that a mix-up of rows shows."""
    rows = np.arange(n)
    images = np.broadcast_to((rows / n).astype(np.float32)[:, None, None, None], (n, 2, 3, 4)).copy()
    return Dataset(images, rows % classes, tuple("abc"[:classes]), "toy", "train", {"row": rows})


# ---- names -----------------------------------------------------------------------------------------------------


def test_importing_datasets_imports_no_heavy_package():
    heavy = "{'sklearn', 'skimage', 'matplotlib', 'pooch', 'requests', 'tqdm', 'torch', 'numba'}"
    code = f"import sys, zerohero.datasets; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("call", "sentence"), [
    (lambda: datasets.load("mnits"), "no data set 'mnits'; there are affnist, cifar10, digits, faces"),
    (lambda: datasets.available("mnits"), "available: there is no data set 'mnits'"),
    (lambda: datasets.load("digits", "validation"), "'digits' has no split 'validation'; it has train, test, all"),
    (lambda: datasets.load("glyphs", "all"), "'glyphs' has no split 'all'; it has train, test"),
    (lambda: datasets.load("digits", size=0), "size needs to be at least 1, but got 0"),
    (lambda: datasets.load("digits", margin=2), "takes margin only with size"),
    (lambda: datasets.load("digits", size=8, margin=4), "margin 4 on both sides leaves no pixel of size 8"),
    (lambda: datasets.photo("eagle"), "no photograph 'eagle'; there are astronaut"),
    (lambda: glyph("AB"), "character needs a string of one character, but got 'AB'"),
    (lambda: glyph("漢"), "DejaVu Sans has no outline for the character '漢'"),
    (lambda: glyph(" "), "DejaVu Sans has no outline for the character ' '"),
    (lambda: glyph("A", font="Arial"), "no font 'Arial'; there are DejaVu Sans, "),
    (lambda: glyph("A", shift=2), r"shift needs two numbers, \(right, down\), but got 2"),
    (lambda: glyph("A", thickness=5), r"thickness needs to lie in \[0.5, 2\], but got 5"),
    (lambda: glyph("A", scale=0), "scale needs to lie in"),
    (lambda: glyph("A", rotation=float("nan")), "rotation needs to lie in"),
    (lambda: datasets.load("glyphs", characters="AAB"), "characters needs a string of different characters"),
    (lambda: datasets.load("glyphs", characters=""), "characters needs a string of different characters"),
    (lambda: datasets.load("glyphs", rotation=(20, -20)), r"rotation needs a number or \(low, high\)"),
    (lambda: datasets.load("glyphs", n=0), "n needs to be at least 1, but got 0"),
    (lambda: datasets.load("glyphs", fonts=[]), "fonts needs a font's name or several, but got"),
    (lambda: datasets.load("glyphs", seed=-1), "seed needs to be at least 0, but got -1"),
])
def test_wrong_values_get_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_an_unknown_option_is_named_with_those_there_are():
    with pytest.raises(TypeError, match="'digits' has no option 'rotation'; it has margin"):
        datasets.load("digits", rotation=20)
    with pytest.raises(TypeError, match="'mnist' has no option 'name_'; it has partial"):
        datasets.load("mnist", name_="x")


def test_embedded_sets_are_available():
    assert all(datasets.available(name, "test") for name in ("digits", "faces", "glyphs"))


def test_a_missing_package_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not datasets.available("digits")
    with pytest.raises(ImportError, match=r"'digits' comes with scikit-learn, which is not installed: pip install"):
        datasets.load("digits")


# ---- Dataset ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [
    slice(2, 9, 3), np.arange(12) % 2 == 0, np.array([5, 1, 5, -1]), [3, 4], [True] * 6 + [False] * 6, [],
    np.array([1], np.uint8),
])
def test_selecting_takes_the_same_rows_of_everything(index):
    data = toy()
    part = data[index]
    rows = np.arange(12)[np.array(index, dtype=int) if isinstance(index, list) and not index else index]
    assert isinstance(part, Dataset)
    np.testing.assert_array_equal(part.images, data.images[rows])
    np.testing.assert_array_equal(part.labels, data.labels[rows])
    np.testing.assert_array_equal(part.extra["row"], rows)
    assert (part.name, part.split_name, part.class_names) == ("toy", "train", ("a", "b", "c"))


def test_an_integer_gives_an_image_and_its_label():
    image, label = toy()[4]
    assert image.shape == (2, 3, 4) and image[0, 0, 0] == np.float32(4 / 12) and label == 1 and type(label) is int
    assert [label for _, label in toy()] == toy().labels.tolist()


@pytest.mark.parametrize(("index", "error", "sentence"), [
    (12, IndexError, "index 12 is out of range for 12 images"),
    ([0, 12], IndexError, "indices 0 to 12 are out of range for 12 images"),
    ([-13], IndexError, "indices -13 to -13 are out of range"),
    (np.ones(11, bool), ValueError, r"a mask needs shape \(12,\), but got \(11,\)"),
    ([0.5], TypeError, "1-D array of integers, but got float64"),
    (np.zeros((2, 2), int), TypeError, r"but got int64 of shape \(2, 2\)"),
    (True, TypeError, "an index needs to be an integer"),
    (None, TypeError, "an index needs to be an integer"),
    ("a", TypeError, "an index needs to be an integer"),
    ((0, 1, 2), None, ""),
])
def test_a_wrong_index_gets_one_sentence(index, error, sentence):
    if error is None:
        assert len(toy()[index]) == 3
    else:
        with pytest.raises(error, match=sentence):
            toy()[index]


@pytest.mark.parametrize(("change", "error", "sentence"), [
    ({"images": np.zeros((12, 2, 3, 4))}, TypeError, "images needs float32, but got float64"),
    ({"images": np.zeros((12, 3, 4), np.float32)}, ValueError, r"images needs shape \(N, C, H, W\)"),
    ({"labels": np.zeros(12, np.uint8)}, TypeError, "labels needs int64, but got uint8"),
    ({"labels": np.zeros(11, np.int64)}, ValueError, r"labels needs shape \(12,\), one for each image"),
    ({"labels": np.full(12, 3)}, ValueError, "labels needs values from 0 to 2, but got 3 to 3"),
    ({"extra": {"row": np.arange(5)}}, ValueError, r"extra\['row'\] needs 12 rows, one for each image, but got 5"),
])
def test_what_does_not_fit_together_is_refused(change, error, sentence):
    with pytest.raises(error, match=sentence):
        dataclasses.replace(toy(), **change)


def test_a_dataset_cannot_be_reassigned():
    with pytest.raises(dataclasses.FrozenInstanceError):
        toy().name = "other"


def test_repr_counts_the_classes_and_ends_in_the_note():
    text = repr(dataclasses.replace(toy(), note="a part"))
    assert text == "Dataset('toy', 'train': 12 images of 2×3×4, 3 classes: a 4, b 4, c 4; a part)"


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.floats(0.05, 0.95), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_a_stratified_split_is_disjoint_complete_and_even(counts, fraction, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    n = len(labels)
    data = Dataset(np.zeros((n, 1, 1, 1), np.float32), labels, tuple(map(str, counts)), "toy", "all",
                   {"row": np.arange(n)})
    if not 0 < round(fraction * n) < n:
        with pytest.raises(ValueError, match="leaves a part empty"):
            data.split(fraction, seed)
        return
    first, second = data.split(fraction, seed)
    assert sorted([*first.extra["row"], *second.extra["row"]]) == list(range(n))
    assert len(first) == round(fraction * n)
    share = np.bincount(first.labels, minlength=len(counts))
    assert np.all(np.abs(share - fraction * np.array(counts)) < 1)


def test_a_split_keeps_the_order_and_follows_the_seed():
    data = toy(300)
    first, second = data.split(0.8, 3)
    assert np.all(np.diff(first.extra["row"]) > 0) and np.all(np.diff(second.extra["row"]) > 0)
    np.testing.assert_array_equal(first.extra["row"], data.split(0.8, 3)[0].extra["row"])
    assert np.any(first.extra["row"] != data.split(0.8, 4)[0].extra["row"])


def test_an_unstratified_split_lets_the_shares_vary():
    shares = {tuple(np.bincount(toy(300).split(0.5, seed, stratified=False)[0].labels)) for seed in range(5)}
    assert len(shares) > 1
    assert {tuple(np.bincount(toy(300).split(0.5, seed)[0].labels)) for seed in range(5)} == {(50, 50, 50)}


@pytest.mark.parametrize("fraction", [-0.1, 1.5, 0.0, 1.0, 0.01, float("nan")])
def test_a_split_into_nothing_is_refused(fraction):
    with pytest.raises(ValueError, match=r"Dataset.split: fraction"):
        toy().split(fraction)


def test_per_class_takes_that_many_of_each():
    data = toy(60)
    part = data.per_class(7, seed=2)
    np.testing.assert_array_equal(np.bincount(part.labels), [7, 7, 7])
    assert len(set(part.extra["row"])) == 21
    np.testing.assert_array_equal(part.labels, part.extra["row"] % 3)
    assert np.any(part.extra["row"] != data.per_class(7, seed=3).extra["row"])
    with pytest.raises(ValueError, match="n is 21, but class 'a' has 20 images"):
        data.per_class(21)


@pytest.mark.parametrize(("old", "new"), [((8, 8), 28), ((28, 28), 32), ((28, 28), 14), ((25, 17), 9), ((5, 5), 5)])
def test_resizing_is_bilinear_and_averages_when_it_shrinks(old, new):
    torch = pytest.importorskip("torch")
    images = np.random.default_rng(0).random((3, 2, *old), dtype=np.float32)
    data = Dataset(images, np.zeros(3, np.int64), ("a",), "toy", "train").resized(new)
    expected = torch.nn.functional.interpolate(torch.from_numpy(images), size=(new, new), mode="bilinear",
                                               antialias=True).numpy()
    np.testing.assert_allclose(data.images, expected, atol=2e-6)
    assert data.images.dtype == np.float32


def test_resizing_keeps_white_at_one_and_margins_at_zero():
    white = Dataset(np.ones((1, 1, 8, 8), np.float32), np.zeros(1, np.int64), ("a",), "toy", "train")
    image = white.resized(28, margin=4).images[0, 0]
    np.testing.assert_allclose(image[4:-4, 4:-4], 1, atol=1e-6)
    assert image.max() <= 1 and image.sum() == pytest.approx(400, rel=1e-6) and image.shape == (28, 28)


# ---- digits, faces, photographs ----------------------------------------------------------------------------------


def test_digits_are_the_scans_of_scikit_learn_over_sixteen():
    sklearn_digits = pytest.importorskip("sklearn.datasets").load_digits()
    data = datasets.load("digits", "all")
    np.testing.assert_array_equal(data.images[:, 0] * 16, sklearn_digits.images)
    np.testing.assert_array_equal(data.labels, sklearn_digits.target)
    assert data.images.shape == (1797, 1, 8, 8) and data.class_names == tuple("0123456789")


def test_the_split_of_digits_is_stratified_disjoint_and_complete():
    everything, train, test = (datasets.load("digits", split) for split in ("all", "train", "test"))
    rows = fixed_rows(everything.labels, "train"), fixed_rows(everything.labels, "test")
    assert sorted(np.concatenate(rows)) == list(range(1797)) and (len(train), len(test)) == (1348, 449)
    np.testing.assert_array_equal(train.images, everything.images[rows[0]])
    np.testing.assert_array_equal(test.images, everything.images[rows[1]])
    share = np.bincount(train.labels) / np.bincount(everything.labels)
    assert np.all(np.abs(share - 0.75) < 1 / 170)


def test_the_split_of_digits_is_the_same_for_everybody():
    rows = fixed_rows(datasets.load("digits", "all").labels, "test")
    assert rows[:5].tolist() == [21, 24, 28, 34, 35]
    assert hashlib.sha256(rows.astype("<i4").tobytes()).hexdigest()[:16] == "7fad5d4b69d3b6d0"


def test_faces_are_a_hundred_faces_and_a_hundred_others():
    data = datasets.load("faces", "all")
    assert data.images.shape == (200, 1, 25, 25) and data.class_names == ("other", "face")
    np.testing.assert_array_equal(data.labels, [1] * 100 + [0] * 100)
    assert 0 <= data.images.min() < data.images.max() <= 1
    assert [np.bincount(datasets.load("faces", split).labels).tolist() for split in ("train", "test")] == [
        [75, 75], [25, 25]]
    # Faces look like their mean; other things don't.
    alike = [np.mean([np.corrcoef(image.ravel(), images.mean(axis=0).ravel())[0, 1] for image in images])
             for images in (data.images[data.labels == label] for label in (0, 1))]
    assert alike[1] > 0.5 > alike[0]


@pytest.mark.parametrize("name", datasets.photo_names())
def test_photographs_come_without_a_download(name, monkeypatch):
    pytest.importorskip("skimage")
    monkeypatch.setattr("socket.socket.connect", lambda *address: pytest.fail("a photograph was to be downloaded"))
    image = datasets.photo(name)
    assert image.dtype == np.float32 and image.ndim == 3 and image.shape[0] in (1, 3)
    assert 0 <= image.min() < 0.6 < image.max() <= 1


def test_a_photograph_has_red_first():
    # The astronaut wears orange: red, then green, then blue.
    red, green, blue = datasets.photo("astronaut")[:, 480, 128]
    assert red > green > blue


# ---- glyphs ------------------------------------------------------------------------------------------------------


def moments(image):
    """Ink, centre of mass (right, down), and second moments about it, of pixels as unit squares."""
    image = image.astype(np.float64)
    down, right = np.mgrid[: image.shape[0], : image.shape[1]]
    ink = image.sum()
    centre = np.array([(image * right).sum(), (image * down).sum()]) / ink
    offsets = np.stack([right - centre[0], down - centre[1]])
    return ink, centre, np.einsum("hw,ahw,bhw->ab", image, offsets, offsets) / ink


def test_coverage_is_the_exact_area_of_each_pixel():
    # A rectangle from (0.5, 0.25) to (2, 1.5): its area in each pixel is width × height there.
    rectangle = np.array([[0.5, 0.25], [0.5, 1.5], [2, 1.5], [2, 0.25]])
    np.testing.assert_allclose(covered([rectangle], 3), np.outer([0.75, 0.5, 0], [0.5, 1, 0]), atol=1e-12)
    # A triangle over half of a 2×2 square, and the same with a hole.
    triangle = np.array([[0.0, 0], [0, 2], [2, 2]])
    np.testing.assert_allclose(covered([triangle], 2), [[0.5, 0], [1, 0.5]], atol=1e-12)
    hole = np.array([[0, 1], [1, 1], [1, 2.0], [0, 2]])
    np.testing.assert_allclose(covered([triangle, hole], 2), [[0.5, 0], [0, 0.5]], atol=1e-12)


def test_coverage_outside_the_image_is_cut_off():
    square = np.array([[-5.0, -5], [-5, 1], [1.5, 1], [1.5, -5]])
    np.testing.assert_allclose(covered([square], 3), [[1, 0.5, 0], [0, 0, 0], [0, 0, 0]], atol=1e-12)
    assert not covered([square + 20], 3).any() and not covered([square - 20], 3).any()


@pytest.mark.parametrize("character", "048AB@g%")
def test_a_glyph_equals_the_count_of_points_inside_matplotlibs_path(character):
    from matplotlib.path import Path as Outline

    # One closed path of all contours; a point is inside if an odd number of contours holds it.
    size, fine = 28, 12
    shape = outline(character, "DejaVu Sans")
    image = glyph(character, size=size, rotation=25, shear=0.2, scale=0.9, shift=(1.3, -0.7))
    turn = np.radians(25)
    pose = 0.9 * 20 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ [[1, 0.2], [0, 1]]
    grid = (np.arange(size * fine) + 0.5) / fine
    right, down = np.meshgrid(grid, grid)
    # The pose undone, about the centre of mass as another program finds it: by averaging points inside.
    lattice = np.stack(np.meshgrid(np.linspace(-0.5, 1.5, 801), np.linspace(-0.5, 1.5, 801)), axis=-1).reshape(-1, 2)
    inside = lambda points: np.sum([Outline(polygon).contains_points(points) for polygon in shape], axis=0) % 2 == 1
    centre = lattice[inside(lattice)].mean(axis=0)
    offsets = np.stack([right - 14 - 1.3, -(down - 14 + 0.7)], axis=-1).reshape(-1, 2)
    counted = inside(offsets @ np.linalg.inv(pose).T + centre).reshape(size, fine, size, fine).mean(axis=(1, 3))
    np.testing.assert_allclose(image, counted, atol=0.09)
    assert np.abs(image - counted).mean() < 0.006


@given(st.sampled_from("0123456789AgQ"), st.sampled_from(sorted(FONTS)), st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
       st.floats(-180, 180), st.floats(0.4, 0.6), st.floats(-0.3, 0.3), st.floats(0.8, 1.3))
@settings(max_examples=80, deadline=None)
def test_the_centre_of_mass_lies_where_shift_puts_it(character, font, shift, rotation, scale, shear, thickness):
    # Strokes thinner than a pixel have their mass at the pixel's centre, wherever in it they run: hence the size.
    image = glyph(character, size=84, shift=shift, rotation=rotation, scale=scale, shear=shear, thickness=thickness,
                  font=font)
    assert not image[[0, -1]].any() and not image[:, [0, -1]].any()          # nothing was cut off
    np.testing.assert_allclose(moments(image)[1], 41.5 + np.array(shift), atol=0.1)


def test_the_centre_of_mass_of_the_set_lies_within_a_tenth_of_a_pixel():
    data = datasets.load("glyphs", n=500, scale=(0.7, 0.85))
    assert not data.images[:, :, [0, -1]].any() and not data.images[:, :, :, [0, -1]].any()      # nothing was cut off
    centres = np.array([moments(image[0])[1] for image in data.images])
    commanded = 13.5 + np.stack([data.extra["shift_x"], data.extra["shift_y"]], axis=1)
    assert np.abs(centres - commanded).max() < 0.1 and np.abs(centres - commanded).mean() < 0.02


def test_shift_is_right_and_down():
    still, moved = glyph("4"), glyph("4", shift=(3, -2))
    np.testing.assert_allclose(moved[:-2, 3:], still[2:, :-3], atol=1e-6)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_rotation_is_counter_clockwise_as_seen(turns):
    # rot90 turns an array counter-clockwise as it is displayed.
    np.testing.assert_allclose(glyph("4", rotation=90 * turns), np.rot90(glyph("4"), turns), atol=1e-6)


def test_twenty_degrees_turn_the_top_to_the_left():
    still, turned = glyph("1", size=56), glyph("1", size=56, rotation=20)
    columns = np.arange(56)
    top = lambda image: (image[:20] * columns).sum() / image[:20].sum()
    assert top(turned) < top(still) - 3


def test_positive_shear_leans_the_top_to_the_right():
    still, leaning = glyph("I", size=56), glyph("I", size=56, shear=0.3)
    rows = [int(np.flatnonzero(still.any(axis=1))[i]) for i in (2, -3)]
    columns = [leaning[row] @ np.arange(56) / leaning[row].sum() for row in rows]
    assert columns[0] - columns[1] == pytest.approx(0.3 * (rows[1] - rows[0]), abs=0.1)


@given(st.sampled_from("2457AR"), st.floats(-180, 180), st.floats(0.3, 0.75), st.floats(-0.4, 0.4))
@settings(max_examples=60, deadline=None)
def test_the_second_moments_follow_the_pose(character, rotation, scale, shear):
    # For a map A of the plane, ink grows by det A and the matrix of second moments M becomes A M Aᵀ.
    ink, _, still = moments(glyph(character, size=160))
    image = glyph(character, size=160, rotation=rotation, scale=scale, shear=shear)
    assert not image[[0, -1]].any() and not image[:, [0, -1]].any()          # nothing was cut off
    posed_ink, _, posed = moments(image)
    turn = np.radians(rotation)
    up = np.diag([1, -1])                                # from (right, up) to (right, down)
    pose = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ [[1, shear], [0, 1]]
    pose = up @ pose @ up
    assert posed_ink == pytest.approx(scale**2 * ink, rel=1e-4)
    # A pixel spreads what lies in it over a unit square: 1/12 of variance along each axis.
    expected = pose @ (still - np.eye(2) / 12) @ pose.T + np.eye(2) / 12
    np.testing.assert_allclose(posed, expected, atol=0.01 * np.trace(expected) + 0.02)


@pytest.mark.parametrize("font", FONTS)
def test_scale_one_fits_the_box_of_mnist(font):
    for character in "0Wg-":
        image = glyph(character, size=280, font=font)
        rows, columns = (np.ptp(np.flatnonzero(image.any(axis=axis))) + 1 for axis in (1, 0))
        assert 200 <= max(rows, columns) <= 202


@pytest.mark.parametrize("thickness", [0.5, 0.8, 1.3, 2.0])
def test_thickness_widens_a_stroke_by_that_factor(thickness):
    # "I" and "-" of this font are one bar each. Their width counts; the other direction grows by the same margin.
    for character, axis in (("I", 1), ("-", 0)):
        plain, thick = (glyph(character, size=140, scale=0.6, thickness=value).sum(axis=axis).max()
                        for value in (1, thickness))
        # The width is estimated as 2 × area / perimeter, which a bar's two ends make a little too small.
        assert 0.75 < (thick / plain - 1) / (thickness - 1) <= 1.001


def test_fonts_are_files_of_matplotlib():
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    assert all((folder / f"{file}.ttf").is_file() for file in FONTS.values())


def test_glyphs_hold_the_poses_under_which_they_were_drawn():
    data = datasets.load("glyphs", n=60, characters="AB7", size=32, seed=5, fonts=("DejaVu Sans", "DejaVu Serif"))
    for (image, label), row in zip(data, range(len(data))):
        pose = {key: values[row] for key, values in data.extra.items()}
        shift = (pose.pop("shift_x"), pose.pop("shift_y"))
        np.testing.assert_array_equal(image[0], glyph("AB7"[label], size=32, shift=shift, **pose))
    assert data.images.shape == (60, 1, 32, 32) and set(data.extra["font"]) == {"DejaVu Sans", "DejaVu Serif"}


def test_poses_fill_their_ranges_and_a_number_fixes_one():
    data = datasets.load("glyphs", n=300, size=8, rotation=(-45, 45), scale=0.5, shift_x=(0, 1), shift_y=(-1, 0))
    turned = data.extra["rotation"]
    assert -45 <= turned.min() < -43 and 43 < turned.max() <= 45 and abs(turned.mean()) < 6
    assert np.all(data.extra["scale"] == 0.5)
    assert data.extra["shift_x"].min() >= 0 >= data.extra["shift_y"].max()
    assert abs(np.corrcoef(data.extra["shift_x"], data.extra["shift_y"])[0, 1]) < 0.2


def test_glyphs_have_as_many_of_each_character_as_can_be():
    counts = np.bincount(datasets.load("glyphs", n=35, size=8).labels)
    assert sorted(counts) == [3] * 5 + [4] * 5


def test_the_same_seed_draws_the_same_bits():
    first, again = (datasets.load("glyphs", n=30, seed=3) for _ in range(2))
    assert first.images.tobytes() == again.images.tobytes()
    assert all(np.array_equal(first.extra[key], again.extra[key]) for key in first.extra)
    for other in (datasets.load("glyphs", n=30, seed=4), datasets.load("glyphs", "test", n=30, seed=3)):
        assert not np.array_equal(first.extra["rotation"], other.extra["rotation"])


# ---- the real sets, where they are ---------------------------------------------------------------------------------


@pytest.mark.data
@real_data
def test_mnist_is_mnist():
    train, test = datasets.load("mnist", download=False), datasets.load("mnist", "test", download=False)
    assert train.images.shape == (60000, 1, 28, 28) and test.images.shape == (10000, 1, 28, 28)
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9] and test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    # The mean and standard deviation that everybody normalises with.
    assert train.images.mean(dtype=np.float64) == pytest.approx(0.1307, abs=5e-5)
    assert train.images.std(dtype=np.float64) == pytest.approx(0.3081, abs=5e-5)
    assert (train.images.max(), train.note) == (1, "")


@pytest.mark.data
@real_data
def test_what_there_is_of_fashion_mnist_says_what_it_is():
    data = datasets.load("fashion_mnist", download=False)
    if data.note:
        assert len(data) == 11659 and data.extra["exact"].sum() == 2000 and data.extra["exact"][:2000].all()
        assert "11,659 of the 60,000 training images: 2,000 exact" in repr(data)
    assert data.labels[:5].tolist() == [9, 0, 0, 3, 0] and data.class_names[9] == "ankle boot"
    assert len(np.unique(data.images.reshape(len(data), -1), axis=0)) == len(data)


@pytest.mark.data
@real_data
def test_what_there_is_of_cifar10_says_what_it_is():
    test = datasets.load("cifar10", "test", download=False)
    assert len(test) == 10000 or "1,000 of the 10,000 images: test_batch_first1000" in repr(test)
    assert test.images.shape[1:] == (3, 32, 32)
    assert [test.class_names[label] for label in test.labels[:4]] == ["cat", "ship", "ship", "airplane"]
    # Skies: the upper rows of the airplanes are bluer than red, if channels and rows are where they belong.
    sky = test.images[test.labels == 0][:, :, :8].mean(axis=(0, 2, 3))
    assert sky[2] > sky[0]
