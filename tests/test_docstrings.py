"""The docstrings of the operations that lectures use: every parameter, shapes, and an example (which doctest runs)."""

import inspect
import re

import pytest

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
