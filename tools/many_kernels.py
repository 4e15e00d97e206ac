"""A class in one room: many Jupyter kernels run one notebook at once on this machine. Prints seconds and memory."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from nbclient import NotebookClient

import notebooks


def memory_of(process: int) -> tuple[int, int]:
    """Return what a process holds, in bytes: its share (PSS: shared pages count in parts), and its own alone."""
    sizes = dict.fromkeys(("Pss", "Private_Clean", "Private_Dirty"), 0)
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in sizes:
            sizes[name] = int(rest.split()[0]) * 1024
    return sizes["Pss"], sizes["Private_Clean"] + sizes["Private_Dirty"]


class Reader:
    """One kernel at work on its own copy of the notebook."""

    def __init__(self, path: Path, cells: int | None):
        notebook = notebooks.read(path)
        code = [each for each in notebook.cells if each.cell_type == "code"]
        notebook.cells = code[:cells]
        folder = {"metadata": {"path": str(path.resolve().parent)}}
        limits: Any = dict(timeout=3600, startup_timeout=600)
        self.client: Any = NotebookClient(notebook, kernel_name="python3", resources=folder, **limits)
        self.process, self.most, self.seconds, self.problem = 0, (0, 0), 0.0, "not finished"
        self.everybody_is_done: asyncio.Event

    async def read(self, started: float) -> None:
        try:
            async with self.client.async_setup_kernel():
                for number in (signal.SIGINT, signal.SIGTERM):  # nbclient's own answer ends one kernel and goes on
                    asyncio.get_running_loop().add_signal_handler(number, self.everybody_is_done.set)
                self.process = self.client.km.provisioner.process.pid
                for index, cell in enumerate(self.client.nb.cells):
                    await self.client.async_execute_cell(cell, index)
                self.look()
                self.seconds, self.problem = time.perf_counter() - started, ""
                await self.everybody_is_done.wait()  # as readers do, who leave the notebook open
        except Exception as error:  # of any kind: it is counted, and the others go on
            self.problem = f"{type(error).__name__}: {error}"[:200]

    def look(self) -> None:
        if self.process and os.path.exists(f"/proc/{self.process}/smaps_rollup"):
            try:
                self.most = max(self.most, memory_of(self.process))
            except (OSError, ValueError):  # it ended while we looked
                pass


async def _class(path: Path, kernels: int, cells: int | None, limit: float) -> tuple[list[Reader], int]:
    readers, done = [Reader(path, cells) for _ in range(kernels)], asyncio.Event()
    started, total = time.perf_counter(), 0
    for each in readers:
        each.everybody_is_done = done
    tasks = [asyncio.create_task(each.read(started)) for each in readers]
    while time.perf_counter() - started < limit and any(each.problem == "not finished" for each in readers):
        if done.is_set():  # by a signal: somebody doesn't want to wait any longer
            break
        await asyncio.sleep(2)
        for each in readers:
            each.look()
        alive = [each for each in readers if each.process and os.path.exists(f"/proc/{each.process}")]
        total = max(total, sum(memory_of(each.process)[0] for each in alive))
    done.set()
    await asyncio.wait(tasks, timeout=10)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return readers, total


def main(
    notebook: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    kernels: Annotated[int, typer.Option(help="How many at once.")] = 40,
    cells: Annotated[int | None, typer.Option(help="Only the first so many code cells.")] = None,
    limit: Annotated[float, typer.Option(help="Seconds after which nobody waits any longer.")] = 1800.0,
) -> None:
    """Start kernels at the same moment, run the notebook in each, and say what that took."""
    with tempfile.TemporaryDirectory() as empty:
        os.environ.update(notebooks.reader_environment(Path(empty)))
        readers, total = asyncio.run(_class(notebook, kernels, cells, limit))
    finished = [each for each in readers if not each.problem]
    print(f"{len(finished)} of {kernels} kernels ran {notebook.name}{f', first {cells} code cells' if cells else ''}")
    if finished:
        seconds = sorted(each.seconds for each in finished)
        print(f"seconds: first {seconds[0]:.0f}, median {seconds[len(seconds) // 2]:.0f}, last {seconds[-1]:.0f}")
    share, own = (sorted(each.most[i] / 1e6 for each in readers)[kernels // 2] for i in (0, 1))
    print(f"memory: {share:.0f} MB a kernel (PSS, median of the largest seen; {own:.0f} MB its own alone)")
    print(f"        {total / 1e9:.1f} GB all kernels together, at most")
    for problem in sorted({each.problem for each in readers if each.problem}):
        print(f"{sum(each.problem == problem for each in readers)} × {problem}")
    sys.exit(len(finished) < kernels)


if __name__ == "__main__":
    typer.run(main)
