"""Optimizers, which change parameters along their gradients, and schedules of their learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from zerohero.arguments import integer, number
from zerohero.operation import array_module
from zerohero.ops.optim import adam_step
from zerohero.tensor import Parameter, Tensor, move  # noqa: F401  (Parameter is used in the examples)

Schedule = Callable[[int, int], float]  # (step, total steps) -> factor for the learning rate


class Optimizer:
    """What optimizers share: groups of parameters with their own settings, and a state that can be saved.

    Parameters
    ----------
    parameters : list of Parameters, or list of dicts
        Dicts hold "params" and settings of their own for them, such as {"params": [...], "lr": 1e-4}.
    **settings
        The settings of groups that have none of their own.

    Examples
    --------
    >>> SGD([Parameter([1.0])], lr=0.1).groups[0]["lr"]
    0.1
    """

    slots: tuple[str, ...] = ()  # names of the arrays kept for each parameter

    def __init__(self, parameters: Iterable[Any], **settings: Any):
        name = type(self).__name__
        if isinstance(parameters, Tensor) or not isinstance(parameters, Iterable):
            raise TypeError(
                f"{name}: parameters needs a list of Parameters, as model.parameters() gives it, "
                f"but got a {type(parameters).__name__}"
            )
        given = list(parameters)
        if not given:
            raise ValueError(f"{name}: parameters needs at least one parameter, but got none")
        groups = [dict(group) for group in given] if isinstance(given[0], Mapping) else [{"params": given}]
        self.groups = []
        for group in groups:
            unknown = set(group) - set(settings) - {"params"}
            if unknown:
                raise ValueError(f"{name}: a group has no setting {sorted(unknown)[0]!r}; it has {sorted(settings)}")
            if "params" not in group:
                raise ValueError(f"{name}: a group needs 'params', a list of Parameters, but has {sorted(group)}")
            self.groups.append(settings | group | {"params": list(group["params"])})
            number(self.groups[-1]["lr"], name, "lr", low=0)
        self.parameters = [parameter for group in self.groups for parameter in group["params"]]
        for parameter in self.parameters:
            if not isinstance(parameter, Tensor):
                raise TypeError(f"{name}: parameters needs Parameters, but holds a {type(parameter).__name__}")
        if len({id(parameter) for parameter in self.parameters}) < len(self.parameters):
            raise ValueError(f"{name}: parameters holds one parameter twice; it would be changed twice a step")
        self.factor = 1.0  # set by a schedule; every group's lr is multiplied by it
        self.steps = 0
        self.state: list[dict[str, Any]] = [{} for _ in self.parameters]

    def zero_grad(self) -> None:
        """Forget the gradients, so that the next backward starts from none."""
        for parameter in self.parameters:
            parameter.grad = None

    def step(self) -> None:
        """Change every parameter that has a gradient and is not frozen."""
        self.apply(self.next_numbers())

    def next_numbers(self) -> list[tuple[float, ...]]:
        """Count a step, and say the numbers that it needs: those that change from step to step, for each parameter."""
        self.steps += 1
        found = []
        for _, state, settings in self.due():
            state["count"] = state.get("count", 0) + 1
            found.append(self.numbers(state["count"], settings | {"lr": settings["lr"] * self.factor}))
        return found

    def apply(self, numbers: Iterable[Any]) -> None:
        """Change the parameters by a step with these numbers: `next_numbers()`, or the same as values on the GPU."""
        for (parameter, state, settings), own in zip(self.due(), numbers, strict=True):
            for slot in self.slots:
                if slot not in state:
                    state[slot] = array_module(parameter.data).zeros_like(parameter.data)
            self.update(parameter, parameter.grad, state, settings, *own)

    def due(self) -> Iterator[tuple[Tensor, dict[str, Any], dict[str, Any]]]:
        """What is to be changed: (parameter, its state, its group's settings)."""
        states = iter(self.state)
        for group in self.groups:
            for parameter in group["params"]:
                state = next(states)
                if parameter.grad is not None and parameter.requires_grad:
                    yield parameter, state, group

    def counted(self) -> list[int]:
        """How many steps were taken: in all, and for each parameter."""
        return [self.steps, *(state.get("count", 0) for state in self.state)]

    def count_from(self, counted: list[int]) -> None:
        """Take back steps that were counted and not taken."""
        self.steps = counted[0]
        for state, count in zip(self.state, counted[1:], strict=True):
            if count or "count" in state:
                state["count"] = count

    def numbers(self, count: int, settings: dict[str, Any]) -> tuple[float, ...]:
        """What `update` needs in the step number `count` of a parameter, and what changes from step to step."""
        raise TypeError(f"{type(self).__name__}: an optimizer needs a method numbers, and this one has none")

    def update(
        self, parameter: Tensor, gradient: Any, state: dict[str, Any], settings: dict[str, Any], *numbers: Any
    ) -> None:
        """Change one parameter, its state too."""
        raise TypeError(f"{type(self).__name__}: an optimizer needs a method update, and this one has none")

    def __repr__(self) -> str:
        groups = [", ".join(f"{k}={v!r}" for k, v in group.items() if k != "params") for group in self.groups]
        return f"{type(self).__name__}({'; '.join(groups)})"

    def state_dict(self) -> dict[str, Any]:
        """The number of steps and what is kept for each parameter, as arrays by "index.name"."""
        kept = {f"{i}.{slot}": value for i, state in enumerate(self.state) for slot, value in state.items()}
        return {"steps": np.asarray(self.steps)} | {
            name: np.asarray(move(value, "numpy")) for name, value in kept.items()
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from `state_dict()` of an optimizer over the same parameters.

        Raises
        ------
        ValueError
            If an array belongs to no parameter or has another shape.
        """
        if "steps" not in saved:
            raise ValueError("load_state_dict: saved needs 'steps', which state_dict() of an optimizer holds")
        states: list[dict[str, Any]] = [{} for _ in self.parameters]
        for key, value in saved.items():
            if key == "steps":
                continue
            position, _, slot = key.partition(".")
            if not position.isdigit() or int(position) >= len(states) or slot not in (*self.slots, "count"):
                raise ValueError(f"load_state_dict: {key!r} belongs to no parameter of this {type(self).__name__}")
            parameter = self.parameters[int(position)]
            if slot != "count" and value.shape != parameter.shape:
                raise ValueError(f"load_state_dict: {key!r} needs shape {parameter.shape}, but has {value.shape}")
            xp = array_module(parameter.data)
            states[int(position)][slot] = int(value) if slot == "count" else xp.array(value, dtype=parameter.dtype)
        self.state, self.steps = states, int(saved["steps"])


class SGD(Optimizer):
    """Stochastic gradient descent: p ← p - lr · v, with v ← momentum · v + gradient + weight_decay · p.

    Parameters
    ----------
    parameters : list of Parameters, or list of dicts (see `Optimizer`)
    lr : float
        Learning rate.
    momentum : float in [0, 1]
        How much of the last step's direction stays; 0 is plain gradient descent.
    weight_decay : float
        Pulls every weight towards 0 (the gradient of weight_decay / 2 · ‖p‖²).
    nesterov : bool
        Look ahead along the momentum.

    References
    ----------
    Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning"; the form is PyTorch's.

    Examples
    --------
    >>> w = Parameter([1.0])
    >>> (w * w).sum().backward()
    >>> SGD([w], lr=0.25).step()
    >>> w.data
    array([0.5], dtype=float32)
    """

    slots = ("velocity",)

    def __init__(
        self, parameters: Iterable[Any], lr: float = 0.01, *, momentum: float = 0.0, weight_decay: float = 0.0,
        nesterov: bool = False,
    ):  # fmt: skip
        number(momentum, "SGD", "momentum", low=0, high=1)
        number(weight_decay, "SGD", "weight_decay", low=0)
        super().__init__(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov)

    def numbers(self, count: int, settings: dict[str, Any]) -> tuple[float, ...]:
        return (settings["lr"],)

    def update(
        self, parameter: Tensor, gradient: Any, state: dict[str, Any], settings: dict[str, Any], *numbers: Any
    ) -> None:
        (lr,), momentum = numbers, settings["momentum"]
        if settings["weight_decay"]:
            gradient = gradient + settings["weight_decay"] * parameter.data
        velocity = state["velocity"]
        velocity *= momentum
        velocity += gradient
        direction = gradient + momentum * velocity if settings["nesterov"] else velocity
        parameter.data -= lr * direction


class Adam(Optimizer):
    """Adam: steps of about lr in every coordinate, from running means of the gradient m and of its square v.

    p ← p - lr · m̂ / (√v̂ + eps), where m̂ = m / (1 - β₁ᵗ) and v̂ = v / (1 - β₂ᵗ) make up for starting at 0.

    Parameters
    ----------
    parameters : list of Parameters, or list of dicts (see `Optimizer`)
    lr : float
    betas : (β₁, β₂)
        How much of m and v stays from step to step.
    eps : float
    weight_decay : float
        Added to the gradient; with `decoupled`, applied to the weights directly (AdamW).
    decoupled : bool

    References
    ----------
    Kingma & Ba 2014, "Adam", arXiv:1412.6980, algorithm 1; Loshchilov & Hutter 2017, arXiv:1711.05101.

    Examples
    --------
    >>> w = Parameter([1.0])
    >>> (w * w).sum().backward()
    >>> Adam([w], lr=0.25).step()
    >>> w.data
    array([0.75], dtype=float32)
    """

    slots = ("mean", "square")

    def __init__(
        self, parameters: Iterable[Any], lr: float = 1e-3, *, betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0.0, decoupled: bool = False,
    ):  # fmt: skip
        if len(betas) != 2:
            raise ValueError(f"Adam: betas needs two numbers (β₁, β₂), but got {betas!r}")
        for i, beta in enumerate(betas):
            number(beta, "Adam", f"betas[{i}]", low=0, high=1 - 1e-12)
        number(eps, "Adam", "eps", low=0)
        number(weight_decay, "Adam", "weight_decay", low=0)
        settings = dict(lr=lr, betas=tuple(betas), eps=eps, weight_decay=weight_decay, decoupled=decoupled)
        super().__init__(parameters, **settings)

    def numbers(self, count: int, settings: dict[str, Any]) -> tuple[float, ...]:
        first, second = settings["betas"]
        correction = math.sqrt(1 - second**count)
        rate = settings["lr"] * correction / (1 - first**count)
        shrink = 1 - settings["lr"] * settings["weight_decay"] if settings["decoupled"] else 1.0
        return rate, settings["eps"] * correction, shrink

    def update(
        self, parameter: Tensor, gradient: Any, state: dict[str, Any], settings: dict[str, Any], *numbers: Any
    ) -> None:
        rate, eps, shrink = numbers
        adam_step(
            parameter.data, gradient, state["mean"], state["square"], betas=settings["betas"], rate=rate, eps=eps,
            decay=0.0 if settings["decoupled"] else settings["weight_decay"], shrink=shrink,
        )  # fmt: skip


# ---- schedules ------------------------------------------------------------------------------------------


class OneCycle:
    """Up from a small rate to the full one and down to almost nothing, along half cosines.

    Parameters
    ----------
    warmup : float in [0, 1]
        The part of all steps on the way up.
    start, end : float
        The factor at the first and the last step; between them it reaches 1.

    References
    ----------
    Smith & Topin 2017, "Super-convergence", arXiv:1708.07120.

    Examples
    --------
    >>> schedule = OneCycle(warmup=0.5, start=0.0, end=0.0)
    >>> [round(schedule(step, 5), 2) for step in range(5)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """

    def __init__(self, *, warmup: float = 0.3, start: float = 0.04, end: float = 1e-4):
        self.warmup = number(warmup, "OneCycle", "warmup", low=0, high=1)
        self.start, self.end = number(start, "OneCycle", "start", low=0), number(end, "OneCycle", "end", low=0)

    def __call__(self, step: int, total: int) -> float:
        progress = min(step / max(total - 1, 1), 1)
        if progress < self.warmup:
            return _cosine(self.start, 1.0, progress / self.warmup)
        return _cosine(1.0, self.end, (progress - self.warmup) / max(1 - self.warmup, 1e-12))

    def __repr__(self) -> str:
        return f"OneCycle(warmup={self.warmup}, start={self.start}, end={self.end})"


class CosineDecay:
    """From the full rate down to `end` times it along half a cosine.

    References
    ----------
    Loshchilov & Hutter 2016, "SGDR", arXiv:1608.03983.

    Examples
    --------
    >>> schedule = CosineDecay()
    >>> [round(schedule(step, 3), 2) for step in range(3)]  # the rate's factor at each of three steps
    [1.0, 0.5, 0.0]
    """

    def __init__(self, *, end: float = 0.0):
        self.end = number(end, "CosineDecay", "end", low=0)

    def __call__(self, step: int, total: int) -> float:
        return _cosine(1.0, self.end, min(step / max(total - 1, 1), 1))

    def __repr__(self) -> str:
        return f"CosineDecay(end={self.end})"


class ExponentialDecay:
    """Times `rate` every `every` steps, continuously, but never below `floor`.

    Examples
    --------
    >>> ExponentialDecay(0.5, every=10)(20, 100)
    0.25
    """

    def __init__(self, rate: float = 0.96, *, every: int = 2000, floor: float = 0.0):
        self.rate = number(rate, "ExponentialDecay", "rate", low=0, high=1)
        self.every = integer(every, "ExponentialDecay", "every", least=1)
        self.floor = number(floor, "ExponentialDecay", "floor", low=0)

    def __call__(self, step: int, total: int) -> float:
        return max(self.rate ** (step / self.every), self.floor)

    def __repr__(self) -> str:
        return f"ExponentialDecay({self.rate}, every={self.every}, floor={self.floor})"


class StepDecay:
    """Times `factor` at each of the `milestones`, which are parts of the training between 0 and 1.

    Examples
    --------
    >>> [round(StepDecay([0.5, 0.75])(step, 100), 3) for step in (49, 50, 75)]
    [1.0, 0.1, 0.01]
    """

    def __init__(self, milestones: Sequence[float] = (0.5, 0.75), *, factor: float = 0.1):
        self.milestones = [number(m, "StepDecay", "milestones", low=0, high=1) for m in milestones]
        self.factor = number(factor, "StepDecay", "factor", low=0)

    def __call__(self, step: int, total: int) -> float:
        return self.factor ** sum(step >= milestone * total for milestone in self.milestones)

    def __repr__(self) -> str:
        return f"StepDecay({self.milestones}, factor={self.factor})"


def _cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2
