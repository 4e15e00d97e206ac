"""Arrays as bytes, to and from the process that runs a student's code. What comes back is read as hostile.

The bytes are an `.npz` file as NumPy writes it, without compression: what unpacks cannot be larger than what arrived,
and the header of an array is matched, not evaluated.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

MOST_ARRAYS = 2_000
LONGEST_STRING = 400  # bytes of an entry of a string array
MAGIC = b"\x93NUMPY\x01\x00"
HEADER = re.compile(
    rb"\{'descr': '([<>|][biufcU]\d{1,6})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,18}, ?){0,32}(?:\d{1,18})?)\), \} *\n"
)


def pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Write named arrays as an uncompressed `.npz`.

    Examples
    --------
    >>> unpack(pack({"x": np.arange(3)}))["x"].tolist()
    [0, 1, 2]
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(array), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def unpack(data: bytes) -> dict[str, np.ndarray]:
    """Read what `pack` wrote; arrays of numbers, truth values and short strings only.

    Raises
    ------
    ValueError
        If the bytes are anything else: compressed, overlapping, objects, sizes that are not the real ones.

    Examples
    --------
    >>> unpack(b"PK but not a zip")
    Traceback (most recent call last):
    ...
    ValueError: the outputs are not an uncompressed .npz of arrays: File is not a zip file
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) > MOST_ARRAYS or any(e.compress_type != zipfile.ZIP_STORED for e in entries):
                raise ValueError("compressed, or too many arrays")
            if sum(entry.file_size for entry in entries) > len(data):
                raise ValueError("arrays that overlap")
            return {entry.filename.removesuffix(".npy"): _array(archive.read(entry)) for entry in entries}
    except Exception as error:  # zipfile raises many kinds
        raise ValueError(f"the outputs are not an uncompressed .npz of arrays: {str(error)[:200]}") from error


def _array(raw: bytes) -> np.ndarray:
    """One `.npy` as an array of its own memory."""
    start = len(MAGIC) + 2
    length = int.from_bytes(raw[len(MAGIC) : start], "little")
    header = HEADER.fullmatch(raw[start : start + length])
    if not raw.startswith(MAGIC) or header is None:
        raise ValueError("an array that is not of plain numbers")
    dtype = np.dtype(header[1].decode())
    shape = tuple(int(size) for size in re.findall(rb"\d+", header[3]))
    count = math.prod(shape)
    if dtype.itemsize == 0 or count * dtype.itemsize != len(raw) - start - length:
        raise ValueError("an array whose size is not the one it claims")
    if dtype.kind == "U" and dtype.itemsize > LONGEST_STRING:
        raise ValueError("an array of long strings")
    array = np.frombuffer(raw, dtype, count, start + length)
    if dtype.kind == "b":
        array = array.view(np.uint8) != 0  # a truth value of 2 would differ from itself
    return array.reshape(shape, order="F" if header[2] == b"True" else "C").copy()


# --- values that are not arrays -----------------------------------------------------------------------------


def pack_text(value: Any) -> np.ndarray:
    """A JSON value as an array of bytes, to travel with the others."""
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


def unpack_text(array: np.ndarray) -> Any:
    return json.loads(array.astype(np.uint8).tobytes())


def encode(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """A value as JSON; its arrays go into `arrays`, a function becomes its name.

    Raises
    ------
    TypeError
        If a value has no such form.

    Examples
    --------
    >>> encode([(3, 1), 2.5], {})
    [{'tuple': [3, 1]}, 2.5]
    """
    if value is None or (isinstance(value, (bool, int, float, str)) and not isinstance(value, np.generic)):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        name = f"input {len(arrays)}"
        arrays[name] = np.asarray(value)
        return {"array" if isinstance(value, np.ndarray) else "number": name}
    if isinstance(value, list):
        return [encode(item, arrays) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [encode(item, arrays) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(key, arrays), encode(item, arrays)] for key, item in value.items()]}
    if hasattr(value, "__code__") and value.__qualname__.isidentifier():
        return {"function": value.__name__}
    raise TypeError(
        f"grading: an input of a task needs to be of arrays, numbers, strings, lists, tuples, dicts or functions of "
        f"its file's top level, but got {value!r:.80}"
    )


def decode(value: Any, arrays: Mapping[str, np.ndarray], functions: Mapping[str, Callable]) -> Any:
    """The value that `encode` was given.

    Examples
    --------
    >>> arrays = {}
    >>> decode(encode((np.eye(2), None), arrays), arrays, {})
    (array([[1., 0.],
           [0., 1.]]), None)
    """
    if isinstance(value, list):
        return [decode(item, arrays, functions) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, inside),) = value.items()
    if kind == "array":
        return arrays[inside]
    if kind == "number":
        return arrays[inside][()]
    if kind == "function":
        return functions[inside]
    if kind == "tuple":
        return tuple(decode(item, arrays, functions) for item in inside)
    return {decode(key, arrays, functions): decode(item, arrays, functions) for key, item in inside}
