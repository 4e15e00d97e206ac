"""What steppers and explorers share: state, sliders, a live picture, a line of text; no particular picture."""

from __future__ import annotations

import base64
import html
import io
from dataclasses import dataclass
from typing import Any

from zerohero.arguments import integer
from zerohero.visualize.style import Picture, _in_notebook

WIDGET = "application/vnd.jupyter.widget-view+json"


@dataclass(frozen=True)
class Control:
    """One whole number that can be changed: its name, the word beside the slider, its range, where it starts."""

    name: str
    label: str
    low: int
    high: int
    start: int


class Explorer:
    """A picture with controls, a state that code can read and set, and a line of text that says what it shows.

    Attributes
    ----------
    state : dict
        The value of every control, and what follows from them.
    widget : ipywidgets.VBox
        Made when first asked for; the same one afterwards.

    Examples
    --------
    >>> from zerohero.interactive import pooling_stepper
    >>> stepper = pooling_stepper([[1, 2], [3, 4]])
    >>> isinstance(stepper, Explorer), len(stepper.state) > 0
    (True, True)
    """

    title = "Explorer"
    can_play = False  # whether stepping through the first control makes a story

    def __init__(self, *controls: Control) -> None:
        self.controls = {control.name: control for control in controls}
        self.values = {control.name: control.start for control in controls}
        self._parts: dict[str, Any] = {}
        self._quiet = False
        self._drawn: tuple[dict[str, int], Picture] | None = None

    # ---- what each explorer says for itself ---------------------------------------------------------------

    def picture(self) -> Picture:
        """The live picture, brought up to date: here that of `figure`, made anew when the state has changed."""
        if self._drawn is None or self._drawn[0] != self.values:
            self._drawn = self.values, self.figure()
        return self._drawn[1]

    def figure(self, **values: Any) -> Picture:
        """A new static picture of this state, or of another one; the state itself stays.

        Parameters
        ----------
        **values
            As for `set`.
        """
        raise NotImplementedError

    def text(self) -> str:
        """What the picture shows, in one line."""
        return self.picture().alt

    @property
    def state(self) -> dict[str, Any]:
        return dict(self.values)

    # ---- moving -------------------------------------------------------------------------------------------

    def set(self, **values: int) -> None:
        """Move controls by name, as the sliders do.

        Raises
        ------
        ValueError, TypeError
            If there is no such control, or the number is outside its range; nothing has moved then.
        """
        self.values = self._checked(values)
        self._refresh()

    def _checked(self, values: dict[str, Any]) -> dict[str, int]:
        """All values, with these put in."""
        for name, value in values.items():
            if name not in self.controls:
                raise ValueError(f"{self.title}: there is no {name!r}; it has {', '.join(self.controls)}")
            control = self.controls[name]
            if not control.low <= integer(value, self.title, name) <= control.high:
                raise ValueError(
                    f"{self.title}: {name} needs to lie in [{control.low}, {control.high}], but got {value}"
                )
        return {**self.values, **{name: int(value) for name, value in values.items()}}

    # ---- showing ------------------------------------------------------------------------------------------

    @property
    def widget(self) -> Any:
        if not self._parts:
            self._build()
        return self._parts["box"]

    def close(self) -> None:
        """Take the widget off the page and forget the live picture."""
        for part in self._parts.values():
            part.close()
        self._parts = {}

    def _build(self) -> None:
        import ipywidgets

        image = ipywidgets.Image(layout=ipywidgets.Layout(max_width="100%", align_self="flex-start"))
        parts: dict[str, Any] = {"image": image, "line": ipywidgets.HTML()}
        rows = self._control_rows(ipywidgets, parts)
        parts["box"] = ipywidgets.VBox([*rows, parts["image"], parts["line"]])
        self._parts = parts
        self._refresh()

    def _control_rows(self, ipywidgets: Any, parts: dict[str, Any]) -> list[Any]:
        """Widgets above the picture; those that follow the state go into `parts` under the control's name."""
        for control in self.controls.values():
            parts[control.name] = self._slider(ipywidgets, control)
        sliders = [parts[name] for name in self.controls]
        if not self.can_play:
            return sliders
        first = next(iter(self.controls.values()))
        back = self._button(ipywidgets, "Back", first.name, -1)
        forward = self._button(ipywidgets, "Next", first.name, +1)
        play = ipywidgets.Play(min=first.low, max=first.high, interval=800, description=first.label)
        # The page first copies from the link's source, which therefore is the slider: it knows where we stand.
        link = ipywidgets.jslink((parts[first.name], "value"), (play, "value"))
        parts |= {"back": back, "forward": forward, "play": play, "link": link}
        return [ipywidgets.HBox([parts[first.name], back, forward, play]), *sliders[1:]]

    def _slider(self, ipywidgets: Any, control: Control) -> Any:
        slider = ipywidgets.IntSlider(
            value=self.values[control.name],
            min=control.low,
            max=control.high,
            description=control.label,
            style={"description_width": "initial"},
            layout=ipywidgets.Layout(width="24em"),
        )
        slider.observe(lambda change: self._moved(control.name, change["new"]), names="value")
        return slider

    def _button(self, ipywidgets: Any, label: str, name: str, step: int) -> Any:
        button = ipywidgets.Button(description=label, layout=ipywidgets.Layout(width="5em"))
        control = self.controls[name]
        button.on_click(lambda _: self.set(**{name: min(control.high, max(control.low, self.values[name] + step))}))
        return button

    def _moved(self, name: str, value: int) -> None:
        if not self._quiet:
            self.set(**{name: value})

    def _refresh(self) -> None:
        """Bring widget, picture and text up to the state."""
        if not self._parts:
            return
        self._quiet = True
        try:
            for name, value in self.values.items():
                if name in self._parts and self._parts[name].value != value:
                    self._parts[name].value = value
        finally:
            self._quiet = False
        try:
            self._parts["image"].value = frame(self.picture())
            line = self.text()
        except ValueError as error:  # settings that do not go together: say so, keep the last picture
            line = str(error)
        self._parts["line"].value = f'<div role="status" aria-live="polite">{html.escape(line)}</div>'

    def __repr__(self) -> str:
        return f"{self.title}: {self.text()}"

    def _ipython_display_(self) -> None:
        """Widget for a live page; picture and text for every other: front ends choose the first they can show."""
        if not _in_notebook():
            print(repr(self))
            return
        from IPython.display import display

        still = self.figure()
        kind = f"image/{still.image_format}"
        picture = base64.b64encode(still.image_bytes()).decode("ascii")
        bundle: dict[str, Any] = {kind: picture, "text/plain": repr(self)}
        try:
            bundle[WIDGET] = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        except ImportError:
            bundle["text/plain"] += " (Sliders need ipywidgets: pip install 'zerohero[course]'.)"
        display(bundle, metadata={kind: {"alt": repr(self)}}, raw=True)


def frame(fig: Picture) -> bytes:
    """The figure as PNG (photographs as JPEG) bytes, fast: drawn as it is, without cropping, lightly compressed."""
    from PIL import Image

    stream = io.BytesIO()
    options = {"quality": 85} if fig.image_format == "jpeg" else {"compress_level": 1}
    Image.fromarray(fig.pixels()).save(stream, fig.image_format, **options)
    return stream.getvalue()
