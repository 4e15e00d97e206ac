"""The public names of the library, found by looking: for the book's reference, and for the tests of docstrings."""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import zerohero
from zerohero.operation import Gradient, Operation

# Packages whose files are rooms of their own: what is public there is found file by file.
OPEN = {"models", "ops"}
# Files and folders that serve a command or an engine; nobody imports from them.
INSIDE = {"__main__", "arguments", "cli", "kernels"}


def front_doors() -> list[str]:
    """Return the modules that one imports from: the desk, its rooms, and the files of open rooms, in that order.

    Examples
    --------
    >>> front_doors()[:2], "zerohero.visualize" in front_doors(), "zerohero.kernels" in front_doors()
    (['zerohero', 'zerohero.benchmark'], True, False)
    """
    doors = ["zerohero"]
    for room in sorted(each.name for each in pkgutil.iter_modules(zerohero.__path__)):
        if room not in INSIDE:
            doors.append(f"zerohero.{room}")
            if room in OPEN:
                package = import_module(f"zerohero.{room}")
                doors += [f"zerohero.{room}.{each.name}" for each in pkgutil.iter_modules(package.__path__)]
    return doors


def names_of(module: ModuleType) -> list[str]:
    """Return what a module says is public (`__all__`), or else the functions, classes and operations that it defines.

    A gradient rule is no name of its own: `zerohero.grad` and `Tensor.backward` call it.
    """
    if hasattr(module, "__all__"):
        return sorted(module.__all__)
    return sorted(name for name, value in vars(module).items() if name[0] != "_" and _defined_in(value, module))


def _defined_in(value: Any, module: ModuleType) -> bool:
    return getattr(value, "__module__", None) == module.__name__ and not isinstance(value, Gradient)


def public_names() -> Iterator[tuple[str, str, Any]]:
    """Yield each public object once, as (module, name, object); modules among the names are left out.

    An object that several doors lead to belongs to the first one: `zh.conv2d`, not `zerohero.ops.convolution.conv2d`.
    """
    seen: set[int] = set()
    for door in front_doors():
        module = import_module(door)
        for name in names_of(module):
            value = getattr(module, name)
            if inspect.ismodule(value) or (callable(value) and id(value) in seen):
                continue
            seen.add(id(value))
            yield door, name, value


def is_function(value: Any) -> bool:
    """Whether it is called with arguments for what it returns: a function or an operation."""
    return inspect.isroutine(value) or isinstance(value, Operation)


def first_line(module: str, name: str, value: Any) -> str:
    """Return the first sentence of what a public object says of itself; a constant says it in the comment above it.

    Examples
    --------
    >>> first_line("zerohero.limits", "PARTS", {})
    'Rows of the 25×25 faces of `datasets.load("faces")` that hold each part: bands of five rows, one below the other.'
    """
    if inspect.isclass(value) or is_function(value):
        return (inspect.getdoc(value) or "").split("\n\n")[0].replace("\n", " ")
    folder = Path(import_module(module).__file__ or "").parent
    for file in sorted(folder.glob("*.py")):
        if found := re.search(rf"^((?:#.*\n)*){name}\b[^=\n]*= (?:.*?#(.*))?", file.read_text("utf-8"), re.M):
            comment = found[1].replace("\n#", "").removeprefix("#") or found[2] or ""
            return comment.strip()
    return ""
