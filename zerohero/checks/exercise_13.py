"""The tasks of exercise 13, Beyond. How answers are run and compared is not known here."""

from __future__ import annotations

import numpy as np

from zerohero.checks.definition import Case, Task


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _shares(rng, *shape):
    """Numbers from 0.05 to about 1 that sum to 1 over the last axis."""
    raw = rng.uniform(0.05, 1, size=shape)
    return raw / raw.sum(axis=-1, keepdims=True)


# --- EM routing: M-step -------------------------------------------------------------------------------------


def _assigned(rng: np.random.Generator) -> list[Case]:
    def case(n, i, j, h, silent=False):
        activations = rng.uniform(0.1, 1, size=(n, i))
        if silent:
            activations[:, 1] = 0
        return Case(rng.normal(size=(n, i, j, h)), activations, _shares(rng, n, i, j))

    two = np.array([[[[0.0], [1]], [[4.0], [3]]]])  # votes of two children for two parents, one number each
    return [
        Case(two, np.array([[1.0, 0.5]]), np.array([[[0.5, 0.5], [0.25, 0.75]]])),
        case(2, 5, 3, 4),
        case(3, 6, 2, 4, silent=True),
    ]


def _spread(mass, votes, mean):
    """Σ mass (V − μ)² / Σ mass: (N, I, J), (N, I, J, H), (N, J, H) → (N, J, H)."""
    return np.einsum("nij,nijh->njh", mass, (votes - mean[:, None]) ** 2) / mass.sum(axis=1)[..., None]


def _fitted(
    votes, activations, R, *,
    weigh=lambda R, a: R * a[..., None],
    mean=lambda mass, votes: np.einsum("nij,nijh->njh", mass, votes) / mass.sum(axis=1)[..., None],
    variance=_spread,
    total=lambda mass: mass.sum(axis=1),
):  # fmt: skip
    """The M-step with one of its parts replaced."""
    mass = weigh(R, activations)
    center = mean(mass, votes)
    return center, variance(mass, votes, center), total(mass)


def _right_fit(votes, activations, R):
    return _fitted(votes, activations, R)


m_step = Task(
    name="13.m_step",
    title="EM routing: the M-step",
    difficulty=4,
    minutes=30,
    practises="fitting a Gaussian to votes of which each counts by its share and its child's activation",
    reference=_right_fit,
    inputs=_assigned,
    returns=("mean", "variance", "mass"),
    hints=[
        "First what each vote counts, `r = R * activations[:, :, None]`, (N, I, J). It is *not* made to sum to 1 "
        "again. A parent's mass is the sum over the children, `r.sum(axis=1)`.",
        "The mean of a parent: Σ r V / Σ r over the children, (N, J, H). In NumPy: "
        "`(r[..., None] * votes).sum(axis=1) / mass[..., None]`.",
        "`variance = (r[..., None] * (votes - mean[:, None]) ** 2).sum(axis=1) / mass[..., None]`; no square root. "
        "Return `mean, variance, mass`.",
    ],
)


@m_step.misconception(
    "no a_i",
    "You leave out the children's activations (or make R · a sum to 1 over the parents again, which cancels them). A "
    "child that sees nothing must not count: `R * activations[:, :, None]`.",
)
def no_activations(votes, activations, R):
    return _fitted(votes, activations, R, weigh=lambda R, a: R)


@m_step.misconception(
    "R renormalised",
    "After R · a you divide by the sum over the parents. That cancels the activations, and a silent child becomes NaN, "
    "0 / 0. A child with a small activation simply counts less: leave out the division.",
)
def renormalised_over_parents(votes, activations, R):
    def weigh(R, a):
        return R * a[..., None] / (R * a[..., None]).sum(axis=2, keepdims=True)

    return _fitted(votes, activations, R, weigh=weigh)


@m_step.misconception(
    "R renormalised",
    "After R · a you divide by the sum over the parents, with something small added against 0 / 0. That cancels the "
    "activations of all but silent children. Leave out the division.",
)
def renormalised_but_for_the_silent(votes, activations, R):
    return _fitted(votes, activations, R, weigh=lambda R, a: R * (a > 0)[..., None])


@m_step.misconception(
    "R renormalised",
    "Your mean and variance are right, but your mass is 1 for every parent: you divided R · a by its sum over the "
    "children. The mass says *how much* a parent has explained: Σ R a, undivided.",
)
def renormalised_over_children(votes, activations, R):
    return _fitted(votes, activations, R, total=lambda mass: np.ones_like(mass[:, 0]))


@m_step.misconception(
    "σ for σ²",
    "Your second answer is σ, the square root. The variance σ² is asked for: no root.",
)
def deviation(votes, activations, R):
    return _fitted(votes, activations, R, variance=lambda *x: np.sqrt(_spread(*x)))


@m_step.misconception(
    "σ for σ²",
    "Your second answer is the mean distance |V − μ|. The variance is the mean of the *squared* distances.",
)
def mean_distance(votes, activations, R):
    def variance(mass, votes, mean):
        return np.einsum("nij,nijh->njh", mass, np.abs(votes - mean[:, None])) / mass.sum(axis=1)[..., None]

    return _fitted(votes, activations, R, variance=variance)


@m_step.misconception(
    "mean not subtracted",
    "Your second answer is the mean of V², about 0. A variance is about the mean: (V − μ)².",
)
def about_zero(votes, activations, R):
    return _fitted(votes, activations, R, variance=lambda mass, votes, mean: _spread(mass, votes, 0 * mean))


@m_step.misconception(
    "about the plain mean",
    "Your variance is about the plain mean of the votes. It is about the parent's μ, which you have just computed.",
)
def about_the_plain_mean(votes, activations, R):
    return _fitted(votes, activations, R, variance=lambda mass, votes, mean: _spread(mass, votes, votes.mean(axis=1)))


@m_step.misconception(
    "not divided by the mass",
    "Your mean is Σ R a V: the division by Σ R a is missing, and so the variance is about the wrong place.",
)
def mean_undivided(votes, activations, R):
    return _fitted(votes, activations, R, mean=lambda mass, votes: np.einsum("nij,nijh->njh", mass, votes))


@m_step.misconception(
    "not divided by the mass",
    "Your variance is Σ R a (V − μ)²: the division by Σ R a is missing.",
)
def variance_undivided(votes, activations, R):
    def variance(mass, votes, mean):
        return _spread(mass, votes, mean) * mass.sum(axis=1)[..., None]

    return _fitted(votes, activations, R, variance=variance)


@m_step.misconception(
    "divided by the number of children",
    "You divide by the number of children. Their weights don't sum to that: divide by Σ R a.",
)
def divided_by_the_count(votes, activations, R):
    def over_count(mass, x):
        return np.einsum("nij,nijh->njh", mass, x) / mass.shape[1]

    return _fitted(
        votes, activations, R, mean=over_count,
        variance=lambda mass, votes, mean: over_count(mass, (votes - mean[:, None]) ** 2),
    )  # fmt: skip


@m_step.misconception(
    "a_i in the numerator only",
    "You divide by Σ R, but the numerator has R · a. Both need the activations: divide by Σ R a, the mass.",
)
def divided_by_shares(votes, activations, R):
    return _fitted(
        votes, activations, R,
        mean=lambda mass, votes: np.einsum("nij,nijh->njh", mass, votes) / R.sum(axis=1)[..., None],
        variance=lambda mass, votes, mean: _spread(mass, votes, mean)
        * (mass.sum(axis=1) / R.sum(axis=1))[..., None],
    )  # fmt: skip


@m_step.misconception(
    "a_i twice",
    "You multiply by the activations twice. Once is enough: R · a.",
)
def activations_twice(votes, activations, R):
    return _fitted(votes, activations, R, weigh=lambda R, a: R * a[..., None] ** 2)


@m_step.misconception(
    "plain mean and variance",
    "Every vote of yours counts the same. It counts R · a: by its share and by its child's activation.",
)
def unweighted(votes, activations, R):
    mass = (R * activations[..., None]).sum(axis=1)
    return votes.mean(axis=1), votes.var(axis=1), mass


@m_step.misconception(
    "one variance for all dimensions",
    "You average the variance over the H numbers. Each dimension has its own.",
)
def one_variance(votes, activations, R):
    def variance(*x):
        all_dimensions = _spread(*x)
        return np.broadcast_to(all_dimensions.mean(axis=2, keepdims=True), all_dimensions.shape)

    return _fitted(votes, activations, R, variance=variance)


@m_step.misconception(
    "summed over the parents",
    "You sum over the parents, axis 2: one answer for each child. A parent is fitted to the votes of all children: sum "
    "over axis 1.",
)
def summed_over_the_parents(votes, activations, R):
    mass = R * activations[..., None]
    mean = np.einsum("nij,nijh->nih", mass, votes) / mass.sum(axis=2)[..., None]
    spread = np.einsum("nij,nijh->nih", mass, (votes - mean[:, :, None]) ** 2) / mass.sum(axis=2)[..., None]
    return mean, spread, mass.sum(axis=2)


@m_step.misconception(
    "mass without a_i",
    "Your mean and variance are right, but your mass is Σ R. What silent children were assigned is no evidence: Σ R a.",
)
def mass_without_activations(votes, activations, R):
    return *_right_fit(votes, activations, R)[:2], R.sum(axis=1)


@m_step.misconception(
    "mean for the mass",
    "Your mean and variance are right, but your mass is a mean over the children. It is their sum, Σ R a.",
)
def mean_mass(votes, activations, R):
    return _fitted(votes, activations, R, total=lambda mass: mass.mean(axis=1))


@m_step.misconception(
    "order of the answers",
    "Variance and mean are exchanged: return mean, variance, mass.",
)
def answers_exchanged(votes, activations, R):
    mean, variance, mass = _right_fit(votes, activations, R)
    return variance, mean, mass


# --- EM routing: E-step -------------------------------------------------------------------------------------


def _explained(rng: np.random.Generator) -> list[Case]:
    def case(n, i, j, h, far=0.0):
        votes = rng.normal(size=(n, i, j, h)) + far
        return Case(votes, rng.normal(size=(n, j, h)), rng.uniform(0.4, 2.5, size=(n, j, h)), rng.uniform(
            0.1, 0.95, size=(n, j)
        ))  # fmt: skip

    near = np.array([[[[0.5], [0.5]]]])
    return [
        Case(near, np.array([[[0.0], [2]]]), np.array([[[1.0], [4]]]), np.array([[0.8, 0.4]])),
        case(2, 4, 3, 2),
        case(3, 5, 2, 4),
        case(1, 3, 4, 3, far=60.0),
    ]


def _log_density(votes, mean, variance, *, half=0.5, log=lambda variance: 0.5 * np.log(variance), power=1.0):
    """log N without its constant: (N, I, J)."""
    distance = half * (votes - mean[:, None]) ** 2 / variance[:, None] ** power
    return -(distance + log(variance)[:, None]).sum(axis=3)


def _softmax(x, axis=2):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def _right_shares(votes, mean, variance, activations):
    return _softmax(np.log(activations)[:, None] + _log_density(votes, mean, variance))


e_step = Task(
    name="13.e_step",
    title="EM routing: the E-step",
    difficulty=4,
    minutes=30,
    practises="which parent explains a vote best: Bayes' rule, in logarithms",
    reference=_right_shares,
    inputs=_explained,
    returns=("R",),
    hints=[
        "In logarithms the product over the H dimensions becomes a sum: log a_j - Σ_h ((V - μ)² / (2σ²) + ½ log σ²). "
        "The constant with 2π is the same for all parents and cancels.",
        "With `d = votes - mean[:, None]`: `score = np.log(activations)[:, None] - (d**2 / (2 * variance[:, None]) + "
        "np.log(variance)[:, None] / 2).sum(axis=3)`, (N, I, J).",
        "A child's shares sum to 1 over the parents: `zh.softmax(score, axis=2)`, which also keeps far votes from "
        "becoming 0 / 0.",
    ],
)


@e_step.misconception(
    "no a_j",
    "You leave out the parents' activations. A parent that is hardly there explains hardly anything: add "
    "`np.log(activations)[:, None]`.",
)
def no_parents_activations(votes, mean, variance, activations):
    return _softmax(_log_density(votes, mean, variance))


@e_step.misconception(
    "a_j in place of its logarithm",
    "You add a_j to the logarithms. A factor becomes a sum of *logarithms*: add log a_j.",
)
def activations_added(votes, mean, variance, activations):
    return _softmax(activations[:, None] + _log_density(votes, mean, variance))


@e_step.misconception(
    "a_j after the normalisation",
    "You multiply by a_j at the end, so that a child's shares no longer sum to 1. Multiply first, then normalise.",
)
def activations_last(votes, mean, variance, activations):
    return activations[:, None] * _softmax(_log_density(votes, mean, variance))


@e_step.misconception(
    "log σ missing",
    "Your density lacks its factor 1/σ: a parent with a wide Gaussian would explain everything. Add -½ log σ² for each "
    "dimension.",
)
def no_log_sigma(votes, mean, variance, activations):
    return _softmax(np.log(activations)[:, None] + _log_density(votes, mean, variance, log=lambda v: 0 * v))


@e_step.misconception(
    "log σ missing",
    "Your density has log σ² where log σ = ½ log σ² belongs: the density has a factor 1/σ, not 1/σ².",
)
def log_of_the_variance(votes, mean, variance, activations):
    return _softmax(np.log(activations)[:, None] + _log_density(votes, mean, variance, log=np.log))


@e_step.misconception(
    "sign of log σ",
    "Your log σ has the wrong sign: the density has a factor 1/σ, so it becomes -log σ.",
)
def log_sigma_added(votes, mean, variance, activations):
    log = lambda v: -0.5 * np.log(v)
    return _softmax(np.log(activations)[:, None] + _log_density(votes, mean, variance, log=log))


@e_step.misconception(
    "normalised over children",
    "Your shares sum to 1 over the children. Each child hands out its own 1 among the parents: axis 2.",
)
def over_children(votes, mean, variance, activations):
    return _softmax(np.log(activations)[:, None] + _log_density(votes, mean, variance), axis=1)


@e_step.misconception(
    "normalised over everything",
    "Your shares of a whole image sum to 1. Each child hands out its own 1 among the parents: axis 2.",
)
def over_everything(votes, mean, variance, activations):
    score = np.log(activations)[:, None] + _log_density(votes, mean, variance)
    return _softmax(score, axis=(1, 2))


@e_step.misconception(
    "not normalised",
    "You return a_j · N, not shares. Divide by the sum over the parents, or better take the softmax of the logarithms.",
)
def not_normalised(votes, mean, variance, activations):
    density = np.exp(_log_density(votes, mean, variance)) / (2 * np.pi) ** (votes.shape[3] / 2)
    return activations[:, None] * density


@e_step.misconception(
    "logarithms returned",
    "You return logarithms. The shares are asked for: `zh.softmax(score, axis=2)`.",
)
def logarithms(votes, mean, variance, activations):
    return np.log(activations)[:, None] + _log_density(votes, mean, variance)


@e_step.misconception(
    "far votes give NaN",
    "Right, but for votes far from all parents: every density is rounded to 0, and 0 / 0 is NaN. Stay with logarithms "
    "and take the softmax, which subtracts the largest first.",
)
def underflow(votes, mean, variance, activations):
    p = activations[:, None] * np.exp(_log_density(votes, mean, variance))
    return p / p.sum(axis=2, keepdims=True)


def _from_densities(votes, mean, variance, activations, *, factor=lambda v: 1 / np.sqrt(2 * np.pi * v), axis=2):
    """As it is written without logarithms, with one of the parts replaced."""
    density = np.exp(-((votes - mean[:, None]) ** 2) / (2 * variance[:, None])) * factor(variance)[:, None]
    p = density.prod(axis=3) * activations[:, None]
    return p / p.sum(axis=axis, keepdims=True)


@e_step.misconception(
    "log σ missing",
    "Two things. Your density lacks its factor 1/σ, so that a parent with a wide Gaussian explains everything. And "
    "votes far from all parents give 0 / 0: stay with logarithms, where the factor is -½ log σ², and take the softmax.",
)
def no_factor(*data):
    return _from_densities(*data, factor=lambda v: 1 + 0 * v)


@e_step.misconception(
    "log σ missing",
    "Two things. Your density has a factor 1/σ² instead of 1/σ. And votes far from all parents give 0 / 0: stay with "
    "logarithms and take the softmax.",
)
def factor_squared(*data):
    return _from_densities(*data, factor=lambda v: 1 / v)


@e_step.misconception(
    "no a_j",
    "Two things. You leave out the parents' activations. And votes far from all parents give 0 / 0: stay with "
    "logarithms, add log a_j, and take the softmax.",
)
def densities_without_activations(votes, mean, variance, activations):
    return _from_densities(votes, mean, variance, np.ones_like(activations))


@e_step.misconception(
    "normalised over children",
    "Two things. Your shares sum to 1 over the children; each child hands out its own 1 among the parents, axis 2. And "
    "votes far from all parents give 0 / 0: stay with logarithms and take the softmax.",
)
def densities_over_children(*data):
    return _from_densities(*data, axis=1)


@e_step.misconception(
    "½ forgotten",
    "Your exponent is (V - μ)² / σ²: the ½ is missing.",
)
def no_half(votes, mean, variance, activations):
    return _softmax(np.log(activations)[:, None] + _log_density(votes, mean, variance, half=1.0))


@e_step.misconception(
    "σ for σ²",
    "You divide the squares by σ. They are divided by σ², and `variance` is σ² already.",
)
def divided_by_sigma(votes, mean, variance, activations):
    return _softmax(np.log(activations)[:, None] + _log_density(votes, mean, variance, power=0.5))


@e_step.misconception(
    "σ for σ²",
    "You square `variance`. It is σ² already.",
)
def variance_squared(votes, mean, variance, activations):
    return _softmax(np.log(activations)[:, None] + _log_density(votes, mean, variance, power=2.0, log=np.log))


@e_step.misconception(
    "σ for σ²",
    "You square `variance` in the exponent. It is σ² already.",
)
def variance_squared_in_the_exponent(votes, mean, variance, activations):
    return _softmax(np.log(activations)[:, None] + _log_density(votes, mean, variance, power=2.0))


@e_step.misconception(
    "mean over the dimensions",
    "You average over the H dimensions. The densities of the dimensions are multiplied, so their logarithms are added.",
)
def mean_over_dimensions(votes, mean, variance, activations):
    return _softmax(np.log(activations)[:, None] + _log_density(votes, mean, variance) / votes.shape[3])


@e_step.misconception(
    "first dimension only",
    "You use the first dimension alone. All H count: sum the logarithms over the last axis.",
)
def first_dimension(votes, mean, variance, activations):
    density = _log_density(votes[..., :1], mean[..., :1], variance[..., :1])
    return _softmax(np.log(activations)[:, None] + density)


@e_step.misconception(
    "sign of the distance",
    "In your result far parents explain a vote best: the distance needs a minus sign.",
)
def far_is_good(votes, mean, variance, activations):
    return _softmax(np.log(activations)[:, None] + _log_density(votes, mean, variance, half=-0.5))


# --- EM routing: activation of a parent ---------------------------------------------------------------------


def _costs(rng: np.random.Generator) -> list[Case]:
    def case(n, j, h, inverse_temperature):
        return Case(
            rng.uniform(0.2, 2.5, size=(n, j, h)), rng.uniform(0.3, 3, size=(n, j)), rng.normal(size=j),
            rng.normal(size=j), inverse_temperature,
        )  # fmt: skip

    return [
        Case(np.array([[[0.25, 1.0]]]), np.array([[2.0]]), np.array([1.0]), np.array([0.5]), 0.5),
        case(2, 3, 4, 0.3),
        case(3, 2, 5, 0.05),
    ]


def _active(
    variance, mass, beta_a, beta_u, inverse_temperature, *,
    log=lambda variance: 0.5 * np.log(variance),
    cost=lambda beta_u, log, mass: ((beta_u[:, None] + log) * mass[..., None]).sum(axis=2),
    score=lambda beta_a, cost, temperature: temperature * (beta_a - cost),
    squash=_sigmoid,
):  # fmt: skip
    """The parents' activations with one of the parts replaced."""
    return squash(score(beta_a, cost(beta_u, log(variance), mass), inverse_temperature))


def _right_activation(variance, mass, beta_a, beta_u, inverse_temperature):
    return _active(variance, mass, beta_a, beta_u, inverse_temperature)


parent_activation = Task(
    name="13.parent_activation",
    title="EM routing: is a parent there?",
    difficulty=3,
    minutes=20,
    practises="a capsule that is active if it saves more than it costs",
    reference=_right_activation,
    inputs=_costs,
    returns=("activation",),
    hints=[
        "The cost of one dimension: (β_u + log σ) · mass. `variance` is σ², and log σ = ½ log σ².",
        "`cost = (beta_u[:, None] + np.log(variance) / 2) * mass[..., None]` is (N, J, H); sum it over the dimensions.",
        "`zh.sigmoid(inverse_temperature * (beta_a - cost.sum(axis=2)))`.",
    ],
)


@parent_activation.misconception(
    "softmax",
    "Your activations sum to 1 over the parents. Each parent asks only itself whether it is there: several can be, or "
    "none. Take the sigmoid.",
)
def softmax_activation(*data):
    return _active(*data, squash=lambda x: _softmax(x, axis=1))


@parent_activation.misconception(
    "cost sign",
    "Your cost raises the activation: votes that scatter would make a parent sure. It is β_a *minus* the cost.",
)
def cost_added(*data):
    return _active(*data, score=lambda b, cost, t: t * (b + cost))


@parent_activation.misconception(
    "cost sign",
    "Your whole score has the opposite sign: β_a minus the cost, not the cost minus β_a.",
)
def score_negated(*data):
    return _active(*data, score=lambda b, cost, t: t * (cost - b))


@parent_activation.misconception(
    "no λ",
    "You leave out λ, the inverse temperature. It multiplies all of β_a - Σ cost, and grows with the iterations.",
)
def no_temperature(*data):
    return _active(*data, score=lambda b, cost, t: b - cost)


@parent_activation.misconception(
    "λ in the wrong place",
    "Your λ multiplies β_a alone. It multiplies all of β_a - Σ cost: set parentheses.",
)
def temperature_on_beta(*data):
    return _active(*data, score=lambda b, cost, t: t * b - cost)


@parent_activation.misconception(
    "λ in the wrong place",
    "Your λ multiplies the cost alone. It multiplies all of β_a - Σ cost: set parentheses.",
)
def temperature_on_cost(*data):
    return _active(*data, score=lambda b, cost, t: b - t * cost)


@parent_activation.misconception(
    "λ in the wrong place",
    "You divide by λ. It is the *inverse* temperature: multiply.",
)
def divided_by_temperature(*data):
    return _active(*data, score=lambda b, cost, t: (b - cost) / t)


@parent_activation.misconception(
    "log σ² for log σ",
    "Your cost has log σ². It is log σ = ½ log σ².",
)
def log_variance(*data):
    return _active(*data, log=np.log)


@parent_activation.misconception(
    "σ for log σ",
    "Your cost has σ itself. It is its logarithm: the cost is a description length.",
)
def no_logarithm(*data):
    return _active(*data, log=np.sqrt)


@parent_activation.misconception(
    "σ for log σ",
    "Your cost has σ² itself. It is log σ = ½ log σ²: the cost is a description length.",
)
def variance_itself(*data):
    return _active(*data, log=lambda variance: variance)


@parent_activation.misconception(
    "sign of log σ",
    "Your log σ has the wrong sign: votes that agree, with a small σ, are *cheap*.",
)
def log_subtracted(*data):
    return _active(*data, log=lambda variance: -0.5 * np.log(variance))


@parent_activation.misconception(
    "mass forgotten",
    "Your cost doesn't count how much is described. A parent pays for each vote that it takes: multiply by its mass.",
)
def no_mass(*data):
    return _active(*data, cost=lambda b, log, mass: (b[:, None] + log).sum(axis=2))


@parent_activation.misconception(
    "mass on log σ only",
    "Your mass multiplies log σ alone. β_u is paid for each vote, too: (β_u + log σ) · mass.",
)
def mass_on_log(*data):
    return _active(*data, cost=lambda b, log, mass: (b[:, None] + log * mass[..., None]).sum(axis=2))


@parent_activation.misconception(
    "β_u once",
    "You count β_u once for all dimensions. Each of the H dimensions pays it: it stands inside the sum.",
)
def beta_once(*data):
    return _active(*data, cost=lambda b, log, mass: (b + log.sum(axis=2)) * mass)


@parent_activation.misconception(
    "β_u forgotten",
    "You leave out β_u, the fixed cost for each vote and dimension.",
)
def no_beta_u(*data):
    return _active(*data, cost=lambda b, log, mass: (log * mass[..., None]).sum(axis=2))


@parent_activation.misconception(
    "β_a forgotten",
    "You leave out β_a, what a parent saves by being there.",
)
def no_beta_a(*data):
    return _active(*data, score=lambda b, cost, t: -t * cost)


@parent_activation.misconception(
    "β exchanged",
    "β_a and β_u are exchanged: β_u belongs to the cost of each dimension, β_a stands alone.",
)
def betas_exchanged(variance, mass, beta_a, beta_u, inverse_temperature):
    return _active(variance, mass, beta_u, beta_a, inverse_temperature)


@parent_activation.misconception(
    "mean over the dimensions",
    "You average the cost over the dimensions. It is their sum.",
)
def mean_cost(*data):
    return _active(*data, cost=lambda b, log, mass: ((b[:, None] + log) * mass[..., None]).mean(axis=2))


@parent_activation.misconception(
    "no sigmoid",
    "You return the score. An activation lies between 0 and 1: `zh.sigmoid`.",
)
def no_sigmoid(*data):
    return _active(*data, squash=lambda x: x)


@parent_activation.misconception(
    "tanh",
    "You take tanh, which goes from -1 to 1. An activation lies between 0 and 1: the sigmoid.",
)
def tanh(*data):
    return _active(*data, squash=np.tanh)


# --- spread loss --------------------------------------------------------------------------------------------


def _activations(rng: np.random.Generator) -> list[Case]:
    def case(n, j, margin):
        labels = rng.integers(j, size=n)
        activations = rng.uniform(0, 0.6, size=(n, j))
        activations[np.arange(n), labels] += rng.uniform(0, 0.4, size=n)
        return Case(activations, labels, margin)

    return [
        Case(np.array([[0.9, 0.2, 0.6]]), np.array([0]), 0.5),
        case(4, 3, 0.2),
        case(5, 6, 0.9),
        case(7, 4, 0.4),
    ]


def _spread_loss(
    activations, labels, margin, *,
    gap=lambda target, a: target - a,
    short=lambda margin, gap: np.maximum(0, margin - gap),
    cost=lambda short: short**2,
    others=lambda activations, labels: np.arange(activations.shape[1]) != labels[:, None],
    rivals=lambda costs: costs.sum(axis=1),
    batch=np.mean,
):  # fmt: skip
    """The spread loss with one of its parts replaced."""
    target = activations[np.arange(len(labels)), labels][:, None]
    costs = cost(short(margin, gap(target, activations)))
    return batch(rivals(costs * others(activations, labels)))


def _right_spread(activations, labels, margin):
    return _spread_loss(activations, labels, margin)


spread_loss = Task(
    name="13.spread_loss",
    title="Spread loss",
    difficulty=2,
    minutes=15,
    practises="a loss that asks for distance between the right class and each other one",
    reference=_right_spread,
    inputs=_activations,
    returns=("loss",),
    hints=[
        "The activation of the true class, as a column: `target = activations[np.arange(N), labels][:, None]`, (N, 1).",
        "What is missing: `np.maximum(0, margin - (target - activations))`, squared. In the true class's own column "
        "the gap is 0, so the margin itself would be counted: set it to 0.",
        "`others = np.arange(J) != labels[:, None]`, then `(others * missing**2).sum(axis=1).mean()`.",
    ],
)


@spread_loss.misconception(
    "target term kept",
    "You count the true class among its own rivals. Its gap to itself is 0, so it adds margin² for every image: leave "
    "it out, i ≠ t.",
)
def target_kept(*data):
    return _spread_loss(*data, others=lambda a, labels: np.ones(a.shape))


@spread_loss.misconception(
    "margin² subtracted",
    "You leave the true class out, and then subtract margin², too. One of the two is enough.",
)
def margin_subtracted(activations, labels, margin):
    return _right_spread(activations, labels, margin) - margin**2


@spread_loss.misconception("unsquared", "You add up what is missing. Its square is asked for, class by class.")
def unsquared(*data):
    return _spread_loss(*data, cost=lambda short: short)


@spread_loss.misconception(
    "square of the sum",
    "You add up what is missing, and square the sum. Square each class's part first, then add.",
)
def square_of_sum(*data):
    return _spread_loss(*data, cost=lambda short: short, rivals=lambda costs: costs.sum(axis=1) ** 2)


@spread_loss.misconception(
    "margin sign",
    "You add the gap to the margin: the further ahead the true class is, the more it costs. It is "
    "margin - (a_t - a_i).",
)
def gap_added(*data):
    return _spread_loss(*data, short=lambda margin, gap: np.maximum(0, margin + gap))


@spread_loss.misconception(
    "margin sign",
    "Your margin has the wrong sign: a rival costs only once it is ahead by the margin. It costs already if it isn't "
    "behind by the margin: margin - (a_t - a_i).",
)
def margin_negative(*data):
    return _spread_loss(*data, short=lambda margin, gap: np.maximum(0, -margin - gap))


@spread_loss.misconception(
    "margin sign",
    "You count the gap *beyond* the margin, (a_t - a_i) - margin: what is good costs. Count what is missing to it.",
)
def beyond_the_margin(*data):
    return _spread_loss(*data, short=lambda margin, gap: np.maximum(0, gap - margin))


@spread_loss.misconception(
    "no maximum with 0",
    "Rivals that are far enough behind cost you something, too. They cost 0: `np.maximum(0, ...)` before the square.",
)
def no_maximum(*data):
    return _spread_loss(*data, short=lambda margin, gap: margin - gap)


@spread_loss.misconception(
    "no margin",
    "You leave out the margin: a rival must be behind not just a little, but by the margin.",
)
def no_margin(*data):
    return _spread_loss(*data, short=lambda margin, gap: np.maximum(0, -gap))


@spread_loss.misconception(
    "margin fixed",
    "Your margin is always 0.9, its last value. It grows in training, from 0.2 on: take the one that is given.",
)
def margin_of_the_end(activations, labels, margin):
    return _spread_loss(activations, labels, 0.9)


@spread_loss.misconception(
    "margin fixed",
    "Your margin is always 0.2, its first value. It grows in training, up to 0.9: take the one that is given.",
)
def margin_of_the_start(activations, labels, margin):
    return _spread_loss(activations, labels, 0.2)


@spread_loss.misconception(
    "best rival only",
    "You count the worst offender alone. Every class but the true one counts: sum over them.",
)
def best_rival(*data):
    return _spread_loss(*data, rivals=lambda costs: costs.max(axis=1))


@spread_loss.misconception(
    "mean over the classes",
    "You average over the classes. Sum over them, then average over the images.",
)
def mean_over_classes(*data):
    return _spread_loss(*data, rivals=lambda costs: costs.mean(axis=1))


@spread_loss.misconception(
    "mean over the classes",
    "You average over the other classes. Sum over them, then average over the images.",
)
def mean_over_rivals(activations, labels, margin):
    return _right_spread(activations, labels, margin) / (activations.shape[1] - 1)


@spread_loss.misconception("sum over the images", "You add up the images. Take their mean.")
def summed_images(*data):
    return _spread_loss(*data, batch=np.sum)


@spread_loss.misconception("one loss for each image", "You return a loss for each image. Take their mean: one number.")
def each_image(*data):
    return _spread_loss(*data, batch=lambda x: x)


@spread_loss.misconception(
    "largest for the true class",
    "You measure from the largest activation. Measure from that of the true class, whether or not it is the largest.",
)
def from_the_largest(activations, labels, margin):
    return _spread_loss(activations, activations.argmax(axis=1), margin)


# --- transforming auto-encoder ------------------------------------------------------------------------------


def recognise(images):
    """Two capsules, given: where the light of the left and of the right half is centred, and how much there is."""
    n, height, width = images.shape
    middle = width // 2
    poses, gates = np.zeros((n, 2, 2)), np.zeros((n, 2))
    for k, (first, last) in enumerate([(0, middle), (middle, width)]):
        half = images[:, :, first:last]
        light = half.sum(axis=(1, 2)) + 1e-6
        poses[:, k, 0] = (half.sum(axis=2) * np.arange(height)).sum(axis=1) / light
        poses[:, k, 1] = (half.sum(axis=1) * np.arange(first, last)).sum(axis=1) / light
        gates[:, k] = light / (1 + light)
    return poses, gates


def generate(poses):
    """What each capsule draws at its pose, given: a spot, for the second capsule a wider one. (N, K, 9, 11)."""
    rows, columns = np.arange(9)[:, None], np.arange(11)
    down, right = poses[..., 0, None, None], poses[..., 1, None, None]
    width = (1 + np.arange(poses.shape[1]))[:, None, None]
    return np.exp(-((rows - down) ** 2 + (columns - right) ** 2) / (2 * width**2))


def _shifted_images(rng: np.random.Generator) -> list[Case]:
    def case(shifts):
        images = rng.uniform(size=(len(shifts), 9, 11)) * (rng.uniform(size=(len(shifts), 9, 11)) < 0.3)
        return Case(images, np.array(shifts), recognise, generate)

    spot = np.zeros((1, 9, 11))
    spot[0, 4:6, 2:5], spot[0, 3:5, 8] = 1, 0.4
    down, right = rng.choice([-2, -1, 1, 2], size=2)
    return [Case(spot, np.array([[1, 2]]), recognise, generate), case([[down, 2 * right], [-1, 3], [3, 0]])]


def _moved(image, down, right):
    """The image moved, zeros moving in."""
    height, width = image.shape
    moved = np.zeros_like(image)
    moved[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = image[
        max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)
    ]
    return moved


def _targets(images, shifts):
    return np.stack([_moved(image, *shift) for image, shift in zip(images, shifts)])


def _transformed(
    images, shifts, recognise, generate, *,
    seen=lambda images, shifts: images,
    move=lambda poses, shifts: poses + shifts[:, None],
    gate=lambda drawn, gates: drawn * gates[..., None, None],
    join=lambda drawn: drawn.sum(axis=1),
    target=_targets,
    loss=lambda d: (d**2).sum(axis=(1, 2)).mean(),
):  # fmt: skip
    """The auto-encoder and its loss, with one of the parts replaced."""
    poses, gates = recognise(seen(images, shifts))
    output = join(gate(generate(move(poses, shifts)), gates))
    return output, loss(output - target(images, shifts))


def _right_transformed(images, shifts, recognise, generate):
    return _transformed(images, shifts, recognise, generate)


transforming_autoencoder = Task(
    name="13.transforming_autoencoder",
    title="A transforming auto-encoder",
    difficulty=3,
    minutes=25,
    practises="poses that mean something, because they are told to move",
    reference=_right_transformed,
    inputs=_shifted_images,
    returns=("output", "loss"),
    hints=[
        "`poses, gates = recognise(images)`, (N, K, 2) and (N, K). The shift of an image, (N, 2), goes to all its "
        "capsules: `poses + shifts[:, None]`.",
        "`drawn = generate(moved)` is (N, K, H, W); each capsule's drawing is multiplied by its gate, "
        "`gates[:, :, None, None]`, and then all are added: `.sum(axis=1)`.",
        "The target is each image shifted as its capsules were told: `shift_image(image, down, right)`. The loss is "
        "the sum of the squared differences over the pixels, averaged over the images.",
    ],
)


@transforming_autoencoder.misconception(
    "Δ not added",
    "You don't add the shift to the poses, so your output is drawn where the image is. The capsules are *told* to "
    "move: pose + Δ.",
)
def delta_not_added(*data):
    return _transformed(*data, move=lambda poses, shifts: poses)


@transforming_autoencoder.misconception(
    "Δ subtracted", "You subtract the shift, and your output moves the wrong way. Add it: pose + Δ."
)
def delta_subtracted(*data):
    return _transformed(*data, move=lambda poses, shifts: poses - shifts[:, None])


@transforming_autoencoder.misconception(
    "Δ replaces the pose", "You draw at the shift instead of at pose + shift: where the part was is forgotten."
)
def delta_alone(*data):
    return _transformed(*data, move=lambda poses, shifts: 0 * poses + shifts[:, None])


@transforming_autoencoder.misconception(
    "down and right exchanged",
    "You exchange the directions of the shift. Poses and shifts are both (down, right): simply add them.",
)
def directions_exchanged(*data):
    return _transformed(*data, move=lambda poses, shifts: poses + shifts[:, None, ::-1])


@transforming_autoencoder.misconception(
    "one shift for the whole batch", "All your images move as the first does. Each has its own shift, `shifts[n]`."
)
def one_shift(*data):
    return _transformed(*data, move=lambda poses, shifts: poses + shifts[0])


@transforming_autoencoder.misconception(
    "one capsule moved",
    "You move the first capsule alone. All parts of an image move together: every pose gets the shift.",
)
def one_capsule_moved(*data):
    return _transformed(*data, move=lambda poses, shifts: poses + shifts[:, None] * [[1], [0]])


@transforming_autoencoder.misconception(
    "gate not multiplied",
    "You leave out the gates. A capsule whose part isn't there must draw nothing: multiply its drawing by its gate.",
)
def no_gate(*data):
    return _transformed(*data, gate=lambda drawn, gates: drawn)


@transforming_autoencoder.misconception(
    "gate thresholded",
    "You switch capsules on or off at 0.5. The gate is a factor: a half sure capsule draws half as bright.",
)
def gate_thresholded(*data):
    return _transformed(*data, gate=lambda drawn, gates: drawn * (gates > 0.5)[..., None, None])


@transforming_autoencoder.misconception(
    "gates normalised",
    "You make the gates of an image sum to 1. Each says by itself whether its part is there: multiply as they are.",
)
def gates_normalised(*data):
    return _transformed(*data, gate=lambda drawn, g: drawn * (g / g.sum(axis=1, keepdims=True))[..., None, None])


@transforming_autoencoder.misconception(
    "gate on the pose", "You multiply the poses by the gates, which moves them. The gate belongs to the drawing."
)
def gate_on_pose(images, shifts, recognise, generate):
    poses, gates = recognise(images)
    output = generate(poses * gates[..., None] + shifts[:, None]).sum(axis=1)
    return output, ((output - _targets(images, shifts)) ** 2).sum(axis=(1, 2)).mean()


@transforming_autoencoder.misconception(
    "target unshifted",
    "You compare with the image as it was. The capsules were told to move, so compare with the *shifted* image; else "
    "they learn to ignore the shift.",
)
def target_unshifted(*data):
    return _transformed(*data, target=lambda images, shifts: images)


@transforming_autoencoder.misconception(
    "target shifted the wrong way", "Your target moves the other way: shift the image by (down, right) as given."
)
def target_wrong_way(*data):
    return _transformed(*data, target=lambda images, shifts: _targets(images, -shifts))


@transforming_autoencoder.misconception(
    "target wraps around",
    "What leaves your target on one side comes back on the other (`np.roll`). Zeros move in: `shift_image`.",
)
def target_wraps(*data):
    def target(images, shifts):
        return np.stack([np.roll(image, tuple(shift), axis=(0, 1)) for image, shift in zip(images, shifts)])

    return _transformed(*data, target=target)


@transforming_autoencoder.misconception(
    "shifted image recognised",
    "You let the capsules see the shifted image. They see the image as it was, and are told the shift: that is what "
    "makes a pose of their numbers.",
)
def shifted_seen(*data):
    return _transformed(*data, seen=_targets, move=lambda poses, shifts: poses)


@transforming_autoencoder.misconception(
    "shifted image recognised",
    "You let the capsules see the shifted image, and add the shift, too: it counts twice. They see the image as it "
    "was.",
)
def shifted_twice(*data):
    return _transformed(*data, seen=_targets)


@transforming_autoencoder.misconception(
    "maximum of the capsules", "You take the brightest capsule at each pixel. The drawings are added: `.sum(axis=1)`."
)
def brightest(*data):
    return _transformed(*data, join=lambda drawn: drawn.max(axis=1))


@transforming_autoencoder.misconception(
    "mean of the capsules", "You average the capsules' drawings. They are added: `.sum(axis=1)`."
)
def averaged(*data):
    return _transformed(*data, join=lambda drawn: drawn.mean(axis=1))


@transforming_autoencoder.misconception(
    "capsules apart", "You don't join the capsules' drawings. Add them: `.sum(axis=1)`, (N, H, W)."
)
def apart(images, shifts, recognise, generate):
    poses, gates = recognise(images)
    drawn = generate(poses + shifts[:, None]) * gates[..., None, None]
    return drawn, _right_transformed(images, shifts, recognise, generate)[1]


@transforming_autoencoder.misconception(
    "mean over the pixels",
    "Your output is right, but your loss is a mean over the pixels. It is their sum, averaged over the images.",
)
def mean_over_pixels(*data):
    return _transformed(*data, loss=lambda d: (d**2).mean())


@transforming_autoencoder.misconception(
    "sum over the images",
    "Your output is right, but your loss is a sum over the images. Sum over the pixels, average over the images.",
)
def sum_over_images(*data):
    return _transformed(*data, loss=lambda d: (d**2).sum())


@transforming_autoencoder.misconception(
    "not squared", "Your output is right, but your loss adds up the sizes of the differences. Square them."
)
def not_squared(*data):
    return _transformed(*data, loss=lambda d: np.abs(d).sum(axis=(1, 2)).mean())


TASKS = (m_step, e_step, parent_activation, spread_loss, transforming_autoencoder)
