"""What an operation is: a forward rule, a gradient rule, and any number of faster kernels.

This file holds the mechanism and nothing of the arithmetic. It lies below everything else: `ops/` writes
operations with it, `kernels/` adds faster forms to them, `tensor.py` records their calls on a tape.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

# CPU engines, and what they need; importing the last registers their kernels. NumPy has none: it is the definition.
ENGINES = {"numpy": ("numpy",), "numba": ("numba", "zerohero.kernels.numba_cpu")}
_backend: contextvars.ContextVar[str] = contextvars.ContextVar("zerohero_backend", default="numpy")


class Operation:
    """A function on arrays that knows its own gradient and its faster kernels.

    Called with arrays it returns arrays. Called with anything that has an `__operation__` method (a
    `Tensor`), it hands itself and the bound arguments to that method.

    Parameters
    ----------
    forward : callable
        The forward rule in plain NumPy. It may declare a keyword `save=None`, which is hidden from the
        public signature: while a gradient is wanted, `save(name=value, ...)` keeps values for it.
    inputs : int
        How many of the first parameters are arrays with a gradient.
    elementwise : bool
        True if the inputs broadcast; their gradients are then summed back to their own shapes.
    sequence : bool
        True if the first parameter is a list of arrays (as for `concat`).
    prepare : callable or None
        Takes the arguments by name, checks them once, and returns them in the one form that rules and
        kernels see (pairs instead of ints, 4-D arrays instead of 2-D). Leading axes of length 1 that it
        adds to the first input are taken off the outputs again.

    Examples
    --------
    >>> from zerohero import relu
    >>> from zerohero.ops.arithmetic import add
    >>> isinstance(relu, Operation), relu.elementwise, add.elementwise
    (True, False, True)
    """

    def __init__(
        self,
        forward: Callable,
        *,
        inputs: int = 1,
        elementwise: bool = False,
        sequence: bool = False,
        prepare=None,
    ):
        functools.update_wrapper(self, forward)
        self.name = forward.__name__
        self.forward, self.prepare = forward, prepare
        self.elementwise, self.sequence = elementwise, sequence
        self.rule: Callable | None = None
        self.kernels: dict[str, Callable] = {}
        self.rule_kernels: dict[str, Callable] = {}
        signature = inspect.signature(forward)
        self.saves = "save" in signature.parameters
        shown = [p for p in signature.parameters.values() if p.name != "save"]
        self.__signature__ = signature.replace(parameters=shown)
        self.positional = [p.name for p in shown if p.kind is not p.KEYWORD_ONLY]
        self.defaults = {p.name: p.default for p in shown if p.default is not p.empty}
        self.input_names = self.positional[:inputs]

    def __repr__(self) -> str:
        return f"<operation {self.name}{self.__signature__}>"

    # ---- writing an operation -------------------------------------------------------------------------

    def gradient(self, rule: Callable) -> Gradient:
        """Decorator: the gradient rule. It takes `grad`, then asks by name for what it needs."""
        self.rule = rule
        return Gradient(self, rule)

    def kernel(self, engine: str) -> Callable:
        """Decorator: a faster forward rule for one engine; it may return NotImplemented to decline."""
        return _register(self.kernels, engine)

    # ---- calling it -----------------------------------------------------------------------------------

    def __call__(self, *args, **kwargs):
        arguments = self.bind(args, kwargs)
        handed = None
        for name, value in arguments.items():
            for item in value if isinstance(value, (list, tuple)) else (value,):
                if hasattr(type(item), "__operation__"):
                    if item is not value and not (self.sequence and name == self.input_names[0]):
                        raise TypeError(
                            f"{self.name}: {name} is a {type(value).__name__} that holds a {type(item).__name__}; it "
                            "needs one array or Tensor, so join them with concat first"
                        )
                    handed = handed or type(item)
        return self.evaluate(arguments)[0] if handed is None else handed.__operation__(self, arguments)

    def bind(self, args: tuple, kwargs: dict) -> dict[str, Any]:
        """The arguments by name, defaults filled in."""
        try:
            bound = self.__signature__.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}: {error}; it takes {self.name}{self.__signature__}") from None
        return self.defaults | bound.arguments

    def evaluate(self, arguments: dict[str, Any], needs: frozenset[str] = frozenset()) -> tuple[Any, Call | None]:
        """Run forward on arrays. Returns the outputs, and the record of the call if anything `needs` a gradient."""
        self._check_needs(needs)
        arguments = self._convert(arguments)
        originals = {name: arguments[name] for name in self.input_names}
        first = self.input_names[0]
        if self.prepare is not None:
            arguments = arguments | self.prepare(**arguments)
        engine = self._engine(arguments)
        saved: dict[str, Any] = {}
        options = {"save": saved.update if needs else None} if self.saves else {}
        outputs = NotImplemented
        if engine in self.kernels:
            outputs = self.kernels[engine](**arguments, **options)
        if outputs is NotImplemented:
            saved.clear()
            outputs = self.forward(**arguments, **options)
        call = Call(self, engine, arguments, originals, outputs, saved, needs) if needs else None
        if self.prepare is not None and not self.sequence:
            outputs = _without_leading(outputs, arguments[first].ndim - originals[first].ndim)
        return outputs, call

    def _check_needs(self, needs: frozenset[str]) -> None:
        for name in sorted(needs):
            if self.rule is None or name not in self.input_names:
                raise TypeError(
                    f"{self.name}: {name} has no gradient here, but it was given as a Tensor that requires one; "
                    f"pass {name}.detach() or {name}.numpy()"
                )

    def _convert(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments with float arrays as inputs; what is no float array takes the dtype of those beside it."""
        self._check_inputs(arguments)
        inputs = {name: arguments[name] for name in self.input_names if arguments[name] is not None}
        given = [item for value in inputs.values() for item in (value if self.sequence else [value])]
        beside, on_gpu = float_dtype(given), any(engine_of(item) == "cupy" for item in given)
        for name, value in inputs.items():
            if self.sequence:
                inputs[name] = [float_array(item, self.name, f"{name}[{i}]", beside) for i, item in enumerate(value)]
            else:
                inputs[name] = float_array(value, self.name, name, beside)
                if on_gpu and isinstance(value, (int, float, np.generic)):
                    inputs[name] = inputs[name][()]  # a number goes along with the call; an array would be copied
        arrays = [a for value in inputs.values() for a in (value if self.sequence else [value])]
        if on_gpu and not all(engine_of(array) == "cupy" or isinstance(array, np.generic) for array in arrays):
            raise TypeError(
                f"{self.name}: its arrays lie on two devices; move all of them with .to('cupy') or .to('numpy')"
            )
        return arguments | inputs

    def _engine(self, arguments: dict[str, Any]) -> str:
        """What computes on these inputs: the GPU if one of them lies there, else the CPU backend in use."""
        values = (arguments[name] for name in self.input_names)
        arrays = [a for value in values for a in (value if self.sequence else [value])]
        if not any(engine_of(array) == "cupy" for array in arrays):
            return _backend.get()
        gpu_kernels()
        return "cupy"

    def _check_inputs(self, arguments: dict[str, Any]) -> None:
        for name in self.input_names:
            value = arguments[name]
            if value is None and not (name in self.defaults and self.defaults[name] is None):
                raise TypeError(f"{self.name}: {name} needs numbers, but got None")
            if self.sequence and not isinstance(value, (list, tuple)):
                raise TypeError(f"{self.name}: {name} needs a list of arrays, but got {type(value).__name__}")


class Gradient:
    """A gradient rule; `.kernel(engine)` adds a faster form of it.

    Examples
    --------
    >>> from zerohero import relu
    >>> from zerohero.ops.activation import relu_gradient
    >>> isinstance(relu_gradient, Gradient), relu_gradient.operation is relu
    (True, True)
    """

    def __init__(self, operation: Operation, rule: Callable):
        functools.update_wrapper(self, rule)
        self.operation, self.rule = operation, rule

    def __call__(self, *args, **kwargs):
        return self.rule(*args, **kwargs)

    def kernel(self, engine: str) -> Callable:
        return _register(self.operation.rule_kernels, engine)


class Call:
    """One call of an operation, with exactly what its gradient rule asks for."""

    def __init__(self, operation, engine, arguments, originals, outputs, saved, needs):
        self.operation, self.engine, self.needs = operation, engine, needs
        rules = [operation.rule] + ([operation.rule_kernels[engine]] if engine in operation.rule_kernels else [])
        wanted = {name for each in rules for name in _asks(each)}
        available = arguments | {"y": outputs, "needs": needs} | saved
        self.kept = {name: available[name] for name in wanted if name in available}
        missing = wanted - self.kept.keys()
        if missing:
            raise TypeError(f"{operation.name}: its gradient rule asks for {sorted(missing)}, which nothing provides")
        self.shapes = {name: _shape(originals[name]) for name in operation.input_names}
        self.output_shapes = _shape(outputs)
        self.output_dtypes = [o.dtype for o in (outputs if isinstance(outputs, tuple) else (outputs,))]

    def gradients(self, grad: Any) -> dict[str, Any]:
        """From the gradient of the output (a tuple of them for tuple outputs) to those of the inputs, by name."""
        if isinstance(grad, tuple):
            pairs = zip(grad, self.output_shapes, strict=True)
            grad = tuple(g.reshape(shape) for g, shape in pairs)
        else:
            grad = grad.reshape(self.output_shapes)
        result: Any = NotImplemented
        if self.engine in self.operation.rule_kernels:
            kernel = self.operation.rule_kernels[self.engine]
            result = kernel(grad, **{name: self.kept[name] for name in _asks(kernel)})
        if result is NotImplemented:
            rule = self.operation.rule
            result = rule(grad, **{name: self.kept[name] for name in _asks(rule)})
        if not isinstance(result, tuple):
            result = (result,)
        names = self.operation.input_names
        if len(result) != len(names):
            raise ValueError(
                f"{self.operation.name}: the gradient rule gave {len(result)} gradients for {len(names)} inputs "
                f"({', '.join(names)})"
            )
        named = dict(zip(names, result, strict=True))
        known = {id(owner(array)) for array in _arrays([grad, *self.kept.values()])}
        found = [id(owner(array)) for array in _arrays(result)]
        self.shared = known | {each for each in found if found.count(each) > 1}
        return {name: self._fit(named[name], name) for name in self.needs if named.get(name) is not None}

    def made(self, gradient: Any) -> bool:
        """Whether an array that `gradients` gave belongs to nobody else, so that its receiver may keep it uncopied."""
        base = owner(gradient)
        return base.size == gradient.size and id(base) not in self.shared

    def _fit(self, gradient: Any, name: str) -> Any:
        """The gradient in the shape of its input: un-broadcast, or with the added leading axes taken off."""
        shape, found = self.shapes[name], _shape(gradient)
        if self.operation.elementwise:
            gradient = unbroadcast(gradient, shape)
            found = gradient.shape
        if found == shape:
            return gradient
        if self.operation.sequence or len(found) <= len(shape) or found != (1,) * (len(found) - len(shape)) + shape:
            raise ValueError(
                f"{self.operation.name}: the gradient rule gave {name} a gradient of shape {found}, "
                f"but {name} has shape {shape}"
            )
        return gradient.reshape(shape)


def operation(forward: Callable | None = None, **options) -> Any:
    """Decorator: make a forward rule an `Operation`; see there for `inputs`, `elementwise` and `prepare`.

    Examples
    --------
    >>> @operation
    ... def double(x):
    ...     return 2 * x
    >>> @double.gradient
    ... def double_gradient(grad):
    ...     return 2 * grad
    >>> double([1, 2])
    array([2., 4.], dtype=float32)
    """
    if forward is None:
        return lambda rule: Operation(rule, **options)
    return Operation(forward, **options)


# ---- arrays and engines ---------------------------------------------------------------------------------


def float_dtype(values: Iterable[Any]) -> Any:
    """The dtype that the float arrays among `values` have together, or else the NumPy numbers; float32 if none.

    Examples
    --------
    >>> float_dtype([np.zeros(2), [1, 2]])
    dtype('float64')
    >>> float_dtype([[1, 2]])
    dtype('float32')
    """
    floats = [value for value in values if getattr(value, "dtype", None) in (np.float32, np.float64)]
    arrays = [value for value in floats if not isinstance(value, float)]  # np.float64 is a float: weak beside arrays
    return np.result_type(*(value.dtype for value in arrays or floats)) if floats else np.dtype(np.float32)


def float_array(value: Any, operation_name: str, name: str, beside: Any = None) -> Any:
    """`value` as a float array: float32 and float64 stay; numbers, lists and integers take the dtype `beside`.

    Examples
    --------
    >>> float_array([1, 2], "relu", "x")
    array([1., 2.], dtype=float32)
    """
    if engine_of(value) == "cupy":
        if value.dtype in (np.float32, np.float64):
            return value
        return value.astype(float_dtype([]) if beside is None else beside)
    array = plain_array(value, operation_name, name)
    beside = float_dtype([value]) if beside is None else beside
    if array.dtype in (np.float32, np.float64) and hasattr(value, "dtype") and not isinstance(value, float):
        return array
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"{operation_name}: {name} needs numbers, but got {type(value).__name__} with dtype {array.dtype}"
        )
    return array.astype(beside)


def plain_array(value: Any, operation_name: str, name: str) -> np.ndarray:
    """`value` as a NumPy array of whatever dtype.

    Examples
    --------
    >>> plain_array([1, 2], "relu", "x").dtype.kind
    'i'
    """
    try:
        return np.asarray(value)
    except ValueError:
        raise ValueError(f"{operation_name}: {name} needs rows of equal length, but the list given is ragged") from None


def unbroadcast(gradient: Any, shape: tuple[int, ...]) -> Any:
    """Sum a gradient over the axes along which an input of `shape` was broadcast.

    Examples
    --------
    >>> unbroadcast(np.ones((4, 3)), (1, 3))
    array([[4., 4., 4.]])
    """
    extra = gradient.ndim - len(shape)
    gradient = gradient.sum(axis=tuple(range(extra))) if extra > 0 else gradient
    stretched = tuple(i for i, (n, now) in enumerate(zip(shape, gradient.shape)) if n == 1 and now != 1)
    return gradient.sum(axis=stretched, keepdims=True) if stretched else gradient


def owner(array: Any) -> Any:
    """The array that holds the memory of `array`: itself, unless it is a view.

    Examples
    --------
    >>> array = np.zeros(9)
    >>> owner(array[2:5]) is array
    True
    """
    while isinstance(base := getattr(array, "base", None), type(array)):
        array = base
    return array


def _arrays(values: Iterable[Any]) -> Iterable[Any]:
    """The arrays among `values`, those in lists and tuples too."""
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _arrays(value)
        elif hasattr(value, "dtype"):
            yield value


def engine_of(value: Any) -> str:
    """The engine that computes on `value`: "cupy" for an array on the GPU, else the CPU backend in use.

    Examples
    --------
    >>> engine_of(np.zeros(2)) in available_backends()
    True
    """
    return "cupy" if type(value).__module__.partition(".")[0] == "cupy" else _backend.get()


def array_module(value: Any) -> Any:
    """The module with `value`'s functions: `cupy` for an array on the GPU, else `numpy`.

    Examples
    --------
    >>> array_module(np.zeros(2)).__name__
    'numpy'
    """
    return sys.modules["cupy"] if engine_of(value) == "cupy" else np


def sliding_windows(array: Any, size: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """A view of every window of `size` along `axes`, whose own axes come last. CuPy's own waits for the GPU.

    Examples
    --------
    >>> sliding_windows(np.arange(5), (3,), (0,))
    array([[0, 1, 2],
           [1, 2, 3],
           [2, 3, 4]])
    """
    if engine_of(array) != "cupy":
        return np.lib.stride_tricks.sliding_window_view(array, size, axes)
    shape = list(array.shape)
    for axis, length in zip(axes, size, strict=True):
        shape[axis] -= length - 1
    strides = (*array.strides, *(array.strides[axis] for axis in axes))
    return array_module(array).lib.stride_tricks.as_strided(array, (*shape, *size), strides)


@functools.cache
def gpu_kernels() -> None:
    """Register the kernels for arrays on the GPU: once, when the first of them is moved there or computed on."""
    importlib.import_module("zerohero.kernels.cuda")


def available_backends() -> tuple[str, ...]:
    """The names that `use_backend` takes on this machine.

    Examples
    --------
    >>> "numpy" in available_backends()
    True
    """
    return tuple(name for name, modules in ENGINES.items() if all(map(_importable, modules)))


class use_backend(contextlib.AbstractContextManager):
    """Choose the CPU kernels, from here on or for the length of a `with` block.

    Parameters
    ----------
    name : str
        One of `available_backends()`. Arrays on the GPU are not concerned: their type decides.

    Raises
    ------
    ValueError
        If there is no such backend, or it is not installed here.

    Examples
    --------
    >>> with use_backend("numpy"):
    ...     pass
    """

    def __init__(self, name: str):
        if not isinstance(name, str) or name not in available_backends():
            raise ValueError(f"use_backend: got {name!r}, but here only {', '.join(available_backends())} can be used")
        importlib.import_module(ENGINES[name][-1])
        self.name, self.before = name, _backend.get()
        _backend.set(name)

    def __enter__(self) -> use_backend:
        _backend.set(self.name)
        return self

    def __exit__(self, *exception) -> None:
        _backend.set(self.before)

    def __repr__(self) -> str:
        return f"use_backend({self.name!r})"


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _register(table: dict[str, Callable], engine: str) -> Callable:
    def decorator(kernel: Callable) -> Callable:
        table[engine] = kernel
        return kernel

    return decorator


@functools.cache
def _asks(rule: Callable) -> tuple[str, ...]:
    """The names a gradient rule asks for, after `grad`."""
    return tuple(inspect.signature(rule).parameters)[1:]


def _shape(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [item.shape for item in value]
    return None if value is None else value.shape


def _without_leading(outputs: Any, added: int) -> Any:
    if isinstance(outputs, tuple):
        return tuple(_without_leading(output, added) for output in outputs)
    return outputs.reshape(outputs.shape[added:]) if added else outputs
