"""Photographs that come with scikit-image. Single pictures without labels; nothing is downloaded."""

from __future__ import annotations

import numpy as np

# Those that lie inside scikit-image's wheel; its others would be downloaded.
PHOTOS = ("astronaut", "brick", "camera", "cat", "chelsea", "clock", "coffee", "coins", "grass", "gravel",
          "hubble_deep_field", "immunohistochemistry", "moon", "page", "retina", "rocket", "text")


def photo(name: str) -> np.ndarray:
    """A photograph from scikit-image.

    Parameters
    ----------
    name : str
        One of `photo_names()`; "cat" is the cat that scikit-image also calls "chelsea".

    Returns
    -------
    ndarray of float32, shape (C, H, W)
        In [0, 1]; C is 3 (red, green, blue) or 1 (grey).

    Raises
    ------
    ValueError
        If there is no such photograph.
    ImportError
        If scikit-image isn't installed.

    Examples
    --------
    >>> from zerohero import datasets
    >>> datasets.photo("astronaut").shape
    (3, 512, 512)
    >>> datasets.photo("camera").shape
    (1, 512, 512)
    """
    if name not in PHOTOS:
        raise ValueError(f"datasets.photo: there is no photograph {name!r}; there are {', '.join(PHOTOS)}")
    try:
        import skimage.data
    except ImportError:
        raise ImportError("datasets.photo: the photographs come with scikit-image, which is not installed: "
                          "pip install 'zerohero[course]'") from None
    pixels = getattr(skimage.data, name)()
    image = np.atleast_3d(pixels).transpose(2, 0, 1)
    return np.divide(image, np.float32(255), dtype=np.float32, order="C")


def photo_names() -> list[str]:
    """The names that `photo` takes.

    Returns
    -------
    list of str

    Examples
    --------
    >>> from zerohero import datasets
    >>> "coffee" in datasets.photo_names()
    True
    """
    return list(PHOTOS)
