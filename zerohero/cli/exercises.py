"""`zerohero exercises`: exercises made from their solutions, or found out of step with them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def exercises(
    action: Annotated[
        Literal["build", "check"], typer.Argument(help="build writes exercises/, check only says what differs.")
    ],
    folder: Annotated[Path, typer.Option(help="The folder that holds solutions/ and exercises/.")] = Path("."),
) -> int:
    """Make the exercises from their solutions.

    What stands between ### BEGIN SOLUTION and ### END SOLUTION becomes a blank that names its task.

    \b
    zerohero exercises build
    zerohero exercises check --folder ~/mycourse
    """
    from zerohero.grading import masters

    written, problems = masters.build_all(folder, check=action == "check")
    print("\n".join([*(f"{path}: written" for path in written), *problems]), end="\n" * bool(written or problems))
    if problems:
        return 1
    print(f"{len(list((folder / 'exercises').glob('*.ipynb')))} exercises in step with their solutions")
    return 0
