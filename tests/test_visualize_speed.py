"""The pictures and explorers of speed: what is drawn is what was measured, what they say, what they refuse."""

import numpy as np
import pytest

from zerohero import interactive, visualize
from zerohero.benchmark import Roofline

ROOF = Roofline({"product": 100.0, "loop": 80.0}, bandwidth=20.0, threads=1)
PICTURE = np.arange(12.0).reshape(3, 4)


# ---- the roofline -----------------------------------------------------------------------------------------


def test_the_roof_is_the_smaller_of_peak_and_bandwidth_times_intensity():
    line = visualize.roofline(ROOF).axes[0].lines[0]
    x, y = line.get_data()
    assert np.allclose(y, np.minimum(100, 20 * np.asarray(x))) and min(x) < 5 < max(x)


def test_points_lie_where_they_were_measured_with_their_share():
    fig = visualize.roofline(ROOF, {"slow": (1.0, 5.0), "fast": (50.0, 90.0)})
    ax = fig.axes[0]
    marks = [line.get_xydata()[0].tolist() for line in ax.lines if line.get_linestyle() == "None"]
    assert marks == [[1.0, 5.0], [50.0, 90.0]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["slow (25 %)", "fast (90 %)"]
    assert "slow: 5 GFLOPS at 1 FLOPs per byte, 25 % of its roof." in fig.alt
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    assert all(left < x < right and low < y < high for x, y in [*marks, (5, 100)])


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.2, "120 %"), (0.1, "10 %"), (0.0996, "10 %"), (0.0994, "9.9 %"), (0.01, "1.0 %"), (0.0052, "0.52 %"),
     (0.00003126, "0.0031 %"), (0.0, "0.0 %")],
)  # fmt: skip
def test_a_share_has_two_digits(share, text):
    assert visualize.percent(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(131.4, "131 s"), (1.04, "1.0 s"), (0.0147, "15 ms"), (0.00994, "9.9 ms"), (4.24e-5, "42 µs"), (0, "0.0 µs")],
)
def test_a_time_is_short(seconds, text):
    assert visualize.short_time(seconds) == text


# ---- the race ---------------------------------------------------------------------------------------------


def test_each_lane_shows_the_share_that_its_engine_has_done():
    fig = visualize.race(PICTURE, {"slow": 8.0, "late": 2.0, "done": 1.0}, 1.0)
    drawn = [np.ma.filled(ax.images[0].get_array(), np.nan).ravel() for ax in fig.axes]
    assert [int(np.isfinite(pixels).sum()) for pixels in drawn] == [1, 6, 12]
    assert all(np.array_equal(p[np.isfinite(p)], np.arange(np.isfinite(p).sum())) for p in drawn)
    assert len({ax.images[0].get_clim() for ax in fig.axes}) == 1  # one grey, one number
    assert fig.alt == "After 1.0 s: slow 12 %; late 50 %; done done in 1.0 s."


def test_the_race_begins_before_the_fastest_ends_and_lasts_until_the_slowest_does():
    runners = interactive.engine_race(PICTURE, {"loops": 100.0, "numba": 0.01})
    assert max(runners.state["done"].values()) == pytest.approx(0.25)
    shares, last = [], runners.controls["step"].high
    for step in range(last + 1):
        runners.set(step=step)
        shares.append(list(runners.state["done"].values()))
    assert (np.diff(shares, axis=0) >= 0).all()
    assert shares[-1] == [1.0, 1.0] and shares[-2][0] < 1
    assert "loops 0.012 %; numba done in 10 ms" in runners.figure(step=4).alt
    assert runners.state["step"] == last  # a figure of another step leaves the state


def test_static_is_the_moment_when_the_fastest_has_just_ended():
    assert "numba done" in interactive.engine_race(PICTURE, {"loops": 100.0, "numba": 0.01}, static=True).alt
    assert "one done" in interactive.engine_race(PICTURE, {"one": 1.0}, static=True).alt


# ---- threads ----------------------------------------------------------------------------------------------


def test_threads_without_work_are_hatched_and_blocks_framed():
    fig = visualize.thread_grid((5, 6), (2, 4))
    right = fig.axes[1]
    hatched = {(int(p.get_y()), int(p.get_x())) for p in right.patches if p.get_hatch()}
    assert hatched == {(i, j) for i in range(6) for j in range(8) if i >= 5 or j >= 6}
    frames = [p for p in right.patches if not p.get_fill()]
    assert [(p.get_y(), p.get_x(), p.get_height(), p.get_width()) for p in frames] == [
        (i, j, 2, 4) for i in (0, 2, 4) for j in (0, 4)
    ]
    assert fig.alt.endswith("48 threads, 18 of them with nothing to do.")


def test_a_thread_reads_the_window_of_its_number_and_shares_the_piece_of_its_block():
    explorer = interactive.thread_explorer((10, 14), (4, 4), (3, 5))
    explorer.set(block_x=2, block_y=1, thread_x=3, thread_y=0)
    assert (explorer.state["row"], explorer.state["column"], explorer.state["works"]) == (4, 11, True)
    left, right = explorer.figure().axes
    boxes = [(p.get_y(), p.get_x(), p.get_height(), p.get_width()) for p in left.patches[1:]]
    assert boxes == [(4, 8, 6, 8), (4, 11, 3, 5)]  # the block's piece, the thread's window
    assert (right.patches[-1].get_y(), right.patches[-1].get_x()) == (4, 11)
    assert "makes number [4, 11] from rows 4 to 6 and columns 11 to 15" in explorer.text()


def test_a_thread_over_the_edge_must_do_nothing_and_reads_no_window():
    explorer = interactive.thread_explorer((10, 14), (4, 4))
    explorer.set(block_x=3, thread_x=2)
    assert not explorer.state["works"] and "must do nothing" in explorer.text()
    assert len(explorer.figure().axes[0].patches) == 2  # the input, and the block's piece


def test_every_thread_with_work_makes_a_number_of_its_own():
    explorer, made = interactive.thread_explorer((5, 6), (2, 4)), []
    names, highs = list(explorer.controls), [control.high + 1 for control in explorer.controls.values()]
    for values in np.ndindex(*highs):
        explorer.set(**dict(zip(names, map(int, values))))
        made += [(explorer.state["row"], explorer.state["column"])] if explorer.state["works"] else []
    assert sorted(made) == list(np.ndindex(5, 6))


# ---- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "draw",
    [
        lambda: visualize.roofline(ROOF, {"a": (0.0, 1.0)}),
        lambda: visualize.roofline(ROOF, {str(i): (1.0, 1.0) for i in range(9)}),
        lambda: visualize.race(PICTURE, {}, 1.0),
        lambda: visualize.race(PICTURE, {"a": 0.0}, 1.0),
        lambda: visualize.race(PICTURE.ravel(), {"a": 1.0}, 1.0),
        lambda: interactive.engine_race(PICTURE, {str(i): 1.0 for i in range(7)}),
        lambda: visualize.thread_grid((33, 4), (2, 2)),
        lambda: visualize.thread_grid((4, 4), (2, 2), thread=(2, 0, 0, 0)),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(draw):
    with pytest.raises(ValueError, match=r"needs|can be told apart|there is no thread"):
        draw()
