"""Shapes, options and memory layouts that nobody thought of: forward and gradient against PyTorch, on every backend."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import zerohero as zh
from tests.against_torch import _column_major, _read_only, _strided
from tests.random_cases import CASES, OPERATIONS, REFUSALS, WITHOUT_GRADIENT, every_operation

# Against PyTorch in float64, whatever our dtype: relative to the largest number of the array.
TOLERANCE = {np.float64: 1e-9, np.float32: 3e-4}


def _as_it_is(array):
    return array


def _repeated(array):
    """The first row again and again, by a step of 0 bytes: read-only, and no two rows apart in memory."""
    return np.broadcast_to(array[:1], array.shape) if array.ndim else array


LAYOUTS = [_as_it_is, _strided, _column_major, _read_only, _repeated]


def check(name, data):
    ours, theirs, arrays = data.draw(CASES[name]())
    dtype, layout = data.draw(st.sampled_from(list(TOLERANCE))), data.draw(st.sampled_from(LAYOUTS))
    arrays = [None if a is None else layout(np.asarray(a).astype(dtype)) for a in arrays]
    before = [None if a is None else a.copy() for a in arrays]
    values, weights, gradients = of_pytorch(theirs, arrays)
    for backend in zh.available_backends():
        with zh.use_backend(backend):
            same(ours(*arrays), values, f"values, {backend}", dtype)
            tensors = [None if a is None else zh.Tensor(a, requires_grad=True) for a in arrays]
            result = ours(*tensors)
            same(result.data, values, f"values of Tensors, {backend}", dtype)
            result.backward(weights.astype(dtype))
        for position, (tensor, wanted) in enumerate(zip(tensors, gradients)):
            if tensor is not None:
                same(tensor.grad, wanted, f"gradient of input {position}, {backend}", dtype)
    for position, (now, then) in enumerate(zip(arrays, before)):
        assert now is None or np.array_equal(now, then), f"input {position} was changed"


def of_pytorch(theirs, arrays):
    """Values, weights for the gradient, and gradients of all inputs, in float64."""
    inputs = [None if a is None else torch.tensor(a.astype(np.float64, order="C"), requires_grad=True) for a in arrays]
    values = theirs(*inputs)
    weights = np.random.default_rng(1).standard_normal(values.shape).astype(np.float32).astype(np.float64)
    values.backward(torch.tensor(weights))
    gradients = [None if i is None else torch.zeros_like(i) if i.grad is None else i.grad for i in inputs]
    return values.detach().numpy(), weights, [None if g is None else g.numpy() for g in gradients]


def same(got, wanted, what, dtype):
    assert got is not None, f"{what}: there is none"
    assert got.shape == wanted.shape, f"{what}: shape {got.shape}, but PyTorch has {wanted.shape}"
    assert got.dtype == dtype, f"{what}: dtype {got.dtype}, but the inputs have {dtype.__name__}"
    most = TOLERANCE[dtype] * max(1.0, float(np.abs(wanted).max(initial=0.0)))
    worst = np.abs(got - wanted).max(initial=0.0)
    assert worst <= most, f"{what}: differ by {worst:.2g}, more than {most:.2g}:\n{got}\nPyTorch has\n{wanted}"


def test_every_operation_has_a_case():
    assert every_operation() == {name for names in OPERATIONS.values() for name in names} | WITHOUT_GRADIENT


every_case = pytest.mark.parametrize("name", CASES)
unhurried = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


@every_case
@settings(max_examples=40, suppress_health_check=unhurried)
@given(data=st.data())
def test_whatever_the_shape_it_is_what_pytorch_gives(name, data):
    check(name, data)


@pytest.mark.slow
@every_case
@seed(20261128)
@settings(max_examples=800, suppress_health_check=unhurried, derandomize=False, database=None)
@given(data=st.data())
def test_whatever_the_shape_it_is_what_pytorch_gives_searched_long(name, data):
    check(name, data)


# ---- what PyTorch refuses is refused ---------------------------------------------------------------------

OURS = (ValueError, TypeError, IndexError)  # in one sentence that begins with the operation's name
THEIRS = (RuntimeError, ValueError, TypeError, IndexError)


def check_refusal(name, data):
    ours, theirs, arrays, why = data.draw(REFUSALS[name]())
    try:
        expected = theirs(*[torch.tensor(a) for a in arrays]).numpy()
    except THEIRS:
        expected = None
    for backend in zh.available_backends():
        with zh.use_backend(backend):
            try:
                got = ours(*arrays)
            except OURS as error:
                assert expected is None or why, f"refused ({error}), but PyTorch takes it"
                assert ": " in str(error) and "\n" not in str(error)
            else:
                assert expected is not None or why, f"PyTorch refuses what gave a result of shape {got.shape}"
                if expected is not None:
                    same(got, expected, f"values, {backend}", np.float64)


every_refusal = pytest.mark.parametrize("name", REFUSALS)


@every_refusal
@settings(max_examples=40, suppress_health_check=unhurried)
@given(data=st.data())
def test_what_pytorch_refuses_is_refused(name, data):
    check_refusal(name, data)


@pytest.mark.slow
@every_refusal
@seed(20261128)
@settings(max_examples=800, suppress_health_check=unhurried, derandomize=False, database=None)
@given(data=st.data())
def test_what_pytorch_refuses_is_refused_searched_long(name, data):
    check_refusal(name, data)
