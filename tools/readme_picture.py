"""The README's picture, drawn by the library: `python tools/readme_picture.py` writes docs/_static/zerohero.png."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

import zerohero as zh
from zerohero import visualize
from zerohero.interactive import FILTERS, ROUTING_VOTES

FILE = Path(__file__).resolve().parent.parent / "docs" / "_static" / "zerohero.png"
COLORS = visualize.COLORS
WORDS = (
    "Four pictures. A photograph of a man with a camera. The response of a filter of nine numbers to it: upright "
    "edges are blue or orange, the rest is white. Six votes drawn as lines; four agree and are thick, two don't "
    "and are thin, and a black arrow is the capsule's answer. A handwritten digit drawn five times in each of "
    "five rows, as one number of a capsule changes from left to right."
)


def draw() -> visualize.Picture:
    """From a filter to a capsule, in four steps: photograph, response, votes, and a digit drawn from a capsule."""
    fig, axes = visualize.subplots(1, 4, width=11, height=2.75)
    _filter(*axes[:2])
    _votes(axes[2])
    _knob(axes[3])
    fig.alt = WORDS
    return fig


def _filter(photo_ax, response_ax) -> None:
    photo = zh.avg_pool2d(zh.datasets.photo("camera")[:, 20:479, 20:479], 3)
    response = zh.conv2d(photo, FILTERS["vertical edges"][None, None])[0]
    photo_ax.imshow(photo[0], cmap="gray")
    response_ax.imshow(response, cmap=visualize.DIVERGING, vmin=-2, vmax=2)
    photo_ax.set_title("a photograph")
    response_ax.set_title("nine numbers find edges")
    for ax in (photo_ax, response_ax):
        ax.axis("off")


def _votes(ax) -> None:
    votes = ROUTING_VOTES[:, 0]  # six votes for parent A
    trace = zh.routing_trace(ROUTING_VOTES[None], iterations=3)
    for (x, y), share in zip(votes, trace.couplings[-1, 0, :, 0]):
        ax.plot([0, x], [0, y], color=COLORS["input"], linewidth=8 * share, solid_capstyle="butt")
        ax.plot(x, y, "o", color=COLORS["input"], markersize=7)
    arrow = {"color": COLORS["ink"], "width": 2, "headwidth": 8, "headlength": 8}
    ax.annotate("", trace.v[-1, 0, 0], (0, 0), arrowprops=arrow)
    ax.set(xlim=(-1.6, 1.5), ylim=(-1.6, 1.5), aspect="equal", title="votes that agree are heard")
    ax.axis("off")


def _knob(ax) -> None:
    model = zh.weights.load("capsnet_mnist")
    scans = zh.datasets.load("digits", "test", size=28)
    row = int(np.flatnonzero(scans.labels == 5)[0])
    v = model(zh.Tensor(scans.images[row : row + 1])).data  # (1, 10, 16)
    drawn = visualize.perturbations(model, v, label=5)  # (16, 11, 28, 28)
    most = np.argsort(-drawn.std(axis=1).sum(axis=(1, 2)))[:5]  # the numbers that change it most
    strip = np.concatenate([np.concatenate(list(drawn[number, [0, 2, 5, 8, 10]]), axis=1) for number in most])
    ax.imshow(1 - strip, cmap="gray")
    ax.set_title("one number, turned like a knob")
    ax.axis("off")


if __name__ == "__main__":
    Image.open(io.BytesIO(draw().image_bytes())).convert("RGB").quantize(128).save(FILE, optimize=True)
    print(f"{FILE.name}: {FILE.stat().st_size / 1000:.0f} kB")
