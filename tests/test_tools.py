"""The authoring tools: what they write is stable, and what is wrong with a notebook is found."""

import time
from collections import Counter

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import exercises
import notebooks
import run_tests
from zerohero.kernels.numba_cpu import compiling

SOLVED = '''\
import numpy as np


def double(x):
    """Return twice x."""
    ### BEGIN SOLUTION
    # the simplest way
    y = x + x
    return y
    ### END SOLUTION'''


def lecture(*cells):
    """A notebook that is fit to be committed but for what `cells` adds."""
    good = new_code_cell("1 + 1", execution_count=1, outputs=[result("2", count=1)])
    return notebooks.normalise(new_notebook(cells=[new_markdown_cell("# A title"), good, *cells]))


def result(text, count):
    return new_output("execute_result", data={"text/plain": text}, execution_count=count)


def stream(text, name="stdout"):
    return new_output("stream", name=name, text=text)


def problems(notebook, folder, name="notebooks/lecture.ipynb"):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(notebooks.to_text(notebook), encoding="utf-8")
    return "\n".join(notebooks.problems(path))


# --- exercises ------------------------------------------------------------------------------------------------


def test_a_solution_becomes_a_blank_that_names_its_task():
    assert exercises.blank(SOLVED).split("\n")[-2:] == [
        '    """Return twice x."""',
        '    raise NotImplementedError("double: write your code here")',
    ]


def test_code_without_markers_stays_as_it_is():
    source = "%matplotlib inline\nx = 3"
    assert exercises.blank(source) == source


def test_the_task_of_a_method_is_named_with_its_class():
    source = "class Block:\n  def forward(self, x):\n    ### BEGIN SOLUTION\n    return x\n    ### END SOLUTION"
    assert 'raise NotImplementedError("Block.forward: write your code here")' in exercises.blank(source)


def test_two_solutions_in_one_cell_get_their_own_names():
    source = SOLVED + "\n\n" + SOLVED.replace("double", "twice")
    blanks = [line for line in exercises.blank(source).split("\n") if "raise" in line]
    assert [line.split('"')[1] for line in blanks] == ["double: write your code here", "twice: write your code here"]


def test_a_blank_keeps_the_indentation_of_its_solution():
    source = "def f(x):\n    if x:\n        ### BEGIN SOLUTION\n        x = 1\n        ### END SOLUTION\n    return x"
    assert "\n        raise NotImplementedError(" in exercises.blank(source)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("### BEGIN SOLUTION\nx = 1\n### END SOLUTION", "not inside a function"),
        ("class A:\n    ### BEGIN SOLUTION\n    x = 1\n    ### END SOLUTION", "not inside a function"),
        ("### BEGIN SOLUTION\ndef f():\n    return 1\n### END SOLUTION", "not inside a function"),
        ("def f():\n    ### BEGIN SOLUTION\n    return 1\nx = 2\n### END SOLUTION", "not inside a function"),
        ("def f():\n    ### BEGIN SOLUTION\n    return 1", "without ### END SOLUTION"),
        ("def f():\n    return 1\n    ### END SOLUTION", "without ### BEGIN SOLUTION"),
        ("def f():\n    ### BEGIN SOLUTION\n    ### BEGIN SOLUTION\n    return 1", "inside the solution begun in"),
        ("def f():\n    ### BEGIN SOLUTION\n    # todo\n    ### END SOLUTION\n    return 1", "is empty"),
        ("def f():\n    return 1  ### BEGIN SOLUTION\n    ### END SOLUTION", "stands alone in its line"),
        (
            "def f(x):\n    ### BEGIN SOLUTION\n    if x:\n    ### END SOLUTION\n        return 1",
            "not a block of whole statements",
        ),
    ],
)
def test_misplaced_markers_are_errors(source, sentence):
    with pytest.raises(ValueError, match=sentence):
        exercises.blank(source)


def test_an_exercise_has_no_outputs_and_runs_blank():
    solution = lecture(new_code_cell(SOLVED, execution_count=2))
    exercise = exercises.build(solution)
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in exercise.cells)
    names: dict = {}
    exec(exercise.cells[-1].source, names)
    with pytest.raises(NotImplementedError, match="double"):
        names["double"](1)


@pytest.fixture
def course(tmp_path):
    (tmp_path / "solutions").mkdir()
    (tmp_path / "solutions" / "01.ipynb").write_text(notebooks.to_text(lecture(new_code_cell(SOLVED))))
    return tmp_path


def run(course, check=False):
    with pytest.raises(SystemExit) as stop:
        exercises.main(check=check, root=course)
    return stop.value.code


def test_the_check_of_exercises_follows_their_solutions(course):
    assert run(course, check=True) == 1, "an exercise that was never made passed"
    assert run(course) == 0
    assert run(course, check=True) == 0
    exercise = course / "exercises" / "01.ipynb"
    exercise.write_text(exercise.read_text().replace("double:", "doubled:"))
    assert run(course, check=True) == 1, "an exercise edited by hand passed"


def test_an_exercise_without_a_solution_is_an_error(course):
    assert run(course) == 0
    (course / "exercises" / "02.ipynb").write_text(notebooks.to_text(lecture()))
    assert run(course, check=True) == 1


# --- normalise ------------------------------------------------------------------------------------------------


def test_normalising_twice_changes_nothing():
    messy = lecture(new_code_cell("x = 1  \n\n", metadata={"tags": [], "execution": {"shell.execute_reply": "now"}}))
    once = notebooks.to_text(notebooks.normalise(messy))
    assert notebooks.to_text(notebooks.normalise(nbformat.reads(once, as_version=4))) == once


def test_ids_depend_on_the_text_and_survive_a_new_cell():
    before = notebooks.normalise(new_notebook(cells=[new_code_cell("a"), new_code_cell("b"), new_code_cell("b")]))
    after = notebooks.normalise(new_notebook(cells=[new_code_cell(c) for c in ("new", "a", "b", "b")]))
    assert [cell.id for cell in before.cells] == [cell.id for cell in after.cells[1:]]
    assert len({cell.id for cell in after.cells}) == 4


def test_what_dies_with_the_kernel_is_dropped():
    widget = {notebooks.WIDGET: {"model_id": "0"}}
    outputs = [new_output("display_data", data=data) for data in (widget, widget | {"text/plain": "slider"})]
    notebook = lecture(new_code_cell("slider", outputs=outputs, execution_count=9, metadata={"execution": {"a": "b"}}))
    notebook.metadata["widgets"] = {"state": {}}
    cell = notebooks.normalise(notebook).cells[-1]
    assert [dict(output.data) for output in cell.outputs] == [{"text/plain": "slider"}]
    assert cell.execution_count == 2
    assert cell.metadata == {}
    assert set(notebooks.normalise(notebook).metadata) == {"kernelspec", "language_info"}


@pytest.mark.parametrize(
    "bar", ["  0%|          | 0/9 [00:00<?, ?training/s]", "100%|██████████| 2/2 [00:03<00:00,  1.5s/it]"]
)
def test_a_progress_bar_without_its_widget_is_dropped(bar):
    widget = new_output("display_data", data={notebooks.WIDGET: {"model_id": "0"}, "text/plain": bar})
    outputs = [widget, result("50%|a table| of [percents] and more", count=2), stream(bar)]
    cell = lecture(new_code_cell("fit()", outputs=outputs, execution_count=2)).cells[-1]
    assert [output.output_type for output in cell.outputs] == ["execute_result", "stream"]


def test_a_notebook_does_not_tell_whether_kernels_were_compiled_before(capsys):
    compiling._say("triad")
    said = capsys.readouterr().err
    outputs = [stream(said, "stderr"), stream("281 GFLOPS\n"), stream(said + "careful\n", "stderr"), stream(said)]
    cell = lecture(new_code_cell("roofline()", outputs=outputs, execution_count=2)).cells[-1]
    assert [(output.name, output.text) for output in cell.outputs] == [
        ("stdout", "281 GFLOPS\n"),
        ("stderr", "careful\n"),
    ]


def test_pieces_of_a_stream_are_joined_and_overtyped_progress_is_dropped():
    outputs = [stream("a\n"), stream("  1%\r"), stream("100%\n"), stream("careful", "stderr"), stream("b")]
    cell = lecture(new_code_cell("f()", outputs=outputs, execution_count=2)).cells[-1]
    assert [(output.name, output.text) for output in cell.outputs] == [
        ("stdout", "a\n100%\n"),
        ("stderr", "careful"),
        ("stdout", "b"),
    ]


def test_a_traceback_does_not_say_where_this_machine_keeps_the_library():
    home = "/" + "home/somebody"
    lines = [f"File {home}/zerohero/zerohero/ops/convolution.py:3", "File ~/.venv/lib/site-packages/numpy/x.py:4"]
    error = new_output("error", ename="ValueError", evalue="no", traceback=lines)
    cell = lecture(new_code_cell("f()", outputs=[error], execution_count=2)).cells[-1]
    assert cell.outputs[0].traceback == ["File zerohero/ops/convolution.py:3", "File site-packages/numpy/x.py:4"]


# --- execute --------------------------------------------------------------------------------------------------


def test_executing_twice_gives_the_same_bytes_and_an_error_leaves_the_file_alone(tmp_path):
    path = tmp_path / "lecture.ipynb"
    sources = ["import os\nprint(os.path.exists('lecture.ipynb'))", "print({'a', 'b', 'c', 'd', 'e'})"]
    notebooks.write(new_notebook(cells=[new_markdown_cell("# Title"), *map(new_code_cell, sources)]), path)
    notebooks.execute([path], timeout=60)
    once = path.read_bytes()
    notebooks.execute([path], timeout=60)
    assert path.read_bytes() == once
    assert notebooks.read(path).cells[1].outputs[0].text == "True\n"
    assert notebooks.problems(path) == []

    notebooks.write(new_notebook(cells=[new_code_cell("1 / 0")]), path)
    blank = path.read_bytes()
    with pytest.raises(SystemExit, match="1 of 1 notebooks failed"):
        notebooks.execute([path], timeout=60)
    assert path.read_bytes() == blank


# --- check ----------------------------------------------------------------------------------------------------


def test_a_good_notebook_has_no_problems(tmp_path):
    assert problems(lecture(), tmp_path) == ""


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        (new_code_cell("x = 1"), "cell 3: was not executed"),
        (new_code_cell("x = 1\n" * 31, execution_count=2), "31 lines of code, more than 30"),
        (new_code_cell("open('/" + "home/me/x')", execution_count=2), "names a path of one machine"),
        (new_code_cell("f", execution_count=2, outputs=[stream("/" + "root/x\n")]), "names a path of one machine"),
        (new_code_cell("w", execution_count=2, outputs=[stream("Warning: old", "stderr")]), "wrote to stderr"),
        (new_code_cell("f", execution_count=2, outputs=[result("<f at 0x7f00aa11>", 2)]), "address of an object"),
        (
            new_code_cell("1/0", execution_count=2, outputs=[new_output("error", ename="E", evalue="", traceback=[])]),
            "ended in E, without the tag raises-exception",
        ),
        (new_markdown_cell("![](picture.png)"), "an image without a text that describes it"),
    ],
)
def test_what_makes_a_notebook_unfit_is_named(cell, sentence, tmp_path):
    assert sentence in problems(lecture(cell), tmp_path)


def test_a_notebook_that_is_not_normalised_is_unfit(tmp_path):
    notebook = lecture()
    notebook.cells[1].id = "random"
    assert "is not normalised" in problems(notebook, tmp_path)


def test_a_notebook_without_a_title_is_unfit(tmp_path):
    assert "does not open with a title" in problems(notebooks.normalise(new_notebook()), tmp_path)


def test_a_notebook_of_more_than_a_megabyte_is_unfit(tmp_path):
    picture = new_output("display_data", data={"image/png": "A" * 1_000_001})
    notebook = lecture(new_code_cell("f", execution_count=2, outputs=[picture]))
    assert "bytes, more than 1,000,000" in problems(notebook, tmp_path)


def test_an_exercise_with_outputs_is_unfit(tmp_path):
    assert "exercises are committed blank" in problems(lecture(), tmp_path, "exercises/01.ipynb")


# --- the test driver ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("def test_a(): pass\ndef test_b(): assert 0\ndef test_c(): import pytest; pytest.skip()", (1, 1, 1)),
        ("import pytest\n@pytest.fixture\ndef f(): raise ValueError\ndef test_a(f): pass", (0, 1, 0)),
        ("def test_a(): pass\ndef test_b(): import os; os._exit(0)", (0, 1, 0)),
        ("def test_a(): import pytest; pytest.skip()", (0, 1, 1)),
        ("x = 1", (0, 1, 0)),
        ("this is not Python", (0, 1, 0)),
    ],
    ids=["one of each", "fixture fails", "ends early", "all skipped", "no tests", "not Python"],
)
def test_the_driver_counts_what_pytest_did(source, count, tmp_path):
    (tmp_path / "test_x.py").write_text(source)
    found = run_tests.pytest(str(tmp_path), "--rootdir", str(tmp_path))
    assert (found["passed"], found["failed"], found["skipped"]) == count


def test_a_hanging_command_is_stopped_with_what_it_started(tmp_path, monkeypatch):
    monkeypatch.setattr(run_tests, "TIME_LIMIT", 0.5)
    late = tmp_path / "late"
    grandchild = f"import time; time.sleep(1.5); open({str(late)!r}, 'w')"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}])"
    assert run_tests.run([run_tests.PYTHON, "-c", child]) == 124
    time.sleep(2)
    assert not late.exists()


def test_the_last_line_of_the_summary_is_the_sum():
    results = {
        "lint": (Counter(passed=2), 61.0),
        "unit": (Counter(passed=3, failed=1, skipped=4), 5.0),
    }
    lines = run_tests.summary(results).splitlines()
    assert lines[-1] == "5 passed, 1 failed, 4 skipped"
    assert [line.split() for line in lines[1:3]] == [["lint", "2", "0", "0", "1:01"], ["unit", "3", "1", "4", "0:05"]]
