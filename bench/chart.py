"""A group's chart as SVG text, drawn from the records of its cases and nothing else.

One panel a case, one bar a row, the fastest first, and one time axis for all panels. The axis is
logarithmic where the times differ by more than `LINEAR`, and says so. Two layouts: wide, with
the labels beside the bars, and narrow, with the labels above them, for a phone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

from .results import TIMES, Line, lines_of, short_ratio, short_time, tick_time
from .textwidth import width, wrapped

__all__ = ["NARROW", "STYLE", "WIDE", "Layout", "card", "chart", "words_at"]

LINEAR = 30  # the greatest ratio of two times that bars from zero show well

# Colours by name, light and dark. Plain rules, for not every reader of SVG knows CSS variables.
_COLOURS = {
    ".card": ("fill:#fff;stroke:#d8dee4", "fill:#12161c;stroke:#2d343d"),
    "text": ("fill:#1f2328", "fill:#e8ebef"),
    ".note,.dim": ("fill:#656d76", "fill:#98a1ac"),
    ".grid": ("stroke:#e6eaef", "stroke:#272d36"),
    ".native": ("fill:#0061fe", "fill:#4a90ff"),
    ".pure": ("fill:#94bcff", "fill:#2c518f"),
    ".peer": ("fill:#bcc4ce", "fill:#4d5763"),
    ".floor": ("fill:#ffd9bd;stroke:#d4590a", "fill:#4a2c17;stroke:#ff9a4d"),
    ".mark": ("stroke:#d4590a", "stroke:#ff9a4d"),
    ".spread": ("stroke:#1f2328", "stroke:#fff"),
    ".value": ("stroke:#fff", "stroke:#12161c"),
}


def _colours(theme: int) -> str:
    rules = []
    for names, values in _COLOURS.items():
        selector = ",".join(f".gb {name}" for name in names.split(","))
        rules.append(f"{selector}{{{values[theme]}}}")
    return "\n".join(rules)


STYLE = f"""
.gb{{font-family:-apple-system,BlinkMacSystemFont,"Segoe UI",Roboto,"Helvetica Neue",Arial,
sans-serif}}
.gb .title{{font-size:18px;font-weight:650}}.gb .case{{font-size:14px;font-weight:650}}
.gb .row,.gb .value{{font-size:13px}}.gb .ours{{font-size:13px;font-weight:650}}
.gb .value{{font-variant-numeric:tabular-nums;stroke-width:6px;stroke-linejoin:round;
paint-order:stroke}}.gb .note{{font-size:12px;font-weight:400}}
.gb .mark{{stroke-dasharray:4 3;stroke-width:1.5}}.gb .spread{{stroke-opacity:.6;stroke-width:1.5}}
{_colours(0)}
@media(prefers-color-scheme:dark){{
{_colours(1)}
}}
"""


@dataclass(frozen=True, slots=True)
class Layout:
    """Measures in pixels: of the card, the plot's left and right edge, a row, its bar."""

    width: int
    left: int
    right: int
    pitch: int
    bar: int
    above: bool

    @property
    def span(self) -> int:
        return self.right - self.left

    @property
    def margin(self) -> int:
        return 20 if self.above else 24


WIDE = Layout(width=860, left=226, right=690, pitch=27, bar=17, above=False)
NARROW = Layout(width=380, left=20, right=360, pitch=44, bar=14, above=True)


@dataclass(frozen=True, slots=True)
class Axis:
    """Times to places: from zero, or logarithmic from `low`."""

    low: float
    high: float
    log: bool
    layout: Layout

    def at(self, seconds: float) -> float:
        """Return the place of a time."""
        if self.log:
            share = math.log(max(seconds, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = seconds / self.high
        return self.layout.left + self.layout.span * share

    def ticks(self) -> list[float]:
        """Return the times that have a line."""
        if self.log:
            decades = math.floor(math.log10(self.high / self.low))
            each = math.ceil(decades / (self.layout.span // 50))
            return [self.low * 10**i for i in range(0, decades + 1, each)]
        rough = self.high / 5
        size = 10 ** math.floor(math.log10(rough))
        step = next(size * n for n in (1, 2, 5, 10) if size * n >= rough)
        return [step * i for i in range(int(self.high / step) + 1)]


def _axis(lines: Sequence[Line], layout: Layout) -> Axis:
    times = [line.time for line in lines if line.time]
    low, high = min(times, default=1e-9), max(times, default=1e-6)
    if high / low <= LINEAR:
        return Axis(0.0, high * 1.02, False, layout)
    # A decade's edge too near the fastest bar would leave it no length to be seen by.
    bottom = math.floor(math.log10(low / 1.25))
    return Axis(10.0**bottom, high * 1.05, True, layout)


def _label(line: Line) -> str:
    return f"{line.label} \N{DAGGER}" if line.other else line.label


def _value_words(line: Line, record: dict[str, Any]) -> tuple[str, str]:
    """Return what stands at a bar that was timed: its time, and its ratio to the floor."""
    if line.label == record["floor"]:
        return short_time(line.time), f"1{TIMES}" if record["base"] else "the floor"
    if line.to_floor is None:
        return short_time(line.time), ""
    return short_time(line.time), short_ratio(line.to_floor, record["base"])


def _fitted(records: Sequence[dict[str, Any]], layout: Layout) -> Layout:
    """Return the layout with room for all labels at the left and all values at the right."""
    if layout.above:
        return layout
    lines = [(line, record) for record in records for line in lines_of(record)]
    bold = [line.kind == "native" for line, _ in lines]
    left = max(width(_label(line), 13, b) for (line, _), b in zip(lines, bold, strict=True))
    values = [
        width(time, 13, b) + 8 + width(ratio, 13)
        for ((line, record), b) in zip(lines, bold, strict=True)
        if line.time
        for time, ratio in [_value_words(line, record)]
    ]
    right = layout.width - layout.margin - 9 - max(values, default=0.0)
    return replace(
        layout,
        left=max(layout.left, math.ceil(layout.margin + left + 12)),
        right=min(layout.right, math.floor(right)),
    )


class _Sheet:
    """A chart being drawn downwards: `y` is how far it has come; layers keep what covers what."""

    def __init__(self, records: Sequence[dict[str, Any]], layout: Layout) -> None:
        self.lines = [line for record in records for line in lines_of(record)]
        self.layout = layout = _fitted(records, layout)
        self.axis = _axis(self.lines, layout)
        self.unit: str = records[0]["unit"]
        self.base = all(record["base"] for record in records)
        self.y = 0.0
        self._spread = False
        self._layers: dict[str, list[str]] = {"grid": [], "bars": [], "marks": [], "words": []}

    def words(self, x: float, y: float, css: str, words: str, anchor: str = "start") -> None:
        """Write a text."""
        self._layers["words"].append(words_at(x, y, css, words, anchor))

    def rule(self, layer: str, x: float, top: float, css: str) -> None:
        """Draw an upright line from `top` to where the sheet has come."""
        line = f'<path d="M{x:.1f} {top:.1f}V{self.y:.1f}" class="{css}" fill="none"/>'
        self._layers[layer].append(line)

    def head(self, title: str) -> None:
        """Write the title, what is shown, and what the colours mean."""
        margin = self.layout.margin
        self.words(margin, 34, "title", escape(title))
        self.words(margin, 55, "note", f"time per {self.unit}: shorter is better")
        names = {
            "native": "godropbox, compiled",
            "pure": "godropbox, pure Python",
            "peer": "other libraries",
            "floor": "what ratios are to" if self.base else "the floor",
        }
        x, self.y = float(margin), 79.0
        for kind in names:
            if any(line.kind == kind for line in self.lines):
                room = 16 + width(names[kind], 12)
                if x + room > self.layout.width - margin and x > margin:
                    x, self.y = float(margin), self.y + 19
                box = f'x="{x:.1f}" y="{self.y - 10:.1f}" width="11" height="11" rx="2"'
                self._layers["words"].append(f'<rect {box} class="{kind}"/>')
                self.words(x + 16, self.y, "note", names[kind])
                x += room + 18
        self.y += 16

    def panel(self, record: dict[str, Any]) -> None:
        """Draw a case."""
        margin, room = self.layout.margin, self.layout.width - 2 * self.layout.margin
        name, about = record["case"], record["case_about"]
        beside = width(name, 14, True) + 8 + width(about, 12) <= room
        after = f'<tspan dx="8" class="note">{escape(about)}</tspan>' if beside and about else ""
        for number, part in enumerate(wrapped(name, 14, room * 0.88)):
            self.words(margin, self.y + 17, "case", escape(part) + after * (number == 0))
            self.y += 18
        self.y += 8
        if about and not beside:
            for part in wrapped(about, 12, room):
                self.words(margin, self.y + 7, "note", escape(part))
                self.y += 17
        top = self.y
        lines = sorted(lines_of(record), key=lambda line: (not line.time, line.time))
        for line in lines:
            self._row(line, record)
        for tick in self.axis.ticks():
            self.rule("grid", self.axis.at(tick), top, "grid")
        for line in lines:
            if line.label == record["floor"] and line.time:
                self.rule("marks", self.axis.at(line.time), top, "mark")
        self.y += 12

    def _row(self, line: Line, record: dict[str, Any]) -> None:
        layout = self.layout
        bar = self.y + (layout.pitch - layout.bar) / 2 + (9 if layout.above else 0)
        y = bar - 7 if layout.above else bar + layout.bar / 2 + 4.5
        css = "value ours" if line.kind == "native" else "value"
        label = escape(_label(line))
        if layout.above:
            self.words(layout.left, y, css, label)
        else:
            self.words(layout.left - 12, y, css, label, "end")
        if line.time:
            self._bar(line, bar)
        if layout.above:
            self.words(layout.right, y, "value", self._value(line, record), "end")
        else:
            end = self.axis.at(max(line.time, line.high)) if line.time else layout.left
            self.words(end + 9, y, "value", self._value(line, record))
        self.y += layout.pitch

    def _value(self, line: Line, record: dict[str, Any]) -> str:
        """Return what stands at a bar: its time, and its ratio to the floor."""
        if not line.time:
            why = line.why if len(line.why) < 60 else line.why[:59] + "…"
            said = line.status if self.layout.above else f"{line.status}: {why}"
            return f'<tspan class="note">{escape(said)}</tspan>'
        time, ratio = _value_words(line, record)
        weight = "ours" if line.kind == "native" else "row"
        return f'<tspan class="{weight}">{time}</tspan><tspan dx="8" class="dim">{ratio}</tspan>'

    def _bar(self, line: Line, y: float) -> None:
        left, height = self.layout.left, self.layout.bar
        length = max(self.axis.at(line.time) - left, 2.0)
        r = min(3.0, length / 2)
        outline = (
            f"M{left} {y:.1f}h{length - r:.1f}a{r} {r} 0 0 1 {r} {r}v{height - 2 * r:.1f}"
            f"a{r} {r} 0 0 1 -{r} {r}h-{length - r:.1f}z"
        )
        self._layers["bars"].append(f'<path d="{outline}" class="{line.kind}"/>')
        low, high, middle = self.axis.at(line.low), self.axis.at(line.high), y + height / 2
        if high - low > 2:  # a shorter one cannot be told from the bar's end
            self._spread = True
            spread = f'<path d="M{low:.1f} {middle:.1f}H{high:.1f}" class="spread"/>'
            self._layers["bars"].append(spread)

    def foot(self, about: str) -> None:
        """Write the axis and the notes."""
        layout, axis = self.layout, self.axis
        ticks = axis.ticks()
        for tick in ticks:
            self.words(axis.at(tick), self.y + 4, "note", tick_time(tick), "middle")
        if axis.log:
            factor = f"{round(ticks[1] / ticks[0]):,}"
            notes = [f"Logarithmic scale: each line is {factor} times the last."]
        else:
            notes = ["Linear scale, from zero."]
        notes.append("Dashed: what ratios are to.")
        if self._spread:
            notes.append("Thin line: the middle half of the rounds.")
        if any(line.other for line in self.lines):
            notes.append("†\N{NO-BREAK SPACE}computes another function; only the cost compares.")
        self.y += 26
        for note in notes if layout.above else [" ".join(notes)]:
            self._note(note)
        self._note(about)

    def _note(self, note: str) -> None:
        for words in wrapped(note, 12, self.layout.width - 2 * self.layout.margin):
            self.words(self.layout.margin, self.y, "note", escape(words))
            self.y += 17

    def svg(self, title: str) -> str:
        """Return the whole as SVG text."""
        parts = [part for layer in self._layers.values() for part in layer]
        return card(self.layout.width, round(self.y + 4), escape(title), parts)


def card(width: int, height: int, label: str, parts: Sequence[str], style: str = "") -> str:
    """Return a picture as SVG text, for those who cannot see it with a `label`, escaped."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="gb" role="img" width="{width}"'
            f' height="{height}" viewBox="0 0 {width} {height}" aria-label="{label}">',
            f"<style>{STYLE}{style}</style>",
            f'<rect class="card" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="10"/>',
            *parts,
            "</svg>\n",
        ]
    )


def words_at(x: float, y: float, css: str, words: str, anchor: str = "start") -> str:
    """Return a text, which is escaped already, at a place."""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} class="{css}">{words}</text>'


def chart(records: Sequence[dict[str, Any]], layout: Layout, about: str) -> str:
    """Return the SVG of a group's cases; `about` is the line that says what ran and where."""
    sheet = _Sheet(records, layout)
    sheet.head(records[0]["title"])
    for record in records:
        sheet.panel(record)
    sheet.foot(about)
    return sheet.svg(records[0]["title"])
