"""`zerohero lab`: JupyterLab on the course's notebooks."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

CONTEXT = {"allow_extra_args": True, "ignore_unknown_options": True}
PACKAGE = Path(__file__).resolve().parent.parent


def lab(
    context: typer.Context,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port to serve on; by default the first free one from 8888.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser, or only print the address.")] = True,
    folder: Annotated[Path | None, typer.Option(help="The course's folder, if it isn't here.")] = None,
) -> int:
    """Open the course in JupyterLab.

    The course is looked for in this folder, then beside the installed package. Other options go on to JupyterLab.

    \b
    zerohero lab
    zerohero lab --port 8890 --no-browser
    zerohero lab --folder ~/zerohero
    """
    root, first = course(folder)
    if importlib.util.find_spec("jupyterlab") is None:
        raise ImportError("lab: JupyterLab is not installed here: pip install 'zerohero[course]'")
    command = [sys.executable, "-m", "jupyterlab", *settings(root, first, port, browser), *context.args]
    print(f"Opening {first or 'JupyterLab'} in {root}; Ctrl-C twice ends it.", flush=True)
    if os.name == "posix":
        os.execv(sys.executable, command)  # this process becomes the server: signals reach it
    return subprocess.call(command)


def course(folder: Path | None) -> tuple[Path, str]:
    """The folder to serve, and the notebook in it to open first ("" if there is none)."""
    if folder is not None and not folder.is_dir():
        raise FileNotFoundError(f"lab: there is no folder {str(folder)!r}")
    for root in [folder] if folder else [Path.cwd(), PACKAGE.parent]:
        root = root.resolve()
        for inside in ("notebooks", "."):
            found = sorted((root / inside).glob("00-*.ipynb"))
            if found:
                return root, found[0].relative_to(root).as_posix()
    if folder is not None:
        return folder.resolve(), ""
    raise FileNotFoundError(
        f"lab: the course's folder notebooks is neither here ({Path.cwd()}) nor beside the package ({PACKAGE.parent}); "
        "go to your copy of the course, or name it with --folder"
    )


def settings(root: Path, first: str, port: int | None, browser: bool) -> list[str]:
    """What JupyterLab is told."""
    return [
        f"--ServerApp.root_dir={root}",
        f"--LabApp.default_url=/lab{'/tree/' + first if first else ''}",
        *([f"--ServerApp.port={port}"] if port is not None else []),
        *([] if browser else ["--ServerApp.open_browser=False"]),
        *(["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
    ]
