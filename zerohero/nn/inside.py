"""Looking inside a model while it runs: what its layers give, with or without a tape; nothing is drawn or measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from zerohero.arguments import shown
from zerohero.nn.module import Module, observe
from zerohero.operation import Operation
from zerohero.tensor import Tensor, _handler, intercept


class _Enough(Exception):
    """Every layer that was asked for has run: the rest of the model needn't."""


def layer_outputs(
    model: Module, batch: Tensor, layers: Sequence[str], where: str, *, to_the_end: bool = False
) -> tuple[Any, dict[str, Tensor]]:
    """Run a model and keep what some of its layers return, on the tape if there is one.

    Parameters
    ----------
    model : Module
    batch : Tensor (N, C, H, W)
    layers : sequence of str
        Names out of the table `model.summary(shape)`, or modules' dotted names: "conv1", "layer1.0.conv1", "relu".
        What runs more than once is counted: "max_pool2d" is the first, "max_pool2d#2" the second.
    where : str
        The function that asks, for its error message.
    to_the_end : bool
        Whether the model runs on when all layers have run, to return its own output.

    Returns
    -------
    output, outputs
        What the model returns (None unless `to_the_end`), and the layers' Tensors by name.

    Raises
    ------
    ValueError
        If there is no such layer; the message lists those there are.

    Examples
    --------
    >>> import numpy as np
    >>> from zerohero import nn
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
    >>> layer_outputs(model, Tensor(np.zeros((2, 1, 5, 5), np.float32)), ["0"], "example")[1]["0"].shape
    (2, 4, 3, 3)
    """
    names = {id(module): name for name, module in model.named_modules()}
    inside: list[str] = []  # the names of the modules that are running
    times: Counter[str] = Counter()
    found: dict[str, Any] = {}
    missing = set(map(str, layers))
    outer = _handler.get()

    def keep(name: str, output: Any) -> None:
        times[name] += 1
        name = name if times[name] == 1 else f"{name}#{times[name]}"
        found[name] = output
        missing.discard(name)
        if layers and not missing and not to_the_end:
            raise _Enough

    def enter(module: Module, inputs: tuple) -> None:
        inside.append(names.get(id(module), type(module).__name__))

    def leave(module: Module, inputs: tuple, output: Any) -> None:
        keep(inside.pop(), output)

    def run(operation: Operation, arguments: dict[str, Any]) -> Any:
        with intercept(outer):  # type: ignore[arg-type]  # as if nobody were looking
            output = operation(**arguments)
        at = inside[-1] if inside else ""
        keep(f"{at}.{operation.name}" if at else operation.name, output)
        return output

    output = None
    try:
        with observe(leave, before=enter), intercept(run):
            output = model(batch)
    except _Enough:
        pass
    for layer in layers:
        if not (isinstance(layer, str) and layer and isinstance(found.get(layer), Tensor)):
            known = [name for name, each in found.items() if name and isinstance(each, Tensor)]
            more = f" and {len(known) - 40} more" if len(known) > 40 else ""
            raise ValueError(f"{where}: layer needs one of {', '.join(known[:40])}{more}, but got {shown(layer)}")
    return output, {layer: found[layer] for layer in layers}


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """In the block the model and all its parts are in evaluation mode; afterwards each is as it was."""
    modes = [(module, module.training) for _, module in model.named_modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def frozen(model: Module) -> Iterator[None]:
    """In the block the model is in evaluation mode and no weight wants a gradient; afterwards all is as it was."""
    wanted = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    with evaluating(model):
        try:
            for parameter, _ in wanted:
                parameter.requires_grad = False
            yield
        finally:
            for parameter, before in wanted:
                parameter.requires_grad = before
