"""Writes the report of a run: Markdown tables, SVG charts and the page, from ``results.json``."""

import argparse
import json
from pathlib import Path
from typing import Any

from .chart import NARROW, WIDE, chart
from .curve import charts as curves
from .headline import PANELS, headline
from .page import page
from .results import about
from .summary import SUMMARY, Summary
from .tables import by_group, peers, table, title

__all__ = ["main", "markdown"]

HERE = Path(__file__).resolve().parent
OUT = HERE / "out"
IMAGES = HERE.parent / "docs" / "img"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _table(record: dict[str, Any]) -> list[str]:
    head, *rows = (tuple(map(_escaped, row)) for row in table(record))
    lines = (head, ("---", *["---:"] * (len(head) - 1)), *rows)
    return ["", f"### {title(record)}", "", *(f"| {' | '.join(line)} |" for line in lines)]


def markdown(results: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    out = ["# Benchmarks", "", "; ".join(about(results)) + ".", ""]
    out.append(f"Peers: {', '.join(peers(results))}.")
    for records in by_group(results):
        out += ["", f"## {records[0]['title']}", "", records[0]["about"]]
        for record in records:
            out += _table(record)
    return "\n".join(out) + "\n"


def pictures(summary: Summary) -> dict[str, tuple[str, str]]:
    """Return what opens the page, wide and narrow: the headline, if it was raced, and curves."""
    raced = {case["group"] for case in summary.cases}
    first = {}
    if {panel.group for panel in PANELS} <= raced:
        first["headline"] = headline(summary, WIDE), headline(summary, NARROW)
    return first | curves(summary)


def keep(results: dict[str, Any]) -> None:
    """Put the run into the summary in git, and draw README's and the documentation's pictures."""
    known = Summary.read() if SUMMARY.exists() else Summary({}, [])
    summary = known.merged(results)
    summary.write()
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, (wide, narrow) in pictures(summary).items():
        (IMAGES / f"{name}.svg").write_text(wide, encoding="utf-8")
        (IMAGES / f"{name}-narrow.svg").write_text(narrow, encoding="utf-8")


def write(results: dict[str, Any], readme: bool) -> str:
    """Write everything, and return the Markdown."""
    text = markdown(results)
    (OUT / "report.md").write_text(text, encoding="utf-8")
    foot = "; ".join(about(results)) + "."
    charts = {}
    for records in by_group(results):
        name = records[0]["group"]
        charts[name] = chart(records, WIDE, foot), chart(records, NARROW, foot)
        (OUT / f"{name}.svg").write_text(charts[name][0], encoding="utf-8")
        if readme:
            IMAGES.mkdir(parents=True, exist_ok=True)
            (IMAGES / f"{name}.svg").write_text(charts[name][0], encoding="utf-8")
    if readme:
        keep(results)
    first = pictures(Summary({}, []).merged(results))
    html = page(results, by_group(results), charts, first)
    (OUT / "index.html").write_text(html, encoding="utf-8")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the report of bench/out/results.json.")
    parser.add_argument(
        "--readme",
        action="store_true",
        help="also put the run into bench/results.json and its charts into docs/img",
    )
    arguments = parser.parse_args()
    results = json.loads((OUT / "results.json").read_text(encoding="utf-8"))
    print(write(results, arguments.readme), end="")
