"""NumPy's .npz archives, read by arithmetic: every size is held against the file before memory is taken; nothing runs.

`numpy.load` believes an array's header, and takes the memory that it asks for before it looks for the numbers.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections import Counter
from pathlib import Path
from typing import IO

import numpy as np

from zerohero.arguments import listed, reason

CHUNK = 1 << 20
# What an archive may unpack to: so many times its own length, and so many bytes in any case.
TIMES, ROOM = 100, 16 << 20
HEADER = re.compile(
    rb"\{'descr': '([<>|]?[biuf]\d{1,2})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,18}, ?){0,32}(?:\d{1,18})?)\),? ?\}\s*"
)


def read_npz(source: Path) -> dict[str, np.ndarray]:
    """The arrays of numbers in an .npz file, by name.

    Parameters
    ----------
    source : Path
        Packed (`numpy.savez_compressed`) or not.

    Returns
    -------
    dict of str to array

    Raises
    ------
    ValueError
        If it is damaged, empty, holds anything but numbers, or claims more than there can be in it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/w.npz", bias=np.ones(2, np.float32))
    ...     read_npz(Path(folder, "w.npz"))
    {'bias': array([1., 1.], dtype=float32)}
    """
    try:
        with zipfile.ZipFile(source) as archive:
            members = archive.infolist()
            _check_sizes(members, source.stat().st_size)
            names = [member.filename.removesuffix(".npy") for member in members]
            if twice := [name for name, count in Counter(names).items() if count > 1]:
                raise ValueError(f"it has more than one array of the name {listed(twice)}")
            return {name: _array(archive, member) for name, member in zip(names, members)}
    except FileNotFoundError:
        raise
    except Exception as error:  # zipfile raises nearly anything
        raise ValueError(
            f"load: {str(source)!r} is damaged or no .npz file of plain arrays: {reason(error)}"
        ) from None


def _check_sizes(members: list[zipfile.ZipInfo], length: int) -> None:
    if not members:
        raise ValueError("it is empty")
    for member in members:
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{member.filename[:60]!r} is packed in a way that NumPy doesn't write")
    claimed, most = sum(member.file_size for member in members), max(TIMES * length, ROOM)
    if claimed > most:
        raise ValueError(f"its {length:,} bytes claim to unpack to {claimed:,}, and at most {most:,} are taken")


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    name = member.filename.removesuffix(".npy")[:60]
    with archive.open(member) as file:
        start = file.read(8)
        if not start.startswith(b"\x93NUMPY"):
            raise ValueError(f"{name!r} holds no numbers")
        count = file.read(2 if start[6] == 1 else 4)  # how long the header is
        text = file.read(min(int.from_bytes(count, "little"), 1 << 16))
        header = HEADER.fullmatch(text)
        if header is None:
            raise ValueError(f"{name!r} holds no numbers, by its header {text[:60].decode('latin1')!r}")
        dtype, shape = np.dtype(header[1].decode()), tuple(int(size) for size in re.findall(rb"\d+", header[3]))
        there = member.file_size - len(start) - len(count) - len(text)
        if math.prod(shape) * dtype.itemsize != there:
            raise ValueError(f"{name!r} claims shape {shape} of {dtype}, but {there:,} bytes are there")
        numbers = np.frombuffer(_read(file, there), dtype) if there else np.empty(0, dtype)
    return numbers.reshape(shape, order="F" if header[2] == b"True" else "C")


def _read(file: IO[bytes], count: int) -> bytearray:
    """`count` bytes and the checksum behind them; memory grows with what is there, not with what was claimed."""
    data = bytearray()
    while len(data) < count and (piece := file.read(min(CHUNK, count - len(data)))):
        data += piece
    if len(data) < count:
        raise ValueError(f"it ends {count - len(data):,} bytes early")
    return data
