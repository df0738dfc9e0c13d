"""SQL literals and the text they go into, in pure Python: the twin of ``sqltext_c``.

The rules of each style are in ``csrc/sqltext.h``, the rarer types in ``_sqlvalues``.
"""

import math
import re

from ._args import checked_int, shown
from ._sqlvalues import (
    MYSQL,
    MYSQL_PLAIN,
    POSTGRESQL,
    SQLITE,
    bad_character,
    bad_float,
    bad_int,
    exact_kind,
    float_text,
    parameter,
    parts,
    plain_value,
    plainer,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "MYSQL",
    "MYSQL_PLAIN",
    "POSTGRESQL",
    "SQLITE",
    "Text",
    "exact_kind",
    "literal",
    "parameter",
    "parts",
    "plain_value",
    "plainness",
]

# What MySQL reads back from a backslash and one more character, but for a backslash before % or
# _, which stays as it is in a literal so that a LIKE pattern keeps its escapes.
_ESCAPES = {
    "\0": "\\0",
    "\b": "\\b",
    "\t": "\\t",
    "\n": "\\n",
    "\r": "\\r",
    "\x1a": "\\Z",
    '"': '\\"',
    "'": "\\'",
    "\\": "\\\\",
}
_ESCAPED = re.compile("[\0\b\t\n\r\x1a\"']|\\\\(?![%_])")
_TABLE = str.maketrans(_ESCAPES)
_SURROGATE = re.compile("[\ud800-\udfff]")
_SAID = frozenset({bool, bytes, float, int, str})
# The types of which a driver is sent what is given, within the range of a literal.
_SENT = frozenset({bool, bytes, int, str, type(None)})
_REFUSED = re.compile("[\0\ud800-\udfff]")


def _str_literal(value: str, style: int) -> str:
    if style in (SQLITE, POSTGRESQL):
        bad = _REFUSED.search(value)
    else:
        bad = None if value.isascii() else _SURROGATE.search(value)
    if bad is not None:
        raise bad_character(value, bad.start(), style)
    if style == MYSQL:
        # Each way has the texts on which it is the faster.
        if len(value) > 200 and value.isascii() and "\\%" not in value and "\\_" not in value:
            return f"'{value.translate(_TABLE)}'"
        return f"'{_ESCAPED.sub(lambda found: _ESCAPES[found[0]], value)}'"
    value = value.replace("'", "''")
    if style == POSTGRESQL and "\\" in value:
        return "E'" + value.replace("\\", "\\\\") + "'"
    return f"'{value}'"


def _literal(value: object, style: int) -> str:
    kind = type(value)
    if kind is int:
        limit = 1 << 63 if style == SQLITE else 1 << 64
        if not -(1 << 63) <= value < limit:  # type: ignore[operator]  # an int, tested above
            raise bad_int(value, style)
        return str(value)
    if kind is str:
        return _str_literal(value, style)  # type: ignore[arg-type]  # a str, tested above
    if value is None:
        return "null"
    if kind is bool:
        if style == POSTGRESQL:
            return "TRUE" if value else "FALSE"
        return "1" if value else "0"
    if kind is float:
        if not math.isfinite(value):  # type: ignore[arg-type]  # a float, tested above
            raise bad_float(value)  # type: ignore[arg-type]
        return float_text(value, style)  # type: ignore[arg-type]
    if kind is bytes:
        digits = value.hex()  # type: ignore[attr-defined]  # bytes, tested above
        return f"E'\\\\x{digits}'::bytea" if style == POSTGRESQL else f"X'{digits}'"
    text, plain = plainer(value, style)
    return _literal(plain, style) if text is None else text


def _literals(values: "tuple[Any, ...]", style: int) -> list[str]:
    """Return the literals of `values`: the commonest in line, since calls are half the cost.

    What is printable has neither control characters nor surrogates, so that without a backslash
    in it only the quotes are left to escape.
    """
    mysql = style == MYSQL
    limit = 1 << 63 if style == SQLITE else 1 << 64
    texts = []
    for value in values:
        kind = type(value)
        if kind is int and -(1 << 63) <= value < limit:
            texts.append(str(value))
        elif kind is str and mysql and "\\" not in value and value.isprintable():
            quoted = value.replace("'", "\\'").replace('"', '\\"')
            texts.append(f"'{quoted}'")
        else:
            texts.append(_literal(value, style))
    return texts


def literal(value: object, style: int) -> str:
    """Return the SQL literal of `value` in a style: MYSQL, MYSQL_PLAIN, SQLITE or POSTGRESQL.

    Raises ``TypeError`` for a type that has no literal; ``ValueError`` for a NaN, an infinity, a
    number out of the dialect's range, a lone surrogate, or a NUL in SQLite or PostgreSQL text.
    """
    return _literal(value, checked_int("style", "[0, 4)", style, 4))


def plainness(values: "tuple[Any, ...]") -> int:
    """Return 2 if each of `values` is exactly an int in [-2**63, 2**63), 0 if one is none of these
    types exactly: int, str, float, bytes, bool, datetime without a zone; and 1 otherwise."""
    if len(values) < 9:  # for which a loop is the faster
        for value in values:
            if type(value) is not int or not -(1 << 63) <= value < 1 << 63:
                break
        else:
            return 2
    types = list(map(type, values))
    if types.count(int) == len(types):
        return 2 if _are_short(values) else 1
    kinds = set(types) - _SAID
    for kind in kinds:
        if kind.__name__ != "datetime" or not exact_kind(kind):
            return 0
    return 0 if kinds and any(getattr(v, "tzinfo", None) is not None for v in values) else 1


def _are_short(ints: "Any") -> bool:
    return bool(min(ints) >= -(1 << 63) and max(ints) < 1 << 63)


def sendable(value: object) -> bool:
    """Return whether a driver is sent `value` as it is; False may mean not known yet."""
    kind = type(value)
    if kind is int:
        return -(1 << 63) <= value < 1 << 63  # type: ignore[operator]  # an int, tested above
    if kind is str:
        return value.isascii() or _SURROGATE.search(value) is None  # type: ignore
    return value is None or kind is bytes or kind is bool


def _are_sendable(values: "tuple[Any, ...]") -> bool:
    """Return whether a driver is sent each of `values` as it is."""
    kinds = set(map(type, values))
    if not kinds <= _SENT:
        return False
    if int in kinds and not _are_short([value for value in values if type(value) is int]):
        return False
    if str in kinds:
        texts = [value for value in values if type(value) is str]
        return all(map(str.isascii, texts)) or not any(map(_SURROGATE.search, texts))
    return True


class Text:
    """A SQL text that grows: trusted pieces as they are, values as literals of one style.

    It belongs to one thread. A call that raises leaves the text as it was.
    """

    __slots__ = ("_kept", "_pieces", "_style")

    def __init__(self, style: int) -> None:
        self._style = checked_int("style", "[0, 4)", style, 4)
        self._pieces: list[str] = []
        self._kept: list[object] = []

    def __len__(self) -> int:
        return sum(map(len, self._pieces))

    def raw(self, text: str) -> None:
        """Append trusted text, a str, as it is."""
        if type(text) is not str:
            raise TypeError(f"text must be a str, got {shown(text)}")
        self._pieces.append(text)

    def put(self, text: str) -> None:
        """Append trusted text that is known to be a str; compiled, only typed callers see it."""
        self._pieces.append(text)

    def keep(self, value: object) -> None:
        """Keep a value that goes beside the text; compiled, only typed callers see it."""
        self._kept.append(value)

    def keep_marked(self, value: object, mark: str) -> bool:
        """Keep a value and append `mark`, one or two ASCII characters, if it is sent as it is."""
        if not sendable(value):
            return False
        self._kept.append(value)
        self._pieces.append(mark)
        return True

    def keep_plain(self, values: tuple[object, ...], mark: str) -> int:
        """Keep the first of `values`, as far as a driver is sent them as they are; count them.

        Their placeholders, `mark`, are written with commas between them.
        """
        if _are_sendable(values):
            count = len(values)
        else:
            count = 0
            while sendable(values[count]):
                count += 1
        self._kept.extend(values[:count])
        self._pieces.append((f",{mark}" * count)[1:])
        return count

    def keep_rows(self, rows: tuple[tuple[object, ...], ...], width: int, mark: str) -> bool:
        """Keep rows of `width` values, and write their placeholders: ``(?,?), (?,?)``.

        Returns False, with nothing kept, if a driver is not sent one of them as it is.
        """
        values = tuple([value for row in rows for value in row])
        if not values or not _are_sendable(values):
            return False
        self._kept.extend(values)
        row = ",".join([mark] * width)
        self._pieces.append(", ".join([f"({row})"] * len(rows)))
        return True

    def keep_ints(self, values: tuple[object, ...], mark: str) -> None:
        """Keep `values`, whose ``plainness`` is 2, and write their placeholders."""
        self._kept.extend(values)
        self._pieces.append((f",{mark}" * len(values))[1:])

    def ints(self, values: tuple[object, ...]) -> None:
        """Append `values`, whose ``plainness`` is 2, with commas between them."""
        self._pieces.append(("%d," * len(values))[:-1] % values)

    def count(self) -> int:
        """Return how many values are kept."""
        return len(self._kept)

    def kept(self) -> tuple[object, ...]:
        """Hand over the values that were kept."""
        values = tuple(self._kept)
        self._kept.clear()
        return values

    def literal(self, value: object) -> None:
        """Append the literal of `value`."""
        self._pieces.append(_literal(value, self._style))

    def literals(self, values: tuple[object, ...] | list[object], separator: str) -> None:
        """Append the literals of `values` with `separator` between them."""
        if not isinstance(values, (tuple, list)):
            raise TypeError(f"values must be a tuple or a list, got {shown(values)}")
        if type(separator) is not str:
            raise TypeError(f"separator must be a str, got {shown(separator)}")
        self._pieces.append(separator.join(_literals(tuple(values), self._style)))

    def rows(
        self,
        rows: tuple[tuple[object, ...] | list[object], ...]
        | list[tuple[object, ...] | list[object]],
        width: int,
    ) -> None:
        """Append ``(a,b), (c,d)`` for rows of `width` values each, tuples or lists.

        Raises ``ValueError`` for a row of another length, with its index.
        """
        width = checked_int("width", "[0, 2**31)", width, 1 << 31)
        if not isinstance(rows, (tuple, list)):
            raise TypeError(f"rows must be a tuple or a list, got {shown(rows)}")
        style = self._style
        texts = []
        for index, row in enumerate(tuple(rows)):
            if not isinstance(row, (tuple, list)):
                raise TypeError(f"rows[{index}] must be a tuple or a list, got {shown(row)}")
            values = tuple(row)
            if len(values) != width:
                raise ValueError(f"rows[{index}] must have {width} values, got {len(values)}")
            texts.append(",".join(_literals(values, style)))
        if texts:
            self._pieces.append(f"({'), ('.join(texts)})")

    def take(self) -> str:
        """Return the whole text, and empty it."""
        text = "".join(self._pieces)
        self._pieces.clear()
        return text
