"""The book, which is not built here: nothing public, cited or drawn is missing, and what it says of the code is so."""

import inspect
import itertools
import json
import re
import tomllib
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_conclusions import ROWS

import book
import made_pages
import public_names
import readme_picture
import zerohero as zh
from zerohero.operation import Operation

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="the book lies in a checkout only")


def page(name):
    return (DOCS / name).read_text(encoding="utf-8")


def plain(text):
    return " ".join(text.replace("*", "").split()).lower()


def lectures():
    """The prose of each lecture, by number."""
    return {lecture.number: lecture.prose for lecture in made_pages.lectures()}


def rows(text, columns):
    """The cells of all table rows with so many columns, heads left out."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]
        if len(cells) == columns and not set(line) <= set("|- "):
            yield cells


# --- the reference ------------------------------------------------------------------------------------------------

ROOMS = sorted({room for room in zh._ROOMS if hasattr(import_module(f"zerohero.{room}"), "__all__")})


@pytest.fixture(scope="module")
def reference():
    return "\n".join(text for name, text in made_pages.reference_pages().items() if name != "api/index.md")


def test_every_name_of_the_desk_is_in_the_reference(reference):
    names = [name for name in zh.__all__ if not inspect.ismodule(getattr(zh, name))]
    missing = [name for name in names if not re.search(rf":: {name}$", reference, re.M)]
    assert len(names) > 40 and missing == []


@pytest.mark.parametrize("room", ROOMS)
def test_every_name_of_a_room_is_in_the_reference(reference, room):
    module = import_module(f"zerohero.{room}")
    names = [name for name in module.__all__ if not inspect.ismodule(getattr(module, name))]
    missing = [name for name in names if not re.search(rf":: {name}$", reference, re.M)]
    assert names and missing == []


def test_a_new_public_name_appears_by_itself(monkeypatch):
    monkeypatch.setattr(zh.limits, "__all__", [*zh.limits.__all__, "brand_new"])
    monkeypatch.setattr(zh.limits, "brand_new", lambda: None, raising=False)
    pages = made_pages.reference_pages()
    assert ".. autofunction:: brand_new\n" in pages["api/zerohero.limits.md"]
    assert "`brand_new`" in pages["api/index.md"]


def test_every_public_name_says_what_it_is():
    silent = [
        f"{module}.{name}"
        for module, name, value in public_names.public_names()
        if not public_names.first_line(module, name, value)
    ]
    assert silent == []


# --- what is made from the course ---------------------------------------------------------------------------------


def test_the_misconceptions_page_names_every_mistake_that_a_check_names():
    text = made_pages.misconceptions_page()
    tasks = zh.checks.tasks()
    assert len(tasks) > 40
    for task in tasks:
        for misconception in task.misconceptions:
            assert f"**{misconception.name}.**" in text, f"{task.name}: {misconception.name}"


def test_the_misconceptions_page_holds_every_lectures_table():
    text = made_pages.misconceptions_page()
    heard = [line for prose in lectures().values() for line in prose.splitlines() if line.startswith("| “")]
    assert len(heard) > 50 and [line for line in heard if line not in text] == []


def test_every_box_check_the_slide_is_on_its_page():
    text = made_pages.slides_page()
    boxes = re.findall(r"^> \*\*Check the slide.*", "\n".join(lectures().values()), re.M)
    assert len(boxes) > 30 and [line for line in boxes if line not in text] == []


def test_every_fact_of_the_slides_is_on_its_page():
    source = (ROOT / "tests" / "test_slides.py").read_text("utf-8")
    assert made_pages.facts_page().count("\n* ") == len(re.findall(r"^def test_", source, re.M)) > 90


def test_every_picture_of_the_lectures_is_in_the_gallery_with_its_words():
    text = made_pages.gallery_page()
    shown = {picture.file for picture in made_pages.pictures()}
    assert len(shown) > 100
    assert [file for file in shown if f"_images/{file}" not in text] == []
    assert text.count("<img ") == len(shown) == len(re.findall(r'alt="[^"]{8,}"', text))


@pytest.mark.parametrize("folder", ["notebooks", "solutions"])
def test_every_stored_picture_says_in_words_what_it_shows(folder):
    wordless, count = [], 0
    for path in sorted((ROOT / folder).glob("*.ipynb")):
        for number, cell in enumerate(json.loads(path.read_text("utf-8"))["cells"], start=1):
            for output in cell.get("outputs", []):
                for kind in [kind for kind in output.get("data", {}) if kind.startswith("image/")]:
                    count += 1
                    words = output["metadata"].get(kind, {}).get("alt", "")
                    if len(words) < 8 or re.match(r"<|Figure\(", words):
                        wordless.append(f"{path.name}, cell {number}: {words!r}")
    assert wordless == []
    assert count > (100 if folder == "notebooks" else 0)


# --- bibliography -------------------------------------------------------------------------------------------------


def ids(entry):
    return {entry[key].lower() for key in ("doi", "eprint") if key in entry}


def test_every_paper_that_a_lecture_or_the_library_names_is_in_the_bibliography():
    known = {each for entry in made_pages.references() for each in ids(entry)}
    cited = {}
    for pattern in ("zerohero/**/*.py", "experiments/*.py", "docs/*.md", "notebooks/*.ipynb", "solutions/*.ipynb"):
        for path in ROOT.glob(pattern):
            cited |= dict.fromkeys(made_pages.cited(path.read_text("utf-8")), path.name)
    assert len(cited) > 80
    assert {each: where for each, where in cited.items() if each not in known} == {}


def test_the_bibliographys_entries_are_whole_and_each_is_there_once():
    entries = made_pages.references()
    assert len(entries) == page("references.bib").count("\n@") + 1
    assert [e["key"] for e in entries if not {"author", "title", "year"} <= e.keys()] == []
    assert len({e["key"] for e in entries}) == len(entries)
    known = [each for entry in entries for each in ids(entry)]
    assert len(set(known)) == len(known)
    assert [e["key"] for e in entries if not ids(e) | ({e["url"]} if "url" in e else set())] == [
        "hahn2019", "rock1973", "srivastava2014", "wan2013"  # no DOI, no arXiv
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[arXiv:1710.09829](https://arxiv.org/abs/1710.09829)", {"1710.09829"}),
        ("see doi:10.1162/neco.1989.1.4.541.", {"10.1162/neco.1989.1.4.541"}),
        ("(https://doi.org/10.1007/978-3-642-21735-7_6)", {"10.1007/978-3-642-21735-7_6"}),
        ("version 10.1 of 2017", set()),
    ],
)
def test_ids_are_found_in_prose(text, found):
    assert made_pages.cited(text) == found


# --- notation, glossary -------------------------------------------------------------------------------------------


def test_the_notation_page_has_every_symbol_of_the_lectures_tables():
    here = {symbol for cells in rows(page("notation.md"), 5) for symbol in re.findall(r"\$(.*?)\$", cells[0])}
    tables = re.findall(r"^## Notation\n+((?:\|.*\n)+)", "\n".join(lectures().values()), re.M)
    assert len(tables) >= 2
    for table in tables:
        there = {s for line in table.splitlines() for s in re.findall(r"\$(.*?)\$", line.split("|")[1])}
        assert there and there <= here, there - here


def test_every_code_name_of_the_notation_page_is_a_parameter_or_an_attribute_of_something_public():
    code = [name for cells in rows(page("notation.md"), 5) for name in re.findall(r"`(.*?)`", cells[2])]
    names = {name for each in code for name in re.findall(r"(?<!\w)[a-z]\w*", each)} - {"zh"}
    known = set(dir(zh)) | {"w"}
    for _, _, value in public_names.public_names():
        known |= set(dir(value)) | (set(inspect.signature(value).parameters) if inspect.isfunction(value) else set())
        known |= set(inspect.signature(value.__init__).parameters) if isinstance(value, type) else set()
        known |= set(inspect.signature(value).parameters) if isinstance(value, Operation) else set()
    assert len(names) > 30
    assert names - known == set()


def test_the_glossarys_terms_stand_in_the_lectures_that_they_lead_to():
    entries = re.findall(r"^\* \*\*(.+?)\*\*: .+ \(\[(\d\d)\]\(\.\./notebooks/(\d\d)", page("glossary.md"), re.M)
    prose = {number: plain(text) for number, text in lectures().items()}
    assert len(entries) == page("glossary.md").count("\n* ") >= 80
    assert [term for term, number, target in entries if number != target or plain(term) not in prose[number]] == []
    terms = [term.lower() for term, _, _ in entries]
    assert terms == sorted(terms)


# --- what pages say about code, numbers, lectures -----------------------------------------------------------------


def test_the_tour_shows_the_code_as_it_stands():
    text = page("tour.md")
    assert text.count("```python\n") > 8
    file = ""
    for part in re.split(r"(```python\n.*?```)", text, flags=re.S):
        if not part.startswith("```python"):
            named = re.findall(r"[Ii]n `((?:zerohero|tests)/[\w/]+\.py)`", part)
            file = named[-1] if named else file
        elif ">>>" not in part:
            code = part.removeprefix("```python\n").removesuffix("```").rstrip("\n")
            assert code in (ROOT / file).read_text("utf-8"), f"{file} no longer has:\n{code}"


def cards():
    found = {}
    for path in (ROOT / "zerohero" / "weights").glob("*.json"):
        card = json.loads(path.read_text("utf-8"))
        test = card["test"]
        right = "no test images at hand"
        if test:
            right = f"{test['right']:,} of {test['examples']:,} ({100 * test['right'] / test['examples']:.2f} %)"
        found[card["command"]] = right
    return found


def test_the_claims_about_networks_are_those_of_their_cards():
    table = {cells[4].strip("`"): cells[2] for cells in rows(page("claims.md"), 5) if cells[4].startswith("`zerohero")}
    assert table == cards()


def test_the_held_out_share_of_clothes_is_that_of_its_card():
    card = json.loads((ROOT / "zerohero" / "weights" / "capsnet_fashion_mnist.json").read_text("utf-8"))
    share, held = 100 * card["history"][-1]["val_accuracy"], card["data"]["held_out"]
    assert f"{share:.1f} % of {held:,} held out, after learning from {card['data']['examples']:,}" in page("claims.md")


def parts(prose):
    return {int(number) for number in re.findall(r"^## (\d+) ", prose, re.M)}


def test_the_notes_for_instructors_have_each_lecture_and_name_parts_that_exist():
    notes = dict(re.findall(r"^## (\d\d) [^\n]*\n(.*?)(?=^## |\Z)", page("teaching.md"), re.M | re.S))
    for number, prose in lectures().items():
        kept = re.findall(r"(?:In 45 minutes\*: parts|\(part) ([\d, and]+)", notes[number])
        named = {int(n) for text in kept for n in re.findall(r"\d+", text)}
        assert named <= parts(prose), f"lecture {number} has no part {named - parts(prose)}"


def test_a_lectures_parts_fill_the_minutes_that_its_head_promises():
    for number, prose in lectures().items():
        added = sum(int(minutes) for _, minutes in made_pages.PART.findall(prose))
        promised = made_pages.lecture_minutes(prose)
        assert number == "00" or abs(added - promised) <= 10, f"lecture {number}: {added} minutes, not {promised}"


def test_every_page_is_in_the_contents():
    listed = re.findall(r"^(?:[^<\n]*<)?([\w/*-]+)>?$", page("index.md"), re.M)
    for path in book.documents():
        name = path.relative_to(ROOT).with_suffix("").as_posix()
        assert name == "docs/index" or any(Path(name).match(pattern) for pattern in listed), name
    for name in made_pages.made_pages():
        assert name.startswith("api/") or name.removesuffix(".md") in listed, name


# --- the README ---------------------------------------------------------------------------------------------------


def readme():
    return (ROOT / "README.md").read_text(encoding="utf-8")


HOURS = {"10 min": 10, "1 h": 60, "1¼ h": 75, "1½ h": 90, "1¾ h": 105, "2 h": 120}


def test_the_readme_says_to_a_quarter_of_an_hour_how_long_each_lecture_takes():
    said = dict(re.findall(r"^\| (\d\d) \|.*\| ([^|]+?) \| [a-z]* ?\|$", readme(), re.M))
    assert len(said) == 14
    for number, prose in lectures().items():
        assert abs(HOURS[said[number]] - made_pages.lecture_minutes(prose)) <= 15, f"lecture {number}"


def test_the_readmes_results_are_those_of_cards_and_recordings():
    recorded = set(cards().values())
    for name in ("multimnist", "picasso"):
        recorded.add("; ".join(ROWS[name](json.loads((ROOT / f"experiments/results/{name}.json").read_text("utf-8")))))
    twins = json.loads((ROOT / "experiments/results/capsnet_twin.json").read_text("utf-8"))["summary"]
    ours, theirs = (
        f"{100 * twins[name]['test_accuracy']:.2f} ± {100 * twins[name]['test_accuracy_std']:.2f}"
        for name in ("zerohero", "PyTorch")
    )
    recorded.add(f"{ours} and {theirs} %; PyTorch takes {twins['PyTorch']['epoch_ratio']:.2f} × as long")
    table = readme().split("| what | result |")[1].split("\n\n")[0]
    results = [cells[1] for cells in rows(table, 3)]
    assert len(results) == 7
    assert set(results) <= recorded, set(results) - recorded
    others = sorted((ROOT / "experiments" / "cards").glob("capsnet_mnist_*.json"))
    seeds = [ROOT / "zerohero" / "weights" / "capsnet_mnist.json", *others]
    mean = np.mean([100 * json.loads(path.read_text("utf-8"))["test"]["accuracy"] for path in seeds])
    assert len(seeds) == 3 and f"the mean of three seeds is {mean:.2f} %" in table


def test_the_readmes_picture_is_small_and_described_as_the_command_that_draws_it_does():
    words, file = re.findall(r"!\[([^\]]+)\]\((docs/_static/\w+\.png)\)", readme())[0]
    assert ROOT / file == readme_picture.FILE
    assert readme_picture.FILE.stat().st_size <= 150_000
    assert words == readme_picture.WORDS


@pytest.mark.slow
def test_the_readmes_picture_can_be_drawn():
    assert len(readme_picture.draw().axes) == 4


def test_binder_and_the_container_install_the_course():
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    assert "-c constraints.txt -e '.[course]'" in container["postCreateCommand"]
    assert (ROOT / "binder" / "requirements.txt").read_text("utf-8").splitlines()[-1] == ".[course]"
    python = (ROOT / "binder" / "runtime.txt").read_text("utf-8").strip().removeprefix("python-")
    assert container["image"] == f"python:{python}"
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["classifiers"]
    assert f"Programming Language :: Python :: {python}" in classifiers


# --- one look -----------------------------------------------------------------------------------------------------

# How the eye sees light of red, green and blue (linear) without its red, green or blue cones: Machado, Oliveira and
# Fernandes 2009, doi:10.1109/TVCG.2009.113, severity 1.
WITHOUT = {
    "red cones": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "green cones": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "blue cones": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    "nothing": np.eye(3),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(colors, cones):
    """sRGB colours as CIE L*a*b*, seen without some cones."""
    rgb = np.array([[int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)] for color in colors])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(WITHOUT[cones]).T, 0, 1)
    x, y, z = np.cbrt((seen @ TO_XYZ.T / [0.9505, 1, 1.089]).T)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def nearest(colors, cones):
    """The smallest distance between two of some colours; some 2 can just be told apart, side by side."""
    points = lab(colors, cones)
    return min(np.linalg.norm(a - b) for a, b in itertools.combinations(points, 2))


@pytest.mark.parametrize("cones", WITHOUT)
def test_the_colours_of_lines_differ_for_every_kind_of_colour_vision(cones):
    assert nearest(zh.visualize.CYCLE, cones) > 10
    negative, positive = zh.visualize.COLORS["negative"], zh.visualize.COLORS["positive"]
    assert nearest([negative, positive, "#FFFFFF"], cones) > 25


def test_red_and_green_would_not_pass():
    assert nearest(["#D62728", "#2CA02C"], "nothing") > 60
    assert nearest(["#A05A28", "#6E7A28"], "green cones") < 15


def test_every_figure_is_drawn_in_the_style_of_the_course():
    """Nothing but `visualize.style` makes figures with pyplot or sets matplotlib's parameters."""
    makers = re.compile(r"\bplt\.|pyplot|rcParams|style\.use\(")
    found = []
    for pattern in ("zerohero/**/*.py", "experiments/*.py", "benchmarks/*.py", "tools/*.py", "*/*.ipynb"):
        for path in ROOT.glob(pattern):
            name = path.relative_to(ROOT).as_posix()
            if name.split("/")[0] in {"notebooks", "solutions", "exercises"}:
                cells = json.loads(path.read_text("utf-8"))["cells"]
                text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
            else:
                text = path.read_text("utf-8") if path.suffix == ".py" else ""
            if makers.search(text) and name != "zerohero/visualize/style.py":
                found.append(name)
    assert found == []


# --- dead links ---------------------------------------------------------------------------------------------------


def test_a_dead_link_and_a_picture_without_words_are_found(tmp_path):
    (tmp_path / "there.html").write_text('<p id="here"></p><a href="#here">up</a>')
    good = '<a href="there.html#here">a</a><a href="https://example.org/x">b</a><img src="there.html" alt="a page">'
    (tmp_path / "index.html").write_text(good)
    assert book.defects(tmp_path) == []
    bad = good + '<a href="gone.html">c</a><a href="there.html#nowhere">d</a><img src="there.html">'
    (tmp_path / "index.html").write_text(bad)
    assert book.defects(tmp_path) == [
        "index.html: a picture without words, there.html",
        "index.html: gone.html leads nowhere",
        "index.html: there.html#nowhere leads to a page without that place",
    ]


class Image(dict):
    """A node of Sphinx that is a picture."""

    tagname = "image"


def test_a_notebooks_picture_gets_its_words_in_the_book():
    shown = next(made_pages.pictures())
    image = Image(uri=f"jupyter_execute/{shown.file}")
    book.describe_pictures(None, SimpleNamespace(findall=lambda wanted: filter(wanted, [image])))
    assert image["alt"] == shown.words
