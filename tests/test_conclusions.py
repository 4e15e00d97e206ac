"""docs/conclusions.md says what the recordings say: each number is computed again, each command compared."""

import json
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
PAGE, RESULTS = ROOT / "docs" / "conclusions.md", ROOT / "experiments" / "results"
pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="the page lies in a checkout only")


def recorded(name):
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def of(content, **variant):
    """The measurements of a variant, in the order of their seeds."""
    found = [m for m in content["measurements"] if variant.items() <= m["variant"].items()]
    assert found, f"no measurement has {variant}"
    return sorted(found, key=lambda m: m["variant"].get("seed", 0))


def shares(measurements, right="right", examples="examples"):
    return ", ".join(f"{100 * m[right] / m[examples]:.1f}" for m in measurements) + " %"


def transforming(content):
    return [
        f"{units} units: R² " + ", ".join(f"{np.mean(m['r2']):.2f}" for m in of(content, recognition_units=units))
        for units in (3, 10)
    ]


def matrix(content):
    return [", ".join(f"{100 * m['test_accuracy']:.1f}" for m in of(content, iterations=2)) + " %"]


def overlapping(content):
    runs = {name: of(content, network=name.lower()) for name in ("CapsNet", "CNN")}
    return [f"{name}: {shares(each, 'both_right', 'pairs')}" for name, each in runs.items()]


def few_images(content):
    sizes = sorted({m["variant"]["images"] for m in content["measurements"] if "images" in m["variant"]})
    return [
        f"{name}, {images} of each: {shares(of(content, network=name.lower(), images=images))}"
        for images in sizes
        for name in ("CapsNet", "CNN")
    ]


def affine(content):
    """Where each training first reaches the clean accuracy that all reach, between two looks; and the difference."""
    runs = {name: of(content, network=name.lower()) for name in ("CapsNet", "CNN")}
    common = min(m["clean"][-1] for each in runs.values() for m in each)
    lines, at = [], {}
    for name, each in runs.items():
        at[name] = [np.interp(common, np.maximum.accumulate(m["clean"]), m["affine"]) for m in each]
        ends = ", ".join(f"{100 * m['clean'][-1]:.1f}" for m in each)
        robust = ", ".join(f"{100 * share:.1f}" for share in at[name])
        lines.append(f"{name} clean {ends} %; at {100 * common:.1f} % affine {robust} %")
    a, b = (np.array(each) for each in at.values())
    error = np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
    return [*lines, f"difference {100 * (a.mean() - b.mean()):+.1f} ± {100 * error:.1f} points"]


def reconstruction(content):
    kinds = ("no reconstruction", "paper's weight", "authors' weight", "paper's weight, stop-gradient")
    return [
        f"{kind}: " + ", ".join(str(m["examples"] - m["right"]) for m in of(content, kind=kind)) + " mistakes"
        for kind in kinds
    ]


def pose(content):
    return [
        f"{name}: " + ", ".join(f"{r2:.2f}" for r2 in of(content, network=name.lower())[0]["all"])
        for name in ("CapsNet", "CNN")
    ]


def iterations(content):
    lines = []
    for count in (1, 3, 10):
        runs = of(content, iterations=count)
        lines.append(f"{count}: {shares(runs)}")
    return lines


def untrained(content):
    (m,) = of(content, training="none")
    return [f"{100 * m['right'][0] / m['examples']:.1f} to {100 * m['right'][-1] / m['examples']:.1f} %"]


def picasso(content):
    lines = []
    for kind in ("CNN", "large CNN", "CapsNet"):
        called = [m["called a face"]["nose eyes mouth"] for m in of(content, kind=kind, negatives="others")]
        lines.append(f"{kind}: {sum(c for c, _ in called)} of {sum(n for _, n in called)}")
    return lines


ROWS = {
    "transforming_autoencoder": transforming,
    "matrix_capsules": matrix,
    "multimnist": overlapping,
    "images_per_class": few_images,
    "affine_robustness": affine,
    "reconstruction_weight": reconstruction,
    "capsule_pose": pose,
    "routing_iterations": iterations,
    "routing_alone": untrained,
    "picasso": picasso,
}


def rows():
    """The table's rows by experiment: (the row, its command)."""
    table = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and cells[3].startswith("`python experiments/"):
            command = cells[3].strip("`")
            table[command.split("/")[1].split(".py")[0]] = cells[1], command
    return table


def test_every_row_is_checked_and_every_check_has_its_row():
    assert rows().keys() == ROWS.keys()


@pytest.mark.parametrize("name", ROWS)
def test_a_row_says_what_was_recorded_and_how(name):
    numbers, command = rows()[name]
    content = recorded(name)
    assert command == content["command"]
    assert numbers == "; ".join(ROWS[name](content))
