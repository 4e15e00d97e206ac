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
from zerohero.tensor import Parameter, Tensor, intercept, no_grad

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Window:
    """What one value of a map sees of the image: `size` rows and columns; neighbours see windows `step` apart.

    The value in the upper left corner of the map sees from row and column `start` on, less than 0 if it sees padding.
    """

    size: tuple[int, int] = (1, 1)
    step: tuple[int, int] = (1, 1)
    start: tuple[int, int] = (0, 0)

    def through(self, extent: Sequence[int], stride: Sequence[int], first: Sequence[int] = (0, 0)) -> Window:
        """The window after a kernel that spans `extent` values, moves by `stride` and begins at the value `first`."""
        size = [n + (e - 1) * s for n, e, s in zip(self.size, extent, self.step)]
        step = [s * t for s, t in zip(self.step, stride)]
        start = [n + f * s for n, f, s in zip(self.start, first, self.step)]
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
        Rows and columns of the input that one output value can depend on, along the longest path and as if the
        image had no end. None where values no longer have a place in the image.
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
        Parameters of parts that did not run, such as a decoder or auxiliary classifiers.
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
            parts = ", ".join(f"{name} ({count:,} parameters)" for name, count in self.unused.items())
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
            inside = any(name.startswith(f"{above}.") for above in found)
            if parameters and not inside and not any(id(p) in self.counted for p in parameters):
                found[name] = module.num_parameters()
        return found

    # ---- operations -----------------------------------------------------------------------------------

    def operation(self, operation: Operation, arguments: dict[str, Any]) -> Any:
        """Stand in for an operation: its shape, and a row with its cost."""
        plain = {name: _plain(value) for name, value in arguments.items()}
        prepared = plain | (operation.prepare(**plain) if operation.prepare is not None else {})
        shapes = _shapes(operation, plain, prepared)
        inputs = [each for name in operation.input_names for each in _listed(arguments[name])]
        window = self._window(operation, prepared, [each for each in inputs if id(each) in self.windows])
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

    def _window(self, operation: Operation, prepared: dict, inputs: list[Tensor]) -> Window | None:
        """The largest window of the inputs, after the operation; None if one of them has none."""
        windows = [self.window(each) for each in inputs]
        if not windows or any(window is None for window in windows):
            return None
        known = [window for window in windows if window is not None]
        sizes, starts = ([getattr(w, name) for w in known] for name in ("size", "start"))
        (rows, columns), (top, left) = map(max, zip(*sizes)), map(min, zip(*starts))
        longest = Window((rows, columns), known[0].step, (top, left))
        if operation.name in _SPANS:
            spans = _SPANS[operation.name](prepared)
            return None if spans is None else longest.through(*spans)
        if operation.name == "concat":
            return longest if prepared["axis"] == 1 else None
        keeps = operation.elementwise and operation.name != "matmul"
        return longest if keeps or operation.name in _KEEP_PLACES else None


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


def _shapes(operation: Operation, plain: dict, prepared: dict) -> list[Shape]:
    """The shapes that an operation gives: of what is costly by a small case of it, of the rest by running it."""
    if operation.name not in _SMALL_CASES:
        outputs, _ = operation.evaluate(plain)
        return [tuple(each.shape) for each in (outputs if isinstance(outputs, tuple) else (outputs,))]
    first = operation.input_names[0]
    added = prepared[first].ndim - plain[first].ndim if hasattr(prepared[first], "ndim") else 0
    return [_SMALL_CASES[operation.name](operation, prepared)[added:]]


def _one_channel(operation: Operation, p: dict) -> Shape:
    """A pooling of one channel of one image gives the rows and columns of all."""
    return (*p["x"].shape[:2], *operation.forward(**p | {"x": p["x"][:1, :1]}).shape[2:])


def _one_filter(operation: Operation, p: dict) -> Shape:
    """A convolution of one channel with one filter gives the rows and columns of all."""
    small = p | {"x": p["x"][:1, :1], "weight": p["weight"][:1, :1], "bias": None, "groups": 1}
    filters = p["weight"].shape[0] if operation.name == "conv2d" else p["weight"].shape[1] * p["groups"]
    return (p["x"].shape[0], filters, *operation.forward(**small).shape[2:])


def _joined(operation: Operation, p: dict) -> Shape:
    first, axis = p["arrays"][0].shape, p["axis"]
    return (*first[:axis], sum(each.shape[axis] for each in p["arrays"]), *first[axis + 1 :])


_SMALL_CASES: dict[str, Callable[[Operation, dict], Shape]] = {
    "conv2d": _one_filter,
    "conv_transpose2d": _one_filter,
    "max_pool2d": _one_channel,
    "avg_pool2d": _one_channel,
    "adaptive_avg_pool2d": _one_channel,
    "linear": lambda operation, p: (*p["x"].shape[:-1], p["weight"].shape[0]),
    "concat": _joined,
    **dict.fromkeys(("batch_norm", "local_response_norm", "relu", "dropout"), lambda operation, p: p["x"].shape),
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
    """Leaving out rows and columns, as x[:, :, ::2, ::2] does, keeps the windows and moves them apart."""
    key = p["key"] if isinstance(p["key"], tuple) else (p["key"],)
    if p["x"].ndim != 4 or not all(isinstance(part, slice) for part in key):
        return None
    parts = [part.indices(side) for part, side in zip((*key, *[slice(None)] * (4 - len(key))), p["x"].shape)]
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

# besides elementwise operations: a value depends on one place of the map only
_KEEP_PLACES = {
    "batch_norm", "local_response_norm", "dropout", "relu", "leaky_relu", "sigmoid", "tanh", "exp", "log", "power",
    "absolute",
}  # fmt: skip
