"""The numba kernels of the capsule layer and of Adam: NumPy's numbers, whatever the sizes, threads and layouts."""

import importlib.util
import itertools
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import zerohero as zh
from zerohero import optim
from zerohero.nn import Parameter

pytestmark = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is not installed")

SIZES = {  # (N, I, P, J, Q)
    "one of each": (1, 1, 1, 1, 1),
    "odd": (7, 5, 3, 3, 5),
    "one output capsule": (3, 9, 5, 1, 4),
    "one input capsule": (4, 1, 8, 3, 2),
    "long capsules": (2, 19, 17, 2, 16),
    "two numbers over eight": (2, 6, 10, 3, 9),
    "the paper's, with fewer inputs": (3, 50, 8, 10, 16),
    "a tile and a bit": (17, 21, 8, 3, 4),
    "two blocks and a bit": (131, 17, 4, 2, 3),
    "many shares": (2, 201, 2, 2, 2),
}
MODES = list(itertools.product((1, 2, 3, 5), (False, True), (False, True)))  # iterations, with_bias, stop_gradient
EXACT = dict(rtol=1e-10, atol=1e-10)


def layer(sizes, dtype=np.float64, seed=0):
    """u, weight and bias, and a gradient of the outputs."""
    n, i, p, j, q = sizes
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in ((n, i, p), (i, p, j, q), (j, q), (n, j, q))]


def results(backend, u, weight, bias, grad, **options):
    """The outputs, and the gradients of all inputs."""
    with zh.use_backend(backend):
        tensors = [None if x is None else zh.Tensor(x, requires_grad=True) for x in (u, weight, bias)]
        v = zh.capsule_layer(*tensors, **options)
        v.backward(grad)
    return [v.data] + [x.grad for x in tensors if x is not None]


def same(ours, wanted, **tolerance):
    assert len(ours) == len(wanted)
    for name, a, b in zip(("outputs", "gradient of u", "of weight", "of bias"), ours, wanted):
        assert a.dtype == b.dtype and a.shape == b.shape, name
        np.testing.assert_allclose(a, b, err_msg=name, **tolerance)


# ---- the capsule layer ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", SIZES)
def test_the_kernels_give_numpys_numbers_in_every_mode(sizes):
    u, weight, bias, grad = layer(SIZES[sizes])
    for iterations, with_bias, stop_gradient in MODES:
        given = u, weight, bias if with_bias else None, grad
        options = dict(iterations=iterations, stop_gradient=stop_gradient)
        same(results("numba", *given, **options), results("numpy", *given, **options), **EXACT)


@pytest.mark.parametrize("stop_gradient", [False, True])
def test_in_float32_the_kernels_are_as_near_to_float64_as_numpy_is(stop_gradient):
    exact = layer((20, 150, 8, 10, 16))
    exact[1] *= 0.2
    single = [x.astype(np.float32) for x in exact]
    wanted = results("numpy", *(x.astype(np.float64) for x in single), stop_gradient=stop_gradient)
    for ours, theirs, right in zip(
        *(results(backend, *single, stop_gradient=stop_gradient) for backend in ("numba", "numpy")), wanted
    ):
        assert ours.dtype == np.float32
        assert np.abs(ours - right).max() < 2 * np.abs(theirs - right).max() + 1e-6 * np.abs(right).max()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_case_is_declined_but_a_mixture_and_an_empty_batch(dtype):
    kernel = zh.capsule_layer.kernels.get("numba")
    if kernel is None:
        with zh.use_backend("numba"):
            kernel = zh.capsule_layer.kernels["numba"]
    u, weight, bias, grad = layer((2, 3, 4, 5, 6), dtype)
    settings = dict(iterations=3, stop_gradient=False, save=None)
    assert kernel(u, weight, bias, **settings) is not NotImplemented
    other = np.float64 if dtype == np.float32 else np.float32
    assert kernel(u, weight.astype(other), bias, **settings) is NotImplemented
    assert kernel(u[:0], weight, bias, **settings) is NotImplemented


def test_a_mixture_of_dtypes_and_an_empty_batch_are_left_to_numpy():
    u, weight, bias, grad = layer((3, 4, 2, 3, 5))
    for given in ((u.astype(np.float32), weight, bias, grad), (u[:0], weight, bias, grad[:0])):
        same(results("numba", *given), results("numpy", *given), rtol=1e-6, atol=1e-6)


def test_only_the_gradients_that_are_wanted_are_made():
    u, weight, bias, grad = layer((3, 40, 8, 3, 5))
    wanted = results("numpy", u, weight, bias, grad)
    for position in range(3):
        given = [u, weight, bias]
        given[position] = zh.Tensor(given[position], requires_grad=True)
        with zh.use_backend("numba"):
            zh.capsule_layer(*given).backward(grad)
        np.testing.assert_allclose(given[position].grad, wanted[position + 1], **EXACT)


def test_an_examples_output_is_the_same_bits_alone_and_among_others():
    u, weight, bias, _ = layer((35, 60, 8, 10, 16), np.float32)
    with zh.use_backend("numba"):
        together = zh.capsule_layer(u, weight, bias)
        for n in (0, 15, 16, 34):
            assert (zh.capsule_layer(u[n : n + 1], weight, bias)[0] == together[n]).all()


def test_nan_in_an_example_stays_there():
    u, weight, bias, grad = layer((20, 30, 8, 3, 5))
    u[4, 7, 1] = np.nan
    v, d_u = results("numba", u, weight, bias, grad)[:2]
    others = np.arange(20) != 4
    assert np.isnan(v[4]).all()
    assert np.isfinite(v[others]).all() and np.isfinite(d_u[others]).all()


def test_saturated_couplings_are_numpys():
    u, weight, bias, grad = layer((3, 30, 8, 4, 5))
    given = u, 1000 * weight, bias, grad
    ours, wanted = results("numba", *given), results("numpy", *given)
    same(ours, wanted, rtol=1e-8, atol=1e-8 * max(np.abs(w).max() for w in wanted))


def test_zero_votes_have_no_nan_gradient():
    u, weight, _, grad = layer((2, 5, 3, 4, 3))
    for result in results("numba", 0 * u, weight, None, grad):
        assert np.isfinite(result).all()
    assert (results("numba", 0 * u, weight, None, grad)[0] == 0).all()


def test_strided_and_read_only_arrays_are_read_and_left_as_they_are():
    given = layer((3, 9, 8, 4, 5))
    wanted = results("numpy", *given)
    strided = [np.repeat(x, 2, axis=-1)[..., ::2] for x in given]
    read_only = [x.copy() for x in given]
    for x in read_only:
        x.flags.writeable = False
    for laid_out in (strided, read_only, [np.asfortranarray(x) for x in given]):
        before = [x.copy() for x in laid_out]
        same(results("numba", *laid_out), wanted, **EXACT)
        assert all((x == y).all() for x, y in zip(laid_out, before))


@pytest.mark.parametrize("dtype,most", [(np.float32, 2e-7), (np.float64, 2e-14)])
def test_the_exponential_in_lanes_is_exact_to_rounding_and_keeps_nan(dtype, most):
    import numba

    from zerohero.kernels.numba_cpu.lanes import empty_lanes, exponential, in_lanes

    @numba.njit
    def each(x, y):
        x, y = in_lanes(x), in_lanes(y)
        for k in range(len(x)):
            y[k] = exponential(x[k])

    x = empty_lanes((2000,), dtype)
    y = np.empty_like(x)
    x[:] = -np.geomspace(1e-6, 80, x.size).reshape(x.shape)
    x[0, 0], x[0, 1], x[0, 2] = 0, -np.inf, np.nan
    each(x, y)
    assert y[0, 0] == 1 and 0 <= y[0, 1] < 1e-37 and np.isnan(y[0, 2])
    np.testing.assert_allclose(y[1:], np.exp(x[1:].astype(np.float64)), rtol=most)


# ---- threads, processes and memory ------------------------------------------------------------------------

SETTING = """
    import hashlib, os, sys, threading
    import numpy as np
    import numba
    import zerohero as zh
    zh.use_backend("numba")
    rng = np.random.default_rng(0)

    def layer(n, i, p, j, q):
        shapes = (n, i, p), (i, p, j, q), (j, q), (n, j, q)
        return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]

    def results(u, weight, bias, grad):
        tensors = [zh.Tensor(x, requires_grad=True) for x in (u, weight, bias)]
        v = zh.capsule_layer(*tensors)
        v.backward(grad)
        return [v.data] + [x.grad for x in tensors]

    def mark(arrays):
        return hashlib.sha256(b"".join(x.tobytes() for x in arrays)).hexdigest()
"""


def run(script, **environment):
    command = [sys.executable, "-c", textwrap.dedent(SETTING) + textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ | environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_any_number_of_threads_gives_the_same_bits():
    marks = run(
        """
        given = layer(70, 90, 8, 5, 16)
        w = zh.nn.Parameter(np.ones((300, 70), np.float32))
        for threads in (1, 2, 7, 7, 1):
            numba.set_num_threads(threads)
            w = zh.nn.Parameter(np.ones((300, 70), np.float32))
            adam = zh.optim.Adam([w])
            for step in range(3):
                w.grad = np.sin(np.arange(21000, dtype=np.float32) + step).reshape(300, 70)
                adam.step()
            print(mark(results(*given)), mark([w.data]))
        """,
        NUMBA_NUM_THREADS="7",
    )
    assert len(marks) == 10 and len(set(marks)) == 2


def test_two_python_threads_may_call_at_once_and_a_forked_process_after_use():
    marks = run(
        """
        given = layer(40, 60, 8, 5, 16)
        wanted = mark(results(*given))
        found = []

        def call():
            with zh.use_backend("numba"):
                found.extend(mark(results(*given)) for _ in range(5))

        threads = [threading.Thread(target=call) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == 15 * [wanted], found
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            os._exit(0 if mark(results(*given)) == wanted else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert mark(results(*given)) == wanted
        print("done")
        """,
        NUMBA_NUM_THREADS="2",
    )
    assert marks == ["done"]


MEMORY = """
    import tracemalloc

    def kilobytes(what):
        return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(what))

    results(*layer(1, 16, 8, 10, 16))  # compiled, or read from disk
    given = layer(128, 1152, 8, 10, 16)
    zh.use_backend(sys.argv[1] if len(sys.argv) > 1 else BACKEND)
    tracemalloc.start()
    open("/proc/self/clear_refs", "w").write("5")  # forget the peak
    before, started = kilobytes("VmRSS"), tracemalloc.get_traced_memory()[0]
    made = results(*given)
    resident = 1024 * (kilobytes("VmHWM") - before)
    traced = tracemalloc.get_traced_memory()[1] - started
    made = sum(x.nbytes for x in made)
    print((resident - made) / 1e6, (traced - made) / 1e6)
"""


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux to see the peak of memory")
def test_forward_and_backward_of_128_digits_need_less_than_40_megabytes():
    resident, traced = map(float, run('BACKEND = "numba"' + MEMORY.replace("\n    ", "\n"), NUMBA_NUM_THREADS="2"))
    assert resident < 40 and traced < 40, f"{resident:.0f} MB resident, {traced:.0f} MB traced"
    assert traced > 5  # the measurement sees something
    resident, traced = map(float, run('BACKEND = "numpy"' + MEMORY.replace("\n    ", "\n")))
    assert resident > 94 and traced > 94  # and with NumPy at least the votes


# ---- Adam -------------------------------------------------------------------------------------------------

ADAM = [{}, {"betas": (0.5, 0.9)}, {"eps": 0.1}, {"weight_decay": 0.1}, {"weight_decay": 0.1, "decoupled": True}]


def walk(backend, settings, steps=6, dtype=np.float32, resume=None):
    """Parameters after some steps; after `resume` of them, with an optimizer that goes on from its saved state."""
    rng = np.random.default_rng(0)
    parameters = [Parameter(rng.standard_normal(shape).astype(dtype)) for shape in ((), (3,), (70, 130))]
    adam = optim.Adam(parameters, lr=0.01, **settings)
    with zh.use_backend(backend):
        for step in range(steps):
            if step == resume:
                saved = adam.state_dict()
                adam = optim.Adam(parameters, lr=0.01, **settings)
                adam.load_state_dict(saved)
            for parameter in parameters:
                parameter.grad = rng.standard_normal(parameter.shape).astype(dtype)
            adam.step()
    return [parameter.data for parameter in parameters]


@pytest.mark.parametrize("settings", ADAM, ids=str)
@pytest.mark.parametrize("dtype,rtol", [(np.float32, 2e-6), (np.float64, 1e-13)])
def test_adam_in_one_pass_takes_numpys_steps(settings, dtype, rtol):
    for ours, wanted in zip(walk("numba", settings, dtype=dtype), walk("numpy", settings, dtype=dtype)):
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours, wanted, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_adam_goes_on_from_its_saved_state_bit_for_bit(backend):
    for unbroken, resumed in zip(walk(backend, {}), walk(backend, {}, resume=3)):
        assert (unbroken == resumed).all()


def test_adam_leaves_gradients_alone_and_takes_strided_parameters():
    gradient = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    changed = {}
    for backend, order in itertools.product(("numpy", "numba"), "CF"):
        parameter = Parameter(np.ones((3, 4), np.float32, order=order))
        parameter.grad = gradient.copy()
        parameter.grad.flags.writeable = False
        with zh.use_backend(backend):
            optim.Adam([parameter], lr=0.1, weight_decay=0.1).step()
        assert (parameter.grad == gradient).all()
        changed[backend, order] = parameter.data
    for each in changed.values():
        np.testing.assert_allclose(each, changed["numpy", "C"], rtol=1e-6)
