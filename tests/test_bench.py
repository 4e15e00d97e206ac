"""`zerohero bench`: statistics of known samples, peers held to our numbers, files, refusals."""

import copy
import dataclasses
import importlib.util
import json
import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import zerohero as zh
from zerohero import benchmark, cli
from zerohero.cli import bench as command

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # benchmarks/ is no part of the installed package

from benchmarks import costs, memory, report, rows, run  # noqa: E402
from benchmarks.contest import Contest, Disagreement, Peer, Settings, difference, figure, hold  # noqa: E402

SETTINGS = Settings(threads=1, backend="numpy", rounds=3, least=1e-4, patience=0.01, compiled=False)
LAYER = dict(batch=3, inputs=7, in_dim=4, outputs=5, out_dim=6)
SHAPES = [((2, 4, 9, 8), (6, 2, 3, 3), dict(stride=2, padding=1, groups=2)), ((1, 3, 5, 5), (2, 3, 1, 1), {})]


@pytest.fixture(autouse=True, params=zh.available_backends())
def _backend(request):
    with zh.use_backend(request.param):
        yield


once = pytest.mark.parametrize("_backend", ["numpy"], indirect=True)  # what doesn't compute with our operations


# ---- statistics -----------------------------------------------------------------------------------------


@once
def test_quartiles_are_those_of_the_middle_half():
    assert benchmark.quartiles(list(range(101))) == benchmark.Spread(50.0, 25.0, 75.0)
    assert benchmark.quartiles([9.0]) == benchmark.Spread(9.0, 9.0, 9.0)


@once
def test_a_speedup_pairs_the_rounds_so_that_a_slow_minute_of_the_machine_cancels():
    ours = np.array([1.0, 1.0, 50.0, 1.0, 7.0])
    found = benchmark.speedup(3 * ours, ours)
    assert found == benchmark.Spread(pytest.approx(3.0), pytest.approx(3.0), pytest.approx(3.0))


@once
def test_a_speedup_is_above_one_where_we_are_faster():
    assert benchmark.speedup([4.0, 4.0, 4.0], [2.0, 2.0, 2.0]).median == pytest.approx(2.0)


@once
def test_one_wild_round_does_not_move_a_speedup():
    theirs = [2.0] * 8 + [1000.0]
    assert benchmark.speedup(theirs, [1.0] * 9).median == pytest.approx(2.0)


@once
def test_the_mean_speedup_is_geometric():
    pairs = [([8.0] * 3, [1.0] * 3), ([1.0] * 3, [2.0] * 3)]
    assert benchmark.mean_speedup(pairs).median == pytest.approx(math.sqrt(8.0 * 0.5))


@once
def test_the_interval_of_a_speedup_holds_the_truth_about_95_times_in_100(rng):
    held = 0
    for _ in range(200):
        theirs, ours = (np.exp(rng.normal(math.log(t), 0.2, 15)) for t in (3.0, 1.0))
        found = benchmark.mean_speedup([(theirs, ours)], draws=300)
        held += found.low <= 3.0 <= found.high
    assert 176 <= held <= 195


# ---- timing ---------------------------------------------------------------------------------------------


@once
def test_every_contestant_has_a_turn_in_every_round_and_rounds_begin_with_different_ones():
    calls = []
    found = benchmark.side_by_side({name: lambda name=name: calls.append(name) for name in "abc"}, rounds=3, least=0)
    assert {name: len(seconds) for name, seconds in found.items()} == {"a": 3, "b": 3, "c": 3}
    assert "".join(calls) == "aabbcc" + "abc" + "bca" + "cab"  # the warm-up first


@once
def test_a_time_is_that_of_one_call_also_where_a_turn_has_many():
    calls = []
    clock = lambda: 0.003 * len(calls)  # each call takes 3 ms
    found = benchmark.side_by_side({"work": lambda: calls.append(1)}, rounds=2, least=0.02, pause=0, clock=clock)
    assert found["work"] == pytest.approx([0.003, 0.003])
    assert len(calls) == 2 + 2 * 7  # the warm-up, and 21 ms in each round


@once
def test_the_clock_is_read_only_when_the_gpu_is_done():
    events = []
    benchmark.side_by_side({"work": lambda: events.append("work")}, rounds=1, least=0,
                           synchronise=lambda: events.append("done"))  # fmt: skip
    assert events == ["done", "work", "done"] * 3


@once
def test_our_own_work_is_not_held_against_others(monkeypatch):
    clocks = {"_busy_seconds": iter([100.0, 114.0]), "_own_seconds": iter([20.0, 28.0])}
    for name, values in clocks.items():
        monkeypatch.setattr(benchmark, name, lambda values=values: next(values))
    monkeypatch.setattr(benchmark.time, "monotonic", iter([1000.0, 1004.0]).__next__)
    assert benchmark.Watch().calm().others == pytest.approx((14.0 - 8.0) / 4.0)


@once
def test_other_processes_are_noticed():
    if benchmark.Watch().calm().others is None:
        pytest.skip("only Linux tells how busy the machine is")
    watch = benchmark.Watch()
    code = "import time; end = time.process_time() + 0.7\nwhile time.process_time() < end: pass"
    with subprocess.Popen([sys.executable, "-c", code]) as other:
        time.sleep(0.7)  # it isn't our child in the count until it has ended
        seen = watch.calm().others
        other.wait()
    assert seen > 0.2


# ---- the roofline ---------------------------------------------------------------------------------------


@once
def test_the_roof_is_the_highest_peak_and_the_slower_of_computing_and_moving_counts():
    roof = benchmark.Roofline({"loop": 50.0, "product": 100.0}, bandwidth=10.0, threads=2)
    assert roof.peak == 100.0
    assert roof.seconds(flops=1e11, bytes=1e9) == pytest.approx(1.0)  # 1 s of computing, 0.1 s of moving
    assert roof.seconds(flops=1e11, bytes=1e11) == pytest.approx(10.0)  # 10 s of moving
    assert roof.share(20.0, flops=1e11, bytes=1e11) == pytest.approx(0.5)


@once
def test_the_loops_of_the_roofline_compute_what_they_say():
    from zerohero.kernels.numba_cpu.roofline import HORNER, multiply_adds, triad

    blocks = np.full((1, 16), 3.0, np.float32)
    multiply_adds(blocks, 2, np.float32(0.5), np.float32(1.0))
    wanted = 3.0
    for _ in range(2 * HORNER):
        wanted = wanted * 0.5 + 1.0
    np.testing.assert_allclose(blocks, wanted, rtol=1e-6)
    x, y, out = np.arange(12, dtype=np.float32).reshape(3, 4)
    triad(out, x, y, np.float32(10))
    np.testing.assert_array_equal(out, x + 10 * y)


@once
def test_a_measured_roofline_is_one_that_a_processor_can_have():
    roof = benchmark.roofline(1, patience=0, size=256, megabytes=4)
    assert 0.1 < roof.peak < 10_000 and 0.1 < roof.bandwidth < 5_000
    assert set(roof.peaks) == {"multiply-adds", "NumPy's matrix product"}
    again = run.roof_by_torch(SETTINGS, "product", size=256, megabytes=4)
    assert 0.1 < again.peak < 10_000 and 0.1 < again.bandwidth < 5_000


@once
def test_operations_are_counted_as_by_hand():
    # 128·1152 votes of 8 → 160 numbers: 2·8·160 operations each, three times; then 14 sweeps over the votes
    assert rows.capsule_flops(128, 1152, 8, 10, 16, 3) == 128 * 1152 * (3 * 2 * 8 * 160 + 14 * 2 * 160)
    assert rows.capsule_flops(1, 1, 1, 1, 1, 1) == 3 * 2 + 2 * 2  # one iteration: a weighted sum, and its gradient
    contest = rows.conv_contest(SETTINGS, *SHAPES[0], gradients=False)
    assert contest.flops == 2 * (2 * 6 * 5 * 4) * (2 * 3 * 3)
    assert contest.bytes == 4 * (2 * 4 * 9 * 8 + 6 * 2 * 9 + 2 * 6 * 5 * 4)


# ---- the peers are right --------------------------------------------------------------------------------


def agreement(contest):
    """The largest relative difference between ours and each peer's results."""
    wanted = [np.asarray(result) for result in contest.ours()]
    got = {peer.name: [result.detach().numpy() for result in peer.work()] for peer in contest.peers}
    return {name: difference(wanted, results) for name, results in got.items()}


@pytest.mark.parametrize("iterations", [1, 3])
def test_both_layouts_of_pytorch_route_as_we_do_and_give_our_gradients(iterations):
    found = agreement(rows.capsule_contest(SETTINGS, LAYER, iterations))
    assert set(found) == {"PyTorch eager, (b,i,j,q)", "PyTorch eager, (b,j,i,q)"}
    assert max(found.values()) < 1e-5


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=["grouped", "1x1"])
def test_both_layouts_of_pytorch_convolve_as_we_do(shape, gradients):
    contest = rows.conv_contest(SETTINGS, *shape, gradients=gradients)
    assert len(contest.ours()) == (3 if gradients else 1)
    found = agreement(contest)
    assert set(found) == {"PyTorch eager, NCHW", "PyTorch eager, channels_last"}
    assert max(found.values()) < 1e-5


def test_the_capsnet_in_pytorch_has_our_loss_and_our_gradients_step_by_step():
    contest = rows.capsnet_contest(SETTINGS, "fast", 3)
    first = agreement(contest)
    assert len(first) == 4 and max(first.values()) < 1e-4
    second = agreement(contest)  # Adam has changed all weights: where a gradient is nearly 0, rounding decides how
    assert max(second.values()) < 0.05


@once
def test_the_capsnet_in_pytorch_has_the_parameters_of_the_paper():
    from benchmarks.peers.capsnet import CapsNet

    theirs = {name: tuple(value.shape) for name, value in CapsNet().named_parameters()}
    assert theirs == {name: value.shape for name, value in zh.models.create("capsnet").named_parameters()}
    assert sum(map(math.prod, theirs.values())) == 6_804_384 + 1_411_344


def test_the_lenet_in_pytorch_has_our_loss_and_our_gradients(monkeypatch):
    seen = []
    monkeypatch.setattr(rows, "hold", lambda contest, settings: seen.append(contest) or hold(contest, settings))
    found = rows.lenet_step(SETTINGS, batch=2)
    assert max(found["parts"][0]["largest_relative_difference"].values()) < 1e-4
    assert len(seen[0].ours()) == 1 + 10  # the loss, and gradients of five layers


@once
def test_a_contest_is_refused_if_a_peer_gives_other_numbers():
    work = lambda: [np.ones(3, np.float32)]
    wrong = lambda: [np.array([1.0, 1.0, 1.001], np.float32)]
    right = Contest("sums", work, [Peer("PyTorch eager", "", work)], 1.0, 1.0)
    assert hold(right, SETTINGS).differences == {"PyTorch eager": 0.0}
    with pytest.raises(Disagreement, match=r"sums: PyTorch eager, odd and zerohero differ by 1\.0e-03"):
        hold(Contest("sums", work, [Peer("PyTorch eager", "odd", wrong)], 1.0, 1.0), SETTINGS)
    with pytest.raises(Disagreement, match="inf"):
        hold(Contest("sums", work, [Peer("PyTorch eager", "", lambda: [np.ones(4)])], 1.0, 1.0), SETTINGS)


@once
def test_not_a_number_is_no_agreement():
    nan = Contest("sums", lambda: [np.ones(1)], [Peer("PyTorch eager", "", lambda: [np.array([np.nan])])], 1.0, 1.0)
    with pytest.raises(Disagreement):
        hold(nan, SETTINGS)


@once
def test_what_cannot_compile_is_left_out_with_the_reason_and_what_fails_otherwise_fails():
    work = lambda: [np.ones(1)]

    def fails():
        raise RuntimeError("\nno C++ compiler found\nand much more")

    outcome = hold(Contest("sums", work, [Peer("torch.compile", "x", fails)], 1.0, 1.0), SETTINGS)
    assert outcome.skips == ["torch.compile, x: it can't compile this here: RuntimeError: no C++ compiler found"]
    assert figure("sums", "torch.compile", [outcome], 1.0, 2.0) is None
    with pytest.raises(RuntimeError, match="no C"):
        hold(Contest("sums", work, [Peer("PyTorch eager", "x", fails)], 1.0, 1.0), SETTINGS)


@once
def test_the_fastest_peer_counts():
    work = lambda: [np.ones(1)]
    slow = lambda: [time.sleep(0.01), np.ones(1)][1:]
    contest = Contest("sums", work, [Peer("PyTorch eager", "slow", slow), Peer("PyTorch eager", "", work)], 1.0, 1.0)
    outcome = hold(contest, SETTINGS)
    assert outcome.fastest("PyTorch eager") == outcome.seconds["PyTorch eager"]
    assert figure("sums", "PyTorch eager", [outcome], None, None)["value"] < 5


# ---- rows -----------------------------------------------------------------------------------------------


def test_conv_rows_take_the_geometric_mean_over_their_shapes():
    found = rows.conv2d_gradients(SETTINGS, SHAPES)
    (made,) = found["figures"]
    medians = [
        np.median(np.divide(min((part["contestants"][f"PyTorch eager, {layout}"]["seconds"]
                                 for layout in ("NCHW", "channels_last")), key=np.median),
                            part["contestants"]["zerohero numpy"]["seconds"]))
        for part in found["parts"]
    ]  # fmt: skip
    assert made["value"] == pytest.approx(math.sqrt(medians[0] * medians[1]))
    assert (made["must"], made["goal"]) == (0.7, 1.2)


@once
def test_the_seven_shapes_are_those_of_the_table():
    assert [f"{x}·{w}{list(o.items()) or ''}".replace(" ", "") for x, w, o in rows.CONV_SHAPES] == [
        "(32,1,28,28)·(256,1,9,9)",
        "(8,256,20,20)·(256,256,9,9)[('stride',2)]",
        "(8,64,56,56)·(64,64,3,3)[('padding',1)]",
        "(128,16,32,32)·(16,16,3,3)[('padding',1)]",
        "(8,3,227,227)·(96,3,11,11)[('stride',4)]",
        "(8,256,28,28)·(64,256,1,1)",
        "(8,96,27,27)·(256,48,5,5)[('padding',2),('groups',2)]",
    ]


@once
def test_the_memory_of_a_known_need_is_measured():
    if not memory.can_measure():
        pytest.skip("only Linux tells a process its peak memory again and again")
    memory.peak_above(lambda: np.ones(1))
    assert memory.peak_above(lambda: np.ones(40_000_000 // 8)) == pytest.approx(40, abs=2)
    temporary = memory.peak_above(lambda: np.ones(20_000_000 // 8).sum())  # gone before the end, and less than before
    assert temporary == pytest.approx(20, abs=2)


@once
def test_memory_is_told_above_what_must_be_there():
    if not memory.can_measure():
        pytest.skip("only Linux tells a process its peak memory again and again")
    found = json.loads(costs._run("-m", "benchmarks.memory", "numpy", "16"))
    votes = 16 * 1152 * 160 * 4 / 1e6  # the NumPy form stores them
    assert found["above_megabytes"] > 0.9 * votes
    assert found["results_megabytes"] == pytest.approx(4 * (16 * 1152 * 8 + 1152 * 8 * 160 + 160 + 16 * 160) / 1e6)


@once
def test_what_cannot_be_measured_on_a_gpu_says_so():
    gpu = Settings(threads=1, backend="cupy")
    for row in (costs.memory_of_capsule_layer, costs.lectures):
        with pytest.raises(costs.CannotMeasure):
            row(gpu)


# ---- the files ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured():
    """A document with a contest, a cost, a row that fails and one that can't be measured; small, but as measured."""

    def fails(settings):
        raise Disagreement("two |\n numbers")

    def cannot(settings):
        raise costs.CannotMeasure("no such machine")

    def imports(settings):
        return costs.import_time(dataclasses.replace(settings, rounds=1))

    table = {"conv2d_forward": lambda settings: rows.conv2d_forward(settings, SHAPES[:1]),
             "import": imports, "lenet_step": fails, "memory": cannot}  # fmt: skip
    with pytest.MonkeyPatch.context() as patch, zh.use_backend("numpy"):
        patch.setattr(run, "_row_functions", lambda: table)
        patch.setattr(run, "roof_of", lambda settings: benchmark.Roofline({"loop": 100.0}, 40.0, settings.threads))
        return run.measure(dict(rows=list(table), quick=True, threads=1, backend="numpy", command="zerohero bench"))


KEYS = {"format", "command", "date", "commit", "device", "backend", "threads", "rounds", "clock", "machine", "versions",
        "calm", "roofline", "rows"}  # fmt: skip


@once
def test_the_json_file_holds_machine_versions_load_and_every_round(measured, tmp_path):
    document = json.loads(run.to_text(measured))
    assert document.keys() == KEYS
    assert {"load_before", "load_after", "others", "noisy"} <= document["calm"].keys()
    assert {"python", "numpy", "torch", "numba"} <= document["versions"].keys()
    assert list(document["rows"]) == ["conv2d_forward", "lenet_step", "memory", "import"]
    assert [row["status"] for row in document["rows"].values()] == ["measured", "failed", "skipped", "measured"]
    (part,) = document["rows"]["conv2d_forward"]["parts"]
    for contestant in part["contestants"].values():
        assert len(contestant["seconds"]) == 3 and contestant["roofline_share"] > 0
    assert document["rows"]["lenet_step"]["reason"] == "Disagreement: two | numbers"
    assert str(ROOT) not in run.to_text(measured)


@once
def test_the_table_has_a_line_for_every_row_also_for_those_without_numbers(measured):
    found = list(report.lines(measured))
    assert [line[0] for line in found] == ["conv2d, forward, 1 shapes", "lenet_step", "memory", "import zerohero"]
    assert found[1][2:4] == ("failed", "Disagreement: two | numbers")
    assert found[2][2:4] == ("skipped", "no such machine")
    busy = measured | {"rows": {name: row | {"others": 9.0} for name, row in measured["rows"].items()}}
    noted = {note.partition(":")[0] for note in report.notes(busy) if "kept 9.00 cores busy" in note}
    assert noted == measured["rows"].keys() - {"memory"}  # nothing was measured there for anybody to disturb


@once
@pytest.mark.parametrize(
    ("value", "more", "wanted"),
    [(1.3, True, "goal"), (1.2, True, "goal"), (0.7, True, "must"), (0.69, True, "below must"),
     (0.5, False, "must"), (1.3, False, "above must")],
)  # fmt: skip
def test_a_verdict_compares_with_must_and_goal_in_the_right_direction(value, more, wanted):
    targets = (0.7, 1.2) if more else (0.7, 0.3)
    assert report.verdict(dict(value=value, must=targets[0], goal=targets[1], more_is_better=more)) == wanted


@once
def test_the_report_is_made_from_the_json_alone(measured, tmp_path):
    (tmp_path / "results.json").write_text(run.to_text(measured), encoding="utf-8")
    (tmp_path / "TRIED.md").write_text("| tried | found |\n| --- | --- |\n", encoding="utf-8")
    report.write(tmp_path)
    text = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert "| conv2d, forward, 1 shapes | PyTorch eager |" in text
    assert "two \\| numbers" in text  # a bar would end the cell
    assert "## What was tried\n\n| tried" in text
    assert measured["calm"]["sentence"] in text
    assert f"![{report.alt(measured)}](results.png)" in text
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")


@once
def test_the_committed_report_is_the_one_of_the_committed_numbers(tmp_path):
    folder = ROOT / "benchmarks"
    for file in [*folder.glob("results*.json"), *folder.glob("TRIED.md")]:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    report.write(tmp_path)
    assert (tmp_path / "RESULTS.md").read_text(encoding="utf-8") == (folder / "RESULTS.md").read_text(encoding="utf-8")


@once
def test_the_figure_shows_each_speedup_with_its_marks_and_says_so_in_words(measured):
    document = copy.deepcopy(measured)
    made = document["rows"]["conv2d_forward"]["figures"][0]
    made |= {"value": 0.25, "interval": [0.2, 0.5], "must": 0.7, "goal": 1.2}
    other = made | {"label": "other", "must": None, "goal": None, "value": 8.0}
    document["rows"]["conv2d_forward"]["figures"].append(other)
    picture = report.draw(document)
    (axes,) = picture.axes
    assert [patch.get_x() + patch.get_width() for patch in axes.patches] == [0.25, 8.0]
    points = [line.get_xdata()[0] for line in axes.lines if line.get_marker() in ("|", "D")]
    assert points == [0.7, 1.2]
    low, high = axes.get_xlim()
    assert low < 0.2 and high > 8.0
    assert "1 shapes against PyTorch eager: 0.250×, must 0.7×, goal 1.2×; other" in picture.alt


@once
def test_one_thread_is_timed_in_processor_time_which_a_busy_machine_does_not_stretch():
    assert SETTINGS.clock == "processor time"
    assert {Settings(2, "numpy").clock, Settings(1, "cupy").clock} == {"wall clock"}
    nap = lambda: [time.sleep(0.05), np.ones(1)][1:]
    outcome = hold(Contest("naps", nap, [Peer("PyTorch eager", "", nap)], 1.0, 1.0), SETTINGS)
    assert max(outcome.seconds["PyTorch eager"]) < 0.02


@once
def test_a_noisy_machine_is_called_noisy():
    calm = benchmark.Calm(1.0, 2.0, 0.8)
    assert calm.noisy and "a noisy machine: other processes kept 0.80 cores busy" in str(calm)
    assert not benchmark.Calm(0.0, 2.0, 0.05).noisy
    assert benchmark.Calm(None, None, None).noisy is None


# ---- the command ----------------------------------------------------------------------------------------


@once
def test_unknown_rows_are_refused_with_those_that_exist():
    assert run.chosen(None) == [name for name in run.ROWS if name != "lectures"]
    assert run.chosen(["import", "capsule_layer"]) == ["capsule_layer", "import"]
    assert run.chosen(None, lectures=True) == list(run.ROWS)
    with pytest.raises(ValueError, match=r"--rows needs names among capsule_layer, .*, but got 'conv3d'"):
        run.chosen(["conv3d"])


def zerohero(*arguments):
    return subprocess.run([sys.executable, "-m", "zerohero", "bench", *arguments], capture_output=True, text=True,
                          cwd=ROOT, timeout=300)  # fmt: skip


@once
def test_the_command_measures_and_writes(tmp_path):
    file = tmp_path / "found.json"
    done = zerohero("--rows", "import", "--quick", "--threads", "1", "--backend", "numpy", "--json", str(file))
    assert done.returncode == 0, done.stderr
    document = json.loads(file.read_text(encoding="utf-8"))
    assert document["threads"] == 1 and document["rows"]["import"]["status"] == "measured"
    assert document["command"].endswith("--json found.json")
    assert "import zerohero" in done.stdout


@once
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--rows", "conv3d"], "bench: --rows needs names among"),
        (["--backend", "blas"], "bench: --backend needs one of numpy"),
        (["--json", "found.txt"], "bench: --json needs a file that ends in .json, but got 'found.txt'"),
        (["--figure", "nowhere/found.png"], "bench: --figure needs a folder that exists"),
    ],
)
def test_wrong_input_is_one_sentence(arguments, sentence):
    done = zerohero(*arguments)
    assert done.returncode == 2
    assert sentence in done.stderr and "Traceback" not in done.stderr


@once
@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed here")
def test_without_a_gpu_the_gpu_rows_are_refused():
    done = zerohero("--gpu")
    assert done.returncode == 2 and "--gpu needs an NVIDIA GPU and CuPy" in done.stderr


@once
def test_outside_a_checkout_it_says_where_the_benchmarks_come_from(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "PACKAGE", tmp_path / "site-packages" / "zerohero")
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench"])
    assert ended.value.code == 2
    assert "the folder benchmarks with the peers is neither here nor beside the package" in capsys.readouterr().err


@once
def test_everybody_gets_the_same_number_of_threads(monkeypatch):
    calls = []
    monkeypatch.setattr(subprocess, "call", lambda words, cwd, env: calls.append(env) or 0)
    with pytest.raises(SystemExit):
        cli.main(["bench", "--threads", "3"])
    assert {calls[0][name] for name in command.THREADS} == {"3"}
