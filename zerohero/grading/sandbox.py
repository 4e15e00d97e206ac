"""Processes for students' code, seen from the grader: started, given a request, read, ended. How they are shut in
stands in isolation.py; what runs in them, in run_student.py."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zerohero.grading.isolation import DEVICES, SCRATCH, SYSTEM, NotIsolated

PACKAGE = Path(__file__).resolve().parent.parent
HIDDEN = PACKAGE / "checks"  # holds the right answers; of it, students' processes see what runs and reports
ENVIRONMENT = {
    "HOME": SCRATCH, "TMPDIR": SCRATCH, "MPLCONFIGDIR": SCRATCH, "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin",
    "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1",
}  # fmt: skip
LARGEST = 40_000_000  # bytes that are read from a process
WITHOUT = (
    "Students' code needs a sandbox, and this machine gives none: {}. Linux does, to root or where ordinary users may "
    "have user namespaces (in a container, --privileged does). With --unsafe everything runs as you, able to read and "
    "write all that you can: only for notebooks that you trust"
)


@dataclass(frozen=True)
class Limits:
    """What the process of one task may use.

    Parameters
    ----------
    seconds : float, optional
        For all inputs together; by default what the task gives, 10. The processor's time is limited to a little more.
    memory : int
        Bytes of address space.
    disk : int
        Bytes in files, all of them in memory.
    processes, files : int
        How many at once; threads count as processes.

    Examples
    --------
    >>> Limits(memory=1 << 28).processes
    8
    """

    seconds: float | None = None
    memory: int = 1 << 30
    disk: int = 64 << 20
    processes: int = 8
    files: int = 64

    def resources(self, seconds: float) -> dict[str, int]:
        """As the module resource names them."""
        return {
            "AS": self.memory, "CPU": math.ceil(seconds) + 2, "FSIZE": self.disk, "NPROC": self.processes,
            "NOFILE": self.files, "CORE": 0, "MSGQUEUE": 0, "MEMLOCK": 65536, "STACK": 8 << 20,
        }  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What a process sent back, and how it ended."""

    data: bytes
    ended: str = ""  # "time" or "size" if it was ended for that
    signal: int = 0


class Sandbox:
    """One process after another for students' code; use it as a context, or call `close`.

    Starting it takes half a second, for Python, NumPy and the library; each request then runs in a fork of that, in
    namespaces and a memory disk of its own, as a user that nobody is.

    Parameters
    ----------
    limits : Limits
    unsafe : bool
        Run requests as ordinary processes of yours, wherever there is Python.

    Raises
    ------
    NotIsolated
        If this machine gives no sandbox, with a sentence that says what is missing.
    """

    def __init__(self, limits: Limits | None = None, unsafe: bool = False) -> None:
        self.limits, self.unsafe = limits or Limits(), unsafe
        self._parent: subprocess.Popen | None = None
        self._channel: socket.socket | None = None
        if not unsafe:
            self._start()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process that makes the others."""
        if self._channel is not None:
            self._channel.close()
        if self._parent is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._parent.wait(5)
            self._parent.kill()
            self._parent.wait()
        self._parent = self._channel = None

    def run(self, request: bytes, seconds: float) -> Answer:
        """Run `run_student.run` on a request in a process of its own.

        Parameters
        ----------
        request : bytes
            As `requests.request` packs it.
        seconds : float
            How long the student's code may take. The process is ended a little later.

        Raises
        ------
        NotIsolated
            If the sandbox itself failed; never for what the student's code did.
        """
        if self.unsafe:
            return _run_unsafe(request, seconds, self.limits)
        if self._channel is None:
            self._start()
        try:
            return self._run(request, seconds)
        except (OSError, ValueError) as error:
            self.close()
            raise error if isinstance(error, NotIsolated) else NotIsolated(f"the sandbox ended: {error}") from error

    # --- isolated -------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if sys.platform != "linux":
            raise NotIsolated(WITHOUT.format(f"it is made of Linux namespaces, and this is {sys.platform}"))
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with tempfile.TemporaryDirectory(prefix="zerohero-") as root, theirs:
            settings = {"root": root, "shown": shown(), "emptied": str(HIDDEN), "kept": kept()}
            self._parent = _started(_program("serve", settings), stdin=theirs)
            theirs.close()
            self._channel.settimeout(60)
            answer = self._hear()
        if "ready" not in answer:
            self.close()
            raise NotIsolated(WITHOUT.format(answer.get("refused", "it didn't start")))
        weakref.finalize(self, self._channel.close)

    def _run(self, request: bytes, seconds: float) -> Answer:
        assert self._channel is not None and self._parent is not None
        end = seconds * 1.5 + 1
        order = {"seconds": end, "limits": self.limits.resources(seconds), "disk": self.limits.disk}
        read, write = os.pipe()
        with open(read, "rb", buffering=0) as answer:
            with tempfile.TemporaryFile() as file:
                file.write(request)
                file.flush()
                message = json.dumps({**order, "user": nobody(self._parent.pid)}).encode()
                socket.send_fds(self._channel, [message], [file.fileno(), write])
            os.close(write)
            data = _read(answer.fileno(), time.monotonic() + end + 30)
        self._channel.settimeout(end + 30)
        said = self._hear()
        if "refused" in said or not said:
            raise NotIsolated(WITHOUT.format(said.get("refused", "it ended")))
        if data is None:
            return Answer(b"", "size")
        return Answer(b"" if said["ended"] else data, said["ended"], said["signal"])

    def _hear(self) -> dict[str, Any]:
        assert self._channel is not None
        message = b""
        while not message.endswith(b"\n"):
            piece = self._channel.recv(4096)
            if not piece:
                return {}
            message += piece
        return json.loads(message)


def _read(file: int, end: float) -> bytes | None:
    """All that comes out of a pipe; None if it is too much, or doesn't end."""
    pieces: list[bytes] = []
    size = 0
    while select.select([file], [], [], max(end - time.monotonic(), 0))[0]:
        piece = os.read(file, 1 << 16)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
        size += len(piece)
        if size > LARGEST:
            break
    return None


def shown() -> list[str]:
    """What students' processes see of this machine: Python, its packages, shared libraries, and this library."""
    devices = [f"/dev/{name}" for name in DEVICES]
    python = [sys.prefix, sys.base_prefix, sys.exec_prefix, *map(str, _homes())]
    return [*SYSTEM, *devices, *dict.fromkeys(os.path.realpath(path) for path in python), *python, str(PACKAGE)]


def _homes() -> list[Path]:
    """The folders of packages that hold what students' processes need; nothing is imported, which takes a second."""
    found = [importlib.util.find_spec(name) for name in ("numpy", "nbformat")]
    if None in found:
        raise ImportError("grading reads notebooks with nbformat: pip install 'zerohero[course]'")
    return [Path(spec.origin).resolve().parent.parent for spec in found if spec is not None and spec.origin]


def kept() -> list[str]:
    """The files of zerohero/checks that students' processes see: none that knows a task."""
    return sorted(path.name for path in HIDDEN.glob("*.py") if not path.name.startswith("exercise_"))


def nobody(number: int) -> int:
    """The number of a user that nobody is, another one for each sandbox: limits on processes count by user."""
    mapped = Path("/proc/self/uid_map").read_text().split()
    most = int(mapped[0]) + int(mapped[2])
    if most < 4000:
        raise NotIsolated(WITHOUT.format(f"it needs a user of its own, and this namespace has {int(mapped[2])}"))
    return 2_000_000_000 + number if most > 3_000_000_000 else most - 1000 - number % (most // 4)


def _program(function: str, settings: dict[str, Any]) -> list[str]:
    """A fresh Python with nothing of this one but where packages lie."""
    places = [str(PACKAGE.parent), *map(str, _homes())]
    code = (
        "import json, sys\n"
        "library, *others = json.loads(sys.argv[1])\n"
        "sys.path[:] = [library, *sys.path, *others]\n"
        f"from zerohero.grading.run_student import {function}\n"
        f"{function}(json.loads(sys.argv[2]))"
    )
    return [sys.executable, "-I", "-c", code, json.dumps(places), json.dumps(settings)]


def _started(command: list[str], **settings: Any) -> subprocess.Popen:
    """A process that shares nothing with this one: its environment, terminal, folder."""
    none = subprocess.DEVNULL
    alone: dict[str, Any] = dict(stdout=none, stderr=none, env=ENVIRONMENT, cwd="/", start_new_session=True)
    return subprocess.Popen(command, **alone | settings)


# --- not isolated -------------------------------------------------------------------------------------------


def _run_unsafe(request: bytes, seconds: float, limits: Limits) -> Answer:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as file:
        file.write(request)
        file.seek(0)
        resources = limits.resources(seconds)
        del resources["NPROC"]  # counts all processes of the user, who is you
        settings = {"env": _unsafe_environment(folder), "cwd": folder, "stdout": subprocess.PIPE}
        process = _started(_program("run_once", {"limits": resources}), stdin=file, **settings)
        try:
            data, _ = process.communicate(timeout=seconds * 1.5 + 10)
        except subprocess.TimeoutExpired:
            return Answer(b"", "time")
        finally:
            _end(process)
    if len(data) > LARGEST:
        return Answer(b"", "size")
    return Answer(data, "", max(-process.returncode, 0))


def _unsafe_environment(folder: str) -> dict[str, str]:
    needed = {name: os.environ[name] for name in ("SYSTEMROOT", "PATH") if name in os.environ}
    return {**ENVIRONMENT, **needed, "HOME": folder, "TMPDIR": folder, "MPLCONFIGDIR": folder}


def _end(process: subprocess.Popen) -> None:
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
