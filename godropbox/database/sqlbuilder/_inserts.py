"""INSERT and REPLACE: rows, queries, and what happens to rows that exist already.

A table's methods make them, and they write to that table only.
"""

from ._base import operand, predicate
from ._clauses import write_comment, write_list
from ._columns import Column, encoded
from ._names import check_identifier, shown
from ._nodes import Expression, conjunction
from ._render import Renderer, new_renderer
from ._selects import Source, write_with
from ._statement import Query
from ._terms import Values
from ._writes import (
    Write,
    find_column,
    own_column,
    write_assigned,
    write_assignments,
    write_returning,
)
from .dialects import unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    Row = Iterable[object] | Mapping[Any, object]

__all__ = ["Insert", "new_insert"]


class Insert(Write):
    """INSERT or REPLACE statement, made by ``table.insert`` and ``table.replace``."""

    __slots__ = (
        "_coded",
        "_columns",
        "_constraint",
        "_defaults",
        "_ignore",
        "_index_where",
        "_nothing",
        "_query",
        "_rows",
        "_target",
        "_update_where",
        "_updates",
        "_word",
    )

    _coded: bool  # whether one of the columns checks or converts its values
    _columns: "tuple[Column, ...]"
    _constraint: "str | None"
    _defaults: bool  # whether it inserts a row of defaults
    _ignore: bool  # whether it skips every row that cannot be stored
    _index_where: "Expression | None"
    _nothing: bool  # whether it skips rows that exist already
    _query: "Query | None"
    _rows: "tuple[Any, Any, bool] | None"  # earlier rows (same form), rows, whether all are plain
    _target: "tuple[Expression, ...]"
    _update_where: "Expression | None"
    _updates: "tuple[object, ...]"  # column, value, column, value and so on
    _word: str

    def _clone(self) -> "Write":
        return self._copy()

    def _copy(self) -> "Insert":
        node = Insert.__new__(Insert)
        node._coded = self._coded
        node._columns = self._columns
        node._comment = self._comment
        node._constraint = self._constraint
        node._defaults = self._defaults
        node._ignore = self._ignore
        node._index_where = self._index_where
        node._nothing = self._nothing
        node._query = self._query
        node._returning = self._returning
        node._rows = self._rows
        node._table = self._table
        node._target = self._target
        node._update_where = self._update_where
        node._updates = self._updates
        node._with = self._with
        node._word = self._word
        return node

    def row(self, *values: object) -> "Insert":
        """Return the statement with one more row of plain values or expressions.

        Raise ``ValueError`` unless there is one value per column. An INSERT without columns takes
        all columns of the table.
        """
        return _with_rows(self, (values,))

    def rows(self, rows: "Iterable[Row]") -> "Insert":
        """Return the statement with more rows, each values as in ``row`` or a mapping.

        The keys of a mapping are columns or their names. An INSERT without columns takes those of
        its first row; every row must have the same, in any order.
        """
        if isinstance(rows, (str, bytes)) or not hasattr(type(rows), "__iter__"):
            raise TypeError(f"rows must be an iterable of rows, got {shown(rows)}")
        return _with_rows(self, tuple(rows))

    def values(self, rows: "Row | Iterable[Row] | None" = None, /, **values: object) -> "Insert":
        """Return the statement with one more row, by the names of its columns, or with `rows`.

        ``values(id=1, name="Ada")`` and ``values({"id": 1, "name": "Ada"})`` add a row, as do
        ``values((1, "Ada"))`` and ``values([1, "Ada"])``; a list or tuple of rows adds them all.
        Raise ``ValueError`` for a column that the table has not, or that a row lacks.
        """
        if rows is None:
            if not values:
                raise ValueError(
                    "values() needs a value: call default_values() for a row of defaults"
                )
            return _with_rows(self, (values,))
        if values:
            raise TypeError("values() takes either rows or values by name, not both")
        if hasattr(type(rows), "keys"):
            return _with_rows(self, (rows,))
        if isinstance(rows, (str, bytes)) or not hasattr(type(rows), "__iter__"):
            raise TypeError(f"rows must be a row or an iterable of rows, got {shown(rows)}")
        taken = tuple(rows)
        if taken and _is_row(taken[0]):
            return _with_rows(self, taken)
        return _with_rows(self, (taken,)) if taken else self

    def default_values(self) -> "Insert":
        """Return the statement with a row of every column's default, its only row."""
        node = self._copy()
        node._defaults = True
        return node

    def from_select(self, query: Query) -> "Insert":
        """Return the statement with the rows of `query`, which must have as many columns.

        An INSERT without columns takes all columns of the table.
        """
        if not isinstance(query, Query):
            raise TypeError(f"query must be a SELECT or a UNION, got {shown(query)}")
        if self._query is not None:
            raise ValueError("the INSERT has a query already: combine both with union_all()")
        node = self._copy()
        node._query = query
        if not node._columns and node._rows is None:
            node._columns = node._table._columns()
            node._coded = _are_coded(node._columns)
        width = node._query._width()
        if width >= 0 and width != len(node._columns):
            raise ValueError(f"query must have {len(node._columns)} columns, got {width}")
        return node

    def on_duplicate_key_update(self, column: Column, value: object) -> "Insert":
        """Return the statement that sets `column` to `value` in a row that already exists.

        ``values(column)`` is the value that INSERT tried to write. SQLite and PostgreSQL use
        ON CONFLICT, for which PostgreSQL needs ``conflict_target`` or ``conflict_constraint``.
        """
        node = self._copy()
        own = own_column(self._table, column)
        node._updates = (*node._updates, own, encoded(own, value))
        return node

    def update_where(self, condition: Expression) -> "Insert":
        """Return the statement that updates an existing row only where `condition` holds.

        MySQL and MariaDB have no such condition.
        """
        node = self._copy()
        if self._update_where is None:
            node._update_where = predicate("the condition of WHERE", condition)
        else:
            node._update_where = conjunction(self._update_where, condition)
        return node

    def conflict_target(self, *columns: Expression, where: "Expression | None" = None) -> "Insert":
        """Return the statement that detects existing rows by `columns`, a unique key.

        `where` is the condition of a partial unique index, and an expression among `columns` is one
        of an index on expressions. MySQL and MariaDB cannot name a key: they check every unique
        key, ignore `columns`, and refuse the rest.
        """
        if not columns:
            raise ValueError("conflict_target() needs at least one column")
        node = self._copy()
        node._target = tuple([_target_term(self._table, column) for column in columns])
        node._constraint = None
        node._index_where = None
        if where is not None:
            node._index_where = predicate("where", where)
        return node

    def conflict_constraint(self, name: str) -> "Insert":
        """Return the statement that detects existing rows by the constraint `name`, in PostgreSQL.

        It takes the place of ``conflict_target``.
        """
        node = self._copy()
        node._constraint = check_identifier("constraint name", name)
        node._target = ()
        node._index_where = None
        return node

    def on_conflict_do_nothing(
        self,
        *,
        index_elements: "Iterable[Column | str]" = (),
        index_where: "Expression | None" = None,
        constraint: "str | None" = None,
    ) -> "Insert":
        """Return the statement that skips rows that exist already: ``ignore_duplicates`` by key.

        The key is `index_elements`, columns or their names, with `index_where` as in
        ``conflict_target``; or a `constraint`; or any unique key.
        """
        node = _aimed(self, index_elements, index_where, constraint)
        return node.ignore_duplicates()

    def on_conflict_do_update(
        self,
        *,
        set_: "Mapping[Column | str, object]",
        index_elements: "Iterable[Column | str]" = (),
        index_where: "Expression | None" = None,
        constraint: "str | None" = None,
        where: "Expression | None" = None,
    ) -> "Insert":
        """Return the statement that updates rows that exist already: an upsert.

        `set_` maps columns or their names to values, among them ``values(column)``. `where` is as
        in ``update_where``, and the key is as in ``on_conflict_do_nothing``.
        """
        if not hasattr(type(set_), "keys") or not set_:
            raise TypeError(f"set_ must be a mapping of columns to values, got {shown(set_)}")
        node = _aimed(self, index_elements, index_where, constraint)
        for key in set_:
            column = find_column(self._table, key)
            node = node.on_duplicate_key_update(column, set_[key])
        return node if where is None else node.update_where(where)

    def ignore_duplicates(self, ignore: bool = True) -> "Insert":
        """Return the statement that skips rows that exist already; other errors stay errors.

        ``conflict_target`` says by which unique key, otherwise by any. MySQL and MariaDB, which
        always check every unique key, set a column of an existing row to itself.
        """
        if not isinstance(ignore, bool):
            raise TypeError(f"ignore must be a bool, got {shown(ignore)}")
        node = self._copy()
        node._nothing = ignore
        return node

    def ignore_errors(self, ignore: bool = True) -> "Insert":
        """Return the statement with INSERT IGNORE, or SQLite's INSERT OR IGNORE.

        It skips rows that exist already, and also rows that violate NOT NULL or CHECK, or in MySQL
        stores the nearest value that the column accepts: prefer ``ignore_duplicates``.
        """
        if not isinstance(ignore, bool):
            raise TypeError(f"ignore must be a bool, got {shown(ignore)}")
        node = self._copy()
        node._ignore = ignore
        return node

    def _write_statement(self, out: Renderer) -> int:
        text = out.text
        before = bool(self._with) and (self._query is None or out.can("WITH before INSERT"))
        if before:
            out.need("WITH before INSERT")
            write_with(out, self._with)
        text.put(self._word)
        if self._ignore:
            if self._word == "REPLACE ":
                raise ValueError("REPLACE cannot have ignore_errors(): it replaces rows")
            out.need("INSERT IGNORE")
            text.put(out.dialect.ignore_word)
        text.put("INTO ")
        if self._comment is not None:
            write_comment(out, self._comment)
        if self._word == "REPLACE ":
            _check_replace(out, self)
        if self._table._is_alias():
            out.need("alias in INSERT")
            self._table._write_source(out)
        else:
            self._table._write_target(out)
        out.scope = self._table._names
        if self._updates and out.can("row alias") and _proposes(out, self):
            out.row_alias = proposed_row(self._table._names[0])
        self._write_rows_or_query(out, before)
        if self._updates or self._nothing:
            _write_conflict(out, self)
        if self._returning:
            write_returning(out, self, self._word.rstrip(), self._table._names)
        return 0

    def _write_rows_or_query(self, out: Renderer, before: bool) -> int:
        text = out.text
        if self._defaults:
            if self._columns or self._rows is not None or self._query is not None:
                raise ValueError("an INSERT has either default_values() or rows, not both")
            text.put(" DEFAULT VALUES" if out.can("DEFAULT VALUES") else " () VALUES ()")
            return 0
        if not self._columns:
            raise ValueError("INSERT needs columns and rows: call values()")
        text.put(" (")
        out.unqualified = not out.dialect.qualified_targets
        write_list(out, self._columns)
        out.unqualified = False
        text.put(") ")
        if self._query is not None:
            if self._rows is not None:
                raise ValueError("an INSERT has either rows or a query, not both")
            out.scope = None
            if self._with and not before:
                write_with(out, self._with)
            alias = out.row_alias
            out.row_alias = None  # the query knows nothing of it
            _write_query(out, self, alias)
            out.row_alias = alias
            out.scope = self._table._names
        elif self._rows is None:
            raise ValueError("INSERT needs at least one row: call row() or rows()")
        else:
            text.put("VALUES ")
            alias = out.row_alias
            out.row_alias = None
            _write_rows(out, self._rows, len(self._columns))
            if alias is not None:
                text.put(" AS ")
                out.name(alias)
                out.row_alias = alias
        return 0


def new_insert(table: Source, columns: "tuple[Column, ...]", word: str) -> Insert:
    """Return an INSERT or REPLACE, as `word` says, into `columns` of `table`."""
    node = Insert.__new__(Insert)
    node._table = table
    node._columns = tuple([own_column(table, column) for column in columns])
    node._coded = _are_coded(node._columns)
    node._word = word
    node._comment = node._constraint = None
    node._defaults = node._ignore = node._nothing = False
    node._index_where = node._update_where = None
    node._query = None
    node._rows = None
    node._updates = node._target = node._returning = node._with = ()
    return node


def _with_rows(insert: Insert, rows: "tuple[Any, ...]") -> Insert:
    node = insert._copy()
    if not rows:
        return node
    if not node._columns:
        _take_columns(node, rows[0])
    width = len(node._columns)
    plain = True
    taken: list[tuple[object, ...]] = []
    for row in rows:
        if type(row) is tuple:
            values = row
        elif hasattr(type(row), "keys"):
            values = _in_order(node, row)
        elif isinstance(row, (str, bytes)) or not hasattr(type(row), "__iter__"):
            raise TypeError(f"a row must be an iterable of values, got {shown(row)}")
        else:
            values = tuple(row)
        if len(values) != width:
            raise ValueError(f"a row must have {width} values, one per column, got {len(values)}")
        if node._coded:
            values = _encoded_row(node._columns, values)
            plain = plain and not has_nodes(values)
        elif not are_plain(values):
            values = tuple([operand(value) for value in values])
            plain = plain and not has_nodes(values)
        taken.append(values)
    chunk = tuple(taken)
    before = insert._rows
    while before is not None and len(before[1]) <= len(chunk):
        # Chunks grow towards the first, so that many calls of row() nest only a few of them.
        chunk = before[1] + chunk
        plain = plain and before[2]
        before = before[0]
    node._rows = (before, chunk, plain)
    return node


def _take_columns(insert: Insert, row: object) -> int:
    """Give an INSERT without columns those of its first row."""
    if hasattr(type(row), "keys"):
        keys: Iterable[object] = row  # type: ignore[assignment]  # a mapping, tested above
        insert._columns = tuple([find_column(insert._table, key) for key in keys])
        if not insert._columns:
            raise ValueError("a row needs a value: call default_values() for a row of defaults")
    else:
        insert._columns = insert._table._columns()
    insert._coded = _are_coded(insert._columns)
    return 0


def _in_order(insert: Insert, row: "Any") -> "tuple[object, ...]":
    """Return the values of a mapping in the order of the columns."""
    known: dict[str, object] = {}
    for key in row:
        column = find_column(insert._table, key)
        if column._bare in known:
            raise ValueError(f"a row must have column {column._bare} once, got {shown(row)}")
        known[column._bare] = row[key]
    values: list[object] = []
    for index in range(len(insert._columns)):
        column = insert._columns[index]
        if column._bare not in known:
            raise ValueError(
                f"a row must have a value for column {column._bare}, as the first row has: pass "
                "DEFAULT for the column's default"
            )
        values.append(known.pop(column._bare))
    if known:
        names = ", ".join([column.name for column in insert._columns])
        raise ValueError(f"a row must have only the columns {names}, got {', '.join(known)}")
    return tuple(values)


def _encoded_row(
    columns: "tuple[Column, ...]", values: "tuple[object, ...]"
) -> "tuple[object, ...]":
    taken: list[object] = []
    for index in range(len(columns)):
        taken.append(encoded(columns[index], values[index]))
    return tuple(taken)


def _are_coded(columns: "tuple[Column, ...]") -> bool:
    for index in range(len(columns)):
        column = columns[index]
        if column._codec is not None:
            return True
    return False


def _is_row(value: object) -> bool:
    """Return whether `value`, the first of several, is a row and not a value."""
    return isinstance(value, (list, tuple)) or hasattr(type(value), "keys")


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
        write_assigned(out, row[index])
    return 0


def _target_term(table: Source, term: object) -> Expression:
    """Return a term of ON CONFLICT: a column of the table, or an expression of an index."""
    if isinstance(term, Expression) and not isinstance(term, Column):
        return term
    return own_column(table, term)


def _aimed(
    insert: Insert,
    elements: "Iterable[Column | str]",
    where: "Expression | None",
    constraint: "str | None",
) -> Insert:
    """Return the INSERT with the key of ON CONFLICT in SQLAlchemy's terms."""
    if isinstance(elements, str) or not hasattr(type(elements), "__iter__"):
        raise TypeError(f"index_elements must be an iterable of columns, got {shown(elements)}")
    table = insert._table
    columns: list[object] = []
    for element in elements:
        columns.append(find_column(table, element) if isinstance(element, str) else element)
    if columns and constraint is not None:
        raise ValueError("ON CONFLICT has either index_elements or constraint, not both")
    if where is not None and not columns:
        raise ValueError("index_where needs index_elements")
    if constraint is not None:
        return insert.conflict_constraint(constraint)
    return insert.conflict_target(*columns, where=where) if columns else insert  # type: ignore[arg-type]


def _check_replace(out: Renderer, insert: Insert) -> int:
    out.need("REPLACE")
    if insert._updates:
        raise ValueError("REPLACE cannot have on_duplicate_key_update(): it replaces rows")
    if insert._nothing:
        raise ValueError("REPLACE cannot have ignore_duplicates(): it replaces rows")
    return 0


def _proposes(out: Renderer, insert: Insert) -> bool:
    """Return whether an update uses ``values(column)``."""
    probe = None
    for value in insert._updates[1::2]:
        if isinstance(value, Values):
            return True
        if isinstance(value, Expression) and not isinstance(value, Column):
            if probe is None:
                probe = new_renderer(None, out.dialect, None)
                probe.slots = []
            probe.scope = out.scope
            probe.ctes = out.ctes
            expression = value
            expression._write(probe)
            if probe.proposed:
                return True
    return False


def _write_query(out: Renderer, insert: Insert, alias: "str | None") -> int:
    """Write the query of the rows, as a table named `alias` if that is given.

    With ON DUPLICATE KEY UPDATE, the names of the query's own tables would be ambiguous after it.
    SQLite would read the ON of ON CONFLICT as part of a join, unless the query ends with a WHERE.
    """
    query = insert._query
    if query is None:
        return 0
    upsert = insert._updates or insert._nothing
    if alias is not None:
        return _write_named_query(out, insert, alias)
    if not upsert or out.can("ON CONFLICT after a query"):
        return query._write_query(out)
    if out.can("ON DUPLICATE KEY UPDATE"):
        target = insert._table._names[0]
        if query._reads(target):
            return _write_named_query(out, insert, proposed_row(target))
        return query._write_query(out)
    out.text.put("SELECT * FROM (")
    query._write_query(out)
    out.text.put(") WHERE TRUE")
    return 0


def _write_named_query(out: Renderer, insert: Insert, alias: str) -> int:
    """Write the query of the rows as a table whose columns have the names of the INSERT's."""
    query = insert._query
    if query is None:
        return 0
    text = out.text
    text.put("SELECT * FROM (")
    native = out.can("column names in FROM")
    if native:
        query._write_query(out)
        text.put(") AS ")
        out.name(alias)
        _write_names(out, insert._columns)
        return 0
    text.put("WITH ")
    out.name(alias)
    _write_names(out, insert._columns)
    text.put(" AS (")
    query._write_query(out)
    text.put(") SELECT * FROM ")
    out.name(alias)
    text.put(") AS ")
    return out.name(alias)


def _write_names(out: Renderer, columns: "tuple[Column, ...]") -> int:
    out.text.put(" (")
    for index in range(len(columns)):
        if index:
            out.text.put(",")
        column = columns[index]
        out.name(column._bare)
    out.text.put(")")
    return 0


def proposed_row(target: str) -> str:
    """Return a name for the row that INSERT tried to write: not `target`, its table's."""
    return "excluded" if target != "excluded" else "excluded_row"


def _write_conflict(out: Renderer, insert: Insert) -> int:
    if insert._updates and insert._nothing:
        raise ValueError("INSERT has either ignore_duplicates() or on_duplicate_key_update()")
    if insert._update_where is not None:
        if not insert._updates:
            raise ValueError("update_where() needs on_duplicate_key_update()")
        out.need("WHERE in ON CONFLICT DO UPDATE")
    if insert._index_where is not None:
        out.need("ON CONFLICT WHERE")
    if insert._constraint is not None:
        out.need("ON CONFLICT ON CONSTRAINT")
    if out.can("ON DUPLICATE KEY UPDATE"):
        out.text.put(" ON DUPLICATE KEY UPDATE ")
        return write_assignments(out, insert._updates or _no_change(insert))
    return _write_on_conflict(out, insert)


def _no_change(insert: Insert) -> "tuple[object, ...]":
    """Return an assignment that changes nothing: of a column to itself."""
    columns = insert._columns or insert._table._columns()
    return (columns[0], columns[0])


def _write_on_conflict(out: Renderer, insert: Insert) -> int:
    text = out.text
    out.need("ON CONFLICT")
    if insert._defaults:
        out.need("ON CONFLICT after DEFAULT VALUES")
    text.put(" ON CONFLICT")
    if insert._constraint is not None:
        text.put(" ON CONSTRAINT ")
        out.name(insert._constraint)
    elif insert._target:
        text.put(" (")
        out.unqualified = True
        _write_target(out, insert._target)
        text.put(")")
        if insert._index_where is not None:
            text.put(" WHERE ")
            _write_literally(out, insert._index_where)
        out.unqualified = False
    elif insert._updates and not out.can("ON CONFLICT without a target"):
        raise unsupported(
            out.dialect,
            "ON CONFLICT without a target",
            f"{out.dialect.title} has no ON CONFLICT without a target: call conflict_target() with "
            "a unique key",
        )
    if not insert._updates:
        text.put(" DO NOTHING")
        return 0
    text.put(" DO UPDATE SET ")
    write_assignments(out, insert._updates)
    if insert._update_where is not None:
        text.put(" WHERE ")
        insert._update_where._write(out)
    return 0


def _write_literally(out: Renderer, condition: Expression) -> int:
    """Write the condition of an index with literals; with parameters it would not match."""
    doubles, binding, slots = out.doubles, out.binding, out.slots
    out.doubles = out.binding = False
    out.slots = None
    before = out.text.take()
    condition._write(out)
    after = out.text.take()
    out.doubles, out.binding, out.slots = doubles, binding, slots
    out.text.put(before)
    out.text.put(out.written(after))
    return 0


def _write_target(out: Renderer, terms: "tuple[Expression, ...]") -> int:
    """Write columns, and expressions in parentheses."""
    for index in range(len(terms)):
        if index:
            out.text.put(",")
        term = terms[index]
        if isinstance(term, Column):
            term._write(out)
        else:
            out.text.put("(")
            term._write(out)
            out.text.put(")")
    return 0
