"""Calling an answer so that nothing it does gets out: errors, endless loops, changed inputs, odd return values.

This protects a lesson, not an examination: the code runs in this process and could do anything. Comparing is done
elsewhere.
"""

from __future__ import annotations

import contextlib
import inspect
import linecache
import signal
import threading
import time
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from zerohero.checks.definition import Case, Task

LARGEST = 10_000_000  # numbers in an array that a check is willing to copy


class TimeUp(BaseException):
    """The time limit; not an Exception, so that `except Exception` in an answer doesn't swallow it."""


@dataclass(frozen=True)
class Outcome:
    """What one call gave: its arrays, or the sentence that says why there are none, or both."""

    parts: tuple[np.ndarray, ...] | None
    trouble: str = ""  # what is wrong with the call or the kind of thing returned: a sentence without its subject
    error: str = ""  # type and message of the exception that ended the call
    changed: tuple[str, ...] = ()  # names of the inputs that the call wrote into

    @property
    def blank(self) -> bool:
        return self.error.startswith("NotImplementedError")


# --- running ------------------------------------------------------------------------------------------------


def run(task: Task, answer: Callable) -> list[Outcome]:
    """Call `answer` on every case of the task; stop at the first blank or when the time is up."""
    outcomes: list[Outcome] = []
    end = time.monotonic() + task.seconds
    for case in task.cases:
        outcomes.append(call(task, answer, case, max(end - time.monotonic(), 0.01)))
        if outcomes[-1].blank or outcomes[-1].error == "TimeUp":
            break
    return outcomes


def call(task: Task, answer: Callable, case: Case, seconds: float) -> Outcome:
    """Call `answer` on one case. Only KeyboardInterrupt, the reader's own, gets out."""
    given = case.copy()
    parts, trouble, error = None, "", ""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"), time_limit(seconds):
            warnings.simplefilter("ignore")
            parts, trouble = _read(task, task.output(answer, given))
    except KeyboardInterrupt:
        raise
    except TimeUp:
        trouble = f"has no answer after {task.seconds:g} seconds: is there a loop that never ends?"
        error = "TimeUp"
    except BaseException as caught:
        trouble = _sentence(caught, answer, task)
        error = f"{'NotImplementedError' if isinstance(caught, NotImplementedError) else type(caught).__name__}: "
        error += message_of(caught)
    return Outcome(parts, trouble, error, _changed(task, case, given))


def _read(task: Task, value: Any) -> tuple[tuple[np.ndarray, ...] | None, str]:
    """Return what an answer returned as arrays, and what is wrong with its kind; it may break when it is touched."""
    try:
        return plain_parts(value, task.returns, task.gives_list)
    except Exception as error:
        return None, f"returns something that can't be read as an array ({type(error).__name__})."


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeUp in the block after `seconds`, and again each half second, in case it was swallowed.

    It needs the main thread, where notebooks run their cells, and a system with SIGALRM (not Windows); elsewhere there
    is no limit. It waits for a call into C to return.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    armed = True

    def stop(number: int, frame: types.FrameType | None) -> None:
        if armed:
            raise TimeUp

    before = signal.signal(signal.SIGALRM, stop)
    others_left, _ = signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)
    try:
        yield
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, others_left)
        signal.signal(signal.SIGALRM, before)


@cache
def expected(task: Task) -> list[tuple[np.ndarray, ...]]:
    """What the reference gives for every case."""
    results = []
    for case in task.cases:
        parts, trouble = plain_parts(task.output(task.reference, case.copy()), task.returns, task.gives_list)
        if parts is None or trouble:
            raise ValueError(f"Task: the reference of {task.name} needs to return arrays or numbers. {trouble}")
        results.append(parts)
    return results


@cache
def wrong_outcomes(task: Task) -> list[list[Outcome]]:
    """What each misconception of the task gives for every case."""
    return [run(task, misconception.wrong) for misconception in task.misconceptions]


# --- what came back -----------------------------------------------------------------------------------------


def plain_parts(value: Any, names: tuple[str, ...], lists: bool) -> tuple[tuple[np.ndarray, ...] | None, str]:
    """Return what an answer returned as base-class arrays of its own memory, and a sentence if its kind is wrong."""
    if len(names) == 1:
        array, trouble = plain_array(value, lists)
        return (None if array is None else (array,)), trouble and f"returns {trouble}"
    if not isinstance(value, (tuple, list)) or len(value) != len(names):
        got = f"{len(value)} things" if isinstance(value, (tuple, list)) else described(value)
        return None, f"returns {got}; the task asks for {len(names)} things, in this order: {', '.join(names)}."
    arrays, troubles = zip(*(plain_array(item, lists) for item in value))
    trouble = next((f"returns, as {name}, {t}" for name, t in zip(names, troubles) if t), "")
    return (None if any(a is None for a in arrays) else arrays), trouble


def plain_array(value: Any, lists: bool) -> tuple[np.ndarray | None, str]:
    """Return one value as an array of the base class, and what is wrong with its kind, as the end of a sentence."""
    if value is None:
        return None, "None: is a `return` missing?"
    if isinstance(value, np.ndarray):
        # np.ndarray.view, not value.view: a subclass may lie in any method of its own.
        plain = np.ndarray.view(value, np.ndarray)
        if plain.size > LARGEST:
            return None, f"an array of shape {plain.shape}, far bigger than the task asks for."
        array = np.array(plain)
        return (array, "") if array.dtype.kind in "biufcU" else (None, f"an array of {array.dtype}, not of numbers.")
    if isinstance(value, (bool, int, float, complex, str, np.generic)):
        array = np.array(value)
        return (array, "") if array.dtype.kind in "biufcU" else (None, f"{described(value)} that NumPy can't hold.")
    if hasattr(type(value), "__operation__"):
        return plain_array(value.data, lists)[0], "a Tensor; the task asks for a NumPy array: return its `.data`."
    if isinstance(value, (list, tuple)):
        try:
            array = np.array(value)
        except Exception:
            array = np.array(None)
        numbers = array if array.dtype.kind in "biufcU" else None
        if numbers is not None and lists:
            return numbers, ""
        return numbers, f"{described(value)} of {len(value)}; the task asks for a NumPy array or a number."
    if inspect.isgenerator(value):
        return None, "a generator: a `yield` stands where a `return` is meant."
    if isinstance(value, type) or inspect.isroutine(value):
        return None, "a function instead of what it gives: are the parentheses of a call missing?"
    return None, f"{described(value)}; the task asks for a NumPy array or a number."


def described(value: Any) -> str:
    """The type of a value, in words."""
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name == 'ndarray' or name[:1].lower() in 'aeiou' else 'a'} {name}"


def _changed(task: Task, case: Case, given: Case) -> tuple[str, ...]:
    before, after = task.arguments(case), task.arguments(given)
    return tuple(name for name in before if not _same(before[name], after[name]))


def _same(before: Any, after: Any) -> bool:
    """Whether arrays, also inside lists and dicts, hold the same bytes; other objects may change."""
    if isinstance(before, np.ndarray):
        same_form = before.shape == after.shape and before.dtype == after.dtype
        return same_form and before.tobytes() == after.tobytes()
    if isinstance(before, (list, tuple)):
        return len(before) == len(after) and all(map(_same, before, after))
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(_same(before[k], after[k]) for k in before)
    return True


# --- what went wrong ----------------------------------------------------------------------------------------


def _sentence(error: BaseException, answer: Callable, task: Task) -> str:
    name, message = type(error).__name__, message_of(error)
    if isinstance(error, NotImplementedError):
        return f"says that it is not written yet: {message}"
    if isinstance(error, RecursionError):
        return "calls itself without end (RecursionError)."
    if isinstance(error, SystemExit):
        return "calls exit(), which would end the notebook: leave it out."
    line = _line(error, answer)
    if isinstance(error, TypeError) and _innermost(error) is Task.output.__code__ and task.use is None:
        names = ", ".join(task.arguments(task.cases[-1]))
        return f"can't be called with ({names}): {message}."
    sentence = f"stops with {name}: {message}" if message else f"stops with {name}"
    return f"{sentence.rstrip('.')}." if not line else f"{sentence.rstrip('.')}. It happens in the line `{line}`."


def message_of(error: BaseException) -> str:
    """The message of an exception in one line, of at most 300 characters; "" if it breaks when it is asked."""
    try:
        text = " ".join(str(error).split())
    except BaseException:
        return ""
    return text if len(text) <= 300 else text[:297] + "..."


def _line(error: BaseException, answer: Callable) -> str | None:
    """The innermost line of the student's own code that the error went through; None if it never got there."""
    files = {code.co_filename for code in _codes(answer)}
    line, frame = None, error.__traceback__
    while frame is not None:
        code = frame.tb_frame.f_code
        if code.co_filename in files:
            line = linecache.getline(code.co_filename, frame.tb_lineno).strip()
        frame = frame.tb_next
    return line


def _innermost(error: BaseException) -> types.CodeType | None:
    """The code that raised the error, or that called C code which did."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return frame and frame.tb_frame.f_code


def _codes(answer: Callable) -> Iterator[types.CodeType]:
    try:
        members = list(vars(answer).values()) if isinstance(answer, type) else [inspect.unwrap(answer)]
    except Exception:
        return
    for member in members:
        code = getattr(member, "__code__", None)
        if isinstance(code, types.CodeType):
            yield code
