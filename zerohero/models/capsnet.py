"""The CapsNet of Sabour, Frosst & Hinton 2017, and the convolutional network that the paper compares it with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zerohero import nn
from zerohero.arguments import integer, integers, number, one_of
from zerohero.nn.capsule import CapsuleLayer, Decoder, PrimaryCaps
from zerohero.ops.activation import relu
from zerohero.ops.capsule import margin_loss, reconstruction_loss
from zerohero.ops.linear import flatten
from zerohero.tensor import Tensor, no_grad

# sizes and details by preset; `capsnet` says what they mean
PRESETS: dict[str, dict[str, Any]] = {
    "paper": dict(channels=256, types=32, hidden=(512, 1024), margin_weight=1.0, divide=1.0, authors_init=False),
    "authors": dict(channels=256, types=32, hidden=(512, 1024), margin_weight=0.05, divide=32.0, authors_init=True),
    "fast": dict(channels=64, types=8, hidden=(256, 512), margin_weight=1.0, divide=1.0, authors_init=False),
}


class CapsNet(nn.Module):
    """Convolution, primary capsules, class capsules routed by agreement, and a decoder; see `capsnet`.

    Shapes at the paper's size: (N, 1, 28, 28) → conv1 (N, 256, 20, 20) → primary (N, 1152, 8) → digits (N, 10, 16).

    Examples
    --------
    >>> type(capsnet(preset="fast")).__name__
    'CapsNet'
    """

    steps_alike = True

    def __init__(
        self, *, image_size, in_channels, channels, types, dim, num_classes, out_dim, iterations, stop_gradient,
        reconstruction_weight, hidden, margin_weight, divide, authors_init,
    ):  # fmt: skip
        side = ((image_size - 8) - 9) // 2 + 1
        self.margin_weight, self.reconstruction_weight = margin_weight, reconstruction_weight
        self.image_shape = (in_channels, image_size, image_size)
        self.conv1 = nn.Conv2d(in_channels, channels, 9)
        self.primary = PrimaryCaps(channels, types, dim, divide=divide)
        self.digits = CapsuleLayer(
            types * side * side, dim, num_classes, out_dim, iterations=iterations, stop_gradient=stop_gradient
        )
        pixels = in_channels * image_size * image_size
        self.decoder = Decoder(num_classes, out_dim, pixels, hidden=hidden) if reconstruction_weight else None
        if authors_init:
            _initialise_as_the_authors(self)

    def forward(self, x: Any) -> Any:
        """Images (N, C, H, W) → class capsules (N, J, Q); their lengths are the scores."""
        return self.digits(self.primary(relu(self.conv1(x))))

    def loss(self, v: Any, images: Any, labels: Any) -> Any:
        """Margin loss and the weighted reconstruction loss, decoded from the capsule of the true label."""
        total = self.margin_weight * margin_loss(v, labels)
        if self.decoder is None:
            return total
        return total + self.reconstruction_weight * reconstruction_loss(self.decoder(v, labels), flatten(images))

    def training_step(self, images: Any, labels: Any) -> tuple[Tensor, Any]:
        """Loss and scores of a batch, as `training.fit` asks for them."""
        v = self(Tensor(images))
        return self.loss(v, images, labels), lengths(v.data)

    def _scores(self, batch: Any) -> np.ndarray:
        return lengths(self(Tensor(batch)).numpy())

    def capsules(self, images: Any) -> np.ndarray:
        """The class capsules (N, J, Q) of images (N, C, H, W), without a tape."""
        with no_grad():
            return self(Tensor(images)).numpy()

    def reconstruct(self, v: Any, labels: Any = None) -> np.ndarray:
        """Draw one capsule of every example: the given class, or the longest.

        Parameters
        ----------
        v : array (N, J, Q)
        labels : int array (N,), optional

        Returns
        -------
        array (N, C, H, W) in [0, 1]
        """
        if self.decoder is None:
            raise ValueError("reconstruct: this CapsNet has no decoder; it was made with reconstruction_weight=0")
        with no_grad():
            return self.decoder(Tensor(v), labels).numpy().reshape(-1, *self.image_shape)


def lengths(v: Any) -> Any:
    """The length of every capsule: (N, J, Q) → (N, J).

    Examples
    --------
    >>> lengths(np.array([[[3.0, 4.0]]]))
    array([[5.]])
    """
    return np.sqrt((v * v).sum(axis=-1))


def capsnet(
    *, preset: str = "paper", image_size: int = 28, in_channels: int = 1, num_classes: int = 10,
    channels: int | None = None, types: int | None = None, dim: int = 8, out_dim: int = 16, iterations: int = 3,
    stop_gradient: bool = False, reconstruction_weight: float = 0.0005, hidden: Sequence[int] | None = None,
) -> CapsNet:  # fmt: skip
    """A CapsNet: the paper's, its authors' variant, or a smaller one, in any size that fits.

    Parameters
    ----------
    preset : "paper", "authors" or "fast"
        "paper": the text; loss = margin + 0.0005 · SSE. "authors": what their code does; truncated-normal weights,
        biases 0.1, primary capsules from convolution / 32, and half the margin loss averaged over the ten classes
        too, against which the reconstruction counts 20 times as much as in the text. "fast": 64 channels, 8 types and
        a decoder of 256 and 512, for two cores in minutes.
    image_size : int
        Height and width, at least 17: two 9×9 kernels, the second with stride 2, must fit.
    in_channels, num_classes : int
    channels, types, hidden
        Filters of conv1, types of primary capsules, sizes of the decoder's hidden layers; by default the preset's.
    dim, out_dim : int
        Numbers in a primary and in a class capsule.
    iterations : int
        Of routing.
    stop_gradient : bool
        Whether the couplings count as constants in the gradient.
    reconstruction_weight : float
        0 leaves the decoder out.

    Returns
    -------
    CapsNet

    Raises
    ------
    ValueError
        If the preset is unknown or the image too small.

    References
    ----------
    Sabour, Frosst & Hinton 2017, "Dynamic routing between capsules", arXiv:1710.09829.

    Examples
    --------
    >>> model = capsnet(preset="fast")
    >>> model.capsules(np.zeros((2, 1, 28, 28), np.float32)).shape
    (2, 10, 16)
    """
    chosen = dict(PRESETS[one_of(preset, "capsnet", "preset", tuple(PRESETS))])
    chosen |= {k: v for k, v in dict(channels=channels, types=types, hidden=hidden).items() if v is not None}
    chosen["hidden"] = integers(chosen["hidden"], "capsnet", "hidden", count=2, least=1)
    return CapsNet(
        image_size=integer(image_size, "capsnet", "image_size", least=17),
        in_channels=integer(in_channels, "capsnet", "in_channels", least=1),
        num_classes=integer(num_classes, "capsnet", "num_classes", least=1),
        dim=dim,
        out_dim=out_dim,
        iterations=iterations,
        stop_gradient=stop_gradient,
        reconstruction_weight=number(reconstruction_weight, "capsnet", "reconstruction_weight", low=0),
        **chosen,
    )


def _initialise_as_the_authors(model: CapsNet) -> None:
    """Truncated normal weights, σ 0.05 in conv1 and 0.1 elsewhere, and all biases 0.1."""
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.constant(parameter, 0.1)
        else:
            nn.init.truncated_normal(parameter, 0.05 if name == "conv1.weight" else 0.1)


class CapsNetBaseline(nn.Module):
    """Three 5×5 convolutions and three fully connected layers; see `capsnet_baseline`.

    Examples
    --------
    >>> capsnet_baseline(channels=(4, 4, 4), hidden=(8, 8)).predict(np.zeros((2, 1, 28, 28))).shape
    (2,)
    """

    steps_alike = True

    def __init__(
        self, image_size: int, in_channels: int, num_classes: int, channels: Sequence[int], hidden: Sequence[int]
    ):
        a, b, c = channels
        self.conv1 = nn.Conv2d(in_channels, a, 5, padding=2)
        self.conv2 = nn.Conv2d(a, b, 5, padding=2)
        self.conv3 = nn.Conv2d(b, c, 5, padding=2)
        self.fc1 = nn.Linear(c * image_size * image_size, hidden[0])
        self.fc2 = nn.Linear(hidden[0], hidden[1])
        self.drop = nn.Dropout(0.5)
        self.fc3 = nn.Linear(hidden[1], num_classes)

    def forward(self, x: Any) -> Any:
        for conv in (self.conv1, self.conv2, self.conv3):
            x = relu(conv(x))
        x = relu(self.fc1(flatten(x)))
        return self.fc3(self.drop(relu(self.fc2(x))))


def capsnet_baseline(
    *, image_size: int = 28, in_channels: int = 1, num_classes: int = 10, channels: Sequence[int] = (256, 256, 128),
    hidden: Sequence[int] = (328, 192),
) -> CapsNetBaseline:  # fmt: skip
    """The convolutional network that the paper measures CapsNet against: 35,445,522 parameters.

    Parameters
    ----------
    image_size, in_channels, num_classes : int
    channels : three ints
        Filters of the 5×5 convolutions, stride 1, padding "same".
    hidden : two ints
        Sizes of the fully connected layers before the scores; dropout comes before the last.

    Returns
    -------
    CapsNetBaseline

    References
    ----------
    Sabour et al. 2017, section 5.

    Examples
    --------
    >>> capsnet_baseline(channels=(8, 8, 4), hidden=(16, 8)).num_parameters()
    53038
    """
    return CapsNetBaseline(
        integer(image_size, "capsnet_baseline", "image_size", least=1),
        integer(in_channels, "capsnet_baseline", "in_channels", least=1),
        integer(num_classes, "capsnet_baseline", "num_classes", least=1),
        integers(channels, "capsnet_baseline", "channels", count=3, least=1),
        integers(hidden, "capsnet_baseline", "hidden", count=2, least=1),
    )
