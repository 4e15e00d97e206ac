"""What a student's process is told about a task: its inputs and how they are given, not what is right."""

from __future__ import annotations

import copy
import inspect
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np

from zerohero.checks.definition import Task
from zerohero.grading import exchange, slicing


@cache
def seeded(task: Task, seed: int | None) -> Task:
    """The same task on other inputs of the same kind; with seed None, on those of `zh.check`.

    Who has written down the right outputs for the inputs of `zh.check` has nothing for these.
    """
    if seed is None:
        return task
    other = copy.copy(task)
    other.__dict__["cases"] = list(task.inputs(np.random.default_rng([zlib.crc32(task.name.encode()), seed])))
    return other


def request(task: Task, notebook: bytes, seconds: float) -> bytes:
    """Pack a notebook and the inputs of a task for `run_student.run`."""
    arrays, known = _told(task)
    text = {"task": exchange.pack_text({**known, "seconds": seconds})}
    return exchange.pack({**arrays, **text, "notebook": np.frombuffer(notebook, np.uint8)})


@cache
def _told(task: Task) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    arrays: dict[str, np.ndarray] = {}
    cases = exchange.encode([[list(case.args), case.kwargs] for case in task.cases], arrays)
    functions = list(_functions([[case.args, case.kwargs] for case in task.cases]))
    functions += [task.use] if task.use else []
    called = task.use or task.reference
    return arrays, {
        "name": task.name,
        "returns": task.returns,
        "answer": task.answer,
        "gives_list": task.gives_list,
        "use": exchange.encode(task.use, {})["function"] if task.use else None,
        "parameters": list(inspect.signature(called).parameters),
        "code": "from __future__ import annotations\n" + given_code(functions),
        "cases": cases,
    }


def _functions(value: Any) -> Iterator[Callable]:
    """The functions among the inputs."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _functions(item)
    elif inspect.isfunction(value):
        yield value


def given_code(functions: list[Callable]) -> str:
    """The source of functions that a task gives to its answer, with what they use of their file and nothing else.

    Examples
    --------
    >>> from zerohero.checks.exercise_02 import brightest_quarter
    >>> print(given_code([brightest_quarter]).split(":")[0])
    import numpy as np
    def brightest_quarter(images)
    """
    pieces: list[str] = []
    for module in dict.fromkeys(f.__module__ for f in functions):
        program = slicing.statements(inspect.getsource(sys.modules[module]), module)
        names = {f.__name__ for f in functions if f.__module__ == module}
        pieces += [statement.source for statement in slicing.needed(program, names)]
    return "\n".join(pieces)
