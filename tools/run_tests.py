"""Runs the parts of the tests one after another, counts and times them. What is tested stands elsewhere."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import no_network
import notebooks

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
TIME_LIMIT = 25 * 60  # seconds for one command: what hangs is a failure, not a wait
TWO_AT_ONCE = ["-n", "2", "--dist", "loadfile"]

Count = Counter[str]  # passed, failed, skipped


def files(pattern: str) -> list[str]:
    """Return the matching paths; the pattern itself if there is none, so that what runs next complains of it."""
    return sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(pattern)) or [pattern]


# --- the parts ------------------------------------------------------------------------------------------------


def lint(slow: bool) -> Count:
    """Each of these tools is one test."""
    return (
        check("ruff", "check", ".")
        + check("mypy")
        + check("tools/notebooks.py", "check", *files("notebooks/*.ipynb"), *files("solutions/*.ipynb"))
        + check("tools/notebooks.py", "check", *files("exercises/*.ipynb"))
        + check("tools/exercises.py", "--check")
    )


def unit(slow: bool) -> Count:
    return pytest("tests", "--ignore-glob=*/test_onnx*", *TWO_AT_ONCE, *(["-m", ""] if slow else []))


def onnx(slow: bool) -> Count:
    return pytest(*files("tests/test_onnx*.py"), *TWO_AT_ONCE)


def lectures(slow: bool) -> Count:
    return nbval(*files("notebooks/*.ipynb"))


def exercises(slow: bool) -> Count:
    return nbval(*files("solutions/*.ipynb"), *files("exercises/*.ipynb"))


def docs(slow: bool) -> Count:
    return pytest("--doctest-modules", "--doctest-glob=*.md", "zerohero", *files("*.md"), *files("docs/*.md"))


PARTS: dict[str, Callable[[bool], Count]] = {
    part.__name__: part for part in (lint, unit, onnx, lectures, exercises, docs)
}


# --- how a part runs ------------------------------------------------------------------------------------------


def check(tool: str, *arguments: str) -> Count:
    """Run a tool of this environment, or a script; it passes or it fails."""
    command = [PYTHON, tool] if tool.endswith(".py") else [PYTHON, "-m", tool]
    return Count(passed=1) if run([*command, *arguments]) == 0 else Count(failed=1)


def nbval(*paths: str) -> Count:
    """Run notebooks cell by cell and compare what they print with what they showed when they were committed."""
    limits = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout=300"]
    with tempfile.TemporaryDirectory() as empty:
        return pytest(*limits, *TWO_AT_ONCE, *paths, environment=notebooks.reader_environment(Path(empty)))


def pytest(*arguments: str, environment: dict[str, str] | None = None) -> Count:
    """Run pytest and read the counts from its report; a run that ended early or tested nothing is a failure."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        status = run([PYTHON, "-m", "pytest", "-q", f"--junitxml={report}", *arguments], environment)
        count = read_report(report) if report.exists() else Count()
    if not count["failed"] and (status != 0 or not count["passed"]):
        print(f"pytest ended with status {status} after {count['passed']} tests that passed")
        count["failed"] = 1
    return count


def read_report(report: Path) -> Count:
    """Sum the suites of a JUnit report."""
    count = Count()
    for suite in ElementTree.parse(report).iter("testsuite"):
        tests, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
        failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        count.update(passed=tests - failed - skipped, failed=failed, skipped=skipped)
    return count


def run(command: list[str], environment: dict[str, str] | None = None) -> int:
    """Run a command in the repository's root; after the time limit, end it with all that it started."""
    print(f"$ {' '.join(command).replace(PYTHON, 'python')}"[:200], flush=True)
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # two processes share two cores
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | one_thread | (environment or {}), start_new_session=True
    )
    try:
        return process.wait(TIME_LIMIT)
    except subprocess.TimeoutExpired:
        print(f"stopped after {TIME_LIMIT // 60} minutes")
        return 124
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


# --- what is said at the end ----------------------------------------------------------------------------------


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def summary(results: dict[str, tuple[Count, float]]) -> str:
    """Return the table of all parts; its last line is the sum, as `N passed, N failed, N skipped`."""
    rows = [f"{'part':<12}{'passed':>8}{'failed':>8}{'skipped':>9}{'time':>8}"]
    for part, (count, seconds) in results.items():
        counts = f"{count['passed']:>8}{count['failed']:>8}{count['skipped']:>9}"
        rows.append(f"{part:<12}{counts}{clock(seconds):>8}")
    total = sum((count for count, _ in results.values()), Count())
    rows.append(f"{'in all':<12}{'':>25}{clock(sum(seconds for _, seconds in results.values())):>8}")
    rows.append(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--slow", action="store_true", help="with the tests marked slow")
    parser.add_argument("--offline", action="store_true", help="in a network that has nothing but loopback (Linux)")
    arguments = parser.parse_args()
    if arguments.offline:
        again = [each for each in sys.argv if each != "--offline"]
        line = no_network.command([PYTHON, *again])
        os.execvp(line[0], line)
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        parser.error(f"no part is called {', '.join(unknown)}; there are {', '.join(PARTS)}")
    results: dict[str, tuple[Count, float]] = {}
    for part in arguments.parts or PARTS:
        print(f"\n=== {part} ===", flush=True)
        start = time.perf_counter()
        count = PARTS[part](arguments.slow)
        results[part] = count, time.perf_counter() - start
        print(f"{part}: {count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped", flush=True)
    print(f"\n{summary(results)}")
    return int(any(count["failed"] for count, _ in results.values()))


if __name__ == "__main__":
    sys.exit(main())
