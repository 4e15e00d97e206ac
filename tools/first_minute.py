"""From `git clone` to the first explorer moving: typed as a newcomer would, in Chromium. Prints the seconds."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 1800  # seconds for anything
SLIDER, PICTURE = ".noUi-handle", "img.widget-image, .widget-image img"
DOWN = "pane => { pane.scrollTop = (pane.scrollTop + 700) % pane.scrollHeight }"


def address_of(server: subprocess.Popen, log: Path) -> str:
    """Where JupyterLab answers, once it says so."""
    for _ in range(5 * LONGEST):
        if found := re.search(r"(http://127\.0\.0\.1:\d+/lab)\S*(\?token=\w+)", log.read_text()):
            return f"{found[1]}/tree/notebooks/01-convolution.ipynb{found[2]}"
        if server.poll() is not None:
            break
        time.sleep(0.2)
    sys.exit(f"make lab started nothing:\n{log.read_text()[-2000:]}")


def move_the_first_explorer(page: Page, say) -> None:
    """Open the lecture, run all of it, and press a key on the first slider until its picture changes."""
    page.locator(".jp-Notebook-cell").first.wait_for()
    page.get_by_text("| Idle").first.wait_for()
    say("lecture 01 open, its kernel ready")
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    slider = page.locator(SLIDER).first
    while not slider.is_visible():  # JupyterLab follows what runs; the first explorer stands further up
        page.locator(".jp-NotebookPanel .jp-WindowedPanel-outer").first.evaluate(DOWN)
        page.wait_for_timeout(150)
    picture = page.locator(".jp-Notebook-cell", has=slider).first.locator(PICTURE).first
    picture.wait_for()
    before = picture.get_attribute("src")
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("([image, before]) => image.src !== before", arg=[picture.element_handle(), before])
    say("the first explorer moved")


def main(
    folder: Annotated[Path, typer.Argument(help="Where to clone to; a second run is warm.")],
    screenshot: Annotated[Path | None, typer.Option(help="Keep a picture of the end.")] = None,
) -> None:
    """Measure what a newcomer waits for; needs Playwright (`make browser` installs it) and Chromium."""
    begin = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - begin:6.1f} s  {what}", flush=True)

    if not folder.exists():
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        say(f"git clone {ROOT.name}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        command = ["make", "lab", "BROWSER=no", f"PORT={free.getsockname()[1]}"]
    untold = ("ZEROHERO", "OMP_", "OPENBLAS_", "NUMBA_", "VIRTUAL_ENV", "PYTHONPATH")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(untold)}
    with tempfile.NamedTemporaryFile("w+") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            address = address_of(server, Path(log.name))
            say(" ".join(command[:3]))
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                page.set_default_timeout(1000 * LONGEST)
                page.goto(address)
                move_the_first_explorer(page, say)
                if screenshot:
                    page.screenshot(path=screenshot)
                browser.close()
        finally:
            os.killpg(server.pid, signal.SIGTERM)


if __name__ == "__main__":
    typer.run(main)
