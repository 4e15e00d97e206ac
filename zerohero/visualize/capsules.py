"""Pictures of capsules: votes, couplings, squash, hand-built faces, reconstructions; nothing is routed here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.patches import Circle, FancyArrowPatch

from zerohero.arguments import integer

from .arrays import _brief, _image_pixels, as_array, number
from .style import COLORS, CYCLE, SEQUENTIAL, Picture, styled, text_color

PERTURBATIONS = np.round(np.arange(-5, 6) * 0.05, 2)  # −0.25 to 0.25 by 0.05, as in figure 4 of the paper
MOST_VOTES = {1: 12, 2: 12, 3: 8}  # planes beside each other -> lines in a plane whose numbers still can be read
LINES = ("-", "--", "-.", ":")


class VotePlanes:
    """Votes of two numbers in one plane a parent, at one iteration of routing; `move` goes to another."""

    @styled
    def __init__(self, votes: Any, trace: Any, *, example: int, parents: Sequence[str] | None, title: str | None):
        self.votes, self.couplings, self.v = _plane_arrays(votes, trace, example)
        self.parents = _parent_names(parents, self.votes.shape[1])
        self.heading = title
        across = len(self.parents)
        side = min(4.5, 9.4 / across)
        height = 0.86 * side + 1.3
        reach = max(1.05, 1.05 * float(np.linalg.norm(self.votes, axis=2).max()))  # one scale for all planes
        self.fig = Picture(figsize=(side * across, height), layout="none")
        self.title = self.fig.text(0.5, 0.975, "", ha="center", va="top", fontsize=13)
        said = "line from 0: a vote, as thick as its coupling · arrow: v · dashed: length 1"
        self.fig.text(0.5, 0.012, said, ha="center", va="bottom", fontsize=min(10, 6 + 2 * across * side / 4.5))
        self.planes = [
            _Plane(
                self.fig.add_axes(((j + 0.07) / across, 0.56 / height, 0.9 / across, 0.86 * side / height)),
                self.votes[:, j],
                reach,
                gap=np.deg2rad(21 * 4.5 / side),
            )
            for j in range(across)
        ]
        self.fig.moving = [self.title, *(artist for plane in self.planes for artist in plane.moving)]
        self.move(len(self.couplings) - 1)

    @styled
    def move(self, iteration: int) -> None:
        """Show an iteration, counted from 0."""
        self.iteration = iteration
        lead = f"{self.heading}: iteration" if self.heading else "Iteration"
        self.title.set_text(f"{lead} {iteration + 1} of {len(self.couplings)}")
        for j, (plane, name) in enumerate(zip(self.planes, self.parents)):
            v = self.v[iteration, j]
            plane.show(self.couplings[iteration, :, j], v)
            plane.ax.set_title(f"parent {name}: ‖v‖ = {np.linalg.norm(v):.2f}")
        self.fig.alt = f"{len(self.votes)} votes in {len(self.planes)} planes, one for each parent; {self.text()}."

    def text(self) -> str:
        """Couplings and lengths of this iteration in one line."""
        couplings, v = self.couplings[self.iteration], self.v[self.iteration]
        parts = [
            f"to {name}: c = {', '.join(f'{c:.2f}' for c in couplings[:, j])}, ‖v‖ = {np.linalg.norm(v[j]):.2f}"
            for j, name in enumerate(self.parents)
        ]
        return f"iteration {self.iteration + 1} of {len(self.couplings)}: {'; '.join(parts)}"


class _Plane:
    """One parent's votes, their couplings on a ring around them, and the parent's v."""

    def __init__(self, ax: Any, votes: np.ndarray, reach: float, gap: float) -> None:
        self.ax = ax
        ring, edge = 1.14 * reach, 1.6 * reach
        ax.set(xlim=(-edge, edge), ylim=(-edge, edge), xticks=[-1, 0, 1], yticks=[-1, 0, 1], aspect="equal")
        ax.add_patch(Circle((0, 0), 1, fill=False, linestyle="--", color=COLORS["neutral"], linewidth=1))
        ax.axhline(0, color=COLORS["grid"], linewidth=0.8, zorder=0)
        ax.axvline(0, color=COLORS["grid"], linewidth=0.8, zorder=0)
        angles = _apart(np.arctan2(votes[:, 1], votes[:, 0]), min(gap, 6 / len(votes)))
        self.lines, self.labels, dots = [], [], []
        for vote, angle in zip(votes, angles):
            place = np.array([np.cos(angle), np.sin(angle)])
            ax.plot(*np.stack([vote, ring * place]).T, color=COLORS["neutral"], linewidth=0.6, zorder=1)
            line = ax.plot(*np.stack([0 * vote, vote]).T, color=COLORS["input"], solid_capstyle="round", zorder=2)
            dots += ax.plot(*vote, "o", color=COLORS["positive"], markersize=4, zorder=4)
            self.lines += line
            at = 1.27 * reach * place
            ground = dict(facecolor=COLORS["paper"], edgecolor="none", pad=0.8)  # the line to the label ends at it
            self.labels.append(ax.text(*at, "", ha="center", va="center", fontsize=9.5, bbox=ground))
        style: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 16, "linewidth": 3.2, "color": COLORS["output"]}
        self.arrow = FancyArrowPatch((0, 0), (1, 1), shrinkA=0, shrinkB=0, zorder=3, **style)
        ax.add_patch(self.arrow)
        self.moving = [ax.title, *self.lines, *self.labels, *dots, self.arrow]

    def show(self, couplings: np.ndarray, v: np.ndarray) -> None:
        for index, (line, label, c) in enumerate(zip(self.lines, self.labels, couplings)):
            line.set_linewidth(0.4 + 5 * c)
            label.set_text(f"{index + 1}: {c:.2f}")
        self.arrow.set_positions((0, 0), tuple(v))


def vote_planes(
    votes: Any,
    trace: Any = None,
    *,
    iteration: int | None = None,
    example: int = 0,
    parents: Sequence[str] | None = None,
    title: str | None = None,
) -> Picture:
    """Draw votes of two numbers, one plane for each parent, with the couplings at one iteration of routing.

    Parameters
    ----------
    votes : array-like, (I, J, 2) or (N, I, J, 2)
        At most 12 input capsules for one or two parents, at most 8 for three.
    trace : RoutingTrace, optional
        What `zerohero.routing_trace` returned for these votes; by default three iterations without a bias.
    iteration : int, optional
        Counted from 0; by default the last.
    example : int
    parents : sequence of str, optional
        Names; by default A, B, C, …
    title : str, optional

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If the votes do not have two numbers, are too many, or the trace is not theirs.

    Examples
    --------
    >>> from zerohero.visualize import vote_planes
    >>> vote_planes([[[1, 0]], [[0, 1]]], parents=["A"])
    2 votes in 1 planes, one for each parent; iteration 3 of 3: to A: c = 1.00, 1.00, ‖v‖ = 0.67.
    """
    planes = VotePlanes(votes, trace, example=example, parents=parents, title=title)
    if iteration is not None:
        steps = len(planes.couplings)
        if not 0 <= integer(iteration, "vote_planes", "iteration") < steps:
            raise ValueError(f"vote_planes: iteration needs to lie in [0, {steps - 1}], but got {iteration}")
        planes.move(int(iteration))
    return planes.fig


@styled
def coupling_maps(
    couplings: Any,
    *,
    example: int = 0,
    parents: Sequence[str] | None = None,
    title: str = "Couplings",
) -> Picture:
    """Draw couplings as a heat map for each iteration: a row is an input capsule and adds up to 1.

    Parameters
    ----------
    couplings : RoutingTrace, or array-like (T, I, J) or (T, N, I, J)
    example : int
        Which of N.
    parents : sequence of str, optional
        Names; by default A, B, C, …
    title : str

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If there are more than six iterations or the shape is another one.

    Examples
    --------
    >>> from zerohero.visualize import coupling_maps
    >>> coupling_maps([[[0.5, 0.5]], [[0.9, 0.1]]])
    Couplings of 1 input capsules to parents A, B. Iteration 1: from 0.5 to 0.5; iteration 2: from 0.1 to 0.9.
    """
    maps = as_array(getattr(couplings, "couplings", couplings), "coupling_maps: couplings").astype(float)
    maps = maps[:, _example("coupling_maps", example, maps.shape[1])] if maps.ndim == 4 else maps
    if maps.ndim != 3 or not maps.size or len(maps) > 6:
        raise ValueError(f"coupling_maps: couplings needs (T, I, J) with at most 6 iterations, but has {maps.shape}")
    steps, children, count = maps.shape
    names = _parent_names(parents, count)
    written = children <= 12 and count <= 4
    width = min(9.4, max(5.0, steps * (0.62 * count + 0.55) + 1.2))
    fig = Picture(figsize=(width, min(5.5, max(2.6, 0.36 * children + 1.3))), layout="constrained")
    axes = fig.subplots(1, steps, squeeze=False)[0]
    fig.suptitle(title)
    for t, ax in enumerate(axes):
        drawn = ax.imshow(maps[t], cmap=SEQUENTIAL, vmin=0, vmax=1, aspect="auto")
        ax.set(title=f"iteration {t + 1}", xlabel="parent", xticks=range(count), xticklabels=names)
        if children <= 12:
            ax.set_yticks(range(children), [str(i + 1) for i in range(children)] if t == 0 else [""] * children)
        ax.tick_params(length=0)
        for (i, j), value in np.ndenumerate(maps[t]) if written else ():
            color = text_color(drawn.cmap(float(value))[:3])
            ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=9.5, color=color)
    axes[0].set_ylabel("input capsule")
    fig.colorbar(drawn, ax=list(axes), label="coupling c")
    said = [f"teration {t + 1}: from {_brief(m.min())} to {_brief(m.max())}" for t, m in enumerate(maps)]
    fig.alt = f"{title} of {children} input capsules to parents {', '.join(names)}. I{'; i'.join(said)}."
    return fig


@styled
def squash_curve(functions: Mapping[str, Callable[[np.ndarray], Any]] | None = None, *, reach: float = 4.0) -> Picture:
    """Plot how squashing changes a vector's length; other squashings beside it, if there are any.

    Parameters
    ----------
    functions : mapping from name to callable, optional
        Each takes vectors (N, Q) and returns squashed ones; by default only `zerohero.squash`.
    reach : float
        Longest vector.

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If a function returns another shape.

    Examples
    --------
    >>> from zerohero.visualize import squash_curve
    >>> squash_curve()
    Length after squashing over length before, from 0 to 4. squash: 0 at 0, 0.5 at 1, 0.94 at 4.
    """
    import zerohero as zh

    functions = {"squash": zh.squash} if functions is None else functions
    places = np.linspace(0, reach, 401)
    direction = np.array([0.6, 0.8])  # any direction will do: squash turns nothing
    fig = Picture(figsize=(6.4, 3.8), layout="constrained")
    ax = fig.subplots()
    ax.axhline(1, color=COLORS["neutral"], linewidth=1, linestyle=":")
    said = []
    for index, (name, function) in enumerate(functions.items()):
        lengths = np.linalg.norm(_same_shape(function, places[:, None] * direction, name), axis=1)
        ax.plot(places, lengths, LINES[index % 4], color=CYCLE[index % len(CYCLE)], label=name)
        ends = [_brief(float(np.interp(at, places, lengths))) for at in (0, 1, reach)]
        said.append(f"{name}: {ends[0]} at 0, {ends[1]} at 1, {ends[2]} at {number(reach)}")
    ax.set(xlabel="length before, ‖s‖", ylabel="length after, ‖v‖", ylim=(-0.02, 1.08), xlim=(0, reach))
    ax.set_title("Squashing: how long a vector becomes")
    if len(functions) > 1:
        ax.legend(loc="lower right")
    fig.alt = f"Length after squashing over length before, from 0 to {number(reach)}. {'; '.join(said)}."
    return fig


@styled
def squash_field(function: Callable[[np.ndarray], Any] | None = None, *, reach: float = 2.4, count: int = 9) -> Picture:
    """Draw where squash takes every vector of a grid in the plane: from its dot to the arrow's head.

    Parameters
    ----------
    function : callable, optional
        Takes vectors (N, 2) and returns as many; by default `zerohero.squash`.
    reach : float
        Half the side of the grid.
    count : int
        Vectors along a side.

    Returns
    -------
    Picture

    Examples
    --------
    >>> from zerohero.visualize import squash_field
    >>> squash_field(count=3)
    9 vectors of a 3 by 3 grid and where squashing takes them; the longest ends at length 0.92.
    """
    import zerohero as zh

    side = np.linspace(-reach, reach, integer(count, "squash_field", "count", least=2))
    s = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    v = _same_shape(zh.squash if function is None else function, s, "function")
    fig = Picture(figsize=(5.4, 5.4), layout="constrained")
    ax = fig.subplots()
    ax.add_patch(Circle((0, 0), 1, fill=False, linestyle="--", color=COLORS["highlight"], linewidth=2))
    ax.quiver(*s.T, *(v - s).T, angles="xy", scale_units="xy", scale=1, width=0.004, color=COLORS["neutral"])
    ax.plot(*s.T, "o", markersize=3, color=COLORS["input"])
    ax.plot(*v.T, "o", markersize=4, color=COLORS["output"])
    edge = 1.06 * reach
    ax.set(xlim=(-edge, edge), ylim=(-edge, edge), aspect="equal", xlabel="first number", ylabel="second number")
    ax.set_title("Squash in the plane: from s (light blue) to v (green)")
    longest = np.linalg.norm(v, axis=1).max()
    fig.alt = (
        f"{len(s)} vectors of a {count} by {count} grid and where squashing takes them; "
        f"the longest ends at length {_brief(float(longest))}."
    )
    return fig


@styled
def face_votes(poses: Mapping[str, Any], part_in_face: Mapping[str, Any], *, title: str | None = None) -> Picture:
    """Draw the parts of a face where they are, and beside it the face that every part votes for.

    Parameters
    ----------
    poses : mapping from part to array-like (3, 3)
        From a part's coordinates to the image's. "left eye", "right eye", "nose" and "mouth" are drawn as such.
    part_in_face : mapping from part to array-like (3, 3)
        From a part's coordinates to the face's. A part votes for ``pose · part_in_face⁻¹``.
    title : str, optional

    Returns
    -------
    Picture

    Examples
    --------
    >>> import numpy as np
    >>> from zerohero.visualize import face_votes
    >>> face_votes({"nose": np.eye(3)}, {"nose": np.eye(3)})
    Parts of a face and the faces they vote for: nose says (0, 0), turned by 0°. Spread of the votes: 0.00.
    """
    page = FacePage(part_in_face)
    page.show(poses, title)
    return page.fig


class FacePage:
    """Parts of a face, and the faces they vote for, on one sheet that can be shown again and again."""

    @styled
    def __init__(self, part_in_face: Mapping[str, Any]) -> None:
        self.part_in_face = {name: _pose(pose, f"part_in_face[{name!r}]") for name, pose in part_in_face.items()}
        self.fig = Picture(figsize=(9.2, 5.2), layout="none")
        self.title = self.fig.text(0.5, 0.975, "", ha="center", va="top", fontsize=13)
        self.axes = [self.fig.add_axes((left, 0.11, 0.44, 0.76)) for left in (0.045, 0.545)]
        for ax, name in zip(self.axes, ("the parts, where they are", "the face that each part votes for")):
            ax.set(xlim=(-2.6, 2.6), ylim=(-2.6, 2.6), aspect="equal", title=name)
            ax.set(xticks=range(-2, 3), yticks=range(-2, 3))
        self.parts = {name: _glyph(self.axes[0], name) for name in self.part_in_face}
        styles = dict(zip(self.part_in_face, zip(CYCLE, (5.5, 4, 2.5, 2), LINES)))
        self.outlines = {
            name: self.axes[1].plot([], [], color=color, linewidth=width, linestyle=line, label=name)[0]
            for name, (color, width, line) in styles.items()
        }
        self.axes[1].legend(
            loc="upper center", bbox_to_anchor=(0.45, -0.05), ncols=4, fontsize=9, handlelength=2.6, columnspacing=1.2
        )
        lines = [line for part in self.parts.values() for line, _ in part]
        self.fig.moving = [self.title, *lines, *self.outlines.values()]

    @styled
    def show(self, poses: Mapping[str, Any], title: str | None = None) -> None:
        votes = pose_votes(poses, self.part_in_face)
        for name, vote in votes.items():
            for line, points in self.parts[name]:
                line.set_data(*_moved(_pose(poses[name], name), points))
            self.outlines[name].set_data(*_moved(vote, _OUTLINE))
        self.title.set_text(f"{title or 'Votes'}: spread {vote_spread(votes):.2f}")
        self.fig.alt = f"Parts of a face and the faces they vote for: {votes_in_words(votes)}."
        self.fig.alt += f" Spread of the votes: {vote_spread(votes):.2f}."


def pose_votes(poses: Mapping[str, Any], part_in_face: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The pose of the face that every part votes for: ``pose · part_in_face⁻¹``, (3, 3) each."""
    if set(poses) != set(part_in_face):
        raise ValueError(f"face_votes: poses needs the parts {', '.join(part_in_face)}, but has {', '.join(poses)}")
    return {n: _pose(poses[n], f"poses[{n!r}]") @ np.linalg.inv(_pose(part_in_face[n], n)) for n in part_in_face}


def vote_spread(votes: Mapping[str, np.ndarray]) -> float:
    """Root of the mean squared distance of the votes from their mean: 0 if all agree."""
    stacked = np.stack(list(votes.values()))
    return float(np.sqrt(((stacked - stacked.mean(axis=0)) ** 2).sum(axis=(1, 2)).mean()))


def votes_in_words(votes: Mapping[str, np.ndarray]) -> str:
    """Centre and turn of every voted face, parts of one opinion together."""
    opinions: dict[str, list[str]] = {}
    for name, vote in votes.items():
        turn = number(float(np.round(np.rad2deg(np.arctan2(vote[1, 0], vote[0, 0])))))
        x, y = (number(float(np.round(value, 2))) for value in vote[:2, 2])
        opinions.setdefault(f"({x}, {y}), turned by {turn}°", []).append(name)
    return "; ".join(f"{', '.join(names)} say{'s' * (len(names) == 1)} {what}" for what, names in opinions.items())


@styled
def reconstructions(
    images: Any, drawn: Any, labels: Sequence[Any] | None = None, *, title: str = "Images above, reconstructions below"
) -> Picture:
    """Draw images in a row and below each what a decoder made of it.

    Parameters
    ----------
    images, drawn : array-like, (N, H, W) or (N, C, H, W)
        In [0, 1]; at most 16.
    labels : sequence, optional
        One for each image, written above it.
    title : str

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If the shapes differ, or there are none or too many.

    Examples
    --------
    >>> import numpy as np
    >>> from zerohero.visualize import reconstructions
    >>> reconstructions(np.ones((2, 8, 8)), np.full((2, 8, 8), 0.5))
    Images above, reconstructions below: 2 images; sum of squared differences 16 to 16.
    """
    above, below = (as_array(a, f"reconstructions: {n}") for a, n in ((images, "images"), (drawn, "drawn")))
    if above.shape != below.shape or above.ndim not in (3, 4) or not 1 <= len(above) <= 16:
        raise ValueError(
            "reconstructions: images and drawn need one shape, (N, H, W) or (N, C, H, W) with N from 1 to 16, "
            f"but have {above.shape} and {below.shape}"
        )
    names = [""] * len(above) if labels is None else [str(label) for label in labels]
    if len(names) != len(above):
        raise ValueError(f"reconstructions: labels needs one for each of {len(above)}, but got {len(names)}")
    width = min(9.4, max(4.0, 1.05 * len(above)))
    fig = Picture(figsize=(width, 2 * width / max(len(above), 4) + 0.8), layout="constrained")
    fig.suptitle(title)
    for row, pictures in zip(fig.subplots(2, len(above), squeeze=False), (above, below)):
        for ax, picture in zip(row, pictures):
            ax.imshow(_image_pixels(picture, "reconstructions"), cmap="gray", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
    for ax, name in zip(fig.axes, names):
        ax.set_title(name, fontsize=10)
    off = ((above.astype(float) - below) ** 2).reshape(len(above), -1).sum(axis=1)
    fig.alt = (
        f"{title}: {len(above)} images{', labelled ' + ', '.join(names) if labels is not None else ''}; "
        f"sum of squared differences {_brief(float(off.min()))} to {_brief(float(off.max()))}."
    )
    return fig


class CapsulePage:
    """What a decoder draws of a capsule, before and after it was changed, beside the image; `show` changes it."""

    @styled
    def __init__(self, drawn: Any, image: Any = None) -> None:
        self.drawn = as_array(drawn, "capsule page: drawn")
        pictures = [self.drawn, self.drawn] if image is None else [as_array(image, "image"), self.drawn, self.drawn]
        names = ["the image", "drawn", "drawn after the change"][-len(pictures) :]
        across = len(pictures)
        self.fig = Picture(figsize=(2.7 * across, 3.4), layout="none")
        self.title = self.fig.text(0.5, 0.97, "", ha="center", va="top", fontsize=13)
        for index, (picture, name) in enumerate(zip(pictures, names)):
            ax = self.fig.add_axes(((index + 0.06) / across, 0.03, 0.88 / across, 0.76))
            self.shown = ax.imshow(_image_pixels(picture, "capsule page"), cmap="gray", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[], title=name)

    @styled
    def show(self, drawn: Any, text: str) -> None:
        """Draw the changed capsule's picture; `text` is what was changed."""
        drawn = as_array(drawn, "capsule page: drawn")
        self.shown.set_data(_image_pixels(drawn, "capsule page"))
        self.title.set_text(text)
        moved = float(np.abs(drawn.astype(float) - self.drawn).max())
        self.fig.alt = f"{text}: a pixel of the drawing changes by {_brief(moved)} at most."


def perturbations(model: Any, v: Any, label: int, values: Any = PERTURBATIONS) -> np.ndarray:
    """What a CapsNet's decoder draws while one number after the other of a capsule is changed, after squash.

    Parameters
    ----------
    model : CapsNet
        Anything with ``reconstruct(v, labels)`` → (N, C, H, W).
    v : array-like (J, Q) or (1, J, Q)
        The class capsules of one image.
    label : int
        Which capsule to change and to draw.
    values : array-like (S,)
        What is added; by default −0.25 to 0.25 by 0.05.

    Returns
    -------
    array (Q, S, H, W), or (Q, S, C, H, W) for several channels

    Raises
    ------
    ValueError
        If v is not one image's capsules, or has no capsule `label`.

    References
    ----------
    Sabour et al. 2017, figure 4.

    Examples
    --------
    >>> import zerohero as zh
    >>> from zerohero.visualize import perturbations
    >>> model = zh.models.create("capsnet", preset="fast")
    >>> perturbations(model, 0.1 * np.ones((10, 16)), label=3).shape
    (16, 11, 28, 28)
    """
    capsules = as_array(v, "perturbations: v").astype(np.float32)
    capsules = capsules[0] if capsules.ndim == 3 and len(capsules) == 1 else capsules
    if capsules.ndim != 2 or not 0 <= integer(label, "perturbations", "label") < len(capsules):
        raise ValueError(
            f"perturbations: v needs the capsules (J, Q) of one image, and label one of them, but v has shape "
            f"{capsules.shape} and label is {label}"
        )
    values = as_array(values, "perturbations: values").astype(np.float32)
    size, steps = capsules.shape[1], len(values)
    changed = np.tile(capsules, (size, steps, 1, 1))  # (Q, S, J, Q)
    for dimension in range(size):
        changed[dimension, :, label, dimension] += values
    drawn = model.reconstruct(changed.reshape(-1, *capsules.shape), np.full(size * steps, label))
    drawn = drawn.reshape(size, steps, *drawn.shape[1:])
    return drawn[:, :, 0] if drawn.shape[2] == 1 else drawn


@styled
def perturbation_grid(
    images: Any,
    values: Any = PERTURBATIONS,
    *,
    numbers: Sequence[int] | None = None,
    title: str = "One number of the capsule changed at a time",
) -> Picture:
    """Draw the figure of perturbations: a row for each number of the capsule, a column for each change.

    Parameters
    ----------
    images : array-like (Q, S, H, W) or (Q, S, C, H, W)
        From `perturbations`, in [0, 1].
    values : array-like (S,)
        The changes, written below the columns.
    numbers : sequence of int, optional
        Which number of the capsule each row is, if `images` holds only some; by default 0, 1, ….
    title : str

    Returns
    -------
    Picture

    Raises
    ------
    ValueError
        If images have another shape, or values or numbers another length.

    Examples
    --------
    >>> import numpy as np
    >>> from zerohero.visualize import perturbation_grid
    >>> perturbation_grid(np.zeros((16, 11, 28, 28)))
    One number of the capsule changed at a time: 16 numbers in rows, 11 changes from −0.25 to 0.25 in columns.
    Largest mean change of a pixel: 0, in row 0.
    """
    pictures = as_array(images, "perturbation_grid: images").astype(float)
    values = as_array(values, "perturbation_grid: values").astype(float)
    if pictures.ndim not in (4, 5) or not pictures.size or values.shape != pictures.shape[1:2]:
        raise ValueError(
            f"perturbation_grid: images needs (Q, S, H, W) and values (S,), but have {pictures.shape}, {values.shape}"
        )
    rows, columns, height, width = *pictures.shape[:2], *pictures.shape[-2:]
    names = list(range(rows)) if numbers is None else [int(row) for row in numbers]
    if len(names) != rows:
        raise ValueError(f"perturbation_grid: numbers needs one for each of {rows} rows, but got {len(names)}")
    sheet = pictures if pictures.ndim == 5 else pictures[:, :, None]
    mosaic = sheet.transpose(2, 0, 3, 1, 4).reshape(sheet.shape[2], rows * height, columns * width)
    inches = min(6.6, 0.55 * columns)
    fig = Picture(figsize=(inches + 0.9, inches * rows * height / (columns * width) + 1.1), layout="constrained")
    ax = fig.subplots()
    ax.imshow(_image_pixels(mosaic, "perturbation_grid"), cmap="gray", vmin=0, vmax=1)
    ax.vlines(np.arange(1, columns) * width - 0.5, -0.5, rows * height - 0.5, colors="white", linewidth=1)
    ax.hlines(np.arange(1, rows) * height - 0.5, -0.5, columns * width - 0.5, colors="white", linewidth=1)
    ax.set_xticks((np.arange(columns) + 0.5) * width, [number(value) for value in values], fontsize=9)
    ax.set_yticks((np.arange(rows) + 0.5) * height, [str(row) for row in names], fontsize=9)
    ax.tick_params(length=0)
    ax.set(xlabel="added to the number, after squash", ylabel="which number of the capsule", title=title)
    change = np.abs(pictures - pictures[:, [np.abs(values).argmin()]]).reshape(rows, -1).mean(axis=1)
    fig.alt = (
        f"{title}: {rows} numbers in rows, {columns} changes from {number(values.min())} to {number(values.max())} in "
        f"columns. Largest mean change of a pixel: {_brief(float(change.max()))}, in row {names[int(change.argmax())]}."
    )
    return fig


# ---- parts ----------------------------------------------------------------------------------------------

_CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 41)), np.sin(np.linspace(0, 2 * np.pi, 41))])
# A face of height 2.6, and a stroke from its centre to the top that shows which way is up.
_OUTLINE = np.concatenate(
    [np.array([[1.0], [1.3]]) * np.roll(_CIRCLE[:, :-1], -10, axis=1), [[0, 0], [1.3, 0]]], axis=1
)


def _glyph(ax: Any, name: str) -> list[tuple[Any, np.ndarray]]:
    """The strokes of a part, each with its points (2, M) in the part's own coordinates."""
    bend = np.linspace(-1, 1, 21)
    strokes = {
        "eye": [np.array([[0.3], [0.17]]) * _CIRCLE, 0.08 * _CIRCLE, np.array([[-0.3, 0.3], [0.3, 0.3]])],
        "nose": [np.array([[0.0, -0.16, 0.16], [0.35, -0.2, -0.2]])],
        "mouth": [np.stack([0.5 * bend, 0.18 * bend**2 - 0.09])],
    }.get(name.split()[-1], [np.array([[-0.2, 0.2, 0.2, -0.2, -0.2], [-0.2, -0.2, 0.2, 0.2, -0.2]])])
    return [(ax.plot([], [], color=COLORS["ink"], linewidth=2.5)[0], stroke) for stroke in strokes]


def _moved(pose: np.ndarray, points: np.ndarray) -> np.ndarray:
    return pose[:2, :2] @ points + pose[:2, 2:]


def _pose(pose: Any, name: str) -> np.ndarray:
    values = as_array(pose, f"face_votes: {name}").astype(float)
    if values.shape != (3, 3):
        raise ValueError(f"face_votes: {name} needs shape (3, 3), but has shape {values.shape}")
    return values


def _plane_arrays(votes: Any, trace: Any, example: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Votes (I, J, 2), couplings (T, I, J) and outputs (T, J, 2) of one example."""
    import zerohero as zh

    votes = as_array(votes, "vote_planes: votes").astype(float)
    votes = votes[None] if votes.ndim == 3 else votes
    if votes.ndim != 4 or votes.shape[3] != 2 or not 1 <= votes.shape[1] <= MOST_VOTES.get(votes.shape[2], 0):
        raise ValueError(
            "vote_planes: votes needs (I, J, 2) or (N, I, J, 2), at most 12 input capsules for 1 or 2 parents or 8 for "
            f"3, but has shape {votes.shape}"
        )
    trace = zh.routing_trace(votes) if trace is None else trace
    if trace.couplings.shape[1:] != votes.shape[:3] or trace.v.shape[1:] != (len(votes), *votes.shape[2:]):
        raise ValueError(
            f"vote_planes: trace is of other votes: its couplings are {trace.couplings.shape[1:]}, votes {votes.shape}"
        )
    n = _example("vote_planes", example, len(votes))
    return votes[n], as_array(trace.couplings)[:, n], as_array(trace.v)[:, n]


def _example(where: str, example: int, count: int) -> int:
    if not 0 <= integer(example, where, "example") < count:
        raise ValueError(f"{where}: example needs to lie in [0, {count - 1}], but got {example}")
    return int(example)


def _parent_names(parents: Sequence[str] | None, count: int) -> list[str]:
    names = [chr(65 + j) if count <= 26 else str(j) for j in range(count)] if parents is None else list(parents)
    if len(names) != count:
        raise ValueError(f"vote_planes: parents needs one name for each of {count}, but got {len(names)}")
    return names


def _apart(angles: np.ndarray, gap: float) -> np.ndarray:
    """The angles, moved as little as keeps a gap between neighbours on the circle."""
    order = np.argsort(angles, kind="stable")
    apart = angles[order].astype(float)
    for _ in range(400):
        behind = np.roll(apart, -1)
        behind[-1] += 2 * np.pi
        short = np.maximum(0, gap - (behind - apart)) if len(apart) > 1 else np.zeros(len(apart))
        if short.max() < 1e-6:
            break
        apart = apart - short / 2 + np.roll(short, 1) / 2
    result = np.empty_like(apart)
    result[order] = apart
    return result


def _same_shape(function: Callable[[np.ndarray], Any], vectors: np.ndarray, name: str) -> np.ndarray:
    result = as_array(function(vectors), f"squash: {name}")
    if result.shape != vectors.shape:
        raise ValueError(f"squash: {name} needs to return shape {vectors.shape}, but returned {result.shape}")
    return result
