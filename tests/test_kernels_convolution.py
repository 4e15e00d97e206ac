"""The numba kernels of convolution, pooling, normalization and activations: NumPy's numbers, whatever the sizes,
threads and layouts."""

import importlib.util
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import zerohero as zh

pytestmark = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is not installed")

EXACT = dict(rtol=1e-10, atol=1e-10)
SINGLE = dict(rtol=1e-4, atol=1e-4)
CASES = {  # x, weight, options
    "one number": ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    "odd": ((3, 5, 11, 13), (7, 5, 3, 5), dict(padding=1)),
    "batch of one": ((1, 3, 23, 19), (9, 3, 3, 3), dict(stride=2)),
    "one filter": ((2, 3, 9, 9), (1, 3, 4, 2), {}),
    "filters over a tile": ((2, 2, 9, 17), (53, 2, 3, 3), dict(padding=1)),
    "more rows than a panel": ((2, 19, 8, 9), (5, 19, 3, 3), {}),
    "more windows than a group of panels": ((2, 1, 31, 37), (4, 1, 3, 3), {}),
    "windows of many small images": ((41, 2, 6, 7), (3, 2, 4, 4), {}),
    "more taps than a task": ((2, 50, 5, 5), (3, 50, 3, 3), dict(padding=1)),
    "one by one": ((3, 7, 5, 9), (11, 7, 1, 1), {}),
    "as wide as the image": ((2, 3, 9, 4), (5, 3, 2, 4), {}),
    "strides": ((2, 3, 17, 19), (5, 3, 3, 3), dict(stride=(3, 2))),
    "stride over the kernel": ((2, 3, 17, 19), (5, 3, 2, 2), dict(stride=(3, 4))),
    "dilation": ((2, 3, 17, 19), (5, 3, 3, 3), dict(dilation=(2, 3))),
    "all at once": ((2, 6, 17, 19), (10, 3, 3, 3), dict(stride=(2, 3), dilation=(3, 2), groups=2, padding=2)),
    "asymmetric padding": ((2, 3, 9, 11), (5, 3, 3, 4), dict(padding=((0, 2), (3, 1)), stride=(1, 2))),
    "groups": ((2, 6, 9, 8), (12, 2, 3, 3), dict(groups=3, padding=1)),
    "a channel a group": ((2, 7, 9, 8), (7, 1, 3, 3), dict(groups=7)),
}
TRANSPOSED = {
    "plain": ((2, 3, 5, 7), (3, 4, 3, 3), {}),
    "stride": ((2, 6, 5, 7), (6, 2, 4, 3), dict(stride=2, padding=1, output_padding=1, groups=2)),
    "dilation": ((1, 3, 5, 7), (3, 20, 3, 2), dict(dilation=(2, 3), stride=(2, 1))),
}


def arrays(*shapes, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def results(backend, function, *inputs, **options):
    """The output, and the gradients of all inputs."""
    with zh.use_backend(backend):
        tensors = [zh.Tensor(x, requires_grad=True) for x in inputs]
        y = function(*tensors, **options)
        y.backward(np.random.default_rng(1).standard_normal(y.shape).astype(y.dtype))
    return [y.data] + [x.grad for x in tensors]


def same(function, *inputs, tolerance=EXACT, **options):
    for ours, wanted in zip(*(results(backend, function, *inputs, **options) for backend in ("numba", "numpy"))):
        assert ours.dtype == wanted.dtype and ours.shape == wanted.shape
        np.testing.assert_allclose(ours, wanted, **tolerance)


@pytest.fixture
def no_numpy_form(monkeypatch):
    """Only kernels: a rule of NumPy's in their place fails."""

    def replace(*operations):
        for operation in operations:
            monkeypatch.setattr(operation, "forward", lambda **_: pytest.fail("the kernel declined"))
            monkeypatch.setattr(operation, "rule", lambda grad: pytest.fail("the kernel of the gradient declined"))

    return replace


# ---- convolution ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_convolution_gives_numpys_numbers_and_gradients(case):
    x, weight, options = CASES[case]
    same(zh.conv2d, *arrays(x, weight, weight[:1]), **options)
    same(zh.conv2d, *arrays(x, weight, weight[:1], dtype=np.float32), tolerance=SINGLE, **options)


@pytest.mark.parametrize("case", TRANSPOSED)
def test_transposed_convolution_gives_numpys_numbers_and_gradients(case):
    x, weight, options = TRANSPOSED[case]
    filters = weight[1] * options.get("groups", 1)
    same(zh.conv_transpose2d, *arrays(x, weight, (filters,)), **options)


def test_the_kernels_are_what_runs(no_numpy_form):
    x, weight = arrays((2, 3, 9, 9), (4, 3, 3, 3))
    wanted = results("numpy", zh.conv2d, x, weight)
    zh.use_backend("numpy")
    no_numpy_form(zh.conv2d)
    with pytest.raises(pytest.fail.Exception):
        results("numpy", zh.conv2d, x, weight)
    for ours, theirs in zip(results("numba", zh.conv2d, x, weight), wanted):
        np.testing.assert_allclose(ours, theirs, **EXACT)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_number_beyond_the_end_of_an_array_is_used(dtype):
    """Registers are read and written whole: what lies around x, weight and grad must not matter, nor change."""
    shapes = (2, 3, 7, 9), (5, 3, 3, 3)
    inputs = arrays(*shapes, dtype=dtype)
    amid = []
    for x in inputs:
        room = np.full(x.size + 64, np.nan, dtype)
        room[32:-32] = x.ravel()
        amid.append(room[32:-32].reshape(x.shape))
    for ours, wanted in zip(results("numba", zh.conv2d, *amid), results("numba", zh.conv2d, *inputs)):
        np.testing.assert_array_equal(ours, wanted)
    for x in amid:
        assert np.isnan(x.base.base[:32] if x.base.base is not None else x.base[:32]).all()


@pytest.mark.parametrize("layout", ["strided", "column major", "read-only"])
def test_the_layout_of_inputs_does_not_matter_to_a_bit(layout):
    x, weight, bias = arrays((3, 4, 9, 11), (6, 4, 3, 3), (6,), dtype=np.float32)
    wanted = results("numba", zh.conv2d, x, weight, bias, padding=1)
    given = []
    for each in (x, weight, bias):
        if layout == "strided":
            larger = np.zeros([2 * n for n in each.shape], each.dtype)
            other = larger[tuple(slice(None, None, 2) for _ in each.shape)]
            other[...] = each
        else:
            other = np.array(each, order="F" if layout == "column major" else "C")
            other.flags.writeable = layout != "read-only"
        given.append(other)
    for ours, theirs in zip(results("numba", zh.conv2d, *given, padding=1), wanted):
        np.testing.assert_array_equal(ours, theirs)


def test_nothing_and_mixtures_of_dtypes_are_left_to_numpy():
    x, weight = arrays((2, 3, 7, 9), (5, 3, 3, 3))
    same(zh.conv2d, x[:0], weight)
    same(zh.conv2d, x.astype(np.float32), weight)


def test_infinity_and_nan_stay_where_they_are_seen():
    x, weight = arrays((1, 2, 12, 12), (3, 2, 3, 3))
    x[0, 1, 5, 6], x[0, 0, 0, 0] = np.nan, np.inf
    with zh.use_backend("numba"):
        ours = zh.conv2d(x, weight)
    np.testing.assert_array_equal(np.isfinite(ours), np.isfinite(zh.conv2d(x, weight)))


# ---- threads ----------------------------------------------------------------------------------------------

THREADS = """
    import sys, threading
    import numba, numpy as np
    import zerohero as zh
    sys.path.insert(0, sys.argv[1])
    from test_kernels_convolution import CASES, arrays, results
    assert numba.config.NUMBA_NUM_THREADS == 7
    for name in ("odd", "windows of many small images", "all at once", "filters over a tile"):
        x, weight, options = CASES[name]
        inputs = arrays(x, weight, weight[:1], dtype=np.float32)
        found = []
        for threads in (1, 2, 7, 7):
            numba.set_num_threads(threads)
            found.append(results("numba", zh.conv2d, *inputs, **options))
        for others in found[1:]:
            for one, other in zip(found[0], others):
                np.testing.assert_array_equal(one, other)
        at_once = [None] * 4
        def run(i):
            at_once[i] = results("numba", zh.conv2d, *inputs, **options)
        several = [threading.Thread(target=run, args=(i,)) for i in range(4)]
        [each.start() for each in several]
        [each.join() for each in several]
        for others in at_once:
            for one, other in zip(found[0], others):
                np.testing.assert_array_equal(one, other)
    print("the same bits")
"""


def test_any_number_of_threads_gives_the_same_bits_and_several_may_call_at_once():
    command = [sys.executable, "-c", textwrap.dedent(THREADS), os.path.dirname(__file__)]
    environment = os.environ | {"NUMBA_NUM_THREADS": "7"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "the same bits\n"


# ---- the others -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_give_numpys_numbers_and_gradients(no_numpy_form, dtype):
    (x,) = arrays((5, 3, 37, 61), dtype=dtype)  # more than a block, and an odd number
    x[0, 0, 0, :3] = 0, np.nan, -np.inf
    wanted = [results("numpy", zh.relu, x), results("numpy", zh.leaky_relu, x, slope=0.3)]
    no_numpy_form(zh.relu, zh.leaky_relu)
    found = [results("numba", zh.relu, x), results("numba", zh.leaky_relu, x, slope=0.3)]
    for ours, theirs in zip(found, wanted):
        for one, other in zip(ours, theirs):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_gives_numpys_numbers_gradients_and_running_statistics(no_numpy_form, training, affine):
    inputs = arrays((6, 5, 7, 3), (5,), (5,))[: 3 if affine else 1]
    found = {}
    for backend in ("numpy", "numba"):
        running = np.arange(5.0), np.arange(1.0, 6.0)
        options = dict(running_mean=running[0], running_var=running[1], training=training)
        found[backend] = results(backend, zh.batch_norm, *inputs, **options) + list(running)
        no_numpy_form(zh.batch_norm)
    for ours, wanted in zip(found["numba"], found["numpy"]):
        np.testing.assert_allclose(ours, wanted, **EXACT)


def test_a_mean_far_from_zero_costs_batch_norm_no_digits():
    (x,) = arrays((16, 2, 25, 25), dtype=np.float32)
    with zh.use_backend("numba"):
        y = zh.batch_norm(x + np.float32(1000), training=True)
    np.testing.assert_allclose(y.std((0, 2, 3)), 1, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        dict(kernel_size=2),
        dict(kernel_size=3, stride=2, padding=1),
        dict(kernel_size=(3, 2), stride=(1, 3), dilation=(2, 1), padding=((2, 1), (0, 1))),
        dict(kernel_size=3, stride=2, ceil_mode=True),
        dict(kernel_size=2, stride=1, padding=1, dilation=3),
    ],
)
def test_max_pooling_gives_numpys_winners(no_numpy_form, options):
    (x,) = arrays((3, 2, 10, 12))
    x[0, 0, 2:5, 3:6], x[1, 1], x[2, 0, 4, 4] = 7.0, -np.inf, np.nan  # equal numbers, no winner, a NaN
    wanted = results("numpy", zh.max_pool2d, x, **options)
    no_numpy_form(zh.max_pool2d)
    for ours, theirs in zip(results("numba", zh.max_pool2d, x, **options), wanted):
        np.testing.assert_allclose(ours, theirs, **EXACT)
