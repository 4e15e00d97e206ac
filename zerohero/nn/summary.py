"""What a model is made of, layer by layer, as a table; shapes are followed through the model without its arithmetic."""

from __future__ import annotations

import html
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zerohero.arguments import integer, shown
from zerohero.nn.module import Module, observe
from zerohero.operation import Operation, engine_of, use_backend
from zerohero.ops.arithmetic import index
from zerohero.ops.convolution import _output_size, _transposed_size
from zerohero.ops.pooling import _reach
from zerohero.tensor import Parameter, Tensor, intercept, no_grad

Shape = tuple[int, ...]
Shapes = list[Sequence[int]]  # of all that an operation gives


@dataclass(frozen=True)
class Window:
    """What one value of a map sees of the image: `size` rows and columns; neighbours see windows `step` apart.

    The value in the upper left corner of the map sees from row and column `start` on, less than 0 if it sees padding.
    In a mirrored map `step` is less than 0: the window of the next value lies before.
    """

    size: tuple[int, int] = (1, 1)
    step: tuple[int, int] = (1, 1)
    start: tuple[int, int] = (0, 0)

    def through(self, extent: Sequence[int], stride: Sequence[int], first: Sequence[int] = (0, 0)) -> Window:
        """The window after a kernel that spans `extent` values, moves by `stride` and begins at the value `first`."""
        size = [n + (e - 1) * abs(s) for n, e, s in zip(self.size, extent, self.step)]
        step = [s * t for s, t in zip(self.step, stride)]
        foremost = [f if s > 0 else f + e - 1 for f, e, s in zip(first, extent, self.step)]  # of the values it spans
        start = [n + f * s for n, f, s in zip(self.start, foremost, self.step)]
        return Window((size[0], size[1]), (step[0], step[1]), (start[0], start[1]))

    def at(self, row: int, column: int) -> tuple[int, int, int, int]:
        """(top, left, height, width) of what the value in this row and column of the map sees."""
        top, left = (n + i * s for n, i, s in zip(self.start, (row, column), self.step))
        return top, left, *self.size


@dataclass(frozen=True)
class Row:
    """One layer of a summary: a module, or an operation that a model calls by itself.

    Attributes
    ----------
    name : str
        The module's dotted name; for an operation the module that calls it, and the operation.
    layer : str
        What it is.
    output_shape : tuple of int
    parameters : int
        Those used here for the first time: shared ones count once.
    multiply_adds : int
        Of convolutions, fully connected layers, matrix products, votes and routing. All else is small and counts 0.
    receptive_field : (int, int) or None
        Rows and columns of the input that one output value can depend on, along all paths together and as if the
        image had no end. None where values no longer have a place in the image, or paths meet that give them several.
    """

    name: str
    layer: str
    output_shape: Shape
    parameters: int
    multiply_adds: int
    receptive_field: tuple[int, int] | None


class Summary:
    """The table that `Module.summary` makes: text when printed, HTML in a notebook, rows as data.

    Attributes
    ----------
    model : str
    input_shape : tuple of int
    rows : list of Row
        In the order in which they ran.
    parameters : int
        Of the whole model.
    multiply_adds : int
        Of all rows.
    unused : dict of str to int
        Parameters of parts that did not run, such as a decoder or auxiliary classifiers; "" is all of the model.
    windows : dict of str to Window or None
        What one value of each module's or operation's output sees of the image, as if that had no end; by name, what
        runs more than once counted: "relu", "relu#2". None where values have no place in the image.
    """

    def __init__(
        self,
        model: str,
        input_shape: Shape,
        rows: list[Row],
        parameters: int,
        unused: dict[str, int],
        windows: dict[str, Window | None],
    ):
        self.model, self.input_shape, self.rows = model, input_shape, rows
        self.parameters, self.unused, self.windows = parameters, unused, windows
        self.multiply_adds = sum(row.multiply_adds for row in rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        table = [_HEADS, *self._cells()]
        widths = [max(len(line[i]) for line in table) for i in range(len(_HEADS))]
        lines = [
            "  ".join(cell.ljust(w) if i < 3 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths)))
            for line in table
        ]
        rule = "─" * max(map(len, lines))
        lines = [self.model, rule, lines[0], rule, *lines[1:], rule, *self._totals()]
        return "\n".join(line.rstrip() for line in lines)

    def _repr_html_(self) -> str:
        align = ["left"] * 3 + ["right"] * 3

        def line(tag: str, cells: Sequence[str]) -> str:
            styled = (f'<{tag} style="text-align: {a}">{html.escape(c)}</{tag}>' for a, c in zip(align, cells))
            return f"<tr>{''.join(styled)}</tr>"

        body = "".join(line("td", cells) for cells in self._cells())
        totals = "<br>".join(map(html.escape, self._totals()))
        return (
            f"<table><caption>{html.escape(self.model)}</caption><thead>{line('th', _HEADS)}</thead>"
            f"<tbody>{body}</tbody></table><p>{totals}</p>"
        )

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (
                row.name,
                row.layer,
                " × ".join(map(str, row.output_shape)),
                _count(row.parameters),
                _count(row.multiply_adds),
                _side(row.receptive_field),
            )
            for row in self.rows
        ]

    def _totals(self) -> list[str]:
        shape = " × ".join(map(str, self.input_shape))
        lines = [f"{self.parameters:,} parameters, {self.multiply_adds:,} multiply-adds for an input of {shape}"]
        if self.unused:
            parts = ", ".join(f"{name or self.model} ({count:,} parameters)" for name, count in self.unused.items())
            lines.append(f"not run: {parts}")
        return lines


_HEADS = ("name", "layer", "output shape", "parameters", "multiply-adds", "receptive field")


def _count(number: int) -> str:
    return f"{number:,}" if number else "-"


def _side(size: tuple[int, int] | None) -> str:
    return "-" if size is None else f"{size[0]}×{size[1]}"


def summarize(model: Module, input_shape: Sequence[int], *, depth: int | None = None) -> Summary:
    """Follow an input of a shape through a model; see `Module.summary`."""
    if not isinstance(input_shape, (tuple, list)) or not input_shape:
        raise ValueError(f"summary: input_shape needs sizes such as (1, 3, 224, 224), but got {shown(input_shape)}")
    shape = tuple(integer(size, "summary", "input_shape", least=1) for size in input_shape)
    trace = _Trace(model, None if depth is None else integer(depth, "summary", "depth", least=1))
    modes = [(module, module.training) for _, module in model.named_modules()]
    model.eval()
    try:
        with no_grad(), use_backend("numpy"), np.errstate(all="ignore"):
            with intercept(trace.operation), observe(trace.leave, before=trace.enter):
                model(trace.tensor(shape, Window()))
    finally:
        for module, mode in modes:
            module.training = mode
    return Summary(type(model).__name__, shape, trace.rows, model.num_parameters(), trace.unused(), trace.seen)


@dataclass
class _Frame:
    """A module that is running: what happened in it so far."""

    module: Module
    name: str
    rows: list[Row] = field(default_factory=list)


class _Trace:
    """Follows shapes, windows and parameters through a run of a model; values are zeros that take no memory."""

    def __init__(self, model: Module, depth: int | None):
        self.model, self.depth = model, depth
        self.names: dict[int, str] = {}
        for name, module in model.named_modules():
            self.names.setdefault(id(module), name)
        self.frames: list[_Frame] = []
        self.rows: list[Row] = []
        self.counted: set[int] = set()
        self.times: Counter[str] = Counter()
        self.seen: dict[str, Window | None] = {}  # by name, what runs more than once counted
        self.windows: dict[int, tuple[Tensor, Window | None]] = {}  # the tensor is kept so that its id stays its own

    def tensor(self, shape: Shape, window: Window | None) -> Tensor:
        result = Tensor(np.broadcast_to(np.float32(0), shape))
        self.windows[id(result)] = (result, window)
        return result

    def window(self, value: Any) -> Window | None:
        return self.windows[id(value)][1] if id(value) in self.windows else None

    # ---- modules --------------------------------------------------------------------------------------

    def enter(self, module: Module, inputs: tuple) -> None:
        self.frames.append(_Frame(module, self.names.get(id(module), type(module).__name__)))

    def leave(self, module: Module, inputs: tuple, output: Any) -> None:
        frame = self.frames.pop()
        first = output[0] if isinstance(output, tuple) else output
        self.keep(frame.name, first)
        leaf = next(module.children(), None) is None
        if leaf or len(self.frames) == self.depth:
            layer = f"{type(module).__name__} {module.describe() if leaf else ''}".strip()
            rows = [self._row(frame.name, layer, first, frame.rows)]
        else:
            rows = frame.rows
        (self.frames[-1].rows if self.frames else self.rows).extend(rows)

    def keep(self, name: str, output: Any) -> None:
        self.times[name] += 1
        self.seen[name if self.times[name] == 1 else f"{name}#{self.times[name]}"] = self.window(output)

    def _row(self, name: str, layer: str, output: Any, inside: list[Row]) -> Row:
        window = self.window(output)
        return Row(
            name,
            layer,
            tuple(output.shape),
            sum(row.parameters for row in inside),
            sum(row.multiply_adds for row in inside),
            None if window is None else window.size,
        )

    def unused(self) -> dict[str, int]:
        """The largest parts of the model of which no parameter was used, and their parameters."""
        found: dict[str, int] = {}
        for name, module in self.model.named_modules():
            parameters = module.parameters()
            inside = any(not above or name.startswith(f"{above}.") for above in found)  # "" is all of the model
            if parameters and not inside and not any(id(p) in self.counted for p in parameters):
                found[name] = module.num_parameters()
        return found

    # ---- operations -----------------------------------------------------------------------------------

    def operation(self, operation: Operation, arguments: dict[str, Any]) -> Any:
        """Stand in for an operation: its shape, and a row with its cost."""
        plain = operation._convert({name: _plain(value) for name, value in arguments.items()})
        prepared = plain | (operation.prepare(**plain) if operation.prepare is not None else {})
        shapes = _shapes(operation, plain, prepared)
        inputs = [each for name in operation.input_names for each in _listed(arguments[name])]
        followed = [each for each in inputs if id(each) in self.windows]
        window = self._window(operation, prepared, followed, shapes[0])
        outputs = tuple(self.tensor(shape, window) for shape in shapes)
        new = {id(p): p.size for p in inputs if isinstance(p, Parameter) and id(p) not in self.counted}
        self.counted |= new.keys()
        cost = _COSTS[operation.name](prepared, shapes[0]) if operation.name in _COSTS else 0
        size = None if window is None else window.size
        where = self.frames[-1].name if self.frames else ""
        name = f"{where}.{operation.name}" if where else operation.name
        self.keep(name, outputs[0])
        row = Row(name, operation.name, shapes[0], sum(new.values()), cost, size)
        (self.frames[-1].rows if self.frames else self.rows).append(row)
        return outputs if len(outputs) > 1 else outputs[0]

    def _window(self, operation: Operation, prepared: dict, inputs: list[Tensor], output: Shape) -> Window | None:
        """The windows of the inputs, put together, after the operation; None if a value's place can't be told."""
        together = _together([self.window(each) for each in inputs])
        if together is None:
            return None
        if operation.name in _SPANS:
            spans = _SPANS[operation.name](prepared)
            return None if spans is None else together.through(*spans)
        keeps = operation.name in _KEEP_PLACES or (operation.elementwise and operation.name != "matmul")
        if operation.name == "concat":
            keeps = prepared["axis"] == 1
        aligned = all(each.shape[-2:] == output[-2:] for each in inputs)  # nothing is broadcast along rows or columns
        return together if keeps and aligned else None


def _together(windows: Sequence[Window | None]) -> Window | None:
    """The window that spans all of these; None if one is unknown, or if they move by different steps."""
    known = [window for window in windows if window is not None]
    if len(known) < len(windows) or len({window.step for window in known}) != 1:
        return None
    top, left = map(min, zip(*(window.start for window in known)))
    bottom, right = map(max, zip(*([n + m for n, m in zip(window.start, window.size)] for window in known)))
    return Window((bottom - top, right - left), known[0].step, (top, left))


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else (value,)


def _plain(value: Any) -> Any:
    """Zeros in the shape of a tensor or of an array on a GPU; anything else as it is."""
    if isinstance(value, (list, tuple)) and any(isinstance(each, Tensor) for each in value):
        return [_plain(each) for each in value]
    if isinstance(value, Tensor) or engine_of(value) == "cupy":
        return np.broadcast_to(value.dtype.type(0), value.shape)
    return value


# ---- shapes ---------------------------------------------------------------------------------------------

# besides elementwise operations: a value depends on one place of the map only
_KEEP_PLACES = {
    "batch_norm", "local_response_norm", "dropout", "relu", "leaky_relu", "sigmoid", "tanh", "exp", "log", "power",
    "absolute",
}  # fmt: skip


def _shapes(operation: Operation, plain: dict, prepared: dict) -> list[Shape]:
    """The shapes that an operation gives: by its rule, or by running it if there is none here."""
    if operation.name not in _SHAPES:
        outputs, _ = operation.evaluate(plain)
        return [tuple(each.shape) for each in (outputs if isinstance(outputs, tuple) else (outputs,))]
    first = operation.input_names[0]
    added = prepared[first].ndim - plain[first].ndim if hasattr(prepared[first], "ndim") else 0
    return [tuple(shape)[added:] for shape in _SHAPES[operation.name](prepared)]


def _of_x(p: dict) -> Shapes:
    return [p["x"].shape]


def _broadcast(p: dict) -> Shapes:
    return [np.broadcast_shapes(p["a"].shape, p["b"].shape)]


def _product(p: dict) -> Shapes:
    a, b = p["a"].shape, p["b"].shape
    return [(*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])]


def _convolved(p: dict) -> Shapes:
    x, weight, settings = p["x"].shape, p["weight"].shape, (p[n] for n in ("stride", "padding", "dilation"))
    return [(x[0], weight[0], *_output_size(x[2:], weight[2:], *settings))]


def _grown(p: dict) -> Shapes:
    x, weight = p["x"].shape, p["weight"].shape
    settings = (p[n] for n in ("stride", "padding", "output_padding", "dilation"))
    return [(x[0], weight[1] * p["groups"], *_transposed_size(x[2:], weight[2:], *settings))]


def _pooled(p: dict) -> Shapes:
    size, kernel, stride, dilation = p["x"].shape[2:], p["kernel_size"], p["stride"], p.get("dilation", (1, 1))
    reach = _reach(size, kernel, stride, p["padding"], dilation, p["ceil_mode"])
    return [(*p["x"].shape[:2], *_output_size(size, kernel, stride, reach, dilation))]


def _joined(p: dict) -> Shapes:
    first, axis = p["arrays"][0].shape, p["axis"]
    return [(*first[:axis], sum(each.shape[axis] for each in p["arrays"]), *first[axis + 1 :])]


def _reduced(p: dict) -> Shapes:
    sides = enumerate(p["x"].shape)
    return [[1 if i in p["axis"] else n for i, n in sides if p["keepdims"] or i not in p["axis"]]]


def _taken(p: dict) -> Shapes:
    """NumPy's rules for a key, tried on values of no bytes, which take no memory even where they are copied."""
    return [index.forward(np.broadcast_to(np.empty((), "V0"), p["x"].shape), p["key"]).shape]


def _routed(p: dict) -> Shapes:
    """Poses and activations of parents: of votes (N, children, J, H), or (N, places, children, J, H)."""
    poses = (*p["votes"].shape[:-3], *p["votes"].shape[-2:])
    return [poses, poses[:-1]]


# by operation: the shapes of what it gives, from its prepared arguments
_SHAPES: dict[str, Callable[[dict], Shapes]] = {
    **dict.fromkeys((*_KEEP_PLACES, "softmax", "log_softmax"), _of_x),
    **dict.fromkeys(("add", "subtract", "multiply", "divide"), _broadcast),
    **dict.fromkeys(("max_pool2d", "avg_pool2d"), _pooled),
    **dict.fromkeys(("sum", "mean", "max"), _reduced),
    **dict.fromkeys(("em_routing", "em_routing_windows"), _routed),
    "conv2d": _convolved,
    "conv_transpose2d": _grown,
    "adaptive_avg_pool2d": lambda p: [(*p["x"].shape[:2], *p["output_size"])],
    "linear": lambda p: [(*p["x"].shape[:-1], p["weight"].shape[0])],
    "matmul": _product,
    "index": _taken,
    "concat": _joined,
    "pad": lambda p: [[n + before + after for n, (before, after) in zip(p["x"].shape, p["width"])]],
    "squash": lambda p: [p["s"].shape],
    "capsule_votes": lambda p: [(*p["u"].shape[:2], *p["weight"].shape[2:])],
    "dynamic_routing": lambda p: [(len(p["votes"]), *p["votes"].shape[2:])],
    "capsule_layer": lambda p: [(len(p["u"]), *p["weight"].shape[2:])],
}


# ---- multiply-adds and windows --------------------------------------------------------------------------


def _votes(p: dict) -> int:
    return p["u"].shape[0] * math.prod(p["weight"].shape)  # (N, I, P) with (I, P, J, Q)


def _routing(votes: Shape, iterations: int) -> int:
    """A weighted sum of the votes in every iteration, and their agreement with the result in all but the last."""
    return math.prod(votes) * (2 * iterations - 1)


def _capsule_layer(p: dict, shape: Shape) -> int:
    votes = (*p["u"].shape[:2], *p["weight"].shape[2:])
    return _votes(p) + _routing(votes, p["iterations"])


_COSTS: dict[str, Callable[[dict, Shape], int]] = {
    "conv2d": lambda p, shape: math.prod(shape) * math.prod(p["weight"].shape[1:]),
    "conv_transpose2d": lambda p, shape: math.prod(p["x"].shape) * math.prod(p["weight"].shape[1:]),
    "linear": lambda p, shape: math.prod(shape) * p["weight"].shape[1],
    "matmul": lambda p, shape: math.prod(shape) * p["a"].shape[-1],
    "capsule_votes": lambda p, shape: _votes(p),
    "dynamic_routing": lambda p, shape: _routing(p["votes"].shape, p["iterations"]),
    "capsule_layer": _capsule_layer,
}

# (extent, stride, first value) of a kernel along (rows, columns)
Spans = tuple[Sequence[int], Sequence[int], Sequence[int]] | None


def _kernel(size: Sequence[int], p: dict) -> Spans:
    dilation = p.get("dilation", (1, 1))
    return [d * (k - 1) + 1 for d, k in zip(dilation, size)], p["stride"], [-before for before, _ in p["padding"]]


def _grid(p: dict) -> Spans:
    """Means over a grid are windows of one size only if the grid divides the map."""
    sides, grid = p["x"].shape[2:], p["output_size"]
    if any(side % cells for side, cells in zip(sides, grid)):
        return None
    window = [side // cells for side, cells in zip(sides, grid)]
    return window, window, (0, 0)


def _slices(p: dict) -> Spans:
    """Leaving out rows and columns, as x[..., ::2, ::2] does, keeps the windows and moves them apart."""
    key = p["key"] if isinstance(p["key"], tuple) else (p["key"],)
    if p["x"].ndim != 4 or not all(part is Ellipsis or isinstance(part, slice) for part in key):
        return None
    key = key if Ellipsis in key else (*key, Ellipsis)
    at = key.index(Ellipsis)
    full = (*key[:at], *[slice(None)] * (5 - len(key)), *key[at + 1 :])
    parts = [part.indices(side) for part, side in zip(full, p["x"].shape)]
    return (1, 1), [step for _, _, step in parts[2:]], [start for start, _, _ in parts[2:]]


def _around(p: dict) -> Spans:
    """Values put around a map move its first one."""
    width = [(0, 0), (0, 0), *p["width"]][-2:]
    return (1, 1), (1, 1), [-before for before, _ in width]


_SPANS: dict[str, Callable[[dict], Spans]] = {
    "conv2d": lambda p: _kernel(p["weight"].shape[2:], p),
    "max_pool2d": lambda p: _kernel(p["kernel_size"], p),
    "avg_pool2d": lambda p: _kernel(p["kernel_size"], p),
    "adaptive_avg_pool2d": _grid,
    "index": _slices,
    "pad": _around,
}
