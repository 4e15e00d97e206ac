"""The transforming auto-encoder: capsules that are told a shift, and so come to say where their part is."""

from __future__ import annotations

from typing import Any

import numpy as np

from zerohero import nn, optim
from zerohero.arguments import images_of_size, integer
from zerohero.nn import init
from zerohero.operation import float_array
from zerohero.ops.activation import relu, sigmoid
from zerohero.ops.capsule import capsule_votes, reconstruction_loss
from zerohero.ops.linear import flatten
from zerohero.tensor import Parameter, Tensor, no_grad


class TransformingAutoencoder(nn.Module):
    """Capsules with recognition and generation units; see `transforming_autoencoder`.

    Shapes: images (N, 1, H, W) → recognised (N, K·R) → poses (N, K, 2) and gates (N, K, 1); poses + shift
    → generated (N, K, G) → times gates, drawn (N, 1, H, W).

    Examples
    --------
    >>> model = transforming_autoencoder(image_size=16, capsules=5)
    >>> type(model).__name__
    'TransformingAutoencoder'
    """

    def __init__(self, image_size: int, capsules: int, recognition_units: int, generation_units: int):
        self.image_size, self.capsules, self.recognition_units = image_size, capsules, recognition_units
        self.recognition = nn.Linear(image_size**2, capsules * recognition_units)
        self.pose, self.pose_bias = _capsule_weights(capsules, recognition_units, 3)  # down, right, gate
        self.generation, self.generation_bias = _capsule_weights(capsules, 2, generation_units)
        init.uniform(self.generation_bias, 3.0)  # so that some unit changes at each place
        self.drawing = nn.Linear(capsules * generation_units, image_size**2, bias=False)

    def recognise(self, images: Any) -> tuple[Any, Any]:
        """Poses (N, K, 2), each (down, right), and gates (N, K, 1) from 0 to 1."""
        images_of_size(images, "recognise", least=self.image_size)
        if images.shape[1:] != (1, self.image_size, self.image_size):
            raise ValueError(
                f"recognise: images needs shape (N, 1, {self.image_size}, {self.image_size}), but has {images.shape}"
            )
        seen = relu(self.recognition(flatten(images))).reshape(-1, self.capsules, self.recognition_units)
        found = capsule_votes(seen, self.pose)[:, :, 0] + self.pose_bias
        return found[:, :, :2], sigmoid(found[:, :, 2:])

    def generate(self, poses: Any, gates: Any) -> Any:
        """Images (N, 1, H, W): the sum of what the capsules draw at their poses, each times its gate."""
        generated = sigmoid(capsule_votes(poses, self.generation)[:, :, 0] + self.generation_bias)  # (N, K, G)
        return self.drawing(flatten(generated * gates)).reshape(-1, 1, self.image_size, self.image_size)

    def forward(self, images: Any, shifts: Any) -> Any:
        """Images (N, 1, H, W) and shifts (N, 2), each (down, right) in pixels → the images, drawn there."""
        poses, gates = self.recognise(images)
        shifts = float_array(shifts, "TransformingAutoencoder", "shifts")
        if shifts.shape != (len(images), 2):
            raise ValueError(
                f"TransformingAutoencoder: shifts needs shape ({len(images)}, 2), but has shape {shifts.shape}"
            )
        return self.generate(poses + shifts[:, None].astype(np.float32), gates)

    def told(self, images: Any, shifts: Any) -> np.ndarray:
        """`forward` on plain arrays, without a tape."""
        with no_grad():
            return self(Tensor(images), shifts).numpy()

    def shift_between(self, images: Any, moved: Any) -> np.ndarray:
        """How far the capsules say `images` moved to become `moved`: the mean change of pose, weighted by gates.

        Parameters
        ----------
        images, moved : array (N, 1, H, W)

        Returns
        -------
        array (N, 2)
            (down, right) in pixels.
        """
        with no_grad():
            (before, gates), (after, others) = (self.recognise(Tensor(each)) for each in (images, moved))
        weights = gates.numpy() * others.numpy()  # a capsule counts that sees its part in both
        return ((after.numpy() - before.numpy()) * weights).sum(1) / weights.sum(1)


def transforming_autoencoder(
    *, image_size: int = 16, capsules: int = 30, recognition_units: int = 3, generation_units: int = 4
) -> TransformingAutoencoder:
    """A transforming auto-encoder for shifts, with the unit counts of the paper's figure 1.

    Each capsule's recognition units (rectified here) see the whole image; from them come its pose, two numbers, and its
    gate. The shift is added to the pose; generation units (logistic) draw from it, times the gate; drawings are added.

    Parameters
    ----------
    image_size, capsules, recognition_units, generation_units : int

    Returns
    -------
    TransformingAutoencoder
        Maps images (N, 1, H, W) and shifts (N, 2) to images (N, 1, H, W).

    References
    ----------
    Hinton, Krizhevsky & Wang 2011, "Transforming auto-encoders", doi:10.1007/978-3-642-21735-7_6, figure 1.

    Examples
    --------
    >>> model = transforming_autoencoder()
    >>> model(np.zeros((5, 1, 16, 16), np.float32), np.ones((5, 2))).shape
    (5, 1, 16, 16)
    """
    named = dict(image_size=image_size, capsules=capsules, recognition_units=recognition_units,
                 generation_units=generation_units)  # fmt: skip
    sizes = (integer(value, "transforming_autoencoder", name, least=1) for name, value in named.items())
    return TransformingAutoencoder(*sizes)


def shifted(images: Any, shifts: Any) -> np.ndarray:
    """Images (N, C, H, W), each moved by its own whole-number shift (down, right); zeros move in.

    Parameters
    ----------
    images : array (N, C, H, W)
    shifts : int array (N, 2)

    Returns
    -------
    array (N, C, H, W)

    Examples
    --------
    >>> shifted([[[[1.0, 2.0], [3.0, 4.0]]]], [[0, 1]])
    array([[[[0., 1.],
             [0., 3.]]]], dtype=float32)
    """
    images, shifts = float_array(images, "shifted", "images"), np.asarray(shifts)
    images_of_size(images, "shifted", least=1)
    if shifts.shape != (len(images), 2) or shifts.dtype.kind not in "iu":
        raise ValueError(
            f"shifted: shifts needs whole numbers of shape ({len(images)}, 2), but got {shifts.dtype} {shifts.shape}"
        )
    reach = max(1, int(abs(shifts).max(initial=0)))
    padded = np.pad(images, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    rows, columns = (np.arange(n) + reach - shift[:, None] for n, shift in zip(images.shape[2:], shifts.T))
    return padded[np.arange(len(images))[:, None, None], :, rows[:, :, None], columns[:, None]].transpose(0, 3, 1, 2)


def learn_shifts(
    model: TransformingAutoencoder, images: Any, *, epochs: int = 80, reach: int = 2, batch_size: int = 64,
    lr: float = 1e-2, seed: int = 0,
) -> list[float]:  # fmt: skip
    """Train on pairs of one image at two places, both drawn anew each epoch; the loss is summed over the pixels.

    Parameters
    ----------
    model : TransformingAutoencoder
    images : array (N, 1, H, W)
        With at least `reach` empty pixels around, which else move out of the picture.
    epochs, batch_size : int
    reach : int
        The two places lie up to so many pixels from where the image is; so shifts go up to twice that.
    lr : float
        Of Adam, falling to 0 along a cosine.
    seed : int

    Returns
    -------
    list of float
        The mean loss of each epoch.

    Examples
    --------
    >>> model = transforming_autoencoder(image_size=16, capsules=5)
    >>> images = np.zeros((4, 1, 16, 16), np.float32)
    >>> len(learn_shifts(model, images, epochs=2))
    2
    """
    epochs = integer(epochs, "learn_shifts", "epochs", least=1)
    rng = np.random.default_rng(seed)
    optimizer = optim.Adam(model.parameters(), lr=lr)
    losses = []
    for epoch in range(epochs):
        optimizer.factor = (1 + np.cos(np.pi * epoch / epochs)) / 2
        order, total = rng.permutation(len(images)), 0.0
        for start in range(0, len(images), batch_size):
            batch = images[order[start : start + batch_size]]
            here, there = rng.integers(-reach, reach + 1, (2, len(batch), 2))
            output = model(Tensor(shifted(batch, here)), there - here)
            loss = reconstruction_loss(output, shifted(batch, there))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        losses.append(total / len(images))
    return losses


def _capsule_weights(capsules: int, inputs: int, outputs: int) -> tuple[Parameter, Parameter]:
    """A small fully connected layer for each capsule: weight (K, inputs, 1, outputs), bias (K, outputs)."""
    weight, bias = np.empty((capsules, inputs, 1, outputs), np.float32), np.zeros((capsules, outputs), np.float32)
    return init.normal(Parameter(weight), inputs**-0.5), Parameter(bias)
