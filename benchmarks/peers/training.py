"""A training step in PyTorch: loss, gradients, Adam in one fused pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def stepper(
    model: Any, images: Tensor, labels: Tensor, *, lr: float = 1e-3, compiled: bool = False, mode: str | None = None
) -> Callable[[], list[Tensor]]:
    """From a module with a method loss(images, labels): a function that takes one step each time it is called.

    It gives the loss and all gradients. `mode` is torch.compile's; "reduce-overhead" repeats CUDA graphs.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
    loss_of = torch.compile(model.loss, mode=mode) if compiled else model.loss

    def step() -> list[Tensor]:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(images, labels)
        loss.backward()
        optimizer.step()
        return [loss.detach(), *(parameter.grad for parameter in model.parameters())]

    return step
