"""The DenseNets; their blocks are in nn/dense.py."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from zerohero import nn
from zerohero.arguments import images_of_size, integer
from zerohero.nn.dense import DenseBlock, Transition
from zerohero.ops.activation import relu
from zerohero.ops.linear import flatten
from zerohero.ops.pooling import global_avg_pool2d

# Table 1 of the paper: layers in each of the four dense blocks
TABLE: dict[int, Sequence[int]] = {
    121: (6, 12, 24, 16),
    169: (6, 12, 32, 32),
    201: (6, 12, 48, 32),
    264: (6, 12, 64, 48),
}


class DenseNet(nn.Module):
    """A 7×7 convolution, four dense blocks with transitions between, one fully connected layer; see `densenet`.

    Examples
    --------
    >>> type(densenet(121, num_classes=2, growth=4)).__name__
    'DenseNet'
    """

    steps_alike = True

    def __init__(self, depth: int, num_classes: int, in_channels: int, growth: int):
        channels = 2 * growth
        layers: dict[str, nn.Module] = {
            "conv0": nn.Conv2d(in_channels, channels, 7, stride=2, padding=3, bias=False),
            "norm0": nn.BatchNorm2d(channels),
            "relu0": nn.ReLU(),
            "pool0": nn.MaxPool2d(3, stride=2, padding=1),
        }
        for i, count in enumerate(TABLE[depth], start=1):
            layers[f"denseblock{i}"] = block = DenseBlock(count, channels, growth)
            channels = block.out_channels
            if i < 4:
                layers[f"transition{i}"] = Transition(channels, channels // 2)
                channels //= 2
        layers["norm5"] = nn.BatchNorm2d(channels)
        self.features = nn.Sequential(layers)
        self.classifier = nn.Linear(channels, num_classes)
        nn.init.he_convolutions(self)

    def forward(self, x: Any) -> Any:
        images_of_size(x, "densenet", least=29)
        return self.classifier(flatten(global_avg_pool2d(relu(self.features(x)))))


def densenet(depth: int, *, num_classes: int = 1000, in_channels: int = 3, growth: int = 32) -> DenseNet:
    """A DenseNet-BC for ImageNet with 121, 169, 201 or 264 layers; `models.create` calls them densenet121 and so on.

    Parameters
    ----------
    depth : int
        A key of `TABLE`.
    num_classes, in_channels : int
    growth : int
        Maps that every layer adds, the paper's k; the first convolution has twice as many filters.

    Returns
    -------
    DenseNet
        Maps (N, in_channels, H, W), of at least 29×29 pixels and usually 224×224, to scores (N, num_classes).
        Parameter names are torchvision's; `name_in_published_files` tells those of the files it offers.

    Raises
    ------
    ValueError
        If the paper has no such depth.

    References
    ----------
    Huang, Liu, van der Maaten & Weinberger 2016, "Densely connected convolutional networks", arXiv:1608.06993, table 1.

    Examples
    --------
    >>> model = densenet(121, growth=4, num_classes=10)
    >>> model.features.denseblock1.out_channels  # 2·4 + 6·4
    32
    """
    if integer(depth, "densenet", "depth") not in TABLE:
        raise ValueError(f"densenet: depth needs to be one of {', '.join(map(str, TABLE))}, but got {depth}")
    return DenseNet(
        depth,
        integer(num_classes, "densenet", "num_classes", least=1),
        integer(in_channels, "densenet", "in_channels", least=1),
        integer(growth, "densenet", "growth", least=1),
    )


def name_in_published_files(name: str) -> str:
    """What the files that torchvision offers for download call a parameter from here: they keep an older spelling.

    Parameters
    ----------
    name : str
        Of a parameter or buffer of a DenseNet.

    Returns
    -------
    str
        For `rename` of `load_weights`.

    Examples
    --------
    >>> name_in_published_files("features.denseblock1.denselayer2.norm1.weight")
    'features.denseblock1.denselayer2.norm.1.weight'
    """
    return re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", name)
