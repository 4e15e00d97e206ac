"""Explorers of capsules: routing step by step, a mouth to drag, a capsule to change; the pictures are `visualize`'s."""

from __future__ import annotations

from typing import Any

import numpy as np

from zerohero.arguments import integer
from zerohero.visualize.arrays import number
from zerohero.visualize.capsules import CapsulePage, FacePage, VotePlanes, pose_votes, vote_spread, votes_in_words
from zerohero.visualize.style import Picture

from .explorer import Control, Explorer

# Lecture 10's six votes for two parents: the first four agree about A, the last two do not.
ROUTING_VOTES = np.stack(
    [
        [(1, 0.9), (0.9, 1.05), (1.1, 1), (1, 1.1), (-1.2, 0.4), (0.5, -1.3)],
        [(0.8, -0.9), (-1, 0.3), (0.2, 1), (-0.7, -0.8), (0.9, 0.2), (-0.3, 0.8)],
    ],
    axis=1,
)  # (I, J, 2)


def pose(x: float, y: float, turn: float = 0.0) -> np.ndarray:
    """A part turned by so many degrees and moved to (x, y), as a matrix (3, 3)."""
    angle = np.deg2rad(turn)
    return np.array([[np.cos(angle), -np.sin(angle), x], [np.sin(angle), np.cos(angle), y], [0, 0, 1]])


# Where lecture 10's parts sit in the face's own coordinates.
PART_IN_FACE = {
    "left eye": pose(-0.5, 0.45),
    "right eye": pose(0.5, 0.45),
    "nose": pose(0, 0),
    "mouth": pose(0, -0.65),
}


class RoutingStepper(Explorer):
    """See `routing_stepper`."""

    title = "Routing stepper"
    can_play = True

    def __init__(self, votes: Any, bias: Any, iterations: int, parents: Any) -> None:
        import zerohero as zh

        votes = np.asarray(votes, float)
        self.votes = votes[None] if votes.ndim == 3 else votes
        self.trace = zh.routing_trace(self.votes, bias, iterations=iterations)
        self.parents = parents
        self.live = self._new()
        super().__init__(Control("iteration", "iteration", 1, integer(iterations, "routing_stepper", "iterations"), 1))

    def _new(self) -> VotePlanes:
        return VotePlanes(self.votes, self.trace, example=0, parents=self.parents, title=None)

    @property
    def state(self) -> dict[str, Any]:
        t = self.values["iteration"] - 1
        names = ("logits", "couplings", "s", "v")
        arrays = {name: getattr(self.trace, name)[t, 0] for name in names}
        return {"iteration": t + 1, **arrays, "lengths": np.linalg.norm(arrays["v"], axis=-1)}

    def picture(self) -> Picture:
        self.live.move(self.values["iteration"] - 1)
        return self.live.fig

    def figure(self, iteration: int | None = None, **values: Any) -> Picture:
        values |= {} if iteration is None else {"iteration": iteration}
        planes = self._new()
        planes.move(self._checked(values)["iteration"] - 1)
        return planes.fig

    def text(self) -> str:
        self.live.move(self.values["iteration"] - 1)
        return self.live.text()


def routing_stepper(
    votes: Any = ROUTING_VOTES, bias: Any = None, iterations: int = 3, *, parents: Any = None, static: bool = False
) -> Any:
    """Step through the iterations of routing: votes in a plane for each parent, couplings as widths and numbers.

    Parameters
    ----------
    votes : array-like (I, J, 2) or (1, I, J, 2)
        By default the lecture's: six votes, two parents.
    bias : array-like (J, 2), optional
    iterations : int
    parents : sequence of str, optional
        Names; by default A, B, …
    static : bool
        Return the static picture of the last iteration instead.

    Returns
    -------
    Explorer or Picture
        Control: ``iteration``, from 1. ``state``: iteration, logits, couplings, s, v, lengths.

    Raises
    ------
    ValueError
        If the votes have another shape.

    Examples
    --------
    >>> from zerohero.interactive import routing_stepper
    >>> stepper = routing_stepper()
    >>> stepper.set(iteration=3)
    >>> stepper.state["lengths"].round(2)
    array([0.96, 0.44])
    """
    stepper = RoutingStepper(votes, bias, iterations, parents)
    return stepper.figure(iteration=iterations) if static else stepper


class MouthExplorer(Explorer):
    """See `mouth_explorer`."""

    title = "Mouth explorer"

    def __init__(self) -> None:
        self.live: FacePage | None = None
        super().__init__(
            Control("right", "mouth to the right, in tenths", -15, 15, 0),
            Control("up", "mouth up, in tenths", -10, 20, 0),
            Control("turn", "mouth turned, in degrees", -180, 180, 0),
        )

    def poses(self, values: dict[str, int]) -> dict[str, np.ndarray]:
        """Where the parts are: the face stands upright at 0, but for the mouth."""
        home = PART_IN_FACE["mouth"][:2, 2]
        mouth = pose(home[0] + values["right"] / 10, home[1] + values["up"] / 10, values["turn"])
        return {**PART_IN_FACE, "mouth": mouth}

    @property
    def state(self) -> dict[str, Any]:
        votes = pose_votes(self.poses(self.values), PART_IN_FACE)
        return {**self.values, "votes": votes, "spread": vote_spread(votes)}

    def picture(self) -> Picture:
        self.live = self.live or FacePage(PART_IN_FACE)
        self.live.show(self.poses(self.values))
        return self.live.fig

    def figure(self, **values: Any) -> Picture:
        page = FacePage(PART_IN_FACE)
        page.show(self.poses(self._checked(values)))
        return page.fig

    def text(self) -> str:
        state = self.state
        moved = f"mouth {state['right'] / 10:g} right, {state['up'] / 10:g} up, turned {state['turn']}°"
        return f"{moved.replace('-', '−')}: {votes_in_words(state['votes'])}; spread {state['spread']:.2f}"


def mouth_explorer(*, static: bool = False) -> Any:
    """Drag the mouth of a face and see the agreement of the parts collapse.

    Every part votes for the pose of the face: its own pose, times the inverse of its place in a face.

    Parameters
    ----------
    static : bool
        Return the static picture instead.

    Returns
    -------
    Explorer or Picture
        Controls: ``right``, ``up`` (tenths), ``turn`` (degrees). ``state``: these, votes (part → (3, 3)), spread.

    Examples
    --------
    >>> from zerohero.interactive import mouth_explorer
    >>> explorer = mouth_explorer()
    >>> explorer.set(right=5)
    >>> print(explorer.text())
    mouth 0.5 right, 0 up, turned 0°: left eye, right eye, nose say (0, 0), turned by 0°; mouth says (0.5, 0),
    turned by 0°; spread 0.22
    """
    explorer = MouthExplorer()
    return explorer.figure() if static else explorer


class CapsuleSliders(Explorer):
    """See `capsule_sliders`."""

    title = "Capsule sliders"

    def __init__(self, model: Any, v: np.ndarray, label: int, image: np.ndarray | None) -> None:
        self.model, self.v, self.label, self.image = model, v, label, image
        self.drawn = self._draw(v)
        self.live: CapsulePage | None = None
        names = [f"n{index}" for index in range(v.shape[1])]
        super().__init__(*(Control(name, f"number {name[1:]}, hundredths", -25, 25, 0) for name in names))

    def _control_rows(self, ipywidgets: Any, parts: dict[str, Any]) -> list[Any]:
        rows = super()._control_rows(ipywidgets, parts)
        half = -(-len(rows) // 2)  # two columns, so that sliders and picture fit one screen
        return [ipywidgets.HBox([ipywidgets.VBox(rows[:half]), ipywidgets.VBox(rows[half:])])]

    def changed(self, values: dict[str, int]) -> np.ndarray:
        """The capsules (J, Q) with the sliders' numbers added to the one that is drawn."""
        v = self.v.copy()
        v[self.label] += np.array(list(values.values()), np.float32) / 100
        return v

    def _draw(self, v: np.ndarray) -> np.ndarray:
        drawn = self.model.reconstruct(v[None], [self.label])[0]
        return drawn[0] if len(drawn) == 1 else drawn

    def _shown(self, page: CapsulePage, values: dict[str, int]) -> Picture:
        moved = [f"{name[1:]} by {number(value / 100)}" for name, value in values.items() if value]
        said = f"number {', '.join(moved)}" if len(moved) <= 4 else f"{len(moved)} numbers changed"
        page.show(self._draw(self.changed(values)), f"Capsule {self.label}, {said if moved else 'unchanged'}")
        return page.fig

    @property
    def state(self) -> dict[str, Any]:
        v = self.changed(self.values)
        return {**self.values, "v": v, "length": float(np.linalg.norm(v[self.label])), "drawn": self._draw(v)}

    def picture(self) -> Picture:
        self.live = self.live or CapsulePage(self.drawn, self.image)
        return self._shown(self.live, self.values)

    def figure(self, **values: Any) -> Picture:
        return self._shown(CapsulePage(self.drawn, self.image), self._checked(values))


def capsule_sliders(
    model: Any, v: Any = None, *, image: Any = None, label: int | None = None, static: bool = False
) -> Any:
    """Change the numbers of a class capsule, one slider for each, and see what the decoder draws.

    Parameters
    ----------
    model : CapsNet
        With a decoder.
    v : array-like (J, Q), optional
        The class capsules of one image; by default those that `model` finds in `image`.
    image : array-like (C, H, W) or (H, W), optional
        Shown beside the drawing.
    label : int, optional
        Which capsule is changed and drawn; by default the longest.
    static : bool
        Return the static picture instead.

    Returns
    -------
    Explorer or Picture
        Controls: ``n0``, ``n1``, …: what is added to each number, in hundredths, −25 to 25, after squash. ``state``:
        these, v (J, Q) after the change, length of the changed capsule, drawn (H, W) or (C, H, W).

    Raises
    ------
    ValueError
        If there are neither capsules nor an image, or they have another shape.

    Examples
    --------
    >>> import zerohero as zh
    >>> from zerohero.interactive import capsule_sliders
    >>> seven = zh.weights.capsules("capsnet_mnist")["v"][14]
    >>> sliders = capsule_sliders(zh.weights.load("capsnet_mnist"), seven)
    >>> sliders.set(n3=20)
    >>> sliders.label, sliders.text().split(":")[0]
    (7, 'Capsule 7, number 3 by 0.2')
    """
    if image is not None:
        image = np.asarray(image, np.float32)
        image = image[None] if image.ndim == 2 else image
    if v is None:
        if image is None:
            raise ValueError("capsule_sliders: v needs the class capsules (J, Q) of one image, or give image")
        v = model.capsules(image[None])[0]
    v = np.asarray(v, np.float32)
    if v.ndim != 2:
        raise ValueError(f"capsule_sliders: v needs shape (J, Q), the capsules of one image, but has shape {v.shape}")
    label = int((v * v).sum(axis=1).argmax()) if label is None else integer(label, "capsule_sliders", "label")
    if not 0 <= label < len(v):
        raise ValueError(f"capsule_sliders: label needs to lie in [0, {len(v) - 1}], but got {label}")
    sliders = CapsuleSliders(model, v, label, image)
    return sliders.figure() if static else sliders
