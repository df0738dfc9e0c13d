"""The one picture and what goes with it: a few cases that stand for the rest, and where we lose.

Drawn from ``results.json`` in git, or from a run, and nothing else. A bar is how many times as long
a client takes as ours does; one that would leave the chart is cut, and its end is torn.
"""

from dataclasses import dataclass
from html import escape
from typing import Final

from .chart import Layout, card, words_at
from .results import TIMES, about, short_ratio, short_time
from .summary import Summary
from .textwidth import width, wrapped

__all__ = ["PANELS", "Panel", "headline", "losses", "tables"]

CUT: Final = 6.0
LOST: Final = 0.95  # a peer that takes less of our time than this is a loss; above it is a tie


@dataclass(frozen=True, slots=True)
class Panel:
    """A case of the picture: its words, ours, and the other rows with the names readers know."""

    title: str
    group: str
    case: str
    ours: str
    rows: tuple[tuple[str, str, str], ...]  # label, name, kind


def _peers(*names: str) -> tuple[tuple[str, str, str], ...]:
    """Return the rows of peers that readers know by what their lines are called."""
    return tuple((name, name, "peer") for name in names)


_SINGLE: Final = (
    ("raw socket", "the limit: a raw socket", "floor"),
    *_peers("pylibmc", "libmc", "pymemcache"),
)
PANELS: Final = (
    Panel("100 keys, one server", "client", "Client: get of 100 keys", "Client, ASCII", _SINGLE),
    Panel(
        "100 keys, eight servers, the client's processor time",
        "sharded-processor",
        "get of 100 keys, 8 servers, processor time",
        "Client",
        (
            ("raw socket", "the limit: raw sockets", "floor"),
            *_peers("pylibmc", "libmc"),
            ("pymemcache HashClient", "pymemcache", "peer"),
        ),
    ),
    Panel(
        "asyncio, 100 tasks at once, the client's processor time",
        "asyncio",
        "get, 100 tasks, asyncio",
        "AsyncClient",
        (
            ("hand-written protocol", "by hand, in Python", "floor"),
            *_peers("emcache, autobatching", "aiomcache", "redis-py"),
        ),
    ),
    Panel("one key, one server", "client", "Client: get", "Client, ASCII", _SINGLE),
    Panel(
        "the text of an SQL query",
        "sql",
        "the query",
        "native",
        (
            ("by hand", "by hand, with %", "floor"),
            ("SQLAlchemy Core, cache hit", "SQLAlchemy Core, cached", "peer"),
            *_peers("PyPika"),
        ),
    ),
)


def headline(summary: Summary, layout: Layout) -> str:
    """Return the picture as SVG text."""
    narrow, margin = layout.above, layout.margin
    names = [name for panel in PANELS for _, name, _ in panel.rows]
    left = margin + max(width(name, 13) for name in names) + 14
    right = layout.width - margin - (58 if narrow else 96)
    at = (right - left) / CUT
    parts: list[str] = []

    def text(x: float, y: float, css: str, said: str, anchor: str = "start") -> None:
        parts.append(words_at(x, y, css, escape(said), anchor))

    y = 34.0
    text(margin, y, "title", "Time, in times of godropbox's")
    for note in wrapped("Shorter is better. godropbox is 1 in each case.", 12, layout.width - 40):
        y += 21
        text(margin, y, "note", note)
    top = y + 12
    y = top
    for panel in PANELS:
        for number, line in enumerate(wrapped(panel.title, 14, layout.width - 2 * margin - 30)):
            y += 28 if number == 0 else 18
            text(margin, y, "case", line)
        y += 8
        ours = summary.line(panel.group, panel.case, panel.ours)["time"]
        rows = [(panel.ours, "godropbox", "native"), *panel.rows]
        for label, name, kind in rows:
            ratio = summary.ratio(panel.group, panel.case, label, panel.ours)
            long = min(ratio, CUT) * at
            text(left - 10, y + 14, "ours" if kind == "native" else "row", name, "end")
            end = left + long
            shape = f"M{left:.1f} {y + 3:.1f}H{end:.1f}v14H{left:.1f}z"
            if ratio > CUT:  # a torn end
                shape = f"M{left:.1f} {y + 3:.1f}H{end:.1f}l-4 4.7l4 4.7l-4 4.6H{left:.1f}z"
            parts.append(f'<path d="{shape}" class="{kind}"/>')
            said = short_time(ours) if kind == "native" else short_ratio(ratio)
            text(end + 8, y + 14, "ours" if kind == "native" else "row", said)
            y += 22
    one = left + at
    parts.insert(0, f'<path d="M{one:.1f} {top + 30:.1f}V{y:.1f}" class="grid"/>')
    env = about({"environment": summary.environment(PANELS[0].group)})
    y += 26
    foot = f"{env[0]}; {env[1]}; {env[2]}; {env[4]}; {env[5]}."
    for note in wrapped(foot, 12, layout.width - 2 * margin):
        text(margin, y, "note", note)
        y += 17
    said = "Time of each client in times of godropbox&#39;s"
    return card(layout.width, round(y + 2), said, parts)


def losses(summary: Summary) -> str:
    """Return a Markdown table of the cases in which another library is faster at the same work."""
    found = []
    for case in summary.cases:
        for line in case["lines"]:
            lost = line["kind"] == "peer" and not line["other"] and line["to_ours"]
            if lost and line["to_ours"] < LOST:
                found.append((1 / line["to_ours"], case, line["label"]))
    rows = [
        f"| {case['group']} | {case['case']} | {label} | {ratio:.2f} |"
        for ratio, case, label in sorted(found, key=lambda each: -each[0])
    ]
    head = "| group | case | faster | our time, in times of its |"
    return "\n".join(["", "", head, "| --- | --- | --- | ---: |", *rows, "", ""])


def tables(summary: Summary) -> str:
    """Return every case as Markdown: our time, and the others in times of it."""
    out: list[str] = [""]
    group = ""
    for case in summary.cases:
        if case["group"] != group:
            group = case["group"]
            out += ["", f"### {case['title']}", ""]
            out += [
                f"`bench/run --group {group}`; run of {case['run']}; time per {case['unit']}.",
                "",
            ]
            out += ["| case | godropbox | the others, in times of it |", "| --- | ---: | --- |"]
        ours = next((x for x in case["lines"] if x["label"] == case["ours"] and x["time"]), None)
        if ours is None:
            continue
        others = [
            f"{line['label']}{' †' * line['other']} {short_ratio(line['to_ours']).rstrip(TIMES)}"
            for line in sorted(case["lines"], key=lambda line: line["to_ours"] or 0)
            if line["to_ours"] and line is not ours
        ]
        cells = (case["case"], short_time(ours["time"]), ", ".join(others))
        out.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join([*out, "", ""])
