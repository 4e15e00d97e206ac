"""What the measurements of this package take for images: arrays, lists or Tensors of finite numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from zerohero.operation import plain_array
from zerohero.tensor import Tensor, move


def as_images(values: Any, where: str, name: str = "images", *, batch: bool = False) -> np.ndarray:
    """Images as a floating NumPy array (H, W), (C, H, W) or (N, C, H, W); with `batch` only the last will do."""
    values = values.data if isinstance(values, Tensor) else values
    array = plain_array(move(values, "numpy") if hasattr(values, "dtype") else values, where, name)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{where}: {name} needs numbers, but its dtype is {array.dtype}")
    if array.dtype not in (np.float32, np.float64) or not hasattr(values, "dtype"):  # lists compute in float32
        array = array.astype(np.float32)
    allowed = (4,) if batch else (2, 3, 4)
    if array.ndim not in allowed or 0 in array.shape:
        shapes = "(N, C, H, W)" if batch else "(H, W), (C, H, W) or (N, C, H, W)"
        raise ValueError(f"{where}: {name} needs shape {shapes} with none of them 0, but has shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{where}: {name} needs finite numbers, but holds NaN or infinity")
    return array
