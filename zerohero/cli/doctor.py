"""`zerohero doctor`: the report of `zerohero.doctor()` on the terminal."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> int:
    """Look at this machine, and say what to do about problems.

    Versions, GPU, data sets, packages, threads. Exits with 0 if there are no problems, else with 1.

    \b
    zerohero doctor
    zerohero doctor --json
    """
    from zerohero.diagnosis import doctor

    report = doctor()
    print(json.dumps(dataclasses.asdict(report), indent=2, ensure_ascii=False) if as_json else report)
    return 1 if report.problems else 0
