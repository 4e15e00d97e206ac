"""The layers of a CapsNet: primary capsules, a routed capsule layer, and the decoder that draws what a capsule says."""

from __future__ import annotations

from typing import Any

import numpy as np

from zerohero.arguments import boolean, class_labels, integer, integers, number
from zerohero.nn import init
from zerohero.nn.layers import Conv2d, Linear
from zerohero.nn.module import Module
from zerohero.operation import array_module, float_array
from zerohero.ops.activation import relu, sigmoid
from zerohero.ops.capsule import capsule_layer, squash
from zerohero.ops.linear import flatten
from zerohero.tensor import Parameter, Tensor


class PrimaryCaps(Module):
    """The first capsules: a convolution whose channels are read as `types` vectors of `dim` numbers, then squashed.

    Capsules are ordered (type, y, x); capsule (k, y, x) is made of the `dim` channels k·dim … k·dim + dim - 1 at
    (y, x) and of nothing else. There is no ReLU.

    Parameters
    ----------
    in_channels : int
    types, dim : int
        Kinds of capsules at every position, and numbers in each.
    kernel_size, stride : int
    divide : float
        The convolution, without its bias, is divided by this: the authors' code routes every primary capsule over
        `types` inputs of which one is not zero, which comes to 1 / 32.

    Attributes
    ----------
    conv : Conv2d (types · dim filters)

    References
    ----------
    Sabour et al. 2017, section 4.

    Examples
    --------
    >>> PrimaryCaps(4, types=3, dim=8)(np.zeros((2, 4, 20, 20), np.float32)).shape
    (2, 108, 8)
    """

    def __init__(
        self, in_channels: int, types: int = 32, dim: int = 8, *, kernel_size: int = 9, stride: int = 2,
        divide: float = 1.0,
    ):  # fmt: skip
        self.types = integer(types, "PrimaryCaps", "types", least=1)
        self.dim = integer(dim, "PrimaryCaps", "dim", least=1)
        in_channels = integer(in_channels, "PrimaryCaps", "in_channels", least=1)
        self.divide = number(divide, "PrimaryCaps", "divide")
        if not self.divide:
            raise ValueError("PrimaryCaps: divide needs another number than 0")
        self.conv = Conv2d(in_channels, self.types * self.dim, kernel_size, stride=stride)

    def forward(self, x: Any) -> Any:
        maps = self.conv(x)  # (N, types·dim, h, w)
        if self.divide != 1:
            bias: Any = self.conv.bias
            bias = bias.reshape(-1, 1, 1)
            maps = (maps - bias) / self.divide + bias
        n, _, height, width = maps.shape
        vectors = maps.reshape(n, self.types, self.dim, height, width).transpose(0, 1, 3, 4, 2)
        return squash(vectors.reshape(n, self.types * height * width, self.dim))

    def describe(self) -> str:
        return f"{self.types} types of {self.dim}"


class CapsuleLayer(Module):
    """Output capsules that are routed to by agreement; see `zerohero.capsule_layer`.

    Parameters
    ----------
    in_capsules, in_dim, out_capsules, out_dim : int
    iterations : int
    bias : bool
        Whether every output capsule has a bias, added in each iteration before squash.
    stop_gradient : bool
        Whether the last couplings count as constants in the gradient.

    Attributes
    ----------
    weight : Parameter (in_capsules, in_dim, out_capsules, out_dim)
    bias : Parameter (out_capsules, out_dim) or None

    Examples
    --------
    >>> CapsuleLayer(108, 8, 10, 16)(np.zeros((2, 108, 8), np.float32)).shape
    (2, 10, 16)
    """

    def __init__(
        self, in_capsules: int, in_dim: int, out_capsules: int, out_dim: int, *, iterations: int = 3,
        bias: bool = True, stop_gradient: bool = False,
    ):  # fmt: skip
        named = dict(in_capsules=in_capsules, in_dim=in_dim, out_capsules=out_capsules, out_dim=out_dim)
        shape = tuple(integer(value, "CapsuleLayer", name, least=1) for name, value in named.items())
        self.iterations = integer(iterations, "CapsuleLayer", "iterations", least=1)
        self.stop_gradient = boolean(stop_gradient, "CapsuleLayer", "stop_gradient")
        self.weight = init.truncated_normal(Parameter(np.empty(shape, np.float32)), 0.1)
        self.bias = Parameter(np.full(shape[2:], 0.1, np.float32)) if boolean(bias, "CapsuleLayer", "bias") else None

    def forward(self, u: Any) -> Any:
        return capsule_layer(u, self.weight, self.bias, iterations=self.iterations, stop_gradient=self.stop_gradient)

    def describe(self) -> str:
        inside, p, outside, q = self.weight.shape
        return f"{inside}×{p} → {outside}×{q}, {self.iterations} iterations"


def mask_capsules(v: Any, labels: Any = None) -> Any:
    """Keep one capsule of every example and set the others to 0.

    Parameters
    ----------
    v : array or Tensor (N, J, Q)
    labels : int array (N,), optional
        Which capsule to keep: the true classes in training. By default the longest, the prediction.

    Returns
    -------
    array or Tensor (N, J·Q)

    Examples
    --------
    >>> mask_capsules(np.array([[[1.0, 2.0], [3.0, 4.0]]], np.float32), [0])
    array([[1., 2., 0., 0.]], dtype=float32)
    """
    v = v if isinstance(v, Tensor) else float_array(v, "mask_capsules", "v")
    values = v.data if isinstance(v, Tensor) else v
    if values.ndim != 3:
        raise ValueError(f"mask_capsules: v needs shape (N, J, Q), but has shape {values.shape}")
    if labels is None:
        kept = (values * values).sum(2).argmax(1)
    else:
        kept = class_labels(labels, "mask_capsules", *values.shape[:2])
    xp = array_module(values)
    mask = (xp.arange(values.shape[1]) == xp.asarray(kept)[:, None]).astype(values.dtype)[..., None]
    return flatten(v * mask)


class Decoder(Module):
    """Three fully connected layers from the one capsule that is kept to an image: ReLU, ReLU, sigmoid.

    Parameters
    ----------
    capsules, dim : int
        Output capsules, and numbers in each.
    pixels : int
    hidden : (int, int)

    Examples
    --------
    >>> Decoder(10, 16, 784).num_parameters()
    1411344
    """

    def __init__(self, capsules: int, dim: int, pixels: int, *, hidden: tuple[int, int] = (512, 1024)):
        named = dict(capsules=capsules, dim=dim, pixels=pixels)
        capsules, dim, pixels = (integer(value, "Decoder", name, least=1) for name, value in named.items())
        first, second = integers(hidden, "Decoder", "hidden", count=2, least=1)
        self.fc1 = Linear(capsules * dim, first)
        self.fc2 = Linear(first, second)
        self.fc3 = Linear(second, pixels)

    def forward(self, v: Any, labels: Any = None) -> Any:
        hidden = relu(self.fc2(relu(self.fc1(mask_capsules(v, labels)))))
        return sigmoid(self.fc3(hidden))
