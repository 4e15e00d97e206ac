"""Squash, votes, routing and the losses of a CapsNet: against their definitions, PyTorch, and differences."""

import numpy as np
import pytest
import torch

import zerohero as zh
from tests.against_torch import compare

ITERATIONS = (1, 2, 3, 5)


def torch_squash(s, dim=-1):
    n = s.norm(dim=dim, keepdim=True)
    return s * n / (1 + n**2)


def torch_capsules(u, weight, bias=None, iterations=3, stop_gradient=False):
    """An independent CapsNet layer in a few lines; PyTorch's autograd goes through all iterations."""
    votes = torch.einsum("nip,ipjq->nijq", u, weight)
    logits = torch.zeros(votes.shape[:3], dtype=votes.dtype)
    for iteration in range(iterations):
        couplings = torch.softmax(logits, dim=2)
        if stop_gradient:
            couplings = couplings.detach()
        s = (couplings[..., None] * votes).sum(1)
        v = torch_squash(s if bias is None else s + bias)
        if iteration < iterations - 1:
            logits = logits + (votes * v[:, None]).sum(-1)
    return v


@pytest.fixture
def votes(rng):
    return rng.standard_normal((3, 6, 4, 5))  # (N, I, J, Q): all four differ


@pytest.fixture
def layer(rng):
    """Input capsules (N, I, P), a weight (I, P, J, Q) and a bias (J, Q)."""
    shapes = (3, 6, 2), (6, 2, 4, 5), (4, 5)
    return [rng.standard_normal(shape) for shape in shapes]


# ---- squash ---------------------------------------------------------------------------------------------


def test_squash_agrees_with_pytorch():
    compare(zh.squash, torch_squash, (3, 4, 5))


def test_squash_works_along_any_axis(rng):
    s = rng.standard_normal((3, 4, 5))
    np.testing.assert_allclose(zh.squash(s, axis=1), np.moveaxis(zh.squash(np.moveaxis(s, 1, -1)), -1, 1), rtol=1e-14)


def test_a_vector_of_length_1_squashes_to_length_one_half():
    assert np.linalg.norm(zh.squash(np.array([0.6, 0.8]))) == pytest.approx(0.5, abs=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_squash_and_its_gradient_are_exactly_0_at_0(dtype):
    s = zh.Tensor(np.zeros((2, 3), dtype), requires_grad=True)
    v = zh.squash(s)
    v.backward(np.ones((2, 3), dtype))
    assert (v.data == 0).all() and (s.grad == 0).all()


def test_the_length_after_squash_stays_below_1_and_the_direction_stays(rng):
    s = 100 * rng.standard_normal((50, 4))
    v = zh.squash(s)
    n = np.linalg.norm(s, axis=1, keepdims=True)
    assert (np.linalg.norm(v, axis=1) < 1).all()
    np.testing.assert_allclose(v / np.linalg.norm(v, axis=1, keepdims=True), s / n, rtol=1e-12)


# ---- votes and routing ----------------------------------------------------------------------------------


def test_votes_agree_with_pytorch(layer):
    u, weight, _ = layer
    compare(zh.capsule_votes, lambda u, weight: torch.einsum("nip,ipjq->nijq", u, weight), u, weight)


@pytest.mark.parametrize("iterations", ITERATIONS)
@pytest.mark.parametrize("with_bias", [False, True])
def test_loops_votes_and_fused_forms_are_equal(layer, iterations, with_bias):
    u, weight, bias = layer
    bias = bias if with_bias else None
    votes = zh.capsule_votes(u, weight)
    loops = zh.dynamic_routing_loops(votes, bias, iterations=iterations)
    np.testing.assert_allclose(zh.dynamic_routing(votes, bias, iterations=iterations), loops, rtol=0, atol=1e-12)
    np.testing.assert_allclose(zh.capsule_layer(u, weight, bias, iterations=iterations), loops, rtol=0, atol=1e-12)


@pytest.mark.parametrize("iterations", ITERATIONS)
@pytest.mark.parametrize("with_bias", [False, True])
def test_the_gradient_through_all_iterations_agrees_with_differences(votes, rng, iterations, with_bias):
    points = [votes, rng.standard_normal((4, 5))] if with_bias else [votes]
    assert zh.grad_check(lambda *a: zh.dynamic_routing(*a, iterations=iterations), *points) <= 1e-7


@pytest.mark.parametrize("stop_gradient", [False, True])
@pytest.mark.parametrize("iterations", ITERATIONS)
@pytest.mark.parametrize("with_bias", [False, True])
def test_the_layer_and_its_gradients_agree_with_pytorch(layer, iterations, with_bias, stop_gradient):
    u, weight, bias = layer
    compare(
        zh.capsule_layer,
        torch_capsules,
        *(layer if with_bias else (u, weight)),
        differences=not stop_gradient,
        rtol=1e-8,
        iterations=iterations,
        stop_gradient=stop_gradient,
    )


def test_with_stop_gradient_the_gradient_is_that_of_constant_couplings(votes):
    couplings = zh.routing_trace(votes).couplings[-1]
    upstream = np.random.default_rng(1).standard_normal((3, 4, 5))
    ours, frozen = (zh.Tensor(votes, requires_grad=True) for _ in range(2))
    zh.dynamic_routing(ours, stop_gradient=True).backward(upstream)
    zh.squash((frozen * couplings[..., None]).sum(axis=1)).backward(upstream)
    np.testing.assert_allclose(ours.grad, frozen.grad, rtol=1e-12)


def test_the_trace_holds_every_iteration(votes, rng):
    bias = rng.standard_normal((4, 5))
    trace = zh.routing_trace(zh.Tensor(votes, requires_grad=True), bias, iterations=3)
    assert trace.logits.shape == trace.couplings.shape == (3, 3, 6, 4)
    assert trace.s.shape == trace.v.shape == (3, 3, 4, 5)
    for t in range(3):
        np.testing.assert_allclose(trace.s[t], np.einsum("nij,nijq->njq", trace.couplings[t], votes) + bias)
        np.testing.assert_array_equal(trace.v[t], zh.dynamic_routing(votes, bias, iterations=t + 1))
        if t:
            grown = np.einsum("nijq,njq->nij", votes, trace.v[t - 1])
            np.testing.assert_allclose(trace.logits[t] - trace.logits[t - 1], grown, atol=1e-14)


def test_without_a_bias_routing_cannot_tell_votes_from_their_negatives(votes, rng):
    np.testing.assert_array_equal(zh.dynamic_routing(-votes), -zh.dynamic_routing(votes))
    bias = rng.standard_normal((4, 5))
    assert np.abs(zh.dynamic_routing(-votes, bias) + zh.dynamic_routing(votes, bias)).max() > 0.1


def test_with_one_output_capsule_every_coupling_is_1(rng):
    assert (zh.routing_trace(rng.standard_normal((2, 5, 1, 3))).couplings == 1).all()


def test_outliers_lose_their_coupling_as_in_the_lecture():
    toward_a = [(1, 0.9), (0.9, 1.05), (1.1, 1), (1, 1.1), (-1.2, 0.4), (0.5, -1.3)]
    toward_b = [(0.8, -0.9), (-1, 0.3), (0.2, 1), (-0.7, -0.8), (0.9, 0.2), (-0.3, 0.8)]
    votes = np.stack([toward_a, toward_b], axis=1)[None]  # (1, 6, 2, 2)
    trace = zh.routing_trace(votes, iterations=3)
    to_a = trace.couplings[2, 0, :, 0]
    assert (to_a[:4].round(2) >= 0.91).all()
    np.testing.assert_allclose(to_a[4:], [0.24, 0.23], atol=0.005)
    b_lengths = np.linalg.norm(trace.v[:, 0, 1], axis=1)
    np.testing.assert_allclose(b_lengths[[0, 2]], [0.08, 0.44], atol=0.005)  # outliers must go somewhere


# ---- losses ---------------------------------------------------------------------------------------------


def test_margin_loss_agrees_with_pytorch(rng):
    v, labels = 0.4 * rng.standard_normal((3, 4, 5)), np.array([2, 0, 3])

    def theirs(v):
        length, t = v.norm(dim=2), torch.nn.functional.one_hot(torch.tensor(labels), 4)
        return (t * (0.9 - length).clamp(min=0) ** 2 + 0.5 * (1 - t) * (length - 0.1).clamp(min=0) ** 2).sum(1).mean()

    compare(lambda v: zh.margin_loss(v, labels), theirs, v)


def test_margin_loss_gives_the_costs_of_the_authors_test():
    # Sarasra/models, research/capsules/models/layers/layers_test.py: lengths 0.3, 0.9 with one class there, and
    # 1.2, 0.5 with both; entries with negative "lengths" cannot come from vectors and are left out.
    v = np.array([[[0.3], [0.9]], [[1.2], [0.5]]])
    losses = zh.margin_loss(v, np.array([[0, 1], [1, 1]]), reduction="none")
    np.testing.assert_allclose(losses, [0.02, 0.16], atol=1e-15)


def test_margin_loss_takes_several_classes_at_once(rng):
    v = rng.random((3, 4, 5)) * 0.3
    both = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [1, 1, 0, 0]])
    length = np.linalg.norm(v, axis=2)
    expected = both * np.maximum(0, 0.9 - length) ** 2 + 0.5 * (1 - both) * np.maximum(0, length - 0.1) ** 2
    np.testing.assert_allclose(zh.margin_loss(v, both, reduction="none"), expected.sum(1), rtol=1e-13)


def test_margin_loss_has_no_nan_gradient_at_a_zero_vector():
    v = zh.Tensor(np.zeros((1, 2, 3)), requires_grad=True)
    zh.margin_loss(v, [0]).backward()
    assert (v.grad == 0).all()


def test_reconstruction_loss_agrees_with_pytorch(rng):
    images = rng.random((3, 8))
    compare(
        lambda r: zh.reconstruction_loss(r, images.astype(r.dtype)),
        lambda r: ((r - torch.tensor(images, dtype=r.dtype)) ** 2).sum() / 3,
        (3, 8),
    )


# ---- wrong input ----------------------------------------------------------------------------------------

WRONG = {
    "votes without a batch": (lambda: zh.dynamic_routing(np.ones((6, 4, 5))), "votes needs shape"),
    "no capsules": (lambda: zh.dynamic_routing(np.ones((2, 0, 4, 5))), "no capsules empty"),
    "bias of another shape": (lambda: zh.dynamic_routing(np.ones((2, 6, 4, 5)), np.ones((5, 4))), "bias needs shape"),
    "no iteration": (
        lambda: zh.dynamic_routing(np.ones((2, 6, 4, 5)), iterations=0),
        "iterations needs to be at least 1",
    ),
    "half an iteration": (lambda: zh.dynamic_routing(np.ones((2, 6, 4, 5)), iterations=1.5), "needs an integer"),
    "capsules of another layer": (
        lambda: zh.capsule_layer(np.ones((2, 6, 8)), np.ones((7, 8, 4, 5))),
        "weight expects 7 capsules of 8 numbers, but u has 6 of 8",
    ),
    "a label too many": (lambda: zh.margin_loss(np.ones((2, 3, 4)), [0, 1, 2]), "labels needs shape"),
    "a label out of range": (lambda: zh.margin_loss(np.ones((2, 3, 4)), [0, 3]), "labels needs values from 0 to 2"),
    "labels that are probabilities": (lambda: zh.margin_loss(np.ones((1, 2, 4)), [[0.2, 0.8]]), "labels needs 0 or 1"),
    "an empty batch": (lambda: zh.margin_loss(np.ones((0, 3, 4)), np.zeros(0, int)), "mean of none"),
    "images of another size": (lambda: zh.reconstruction_loss(np.ones((2, 9)), np.ones((2, 3, 4))), "as many examples"),
    "squash along a missing axis": (lambda: zh.squash(np.ones(3), axis=1), "axis needs to lie"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_gets_one_sentence(case):
    call, words = WRONG[case]
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and len(message) < 300
