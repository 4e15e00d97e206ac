"""The checks behind the exercises: every misconception is caught and named, and no answer can make a check raise."""

import ast
import contextlib
import copy
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import exercises
import notebooks
import zerohero as zh
from zerohero.checks import Case, Report, Task, calling, definition, diagnosing, exercise_12, records
from zerohero.checks.comparing import differs, equal

SOLUTIONS = Path(__file__).resolve().parent.parent / "solutions"
TASKS = zh.checks.tasks()
MISCONCEPTIONS = [
    pytest.param(task, number, id=f"{task.name}: {misconception.name} ({misconception.wrong.__name__})")
    for task in TASKS
    for number, misconception in enumerate(task.misconceptions)
]
every_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)


@pytest.fixture(autouse=True)
def fresh_records():
    records.forget()
    yield
    records.forget()


def handed_in(task, function):
    """What a student hands in who has written `function` (or a class)."""
    return function() if task.answer == "value" else function


def wrong_report(task, number):
    return diagnosing.judge(task, handed_in(task, task.misconceptions[number].wrong))


# --- every task -----------------------------------------------------------------------------------------------


@every_task
def test_the_reference_passes(task):
    assert zh.check(task.name, handed_in(task, task.reference)).passed


@pytest.mark.parametrize("task, number", MISCONCEPTIONS)
def test_a_misconception_is_caught_and_named(task, number):
    report = wrong_report(task, number)
    assert (report.status, report.diagnosis) == ("failed", task.misconceptions[number].name), report


@pytest.mark.parametrize("task, number", MISCONCEPTIONS)
def test_a_form_of_a_misconception_is_told_by_its_own_sentence(task, number):
    assert wrong_report(task, number).sentences[0] == task.misconceptions[number].sentence


@every_task
def test_the_inputs_separate_every_wrong_answer_from_the_right_one_and_from_the_others(task):
    right = [calling.Outcome(parts) for parts in calling.expected(task)]
    answers = [("the reference", right)]
    answers += [(m.name, w) for m, w in zip(task.misconceptions, calling.wrong_outcomes(task))]
    close = [
        (name, other)
        for i, (name, outcomes) in enumerate(answers)
        for other, others in answers[:i]
        if name != other and len(outcomes) == len(others) and all(map(nearly_alike(task), outcomes, others))
    ]
    assert not close


def nearly_alike(task):
    """Two outcomes are told apart by ten times the tolerance of the check, so that rounding never decides."""

    def alike(a, b):
        if a.parts is None or b.parts is None:
            return a.error == b.error != ""
        return all(equal(x, y, 10 * task.rtol, 10 * task.atol) for x, y in zip(a.parts, b.parts))

    return alike


@every_task
def test_cases_grow_and_a_check_takes_less_than_two_seconds(task):
    start = time.perf_counter()
    assert zh.check(task, handed_in(task, task.reference)).total == len(task.cases)
    assert time.perf_counter() - start < 2


@every_task
def test_the_inputs_are_the_same_in_every_process(task):
    again = task.inputs(np.random.default_rng(definition.zlib.crc32(task.name.encode())))
    assert all(calling._same([a.args, a.kwargs], [b.args, b.kwargs]) for a, b in zip(task.cases, again))


@every_task
def test_a_task_has_a_card_and_three_hints_and_names_of_its_own(task):
    assert task.title and task.practises and task.minutes > 0
    assert len(task.hints) == 3
    general = {name for name, *_ in diagnosing.GENERAL}
    assert len(task.misconceptions) >= 3
    assert general.isdisjoint(m.name for m in task.misconceptions)
    assert all(m.sentence.endswith((".", "`.")) for m in task.misconceptions)


# --- the solutions --------------------------------------------------------------------------------------------


@cache
def solution(exercise):
    """The master notebook of an exercise."""
    (path,) = SOLUTIONS.glob(f"{exercise}-*.ipynb")
    return notebooks.read(path)


def definitions(exercise, edit=lambda source: source):
    """Run what a solution notebook imports and defines, each solution cell as `edit` leaves it; return the names."""
    names = {"__name__": "__main__"}
    for cell in solution(exercise).cells:
        if cell.cell_type == "code":
            tree = ast.parse(edit(cell.source))
            kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
            tree.body = [node for node in tree.body if isinstance(node, kinds)]
            exec(compile(tree, "<notebook>", "exec"), names)
    return names


@every_task
def test_the_solution_passes(task):
    report = zh.check(task.name, definitions(task.exercise)[task.short])
    assert report.passed, report


@every_task
def test_the_blank_is_not_written_yet(task):
    answer = definitions(task.exercise, exercises.blank)[task.short]
    assert zh.check(task.name, answer).status == "blank"


@every_task
def test_the_notebook_shows_the_card_and_the_hints_and_runs_the_check(task):
    markdown = "\n".join(cell.source for cell in solution(task.exercise).cells if cell.cell_type == "markdown")
    code = "\n".join(cell.source for cell in solution(task.exercise).cells if cell.cell_type == "code")
    assert task.card in markdown
    assert task.folded_hints in markdown
    assert f'zh.check("{task.name}", ' in code
    assert f'zh.checks.progress("{task.exercise}")' in code


# --- mutants: what a slip of the pen makes of a solution --------------------------------------------------------

# Mutants that no input can tell from the solution, and why. Task, the operator, the mutant's changed line.
SURVIVORS = {
    ("01.receptive_field", "swap two arguments", "jump, size = (1, 1)"): "both start at 1",
    ("02.flatten_and_classify", "off by one", "rows = maps.reshape(len(maps), -2)"): "NumPy reads -2 as -1",
    ("02.surviving_share", "swap two arguments", "room = max(abs(right), abs(down))"): "max doesn't mind the order",
    ("03.cross_entropy_gradient", "drop an axis", "given = zh.softmax(scores)"): "the last axis is the default, too",
    ("03.conv_backward", "swap two arguments", "return (dx, dw, g.sum(axis=(2, 0, 3)))"): "a sum, in another order",
    ("03.Value", "swap two arguments", "return Value(max(0, self.data), [(self, int(self.data > 0))])"): (
        "max doesn't mind the order"
    ),
    ("04.convolve_threads", "swap two arguments", "for i in range(k * band, min(out_height, (k + 1) * band)):"): (
        "min doesn't mind the order"
    ),
    ("04.convolve_shared", "off by one", "piece[r, q] = 1"): "read only by threads that have no number to write",
    ("04.convolve_shared", "off by one", "piece[r, q] = -1"): "read only by threads that have no number to write",
    ("05.top_error", "drop an axis", "best = np.argsort(-scores)[:, :k]"): "the last axis is the default, too",
    (
        "05.response_norm",
        "swap two arguments",
        "first, last = (max(c - size // 2, 0), c + (size - 1) // 2 + 1)",
    ): "max doesn't mind the order",
    ("06.batch_norm", "swap two arguments", "axes = (2, 0, 3)"): "a mean doesn't mind the order of its axes",
    (
        "06.batch_norm",
        "off by one",
        "mean, var, weight, bias = (array.reshape(1, -2, 1, 1) for array in (mean, var, weight, bias))",
    ): "NumPy reads -2 as -1",
    ("08.find_dead", "swap two arguments", "return outputs.max(axis=(2, 0, 3)) <= 0"): (
        "a maximum doesn't mind the order of its axes"
    ),
    (
        "08.occlusion_map",
        "swap two arguments",
        "half, grey = (size // 2, image.mean(axis=(2, 1), keepdims=True))",
    ): "a mean doesn't mind the order of its axes",
    ("09.equivariance_error", "swap two arguments", "difference = b[inside] - a[inside]"): (
        "a square doesn't mind the sign"
    ),
    ("10.route", "drop an axis", "c = zh.softmax(b)"): "the last axis is the default, too",
    (
        "11.primary_capsules",
        "swap two arguments",
        "vectors = maps.reshape(types, n, channels // types, h, w).transpose(0, 1, 3, 4, 2)",
    ): "images and types stay in their order, and the next reshape counts them anew",
    (
        "11.margin_loss",
        "swap two arguments",
        "missing, excess = (np.maximum(0.9 - length, 0), np.maximum(0, length - 0.1))",
    ): "the maximum doesn't mind the order",
    (
        "11.margin_loss",
        "swap two arguments",
        "missing, excess = (np.maximum(0, 0.9 - length), np.maximum(length - 0.1, 0))",
    ): "the maximum doesn't mind the order",
    ("11.total_loss", "swap two arguments", "squares = (images.reshape(drawn.shape) - drawn) ** 2"): (
        "a square doesn't mind the sign"
    ),
    ("12.mean_logit_change", "swap two arguments", "return np.abs(np.diff(logits, axis=0)).mean(axis=(2, 1, 3))"): (
        "a mean doesn't mind the order of its axes"
    ),
    (
        "12.pose_r2",
        "flip a sign",
        "train_y, test_y = ((angles - 180) % 360 for angles in (train_angles, test_angles))",
    ): "half a turn back is half a turn forth",
    (
        "12.pose_r2",
        "swap two arguments",
        "train_x, test_x = (np.c_[np.ones(len(v)), v[:, label]] for v in (train_v, test_v))",
    ): "a fit doesn't mind the order of its numbers",
    (
        "12.pose_r2",
        "swap two arguments",
        "return 1 - ((test_x @ weights - test_y) ** 2).mean() / test_y.var()",
    ): "a square doesn't mind the sign",
    (
        "13.m_step",
        "swap two arguments",
        "variance = np.einsum('nij,nijh->njh', r, (mean[:, None] - votes) ** 2) / mass[..., None]",
    ): "a square doesn't mind the sign",
    ("13.e_step", "swap two arguments", "distance = (mean[:, None] - votes) ** 2 / (2 * variance[:, None])"): (
        "a square doesn't mind the sign"
    ),
}
FLIPPED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
EDGES = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
NOT_SYMMETRIC = (ast.Sub, ast.Div, ast.FloorDiv, ast.MatMult, ast.Pow, ast.Mod)


def variants(node):
    """Yield (operator, changed node) for each slip that a node invites."""
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in FLIPPED:
        yield "flip a sign", changed(node, op=FLIPPED[type(node.op)]())
    if isinstance(node, ast.BinOp):
        yield "drop a term", node.left
        yield "drop a term", node.right
        if isinstance(node.op, NOT_SYMMETRIC):
            yield "swap two arguments", changed(node, left=node.right, right=node.left)
    if isinstance(node, ast.AugAssign):
        yield "overwrite", ast.Assign([node.target], node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "flip a sign", node.operand
    if isinstance(node, ast.Constant) and type(node.value) is int:
        yield "off by one", ast.Constant(node.value + 1)
        yield "off by one", ast.Constant(node.value - 1)
    if isinstance(node, ast.Call) and len(node.args) > 1:
        yield "swap two arguments", changed(node, args=[node.args[1], node.args[0], *node.args[2:]])
    if isinstance(node, ast.Call) and any(k.arg in ("axis", "keepdims") for k in node.keywords):
        yield "drop an axis", changed(node, keywords=[k for k in node.keywords if k.arg not in ("axis", "keepdims")])
    if isinstance(node, ast.Tuple) and len(node.elts) > 1:
        yield "swap two arguments", changed(node, elts=[node.elts[1], node.elts[0], *node.elts[2:]])
    if isinstance(node, ast.Compare) and type(node.ops[0]) in EDGES:
        yield "off by one", changed(node, ops=[EDGES[type(node.ops[0])](), *node.ops[1:]])
    if isinstance(node, ast.Assign | ast.AugAssign | ast.Expr):
        yield "forget a line", ast.Pass()


def changed(node, **fields):
    node = copy.copy(node)
    for name, value in fields.items():
        setattr(node, name, value)
    return node


def mutants(source):
    """Yield (operator, changed line, source) for each slip in the solutions of a cell."""
    lines = source.split("\n")
    inside = [range(begin + 2, end + 1) for begin, end in exercises._regions(lines)]
    tree = ast.parse(source)
    nodes = [n for n in ast.walk(tree) if any(getattr(n, "lineno", 0) in region for region in inside)]
    for node in nodes:
        for operator, other in variants(node):
            mutant = ast.unparse(ast.fix_missing_locations(Replace(node, other).visit(tree)))
            before, after = ast.unparse(tree).split("\n"), mutant.split("\n")
            if before == after:  # two equal items changed places
                continue
            line = next((b.strip() for a, b in zip(before, after) if a != b), after[-1].strip())
            yield operator, line, mutant


class Replace(ast.NodeTransformer):
    """Put `other` in place of one node, in a copy of the tree."""

    def __init__(self, node, other):
        self.node, self.other = node, other

    def visit(self, node):
        return self.other if node is self.node else self.generic_visit(node)

    def generic_visit(self, node):
        fields = {
            name: [self.visit(v) if isinstance(v, ast.AST) else v for v in value] if isinstance(value, list) else value
            for name, value in ast.iter_fields(node)
        }
        return changed(node, **{k: self.visit(v) if isinstance(v, ast.AST) else v for k, v in fields.items()})


@pytest.mark.parametrize("exercise", sorted({task.exercise for task in TASKS}))
def test_slips_of_the_pen_are_caught(exercise, monkeypatch):
    names = definitions(exercise)
    cells = [c.source for c in solution(exercise).cells if c.cell_type == "code" and exercises.BEGIN in c.source]
    caught, survived = 0, []
    for task in zh.checks.tasks(exercise):
        monkeypatch.setattr(task, "seconds", 1.0)
        (cell,) = [source for source in cells if defines(source, task.short)]
        for operator, line, mutant in mutants(cell):
            namespace = dict(names)
            exec(compile(mutant, "<mutant>", "exec"), namespace)
            if diagnosing.judge(task, namespace[task.short]).passed:
                survived.append((task.name, operator, line))
            else:
                caught += 1
    assert caught > 20
    assert caught >= 0.98 * (caught + len(survived)), survived
    explained = {key for key in SURVIVORS if key[0].startswith(exercise)}
    assert set(survived) == explained, "list each survivor with its reason, and none that is caught"


def defines(source, name):
    return any(getattr(node, "name", None) == name for node in ast.parse(source).body)


# --- answers that do what they like -----------------------------------------------------------------------------


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class Lying(np.ndarray):
    """An array that says that it equals anything."""

    shape = property(lambda self: (2, 2))

    def __eq__(self, other):
        return True

    def __array_ufunc__(self, *args, **kwargs):
        return np.array(True)

    def astype(self, *args, **kwargs):
        raise RuntimeError

    view = copy = __array_function__ = astype


class Masked:
    """An object that pretends to be an array and breaks when it is touched."""

    __class__ = np.ndarray

    def __getattr__(self, name):
        raise RuntimeError(name)


def right(image, kernel):
    return zh.conv2d(image, kernel)


def raises(error):
    def answer(image, kernel):
        raise error

    return answer


def returns(value):
    return lambda image, kernel: value


def changes(change):
    return lambda image, kernel: change(right(image, kernel))


def endless(image, kernel):
    end = time.monotonic() + 5  # as good as endless, and no test hangs should the time limit break
    while time.monotonic() < end:
        pass


def endless_that_swallows(image, kernel):
    with contextlib.suppress(Exception):
        endless(image, kernel)
    endless(image, kernel)


def endless_that_swallows_once(image, kernel):
    with contextlib.suppress(BaseException):
        endless(image, kernel)
    endless(image, kernel)


def recursive(image, kernel):
    return recursive(image, kernel)


def generator(image, kernel):
    yield right(image, kernel)


def writes_into_the_image(image, kernel):
    output = right(image, kernel)
    image[0, 0] += 1
    return output


def huge(image, kernel):
    return np.broadcast_to(np.float32(1), (10**7, 10**7))


HOSTILE = {
    "an exception": (raises(ValueError("too\nbad")), "stops with ValueError: too bad"),
    "an exception without words": (raises(Unprintable()), "stops with Unprintable"),
    "a base exception": (raises(GeneratorExit()), "stops with GeneratorExit"),
    "exit": (raises(SystemExit(0)), "calls exit()"),
    "assertion": (raises(AssertionError()), "stops with AssertionError"),
    "out of memory": (lambda image, kernel: np.zeros(10**16), "Unable to allocate"),
    "recursion": (recursive, "calls itself without end"),
    "endless": (endless, "no answer after 0.2 seconds"),
    "endless, swallowing": (endless_that_swallows, "no answer after 0.2 seconds"),
    "endless, swallowing once": (endless_that_swallows_once, "no answer after 0.2 seconds"),
    "None": (returns(None), "returns None: is a `return` missing?"),
    "Ellipsis": (returns(...), "returns an ellipsis"),
    "list": (changes(lambda y: y.tolist()), "returns a list"),
    "ragged list": (returns([[1, 2], [3]]), "returns a list"),
    "tuple": (changes(lambda y: (y, y)), "returns a tuple of 2"),
    "dict": (returns({}), "returns a dict"),
    "string": (returns("4x4"), "the shape of your output is ()"),
    "generator": (generator, "a `yield` stands where a `return` is meant"),
    "function": (returns(np.sum), "parentheses of a call missing"),
    "class": (returns(np.ndarray), "parentheses of a call missing"),
    "Tensor": (changes(zh.Tensor), "returns a Tensor"),
    "object array": (changes(lambda y: y.astype(object)), "an array of object, not of numbers"),
    "dates": (returns(np.zeros((2, 2), "M8[s]")), "an array of datetime64[s], not of numbers"),
    "huge integer": (returns(10**400), "that NumPy can't hold"),
    "huge array": (huge, "far bigger than the task asks for"),
    "NaN": (changes(lambda y: y * np.nan), "all 4 entries differ: they are NaN"),
    "one NaN": (changes(lambda y: np.where(y == y.max(), np.nan, y)), "1 of 4 entries differs: it is NaN"),
    "infinity": (changes(lambda y: y + np.inf), "all 4 entries differ"),
    "shape": (changes(np.ravel), "the shape of your output is (4,); expected (2, 2)"),
    "axis too many": (changes(lambda y: y[None]), "the shape of your output is (1, 2, 2)"),
    "empty": (returns(np.zeros((0, 3))), "the shape of your output is (0, 3)"),
    "complex": (changes(lambda y: y + 0j), "type complex64"),
    "one wrong entry": (changes(lambda y: y + (y == y[-1, -1]) / 8), "1 of 4 entries differs"),
    "lying array": (changes(lambda y: (y + 1).view(Lying)), "all 4 entries differ"),
    "lying array of another shape": (returns(np.zeros(3).view(Lying)), "the shape of your output is (3,)"),
    "masked array": (changes(lambda y: np.ma.masked_array(y + 1, mask=True)), "all 4 entries differ"),
    "matrix": (changes(lambda y: np.matrix(y + 1)), "all 4 entries differ"),
    "object that pretends": (returns(Masked()), "can't be read as an array (TypeError)"),
    "writes into its input": (writes_into_the_image, "writes into its input `image`"),
    "too few parameters": (lambda image: image, "can't be called with (image, kernel)"),
    "not callable": (3, "takes your function itself"),
    "called already": (np.zeros((4, 4)), "takes your function itself"),
    "nothing": (None, "takes your function itself"),
}


@pytest.fixture
def quick_task(monkeypatch):
    task = zh.checks.task("01.slide_by_loops")
    monkeypatch.setattr(task, "seconds", 0.2)
    return task


@pytest.mark.parametrize("kind", HOSTILE)
def test_whatever_an_answer_does_a_report_says_so(kind, quick_task):
    answer, words = HOSTILE[kind]
    report = zh.check(quick_task, answer)
    assert report.status == "failed" and not report
    assert words in " ".join(report.sentences), report
    assert words in " ".join(repr(report).split())
    assert report._repr_html_().startswith("<div")


def test_an_interrupt_by_the_reader_goes_through(quick_task):
    with pytest.raises(KeyboardInterrupt):
        zh.check(quick_task, raises(KeyboardInterrupt()))


@pytest.mark.parametrize("name", ["array", "errstate", "isnan", "trunc"])
def test_an_answer_that_replaces_numpys_functions_gets_a_report(name, quick_task, monkeypatch):
    monkeypatch.setattr(np, name, getattr(np, name))  # put back after the test

    def sabotage(image, kernel):
        setattr(np, name, None)
        return right(image, kernel) + 1

    report = zh.check(quick_task, sabotage)
    assert report.status == "failed"
    assert name != "isnan" or "restart the kernel" in report.sentences[0]


def test_an_answer_that_replaces_numpys_functions_spoils_no_diagnosis(quick_task, monkeypatch):
    monkeypatch.setattr(np, "zeros", np.zeros)  # put back after the test
    calling.wrong_outcomes.cache_clear()

    def sabotage(image, kernel):
        np.zeros = None
        return right(image, kernel[::-1, ::-1])

    assert zh.check(quick_task, sabotage).diagnosis == "flipped kernel"
    spoiled = calling.wrong_outcomes(quick_task)
    calling.wrong_outcomes.cache_clear()
    monkeypatch.undo()
    assert [[o.error for o in w] for w in spoiled] == [[o.error for o in w] for w in calling.wrong_outcomes(quick_task)]


def test_an_answer_that_makes_allclose_say_yes_still_fails(quick_task, monkeypatch):
    monkeypatch.setattr(np, "allclose", lambda *a, **k: True)
    monkeypatch.setattr(np, "array_equal", lambda *a, **k: True)
    assert zh.check(quick_task, changes(lambda y: y + 1)).status == "failed"


def test_printing_and_warning_do_not_matter(quick_task, capsys):
    def noisy(image, kernel):
        print("here")
        warnings.warn("careful", stacklevel=1)
        np.float32(1) / np.zeros(2, np.float32)
        return right(image, kernel)

    assert zh.check(quick_task, noisy).passed
    assert capsys.readouterr().out.startswith("here\n")


def test_an_answer_gets_its_own_copy_of_the_inputs(quick_task):
    before = copy.deepcopy([case.args for case in quick_task.cases])

    def spoil(image, kernel):
        image[:] = 0
        kernel[:] = 0
        return np.zeros(1)

    zh.check(quick_task, spoil)
    assert calling._same(before, [case.args for case in quick_task.cases])


def test_the_random_numbers_of_the_reader_stay_as_they_were(quick_task):
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    zh.check(quick_task, right)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_any_callable_is_an_answer(quick_task):
    class Slide:
        def __call__(self, image, kernel):
            return right(image, kernel)

    assert zh.check(quick_task, Slide()).passed
    assert zh.check(quick_task, zh.conv2d).passed


def test_float64_is_as_good_as_float32(quick_task):
    assert zh.check(quick_task, lambda image, kernel: right(image, kernel).astype(float)).passed


def test_the_line_that_failed_is_shown(quick_task):
    def answer(image, kernel):
        output = np.zeros((1, 1))
        output[7, 7] = 1
        return output

    assert "It happens in the line `output[7, 7] = 1`." in zh.check(quick_task, answer).sentences[0]


# --- time ---------------------------------------------------------------------------------------------------------


def test_the_time_limit_leaves_other_timers_as_they_were():
    def handler(number, frame):
        pass

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 100)
    try:
        with pytest.raises(calling.TimeUp), calling.time_limit(0.05):
            endless(None, None)
        assert signal.getsignal(signal.SIGALRM) is handler
        assert 90 < signal.getitimer(signal.ITIMER_REAL)[0] <= 100
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_check_runs_in_any_thread(quick_task):
    reports = []
    thread = threading.Thread(target=lambda: reports.append(zh.check(quick_task, right)))
    thread.start()
    thread.join()
    assert reports[0].passed


# --- mistakes of every task ---------------------------------------------------------------------------------------

GENERAL = {
    "cut to integers": changes(lambda y: y.astype(int)),
    "wraps around": changes(lambda y: y.astype(np.int64).astype(np.int8)),
    "float16": changes(lambda y: y.astype(np.float16)),
    "opposite sign": changes(lambda y: -y),
    "transposed": lambda image, kernel: right(image, kernel)[None].T[..., 0],
    "same output for every input": returns(np.float32([[29, 35], [47, 49]])),
}


@pytest.fixture
def plain_task():
    """A task without misconceptions of its own, whose outputs are large and have fractions."""

    def inputs(rng):
        return [Case(rng.normal(size=(3, 4)) * 100, np.float64([[1.5, 2]])), Case(rng.normal(size=(5, 4)), np.eye(2))]

    return Task("99.slide", "t", 1, 1, "p", lambda image, kernel: zh.conv2d(image, kernel), inputs, ["h"])


@pytest.mark.parametrize("name", GENERAL)
def test_mistakes_of_every_task_are_named(name, plain_task):
    assert zh.check(plain_task, GENERAL[name]).diagnosis == name


def test_every_general_mistake_is_tested():
    assert set(GENERAL) == {name for name, *_ in diagnosing.GENERAL}


def test_an_unknown_mistake_is_not_given_a_name(plain_task):
    report = zh.check(plain_task, changes(lambda y: y * 1.01))
    assert report.diagnosis is None
    assert report.good == 0 and report.case is plain_task.cases[0]


def test_a_crash_is_a_misconception_only_with_the_same_words():
    task = zh.checks.task("01.slide_by_loops")
    (too_many,) = [m.wrong for m in task.misconceptions if m.wrong.__name__ == "one_too_many"]
    assert zh.check(task, too_many).diagnosis == "one position too many"
    assert zh.check(task, raises(IndexError("something else"))).diagnosis is None


# --- other kinds of answer ----------------------------------------------------------------------------------------


class Doubler:
    def __init__(self, start):
        self.value = start

    def go(self):
        self.value *= 2
        return self.value


@pytest.fixture
def class_task():
    def use(doubler, start, times):
        made = doubler(start)
        for _ in range(times):
            made.go()
        return made.value

    task = Task(
        "99.doubler", "t", 1, 1, "p", Doubler, lambda rng: [Case(1, 1), Case(3, 4)], ["h"], answer="class", use=use
    )

    @task.misconception("adds two", "You add 2.")
    class Adder(Doubler):
        def go(self):
            self.value += 2

    return task


def test_an_answer_may_be_a_class(class_task):
    class Blank(Doubler):
        def go(self):
            raise NotImplementedError("Blank.go: write your code here")

    class Broken(Doubler):
        def go(self):
            self.valu += 1

    assert zh.check(class_task, Doubler).passed
    assert zh.check(class_task, Blank).status == "blank"
    assert zh.check(class_task, class_task.misconceptions[0].wrong).diagnosis == "adds two"
    assert "AttributeError" in zh.check(class_task, Broken).sentences[0]
    assert "in the line `self.valu += 1`" in zh.check(class_task, Broken).sentences[0]
    assert "takes your class itself" in zh.check(class_task, Doubler(1)).sentences[0]
    assert zh.check(class_task, lambda start: 1).sentences[0].startswith("This check takes your class itself")


def test_an_answer_may_be_a_value():
    task = Task("99.kernel", "t", 1, 1, "p", lambda: np.eye(3), lambda rng: [Case()], ["h"], answer="value")

    @task.misconception("zeros", "It is zero.")
    def zeros():
        return np.zeros((3, 3))

    assert zh.check(task, np.eye(3)).passed
    assert zh.check(task, np.zeros((3, 3))).diagnosis == "zeros"
    assert zh.check(task, None).sentences == ("Your answer is None: is a `return` missing?",)
    assert "No input" not in repr(zh.check(task, np.ones((3, 3))))


def test_an_answer_may_be_several_arrays():
    def inputs(rng):
        return [Case(np.arange(3.0)), Case(rng.normal(size=4))]

    task = Task("99.both", "t", 1, 1, "p", lambda x: (x + 1, x.sum()), inputs, ["h"], returns=("next", "total"))
    assert zh.check(task, lambda x: (x + 1, x.sum())).passed
    assert zh.check(task, lambda x: [x + 1, x.sum()]).passed
    assert "asks for 2 things, in this order: next, total" in zh.check(task, lambda x: x + 1).sentences[0]
    assert "returns 3 things" in zh.check(task, lambda x: (x, x, x)).sentences[0]
    assert "returns, as total, None" in zh.check(task, lambda x: (x + 1, None)).sentences[0]
    report = zh.check(task, lambda x: (x + 1, x.mean()))
    assert report.sentences == ("On the input below, your total is 1; expected 3.",)
    assert "your next has the right shape" in zh.check(task, lambda x: (x + [0, *x[1:]], x.sum())).sentences[0]


def test_a_list_is_right_where_the_reference_returns_one():
    task = Task("99.shapes", "t", 1, 1, "p", lambda n: [n, n + 1], lambda rng: [Case(1), Case(5)], ["h"])
    assert zh.check(task, lambda n: (n, n + 1)).passed
    assert zh.check(task, lambda n: np.array([n, n + 1])).passed
    assert "type float64; the task asks for whole numbers" in zh.check(task, lambda n: [n / 1, n + 1]).sentences[0]


def test_an_answer_may_be_words_or_truth_values():
    task = Task("99.name", "t", 1, 1, "p", lambda n: "odd" if n % 2 else "even", lambda rng: [Case(1), Case(2)], ["h"])
    assert zh.check(task, lambda n: ["even", "odd"][n % 2]).passed
    assert zh.check(task, lambda n: "even").sentences[-1] == "On the input below, your output is even; expected odd."
    task = Task("99.odd", "t", 1, 1, "p", lambda n: n % 2 == 1, lambda rng: [Case(1), Case(2)], ["h"])
    assert zh.check(task, lambda n: bool(n % 2)).passed
    assert not zh.check(task, lambda n: n % 2).passed


def test_a_whole_number_is_asked_for_where_the_reference_gives_one():
    report = zh.check("01.output_size", lambda *a, **k: float(zh.checks.task("01.output_size").reference(*a, **k)))
    assert report.sentences[0].startswith("On the input below, the value is right, but your output has type float64")


# --- the audit of exercise 12 -------------------------------------------------------------------------------------


def test_the_audit_names_exactly_what_was_planted():
    audit, rng = definitions("12")["audit"], np.random.default_rng(0)
    for _ in range(300):
        one_in_each_part = {exercise_12.PLANTED[bug][0]: bug for bug in rng.permutation(exercise_12.BUGS)}
        planted = {str(bug) for bug in one_in_each_part.values() if rng.uniform() < 0.4}
        number = exercise_12.number_of(rng, *planted)
        for auditor in (audit, exercise_12.audit.reference):
            assert set(auditor(exercise_12.built(number))) == planted, number


def test_a_network_under_audit_shows_its_functions_and_no_flag():
    sound, bugged = exercise_12.suspect(), exercise_12.suspect("loss not squared")
    assert vars(sound).keys() == vars(bugged).keys()
    assert all(callable(v) or isinstance(v, int | np.ndarray) for v in vars(bugged).values())
    given = grading_code(exercise_12.audited)
    assert "PLANTED" not in given and "MEASURED" not in given and "MISSED" not in given


def grading_code(function):
    from zerohero.grading import requests

    return requests.given_code([function])


@pytest.mark.parametrize(
    "found, words",
    [
        (None, "needs to return a list of names, but returned NoneType"),
        (["loss"], "needs to return names of the table, but returned 'loss'"),
    ],
)
def test_an_audit_that_returns_something_else_is_told(found, words):
    assert words in zh.check("12.audit", returns_found(found)).sentences[0]


def returns_found(found):
    return lambda network: found


def test_two_bugs_in_one_part_of_a_suspect_are_an_error():
    with pytest.raises(ValueError, match="a part has one bug at most"):
        exercise_12.suspect("loss not squared", "softmax before the loss")
    with pytest.raises(ValueError, match="needs to be one of softmax over the inputs"):
        exercise_12.suspect("loss")


# --- reports ------------------------------------------------------------------------------------------------------


def test_the_smallest_failing_input_is_shown_with_the_first_entry_that_differs(quick_task):
    def wrong_in_columns_above_two(image, kernel):
        output = right(image, kernel)
        output[1:, 2:] += 1
        return output

    report = zh.check(quick_task, wrong_in_columns_above_two)
    text = repr(report)
    assert report.case is quick_task.cases[1] and report.good == 2
    assert "2 of 7 inputs come out right." in text
    assert "First difference at output[1, 2]: yours" in text
    assert text.count("*") >= 3  # three entries differ, and the legend
    assert report._repr_html_().count("<td><strong>✘") == 3


def test_a_report_shows_a_window_of_a_large_array_around_the_first_difference():
    def inputs(rng):
        return [Case(np.zeros((2, 30, 40)))]

    def wrong(x):
        y = x + 1
        y[1, 20, 33] = 1.0001
        return y

    task = Task("99.large", "t", 1, 1, "p", lambda x: x + 1, inputs, ["h"], rtol=1e-6)
    text = repr(zh.check(task, wrong))
    assert "First difference at output[1, 20, 33]: yours 1.0001, expected 1." in text
    assert "output[1, :, :] rows 16 to 23, columns 29 to 36:" in text
    assert "x = array of shape (2, 30, 40), float64" in text


def test_stress_and_code_are_set_as_html_and_products_are_left_alone():
    assert definition.as_html("the *real* pixels, `2 *a* <b`") == "the <em>real</em> pixels, <code>2 *a* &lt;b</code>"
    assert definition.as_html("very *un*likely, *which class*") == "very <em>un</em>likely, <em>which class</em>"
    for left_alone in ("2 * 3 * 4", "a*b*c", "f(*args, **kwargs)", "*", "**"):
        assert definition.as_html(left_alone) == left_alone


def test_reports_escape_what_they_show_as_html(quick_task):
    report = zh.check(quick_task, raises(ValueError("<script>alert(1)</script>")))
    assert "<script>" not in report._repr_html_()
    assert "&lt;script&gt;" in report._repr_html_()


def test_a_report_says_in_words_what_it_says_in_colour(quick_task):
    for answer, words in ((right, "✔ Passed"), (changes(np.ravel), "✘ Not yet"), (raises(NotImplementedError()), "○")):
        report = zh.check(quick_task, answer)
        assert words in repr(report) and words in report._repr_html_()


def test_the_same_answer_gives_the_same_report(quick_task):
    reports = []
    for _ in range(2):
        records.forget()
        reports.append(zh.check(quick_task, lambda image, kernel: right(image, kernel[::-1, ::-1])))
    assert repr(reports[0]) == repr(reports[1])
    assert reports[0]._repr_html_() == reports[1]._repr_html_()
    assert isinstance(reports[0], Report)


def test_hints_come_one_at_a_time_after_failures(quick_task):
    offered = [len(zh.check(quick_task, returns(0)).hints) for _ in range(5)]
    assert offered == [1, 2, 3, 3, 3]
    assert zh.check(quick_task, right).hints == ()


def test_a_blank_uses_up_no_hint(quick_task):
    blank = zh.check(quick_task, raises(NotImplementedError("slide_by_loops: write your code here")))
    assert blank.status == "blank" and blank.hints == ()
    report = zh.check(quick_task, returns(0))
    assert report.hints == (quick_task.hints[0],)
    assert f"Hint 1 of 3: {quick_task.hints[0][:30]}" in repr(report)
    assert "<summary>Hint 1 of 3</summary>" in report._repr_html_()


def test_progress_counts_each_task_that_was_solved():
    assert zh.checks.progress("01").solved == 0
    zh.check("01.slide_by_loops", right)
    zh.check("01.output_size", lambda *a, **k: 3)
    progress = zh.checks.progress(1)
    assert progress.sentence == "Exercise 01: 1 of 5 tasks solved"
    assert progress.bar == "████░░░░░░░░░░░░░░░░"
    assert "✔ Passed: slide_by_loops" in repr(progress) and "✘ Not yet: output_size" in repr(progress)
    assert "○ Not checked yet: receptive_field" in progress._repr_html_()


def test_progress_after_a_restart_agrees_with_the_terminal_and_says_what_is_broken_since():
    zh.check("01.slide_by_loops", right)
    zh.checks.records.forget()
    again = zh.checks.progress("01")
    assert again.solved == 1 and "✔ Solved before: slide_by_loops" in repr(again)
    zh.check("01.slide_by_loops", returns(0))
    broken = zh.checks.progress("01")
    assert broken.solved == 1 and "✔ Solved before (✘ not as it is now): slide_by_loops" in broken._repr_html_()
    zh.check("01.slide_by_loops", right)
    assert "✔ Passed: slide_by_loops" in repr(zh.checks.progress("01"))


def test_what_comes_before_the_smallest_input_is_a_sentence_whether_others_come_out_right_or_not(quick_task):
    none = zh.check(quick_task, returns(0))
    assert none.good == 0 and "No input comes out right yet. The smallest:" in repr(none)
    calls = []

    def first_alone(*args, **kwargs):
        calls.append(1)
        return right(*args, **kwargs) if len(calls) == 1 else 0

    one = zh.check(quick_task, first_alone)
    assert one.good == 1 and f"1 of {one.total} inputs comes out right. The smallest that doesn't:" in repr(one)
    assert "<p>1 of " in one._repr_html_()


# --- names --------------------------------------------------------------------------------------------------------


def test_a_task_is_found_by_its_short_name():
    assert zh.checks.task("slide_by_loops") is zh.checks.task("01.slide_by_loops")


def test_a_mistyped_task_gets_the_nearest_name():
    with pytest.raises(ValueError, match=r"did you mean '01\.slide_by_loops'\?"):
        zh.check("01.slide_by_loop", right)
    with pytest.raises(ValueError, match=r"needs the name of a task, but got '77\.zzz'"):
        zh.check("77.zzz", right)


def test_a_short_name_of_two_tasks_needs_its_exercise(monkeypatch):
    twin = Task("02.output_size", "t", 1, 1, "p", right, lambda rng: [], ["h"])
    monkeypatch.setattr(zh.checks, "tasks", lambda exercise=None: [zh.checks.task("01.output_size"), twin])
    with pytest.raises(ValueError, match=r"one of 01\.output_size, 02\.output_size"):
        zh.checks.task("output_size")


def test_an_unknown_exercise_is_an_error_that_lists_them():
    with pytest.raises(ValueError, match=r"exercise needs to be one of 01.*, but got '99'"):
        zh.checks.tasks("99")


@pytest.mark.parametrize(
    "fault, words",
    [
        ({"name": "slide"}, "name needs the form"),
        ({"difficulty": 6}, "difficulty of 01.x needs to be 1 to 5, but got 6"),
        ({"hints": "one"}, "hints of 01.x needs a list of sentences"),
        ({"answer": "class"}, "needs `use`"),
    ],
)
def test_a_task_that_is_not_well_made_is_an_error(fault, words):
    card = dict(name="01.x", title="t", difficulty=1, minutes=1, practises="p", hints=["h"])
    with pytest.raises(ValueError, match=words):
        Task(**{**card, "reference": right, "inputs": lambda rng: [], **fault})


def test_a_reference_that_returns_nothing_is_the_authors_error():
    task = Task("99.none", "t", 1, 1, "p", lambda: None, lambda rng: [Case()], ["h"])
    with pytest.raises(ValueError, match=r"the reference of 99\.none needs to return arrays or numbers"):
        calling.expected(task)


def test_importing_checks_stays_light():
    code = (
        "import sys, zerohero as zh; zh.checks; "
        "heavy = {'matplotlib', 'torch', 'numba', 'sklearn', 'ipywidgets', 'IPython', 'zerohero.checks.exercise_01'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


# --- comparing ----------------------------------------------------------------------------------------------------


def test_nan_equals_nan_and_infinity_only_itself():
    a = np.array([np.nan, np.inf, -np.inf, 1.0, np.inf])
    b = np.array([np.nan, np.inf, np.inf, np.inf, 1.0])
    assert differs(a, b, 1e-4, 1e-4).tolist() == [False, False, True, True, True]


def test_integers_compare_exactly_however_large():
    assert differs(np.array([2**62 + 1]), np.array([2**62]), 1e-4, 1e-4).tolist() == [True]
