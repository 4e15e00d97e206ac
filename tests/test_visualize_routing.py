"""Pictures of what routing does: colours, rows, matrices and curves as given, and wrong input in a sentence."""

import numpy as np
import pytest

from zerohero import interactive, visualize

A, B = np.zeros((2, 1, 4, 4))
A[0, 0], B[0, :, 0] = 1, 1


@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_unrolled_routing_has_a_step_an_iteration_and_changes_b_only_between_them(iterations):
    said = [text.get_text() for text in visualize.unrolled_routing(iterations).axes[0].texts]
    assert sum(text.startswith("step ") for text in said) == iterations
    assert said.count("b + û · v") == iterations - 1 and said.count("b = 0") == said.count("v") == 1


def test_the_first_is_red_the_second_green_and_both_show_where_they_overlap():
    colours = visualize.overlaid(A, B)[0]
    assert colours[0, 0, 3] > 2 * colours[1, 0, 3] and colours[1, 3, 0] > 2 * colours[0, 3, 0]
    assert colours[0, 0, 0] > 0.9 and colours[1, 0, 0] > 0.8 and not colours[:, 3, 3].any()


def test_rows_keep_their_order_and_labels():
    fig = visualize.overlaps({"seen": A, "drawn": visualize.overlaid(A, B)}, [["x"], ["y"]], title="T")
    assert [ax.get_ylabel() for ax in fig.axes] == ["seen", "drawn"]
    assert [ax.get_title() for ax in fig.axes] == ["x", "y"]
    np.testing.assert_array_equal(fig.axes[0].images[0].get_array(), A[0])


def test_logit_changes_draw_every_epoch():
    lines = visualize.logit_changes([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]).axes[0].lines
    assert [line.get_ydata().tolist() for line in lines] == [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]


def test_the_r2_matrix_has_a_row_for_each_pose():
    fig = visualize.r2_matrix([[0.9, -2.0, 0.0], [0.1, 0.4, 0.0]], ["a", "b", "c"])
    assert fig.axes[0].images[0].get_array().shape == (3, 2)
    assert {text.get_text() for text in fig.axes[0].texts} >= {".90", ".00", ".40"}
    assert "for b is number 1 with 0.40" in fig.alt


def test_robustness_has_clean_accuracy_on_the_horizontal_axis():
    fig = visualize.robustness({"CNN": [([0.9, 0.99], [0.5, 0.66])] * 2, "CapsNet": [([0.8], [0.7])]})
    assert len(fig.axes[0].lines) == 3
    np.testing.assert_allclose(fig.axes[0].lines[0].get_xydata(), [[90, 50], [99, 66]])


def test_the_explorer_shows_what_it_says():
    drawn = np.random.default_rng(0).random((2, 3, 2, 4, 4))
    digits = np.arange(12).reshape(2, 3, 2) % 10
    explorer = interactive.overlap_explorer(np.ones((2, 4, 4)), drawn, digits)
    explorer.set(pair=1, draw=2)
    assert explorer.state["digits"] == digits[1, 2].tolist() and "shows 6 and 7" in explorer.text()
    red = explorer.figure().axes[2].images[0].get_array()
    np.testing.assert_allclose(red, np.moveaxis(visualize.overlaid(drawn[1:, 2, 0], 0 * drawn[1:, 2, 0])[0], 0, -1))


@pytest.mark.parametrize("call, words", [
    (lambda: visualize.overlaid(A, B[:, :2]), "one shape"), (lambda: visualize.overlaid(2 * A, B), r"in \[0, 1\]"),
    (lambda: visualize.overlaps({}), "rows needs"), (lambda: visualize.overlaps({"a": A, "b": A[[0, 0]]}), "one N"),
    (lambda: visualize.overlaps({"a": A}, [["x", "y"]]), "labels needs"),
    (lambda: visualize.logit_changes([[0.0]]), "positive"), (lambda: visualize.logit_changes([1.0]), "shape"),
    (lambda: visualize.r2_matrix([[0.1]], ["a", "b"]), "r2 needs"),
    (lambda: visualize.r2_matrix([[1.1]], ["a"]), "up to 1"),
    (lambda: visualize.robustness({}), "at least one"),
    (lambda: visualize.unrolled_routing(4), r"in \[1, 3\], but got 4"),
    (lambda: visualize.unrolled_routing(0), "iterations"),
    (lambda: visualize.robustness({"CNN": [([0.1], [0.1, 0.2])]}), "as many"),
    (lambda: interactive.overlap_explorer(A, A, [1]), "drawn needs"),
    (lambda: interactive.overlap_explorer(A, np.ones((1, 3, 2, 4, 4)), np.ones((1, 3, 2))), "integers"),
])
def test_wrong_input_is_refused_in_one_sentence(call, words):
    with pytest.raises(ValueError, match=words):
        call()
