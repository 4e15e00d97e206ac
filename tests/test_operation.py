"""The mechanism: how an operation finds its gradient rule, its kernels, and the form of its arguments."""

import contextvars
import inspect
import threading

import numpy as np
import pytest

import zerohero as zh
from zerohero import operation as mechanism
from zerohero.operation import Operation, operation, unbroadcast


def tensor(*values, dtype=np.float32):
    return zh.Tensor(np.array(values, dtype), requires_grad=True)


@pytest.fixture
def engine(monkeypatch):
    """Register an engine named "fake" that has no kernel yet."""
    monkeypatch.setitem(mechanism.ENGINES, "fake", ("numpy",))
    return "fake"


def cube():
    """Return a new operation x³ with its gradient."""

    @operation
    def cube(x):
        return x**3

    @cube.gradient
    def cube_gradient(grad, x):
        return 3 * grad * x**2

    return cube, cube_gradient


# ---- forward and gradient -------------------------------------------------------------------------------


def test_arrays_in_arrays_out_and_tensors_in_tensors_out():
    op, _ = cube()
    assert isinstance(op(np.ones(2, np.float32)), np.ndarray)
    assert isinstance(op(zh.Tensor([1.0])), zh.Tensor)


def test_the_gradient_rule_is_found_by_the_tape():
    op, _ = cube()
    assert zh.grad_check(op, [1.0, -2.0, 0.5]) < 1e-8


def test_any_object_with_the_operation_method_is_handed_the_call():
    class Recorder:
        @staticmethod
        def __operation__(operation, arguments):
            return operation.name, arguments

    thing = Recorder()
    assert zh.linear(thing, [[1.0]]) == ("linear", dict(x=thing, weight=[[1.0]], bias=None))
    assert zh.linear([[1.0]], [[1.0]], bias=thing)[0] == "linear"
    assert zh.concat([[1.0], thing])[0] == "concat"


def test_an_operation_keeps_its_name_docstring_and_public_signature():
    assert zh.relu.__name__ == "relu"
    assert zh.relu.__doc__.startswith("Rectified linear unit")
    assert str(inspect.signature(zh.linear)) == "(x, weight, bias=None)"
    assert repr(zh.linear) == "<operation linear(x, weight, bias=None)>"


def test_arguments_that_fit_no_signature_are_named_with_the_signature():
    with pytest.raises(TypeError, match=r"^linear: missing a required argument: 'weight'; it takes linear\(x, weight"):
        zh.linear([1.0])
    with pytest.raises(TypeError, match=r"^conv2d: got an unexpected keyword argument 'strides'; it takes conv2d"):
        zh.conv2d([[1.0]], [[1.0]], strides=2)


def test_a_rule_gets_by_name_exactly_what_it_asks_for():
    seen = {}

    @operation(inputs=2)
    def scaled(x, weight, factor=3.0, *, save=None):
        if save:
            save(secret="kept")
        return factor * x * weight

    @scaled.gradient
    def scaled_gradient(grad, y, weight, factor, secret, needs):
        seen.update(y=y, weight=weight, factor=factor, secret=secret, needs=needs)
        return factor * grad * weight, None

    x = tensor(1, 2)
    result = scaled(x, [5, 7])
    assert set(result.node.call.kept) == {"y", "weight", "factor", "secret", "needs"}  # and not x
    result.sum().backward()
    np.testing.assert_array_equal(x.grad, [15, 21])
    np.testing.assert_array_equal(seen["y"], [15, 42])
    assert (seen["factor"], seen["secret"], seen["needs"]) == (3.0, "kept", frozenset({"x"}))


def test_a_rule_that_asks_for_something_unknown_says_so_at_the_call():
    @operation
    def op(x):
        return x + 0

    @op.gradient
    def op_gradient(grad, argmax):
        return grad

    assert op([1.0]) == 1  # nobody wants a gradient
    with pytest.raises(TypeError, match=r"op: its gradient rule asks for \['argmax'\], which nothing provides"):
        op(tensor(1))


def test_needs_names_the_inputs_that_want_a_gradient():
    seen = []

    @operation(inputs=3)
    def op(x, weight, bias=None):
        return x * weight

    @op.gradient
    def op_gradient(grad, needs):
        seen.append(needs)
        return grad, grad, None

    op(tensor(1), zh.Tensor([1.0])).backward()
    op(zh.Tensor([1.0]), tensor(1), zh.Tensor([1.0])).backward()
    op(tensor(1), tensor(1)).backward()
    assert seen == [{"x"}, {"weight"}, {"x", "weight"}]


def test_an_input_whose_gradient_is_none_is_left_without_one():
    @operation(inputs=2)
    def op(x, weight):
        return x + 0 * weight

    @op.gradient
    def op_gradient(grad):
        return grad, None

    x, weight = tensor(1), tensor(1)
    op(x, weight).backward()
    assert x.grad == 1
    assert weight.grad is None


def test_one_gradient_too_few_is_an_error_and_not_a_zero():
    @operation(inputs=2)
    def op(x, weight):
        return x * weight

    @op.gradient
    def op_gradient(grad):
        return grad

    with pytest.raises(ValueError, match=r"op: the gradient rule gave 1 gradients for 2 inputs \(x, weight\)"):
        op(tensor(1), tensor(1)).backward()


@pytest.mark.parametrize("elementwise", [False, True])
@pytest.mark.parametrize("wrong", [(4,), (3, 1), (1, 1, 1), ()])
def test_a_gradient_of_the_wrong_shape_is_an_error_that_names_the_input(elementwise, wrong):
    @operation(elementwise=elementwise)
    def op(x):
        return x + 0

    @op.gradient
    def op_gradient(grad):
        return np.ones(wrong)

    with pytest.raises(ValueError, match=r"op: the gradient rule gave x a gradient of shape .* but x has shape \(3,\)"):
        op(tensor(1, 2, 3)).sum().backward()


def test_an_operation_without_a_rule_refuses_a_tensor_that_wants_a_gradient():
    @operation
    def rounded(x):
        return np.round(x)

    assert rounded(zh.Tensor([1.6])).data == 2
    with pytest.raises(TypeError, match="rounded: x has no gradient here"):
        rounded(tensor(1.6))


def test_a_tensor_that_requires_a_gradient_where_there_is_none_is_named():
    with pytest.raises(TypeError, match=r"batch_norm: running_mean has no gradient here.*running_mean\.detach\(\)"):
        zh.batch_norm(np.ones((2, 1)), None, None, tensor(0), np.ones(1))
    with pytest.raises(TypeError, match="cross_entropy: labels has no gradient"):
        zh.cross_entropy([[1.0, 2.0]], tensor(1))
    with pytest.raises(TypeError, match="leaky_relu: slope has no gradient"):
        zh.leaky_relu([1.0], tensor(1))


def test_without_recording_nothing_is_saved_and_no_rule_is_asked():
    saved = []

    @operation
    def op(x, *, save=None):
        saved.append(save)
        return x + 0

    @op.gradient
    def op_gradient(grad):
        return grad

    op([1.0])
    op(zh.Tensor([1.0]))
    with zh.no_grad():
        op(tensor(1))
    assert saved == [None, None, None]
    op(tensor(1))
    assert callable(saved[-1])


def test_save_is_no_public_argument():
    with pytest.raises(TypeError, match="unexpected keyword argument 'save'"):
        zh.max_pool2d([[1.0]], 1, save=print)


# ---- lists, tuples, shapes ------------------------------------------------------------------------------


def pair_of():
    @operation
    def halves(x):
        return x[:2] * 2, x[2:] * 3

    @halves.gradient
    def halves_gradient(grad):
        first, second = grad
        return np.concatenate([2 * first, 3 * second])

    return halves


def test_every_output_of_a_tuple_can_be_differentiated():
    halves = pair_of()
    first, second = halves(np.arange(5, dtype=np.float32))
    np.testing.assert_array_equal(second, [6, 9, 12])
    assert zh.grad_check(halves, np.arange(5)) < 1e-8


@pytest.mark.parametrize("used, expected", [(0, [2, 2, 0, 0, 0]), (1, [0, 0, 3, 3, 3])])
def test_the_output_of_a_tuple_that_nobody_used_gets_a_gradient_of_zeros(used, expected):
    x = tensor(1, 2, 3, 4, 5)
    pair_of()(x)[used].sum().backward()
    np.testing.assert_array_equal(x.grad, expected)
    assert x.grad.dtype == np.float32


def test_a_list_gets_a_list_of_gradients():
    parts = [tensor(1, 2), zh.Tensor([3.0]), tensor(4)]
    zh.concat(parts).backward([10, 20, 30, 40])
    np.testing.assert_array_equal(parts[0].grad, [10, 20])
    np.testing.assert_array_equal(parts[2].grad, [40])


def test_a_list_of_gradients_of_the_wrong_shapes_is_an_error():
    @operation(sequence=True)
    def total(arrays):
        return arrays[0] + arrays[1]

    @total.gradient
    def total_gradient(grad):
        return [grad, grad[:1]]

    with pytest.raises(ValueError, match="total: the gradient rule gave arrays a gradient of shape"):
        total([tensor(1, 2), tensor(3, 4)]).sum().backward()


def test_a_list_that_holds_a_tensor_is_refused_where_one_array_is_needed():
    with pytest.raises(TypeError, match=r"relu: x is a list that holds a Tensor; .* concat"):
        zh.relu([tensor(1, 2)])
    with pytest.raises(TypeError, match="linear: weight is a tuple that holds a Tensor"):
        zh.linear([1.0], (tensor(1),))


def added_axes():
    @operation(inputs=2, prepare=lambda x, weight: dict(x=x.reshape((1,) * (3 - x.ndim) + x.shape)))
    def op(x, weight):
        assert x.ndim == 3
        return x * weight

    @op.gradient
    def op_gradient(grad, x, weight):
        assert grad.ndim == 3
        return grad * weight, (grad * x).sum()

    return op


@pytest.mark.parametrize("shape", [(3,), (2, 3), (4, 2, 3)])
def test_axes_that_prepare_adds_are_taken_off_outputs_and_gradients(shape, rng):
    op, x = added_axes(), rng.standard_normal(shape)
    assert op(x, 2.0).shape == shape
    assert zh.grad_check(op, x, 2.0) < 1e-8


def test_prepare_runs_once_and_kernels_see_what_it_returns(engine):
    seen = []

    def prepare(x, size):
        seen.append(size)
        return dict(size=(size, size))

    @operation(prepare=prepare)
    def op(x, size=2):
        return x + 0

    @op.kernel(engine)
    def op_fake(x, size):
        seen.append(size)
        return x + 0

    @op.gradient
    def op_gradient(grad, size):
        seen.append(size)
        return grad

    with zh.use_backend(engine):
        op(tensor(1), size=3).backward()
    assert seen == [3, (3, 3), (3, 3)]


@pytest.mark.parametrize(
    "grad, shape",
    [((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 3), (1, 3)), ((4, 2, 3), (2, 1)), ((2, 3), ()), ((0, 3), (1, 3))],
)
def test_unbroadcast_sums_over_the_axes_that_broadcasting_stretched(grad, shape):
    got = unbroadcast(np.ones(grad), shape)
    assert got.shape == shape
    np.testing.assert_array_equal(got, np.full(shape, np.prod(grad) / max(np.prod(shape), 1)))


def test_only_an_elementwise_operation_sums_broadcast_gradients_back():
    def multiply(elementwise):
        @operation(inputs=2, elementwise=elementwise)
        def op(a, b):
            return a * b

        @op.gradient
        def op_gradient(grad, a, b):
            return grad * b, grad * a

        return op

    b = tensor(10)
    multiply(True)(tensor(1, 2, 3), b).sum().backward()
    np.testing.assert_array_equal(b.grad, [6])
    with pytest.raises(ValueError, match="gave b a gradient of shape"):
        multiply(False)(tensor(1, 2, 3), tensor(10)).sum().backward()


# ---- kernels and backends -------------------------------------------------------------------------------


def test_a_kernel_runs_only_under_its_own_backend(engine):
    op, _ = cube()
    op.kernel(engine)(lambda x: x * 0 + 42)
    assert op([2.0]) == 8
    with zh.use_backend(engine):
        assert op([2.0]) == 42
    assert op([2.0]) == 8


def test_a_kernel_that_returns_not_implemented_declines_and_numpy_runs(engine):
    op, _ = cube()

    @op.kernel(engine)
    def declines(x):
        return NotImplemented

    with zh.use_backend(engine):
        assert op([2.0]) == 8
        assert zh.grad_check(op, [2.0]) < 1e-8


def test_what_a_kernel_saved_before_it_declined_is_forgotten(engine):
    @operation
    def op(x, *, save=None):
        return x + 0

    @op.kernel(engine)
    def declines(x, save=None):
        if save:
            save(stale=1)
        return NotImplemented

    @op.gradient
    def op_gradient(grad, stale):
        return grad

    with zh.use_backend(engine), pytest.raises(TypeError, match=r"asks for \['stale'\]"):
        op(tensor(1))


def test_a_gradient_rule_has_kernels_too_and_they_may_decline(engine):
    op, rule = cube()
    op.kernel(engine)(lambda x: x**3)

    @rule.kernel(engine)
    def rule_fake(grad, x):
        return NotImplemented if len(x) > 1 else 100 * grad

    with zh.use_backend(engine):
        one, two = tensor(1), tensor(1, 2)
        op(one).backward()
        op(two).sum().backward()
    np.testing.assert_array_equal(one.grad, [100])
    np.testing.assert_array_equal(two.grad, [3, 12])


def test_the_engine_of_the_forward_call_computes_the_gradient(engine):
    op, rule = cube()
    rule.kernel(engine)(lambda grad, x: 100 * grad)
    with zh.use_backend(engine):
        x = tensor(1)
        y = op(x)
    y.backward()  # outside the with block
    np.testing.assert_array_equal(x.grad, [100])

    x = tensor(1)
    y = op(x)
    with zh.use_backend(engine):
        y.backward()
    np.testing.assert_array_equal(x.grad, [3])


def test_what_only_the_rules_kernel_asks_for_is_kept(engine):
    @operation
    def op(x, *, save=None):
        if save:
            save(doubled=2 * x)
        return x + 0

    @op.gradient
    def op_gradient(grad):
        return grad

    op_gradient.kernel(engine)(lambda grad, doubled: grad * doubled)
    assert set(op(tensor(3)).node.call.kept) == set()
    with zh.use_backend(engine):
        x = tensor(3)
        op(x).backward()
    np.testing.assert_array_equal(x.grad, [6])


def test_use_backend_lasts_until_the_end_of_its_with_block_even_after_an_error(engine):
    with pytest.raises(ZeroDivisionError), zh.use_backend(engine):
        assert mechanism.engine_of(1) == engine
        1 / 0  # noqa: B018
    assert mechanism.engine_of(1) == "numpy"


def test_use_backend_blocks_nest(engine):
    with zh.use_backend(engine):
        with zh.use_backend("numpy"):
            assert mechanism.engine_of(1) == "numpy"
        assert mechanism.engine_of(1) == engine


def test_use_backend_as_a_call_lasts(engine):
    def calls():
        zh.use_backend(engine)
        return mechanism.engine_of(1)

    context = contextvars.copy_context()
    assert context.run(calls) == engine
    assert context.run(mechanism.engine_of, 1) == engine
    assert mechanism.engine_of(1) == "numpy"  # this context never called it


def test_threads_choose_their_backends_independently(engine):
    found = []
    with zh.use_backend(engine):
        thread = threading.Thread(target=lambda: found.append(mechanism.engine_of(1)))
        thread.start()
        thread.join()
    assert found == ["numpy"]


def test_an_unknown_backend_is_refused_with_the_ones_that_can_be_used():
    with pytest.raises(ValueError, match=r"use_backend: got 'torch', but here only numpy"):
        zh.use_backend("torch")


def test_a_backend_whose_module_is_missing_is_not_available(monkeypatch):
    monkeypatch.setitem(mechanism.ENGINES, "ghost", ("zerohero.kernels_that_are_not_there.ghost",))
    assert "ghost" not in zh.available_backends()
    with pytest.raises(ValueError, match="got 'ghost'"):
        zh.use_backend("ghost")


def test_arrays_on_two_devices_are_refused(monkeypatch):
    real = mechanism.engine_of
    monkeypatch.setattr(mechanism, "engine_of", lambda value: "cupy" if np.shape(value) == (7,) else real(value))
    with pytest.raises(TypeError, match=r"concat: its arrays lie on two devices; .*\.to\('cupy'\)"):
        zh.concat([np.ones(7, np.float32), np.ones(3, np.float32)])


# ---- what becomes of the inputs -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given, expected",
    [
        (1, "float32"),
        (1.5, "float32"),
        (True, "float32"),
        ([1, 2], "float32"),
        ([1.5, 2.5], "float32"),
        ((1, 2), "float32"),
        (np.array([1, 2]), "float32"),
        (np.array([1, 2], np.uint8), "float32"),
        (np.array([True, False]), "float32"),
        (np.array([1, 2], np.float16), "float32"),
        (np.array([1, 2], np.float32), "float32"),
        (np.array([1, 2], ">f4"), "float32"),
        (np.array([1, 2], np.float64), "float64"),
        (np.float32(1), "float32"),
        (np.float64(1), "float64"),
    ],
)
def test_lists_and_integers_compute_in_float32_and_float64_is_respected(given, expected):
    assert zh.relu(given).dtype == expected
    assert zh.Tensor(given).dtype == expected


@pytest.mark.parametrize("number", [2, 2.5, True, np.float64(2.5), np.int64(2)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_number_beside_an_array_does_not_change_its_dtype(number, dtype):
    x = zh.Tensor(np.ones(3, dtype), requires_grad=True)
    for y in (x + number, number * x, x / number, number - x, x**number):
        assert y.dtype == dtype
        y.sum().backward()
        assert x.grad.dtype == dtype


def test_a_list_beside_a_float64_array_is_not_rounded_to_float32():
    np.testing.assert_array_equal(zh.linear(np.ones((1, 1)), [[0.1]]), [[0.1]])
    np.testing.assert_array_equal(zh.concat([np.zeros(1), [0.1]]), [0, 0.1])
    np.testing.assert_array_equal(zh.conv2d_loops(np.ones((1, 1)), [[0.1]]), [[0.1]])


def test_float32_and_float64_together_compute_in_float64():
    assert zh.linear(np.ones((1, 1), np.float32), np.ones((1, 1))).dtype == np.float64


@pytest.mark.parametrize(
    "given, message",
    [
        (np.ones(2, complex), "x needs numbers, but got ndarray with dtype complex128"),
        ("dog", "x needs numbers, but got str with dtype <U3"),
        (["a", "b"], "x needs numbers, but got list with dtype <U1"),
        (object(), "x needs numbers, but got object with dtype object"),
        ([1, None], "x needs numbers, but got list with dtype object"),
        (None, "x needs numbers, but got None"),
        (np.array(["2020-01-01"], "datetime64[D]"), "x needs numbers, but got ndarray with dtype datetime64"),
    ],
)
def test_what_is_no_number_is_refused_by_type(given, message):
    with pytest.raises(TypeError, match=f"^relu: {message}"):
        zh.relu(given)


def test_a_ragged_list_is_refused():
    with pytest.raises(ValueError, match="relu: x needs rows of equal length, but the list given is ragged"):
        zh.relu([[1, 2], [3]])


def test_none_is_refused_for_all_but_optional_inputs():
    with pytest.raises(TypeError, match="linear: weight needs numbers, but got None"):
        zh.linear([1.0], None)
    assert zh.linear([1.0], [[2.0]], None) == 2


def test_an_operation_is_an_operation_whether_decorated_with_options_or_without():
    assert isinstance(operation(lambda x: x), Operation)
    assert isinstance(operation(inputs=1)(lambda x: x), Operation)
