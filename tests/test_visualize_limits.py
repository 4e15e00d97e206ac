"""The pictures of failing networks and the viewpoint explorer: what they draw, what they say, what they refuse."""

import numpy as np
import pytest

import zerohero as zh
from zerohero import interactive, limits, visualize

COUNTS = {"CNN": {"faces": (25, 25), "swapped": (24, 25)}, "CapsNet": {"faces": (50, 50), "swapped": (0, 50)}}
CURVES = {
    "degrees": {"CNN": ([0, 45, 90], [0.99, 0.6, 0.1]), "CapsNet": ([0, 45, 90], [0.98, 0.7, 0.2])},
    "size": {"CNN": ([0.5, 1], [0.3, 0.99]), "CapsNet": ([0.5, 1], [0.4, 0.98])},
}


@pytest.mark.parametrize("count, total", [(0, 25), (1, 25), (12, 25), (25, 25), (77, 100), (0, 1), (999, 1000)])
def test_a_share_interval_is_wilsons(count, total):
    from scipy.stats import binomtest

    expected = binomtest(count, total).proportion_ci(0.95, method="wilson")
    assert visualize.share_interval(count, total) == pytest.approx((expected.low, expected.high), abs=1e-7)


def test_shares_have_a_dot_for_every_count_and_rows_from_the_top_down():
    fig = visualize.shares(COUNTS, title="Called a face")
    ax = fig.axes[0]
    dots = [container.lines[0].get_xdata().tolist() for container in ax.containers]
    assert dots == [[100, 96], [100, 0]]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["faces", "swapped"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert fig.alt.endswith("CapsNet faces 100 % of 50, swapped 0 % of 50.")


def test_the_bars_of_a_share_reach_to_its_interval():
    fig = visualize.shares({"CNN": {"swapped": (24, 25)}})
    (segments,) = [c for c in fig.axes[0].containers[0].lines[2]]
    low, high = visualize.share_interval(24, 25)
    assert sorted(segments.get_segments()[0][:, 0]) == pytest.approx([100 * low, 100 * high])


def test_viewpoints_have_a_picture_for_each_change_and_a_line_for_each_model():
    fig = visualize.viewpoints(CURVES, chance=0.1)
    assert [ax.get_xlabel() for ax in fig.axes] == ["degrees", "size"]
    for ax, lines in zip(fig.axes, CURVES.values()):
        assert [line.get_ydata().tolist() for line in ax.lines[:2]] == [
            pytest.approx([100 * a for a in accuracies]) for _, accuracies in lines.values()
        ]
        assert ax.lines[2].get_ydata() == [10, 10]
        assert len({line.get_linestyle() for line in ax.lines}) == 3  # not told apart by colour alone
    assert "degrees: CNN from 99 % at 0 to 10 % at 90" in fig.alt


def test_an_attack_shows_image_change_and_sum():
    image = np.full((1, 4, 5), 0.5)
    changed = image.copy()
    changed[0, 1, 2] = 0.2
    fig = visualize.attack(image, changed, before="3", after="8")
    first, step, last = (ax.images[0].get_array() for ax in fig.axes)
    assert np.array_equal(first, image[0]) and np.array_equal(last, changed[0])
    assert step[1, 2] == pytest.approx(-0.3) and np.count_nonzero(step) == 1
    assert [ax.get_title() for ax in fig.axes] == ["3", "the change, up to 0.3", "8"]
    assert "1 of 20 pixels changed by up to 0.3" in fig.alt


def test_an_attack_that_changes_nothing_and_one_in_colour_can_be_drawn(rng):
    image = rng.random((3, 6, 6))
    assert "0 of 36 pixels" in visualize.attack(image, image).alt
    changed = image.copy()
    changed[:, 2, 2] = 0
    assert "1 of 36 pixels" in visualize.attack(image, changed).alt


def test_a_margin_map_counts_the_pixels_that_fool_and_puts_zero_in_the_middle_of_its_colours():
    fig = visualize.margin_map(np.zeros((2, 3)), {"black": [[1, 2, 3], [4, 5, 6]], "white": [[1, -2, 3], [-1, 2, 1]]})
    drawn = fig.axes[2].images[0]
    assert drawn.get_clim() == (-6, 6) and drawn.get_array()[0, 1] == -2
    assert "black: from 1 to 6, 0 of 6 pixels fool" in fig.alt and "white: from -2 to 3, 2 of 6 pixels" in fig.alt


@pytest.fixture(scope="module")
def explorer():
    test = zh.datasets.load("digits", "test", size=28)
    lenet = zh.weights.load("lenet5_digits")
    return interactive.viewpoint_explorer({"first": lenet, "second": lenet}, test.images[2], label=int(test.labels[2]))


def test_the_viewpoint_explorer_shows_the_warped_image_and_asks_the_networks(explorer):
    explorer.set(turn=-90, size=80, lean=3, right=2, down=-1)
    seen = limits.warped(explorer.image, rotation=-90, scale=0.8, shear=0.3, shift=(2, -1))
    assert np.array_equal(explorer.state["image"], seen)
    answer = str(explorer.models["first"].predict(seen))
    assert explorer.state["answers"] == {"first": answer, "second": answer}
    page = explorer.picture()
    assert np.array_equal(page.axes[0].images[0].get_array(), seen[0])
    assert explorer.text() == (
        f"turned −90°, size 80 %, lean 3, moved 2 right and −1 down: first says {answer}, second says {answer}"
    )


def test_the_curve_under_the_explorer_is_that_of_the_right_class(explorer):
    page = explorer.figure(turn=0, size=100, lean=0, right=0, down=0)
    line = page.axes[2].lines[0]
    scores = explorer.models["first"].scores(limits.warped(explorer.image, rotation=45)[None])[0]
    share = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    at_45 = line.get_ydata()[list(line.get_xdata()).index(45)]
    assert at_45 == pytest.approx(share[explorer.label], abs=1e-5)


def test_lengths_of_capsules_are_divided_by_their_sum():
    test = zh.datasets.load("digits", "test", size=28, margin=4)
    capsnet = zh.weights.load("capsnet_mnist")
    explorer = interactive.viewpoint_explorer({"CapsNet": capsnet}, test.images[0])
    lengths = capsnet.scores(test.images[:1])
    np.testing.assert_allclose(explorer._scores(test.images[:1])["CapsNet"], lengths / lengths.sum(), rtol=1e-5)


LENET = zh.models.create("lenet5")


@pytest.mark.parametrize(
    "draw",
    [
        lambda: visualize.share_interval(3, 0),
        lambda: visualize.share_interval(3, 2),
        lambda: visualize.shares({}),
        lambda: visualize.shares({"CNN": {}}),
        lambda: visualize.shares({"a": {"x": (1, 2)}, "b": {"y": (1, 2)}}),
        lambda: visualize.viewpoints({}),
        lambda: visualize.viewpoints({"degrees": {}}),
        lambda: visualize.viewpoints({"degrees": {"CNN": ([0, 1], [1])}}),
        lambda: visualize.attack(np.zeros((2, 2)), np.zeros((2, 3))),
        lambda: visualize.attack(np.zeros((2, 2, 2)), np.zeros((2, 2, 2))),
        lambda: visualize.margin_map(np.zeros((2, 2)), {}),
        lambda: visualize.margin_map(np.zeros((2, 2)), {"white": np.zeros((3, 3))}),
        lambda: interactive.viewpoint_explorer({}, np.zeros((28, 28))),
        lambda: interactive.viewpoint_explorer(LENET, np.zeros((28, 28))),
        lambda: interactive.viewpoint_explorer({"a": LENET}, np.zeros((2, 28, 28))),
        lambda: interactive.viewpoint_explorer({"a": LENET}, np.zeros((28, 28)), class_names="abc"),
        lambda: interactive.viewpoint_explorer(
            {"a": LENET, "b": zh.models.create("lenet5", num_classes=3)}, np.zeros((28, 28))
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(draw):
    with pytest.raises(ValueError, match="need"):
        draw()
