"""The tasks of exercise 01, Convolution. How answers are run and compared is not known here."""

from __future__ import annotations

import math

import numpy as np

from zerohero.checks.definition import Case, Task
from zerohero.ops.convolution import conv2d


def real(values):
    """An array of real numbers, in the library's precision."""
    return np.array(values, np.float32)


SLIDE_IMAGE = real(
    [
        [3, 2, 2, 5, 5, 3],
        [3, 1, 1, 2, 6, 2],
        [1, 4, 3, 3, 1, 4],
        [2, 2, 3, 7, 0, 1],
        [6, 0, 4, 0, 3, 4],
        [2, 1, 3, 4, 4, 0],
    ]
)
SLIDE_KERNEL = real([[1, 0, -2], [1, 1, 0], [0, -1, 1]])

# --- one position of the window -----------------------------------------------------------------------------


def _positions(rng: np.random.Generator) -> list[Case]:
    image = real([[1, 2, 3, 4], [5, 6, 7, 8], [9, 8, 7, 5]])
    kernel = real([[1, -2], [3, 4]])
    return [
        Case(image, kernel, 0, 0),
        Case(image, kernel, 1, 2),
        Case(real(rng.integers(-3, 8, size=(6, 6))), SLIDE_KERNEL, 0, 2),
        Case(real(rng.normal(size=(5, 8))), real(rng.normal(size=(2, 3))), 3, 1),
    ]


one_position = Task(
    name="01.one_position",
    title="One window, one number",
    difficulty=1,
    minutes=5,
    practises="cutting a window out of an image, and the sum of products",
    reference=lambda image, kernel, row, column: conv2d(image, kernel)[row, column],
    inputs=_positions,
    hints=[
        "The window starts at `row`, `column` and is as large as the kernel: `image[row:row + kh, ...]`.",
        "`window * kernel` multiplies number by number, each with the one in the same place. What is left is the sum.",
        "`kh, kw = kernel.shape`, then `window = image[row:row + kh, column:column + kw]`, "
        "then return the sum of `window * kernel`.",
    ],
)


def _window(image, kernel, row, column):
    kh, kw = kernel.shape
    return image[row : row + kh, column : column + kw]


@one_position.misconception(
    "window not multiplied",
    "Your number is the sum of the window alone: each number of the window is multiplied by the kernel's number in the "
    "same place before the sum.",
)
def window_alone(image, kernel, row, column):
    return _window(image, kernel, row, column).sum()


@one_position.misconception(
    "mean",
    "Your number is the mean of the products. A convolution adds them up and doesn't divide.",
)
def mean_of_products(image, kernel, row, column):
    return (_window(image, kernel, row, column) * kernel).mean()


@one_position.misconception(
    "products not added",
    "You return the products, one for each place of the kernel. One position of the window gives one number: their "
    "sum.",
)
def products(image, kernel, row, column):
    return _window(image, kernel, row, column) * kernel


@one_position.misconception(
    "matrix product",
    "Your number is the sum of a matrix product (`@` or `dot`), which combines rows with columns. Here each number of "
    "the window meets only the kernel's number in the same place: use `*`.",
)
def matrix_product(image, kernel, row, column):
    return (_window(image, kernel, row, column) @ kernel).sum()


@one_position.misconception(
    "flipped kernel",
    "Your number equals what a flipped kernel gives (turned by 180 degrees). That is the convolution of mathematics; "
    "the slide, and every deep-learning library, doesn't flip: its operation is cross-correlation.",
)
def flipped_at_one_position(image, kernel, row, column):
    return (_window(image, kernel, row, column) * kernel[::-1, ::-1]).sum()


@one_position.misconception(
    "window ends at the kernel's size",
    "Your slice ends at `kh` and `kw`, wherever it starts. The end of a slice is a position, not a length: the "
    "window in "
    "rows `row` to `row + kh`.",
)
def slice_to_the_kernels_size(image, kernel, row, column):
    kh, kw = kernel.shape
    return (image[row:kh, column:kw] * kernel).sum()


@one_position.misconception(
    "rows and columns swapped",
    "Your window starts at row `column` and column `row`. The first index of an array counts rows, from the top; the "
    "second counts columns, from the left.",
)
def start_swapped(image, kernel, row, column):
    return (_window(image, kernel, column, row) * kernel).sum()


@one_position.misconception(
    "rows and columns swapped",
    "Your number is right for the kernel with rows and columns exchanged: the number in row u, column v of the kernel "
    "belongs to row u, column v of the window.",
)
def kernel_transposed_at_one_position(image, kernel, row, column):
    return (_window(image, kernel, row, column) * kernel.T).sum()


# --- slide over the image -----------------------------------------------------------------------------------


def _images_and_kernels(rng: np.random.Generator) -> list[Case]:
    pixels = rng.integers(0, 256, size=(4, 5)).astype(np.uint8)
    return [
        Case(real([[1, 2, 3], [4, 5, 6], [7, 8, 8]]), real([[1, -2], [3, 4]])),
        Case(real(rng.integers(-3, 8, size=(4, 6))), real([[1, 0], [-2, 1], [3, 1]])),
        Case(SLIDE_IMAGE, SLIDE_KERNEL),
        Case(real(rng.normal(size=(3, 5))), real(rng.normal(size=(1, 1)))),
        Case(real(rng.normal(size=(2, 4))), real(rng.normal(size=(2, 4)))),
        Case(pixels, real([[0.5, 0.125], [0.25, 0]])),
        Case(real(rng.normal(size=(9, 7))), real(rng.normal(size=(2, 3)))),
    ]


slide_by_loops = Task(
    name="01.slide_by_loops",
    title="Slide a kernel over an image",
    difficulty=2,
    minutes=15,
    practises="two loops over positions, and how many positions there are",
    reference=lambda image, kernel: conv2d(image, kernel),
    inputs=_images_and_kernels,
    hints=[
        "How often does a kernel with 3 rows fit into an image with 6 rows? Try it with paper: it can start in row "
        "0, 1, 2 or 3.",
        "A kernel of `kh` rows fits `H - kh + 1` times. Make the output first, `np.zeros((H - kh + 1, W - kw + 1))`, "
        "then "
        "fill it with two loops.",
        "Inside the loops over `i` and `j`: `window = image[i:i + kh, j:j + kw]`, then "
        "`output[i, j] = np.sum(window * kernel)`.",
    ],
)


def _slide(image, kernel, step=lambda window, kernel: (window * kernel).sum(), dtype=np.float64):
    """The right loops, with another rule for one position or another type of output."""
    (height, width), (kh, kw) = image.shape, kernel.shape
    output = np.zeros((height - kh + 1, width - kw + 1), dtype)
    for i in range(height - kh + 1):
        for j in range(width - kw + 1):
            output[i, j] = step(image[i : i + kh, j : j + kw], kernel)
    return output


@slide_by_loops.misconception(
    "flipped kernel",
    "Your output equals what a flipped kernel gives (turned by 180 degrees). That is the convolution of mathematics; "
    "the slide's operation, and every deep-learning library's, is cross-correlation: the kernel is not flipped.",
)
def flipped(image, kernel):
    return conv2d(image, kernel[::-1, ::-1])


@slide_by_loops.misconception(
    "last row and column missing",
    "Your loops stop one position early: H - kh is the last position, and range(n) ends before n. There are H - kh + 1 "
    "positions, since the first one is 0.",
)
def one_too_few(image, kernel):
    return conv2d(image, kernel)[:-1, :-1]


@slide_by_loops.misconception(
    "last row and column missing",
    "The last row and the last column of your output stay 0: the loops stop one position early. H - kh is the last "
    "position, and range(n) ends before n, so write range(H - kh + 1).",
)
def one_too_few_in_full_output(image, kernel):
    output = conv2d(image, kernel)
    output[-1], output[:, -1] = 0, 0
    return output


@slide_by_loops.misconception(
    "last row missing",
    "The last row of your output stays 0: the loop over rows stops one position early. H - kh is the last position, "
    "and "
    "range(n) ends before n, so write range(H - kh + 1).",
)
def last_row_missing(image, kernel):
    output = conv2d(image, kernel)
    output[-1] = 0
    return output


@slide_by_loops.misconception(
    "last column missing",
    "The last column of your output stays 0: the loop over columns stops one position early. W - kw is the last "
    "position, "
    "and range(n) ends before n, so write range(W - kw + 1).",
)
def last_column_missing(image, kernel):
    output = conv2d(image, kernel)
    output[:, -1] = 0
    return output


def _loops_too_long(image, kernel, too_many_rows):
    """Loops that go one position too far, into an output with or without room for it."""
    (height, width), (kh, kw) = image.shape, kernel.shape
    output = np.zeros((height - kh + 1 + too_many_rows, width - kw + 1 + too_many_rows))
    for i in range(height - kh + 2):
        for j in range(width - kw + 2):
            output[i, j] = np.sum(image[i : i + kh, j : j + kw] * kernel)  # ValueError when the window is cut
    return output


TOO_FAR = (
    "Your loops go one position too far, where the kernel sticks out of the image. The last row in which kh rows can "
    "start is H - kh, so write range(H - kh + 1)."
)


@slide_by_loops.misconception("one position too many", TOO_FAR)
def one_too_many_windows(image, kernel):
    return _loops_too_long(image, kernel, 0)


@slide_by_loops.misconception("one position too many", TOO_FAR)
def one_too_many_windows_with_room(image, kernel):
    return _loops_too_long(image, kernel, 1)


@slide_by_loops.misconception(
    "window ends at the kernel's size",
    "Your slice ends at `kh` and `kw`, wherever it starts. The end of a slice is a position, not a length: "
    "`image[i:i + kh, j:j + kw]`.",
)
def slices_to_the_kernels_size(image, kernel):
    (height, width), (kh, kw) = image.shape, kernel.shape
    output = np.zeros((height - kh + 1, width - kw + 1))
    for i in range(height - kh + 1):
        for j in range(width - kw + 1):
            output[i, j] = np.sum(image[i:kh, j:kw] * kernel)
    return output


@slide_by_loops.misconception("one position too many", TOO_FAR)
def one_too_many(image, kernel):
    (height, width), (kh, kw) = image.shape, kernel.shape
    output = np.zeros((height - kh + 2, width - kw + 2))
    for i in range(height - kh + 2):
        for j in range(width - kw + 2):
            for u in range(kh):
                for v in range(kw):
                    output[i, j] += image[i + u, j + v] * kernel[u, v]  # IndexError in the last row
    return output


@slide_by_loops.misconception(
    "one position too many",
    "Your loops go over every pixel, also where the kernel sticks out of the image. The last row in which kh rows can "
    "start is H - kh, so write range(H - kh + 1).",
)
def window_cut_short(image, kernel):
    (height, width), (kh, kw) = image.shape, kernel.shape
    output = np.zeros((height, width))
    for i in range(height):
        for j in range(width):
            output[i, j] = np.sum(image[i : i + kh, j : j + kw] * kernel)  # ValueError when the window is cut
    return output


@slide_by_loops.misconception(
    "output as large as the image",
    "Your output is as large as the image, with zeros where no window starts. Without padding a kernel of kh rows fits "
    "only H - kh + 1 times, and the output is that small.",
)
def as_large_as_the_image(image, kernel):
    right = conv2d(image, kernel)
    output = np.zeros(image.shape)
    output[: right.shape[0], : right.shape[1]] = right
    return output


@slide_by_loops.misconception(
    "rows and columns swapped",
    "Your output has rows and columns exchanged: `output[j, i]` where `output[i, j]` is meant. The first index counts "
    "rows, from the top.",
)
def output_transposed(image, kernel):
    return conv2d(image, kernel).T


@slide_by_loops.misconception(
    "rows and columns swapped",
    "Your output is right for the kernel with rows and columns exchanged: the number in row u, column v of the kernel "
    "belongs to row u, column v of the window.",
)
def kernel_transposed(image, kernel):
    return conv2d(image, kernel.T)


@slide_by_loops.misconception(
    "rows and columns swapped",
    "You take the number of rows for the number of columns: `image.shape` is (rows, columns), that is (H, W), and "
    "`kernel.shape` is (kh, kw).",
)
def height_and_width_swapped(image, kernel):
    (width, height), (kw, kh) = image.shape, kernel.shape
    output = np.zeros((height - kh + 1, width - kw + 1))
    for i in range(height - kh + 1):
        for j in range(width - kw + 1):
            output[i, j] = np.sum(image[i : i + kh, j : j + kw] * kernel)
    return output


@slide_by_loops.misconception(
    "window moves by its own size",
    "Your window jumps by its own height and width, so that windows never overlap. It moves by one pixel (stride 1).",
)
def windows_side_by_side(image, kernel):
    return conv2d(image, kernel, stride=kernel.shape)


@slide_by_loops.misconception(
    "sum overwritten",
    "Each number of your output is the last product only (that of the kernel's lower right corner): inside the loops "
    "over the kernel, `=` overwrites; `+=` adds.",
)
def last_product(image, kernel):
    return _slide(image, kernel, lambda window, kernel: window[-1, -1] * kernel[-1, -1])


@slide_by_loops.misconception(
    "sum never set to zero",
    "Your sum runs on from position to position: it has to start at 0 again for each position of the window.",
)
def running_sum(image, kernel):
    output = _slide(image, kernel)
    return np.cumsum(output).reshape(output.shape)


@slide_by_loops.misconception(
    "mean",
    "Your output is right but for a division: it holds the mean of the products. A convolution adds them up.",
)
def mean_of_windows(image, kernel):
    return _slide(image, kernel, lambda window, kernel: (window * kernel).mean())


@slide_by_loops.misconception(
    "matrix product",
    "Each number of your output is the sum of a matrix product (`@` or `dot`), which combines rows with columns. Here "
    "each number of the window meets only the kernel's number in the same place: use `*`.",
)
def matrix_products(image, kernel):
    return _slide(image, kernel, lambda window, kernel: (window @ kernel).sum())


@slide_by_loops.misconception(
    "output of the image's type",
    "Your output has the image's type of number. Pixels are often uint8, which cuts fractions off and holds only 0 to "
    "255: make the output with np.zeros(shape), which holds real numbers.",
)
def of_the_images_type(image, kernel):
    return _slide(image, kernel, dtype=image.dtype)


# --- the output's size --------------------------------------------------------------------------------------


def _sizes(rng: np.random.Generator) -> list[Case]:
    return [
        Case(3, 2),
        Case(6, 3),
        Case(6, 3, stride=2),
        Case(5, 3, padding=1),
        Case(7, 3, dilation=2),
        Case(9, 4, stride=2, padding=1, dilation=2),
        Case(28, 5, stride=1, padding=2),
        Case(20, 9, stride=2),
        Case(224, 11, stride=4, padding=2),
        Case(32, 3, stride=3, padding=4, dilation=5),
    ]


def _output_size(size, kernel_size, stride=1, padding=0, dilation=1):
    return (size + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1


output_size = Task(
    name="01.output_size",
    title="The output-size formula",
    difficulty=2,
    minutes=10,
    practises="stride, padding and dilation, and why the formula rounds down",
    reference=_output_size,
    inputs=_sizes,
    hints=[
        "Take one thing at a time: padding makes the image larger, on both sides; dilation makes the kernel wider; "
        "stride leaves positions out.",
        "A kernel of 3 with dilation 2 reads pixels 0, 2 and 4: it spans 5. In general "
        "`span = dilation * (kernel_size - 1) + 1`.",
        "With `span` from the second hint, the last position is `size + 2 * padding - span`. Every stride-th position "
        "from 0 on is used: `last // stride + 1` of them.",
    ],
)


@output_size.misconception(
    "rounded up",
    "Your size is rounded up. A window that sticks out of the padded image is not used, so the formula rounds down: "
    "`//`.",
)
def ceil(size, kernel_size, stride=1, padding=0, dilation=1):
    return math.ceil((size + 2 * padding - dilation * (kernel_size - 1) - 1) / stride) + 1


@output_size.misconception(
    "not rounded",
    "Your size is not a whole number: `/` gives a fraction. The window that would stick out is not used, so the "
    "formula "
    "rounds down: `//`.",
)
def fraction(size, kernel_size, stride=1, padding=0, dilation=1):
    return (size + 2 * padding - dilation * (kernel_size - 1) - 1) / stride + 1


@output_size.misconception(
    "rounded to the nearest",
    "Your size is rounded to the nearest whole number. A window that sticks out of the padded image is not used, so "
    "the "
    "formula rounds down: `//`.",
)
def nearest(size, kernel_size, stride=1, padding=0, dilation=1):
    return round((size + 2 * padding - dilation * (kernel_size - 1) - 1) / stride) + 1


@output_size.misconception(
    "padding counted once",
    "Your size counts the padding once. `padding` rows are added at the top and as many at the bottom: 2 * padding.",
)
def padding_once(size, kernel_size, stride=1, padding=0, dilation=1):
    return (size + padding - dilation * (kernel_size - 1) - 1) // stride + 1


@output_size.misconception(
    "padding ignored",
    "Your size is right without padding. `padding` rows are added at the top and as many at the bottom.",
)
def padding_ignored(size, kernel_size, stride=1, padding=0, dilation=1):
    return (size - dilation * (kernel_size - 1) - 1) // stride + 1


@output_size.misconception(
    "dilated kernel too wide",
    "You take dilation * kernel_size for the span of the dilated kernel. Only the kernel_size - 1 steps between its "
    "numbers grow: it spans dilation * (kernel_size - 1) + 1.",
)
def dilation_times_kernel(size, kernel_size, stride=1, padding=0, dilation=1):
    return (size + 2 * padding - dilation * kernel_size) // stride + 1


@output_size.misconception(
    "dilation ignored",
    "Your size is right without dilation. A dilated kernel spans dilation * (kernel_size - 1) + 1 pixels.",
)
def dilation_ignored(size, kernel_size, stride=1, padding=0, dilation=1):
    return (size + 2 * padding - kernel_size) // stride + 1


@output_size.misconception(
    "first position forgotten",
    "Your size is one too small: you count the steps of the window, but it already stands somewhere before the first "
    "step. Add 1.",
)
def one_less(size, kernel_size, stride=1, padding=0, dilation=1):
    return (size + 2 * padding - dilation * (kernel_size - 1) - 1) // stride


@output_size.misconception(
    "kernel's first pixel forgotten",
    "You take dilation * (kernel_size - 1) for the span of the kernel. That is the distance from its first pixel to "
    "its "
    "last; it spans one pixel more.",
)
def span_too_short(size, kernel_size, stride=1, padding=0, dilation=1):
    return (size + 2 * padding - dilation * (kernel_size - 1)) // stride + 1


@output_size.misconception(
    "one added before the stride divides",
    "You add 1 before dividing by the stride. The first position needs no step, so the 1 stands outside: "
    "last_position // stride + 1.",
)
def one_inside(size, kernel_size, stride=1, padding=0, dilation=1):
    return (size + 2 * padding - dilation * (kernel_size - 1)) // stride


@output_size.misconception(
    "stride ignored",
    "Your size is right for stride 1. With a larger stride only every stride-th position is used.",
)
def stride_ignored(size, kernel_size, stride=1, padding=0, dilation=1):
    return size + 2 * padding - dilation * (kernel_size - 1)


# --- several channels ---------------------------------------------------------------------------------------


def _channels(rng: np.random.Generator) -> list[Case]:
    def case(shape, weight_shape, draw):
        return Case(*(real(draw(s)) for s in (shape, weight_shape, weight_shape[:1])))

    def whole(shape):
        return rng.permutation(np.arange(1, math.prod(shape) + 1)).reshape(shape) - math.prod(shape) // 2

    def normal(shape):
        return rng.normal(size=shape)

    return [
        case((2, 2, 3), (1, 2, 2, 2), whole),
        case((2, 3, 4), (3, 2, 2, 3), whole),
        case((3, 5, 4), (2, 3, 1, 2), normal),
        case((1, 4, 6), (3, 1, 3, 2), normal),
        case((4, 6, 8), (5, 4, 3, 2), normal),
    ]


several_channels = Task(
    name="01.several_channels",
    title="Several channels, several filters",
    difficulty=3,
    minutes=20,
    practises="the axes (C, H, W) and (O, C, kh, kw), and what is summed over",
    reference=lambda image, weight, bias: conv2d(image, weight, bias),
    inputs=_channels,
    hints=[
        "One filter looks at all channels: its slice `weight[o, c]` slides over channel c of the image. How do C "
        "results "
        "become one?",
        "The C results of one filter are added, number by number, and the filter's own `bias[o]` is added once, at the "
        "end.",
        "For each o start with `output[o] = bias[o]`; then for each c: `output[o] += zh.conv2d(image[c], weight[o, "
        "c])`.",
    ],
)


def _slices(image, weight):
    """Every channel's own result: (O, C, OH, OW)."""
    return np.stack([[conv2d(channel, kernel) for channel, kernel in zip(image, kernels)] for kernels in weight])


@several_channels.misconception(
    "no sum over channels",
    "You return one result per filter and channel, of shape (O, C, OH, OW). A filter sums over all channels of the "
    "image: it gives one channel.",
)
def channels_apart(image, weight, bias):
    return _slices(image, weight) + bias[:, None, None, None]


@several_channels.misconception(
    "no sum over channels",
    "Your output holds the result of the last channel only: inside the loop over channels `=` overwrites; a filter "
    "sums "
    "over all channels, so `+=` is meant.",
)
def last_channel(image, weight, bias):
    return _slices(image, weight)[:, -1] + bias[:, None, None]


@several_channels.misconception(
    "no sum over channels",
    "Your output holds the result of the last channel only, without the bias: inside the loop over channels `=` "
    "overwrites what was there; `+=` is meant.",
)
def last_channel_and_no_bias(image, weight, bias):
    return _slices(image, weight)[:, -1]


@several_channels.misconception(
    "no sum over channels",
    "Your output uses the first channel of the image only. A filter looks at all channels and sums over them.",
)
def first_channel(image, weight, bias):
    return _slices(image, weight)[:, 0] + bias[:, None, None]


@several_channels.misconception(
    "one slice for all channels",
    "You slide the filter's slice for channel 0 over every channel. A filter has one slice for each channel of the "
    "image, weight[o, c], and they differ.",
)
def one_slice(image, weight, bias):
    return conv2d(image, np.repeat(weight[:, :1], len(image), axis=1), bias)


@several_channels.misconception(
    "mean over channels",
    "Your output divides by the number of channels. A filter sums over the channels and doesn't divide.",
)
def mean_over_channels(image, weight, bias):
    return _slices(image, weight).mean(axis=1) + bias[:, None, None]


@several_channels.misconception(
    "bias once per channel",
    "You add the bias once for each input channel, C times in all. It belongs to the filter: it is added once, after "
    "the "
    "sum over channels.",
)
def bias_per_channel(image, weight, bias):
    return conv2d(image, weight, bias * len(image))


@several_channels.misconception(
    "bias of the input channel",
    "You add bias[c], one for each input channel. There is one bias for each filter: bias[o], added once after the sum "
    "over channels.",
)
def bias_of_the_channel(image, weight, bias):
    filters, channels = weight.shape[:2]
    output = np.zeros_like(conv2d(image, weight))
    for o in range(filters):
        for c in range(channels):
            output[o] += conv2d(image[c], weight[o, c]) + bias[c]  # IndexError where C > O
    return output


@several_channels.misconception(
    "bias missing",
    "Your output is right without the bias: add bias[o] to every number of the output's channel o.",
)
def no_bias(image, weight, bias):
    return conv2d(image, weight)


@several_channels.misconception(
    "bias subtracted",
    "You subtract the bias: it is added.",
)
def minus_bias(image, weight, bias):
    return conv2d(image, weight, -bias)


@several_channels.misconception(
    "filters and channels swapped",
    "You read the weight as (C, O, kh, kw). Its first axis counts filters, its second the channels of the image: "
    "weight[o, c].",
)
def axes_swapped(image, weight, bias):
    filters, channels = weight.shape[:2]
    output = conv2d(image, weight, bias) * 0
    for o in range(filters):
        output[o] = bias[o] + sum(conv2d(image[c], weight[c, o]) for c in range(channels))  # IndexError unless C = O
    return output


@several_channels.misconception(
    "flipped kernel",
    "Your output equals what flipped kernels give (turned by 180 degrees): the slide's operation is cross-correlation, "
    "and the kernel is not flipped.",
)
def flipped_kernels(image, weight, bias):
    return conv2d(image, weight[:, :, ::-1, ::-1], bias)


@several_channels.misconception(
    "filters summed",
    "You add the filters' results together. Each filter gives a channel of its own: the output has O of them.",
)
def filters_summed(image, weight, bias):
    return conv2d(image, weight, bias).sum(axis=0)


# --- receptive field ----------------------------------------------------------------------------------------


def _stacks(rng: np.random.Generator) -> list[Case]:
    return [
        Case([(3, 1)]),
        Case([(3, 1), (3, 1)]),
        Case([(3, 1), (5, 1), (3, 1)]),
        Case([(3, 2), (3, 1)]),
        Case([(5, 1), (2, 2), (5, 1), (2, 2)]),
        Case([(3, 2), (2, 3), (5, 2), (3, 1)]),
        Case([(11, 4), (3, 2), (5, 1), (3, 2), (3, 1), (3, 1), (3, 1), (3, 2)]),
    ]


def _receptive_field(layers):
    size, jump = 1, 1
    for kernel_size, stride in layers:
        size += (kernel_size - 1) * jump
        jump *= stride
    return size


receptive_field = Task(
    name="01.receptive_field",
    title="How much of the image one output sees",
    difficulty=3,
    minutes=15,
    practises="how layers add up, and what a stride does to all layers after it",
    reference=_receptive_field,
    inputs=_stacks,
    hints=[
        "Before any layer, an output sees 1 pixel: itself. How many more does a 3×3 layer with stride 1 let it see? "
        "And a "
        "second one?",
        "Each layer adds `kernel_size - 1` steps. After a stride of 2, one step of the next layer is 2 pixels of the "
        "image: "
        "keep that step, too, from layer to layer.",
        "Start with `size, jump = 1, 1`. For each layer: `size += (kernel_size - 1) * jump`, and then `jump *= "
        "stride`.",
    ],
)


@receptive_field.misconception(
    "product of kernel sizes",
    "You multiply the kernel sizes. Neighbouring windows overlap, so each layer only adds kernel_size - 1 steps: two "
    "3×3 "
    "layers see 5 pixels, not 9.",
)
def product(layers):
    return math.prod(kernel_size for kernel_size, _ in layers)


@receptive_field.misconception(
    "adds the whole kernel",
    "Each of your layers adds kernel_size steps. One of the kernel's pixels was seen already, so it adds kernel_size "
    "- 1: "
    "two 3×3 layers see 5 pixels.",
)
def adds_kernel_size(layers):
    size, jump = 0, 1
    for kernel_size, stride in layers:
        size += kernel_size * jump
        jump *= stride
    return size


@receptive_field.misconception(
    "adds the whole kernel",
    "Each of your layers adds kernel_size steps to the 1 pixel at the start. That pixel is one of the first "
    "kernel's, so "
    "a layer adds kernel_size - 1: one 3×3 layer sees 3 pixels.",
)
def adds_kernel_size_to_one(layers):
    return 1 + adds_kernel_size(layers)


@receptive_field.misconception(
    "adds the whole kernel",
    "You add up the kernel sizes. Windows overlap, so each layer adds only kernel_size - 1 steps, and after strides "
    "each "
    "step is several pixels.",
)
def sum_of_kernel_sizes(layers):
    return sum(kernel_size for kernel_size, _ in layers)


@receptive_field.misconception(
    "earlier strides ignored",
    "Your size is right only if every stride is 1. A stride of 2 makes each step of all later layers 2 pixels wide.",
)
def strides_ignored(layers):
    return 1 + sum(kernel_size - 1 for kernel_size, _ in layers)


@receptive_field.misconception(
    "only the stride just before",
    "You multiply by the stride of the one layer before. The strides of all earlier layers act together: multiply "
    "them.",
)
def only_the_last_stride(layers):
    size, jump = 1, 1
    for kernel_size, stride in layers:
        size += (kernel_size - 1) * jump
        jump = stride
    return size


@receptive_field.misconception(
    "a layer's own stride counted",
    "You multiply a layer's steps by its own stride. Inside one window neighbours are one step of the layer below "
    "apart; "
    "a stride only spreads the layers after it: add first, then multiply.",
)
def own_stride(layers):
    size, jump = 1, 1
    for kernel_size, stride in layers:
        jump *= stride
        size += (kernel_size - 1) * jump
    return size


@receptive_field.misconception(
    "strides added",
    "You add the strides of the earlier layers. They multiply: after two strides of 2 a step is 4 pixels wide, after "
    "three 8, not 6.",
)
def strides_added(layers):
    size, jump = 1, 0
    for kernel_size, stride in layers:
        size += (kernel_size - 1) * max(jump, 1)
        jump += stride
    return size


@receptive_field.misconception(
    "the pixel at the start forgotten",
    "Your size is one too small: it counts steps. Start with 1, the pixel that an output sees before any layer.",
)
def starts_at_zero(layers):
    return _receptive_field(layers) - 1


@receptive_field.misconception(
    "layers read from the end",
    "You go through the layers from the last to the first. The strides of the layers before a layer make its steps "
    "wide: "
    "start at the image.",
)
def from_the_end(layers):
    return _receptive_field(layers[::-1])


TASKS = (one_position, slide_by_loops, output_size, several_channels, receptive_field)
