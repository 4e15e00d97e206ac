"""Convolution on the GPU: windows laid out as columns for one matrix product, and a tiled form to learn from."""

from __future__ import annotations

import functools
import math
from typing import Any

from numba import cuda

from zerohero.kernels.cuda import products
from zerohero.kernels.cuda.launching import SHARED_BYTES, THREADS, launch
from zerohero.operation import array_module
from zerohero.ops import convolution as definition
from zerohero.ops.convolution import conv2d, conv2d_gradient, conv_transpose2d, conv_transpose2d_gradient

# A patch of the output is TILE × TILE: 256 threads share one piece of x. For a 3×3 kernel that piece has 18 × 18
# values, each used up to nine times, so that the GPU's memory is read 1.3 times instead of nine times.
TILE = 16

# The columns of a batch are made for so many bytes of it at a time: large enough that the matrix product runs at full
# speed, small enough to leave memory for the model (the columns of PrimaryCaps at batch 128 take 382 MB).
COLUMN_BYTES = 512 * 2**20


@functools.cache
def window_kernels(kernel: tuple, stride: tuple, dilation: tuple, dtype: Any) -> tuple[Any, Any]:
    """`unfold` and `fold` for these sizes: divisions by numbers that the compiler knows cost next to nothing.

    Columns are (C · kh · kw, N · OH · OW): a row for each place in a window, a column for each window.
    """
    (kh, kw), (stride_down, stride_right), (dilation_down, dilation_right) = kernel, stride, dilation
    reach_down, reach_right = definition._extent(kernel, dilation)

    @cuda.jit
    def unfold_kernel(x, columns, rows, cols, top, left):
        """Copy windows of x (N, C, H, W) into columns. A thread copies one window of one channel.

        Neighbouring threads have neighbouring windows: what a warp writes lies side by side in memory.
        """
        _, _, height, width = x.shape
        window = cuda.grid(1)
        c = cuda.blockIdx.y
        if window >= columns.shape[1]:
            return  # the last block hangs over the end
        above = window // cols
        ow, n = window - above * cols, above // rows
        oh = above - n * rows
        for i in range(kh):
            h = oh * stride_down + i * dilation_down - top
            for j in range(kw):
                w = ow * stride_right + j * dilation_right - left
                value = dtype(0)  # padding
                if 0 <= h < height and 0 <= w < width:
                    value = x[n, c, h, w]
                columns[(c * kh + i) * kw + j, window] = value

    @cuda.jit
    def fold_kernel(columns, x, rows, cols, top, left):
        """Add columns back to where their windows came from. A thread makes one value of x (N, C, H, W).

        Each thread gathers from all windows that hold its place, instead of each window scattering its values: no two
        threads write the same value, so no atomic additions are needed, and the sum has the same order in every run.
        """
        _, _, height, width = x.shape
        n, c = cuda.blockIdx.x, cuda.blockIdx.y
        for h in range(cuda.threadIdx.y, height, cuda.blockDim.y):
            # windows begin at stride · oh - top: those that reach h and don't begin below it
            first_down = max(0, (h + top - reach_down) // stride_down + 1)
            last_down = min(rows - 1, (h + top) // stride_down)
            for w in range(cuda.threadIdx.x, width, cuda.blockDim.x):
                first_right = max(0, (w + left - reach_right) // stride_right + 1)
                last_right = min(cols - 1, (w + left) // stride_right)
                total = dtype(0)
                for oh in range(first_down, last_down + 1):
                    down = h + top - oh * stride_down  # how far below the window's first row this is
                    i = down // dilation_down
                    if i * dilation_down == down:
                        for ow in range(first_right, last_right + 1):
                            right = w + left - ow * stride_right
                            j = right // dilation_right
                            if j * dilation_right == right:
                                total += columns[(c * kh + i) * kw + j, (n * rows + oh) * cols + ow]
                x[n, c, h, w] = total

    return unfold_kernel, fold_kernel


def unfold(x, kernel, stride, padding, dilation, groups, size):
    """`ops.convolution.unfold` by the kernel: (groups, C / groups · kh · kw, N · OH · OW)."""
    xp, (n, channels) = array_module(x), x.shape[:2]
    columns = xp.empty((channels * math.prod(kernel), n * math.prod(size)), x.dtype)
    (top, _), (left, _) = padding
    compiled, _ = window_kernels(tuple(kernel), stride, dilation, x.dtype.type)
    blocks = (-(-columns.shape[1] // THREADS), channels)
    launch(compiled, blocks, THREADS, xp.ascontiguousarray(x), columns, *size, top, left)
    return columns.reshape(groups, channels // groups * math.prod(kernel), columns.shape[1])


def fold(columns, shape, kernel, stride, padding, dilation, size):
    """`ops.convolution.fold` by the kernel: an array of `shape`, (N, C, H, W)."""
    xp, (n, channels, height, width) = array_module(columns), shape
    x = xp.empty(shape, columns.dtype)
    columns = xp.ascontiguousarray(columns).reshape(channels * math.prod(kernel), n * math.prod(size))
    (top, _), (left, _) = padding
    _, compiled = window_kernels(tuple(kernel), stride, dilation, columns.dtype.type)
    across = max(1, min(width, THREADS))
    threads = (across, max(1, min(height, THREADS // across)))
    launch(compiled, (n, channels), threads, columns, x, *size, top, left)
    return x


@conv2d.kernel("cupy")
def conv2d_cuda(x, weight, bias, stride, padding, dilation, groups):
    xp, size = array_module(x), definition._output_size(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    y = xp.empty((len(x), len(weight), *size), _dtype(x, weight))
    for part in _parts(x, weight, size):
        columns = unfold(x[part], weight.shape[2:], stride, padding, dilation, groups, size)
        product = products.matmul(definition._by_group(weight, groups), columns)  # (G, O / G, n·OH·OW)
        product = product.reshape(len(weight), len(x[part]), *size).swapaxes(0, 1)
        if bias is None:
            y[part] = product
        else:
            xp.add(product, bias[:, None, None], out=y[part])
    return y


@conv2d_gradient.kernel("cupy")
def conv2d_gradient_cuda(grad, x, weight, bias, stride, padding, dilation, groups, needs):
    xp, size, kernel = array_module(x), grad.shape[2:], weight.shape[2:]
    d_x = xp.empty(x.shape, _dtype(grad, weight)) if "x" in needs else None
    d_weight = xp.zeros(weight.shape, _dtype(grad, x)) if "weight" in needs else None
    d_bias = xp.zeros(len(weight), grad.dtype) if "bias" in needs else None
    for part in _parts(x, weight, size):
        rows = definition._channels_first(grad[part], groups)  # (G, O / G, n·OH·OW)
        if d_bias is not None:
            d_bias += rows.sum(2).reshape(-1)
        if d_weight is not None:
            columns = unfold(x[part], kernel, stride, padding, dilation, groups, size)
            products.matmul(rows, columns.swapaxes(1, 2), definition._by_group(d_weight, groups), add=True)
        if d_x is not None:
            columns = products.matmul(definition._by_group(weight, groups).swapaxes(1, 2), rows)
            d_x[part] = fold(columns, x[part].shape, kernel, stride, padding, dilation, size)
    return d_x, d_weight, d_bias


@conv_transpose2d.kernel("cupy")
def conv_transpose2d_cuda(x, weight, bias, stride, padding, output_padding, dilation, groups):
    kernel, channels = weight.shape[2:], weight.shape[1] * groups
    size = definition._transposed_size(x.shape[2:], kernel, stride, padding, output_padding, dilation)
    columns = products.matmul(
        definition._by_group(weight, groups).swapaxes(1, 2), definition._channels_first(x, groups)
    )
    y = fold(columns, (len(x), channels, *size), kernel, stride, padding, dilation, x.shape[2:])
    return y if bias is None else y + bias[:, None, None]


@conv_transpose2d_gradient.kernel("cupy")
def conv_transpose2d_gradient_cuda(grad, x, weight, bias, stride, padding, dilation, groups, needs):
    d_x = d_weight = None
    columns = unfold(grad, weight.shape[2:], stride, padding, dilation, groups, x.shape[2:])
    if "x" in needs:
        d_x = products.matmul(definition._by_group(weight, groups), columns)  # a convolution of the gradient
        d_x = d_x.reshape(x.shape[1], len(x), *x.shape[2:]).swapaxes(0, 1)
    if "weight" in needs:
        d_weight = products.matmul(definition._channels_first(x, groups), columns.swapaxes(1, 2)).reshape(weight.shape)
    return d_x, d_weight, grad.sum((0, 2, 3)) if "bias" in needs else None


def _parts(x, weight, size) -> list[slice]:
    """The batch in slices whose columns take at most COLUMN_BYTES."""
    each = x.shape[1] * math.prod(weight.shape[2:]) * math.prod(size) * x.dtype.itemsize
    step = max(1, COLUMN_BYTES // max(each, 1))
    return [slice(start, min(start + step, len(x))) for start in range(0, len(x), step)]


def _dtype(a, b) -> Any:
    """The dtype of the product of two arrays."""
    return a.dtype if a.dtype.itemsize >= b.dtype.itemsize else b.dtype


# ---- the tiled form: no columns, but a piece of x shared by the threads that need it ---------------------


@functools.cache
def tiled_kernel(kernel: tuple, stride: tuple, dilation: tuple, tile: int, dtype: Any) -> Any:
    """The kernel for these sizes: an array that threads share has a size known when it is compiled."""
    (kh, kw), (stride_down, stride_right), (dilation_down, dilation_right) = kernel, stride, dilation
    piece = _piece(kernel, stride, dilation, tile)
    piece_height, piece_width = piece

    @cuda.jit
    def convolve(x, weight, bias, y, top, left):
        """Convolve x (N, C, H, W) with weight (O, C / G, kh, kw). A block makes TILE × TILE values of one y[n, o].

        Channel after channel, its threads first fetch the piece of x under the tile together, each a few values, then
        each computes its own window from there.
        """
        shared = cuda.shared.array(piece, dtype)
        _, channels, height, width = x.shape
        filters, depth, _, _ = weight.shape
        _, _, rows, cols = y.shape
        n, o = cuda.blockIdx.x // filters, cuda.blockIdx.x % filters
        first = o // (filters // (channels // depth)) * depth  # the first channel of this filter's group
        i, j = cuda.threadIdx.y, cuda.threadIdx.x
        up, back = cuda.blockIdx.y * tile, cuda.blockIdx.z * tile  # where the tile begins
        total = bias[o]
        for c in range(depth):
            for r in range(i, piece_height, tile):
                h = up * stride_down - top + r
                for q in range(j, piece_width, tile):
                    w = back * stride_right - left + q
                    if 0 <= h < height and 0 <= w < width:
                        shared[r, q] = x[n, first + c, h, w]
                    else:
                        shared[r, q] = 0
            cuda.syncthreads()  # no thread reads before all have written
            for a in range(kh):
                for b in range(kw):
                    value = shared[i * stride_down + a * dilation_down, j * stride_right + b * dilation_right]
                    total += weight[o, c, a, b] * value
            cuda.syncthreads()  # no thread writes the next channel before all have read this one
        if up + i < rows and back + j < cols:
            y[n, o, up + i, back + j] = total

    return convolve


def conv2d_tiled(x, weight, bias=None, *, stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), tile=TILE):
    """`conv2d` by the tiled kernel, from which to learn; the engine uses columns and cuBLAS.

    Parameters
    ----------
    x : array (N, C, H, W)
    weight : array (O, C / groups, kh, kw)
    bias : array (O,), optional
    stride, dilation : pair of ints
    padding : ((top, bottom), (left, right))
    tile : int
        Height and width of the part of the output that a block makes.

    Returns
    -------
    array (N, O, OH, OW)

    Raises
    ------
    ValueError
        If the piece of x under a tile is larger than what a block can share.
    """
    xp, kernel = array_module(x), tuple(weight.shape[2:])
    piece = _piece(kernel, stride, dilation, tile)
    if math.prod(piece) * x.dtype.itemsize > SHARED_BYTES:
        raise ValueError(
            f"conv2d_tiled: tile {tile} needs a piece of x of {piece[0]} × {piece[1]}, more than the {SHARED_BYTES} "
            "bytes that a block shares; take a smaller tile"
        )
    size = definition._output_size(x.shape[2:], kernel, stride, padding, dilation)
    y = xp.empty((len(x), len(weight), *size), x.dtype)
    bias = xp.zeros(len(weight), x.dtype) if bias is None else bias
    blocks = (len(x) * len(weight), -(-size[0] // tile), -(-size[1] // tile))
    (top, _), (left, _) = padding
    compiled = tiled_kernel(kernel, stride, dilation, tile, x.dtype.type)
    launch(compiled, blocks, (tile, tile), xp.ascontiguousarray(x), xp.ascontiguousarray(weight), bias, y, top, left)
    return y


def _piece(kernel: tuple, stride: tuple, dilation: tuple, tile: int) -> tuple[int, int]:
    """Height and width of what the windows of a tile cover together."""
    extent = definition._extent(kernel, dilation)
    return (tile - 1) * stride[0] + extent[0], (tile - 1) * stride[1] + extent[1]
