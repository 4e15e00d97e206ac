"""What a training costs in time: epochs, images and network to choose; `visualize.imagenet` draws the times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zerohero.arguments import number
from zerohero.visualize.imagenet import duration, durations
from zerohero.visualize.style import Picture

from .explorer import Control, Explorer

PASSES = 3  # forward, back to the inputs, back to the weights


class TrainingBill(Explorer):
    """See `training_bill`."""

    title = "Training bill"

    def __init__(self, networks: Mapping[str, float], rates: Mapping[str, float]) -> None:
        for name, given in (("networks", networks), ("rates", rates)):
            if not given:
                raise ValueError(f"{self.title}: {name} needs numbers by name, but is empty")
            for key, value in given.items():
                if number(value, self.title, f"{name}[{key!r}]", low=0) == 0:
                    raise ValueError(f"{self.title}: {name}[{key!r}] needs to be above 0, but got 0")
        self.networks, self.rates = dict(networks), dict(rates)
        super().__init__(
            Control("network", "network", 0, len(networks) - 1, 0),
            Control("epochs", "epochs", 1, 100, 90),
            Control("thousands", "thousand images", 1, 1500, 1200),
        )

    @property
    def state(self) -> dict[str, Any]:
        return {**self.values, "multiply_adds": self._multiply_adds(self.values), "seconds": self._seconds(self.values)}

    def _multiply_adds(self, values: dict[str, int]) -> float:
        each = list(self.networks.values())[values["network"]]
        return PASSES * each * values["epochs"] * values["thousands"] * 1000

    def _seconds(self, values: dict[str, int]) -> dict[str, float]:
        return {name: self._multiply_adds(values) / rate for name, rate in self.rates.items()}

    def _heading(self, values: dict[str, int]) -> str:
        name = list(self.networks)[values["network"]]
        many = "s" * (values["epochs"] > 1)
        return f"{name}: {values['epochs']} epoch{many} of {values['thousands'] * 1000:,} images"

    def figure(self, **values: Any) -> Picture:
        now = self._checked(values)
        return durations(self._seconds(now), title=self._heading(now))

    def text(self) -> str:
        times = "; ".join(f"{name}: {duration(seconds)}" for name, seconds in self._seconds(self.values).items())
        return f"{self._heading(self.values)}, {self._multiply_adds(self.values):.2g} multiply-adds. {times}"


def training_bill(networks: Mapping[str, float], rates: Mapping[str, float], *, static: bool = False) -> Any:
    """Choose network, epochs and images, and see how long the training takes on each machine.

    A step of training is counted as three times the multiplications of the forward pass: forward, back to the
    inputs, back to the weights. All else (loading images, waiting, test runs) is left out.

    Parameters
    ----------
    networks : mapping from name to multiply-adds of the forward pass for one image
    rates : mapping from name of a machine to multiply-adds a second, as measured in training
    static : bool
        Return the static picture of the start instead.

    Returns
    -------
    Explorer or Picture
        Controls: network (its place in the mapping), epochs, thousands (of images). ``state``: these,
        multiply_adds, and seconds for each machine.

    Raises
    ------
    ValueError, TypeError
        If a mapping is empty or a number isn't above 0.

    Examples
    --------
    >>> bill = training_bill({"AlexNet": 724e6}, {"one core": 1e10, "a GPU": 1e12})
    >>> bill.set(epochs=1)
    >>> print(bill.text())
    AlexNet: 1 epoch of 1,200,000 images, 2.6e+15 multiply-adds. one core: 3 days; a GPU: 43 minutes
    """
    explorer = TrainingBill(networks, rates)
    return explorer.figure() if static else explorer
