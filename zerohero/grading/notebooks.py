"""Notebooks as they are committed: the same notebook gives the same bytes. Executing them is tools/notebooks.py's."""

from __future__ import annotations

import copy
import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
CELL_METADATA = {"tags", "slideshow", "jupyter", "editable", "deletable", "nbgrader", "zerohero"}
INSTALLED = re.compile(r"[~/][\w.+~/-]*/(zerohero|site-packages|python3\.\d+)/")  # one machine's folders
WIDGET = "application/vnd.jupyter.widget-view+json"
PROGRESS_BAR = re.compile(r"\s*\d+%\|.*\| .*\[.*\]")  # what is left of tqdm's widget: for ever at 0 %
COMPILING = re.compile(r"^zerohero: compiling .* finds it on disk\n", re.MULTILINE)  # said only where nothing is cached


def normalise(notebook: NotebookNode) -> NotebookNode:
    """Return a copy without what changes from run to run: times, widget state, random ids, tool metadata."""
    notebook = copy.deepcopy(notebook)
    notebook.metadata = nbformat.from_dict(KERNEL)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.cells = [cell for cell in notebook.cells if cell.source.strip()]
    seen: Counter[str] = Counter()
    executed = 0
    for cell in notebook.cells:
        cell.source = "\n".join(line.rstrip() for line in cell.source.strip("\n").split("\n"))
        cell.metadata = NotebookNode({k: v for k, v in cell.metadata.items() if k in CELL_METADATA and v})
        text = f"{cell.cell_type}\n{cell.source}"
        seen[text] += 1
        # An id made from the text, not from the place: a cell put in between leaves all other ids alone.
        cell.id = hashlib.sha256(f"{text}\n{seen[text]}".encode()).hexdigest()[:8]
        if cell.cell_type == "code":
            executed += cell.execution_count is not None
            count = executed if cell.execution_count is not None else None
            cell.execution_count, cell.outputs = count, list(_normal_outputs(cell.outputs, count))
    return notebook


def _normal_outputs(outputs: list[NotebookNode], count: int | None) -> Iterator[NotebookNode]:
    """Yield the outputs, neighbouring pieces of one stream joined, without what dies with the kernel."""
    stream = None
    for output in outputs:
        if output.output_type == "stream":
            output.text = COMPILING.sub("", output.text)
            if not output.text:
                continue
            if stream is not None and stream.name == output.name:
                stream.text = _overtype(stream.text + output.text)
                continue
            output.text = _overtype(output.text)
        stream = output if output.output_type == "stream" else None
        if output.output_type == "execute_result":
            output.execution_count = count
        if output.output_type == "error":
            output.traceback = [INSTALLED.sub(r"\1/", line) for line in output.traceback]
        if "data" in output:
            output.data.pop(WIDGET, None)
            left = set(output.data) - {"text/plain"}
            if not output.data or (not left and PROGRESS_BAR.fullmatch(output.data["text/plain"])):
                continue
        yield output


def _overtype(text: str) -> str:
    """Show of a line with carriage returns only what a terminal would: the part after the last one."""
    return re.sub(r"^.*\r(?=[^\n])", "", text, flags=re.MULTILINE)


def to_text(notebook: NotebookNode) -> str:
    """Write a notebook as it is committed: sorted keys, one space of indent, a final newline."""
    nbformat.validate(notebook)
    return nbformat.writes(notebook, version=4).rstrip("\n") + "\n"


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def write(notebook: NotebookNode, path: Path) -> bool:
    """Write the normalised notebook if that changes the file; say whether it did."""
    text = to_text(normalise(notebook))
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    path.write_text(text, encoding="utf-8", newline="\n")
    return True
