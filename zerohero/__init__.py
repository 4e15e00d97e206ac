"""Convolutional Neural Networks from Zero to Hero: the lecture desk.

`import zerohero as zh` gives the names that lectures use, and stays fast: heavy rooms open on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from zerohero.operation import available_backends, use_backend
from zerohero.ops.activation import leaky_relu, log_softmax, relu, sigmoid, softmax, tanh
from zerohero.ops.capsule import (
    capsule_layer,
    capsule_votes,
    dynamic_routing,
    dynamic_routing_loops,
    margin_loss,
    reconstruction_loss,
    routing_trace,
    squash,
)
from zerohero.ops.convolution import conv2d, conv2d_loops, conv_transpose2d
from zerohero.ops.em_routing import em_routing, em_routing_loops, em_routing_trace, spread_loss
from zerohero.ops.linear import concat, flatten, linear, pad
from zerohero.ops.loss import cross_entropy, mse_loss
from zerohero.ops.normalization import batch_norm, dropout, local_response_norm
from zerohero.ops.pooling import adaptive_avg_pool2d, avg_pool2d, global_avg_pool2d, max_pool2d
from zerohero.random import seed
from zerohero.tensor import Tensor, grad, grad_check, no_grad

__version__ = "0.1.0"

# opened on first use: name -> where it is
_ROOMS = (
    "checks", "datasets", "interactive", "limits", "models", "nn", "optim", "recipes", "training", "transfer",
    "visualize", "weights",
)  # fmt: skip
_LATER = {
    "check": "zerohero.checks",
    "doctor": "zerohero.diagnosis",
    "load_weights": "zerohero.checkpoints",
    "save_weights": "zerohero.checkpoints",
}

if TYPE_CHECKING:
    from zerohero import (
        checks,
        datasets,
        interactive,
        limits,
        models,
        nn,
        optim,
        recipes,
        training,
        transfer,
        visualize,
        weights,
    )
    from zerohero.checkpoints import load_weights, save_weights
    from zerohero.checks import check
    from zerohero.diagnosis import doctor

__all__ = [
    "Tensor",
    "adaptive_avg_pool2d",
    "available_backends",
    "avg_pool2d",
    "batch_norm",
    "capsule_layer",
    "capsule_votes",
    "check",
    "checks",
    "concat",
    "conv2d",
    "conv2d_loops",
    "conv_transpose2d",
    "cross_entropy",
    "datasets",
    "doctor",
    "dropout",
    "dynamic_routing",
    "dynamic_routing_loops",
    "em_routing",
    "em_routing_loops",
    "em_routing_trace",
    "flatten",
    "global_avg_pool2d",
    "grad",
    "grad_check",
    "interactive",
    "leaky_relu",
    "limits",
    "linear",
    "load_weights",
    "local_response_norm",
    "log_softmax",
    "margin_loss",
    "max_pool2d",
    "models",
    "mse_loss",
    "nn",
    "no_grad",
    "optim",
    "pad",
    "recipes",
    "reconstruction_loss",
    "relu",
    "routing_trace",
    "save_weights",
    "seed",
    "sigmoid",
    "softmax",
    "spread_loss",
    "squash",
    "tanh",
    "training",
    "transfer",
    "use_backend",
    "visualize",
    "weights",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"zerohero.{name}")
    if name in _LATER:
        value = getattr(importlib.import_module(_LATER[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'zerohero' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
