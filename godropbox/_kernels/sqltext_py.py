"""SQL literals and the text around them, in pure Python: the twin of ``sqltext_c``.

``csrc/sqltext.h`` states the rules of each style; ``_sqlvalues`` handles the rarer types.
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
    binary_parts,
    exact_kind,
    float_text,
    literal_or_plain,
    parameter,
    plain_value,
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
    "binary_parts",
    "exact_kind",
    "literal",
    "parameter",
    "plain_value",
    "plainness",
]

# The characters that MySQL literals escape. A backslash before % or _ stays single, so that a LIKE
# pattern keeps its escapes.
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
# The types that drivers accept unchanged, within the range of a literal.
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
        # translate is faster on long ASCII text, the regular expression on the rest.
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
    text, plain = literal_or_plain(value, style)
    return _literal(plain, style) if text is None else text


def _literals(values: "tuple[Any, ...]", style: int) -> list[str]:
    """Return the literals of `values`, the common types inlined because calls are half the cost.

    Printable text has neither control characters nor surrogates, so without a backslash only its
    quotes need escapes.
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

    Raise ``TypeError`` for a type without a literal; ``ValueError`` for a NaN, an infinity, a
    number out of the dialect's range, a lone surrogate, or a NUL in SQLite or PostgreSQL text.
    """
    return _literal(value, checked_int("style", "[0, 4)", style, 4))


def plainness(values: "tuple[Any, ...]") -> int:
    """Return 2 if all `values` are ints in [-2**63, 2**63), 1 if all are plain, 0 otherwise.

    Plain means exactly an int, str, float, bytes, bool or naive datetime.
    """
    if len(values) < 9:  # a loop is faster for few values
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
    """Return whether drivers accept `value` unchanged; False means no or unknown."""
    kind = type(value)
    if kind is int:
        return -(1 << 63) <= value < 1 << 63  # type: ignore[operator]  # an int, tested above
    if kind is str:
        return value.isascii() or _SURROGATE.search(value) is None  # type: ignore
    return value is None or kind is bytes or kind is bool


def _are_sendable(values: "tuple[Any, ...]") -> bool:
    """Return whether drivers accept each of `values` unchanged."""
    kinds = set(map(type, values))
    if not kinds <= _SENT:
        return False
    if int in kinds and not _are_short([value for value in values if type(value) is int]):
        return False
    if str in kinds:
        texts = [value for value in values if type(value) is str]
        return all(map(str.isascii, texts)) or not any(map(_SURROGATE.search, texts))
    return True


def has_same(names: tuple[str, ...], name: str) -> bool:
    """Return whether `name` is one of `names`, compared by identity."""
    for known in names:  # noqa: SIM110  # a generator takes longer than the tuple
        if known is name:
            return True
    return False


def is_word(name: str) -> bool:
    """Return whether `name` is an identifier of ASCII letters, digits and underscores."""
    return name.isascii() and name.isidentifier()


def new_text(style: int) -> "Text":
    """Return an empty text; compiled, only typed callers see it."""
    return Text(style)


class Text:
    """Growing SQL text: trusted pieces as they are, values as literals of one style.

    Use it from one thread. A call that raises leaves the text unchanged.
    """

    __slots__ = ("_kept", "_pieces", "_style")

    def __init__(self, style: int) -> None:
        self._style = checked_int("style", "[0, 4)", style, 4)
        self._pieces: list[str] = []
        self._kept: list[object] = []

    def __len__(self) -> int:
        return sum(map(len, self._pieces))

    def raw(self, text: str) -> None:
        """Append trusted text, a str, without quoting."""
        if type(text) is not str:
            raise TypeError(f"text must be a str, got {shown(text)}")
        self._pieces.append(text)

    def put(self, text: str) -> None:
        """Append trusted text without a type check; compiled, only typed callers see it."""
        self._pieces.append(text)

    def put_char(self, char: str) -> None:
        """Append one ASCII character; compiled, only typed callers see it."""
        self._pieces.append(char)

    def keep(self, value: object) -> None:
        """Add a parameter; compiled, only typed callers see it."""
        self._kept.append(value)

    def keep_marked(self, value: object, mark: str) -> bool:
        """Add a parameter and append `mark` if drivers accept it unchanged; return whether they do.

        `mark` is one or two ASCII characters.
        """
        if not sendable(value):
            return False
        self._kept.append(value)
        self._pieces.append(mark)
        return True

    def keep_plain(self, values: tuple[object, ...], mark: str) -> int:
        """Add the leading `values` that drivers accept unchanged; return how many.

        Append `mark`, the placeholder, for each, separated by commas.
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
        """Add rows of `width` values as parameters and append ``(?,?), (?,?)``.

        Return False and add nothing if drivers do not accept one of the values unchanged.
        """
        values = tuple([value for row in rows for value in row])
        if not values or not _are_sendable(values):
            return False
        self._kept.extend(values)
        row = ",".join([mark] * width)
        self._pieces.append(", ".join([f"({row})"] * len(rows)))
        return True

    def keep_ints(self, values: tuple[object, ...], mark: str) -> None:
        """Add `values`, whose ``plainness`` is 2, as parameters and append their placeholders."""
        self._kept.extend(values)
        self._pieces.append((f",{mark}" * len(values))[1:])

    def ints(self, values: tuple[object, ...]) -> None:
        """Append `values`, whose ``plainness`` is 2, separated by commas."""
        self._pieces.append(("%d," * len(values))[:-1] % values)

    def count(self) -> int:
        """Return the number of parameters."""
        return len(self._kept)

    def kept(self) -> tuple[object, ...]:
        """Return the parameters and clear them."""
        values = tuple(self._kept)
        self._kept.clear()
        return values

    def literal(self, value: object) -> None:
        """Append the literal of `value`."""
        self._pieces.append(_literal(value, self._style))

    def literals(self, values: tuple[object, ...] | list[object], separator: str) -> None:
        """Append the literals of `values`, separated by `separator`."""
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
        """Append ``(a,b), (c,d)`` for rows of `width` values, each a tuple or list.

        Raise ``ValueError`` with the index of a row of another length.
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
        """Return the whole text and clear it."""
        text = "".join(self._pieces)
        self._pieces.clear()
        return text
