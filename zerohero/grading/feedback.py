"""The page that a student gets back, as HTML. Everything that a student wrote is escaped; no script can run in it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from zerohero.checks.report import Report

STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222;
       background: #fff; }
section { margin: 2rem 0; }
h2 { font-size: 1.1rem; margin-bottom: 0.3rem; }
code, pre, table { font-family: ui-monospace, monospace; font-size: 0.9rem; }
pre { overflow-x: auto; }
td { padding: 0.1rem 0.6rem; text-align: right; }
caption { text-align: left; }
p { overflow-wrap: anywhere; }
"""


def page(student: str, exercise: str, reports: Sequence[Report], note: str = "") -> str:
    """Return the feedback page of one student: points, then for each task what the check says.

    Parameters
    ----------
    student : str
    exercise : str
        Its number.
    reports : sequence of Report
        One for each task, in its order.
    note : str
        What to say about the notebook as a whole.

    Examples
    --------
    >>> "<script>" in page("<script>", "01", [])
    False
    """
    points = sum(report.passed for report in reports)
    said = f"<p>{escape(note)}</p>" if note else ""
    sections = "".join(
        f"<section><h2>{escape(report.task.title)}</h2>{report._repr_html_()}</section>" for report in reports
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width">'
        f"<title>Exercise {escape(exercise)}: {escape(student)}</title><style>{STYLE}</style></head>"
        f"<body><h1>Exercise {escape(exercise)}</h1><p><strong>{escape(student)}</strong>: "
        f"{points} of {len(reports)} tasks solved</p>{said}{sections}</body></html>\n"
    )
