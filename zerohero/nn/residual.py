"""Residual blocks: a few convolutions and a shortcut around them; the networks made of them are in `models`."""

from __future__ import annotations

from typing import Any

from zerohero.arguments import integer, one_of, shape_of
from zerohero.nn.layers import BatchNorm2d, Conv2d
from zerohero.nn.module import Module, Sequential
from zerohero.ops.activation import relu
from zerohero.ops.linear import pad

SHORTCUTS = ("projection", "pad", "none")


class ResidualBlock(Module):
    """What residual blocks share: relu(F(x) + shortcut(x)); a subclass defines F as `residual`.

    Parameters
    ----------
    in_channels, out_channels, stride : int
    shortcut : "projection", "pad" or "none"
        How x gets the shape of F(x), where the two differ: by a 1×1 convolution with batch normalization, the
        paper's option B, or by leaving out rows and columns and adding channels of zeros, its option A. "none" takes
        the shortcut away: a plain network to compare with.

    Examples
    --------
    >>> from zerohero import Tensor
    >>> class Doubled(ResidualBlock):
    ...     def residual(self, x):
    ...         return 2 * x
    >>> Doubled(1, 1, 1, "pad")(Tensor([[[[3.0]]]])).data  # relu(2 · 3 + 3)
    array([[[[9.]]]], dtype=float32)
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, shortcut: str):
        self.channels, self.stride = out_channels, stride
        self.shortcut = one_of(shortcut, type(self).__name__, "shortcut", SHORTCUTS)
        self.downsample = None
        if shortcut == "projection" and (stride != 1 or in_channels != out_channels):
            project = Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)
            self.downsample = Sequential(project, BatchNorm2d(out_channels))
        if shortcut == "pad" and in_channels > out_channels:
            raise ValueError(
                f"{type(self).__name__}: shortcut='pad' adds channels, but in_channels {in_channels} is more than the "
                f"{out_channels} that go out; take shortcut='projection'"
            )

    def residual(self, x: Any) -> Any:
        raise TypeError(f"{type(self).__name__}: a ResidualBlock needs a method residual(self, x)")

    def forward(self, x: Any) -> Any:
        y = self.residual(x)
        if self.shortcut == "none":
            return relu(y)
        if self.downsample is not None:
            return relu(y + self.downsample(x))
        return relu(y + pad_shortcut(x, self.channels, self.stride))

    def describe(self) -> str:
        return f"→ {self.channels}, stride={self.stride}, shortcut={self.shortcut!r}"


class BasicBlock(ResidualBlock):
    """Two 3×3 convolutions with batch normalization and a shortcut: relu(bn(conv(relu(bn(conv(x))))) + shortcut(x)).

    Parameters
    ----------
    in_channels, channels : int
        Channels that go in, and that come out.
    stride : int
        Of the first convolution.
    shortcut : "projection", "pad" or "none"
        See `ResidualBlock`.

    References
    ----------
    He, Zhang, Ren & Sun 2015, "Deep residual learning for image recognition", arXiv:1512.03385, figure 5 left.

    Examples
    --------
    >>> import numpy as np
    >>> BasicBlock(4, 8, stride=2)(np.zeros((2, 4, 6, 6), np.float32)).shape
    (2, 8, 3, 3)
    """

    expansion = 1

    def __init__(self, in_channels: int, channels: int, *, stride: int = 1, shortcut: str = "projection"):
        inside, channels, stride = _sizes("BasicBlock", in_channels, channels, stride)
        self.conv1 = Conv2d(inside, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = BatchNorm2d(channels)
        self.conv2 = Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = BatchNorm2d(channels)
        super().__init__(inside, channels, stride, shortcut)

    def residual(self, x: Any) -> Any:
        return self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))


class Bottleneck(ResidualBlock):
    """A 1×1 convolution to fewer channels, a 3×3, a 1×1 to four times as many, and a shortcut.

    The stride is at the 3×3 convolution, as in torchvision; the paper has it at the first 1×1.

    Parameters
    ----------
    in_channels, channels : int
        Channels that go in, and those of the 3×3 convolution; 4 · channels come out.
    stride : int
    shortcut : "projection", "pad" or "none"
        See `ResidualBlock`.

    References
    ----------
    He, Zhang, Ren & Sun 2015, "Deep residual learning for image recognition", arXiv:1512.03385, figure 5 right.

    Examples
    --------
    >>> import numpy as np
    >>> Bottleneck(4, 2, stride=2)(np.zeros((2, 4, 6, 6), np.float32)).shape
    (2, 8, 3, 3)
    """

    expansion = 4

    def __init__(self, in_channels: int, channels: int, *, stride: int = 1, shortcut: str = "projection"):
        inside, channels, stride = _sizes("Bottleneck", in_channels, channels, stride)
        self.conv1 = Conv2d(inside, channels, 1, bias=False)
        self.bn1 = BatchNorm2d(channels)
        self.conv2 = Conv2d(channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn2 = BatchNorm2d(channels)
        self.conv3 = Conv2d(channels, 4 * channels, 1, bias=False)
        self.bn3 = BatchNorm2d(4 * channels)
        super().__init__(inside, 4 * channels, stride, shortcut)

    def residual(self, x: Any) -> Any:
        y = relu(self.bn1(self.conv1(x)))
        return self.bn3(self.conv3(relu(self.bn2(self.conv2(y)))))


def stage(
    block: type[BasicBlock | Bottleneck], in_channels: int, channels: int, count: int, *, stride: int, shortcut: str
) -> Sequential:
    """Blocks in a row, of which the first takes `stride` and changes the number of channels.

    Examples
    --------
    >>> import numpy as np
    >>> stage(BasicBlock, 4, 8, 3, stride=2, shortcut="pad")(np.zeros((2, 4, 6, 6), np.float32)).shape
    (2, 8, 3, 3)
    """
    first = block(in_channels, channels, stride=stride, shortcut=shortcut)
    inside = channels * block.expansion
    return Sequential(first, *[block(inside, channels, shortcut=shortcut) for _ in range(count - 1)])


def pad_shortcut(x: Any, channels: int, stride: int) -> Any:
    """The shortcut without parameters, option A: every stride-th row and column, and channels of zeros on both sides.

    Parameters
    ----------
    x : array or Tensor (N, C, H, W)
    channels : int
        How many come out, at least C.
    stride : int

    Returns
    -------
    array or Tensor (N, channels, ⌈H / stride⌉, ⌈W / stride⌉)

    Examples
    --------
    >>> import numpy as np
    >>> pad_shortcut(np.ones((1, 2, 3, 3), np.float32), 4, 2)[0, :, 0, 0]
    array([0., 1., 1., 0.], dtype=float32)
    """
    have = shape_of(x, "pad_shortcut", "x")[1]
    extra = integer(channels, "pad_shortcut", "channels", least=have) - have
    if integer(stride, "pad_shortcut", "stride", least=1) != 1:
        x = x[:, :, ::stride, ::stride]
    return pad(x, [(extra // 2, extra - extra // 2), (0, 0), (0, 0)]) if extra else x


def _sizes(where: str, *values: int) -> tuple[int, int, int]:
    inside, channels, stride = (
        integer(value, where, name, least=1) for value, name in zip(values, ("in_channels", "channels", "stride"))
    )
    return inside, channels, stride
