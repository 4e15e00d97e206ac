"""Marking one submission: its tasks run in the sandbox, its grade and its page. Files of a class are not known here."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from zerohero import checks
from zerohero.checks.report import Report
from zerohero.grading import comparing, feedback, requests
from zerohero.grading.sandbox import Limits, NotIsolated, Sandbox

_mine = threading.local()  # one sandbox for each thread that marks


@dataclass(frozen=True)
class Job:
    """All that is needed to mark one submission, here or on another machine."""

    student: str
    file: str
    notebook: bytes
    exercise: str
    seed: int | None
    limits: Limits = field(default_factory=Limits)
    unsafe: bool = False
    trouble: str = ""  # why there are no bytes
    key: str = ""


@dataclass(frozen=True)
class Grade:
    """The points of one student, a point for each task that is solved.

    Attributes
    ----------
    student, file : str
    points : dict
        Task's name to 1 or 0.
    mistakes : dict
        Task's name to the name of the misconception, for those that were recognised.
    blanks : list of str
        Names of the tasks that were not written.
    note : str
        What is wrong with the file as a whole, if anything is.
    key : str
        What the grade follows from: hash of the notebook, the checks, the seed and the limits.

    Examples
    --------
    >>> Grade("ann", "ann.ipynb", {"01.output_size": 1, "01.slide_by_loops": 0}).total
    1
    """

    student: str
    file: str
    points: dict[str, int]
    mistakes: dict[str, str] = field(default_factory=dict)
    blanks: list[str] = field(default_factory=list)
    note: str = ""
    key: str = ""

    @property
    def total(self) -> int:
        return sum(self.points.values())


def mark(job: Job) -> tuple[Grade, str]:
    """Mark one submission: its grade, and its feedback page."""
    found = reports(job)
    note = job.trouble
    if not note and len({report.sentences for report in found}) == 1 and not found[0].passed:
        note = " ".join(found[0].sentences)[:300]  # the same for all tasks: about the file
    points = {report.task.name: int(report.passed) for report in found}
    mistakes = {report.task.name: report.diagnosis for report in found if report.diagnosis}
    blanks = [report.task.name for report in found if report.status == "blank"]
    grade = Grade(job.student, job.file, points, mistakes, blanks, note, job.key)
    return grade, feedback.page(job.student, job.exercise, found, job.trouble)


def reports(job: Job) -> list[Report]:
    """Run a notebook's tasks, each in a process of its own, and report on each.

    Raises
    ------
    NotIsolated
        If there is no sandbox, or it broke twice; never for what the notebook holds.
    """
    tasks = [requests.seeded(task, job.seed) for task in checks.tasks(job.exercise)]
    if job.trouble:
        return [Report(task, "failed", sentences=(job.trouble,), total=len(task.cases)) for task in tasks]
    found = []
    for task in tasks:
        seconds = job.limits.seconds or task.seconds
        request = requests.request(task, job.notebook, seconds)
        try:
            answer = _sandbox(job).run(request, seconds)
        except NotIsolated:
            answer = _sandbox(job).run(request, seconds)  # starts again; a second time is no accident
        found.append(comparing.report(task, answer, seconds))
    return found


def _sandbox(job: Job) -> Sandbox:
    sandbox = getattr(_mine, "sandbox", None)
    if sandbox is None or (sandbox.limits, sandbox.unsafe) != (job.limits, job.unsafe):
        close_sandbox()
        sandbox = _mine.sandbox = Sandbox(job.limits, job.unsafe)
    return sandbox


def close_sandbox() -> None:
    """End the sandbox of this thread, if there is one."""
    sandbox = getattr(_mine, "sandbox", None)
    if sandbox is not None:
        sandbox.close()
        _mine.sandbox = None
