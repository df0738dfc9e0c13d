"""A plan as a picture: SVG text, drawn from the plan alone, for light and dark pages. No I/O.

At the left are the servers before, at the right those after, each as high as its share of the keys.
Between them are bands: pale ones of keys that stay, coloured ones of keys that move. Below stand
the shares that other shard functions would move.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from .planning import Plan
from .tables import count, share

__all__ = ["drawn"]

_WIDTH: Final = 860
_MARGIN: Final = 24
_POST: Final = 12  # the width of a server's bar
_ROW: Final = 26  # of a shard function
_LONGEST: Final = 26  # characters of a name
_NOBODY: Final = "no server"

# Colours by name, light and dark; plain rules, as not every reader of SVG knows CSS variables.
_COLOURS: Final = {
    ".card": ("fill:#fff;stroke:#d8dee4", "fill:#12161c;stroke:#2d343d"),
    "text": ("fill:#1f2328", "fill:#e8ebef"),
    ".note": ("fill:#656d76", "fill:#98a1ac"),
    ".server": ("fill:#8c96a3", "fill:#6b7684"),
    ".new": ("fill:#0061fe", "fill:#4a90ff"),
    ".gone": ("fill:#d4590a", "fill:#ff9a4d"),
    ".stay": ("fill:#8c96a3;fill-opacity:.18", "fill:#8c96a3;fill-opacity:.2"),
    ".move": ("fill:#0061fe;fill-opacity:.42", "fill:#4a90ff;fill-opacity:.5"),
    ".lost": ("fill:#d4590a;fill-opacity:.45", "fill:#ff9a4d;fill-opacity:.5"),
    ".bar": ("fill:#bcc4ce", "fill:#4d5763"),
    ".chosen": ("fill:#0061fe", "fill:#4a90ff"),
}


def _rules(theme: int) -> str:
    return "\n".join(
        f"{','.join(f'.gf {name}' for name in names.split(','))}{{{values[theme]}}}"
        for names, values in _COLOURS.items()
    )


_STYLE: Final = f"""
.gf{{font-family:-apple-system,BlinkMacSystemFont,"Segoe UI",Roboto,"Helvetica Neue",Arial,
sans-serif;font-size:12px}}
.gf .title{{font-size:18px;font-weight:650}}.gf .head{{font-size:13px;font-weight:650}}
.gf .ours{{font-weight:650}}.gf .number{{font-variant-numeric:tabular-nums}}
{_rules(0)}
@media(prefers-color-scheme:dark){{
{_rules(1)}
}}
"""


@dataclass(frozen=True, slots=True)
class _Post:
    """A server's bar: its name, its keys, and where it is."""

    name: str
    keys: int
    kind: str
    top: float
    height: float


def drawn(plan: Plan, title: str = "", note: str = "") -> str:
    """Return the picture of a plan as an SVG document.

    `title` and `note` stand above it; by default they say how many keys move.
    """
    parts: list[str] = []
    heads = title
    if not heads:
        heads = f"{share(plan.share)} of the keys move"
        if plan.regained:
            heads += f", {share(plan.missed)} of the reads that hit now miss at first"
    notes = note or (
        f"{len(plan.before)} servers before, {len(plan.after)} after, by {count(plan.keys)} keys"
    )
    parts.append(_text(_MARGIN, 38, heads, "title"))
    parts.append(_text(_MARGIN, 59, notes, "note"))
    bottom = 92.0
    if plan.keys:
        bottom = _flow(plan, parts)
    if plan.alternatives:
        bottom = _compared(plan, parts, bottom + 14)
    height = round(bottom + _MARGIN)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="gf" role="img" width="{_WIDTH}" '
        f'height="{height}" viewBox="0 0 {_WIDTH} {height}" aria-label="{escape(heads)}">'
        f"<style>{_STYLE}</style>"
        f'<rect class="card" x=".5" y=".5" width="{_WIDTH - 1}" height="{height - 1}" rx="10"/>'
        + "\n".join([*parts, "</svg>\n"])
    )


def _flow(plan: Plan, parts: list[str]) -> float:
    """Draw the servers and the bands between them; return how far down that goes."""
    is_nobody = [
        any(move.source is None for move in plan.moves),
        any(move.target is None for move in plan.moves),
    ]
    was, will = set(plan.before), set(plan.after)
    before = [
        (each.server, each.before or 0, "gone" if each.server not in will else "server")
        for each in plan.loads
        if each.server in was
    ]
    after = [
        (each.server, each.after or 0, "new" if each.server not in was else "server")
        for each in plan.loads
        if each.server in will
    ]
    for number, side in enumerate((before, after)):
        if is_nobody[number]:
            side.append((_NOBODY, plan.keys - sum(keys for _, keys, _ in side), "gone"))
    longest = max(len(before), len(after))
    gap = 10.0 if longest <= 12 else 6.0
    room = max(230.0, longest * 19.0 - gap)
    scale = (room - gap * (longest - 1)) / plan.keys
    top = 106.0
    left, right = _posts(before, top, gap, scale, room), _posts(after, top, gap, scale, room)
    chars = max(len(_short(post.name)) for post in (*left, *right))
    inset = _MARGIN + chars * 7 + 62
    x, end = float(inset), float(_WIDTH - inset - _POST)
    parts.append(_text(x + _POST, 92, "before", "head", "end"))
    parts.append(_text(end, 92, "after", "head"))
    parts.extend(_bands(plan, left, right, x + _POST, end))
    for posts, at, anchor in ((left, x, "end"), (right, end, "start")):
        lowest = top - 20
        for post in posts:
            height = max(post.height, 1.0)
            parts.append(
                f'<rect class="{post.kind}" x="{at:.1f}" y="{post.top:.1f}" width="{_POST}" '
                f'height="{height:.1f}" rx="2"/>'
            )
            lowest = max(post.top + post.height / 2 + 4, lowest + 14)
            words = at - 8 if anchor == "end" else at + _POST + 8
            name = f"<tspan>{escape(_short(post.name))}</tspan>"
            part = f'<tspan class="note number">{share(post.keys / plan.keys)}</tspan>'
            inner = f'{name} <tspan dx="4"/>{part}'
            css = "ours" if post.kind != "server" else ""
            parts.append(
                f'<text x="{words:.1f}" y="{lowest:.1f}" text-anchor="{anchor}" class="{css}">'
                f"<title>{escape(post.name)}: {count(post.keys)} keys</title>{inner}</text>"
            )
    return max(post.top + post.height for post in (*left, *right)) + 10


def _posts(
    servers: Sequence[tuple[str, int, str]], top: float, gap: float, scale: float, room: float
) -> list[_Post]:
    height = sum(keys for _, keys, _ in servers) * scale + gap * (len(servers) - 1)
    y = top + max(0.0, (room - height) / 2)
    posts = []
    for name, keys, kind in servers:
        posts.append(_Post(name, keys, kind, y, keys * scale))
        y += keys * scale + gap
    return posts


def _bands(
    plan: Plan, left: Sequence[_Post], right: Sequence[_Post], x: float, end: float
) -> Iterator[str]:
    """Yield the bands: those of keys that stay, then those of keys that move."""
    moves = {(move.source or _NOBODY, move.target or _NOBODY): move.keys for move in plan.moves}
    flows: dict[tuple[str, str], int] = {}
    for post in left:
        out = sum(keys for (source, _), keys in moves.items() if source == post.name)
        flows[post.name, post.name] = post.keys - out
    flows |= moves
    scale = next((post.height / post.keys for post in left if post.keys), 0.0)
    # Where each band begins and ends: in the order of the other side, so that few cross.
    starts: dict[tuple[str, str], float] = {}
    ends: dict[tuple[str, str], float] = {}
    for post in left:
        y = post.top
        for other in right:
            starts[post.name, other.name] = y
            y += flows.get((post.name, other.name), 0) * scale
    for post in right:
        y = post.top
        for other in left:
            ends[other.name, post.name] = y
            y += flows.get((other.name, post.name), 0) * scale
    later = []
    for (source, target), keys in flows.items():
        thick = keys * scale
        if thick < 0.25 or (source, target) not in starts or (source, target) not in ends:
            continue
        kind = "stay" if source == target else "lost" if target == _NOBODY else "move"
        a, b, half = starts[source, target], ends[source, target], (x + end) / 2
        band = (
            f'<path class="{kind}" d="M{x:.1f} {a:.2f}C{half:.1f} {a:.2f} {half:.1f} {b:.2f} '
            f"{end:.1f} {b:.2f}V{b + thick:.2f}C{half:.1f} {b + thick:.2f} {half:.1f} "
            f'{a + thick:.2f} {x:.1f} {a + thick:.2f}Z"><title>{escape(source)} to '
            f"{escape(target)}: {count(keys)} keys</title></path>"
        )
        if kind == "stay":
            yield band
        else:
            later.append(band)
    yield from later


def _compared(plan: Plan, parts: list[str], top: float) -> float:
    """Draw what each shard function would move; return how far down that goes."""
    parts.append(_text(_MARGIN, top + 12, "What each shard function would move", "head"))
    x, most = 150.0, 380.0
    y = top + 24
    for each in plan.alternatives:
        css = "ours" if each.is_chosen else ""
        kind = "chosen" if each.is_chosen else "bar"
        parts.append(_text(x - 12, y + 15, each.function, css, "end"))
        wide = max(1.0, most * each.moved)
        parts.append(
            f'<rect class="{kind}" x="{x:.1f}" y="{y + 3:.1f}" width="{wide:.1f}" height="16" '
            'rx="2"/>'
        )
        words = f"{share(each.moved)}; fullest server at {each.fullest:.2f} of the mean"
        parts.append(_text(x + wide + 8, y + 15, words, "note number"))
        y += _ROW
    return y


def _text(x: float, y: float, words: str, css: str, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{css}">{escape(words)}</text>'
    )


def _short(name: str) -> str:
    if len(name) <= _LONGEST:
        return name
    half = (_LONGEST - 1) // 2
    return f"{name[:half]}…{name[-half:]}"
