"""The page on reliability names tests that exist; a warning stops a kernel; what runs without a network has none."""

import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from packaging.version import Version

import notebooks

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")


def test_every_test_that_the_page_names_is_there():
    named = re.findall(r"`(tests/\w+\.py)(?:::(\w+))?", PAGE)
    assert len(named) >= 20
    for file, name in named:
        text = (ROOT / file).read_text(encoding="utf-8")
        assert not name or re.search(rf"^def {name}\(", text, re.M), f"{file} has no {name}"


def test_every_promise_names_what_holds_it():
    tables = re.findall(r"^\| what is promised \| held by \|\n\| --- \| --- \|\n((?:\|.*\n)+)", PAGE, re.M)
    promises = [line for table in tables for line in table.splitlines()]
    assert len(promises) >= 15 and all("`tests/" in line or "`tools/" in line for line in promises)


def test_what_continuous_integration_runs_with_the_oldest_packages_is_there():
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    for file in re.findall(r"tests/\w+\.py", workflow):
        assert (ROOT / file).is_file(), file


def test_the_oldest_packages_are_the_lower_bounds_of_pyproject():
    oldest = dict(re.findall(r"^([\w-]+)==([\d.]+)", (ROOT / "constraints-oldest.txt").read_text(), re.M))
    bounds = dict(re.findall(r"\"([\w-]+)>=([\d.]+)", (ROOT / "pyproject.toml").read_text()))
    for name, version in oldest.items():
        if name != "pyparsing":  # matplotlib's own
            assert Version(version) == Version(bounds[name]), name


@pytest.mark.parametrize("module, error", [("__main__", True), ("zerohero.nn.layers", True), ("numpy.linalg", False)])
def test_a_deprecation_stops_a_notebook_if_it_or_zerohero_calls_for_it(module, error, tmp_path):
    environment = notebooks.reader_environment(tmp_path)
    startup = Path(environment["IPYTHONDIR"], "profile_default", "startup", "00-warnings.py").read_text()
    with warnings.catch_warnings(record=True) as seen:
        exec(startup, {})
        for kind, stops in ((DeprecationWarning, error), (UserWarning, True), (RuntimeWarning, True)):
            raised = False
            try:
                warnings.warn_explicit("text", kind, "file.py", 1, module=module)
            except kind:
                raised = True
            assert raised == stops
    assert not seen


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="network namespaces are Linux's")
def test_without_a_network_nothing_but_this_machine_is_reached():
    code = """import socket
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname())
try:
    socket.create_connection(("192.0.2.1", 80), 3)
except OSError as error:
    print(error.strerror)"""
    line = [sys.executable, str(ROOT / "tools" / "no_network.py"), sys.executable, "-c", code]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    if "unshare failed" in done.stderr or "needs the command unshare" in done.stderr:
        pytest.skip(f"this machine gives no network namespace: {done.stderr.strip()}")
    assert (done.stdout, done.stderr) == ("Network is unreachable\n", "")
