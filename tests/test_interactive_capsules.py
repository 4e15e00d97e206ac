"""Explorers of capsules: their numbers are routing's and geometry's; what all explorers share is tested elsewhere."""

import numpy as np
import pytest

import zerohero as zh
from zerohero import interactive

pytest.importorskip("ipywidgets")


def test_the_stepper_shows_the_lectures_numbers():
    stepper = interactive.routing_stepper()
    stepper.set(iteration=3)
    c = stepper.state["couplings"].round(2)
    assert (c[:4, 0] >= 0.91).all() and c[4:, 0].tolist() == [0.24, 0.23]
    assert stepper.state["lengths"].round(2).tolist() == [0.96, 0.44]
    stepper.set(iteration=1)
    assert (stepper.state["couplings"] == 0.5).all() and stepper.state["lengths"][1].round(2) == 0.08


def test_the_state_is_the_trace_of_the_core_with_its_bias():
    votes, bias = np.random.default_rng(0).standard_normal((5, 3, 2)), np.full((3, 2), 0.3)
    stepper = interactive.routing_stepper(votes, bias, iterations=4)
    trace = zh.routing_trace(votes[None], bias, iterations=4)
    for t in range(4):
        stepper.set(iteration=t + 1)
        for name in ("logits", "couplings", "s", "v"):
            assert np.array_equal(stepper.state[name], getattr(trace, name)[t, 0])
    assert not np.allclose(trace.v, zh.routing_trace(votes[None], iterations=4).v)


def test_the_line_names_couplings_lengths_and_parents():
    stepper = interactive.routing_stepper(parents=["house", "boat"])
    stepper.set(iteration=2)
    assert stepper.text().startswith("iteration 2 of 3: to house: c = 0.77, 0.75, 0.76, 0.79, 0.38, 0.37, ‖v‖ = 0.94")


def test_static_is_the_last_iteration():
    assert "iteration 3 of 3" in interactive.routing_stepper(static=True).alt


def test_the_mouth_explorer_starts_in_agreement_and_loses_it():
    explorer = interactive.mouth_explorer()
    assert explorer.state["spread"] < 1e-12
    spreads = []
    for right in (2, 5, 10):
        explorer.set(right=right)
        spreads.append(explorer.state["spread"])
        assert np.allclose(explorer.state["votes"]["mouth"][:2, 2], [right / 10, 0])
        assert np.allclose(explorer.state["votes"]["nose"], np.eye(3))
    assert spreads == pytest.approx([np.sqrt(3) / 4 * d for d in (0.2, 0.5, 1.0)])  # one of four votes is off by d


def test_turning_the_mouth_turns_its_vote_about_the_mouth():
    explorer = interactive.mouth_explorer()
    explorer.set(turn=90)
    vote = explorer.state["votes"]["mouth"]
    home = np.array([0, -0.65, 1])
    assert np.allclose(vote @ home, home) and np.allclose(vote[:2, :2], [[0, -1], [1, 0]])


# ---- sliders of a capsule -----------------------------------------------------------------------------------


class Dial:
    """A model that finds the image's first row in every capsule, and draws a capsule as its numbers in one row."""

    def capsules(self, images):
        return np.stack([images[:, 0, 0] * scale for scale in (0.5, 1, 0.25)], axis=1)

    def reconstruct(self, v, labels):
        return v[np.arange(len(v)), labels][:, None, None]


IMAGE = np.array([[[0.1, 0.2, 0.3, 0.4], [1, 1, 1, 1]]], np.float32)


def test_a_slider_adds_hundredths_to_one_number_of_the_longest_capsule():
    sliders = interactive.capsule_sliders(Dial(), image=IMAGE)
    assert sliders.label == 1
    sliders.set(n2=-20, n3=5)
    v = sliders.state["v"]
    assert np.allclose(v[1], [0.1, 0.2, 0.1, 0.45]) and np.allclose(v[0], [0.05, 0.1, 0.15, 0.2])
    assert np.allclose(sliders.state["drawn"], [[0.1, 0.2, 0.1, 0.45]])
    assert np.isclose(sliders.state["length"], np.linalg.norm(v[1]))
    assert sliders.text() == "Capsule 1, number 2 by −0.2, 3 by 0.05: a pixel of the drawing changes by 0.2 at most."


def test_the_capsules_given_stay_as_they_were_and_zero_takes_a_change_back():
    v = np.full((3, 4), 0.1, np.float32)
    sliders = interactive.capsule_sliders(Dial(), v, label=2)
    sliders.set(n0=25)
    sliders.set(n0=0)
    assert (v == np.float32(0.1)).all() and np.array_equal(sliders.state["v"], v)
    assert sliders.text() == "Capsule 2, unchanged: a pixel of the drawing changes by 0 at most."


def test_image_drawing_and_changed_drawing_stand_side_by_side():
    sliders = interactive.capsule_sliders(Dial(), image=IMAGE)
    fig = sliders.figure(n0=25, n1=25, n2=25, n3=25)
    shown = [np.asarray(ax.images[0].get_array()) for ax in fig.axes]
    assert len(shown) == 3 and np.array_equal(shown[0], IMAGE[0])
    assert np.allclose(shown[1], IMAGE[0, :1]) and np.allclose(shown[2], IMAGE[0, :1] + 0.25)
    assert len(interactive.capsule_sliders(Dial(), np.ones((3, 4)), static=True).axes) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "or give image"),
        ({"v": np.ones((2, 3, 4))}, r"needs shape \(J, Q\)"),
        ({"v": np.ones((3, 4)), "label": 3}, r"label needs to lie in \[0, 2\], but got 3"),
    ],
)
def test_sliders_without_capsules_are_refused_in_a_sentence(arguments, said):
    with pytest.raises(ValueError, match=said):
        interactive.capsule_sliders(Dial(), **arguments)
