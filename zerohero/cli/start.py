"""`zerohero start`: a working copy of the course for one student, in which nothing that they changed is lost."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import typer

PACKAGE = Path(__file__).resolve().parent.parent
RECORD = ".zerohero-start.json"  # in a working copy: the SHA-256 of each file as it was handed out
COURSE = (
    "notebooks/[0-9][0-9]-*.ipynb",
    "exercises/[0-9][0-9]-*.ipynb",
    "experiments/results/*.json",  # recorded numbers that lectures plot
    "experiments/results/*/*.jpg",  # and pictures that they show
    "benchmarks/results*.json",
    "LICENSE*",
)
SOLUTIONS = "solutions/[0-9][0-9]-*.ipynb"

Outcome = Literal["added", "renewed", "as it was", "kept", "outdated"]
WORDS = {
    "kept": "kept, because you changed it",
    "outdated": "kept, because you changed it, though the course has a newer one (rename yours, and run this again)",
}


def start(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Your folder; made if it isn't there.")],
    solutions: Annotated[bool, typer.Option("--solutions", help="Copy the solutions, too.")] = False,
    course: Annotated[Path | None, typer.Option(help="The course's folder, if it isn't here.")] = None,
) -> None:
    """Make a working copy of the course.

    Lectures, exercises and the recordings that they show. Run it again after the course was renewed: it adds what
    is new, renews what you didn't touch, and never overwrites what you changed.

    \b
    zerohero start ~/mycourse
    zerohero start ~/mycourse --solutions
    zerohero start ~/mycourse --course ~/zerohero
    """
    source, target = find_course(course), folder.expanduser()
    outcomes = copy_course(source, target, solutions)
    print("\n".join(summary(outcomes, target)))


def find_course(folder: Path | None) -> Path:
    """The folder to copy from: never a student's own copy."""
    for root in [folder.expanduser()] if folder else [Path.cwd(), PACKAGE.parent]:
        whole = all((root / part).is_dir() for part in ("notebooks", "exercises"))
        if whole and not (root / RECORD).exists():
            return root.resolve()
    if folder is not None:
        raise FileNotFoundError(f"start: --course needs a folder with notebooks and exercises, but {str(folder)!r} "
                                "is none, or is a working copy")  # fmt: skip
    raise FileNotFoundError(
        f"start: the course's files are neither here ({Path.cwd()}) nor beside the package ({PACKAGE.parent}); they "
        "come with the repository, not with the package: git clone it, and name its folder with --course"
    )


def copy_course(source: Path, target: Path, solutions: bool = False) -> dict[str, Outcome]:
    """Copy what is new; what became of each file, by its path within the folder."""
    if target.resolve() == source:
        raise ValueError(f"start: DIR needs to be another folder than the course's own, but is {str(target)!r}")
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(f"start: DIR needs to be a folder, but {str(target)!r} is a file")
    handed_out = _read_record(target)
    outcomes: dict[str, Outcome] = {}
    for pattern in (*COURSE, *[SOLUTIONS] * solutions):
        for path in sorted(source.glob(pattern)):
            name = path.relative_to(source).as_posix()
            new = path.read_bytes()
            outcomes[name] = _outcome(target / name, new, handed_out.get(name))
            if outcomes[name] in ("added", "renewed"):
                _write(target / name, new)
            if outcomes[name] not in WORDS:  # the student's own is never taken for ours
                handed_out[name] = hashlib.sha256(new).hexdigest()
    _write(target / RECORD, json.dumps(handed_out, indent=1).encode())
    return outcomes


def _outcome(path: Path, new: bytes, handed_out: str | None) -> Outcome:
    """What is to become of a file, given what the course has now, and what was handed out last time."""
    if not path.is_symlink() and not path.exists():
        return "added"
    if not path.is_file():
        return "kept"
    mine = path.read_bytes()
    if mine == new:
        return "as it was"
    if hashlib.sha256(mine).hexdigest() == handed_out:
        return "renewed"
    same = handed_out == hashlib.sha256(new).hexdigest()
    return "kept" if same or handed_out is None else "outdated"


def _read_record(target: Path) -> dict[str, str]:
    """What was handed out; nothing if that can't be told, so that every file there counts as changed."""
    try:
        found = json.loads((target / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, content: bytes) -> None:
    """The whole file or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    os.replace(part, path)


def summary(outcomes: dict[str, Outcome], target: Path) -> list[str]:
    """What was done, by kind: the names of what the student may look for, of the rest how many in which folder."""
    lines = [f"The course in {target}:"]
    for outcome in dict.fromkeys(outcomes.values()):
        names = [name for name, each in outcomes.items() if each == outcome]
        shown = names
        if outcome in ("added", "as it was") and len(names) > 3:
            folders = Counter(name.rpartition("/")[0] or "the folder itself" for name in names)
            shown = [f"{count} in {folder}" for folder, count in folders.items()]
        lines.append(f"  {len(names)} {WORDS.get(outcome, outcome)}: {', '.join(shown)}")
    return [*lines, f"Open it with: zerohero lab --folder {shlex.quote(str(target))}"]
