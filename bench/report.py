"""Writes the report of a run: Markdown tables, SVG charts and the page, from ``results.json``."""

import argparse
import json
from pathlib import Path
from typing import Any

from .chart import NARROW, WIDE, chart
from .page import page
from .results import about
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
    html = page(results, by_group(results), charts)
    (OUT / "index.html").write_text(html, encoding="utf-8")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the report of bench/out/results.json.")
    parser.add_argument("--readme", action="store_true", help="write the charts to docs/img too")
    arguments = parser.parse_args()
    results = json.loads((OUT / "results.json").read_text(encoding="utf-8"))
    print(write(results, arguments.readme), end="")
