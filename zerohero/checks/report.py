"""What a check says, as text and as HTML. What is wrong with the answer is found elsewhere."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

import numpy as np

from zerohero.checks.comparing import Difference
from zerohero.checks.definition import Case, Task, as_html

HEADLINES = {"passed": "✔ Passed", "failed": "✘ Not yet", "blank": "○ Not written yet"}
STANDINGS = {  # of a task, in the list under the bar
    **HEADLINES,
    "": "○ Not checked yet",
    "before": "✔ Solved before",
    "undone": "✔ Solved before (✘ not as it is now)",
}
SOLVED = ("passed", "before", "undone")
WIDTH = 100  # characters in a line of text
MOST = 8  # rows and columns of an array that are shown
BOX = "border-left: 4px solid {}; padding: 0.2em 0 0.2em 0.8em"
ROWS = "font-family: var(--jp-code-font-family, monospace); margin: 0.5em 0; white-space: pre; overflow-x: auto"
TABLES = "display: flex; flex-wrap: wrap; gap: 0 2em; align-items: flex-start; overflow-x: auto"
COLORS = {"passed": "#117733", "failed": "#cc6677", "blank": "#999999"}  # beside the words, never instead of them


@dataclass(frozen=True)
class Comparison:
    """Yours and expected: one returned thing of the smallest case that fails."""

    name: str
    yours: np.ndarray
    expected: np.ndarray
    difference: Difference | None


@dataclass(frozen=True)
class Report:
    """What a check found. It shows itself: as HTML in a notebook, as text elsewhere.

    Attributes
    ----------
    passed : bool
    status : {"passed", "failed", "blank"}
        "blank" means that the answer raises NotImplementedError: it is not written yet.
    diagnosis : str or None
        The name of the misconception that gives the same output as the answer on every input.
    sentences : tuple of str
        What to tell the student, the diagnosis first.
    good, total : int
        Inputs that come out right, and all of them.
    case, comparison
        The smallest input that comes out wrong; yours and expected on it.
    hints : tuple of str
        Those offered so far; the newest is shown.

    Examples
    --------
    >>> from zerohero.checks import check
    >>> check("01.output_size", lambda *args, **settings: 4).status
    'failed'
    """

    task: Task
    status: Literal["passed", "failed", "blank"]
    diagnosis: str | None = None
    sentences: tuple[str, ...] = ()
    good: int = 0
    total: int = 0
    case: Case | None = None
    comparison: Comparison | None = None
    hints: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return self.status == "passed"

    @property
    def headline(self) -> str:
        return f"{HEADLINES[self.status]}: {self.task.name}" + (f" ({self.diagnosis})" if self.diagnosis else "")

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return "\n".join([self.headline, *(f"  {line}".rstrip() for line in self._lines())])

    def _body(self) -> list[str]:
        """What comes under the headline, but for arrays and hints."""
        if self.status == "passed":
            return [f"{self.task.title}: all {self.total} inputs come out right."]
        if self.status == "blank":
            return ["Write your code where it says `raise NotImplementedError`, run that cell, then this one."]
        return list(self.sentences)

    def _lines(self) -> list[str]:
        lines = _wrapped(self._body())
        if self.case is not None and self._inputs(self.case):
            lines += [self._share(), ""]
            lines += [f"    {row}" for row in self._inputs(self.case)]
        if self.comparison is not None and (beside := _side_by_side(self.comparison)):
            lines += ["", *(f"    {line}".rstrip() for line in beside)]
        if self.hints:
            lines += ["", *_wrapped([f"Hint {len(self.hints)} of {len(self.task.hints)}: {self.hints[-1]}"])]
        return lines

    def _inputs(self, case: Case) -> list[str]:
        rows = []
        for name, value in self.task.arguments(case).items():
            shown = shown_input(value)
            rows += [f"{name} = {shown[0]}", *(f"    {row}" for row in shown[1:])]
        return rows

    def _share(self) -> str:
        if self.good == 0:
            return "No input comes out right yet. The smallest:"
        return f"{self.good} of {self.total} inputs come{'s' * (self.good == 1)} out right. The smallest that doesn't:"

    def _repr_html_(self) -> str:
        style = BOX.format(COLORS[self.status])
        parts = [
            f"<p><strong>{escape(self.headline)}</strong></p>",
            *(f"<p>{as_html(text)}</p>" for text in self._body()),
        ]
        if self.case is not None and self._inputs(self.case):
            parts.append(f"<p>{self._share()}</p>")
            parts.append(f'<pre style="{ROWS}">{escape(chr(10).join(self._inputs(self.case)))}</pre>')
        if self.comparison is not None:
            parts.append(_tables(self.comparison))
        if self.hints:
            summary = f"Hint {len(self.hints)} of {len(self.task.hints)}"
            parts.append(f"<details><summary>{summary}</summary><p>{as_html(self.hints[-1])}</p></details>")
        return f'<div role="status" style="{style}">{"".join(parts)}</div>'


def _wrapped(sentences: Sequence[str]) -> list[str]:
    return [line for sentence in sentences for line in textwrap.wrap(sentence, WIDTH, break_on_hyphens=False)]


# --- arrays -------------------------------------------------------------------------------------------------


def shown_input(value: Any) -> list[str]:
    """An input as lines: what it is, then its rows if they are few."""
    if not isinstance(value, np.ndarray):
        text = " ".join(repr(value).split())
        return [text if len(text) <= 90 else text[:87] + "..."]
    kind = f"array of shape {value.shape}, {value.dtype.name}"
    if value.size > MOST * MOST or max(value.shape, default=0) > MOST:
        return [kind]
    lines = [kind]
    for lead in np.ndindex(value.shape[:-2]):
        lines += [f"[{', '.join(map(str, lead))}, :, :]"] if lead else []
        lines += _rows(numbers(np.atleast_2d(value[lead])))
    return lines


def numbers(array: np.ndarray, digits: int = 4) -> list[list[str]]:
    """The entries of a 2-D array as text."""
    return [[number(v, digits) for v in row] for row in array]


def number(value: Any, digits: int = 4) -> str:
    """One entry as text."""
    return f"{value:.{digits}g}" if value.dtype.kind in "fc" else str(value)


def _rows(cells: list[list[str]], marks: np.ndarray | None = None) -> list[str]:
    """Cells as right-aligned lines; marked cells carry a star."""
    if marks is not None:
        cells = [[c + ("*" if m else " ") for c, m in zip(*pair)] for pair in zip(cells, marks)]
    width = max((len(c) for row in cells for c in row), default=0)
    return ["  ".join(c.rjust(width) for c in row) for row in cells]


@dataclass(frozen=True)
class _Window:
    """The part of two arrays of one shape that is shown: rows and columns around the first difference."""

    yours: np.ndarray
    expected: np.ndarray
    marks: np.ndarray
    place: str  # which part it is; empty for a whole

    @property
    def digits(self) -> int:
        """Enough digits to tell yours from expected."""
        mine, right = numbers(self.yours), numbers(self.expected)
        same = any(a == b for *pair, m in zip(mine, right, self.marks) for a, b, d in zip(*pair, m) if d)
        return 9 if same else 4


def _window(comparison: Comparison) -> _Window | None:
    """Return what to show of yours and expected; None for single numbers, and if shapes or mere types differ."""
    found, yours, expected = comparison.difference, comparison.yours, comparison.expected
    if found is None or found.where is None or not found.where.ndim:
        return None
    first = found.first
    lead, marks, place = first[:-2], found.where, ""
    if lead:
        yours, expected, marks = yours[lead], expected[lead], marks[lead]
        place = f"[{', '.join(map(str, lead))}, :, :]"
    yours, expected, marks = np.atleast_2d(yours), np.atleast_2d(expected), np.atleast_2d(marks)
    row, column = (first[-2] if len(first) > 1 else 0), first[-1]
    if max(yours.shape) > MOST:
        top, left = (max(0, at - MOST // 2) if size > MOST else 0 for at, size in zip((row, column), yours.shape))
        part = (slice(top, top + MOST), slice(left, left + MOST))
        yours, expected, marks = yours[part], expected[part], marks[part]
        place += f" rows {top} to {top + yours.shape[0] - 1}, columns {left} to {left + yours.shape[1] - 1}"
    return _Window(yours, expected, marks, place.strip())


def _first(comparison: Comparison, digits: int) -> str:
    """The sentence about the first entry that differs."""
    assert comparison.difference is not None
    at = comparison.difference.first
    mine, right = (number(a[at], digits) for a in (comparison.yours, comparison.expected))
    return f"First difference at {comparison.name}[{', '.join(map(str, at))}]: yours {mine}, expected {right}."


def _side_by_side(comparison: Comparison) -> list[str]:
    window = _window(comparison)
    if window is None:
        return []
    lines = [_first(comparison, window.digits)]
    if window.yours.size == 1:
        return lines
    mine = _rows(numbers(window.yours, window.digits), window.marks)
    right = _rows(numbers(window.expected, window.digits))
    width = max(len("yours (* differs)"), *map(len, mine))
    if window.place:
        lines.append(f"{comparison.name}{window.place if window.place[0] == '[' else ', ' + window.place}:")
    lines.append(f"{'yours (* differs)':<{width}}    expected")
    return lines + [f"{a:<{width}}    {b}" for a, b in zip(mine, right)]


def _tables(comparison: Comparison) -> str:
    window = _window(comparison)
    if window is None:
        return ""
    sentence = f"<p>{escape(_first(comparison, window.digits))}</p>"
    if window.yours.size == 1:
        return sentence
    place = f" {window.place}" if window.place else ""
    yours = _table(f"Yours{place} (✘ differs)", numbers(window.yours, window.digits), window.marks)
    expected = _table(f"Expected{place}", numbers(window.expected, window.digits), None)
    return f'{sentence}<div style="{TABLES}">{yours}{expected}</div>'


def _table(caption: str, cells: list[list[str]], marks: np.ndarray | None) -> str:
    rows = []
    for i, row in enumerate(cells):
        entries = (
            f"<strong>✘ {escape(c)}</strong>" if marks is not None and marks[i, j] else escape(c)
            for j, c in enumerate(row)
        )
        rows.append("<tr>" + "".join(f"<td>{entry}</td>" for entry in entries) + "</tr>")
    return (
        f'<table><caption style="white-space: nowrap">{escape(caption)}</caption><tbody>{"".join(rows)}</tbody></table>'
    )


# --- an exercise --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Progress:
    """How far one exercise is solved; it shows itself as a bar.

    Examples
    --------
    >>> Progress("01", []).solved
    0
    """

    exercise: str
    statuses: Sequence[tuple[Task, str]]  # a key of STANDINGS each

    @property
    def solved(self) -> int:
        return sum(status in SOLVED for _, status in self.statuses)

    @property
    def sentence(self) -> str:
        return f"Exercise {self.exercise}: {self.solved} of {len(self.statuses)} tasks solved"

    @property
    def bar(self) -> str:
        return "█" * 4 * self.solved + "░" * 4 * (len(self.statuses) - self.solved)

    def _marks(self) -> list[str]:
        return [f"{STANDINGS[status]}: {task.short}, {task.title}" for task, status in self.statuses]

    def __repr__(self) -> str:
        return "\n".join([f"{self.sentence}  {self.bar}", *(f"  {mark}" for mark in self._marks())])

    def _repr_html_(self) -> str:
        marks = "".join(f"<li>{escape(mark)}</li>" for mark in self._marks())
        bar = f'<span aria-hidden="true">{self.bar}</span>'
        return f'<div role="status"><p><strong>{self.sentence}</strong> {bar}</p><ul>{marks}</ul></div>'
