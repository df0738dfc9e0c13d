"""Prints a report: a line a use and a summary by library and kind, or one JSON object."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Final

from .tables import Fate
from .uses import Report, Use

__all__ = ["as_json", "as_text"]

SAME: Final = "the same"


def as_text(report: Report) -> Iterator[str]:
    """Yield the lines of a report."""
    libraries: dict[tuple[str, int, int], set[str]] = {}
    for use in report.uses:
        libraries.setdefault((use.path, use.line, use.column), set()).add(use.library)
    for use in report.uses:
        place = use.path, use.line, use.column
        if_several = f" ({use.library})" if len(libraries[place]) > 1 else ""
        yield f"{use.path}:{use.line}:{use.column}: {use.used}{if_several} -> {_becomes(use)}"
    for unread in report.unread:
        yield f"{unread.path}: not read: {unread.why}"
    yield from _summary(report)


def _becomes(use: Use) -> str:
    """Return what a use becomes, in words."""
    own = f"; our Client: {use.client}" if use.client else ""
    if use.fate is Fate.NONE:
        return f"NOTHING: {use.why}{own}"
    shown = use.face if use.kind in ("import", "setting", "string", "patch") else ""
    if use.fate is Fate.DIFFERS:
        return f"{shown}{shown and ', '}DIFFERS: {use.why}{own}"
    return f"{shown or SAME}{own}"


def _summary(report: Report) -> Iterator[str]:
    if report.uses:
        yield ""
    for library in sorted({use.library for use in report.uses}):
        uses = [use for use in report.uses if use.library == library]
        files = len({use.path for use in uses})
        fates = Counter(use.fate for use in uses)
        yield (
            f"{library}: {_count(len(uses), 'use')} in {_count(files, 'file')}: "
            f"{fates[Fate.SAME]} the same, {fates[Fate.DIFFERS]} with a difference, "
            f"{fates[Fate.NONE]} without a counterpart"
        )
        kinds = Counter(use.kind for use in uses)
        yield "  " + ", ".join(f"{kind} {kinds[kind]}" for kind in sorted(kinds))
    if not report.uses:
        yield "no use of another memcached client was found"
    left = f", {len(report.unread)} of which could not be read" if report.unread else ""
    yield f"{_count(report.files, 'file')} looked at{left}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def as_json(report: Report) -> str:
    """Return a report as a JSON object."""
    fates = Counter(use.fate for use in report.uses)
    kinds = Counter(use.kind for use in report.uses)
    return json.dumps(
        {
            "uses": [asdict(use) for use in report.uses],
            "unread": [asdict(unread) for unread in report.unread],
            "summary": {
                "files": report.files,
                "fates": {fate.value: fates[fate] for fate in Fate},
                "kinds": {kind: kinds[kind] for kind in sorted(kinds)},
            },
        },
        indent=2,
    )
