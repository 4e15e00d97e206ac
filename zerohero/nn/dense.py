"""Dense blocks: every layer sees the maps of all layers before it; networks made of them are in `models.densenet`."""

from __future__ import annotations

from typing import Any

from zerohero.arguments import integer
from zerohero.nn.layers import AvgPool2d, BatchNorm2d, Conv2d, ReLU
from zerohero.nn.module import Module, Sequential
from zerohero.ops.linear import concat


class DenseLayer(Sequential):
    """BN, ReLU, 1×1 convolution to `bottleneck` · `growth` channels, BN, ReLU, 3×3 convolution to `growth` new maps.

    Parameters
    ----------
    in_channels, growth, bottleneck : int

    References
    ----------
    Huang, Liu, van der Maaten & Weinberger 2016, "Densely connected convolutional networks", arXiv:1608.06993.

    Examples
    --------
    >>> import numpy as np
    >>> DenseLayer(16, 4)(np.zeros((1, 16, 5, 5), np.float32)).shape
    (1, 4, 5, 5)
    """

    def __init__(self, in_channels: int, growth: int, *, bottleneck: int = 4):
        named = dict(in_channels=in_channels, growth=growth, bottleneck=bottleneck)
        in_channels, growth, bottleneck = (integer(v, "DenseLayer", name, least=1) for name, v in named.items())
        narrow = bottleneck * growth
        super().__init__(
            {
                "norm1": BatchNorm2d(in_channels),
                "relu1": ReLU(),
                "conv1": Conv2d(in_channels, narrow, 1, bias=False),
                "norm2": BatchNorm2d(narrow),
                "relu2": ReLU(),
                "conv2": Conv2d(narrow, growth, 3, padding=1, bias=False),
            }
        )


class DenseBlock(Module):
    """Layers of which each gets the input and the new maps of all layers before it, concatenated.

    Parameters
    ----------
    layers, in_channels, growth, bottleneck : int

    Attributes
    ----------
    out_channels : int
        in_channels + layers · growth

    References
    ----------
    Huang, Liu, van der Maaten & Weinberger 2016, "Densely connected convolutional networks", arXiv:1608.06993,
    equation 2.

    Examples
    --------
    >>> import numpy as np
    >>> DenseBlock(3, 16, 4)(np.zeros((1, 16, 5, 5), np.float32)).shape
    (1, 28, 5, 5)
    """

    def __init__(self, layers: int, in_channels: int, growth: int, *, bottleneck: int = 4):
        named = dict(layers=layers, in_channels=in_channels, growth=growth)
        layers, in_channels, growth = (integer(v, "DenseBlock", name, least=1) for name, v in named.items())
        self.out_channels = in_channels + layers * growth
        for i in range(layers):
            setattr(self, f"denselayer{i + 1}", DenseLayer(in_channels + i * growth, growth, bottleneck=bottleneck))

    def forward(self, x: Any) -> Any:
        maps = x
        for _, layer in self.children():
            maps = concat([maps, layer(maps)], axis=1)
        return maps


class Transition(Sequential):
    """BN, ReLU, 1×1 convolution and 2×2 means: fewer channels and a quarter of the pixels between dense blocks.

    Parameters
    ----------
    in_channels, out_channels : int

    Examples
    --------
    >>> import numpy as np
    >>> Transition(16, 8)(np.zeros((1, 16, 6, 6), np.float32)).shape
    (1, 8, 3, 3)
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(
            {
                "norm": BatchNorm2d(in_channels),
                "relu": ReLU(),
                "conv": Conv2d(in_channels, out_channels, 1, bias=False),
                "pool": AvgPool2d(2),
            }
        )
