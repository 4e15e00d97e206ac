"""Optimizers held to PyTorch's, step by step in float64; schedules held to their formulas."""

import math

import numpy as np
import pytest
import torch

from zerohero import optim
from zerohero.tensor import Parameter

SHAPES = [(3, 2, 2), (4,), (2, 5)]


def pair_of_parameters(rng, shapes=SHAPES):
    values = [rng.standard_normal(shape) for shape in shapes]
    return [Parameter(v.copy()) for v in values], [torch.nn.Parameter(torch.tensor(v)) for v in values]


def walk(ours, theirs, our_optimizer, their_optimizer, rng, steps=30, scheduled=lambda step: 1.0):
    """Take the same steps with both, comparing all parameters after each."""
    rates = [group["lr"] for group in their_optimizer.param_groups]
    for step in range(steps):
        our_optimizer.factor = scheduled(step)
        for group, rate in zip(their_optimizer.param_groups, rates):
            group["lr"] = rate * scheduled(step)
        for p, t in zip(ours, theirs):
            gradient = rng.standard_normal(p.shape) * 10.0 ** rng.integers(-3, 3)
            p.grad, t.grad = gradient, torch.tensor(gradient)
        our_optimizer.step()
        their_optimizer.step()
        for p, t in zip(ours, theirs):
            np.testing.assert_allclose(p.data, t.detach().numpy(), rtol=1e-12, atol=1e-13, err_msg=f"step {step}")


SGD_SETTINGS = [
    {"lr": 0.1},
    {"lr": 0.1, "momentum": 0.9},
    {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    {"lr": 0.1, "weight_decay": 0.05},
    {"lr": 0.1, "momentum": 0.8, "weight_decay": 0.05, "nesterov": True},
]
ADAM_SETTINGS = [
    {"lr": 0.01},
    {"lr": 0.01, "betas": (0.5, 0.9)},
    {"lr": 0.01, "eps": 0.1},
    {"lr": 0.01, "weight_decay": 0.1},
]


@pytest.mark.parametrize("settings", SGD_SETTINGS, ids=str)
def test_sgd_takes_pytorchs_steps(settings, rng):
    ours, theirs = pair_of_parameters(rng)
    walk(ours, theirs, optim.SGD(ours, **settings), torch.optim.SGD(theirs, **settings), rng)


@pytest.mark.parametrize("settings", ADAM_SETTINGS, ids=str)
def test_adam_takes_pytorchs_steps(settings, rng):
    ours, theirs = pair_of_parameters(rng)
    walk(ours, theirs, optim.Adam(ours, **settings), torch.optim.Adam(theirs, **settings), rng)


def test_decoupled_adam_takes_the_steps_of_pytorchs_adamw(rng):
    ours, theirs = pair_of_parameters(rng)
    decoupled = optim.Adam(ours, lr=0.01, weight_decay=0.1, decoupled=True)
    walk(ours, theirs, decoupled, torch.optim.AdamW(theirs, lr=0.01, weight_decay=0.1), rng)


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW"])
def test_a_schedules_factor_acts_as_another_learning_rate(kind, rng):
    ours, theirs = pair_of_parameters(rng)
    settings = {"lr": 0.05, "weight_decay": 0.1}
    o = optim.SGD(ours, **settings) if kind == "SGD" else optim.Adam(ours, decoupled=kind == "AdamW", **settings)
    t = getattr(torch.optim, kind)(theirs, **settings)
    walk(ours, theirs, o, t, rng, scheduled=lambda step: 1 / (1 + step))


def test_groups_have_settings_of_their_own(rng):
    ours, theirs = pair_of_parameters(rng)

    def groups(p):
        return [{"params": p[:1], "lr": 0.5}, {"params": p[1:], "weight_decay": 0.2}]

    o = optim.SGD(groups(ours), lr=0.01, momentum=0.9)
    t = torch.optim.SGD(groups(theirs), lr=0.01, momentum=0.9)
    walk(ours, theirs, o, t, rng)


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
def test_a_frozen_parameter_stays_even_under_weight_decay(kind):
    frozen, free = Parameter([1.0, 2.0]), Parameter([1.0, 2.0])
    frozen.requires_grad = False
    optimizer = kind([frozen, free], lr=0.1, weight_decay=0.5)
    for _ in range(3):
        frozen.grad = free.grad = np.ones(2, np.float32)
        optimizer.step()
    assert frozen.data.tolist() == [1.0, 2.0]
    assert (free.data < [1.0, 2.0]).all()


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
def test_a_parameter_without_gradient_stays_even_under_weight_decay(kind):
    parameter = Parameter([1.0])
    optimizer = kind([parameter], lr=0.1, weight_decay=0.5)
    optimizer.step()
    assert parameter.data.tolist() == [1.0]
    assert optimizer.steps == 1


def test_adam_corrects_each_parameter_by_its_own_number_of_steps():
    late, steady = Parameter([0.0]), Parameter([0.0])
    optimizer = optim.Adam([late, steady], lr=0.1)
    for _ in range(5):
        steady.grad = np.ones(1, np.float32)
        optimizer.step()
    late.grad = np.ones(1, np.float32)
    optimizer.step()
    assert late.data[0] == pytest.approx(-0.1, rel=1e-5)  # the first step of Adam is lr


def test_zero_grad_forgets_gradients():
    parameter = Parameter([1.0])
    parameter.grad = np.ones(1, np.float32)
    optim.SGD([parameter]).zero_grad()
    assert parameter.grad is None


@pytest.mark.parametrize("kind,settings", [("SGD", {"momentum": 0.9}), ("Adam", {})])
def test_an_optimizer_goes_on_from_its_saved_state_bit_for_bit(kind, settings, rng):
    gradients = [[rng.standard_normal(shape).astype(np.float32) for shape in SHAPES] for _ in range(8)]
    start = [rng.standard_normal(shape).astype(np.float32) for shape in SHAPES]

    def run(parameters, optimizer, some):
        for each in some:
            for parameter, gradient in zip(parameters, each):
                parameter.grad = gradient
            optimizer.step()

    unbroken = [Parameter(v.copy()) for v in start]
    run(unbroken, getattr(optim, kind)(unbroken, lr=0.1, **settings), gradients)

    first = [Parameter(v.copy()) for v in start]
    before = getattr(optim, kind)(first, lr=0.1, **settings)
    run(first, before, gradients[:3])
    second = [Parameter(p.data.copy()) for p in first]
    after = getattr(optim, kind)(second, lr=0.1, **settings)
    after.load_state_dict(before.state_dict())
    run(second, after, gradients[3:])
    assert all((a.data == b.data).all() for a, b in zip(unbroken, second))
    assert after.steps == 8


def test_a_loaded_state_is_a_copy():
    parameter = Parameter([1.0])
    first, second = optim.Adam([parameter]), optim.Adam([parameter])
    parameter.grad = np.ones(1, np.float32)
    first.step()
    second.load_state_dict(first.state_dict())
    kept = second.state[0]["mean"].copy()
    first.step()
    assert second.state[0]["mean"] == kept


# ---- schedules ------------------------------------------------------------------------------------------


def test_one_cycle_rises_along_a_half_cosine_and_falls_along_another():
    schedule = optim.OneCycle(warmup=0.3, start=0.04, end=1e-4)
    factors = [schedule(step, 101) for step in range(101)]
    assert factors[0] == pytest.approx(0.04)
    assert factors[15] == pytest.approx((0.04 + 1) / 2)  # half way up
    assert factors[30] == pytest.approx(1.0)
    assert factors[65] == pytest.approx((1 + 1e-4) / 2)  # half way down
    assert factors[100] == pytest.approx(1e-4)
    assert (np.diff(factors[:31]) > 0).all() and (np.diff(factors[30:]) < 0).all()


def test_cosine_decay_follows_pytorchs():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20, eta_min=0.1)
    for step in range(21):
        assert optim.CosineDecay(end=0.1)(step, 21) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        theirs.step()


def test_exponential_decay_is_continuous_and_stops_at_its_floor():
    schedule = optim.ExponentialDecay(0.96, every=2000, floor=0.5)
    assert schedule(1000, 0) == pytest.approx(math.sqrt(0.96))
    assert schedule(4000, 0) == pytest.approx(0.96**2)
    assert schedule(10**6, 0) == 0.5


def test_step_decay_drops_at_its_milestones_and_not_before():
    schedule = optim.StepDecay([0.5, 0.75], factor=0.1)
    drops = [step for step in range(1, 200) if schedule(step, 200) != schedule(step - 1, 200)]
    assert drops == [100, 150]
    assert schedule(150, 200) == pytest.approx(0.01)


@pytest.mark.parametrize("schedule", [optim.OneCycle(), optim.CosineDecay(end=0.01)], ids=repr)
def test_after_its_last_step_a_cosine_stays_down(schedule):
    assert schedule(500, 100) == schedule(99, 100) <= 0.01


@pytest.mark.parametrize("schedule", [optim.OneCycle(), optim.OneCycle(warmup=0.0), optim.OneCycle(warmup=1.0),
                                      optim.CosineDecay(), optim.StepDecay()], ids=repr)  # fmt: skip
def test_a_training_of_one_step_has_a_finite_factor(schedule):
    assert 0 <= schedule(0, 1) <= 1


# ---- errors ---------------------------------------------------------------------------------------------

W = Parameter([1.0])


@pytest.mark.parametrize(
    "make,error,words",
    [
        (lambda: optim.SGD([]), ValueError, "at least one parameter"),
        (lambda: optim.SGD([W], lr=-1), ValueError, "lr needs to lie in"),
        (lambda: optim.SGD([W], lr=math.nan), ValueError, "lr needs to lie in"),
        (lambda: optim.SGD([W], lr="fast"), TypeError, "lr needs a number"),
        (lambda: optim.SGD([W], momentum=1.5), ValueError, "momentum needs to lie in"),
        (lambda: optim.SGD([W], weight_decay=-0.1), ValueError, "weight_decay"),
        (lambda: optim.SGD([W, W]), ValueError, "one parameter twice"),
        (lambda: optim.SGD([np.ones(2)]), TypeError, "holds a ndarray"),
        (lambda: optim.SGD(W), TypeError, "a list of Parameters.*got a Parameter"),
        (lambda: optim.Adam(3), TypeError, "a list of Parameters.*got a int"),
        (lambda: optim.Adam([W], betas=(0.9, 1.0)), ValueError, r"betas\[1\]"),
        (lambda: optim.Adam([W], betas=(0.9,)), ValueError, "betas needs two numbers"),
        (lambda: optim.Adam([W], eps=-1), ValueError, "eps"),
        (lambda: optim.Adam([{"params": [W], "momentum": 0.9}]), ValueError, "no setting 'momentum'"),
        (lambda: optim.Adam([{"lr": 0.1}]), ValueError, "a group needs 'params'"),
        (lambda: optim.OneCycle(warmup=1.2), ValueError, "warmup"),
        (lambda: optim.ExponentialDecay(every=0), ValueError, "every needs to be at least 1"),
        (lambda: optim.StepDecay([1.5]), ValueError, "milestones"),
        (lambda: optim.Adam([W]).load_state_dict({}), ValueError, "needs 'steps'"),
        (lambda: optim.Adam([W]).load_state_dict({"steps": np.array(1), "7.mean": np.ones(1)}), ValueError, "'7.mean'"),
        (
            lambda: optim.Adam([W]).load_state_dict({"steps": np.array(1), "0.velocity": np.ones(1)}),
            ValueError,
            "no parameter of this Adam",
        ),
        (
            lambda: optim.Adam([W]).load_state_dict({"steps": np.array(1), "0.mean": np.ones(3)}),
            ValueError,
            r"needs shape \(1,\), but has \(3,\)",
        ),
        (lambda: optim.Optimizer([W], lr=0.1).update(W, None, {}, {}), TypeError, "needs a method update"),
    ],
)
def test_a_wrong_argument_is_named(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_a_repr_shows_every_setting():
    assert repr(optim.SGD([W], lr=0.5, momentum=0.9)) == "SGD(lr=0.5, momentum=0.9, weight_decay=0.0, nesterov=False)"
    two = optim.Adam([{"params": [W], "lr": 0.5}, {"params": [Parameter([2.0])]}], lr=0.1)
    assert "lr=0.5" in repr(two) and "lr=0.1" in repr(two)
