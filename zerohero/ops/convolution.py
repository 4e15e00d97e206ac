"""Convolution: the slide's loops, the windows + matrix-product form, and the transposed convolution.

All of them slide the kernel without flipping it (cross-correlation), as every deep-learning library does.
"""

from __future__ import annotations

import numpy as np

from zerohero.arguments import Padding, Pair, images, integer, padding_pairs, pair
from zerohero.operation import array_module, float_array, float_dtype, operation, sliding_windows


def conv2d_loops(x, weight, bias=None, *, stride=1, padding=0):
    """Convolution as the slide does it: four loops and a sum of products; the definition, not the fast form.

    Parameters
    ----------
    x : array (H, W), (C, H, W) or (N, C, H, W)
    weight : array (kh, kw) with (H, W), else (O, C, kh, kw)
    bias : array (O,), optional
    stride, padding : int
        Steps between positions; rows and columns of zeros added on each side.

    Returns
    -------
    array (OH, OW), (O, OH, OW) or (N, O, OH, OW)
        OH = (H + 2·padding - kh) // stride + 1, and OW likewise.

    Examples
    --------
    >>> conv2d_loops([[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[1, 0], [0, 1]])
    array([[ 6.,  8.],
           [12., 14.]], dtype=float32)
    """
    beside = float_dtype([x, weight, bias])
    x, weight = float_array(x, "conv2d_loops", "x", beside), float_array(weight, "conv2d_loops", "weight", beside)
    bias = None if bias is None else float_array(bias, "conv2d_loops", "bias", beside)
    plain = _prepare(x, weight, bias, stride, padding, 1, 1, where="conv2d_loops")
    (top, bottom), (left, right) = plain["padding"]
    step_down, step_right = plain["stride"]
    padded = np.pad(plain["x"], ((0, 0), (0, 0), (top, bottom), (left, right)))
    kernels = plain["weight"]
    images_count, _, height, width = padded.shape
    filters, _, kh, kw = kernels.shape
    rows, columns = (height - kh) // step_down + 1, (width - kw) // step_right + 1
    y = np.zeros((images_count, filters, rows, columns), dtype=beside)
    for n in range(images_count):
        for o in range(filters):
            for i in range(rows):
                for j in range(columns):
                    top, left = i * step_down, j * step_right
                    window = padded[n, :, top : top + kh, left : left + kw]  # (C, kh, kw)
                    y[n, o, i, j] = np.sum(window * kernels[o])
            if bias is not None:
                y[n, o] += bias[o]
    return y.reshape(y.shape[4 - x.ndim :])


def _prepare(x, weight, bias, stride, padding, dilation, groups, where="conv2d"):
    batch, kernels = images(x, where), _kernels(x, weight, where, "(out, in / groups, kh, kw)")
    groups = integer(groups, where, "groups", least=1)
    stride, dilation = pair(stride, where, "stride", least=1), pair(dilation, where, "dilation", least=1)
    filters, depth = kernels.shape[:2]
    if batch.shape[1] != depth * groups:
        raise ValueError(
            f"{where}: weight expects {depth * groups} input channels (weight.shape[1] × groups), but x has "
            f"{batch.shape[1]}: x {x.shape}, weight {weight.shape}"
        )
    if filters % groups:
        raise ValueError(
            f"{where}: groups needs to divide the {filters} filters of weight {weight.shape}, got {groups}"
        )
    if bias is not None and bias.shape != (filters,):
        raise ValueError(f"{where}: bias needs shape ({filters},), one per filter, but has shape {bias.shape}")
    window = _extent(kernels.shape[2:], dilation)
    padding = padding_pairs(padding, where, batch.shape[2:], window, stride)
    for size, ends, extent, axis in zip(batch.shape[2:], padding, window, ("height", "width"), strict=True):
        if size + sum(ends) < extent:
            raise ValueError(
                f"{where}: the kernel spans {extent} in {axis}, but the padded x has only {size + sum(ends)}: "
                f"x {x.shape}, weight {weight.shape}, padding {padding}, dilation {dilation}"
            )
    return dict(x=batch, weight=kernels, bias=bias, stride=stride, padding=padding, dilation=dilation, groups=groups)


@operation(inputs=3, prepare=_prepare)
def conv2d(x, weight, bias=None, *, stride=1, padding=0, dilation=1, groups=1):
    """2-D convolution (cross-correlation): every filter's dot product with every window of x.

    Parameters
    ----------
    x : array (H, W), (C, H, W) or (N, C, H, W)
    weight : array (kh, kw) with an x of (H, W), else (O, C / groups, kh, kw)
    bias : array (O,), optional
    stride : int or (vertical, horizontal)
        Step between neighbouring windows.
    padding : int, (vertical, horizontal), ((top, bottom), (left, right)) or "same"
        Zeros added around x; "same" gives ceil(H / stride) rows (ONNX's SAME_UPPER).
    dilation : int or (vertical, horizontal)
        Step between neighbouring values inside a window.
    groups : int
        Filters are split into this many groups; each sees its own C / groups channels.

    Returns
    -------
    array (OH, OW), (O, OH, OW) or (N, O, OH, OW)
        OH = (H + top + bottom - dilation·(kh - 1) - 1) // stride + 1, and OW likewise.

    Raises
    ------
    ValueError
        If shapes, stride, padding, dilation and groups do not fit together.

    References
    ----------
    LeCun et al. 1998, "Gradient-based learning applied to document recognition", doi:10.1109/5.726791.

    Examples
    --------
    >>> conv2d([[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[1, 0], [0, 1]])
    array([[ 6.,  8.],
           [12., 14.]], dtype=float32)
    """
    size = _output_size(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    columns = unfold(x, weight.shape[2:], stride, padding, dilation, groups)  # (G, C/G·kh·kw, N·OH·OW)
    y = _by_group(weight, groups) @ columns  # (G, O/G, N·OH·OW)
    y = array_module(y).ascontiguousarray(y.reshape(len(weight), len(x), *size).swapaxes(0, 1))  # (N, O, OH, OW)
    return y if bias is None else y + bias[:, None, None]


@conv2d.gradient
def conv2d_gradient(grad, x, weight, bias, stride, padding, dilation, groups, needs):
    rows = _channels_first(grad, groups)  # (G, O/G, N·OH·OW)
    d_x = d_weight = None
    if "weight" in needs:
        columns = unfold(x, weight.shape[2:], stride, padding, dilation, groups)
        d_weight = (rows @ columns.swapaxes(1, 2)).reshape(weight.shape)
    if "x" in needs:
        columns = _by_group(weight, groups).swapaxes(1, 2) @ rows  # each window's share, to be added where it came from
        d_x = fold(columns, x.shape, weight.shape[2:], stride, padding, dilation, grad.shape[2:])
    return d_x, d_weight, grad.sum((0, 2, 3)) if "bias" in needs else None


def _prepare_transposed(x, weight, bias, stride, padding, output_padding, dilation, groups):
    where = "conv_transpose2d"
    batch, kernels = images(x, where), _kernels(x, weight, where, "(in, out / groups, kh, kw)")
    groups = integer(groups, where, "groups", least=1)
    stride, dilation = pair(stride, where, "stride", least=1), pair(dilation, where, "dilation", least=1)
    output_padding = pair(output_padding, where, "output_padding", least=0)
    if batch.shape[1] != kernels.shape[0]:
        raise ValueError(
            f"{where}: weight expects {kernels.shape[0]} input channels (weight.shape[0]), but x has {batch.shape[1]}: "
            f"x {x.shape}, weight {weight.shape}"
        )
    if kernels.shape[0] % groups:
        raise ValueError(f"{where}: groups needs to divide the {kernels.shape[0]} input channels, but got {groups}")
    filters = kernels.shape[1] * groups
    if bias is not None and bias.shape != (filters,):
        raise ValueError(f"{where}: bias needs shape ({filters},), one per output channel, but has shape {bias.shape}")
    for extra, s, d in zip(output_padding, stride, dilation, strict=True):
        if extra >= max(s, d):
            raise ValueError(
                f"{where}: output_padding needs to be smaller than stride or dilation, but got {output_padding} with "
                f"stride {stride} and dilation {dilation}"
            )
    if isinstance(padding, str):
        raise ValueError(f"{where}: padding needs integers, but got {padding!r}")
    padding = padding_pairs(padding, where, batch.shape[2:], _extent(kernels.shape[2:], dilation), stride)
    size = _transposed_size(batch.shape[2:], kernels.shape[2:], stride, padding, output_padding, dilation)
    if min(size) < 1:
        raise ValueError(f"{where}: padding {padding} leaves no output: it would have {size[0]} × {size[1]} values")
    return dict(
        x=batch, weight=kernels, bias=bias, stride=stride, padding=padding,
        output_padding=output_padding, dilation=dilation, groups=groups,
    )  # fmt: skip


@operation(inputs=3, prepare=_prepare_transposed)
def conv_transpose2d(x, weight, bias=None, *, stride=1, padding=0, output_padding=0, dilation=1, groups=1):
    """Transposed convolution: what the gradient of `conv2d` does to its input, used as a layer to grow images.

    Parameters
    ----------
    x : array (H, W), (C, H, W) or (N, C, H, W)
    weight : array (kh, kw) with an x of (H, W), else (C, O / groups, kh, kw)
    bias : array (O,), optional
    stride, dilation : int or (vertical, horizontal)
    padding : int, (vertical, horizontal) or ((top, bottom), (left, right))
        Rows and columns cut off the output, as the convolution of the same padding would have added them.
    output_padding : int or (vertical, horizontal)
        Rows at the bottom and columns at the right added to the output; smaller than stride or dilation.
    groups : int

    Returns
    -------
    array (OH, OW), (O, OH, OW) or (N, O, OH, OW)
        OH = (H - 1)·stride - top - bottom + dilation·(kh - 1) + output_padding + 1, and OW likewise.

    Raises
    ------
    ValueError
        If shapes and sizes do not fit together.

    References
    ----------
    Zeiler & Fergus 2014, "Visualizing and understanding convolutional networks", arXiv:1311.2901.

    Examples
    --------
    >>> conv_transpose2d([[1, 2]], [[1, 10]], stride=2)
    array([[ 1., 10.,  2., 20.]], dtype=float32)
    """
    channels = weight.shape[1] * groups
    size = _transposed_size(x.shape[2:], weight.shape[2:], stride, padding, output_padding, dilation)
    columns = _by_group(weight, groups).swapaxes(1, 2) @ _channels_first(x, groups)
    y = fold(columns, (len(x), channels, *size), weight.shape[2:], stride, padding, dilation, x.shape[2:])
    return y if bias is None else y + bias[:, None, None]


@conv_transpose2d.gradient
def conv_transpose2d_gradient(grad, x, weight, bias, stride, padding, dilation, groups, needs):
    d_x = d_weight = None
    columns = unfold(grad, weight.shape[2:], stride, padding, dilation, groups, size=x.shape[2:])
    if "x" in needs:
        d_x = _by_group(weight, groups) @ columns  # a convolution of the gradient
        d_x = d_x.reshape(x.shape[1], len(x), *x.shape[2:]).swapaxes(0, 1)
    if "weight" in needs:
        d_weight = (_channels_first(x, groups) @ columns.swapaxes(1, 2)).reshape(weight.shape)
    return d_x, d_weight, grad.sum((0, 2, 3)) if "bias" in needs else None


# ---- windows: the two moves that all of the above is made of --------------------------------------------


def unfold(x, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int = 1, size: Pair | None = None):
    """Every window of x (N, C, H, W) as a column: (groups, C / groups · kh · kw, N · OH · OW). Also named im2col.

    Examples
    --------
    >>> image = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> unfold(image, (2, 2), (1, 1), ((0, 0), (0, 0)), (1, 1))[0]
    array([[0., 1., 3., 4.],
           [1., 2., 4., 5.],
           [3., 4., 6., 7.],
           [4., 5., 7., 8.]])
    """
    view = windows(x, kernel, stride, padding, dilation)  # (N, C, OH, OW, kh, kw)
    if size is not None:
        view = view[:, :, : size[0], : size[1]]
    n, channels = x.shape[:2]
    positions = n * view.shape[2] * view.shape[3]
    depth = channels // groups * kernel[0] * kernel[1]
    return view.transpose(1, 4, 5, 0, 2, 3).reshape(groups, depth, positions)


def fold(columns, shape, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair, size: Pair):
    """Add every column back to where its window came from: the adjoint of `unfold`.

    shape is the result's, (N, C, H, W); size is the number of windows down and across.

    Examples
    --------
    >>> columns = np.ones((1, 4, 4))  # four windows of 2 by 2, all 1
    >>> fold(columns, (1, 1, 3, 3), (2, 2), (1, 1), ((0, 0), (0, 0)), (1, 1), (2, 2))[0, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    n, channels, height, width = shape
    (top, bottom), (left, right) = padding
    rows, cols = size
    columns = columns.reshape(channels, *kernel, n, rows, cols)
    padded = array_module(columns).zeros((channels, n, height + top + bottom, width + left + right), columns.dtype)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            down, across = i * dilation[0], j * dilation[1]
            seen = padded[
                :,
                :,
                down : down + rows * stride[0] : stride[0],
                across : across + cols * stride[1] : stride[1],
            ]
            seen += columns[:, i, j]
    inside = padded[:, :, top : top + height, left : left + width]
    return array_module(inside).ascontiguousarray(inside.swapaxes(0, 1))


def windows(x, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair, fill: float = 0.0):
    """A view of every window of the padded x: (N, C, OH, OW, kh, kw).

    Examples
    --------
    >>> windows(np.ones((1, 3, 6, 6)), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)).shape
    (1, 3, 3, 3, 2, 2)
    """
    if any(any(ends) for ends in padding):
        x = np.pad(x, ((0, 0), (0, 0), *padding), constant_values=fill)
    extent = _extent(kernel, dilation)
    view = sliding_windows(x, extent, (2, 3))
    return view[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]


def _kernels(x, weight, where: str, needed: str):
    """weight as a 4-D array; (kh, kw) goes with an x of (H, W)."""
    if x.ndim == 2 and weight.ndim == 2:
        weight = weight.reshape((1, 1) + weight.shape)
    elif x.ndim == 2:
        raise ValueError(f"{where}: an x of shape (H, W) needs a weight (kh, kw), but weight has shape {weight.shape}")
    if weight.ndim != 4 or 0 in weight.shape:
        raise ValueError(f"{where}: weight needs shape {needed}, nothing empty, but has shape {weight.shape}")
    return weight


def _extent(kernel, dilation: Pair) -> Pair:
    """How far a kernel reaches, gaps included."""
    return dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1


def _output_size(size, kernel, stride: Pair, padding: Padding, dilation: Pair) -> Pair:
    extent = _extent(kernel, dilation)
    rows, columns = ((size[a] + sum(padding[a]) - extent[a]) // stride[a] + 1 for a in (0, 1))
    return rows, columns


def _transposed_size(size, kernel, stride: Pair, padding: Padding, output_padding: Pair, dilation: Pair) -> Pair:
    extent = _extent(kernel, dilation)
    rows, columns = ((size[a] - 1) * stride[a] - sum(padding[a]) + extent[a] + output_padding[a] for a in (0, 1))
    return rows, columns


def _by_group(weight, groups: int):
    """(O, C / G, kh, kw) as matrices (G, O / G, C / G · kh · kw)."""
    return weight.reshape(groups, weight.shape[0] // groups, -1)


def _channels_first(x, groups: int):
    """(N, C, H, W) as matrices (G, C / G, N · H · W)."""
    return np.moveaxis(x, 1, 0).reshape(groups, x.shape[1] // groups, -1)
