"""Which statements of a program a name needs. Nothing is run here.

A student's notebook holds far more than the tasks: experiments, figures, downloads. Of it all, a task needs the last
definition of its function and what that uses: imports, other functions, constants.
"""

from __future__ import annotations

import ast
import dis
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import CodeType

LOADS = {"LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"}
STORES = {"STORE_NAME", "STORE_GLOBAL", "DELETE_NAME"}


@dataclass(frozen=True)
class Statement:
    """A statement of the top level, compiled.

    Attributes
    ----------
    binds : names that it gives a value, or whose objects it writes into.
    calls : names whose methods it calls, as in `table.append(3)`, outside of functions.
    uses : names that it and the functions in it look up.
    """

    code: CodeType
    binds: frozenset[str]
    calls: frozenset[str]
    uses: frozenset[str]
    source: str
    is_import: bool = False


def statements(source: str, name: str) -> list[Statement]:
    """Split Python code into the statements of its top level.

    Raises
    ------
    SyntaxError
        If it isn't Python; ValueError, RecursionError or MemoryError for code that Python's compiler gives up on.

    Examples
    --------
    >>> [sorted(each.binds) for each in statements("import numpy as np\\ndef f(x):\\n    return np.sum(x)", "<cell>")]
    [['np'], ['f']]
    """
    found = []
    for node in ast.parse(source, name).body:
        code = compile(ast.Module([node], []), name, "exec", dont_inherit=True)
        binds = {i.argval for i in dis.get_instructions(code) if i.opname in STORES} | set(_changed(node))
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
            binds.add("*")
        text = "\n".join(source.split("\n")[_first_line(node) - 1 : node.end_lineno])
        calls, uses = frozenset(_called(node)), frozenset(_uses(code))
        is_import = isinstance(node, ast.Import | ast.ImportFrom)
        found.append(Statement(code, frozenset(binds), calls, uses, text, is_import))
    return found


def needed(program: Iterable[Statement], names: Iterable[str]) -> list[Statement]:
    """Return, in order, the statements that bind the names, and those that these need.

    A statement that calls a method of a name counts as binding it, but for methods of what was imported:
    `kernels.append(3)` is needed by who needs `kernels`, `np.set_printoptions(3)` by nobody.

    Examples
    --------
    >>> program = statements("a = 1\\nb = 2\\nc = a + 1", "<cell>")
    >>> [each.source for each in needed(program, {"c"})]
    ['a = 1', 'c = a + 1']
    """
    program, wanted = list(program), {*names, "*"}
    taken: set[int] = set()
    while True:
        made = {name for i in taken if not program[i].is_import for name in program[i].binds}
        new = [i for i, s in enumerate(program) if i not in taken and (s.binds & wanted or s.calls & made)]
        if not new:
            return [program[i] for i in sorted(taken)]
        taken.update(new)
        for i in new:
            wanted |= program[i].uses


def _first_line(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(each.lineno for each in decorators)])


def _changed(node: ast.stmt) -> Iterator[str]:
    """Names whose objects the statement writes into: `table[0] = 1`, `f.cache = {}`."""
    for each in ast.walk(node):
        target = each
        if isinstance(each, ast.Attribute | ast.Subscript) and isinstance(each.ctx, ast.Store | ast.Del):
            while isinstance(target, ast.Attribute | ast.Subscript):
                target = target.value
            if isinstance(target, ast.Name):
                yield target.id


def _called(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        return
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if isinstance(node.func.value, ast.Name):
            yield node.func.value.id
    for inside in ast.iter_child_nodes(node):
        yield from _called(inside)


def _uses(code: CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in LOADS:
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _uses(constant)
