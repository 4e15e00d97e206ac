"""What was checked in this process: the latest status of each task and how often it failed. Nothing is kept on disk."""

from __future__ import annotations

from dataclasses import replace

from zerohero.checks.definition import Task
from zerohero.checks.report import Report

_latest: dict[str, str] = {}
_failures: dict[str, int] = {}


def remember(report: Report) -> Report:
    """Note how the check ended; after a failure, offer one more hint than before."""
    name = report.task.name
    _latest[name] = report.status
    if report.status != "failed":
        return report
    _failures[name] = min(_failures.get(name, 0) + 1, len(report.task.hints))
    return replace(report, hints=tuple(report.task.hints[: _failures[name]]))


def status(task: Task) -> str:
    """Return how the latest check of the task ended: "passed", "failed", "blank", or "" if there was none."""
    return _latest.get(task.name, "")


def forget() -> None:
    """Start as a new process does."""
    _latest.clear()
    _failures.clear()
