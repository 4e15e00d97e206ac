"""`zerohero data`: which data sets lie on this machine, and where; fetched, and checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from zerohero.datasets.inventory import Found, Holding


def data(
    action: Annotated[
        Literal["list", "fetch", "verify"],
        typer.Argument(help="list what there is, fetch sets by name, or verify the files that lie here."),
    ],
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Of data sets; list and verify take all by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> int:
    """See, fetch and verify data sets.

    Sets are looked for in the folder that ZEROHERO_DATA names, then in the cache; fetch downloads into the cache and
    checks the SHA-256. Exits with 1 if verify finds a damaged file.

    \b
    zerohero data list
    zerohero data fetch mnist fashion_mnist
    zerohero data verify --json
    """
    from zerohero import datasets
    from zerohero.datasets import inventory

    chosen = list(dict.fromkeys(names or datasets.names()))
    if action == "fetch" and not names:
        raise ValueError("data: fetch needs the names of data sets, such as `zerohero data fetch mnist`; "
                         "`zerohero data list` shows them with their sizes")  # fmt: skip
    holdings = [inventory.take(name) for name in chosen]  # a wrong name is told before anything is fetched
    if action == "list":
        print(_dumps(list(map(_facts, holdings))) if as_json else "\n".join([*map(_line, holdings), *_roots()]))
        return 0
    if action == "fetch":
        return _fetch(chosen, as_json)
    return _verify([file for holding in holdings for file in holding.files], as_json)


# --- list -----------------------------------------------------------------------------------------------------


def _facts(holding: Holding) -> dict[str, Any]:
    """A data set for a machine to read."""
    return {"name": holding.name, "place": holding.place, "source": holding.source or None, "bytes": holding.bytes,
            "bytes_to_fetch": holding.bytes_to_fetch, "can_be_fetched": holding.can_be_fetched,
            "files": [{"path": str(file.path), "place": file.root, "bytes": file.size} for file in holding.files],
            }  # fmt: skip


def _line(holding: Holding) -> str:
    """A data set for a person to read: name, place, size of what is here, and what isn't."""
    return f"{holding.name:<14}{holding.place:<22}{_size(holding.bytes):>9}  {_remark(holding)}".rstrip()


def _remark(holding: Holding) -> str:
    if holding.place == "embedded":
        return holding.source if holding.source.startswith("drawn") else f"inside {holding.source}"
    if holding.source:
        return f"drawn from {holding.source}, or from digits"
    if not holding.can_be_fetched:
        return f"no download; its files go into a folder {holding.name} in one of the folders below"
    if holding.lacking:
        return f"not all: `zerohero data fetch {holding.name}` downloads {_size(holding.bytes_to_fetch)}"
    return "complete"


def _roots() -> list[str]:
    """Where sets are looked for."""
    from zerohero.datasets import files

    return ["", f"ZEROHERO_DATA: {files.data_folder() or 'not set'}", f"cache: {files.cache_folder()}"]


def _size(count: int) -> str:
    """A number of bytes in the unit that a person would choose."""
    if count == 0:
        return "–"
    return f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count / 1e3:,.1f} kB"


# --- fetch and verify -----------------------------------------------------------------------------------------


def _fetch(names: list[str], as_json: bool) -> int:
    from zerohero.datasets import inventory

    fetched: dict[str, list[Path]] = {}
    for name in names:
        fetched[name] = inventory.fetch(name)
        if not as_json:
            where = ", ".join(sorted({str(path.parent) for path in fetched[name]}))
            print(f"{name}: {len(fetched[name])} files, verified, in {where}" if where
                  else f"{name}: nothing to fetch ({_remark(inventory.take(name))})", flush=True)  # fmt: skip
    if as_json:
        print(_dumps({name: list(map(str, paths)) for name, paths in fetched.items()}))
    return 0


def _verify(found: list[Found], as_json: bool) -> int:
    verdicts = [(file, file.verdict()) for file in found]
    if as_json:
        print(_dumps([{"path": str(file.path), "place": file.root, "verdict": verdict} for file, verdict in verdicts]))
    else:
        for file, verdict in verdicts:
            print(f"{verdict.upper() if verdict == 'damaged' else verdict:<8} {file.path}")
        print(_sum(verdicts))
    return 1 if any(verdict == "damaged" for _, verdict in verdicts) else 0


def _sum(verdicts: list[tuple[Found, str]]) -> str:
    """What was found, and what to do about damaged files."""
    if not verdicts:
        return "There are no files of these data sets on this machine, so there is nothing to verify."
    damaged = sum(verdict == "damaged" for _, verdict in verdicts)
    unknown = sum(verdict == "unknown" for _, verdict in verdicts)
    remedy = "; delete damaged files, or let `zerohero data fetch` replace those in the cache" if damaged else ""
    return f"{len(verdicts)} files, {damaged} damaged, {unknown} of which no SHA-256 is published{remedy}"


def _dumps(found: Any) -> str:
    return json.dumps(found, indent=2, ensure_ascii=False)
