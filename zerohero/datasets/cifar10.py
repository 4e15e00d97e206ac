"""CIFAR-10 in its binary form: 32×32 colour images in batches of 10,000 records. Bytes are fetched in files.py."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import zlib
from pathlib import Path

import numpy as np

from zerohero.datasets.dataset import Dataset
from zerohero.datasets.files import Known, Remote, Source, fetch, find, unpacked

SPLITS = ("train", "test")
FOLDER = "cifar10"
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RECORD = 1 + 3 * 32 * 32        # a label, then all red, all green, all blue pixels, row by row
BATCH = 10_000
# Length and SHA-256 as in TensorFlow Datasets' url_checksums/cifar10.txt.
ARCHIVE = Remote(FOLDER, "cifar-10-binary.tar.gz", 170_052_171,
                 "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                 ("https://www.cs.toronto.edu/~kriz/",))
# SHA-256 of the unpacked batches as in TorchVision for Ruby (ankane/torchvision-ruby, cifar10.rb).
BATCHES = {
    "train": {
        "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
        "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
        "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
        "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
        "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    },
    "test": {"test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"},
}
# What can stand in for a whole batch: the first 1,000 records of the test batch.
PIECES = {"train": {}, "test": {
    "test_batch_first1000.bin": "8314c96d7cd65618193bab23acdd5d4c4af15bf6dd00a1781d55beedf3be1ef5"}}


def available(name: str, split: str) -> bool:
    """Whether the split, or a part of it, can be loaded without a download."""
    return bool(find(FOLDER, ARCHIVE.name) or _found(BATCHES[split]) or _found(PIECES[split]))


def known(name: str) -> list[Known]:
    """Every file that can serve it: the archive, and batches and pieces in their packings."""
    parts = {part: digest for names in (*BATCHES.values(), *PIECES.values()) for part, digest in names.items()}
    return [Known(FOLDER, ARCHIVE.name, ARCHIVE.sha256, remote=ARCHIVE),
            *(Known(FOLDER, place, digest, unpacked=True) for part, digest in parts.items() for place in _places(part))]


def lacking(name: str) -> list[Remote]:
    """The archive, unless it or all batches are here."""
    whole = all(len(_found(batches)) == len(batches) for batches in BATCHES.values())
    return [] if whole or find(FOLDER, ARCHIVE.name) else [ARCHIVE]


def load(name: str, split: str, *, download: bool = True, partial: bool = True) -> Dataset:
    """CIFAR-10: 50,000 "train" and 10,000 "test" images.

    The whole split, from its batches (`data_batch_1.bin` to `_5.bin`, `test_batch.bin`, plain or with .gz or .xz) or
    from the official archive, if they are at hand. Else, with `partial`, the batches at hand, and `note` says which.
    Else a download of the archive, 170 MB.
    """
    batches = _found(BATCHES[split])
    if len(batches) < len(BATCHES[split]):
        pieces = batches or _found(PIECES[split])
        if find(FOLDER, ARCHIVE.name) or not pieces or not partial:
            return _dataset(_from_archive(fetch(ARCHIVE, download=download), BATCHES[split]), split, "")
        batches = pieces
    parts = [read_batch(path, sha256=digest) for path, digest in batches]
    count, whole = sum(len(labels) for _, labels in parts), BATCH * len(BATCHES[split])
    names = ", ".join(path.name.split(".")[0] for path, _ in batches)
    return _dataset(parts, split, "" if count == whole else f"{count:,} of the {whole:,} images: {names}")


def _found(names: dict[str, str]) -> list[tuple[Path, str]]:
    """Those of the batches that are at hand, and the SHA-256 of each."""
    paths = [(find(FOLDER, *_places(name)), digest) for name, digest in names.items()]
    return [(path, digest) for path, digest in paths if path]


def _places(batch: str) -> list[str]:
    """Where a batch may lie: by itself, or as the archive unpacks it; plain or packed."""
    return [f"{folder}{batch}{packing}" for folder in ("", "cifar-10-batches-bin/") for packing in ("", ".xz", ".gz")]


def read_batch(source: Source, *, sha256: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Read a batch of CIFAR-10's binary form, plain or packed with gzip or xz.

    Parameters
    ----------
    source : path, bytes or binary stream
        At most 10,000 records of 3,073 bytes: a label, then 32×32 red, green and blue pixels.
    sha256 : str, optional
        What the unpacked batch must have.

    Returns
    -------
    images : ndarray of uint8, shape (N, 3, 32, 32)
    labels : ndarray of uint8, shape (N,)

    Raises
    ------
    ValueError
        If it isn't such a batch, or is truncated, too long or damaged.

    References
    ----------
    A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.

    Examples
    --------
    >>> from zerohero.datasets.cifar10 import read_batch
    >>> images, labels = read_batch(bytes([6]) + bytes(3072))
    >>> images.shape, labels
    ((1, 3, 32, 32), array([6], dtype=uint8))
    """
    with unpacked(source) as file:
        data = file.up_to(BATCH * RECORD)
        file.end()
        if not data or len(data) % RECORD:
            raise file.damaged(f"a batch needs records of {RECORD:,} bytes, but it has {len(data):,} bytes")
        records = np.frombuffer(data, np.uint8).reshape(-1, RECORD)
        labels, pixels = records[:, 0], records[:, 1:]
        if labels.max() > 9:
            raise file.damaged(f"a record's label needs to be 0 to 9, but one is {labels.max()}")
        if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
            raise file.damaged("its unpacked bytes don't have the SHA-256 of the official batch")
    return pixels.reshape(-1, 3, 32, 32), labels


def _from_archive(path: Path, names: dict[str, str]) -> list[tuple[np.ndarray, np.ndarray]]:
    """The batches of a split, read out of the archive, which stays packed. Its SHA-256 was checked before."""
    parts = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if name in names and member.isfile() and (stream := archive.extractfile(member)):
                    parts[name] = read_batch(stream, sha256=names[name])
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, OverflowError, ValueError) as error:
        if "delete it" in str(error):  # a batch inside says so itself
            raise
        raise ValueError(f"{path} is damaged: {error}; delete it and load again") from None
    if lacking := names.keys() - parts.keys():
        raise ValueError(f"{path} lacks {', '.join(sorted(lacking))}; delete it and load again")
    return [parts[name] for name in names]


def _dataset(parts: list[tuple[np.ndarray, np.ndarray]], split: str, note: str) -> Dataset:
    """Batches as one set, without a second copy of their bytes."""
    labels = np.concatenate([labels for _, labels in parts]).astype(np.int64)
    images = np.empty((len(labels), 3, 32, 32), np.float32)
    start = 0
    for pixels, _ in parts:
        np.divide(pixels, np.float32(255), out=images[start:start + len(pixels)])
        start += len(pixels)
    return Dataset(images, labels, CLASS_NAMES, "cifar10", split, note=note)
