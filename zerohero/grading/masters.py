"""Exercises made from their masters: blanks for solutions. How a notebook is written to disk is in notebooks.py."""

from __future__ import annotations

import ast
import copy
from pathlib import Path

from nbformat import NotebookNode

from zerohero.grading.notebooks import normalise, read, to_text

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"  # nbgrader's markers, so that a course can move there


def blank(source: str) -> str:
    """Replace every solution in a cell by a NotImplementedError that names the task.

    Parameters
    ----------
    source : str
        The code of one cell. A solution is the whole lines between `### BEGIN SOLUTION` and
        `### END SOLUTION`; it lies inside a function, so that a blank notebook still runs.

    Returns
    -------
    str
        The code with blanks; the same code if it has no markers.

    Raises
    ------
    ValueError
        If a marker has no partner, lies in another solution or outside a function, or if what is left is
        not Python.
    """
    lines = source.split("\n")
    regions = _regions(lines)
    if not regions:
        return source
    functions = _functions(ast.parse(source))
    # From the last to the first, so that the line numbers of the others stay true.
    for begin, end in reversed(regions):
        indent = lines[begin][: len(lines[begin]) - len(lines[begin].lstrip())]
        message = f"{_task(functions, lines, begin, end)}: write your code here"
        lines[begin : end + 1] = [f'{indent}raise NotImplementedError("{message}")']
    result = "\n".join(lines)
    try:
        ast.parse(result)
    except SyntaxError as error:
        raise ValueError(f"a solution is not a block of whole statements: without it, {error}") from error
    return result


def _regions(lines: list[str]) -> list[tuple[int, int]]:
    """Return (begin, end), the lines of each pair of markers."""
    regions: list[tuple[int, int]] = []
    begin = None
    for number, line in enumerate(lines):
        if line.strip() == BEGIN:
            if begin is not None:
                raise ValueError(f"line {number + 1}: {BEGIN} inside the solution begun in line {begin + 1}")
            begin = number
        elif line.strip() == END:
            if begin is None:
                raise ValueError(f"line {number + 1}: {END} without {BEGIN}")
            regions.append((begin, number))
            begin = None
        elif BEGIN in line or END in line:
            raise ValueError(f"line {number + 1}: a marker stands alone in its line, got {line.strip()!r}")
    if begin is not None:
        raise ValueError(f"line {begin + 1}: {BEGIN} without {END}")
    return regions


def _functions(tree: ast.AST, prefix: str = "") -> list[tuple[str, ast.FunctionDef]]:
    """Return every function below `tree` under its dotted name, outer ones before inner ones."""
    found: list[tuple[str, ast.FunctionDef]] = []
    for node in ast.iter_child_nodes(tree):
        name = prefix
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            name = f"{prefix}{node.name}."
        if isinstance(node, ast.FunctionDef):
            found.append((name.rstrip("."), node))
        found += _functions(node, name)
    return found


def _task(functions: list[tuple[str, ast.FunctionDef]], lines: list[str], begin: int, end: int) -> str:
    """Name the innermost function that holds all the code between two markers."""
    code = [n + 1 for n in range(begin + 1, end) if lines[n].strip() and not lines[n].strip().startswith("#")]
    if not code:
        raise ValueError(f"line {begin + 1}: the solution is empty")
    holding = [n for n, f in functions if f.body[0].lineno <= code[0] and code[-1] <= (f.end_lineno or 0)]
    if not holding:
        raise ValueError(f"line {begin + 1}: the solution is not inside a function: a blank notebook would stop here")
    return holding[-1]


def build(solution: NotebookNode) -> NotebookNode:
    """Return the exercise of a solution notebook: blanks for solutions, no outputs, normalised."""
    exercise = copy.deepcopy(solution)
    for number, cell in enumerate(exercise.cells, start=1):
        if cell.cell_type != "code":
            continue
        try:
            cell.source = blank(cell.source)
        except (ValueError, SyntaxError) as error:
            raise ValueError(f"cell {number}: {error}") from error
        cell.outputs, cell.execution_count = [], None
    return normalise(exercise)


def build_all(root: Path, check: bool = False) -> tuple[list[str], list[str]]:
    """Make `exercises/*.ipynb` from `solutions/*.ipynb`.

    Parameters
    ----------
    root : Path
        The folder of both.
    check : bool
        Write nothing; what is out of step is a problem.

    Returns
    -------
    written, problems : list of str
        The files that were written, and a sentence for each thing that is wrong.

    Raises
    ------
    FileNotFoundError
        If there are no solutions.
    """
    solutions = sorted((root / "solutions").glob("*.ipynb"))
    if not solutions:
        raise FileNotFoundError(
            f"exercises: {root / 'solutions'} holds no notebooks to make exercises from; go to your copy "
            "of the course, or name it with --folder"
        )
    wanted, written, problems = {}, [], []
    for path in solutions:
        try:
            wanted[root / "exercises" / path.name] = to_text(build(read(path)))
        except ValueError as error:
            problems.append(f"{path}, {error}")
    names = {path.name for path in solutions}
    for path in sorted((root / "exercises").glob("*.ipynb")):
        if path.name not in names:
            problems.append(f"{path} has no solution: delete it, or write solutions/{path.name}")
    for path, text in wanted.items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if check:
            problems.append(f"{path} is out of step with its solution: run `zerohero exercises build`")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
            written.append(str(path))
    return written, problems
