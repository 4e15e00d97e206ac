"""Convolution and transposed convolution as matrix products in cache, their gradients too; `tiles` holds the product.

With a row for every tap of a window (channel, i, j) and a column for every window of the batch, the windows of x are a
matrix too large to store. So three products are made of panels of it, a few hundred columns at most:

* forward: y = weight · windows. A panel of windows is packed and multiplied with the weights of every filter.
* d_x: shares = weightᵀ · grad. A panel of shares is added back to where its windows came from.
* d_weight = grad · windowsᵀ. The windows are read where they are; a panel of grad is turned to lie filter by filter.

The cuts depend on the shapes alone, never on the number of threads, so the sums are always taken in the same order.
"""

from __future__ import annotations

import numpy as np

from zerohero.kernels.numba_cpu.compiling import compiled
from zerohero.kernels.numba_cpu.threads import share
from zerohero.kernels.numba_cpu.tiles import HEIGHT, REGISTER, WIDTH, add, copy, expect, multiply, transpose
from zerohero.ops.convolution import (
    _output_size,
    _transposed_size,
    conv2d,
    conv2d_gradient,
    conv_transpose2d,
    conv_transpose2d_gradient,
)

DEPTH = 10_240 // REGISTER  # rows of windows multiplied at once: a panel of them fits into the first-level cache
GROUP = 6  # panels that share a reading of the weights; so many fit into the second-level cache
TASKS = 16  # at least so many pieces, if the work can be cut into them without cost: enough for as many threads


@conv2d.kernel("numba")
def conv2d_numba(x, weight, bias, stride, padding, dilation, groups):
    if not _takes(x, weight, bias):
        return NotImplemented
    size = _output_size(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    return _convolved(x, weight, bias, size, stride, padding, dilation, groups)


@conv2d_gradient.kernel("numba")
def conv2d_gradient_numba(grad, x, weight, bias, stride, padding, dilation, groups, needs):
    if not _takes(grad, x, weight, bias):
        return NotImplemented
    geometry = stride, padding, dilation, groups
    d_x = _spread(grad, weight, x.shape, *geometry) if "x" in needs else None
    d_weight = _correlated(x, grad, weight.shape, *geometry) if "weight" in needs else None
    return d_x, d_weight, _channel_sums(grad) if "bias" in needs else None


@conv_transpose2d.kernel("numba")
def conv_transpose2d_numba(x, weight, bias, stride, padding, output_padding, dilation, groups):
    if not _takes(x, weight, bias):
        return NotImplemented
    size = _transposed_size(x.shape[2:], weight.shape[2:], stride, padding, output_padding, dilation)
    y = _spread(x, weight, (len(x), weight.shape[1] * groups, *size), stride, padding, dilation, groups)
    return y if bias is None else y + bias[:, None, None]


@conv_transpose2d_gradient.kernel("numba")
def conv_transpose2d_gradient_numba(grad, x, weight, bias, stride, padding, dilation, groups, needs):
    if not _takes(grad, x, weight, bias):
        return NotImplemented
    geometry = stride, padding, dilation, groups
    d_x = _convolved(grad, weight, None, x.shape[2:], *geometry) if "x" in needs else None
    d_weight = _correlated(grad, x, weight.shape, *geometry) if "weight" in needs else None
    return d_x, d_weight, _channel_sums(grad) if "bias" in needs else None


def _takes(*arrays) -> bool:
    """Whether the kernels are for these: something in each, and all of one dtype; the rest is left to NumPy."""
    given = [array for array in arrays if array is not None]
    return all(array.size for array in given) and len({array.dtype for array in given}) == 1


def _plain(array):
    """The array as numba has compiled for: contiguous, and writable (else it would compile once more)."""
    return np.require(array, requirements=["C", "W", "A"])


# ---- the three products -----------------------------------------------------------------------------------


def _convolved(x, weight, bias, size, stride, padding, dilation, groups):
    """y (N, O, OH, OW) = weight · windows + bias."""
    n, channels = x.shape[:2]
    filters = len(weight)
    places = _Places(x.shape, weight.shape[2:], size, stride, padding, dilation, groups)
    bias = np.zeros(filters, x.dtype) if bias is None else _plain(bias)
    y = np.empty((n, filters, *size), x.dtype)
    lanes = WIDTH * REGISTER // x.itemsize
    panels = -(-n * size[0] * size[1] // lanes)
    together = max(1, min(GROUP, panels * groups // TASKS))
    cuts, each = -(-panels // together), filters // groups
    part = -(-each // min(-(-each // HEIGHT), -(-TASKS // (cuts * groups))))  # of the filters, if there's little else
    share(_forward, cuts * groups * -(-each // part), places.stage(x).ravel(), _plain(weight).ravel(), bias, y.ravel(),
          places.taps, places.starts, *places.windows, n, groups, places.plane * channels, part, together)  # fmt: skip
    return y


def _spread(grad, weight, shape, stride, padding, dilation, groups):
    """d_x (shape) = the shares weightᵀ · grad, each added to where its window came from."""
    n, channels = shape[:2]
    places = _Places(shape, weight.shape[2:], grad.shape[2:], stride, padding, dilation, groups)
    each, inputs, area = len(weight) // groups, channels // groups, grad.shape[2] * grad.shape[3]
    staged = np.zeros(n * channels * places.plane + REGISTER, grad.dtype)
    lanes = WIDTH * REGISTER // grad.itemsize
    images = max(1, min(-(-n // TASKS), -(-GROUP * lanes // area)))
    cuts = -(-n // images)
    part = -(-inputs // min(inputs, -(-TASKS // (cuts * groups))))  # of the channels, if there are few images
    share(_backward, cuts * groups * -(-inputs // part), _plain(grad).ravel(), _plain(weight).ravel(), staged,
          places.taps, places.starts, *places.windows, n, groups, each, inputs, images, part,
          places.plane)  # fmt: skip
    return places.unstage(staged)


def _correlated(x, grad, shape, stride, padding, dilation, groups):
    """d_weight (shape) = grad · windowsᵀ."""
    n, filters = grad.shape[:2]
    places = _Places(x.shape, shape[2:], grad.shape[2:], stride, padding, dilation, groups)
    each, depth, positions = filters // groups, shape[1] * shape[2] * shape[3], n * grad.shape[2] * grad.shape[3]
    vectors = -(-each * x.itemsize // REGISTER)  # of filters; a block of them is as wide as a tile or less
    blocks = -(-vectors // WIDTH)
    span = 512  # windows at once
    taps = min(depth, 384)  # taps of a task
    tasks = groups * blocks * -(-depth // taps)
    splits = max(1, min(-(-TASKS // tasks), positions // span))  # of the batch, if there are few weights
    sums = np.empty((splits, filters * depth), x.dtype)
    share(_weights, tasks * splits, places.stage(x).ravel(), _plain(grad).ravel(), sums, places.taps, places.starts,
          *places.windows, n, groups, each, places.plane * x.shape[1], blocks, span, taps, splits)  # fmt: skip
    return (sums[0] if splits == 1 else sums.sum(0)).reshape(shape)


def _channel_sums(grad):
    """The sum over all but axis 1."""
    n, channels = grad.shape[:2]
    result = np.empty(channels, grad.dtype)
    share(_sum_channels, channels, _plain(grad).reshape(n, channels, -1), result)
    return result


# ---- where windows lie ------------------------------------------------------------------------------------


class _Places:
    """Where taps and windows lie in a staged x: padded, columns of one phase side by side.

    Column w of the padded image is column w // stride of phase w % stride, so that neighbouring windows read
    neighbouring numbers, whatever the stride.

    Attributes
    ----------
    plane : int
        Numbers in a staged channel.
    taps : int array (C / G · kh · kw,)
        Where the taps of a window lie, from its start.
    starts : int array (rows,)
        Where the first windows of each row start in an image.
    windows : (rows, columns)
        Windows down and across; where rows follow each other without a gap, they count as one.
    """

    def __init__(self, shape, kernel, size, stride, padding, dilation, groups):
        self.shape, ((self.top, bottom), (self.left, right)) = shape, padding
        _, channels, height, width = shape
        self.rows, columns = height + self.top + bottom, width + self.left + right
        self.phases, self.pitch = stride[1], -(-columns // stride[1])
        line = self.phases * self.pitch
        self.plane = self.rows * line
        down = np.arange(kernel[0]) * dilation[0] * line
        across = np.arange(kernel[1]) * dilation[1]
        across = across % stride[1] * self.pitch + across // stride[1]
        inputs = np.arange(channels // groups) * self.plane
        self.taps = (inputs[:, None, None] + down[:, None] + across).ravel()
        if size[1] == line * stride[0]:
            self.windows = 1, size[0] * size[1]
        else:
            self.windows = size
        self.starts = np.arange(self.windows[0]) * (stride[0] * line)

    @property
    def bare(self) -> bool:
        """Whether staging changes nothing."""
        return self.phases == 1 and self.plane == self.shape[2] * self.shape[3]

    def stage(self, x):
        if self.bare:
            return _plain(x)
        n, channels, height, width = x.shape
        staged = np.empty((n * channels, self.rows, self.phases, self.pitch), x.dtype)
        share(_stage, n * channels, _plain(x).reshape(n * channels, height, width), staged, self.top, self.left)
        return staged

    def unstage(self, staged):
        n, channels, height, width = self.shape
        staged = staged[: n * channels * self.plane]
        if self.bare:
            return staged.reshape(self.shape)
        x = np.empty(self.shape, staged.dtype)
        staged = staged.reshape(n * channels, self.rows, self.phases, self.pitch)
        share(_unstage, n * channels, staged, x.reshape(n * channels, height, width), self.top, self.left)
        return x


@compiled
def _stage(begin, end, x, staged, top, left):
    _, height, width = x.shape
    _, rows, phases, pitch = staged.shape
    for i in range(begin, end):
        for h in range(rows):
            if h < top or h >= top + height:
                staged[i, h] = 0
            elif phases == 1:
                staged[i, h, 0, :left] = 0
                staged[i, h, 0, left : left + width] = x[i, h - top]
                staged[i, h, 0, left + width :] = 0
            else:
                for phase in range(phases):  # columns phase, phase + phases, ... of the padded image
                    first = max(0, -((phase - left) // phases))
                    last = min(pitch, (left + width - phase + phases - 1) // phases)
                    staged[i, h, phase, :first] = 0
                    for w in range(first, last):
                        staged[i, h, phase, w] = x[i, h - top, w * phases + phase - left]
                    staged[i, h, phase, last:] = 0


@compiled
def _unstage(begin, end, staged, x, top, left):
    _, height, width = x.shape
    _, rows, phases, pitch = staged.shape
    for i in range(begin, end):
        for h in range(height):
            if phases == 1:
                x[i, h] = staged[i, h + top, 0, left : left + width]
            else:
                for phase in range(phases):
                    first = max(0, -((phase - left) // phases))
                    last = min(pitch, (left + width - phase + phases - 1) // phases)
                    for w in range(first, last):
                        x[i, h, w * phases + phase - left] = staged[i, h + top, phase, w]


@compiled
def _runs(begin, count, rows, columns, starts, image_size, lanes, pitch, source, place, length):
    """Cut windows begin..begin + count of a batch into runs that lie side by side in a row and in a panel.

    Fills in where each run starts in the source, where in the panels (of `lanes` columns, `pitch` numbers apart), and
    its length; returns their number.
    """
    done, runs = 0, 0
    while done < count:
        image, inside = (begin + done) // (rows * columns), (begin + done) % (rows * columns)
        row, column = inside // columns, inside % columns
        source[runs] = image * image_size + starts[row] + column
        place[runs] = done // lanes * pitch + done % lanes
        length[runs] = min(columns - column, count - done, lanes - done % lanes)
        done += length[runs]
        runs += 1
    return runs


@compiled
def _pack(panels, lanes, array, offset, steps, first, last, source, place, length, runs):
    """Row k - first of the panels = the runs of array, shifted by steps[k].

    Whole registers are copied. What one run writes too much is overwritten by the next run, or with the next row: so
    a panel must have room for one register after its last row.
    """
    register = REGISTER // panels.itemsize
    furthest = 0
    for run in range(runs):
        furthest = max(furthest, source[run] + length[run] + register)
    for k in range(first, last):
        to, of = (k - first) * lanes, offset + steps[k]
        ahead = steps[min(k + 8, len(steps) - 1)] - steps[k]
        if of + furthest <= len(array):
            for run in range(runs):
                for i in range(0, length[run], register):
                    expect(array, of + source[run] + i + ahead)
                    copy(panels, to + place[run] + i, array, of + source[run] + i)
        else:  # at the end of the array: there may be no whole register to read
            for run in range(runs):
                for i in range(length[run]):
                    panels[to + place[run] + i] = array[of + source[run] + i]


@compiled
def _height(left):
    """The height of the next tile, where `left` rows are left."""
    if left == 9 or left == 10 or left == 5:
        return 5
    if left >= HEIGHT:
        return HEIGHT
    return 4 if left >= 4 else 2 if left >= 2 else 1


# ---- the loops over panels and tiles ----------------------------------------------------------------------


@compiled
def _workspace(count, like):
    """Room for numbers, from the start of a cache line on: so no register lies across two lines."""
    line = 64 // like.itemsize
    room = np.empty(count + line, like.dtype)
    return room[-room.ctypes.data % 64 // like.itemsize :]


@compiled
def _forward(begin, end, x, weight, bias, y, taps, starts, rows, columns, images, groups, image_size, part, together):
    """A task: `together` panels of windows, with `part` filters of a group."""
    register = REGISTER // x.itemsize
    lanes, pitch = WIDTH * register, (DEPTH + 1) * WIDTH * register
    area, depth, filters = rows * columns, len(taps), len(bias)
    each, positions, plane = filters // groups, images * area, image_size // groups
    cuts = (positions + together * lanes - 1) // (together * lanes)
    thin_steps, thin_rows = np.arange(DEPTH), np.arange(HEIGHT) * depth
    packed, sums = _workspace(together * pitch, x), _workspace(together * part * lanes, x)
    packed[:] = 0
    source, place = np.empty(together * lanes, np.int64), np.empty(together * lanes, np.int64)
    length = np.empty(together * lanes, np.int64)
    for task in range(begin, end):
        first_window, group = task % cuts * together * lanes, task // cuts % groups
        first_filter = group * each + task // cuts // groups * part
        some = min(part, (group + 1) * each - first_filter)
        count = min(together * lanes, positions - first_window)
        panels = (count + lanes - 1) // lanes
        runs = _runs(first_window, count, rows, columns, starts, image_size, lanes, pitch, source, place, length)
        for first in range(0, depth, DEPTH):
            last = min(first + DEPTH, depth)
            _pack(packed, lanes, x, group * plane, taps, first, last, source, place, length, runs)
            o = 0
            while o < some:
                height = _height(some - o)
                for p in range(panels):
                    at = first_window + p * lanes
                    if at % area + lanes <= area:  # all in one image: finished where they belong
                        multiply(y, (at // area * filters + first_filter + o) * area + at % area, area, packed,
                                 p * pitch, lanes, weight, (first_filter + o) * depth + first, thin_rows, 0,
                                 thin_steps, last - first, bias, first_filter + o, first > 0, height,
                                 WIDTH)  # fmt: skip
                    else:
                        multiply(sums, (p * some + o) * lanes, lanes, packed,
                                 p * pitch, lanes, weight, (first_filter + o) * depth + first, thin_rows, 0,
                                 thin_steps, last - first, bias, first_filter + o, first > 0, height,
                                 min(WIDTH, (count - p * lanes + register - 1) // register))  # fmt: skip
                o += height
        for p in range(panels):
            at = first_window + p * lanes
            if at % area + lanes > area:
                runs = _runs(at, min(lanes, positions - at), 1, area, starts, filters * area, lanes, 0, source, place,
                             length)  # fmt: skip
                for o in range(some):
                    for run in range(runs):
                        to, of = source[run] + (first_filter + o) * area, (p * some + o) * lanes + place[run]
                        for i in range(length[run]):
                            y[to + i] = sums[of + i]


@compiled
def _backward(begin, end, grad, weight, x, taps, starts, rows, columns, images, groups, each, inputs, together, part,
              plane):  # fmt: skip
    """A task: `part` channels of `together` images, to which nobody else adds."""
    register = REGISTER // x.itemsize
    lanes, pitch = WIDTH * register, (each + 1) * WIDTH * register
    area, depth, window = rows * columns, len(taps), len(taps) // inputs
    cuts = (images + together - 1) // together
    panels = min(GROUP, (together * area + lanes - 1) // lanes)
    chunk = min(part, max(1, 96 // window))  # channels at once, to fill tiles
    most = chunk * window
    thin_steps, thin_rows = np.arange(each) * depth, np.arange(HEIGHT)
    grad_steps, nothing = np.arange(each) * area, np.zeros(HEIGHT, x.dtype)
    packed, shares = _workspace(panels * pitch, x), _workspace(panels * most * lanes + lanes, x)
    packed[:] = 0
    source, place = np.empty(panels * lanes, np.int64), np.empty(panels * lanes, np.int64)
    length = np.empty(panels * lanes, np.int64)
    for task in range(begin, end):
        first_image, group = task % cuts * together, task // cuts % groups
        first_channel = task // cuts // groups * part
        last_channel = min(first_channel + part, inputs)
        last_window = min(first_image + together, images) * area
        for at in range(first_image * area, last_window, panels * lanes):
            count = min(panels * lanes, last_window - at)
            runs = _runs(at, count, 1, area, starts, groups * each * area, lanes, pitch, source, place, length)
            _pack(packed, lanes, grad, group * each * area, grad_steps, 0, each, source, place, length, runs)
            runs = _runs(at, count, rows, columns, starts, groups * inputs * plane, lanes, most * lanes, source, place,
                         length)  # fmt: skip
            for channel in range(first_channel, last_channel, chunk):
                first, some = channel * window, min(chunk, last_channel - channel) * window
                k = 0
                while k < some:
                    height = _height(some - k)
                    for p in range((count + lanes - 1) // lanes):
                        width = min(WIDTH, (count - p * lanes + register - 1) // register)
                        multiply(shares, (p * most + k) * lanes, lanes, packed, p * pitch, lanes, weight,
                                 group * each * depth + first + k, thin_rows, 0, thin_steps, each, nothing, 0, False,
                                 height, width)  # fmt: skip
                    k += height
                for k in range(some):
                    to, of = group * inputs * plane + taps[first + k], k * lanes
                    for run in range(runs):
                        for i in range(0, length[run], register):
                            add(x, to + source[run] + i, shares, of + place[run] + i, length[run] - i)


@compiled
def _weights(begin, end, x, grad, sums, taps, starts, rows, columns, images, groups, each, image_size, blocks, span,
             part, splits):  # fmt: skip
    """A task: `part` taps of a block of filters, over one of the `splits` of the batch, to which nobody else adds."""
    register = REGISTER // x.itemsize
    area, depth = rows * columns, len(taps)
    positions, plane = images * area, image_size // groups
    vectors = (each + register - 1) // register
    grad_steps = np.arange(each) * area
    spans, nothing = (positions + span - 1) // span, np.zeros(HEIGHT, x.dtype)
    for task in range(begin, end):
        split, group = task % splits, task // splits % groups
        block, k0 = task // splits // groups % blocks, task // splits // groups // blocks * part
        filter0, width = block * WIDTH * register, min(WIDTH, vectors - block * WIDTH)
        lanes, some = width * register, min(width * register, each - filter0)
        k1 = min(k0 + part, depth)
        packed, turned = _workspace((lanes + 1) * span, x), _workspace(span * lanes, x)
        result = _workspace((k1 - k0 + register) // register * register * lanes, x)
        packed[:], result[:] = 0, 0
        source, place, length = np.empty(span, np.int64), np.empty(span, np.int64), np.empty(span, np.int64)
        thin_steps = np.empty(span, np.int64)
        for piece in range(split * spans // splits, (split + 1) * spans // splits):
            at = piece * span
            count = min(span, positions - at)
            runs = _runs(at, count, 1, area, starts, groups * each * area, span, 0, source, place, length)
            _pack(packed, span, grad, group * each * area, grad_steps, filter0, filter0 + some, source, place, length,
                  runs)  # fmt: skip
            for q in range(0, lanes, register):
                for i in range(0, count, register):
                    transpose(turned, i * lanes + q, lanes, packed, q * span + i, span)
            runs = _runs(at, count, rows, columns, starts, image_size, span, 0, source, place, length)
            for run in range(runs):
                for i in range(length[run]):
                    thin_steps[place[run] + i] = source[run] + i
            k = k0
            while k < k1:
                height = _height(k1 - k)
                multiply(result, (k - k0) * lanes, lanes, turned, 0, lanes, x, group * plane, taps, k, thin_steps,
                         count, nothing, 0, True, height, width)  # fmt: skip
                k += height
        square = np.empty(register * register, x.dtype)
        for q in range(0, lanes, register):
            for k in range(k0, k1, register):
                transpose(square, 0, register, result, (k - k0) * lanes + q, lanes)
                for o in range(min(register, some - q)):
                    for i in range(min(register, k1 - k)):
                        sums[split, (group * each + filter0 + q + o) * depth + k + i] = square[o * register + i]


@compiled
def _sum_channels(begin, end, grad, result):
    images, _, area = grad.shape
    for o in range(begin, end):
        total = 0.0
        for n in range(images):
            part = grad.dtype.type(0)
            for i in range(area):
                part += grad[n, o, i]
            total += part
        result[o] = total
