'''Checks that say which mistake was made: the public names. The tasks lie in `exercise_01.py` and so on.

For students: `zh.check("01.slide_by_loops", slide_by_loops)` runs your function on seeded inputs, shows a report, and
never raises, whatever your function does. `zh.checks.progress("01")` shows how far the exercise is solved.

For authors, how to add a task to `exercise_NN.py`
--------------------------------------------------
::

    """The tasks of exercise 02, Pooling. How answers are run and compared is not known here."""

    from zerohero import max_pool2d
    from zerohero.checks.definition import Case, Task

    def _images(rng):                                   # cases from the smallest to the largest: the first that
        return [                                        # fails is shown
            Case(np.array([[1.0, 2], [3, 4]]), 2),      # written as the student's function is called
            Case(rng.normal(size=(5, 8)).astype(np.float32), 2, stride=1),
        ]

    pool_by_loops = Task(
        name="02.pool_by_loops",                        # exercise, dot, name of the student's function
        title="Max-pool one channel with loops",
        difficulty=2,
        minutes=10,
        practises="windows that jump",                  # the end of "practises ..."
        reference=lambda x, size, stride=None: max_pool2d(x, size, stride=stride),
        inputs=_images,
        hints=["...", "...", "nearly the solution"],
    )

    @pool_by_loops.misconception("mean", "Your output equals the mean of each window: ...")
    def mean(x, size, stride=None):                     # what a student with this misconception writes
        return avg_pool2d(x, size, stride=stride)

    TASKS = (pool_by_loops,)                            # in the order of the notebook

* `reference` returns an array, a number or (with `returns=("d_x", "d_weight")`) a tuple. Its parameter names are
  shown in reports, so they are those of the student's function. If it returns an int, a float answer fails even
  when equal; if it returns a list, a list is accepted, else only arrays and numbers are.
* Anything that an answer is judged by is in its cases: give each of the awkward inputs once (a window that doesn't
  fit, a stride that isn't 1, negative values, batch ≠ channels ≠ classes, height ≠ width, kernels without
  symmetry), so that **every misconception differs from the reference and from every other one on some case**.
  tests/test_checks.py asserts it for all tasks, and that each misconception, handed in, is named. Two forms of one
  mistake carry the same name.
* A misconception that fits all cases wins; the first in order, if several do. One that crashes on a case fits an
  answer that crashes there with the same exception and message. After the task's own, mistakes common to all tasks are
  looked for (fractions cut off by an integer array, small integers wrapping around, float16, opposite sign,
  transposed, the same output for every input): give none of these names to yours, but you may list the mistake with
  a better sentence.
* The sentence says what the output equals, and then why it is not what the task asks: "Your output equals what a
  flipped kernel gives: ...". Text between `backticks` is set as code.
* A task whose answer is a class: `answer="class"`, `reference` and every misconception are classes, and `use`, a
  function of the file, called with the class and a case, runs it and returns what is compared. A task whose answer is
  an array or a number: `answer="value"`, one case `Case()`; `reference` and the misconceptions are functions without
  parameters that return the value. `use` also serves functions that need more than a call.
* Cases hold arrays, numbers, strings, lists, tuples, dicts and functions of the file's top level: what can be sent to
  the process that runs a submission. `use` and these functions may use nothing that gives the answer away: their
  source is sent, with what they need of the file.
* `rtol` and `atol` say how near is right; `seconds` how long an answer may take for all cases together.
* Inputs are copied for each call; an answer that writes into them fails, and is told which.
* The notebook shows the card, `Task.card`, and the hints, `Task.folded_hints`, word for word; a test compares them.
'''

from __future__ import annotations

import pkgutil
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from zerohero.checks import records
from zerohero.checks.definition import Case, Misconception, Task
from zerohero.checks.diagnosing import judge
from zerohero.checks.report import Progress, Report

__all__ = ["Case", "Misconception", "Progress", "Report", "Task", "check", "progress", "task", "tasks"]


def check(task: str | Task, answer: Any) -> Report:
    """Run an answer on the inputs of a task and report: passed, or which mistake it is.

    Parameters
    ----------
    task : str
        The task's name, as `"01.slide_by_loops"`; the part after the dot is enough where no other task has it.
    answer : callable or value
        What you wrote: the function itself, without parentheses (for some tasks a class, an array or a number).

    Returns
    -------
    Report
        It shows itself; `.passed`, `.diagnosis` and `.sentences` say the same to a program. Whatever the answer does,
        nothing is raised but KeyboardInterrupt. An answer that takes longer than 10 seconds is stopped (in the main
        thread, not on Windows).

    Raises
    ------
    ValueError
        If no task has this name.

    Examples
    --------
    >>> import zerohero as zh
    >>> zh.check("01.output_size", lambda size, kernel_size, stride=1, padding=0, dilation=1: 4).passed
    False
    """
    chosen = task if isinstance(task, Task) else _find(task)
    return records.remember(judge(chosen, answer))


def task(name: str) -> Task:
    """Return a task by its name, as `"01.slide_by_loops"` or, where no other task has it, `"slide_by_loops"`.

    Raises
    ------
    ValueError
        If no task has this name.

    Examples
    --------
    >>> task("01.slide_by_loops").dots
    '●●○○○'
    """
    return _find(name)


def tasks(exercise: str | int | None = None) -> list[Task]:
    """Return the tasks of one exercise, in its order, or of all.

    Parameters
    ----------
    exercise : str or int, optional
        Its number, as "01" or 1.

    Raises
    ------
    ValueError
        If there is no such exercise.

    Examples
    --------
    >>> [task.short for task in tasks("01")][:2]
    ['one_position', 'slide_by_loops']
    """
    known = _exercises()
    if exercise is None:
        return [each for number in known for each in _tasks_of(number)]
    number = str(exercise).zfill(2)
    if number not in known:
        raise ValueError(f"checks: exercise needs to be one of {', '.join(known)}, but got {exercise!r}")
    return _tasks_of(number)


def progress(exercise: str | int) -> Progress:
    """Return how far an exercise is solved: the tasks whose check has passed, now or before, on this computer.

    Examples
    --------
    >>> progress("01").sentence
    'Exercise 01: ... of ... tasks solved'
    """
    return Progress(str(exercise).zfill(2), records.standings(tasks(exercise)))


def _exercises() -> list[str]:
    """The numbers of the exercises that have tasks, found without importing them."""
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name[-2:] for name in modules if name.startswith("exercise_"))


def _tasks_of(number: str) -> list[Task]:
    return list(import_module(f"zerohero.checks.exercise_{number}").TASKS)


def _find(name: str) -> Task:
    number = name[:2] if name[2:3] == "." else None
    candidates = _tasks_of(number) if number in _exercises() and number else tasks()
    found = [each for each in candidates if name in (each.name, each.short)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"check: task {name!r} needs its exercise, one of {', '.join(each.name for each in found)}")
    near = get_close_matches(name, [n for each in tasks() for n in (each.name, each.short)], n=1, cutoff=0.4)
    meant = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(each.name for each in tasks())}"
    raise ValueError(f"check: task needs the name of a task, but got {name!r}: {meant}")
