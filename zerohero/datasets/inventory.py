"""Which files of the data sets lie on this machine, where, and whether they are the right ones. It reads no images.

A module of sets whose files lie in folders offers `known(name)`, all files that can serve it, and `lacking(name)`, what
would have to be downloaded for all of it.
"""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass
from pathlib import Path

from zerohero.datasets import MODULES, files, names
from zerohero.datasets.files import CHUNK, Known, Remote

BUILT_IN = {"digits": "scikit-learn", "faces": "scikit-image", "glyphs": "drawn with matplotlib's fonts"}
DRAWN_FROM = {"affnist": "mnist", "multimnist": "mnist"}


@dataclass(frozen=True)
class Found:
    """A file that lies here: its path, in which of the two roots, its length, and what is known of it."""

    path: Path
    root: str  # "ZEROHERO_DATA" or "cache"
    size: int
    known: Known

    def verdict(self) -> str:
        """Whether these are the published bytes: "ok", "damaged", or "unknown" where no SHA-256 is published."""
        if self.known.sha256 is None:
            return "unknown"
        return "ok" if self._sha256() == self.known.sha256 else "damaged"

    def _sha256(self) -> str:
        if not self.known.unpacked:
            return files.sha256(self.path)
        digest = hashlib.sha256()
        try:
            with files.unpacked(self.path) as stream:
                while piece := stream.up_to(CHUNK):
                    digest.update(piece)
        except ValueError:  # not even packed as it should be
            return ""
        return digest.hexdigest()


@dataclass(frozen=True)
class Holding:
    """What this machine has of a data set.

    Attributes
    ----------
    name : str
    place : str
        "embedded", "ZEROHERO_DATA", "cache", both of these, or "missing".
    files : tuple of Found
        None for what is embedded, or drawn from another set.
    lacking : tuple of Remote
        What a download of all of it would fetch.
    source : str
        What it comes inside of, or is drawn from; else empty.
    """

    name: str
    place: str
    files: tuple[Found, ...]
    lacking: tuple[Remote, ...]
    source: str

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def bytes_to_fetch(self) -> int:
        return sum(remote.size for remote in self.lacking)

    @property
    def can_be_fetched(self) -> bool:
        """Whether a download of it is published."""
        return any(known.remote for known in _known(self.name))


def take(name: str) -> Holding:
    """What this machine has of a data set; nothing is downloaded, and no file is read.

    Raises
    ------
    ValueError
        If there is no such set.
    FileNotFoundError
        If ZEROHERO_DATA names no folder.

    Examples
    --------
    >>> take("digits").place, take("digits").source
    ('embedded', 'scikit-learn')
    """
    if name not in MODULES:
        raise ValueError(f"data: NAME needs to be one of {', '.join(names())}, but got {name!r}")
    if name in BUILT_IN:
        return Holding(name, "embedded", (), (), BUILT_IN[name])
    home = DRAWN_FROM.get(name, name)
    found = tuple(_found(home))
    place = ", ".join(root for root in ("ZEROHERO_DATA", "cache") if any(file.root == root for file in found))
    module = importlib.import_module(f"zerohero.datasets.{MODULES[home]}")
    own = home == name
    return Holding(name, place or "missing", found if own else (), tuple(module.lacking(home)) if own else (),
                   "" if own else home)  # fmt: skip


def fetch(name: str) -> list[Path]:
    """Download what this machine lacks of a data set, and check what it has; the files.

    Raises
    ------
    ValueError
        If there is nothing to download of this set, or a file isn't the published one.
    ConnectionError
        If no site could be reached.
    """
    holding = take(name)
    if holding.source in MODULES:
        return fetch(holding.source)
    if holding.place == "embedded":
        return []
    if not holding.can_be_fetched:
        raise ValueError(f"data: {name} isn't published for download; its owners say where to get it, and `zerohero "
                         f"data list {name}` where to put it")  # fmt: skip
    here = [file.known.remote for file in holding.files if file.known.remote]
    return [files.fetch(remote) for remote in (*here, *holding.lacking)]


def _known(name: str) -> list[Known]:
    if name in BUILT_IN:
        return []
    home = DRAWN_FROM.get(name, name)
    return list(importlib.import_module(f"zerohero.datasets.{MODULES[home]}").known(home))


def _found(name: str) -> list[Found]:
    """Every known file in both roots: one in ZEROHERO_DATA comes first, but one in the cache may be damaged as well."""
    roots = {"ZEROHERO_DATA": files.data_folder(), "cache": files.cache_folder()}
    paths = [(root, folder / known.folder / known.name, known)
             for root, folder in roots.items() if folder for known in _known(name)]  # fmt: skip
    return [Found(path, root, path.stat().st_size, known) for root, path, known in paths if path.is_file()]
