"""Holding an operation of ours to PyTorch's: values, gradients at every index, dtypes, and inputs left alone."""

import numpy as np
import torch

import zerohero as zh

torch.set_num_threads(1)

TOLERANCE = {"float32": dict(rtol=1e-4, atol=1e-5), "float64": dict(rtol=1e-9, atol=1e-11)}


def compare(ours, theirs, *inputs, grads=True, differences=True, rtol=None, atol=None, seed=0, **options):
    """Assert that `ours(*arrays, **options)` is what `theirs(*torch_tensors, **options)` is, gradients too.

    Parameters
    ----------
    ours, theirs : callable
        One on arrays and Tensors of this library, one on PyTorch tensors.
    *inputs : shape, array or None
        A shape (tuple) stands for normally distributed numbers; None is passed on as it is.
    grads : bool
        Whether gradients are compared, every entry of every input, and not only values.
    differences : bool
        Whether gradients are held to finite differences, too: two calls an entry.
    rtol, atol : float, optional
        For float64; by default those of `TOLERANCE`. float32 is always compared by `TOLERANCE`.
    **options
        Go to both.
    """
    rng = np.random.default_rng(seed)
    exact = [rng.standard_normal(each) if isinstance(each, tuple) else each for each in inputs]
    exact = [None if each is None else np.asarray(each, np.float64) for each in exact]
    float64 = TOLERANCE["float64"] | {k: v for k, v in dict(rtol=rtol, atol=atol).items() if v is not None}
    for backend in zh.available_backends():
        with zh.use_backend(backend):
            agree(ours, theirs, exact, grads=grads, tolerance=float64, **options)
            agree(ours, theirs, _cast(exact, np.float32), grads=grads, **options)
            _memory_layout_does_not_matter(ours, exact, grads, options)
    if grads and differences:
        given = [i for i, each in enumerate(exact) if each is not None]

        def of_given(*tensors):
            arguments = list(exact)
            for i, tensor in zip(given, tensors):
                arguments[i] = tensor
            return ours(*arguments, **options)

        error = zh.grad_check(of_given, *(exact[i] for i in given))
        assert error < 1e-6, f"the gradients differ from finite differences by {error:.1e}"


def agree(ours, theirs, arrays, *, grads=True, tolerance=None, **options):
    """Assert that `ours` and `theirs` agree on `arrays` as they are, and that ours leaves them as they are."""
    before = [None if each is None else each.copy() for each in arrays]
    torch_inputs = [None if each is None else torch.tensor(each, requires_grad=grads) for each in arrays]
    expected = theirs(*torch_inputs, **options)
    dtype = expected.detach().numpy().dtype
    tolerance = tolerance or TOLERANCE[dtype.name]

    values = ours(*arrays, **options)
    assert isinstance(values, (np.ndarray, np.generic)), f"arrays went in, a {type(values).__name__} came out"
    _same(values, expected.detach().numpy(), "values", tolerance)
    if grads:
        weights = np.random.default_rng(1).standard_normal(expected.shape).astype(dtype)
        expected.backward(torch.tensor(weights))
        tensors, result = _gradients(ours, arrays, weights, options)
        _same(result.numpy(), values, "values of Tensors", dict(rtol=0, atol=0))
        for position, (tensor, other) in enumerate(zip(tensors, torch_inputs)):
            if tensor is not None:
                wanted = np.zeros(tensor.shape, tensor.dtype) if other.grad is None else other.grad.numpy()
                _same(tensor.grad, wanted, f"gradient of input {position}", tolerance)
    for position, (now, then) in enumerate(zip(arrays, before)):
        assert now is None or np.array_equal(now, then, equal_nan=True), f"input {position} was changed"


def _memory_layout_does_not_matter(ours, arrays, grads, options):
    """Strided, reversed and read-only inputs give what contiguous ones give."""
    expected = ours(*arrays, **options)
    for layout in (_strided, _column_major, _read_only):
        laid_out = [None if each is None else layout(each) for each in arrays]
        _same(ours(*laid_out, **options), expected, f"values of {layout.__name__} inputs", TOLERANCE["float64"])
        if grads:
            weights = np.random.default_rng(1).standard_normal(expected.shape)
            for ours_now, ours_then in zip(*(_gradients(ours, a, weights, options)[0] for a in (laid_out, arrays))):
                if ours_now is not None:
                    _same(ours_now.grad, ours_then.grad, f"gradient at {layout.__name__} inputs", TOLERANCE["float64"])


def _gradients(ours, arrays, weights, options):
    """The inputs as Tensors, their `.grad` filled, and the result."""
    tensors = [None if each is None else zh.Tensor(each, requires_grad=True) for each in arrays]
    result = ours(*tensors, **options)
    result.backward(weights)
    return tensors, result


def _same(got, wanted, what, tolerance):
    assert got is not None, f"{what}: there is none"
    assert got.shape == wanted.shape, f"{what}: shape {got.shape}, but PyTorch has {wanted.shape}"
    assert got.dtype == wanted.dtype, f"{what}: dtype {got.dtype}, but PyTorch has {wanted.dtype}"
    np.testing.assert_allclose(got, wanted, err_msg=what, **tolerance)


def _cast(arrays, dtype):
    return [None if each is None else each.astype(dtype) for each in arrays]


def _strided(array):
    """Every other value of a larger array, last axis backwards."""
    larger = np.full([2 * n for n in array.shape], np.nan, array.dtype)
    inside = larger[(..., *[slice(None, None, 2)] * array.ndim)]
    inside = inside[..., ::-1] if array.ndim else inside
    inside[...] = array
    return inside


def _column_major(array):
    return np.array(array, order="F")


def _read_only(array):
    copy = array.copy()
    copy.flags.writeable = False
    return copy
