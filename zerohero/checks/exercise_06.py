"""The tasks of exercise 06, GoogLeNet, ResNet, DenseNet. How answers are run and compared is not known here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, update_wrapper

import numpy as np

from zerohero.checks.definition import Case, Task
from zerohero.ops.activation import relu
from zerohero.ops.convolution import conv2d
from zerohero.ops.linear import concat
from zerohero.ops.normalization import batch_norm as library_batch_norm
from zerohero.ops.pooling import avg_pool2d, max_pool2d


def real(values):
    """An array of real numbers, in the library's precision."""
    return np.array(values, np.float32)


def _kernels(rng: np.random.Generator, filters: int, channels: int, size: int):
    return real(rng.normal(size=(filters, channels, size, size)) / size)


def _also_with_numpy(task: Task, *mistakes: Callable) -> None:
    """Give mistakes that end in a failing `zh.concat` a form with `np.concatenate`, which fails with other words."""
    for known in [m for m in task.misconceptions if m.wrong in mistakes]:
        with_numpy = update_wrapper(partial(known.wrong, concat=np.concatenate), known.wrong)
        task.misconception(known.name, known.sentence)(with_numpy)


# --- inception block ----------------------------------------------------------------------------------------


def _branches(rng: np.random.Generator) -> list[Case]:
    def case(x, ones, reduce3, threes, reduce5, fives, project):
        channels = x.shape[1]
        shapes = [
            (ones, channels, 1), (reduce3, channels, 1), (threes, reduce3, 3), (reduce5, channels, 1),
            (fives, reduce5, 5), (project, channels, 1),
        ]  # fmt: skip
        return Case(x, *(_kernels(rng, *shape) for shape in shapes))

    edge = [[0, 1, 0], [-1, 2, 0], [0, 0, 1]]
    spot = np.zeros((5, 5))
    spot[2, 2], spot[1, 3], spot[2, 1], spot[0, 2] = 1, -1, 2, 1
    one, two, minus = (real([[[[weight]]]]) for weight in (1, 2, -1))
    picture = real([[[[3, -2, 1, 0], [1, 4, -1, -3]]]])
    return [
        Case(picture, one, two, real(edge)[None, None], minus, real(spot)[None, None], two),
        case(real(rng.normal(size=(2, 3, 5, 4)) - 0.5), 2, 2, 2, 2, 2, 2),
        case(real(rng.normal(size=(3, 2, 4, 6))), 1, 3, 4, 2, 3, 5),
    ]


def _pooled(x):
    return max_pool2d(x, 3, stride=1, padding=1)


def _inception(
    x, ones, reduce3, threes, reduce5, fives, project, *,
    inner=relu,  # after the two reductions
    last=relu,  # after each branch's last convolution
    pool=_pooled,
    fourth=lambda x, project, pool, last: last(conv2d(pool(x), project)),
    padding=(1, 2),  # of the 3×3 and of the 5×5
    order=(0, 1, 2, 3),
    axis=1,
    concat=concat,
    join=None,  # in place of concat
):  # fmt: skip
    """The right block with one of its parts replaced."""
    branches = [
        last(conv2d(x, ones)),
        last(conv2d(inner(conv2d(x, reduce3)), threes, padding=padding[0])),
        last(conv2d(inner(conv2d(x, reduce5)), fives, padding=padding[1])),
        fourth(x, project, pool, last),
    ]
    branches = [branches[i] for i in order]
    return join(branches) if join else concat(branches, axis=axis)


def _right_inception(x, ones, reduce3, threes, reduce5, fives, project):
    return _inception(x, ones, reduce3, threes, reduce5, fives, project)


inception = Task(
    name="06.inception",
    title="Inception block",
    difficulty=3,
    minutes=25,
    practises="several operations on the same maps, side by side",
    reference=_right_inception,
    inputs=_branches,
    hints=[
        "Every branch starts from `x`, and all four must end with the same H and W, or they can't be joined. Which "
        "padding keeps the size for a kernel of 3, of 5? Which stride for the pooling?",
        "Branch 2: `zh.relu(zh.conv2d(x, reduce3))`, and that goes into `zh.conv2d(..., threes, padding=1)`, then ReLU "
        "again. Branch 3 is the same with `padding=2`. The branches are laid one behind the other along the channels, "
        "axis 1 of (N, C, H, W).",
        "Branch 4: `zh.relu(zh.conv2d(zh.max_pool2d(x, 3, stride=1, padding=1), project))`. At the end "
        "`return zh.concat([branch1, branch2, branch3, branch4], axis=1)`.",
    ],
)


@inception.misconception(
    "branches summed",
    "You add the four branches. That mixes their maps, and it works only where all have equally many. An inception "
    "block keeps them apart and lays them one behind the other along the channels: `zh.concat([...], axis=1)`.",
)
def summed(*args):
    return _inception(*args, join=lambda b: b[0] + b[1] + b[2] + b[3])


@inception.misconception(
    "branches summed",
    "You return the mean of the four branches. An inception block keeps their maps apart and lays them one behind the "
    "other along the channels: `zh.concat([...], axis=1)`.",
)
def averaged(*args):
    return _inception(*args, join=lambda b: (b[0] + b[1] + b[2] + b[3]) / 4)


@inception.misconception(
    "concatenated along the wrong axis",
    "You join the branches along axis 0, which counts the images: as if there were four times as many. (That is also "
    "what you get without naming an axis.) Maps are joined along the channels, axis 1 of (N, C, H, W).",
)
def along_the_images(*args, **concat):
    return _inception(*args, axis=0, **concat)


@inception.misconception(
    "concatenated along the wrong axis",
    "You join the branches along axis 2, the rows: one picture below the other. Maps are joined along the channels, "
    "axis 1 of (N, C, H, W).",
)
def along_the_rows(*args, **concat):
    return _inception(*args, axis=2, **concat)


@inception.misconception(
    "concatenated along the wrong axis",
    "You join the branches along the last axis, the columns: one picture beside the other. Maps are joined along the "
    "channels, axis 1 of (N, C, H, W).",
)
def along_the_columns(*args, **concat):
    return _inception(*args, axis=3, **concat)


@inception.misconception(
    "concatenated along the wrong axis",
    "You lay the branches along an axis of their own (`np.stack`). That needs branches with equally many maps, and no "
    "layer takes five axes. Lay them along the channels that are there: `zh.concat([...], axis=1)`.",
)
def stacked(*args):
    return _inception(*args, join=lambda b: np.stack(b, axis=1))


@inception.misconception(
    "pooling with stride 2",
    "Your pooling has stride 2, so its maps have half the rows and columns and can't be joined with the other "
    "branches. Inside an inception block the pooling moves by one pixel: `stride=1, padding=1`.",
)
def pool_stride_2(*args, **concat):
    return _inception(*args, pool=lambda x: max_pool2d(x, 3, stride=2, padding=1), **concat)


@inception.misconception(
    "pooling with its own stride",
    "You give the pooling no stride, and without one it moves by its window's size, 3. Inside an inception block it "
    "moves by one pixel, so that its maps keep their size: `stride=1, padding=1`.",
)
def pool_without_stride(*args, **concat):
    return _inception(*args, pool=lambda x: max_pool2d(x, 3, padding=1), **concat)


@inception.misconception(
    "pooling without padding",
    "You give the pooling no padding, so its maps lose two rows and two columns (or a window of 3 doesn't even fit). "
    "All branches must keep H and W: `stride=1, padding=1`.",
)
def pool_without_padding(*args, **concat):
    return _inception(*args, pool=lambda x: max_pool2d(x, 3, stride=1), **concat)


@inception.misconception(
    "pooling pads with 0",
    "Your pooling sees zeros around the image, and where all pixels near the border are negative, such a zero wins. "
    "Padding must never win a maximum: leave it to `zh.max_pool2d(x, 3, stride=1, padding=1)`.",
)
def pool_pads_zeros(*args):
    zeros = ((0, 0), (0, 0), (1, 1), (1, 1))
    return _inception(*args, pool=lambda x: max_pool2d(np.pad(x, zeros), 3, stride=1))


@inception.misconception(
    "mean instead of maximum",
    "Your fourth branch takes the mean of each window. GoogLeNet's inception blocks take the maximum: `zh.max_pool2d`.",
)
def mean_pool(*args):
    return _inception(*args, pool=lambda x: avg_pool2d(x, 3, stride=1, padding=1))


@inception.misconception(
    "mean instead of maximum",
    "Your fourth branch takes the mean of each window (of its real pixels). GoogLeNet's inception blocks take the "
    "maximum: `zh.max_pool2d`.",
)
def mean_pool_of_real_pixels(*args):
    return _inception(*args, pool=lambda x: avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False))


@inception.misconception(
    "no pooling",
    "Your fourth branch is a second 1×1 convolution of x: the pooling before it is missing.",
)
def no_pool(*args):
    return _inception(*args, pool=lambda x: x)


@inception.misconception(
    "projection before the pooling",
    "Your fourth branch convolves first and pools afterwards. In an inception block the pooling comes first: it looks "
    "for the largest value of each map, and the 1×1 convolution then mixes these.",
)
def project_then_pool(*args):
    return _inception(*args, fourth=lambda x, project, pool, last: pool(last(conv2d(x, project))))


@inception.misconception(
    "projection forgotten",
    "Your pooled maps go to the output as they are: all C channels of the input. The 1×1 convolution `project` brings "
    "them to fewer. Without it every block would have more maps than the one before.",
)
def not_projected(*args):
    return _inception(*args, fourth=lambda x, project, pool, last: pool(x))


@inception.misconception(
    "no ReLU",
    "There is no ReLU in your block: negative numbers come out, and a 1×1 and a 3×3 convolution without ReLU between "
    "them are no more than one convolution. Every one of the six convolutions is followed by a ReLU.",
)
def no_relu(*args):
    return _inception(*args, inner=lambda y: y, last=lambda y: y)


@inception.misconception(
    "no ReLU",
    "There is no ReLU after your two reductions, only at the end. Two convolutions without ReLU between them are no "
    "more than one convolution. Every one of the six convolutions is followed by a ReLU.",
)
def no_relu_inside(*args):
    return _inception(*args, inner=lambda y: y)


@inception.misconception(
    "no ReLU",
    "Your reductions have their ReLU, but the last convolution of each branch has none: negative numbers come out. "
    "Every one of the six convolutions is followed by a ReLU.",
)
def no_relu_at_the_end(*args):
    return _inception(*args, last=lambda y: y)


@inception.misconception(
    "no ReLU",
    "The ReLU after `project` is missing. Every one of the six convolutions is followed by a ReLU, that one, too.",
)
def no_relu_after_project(*args):
    return _inception(*args, fourth=lambda x, project, pool, last: conv2d(pool(x), project))


@inception.misconception(
    "padding forgotten",
    "Your 3×3 and 5×5 convolutions have no padding, so their maps shrink and can't be joined with the others. Padding "
    "1 keeps the size for a kernel of 3, padding 2 for a kernel of 5.",
)
def not_padded(*args, **concat):
    return _inception(*args, padding=(0, 0), **concat)


@inception.misconception(
    "padding forgotten",
    "Your 3×3 convolution has no padding, so its maps are two rows and two columns smaller than the others: "
    "`padding=1`.",
)
def threes_not_padded(*args, **concat):
    return _inception(*args, padding=(0, 2), **concat)


@inception.misconception(
    "padding of the 5×5",
    "Your 5×5 convolution has padding 1, as the 3×3. A kernel of 5 reaches 2 pixels to each side of its middle, so it "
    "needs `padding=2` to keep the size.",
)
def fives_padded_by_1(*args, **concat):
    return _inception(*args, padding=(1, 1), **concat)


@inception.misconception(
    "padding of the 5×5",
    "Your 5×5 convolution has no padding, so its maps shrink: `padding=2` keeps the size.",
)
def fives_not_padded(*args, **concat):
    return _inception(*args, padding=(1, 0), **concat)


@inception.misconception(
    "branches in another order",
    "Your maps are right, but they come in another order: the 5×5 branch before the 3×3 one. The next layer's weights "
    "count on the order: 1×1, 3×3, 5×5, pooling.",
)
def fives_first(*args):
    return _inception(*args, order=(0, 2, 1, 3))


@inception.misconception(
    "branches in another order",
    "Your maps are right, but the pooling branch comes first. The next layer's weights count on the order: 1×1, 3×3, "
    "5×5, pooling.",
)
def pool_first(*args):
    return _inception(*args, order=(3, 0, 1, 2))


@inception.misconception(
    "branches in another order",
    "Your maps are right, but the branches come in reverse order. The next layer's weights count on the order: 1×1, "
    "3×3, 5×5, pooling.",
)
def reversed_order(*args):
    return _inception(*args, order=(3, 2, 1, 0))


@inception.misconception(
    "a branch is missing",
    "The pooling branch is missing in your output: four branches are joined.",
)
def three_branches(*args):
    return _inception(*args, order=(0, 1, 2))


@inception.misconception(
    "one reduction for both",
    "Your 5×5 convolution reads what `reduce3` made. Each large convolution has a reduction of its own: the 5×5 comes "
    "after `reduce5`.",
)
def reduce3_for_both(x, ones, reduce3, threes, reduce5, fives, project):
    return _inception(x, ones, reduce3, threes, reduce3, fives, project)


@inception.misconception(
    "reductions exchanged",
    "You exchanged the reductions: the 3×3 convolution comes after `reduce3`, the 5×5 after `reduce5`.",
)
def reductions_exchanged(x, ones, reduce3, threes, reduce5, fives, project):
    return _inception(x, ones, reduce5, threes, reduce3, fives, project)


@inception.misconception(
    "reduction left out",
    "Your 3×3 and 5×5 convolutions read x itself. Before each comes its 1×1 reduction, which brings the C channels of "
    "x to fewer: that is what makes them cheap, and their weights have just these few channels.",
)
def not_reduced(x, ones, reduce3, threes, reduce5, fives, project):
    first, second, third = conv2d(x, ones), conv2d(x, threes, padding=1), conv2d(x, fives, padding=2)
    return relu(concat([first, second, third, conv2d(_pooled(x), project)], axis=1))


@inception.misconception(
    "one after the other",
    "Your 5×5 branch goes on from the output of the 3×3 branch. The four branches stand side by side: each starts from "
    "x.",
)
def in_a_row(x, ones, reduce3, threes, reduce5, fives, project):
    first = relu(conv2d(x, ones))
    second = relu(conv2d(relu(conv2d(x, reduce3)), threes, padding=1))
    third = relu(conv2d(relu(conv2d(second, reduce5)), fives, padding=2))
    return concat([first, second, third, relu(conv2d(_pooled(x), project))], axis=1)


@inception.misconception(
    "one after the other",
    "Your branches run one after the other: what the 1×1 convolution makes goes into the next branch. All four start "
    "from x, side by side.",
)
def all_in_a_row(x, ones, reduce3, threes, reduce5, fives, project):
    first = relu(conv2d(x, ones))
    second = relu(conv2d(relu(conv2d(first, reduce3)), threes, padding=1))
    third = relu(conv2d(relu(conv2d(second, reduce5)), fives, padding=2))
    return concat([first, second, third, relu(conv2d(_pooled(third), project))], axis=1)


_also_with_numpy(inception, along_the_images, along_the_rows, along_the_columns)
_also_with_numpy(inception, pool_stride_2, pool_without_stride, pool_without_padding)
_also_with_numpy(inception, not_padded, threes_not_padded, fives_padded_by_1, fives_not_padded)


# --- multiplies saved by a 1×1 reduction --------------------------------------------------------------------


def _layers(rng: np.random.Generator) -> list[Case]:
    return [
        Case(2, 3, 10, 2, 5, 3, padding=1),
        Case(3, 4, 6, 3, 2, 1),
        Case(28, 28, 192, 16, 32, 5, padding=2),
        Case(9, 12, 7, 3, 4, 5),
        Case(14, 11, 20, 4, 6, 3, stride=2, padding=1),
        Case(13, 10, 24, 5, 8, 4, stride=3, padding=2),
    ]


def _whole(size, kernel, stride, padding):
    """How many positions a kernel has along one axis."""
    return (size + 2 * padding - kernel) // stride + 1


def _counted(
    height, width, channels, reduce, filters, kernel, stride=1, padding=0, *,
    fits=_whole,
    direct=lambda places, channels, filters, area: places * channels * filters * area,
    ones=lambda pixels, places, channels, reduce: pixels * channels * reduce,
    large=lambda places, reduce, filters, area: places * reduce * filters * area,
    area=lambda kernel: kernel * kernel,
    join=lambda ones, large: ones + large,
    saved=lambda direct, reduced: direct - reduced,
):  # fmt: skip
    """The right counts with one of their parts replaced."""
    places = fits(height, kernel, stride, padding) * fits(width, kernel, stride, padding)
    alone = direct(places, channels, filters, area(kernel))
    reduced = join(
        ones(height * width, places, channels, reduce),
        large(places, reduce, filters, area(kernel)),
    )
    return alone, reduced, saved(alone, reduced)


def _right_counts(height, width, channels, reduce, filters, kernel, stride=1, padding=0):
    return _counted(height, width, channels, reduce, filters, kernel, stride, padding)


multiplies_saved = Task(
    name="06.multiplies_saved",
    title="Multiplies saved by 1×1",
    difficulty=2,
    minutes=15,
    practises="what a convolution costs, and what a reduction saves after its own cost is paid",
    reference=_right_counts,
    inputs=_layers,
    returns=("direct", "reduced", "saved"),
    hints=[
        "One output number of a k×k filter that reads C channels takes k · k · C multiplications. How many output "
        "numbers does a layer make? That is places times filters, and the places are those of the *output*.",
        "With the reduction there are two layers to pay for: the 1×1 makes `reduce` maps at every one of the height · "
        "width pixels, each number costs `channels` multiplications; then the k×k reads only `reduce` channels.",
        "`rows = (height + 2 * padding - kernel) // stride + 1`, columns the same; `places = rows * columns`; "
        "`direct = places * channels * filters * kernel**2`; `reduced = height * width * channels * reduce + places * "
        "reduce * filters * kernel**2`; return these two and `direct - reduced`.",
    ],
)


@multiplies_saved.misconception(
    "reduction's cost omitted",
    "You count the k×k convolution after the reduction, but not the reduction itself. It is a convolution, too: "
    "height · width · channels · reduce multiplications.",
)
def reduction_for_free(*args, **kwargs):
    return _counted(*args, **kwargs, ones=lambda *a: 0)


@multiplies_saved.misconception(
    "only the reduction counted",
    "Your second number is what the 1×1 convolution costs. The k×k convolution still follows, on `reduce` channels: "
    "count both.",
)
def only_the_reduction(*args, **kwargs):
    return _counted(*args, **kwargs, large=lambda *a: 0)


@multiplies_saved.misconception(
    "parameters instead",
    "You count the weights, the parameters. Each weight is multiplied anew at every place of the output: a layer's "
    "multiplications are its weights times its places.",
)
def parameters(*args, **kwargs):
    return _counted(
        *args,
        **kwargs,
        direct=lambda places, channels, filters, area: channels * filters * area,
        ones=lambda pixels, places, channels, reduce: channels * reduce,
        large=lambda places, reduce, filters, area: reduce * filters * area,
    )


@multiplies_saved.misconception(
    "input size for output",
    "You count the k×k filters at every pixel of the input. Without enough padding, or with a stride, they have fewer "
    "places: (height + 2 · padding - kernel) // stride + 1 rows, and columns alike.",
)
def input_size(*args, **kwargs):
    return _counted(*args, **kwargs, fits=lambda size, kernel, stride, padding: size)


@multiplies_saved.misconception(
    "input size for output",
    "Your first number is right, but after the reduction you count the k×k filters at every pixel of the input. They "
    "have the same places as without the reduction: those of the output.",
)
def input_size_after_the_reduction(height, width, channels, reduce, filters, kernel, stride=1, padding=0):
    sizes = (height, width, channels, reduce, filters, kernel, stride, padding)
    return _counted(*sizes, large=lambda places, reduce, filters, area: height * width * reduce * filters * area)


@multiplies_saved.misconception(
    "input size for output",
    "Your second number is right, but in the first you count the k×k filters at every pixel of the input. They have "
    "the same places as after a reduction: those of the output.",
)
def input_size_without_reduction(height, width, channels, reduce, filters, kernel, stride=1, padding=0):
    sizes = (height, width, channels, reduce, filters, kernel, stride, padding)
    return _counted(*sizes, direct=lambda places, channels, filters, area: height * width * channels * filters * area)


@multiplies_saved.misconception(
    "output size for the reduction",
    "You count the 1×1 reduction at the places of the output. It comes before the k×k convolution and has stride 1 and "
    "no padding: it is computed at every pixel of the input, height · width.",
)
def reduction_at_the_output(*args, **kwargs):
    return _counted(*args, **kwargs, ones=lambda pixels, places, channels, reduce: places * channels * reduce)


@multiplies_saved.misconception(
    "reduction on the padding",
    "You count the 1×1 reduction on the padded image. The zeros are put around its *output*, for the k×k convolution: "
    "the reduction is computed at height · width pixels.",
)
def reduction_on_the_padding(height, width, channels, reduce, filters, kernel, stride=1, padding=0):
    pixels = (height + 2 * padding) * (width + 2 * padding)
    sizes = (height, width, channels, reduce, filters, kernel, stride, padding)
    return _counted(*sizes, ones=lambda *a: pixels * channels * reduce)


@multiplies_saved.misconception(
    "k instead of k²",
    "You count `kernel` multiplications for each channel. A kernel has rows and columns: `kernel**2`.",
)
def one_side_of_the_kernel(*args, **kwargs):
    return _counted(*args, **kwargs, area=lambda kernel: kernel)


@multiplies_saved.misconception(
    "channels forgotten",
    "Your k×k filters are flat. A filter reads all channels that come in: k · k · channels multiplications for each "
    "output number, and after the reduction k · k · reduce.",
)
def flat_filters(*args, **kwargs):
    return _counted(
        *args,
        **kwargs,
        direct=lambda places, channels, filters, area: places * filters * area,
        large=lambda places, reduce, filters, area: places * filters * area,
    )


@multiplies_saved.misconception(
    "channels forgotten",
    "Your 1×1 reduction costs one multiplication for each number it makes. It reads all channels: a 1×1 filter has "
    "`channels` weights.",
)
def flat_reduction(*args, **kwargs):
    return _counted(*args, **kwargs, ones=lambda pixels, places, channels, reduce: pixels * reduce)


@multiplies_saved.misconception(
    "filters forgotten",
    "You count one k×k filter. The layer has `filters` of them, and each is computed at every place.",
)
def one_filter(*args, **kwargs):
    return _counted(
        *args,
        **kwargs,
        direct=lambda places, channels, filters, area: places * channels * area,
        large=lambda places, reduce, filters, area: places * reduce * area,
    )


@multiplies_saved.misconception(
    "all channels after the reduction",
    "After the reduction your k×k filters still read all `channels`, so the reduction only adds to the bill. They read "
    "its output, which has `reduce` channels: that is the saving.",
)
def still_all_channels(height, width, channels, reduce, filters, kernel, stride=1, padding=0):
    sizes = (height, width, channels, reduce, filters, kernel, stride, padding)
    return _counted(*sizes, large=lambda places, reduce, filters, area: places * channels * filters * area)


@multiplies_saved.misconception(
    "costs multiplied",
    "You multiply the cost of the 1×1 by the cost of the k×k. The layers are computed one after the other: their costs "
    "are added.",
)
def costs_multiplied(*args, **kwargs):
    return _counted(*args, **kwargs, join=lambda ones, large: ones * large)


@multiplies_saved.misconception(
    "additions counted, too",
    "All your numbers are twice the right ones: you count additions as well. (That is how FLOPs are counted.) The task "
    "asks for the multiplications.",
)
def additions_counted(*args, **kwargs):
    return tuple(2 * count for count in _counted(*args, **kwargs))


@multiplies_saved.misconception(
    "biases counted",
    "You count one more for the bias of each output number. A bias is added, not multiplied.",
)
def biases_counted(*args, **kwargs):
    return _counted(
        *args,
        **kwargs,
        direct=lambda places, channels, filters, area: places * filters * (channels * area + 1),
        ones=lambda pixels, places, channels, reduce: pixels * reduce * (channels + 1),
        large=lambda places, reduce, filters, area: places * filters * (reduce * area + 1),
    )


@multiplies_saved.misconception(
    "reduction with the large kernel",
    "You count the reduction with a k×k kernel. It is 1×1: it looks at one pixel and mixes its channels.",
)
def large_reduction(height, width, channels, reduce, filters, kernel, stride=1, padding=0):
    sizes = (height, width, channels, reduce, filters, kernel, stride, padding)
    return _counted(*sizes, ones=lambda pixels, places, channels, reduce: pixels * channels * reduce * kernel**2)


@multiplies_saved.misconception(
    "padding on one side",
    "You add the padding once. It is added on both sides of the image: + 2 · padding.",
)
def padded_once(*args, **kwargs):
    fits = lambda size, kernel, stride, padding: (size + padding - kernel) // stride + 1
    return _counted(*args, **kwargs, fits=fits)


@multiplies_saved.misconception(
    "padding forgotten",
    "You leave out the padding: with it the k×k kernel has more places, (size + 2 · padding - kernel) // stride + 1 "
    "along each axis.",
)
def padding_forgotten(*args, **kwargs):
    return _counted(*args, **kwargs, fits=lambda size, kernel, stride, padding: (size - kernel) // stride + 1)


@multiplies_saved.misconception(
    "stride forgotten",
    "You leave out the stride: with it the k×k kernel has fewer places, (size + 2 · padding - kernel) // stride + 1 "
    "along each axis.",
)
def stride_forgotten(*args, **kwargs):
    return _counted(*args, **kwargs, fits=lambda size, kernel, stride, padding: size + 2 * padding - kernel + 1)


@multiplies_saved.misconception(
    "first place forgotten",
    "Your output is one row and one column too small: after the first place there are (size + 2 · padding - kernel) // "
    "stride more, so the + 1 is missing.",
)
def first_place_forgotten(*args, **kwargs):
    fits = lambda size, kernel, stride, padding: (size + 2 * padding - kernel) // stride
    return _counted(*args, **kwargs, fits=fits)


@multiplies_saved.misconception(
    "rounded up",
    "You round the number of places up. A place where the kernel would reach over the edge doesn't count: always down, "
    "`//`.",
)
def rounded_up(*args, **kwargs):
    fits = lambda size, kernel, stride, padding: -(-(size + 2 * padding - kernel) // stride) + 1
    return _counted(*args, **kwargs, fits=fits)


@multiplies_saved.misconception(
    "parts of a place",
    "You divide by the stride with `/` and so count parts of a place. A kernel fits or it doesn't: `//`.",
)
def not_rounded(*args, **kwargs):
    fits = lambda size, kernel, stride, padding: (size + 2 * padding - kernel) / stride + 1
    return _counted(*args, **kwargs, fits=fits)


@multiplies_saved.misconception(
    "square image",
    "You take height · height: as if the image were square. Rows come from the height, columns from the width.",
)
def square(height, width, *args, **kwargs):
    return _counted(height, height, *args, **kwargs)


@multiplies_saved.misconception(
    "sign reversed",
    "Your third number has the wrong sign. What is saved is the cost without the reduction minus the cost with it: "
    "`direct - reduced`.",
)
def sign_reversed(*args, **kwargs):
    return _counted(*args, **kwargs, saved=lambda direct, reduced: reduced - direct)


@multiplies_saved.misconception(
    "never a loss",
    "Your third number is never negative. But a reduction can cost more than it saves, as before a 1×1 convolution: "
    "then `direct - reduced` is negative, and that is the answer.",
)
def size_of_the_difference(*args, **kwargs):
    return _counted(*args, **kwargs, saved=lambda direct, reduced: abs(direct - reduced))


@multiplies_saved.misconception(
    "never a loss",
    "Your third number is 0 where the reduction costs more than it saves. Then `direct - reduced` is negative, and "
    "that is the answer: a loss.",
)
def loss_cut_off(*args, **kwargs):
    return _counted(*args, **kwargs, saved=lambda direct, reduced: max(direct - reduced, 0))


@multiplies_saved.misconception(
    "share instead of number",
    "Your third number is the share that is saved. The task asks how many multiplications are: `direct - reduced`.",
)
def share(*args, **kwargs):
    return _counted(*args, **kwargs, saved=lambda direct, reduced: 1 - reduced / direct)


@multiplies_saved.misconception(
    "share instead of number",
    "Your third number says how many times cheaper it gets. The task asks how many multiplications are saved: "
    "`direct - reduced`.",
)
def times_cheaper(*args, **kwargs):
    return _counted(*args, **kwargs, saved=lambda direct, reduced: direct / reduced)


# --- residual block -----------------------------------------------------------------------------------------


def _blocks(rng: np.random.Generator) -> list[Case]:
    def case(n, channels, height, width, filters, **kwargs):
        x1 = real(rng.normal(size=(n, channels, height, width)))
        first, second = _kernels(rng, filters, channels, 3), _kernels(rng, filters, filters, 3)
        bias1, bias2 = real(rng.normal(size=(2, filters)))
        project = (_kernels(rng, filters, channels, 1),) if kwargs else ()
        return Case(x1, first, bias1, second, bias2, *project, **kwargs)

    first = real([[0, 1, 0], [0, 1, -1], [2, 0, 0]])[None, None]
    second = real([[1, 0, 0], [0, -1, 2], [0, -1, 0]])[None, None]
    return [
        Case(real([[[[3, -2, 1], [-1, 2, 0]]]]), first, real([1]), second, real([-1])),
        case(2, 3, 5, 4, 3),
        case(2, 3, 6, 7, 3, stride=2),
        case(3, 2, 7, 5, 4, stride=2),
        case(2, 3, 4, 6, 4, stride=1),
    ]


def _shortcut(x1, project, stride):
    return x1 if project is None else conv2d(x1, project, stride=stride)


def _residual(
    x1, weight1, bias1, weight2, bias2, project=None, stride=1, *,
    between=relu,
    last=relu,
    shortcut=lambda x1, x2, project, stride: _shortcut(x1, project, stride),
    join=lambda y, shortcut: y + shortcut,
    strides=lambda stride: (stride, 1),
    padding=1,
):  # fmt: skip
    """The right block with one of its parts replaced."""
    at_first, at_second = strides(stride)
    x2 = between(conv2d(x1, weight1, bias1, stride=at_first, padding=padding))
    y = conv2d(x2, weight2, bias2, stride=at_second, padding=padding)
    return last(join(y, shortcut(x1, x2, project, stride)))


def _right_residual(x1, weight1, bias1, weight2, bias2, project=None, stride=1):
    return _residual(x1, weight1, bias1, weight2, bias2, project, stride)


residual_block = Task(
    name="06.residual_block",
    title="Residual block",
    difficulty=3,
    minutes=20,
    practises="where the shortcut starts, where it ends, and what it needs when the shape changes",
    reference=_right_residual,
    inputs=_blocks,
    hints=[
        "Without a projection the block is the formula: x2 is ReLU of the first convolution, then the second "
        "convolution of x2, plus x1, and only then the last ReLU. Both kernels are 3×3: which padding keeps the size?",
        "The stride belongs to the first convolution. Then x1 doesn't fit any more, so the shortcut gets a convolution "
        "of its own, 1×1, with the same stride: `zh.conv2d(x1, project, stride=stride)`.",
        "`x2 = zh.relu(zh.conv2d(x1, weight1, bias1, stride=stride, padding=1))`, "
        "`shortcut = x1 if project is None else zh.conv2d(x1, project, stride=stride)`, "
        "`return zh.relu(zh.conv2d(x2, weight2, bias2, padding=1) + shortcut)`.",
    ],
)


@residual_block.misconception(
    "ReLU before adding",
    "You apply the last ReLU before you add the shortcut: so nothing can ever be taken away from x1, and negative "
    "numbers of x1 come out. First add, then ReLU: ReLU(W2 x2 + b2 + x1).",
)
def relu_before_adding(*args, **kwargs):
    return _residual(*args, **kwargs, last=lambda y: y, join=lambda y, shortcut: relu(y) + shortcut)


@residual_block.misconception(
    "ReLU before adding",
    "You apply a ReLU before you add the shortcut, and another one afterwards. Because of the first, nothing can ever "
    "be taken away from x1. There is only the one after the sum: ReLU(W2 x2 + b2 + x1).",
)
def relu_before_and_after(*args, **kwargs):
    return _residual(*args, **kwargs, join=lambda y, shortcut: relu(y) + shortcut)


@residual_block.misconception(
    "no ReLU at the end",
    "Your block ends with the sum. A ReLU comes after it: x3 = ReLU(W2 x2 + b2 + x1).",
)
def no_last_relu(*args, **kwargs):
    return _residual(*args, **kwargs, last=lambda y: y)


@residual_block.misconception(
    "no ReLU between the convolutions",
    "There is no ReLU between your convolutions, and without one, two convolutions are no more than a larger one: "
    "x2 = ReLU(W1 x1 + b1).",
)
def no_relu_between(*args, **kwargs):
    return _residual(*args, **kwargs, between=lambda y: y)


@residual_block.misconception(
    "no projection at the stride",
    "Right while the shape stays. With a stride you add every second pixel of x1 itself, which only works where the "
    "channels stay, too. If `project` is given, the shortcut is `zh.conv2d(x1, project, stride=stride)`.",
)
def every_second_pixel(*args, **kwargs):
    shortcut = lambda x1, x2, project, stride: x1[:, :, ::stride, ::stride]
    return _residual(*args, **kwargs, shortcut=shortcut)


@residual_block.misconception(
    "no projection at the stride",
    "Right while the shape stays. With a stride you add every second pixel of x1 itself, which only works where the "
    "channels stay, too. If `project` is given, the shortcut is `zh.conv2d(x1, project, stride=stride)`.",
)
def every_second_pixel_in_front(*args, **kwargs):
    shortcut = lambda x1, x2, project, stride: x1[:, :, ::stride, ::stride]
    return _residual(*args, **kwargs, shortcut=shortcut, join=lambda y, shortcut: shortcut + y)


@residual_block.misconception(
    "no projection at the stride",
    "Right while the shape stays. With a stride or other channels x1 doesn't fit to the second convolution's output: "
    "if `project` is given, the shortcut is `zh.conv2d(x1, project, stride=stride)`.",
)
def x1_as_it_is(*args, **kwargs):
    return _residual(*args, **kwargs, shortcut=lambda x1, x2, project, stride: x1)


@residual_block.misconception(
    "no projection at the stride",
    "Right while the shape stays. With a stride or other channels x1 doesn't fit to the second convolution's output: "
    "if `project` is given, the shortcut is `zh.conv2d(x1, project, stride=stride)`.",
)
def x1_as_it_is_in_front(*args, **kwargs):
    join = lambda y, shortcut: shortcut + y
    return _residual(*args, **kwargs, shortcut=lambda x1, x2, project, stride: x1, join=join)


@residual_block.misconception(
    "projection only at a stride",
    "Right, except where the channels change and the stride is 1: there you add x1 as it is. Whether there is a "
    "projection is not told by the stride: ask `project is None`.",
)
def projected_only_at_a_stride(*args, **kwargs):
    shortcut = lambda x1, x2, project, stride: x1 if stride == 1 else _shortcut(x1, project, stride)
    return _residual(*args, **kwargs, shortcut=shortcut)


@residual_block.misconception(
    "projection only at a stride",
    "Right, except where the channels change and the stride is 1: there you add x1 as it is. Whether there is a "
    "projection is not told by the stride: ask `project is None`.",
)
def projected_only_at_a_stride_in_front(*args, **kwargs):
    shortcut = lambda x1, x2, project, stride: x1 if stride == 1 else _shortcut(x1, project, stride)
    return _residual(*args, **kwargs, shortcut=shortcut, join=lambda y, shortcut: shortcut + y)


@residual_block.misconception(
    "stride on one way only",
    "Of the two ways from x1 to the sum only one uses the stride, so one brings maps with fewer rows and columns than "
    "the other. Both take it: the first convolution, and the projection, `zh.conv2d(x1, project, stride=stride)`.",
)
def projected_without_stride(*args, **kwargs):
    shortcut = lambda x1, x2, project, stride: _shortcut(x1, project, 1)
    return _residual(*args, **kwargs, shortcut=shortcut)


@residual_block.misconception(
    "stride on one way only",
    "Of the two ways from x1 to the sum only one uses the stride, so one brings maps with fewer rows and columns than "
    "the other. Both take it: the first convolution, and the projection, `zh.conv2d(x1, project, stride=stride)`.",
)
def convolved_without_stride(*args, **kwargs):
    return _residual(*args, **kwargs, strides=lambda stride: (1, 1))


@residual_block.misconception(
    "shortcut from x2",
    "Your shortcut starts at x2, after the first convolution: it goes around one convolution only. It starts at the "
    "block's input, x1, and goes around both.",
)
def from_x2(*args, **kwargs):
    return _residual(*args, **kwargs, shortcut=lambda x1, x2, project, stride: x2)


@residual_block.misconception(
    "shortcut from x2",
    "With a projection your block is right. Without one the shortcut starts at x2, after the first convolution; it "
    "starts at the block's input, x1.",
)
def from_x2_without_projection(*args, **kwargs):
    shortcut = lambda x1, x2, project, stride: x2 if project is None else _shortcut(x1, project, stride)
    return _residual(*args, **kwargs, shortcut=shortcut)


@residual_block.misconception(
    "shortcut from x2",
    "Your shortcut, and with it the projection, starts at x2, after the first convolution. It starts at the block's "
    "input, x1, and goes around both convolutions.",
)
def projected_from_x2(*args, **kwargs):
    return _residual(*args, **kwargs, shortcut=lambda x1, x2, project, stride: _shortcut(x2, project, stride))


@residual_block.misconception(
    "no shortcut",
    "Your output is that of a plain block: nothing is added. A residual block adds x1 to the second convolution's "
    "output before the last ReLU.",
)
def no_shortcut(*args, **kwargs):
    return _residual(*args, **kwargs, join=lambda y, shortcut: y)


@residual_block.misconception(
    "ReLU on the shortcut",
    "You apply a ReLU to the shortcut before you add it. The shortcut carries x1 as it is (or its projection), so that "
    "nothing on this way stops a gradient.",
)
def relu_on_the_shortcut(*args, **kwargs):
    return _residual(*args, **kwargs, join=lambda y, shortcut: y + relu(shortcut))


@residual_block.misconception(
    "ReLU on the shortcut",
    "You apply a ReLU to the projection. The shortcut has none: nothing on this way shall stop a gradient. The only "
    "ReLU it passes is the last, after the sum.",
)
def relu_on_the_projection(*args, **kwargs):
    def shortcut(x1, x2, project, stride):
        return x1 if project is None else relu(_shortcut(x1, project, stride))

    return _residual(*args, **kwargs, shortcut=shortcut)


@residual_block.misconception(
    "shortcut subtracted",
    "You subtract the shortcut. It is added: what the two convolutions learn is what must be added to x1.",
)
def subtracted(*args, **kwargs):
    return _residual(*args, **kwargs, join=lambda y, shortcut: y - shortcut)


@residual_block.misconception(
    "shortcut subtracted",
    "You subtract the convolutions' output from the shortcut. It is added: ReLU(W2 x2 + b2 + x1).",
)
def subtracted_from_the_shortcut(*args, **kwargs):
    return _residual(*args, **kwargs, join=lambda y, shortcut: shortcut - y)


@residual_block.misconception(
    "shortcut multiplied",
    "You multiply by the shortcut. It is added: then the block is the identity as soon as its weights are 0 (for an x1 "
    "that is not negative).",
)
def multiplied(*args, **kwargs):
    return _residual(*args, **kwargs, join=lambda y, shortcut: y * shortcut)


@residual_block.misconception(
    "concatenated instead of added",
    "You lay the shortcut's maps behind the others, so that there are twice as many. That is what DenseNet does; a "
    "residual block adds them, number by number.",
)
def concatenated(*args, **kwargs):
    return _residual(*args, **kwargs, join=lambda y, shortcut: concat([y, shortcut], axis=1))


@residual_block.misconception(
    "concatenated instead of added",
    "You lay the shortcut's maps in front of the others, so that there are twice as many. That is what DenseNet does; "
    "a residual block adds them, number by number.",
)
def concatenated_in_front(*args, **kwargs):
    return _residual(*args, **kwargs, join=lambda y, shortcut: concat([shortcut, y], axis=1))


@residual_block.misconception(
    "stride at the second convolution",
    "Your shapes are right, but the stride is at the second convolution. It belongs to the first: the second then "
    "has only a quarter of the places to compute.",
)
def stride_at_the_second(*args, **kwargs):
    return _residual(*args, **kwargs, strides=lambda stride: (1, stride))


@residual_block.misconception(
    "stride at both convolutions",
    "Both your convolutions have the stride, so the maps shrink twice and the shortcut doesn't fit. Only the first "
    "convolution has it.",
)
def stride_at_both(*args, **kwargs):
    return _residual(*args, **kwargs, strides=lambda stride: (stride, stride))


@residual_block.misconception(
    "only the plain case",
    "Right where the shape stays, but you use neither `stride` nor `project`. The first convolution takes the stride; "
    "if `project` is given, the shortcut is `zh.conv2d(x1, project, stride=stride)`.",
)
def plain_case(x1, weight1, bias1, weight2, bias2, project=None, stride=1):
    return _residual(x1, weight1, bias1, weight2, bias2)


@residual_block.misconception(
    "only the plain case",
    "Right where the shape stays, but you use neither `stride` nor `project`. The first convolution takes the stride; "
    "if `project` is given, the shortcut is `zh.conv2d(x1, project, stride=stride)`.",
)
def plain_case_in_front(x1, weight1, bias1, weight2, bias2, project=None, stride=1):
    return _residual(x1, weight1, bias1, weight2, bias2, join=lambda y, shortcut: shortcut + y)


@residual_block.misconception(
    "stride ignored",
    "You don't use the stride at all: your maps are too large. The first convolution takes it, and the projection.",
)
def stride_ignored_everywhere(x1, weight1, bias1, weight2, bias2, project=None, stride=1):
    return _residual(x1, weight1, bias1, weight2, bias2, project, 1)


@residual_block.misconception(
    "padding forgotten",
    "Your 3×3 convolutions have no padding: the maps shrink (a kernel of 3 may not even fit), and the shortcut doesn't "
    "fit to them. `padding=1` at both keeps the size.",
)
def block_not_padded(*args, **kwargs):
    return _residual(*args, **kwargs, padding=0)


@residual_block.misconception(
    "bias forgotten",
    "Both biases are missing: `zh.conv2d(x1, weight1, bias1, ...)`.",
)
def no_biases(x1, weight1, bias1, weight2, bias2, project=None, stride=1):
    return _residual(x1, weight1, None, weight2, None, project, stride)


@residual_block.misconception(
    "bias forgotten",
    "The second bias is missing: W2 x2 + b2 + x1.",
)
def no_second_bias(x1, weight1, bias1, weight2, bias2, project=None, stride=1):
    return _residual(x1, weight1, bias1, weight2, None, project, stride)


@residual_block.misconception(
    "bias forgotten",
    "The first bias is missing: x2 = ReLU(W1 x1 + b1).",
)
def no_first_bias(x1, weight1, bias1, weight2, bias2, project=None, stride=1):
    return _residual(x1, weight1, None, weight2, bias2, project, stride)


# --- batch normalization ------------------------------------------------------------------------------------


def _batches(rng: np.random.Generator) -> list[Case]:
    def case(n, channels, height, width, training, **kwargs):
        middle, spread = rng.normal(size=(2, 1, channels, 1, 1))
        x = real(middle + (1 + abs(spread)) * rng.normal(size=(n, channels, height, width)))
        weight, bias, mean = real(rng.normal(size=(3, channels)))
        return Case(x, weight, bias, mean, real(rng.uniform(0.5, 3, channels)), training, **kwargs)

    x = real([[[[1, 3, 2]], [[2, -2, 0]]], [[[5, 7, 6]], [[4, 0, 2]]]])
    return [
        Case(x, real([1, 2]), real([0, 1]), real([0, 0]), real([1, 1]), True),
        Case(real([[[[5, 7, 1]], [[2, -2, 0]]]]), real([1, 3]), real([0, 1]), real([3, 0]), real([4, 1]), False),
        case(3, 2, 4, 5, True),
        case(2, 3, 5, 4, False),
        case(2, 4, 3, 5, True, momentum=0.3, eps=0.5),
        case(3, 4, 2, 5, False, momentum=0.3, eps=0.5),
    ]


PER_CHANNEL = (0, 2, 3)


def _biased(x, mean, axes):
    return x.var(axes, keepdims=True)


def _updated(running, new, momentum):
    return (1 - momentum) * running + momentum * new


def _lined_up(values):
    return values.reshape(1, -1, 1, 1)


def _normalised(
    x, weight, bias, running_mean, running_var, training, momentum=0.1, eps=1e-5, *,
    axes=PER_CHANNEL,
    variance=_biased,  # what a training batch is divided by
    batch=lambda training: training,  # whether it normalises with the batch
    update=lambda training: training,  # whether the running numbers change
    kept_axes=PER_CHANNEL,
    unbiased=lambda n, images: n / (n - 1),
    keep=_updated,
    kept=lambda variance: variance,
    root=lambda variance, eps: np.sqrt(variance + eps),
    scale=lambda y, weight, bias: _lined_up(weight) * y + _lined_up(bias),
    subtract=lambda x, mean: x - mean,
):  # fmt: skip
    """Right batch normalization with one of its parts replaced."""
    mean, divisor = _lined_up(running_mean), _lined_up(running_var)
    if batch(training):
        mean = x.mean(axes, keepdims=True)
        divisor = variance(x, mean, axes)
    y = scale(subtract(x, mean) / root(divisor, eps), weight, bias)
    if update(training):
        n = x.size // x.shape[1]
        running_mean = keep(running_mean, x.mean(kept_axes), momentum)
        running_var = keep(running_var, kept(x.var(kept_axes) * unbiased(n, len(x))), momentum)
    return y, running_mean, running_var


def _library_batch_norm(x, weight, bias, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    mean, variance = running_mean.copy(), running_var.copy()  # the library changes them in place
    y = library_batch_norm(x, weight, bias, mean, variance, training=training, momentum=momentum, eps=eps)
    return y, mean, variance


batch_norm = Task(
    name="06.batch_norm",
    title="Batch norm, both modes",
    difficulty=4,
    minutes=30,
    practises="which numbers share a mean, and what training leaves behind for the test",
    reference=_library_batch_norm,
    inputs=_batches,
    returns=("y", "running_mean", "running_var"),
    hints=[
        "One mean and one variance for each channel: over which three axes of (N, C, H, W) do you take them? Arrays of "
        "shape (C,) meet x as (1, C, 1, 1): `weight.reshape(1, -1, 1, 1)`.",
        "Training: normalise with `x.mean(axis=(0, 2, 3))` and `x.var(axis=(0, 2, 3))`; the running numbers move by "
        "the share `momentum` towards those of the batch, the running variance towards the unbiased one, n / (n - 1) "
        "times as large. Test: normalise with the running numbers and return them as they came.",
        "In training: `n = x.size // x.shape[1]`, "
        "`running_mean = (1 - momentum) * running_mean + momentum * mean`, "
        "`running_var = (1 - momentum) * running_var + momentum * var * n / (n - 1)`. In both modes: subtract the mean "
        "and divide by `np.sqrt(var + eps)`, both reshaped to (1, C, 1, 1), then times weight plus bias.",
    ],
)


@batch_norm.misconception(
    "batch statistics at test",
    "In test mode you normalise with the mean and variance of the batch at hand. Then an image's answer depends on the "
    "others beside it, and one alone loses its brightness. With `training=False` use `running_mean` and `running_var`.",
)
def batch_at_test(*args, **kwargs):
    return _normalised(*args, **kwargs, batch=lambda training: True)


@batch_norm.misconception(
    "batch statistics at test",
    "In test mode you do all that training does: normalise with the batch, and change the running numbers. With "
    "`training=False` use `running_mean` and `running_var`, and return them as they came.",
)
def training_always(*args, **kwargs):
    return _normalised(*args, **kwargs, batch=lambda training: True, update=lambda training: True)


@batch_norm.misconception(
    "running statistics in training",
    "In training you normalise with the running numbers. They are for the test; in training each batch is normalised "
    "with its own mean and variance.",
)
def running_in_training(*args, **kwargs):
    return _normalised(*args, **kwargs, batch=lambda training: False)


@batch_norm.misconception(
    "running statistics in training",
    "In training you change the running numbers first and then normalise with them. They are for the test; in training "
    "each batch is normalised with its own mean and variance.",
)
def running_first(x, weight, bias, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    rest = (training, momentum, eps)
    _, mean, variance = _normalised(x, weight, bias, running_mean, running_var, *rest)
    y, _, _ = _normalised(x, weight, bias, mean, variance, False, momentum, eps)
    return y, mean, variance


@batch_norm.misconception(
    "modes exchanged",
    "You exchanged the two modes: with `training=True` you normalise with the running numbers, with `training=False` "
    "with the batch.",
)
def modes_exchanged(*args, **kwargs):
    return _normalised(*args, **kwargs, batch=lambda training: not training, update=lambda training: not training)


@batch_norm.misconception(
    "modes exchanged",
    "You exchanged what the two modes normalise with: the batch's own mean and variance belong to `training=True`.",
)
def modes_exchanged_in_y(*args, **kwargs):
    return _normalised(*args, **kwargs, batch=lambda training: not training)


@batch_norm.misconception(
    "per-sample axes",
    "In training you give each image, in each channel, a mean of its own (axes 2 and 3). That is instance "
    "normalization. *Batch* normalization shares one mean per channel among all images: `axis=(0, 2, 3)`.",
)
def per_image_and_channel(*args, **kwargs):
    return _normalised(*args, **kwargs, axes=(2, 3))


@batch_norm.misconception(
    "per-sample axes",
    "In training you give each image one mean over all its channels (axes 1, 2 and 3). That is layer normalization. "
    "*Batch* normalization has one mean per channel, shared by all images: `axis=(0, 2, 3)`.",
)
def per_image(*args, **kwargs):
    return _normalised(*args, **kwargs, axes=(1, 2, 3))


@batch_norm.misconception(
    "one mean for each pixel",
    "In training you take the mean over the images only (axis 0): each pixel has its own. A channel is the same filter "
    "at every place, so its places share one mean: `axis=(0, 2, 3)`.",
)
def per_pixel(*args, **kwargs):
    return _normalised(*args, **kwargs, axes=(0,))


@batch_norm.misconception(
    "one mean for everything",
    "In training you take one mean and one variance over all numbers of x. Each channel has its own: `axis=(0, 2, 3)`.",
)
def one_mean(*args, **kwargs):
    return _normalised(*args, **kwargs, axes=None)


@batch_norm.misconception(
    "N-1 when normalising",
    "In training you divide by the root of the *unbiased* variance, the sum of squares over n - 1. What normalises is "
    "the batch's own variance, over n (`x.var` as it is), so that y has variance 1; only the running variance takes n "
    "- 1.",
)
def unbiased_when_normalising(*args, **kwargs):
    return _normalised(*args, **kwargs, variance=lambda x, mean, axes: x.var(axes, keepdims=True, ddof=1))


@batch_norm.misconception(
    "N-1 when normalising",
    "You exchanged the two variances: what normalises is the one over n (`x.var` as it is); the running variance takes "
    "the unbiased one, over n - 1.",
)
def variances_exchanged(*args, **kwargs):
    variance = lambda x, mean, axes: x.var(axes, keepdims=True, ddof=1)
    return _normalised(*args, **kwargs, variance=variance, unbiased=lambda n, images: 1)


@batch_norm.misconception(
    "running variance over n",
    "All is right but the running variance: it takes the batch's variance over n. A few numbers lie closer to their "
    "own mean than to the true one; n / (n - 1) times as large makes up for it.",
)
def biased_running_variance(*args, **kwargs):
    return _normalised(*args, **kwargs, unbiased=lambda n, images: 1)


@batch_norm.misconception(
    "n counts the images",
    "All is right but the running variance: your n is the number of images. A channel's mean is over images, rows and "
    "columns: n = N · H · W, `x.size // x.shape[1]`.",
)
def n_counts_images(*args, **kwargs):
    return _normalised(*args, **kwargs, unbiased=lambda n, images: images / (images - 1) if images > 1 else np.inf)


@batch_norm.misconception(
    "n counts all numbers",
    "All is right but the running variance: your n is `x.size`, the numbers of all channels. One channel has N · H · W "
    "of them, `x.size // x.shape[1]`.",
)
def n_counts_all_channels(x, *args, **kwargs):
    return _normalised(x, *args, **kwargs, unbiased=lambda n, images: x.size / (x.size - 1))


@batch_norm.misconception(
    "momentum reversed",
    "Your running numbers keep the share `momentum` and take the rest from the batch. It is the other way round here, "
    "as in PyTorch: (1 - momentum) · old + momentum · new, so that 0.1 means slow.",
)
def momentum_reversed(*args, **kwargs):
    return _normalised(*args, **kwargs, keep=lambda running, new, momentum: _updated(running, new, 1 - momentum))


@batch_norm.misconception(
    "running numbers replaced",
    "Your running numbers are those of the last batch: all batches before it are forgotten. They move by the share "
    "`momentum`: (1 - momentum) · old + momentum · new.",
)
def replaced(*args, **kwargs):
    return _normalised(*args, **kwargs, keep=lambda running, new, momentum: new)


@batch_norm.misconception(
    "running numbers summed up",
    "You add momentum · new to the running numbers, so they grow without end. The old ones lose the same share: "
    "(1 - momentum) · old + momentum · new.",
)
def summed_up(*args, **kwargs):
    return _normalised(*args, **kwargs, keep=lambda running, new, momentum: running + momentum * new)


@batch_norm.misconception(
    "running numbers not updated",
    "Your y is right, but training leaves nothing behind: the running numbers stay as they were. After each batch they "
    "become (1 - momentum) · old + momentum · new.",
)
def not_updated(*args, **kwargs):
    return _normalised(*args, **kwargs, update=lambda training: False)


@batch_norm.misconception(
    "running numbers updated at test",
    "Your y is right, but the running numbers change in test mode, too. A test must leave the network as it is: with "
    "`training=False` return them as they came.",
)
def updated_at_test(*args, **kwargs):
    unbiased = lambda n, images: n / (n - 1)
    return _normalised(*args, **kwargs, update=lambda training: True, unbiased=unbiased)


@batch_norm.misconception(
    "no square root",
    "You divide by the variance. Dividing by its root, the standard deviation, gives variance 1: `np.sqrt(var + eps)`.",
)
def no_root(*args, **kwargs):
    return _normalised(*args, **kwargs, root=lambda variance, eps: variance + eps)


@batch_norm.misconception(
    "ε outside the root",
    "You add `eps` after the root. It belongs to the variance, under the root: `np.sqrt(var + eps)`.",
)
def eps_outside(*args, **kwargs):
    return _normalised(*args, **kwargs, root=lambda variance, eps: np.sqrt(variance) + eps)


@batch_norm.misconception(
    "ε forgotten",
    "You leave out `eps`. It keeps a channel whose numbers are all equal from a division by 0: `np.sqrt(var + eps)`.",
)
def eps_forgotten(*args, **kwargs):
    return _normalised(*args, **kwargs, root=lambda variance, eps: np.sqrt(variance))


@batch_norm.misconception(
    "standard deviation kept",
    "Your running variance is fed with standard deviations. Keep variances; the root is taken when you normalise.",
)
def deviation_kept(*args, **kwargs):
    return _normalised(*args, **kwargs, kept=np.sqrt)


@batch_norm.misconception(
    "variance about 0",
    "You divide by the root of the mean square of x: the mean isn't subtracted there. The variance is the mean square "
    "of x - mean.",
)
def about_zero(*args, **kwargs):
    return _normalised(*args, **kwargs, variance=lambda x, mean, axes: (x * x).mean(axes, keepdims=True))


@batch_norm.misconception(
    "mean not subtracted",
    "You divide by the standard deviation, but you don't subtract the mean before.",
)
def mean_not_subtracted(*args, **kwargs):
    return _normalised(*args, **kwargs, subtract=lambda x, mean: x)


@batch_norm.misconception(
    "weight and bias forgotten",
    "You return the normalised numbers. The learned scale and shift of each channel come after: times `weight`, plus "
    "`bias`.",
)
def not_scaled(*args, **kwargs):
    return _normalised(*args, **kwargs, scale=lambda y, weight, bias: y)


@batch_norm.misconception(
    "weight and bias forgotten",
    "The bias is missing: times `weight`, plus `bias`.",
)
def not_shifted(*args, **kwargs):
    return _normalised(*args, **kwargs, scale=lambda y, weight, bias: _lined_up(weight) * y)


@batch_norm.misconception(
    "shifted before it is scaled",
    "You add the bias first and then multiply by the weight. It is the other way round: weight · normalised + bias.",
)
def shifted_first(*args, **kwargs):
    return _normalised(*args, **kwargs, scale=lambda y, weight, bias: _lined_up(weight) * (y + _lined_up(bias)))


CHANNELS_NOT_LINED_UP = (
    "An array of shape (C,) meets the *last* axis of x (N, C, H, W), the columns, and doesn't fit. Give it the shape "
    "(1, C, 1, 1), so that it meets the channels, `.reshape(1, -1, 1, 1)`: mean and variance, weight and bias."
)


@batch_norm.misconception("channels not lined up", CHANNELS_NOT_LINED_UP)
def mean_not_lined_up(x, weight, bias, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    mean, variance = (x.mean(PER_CHANNEL), x.var(PER_CHANNEL)) if training else (running_mean, running_var)
    y = (x - mean) / np.sqrt(variance + eps)
    return _normalised(x, weight, bias, running_mean, running_var, training, momentum, eps, scale=lambda *a: y)


@batch_norm.misconception("channels not lined up", CHANNELS_NOT_LINED_UP)
def weight_not_lined_up(*args, **kwargs):
    return _normalised(*args, **kwargs, scale=lambda y, weight, bias: weight * y + bias)


# --- dense block --------------------------------------------------------------------------------------------


def _stacks(rng: np.random.Generator) -> list[Case]:
    def case(n, channels, height, width, growth, layers):
        weights = [_kernels(rng, growth, channels + i * growth, 3) for i in range(layers)]
        return Case(real(rng.normal(size=(n, channels, height, width))), weights)

    kernel = real([[0, 1, 0], [2, 1, -1], [0, 0, -3]])[None, None]
    return [
        Case(real([[[[3, -2, 1], [-1, 2, 0]]]]), [kernel]),
        case(2, 3, 4, 5, 3, 1),
        case(2, 3, 5, 4, 2, 2),
        case(3, 2, 4, 6, 2, 3),
        case(2, 4, 3, 5, 1, 4),
    ]


def _layer(maps, weight):
    return conv2d(relu(maps), weight, padding=1)


def _dense(x, weights, *, layer=_layer, axis=1, concat=concat, join=None):
    """The right block with one of its parts replaced; `join` stands in for concat."""
    maps = x
    for weight in weights:
        new = layer(maps, weight)
        maps = join(maps, new) if join else concat([maps, new], axis=axis)
    return maps


dense_block = Task(
    name="06.dense_block",
    title="Dense block",
    difficulty=3,
    minutes=20,
    practises="letting every layer read all maps before it, and putting its own behind them",
    reference=lambda x, weights: _dense(x, weights),
    inputs=_stacks,
    hints=[
        "Keep one array, `maps`, that grows. At the start it is x. Each layer reads all of it and makes a few new maps "
        "of the same H and W.",
        "One layer: `new = zh.conv2d(zh.relu(maps), weight, padding=1)`. The new maps go behind the old ones along the "
        "channels, axis 1; nothing is added up.",
        "In the loop over `weights`: `new = zh.conv2d(zh.relu(maps), weight, padding=1)`, then "
        "`maps = zh.concat([maps, new], axis=1)`. After it: `return maps`.",
    ],
)


@dense_block.misconception(
    "maps added",
    "You add the new maps to the old ones, as a residual block does. A dense block keeps both: the new maps are laid "
    "behind the old ones, `zh.concat([maps, new], axis=1)`.",
)
def added(x, weights):
    return _dense(x, weights, join=lambda maps, new: maps + new)


@dense_block.misconception(
    "maps added",
    "You add the new maps to the old ones, as a residual block does. A dense block keeps both: the new maps are laid "
    "behind the old ones, `zh.concat([maps, new], axis=1)`.",
)
def added_in_front(x, weights):
    return _dense(x, weights, join=lambda maps, new: new + maps)


@dense_block.misconception(
    "last layer only",
    "Your layers read only what the layer just before them made. In a dense block each reads x and the new maps of "
    "*all* layers before it: its weights have that many channels.",
)
def reads_the_last_layer(x, weights):
    features = [x]
    for weight in weights:
        features.append(_layer(features[-1], weight))
    return concat(features, axis=1)


@dense_block.misconception(
    "last layer only",
    "Your output, and what each of your layers reads, is only what the layer just before made: a plain stack of "
    "layers. A dense block keeps all maps: `maps = zh.concat([maps, new], axis=1)`.",
)
def plain_stack(x, weights):
    return _dense(x, weights, join=lambda maps, new: new)


@dense_block.misconception(
    "x only",
    "All your layers read x only. Each reads x *and* the new maps of all layers before it: its weights have that many "
    "channels.",
)
def reads_x_only(x, weights):
    return concat([x, *(_layer(x, weight) for weight in weights)], axis=1)


@dense_block.misconception(
    "growth counted twice",
    "Your new maps are in the output twice. Each layer adds `growth` maps, once: `zh.concat([maps, new], axis=1)`, "
    "where `new` holds the new maps only.",
)
def new_maps_twice(x, weights):
    return _dense(x, weights, join=lambda maps, new: concat([maps, new, new], axis=1))


@dense_block.misconception(
    "growth counted twice",
    "You join the old maps to the new ones, and then to the old ones again: everything before is there twice. Each "
    "layer adds only its `growth` new maps.",
)
def old_maps_twice(x, weights):
    return _dense(x, weights, join=lambda maps, new: concat([maps, concat([maps, new], axis=1)], axis=1))


@dense_block.misconception(
    "only the new maps",
    "Your layers are right, but x is missing in the output. A dense block hands on its input, too: x, then the new "
    "maps of all layers.",
)
def without_x(x, weights):
    return _dense(x, weights)[:, x.shape[1] :]


@dense_block.misconception(
    "only the new maps",
    "Your layers are right, but you return the last one's maps. A dense block hands on everything: x, then the new "
    "maps of all layers.",
)
def last_maps(x, weights):
    return _dense(x, weights)[:, -len(weights[-1]) :]


@dense_block.misconception(
    "last layer not joined",
    "The new maps of the last layer are missing in your output: you return what it *reads*.",
)
def last_not_joined(x, weights):
    return _dense(x, weights[:-1])


@dense_block.misconception(
    "stops after the first layer",
    "Your block ends after its first layer. A `return` inside the loop ends it at once: it belongs after the loop.",
)
def first_layer(x, weights):
    return _dense(x, weights[:1])


@dense_block.misconception(
    "new maps in front",
    "Your new maps are laid in front of the old ones. The next layer's weights count on the order x, first layer's "
    "maps, second layer's maps, ...: the new ones go behind.",
)
def new_in_front(x, weights):
    return _dense(x, weights, join=lambda maps, new: concat([new, maps], axis=1))


@dense_block.misconception(
    "concatenated along the wrong axis",
    "You join the maps along axis 0, which counts the images. (That is also what you get without naming an axis.) Maps "
    "are joined along the channels, axis 1 of (N, C, H, W).",
)
def along_axis_0(x, weights, concat=concat):
    return _dense(x, weights, axis=0, concat=concat)


@dense_block.misconception(
    "concatenated along the wrong axis",
    "You join the maps along axis 2, the rows: one picture below the other. Maps are joined along the channels, axis 1 "
    "of (N, C, H, W).",
)
def along_axis_2(x, weights, concat=concat):
    return _dense(x, weights, axis=2, concat=concat)


@dense_block.misconception(
    "concatenated along the wrong axis",
    "You join the maps along the last axis, the columns: one picture beside the other. Maps are joined along the "
    "channels, axis 1 of (N, C, H, W).",
)
def along_the_last_axis(x, weights, concat=concat):
    return _dense(x, weights, axis=3, concat=concat)


@dense_block.misconception(
    "no ReLU",
    "There is no ReLU in your layers: however many you stack, they are no more than one convolution. Each layer is the "
    "ReLU of the maps, then the convolution.",
)
def layers_without_relu(x, weights):
    return _dense(x, weights, layer=lambda maps, weight: conv2d(maps, weight, padding=1))


@dense_block.misconception(
    "ReLU after the convolution",
    "You apply the ReLU after the convolution. In DenseNet it comes before: a layer is ReLU, then convolution.",
)
def relu_after(x, weights):
    return _dense(x, weights, layer=lambda maps, weight: relu(conv2d(maps, weight, padding=1)))


@dense_block.misconception(
    "ReLU after the convolution",
    "You apply a ReLU before the convolution and another after it. In DenseNet there is only the one before; the new "
    "maps are handed on with their negative numbers.",
)
def relu_before_and_after_the_convolution(x, weights):
    return _dense(x, weights, layer=lambda maps, weight: relu(_layer(maps, weight)))


@dense_block.misconception(
    "ReLU on what is handed on",
    "You hand on the maps after the ReLU, their negative numbers cut off. The ReLU is part of the layer that reads "
    "them; what is handed on, and laid beside the new maps, are the maps as they were.",
)
def relu_handed_on(x, weights):
    return _dense(x, weights, join=lambda maps, new: concat([relu(maps), new], axis=1))


@dense_block.misconception(
    "ReLU on what is handed on",
    "Your layers are right, but you apply one more ReLU at the end. A dense block hands on its maps with their "
    "negative numbers; whoever reads them applies a ReLU.",
)
def relu_at_the_end(x, weights):
    return relu(_dense(x, weights))


@dense_block.misconception(
    "ReLU on what is handed on",
    "You apply a ReLU to the joined maps after each layer, and none before the first. Each layer applies it to what "
    "it reads; what is handed on are the maps as they were, with their negative numbers.",
)
def relu_after_joining(x, weights):
    convolve = lambda maps, weight: conv2d(maps, weight, padding=1)
    return _dense(x, weights, layer=convolve, join=lambda maps, new: relu(concat([maps, new], axis=1)))


@dense_block.misconception(
    "padding forgotten",
    "Your convolutions have no padding: the new maps are smaller than the old ones (a kernel of 3 may not even fit) "
    "and can't be laid behind them. `padding=1` keeps the size.",
)
def not_padded_layers(x, weights, concat=concat):
    return _dense(x, weights, layer=lambda maps, weight: conv2d(relu(maps), weight), concat=concat)


_also_with_numpy(dense_block, along_axis_0, along_axis_2, along_the_last_axis, not_padded_layers)


TASKS = (inception, multiplies_saved, residual_block, batch_norm, dense_block)
