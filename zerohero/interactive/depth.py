"""How gradients change with the depth of a network: blocks and kind to choose; `visualize.depth` draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zerohero.visualize.depth import GradientPage, _deepest
from zerohero.visualize.style import Picture

from .explorer import Control, Explorer

Norms = Mapping[str, Sequence[Sequence[float]]]


class DepthExplorer(Explorer):
    """See `depth_explorer`."""

    title = "Gradient by depth"

    def __init__(self, kinds: Mapping[str, Norms]) -> None:
        if not kinds:
            raise ValueError(f"{self.title}: kinds needs gradient norms by name, but is empty")
        depths = {name: _deepest(norms) for name, norms in kinds.items()}
        if len(set(depths.values())) > 1:
            raise ValueError(f"{self.title}: all kinds need the same depths, but they go to {depths}")
        deepest = next(iter(depths.values()))
        self.kinds = dict(kinds)
        self._live: dict[int, GradientPage] = {}  # by kind: each has a scale of its own
        super().__init__(
            Control("blocks", "blocks", 1, deepest, deepest), Control("kind", "kind", 0, len(kinds) - 1, 0)
        )

    @property
    def state(self) -> dict[str, Any]:
        return {**self.values, "first": self._first(self.values)}

    def _first(self, values: dict[str, int]) -> dict[str, float]:
        norms = list(self.kinds.values())[values["kind"]]
        return {name: float(each[values["blocks"] - 1][0]) for name, each in norms.items()}

    def _heading(self, values: dict[str, int]) -> str:
        return list(self.kinds)[values["kind"]]

    def _page(self, kind: int) -> GradientPage:
        return GradientPage(list(self.kinds.values())[kind], list(self.kinds)[kind])

    def picture(self) -> Picture:
        kind = self.values["kind"]
        if kind not in self._live:
            self._live[kind] = self._page(kind)
        self._live[kind].move(self.values["blocks"])
        return self._live[kind].fig

    def figure(self, **values: Any) -> Picture:
        now = self._checked(values)
        page = self._page(now["kind"])
        page.move(now["blocks"])
        return page.fig

    def text(self) -> str:
        first = ", ".join(f"{name} {norm:.2g}" for name, norm in self._first(self.values).items())
        blocks = self.values["blocks"]
        return f"{self._heading(self.values)}; {blocks} block{'s' * (blocks > 1)}: norm in the first block {first}"


def depth_explorer(kinds: Mapping[str, Norms], *, static: bool = False) -> Any:
    """Make a network deeper, block by block, and see how large the gradients in its blocks are.

    Parameters
    ----------
    kinds : mapping from name to norms
        For each kind of network what `visualize.gradient_depth` takes: curves by name, ``norms[name][d - 1]`` the d
        gradient norms of a network with d blocks, the first block first. All kinds go to the same depth.
    static : bool
        Return the static picture of the start instead.

    Returns
    -------
    Explorer or Picture
        Controls: blocks, and kind (its place in the mapping). ``state``: these, and the norm in the first block by
        name.

    Raises
    ------
    ValueError
        If there is no kind, or one has other depths, or a number isn't above 0.

    Examples
    --------
    >>> explorer = depth_explorer({"sigmoid": {"plain": [[1.0], [0.1, 1.0]], "residual": [[1.0], [0.9, 1.0]]}})
    >>> explorer.set(blocks=1)
    >>> print(explorer.text())
    sigmoid; 1 block: norm in the first block plain 1, residual 1
    """
    explorer = DepthExplorer(kinds)
    return explorer.figure() if static else explorer
