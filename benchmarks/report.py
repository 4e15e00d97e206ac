"""What was measured, told from the JSON alone: a table on the terminal, a figure, and RESULTS.md."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

Document = dict[str, Any]
HEAD = ("what", "against", "measured", "95 % interval", "must", "goal", "")
MARKS: dict[str, dict[str, Any]] = {
    "must": dict(marker="|", markersize=17, markeredgewidth=2.5),
    "goal": dict(marker="D", markersize=5),
}
DETAILS = ("work", "who", "time (quartiles)", "of our time", "GFLOPS", "of the roofline")


# ---- cells ----------------------------------------------------------------------------------------------


def figures(document: Document) -> list[dict[str, Any]]:
    """All figures of all rows that were measured."""
    return [figure for row in document["rows"].values() for figure in row["figures"]]


def verdict(figure: dict[str, Any]) -> str:
    """Where a figure lies: "goal", "must", "below must" (or "above", if less is better); "" without targets."""
    if figure["must"] is None:
        return ""
    better = (lambda a, b: a >= b) if figure["more_is_better"] else (lambda a, b: a <= b)
    if figure["goal"] is not None and better(figure["value"], figure["goal"]):
        return "goal"
    if better(figure["value"], figure["must"]):
        return "must"
    return "below must" if figure["more_is_better"] else "above must"


def lines(document: Document) -> Iterator[tuple[str, ...]]:
    """The table: a line for each figure, and for each row that has none the reason."""
    for name, row in document["rows"].items():
        for figure in row["figures"]:
            unit = figure["unit"]
            interval = figure["interval"]
            between = f"{_number(interval[0])} to {_number(interval[1])}" if interval else ""
            yield (figure["label"], figure["against"], _with(figure["value"], unit), between,
                   _target(figure["must"], unit), _target(figure["goal"], unit), verdict(figure))  # fmt: skip
        if not row["figures"] and not row["parts"]:
            yield (name, "", row["status"], row["reason"], "", "", "")


def details(document: Document) -> Iterator[tuple[str, ...]]:
    """Every contestant of every contest."""
    for row in document["rows"].values():
        for part in row["parts"]:
            first = next(iter(part["contestants"].values()))
            for who, found in part["contestants"].items():
                share, flops = found.get("roofline_share"), found.get("gflops")
                yield (
                    part["name"] if found is first else "",
                    who,
                    _time(found),
                    _with(found["median"] / first["median"], "×") if "median" in found and found is not first else "",
                    _number(flops) if flops else "",
                    f"{share:.0%}" if share else "",
                )


def notes(document: Document) -> list[str]:
    """What a reader must know: the machine, how calm it was, its roofline, who was left out."""
    machine, versions, roof = document["machine"], document["versions"], document["roofline"]
    there = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    gpu = f", {machine['gpu']}" if machine.get("gpu") else ""
    commit = (document["commit"] or "unknown").replace("+", " and changes")
    found = [
        f"`{document['command']}`, {document['date']}, commit {commit}",
        f"{machine['processor']}{gpu}, {count(machine['cores'], 'core')}, "
        f"{count(document['threads'], 'thread')} for everybody; {there}",
        document["calm"]["sentence"],
        _roof_sentence(roof),
        f"{document['clock']}; medians of {document['rounds']} rounds; in each round everybody has a turn; intervals "
        "are bootstraps over the rounds",
    ]
    for name, row in document["rows"].items():
        found += [f"{name}: {skip}" for skip in row["skips"]]
        if row["status"] != "skipped" and (row["others"] or 0) > 0.1:  # of no time at all, there is no share
            found.append(f"{name}: other processes kept {row['others']:.2f} cores busy meanwhile")
    return found


def _roof_sentence(roof: dict[str, Any]) -> str:
    peaks = ", ".join(f"{how} {gflops:.0f}" for how, gflops in roof["peaks"].items())
    peak = max(roof["peaks"].values())
    return f"roofline: {peak:.0f} GFLOPS ({peaks}) and {roof['bandwidth']:.0f} GB/s (triad), float32"


def _number(value: float) -> str:
    """Three digits, as many as a benchmark can tell."""
    return f"{value:#.3g}".rstrip(".") if abs(value) < 100 else f"{value:.0f}"


def _target(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    return f"{value:g}" + (unit if unit == "×" else f" {unit}")


def count(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("" if number == 1 else "s")


def _with(value: float, unit: str) -> str:
    return _number(value) + (unit if unit == "×" else f" {unit}")


def _time(found: dict[str, Any]) -> str:
    """Milliseconds, or whatever else was measured."""
    if "above_megabytes" in found:
        return f"{found['above_megabytes']:.0f} MB above {found['results_megabytes']:.0f} MB of results"
    if "median" not in found:
        return f"{found['seconds'][0]:.0f} s"
    low, high = found["quartiles"]
    return f"{_number(1e3 * found['median'])} ms ({_number(1e3 * low)} to {_number(1e3 * high)})"


# ---- terminal -------------------------------------------------------------------------------------------


def show(document: Document) -> None:
    """Print the tables."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 160)
    colours = {"goal": "green", "must": "cyan", "below must": "bold red", "above must": "bold red"}
    for head, rows in ((DETAILS, details(document)), (HEAD, lines(document))):
        table = Table(*head, box=box.SIMPLE_HEAD)
        for cells in rows:
            table.add_row(*cells[:-1], f"[{colours[cells[-1]]}]{cells[-1]}[/]" if cells[-1] in colours else cells[-1])
        console.print(table)
    for note in notes(document):
        console.print(f"  {note}", markup=False, highlight=False)


# ---- figure ---------------------------------------------------------------------------------------------


def draw(document: Document) -> Any:
    """Bars of all speedups on a logarithmic axis, with the marks that must and should be reached."""
    from zerohero.visualize import subplots

    bars = [figure for figure in figures(document) if figure["unit"] == "×" and figure["more_is_better"]]
    where = "GPU" if document["device"] == "gpu" else count(document["threads"], "thread")
    title = f"How many times as fast as PyTorch: zerohero ({document['backend']}), {where}"
    picture, axes = subplots(width=9.5, height=2.1 + 0.5 * max(len(bars), 1), title=title)
    _scale(axes, bars)
    for place, bar in enumerate(bars):
        _bar(axes, place, bar)
    _legend(axes)
    picture.alt = alt(document)
    return picture


def _bar(axes: Any, place: int, bar: dict[str, Any]) -> None:
    """A bar from 1 (as fast as PyTorch), its interval, its targets, and the number at the right edge."""
    from zerohero.visualize import COLORS

    axes.barh(place, bar["value"] - 1, left=1, height=0.55, color=COLORS["input" if bar["value"] >= 1 else "highlight"])
    axes.hlines(place, *bar["interval"], color=COLORS["ink"], linewidth=1.2)
    for name, look in MARKS.items():
        if bar[name] is not None:
            axes.plot(bar[name], place, color=COLORS["ink"], linestyle="none", **look)
    axes.annotate(
        f"{_number(bar['value'])}×", (1, place), xycoords=("axes fraction", "data"), xytext=(46, 0),
        textcoords="offset points", va="center", ha="right", fontweight="bold", annotation_clip=False,
    )  # fmt: skip


def _scale(axes: Any, bars: Sequence[dict[str, Any]]) -> None:
    from zerohero.visualize import COLORS

    ends = [end for bar in bars for end in (bar["value"], *bar["interval"], bar["must"] or 1, bar["goal"] or 1)] or [1]
    low, high = min(0.5, min(ends) / 1.15), max(2.0, max(ends) * 1.15)
    ticks = [tick for tick in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if low <= tick <= high]
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_xticks(ticks, [f"{tick:g}×" for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks(range(len(bars)), [f"{bar['label']}\nagainst {bar['against']}" for bar in bars], fontsize=9)
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.axvline(1, color=COLORS["neutral"], linewidth=1)
    axes.set_xlabel("times as fast as PyTorch")


def _legend(axes: Any) -> None:
    from matplotlib.lines import Line2D

    from zerohero.visualize import COLORS

    marks = [Line2D([], [], color=COLORS["ink"], linestyle="none", label=name, **look) for name, look in MARKS.items()]
    marks.append(Line2D([], [], color=COLORS["ink"], linewidth=1.2, label="95 % interval"))
    axes.figure.legend(handles=marks, loc="outside lower center", ncols=3)


def alt(document: Document) -> str:
    """The figure in words."""
    bars = [figure for figure in figures(document) if figure["unit"] == "×" and figure["more_is_better"]]
    said = [
        f"{bar['label']} against {bar['against']}: {_number(bar['value'])}×"
        + (f", must {bar['must']:g}×" if bar["must"] else "")
        + (f", goal {bar['goal']:g}×" if bar["goal"] else "")
        for bar in bars
    ]
    return "Bars of how many times as fast as PyTorch zerohero is. " + "; ".join(said) + "."


# ---- RESULTS.md -----------------------------------------------------------------------------------------


def write(folder: Path) -> Path:
    """Make RESULTS.md and the figures from every results*.json in a folder, and from TRIED.md if it is there."""
    files = sorted(folder.glob("results*.json"))
    if not files:
        raise FileNotFoundError(f"bench: --report found no results*.json in {folder.name}; --json writes one")
    parts = ["# Results\n", "Made by `zerohero bench --report` from the JSON files beside this; don't edit it.\n"]
    for file in files:
        document = json.loads(file.read_text(encoding="utf-8"))
        picture = draw(document)
        (folder / f"{file.stem}.png").write_bytes(picture.image_bytes())
        parts += _section(document, file)
    tried = folder / "TRIED.md"
    if tried.exists():
        parts += ["## What was tried\n", tried.read_text(encoding="utf-8")]
    target = folder / "RESULTS.md"
    target.write_text("\n".join(parts), encoding="utf-8")
    return target.relative_to(folder.parent)


def _section(document: Document, file: Path) -> list[str]:
    where = document["machine"]["gpu"] or (
        f"{document['machine']['processor']}, {count(document['threads'], 'thread')}"
    )
    return [
        f"## {where}: {file.stem}\n",
        "\n".join(f"* {note}" for note in notes(document)) + "\n",
        f"![{alt(document)}]({file.stem}.png)\n",
        markdown(HEAD, lines(document)),
        "<details><summary>Every contestant</summary>\n",
        markdown(DETAILS, details(document)),
        "GFLOPS count the operations of the plain algorithm; a program may do some twice, or fewer (Winograd's form of "
        "a 3×3 convolution). The share of the roofline is the part of the speed that computing and moving the needed "
        "bytes would allow; more than 100 % says that the roof was measured in a busier moment, or that numbers were "
        "still in a cache.\n",
        f"</details>\n\nAll numbers: [{file.name}]({file.name}).\n",
    ]


def markdown(head: Sequence[str], rows: Iterator[tuple[str, ...]]) -> str:
    """A table as Markdown."""
    found = [" | ".join(head), " | ".join("---" for _ in head)]
    found += [" | ".join(cell.replace("|", "\\|") for cell in cells) for cells in rows]
    return "\n".join(f"| {line} |" for line in found) + "\n"
