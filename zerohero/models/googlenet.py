"""GoogLeNet as its paper has it, and the form with batch normalization whose weights torchvision has."""

from __future__ import annotations

from typing import Any

import numpy as np

from zerohero import nn
from zerohero.arguments import boolean, images_of_size, integer
from zerohero.nn.inception import AuxiliaryClassifier, ConvReLU, Inception
from zerohero.ops.linear import flatten
from zerohero.ops.loss import cross_entropy
from zerohero.ops.normalization import local_response_norm
from zerohero.ops.pooling import global_avg_pool2d, max_pool2d
from zerohero.tensor import Tensor

# Table 1 of the paper: filters of 1×1; reduction and 3×3; reduction and 5×5; projection after pooling
TABLE = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
AUXILIARY_AFTER = {"4a": "aux1", "4d": "aux2"}
AUXILIARY_WEIGHT = 0.3


class GoogLeNet(nn.Module):
    """Three convolutions, nine inception blocks and one fully connected layer; see `googlenet`.

    Examples
    --------
    >>> type(googlenet(num_classes=2)).__name__
    'GoogLeNet'
    """

    def __init__(self, num_classes: int, in_channels: int, auxiliary: bool, batch_norm: bool):
        self.batch_norm = batch_norm
        self.conv1 = ConvReLU(in_channels, 64, 7, stride=2, padding=3, batch_norm=batch_norm)
        self.conv2 = ConvReLU(64, 64, 1, batch_norm=batch_norm)
        self.conv3 = ConvReLU(64, 192, 3, padding=1, batch_norm=batch_norm)
        channels = 192
        for name, filters in TABLE.items():
            block = Inception(channels, *filters, kernel5=3 if batch_norm else 5, batch_norm=batch_norm)
            setattr(self, f"inception{name}", block)
            channels = block.out_channels
            if name in AUXILIARY_AFTER:
                aux = AuxiliaryClassifier(channels, num_classes, batch_norm=batch_norm) if auxiliary else None
                setattr(self, AUXILIARY_AFTER[name], aux)
        self.drop = nn.Dropout(0.2 if batch_norm else 0.4)
        self.fc = nn.Linear(channels, num_classes)
        nn.init.he_convolutions(self)

    def forward(self, x: Any) -> Any:
        return self._run(x, auxiliary=False)[0]

    def all_scores(self, x: Any) -> list[Any]:
        """The scores (N, classes), then those of the auxiliary classifiers after 4a and 4d if the model has them."""
        return self._run(x, auxiliary=True)

    def _run(self, x: Any, *, auxiliary: bool) -> list[Any]:
        images_of_size(x, "googlenet", least=31 if self.batch_norm else 47)
        halfway: list[Any] = []
        x = self._norm(max_pool2d(self.conv1(x), 3, stride=2, ceil_mode=True))
        x = self._norm(self.conv3(self.conv2(x)))
        x = max_pool2d(x, 3, stride=2, ceil_mode=True)
        for name in TABLE:
            x = getattr(self, f"inception{name}")(x)
            classifier = getattr(self, AUXILIARY_AFTER[name]) if name in AUXILIARY_AFTER else None
            if auxiliary and classifier is not None:
                halfway.append(classifier(x))
            if name == "3b":
                x = max_pool2d(x, 3, stride=2, ceil_mode=True)
            elif name == "4e":
                x = max_pool2d(x, 2 if self.batch_norm else 3, stride=2, ceil_mode=True)
        return [self.fc(self.drop(flatten(global_avg_pool2d(x)))), *halfway]

    def _norm(self, x: Any) -> Any:
        return x if self.batch_norm else local_response_norm(x, 5, alpha=5e-4, k=2.0)

    def training_step(self, images: Any, labels: Any) -> tuple[Tensor, np.ndarray]:
        """Loss and scores of a batch; while training, the auxiliary losses count 0.3 each, as in the paper."""
        x = Tensor(images)
        scores, *halfway = self.all_scores(x) if self.training else [self(x)]
        loss = cross_entropy(scores, labels)
        for each in halfway:
            loss = loss + AUXILIARY_WEIGHT * cross_entropy(each, labels)
        return loss, scores.numpy()


def googlenet(*, num_classes: int = 1000, in_channels: int = 3, auxiliary: bool = False) -> GoogLeNet:
    """GoogLeNet with 6,998,552 parameters, 13,378,280 with its auxiliary classifiers.

    Convolutions have biases and there is local response normalization, as in the paper (with AlexNet's constants: the
    paper gives none); its network came before batch normalization.

    Parameters
    ----------
    num_classes, in_channels : int
    auxiliary : bool
        Whether two classifiers after 4a and 4d help in training. They need images of 223 to 270 pixels.

    Returns
    -------
    GoogLeNet
        Maps (N, in_channels, H, W), of at least 47×47 pixels and usually 224×224, to scores (N, num_classes).

    References
    ----------
    Szegedy et al. 2014, "Going deeper with convolutions", arXiv:1409.4842, table 1.

    Examples
    --------
    >>> model = googlenet(num_classes=10)
    >>> model.inception3a.num_parameters(), model.inception3a.out_channels
    (163696, 256)
    """
    return _build("googlenet", num_classes, in_channels, auxiliary, batch_norm=False)


def googlenet_bn(*, num_classes: int = 1000, in_channels: int = 3, auxiliary: bool = False) -> GoogLeNet:
    """torchvision's GoogLeNet, with 6,624,904 parameters, 13,004,888 with its auxiliary classifiers.

    Batch normalization instead of biases and LRN, a 3×3 kernel where the paper has 5×5, and 2×2 pooling before 5a.

    Parameters
    ----------
    num_classes, in_channels : int
    auxiliary : bool
        Whether two classifiers after 4a and 4d help in training. The file that torchvision offers for download holds
        them too; its weights expect pixels scaled to -1 … 1.

    Returns
    -------
    GoogLeNet
        Maps (N, in_channels, H, W), of at least 31×31 pixels and usually 224×224, to scores (N, num_classes).
        Parameter names are torchvision's.

    References
    ----------
    Ioffe & Szegedy 2015, "Batch normalization", arXiv:1502.03167.

    Examples
    --------
    >>> model = googlenet_bn(num_classes=10)
    >>> [name for name, _ in model.named_parameters()][:3]
    ['conv1.conv.weight', 'conv1.bn.weight', 'conv1.bn.bias']
    """
    return _build("googlenet_bn", num_classes, in_channels, auxiliary, batch_norm=True)


def _build(where: str, num_classes: int, in_channels: int, auxiliary: bool, *, batch_norm: bool) -> GoogLeNet:
    return GoogLeNet(
        integer(num_classes, where, "num_classes", least=1),
        integer(in_channels, where, "in_channels", least=1),
        boolean(auxiliary, where, "auxiliary"),
        batch_norm,
    )
