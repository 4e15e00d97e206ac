"""EM routing and the spread loss: against numbers by hand, their definitions, PyTorch, differences, classic bugs."""

import numpy as np
import pytest
import torch

import zerohero as zh
from tests.against_torch import compare
from zerohero.checks import exercise_13

ITERATIONS = (1, 2, 3, 4)


def torch_em(votes, activations, beta_a, beta_u, iterations=3, inverse_temperature=0.01, minimum_variance=5e-4):
    """Independent: densities from torch.distributions, the gradient from PyTorch's autograd."""
    R = torch.full(votes.shape[:3], 1 / votes.shape[2], dtype=votes.dtype)
    for t in range(iterations):
        r = (R * activations[:, :, None])[..., None]
        mass = r.sum(1)
        mean = (r * votes).sum(1) / mass
        variance = (r * (votes - mean[:, None]) ** 2).sum(1) / mass + minimum_variance
        cost = ((beta_u[:, None] + variance.sqrt().log()) * mass).sum(-1)
        logit = inverse_temperature * (1 - 0.95 ** (t + 1)) * (beta_a - cost)
        log_p = torch.distributions.Normal(mean[:, None], variance.sqrt()[:, None]).log_prob(votes).sum(-1)
        R = torch.softmax(torch.nn.functional.logsigmoid(logit)[:, None] + log_p, dim=2)
    return mean, torch.sigmoid(logit)


@pytest.fixture
def given(rng):
    """Votes (N, I, J, H), activations (N, I), both β (J,): all axes differ."""
    shapes = dict(votes=rng.standard_normal((2, 6, 3, 4)), activations=rng.uniform(0.1, 0.9, (2, 6)))
    return *shapes.values(), rng.standard_normal(3), rng.standard_normal(3)


# ---- by hand --------------------------------------------------------------------------------------------

# Two children vote with one number for two parents, A and B: 0 and 1, then 4 and 3. The second is half as sure.
TWO = np.array([[[[0.0], [1.0]], [[4.0], [3.0]]]]), np.array([[1.0, 0.5]]), np.zeros(2), np.zeros(2)


def test_two_parents_by_hand():
    # R = ½: masses ½ + ¼. μ_A = 1 / ¾, μ_B = (½ + ¾) / ¾. σ_A² = (½ 16/9 + ¼ 64/9) / ¾, σ_B² = (½ 4/9 + ¼ 16/9) / ¾.
    trace = zh.em_routing_trace(*TWO, iterations=2, inverse_temperature=20, minimum_variance=1e-14)
    np.testing.assert_allclose(trace.mass[0, 0], [3 / 4, 3 / 4], rtol=1e-12)
    np.testing.assert_allclose(trace.mean[0, 0, :, 0], [4 / 3, 5 / 3], rtol=1e-12)
    np.testing.assert_allclose(trace.variance[0, 0, :, 0], [32 / 9, 8 / 9], rtol=1e-12)
    # log σ_A = ½ log 32/9 = 0.634257, log σ_B = ½ log 8/9 = -0.058892; times ¾. λ = 20 · 0.05 = 1.
    np.testing.assert_allclose(trace.cost[0, 0, :, 0], [0.475692, -0.044169], atol=1e-6)
    np.testing.assert_allclose(trace.activation[0, 0], [0.383270, 0.511040], atol=1e-6)
    # (V - μ)² / 2σ² is ¼ for both parents of child 1, and 1 for both of child 2, so it cancels: a_A/σ_A to a_B/σ_B.
    np.testing.assert_allclose(trace.R[1, 0, :, 0], 0.383270 / (0.383270 + 2 * 0.511040), atol=1e-6)


def test_the_inverse_temperature_grows_by_the_schedule():
    activation = zh.em_routing_trace(*TWO[:2], np.ones(2) * 100, np.zeros(2), iterations=3).activation
    cost = zh.em_routing_trace(*TWO[:2], np.ones(2) * 100, np.zeros(2), iterations=3).cost.sum(-1)
    growing = np.log(activation / (1 - activation)) / (100 - cost)
    wanted = [0.0005, 0.000975, 0.00142625]  # 0.01 · 0.05, · 0.0975, · 0.142625
    np.testing.assert_allclose(growing, np.broadcast_to(np.reshape(wanted, (3, 1, 1)), growing.shape), rtol=1e-9)


# ---- against definitions --------------------------------------------------------------------------------


@pytest.mark.parametrize("iterations", ITERATIONS)
@pytest.mark.parametrize("inverse_temperature", [0.01, 2.0])
def test_loops_and_fast_form_are_equal(given, iterations, inverse_temperature):
    options = dict(iterations=iterations, inverse_temperature=inverse_temperature)
    for fast, loops in zip(zh.em_routing(*given, **options), zh.em_routing_loops(*given, **options)):
        np.testing.assert_allclose(fast, loops, rtol=1e-11)


@pytest.mark.parametrize("iterations", ITERATIONS)
@pytest.mark.parametrize("output", [0, 1])
def test_values_and_gradients_agree_with_pytorch(given, iterations, output):
    compare(
        lambda *a, **options: zh.em_routing(*a, **options)[output],
        lambda *a, **options: torch_em(*a, **options)[output],
        *given,
        rtol=1e-8,
        atol=1e-10,
        iterations=iterations,
        inverse_temperature=2.0,
    )


@pytest.mark.parametrize("iterations", ITERATIONS)
@pytest.mark.parametrize("inverse_temperature", [0.01, 2.0])
def test_the_gradient_through_all_iterations_agrees_with_differences(given, iterations, inverse_temperature):
    def routed(*tensors):
        return zh.em_routing(*tensors, iterations=iterations, inverse_temperature=inverse_temperature)

    assert zh.grad_check(routed, *given, eps=1e-5) <= 1e-6  # at 1e-6 the small gradients of λ = 0.01 drown in rounding


def test_each_step_is_that_of_the_exercise(given):
    votes, activations, beta_a, beta_u = given
    tiny = 1e-13
    trace = zh.em_routing_trace(*given, iterations=3, inverse_temperature=3.0, minimum_variance=tiny)
    for t in range(3):
        mean, variance, mass = exercise_13.m_step.reference(votes, activations, trace.R[t])
        np.testing.assert_allclose(trace.mean[t], mean, rtol=1e-10)
        np.testing.assert_allclose(trace.variance[t], variance + tiny, rtol=1e-10)
        np.testing.assert_allclose(trace.mass[t], mass, rtol=1e-10)
        growing = 3.0 * (1 - 0.95 ** (t + 1))
        active = exercise_13.parent_activation.reference(variance + tiny, mass, beta_a, beta_u, growing)
        np.testing.assert_allclose(trace.activation[t], active, rtol=1e-10)
        if t < 2:
            shares = exercise_13.e_step.reference(votes, mean, variance + tiny, active)
            np.testing.assert_allclose(trace.R[t + 1], shares, rtol=1e-8)


def test_the_trace_ends_with_what_routing_returns(given):
    trace, (poses, activations) = zh.em_routing_trace(*given), zh.em_routing(*given)
    np.testing.assert_array_equal(trace.mean[-1], poses)
    np.testing.assert_array_equal(trace.activation[-1], activations)
    np.testing.assert_allclose(trace.R.sum(-1), 1, rtol=1e-12)


# ---- classic bugs ---------------------------------------------------------------------------------------


def test_a_silent_child_changes_nothing(given):
    votes, activations, *betas = given
    activations[:, 1] = 0
    elsewhere = votes.copy()
    elsewhere[:, 1] += 50
    for before, after in zip(zh.em_routing(votes, activations, *betas), zh.em_routing(elsewhere, activations, *betas)):
        np.testing.assert_allclose(after, before, rtol=1e-12)


def test_shares_times_activations_are_not_renormalised(given):
    votes, activations, *betas = given
    full, half = (zh.em_routing_trace(votes, a, *betas, iterations=1) for a in (activations, activations / 2))
    np.testing.assert_allclose(half.mass, full.mass / 2, rtol=1e-12)
    np.testing.assert_allclose(full.mass.sum(-1)[0], activations.sum(1), rtol=1e-12)


def test_two_parents_can_both_be_there_and_neither():
    votes = np.zeros((1, 8, 2, 3)) + np.array([[0.0], [5.0]])  # all agree about both
    for beta_a, wanted in (50, 1), (-50, 0):
        _, activations = zh.em_routing(votes, np.ones((1, 8)), [beta_a] * 2, [3.8] * 2, inverse_temperature=3.0)
        np.testing.assert_allclose(activations, wanted, atol=0.01)


def test_the_variance_is_about_the_mean_even_far_from_0():
    votes = np.float32(2000) + np.array([-0.01, 0.01] * 4, np.float32).reshape(1, 8, 1, 1)
    variance = zh.em_routing_trace(votes, np.ones((1, 8), np.float32), [0.0], [0.0], iterations=1).variance
    spread = np.var(votes.astype(np.float64))
    assert variance.item() == pytest.approx(spread + 5e-4, rel=1e-3)  # mean(V²) - μ² is 0 here


def test_the_spread_loss_is_0_where_the_margin_is_kept_and_never_below():
    kept = np.array([[0.95, 0.0, 0.04]])
    assert zh.spread_loss(kept, [0], 0.9) == 0  # neither + m², the true class's own term, nor - m²
    assert zh.spread_loss(np.array([[0.3, 0.9]]), [0], 0.2) == pytest.approx(0.8**2)


# ---- hard input -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_votes_that_agree_or_lie_far_away_and_silence_give_finite_numbers(dtype, rng):
    agreeing = np.zeros((1, 4, 2, 3), dtype)
    far = 1e4 * rng.standard_normal((1, 4, 2, 3)).astype(dtype)
    for votes in agreeing, far:
        for a in np.ones((1, 4), dtype), np.zeros((1, 4), dtype):
            tensors = [zh.Tensor(x, requires_grad=True) for x in (votes, a, np.ones(2, dtype), np.ones(2, dtype))]
            poses, activations = zh.em_routing(*tensors, iterations=4, inverse_temperature=5.0)
            (poses.sum() + activations.sum()).backward()
            for each in [poses.data, activations.data, *(tensor.grad for tensor in tensors)]:
                assert np.isfinite(each).all()


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(votes=np.ones((2, 6, 3))), r"votes needs shape \(N, I, J, H\)"),
        (dict(votes=np.ones((2, 6, 0, 4))), r"no capsules empty, but has shape \(2, 6, 0, 4\)"),
        (dict(activations=np.ones((2, 5))), r"activations needs shape \(2, 6\), votes' \(N, I\), but has .*\(2, 5\)"),
        (dict(activations=np.full((2, 6), 1.5)), "activations needs numbers from 0 to 1"),
        (dict(activations=np.full((2, 6), np.nan)), "activations needs numbers from 0 to 1"),
        (dict(beta_a=np.ones(2)), r"beta_a needs shape \(3,\)"),
        (dict(beta_u=1.0), r"beta_u needs shape \(3,\)"),
        (dict(iterations=0), "iterations needs"),
        (dict(inverse_temperature=-1), "inverse_temperature needs"),
        (dict(minimum_variance=0), "minimum_variance needs a number above 0"),
    ],
)
@pytest.mark.parametrize("name", ["em_routing", "em_routing_trace", "em_routing_loops"])
def test_wrong_input_is_named(given, name, change, message):
    arguments = dict(zip(("votes", "activations", "beta_a", "beta_u"), given)) | change
    with pytest.raises(ValueError, match=message) as caught:
        getattr(zh, name)(**arguments)
    assert str(caught.value).startswith(f"{name}: ") and "\n" not in str(caught.value)


# ---- spread loss ----------------------------------------------------------------------------------------


def torch_spread(activations, labels, margin, reduction="mean"):
    losses = []
    for a, label in zip(activations, labels):
        others = [torch.relu(margin - (a[label] - a[i])) ** 2 for i in range(len(a)) if i != label]
        losses.append(sum(others))
    losses = torch.stack(losses)
    return {"mean": losses.mean, "sum": losses.sum, "none": lambda: losses}[reduction]()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("margin", [0.2, 0.9])
def test_the_spread_loss_agrees_with_pytorch(rng, margin, reduction):
    labels = [3, 0, 2, 3, 1]
    activations = rng.uniform(size=(5, 4))
    compare(
        lambda a, **options: zh.spread_loss(a, labels, **options),
        lambda a, **options: torch_spread(a, labels, **options),
        activations,
        margin=margin,
        reduction=reduction,
    )


def test_the_spread_loss_is_that_of_the_exercise(rng):
    activations, labels = rng.uniform(size=(7, 4)), rng.integers(4, size=7)
    ours = zh.spread_loss(activations, labels, 0.6)
    assert ours == pytest.approx(exercise_13.spread_loss.reference(activations, labels, 0.6), rel=1e-12)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((np.ones(3), [0], 0.2), r"activations needs shape \(N, J\)"),
        ((np.ones((0, 3)), np.zeros(0, int), 0.2), "holds no example"),
        ((np.ones((1, 3)), [3], 0.2), "labels"),
        ((np.ones((1, 3)), [0], -0.2), "margin needs"),
        ((np.ones((1, 3)), [0], np.nan), "margin needs"),
    ],
)
def test_wrong_input_to_the_spread_loss_is_named(arguments, message):
    with pytest.raises(ValueError, match=f"spread_loss: .*{message}|spread_loss: {message}"):
        zh.spread_loss(*arguments)
