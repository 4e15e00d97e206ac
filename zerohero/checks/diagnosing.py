"""From a student's answer to a report: which inputs come out wrong, and which misconception explains all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from zerohero.checks import calling
from zerohero.checks.calling import Outcome
from zerohero.checks.comparing import Difference, difference, equal
from zerohero.checks.definition import Task
from zerohero.checks.report import Comparison, Report, number

Pairs = list[tuple[np.ndarray, np.ndarray]]  # (yours, expected) for every returned thing of every case


@dataclass(frozen=True)
class Fault:
    """Why one case fails: a sentence, and the returned thing that differs, if one does."""

    sentence: str
    part: int | None = None
    difference: Difference | None = None


def judge(task: Task, answer: Any) -> Report:
    """Run `answer` on all cases of the task and report; whatever it does, nothing is raised but KeyboardInterrupt."""
    try:
        right = calling.expected(task)
        calling.wrong_outcomes(task)  # before the answer runs: it may replace functions that the check needs
        if (trouble := not_an_answer(task, answer)) is not None:
            return Report(task, "failed", sentences=(trouble,))
        called = (lambda *args, **kwargs: answer) if task.answer == "value" else answer
        return compare(task, calling.run(task, called), right)
    except Exception as error:
        name = type(error).__name__
        sentence = f"The check itself stopped ({name}). Your code may have replaced something that the check needs: "
        return Report(task, "failed", sentences=(sentence + "restart the kernel and run all cells again.",))


def not_an_answer(task: Task, answer: Any) -> str | None:
    """Return what to say if `answer` isn't even the kind of thing the task asks for."""
    if task.answer == "class" and not isinstance(answer, type):
        wanted = "your class itself"
    elif task.answer == "function" and not callable(answer):
        wanted = "your function itself, without parentheses"
    else:
        return None
    example = f'zh.check("{task.name}", {task.short})'
    return f"This check takes {wanted}, as in {example}, but got {calling.described(answer)}."


def compare(task: Task, outcomes: list[Outcome], right: list[tuple[np.ndarray, ...]]) -> Report:
    """Report on what an answer gave, case by case; after a blank or a time limit, the rest may be missing."""
    if outcomes[0].blank:
        return Report(task, "blank", total=len(task.cases))
    faults = [_fault(task, outcome, parts) for outcome, parts in zip(outcomes, right)]
    failing = [number for number, fault in enumerate(faults) if fault is not None]
    good = len(outcomes) - len(failing)
    if not failing:
        return Report(task, "passed", total=len(task.cases))
    name, sentence = _diagnosis(task, outcomes, right)
    first = failing[0]
    fault = faults[first]
    assert fault is not None
    place = "On the input below, " if task.arguments(task.cases[first]) else ""
    sentence_there = place + fault.sentence
    there = (sentence_there[0].upper() + sentence_there[1:],)
    comparison = None
    if fault.part is not None and (yours := outcomes[first].parts) is not None:
        comparison = Comparison(task.returns[fault.part], yours[fault.part], right[first][fault.part], fault.difference)
    return Report(
        task,
        "failed",
        diagnosis=name,
        sentences=(sentence, *there) if sentence else there,
        good=good,
        total=len(task.cases),
        case=task.cases[first],
        comparison=comparison,
    )


def _fault(task: Task, outcome: Outcome, right: tuple[np.ndarray, ...]) -> Fault | None:
    """Return why this case fails; None if it is right."""
    if outcome.trouble or outcome.parts is None:
        verb = outcome.trouble.replace("returns", "is", 1) if task.answer == "value" else outcome.trouble
        return Fault(f"your {task.noun} {verb}")
    for part, (yours, expected) in enumerate(zip(outcome.parts, right)):
        if (found := difference(yours, expected, task.rtol, task.atol)) is not None:
            what = f"your {task.returns[part]}" if len(right) > 1 else "your output"
            return Fault(_difference_sentence(what, yours, expected, found), part, found)
    if outcome.changed:
        names = " and ".join(f"`{name}`" for name in outcome.changed)
        return Fault(
            f"the output is right, but your {task.noun} writes into its input {names}, which belongs to the caller: "
            f"work on a copy, such as {outcome.changed[0]}.copy()."
        )
    return None


def _difference_sentence(what: str, yours: np.ndarray, expected: np.ndarray, found: Difference) -> str:
    if found.kind == "shape":
        return f"the shape of {what} is {yours.shape}; expected {expected.shape}."
    if found.kind == "type":
        wanted = "whole numbers" if expected.dtype.kind in "iu" else f"{expected.dtype.name} values"
        hint = " Dividing with // keeps them whole." if expected.dtype.kind in "iu" and yours.ndim == 0 else ""
        return f"the value is right, but {what} has type {yours.dtype.name}; the task asks for {wanted}.{hint}"
    if yours.ndim == 0:
        return f"{what} is {number(yours[()])}; expected {number(expected[()])}."
    assert found.where is not None
    count = int(found.where.sum())
    nans = int((np.isnan(yours) & found.where).sum()) if yours.dtype.kind in "fc" else 0
    share = f"{count} of {yours.size} entries {'differs' if count == 1 else 'differ'}"
    if count == yours.size:
        share = {1: "its only entry differs", 2: "both entries differ"}.get(count, f"all {count} entries differ")
    sentence = f"{what} has the right shape, {yours.shape}, but {share}"
    if not nans:
        return f"{sentence}."
    if nans == count:
        return f"{sentence}: {'it is' if count == 1 else 'they are'} NaN (not a number)."
    return f"{sentence}; {nans} of them {'is' if nans == 1 else 'are'} NaN (not a number)."


# --- which mistake it is ------------------------------------------------------------------------------------


def _diagnosis(task: Task, outcomes: list[Outcome], right: list[tuple[np.ndarray, ...]]) -> tuple[str | None, str]:
    """Name the first misconception that gives the same as the answer on every case; the task's own come first."""
    for misconception, wrong in zip(task.misconceptions, calling.wrong_outcomes(task)):
        if len(wrong) == len(outcomes) and all(_alike(task, a, b) for a, b in zip(outcomes, wrong)):
            return misconception.name, misconception.sentence
    pairs: Pairs = []
    for outcome, parts in zip(outcomes, right):
        if outcome.parts is None:
            return None, ""
        pairs += zip(outcome.parts, parts)
    if len(outcomes) == len(right) and not all(equal(y, e, task.rtol, task.atol) for y, e in pairs):
        for name, sentence, explains in GENERAL:
            if explains(pairs, task.rtol, task.atol):
                return name, sentence
    return None, ""


def _alike(task: Task, yours: Outcome, wrong: Outcome) -> bool:
    if yours.parts is None or wrong.parts is None:
        return yours.parts is wrong.parts and yours.error == wrong.error != ""
    return all(equal(a, b, task.rtol, task.atol) for a, b in zip(yours.parts, wrong.parts))


def _cut(pairs: Pairs, rtol: float, atol: float) -> bool:
    return all(y.dtype.kind in "iuf" and equal(y, np.trunc(e), 0, 0) for y, e in pairs)


def _wraps(pairs: Pairs, rtol: float, atol: float) -> bool:
    if not all(y.dtype.kind in "iu" and e.dtype.kind in "iuf" and np.isfinite(e).all() for y, e in pairs):
        return False
    return all(equal(y, e.astype(np.int64).astype(y.dtype), 0, 0) for y, e in pairs)


def _coarse(pairs: Pairs, rtol: float, atol: float) -> bool:
    return all(y.dtype == np.float16 and equal(y, e, 5e-3, 5e-3) for y, e in pairs)


def _negative(pairs: Pairs, rtol: float, atol: float) -> bool:
    return all(y.dtype.kind in "ifc" and equal(-y, e, rtol, atol) for y, e in pairs)


def _transposed(pairs: Pairs, rtol: float, atol: float) -> bool:
    return all(y.ndim >= 2 and equal(y.swapaxes(-1, -2), e, rtol, atol) for y, e in pairs)


def _constant(pairs: Pairs, rtol: float, atol: float) -> bool:
    yours = [y for y, _ in pairs]
    return len(pairs) > 1 and all(y.shape == yours[0].shape and y.tobytes() == yours[0].tobytes() for y in yours)


# Mistakes of every task, looked for after the task's own: name, sentence, does it explain all cases?
GENERAL: list[tuple[str, str, Callable[[Pairs, float, float], bool]]] = [
    (
        "cut to integers",
        "Your numbers are the right ones with their fractions cut off: they were stored in an array of integers. "
        "Make the array with np.zeros(shape), which holds fractions, or give dtype=np.float32.",
        _cut,
    ),
    (
        "wraps around",
        "Your numbers are the right ones, wrapped around by a type of integer that is too small for them: uint8 holds "
        "0 to 255, int8 holds -128 to 127. Compute in float32.",
        _wraps,
    ),
    (
        "float16",
        "Your numbers are close to the right ones, but rounded to float16, which keeps 3 digits. Compute in float32.",
        _coarse,
    ),
    ("opposite sign", "Every number of your output has the right size and the opposite sign.", _negative),
    (
        "transposed",
        "Your output has the right numbers with rows and columns (its last two axes) exchanged.",
        _transposed,
    ),
    (
        "same output for every input",
        "Your output is the same for every input: it doesn't use the arguments, or it holds the result of one example.",
        _constant,
    ),
]
