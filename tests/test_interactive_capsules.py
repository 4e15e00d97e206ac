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
