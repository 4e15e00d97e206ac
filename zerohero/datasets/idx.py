"""The IDX format, in which MNIST and its relatives are kept. It reads arrays; what they mean is told in mnist.py."""

from __future__ import annotations

import math
import struct

import numpy as np

from zerohero.datasets.files import Source, unpacked

# The third byte of the file: the element type, big-endian where it has more than one byte.
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(source: Source, *, max_bytes: int = 1 << 30) -> np.ndarray:
    """Read an IDX file, plain or packed with gzip or xz.

    Two zero bytes, the element type, the number of axes, each axis as a big-endian 32-bit integer, the elements.

    Parameters
    ----------
    source : path, bytes or binary stream
        Memory grows with what the file really holds, not with what its header claims.
    max_bytes : int
        A header that claims more is refused.

    Returns
    -------
    ndarray
        Of the file's shape and type, in the machine's byte order.

    Raises
    ------
    ValueError
        If it isn't an IDX file, or is truncated, too long, too big or damaged.
    FileNotFoundError
        If there is no such file.

    References
    ----------
    Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits", 1998 (its page gives the format).

    Examples
    --------
    >>> from zerohero.datasets.idx import read_idx
    >>> read_idx(bytes([0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 7, 8, 9]))
    array([[7, 8, 9]], dtype=uint8)
    """
    with unpacked(source) as file:
        zeros, code, axes = struct.unpack(">HBB", file.exactly(4))
        if zeros or code not in TYPES or not 1 <= axes <= 4:
            raise file.damaged(f"an IDX file begins with 00 00, a type from 08 to 0e and 1 to 4 axes, "
                               f"but this one with {zeros:04x} {code:02x} {axes:02x}")
        shape = struct.unpack(f">{axes}I", file.exactly(4 * axes))
        dtype = np.dtype(TYPES[code])
        claimed = math.prod(shape) * dtype.itemsize
        if not 0 < claimed <= max_bytes:
            raise file.damaged(f"its header claims shape {shape}, {claimed:,} bytes, and 1 to {max_bytes:,} are taken")
        elements = file.exactly(claimed)
        file.end()
    return np.frombuffer(elements, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)
