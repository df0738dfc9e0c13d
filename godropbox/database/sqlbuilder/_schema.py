"""Tables as the database describes them: the columns that a query of its schema returns.

``Dialect.describe_table`` is the query. Each of its rows is a column: name, type, whether it is
nullable, precision, scale, character set, collation, and details such as an enum's values.
``Dialect.column_types`` maps the type's name to a kind of column here.
"""

import re
from keyword import iskeyword

from ._columns import (
    BoolColumn,
    BytesColumn,
    Column,
    DateTimeColumn,
    DoubleColumn,
    IntColumn,
    StrColumn,
)
from ._names import check_identifier, shown
from ._types import (
    ArrayColumn,
    DateColumn,
    DecimalColumn,
    EnumColumn,
    IntervalColumn,
    JsonColumn,
    TimeColumn,
    UuidColumn,
    column_source,
)
from .dialects import DIALECTS, Dialect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, Final, Protocol

    class Cursor(Protocol):
        """Cursor of any DB-API driver."""

        def execute(self, operation: Any, /) -> Any:
            """Run a statement without parameters."""

        def fetchall(self) -> Sequence[Any]:
            """Return the rows that are left."""

    # Returns a column of a name, nullable or not: a column class, or a function like one.
    Maker = Callable[..., Column]

__all__ = ["declaration", "read_columns"]

_PLAIN: "Final[dict[str, Maker]]" = {
    "bool": BoolColumn,
    "bytes": BytesColumn,
    "date": DateColumn,
    "datetime": DateTimeColumn,
    "double": DoubleColumn,
    "int": IntColumn,
    "interval": IntervalColumn,
    "json": JsonColumn,
    "time": TimeColumn,
    "uuid": UuidColumn,
}
_ARRAY: "Final" = "array of "
# A type with its arguments, as SQLite keeps it: DECIMAL(8, 2).
_ARGUMENTS: "Final" = re.compile(r"([^()]*?)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")
# One value in MySQL's text of an enum, and what it escapes there.
_QUOTED: "Final" = re.compile(r"'((?:[^'\\]|''|\\.)*)'", re.DOTALL)
_ESCAPED: "Final" = re.compile(r"''|\\(.)", re.DOTALL)
_ESCAPES: "Final" = {"0": "\0", "n": "\n", "r": "\r"}


class Facts:
    """What the database says about one column."""

    __slots__ = ("charset", "collation", "detail", "name", "nullable", "precision", "scale", "type")

    def __init__(self, row: object) -> None:
        # The values of a mapping, which a row of sqlite3 on PyPy is not, though it has both names.
        is_mapping = callable(getattr(row, "values", None)) and hasattr(row, "keys")
        values: Any = row.values() if is_mapping else row  # type: ignore[attr-defined]
        name, kind, nullable, precision, scale, charset, collation, detail = map(_text, values)
        self.name = str(name)
        self.type = str(kind).lower()
        self.nullable = nullable == "YES"
        self.precision = precision
        self.scale = scale
        self.charset = charset
        self.collation = collation
        self.detail = detail
        found = _ARGUMENTS.fullmatch(self.type)
        if found is not None:
            self.type = found[1]
            self.precision, self.scale = found[2], found[3]


def _text(value: object) -> object:
    """Return what some drivers leave as bytes as text."""
    return bytes(value).decode() if isinstance(value, (bytes, bytearray)) else value


def read_columns(
    cursor: "Cursor",
    table: str,
    schema: "str | None",
    dialect: "Dialect | str | None",
    only: "Iterable[str] | None",
    types: "Mapping[str, Maker] | None",
) -> "list[Column]":
    """Return the columns of a table as the database describes them."""
    chosen = _dialect_of(cursor, dialect)
    within = None if schema is None else _literal("schema", schema)
    cursor.execute(chosen.describe_table(_literal("table name", table), within))
    found = [Facts(row) for row in cursor.fetchall()]
    where = "" if schema is None else f" in schema {schema}"
    if not found:
        raise ValueError(f"there is no table {table}{where}, or its columns may not be read")
    if only is not None:
        found = _only(table, found, only)
    custom = {name.lower(): maker for name, maker in (types or {}).items()}
    return [_column(table, facts, chosen, custom) for facts in found]


def declaration(table: str, columns: "Iterable[Column]") -> str:
    """Return Python source of a subclass of ``Columns`` and of the table that it declares."""
    title = "".join([word[:1].upper() + word[1:] for word in _identifier(table).split("_")])
    lines = [f"class {title or 'Table'}(sb.Columns):"]
    used: set[str] = set()
    for column in columns:
        name = _identifier(column.name)
        while name in used:
            name += "_"
        used.add(name)
        lines.append(f"    {name} = {column_source(column, name)}")
    made = f"{_identifier(table)} = sb.Table({table!r}, {title or 'Table'})"
    return "\n".join([*lines, "", "", made, ""])


def _identifier(name: str) -> str:
    """Return a name for a variable that is like `name`."""
    word = "".join([letter if f"_{letter}".isidentifier() else "_" for letter in name])
    if not word.isidentifier():
        word = f"_{word}"
    if word.startswith("__"):  # a class mangles these, or has them itself
        word = "_" + word.lstrip("_")
    return f"{word}_" if iskeyword(word) else word


def _dialect_of(cursor: object, dialect: "Dialect | str | None") -> Dialect:
    """Return the dialect that is asked for, or that of the cursor's driver."""
    if isinstance(dialect, Dialect):
        return dialect
    if dialect is not None:
        if not isinstance(dialect, str) or dialect not in DIALECTS:
            raise ValueError(
                f"dialect must be a Dialect or one of {', '.join(DIALECTS)}, got {shown(dialect)}"
            )
        return DIALECTS[dialect]
    driver = type(cursor).__module__.partition(".")[0]
    for known in DIALECTS.values():
        if driver in known.drivers:
            return known
    raise ValueError(f"dialect must be given for a cursor of {driver}, which is not a known driver")


def _literal(what: str, name: object) -> str:
    """Return a name as a literal that every dialect reads the same in every mode."""
    checked = check_identifier(what, name)
    if not checked.isprintable() or any(mark in checked for mark in "'\"`\\%"):
        raise ValueError(
            f"{what} must have no quote, backslash, percent sign or control character to be read "
            f"from the schema, got {shown(checked)}"
        )
    return f"'{checked}'"


def _only(table: str, found: "list[Facts]", names: "Iterable[str]") -> "list[Facts]":
    if isinstance(names, str) or not hasattr(type(names), "__iter__"):
        raise TypeError(f"columns must be an iterable of column names, got {shown(names)}")
    from ._spelling import no_column

    known = {facts.name: facts for facts in found}
    wanted = list(names)
    for name in wanted:
        if name not in known:
            raise ValueError(no_column(f"table {table}", name, known))
    return [known[name] for name in wanted]


def _column(table: str, facts: Facts, dialect: Dialect, types: "Mapping[str, Maker]") -> Column:
    """Return a column of the class that fits its type."""
    maker = types.get(facts.type)
    if maker is not None:
        column = maker(facts.name, nullable=facts.nullable)
        if not isinstance(column, Column):
            raise TypeError(f"types[{facts.type!r}] must return a column, got {shown(column)}")
        return column
    if facts.type.startswith(_ARRAY):
        element = Facts.__new__(Facts)
        element.type = facts.type.removeprefix(_ARRAY)
        element.detail = facts.detail
        element.precision = element.charset = element.collation = None
        element.name, element.nullable = facts.name, False
        inner = _column(table, element, dialect, types)
        return ArrayColumn(facts.name, inner, nullable=facts.nullable)
    kind = dialect.column_types.get(facts.type)
    if kind == "enum" and facts.detail is not None:
        return EnumColumn(facts.name, *_values(str(facts.detail)), nullable=facts.nullable)
    if kind == "decimal":
        return _decimal(facts)
    if kind == "str":
        return StrColumn(
            facts.name,
            nullable=facts.nullable,
            charset=_named(facts.charset),
            collation=_named(facts.collation),
        )
    if kind not in _PLAIN:
        known = f"type {facts.type}" if facts.type else "no type"
        raise ValueError(
            f"column {facts.name} of table {table} has {known}, which has no column class: pass "
            f"types={{{facts.type!r}: BytesColumn}} or the like, or leave it out of columns"
        )
    return _PLAIN[kind](facts.name, nullable=facts.nullable)


def _decimal(facts: Facts) -> Column:
    precision = None if facts.precision is None else int(str(facts.precision))
    scale = 0 if facts.scale is None else int(str(facts.scale))
    if precision is None or not 0 <= scale <= precision:  # PostgreSQL has other scales, too
        return DecimalColumn(facts.name, nullable=facts.nullable)
    return DecimalColumn(facts.name, precision=precision, scale=scale, nullable=facts.nullable)


def _named(name: object) -> "str | None":
    """Return the name of a character set or a collation, if it is one that can be quoted."""
    return name if isinstance(name, str) and name.isascii() and name.isidentifier() else None


def _values(text: str) -> "list[str]":
    """Return the values of an enum, a JSON list or MySQL's ``enum('a','b')``."""
    if text.startswith("["):
        from json import loads

        values: list[str] = loads(text)
        return values

    def unescaped(found: "re.Match[str]") -> str:
        return "'" if found[1] is None else _ESCAPES.get(found[1], found[1])

    return [_ESCAPED.sub(unescaped, value) for value in _QUOTED.findall(text)]
