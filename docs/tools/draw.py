"""Draws the diagrams of the concept pages as SVG: ``python docs/tools/draw.py``.

A diagram is a list of who takes part and what passes between them, downwards in time. Each box is
as wide as its words in DejaVu Sans, the widest font that a reader is likely to have.
"""

import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

from bench.textwidth import width  # needs the tree alone

IMAGES = Path(__file__).resolve().parents[1] / "img"
STYLE = """
.gd{font-family:-apple-system,BlinkMacSystemFont,"Segoe UI",Roboto,"Helvetica Neue",Arial,
sans-serif;font-size:13px}
.gd .card{fill:#fff;stroke:#d8dee4}.gd text{fill:#1f2328}.gd .dim{fill:#656d76;font-size:12px}
.gd .who{fill:#eaf2ff;stroke:#0061fe}.gd .line{stroke:#c3cad3;stroke-dasharray:3 4}
.gd .way{stroke:#0061fe;stroke-width:1.6;fill:none}.gd .tip{fill:#0061fe}
.gd .bad .way{stroke:#c4320a}.gd .bad .tip{fill:#c4320a}.gd .bad text{fill:#b3300a;font-weight:650}
.gd .good text{fill:#1a7f37;font-weight:650}.gd .back{fill:#fff}
@media(prefers-color-scheme:dark){
.gd .card{fill:#12161c;stroke:#2d343d}.gd text{fill:#e8ebef}.gd .dim{fill:#98a1ac}
.gd .who{fill:#15233a;stroke:#4a90ff}.gd .line{stroke:#3a424d}
.gd .way{stroke:#6ea8ff}.gd .tip{fill:#6ea8ff}
.gd .bad .way{stroke:#ff7a45}.gd .bad .tip{fill:#ff7a45}.gd .bad text{fill:#ff8f5e}
.gd .good text{fill:#57c46e}.gd .back{fill:#12161c}
}
"""


@dataclass(frozen=True, slots=True)
class Step:
    """A message from one to another, or with `to` the same a note at one; `tone`: good, bad."""

    of: int
    to: int
    words: str
    tone: str = ""


def sequence(who: list[str], steps: list[Step], title: str) -> str:
    """Return the drawing: a line for each who takes part, an arrow or a note for each step."""
    gap = 40.0
    for step in steps:
        span = max(abs(step.to - step.of), 1)
        gap = max(gap, (width(step.words, 13) + 34) / span)
    gap = max(gap, *(width(name, 13) + 44 for name in who))
    notes = [width(step.words, 13) / 2 + 14 for step in steps if step.of == step.to]
    margin = max(24 + width(who[0], 13) / 2, 24 + width(who[-1], 13) / 2, *notes, 60)
    total = round(margin * 2 + gap * (len(who) - 1))
    at = [margin + gap * n for n in range(len(who))]
    y, parts = 78.0, []
    for step in steps:
        parts.append(_step(step, at, y))
        y += 36
    height = round(y + 2)
    heads = []
    for x, name in zip(at, who, strict=True):
        half = width(name, 13) / 2 + 12
        heads.append(
            f'<path class="line" d="M{x:.0f} 46V{height - 14}"/>'
            f'<rect class="who" x="{x - half:.1f}" y="18" width="{half * 2:.1f}" height="28" '
            'rx="6"/>'
            f'<text x="{x:.0f}" y="37" text-anchor="middle">{escape(name)}</text>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="gd" role="img" width="{total}" '
        f'height="{height}" viewBox="0 0 {total} {height}" aria-label="{escape(title)}">'
        f"<style>{STYLE}</style>"
        f'<rect class="card" x=".5" y=".5" width="{total - 1}" height="{height - 1}" rx="10"/>'
        + "\n".join([*heads, *parts, "</svg>\n"])
    )


def _step(step: Step, at: list[float], y: float) -> str:
    left, right = at[step.of], at[step.to]
    words = escape(step.words)
    if step.of == step.to:
        half = width(step.words, 13) / 2 + 8
        return (
            f'<g class="{step.tone}"><rect class="back" x="{left - half:.1f}" y="{y - 15:.1f}" '
            f'width="{half * 2:.1f}" height="22"/><text x="{left:.1f}" y="{y:.1f}" '
            f'text-anchor="middle">{words}</text></g>'
        )
    turn = 1 if right > left else -1
    half, middle = width(step.words, 13) / 2 + 3, (left + right) / 2
    return (
        f'<g class="{step.tone}"><path class="way" d="M{left:.1f} {y:.1f}H{right - turn * 7:.1f}"/>'
        f'<path class="tip" d="M{right:.1f} {y:.1f}l{-turn * 9} -5v10z"/>'
        f'<rect class="back" x="{middle - half:.1f}" y="{y - 19:.1f}" width="{half * 2:.1f}" '
        f'height="16"/><text x="{middle:.1f}" y="{y - 6:.1f}" text-anchor="middle">{words}'
        "</text></g>"
    )


DRAWINGS = {
    "stale-read": sequence(
        ["reader", "cache", "database", "writer"],
        [
            Step(0, 1, "get: a miss"),
            Step(0, 2, "SELECT: gives the old value"),
            Step(3, 2, "UPDATE"),
            Step(3, 1, "delete: acknowledged"),
            Step(0, 1, "set the old value", "bad"),
            Step(1, 1, "stale until it expires", "bad"),
        ],
        "A plain cache-aside keeps an old value after a write",
    ),
    "consistent-read": sequence(
        ["reader", "cache", "database", "writer"],
        [
            Step(0, 1, "add a lease"),
            Step(0, 2, "SELECT: gives the old value"),
            Step(3, 1, "swap the lease for a sentinel"),
            Step(3, 2, "UPDATE"),
            Step(3, 1, "take the sentinel away"),
            Step(0, 1, "swap the lease for the value"),
            Step(1, 1, "refused: the lease is gone", "good"),
        ],
        "With leases and sentinels the late fill is refused",
    ),
    "lease": sequence(
        ["first caller", "memcached", "the others"],
        [
            Step(0, 1, "get: a miss, and the lease"),
            Step(2, 1, "get: a miss, another has the lease"),
            Step(0, 0, "loads the value"),
            Step(2, 2, "wait"),
            Step(0, 1, "set, if the lease still holds"),
            Step(2, 1, "get: the value"),
        ],
        "One caller of all loads a value that is missing",
    ),
    "cancelled": sequence(
        ["task A", "connection", "server", "task B"],
        [
            Step(0, 1, "get a"),
            Step(3, 1, "get b"),
            Step(1, 2, "get a b, in one write"),
            Step(0, 0, "is cancelled: leaves at once"),
            Step(2, 1, "the reply to a"),
            Step(1, 1, "read and dropped", "good"),
            Step(2, 1, "the reply to b"),
            Step(1, 3, "its own value", "good"),
        ],
        "A cancelled task leaves the connection in step",
    ),
}


def main() -> None:
    """Write the drawings."""
    for name, svg in DRAWINGS.items():
        (IMAGES / f"{name}.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
