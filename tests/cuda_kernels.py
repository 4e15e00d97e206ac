"""What every CUDA kernel must do: the same assertions for numba's simulator (`xp` is NumPy) and for a GPU (CuPy).

`python -m tests.cuda_kernels` runs them all in the simulator, and prints a line of JSON for each.
"""

import itertools
import json
import sys
import threading
import time
import traceback

import numpy as np

import zerohero as zh

CHECKS = {}
TOLERANCE = {"float32": dict(rtol=2e-5, atol=2e-6), "float64": dict(rtol=1e-12, atol=1e-13)}
BOTH, ONE = (np.float32, np.float64), (np.float64,)


def check(*cases):
    """Decorator: a check for each case; its arguments after `xp` are the case's."""

    def decorator(function):
        for case in cases or ({},):
            shown = ", ".join(f"{k}={v.__name__ if isinstance(v, type) else v}" for k, v in case.items())
            CHECKS[f"{function.__name__}({shown})"] = lambda xp, case=case: function(xp, **case)
        return function

    return decorator


def each(**choices):
    """All combinations of the choices."""
    return [dict(zip(choices, values)) for values in itertools.product(*choices.values())]


def normal(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def on_host(array):
    return array.get() if hasattr(array, "get") else array


def same(got, wanted, what="values", **tolerance):
    got = on_host(got)
    assert got.shape == wanted.shape, f"{what}: shape {got.shape}, not {wanted.shape}"
    assert got.dtype == wanted.dtype, f"{what}: dtype {got.dtype}, not {wanted.dtype}"
    np.testing.assert_allclose(got, wanted, err_msg=what, **(tolerance or TOLERANCE[wanted.dtype.name]))


def against_definition(xp, operation, arrays, **options):
    """Hold the forward and the gradient kernel of an operation to its NumPy form, in its canonical arguments."""
    forward, backward = operation.kernels["cupy"], operation.rule_kernels["cupy"]
    arguments = operation.bind(arrays, options)
    arguments |= operation.prepare(**arguments)
    moved = {name: xp.asarray(value) if isinstance(value, np.ndarray) else value for name, value in arguments.items()}
    ours, theirs, keeps = {}, {}, operation.saves
    got = forward(**moved, **({"save": ours.update} if keeps else {}))
    wanted = operation.forward(**arguments, **({"save": theirs.update} if keeps else {}))
    same(got, wanted)
    grad = normal(*wanted.shape, dtype=wanted.dtype, seed=1)
    needs = {name for name in operation.input_names if arguments[name] is not None}
    found = _gradients(backward, xp.asarray(grad), moved | ours | {"y": got, "needs": needs})
    expected = _gradients(operation.rule, grad, arguments | theirs | {"y": wanted, "needs": needs})
    for name, ours_now, theirs_now in zip(operation.input_names, found, expected):
        if theirs_now is not None:
            same(ours_now, theirs_now, f"gradient of {name}")
    return ours, theirs


def _gradients(rule, grad, available):
    asked = rule.__code__.co_varnames[1 : rule.__code__.co_argcount]
    result = rule(grad, **{name: available[name] for name in asked})
    return result if isinstance(result, tuple) else (result,)


# ---- convolution ----------------------------------------------------------------------------------------

CONVOLUTIONS = {
    "plain": ((2, 3, 7, 6), (4, 3, 3, 3), {}),
    "one value": ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    "strides differ": ((1, 2, 9, 8), (3, 2, 3, 2), dict(stride=(3, 2))),
    "padding on each side its own": ((2, 1, 5, 6), (2, 1, 3, 4), dict(padding=((0, 2), (3, 1)))),
    "dilation": ((1, 2, 9, 8), (2, 2, 3, 2), dict(dilation=(2, 3), padding=1)),
    "groups": ((2, 4, 5, 5), (6, 2, 3, 3), dict(groups=2, padding=1, stride=2)),
    "no example": ((0, 2, 5, 5), (3, 2, 3, 3), {}),
    "34 × 34": ((1, 1, 34, 34), (1, 1, 5, 5), dict(stride=3)),
}


@check(
    *each(case=CONVOLUTIONS, dtype=ONE, bias=(True,)),
    dict(case="plain", dtype=np.float32, bias=True),
    dict(case="groups", dtype=np.float64, bias=False),
)
def convolution(xp, case, dtype, bias):
    x, weight, options = CONVOLUTIONS[case]
    arrays = normal(*x, dtype=dtype), normal(*weight, dtype=dtype), normal(weight[0], dtype=dtype) if bias else None
    against_definition(xp, zh.conv2d, arrays, **options)


@check()
def convolution_in_parts_of_the_batch(xp):
    from zerohero.kernels.cuda import convolution as module

    whole, module.COLUMN_BYTES = module.COLUMN_BYTES, 2000  # bytes: two of the five examples at a time
    try:
        against_definition(xp, zh.conv2d, (normal(5, 2, 5, 5), normal(3, 2, 3, 3), normal(3)), padding=1, stride=2)
    finally:
        module.COLUMN_BYTES = whole


@check(*each(stride=(1, (2, 3)), groups=(1, 2)))
def transposed_convolution(xp, stride, groups):
    arrays = normal(2, 4, 3, 4), normal(4, 3, 3, 2), normal(3 * groups)
    against_definition(xp, zh.conv_transpose2d, arrays, stride=stride, groups=groups, padding=((1, 0), (0, 1)))


@check(
    *each(case=[name for name in CONVOLUTIONS if name != "no example"], tile=(4,), dtype=ONE),
    dict(case="strides differ", tile=2, dtype=np.float32),
)
def tiled_convolution(xp, case, tile, dtype):
    from zerohero.kernels.cuda.convolution import conv2d_tiled

    x, weight, options = CONVOLUTIONS[case]
    arrays = normal(*x, dtype=dtype), normal(*weight, dtype=dtype), normal(weight[0], dtype=dtype)
    plain = zh.conv2d.bind(arrays, options)
    plain |= zh.conv2d.prepare(**plain)
    settings = {name: plain[name] for name in ("stride", "padding", "dilation")}
    got = conv2d_tiled(*(xp.asarray(array) for array in arrays), **settings, tile=tile)
    same(got, zh.conv2d.forward(**plain))


# ---- pooling --------------------------------------------------------------------------------------------

POOLS = {
    "side by side": ((2, 3, 6, 4), dict(kernel_size=2)),
    "overlapping": ((1, 2, 7, 6), dict(kernel_size=3, stride=2, padding=1)),
    "gaps between windows": ((1, 1, 8, 9), dict(kernel_size=2, stride=(3, 4))),
    "all sides differ": ((1, 1, 7, 9), dict(kernel_size=(3, 2), stride=(2, 3), padding=((1, 0), (0, 1)))),
    "hanging over": ((1, 2, 6, 7), dict(kernel_size=3, stride=2, padding=1, ceil_mode=True)),
    "one value": ((1, 1, 1, 1), dict(kernel_size=1)),
    "no example": ((0, 2, 4, 4), dict(kernel_size=2)),
}


@check(*each(case=POOLS, dtype=ONE), dict(case="overlapping", dtype=np.float32))
def max_pooling(xp, case, dtype):
    shape, options = POOLS[case]
    against_definition(xp, zh.max_pool2d, (normal(*shape, dtype=dtype),), **options)


@check()
def max_pooling_with_dilation(xp):
    against_definition(xp, zh.max_pool2d, (normal(1, 2, 9, 8),), kernel_size=(3, 2), dilation=(2, 3), padding=1)


@check()
def max_pooling_gives_the_first_of_equal_values_the_gradient_and_takes_nan_as_largest(xp):
    x = np.round(normal(1, 2, 8, 8))  # many equal values
    x[0, 0, 2, 3], x[0, 1, 4:6, 4:6], x[0, 1, 0:2, 0:2] = np.nan, np.nan, -np.inf
    ours, theirs = against_definition(xp, zh.max_pool2d, (x,), kernel_size=3, stride=2, padding=1)
    np.testing.assert_array_equal(on_host(ours["argmax"]), theirs["argmax"])


@check(*each(case=POOLS, dtype=ONE, count_include_pad=(True, False)))
def average_pooling(xp, case, dtype, count_include_pad):
    shape, options = POOLS[case]
    options = options | {"count_include_pad": count_include_pad}
    against_definition(xp, zh.avg_pool2d, (normal(*shape, dtype=dtype),), **options)


# ---- capsules -------------------------------------------------------------------------------------------


@check(*each(shape=((3, 4, 5), (7,), (2, 1), (0, 3)), axis=(0, -1), dtype=BOTH))
def squashing(xp, shape, axis, dtype):
    against_definition(xp, zh.squash, (normal(*shape, dtype=dtype),), axis=axis)


@check(*each(dtype=BOTH))
def squashing_zeros_is_exactly_zero(xp, dtype):
    s = normal(3, 4, dtype=dtype)
    s[1] = 0
    ours, grad = zh.squash.kernels["cupy"](xp.asarray(s), 1), xp.asarray(np.ones_like(s))
    assert (on_host(ours)[1] == 0).all()
    assert (on_host(zh.squash.rule_kernels["cupy"](grad, xp.asarray(s), 1))[1] == 0).all()


# (N, I, P, J, Q): tiles of four examples are filled and not, parts of INPUTS input capsules too
LAYERS = ((3, 5, 2, 3, 4), (5, 2, 3, 2, 5), (1, 1, 1, 1, 1), (4, 3, 4, 1, 2), (2, 17, 2, 2, 3))


@check(
    *each(sizes=LAYERS[1:2], iterations=(1, 2, 3), bias=(True, False), stop_gradient=(False, True), dtype=ONE),
    *each(sizes=LAYERS, iterations=(3,), bias=(True,), stop_gradient=(False,), dtype=ONE),
    dict(sizes=LAYERS[0], iterations=5, bias=False, stop_gradient=False, dtype=np.float64),
    dict(sizes=LAYERS[0], iterations=3, bias=True, stop_gradient=True, dtype=np.float32),
)
def capsule_layer(xp, sizes, iterations, bias, stop_gradient, dtype):
    from zerohero.kernels.cuda import capsule as module

    n, i, p, j, q = sizes
    arrays = normal(n, i, p, dtype=dtype), normal(i, p, j, q, dtype=dtype), normal(j, q, dtype=dtype) if bias else None
    whole, module.EXAMPLES = module.EXAMPLES, (4,)
    try:
        against_definition(xp, zh.capsule_layer, arrays, iterations=iterations, stop_gradient=stop_gradient)
    finally:
        module.EXAMPLES = whole


@check(*each(dtype=BOTH))
def capsule_layer_with_votes_so_large_that_exp_would_overflow(xp, dtype):
    from zerohero.kernels.cuda import capsule as module

    arrays = 100 * normal(2, 3, 2, dtype=dtype), 100 * normal(3, 2, 3, 4, dtype=dtype)
    whole, module.EXAMPLES = module.EXAMPLES, (4,)
    try:
        v = zh.capsule_layer.kernels["cupy"](*(xp.asarray(array) for array in arrays), None, 3, False)
    finally:
        module.EXAMPLES = whole
    same(v, zh.capsule_layer.forward(*arrays), rtol=1e-3, atol=1e-4)


@check()
def capsule_layer_declines_what_its_kernels_cannot_take(xp):
    forward, backward = zh.capsule_layer.kernels["cupy"], zh.capsule_layer.rule_kernels["cupy"]
    u, weight, grad, s = (xp.asarray(normal(*shape)) for shape in ((2, 3, 2), (3, 2, 1, 65), (2, 1, 65), (3, 2, 1, 65)))
    assert forward(u, weight, None, 3, False) is NotImplemented  # longer than LONGEST
    assert forward(u, weight[..., :4].astype(np.float32), None, 3, False) is NotImplemented
    assert backward(grad, u, weight, None, s, False) is NotImplemented


# ---- optimizers -----------------------------------------------------------------------------------------


@check(*each(shape=((3, 50), (1,), (0, 2)), dtype=BOTH))
def a_step_of_adam(xp, shape, dtype):
    from zerohero.ops.optim import adam_step

    settings = dict(rate=0.1, betas=(0.9, 0.99), eps=1e-3, decay=0.1, shrink=0.9)
    arrays = [normal(*shape, dtype=dtype, seed=seed) for seed in range(4)]
    arrays[3] = arrays[3] ** 2  # a mean of squares
    arrays[1] = np.asfortranarray(arrays[1])
    moved = [xp.array(array) for array in arrays]
    assert adam_step.kernels["cupy"](*moved, **settings) is None
    adam_step.forward(*arrays, **settings)
    for ours, theirs, name in zip(moved, arrays, ("value", "gradient", "mean", "square")):
        same(ours, theirs, name)


def quicken_simulator():
    """Spare the simulator's time: threads that never meet at a barrier run in turn, and the one that waits sleeps.

    By itself it starts a thread of Python for each thread of a block, and asks in a busy loop whether all have ended.
    """
    from numba.cuda.simulator import kernel as simulator

    in_threads, is_alive = simulator.BlockManager.run, threading.Thread.is_alive

    def run(self, grid_point, *arguments):
        meets = self._f.__closure__ is not None or "syncthreads" in self._f.__code__.co_names
        if meets:  # or may meet: kernels made for their sizes call functions with barriers
            return in_threads(self, grid_point, *arguments)
        this = threading.current_thread()
        this.blockIdx = simulator.Dim3(*grid_point)
        for point in np.ndindex(*self._block_dim):
            this.threadIdx = simulator.Dim3(*point)
            self._f(*arguments)

    def look(thread):
        time.sleep(1e-5)
        return is_alive(thread)

    simulator.BlockManager.run, simulator.BlockThread.is_alive = run, look


def report(checks, device):
    """Run the checks whose names hold the words of the command line, and print what came of each."""
    quicken_simulator()
    for name in [name for name in checks if all(word in name for word in sys.argv[1:])]:
        start, error = time.perf_counter(), None
        try:
            checks[name](device)
        except Exception:
            error = traceback.format_exc()
        print(json.dumps({"name": name, "error": error, "seconds": round(time.perf_counter() - start, 3)}), flush=True)


if __name__ == "__main__":
    from zerohero.kernels.cuda import launching

    launching.THREADS = 32  # the simulator starts each of them, also those beyond the end
    report(CHECKS, np)
