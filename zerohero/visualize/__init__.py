"""Pictures of the course: every public drawing function by name; each file below draws one kind of thing.

Every function takes arrays (lists, NumPy arrays, Tensors, PyTorch tensors) and returns a `Picture`: a matplotlib
figure that shows itself in a notebook, closes itself, and carries its description as text (`describe(fig)`).
Nothing here imports matplotlib until the first name is used.

========================  ==========================================================================================
look (`style`)            use_style  COLORS  CYCLE  DIVERGING  SEQUENTIAL  Picture  subplots  show  describe
arrays (`arrays`)         as_array  number_grid  image  image_grid  filter_grid  histogram
one position (`steps`)    convolution_step  pooling_step
geometry (`geometry`)     output_size  windows  receptive_field_size  receptive_field
learning (`learning`)     curves  confusion_counts  confusion_matrix  worst_mistakes  probabilities
                          mean_interval  interval
the tape (`graphs`)       graph
loss surfaces             descent  surface
(`surfaces`)
capsules (`capsules`)     vote_planes  coupling_maps  squash_curve  squash_field  face_votes  reconstructions
                          PERTURBATIONS  perturbations  perturbation_grid
ImageNet (`imagenet`)     error_chart  cost_bars  durations  duration
several trainings
(`comparison`)            compare_curves
depth (`depth`)           paths  connectivity  gradient_depth  evolution  size_and_error
transfer (`transfer`)     strategy_quadrants  freezing_curves
failures (`limits`)       share_interval  shares  viewpoints  attack  margin_map
routing (`routing`)       unrolled_routing  overlaid  overlaps  logit_changes  r2_matrix  robustness
speed (`speed`)           roofline  race  thread_grid  short_time  percent
a layer (`maps`)          activations  as_grey  activation_grid  channel_picture  ChannelReport  dead_channels
                          channel_chart  Maximal  maximal_images  maximal_grid
which pixels matter       occlusion  input_gradient  saliency  grad_cam  map_similarity  randomized  heatmap  heatmaps
(`attribution`)
images for a network      Synthesis  maximize_activation  invert_features  deep_dream  climb  syntheses
(`synthesis`)
========================  ==========================================================================================

Examples
--------
>>> from zerohero.visualize import number_grid, describe
>>> fig = number_grid([[3, 2, 2], [3, 1, 1]], title="Two rows of the slide's input", highlight=(0, 1, 2, 2))
>>> print(describe(fig))
Two rows of the slide's input: 2 rows by 3 columns of numbers, from 1 to 3; marked: rows 0 to 1, columns 1 to 2.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_FILES = {
    "style": (
        "use_style",
        "COLORS",
        "CYCLE",
        "DIVERGING",
        "SEQUENTIAL",
        "Picture",
        "subplots",
        "show",
        "describe",
    ),
    "arrays": ("as_array", "number_grid", "image", "image_grid", "filter_grid", "histogram"),
    "steps": ("convolution_step", "pooling_step"),
    "geometry": ("output_size", "windows", "receptive_field_size", "receptive_field"),
    "learning": (
        "curves",
        "confusion_counts",
        "confusion_matrix",
        "worst_mistakes",
        "probabilities",
        "mean_interval",
        "interval",
    ),
    "graphs": ("graph",),
    "surfaces": ("descent", "surface"),
    "capsules": (
        "vote_planes",
        "coupling_maps",
        "squash_curve",
        "squash_field",
        "face_votes",
        "reconstructions",
        "PERTURBATIONS",
        "perturbations",
        "perturbation_grid",
    ),
    "imagenet": ("error_chart", "cost_bars", "durations", "duration"),
    "comparison": ("compare_curves",),
    "depth": ("paths", "connectivity", "gradient_depth", "evolution", "size_and_error"),
    "transfer": ("strategy_quadrants", "freezing_curves"),
    "limits": ("share_interval", "shares", "viewpoints", "attack", "margin_map"),
    "routing": ("unrolled_routing", "overlaid", "overlaps", "logit_changes", "r2_matrix", "robustness"),
    "speed": ("roofline", "race", "thread_grid", "short_time", "percent"),
    "maps": (
        "activations",
        "as_grey",
        "activation_grid",
        "channel_picture",
        "ChannelReport",
        "dead_channels",
        "channel_chart",
        "Maximal",
        "maximal_images",
        "maximal_grid",
    ),
    "attribution": (
        "occlusion",
        "input_gradient",
        "saliency",
        "grad_cam",
        "map_similarity",
        "randomized",
        "heatmap",
        "heatmaps",
    ),
    "synthesis": ("Synthesis", "maximize_activation", "invert_features", "deep_dream", "climb", "syntheses"),
}
_FILE_OF = {name: file for file, names in _FILES.items() for name in names}
__all__ = sorted(_FILE_OF)


def __getattr__(name: str) -> Any:
    if name not in _FILE_OF:
        raise AttributeError(f"module 'zerohero.visualize' has no attribute {name!r}")
    value = getattr(import_module(f".{_FILE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
