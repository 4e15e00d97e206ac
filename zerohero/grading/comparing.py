"""From what a student's process sent back to a report. Nothing that arrives here is believed or run."""

from __future__ import annotations

from typing import Any

import numpy as np

from zerohero.checks import calling, diagnosing
from zerohero.checks.calling import Outcome
from zerohero.checks.definition import Task
from zerohero.checks.report import Report
from zerohero.grading import exchange
from zerohero.grading.sandbox import Answer

LONGEST = 500  # characters of a sentence that comes from there


def report(task: Task, answer: Answer, seconds: float) -> Report:
    """Judge what came back, with the comparisons and misconceptions of `zh.check`; whatever it is, nothing is raised.

    Parameters
    ----------
    task : Task
        On the inputs that were sent.
    answer : Answer
        What came back, and how the process ended.
    seconds : float
        The limit that it had, to say so.
    """
    right = calling.expected(task)
    try:
        outcomes = _outcomes(task, answer, seconds)
    except Exception as error:
        what = str(error) if isinstance(error, _Said) else "What your code sent back can't be read."
        return Report(task, "failed", sentences=(what,), total=len(task.cases))
    return diagnosing.compare(task, outcomes, right)


class _Said(Exception):
    """A sentence that stands for all cases."""


def _outcomes(task: Task, answer: Answer, seconds: float) -> list[Outcome]:
    if not answer.data:
        return [Outcome(None, _ending(answer, seconds), "TimeUp" if answer.ended == "time" else "Ended")]
    arrays = exchange.unpack(answer.data)
    told = exchange.unpack_text(arrays["report"])
    if "missing" in told:
        raise _Said(plain_text(told["missing"]))
    outcomes = [_outcome(task, number, each, arrays) for number, each in enumerate(told["outcomes"][: len(task.cases)])]
    if not outcomes or (len(outcomes) < len(task.cases) and not outcomes[-1].trouble):
        outcomes.append(Outcome(None, "gave nothing more.", "Ended"))
    return outcomes


def _outcome(task: Task, number: int, told: dict[str, Any], arrays: dict[str, np.ndarray]) -> Outcome:
    error, trouble = plain_text(told["error"]), plain_text(told["trouble"])
    if error and not trouble:
        trouble = f"stops with {error}."
    parts = None
    if told["parts"] is not None and not error:
        parts = tuple(arrays[f"{number}.{part}"] for part in range(len(task.returns)))
    names = set(task.arguments(task.cases[number]))
    return Outcome(parts, trouble, error, tuple(name for name in told["changed"] if name in names))


def _ending(answer: Answer, seconds: float) -> str:
    if answer.ended == "time":
        return f"has no answer after {seconds:g} seconds: is there a loop that never ends?"
    if answer.ended == "size":
        return "sends back far more than the task asks for."
    if answer.signal:
        return f"ends its process (signal {answer.signal}): by too much memory or time, or by its own doing."
    return "ends its process before there is an answer."


def plain_text(text: Any) -> str:
    """What a student's process said, as one line of printable characters.

    Examples
    --------
    >>> plain_text("red: \\x1b[31m")
    'red: \\ufffd[31m'
    """
    if not isinstance(text, str):
        raise TypeError("not a text")
    text = "".join(c if c.isprintable() else "\ufffd" for c in text[: 2 * LONGEST])
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
