"""Raw fragments: text of the program, with encoded values where it has ``?``.

The text is read just far enough to find the placeholders, and to refuse what could change the text
around it: an open quote or parenthesis, a comment, a semicolon, a backslash in quotes.
"""

from . import _grammar
from ._base import depth_of, operand, write_operand
from ._names import shown
from ._nodes import Expression
from ._render import Renderer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["Raw", "raw_node"]

# Compiled, these are C variables.
LOOSE = _grammar.LOOSE
ATOM = _grammar.ATOM
UNKNOWN = _grammar.UNKNOWN

# What may stand right before and right after a value; between others a space is put, so that no
# minus, quote or letter of the text runs into a literal.
_BEFORE: "Final" = frozenset(" \t\n(,[")
_AFTER: "Final" = frozenset(" \t\n),]")


class Raw(Expression):
    """Text with values in it, made by ``raw``."""

    __slots__ = ("_hash", "_pieces", "_question", "_special", "_values")

    _hash: bool  # whether the text has a #, which opens a comment in some dialects
    _special: str  # what else it has outside of quotes that dialects read differently
    _pieces: "tuple[str, ...]"  # the text before each of _values, and after the last
    _question: bool  # whether the text has a question mark outside of quotes
    _values: "tuple[object, ...]"

    def _write(self, out: Renderer) -> int:
        pieces = self._pieces
        if self._hash:
            out.need("operators with #")
        # Where these are other characters, quotes would open and close elsewhere.
        if "`" in self._special:
            out.need("names in backquotes")
        if "[" in self._special:
            out.need("arrays")
        if self._question and out.mark == "?":
            raise ValueError("raw() with ?? needs another paramstyle than qmark, which reads it")
        for index in range(len(self._values)):
            out.text.put(out.written(pieces[index]))
            write_operand(out, self._values[index], ATOM)
        out.text.put(out.written(pieces[len(self._values)]))
        return 0


def raw_node(text: object, values: "tuple[object, ...]") -> Expression:
    """Return the fragment `text`, with `values` in place of each ``?``."""
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, got {shown(text)} ({type(text).__name__})")
    text = str.__str__(text)  # a subclass may override __str__
    pieces, plain, backquoted = _pieces(text)
    if len(pieces) != len(values) + 1:
        raise ValueError(
            f"raw() needs a value for each ? outside of quotes, got {len(values)} values for "
            f"{len(pieces) - 1} in {shown(text)}"
        )
    node = Raw.__new__(Raw)
    node._pieces = _spaced(pieces)
    node._values = tuple([operand(value) for value in values])
    node._hash = "#" in plain
    node._question = "??" in plain
    node._special = ("`" if backquoted else "") + ("[" if "[" in plain else "")
    node._prec = LOOSE
    node._kind = UNKNOWN
    node._depth = depth_of(node._values) + 1
    return node


def _opens_dollars(text: str, index: int) -> bool:
    """Return whether a dollar quote of PostgreSQL starts here."""
    if text[index] != "$":
        return False
    import re  # slow to import, so only here

    return re.compile(r"\$\w*\$").match(text, index) is not None


def _pieces(text: str) -> "tuple[list[str], str, bool]":
    """Return the text between the placeholders, all that is not in quotes, and whether there are
    backquotes, or raise.
    """
    pieces: list[str] = []
    backquoted = False
    piece = plain = ""
    closing = ""  # what the open parentheses need, the innermost first
    index = 0
    while index < len(text):
        char = text[index]
        pair = text[index : index + 2]
        if char in "'\"`":
            end = _quoted(text, index)
            backquoted = backquoted or char == "`"
            piece += text[index:end]
            index = end
            continue
        if pair in ("--", "/*", "*/") or char in ";\0\\" or _opens_dollars(text, index):
            raise ValueError(
                f"raw() takes no comment, no ; or \\ and no dollar quotes, got {shown(text)}"
            )
        if pair == "??":
            plain += pair
            piece += "?"
            index += 2
            continue
        index += 1
        if char == "?":
            pieces.append(piece)
            piece = ""
            continue
        plain += char
        piece += char
        if char in "([":
            closing = (")" if char == "(" else "]") + closing
        elif char in ")]":
            if not closing.startswith(char):
                raise ValueError(f"raw() has a {char} that closes nothing, got {shown(text)}")
            closing = closing[1:]
    if closing:
        raise ValueError(f"raw() misses a {closing[:1]}, got {shown(text)}")
    if not text.strip():
        raise ValueError("raw() needs text")
    pieces.append(piece)
    return pieces, plain, backquoted


def _quoted(text: str, start: int) -> int:
    """Return the position after the quoted text that starts at `start`."""
    end = text.find(text[start], start + 1)
    if end < 0:
        raise ValueError(f"raw() has an open quote, got {shown(text)}")
    if "\\" in text[start:end]:
        raise ValueError(
            "raw() takes no \\ in quotes, which dialects read differently: pass the text as a "
            f"value, got {shown(text)}"
        )
    return end + 1


def _spaced(pieces: "list[str]") -> "tuple[str, ...]":
    """Return the pieces with a space where a value would touch another character."""
    spaced = []
    last = len(pieces) - 1
    for index, piece in enumerate(pieces):
        after = index > 0 and (piece[:1] not in _AFTER if piece else index < last)
        before = index < last and piece and piece[len(piece) - 1] not in _BEFORE
        spaced.append(f"{' ' if after else ''}{piece}{' ' if before else ''}")
    return tuple(spaced)
