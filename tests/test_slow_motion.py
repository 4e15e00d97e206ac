"""Parallel code in slow motion: every race is an error, whatever the order and the numbers; what is right passes."""

import numpy as np
import pytest

from zerohero.checks import slow_motion
from zerohero.checks.slow_motion import Cells, Divergence, Race, Unwritten, call, cuda, launch, prange

numba = pytest.importorskip("numba")


def test_rounds_that_write_numbers_of_their_own_are_right():
    def squares(x):
        y = np.empty(len(x), np.float32)
        for i in prange(len(x)):
            y[i] = x[i] * x[i]
        return y

    looped = call(squares, np.arange(4, dtype=np.float32))
    assert looped.output.tolist() == [0, 1, 4, 9] and looped.rounds == 4 and not looped.mixed


def test_a_race_is_seen_though_the_numbers_are_right():
    def same_number(x):
        y = np.zeros(1)
        for _ in prange(len(x)):
            y[0] = 7
        return y

    with pytest.raises(Race, match=r"round 1 writes the number at \[0\].*which round 0 writes"):
        call(same_number, np.ones(2))


def test_a_race_is_seen_through_slices_and_whole_arrays():
    def rows(x):
        y = np.zeros(x.shape)
        for i in prange(len(x)):
            y[i : i + 2] += x[i]
        return y

    def neighbours(x):
        for i in prange(1, len(x)):
            x[i] = x[i - 1]
        return x

    for function in (rows, neighbours):
        with pytest.raises(Race):
            call(function, np.ones((3, 2)))


def test_two_loops_one_after_the_other_are_no_race():
    def twice(x):
        for i in prange(len(x)):
            x[i] += 1
        for i in prange(len(x)):
            x[len(x) - 1 - i] += 1
        return x

    assert call(twice, np.zeros(3)).output.tolist() == [2, 2, 2]


def test_a_compiled_function_runs_in_its_python_form():
    @numba.njit(parallel=True)
    def sums(x):
        y = np.zeros(len(x), np.float32)
        for i in numba.prange(len(x)):
            y[i] = np.sum(x[i] * x[i, 0])
        return y

    looped = call(sums, np.full((2, 3), 2, np.float32))
    assert looped.output.tolist() == [12, 12] and looped.rounds == 2
    assert not sums.signatures


@pytest.mark.parametrize("start, mixed", [(0.0, True), (0, True), (np.float32(0), False)])
def test_a_python_number_makes_a_sum_float64_as_in_numba(start, mixed):
    def total(x):
        y = np.zeros(1, np.float32)
        total = start
        for i in range(len(x)):
            total += x[i]
        y[0] = total
        return y

    @numba.njit
    def compiled(x):
        total = start
        for i in range(len(x)):
            total += x[i]
        return total

    x = np.ones(3, np.float32)
    compiled(x)
    assert call(total, x).mixed == mixed
    assert (str(compiled.nopython_signatures[0].return_type) == "float64") == mixed


def reverse(x, y):
    shared = cuda.shared.array(4, np.float32)
    i = cuda.threadIdx.x
    shared[i] = x[i]
    cuda.syncthreads()
    y[i] = shared[3 - i]


@pytest.mark.parametrize("backwards", [False, True])
def test_threads_meet_at_a_barrier(backwards):
    y = np.zeros(4)
    launch(reverse, (1, 1), (4, 1), np.arange(4.0), y, backwards=backwards)
    assert y.tolist() == [3, 2, 1, 0]


def test_a_missing_barrier_is_seen_in_any_order():
    def first_missing(x, y):
        shared = cuda.shared.array(4, np.float32)
        i = cuda.threadIdx.x
        shared[i] = x[i]
        y[i] = shared[3 - i]

    def second_missing(x, y):
        shared = cuda.shared.array(4, np.float32)
        i = cuda.threadIdx.x
        for _ in range(2):
            shared[i] = x[i]
            cuda.syncthreads()
            y[i] += shared[3 - i]

    for backwards in (False, True):
        with pytest.raises((Unwritten, Race)):
            launch(first_missing, (1, 1), (4, 1), np.arange(4.0), np.zeros(4), backwards=backwards)
        with pytest.raises(Race, match="thread"):
            launch(second_missing, (1, 1), (4, 1), np.arange(4.0), np.zeros(4), backwards=backwards)


def test_a_barrier_that_not_all_threads_reach_is_an_error():
    def leaves(x, y):
        if cuda.threadIdx.x == 3:
            return
        reverse(x, y)

    def two_barriers(x, y):
        if cuda.threadIdx.x == 3:
            cuda.syncthreads()
        else:
            cuda.syncthreads()

    def endless(x, y):
        while True:
            cuda.syncthreads()

    for kernel, words in ((leaves, "has ended"), (two_barriers, "another one"), (endless, "never ends")):
        with pytest.raises(Divergence, match=words):
            launch(kernel, (1, 1), (4, 1), np.arange(4.0), np.zeros(4))


def test_blocks_that_write_the_same_number_are_a_race_but_not_one_that_both_read():
    def writes(x, y):
        y[cuda.threadIdx.x] = x[0]

    def reads(x, y):
        y[cuda.grid(1)] = x[0]

    with pytest.raises(Race, match=r"block \(1, 0\)"):
        launch(writes, (2, 1), (2, 1), np.ones(1), np.zeros(2))
    y = np.zeros(4)
    x, _ = launch(reads, (2, 1), (2, 1), np.ones(1), y)
    assert y.tolist() == [1, 1, 1, 1] and x.reads.tolist() == [4]


def test_a_thread_outside_of_an_array_is_told_which_one():
    def no_guard(x, y):
        y[cuda.grid(1)] = 0

    with pytest.raises(IndexError, match=r"thread \(1, 0\) of block \(1, 0\) reaches outside of an array"):
        launch(no_guard, (2, 1), (2, 1), np.ones(1), np.zeros(3))


def test_memory_that_holds_nothing_may_not_be_read():
    with pytest.raises(Unwritten, match="before anything was written there"):
        launch(lambda y: y.__setitem__(0, y[0] + 1), (1, 1), (1, 1), Cells(np.zeros(1), written=False))


def test_nothing_is_left_running_after_an_error():
    def broken(y):
        raise ValueError

    with pytest.raises(ValueError):
        launch(broken, (1, 1), (1, 1), np.zeros(1))
    assert slow_motion._now.thread is None and slow_motion._now.agent is None
    with pytest.raises(RuntimeError, match="only there inside of a kernel"):
        cuda.grid(1)
