"""`zerohero start`: what is new is added, what the student changed is never lost, and what was done is said."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from zerohero.cli import lab, start

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A small course; this process stands in it."""
    folder = tmp_path / "course"
    write(folder, {
        "notebooks/00-start.ipynb": "start", "notebooks/01-one.ipynb": "one", "exercises/01-one.ipynb": "blank",
        "solutions/01-one.ipynb": "solved", "experiments/results/one.json": "{}", "benchmarks/results.json": "{}",
        "notebooks/draft.ipynb": "not part of it", "exercises/.ipynb_checkpoints/01-one.ipynb": "nor this",
        "LICENSE-text": "CC",
    })  # fmt: skip
    monkeypatch.chdir(folder)
    return folder


def write(folder, contents):
    for name, text in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def read(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != start.RECORD)
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


BEGUN = {"notebooks/00-start.ipynb": "start", "notebooks/01-one.ipynb": "one", "exercises/01-one.ipynb": "blank",
         "experiments/results/one.json": "{}", "benchmarks/results.json": "{}", "LICENSE-text": "CC"}  # fmt: skip


def test_a_working_copy_holds_what_lectures_and_exercises_need(zerohero, course, tmp_path):
    mine = tmp_path / "deep" / "mine"
    status, out, err = zerohero("start", mine)
    assert (status, err) == (0, "") and read(mine) == BEGUN
    assert "6 added: 2 in notebooks, 1 in exercises, 1 in experiments/results" in out
    assert out.endswith(f"Open it with: zerohero lab --folder {mine}\n")


def test_solutions_come_only_when_asked_for(zerohero, course, tmp_path):
    zerohero("start", tmp_path / "mine")
    assert not (tmp_path / "mine" / "solutions").exists()
    zerohero("start", tmp_path / "mine", "--solutions")
    assert read(tmp_path / "mine") == BEGUN | {"solutions/01-one.ipynb": "solved"}


def test_the_second_time_nothing_is_written(zerohero, course, tmp_path):
    mine = tmp_path / "mine"
    zerohero("start", mine)
    before = {path: path.stat().st_mtime_ns for path in mine.rglob("*.ipynb")}
    status, out, _ = zerohero("start", mine)
    assert status == 0 and "6 as it was" in out and "added" not in out
    assert {path: path.stat().st_mtime_ns for path in mine.rglob("*.ipynb")} == before


def test_what_the_student_changed_is_never_overwritten(zerohero, course, tmp_path):
    mine = tmp_path / "mine"
    zerohero("start", mine)
    write(mine, {"exercises/01-one.ipynb": "my work", "notebooks/01-one.ipynb": "my notes", "exercises/mine.txt": "?"})
    write(course, {"exercises/01-one.ipynb": "a better blank", "exercises/02-two.ipynb": "new"})
    for _ in range(3):
        status, out, _ = zerohero("start", mine)
        assert status == 0
        assert "1 kept, because you changed it: notebooks/01-one.ipynb" in out
        assert "though the course has a newer one (rename yours, and run this again): exercises/01-one.ipynb" in out
        assert read(mine) == BEGUN | {"exercises/01-one.ipynb": "my work", "notebooks/01-one.ipynb": "my notes",
                                      "exercises/mine.txt": "?", "exercises/02-two.ipynb": "new"}  # fmt: skip
    (mine / "exercises" / "01-one.ipynb").rename(mine / "exercises" / "01-mine.ipynb")
    assert "1 added: exercises/01-one.ipynb" in zerohero("start", mine)[1]
    assert read(mine)["exercises/01-one.ipynb"] == "a better blank"
    assert read(mine)["exercises/01-mine.ipynb"] == "my work"


def test_what_the_student_did_not_touch_is_renewed(zerohero, course, tmp_path):
    mine = tmp_path / "mine"
    zerohero("start", mine)
    for text in ("second edition", "third edition"):
        write(course, {"notebooks/01-one.ipynb": text})
        assert "1 renewed: notebooks/01-one.ipynb" in zerohero("start", mine)[1]
        assert read(mine) == BEGUN | {"notebooks/01-one.ipynb": text}


def test_work_that_lay_there_before_is_the_students(zerohero, course, tmp_path):
    mine = tmp_path / "mine"
    write(mine, {"exercises/01-one.ipynb": "my work"})
    zerohero("start", mine)
    write(course, {"exercises/01-one.ipynb": "a better blank"})
    assert "kept, because you changed it" in zerohero("start", mine)[1]
    assert read(mine)["exercises/01-one.ipynb"] == "my work"


@pytest.mark.parametrize("spoilt", ["{", "[]", "null", '{"exercises/01-one.ipynb": 7}', "\x00", "[" * 100_000])
def test_a_spoilt_record_costs_no_work(zerohero, course, tmp_path, spoilt):
    mine = tmp_path / "mine"
    zerohero("start", mine)
    write(mine, {"exercises/01-one.ipynb": "my work", start.RECORD: spoilt})
    write(course, {"exercises/01-one.ipynb": "a better blank"})
    assert zerohero("start", mine)[0] == 0 and read(mine)["exercises/01-one.ipynb"] == "my work"


def test_links_and_folders_in_the_way_are_left(zerohero, course, tmp_path):
    mine = tmp_path / "mine"
    (mine / "notebooks" / "01-one.ipynb").mkdir(parents=True)
    (mine / "notebooks" / "00-start.ipynb").symlink_to(tmp_path / "nowhere")
    status, out, _ = zerohero("start", mine)
    assert status == 0 and "2 kept" in out and not (tmp_path / "nowhere").exists()


def test_an_interrupted_copy_is_finished_by_the_next(zerohero, course, tmp_path, monkeypatch):
    written, whole = [], start._write

    def some(path, content):
        written.append(path)
        if len(written) > 3:
            raise KeyboardInterrupt
        whole(path, content)

    monkeypatch.setattr(start, "_write", some)
    assert zerohero("start", tmp_path / "mine")[0] == 130
    monkeypatch.setattr(start, "_write", whole)
    assert "3 added" in zerohero("start", tmp_path / "mine")[1] and read(tmp_path / "mine") == BEGUN
    write(course, {"notebooks/00-start.ipynb": "second edition"})
    assert "1 renewed" in zerohero("start", tmp_path / "mine")[1]


def test_a_copy_is_made_from_the_course_and_never_from_a_copy(zerohero, course, tmp_path, monkeypatch):
    monkeypatch.setattr(start, "PACKAGE", course / "zerohero")
    zerohero("start", tmp_path / "mine")
    write(tmp_path / "mine", {"exercises/01-one.ipynb": "my work"})
    monkeypatch.chdir(tmp_path / "mine")
    assert zerohero("start", tmp_path / "other")[0] == 0 and read(tmp_path / "other") == BEGUN
    status, _, err = zerohero("start", tmp_path / "third", "--course", ".")
    assert status == 2 and "'.' is none, or is a working copy" in err


def test_where_the_courses_files_are_not_there_one_sentence_says_so(zerohero, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(start, "PACKAGE", tmp_path / "site-packages" / "zerohero")
    status, out, err = zerohero("start", "mine")
    assert (status, out) == (2, "") and not (tmp_path / "mine").exists()
    assert err.startswith("zerohero: start: the course's files are neither here (") and len(err.splitlines()) == 1
    assert "come with the repository, not with the package: git clone it" in err


@pytest.mark.parametrize(
    ("target", "words"),
    [(".", "needs to be another folder than the course's own"), ("LICENSE-text", "'LICENSE-text' is a file"),
     ("LICENSE-text/mine", "Not a directory: 'LICENSE-text/mine")],
)  # fmt: skip
def test_a_folder_that_cannot_be_is_told(zerohero, course, target, words):
    before = read(course)
    status, _, err = zerohero("start", target)
    assert status == 2 and words in err and len(err.splitlines()) == 1 and read(course) == before


def test_this_course_gives_a_working_copy_whose_first_lecture_lab_opens(zerohero, tmp_path):
    mine = tmp_path / "mine"
    assert zerohero("start", mine, "--course", ROOT)[0] == 0
    for folder in ("notebooks", "exercises"):
        assert {path.name for path in (ROOT / folder).glob("[01]?-*.ipynb")} == set(os.listdir(mine / folder))
    assert not (mine / "solutions").exists()
    recorded = (ROOT / "experiments/results").glob("*.json")
    measured = [each for path in recorded for each in json.loads(path.read_text("utf-8"))["measurements"]]
    shown = {each["file"] for each in measured if "file" in each}
    assert shown and all((mine / "experiments/results" / file).is_file() for file in shown)  # lecture 08's pictures
    assert lab.course(mine) == (mine.resolve(), "notebooks/00-start-here.ipynb")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("git") is None or not (ROOT / ".git").exists(), reason="needs git and a checkout")
def test_a_clone_gives_a_working_copy(tmp_path):
    """From what is committed, in a process that stands in the clone."""
    clone, mine = tmp_path / "clone", tmp_path / "mine"
    subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{ROOT}", clone], check=True)
    done = subprocess.run([sys.executable, "-m", "zerohero", "start", mine], cwd=clone, capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(clone)})  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    for folder in ("notebooks", "exercises"):
        committed = [path.name for path in (clone / folder).glob("*.ipynb")]
        assert sorted(path.name for path in (mine / folder).glob("*.ipynb")) == sorted(committed)
    assert json.loads((mine / start.RECORD).read_text())["notebooks/00-start-here.ipynb"]
