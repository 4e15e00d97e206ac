"""`zerohero grade`: the notebooks of a class, marked; a table, and a page for each student."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

SEED = 20171026  # as in zerohero.grading.classes, which is heavy to import


def grade(
    submissions: Annotated[list[Path], typer.Argument(metavar="SUBMISSIONS...", help="Notebooks and folders of them.")],
    out: Annotated[Path, typer.Option(help="The table; pages go into the folder of its name.")] = Path("grades.csv"),
    exercise: Annotated[str | None, typer.Option(help="Its number, if the notebooks don't say.")] = None,
    seed: Annotated[int, typer.Option(help="Of the inputs. Choose one that the class doesn't know.")] = SEED,
    jobs: Annotated[int | None, typer.Option(help="Notebooks at once; by default one for each processor.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler, tcp://HOST:8786.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Time for each task; by default what the task gives.")] = None,
    unsafe: Annotated[bool, typer.Option("--unsafe", help="Without a sandbox: for notebooks that you trust.")] = False,
) -> int:
    """Grade the notebooks of a class.

    Each task of each notebook runs in a sandbox. Who was graded before, on the same notebook, is not graded again.

    \b
    zerohero grade submissions/ --out grades.csv --seed 4711
    zerohero grade submitted/*/01/01-convolution.ipynb --exercise 01
    zerohero grade submissions/ --scheduler tcp://lab-server:8786
    """
    from zerohero import grading

    limits = grading.Limits(seconds=seconds)
    try:
        grades = grading.grade(
            submissions, out, exercise=exercise, seed=seed, jobs=jobs, scheduler=scheduler, limits=limits,
            unsafe=unsafe, progress=True,
        )  # fmt: skip
    except KeyboardInterrupt:
        print("zerohero grade: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    print("\n".join(summary(grades, out)))
    return 0


def summary(grades: list, out: Path) -> list[str]:
    """What a lecturer wants to know first: how many solved what, and why the others didn't."""
    count, tasks = len(grades), list(grades[0].points)
    mean = sum(g.total for g in grades) / count
    lines = [f"{count} student{'s' * (count != 1)}, {mean:.1f} of {len(tasks)} on average"]
    for task in tasks:
        solved = sum(g.points[task] for g in grades)
        often = Counter(g.mistakes[task] for g in grades if task in g.mistakes).most_common(3)
        blank = sum(task in g.blanks for g in grades)
        others = count - solved - blank - sum(times for _, times in often)
        parts = [f"{solved} solved", *(f"{times} × {name}" for name, times in often)]
        parts += [f"{others} × something else"] * (others > 0) + [f"{blank} not written"] * (blank > 0)
        lines.append(f"  {task}: {'; '.join(parts)}")
    notes = [f"  {g.student}: {g.note}" for g in grades if g.note]
    if notes:
        lines += ["About the files:", *notes[:10], *([f"  and {len(notes) - 10} more"] if notes[10:] else [])]
    return [*lines, f"Table: {out}; pages: {out.with_suffix('')}"]
