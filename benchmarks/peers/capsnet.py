"""The CapsNet of Sabour, Frosst & Hinton 2017 in PyTorch, with the parameter names of `zerohero.models.create`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.linalg import vector_norm
from torch.nn import functional as F

from benchmarks.peers.capsule_layer import capsule_layer_bijq, squash


class PrimaryCaps(nn.Module):
    def __init__(self, channels: int, types: int, dim: int):
        super().__init__()
        self.types, self.dim = types, dim
        self.conv = nn.Conv2d(channels, types * dim, 9, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.conv(x)  # (b, types·dim, h, w)
        vectors = maps.unflatten(1, (self.types, self.dim)).permute(0, 1, 3, 4, 2)  # (b, type, y, x, dim)
        return squash(vectors.flatten(1, 3))


class ClassCaps(nn.Module):
    def __init__(self, in_capsules: int, in_dim: int, out_capsules: int, out_dim: int, layer: Callable):
        super().__init__()
        self.layer = layer
        self.weight = nn.Parameter(torch.empty(in_capsules, in_dim, out_capsules, out_dim).normal_(std=0.1))
        self.bias = nn.Parameter(torch.full((out_capsules, out_dim), 0.1))

    def forward(self, u: Tensor) -> Tensor:
        return self.layer(u, self.weight, self.bias)


class Decoder(nn.Module):
    def __init__(self, inputs: int, hidden: tuple[int, int], pixels: int):
        super().__init__()
        self.fc1 = nn.Linear(inputs, hidden[0])
        self.fc2 = nn.Linear(hidden[0], hidden[1])
        self.fc3 = nn.Linear(hidden[1], pixels)

    def forward(self, v: Tensor) -> Tensor:
        return torch.sigmoid(self.fc3(F.relu(self.fc2(F.relu(self.fc1(v))))))


class CapsNet(nn.Module):
    """Images (b, 1, 28, 28) → class capsules (b, 10, 16); `layer` routes, in the layout that it likes."""

    def __init__(
        self, channels: int = 256, types: int = 32, hidden: tuple[int, int] = (512, 1024),
        layer: Callable = capsule_layer_bijq,
    ):  # fmt: skip
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels, 9)
        self.primary = PrimaryCaps(channels, types, 8)
        self.digits = ClassCaps(types * 36, 8, 10, 16, layer)
        self.decoder = Decoder(160, hidden, 784)

    def forward(self, images: Tensor) -> Tensor:
        return self.digits(self.primary(F.relu(self.conv1(images))))

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Margin loss + 0.0005 · the sum of squared errors of the reconstruction, means over the batch."""
        v = self(images)
        present = F.one_hot(labels, 10).to(v.dtype)
        length = vector_norm(v, dim=-1)
        margin = present * F.relu(0.9 - length) ** 2 + 0.5 * (1 - present) * F.relu(length - 0.1) ** 2
        drawn = self.decoder((v * present[..., None]).flatten(1))
        return margin.sum(1).mean() + 0.0005 * F.mse_loss(drawn, images.flatten(1), reduction="sum") / len(images)
