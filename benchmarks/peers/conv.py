"""`torch.nn.functional.conv2d`, forward alone and with both gradients; the layout is the arrays' own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}


def forward(x: Tensor, weight: Tensor, **options: Any) -> list[Tensor]:
    with torch.inference_mode():
        return [F.conv2d(x, weight, **options)]


def with_gradients(x: Tensor, weight: Tensor, grad: Tensor, **options: Any) -> list[Tensor]:
    """Output and gradients; x and weight require one, grad is the output's."""
    y = F.conv2d(x, weight, **options)
    return [y.detach(), *torch.autograd.grad(y, (x, weight), grad)]
