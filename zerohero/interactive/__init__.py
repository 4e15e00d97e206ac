"""Steppers and explorers for JupyterLab: every public name; `zerohero.visualize` draws, the core computes.

Each call returns an `Explorer`. As the last line of a cell it shows sliders (mouse, or Tab and arrow keys), the
picture, and under it one line of text that says in words what the picture shows. The same output also holds the
picture as it stood and its description, so that a page without a running kernel (GitHub, print) still teaches.
``explorer.figure()`` is that picture as a static `Picture`; ``static=True`` returns it at once. ``explorer.set(...)``
moves it from code, ``explorer.state`` says where it stands, ``explorer.close()`` lets it go.

=============================  ===============================================================================
convolution_stepper            every position of a convolution: products and their sum (lecture 01)
output_size_explorer           kernel, stride, padding, dilation: where windows lie, the formula (lecture 01)
receptive_field_explorer       what one output cell of a stack of layers sees (lecture 01)
filter_painter                 change the numbers of a filter, see a photograph's response (lecture 01)
pooling_stepper                every position of a pooling layer (lecture 02)
shift_explorer                 slide an image pixel by pixel, watch the class probabilities (lecture 02)
backprop_stepper               walk the tape backwards, gradient by gradient (lecture 03)
filter_watcher                 a layer's filters while they form (lecture 03)
engine_race                    engines that make one picture at the speed that was measured (lecture 04)
thread_explorer                one thread of a CUDA grid: what it makes, what it reads (lecture 04)
training_bill                  how long a training takes, here and elsewhere (lecture 05)
depth_explorer                 gradients, plain and residual, in networks of more and more blocks (lecture 06)
channel_explorer               a layer and a channel: what it answers to an image (lecture 08)
occlusion_explorer             slide a cover over an image, see the score of a class fall (lecture 08)
viewpoint_explorer             turn, scale, lean an image under the eyes of several networks (lecture 09)
routing_stepper                routing by agreement, iteration by iteration, in planes of votes (lecture 10)
mouth_explorer                 drag a mouth, see the agreement about the face collapse (lecture 10)
capsule_sliders                change a capsule's numbers, see what the decoder draws (lecture 11)
digit_pad                      draw a digit, networks read it at every stroke (lecture 11)
overlap_explorer               two digits in one image, drawn in red and green, also absent ones (lecture 12)
ROUTING_VOTES, PART_IN_FACE    six votes for two parents; where a face has its parts (lecture 10)
SLIDE_INPUT, SLIDE_FILTER      the worked example of lecture 01
FILTERS                        named 3 by 3 filters: identity, edges, sharpen, blur, emboss
Explorer                       what they share
=============================  ===============================================================================

ipywidgets and matplotlib are imported when the first name is used.

Examples
--------
>>> from zerohero.interactive import convolution_stepper
>>> stepper = convolution_stepper()
>>> stepper.set(position=1)
>>> print(stepper.text())
row 0, column 1: 2·1 + 2·0 + 5·(−2) + 1·1 + 1·1 + 2·0 + 4·0 + 3·(−1) + 3·1 = −6
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_FILES = {
    "explorer": ("Explorer",),
    "steppers": ("SLIDE_INPUT", "SLIDE_FILTER", "convolution_stepper", "pooling_stepper", "backprop_stepper"),
    "geometry": ("output_size_explorer", "receptive_field_explorer"),
    "photos": ("FILTERS", "filter_painter"),
    "networks": ("shift_explorer", "filter_watcher"),
    "speed": ("engine_race", "thread_explorer"),
    "bill": ("training_bill",),
    "depth": ("depth_explorer",),
    "inside": ("channel_explorer", "occlusion_explorer"),
    "viewpoint": ("viewpoint_explorer",),
    "pad": ("digit_pad",),
    "overlap": ("overlap_explorer",),
    "capsules": ("ROUTING_VOTES", "PART_IN_FACE", "routing_stepper", "mouth_explorer", "capsule_sliders"),
}
_FILE_OF = {name: file for file, names in _FILES.items() for name in names}
__all__ = sorted(_FILE_OF)


def __getattr__(name: str) -> Any:
    if name not in _FILE_OF:
        raise AttributeError(f"module 'zerohero.interactive' has no attribute {name!r}")
    value = getattr(import_module(f".{_FILE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
