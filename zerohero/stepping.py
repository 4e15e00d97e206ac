"""One training step after another: forward, backward, the optimizer. On a GPU it is recorded, and then repeated."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from zerohero import random
from zerohero.nn.module import Module
from zerohero.operation import engine_of
from zerohero.optim import Optimizer

# Steps that are asked for kernel by kernel before one is recorded: by then everything is compiled and every array of
# the optimizer is made.
WARM_UP = 2


class Stepper:
    """Takes training steps of a model: `stepper(images, labels)` gives loss and scores, as arrays.

    On a GPU most of the time of a small step goes into asking for its hundreds of kernels. If every step of the model
    asks for the same (`model.steps_alike`) and draws no random numbers, the third step of a batch's shape is recorded
    as a CUDA graph; from then on a step is a single call. The numbers are the same, bit for bit.

    Parameters
    ----------
    model : Module
    optimizer : Optimizer
    step : callable (model, images, labels) -> (loss Tensor, scores array)

    Examples
    --------
    >>> from zerohero import models, optim, training
    >>> model = models.create("lenet5")
    >>> stepper = Stepper(model, optim.Adam(model.parameters()), training.classification_step)
    >>> loss, scores = stepper(np.zeros((2, 1, 28, 28), np.float32), np.array([3, 5]))
    >>> scores.shape
    (2, 10)
    """

    def __init__(self, model: Module, optimizer: Optimizer, step: Callable):
        self.model, self.optimizer, self.step = model, optimizer, step
        self.taken: Counter[tuple] = Counter()
        self.recorded: dict[tuple, _Recorded | None] = {}

    def __call__(self, images: Any, labels: Any) -> tuple[Any, Any]:
        kind = (images.shape, images.dtype, labels.shape, labels.dtype, self.model.training)
        self.taken[kind] += 1
        if self.taken[kind] <= WARM_UP or not self._recordable():
            return self.ask(images, labels)
        recorded = self.recorded.get(kind)
        if kind not in self.recorded or (recorded is not None and not recorded.stands()):
            recorded = self.recorded[kind] = _Recorded.of(self, images, labels)
        return self.ask(images, labels) if recorded is None else recorded(images, labels)

    def ask(self, images: Any, labels: Any, numbers: Any = None) -> tuple[Any, Any]:
        """A step kernel by kernel; with `numbers` for the optimizer, or else with those of its next step."""
        self.optimizer.zero_grad()
        loss, scores = self.step(self.model, images, labels)
        loss.backward()
        self.optimizer.apply(self.optimizer.next_numbers() if numbers is None else numbers)
        return loss.data, scores

    def _recordable(self) -> bool:
        parameters = self.optimizer.parameters
        if not self.model.steps_alike or any(engine_of(parameter.data) != "cupy" for parameter in parameters):
            return False
        from zerohero.kernels.cuda import graphs

        return len({parameter.dtype for parameter in parameters}) == 1 and graphs.can_record()


class _Recorded:
    """A step as a CUDA graph, with the arrays from which it reads what changes from step to step."""

    def __init__(self, stepper: Stepper, images: Any, labels: Any):
        from zerohero.kernels.cuda import graphs

        cupy, self.optimizer, self.parameters = sys.modules["cupy"], stepper.optimizer, stepper.model.parameters()
        self.images, self.labels = images.copy(), labels.copy()
        numbers, dtype = self.optimizer.next_numbers(), self.optimizer.parameters[0].dtype
        # parameters of one group that took as many steps share their numbers, now and later
        shared = [(id(group), state["count"]) for _, state, group in self.optimizer.due()]
        self.place = [list(dict.fromkeys(shared)).index(each) for each in shared]
        self.last = dict(zip(self.place, numbers, strict=True))
        self.held = cupy.asarray(np.array([self.last[place] for place in range(len(self.last))], dtype))
        views = [self.held[place] for place in self.place]
        self.recording = graphs.Recording(lambda: stepper.ask(self.images, self.labels, views))
        self.gradients = [parameter.grad for parameter in self.optimizer.parameters]
        self.arrays = self._arrays()

    @classmethod
    def of(cls, stepper: Stepper, images: Any, labels: Any) -> _Recorded | None:
        """The recording of a step; None, and everything as it was, if it can't be recorded."""
        state = stepper.optimizer.counted()
        drawn = random.generator().bit_generator.state
        gradients = [parameter.grad for parameter in stepper.optimizer.parameters]
        try:
            recorded = cls(stepper, images, labels)
        except Exception:  # whatever it was: asked for kernel by kernel, it shows itself or works
            recorded = None
        stepper.optimizer.count_from(state)
        if recorded is None or random.generator().bit_generator.state != drawn:
            random.generator().bit_generator.state = drawn
            for parameter, gradient in zip(stepper.optimizer.parameters, gradients, strict=True):
                parameter.grad = gradient
            return None
        return recorded

    def __call__(self, images: Any, labels: Any) -> tuple[Any, Any]:
        for parameter, gradient in zip(self.optimizer.parameters, self.gradients, strict=True):
            parameter.grad = gradient  # a step of another kind may have left its own
        now = dict(zip(self.place, self.optimizer.next_numbers(), strict=True))
        for place, numbers in now.items():
            for position, number in enumerate(numbers):
                if number != self.last[place][position]:
                    self.held[place, position] = number  # goes along with the call, without a copy
        self.last = now
        self.images[...], self.labels[...] = images, labels
        self.recording.launch()
        return self.recording.result

    def stands(self) -> bool:
        """Whether the weights and the optimizer's arrays still are those that were recorded."""
        return all(now is then for now, then in zip(self._arrays(), self.arrays, strict=True))

    def _arrays(self) -> list[Any]:
        kept = [state.get(slot) for state in self.optimizer.state for slot in self.optimizer.slots]
        return [parameter.data for parameter in self.parameters] + kept
