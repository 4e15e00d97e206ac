"""The tasks of exercise 03, Learning. How answers are run and compared is not known here."""

from __future__ import annotations

import numpy as np

from zerohero.checks.definition import Case, Task
from zerohero.ops.activation import softmax
from zerohero.ops.convolution import conv2d
from zerohero.ops.linear import linear
from zerohero.ops.loss import cross_entropy
from zerohero.optim import Adam
from zerohero.tensor import Parameter, Tensor, grad


def real(values):
    """An array of real numbers, in the library's precision."""
    return np.array(values, np.float32)


# --- the gradient of the cross-entropy ----------------------------------------------------------------------


def _scores(rng: np.random.Generator) -> list[Case]:
    return [
        Case(real([[2, 1, -1]]), np.array([1])),
        Case(real([[1, 2, 0], [0, -1, 3]]), np.array([2, 0])),
        Case(real(rng.normal(size=(5, 3)) * 2), np.array([0, 2, 2, 1, 0])),
        Case(real(rng.normal(size=(3, 4)) * 2), np.array([3, 0, 3])),
        Case(real([[1000, 998, 997, 0, 5], [-1000, -1001, -1002, -1000, -999]]), np.array([1, 4])),
    ]


def _cross_entropy_gradient(scores, labels):
    leaf = Tensor(scores, requires_grad=True)
    return grad(cross_entropy(leaf, labels), leaf)


cross_entropy_gradient = Task(
    name="03.cross_entropy_gradient",
    title="The gradient of the cross-entropy",
    difficulty=3,
    minutes=15,
    practises="probability given minus probability wanted, for a batch",
    reference=_cross_entropy_gradient,
    inputs=_scores,
    hints=[
        "One image first: the slope for class j is `p[j]`, and 1 less where j is the right class. `zh.softmax` "
        "gives p.",
        "In a batch each row is an image: `p = zh.softmax(scores, axis=1)`. The loss is the mean over N images, so "
        "each image's slopes count one N-th.",
        "Make `wanted = np.zeros_like(p)` and set `wanted[np.arange(len(labels)), labels] = 1`: one number in each "
        "row. Then return `(p - wanted) / len(labels)`.",
    ],
)


def _wanted(scores, labels):
    return np.eye(scores.shape[1], dtype=np.float32)[labels]  # (N, classes): 1 at the label


def _naive_softmax(scores):
    e = np.exp(scores)
    return e / e.sum(axis=1, keepdims=True)


@cross_entropy_gradient.misconception(
    "no 1 taken off at the label",
    "Your output is the probabilities divided by N: 1 is not taken off at the right class. The slope is the "
    "probability given minus the probability wanted, and wanted is 1 at the label.",
)
def no_one_at_the_label(scores, labels):
    return softmax(scores, axis=1) / len(labels)


@cross_entropy_gradient.misconception(
    "no 1 taken off at the label",
    "Your output is the probabilities themselves. Two things are missing: 1 is taken off at the label of each row, "
    "and, since the loss is a mean over N images, all is divided by N.",
)
def probabilities(scores, labels):
    return softmax(scores, axis=1)


@cross_entropy_gradient.misconception(
    "not divided by N",
    "Your output is N times too large: it is the gradient of the sum of the losses. The loss is their mean over "
    "the N images of the batch, so divide by `len(labels)`.",
)
def no_division(scores, labels):
    return softmax(scores, axis=1) - _wanted(scores, labels)


@cross_entropy_gradient.misconception(
    "not divided by N",
    "Your output is N times too large, and it is NaN where scores are large, because `np.exp` overflows. Divide by "
    "`len(labels)`, and let `zh.softmax` compute the probabilities.",
)
def no_division_and_overflow(scores, labels):
    return _naive_softmax(scores) - _wanted(scores, labels)


@cross_entropy_gradient.misconception(
    "divided by the number of classes",
    "You divide by the number of classes. The loss is the mean over the images of the batch: divide by "
    "`len(labels)`, the number of rows.",
)
def divided_by_classes(scores, labels):
    return (softmax(scores, axis=1) - _wanted(scores, labels)) / scores.shape[1]


@cross_entropy_gradient.misconception(
    "divided by all entries",
    "You divide by the number of all scores, N times classes. An image has one loss, however many classes there are: "
    "divide by `len(labels)` only.",
)
def divided_by_all(scores, labels):
    return (softmax(scores, axis=1) - _wanted(scores, labels)) / scores.size


@cross_entropy_gradient.misconception(
    "softmax over the batch",
    "Your probabilities add up to 1 down each column, over the images of the batch: softmax over axis 0. Each image "
    "(row) shares out its own 1 among the classes: `axis=1`.",
)
def softmax_over_the_batch(scores, labels):
    return (softmax(scores, axis=0) - _wanted(scores, labels)) / len(labels)


@cross_entropy_gradient.misconception(
    "softmax over everything",
    "Your probabilities add up to 1 over the whole batch together. Each image (row) has probabilities of its own "
    "that add up to 1: softmax with `axis=1`.",
)
def softmax_over_everything(scores, labels):
    everything = softmax(scores.ravel(), axis=0).reshape(scores.shape)
    return (everything - _wanted(scores, labels)) / len(labels)


@cross_entropy_gradient.misconception(
    "no softmax",
    "You take 1 off the scores. Scores are not probabilities yet: softmax first, with `zh.softmax(scores, axis=1)`.",
)
def no_softmax(scores, labels):
    return (scores - _wanted(scores, labels)) / len(labels)


@cross_entropy_gradient.misconception(
    "overflow",
    "Your output is right for small scores and NaN for large ones: `np.exp(1000)` is infinite. Use `zh.softmax`, or "
    "subtract each row's largest score before `np.exp`.",
)
def overflow(scores, labels):
    return (_naive_softmax(scores) - _wanted(scores, labels)) / len(labels)


@cross_entropy_gradient.misconception(
    "sums in a row, not in a column",
    "You divide (N, classes) by sums of shape (N,), which NumPy lays along the classes. One sum belongs to each row: "
    "`sum(axis=1, keepdims=True)` has shape (N, 1). Or let `zh.softmax` do it.",
)
def sums_without_keepdims(scores, labels):
    e = np.exp(scores)
    return (e / e.sum(axis=1) - _wanted(scores, labels)) / len(labels)  # ValueError unless N = 1


@cross_entropy_gradient.misconception(
    "1 taken off in whole columns",
    "You take 1 off in every row of the labels' columns: `p[:, labels]` pairs every row with every label. Row n "
    "has only its own label: `p[np.arange(len(labels)), labels]`.",
)
def whole_columns(scores, labels):
    p = softmax(scores, axis=1)
    p[:, labels] -= 1
    return p / len(labels)


@cross_entropy_gradient.misconception(
    "labels used as rows",
    "You use the labels as numbers of rows: `p[labels]`. The first axis counts images, the second classes: "
    "`p[np.arange(len(labels)), labels]`.",
)
def labels_as_rows(scores, labels):
    p = softmax(scores, axis=1)
    p[labels] -= 1  # IndexError where a label is no row
    return p / len(labels)


@cross_entropy_gradient.misconception(
    "the label's number subtracted",
    "You subtract the label itself, such as 2. A label is the name of a class, not an amount: take 1 off, in the "
    "column that the label names.",
)
def label_subtracted(scores, labels):
    return (softmax(scores, axis=1) - labels[:, None]) / len(labels)


@cross_entropy_gradient.misconception(
    "labels counted from 1",
    "You take 1 off one column too far left. Labels count from 0, as columns do: the label is the column.",
)
def labels_from_one(scores, labels):
    return (softmax(scores, axis=1) - _wanted(scores, labels - 1)) / len(labels)


@cross_entropy_gradient.misconception(
    "wanted minus given",
    "Your output has the opposite sign: it is the probability wanted minus the probability given. The gradient "
    "points uphill, where the loss grows: given minus wanted. The step against it comes later.",
)
def wanted_minus_given(scores, labels):
    return (_wanted(scores, labels) - softmax(scores, axis=1)) / len(labels)


@cross_entropy_gradient.misconception(
    "slope of the probabilities",
    "Your output is the slope with respect to the probabilities, -1 / p at the label. Asked is the slope with "
    "respect to the scores: softmax lies between, and after its slope what is left is given minus wanted.",
)
def before_the_softmax(scores, labels):
    return -_wanted(scores, labels) / softmax(scores, axis=1) / len(labels)


@cross_entropy_gradient.misconception(
    "slope of softmax twice",
    "You multiply by p (1 - p). Given minus wanted holds the slope of softmax already: nothing more is multiplied.",
)
def softmax_slope_twice(scores, labels):
    p = softmax(scores, axis=1)
    return (p - _wanted(scores, labels)) * p * (1 - p) / len(labels)


@cross_entropy_gradient.misconception(
    "the loss, not its gradient",
    "Your output is the loss, one number. Its gradient has a slope for every score: the shape of `scores`.",
)
def the_loss(scores, labels):
    return cross_entropy(scores, labels)


@cross_entropy_gradient.misconception(
    "summed over the batch",
    "You add the rows up. Every image's scores have slopes of their own: the gradient has the shape of `scores`.",
)
def summed_over_the_batch(scores, labels):
    return _cross_entropy_gradient(scores, labels).sum(axis=0)


# --- a linear layer, backward -------------------------------------------------------------------------------


def _linear_inputs(rng: np.random.Generator) -> list[Case]:
    """Batch of n, from `inputs` to `outputs`: g (n, outputs), x (n, inputs), weight (outputs, inputs)."""

    def case(n, inputs, outputs, draw):
        return Case(*(real(draw(shape)) for shape in ((n, outputs), (n, inputs), (outputs, inputs))))

    def whole(shape):
        return rng.integers(-4, 6, size=shape)

    def normal(shape):
        return rng.normal(size=shape)

    return [
        Case(real([[1, -2]]), real([[3, 5]]), real([[2, -1], [4, 1]])),
        Case(real([[1, -2, 3], [2, 0, -1]]), real([[1, 2], [-1, 3]]), real([[2, -1], [0, 1], [3, 4]])),
        case(2, 3, 4, whole),
        case(3, 3, 3, normal),
        case(5, 4, 2, normal),
    ]


def _linear_backward(g, x, weight):
    x, weight = Tensor(x, requires_grad=True), Tensor(weight, requires_grad=True)
    bias = Tensor(np.zeros(len(weight.data), np.float32), requires_grad=True)
    return tuple(grad((linear(x, weight, bias) * g).sum(), [x, weight, bias]))


linear_backward = Task(
    name="03.linear_backward",
    title="A linear layer, backward",
    difficulty=2,
    minutes=15,
    practises="which products a number occurs in, and the shapes that follow",
    reference=_linear_backward,
    inputs=_linear_inputs,
    returns=("dx", "dw", "db"),
    hints=[
        "A gradient has the shape of what it is the gradient of: dx is (N, in) like x, dw (out, in) like weight, db "
        "(out,). Which products of g (N, out) with weight or x have these shapes?",
        "dx: `weight[o, i]` is the slope from `x[n, i]` to `y[n, o]`, so `dx[n, i]` adds up `g[n, o] * weight[o, i]` "
        "over o. dw: every image uses the weight, so add up over n. The bias is used by every image with slope 1.",
        "`dx = g @ weight`; `dw` is `g.T @ x`; `db` adds g up over the images, axis 0.",
    ],
)


@linear_backward.misconception(
    "weight transposed",
    "Your dx uses `weight.T`, as the way forward did. Backward goes from outputs to inputs: g is (N, out), weight is "
    "(out, in), and `g @ weight` adds up over the outputs.",
)
def weight_transposed(g, x, weight):
    return g @ weight.T, g.T @ x, g.sum(axis=0)  # ValueError unless in = out


@linear_backward.misconception(
    "weight transposed",
    "Your dx uses `weight.T` in `np.dot`, as the way forward did. Backward goes from outputs to inputs: g is (N, out), "
    "weight is (out, in), and `np.dot(g, weight)` adds up over the outputs.",
)
def weight_transposed_in_dot(g, x, weight):
    return np.dot(g, weight.T), np.dot(g.T, x), g.sum(axis=0)


@linear_backward.misconception(
    "weight and dw transposed",
    "Two things are transposed. dx uses `weight.T`, as the way forward did; backward it is `g @ weight`. And dw is "
    "(in, out), while the weight is (out, in): `g.T @ x`.",
)
def weight_and_dw_transposed(g, x, weight):
    return g @ weight.T, x.T @ g, g.sum(axis=0)


@linear_backward.misconception(
    "weight transposed, db not summed",
    "Two things: dx uses `weight.T`, as the way forward did; backward it is `g @ weight`. And db is g itself; the one "
    "bias is used by every image, so add up over the images.",
)
def weight_transposed_db_not_summed(g, x, weight):
    return g @ weight.T, g.T @ x, g


@linear_backward.misconception(
    "dw transposed",
    "Your dw has its axes exchanged: it is (in, out). The weight is (out, in), and its gradient has the same shape: "
    "`g.T @ x`.",
)
def dw_transposed(g, x, weight):
    return g @ weight, x.T @ g, g.sum(axis=0)


@linear_backward.misconception(
    "db not summed",
    "Your db is g itself, with a row for each image. The one bias is used by every image, so what arrives is added "
    "up over the images: `g.sum(axis=0)`.",
)
def db_not_summed(g, x, weight):
    return g @ weight, g.T @ x, g


@linear_backward.misconception(
    "db not summed and dw transposed",
    "Two things: your dw has its axes exchanged (it is (in, out), the weight is (out, in)), and your db is g itself, "
    "not added up over the images.",
)
def db_not_summed_dw_transposed(g, x, weight):
    return g @ weight, x.T @ g, g


@linear_backward.misconception(
    "db summed over the outputs",
    "Your db has one number for each image: it is added up over the outputs. Each output has its own bias: add up over "
    "the images, `axis=0`.",
)
def db_over_outputs(g, x, weight):
    return g @ weight, g.T @ x, g.sum(axis=1)


@linear_backward.misconception(
    "db summed over everything",
    "Your db is one number, the sum of all of g. Each output has a bias of its own: add up over the images only, "
    "`axis=0`.",
)
def db_over_everything(g, x, weight):
    return g @ weight, g.T @ x, g.sum()


@linear_backward.misconception(
    "db keeps the batch axis",
    "Your db has shape (1, out): `keepdims=True` keeps the axis that was added up. The bias is (out,), and so is its "
    "gradient.",
)
def db_keeps_the_axis(g, x, weight):
    return g @ weight, g.T @ x, g.sum(axis=0, keepdims=True)


@linear_backward.misconception(
    "mean over the batch",
    "Your db is the mean over the images. Used more than once means: add up. If the loss is a mean, its 1/N is in g "
    "already.",
)
def db_mean(g, x, weight):
    return g @ weight, g.T @ x, g.mean(axis=0)


@linear_backward.misconception(
    "mean over the batch",
    "Your dw and db are divided by the number of images. Used more than once means: add up. If the loss is a mean, "
    "its 1/N is in g already.",
)
def both_mean(g, x, weight):
    return g @ weight, g.T @ x / len(x), g.mean(axis=0)


@linear_backward.misconception(
    "mean over the batch",
    "Your dw is divided by the number of images. Used more than once means: add up. If the loss is a mean, its 1/N is "
    "in g already.",
)
def dw_mean(g, x, weight):
    return g @ weight, g.T @ x / len(x), g.sum(axis=0)


@linear_backward.misconception(
    "dw of the last image",
    "Your dw holds the last image's part only: inside a loop over images `=` overwrites. Every image uses the "
    "weight, so their parts are added up: `+=`.",
)
def dw_of_the_last_image(g, x, weight):
    return g @ weight, np.outer(g[-1], x[-1]), g.sum(axis=0)


@linear_backward.misconception(
    "dw not summed",
    "Your dw has one matrix for each image, (N, out, in). All images use the same weight: add up over the images.",
)
def dw_not_summed(g, x, weight):
    return g @ weight, g[:, :, None] * x[:, None, :], g.sum(axis=0)


@linear_backward.misconception(
    "g left out",
    "Your gradients are right if g is 1 everywhere: you return the layer's own slopes. The rule is: the gradient that "
    "arrives × own slope.",
)
def g_left_out(g, x, weight):
    return _linear_backward(np.ones_like(g), x, weight)


@linear_backward.misconception(
    "g left out",
    "Your db counts how often each bias is used, N times. What arrives is multiplied by that slope of 1 and added up: "
    "the sum of g over the images.",
)
def db_counts(g, x, weight):
    return g @ weight, g.T @ x, np.full(len(weight), len(x))


@linear_backward.misconception(
    "dx and dw exchanged",
    "You return dw first. The gradients come in the order of the layer's inputs: dx, dw, db.",
)
def order_exchanged(g, x, weight):
    return g.T @ x, g @ weight, g.sum(axis=0)


# --- a convolution, backward --------------------------------------------------------------------------------


def _conv_inputs(rng: np.random.Generator) -> list[Case]:
    """g (N, O, OH, OW), x (N, C, H, W), weight (O, C, kh, kw)."""

    def case(n, c, o, size, kernel, draw):
        out = (size[0] - kernel[0] + 1, size[1] - kernel[1] + 1)
        return Case(*(real(draw(shape)) for shape in ((n, o, *out), (n, c, *size), (o, c, *kernel))))

    def whole(shape):
        return rng.integers(-3, 6, size=shape)

    def normal(shape):
        return rng.normal(size=shape)

    return [
        Case(real([[[[1, -2, 3]]]]), real([[[[1, 2, 0, -1]]]]), real([[[[2, -1]]]])),  # the lecture's row
        case(1, 1, 1, (4, 5), (2, 3), whole),
        case(1, 2, 3, (3, 4), (2, 2), whole),
        case(3, 2, 1, (4, 3), (3, 2), whole),
        case(2, 3, 4, (5, 6), (3, 2), normal),
        case(2, 3, 2, (3, 5), (3, 4), normal),
    ]


def _conv_backward(g, x, weight):
    x, weight = Tensor(x, requires_grad=True), Tensor(weight, requires_grad=True)
    bias = Tensor(np.zeros(len(weight.data), np.float32), requires_grad=True)
    return tuple(grad((conv2d(x, weight, bias) * g).sum(), [x, weight, bias]))


conv_backward = Task(
    name="03.conv_backward",
    title="A convolution, backward",
    difficulty=4,
    minutes=30,
    practises="gradients that are convolutions themselves, and what is added up",
    reference=_conv_backward,
    inputs=_conv_inputs,
    returns=("dx", "dw", "db"),
    hints=[
        "One image, one channel, one filter: as in part 7 of the lecture. g slides over x for dw; the flipped "
        "filter slides over g padded with zeros for dx. Flipped means both axes: `[::-1, ::-1]`.",
        "How many zeros? dx must be as large as x: padding `(kh - 1, kw - 1)`. Then three loops, over images n, "
        "filters o and channels c, and what is used several times is added up with `+=`.",
        "Inside the loops: `dw[o, c] += zh.conv2d(x[n, c], g[n, o])` and `dx[n, c] += zh.conv2d(g[n, o], "
        "weight[o, c, ::-1, ::-1], padding=(kh - 1, kw - 1))`. After them `db = g.sum(axis=(0, 2, 3))`.",
    ],
)


def _over_x(image, gradient):
    """One filter slice's gradient: g slides over the input."""
    return conv2d(image, gradient)


def _over_g(gradient, kernel, padding=None):
    """One channel's gradient: the flipped kernel slides over the padded g."""
    kh, kw = kernel.shape
    return conv2d(gradient, kernel[::-1, ::-1], padding=(kh - 1, kw - 1) if padding is None else padding)


def _conv_loops(g, x, weight, over_x=_over_x, over_g=_over_g):
    """The right loops with another rule for one slice of the weight or one channel of the input."""
    dx, dw = np.zeros_like(x), np.zeros_like(weight)
    for n in range(len(x)):
        for o, c in np.ndindex(weight.shape[:2]):
            dw[o, c] += over_x(x[n, c], g[n, o])
            dx[n, c] += over_g(g[n, o], weight[o, c])  # ValueError where the shapes differ
    return dx, dw, g.sum(axis=(0, 2, 3))


@conv_backward.misconception(
    "kernel not flipped in dx",
    "Your dx is what the kernel gives unflipped. As the index of g goes up, that of the weight goes down: slide the "
    "flipped kernel over g, `weight[o, c, ::-1, ::-1]`.",
)
def kernel_not_flipped(g, x, weight):
    _, dw, db = _conv_backward(g, x, weight)
    return _conv_backward(g, x, weight[:, :, ::-1, ::-1])[0], dw, db


@conv_backward.misconception(
    "kernel flipped along one axis",
    "Your dx flips the rows of the kernel, but not its columns. Flipping means both axes: `weight[o, c, ::-1, ::-1]`.",
)
def only_rows_flipped(g, x, weight):
    _, dw, db = _conv_backward(g, x, weight)
    return _conv_backward(g, x, weight[:, :, :, ::-1])[0], dw, db


@conv_backward.misconception(
    "kernel flipped along one axis",
    "Your dx flips the columns of the kernel, but not its rows. Flipping means both axes: `weight[o, c, ::-1, ::-1]`.",
)
def only_columns_flipped(g, x, weight):
    _, dw, db = _conv_backward(g, x, weight)
    return _conv_backward(g, x, weight[:, :, ::-1])[0], dw, db


@conv_backward.misconception(
    "filters flipped, too",
    "You turn around the order of filters and channels: `[::-1, ::-1]` alone acts on the first two axes of a weight "
    "(O, C, kh, kw). The kernel's rows and columns are the last two: `weight[:, :, ::-1, ::-1]`.",
)
def first_axes_flipped(g, x, weight):
    _, dw, db = _conv_backward(g, x, weight)
    return _conv_backward(g, x, weight[::-1, ::-1, ::-1, ::-1])[0], dw, db


VALID = (
    "Your dx is too small: the flipped kernel slides over g alone. Each pixel of x needs its number, also at the "
    "edge, so g is padded with zeros: `padding=(kh - 1, kw - 1)`, the full convolution."
)


@conv_backward.misconception("g not padded in dx", VALID)
def valid_for_full(g, x, weight):
    return _conv_loops(g, x, weight, over_g=lambda gradient, kernel: _over_g(gradient, kernel, 0))


@conv_backward.misconception("g not padded in dx", VALID)
def valid_for_full_whole(g, x, weight):
    _, dw, db = _conv_backward(g, x, weight)
    return conv2d(g, weight[:, :, ::-1, ::-1].swapaxes(0, 1)), dw, db


@conv_backward.misconception("g not padded in dx", VALID)
def valid_for_full_added(g, x, weight):
    dx, dw = np.zeros_like(x), _conv_backward(g, x, weight)[1]
    for n in range(len(x)):
        for o, c in np.ndindex(weight.shape[:2]):
            dx[n, c] = dx[n, c] + _over_g(g[n, o], weight[o, c], 0)
    return dx, dw, g.sum(axis=(0, 2, 3))


@conv_backward.misconception("g not padded in dx", VALID)
def valid_for_full_assigned(g, x, weight):
    dx, dw = np.zeros_like(x), _conv_backward(g, x, weight)[1]
    for n in range(len(x)):
        for o, c in np.ndindex(weight.shape[:2]):
            dx[n, c] = _over_g(g[n, o], weight[o, c], 0)
    return dx, dw, g.sum(axis=(0, 2, 3))


@conv_backward.misconception(
    "padded by 1, whatever the kernel",
    "You pad g by 1, which is right for kernels of 2 rows and 2 columns only. dx must be as large as x, so the padding "
    "grows with the kernel: `padding=(kh - 1, kw - 1)`.",
)
def padded_by_one(g, x, weight):
    return _conv_loops(g, x, weight, over_g=lambda gradient, kernel: _over_g(gradient, kernel, 1))


@conv_backward.misconception(
    "g padded by the whole kernel",
    "Your dx is too large by two rows and two columns: g is padded by kh and kw. In the corner only one number of the "
    "kernel meets g, so the padding is one less: `(kh - 1, kw - 1)`.",
)
def padded_by_the_kernel(g, x, weight):
    return _conv_loops(g, x, weight, over_g=lambda gradient, kernel: _over_g(gradient, kernel, kernel.shape))


@conv_backward.misconception(
    "one padding for both axes",
    "You pad rows and columns alike, by kh - 1. The kernel need not be square: rows by kh - 1, columns by kw - 1, "
    "`padding=(kh - 1, kw - 1)`.",
)
def padded_alike(g, x, weight):
    return _conv_loops(g, x, weight, over_g=lambda gradient, kernel: _over_g(gradient, kernel, len(kernel) - 1))


@conv_backward.misconception(
    "rows and columns swapped",
    "You pad rows by kw - 1 and columns by kh - 1. A pair means (vertical, horizontal): `padding=(kh - 1, kw - 1)`.",
)
def padding_swapped(g, x, weight):
    def over_g(gradient, kernel):
        kh, kw = kernel.shape
        return _over_g(gradient, kernel, (kw - 1, kh - 1))

    return _conv_loops(g, x, weight, over_g=over_g)


@conv_backward.misconception(
    "dw not summed over the batch",
    "Your dw holds the last image's part only: inside the loop over images `=` overwrites. Every image uses the "
    "filter: add up with `+=`.",
)
def dw_of_the_last_image_only(g, x, weight):
    dx, _, db = _conv_backward(g, x, weight)
    return dx, _conv_backward(g[-1:], x[-1:], weight)[1], db


@conv_backward.misconception(
    "dw not summed over the batch",
    "Your dw has one part for each image, of shape (N, O, C, kh, kw). All images use the same filters: add up over "
    "the images.",
)
def dw_for_each_image(g, x, weight):
    dx, _, db = _conv_backward(g, x, weight)
    return dx, np.stack([_conv_backward(g[n : n + 1], x[n : n + 1], weight)[1] for n in range(len(x))]), db


@conv_backward.misconception(
    "mean over the batch",
    "Your dw is divided by the number of images. Used more than once means: add up. If the loss is a mean, its 1/N is "
    "in g already.",
)
def dw_mean_over_the_batch(g, x, weight):
    dx, dw, db = _conv_backward(g, x, weight)
    return dx, dw / len(x), db


@conv_backward.misconception(
    "mean over the batch",
    "Your dw and db are divided by the number of images. Used more than once means: add up. If the loss is a mean, "
    "its 1/N is in g already.",
)
def all_means_over_the_batch(g, x, weight):
    dx, dw, db = _conv_backward(g, x, weight)
    return dx, dw / len(x), db / len(x)


@conv_backward.misconception(
    "dx not summed over the filters",
    "Your dx holds the last filter's part only: `=` overwrites what the other filters sent back. Every filter uses the "
    "channel: add up with `+=`.",
)
def dx_of_the_last_filter(g, x, weight):
    _, dw, db = _conv_backward(g, x, weight)
    return _conv_backward(g[:, -1:], x, weight[-1:])[0], dw, db


@conv_backward.misconception(
    "overwritten, not added",
    "Your dx holds the last filter's part only, and your dw the last image's: inside the loops `=` overwrites. Used "
    "more than once means: add up, `+=`.",
)
def both_overwritten(g, x, weight):
    dx, _, db = _conv_backward(g, x, weight)
    return _conv_backward(g[:, -1:], x, weight[-1:])[0], _conv_backward(g[-1:], x[-1:], weight)[1], db


@conv_backward.misconception(
    "g flipped in dw",
    "Your dw flips g before it slides over x. In dw the indices of x and g go up together, so nothing is flipped; only "
    "dx needs a flip, that of the kernel.",
)
def g_flipped(g, x, weight):
    dx, _, db = _conv_backward(g, x, weight)
    return dx, _conv_backward(g[:, :, ::-1, ::-1], x, weight)[1], db


@conv_backward.misconception(
    "dw turned around",
    "Your dw is turned by 180 degrees: the number in its first row and column belongs in the last. g slides over x, "
    "and nothing is flipped, neither before nor after.",
)
def dw_turned(g, x, weight):
    dx, dw, db = _conv_backward(g, x, weight)
    return dx, dw[:, :, ::-1, ::-1], db


@conv_backward.misconception(
    "x and g exchanged",
    "In dw you slide x over g. g is the smaller one: it slides over x, `zh.conv2d(x[n, c], g[n, o])`.",
)
def roles_exchanged(g, x, weight):
    return _conv_loops(g, x, weight, over_x=lambda image, gradient: conv2d(gradient, image))


@conv_backward.misconception(
    "dw with filters and channels swapped",
    "Your dw is (C, O, kh, kw). The weight is (O, C, kh, kw), and its gradient has the same shape: `dw[o, c]`.",
)
def dw_axes_swapped(g, x, weight):
    dx, dw, db = _conv_backward(g, x, weight)
    return dx, dw.swapaxes(0, 1), db


@conv_backward.misconception(
    "db not summed over the batch",
    "Your db has a row for each image. Every image uses the same bias: add up over the images and the positions, "
    "`g.sum(axis=(0, 2, 3))`.",
)
def db_for_each_image(g, x, weight):
    return *_conv_backward(g, x, weight)[:2], g.sum(axis=(2, 3))


@conv_backward.misconception(
    "db not summed over positions",
    "Your db has a number for each position. A filter has one bias, used at every position of every image: "
    "`g.sum(axis=(0, 2, 3))`.",
)
def db_for_each_position(g, x, weight):
    return *_conv_backward(g, x, weight)[:2], g.sum(axis=0)


@conv_backward.misconception(
    "db summed over everything",
    "Your db is one number, the sum of all of g. Each filter has a bias of its own: add up over images and positions, "
    "not over filters: `g.sum(axis=(0, 2, 3))`.",
)
def db_one_number(g, x, weight):
    return *_conv_backward(g, x, weight)[:2], g.sum()


@conv_backward.misconception(
    "db counts, g left out",
    "Your db counts at how many positions the bias is used. What arrives there is multiplied by that slope of 1 and "
    "added up: the sum of g.",
)
def db_counts_positions(g, x, weight):
    return *_conv_backward(g, x, weight)[:2], np.full(len(weight), g[:, 0].size)


@conv_backward.misconception(
    "dx and dw exchanged",
    "You return dw first. The gradients come in the order of the layer's inputs: dx, dw, db.",
)
def dw_first(g, x, weight):
    dx, dw, db = _conv_backward(g, x, weight)
    return dw, dx, db


# --- a small tape -------------------------------------------------------------------------------------------


def _formulas(rng: np.random.Generator) -> list[Case]:
    return [
        Case("L = a * b - c", a=2.0, b=-3.0, c=4.0),
        Case("c = a * b; L = c.relu()", a=2.0, b=0.25),
        Case("c = a * b; L = c.relu()", a=2.0, b=-3.0),
        Case("c = a * a; L = c + b", a=3.0, b=1.0),
        Case("c = a - b; L = c * c", a=1.0, b=5.0),
        Case("c = a - b; L = c.relu() * a", a=2.0, b=2.0),
        Case("c = a * b; d = c - a; e = d.relu(); L = e * c + d", a=-2.0, b=-3.0),
        Case("c = a * b; d = c + b; L = c * d * d - a", a=2.0, b=-3.0),
        Case("z = a * b + a; c = z.relu() * z + b; L = c * c + (a * c).relu() + z", a=3.0, b=1.0),
    ]


def _run_tape(Value, formula, **numbers):
    """Give the numbers to Values, run the formula and then backward: L, and the gradients of a, b and c."""
    values = {name: Value(number) for name, number in numbers.items()}
    exec(formula, {}, values)
    values["L"].backward()
    return values["L"].data, values["a"].grad, values["b"].grad, values["c"].grad


class RightValue:
    """A number that remembers from which numbers it was made; misconceptions change one method."""

    def __init__(self, data, parents=()):
        self.data, self.parents, self.grad = data, parents, 0.0

    def __add__(self, other):
        return type(self)(self.data + other.data, [(self, 1), (other, 1)])

    def __sub__(self, other):
        return type(self)(self.data - other.data, [(self, 1), (other, -1)])

    def __mul__(self, other):
        return type(self)(self.data * other.data, [(self, other.data), (other, self.data)])

    def relu(self):
        return type(self)(max(self.data, 0.0), [(self, float(self.data > 0))])

    def order(self):
        """Every value once, each before those that it was made from."""
        order: list[RightValue] = []

        def visit(value):
            if value not in order:
                for parent, _ in value.parents:
                    visit(parent)
                order.append(value)

        visit(self)
        return order[::-1]

    def send(self):
        """Pass the gradient on to the parents."""
        for parent, slope in self.parents:
            parent.grad += self.grad * slope

    def backward(self):
        self.grad = 1.0
        for value in self.order():
            value.send()


Value = Task(
    name="03.Value",
    title="A tape of your own",
    difficulty=4,
    minutes=30,
    practises="reverse-mode automatic differentiation: remember, order, multiply, add up",
    reference=RightValue,
    inputs=_formulas,
    returns=("L", "da", "db", "dc"),
    answer="class",
    use=_run_tape,
    hints=[
        "Each operation returns a new `Value` whose parents are pairs (value it was made from, slope). For a product "
        "`a * b` the slope for a is the number b, and the slope for b is the number a.",
        "backward: `self.grad = 1` for the last value. Then every value once, from the last back to the first, passes "
        "on `value.grad * slope` to its parents with `+=`. in_order: a value may be appended to the list when all its "
        "parents are in it; a function that calls itself for the parents first does that.",
        "in_order: if `value` is not in `order`, call `in_order(parent, order)` for each of its parents, then "
        "`order.append(value)`; return `order`. backward: after `self.grad = 1`, `for value in "
        "reversed(in_order(self))`: `for parent, slope in value.parents`: `parent.grad += value.grad * slope`.",
    ],
)


@Value.misconception(
    "overwritten, not added",
    "Your gradient of a value that is used more than once holds only one of its parts: `parent.grad = ...` overwrites. "
    "Used more than once means: add up, `parent.grad += ...`.",
)
class Overwrites(RightValue):
    def send(self):
        for parent, slope in self.parents:
            parent.grad = self.grad * slope


@Value.misconception(
    "overwritten, not added",
    "Your values keep only what arrived last: `self.grad = ...` overwrites what came on other ways. Used more than "
    "once means: add up, `self.grad += ...`.",
)
class OverwritesOnEveryWay(RightValue):
    def backward(self, arriving=1.0):
        self.grad = arriving
        for parent, slope in self.parents:
            parent.backward(arriving * slope)


@Value.misconception(
    "1 at every value",
    "All your gradients are 1: `backward` calls itself for the parents, and each call sets `self.grad = 1` again. Only "
    "the last value, L, starts with 1.",
)
class SeedsEverywhere(RightValue):
    def backward(self):
        self.grad = 1.0
        for parent, slope in self.parents:
            parent.grad += self.grad * slope
            parent.backward()


NOT_COMPLETE = (
    "Some of your values pass their gradient on before it is complete. A value's turn comes when everything that was "
    "made from it has had its turn: put the values in order first (parents before children), then read the list "
    "backwards."
)


@Value.misconception("passed on too early", NOT_COMPLETE)
class BreadthFirst(RightValue):
    def order(self):
        order = [self]
        for value in order:
            for parent, _ in value.parents:
                if parent not in order:
                    order.append(parent)
        return order


@Value.misconception("passed on too early", NOT_COMPLETE)
class ParentsAfter(RightValue):
    def order(self):
        order: list[RightValue] = []

        def visit(value):
            if value not in order:
                order.append(value)
                for parent, _ in value.parents:
                    visit(parent)

        visit(self)
        return order


@Value.misconception(
    "passed on again and again",
    "Your values pass on all of their gradient each time something arrives, so that the first part is sent twice. Let "
    "every value pass its gradient on once, when it is complete: order the values first.",
)
class Recursive(RightValue):
    def backward(self):
        self.grad = 1.0
        self.push()

    def push(self):
        for parent, slope in self.parents:
            parent.grad += self.grad * slope
            parent.push()


@Value.misconception(
    "passed on again and again",
    "Your list holds a value as often as it is used, so it passes its gradient on more than once. Each value stands in "
    "the order once: append it only if it is not in the list.",
)
class ListedTwice(RightValue):
    def order(self):
        order: list[RightValue] = []

        def visit(value):
            for parent, _ in value.parents:
                visit(parent)
            order.append(value)

        visit(self)
        return order[::-1]


@Value.misconception(
    "only one step back",
    "Only the values from which L was made directly get a gradient. Either your walk stops there, or it starts at the "
    "leaves, where nothing has arrived yet: go from the last value, L, back to the first, `reversed(order)`.",
)
class Forwards(RightValue):
    def order(self):
        return super().order()[::-1]


@Value.misconception(
    "no 1 at the start",
    "All your gradients are 0: nothing starts them. L changes by as much as L changes: `self.grad = 1` before the "
    "walk.",
)
class NoSeed(RightValue):
    def backward(self):
        for value in self.order():
            value.send()


@Value.misconception(
    "starts with the value",
    "Your walk starts with the value of L in place of 1. L changes by as much as L changes, whatever it is: "
    "`self.grad = 1`.",
)
class SeededWithTheValue(RightValue):
    def backward(self):
        self.grad = self.data
        for value in self.order():
            value.send()


class PlainProduct(RightValue):
    def __mul__(self, other):
        return self.data * other.data


class PlainNumbers(PlainProduct):
    def __sub__(self, other):
        return self.data - other.data

    def relu(self):
        return max(self.data, 0.0)


for plain in (PlainProduct, PlainNumbers):
    plain.__name__ = "Value"  # Python's message names the class, and the student's is called Value
    Value.misconception(
        "a plain number returned",
        "Your operations return a plain number, which remembers nothing. Wrap it, as the sum does: `Value(number, "
        "parents)`, with a pair (value, slope) for each value it was made from.",
    )(plain)


@Value.misconception(
    "slopes of the product swapped",
    "Your product gives each factor its own number as slope. In `a * b` the slope for a is b: if a grows by 1, the "
    "product grows by b.",
)
class ProductSwapped(RightValue):
    def __mul__(self, other):
        return type(self)(self.data * other.data, [(self, self.data), (other, other.data)])


@Value.misconception(
    "product with the slopes of a sum",
    "Your product passes the gradient on unchanged, as a sum does. In `a * b` the slope for a is b, and the slope "
    "for b is a.",
)
class ProductLikeSum(RightValue):
    def __mul__(self, other):
        return type(self)(self.data * other.data, [(self, 1), (other, 1)])


@Value.misconception(
    "difference with the slopes of a sum",
    "Your difference has slope 1 for both. If b grows, `a - b` falls: the slope for b is -1.",
)
class DifferenceLikeSum(RightValue):
    def __sub__(self, other):
        return type(self)(self.data - other.data, [(self, 1), (other, 1)])


@Value.misconception(
    "ReLU always open",
    "Your ReLU lets every gradient through. Where its input is negative, its output stays 0 whatever the input does: "
    "slope 0.",
)
class ReluOpen(RightValue):
    def relu(self):
        return type(self)(max(self.data, 0.0), [(self, 1)])


@Value.misconception(
    "value of the ReLU for its slope",
    "Your ReLU multiplies the gradient by its output. Where it is open, output and input grow alike: slope 1.",
)
class ReluValue(RightValue):
    def relu(self):
        return type(self)(max(self.data, 0.0), [(self, max(self.data, 0.0))])


@Value.misconception(
    "ReLU open at 0",
    "Your ReLU has slope 1 at exactly 0. There is a corner, and any slope from 0 to 1 could be defended; this task, "
    "the lecture and the library take 0: `self.data > 0`.",
)
class ReluOpenAtZero(RightValue):
    def relu(self):
        return type(self)(max(self.data, 0.0), [(self, float(self.data >= 0))])


@Value.misconception(
    "used twice, counted once",
    "In `a * a` your product counts a only once. A dictionary or a set keeps one entry for each value; a list of pairs "
    "keeps both uses, and both add to the gradient.",
)
class OneEntryEach(RightValue):
    def __init__(self, data, parents=()):
        super().__init__(data, list(dict(parents).items()))


@Value.misconception(
    "slope without what arrives",
    "You add up slopes alone. The rule is: the gradient that arrives × own slope, `value.grad * slope`.",
)
class SlopesAlone(RightValue):
    def send(self):
        for parent, slope in self.parents:
            parent.grad += slope


@Value.misconception(
    "slope without what arrives",
    "You pass on what arrives without multiplying it by the slope. The rule is: the gradient that arrives × own slope, "
    "`value.grad * slope`.",
)
class GradientsAlone(RightValue):
    def send(self):
        for parent, _ in self.parents:
            parent.grad += self.grad


# --- a step of Adam -----------------------------------------------------------------------------------------


def _adam_inputs(rng: np.random.Generator) -> list[Case]:
    def zeros(*shape):
        return real(np.zeros(shape))

    def normal(*shape):
        return real(rng.normal(size=shape))

    return [
        Case(real([1.0]), real([2.0]), zeros(1), zeros(1), 0, rate=0.1),
        Case(real([1, -2, 3]), real([0.5, -4, 0]), zeros(3), zeros(3), 0, rate=0.5),
        Case(real([1.0]), real([2.0]), real([0.5]), real([3.0]), 1, rate=0.1),
        Case(normal(2, 3), normal(2, 3), normal(2, 3), normal(2, 3) ** 2, 3, rate=0.3),
        Case(normal(4), normal(4), normal(4), normal(4) ** 2, 2, rate=1.0, beta1=0.6, beta2=0.8, epsilon=0.5),
        Case(normal(3, 2), normal(3, 2), normal(3, 2), normal(3, 2) ** 2, 40, rate=2.0, epsilon=0.01),
    ]


def _library_adam(w, g, m, q, t, rate=0.001, beta1=0.9, beta2=0.999, epsilon=1e-8):
    parameter = Parameter(w.copy())
    parameter.grad = g
    optimizer = Adam([parameter], lr=rate, betas=(beta1, beta2), eps=epsilon)
    optimizer.state = [{"mean": m.copy(), "square": q.copy(), "count": t}]
    optimizer.step()
    return parameter.data, optimizer.state[0]["mean"], optimizer.state[0]["square"]


adam_step = Task(
    name="03.adam_step",
    title="One step of Adam",
    difficulty=3,
    minutes=20,
    practises="running means, and why they are corrected at the start",
    reference=_library_adam,
    inputs=_adam_inputs,
    returns=("w", "m", "q"),
    hints=[
        "A running mean keeps most of what it was and takes a little of the new: `m = beta1 * m + (1 - beta1) * g`. q "
        "does the same with `g**2` and `beta2`.",
        "Both start at 0, so the first ones are too small. This is step number `t + 1`; after it, m is too small "
        "by the factor `1 - beta1 ** (t + 1)`: divide by it. The same for q, with beta2. What you return is m and q "
        "as they are, not divided.",
        "`m_hat = m / (1 - beta1 ** (t + 1))`, `q_hat = q / (1 - beta2 ** (t + 1))`, then "
        "`w = w - rate * m_hat / (np.sqrt(q_hat) + epsilon)`; return `w, m, q`.",
    ],
)

DEFAULTS = dict(rate=0.001, beta1=0.9, beta2=0.999, epsilon=1e-8)


def _adam(mean=None, square=None, hat=None, move=None, keep=None):
    """A step of Adam in which one part is another one: running means, correction, change of w, what is kept."""

    def step(w, g, m, q, t, **settings):
        given = DEFAULTS | settings
        rate, beta1, beta2, epsilon = (given[name] for name in DEFAULTS)
        new_m = (mean or (lambda m, g, beta: beta * m + (1 - beta) * g))(m, g, beta1)
        new_q = (square or (lambda q, g, beta: beta * q + (1 - beta) * g**2))(q, g, beta2)
        m_hat = (hat or _corrected)(new_m, beta1, t, "m")
        q_hat = (hat or _corrected)(new_q, beta2, t, "q")
        new_w = w - rate * (move or (lambda m, q, g, epsilon: m / (np.sqrt(q) + epsilon)))(m_hat, q_hat, g, epsilon)
        return new_w, *((new_m, new_q) if keep is None else keep(m, q, new_m, new_q, m_hat, q_hat))

    return step


def _corrected(mean, beta, t, name):
    return mean / (1 - beta ** (t + 1))


def _wrong_step(name, sentence, **parts):
    adam_step.misconception(name, sentence)(_adam(**parts))


_wrong_step(
    "no bias correction",
    "Your w is what Adam gives without its correction. m and q start at 0 and are too small at first: divide m by "
    "`1 - beta1 ** (t + 1)` and q by `1 - beta2 ** (t + 1)` before the step.",
    hat=lambda mean, beta, t, name: mean,
)
_wrong_step(
    "only m corrected",
    "Your w is what Adam gives if only m is corrected. q starts at 0, too: divide it by `1 - beta2 ** (t + 1)`.",
    hat=lambda mean, beta, t, name: _corrected(mean, beta, t, name) if name == "m" else mean,
)
_wrong_step(
    "only q corrected",
    "Your w is what Adam gives if only q is corrected. m starts at 0, too: divide it by `1 - beta1 ** (t + 1)`.",
    hat=lambda mean, beta, t, name: _corrected(mean, beta, t, name) if name == "q" else mean,
)
_wrong_step(
    "steps counted from 0",
    "Your correction uses t, the steps made before this one. In the first step `1 - beta ** 0` is 0, and dividing by "
    "it gives NaN or infinity. This step's number is `t + 1`.",
    hat=lambda mean, beta, t, name: mean / (1 - beta**t),
)
_wrong_step(
    "steps counted from 0",
    "Two things. Your correction uses t, the steps made before this one, so that the first step divides by 0: this "
    "step's number is `t + 1`. And you return m and q after the correction: return them as they were before.",
    hat=lambda mean, beta, t, name: mean / (1 - beta**t),
    keep=lambda m, q, new_m, new_q, m_hat, q_hat: (m_hat, q_hat),
)
_wrong_step(
    "no bias correction",
    "Two things. m and q start at 0 and are too small at first: divide them by `1 - beta1 ** (t + 1)` and "
    "`1 - beta2 ** (t + 1)`. And epsilon is added to the root, not inside it.",
    hat=lambda mean, beta, t, name: mean,
    move=lambda m, q, g, epsilon: m / np.sqrt(q + epsilon),
)
_wrong_step(
    "correction of the first step",
    "You divide by `1 - beta` in every step. That is right in the first step only; the means fill up, and in step "
    "number t + 1 the factor is `1 - beta ** (t + 1)`.",
    hat=lambda mean, beta, t, name: mean / (1 - beta),
)
_wrong_step(
    "product for power",
    "Your correction multiplies, `beta * (t + 1)`. What is left of the 0 at the start shrinks by the factor beta in "
    "every step: a power, `beta ** (t + 1)`.",
    hat=lambda mean, beta, t, name: mean / (1 - beta * (t + 1)),
)
_wrong_step(
    "correction multiplied",
    "You multiply by `1 - beta ** (t + 1)`. The means are too small by this factor, so divide by it.",
    hat=lambda mean, beta, t, name: mean * (1 - beta ** (t + 1)),
)
_wrong_step(
    "epsilon inside the root",
    "Your epsilon is inside the root. Adam adds it to the root, `np.sqrt(q_hat) + epsilon`: inside, 1e-8 would become "
    "1e-4, a larger brake where gradients are small.",
    move=lambda m, q, g, epsilon: m / np.sqrt(q + epsilon),
)
_wrong_step(
    "epsilon left out",
    "Your step has no epsilon. Where all gradients were 0 so far, it divides 0 by 0: add epsilon to the root.",
    move=lambda m, q, g, epsilon: m / np.sqrt(q),
)
_wrong_step(
    "no root",
    "You divide by q itself. q is a mean of squares; the usual size of the gradient is its root: `np.sqrt(q_hat)`.",
    move=lambda m, q, g, epsilon: m / (q + epsilon),
)
_wrong_step(
    "no division by q",
    "Your w moves along the mean gradient alone, as with momentum. Adam divides by the gradient's usual size, "
    "`np.sqrt(q_hat) + epsilon`.",
    move=lambda m, q, g, epsilon: m,
)
_wrong_step(
    "g in place of its mean",
    "Your w moves along g itself. Adam moves along its running mean, corrected: m_hat. With g it is another "
    "method, RMSProp.",
    move=lambda m, q, g, epsilon: g / (np.sqrt(q) + epsilon),
)
_wrong_step(
    "uphill",
    "Your w goes the wrong way, up the slope. The gradient points to where the loss grows: subtract.",
    move=lambda m, q, g, epsilon: -m / (np.sqrt(q) + epsilon),
)
_wrong_step(
    "g not squared in q",
    "Your q is a running mean of g. It is a mean of `g**2`: squares don't cancel, so that q measures the size.",
    square=lambda q, g, beta: beta * q + (1 - beta) * g,
)
_wrong_step(
    "g added whole",
    "Your m is `beta1 * m + g`, the sum that momentum keeps. A running mean takes only a part of the new one: "
    "`beta1 * m + (1 - beta1) * g`.",
    mean=lambda m, g, beta: beta * m + g,
)
_wrong_step(
    "g added whole",
    "Your m and q add the whole of the new one. Running means take a part of it: `beta1 * m + (1 - beta1) * g`, and "
    "`beta2 * q + (1 - beta2) * g**2`.",
    mean=lambda m, g, beta: beta * m + g,
    square=lambda q, g, beta: beta * q + g**2,
)
_wrong_step(
    "shares exchanged",
    "Your means keep little and take nearly all of the new: beta and `1 - beta` are exchanged. beta1, near 1, is the "
    "share that stays: `beta1 * m + (1 - beta1) * g`.",
    mean=lambda m, g, beta: (1 - beta) * m + beta * g,
    square=lambda q, g, beta: (1 - beta) * q + beta * g**2,
)
_wrong_step(
    "corrected means kept",
    "You return m and q after the correction. Then they would be corrected again in the next step: return them as they "
    "were before, and use m_hat and q_hat for w only.",
    keep=lambda m, q, new_m, new_q, m_hat, q_hat: (m_hat, q_hat),
)
_wrong_step(
    "old means returned",
    "You return m and q as they came in. The next step needs the new ones.",
    keep=lambda m, q, new_m, new_q, m_hat, q_hat: (m, q),
)
_wrong_step(
    "m and q exchanged",
    "You return q before m. The task asks for w, m, q.",
    keep=lambda m, q, new_m, new_q, m_hat, q_hat: (new_q, new_m),
)


@adam_step.misconception(
    "betas exchanged",
    "You use beta2 for m and beta1 for q. beta1 (0.9) belongs to m, the mean of g; beta2 (0.999) to q, the mean of its "
    "square.",
)
def betas_exchanged(w, g, m, q, t, rate=0.001, beta1=0.9, beta2=0.999, epsilon=1e-8):
    return _library_adam(w, g, m, q, t, rate, beta2, beta1, epsilon)


@adam_step.misconception(
    "only the change returned",
    "Your w is the change alone. Return the new weights: w minus the change.",
)
def only_the_change(w, g, m, q, t, **settings):
    new_w, new_m, new_q = _library_adam(w, g, m, q, t, **settings)
    return w - new_w, new_m, new_q


@adam_step.misconception(
    "old means used",
    "Your w moves along m and q as they were before this step. Update both first, then use the new ones.",
)
def old_means_used(w, g, m, q, t, rate=0.001, beta1=0.9, beta2=0.999, epsilon=1e-8):
    m_hat, q_hat = _corrected(m, beta1, t, "m"), _corrected(q, beta2, t, "q")
    return w - rate * m_hat / (np.sqrt(q_hat) + epsilon), *_library_adam(w, g, m, q, t, rate, beta1, beta2)[1:]


TASKS = (cross_entropy_gradient, linear_backward, conv_backward, Value, adam_step)
