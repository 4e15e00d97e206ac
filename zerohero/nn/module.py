"""What every layer and model is: a tree of modules with named parameters."""

from __future__ import annotations

import contextlib
import contextvars
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zerohero.arguments import integer, listed, shown
from zerohero.operation import engine_of
from zerohero.tensor import Parameter, Tensor, move, no_grad

if TYPE_CHECKING:
    from zerohero.nn.summary import Summary

_Observer = tuple[Callable[["Module", tuple, Any], None], Callable[["Module", tuple], None] | None]
_observer: contextvars.ContextVar[_Observer | None] = contextvars.ContextVar("zerohero_observer", default=None)


@contextlib.contextmanager
def observe(
    callback: Callable[[Module, tuple, Any], None], *, before: Callable[[Module, tuple], None] | None = None
) -> Iterator[None]:
    """Inside the `with` block, `callback(module, inputs, output)` is called after each module has run.

    `before(module, inputs)`, if given, is called when a module is about to run.

    Examples
    --------
    >>> from zerohero import nn
    >>> with observe(lambda module, inputs, output: print(type(module).__name__, output.shape)):
    ...     _ = nn.Sequential(nn.Flatten(), nn.ReLU())(Tensor([[[1.0, 2.0]]]))
    Flatten (1, 2)
    ReLU (1, 2)
    Sequential (1, 2)
    """
    token = _observer.set((callback, before))
    try:
        yield
    finally:
        _observer.reset(token)


class Module:
    """A layer or a model: subclasses set parameters and other modules as attributes and define `forward`.

    Attributes that are a `Parameter` or a `Module`, or lists, tuples or dicts of them, are found by themselves, in
    the order in which they were set. `register_buffer` adds arrays that are saved but not learned.

    Attributes
    ----------
    training : bool
        Set by `train()` and `eval()`; dropout and batch normalization look at it.
    steps_alike : bool
        Whether a training step does the same whatever the numbers are, in every step: then a GPU records it once and
        repeats it (`zerohero.stepping`). False unless a class says so; one that counts its steps, say, must not.

    Examples
    --------
    >>> from zerohero import nn
    >>> class Twice(nn.Module):
    ...     def __init__(self):
    ...         self.layer = nn.Linear(2, 2)
    ...     def forward(self, x):
    ...         return self.layer(self.layer(x))
    >>> [name for name, _ in Twice().named_parameters()]
    ['layer.weight', 'layer.bias']
    """

    training = True
    steps_alike = False

    def forward(self, *inputs: Any) -> Any:
        raise TypeError(f"{type(self).__name__}: a Module needs a method forward(self, ...), and this one has none")

    def __call__(self, *inputs: Any) -> Any:
        observer = _observer.get()
        if observer is None:
            return self.forward(*inputs)
        after, before = observer
        if before is not None:
            before(self, inputs)
        output = self.forward(*inputs)
        after(self, inputs, output)
        return output

    # ---- the tree -------------------------------------------------------------------------------------

    def children(self) -> Iterator[tuple[str, Module]]:
        """The modules set on this one, with their names."""
        return ((name, item) for name, item in self._members() if isinstance(item, Module))

    def _members(self) -> Iterator[tuple[str, Any]]:
        """Modules and parameters set on this one, also those in lists, tuples and dicts, with their names."""
        return (member for name, value in vars(self).items() for member in _found(name, value))

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module ("") and all below it, by their dotted names."""
        yield prefix, self
        for name, child in self.children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Every parameter once, by its dotted name."""
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name, value in module._members():
                if isinstance(value, Parameter) and id(value) not in seen:
                    seen.add(id(value))
                    yield f"{prefix}.{name}" if prefix else name, value

    def parameters(self) -> list[Parameter]:
        """Every parameter once."""
        return [parameter for _, parameter in self.named_parameters()]

    def num_parameters(self) -> int:
        """How many numbers the parameters hold together."""
        return sum(parameter.size for parameter in self.parameters())

    def register_buffer(self, name: str, array: Any) -> None:
        """Set an array that belongs to the state of this module but is not learned."""
        self._buffers = (*getattr(self, "_buffers", ()), name)
        setattr(self, name, array)

    def named_buffers(self) -> Iterator[tuple[str, Any]]:
        """Every buffer, by its dotted name."""
        for prefix, module in self.named_modules():
            for name in getattr(module, "_buffers", ()):
                yield f"{prefix}.{name}" if prefix else name, getattr(module, name)

    # ---- modes and devices ----------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Module:
        """Switch this module and all below it to training."""
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Switch this module and all below it to evaluation."""
        return self.train(False)

    def to(self, device: str) -> Module:
        """Move parameters and buffers to "numpy" (CPU) or "cupy" (GPU), in place."""
        for parameter in self.parameters():
            parameter.data, parameter.grad = move(parameter.data, device), None
        for _, module in self.named_modules():
            for name in getattr(module, "_buffers", ()):
                setattr(module, name, move(getattr(module, name), device))
        return self

    # ---- use ------------------------------------------------------------------------------------------

    def scores(self, images: Any, *, batch_size: int = 256) -> np.ndarray:
        """What the model says about images, in evaluation mode and without a tape.

        Parameters
        ----------
        images : array (H, W), (C, H, W) or (N, C, H, W)
        batch_size : int
            How many images are computed at once.

        Returns
        -------
        array (N, classes), or (classes,) for a single image
        """
        batch_size = integer(batch_size, "scores", "batch_size", least=1)
        array = images.data if isinstance(images, Tensor) else images
        array = array if hasattr(array, "ndim") else np.asarray(array, dtype=np.float32)
        if array.ndim not in (2, 3, 4):
            raise ValueError(f"scores: images needs shape (H, W), (C, H, W) or (N, C, H, W), but has {array.shape}")
        batch = array.reshape((1,) * (4 - array.ndim) + array.shape)
        if not len(batch):
            raise ValueError(f"scores: images holds none: its shape is {array.shape}")
        modes = [(module, module.training) for _, module in self.named_modules()]
        self.eval()
        try:
            with no_grad():
                device = "cupy" if any(engine_of(p.data) == "cupy" for p in self.parameters()) else "numpy"
                parts = (batch[i : i + batch_size] for i in range(0, len(batch), batch_size))
                pieces = [self._scores(move(part, device)) for part in parts]
        finally:
            for module, mode in modes:
                module.training = mode
        result = np.concatenate(pieces)
        return result if array.ndim == 4 else result[0]

    def _scores(self, batch: Any) -> np.ndarray:
        return self(Tensor(batch)).numpy()

    def predict(self, images: Any) -> Any:
        """The most likely class: an int for one image, an int array (N,) for a batch.

        Parameters
        ----------
        images : array (H, W), (C, H, W) or (N, C, H, W)
        """
        scores = self.scores(images)
        return int(scores.argmax()) if scores.ndim == 1 else scores.argmax(axis=1)

    def summary(self, input_shape: Sequence[int], *, depth: int | None = None) -> Summary:
        """The layers that an input goes through: output shape, parameters, multiply-adds, receptive field.

        Shapes are followed through the model without its arithmetic; maps take no memory, whatever their size. Only
        losses and operations of your own, whose shapes the table can't foretell, are run, on zeros.

        Parameters
        ----------
        input_shape : tuple of int
            With the batch: (1, 3, 224, 224).
        depth : int, optional
            How far modules are opened: 1 shows the model's own parts as a row each. By default down to the layers.

        Returns
        -------
        Summary
            A table, in a terminal as in a notebook; its `rows` are the numbers.

        Raises
        ------
        ValueError
            If the model doesn't take such an input; the layer says why.

        Examples
        --------
        >>> from zerohero import nn
        >>> model = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2))
        >>> print(model.summary((1, 1, 28, 28)))
        Sequential
        ───────────────────────────────────────────────────────────────────────────────────────────────
        name  layer                         output shape     parameters  multiply-adds  receptive field
        ───────────────────────────────────────────────────────────────────────────────────────────────
        0     Conv2d 1 → 6, 5×5, padding=2  1 × 6 × 28 × 28         156        117,600              5×5
        1     ReLU                          1 × 6 × 28 × 28           -              -              5×5
        2     MaxPool2d 2                   1 × 6 × 14 × 14           -              -              6×6
        ───────────────────────────────────────────────────────────────────────────────────────────────
        156 parameters, 117,600 multiply-adds for an input of 1 × 1 × 28 × 28
        >>> model.summary((1, 1, 28, 28)).rows[2].receptive_field
        (6, 6)
        """
        from zerohero.nn.summary import summarize  # which is made of modules itself

        return summarize(self, input_shape, depth=depth)

    # ---- state ----------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Parameters and buffers by name: the arrays themselves, not copies."""
        return {name: parameter.data for name, parameter in self.named_parameters()} | dict(self.named_buffers())

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Copy values into parameters and buffers: all of them, or none if something doesn't fit.

        Parameters
        ----------
        state : mapping from name to array
            Such as `state_dict()` gives, or a PyTorch model's (CPU) state dict.
        strict : bool
            False lets names be missing or unexpected; shapes must fit all the same.

        Raises
        ------
        ValueError
            Lists the names that are missing, unexpected or misshapen (without `strict`: if it has none of the names);
            or names values that are no real numbers, or too large for the parameter's type.
        """
        if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
            raise TypeError(f"load_state_dict: state needs a mapping from names to arrays, but got {shown(state)}")
        own = self.state_dict()
        given = {
            name: value if engine_of(value) == "cupy" else np.asarray(value)
            for name, value in state.items()
            if not name.endswith("num_batches_tracked")
        }
        missing = [name for name in own if name not in given] if strict else []
        unexpected = [name for name in given if name not in own] if strict else []
        misshapen = [
            f"{name} {given[name].shape} instead of {own[name].shape}"
            for name in own
            if name in given and given[name].shape != own[name].shape
        ]
        notes = [
            f"{kind}: {listed(names)}"
            for kind, names in (("missing", missing), ("unexpected", unexpected), ("misshapen", misshapen))
            if names
        ]
        if given and not given.keys() & own.keys():
            notes = [f"missing: {listed(own)}", f"unexpected: {listed(given)}"]
        if notes:
            raise ValueError(f"load_state_dict: state does not fit {type(self).__name__}: {'; '.join(notes)}")
        fitting = {name: _fitting(name, given[name], a) for name, a in own.items() if name in given}
        for name, values in fitting.items():
            own[name][...] = values

    def __repr__(self) -> str:
        lines = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.children()]
        inside = "".join(f"\n  {line}" for line in lines) + ("\n" if lines else "")
        return f"{type(self).__name__}({self.describe()}{inside})"

    def describe(self) -> str:
        """The settings shown in `repr`."""
        return ""


def _fitting(name: str, value: Any, own: Any) -> Any:
    """`value` where `own` lies and in its type."""
    if value.dtype.kind not in "biuf":
        raise ValueError(f"load_state_dict: {name} needs real numbers, but holds {shown(value.dtype)}")
    try:
        with np.errstate(over="raise", invalid="raise"):
            return move(value, "cupy" if engine_of(own) == "cupy" else "numpy").astype(own.dtype, copy=False)
    except FloatingPointError:
        raise ValueError(f"load_state_dict: {name} holds numbers that {own.dtype} cannot hold") from None


def _found(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The modules and parameters in a value: itself, or what a list, tuple or dict holds, by dotted names."""
    if isinstance(value, (Module, Parameter)):
        yield name, value
    elif isinstance(value, (list, tuple, dict)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _found(f"{name}.{key}", item)


class Sequential(Module):
    """Modules one after the other, named "0", "1", … or by the keys of a dict.

    Examples
    --------
    >>> from zerohero import nn
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten())
    >>> model[1]
    ReLU()
    """

    def __init__(self, *layers: Module | Mapping[str, Module]):
        named = layers[0] if len(layers) == 1 and isinstance(layers[0], Mapping) else dict(enumerate(layers))
        for name, layer in named.items():
            if not isinstance(layer, Module):
                raise TypeError(f"Sequential: layer {name} needs to be a Module, but got {type(layer).__name__}")
            setattr(self, str(name), layer)

    def forward(self, x: Any) -> Any:
        for _, layer in self.children():
            x = layer(x)
        return x

    def __len__(self) -> int:
        return len(list(self.children()))

    def __iter__(self) -> Iterator[Module]:
        return (layer for _, layer in self.children())

    def __getitem__(self, position: int) -> Module:
        return list(self)[position]


def first_not_finite(model: Module, run: Callable[[], Any]) -> str | None:
    """The name of the first layer whose output holds NaN or infinity while `run()` uses the model, or None."""
    names = {id(module): name for name, module in model.named_modules()}
    found: list[str] = []

    def look(module: Module, inputs: tuple, output: Any) -> None:
        outputs = output if isinstance(output, tuple) else (output,)
        arrays = [o.data for o in outputs if isinstance(o, Tensor)]
        if not found and not all(math.isfinite(float(np.abs(a).max())) for a in arrays if a.size):
            found.append(names.get(id(module), "") or type(module).__name__)

    with no_grad(), observe(look), np.errstate(all="ignore"):
        run()
    return found[0] if found else None
