"""Grading a class: which submissions are still to be marked, the table, the pages. How one is marked isn't here."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, fields
from functools import cache
from pathlib import Path

import numpy as np

from zerohero import __version__, checks
from zerohero.checks.report import Report
from zerohero.grading import clusters, marking, submissions
from zerohero.grading.marking import Grade, Job
from zerohero.grading.sandbox import PACKAGE, Limits, shown

SEED = 20171026  # of the inputs that grades are given on; not those of zh.check


def grade(
    paths: Iterable[str | os.PathLike],
    out: str | os.PathLike = "grades.csv",
    *,
    exercise: str | int | None = None,
    seed: int = SEED,
    jobs: int | None = None,
    scheduler: str | None = None,
    limits: Limits | None = None,
    unsafe: bool = False,
    progress: bool = False,
) -> list[Grade]:
    """Grade the notebooks of a class, each task of each notebook in a sandbox of its own.

    Parameters
    ----------
    paths : iterable of str or Path
        Notebooks, and folders of notebooks: `class/ann.ipynb` or `class/ann/01-convolution.ipynb` is ann's.
    out : str or Path
        The table, a `.csv` file: a row for each student, a column for each task. In the folder of the same name lie
        a feedback page and a record for each student; who has a record of the same notebook, checks, seed and limits
        is not marked again.
    exercise : str or int, optional
        Its number; by default what the notebooks say.
    seed : int
        Of the inputs. The same seed gives the same grades. Choose one that the class doesn't know: then nobody can
        hand in a table of the right outputs.
    jobs : int, optional
        How many to mark at once; by default as many as there are processors.
    scheduler : str, optional
        Address of a Dask scheduler whose workers mark instead of this machine.
    limits : Limits, optional
        What the process of one task may use.
    unsafe : bool
        Run notebooks without a sandbox.
    progress : bool
        Show a progress bar.

    Returns
    -------
    list of Grade
        Sorted by student.

    Raises
    ------
    NotIsolated
        If this machine gives no sandbox and `unsafe` is False.
    FileNotFoundError, ValueError
        If there are no notebooks, or it isn't clear of which exercise they are.
    """
    out = Path(out)
    if out.suffix != ".csv":
        raise ValueError(f"grade: out needs to be a .csv file, but got {str(out)!r}")
    if jobs is not None and jobs < 1:
        raise ValueError(f"grade: jobs needs to be 1 or more, but got {jobs}")
    given = [Path(path) for path in paths]
    number = exercise_number(exercise, given)
    found = submissions.find(given, number)
    limits = limits or Limits()
    if not unsafe:
        _not_shown([*given, out])
    folder = out.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    todo = _Todo(found, number, seed, limits, unsafe, folder)
    marked = clusters.spread(marking.mark, todo, min(jobs or clusters.cores(), len(found)), scheduler)
    with _bar(len(found), progress) as bar:
        try:
            for result, page in marked:
                _write(folder / f"{result.student}.html", page)
                _write(folder / f"{result.student}.json", json.dumps(asdict(result), indent=1))
                todo.grades.append(result)
                bar.update(len(todo.grades) - bar.n)
        finally:
            marking.close_sandbox()
        bar.update(len(todo.grades) - bar.n)
    grades = sorted(todo.grades, key=lambda each: (each.student.casefold(), each.student))
    _write(out, table(grades, number))
    return grades


def check_notebook(path: str | os.PathLike, exercise: str | int | None = None, unsafe: bool = False) -> list[Report]:
    """Run the tasks of one notebook on the inputs of `zh.check`, in a sandbox, and return what the checks say.

    Raises
    ------
    NotIsolated
        If this machine gives no sandbox and `unsafe` is False.
    OSError, ValueError
        If the file can't be read, or it isn't clear of which exercise it is.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"check: there is no notebook {str(path)!r}")
    number = exercise_number(exercise, [path])
    notebook = submissions.Submission("you", path.resolve()).read()
    try:
        return marking.reports(Job("you", path.name, notebook, number, seed=None, unsafe=unsafe))
    finally:
        marking.close_sandbox()


def exercise_number(exercise: str | int | None, paths: Sequence[Path]) -> str:
    """The number of the exercise as "01": the one that is named, or the one that the notebooks are of."""
    if exercise is None:
        return submissions.exercise_of(submissions.find(paths))
    return checks.tasks(exercise)[0].exercise


def _not_shown(paths: Iterable[Path]) -> None:
    """Refuse submissions and grades at a place that every student's process can see."""
    for path in paths:
        for place in shown():
            if path.resolve().is_relative_to(Path(place).resolve()):
                raise ValueError(f"grade: {str(path)!r} lies in {place}, which the sandbox shows: put it elsewhere")


# --- what is still to do ------------------------------------------------------------------------------------


class _Todo:
    """The jobs that are not done, read one by one; the grades of those that are."""

    def __init__(
        self, found: list[submissions.Submission], exercise: str, seed: int, limits: Limits, unsafe: bool, folder: Path
    ) -> None:
        self.found, self.exercise, self.seed, self.limits = found, exercise, seed, limits
        self.unsafe, self.folder = unsafe, folder
        self.grades: list[Grade] = []

    def __iter__(self) -> Iterator[Job]:
        for submission in self.found:
            trouble, notebook = "", b""
            try:
                notebook = submission.read()
            except OSError as error:
                trouble = str(error)
            told = (version(), self.exercise, self.seed, asdict(self.limits), submission.student, trouble)
            key = hashlib.sha256(repr(told).encode() + notebook).hexdigest()
            known = recorded(self.folder / f"{submission.student}.json", key)
            if known is not None and (self.folder / f"{submission.student}.html").is_file():
                self.grades.append(known)
                continue
            yield Job(
                submission.student, submission.path.name, notebook, self.exercise, self.seed, self.limits, self.unsafe,
                trouble, key,
            )  # fmt: skip


def recorded(file: Path, key: str) -> Grade | None:
    """Return the grade in a record, if it is one and follows from the same things."""
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["key"] != key or kept.keys() != {each.name for each in fields(Grade)}:
            return None
        return Grade(**kept)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


@cache
def version() -> str:
    """What grades depend on besides notebooks: this library's code, and NumPy."""
    code = hashlib.sha256(f"{__version__} numpy {np.__version__}".encode())
    for path in sorted(PACKAGE.rglob("*.py")):
        code.update(path.relative_to(PACKAGE).as_posix().encode() + path.read_bytes())
    return code.hexdigest()


# --- the table ----------------------------------------------------------------------------------------------


def table(grades: Sequence[Grade], exercise: str) -> str:
    """The grades as CSV, safe to open in a spreadsheet."""
    tasks = checks.tasks(exercise)
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["student", *(task.name for task in tasks), "total", "of", "file", "note"])
    for each in grades:
        points = [each.points[task.name] for task in tasks]
        writer.writerow([cell(each.student), *points, each.total, len(tasks), cell(each.file), cell(each.note)])
    return lines.getvalue()


def cell(text: str) -> str:
    """A text for a spreadsheet: what would be taken for a formula gets an apostrophe in front.

    Examples
    --------
    >>> cell("=1+1"), cell("Ann")
    ("'=1+1", 'Ann')
    """
    text = "".join(c if c.isprintable() else "_" for c in text)
    return f"'{text}" if text.lstrip()[:1] in tuple("=+-@＝＋－＠") else text


def _write(path: Path, text: str) -> None:
    """Write a whole file or none."""
    part = path.with_name(f".{os.getpid()}.part")
    part.write_text(text, encoding="utf-8", newline="\n")
    os.replace(part, path)


def _bar(total: int, wanted: bool):
    from tqdm import tqdm

    return tqdm(total=total, unit="student", disable=not wanted)
