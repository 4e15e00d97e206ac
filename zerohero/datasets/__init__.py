"""Data sets by name: which there are, and how to ask for one. Each module beside this one knows one kind of set.

A module of sets offers `SPLITS`, `available(name, split)` and `load(name, split, *, ...)`. Which of `size`, `seed` and
`download` it needs, and what options it has, its `load` says by declaring them as keywords.
"""

from __future__ import annotations

import importlib
import inspect
from types import ModuleType
from typing import Any

from zerohero.datasets.dataset import Dataset
from zerohero.datasets.glyphs import glyph
from zerohero.datasets.photos import photo, photo_names

__all__ = ["Dataset", "available", "glyph", "load", "names", "photo", "photo_names"]

MODULES = {"affnist": "affnist", "cifar10": "cifar10", "digits": "digits", "faces": "digits",
           "fashion_mnist": "mnist", "glyphs": "glyphs", "kmnist": "mnist", "mnist": "mnist",
           "multimnist": "multimnist", "smallnorb": "smallnorb"}


def names() -> list[str]:
    """The names that `load` takes.

    Returns
    -------
    list of str

    Examples
    --------
    >>> from zerohero import datasets
    >>> datasets.names()
    ['affnist', 'cifar10', 'digits', 'faces', 'fashion_mnist', 'glyphs', 'kmnist', 'mnist', 'multimnist', 'smallnorb']
    """
    return sorted(MODULES)


def available(name: str, split: str = "train") -> bool:
    """Whether `load(name, split)` has what it needs on this machine; nothing is downloaded.

    Parameters
    ----------
    name, split : str
        As for `load`.

    Returns
    -------
    bool
        Also True if only part of the split is at hand; the loaded set's `note` then says so.

    Raises
    ------
    ValueError
        If there is no such set or split.
    FileNotFoundError
        If ZEROHERO_DATA names no folder.

    Examples
    --------
    >>> from zerohero import datasets
    >>> datasets.available("digits")
    True
    """
    return bool(_module(name, split, "available").available(name, split))


def load(name: str, split: str = "train", *, size: int | None = None, seed: int = 0, download: bool = True,
         **options: Any) -> Dataset:
    """Load a data set.

    ============= ================ ===================================================================================
    name          splits           what it is, and its options
    ============= ================ ===================================================================================
    digits        train, test, all 1,797 scans, 8×8, from scikit-learn; `margin`: columns of zeros around a resized scan
    faces         train, test, all 100 faces and 100 other pictures, 25×25, from scikit-image; `margin`
    glyphs        train, test      characters under a known pose (in `extra`); `n`, `characters`, `fonts`, and a number
                                   or (low, high) for `shift_x`, `shift_y`, `rotation`, `scale`, `shear`, `thickness`
    mnist         train, test      60,000 and 10,000 handwritten digits, 28×28
    fashion_mnist train, test      the same for clothes
    kmnist        train, test      the same for handwritten Japanese syllables
    cifar10       train, test      50,000 and 10,000 colour photographs, 32×32
    multimnist    train, test      `n` pairs of overlapping digits, 36×36; `source`: "mnist" or "digits"; `shift`
    affnist       train, test      digits on 40×40; in the test turned, sheared, stretched; `n`, `source`, `affine`
    smallnorb     train, test      24,300 stereo pairs of toys, two channels of 96×96; `prepared`: 48×48, standardised
    ============= ================ ===================================================================================

    mnist to cifar10 take `partial=False`: then nothing less than the whole split will do. They are looked for in the
    folders mnist, fashion-mnist, kmnist and cifar10 under `ZEROHERO_DATA`, then in the cache (`ZEROHERO_CACHE`
    moves it); parts at hand come before a download. Downloads, and files with a published SHA-256, are checked.

    Parameters
    ----------
    name, split : str
        As in the table.
    size : int, optional
        Resize the images to size × size, bilinearly; glyphs are drawn in that size, 28 if not given.
    seed : int
        For sets that are drawn (glyphs); the splits of the others are the same for everybody.
    download : bool
        Whether a set that isn't on this machine may be downloaded.
    **options
        As in the table.

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError
        If there is no such set or split, or a file is damaged.
    TypeError
        If the set has no such option.
    FileNotFoundError
        If a file is missing and `download` is False.
    ConnectionError
        If a file is missing and can't be downloaded.

    References
    ----------
    E. Alpaydin, C. Kaynak, "Optical recognition of handwritten digits", UCI, 1998 (digits). G. B. Huang et al.,
    "Labeled faces in the wild", 2007 (faces). Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten
    digits", 1998. H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST", arXiv:1708.07747. T. Clanuwat et al., "Deep
    learning for classical Japanese literature", arXiv:1812.01718 (kmnist). A. Krizhevsky, "Learning multiple layers
    of features from tiny images", 2009 (cifar10).

    Examples
    --------
    >>> from zerohero import datasets
    >>> datasets.load("digits", "test", size=28)
    Dataset('digits', 'test': 449 images of 1×28×28, 10 classes: 0 44, 1 45, 2 44, 3 46, 4 45, 5 46, 6 45, 7 45,
    8 44, 9 45)
    >>> turned = datasets.load("glyphs", n=50, characters="AB", rotation=(0, 90))
    >>> turned.images.shape, bool(turned.extra["rotation"].max() > 45)
    ((50, 1, 28, 28), True)
    """
    module = _module(name, split, "load")
    takes = inspect.signature(module.load).parameters
    common = {"size": size, "seed": seed, "download": download}
    known = [key for key in takes if key not in ("name", "split", *common)]
    for option in options:
        if option not in known:
            raise TypeError(f"datasets.load: {name!r} has no option {option!r}; it has {', '.join(known) or 'none'}")
    dataset: Dataset = module.load(name, split, **{key: common[key] for key in common if key in takes}, **options)
    return dataset if size is None or "size" in takes else dataset.resized(size)


def _module(name: str, split: str, caller: str) -> ModuleType:
    """The module that knows the set, after a look at both names."""
    if name not in MODULES:
        raise ValueError(f"datasets.{caller}: there is no data set {name!r}; there are {', '.join(names())}")
    module = importlib.import_module(f"zerohero.datasets.{MODULES[name]}")
    if split not in module.SPLITS:
        raise ValueError(f"datasets.{caller}: {name!r} has no split {split!r}; it has {', '.join(module.SPLITS)}")
    return module
