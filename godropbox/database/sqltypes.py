"""Python values as SQL literals, safe in the server's mode, and in the Go library's binary form.

- ``plain_value``: convert a value to the plain value that every route to a database sends.
- ``encode_sql``: write a literal for a ``SqlMode``.
- ``encode_ascii``: the same with text and bytes in base64, for logs.
- ``to_binary``, ``from_binary``: the Go library's binary form of a value.

A literal is one token, whatever the value contains, and reads back as the value. Nothing here knows
columns or servers; ``sqlbuilder`` builds statements.
"""

import binascii
import re
from typing import TYPE_CHECKING, Final, NoReturn, Self

from .._kernels import sqltext
from .._kernels._args import shown

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = [
    "MYSQL",
    "POSTGRESQL",
    "SQLITE",
    "SqlMode",
    "encode_ascii",
    "encode_sql",
    "from_binary",
    "plain_value",
    "to_binary",
]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Character sets, by MySQL's names, in which no byte of a longer character can be mistaken for a
# quote or a backslash: bytes below 0x80 are always ASCII.
_SAFE_CHARSETS: Final = {
    "mysql": _words(
        "ascii binary cp1250 cp1251 cp1256 cp1257 cp850 cp852 cp866 eucjpms greek hebrew"
        " koi8r koi8u latin1 latin2 latin5 latin7 ujis utf8 utf8mb3 utf8mb4"
    ),
    "sqlite": _words("utf8"),
    "postgresql": _words("utf8"),
}
_SAFE_CHARSETS["mariadb"] = _SAFE_CHARSETS["mysql"]
# In these, a byte of a longer character can be a backslash, a driver treats the set as such a one
# (gb2312 as GBK), or a backslash is another character (swe7).
_UNSAFE_CHARSETS: Final = _words("big5 cp932 gb18030 gb2312 gbk johab shift_jis_2004 sjis swe7 uhc")

_PLAIN_STYLES: Final = {
    "mysql": sqltext.MYSQL_PLAIN,
    "mariadb": sqltext.MYSQL_PLAIN,
    "sqlite": sqltext.SQLITE,
    "postgresql": sqltext.POSTGRESQL,
}

# The words of @@sql_mode in MySQL and MariaDB, by their effect on literals. Every word in
# _ANSI_QUOTES includes ANSI_QUOTES.
_NO_BACKSLASH: Final = "NO_BACKSLASH_ESCAPES"
_ANSI_QUOTES: Final = _words("ANSI_QUOTES ANSI DB2 MAXDB MSSQL ORACLE POSTGRESQL")
_HARMLESS: Final = _words(
    "ALLOW_INVALID_DATES ERROR_FOR_DIVISION_BY_ZERO HIGH_NOT_PRECEDENCE IGNORE_BAD_TABLE_OPTIONS"
    " IGNORE_SPACE MYSQL323 MYSQL40 NO_AUTO_CREATE_USER NO_AUTO_VALUE_ON_ZERO NO_DIR_IN_CREATE"
    " NO_ENGINE_SUBSTITUTION NO_FIELD_OPTIONS NO_KEY_OPTIONS NO_TABLE_OPTIONS"
    " NO_UNSIGNED_SUBTRACTION NO_ZERO_DATE NO_ZERO_IN_DATE ONLY_FULL_GROUP_BY"
    " PAD_CHAR_TO_FULL_LENGTH PIPES_AS_CONCAT REAL_AS_FLOAT SIMULTANEOUS_ASSIGNMENT"
    " STRICT_ALL_TABLES STRICT_TRANS_TABLES TIME_ROUND_FRACTIONAL TIME_TRUNCATE_FRACTIONAL"
    " TRADITIONAL"
)

# The type bytes of the binary form.
_NULL: Final = 0
_NUMERIC: Final = 1
_FRACTIONAL: Final = 2
_BYTES: Final = 3
_TEXT: Final = 4

# The numbers of the binary form; a whole number has at most 64 bits.
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,20}")
_FRACTION: Final = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


class SqlMode:
    """How a server reads SQL text: its dialect, quoting and connection character set.

    `dialect` is "mysql", "mariadb", "sqlite" or "postgresql". `backslash_escapes` is False for
    MySQL and MariaDB with NO_BACKSLASH_ESCAPES, and for the other two. `ansi_quotes` is True if
    double quotes enclose identifiers; it changes no literal. `charset` is the connection's
    character set. A mode is frozen, hashable and compares by these four.

    Raise ``ValueError`` for a character set that is unsafe or not known to be safe: in GBK and
    similar sets, a byte of a character can be a backslash and unescape the quote after it.
    """

    # Not a frozen dataclass: importing dataclasses takes a third of the time that importing the
    # whole package may take.

    __slots__ = ("ansi_quotes", "backslash_escapes", "charset", "dialect", "style")

    dialect: str
    backslash_escapes: bool
    ansi_quotes: bool
    charset: str
    # The kernel's number for this style of literals.
    style: int

    def __init__(
        self,
        dialect: str = "mysql",
        backslash_escapes: bool = True,
        ansi_quotes: bool = False,
        charset: str = "utf8mb4",
    ) -> None:
        safe = _SAFE_CHARSETS.get(dialect)
        if safe is None:
            raise ValueError(
                f"dialect must be one of {', '.join(_PLAIN_STYLES)}, got {shown(dialect)}"
            )
        if _PLAIN_STYLES[dialect] != sqltext.MYSQL_PLAIN and (backslash_escapes or not ansi_quotes):
            raise ValueError(f"backslash_escapes must be False and ansi_quotes True for {dialect}")
        if charset in _UNSAFE_CHARSETS:
            raise ValueError(
                f"charset must be one in which no byte inside a character is a quote or a"
                f" backslash, such as utf8mb4, got {shown(charset)}"
            )
        if charset not in safe:
            raise ValueError(
                f"charset must be one known to be safe ({', '.join(sorted(safe))}),"
                f" got {shown(charset)}"
            )
        freeze = object.__setattr__
        freeze(self, "dialect", dialect)
        freeze(self, "backslash_escapes", bool(backslash_escapes))
        freeze(self, "ansi_quotes", bool(ansi_quotes))
        freeze(self, "charset", charset)
        freeze(self, "style", sqltext.MYSQL if backslash_escapes else _PLAIN_STYLES[dialect])

    def _fields(self) -> tuple[str, bool, bool, str]:
        return self.dialect, self.backslash_escapes, self.ansi_quotes, self.charset

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a SqlMode is frozen, so {name} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a SqlMode is frozen, so {name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        return self._fields() == other._fields() if isinstance(other, SqlMode) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._fields())

    def __repr__(self) -> str:
        return (
            f"SqlMode(dialect={self.dialect!r}, backslash_escapes={self.backslash_escapes},"
            f" ansi_quotes={self.ansi_quotes}, charset={self.charset!r})"
        )

    def __reduce__(self) -> tuple[type[Self], tuple[str, bool, bool, str]]:
        return type(self), self._fields()

    @classmethod
    def parse(cls, sql_mode: str, charset: str = "utf8mb4", version: str = "") -> Self:
        """Return the mode of a session from its @@sql_mode and @@character_set_client.

        `version` is its @@version, which tells MariaDB from MySQL; without it the dialect is MySQL.

        Raise ``ValueError`` for a word that MySQL 8.4 and MariaDB 11 do not define, for
        EMPTY_STRING_IS_NULL, which reads '' as NULL, and for an unsafe character set.
        """
        words = {word for word in sql_mode.upper().split(",") if word}
        if "EMPTY_STRING_IS_NULL" in words:
            raise ValueError("sql_mode must not have EMPTY_STRING_IS_NULL: it makes '' a NULL")
        unknown = words - _ANSI_QUOTES - _HARMLESS - {_NO_BACKSLASH}
        if unknown:
            raise ValueError(
                f"sql_mode must be of words known to be safe, got {', '.join(sorted(unknown))}"
            )
        return cls(
            "mariadb" if "mariadb" in version.lower() else "mysql",
            backslash_escapes=_NO_BACKSLASH not in words,
            ansi_quotes=not words.isdisjoint(_ANSI_QUOTES),
            charset=charset.lower(),
        )


MYSQL: Final = SqlMode()
SQLITE: Final = SqlMode("sqlite", backslash_escapes=False, ansi_quotes=True, charset="utf8")
POSTGRESQL: Final = SqlMode("postgresql", backslash_escapes=False, ansi_quotes=True, charset="utf8")


plain_value = sqltext.plain_value


def encode_sql(value: object, mode: SqlMode = MYSQL) -> str:
    """Return the SQL literal of `value` for a server in `mode`.

    `value` is None, a bool, an int in [-2**63, 2**64) (SQLite: below 2**63), a finite float or
    Decimal, a str, bytes, bytearray or memoryview, a datetime, date, time or timedelta, a UUID, an
    instance of a subclass of these, an Enum with such a value, or another integer with
    ``__index__``. A naive datetime is UTC; an aware one is converted to UTC.

    Raise ``TypeError`` for any other type; ``ValueError`` for a NaN, an infinity, a number or time
    out of the dialect's range, a lone surrogate, and a NUL in text for SQLite or PostgreSQL.
    """
    if not isinstance(mode, SqlMode):
        raise TypeError(f"mode must be a SqlMode, got {shown(mode)}")
    return sqltext.literal(value, mode.style)


def encode_ascii(value: object) -> str:
    """Return `value` as printable ASCII for logs: numbers as in SQL, text and bytes as base64.

    Accept and raise as ``encode_sql`` does for MySQL. Do not send the result to a server, which
    would read the base64 as the text itself.
    """
    kind, raw = sqltext.binary_parts(value)
    if kind == _NULL:
        return "null"
    if kind in (_TEXT, _BYTES):
        return f"'{binascii.b2a_base64(raw, newline=False).decode()}'"
    return raw.decode()


def to_binary(value: object) -> bytes:
    """Return the Go library's binary form: a type byte, the length as a uvarint, the bytes.

    Accept and raise as ``encode_sql`` does for MySQL.
    """
    kind, raw = sqltext.binary_parts(value)
    if kind == _NULL:
        return bytes([_NULL])
    out = bytearray([kind])
    size = len(raw)
    while size >= 0x80:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out + raw)


def _length(data: bytes) -> tuple[int, int]:
    """Return the uvarint at byte 1 of `data` and the position after it."""
    size = shift = 0
    for at in range(1, min(len(data), 11)):
        size |= (data[at] & 0x7F) << shift
        shift += 7
        if data[at] < 0x80:
            return size, at + 1
    raise ValueError(
        f"data must have its length in bytes 1 to 10, got {shown(data)}"
        if len(data) > 10
        else f"data ends after {len(data)} bytes, within its length"
    )


def from_binary(data: "ReadableBuffer") -> int | float | str | bytes | None:
    """Return the value of `data`, which ``to_binary`` or the Go library wrote.

    The form has five types: null, whole number, fraction, bytes and text. A bool comes back as an
    int, a Decimal as a float, a time or UUID as a str.

    Raise ``TypeError`` if `data` is not bytes-like, ``ValueError`` if it is malformed, truncated or
    too long.
    """
    try:
        held = bytes(memoryview(data))
    except TypeError:
        raise TypeError(f"data must be bytes-like, got {shown(data)}") from None
    if not held:
        raise ValueError("data must have at least its type byte, got none")
    kind = held[0]
    if kind > _TEXT:
        raise ValueError(f"data must begin with a type byte in [0, 4], got {kind}")
    size, start = (0, 1) if kind == _NULL else _length(held)
    if len(held) - start != size:
        raise ValueError(f"data must have {size} bytes after its head, got {len(held) - start}")
    raw = held[start:]
    if kind == _NULL:
        return None
    if kind == _BYTES:
        return raw
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise ValueError(f"data must hold UTF-8 text, got {shown(raw)}") from None
    if kind == _TEXT:
        return text
    if kind == _NUMERIC:
        if _WHOLE.fullmatch(text) is None:
            raise ValueError(f"data must hold a whole number in decimal digits, got {shown(raw)}")
        return int(text)
    if _FRACTION.fullmatch(text) is None:
        raise ValueError(f"data must hold a decimal fraction, got {shown(raw)}")
    return float(text)
