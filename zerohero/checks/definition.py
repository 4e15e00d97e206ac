"""What a task is: its card, its reference, its inputs, the wrong answers it knows. Nothing is run or compared here."""

from __future__ import annotations

import copy
import inspect
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import Any, Literal

import numpy as np

STRESSED = re.compile(r"(?<![\w*])\*([^\W\d_](?:[^*\n]*[^\W_])?)\*(?!\*)")  # *this*, not 2 * 3 * 4 or *args, **kwargs


def as_html(text: str) -> str:
    """A sentence as HTML, with `code` set as code and *stress* as stress."""
    pieces = escape(text, quote=False).split("`")
    return "".join(
        f"<code>{piece}</code>" if i % 2 else STRESSED.sub(r"<em>\1</em>", piece) for i, piece in enumerate(pieces)
    )


class Case:
    """One call of an answer, written as the call is: `Case(image, kernel, stride=2)`.

    Examples
    --------
    >>> Case([1, 2], stride=2)
    Case([1, 2], stride=2)
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args, self.kwargs = args, kwargs

    def copy(self) -> Case:
        """The same call with arrays of its own, so that nobody can spoil the others' inputs."""
        args, kwargs = copy.deepcopy((self.args, self.kwargs))
        return Case(*args, **kwargs)

    def __repr__(self) -> str:
        values = [repr(a) for a in self.args] + [f"{k}={v!r}" for k, v in self.kwargs.items()]
        return f"Case({', '.join(values)})"


@dataclass(frozen=True)
class Misconception:
    """A wrong answer that students give, and the sentence that names the mistake.

    Examples
    --------
    >>> Misconception("mean", "Your output is the mean of each window.", lambda x: x).name
    'mean'
    """

    name: str
    sentence: str
    wrong: Callable


@dataclass(eq=False)
class Task:
    """One task of an exercise: its card, and what its check needs. `zerohero.checks` says how to write one.

    Parameters
    ----------
    name : str
        `"01.slide_by_loops"`: the exercise, a dot, the name of the function that the student writes.
    title : str
        What to do, in a few words.
    difficulty : int
        1 to 5, shown as ●●○○○.
    minutes : int
        For a student who has read the lecture.
    practises : str
        What the task is for, as the end of a sentence.
    reference : callable
        The right answer, made of library calls: a function (`answer` "function" or "value") or a class.
    inputs : callable
        Given a seeded `numpy.random.Generator`, returns the cases, from the smallest to the largest.
    hints : sequence of str
        Offered one at a time; the last is nearly the solution.
    returns : tuple of str
        Names of what is returned; with more than one name, a tuple of that many.
    answer : {"function", "class", "value"}
        What the student hands in.
    use : callable, optional
        `use(answer, *args, **kwargs)` gives the output to compare; needed for a class. By default it is a call.
    rtol, atol : float
        Numbers agree if abs(yours - expected) <= atol + rtol * abs(expected).
    seconds : float
        How long an answer may take for all cases together.

    Examples
    --------
    >>> from zerohero.checks import task
    >>> task("01.output_size").card
    '`01.output_size` · ●●○○○ · ... minutes · practises ...'
    """

    name: str
    title: str
    difficulty: int
    minutes: int
    practises: str
    reference: Callable
    inputs: Callable[[np.random.Generator], Sequence[Case]]
    hints: Sequence[str]
    returns: tuple[str, ...] = ("output",)
    answer: Literal["function", "class", "value"] = "function"
    use: Callable | None = None
    rtol: float = 1e-4
    atol: float = 1e-5
    seconds: float = 10.0
    misconceptions: list[Misconception] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d\d\.[A-Za-z]\w*", self.name):
            raise ValueError(f"Task: name needs the form '01.slide_by_loops', but got {self.name!r}")
        if self.difficulty not in range(1, 6):
            raise ValueError(f"Task: difficulty of {self.name} needs to be 1 to 5, but got {self.difficulty}")
        if not self.hints or isinstance(self.hints, str):
            raise ValueError(f"Task: hints of {self.name} needs a list of sentences, but got {self.hints!r}")
        if self.answer == "class" and self.use is None:
            raise ValueError(f"Task: {self.name} asks for a class, so it needs `use`, which runs the class on a case")

    def misconception(self, name: str, sentence: str) -> Callable[[Callable], Callable]:
        """Decorator: the wrong function (or class) below is what students with this misconception write.

        The same name may stand above several forms of one mistake. Forms with different names must differ in
        output on at least one case, and each from the reference; a test asserts it.
        """

        def remember(wrong: Callable) -> Callable:
            self.misconceptions.append(Misconception(name, sentence, wrong))
            return wrong

        return remember

    @property
    def exercise(self) -> str:
        """The number of the exercise, as "01"."""
        return self.name[:2]

    @property
    def short(self) -> str:
        """The name without the exercise's number."""
        return self.name[3:]

    @property
    def noun(self) -> str:
        """What the student hands in, in a sentence."""
        return "answer" if self.answer == "value" else self.answer

    @property
    def dots(self) -> str:
        return "●" * self.difficulty + "○" * (5 - self.difficulty)

    @property
    def card(self) -> str:
        """The task's card as a line of Markdown, as the notebook shows it."""
        return f"`{self.name}` · {self.dots} · {self.minutes} minutes · practises {self.practises}"

    @property
    def folded_hints(self) -> str:
        """The hints as the notebook shows them, HTML that folds open one by one, a line each."""
        summaries = (f"<summary>Hint {i + 1} of {len(self.hints)}</summary>" for i in range(len(self.hints)))
        return "\n".join(f"<details>{s}{as_html(hint)}</details>" for s, hint in zip(summaries, self.hints))

    @cached_property
    def cases(self) -> list[Case]:
        """The inputs, the same in every process."""
        return list(self.inputs(np.random.default_rng(zlib.crc32(self.name.encode()))))

    @cached_property
    def gives_list(self) -> bool:
        """Whether the reference returns one list (or tuple), so that an answer may do so, too."""
        return len(self.returns) == 1 and isinstance(self.output(self.reference, self.cases[0].copy()), (list, tuple))

    def output(self, answer: Callable, case: Case) -> Any:
        """What `answer` gives for a case."""
        if self.use is not None:
            return self.use(answer, *case.args, **case.kwargs)
        return answer(*case.args, **case.kwargs)

    def arguments(self, case: Case) -> dict[str, Any]:
        """The inputs of a case by name."""
        called = self.reference if self.use is None else self.use
        names = list(inspect.signature(called).parameters)[self.use is not None :]
        return {**dict(zip(names, case.args, strict=False)), **case.kwargs}
