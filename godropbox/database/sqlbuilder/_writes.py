"""INSERT, REPLACE, UPDATE and DELETE.

A table's methods make them, and they write to that table only.
"""

from . import _grammar
from ._base import operand, predicate, write_operand
from ._clauses import Ordering, ordered, write_comment, write_limit, write_list
from ._columns import Column
from ._names import check_comment, check_count, shown
from ._nodes import Expression, conjunction
from ._render import Renderer
from ._selects import Source
from ._statement import Query, Statement

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["Change", "Delete", "Insert", "Update", "new_delete", "new_insert", "new_update"]

MYSQL = _grammar.MYSQL
SQLITE = _grammar.SQLITE
POSTGRESQL = _grammar.POSTGRESQL


class Insert(Statement):
    """INSERT or REPLACE statement, made by ``table.insert`` and ``table.replace``."""

    __slots__ = (
        "_columns",
        "_comment",
        "_ignore",
        "_query",
        "_rows",
        "_table",
        "_target",
        "_updates",
        "_word",
    )

    _columns: "tuple[Column, ...]"
    _comment: "str | None"
    _ignore: bool
    _query: "Query | None"
    _rows: "tuple[Any, Any, bool] | None"  # earlier rows (same form), rows, whether all are plain
    _table: Source
    _target: "tuple[Column, ...]"
    _updates: "tuple[object, ...]"  # column, value, column, value and so on
    _word: str

    def _copy(self) -> "Insert":
        node = Insert.__new__(Insert)
        node._columns = self._columns
        node._comment = self._comment
        node._ignore = self._ignore
        node._query = self._query
        node._rows = self._rows
        node._table = self._table
        node._target = self._target
        node._updates = self._updates
        node._word = self._word
        return node

    def row(self, *values: object) -> "Insert":
        """Return the statement with one more row of plain values or expressions.

        Raise ``ValueError`` unless there is one value per column.
        """
        return _with_rows(self, (values,))

    def rows(self, rows: "Iterable[Iterable[object]]") -> "Insert":
        """Return the statement with more rows, each an iterable of values as in ``row``."""
        if isinstance(rows, (str, bytes)) or not hasattr(type(rows), "__iter__"):
            raise TypeError(f"rows must be an iterable of rows, got {shown(rows)}")
        return _with_rows(self, tuple(rows))

    def from_select(self, query: Query) -> "Insert":
        """Return the statement with the rows of `query`, which must have as many columns."""
        if not isinstance(query, Query):
            raise TypeError(f"query must be a SELECT or a UNION, got {shown(query)}")
        if self._query is not None:
            raise ValueError("the INSERT has a query already: combine both with union_all()")
        node = self._copy()
        node._query = query
        width = node._query._width()
        if width >= 0 and width != len(self._columns):
            raise ValueError(f"query must have {len(self._columns)} columns, got {width}")
        return node

    def on_duplicate_key_update(self, column: Column, value: object) -> "Insert":
        """Return the statement that sets `column` to `value` in a row that already exists.

        ``values(column)`` is the value that INSERT tried to write. SQLite and PostgreSQL use
        ON CONFLICT, for which PostgreSQL needs ``conflict_target``.
        """
        node = self._copy()
        node._updates = (*node._updates, own_column(self._table, column), operand(value))
        return node

    def conflict_target(self, *columns: Column) -> "Insert":
        """Return the statement that detects existing rows by `columns`, a unique key.

        MySQL ignores this and checks every unique key.
        """
        if not columns:
            raise ValueError("conflict_target() needs at least one column")
        node = self._copy()
        node._target = tuple([own_column(self._table, column) for column in columns])
        return node

    def ignore_duplicates(self, ignore: bool = True) -> "Insert":
        """Return the statement that skips rows that already exist."""
        if not isinstance(ignore, bool):
            raise TypeError(f"ignore must be a bool, got {shown(ignore)}")
        node = self._copy()
        node._ignore = ignore
        return node

    def comment(self, comment: str) -> "Insert":
        """Return the statement with a comment of ASCII letters, digits, spaces and ``_ .?``."""
        node = self._copy()
        node._comment = check_comment(comment)
        return node

    def _write_statement(self, out: Renderer) -> int:
        text = out.text
        text.put(self._word)
        if self._ignore:
            _write_ignore(out, self._word)
        text.put("INTO ")
        if self._comment is not None:
            write_comment(out, self._comment)
        if self._word == "REPLACE ":
            out.need(_grammar.IN_MYSQL | _grammar.IN_SQLITE, "REPLACE")
            if self._updates:
                raise ValueError("REPLACE cannot have on_duplicate_key_update(): it replaces rows")
        self._table._write_target(out)
        out.scope = self._table._names
        text.put(" (")
        out.unqualified = out.dialect != MYSQL
        write_list(out, self._columns)
        out.unqualified = False
        text.put(") ")
        if self._query is not None:
            if self._rows is not None:
                raise ValueError("an INSERT has either rows or a query, not both")
            out.scope = None
            self._query._write_query(out)
            out.scope = self._table._names
        elif self._rows is None:
            raise ValueError("INSERT needs at least one row: call row() or rows()")
        else:
            text.put("VALUES ")
            _write_rows(out, self._rows, len(self._columns))
        if out.dialect == MYSQL:
            if self._updates:
                text.put(" ON DUPLICATE KEY UPDATE ")
                write_assignments(out, self._updates)
        elif self._updates or (self._ignore and out.dialect == POSTGRESQL):
            _write_conflict(out, self)
        return 0


class Change(Statement):
    """Base class of UPDATE and DELETE: which rows of the table to change."""

    __slots__ = ("_all", "_comment", "_limit", "_order", "_table", "_where")

    _all: bool
    _comment: "str | None"
    _limit: int
    _order: "tuple[object, ...]"
    _table: Source
    _where: "Expression | None"

    def _clone(self) -> "Change":
        raise TypeError(f"{type(self).__name__} is abstract")

    def where(self, condition: Expression) -> "Change":
        """Return the statement with `condition` added to its WHERE by AND."""
        node = self._clone()
        if self._where is None:
            node._where = predicate("the condition of WHERE", condition)
        else:
            node._where = conjunction(self._where, condition)
        return node

    def and_where(self, condition: Expression) -> "Change":
        """Return ``where(condition)``; an alias."""
        return self.where(condition)

    def replace_where(self, condition: Expression) -> "Change":
        """Return the statement with its WHERE replaced by `condition`."""
        node = self._clone()
        node._where = predicate("the condition of WHERE", condition)
        return node

    def all_rows(self) -> "Change":
        """Return the statement for every row of the table; it needs no WHERE."""
        node = self._clone()
        node._all = True
        return node

    def order_by(self, *terms: "Expression | Ordering") -> "Change":
        """Return the statement with its ORDER BY replaced by `terms`; MySQL only."""
        node = self._clone()
        node._order = ordered(terms)
        return node

    def limit(self, count: int) -> "Change":
        """Return the statement with LIMIT `count`, an int in [0, 2**63); MySQL only."""
        node = self._clone()
        node._limit = check_count("limit", count)
        return node

    def comment(self, comment: str) -> "Change":
        """Return the statement with a comment of ASCII letters, digits, spaces and ``_ .?``."""
        node = self._clone()
        node._comment = check_comment(comment)
        return node


class Update(Change):
    """UPDATE statement, made by ``table.update``."""

    __slots__ = ("_updates",)

    _updates: "tuple[object, ...]"

    def _clone(self) -> "Change":
        node = Update.__new__(Update)
        _share(self, node)
        node._updates = self._updates
        return node

    def set(self, column: Column, value: object) -> "Update":
        """Return the statement with one more assignment, after those it has."""
        own = own_column(self._table, column)
        for known in self._updates[::2]:
            if own_column(self._table, known)._bare == own._bare:
                raise ValueError(f"column {own.name} is set twice")
        node = _updated(self)
        node._updates = (*self._updates, own, operand(value))
        return node

    def _write_statement(self, out: Renderer) -> int:
        text = out.text
        text.put("UPDATE ")
        if self._comment is not None:
            write_comment(out, self._comment)
        self._table._write_source(out)
        out.scope = self._table._names
        if not self._updates:
            raise ValueError("UPDATE needs at least one assignment: call set()")
        text.put(" SET ")
        write_assignments(out, self._updates)
        return _write_rest(out, self, "UPDATE")


class Delete(Change):
    """DELETE statement, made by ``table.delete``."""

    __slots__ = ()

    def _clone(self) -> "Change":
        node = Delete.__new__(Delete)
        _share(self, node)
        return node

    def _write_statement(self, out: Renderer) -> int:
        out.text.put("DELETE FROM ")
        if self._comment is not None:
            write_comment(out, self._comment)
        self._table._write_target(out)
        out.scope = self._table._names
        return _write_rest(out, self, "DELETE")


def new_insert(table: Source, columns: "tuple[Column, ...]", word: str) -> Insert:
    """Return an INSERT or REPLACE, as `word` says, into `columns` of `table`."""
    if not columns:
        raise ValueError("INSERT needs at least one column: pass it to insert()")
    node = Insert.__new__(Insert)
    node._table = table
    node._columns = tuple([own_column(table, column) for column in columns])
    node._word = word
    node._comment = None
    node._ignore = False
    node._query = None
    node._rows = None
    node._updates = node._target = ()
    return node


def new_update(table: Source) -> Update:
    """Return an UPDATE of `table`."""
    node = Update.__new__(Update)
    _start(node, table)
    node._updates = ()
    return node


def new_delete(table: Source) -> Delete:
    """Return a DELETE from `table`."""
    node = Delete.__new__(Delete)
    _start(node, table)
    return node


def own_column(table: Source, column: object) -> Column:
    """Return `column` if it belongs to `table`, or raise."""
    if not isinstance(column, Column):
        raise TypeError(f"column must be a column, got {shown(column)}")
    node = column
    if node._owner not in table._names:
        raise ValueError(f"{node._ticked} is not a column of table {table._names[0]}")
    return node


def _start(node: Change, table: Source) -> int:
    node._table = table
    node._all = False
    node._comment = None
    node._limit = -1
    node._order = ()
    node._where = None
    return 0


def _share(old: Change, node: Change) -> int:
    node._table = old._table
    node._all = old._all
    node._comment = old._comment
    node._limit = old._limit
    node._order = old._order
    node._where = old._where
    return 0


def _updated(old: Update) -> Update:
    node = Update.__new__(Update)
    _share(old, node)
    return node


def _with_rows(insert: Insert, rows: "tuple[Any, ...]") -> Insert:
    width = len(insert._columns)
    plain = True
    taken: list[tuple[object, ...]] = []
    for row in rows:
        if type(row) is not tuple and (
            isinstance(row, (str, bytes)) or not hasattr(type(row), "__iter__")
        ):
            raise TypeError(f"a row must be an iterable of values, got {shown(row)}")
        values = tuple(row)
        if len(values) != width:
            raise ValueError(f"a row must have {width} values, one per column, got {len(values)}")
        if not are_plain(values):
            values = tuple([operand(value) for value in values])
            plain = plain and not has_nodes(values)
        taken.append(values)
    node = insert._copy()
    if taken:
        node._rows = (insert._rows, tuple(taken), plain)
    return node


def are_plain(values: "tuple[object, ...]") -> bool:
    """Return whether all `values` are None or exactly int, str, float or bytes."""
    for value in values:
        kind = type(value)
        if not (kind is int or kind is str or value is None or kind is float or kind is bytes):
            return False
    return True


def has_nodes(values: "tuple[object, ...]") -> bool:
    """Return whether there is an expression among `values`."""
    for value in values:  # noqa: SIM110  # a cdef function cannot contain a generator
        if isinstance(value, Expression):
            return True
    return False


def _write_ignore(out: Renderer, word: str) -> int:
    if word == "REPLACE ":
        raise ValueError("REPLACE cannot have ignore_duplicates(): it replaces rows")
    if out.dialect == MYSQL:
        out.text.put("IGNORE ")
    elif out.dialect == SQLITE:
        out.text.put("OR IGNORE ")
    return 0


def _write_rows(out: Renderer, rows: "tuple[Any, Any, bool] | None", width: int) -> int:
    chunks: list[tuple[Any, bool]] = []
    while rows is not None:
        before, chunk, plain = rows
        chunks.append((chunk, plain))
        rows = before
    first = True
    for chunk, plain in reversed(chunks):
        if plain:
            if not first:
                out.text.put(", ")
            out.rows(chunk, width)
            first = False
            continue
        for row in chunk:
            out.text.put("(" if first else ", (")
            first = False
            _write_row(out, row)
            out.text.put(")")
    return 0


def _write_row(out: Renderer, row: "tuple[object, ...]") -> int:
    for index in range(len(row)):
        if index:
            out.text.put(",")
        write_operand(out, row[index], 0)
    return 0


def write_assignments(out: Renderer, updates: "tuple[object, ...]") -> int:
    """Write ``column=value, column=value``."""
    for index in range(0, len(updates), 2):
        if index:
            out.text.put(", ")
        out.unqualified = out.dialect != MYSQL
        write_operand(out, updates[index], 0)
        out.unqualified = False
        out.text.put("=")
        write_operand(out, updates[index + 1], 0)
    return 0


def _write_conflict(out: Renderer, insert: Insert) -> int:
    if insert._updates and insert._ignore:
        raise ValueError("INSERT has either ignore_duplicates() or on_duplicate_key_update()")
    out.text.put(" ON CONFLICT")
    if insert._target:
        out.text.put(" (")
        out.unqualified = True
        write_list(out, insert._target)
        out.unqualified = False
        out.text.put(")")
    elif insert._updates and out.dialect == POSTGRESQL:
        raise ValueError("PostgreSQL needs conflict_target() for on_duplicate_key_update()")
    if not insert._updates:
        out.text.put(" DO NOTHING")
        return 0
    out.text.put(" DO UPDATE SET ")
    return write_assignments(out, insert._updates)


def _write_rest(out: Renderer, change: Change, word: str) -> int:
    if change._where is not None:
        if change._all:
            raise ValueError(f"{word} has either where() or all_rows(), not both")
        out.text.put(" WHERE ")
        change._where._write(out)
    elif not change._all:
        raise ValueError(f"{word} without WHERE: call where() or all_rows()")
    if change._order:
        out.need(_grammar.IN_MYSQL, f"ORDER BY in {word}")
        out.text.put(" ORDER BY ")
        write_list(out, change._order)
    if change._limit >= 0:
        out.need(_grammar.IN_MYSQL, f"LIMIT in {word}")
        write_limit(out, change._limit, -1)
    return 0
