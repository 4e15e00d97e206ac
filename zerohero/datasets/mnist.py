"""MNIST, Fashion-MNIST and KMNIST: ten classes of 28×28 in four IDX files each. Bytes are fetched in files.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from zerohero.datasets.dataset import Dataset
from zerohero.datasets.files import Known, Remote, fetch, find, verify
from zerohero.datasets.idx import read_idx

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Piece:
    """Part of a split in files of its own: their names and SHA-256, and whether they hold the official bytes."""

    images: tuple[str, str]
    labels: tuple[str, str]
    exact: bool


@dataclass(frozen=True)
class Family:
    """One member of the family: its files by split, and the pieces that can stand in for a split."""

    class_names: tuple[str, ...]
    files: dict[str, tuple[Remote, Remote]]
    pieces: dict[str, tuple[Piece, ...]] = field(default_factory=dict)


def _files(folder: str, sites: tuple[str, ...], *known: tuple[int, str]) -> dict[str, tuple[Remote, Remote]]:
    """The four files, in the order train images, train labels, test images, test labels."""
    names = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    remotes = [Remote(folder, name, size, digest, sites) for name, (size, digest) in zip(names, known)]
    return {"train": (remotes[0], remotes[1]), "test": (remotes[2], remotes[3])}


# Lengths and SHA-256 of the packed files as in TensorFlow Datasets' url_checksums (mnist.txt, fashion_mnist.txt,
# kmnist.txt). The four MNIST files themselves, and both label files of Fashion-MNIST, were seen to have them.
FAMILY = {
    "mnist": Family(tuple("0123456789"), _files(
        "mnist", ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        (9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        (28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        (1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        (4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"))),
    "fashion_mnist": Family(
        ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"), _files(
            # The official bucket speaks only HTTP; the SHA-256 stands in for the missing certificate.
            "fashion-mnist", ("https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
                              "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"),
            (26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            (29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            (4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            (5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5")),
        {"train": (
            # Training images 0 to 1,999, from a sprite sheet that holds their exact bytes.
            Piece(("train-first2000-images-idx3-ubyte.gz",
                   "f22187ccdaf60ba8ba633c688ffdb32f5d0268e239d82877be5684d1661de7f9"),
                  ("train-first2000-labels-idx1-ubyte.gz",
                   "eebe183fe476d171b9496a702183a5bac1aa920264ba962d5208ac2c6487ee0f"), exact=True),
            # 10,000 of the training images, shuffled, each stretched so that its brightest pixel is 255.
            Piece(("sprite10k-images-idx3-ubyte.gz",
                   "b9a80518b95598e7fe484ae2f0578fec8c6b14dae9bf9f504d81d7232254d7cd"),
                  ("sprite10k-labels-idx1-ubyte.gz",
                   "866fc9b1afe5281d8187bba9e15bae687c7a6d09e2be160b83b7ca230fd36ead"), exact=False))}),
    "kmnist": Family(("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"), _files(
        "kmnist", ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
        (18165135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"),
        (29497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"),
        (3041136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"),
        (5120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"))),
}
# SHA-256 of MNIST's files unpacked, computed from packed files that have the SHA-256 above.
UNPACKED = {
    ("mnist", "train-images-idx3-ubyte"): "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ("mnist", "train-labels-idx1-ubyte"): "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ("mnist", "t10k-images-idx3-ubyte"): "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ("mnist", "t10k-labels-idx1-ubyte"): "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


def available(name: str, split: str) -> bool:
    """Whether the split, or pieces of it, can be loaded without a download."""
    return _whole(name, split) or bool(_pieces(name, split))


def known(name: str) -> list[Known]:
    """Every file that can serve a member: as published, unpacked, and the pieces."""
    family, found = FAMILY[name], []
    for remote in (remote for pair in family.files.values() for remote in pair):
        plain = remote.name.removesuffix(".gz")
        found.append(Known(remote.folder, remote.name, remote.sha256, remote=remote))
        found.append(Known(remote.folder, plain, UNPACKED.get((remote.folder, plain))))
    folder = family.files["train"][0].folder
    pieces = [piece for split in family.pieces.values() for piece in split]
    return found + [Known(folder, *file) for piece in pieces for file in (piece.images, piece.labels)]


def lacking(name: str) -> list[Remote]:
    """What is neither here as published nor unpacked."""
    remotes = [remote for pair in FAMILY[name].files.values() for remote in pair]
    return [remote for remote in remotes if not (find(remote.folder, remote.name) or _plain(remote))]


def load(name: str, split: str, *, download: bool = True, partial: bool = True) -> Dataset:
    """A member of the MNIST family: 60,000 "train" and 10,000 "test" images for each of them.

    The whole split, if its files are at hand. Else, with `partial`, the pieces at hand of it: 2,000 exact and the
    10,000 nearly exact training images of Fashion-MNIST, less those that are in both. `extra["exact"]` tells them
    apart and `note` says what they are. Else a download.
    """
    family = FAMILY[name]
    if partial and not _whole(name, split) and (pieces := _pieces(name, split)):
        images, labels, exact = _joined(pieces)
        note = (f"{len(labels):,} of the 60,000 training images: {exact.sum():,} exact, "
                f"{(~exact).sum():,} stretched so that their brightest pixel is 255 (see extra['exact'])")
        return _dataset(images, labels, family, name, split, {"exact": exact}, note)
    images_path, labels_path = (_path(remote, download=download) for remote in family.files[split])
    return _dataset(*_pair(images_path, labels_path), family, name, split, {}, "")


def _plain(remote: Remote) -> Path | None:
    """The file as its owner may have unpacked it."""
    return find(remote.folder, remote.name.removesuffix(".gz"))


def _whole(name: str, split: str) -> bool:
    return all(find(remote.folder, remote.name) or _plain(remote) for remote in FAMILY[name].files[split])


def _path(remote: Remote, *, download: bool) -> Path:
    """The file as published, or unpacked, or downloaded."""
    plain = _plain(remote)
    if plain is None or find(remote.folder, remote.name):
        return fetch(remote, download=download)
    if (remote.folder, plain.name) in UNPACKED:
        verify(plain, UNPACKED[remote.folder, plain.name])
    return plain


def _pair(images_path: Path, labels_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 28, 28) and labels (N,), both bytes, that fit together."""
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.dtype != np.uint8 or images.shape[1:] != (28, 28):
        raise ValueError(f"{images_path} needs bytes of shape (N, 28, 28), but holds {images.dtype} {images.shape}")
    if labels.dtype != np.uint8 or labels.shape != images.shape[:1] or labels.max() > 9:
        raise ValueError(f"{labels_path} needs {len(images):,} bytes from 0 to 9, one for each image in "
                         f"{images_path.name}, but holds {labels.dtype} {labels.shape} up to {labels.max()}")
    return images, labels


def _pieces(name: str, split: str) -> list[tuple[Path, Path, Piece]]:
    """The pieces at hand."""
    folder = FAMILY[name].files[split][0].folder
    found = [(find(folder, piece.images[0]), find(folder, piece.labels[0]), piece)
             for piece in FAMILY[name].pieces.get(split, ())]
    return [(images, labels, piece) for images, labels, piece in found if images and labels]


def _joined(pieces: list[tuple[Path, Path, Piece]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pieces' images and labels, and which images are exact. No image comes twice, stretched or not."""
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    seen: set[bytes] = set()
    for images_path, labels_path, piece in pieces:
        verify(images_path, piece.images[1])
        verify(labels_path, piece.labels[1])
        images, labels = _pair(images_path, labels_path)
        keys = [image.tobytes() for image in stretched(images)]
        new = np.array([key not in seen for key in keys])
        seen.update(keys)
        parts.append((images[new], labels[new], np.full(new.sum(), piece.exact)))
    images, labels, exact = (np.concatenate(arrays) for arrays in zip(*parts))
    return images, labels, exact


def stretched(images: np.ndarray) -> np.ndarray:
    """Bytes (N, H, W) with each image's brightest pixel brought to 255, rounded down, as the second piece has them."""
    brightest = np.maximum(images.max(axis=(1, 2), keepdims=True), 1)
    return (images.astype(np.uint16) * 255 // brightest).astype(np.uint8)


def _dataset(images: np.ndarray, labels: np.ndarray, family: Family, name: str, split: str,
             extra: dict[str, np.ndarray], note: str) -> Dataset:
    pixels = np.divide(images[:, None], np.float32(255), dtype=np.float32)
    return Dataset(pixels, labels.astype(np.int64), family.class_names, name, split, extra, note)
