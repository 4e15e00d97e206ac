"""Reverse-mode automatic differentiation: a `Tensor` is an array that remembers which operation made it.

The arithmetic is in `ops/`; here is only the tape: recording calls, and walking them backwards.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from zerohero.arguments import shown
from zerohero.operation import Call, Operation, array_module, engine_of, float_array, gpu_kernels
from zerohero.ops import arithmetic

_recording: contextvars.ContextVar[bool] = contextvars.ContextVar("zerohero_recording", default=True)
_handler: contextvars.ContextVar[Callable | None] = contextvars.ContextVar("zerohero_handler", default=None)


@contextlib.contextmanager
def no_grad() -> Iterator[None]:
    """Compute without recording: inside the `with` block no result requires a gradient.

    Examples
    --------
    >>> w = Tensor([1.0], requires_grad=True)
    >>> with no_grad():
    ...     (2 * w).requires_grad
    False
    """
    token = _recording.set(False)
    try:
        yield
    finally:
        _recording.reset(token)


@contextlib.contextmanager
def intercept(handler: Callable[[Operation, dict[str, Any]], Any]) -> Iterator[None]:
    """Inside the `with` block, `handler(operation, arguments)` stands in for every operation on tensors.

    It returns what the operation would: a Tensor, or a tuple of them. `nn.summary` follows shapes in this way.

    Examples
    --------
    >>> with intercept(lambda operation, arguments: operation.name):
    ...     Tensor([1.0]) * 2
    'multiply'
    """
    token = _handler.set(handler)
    try:
        yield
    finally:
        _handler.reset(token)


class Node:
    """One step of the tape: the call that made a tensor, and the tensors that went into it.

    Examples
    --------
    >>> y = 2 * Tensor([1.0, 2.0], requires_grad=True)
    >>> type(y.node).__name__
    'Node'
    """

    def __init__(self, call: Call, inputs: dict[str, Any], outputs: int):
        self.call: Call | None = call
        self.operation = call.operation
        self.inputs = inputs  # by name; a list of tensors for operations on lists
        self.outputs = outputs

    @property
    def parents(self) -> list[Tensor]:
        """The tensors that went in, in order (arrays and numbers left out)."""
        return [t for value in self.inputs.values() for t in _listed(value) if isinstance(t, Tensor)]

    def backward(self, grads: list[Any]) -> list[tuple[Tensor, Any, bool]]:
        """From the gradients of the outputs to (input, gradient, whether nobody else holds it)."""
        if self.call is None:
            raise RuntimeError(
                f"backward: the tape through {self.operation.name} was used already and let go; compute the loss "
                "again, or add the losses and call backward once"
            )
        call = self.call
        shapes = call.output_shapes if self.outputs > 1 else [call.output_shapes]
        pairs = zip(grads, shapes, call.output_dtypes, strict=True)
        zeros = array_module(next(grad for grad in grads if grad is not None)).zeros
        filled = [zeros(shape, dtype) if grad is None else grad for grad, shape, dtype in pairs]
        result = call.gradients(tuple(filled) if self.outputs > 1 else filled[0])
        self.call = None  # what was kept for the gradient is free again
        return [
            (tensor, gradient, call.made(gradient))
            for name, value in result.items()
            for tensor, gradient in zip(_listed(self.inputs[name]), _listed(value), strict=True)
            if isinstance(tensor, Tensor) and tensor.requires_grad
        ]


class Tensor:
    """An array with a memory: operations on it are recorded, and `backward` walks them back to gradients.

    Parameters
    ----------
    data : array-like
        float32 and float64 stay; lists and integers become float32. Arrays are not copied.
    requires_grad : bool
        Whether gradients with respect to this tensor are wanted.
    name : str, optional
        Shown in pictures of the graph and in error messages.

    Attributes
    ----------
    data : array
        Assigning another array (`t.data = ...`) is safe at any time. Changing its values in place between a
        computation and its `backward` changes what the gradient rules see, and so the gradients.
    grad : array or None
        Filled by `backward` for leaves (tensors that no operation made), added to what is there.

    Examples
    --------
    >>> w = Tensor([1.0, 2.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> w.grad
    array([2., 4.], dtype=float32)
    """

    __array_ufunc__ = None  # array + tensor comes to us
    __array_priority__ = 1000

    def __init__(self, data: Any, requires_grad: bool = False, *, name: str | None = None):
        if isinstance(data, Tensor):
            raise TypeError("Tensor: data is a Tensor already; use it as it is, or .detach() for one without history")
        self.data = float_array(data, "Tensor", "data")
        self.requires_grad = bool(requires_grad)
        self.grad: Any = None
        self.name = name
        self.node: Node | None = None
        self.position = 0  # which output of its node
        self.hooks: dict[object, Callable] = {}

    # ---- recording ------------------------------------------------------------------------------------

    @staticmethod
    def __operation__(operation: Operation, arguments: dict[str, Any]) -> Any:
        """Run `operation` on the arrays inside, and remember the call if a gradient may be asked for."""
        handler = _handler.get()
        if handler is not None:
            return handler(operation, arguments)
        plain = {name: _unwrap(value) for name, value in arguments.items()}
        needs = frozenset(name for name, value in arguments.items() if _recording.get() and _wants_gradient(value))
        outputs, call = operation.evaluate(plain, needs)
        several = isinstance(outputs, tuple)
        tensors = [Tensor(output) for output in (outputs if several else (outputs,))]
        if call is not None:
            node = Node(call, {name: arguments[name] for name in operation.input_names}, len(tensors))
            for position, tensor in enumerate(tensors):
                tensor.requires_grad, tensor.node, tensor.position = True, node, position
        return tuple(tensors) if several else tensors[0]

    # ---- gradients ------------------------------------------------------------------------------------

    def backward(self, grad: Any = None) -> None:
        """Fill `.grad` of every leaf that this tensor was computed from.

        Parameters
        ----------
        grad : array of this tensor's shape, optional
            Gradient of the final result with respect to this tensor; 1 if this tensor is one number.

        Raises
        ------
        RuntimeError
            If nothing here requires a gradient, `grad` is missing, or the tape was used already.
        """
        for tensor, gradient, own in _walk(self, grad):
            if tensor.node is None:
                own = own or tensor.grad is not None
                total = gradient if tensor.grad is None else tensor.grad + gradient
                xp = array_module(total)
                tensor.grad = xp.asarray(total) if own else xp.array(total)  # its own, an array even without axes

    def register_hook(self, hook: Callable[[Any], Any]) -> Callable[[], None]:
        """Call `hook(gradient)` when this tensor's gradient is complete; what it returns, if anything, replaces it.

        The hook must not change the gradient in place: other tensors may share it.

        Returns
        -------
        callable
            Takes the hook off again.
        """
        if not callable(hook):
            raise TypeError(f"register_hook: hook needs to be a function of the gradient, but got {shown(hook)}")
        key = object()  # the same hook may be there twice
        self.hooks[key] = hook

        def take_off() -> None:
            self.hooks.pop(key, None)

        return take_off

    # ---- looking at it --------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def size(self) -> int:
        return self.data.size

    @property
    def dtype(self) -> Any:
        return self.data.dtype

    @property
    def T(self) -> Tensor:
        return self.transpose()

    def numpy(self) -> np.ndarray:
        """The values as a NumPy array (not a copy if they are on the CPU), without history."""
        return self.data.get() if engine_of(self.data) == "cupy" else self.data

    def item(self) -> float:
        """The one number in here."""
        if self.size != 1:
            raise ValueError(f"item: needs a tensor with one value, but this one has shape {self.shape}")
        return float(self.data.reshape(()))

    def detach(self) -> Tensor:
        """The same values without history: gradients stop here."""
        return Tensor(self.data)

    def to(self, device: str) -> Tensor:
        """A leaf with the same values on "numpy" (CPU) or "cupy" (GPU)."""
        return Tensor(move(self.data, device), self.requires_grad, name=self.name)

    def __float__(self) -> float:
        return self.item()

    def __bool__(self) -> bool:
        return bool(self.item())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self.requires_grad:
            raise TypeError("a Tensor that requires a gradient does not turn into an array by itself: call .numpy()")
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("a Tensor without axes has no length")
        return len(self.data)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        values = np.array2string(self.numpy(), separator=", ", prefix="Tensor(")
        made_by = f", made by {self.node.operation.name}" if self.node else ""
        return f"Tensor({values}{', requires_grad=True' if self.requires_grad and not self.node else ''}{made_by})"

    # ---- arithmetic -----------------------------------------------------------------------------------

    def __add__(self, other):
        return arithmetic.add(self, other)

    def __radd__(self, other):
        return arithmetic.add(other, self)

    def __sub__(self, other):
        return arithmetic.subtract(self, other)

    def __rsub__(self, other):
        return arithmetic.subtract(other, self)

    def __mul__(self, other):
        return arithmetic.multiply(self, other)

    def __rmul__(self, other):
        return arithmetic.multiply(other, self)

    def __truediv__(self, other):
        return arithmetic.divide(self, other)

    def __rtruediv__(self, other):
        return arithmetic.divide(other, self)

    def __matmul__(self, other):
        return arithmetic.matmul(self, other)

    def __rmatmul__(self, other):
        return arithmetic.matmul(other, self)

    def __pow__(self, exponent):
        return arithmetic.power(self, exponent)

    def __neg__(self):
        return arithmetic.multiply(self, -1)

    def __abs__(self):
        return arithmetic.absolute(self)

    def __getitem__(self, key):
        return arithmetic.index(self, key)

    def __eq__(self, other):
        return self.data == _unwrap(other)

    def __ne__(self, other):
        return self.data != _unwrap(other)

    __hash__ = object.__hash__  # == compares values; as a key, a tensor is itself

    def __lt__(self, other):
        return self.data < _unwrap(other)

    def __le__(self, other):
        return self.data <= _unwrap(other)

    def __gt__(self, other):
        return self.data > _unwrap(other)

    def __ge__(self, other):
        return self.data >= _unwrap(other)

    def exp(self) -> Tensor:
        return arithmetic.exp(self)

    def log(self) -> Tensor:
        return arithmetic.log(self)

    def sum(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
        return arithmetic.sum(self, axis, keepdims)

    def mean(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
        return arithmetic.mean(self, axis, keepdims)

    def max(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
        return arithmetic.max(self, axis, keepdims)

    def reshape(self, *shape: Any) -> Tensor:
        return arithmetic.reshape(self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Tensor:
        if not axes:
            return arithmetic.transpose(self)
        return arithmetic.transpose(self, axes[0] if len(axes) == 1 else axes)


class Parameter(Tensor):
    """A tensor that a layer learns; `requires_grad=False` freezes it and it stays a parameter.

    Examples
    --------
    >>> Parameter([1.0, 2.0]).requires_grad
    True
    """

    def __init__(self, data: Any, requires_grad: bool = True, *, name: str | None = None):
        super().__init__(data, requires_grad, name=name)


def grad(output: Tensor, inputs: Tensor | Sequence[Tensor]) -> Any:
    """Gradients of `output`, one number, with respect to `inputs`, without touching anybody's `.grad`.

    Parameters
    ----------
    output : Tensor with one value
    inputs : Tensor or list of Tensors
        Each must require a gradient; it may lie anywhere on the way to `output`.

    Returns
    -------
    array, or list of arrays for a list
        Zeros where `output` doesn't depend on an input.

    Examples
    --------
    >>> x = Tensor([3.0], requires_grad=True)
    >>> grad((x * x).sum(), x)
    array([6.], dtype=float32)
    """
    wanted = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    for position, tensor in enumerate(wanted):
        if not isinstance(tensor, Tensor) or not tensor.requires_grad:
            raise ValueError(f"grad: inputs[{position}] needs to be a Tensor that requires a gradient")
    asked = {id(tensor) for tensor in wanted}
    found = {id(tensor): gradient.copy() for tensor, gradient, _ in _walk(output, None) if id(tensor) in asked}
    result = [found.get(id(tensor), array_module(tensor.data).zeros_like(tensor.data)) for tensor in wanted]
    return result[0] if isinstance(inputs, Tensor) else result


def grad_check(fn: Callable[..., Any], *arrays: Any, eps: float = 1e-6, seed: int = 0) -> float:
    """Compare the gradients of `fn` with central differences, entry by entry, in float64.

    Parameters
    ----------
    fn : callable
        Takes as many Tensors as there are `arrays`; returns a Tensor or a tuple of them. It must give the same
        answer each time it is called.
    *arrays : array
        The point at which to compare. Keep them small: each entry costs two calls.
    eps : float
        Half the step of the difference.
    seed : int
        For the random weights that turn an output of any shape into one number.

    Returns
    -------
    float
        The largest over the inputs of ‖ours - differences‖ / max(‖ours‖, ‖differences‖, 1e-8); below 1e-6 is right.

    Examples
    --------
    >>> grad_check(lambda x: x * x, [1.0, -2.0, 3.0]) < 1e-6
    True
    """
    points = [np.array(array, dtype=np.float64) for array in arrays]
    rng = np.random.default_rng([seed, 1])  # not the stream of default_rng(seed): arrays often come from there
    weights: list[np.ndarray] = []

    def one_number(tensors: list[Tensor]) -> Tensor:
        outputs = fn(*tensors)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        while len(weights) < len(outputs):
            weights.append(rng.standard_normal(outputs[len(weights)].shape))
        terms = [(output * weight).sum() for output, weight in zip(outputs, weights, strict=True)]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total

    tensors = [Tensor(point, requires_grad=True) for point in points]
    ours = grad(one_number(tensors), tensors)
    worst = np.float64(0)
    for point, gradient in zip(points, ours, strict=True):
        differences = np.empty_like(point)
        for place in np.ndindex(point.shape):
            value = point[place]
            ends = []
            for step in (eps, -eps):
                point[place] = value + step
                with no_grad():
                    ends.append(one_number([Tensor(p) for p in points]).item())
            point[place] = value
            differences[place] = (ends[0] - ends[1]) / (2 * eps)
        scale = np.maximum(np.maximum(np.linalg.norm(gradient), np.linalg.norm(differences)), 1e-8)
        worst = np.maximum(worst, np.linalg.norm(gradient - differences) / scale)  # NaN stays, unlike with max()
    return float(worst)


def move(array: Any, device: str) -> Any:
    """An array on "numpy" (CPU) or "cupy" (GPU).

    Examples
    --------
    >>> move(np.ones(2), "numpy")
    array([1., 1.])
    """
    if device == "numpy":
        return array.get() if engine_of(array) == "cupy" else array
    if device != "cupy":
        raise ValueError(f"to: device needs to be 'numpy' or 'cupy', but got {device!r}")
    return need_gpu().asarray(array)


def need_gpu() -> Any:
    """The module `cupy`, ready to compute.

    Raises
    ------
    RuntimeError
        If CuPy is not installed, or finds no GPU.
    """
    try:
        import cupy
    except ImportError:
        raise RuntimeError("to: 'cupy' needs the package cupy, which is not installed (see the README)") from None
    if not cupy.is_available():
        raise RuntimeError("to: 'cupy' needs an NVIDIA GPU, and none was found")
    gpu_kernels()
    return cupy


# ---- the tape -------------------------------------------------------------------------------------------


def _walk(output: Tensor, grad: Any) -> Iterator[tuple[Tensor, Any, bool]]:
    """Every tensor that `output` was computed from, with its complete gradient, latest first.

    The third value says whether nobody else holds the gradient's array: then it may be kept without a copy.
    """
    if not isinstance(output, Tensor) or not output.requires_grad:
        raise RuntimeError("backward: nothing here requires a gradient; make a Tensor with requires_grad=True first")
    if grad is None:
        if output.size != 1:
            raise RuntimeError(
                f"backward: grad is needed for a result of shape {output.shape}; or reduce it to one number"
            )
        grad = array_module(output.data).ones_like(output.data)
    grad = _gradient_given(grad, output, "backward", "grad")
    if grad.shape != output.shape:
        raise ValueError(f"backward: grad needs the result's shape {output.shape}, but has {grad.shape}")
    sums: dict[int, tuple[Any, bool]] = {id(output): (grad, False)}
    arrived: dict[int, dict[int, Any]] = {}  # complete gradients of a node's outputs, by position
    for item in _latest_first(output):
        if isinstance(item, Tensor):
            if id(item) not in sums:
                continue
            total, own = sums.pop(id(item))
            own = own and not item.hooks  # a hook may have kept what it saw
            for hook in list(item.hooks.values()):
                replaced = hook(total)
                if replaced is not None:
                    total = _gradient_given(replaced, item, "register_hook", "what the hook returns")
                if total.shape != item.shape:
                    raise ValueError(
                        f"register_hook: the hook needs to return the gradient's shape {item.shape}, "
                        f"but returned {total.shape}"
                    )
            yield item, total, own
            if item.node is not None:
                arrived.setdefault(id(item.node), {})[item.position] = total
        elif id(item) in arrived:
            found = arrived.pop(id(item))
            for tensor, gradient, own in item.backward([found.get(i) for i in range(item.outputs)]):
                gradient = gradient.astype(tensor.dtype, copy=False)
                if id(tensor) in sums:
                    gradient, own = sums[id(tensor)][0] + gradient, True
                sums[id(tensor)] = gradient, own


def _latest_first(output: Tensor) -> list[Tensor | Node]:
    """Tensors and nodes below `output` in an order in which each comes after everything computed from it."""
    order: list[Tensor | Node] = []
    seen: set[int] = set()
    stack: list[tuple[Tensor | Node, bool]] = [(output, False)]
    while stack:  # depth first without recursion, so that depth has no limit
        item, finished = stack.pop()
        if finished:
            order.append(item)
        elif id(item) not in seen:
            seen.add(id(item))
            stack.append((item, True))
            below = [item.node] if isinstance(item, Tensor) else [t for t in item.parents if t.requires_grad]
            stack.extend((each, False) for each in below if each is not None and id(each) not in seen)
    order.reverse()
    return order


def _gradient_given(gradient: Any, tensor: Tensor, where: str, name: str) -> Any:
    """What a caller or a hook gives as a gradient, as an array of the tensor's dtype."""
    return float_array(_unwrap(gradient), where, name, tensor.dtype).astype(tensor.dtype, copy=False)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _unwrap(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.data
    if isinstance(value, (list, tuple)) and any(isinstance(item, Tensor) for item in value):
        return [_unwrap(item) for item in value]
    return value


def _wants_gradient(value: Any) -> bool:
    return any(isinstance(item, Tensor) and item.requires_grad for item in _listed(value))
