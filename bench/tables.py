"""What the tables of the report hold, as plain text: for Markdown and for the page alike."""

from itertools import groupby
from typing import Any

from .results import Line, lines_of, short_ratio, short_time

__all__ = ["by_group", "peers", "table", "title"]


def by_group(results: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """Return the records, a list for each group."""
    return [list(records) for _, records in groupby(results["races"], lambda r: r["group"])]


def peers(results: dict[str, Any]) -> list[str]:
    """Return the peers with their versions, or that they are not installed."""
    found = results["environment"]["peers"]
    return [f"{name} {version or '(not installed)'}" for name, version in found.items()]


def _cells(line: Line, record: dict[str, Any]) -> tuple[str, ...]:
    label = f"{line.label} †" if line.other else line.label
    if not line.time:
        return label, f"{line.status}: {line.why}", "", "", "", ""
    return (
        label,
        short_time(line.time),
        f"{short_time(line.low)} to {short_time(line.high)}",
        "" if line.to_floor is None else short_ratio(line.to_floor, record["base"]),
        "" if line.to_ours is None else short_ratio(line.to_ours),
        f"{'met' if line.met else 'missed'}: {line.target}" if line.target else "",
    )


def table(record: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the table of a case, its head first; no column of targets where there is none."""
    head = (
        "",
        f"time per {record['unit']}",
        "middle half of the rounds",
        f"to the {record['floor']}",
        f"to {record['ours']}",
        "target",
    )
    rows = [head, *(_cells(line, record) for line in lines_of(record))]
    return rows if any(row[-1] for row in rows[1:]) else [row[:-1] for row in rows]


def title(record: dict[str, Any]) -> str:
    """Return what stands over the table of a case."""
    return ", ".join(filter(None, (record["case"], record["case_about"])))
