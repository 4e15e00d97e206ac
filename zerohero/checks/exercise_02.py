"""The tasks of exercise 02, Pooling and fully connected layers. How answers are run and compared is not known here."""

from __future__ import annotations

import numpy as np

from zerohero.checks.definition import Case, Task
from zerohero.ops.activation import softmax as library_softmax
from zerohero.ops.linear import flatten, linear
from zerohero.ops.pooling import avg_pool2d, max_pool2d


def real(values):
    """An array of real numbers, in the library's precision."""
    return np.array(values, np.float32)


# --- max pooling --------------------------------------------------------------------------------------------


def _pooled(rng: np.random.Generator) -> list[Case]:
    return [
        Case(real([[1, 3], [2, -1]]), 2, 2),
        Case(real([[2, 4, 1, 0], [5, 2, 3, 1], [2, 3, 1, 1], [1, 0, 8, 2]]), 2, 2),
        Case(real(rng.normal(size=(4, 6)) - 3), 2, 2),
        Case(real(rng.normal(size=(5, 8))), 3, 1),
        Case(real(rng.normal(size=(7, 6))), 3, 2),
        Case(real(rng.normal(size=(5, 9)) - 2), 2, 3),
    ]


max_pool = Task(
    name="02.max_pool",
    title="Max pooling with loops",
    difficulty=2,
    minutes=15,
    practises="windows that jump, and how many of them fit",
    reference=lambda image, size, stride: max_pool2d(image, size, stride=stride),
    inputs=_pooled,
    hints=[
        "The window of output row i starts at row `i * stride` of the image and is `size` rows high.",
        "Only whole windows count: there are `(H - size) // stride + 1` of them from top to bottom.",
        "Inside the loops: `output[i, j] = image[i * stride:i * stride + size, j * stride:j * stride + size].max()`.",
    ],
)


def _each_window(image, size, stride, step, rows=None, columns=None):
    """The right loops with another rule for a window, or another number of windows."""
    rows = (image.shape[0] - size) // stride + 1 if rows is None else rows
    columns = (image.shape[1] - size) // stride + 1 if columns is None else columns
    output = np.zeros((rows, columns), np.float32)
    for i in range(rows):
        for j in range(columns):
            output[i, j] = step(image[i * stride : i * stride + size, j * stride : j * stride + size])
    return output


@max_pool.misconception(
    "mean", "Your output holds the mean of each window. Max pooling keeps the largest number of a window, as it is."
)
def window_mean(image, size, stride):
    return avg_pool2d(image, size, stride=stride)


@max_pool.misconception("sum", "Your output holds the sum of each window. Max pooling keeps its largest number.")
def window_sum(image, size, stride):
    return _each_window(image, size, stride, np.sum)


@max_pool.misconception(
    "smallest", "Your output holds the smallest number of each window. Max pooling keeps the largest."
)
def window_min(image, size, stride):
    return _each_window(image, size, stride, np.min)


@max_pool.misconception(
    "position instead of value",
    "Your output holds the position of the largest number in its window (`argmax`). Wanted is the number itself "
    "(`max`).",
)
def window_argmax(image, size, stride):
    return _each_window(image, size, stride, np.argmax)


@max_pool.misconception(
    "stride 1",
    "Your windows move by 1 pixel, whatever `stride` says. The window of output row i starts at row `i * stride`.",
)
def stride_one(image, size, stride):
    return max_pool2d(image, size, stride=1)


@max_pool.misconception(
    "stride 1",
    "Your output has the right size, but its windows start at row i and column j. They start at `i * stride` and "
    "`j * stride`.",
)
def starts_without_stride(image, size, stride):
    right = max_pool2d(image, size, stride=stride)
    return max_pool2d(image, size, stride=1)[: right.shape[0], : right.shape[1]]


@max_pool.misconception(
    "stride is the window",
    "Your windows lie side by side: they move by `size`. How far they move is `stride`, which may be another number.",
)
def stride_is_size(image, size, stride):
    return max_pool2d(image, size)


@max_pool.misconception(
    "tail window kept",
    "Your output has a row or column too many: it keeps a last window that sticks out of the image. Only whole windows "
    "count, `(H - size) // stride + 1` of them.",
)
def tail_kept(image, size, stride):
    rows, columns = (-(-(n - size) // stride) + 1 for n in image.shape)
    return _each_window(image, size, stride, np.max, rows, columns)


@max_pool.misconception(
    "every start counts",
    "You make a window at every `stride`-th pixel up to the image's end, also where it sticks out. Only whole windows "
    "count, `(H - size) // stride + 1` of them.",
)
def a_window_at_each_start(image, size, stride):
    rows, columns = (-(-n // stride) for n in image.shape)
    return _each_window(image, size, stride, np.max, rows, columns)


@max_pool.misconception(
    "window's size forgotten",
    "You make `H // stride` rows, as if windows had one pixel. The last one has to fit in, too: "
    "`(H - size) // stride + 1`.",
)
def size_forgotten(image, size, stride):
    rows, columns = (n // stride for n in image.shape)
    return _each_window(image, size, stride, np.max, rows, columns)


@max_pool.misconception(
    "last window missing",
    "Your output lacks the last row and the last column: `(H - size) // stride` counts the steps between windows, and "
    "there is one window more than steps.",
)
def one_too_few(image, size, stride):
    return max_pool2d(image, size, stride=stride)[:-1, :-1]


@max_pool.misconception(
    "starts from 0",
    "Where all numbers of a window are negative, your output is 0. If you look for the maximum yourself, start from "
    "the first number of the window, or from `-np.inf`, not from 0.",
)
def at_least_zero(image, size, stride):
    return np.maximum(max_pool2d(image, size, stride=stride), 0)


# --- padded pooling -----------------------------------------------------------------------------------------


def _padded(rng: np.random.Generator) -> list[Case]:
    return [
        Case(real([[-1, -2], [-3, -4]]), 2, 1, 1),
        Case(real(rng.normal(size=(4, 6)) - 4), 2, 2, 1),
        Case(real(rng.normal(size=(5, 8))), 3, 2, 1),
        Case(real(rng.normal(size=(6, 5)) - 1), 3, 1, 1),
        Case(real(rng.normal(size=(4, 7))), 2, 1, 0),
    ]


def _both(image, size, stride, padding):
    return (
        max_pool2d(image, size, stride=stride, padding=padding),
        avg_pool2d(image, size, stride=stride, padding=padding, count_include_pad=False),
    )


padded_pool = Task(
    name="02.padded_pool",
    title="Pooling with padding, both kinds",
    difficulty=3,
    minutes=20,
    practises="what a padded pixel may and may not do to a maximum and to a mean",
    reference=_both,
    inputs=_padded,
    returns=("maximum", "average"),
    hints=[
        "A padded pixel must never win: what number is smaller than every other? Pad the maximum's image with it.",
        "The mean is the sum of the window divided by how many *real* pixels are in it. Pooling an image of ones that "
        "was padded with zeros counts them.",
        "With `total = windows of np.pad(image, padding)` summed, and `count` the same for `np.ones_like(image)`, the "
        "average is `total / count`; the maximum comes from `np.pad(image, padding, constant_values=-np.inf)`.",
    ],
)


@padded_pool.misconception(
    "pad 0 beats negatives",
    "Your maximum is 0 where a window holds only negative numbers and padding: a padded 0 wins. Pad with `-np.inf` "
    "before taking maxima.",
)
def zero_wins(image, size, stride, padding):
    return max_pool2d(np.pad(image, padding), size, stride=stride), _both(image, size, stride, padding)[1]


@padded_pool.misconception(
    "average counts pads",
    "Your average divides by all numbers of the window, padded ones too, so it fades towards 0 at the border. "
    "Divide by "
    "the number of real pixels in the window.",
)
def pads_counted(image, size, stride, padding):
    return _both(image, size, stride, padding)[0], avg_pool2d(image, size, stride=stride, padding=padding)


@padded_pool.misconception(
    "zeros in both",
    "Padded zeros count in both of your results: they win against negative numbers in the maximum, and they are "
    "counted "
    "in the average. A padded pixel should do neither.",
)
def zeros_in_both(image, size, stride, padding):
    return max_pool2d(np.pad(image, padding), size, stride=stride), avg_pool2d(
        image, size, stride=stride, padding=padding
    )


@padded_pool.misconception(
    "padded on one side",
    "You pad at the top and left only. `padding` rows and columns belong on every side: above, below, left and right.",
)
def one_side(image, size, stride, padding):
    ends = ((padding, 0), (padding, 0))
    return (
        max_pool2d(image, size, stride=stride, padding=ends),
        avg_pool2d(image, size, stride=stride, padding=ends, count_include_pad=False),
    )


@padded_pool.misconception(
    "padded on one side",
    "You pad at the bottom and right only. `padding` rows and columns belong on every side: above, below, left "
    "and right.",
)
def other_side(image, size, stride, padding):
    ends = ((0, padding), (0, padding))
    return (
        max_pool2d(image, size, stride=stride, padding=ends),
        avg_pool2d(image, size, stride=stride, padding=ends, count_include_pad=False),
    )


@padded_pool.misconception(
    "padding ignored", "Your results are right for padding 0: pad the image first, by `padding` pixels on every side."
)
def no_padding(image, size, stride, padding):
    return _both(image, size, stride, 0)


@padded_pool.misconception(
    "results swapped", "You return the average first. The task asks for the maximum, then the average."
)
def swapped(image, size, stride, padding):
    return _both(image, size, stride, padding)[::-1]


@padded_pool.misconception(
    "minus infinity in the average",
    "Your average is taken over the image padded with -∞, so it is -∞ wherever a window touches the padding. Use two "
    "padded images: -∞ for the maximum, 0 for the sum.",
)
def infinite_average(image, size, stride, padding):
    low = np.pad(image, padding, constant_values=-np.inf)
    return _both(image, size, stride, padding)[0], _each_window(low, size, stride, np.mean)


# --- flatten and classify -----------------------------------------------------------------------------------


def _maps(rng: np.random.Generator) -> list[Case]:
    slide = real([[[[5, 3], [2, 4]], [[3, 1], [2, 1]]]])
    return [
        Case(slide, real([[1, 0, 0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 2, 0, 0, -1]]), real([0.5, -1])),
        Case(*(real(rng.normal(size=s)) for s in [(3, 2, 2, 4), (5, 16), (5,)])),
        Case(*(real(rng.normal(size=s)) for s in [(16, 2, 2, 4), (16, 16), (16,)])),
        Case(*(real(rng.normal(size=s)) for s in [(2, 3, 3, 3), (4, 27), (4,)])),
    ]


flatten_and_classify = Task(
    name="02.flatten_and_classify",
    title="From feature maps to scores",
    difficulty=2,
    minutes=10,
    practises="the order (C, H, W) of a flattened image, and the shapes of a fully connected layer",
    reference=lambda maps, weight, bias: linear(flatten(maps), weight, bias),
    inputs=_maps,
    hints=[
        "`maps` has shape (N, C, H, W). Each of the N images becomes one row of C·H·W numbers.",
        "`maps.reshape(len(maps), -1)` lays out channel after channel, row after row. The weight has one row for each "
        "class.",
        "`maps.reshape(len(maps), -1) @ weight.T + bias`.",
    ],
)


@flatten_and_classify.misconception(
    "channels last",
    "You flatten in the order (H, W, C): the channels of one pixel lie side by side. The weight was made for "
    "(C, H, W): "
    "the whole first channel, then the second.",
)
def channels_last(maps, weight, bias):
    return linear(flatten(maps.transpose(0, 2, 3, 1)), weight, bias)


@flatten_and_classify.misconception(
    "columns first",
    "You flatten each channel column by column (order='F', or a transpose). NumPy's own order, row by row, is meant.",
)
def columns_first(maps, weight, bias):
    return linear(flatten(maps.transpose(0, 1, 3, 2)), weight, bias)


@flatten_and_classify.misconception(
    "batch flattened",
    "You flatten the batch, too: all images become one long row. Keep the first axis: one row for each image.",
)
def batch_flattened(maps, weight, bias):
    return weight @ maps.reshape(-1) + bias  # ValueError unless there is one image


@flatten_and_classify.misconception(
    "weight not transposed",
    "You multiply by `weight` as it is. Its rows belong to classes, (K, C·H·W): rows of inputs meet it as `@ "
    "weight.T`.",
)
def not_transposed(maps, weight, bias):
    return flatten(maps) @ weight + bias  # ValueError unless the weight is square


@flatten_and_classify.misconception(
    "weight reshaped",
    "You turn the weight into (C·H·W, K) with `reshape`, which keeps the order of the numbers and so mixes the "
    "classes. "
    "Rows and columns are exchanged by `weight.T`.",
)
def weight_reshaped(maps, weight, bias):
    return flatten(maps) @ weight.reshape(weight.shape[::-1]) + bias


@flatten_and_classify.misconception(
    "scores transposed",
    "Your scores have shape (K, N): one row for each class. One row for each image is meant, (N, K).",
)
def scores_transposed(maps, weight, bias):
    return linear(flatten(maps), weight, bias).T


@flatten_and_classify.misconception("bias missing", "Your scores are right without the bias: add `bias` to every row.")
def no_bias(maps, weight, bias):
    return linear(flatten(maps), weight)


@flatten_and_classify.misconception(
    "softmax applied",
    "You return probabilities (softmax of the scores). The task asks for the scores themselves; softmax comes next.",
)
def probabilities(maps, weight, bias):
    return library_softmax(linear(flatten(maps), weight, bias), 1)


@flatten_and_classify.misconception(
    "channels averaged",
    "You average each channel before the layer, or lose positions otherwise: all C·H·W numbers of an image are inputs.",
)
def channels_averaged(maps, weight, bias):
    means = np.broadcast_to(maps.mean((2, 3), keepdims=True), maps.shape)
    return linear(flatten(means), weight, bias)


# --- softmax ------------------------------------------------------------------------------------------------


def _scores(rng: np.random.Generator) -> list[Case]:
    return [
        Case(real([[0, 0, 0]])),
        Case(real([[1, 2, 0.5], [-3, 0, 1]])),
        Case(real(rng.normal(size=(4, 4)))),
        Case(real(3 * rng.normal(size=(2, 5)))),
        Case(real([[1000, 998, 1001], [-1000, -1001, -1004]])),
        Case(real([[-5, -2, -1]])),
    ]


stable_softmax = Task(
    name="02.stable_softmax",
    title="Softmax that never overflows",
    difficulty=2,
    minutes=10,
    practises="probabilities along the right axis, and exponentials that stay finite",
    reference=lambda scores: library_softmax(scores, 1),
    inputs=_scores,
    hints=[
        "`np.exp(1000)` is infinite. Subtracting the same number from all scores of a row changes no probability: why?",
        "Subtract each row's maximum: then the largest exponential is exp(0) = 1.",
        "`e = np.exp(scores - scores.max(axis=1, keepdims=True))`, then `e / e.sum(axis=1, keepdims=True)`.",
    ],
)


@stable_softmax.misconception(
    "overflow",
    "Right for small scores, but `exp` of 1000 is infinite, and ∞/∞ is no number (NaN). Subtract each row's largest "
    "score first: the probabilities stay the same.",
)
def overflowing(scores):
    powers = np.exp(scores)
    return powers / powers.sum(1, keepdims=True)


@stable_softmax.misconception(
    "axis 0",
    "Your columns sum to 1: you divide by sums over the images. Probabilities belong to one image: each row sums to 1 "
    "(axis 1).",
)
def over_the_batch(scores):
    return library_softmax(scores, 0)


@stable_softmax.misconception(
    "whole array", "All numbers of your output together sum to 1. Each row is an image of its own and sums to 1."
)
def over_everything(scores):
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


@stable_softmax.misconception(
    "divides by the maximum",
    "You divide by each row's maximum. That changes the probabilities, and it turns the signs round where the "
    "maximum is "
    "negative. Subtract the maximum.",
)
def divided_by_maximum(scores):
    return library_softmax(scores / scores.max(1, keepdims=True), 1)


@stable_softmax.misconception(
    "one maximum for all rows",
    "You subtract the largest score of the whole array. In a row of much smaller scores every exponential is "
    "then 0, and "
    "0/0 is no number (NaN). Subtract each row's own maximum.",
)
def global_maximum(scores):
    powers = np.exp(scores - scores.max())
    return powers / powers.sum(1, keepdims=True)


@stable_softmax.misconception(
    "not exponentials",
    "You divide the scores by their sum. Softmax takes the exponential of each score first, so that all are positive.",
)
def plain_shares(scores):
    return scores / scores.sum(1, keepdims=True)


@stable_softmax.misconception(
    "not normalised",
    "You return the exponentials themselves. Divide by their sum, so that each row sums to 1.",
)
def exponentials(scores):
    return np.exp(scores - scores.max(1, keepdims=True))


@stable_softmax.misconception(
    "logarithm", "You return the logarithms of the probabilities. The probabilities themselves are asked for."
)
def logarithms(scores):
    return np.log(library_softmax(scores, 1))


# --- surviving a shift --------------------------------------------------------------------------------------


def brightest_quarter(images):
    """A toy classifier of images (N, H, W): which quarter holds most of the light, 0 to 3, or 4 if none does."""
    half_h, half_w = images.shape[1] // 2, images.shape[2] // 2
    parts = [images[:, :half_h, :half_w], images[:, :half_h, half_w:], images[:, half_h:, :half_w]]
    light = np.stack([p.sum((1, 2)) for p in [*parts, images[:, half_h:, half_w:]]], axis=1)
    return np.where(light.max(1) > 0, light.argmax(1), 4)


def _moving_images(rng: np.random.Generator) -> list[Case]:
    def dots(count, height, width):
        images = np.zeros((count, height, width), np.float32)
        for image in images:
            image[rng.integers(height, size=2), rng.integers(width, size=2)] = rng.random(2) + 0.5
        return images, rng.integers(0, 4, count)

    single = np.zeros((1, 4, 6), np.float32)
    single[0, 1, 0] = 1
    return [
        Case(brightest_quarter, single, np.array([3]), 1, 0),
        *(
            Case(brightest_quarter, *dots(40, 6, 8), down, right)
            for down, right in [(1, 0), (0, 2), (-2, 1), (0, -1), (3, -3), (0, 0)]
        ),
    ]


def _moved(images, down, right):
    """Images moved by pixels, zeros coming in."""
    moved = np.zeros_like(images)
    height, width = images.shape[1:]
    moved[:, max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = images[
        :, max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)
    ]
    return moved


def _share(predict, images, labels, down, right):
    return np.mean(predict(_moved(images, down, right)) == predict(images))


surviving_share = Task(
    name="02.surviving_share",
    title="How many predictions survive a shift",
    difficulty=3,
    minutes=20,
    practises="moving an image with zeros coming in, and measuring invariance",
    reference=_share,
    inputs=_moving_images,
    hints=[
        "A prediction survives if the moved image gets the same class as the unmoved one, right or wrong. Which two "
        "arrays do you compare?",
        "To move down by 2: the first two rows become 0, and row i goes to row i + 2. A slice for where the pixels go "
        "and one for where they come from do it; a negative shift swaps the two.",
        "Pad with enough zeros on all sides, p = max(abs(down), abs(right)), and cut the window out of the "
        "padded image "
        "that starts at row p - down and column p - right.",
    ],
)


@surviving_share.misconception(
    "pixels wrap around",
    "Your pixels that leave on one side come in on the other, as `np.roll` does. A digit that moves out of the "
    "image is "
    "gone; zeros come in.",
)
def rolled(predict, images, labels, down, right):
    return np.mean(predict(np.roll(images, (down, right), axis=(1, 2))) == predict(images))


@surviving_share.misconception(
    "compares with the labels",
    "You compare with the labels: that is the accuracy after the shift. Survival compares the prediction after "
    "the shift "
    "with the prediction before it, right or wrong.",
)
def accuracy(predict, images, labels, down, right):
    return np.mean(predict(_moved(images, down, right)) == labels)


@surviving_share.misconception(
    "only right ones counted",
    "You count a prediction only if it is right, too. A wrong prediction that stays the same survives as well.",
)
def right_and_unchanged(predict, images, labels, down, right):
    before = predict(images)
    return np.mean((predict(_moved(images, down, right)) == before) & (before == labels))


@surviving_share.misconception(
    "sign reversed",
    "Your images move the other way: positive `down` moves towards the bottom, positive `right` to the right.",
)
def other_way(predict, images, labels, down, right):
    return _share(predict, images, labels, -down, -right)


@surviving_share.misconception(
    "axes swapped",
    "You move down by `right` and right by `down`. Rows are axis 1 of (N, H, W), columns axis 2.",
)
def axes_swapped(predict, images, labels, down, right):
    return _share(predict, images, labels, right, down)


@surviving_share.misconception(
    "share of changed ones",
    "You count the predictions that change. The share that survives is one minus that.",
)
def changed(predict, images, labels, down, right):
    return 1 - _share(predict, images, labels, down, right)


@surviving_share.misconception(
    "number instead of share",
    "You return how many survive. Divide by the number of images: a share lies between 0 and 1.",
)
def how_many(predict, images, labels, down, right):
    return np.sum(predict(_moved(images, down, right)) == predict(images))


@surviving_share.misconception(
    "edge pixels stretched",
    "Your images are filled with copies of their border pixels. Zeros come in from outside.",
)
def stretched(predict, images, labels, down, right):
    p = max(abs(down), abs(right))
    padded = np.pad(images, ((0, 0), (p, p), (p, p)), mode="edge")
    height, width = images.shape[1:]
    return np.mean(predict(padded[:, p - down : p - down + height, p - right : p - right + width]) == predict(images))


TASKS = (max_pool, padded_pool, flatten_and_classify, stable_softmax, surviving_share)
