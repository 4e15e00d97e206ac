"""Docstrings: every public name has an example, which doctest runs; an operation also gives parameters and shapes."""

import inspect
import re

import pytest

import public_names
import zerohero as zh
from zerohero.operation import Operation

OPERATIONS = {
    name: value
    for name, value in vars(zh).items()
    if isinstance(value, Operation) or getattr(value, "__module__", "").startswith("zerohero.ops.")
}


def section(doc, title):
    """The lines under a NumPy-style heading, up to the next one."""
    found = re.search(rf"^{title}\n-+\n(.*?)(?=^\w[^\n]*\n-+\n|\Z)", doc, re.DOTALL | re.MULTILINE)
    return found.group(1) if found else ""


def test_the_library_shows_its_operations():
    assert {
        "conv2d",
        "conv2d_loops",
        "max_pool2d",
        "linear",
        "relu",
        "cross_entropy",
        "batch_norm",
    } <= OPERATIONS.keys()


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_says_in_one_line_what_it_does(name):
    first = inspect.getdoc(OPERATIONS[name]).splitlines()[0]
    assert first.endswith((".", "∞."))
    assert len(first) <= 120


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_describes_exactly_its_parameters(name):
    described = section(inspect.getdoc(OPERATIONS[name]), "Parameters")
    heads = [line.partition(" : ")[0] for line in described.splitlines() if line and not line.startswith(" ")]
    names = [each for head in heads for each in head.split(", ")]
    assert sorted(names) == sorted(inspect.signature(OPERATIONS[name]).parameters)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_gives_the_shape_of_every_array_that_goes_in_or_comes_out(name):
    doc = inspect.getdoc(OPERATIONS[name])
    goes_in = [line for line in section(doc, "Parameters").splitlines() if re.search(r"^\S.* : .*array", line)]
    comes_out = [line for line in section(doc, "Returns").splitlines() if line.startswith(("array", "scalar"))]
    assert goes_in
    assert section(doc, "Returns")
    for line in goes_in + comes_out:
        assert re.search(r"\(\S.*\)|shapes?|^scalar$", line), line


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_has_an_example_that_shows_a_result(name):
    example = section(inspect.getdoc(OPERATIONS[name]), "Examples")
    assert re.search(rf">>> .*{name}\(", example)
    assert re.search(r"^[^>. \n]", example, re.MULTILINE), "the example prints nothing"


# ---- everything public ------------------------------------------------------------------------------------

# Public names without an example, and why.
WITHOUT_AN_EXAMPLE = {
    "benchmark.roofline": "measures for seconds; its numbers are the machine's",
    "distributed.Bucket": "needs several processes",
    "distributed.Exchange": "needs several processes",
    "distributed.Ranks": "needs several processes",
    "distributed.agree_on_buffers": "needs several processes",
    "distributed.exchanging": "needs several processes",
    "grading.NotIsolated": "is raised where a machine has no sandbox",
    "grading.Sandbox": "needs rights that not every machine gives",
    "grading.check_notebook": "needs rights that not every machine gives",
    "grading.grade": "needs rights that not every machine gives",
    "operation.Call": "is made by an operation, for the tape",
    "operation.gpu_kernels": "needs a GPU",
    "recipes.Trained": "is made by `train`, which shows one",
    "tensor.need_gpu": "needs a GPU",
}


def _examples():
    """For every public function and class: whether its docstring has an example."""
    return {
        f"{module}.{name}".removeprefix("zerohero."): ">>>" in (inspect.getdoc(value) or "")
        for module, name, value in public_names.public_names()
        if inspect.isclass(value) or public_names.is_function(value)
    }


def test_every_public_name_has_an_example():
    examples = _examples()
    assert len(examples) > 350
    missing = {name for name, shown in examples.items() if not shown}
    assert missing - WITHOUT_AN_EXAMPLE.keys() == set()
    assert WITHOUT_AN_EXAMPLE.keys() - missing == set(), "these have an example now: take them off the list"


def test_examples_of_public_names_are_run():
    """Doctest must not be told to skip any of them."""
    skipping = [
        f"{module}.{name}"
        for module, name, value in public_names.public_names()
        if callable(value) and "doctest: +SKIP" in (inspect.getdoc(value) or "")
    ]
    assert skipping == []
