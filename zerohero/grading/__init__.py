"""Running and grading many submissions, isolated: the public names. What a right answer is, `zerohero.checks` knows.

    grade(["class/"], "grades.csv")        the notebooks of a class: a table, and a page for each student
    check_notebook("01-convolution.ipynb") one notebook: what its checks say

A student's code never meets what judges it. For each task of each notebook a process is made (run_student.py) that maps
input arrays to output arrays, in namespaces without files, network or rights (isolation.py, sandbox.py); the arrays are
compared where no student's code ever runs (comparing.py), on other inputs than those of `zh.check` (requests.py).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# Opened on first use: the processes of students import this package, too, and need none of it.
_LATER = {
    "Grade": "marking",
    "Limits": "sandbox",
    "NotIsolated": "isolation",
    "Sandbox": "sandbox",
    "check_notebook": "classes",
    "grade": "classes",
}

if TYPE_CHECKING:
    from zerohero.grading.classes import check_notebook, grade
    from zerohero.grading.isolation import NotIsolated
    from zerohero.grading.marking import Grade
    from zerohero.grading.sandbox import Limits, Sandbox

__all__ = ["Grade", "Limits", "NotIsolated", "Sandbox", "check_notebook", "grade"]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"zerohero.grading.{_LATER[name]}"), name)
