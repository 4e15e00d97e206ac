"""The pictures of the ImageNet years and the training bill: their numbers, their words, what they refuse."""

import numpy as np
import pytest

import zerohero as zh
from zerohero import interactive, visualize
from zerohero.visualize.imagenet import DAY, YEAR


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 seconds"), (59, "59 seconds"), (60, "1 minute"), (7200, "2 hours"), (5.5 * DAY, "5.5 days"),
     (365 * DAY, "365 days"), (YEAR, "1 year"), (744 * YEAR, "744 years"), (12_345 * YEAR, "12,300 years")],
)  # fmt: skip
def test_a_duration_is_told_in_its_largest_unit(seconds, words):
    assert visualize.duration(seconds) == words


def test_the_bars_of_durations_end_at_their_times():
    times = {"a": 30.0, "b": 3e6, "c": 4e10}
    ax = visualize.durations(times).axes[0]
    assert [bar.get_x() + bar.get_width() for bar in ax.patches] == pytest.approx(list(times.values()))
    assert ax.get_xscale() == "log" and [label.get_text() for label in ax.get_yticklabels()] == list(times)


def test_the_error_chart_marks_those_below_the_person():
    fig = visualize.error_chart({"a": 16.4, "b": 5.1, "c": 3.57}, human=5.1)
    bars = fig.axes[0].patches
    assert [bar.get_height() for bar in bars] == [16.4, 5.1, 3.57]
    assert bars[0].get_facecolor() == bars[1].get_facecolor() != bars[2].get_facecolor()
    assert fig.alt.endswith("a person: 5.1 %, passed by c.")


def test_cost_bars_show_the_shares_of_a_summary():
    summary = zh.models.create("lenet5").summary((1, 1, 28, 28))
    left, right = visualize.cost_bars(summary).axes
    rows = [row for row in summary if row.parameters]
    assert [label.get_text() for label in left.get_yticklabels()] == [row.name for row in rows]
    for ax, counts in ((left, [r.parameters for r in rows]), (right, [r.multiply_adds for r in rows])):
        assert [bar.get_width() for bar in ax.patches] == pytest.approx(list(100 * np.array(counts) / sum(counts)))


@pytest.mark.parametrize(
    "draw",
    [
        lambda: visualize.durations({}),
        lambda: visualize.durations({"a": 0.0}),
        lambda: visualize.error_chart({"a": 101}),
        lambda: visualize.cost_bars([("relu", 0, 0)]),
        lambda: visualize.duration(float("nan")),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(draw):
    with pytest.raises(ValueError, match="needs"):
        draw()


def test_compared_curves_are_the_means_of_their_runs_with_their_range():
    runs = np.array([[1.0, 2.0, 4.0], [3.0, 2.0, 0.0]])
    ax = visualize.compare_curves({"a": [5, 4, 3], "b": runs}, ylabel="error").axes[0]
    assert [line.get_ydata().tolist() for line in ax.lines] == [[5, 4, 3], [2, 2, 2]]
    assert [line.get_xdata().tolist() for line in ax.lines] == [[1, 2, 3]] * 2
    band = ax.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (0, 4) and len(ax.collections) == 1
    for nothing in ({}, {"a": []}, {"a": np.zeros((1, 2, 3))}):
        with pytest.raises(ValueError, match="compare_curves"):
            visualize.compare_curves(nothing)


# ---- the bill ---------------------------------------------------------------------------------------------


def test_the_bill_is_three_passes_over_all_images_in_all_epochs():
    pytest.importorskip("ipywidgets")
    bill = interactive.training_bill({"small": 2.0, "large": 10.0}, {"slow": 1e3, "fast": 1e6})
    bill.set(network=1, epochs=7, thousands=5)
    assert bill.state["multiply_adds"] == 3 * 10 * 7 * 5000
    assert bill.state["seconds"] == {"slow": 1050.0, "fast": 1.05}
    assert bill.text().startswith("large: 7 epochs of 5,000 images") and "slow: 18 minutes" in bill.text()
    assert bill.figure(network=0).alt.startswith("small: 7 epochs")
    assert bill.widget.children[0].max == 1


@pytest.mark.parametrize(
    ("networks", "rates"), [({}, {"a": 1}), ({"a": 1}, {}), ({"a": 0}, {"a": 1}), ({"a": 1}, {"a": -1})]
)
def test_a_bill_without_networks_or_rates_above_0_is_refused(networks, rates):
    with pytest.raises(ValueError, match="Training bill: "):
        interactive.training_bill(networks, rates)
