"""The layers of a network of matrix capsules: each capsule has a pose of 4×4 numbers and an activation.

Between layers go poses (N, h, w, types, 4, 4) and activations (N, h, w, types). Source: Hinton, Sabour & Frosst 2018,
"Matrix capsules with EM routing", openreview.net/forum?id=HJWLfGWRb.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from zerohero.arguments import integer
from zerohero.nn import init
from zerohero.nn.layers import Conv2d
from zerohero.nn.module import Module
from zerohero.operation import array_module
from zerohero.ops.activation import sigmoid
from zerohero.ops.capsule import capsule_votes
from zerohero.ops.em_routing import em_routing
from zerohero.ops.em_windows import em_routing_windows, windows
from zerohero.tensor import Parameter

SIDE = 4  # of a pose matrix


class PrimaryMatrixCapsules(Module):
    """The first capsules: 1×1 convolutions give each its pose, and its activation through a sigmoid.

    Parameters
    ----------
    in_channels, types : int

    Examples
    --------
    >>> poses, activations = PrimaryMatrixCapsules(6, 3)(np.zeros((2, 6, 5, 5), np.float32))
    >>> poses.shape, activations.shape
    ((2, 5, 5, 3, 4, 4), (2, 5, 5, 3))
    """

    def __init__(self, in_channels: int, types: int):
        self.types = integer(types, "PrimaryMatrixCapsules", "types", least=1)
        self.pose = Conv2d(in_channels, self.types * SIDE * SIDE, 1)
        self.activation = Conv2d(in_channels, self.types, 1)

    def forward(self, x: Any) -> tuple[Any, Any]:
        poses = self.pose(x).transpose(0, 2, 3, 1)
        poses = poses.reshape(*poses.shape[:3], self.types, SIDE, SIDE)
        return poses, sigmoid(self.activation(x)).transpose(0, 2, 3, 1)


class _Routed(Module):
    """What both routed layers have: a matrix for each pair of a child's and a parent's type, and both β."""

    def __init__(self, where: str, children: int, parents: int, iterations: int, inverse_temperature: float):
        parents = integer(parents, where, "out_types", least=1)
        self.iterations = integer(iterations, where, "iterations", least=1)
        self.inverse_temperature = inverse_temperature
        self.weight = init.normal(Parameter(np.empty((children, SIDE, parents, SIDE), np.float32)), SIDE**-0.5)
        self.beta_a, self.beta_u = (Parameter(np.zeros(parents, np.float32)) for _ in range(2))

    def votes(self, poses: Any) -> Any:
        """Pose times matrix: (M, K, 4, 4) → (M, K, C, 16). A row of a pose is what `capsule_votes` calls a capsule."""
        count, children = poses.shape[:2]
        rows = poses.transpose(0, 2, 1, 3).reshape(count * SIDE, children, SIDE)
        votes = capsule_votes(rows, self.weight).reshape(count, SIDE, children, -1, SIDE)
        return votes.transpose(0, 2, 3, 1, 4).reshape(count, children, -1, SIDE * SIDE)

    def settings(self) -> dict[str, Any]:
        return dict(iterations=self.iterations, inverse_temperature=self.inverse_temperature)


class ConvMatrixCapsules(_Routed):
    """Convolutional capsules: parents at every place, each sees a window; routed by `em_routing_windows`.

    Parameters
    ----------
    in_types, out_types : int
    kernel_size, stride : int
    iterations : int
    inverse_temperature : float

    Attributes
    ----------
    weight : Parameter (kernel_size² · in_types, 4, out_types, 4)
        The same at every place.
    beta_a, beta_u : Parameter (out_types,)

    Examples
    --------
    >>> poses, activations = np.ones((2, 5, 5, 3, 4, 4), np.float32), np.ones((2, 5, 5, 3), np.float32)
    >>> [each.shape for each in ConvMatrixCapsules(3, 7, 3, stride=2)(poses, activations)]
    [(2, 2, 2, 7, 4, 4), (2, 2, 2, 7)]
    """

    def __init__(
        self, in_types: int, out_types: int, kernel_size: int, *, stride: int = 1, iterations: int = 3,
        inverse_temperature: float = 0.01,
    ):  # fmt: skip
        where = "ConvMatrixCapsules"
        in_types = integer(in_types, where, "in_types", least=1)
        self.kernel_size = integer(kernel_size, where, "kernel_size", least=1)
        self.stride = integer(stride, where, "stride", least=1)
        super().__init__(where, self.kernel_size**2 * in_types, out_types, iterations, inverse_temperature)

    def forward(self, poses: Any, activations: Any) -> tuple[Any, Any]:
        n, height, width, types = activations.shape
        children = windows(height, width, types, self.kernel_size, self.stride)
        seen = poses.reshape(n, -1, SIDE, SIDE)[:, array_module(getattr(poses, "data", poses)).asarray(children)]
        places = children.shape
        votes = self.votes(seen.reshape(n * places[0], places[1], SIDE, SIDE))
        mean, active = em_routing_windows(
            votes.reshape(n, *places, -1, SIDE * SIDE), activations.reshape(n, -1), self.beta_a, self.beta_u, children,
            **self.settings(),
        )  # fmt: skip
        h, w = ((size - self.kernel_size) // self.stride + 1 for size in (height, width))
        return mean.reshape(n, h, w, -1, SIDE, SIDE), active.reshape(n, h, w, -1)


class ClassMatrixCapsules(_Routed):
    """One capsule a class, which sees all children; their matrices are shared between places.

    So that a vote still says where it comes from, the place of the child (row, column, each from 0 to 1) is added to
    the first two numbers of each vote ("coordinate addition").

    Parameters
    ----------
    in_types, num_classes : int
    iterations : int
    inverse_temperature : float

    Attributes
    ----------
    weight : Parameter (in_types, 4, num_classes, 4)
    beta_a, beta_u : Parameter (num_classes,)

    Examples
    --------
    >>> poses, activations = np.ones((2, 5, 5, 3, 4, 4), np.float32), np.ones((2, 5, 5, 3), np.float32)
    >>> [each.shape for each in ClassMatrixCapsules(3, 10)(poses, activations)]
    [(2, 10, 4, 4), (2, 10)]
    """

    def __init__(
        self, in_types: int, num_classes: int, *, iterations: int = 3, inverse_temperature: float = 0.01
    ):  # fmt: skip
        in_types = integer(in_types, "ClassMatrixCapsules", "in_types", least=1)
        super().__init__("ClassMatrixCapsules", in_types, num_classes, iterations, inverse_temperature)

    def forward(self, poses: Any, activations: Any) -> tuple[Any, Any]:
        n, height, width, types = activations.shape
        votes = self.votes(poses.reshape(n * height * width, types, SIDE, SIDE))
        votes = votes.reshape(n, height * width, types, -1, SIDE * SIDE)
        where = array_module(getattr(votes, "data", votes)).asarray(coordinates(height, width))
        votes = (votes + where).reshape(n, height * width * types, -1, SIDE * SIDE)
        mean, active = em_routing(votes, activations.reshape(n, -1), self.beta_a, self.beta_u, **self.settings())
        return mean.reshape(n, -1, SIDE, SIDE), active


def coordinates(height: int, width: int) -> np.ndarray:
    """What coordinate addition adds: (h·w, 1, 1, 16), row and column of each place's centre, from 0 to 1, then zeros.

    Examples
    --------
    >>> coordinates(2, 2)[:, 0, 0, :3]
    array([[0.25, 0.25, 0.  ],
           [0.25, 0.75, 0.  ],
           [0.75, 0.25, 0.  ],
           [0.75, 0.75, 0.  ]], dtype=float32)
    """
    added = np.zeros((height, width, 1, 1, SIDE * SIDE), np.float32)
    added[..., 0, 0, 0] = ((np.arange(height) + 0.5) / height)[:, None]
    added[..., 0, 0, 1] = (np.arange(width) + 0.5) / width
    return added.reshape(height * width, 1, 1, SIDE * SIDE)
