"""The pictures of transfer: which strategy gains how much, and accuracy by frozen layers."""

import numpy as np
import pytest

from zerohero import visualize

GAINS = {
    "little, similar": {"USPS": {"all": [0.09, 0.11], "head": [0.12, 0.12]}},
    "little, different": {
        "clothes": {"all": [0.01, 0.03], "head": [-0.10, -0.06]},
        "faces": {"all": [0], "head": [0.02]},
    },
}


def test_quadrants_have_means_and_deviations_in_points():
    fig = visualize.strategy_quadrants(GAINS, predicted={"little, similar": "head"})
    similar, different = fig.axes[:2]
    dots = [container.lines[0] for container in similar.containers]
    assert [line.get_xdata().tolist() for line in dots] == [pytest.approx([10, 12])]
    (bars,) = similar.containers[0].lines[2]
    first, second = (segment[:, 0] for segment in bars.get_segments())
    deviation = 100 * np.std([0.09, 0.11], ddof=1)
    assert np.ptp(first) == pytest.approx(2 * deviation) and np.ptp(second) == 0
    assert len(different.containers) == 2 and len({line.lines[0].get_marker() for line in different.containers}) == 2
    assert similar.get_title() == "little, similar"
    assert [label.get_text() for label in similar.get_yticklabels()] == ["all", "head"]
    assert similar.get_ylim()[0] > similar.get_ylim()[1]


def test_the_predicted_row_is_shaded_and_no_other():
    similar, different = visualize.strategy_quadrants(GAINS, predicted={"little, similar": "head"}).axes[:2]
    (band,) = similar.patches
    assert (band.get_y(), band.get_y() + band.get_height()) == (0.5, 1.5) and not different.patches


def test_quadrants_say_what_they_show():
    fig = visualize.strategy_quadrants(GAINS, predicted={"little, different": ["all", "head"]})
    assert "little, similar: USPS all +10.0, head +12.0" in fig.alt
    assert "little, different (predicted: all or head): clothes all +2.0, head -8.0, faces all +0.0" in fig.alt


def test_a_task_has_the_same_colour_in_every_quadrant():
    gains = {"much": {"a": {"all": [0.1]}, "b": {"all": [0.2]}}, "little": {"b": {"all": [0]}}}
    axes = visualize.strategy_quadrants(gains).axes[:2]
    colours = [{each.get_label(): each.lines[0].get_color() for each in ax.containers} for ax in axes]
    assert len({each["b"] for each in colours}) == 1 and colours[0]["a"] != colours[0]["b"]


def test_freezing_curves_have_means_deviations_and_a_line_for_starting_anew():
    fig = visualize.freezing_curves(
        {"USPS": {0: [0.94, 0.96], 2: [0.9]}, "faces": {0: [0.5], 2: [0.6]}}, anew={"USPS": [0.8, 0.9]}
    )
    (ax,) = fig.axes
    first, second = ax.containers
    assert first.lines[0].get_xdata().tolist() == [0, 2] and first.lines[0].get_ydata().tolist() == pytest.approx(
        [95, 90]
    )
    assert second.lines[0].get_ydata().tolist() == pytest.approx([50, 60])
    dotted = [line for line in ax.lines if line.get_linestyle() == ":" and len(set(line.get_ydata())) == 1]
    assert any(line.get_ydata()[0] == pytest.approx(85) for line in dotted)
    assert "layers: USPS 95.0 % with 0, 90.0 % with 2, anew 85.0 %; faces 50.0 % with 0, 60.0 % with 2." in fig.alt


@pytest.mark.parametrize(
    "wrong, said",
    [
        (lambda: visualize.strategy_quadrants({}), "gains needs tasks"),
        (lambda: visualize.strategy_quadrants({"k": {"a": {"x": [0]}, "b": {"y": [0]}}}), "the same strategies"),
        (lambda: visualize.strategy_quadrants(GAINS, predicted={"little, similar": "new"}), "predicted needs.*new"),
        (lambda: visualize.strategy_quadrants(GAINS, predicted={"much": "all"}), "predicted needs.*much"),
        (lambda: visualize.freezing_curves({}), "at least one accuracy"),
        (lambda: visualize.freezing_curves({"a": {0: []}}), "at least one accuracy"),
        (lambda: visualize.freezing_curves({"a": {0: [1]}}, anew={"b": [1]}), "anew needs tasks out of.*'b'"),
    ],
)  # fmt: skip
def test_wrong_input_is_named(wrong, said):
    with pytest.raises(ValueError, match=said):
        wrong()
