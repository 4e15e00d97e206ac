"""Right parts in wrong places: faces whose eyes, nose and mouth have changed places. No network is asked here."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from zerohero.arguments import shown
from zerohero.limits.images import as_images

# Rows of the 25×25 faces of `datasets.load("faces")` that hold each part: bands of five rows, one below the other.
PARTS = {"eyes": (6, 11), "nose": (11, 16), "mouth": (16, 21)}
# From top to bottom: the face itself first, then the five wrong orders.
ARRANGEMENTS = tuple(itertools.permutations(PARTS))


def rearranged(faces: Any, order: Sequence[str]) -> np.ndarray:
    """Faces whose bands of eyes, nose and mouth stand in another order, from top to bottom.

    Every pixel of the face is still there; only whole rows have changed places. Forehead, chin and the picture's
    other rows stay.

    Parameters
    ----------
    faces : array (25, 25), (C, 25, 25) or (N, C, 25, 25)
    order : sequence of str
        "eyes", "nose" and "mouth", each once; one of `ARRANGEMENTS`.

    Returns
    -------
    ndarray, the shape and dtype of `faces`

    Raises
    ------
    ValueError
        If the images have another size, or a part is missing, twice or unknown.

    References
    ----------
    The picture of a face with its parts displaced is G. Hinton's; see e.g. his talk "What is wrong with convolutional
    neural nets?", MIT, 2014. The measurement is this library's own.

    Examples
    --------
    >>> import numpy as np
    >>> face = np.arange(25.0)[:, None] * np.ones((1, 25))  # every pixel holds its row
    >>> rearranged(face, ("mouth", "nose", "eyes"))[4:23, 0].astype(int)
    array([ 4,  5, 16, 17, 18, 19, 20, 11, 12, 13, 14, 15,  6,  7,  8,  9, 10, 21, 22])
    """
    images = as_images(faces, "rearranged", "faces")
    if images.shape[-2:] != (25, 25):
        raise ValueError(f"rearranged: faces needs images of 25×25 pixels, but has shape {images.shape}")
    names = [order] if isinstance(order, str) else list(order)
    if sorted(map(str, names)) != sorted(PARTS):
        raise ValueError(f"rearranged: order needs each of {', '.join(PARTS)} once, but got {shown(order)}")
    result = images.copy()
    for name, (top, bottom) in zip(names, PARTS.values()):
        result[..., top:bottom, :] = images[..., slice(*PARTS[name]), :]
    return result
