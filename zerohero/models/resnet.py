"""The ResNets for ImageNet; those for CIFAR-10 are in resnet_cifar.py, the blocks in nn/residual.py."""

from __future__ import annotations

from typing import Any

from zerohero import nn
from zerohero.arguments import images_of_size, integer, one_of
from zerohero.nn.residual import SHORTCUTS, BasicBlock, Bottleneck, stage
from zerohero.ops.activation import relu
from zerohero.ops.linear import flatten
from zerohero.ops.pooling import global_avg_pool2d, max_pool2d

# Table 1 of the paper: the block, and how many of it in each of the four stages
TABLE: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


class ResNet(nn.Module):
    """A 7×7 convolution, four stages of residual blocks and one fully connected layer; see `resnet`.

    Examples
    --------
    >>> type(resnet(18, num_classes=2, width=4)).__name__
    'ResNet'
    """

    steps_alike = True

    def __init__(self, depth: int, num_classes: int, in_channels: int, width: int, shortcut: str):
        block, counts = TABLE[depth]
        self.conv1 = nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        inside, channels = width, width
        for i, count in enumerate(counts):
            blocks = stage(block, inside, channels, count, stride=min(i, 1) + 1, shortcut=shortcut)
            setattr(self, f"layer{i + 1}", blocks)
            inside, channels = channels * block.expansion, 2 * channels
        self.fc = nn.Linear(inside, num_classes)
        nn.init.he_convolutions(self)

    def forward(self, x: Any) -> Any:
        images_of_size(x, "resnet", least=1)
        x = max_pool2d(relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        for name in ("layer1", "layer2", "layer3", "layer4"):
            x = getattr(self, name)(x)
        return self.fc(flatten(global_avg_pool2d(x)))


def resnet(
    depth: int, *, num_classes: int = 1000, in_channels: int = 3, width: int = 64, shortcut: str = "projection"
) -> ResNet:
    """A ResNet for ImageNet with 18, 34, 50, 101 or 152 layers; `models.create` calls them resnet18 and so on.

    Parameters
    ----------
    depth : int
        A key of `TABLE`.
    num_classes, in_channels : int
    width : int
        Filters of the first convolution; all others scale with it.
    shortcut : "projection", "pad" or "none"
        The paper's option B or A, or a plain network without shortcuts; see `nn.ResidualBlock`.

    Returns
    -------
    ResNet
        Maps (N, in_channels, H, W) of any size, usually 224×224, to scores (N, num_classes). Parameter names are
        torchvision's.

    Raises
    ------
    ValueError
        If the paper has no such depth.

    References
    ----------
    He, Zhang, Ren & Sun 2015, "Deep residual learning for image recognition", arXiv:1512.03385, table 1.

    Examples
    --------
    >>> model = resnet(18, width=4, num_classes=10)
    >>> [name for name, _ in model.named_parameters()][:4]
    ['conv1.weight', 'bn1.weight', 'bn1.bias', 'layer1.0.conv1.weight']
    """
    if integer(depth, "resnet", "depth") not in TABLE:
        raise ValueError(f"resnet: depth needs to be one of {', '.join(map(str, TABLE))}, but got {depth}")
    return ResNet(
        depth,
        integer(num_classes, "resnet", "num_classes", least=1),
        integer(in_channels, "resnet", "in_channels", least=1),
        integer(width, "resnet", "width", least=1),
        one_of(shortcut, "resnet", "shortcut", SHORTCUTS),
    )
