"""MATLAB's files (level 5), as far as a struct of arrays of numbers goes. Which struct and what it means is told by
who reads it; affnist.py does.

Sizes are held against what the caller takes before memory is, and memory grows with what is there.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

CHUNK = 1 << 20
MATRIX, PACKED, STRUCT = 14, 15, 2
# Types of stored numbers, and classes of arrays.
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}


def read_struct(path: Path, name: str, fields: tuple[str, ...], *, max_bytes: int = 1 << 30) -> dict[str, np.ndarray]:
    """Those of the fields that a MATLAB file's 1×1 struct has, as arrays.

    Parameters
    ----------
    path : Path
        A file as MATLAB's `save` writes it with -v6 or -v7.
    name : str
        Of the struct.
    fields : tuple of str
        All other fields are passed over, whatever they hold.
    max_bytes : int
        A field that claims more is refused.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    ValueError
        If it is no such file, damaged, or a field isn't an array of real numbers.

    References
    ----------
    The MathWorks, "MAT-File Format", level 5.

    Examples
    --------
    >>> import tempfile
    >>> from scipy.io import savemat
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     savemat(f"{folder}/a.mat", {"point": {"x": [[1.0, 2.0]], "label": "text"}})
    ...     read_struct(Path(folder, "a.mat"), "point", ("x", "y"))
    {'x': array([[1., 2.]])}
    """
    with open(path, "rb") as file:
        header = file.read(128)
        order = {b"\0\1IM": "<", b"\1\0MI": ">"}.get(header[124:])
        if order is None:
            raise ValueError("it doesn't begin as MATLAB's files do")
        for kind, part in _Part(file.read, math.inf, order).elements():
            inside = next(_Part(_unpacking(part), math.inf, order).elements(), (0, part)) if kind == PACKED else None
            kind, part = inside or (kind, part)
            if kind == MATRIX and (found := _struct(part, name, fields, max_bytes)) is not None:
                return found
    raise ValueError(f"it holds no struct {name}")


class _Part:
    """Bytes of a file that belong together: `left` of them, read in order."""

    def __init__(self, read: Callable[[int], bytes], left: float, order: str) -> None:
        self.read, self.left, self.order = read, left, order

    def some(self, count: int) -> bytes:
        """At most `count` bytes, none at the end."""
        data = self.read(int(min(count, self.left, CHUNK)))
        self.left -= len(data)
        return data

    def exactly(self, count: int) -> bytearray:
        data = bytearray()
        while len(data) < count:
            if not (piece := self.some(count - len(data))):
                raise ValueError(f"it ends {count - len(data):,} bytes early")
            data += piece
        return data

    def pass_over(self) -> None:
        while self.left and self.some(CHUNK):
            pass

    def elements(self) -> Iterator[tuple[int, _Part]]:
        """Yield what lies in here, piece by piece: (type, its bytes); what isn't read of one is passed over."""
        while self.left >= 8 and (tag := self.some(1)):
            tag += self.exactly(7)
            kind, size = struct.unpack(f"{self.order}II", tag)
            if kind >> 16:  # a short element: both in four bytes, and the bytes beside them
                size, kind = kind >> 16, kind & 0xFFFF
                if size > 4:
                    raise ValueError(f"an element of 4 bytes claims {size}")
                yield kind, _Part(io.BytesIO(tag[4:]).read, size, self.order)
                continue
            if size > self.left:
                raise ValueError(f"an element claims {size:,} bytes of {self.left:,.0f}")
            part = _Part(self.some, size, self.order)
            yield kind, part
            part.pass_over()
            if kind != PACKED and size % 8 and self.left:
                self.exactly(int(min(-size % 8, self.left)))


def _unpacking(part: _Part) -> Callable[[int], bytes]:
    """A read of what a packed element holds."""
    unpack = zlib.decompressobj()

    def read(count: int) -> bytes:
        while count and not unpack.eof:
            packed = unpack.unconsumed_tail or part.some(1 << 14)
            if not packed:
                raise ValueError("a packed element ends early")
            if data := unpack.decompress(packed, count):
                return data
        return b""

    return read


def _next(elements: Iterator[tuple[int, _Part]], kind: int, most: int) -> bytearray:
    """The bytes of the next element, which needs to be of that type."""
    found, part = next(elements, (0, None))
    if part is None or found != kind or part.left > most:
        raise ValueError(f"an element of type {kind} is missing")
    return part.exactly(int(part.left))


def _head(elements: Iterator[tuple[int, _Part]], order: str) -> tuple[int, tuple[int, ...], str]:
    """An array's class, shape and name."""
    flags = struct.unpack(f"{order}II", _next(elements, 6, 8).ljust(8, b"\0"))[0]
    sizes = _next(elements, 5, 4 * 32)
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes[: len(sizes) // 4 * 4])
    if flags & 0x0800 or len(shape) < 2 or min(shape) < 0:
        raise ValueError(f"an array is complex or has shape {shape}")
    return flags & 0xFF, shape, _next(elements, 1, 64).decode("latin1")


def _struct(part: _Part, name: str, fields: tuple[str, ...], most: int) -> dict[str, np.ndarray] | None:
    """The fields of a struct, if the array is one and has that name."""
    elements = part.elements()
    kind, shape, found = _head(elements, part.order)
    if kind != STRUCT or found != name:
        return None
    if math.prod(shape) != 1:
        raise ValueError(f"struct {name} needs to be one, but has shape {shape}")
    (width,) = struct.unpack(f"{part.order}i", _next(elements, 5, 4).ljust(4, b"\0"))
    names = bytes(_next(elements, 1, 1 << 16))
    if not 1 <= width <= 64:
        raise ValueError(f"struct {name} has field names of {width} bytes")
    values = {}
    for start in range(0, len(names), width):
        each = names[start : start + width].split(b"\0")[0].decode("latin1")
        inside, array = next(elements, (0, None))
        if array is None or inside != MATRIX:
            raise ValueError(f"field {each!r} is missing")
        if each in fields:
            values[each] = _numbers(array, each, most)
    return values


def _numbers(part: _Part, name: str, most: int) -> np.ndarray:
    """An array of real numbers."""
    elements = part.elements()
    kind, shape, _ = _head(elements, part.order)
    stored, content = next(elements, (0, None))
    if kind not in CLASSES or stored not in STORED or content is None:
        raise ValueError(f"field {name!r} is no array of numbers")
    dtype, count = np.dtype(part.order + STORED[stored]), math.prod(shape)
    if content.left != count * dtype.itemsize or not 0 < count * np.dtype(CLASSES[kind]).itemsize <= most:
        raise ValueError(f"field {name!r} claims shape {shape} of {dtype}, but has {content.left:,.0f} bytes")
    values = np.frombuffer(content.exactly(int(content.left)), dtype)
    return values.astype(CLASSES[kind], copy=False).reshape(shape, order="F")
