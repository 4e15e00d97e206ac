"""The program that runs a student's code: a notebook and input arrays in, output arrays out.

Nothing is compared here and no right answer is known: the process belongs to the student from the first line of the
notebook on. `serve` starts such processes one after another, each in namespaces of its own; `run_once` is one without.
"""

from __future__ import annotations

import gc
import inspect
import json
import linecache
import os
import re
import select
import signal
import socket
import sys
import types
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from zerohero.checks import calling, diagnosing
from zerohero.checks.calling import Outcome
from zerohero.checks.definition import Case, Task
from zerohero.grading import exchange, isolation, slicing

LARGEST_CODE = 2_000_000  # characters of a notebook's code
LARGEST_ANSWER = 32_000_000  # bytes of arrays that are sent back
NOT_PYTHON = re.compile(r"\s*([%!?]|\w[\w.]*\?+\s*$)")  # a notebook's magics, shell commands, questions


# --- many, isolated -----------------------------------------------------------------------------------------


def serve(settings: dict[str, Any]) -> None:
    """Shut this process in, then run requests, each in a process of its own, until the channel (input 0) closes.

    A request is a message {"seconds", "limits", "disk", "user"} with two files: what to run, and where the answer goes.
    This process reads neither: nothing of one student is in its memory when the next one's process is made of it.
    """
    import nbformat  # noqa: F401  # once, for all

    channel = socket.socket(fileno=0)
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")  # should memory run out, students' processes go first
        shown = [Path(path) for path in settings["shown"]]
        isolation.enter_own_root(Path(settings["root"]), shown, Path(settings["emptied"]), settings["kept"])
    except OSError as error:
        _say(channel, refused=str(error))
        return
    _say(channel, ready=True)
    gc.freeze()
    while True:
        message, files, _, _ = socket.recv_fds(channel, 65536, 2)
        if not message:
            return
        supervisor = os.fork()
        if supervisor == 0:
            _supervise(channel, json.loads(message), *files)
        for file in files:
            os.close(file)
        os.waitpid(supervisor, 0)


def _say(channel: socket.socket, **message: Any) -> None:
    channel.sendall(json.dumps(message).encode() + b"\n")


def _supervise(channel: socket.socket, order: dict[str, Any], request: int, answer: int) -> NoReturn:
    """Start the student's process as the first of new namespaces, end it with all it started, and say how it ended."""
    try:
        new = isolation.NEW_PIDS | isolation.NEW_MOUNTS | isolation.NEW_NETWORK
        isolation.unshare(new | isolation.NEW_IPC | isolation.NEW_NAMES)
        begun, begin = os.pipe()
        student = os.fork()
        if student == 0:
            _become_student(order, request, answer, begin)
        for file in (request, answer, begin):
            os.close(file)
        started = os.read(begun, 200)  # "go", or why it is not isolated
        ended = select.select([os.pidfd_open(student)], [], [], order["seconds"])[0] if started == b"go" else []
        os.kill(student, signal.SIGKILL)  # the others of its namespace die with it
        status = os.waitpid(student, 0)[1]
        if started != b"go":
            _say(channel, refused=started.decode(errors="replace"))
        else:
            _say(channel, ended="" if ended else "time", signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0)
    except OSError as error:
        _say(channel, refused=str(error))
    finally:
        os._exit(0)


def _become_student(order: dict[str, Any], request: int, answer: int, begin: int) -> NoReturn:
    try:
        os.setsid()
        nothing = os.open("/dev/null", os.O_RDWR)
        for number, file in enumerate((nothing, nothing, nothing, request, answer, begin)):
            os.dup2(file, number + 20)
        for number in range(6):
            os.dup2(number + 20, number)
        os.closerange(6, 4096)
        isolation.give_up_everything(order["user"], order["disk"], order["limits"])
        os.write(5, b"go")
        os.close(5)
        _answer_files(3, 4)
    except OSError as error:
        os.write(5, str(error).encode()[:200])
    finally:
        os._exit(0)  # no atexit, no __del__, no thread is waited for


def _answer_files(request: int, answer: int) -> None:
    os.lseek(request, 0, os.SEEK_SET)
    with open(request, "rb") as file:
        data = file.read()
    data = run(data)
    while data:
        data = data[os.write(answer, data) :]


# --- one, not isolated --------------------------------------------------------------------------------------


def run_once(settings: dict[str, Any]) -> NoReturn:
    """Run one request, from standard input to standard output, with the limits that the system knows."""
    data = sys.stdin.buffer.read()
    answer = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    isolation.limit(settings["limits"])
    try:
        with open(answer, "wb") as file:
            file.write(run(data))
    finally:
        os._exit(0)


# --- a request ----------------------------------------------------------------------------------------------


def run(request: bytes) -> bytes:
    """Map a notebook and the inputs of one task to outputs.

    Parameters
    ----------
    request : bytes
        As `zerohero.grading.requests.Request` packs it.

    Returns
    -------
    bytes
        An `.npz` with arrays named "case.part" and `report`, JSON: {"outcomes": [...]} or {"missing": sentence}.
    """
    fields = exchange.unpack(request)
    task = _task(exchange.unpack_text(fields["task"]), fields)
    try:
        with calling.time_limit(task.seconds):
            answer = _answer(task, code_cells(fields["notebook"].tobytes()))
    except (ValueError, calling.TimeUp) as error:
        sentence = str(error) or f"needs more than {task.seconds:g} seconds for what stands outside of functions"
        return exchange.pack({"report": exchange.pack_text({"missing": sentence})})
    return _packed(_outcomes(task, answer))


def code_cells(notebook: bytes) -> list[tuple[str, str]]:
    """Return (name, code) of the code cells of a notebook.

    Raises
    ------
    ValueError
        With a sentence that says why this is not a notebook.
    """
    import warnings

    import nbformat

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cells = nbformat.reads(notebook.decode("utf-8"), as_version=4).cells
            codes = [(f"cell {n}", str(c.source)) for n, c in enumerate(cells, start=1) if c.cell_type == "code"]
    except Exception as error:
        raise ValueError(f"The file is not a notebook that can be read ({type(error).__name__}).") from None
    if sum(len(code) for _, code in codes) > LARGEST_CODE:
        raise ValueError(f"The notebook holds more than {LARGEST_CODE:,} characters of code.")
    return codes


def _task(known: dict[str, Any], fields: dict[str, np.ndarray]) -> Task:
    """The task as the grader may tell it: with its inputs, without its reference."""
    functions: dict[str, Any] = {}
    exec(compile(known["code"], "<given>", "exec"), functions)
    cases = [Case(*each[0], **each[1]) for each in exchange.decode(known["cases"], fields, functions)]

    def unknown(*args: Any, **kwargs: Any) -> NoReturn:
        raise AssertionError("the right answer is not known here")

    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in known["parameters"]]
    unknown.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    card: dict[str, Any] = dict(title="", difficulty=1, minutes=1, practises="", hints=["none"])
    task = Task(
        name=known["name"],
        reference=unknown,
        inputs=lambda rng: cases,
        returns=tuple(known["returns"]),
        answer=known["answer"],
        use=functions[known["use"]] if known["use"] else None,
        seconds=known["seconds"],
        **card,
    )
    task.__dict__["gives_list"] = known["gives_list"]
    return task


def _answer(task: Task, cells: list[tuple[str, str]]) -> Any:
    """Run what the task needs of the notebook, statement by statement, and return what bears the task's name.

    Raises
    ------
    ValueError
        With a sentence that says why there is no answer.
    """
    program: list[slicing.Statement] = []
    troubles: list[str] = []
    for name, code in cells:
        code = "\n".join("" if NOT_PYTHON.match(line) else line for line in code.split("\n"))
        file = f"<{name}>"
        try:
            program += slicing.statements(code, file)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            if re.search(rf"\b{task.short}\b", code):
                at = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
                troubles.append(f"It can't be read as Python ({type(error).__name__} in {name}{at}).")
        linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    for statement in slicing.needed(program, {task.short}):
        try:
            exec(statement.code, vars(module))
        except (Exception, SystemExit) as error:
            told = f"{type(error).__name__}: {calling.message_of(error)}".removesuffix(": ")
            troubles.append(f"The line `{statement.source.strip().splitlines()[0][:80]}` stops with {told}.")
    if task.short not in vars(module):
        raise ValueError(f"The notebook has no `{task.short}` that could be used. " + " ".join(troubles[:1]))
    answer = vars(module)[task.short]
    if (trouble := diagnosing.not_an_answer(task, answer)) is not None:
        raise ValueError(trouble)
    return answer


def _outcomes(task: Task, answer: Any) -> list[Outcome]:
    return calling.run(task, (lambda *args, **kwargs: answer) if task.answer == "value" else answer)


def _packed(outcomes: list[Outcome]) -> bytes:
    arrays: dict[str, np.ndarray] = {}
    report = []
    room = LARGEST_ANSWER
    for case, outcome in enumerate(outcomes):
        parts, trouble = outcome.parts, outcome.trouble
        room -= sum(part.nbytes for part in parts or ())
        if parts is not None and room < 0:
            trouble = f"returns an array of shape {parts[0].shape}, far bigger than the task asks for."
            parts = None
        arrays |= {f"{case}.{number}": part for number, part in enumerate(parts or ())}
        told = [None if parts is None else len(parts), trouble, outcome.error, list(outcome.changed)]
        report.append(dict(zip(("parts", "trouble", "error", "changed"), told)))
    return exchange.pack(arrays | {"report": exchange.pack_text({"outcomes": report})})
