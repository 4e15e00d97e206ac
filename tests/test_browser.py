"""The course in a real browser: lectures run, sliders move, an exercise is failed, hinted and solved.

Run by `make browser`. JupyterLab is started as a student starts it, on a student's working copy; Chromium does what
hand and keyboard would do. Screenshots and times go into build/browser.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "build" / "browser"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
LONGEST = 600  # seconds for all cells of a lecture, on a busy machine


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A student's working copy, served by `zerohero lab`; gives its address."""
    home = tmp_path_factory.mktemp("student")
    subprocess.run([sys.executable, "-m", "zerohero", "start", home / "course", "--course", ROOT], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {f"JUPYTER_{kind}_DIR": str(home / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
    own |= {"ZEROHERO_PROGRESS": str(home / "progress.jsonl"), "ZEROHERO_DATA": "", "JUPYTER_PREFER_ENV_PATH": "1"}
    options = ["--no-browser", "--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True"]
    with open(home / "log", "w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "zerohero", "lab", "--folder", home / "course", "--port", str(port), *options],
            stdout=log, stderr=log, env=os.environ | own, start_new_session=True,
        )  # fmt: skip
    try:
        wait_for_page(f"http://127.0.0.1:{port}/api", server, home / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


def wait_for_page(address, server, log, seconds=120):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"no JupyterLab after {seconds} s: {log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install '.[e2e]'")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def lab(chromium, course, request):
    """A fresh browser window; afterwards nothing may have gone wrong in its console."""
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(60_000)
    window = Lab(page, course, request.node.name.removeprefix("test_"))
    page.on("console", lambda message: message.type == "error" and window.errors.append(message.text))
    page.on("pageerror", lambda error: window.errors.append(str(error)))
    yield window
    window.shot("last")
    window.leave()
    assert window.errors == []


class Lab:
    """One window of JupyterLab with a notebook: what a student does in it, and what they see."""

    def __init__(self, page, address, name):
        self.page, self.address, self.name = page, address, name
        self.errors, self.times = [], {}

    def open(self, path):
        start = time.monotonic()
        self.page.goto(f"{self.address}/lab/tree/{path}?reset")
        self.page.wait_for_function("() => jupyterapp.shell.currentWidget?.sessionContext?.session", timeout=120_000)
        self.wait_until_idle()
        self.times["open"] = time.monotonic() - start

    def leave(self):
        """End the kernel, keep the times."""
        self.page.evaluate("() => jupyterapp.shell.currentWidget?.sessionContext?.shutdown()")
        PICTURES.mkdir(parents=True, exist_ok=True)
        times = {name: round(seconds, 3) for name, seconds in self.times.items()}
        (PICTURES / f"{self.name}.json").write_text(json.dumps(times, indent=1) + "\n")
        self.page.close()

    def shot(self, name):
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(PICTURES / f"{self.name}-{name}.png"))

    # --- running -------------------------------------------------------------------------------------------------

    def wait_until_idle(self):
        kernel = "jupyterapp.shell.currentWidget.sessionContext.session?.kernel"
        self.page.wait_for_function(f"() => {kernel}?.status === 'idle'", timeout=LONGEST * 1000)

    def choose(self, menu, entry):
        self.page.get_by_role("menuitem", name=menu, exact=True).click()
        self.page.get_by_role("menuitem", name=entry, exact=True).click()

    def run_all(self):
        """Clear what is stored, then run every cell, from the menus."""
        self.choose("Edit", "Clear Outputs of All Cells")
        assert not any(cell["count"] for cell in self.cells())
        start = time.monotonic()
        self.choose("Run", "Run All Cells")
        done = "() => [...jupyterapp.shell.currentWidget.content.model.cells].every(cell => cell.type !== 'code' " \
               "|| !cell.sharedModel.source || cell.executionCount)"  # fmt: skip
        self.page.wait_for_function(done, timeout=LONGEST * 1000, polling=500)
        self.wait_until_idle()
        self.times["run all"] = time.monotonic() - start

    def run(self, index):
        """Run one cell by its keyboard shortcut."""
        self.cell(index)
        self.page.keyboard.press("Escape")
        self.page.keyboard.press("Control+Enter")
        self.page.wait_for_timeout(100)
        self.page.wait_for_function(
            f"() => [...jupyterapp.shell.currentWidget.content.model.cells][{index}].executionCount"
        )
        self.wait_until_idle()

    def write(self, index, code):
        """Replace what a cell holds, by keyboard."""
        self.cell(index).locator(".cm-content").click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(code)

    # --- looking -------------------------------------------------------------------------------------------------

    def cells(self):
        """Source, number, tags, and errors of every cell."""
        return self.page.evaluate(
            """() => [...jupyterapp.shell.currentWidget.content.model.cells].map(cell => ({
                source: cell.sharedModel.source, count: cell.executionCount ?? 0,
                tags: cell.getMetadata('tags') ?? [],
                errors: Array.from({length: cell.outputs?.length ?? 0}, (_, k) => cell.outputs.get(k).toJSON())
                    .filter(output => output.output_type === 'error').map(output => output.evalue)}))"""
        )

    def find(self, words, nth=0):
        """The index of the code cell in which these words stand."""
        found = [index for index, cell in enumerate(self.cells()) if words in cell["source"]]
        assert len(found) > nth, f"{words!r} stands in {len(found)} cells"
        return found[nth]

    def cell(self, index):
        """A cell on the page, scrolled to and chosen."""
        self.page.evaluate(
            f"""async () => {{ const notebook = jupyterapp.shell.currentWidget.content;
                notebook.activeCellIndex = {index}; await notebook.scrollToItem({index}, 'start'); }}"""
        )
        cell = self.page.locator(f'.jp-Notebook-cell[data-windowed-list-index="{index}"]')
        cell.wait_for()
        return cell

    def output(self, index):
        return self.cell(index).locator(".jp-Cell-outputArea")

    def unexpected_errors(self):
        return [cell["errors"] for cell in self.cells() if cell["errors"] and "raises-exception" not in cell["tags"]]


PIXELS = """async image => { await image.decode(); const canvas = document.createElement('canvas');
    canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
    canvas.getContext('2d').drawImage(image, 0, 0); return canvas.toDataURL(); }"""


def move(lab, cell, slider=0, key="ArrowRight", times=1):
    """Press a key on a slider; the picture's pixels and the line of text under it, before and after."""
    picture, line = cell.locator("img.widget-image, .widget-image img").first, cell.locator('[role="status"]').first
    seen = [(picture.evaluate(PIXELS), line.inner_text())]
    handle = cell.locator(".noUi-handle").nth(slider)
    handle.focus()
    for _ in range(times):
        old, start = picture.get_attribute("src"), time.monotonic()
        lab.page.keyboard.press(key)
        lab.page.wait_for_function("([image, old]) => image.src !== old", arg=[picture.element_handle(), old],
                                   polling=10)  # fmt: skip
        lab.times.setdefault("slowest move", 0)
        lab.times["slowest move"] = max(lab.times["slowest move"], time.monotonic() - start)
        lab.page.wait_for_timeout(300)
    seen.append((picture.evaluate(PIXELS), line.inner_text()))
    return seen


# --- lectures -------------------------------------------------------------------------------------------------------


def test_lecture_01_runs_and_its_stepper_steps(lab):
    lab.open("notebooks/01-convolution.ipynb")
    lab.run_all()
    assert lab.unexpected_errors() == []
    cell = lab.cell(lab.find("interactive.convolution_stepper(image, kernel)"))
    cell.locator(".noUi-handle").wait_for()
    before, after = move(lab, cell, times=2)
    lab.shot("stepper")
    assert before[0] != after[0]
    assert before[1].startswith("row 0, column 0:") and after[1].startswith("row 0, column 2:")
    cell.get_by_role("button", name="Back").click()  # and by mouse
    cell.locator('[role="status"]', has_text="row 0, column 1:").wait_for()


def test_lecture_11_runs_and_its_capsule_draws(lab):
    lab.open("notebooks/11-capsnet.ipynb")
    lab.run_all()
    assert lab.unexpected_errors() == []
    cell = lab.cell(lab.find('capsule_sliders(mnist_net, kept["v"][14])'))
    cell.locator(".noUi-handle").first.wait_for()
    assert cell.locator(".noUi-handle").count() == 16
    before, after = move(lab, cell, slider=4, times=3)
    lab.shot("capsule")
    assert before[0] != after[0] and before[1] != after[1] and "number 4 by 0.03" in after[1]

    cell = lab.cell(lab.find("interactive.digit_pad("))
    pen = cell.get_by_role("button", name="pen down")
    pen.focus()
    lab.page.keyboard.press("Space")
    cell.locator('[role="status"]', has_text="pen down at row 21").wait_for()
    before, after = move(lab, cell, slider=1, times=4)
    lab.shot("pad")
    assert before[0] != after[0] and "column 16" in after[1] and "LeNet-5 says" in after[1]
    cell.get_by_role("button", name="Clear").click()
    cell.locator('[role="status"]', has_text="nothing is drawn yet").wait_for()


# --- an exercise ----------------------------------------------------------------------------------------------------

WRONG = """def one_position(image, kernel, row, column):
    kh, kw = kernel.shape
    return image[row : row + kh, column : column + kw] * kernel
"""
RIGHT = WRONG.replace("return image", "return np.sum(image").replace("* kernel", "* kernel)")


def test_an_exercise_is_failed_hinted_and_solved(lab):
    lab.open("exercises/01-convolution.ipynb")
    for words in ("import zerohero as zh", "slide_image = np.array(", "def one_position("):
        lab.run(lab.find(words))
    task, check = lab.find("def one_position("), lab.find('zh.check("01.one_position"')

    lab.run(check)
    assert re.search("Not written yet|write your code", lab.output(check).inner_text())
    lab.shot("blank")

    lab.write(task, WRONG)
    lab.run(task)
    lab.run(check)
    said = lab.output(check)
    assert "Not yet" in said.inner_text()
    hint = said.locator("details", has_text="Hint").first
    assert not hint.locator("p").first.is_visible()
    hint.locator("summary").click()
    assert hint.locator("p").first.is_visible()
    lab.shot("hinted")

    lab.write(task, RIGHT)
    lab.run(task)
    lab.run(check)
    assert "Passed" in lab.output(check).inner_text()
    lab.shot("solved")
    lab.run(lab.find("if report.passed:"))
    assert "your number: -7" in lab.output(lab.find("if report.passed:")).inner_text()
