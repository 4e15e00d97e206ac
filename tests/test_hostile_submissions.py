"""Submissions that attack: each is contained, scores nothing it shouldn't, and leaves the next one its full points."""

import csv
import io
import json
import os
import socket
import struct
import threading
import time
import zipfile
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from zerohero import checks
from zerohero.grading import NotIsolated, Sandbox, classes, comparing, exchange, feedback, grade, requests, sandbox
from zerohero.grading.sandbox import Answer, Limits

HONEST = """
def output_size(size, kernel_size, stride=1, padding=0, dilation=1):
    return (size + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1
"""
TASK = checks.task("01.output_size")
SECONDS = 2.0
LIMITS = Limits(seconds=SECONDS, memory=1 << 30, disk=8 << 20)


@pytest.fixture(scope="module")
def box():
    try:
        made = Sandbox(LIMITS)
    except NotIsolated as error:
        pytest.skip(str(error))
    with made:
        yield made


def notebook(*cells):
    first = new_code_cell("import numpy as np\n\nimport zerohero as zh")
    return nbformat.writes(new_notebook(cells=[first, *map(new_code_cell, cells)])).encode()


def judged(box, data, task=TASK, seconds=SECONDS):
    """What the grader says of a notebook's task; however it ends, it ends in time."""
    start = time.monotonic()
    task = requests.seeded(task, 5)
    report = comparing.report(task, box.run(requests.request(task, data, seconds), seconds), seconds)
    assert time.monotonic() - start < 30
    return report


def left_behind(box):
    """Processes of the sandbox's user that are still there."""
    user = sandbox.nobody(box._parent.pid) if os.geteuid() == 0 else None
    return [p for p in Path("/proc").glob("[0-9]*") if user is not None and _user(p) == user]


def _user(process):
    try:
        return process.stat().st_uid
    except OSError:
        return None


@pytest.fixture(autouse=True)
def the_next_student_gets_full_points(request):
    yield
    if "box" in request.fixturenames:
        box = request.getfixturevalue("box")
        report = judged(box, notebook(HONEST), seconds=20.0)
        assert report.passed, report
        assert not left_behind(box)


# --- code that is no answer -----------------------------------------------------------------------------------

RIGHT = "return (size + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1"


def function(body, before=""):
    """A cell with the task's function: what it does, then, if nothing ended it, a wrong answer."""
    lines = "\n".join(f"    {line}" for line in body.strip("\n").split("\n"))
    return f"{before}\ndef output_size(size, kernel_size, stride=1, padding=0, dilation=1):\n{lines}\n    return -7\n"


# name: (code, a part of what the report says). The answers are wrong or missing, so nothing here may pass.
FAIL = {
    "endless loop": (function("while True: pass"), "no answer after 2 seconds"),
    "endless loop that ignores signals": (
        function("import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True: pass"),
        "no answer after 2 seconds",
    ),
    "endless loop that swallows everything": (
        function("while True:\n    try:\n        while True: pass\n    except BaseException: pass"),
        "no answer after 2 seconds",
    ),
    "sleeps for ever": (
        function("import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))\ntime.sleep(10**6)"),
        "no answer after 2 seconds",
    ),
    "endless loop in C": (function("return sum(iter(int, 1))"), "no answer after 2 seconds"),
    "endless loop outside of the function": (
        "while True: output_size = 1\ndef output_size(size): pass",
        "needs more than 2 seconds",
    ),
    "fork bomb": (
        function("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"),
        "no answer after 2 seconds",
    ),
    "thread bomb": (
        function("import threading, time\nwhile True: threading.Thread(target=time.sleep, args=[60]).start()"),
        "can't start new thread",
    ),
    "50 GB at once": (function("return bytearray(50 << 30)"), "MemoryError"),
    "50 GB of NumPy": (function("return np.ones((50 << 30) // 8)"), "Unable to allocate"),
    "50 GB bit by bit": (function("kept = []\nwhile True: kept.append(bytearray(1 << 26))"), ""),
    "recursion in C": (
        function("import functools\nf = lambda: 0\nfor _ in range(10**6): f = functools.partial(f)\nreturn f()"),
        "",
    ),
    "segmentation fault": (function("import ctypes\nctypes.string_at(1)"), "ends its process (signal 11)"),
    "sys.exit": (function("import sys\nsys.exit(0)"), "calls exit()"),
    "sys.exit while defining": ("import sys\noutput_size = sys.exit()", "has no `output_size`"),
    "os._exit": (function("import os\nos._exit(0)"), "ends its process"),
    "os.abort": (function("import os\nos.abort()"), "ends its process (signal"),
    "KeyboardInterrupt": (function("raise KeyboardInterrupt"), "ends its process"),
    "becomes another program": (
        function("import os, sys\nos.execv(sys.executable, [sys.executable, '-c', 'print(1)'])"),
        "ends its process",
    ),
    "floods the channel": (function("import os\nwhile True: os.write(4, bytes(1 << 20))"), ""),
    "answers of 100 MB": (function("return np.zeros(9_999_999)"), ""),
    "NaN": (function("return float('nan')"), ""),
    "infinity": (function("return float('inf')"), ""),
    "a huge integer": (function("return 10**4000"), "NumPy can't hold"),
    "a huge shape": (function("return np.broadcast_to(np.float32(1), (10**9, 10**9))"), "far bigger"),
    "objects": (function("return np.array([object()])"), "an array of object"),
    "a text": (function("return '<script>alert(1)</script>'"), ""),
    "None": (function("return None"), "returns None"),
    "no function": ("x = 1", "has no `output_size`"),
    "no Python": ("def output_size(:", "can't be read as Python"),
    "nested code": (f"output_size = {'(' * 50_000}1{')' * 50_000}", "can't be read as Python"),
    "long chain of code": (f"output_size = {'-' * 300_000}1", ""),
    "bomb of zeros": (
        function("import zlib\nsmall = zlib.compress(bytes(1 << 20)) * 1\nreturn zlib.decompress(small) * 4096"),
        "MemoryError",
    ),
}


@pytest.mark.parametrize("name", FAIL)
def test_what_gives_no_right_answer_gets_no_point(box, name):
    code, said = FAIL[name]
    report = judged(box, notebook(code))
    assert report.status == "failed"
    assert said in " ".join(report.sentences), report


# --- attacks on what judges -----------------------------------------------------------------------------------

# Each leaves a wrong answer and tries to have it called right.
FORGED = "from zerohero.grading import exchange\nimport os\n"
SEND = "os.write(4, {})\nos._exit(0)"
LIES = {
    "np.allclose always true": "np.allclose = np.array_equal = np.isclose = lambda *a, **k: True\nreturn 0",
    "every comparison always true": (
        "import builtins\nfor f in ('abs', 'all', 'any'): setattr(builtins, f, lambda *a: True)"
    ),
    "isinstance always true": "import builtins\nbuiltins.isinstance = lambda *a: True\nbuiltins.len = lambda *a: 1",
    "the checker patched": (
        "from zerohero.checks import calling, comparing, diagnosing, report\n"
        "comparing.difference = diagnosing.difference = diagnosing.equal = lambda *a: None\n"
        "diagnosing.compare = lambda task, *a: report.Report(task, 'passed')\n"
        "report.Report.passed = property(lambda self: True)"
    ),
    "the runner patched": (
        "from zerohero.checks import calling\n"
        "calling.call.__code__ = (lambda task, answer, case, seconds: calling.Outcome(())).__code__"
    ),
    "no outcomes at all": (
        "from zerohero.grading import run_student\n"
        "run_student._packed.__code__ = (lambda outcomes: exchange.pack("
        "{'report': exchange.pack_text({'outcomes': []})})).__code__"
    ),
    "numpy.save patched": "np.save = np.savez = np.lib.format.write_array = lambda *a, **k: None",
    "zipfile patched": "import zipfile\nzipfile.ZipFile.open = lambda *a, **k: open('/dev/null', 'wb')",
    "json patched": "import json\njson.dumps = lambda *a: '{\"outcomes\": [{\"parts\": 1, \"trouble\": \"\"}]}'",
    "a lying subclass": (
        "class Lying(np.ndarray):\n"
        "    __eq__ = __le__ = __ge__ = lambda self, other: np.array(True)\n"
        "    __array_ufunc__ = lambda self, *a, **k: np.array(True)\n"
        "    shape = property(lambda self: ())\n"
        "return np.array(-7).view(Lying)"
    ),
    "an object equal to everything": (
        "class Any(int):\n    __eq__ = __le__ = __ge__ = lambda *a: True\n"
        "    __array__ = lambda *a, **k: np.array(True)\n"
        "return Any(5)"
    ),
    "a lying class": "class Any:\n    __class__ = int\nreturn Any()",
    "atexit": "import atexit, os\natexit.register(lambda: os.write(4, b'passed'))",
    "__del__": "class Late:\n    def __del__(self):\n        os.write(4, b'passed')\nkeep = [Late()]",
    "sys.modules emptied": "import sys\nfor name in list(sys.modules): sys.modules.pop(name)",
    "sys.modules replaced": (
        "import sys, types\nfake = types.ModuleType('zerohero.checks.diagnosing')\nfake.compare = lambda *a: True\n"
        "sys.modules['zerohero.checks.diagnosing'] = fake"
    ),
    "an import hook": (
        "import sys\n"
        "class Hook:\n    def find_spec(self, name, path=None, target=None): raise ImportError('passed')\n"
        "sys.meta_path.insert(0, Hook())"
    ),
    "a trace function": "import sys\nsys.settrace(lambda *a: None)\nsys.setprofile(lambda *a: None)",
    "frames of the runner changed": (
        "import sys\nframe = sys._getframe()\n"
        "while frame:\n    for value in frame.f_locals.values():\n"
        "        if isinstance(value, list): value.clear()\n    frame = frame.f_back"
    ),
    "a report that says passed": SEND.format(
        "exchange.pack({'report': exchange.pack_text({'status': 'passed', 'passed': True, 'outcomes': []})})"
    ),
    "only the first input answered": SEND.format(
        "exchange.pack({'0.0': np.array(2), 'report': exchange.pack_text({'outcomes': "
        "[{'parts': 1, 'trouble': '', 'error': '', 'changed': []}]})})"
    ),
    "a time limit without trouble": SEND.format(
        "exchange.pack({'0.0': np.array(2), 'report': exchange.pack_text({'outcomes': "
        "[{'parts': 1, 'trouble': '', 'error': 'TimeUp', 'changed': []}]})})"
    ),
    "outcomes of wrong types": SEND.format(
        "exchange.pack({'report': exchange.pack_text({'outcomes': "
        "[{'parts': True, 'trouble': [], 'error': {}}] * 10})})"
    ),
    "a report nested deeply": SEND.format(
        "exchange.pack({'report': np.frombuffer(b'[' * 10**6, np.uint8)})"
    ),
    "garbage": SEND.format("b'PK' + os.urandom(1000)"),
    "nothing": SEND.format("b''"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_a_lie_to_what_judges_gets_no_point(box, name):
    report = judged(box, notebook(function(LIES[name], FORGED)))
    assert report.status == "failed", report
    assert report.sentences


def test_the_first_input_alone_would_have_been_right():
    right = checks.calling.expected(requests.seeded(TASK, 5))
    assert right[0][0] == 2, "else the two attacks above would prove nothing"


@pytest.mark.parametrize("how", ["import", "file", "bytecode"])
def test_the_right_answers_are_not_there_to_be_read(box, how, monkeypatch):
    read = {
        "import": "from zerohero.checks.exercise_01 import output_size as task\n",
        "file": "ran = exec(open(zh.checks.__path__[0] + '/exercise_01.py').read(), g := {'__name__': 'x'})\n"
        "task = g['output_size']\n",
        "bytecode": "import glob, marshal\n"
        "path = glob.glob(zh.checks.__path__[0] + '/__pycache__/exercise_01*.pyc')[0]\n"
        "ran = exec(marshal.loads(open(path, 'rb').read()[16:]), g := {'__name__': 'x'})\n"
        "task = g['output_size']\n",
    }[how]  # fmt: skip
    attack = notebook(read + "output_size = task.reference")
    assert judged(box, attack).status == "failed"
    if how != "bytecode":  # the attack is one: where the file is left, it scores
        monkeypatch.setattr(sandbox, "kept", lambda: [path.name for path in sandbox.HIDDEN.glob("*.py")])
        with Sandbox(LIMITS) as careless:
            assert judged(careless, attack, seconds=20.0).passed


def test_outputs_written_down_for_the_inputs_of_the_notebook_are_worth_nothing(box):
    task = checks.task("01.slide_by_loops")
    known = {case.args[0].tobytes(): y[0].tolist() for case, y in zip(task.cases, checks.calling.expected(task))}
    code = f"known = {known!r}\ndef slide_by_loops(image, kernel):\n    return np.array(known[image.tobytes()])"
    data = notebook(code)
    report = judged(box, data, task, seconds=20.0)
    assert report.status == "failed" and report.good < report.total
    public = comparing.report(task, box.run(requests.request(task, data, 20.0), 20.0), 20.0)
    assert public.passed, "the attack is one: on the notebook's own inputs it scores"


# --- what comes back ------------------------------------------------------------------------------------------


def packed(**entries):
    """An .npz from raw bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, raw in entries.items():
            archive.writestr(f"{name}.npy", raw)
    return buffer.getvalue()


def npy(descr="'<f8'", shape="(1,)", data=bytes(8)):
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def pickled():
    buffer = io.BytesIO()
    np.save(buffer, np.array([print], object), allow_pickle=True)
    return buffer.getvalue()


def bomb():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.0.npy", npy(shape="(10000000,)", data=bytes(80_000_000)))
    return buffer.getvalue()


def overlapping():
    data = bytearray(packed(**{f"a{i}": npy(data=bytes(8)) for i in range(50)}))
    sizes = [i for i in range(len(data)) if data[i : i + 4] == b"PK\x01\x02"]
    for i in sizes:  # every entry claims to be the whole file
        data[i + 20 : i + 28] = struct.pack("<II", len(data), len(data))
    return bytes(data)


ARRAYS = {
    "a pickle": packed(a=pickled()),
    "a zip bomb": bomb(),
    "overlapping entries": overlapping(),
    "too many arrays": packed(**{f"a{i}": b"" for i in range(3000)}),
    "a size that isn't there": packed(a=npy(shape="(100000000000,)")),
    "a negative size": packed(a=npy(shape="(-1,)")),
    "a code as shape": packed(a=npy(shape="(__import__('os').getpid(),)")),
    "nested brackets": packed(a=npy(shape="(" * 5000)),
    "records": packed(a=npy(descr="[('x', '<f8')]")),
    "dates": packed(a=npy(descr="'<M8[s]'")),
    "empty texts without end": packed(a=npy(descr="'<U0'", shape="(999999999999,)", data=b"")),
    "long texts": packed(a=npy(descr="'<U1000'", data=bytes(4000))),
    "version 3": packed(a=npy().replace(b"\x01\x00", b"\x03\x00", 1)),
    "not a zip": b"nothing",
    "a cut file": exchange.pack({"a": np.zeros(10)})[:-40],
}


@pytest.mark.parametrize("name", ARRAYS)
def test_bytes_that_are_no_plain_arrays_are_refused(name):
    with pytest.raises(ValueError, match=r"not an uncompressed \.npz of arrays"):
        exchange.unpack(ARRAYS[name])
    report = comparing.report(TASK, Answer(ARRAYS[name]), 1.0)
    assert report.status == "failed"


def test_a_truth_value_of_two_is_a_truth_value():
    (found,) = exchange.unpack(packed(a=npy(descr="'|b1'", data=b"\x02"))).values()
    assert found.view(np.uint8).tolist() == [1]


# --- attacks on the machine -----------------------------------------------------------------------------------


def told(box, body, **options):
    """Run statements in the sandbox; what they put into `out` comes back as the text of an error."""
    code = function(f"out = []\n{body}\nraise RuntimeError(' '.join(map(str, out)))")
    return " ".join(judged(box, notebook(code), **options).sentences)


TRY = """
def attempt(name, f):
    try:
        out.append(f'{name}:{f()!r:.60}')
    except BaseException as error:
        out.append(f'{name}:{type(error).__name__}')
import ctypes, os, shutil, signal, socket
libc = ctypes.CDLL(None, use_errno=True)
"""


def test_files_are_neither_there_nor_deleted(box, tmp_path):
    kept = tmp_path / "kept.txt"
    kept.write_text("kept")
    body = TRY + (
        f"attempt('read', lambda: open({str(kept)!r}).read())\n"
        f"attempt('list', lambda: os.listdir({str(tmp_path)!r}))\n"
        f"attempt('write', lambda: open({str(tmp_path / 'new')!r}, 'w'))\n"
        f"attempt('course', lambda: os.listdir({str(sandbox.PACKAGE.parent / 'solutions')!r}))\n"
        "attempt('passwords', lambda: open('/etc/passwd').read())\n"
        "for place in ('/etc', os.path.dirname(ctypes.__file__), os.path.expanduser('~'), os.getcwd()):\n"
        "    shutil.rmtree(place, ignore_errors=True)"
    )
    said = told(box, body, seconds=10.0)
    for name in ("read", "list", "write", "course", "passwords"):
        assert f"{name}:FileNotFoundError" in said, said
    assert kept.read_text() == "kept"
    assert list(tmp_path.iterdir()) == [kept]
    assert len(list(sandbox.PACKAGE.rglob("*.py"))) > 50


def test_nothing_of_the_machine_can_be_written_to(box):
    places = ["/new", "/etc/new", f"{sandbox.PACKAGE}/new", f"{sandbox.HIDDEN}/calling.py", os.__file__, "/dev/new"]
    body = TRY + "".join(f"attempt('w', lambda: open({place!r}, 'a'))\n" for place in places)
    said = told(box, body + f"attempt('chmod', lambda: os.chmod({os.__file__!r}, 0o777))")
    assert said.count("w:OSError") + said.count("w:PermissionError") == len(places), said
    assert "chmod:OSError" in said or "chmod:PermissionError" in said


def test_the_disk_is_not_filled(box):
    body = TRY + (
        "def fill():\n    for n in range(10**6):\n"
        "        with open(f'/scratch/{n}', 'wb') as file: file.write(bytes(10**6))\n"
        "attempt('fill', fill)\nout.append(len(os.listdir('/scratch')))\n"
        "attempt('sparse', lambda: os.truncate('/scratch/0', 1 << 40))"
    )
    said = told(box, body, seconds=10.0)
    assert "fill:OSError 9 " in said, said  # 8 MB
    assert "sparse:ValueError" in said or "sparse:OSError" in said or "sparse:TimeUp" in said


def test_there_is_no_network_not_even_to_this_machine(box):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        body = TRY + (
            f"attempt('call', lambda: socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 1))\n"
            "for family in (1, 2, 10, 16, 17, 38, 40): attempt('socket', lambda: socket.socket(family))"
        )
        said = told(box, body, seconds=10.0)
        with pytest.raises(TimeoutError):
            server.accept()
    assert "call:PermissionError" in said and said.count("socket:PermissionError") == 7, said


def test_no_other_process_is_seen_or_reached(box):
    canary = os.fork()
    if canary == 0:
        time.sleep(60)
        os._exit(0)
    try:
        body = TRY + (
            "attempt('proc', lambda: os.listdir('/proc'))\nout.append(f'me:{os.getpid()},{os.getppid()}')\n"
            "for pid in [-1, *range(2, 40)]:\n    attempt('kill', lambda: os.kill(pid, 9))\n    del out[2:]\n"
            f"attempt('other', lambda: os.kill({canary}, 9))\n"
            f"attempt('grader', lambda: os.kill({os.getpid()}, 9))\n"
            "attempt('ptrace', lambda: libc.ptrace(16, 1, 0, 0))\n"
            "attempt('trace', lambda: ctypes.get_errno())"
        )
        said = told(box, body, seconds=10.0)
        assert os.waitpid(canary, os.WNOHANG) == (0, 0), "it was killed"
    finally:
        os.kill(canary, 9)
        os.waitpid(canary, 0)
    assert "proc:FileNotFoundError me:1,0" in said
    assert "other:ProcessLookupError grader:ProcessLookupError ptrace:-1" in said


def test_no_rights_are_to_be_had(box):
    body = TRY + (
        "attempt('user', lambda: os.setuid(0))\nattempt('group', lambda: os.setgid(0))\n"
        "attempt('groups', lambda: os.setgroups([0]))\nattempt('nice', lambda: os.nice(-5))\n"
        "attempt('unshare', lambda: libc.unshare(0x10000000))\n"
        "attempt('clone', lambda: libc.syscall(56, 0x10000011, 0, 0, 0, 0))\n"
        "attempt('mount', lambda: libc.mount(b'none', b'/scratch', b'tmpfs', 0, None))\n"
        "attempt('chroot', lambda: os.chroot('/scratch'))\nattempt('keys', lambda: libc.syscall(250, 0, -3, 1))\n"
        "attempt('shared', lambda: libc.shmget(7, 4096, 0o1666))\n"
        "attempt('host', lambda: libc.sethostname(b'x', 1))\nout.append(os.uname().nodename)"
    )
    said = told(box, body)
    for name in ("user", "group", "groups", "nice", "chroot"):
        assert f"{name}:PermissionError" in said, said
    for name in ("unshare", "clone", "mount", "keys", "shared", "host"):
        assert f"{name}:-1" in said, said
    assert said.rstrip(" `.").count("sandbox") >= 1


def test_limits_cannot_be_raised(box):
    body = TRY + (
        "import resource\nfor kind in ('AS', 'CPU', 'FSIZE', 'NPROC', 'NOFILE'):\n"
        "    kind = getattr(resource, 'RLIMIT_' + kind)\n"
        "    attempt('limit', lambda: resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)))"
    )
    said = told(box, body)
    assert said.count("limit:ValueError") + said.count("limit:PermissionError") == 5, said


def test_the_graders_environment_is_not_seen(box, monkeypatch):
    monkeypatch.setenv("CLASS_PASSWORD", "sesame")
    with Sandbox(LIMITS) as fresh:
        said = told(fresh, "import os\nout.append(dict(os.environ))\nout.append(os.getcwd())")
    assert "PYTHONHASHSEED" in said and "sesame" not in said and "CLASS" not in said


def test_a_daemon_does_not_outlive_its_student(box):
    body = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        while True:\n            time.sleep(0.01)\n            os.write(4, b'x')\n"
        "    os._exit(0)"
    )
    assert judged(box, notebook(function(body))).status == "failed"
    assert not left_behind(box)


@pytest.mark.parametrize(
    "mischief",
    [
        "import threading as t, time\n    if t.active_count() < 4: t.Thread(target=time.sleep, args=[60]).start()",
        "print('x' * 10_000_000)",
        "import sys\n    sys.stderr.write('x' * 10_000_000)",
        "import os\n    os.closerange(0, 3)",
        "import os\n    os.chdir('/')",
        "np.random.seed = np.save = None",
        "import atexit, time\n    atexit.register(time.sleep, 60)",
        "import os\n    os.symlink('/etc/passwd', f'/scratch/outputs.npz{os.urandom(8).hex()}')",
    ],
)
def test_what_does_no_harm_costs_no_point(box, mischief):
    code = f"def output_size(size, kernel_size, stride=1, padding=0, dilation=1):\n    {mischief}\n    {RIGHT}"
    start = time.monotonic()
    report = judged(box, notebook(code), seconds=20.0)
    assert report.passed, report
    assert time.monotonic() - start < 20


def test_one_student_leaves_nothing_for_the_next(box):
    write = "import os\nopen('/scratch/answers', 'w').write('1')\nos.environ['ANSWERS'] = '1'\n"
    assert "answers" in told(box, write + "out.append(os.listdir('/scratch'))")
    said = told(box, "import os\nout.append(os.listdir('/scratch'))\nout.append('ANSWERS' in os.environ)")
    assert "[] False" in said


def test_no_bytes_of_another_student_are_in_memory(box):
    secret = "".join(chr(ord(c) ^ 1) for c in "rdbsdu`oruds")  # not in this notebook's own text
    judged(box, notebook(f"# {secret}\n" * 2000 + HONEST))
    body = (
        "import gc\n"
        f"wanted = ''.join(chr(ord(c) ^ 1) for c in {'rdbsdu`oruds'!r})\n"
        "out.append(sum(wanted in o for o in gc.get_objects() if isinstance(o, str)))\n"
        "import ctypes\n"
        "heap = ctypes.CDLL(None).sbrk\nheap.restype = ctypes.c_void_p\n"
        "end = heap(0)\n"
        "found = ctypes.string_at(end - 200_000, 200_000).count(wanted.encode())\n"
        "out.append(f'heap:{found}')"
    )
    said = told(box, body, seconds=10.0)
    assert "0 heap:" in said, said
    assert "heap:0" in said or "heap:1" in said, said  # the word that is looked for itself


# --- files that are no notebooks, and names that are no names --------------------------------------------------

NESTED = b'{"cells":' * 50_000
FILES = {
    "empty": b"",
    "a text": b"import os",
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(1000),
    "half a notebook": notebook(HONEST)[:-20],
    "another JSON": b'{"a": 1}',
    "a list": b"[]",
    "a number": b"1",
    "nested JSON": NESTED,
    "nested lists": b"[" * 200_000,
    "cells that are none": b'{"cells": 7, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}',
    "code that is none": b'{"cells": [{"cell_type": "code", "source": {"a": 1}}], "nbformat": 4, "metadata": {}}',
    "another version": b'{"nbformat": 99, "nbformat_minor": 0, "metadata": {}, "cells": []}',
    "a version that is none": b'{"nbformat": "x", "cells": []}',
    "UTF-16": notebook(HONEST).decode().encode("utf-16"),
    "more code than anybody writes": notebook("x = 1\n" * 1_000_000),
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_no_notebook_gets_no_point_and_a_sentence(box, name):
    report = judged(box, FILES[name], seconds=5.0)
    assert report.status == "failed"
    assert any(word in " ".join(report.sentences) for word in ("notebook", "answer")), report


@pytest.fixture
def graded(box, tmp_path):
    """Grade the files that are in tmp_path/class; gives the rows of the table, by student."""

    def run(**options):
        grade([tmp_path / "class"], tmp_path / "grades.csv", exercise="01", jobs=1, limits=LIMITS, **options)
        with open(tmp_path / "grades.csv", newline="", encoding="utf-8") as file:
            return {row["student"]: row for row in csv.DictReader(file)}

    (tmp_path / "class").mkdir()
    return run


def test_links_pipes_and_giants_get_no_point_and_hang_nothing(graded, tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "tasks", lambda exercise=None: [TASK])
    folder = tmp_path / "class"
    (tmp_path / "solution.ipynb").write_bytes(notebook(HONEST))
    (folder / "link.ipynb").symlink_to(tmp_path / "solution.ipynb")
    (folder / "dangling.ipynb").symlink_to(tmp_path / "nowhere")
    (folder / "linked").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.ipynb")
    (folder / "folder.ipynb").mkdir()
    with open(folder / "giant.ipynb", "wb") as file:
        file.truncate(2 << 30)
    (folder / "honest.ipynb").write_bytes(notebook(HONEST))
    rows = graded()
    assert {name: row["total"] for name, row in rows.items()} == {
        "link": "0", "dangling": "0", "pipe": "0", "giant": "0", "honest": "1",
    }  # fmt: skip
    assert "link" in rows["link"]["note"] and "2,147,483,648 bytes" in rows["giant"]["note"]


def test_names_escape_neither_from_the_folder_nor_into_the_table_or_the_page(graded, tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "tasks", lambda exercise=None: [TASK])
    names = [
        "=cmd|' C'!A1", "@SUM(1)", "+1", "-1", "\t=1", "..", "...ipynb", "a\nb", "<script>alert(1)</script>", "x" * 200,
        "ann", "Ann", "ann (2)", "\udcff", "c:d\\e", "‮txt", "＝1",
    ]  # fmt: skip
    for name in names:
        (tmp_path / "class" / os.fsdecode(os.fsencode(name.replace("/", "∕")) + b".ipynb")).write_bytes(b"x")
    rows = graded()
    assert len(rows) == len(names), "two students share a row"
    assert not [name for name in rows if name.lstrip()[:1] in "=+-@＝" or not name.isprintable()]
    pages = sorted((tmp_path / "grades").glob("*.html"))
    assert len(pages) == len(names)
    assert {path.name for path in tmp_path.iterdir()} == {"class", "grades", "grades.csv"}
    assert not [page for page in pages if "<script" in page.read_text(encoding="utf-8")]


def test_words_of_a_student_are_words_on_the_page(box):
    evil = "<img src=x onerror=alert(1)>\\x1b[31m\\u202e"
    raised = judged(box, notebook(function(f"raise ValueError('{evil}')")))
    returned = judged(box, notebook(function("return '<script>alert(1)</script>'")))
    code = "def slide_by_loops(image, kernel):\n    return np.full(zh.conv2d(image, kernel).shape, '<b>x</b>')"
    spread = judged(box, notebook(code), checks.task("01.slide_by_loops"))
    missing = judged(box, notebook("output_size = <script>"))
    page = feedback.page("<i>", "01", [raised, returned, spread, missing], "<u>")
    for tag in ("<img", "<script", "<b>", "<i>", "<u>"):
        assert tag not in page
    assert "&lt;b&gt;x" in page and "&lt;img" in page
    assert "\x1b" not in repr(raised) and "\u202e" not in repr(raised)


def test_a_class_with_attackers_is_graded_as_without(box, tmp_path):
    solution = json.loads((sandbox.PACKAGE.parent / "solutions" / "01-convolution.ipynb").read_text(encoding="utf-8"))
    attacks = {"bomb": "fork bomb", "exit": "os._exit", "loop": "endless loop that ignores signals"}
    folder = tmp_path / "class"
    folder.mkdir()
    for name in ("ann", "zoe", *attacks):
        cells = nbformat.from_dict(solution)
        if name in attacks:
            cells.cells.append(new_code_cell(FAIL[attacks[name]][0]))  # defines output_size anew
        (folder / f"{name}.ipynb").write_text(nbformat.writes(cells), encoding="utf-8")
    grades = grade([folder], tmp_path / "grades.csv", exercise="01", jobs=2, limits=Limits(seconds=4.0))
    assert {each.student: each.total for each in grades} == {"ann": 5, "zoe": 5, "bomb": 4, "exit": 4, "loop": 4}


def test_two_sandboxes_do_not_share_their_processes(box):
    """A bomb in one leaves the other its processes: limits count by user, and each has its own."""
    bomb = threading.Thread(target=judged, args=[box, notebook(FAIL["fork bomb"][0])])
    with Sandbox(LIMITS) as other:
        bomb.start()
        code = f"import os\ndef output_size(size, kernel_size, stride=1, padding=0, dilation=1):\n" \
               f"    os.waitpid(os.fork() or os._exit(0), 0)\n    {RIGHT}"  # fmt: skip
        report = judged(other, notebook(code), seconds=20.0)
        bomb.join()
    assert report.passed, report


def test_grades_of_no_sandbox_are_refused(monkeypatch, tmp_path):
    def refused(*arguments):
        raise NotIsolated("unshare: Operation not permitted")

    monkeypatch.setattr(Sandbox, "_start", refused)
    (tmp_path / "ann.ipynb").write_bytes(notebook(HONEST))
    with pytest.raises(NotIsolated):
        grade([tmp_path / "ann.ipynb"], tmp_path / "grades.csv", exercise="01", jobs=1)
    assert not (tmp_path / "grades.csv").exists()


def test_submissions_may_not_lie_where_all_can_see_them(tmp_path, monkeypatch):
    monkeypatch.setattr(classes, "shown", lambda: [str(tmp_path)])
    (tmp_path / "ann.ipynb").write_bytes(notebook(HONEST))
    with pytest.raises(ValueError, match="which the sandbox shows"):
        grade([tmp_path / "ann.ipynb"], tmp_path / "grades.csv", exercise="01")
