"""The tasks of exercise 04, Fast. How answers are run and compared is not known here."""

from __future__ import annotations

import numpy as np

from zerohero.checks.definition import Case, Task
from zerohero.checks.slow_motion import Cells, call, cuda, launch, prange


def numbers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Numbers between -3 and 3, in quarters: sums of their products are exact, in any order."""
    return (rng.integers(-12, 13, size=shape) / 4).astype(np.float32)


def places(size, kernel, stride=1):
    """How many positions a kernel has along a side."""
    return (size - kernel) // stride + 1


# --- FLOPs and bytes ----------------------------------------------------------------------------------------


def _layers(rng: np.random.Generator) -> list[Case]:
    return [
        Case(1, 1, 4, 5, 1, 2),
        Case(1, 2, 6, 5, 3, 3),
        Case(2, 3, 7, 9, 4, 3, 1, 1),
        Case(3, 2, 11, 8, 5, 3, 2),
        Case(2, 4, 12, 10, 3, 5, 3, 2),
        Case(128, 3, 227, 227, 96, 11, 4),
        Case(128, 64, 56, 56, 128, 1),
    ]


def _counted(
    images, in_channels, height, width, filters, kernel_size, stride=1, padding=0, *,
    sides=lambda height, width, kernel, stride, padding: (
        places(height + 2 * padding, kernel, stride), places(width + 2 * padding, kernel, stride)),
    products=lambda in_channels, kernel: in_channels * kernel**2,  # for one number of the output
    per_product=2,
    batch=lambda images: images,
    read=lambda n, c, h, w, filters, kernel, out, padding: n * c * h * w,  # numbers of the input
    learned=lambda filters, c, kernel, n: filters * c * kernel**2,  # of the weight
    written=lambda n, filters, out: n * filters * out[0] * out[1],  # of the output
    size=4,  # bytes of a number
    ratio=lambda flops, moved, size: flops / moved,
):  # fmt: skip
    """The right count with one of its parts replaced."""
    out = sides(height, width, kernel_size, stride, padding)
    flops = per_product * batch(images) * filters * out[0] * out[1] * products(in_channels, kernel_size)
    moved = read(images, in_channels, height, width, filters, kernel_size, out, padding)
    moved += learned(filters, in_channels, kernel_size, images) + written(images, filters, out)
    return flops, size * moved, ratio(flops, size * moved, size)


def _right_count(images, in_channels, height, width, filters, kernel_size, stride=1, padding=0):
    return _counted(images, in_channels, height, width, filters, kernel_size, stride, padding)


flops_and_bytes = Task(
    name="04.flops_and_bytes",
    title="Count the FLOPs and bytes of a layer",
    difficulty=2,
    minutes=15,
    practises="saying, before anything runs, whether a layer waits for arithmetic or for memory",
    reference=_right_count,
    inputs=_layers,
    returns=("flops", "bytes_moved", "intensity"),
    hints=[
        "First the output's height and width, `(size + 2 * padding - kernel_size) // stride + 1`. Each number of the "
        "output is a sum of `in_channels * kernel_size**2` products; how many numbers has the output?",
        "A product costs two FLOPs: one multiplication, and one addition to the sum. Three arrays are moved: the "
        "input once as it is, without padding, the weight once for the whole batch, the output once. A float32 takes "
        "4 bytes.",
        "`outputs = images * filters * out_height * out_width`, `weights = filters * in_channels * kernel_size**2`, "
        "`inputs = images * in_channels * height * width`; `flops = 2 * outputs * in_channels * kernel_size**2`, "
        "`bytes_moved = 4 * (inputs + weights + outputs)`, and `flops / bytes_moved`.",
    ],
)


@flops_and_bytes.misconception(
    "multiply-add as one",
    "You count half of the FLOPs: one for each product. A multiply-add is two, a multiplication and an addition; that "
    "is also how a processor's GFLOPS are counted.",
)
def one_for_each_product(*sizes):
    return _counted(*sizes, per_product=1)


@flops_and_bytes.misconception(
    "8-byte floats",
    "You count 8 bytes for each number, as for float64. The arrays are float32: 4 bytes.",
)
def eight_bytes(*sizes):
    return _counted(*sizes, size=8)


@flops_and_bytes.misconception(
    "multiply-add as one, and 8-byte floats",
    "Two things: a multiply-add is two FLOPs, a multiplication and an addition; and a float32 takes 4 bytes, not 8.",
)
def one_for_each_product_in_float64(*sizes):
    return _counted(*sizes, per_product=1, size=8)


@flops_and_bytes.misconception(
    "numbers instead of bytes",
    "You count numbers, not bytes. A float32 takes 4 bytes.",
)
def one_byte(*sizes):
    return _counted(*sizes, size=1)


@flops_and_bytes.misconception(
    "bits instead of bytes",
    "You count 32 for each number: these are bits. A byte has 8 of them, so a float32 takes 4 bytes.",
)
def bits(*sizes):
    return _counted(*sizes, size=32)


@flops_and_bytes.misconception(
    "weight's bytes forgotten",
    "The bytes of the weight are missing. It is read, too: filters · in_channels · kernel_size² numbers. For a small "
    "image and many channels that is most of what moves.",
)
def no_weights(*sizes):
    return _counted(*sizes, learned=lambda *_: 0)


@flops_and_bytes.misconception(
    "output's bytes forgotten",
    "You count what is read, the input and the weight. The output is written, and that moves bytes, too.",
)
def no_output(*sizes):
    return _counted(*sizes, written=lambda *_: 0)


@flops_and_bytes.misconception(
    "input's bytes forgotten",
    "The bytes of the input are missing: images · in_channels · height · width numbers are read.",
)
def no_input(*sizes):
    return _counted(*sizes, read=lambda *_: 0)


@flops_and_bytes.misconception(
    "weight moved for each image",
    "You move the weight once for every image. All images of the batch use the same weight: count it once. That is why "
    "larger batches have a higher intensity.",
)
def weights_for_each_image(*sizes):
    return _counted(*sizes, learned=lambda filters, c, kernel, n: n * filters * c * kernel**2)


@flops_and_bytes.misconception(
    "input moved for each filter",
    "You read the input once for every filter. The task asks for the least that must move: each number of the input "
    "once.",
)
def input_for_each_filter(*sizes):
    return _counted(*sizes, read=lambda n, c, h, w, filters, kernel, out, padding: n * c * h * w * filters)


@flops_and_bytes.misconception(
    "input moved for each window",
    "You read every window of the input anew, as im2col writes them down. The task asks for the least that must move: "
    "each number of the input once.",
)
def windows_moved(*sizes):
    def read(n, c, h, w, filters, kernel, out, padding):
        return n * c * kernel**2 * out[0] * out[1]

    return _counted(*sizes, read=read)


@flops_and_bytes.misconception(
    "padding moved",
    "You count the bytes of the padded input. The zeros around it are not in memory: nobody has to fetch them.",
)
def padding_moved(*sizes):
    def read(n, c, h, w, filters, kernel, out, padding):
        return n * c * (h + 2 * padding) * (w + 2 * padding)

    return _counted(*sizes, read=read)


@flops_and_bytes.misconception(
    "channels forgotten",
    "Your FLOPs lack the input's channels: a window reaches through all of them, in_channels · kernel_size² products "
    "for each number of the output.",
)
def one_channel(*sizes):
    return _counted(*sizes, products=lambda in_channels, kernel: kernel**2)


@flops_and_bytes.misconception(
    "kernel not squared",
    "You count kernel_size products for each channel of a window. The kernel is a square: kernel_size².",
)
def kernel_not_squared(*sizes):
    return _counted(
        *sizes,
        products=lambda in_channels, kernel: in_channels * kernel,
        learned=lambda filters, c, kernel, n: filters * c * kernel,
    )


@flops_and_bytes.misconception(
    "one image only",
    "Your FLOPs are those of one image. Every image of the batch is convolved: times `images`.",
)
def one_image(*sizes):
    return _counted(*sizes, batch=lambda images: 1)


@flops_and_bytes.misconception(
    "stride forgotten",
    "Your output has a place for every pixel where the kernel fits: stride 1. With stride s the kernel stops only at "
    "every s-th: `(size + 2 * padding - kernel_size) // stride + 1`.",
)
def no_stride(*sizes):
    def sides(height, width, kernel, stride, padding):
        return places(height + 2 * padding, kernel), places(width + 2 * padding, kernel)

    return _counted(*sizes, sides=sides)


@flops_and_bytes.misconception(
    "input's size for the output's",
    "You take the input's height and width for the output's. Padding, kernel and stride change it: "
    "`(size + 2 * padding - kernel_size) // stride + 1`.",
)
def size_of_input(*sizes):
    return _counted(*sizes, sides=lambda height, width, kernel, stride, padding: (height, width))


@flops_and_bytes.misconception(
    "padding on one side",
    "Your output is too small where there is padding: you add it once. It lies on both sides, so `2 * padding`.",
)
def padding_once(*sizes):
    def sides(height, width, kernel, stride, padding):
        return places(height + padding, kernel, stride), places(width + padding, kernel, stride)

    return _counted(*sizes, sides=sides)


@flops_and_bytes.misconception(
    "padding on one side",
    "You leave out the padding when you compute the output's size. It lies on both sides: `size + 2 * padding`.",
)
def no_padding(*sizes):
    def sides(height, width, kernel, stride, padding):
        return places(height, kernel, stride), places(width, kernel, stride)

    return _counted(*sizes, sides=sides)


@flops_and_bytes.misconception(
    "first position forgotten",
    "Your output is one too small on each side: after the first position there are (size - kernel_size) // stride "
    "more, so the + 1 is missing.",
)
def no_first_position(*sizes):
    def sides(height, width, kernel, stride, padding):
        return places(height + 2 * padding, kernel, stride) - 1, places(width + 2 * padding, kernel, stride) - 1

    return _counted(*sizes, sides=sides)


@flops_and_bytes.misconception(
    "upside down",
    "Your intensity is upside down: bytes for each FLOP. It is FLOPs for each byte; the higher, the less the layer "
    "waits for memory.",
)
def upside_down(*sizes):
    return _counted(*sizes, ratio=lambda flops, moved, size: moved / flops)


@flops_and_bytes.misconception(
    "intensity for each number",
    "Your intensity is FLOPs for each number. It is for each byte: four times less.",
)
def for_each_number(*sizes):
    return _counted(*sizes, ratio=lambda flops, moved, size: flops / (moved / size))


@flops_and_bytes.misconception(
    "whole number of FLOPs for each byte",
    "Your intensity is rounded down to a whole number by `//`. Divide with `/`.",
)
def rounded_down(*sizes):
    return _counted(*sizes, ratio=lambda flops, moved, size: flops // moved)


# --- im2col -------------------------------------------------------------------------------------------------


def _images(rng: np.random.Generator) -> list[Case]:
    return [
        Case(np.arange(1, 13, dtype=np.float32).reshape(1, 1, 3, 4), (2, 2), 1),
        Case(numbers(rng, 1, 2, 3, 5), (2, 3), 1),
        Case(numbers(rng, 2, 1, 5, 7), (3, 2), 2),
        Case(numbers(rng, 2, 3, 9, 6), (2, 3), 2),
        Case(numbers(rng, 3, 2, 6, 11), (3, 4), 3),
    ]


def _windows(x, kernel_size, stride, step=None):
    """All windows of x, (N, C, OH, OW, kh, kw)."""
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel_size, axis=(2, 3))
    down, right = step or (stride, stride)
    return windows[:, :, ::down, ::right]


def _in_rows(windows, order=(0, 2, 3, 1, 4, 5), rows=3):
    """Windows with their axes in another order, the first `rows` of them counted by the rows of a matrix."""
    ordered = windows.transpose(order)
    return ordered.reshape(int(np.prod(ordered.shape[:rows])), -1)


def _right_columns(x, kernel_size, stride):
    return _in_rows(_windows(x, kernel_size, stride))


im2col = Task(
    name="04.im2col",
    title="Write all windows down as rows",
    difficulty=3,
    minutes=20,
    practises="turning a convolution into one matrix product",
    reference=_right_columns,
    inputs=_images,
    hints=[
        "How many windows fit: `out_height = (height - kh) // stride + 1`, and the same for the width. The matrix has "
        "a row for each image and each window, and a column for each number of a window.",
        "Three loops: over the images n, the rows i and the columns j of the output. The window begins at `x[n, :, i "
        "* stride, j * stride]`; it is `x[n, :, top : top + kh, left : left + kw]`, and `.ravel()` writes its numbers "
        "in the right order, channel after channel.",
        "Begin with `rows = []`; in the innermost loop `top, left = i * stride, j * stride` and "
        "`rows.append(x[n, :, top : top + kh, left : left + kw].ravel())`; at the end `return np.stack(rows)`.",
    ],
)


@im2col.misconception(
    "stride forgotten",
    "You write down every window, as with stride 1. With stride s only every s-th is meant, downwards and to the "
    "right.",
)
def all_windows(x, kernel_size, stride):
    return _in_rows(_windows(x, kernel_size, 1))


@im2col.misconception(
    "stride forgotten",
    "You write down the right number of windows, but neighbouring ones: the window of output i begins at row "
    "i * stride, not at row i.",
)
def first_windows(x, kernel_size, stride):
    out = _windows(x, kernel_size, stride).shape[2:4]
    return _in_rows(_windows(x, kernel_size, 1)[:, :, : out[0], : out[1]])


@im2col.misconception(
    "stride one way only",
    "Your windows jump downwards, but not to the right: the stride belongs to both directions.",
)
def jumps_down_only(x, kernel_size, stride):
    return _in_rows(_windows(x, kernel_size, stride, (stride, 1)))


@im2col.misconception(
    "stride one way only",
    "Your windows jump to the right, but not downwards: the stride belongs to both directions.",
)
def jumps_right_only(x, kernel_size, stride):
    return _in_rows(_windows(x, kernel_size, stride, (1, stride)))


@im2col.misconception(
    "windows side by side",
    "Your windows jump by their own size, so that none overlap. They jump by the stride.",
)
def side_by_side(x, kernel_size, stride):
    return _in_rows(_windows(x, kernel_size, stride, kernel_size))


@im2col.misconception(
    "gaps inside of the windows",
    "Your windows begin at the right places, but you also jump inside of them, and take every stride-th pixel. That is "
    "dilation: a window itself has no gaps.",
)
def gaps(x, kernel_size, stride):
    (kh, kw), out = kernel_size, _windows(x, kernel_size, stride).shape[2:4]
    padded = np.pad(x, ((0, 0), (0, 0), (0, stride * kh), (0, stride * kw)))
    wide = _windows(padded, (stride * (kh - 1) + 1, stride * (kw - 1) + 1), stride)
    return _in_rows(wide[:, :, : out[0], : out[1], ::stride, ::stride])


@im2col.misconception(
    "patch axes permuted",
    "Each of your rows has the right numbers in another order: pixel after pixel, and for each pixel all channels. "
    "`weight.reshape(O, -1)` has channel after channel, and a product needs the same order on both sides.",
)
def channels_last(x, kernel_size, stride):
    return _in_rows(_windows(x, kernel_size, stride), (0, 2, 3, 4, 5, 1))


@im2col.misconception(
    "patch axes permuted",
    "Each of your rows has the right numbers in another order: the windows are read down their columns. Read each row "
    "of a window from left to right, as `.ravel()` does.",
)
def windows_by_columns(x, kernel_size, stride):
    return _in_rows(_windows(x, kernel_size, stride), (0, 2, 3, 1, 5, 4))


@im2col.misconception(
    "windows in column order",
    "Your rows are right, but in another order: you go down the first column of windows first. The output is read row "
    "by row, so the loop over the columns is the inner one.",
)
def down_first(x, kernel_size, stride):
    return _in_rows(_windows(x, kernel_size, stride), (0, 3, 2, 1, 4, 5))


@im2col.misconception(
    "batch in the wrong place",
    "Your rows are right, but in another order: for each window all images. First come all windows of image 0, then "
    "those of image 1: the loop over the images is the outermost.",
)
def images_last(x, kernel_size, stride):
    return _in_rows(_windows(x, kernel_size, stride), (2, 3, 0, 1, 4, 5))


@im2col.misconception(
    "first image only",
    "You write down the windows of the first image only. The rows of all images lie one below the other.",
)
def one_image_only(x, kernel_size, stride):
    return _in_rows(_windows(x[:1], kernel_size, stride))


@im2col.misconception(
    "one channel in a row",
    "Each of your rows holds one channel of a window, and there are C times as many rows. A filter sees all channels "
    "at once: they lie in one row, channel after channel.",
)
def channel_by_channel(x, kernel_size, stride):
    return _in_rows(_windows(x, kernel_size, stride), rows=4)


@im2col.misconception(
    "one channel in a row",
    "Your rows hold the first channel only. A window reaches through all channels: `x[n, :, ...]`.",
)
def first_channel(x, kernel_size, stride):
    return _in_rows(_windows(x[:, :1], kernel_size, stride))


@im2col.misconception(
    "output rows transposed",
    "Your matrix is transposed: a column for each window. Here each window is a row, so that the matrix times "
    "`weight.reshape(O, -1).T` gives a row of O numbers for each window.",
)
def a_column_each(x, kernel_size, stride):
    return _in_rows(_windows(x, kernel_size, stride)).T


@im2col.misconception(
    "output rows transposed",
    "You reshape a matrix with a column for each window into the shape asked for. Reshaping moves nothing, so the "
    "numbers of a window don't end up in a row: transpose.",
)
def reshaped(x, kernel_size, stride):
    rows = _in_rows(_windows(x, kernel_size, stride))
    return rows.T.reshape(rows.shape)


@im2col.misconception(
    "not flattened",
    "Your numbers are right, but you return all windows as an array of six axes. Flatten: a row for each window, "
    "(N · OH · OW, C · kh · kw).",
)
def six_axes(x, kernel_size, stride):
    return np.ascontiguousarray(_windows(x, kernel_size, stride).transpose(0, 2, 3, 1, 4, 5))


@im2col.misconception(
    "one matrix for each image",
    "You return a matrix for each image. One matrix is asked for, the rows of all images one below the other: "
    "(N · OH · OW, C · kh · kw).",
)
def a_matrix_each(x, kernel_size, stride):
    rows = _in_rows(_windows(x, kernel_size, stride))
    return rows.reshape(len(x), -1, rows.shape[1])


@im2col.misconception(
    "kernel's sides exchanged",
    "Your windows are as high as they should be wide. `kernel_size` is (kh, kw): height first.",
)
def exchanged(x, kernel_size, stride):
    kh, kw = kernel_size
    windows = _windows(np.pad(x, ((0, 0), (0, 0), (0, kw), (0, kh))), (kw, kh), stride)
    rows, columns = places(x.shape[2], kw, stride), places(x.shape[3], kh, stride)
    return _in_rows(windows[:, :, :rows, :columns])


@im2col.misconception(
    "first position forgotten",
    "The last row and column of windows are missing: after the first position there are (size - kernel_size) // stride "
    "more, so the + 1 is missing.",
)
def last_windows_missing(x, kernel_size, stride):
    return _in_rows(_windows(x, kernel_size, stride)[:, :, :-1, :-1])


@im2col.misconception(
    "flipped",
    "The windows are right, but each is read backwards. The kernel is not flipped here: from the top left to the "
    "bottom right.",
)
def backwards(x, kernel_size, stride):
    return _in_rows(_windows(x, kernel_size, stride)[..., ::-1, ::-1])


# --- numba threads ------------------------------------------------------------------------------------------


def _banded(rng: np.random.Generator) -> list[Case]:
    return [
        Case(numbers(rng, 2, 5, 4), numbers(rng, 1, 2, 2, 3), 2),
        Case(numbers(rng, 2, 6, 4), numbers(rng, 3, 2, 2, 3), 2),
        Case(numbers(rng, 3, 7, 4), numbers(rng, 2, 3, 2, 2), 5),
        Case(numbers(rng, 2, 4, 4), numbers(rng, 4, 2, 1, 2), 7),
    ]


def parallel(function):
    """Marks a function as one that numba would compile with parallel=True."""
    function.parallel = True
    return function


def in_bands(answer, x, weight, band):
    """The output; the types of its numbers and of the sums; and how many rounds the parallel loops had."""
    looped = call(answer, x, weight, band)
    settings = getattr(answer, "targetoptions", {})
    threads = settings.get("parallel", False) or getattr(answer, "parallel", False)
    kind = getattr(getattr(looped.output, "dtype", None), "name", "")
    return looped.output, kind, "float64" if looped.mixed else "float32", looped.rounds if threads else 0


def _output(x, weight):
    return np.zeros(_shape(x, weight), np.float32)


def _shape(x, weight):
    return len(weight), places(x.shape[1], weight.shape[2]), places(x.shape[2], weight.shape[3])


def _sum(x, weight, o, i, j, kind=np.float32):
    """One number of the output."""
    total = kind(0)
    for c in range(weight.shape[1]):
        for a in range(weight.shape[2]):
            for b in range(weight.shape[3]):
                total += weight[o, c, a, b] * x[c, i + a, j + b]
    return total


def _fill(x, weight, output, rows, value=_sum):
    """Compute some rows of the output."""
    for i in rows:
        for o in range(output.shape[0]):
            for j in range(output.shape[2]):
                output[o, i, j] = value(x, weight, o, i, j)


@parallel
def _right_bands(x, weight, band):
    output = _output(x, weight)
    height = output.shape[1]
    for k in prange(-(-height // band)):
        _fill(x, weight, output, range(k * band, min((k + 1) * band, height)))
    return output


convolve_threads = Task(
    name="04.convolve_threads",
    title="A convolution that several threads share",
    difficulty=3,
    minutes=30,
    practises="giving each thread numbers of its own to write, and staying in float32",
    reference=_right_bands,
    inputs=_banded,
    use=in_bands,
    returns=("output", "output_type", "sum_type", "share_count"),
    hints=[
        "First `output = np.zeros((filters, out_height, out_width), np.float32)`. The number of bands is out_height / "
        "band, rounded up: `(out_height + band - 1) // band`. The loop over the bands is the outermost, and the only "
        "one with `prange`.",
        "Band k has the rows from `k * band` to `min((k + 1) * band, out_height)`, without the last. In it, loop over "
        "the filters o, the rows i and the columns j. For each number of the output begin a new "
        "`total = np.float32(0)`; then three loops, over c, a and b.",
        "`for k in numba.prange(bands):`, `for i in range(k * band, min((k + 1) * band, out_height)):`, then "
        "`for o ...`, `for j ...`: `total = np.float32(0)`; `for c ...`, `for a ...`, `for b ...`: "
        "`total += weight[o, c, a, b] * x[c, i + a, j + b]`; after these three loops `output[o, i, j] = total`.",
    ],
)


@convolve_threads.misconception(
    "race on the accumulator",
    "Your loop is shared over the channels, so several threads add to the *same* number of the output. To add is to "
    "read, add, and write back; between one thread's read and its write another one writes, and its part is lost, on "
    "some days. Share over what has numbers of its own to write: the bands.",
)
@parallel
def shared_over_channels(x, weight, band):
    output = _output(x, weight)
    for c in prange(len(x)):
        for o in range(output.shape[0]):
            for i in range(output.shape[1]):
                for j in range(output.shape[2]):
                    for a in range(weight.shape[2]):
                        for b in range(weight.shape[3]):
                            output[o, i, j] += weight[o, c, a, b] * x[c, i + a, j + b]
    return output


@convolve_threads.misconception(
    "race on the accumulator",
    "You add up in an array that was made before the parallel loop: all threads use the same one, and spoil each "
    "other's sums, on some days. Make the sum inside of the loop, as a variable: `total = np.float32(0)`.",
)
@parallel
def one_accumulator(x, weight, band):
    output = _output(x, weight)
    total = np.zeros(1, np.float32)
    for k in prange(-(-output.shape[1] // band)):
        for i in range(k * band, min((k + 1) * band, output.shape[1])):
            for o in range(output.shape[0]):
                for j in range(output.shape[2]):
                    total[0] = 0
                    for c in range(weight.shape[1]):
                        for a in range(weight.shape[2]):
                            for b in range(weight.shape[3]):
                                total[0] += weight[o, c, a, b] * x[c, i + a, j + b]
                    output[o, i, j] = total[0]
    return output


@convolve_threads.misconception(
    "bands overlap",
    "Your bands overlap: two threads write the same rows. A band *reads* kh - 1 rows of x more than it makes, but it "
    "writes the rows from k * band to (k + 1) * band, without the last.",
)
@parallel
def overlapping(x, weight, band):
    output = _output(x, weight)
    for k in prange(-(-output.shape[1] // band)):
        _fill(x, weight, output, range(k * band, min((k + 1) * band + 1, output.shape[1])))
    return output


@convolve_threads.misconception(
    "bands overlap",
    "Each of your bands makes all rows of the output, so that all threads do the same work and write the same "
    "numbers. A band has the rows from k * band to (k + 1) * band, without the last.",
)
@parallel
def everybody_does_all(x, weight, band):
    output = _output(x, weight)
    for _ in prange(-(-output.shape[1] // band)):
        _fill(x, weight, output, range(output.shape[1]))
    return output


@convolve_threads.misconception(
    "edge band dropped",
    "Where the height isn't a multiple of `band`, the last rows of your output are 0: `out_height // band` counts the "
    "full bands only. Round up: `(out_height + band - 1) // band`.",
)
@parallel
def full_bands_only(x, weight, band):
    output = _output(x, weight)
    for k in prange(output.shape[1] // band):
        _fill(x, weight, output, range(k * band, (k + 1) * band))
    return output


@convolve_threads.misconception(
    "edge band too long",
    "Your last band goes on beyond the end of the output. Compiled code would not stop there: it would write into "
    "whatever lies behind. End at `min((k + 1) * band, out_height)`.",
)
@parallel
def over_the_edge(x, weight, band):
    output = _output(x, weight)
    for k in prange(-(-output.shape[1] // band)):
        _fill(x, weight, output, range(k * band, (k + 1) * band))
    return output


@convolve_threads.misconception(
    "a band without rows",
    "Your output is right, but where `band` divides the height you have a band more, without rows: "
    "`out_height // band + 1` is not rounding up. Take `(out_height + band - 1) // band`.",
)
@parallel
def empty_band(x, weight, band):
    output = _output(x, weight)
    for k in prange(output.shape[1] // band + 1):
        _fill(x, weight, output, range(k * band, min((k + 1) * band, output.shape[1])))
    return output


@convolve_threads.misconception(
    "bands rounded to the nearest",
    "Your number of bands is rounded to the nearest. A band that is not full is still a band: always up, "
    "`(out_height + band - 1) // band`.",
)
@parallel
def nearest_band(x, weight, band):
    output = _output(x, weight)
    for k in prange(int(output.shape[1] / band + 0.5)):
        _fill(x, weight, output, range(k * band, min((k + 1) * band, output.shape[1])))
    return output


@convolve_threads.misconception(
    "not shared",
    "Your output is right, but one thread makes all of it. Only `numba.prange`, in a function under "
    "`@numba.njit(parallel=True)`, is shared among threads; without either it is a plain loop.",
)
def plain_loop(x, weight, band):
    return _right_bands(x, weight, band)


@convolve_threads.misconception(
    "shared row by row",
    "Your output is right, but each row is a share of its own, whatever `band` is: too little work for a thread to be "
    "called for. The loop over the bands is the one with `prange`, the loop over their rows a plain one.",
)
@parallel
def row_by_row(x, weight, band):
    output = _output(x, weight)
    for i in prange(output.shape[1]):
        _fill(x, weight, output, [i])
    return output


@convolve_threads.misconception(
    "shared over the filters",
    "Your output is right and no thread disturbs another, but you share the filters. The task asks for bands of rows, "
    "so that a layer with few filters keeps all threads busy, too.",
)
@parallel
def shared_over_filters(x, weight, band):
    output = _output(x, weight)
    for o in prange(output.shape[0]):
        for i in range(output.shape[1]):
            for j in range(output.shape[2]):
                output[o, i, j] = _sum(x, weight, o, i, j)
    return output


@convolve_threads.misconception(
    "float64",
    "The numbers are right, but your output is float64: `np.zeros(shape)` without a type is. It takes twice the "
    "memory, and what comes next will be float64, too. Give the type: `np.zeros(shape, np.float32)`.",
)
@parallel
def output_in_float64(x, weight, band):
    output = np.zeros(_shape(x, weight))
    for k in prange(-(-output.shape[1] // band)):
        _fill(x, weight, output, range(k * band, min((k + 1) * band, output.shape[1])))
    return output


def _sum_in_float64(x, weight, o, i, j):
    return _sum(x, weight, o, i, j, kind=np.float64)


@convolve_threads.misconception(
    "float64",
    "The numbers are right, but your sum is float64 and is rounded when it is stored. In numba `total = 0.0` makes a "
    "float64 (and `total = 0`, too, from the first addition on), which halves the numbers that a processor adds at a "
    "time. Begin with `total = np.float32(0)`.",
)
@parallel
def sum_in_float64(x, weight, band):
    output = _output(x, weight)
    for k in prange(-(-output.shape[1] // band)):
        _fill(x, weight, output, range(k * band, min((k + 1) * band, output.shape[1])), _sum_in_float64)
    return output


@convolve_threads.misconception(
    "no sum over the channels",
    "Your output has the last channel only: each channel's sum overwrites the one before. One `total` for all "
    "channels, begun before the loop over c.",
)
@parallel
def last_channel(x, weight, band):
    return _right_bands(x[-1:], weight[:, -1:], band)


@convolve_threads.misconception(
    "no sum over the channels",
    "Your output has the first channel only. A filter reaches through all channels: a loop over c inside of the one "
    "over the columns.",
)
@parallel
def first_channel_only(x, weight, band):
    return _right_bands(x[:1], weight[:, :1], band)


def _last_product(x, weight, o, i, j):
    return weight[o, -1, -1, -1] * x[x.shape[0] - 1, i + weight.shape[2] - 1, j + weight.shape[3] - 1]


@convolve_threads.misconception(
    "overwritten",
    "Each number of your output is the last product alone: `=` where `+=` is meant.",
)
@parallel
def overwritten(x, weight, band):
    output = _output(x, weight)
    for k in prange(-(-output.shape[1] // band)):
        _fill(x, weight, output, range(k * band, min((k + 1) * band, output.shape[1])), _last_product)
    return output


@convolve_threads.misconception(
    "sum not begun anew",
    "Each number of your output holds the ones before it, too: the sum is begun once for each band. Begin it anew, "
    "`total = np.float32(0)`, for every number of the output.",
)
@parallel
def never_begun_anew(x, weight, band):
    output = _output(x, weight)
    for k in prange(-(-output.shape[1] // band)):
        total = np.float32(0)
        for i in range(k * band, min((k + 1) * band, output.shape[1])):
            for o in range(output.shape[0]):
                for j in range(output.shape[2]):
                    total += _sum(x, weight, o, i, j)
                    output[o, i, j] = total
    return output


@convolve_threads.misconception(
    "flipped",
    "Your output equals what a flipped kernel gives. In `x[c, i + a, j + b]` and `weight[o, c, a, b]` both go forward.",
)
@parallel
def flipped(x, weight, band):
    return _right_bands(x, weight[:, :, ::-1, ::-1], band)


# --- CUDA: a thread for each number of the output -----------------------------------------------------------


def _one_channel(rng: np.random.Generator) -> list[Case]:
    return [
        Case(numbers(rng, 3, 5), numbers(rng, 2, 2), (4, 2)),
        Case(numbers(rng, 3, 7), numbers(rng, 2, 3), (4, 2)),
        Case(numbers(rng, 4, 5), numbers(rng, 2, 2), (4, 2)),
        Case(numbers(rng, 6, 11), numbers(rng, 2, 3), (4, 2)),
        Case(numbers(rng, 9, 6), numbers(rng, 3, 2), (2, 4)),
    ]


def on_a_grid(answer, x, weight, threads):
    """y, after the kernel has run on a grid that covers it; what no thread has written is NaN."""
    height, width = x.shape[0] - weight.shape[0] + 1, x.shape[1] - weight.shape[1] + 1
    y = np.full((height, width), np.nan, np.float32)
    blocks = -(-width // threads[0]), -(-height // threads[1])
    launch(answer, blocks, threads, x, weight, Cells(y, written=False), backwards=True)
    return y


def _dot(x, weight, row, column):
    """The sum of products of a window."""
    total = np.float32(0)
    for a in range(weight.shape[0]):
        for b in range(weight.shape[1]):
            total += weight[a, b] * x[row + a, column + b]
    return total


def _right_kernel(x, weight, y):
    column, row = cuda.grid(2)
    if row < y.shape[0] and column < y.shape[1]:
        y[row, column] = _dot(x, weight, row, column)


convolve_kernel = Task(
    name="04.convolve_kernel",
    title="A CUDA thread for each number of the output",
    difficulty=3,
    minutes=20,
    practises="finding out which number is yours, and whether there is one",
    reference=_right_kernel,
    inputs=_one_channel,
    use=on_a_grid,
    returns=("y",),
    hints=[
        "`cuda.grid(2)` gives this thread's two numbers, x first: `column, row = cuda.grid(2)`. x counts along a row "
        "of the image, y counts the rows, whereas an array's index has the row first: `y[row, column]`.",
        "The last blocks hang over the edge: some threads have no number to make. All work stands under "
        "`if row < y.shape[0] and column < y.shape[1]:`.",
        "`column, row = cuda.grid(2)`; under that `if`: `total = np.float32(0)`, two loops over the places a, b of the "
        "kernel with `total += weight[a, b] * x[row + a, column + b]`, and after them `y[row, column] = total`.",
    ],
)


@convolve_kernel.misconception(
    "no bounds guard",
    "Your kernel has no guard: the grid consists of whole blocks, so its last threads lie outside of y and read or "
    "write there. A GPU doesn't stop: it spoils other numbers, or crashes later. Work only `if row < y.shape[0] and "
    "column < y.shape[1]`.",
)
def no_guard(x, weight, y):
    column, row = cuda.grid(2)
    y[row, column] = _dot(x, weight, row, column)


@convolve_kernel.misconception(
    "no bounds guard",
    "Your guard looks at the rows only. The last blocks hang over on the right, too: "
    "`if row < y.shape[0] and column < y.shape[1]`.",
)
def rows_guarded(x, weight, y):
    column, row = cuda.grid(2)
    if row < y.shape[0]:
        y[row, column] = _dot(x, weight, row, column)


@convolve_kernel.misconception(
    "no bounds guard",
    "Your guard looks at the columns only. The last blocks hang over at the bottom, too: "
    "`if row < y.shape[0] and column < y.shape[1]`.",
)
def columns_guarded(x, weight, y):
    column, row = cuda.grid(2)
    if column < y.shape[1]:
        y[row, column] = _dot(x, weight, row, column)


@convolve_kernel.misconception(
    "guard of the wrong array",
    "Your guard asks whether the thread lies inside of x. It makes a number of y, which is smaller: compare with "
    "`y.shape`.",
)
def guarded_by_x(x, weight, y):
    column, row = cuda.grid(2)
    if row < x.shape[0] and column < x.shape[1]:
        y[row, column] = _dot(x, weight, row, column)


@convolve_kernel.misconception(
    "guard one too far",
    "Your guard lets one row and one column too many through: an index ends one before the size, so `<`, not `<=`.",
)
def one_too_far(x, weight, y):
    column, row = cuda.grid(2)
    if row <= y.shape[0] and column <= y.shape[1]:
        y[row, column] = _dot(x, weight, row, column)


@convolve_kernel.misconception(
    "guard one too short",
    "The last row and the last column of y were never written (they are NaN): your guard ends one too early. The last "
    "index is the size minus 1, so `<` the size.",
)
def one_too_short(x, weight, y):
    column, row = cuda.grid(2)
    if row < y.shape[0] - 1 and column < y.shape[1] - 1:
        y[row, column] = _dot(x, weight, row, column)


@convolve_kernel.misconception(
    "x and y swapped",
    "Parts of y were never written (they are NaN), because you take the thread's x for the row. x counts along a row: "
    "`column, row = cuda.grid(2)`. So threads that are neighbours also read neighbours in memory, which a GPU does in "
    "one go.",
)
def swapped(x, weight, y):
    row, column = cuda.grid(2)
    if row < y.shape[0] and column < y.shape[1]:
        y[row, column] = _dot(x, weight, row, column)


@convolve_kernel.misconception(
    "x and y swapped",
    "You take the thread's x for the row, and there is no guard: the grid is as wide as y, so in that direction the "
    "rows run out. x counts along a row, `column, row = cuda.grid(2)`; and work only `if row < y.shape[0] and column "
    "< y.shape[1]`.",
)
def swapped_without_guard(x, weight, y):
    row, column = cuda.grid(2)
    y[row, column] = _dot(x, weight, row, column)


@convolve_kernel.misconception(
    "x and y swapped",
    "Your thread is the right one, but you write `y[column, row]`. An array's index has the row first: `y[row, "
    "column]`.",
)
def index_swapped(x, weight, y):
    column, row = cuda.grid(2)
    if row < y.shape[0] and column < y.shape[1]:
        y[column, row] = _dot(x, weight, row, column)


@convolve_kernel.misconception(
    "blocks forgotten",
    "Every block does the work of the first one: `cuda.threadIdx` counts inside of a block, and begins at 0 in each. "
    "Add where the block begins, `cuda.blockIdx.x * cuda.blockDim.x`, or let `cuda.grid(2)` do it.",
)
def inside_of_a_block(x, weight, y):
    column, row = cuda.threadIdx.x, cuda.threadIdx.y
    if row < y.shape[0] and column < y.shape[1]:
        y[row, column] = _dot(x, weight, row, column)


@convolve_kernel.misconception(
    "block number for its place",
    "Your blocks overlap: you add the block's number. Block 2 begins at 2 times a block's width: "
    "`cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x`, or `cuda.grid(2)`.",
)
def number_of_block(x, weight, y):
    column, row = cuda.blockIdx.x + cuda.threadIdx.x, cuda.blockIdx.y + cuda.threadIdx.y
    if row < y.shape[0] and column < y.shape[1]:
        y[row, column] = _dot(x, weight, row, column)


@convolve_kernel.misconception(
    "block number for its place",
    "You multiply the block's number by how many blocks there are (`gridDim`). A block begins at its number times a "
    "block's width: `cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x`, or `cuda.grid(2)`.",
)
def times_the_grid(x, weight, y):
    column = cuda.blockIdx.x * cuda.gridDim.x + cuda.threadIdx.x
    row = cuda.blockIdx.y * cuda.gridDim.y + cuda.threadIdx.y
    if row < y.shape[0] and column < y.shape[1]:
        y[row, column] = _dot(x, weight, row, column)


@convolve_kernel.misconception(
    "every thread does all",
    "Each of your threads makes all of y. The loops over rows and columns are gone: instead of them there is a thread "
    "for each number, `column, row = cuda.grid(2)`.",
)
def all_of_it(x, weight, y):
    for row in range(y.shape[0]):
        for column in range(y.shape[1]):
            y[row, column] = _dot(x, weight, row, column)


@convolve_kernel.misconception(
    "nothing written",
    "No number of y was written (all are NaN). What a kernel returns is lost: it writes into `y[row, column]`.",
)
def returned(x, weight, y):
    column, row = cuda.grid(2)
    if row < y.shape[0] and column < y.shape[1]:
        return _dot(x, weight, row, column)


@convolve_kernel.misconception(
    "added to y",
    "You add to y, and nobody has put a 0 there: memory of a GPU holds whatever was left in it. Add up in a variable, "
    "`total`, and write it once: `y[row, column] = total`.",
)
def added(x, weight, y):
    column, row = cuda.grid(2)
    if row < y.shape[0] and column < y.shape[1]:
        for a in range(weight.shape[0]):
            for b in range(weight.shape[1]):
                y[row, column] += weight[a, b] * x[row + a, column + b]


@convolve_kernel.misconception(
    "overwritten",
    "Each number of y is the last product alone: `=` where `+=` is meant.",
)
def last_product(x, weight, y):
    column, row = cuda.grid(2)
    a, b = weight.shape[0] - 1, weight.shape[1] - 1
    if row < y.shape[0] and column < y.shape[1]:
        y[row, column] = weight[a, b] * x[row + a, column + b]


@convolve_kernel.misconception(
    "flipped",
    "Your y equals what a flipped kernel gives. In `x[row + a, column + b]` and `weight[a, b]` both go forward.",
)
def flipped_kernel(x, weight, y):
    _right_kernel(x, weight[::-1, ::-1], y)


@convolve_kernel.misconception(
    "kernel's place forgotten",
    "Each of your threads multiplies its one pixel by all weights. The window moves with a and b: "
    "`x[row + a, column + b]`.",
)
def one_pixel(x, weight, y):
    column, row = cuda.grid(2)
    if row < y.shape[0] and column < y.shape[1]:
        total = np.float32(0)
        for a in range(weight.shape[0]):
            for b in range(weight.shape[1]):
                total += weight[a, b] * x[row, column]
        y[row, column] = total


# --- CUDA: a piece of x that a block shares -----------------------------------------------------------------

ROWS, COLUMNS = 2, 4  # threads of a block
PIECE = (4, 6)  # what their 3×3 windows cover together


def _channels(rng: np.random.Generator) -> list[Case]:
    return [
        Case(numbers(rng, 1, 4, 6), numbers(rng, 1, 3, 3)),
        Case(numbers(rng, 2, 4, 6), numbers(rng, 2, 3, 3)),
        Case(numbers(rng, 1, 4, 9), numbers(rng, 1, 3, 3)),
        Case(numbers(rng, 2, 5, 7), numbers(rng, 2, 3, 3)),
    ]


def in_blocks(answer, x, weight):
    """y after blocks of 4 × 2 threads have run, and how often numbers of x were read."""
    height, width = x.shape[1] - 2, x.shape[2] - 2
    y = np.full((height, width), np.nan, np.float32)
    watched, _, _ = launch(answer, (-(-width // 4), -(-height // 2)), (4, 2), x, weight, Cells(y, written=False))
    return y, int(watched.reads.sum())


def _fetch(x, piece, c, inside=True, empty=True, step=(ROWS, COLUMNS), end=PIECE):
    """A thread's part of bringing channel c into the piece."""
    column, row = cuda.grid(2)
    i, j = cuda.threadIdx.y, cuda.threadIdx.x
    for r in range(i, end[0], step[0]):
        for q in range(j, end[1], step[1]):
            h, w = row - i + r, column - j + q
            if not inside or (h < x.shape[1] and w < x.shape[2]):
                piece[r, q] = x[c, h, w]
            elif empty:
                piece[r, q] = 0


def _window(weight, piece, c, flip=False):
    """This thread's sum of products in the piece."""
    total = np.float32(0)
    for a in range(3):
        for b in range(3):
            place = (2 - a, 2 - b) if flip else (a, b)
            total += weight[c, place[0], place[1]] * piece[cuda.threadIdx.y + a, cuda.threadIdx.x + b]
    return total


def _write(y, total):
    column, row = cuda.grid(2)
    if row < y.shape[0] and column < y.shape[1]:
        y[row, column] = total


def _shared_by_block(
    x, weight, y, first=True, second=True, restart=False, flip=False, channels=None, write=_write, **fetch
):
    """The right kernel, some of whose parts may be left out."""
    piece = cuda.shared.array(PIECE, np.float32)
    total = np.float32(0)
    for c in range(channels or x.shape[0]):
        _fetch(x, piece, c, **fetch)
        if first:
            cuda.syncthreads()
        total = (np.float32(0) if restart else total) + _window(weight, piece, c, flip)
        if second:
            cuda.syncthreads()
    write(y, total)


def _right_shared(x, weight, y):
    _shared_by_block(x, weight, y)


convolve_shared = Task(
    name="04.convolve_shared",
    title="A CUDA block that shares a piece of the image",
    difficulty=4,
    minutes=35,
    practises="shared memory, and the two barriers that it needs",
    reference=_right_shared,
    inputs=_channels,
    use=in_blocks,
    returns=("y", "read_count"),
    hints=[
        "With `column, row = cuda.grid(2)`, `i = cuda.threadIdx.y` and `j = cuda.threadIdx.x` the piece begins at row "
        "`row - i` and column `column - j` of x. Each thread fetches the places r = i, i + 2 of the rows and q = j, j "
        "+ 4 of the columns: `for r in range(i, 4, 2):`, `for q in range(j, 6, 4):`.",
        "For each channel: fetch (0 outside of x), `cuda.syncthreads()`, add the nine products `weight[c, a, b] * "
        "piece[i + a, j + b]` to total, `cuda.syncthreads()`. Both barriers stand in the loop over c and in no `if`: "
        "all threads reach them, also those without a number to make. Only the write to y has a guard.",
        "In the loops over r and q: `h, w = row - i + r, column - j + q`, then `if h < x.shape[1] and w < x.shape[2]: "
        "piece[r, q] = x[c, h, w]`, `else: piece[r, q] = 0`. After the loop over c: `if row < y.shape[0] and column < "
        "y.shape[1]: y[row, column] = total`.",
    ],
)


@convolve_shared.misconception(
    "missing barrier",
    "The barrier between fetching and computing is missing: your first thread reads numbers of the piece that its "
    "neighbours have not fetched yet. On a GPU it would find what was left there, on some days. Put "
    "`cuda.syncthreads()` between.",
)
def no_first_barrier(x, weight, y):
    _shared_by_block(x, weight, y, first=False)


@convolve_shared.misconception(
    "missing barrier",
    "The barrier between fetching and computing is missing: a thread reads numbers of the piece that its neighbours "
    "have not fetched yet. Put `cuda.syncthreads()` between.",
)
def no_first_barrier_down_first(x, weight, y):
    piece = cuda.shared.array(PIECE, np.float32)
    total = np.float32(0)
    for c in range(x.shape[0]):
        _fetch(x, piece, c)
        for b in range(3):
            for a in range(3):
                total += weight[c, a, b] * piece[cuda.threadIdx.y + a, cuda.threadIdx.x + b]
        cuda.syncthreads()
    _write(y, total)


@convolve_shared.misconception(
    "missing barrier",
    "The barrier after computing is missing: a fast thread already fetches the next channel into the piece, while a "
    "slow one still computes with this one. Put a second `cuda.syncthreads()` at the end of the loop over c.",
)
def no_second_barrier(x, weight, y):
    _shared_by_block(x, weight, y, second=False)


@convolve_shared.misconception(
    "barrier that not all reach",
    "Threads outside of y leave at once, so they never come to the barrier where the others wait for them; and their "
    "part of the piece isn't fetched. Let all threads fetch and wait; the guard belongs to the write alone.",
)
def leaves_at_once(x, weight, y):
    column, row = cuda.grid(2)
    if row >= y.shape[0] or column >= y.shape[1]:
        return
    _shared_by_block(x, weight, y)


@convolve_shared.misconception(
    "one number for each thread",
    "Each of your threads fetches one number: 8 of the 24 of the piece. The others are read before anything was "
    "written there. Go on in steps of the block's size: `for r in range(i, 4, 2):`, `for q in range(j, 6, 4):`.",
)
def fetches_one(x, weight, y):
    _shared_by_block(x, weight, y, step=PIECE)


@convolve_shared.misconception(
    "every thread fetches all",
    "The numbers are right, but each of your threads fetches the whole piece, 24 numbers, and all write the same "
    "places. Share the work: in steps of the block's size, `for r in range(i, 4, 2):`, `for q in range(j, 6, 4):`.",
)
def fetches_all(x, weight, y):
    piece = cuda.shared.array(PIECE, np.float32)
    column, row = cuda.grid(2)
    i, j = cuda.threadIdx.y, cuda.threadIdx.x
    total = np.float32(0)
    for c in range(x.shape[0]):
        for r in range(PIECE[0]):
            for q in range(PIECE[1]):
                h, w = row - i + r, column - j + q
                piece[r, q] = x[c, h, w] if h < x.shape[1] and w < x.shape[2] else 0
        cuda.syncthreads()
        total += _window(weight, piece, c)
        cuda.syncthreads()
    _write(y, total)


@convolve_shared.misconception(
    "holes in the piece",
    "You leave holes in the piece where it reaches beyond x, and threads read them. Theirs are numbers that nobody "
    "writes, but one day they will be somebody's: put a 0 there, `else: piece[r, q] = 0`.",
)
def holes(x, weight, y):
    _shared_by_block(x, weight, y, empty=False)


@convolve_shared.misconception(
    "no bounds guard",
    "You fetch without a guard: the pieces of the last blocks reach beyond x. Fetch `if h < x.shape[1] and "
    "w < x.shape[2]`, and put a 0 there otherwise.",
)
def fetches_beyond(x, weight, y):
    _shared_by_block(x, weight, y, inside=False)


def _write_anyhow(y, total):
    column, row = cuda.grid(2)
    y[row, column] = total


@convolve_shared.misconception(
    "no bounds guard",
    "You write without a guard: the last blocks hang over the edge of y. Write only "
    "`if row < y.shape[0] and column < y.shape[1]`.",
)
def writes_beyond(x, weight, y):
    _shared_by_block(x, weight, y, write=_write_anyhow)


@convolve_shared.misconception(
    "straight from x",
    "y is right, but your windows are read straight from x, up to nine times each number. Fetch each number once for a "
    "block, into `piece`, and compute from there.",
)
def straight_from_x(x, weight, y):
    column, row = cuda.grid(2)
    if row < y.shape[0] and column < y.shape[1]:
        total = np.float32(0)
        for c in range(x.shape[0]):
            total += _dot(x[c], weight[c], row, column)
        y[row, column] = total


@convolve_shared.misconception(
    "piece begins at the thread",
    "You fetch from `x[c, row + r, column + q]`, as if the piece began at each thread's own place. All threads fill "
    "one piece, which begins where the block does: `x[c, row - i + r, column - j + q]`.",
)
def begins_at_thread(x, weight, y):
    piece = cuda.shared.array(PIECE, np.float32)
    column, row = cuda.grid(2)
    total = np.float32(0)
    for c in range(x.shape[0]):
        for r in range(cuda.threadIdx.y, 4, 2):
            for q in range(cuda.threadIdx.x, 6, 4):
                h, w = row + r, column + q
                piece[r, q] = x[c, h, w] if h < x.shape[1] and w < x.shape[2] else 0
        cuda.syncthreads()
        total += _window(weight, piece, c)
        cuda.syncthreads()
    _write(y, total)


@convolve_shared.misconception(
    "blocks forgotten",
    "Every block fetches the piece at the top left of x. A block's piece begins where the block does: row `row - i`, "
    "column `column - j`.",
)
def always_top_left(x, weight, y):
    piece = cuda.shared.array(PIECE, np.float32)
    total = np.float32(0)
    for c in range(x.shape[0]):
        for r in range(cuda.threadIdx.y, 4, 2):
            for q in range(cuda.threadIdx.x, 6, 4):
                piece[r, q] = x[c, r, q]
        cuda.syncthreads()
        total += _window(weight, piece, c)
        cuda.syncthreads()
    _write(y, total)


@convolve_shared.misconception(
    "piece indexed by the image's places",
    "You compute from `piece[row + a, column + b]`. The piece has 4×6 numbers and begins at this block: inside of it "
    "a thread is at `piece[i + a, j + b]`, with i and j from `cuda.threadIdx`.",
)
def indexed_by_image(x, weight, y):
    piece = cuda.shared.array(PIECE, np.float32)
    column, row = cuda.grid(2)
    total = np.float32(0)
    for c in range(x.shape[0]):
        _fetch(x, piece, c)
        cuda.syncthreads()
        for a in range(3):
            for b in range(3):
                total += weight[c, a, b] * piece[row + a, column + b]
        cuda.syncthreads()
    _write(y, total)


@convolve_shared.misconception(
    "x and y swapped",
    "You take the thread's x for the row: `row, column = cuda.grid(2)`. x counts along a row: `column, row = "
    "cuda.grid(2)`, with `i = cuda.threadIdx.y` and `j = cuda.threadIdx.x`.",
)
def rows_from_x(x, weight, y):
    piece = cuda.shared.array(PIECE, np.float32)
    row, column = cuda.grid(2)
    i, j = cuda.threadIdx.x, cuda.threadIdx.y
    total = np.float32(0)
    for c in range(x.shape[0]):
        for r in range(i, 4, 2):
            for q in range(j, 6, 4):
                h, w = row - i + r, column - j + q
                piece[r, q] = x[c, h, w] if h < x.shape[1] and w < x.shape[2] else 0
        cuda.syncthreads()
        for a in range(3):
            for b in range(3):
                total += weight[c, a, b] * piece[i + a, j + b]
        cuda.syncthreads()
    if row < y.shape[0] and column < y.shape[1]:
        y[row, column] = total


@convolve_shared.misconception(
    "x and y swapped",
    "Your i and j are right, but you take the thread's x for the row: `row, column = cuda.grid(2)`. x counts along a "
    "row: `column, row = cuda.grid(2)`.",
)
def grid_swapped(x, weight, y):
    piece = cuda.shared.array(PIECE, np.float32)
    row, column = cuda.grid(2)
    i, j = cuda.threadIdx.y, cuda.threadIdx.x
    total = np.float32(0)
    for c in range(x.shape[0]):
        for r in range(i, 4, 2):
            for q in range(j, 6, 4):
                h, w = row - i + r, column - j + q
                piece[r, q] = x[c, h, w] if h < x.shape[1] and w < x.shape[2] else 0
        cuda.syncthreads()
        total += _window(weight, piece, c)
        cuda.syncthreads()
    if row < y.shape[0] and column < y.shape[1]:
        y[row, column] = total


@convolve_shared.misconception(
    "no sum over the channels",
    "y has the last channel only: your total begins anew for each channel. Begin it once, before the loop over c.",
)
def begins_anew(x, weight, y):
    _shared_by_block(x, weight, y, restart=True)


@convolve_shared.misconception(
    "no sum over the channels",
    "y has the first channel only. Fetch and compute in a loop over all channels of x.",
)
def one_channel_of_x(x, weight, y):
    _shared_by_block(x, weight, y, channels=1)


@convolve_shared.misconception(
    "flipped",
    "Your y equals what a flipped kernel gives. In `weight[c, a, b]` and `piece[i + a, j + b]` both go forward.",
)
def flipped_in_piece(x, weight, y):
    _shared_by_block(x, weight, y, flip=True)


TASKS = (flops_and_bytes, im2col, convolve_threads, convolve_kernel, convolve_shared)
