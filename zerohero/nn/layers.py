"""Layers: an operation together with the parameters and settings it is called with."""

from __future__ import annotations

from typing import Any

import numpy as np

from zerohero.arguments import boolean, integer, number, pair, shape_of
from zerohero.nn import init
from zerohero.nn.module import Module
from zerohero.ops import activation, convolution, linear, normalization, pooling
from zerohero.tensor import Parameter


class Conv2d(Module):
    """Convolution with learned filters; see `zerohero.conv2d` for the settings.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input; number of filters.
    kernel_size : int or (kh, kw)
    stride, padding, dilation, groups
        As for `zerohero.conv2d`.
    bias : bool

    Attributes
    ----------
    weight : Parameter (out_channels, in_channels / groups, kh, kw)
    bias : Parameter (out_channels,) or None

    Examples
    --------
    >>> Conv2d(1, 6, 5, padding=2)(np.zeros((8, 1, 28, 28), np.float32)).shape
    (8, 6, 28, 28)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        *,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
    ):
        inside, outside, groups = _channels("Conv2d", in_channels, out_channels, groups)
        kernel = pair(kernel_size, "Conv2d", "kernel_size", least=1)
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        self.weight = Parameter(np.empty((outside, inside // groups, *kernel), np.float32))
        self.bias = _bias("Conv2d", outside, bias)
        init.default(self.weight, self.bias)

    def forward(self, x: Any) -> Any:
        return convolution.conv2d(
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )

    def describe(self) -> str:
        filters, depth, kh, kw = self.weight.shape
        extras = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
        shown = [f"{name}={getattr(self, name)}" for name, plain in extras.items() if getattr(self, name) != plain]
        return ", ".join([f"{depth * self.groups} → {filters}", f"{kh}×{kw}", *shown])


class ConvTranspose2d(Module):
    """Transposed convolution with learned filters; see `zerohero.conv_transpose2d` for the settings.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size : int or (kh, kw)
    stride, padding, output_padding, dilation, groups
        As for `zerohero.conv_transpose2d`.
    bias : bool

    Attributes
    ----------
    weight : Parameter (in_channels, out_channels / groups, kh, kw)
    bias : Parameter (out_channels,) or None

    Examples
    --------
    >>> ConvTranspose2d(4, 1, 2, stride=2)(np.zeros((1, 4, 7, 7), np.float32)).shape
    (1, 1, 14, 14)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        *,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
    ):
        inside, outside, groups = _channels("ConvTranspose2d", in_channels, out_channels, groups)
        kernel = pair(kernel_size, "ConvTranspose2d", "kernel_size", least=1)
        self.stride, self.padding, self.output_padding = stride, padding, output_padding
        self.dilation, self.groups = dilation, groups
        self.weight = Parameter(np.empty((inside, outside // groups, *kernel), np.float32))
        self.bias = _bias("ConvTranspose2d", outside, bias)
        init.default(self.weight, self.bias)

    def forward(self, x: Any) -> Any:
        return convolution.conv_transpose2d(
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            dilation=self.dilation,
            groups=self.groups,
        )

    def describe(self) -> str:
        depth, filters, kh, kw = self.weight.shape
        return f"{depth} → {filters * self.groups}, {kh}×{kw}, stride={self.stride}"


class Linear(Module):
    """Fully connected layer x Wᵀ + b.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool

    Attributes
    ----------
    weight : Parameter (out_features, in_features)
    bias : Parameter (out_features,) or None

    Examples
    --------
    >>> Linear(400, 120)(np.zeros((8, 400), np.float32)).shape
    (8, 120)
    """

    def __init__(self, in_features: int, out_features: int, *, bias: bool = True):
        inside = integer(in_features, "Linear", "in_features", least=1)
        outside = integer(out_features, "Linear", "out_features", least=1)
        self.weight = Parameter(np.empty((outside, inside), np.float32))
        self.bias = _bias("Linear", outside, bias)
        init.default(self.weight, self.bias)

    def forward(self, x: Any) -> Any:
        return linear.linear(x, self.weight, self.bias)

    def describe(self) -> str:
        return f"{self.weight.shape[1]} → {self.weight.shape[0]}"


# ---- normalization --------------------------------------------------------------------------------------


class BatchNorm2d(Module):
    """Batch normalization of every channel of (N, C, H, W); see `zerohero.batch_norm`.

    Parameters
    ----------
    num_features : int
        Channels.
    momentum, eps : float

    Attributes
    ----------
    weight, bias : Parameter (C,)
    running_mean, running_var : array (C,)
        Follow the batches in training; used in evaluation.
    frozen : bool
        Set by `transfer.freeze`: in training, too, the running mean and variance are used, and stay as they are.

    Examples
    --------
    >>> BatchNorm2d(3)(np.ones((2, 3, 4, 4), np.float32)).shape
    (2, 3, 4, 4)
    """

    axes = 4
    frozen = False

    def __init__(self, num_features: int, *, momentum: float = 0.1, eps: float = 1e-5):
        name = type(self).__name__
        channels = integer(num_features, name, "num_features", least=1)
        self.momentum = number(momentum, name, "momentum", low=0, high=1)
        self.eps = number(eps, name, "eps", low=0)
        self.weight = Parameter(np.ones(channels, np.float32))
        self.bias = Parameter(np.zeros(channels, np.float32))
        self.register_buffer("running_mean", np.zeros(channels, np.float32))
        self.register_buffer("running_var", np.ones(channels, np.float32))

    def forward(self, x: Any) -> Any:
        shape = shape_of(x, type(self).__name__, "x")
        if len(shape) != self.axes:
            needed = "(N, C, H, W)" if self.axes == 4 else "(N, C)"
            raise ValueError(f"{type(self).__name__}: x needs shape {needed}, but has shape {shape}")
        return normalization.batch_norm(
            x,
            self.weight,
            self.bias,
            self.running_mean,  # type: ignore[attr-defined]
            self.running_var,  # type: ignore[attr-defined]
            training=self.training and not self.frozen,
            momentum=self.momentum,
            eps=self.eps,
        )

    def describe(self) -> str:
        return str(self.weight.shape[0])


class BatchNorm1d(BatchNorm2d):
    """Batch normalization of every feature of (N, C); otherwise as `BatchNorm2d`.

    Examples
    --------
    >>> BatchNorm1d(2)([[0, 1], [2, 5]]).numpy().round(2)
    array([[-1., -1.],
           [ 1.,  1.]], dtype=float32)
    """

    axes = 2


class LocalResponseNorm(Module):
    """Normalization over neighbouring channels; see `zerohero.local_response_norm`.

    Examples
    --------
    >>> LocalResponseNorm(size=3)(np.ones((1, 4, 2, 2), np.float32)).shape
    (1, 4, 2, 2)
    """

    def __init__(self, size: int = 5, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0):
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Any) -> Any:
        return normalization.local_response_norm(x, self.size, alpha=self.alpha, beta=self.beta, k=self.k)

    def describe(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class Dropout(Module):
    """Dropout while training, nothing in evaluation; see `zerohero.dropout`.

    Examples
    --------
    >>> layer = Dropout(0.5)
    >>> layer.eval()([1, 2, 3])
    array([1., 2., 3.], dtype=float32)
    """

    def __init__(self, p: float = 0.5):
        self.p = number(p, "Dropout", "p", low=0, high=1)

    def forward(self, x: Any) -> Any:
        return normalization.dropout(x, self.p, training=self.training)

    def describe(self) -> str:
        return f"p={self.p}"


# ---- pooling --------------------------------------------------------------------------------------------


class MaxPool2d(Module):
    """Maximum over windows; see `zerohero.max_pool2d`.

    Examples
    --------
    >>> MaxPool2d(2)([[1, 2], [3, 4]])
    array([[4.]], dtype=float32)
    """

    def __init__(
        self, kernel_size: Any, *, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
    ):
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.dilation, self.ceil_mode = dilation, ceil_mode

    def forward(self, x: Any) -> Any:
        return pooling.max_pool2d(
            x,
            self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            ceil_mode=self.ceil_mode,
        )

    def describe(self) -> str:
        return f"{self.kernel_size}" + (f", stride={self.stride}" if self.stride is not None else "")


class AvgPool2d(Module):
    """Mean over windows; see `zerohero.avg_pool2d`.

    Examples
    --------
    >>> AvgPool2d(2)([[1, 2], [3, 4]])
    array([[2.5]], dtype=float32)
    """

    def __init__(
        self,
        kernel_size: Any,
        *,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ):
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x: Any) -> Any:
        return pooling.avg_pool2d(
            x,
            self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
        )

    def describe(self) -> str:
        return f"{self.kernel_size}" + (f", stride={self.stride}" if self.stride is not None else "")


class AdaptiveAvgPool2d(Module):
    """Means over a fixed grid of windows; see `zerohero.adaptive_avg_pool2d`.

    Examples
    --------
    >>> AdaptiveAvgPool2d(2)(np.ones((1, 3, 5, 7), np.float32)).shape
    (1, 3, 2, 2)
    """

    def __init__(self, output_size: Any):
        self.output_size = pair(output_size, "AdaptiveAvgPool2d", "output_size", least=1)

    def forward(self, x: Any) -> Any:
        return pooling.adaptive_avg_pool2d(x, self.output_size)

    def describe(self) -> str:
        return str(self.output_size)


class GlobalAvgPool2d(Module):
    """Mean of every channel; see `zerohero.global_avg_pool2d`.

    Examples
    --------
    >>> GlobalAvgPool2d()(np.ones((2, 3, 4, 4), np.float32)).shape
    (2, 3, 1, 1)
    """

    def forward(self, x: Any) -> Any:
        return pooling.global_avg_pool2d(x)


# ---- without parameters ---------------------------------------------------------------------------------


class ReLU(Module):
    """max(0, x); see `zerohero.relu`.

    Examples
    --------
    >>> ReLU()([-1, 2])
    array([0., 2.], dtype=float32)
    """

    def forward(self, x: Any) -> Any:
        return activation.relu(x)


class LeakyReLU(Module):
    """x or slope · x; see `zerohero.leaky_relu`.

    Examples
    --------
    >>> LeakyReLU(0.1)([-10, 2])
    array([-1.,  2.], dtype=float32)
    """

    def __init__(self, slope: float = 0.01):
        self.slope = number(slope, "LeakyReLU", "slope")

    def forward(self, x: Any) -> Any:
        return activation.leaky_relu(x, self.slope)

    def describe(self) -> str:
        return f"slope={self.slope}"


class Sigmoid(Module):
    """1 / (1 + exp(-x)); see `zerohero.sigmoid`.

    Examples
    --------
    >>> Sigmoid()([0.0])
    array([0.5], dtype=float32)
    """

    def forward(self, x: Any) -> Any:
        return activation.sigmoid(x)


class Tanh(Module):
    """Hyperbolic tangent; see `zerohero.tanh`.

    Examples
    --------
    >>> Tanh()([0.0])
    array([0.], dtype=float32)
    """

    def forward(self, x: Any) -> Any:
        return activation.tanh(x)


class Softmax(Module):
    """Probabilities along an axis; see `zerohero.softmax`.

    Examples
    --------
    >>> Softmax()([0, 0])
    array([0.5, 0.5], dtype=float32)
    """

    def __init__(self, axis: int = -1):
        self.axis = integer(axis, "Softmax", "axis")

    def forward(self, x: Any) -> Any:
        return activation.softmax(x, self.axis)

    def describe(self) -> str:
        return f"axis={self.axis}"


class Flatten(Module):
    """All axes after the batch as one; see `zerohero.flatten`.

    Examples
    --------
    >>> Flatten()(np.ones((2, 3, 4, 4), np.float32)).shape
    (2, 48)
    """

    def forward(self, x: Any) -> Any:
        return linear.flatten(x)


class Identity(Module):
    """x as it is: a place to put something else later.

    Examples
    --------
    >>> Identity()([1, 2])
    [1, 2]
    """

    def forward(self, x: Any) -> Any:
        return x


def _bias(where: str, count: int, wanted: Any) -> Parameter | None:
    """A place for so many biases, or None."""
    return Parameter(np.empty(count, np.float32)) if boolean(wanted, where, "bias") else None


def _channels(where: str, in_channels: Any, out_channels: Any, groups: Any) -> tuple[int, int, int]:
    inside = integer(in_channels, where, "in_channels", least=1)
    outside = integer(out_channels, where, "out_channels", least=1)
    groups = integer(groups, where, "groups", least=1)
    if inside % groups or outside % groups:
        raise ValueError(
            f"{where}: groups needs to divide in_channels {inside} and out_channels {outside}, but got {groups}"
        )
    return inside, outside, groups
