"""LeNet-5: two convolutions with pooling, then three fully connected layers."""

from __future__ import annotations

from typing import Any

from zerohero import nn
from zerohero.arguments import integer, one_of
from zerohero.ops.activation import relu, tanh
from zerohero.ops.linear import flatten
from zerohero.ops.pooling import avg_pool2d, max_pool2d


class LeNet5(nn.Module):
    """LeNet-5 for small grey images; see `lenet5` for the settings.

    Shapes for 28×28 (N, 1, 28, 28) → conv1 (N, 6, 28, 28) → pool (N, 6, 14, 14) → conv2 (N, 16, 10, 10)
    → pool (N, 16, 5, 5) → (N, 400) → fc1 (N, 120) → fc2 (N, 84) → fc3 (N, classes).

    Examples
    --------
    >>> lenet5().predict([[[[0.0] * 28] * 28]]).shape
    (1,)
    """

    steps_alike = True

    def __init__(self, num_classes: int, in_channels: int, image_size: int, variant: str):
        side = (image_size // 2 - 4) // 2
        self.variant = variant
        self.conv1 = nn.Conv2d(in_channels, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * side * side, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)
        if variant == "1998":
            for layer in (self.conv1, self.conv2, self.fc1, self.fc2, self.fc3):
                nn.init.xavier_uniform(layer.weight)

    def forward(self, x: Any) -> Any:
        activation, pool = (tanh, avg_pool2d) if self.variant == "1998" else (relu, max_pool2d)
        x = pool(activation(self.conv1(x)), 2)
        x = pool(activation(self.conv2(x)), 2)
        x = activation(self.fc1(flatten(x)))
        x = activation(self.fc2(x))
        return self.fc3(x)

    def describe(self) -> str:
        return f"variant={self.variant!r}"


def lenet5(*, num_classes: int = 10, in_channels: int = 1, image_size: int = 28, variant: str = "modern") -> LeNet5:
    """LeNet-5 with 61,706 parameters at its default size.

    Parameters
    ----------
    num_classes, in_channels : int
    image_size : int
        Height and width; at least 12, so that something is left to connect.
    variant : "modern" or "1998"
        ReLU and max pooling, or tanh and average pooling. The paper's own further details (a table of which maps
        connect, learned subsampling, radial basis outputs) are left out of both.

    Returns
    -------
    LeNet5
        Maps (N, in_channels, image_size, image_size) to scores (N, num_classes).

    Raises
    ------
    ValueError
        If the image is too small, or the variant unknown.

    References
    ----------
    LeCun, Bottou, Bengio & Haffner 1998, "Gradient-based learning applied to document recognition",
    doi:10.1109/5.726791, figure 2.

    Examples
    --------
    >>> lenet5().num_parameters()
    61706
    """
    return LeNet5(
        integer(num_classes, "lenet5", "num_classes", least=1),
        integer(in_channels, "lenet5", "in_channels", least=1),
        integer(image_size, "lenet5", "image_size", least=12),
        one_of(variant, "lenet5", "variant", ("modern", "1998")),
    )
