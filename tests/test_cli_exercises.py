"""The commands around exercises: made from solutions, checked, graded; progress that nothing can spoil."""

import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from zerohero import checks
from zerohero.checks import Report, records
from zerohero.grading import NotIsolated, Sandbox, classes
from zerohero.grading.marking import Grade

ROOT = Path(__file__).resolve().parent.parent
SOLUTION = ROOT / "solutions" / "01-convolution.ipynb"


@pytest.fixture(scope="module")
def isolated():
    try:
        Sandbox().close()
    except NotIsolated as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def fresh_records():
    records.forget()
    yield
    records.forget()


@pytest.fixture
def course(tmp_path):
    (tmp_path / "solutions").mkdir()
    shutil.copy(SOLUTION, tmp_path / "solutions")
    return tmp_path


def a_try(tmp_path, code):
    path = tmp_path / "mine.ipynb"
    cells = [new_code_cell("import numpy as np\nimport zerohero as zh"), new_code_cell(code)]
    nbformat.write(new_notebook(cells=cells), path)
    return path


# --- exercises ------------------------------------------------------------------------------------------------


def test_exercises_are_made_and_held_to_their_solutions(zerohero, course):
    assert zerohero("exercises", "check", "--folder", course)[0] == 1
    assert zerohero("exercises", "build", "--folder", course)[0] == 0
    assert zerohero("exercises", "check", "--folder", course)[0] == 0
    made = course / "exercises" / SOLUTION.name
    assert made.read_bytes() == (ROOT / "exercises" / SOLUTION.name).read_bytes(), "not what the checkout holds"
    made.write_text(made.read_text(encoding="utf-8").replace("write your code", "write the code"), encoding="utf-8")
    status, out, _ = zerohero("exercises", "check", "--folder", course)
    assert status == 1 and "is out of step with its solution: run `zerohero exercises build`" in out


def test_without_solutions_there_is_one_sentence(zerohero, tmp_path):
    status, _, err = zerohero("exercises", "build", "--folder", tmp_path)
    assert status == 2 and re.fullmatch(r"zerohero: exercises: .* holds no notebooks .*\n", err)


# --- check ----------------------------------------------------------------------------------------------------


def test_a_notebook_is_checked_without_opening_it(isolated, zerohero, tmp_path):
    path = a_try(tmp_path, "def output_size(size, kernel_size, stride=1, padding=0, dilation=1):\n    return 3")
    status, out, _ = zerohero("check", path, "--exercise", "01")
    assert status == 1
    assert "✘ Not yet: 01.output_size (same output for every input)" in out
    assert "The notebook has no `one_position`" in out and "Exercise 01: 0 of 5 tasks solved" in out


def test_a_solution_is_checked_and_remembered(isolated, zerohero):
    status, out, _ = zerohero("check", SOLUTION, "--json")
    assert status == 0 and {each["status"] for each in json.loads(out).values()} == {"passed"}
    assert "Exercise 01: 5 of 5 tasks solved" in zerohero("progress", "01")[1]


def test_checking_no_notebook_is_one_sentence(zerohero, tmp_path):
    status, _, err = zerohero("check", tmp_path / "nowhere.ipynb")
    assert (status, err) == (2, f"zerohero: check: there is no notebook {str(tmp_path / 'nowhere.ipynb')!r}\n")


def test_without_a_sandbox_the_commands_say_what_to_do(zerohero, tmp_path, monkeypatch):
    def refused(*arguments):
        raise NotIsolated("unshare: Operation not permitted. With --unsafe")

    monkeypatch.setattr(Sandbox, "_start", refused)
    path = a_try(tmp_path, "x = 1")
    for command in (["check", path], ["grade", path, "--out", tmp_path / "g.csv", "--jobs", "1"]):
        status, _, err = zerohero(*command, "--exercise", "01")
        assert status == 2 and "--unsafe" in err


# --- grade ----------------------------------------------------------------------------------------------------


def test_a_class_is_graded_and_the_second_time_nobody_again(isolated, zerohero, tmp_path):
    (tmp_path / "class" / "ann").mkdir(parents=True)
    shutil.copy(SOLUTION, tmp_path / "class" / "ann")
    (tmp_path / "class" / "bob.ipynb").write_text("not a notebook")
    arguments = ("grade", tmp_path / "class", "--out", tmp_path / "grades.csv", "--jobs", 1)
    status, out, err = zerohero(*arguments)
    assert status == 0 and "2/2" in err
    assert "2 students, 2.5 of 5 on average" in out and "01.output_size: 1 solved" in out
    assert "01.output_size: 1 solved; 1 × something else\n" in out  # bob's file
    assert "bob: The file is not a notebook" in out
    lines = (tmp_path / "grades.csv").read_text(encoding="utf-8").splitlines()
    assert lines[1].startswith("ann,1,1,1,1,1,5,5,") and lines[2].startswith("bob,0,0,0,0,0,0,5,")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "grades").iterdir()}
    assert zerohero(*arguments)[:2] == (status, out)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "grades").iterdir()} == before


def test_the_summary_of_a_class_counts_each_student_once_in_each_line(tmp_path):
    from zerohero.cli.grade import summary

    def graded(student, point=0, mistake=None, blanks=()):
        mistakes = {"01.output_size": mistake} if mistake else {}
        return Grade(student, "x.ipynb", {"01.output_size": point}, mistakes, list(blanks))

    grades = [graded("ann", 1), graded("bob", 0, "floor"), graded("cem", 0, "floor"), graded("dora", 0)]
    grades += [graded(f"student {n}", 0, f"mistake {n}") for n in range(4)]
    grades += [graded("emil", 0, blanks=["01.output_size"])]
    line = summary(grades, tmp_path / "grades.csv")[1]
    assert line == (
        "  01.output_size: 1 solved; 2 × floor; 1 × mistake 0; 1 × mistake 1; 3 × something else; 1 not written"
    )
    assert sum(map(int, re.findall(r"(?:: |; )(\d+) ", line))) == len(grades)


def test_the_seed_that_the_command_shows_is_the_one_of_the_library():
    from zerohero.cli import grade

    assert grade.SEED == classes.SEED


# --- progress -------------------------------------------------------------------------------------------------


def passed(name):
    return records.remember(Report(checks.task(name), "passed", total=1))


def test_what_was_solved_outlives_the_process(zerohero):
    passed("01.output_size")
    records.forget()
    code = "from zerohero.checks import records; print(*records.solved())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert done.stdout == "01.output_size\n"
    status, out, _ = zerohero("progress", "01")
    assert status == 0 and "Exercise 01: 1 of 5 tasks solved" in out and "✔ Passed: output_size" in out


def test_a_failure_takes_nothing_back_and_is_not_kept():
    records.remember(Report(checks.task("01.one_position"), "failed"))
    passed("01.output_size")
    records.remember(Report(checks.task("01.output_size"), "failed"))
    assert list(records.solved()) == ["01.output_size"]


def test_a_task_is_kept_once_with_the_first_time():
    passed("01.output_size")
    first = records.solved()
    for _ in range(5):
        records.forget()
        passed("01.output_size")
    assert records.solved() == first
    assert records.place().read_text().count("01.output_size") == 1


@pytest.mark.parametrize(
    "spoilt",
    [b"{", b"\x00\xff\xfe", b"[]\n7\nnull\n\"x\"\n{}", b'{"solved": "01.one_pos', b"[" * 100_000, b"\n\n\n",
     b'{"solved": {}, "at": []}', b'{"solved": "' + b"x" * 2_000 + b'"}'],
)  # fmt: skip
def test_spoilt_lines_cost_no_other(spoilt):
    passed("01.output_size")
    with open(records.place(), "ab") as file:
        file.write(spoilt)
    records.forget()
    passed("01.one_position")
    assert {"01.output_size", "01.one_position"} <= records.solved().keys()


def test_a_place_that_cannot_be_written_stops_no_check(monkeypatch, tmp_path, zerohero):
    (tmp_path / "file").write_text("")
    for place in (tmp_path, tmp_path / "file" / "progress.jsonl", "/proc/nothing/x", "~nobody-there/x"):
        monkeypatch.setenv("ZEROHERO_PROGRESS", str(place))
        records.forget()
        assert passed("01.output_size").passed
        assert zerohero("progress")[0] == 0


def test_many_at_once_lose_nothing():
    tasks = checks.tasks("01") + checks.tasks("02") + checks.tasks("03")
    code = "import sys\nfrom zerohero.checks import records\nfor name in sys.argv[1:]: records._keep(name)"

    def keep(first):
        names = [task.name for task in tasks[first:] + tasks[:first]]
        return subprocess.run([sys.executable, "-c", code, *names], env=os.environ).returncode

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(keep, [0, 1, 7, 8])) == {0}
    assert records.solved().keys() == {task.name for task in tasks}


def test_progress_of_all_exercises_names_each(zerohero):
    status, out, _ = zerohero("progress")
    numbers = re.findall(r"^Exercise (\d\d): 0 of", out, re.M)
    assert status == 0 and numbers == sorted({task.exercise for task in checks.tasks()})
    assert json.loads(zerohero("progress", "--json")[1]) == {task.name: None for task in checks.tasks()}


# --- the instructors' page ------------------------------------------------------------------------------------


def commands():
    page = (ROOT / "docs" / "instructors.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", page, re.S)
    return [line for block in blocks for line in block.splitlines() if line.startswith("zerohero ")]


def test_every_command_of_the_instructors_page_is_understood(zerohero):
    assert len(commands()) >= 6
    for line in commands():
        words = line.split("#")[0].split()
        options = [word for word in words if word.startswith("--")]
        status, out, _ = zerohero(words[1], "--help")
        assert status == 0, line
        assert not [option for option in options if option not in out], line


def test_the_instructors_page_is_walked_through(isolated, zerohero, course, monkeypatch):
    """Its commands, in its order, in a folder as it describes it."""
    monkeypatch.chdir(course)
    for name in ("ann", "bob"):
        (course / "submissions" / name).mkdir(parents=True)
        shutil.copy(SOLUTION, course / "submissions" / name)
    for line in commands():
        words = line.split("#")[0].split()[1:]
        if "--scheduler" in words:  # walked through in test_grading.py
            continue
        status, _, err = zerohero(*words)
        assert status == 0, f"{line}\n{err}"
    assert (course / "grades.csv").read_text(encoding="utf-8").count(",5,5,") == 2
