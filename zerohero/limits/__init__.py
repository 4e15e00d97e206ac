"""Where networks fail, measured: every public name; each file below asks one kind of question.

All of it takes any `Module` of this library and images (N, C, H, W) as arrays, lists or Tensors, gives NumPy arrays,
and leaves the model as it was: weights, gradients, and whether it is in training mode.

========================  ==========================================================================================
right parts, but          PARTS  ARRANGEMENTS  rearranged
elsewhere (`picasso`)
other viewpoints          warped  accuracy_curve
(`warping`)
what a transformation     layer_output  Deviation  invariance_error  equivariance_error
does to a layer
(`equivariance`)
images made to fool       fgsm  score_gap  margins  with_pixel  pixel_map  one_pixel  OnePixel
(`attacks`)
========================  ==========================================================================================

Examples
--------
>>> import zerohero as zh
>>> lenet, test = zh.weights.load("lenet5_digits"), zh.datasets.load("digits", "test", size=28)
>>> curve = zh.limits.accuracy_curve(lenet, test, "rotation", [0, 45, 90])
>>> bool(curve[0] > 0.95), bool(curve[1] < 0.8), bool(curve[2] < 0.4)
(True, True, True)
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_FILES = {
    "picasso": ("PARTS", "ARRANGEMENTS", "rearranged"),
    "warping": ("warped", "accuracy_curve"),
    "equivariance": ("layer_output", "Deviation", "invariance_error", "equivariance_error"),
    "attacks": ("fgsm", "score_gap", "margins", "with_pixel", "pixel_map", "one_pixel", "OnePixel"),
}
_FILE_OF = {name: file for file, names in _FILES.items() for name in names}
__all__ = sorted(_FILE_OF)


def __getattr__(name: str) -> Any:
    if name not in _FILE_OF:
        raise AttributeError(f"module 'zerohero.limits' has no attribute {name!r}")
    value = getattr(import_module(f".{_FILE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
