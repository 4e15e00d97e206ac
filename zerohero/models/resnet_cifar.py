"""The ResNets for CIFAR-10, and the plain networks they are compared with; the blocks are in nn/residual.py."""

from __future__ import annotations

from typing import Any

from zerohero import nn
from zerohero.arguments import boolean, images_of_size, integer
from zerohero.nn.residual import BasicBlock, stage
from zerohero.ops.activation import relu
from zerohero.ops.linear import flatten
from zerohero.ops.pooling import global_avg_pool2d


class ResNetCIFAR(nn.Module):
    """A 3×3 convolution, three stages of residual blocks and one fully connected layer; see `resnet_cifar`.

    Examples
    --------
    >>> type(resnet_cifar(20)).__name__
    'ResNetCIFAR'
    """

    steps_alike = True

    def __init__(self, depth: int, num_classes: int, in_channels: int, width: int, residual: bool):
        self.conv1 = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        count, shortcut = (depth - 2) // 6, "pad" if residual else "none"
        self.layer1 = stage(BasicBlock, width, width, count, stride=1, shortcut=shortcut)
        self.layer2 = stage(BasicBlock, width, 2 * width, count, stride=2, shortcut=shortcut)
        self.layer3 = stage(BasicBlock, 2 * width, 4 * width, count, stride=2, shortcut=shortcut)
        self.linear = nn.Linear(4 * width, num_classes)
        nn.init.he_convolutions(self)

    def forward(self, x: Any) -> Any:
        images_of_size(x, "resnet_cifar", least=1)
        x = relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(flatten(global_avg_pool2d(x)))


def resnet_cifar(
    depth: int, *, num_classes: int = 10, in_channels: int = 3, width: int = 16, residual: bool = True
) -> ResNetCIFAR:
    """A ResNet for small images, with 6 n + 2 layers; `models.create` knows resnet20, resnet32, resnet44, resnet56.

    269,722 parameters at depth 20, 853,018 at 56; the shortcuts have none (the paper's option A).

    Parameters
    ----------
    depth : int
        8, 14, 20, …: two more than a multiple of 6.
    num_classes, in_channels : int
    width : int
        Filters of the first stage; the second has twice as many, the third four times.
    residual : bool
        False takes the shortcuts away and leaves a plain network with the same parameters: plain-20, plain-56.

    Returns
    -------
    ResNetCIFAR
        Maps (N, in_channels, H, W) of any size, usually 32×32, to scores (N, num_classes). Parameter names are those
        of the implementation by Yerlan Idelbayev, github.com/akamaster/pytorch_resnet_cifar10.

    Raises
    ------
    ValueError
        If `depth` is not 6 n + 2.

    References
    ----------
    He, Zhang, Ren & Sun 2015, "Deep residual learning for image recognition", arXiv:1512.03385, section 4.2.

    Examples
    --------
    >>> resnet_cifar(20).num_parameters(), resnet_cifar(20, residual=False).num_parameters()
    (269722, 269722)
    """
    depth = integer(depth, "resnet_cifar", "depth", least=8)
    if (depth - 2) % 6:
        raise ValueError(f"resnet_cifar: depth needs to be 6 n + 2 (8, 14, 20, 26, …), but got {depth}")
    return ResNetCIFAR(
        depth,
        integer(num_classes, "resnet_cifar", "num_classes", least=1),
        integer(in_channels, "resnet_cifar", "in_channels", least=1),
        integer(width, "resnet_cifar", "width", least=1),
        boolean(residual, "resnet_cifar", "residual"),
    )
