"""Writes RESULTS.md: a line for each recording in `results/`, beside the paper's number where there is one.

    python experiments/results_page.py
"""

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE / "RESULTS.md"

# What papers report for the same question, not always on the same data.
SABOUR = "[Sabour et al. 2017](https://arxiv.org/abs/1710.09829)"
PAPERS = {
    "activation_functions": "six times fewer epochs with ReLU than with tanh, to 25 % training errors on CIFAR-10 "
    "([Krizhevsky et al. 2012](https://doi.org/10.1145/3065386), figure 1)",
    "affine_robustness": f"affNIST: CapsNet 79 %, CNN 66 % right ({SABOUR}, section 5.2)",
    "capsnet_full_size": f"0.25 % wrong ({SABOUR}, table 1)",
    "matrix_capsules": "1.8 % wrong on smallNORB, which is other data "
    "([Hinton et al. 2018](https://openreview.net/forum?id=HJWLfGWRb))",
    "multimnist": f"CapsNet 5.2 %, CNN 8.1 % wrong ({SABOUR}, table 1)",
    "plain_and_residual": "CIFAR-10, all images: ResNet-20 8.75 %, ResNet-56 6.97 % wrong "
    "([He et al. 2016](https://arxiv.org/abs/1512.03385), table 6)",
    "reconstruction_weight": f"MNIST: 0.35 % wrong without, 0.25 % with reconstruction ({SABOUR}, table 1)",
    "routing_iterations": f"MNIST: 0.29 % wrong with 1, 0.25 % with 3 ({SABOUR}, table 1)",
}


def page(folder: Path = HERE / "results") -> str:
    """The page for the recordings of a folder."""
    lines = [
        "# Recorded results",
        "",
        "Made from `results/*.json` by `python experiments/results_page.py`; don't edit it. A number is a mean over",
        "seeds where there are several. Beside it stands what a paper reports for the question: with more data, larger",
        "networks and longer training, so the two are no equals. [What held up](../docs/conclusions.md) judges.",
        "",
        "| question | measured here | a paper's number | command | seconds, machine, date |",
        "| --- | --- | --- | --- | --- |",
    ]
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        machine = content["machine"].get("gpu") or content["machine"]["processor"]
        seconds = round(sum(map(seconds_of, content["measurements"])))
        question = content["question"].split("\n")[0]
        cells = [f"[{question}](results/{path.name})", folded(measured(content)), PAPERS.get(path.stem, ""),
                 f"`{content['command']}`", f"{seconds}, {machine}, {content['date']}"]  # fmt: skip
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def folded(lines: list[str], most: int = 10) -> str:
    """The lines of a cell; many of them unfold when asked for."""
    text = "<br>".join(lines)
    return text if len(lines) <= most else f"<details><summary>{len(lines)} lines</summary>{text}</details>"


def seconds_of(each: dict[str, Any]) -> float:
    """How long a measurement took: "seconds" are those of its last start, the curves' those of all its epochs."""
    curves = each.get("curves")
    return max(each["seconds"], sum(curves.get("seconds", [])) if isinstance(curves, dict) else 0)


def measured(content: dict[str, Any]) -> list[str]:
    """One line for measurements that are alike but for their seed."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for each in content["measurements"]:
        name = ", ".join(f"{key} {value}" for key, value in each["variant"].items() if key not in ("seed", "rate"))
        if not {"rate_for", "choice", "picture"} & each["variant"].keys():  # choices of a rate; pictures
            groups.setdefault(name, []).append(each)
    rows = []
    for name, alike in groups.items():
        found = [text for text in (mean_of(alike, *what) for what in QUANTITIES) if text]
        seeds = f" ({len(alike)} seeds)" if len(alike) > 1 else ""
        rows += [f"{name or 'all'}: {found[0]}{seeds}"] if found else []
    rows += [f"{key}: {value:.4g}" for key, value in content.get("summary", {}).items() if isinstance(value, float)]
    for who, row in content.get("summary", {}).items():
        if isinstance(row, dict):
            words = [text.format(row[name]) for name, text in SUMMARY.items() if row.get(name) is not None]
            rows.append(f"{who}: {', '.join(words)}")
    return rows or [f"{len(content['measurements'])} measurements"]


def share(count: str, of: str):
    """The percentage `count` of `of`; of several counts the smallest and the largest."""

    def number(each: dict[str, Any]) -> list[float] | None:
        counts = each.get(count)
        if counts is None or of not in each:
            return None
        return [100 * value / each[of] for value in (counts if isinstance(counts, list) else [counts])]

    return number


def value(*path: str, factor: float = 1.0):
    """A number, or the last of a curve, that lies so deep in a measurement."""

    def number(each: Any) -> list[float] | None:
        for name in path:
            each = each.get(name) if isinstance(each, dict) else None
        if isinstance(each, list):
            each = each[-1] if each and not isinstance(each[-1], (list, dict)) else None
        return [factor * each] if isinstance(each, (int, float)) else None

    return number


# In what a result is given, and in which words: the first that a measurement has.
QUANTITIES = [
    (value("error_percent"), "{} % wrong"),
    (share("both_right", "pairs"), "{} % of pairs right"),
    (value("affine", factor=100), "{} % right on affine digits, at the end"),
    (share("right", "examples"), "{} % right"),
    (share("fooled", "examples"), "{} % fooled"),
    (value("test_accuracy", factor=100), "{} % right"),
    (value("curves", "val_accuracy", factor=100), "{} % right, at the end"),
    (value("held_out_accuracy", factor=100), "{} % of the held-out right"),
    (value("curves", "loss"), "loss {}, at the end"),
    (value("r2"), "R² {}, the last"),
    (value("ranks", "2", "efficiency", factor=100), "two ranks take their steps at {} % of one rank's speed"),
    (value("test_error"), "error {}"),
    (value("first_over_last"), "first convolution's over the last's {}, mean"),
]


# What a summary says, and in which words; busy moments of the machine make its seconds to a target uncertain.
SUMMARY = {
    "test_accuracy": "{:.2%} right",
    "test_accuracy_std": "standard deviation {:.2%}",
    "epoch_seconds": "an epoch {:.0f} s",
    "epoch_ratio": "{:.2f} times as long",
}


def mean_of(alike: list[dict[str, Any]], number, words: str) -> str:
    """A quantity of measurements, their mean; of a series its range. Empty if they don't have it."""
    found = [number(each) for each in alike]
    if any(each is None for each in found):
        return ""
    series = [value for each in found for value in each]
    if any(len(each) > 1 for each in found):
        return words.format(f"{min(series):.1f} to {max(series):.1f}")
    mean = sum(series) / len(series)
    return words.format(f"{mean:.2f}" if mean < 1 else f"{mean:.1f}")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
