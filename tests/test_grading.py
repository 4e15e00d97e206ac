"""Grading: the same reports as in the notebook, the same grade every time, whose is whose, and what is kept."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from zerohero import checks
from zerohero.checks import calling, diagnosing
from zerohero.grading import (
    NotIsolated,
    Sandbox,
    check_notebook,
    classes,
    comparing,
    exchange,
    feedback,
    grade,
    masters,
    requests,
    run_student,
    sandbox,
    slicing,
    submissions,
)
from zerohero.grading.sandbox import Answer, Limits

ROOT = Path(__file__).resolve().parent.parent
EXERCISES = sorted(path.name[:2] for path in (ROOT / "solutions").glob("*.ipynb"))
TASKS = [task for number in EXERCISES for task in checks.tasks(number)]
every_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
HONEST = """
def output_size(size, kernel_size, stride=1, padding=0, dilation=1):
    return (size + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1
"""


@pytest.fixture(scope="module")
def box():
    try:
        made = Sandbox()
    except NotIsolated as error:
        pytest.skip(str(error))
    with made:
        yield made


def notebook(*cells):
    first = new_code_cell("import numpy as np\n\nimport zerohero as zh")
    return nbformat.writes(new_notebook(cells=[first, *map(new_code_cell, cells)])).encode()


def solution(task):
    (path,) = (ROOT / "solutions").glob(f"{task.exercise}-*.ipynb")
    return path.read_bytes()


def blank(task):
    return nbformat.writes(masters.build(nbformat.reads(solution(task).decode(), 4))).encode()


def judged(box, task, data, seed=None):
    task = requests.seeded(task, seed)
    return comparing.report(task, box.run(requests.request(task, data, 20.0), 20.0), 20.0)


def mapped(task, data, seed=None):
    """The same without a process: the child's program called here."""
    task = requests.seeded(task, seed)
    return comparing.report(task, Answer(run_student.run(requests.request(task, data, 20.0))), 20.0)


@pytest.fixture
def main_stays():
    """`run_student.run` takes the place of `__main__`."""
    kept = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = kept


# --- every task -----------------------------------------------------------------------------------------------


@every_task
def test_a_solution_scores_and_its_blank_does_not(box, task):
    assert judged(box, task, solution(task), seed=classes.SEED).passed
    assert judged(box, task, blank(task), seed=classes.SEED).status == "blank"


@every_task
@pytest.mark.parametrize("seed", [classes.SEED, 1, 2])
def test_misconceptions_are_named_on_other_inputs_too(task, seed):
    """Solutions pass and misconceptions fail on any seed; that they are told from each other, on nearly any."""
    other = requests.seeded(task, seed)
    right = [calling.Outcome(parts) for parts in calling.expected(other)]
    assert diagnosing.compare(other, right, calling.expected(other)).passed
    wrong = calling.wrong_outcomes(other)
    reports = [diagnosing.compare(other, outcomes, calling.expected(other)) for outcomes in wrong]
    passed = [m.name for m, report in zip(task.misconceptions, reports) if report.passed]
    named = [m.name == report.diagnosis for m, report in zip(task.misconceptions, reports)]
    assert not passed
    assert np.mean(named) >= 0.9


@every_task
def test_what_the_sandbox_is_told_of_a_task_holds_no_right_answer(task):
    _, known = requests._told(task)
    names = {task.reference.__name__, *(m.wrong.__name__ for m in task.misconceptions)} - {"<lambda>"}
    assert not [name for name in names if f"def {name}(" in known["code"] or f"class {name}" in known["code"]]
    assert "Task(" not in known["code"] and "reference" not in known["code"]


@every_task
def test_a_case_arrives_as_it_was_sent(task):
    arrays, known = requests._told(task)
    functions: dict = {}
    exec(known["code"], functions)
    fields = exchange.unpack(exchange.pack(arrays))
    cases = exchange.decode(json.loads(json.dumps(known["cases"])), fields, functions)
    assert len(cases) == len(task.cases)
    for (args, kwargs), case in zip(cases, task.cases):
        assert kwargs.keys() == case.kwargs.keys()
        assert calling._same(args, list(case.args)) and calling._same(kwargs, case.kwargs)
        assert [type(a) for a in args] == [type(a) for a in case.args]


def test_a_report_is_the_one_of_the_notebook(box):
    """A misconception, handed in, is named in the same words as `zh.check` does."""
    code = HONEST.replace("// stride", "/ stride")
    names: dict = {}
    exec(code, names)
    task = checks.task("01.output_size")
    here = diagnosing.judge(task, names["output_size"])
    assert here.diagnosis
    assert repr(judged(box, task, notebook(code))) == repr(here)


@pytest.mark.parametrize(
    "body",
    [
        "raise ValueError('too bad')",
        "return None",
        "return [1, 2]",
        "raise NotImplementedError('later')",
        "yield 1",
        "return size / 0",
        "return np.sum",
    ],
)
def test_troubles_are_told_in_the_words_of_the_notebook(main_stays, body):
    code = f"import numpy as np\ndef output_size(size, kernel_size, stride=1, padding=0, dilation=1):\n    {body}\n"
    names: dict = {}
    exec(code, names)
    here = diagnosing.judge(checks.task("01.output_size"), names["output_size"])
    there = mapped(checks.task("01.output_size"), notebook(code))
    assert there.status == here.status
    assert [s.split(" It happens")[0] for s in there.sentences] == [s.split(" It happens")[0] for s in here.sentences]


def test_an_error_names_the_line_of_the_notebook(main_stays):
    report = mapped(checks.task("01.output_size"), notebook(HONEST.replace("return", "return 1 / 0 +")))
    assert "It happens in the line `return 1 / 0 +" in " ".join(report.sentences)


def test_writing_into_an_input_fails_as_in_the_notebook(main_stays):
    code = "def slide_by_loops(image, kernel):\n    y = zh.conv2d(image, kernel)\n    image[0, 0] += 1\n    return y"
    report = mapped(checks.task("01.slide_by_loops"), notebook(code))
    assert report.status == "failed" and "writes into its input `image`" in " ".join(report.sentences)


# --- which cells run ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        ([HONEST, "1 / 0"], "a cell that fails elsewhere"),
        (["%matplotlib inline\n!pip install torch\n" + HONEST], "magics and shell commands"),
        (["zh.check('01.output_size', 3)\n" + HONEST + "\nzh.visualize.nothing()"], "checks in the same cell"),
        (["import time\ntime.sleep(1000)", HONEST], "a cell that takes for ever"),
        (["def f(:\n", HONEST], "another cell that isn't Python"),
        (["def output_size(): return 7", HONEST], "an earlier try"),
        ([HONEST.replace("1) //", "ONE) //"), "ONE = 1"], "a constant that comes later"),
        (["from math import floor as f\n" + HONEST.replace("return (", "return f(")], "an import of its own"),
        (["table = {}\ntable['one'] = 1\n" + HONEST.replace("- 1)", "- table['one'])")], "a table that is filled"),
        (["ones = []\nones.append(1)\n" + HONEST.replace("- 1) //", "- ones[0]) //")], "a list that is filled"),
        (["def one():\n    return 1\n" + HONEST.replace("- 1) //", "- one()) //")], "a function of its own"),
        (["from numpy import *\n" + HONEST.replace("- 1) //", "- int(ones(1)[0])) //")], "a star import"),
        (["import functools\n@functools.cache" + HONEST], "a decorator"),
        (["if True:" + HONEST.replace("\n", "\n    ")], "a definition under a condition"),
    ],
)
def test_only_what_a_task_needs_is_run(main_stays, cells, why):
    assert mapped(checks.task("01.output_size"), notebook(*cells)).passed, why


def test_a_task_that_is_not_there_is_missed(main_stays):
    report = mapped(checks.task("01.output_size"), notebook("import no_such_module\noutput_size = no_such_module.f"))
    assert report.status == "failed"
    assert "has no `output_size`" in report.sentences[0] and "ModuleNotFoundError" in report.sentences[0]


def test_needed_statements_come_in_order_and_no_others():
    code = "import a\nimport b\nx = a.f()\nprint(x)\nx.y = 1\nx.g()\na.g()\nz = b\ndef g():\n    return x"
    needed = slicing.needed(slicing.statements(code, "<cell>"), {"g"})
    first_lines = [statement.source.split("\n")[0] for statement in needed]
    assert first_lines == ["import a", "x = a.f()", "x.y = 1", "x.g()", "def g():"]


# --- arrays as bytes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.float16(2.5),
        np.zeros((0, 3), np.uint8),
        np.array([True, False]),
        np.array([1 + 2j]),
        np.array("abc"),
        np.arange(3, dtype=">i4"),
        np.ones((1,) * 10),
    ],
    ids=lambda array: f"{array.dtype.str} {array.shape}",
)
def test_arrays_come_back_the_same(array):
    found = exchange.unpack(exchange.pack({"a": array}))["a"]
    assert found.dtype == array.dtype and found.shape == array.shape
    np.testing.assert_array_equal(found, array)


def test_what_cannot_be_sent_is_refused():
    with pytest.raises(TypeError, match="needs to be of arrays, numbers"):
        exchange.encode(object(), {})
    with pytest.raises(TypeError, match="top level"):
        exchange.encode(lambda x: x, {})


# --- a class --------------------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch, box):
    """An exercise of one task, and a sandbox that is there: so that a class is graded quickly in this process."""
    from zerohero.grading import marking

    task = checks.task("01.output_size")
    monkeypatch.setattr(checks, "tasks", lambda exercise=None: [task])
    monkeypatch.setattr(marking, "_sandbox", lambda job: Sandbox(job.limits, True) if job.unsafe else box)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "class").mkdir()
    for name in ("ann", "bob", "Zoë"):
        (tmp_path / "class" / f"{name}.ipynb").write_bytes(notebook(HONEST if name != "bob" else "x = 1"))
    return tmp_path / "class"


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def counted(monkeypatch):
    """Count how many submissions are marked."""
    from zerohero.grading import marking

    seen, mark = [], marking.mark
    monkeypatch.setattr(marking, "mark", lambda job: seen.append(job.student) or mark(job))
    return seen


def test_a_class_gets_a_table_and_a_page_for_each(box, small, folder, tmp_path):
    grades = grade([folder], tmp_path / "out" / "grades.csv", exercise="01", jobs=1)
    assert [(g.student, g.total) for g in grades] == [("ann", 1), ("bob", 0), ("Zoë", 1)]
    rows = table(tmp_path / "out" / "grades.csv")
    assert list(rows[0]) == ["student", "01.output_size", "total", "of", "file", "note"]
    assert [row["total"] for row in rows] == ["1", "0", "1"]
    assert "has no <code>output_size</code>" in (tmp_path / "out" / "grades" / "bob.html").read_text(encoding="utf-8")
    assert "✔ Passed" in (tmp_path / "out" / "grades" / "Zoë.html").read_text(encoding="utf-8")


def test_who_is_graded_is_kept_and_who_changed_is_not(box, small, folder, tmp_path, monkeypatch):
    seen = counted(monkeypatch)
    first = grade([folder], tmp_path / "grades.csv", exercise="01", jobs=1)
    assert sorted(seen) == ["Zoë", "ann", "bob"]
    before = (tmp_path / "grades.csv").read_bytes()
    seen.clear()
    assert grade([folder], tmp_path / "grades.csv", exercise="01", jobs=1) == first and seen == []
    assert (tmp_path / "grades.csv").read_bytes() == before
    (folder / "bob.ipynb").write_bytes(notebook(HONEST))
    assert [g.total for g in grade([folder], tmp_path / "grades.csv", exercise="01", jobs=1)] == [1, 1, 1]
    assert seen == ["bob"]
    seen.clear()
    grade([folder], tmp_path / "grades.csv", exercise="01", jobs=1, seed=3)
    assert len(seen) == 3, "another seed is another examination"


@pytest.mark.parametrize("spoilt", ["", "{", "[]", "7", '{"key": 1}', "\x00", '{"key": "KEY", "points": 5}'])
def test_a_spoilt_record_is_graded_again(box, small, folder, tmp_path, monkeypatch, spoilt):
    first = grade([folder], tmp_path / "grades.csv", exercise="01", jobs=1)
    seen = counted(monkeypatch)
    (tmp_path / "grades" / "ann.json").write_text(spoilt.replace("KEY", first[0].key))
    (tmp_path / "grades" / "Zoë.html").unlink()
    assert grade([folder], tmp_path / "grades.csv", exercise="01", jobs=1) == first
    assert sorted(seen) == ["Zoë", "ann"]


def test_a_stopped_run_goes_on_where_it_was(box, small, folder, tmp_path, monkeypatch):
    from zerohero.grading import marking

    mark = marking.mark

    def stopped(job):
        if job.student == "bob":
            raise KeyboardInterrupt
        return mark(job)

    monkeypatch.setattr(marking, "mark", stopped)
    with pytest.raises(KeyboardInterrupt):
        grade([folder], tmp_path / "grades.csv", exercise="01", jobs=1)
    assert not (tmp_path / "grades.csv").exists()
    monkeypatch.setattr(marking, "mark", mark)
    seen = counted(monkeypatch)
    assert len(grade([folder], tmp_path / "grades.csv", exercise="01", jobs=1)) == 3
    done = {"ann", "bob", "Zoë"} - set(seen)
    assert done and "bob" not in done


def test_two_processes_give_the_grades_of_one(box, folder, tmp_path):
    one = grade([folder], tmp_path / "one.csv", exercise="01", jobs=1)
    two = grade([folder], tmp_path / "two.csv", exercise="01", jobs=2)
    assert one == two
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    for page in (tmp_path / "one").glob("*.html"):
        assert page.read_bytes() == (tmp_path / "two" / page.name).read_bytes()


CLUSTER = """
import sys, warnings
warnings.simplefilter("ignore")

def main(folder, out):
    from distributed import LocalCluster
    from zerohero.grading import grade
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        found = grade([folder], out, exercise="01", scheduler=cluster.scheduler_address)
    print(sum(each.total for each in found), len(found))

if __name__ == "__main__":
    main(*sys.argv[1:])
"""


def test_a_dask_cluster_gives_the_grades_of_this_machine(box, folder, tmp_path):
    pytest.importorskip("distributed")
    here = grade([folder], tmp_path / "here.csv", exercise="01", jobs=1)
    (tmp_path / "cluster.py").write_text(CLUSTER)
    command = [sys.executable, tmp_path / "cluster.py", folder, tmp_path / "there.csv"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == [str(sum(g.total for g in here)), "3"], done.stderr[-2000:]
    assert (tmp_path / "here.csv").read_bytes() == (tmp_path / "there.csv").read_bytes()


def test_without_a_scheduler_there_is_one_sentence(folder, tmp_path):
    pytest.importorskip("distributed")
    code = (
        "import warnings; warnings.simplefilter('ignore')\nfrom zerohero.grading import grade\n"
        f"grade([{str(folder)!r}], {str(tmp_path / 'g.csv')!r}, exercise='01', scheduler='tcp://127.0.0.1:9')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "ConnectionError: grade: no scheduler answers at 'tcp://127.0.0.1:9'" in done.stderr


# --- whose is whose -------------------------------------------------------------------------------------------


def names(*paths, root):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"{}")


def test_students_are_named_by_their_folder_or_their_file(tmp_path):
    names(
        "ann/01-convolution.ipynb", "bob.ipynb", "Eve Doe_123_file/deep/01-convolution.ipynb",
        "ann/.ipynb_checkpoints/01-convolution-checkpoint.ipynb", "ann/02-pooling.ipynb", "ann/notes.txt",
        root=tmp_path,
    )  # fmt: skip
    found = submissions.find([tmp_path], "01")
    assert [each.student for each in found] == ["Eve Doe_123_file", "ann", "bob"]
    given = [tmp_path / "ann" / "01-convolution.ipynb", tmp_path / "bob.ipynb"]
    assert [each.student for each in submissions.find(given)] == ["ann", "bob"]


def test_two_of_one_name_are_two(tmp_path):
    names("a/ann.ipynb", "b/ann.ipynb", "c/Ann.ipynb", "d/ann (2).ipynb", root=tmp_path)
    found = submissions.find([tmp_path / each for each in "abcd"])
    assert [each.student for each in found] == ["ann", "ann (2)", "Ann (3)", "ann (2) (2)"]
    again = submissions.find([tmp_path / "a", tmp_path / "a" / "ann.ipynb"])
    assert len(again) == 1, "named twice, it is still one"


@pytest.mark.parametrize("given", ["nowhere", "."])
def test_without_notebooks_there_is_one_sentence(tmp_path, given):
    with pytest.raises(FileNotFoundError, match=r"^grade: there is no"):
        submissions.find([tmp_path / given])


def test_the_exercise_is_that_of_most_notebooks(tmp_path):
    names("ann/01-convolution.ipynb", "bob/01-convolution.ipynb", "eve/02-pooling.ipynb", root=tmp_path)
    assert submissions.exercise_of(submissions.find([tmp_path])) == "01"
    (tmp_path / "mine.ipynb").write_bytes(notebook('zh.check("02.max_pool", max_pool)'))
    assert submissions.exercise_of(submissions.find([tmp_path / "mine.ipynb"])) == "02"
    names("x.ipynb", root=tmp_path)
    with pytest.raises(ValueError, match="exercise can't be told"):
        submissions.exercise_of(submissions.find([tmp_path / "x.ipynb"]))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"out": "grades.txt"}, "out needs to be a .csv file"),
        ({"jobs": 0}, "jobs needs to be 1 or more"),
        ({"exercise": "77"}, "exercise needs to be one of"),
    ],
)
def test_wrong_arguments_get_one_sentence(folder, tmp_path, options, sentence):
    options = {"out": "grades.csv", "exercise": "01"} | options
    with pytest.raises(ValueError, match=sentence):
        grade([folder], tmp_path / options.pop("out"), **options)


# --- without a sandbox ----------------------------------------------------------------------------------------


def test_another_system_is_refused_with_what_to_do(monkeypatch):
    monkeypatch.setattr(sandbox.sys, "platform", "darwin")
    with pytest.raises(NotIsolated, match=r"made of Linux namespaces, and this is darwin.*--unsafe"):
        Sandbox()


def test_unsafe_gives_the_same_reports(small, tmp_path):
    (tmp_path / "mine.ipynb").write_bytes(notebook(HONEST))
    safe, unsafe = (check_notebook(tmp_path / "mine.ipynb", "01", unsafe=each) for each in (False, True))
    assert list(map(repr, safe)) == list(map(repr, unsafe))
    assert [report.task.short for report in unsafe if report.passed] == ["output_size"]


def test_unsafe_ends_in_time_all_the_same():
    task = checks.task("01.output_size")
    code = "import signal\ndef output_size(*a, **k):\n    signal.pthread_sigmask(0, [14])\n    while True: pass"
    data = notebook(code)
    with Sandbox(Limits(seconds=0.5), unsafe=True) as box:
        answer = box.run(requests.request(task, data, 0.5), 0.5)
    assert not comparing.report(task, answer, 0.5).passed


def as_another_user(code, tmp_path):
    """Run Python code as a user who isn't root, in a mount namespace where that user can read this Python."""
    places = " ".join(f"'{each}'" for each in {sys.base_prefix, sys.prefix, str(ROOT / 'zerohero')})
    script = f"""
set -e
kept=$(mktemp -d); i=0
for place in {places}; do i=$((i+1)); mkdir $kept/$i; mount --bind "$place" $kept/$i; done
for top in /root /work /home; do [ -d $top ] && mount -t tmpfs -o mode=755 none $top; done
i=0
for place in {places}; do i=$((i+1)); mkdir -p "$place"; mount --bind $kept/$i "$place"; done
cd /
exec setpriv --reuid 54321 --regid 54321 --clear-groups env -i PATH=/usr/bin:/bin HOME=/tmp \
    {sys.executable} -c "$CODE"
"""
    command = ["unshare", "-m", "bash", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, "CODE": code})


AS_USER = f"""
import os
from zerohero import checks
from zerohero.grading import Sandbox, requests, comparing
import nbformat
from nbformat.v4 import new_notebook, new_code_cell
task = checks.task("01.output_size")
cells = [{HONEST!r}, '''def output_size(*a, **k):
    import os, ctypes
    made = ctypes.CDLL(None).unshare(0x10000000)
    write = []
    for place in ("/", "/scratch", os.path.dirname(os.__file__)):
        try: open(place + "/new", "w"); write.append(place)
        except OSError: pass
    raise ValueError(f"{{os.listdir('/scratch')}} {{os.getppid()}} {{made}} {{write}} {{os.path.exists('/proc/1')}}")
''']
with Sandbox() as box:
    print(os.getuid())
    for cell in cells:
        data = nbformat.writes(new_notebook(cells=[new_code_cell(cell)])).encode()
        report = comparing.report(task, box.run(requests.request(task, data, 20.0), 20.0), 20.0)
        print(report.status, *report.sentences)
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")
def test_an_ordinary_user_has_the_sandbox_too_by_user_namespaces(box, tmp_path):
    done = as_another_user(AS_USER, tmp_path)
    if "Students' code needs a sandbox" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    user, honest, hostile = done.stdout.splitlines()
    assert user == "54321" and honest.startswith("passed"), done.stderr
    assert "ValueError: ['new'] 0 -1 ['/scratch'] False" in hostile


# --- pages ----------------------------------------------------------------------------------------------------


def test_a_page_names_the_misconception_and_holds_no_script(box):
    code = HONEST.replace("// stride", "/ stride")
    report = judged(box, checks.task("01.output_size"), notebook(code))
    page = feedback.page("Ann", "01", [report], "Handed in late.")
    assert report.diagnosis in page and "Handed in late." in page and "0 of 1 tasks solved" in page
    assert "default-src 'none'" in page and "<script" not in page


def test_a_markdown_cell_is_not_run(main_stays):
    made = new_notebook(cells=[new_markdown_cell(HONEST)])
    assert not mapped(checks.task("01.output_size"), nbformat.writes(made).encode()).passed


def test_where_there_is_a_single_user_the_sandbox_refuses(monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda self: "         0          0          1\n")
    with pytest.raises(sandbox.NotIsolated, match="user of its own, and this namespace has 1"):
        sandbox.nobody(4711)
