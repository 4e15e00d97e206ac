"""Files that were handed in: whose they are, and their bytes. What is in them is not looked at here, nor trusted."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from zerohero import checks

LARGEST = 20_000_000  # bytes of a notebook
LONGEST_NAME = 80
HANDED_OUT = re.compile(r"\d\d-[\w-]+")  # the name of an exercise's notebook


@dataclass(frozen=True)
class Submission:
    """A file and the name of its student, made fit for a table and for a file."""

    student: str
    path: Path

    def read(self) -> bytes:
        """The file's bytes.

        Raises
        ------
        OSError
            With a sentence, if it isn't a file of its own of a notebook's size: a link, say, to somebody else's.
        """
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        if self.path.is_symlink():
            raise OSError("The file is a link, not a notebook.")
        try:
            with open(os.open(self.path, flags), "rb") as file:
                found = os.fstat(file.fileno())
                if not stat.S_ISREG(found.st_mode):
                    raise OSError("It is not a file.")
                if found.st_size > LARGEST:
                    raise OSError(f"The file has {found.st_size:,} bytes; a notebook may have {LARGEST:,}.")
                return file.read(LARGEST)
        except OSError as error:
            raise OSError(error.strerror or str(error)) from error


def find(paths: Iterable[Path], exercise: str | None = None) -> list[Submission]:
    """Return the notebooks among files and in folders, in a fixed order, each with the name of its student.

    In a folder, a notebook's student is the folder inside it that holds the notebook (`class/ann/01-convolution.ipynb`
    is ann's), or else the file (`class/ann.ipynb`). Of two with the same name, the second becomes `ann (2)`.

    Parameters
    ----------
    paths : iterable of Path
        Notebooks, and folders of notebooks.
    exercise : str, optional
        Leave out notebooks that have another exercise's number in front of their name.

    Raises
    ------
    FileNotFoundError
        If a path doesn't exist, or there is no notebook.
    """
    found: list[Submission] = []
    taken: set[str] = set()
    seen: set[Path] = set()
    for name, path in (pair for given in paths for pair in _in(given)):
        other = HANDED_OUT.fullmatch(path.stem) and exercise is not None and path.stem[:2] != exercise
        if other or path.absolute() in seen:
            continue
        seen.add(path.absolute())
        numbered = (f"{clean(name)} ({number})" for number in itertools.count(2))
        student = next(each for each in itertools.chain([clean(name)], numbered) if each.casefold() not in taken)
        taken.add(student.casefold())
        found.append(Submission(student, path))
    if not found:
        raise FileNotFoundError(f"grade: there is no notebook (*.ipynb) in {', '.join(map(str, paths))}")
    return found


def _in(given: Path) -> Iterator[tuple[str, Path]]:
    """Yield (student, notebook) for a notebook, or for those in a folder; links to folders are not followed."""
    if not os.path.lexists(given):
        raise FileNotFoundError(f"grade: there is no file or folder {str(given)!r}")
    if not given.is_dir():
        handed_out = HANDED_OUT.fullmatch(given.stem)
        yield (given.absolute().parent.name if handed_out else given.stem), given
        return
    files = []
    for folder, folders, names in os.walk(given):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(folder, name) for name in names if name.lower().endswith(".ipynb")]
    for path in sorted(files):
        inside = path.relative_to(given)
        yield (inside.parts[0] if len(inside.parts) > 1 else path.stem), path


def clean(name: str) -> str:
    """A student's name as it may stand in a table and name a file, whatever the file was called.

    Examples
    --------
    >>> clean("../../etc/passwd"), clean(" =cmd|'/c calc'!A1"), clean("Zoë\\n")
    ('_.._etc_passwd', "=cmd_'_c calc'!A1", 'Zoë_')
    """
    name = unicodedata.normalize("NFC", name)
    name = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in name).strip(". ")
    return name[:LONGEST_NAME].rstrip(". ") or "unnamed"


def exercise_of(submissions: Iterable[Submission]) -> str:
    """Return which exercise the notebooks are of: the number in front of their names, or else in their checks.

    Raises
    ------
    ValueError
        If they don't say, or disagree evenly.
    """
    votes: Counter[str] = Counter()
    for submission in submissions:
        number = submission.path.name[:2] if HANDED_OUT.match(submission.path.name) else ""
        if not _is_exercise(number):
            with contextlib.suppress(OSError):
                inside = re.findall(rb'check\(\\"(\d\d)\.', submission.read())
                number = Counter(inside).most_common(1)[0][0].decode() if inside else ""
        if _is_exercise(number):
            votes[number] += 1
    first = votes.most_common(2)
    if not first or (len(first) == 2 and first[0][1] == first[1][1]):
        raise ValueError(
            f"exercise can't be told from the notebooks ({dict(votes) or 'none says'}): say --exercise 01"
        )
    return first[0][0]


def _is_exercise(number: str) -> bool:
    try:
        return bool(number and checks.tasks(number))
    except ValueError:
        return False
