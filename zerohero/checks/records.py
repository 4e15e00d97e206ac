"""What was checked: in this process, the latest status of each task and how often it failed; on disk, what was solved.

The file holds a line for each task that was solved, added in one write: processes that check at the same time don't
disturb each other, and a line that was spoilt costs no other.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from zerohero.checks.definition import Task
from zerohero.checks.report import Report

LARGEST = 1_000_000  # bytes of the file that are read and written

_latest: dict[str, str] = {}
_failures: dict[str, int] = {}


def remember(report: Report) -> Report:
    """Note how the check ended; after a failure, offer one more hint than before."""
    name = report.task.name
    if report.passed and _latest.get(name) != "passed":
        _keep(name)
    _latest[name] = report.status
    if report.status != "failed":
        return report
    _failures[name] = min(_failures.get(name, 0) + 1, len(report.task.hints))
    return replace(report, hints=tuple(report.task.hints[: _failures[name]]))


def status(task: Task) -> str:
    """Return how the latest check of the task ended: "passed", "failed", "blank", or "" if there was none."""
    return _latest.get(task.name, "")


def standings(tasks: Sequence[Task]) -> list[tuple[Task, str]]:
    """Return each task with its latest status or, if it was solved by then, "before" or "undone" (it failed since)."""
    kept = solved()
    found = []
    for task in tasks:
        latest = status(task)
        if task.name in kept and latest != "passed":
            latest = "undone" if latest else "before"
        found.append((task, latest))
    return found


def forget() -> None:
    """Start as a new process does."""
    _latest.clear()
    _failures.clear()


# --- on disk ------------------------------------------------------------------------------------------------


def solved() -> dict[str, str]:
    """Return which tasks were ever solved on this computer, and when first; {} if nothing can be read."""
    found: dict[str, str] = {}
    try:
        with open(place(), "rb") as file:
            text = file.read(LARGEST).decode("utf-8", errors="replace")
    except (OSError, RuntimeError):
        return found
    for line in text.splitlines():
        try:
            kept = json.loads(line)
            found.setdefault(str(kept["solved"]), str(kept["at"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            continue  # a line that was spoilt
    return found


def place() -> Path:
    """Where it is kept: the file `ZEROHERO_PROGRESS`, or the system's place for a program's data."""
    named = os.environ.get("ZEROHERO_PROGRESS")
    if named:
        return Path(named).expanduser()
    if sys.platform == "darwin":
        folder = Path("~/Library/Application Support").expanduser()
    elif sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA") or "~/AppData/Local").expanduser()
    else:
        folder = Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser()
    return folder / "zerohero" / "progress.jsonl"


def _keep(name: str) -> None:
    """Add a line; where nothing can be written, checks work all the same."""
    try:
        if name in solved():
            return
        file = place()
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists() and file.stat().st_size > LARGEST:
            return
        line = json.dumps({"solved": name, "at": datetime.now().astimezone().isoformat(timespec="seconds")})
        handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, f"\n{line}\n".encode())  # a new line first: the last one may be torn
        finally:
            os.close(handle)
    except (OSError, RuntimeError):
        return
