"""The book: its pages laid out as in the repository, set by Sphinx, and searched for dead links.

`python tools/book.py` builds `docs/_build/html`. What is written by hand lies in `docs/`; what can be made from code
and notebooks is made at each build (`made_pages.py`).
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from made_pages import ROOT, made_pages, pictures

BUILD = ROOT / "docs" / "_build"
SOURCE, PAGES = BUILD / "source", BUILD / "html"
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]+)")

# --- lay out: every page where it lies in the repository, so that links between documents stay as they are ----


def lay_out() -> None:
    """Write the pages' sources; what is as it was keeps its time, so that Sphinx sets only what changed."""
    pages = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in documents()}
    pages["index.md"] = _one_folder_up(pages.pop("docs/index.md").decode()).encode()
    pages |= {name: text.encode() for name, text in made_pages().items()}
    pages |= dict(_linked_files(pages))
    for old in SOURCE.rglob("*"):
        if old.is_file() and old.relative_to(SOURCE).as_posix() not in pages:
            old.unlink()
    for name, content in pages.items():
        path = SOURCE / name
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def documents() -> list[Path]:
    """Return the committed pages of the book."""
    names = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/RESULTS.md")
    patterns = ("experiments/*.md", "notebooks/*.ipynb", "exercises/*.ipynb", "docs/*.md")
    return [ROOT / name for name in names] + [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]


def _one_folder_up(text: str) -> str:
    return LINK.sub(lambda link: link[1].removeprefix("../") if link[1].startswith("../") else f"docs/{link[1]}", text)


def _linked_files(pages: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield the files that pages link to and that are no pages: scripts, solutions, licences."""
    for name, content in pages.items():
        for target in LINK.findall(_prose(name, content.decode())) if name.endswith((".md", ".ipynb")) else []:
            path = (ROOT / name).parent.joinpath(unquote(target)).resolve()
            if path.is_file() and path.is_relative_to(ROOT):
                inside = path.relative_to(ROOT).as_posix()
                if inside not in pages:
                    yield inside, path.read_bytes()


def _prose(name: str, text: str) -> str:
    if name.endswith(".ipynb"):
        return "\n".join("".join(c["source"]) for c in json.loads(text)["cells"] if c["cell_type"] == "markdown")
    return text


# --- build ----------------------------------------------------------------------------------------------------


def build() -> int:
    """Set the pages; a warning is an error. Returns Sphinx's status."""
    from sphinx.cmd.build import main as sphinx

    BUILD.mkdir(parents=True, exist_ok=True)
    options = ["-b", "html", "-q", "-n", "-W", "--keep-going", "-c", str(ROOT / "docs"), "-d", str(BUILD / "doctrees")]
    return sphinx([*options, str(SOURCE), str(PAGES)])


def describe_pictures(app: Any, doctree: Any) -> None:
    """For Sphinx: give each picture of a notebook its words as `alt`. myst-nb leaves them out."""
    words = {Path(shown.file).stem: shown.words for shown in pictures()}
    for image in doctree.findall(lambda node: node.tagname == "image"):
        if not image.get("alt") and Path(image["uri"]).stem in words:
            image["alt"] = words[Path(image["uri"]).stem]


def bring_mathjax() -> None:
    """Copy the program that sets equations into the book, which then needs no network."""
    import jupyter_server_mathjax

    static = Path(jupyter_server_mathjax.__file__).parent / "static"
    shutil.copytree(static, PAGES / "_static" / "mathjax", dirs_exist_ok=True)


# --- dead links -----------------------------------------------------------------------------------------------


class _Page(HTMLParser):
    """What a page of HTML links to, its anchors, and the pictures that say nothing."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.wordless: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        self.anchors |= {values[key] for key in ("id", "name") if key in values}
        self.targets += [values[key] for key in ("href", "src") if values.get(key)]
        if tag == "img" and not values.get("alt"):
            self.wordless.append(values.get("src", ""))


def defects(folder: Path) -> list[str]:
    """Return a line for each link that leads nowhere and each picture without words, in a folder of HTML pages."""
    paths = [path.resolve() for path in folder.rglob("*.html") if "_static" not in path.parts]
    pages = {path: _Page(path.read_text("utf-8")) for path in paths}
    found = set()
    for path, page in pages.items():
        name = path.relative_to(folder.resolve())
        found |= {f"{name}: a picture without words, {src}" for src in page.wordless}
        for target in page.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            there = path.parent.joinpath(unquote(parts.path)).resolve() if parts.path else path
            if not there.exists():
                found.add(f"{name}: {target} leads nowhere")
            elif parts.fragment and there in pages and unquote(parts.fragment) not in pages[there].anchors:
                found.add(f"{name}: {target} leads to a page without that place")
    return sorted(found)


def main() -> int:
    lay_out()
    status = build()
    bring_mathjax()
    found = defects(PAGES)
    print("\n".join(found))
    print(f"{PAGES.relative_to(ROOT) / 'index.html'}: {len(found)} dead links and pictures without words")
    return int(status != 0 or bool(found))


if __name__ == "__main__":
    sys.exit(main())
