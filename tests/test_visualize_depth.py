"""The pictures of deep networks and the depth explorer: what they draw, what they say, what they refuse."""

import numpy as np
import pytest

from zerohero import interactive, visualize

NORMS = {
    "plain": [[10.0 ** (b - d) for b in range(d)] for d in range(1, 7)],  # a tenth a block, backwards
    "residual": [[2.0] * d for d in range(1, 7)],
}


def test_the_left_picture_has_the_blocks_of_one_depth_and_the_right_one_the_first_block_of_all():
    left, right = visualize.gradient_depth(NORMS, 4).axes
    assert [line.get_ydata().tolist() for line in left.lines] == [NORMS["plain"][3], NORMS["residual"][3]]
    assert right.lines[0].get_ydata() == pytest.approx([10.0**-d for d in range(1, 7)])
    assert left.get_yscale() == right.get_yscale() == "log"


def test_the_scale_does_not_jump_when_the_depth_changes():
    limits = {visualize.gradient_depth(NORMS, depth).axes[0].get_ylim() for depth in range(1, 7)}
    assert len(limits) == 1
    low, high = limits.pop()
    assert low < 1e-6 and high > 2


def test_paths_have_a_box_for_every_text_and_an_arrow_into_the_next():
    fig = visualize.paths("x", [["a", "b"], ["c"], []], "add")
    ax = fig.axes[0]
    words = [text for text in ax.texts if text.get_text()]
    assert [text.get_text() for text in words] == ["x", "add", "a", "b", "c"]
    heads = [text for text in ax.texts if getattr(text, "arrow_patch", None) is not None]
    assert len(heads) == 3 + 2 + 3  # x→a→b→add, x→c→add, and a shortcut with two corners
    assert fig.alt == "Paths from x: a → b; c; a shortcut. They meet in: add."


def test_connectivity_counts_its_connections():
    fig = visualize.connectivity({"plain": np.eye(5), "dense": np.tri(5)})
    assert [ax.get_title() for ax in fig.axes] == ["plain: 5 connections", "dense: 15 connections"]
    assert np.array_equal(fig.axes[1].images[0].get_array(), np.tri(5) != 0)
    assert [label.get_text() for label in fig.axes[0].get_xticklabels()] == ["input", "1", "2", "3", "4"]


def test_evolution_has_a_column_for_every_quantity_and_a_bar_for_every_network():
    rows = {"A": {"layers": 8, "error": 18.2}, "B": {"layers": 16, "error": 9.3}}
    fig = visualize.evolution(rows)
    assert [ax.get_title() for ax in fig.axes] == ["layers", "error"]
    assert [[bar.get_width() for bar in ax.patches] for ax in fig.axes] == [[8, 16], [18.2, 9.3]]


def test_size_and_error_puts_every_network_where_it_belongs():
    fig = visualize.size_and_error({"R": {"34": (21.8, 26.73), "152": (60.2, 22.16)}, "D": {"121": (8, 25.02)}})
    ax = fig.axes[0]
    assert ax.lines[0].get_xydata().tolist() == [[21.8, 26.73], [60.2, 22.16]]
    assert [text.get_text() for text in ax.texts] == ["34", "152", "121"]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: visualize.paths("x", [], "add"),
        lambda: visualize.connectivity({}),
        lambda: visualize.connectivity({"plain": [1, 0]}),
        lambda: visualize.evolution({}),
        lambda: visualize.evolution({"A": {"layers": 8}, "B": {"error": 9}}),
        lambda: visualize.size_and_error({"A": {}}),
        lambda: visualize.gradient_depth({}),
        lambda: visualize.gradient_depth({"plain": [[1.0], [1.0]]}),
        lambda: visualize.gradient_depth({"plain": [[1.0], [1.0, 2.0]], "residual": [[1.0]]}),
        lambda: visualize.gradient_depth({"plain": [[0.0]]}),
        lambda: visualize.gradient_depth({"plain": [[float("nan")]]}),
        lambda: visualize.gradient_depth(NORMS, 7),
        lambda: interactive.depth_explorer({}),
        lambda: interactive.depth_explorer({"a": NORMS, "b": {"plain": [[1.0]]}}),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(draw):
    with pytest.raises(ValueError, match="need"):
        draw()


def test_the_depth_explorer_shows_the_kind_and_depth_that_are_set():
    explorer = interactive.depth_explorer({"sigmoid": NORMS, "ReLU": {"plain": NORMS["residual"]}})
    explorer.set(blocks=3)
    assert explorer.state == {"blocks": 3, "kind": 0, "first": {"plain": pytest.approx(1e-3), "residual": 2.0}}
    assert explorer.text() == "sigmoid; 3 blocks: norm in the first block plain 0.001, residual 2"
    explorer.set(kind=1, blocks=6)
    assert explorer.state["first"] == {"plain": 2.0}
    assert explorer.picture().get_suptitle() == "ReLU"
    assert explorer.figure(kind=0).get_suptitle() == "sigmoid" and explorer.values["kind"] == 1
    with pytest.raises(ValueError, match="blocks"):
        explorer.set(blocks=7)
