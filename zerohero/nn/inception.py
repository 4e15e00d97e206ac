"""Inception: 1×1, 3×3, 5×5 convolutions and pooling side by side; the network made of it is in `models.googlenet`."""

from __future__ import annotations

from typing import Any

from zerohero.arguments import boolean, images_of_size, integer, shape_of
from zerohero.nn.layers import BatchNorm2d, Conv2d, Dropout, Linear, MaxPool2d
from zerohero.nn.module import Module, Sequential
from zerohero.ops.activation import relu
from zerohero.ops.linear import concat, flatten
from zerohero.ops.pooling import adaptive_avg_pool2d, avg_pool2d


class ConvReLU(Module):
    """Convolution and ReLU; with batch normalization in between, which then stands in for the bias.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding
        As for `Conv2d`.
    batch_norm : bool

    Examples
    --------
    >>> [name for name, _ in ConvReLU(3, 8, 1).named_parameters()]
    ['conv.weight', 'conv.bias']
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, *, stride: Any = 1, padding: Any = 0,
        batch_norm: bool = False,
    ):  # fmt: skip
        plain = not boolean(batch_norm, "ConvReLU", "batch_norm")
        self.conv = Conv2d(in_channels, out_channels, kernel_size, stride=stride, padding=padding, bias=plain)
        self.bn = None if plain else BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: Any) -> Any:
        y = self.conv(x)
        return relu(y if self.bn is None else self.bn(y))


class Inception(Module):
    """Four branches on the same maps, concatenated: 1×1, 1×1 → 3×3, 1×1 → 5×5, and 3×3 max pooling → 1×1.

    Parameters
    ----------
    in_channels : int
    ones : int
        Filters of the 1×1 branch.
    reduce3, threes : int
        Filters of the 1×1 reduction before the 3×3 convolution, and of that convolution.
    reduce5, fives : int
        The same of the 5×5 branch.
    project : int
        Filters of the 1×1 convolution after the pooling. A 0 for `reduce3`, `reduce5` or `project` leaves that 1×1
        convolution out; with all three 0 it is the paper's "naïve version".
    kernel5 : int
        Size of the large kernel: 5 in the paper, 3 in torchvision's network.
    batch_norm : bool

    Attributes
    ----------
    out_channels : int

    References
    ----------
    Szegedy et al. 2014, "Going deeper with convolutions", arXiv:1409.4842, figure 2.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.zeros((1, 16, 7, 7), np.float32)
    >>> Inception(16, 8, 4, 8, 2, 4, 4)(x).shape, Inception(16, 8, 0, 8, 0, 4, 0)(x).shape
    ((1, 24, 7, 7), (1, 36, 7, 7))
    """

    def __init__(
        self, in_channels: int, ones: int, reduce3: int, threes: int, reduce5: int, fives: int, project: int, *,
        kernel5: int = 5, batch_norm: bool = False,
    ):  # fmt: skip
        named = dict(in_channels=in_channels, ones=ones, threes=threes, fives=fives, kernel5=kernel5)
        in_channels, ones, threes, fives, kernel5 = (integer(v, "Inception", n, least=1) for n, v in named.items())
        named = dict(reduce3=reduce3, reduce5=reduce5, project=project)
        reduce3, reduce5, project = (integer(value, "Inception", name, least=0) for name, value in named.items())
        if kernel5 % 2 == 0:
            raise ValueError(f"Inception: kernel5 needs to be odd, to keep the size, but got {kernel5}")
        self.out_channels = ones + threes + fives + (project or in_channels)
        self.branch1 = ConvReLU(in_channels, ones, 1, batch_norm=batch_norm)
        self.branch2 = _reduced(in_channels, reduce3, threes, 3, batch_norm)
        self.branch3 = _reduced(in_channels, reduce5, fives, kernel5, batch_norm)
        last = [ConvReLU(in_channels, project, 1, batch_norm=batch_norm)] if project else []
        self.branch4 = Sequential(MaxPool2d(3, stride=1, padding=1), *last)

    def forward(self, x: Any) -> Any:
        return concat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], axis=1)


class AuxiliaryClassifier(Module):
    """A small classifier halfway through a deep network, so that gradients reach its first half; for training only.

    Parameters
    ----------
    in_channels, num_classes : int
    batch_norm : bool
        Also chooses the pooling: the paper's 5×5 means at stride 3, which give 4×4 from maps of 14×14, or
        torchvision's means over a 4×4 grid, which take any size.

    References
    ----------
    Szegedy et al. 2014, "Going deeper with convolutions", arXiv:1409.4842, section 5.

    Examples
    --------
    >>> import numpy as np
    >>> AuxiliaryClassifier(8, 10)(np.zeros((2, 8, 14, 14), np.float32)).shape
    (2, 10)
    """

    def __init__(self, in_channels: int, num_classes: int, *, batch_norm: bool = False):
        self.batch_norm = batch_norm
        self.conv = ConvReLU(in_channels, 128, 1, batch_norm=batch_norm)
        self.fc1 = Linear(4 * 4 * 128, 1024)
        self.drop = Dropout(0.7)
        self.fc2 = Linear(1024, num_classes)

    def forward(self, x: Any) -> Any:
        images_of_size(x, "AuxiliaryClassifier", least=1)
        shape = shape_of(x, "AuxiliaryClassifier", "x")
        if not self.batch_norm and not all(14 <= side <= 16 for side in shape[2:]):
            raise ValueError(
                "AuxiliaryClassifier: x needs maps of 14 to 16 rows and columns, which 5×5 means at stride 3 pool to "
                f"4×4 (in GoogLeNet images of 223 to 270 pixels give them), but has shape {shape}"
            )
        pooled = adaptive_avg_pool2d(x, 4) if self.batch_norm else avg_pool2d(x, 5, stride=3)
        return self.fc2(self.drop(relu(self.fc1(flatten(self.conv(pooled))))))


def _reduced(inside: int, reduce: int, filters: int, kernel: int, batch_norm: bool) -> Sequential:
    """A convolution that keeps the size, after a 1×1 convolution to `reduce` channels (none if that is 0)."""
    first = [ConvReLU(inside, reduce, 1, batch_norm=batch_norm)] if reduce else []
    large = ConvReLU(reduce or inside, filters, kernel, padding=kernel // 2, batch_norm=batch_norm)
    return Sequential(*first, large)
