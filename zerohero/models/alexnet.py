"""AlexNet as its paper has it, layer by layer, and the slimmer network that torchvision calls by the same name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zerohero import nn
from zerohero.arguments import images_of_size, integer, integers, shape_of


class AlexNet(nn.Sequential):
    """AlexNet's layers in a row, under the names of its usual table; see `alexnet`.

    Examples
    --------
    >>> type(alexnet(num_classes=2, channels=(8, 8, 8, 8, 8), hidden=8)).__name__
    'AlexNet'
    """

    def __init__(
        self, num_classes: int, in_channels: int, image_size: int, groups: int, channels: Sequence[int], hidden: int
    ):
        a, b, c, d, e = channels
        self.image_size = image_size
        super().__init__(
            {
                "conv1": nn.Conv2d(in_channels, a, 11, stride=4),
                "relu1": nn.ReLU(),
                "norm1": nn.LocalResponseNorm(5, alpha=5e-4, k=2.0),  # the paper doesn't divide its 1e-4 by the size
                "pool1": nn.MaxPool2d(3, stride=2),
                "conv2": nn.Conv2d(a, b, 5, padding=2, groups=groups),
                "relu2": nn.ReLU(),
                "norm2": nn.LocalResponseNorm(5, alpha=5e-4, k=2.0),
                "pool2": nn.MaxPool2d(3, stride=2),
                "conv3": nn.Conv2d(b, c, 3, padding=1),
                "relu3": nn.ReLU(),
                "conv4": nn.Conv2d(c, d, 3, padding=1, groups=groups),
                "relu4": nn.ReLU(),
                "conv5": nn.Conv2d(d, e, 3, padding=1, groups=groups),
                "relu5": nn.ReLU(),
                "pool5": nn.MaxPool2d(3, stride=2),
                "flatten": nn.Flatten(),
                "fc6": nn.Linear(e * _grid(image_size) ** 2, hidden),
                "relu6": nn.ReLU(),
                "drop6": nn.Dropout(0.5),
                "fc7": nn.Linear(hidden, hidden),
                "relu7": nn.ReLU(),
                "drop7": nn.Dropout(0.5),
                "fc8": nn.Linear(hidden, num_classes),
            }
        )

    def forward(self, x: Any) -> Any:
        shape, grid = shape_of(x, "alexnet", "x"), _grid(self.image_size)
        if len(shape) != 4 or {_grid(side) for side in shape[2:]} != {grid}:
            raise ValueError(
                f"alexnet: x needs images (N, C, H, W) of {self.image_size}×{self.image_size} pixels, of which pool5 "
                f"leaves the {grid}×{grid} that fc6 is made for, but has shape {shape}; resize the images, or create "
                "the model with their image_size"
            )
        return super().forward(x)


def _grid(side: int) -> int:
    """Rows that pool5 leaves of an image with `side` rows."""
    side = (side - 11) // 4 + 1
    for _ in range(3):
        side = (side - 3) // 2 + 1
    return side


def alexnet(
    *, num_classes: int = 1000, in_channels: int = 3, image_size: int = 227, groups: int = 2,
    channels: Sequence[int] = (96, 256, 384, 384, 256), hidden: int = 4096,
) -> AlexNet:  # fmt: skip
    """AlexNet with 60,965,224 parameters.

    Its usual table has 25 layers: the input, the 22 from conv1 to fc8 that are here by name, softmax and the output
    (the loss, `cross_entropy`, holds the softmax). Flattening before fc6 counts as none.

    Parameters
    ----------
    num_classes, in_channels : int
    image_size : int
        Height and width, at least 67. The paper says 224; its sums come out with 227, where (227 - 11) / 4 is whole.
    groups : int
        2: as on the paper's two GPUs, conv2, conv4 and conv5 see half of the channels each. 1 connects all, with
        62,378,344 parameters.
    channels : five ints
        Filters of the convolutions.
    hidden : int
        Size of fc6 and fc7.

    Returns
    -------
    AlexNet
        Maps (N, in_channels, image_size, image_size) to scores (N, num_classes).

    Raises
    ------
    ValueError
        If the images are too small, or groups don't divide the channels.

    References
    ----------
    Krizhevsky, Sutskever & Hinton 2012, "ImageNet classification with deep convolutional neural networks".

    Examples
    --------
    >>> model = alexnet(image_size=67, channels=(4, 8, 8, 8, 6), hidden=16, num_classes=10)
    >>> model.conv2.weight.shape, model.fc6.weight.shape
    ((8, 2, 5, 5), (16, 6))
    """
    return AlexNet(
        integer(num_classes, "alexnet", "num_classes", least=1),
        integer(in_channels, "alexnet", "in_channels", least=1),
        integer(image_size, "alexnet", "image_size", least=67),
        integer(groups, "alexnet", "groups", least=1),
        integers(channels, "alexnet", "channels", count=5, least=1),
        integer(hidden, "alexnet", "hidden", least=1),
    )


class AlexNetTorchvision(nn.Module):
    """See `alexnet_torchvision`.

    Examples
    --------
    >>> type(alexnet_torchvision(num_classes=2)).__name__
    'AlexNetTorchvision'
    """

    def __init__(self, num_classes: int, in_channels: int, channels: Sequence[int], hidden: int):
        a, b, c, d, e = channels
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, a, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride=2),
            nn.Conv2d(a, b, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride=2),
            nn.Conv2d(b, c, 3, padding=1), nn.ReLU(),
            nn.Conv2d(c, d, 3, padding=1), nn.ReLU(),
            nn.Conv2d(d, e, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, stride=2),
        )  # fmt: skip
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential(
            nn.Dropout(0.5), nn.Linear(e * 36, hidden), nn.ReLU(),
            nn.Dropout(0.5), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, num_classes),
        )  # fmt: skip

    def forward(self, x: Any) -> Any:
        images_of_size(x, "alexnet_torchvision", least=63)
        return self.classifier(self.flatten(self.avgpool(self.features(x))))


def alexnet_torchvision(
    *, num_classes: int = 1000, in_channels: int = 3, channels: Sequence[int] = (64, 192, 384, 256, 256),
    hidden: int = 4096,
) -> AlexNetTorchvision:  # fmt: skip
    """What torchvision calls AlexNet, with 61,100,840 parameters: one GPU's worth of filters, no LRN, no groups.

    Parameters
    ----------
    num_classes, in_channels : int
    channels : five ints
    hidden : int

    Returns
    -------
    AlexNetTorchvision
        Maps (N, in_channels, H, W), of at least 63×63 pixels and usually 224×224, to scores (N, num_classes).
        Parameter names are torchvision's.

    References
    ----------
    Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks", arXiv:1404.5997.

    Examples
    --------
    >>> model = alexnet_torchvision(channels=(4, 8, 8, 8, 6), hidden=16)
    >>> [name for name, _ in model.named_parameters()][:2]
    ['features.0.weight', 'features.0.bias']
    """
    return AlexNetTorchvision(
        integer(num_classes, "alexnet_torchvision", "num_classes", least=1),
        integer(in_channels, "alexnet_torchvision", "in_channels", least=1),
        integers(channels, "alexnet_torchvision", "channels", count=5, least=1),
        integer(hidden, "alexnet_torchvision", "hidden", least=1),
    )
