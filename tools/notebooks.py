"""Notebooks as files: executed, normalised, checked, rendered. What they teach is not looked at here."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from nbformat import NotebookNode

from zerohero.grading.notebooks import WIDGET, normalise, read, to_text, write  # noqa: F401  # WIDGET: for tests

LONGEST_CELL = 30  # lines of code that a tired reader takes in at once
LARGEST_FILE = 1_000_000  # bytes
PAGE_HEIGHT = 1600  # pixels of a screenshot: about what fits a screen without shrinking the letters
# jupyter-server-mathjax brings one font family, which a page opened from the disk may read only with this flag.
MATHJAX = """window.MathJax = {"HTML-CSS": {
    availableFonts: ["STIX-Web"], preferredFont: "STIX-Web", webFont: "STIX-Web", imageFont: null}}"""
CHROMIUM = ["--no-sandbox", "--allow-file-access-from-files"]

# What every kernel of ours runs first. The exceptions are deprecations that neither a notebook nor zerohero calls for:
# of a package by another package, for their authors to mend.
WARNINGS = """import warnings
warnings.simplefilter("error")
for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
    warnings.filterwarnings("ignore", category=kind, module=r"(?!zerohero|__main__)")
del warnings, kind
"""

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None, help=__doc__)
Files = Annotated[list[Path], typer.Argument(help="Notebooks, *.ipynb.", exists=True, dir_okay=False)]


# --- normalise: the same notebook gives the same bytes ------------------------------------------------------


@app.command("normalise")
def normalise_files(files: Files) -> None:
    """Normalise notebooks in place, without running them."""
    for path in files:
        print(f"{path}: {'normalised' if write(read(path), path) else 'unchanged'}")


# --- execute: every cell, in order, in a fresh kernel -------------------------------------------------------


@app.command()
def execute(
    files: Files,
    timeout: Annotated[int, typer.Option(help="Seconds a cell may take.")] = 300,
    data: Annotated[Path | None, typer.Option(help="Folder of real data sets (ZEROHERO_DATA).")] = None,
) -> None:
    """Run notebooks from top to bottom and write them back normalised, unless a cell fails.

    A notebook runs in its own folder, as in JupyterLab, and without --data it sees what a reader who has no
    real data sets sees.
    """
    with tempfile.TemporaryDirectory() as empty:
        os.environ.update(reader_environment(Path(empty)))
        if data is not None:
            os.environ["ZEROHERO_DATA"] = str(data.resolve())
        _execute_all(files, timeout)


def reader_environment(empty: Path) -> dict[str, str]:
    """Return the environment in which the notebooks are run, here and in the tests.

    Whatever data sets this machine has, a notebook finds none: what it shows is what every reader sees. One
    thread, because the order of sums, and with it the last digit, depends on how many there are. A warning is an
    error: a reader who meets one stops to wonder.
    """
    startup = empty / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True, exist_ok=True)
    (startup / "00-warnings.py").write_text(WARNINGS, encoding="utf-8")
    return {
        "IPYTHONDIR": str(empty / "ipython"),
        "PYTHONHASHSEED": "0",  # the order of a set that is printed
        "JUPYTER_PREFER_ENV_PATH": "1",  # the kernel of this Python, not one that the user installed
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "ZEROHERO_DATA": "",
        "ZEROHERO_CACHE": str(empty),
        "ZEROHERO_PROGRESS": str(empty / "progress.jsonl"),
    }


def _execute_all(files: list[Path], timeout: int) -> None:
    failures = [path for path in files if not _execute_one(path, timeout)]
    if failures:
        sys.exit(f"{len(failures)} of {len(files)} notebooks failed: {', '.join(map(str, failures))}")


def _execute_one(path: Path, timeout: int) -> bool:
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    notebook = read(path)
    folder = {"metadata": {"path": str(path.resolve().parent)}}
    start = time.perf_counter()
    try:
        client = NotebookClient(notebook, timeout=timeout, kernel_name="python3", resources=folder)
        client.extra_arguments = ["--log-level=ERROR"]
        client.execute()
    except (CellExecutionError, CellTimeoutError) as error:
        print(f"{path}: FAILED\n{error}", file=sys.stderr)
        return False
    seconds = [_seconds(cell) for cell in notebook.cells if cell.cell_type == "code"]
    changed = write(notebook, path)
    print(
        f"{path}: {len(seconds)} cells in {time.perf_counter() - start:.1f} s,"
        f" the slowest {max(seconds, default=0):.1f} s; {'written' if changed else 'unchanged'}"
    )
    return True


def _seconds(cell: NotebookNode) -> float:
    times = cell.metadata.get("execution", {})
    if not {"iopub.execute_input", "shell.execute_reply"} <= times.keys():
        return 0.0
    begin, end = (datetime.fromisoformat(times[k]) for k in ("iopub.execute_input", "shell.execute_reply"))
    return (end - begin).total_seconds()


# --- check: fit to be committed -----------------------------------------------------------------------------


def problems(path: Path) -> list[str]:
    """Return one sentence for each thing that makes a notebook unfit to be committed.

    Exercises are committed blank, without outputs; every other notebook executed from first to last cell.
    """
    text = path.read_text(encoding="utf-8")
    notebook = read(path)
    found = []
    if text != to_text(normalise(notebook)):
        found.append("is not normalised: run `python tools/notebooks.py normalise` on it")
    if len(text.encode()) > LARGEST_FILE:
        found.append(f"has {len(text.encode()):,} bytes, more than {LARGEST_FILE:,}")
    if not notebook.cells or not notebook.cells[0].source.startswith("# "):
        found.append("does not open with a title (a first cell that starts with '# ')")
    blank = path.resolve().parent.name == "exercises"
    for number, cell in enumerate(notebook.cells, start=1):
        found += [f"cell {number}: {problem}" for problem in _cell_problems(cell, blank)]
    return found


def _cell_problems(cell: NotebookNode, blank: bool) -> Iterator[str]:
    if re.search(r"/(home|root|Users)/\w|[A-Z]:\\Users|/tmp/ipykernel", cell.source + _output_text(cell)):
        yield "names a path of one machine"
    if cell.cell_type != "code":
        if re.search(r"!\[\s*\]\(", cell.source):
            yield "has an image without a text that describes it: ![text](file)"
        return
    if cell.source.count("\n") + 1 > LONGEST_CELL:
        yield f"has {cell.source.count(chr(10)) + 1} lines of code, more than {LONGEST_CELL}"
    if blank:
        if cell.outputs or cell.execution_count is not None:
            yield "has outputs: exercises are committed blank"
        return
    tags = cell.metadata.get("tags", [])
    if cell.execution_count is None and "nbval-skip" not in tags:
        yield "was not executed"
    for output in cell.outputs:
        if output.output_type == "error" and "raises-exception" not in tags:
            yield f"ended in {output.ename}, without the tag raises-exception"
        if output.output_type == "stream" and output.name == "stderr" and "nbval-ignore-output" not in tags:
            yield f"wrote to stderr: {output.text.strip().splitlines()[0][:80]}"
    if "nbval-ignore-output" not in tags and re.search(r" at 0x[0-9a-f]{6,}", _output_text(cell)):
        yield "shows the address of an object, which changes with every run"


def _output_text(cell: NotebookNode) -> str:
    """Join what a cell wrote; pictures are left out."""
    outputs = cell.get("outputs", [])
    return "\n".join(
        o.get("text", "") + o.get("data", {}).get("text/plain", "") + "\n".join(o.get("traceback", []))
        for o in outputs
    )


@app.command()
def check(files: Files) -> None:
    """Fail, saying why, if a notebook is not fit to be committed."""
    found = [f"{path}: {problem}" for path in files for problem in problems(path)]
    print("\n".join(found) if found else f"{len(files)} notebooks are fit to be committed")
    sys.exit(bool(found))


# --- render: look at it as a reader does --------------------------------------------------------------------


@app.command()
def render(
    files: Files,
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")],
    width: Annotated[int, typer.Option(help="Pixels.")] = 1000,
    browser: Annotated[Path, typer.Option(help="A Chromium.")] = Path("/usr/bin/chromium"),
) -> None:
    """Write each notebook as HTML and as screenshots of about a screen's height each.

    Needs the extra `e2e` and a Chromium; without a network, equations are set by the MathJax of
    jupyter-server-mathjax.
    """
    from playwright.sync_api import sync_playwright

    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(browser), args=CHROMIUM)
        for path in files:
            page_file = (out / f"{path.stem}.html").resolve()
            page_file.write_text(_to_html(path), encoding="utf-8")
            page = chromium.new_page(viewport={"width": width, "height": PAGE_HEIGHT})
            page.add_init_script(MATHJAX)
            page.route("http*://**", lambda route: route.abort())  # the picture must not depend on a network
            page.goto(page_file.as_uri())
            page.evaluate("() => new Promise(done => MathJax.Hub.Queue(done))")
            print("\n".join(map(str, _screenshots(page, out, path.stem, width))))
            page.close()
        chromium.close()


def _to_html(path: Path) -> str:
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(template_name="lab", embed_images=True, mathjax_url=_mathjax())
    resources = {"metadata": {"path": str(path.resolve().parent), "name": path.stem}}
    return exporter.from_notebook_node(read(path), resources)[0]


def _mathjax() -> str:
    import jupyter_server_mathjax

    script = Path(jupyter_server_mathjax.__file__).parent / "static" / "MathJax.js"
    return f"{script.as_uri()}?config=TeX-AMS-MML_HTMLorMML-full,Safe"


def _screenshots(page, out: Path, stem: str, width: int) -> Iterator[Path]:
    for old in out.glob(f"{stem}-[0-9][0-9].png"):
        old.unlink()
    height = page.evaluate("() => document.documentElement.scrollHeight")
    for number, top in enumerate(range(0, height, PAGE_HEIGHT), start=1):
        picture = out / f"{stem}-{number:02d}.png"
        clip = {"x": 0, "y": top, "width": width, "height": min(PAGE_HEIGHT, height - top)}
        page.screenshot(path=picture, full_page=True, clip=clip)
        yield picture


# --- from a script: for authors who write in an editor ------------------------------------------------------


@app.command()
def from_script(
    script: Path, out: Annotated[Path, typer.Option(help="The notebook, or the folder for it.")]
) -> None:
    """Turn a Python script in the percent format (`# %%`, `# %% [markdown]`) into a notebook, tags kept.

    The notebook has no outputs yet: `execute` it next. Needs the extra `dev`.
    """
    import jupytext

    path = out / f"{script.stem}.ipynb" if out.is_dir() else out
    print(f"{path}: {'written' if write(jupytext.read(script, fmt='py:percent'), path) else 'unchanged'}")


if __name__ == "__main__":
    app()
