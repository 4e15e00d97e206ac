"""The tasks of exercise 05, AlexNet and VGG. How answers are run and compared is not known here."""

from __future__ import annotations

import numpy as np

from zerohero.checks.definition import Case, Task
from zerohero.models.vgg import TABLE
from zerohero.ops.normalization import local_response_norm


def real(values):
    """An array of real numbers, in the library's precision."""
    return np.array(values, np.float32)


# --- top-5 error --------------------------------------------------------------------------------------------


def _scored(rng: np.random.Generator) -> list[Case]:
    def case(n, classes, k, lift):
        labels = rng.integers(0, classes, n)
        scores = rng.permuted(np.tile(np.arange(classes), (n, 1)), axis=1) / 4 - classes / 8  # no two are equal
        scores[np.arange(n), labels] += lift + 0.1  # the label is often among the first
        return Case(real(scores), labels, k)

    return [
        Case(real([[0.5, -3, 2, 1], [0.3, 0.2, 0.4, -0.1], [-1, -4, -3, -2]]), np.array([2, 0, 1]), 1),
        Case(real([[0.5, -3, 2, 1], [0.3, 0.2, 0.4, -0.1], [-1, -4, -3, -2]]), np.array([2, 0, 1]), 2),
        case(7, 12, 5, 1),
        case(30, 9, 3, 0.5),
        case(40, 20, 5, 2),
    ]


def _first(scores, k, axis=1):
    """The classes of the k largest scores of each image, (N, k)."""
    return np.argsort(-scores, axis=axis)[:, :k]


def _missed(best, labels):
    """The share of images whose label isn't in their row."""
    return 1 - (best == labels[:, None]).any(axis=1).mean()


def _top_error(scores, labels, k):
    return _missed(_first(scores, k), labels)


top_error = Task(
    name="05.top_error",
    title="Top-5 error",
    difficulty=2,
    minutes=15,
    practises="what the numbers of the ImageNet chart count",
    reference=_top_error,
    inputs=_scored,
    returns=("error",),
    hints=[
        "One image first: `np.argsort(-scores[0])` lists its classes, the one with the largest score first. Is "
        "`labels[0]` among the first k of them?",
        "All images at once: `best = np.argsort(-scores, axis=1)[:, :k]` is (N, k), and `labels[:, None]` is (N, "
        "1), so `best == labels[:, None]` compares every label with its own row.",
        "`found = (best == labels[:, None]).any(axis=1)` is true for each image that is right. The error is the "
        "share of the others: `return 1 - found.mean()`.",
    ],
)


@top_error.misconception(
    "accuracy",
    "Your output is the share of images whose label *is* among the first k: the accuracy. The error is the rest, 1 "
    "minus that.",
)
def accuracy(scores, labels, k):
    return 1 - _top_error(scores, labels, k)


@top_error.misconception(
    "ascending sort",
    "You look among the k *smallest* scores: `np.argsort` puts the smallest first. Sort `-scores`, or take the last "
    "k columns.",
)
def smallest_first(scores, labels, k):
    return _missed(np.argsort(scores, axis=1)[:, :k], labels)


@top_error.misconception(
    "ascending sort",
    "You give the share of images whose label is among the k *smallest* scores. `np.argsort` puts the smallest "
    "first: sort `-scores`. And the error is the share that is *not* found.",
)
def smallest_first_accuracy(scores, labels, k):
    return 1 - smallest_first(scores, labels, k)


@top_error.misconception(
    "top-1",
    "Your output is the top-1 error, whatever k is: only the class with the largest score counts for you. The label "
    "may be any of the first k.",
)
def only_the_first(scores, labels, k):
    return _top_error(scores, labels, 1)


@top_error.misconception(
    "top-1",
    "Your output is the top-1 accuracy, whatever k is. The label may be any of the first k, and the error is the "
    "share of images for which it is not.",
)
def only_the_first_accuracy(scores, labels, k):
    return 1 - _top_error(scores, labels, 1)


@top_error.misconception(
    "always five",
    "Your output is the top-5 error, whatever k is. How many answers count is said by the argument `k`.",
)
def always_five(scores, labels, k):
    return _top_error(scores, labels, 5)


@top_error.misconception(
    "k-th place only",
    "You compare the label with the answer on place k alone. Each of the first k places counts: `[:, :k]`, then `any`.",
)
def only_place_k(scores, labels, k):
    return 1 - (_first(scores, k)[:, k - 1] == labels).mean()


@top_error.misconception(
    "one place too many",
    "Your output is the top-(k + 1) error: you look at one answer too many. The first k columns are `[:, :k]`, "
    "because the end of a slice doesn't belong to it.",
)
def one_place_more(scores, labels, k):
    return _top_error(scores, labels, k + 1)


@top_error.misconception(
    "one place too few",
    "Your output is the top-(k − 1) error: place k doesn't count for you. The first k columns are `[:, :k]`; and a "
    "label with fewer than k scores above its own (`< k`) is among the first k.",
)
def one_place_less(scores, labels, k):
    return _top_error(scores, labels, k - 1)


@top_error.misconception(
    "order taken for ranks",
    "You read `np.argsort` as a list of places. Column 0 of it says *which class* is first, not on which place "
    "class 0 is: look for the label among the first k columns.",
)
def order_as_ranks(scores, labels, k):
    place = np.argsort(-scores, axis=1)[np.arange(len(labels)), labels]
    return 1 - (place < k).mean()


@top_error.misconception(
    "scores compared with labels",
    "You compare the labels with the largest *scores*: they are equal only by accident, when a score happens to be "
    "that whole number. A label is the number of a class: `np.argsort` gives classes, `np.sort` gives scores.",
)
def values_not_classes(scores, labels, k):
    return _missed(-np.sort(-scores, axis=1)[:, :k], labels)


@top_error.misconception(
    "sorted over the images",
    "You sort along axis 0: for each class the images, best first. For each image the classes are to be sorted: "
    "`axis=1`.",
)
def sorted_over_images(scores, labels, k):
    return _missed(_first(scores, k, axis=0), labels)


@top_error.misconception(
    "lists of all images",
    "You compare `best`, (N, k), with `labels`, (N,), as they are: NumPy lines up their *last* axes, so a label "
    "meets all images' lists, or shapes don't fit. Give the labels an axis: `labels[:, None]` is (N, 1), one label "
    "for each row.",
)
def labels_without_an_axis(scores, labels, k):
    return 1 - (_first(scores, k) == labels).any(axis=1).mean()


@top_error.misconception(
    "lists of all images",
    "You count a label as found if it is in *any* image's list. Each label belongs to its own row: compare with "
    "`labels[:, None]`.",
)
def in_any_list(scores, labels, k):
    return 1 - np.isin(labels, _first(scores, k)).mean()


@top_error.misconception(
    "lists of all images",
    "You compare `best`, (N, k), with `labels`, (N,), as they are, and then give the share that is found. Labels "
    "need an axis of their own, `labels[:, None]`, so that each meets its own row; and the error is the share that "
    "is *not* found.",
)
def labels_without_an_axis_found(scores, labels, k):
    return (_first(scores, k) == labels).any(axis=1).mean()


@top_error.misconception(
    "first k images",
    "You keep the first k *rows*, `[:k]`: all classes of k images. The first k classes of every image are the first "
    "k columns, `[:, :k]`.",
)
def first_rows(scores, labels, k):
    return _missed(np.argsort(-scores, axis=1)[:k], labels)


@top_error.misconception(
    "mean over the places",
    "You take the mean over all N · k comparisons. An image can match in one of its k places only: first "
    "`any(axis=1)`, which says for each image whether it was found, then the mean.",
)
def mean_over_places(scores, labels, k):
    return 1 - (_first(scores, k) == labels[:, None]).mean()


@top_error.misconception(
    "number instead of share",
    "Your output is the *number* of images that are wrong. The error is their share: divide by the number of "
    "images, or take a `mean`.",
)
def counted(scores, labels, k):
    return _top_error(scores, labels, k) * len(labels)


@top_error.misconception(
    "number instead of share",
    "Your output is the number of images whose label is found. The error is the share of those whose label isn't: "
    "divide by the number of images, and subtract from 1.",
)
def found_counted(scores, labels, k):
    return accuracy(scores, labels, k) * len(labels)


@top_error.misconception(
    "percent",
    "Your output is right, but in percent. A share lies between 0 and 1: leave out the 100.",
)
def in_percent(scores, labels, k):
    return 100 * _top_error(scores, labels, k)


@top_error.misconception(
    "size instead of value",
    "You sort by the size of a score without its sign, so that −4 beats 1. A score far below 0 means that the class "
    "is very *un*likely: sort the scores as they are.",
)
def by_size(scores, labels, k):
    return _top_error(abs(scores), labels, k)


@top_error.misconception(
    "classes counted from 1",
    "You count the classes from 1: your answers are one higher than the labels. Both count from 0, so the places "
    "from `np.argsort` are already the classes.",
)
def counted_from_one(scores, labels, k):
    return _missed(_first(scores, k) + 1, labels)


@top_error.misconception(
    "one answer for the whole batch",
    "Your output is 0 or 1: `any` or `all` without an axis gives one answer for the whole batch. Each image has its "
    "own: `any(axis=1)`.",
)
def any_of_all(scores, labels, k):
    return 1 - (_first(scores, k) == labels[:, None]).any().mean()


@top_error.misconception(
    "all places must match",
    "Your error is 1 as soon as k is larger than 1: with `all(axis=1)` every one of the k answers must be the "
    "label. One of them is enough: `any(axis=1)`.",
)
def all_places(scores, labels, k):
    return 1 - (_first(scores, k) == labels[:, None]).all(axis=1).mean()


# --- AlexNet's parameters -----------------------------------------------------------------------------------

ALEXNET = ([3, 96, 256, 384, 384, 256], [11, 5, 3, 3, 3], [1, 2, 1, 2, 2], 6, [4096, 4096, 1000])


def _tables(rng: np.random.Generator) -> list[Case]:
    return [
        Case([2, 6], [3], [1], 4, [5]),
        Case([3, 4, 10], [5, 2], [1, 2], 3, [7, 2]),
        Case(*ALEXNET),
        Case([3, 64, 192, 384, 256, 256], [11, 5, 3, 3, 3], [1, 1, 1, 1, 1], 6, [4096, 4096, 1000]),
        Case([1, 12, 18, 24], [7, 3, 4], [1, 3, 6], 5, [11, 13, 17, 6]),
    ]


def _counted(
    channels, kernels, groups, side, widths, *,
    weights=lambda k, depth, filters, g: filters * k * k * (depth // g),  # of a convolution
    bias=lambda filters, g: filters,
    fc6=lambda depth, side: depth * side * side,  # inputs of the first fully connected layer
    fc_bias=lambda outputs: outputs,
    take=lambda conv, fc: conv + fc,  # what is returned
):  # fmt: skip
    """The right counts with one of their parts replaced."""
    conv = [
        weights(k, depth, filters, g) + bias(filters, g)
        for k, depth, filters, g in zip(kernels, channels, channels[1:], groups)
    ]
    inputs = [fc6(channels[-1], side), *widths]
    return take(conv, [i * o + fc_bias(o) for i, o in zip(inputs, widths)])


def _right_counts(channels, kernels, groups, side, widths):
    return _counted(channels, kernels, groups, side, widths)


count_alexnet = Task(
    name="05.count_alexnet",
    title="Count AlexNet",
    difficulty=2,
    minutes=20,
    practises="where 60,965,224 numbers sit, and what groups save",
    reference=_right_counts,
    inputs=_tables,
    returns=("parameters",),
    rtol=1e-9,
    atol=0,
    hints=[
        "Convolution i has `channels[i + 1]` filters. Each has k · k weights for every channel that it sees, "
        "`channels[i] // groups[i]` of them, and one bias.",
        "So it has `channels[i + 1] * (kernels[i] ** 2 * (channels[i] // groups[i]) + 1)` parameters. A fully "
        "connected layer has a weight for each pair of an input and an output, and a bias for each output: `outputs "
        "* (inputs + 1)`.",
        "What comes into fc6: `inputs = channels[-1] * side ** 2`, 9,216 for AlexNet. Then `for outputs in widths:` "
        "append `outputs * (inputs + 1)`, and set `inputs = outputs` for the next layer.",
    ],
)


@count_alexnet.misconception(
    "groups ignored",
    "Your filters see all channels that come in: the groups are left out, and AlexNet has 62,378,344 parameters in "
    "all. In g groups a filter sees `channels[i] // g`.",
)
def no_groups(*table):
    return _counted(*table, weights=lambda k, depth, filters, g: filters * k * k * depth)


@count_alexnet.misconception(
    "groups ignored",
    "Two things are left out, the groups and the biases. In g groups a filter sees `channels[i] // g` channels; and "
    "every filter has a bias, and every output of a fully connected layer.",
)
def no_groups_no_biases(*table):
    return _counted(
        *table,
        weights=lambda k, depth, filters, g: filters * k * k * depth,
        bias=lambda filters, g: 0,
        fc_bias=lambda outputs: 0,
    )


@count_alexnet.misconception(
    "groups twice",
    "You divide by the groups twice: filters and channels. All filters are there, shared out among the groups; only "
    "what *each* sees becomes less. Together g groups have filters · depth / g kernels.",
)
def groups_twice(*table):
    return _counted(*table, weights=lambda k, depth, filters, g: (filters // g) * k * k * (depth // g))


@count_alexnet.misconception(
    "groups twice",
    "You count one group alone, with its share of the filters, of the channels and of the biases. The other groups "
    "have weights of their own: all filters count, and only what *each* sees is divided.",
)
def one_group_alone(*table):
    return _counted(
        *table,
        weights=lambda k, depth, filters, g: (filters // g) * k * k * (depth // g),
        bias=lambda filters, g: filters // g,
    )


@count_alexnet.misconception(
    "biases divided by the groups",
    "Your weights are right, but you divide the biases by the groups, too. Every filter has its bias, in whichever "
    "group it is: divide the channels that come in, not the filters.",
)
def bias_in_groups(*table):
    return _counted(*table, bias=lambda filters, g: filters // g)


@count_alexnet.misconception(
    "multiplied by the groups",
    "You multiply by the groups. A filter in one of g groups sees *fewer* channels, not more: `channels[i] // "
    "groups[i]`.",
)
def groups_multiply(*table):
    return _counted(*table, weights=lambda k, depth, filters, g: filters * k * k * depth * g)


@count_alexnet.misconception(
    "biases missing",
    "All biases are missing. Every filter has one, and every output of a fully connected layer: 10,568 in AlexNet.",
)
def no_biases(*table):
    return _counted(*table, bias=lambda filters, g: 0, fc_bias=lambda outputs: 0)


@count_alexnet.misconception(
    "biases missing",
    "The biases of the convolutions are missing: every filter has one.",
)
def no_filter_biases(*table):
    return _counted(*table, bias=lambda filters, g: 0)


@count_alexnet.misconception(
    "biases missing",
    "The biases of the fully connected layers are missing: every output has one.",
)
def no_fc_biases(*table):
    return _counted(*table, fc_bias=lambda outputs: 0)


@count_alexnet.misconception(
    "one bias for each layer",
    "You give each layer a single bias. Every filter has its own, and every output of a fully connected layer.",
)
def one_bias(*table):
    return _counted(*table, bias=lambda filters, g: 1, fc_bias=lambda outputs: 1)


@count_alexnet.misconception(
    "one bias for each layer",
    "You give each convolution a single bias. Every filter has its own.",
)
def one_bias_in_convolutions(*table):
    return _counted(*table, bias=lambda filters, g: 1)


@count_alexnet.misconception(
    "a bias for each kernel",
    "You give a filter one bias for each channel that it sees, k · k + 1 numbers for every channel. The sum over "
    "all channels is one number, and gets one bias: the + 1 stands outside, k · k · depth + 1.",
)
def bias_for_each_channel(*table):
    return _counted(
        *table, weights=lambda k, depth, filters, g: filters * (k * k + 1) * (depth // g), bias=lambda f, g: 0
    )


@count_alexnet.misconception(
    "kernel counted once",
    "You count k weights for each channel of a filter: one side of its kernel. It is a square, k rows and k "
    "columns: `kernels[i] ** 2`.",
)
def one_side(*table):
    return _counted(*table, weights=lambda k, depth, filters, g: filters * k * (depth // g))


@count_alexnet.misconception(
    "kernel counted once",
    "You take 2 · k for the square of k. A kernel has k rows and k columns: `kernels[i] ** 2`.",
)
def doubled_side(*table):
    return _counted(*table, weights=lambda k, depth, filters, g: filters * 2 * k * (depth // g))


@count_alexnet.misconception(
    "filters forgotten",
    "You count one filter for each convolution. There are `channels[i + 1]` of them, and each has its own weights.",
)
def one_filter(*table):
    return _counted(*table, weights=lambda k, depth, filters, g: k * k * (depth // g))


@count_alexnet.misconception(
    "depth of the filters forgotten",
    "Your filters are flat, k · k weights. A filter reaches through all channels of its group: `channels[i] // "
    "groups[i]` times as many.",
)
def flat_filters(*table):
    return _counted(*table, weights=lambda k, depth, filters, g: filters * k * k)


@count_alexnet.misconception(
    "depth of the image in every layer",
    "All your filters are as deep as the image. Only conv1 sees the image; the others see what the layer before "
    "made, `channels[i]`.",
)
def depth_of_the_image(channels, kernels, groups, side, widths):
    colours = channels[0]
    return _counted(
        channels, kernels, groups, side, widths, weights=lambda k, depth, filters, g: filters * k * k * colours // g
    )


@count_alexnet.misconception(
    "channels that go out twice",
    "Your filters are as deep as they are many, filters · filters. Their depth is what comes in: `channels[i]`, the "
    "number before `channels[i + 1]`.",
)
def out_and_out(*table):
    return _counted(*table, weights=lambda k, depth, filters, g: filters * k * k * (filters // g))


@count_alexnet.misconception(
    "fc6 sees the channels only",
    "Your fc6 has one input for each channel. It sees every place of every map: `channels[-1] * side ** 2`, which "
    "is 256 · 6 · 6 = 9,216 in AlexNet.",
)
def no_places(*table):
    return _counted(*table, fc6=lambda depth, side: depth)


@count_alexnet.misconception(
    "fc6 sees one row",
    "Your fc6 has channels · side inputs. The map has side rows *and* side columns: `channels[-1] * side ** 2`.",
)
def one_row(*table):
    return _counted(*table, fc6=lambda depth, side: depth * side)


@count_alexnet.misconception(
    "fc6 sees one map",
    "Your fc6 has side · side inputs: one map. All channels are flattened into one row: `channels[-1] * side ** 2`.",
)
def one_map(*table):
    return _counted(*table, fc6=lambda depth, side: side * side)


@count_alexnet.misconception(
    "inputs of fc6 in every layer",
    "Every fully connected layer of yours has fc6's inputs. fc7 sees the outputs of fc6, and so on: set `inputs = "
    "outputs` after each.",
)
def inputs_kept(channels, kernels, groups, side, widths):
    inputs = channels[-1] * side**2
    return _right_counts(channels, kernels, groups, side, [])[: len(kernels)] + [o * (inputs + 1) for o in widths]


@count_alexnet.misconception(
    "fully connected layers forgotten",
    "You count the convolutions only. The fully connected layers follow, one for each number in `widths`; in "
    "AlexNet they hold 96 % of all parameters.",
)
def only_convolutions(*table):
    return _counted(*table, take=lambda conv, fc: conv)


@count_alexnet.misconception(
    "the last layer forgotten",
    "Your last fully connected layer is missing: the one that makes the scores of the classes. `widths` has a "
    "number for each layer, and the inputs of the first are not in it.",
)
def last_forgotten(*table):
    return _counted(*table, take=lambda conv, fc: conv + fc[:-1])


@count_alexnet.misconception(
    "fc6 forgotten",
    "Your first fully connected layer is missing, fc6: you begin with the weights between the first two numbers of "
    "`widths`. Before them comes what pool5 leaves, `channels[-1] * side ** 2`.",
)
def first_fc_forgotten(*table):
    return _counted(*table, take=lambda conv, fc: conv + fc[1:])


@count_alexnet.misconception(
    "one number instead of a list",
    "You add everything up. The task asks for a list, one number for each layer: leave the `sum` to the cell below.",
)
def summed(*table):
    return _counted(*table, take=lambda conv, fc: sum(conv + fc))


# --- local response normalization ---------------------------------------------------------------------------


def _activations(rng: np.random.Generator) -> list[Case]:
    def case(shape, scale, *settings):
        return Case(real(rng.normal(size=shape) * scale), *settings)

    return [
        Case(real([3, 4, 1]).reshape(1, 3, 1, 1), 3, 3.0, 1.0, 1.0),
        Case(real([[3, -1], [-4, 2], [1, 0]]).reshape(1, 3, 1, 2), 3, 3.0, 0.5, 2.0),
        case((2, 7, 3, 4), 2, 5, 0.9, 0.75, 2.0),
        case((3, 6, 4, 2), 3, 4, 0.5, 0.6, 1.5),
        case((2, 9, 5, 3), 60, 5, 5e-4, 0.75, 2.0),
        case((4, 3, 2, 5), 1, 7, 2.0, 0.75, 0.5),
    ]


def _neighbours(size):
    """How many channels before and after belong to the sum."""
    return size // 2, (size - 1) // 2


def _sums(values, before, after, *, mode="constant", axis=1):
    """The sums over a window along one axis, over zeros (or what `mode` says) beyond the edges."""
    width = [(before, after) if i == axis else (0, 0) for i in range(values.ndim)]
    padded = np.pad(values, width, mode=mode)
    return np.lib.stride_tricks.sliding_window_view(padded, before + after + 1, axis=axis).sum(-1)


def _normed(
    a, size, alpha, beta, k, *,
    square=np.square,
    sums=lambda squares, size: _sums(squares, *_neighbours(size)),
    mean=lambda sums, size: sums / size,
    base=lambda k, loud: k + loud,
    divide=lambda a, base, beta: a / base**beta,
):  # fmt: skip
    """The right normalization with one of its parts replaced."""
    return divide(a, base(k, alpha * mean(sums(square(a), size), size)), beta)


def _right_norm(a, size, alpha, beta, k):
    return local_response_norm(a, size, alpha=alpha, beta=beta, k=k)


response_norm = Task(
    name="05.response_norm",
    title="Local response normalization",
    difficulty=4,
    minutes=30,
    practises="neighbours along the axis of channels, and an α that is easy to get wrong",
    reference=_right_norm,
    inputs=_activations,
    hints=[
        "One channel c at a time, for all images and places at once: `a[:, first:last]` are its neighbours, (N, "
        "window, H, W). The sum of their squares over axis 1 is (N, H, W).",
        "`first = max(0, c - size // 2)`: a negative start would count from the end. `last = c + (size - 1) // 2 + "
        "1` may be too large: a slice simply ends with the array.",
        "For each c: `squares = (a[:, first:last] ** 2).sum(axis=1)`, then `b[:, c] = a[:, c] / (k + alpha / size * "
        "squares) ** beta`. Make `b` with `np.empty(a.shape)` before the loop: the squares are taken of a, which "
        "must stay as it is.",
    ],
)


@response_norm.misconception(
    "α undivided",
    "Your α isn't divided by the size: your output is the paper's formula. The task asks for what libraries "
    "compute, α / size times the sum; with the paper's α the two differ and nobody gets an error.",
)
def alpha_undivided(*given):
    return _normed(*given, mean=lambda sums, size: sums)


def _by_slices(a, size, alpha, beta, k, *, first, last):
    """With a loop over channels and slices that may be wrong."""
    b = np.empty(a.shape)
    for c in range(a.shape[1]):
        squares = a[:, first(c, size) : last(c, size)] ** 2
        b[:, c] = a[:, c] / (k + alpha / size * squares.sum(axis=1)) ** beta
    return b


@response_norm.misconception(
    "α undivided",
    "Your output is the lecture's formula, the paper's. Two things are new here: α is divided by the size, and "
    "where the size is even only `(size - 1) // 2` channels come after the middle.",
)
def as_in_the_lecture(a, size, alpha, beta, k):
    return _normed(a, size, alpha * size, beta, k, sums=lambda squares, size: _sums(squares, size // 2, size // 2))


@response_norm.misconception(
    "α undivided",
    "Your α isn't divided by the size, and your first channels have an empty sum, or a wrong one: their slice "
    "starts below 0, which Python counts from the end. It starts at `max(0, c - size // 2)`.",
)
def undivided_and_negative_start(a, size, alpha, beta, k):
    def last(c, size):
        return c + size // 2 + 1

    return _by_slices(a, size, alpha * size, beta, k, first=lambda c, size: c - size // 2, last=last)


@response_norm.misconception(
    "α divided by those that exist",
    "At the first and the last channels you divide by the number of neighbours that exist. Only the sum is shorter "
    "there: α is divided by `size` everywhere.",
)
def mean_of_those_there(*given):
    def mean(sums, size):
        return sums / _sums(np.ones_like(sums), *_neighbours(size))

    return _normed(*given, mean=mean)


@response_norm.misconception(
    "α divided by all channels",
    "You divide α by the number of all channels. It is divided by `size`, the number of neighbours in a sum.",
)
def divided_by_channels(*given):
    return _normed(*given, mean=lambda sums, size: sums / sums.shape[1])


def _over_space(squares, size):
    rows = _sums(squares, *_neighbours(size), axis=2)
    return _sums(rows, *_neighbours(size), axis=3)


@response_norm.misconception(
    "window over space",
    "Your window lies over rows and columns: neighbouring *places* of one channel. Local response normalization "
    "sums over neighbouring *channels* at one place, axis 1.",
)
def over_space(*given):
    return _normed(*given, sums=_over_space)


@response_norm.misconception(
    "window over space",
    "Your window lies over rows and columns, and you divide by size · size. That is a normalization, too, but the "
    "one asked for sums over neighbouring *channels* at one place, axis 1.",
)
def mean_over_space(*given):
    return _normed(*given, sums=_over_space, mean=lambda sums, size: sums / size**2)


@response_norm.misconception(
    "window over space",
    "Your window lies along the rows' axis, 2. The neighbours are the *channels* at the same place: axis 1 of (N, "
    "C, H, W).",
)
def over_rows(*given):
    return _normed(*given, sums=lambda squares, size: _sums(squares, *_neighbours(size), axis=2))


@response_norm.misconception(
    "window over space",
    "Your window lies along the last axis, the columns. The neighbours are the *channels* at the same place: axis 1 "
    "of (N, C, H, W).",
)
def over_columns(*given):
    return _normed(*given, sums=lambda squares, size: _sums(squares, *_neighbours(size), axis=3))


@response_norm.misconception(
    "window over the images",
    "Your window lies over neighbouring images of the batch. Images have nothing to do with each other: the "
    "neighbours are the channels, axis 1 of (N, C, H, W).",
)
def over_images(*given):
    return _normed(*given, sums=lambda squares, size: _sums(squares, *_neighbours(size), axis=0))


@response_norm.misconception(
    "all channels",
    "Your sum runs over all channels. *Local* means neighbours: `size` channels around c.",
)
def all_channels(*given):
    return _normed(*given, sums=lambda squares, size: squares.sum(axis=1, keepdims=True))


@response_norm.misconception(
    "no neighbours",
    "Your sum holds the channel itself only: nobody is toned down by a neighbour. Sum the squares of `size` "
    "channels around c.",
)
def alone(*given):
    return _normed(*given, sums=lambda squares, size: squares)


@response_norm.misconception(
    "k = 1",
    "Your k is 1, whatever the argument says. AlexNet has k = 2 (and PyTorch's default is 1, which has misled "
    "many): use `k`.",
)
def k_is_one(a, size, alpha, beta, k):
    return _normed(a, size, alpha, beta, 1)


@response_norm.misconception(
    "k = 2",
    "Your k is 2, whatever the argument says. 2 is AlexNet's; use `k`.",
)
def k_is_two(a, size, alpha, beta, k):
    return _normed(a, size, alpha, beta, 2)


@response_norm.misconception(
    "k missing",
    "Your k is missing. It is added to the sum, so that quiet channels aren't divided by nearly nothing.",
)
def no_k(a, size, alpha, beta, k):
    return _normed(a, size, alpha, beta, 0)


@response_norm.misconception(
    "k outside the power",
    "You add k after raising to the power β. The power is of everything together: `(k + ...) ** beta`, with the "
    "brackets.",
)
def k_outside(*given):
    return _normed(*given, base=lambda k, loud: (k, loud), divide=lambda a, base, beta: a / (base[0] + base[1] ** beta))


@response_norm.misconception(
    "brackets around the division missing",
    "You divide by k only, and add the rest: `a / k + ...` divides first. Everything in the brackets is the "
    "divisor: `a / (k + ...) ** beta`.",
)
def divided_by_k_only(*given):
    return _normed(*given, base=lambda k, loud: (k, loud), divide=lambda a, base, beta: (a / base[0] + base[1]) ** beta)


@response_norm.misconception(
    "not squared",
    "You add up the neighbours themselves, not their squares. Negative ones would make others *louder*; squares are "
    "never negative.",
)
def not_squared(*given):
    return _normed(*given, square=lambda a: a)


@response_norm.misconception(
    "not squared",
    "You add up the neighbours' sizes without their signs, not their squares. A square makes loud channels count "
    "much more than quiet ones.",
)
def absolute(*given):
    return _normed(*given, square=np.abs)


@response_norm.misconception(
    "square of the sum",
    "You add up first and square then. Neighbours of opposite sign cancel each other in that: square each, then add.",
)
def square_of_the_sum(*given):
    return _normed(*given, square=lambda a: a, sums=lambda a, size: _sums(a, *_neighbours(size)) ** 2)


@response_norm.misconception(
    "β left out",
    "You divide by the brackets as they are: the power β is left out.",
)
def no_beta(*given):
    return _normed(*given, divide=lambda a, base, beta: a / base)


@response_norm.misconception(
    "β fixed",
    "Your β is 0.75, whatever the argument says. 0.75 is AlexNet's; use `beta`.",
)
def beta_fixed(*given):
    return _normed(*given, divide=lambda a, base, beta: a / base**0.75)


@response_norm.misconception(
    "β fixed",
    "You take the square root in place of the power β. The root would be β = 0.5; use `beta`.",
)
def root(*given):
    return _normed(*given, divide=lambda a, base, beta: a / base**0.5)


@response_norm.misconception(
    "power of the quotient",
    "You raise the quotient to the power β, a and all, and a negative number to a power like 0.75 is no number "
    "(NaN). Only the divisor has the power: `a / (...) ** beta`.",
)
def power_of_all(*given):
    return _normed(*given, divide=lambda a, base, beta: (a / base) ** beta)


@response_norm.misconception(
    "multiplied instead of divided",
    "You multiply by the power: loud neighbours make a channel louder. They are meant to tone it down: divide.",
)
def multiplied(*given):
    return _normed(*given, divide=lambda a, base, beta: a * base**beta)


@response_norm.misconception(
    "divisor returned",
    "Your output is the divisor, (k + ...) ** β. What is asked for is a divided by it.",
)
def divisor(*given):
    return _normed(*given, divide=lambda a, base, beta: base**beta)


@response_norm.misconception(
    "own channel left out",
    "You leave out the channel itself. It is in the middle of its own neighbours: its square belongs to the sum.",
)
def without_itself(*given):
    return _normed(*given, sums=lambda squares, size: _sums(squares, *_neighbours(size)) - squares)


@response_norm.misconception(
    "channels before only",
    "Your window ends at the channel itself. Half of the neighbours come after it: the slice ends at `c + (size - "
    "1) // 2 + 1`.",
)
def before_only(*given):
    return _normed(*given, sums=lambda squares, size: _sums(squares, size // 2, 0))


@response_norm.misconception(
    "channels before only",
    "Your window is the channel and the size − 1 before it. The channel stands in the middle: `size // 2` before "
    "and `(size - 1) // 2` after.",
)
def all_before(*given):
    return _normed(*given, sums=lambda squares, size: _sums(squares, size - 1, 0))


@response_norm.misconception(
    "channels after only",
    "Your window is the channel and the size − 1 after it. The channel stands in the middle: `size // 2` before and "
    "`(size - 1) // 2` after.",
)
def all_after(*given):
    return _normed(*given, sums=lambda squares, size: _sums(squares, 0, size - 1))


@response_norm.misconception(
    "channels after only",
    "Your window begins at the channel itself. Half of the neighbours come before it: the slice begins at `max(0, c "
    "- size // 2)`.",
)
def after_only(*given):
    return _normed(*given, sums=lambda squares, size: _sums(squares, 0, (size - 1) // 2))


@response_norm.misconception(
    "last neighbour left out",
    "The last neighbour is missing from your sums. The end of a slice doesn't belong to it: `a[:, first:c + (size - "
    "1) // 2 + 1]`.",
)
def last_left_out(*given):
    return _by_slices(*given, first=lambda c, size: max(0, c - size // 2), last=lambda c, size: c + (size - 1) // 2)


@response_norm.misconception(
    "last neighbour left out",
    "The last neighbour is missing from your sums where `size` is odd. The end of a slice doesn't belong to it: "
    "with `size // 2` after the channel, the slice ends at `c + size // 2 + 1`.",
)
def last_left_out_when_odd(*given):
    return _by_slices(*given, first=lambda c, size: max(0, c - size // 2), last=lambda c, size: c + size // 2)


@response_norm.misconception(
    "size on both sides",
    "Your window has `size` channels *before and after* the middle. `size` is the whole window: `size // 2` before "
    "and `(size - 1) // 2` after.",
)
def size_on_both_sides(*given):
    return _normed(*given, sums=lambda squares, size: _sums(squares, size, size))


@response_norm.misconception(
    "even sizes",
    "Right for odd sizes. An even window has no middle: yours has `size // 2` channels on both sides, which is one "
    "channel too many. After the channel come `(size - 1) // 2`.",
)
def one_more_when_even(*given):
    return _normed(*given, sums=lambda squares, size: _sums(squares, size // 2, size // 2))


@response_norm.misconception(
    "even sizes",
    "Right for odd sizes. An even window has no middle: yours has `(size - 1) // 2` channels on both sides, which "
    "is one channel too few. Before the channel come `size // 2`.",
)
def one_less_when_even(*given):
    return _normed(*given, sums=lambda squares, size: _sums(squares, (size - 1) // 2, (size - 1) // 2))


@response_norm.misconception(
    "even sizes",
    "Right for odd sizes. An even window has no middle: in yours the odd one out comes after the channel, in the "
    "task before it, `size // 2` before and `(size - 1) // 2` after.",
)
def shifted_when_even(*given):
    return _normed(*given, sums=lambda squares, size: _sums(squares, (size - 1) // 2, size // 2))


@response_norm.misconception(
    "negative start of a slice",
    "Your first channels have an empty sum, or a wrong one. Their slice starts below 0, and Python counts a "
    "negative start from the end: `max(0, c - size // 2)`.",
)
def negative_start(*given):
    return _by_slices(*given, first=lambda c, size: c - size // 2, last=lambda c, size: c + (size - 1) // 2 + 1)


@response_norm.misconception(
    "negative start of a slice",
    "Your first channels have an empty sum, or a wrong one: their slice starts below 0, which Python counts from "
    "the end. It starts at `max(0, c - size // 2)`; and it ends at `c + (size - 1) // 2 + 1`, which matters where "
    "the size is even.",
)
def negative_start_and_even(*given):
    return _by_slices(*given, first=lambda c, size: c - size // 2, last=lambda c, size: c + size // 2 + 1)


@response_norm.misconception(
    "around the corner",
    "Your first channel has the last one as a neighbour, as `np.roll` makes it. Channels don't form a ring: at both "
    "ends the sum is shorter.",
)
def ring(*given):
    return _normed(*given, sums=lambda squares, size: _sums(squares, *_neighbours(size), mode="wrap"))


@response_norm.misconception(
    "ends repeated",
    "Beyond the ends you repeat the first and the last channel, as if they stood there again. Nothing stands there: "
    "the sum is shorter.",
)
def ends_repeated(*given):
    return _normed(*given, sums=lambda squares, size: _sums(squares, *_neighbours(size), mode="edge"))


@response_norm.misconception(
    "toned-down neighbours",
    "You write the results into the array that you also read from, so the sum of a channel holds neighbours that "
    "are already toned down. Keep two arrays: read the squares from a, write into b.",
)
def one_after_the_other(a, size, alpha, beta, k):
    b = a.astype(float)
    for c in range(a.shape[1]):
        squares = b[:, max(0, c - size // 2) : c + (size - 1) // 2 + 1] ** 2
        b[:, c] = b[:, c] / (k + alpha / size * squares.sum(axis=1)) ** beta
    return b


@response_norm.misconception(
    "summed over the batch",
    "Your sum runs over the images, too. Each image and each place has its own: sum over the window's axis only, "
    "`sum(axis=1)`.",
)
def over_the_batch_too(*given):
    def sums(squares, size):
        return _sums(squares, *_neighbours(size)).sum(axis=0, keepdims=True)

    return _normed(*given, sums=sums)


@response_norm.misconception(
    "summed over everything",
    "You sum over images, rows and columns, too: `sum()` without an axis adds up everything. Each place of each "
    "image has its own sum: `sum(axis=1)`.",
)
def over_everything(*given):
    def sums(squares, size):
        return _sums(squares, *_neighbours(size)).sum(axis=(0, 2, 3), keepdims=True)

    return _normed(*given, sums=sums)


@response_norm.misconception(
    "ReLU included",
    "Your negative numbers have become 0. In AlexNet ReLU is a layer of its own, before this one: leave them as "
    "they are.",
)
def with_relu(a, size, alpha, beta, k):
    return _normed(np.maximum(a, 0), size, alpha, beta, k)


# --- VGG's table --------------------------------------------------------------------------------------------


def _columns(rng: np.random.Generator) -> list[Case]:
    return [
        Case("3-2 |", 4, 1, [5]),
        Case("3-4 3-6 | 3-5 |", 22, 2, [7, 3]),
        Case("3-4 LRN | 3-6 5-7 1-8 | 3-9 |", 53, 3, [12, 10]),
        Case(TABLE["D"], 224, 3, [4096, 4096, 1000]),
        Case(TABLE["C"], 160, 1, [512, 256, 10]),
        Case(TABLE["A-LRN"], 75, 3, [64, 32]),
    ]


def _read(
    column, side, depth, widths, *,
    kernel=lambda kernel, place: kernel,  # of a convolution; place: which of its stage, from 0
    moved=lambda side, kernel: side,  # the side after a convolution
    pooled=lambda side: side // 2,
    pool=lambda depth, side: (),  # rows for a pool
    norm=lambda depth, side: (),  # rows for an LRN
    kernels=lambda kernel, depth: kernel**2 * depth,  # the weights of a filter
    bias=lambda filters: filters,
    seen=lambda filters, depth: filters,  # the depth that the next convolution sees
    row=lambda kernel, filters, side, parameters: (kernel, filters, side, parameters),
    early=False,  # whether a stage is halved before its convolutions
):  # fmt: skip
    """The right rows of the convolutions, and then side and depth, with one part replaced."""
    rows, place = [], 0
    for entry in column.split():
        if entry == "|":
            place = 0
            side = side if early else pooled(side)
            rows += pool(depth, side)
        elif entry == "LRN":
            rows += norm(depth, side)
        else:
            size, filters = map(int, entry.split("-"))
            size = kernel(size, place)
            side = pooled(side) if early and place == 0 else moved(side, size)
            rows.append(row(size, filters, side, filters * kernels(size, depth) + bias(filters)))
            depth, place = seen(filters, depth), place + 1
    return rows, side, depth


def _connected(
    side, depth, widths, *,
    size=lambda side, first: side,  # the kernel in the row
    inputs=lambda side, depth: side**2 * depth,
    after=1,  # the side that a layer leaves; None: the one it found
    bias=lambda outputs: outputs,
    work=False,
):  # fmt: skip
    """The rows of the fully connected layers, with one part replaced."""
    rows = []
    for i, outputs in enumerate(widths):
        left = side if after is None else after
        rows.append((size(side, i == 0), outputs, left, outputs * inputs(side, depth) + (0 if work else bias(outputs))))
        depth, side = outputs, left
    return rows


def _rows(column, side, depth, widths, *, connected=_connected, **replaced):
    rows, left, seen = _read(column, side, depth, widths, **replaced)
    return rows + connected(left, seen, widths)


def _right_rows(column, side, depth, widths):
    return _rows(column, side, depth, widths)


def _with(**replaced):
    return lambda side, depth, widths: _connected(side, depth, widths, **replaced)


vgg_layers = Task(
    name="05.vgg_layers",
    title="Build VGG from its table",
    difficulty=3,
    minutes=25,
    practises="reading an architecture as data, one layer after the other",
    reference=_right_rows,
    inputs=_columns,
    returns=("layers",),
    rtol=1e-9,
    atol=0,
    hints=[
        "`for entry in column.split():` goes through the entries. Three kinds: `|` halves the side, `LRN` changes "
        'nothing here, and all others are convolutions: `kernel, filters = map(int, entry.split("-"))`.',
        "A convolution adds the row `(kernel, filters, side, filters * (kernel ** 2 * depth + 1))`; after it, "
        "`depth = filters`. A pool is `side = side // 2`, and adds no row.",
        "After the loop, for each `outputs` in `widths`: the row is `(side, outputs, 1, outputs * (side ** 2 * "
        "depth + 1))`; after it, `depth = outputs` and `side = 1`.",
    ],
)


@vgg_layers.misconception(
    "C's 1×1 in D",
    "You make the third convolution of a stage 1×1 in every column. That is column C; in D and E it is 3×3. The "
    "entry says it: in `1-256` the kernel is 1, in `3-256` it is 3.",
)
def third_is_one(*table):
    return _rows(*table, kernel=lambda kernel, place: 1 if place == 2 else kernel)


@vgg_layers.misconception(
    "3×3 everywhere",
    "All your kernels are 3×3. Nearly all are, but column C has three of 1×1: the number before the dash is the "
    "kernel.",
)
def three_everywhere(*table):
    return _rows(*table, kernel=lambda kernel, place: 3)


@vgg_layers.misconception(
    "pools counted",
    "You give the pools rows of their own. Only layers with weights are counted: so column D has 16, not 21, and is "
    "called VGG-16.",
)
def pools_counted(*table):
    return _rows(*table, pool=lambda depth, side: [(2, depth, side, 0)])


@vgg_layers.misconception(
    "pools counted",
    "You give the pools rows of their own, and LRN, too. Only layers with weights are counted: so column D has 16, "
    "not 21, and is called VGG-16.",
)
def pools_and_norms_counted(*table):
    return _rows(*table, pool=lambda depth, side: [(2, depth, side, 0)], norm=lambda depth, side: [(5, depth, side, 0)])


@vgg_layers.misconception(
    "pools counted",
    "You give the pools rows, and even weights: a 2×2 kernel for each channel. A pool takes the largest number of "
    "its window; nothing in it is learned, and it isn't counted.",
)
def pools_with_weights(*table):
    return _rows(*table, pool=lambda depth, side: [(2, depth, side, 4 * depth)])


@vgg_layers.misconception(
    "LRN counted",
    "You give LRN a row. It has no weights, so it isn't counted: A-LRN has 11 layers, as A has.",
)
def norms_counted(*table):
    return _rows(*table, norm=lambda depth, side: [(5, depth, side, 0)])


@vgg_layers.misconception(
    "LRN counted",
    "You give LRN a row. It has no weights, so it isn't counted: A-LRN has 11 layers, as A has.",
)
def norms_counted_as_one(*table):
    return _rows(*table, norm=lambda depth, side: [(1, depth, side, 0)])


@vgg_layers.misconception(
    "LRN read as a convolution",
    "Your function stops at the entry `LRN`: it isn't of the form `3-64`, so it can't be split into two numbers. "
    "Leave it out before you split: it has no weights, and changes no shape.",
)
def norm_split(column, side, depth, widths):
    return _norm_read(column, side, depth, widths, lambda entry: map(int, entry.split("-")))


@vgg_layers.misconception(
    "LRN read as a convolution",
    "Your function stops at the entry `LRN`: it has no dash, so it can't be split in two. Leave it out before you "
    "split: it has no weights, and changes no shape.",
)
def norm_unpacked(column, side, depth, widths):
    return _norm_read(column, side, depth, widths, _halves)


def _halves(entry):
    kernel, filters = entry.split("-")
    return int(kernel), int(filters)


def _norm_read(column, side, depth, widths, numbers):
    rows = []
    for entry in column.split():
        if entry == "|":
            side = side // 2
        else:
            kernel, filters = numbers(entry)
            rows.append((kernel, filters, side, filters * (kernel**2 * depth + 1)))
            depth = filters
    return rows + _connected(side, depth, widths)


@vgg_layers.misconception(
    "pools read as convolutions",
    "Your function stops at the entry `|`: it isn't of the form `3-64`, so it can't be split into two numbers. It "
    "is a pool: ask for it first, and halve the side.",
)
def pool_split(column, side, depth, widths):
    for entry in column.split():
        _, filters = map(int, entry.split("-"))
        depth = filters
    return _connected(side, depth, widths)


@vgg_layers.misconception(
    "padding 0",
    "Your convolutions make the maps smaller, by 2 with a 3×3 kernel: they have no padding. VGG's 3×3 have padding "
    "1, so that only the pools change the side.",
)
def no_padding(*table):
    return _rows(*table, moved=lambda side, kernel: side - kernel + 1)


@vgg_layers.misconception(
    "padding 1 for every kernel",
    "Your 1×1 convolutions make the maps 2 larger: they have padding 1, as the 3×3 have. A 1×1 kernel reaches over "
    "no edge and needs none: kernel // 2 is 0. Every convolution keeps the side.",
)
def padding_always_one(*table):
    return _rows(*table, moved=lambda side, kernel: side - kernel + 3)


@vgg_layers.misconception(
    "pools left out",
    "Your maps keep their side to the end: the pools, `|`, do nothing. Each halves the side.",
)
def no_pools(*table):
    return _rows(*table, pooled=lambda side: side)


@vgg_layers.misconception(
    "last pool left out",
    "Your last pool is missing: fc6 sees 14×14 places in VGG-16 instead of 7×7. There is a pool after *every* "
    "stage, also after the last.",
)
def no_last_pool(column, side, depth, widths):
    return _right_rows(column.rstrip(" |"), side, depth, widths)


@vgg_layers.misconception(
    "one pool too many",
    'You pool once too often: VGG-16\'s fc6 sees 3×3 places instead of 7×7. `column.split("|")` gives an empty '
    "piece after the last `|`, and there is no pool after that.",
)
def one_pool_more(column, side, depth, widths):
    return _right_rows(column + " |", side, depth, widths)


@vgg_layers.misconception(
    "one pool too many",
    'You pool once too often, since `column.split("|")` gives an empty piece after the last `|`. And the kernel '
    "in fc6's row is as large as the map that comes in, `side`, not 1.",
)
def one_pool_more_and_kernel_one(column, side, depth, widths):
    return _rows(column + " |", side, depth, widths, connected=_with(size=lambda side, first: 1))


@vgg_layers.misconception(
    "an entry without a dash",
    "Your function stops at an entry without a dash, which can't be split into two numbers. Either it is the pool, "
    "`|`, for which you must ask first; or `for entry in column` goes through the text letter by letter: "
    "`column.split()` makes a list of the entries.",
)
def by_characters(column, side, depth, widths):
    for entry in column:
        kernel, filters = map(int, entry.split("-"))
    return _connected(side, kernel + filters, widths)


@vgg_layers.misconception(
    "stages taken for entries",
    "Your function stops because a whole stage, such as `3-4 3-6`, can't be split into two numbers: "
    '`column.split("|")` gives stages. Split each of them again, at the spaces; or split the column at the '
    "spaces, and ask for `|`.",
)
def by_stages(column, side, depth, widths):
    for stage in column.split("|"):
        kernel, filters = map(int, stage.split("-"))
    return _connected(side, kernel + filters, widths)


@vgg_layers.misconception(
    "pool before its stage",
    "You halve the side before each stage: your first convolution already works at 112×112 in VGG-16. A pool comes "
    "*after* the convolutions of its stage.",
)
def pool_first(*table):
    return _rows(*table, early=True)


@vgg_layers.misconception(
    "pools round up",
    "Your pools round up: 53 becomes 27. A 2×2 window that would reach over the edge doesn't count: round down, `//`.",
)
def rounded_up(*table):
    return _rows(*table, pooled=lambda side: -(-side // 2))


@vgg_layers.misconception(
    "half a pixel",
    "You divide the side by 2 with a fraction: 53 becomes 26.5. A window fits or it doesn't: round down, `side // 2`.",
)
def half_a_pixel(*table):
    return _rows(*table, pooled=lambda side: side / 2)


@vgg_layers.misconception(
    "pools divide by 4",
    "Your pools divide the side by 4. A 2×2 pool keeps a quarter of the *places*: half of the rows and half of the "
    "columns, `side // 2`.",
)
def quartered(*table):
    return _rows(*table, pooled=lambda side: side // 4)


@vgg_layers.misconception(
    "biases missing",
    "All biases are missing: one for each filter, and one for each output of a fully connected layer.",
)
def no_biases_in_vgg(*table):
    return _rows(*table, bias=lambda filters: 0, connected=_with(bias=lambda outputs: 0))


@vgg_layers.misconception(
    "biases missing",
    "The biases of the convolutions are missing: every filter has one.",
)
def no_filter_biases_in_vgg(*table):
    return _rows(*table, bias=lambda filters: 0)


@vgg_layers.misconception(
    "biases missing",
    "The biases of the fully connected layers are missing: every output has one.",
)
def no_fc_biases_in_vgg(*table):
    return _rows(*table, connected=_with(bias=lambda outputs: 0))


@vgg_layers.misconception(
    "one bias for each layer",
    "You give each layer a single bias. Every filter has its own, and every output of a fully connected layer.",
)
def one_bias_in_vgg(*table):
    return _rows(*table, bias=lambda filters: 1, connected=_with(bias=lambda outputs: 1))


@vgg_layers.misconception(
    "kernel counted once",
    "You count k weights for each channel of a filter: one side of its kernel. It has k rows and k columns: `kernel "
    "** 2`.",
)
def one_side_in_vgg(*table):
    return _rows(*table, kernels=lambda kernel, depth: kernel * depth)


@vgg_layers.misconception(
    "depth of the filters forgotten",
    "Your filters are flat, k · k weights. A filter reaches through all channels that come in: k · k · depth.",
)
def flat_in_vgg(*table):
    return _rows(*table, kernels=lambda kernel, depth: kernel**2)


@vgg_layers.misconception(
    "depth of the image in every layer",
    "All your filters are as deep as the image. Each convolution sees what the one before made: after its row, set "
    "`depth = filters`.",
)
def depth_kept(*table):
    def connected(side, depth, widths):
        return _connected(side, _read(*table)[2], widths)

    return _rows(*table, seen=lambda filters, depth: depth, connected=connected)


@vgg_layers.misconception(
    "depth of the image in every layer",
    "All your filters are as deep as the image, and so is what fc6 sees. Each layer sees what the one before made: "
    "after its row, set `depth = filters`.",
)
def depth_kept_to_the_end(*table):
    return _rows(*table, seen=lambda filters, depth: depth)


@vgg_layers.misconception(
    "depth set too early",
    "Your filters are as deep as they are many: you set `depth = filters` before you count. The depth is what comes "
    "*in*; set it for the next layer, after the row.",
)
def depth_too_early(column, side, depth, widths):
    rows, left, seen = _read(column, side, depth, widths)
    rows = [(kernel, filters, s, filters * (kernel**2 * filters + 1)) for kernel, filters, s, _ in rows]
    return rows + _connected(left, seen, widths)


@vgg_layers.misconception(
    "kernel and filters exchanged",
    "You read `3-64` as 64×64 kernels, 3 of them. The kernel comes first: a 3×3 convolution with 64 filters.",
)
def read_the_other_way(column, side, depth, widths):
    turned = " ".join("-".join(entry.split("-")[::-1]) for entry in column.split())
    return _right_rows(turned, side, depth, widths)


@vgg_layers.misconception(
    "columns of the list exchanged",
    "Your numbers are right, but filters and kernel have changed places in the rows. The order is (kernel, filters, "
    "side, parameters).",
)
def filters_first(*table):
    return [(filters, kernel, side, parameters) for kernel, filters, side, parameters in _right_rows(*table)]


@vgg_layers.misconception(
    "multiply-adds",
    "You multiply the weights by the number of places: those are the multiply-adds. A convolution uses the *same* "
    "weights at every place, so they count once.",
)
def work_counted(column, side, depth, widths):
    rows, left, seen = _read(column, side, depth, widths, bias=lambda filters: 0)
    rows = [(kernel, filters, s, weights * s**2) for kernel, filters, s, weights in rows]
    return rows + _connected(left, seen, widths, work=True)


@vgg_layers.misconception(
    "multiply-adds",
    "You multiply the parameters by the number of places. A convolution uses the *same* weights at every place, so "
    "they count once.",
)
def parameters_at_every_place(column, side, depth, widths):
    rows, left, seen = _read(column, side, depth, widths)
    rows = [(kernel, filters, s, parameters * s**2) for kernel, filters, s, parameters in rows]
    return rows + _connected(left, seen, widths)


@vgg_layers.misconception(
    "fc6 sees the channels only",
    "Your fc6 has one input for each channel. It sees every place of every map: 512 · 7 · 7 = 25,088 in VGG-16.",
)
def fc6_without_places(*table):
    return _rows(*table, connected=_with(inputs=lambda side, depth: depth))


@vgg_layers.misconception(
    "fc6 sees the channels only",
    "Your fc6 has a kernel of 1, one input for each channel. It sees every place of every map, as a kernel as large "
    "as the map would: side × side, which is 7 × 7 in VGG-16.",
)
def fc6_as_one_by_one(*table):
    return _rows(*table, connected=_with(inputs=lambda side, depth: depth, size=lambda side, first: 1))


@vgg_layers.misconception(
    "kernel of fc6",
    "Your parameters are right, but in the row of fc6 the kernel is 1. As a convolution it would have a kernel as "
    "large as the map that comes in: `side`, which is 7 in VGG-16.",
)
def fc6_kernel_one(*table):
    return _rows(*table, connected=_with(size=lambda side, first: 1))


@vgg_layers.misconception(
    "fc6 sees one row",
    "Your fc6 has side · depth inputs. The map has side rows *and* side columns: `side ** 2 * depth`.",
)
def fc6_one_row(*table):
    return _rows(*table, connected=_with(inputs=lambda side, depth: side * depth))


@vgg_layers.misconception(
    "side kept after fc6",
    "Your fully connected layers all see side × side places. fc6 leaves one number for each output, a map of 1 × 1: "
    "after its row, set `side = 1`.",
)
def side_kept(*table):
    return _rows(*table, connected=_with(after=None))


@vgg_layers.misconception(
    "side kept after fc6",
    "The row of fc7 and of those after it is wrong: they see side × side places, as fc6 did. fc6 leaves a map of 1 "
    "× 1: after its row, set `side = 1`.",
)
def side_not_set(column, side, depth, widths):
    rows, left, seen = _read(column, side, depth, widths)
    return rows + [(size, outputs, 1, count) for size, outputs, _, count in _connected(left, seen, widths, after=None)]


@vgg_layers.misconception(
    "depth kept after fc6",
    "Your fully connected layers all have the convolutions' channels as inputs. fc7 sees the outputs of fc6: after "
    "each row, set `depth = outputs`.",
)
def fc_depth_kept(column, side, depth, widths):
    rows, left, seen = _read(column, side, depth, widths)
    for outputs in widths:
        rows.append((left, outputs, 1, outputs * (left**2 * seen + 1)))
        left = 1
    return rows


@vgg_layers.misconception(
    "fully connected layers forgotten",
    "Your list ends with the convolutions. The fully connected layers follow, one for each number in `widths`: "
    "three in VGG, which hold most of the parameters.",
)
def no_fully_connected(*table):
    return _read(*table)[0]


@vgg_layers.misconception(
    "fully connected layers forgotten",
    "Your list ends with the convolutions: the fully connected layers follow, one for each number in `widths`. And "
    "your function stops at the entry `LRN`, which isn't of the form `3-64`: leave it out, it has no weights.",
)
def no_fully_connected_and_norm_split(column, side, depth, widths):
    return norm_split(column, side, depth, [])


@vgg_layers.misconception(
    "fully connected layers forgotten",
    "Your list ends with the convolutions: the fully connected layers follow, one for each number in `widths`. And "
    "your function stops at the entry `LRN`, which has no dash to split at: leave it out, it has no weights.",
)
def no_fully_connected_and_norm_unpacked(column, side, depth, widths):
    return norm_unpacked(column, side, depth, [])


@vgg_layers.misconception(
    "one convolution for each stage",
    "You take one convolution for each stage, the last. Every entry of the form `3-64` is a layer of its own.",
)
def last_of_each_stage(column, side, depth, widths):
    short = " ".join(
        f"{[entry for entry in stage.split() if entry != 'LRN'][-1]} |" for stage in column.split("|")[:-1]
    )
    return _right_rows(short, side, depth, widths)


TASKS = (top_error, count_alexnet, response_norm, vgg_layers)
