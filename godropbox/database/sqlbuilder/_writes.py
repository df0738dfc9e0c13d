"""What INSERT, UPDATE and DELETE share, and the latter two.

A table's methods make them, and they write to that table only. ``_inserts`` has INSERT and REPLACE.
"""

from ._base import depth_of, predicate, write_operand
from ._clauses import Ordering, expressions, ordered, write_comment, write_limit, write_list
from ._columns import Column, encoded
from ._names import check_comment, check_count, shown
from ._nodes import Expression, conjunction
from ._queries import SelectBase
from ._render import Renderer
from ._selects import Source, named, write_with
from ._spelling import no_column
from ._statement import Statement
from .dialects import unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ._records import Records, ResultColumn

__all__ = [
    "DEFAULT",
    "Change",
    "Default",
    "Delete",
    "Update",
    "Write",
    "find_column",
    "new_delete",
    "new_update",
    "own_column",
    "readable",
    "write_assigned",
    "write_assignments",
    "write_returning",
]


class Default(Expression):
    """The default of a column, ``DEFAULT``, as a whole value in a row or in SET."""

    __slots__ = ()

    def _write(self, out: Renderer) -> int:
        raise ValueError("DEFAULT is a whole value of INSERT or SET, not part of an expression")

    def __reduce__(self) -> str:
        return "DEFAULT"  # the name of a global, to pickle

    def __repr__(self) -> str:
        return "<Default>"


def _new_default() -> Default:
    node = Default.__new__(Default)
    node._prec = 100
    node._kind = 0
    node._depth = 1
    return node


DEFAULT = _new_default()


class Write(Statement):
    """Base class of INSERT, UPDATE and DELETE."""

    __slots__ = ("_comment", "_returning", "_table", "_with")

    _comment: "str | None"
    _returning: "tuple[object, ...]"
    _table: Source
    _with: "tuple[Source, ...]"

    def _clone(self) -> "Write":
        raise TypeError(f"{type(self).__name__} is abstract")

    def returning(self, *columns: Expression) -> "Write":
        """Return the statement with RETURNING `columns`, the values of the rows that it wrote.

        They are columns or expressions; ``table.star`` is all of them. PostgreSQL and SQLite have
        it, and MariaDB for INSERT, REPLACE and DELETE; others raise ``UnsupportedFeature``.
        """
        node = self._clone()
        node._returning = expressions("RETURNING", columns)
        return node

    def with_(self, *queries: Source) -> "Write":
        """Return the statement with `queries`, made by ``cte``, added to its WITH.

        MySQL and MariaDB have it in INSERT before the query of ``from_select`` only, and MariaDB
        not in UPDATE and DELETE.
        """
        node = self._clone()
        node._with = self._with + named(queries)
        return node

    @property
    def columns(self) -> "tuple[ResultColumn, ...]":
        """The name, the Python type and the nullability of each column that RETURNING yields."""
        return self._yielded().columns

    def records(self, make: "Callable[..., object] | None" = None) -> "Records":
        """Return a reader that turns the rows of RETURNING into records of the class `make`.

        It is as that of ``Select.records``.
        """
        return self._yielded().records(make)

    def _yielded(self) -> "Returned":
        if not self._returning:
            raise ValueError(f"this {type(self).__name__} returns no rows: call returning()")
        node = Returned.__new__(Returned)
        node._source = self
        return node

    def comment(self, comment: str) -> "Write":
        """Return the statement with a comment of ASCII letters, digits, spaces and ``_ .?``."""
        node = self._clone()
        node._comment = check_comment(comment)
        return node


class Returned(SelectBase):
    """The rows that INSERT, UPDATE or DELETE returns, as a query for WITH."""

    __slots__ = ("_source",)

    _source: Write

    def _outputs(self) -> "tuple[Column, ...]":
        found: list[Column] = []
        for term in self._source._returning:
            item = as_expression(term)
            if item._is_star():
                found.extend(self._source._table._columns())
            else:
                found.append(item._output())
        return tuple(found)

    def _width(self) -> int:
        return len(self._outputs())

    def _levels(self) -> int:
        return depth_of(self._source._returning) + 1

    def _write_query(self, out: Renderer) -> int:
        out.need("writes in WITH")
        scope, aliases, ctes = out.scope, out.aliases, out.ctes
        out.aliases = None
        self._source._write_statement(out)
        out.scope, out.aliases, out.ctes = scope, aliases, ctes
        return 0


class Change(Write):
    """Base class of UPDATE and DELETE: which rows of the table to change."""

    __slots__ = ("_all", "_conditions", "_joined", "_limit", "_order", "_others", "_where")

    _all: bool
    _conditions: "tuple[Expression, ...]"  # of the joins
    _joined: Source  # the table, joined with the others
    _limit: int
    _order: "tuple[object, ...]"
    _others: "tuple[Source, ...] | None"  # None if they cannot be a list, because of a LEFT JOIN
    _where: "Expression | None"

    def where(self, condition: Expression) -> "Change":
        """Return the statement with `condition` added to its WHERE by AND."""
        node = as_change(self._clone())
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
        node = as_change(self._clone())
        node._where = predicate("the condition of WHERE", condition)
        return node

    def all_rows(self) -> "Change":
        """Return the statement for every row of the table; it needs no WHERE."""
        node = as_change(self._clone())
        node._all = True
        return node

    def join(self, other: Source, on: Expression) -> "Change":
        """Return the statement for the rows of its table that `on` joins with rows of `other`.

        MySQL and MariaDB write ``UPDATE table JOIN other ON ...``, PostgreSQL and SQLite
        ``UPDATE table ... FROM other WHERE ...``. SQLite has no DELETE of joined rows.
        """
        node = as_change(self._clone())
        node._joined = self._joined.join(other, on)
        node._conditions = (*self._conditions, on)
        if self._others is not None:
            node._others = (*self._others, other)
        return node

    def left_join(self, other: Source, on: Expression) -> "Change":
        """Return the statement with ``LEFT JOIN other ON on``; MySQL and MariaDB only."""
        node = as_change(self._clone())
        node._joined = self._joined.left_join(other, on)
        node._others = None
        return node

    def order_by(self, *terms: "Expression | Ordering") -> "Change":
        """Return the statement with its ORDER BY replaced by `terms`; MySQL and MariaDB only."""
        node = as_change(self._clone())
        node._order = ordered(terms)
        return node

    def limit(self, count: int) -> "Change":
        """Return the statement with LIMIT `count`, an int in [0, 2**63); MySQL and MariaDB only."""
        node = as_change(self._clone())
        node._limit = check_count("limit", count)
        return node

    def _is_joined(self) -> bool:
        return self._joined is not self._table


class Update(Change):
    """UPDATE statement, made by ``table.update``."""

    __slots__ = ("_updates",)

    _updates: "tuple[object, ...]"

    def _clone(self) -> "Write":
        node = Update.__new__(Update)
        _share(self, node)
        node._updates = self._updates
        return node

    def set(self, column: Column, value: object) -> "Update":
        """Return the statement with one more assignment, after those it has.

        MySQL and MariaDB can also set columns of the tables that are joined.
        """
        own = own_column(self._joined, column)
        for known in self._updates[::2]:
            other = own_column(self._joined, known)
            if other._bare == own._bare and other._owner == own._owner:
                raise ValueError(f"column {own.name} is set twice")
        node = _updated(self)
        node._updates = (*self._updates, own, encoded(own, value))
        return node

    def values(
        self, changes: "Mapping[Column | str, object] | None" = None, /, **values: object
    ) -> "Update":
        """Return the statement with more assignments, by the names of columns or by `changes`.

        ``values(name="Ada")`` and ``values({"name": "Ada"})`` are ``set(table.c.name, "Ada")``.
        Raise ``ValueError`` for a column that the table has not, or that is set already.
        """
        if changes is None:
            changes = values  # type: ignore[assignment]  # its keys are str
        elif values:
            raise TypeError("values() takes either a mapping or values by name, not both")
        if not hasattr(type(changes), "keys"):
            raise TypeError(f"changes must be a mapping of columns to values, got {shown(changes)}")
        if not changes:
            raise ValueError("values() needs at least one value")
        node = self
        for key in changes:
            column = find_column(self._table, key) if isinstance(key, str) else key
            node = node.set(column, changes[key])
        return node

    def from_(self, *sources: Source) -> "Update":
        """Return the statement with more `sources`, whose columns SET and WHERE can use.

        PostgreSQL and SQLite write ``UPDATE table SET ... FROM sources``, MySQL and MariaDB
        ``UPDATE table CROSS JOIN sources SET ...``. A row of the table that WHERE combines with
        several rows is changed once, by any of them.
        """
        node = _updated(self)
        _add_sources(node, sources)
        return node

    def _write_statement(self, out: Renderer) -> int:
        text = out.text
        if self._with:
            out.need("WITH in UPDATE")
            write_with(out, self._with)
        text.put("UPDATE ")
        if self._comment is not None:
            write_comment(out, self._comment)
        joined = self._is_joined()
        first = joined and out.can("JOIN in UPDATE")
        if joined and not first:
            out.need("FROM in UPDATE" if self._others is not None else "LEFT JOIN in UPDATE")
        if first:
            self._joined._write_source(out)
        else:
            self._table._write_source(out)
        out.scope = self._joined._names
        if not self._updates:
            raise ValueError("UPDATE needs at least one assignment: call set() or values()")
        if joined:
            _check_targets(out, self._table, self._updates)
        text.put(" SET ")
        write_assignments(out, self._updates)
        if joined and not first:
            text.put(" FROM ")
            _write_sources(out, self._others)
        return _write_rest(out, self, "UPDATE", first)


class Delete(Change):
    """DELETE statement, made by ``table.delete``."""

    __slots__ = ()

    def _clone(self) -> "Write":
        node = Delete.__new__(Delete)
        _share(self, node)
        return node

    def using(self, *sources: Source) -> "Delete":
        """Return the statement with more `sources`, whose columns WHERE can use.

        PostgreSQL writes ``DELETE FROM table USING sources``, MySQL and MariaDB
        ``DELETE FROM table USING table CROSS JOIN sources``. SQLite has no such DELETE.
        """
        node = Delete.__new__(Delete)
        _share(self, node)
        _add_sources(node, sources)
        return node

    def _write_statement(self, out: Renderer) -> int:
        text = out.text
        if self._with:
            out.need("WITH in DELETE")
            write_with(out, self._with)
        text.put("DELETE FROM ")
        if self._comment is not None:
            write_comment(out, self._comment)
        joined = self._is_joined()
        several = False
        if joined or self._table._is_alias():
            lacks = not joined and not out.can("alias in DELETE")
            several = lacks or (joined and out.can("DELETE from joined tables"))
        if several:
            self._table._write_deleted(out)
            text.put(" USING ")
            self._joined._write_source(out)
        elif self._table._is_alias():
            self._table._write_source(out)
        else:
            self._table._write_target(out)
        if joined and not several:
            out.need("USING in DELETE" if self._others is not None else "LEFT JOIN in DELETE")
            text.put(" USING ")
            _write_sources(out, self._others)
        out.scope = self._joined._names
        return _write_rest(out, self, "DELETE", several)


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


def find_column(table: Source, key: object) -> Column:
    """Return the column of `table` that `key` is or names, or raise."""
    if not isinstance(key, str):
        return own_column(table, key)
    columns = table._columns()
    for index in range(len(columns)):
        column = columns[index]
        if column._bare == key:
            return column
    names = [column.name for column in columns]
    raise ValueError(no_column(f"table {table._names[0]}", key, names))


def readable(query: object) -> object:
    """Return the rows that a write returns as a query, and any other query unchanged."""
    if not isinstance(query, Write):
        return query
    write = query
    return write._yielded()


def as_change(node: Write) -> Change:
    """Return `node`, which is an UPDATE or a DELETE."""
    if not isinstance(node, Change):
        raise TypeError(f"{type(node).__name__} is not an UPDATE or a DELETE")
    return node


def _start(node: Change, table: Source) -> int:
    node._table = node._joined = table
    node._all = False
    node._comment = None
    node._limit = -1
    node._order = node._returning = node._with = node._conditions = node._others = ()
    node._where = None
    return 0


def _share(old: Change, node: Change) -> int:
    node._table = old._table
    node._all = old._all
    node._comment = old._comment
    node._conditions = old._conditions
    node._joined = old._joined
    node._limit = old._limit
    node._order = old._order
    node._others = old._others
    node._returning = old._returning
    node._where = old._where
    node._with = old._with
    return 0


def _updated(old: Update) -> Update:
    node = Update.__new__(Update)
    _share(old, node)
    node._updates = old._updates
    return node


def _add_sources(node: Change, sources: "tuple[object, ...]") -> int:
    if not sources:
        raise ValueError("sources must be at least one table or query")
    for source in sources:
        if not isinstance(source, Source):
            raise TypeError(f"sources must be tables or queries, got {shown(source)}")
        node._joined = node._joined.cross_join(source)
        if node._others is not None:
            node._others = (*node._others, source)
    return 0


def write_assignments(out: Renderer, updates: "tuple[object, ...]") -> int:
    """Write ``column=value, column=value``."""
    for index in range(0, len(updates), 2):
        if index:
            out.text.put(", ")
        out.unqualified = not out.dialect.qualified_targets
        write_operand(out, updates[index], 0)
        out.unqualified = False
        out.text.put("=")
        write_assigned(out, updates[index + 1])
    return 0


def write_assigned(out: Renderer, value: object) -> int:
    """Write a value to be stored: an operand or DEFAULT."""
    if not isinstance(value, Default):
        return write_operand(out, value, 0)
    out.need("DEFAULT as a value")
    out.text.put("DEFAULT")
    return 0


def write_returning(out: Renderer, write: Write, word: str, tables: "tuple[str, ...]") -> int:
    """Write RETURNING.

    `word` says which kind of statement it is, `tables` are the names of all its tables.
    """
    out.need(f"RETURNING in {word}")
    text = out.text
    text.put(" RETURNING ")
    every = out.can("other tables in RETURNING")
    out.scope = tables if every else write._table._names
    out.unqualified = write._table._is_alias() and not out.can("alias in RETURNING")
    stars = out.can("table.* in RETURNING")
    first = True
    for term in write._returning:
        if not first:
            text.put(",")
        first = False
        item = as_expression(term)
        if item._is_star() and not stars:
            text.put("*")
        elif every:
            item._write_projection(out)
        else:
            _write_own(out, item, tables)
    out.unqualified = False
    return 0


def _write_own(out: Renderer, item: Expression, tables: "tuple[str, ...]") -> int:
    """Write a term of RETURNING that may read the table that is written to, and no other."""
    own = out.scope
    try:
        return item._write_projection(out)
    except ValueError:
        if own is not None and len(own) == len(tables):
            raise
        out.scope = tables
        item._write_projection(out)  # raises again, unless only the table was wrong
        raise unsupported(out.dialect, "other tables in RETURNING") from None


def as_expression(term: object) -> Expression:
    """Return `term`, which is an expression."""
    if not isinstance(term, Expression):
        raise TypeError(f"a term must be an expression, got {shown(term)}")
    return term


def _check_targets(out: Renderer, table: Source, updates: "tuple[object, ...]") -> int:
    """Raise if the assignments write to several tables and the dialect cannot."""
    for index in range(0, len(updates), 2):
        column = updates[index]
        if isinstance(column, Column) and column._owner not in table._names:
            return out.need("SET of joined tables")
    return 0


def _write_sources(out: Renderer, sources: "tuple[Source, ...] | None") -> int:
    first = True
    for source in sources or ():
        if not first:
            out.text.put(", ")
        first = False
        source._write_source(out)
    return 0


def _every(conditions: "tuple[Expression, ...]", where: "Expression | None") -> Expression:
    """Return the conditions of the joins and of WHERE as one."""
    found = conditions[0]
    for index in range(1, len(conditions)):
        found = conjunction(found, conditions[index])
    return found if where is None else conjunction(found, where)


def _write_rest(out: Renderer, change: Change, word: str, several: bool) -> int:
    """Write what follows the tables; `several` says that the joins are written with them."""
    where = change._where
    if where is not None and change._all:
        raise ValueError(f"{word} has either where() or all_rows(), not both")
    if where is None and not change._all and not change._conditions:
        raise ValueError(f"{word} without WHERE: call where() or all_rows()")
    if not several and change._conditions:
        where = _every(change._conditions, where)
    if where is not None:
        out.text.put(" WHERE ")
        where._write(out)
    if change._order:
        out.need(f"ORDER BY in {word}")
        if several:
            out.need(f"LIMIT in {word} of joined tables")
        out.text.put(" ORDER BY ")
        write_list(out, change._order)
    if change._limit >= 0:
        out.need(f"LIMIT in {word}")
        if several:
            out.need(f"LIMIT in {word} of joined tables")
        write_limit(out, change._limit, -1)
    if change._returning:
        if several:
            out.need(f"RETURNING in {word} of joined tables")
        write_returning(out, change, word, change._joined._names)
    return 0
