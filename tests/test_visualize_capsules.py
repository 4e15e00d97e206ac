"""The pictures of capsules: what is drawn is what routing, squash and decoder say; not what all pictures share."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import zerohero as zh
from zerohero import visualize
from zerohero.visualize import capsules
from zerohero.visualize.capsules import FacePage, VotePlanes, pose_votes, vote_spread

VOTES = np.random.default_rng(10).standard_normal((2, 6, 2, 2))  # (N, I, J, Q)


def turned(x, y, degrees):
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), -np.sin(angle), x], [np.sin(angle), np.cos(angle), y], [0, 0, 1]])


PARTS = {"left eye": turned(-0.5, 0.4, 0), "nose": turned(0, 0.1, 10), "mouth": turned(0.1, -0.7, 90)}


class Dial:
    """A model whose picture of a capsule is its numbers, one pixel each, and the label in the corner."""

    def __init__(self, channels=1):
        self.channels = channels

    def reconstruct(self, v, labels):
        assert v.dtype == np.float32
        drawn = np.zeros((len(v), self.channels, 3, 5), np.float32)
        drawn[:, -1, 0, : v.shape[2]] = v[np.arange(len(v)), labels]
        drawn[:, :, 2, 4] = labels[:, None]
        return drawn


# ---- votes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("example", [0, 1])
@pytest.mark.parametrize("iteration", [0, 1, 2])
def test_lines_labels_and_arrows_show_the_couplings_and_outputs_of_that_iteration(example, iteration):
    trace = zh.routing_trace(VOTES)
    fig = visualize.vote_planes(VOTES, trace, iteration=iteration, example=example)
    for j, ax in enumerate(fig.axes):
        c = trace.couplings[iteration, example, :, j]
        labels = [text.get_text() for text in ax.texts]
        assert labels == [f"{i + 1}: {value:.2f}" for i, value in enumerate(c)]
        from_zero = [line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_solid_capstyle() == "round"]
        ends = np.array([[line.get_xdata()[1], line.get_ydata()[1]] for line in from_zero])
        assert np.array_equal(ends, VOTES[example, :, j])
        widths = np.array([line.get_linewidth() for line in from_zero])
        assert np.allclose(widths, 0.4 + 5 * c)
        (arrow,) = [patch for patch in ax.patches if hasattr(patch, "set_positions")]
        assert np.allclose(arrow._posA_posB, [(0, 0), trace.v[iteration, example, j]])
        assert f"{np.linalg.norm(trace.v[iteration, example, j]):.2f}" in ax.get_title()


def test_the_words_name_every_coupling_and_length():
    planes = VotePlanes(VOTES, None, example=0, parents=["house", "boat"], title=None)
    planes.move(0)
    assert planes.text().startswith("iteration 1 of 3: to house: c = 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, ‖v‖ = ")
    assert "to boat" in planes.text() and planes.text() in planes.fig.alt


def test_all_planes_have_one_scale_and_hold_every_vote():
    axes = visualize.vote_planes(VOTES * [[1.0], [3.0]]).axes
    assert axes[0].get_xlim() == axes[1].get_xlim() == axes[1].get_ylim()
    assert axes[0].get_xlim()[1] > np.linalg.norm(3 * VOTES[0, :, 1], axis=-1).max()


def test_a_trace_of_other_votes_is_refused():
    with pytest.raises(ValueError, match="trace is of other votes"):
        visualize.vote_planes(VOTES[:, :4], zh.routing_trace(VOTES))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: visualize.vote_planes(np.zeros((6, 2, 3))), r"needs \(I, J, 2\)"),
        (lambda: visualize.vote_planes(np.zeros((13, 2, 2))), "at most 12"),
        (lambda: visualize.vote_planes(np.zeros((9, 3, 2))), "8 for 3"),
        (lambda: visualize.vote_planes(VOTES, iteration=3), r"iteration needs to lie in \[0, 2\]"),
        (lambda: visualize.vote_planes(VOTES, example=2), r"example needs to lie in \[0, 1\]"),
        (lambda: visualize.vote_planes(VOTES, parents=["A"]), "one name for each of 2"),
        (lambda: visualize.coupling_maps(np.zeros((7, 2, 2))), "at most 6"),
        (lambda: visualize.squash_curve({"norm": lambda s: s[:, 0]}), "needs to return shape"),
        (lambda: visualize.reconstructions(np.zeros((2, 4, 4)), np.zeros((3, 4, 4))), "need one shape"),
        (lambda: visualize.reconstructions(np.zeros((2, 4, 4)), np.zeros((2, 4, 4)), "a"), "one for each of 2"),
        (lambda: visualize.perturbations(Dial(), np.zeros((2, 4, 3)), 0), "of one image"),
        (lambda: visualize.perturbations(Dial(), np.zeros((4, 3)), 4), "label is 4"),
        (lambda: visualize.perturbation_grid(np.zeros((3, 4, 5, 5))), r"values \(S,\)"),
        (lambda: visualize.face_votes({"nose": np.eye(3)}, PARTS), "needs the parts"),
        (lambda: visualize.face_votes({"nose": np.eye(2)}, {"nose": np.eye(3)}), r"shape \(3, 3\)"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(wrong, said):
    with pytest.raises(ValueError, match=said):
        wrong()


@given(st.lists(st.floats(-np.pi, np.pi), min_size=1, max_size=12))
def test_labels_on_the_ring_keep_their_gap(angles):
    gap = min(0.36, 6 / len(angles))
    apart = np.sort(capsules._apart(np.array(angles), gap))
    around = np.append(apart, apart[0] + 2 * np.pi) if len(apart) > 1 else np.array([0, 2 * np.pi])
    assert np.diff(around).min() > 0.8 * gap


def test_the_heat_maps_are_the_couplings():
    trace = zh.routing_trace(VOTES, iterations=4)
    fig = visualize.coupling_maps(trace, example=1)
    drawn = [np.asarray(ax.images[0].get_array()) for ax in fig.axes if ax.images]
    assert np.array_equal(drawn, trace.couplings[:, 1])
    assert [text.get_text() for text in fig.axes[3].texts] == [f"{c:.2f}" for c in trace.couplings[3, 1].ravel()]


def test_large_heat_maps_carry_no_numbers():
    fig = visualize.coupling_maps(np.full((2, 1152, 10), 0.1))
    assert not any(ax.texts for ax in fig.axes) and "1152 input capsules" in fig.alt


# ---- squash -----------------------------------------------------------------------------------------------


def test_the_curve_is_squash_of_the_length():
    (line,) = [ln for ln in visualize.squash_curve().axes[0].lines if len(ln.get_xdata()) > 2]
    n, after = line.get_data()
    assert np.allclose(after, n**2 / (1 + n**2), atol=1e-12) and after[0] == 0


def test_the_field_ends_where_squash_says():
    dots = [line.get_xydata() for line in visualize.squash_field(count=5).axes[0].lines]
    assert np.allclose(dots[1], zh.squash(dots[0])) and np.linalg.norm(dots[1], axis=1).max() < 1


# ---- faces ------------------------------------------------------------------------------------------------


def test_a_moved_and_turned_face_is_what_all_its_parts_vote_for():
    face = turned(0.4, -0.3, 70)
    votes = pose_votes({name: face @ part for name, part in PARTS.items()}, PARTS)
    assert all(np.allclose(vote, face) for vote in votes.values()) and vote_spread(votes) < 1e-12


def test_the_spread_is_the_root_mean_square_distance_from_the_mean():
    votes = {"a": turned(1, 0, 0), "b": turned(-1, 0, 0), "c": turned(0, 0, 0)}
    assert vote_spread(votes) == pytest.approx(np.sqrt(2 / 3))


def test_parts_and_outlines_are_drawn_at_their_poses():
    page = FacePage(PARTS)
    poses = {**PARTS, "mouth": turned(0.3, 0.9, 45)}
    page.show(poses)
    (line, stroke), *_ = page.parts["mouth"]
    ends = poses["mouth"] @ [*stroke[:, -1], 1]
    assert np.allclose([line.get_xdata()[-1], line.get_ydata()[-1]], ends[:2])
    vote = poses["mouth"] @ np.linalg.inv(PARTS["mouth"])
    outline = page.outlines["mouth"].get_xydata()
    assert np.allclose(outline[-1], vote[:2, 2])  # the stroke that shows which way is up ends in the centre
    assert "left eye, nose say (0, 0), turned by 0°" in page.fig.alt


# ---- decoders ---------------------------------------------------------------------------------------------


def test_one_number_of_one_capsule_is_changed_at_a_time():
    v = np.random.default_rng(0).random((4, 3)).astype(np.float32)
    drawn = visualize.perturbations(Dial(), v, label=2)
    assert drawn.shape == (3, 11, 3, 5)
    for dimension in range(3):
        for step, value in enumerate(visualize.PERTURBATIONS):
            expected = v[2].copy()
            expected[dimension] += np.float32(value)
            assert np.array_equal(drawn[dimension, step, 0, :3], expected)
    assert (drawn[:, :, 2, 4] == 2).all()


def test_the_changes_are_those_of_the_paper():
    assert np.allclose(visualize.PERTURBATIONS, [-0.25, -0.2, -0.15, -0.1, -0.05, 0, 0.05, 0.1, 0.15, 0.2, 0.25])


def test_perturbing_leaves_the_capsules_alone_and_keeps_channels():
    v = np.ones((1, 4, 3), np.float32)
    assert visualize.perturbations(Dial(3), v, 0, [0.0, 0.5]).shape == (3, 2, 3, 3, 5)
    assert (v == 1).all()


def test_the_middle_column_is_the_reconstruction_of_a_capsnet():
    model = zh.models.create("capsnet", preset="fast", image_size=17, channels=2, types=1, hidden=(4, 5), out_dim=6)
    v = np.random.default_rng(1).standard_normal((1, 10, 6)).astype(np.float32)
    drawn = visualize.perturbations(model, v, 7)
    assert drawn.shape == (6, 11, 17, 17)
    assert np.allclose(drawn[:, 5], model.reconstruct(v, [7])[0, 0], atol=1e-6)
    assert not np.allclose(drawn[:, 0], drawn[:, 10], atol=1e-6)


def test_every_picture_of_the_grid_stands_in_its_row_and_column():
    pictures = np.zeros((2, 3, 4, 5))
    pictures[1, 2] = np.arange(20).reshape(4, 5) / 20
    fig = visualize.perturbation_grid(pictures, [-1, 0, 1])
    sheet = np.asarray(fig.axes[0].images[0].get_array())
    assert sheet.shape == (8, 15) and np.array_equal(sheet[4:, 10:], pictures[1, 2]) and not sheet[:4].any()
    assert "in row 1." in fig.alt


def test_rows_of_the_grid_carry_the_numbers_they_are():
    pictures = np.zeros((2, 3, 4, 5))
    pictures[1, 2] = 1
    fig = visualize.perturbation_grid(pictures, [-1, 0, 1], numbers=[7, 12])
    assert [label.get_text() for label in fig.axes[0].get_yticklabels()] == ["7", "12"] and "in row 12." in fig.alt
    with pytest.raises(ValueError, match="numbers needs one for each of 2 rows, but got 1"):
        visualize.perturbation_grid(pictures, [-1, 0, 1], numbers=[7])


def test_reconstructions_stand_below_their_images():
    images, drawn = np.random.default_rng(2).random((2, 3, 1, 4, 4))
    fig = visualize.reconstructions(images, drawn, ["5", "3", "5"])
    shown = [np.asarray(ax.images[0].get_array()) for ax in fig.axes]
    assert np.array_equal(shown[:3], images[:, 0]) and np.array_equal(shown[3:], drawn[:, 0])
    assert [ax.get_title() for ax in fig.axes[:3]] == ["5", "3", "5"]
