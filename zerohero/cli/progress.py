"""`zerohero progress`: which tasks were solved on this computer."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def progress(
    exercise: Annotated[str | None, typer.Argument(help="Number of one exercise.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Show which tasks are solved.

    A task counts as solved once its check has passed, in a notebook or by zerohero check.

    \b
    zerohero progress
    zerohero progress 01
    """
    from zerohero import checks
    from zerohero.checks import Progress, records

    solved = records.solved()
    if as_json:
        print(json.dumps({task.name: solved.get(task.name) for task in checks.tasks(exercise)}, indent=2))
        return
    tasks = checks.tasks(exercise)
    for number in dict.fromkeys(task.exercise for task in tasks):
        statuses = [(task, "passed" if task.name in solved else "") for task in tasks if task.exercise == number]
        found = Progress(number, statuses)
        print(found if exercise else f"{found.sentence}  {found.bar}")
    print(f"{sum(task.name in solved for task in tasks)} of {len(tasks)} tasks in all")
