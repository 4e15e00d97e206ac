"""`zerohero check`: what the checks say about a notebook, on the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def check(
    notebook: Annotated[Path, typer.Argument(metavar="NOTEBOOK", help="An exercise that you work on.")],
    exercise: Annotated[str | None, typer.Option(help="Its number, if the notebook doesn't say.")] = None,
    unsafe: Annotated[bool, typer.Option("--unsafe", help="Without a sandbox: for notebooks that you trust.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> int:
    """Check the tasks of a notebook without opening it.

    Each task runs in a sandbox, on the inputs of zh.check. Exits with 0 if all are solved, else with 1.

    \b
    zerohero check exercises/01-convolution.ipynb
    zerohero check mine.ipynb --exercise 01
    """
    from zerohero import checks
    from zerohero.checks import Progress, records
    from zerohero.grading import check_notebook

    reports = [records.remember(report) for report in check_notebook(notebook, exercise, unsafe)]
    if as_json:
        found = {r.task.name: {"status": r.status, "diagnosis": r.diagnosis, "sentences": r.sentences} for r in reports}
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        number = reports[0].task.exercise
        statuses = [(task, report.status) for task, report in zip(checks.tasks(number), reports)]
        print("\n\n".join(map(repr, [*reports, Progress(number, statuses)])))
    return 0 if all(reports) else 1
