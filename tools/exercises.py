"""The command `zerohero exercises` for this checkout, by the names that its tests and `make` use."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from zerohero.cli.exercises import exercises
from zerohero.grading.masters import BEGIN, _regions, blank, build  # noqa: F401

ROOT = Path(__file__).resolve().parent.parent

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def main(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if one is out of step.")] = False,
    root: Annotated[Path, typer.Option(help="The folder of solutions/ and exercises/.")] = ROOT,
) -> None:
    """Make exercises/*.ipynb from solutions/*.ipynb."""
    sys.exit(exercises("check" if check else "build", root))


if __name__ == "__main__":
    app()
