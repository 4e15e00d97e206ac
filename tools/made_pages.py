"""The pages of the book that nobody writes: each is made from code, checks, notebooks or tests. `book.py` sets them."""

from __future__ import annotations

import hashlib
import html
import json
import re
import unicodedata
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import public_names

ROOT = Path(__file__).resolve().parent.parent


def made_pages() -> dict[str, str]:
    """Return the pages by their names."""
    return {
        **reference_pages(),
        "docs/misconceptions.md": misconceptions_page(),
        "docs/gallery.md": gallery_page(),
        "docs/bibliography.md": bibliography_page(),
        "docs/facts.md": facts_page(),
        "docs/slides.md": slides_page(),
        "docs/times.md": times_page(),
    }


# --- lectures -------------------------------------------------------------------------------------------------


class Lecture(NamedTuple):
    """A notebook: its name without the ending, its cells, and its prose in one piece."""

    stem: str
    cells: list[dict]
    prose: str

    @property
    def number(self) -> str:
        return self.stem[:2]

    @property
    def title(self) -> str:
        return self.prose.splitlines()[0].removeprefix("# ")

    @property
    def link(self) -> str:
        return f"[{self.title}](../notebooks/{self.stem}.ipynb)"


def lectures() -> list[Lecture]:
    """Read the lectures, in their order."""
    found = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        found.append(Lecture(path.stem, cells, prose))
    return found


PART = re.compile(r"^## (.*?) \*\((\d+) minutes", re.M)


def lecture_minutes(prose: str) -> int:
    """How long a lecture says that it takes, in its head; all parts added up where it doesn't say."""
    said = re.search(r"\*\*(\d+) minutes\*\*|After these (\d+) minutes", prose)
    return int(said[1] or said[2]) if said else sum(int(minutes) for _, minutes in PART.findall(prose))


def times_page() -> str:
    """How long lectures, their parts and exercises take."""
    from zerohero import checks

    of_exercise: Counter[str] = Counter()
    for task in checks.tasks():
        of_exercise[task.exercise] += task.minutes
    rows, parts = [], []
    for lecture in lectures():
        rows.append(f"| {lecture.link} | {lecture_minutes(lecture.prose)} | {of_exercise[lecture.number] or '–'} |")
        listed = "\n".join(f"* {part}: {minutes}" for part, minutes in PART.findall(lecture.prose))
        parts += [f"## {lecture.title}", listed] if listed else []
    return _page(
        "# Times",
        "In minutes, from the heads of the lectures, the headings of their parts and the cards of the tasks. They are "
        "estimates for somebody who predicts before running; no class was timed.",
        "| | lecture | exercise |\n| --- | --- | --- |\n" + "\n".join(rows),
        *parts,
    )


def slides_page() -> str:
    """Every box “Check the slide” of the lectures, with what stands in it."""
    boxes = []
    for lecture in lectures():
        found = re.findall(r"^> \*\*Check the slides?.*(?:\n>.*)*", lecture.prose, re.M)
        boxes += [f"## {lecture.link}", *found] if found else []
    return _page(
        "# Check the slide",
        "Where a slide of the decks is wrong or loose, the lecture says so in a box, beside a cell that shows it. "
        "All boxes, as they stand in the lectures:",
        *boxes,
    )


def _page(*paragraphs: str) -> str:
    return "\n\n".join(paragraphs) + "\n"


# --- reference ------------------------------------------------------------------------------------------------


def reference_pages() -> dict[str, str]:
    """A page for each module that one imports from, and an index of all public names."""
    modules: dict[str, list[tuple[str, Any]]] = {}
    for module, name, value in public_names.public_names():
        modules.setdefault(module, []).append((name, value))
    pages = {f"api/{module}.md": _module_page(module, names) for module, names in modules.items()}
    pages["api/index.md"] = _index(modules)
    return pages


def _module_page(module: str, names: list[tuple[str, Any]]) -> str:
    blocks = [f".. automodule:: {module}\n   :no-members:\n\n.. py:currentmodule:: {module}\n"]
    for name, value in names:
        if isinstance(value, type):  # what matplotlib says of its own methods stays with matplotlib
            blocks.append(f".. autoclass:: {name}\n   :members:\n   :exclude-members: set, draw\n")
        elif public_names.is_function(value):
            blocks.append(f".. autofunction:: {name}\n")
        else:
            blocks.append(f".. py:data:: {name}\n\n   {public_names.first_line(module, name, value)}\n")
    return f"# {module}\n\n```{{eval-rst}}\n" + "\n".join(blocks) + "```\n"


def _index(modules: dict[str, list[tuple[str, Any]]]) -> str:
    rows = []
    for module, names in modules.items():
        for name, value in names:
            says = public_names.first_line(module, name, value).replace("|", "\\|")
            rows.append((name.lower(), f"| [`{name}`](#{module}.{name}) | [`{module}`]({module}.md) | {says} |"))
    return _page(
        "# All public names",
        f"{len(rows)} names in {len(modules)} modules, each where one imports it from. `import zerohero as zh` gives "
        "those of `zerohero`; `zh.nn`, `zh.visualize` and so on open on first use.",
        "```{toctree}\n:hidden:\n\n" + "\n".join(modules) + "\n```",
        "| name | in | |\n| --- | --- | --- |\n" + "\n".join(row for _, row in sorted(rows)),
    )


# --- misconceptions -------------------------------------------------------------------------------------------


def misconceptions_page() -> str:
    """Every mistake that a check names, and what a lecture says one hears, by lecture."""
    from zerohero import checks

    heads = {lecture.number: lecture for lecture in lectures()}
    tasks = {task.exercise: checks.tasks(task.exercise) for task in checks.tasks()}
    found = []
    for number in sorted({*heads, *tasks}):
        prose = heads[number].prose if number in heads else ""
        table = re.search(r"^\| one hears \|(?:.*\n)+?(?=[^|]|\Z)", prose, re.M)
        if table or number in tasks:
            found.append(f"## {heads[number].link if number in heads else f'Exercise {number}'}")
        found += [table[0].strip()] if table else []
        for task in tasks.get(number, []):
            sentences = {m.name: m.sentence for m in reversed(task.misconceptions)}  # the first of a name counts
            rows = [f"* **{name}.** {sentence}" for name, sentence in reversed(sentences.items())]
            found += [f"**{task.title}** (`{task.name}` {task.dots})", "\n".join(rows)]
    return _page(
        "# Misconceptions",
        "What the lectures say one hears, and what the checks of the exercises say when they meet a mistake. Each "
        "mistake of the second kind is written down as a wrong answer, and a test hands it in and asks that it is "
        "caught and named (`tests/test_checks.py`).",
        *found,
    )


# --- pictures: the gallery, and what they show in words -------------------------------------------------------


class Shown(NamedTuple):
    """A picture of a lecture: where it stands, what it shows in words, and its file's name in the book."""

    lecture: Lecture
    section: str
    words: str
    file: str


def pictures() -> Iterator[Shown]:
    """Yield every picture of the lectures. myst-nb names a picture's file by the hash of its bytes; so do we."""
    for lecture in lectures():
        section = ""
        for cell in lecture.cells:
            if cell["cell_type"] == "markdown":
                section = [section, *re.findall(r"^#{1,4} (.*)$", "".join(cell["source"]), re.M)][-1]
            for output in cell.get("outputs", []):
                for kind in {"image/png", "image/jpeg"} & output.get("data", {}).keys():
                    content = b64decode("".join(output["data"][kind]))
                    words = output["metadata"].get(kind, {}).get("alt", "")
                    ending = {"image/png": ".png", "image/jpeg": ".jpg"}[kind]
                    yield Shown(lecture, section, " ".join(words.split()), hashlib.sha256(content).hexdigest() + ending)


def gallery_page() -> str:
    """All pictures of the lectures, small, each with its words and a link to where it is explained."""
    galleries: dict[str, list[str]] = {}
    seen: set[str] = set()
    for shown in pictures():
        if shown.file not in seen:
            galleries.setdefault(shown.lecture.title, []).append(_small(shown))
            seen.add(shown.file)
    return _page(
        "# Gallery",
        "All pictures of the lectures. Each leads to where it is explained, and says in words what it shows.",
        *("\n".join([f"## {title}\n", '<div class="gallery">', *some, "</div>"]) for title, some in galleries.items()),
    )


def _small(shown: Shown) -> str:
    words = html.escape(shown.words)
    short = words if len(words) <= 160 else words[:160].rsplit(" ", 1)[0] + " …"
    link = f"../notebooks/{shown.lecture.stem}.html#{_anchor(shown.section)}"
    image = f'<img src="../_images/{shown.file}" alt="{words}" loading="lazy">'
    return f'<figure><a href="{link}">{image}</a><figcaption>{short}</figcaption></figure>'


def _anchor(heading: str) -> str:
    """The place of a section on its page, as docutils names it: letters and digits, the rest a dash."""
    letters = unicodedata.normalize("NFKD", re.sub(r"[*`$]", "", heading).lower()).encode("ascii", "ignore").decode()
    return re.sub(r"^[-0-9]+|-+$", "", re.sub(r"[^a-z0-9]+", "-", letters))


# --- what is cited, what is tested ----------------------------------------------------------------------------


def references() -> list[dict[str, str]]:
    """Read `docs/references.bib`: for each entry its kind, its key and its fields, a line each, `name = {value},`."""
    text = (ROOT / "docs" / "references.bib").read_text("utf-8")
    entries = re.findall(r"^@(\w+)\{([\w-]+),\n(.*?)^\}", text, re.M | re.S)
    field = re.compile(r"^ +(\w+) *= *\{(.*)\},?$", re.M)
    return [{"kind": kind, "key": key, **dict(field.findall(fields))} for kind, key, fields in entries]


def cited(text: str) -> set[str]:
    """Return the arXiv ids and DOIs that a text names, in lower case."""
    arxiv = re.findall(r"(?:arXiv[: ]\s?|arxiv\.org/abs/)(\d{4}\.\d{4,5})", text, re.I)
    doi = re.findall(r"(?:doi\.org/|doi:\s?)(10\.\d{4,}/[^\s)\]>\"'`,;]*[^\s)\]>\"'`,;.:])", text, re.I)
    return {each.lower() for each in arxiv + doi}


def bibliography_page() -> str:
    """Every paper of `references.bib`, with the lectures that name it."""
    named = [(lecture, cited(lecture.prose)) for lecture in lectures()]
    entries = sorted(references(), key=lambda entry: (entry["author"].lower(), entry["year"]))
    return _page(
        "# Bibliography",
        "Every paper that a lecture or a docstring names. For LaTeX: [references.bib](references.bib).",
        "\n".join(_reference(entry, named) for entry in entries),
    )


def _reference(entry: dict[str, str], named: list[tuple[Lecture, set[str]]]) -> str:
    ids = {entry[key].lower() for key in ("doi", "eprint") if key in entry}
    citing = [lecture for lecture, all_of in named if ids & all_of]
    where = ", ".join(f"[{lecture.number}](../notebooks/{lecture.stem}.ipynb)" for lecture in citing)
    venue = next((entry[key] for key in ("journal", "booktitle", "publisher", "howpublished") if key in entry), "")
    pieces = [f"* {entry['author'].replace(' and ', '; ')} ({entry['year']}). *{entry['title']}*."]
    pieces += [f"{venue}."] if venue else []
    if "doi" in entry:
        pieces.append(f"[doi:{entry['doi']}](https://doi.org/{entry['doi']})")
    if "eprint" in entry:
        pieces.append(f"[arXiv:{entry['eprint']}](https://arxiv.org/abs/{entry['eprint']})")
    if "url" in entry:
        pieces.append(f"<{entry['url']}>")
    return " ".join(pieces) + (f" · lecture {where}" if where else "")


def facts_page() -> str:
    """The tests of the slides, whose names are the facts, in the order of the lectures."""
    facts: list[str] = []
    for line in (ROOT / "tests" / "test_slides.py").read_text("utf-8").splitlines():
        if heading := re.match(r"# -{3,} (\d\d .*?) -+$", line):
            facts += ["", f"## {heading[1]}", ""]
        elif test := re.match(r"def test_(\w+)\(", line):
            fact = test[1].replace("_", " ")
            facts.append(f"* {fact[0].upper()}{fact[1:]}")
    return _page(
        "# Facts of the slides",
        "Each line is the name of a test in `tests/test_slides.py`: the fact as it came out when it was computed anew. "
        "Where the slide says something else, the line says so. One of them runs by, for example, "
        "`pytest tests/test_slides.py -k capsnets_encoder`; all of them run in `make test`.",
        "\n".join(facts),
    )
