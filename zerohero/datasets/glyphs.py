"""Digits and letters drawn from matplotlib's own fonts under a known pose: the set on which equivariance is measured.

Outline → thickness → shear, scale, rotation, shift → exact area that the shape covers of every pixel. All of it is
geometry on polygons in plain NumPy; matplotlib only reads the font.
"""

from __future__ import annotations

import functools
import importlib.util
import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from zerohero.arguments import integer, number
from zerohero.datasets.dataset import Dataset

SPLITS = ("train", "test")
# Files of matplotlib's wheel; fonts of the system are never looked for, so that everybody draws the same.
FONTS = {"DejaVu Sans": "DejaVuSans", "DejaVu Sans Bold": "DejaVuSans-Bold",
         "DejaVu Sans Oblique": "DejaVuSans-Oblique", "DejaVu Sans Mono": "DejaVuSansMono",
         "DejaVu Serif": "DejaVuSerif", "DejaVu Serif Bold": "DejaVuSerif-Bold", "STIX": "STIXGeneral",
         "Computer Modern": "cmr10", "Computer Modern Sans": "cmss10"}
BOX = 20 / 28                   # as in MNIST, where a digit is fitted into 20 of 28 pixels
Polygons = tuple[np.ndarray, ...]
Range = float | tuple[float, float]


def glyph(character: str, *, size: int = 28, shift: tuple[float, float] = (0, 0), rotation: float = 0,
          scale: float = 1, shear: float = 0, thickness: float = 1, font: str = "DejaVu Sans") -> np.ndarray:
    """One character under a known pose, exactly antialiased.

    The character's outline is made thicker, then sheared, scaled, rotated, all about its centre of mass, which is
    then put at the middle of the image plus `shift`. What leaves the image is cut off. Measured on 28×28 pixels, the
    centre of mass lies within 0.1 pixels of where it was put; farther off only where strokes are thinner than a
    pixel, or so thick that they touch.

    Parameters
    ----------
    character : str
        One character that the font has.
    size : int
        Height and width of the image.
    shift : (float, float)
        Pixels to the right and pixels *down*. The centre of mass lies at (size − 1) / 2 + shift.
    rotation : float
        Degrees; positive turns counter-clockwise, as one sees it.
    scale : float
        1 fits the unthickened outline into 20/28 of the image, as in MNIST; positive.
    shear : float
        Pixels to the right for every pixel upwards; positive leans to the right, as italics do.
    thickness : float
        Width of the strokes in multiples of the font's own, from 0.5 to 2.
    font : str
        One of those that come with matplotlib: "DejaVu Sans" (also Bold, Oblique, Mono), "DejaVu Serif" (also Bold),
        "STIX", "Computer Modern", "Computer Modern Sans".

    Returns
    -------
    ndarray of float32, shape (size, size)
        The share of every pixel's area that lies inside: 0 is paper, 1 is ink.

    Raises
    ------
    ValueError
        If the font lacks the character or a number is out of range.

    Examples
    --------
    >>> from zerohero import datasets
    >>> image = datasets.glyph("2", size=9)
    >>> for row in image:
    ...     print("".join("-:+*#"[round(4 * value)] for value in row))
    ---------
    --:**+---
    -----*:--
    -----*:--
    ----++---
    ---++----
    --:*::---
    --:+++:--
    ---------
    >>> right = datasets.glyph("2", size=9, shift=(1, 0))
    >>> bool(abs(right[:, 1:] - image[:, :-1]).max() < 1e-6)
    True
    """
    size = integer(size, "datasets.glyph", "size", least=1)
    if not isinstance(shift, (tuple, list, np.ndarray)) or len(shift) != 2:
        raise ValueError(f"datasets.glyph: shift needs two numbers, (right, down), but got {shift!r}")
    right, down = (number(value, "datasets.glyph", "shift", low=-1e6, high=1e6) for value in shift)
    thickness = number(thickness, "datasets.glyph", "thickness", low=0.5, high=2)
    turn = math.radians(number(rotation, "datasets.glyph", "rotation", low=-1e6, high=1e6))
    shear = number(shear, "datasets.glyph", "shear", low=-10, high=10)
    scale = number(scale, "datasets.glyph", "scale", low=0.01, high=100) * BOX * size
    shape = outline(character, font)
    if thickness != 1:
        shape = thickened(shape, (thickness - 1) / 2 * stroke_width(shape))
    # Acts on columns (right, up): rotate ∘ scale ∘ shear. The last step turns "up" into rows that go down.
    pose = (scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
            @ np.array([[1, shear], [0, 1]]))
    middle, centre = np.array([size / 2 + right, size / 2 + down]), centroid(shape)
    placed = [middle + (polygon - centre) @ pose.T * (1, -1) for polygon in shape]
    return covered(placed, size).astype(np.float32)


@functools.lru_cache(maxsize=1024)
def outline(character: str, font: str) -> Polygons:
    """The character as closed polygons (n, 2) of (right, up), scaled so that its box's larger side is 1.

    Ink lies to the left of each polygon as one walks along it: outlines run counter-clockwise, holes clockwise.
    """
    if font not in FONTS:
        raise ValueError(f"datasets.glyph: there is no font {font!r}; there are {', '.join(FONTS)}")
    if not isinstance(character, str) or len(character) != 1:
        raise ValueError(f"datasets.glyph: character needs a string of one character, but got {character!r}")
    import matplotlib
    from matplotlib.font_manager import FontProperties, get_font
    from matplotlib.path import Path
    from matplotlib.textpath import text_to_path

    file = f"{matplotlib.get_data_path()}/fonts/ttf/{FONTS[font]}.ttf"
    points: Any = []
    if get_font(file).get_char_index(ord(character)):
        # 100 units to the em: matplotlib bends curves to within a hundredth of a pixel of a 28-pixel image.
        points, codes = text_to_path.get_text_path(FontProperties(fname=file), character)
    if not len(points):
        raise ValueError(f"datasets.glyph: {font} has no outline for the character {character!r}")
    path = Path(points, codes)
    polygons = [_without_repeats(np.asarray(polygon)) for polygon in path.to_polygons(closed_only=True)]
    corners = np.concatenate(polygons)
    side = np.ptp(corners, axis=0).max()
    direction = 1 if sum(_areas(polygon).sum() for polygon in polygons) > 0 else -1
    return tuple(polygon[::direction] / side for polygon in polygons)


def _without_repeats(polygon: np.ndarray) -> np.ndarray:
    """A closed polygon's points, each once."""
    return polygon[np.linalg.norm(polygon - np.roll(polygon, 1, axis=0), axis=1) > 1e-6]


def _areas(polygon: np.ndarray) -> np.ndarray:
    """The signed areas of the triangles from the origin over each edge, positive counter-clockwise."""
    x, y = polygon.T
    return (x * np.roll(y, -1) - np.roll(x, -1) * y) / 2


def centroid(shape: Sequence[np.ndarray]) -> np.ndarray:
    """The centre of mass, (2,), of what the polygons enclose."""
    areas = [_areas(polygon) for polygon in shape]
    moment = sum(area @ (polygon + np.roll(polygon, -1, axis=0)) / 3 for area, polygon in zip(areas, shape))
    return moment / sum(area.sum() for area in areas)


def stroke_width(shape: Sequence[np.ndarray]) -> float:
    """Twice the area over the perimeter: a stroke of width w and length L has area wL and perimeter ≈ 2L."""
    perimeter = sum(np.linalg.norm(polygon - np.roll(polygon, 1, axis=0), axis=1).sum() for polygon in shape)
    return float(2 * sum(_areas(polygon).sum() for polygon in shape) / perimeter)


def thickened(shape: Sequence[np.ndarray], distance: float) -> Polygons:
    """Every edge moved outwards by `distance` (inwards if negative); corners move along their bisector."""
    moved = []
    for polygon in shape:
        along = np.roll(polygon, -1, axis=0) - polygon
        after = np.stack([along[:, 1], -along[:, 0]], axis=1) / np.linalg.norm(along, axis=1, keepdims=True)
        before = np.roll(after, 1, axis=0)
        # A bisector of length 1 / cos(half the turn); the 0.5 keeps sharp corners from becoming spikes.
        opening = np.maximum(1 + (before * after).sum(axis=1, keepdims=True), 0.5)
        moved.append(polygon + distance * (before + after) / opening)
    return tuple(moved)


def covered(shape: Sequence[np.ndarray], size: int) -> np.ndarray:
    """The share of each pixel's area inside the polygons, (size, size); points are (column, row), not rounded.

    Each edge is cut where it crosses a line of the pixel grid. A piece inside one pixel covers, to its right, its own
    height of all further pixels of the row and a trapezium of its own pixel; the sum along the row does the rest.
    Edges down count against edges up, so that only what lies between them stays.
    """
    start = np.concatenate(shape)
    step = np.concatenate([np.roll(polygon, -1, axis=0) for polygon in shape]) - start
    with np.errstate(divide="ignore", invalid="ignore"):
        # When along the edge (0..1) each grid line is crossed: (edges, 2, size + 1).
        cuts = (np.arange(size + 1) - start[:, :, None]) / step[:, :, None]
    cuts = np.clip(np.nan_to_num(cuts, nan=0, posinf=0, neginf=0), 0, 1).reshape(len(start), -1)
    cuts = np.sort(np.concatenate([np.zeros((len(start), 1)), cuts, np.ones((len(start), 1))], axis=1), axis=1)
    points = start[:, None] + cuts[:, :, None] * step[:, None]          # (edges, cuts, 2)
    height = points[:, 1:, 1] - points[:, :-1, 1]
    column, row = np.moveaxis((points[:, 1:] + points[:, :-1]) / 2, 2, 0)
    seen = (height != 0) & (row >= 0) & (row < size)
    height, row = height[seen], np.floor(row[seen]).astype(int)
    column = np.clip(column[seen], 0, size)           # left of the image: all to its right; right of it: nothing
    pixel = np.floor(column).astype(int)
    later = (column - pixel) * height
    where = row * (size + 2) + pixel
    share = np.bincount(where, height - later, size * (size + 2)) + np.bincount(where + 1, later, size * (size + 2))
    # Rounded, so that what floating point leaves of "down against up" is no ink.
    return np.clip(share.reshape(size, size + 2).cumsum(axis=1)[:, :size].round(9), 0, 1)


def available(name: str, split: str) -> bool:
    """Whether matplotlib, which brings the fonts, is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def load(name: str, split: str, *, size: int | None = None, seed: int = 0, n: int = 1000,
         characters: str = "0123456789", fonts: str | Sequence[str] = "DejaVu Sans",
         shift_x: Range = (-2, 2), shift_y: Range = (-2, 2), rotation: Range = (-20, 20), scale: Range = (0.7, 1),
         shear: Range = (-0.2, 0.2), thickness: Range = (0.8, 1.4)) -> Dataset:
    """`n` glyphs, as many of each character as can be, each under a pose drawn evenly from the ranges.

    A range is (low, high) or one number. `extra` holds the poses, as `glyph` takes them: shift_x (pixels right),
    shift_y (pixels down), rotation (degrees counter-clockwise), scale, shear, thickness, font. "train" and "test" of
    one seed are different drawings.
    """
    size = 28 if size is None else size
    n = integer(n, "datasets.load('glyphs')", "n", least=1)
    if not isinstance(characters, str) or not characters or len(set(characters)) < len(characters):
        raise ValueError(f"datasets.load('glyphs'): characters needs a string of different characters, "
                         f"but got {characters!r}")
    fonts = [fonts] if isinstance(fonts, str) else list(fonts)
    if not fonts:
        raise ValueError("datasets.load('glyphs'): fonts needs a font's name or several, but got none")
    rng = np.random.default_rng([integer(seed, "datasets.load('glyphs')", "seed", least=0), zlib.crc32(split.encode())])
    labels = rng.permutation(np.arange(n) % len(characters))
    ranges = {"shift_x": shift_x, "shift_y": shift_y, "rotation": rotation, "scale": scale, "shear": shear,
              "thickness": thickness}
    poses = {key: _drawn(rng, key, limits, n) for key, limits in ranges.items()}
    poses["font"] = np.array(fonts)[rng.integers(len(fonts), size=n)]
    images = np.stack([_posed(characters[label], size, {key: values[i] for key, values in poses.items()})
                       for i, label in enumerate(labels)])
    return Dataset(images[:, None], labels.astype(np.int64), tuple(characters), "glyphs", split, poses)


def _drawn(rng: np.random.Generator, key: str, limits: Any, n: int) -> np.ndarray:
    """`n` numbers drawn evenly from (low, high)."""
    pair = (limits, limits) if np.isscalar(limits) else tuple(limits)
    if len(pair) != 2 or not pair[0] <= pair[1]:
        raise ValueError(f"datasets.load('glyphs'): {key} needs a number or (low, high), but got {limits!r}")
    return rng.uniform(*pair, size=n)


def _posed(character: str, size: int, pose: dict[str, Any]) -> np.ndarray:
    """One glyph of a row of `Dataset.extra`."""
    shift = (pose["shift_x"], pose["shift_y"])
    rest = {key: value for key, value in pose.items() if not key.startswith("shift")}
    return glyph(character, size=size, shift=shift, **rest | {"font": str(pose["font"])})
