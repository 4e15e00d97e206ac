"""The VGG networks: the six columns of the paper's table as data, and the one function that reads them."""

from __future__ import annotations

from typing import Any

from zerohero import nn
from zerohero.arguments import images_of_size, integer, one_of

# Table 1 of the paper: 3-64 is a 3×3 convolution with 64 filters; max pooling after each of the five stages
TABLE = {
    "A": "3-64 | 3-128 | 3-256 3-256 | 3-512 3-512 | 3-512 3-512 |",
    "A-LRN": "3-64 LRN | 3-128 | 3-256 3-256 | 3-512 3-512 | 3-512 3-512 |",
    "B": "3-64 3-64 | 3-128 3-128 | 3-256 3-256 | 3-512 3-512 | 3-512 3-512 |",
    "C": "3-64 3-64 | 3-128 3-128 | 3-256 3-256 1-256 | 3-512 3-512 1-512 | 3-512 3-512 1-512 |",
    "D": "3-64 3-64 | 3-128 3-128 | 3-256 3-256 3-256 | 3-512 3-512 3-512 | 3-512 3-512 3-512 |",
    "E": "3-64 3-64 | 3-128 3-128 | 3-256 3-256 3-256 3-256 | 3-512 3-512 3-512 3-512 | 3-512 3-512 3-512 3-512 |",
}


class VGG(nn.Module):
    """A column of the table and three fully connected layers; see `vgg`.

    Examples
    --------
    >>> type(vgg("A", num_classes=2, image_size=32, width=4, hidden=8)).__name__
    'VGG'
    """

    def __init__(self, column: str, num_classes: int, in_channels: int, image_size: int, width: int, hidden: int):
        layers: list[nn.Module] = []
        channels = in_channels
        for entry in TABLE[column].split():
            if entry == "|":
                layers.append(nn.MaxPool2d(2))
            elif entry == "LRN":
                layers.append(nn.LocalResponseNorm(5, alpha=5e-4, k=2.0))  # AlexNet's, as the paper says
            else:
                kernel, filters = map(int, entry.split("-"))
                filters = filters * width // 64
                layers += [nn.Conv2d(channels, filters, kernel, padding=kernel // 2), nn.ReLU()]
                channels = filters
        grid = image_size // 32
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(grid)  # changes nothing at image_size; takes other images to this grid
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential(
            nn.Linear(channels * grid * grid, hidden), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(0.5), nn.Linear(hidden, num_classes),
        )  # fmt: skip
        nn.init.he_convolutions(self)

    def forward(self, x: Any) -> Any:
        images_of_size(x, "vgg", least=32)
        return self.classifier(self.flatten(self.avgpool(self.features(x))))


def vgg(
    column: str, *, num_classes: int = 1000, in_channels: int = 3, image_size: int = 224, width: int = 64,
    hidden: int = 4096,
) -> VGG:  # fmt: skip
    """A VGG network: column A, A-LRN, B, C, D or E of the paper's table.

    `models.create` calls them vgg11, vgg11_lrn, vgg13, vgg16_c, vgg16 and vgg19, by their layers with weights.

    Parameters
    ----------
    column : str
        One of the keys of `TABLE`.
    num_classes, in_channels : int
    image_size : int
        What the first fully connected layer is made for, at least 32. Images of other sizes from 32×32 on are brought
        to the same grid by averaging, as in torchvision.
    width : int
        Filters of the first convolution; all others scale with it.
    hidden : int
        Size of the fully connected layers.

    Returns
    -------
    VGG
        Maps (N, in_channels, H, W) to scores (N, num_classes). Parameter names are torchvision's.

    Raises
    ------
    ValueError
        If there is no such column, or the images are too small.

    References
    ----------
    Simonyan & Zisserman 2014, "Very deep convolutional networks for large-scale image recognition", arXiv:1409.1556.

    Examples
    --------
    >>> model = vgg("A", image_size=32, width=8, hidden=16, num_classes=10)
    >>> sum(isinstance(layer, (nn.Conv2d, nn.Linear)) for _, layer in model.named_modules())
    11
    """
    return VGG(
        one_of(column, "vgg", "column", tuple(TABLE)),
        integer(num_classes, "vgg", "num_classes", least=1),
        integer(in_channels, "vgg", "in_channels", least=1),
        integer(image_size, "vgg", "image_size", least=32),
        integer(width, "vgg", "width", least=1),
        integer(hidden, "vgg", "hidden", least=1),
    )
