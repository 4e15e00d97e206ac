"""The tape: what is recorded, where gradients arrive, and what happens to a tape that was used."""

import copy
import gc
import operator
import weakref

import numpy as np
import pytest
import torch
from against_torch import compare

import zerohero as zh
from zerohero.operation import operation
from zerohero.ops import arithmetic
from zerohero.tensor import Parameter


def leaf(values, dtype=np.float64):
    return zh.Tensor(np.array(values, dtype), requires_grad=True)


# ---- walking back ---------------------------------------------------------------------------------------


def test_a_chain_multiplies_slopes():
    x = leaf(3)
    ((2 * x) ** 2 + 1).backward()
    assert x.grad == 24


def test_a_tensor_used_twice_gets_the_sum_of_both_gradients():
    x = leaf([1, 2])
    (x * x + 3 * x).sum().backward()
    np.testing.assert_array_equal(x.grad, [5, 7])


def test_a_diamond_counts_every_path_once():
    x = leaf(2)
    a = x * x
    left, right = 3 * a, a * a
    (left * right).backward()  # 3 x⁶
    assert x.grad == 18 * 2**5


def test_a_ladder_of_diamonds_costs_one_visit_a_node_and_not_one_a_path():
    x = leaf(1)
    y = x
    for _ in range(200):  # 2**200 paths
        y = (y + y) / 2
    y.backward()
    assert x.grad == 1


def test_a_long_and_a_short_path_to_one_tensor_arrive_together():
    x = leaf(1)
    a = 2 * x
    long = a
    for _ in range(5):
        long = long + 1
    (a * long).backward()  # 2x (2x + 5)
    assert x.grad == 18


def test_a_chain_of_20_000_steps_needs_no_recursion():
    x = leaf(1.0)
    y = x
    for _ in range(20_000):
        y = y + 1
    y.backward()
    assert x.grad == 1
    del y
    gc.collect()  # and none to be forgotten


def test_backward_adds_to_the_gradient_that_is_there():
    x = leaf(2)
    (3 * x).backward()
    (5 * x).backward()
    assert x.grad == 8
    x.grad = None
    (5 * x).backward()
    assert x.grad == 5


def test_only_leaves_that_require_a_gradient_get_one():
    x, constant = leaf(2), zh.Tensor([3.0])
    middle = x * constant
    (middle * middle).sum().backward()
    assert x.grad is not None
    assert middle.grad is None
    assert constant.grad is None


def test_a_leaf_can_be_its_own_result():
    x = leaf([3])
    x.backward()
    np.testing.assert_array_equal(x.grad, [1])


def test_the_result_requires_a_gradient_exactly_if_an_input_does():
    x, constant = leaf(2), zh.Tensor(3.0)
    assert (x * constant).requires_grad
    assert not (constant * constant).requires_grad
    assert (constant * constant).node is None


def test_backward_of_several_numbers_needs_a_gradient_of_their_shape():
    x = leaf([1, 2])
    y = 3 * x
    with pytest.raises(RuntimeError, match=r"backward: grad is needed for a result of shape \(2,\)"):
        y.backward()
    with pytest.raises(ValueError, match=r"backward: grad needs the result's shape \(2,\), but has \(3,\)"):
        y.backward([1, 2, 3])
    y.backward([1, 10])
    np.testing.assert_array_equal(x.grad, [3, 30])


def test_backward_takes_a_tensor_as_gradient_and_leaves_it_alone():
    x, grad = leaf([1, 2]), zh.Tensor(np.array([1.0, 10.0]))
    x.backward(grad)
    x.grad += 1
    np.testing.assert_array_equal(grad.data, [1, 10])


def test_a_second_backward_says_why_it_cannot_be():
    x = leaf(2)
    y = x * x
    y.backward()
    with pytest.raises(RuntimeError, match="backward: the tape through multiply was used already"):
        y.backward()


def test_a_second_backward_through_a_shared_part_says_so_too():
    x = leaf(2)
    shared = x * x
    first, second = shared + 1, shared + 2
    first.backward()
    with pytest.raises(RuntimeError, match="multiply was used already"):
        second.backward()


def test_two_losses_added_give_the_sum_of_their_gradients():
    x = leaf(2)
    shared = x * x
    (shared + 1 + (shared + 2)).backward()
    assert x.grad == 8


def test_backward_where_nothing_requires_a_gradient_says_so():
    with pytest.raises(RuntimeError, match="backward: nothing here requires a gradient"):
        (zh.Tensor(1.0) * 2).backward()


def test_backward_frees_what_was_kept_for_it():
    x = leaf(np.ones(10))
    y = x * x
    kept = weakref.ref(y.node.call)
    y.sum().backward()
    gc.collect()
    assert kept() is None


# ---- dtypes and memory ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("other", ["float32", "float64"])
def test_a_gradient_has_the_dtype_of_its_tensor(dtype, other):
    x = zh.Tensor(np.ones((2, 3), dtype), requires_grad=True)
    y = zh.Tensor(np.ones((2, 3), other), requires_grad=True)
    (x * y / (x + 2) - x.max(1, keepdims=True) + x.mean() ** 2).sum().backward()
    assert (x.grad.dtype, y.grad.dtype) == (dtype, other)


def test_a_gradient_can_be_changed_in_place_and_shares_no_memory():
    x, y = leaf([1, 2]), leaf([3, 4])
    (x + y).sum().backward()
    x.grad *= 10
    np.testing.assert_array_equal(y.grad, [1, 1])
    z = leaf([1, 2])
    z.sum().backward()
    z.grad += 1
    np.testing.assert_array_equal(z.grad, [2, 2])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_tensor_shares_the_memory_of_its_array(dtype):
    array = np.zeros(3, dtype)
    tensor = zh.Tensor(array)
    assert tensor.numpy() is array
    assert np.shares_memory(tensor.detach().data, array)


def test_assigning_data_between_forward_and_backward_does_not_change_the_gradient():
    x = leaf(3)
    y = x * x
    x.data = np.array(100.0)
    y.backward()
    assert x.grad == 6


def test_changing_data_in_place_between_forward_and_backward_changes_the_gradient_as_documented():
    x = leaf(3)
    y = x * x
    x.data[...] = 100
    y.backward()
    assert x.grad == 200
    assert "in place" in zh.Tensor.__doc__


# ---- no_grad, detach, hooks, grad() ---------------------------------------------------------------------


def test_no_grad_records_nothing_and_ends_with_its_block_even_after_an_error():
    x = leaf(2)
    with pytest.raises(ZeroDivisionError), zh.no_grad():
        assert not (x * x).requires_grad
        1 / 0  # noqa: B018
    assert (x * x).requires_grad


def test_no_grad_blocks_nest():
    x = leaf(2)
    with zh.no_grad():
        with zh.no_grad():
            pass
        assert not (x * x).requires_grad


def test_no_grad_decorates_a_function():
    @zh.no_grad()
    def evaluate(x):
        return x * x

    assert not evaluate(leaf(2)).requires_grad
    assert not evaluate(leaf(2)).requires_grad


def test_detach_stops_the_gradient_and_keeps_the_values():
    x = leaf(3)
    (x * (2 * x).detach()).backward()
    assert x.grad == 6


def test_a_hook_sees_the_complete_gradient_once():
    x = leaf(2)
    seen = []
    middle = x * 1
    middle.register_hook(seen.append)
    (middle * 3 + middle * 4).backward()
    assert seen == [7]


def test_what_a_hook_returns_replaces_the_gradient():
    x = leaf([2, 3])
    middle = x * 1
    middle.register_hook(lambda g: 10 * g)
    x.register_hook(lambda g: g + 1)
    middle.sum().backward()
    np.testing.assert_array_equal(x.grad, [11, 11])


def test_hooks_run_in_order_and_can_be_taken_off():
    x = leaf(2)
    seen = []
    off = x.register_hook(lambda g: seen.append("first"))
    x.register_hook(lambda g: seen.append("second"))
    (x * 1).backward()
    off()
    (x * 1).backward()
    assert seen == ["first", "second", "second"]


def test_a_hook_that_returns_another_shape_is_an_error():
    x = leaf([2, 3])
    x.register_hook(lambda g: g.sum())
    with pytest.raises(ValueError, match=r"register_hook: the hook needs to return the gradient's shape \(2,\)"):
        (x * 1).sum().backward()


def test_grad_returns_gradients_and_fills_nobodys_grad():
    x, y = leaf(2), leaf(5)
    d_x, d_y = zh.grad(x * x * y, [x, y])
    assert (d_x, d_y) == (20, 4)
    assert x.grad is None
    assert y.grad is None


def test_grad_reaches_tensors_on_the_way():
    x = leaf(2)
    middle = x * x
    assert zh.grad(3 * middle, middle) == 3


def test_grad_is_zero_where_nothing_depends_on_the_input():
    x, unrelated = leaf(2), leaf(np.ones((2, 3)))
    np.testing.assert_array_equal(zh.grad(x * x, [x, unrelated])[1], np.zeros((2, 3)))


def test_the_arrays_that_grad_returns_are_the_callers_own():
    x, y = leaf([1, 2]), leaf([3, 4])
    d_x, d_y = zh.grad((x + y).sum(), [x, y])
    d_x += 5
    np.testing.assert_array_equal(d_y, [1, 1])


def test_grad_refuses_what_requires_no_gradient_by_position():
    x = leaf(2)
    with pytest.raises(ValueError, match=r"grad: inputs\[1\] needs to be a Tensor that requires a gradient"):
        zh.grad(x * x, [x, zh.Tensor(1.0)])


# ---- grad_check -----------------------------------------------------------------------------------------


def test_grad_check_catches_a_gradient_that_is_wrong_at_one_entry():
    @operation
    def op(x):
        return x * x

    @op.gradient
    def op_gradient(grad, x):
        right = 2 * x * grad
        right[0, 1] *= 1.001
        return right

    assert zh.grad_check(op, np.ones((3, 4))) > 1e-5


def test_grad_check_does_not_call_nan_right():
    assert np.isnan(zh.grad_check(lambda x: x * np.nan, [1.0, 2.0]))


def test_grad_check_leaves_its_arrays_alone(rng):
    x = rng.standard_normal((2, 3))
    before = x.copy()
    zh.grad_check(lambda x: x * x, x)
    np.testing.assert_array_equal(x, before)


def test_grad_check_does_not_weigh_by_numbers_that_callers_are_likely_to_use():
    x = np.random.default_rng(0).standard_normal((5, 3))
    assert zh.grad_check(lambda x: zh.batch_norm(x, training=True), x) < 1e-6


# ---- operators ------------------------------------------------------------------------------------------

BINARY = [operator.add, operator.sub, operator.mul, operator.truediv]


@pytest.mark.parametrize("op", BINARY)
@pytest.mark.parametrize(
    "a, b",
    [((2, 3), (2, 3)), ((2, 3), (3,)), ((3,), (2, 3)), ((2, 1), (1, 3)), ((), (2, 3)), ((4, 1, 3), (2, 1)), ((1,), ())],
)
def test_broadcasting_arithmetic_equals_pytorch(op, a, b, rng):
    compare(op, op, rng.random(a) + 0.5, rng.random(b) + 0.5)


@pytest.mark.parametrize("op", BINARY)
@pytest.mark.parametrize("number", [2, -1.5, np.float64(2.5), np.array([1.0, 2.0])])
def test_numbers_and_arrays_stand_on_either_side(op, number):
    x = np.array([3.0, 4.0])
    tensor = zh.Tensor(x, requires_grad=True)
    for ours, plain in ((op(tensor, number), op(x, number)), (op(number, tensor), op(number, x))):
        assert isinstance(ours, zh.Tensor)
        np.testing.assert_array_equal(ours.data, plain)
        assert zh.grad_check(lambda t: op(t, number) + op(number, t), x) < 1e-8


def test_a_numpy_array_on_the_left_makes_one_tensor_and_not_an_array_of_them():
    assert zh.Tensor.__array_ufunc__ is None
    result = np.ones((2, 3)) * zh.Tensor(np.ones(3), requires_grad=True)
    assert isinstance(result, zh.Tensor)
    assert result.shape == (2, 3)
    assert isinstance(np.float64(2) * zh.Tensor([1.0]), zh.Tensor)
    assert isinstance(np.ones((2, 2)) @ zh.Tensor(np.ones((2, 2))), zh.Tensor)


def test_augmented_assignment_makes_a_new_tensor():
    x = leaf([1, 2])
    y = x
    y *= 3
    y += 1
    np.testing.assert_array_equal(x.data, [1, 2])
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, [3, 3])


@pytest.mark.parametrize(
    "a, b", [((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)), ((5, 1, 2, 3), (4, 3, 2)), ((1, 3), (3, 1))]
)
def test_matmul_equals_pytorch(a, b):
    compare(operator.matmul, operator.matmul, a, b)


@pytest.mark.parametrize("exponent", [2, 3, 1, 0, -1, 0.5, 2.5])
def test_powers_equal_pytorch(exponent, rng):
    compare(lambda x: arithmetic.power(x, exponent), lambda x: x**exponent, rng.random((2, 3)) + 0.5)


def test_a_square_has_gradient_zero_at_zero():
    x = leaf([0, -2])
    (x**2 + x**1 + x**0).sum().backward()
    np.testing.assert_array_equal(x.grad, [1, -3])


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (lambda x: -x, lambda x: -x),
        (abs, abs),
        (lambda x: x.exp(), lambda x: x.exp()),
        (lambda x: (x * x + 1).log(), lambda x: (x * x + 1).log()),
        (lambda x: x.T, lambda x: x.permute(2, 1, 0)),
        (lambda x: x.transpose(), lambda x: x.permute(2, 1, 0)),
        (lambda x: x.transpose(1, 2, 0), lambda x: x.permute(1, 2, 0)),
        (lambda x: x.transpose((2, 0, -2)), lambda x: x.permute(2, 0, 1)),
        (lambda x: x.reshape(6, 4), lambda x: x.reshape(6, 4)),
        (lambda x: x.reshape((4, -1)), lambda x: x.reshape(4, -1)),
        (lambda x: x.reshape(-1), lambda x: x.reshape(-1)),
        (lambda x: x.sum(), lambda x: x.sum()),
        (lambda x: x.mean(), lambda x: x.mean()),
        (lambda x: x.max(), lambda x: x.max()),
    ],
)
def test_methods_equal_pytorch(ours, theirs):
    compare(lambda x: ours(x) if isinstance(x, zh.Tensor) else ours(zh.Tensor(x)).data, theirs, (2, 3, 4))


@pytest.mark.parametrize("name", ["sum", "mean", "max"])
@pytest.mark.parametrize("axis", [0, 1, -1, (0, 2), (-1, 0), (0, 1, 2)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions_equal_pytorch(name, axis, keepdims):
    theirs = "amax" if name == "max" else name

    def ours(x):
        result = getattr(x if isinstance(x, zh.Tensor) else zh.Tensor(x), name)(axis, keepdims=keepdims)
        return result if isinstance(x, zh.Tensor) else result.data

    compare(ours, lambda x: getattr(x, theirs)(dim=axis, keepdim=keepdims), (2, 3, 4))


def test_equal_maxima_share_the_gradient():
    x = leaf([[1, 5, 5], [5, 0, 0]])
    x.max().backward()
    np.testing.assert_allclose(x.grad, np.array([[0, 1, 1], [1, 0, 0]]) / 3)


def test_the_sum_of_nothing_is_zero():
    x = zh.Tensor(np.zeros((0, 3)), requires_grad=True)
    y = x.sum(0)
    np.testing.assert_array_equal(y.data, np.zeros(3))
    y.sum().backward()
    assert x.grad.shape == (0, 3)


@pytest.mark.parametrize(
    "compare_values", [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]
)
@pytest.mark.parametrize("other", [2.0, np.array([1.0, 2.0, 5.0]), zh.Tensor([1.0, 2.0, 5.0])])
def test_comparisons_give_arrays_of_truths(compare_values, other):
    x = zh.Tensor([1.0, 3.0, 5.0], requires_grad=True)
    plain = other.data if isinstance(other, zh.Tensor) else other
    result = compare_values(x, other)
    assert isinstance(result, np.ndarray)
    np.testing.assert_array_equal(result, compare_values(x.data, plain))


def test_a_tensor_is_itself_as_a_key():
    x, twin = zh.Tensor([1.0]), zh.Tensor([1.0])
    assert {x: "x", twin: "twin"}[x] == "x"
    assert len({x, twin}) == 2


# ---- indexing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        0,
        -1,
        slice(None),
        slice(None, None, 2),
        (1, 2),
        (0, slice(1, 3), 1),
        (Ellipsis, 1),
        (slice(None), None, 0),
        None,
        np.array([0, 1, 1, 0]),
        [1, 0, 1],
        (np.array([0, 1, 0]), np.array([2, 1, 2])),
        (slice(None), np.array([[0, 0], [1, 2]])),
        np.int64(1),
        np.array([True, False]),
    ],
    ids=str,
)
def test_indexing_equals_pytorch_also_where_an_entry_is_taken_twice(key):
    def ours(x):
        return x[key]

    def theirs(x):
        parts = key if isinstance(key, tuple) else (key,)
        parts = tuple(torch.tensor(p) if isinstance(p, np.ndarray) else p for p in parts)
        return x[parts if isinstance(key, tuple) else parts[0]]

    compare(ours, theirs, (2, 3, 4))


def test_negative_steps_work_as_in_numpy():
    x = leaf([1, 2, 3])
    y = x[::-1]
    np.testing.assert_array_equal(y.data, [3, 2, 1])
    y.backward([1, 10, 100])
    np.testing.assert_array_equal(x.grad, [100, 10, 1])


def test_a_mask_selects_values_and_their_gradients():
    x = leaf([1, -2, 3])
    x[x > 0].sum().backward()
    np.testing.assert_array_equal(x.grad, [1, 0, 1])


def test_an_index_out_of_range_names_the_shape():
    with pytest.raises(IndexError, match=r"index: .*; x has shape \(2, 3\)"):
        leaf(np.ones((2, 3)))[5]


# ---- looking at it --------------------------------------------------------------------------------------


def test_iterating_and_unpacking_go_along_the_first_axis():
    x = leaf([[1, 2], [3, 4]])
    first, second = x
    (first * 10 + second).sum().backward()
    np.testing.assert_array_equal(x.grad, [[10, 10], [1, 1]])
    assert len(x) == 2


def test_shape_ndim_size_and_dtype_are_the_arrays():
    x = zh.Tensor(np.zeros((2, 3), np.float32))
    assert (x.shape, x.ndim, x.size, x.dtype) == ((2, 3), 2, 6, np.float32)


def test_one_number_turns_into_a_float_and_several_do_not():
    assert zh.Tensor([[2.5]]).item() == 2.5
    assert float(leaf(2.5)) == 2.5
    with pytest.raises(ValueError, match=r"item: needs a tensor with one value, but this one has shape \(2,\)"):
        zh.Tensor([1.0, 2.0]).item()


def test_a_tensor_turns_into_an_array_only_if_no_gradient_would_be_lost():
    np.testing.assert_array_equal(np.asarray(zh.Tensor([1.0, 2.0])), [1, 2])
    assert np.asarray(zh.Tensor([1.0]), dtype=np.float64).dtype == np.float64
    with pytest.raises(TypeError, match=r"requires a gradient .*call \.numpy\(\)"):
        np.asarray(leaf([1, 2]))


def test_repr_shows_values_and_origin():
    x = zh.Tensor([1.0, 2.0], requires_grad=True)
    assert repr(x) == "Tensor([1., 2.], requires_grad=True)"
    assert repr(2 * x) == "Tensor([2., 4.], made by multiply)"


def test_a_tensor_of_a_tensor_is_refused():
    with pytest.raises(TypeError, match="Tensor: data is a Tensor already"):
        zh.Tensor(zh.Tensor([1.0]))


def test_a_tensor_without_axes_has_no_length():
    with pytest.raises(TypeError, match="a Tensor without axes has no length"):
        len(zh.Tensor(1.0))


def test_to_names_the_devices_there_are():
    assert zh.Tensor([1.0]).to("numpy").data == 1
    with pytest.raises(ValueError, match="to: device needs to be 'numpy' or 'cupy', but got 'cuda'"):
        zh.Tensor([1.0]).to("cuda")


def test_a_parameter_requires_a_gradient_unless_told_otherwise():
    assert Parameter([1.0]).requires_grad
    assert not Parameter([1.0], requires_grad=False).requires_grad
    assert type(Parameter([1.0]) * 2) is zh.Tensor


def test_a_leaf_can_be_copied_and_the_copy_is_its_own():
    x = leaf([1, 2])
    twin = copy.deepcopy(x)
    (twin * 3).sum().backward()
    twin.data += 1
    assert x.grad is None
    np.testing.assert_array_equal(x.data, [1, 2])


# ---- whose array a gradient is ----------------------------------------------------------------------------


def test_a_leaf_keeps_without_a_copy_the_array_that_a_rule_made_for_it():
    made = []

    @operation
    def doubled(x):
        return 2 * x

    @doubled.gradient
    def doubled_gradient(grad):
        made.append(2 * grad)
        return made[0]

    x = zh.Tensor(np.ones(3), requires_grad=True)
    doubled(x).sum().backward()
    assert x.grad is made[0]


@pytest.mark.parametrize("hooked", [False, True])
def test_no_two_gradients_share_memory(hooked):
    a, b = (zh.Tensor(np.ones((2, 3)), requires_grad=True) for _ in range(2))
    given, seen = np.ones(6), []
    if hooked:
        a.register_hook(seen.append)
    y = (a + b).reshape(6) + (a * 2).reshape(6)
    y.backward(given)
    assert not np.shares_memory(a.grad, b.grad)
    assert not any(np.shares_memory(leaf.grad, other) for leaf in (a, b) for other in (given, *seen))


@pytest.mark.parametrize(
    "gradients",
    [
        lambda grad, a, b: (grad, grad),
        lambda grad, a, b: ((twice := 2 * grad), twice),
        lambda grad, a, b: ((twice := 2 * grad), twice[:]),
        lambda grad, a, b: (a, b[::1]),
        lambda grad, a, b: ((both := np.ones((2, 3)))[0], both[1]),
    ],
    ids=["that of the output", "one for both", "a view of the other's", "those kept", "two parts of one array"],
)
def test_a_gradient_that_somebody_else_holds_is_copied(gradients):
    @operation(inputs=2)
    def add(a, b):
        return a + b

    add.gradient(gradients)
    a, b = (zh.Tensor(np.full(3, value), requires_grad=True) for value in (2.0, 3.0))
    given = np.ones(3)
    add(a, b).backward(given)
    a.grad[:], b.grad[:] = 7, 8
    assert (a.grad == 7).all() and (given == 1).all() and (a.data == 2).all() and (b.data == 3).all()
