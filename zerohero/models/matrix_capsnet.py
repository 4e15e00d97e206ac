"""The network of matrix capsules of Hinton, Sabour & Frosst 2018."""

from __future__ import annotations

from typing import Any

import numpy as np

from zerohero import nn
from zerohero.arguments import integer, number
from zerohero.nn.matrix_capsule import ClassMatrixCapsules, ConvMatrixCapsules, PrimaryMatrixCapsules
from zerohero.ops.activation import relu
from zerohero.ops.em_routing import spread_loss
from zerohero.tensor import Tensor

MARGINS = 0.2, 0.9  # of the spread loss, at the beginning and at the end


class MatrixCapsNet(nn.Module):
    """Convolution, primary, two convolutional and class capsules, routed by EM; see `matrix_capsnet`.

    Shapes for 32×32: conv1 (N, A, 14, 14) → primary 14×14 of B types → 6×6 of C → 4×4 of D → classes (N, E).

    Examples
    --------
    >>> type(matrix_capsnet()).__name__
    'MatrixCapsNet'
    """

    steps: Any  # a buffer

    def __init__(
        self, *, image_size, in_channels, num_classes, channels, kernel_size, stride, types, iterations,
        inverse_temperature, margin_steps,
    ):  # fmt: skip
        b, c, d = types
        routing = dict(iterations=iterations, inverse_temperature=inverse_temperature)
        self.image_size, self.margin_steps = image_size, margin_steps
        self.conv1 = nn.Conv2d(in_channels, channels, kernel_size, stride=stride)
        self.primary = PrimaryMatrixCapsules(channels, b)
        self.conv_caps1 = ConvMatrixCapsules(b, c, 3, stride=2, **routing)
        self.conv_caps2 = ConvMatrixCapsules(c, d, 3, **routing)
        self.classes = ClassMatrixCapsules(d, num_classes, **routing)
        self.register_buffer("steps", np.zeros(1, np.float32))  # taken so far; saved, so that the margin goes on

    def capsules(self, x: Any) -> tuple[Any, Any]:
        """Images (N, C, H, W) → the classes' poses (N, E, 4, 4) and activations (N, E)."""
        poses, activations = self.primary(relu(self.conv1(x)))
        for layer in (self.conv_caps1, self.conv_caps2, self.classes):
            poses, activations = layer(poses, activations)
        return poses, activations

    def forward(self, x: Any) -> Any:
        """Images (N, C, H, W) → the classes' activations (N, E)."""
        return self.capsules(x)[1]

    @property
    def margin(self) -> float:
        """The spread loss's now; from 0.2 it grows evenly to 0.9, in `margin_steps` steps."""
        low, high = MARGINS
        return low + (high - low) * min(1.0, float(self.steps[0]) / self.margin_steps)

    def training_step(self, images: Any, labels: Any) -> tuple[Tensor, Any]:
        """Loss and scores of a batch, as `training.fit` asks for them; in training, the margin grows by a step."""
        activations = self(Tensor(images))
        loss = spread_loss(activations, labels, self.margin)
        if self.training:
            self.steps += 1
        return loss, activations.data


def matrix_capsnet(
    *, image_size: int = 32, in_channels: int = 2, num_classes: int = 5, A: int = 32, B: int = 32, C: int = 32,
    D: int = 32, kernel_size: int = 5, stride: int = 2, iterations: int = 3, inverse_temperature: float = 0.01,
    margin_steps: int = 1000,
) -> MatrixCapsNet:  # fmt: skip
    """The paper's network, by default as for smallNORB: two channels, a stereo pair, cropped to 32×32.

    Parameters
    ----------
    image_size, in_channels, num_classes : int
    A : int
        Filters of the first convolution.
    B, C, D : int
        Types of primary capsules, and of the capsules of both convolutional layers (3×3, stride 2 and 1).
    kernel_size, stride : int
        Of the first convolution; smaller than the paper's 5 and 2 for small images.
    iterations : int
        Of EM routing.
    inverse_temperature : float
        See `em_routing`.
    margin_steps : int
        After so many training steps the margin is 0.9.

    Returns
    -------
    MatrixCapsNet

    Raises
    ------
    ValueError
        If the image is too small for three layers of windows.

    References
    ----------
    Hinton, Sabour & Frosst 2018, section 4, openreview.net/forum?id=HJWLfGWRb.

    Examples
    --------
    >>> matrix_capsnet(A=64, B=8, C=16, D=16).num_parameters()
    68754
    """
    named = dict(image_size=image_size, in_channels=in_channels, num_classes=num_classes, A=A, B=B, C=C, D=D,
                 kernel_size=kernel_size, stride=stride, iterations=iterations, margin_steps=margin_steps)  # fmt: skip
    sizes = {name: integer(value, "matrix_capsnet", name, least=1) for name, value in named.items()}
    least = (2 * (3 - 1) + 3 - 1) * stride + kernel_size  # conv_caps2 needs 3, so conv_caps1 7, so conv1 this
    if image_size < least:
        raise ValueError(
            f"matrix_capsnet: image_size needs to be at least {least} for a kernel of {kernel_size} and stride "
            f"{stride}, but got {image_size}"
        )
    a, *types = (sizes.pop(name) for name in "ABCD")
    temperature = number(inverse_temperature, "matrix_capsnet", "inverse_temperature", low=0)
    return MatrixCapsNet(channels=a, types=types, inverse_temperature=temperature, **sizes)
