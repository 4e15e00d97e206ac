"""Convolution without unfolding the batch: windows are packed a panel at a time, into cache, and multiplied there."""

from __future__ import annotations

import numba
import numpy as np
from numba import prange

from zerohero.kernels.numba_cpu.compiling import compiled
from zerohero.kernels.numba_cpu.tiles import HEIGHT, REGISTER, WIDTH, multiply
from zerohero.ops.convolution import _output_size, conv2d, conv2d_gradient

DEPTH = 160  # rows of a panel multiplied at once: a panel and the weights beside it stay in the first-level cache
GROUP = 6  # panels that share one reading of the weights; they stay in the second-level cache


@conv2d.kernel("numba")
def conv2d_numba(x, weight, bias, stride, padding, dilation, groups):
    if not _takes(x, weight, bias):
        return NotImplemented
    size = _output_size(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    if not (x.size and min(size)):
        return NotImplemented
    filters = len(weight)
    y = np.empty((len(x), filters, *size), x.dtype)
    staged, plane, taps, starts = _stage(x, weight.shape[2:], stride, padding, dilation, groups, size)
    shift = np.zeros(filters, x.dtype) if bias is None else np.require(bias, requirements="CW")
    panels = -(-len(x) * size[0] * size[1] // _lanes(x))
    share = _share(panels, groups)
    _forward(staged, np.require(weight, requirements="CW").ravel(), shift, y.ravel(), taps, starts, len(x), filters, groups,
             size[0], size[1], x.shape[1] // groups * plane, x.shape[1] * plane, share)  # fmt: skip
    return y


@conv2d_gradient.kernel("numba")
def conv2d_gradient_numba(grad, x, weight, bias, stride, padding, dilation, groups, needs):
    if not _takes(grad, x, weight) or not (x.size and grad.size):
        return NotImplemented
    grad, weight = np.require(grad, requirements="CW"), np.require(weight, requirements="CW")
    size = grad.shape[2:]
    d_x = d_weight = None
    filters, depth = len(weight), weight[0].size
    inputs = x.shape[1] // groups
    if "weight" in needs:
        staged, plane, taps, starts = _stage(x, weight.shape[2:], stride, padding, dilation, groups, size)
        lanes = _lanes(x)
        blocks = -(-(filters // groups) // lanes)
        turned = np.empty((groups, blocks, len(x) * size[0] * size[1], lanes), x.dtype)
        _turn(grad.reshape(len(x), filters, -1), turned, groups)
        transposed = np.zeros((groups, blocks, depth, lanes), x.dtype)
        share = max(1, -(-depth // HEIGHT * groups * blocks // (4 * numba.get_num_threads())))
        _weights(staged, turned.ravel(), transposed.ravel(), taps, starts, len(x), groups, blocks, size[0], size[1],
                 inputs * plane, x.shape[1] * plane, share)  # fmt: skip
        d_weight = transposed.transpose(0, 1, 3, 2).reshape(groups, blocks * lanes, depth)[:, : filters // groups]
        d_weight = np.ascontiguousarray(d_weight).reshape(weight.shape)
    if "x" in needs:
        d_x = _gradient_of_x(grad, x, weight, stride, padding, dilation, groups)
    return d_x, d_weight, grad.sum((0, 2, 3)) if "bias" in needs else None


def _gradient_of_x(grad, x, weight, stride, padding, dilation, groups):
    (top, bottom), (left, right) = padding
    n, channels, height, width = x.shape
    filters, inputs = len(weight), channels // groups
    rows, columns = height + top + bottom, width + left + right
    phases, pitch = stride[1], -(-columns // stride[1])
    plane = rows * phases * pitch
    taps, starts = _places(inputs, weight.shape[2:], stride, dilation, plane, pitch, grad.shape[2:])
    plain = phases == 1 and rows == height and columns == width
    staged = np.zeros(n * channels * plane, x.dtype)
    threads = numba.get_num_threads()
    per_image = grad.shape[2] * grad.shape[3]
    images = max(1, min(-(-n // (2 * threads)), -(-GROUP * _lanes(x) * 4 // per_image)))
    tasks = -(-n // images) * groups
    parts = min(inputs, -(-4 * threads // tasks))  # of the channels, so that there is work for every thread
    _spread(grad.ravel(), weight.ravel(), staged, taps, starts, n, groups, filters // groups, inputs, images,
            -(-inputs // parts), grad.shape[2], grad.shape[3], plane)  # fmt: skip
    if plain:
        return staged.reshape(x.shape)
    d_x = np.empty(x.shape, x.dtype)
    _unstage(staged.reshape(n * channels, rows, phases, pitch), d_x.reshape(n * channels, height, width), top, left)
    return d_x


def _takes(*arrays) -> bool:
    """Whether all are of one dtype; a mixture is left to NumPy's rules."""
    return len({array.dtype for array in arrays if array is not None}) == 1


def _lanes(x) -> int:
    """Numbers in a row of a tile."""
    return WIDTH * REGISTER // x.itemsize


def _share(panels: int, groups: int) -> int:
    """How many panels a task takes."""
    return max(1, min(GROUP, panels * groups // (2 * numba.get_num_threads())))


def _stage(x, kernel, stride, padding, dilation, groups, size):
    """x, padded and with columns of one phase side by side, as a flat array; the numbers in one of its planes; and
    where taps and rows of windows lie in it."""
    (top, bottom), (left, right) = padding
    n, channels, height, width = x.shape
    rows, columns = height + top + bottom, width + left + right
    phases, pitch = stride[1], -(-columns // stride[1])
    plane = rows * phases * pitch
    taps, starts = _places(channels // groups, kernel, stride, dilation, plane, pitch, size)
    if phases == 1 and rows == height and columns == width:
        return np.require(x, requirements="CW").ravel(), plane, taps, starts
    staged = np.empty((n * channels, rows, phases, pitch), x.dtype)
    _copy_in(np.require(x, requirements="CW").reshape(n * channels, height, width), staged, top, left)
    return staged.ravel(), plane, taps, starts


def _places(inputs, kernel, stride, dilation, plane, pitch, size):
    """Offsets of a window's taps from its start, (C / G · kh · kw,), and of the rows of windows, (OH,).

    Column w of the padded image is column w // stride of phase w % stride, so that neighbouring windows read
    neighbouring numbers, whatever the stride.
    """
    down = np.arange(kernel[0]) * dilation[0]
    across = np.arange(kernel[1]) * dilation[1]
    across = across % stride[1] * pitch + across // stride[1]
    taps = np.arange(inputs)[:, None, None] * plane + down[:, None] * (stride[1] * pitch) + across
    return taps.ravel(), np.arange(size[0]) * (stride[0] * stride[1] * pitch)


@compiled(parallel=True)
def _copy_in(x, staged, top, left):
    planes, height, width = x.shape
    _, rows, phases, pitch = staged.shape
    for i in prange(planes):
        for h in range(rows):
            inside = top <= h < top + height
            for phase in range(phases):
                for w in range(pitch):
                    column = w * phases + phase - left
                    if inside and 0 <= column < width:
                        staged[i, h, phase, w] = x[i, h - top, column]
                    else:
                        staged[i, h, phase, w] = 0


@compiled(parallel=True)
def _unstage(staged, d_x, top, left):
    planes, height, width = d_x.shape
    phases = staged.shape[2]
    for i in prange(planes):
        for h in range(height):
            for w in range(width):
                d_x[i, h, w] = staged[i, h + top, (w + left) % phases, (w + left) // phases]


@compiled
def _pack(panel, lanes, staged, taps, first, last, starts, position, count, rows, columns, image_size, offset):
    """Rows first..last of the windows at positions position..position + count, as panel[row, lane]."""
    lane = 0
    while lane < count:  # a run of windows in one row of one image
        at = position + lane
        image, inside = at // (rows * columns), at % (rows * columns)
        row, column = inside // columns, inside % columns
        run = min(columns - column, count - lane)
        start = image * image_size + offset + starts[row] + column
        for k in range(first, last):
            source, to = start + taps[k], (k - first) * lanes + lane
            for i in range(run):
                panel[to + i] = staged[source + i]
        lane += run
    for k in range(last - first):
        for i in range(count, lanes):
            panel[k * lanes + i] = 0


@compiled
def _unpack(tile, lanes, o, shift, y, y_row, position, count, area, y_image):
    """One row of a finished panel goes to plane `o` of the images it is from."""
    lane = 0
    while lane < count:
        at = position + lane
        image, inside = at // area, at % area
        run = min(area - inside, count - lane)
        to = image * y_image + y_row + inside
        for i in range(run):
            y[to + i] = tile[o * lanes + lane + i] + shift
        lane += run


@compiled(parallel=True)
def _forward(staged, weight, shift, y, taps, starts, images, filters, groups, rows, columns, group_size, image_size,
             share):  # fmt: skip
    lanes = WIDTH * REGISTER // staged.itemsize
    area = rows * columns
    positions = images * area
    per_task = share * lanes
    tasks = (positions + per_task - 1) // per_task
    each, depth = filters // groups, len(taps)
    thin_steps, wide_steps = np.arange(DEPTH), np.arange(DEPTH) * lanes
    for task in prange(tasks * groups):
        group, begin = task // tasks, task % tasks * per_task
        panels = min(share, (positions - begin + lanes - 1) // lanes)
        packed = np.empty(panels * DEPTH * lanes, staged.dtype)
        sums = np.empty(panels * each * lanes, staged.dtype)
        for first in range(0, depth, DEPTH):
            last = min(first + DEPTH, depth)
            for p in range(panels):
                at = begin + p * lanes
                _pack(packed[p * DEPTH * lanes :], lanes, staged, taps, first, last, starts, at,
                      min(lanes, positions - at), rows, columns, image_size, group * group_size)  # fmt: skip
            for o in range(0, each, HEIGHT):
                for p in range(panels):
                    multiply(min(HEIGHT, each - o), WIDTH, sums, (p * each + o) * lanes, lanes, packed,
                             p * DEPTH * lanes, wide_steps, weight, depth, (group * each + o) * depth + first,
                             thin_steps, last - first, first > 0)  # fmt: skip
        for p in range(panels):
            at = begin + p * lanes
            for o in range(each):
                channel = group * each + o
                _unpack(sums[p * each * lanes :], lanes, o, shift[channel], y, channel * area, at,
                        min(lanes, positions - at), area, filters * area)  # fmt: skip


@compiled(parallel=True)
def _turn(grad, turned, groups):
    """(N, O, OH·OW) to (groups, blocks, N·OH·OW, lanes): the filters of a block side by side."""
    images, filters, area = grad.shape
    _, blocks, _, lanes = turned.shape
    each = filters // groups
    for task in prange(groups * blocks * images):
        image, block = task % images, task // images
        group, first = block // blocks, block % blocks * lanes
        count = min(lanes, each - first)
        for p in range(area):
            for lane in range(count):
                turned[group, block % blocks, image * area + p, lane] = grad[image, group * each + first + lane, p]
            for lane in range(count, lanes):
                turned[group, block % blocks, image * area + p, lane] = 0


@compiled(parallel=True)
def _weights(staged, turned, transposed, taps, starts, images, groups, blocks, rows, columns, group_size, image_size,
             share):  # fmt: skip
    """transposed[tap, filter] = Σ over windows of x[window, tap] · grad[window, filter], in blocks of filters.

    A task owns some taps of a block, so nobody else adds to them, and the order of the sum is always the same.
    """
    lanes = WIDTH * REGISTER // staged.itemsize
    depth, area = len(taps), rows * columns
    per_task = share * HEIGHT
    parts = (depth + per_task - 1) // per_task
    wide_steps, thin_steps = np.arange(area) * lanes, np.arange(area)
    for task in prange(groups * blocks * parts):
        block, first = task // parts, task % parts * per_task
        last = min(first + per_task, depth)
        packed = np.empty(HEIGHT * area, staged.dtype)
        for image in range(images):
            source = image * image_size + block // blocks * group_size
            for k in range(first, last, HEIGHT):
                count = min(HEIGHT, last - k)
                for q in range(count):
                    for row in range(rows):
                        start = source + taps[k + q] + starts[row]
                        for column in range(columns):
                            packed[q * area + row * columns + column] = staged[start + column]
                multiply(count, WIDTH, transposed, (block * depth + k) * lanes, lanes, turned,
                         (block * images + image) * area * lanes, wide_steps, packed, area, 0, thin_steps,
                         area, image > 0)  # fmt: skip


@compiled(parallel=True)
def _spread(grad, weight, staged, taps, starts, images, groups, each, inputs, per_task, channels, rows, columns, plane):
    """Every window's share of the gradient, added to the padded images: staged += fold(weightᵀ · grad).

    A task owns some channels of some images, so nobody else adds to them.
    """
    lanes = WIDTH * REGISTER // staged.itemsize
    area, depth = rows * columns, len(taps)
    window = depth // inputs
    parts, tasks = (inputs + channels - 1) // channels, (images + per_task - 1) // per_task
    wide_steps, thin_steps = np.arange(each) * lanes, np.arange(each) * depth
    for task in prange(tasks * groups * parts):
        part, group, begin = task % parts, task // parts % groups, task // parts // groups * per_task
        positions = min(per_task, images - begin) * area
        panels = min(GROUP, (positions + lanes - 1) // lanes)
        packed = np.empty(panels * each * lanes, staged.dtype)
        chunk = min(channels, max(1, 72 // window))  # channels at once, so that tiles are filled by several
        most = chunk * window
        shares = np.empty(panels * most * lanes, staged.dtype)
        for some in range(0, positions, panels * lanes):
            now = min(panels, (positions - some + lanes - 1) // lanes)
            for p in range(now):
                at = some + p * lanes
                count = min(lanes, positions - at)
                lane = 0
                while lane < count:
                    image, inside = (at + lane) // area, (at + lane) % area
                    run = min(area - inside, count - lane)
                    source = ((begin + image) * groups + group) * each * area + inside
                    for o in range(each):
                        for i in range(run):
                            packed[(p * each + o) * lanes + lane + i] = grad[source + o * area + i]
                    lane += run
                for o in range(each):
                    for i in range(count, lanes):
                        packed[(p * each + o) * lanes + i] = 0
            for channel in range(part * channels, min((part + 1) * channels, inputs), chunk):
                taps_now = min(chunk, min((part + 1) * channels, inputs) - channel) * window
                for k in range(0, taps_now, HEIGHT):
                    for p in range(now):
                        multiply(min(HEIGHT, taps_now - k), WIDTH, shares, (p * most + k) * lanes, lanes, packed,
                                 p * each * lanes, wide_steps, weight, 1,
                                 group * each * depth + channel * window + k, thin_steps, each, False)  # fmt: skip
                for p in range(now):
                    at = some + p * lanes
                    count = min(lanes, positions - at)
                    lane = 0
                    while lane < count:
                        image, inside = (at + lane) // area, (at + lane) % area
                        row, column = inside // columns, inside % columns
                        run = min(columns - column, count - lane)
                        start = ((begin + image) * groups + group) * inputs * plane + starts[row] + column
                        for k in range(taps_now):
                            to, of = start + taps[channel * window + k], (p * most + k) * lanes + lane
                            for i in range(run):
                                staged[to + i] += shares[of + i]
                        lane += run
