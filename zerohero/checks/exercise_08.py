"""The tasks of exercise 08, Seeing inside networks. How answers are run and compared is not known here."""

from __future__ import annotations

import numpy as np

from zerohero.checks.definition import Case, Task
from zerohero.nn.module import Module
from zerohero.ops.activation import log_softmax, relu, softmax
from zerohero.ops.convolution import conv2d
from zerohero.ops.linear import flatten, linear
from zerohero.tensor import Parameter, Tensor, grad


def real(values):
    """An array of real numbers, in the library's precision."""
    return np.array(values, np.float32)


# --- dead channels ------------------------------------------------------------------------------------------


def _layers(rng: np.random.Generator) -> list[Case]:
    def case(n, channels, height, width, kh, kw):
        """Images of middling grey with one dark and one bright patch; filters that wait for each, or for nothing."""
        images = rng.uniform(0.4, 0.6, (n, channels, height, width))
        images[-1, :, :kh, width - kw :] = 0
        images[1, :, height - kh :, :kw] = 1
        made = rng.uniform(0.5, 1.5, (8, channels, kh, kw)) / (channels * kh * kw)
        made *= np.array([1, 40, -1, -1, 0, 0, 1, -1])[:, None, None, None]
        made[7, 0, 0, -1] *= -0.1
        grown = rng.normal(size=(6, channels, kh, kw))
        outputs = conv2d(images, grown)
        shares = [0.03, 0.3, 0.6, 0.9, 0.95, 0.97]  # of a channel's outputs that are below 0
        bias = [0.1, -100, 0.2, -0.1, 0, 0.3, -0.8, 0] + [
            -np.quantile(outputs[:, k], share) for k, share in enumerate(shares)
        ]
        order = rng.permutation(len(bias))
        return Case(real(images), real(np.concatenate([made, grown])[order]), real(bias)[order])

    first = real([[[[1, 2], [3, 4]]], [[[5, 0], [0, 1]]]])
    return [
        Case(first, real([[[[1]]], [[[-1]]], [[[1]]], [[[1]]]]), real([-3.5, -0.5, -5, -4.5])),
        case(3, 1, 5, 6, 2, 3),
        case(5, 2, 6, 7, 3, 2),
    ]


def _never_above_zero(images, weight, bias):
    return (conv2d(images, weight, bias) <= 0).all(axis=(0, 2, 3))


find_dead = Task(
    name="08.find_dead",
    title="Find dead channels",
    difficulty=2,
    minutes=15,
    practises="all images, all places: a statement about a maximum",
    reference=_never_above_zero,
    inputs=_layers,
    returns=("dead",),
    hints=[
        "`zh.conv2d(images, weight, bias)` has shape (N, K, h, w). One number above 0, in one image at one place, is "
        "enough to keep a channel alive.",
        "Take the largest number of each channel: over the axes 0, 2 and 3, so that one number for each of the K "
        "channels is left. After a ReLU, 0 is as dead as −5.",
        "`outputs.max(axis=(0, 2, 3)) <= 0`.",
    ],
)


@find_dead.misconception(
    "one image",
    "You look at the first image only. A channel that is silent for it may speak for another: take the maximum over "
    "the images, axis 0, too.",
)
def first_image_only(images, weight, bias):
    return _never_above_zero(images[:1], weight, bias)


@find_dead.misconception(
    "one image",
    "You look at one image, the mean of all. A channel may speak for one that is hardly seen in the mean: compute the "
    "outputs for every image, then take the maximum.",
)
def mean_image(images, weight, bias):
    return _never_above_zero(images.mean(axis=0, keepdims=True), weight, bias)


@find_dead.misconception(
    "one image",
    "You call a channel dead if *one* image leaves it silent. Dead means silent for every image.",
)
def dead_for_some_image(images, weight, bias):
    return (conv2d(images, weight, bias) <= 0).all(axis=(2, 3)).any(axis=0)


@find_dead.misconception(
    "weights tested",
    "You look at the weights: channels whose weights are all 0 or negative. Whether a channel is dead also depends on "
    "its bias and on the images: compute its outputs.",
)
def no_positive_weight(images, weight, bias):
    return (weight <= 0).all(axis=(1, 2, 3))


@find_dead.misconception(
    "weights tested",
    "You look for channels whose weights are all 0. Such a channel may live by its bias, and one with large weights "
    "may be dead: compute the outputs.",
)
def no_weight(images, weight, bias):
    return (weight == 0).all(axis=(1, 2, 3))


@find_dead.misconception(
    "weights tested",
    "You look for weights and biases that are all 0 or negative. With negative pixels, or small positive weights and a "
    "large negative bias, that says nothing: compute the outputs.",
)
def nothing_positive(images, weight, bias):
    return (weight <= 0).all(axis=(1, 2, 3)) & (bias <= 0)


@find_dead.misconception(
    "one position",
    "You look at the place in the middle only. A channel may speak in a corner: take the maximum over all rows and "
    "columns, axes 2 and 3.",
)
def middle_only(images, weight, bias):
    outputs = conv2d(images, weight, bias)
    return (outputs[:, :, outputs.shape[2] // 2, outputs.shape[3] // 2] <= 0).all(axis=0)


@find_dead.misconception(
    "one position",
    "You look at the first row and column only. Take the maximum over all rows and columns, axes 2 and 3.",
)
def corner_only(images, weight, bias):
    return (conv2d(images, weight, bias)[:, :, 0, 0] <= 0).all(axis=0)


@find_dead.misconception(
    "any place instead of all",
    "You call a channel dead if it is silent at *some* place of some image. Dead means silent at all of them: the "
    "largest output counts, not the smallest.",
)
def silent_somewhere(images, weight, bias):
    return (conv2d(images, weight, bias) <= 0).any(axis=(0, 2, 3))


@find_dead.misconception(
    "mean instead of maximum",
    "You take the mean of the outputs. One place above 0 keeps a channel alive, however negative the others are: take "
    "the maximum.",
)
def mean_output(images, weight, bias):
    return conv2d(images, weight, bias).mean(axis=(0, 2, 3)) <= 0


@find_dead.misconception(
    "0 counts as alive",
    "Right, except for channels whose largest output is exactly 0. A ReLU passes nothing of 0 on: `<= 0`, not `< 0`.",
)
def zero_is_alive(images, weight, bias):
    return (conv2d(images, weight, bias) < 0).all(axis=(0, 2, 3))


@find_dead.misconception(
    "no bias",
    "Your outputs lack the bias. It is what most often silences a channel: `zh.conv2d(images, weight, bias)`.",
)
def without_bias(images, weight, bias):
    return _never_above_zero(images, weight, None)


@find_dead.misconception(
    "alive instead of dead",
    "You mark the channels that are alive. Asked for are the dead ones.",
)
def alive(images, weight, bias):
    return ~_never_above_zero(images, weight, bias)


@find_dead.misconception(
    "numbers instead of truth values",
    "You return the numbers of the dead channels. Asked for is True or False for each of the K channels.",
)
def their_numbers(images, weight, bias):
    return np.flatnonzero(_never_above_zero(images, weight, bias))


@find_dead.misconception(
    "numbers instead of truth values",
    "You return how many channels are dead. Asked for is True or False for each of the K channels.",
)
def how_many(images, weight, bias):
    return _never_above_zero(images, weight, bias).sum()


@find_dead.misconception(
    "an answer for each image",
    "You say for each image which channels it leaves silent, (N, K). Asked for is one answer for all images, (K,).",
)
def for_each_image(images, weight, bias):
    return (conv2d(images, weight, bias) <= 0).all(axis=(2, 3))


# --- occlusion -----------------------------------------------------------------------------------------------


def scores(images):
    """A toy network: images (N, C, H, W) to scores (N, 3), each from all pixels, and not linear."""
    channels, height, width = images.shape[1:]
    numbers = np.arange(channels * height * width).reshape(channels, height, width)
    waves = [np.cos((0.5 + k) * numbers + k) for k in range(3)]
    sums = np.stack([(images * wave).sum(axis=(1, 2, 3)) for wave in waves], axis=1)
    return sums + 0.2 * sums**2


def _photographs(rng: np.random.Generator) -> list[Case]:
    return [
        Case(scores, real([[[0.2, 0.9, 0.4], [0.6, 0.1, 0.8], [0.3, 0.7, 1.0]]]), 1, 1),
        Case(scores, real(rng.random((1, 4, 5))), 2, 3),
        Case(scores, real(rng.random((2, 7, 6)) * [[[0.4]], [[1]]]), 0, 3),
        Case(scores, real(rng.random((3, 6, 8)) * [[[1]], [[0.3]], [[0.6]]]), 1, 5),
    ]


def _around(row, column, half):
    """The square about a pixel, cut off at the edges."""
    return np.s_[:, max(row - half, 0) : row + half + 1, max(column - half, 0) : column + half + 1]


def _channel_means(image):
    return image.mean(axis=(1, 2), keepdims=True)


def _occluded(scores, image, target, size, *, square=_around, fill=_channel_means, of=None, drop=None):
    """The right map with one of the steps replaced."""
    of, drop = of or (lambda scores: scores[0, target]), drop or (lambda before, after: before - after)
    before, half = of(scores(image[None])), size // 2
    result = np.zeros(image.shape[1:])
    for row, column in np.ndindex(*result.shape):
        covered = image.copy()
        place = square(row, column, half)
        covered[place] = fill(image)
        result[row, column] = drop(before, of(scores(covered[None])))
    return result


occlusion_map = Task(
    name="08.occlusion_map",
    title="Cover the image, place by place",
    difficulty=3,
    minutes=20,
    practises="an experiment on a network that needs no gradient",
    reference=lambda scores, image, target, size: _occluded(scores, image, target, size),
    inputs=_photographs,
    returns=("drops",),
    hints=[
        "Ask for the score without any cover once: `before = scores(image[None])[0, target]`. For each pixel, cover a "
        "copy, ask again, and write down how much the score *fell*.",
        "With `half = size // 2` the square reaches from `row - half` to `row + half`, both included. At the top "
        "`row - half` is negative, and NumPy then counts from the end: write `max(row - half, 0)`. Too large an end "
        "does no harm.",
        "`covered[:, max(row - half, 0) : row + half + 1, max(column - half, 0) : column + half + 1] = grey`, with "
        "`grey = image.mean(axis=(1, 2), keepdims=True)`, (C, 1, 1); then `drops[row, column] = before - "
        "scores(covered[None])[0, target]`.",
    ],
)


@occlusion_map.misconception(
    "score instead of drop",
    "Your map shows the score of the covered image, not how far it *fell*. Places that matter come out lowest instead "
    "of highest: subtract from the score of the whole image.",
)
def covered_score(scores, image, target, size):
    return _occluded(scores, image, target, size, drop=lambda before, after: after)


@occlusion_map.misconception(
    "probability instead of drop",
    "Your map shows the *probability* of the covered image. Asked for is how far the score fell: the score before, "
    "minus the score of the covered image, both without softmax.",
)
def covered_probability(scores, image, target, size):
    of = _probability_of(target)
    return _occluded(scores, image, target, size, of=of, drop=lambda before, after: after)


@occlusion_map.misconception(
    "drop of the probability",
    "You measure the drop of the *probability*. A probability near 1 hardly falls while the score drops by half, and "
    "it also moves with the other classes: leave out the softmax.",
)
def probability_drop(scores, image, target, size):
    return _occluded(scores, image, target, size, of=_probability_of(target))


def _probability_of(target):
    return lambda scores: softmax(scores)[0, target]


@occlusion_map.misconception(
    "rise instead of drop",
    "Your map has the opposite sign: you subtract the score before from the one after. A place that speaks *for* the "
    "class shall be positive: before − after.",
)
def rise(scores, image, target, size):
    return _occluded(scores, image, target, size, drop=lambda before, after: after - before)


@occlusion_map.misconception(
    "absolute drop",
    "You take the absolute value of the drop. What speaks against the class, where the score *rises* when it is "
    "covered, then looks as if it spoke for it.",
)
def absolute_drop(scores, image, target, size):
    return _occluded(scores, image, target, size, drop=lambda before, after: abs(before - after))


@occlusion_map.misconception(
    "relative drop",
    "You divide the drop by the score before. Asked for is the drop itself, in units of the score.",
)
def relative_drop(scores, image, target, size):
    return _occluded(scores, image, target, size, drop=lambda before, after: (before - after) / before)


@occlusion_map.misconception(
    "black instead of the mean",
    "You cover with black, 0. Black is not nothing: it may be a strong pattern of its own, such as a dark edge. Cover "
    "with the mean of each channel.",
)
def black(scores, image, target, size):
    return _occluded(scores, image, target, size, fill=lambda image: 0)


@occlusion_map.misconception(
    "another grey",
    "You cover with one mean of all channels. Each channel has a mean of its own: `image.mean(axis=(1, 2), "
    "keepdims=True)`.",
)
def one_mean(scores, image, target, size):
    return _occluded(scores, image, target, size, fill=lambda image: image.mean())


@occlusion_map.misconception(
    "another grey",
    "You cover with 0.5. Asked for is the image's own mean, of each channel.",
)
def one_half(scores, image, target, size):
    return _occluded(scores, image, target, size, fill=lambda image: 0.5)


@occlusion_map.misconception(
    "another grey",
    "You cover each square with its own mean, so its colour stays. Use the mean of the whole image, of each channel.",
)
def own_mean(scores, image, target, size):
    return _loop(scores, image, target, size, lambda covered, place: covered[place].mean(axis=(1, 2), keepdims=True))


def _loop(scores, image, target, size, fill):
    before = scores(image[None])[0, target]
    result = np.zeros(image.shape[1:])
    for row, column in np.ndindex(*result.shape):
        covered, place = image.copy(), _around(row, column, size // 2)
        covered[place] = fill(covered, place)
        result[row, column] = before - scores(covered[None])[0, target]
    return result


@occlusion_map.misconception(
    "map offset",
    "Your map is shifted: the drop stands at the square's upper left corner. It belongs to the pixel in the middle of "
    "the square.",
)
def at_the_corner(scores, image, target, size):
    def square(row, column, half):
        return np.s_[:, row : row + 2 * half + 1, column : column + 2 * half + 1]

    return _occluded(scores, image, target, size, square=square)


@occlusion_map.misconception(
    "map offset",
    "Your map is shifted: the drop stands at the square's lower right corner. It belongs to the pixel in the middle of "
    "the square.",
)
def at_the_other_corner(scores, image, target, size):
    def square(row, column, half):
        return np.s_[:, max(row - 2 * half, 0) : row + 1, max(column - 2 * half, 0) : column + 1]

    return _occluded(scores, image, target, size, square=square)


@occlusion_map.misconception(
    "squares lost at the edge",
    "Nothing is covered near the upper and the left edge: there `row - half` is negative, NumPy counts it from the "
    "end, and the slice is empty. Write `max(row - half, 0)`.",
)
def negative_starts(scores, image, target, size):
    def square(row, column, half):
        return np.s_[:, row - half : row + half + 1, column - half : column + half + 1]

    return _occluded(scores, image, target, size, square=square)


@occlusion_map.misconception(
    "squares lost at the edge",
    "You leave out the squares that would hang over the edge. They count too, cut off: the map has a drop for every "
    "pixel.",
)
def whole_squares_only(scores, image, target, size):
    right, half = _occluded(scores, image, target, size), size // 2
    result = np.zeros_like(right)
    inside = np.s_[half : right.shape[0] - half, half : right.shape[1] - half]
    result[inside] = right[inside]
    return result


@occlusion_map.misconception(
    "squares lost at the edge",
    "Your map is smaller than the image: squares that would hang over the edge are missing. Cut them off at the edge "
    "instead, and give every pixel its drop.",
)
def smaller_map(scores, image, target, size):
    right, half = _occluded(scores, image, target, size), size // 2
    return right[half : right.shape[0] - half, half : right.shape[1] - half]


@occlusion_map.misconception(
    "square too small",
    "Your squares are a row and a column short. A slice leaves its end out: it ends at `row + half + 1`.",
)
def a_row_short(scores, image, target, size):
    def square(row, column, half):
        return np.s_[:, max(row - half, 0) : row + half, max(column - half, 0) : column + half]

    return _occluded(scores, image, target, size, square=square)


@occlusion_map.misconception(
    "square too large",
    "You go `size` pixels to each side, so your squares have 2·size + 1. With `half = size // 2` they have `size`.",
)
def size_to_each_side(scores, image, target, size):
    return _occluded(scores, image, target, 2 * size)


@occlusion_map.misconception(
    "covers add up",
    "Your covers add up: the second square is tried on an image that still has the first. Start each time from a new "
    "copy of the image.",
)
def accumulated(scores, image, target, size):
    before, covered = scores(image[None])[0, target], image.copy()
    result = np.zeros(image.shape[1:])
    for row, column in np.ndindex(*result.shape):
        covered[_around(row, column, size // 2)] = _channel_means(image)
        result[row, column] = before - scores(covered[None])[0, target]
    return result


@occlusion_map.misconception(
    "first channel only",
    "You cover the first channel only. A square hides what is behind it in all channels: `covered[:, ...]`.",
)
def first_channel(scores, image, target, size):
    def square(row, column, half):
        _, rows, columns = _around(row, column, half)
        return np.s_[:1, rows, columns]

    return _occluded(scores, image, target, size, square=square, fill=lambda image: _channel_means(image)[:1])


@occlusion_map.misconception(
    "whole rows covered",
    "You cover whole rows. A square is some rows *and* some columns.",
)
def whole_rows(scores, image, target, size):
    def square(row, column, half):
        return _around(row, column, half)[:2]

    return _occluded(scores, image, target, size, square=square)


@occlusion_map.misconception(
    "row and column exchanged",
    "Rows and columns of your map are exchanged: it has the image's shape (H, W), and `drops[row, column]` belongs to "
    "the square about that row and column.",
)
def exchanged(scores, image, target, size):
    return _occluded(scores, image, target, size).T


@occlusion_map.misconception(
    "wrong class",
    "You ask for the class with the highest score. The task names the class: `scores(...)[0, target]`.",
)
def the_answer(scores, image, target, size):
    return _occluded(scores, image, int(scores(image[None])[0].argmax()), size)


@occlusion_map.misconception(
    "wrong class",
    "You follow the *highest* score, whichever class has it. When another class takes the lead, you compare two "
    "classes: take `[0, target]` each time.",
)
def the_highest(scores, image, target, size):
    return _occluded(scores, image, target, size, of=lambda scores: scores[0].max())


# --- saliency ------------------------------------------------------------------------------------------------


class SmallNetwork(Module):
    """A convolution with ReLU, then scores from all numbers of its maps: (1, C, H, W) to (1, classes)."""

    def __init__(self, weight, bias, readout):
        self.weight, self.bias, self.readout = (Parameter(np.array(each)) for each in (weight, bias, readout))

    def forward(self, x):
        return linear(flatten(relu(conv2d(x, self.weight, self.bias))), self.readout)


def asked_for_a_map(answer, weight, bias, readout, image, target):
    """Call an answer with a small network made of these numbers."""
    return answer(SmallNetwork(weight, bias, readout), image, target)


def _numbers(rng, channels, maps, height, width, classes, kernel=(3, 2)):
    """The numbers of a small network for images (channels, height, width)."""
    places = (height - kernel[0] + 1) * (width - kernel[1] + 1)
    return (
        real(rng.normal(size=(maps, channels, *kernel)) / np.sqrt(channels)),
        real(rng.normal(size=maps) + 0.5),
        real(rng.normal(size=(classes, maps * places)) / np.sqrt(places)),
    )


def _asked(rng: np.random.Generator) -> list[Case]:
    tiny = real([[[[1, -2]]]]), real([0.1]), real([[1, 3], [-2, 1]])
    return [
        Case(*tiny, real([[[0.9, 0.1, 0.2]]]), 1),
        Case(*_numbers(rng, 3, 4, 5, 4, 3), real(rng.random((3, 5, 4))), 0),
        Case(*_numbers(rng, 3, 4, 5, 4, 3), real(rng.random((3, 5, 4))), 2),
        Case(*_numbers(rng, 2, 5, 6, 7, 4), real(rng.random((2, 6, 7))), 1),
        Case(*_numbers(rng, 2, 5, 6, 7, 4), real(rng.random((2, 6, 7))), 3),
    ]


def _pixel_gradient(model, image, target, of=lambda scores, target: scores[0, target]):
    """The gradient (C, H, W) of a score by the pixels."""
    x = Tensor(image[None], requires_grad=True)
    return grad(of(model(x), target), x)[0]


saliency = Task(
    name="08.saliency",
    title="How strongly does each pixel move the score?",
    difficulty=3,
    minutes=15,
    practises="a gradient by the pixels, while the weights stand still",
    reference=lambda model, image, target: np.abs(_pixel_gradient(model, image, target)).max(axis=0),
    inputs=_asked,
    use=asked_for_a_map,
    returns=("map",),
    hints=[
        "The tape follows what asks for it: `x = zh.Tensor(image[None], requires_grad=True)`. `image[None]` is a batch "
        "of one, as the model wants it.",
        "`model(x)[0, target]` is the score, before any softmax, and `zh.grad(score, x)` its gradient by the pixels, "
        "(1, C, H, W). One number for each pixel: the absolute value, then the largest of the channels.",
        "`np.abs(zh.grad(model(x)[0, target], x)[0]).max(axis=0)`.",
    ],
)


@saliency.misconception(
    "gradient of the weights",
    "Your map has a kernel's shape: you took the gradient by the *weights*. Training needs that one; a saliency map "
    "asks how the score moves with the *pixels*: `zh.grad(score, x)`.",
)
def by_the_weights(model, image, target):
    gradient = grad(model(Tensor(image[None]))[0, target], model.weight)
    return np.abs(gradient[0]).max(axis=0)


@saliency.misconception(
    "gradient of the weights",
    "Your map has a kernel's shape: you took the gradient by the *weights*, the largest of all filters. A saliency map "
    "asks how the score moves with the *pixels*: `zh.grad(score, x)`.",
)
def by_all_weights(model, image, target):
    gradient = grad(model(Tensor(image[None]))[0, target], model.weight)
    return np.abs(gradient).max(axis=(0, 1))


@saliency.misconception(
    "channel sum",
    "You add up the channels with their signs: where red says up and blue says down, nothing is left. Take the largest "
    "*absolute* value of the channels.",
)
def signed_sum(model, image, target):
    return _pixel_gradient(model, image, target).sum(axis=0)


@saliency.misconception(
    "channel sum",
    "You add up the channels and take the absolute value afterwards: opposite signs cancel first. Take the absolute "
    "values first, then the largest.",
)
def absolute_sum(model, image, target):
    return np.abs(_pixel_gradient(model, image, target).sum(axis=0))


@saliency.misconception(
    "channel sum",
    "You add up the absolute values of the channels. Simonyan et al. take the *largest*: `.max(axis=0)`.",
)
def sum_of_absolutes(model, image, target):
    return np.abs(_pixel_gradient(model, image, target)).sum(axis=0)


@saliency.misconception(
    "channel sum",
    "You take the mean of the channels' absolute values. Simonyan et al. take the *largest*: `.max(axis=0)`.",
)
def mean_of_absolutes(model, image, target):
    return np.abs(_pixel_gradient(model, image, target)).mean(axis=0)


@saliency.misconception(
    "channel sum",
    "You take the length over the channels, the root of the sum of squares. Asked for is the largest absolute value.",
)
def length_of_channels(model, image, target):
    return np.sqrt((_pixel_gradient(model, image, target) ** 2).sum(axis=0))


@saliency.misconception(
    "no absolute value",
    "You take the largest channel without the absolute value. A pixel that lowers the score strongly matters as "
    "much as one that raises it: `np.abs(...)` first.",
)
def signed_largest(model, image, target):
    return _pixel_gradient(model, image, target).max(axis=0)


@saliency.misconception(
    "no absolute value",
    "You cut negative gradients off at 0. A pixel that lowers the score strongly matters as much as one that raises "
    "it: take the absolute value.",
)
def only_upwards(model, image, target):
    return np.maximum(_pixel_gradient(model, image, target), 0).max(axis=0)


@saliency.misconception(
    "no absolute value",
    "You take the absolute value after the maximum: a channel with −9 then loses against one with 1. Take the absolute "
    "values first.",
)
def absolute_afterwards(model, image, target):
    return np.abs(_pixel_gradient(model, image, target).max(axis=0))


@saliency.misconception(
    "softmax gradient",
    "You took the gradient of the *probability*. It also moves because the other classes do, and it vanishes where the "
    "network is sure. Take the score, before the softmax.",
)
def of_the_probability(model, image, target):
    of = _pixel_gradient(model, image, target, lambda scores, target: softmax(scores)[0, target])
    return np.abs(of).max(axis=0)


@saliency.misconception(
    "softmax gradient",
    "You took the gradient of the loss, the logarithm of a softmax: it vanishes where the network is sure, and it "
    "moves with the other classes. Take the score itself.",
)
def of_the_loss(model, image, target):
    of = _pixel_gradient(model, image, target, lambda scores, target: log_softmax(scores)[0, target])
    return np.abs(of).max(axis=0)


@saliency.misconception(
    "wrong class",
    "You add up the scores of all classes. The map is about one: `model(x)[0, target]`.",
)
def of_all_classes(model, image, target):
    return np.abs(_pixel_gradient(model, image, target, lambda scores, target: scores.sum())).max(axis=0)


@saliency.misconception(
    "wrong class",
    "You ask about the class with the highest score. The task names the class: `model(x)[0, target]`.",
)
def of_the_answer(model, image, target):
    return np.abs(_pixel_gradient(model, image, int(model.scores(image[None])[0].argmax()))).max(axis=0)


@saliency.misconception(
    "gradient times pixel",
    "You multiply the gradient by the pixels. That is another map: black pixels can never matter in it. Asked for is "
    "the gradient alone.",
)
def times_the_pixels(model, image, target):
    return np.abs(_pixel_gradient(model, image, target) * image).max(axis=0)


@saliency.misconception(
    "squared",
    "You square the gradient. Asked for is its absolute value.",
)
def squared(model, image, target):
    return (_pixel_gradient(model, image, target) ** 2).max(axis=0)


@saliency.misconception(
    "scaled to 1",
    "You divide by the largest value. Leave the numbers as they are, so that maps can be compared: drawing scales them "
    "anyway.",
)
def scaled(model, image, target):
    right = np.abs(_pixel_gradient(model, image, target)).max(axis=0)
    return right / right.max()


@saliency.misconception(
    "maximum over another axis",
    "You take the maximum over the rows or columns of the picture. One number for each pixel is asked for, (H, W): the "
    "maximum goes over the channels, axis 0 of (C, H, W).",
)
def over_the_rows(model, image, target):
    return np.abs(_pixel_gradient(model, image, target)).max(axis=1)


@saliency.misconception(
    "maximum over another axis",
    "You take the maximum over the batch axis, so the channels are still there. Take `[0]` first; axis 0 of (C, H, W) "
    "is then the channels.",
)
def over_the_batch(model, image, target):
    return np.abs(_pixel_gradient(model, image, target)[None]).max(axis=0)


@saliency.misconception(
    "maximum over another axis",
    "You take the maximum of the whole map, one number. Each pixel has its own: `.max(axis=0)`.",
)
def over_everything(model, image, target):
    return np.abs(_pixel_gradient(model, image, target)).max()


# --- Grad-CAM ------------------------------------------------------------------------------------------------


def head(maps):
    """What comes after the maps in a toy network: maps (1, K, h, w) to scores (1, 3), not linear."""
    numbers = np.arange(np.prod(maps.shape[1:]))
    waves = [np.stack([np.cos((a + k) * numbers + 2 * k) for k in range(3)]) for a in (0.3, 0.7)]
    return linear(flatten(maps), real(waves[0])) + linear(flatten(maps * maps), real(0.5 * waves[1]))


def _maps(rng: np.random.Generator) -> list[Case]:
    return [
        Case(real([[[1, 0], [2, 3]], [[0, 2], [1, 0.5]]]), head, 1),
        Case(real(rng.random((4, 3, 5)) * 2), head, 0),
        Case(real(rng.random((4, 3, 5)) * 2), head, 2),
        Case(real(np.maximum(rng.normal(size=(6, 5, 4)), 0)), head, 1),
        Case(real(rng.normal(size=(5, 4, 3)) + 0.5), head, 0),
    ]


def _cam(
    maps, head, target, *,
    of=lambda scores, target: scores[0, target],
    importance=lambda gradient: gradient.mean(axis=(1, 2), keepdims=True),
    join=lambda importance, maps: (importance * maps).sum(axis=0),
    last=lambda heat: np.maximum(heat, 0),
):  # fmt: skip
    """The right map with one of the steps replaced."""
    leaf = Tensor(maps[None], requires_grad=True)
    gradient = grad(of(head(leaf), target), leaf)[0]
    return last(join(importance(gradient), maps))


grad_cam = Task(
    name="08.grad_cam",
    title="Which places speak for the class?",
    difficulty=4,
    minutes=25,
    practises="a gradient in the middle of a network, and what each mean and each cut is for",
    reference=lambda maps, head, target: _cam(maps, head, target),
    inputs=_maps,
    returns=("heat",),
    hints=[
        "`head` is the rest of the network, from the maps to the scores. Make the maps a leaf of the tape, "
        "`a = zh.Tensor(maps[None], requires_grad=True)`, and ask for the gradient of one score by them.",
        "The gradient has a number for every place of every map. Its mean over the *places* says how much map k "
        "matters as a whole: `importance`, (K, 1, 1) with `keepdims=True`.",
        "`gradient = zh.grad(head(a)[0, target], a)[0]`, `importance = gradient.mean(axis=(1, 2), keepdims=True)`, and "
        "`np.maximum((importance * maps).sum(axis=0), 0)`.",
    ],
)


@grad_cam.misconception(
    "no ReLU",
    "Right up to the last step: the ReLU is missing. Places that speak *against* the class, for another one, stay in "
    "your map: cut it off at 0.",
)
def without_relu(maps, head, target):
    return _cam(maps, head, target, last=lambda heat: heat)


@grad_cam.misconception(
    "absolute value instead of ReLU",
    "You take the absolute value at the end: places that speak *against* the class look as if they spoke for it. Cut "
    "the map off at 0 instead.",
)
def absolute_value(maps, head, target):
    return _cam(maps, head, target, last=np.abs)


@grad_cam.misconception(
    "no spatial mean",
    "You multiply gradient and maps place by place, without the mean. Grad-CAM gives each map *one* importance: the "
    "mean of its gradient over all places.",
)
def place_by_place(maps, head, target):
    return _cam(maps, head, target, importance=lambda gradient: gradient)


@grad_cam.misconception(
    "no spatial mean",
    "You add the gradient up over the places instead of taking the mean: your map is too large by the number of "
    "places.",
)
def sum_of_places(maps, head, target):
    return _cam(maps, head, target, importance=lambda gradient: gradient.sum(axis=(1, 2), keepdims=True))


@grad_cam.misconception(
    "no spatial mean",
    "You take the largest gradient of each map. Its importance is the *mean* over all places.",
)
def largest_gradient(maps, head, target):
    return _cam(maps, head, target, importance=lambda gradient: gradient.max(axis=(1, 2), keepdims=True))


@grad_cam.misconception(
    "mean over the channels",
    "You take the mean of the gradient over the *channels*, so all maps get one importance at each place. It is the "
    "other way round: the mean over the places, axes 1 and 2, for each channel.",
)
def mean_over_channels(maps, head, target):
    return _cam(maps, head, target, importance=lambda gradient: gradient.mean(axis=0, keepdims=True))


@grad_cam.misconception(
    "one importance for all maps",
    "You take the mean of the whole gradient: all maps get the same importance. Keep the channels apart: the mean goes "
    "over axes 1 and 2 alone.",
)
def mean_of_all(maps, head, target):
    return _cam(maps, head, target, importance=lambda gradient: gradient.mean())


@grad_cam.misconception(
    "mean of the weighted maps",
    "You take the mean of the weighted maps where the definition adds them up: your map is too small by a factor of K, "
    "the number of channels.",
)
def mean_of_maps(maps, head, target):
    return _cam(maps, head, target, join=lambda importance, maps: (importance * maps).mean(axis=0))


@grad_cam.misconception(
    "maps not added up",
    "You return a map for each channel, (K, h, w). Add them up over the channels, axis 0, before the ReLU.",
)
def not_added_up(maps, head, target):
    return _cam(maps, head, target, join=lambda importance, maps: importance * maps)


@grad_cam.misconception(
    "wrong class",
    "You ask about the class with the highest score. The task names the class: `head(a)[0, target]`.",
)
def of_the_best_class(maps, head, target):
    return _cam(maps, head, int(np.asarray(head(maps[None]))[0].argmax()))


@grad_cam.misconception(
    "wrong class",
    "You add up the scores of all classes. The map is about one: `head(a)[0, target]`.",
)
def of_every_class(maps, head, target):
    return _cam(maps, head, target, of=lambda scores, target: scores.sum())


@grad_cam.misconception(
    "softmax gradient",
    "You took the gradient of the *probability*. Selvaraju et al. take the score before the softmax: a probability "
    "also moves with the other classes, and hardly moves where the network is sure.",
)
def of_a_probability(maps, head, target):
    return _cam(maps, head, target, of=lambda scores, target: softmax(scores)[0, target])


@grad_cam.misconception(
    "softmax gradient",
    "You took the gradient of the logarithm of the probability. Selvaraju et al. take the score before the softmax.",
)
def of_a_log_probability(maps, head, target):
    return _cam(maps, head, target, of=lambda scores, target: log_softmax(scores)[0, target])


@grad_cam.misconception(
    "ReLU too early",
    "You apply the ReLU to each weighted map before adding up. What speaks against the class can then no longer cancel "
    "what speaks for it: add up first, then cut off.",
)
def relu_before_the_sum(maps, head, target):
    return _cam(maps, head, target, join=lambda importance, maps: np.maximum(importance * maps, 0).sum(axis=0))


@grad_cam.misconception(
    "ReLU too early",
    "You cut the importances off at 0, so maps that speak against the class are left out. They count, with their minus "
    "sign; the ReLU comes last.",
)
def relu_of_importance(maps, head, target):
    def importance(gradient):
        return np.maximum(gradient.mean(axis=(1, 2), keepdims=True), 0)

    return _cam(maps, head, target, importance=importance)


@grad_cam.misconception(
    "ReLU too early",
    "You cut the gradient off at 0 before taking the mean. The mean is of all numbers; the ReLU comes last.",
)
def relu_of_gradient(maps, head, target):
    def importance(gradient):
        return np.maximum(gradient, 0).mean(axis=(1, 2), keepdims=True)

    return _cam(maps, head, target, importance=importance)


@grad_cam.misconception(
    "importance of the wrong thing",
    "Your importances are the means of the *maps*. They say how loud a map is, not whether the class cares: take the "
    "means of the gradient.",
)
def mean_of_the_maps(maps, head, target):
    return np.maximum((maps.mean(axis=(1, 2), keepdims=True) * maps).sum(axis=0), 0)


@grad_cam.misconception(
    "maps left out",
    "You add up the gradients; the maps themselves are left out. Each map is multiplied by its importance.",
)
def gradients_only(maps, head, target):
    return _cam(maps, head, target, importance=lambda gradient: gradient, join=lambda gradient, maps: gradient.sum(0))


@grad_cam.misconception(
    "scaled to 1",
    "You divide by the largest value. Leave the numbers as they are: drawing scales them anyway, and 0 everywhere "
    "would become NaN.",
)
def scaled_to_one(maps, head, target):
    right = _cam(maps, head, target)
    return right / right.max()


# --- activation maximization ---------------------------------------------------------------------------------


def asked_for_an_image(answer, weight, bias, readout, image, target, steps, lr):
    """Call an answer with a small network; what it returns, and what it did to the network."""
    model = SmallNetwork(weight, bias, readout)
    made = answer(model, image, target, steps, lr)
    changed = sum(np.abs(p.data - before).sum() for p, before in zip(model.parameters(), (weight, bias, readout)))
    return made, changed


def _starts(rng: np.random.Generator) -> list[Case]:
    tiny = real([[[[1, -2]]]]), real([1]), real([[1, 3], [-2, 1]])
    return [
        Case(*tiny, real([[[0.5, 0.4, 0.6]]]), 0, 1, 0.1),
        Case(*tiny, real([[[0.5, 0.4, 0.6]]]), 0, 3, 0.1),
        Case(*_numbers(rng, 3, 4, 5, 4, 3), real(rng.random((3, 5, 4))), 0, 2, 0.1),
        Case(*_numbers(rng, 2, 5, 6, 7, 4), real(rng.random((2, 6, 7))), 3, 5, 0.2),
        Case(*_numbers(rng, 3, 5, 6, 5, 4), real(rng.random((3, 6, 5))), 1, 4, 3.0),
    ]


def _climbed(
    model, image, target, steps, lr, *,
    of=lambda scores, target: scores[0, target],
    step=lambda gradient: gradient,
    kept=lambda image: np.clip(image, 0, 1),
):  # fmt: skip
    """The right image with one of the steps replaced."""
    for _ in range(steps):
        image = kept(image + lr * step(_pixel_gradient(model, image, target, of)))
    return image


maximize_activation = Task(
    name="08.maximize_activation",
    title="Make an image for a class",
    difficulty=4,
    minutes=25,
    practises="gradient ascent where the image learns and the weights stand still",
    reference=lambda model, image, target, steps, lr: _climbed(model, image, target, steps, lr),
    inputs=_starts,
    use=asked_for_an_image,
    returns=("image", "change of the weights"),
    hints=[
        "Training goes down a loss, in the space of the weights. Here you go *up* a score, in the space of the pixels. "
        "So it is `image + ...`, and no optimizer ever sees the model.",
        "Each step needs a gradient at the place where the image is now: a new `x = zh.Tensor(image[None], "
        "requires_grad=True)` in the loop. After each step pixels are cut off at 0 and 1.",
        "In a loop over `range(steps)`: `gradient = zh.grad(model(x)[0, target], x)[0]`, then "
        "`image = np.clip(image + lr * gradient, 0, 1)`.",
    ],
)


@maximize_activation.misconception(
    "descends",
    "You go *down* the score: the image becomes what the class likes least. Training subtracts the gradient of a loss; "
    "here it is added.",
)
def descends(model, image, target, steps, lr):
    return _climbed(model, image, target, steps, lr, step=np.negative)


@maximize_activation.misconception(
    "updates the weights",
    "Your image stays as it was: you changed the *weights*, as in training. Here the network stands still, and the "
    "pixels take the steps: the gradient is by `x`.",
)
def weights_instead(model, image, target, steps, lr):
    for _ in range(steps):
        _learn(model, image, target, lr)
    return image


@maximize_activation.misconception(
    "updates the weights",
    "You change the image *and* the weights. The score then also rises because the network was changed: leave its "
    "parameters alone.",
)
def weights_too(model, image, target, steps, lr):
    for _ in range(steps):
        image, before = _climbed(model, image, target, 1, lr), image
        _learn(model, before, target, lr)
    return image


def _learn(model, image, target, lr):
    """One step of gradient ascent for the weights."""
    parameters = list(model.parameters())
    gradients = grad(model(Tensor(image[None]))[0, target], parameters)
    for parameter, gradient in zip(parameters, gradients):
        parameter.data = parameter.data + lr * gradient


@maximize_activation.misconception(
    "not clipped",
    "Your pixels leave the range from 0 to 1: what comes out is no image. `np.clip(..., 0, 1)` after each step.",
)
def never_clipped(model, image, target, steps, lr):
    return _climbed(model, image, target, steps, lr, kept=lambda image: image)


@maximize_activation.misconception(
    "not clipped",
    "Your pixels are cut off at 1 but not at 0. Both ends count: `np.clip(..., 0, 1)`.",
)
def clipped_above(model, image, target, steps, lr):
    return _climbed(model, image, target, steps, lr, kept=lambda image: np.minimum(image, 1))


@maximize_activation.misconception(
    "not clipped",
    "Your pixels are cut off at 0 but not at 1. Both ends count: `np.clip(..., 0, 1)`.",
)
def clipped_below(model, image, target, steps, lr):
    return _climbed(model, image, target, steps, lr, kept=lambda image: np.maximum(image, 0))


@maximize_activation.misconception(
    "not clipped",
    "You clip to the range from −1 to 1. The pixels of these images go from 0 to 1.",
)
def clipped_to_minus_one(model, image, target, steps, lr):
    return _climbed(model, image, target, steps, lr, kept=lambda image: np.clip(image, -1, 1))


@maximize_activation.misconception(
    "clipped once at the end",
    "You clip once, at the end. Meanwhile the gradients were taken at images that can't be: clip after each step.",
)
def clipped_last(model, image, target, steps, lr):
    return np.clip(_climbed(model, image, target, steps, lr, kept=lambda image: image), 0, 1)


@maximize_activation.misconception(
    "gradient clipped instead of the image",
    "You clip the gradient, not the image: pixels still leave the range from 0 to 1, and none can ever get darker.",
)
def gradient_clipped(model, image, target, steps, lr):
    return _climbed(model, image, target, steps, lr, step=lambda g: np.clip(g, 0, 1), kept=lambda image: image)


@maximize_activation.misconception(
    "scaled instead of clipped",
    "You stretch the image after each step so that it reaches from 0 to 1. Pixels that were in the range change, too: "
    "cut off what is outside, and leave the rest.",
)
def stretched(model, image, target, steps, lr):
    def kept(image):
        return (image - image.min()) / (image.max() - image.min())

    return _climbed(model, image, target, steps, lr, kept=kept)


@maximize_activation.misconception(
    "a step too few or too many",
    "You take one step too few. `range(steps)` takes `steps` of them.",
)
def one_step_less(model, image, target, steps, lr):
    return _climbed(model, image, target, steps - 1, lr)


@maximize_activation.misconception(
    "a step too few or too many",
    "You take one step too many. `range(steps)` takes `steps` of them.",
)
def one_step_more(model, image, target, steps, lr):
    return _climbed(model, image, target, steps + 1, lr)


@maximize_activation.misconception(
    "a step too few or too many",
    "You take one step, however many are asked for. Perhaps the `return` stands inside the loop.",
)
def one_step_only(model, image, target, steps, lr):
    return _climbed(model, image, target, 1, lr)


@maximize_activation.misconception(
    "the first gradient for all steps",
    "You take the gradient once, at the start, and use it in every step. A network isn't linear: compute it anew where "
    "the image is now.",
)
def stale_gradient(model, image, target, steps, lr):
    gradient = _pixel_gradient(model, image, target)
    for _ in range(steps):
        image = np.clip(image + lr * gradient, 0, 1)
    return image


@maximize_activation.misconception(
    "every step from the start",
    "Each of your steps starts again from the first image, so only the last one counts. Step on from where you are.",
)
def from_the_start(model, image, target, steps, lr):
    made = image
    for _ in range(steps):
        made = np.clip(image + lr * _pixel_gradient(model, made, target), 0, 1)
    return made


@maximize_activation.misconception(
    "another step size",
    "You step along the *sign* of the gradient, as an attack does (lecture 09). Here the step is lr times the gradient "
    "itself.",
)
def by_sign(model, image, target, steps, lr):
    return _climbed(model, image, target, steps, lr, step=np.sign)


@maximize_activation.misconception(
    "another step size",
    "You divide the gradient by its length. Here the step is lr times the gradient itself.",
)
def by_length(model, image, target, steps, lr):
    return _climbed(model, image, target, steps, lr, step=lambda g: g / np.sqrt((g**2).sum()))


@maximize_activation.misconception(
    "another step size",
    "You add the whole gradient; the learning rate is not used. Multiply by `lr`.",
)
def without_lr(model, image, target, steps, lr):
    return _climbed(model, image, target, steps, 1)


@maximize_activation.misconception(
    "wrong class",
    "You climb for all classes together. The image is for one: `model(x)[0, target]`.",
)
def for_all_classes(model, image, target, steps, lr):
    return _climbed(model, image, target, steps, lr, of=lambda scores, target: scores.sum())


@maximize_activation.misconception(
    "wrong class",
    "You climb for the class with the highest score. The task names the class: `model(x)[0, target]`.",
)
def for_the_answer(model, image, target, steps, lr):
    return _climbed(model, image, target, steps, lr, of=lambda scores, target: scores.max())


@maximize_activation.misconception(
    "softmax gradient",
    "You climb the *probability*. It also rises because other classes fall, and near 1 it gives no gradient any more: "
    "climb the score, before the softmax.",
)
def of_the_softmax(model, image, target, steps, lr):
    return _climbed(model, image, target, steps, lr, of=lambda scores, target: softmax(scores)[0, target])


@maximize_activation.misconception(
    "the change instead of the image",
    "You return how far the image was changed. Return the image.",
)
def the_change(model, image, target, steps, lr):
    return _climbed(model, image, target, steps, lr) - image


@maximize_activation.misconception(
    "the score instead of the image",
    "You return the score that was reached. Return the image that reaches it.",
)
def the_score(model, image, target, steps, lr):
    return float(model.scores(_climbed(model, image, target, steps, lr)[None])[0, target])


TASKS = (find_dead, occlusion_map, saliency, grad_cam, maximize_activation)
