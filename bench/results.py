"""What is kept of a run: the records in ``results.json``, and how a figure is written.

A record is plain JSON; the report, the charts and the page are made from nothing else.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from statistics import quantiles
from typing import Any, Final

from .model import Case, Group, Within
from .runner import Outcome

__all__ = [
    "TIMES",
    "Line",
    "about",
    "lines_of",
    "race_record",
    "short_ratio",
    "short_time",
    "tick_time",
]

TIMES: Final = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True, slots=True)
class Line:
    """A row as it is reported; times are seconds an operation, ratios are to two rows."""

    label: str
    kind: str
    other: bool
    statement: str
    status: str
    why: str
    time: float = 0.0
    low: float = 0.0
    high: float = 0.0
    rounds: int = 0
    to_floor: float | None = None
    to_ours: float | None = None
    target: str = ""
    met: bool = False


def _judged(outcome: Outcome, by_label: dict[str, Outcome]) -> Iterator[tuple[str, bool]]:
    """Yield each target of the row in words and whether it is met, where it can be told."""
    for target in outcome.row.targets:
        if isinstance(target, Within):
            yield target.judge(outcome.time)
        elif (ratio := outcome.ratio(by_label.get(target.of))) is not None:
            yield target.judge(ratio)


def _line(outcome: Outcome, by_label: dict[str, Outcome], case: Case) -> Line:
    row = outcome.row
    told = (row.label, row.kind, row.other, row.statement, outcome.status, outcome.why)
    if not outcome.samples:
        return Line(*told)
    samples = sorted(outcome.samples.values())
    low, _, high = quantiles(samples, n=4, method="inclusive")
    judged = list(_judged(outcome, by_label))
    return Line(
        *told,
        time=outcome.time,
        low=low,
        high=high,
        rounds=len(samples),
        to_floor=outcome.ratio(by_label.get(case.floor)),
        to_ours=outcome.ratio(by_label.get(case.ours)),
        target="; ".join(words for words, _ in judged),
        met=bool(judged) and all(met for _, met in judged),
    )


def race_record(group: Group, case: Case, outcomes: list[Outcome]) -> dict[str, Any]:
    """Return the record of a case."""
    by_label = {outcome.row.label: outcome for outcome in outcomes}
    return {
        "group": group.name,
        "title": group.title,
        "about": group.about,
        "unit": group.unit,
        "base": case.base,
        "case": case.name,
        "case_about": case.about,
        "floor": case.floor,
        "ours": case.ours,
        "lines": [asdict(_line(outcome, by_label, case)) for outcome in outcomes],
    }


def lines_of(record: dict[str, Any]) -> list[Line]:
    """Return the lines of a case's record."""
    return [Line(**line) for line in record["lines"]]


def about(results: dict[str, Any]) -> list[str]:
    """Return what ran and where, in short pieces."""
    env = results["environment"]
    threads = ", free-threaded" if env["free_threaded"] else ""
    return [
        f"{env['cpu']}, {env['cores']} cores, {env['system']}",
        f"{env['python']}{threads}",
        f"godropbox {env['godropbox']} {env['implementation']}, SIMD {env['simd']}",
        f'a call of len(b"") takes {short_time(env["call"])}',
        f"two processes at once get {env['two']:.2f} times the work of one done",
        f"{env['date']}{', a quick run' if env['quick'] else ''}",
    ]


def _three_digits(value: float) -> str:
    if value >= 999.5:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:#.3g}".rstrip(".")


def _scaled(seconds: float) -> tuple[float, str]:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size * 0.9995:
            return seconds / size, unit
    return seconds * 1e9, "ns"


def short_time(seconds: float) -> str:
    """Return a time in the unit that reads best, to three digits."""
    value, unit = _scaled(seconds)
    return f"{_three_digits(value)} {unit}"


def tick_time(seconds: float) -> str:
    """Return a round time, as it stands at an axis."""
    value, unit = _scaled(seconds)
    return f"{value:.6g} {unit}"


def short_ratio(ratio: float, base: bool = False) -> str:
    """Return a ratio of times: plain, or to a base as how much faster or slower that is."""
    if not base or 0.95 < ratio < 1.05:
        return f"{_three_digits(ratio)}{TIMES}"
    if ratio < 1:
        return f"{_three_digits(1 / ratio)}{TIMES} faster"
    return f"{_three_digits(ratio)}{TIMES} slower"
