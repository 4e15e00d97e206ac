"""The tasks of exercise 07, Transfer learning. How answers are run and compared is not known here."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from zerohero.checks.definition import Case, Task
from zerohero.nn.layers import Linear
from zerohero.nn.module import Module
from zerohero.ops.activation import softmax
from zerohero.transfer import groups_by_depth, layers


def real(values):
    """An array of real numbers, in the library's precision."""
    return np.array(values, np.float32)


# --- frozen layers -------------------------------------------------------------------------------------------


def _steps(rng: np.random.Generator) -> list[Case]:
    def case(depth, width, k, lr, decay):
        weight, gradient = rng.normal(size=(2, depth, width))
        running, batch = rng.normal(size=(2, depth))
        return Case(real(weight), real(gradient), real(running), real(batch), k, lr, decay)

    small = Case(real([[1, 2], [3, 4]]), real([[2, 1], [1, 5]]), real([0, 0]), real([1, 2]), 1, 0.5, 0.1)
    return [small, case(4, 3, 1, 0.3, 0.5), case(5, 2, 3, 0.2, 0.4), case(3, 4, 0, 0.1, 1.5), case(3, 2, 3, 0.5, 0.2)]


def _stepped(
    weight, gradient, running, batch, k, lr, decay, *,
    learns=lambda depth, k: np.arange(depth) >= k, norm_learns=None, decays=None, speed=0.1, sign=-1,
):  # fmt: skip
    """The right step with one of its parts replaced."""
    depth = len(weight)
    moving = learns(depth, k)
    norms = moving if norm_learns is None else norm_learns(depth, k)
    shrinking = moving if decays is None else decays(depth, k)
    change = moving[:, None] * gradient + shrinking[:, None] * decay * weight
    return weight + sign * lr * change, running + norms * speed * (batch - running)


def _all(depth, k):
    return np.ones(depth, bool)


freeze_first = Task(
    name="07.freeze_first",
    title="Take a step with the first k layers frozen",
    difficulty=2,
    minutes=15,
    practises="all that moves in a layer: weights, by gradient and by decay, and running means",
    reference=lambda weight, gradient, running, batch, k, lr, decay: _stepped(
        weight, gradient, running, batch, k, lr, decay
    ),
    inputs=_steps,
    returns=("weight", "running"),
    hints=[
        "Three things move in a layer: its weights along the gradient, its weights towards 0 by decay, and its running "
        "mean towards the batch's. In a frozen layer none of them does.",
        "Copy both arrays, then change only the rows from k on: `weight[k:]`, `running[k:]`.",
        "`weight[k:] -= lr * (gradient[k:] + decay * weight[k:])` and "
        "`running[k:] = 0.9 * running[k:] + 0.1 * batch[k:]`, both on copies.",
    ],
)


@freeze_first.misconception(
    "normalization moves",
    "The weights are right, but the running means of the frozen layers move. Batch normalization learns them without "
    "any gradient: a layer is only frozen if they stay, too.",
)
def statistics_move(weight, gradient, running, batch, k, lr, decay):
    return _stepped(weight, gradient, running, batch, k, lr, decay, norm_learns=_all)


@freeze_first.misconception(
    "decay still acts",
    "In the frozen layers the gradient is gone, but weight decay still pulls the weights towards 0. Frozen means that "
    "nothing moves them: leave these layers out of the whole step.",
)
def decay_acts(weight, gradient, running, batch, k, lr, decay):
    return _stepped(weight, gradient, running, batch, k, lr, decay, decays=_all)


@freeze_first.misconception(
    "normalization moves, decay acts",
    "You only set the gradients of the frozen layers to 0. Weight decay still pulls their weights towards 0, and their "
    "running means move.",
)
def gradient_only(weight, gradient, running, batch, k, lr, decay):
    return _stepped(weight, gradient, running, batch, k, lr, decay, decays=_all, norm_learns=_all)


@freeze_first.misconception(
    "last layers frozen",
    "You freeze the *last* k layers. The first ones, nearest to the images, hold what many tasks share.",
)
def last_frozen(weight, gradient, running, batch, k, lr, decay):
    return _stepped(
        weight, gradient, running, batch, k, lr, decay, learns=lambda depth, k: np.arange(depth) < depth - k
    )


@freeze_first.misconception(
    "frozen and learning exchanged",
    "You let the first k layers learn and freeze the others. It is the other way round.",
)
def exchanged(weight, gradient, running, batch, k, lr, decay):
    return _stepped(weight, gradient, running, batch, k, lr, decay, learns=lambda depth, k: np.arange(depth) < k)


@freeze_first.misconception(
    "one layer too many",
    "You freeze k + 1 layers. Rows are counted from 0, so that the first k are 0 to k − 1: row k learns.",
)
def one_more(weight, gradient, running, batch, k, lr, decay):
    return _stepped(weight, gradient, running, batch, k, lr, decay, learns=lambda depth, k: np.arange(depth) > k)


@freeze_first.misconception(
    "one layer only",
    "You freeze layer k alone. The first k layers are all the rows before it.",
)
def layer_k(weight, gradient, running, batch, k, lr, decay):
    return _stepped(weight, gradient, running, batch, k, lr, decay, learns=lambda depth, k: np.arange(depth) != k)


@freeze_first.misconception("nothing frozen", "All layers move. The first k shall stay as they are.")
def nothing_frozen(weight, gradient, running, batch, k, lr, decay):
    return _stepped(weight, gradient, running, batch, k, lr, decay, learns=_all)


@freeze_first.misconception(
    "no decay",
    "Weight decay is missing in the layers that learn: `gradient + decay * weight`.",
)
def no_decay(weight, gradient, running, batch, k, lr, decay):
    return _stepped(weight, gradient, running, batch, k, lr, 0)


@freeze_first.misconception(
    "normalization stands still",
    "The running means of *all* layers stay. Those of the layers that learn move on.",
)
def no_statistics(weight, gradient, running, batch, k, lr, decay):
    return _stepped(weight, gradient, running, batch, k, lr, decay, speed=0)


@freeze_first.misconception(
    "0.1 and 0.9 exchanged",
    "Your running means jump: 0.9 of the batch, 0.1 of the old. They are to move slowly: 0.9 of the old, 0.1 of the "
    "batch.",
)
def jumping(weight, gradient, running, batch, k, lr, decay):
    return _stepped(weight, gradient, running, batch, k, lr, decay, speed=0.9)


@freeze_first.misconception("uphill", "You add the step. Downhill is against the gradient: subtract it.")
def uphill(weight, gradient, running, batch, k, lr, decay):
    return _stepped(weight, gradient, running, batch, k, lr, decay, sign=1)


# --- another head --------------------------------------------------------------------------------------------


def _heads(rng: np.random.Generator) -> list[Case]:
    def case(old, classes, count, width, lr, steps):
        old_weight, features = real(rng.normal(size=(old, width))), real(rng.normal(size=(count, width)))
        return Case(old_weight, features, rng.permutation(np.arange(count) % classes), classes, lr, steps)

    small = Case(real([[1, 2], [3, -1], [0.5, 1]]), real([[1, 0], [0, 2], [1, 1]]), np.array([0, 1, 1]), 2, 0.5, 1)
    return [small, case(5, 3, 7, 4, 0.6, 3), case(4, 3, 6, 5, 0.8, 2), case(6, 4, 9, 3, 0.5, 4)]


def _softmax_slope(scores, labels):
    return softmax(scores) - np.eye(scores.shape[1])[labels]


def _softmax_twice(scores, labels):
    once = softmax(scores)
    slope = _softmax_slope(once, labels)
    return once * (slope - (slope * once).sum(axis=1, keepdims=True))


def _headed(features, labels, start, lr, steps, *, slope=_softmax_slope, share=True):
    """A head after some steps down the cross-entropy, with one of the parts replaced."""
    weight = np.array(start, float)
    for _ in range(steps):
        gradient = slope(features @ weight.T, labels).T @ features
        weight -= lr * gradient / (len(labels) if share else 1)
    return weight


def _zeros(old_weight, num_classes):
    return np.zeros((num_classes, old_weight.shape[1]))


new_head = Task(
    name="07.new_head",
    title="Replace the head, and train it alone",
    difficulty=2,
    minutes=20,
    practises="which of a head's numbers come from the old network: its width, and nothing else",
    reference=lambda old_weight, features, labels, num_classes, lr, steps: _headed(
        features, labels, _zeros(old_weight, num_classes), lr, steps
    ),
    inputs=_heads,
    returns=("weight",),
    hints=[
        "The new head has a row for each *new* class and a column for each feature: "
        "`(num_classes, old_weight.shape[1])`, all 0.",
        "Scores are `features @ weight.T`. From lecture 03: the gradient of the mean cross-entropy by the scores is "
        "(softmax − one-hot) / N, and by the weights that, transposed, times the features.",
        "`p = zh.softmax(features @ weight.T)`, "
        "`gradient = (p - np.eye(num_classes)[labels]).T @ features / len(labels)`, `weight -= lr * gradient`, once "
        "for each step.",
    ],
)


@new_head.misconception(
    "head frozen",
    "Your new head is still 0: it never learned. Freeze the body first, then put the new head in, and let it learn.",
)
def frozen(old_weight, features, labels, num_classes, lr, steps):
    return _zeros(old_weight, num_classes)


@new_head.misconception(
    "old width",
    "Your head has a row for each class of the *old* task. The new task has `num_classes`.",
)
def old_width(old_weight, features, labels, num_classes, lr, steps):
    return _headed(features, labels, np.zeros(old_weight.shape), lr, steps)


@new_head.misconception(
    "old head kept",
    "You go on from the rows of the old head. They are about other classes, which happen to have the same numbers: "
    "start from 0.",
)
def old_rows(old_weight, features, labels, num_classes, lr, steps):
    return _headed(features, labels, old_weight[:num_classes], lr, steps)


@new_head.misconception(
    "old head kept",
    "You return the old head. It knows nothing of the new classes.",
)
def old_head(old_weight, features, labels, num_classes, lr, steps):
    return old_weight


@new_head.misconception(
    "softmax before the loss",
    "You give probabilities to a cross-entropy that takes scores, so softmax acts twice. The head then learns slowly, "
    "and never becomes sure: hand it the scores.",
)
def softmax_twice(old_weight, features, labels, num_classes, lr, steps):
    return _headed(features, labels, _zeros(old_weight, num_classes), lr, steps, slope=_softmax_twice)


@new_head.misconception(
    "no label",
    "Your gradient lacks the −1 at the right class: softmax *minus one-hot*.",
)
def no_label(old_weight, features, labels, num_classes, lr, steps):
    return _headed(features, labels, _zeros(old_weight, num_classes), lr, steps, slope=lambda s, labels: softmax(s))


@new_head.misconception(
    "no softmax",
    "Your gradient is scores minus one-hot, that of a squared error. Cross-entropy needs the softmax of the scores.",
)
def squared_error(old_weight, features, labels, num_classes, lr, steps):
    def slope(scores, labels):
        return scores - np.eye(num_classes)[labels]

    return _headed(features, labels, _zeros(old_weight, num_classes), lr, steps, slope=slope)


@new_head.misconception("sum instead of mean", "Your steps are N times too long: divide the gradient by N.")
def no_mean(old_weight, features, labels, num_classes, lr, steps):
    return _headed(features, labels, _zeros(old_weight, num_classes), lr, steps, share=False)


@new_head.misconception("one step", "You take one step. Asked for are `steps`.")
def one_step(old_weight, features, labels, num_classes, lr, steps):
    return _headed(features, labels, _zeros(old_weight, num_classes), lr, 1)


@new_head.misconception("uphill", "You climb: the loss grows. Subtract the gradient.")
def climbing(old_weight, features, labels, num_classes, lr, steps):
    return _headed(features, labels, _zeros(old_weight, num_classes), -lr, steps)


# --- kept features -------------------------------------------------------------------------------------------


class SmallNetwork(Module):
    """A body that normalizes, by the batch while it trains, then a head: (N, D) to scores (N, classes)."""

    def __init__(self, weight, mean, readout):
        self.weight, self.mean, self.readout = weight, mean, readout

    def features(self, images):
        images = np.asarray(images)
        return np.maximum((images - (images.mean(axis=0) if self.training else self.mean)) @ self.weight, 0)

    def forward(self, images):
        return self.features(images) @ self.readout


def asked_for_features(answer, weight, mean, readout, images, labels, batches, source_mean, source_std):
    """Call an answer with a small network in training mode; what it returns."""
    model = SmallNetwork(weight, mean, readout)
    model.train()
    return answer(model, images, labels, batches, source_mean, source_std)


def _shuffled(rng: np.random.Generator) -> list[Case]:
    def case(count, width, kept, classes, size):
        order = rng.permutation(count)
        batches = [order[start : start + size] for start in range(0, count, size)]
        return Case(
            real(rng.normal(size=(width, kept))), real(rng.normal(size=width) * 0.3),
            real(rng.normal(size=(kept, classes))), real(rng.random((count, width)) * 2 + 0.3),
            rng.permutation(np.arange(count) % classes), batches, 0.4, 0.3,
        )  # fmt: skip

    return [case(4, 2, 3, 2, 2), case(7, 4, 5, 3, 3), case(9, 5, 4, 4, 4)]


def _kept(
    model, images, labels, batches, mean, std, *,
    training=False, of=lambda model, x: model.features(x), scale=lambda x, mean, std: (x - mean) / std,
    order=lambda labels, numbers: labels[numbers],
):  # fmt: skip
    """The right features and labels with one of the steps replaced."""
    model.train(training)
    features = [of(model, scale(images[numbers], mean, std)) for numbers in batches]
    return np.concatenate(features), order(labels, np.concatenate(batches))


cache_features = Task(
    name="07.cache_features",
    title="Keep the features of a frozen body",
    difficulty=3,
    minutes=20,
    practises="the mode, the scale and the order in which features are computed",
    reference=lambda model, images, labels, batches, mean, std: _kept(model, images, labels, batches, mean, std),
    inputs=_shuffled,
    use=asked_for_features,
    returns=("features", "labels"),
    hints=[
        "A body in training mode normalizes by the batch, so that an image's features depend on its neighbours: "
        "`model.eval()` first. The images must come on the scale that the network knows, the *source's*.",
        "For each batch of numbers: `model.features((images[numbers] - mean) / std)`. Row i of all of them is image "
        "`np.concatenate(batches)[i]`: whose label is that?",
        "`features = [model.features((images[b] - mean) / std) for b in batches]`, then "
        "`np.concatenate(features), labels[np.concatenate(batches)]`.",
    ],
)


@cache_features.misconception(
    "training mode",
    "The body was in training mode: it normalized by each batch, so an image's features depend on the images beside "
    "it. Call `model.eval()` first.",
)
def in_training_mode(model, images, labels, batches, mean, std):
    return _kept(model, images, labels, batches, mean, std, training=True)


@cache_features.misconception(
    "scores instead of features",
    "You keep the scores of the old classes. The old head has thrown away what it didn't need: keep what comes before "
    "it, `model.features`.",
)
def scores_kept(model, images, labels, batches, mean, std):
    return _kept(model, images, labels, batches, mean, std, of=lambda model, x: model(x))


@cache_features.misconception(
    "features after softmax",
    "You keep the probabilities of the old classes. They lie near 0 and 1 and say little else: keep `model.features`.",
)
def probabilities_kept(model, images, labels, batches, mean, std):
    return _kept(model, images, labels, batches, mean, std, of=lambda model, x: softmax(model(x)))


@cache_features.misconception(
    "features after softmax",
    "You put a softmax on the features. Keep them as they are.",
)
def softmax_of_features(model, images, labels, batches, mean, std):
    return _kept(model, images, labels, batches, mean, std, of=lambda model, x: softmax(model.features(x)))


@cache_features.misconception(
    "labels out of order",
    "The features are right, but the labels are in the order of the images, the features in that of the shuffled "
    "batches: rows and labels belong to different images.",
)
def labels_as_they_were(model, images, labels, batches, mean, std):
    return _kept(model, images, labels, batches, mean, std, order=lambda labels, numbers: labels)


@cache_features.misconception(
    "labels out of order",
    "You put the labels into the reverse of the shuffled order. Row i is image `numbers[i]`: `labels[numbers]`.",
)
def labels_reversed(model, images, labels, batches, mean, std):
    return _kept(model, images, labels, batches, mean, std, order=lambda labels, numbers: labels[np.argsort(numbers)])


@cache_features.misconception(
    "not normalised",
    "The images come as they are. The network was trained on images minus a mean, divided by a standard deviation: "
    "`(images - mean) / std`.",
)
def raw_images(model, images, labels, batches, mean, std):
    return _kept(model, images, labels, batches, mean, std, scale=lambda x, mean, std: x)


@cache_features.misconception(
    "not the source's normalisation",
    "You normalise each batch by its own mean and deviation. The network knows the *source's* scale: use `mean` and "
    "`std`.",
)
def own_normalisation(model, images, labels, batches, mean, std):
    return _kept(model, images, labels, batches, mean, std, scale=lambda x, mean, std: (x - x.mean()) / x.std())


@cache_features.misconception(
    "not the source's normalisation",
    "You normalise by the mean and deviation of the new images. The network knows the *source's* scale: use `mean` and "
    "`std`.",
)
def target_normalisation(model, images, labels, batches, mean, std):
    return _kept(model, images, labels, batches, images.mean(), images.std())


@cache_features.misconception(
    "only the mean",
    "You subtract the mean, but don't divide by the standard deviation.",
)
def not_divided(model, images, labels, batches, mean, std):
    return _kept(model, images, labels, batches, mean, 1)


@cache_features.misconception("one batch", "You return the features of one batch. Put all batches one after the other.")
def last_batch(model, images, labels, batches, mean, std):
    return _kept(model, images, labels, batches[-1:], mean, std)


# --- learning rates ------------------------------------------------------------------------------------------


class Chain(Module):
    """Fully connected layers, `fc1` the first, of the given widths."""

    def __init__(self, widths):
        for number, (inputs, outputs) in enumerate(pairwise(widths), start=1):
            setattr(self, f"fc{number}", Linear(inputs, outputs))


def asked_for_groups(answer, widths, lr, factor):
    """Call an answer with a network; for each parameter its rates added up, and how many groups it is in."""
    model = Chain(widths)
    groups = answer(model, lr, factor)
    table = []
    for _, parameter in model.named_parameters():
        rates = [group["lr"] for group in groups for other in group["params"] if other is parameter]
        table.append((float(sum(rates)), float(len(rates))))
    return np.array(table)


def _chains(rng: np.random.Generator) -> list[Case]:
    return [Case([2, 3, 2], 1.0, 0.5), Case([3, 2, 4, 2], 0.6, 0.3), Case([2, 3, 3, 4, 2], 0.8, 0.7)]


def _groups(model, rate):
    """A group for each layer; `rate` gives its learning rate from its depth, 0 the first, and the number of layers."""
    parameters, by_layer = dict(model.named_parameters()), list(layers(model).values())
    return [
        {"params": [parameters[name] for name in names], "lr": rate(depth, len(by_layer))}
        for depth, names in enumerate(by_layer)
    ]


rates_by_depth = Task(
    name="07.rates_by_depth",
    title="A learning rate for each layer",
    difficulty=3,
    minutes=20,
    practises="groups of parameters: each in one, none left out",
    reference=lambda model, lr, factor: groups_by_depth(model, lr, factor=factor),
    inputs=_chains,
    use=asked_for_groups,
    returns=("rates",),
    hints=[
        "`zh.transfer.layers(model)` is a dict from each layer's name to the names of its parameters, the first layer "
        "first. `dict(model.named_parameters())` gives a parameter for a name.",
        "The last layer learns with `lr`, the one before it with `lr * factor`, the one before that with "
        "`lr * factor**2`. Going through the layers backwards, the exponent is the count.",
        "`for steps, names in enumerate(reversed(layers))`: a group "
        '`{"params": [parameters[name] for name in names], "lr": lr * factor**steps}`.',
    ],
)


@rates_by_depth.misconception(
    "one rate",
    "All layers get the same rate. Each layer nearer to the images is to learn `factor` times as fast as the next.",
)
def one_rate(model, lr, factor):
    return _groups(model, lambda depth, count: lr)


@rates_by_depth.misconception(
    "reversed",
    "Your rates are in reverse: the first layer learns fastest. It holds what tasks share, and needs the smallest "
    "rate; the last layer gets `lr`.",
)
def reversed_rates(model, lr, factor):
    return _groups(model, lambda depth, count: lr * factor**depth)


@rates_by_depth.misconception(
    "two rates only",
    "You have a rate for the last layer and one for all others. Every layer further down is slower by `factor` again.",
)
def two_rates(model, lr, factor):
    return _groups(model, lambda depth, count: lr if depth == count - 1 else lr * factor)


@rates_by_depth.misconception(
    "one step too far",
    "All your rates are too small by `factor`: the last layer's is `lr` itself.",
)
def one_too_far(model, lr, factor):
    return _groups(model, lambda depth, count: lr * factor ** (count - depth))


@rates_by_depth.misconception(
    "divided by the factor",
    "You divide by `factor`, so rates grow towards the images. Multiply.",
)
def divided(model, lr, factor):
    return _groups(model, lambda depth, count: lr / factor ** (count - 1 - depth))


@rates_by_depth.misconception(
    "multiples instead of powers",
    "You multiply by factor × steps. Each step multiplies by `factor` once more: `factor**steps`.",
)
def multiples(model, lr, factor):
    return _groups(model, lambda depth, count: lr * factor * (count - 1 - depth) if depth < count - 1 else lr)


@rates_by_depth.misconception(
    "parameter in two groups",
    "The last layer's parameters are in two groups, so each step moves them twice. Every parameter belongs to one "
    "group.",
)
def head_twice(model, lr, factor):
    right = _groups(model, lambda depth, count: lr * factor ** (count - 1 - depth))
    return [*right, right[-1]]


@rates_by_depth.misconception(
    "parameter in two groups",
    "You put all parameters into one group, and the last layer's into another one as well. Every parameter belongs to "
    "one group.",
)
def all_and_head(model, lr, factor):
    head = _groups(model, lambda depth, count: lr)[-1]
    return [{"params": list(model.parameters()), "lr": lr * factor}, head]


@rates_by_depth.misconception(
    "biases left out",
    "Your groups hold the weights only. A parameter in no group never learns: put the biases in, too.",
)
def no_biases(model, lr, factor):
    groups = _groups(model, lambda depth, count: lr * factor ** (count - 1 - depth))
    return [{"params": group["params"][:1], "lr": group["lr"]} for group in groups]


@rates_by_depth.misconception(
    "head alone",
    "Only the last layer is in a group. The others learn, too, more slowly.",
)
def head_only(model, lr, factor):
    return _groups(model, lambda depth, count: lr)[-1:]


@rates_by_depth.misconception(
    "a step for each parameter",
    "You lower the rate from parameter to parameter, so that a layer's weight and bias differ. A layer is one step.",
)
def by_parameter(model, lr, factor):
    parameters = list(model.parameters())
    return [{"params": [p], "lr": lr * factor**steps} for steps, p in enumerate(reversed(parameters))]


# --- a fair choice -------------------------------------------------------------------------------------------


def _searches(rng: np.random.Generator) -> list[Case]:
    def case(strategies, rates, seeds):
        return Case(real(rng.random((strategies, rates, seeds))), real(rng.random((strategies, rates, seeds))))

    small = Case(
        real([[[0.5, 0.6], [1, 0.6]], [[0.7, 0.8], [0.2, 0.4]]]),
        real([[[0.6, 0.9], [0.8, 0.9]], [[0.6, 0.7], [0.5, 0.1]]]),
    )
    shapes = [(3, 4, 3), (4, 3, 5), (5, 4, 3), (3, 5, 4), (4, 6, 3), (6, 5, 4), (5, 6, 5), (7, 8, 3)]
    return [small, *(case(*shape) for shape in shapes)]


def _picked(scores, test, *, accuracy=lambda chosen: chosen.mean()):
    """The strategy and rate with the best of scores (S, R), and what the test says of them."""
    strategy, rate = np.unravel_index(scores.argmax(), scores.shape)
    return strategy, rate, accuracy(test[strategy, rate])


choose_strategy = Task(
    name="07.choose_strategy",
    title="Choose a strategy, and say how good it is",
    difficulty=3,
    minutes=15,
    practises="what each set of images may be used for",
    reference=lambda validation, test: _picked(validation.mean(axis=2), test),
    inputs=_searches,
    returns=("strategy", "rate", "accuracy"),
    hints=[
        "Choose by the *validation* images, and by all seeds: the mean over axis 2 leaves a table, (strategies, "
        "rates).",
        "`np.unravel_index(table.argmax(), table.shape)` gives the row and the column of its largest number. The test "
        "images are asked once, after the choice.",
        "`strategy, rate = np.unravel_index(table.argmax(), table.shape)`, then `test[strategy, rate].mean()`.",
    ],
)


@choose_strategy.misconception(
    "chosen on the test set",
    "You choose by the test images. Of many candidates one is always lucky there, and its accuracy promises too much: "
    "choose by validation, then ask the test set once.",
)
def by_test(validation, test):
    return _picked(test.mean(axis=2), test)


@choose_strategy.misconception(
    "chosen on the test set",
    "You choose by validation and test images together. The test set may have no say in the choice.",
)
def by_both(validation, test):
    return _picked((validation + test).mean(axis=2), test)


@choose_strategy.misconception(
    "accuracy of the validation images",
    "The choice is right, but you report its accuracy on validation images. It was chosen for being high there: report "
    "that on the test images.",
)
def validation_reported(validation, test):
    return _picked(validation.mean(axis=2), validation)


@choose_strategy.misconception(
    "one seed",
    "You look at the first seed only. With another one another strategy may win: take the mean over all seeds.",
)
def first_seed(validation, test):
    return _picked(validation[:, :, 0], test, accuracy=lambda chosen: chosen[0])


@choose_strategy.misconception(
    "one seed",
    "You choose by the first seed only. Take the mean over all seeds, axis 2, for the choice, too.",
)
def chosen_by_first_seed(validation, test):
    return _picked(validation[:, :, 0], test)


@choose_strategy.misconception(
    "one seed",
    "The choice is right, but you report the first seed only. Report the mean over the seeds.",
)
def first_seed_reported(validation, test):
    return _picked(validation.mean(axis=2), test, accuracy=lambda chosen: chosen[0])


@choose_strategy.misconception(
    "best seed",
    "You choose by each candidate's luckiest seed. That rewards what varies most: take the mean.",
)
def luckiest(validation, test):
    return _picked(validation.max(axis=2), test)


@choose_strategy.misconception(
    "best seed reported",
    "The choice is right, but you report its luckiest seed. Report the mean over the seeds.",
)
def luckiest_reported(validation, test):
    return _picked(validation.mean(axis=2), test, accuracy=lambda chosen: chosen.max())


@choose_strategy.misconception(
    "worst seed",
    "You choose by each candidate's worst seed. Asked for is the mean.",
)
def unluckiest(validation, test):
    return _picked(validation.min(axis=2), test)


@choose_strategy.misconception(
    "rate not chosen",
    "You compare strategies by the mean over their rates. Each may have its own best rate; a bad one should not count "
    "against it.",
)
def mean_over_rates(validation, test):
    strategy = validation.mean(axis=(1, 2)).argmax()
    rate = validation.mean(axis=2)[strategy].argmax()
    return strategy, rate, test[strategy, rate].mean()


@choose_strategy.misconception(
    "same rate for all",
    "You choose one rate for all strategies first. Each strategy needs its own: a new network may want ten times what "
    "a trained one bears.",
)
def one_rate_for_all(validation, test):
    rate = validation.mean(axis=(0, 2)).argmax()
    strategy = validation.mean(axis=2)[:, rate].argmax()
    return strategy, rate, test[strategy, rate].mean()


@choose_strategy.misconception(
    "rate chosen on the test set",
    "The strategy comes from validation, but its rate from the test images. A rate is a choice, too.",
)
def rate_by_test(validation, test):
    strategy = validation.mean(axis=2).max(axis=1).argmax()
    rate = test.mean(axis=2)[strategy].argmax()
    return strategy, rate, test[strategy, rate].mean()


@choose_strategy.misconception("worst instead of best", "You choose the lowest validation accuracy.")
def worst(validation, test):
    return _picked(-validation.mean(axis=2), test)


TASKS = (freeze_first, new_head, cache_features, rates_by_depth, choose_strategy)
