"""Finding, fetching, checking and unpacking files. It knows bytes and folders, not what images look like."""

from __future__ import annotations

import gzip
import hashlib
import io
import logging
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

CHUNK = 1 << 20
XZ_MEMORY = 80 << 20            # xz -9 needs 65 MiB; a header that asks for more is refused before it is given any
Source = str | Path | bytes | IO[bytes]


@dataclass(frozen=True)
class Remote:
    """A public file: the folder it is kept in, its name, its length, its SHA-256 and where it can be had."""

    folder: str
    name: str
    size: int
    sha256: str
    sites: tuple[str, ...]


@dataclass(frozen=True)
class Known:
    """A file that can serve a data set: where it lies below a root, its SHA-256 if one is published, its download."""

    folder: str
    name: str
    sha256: str | None = None
    unpacked: bool = False          # whether that SHA-256 is of the unpacked bytes
    remote: Remote | None = None


def data_folder() -> Path | None:
    """The folder that `ZEROHERO_DATA` names, or None."""
    named = os.environ.get("ZEROHERO_DATA")
    if not named:
        return None
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"ZEROHERO_DATA is {named!r}, but {folder.absolute()} is not a folder; "
                                "give it an absolute path, or unset it")
    return folder


def cache_folder() -> Path:
    """Where downloads are kept: `ZEROHERO_CACHE`, or the system's place for caches."""
    named = os.environ.get("ZEROHERO_CACHE")
    if named:
        return Path(named).expanduser()
    import pooch

    return Path(pooch.os_cache("zerohero"))


def find(folder: str, *names: str) -> Path | None:
    """The first of `names` in `folder`, first under ZEROHERO_DATA, then in the cache."""
    for root in (data_folder(), cache_folder()):
        for name in names:
            if root is not None and (root / folder / name).is_file():
                return root / folder / name
    return None


def fetch(remote: Remote, *, download: bool = True) -> Path:
    """The file on this machine, checked against its SHA-256; downloaded into the cache if need be.

    Raises
    ------
    FileNotFoundError
        If it is not here and `download` is False.
    ConnectionError
        If it is not here and no site could be reached.
    ValueError
        If the file here, or what the sites sent, is another one.
    OSError
        If it can't be written: a full disk, say. The cache is left as it was, but for a damaged file.
    """
    path = find(remote.folder, remote.name)
    cached = cache_folder() / remote.folder / remote.name
    if path is not None:
        if path != cached or not download or sha256(path) == remote.sha256:
            verify(path, remote.sha256)
            return path
    elif not download:
        raise FileNotFoundError(f"{missing(remote)}; {remedy(remote)}, or load with download=True")
    why = missing(remote) if path is None else f"{cached} is damaged or another file than {cached.name} should be"
    return _download(remote, cached, why)


def missing(remote: Remote) -> str:
    """The half sentence that says where a file was looked for."""
    named = os.environ.get("ZEROHERO_DATA")
    data = f"ZEROHERO_DATA ({named})" if named else "ZEROHERO_DATA (which is not set)"
    return f"{remote.folder}/{remote.name} is neither in {data} nor in the cache ({cache_folder()})"


def remedy(remote: Remote) -> str:
    """The half sentence that says what to do about a missing file."""
    return (f"put it into {cache_folder() / remote.folder}, "
            f"or set ZEROHERO_DATA to a folder that holds {remote.folder}/{remote.name}")


_digests: dict[tuple[Path, int, int], str] = {}


def sha256(path: Path) -> str:
    """A file's SHA-256, computed once in a process unless the file changes."""
    status = path.stat()
    key = (path, status.st_mtime_ns, status.st_size)
    if key not in _digests:
        with open(path, "rb") as stream:
            _digests[key] = hashlib.file_digest(stream, "sha256").hexdigest()
    return _digests[key]


def verify(path: Path, expected: str) -> None:
    """Raise ValueError unless the file has that SHA-256."""
    found = sha256(path)
    if found != expected:
        raise ValueError(f"{path} is damaged or another file than {path.name} should be: its SHA-256 is "
                         f"{found[:12]}… instead of {expected[:12]}…; delete it and load again")


class _TooLong(ValueError):
    pass


def _download(remote: Remote, target: Path, why: str) -> Path:
    """Try the sites in turn. Only a file of the right SHA-256 ever gets its name; nothing else is left behind.

    `why` is the half sentence that says what is wrong without a download.
    """
    import pooch
    import requests

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PermissionError(f"the cache {target.parent} cannot be made ({error.strerror}); "
                              "set ZEROHERO_CACHE to a folder that can be written") from None
    logger = pooch.get_logger()
    level = logger.level
    refused, wrong = [], []
    for site in remote.sites:
        logger.setLevel(logging.WARNING)      # the progress bar says what there is to say
        try:
            pooch.retrieve(site + remote.name, known_hash=f"sha256:{remote.sha256}", fname=target.name,
                           path=target.parent, downloader=_downloader(remote))
            return target
        except requests.RequestException as error:
            refused.append(f"{site}: {type(error).__name__}")
        except OSError as error:              # of this machine's disk: requests gives those of the network other names
            failed = OSError(f"{target} could not be written ({error.strerror or error}); it needs {remote.size:,} "
                             "bytes: make room there, or set ZEROHERO_CACHE to a folder on another disk")
            failed.errno = error.errno
            raise failed from None
        except ValueError as error:
            wrong.append(f"{site} {'sent more bytes' if isinstance(error, _TooLong) else 'sent another file'}")
        finally:
            logger.setLevel(level)
    if wrong:
        raise ValueError(f"{why}, and no download had the {remote.size:,} bytes and the SHA-256 of the "
                         f"real one ({'; '.join(wrong + refused)}); try again later, or {remedy(remote)}")
    raise ConnectionError(f"{why}, and it could not be downloaded ({'; '.join(refused)}); "
                          f"{remedy(remote)}")


def _downloader(remote: Remote) -> Callable[[str, str, Any], None]:
    """A downloader for pooch that shows a bar for big files and stops once a site sends more than it should."""
    import pooch

    def download(url: str, path: str, pup: Any) -> None:
        get = pooch.HTTPDownloader(progressbar=remote.size > CHUNK, chunk_size=CHUNK // 16, timeout=(10, 60),
                                   headers={"Accept-Encoding": "identity"})
        with open(path, "wb") as stream:
            get(url, _Limited(stream, remote.size), pup)

    return download


class _Limited:
    """A file that takes no more than `room` bytes."""

    def __init__(self, stream: IO[bytes], room: int) -> None:
        self.stream, self.room = stream, room
        self.flush = stream.flush

    def write(self, data: bytes) -> int:
        self.room -= len(data)
        if self.room < 0:
            raise _TooLong("more bytes than the file has")
        return self.stream.write(data)


class Unpacked:
    """The bytes of a plain, gzip or xz file, read piece by piece, never more than was asked for.

    Which of the three it is, its first bytes tell. Damage of any kind is a ValueError with the file's name.
    """

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self.name = name
        self._read: Callable[[int], bytes] = stream.read
        start = stream.read(6)
        stream.seek(-len(start), os.SEEK_CUR)
        if start.startswith(b"\x1f\x8b"):
            self._read = gzip.GzipFile(fileobj=stream).read
        elif start == b"\xfd7zXZ\x00":
            self._read = _XZ(stream).read

    def up_to(self, count: int) -> bytearray:
        """At most `count` bytes; memory grows with what is there, not with what was asked for."""
        data = bytearray()
        try:
            while len(data) < count and (piece := self._read(min(CHUNK, count - len(data)))):
                data += piece
        except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
            raise self.damaged(str(error).rstrip(".")) from None
        return data

    def exactly(self, count: int) -> bytearray:
        """`count` bytes."""
        data = self.up_to(count)
        if len(data) < count:
            raise self.damaged(f"it ends {count - len(data):,} bytes early")
        return data

    def end(self) -> None:
        """Nothing follows, and the checksums at the end of gzip and xz files are right."""
        if self.up_to(1):
            raise self.damaged("more bytes follow than its header says")

    def damaged(self, how: str) -> ValueError:
        """The error for this file."""
        return ValueError(f"{self.name} is damaged or not what its name says: {how}; delete it and load again")


class _XZ:
    """Reads an xz stream within a limit on memory, which `lzma.open` lacks."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.unpack = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)

    def read(self, count: int) -> bytes:
        while not self.unpack.eof:
            packed = self.stream.read(CHUNK // 16) if self.unpack.needs_input else b""
            if self.unpack.needs_input and not packed:
                raise EOFError("the xz stream ends early")
            if data := self.unpack.decompress(packed, max_length=count):
                return data
        if self.unpack.unused_data or self.stream.read(1):
            raise lzma.LZMAError("something follows the xz stream")
        return b""


@contextmanager
def unpacked(source: Source) -> Iterator[Unpacked]:
    """Open a path, bytes or a binary stream that can seek."""
    if isinstance(source, (str, Path)):
        with open(source, "rb") as stream:
            yield Unpacked(stream, str(source))
    elif isinstance(source, (bytes, bytearray)):
        yield Unpacked(io.BytesIO(source), "the buffer")
    else:
        yield Unpacked(source, str(getattr(source, "name", "the stream")))
