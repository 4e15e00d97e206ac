"""Overlapping digits in red and green: choose an image, and which digits the decoder draws; nothing is trained here."""

from __future__ import annotations

from typing import Any

import numpy as np

from zerohero.visualize.arrays import as_array
from zerohero.visualize.routing import overlaid, overlaps
from zerohero.visualize.style import Picture, styled

from .explorer import Control, Explorer
from .networks import _settle

KINDS = ("true digits", "network's own two", "two digits that are not there")


class OverlapExplorer(Explorer):
    """See `overlap_explorer`."""

    title = "Overlap explorer"

    def __init__(self, seen: np.ndarray, drawn: np.ndarray, classes: np.ndarray, true: np.ndarray):
        super().__init__(
            Control("pair", "image", 0, len(seen) - 1, 0),
            Control("draw", "0 true, 1 own, 2 absent", 0, len(KINDS) - 1, 0),
        )
        self.seen, self.drawn, self.classes, self.true = seen, drawn, classes, true
        self._live: Picture | None = None

    @property
    def state(self) -> dict[str, Any]:
        chosen = self.values["pair"], self.values["draw"]
        return {**self.values, "digits": self.classes[chosen].tolist(), "drawn": self.drawn[chosen]}

    @styled
    def picture(self) -> Picture:
        if self._live is None:
            self._live = self.figure()
        row, texts = self._row(self.values)
        for ax, image, text in zip(self._live.axes, row, texts):
            ax.images[0].set_data(np.moveaxis(image, 0, -1))
            ax.set_title(text, fontsize=9)
        self._live.alt = f"{self.text()}."
        return self._live

    def figure(self, **values: Any) -> Picture:
        chosen = self._checked(values)
        row, texts = self._row(chosen)
        fig = overlaps({"": row}, [texts])
        fig.alt = f"{self._words(chosen)}."
        _settle(fig)
        return fig

    def _row(self, values: dict[str, int]) -> tuple[np.ndarray, list[str]]:
        """What was seen, both digits drawn, and each of them alone: four images in colours, with their texts."""
        k, kind = values["pair"], values["draw"]
        first, second = self.drawn[k, kind]
        red, green = self.classes[k, kind]
        blank = np.zeros_like(first)
        colours = overlaid(np.stack([first, first, blank]), np.stack([second, blank, second]))
        row = np.concatenate([np.repeat(self.seen[k, None, None], 3, axis=1), colours])
        return row, ["seen", f"drawn: {red} and {green}", f"{red} alone", f"{green} alone"]

    def text(self) -> str:
        return self._words(self.values)

    def _words(self, values: dict[str, int]) -> str:
        k, kind = values["pair"], values["draw"]
        red, green = self.classes[k, kind]
        return (f"image {k} shows {self.true[k, 0]} and {self.true[k, 1]}; "
                f"drawn, {KINDS[kind]}: {red} in red, {green} in green")


def overlap_explorer(seen: Any, drawn: Any, digits: Any, *, static: bool = False) -> Any:
    """Choose an image of two digits, and which two digits are drawn from their capsules: true, said, or absent ones.

    Parameters
    ----------
    seen : array-like (N, H, W), in [0, 1]
        What the network saw.
    drawn : array-like (N, 3, 2, H, W), in [0, 1]
        Two drawings for the true digits, for those that the network says, and for two that are not there.
    digits : int array-like (N, 3, 2)
        Which digits these are.
    static : bool
        Whether to return a picture instead.

    Returns
    -------
    Explorer, or Picture

    Raises
    ------
    ValueError
        If the shapes don't go together.

    Examples
    --------
    >>> import numpy as np
    >>> from zerohero.interactive import overlap_explorer
    >>> explorer = overlap_explorer(np.ones((1, 4, 4)), np.ones((1, 3, 2, 4, 4)), [[[3, 5], [3, 5], [0, 1]]])
    >>> explorer.set(draw=2)
    >>> print(explorer.text())
    image 0 shows 3 and 5; drawn, two digits that are not there: 0 in red, 1 in green
    """
    seen, drawn = (as_array(values, f"overlap_explorer: {name}").astype(float)
                   for name, values in (("seen", seen), ("drawn", drawn)))
    classes = as_array(digits, "overlap_explorer: digits")
    if seen.ndim != 3 or not len(seen) or drawn.shape != (len(seen), 3, 2, *seen.shape[1:]):
        raise ValueError(f"overlap_explorer: drawn needs shape (N, 3, 2, H, W) and seen (N, H, W), but they have "
                         f"{drawn.shape} and {seen.shape}")
    if classes.shape != drawn.shape[:3] or classes.dtype.kind not in "iu":
        raise ValueError(f"overlap_explorer: digits needs integers of shape {drawn.shape[:3]}, but has "
                         f"{classes.dtype} of shape {classes.shape}")
    explorer = OverlapExplorer(seen, drawn, classes, classes[:, 0])
    return explorer.figure() if static else explorer
