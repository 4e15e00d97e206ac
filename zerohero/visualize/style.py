"""The look of the course: style, colours by role, figures that carry their description; nothing is plotted here."""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Callable
from typing import Any, TypeVar

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure

# Okabe and Ito's colours, which people with any colour vision can tell apart; their yellow is left out, because
# a yellow line on white paper is hard to see for everybody.
CYCLE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#000000")

# One colour, one meaning, in every lecture.
COLORS = {
    "positive": "#0072B2",
    "negative": "#D55E00",
    "highlight": "#E69F00",
    "input": "#56B4E9",
    "filter": "#CC79A7",
    "output": "#009E73",
    "train": "#0072B2",
    "validation": "#D55E00",
    "neutral": "#6B6B6B",
    "grid": "#D9D9D9",
    "ink": "#1A1A1A",
    "paper": "#FFFFFF",
}

# From little to much: readable with any colour vision, and in grey.
SEQUENTIAL = "cividis"
# Negative numbers orange, zero white, positive numbers blue: the same two colours as in COLORS.
DIVERGING = LinearSegmentedColormap.from_list(
    "zerohero_diverging", ["#6E2C00", COLORS["negative"], "#FFFFFF", COLORS["positive"], "#003A5C"], N=257
)  # an odd number of colours, so that zero is exactly white

STYLE: Any = {
    "figure.dpi": 100,
    "savefig.dpi": "figure",
    "figure.figsize": (7.0, 4.0),
    "figure.constrained_layout.use": False,  # every Picture says so itself; `use_style` turns it on for other figures
    "figure.facecolor": COLORS["paper"],
    "figure.titlesize": 13,
    "font.family": "DejaVu Sans",  # ships with matplotlib, so every machine draws the same letters
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titlepad": 8,
    "axes.labelsize": 11,
    "axes.labelcolor": COLORS["ink"],
    "axes.edgecolor": COLORS["neutral"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=CYCLE),
    "axes.grid": False,
    "axes.unicode_minus": True,
    "grid.color": COLORS["grid"],
    "grid.linewidth": 0.8,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "xtick.color": COLORS["neutral"],
    "ytick.color": COLORS["neutral"],
    "xtick.labelcolor": COLORS["ink"],
    "ytick.labelcolor": COLORS["ink"],
    "legend.fontsize": 10,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
    "lines.markersize": 5,
    "image.cmap": SEQUENTIAL,
    "image.interpolation": "nearest",
    "text.color": COLORS["ink"],
}

MOST_COLORS = 4096  # of a drawing with its smoothed letters and lines; photographs have more

# What every Picture is drawn with: nothing of a reader's own settings shines through.
OTHERS = ("backend", "interactive", "timezone", "toolbar", "webagg")
WHOLE_STYLE: Any = {k: v for k, v in matplotlib.rcParamsDefault.items() if not k.startswith(OTHERS)} | STYLE

Drawing = TypeVar("Drawing", bound=Callable[..., Any])


def styled(draw: Drawing) -> Drawing:
    """Run a drawing function under the course's style, whatever the reader's own settings are."""

    @functools.wraps(draw)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with matplotlib.rc_context(WHOLE_STYLE):
            return draw(*args, **kwargs)

    return wrapper  # type: ignore[return-value]


class Picture(Figure):
    """A matplotlib figure that shows itself once in a notebook and says in words what is to be seen.

    It is not registered with pyplot, so it is never shown twice and never needs closing. As the last line of a
    cell, or through `show`, it becomes an image with its description as the plain-text form of the same output
    (and as the ``alt`` of the image where the page honours it).

    Attributes
    ----------
    alt : str
        What is to be seen. Assign to replace the description that the drawing functions wrote.
    image_format : {"png", "jpeg"}
        How a notebook stores it; photographs are stored as JPEG, a tenth of the size.
    moving : list of matplotlib.artist.Artist
        In a picture that is drawn again and again: all that changes, and what lies over it. See `pixels`.

    Examples
    --------
    >>> from zerohero.visualize import Picture
    >>> fig = Picture()
    >>> fig.alt = "An empty sheet."
    >>> fig
    An empty sheet.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        FigureCanvasAgg(self)
        self.image_format = "png"
        self._sentences: list[str] = []
        self.moving: list[Any] = []
        self._still: Any = None  # the pixels of everything else

    @property
    def alt(self) -> str:
        return " ".join(self._sentences) or _titles(self)

    @alt.setter
    def alt(self, text: str) -> None:
        self._sentences = [text] if text else []

    def add_sentence(self, sentence: str) -> None:
        """Add one sentence to the description."""
        self._sentences.append(sentence)

    def image_bytes(self) -> bytes:
        """The picture as PNG or JPEG bytes (see `image_format`), nothing cut off at the edges."""
        return _encode(self, self.image_format)

    def pixels(self) -> np.ndarray:
        """The picture as it is now, (H, W, 3) bytes; nothing but `moving` is drawn a second time.

        What moves is drawn over the rest, and the edges of its axes over it, as matplotlib does.
        """
        canvas: Any = self.canvas
        if self._still is None:
            for artist in self._movers():
                artist.set_animated(True)  # leaves it out
            canvas.draw()
            for artist in self._movers():
                artist.set_animated(False)
            self._still = canvas.copy_from_bbox(self.bbox) if self.moving else None
        else:
            canvas.restore_region(self._still)
        with matplotlib.rc_context(WHOLE_STYLE):
            for artist in self._movers():
                artist.draw(canvas.get_renderer())
        return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])

    def _movers(self) -> list[Any]:
        axes = [ax for ax in self.axes if ax.axison and any(artist.axes is ax for artist in self.moving)]
        edges = [edge for ax in axes for edge in ax.spines.values()]
        return sorted([*self.moving, *edges], key=lambda artist: artist.zorder)

    def draw(self, renderer: Any) -> None:
        with matplotlib.rc_context(WHOLE_STYLE):  # ticks are made while drawing, and must look like the rest
            super().draw(renderer)

    def __repr__(self) -> str:
        return self.alt

    __str__ = __repr__

    def _ipython_display_(self) -> None:
        _publish(self.image_bytes(), self.image_format, self.alt)


def use_style() -> None:
    """Make the course's style the default of matplotlib, for figures of your own; calling it again changes nothing.

    Examples
    --------
    >>> import zerohero.visualize as visualize
    >>> visualize.use_style()
    """
    matplotlib.rcParams.update(STYLE | {"figure.constrained_layout.use": True})
    try:
        from IPython.core.getipython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:
        return
    if get_ipython() is not None:
        set_matplotlib_formats("png")


@styled
def subplots(
    rows: int = 1,
    columns: int = 1,
    *,
    width: float | None = None,
    height: float | None = None,
    title: str | None = None,
    alt: str = "",
    photo: bool = False,
    layout: str = "constrained",
    **options: Any,
) -> tuple[Picture, Any]:
    """Make a `Picture` with axes on it, as `matplotlib.pyplot.subplots` does, in the style of the course.

    Parameters
    ----------
    rows, columns : int
        How many axes.
    width, height : float, optional
        Inches; by default 3.6 by 3.2 for each of the axes, at most 9.5 wide.
    title : str, optional
        Heading over all axes.
    alt : str
        What is to be seen, in a sentence.
    photo : bool
        Store it as JPEG in notebooks.
    layout : {"constrained", "compressed", "none"}
        How matplotlib spaces the axes; "compressed" closes the gaps between images.
    **options
        Passed on to `matplotlib.figure.Figure.subplots` (``sharex``, ``width_ratios``, ...).

    Returns
    -------
    (Picture, Axes or array of Axes)

    Examples
    --------
    >>> from zerohero.visualize import subplots
    >>> fig, axes = subplots(1, 2, alt="Two empty axes.")
    >>> len(axes), fig
    (2, Two empty axes.)
    """
    size = (width or min(9.5, max(5.0, 3.6 * columns)), height or 3.2 * rows)
    fig = Picture(figsize=size, layout=layout)
    fig.image_format = "jpeg" if photo else "png"
    fig.alt = alt
    if title:
        fig.suptitle(title)
    return fig, fig.subplots(rows, columns, **options)


def show(fig: Figure, alt: str | None = None, *, photo: bool | None = None) -> None:
    """Show a figure at this place of the notebook, with its description; outside notebooks print the description.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
        A `Picture`, or a figure of your own (which is then closed, so that it does not appear a second time).
    alt : str, optional
        Description that replaces the figure's own.
    photo : bool, optional
        Store as JPEG (True) or PNG (False); by default what the figure says, or PNG.

    Examples
    --------
    >>> from zerohero.visualize import show, subplots
    >>> show(subplots()[0], alt="A frame with nothing in it.")
    A frame with nothing in it.
    """
    if isinstance(fig, Picture):
        image_format = fig.image_format
        fig.alt = alt or fig.alt
    else:
        image_format = "png"
        _close(fig)
    if photo is not None:
        image_format = "jpeg" if photo else "png"
    text = alt or describe(fig)
    if _in_notebook():
        _publish(_encode(fig, image_format), image_format, text)
    else:
        print(text)


def describe(fig: Figure) -> str:
    """What is to be seen in a figure, as text: its own description, else its titles and axis labels.

    Examples
    --------
    >>> from zerohero.visualize import describe, subplots
    >>> fig, ax = subplots(title="Loss by epoch")
    >>> _ = ax.set(xlabel="epoch", ylabel="loss")
    >>> describe(fig)
    'Loss by epoch. Axes: epoch, loss.'
    """
    return fig.alt if isinstance(fig, Picture) else _titles(fig)


def shade(color: str, amount: float) -> tuple[float, ...]:
    """A colour mixed with white: amount 1 is the colour itself, 0 is white."""
    return tuple(1 - amount * (1 - part) for part in to_rgb(color))


def text_color(background: Any) -> str:
    """Black or white, whichever is easier to read on the background (relative luminance of WCAG 2)."""
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(background)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if luminance > 0.179 else "#FFFFFF"  # where both contrast equally, 4.6 to 1


def _titles(fig: Figure) -> str:
    heading = fig.get_suptitle()
    parts = [heading] if heading else []
    for ax in fig.axes:
        parts += [ax.get_title()] if ax.get_title() else []
        labels = [label for label in (ax.get_xlabel(), ax.get_ylabel()) if label]
        parts += ["Axes: " + ", ".join(labels)] if labels else []
    return ". ".join(parts) + "." if parts else "A figure without a description."


def _encode(fig: Figure, image_format: str) -> bytes:
    stream = io.BytesIO()
    # No "Software" entry, so that a new version of matplotlib does not change every stored picture.
    options: dict[str, Any] = (
        {"metadata": {"Software": None}} if image_format == "png" else {"pil_kwargs": {"quality": 85, "optimize": True}}
    )
    with matplotlib.rc_context(WHOLE_STYLE):
        fig.savefig(stream, format=image_format, bbox_inches="tight", pad_inches=0.08, **options)
    return _with_palette(stream.getvalue()) if image_format == "png" else stream.getvalue()


def _with_palette(png: bytes) -> bytes:
    """A drawing in its 256 most important colours, a third of the bytes; what has very many colours stays as it is."""
    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGB")
    if image.getcolors(MOST_COLORS) is None:
        return png
    stream = io.BytesIO()
    image.quantize(256, dither=Image.Dither.NONE).save(stream, "png", optimize=True)
    return stream.getvalue()


def _publish(data: bytes, image_format: str, alt: str) -> None:
    from IPython.display import display

    kind = f"image/{image_format}"
    bundle = {kind: base64.b64encode(data).decode("ascii"), "text/plain": alt}
    display(bundle, metadata={kind: {"alt": alt}}, raw=True)


def _in_notebook() -> bool:
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return False
    return get_ipython() is not None


def _close(fig: Figure) -> None:
    import sys

    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close(fig)
