"""Tables and bars for a terminal, as plain aligned text or by the library rich; no other output.

A cell is a text and a tone, one of ``TONES``, which rich shows as a colour and plain text does not.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Final

__all__ = ["TONES", "Cell", "Screen", "Table", "bar", "count", "share", "size", "span"]

TONES: Final = {"": "", "good": "green", "bad": "bold red", "dim": "dim", "strong": "bold"}


@dataclass(frozen=True, slots=True)
class Cell:
    """A text and its tone."""

    text: str
    tone: str = ""


@dataclass(slots=True)
class Table:
    """Rows of cells under `heads`; a head that begins with ``>`` is of a column of numbers.

    `title` stands above it.
    """

    heads: Sequence[str]
    title: str = ""
    rows: list[Sequence[Cell | str]] = field(default_factory=list)

    def add(self, *cells: Cell | str) -> None:
        """Add a row, a cell for each head."""
        self.rows.append(cells)

    def lines(self) -> list[str]:
        """Return the table as lines of plain text."""
        heads = [head.lstrip(">") for head in self.heads]
        texts = [[_cell(each).text for each in row] for row in self.rows]
        widths = [max(len(each) for each in column) for column in zip(heads, *texts, strict=True)]
        found = [self.title] if self.title else []
        for row in ([heads] if any(heads) else []) + texts:
            parts = [
                each.rjust(width) if head.startswith(">") else each.ljust(width)
                for each, width, head in zip(row, widths, self.heads, strict=True)
            ]
            found.append("  ".join(parts).rstrip())
        return found


class Screen:
    """Where a command prints: standard output, with rich if there is rich and it is a terminal."""

    def __init__(self, out: IO[str] | None = None, plain: bool = False) -> None:
        self.out: Final = sys.stdout if out is None else out
        self.is_terminal: Final = self.out.isatty()
        self.console: Final[Any] = None if plain or not self.is_terminal else _console(self.out)
        encoding = getattr(self.out, "encoding", None) or "ascii"
        self.block: Final = "█" if _encodes("█", encoding) else "#"

    def show(self, *parts: Table | str) -> None:
        """Print tables and lines of text, each after the other."""
        for part in parts:
            if self.console is not None:
                self.console.print(self.drawn(part), soft_wrap=not isinstance(part, Table))
            elif isinstance(part, Table):
                self.out.write("\n".join([*part.lines(), ""]))
            else:
                self.out.write(f"{part}\n")
        self.out.flush()

    def drawn_all(self, parts: Iterable[Table | str]) -> Any:
        """Return parts as rich shows them, each after the other."""
        from rich.console import Group

        return Group(*map(self.drawn, parts))

    def drawn(self, part: Table | str) -> Any:
        """Return a part as rich shows it."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table as Rich
        from rich.text import Text

        if not isinstance(part, Table):
            return Text(part)
        table = Rich(
            title=part.title or None,
            title_justify="left",
            title_style="bold",
            box=SIMPLE_HEAD,
            show_header=any(head.lstrip(">") for head in part.heads),
            show_edge=False,
            padding=(0, 1, 0, 0),
            header_style="bold",
        )
        for head in part.heads:
            is_number = head.startswith(">")
            table.add_column(
                head.lstrip(">"), justify="right" if is_number else "left", no_wrap=True
            )
        for row in part.rows:
            cells = [_cell(each) for each in row]
            table.add_row(*(Text(each.text, TONES[each.tone]) for each in cells))
        return table


def _console(out: IO[str]) -> Any:
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(file=out, highlight=False, soft_wrap=False)


def _encodes(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _cell(value: Cell | str) -> Cell:
    return Cell(value) if isinstance(value, str) else value


def bar(value: float, most: float, width: int, block: str = "█") -> str:
    """Return a bar of at most `width` blocks; what is above 0 has one at least."""
    if value <= 0 or most <= 0:
        return ""
    return block * max(1, round(width * min(1.0, value / most)))


def count(number: float | None) -> str:
    """Return a number with its thousands apart, ``-`` for None."""
    return "-" if number is None else f"{number:,.0f}"


def share(value: float | None) -> str:
    """Return a share as percent, ``-`` for None."""
    if value is None:
        return "-"
    return f"{value:.1%}"


def size(number: float | None) -> str:
    """Return bytes in the unit that suits, ``-`` for None."""
    if number is None:
        return "-"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:,.0f} B" if unit == "B" else f"{number:,.1f} {unit}"
        number /= 1024
    return f"{number:,.1f} TiB"


def span(seconds: float | None) -> str:
    """Return a time in the unit that suits, ``-`` for None."""
    if seconds is None:
        return "-"
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} us"
    if seconds < 1:
        return f"{seconds * 1e3:.1f} ms"
    for unit, length in (("s", 60.0), ("min", 60.0), ("h", 48.0)):
        if seconds < length:
            return f"{seconds:.3g} {unit}"
        seconds /= 60 if unit != "h" else 24
    return f"{seconds:.1f} d"
