"""Pictures of the tape: each tensor as a box with value and gradient, arrows from inputs to results."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path

from .arrays import _brief, as_array, number
from .style import COLORS, Picture, shade, styled

MOST_BOXES = 80
MOST_ACROSS = 7  # layers side by side; deeper graphs run downwards
SIGNS = {"add": "+", "subtract": "−", "multiply": "×", "divide": "÷", "matmul": "@", "power": "^"}
POINT = 1 / 72  # inches
LETTER = 0.085  # inches that a letter of 10.5 points takes
LINE = 0.2  # inches from line to line


@dataclass(eq=False)
class Box:
    """One tensor of the graph, or (without a tensor) a bend in an arrow that passes a layer."""

    tensor: Any = None
    layer: int = 0
    lines: list[str] = field(default_factory=list)
    parents: list[Box] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0
    x: float = 0.0  # centre, inches
    y: float = 0.0


def graph(
    tensor: Any,
    *,
    names: Mapping[Any, str] | None = None,
    values: bool = True,
    gradients: bool | Mapping[int, Any] | None = None,
    title: str | None = None,
    highlight: Any = None,
) -> Picture:
    """Draw how a tensor was computed: one box for each tensor, its operation, value and gradient, arrows between.

    Parameters
    ----------
    tensor : Tensor
        The result, for example a loss. The tape is only looked at: `backward` can still be called afterwards.
    names : mapping from Tensor to str, or from str to Tensor, optional
        Names for tensors that have none of their own; ``names=dict(x=x, w=w)`` is handy.
    values : bool
        Write the numbers of small tensors (up to four); of larger ones, or with False, the shape, and of their
        gradient the norm.
    gradients : bool or mapping from ``id(tensor)`` to array, optional
        True computes the gradient in every box without touching anybody's ``.grad``; False writes none. By default
        the ``.grad`` that is there: on leaves, after ``backward``.
    title : str, optional
    highlight : Tensor, optional
        Put a thick frame around its box.

    Returns
    -------
    Picture

    Raises
    ------
    TypeError
        If it is no tensor with a tape.
    ValueError
        If the graph has too many boxes to be read, or ``gradients=True`` and the tape was used already.

    Examples
    --------
    >>> import zerohero as zh
    >>> w = zh.Tensor(2.0, requires_grad=True, name="w")
    >>> loss = (w * 3 - 1) ** 2
    >>> graph(loss, gradients=True)
    Graph of 4 tensors. w = 2, gradient 30. w × 3 = 6, gradient 10. … − 1 = 5, gradient 10.
    result: … ^ 2 = 25, gradient 1.
    """
    found = tape_gradients(tensor) if gradients is True else gradients
    return draw_graph(tensor, names, values, found, title=title, highlight=highlight)


@styled
def draw_graph(
    tensor: Any,
    names: Mapping[Any, str] | None,
    values: bool,
    gradients: Mapping[int, Any] | bool | None,
    *,
    title: str | None = None,
    highlight: Any = None,
    unknown: Container[int] = (),
) -> Picture:
    """As `graph`; gradients of tensors whose ``id`` is in `unknown` are drawn as a question mark."""
    named = _names(names)
    boxes = _boxes(tensor)
    for box in boxes:
        box.lines = _lines(box.tensor, named, values, _gradient_of(box.tensor, gradients))
        box.width = max(0.75, LETTER * max(len(line) for line in box.lines) + 0.24)
        box.height = LINE * len(box.lines) + 0.16
        if id(box.tensor) in unknown:
            box.lines[-1] = "grad ?"
    layers = _layers(boxes)
    down = len(layers) > MOST_ACROSS
    key = _key(boxes, tensor)
    width, height = _place(layers, down, LETTER * len(key) * 0.95)
    fig = Picture(figsize=(width + 0.2, height + 0.55 + (0.35 if title else 0)), layout="none")
    ax = fig.add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set_axis_off()
    for box in boxes:
        _draw_box(ax, box, tensor, box.tensor is highlight)
    _draw_arrows(ax, boxes, layers, down)
    ax.text(width / 2, height + 0.18, key, ha="center", va="center", fontsize=10, color=COLORS["neutral"])
    if title:
        ax.text(width / 2, -0.2, title, ha="center", va="center", fontsize=13)
    ax.set(xlim=(-0.1, width + 0.1), ylim=(height + 0.4, -0.45 if title else -0.15))
    sentences = " ".join(_sentence(box, tensor) for box in boxes)
    fig.alt = f"{title or 'Graph'} of {len(boxes)} tensors. {sentences}"
    return fig


def tape_gradients(tensor: Any) -> dict[int, np.ndarray]:
    """The gradient of a one-number result for every tensor of its tape, by ``id``; the tape stays usable."""
    return {id(each): total(parts) for each, parts in backward_steps(tensor)}


def total(parts: Sequence[tuple[Any, np.ndarray]]) -> np.ndarray:
    """A tensor's gradient from its parts: they add up."""
    return np.sum([part for _, part in parts], axis=0)


def backward_steps(tensor: Any) -> list[tuple[Any, list[tuple[Any, np.ndarray]]]]:
    """Walk the tape of a one-number result backwards, without using it up and without touching any ``.grad``.

    Parameters
    ----------
    tensor : Tensor with one value

    Returns
    -------
    list of (tensor, parts)
        The result first, each tensor after everything computed from it. Its gradient is the sum of its parts, a
        pair (user, gradient) for each use of the tensor; the result's own part is (None, 1).

    Raises
    ------
    ValueError
        If the result is not one number, requires no gradient, or its tape was used already.
    """
    from zerohero.tensor import Node, _latest_first

    if np.size(tensor.data) != 1 or not tensor.requires_grad:
        raise ValueError(
            "graph: gradients need a result of one number that requires a gradient, but this one has shape "
            f"{np.shape(tensor.data)} and requires_grad={tensor.requires_grad}"
        )
    parts: dict[int, list[tuple[Any, np.ndarray]]] = {id(tensor): [(None, np.ones_like(as_array(tensor.data)))]}
    arrived: dict[int, dict[int, Any]] = {}  # the outputs of a node that a gradient has reached
    order = []
    for item in _latest_first(tensor):
        if not isinstance(item, Node):
            if id(item) in parts:
                order.append((item, parts[id(item)]))
                arrived.setdefault(id(item.node), {})[item.position] = item
        elif id(item) in arrived:
            outputs = arrived[id(item)]
            grads = [total(parts[id(outputs[i])]) if i in outputs else None for i in range(item.outputs)]
            for each, gradient in _through(item, grads):
                parts.setdefault(id(each), []).append((next(iter(outputs.values())), np.array(as_array(gradient))))
    return order


def _through(node: Any, grads: list[Any]) -> list[tuple[Any, Any]]:
    """(input, gradient) pairs of one step; the step keeps what it needs to do so again."""
    call = node.call
    if call is None:
        raise ValueError(
            "graph: gradients=True needs a tape that was not used yet, but backward was called on this one; draw "
            "before backward, or compute the result again"
        )
    try:
        return [(tensor, gradient) for tensor, gradient, _ in node.backward(grads)]
    finally:
        node.call = call


def tensors_of(tensor: Any) -> list[Any]:
    """Every tensor of a computation, each after all that it was computed from."""
    if not hasattr(tensor, "node") or not hasattr(tensor, "data"):
        raise TypeError(f"graph: tensor needs to be a Tensor, but got {type(tensor).__name__}")
    order: list[Any] = []
    seen: set[int] = set()
    stack: list[tuple[Any, bool]] = [(tensor, False)]
    while stack:
        item, finished = stack.pop()
        if finished:
            order.append(item)
        elif id(item) not in seen:
            seen.add(id(item))
            stack.append((item, True))
            parents = item.node.parents if item.node is not None else []
            stack.extend((parent, False) for parent in reversed(parents) if id(parent) not in seen)
    return order


def _boxes(tensor: Any) -> list[Box]:
    order = tensors_of(tensor)
    if len(order) > MOST_BOXES:
        raise ValueError(
            f"graph: the computation has {len(order)} tensors, and at most {MOST_BOXES} can be read; draw a smaller one"
        )
    boxes = {id(item): Box(item) for item in order}
    for item in order:
        parents = item.node.parents if item.node is not None else []
        unique = {id(parent): boxes[id(parent)] for parent in parents}
        boxes[id(item)].parents = list(unique.values())
    for item in reversed(order):  # as near to the result as its users allow
        box = boxes[id(item)]
        for parent in box.parents:
            parent.layer = max(parent.layer, box.layer + 1)
    return list(boxes.values())


# ---- words ------------------------------------------------------------------------------------------------


def _names(names: Mapping[Any, str] | None) -> dict[int, str]:
    named = {}
    for key, value in (names or {}).items():
        item, name = (value, key) if isinstance(key, str) else (key, value)
        named[id(item)] = str(name)
    return named


def _name(tensor: Any, named: Mapping[int, str]) -> str:
    return named.get(id(tensor)) or getattr(tensor, "name", None) or ""


def operation_words(tensor: Any, named: Mapping[int, str]) -> str:
    """What made a tensor: ``w × x`` for arithmetic, else the name of the operation."""
    node = tensor.node
    if node is None:
        return ""
    operands = getattr(node, "inputs", None)
    if node.operation.name not in SIGNS or not isinstance(operands, Mapping):
        return node.operation.name
    words = [_operand(operand, named) for operand in operands.values()]
    if node.operation.name == "power" and node.call is not None:  # its exponent is kept for the gradient
        words.append(number(float(node.call.kept["exponent"])))
    return f" {SIGNS[node.operation.name]} ".join(words) if len(words) == 2 else node.operation.name


def _operand(operand: Any, named: Mapping[int, str]) -> str:
    if hasattr(operand, "node"):
        name = _name(operand, named)
        return name if name and len(name) <= 8 else "…"
    return number(float(np.asarray(operand).reshape(()))) if np.size(operand) == 1 else "array"


def _numbers(values: Any, show: bool) -> str:
    array = as_array(values)
    if show and array.size == 1:
        return number(float(array.reshape(())))
    if show and array.size <= 4:
        rows = [f"({', '.join(number(value) for value in row)})" for row in np.atleast_2d(array).tolist()]
        return " ".join(rows) if array.ndim <= 2 else str(array.shape)
    return " × ".join(str(size) for size in array.shape) or "one number"


def _lines(tensor: Any, named: Mapping[int, str], values: bool, gradient: Any) -> list[str]:
    name, operation = _name(tensor, named), operation_words(tensor, named)
    lines = [line for line in (name, operation) if line] or ["array"]
    lines.append(("value " if values and np.size(tensor.data) <= 4 else "shape ") + _numbers(tensor.data, values))
    if gradient is not None:
        small = values and np.size(gradient) <= 4
        lines.append("grad " + (_numbers(gradient, values) if small else f"norm {_brief(_norm(gradient))}"))
    return lines


def _norm(gradient: Any) -> float:
    return float(np.linalg.norm(as_array(gradient).astype(float).ravel()))


def _gradient_of(tensor: Any, gradients: Mapping[int, Any] | bool | None) -> Any:
    if isinstance(gradients, Mapping):
        return gradients.get(id(tensor))
    return None if gradients is False else getattr(tensor, "grad", None)


def _key(boxes: Sequence[Box], result: Any) -> str:
    kinds = {_kind(box.tensor, result) for box in boxes}
    words = {
        "parameter": "blue, round: wants a gradient",
        "given": "grey, round: given",
        "result": "green: the result",
    }
    return "      ".join(text for kind, text in words.items() if kind in kinds)


def _sentence(box: Box, result: Any) -> str:
    *head, value = [line for line in box.lines if not line.startswith("grad ")]
    gradient = [line for line in box.lines if line.startswith("grad ")]
    words = f"{': '.join(head)} {'= ' + value[6:] if value.startswith('value ') else 'of ' + value}"
    words = f"result: {words}" if box.tensor is result else words
    return words + (f", gradient {gradient[0][5:]}." if gradient else ".")


# ---- places -----------------------------------------------------------------------------------------------


def _layers(boxes: Sequence[Box]) -> list[list[Box]]:
    """Boxes by layer, inputs first, with a bend wherever an arrow passes a layer; ordered so that few arrows cross."""
    depth = max(box.layer for box in boxes)
    layers: list[list[Box]] = [[] for _ in range(depth + 1)]
    for box in boxes:
        layers[depth - box.layer].append(box)
    for box in boxes:
        for index, parent in enumerate(box.parents):
            while parent.layer > box.layer + 1:
                bend = Box(layer=parent.layer - 1, parents=[parent])
                layers[depth - bend.layer].append(bend)
                parent = bend
            box.parents[index] = parent
    for sweep in range(8):
        forward = sweep % 2 == 0
        for index in range(1, len(layers)) if forward else range(len(layers) - 2, -1, -1):
            beside = layers[index - 1] if forward else layers[index + 1]
            rank = {id(box): place / max(1, len(beside) - 1) for place, box in enumerate(beside)}
            own = {id(box): place / max(1, len(layers[index]) - 1) for place, box in enumerate(layers[index])}
            center = {}
            for box in layers[index]:
                near = _neighbours(box, beside, forward)
                center[id(box)] = float(np.mean([rank[id(other)] for other in near])) if near else own[id(box)]
            layers[index].sort(key=lambda box: center[id(box)])
    return layers


def _neighbours(box: Box, beside: Sequence[Box], forward: bool) -> list[Box]:
    return box.parents if forward else [other for other in beside if box in other.parents]


def _place(layers: list[list[Box]], down: bool, least: float) -> tuple[float, float]:
    """Give every box its centre; returns width (at least `least`) and height of the whole, in inches."""
    along, across = ("height", "width") if down else ("width", "height")
    gap_along, gap_across = (0.42, 0.3) if down else (0.6, 0.28)
    start = 0.0
    spots: dict[int, float] = {}
    middles: dict[int, float] = {}
    for layer in layers:
        thick = max(getattr(box, along) for box in layer)
        for box in layer:
            middles[id(box)] = start + thick / 2
        start += thick + gap_along
        total = sum(getattr(box, across) + gap_across for box in layer)
        edge = -total / 2
        for box in layer:
            spots[id(box)] = edge + (getattr(box, across) + gap_across) / 2
            edge += getattr(box, across) + gap_across
    for sweep in range(12):
        forward = sweep % 2 == 0
        for index in range(1, len(layers)) if forward else range(len(layers) - 2, -1, -1):
            beside = layers[index - 1] if forward else layers[index + 1]
            near = [_neighbours(box, beside, forward) for box in layers[index]]
            wishes = [
                float(np.mean([spots[id(other)] for other in others])) if others else spots[id(box)]
                for box, others in zip(layers[index], near, strict=True)
            ]
            sizes = [getattr(box, across) + gap_across for box in layers[index]]
            for box, spot in zip(layers[index], _apart(wishes, sizes), strict=True):
                spots[id(box)] = spot
    every = [box for layer in layers for box in layer]
    low = min(spots[id(box)] - getattr(box, across) / 2 for box in every)
    high = max(spots[id(box)] + getattr(box, across) / 2 for box in every)
    width, height = (high - low, start - gap_along) if down else (start - gap_along, high - low)
    margin = max(0.0, least - width) / 2
    for box in every:
        here = (middles[id(box)], spots[id(box)] - low)
        box.x, box.y = reversed(here) if down else here
        box.x += margin
    return width + 2 * margin, height


def _apart(wishes: Sequence[float], sizes: Sequence[float]) -> list[float]:
    """Places in the same order, as near to the wishes as possible (least squares), whose boxes do not overlap."""
    offsets = np.cumsum([0.0] + [(a + b) / 2 for a, b in pairwise(sizes)])
    pools: list[list[float]] = []  # [mean, count]: neighbours that touch move together
    for wish in np.asarray(wishes) - offsets:
        pools.append([float(wish), 1])
        while len(pools) > 1 and pools[-2][0] >= pools[-1][0]:
            (mean, count), (before, before_count) = pools.pop(), pools.pop()
            total = count + before_count
            pools.append([(mean * count + before * before_count) / total, total])
    shifts = [mean for mean, count in pools for _ in range(int(count))]
    return [float(shift + offset) for shift, offset in zip(shifts, offsets, strict=True)]


# ---- drawing ----------------------------------------------------------------------------------------------


def _kind(tensor: Any, result: Any) -> str:
    if tensor is result:
        return "result"
    if tensor.node is not None:
        return "step"
    return "parameter" if getattr(tensor, "requires_grad", True) else "given"


def _draw_box(ax: Any, box: Box, result: Any, marked: bool) -> None:
    kind = _kind(box.tensor, result)
    color = {
        "result": shade(COLORS["output"], 0.22),
        "step": COLORS["paper"],
        "parameter": shade(COLORS["positive"], 0.2),
        "given": shade(COLORS["grid"], 0.6),
    }[kind]
    rounding = 0.14 if kind in ("parameter", "given") else 0.03
    edge, width = (COLORS["highlight"], 3.5) if marked else (COLORS["neutral"], 1.2)
    corner = (box.x - box.width / 2 + rounding, box.y - box.height / 2 + rounding)
    style = f"round,pad={rounding},rounding_size={rounding}"
    ax.add_patch(
        FancyBboxPatch(
            corner,
            box.width - 2 * rounding,
            box.height - 2 * rounding,
            boxstyle=style,
            facecolor=color,
            edgecolor=edge,
            linewidth=width,
            zorder=3,
        )
    )
    top = box.y - LINE * (len(box.lines) - 1) / 2
    for index, line in enumerate(box.lines):
        gradient = line.startswith("grad ")
        ax.text(
            box.x,
            top + LINE * index,
            line,
            ha="center",
            va="center",
            fontsize=10.5,
            zorder=4,
            fontweight="bold" if index == 0 else "normal",
            color="#A84700" if gradient else COLORS["ink"],
            fontstyle="italic" if gradient else "normal",
        )


def _draw_arrows(ax: Any, boxes: Sequence[Box], layers: list[list[Box]], down: bool) -> None:
    bends = [box for layer in layers for box in layer if box.tensor is None]
    for box in [*boxes, *bends]:
        for index, parent in enumerate(box.parents):
            spread = 0.0 if box.tensor is None else (index - (len(box.parents) - 1) / 2) * 0.16
            _draw_curve(ax, parent, box, spread, down)


def _draw_curve(ax: Any, parent: Box, box: Box, spread: float, down: bool) -> None:
    """From the far edge of the parent to the near edge of the box, leaving and arriving straight."""
    head = 0.09 if box.tensor is not None else 0.0
    if down:
        a, b = (parent.x, parent.y + parent.height / 2), (box.x + spread, box.y - box.height / 2 - head)
        middle = (a[1] + b[1]) / 2
        points = [a, (a[0], middle), (b[0], middle), b]
        tip = [(b[0], b[1] + head), (b[0] - 0.055, b[1] - 0.03), (b[0] + 0.055, b[1] - 0.03)]
    else:
        a, b = (parent.x + parent.width / 2, parent.y), (box.x - box.width / 2 - head, box.y + spread)
        middle = (a[0] + b[0]) / 2
        points = [a, (middle, a[1]), (middle, b[1]), b]
        tip = [(b[0] + head, b[1]), (b[0] - 0.03, b[1] - 0.055), (b[0] - 0.03, b[1] + 0.055)]
    path = Path(points, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
    ax.add_patch(PathPatch(path, fill=False, edgecolor=COLORS["neutral"], linewidth=1.5, zorder=2))
    if head:
        ax.add_patch(
            PathPatch(Path([*tip, tip[0]], closed=True), facecolor=COLORS["neutral"], edgecolor="none", zorder=2)
        )
