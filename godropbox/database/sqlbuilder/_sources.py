"""Tables that a statement makes itself: rows of VALUES, functions that return rows, JSON_TABLE.

Their columns are declared like a table's and read as ``source.c.name``.
"""

import re

from ._base import depth_of, operand, write_operand
from ._columns import Column, bound, encoded
from ._makers import MAKERS
from ._names import check_identifier, shown
from ._nodes import Expression
from ._render import Renderer
from ._selects import Source
from ._tables import Columns, columns_of
from ._terms import Call, Literal
from .dialects import unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

__all__ = [
    "JsonTable",
    "TableFunction",
    "ValuesTable",
    "json_table",
    "table_function",
    "values_table",
]

# JSON paths whose text no dialect and no driver reads as anything else.
_PATH = re.compile(r"\$[A-Za-z0-9_.*\[\]\- ]*")


class DeclaredSource(Source):
    """Base class of sources whose columns are declared."""

    __slots__ = ("_all", "_ordinality", "c")

    c: Columns
    _all: "tuple[Column, ...]"
    _ordinality: "str | None"  # the column that counts the rows

    def _columns(self) -> "tuple[Column, ...]":
        return self._all


class ValuesTable(DeclaredSource):
    """Rows of VALUES as a table, made by ``values_table``."""

    __slots__ = ("_plain", "_rows")

    _plain: bool  # whether there are no expressions among the values
    _rows: "tuple[tuple[object, ...], ...]"

    def _write_source(self, out: Renderer) -> int:
        out.need("VALUES in FROM")
        scope = out.scope
        if scope is not None:
            out.scope = ()
        out.text.put("(")
        if out.can("column names in FROM"):
            out.text.put("VALUES ")
            self._write_rows(out, 0)
        else:
            self._write_select(out)
        out.text.put(") AS ")
        out.name(self._names[0])
        if out.can("column names in FROM"):
            write_names(out, self._all)
        out.scope = scope
        return 0

    def _write_select(self, out: Renderer) -> int:
        """Write the first row as a SELECT, whose aliases name the columns."""
        out.text.put("SELECT ")
        for index in range(len(self._all)):
            if index:
                out.text.put(",")
            column = self._all[index]
            self._write_value(out, 0, index)
            out.text.put(" AS ")
            out.name(column._bare)
        if len(self._rows) > 1:
            out.text.put(" UNION ALL VALUES ")
            self._write_rows(out, 1)
        return 0

    def _write_rows(self, out: Renderer, start: int) -> int:
        text = out.text
        word = out.dialect.values_row
        if self._plain and not word and (start or not out.dialect.values_casts):
            return out.rows(self._rows[start:], len(self._all))
        for row in range(start, len(self._rows)):
            if row > start:
                text.put(", ")
            text.put(word)
            text.put("(")
            for index in range(len(self._all)):
                if index:
                    text.put(",")
                self._write_value(out, row, index)
            text.put(")")
        return 0

    def _write_value(self, out: Renderer, row: int, index: int) -> int:
        """Write a value; in the first row it says its type where the server takes it from there."""
        value = self._rows[row][index]
        column = self._all[index]
        kind = ""
        if row == 0 and out.dialect.values_casts:
            kind = out.dialect.types.get(column.type_name, "")
        if not kind:
            return write_operand(out, value, 0)
        out.text.put("CAST(")
        write_operand(out, value, 0)
        out.text.put(" AS ")
        out.text.put(kind)
        out.text.put(")")
        return 0


class TableFunction(DeclaredSource):
    """Function that returns rows, made by ``func(...).table_valued(...)``."""

    __slots__ = ("_call", "_lateral", "_typed")

    _call: Call
    _lateral: bool
    _typed: bool

    def _is_lateral(self) -> bool:
        return self._lateral

    def _write_source(self, out: Renderer) -> int:
        out.need("table functions")
        scope = out.scope
        if scope is not None:
            out.scope = scope[1:] if self._lateral else ()
        self._call._write(out)
        out.scope = scope
        if self._ordinality is not None:
            out.need("WITH ORDINALITY")
            out.text.put(" WITH ORDINALITY")
        out.text.put(" AS ")
        out.name(self._names[0])
        if self._typed:
            out.need("column definitions")
            self._write_definitions(out)
        elif out.can("column names in FROM"):
            write_names(out, self._all)
        return 0

    def _write_definitions(self, out: Renderer) -> int:
        for index in range(len(self._all)):
            out.text.put(", " if index else " (")
            column = self._all[index]
            out.name(column._bare)
            out.text.put(" ")
            out.text.put(declared_type(out, column))
        out.text.put(")")
        return 0


class JsonTable(DeclaredSource):
    """JSON document as a table, made by ``json_table``."""

    __slots__ = ("_document", "_lateral", "_path", "_paths")

    _document: object
    _lateral: bool
    _path: str
    _paths: "tuple[str, ...]"  # of the columns, as the columns are

    def _is_lateral(self) -> bool:
        return self._lateral

    def _write_source(self, out: Renderer) -> int:
        out.need("JSON_TABLE")
        text = out.text
        scope = out.scope
        if scope is not None:
            out.scope = scope[1:] if self._lateral else ()
        text.put("JSON_TABLE(")
        write_operand(out, self._document, 0)
        out.scope = scope
        text.put(f",'{self._path}' COLUMNS (")
        for index in range(len(self._all)):
            if index:
                text.put(", ")
            column = self._all[index]
            out.name(column._bare)
            if column._bare == self._ordinality:
                text.put(" FOR ORDINALITY")
            else:
                text.put(f" {declared_type(out, column)} PATH '{self._paths[index]}'")
        text.put(")) AS ")
        return out.name(self._names[0])


def write_names(out: Renderer, columns: "tuple[Column, ...]") -> int:
    """Write the names of columns after the name of their table: `` ("a","b")``."""
    for index in range(len(columns)):
        out.text.put("," if index else " (")
        column = columns[index]
        out.name(column._bare)
    out.text.put(")")
    return 0


def declared_type(out: Renderer, column: Column) -> str:
    """Return the dialect's type for a column that is declared in a statement."""
    name = column.type_name
    found: str = out.dialect.declared_types.get(name, "") or out.dialect.types.get(name, "")
    if not found:
        raise unsupported(out.dialect, f"type {name or 'without a name'} of column {column._bare}")
    return found


def values_table(name: str, *columns: Column, rows: "Iterable[Iterable[object]]") -> ValuesTable:
    """Return `rows` as a table for FROM with `columns`, which are declared like a table's.

    >>> pairs = values_table("pairs", IntColumn("id"), StrColumn("name"), rows=[(1, "a")])
    >>> select(pairs.c.name).from_(pairs).where(pairs.c.id == 1)

    A value is a plain value, a slot or an expression without columns. Raise ``ValueError`` without
    columns or rows and for a row of another width.
    """
    return _values(name, columns, rows)


def _values(name: object, columns: "tuple[Column, ...]", rows: "Any") -> ValuesTable:
    node = ValuesTable.__new__(ValuesTable)
    declare(node, name, columns, None)
    if isinstance(rows, (str, bytes)) or not hasattr(type(rows), "__iter__"):
        raise TypeError(f"rows must be an iterable of rows, got {shown(rows)}")
    taken: list[tuple[object, ...]] = []
    deepest = 0
    for row in rows:
        if isinstance(row, (str, bytes)) or not hasattr(type(row), "__iter__"):
            raise TypeError(f"rows[{len(taken)}] must be a row, got {shown(row)}")
        values = tuple(row)
        if len(values) != len(columns):
            raise ValueError(
                f"rows[{len(taken)}] must have {len(columns)} values, got {len(values)}"
            )
        values = tuple([encoded(columns[at], values[at]) for at in range(len(columns))])
        taken.append(values)
        deepest = max(deepest, depth_of(values))
    if not taken:
        raise ValueError(f"table {name} must have at least one row")
    node._rows = tuple(taken)
    node._plain = deepest == 0
    node._level = deepest + 1
    return node


def table_function(
    name: str, call: Call, columns: "tuple[Column, ...]", ordinality: "str | None", typed: bool
) -> TableFunction:
    """Return the rows of `call` as a source; see ``Call.table_valued``."""
    node = TableFunction.__new__(TableFunction)
    if typed and ordinality is not None:
        raise ValueError("a table function has either typed columns or an ordinality, not both")
    declare(node, name, columns, ordinality)
    node._call = call
    node._typed = typed
    node._lateral = has_expressions(call._arguments)
    node._level = depth_of((call,)) + 1
    return node


MAKERS["table_function"] = table_function


def json_table(
    name: str,
    document: object,
    path: str,
    *columns: Column,
    paths: "Mapping[str, str] | None" = None,
    ordinality: "str | None" = None,
) -> JsonTable:
    """Return the parts of a JSON `document` at `path` as a table for FROM: JSON_TABLE.

    A column reads ``$.name`` of each part, or its own path in `paths`. The column named
    `ordinality` counts the parts from 1. `document` may be a column of a table before it in FROM.
    A path is made of ASCII letters, digits and any of ``$ . _ * [ ] -`` and spaces.
    """
    return _json(name, document, path, columns, paths, ordinality)


def _json(
    name: str,
    document: object,
    path: object,
    columns: "tuple[Column, ...]",
    paths: "Mapping[str, str] | None",
    ordinality: "str | None",
) -> JsonTable:
    node = JsonTable.__new__(JsonTable)
    declare(node, name, columns, ordinality)
    node._document = operand(document)
    node._path = _checked_path("path", path)
    given = dict(paths or {})
    found = [
        _checked_path(f"paths[{column.name!r}]", given.pop(column.name, f"$.{column.name}"))
        for column in node._all
    ]
    if given:
        raise ValueError(f"paths must be for columns of {name}, got {', '.join(map(shown, given))}")
    node._paths = tuple(found)
    node._lateral = has_expressions((node._document,))
    node._level = depth_of((node._document,)) + 1
    return node


def _checked_path(what: str, path: object) -> str:
    if not isinstance(path, str):
        raise TypeError(f"{what} must be a str, got {shown(path)} ({type(path).__name__})")
    path = str.__str__(path)
    if _PATH.fullmatch(path) is None:
        raise ValueError(
            f"{what} must be '$' and then ASCII letters, digits, spaces and any of ._*[]-, "
            f"got {shown(path)}"
        )
    return path


def has_expressions(items: "tuple[object, ...]") -> bool:
    """Return whether there may be columns among operands."""
    for item in items:  # noqa: SIM110  # compiled functions have no closures
        if isinstance(item, Expression) and not isinstance(item, Literal):
            return True
    return False


def declare(
    node: DeclaredSource,
    name: object,
    columns: "tuple[Column, ...]",
    ordinality: "str | None",
) -> int:
    """Initialize a source with its name and columns; `ordinality` names one more, of ints."""
    from ._columns import IntColumn

    checked = check_identifier("table name", name)
    for column in columns:
        if not isinstance(column, Column):
            raise TypeError(f"columns of {checked} must be columns, got {shown(column)}")
    if not columns:
        raise ValueError(f"table {checked} must have at least one column")
    known: list[Any] = list(columns)
    if ordinality is not None:
        known.append(IntColumn(ordinality))
    names = [column.name for column in known]
    if len(set(names)) != len(names):
        twice = next(each for each in names if names.count(each) > 1)
        raise ValueError(f"table {checked} has two columns named {twice}")
    node._level = 1
    node._names = (checked,)
    node._all = tuple([bound(column, checked) for column in known])
    node._ordinality = None if ordinality is None else names[len(columns)]
    node.c = columns_of(checked, node._all)
    return 0
