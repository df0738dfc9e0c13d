"""Cost against size as SVG text: a curve for each client, with the limit drawn in.

Both axes are logarithmic. Drawn from ``results.json`` in git and nothing else. Two layouts: wide,
with each name beside the end of its curve, and narrow, for a phone, where a legend has them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Final

from .chart import NARROW, WIDE, Layout, card, words_at
from .results import about, short_time, tick_time
from .summary import Summary
from .textwidth import width, wrapped

__all__ = ["CURVES", "Curve", "charts", "curve"]

LIMIT: Final = "raw sockets"
_STYLE: Final = """
.gb .curve{fill:none;stroke-width:2;stroke-linejoin:round}
.gb .l-native{stroke:#0061fe;stroke-width:3}.gb .f-native{fill:#0061fe}
.gb .l-pure{stroke:#7faeff}.gb .f-pure{fill:#7faeff}
.gb .l-one{stroke:#5d6874}.gb .f-one{fill:#5d6874}
.gb .l-two{stroke:#8b7ac2}.gb .f-two{fill:#8b7ac2}
.gb .l-three{stroke:#2f9c8a}.gb .f-three{fill:#2f9c8a}
.gb .l-floor{stroke:#d4590a;stroke-dasharray:6 4}.gb .f-floor{fill:#d4590a}
@media(prefers-color-scheme:dark){
.gb .l-native{stroke:#4a90ff}.gb .f-native{fill:#4a90ff}
.gb .l-pure{stroke:#3a64ad}.gb .f-pure{fill:#3a64ad}
.gb .l-one{stroke:#a4afbb}.gb .f-one{fill:#a4afbb}
.gb .l-two{stroke:#b3a3e6}.gb .f-two{fill:#b3a3e6}
.gb .l-three{stroke:#4cc4b0}.gb .f-three{fill:#4cc4b0}
.gb .l-floor{stroke:#ff9a4d}.gb .f-floor{fill:#ff9a4d}
}
"""


@dataclass(frozen=True, slots=True)
class Curve:
    """A chart: the cases of a group by their size, and the rows by the names that readers see."""

    name: str
    title: str
    axis: str
    group: str
    cases: tuple[tuple[int, str], ...]
    rows: tuple[tuple[str, str, str], ...]  # label, name, colour


def _clients(floor: str, hash_client: str = "") -> tuple[tuple[str, str, str], ...]:
    return (
        (floor, LIMIT, "floor"),
        ("Client", "godropbox", "native"),
        ("pylibmc", "pylibmc", "one"),
        ("libmc", "libmc", "two"),
        (f"pymemcache{hash_client}", "pymemcache", "three"),
        ("Client, pure", "godropbox, pure", "pure"),
    )


CURVES: Final = (
    Curve(
        "scale-keys",
        "One call for many keys",
        "keys in a call",
        "scale-keys",
        tuple((n, f"{n:,} key{'s' * (n > 1)}") for n in (1, 10, 100, 1_000, 10_000, 100_000)),
        _clients("raw socket"),
    ),
    Curve(
        "scale-servers",
        "100 keys over many servers",
        "servers",
        "scale-servers",
        tuple((n, f"{n} server{'s' * (n > 1)}") for n in (1, 2, 5, 10, 20, 50, 100)),
        _clients("raw socket", " HashClient"),
    ),
    Curve(
        "fleet-get",
        "10,000 keys over many servers",
        "servers",
        "fleet-get",
        tuple((n, f"{n} server{'s' * (n > 1)}") for n in (1, 2, 5, 10, 20, 50, 100)),
        _clients(LIMIT, " HashClient"),
    ),
    Curve(
        "scale-tasks",
        "asyncio: many tasks, a get each",
        "tasks at once",
        "asyncio",
        (
            (1, "get in turn, asyncio"),
            (10, "get, 10 tasks, asyncio"),
            (100, "get, 100 tasks, asyncio"),
            (1_000, "get, 1,000 tasks, asyncio"),
        ),
        (
            ("hand-written protocol", "by hand, in Python", "floor"),
            ("AsyncClient", "godropbox", "native"),
            ("emcache, autobatching", "emcache", "one"),
            ("aiomcache", "aiomcache", "two"),
            ("redis-py", "redis-py", "three"),
            ("AsyncClient, pure", "godropbox, pure", "pure"),
        ),
    ),
)


class _Plot:
    """Sizes and times to places, both logarithmic."""

    def __init__(self, sizes: Sequence[float], times: Sequence[float], layout: Layout) -> None:
        names = 150 if not layout.above else 20
        self.left, self.right = 86.0 if not layout.above else 62.0, layout.width - names - 12.0
        self.top, self.bottom = 0.0, 0.0
        self.sizes = min(sizes), max(sizes)
        self.low = 10 ** math.floor(math.log10(min(times)))
        self.high = max(times) * 1.25

    def x(self, size: float) -> float:
        share = math.log(size / self.sizes[0]) / math.log(self.sizes[1] / self.sizes[0])
        return self.left + (self.right - self.left) * share

    def y(self, time: float) -> float:
        share = math.log(time / self.low) / math.log(self.high / self.low)
        return self.bottom - (self.bottom - self.top) * share


def _apart(places: list[float], gap: float) -> list[float]:
    """Return the places moved so far that each is at least `gap` from the next."""
    order = sorted(range(len(places)), key=places.__getitem__)
    moved = list(places)
    for _ in range(200):
        done = True
        for one, two in pairwise(order):
            if (lack := gap - (moved[two] - moved[one])) > 0.01:
                moved[one] -= lack / 2
                moved[two] += lack / 2
                done = False
        if done:
            break
    return moved


def _dot(x: float, y: float, radius: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" class="f-{colour}"/>'


def curve(chart: Curve, summary: Summary, layout: Layout, about: str) -> str:
    """Return the SVG of a chart; `about` is the line that says what ran and where."""
    unit = summary.case(chart.group, chart.cases[0][1])["unit"]
    points: dict[str, list[tuple[int, float]]] = {}
    for label, _, _ in chart.rows:
        points[label] = []
        for size, case in chart.cases:
            try:
                points[label].append((size, summary.line(chart.group, case, label)["time"]))
            except KeyError:
                continue  # it was not timed there
    rows = [row for row in chart.rows if points[row[0]]]
    times = [time for found in points.values() for _, time in found]
    plot = _Plot([size for size, _ in chart.cases], times, layout)
    margin, words, lines = layout.margin, [], []

    def text(x: float, y: float, css: str, said: str, anchor: str = "start") -> None:
        words.append(words_at(x, y, css, escape(said), anchor))

    text(margin, 34, "title", chart.title)
    text(margin, 55, "note", f"time per {unit}: lower is better")
    y = 66.0
    if layout.above:
        x, y = float(margin), 79.0
        for _, name, colour in rows:
            need = 22 + width(name, 12) + 14
            if x + need - 14 > layout.width - margin and x > margin:
                x, y = float(margin), y + 19
            lines.append(_dot(x + 5, y - 4, 5, colour))
            text(x + 16, y, "note", name)
            x += need
    plot.top = y + 14
    plot.bottom = plot.top + (280 if layout.above else 340)
    decade = plot.low
    while decade <= plot.high:
        at = plot.y(decade)
        lines.append(f'<path d="M{plot.left:.1f} {at:.1f}H{plot.right:.1f}" class="grid"/>')
        text(plot.left - 10, at + 4, "note", tick_time(decade), "end")
        decade *= 10
    skipped = plot.left - 99.0
    for size, _ in chart.cases:
        at = plot.x(size)
        lines.append(f'<path d="M{at:.1f} {plot.top:.1f}V{plot.bottom:.1f}" class="grid"/>')
        said = f"{size // 1000}k" if layout.above and size >= 1000 else f"{size:,}"
        half = width(said, 12) / 2
        if at - half > skipped:
            text(at, plot.bottom + 19, "note", said, "middle")
            skipped = at + half + 6
    text((plot.left + plot.right) / 2, plot.bottom + 39, "note", chart.axis, "middle")
    for label, _, colour in reversed(rows):
        path = "L".join(f"{plot.x(size):.1f} {plot.y(time):.1f}" for size, time in points[label])
        lines.append(f'<path d="M{path}" class="curve l-{colour}"/>')
        if colour != "floor":
            lines += [_dot(plot.x(size), plot.y(time), 3.5, colour) for size, time in points[label]]
    if not layout.above:
        ends = _apart([plot.y(points[label][-1][1]) for label, _, _ in rows], 17)
        for (label, name, colour), at in zip(rows, ends, strict=True):
            size, time = points[label][-1]
            end = plot.right + 20
            lines.append(
                f'<path d="M{plot.x(size):.1f} {plot.y(time):.1f}L{end - 4:.1f} {at:.1f}" '
                f'class="grid"/><circle cx="{end:.1f}" cy="{at:.1f}" r="4" class="f-{colour}"/>'
            )
            text(end + 10, at + 4.5, "ours" if colour == "native" else "row", name)
    ours = next(label for label, _, colour in rows if colour == "native")
    both = (points[ours][0], points[ours][-1])
    first, last = (f"{short_time(time)} at {size:,}" for size, time in both)
    notes = f"godropbox: {first}, {last} {chart.axis}. Both scales are logarithmic. {about}"
    y = plot.bottom + 64
    for note in wrapped(notes, 12, layout.width - 2 * margin):
        text(margin, y, "note", note)
        y += 17
    height = round(y + 2)
    return card(layout.width, height, escape(chart.title), [*lines, *words], _STYLE)


def _is_timed(chart: Curve, summary: Summary) -> bool:
    """Return whether our own line has a point: a server that did not start leaves none."""
    ours = next(label for label, _, colour in chart.rows if colour == "native")
    for _, case in chart.cases:
        try:
            summary.line(chart.group, case, ours)
        except KeyError:
            continue
        return True
    return False


def charts(summary: Summary) -> dict[str, tuple[str, str]]:
    """Return each chart, wide and narrow, of those whose group was raced."""
    raced = {case["group"] for case in summary.cases}
    made = {}
    for chart in CURVES:
        if chart.group in raced and _is_timed(chart, summary):
            env = summary.environment(chart.group)
            foot = "; ".join(about({"environment": env})[i] for i in (0, 1, 5)) + "."
            made[chart.name] = (
                curve(chart, summary, WIDE, foot),
                curve(chart, summary, NARROW, foot),
            )
    return made
