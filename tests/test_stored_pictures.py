"""The bytes in which a figure is stored in a notebook: small, and the same to the eye; not what figures show."""

import io

import numpy as np
from PIL import Image

from zerohero import visualize


def stored(fig):
    return Image.open(io.BytesIO(fig.image_bytes()))


def drawn(fig):
    """The figure's pixels before they are stored, in the same frame as the stored ones."""
    stream = io.BytesIO()
    fig.savefig(stream, format="png", bbox_inches="tight", pad_inches=0.08)
    return Image.open(stream).convert("RGB")


def test_a_drawing_is_stored_with_a_palette_and_looks_the_same():
    fig = visualize.convolution_step(np.arange(36).reshape(6, 6) - 9, [[1, 0, -2], [1, 1, 0], [0, -1, 1]])
    before, after = (np.asarray(image.convert("RGB"), int) for image in (drawn(fig), stored(fig)))
    assert stored(fig).mode == "P"
    off = np.abs(before - after).max(-1)
    assert np.mean(off > 8) < 0.005 and off.max() < 64  # the rims of some letters, nothing else


def test_a_figure_of_very_many_colours_keeps_them_all():
    colours = np.random.default_rng(0).random((3, 90, 90))
    fig = visualize.image(colours)
    assert fig.image_format == "png"
    before, after = (np.asarray(image.convert("RGB")) for image in (drawn(fig), stored(fig)))
    assert len(np.unique(after.reshape(-1, 3), axis=0)) > 5000
    assert np.array_equal(before, after)
