"""Steppers that walk through a computation: convolution, pooling, backpropagation; the pictures are `visualize`'s."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from zerohero.visualize.arrays import number
from zerohero.visualize.graphs import _name, _names, backward_steps, draw_graph, operation_words, total
from zerohero.visualize.steps import ConvolutionPicture, PoolingPicture
from zerohero.visualize.style import Picture

from .explorer import Control, Explorer

# The 6 by 6 image of the slide's worked example (lecture 01).
SLIDE_INPUT = np.array(
    [
        [3, 2, 2, 5, 5, 3],
        [3, 1, 1, 2, 6, 2],
        [1, 4, 3, 3, 1, 4],
        [2, 2, 3, 7, 0, 1],
        [6, 0, 4, 0, 3, 4],
        [2, 1, 3, 4, 4, 0],
    ],
    dtype=np.float32,
)
# The 3 by 3 filter of the same example.
SLIDE_FILTER = np.array([[1, 0, -2], [1, 1, 0], [0, -1, 1]], dtype=np.float32)
# Three rows of the slide's pooling example survive; the fourth is ours, made so that the output is the slide's.
POOLING_INPUT = np.array([[2, 4, 1, 0], [5, 2, 3, 1], [2, 3, 1, 1], [1, 0, 8, 2]], dtype=np.float32)


class _Stepper(Explorer):
    """Walks over the positions of an output, row by row."""

    can_play = True
    kind: Any = None

    def __init__(self, *args: Any, **options: Any) -> None:
        self.args, self.options = args, options
        self.live = self._new()
        rows, columns = self.live.output.shape
        super().__init__(Control("position", "position", 0, rows * columns - 1, 0))

    def _new(self) -> Any:
        return self.kind(*self.args, **self.options)

    def _place(self, position: int) -> tuple[int, int]:
        columns = self.live.output.shape[1]
        return position // columns, position % columns

    def picture(self) -> Picture:
        self.live.move(*self._place(self.values["position"]))
        return self.live.fig

    def figure(self, position: int | None = None, **values: Any) -> Picture:
        values |= {} if position is None else {"position": position}
        picture = self._new()
        picture.move(*self._place(self._checked(values)["position"]))
        return picture.fig

    def text(self) -> str:
        self.live.move(*self._place(self.values["position"]))
        return self.live.text()


class ConvolutionStepper(_Stepper):
    """See `convolution_stepper`."""

    title = "Convolution stepper"
    kind = ConvolutionPicture

    @property
    def state(self) -> dict[str, Any]:
        row, column = self._place(self.values["position"])
        self.live.move(row, column)
        window = self.live.window()
        products = window * self.live.weight
        place = {"position": self.values["position"], "row": row, "column": column}
        return {**place, "window": window, "products": products, "sum": self.live.total()}


class PoolingStepper(_Stepper):
    """See `pooling_stepper`."""

    title = "Pooling stepper"
    kind = PoolingPicture

    @property
    def state(self) -> dict[str, Any]:
        row, column = self._place(self.values["position"])
        self.live.move(row, column)
        place = {"position": self.values["position"], "row": row, "column": column}
        return {**place, "window": self.live.window(), "result": float(self.live.output[row, column])}


class BackpropStepper(Explorer):
    """See `backprop_stepper`."""

    title = "Backpropagation stepper"
    can_play = True

    def __init__(self, tensor: Any, *, names: Mapping[Any, str] | None = None) -> None:
        self.tensor, self.names = tensor, names
        self.steps = backward_steps(tensor)
        self.gradients = {id(each): total(parts) for each, parts in self.steps}
        super().__init__(Control("step", "step", 0, len(self.steps), 0))
        draw_graph(tensor, names, True, self.gradients)  # a graph that cannot be drawn says so now

    @property
    def state(self) -> dict[str, Any]:
        known = {self._word(each): self.gradients[id(each)] for each, _ in self.steps[: self.values["step"]]}
        return {"step": self.values["step"], "steps": len(self.steps), "gradients": known}

    def figure(self, step: int | None = None, **values: Any) -> Picture:
        values |= {} if step is None else {"step": step}
        step = self._checked(values)["step"]
        here = self.steps[step - 1][0] if step else None
        waiting = {id(each) for each, _ in self.steps[step:]}
        fig = draw_graph(
            self.tensor, self.names, True, self.gradients, unknown=waiting, highlight=here, title=self._title(step)
        )
        fig.alt = f"{fig.alt} {self._explain(step)}"
        return fig

    def text(self) -> str:
        return self._explain(self.values["step"])

    def _title(self, step: int) -> str:
        return f"Backward, step {step} of {len(self.steps)}" if step else "Forward is done; now backward"

    def _explain(self, step: int) -> str:
        if not step:
            return f"step 0 of {len(self.steps)}: forward is done, no gradient is known yet"
        tensor, parts = self.steps[step - 1]
        words = [self._part(tensor, user, part) for user, part in parts]
        result = _short(self.gradients[id(tensor)])
        if len(parts) > 1:
            words.append(f"together {' + '.join(_bracketed(part) for _, part in parts)} = {result}")
        return f"step {step} of {len(self.steps)}: {self._word(tensor)} {'; '.join(words)}"

    def _part(self, tensor: Any, user: Any, part: np.ndarray) -> str:
        if user is None:
            return f"is the result: its gradient is {_short(part)}"
        upstream = self.gradients[id(user)]
        start = f"gets from {self._word(user)}"
        if part.size == 1 and upstream.size == 1 and float(upstream.reshape(())) != 0:
            slope = float(part.reshape(())) / float(upstream.reshape(()))
            return f"{start}: {_short(upstream)} · {_bracketed(np.array(slope))} = {_short(part)}"
        return f"{start}: {_short(part)}"

    def _word(self, tensor: Any) -> str:
        named = _names(self.names)
        own, made = _name(tensor, named), operation_words(tensor, named)
        return f"{own} = {made}" if own and made else own or f"({made})" if made else own or "an unnamed leaf"


def convolution_stepper(
    x: Any = SLIDE_INPUT,
    weight: Any = SLIDE_FILTER,
    bias: float = 0.0,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    static: bool = False,
) -> Any:
    """Step through the positions of a convolution: window, filter, products, their sum, and the output so far.

    Parameters
    ----------
    x : array-like, (H, W) or (C, H, W)
        By default the slide's input; up to 16 by 16 with its padding, up to 4 channels.
    weight : array-like, (kh, kw) or (C, kh, kw)
        One filter; by default the slide's.
    bias : float
    stride, padding, dilation : int or pair
        As in `zerohero.conv2d`.
    static : bool
        Return the static picture of the first position instead.

    Returns
    -------
    Explorer or Picture
        Control: ``position``. ``state``: position, row, column, window, products (C, kh, kw), sum.

    Raises
    ------
    ValueError, TypeError
        If the shapes do not fit.

    Examples
    --------
    >>> stepper = convolution_stepper()
    >>> stepper.set(position=15)
    >>> stepper.state["sum"]
    4.0
    """
    stepper = ConvolutionStepper(
        x, weight, bias, stride=stride, padding=padding, dilation=dilation, where="convolution_stepper"
    )
    return stepper.figure() if static else stepper


def pooling_stepper(
    x: Any = POOLING_INPUT, kernel_size: Any = 2, *, stride: Any = None, mode: str = "max", static: bool = False
) -> Any:
    """Step through the positions of a pooling layer: window, winner (or mean), and the output so far.

    Parameters
    ----------
    x : array-like, (H, W)
        By default a 4 by 4 input whose 2 by 2 maxima are the slide's [[5, 3], [3, 8]].
    kernel_size : int or pair
    stride : int or pair, optional
        By default the kernel size.
    mode : {"max", "average"}
    static : bool
        Return the static picture of the first position instead.

    Returns
    -------
    Explorer or Picture
        Control: ``position``. ``state``: position, row, column, window, result.

    Raises
    ------
    ValueError, TypeError
        If the window does not fit.

    Examples
    --------
    >>> print(pooling_stepper().text())
    row 0, column 0: max(2, 4, 5, 2) = 5
    """
    stepper = PoolingStepper(x, kernel_size, stride=stride, mode=mode, where="pooling_stepper")
    return stepper.figure() if static else stepper


def backprop_stepper(tensor: Any, *, names: Mapping[Any, str] | None = None, static: bool = False) -> Any:
    """Walk a tape backwards, one tensor a step, filling in gradients and saying where each comes from.

    Parameters
    ----------
    tensor : Tensor with one value
        A loss on which ``backward`` was not called; it still can be afterwards.
    names : mapping from Tensor to str, or from str to Tensor, optional
        Names for tensors that have none of their own.
    static : bool
        Return the static picture with all gradients instead.

    Returns
    -------
    Explorer or Picture
        Control: ``step``, from 0 (none known) to the number of tensors with a gradient. ``state``: step, steps,
        gradients (by name).

    Raises
    ------
    ValueError, TypeError
        If it is no such tensor.

    Examples
    --------
    >>> import zerohero as zh
    >>> w = zh.Tensor(2.0, requires_grad=True, name="w")
    >>> stepper = backprop_stepper((w * 3 - 1) ** 2)
    >>> stepper.set(step=4)
    >>> print(stepper.text())
    step 4 of 4: w gets from (w × 3): 10 · 3 = 30
    """
    stepper = BackpropStepper(tensor, names=names)
    return stepper.figure(step=len(stepper.steps)) if static else stepper


def _short(values: np.ndarray) -> str:
    values = np.asarray(values)
    if values.size == 1:
        return number(float(values.reshape(())))
    if values.ndim == 1 and values.size <= 4:
        return f"({', '.join(number(value) for value in values.tolist())})"
    return f"an array of {' × '.join(map(str, values.shape))}"


def _bracketed(values: np.ndarray) -> str:
    text = _short(values)
    return f"({text})" if text.startswith("−") else text
