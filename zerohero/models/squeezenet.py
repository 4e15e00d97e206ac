"""SqueezeNet 1.1: small enough to run and to carry anywhere, with fire blocks of 1×1 and 3×3 convolutions."""

from __future__ import annotations

from typing import Any

from zerohero import nn
from zerohero.arguments import images_of_size, integer, shown
from zerohero.ops.activation import relu
from zerohero.ops.linear import concat, flatten


class Fire(nn.Module):
    """A 1×1 convolution that squeezes, then 1×1 and 3×3 convolutions side by side that expand.

    Parameters
    ----------
    in_channels : int
    squeeze : int
        Filters of the first convolution.
    expand : int
        Filters of each of the other two.

    Examples
    --------
    >>> import numpy as np
    >>> Fire(8, 2, 4)(np.zeros((1, 8, 5, 5), np.float32)).shape
    (1, 8, 5, 5)
    """

    def __init__(self, in_channels: int, squeeze: int, expand: int):
        self.squeeze = nn.Conv2d(in_channels, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Any) -> Any:
        x = relu(self.squeeze(x))
        return concat([relu(self.expand1x1(x)), relu(self.expand3x3(x))], axis=1)


class SqueezeNet(nn.Module):
    """See `squeezenet1_1`.

    Examples
    --------
    >>> type(squeezenet1_1(num_classes=2)).__name__
    'SqueezeNet'
    """

    def __init__(self, num_classes: int, in_channels: int):
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 64, 3, stride=2), nn.ReLU(), nn.MaxPool2d(3, stride=2, ceil_mode=True),
            Fire(64, 16, 64), Fire(128, 16, 64), nn.MaxPool2d(3, stride=2, ceil_mode=True),
            Fire(128, 32, 128), Fire(256, 32, 128), nn.MaxPool2d(3, stride=2, ceil_mode=True),
            Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Dropout(0.5), nn.Conv2d(512, num_classes, 1), nn.ReLU(), nn.GlobalAvgPool2d()
        )
        nn.init.he_convolutions(self)

    def forward(self, x: Any) -> Any:
        images_of_size(x, "squeezenet1_1", least=25)
        return flatten(self.classifier(self.features(x)))


def squeezenet1_1(*, num_classes: int = 1000, in_channels: int = 3) -> SqueezeNet:
    """SqueezeNet 1.1 with 1,235,496 parameters: no fully connected layer, and the scores are never negative.

    Parameters
    ----------
    num_classes, in_channels : int

    Returns
    -------
    SqueezeNet
        Maps (N, in_channels, H, W), of at least 25×25 pixels and usually 224×224, to scores (N, num_classes).
        Parameter names are torchvision's; `name_in_caffe` tells those of the original.

    References
    ----------
    Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", arXiv:1602.07360. Version 1.1
    is described in github.com/forresti/SqueezeNet.

    Examples
    --------
    >>> squeezenet1_1(num_classes=10).num_parameters()
    727626
    """
    return SqueezeNet(
        integer(num_classes, "squeezenet1_1", "num_classes", least=1),
        integer(in_channels, "squeezenet1_1", "in_channels", least=1),
    )


def name_in_caffe(name: str) -> str:
    """What files made from the original Caffe model, such as Microsoft's ONNX export, call a parameter from here.

    Parameters
    ----------
    name : str
        Of a parameter of `squeezenet1_1`.

    Returns
    -------
    str

    Examples
    --------
    >>> name_in_caffe("features.3.squeeze.weight"), name_in_caffe("classifier.1.bias")
    ('fire2/squeeze1x1_w_0', 'conv10_b_0')
    """
    whole = {"features.0": "conv1", "classifier.1": "conv10"}
    fires = {f"features.{at}": f"fire{i}" for i, at in enumerate((3, 4, 6, 7, 9, 10, 11, 12), start=2)}
    inside = {"squeeze": "squeeze1x1", "expand1x1": "expand1x1", "expand3x3": "expand3x3"}
    layers = whole | {f"{at}.{conv}": f"{fires[at]}/{theirs}" for at in fires for conv, theirs in inside.items()}
    layer, _, kind = str(name).rpartition(".")
    if layer not in layers or kind not in ("weight", "bias"):
        raise ValueError(f"name_in_caffe: name needs to be that of a parameter of squeezenet1_1, but got {shown(name)}")
    return f"{layers[layer]}_{kind[0]}_0"
