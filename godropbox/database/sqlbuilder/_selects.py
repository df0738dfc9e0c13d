"""Sources of rows (joins and their base class), and the SELECT statement.

``_tables`` has the tables themselves.
"""

from ..._kernels._identity import refuse_copies
from ..._kernels._signature import declared
from . import _grammar
from ._base import depth_of, predicate
from ._clauses import (
    Ordering,
    expressions,
    ordered,
    unordered,
    write_comment,
    write_limit,
    write_list,
)
from ._columns import Column
from ._groups import scalar_node
from ._names import check_comment, check_count, check_name, shown
from ._nodes import Expression, conjunction
from ._render import Renderer
from ._statement import Query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["Join", "Select", "Source", "named", "new_select", "output_names", "write_with"]

MYSQL = _grammar.MYSQL
SQLITE = _grammar.SQLITE
POSTGRESQL = _grammar.POSTGRESQL
MAX_DEPTH = _grammar.MAX_DEPTH


class Source:
    """Source of rows for FROM: a table, a join or a named query."""

    __slots__ = ("_level", "_names")
    __signature__ = declared

    __reduce_ex__ = refuse_copies

    _level: int
    _names: "tuple[str, ...]"

    def _write_source(self, out: Renderer) -> int:
        raise TypeError(f"{type(self).__name__} is abstract")

    def _write_target(self, out: Renderer) -> int:
        raise TypeError(f"{type(self).__name__} cannot be written to")

    def _write_definition(self, out: Renderer) -> int:
        raise TypeError(f"{type(self).__name__} has no definition for WITH")

    def _columns(self) -> "tuple[Column, ...]":
        return ()

    @property
    def columns(self) -> "tuple[Column, ...]":
        """The columns of all tables in this source, in order of declaration."""
        return self._columns()

    def join(
        self, other: "Source", on: "Expression | None" = None, *, using: "Iterable[str]" = ()
    ) -> "Join":
        """Return ``self JOIN other ON on``, or ``self JOIN other USING (names)``.

        Raise ``ValueError`` without a condition (use ``cross_join`` to join without one) and for a
        table that is in the join already (use ``table.alias`` to rename it).
        """
        return _join(self, " JOIN ", other, on, using)

    def left_join(
        self, other: "Source", on: "Expression | None" = None, *, using: "Iterable[str]" = ()
    ) -> "Join":
        """Return ``self LEFT JOIN other``; the arguments are as in ``join``."""
        return _join(self, " LEFT JOIN ", other, on, using)

    def right_join(
        self, other: "Source", on: "Expression | None" = None, *, using: "Iterable[str]" = ()
    ) -> "Join":
        """Return ``self RIGHT JOIN other``; the arguments are as in ``join``."""
        return _join(self, " RIGHT JOIN ", other, on, using)

    def cross_join(self, other: "Source") -> "Join":
        """Return ``self CROSS JOIN other``: every row of one with every row of the other."""
        return _join(self, " CROSS JOIN ", other, None, ())

    def select(self, *columns: Expression) -> "Select":
        """Return a SELECT of `columns` (columns, aliases or other expressions) from this source."""
        return new_select(self, columns)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(self._names)}>"


class Join(Source):
    """Two sources and the condition that joins them."""

    __slots__ = ("_kind", "_left", "_on", "_right", "_using")

    _kind: str
    _left: Source
    _on: "Expression | None"
    _right: Source
    _using: "tuple[str, ...]"

    def _columns(self) -> "tuple[Column, ...]":
        return self._left._columns() + self._right._columns()

    def _write_source(self, out: Renderer) -> int:
        text = out.text
        self._left._write_source(out)
        text.put(self._kind)
        if isinstance(self._right, Join):
            text.put("(")
            self._right._write_source(out)
            text.put(")")
        else:
            self._right._write_source(out)
        if self._on is not None:
            text.put(" ON ")
            self._on._write(out)
        elif self._using:
            text.put(" USING (")
            for index in range(len(self._using)):
                if index:
                    text.put(",")
                out.name(self._using[index])
            text.put(")")
        return 0


class Select(Query):
    """SELECT statement, made by ``table.select``."""

    __slots__ = (
        "_comment",
        "_distinct",
        "_group",
        "_having",
        "_limit",
        "_list",
        "_lock",
        "_offset",
        "_order",
        "_source",
        "_wait",
        "_where",
        "_with",
    )

    _comment: "str | None"
    _distinct: bool
    _group: "tuple[object, ...]"
    _having: "Expression | None"
    _limit: int
    _list: "tuple[Expression, ...]"
    _lock: int
    _offset: int
    _order: "tuple[object, ...]"
    _source: Source
    _wait: int
    _where: "Expression | None"
    _with: "tuple[Source, ...]"

    def _copy(self) -> "Select":
        node = Select.__new__(Select)
        node._source = self._source
        node._list = self._list
        node._where = self._where
        node._having = self._having
        node._group = self._group
        node._order = self._order
        node._with = self._with
        node._limit = self._limit
        node._offset = self._offset
        node._comment = self._comment
        node._distinct = self._distinct
        node._lock = self._lock
        node._wait = self._wait
        return node

    def where(self, condition: Expression) -> "Select":
        """Return the statement with `condition` added to its WHERE by AND."""
        node = self._copy()
        if self._where is None:
            node._where = predicate("the condition of WHERE", condition)
        else:
            node._where = conjunction(self._where, condition)
        return node

    def and_where(self, condition: Expression) -> "Select":
        """Return ``where(condition)``; an alias."""
        return self.where(condition)

    def replace_where(self, condition: Expression) -> "Select":
        """Return the statement with its WHERE replaced by `condition`."""
        node = self._copy()
        node._where = predicate("the condition of WHERE", condition)
        return node

    def group_by(self, *terms: Expression) -> "Select":
        """Return the statement with its GROUP BY replaced by `terms`."""
        node = self._copy()
        node._group = expressions("GROUP BY", terms)
        return node

    def having(self, condition: Expression) -> "Select":
        """Return the statement with `condition`, which can use aliases, added to HAVING by AND."""
        node = self._copy()
        if self._having is None:
            node._having = predicate("the condition of HAVING", condition)
        else:
            node._having = conjunction(self._having, condition)
        return node

    def replace_having(self, condition: Expression) -> "Select":
        """Return the statement with its HAVING replaced by `condition`."""
        node = self._copy()
        node._having = predicate("the condition of HAVING", condition)
        return node

    def order_by(self, *terms: "Expression | Ordering") -> "Select":
        """Return the statement with its ORDER BY replaced by `terms`."""
        node = self._copy()
        node._order = ordered(terms)
        return node

    def limit(self, count: int) -> "Select":
        """Return the statement with LIMIT `count`, an int in [0, 2**63)."""
        node = self._copy()
        node._limit = check_count("limit", count)
        return node

    def offset(self, count: int) -> "Select":
        """Return the statement with OFFSET `count`, an int in [0, 2**63)."""
        node = self._copy()
        node._offset = check_count("offset", count)
        return node

    def distinct(self) -> "Select":
        """Return the statement with DISTINCT."""
        node = self._copy()
        node._distinct = True
        return node

    def with_shared_lock(self, *, nowait: bool = False, skip_locked: bool = False) -> "Select":
        """Return the statement with a shared lock on its rows; FOR UPDATE stays if set."""
        return _locked(self, 1, nowait, skip_locked)

    def for_update(self, *, nowait: bool = False, skip_locked: bool = False) -> "Select":
        """Return the statement with FOR UPDATE, which locks its rows.

        The server waits for rows that others have locked. With `nowait` it fails at once instead;
        with `skip_locked` it omits those rows.
        """
        return _locked(self, 2, nowait, skip_locked)

    def comment(self, comment: str) -> "Select":
        """Return the statement with a comment of ASCII letters, digits, spaces and ``_ .?``."""
        node = self._copy()
        node._comment = check_comment(comment)
        return node

    def with_(self, *queries: Source) -> "Select":
        """Return the statement with `queries`, made by ``cte``, added to its WITH."""
        node = self._copy()
        node._with = self._with + named(queries)
        return node

    def scalar(self) -> Expression:
        """Return the query, which has one column and at most one row, as a value."""
        return scalar_node(self)

    def _width(self) -> int:
        """Return the number of columns, or -1 if there is a star among them."""
        for index in range(len(self._list)):
            item = self._list[index]
            if item._is_star():
                return -1
        return len(self._list)

    def _bounded(self) -> bool:
        return bool(self._order) or self._limit >= 0 or self._offset >= 0

    def _levels(self) -> int:
        terms = (self._where, self._having, *self._list, *self._group, *unordered(self._order))
        deepest = max(depth_of(terms), self._source._level)
        for index in range(len(self._with)):
            table = self._with[index]
            deepest = max(deepest, table._level)
        return deepest + 1

    def _write_statement(self, out: Renderer) -> int:
        return self._write_query(out)

    def _write_query(self, out: Renderer) -> int:
        text = out.text
        outer = out.scope
        aliases = out.aliases
        ctes = out.ctes
        names = self._source._names
        out.scope = names if outer is None else names + outer
        out.aliases = None
        if self._with:
            write_with(out, self._with)
        text.put("SELECT ")
        if self._comment is not None:
            write_comment(out, self._comment)
        if self._distinct:
            text.put("DISTINCT ")
        if not self._list:
            raise ValueError("SELECT needs at least one column: pass it to select()")
        for index in range(len(self._list)):
            if index:
                text.put(",")
            item = self._list[index]
            item._write_projection(out)
        text.put(" FROM ")
        self._source._write_source(out)
        if self._where is not None:
            text.put(" WHERE ")
            self._where._write(out)
        out.aliases = self._list
        if self._group:
            text.put(" GROUP BY ")
            write_list(out, self._group)
        if self._having is not None:
            text.put(" HAVING ")
            self._having._write(out)
        if self._order:
            text.put(" ORDER BY ")
            write_list(out, self._order)
        if self._limit >= 0 or self._offset >= 0:
            write_limit(out, self._limit, self._offset)
        if self._lock:
            _write_lock(out, self._lock, self._wait)
        out.scope = outer
        out.aliases = aliases
        out.ctes = ctes
        return 0


def new_select(source: Source, columns: "tuple[Expression, ...]") -> Select:
    """Return a SELECT of `columns` from `source`."""
    for column in columns:
        if not isinstance(column, Expression):
            raise TypeError(
                f"columns must be columns, aliases or expressions, got {shown(column)} "
                f"({type(column).__name__})"
            )
    node = Select.__new__(Select)
    node._source = source
    node._list = columns
    node._where = node._having = None
    node._group = node._order = node._with = ()
    node._limit = node._offset = -1
    node._comment = None
    node._distinct = False
    node._lock = node._wait = 0
    return node


def _join(left: Source, kind: str, right: object, on: object, using: object) -> Join:
    if not isinstance(right, Source):
        raise TypeError(f"other must be a table or a join, got {shown(right)}")
    node = Join.__new__(Join)
    node._left = left
    node._right = other = right
    node._kind = kind
    node._on = None
    node._using = ()
    node._level = max(left._level, other._level) + 1
    if on is not None:
        node._on = predicate("the condition of ON", on)
        node._level = max(node._level, node._on._depth + 1)
    if on is None or using:
        node._using = _using(kind, on, using)
    if node._level > MAX_DEPTH:
        raise ValueError(f"joins may nest at most {MAX_DEPTH} levels")
    for name in other._names:
        if name in left._names:
            raise ValueError(f"table {name} is in the join already: join table.alias(name) instead")
    node._names = left._names + other._names
    return node


def _using(kind: str, on: object, using: "Any") -> "tuple[str, ...]":
    if isinstance(using, str) or not hasattr(type(using), "__iter__"):
        raise TypeError(f"using must be an iterable of column names, got {shown(using)}")
    given: Iterable[object] = using
    names = tuple([check_name("a column name of using", name) for name in given])
    if on is not None and names:
        raise ValueError("a join has either on or using, not both")
    if on is None and not names and kind != " CROSS JOIN ":
        raise ValueError("a join needs a condition: pass on or using, or call cross_join()")
    return names


def named(queries: "tuple[Source, ...]") -> "tuple[Source, ...]":
    """Return `queries` if there is at least one and WITH accepts all."""
    if not queries:
        raise ValueError("WITH needs at least one query")
    for query in queries:
        if not isinstance(query, Source):
            raise TypeError(f"queries of with_() must be made by cte(), got {shown(query)}")
    return queries


def _locked(select: Select, lock: int, nowait: bool, skip_locked: bool) -> Select:
    if nowait and skip_locked:
        raise ValueError("a lock has either nowait or skip_locked, not both")
    node = select._copy()
    if lock >= node._lock:
        node._lock = lock
        node._wait = 1 if nowait else 2 if skip_locked else 0
    return node


def write_with(out: Renderer, tables: "tuple[Source, ...]") -> int:
    """Write WITH and its queries, and bring their names into scope."""
    out.text.put("WITH ")
    for index in range(len(tables)):
        if index:
            out.text.put(", ")
        table = tables[index]
        table._write_definition(out)
        out.ctes = out.ctes + table._names
    out.text.put(" ")
    return 0


def output_names(select: Select) -> "tuple[str, ...]":
    """Return the names of those columns of a SELECT that have one."""
    return tuple([column.name for column in select._list if hasattr(column, "name")])


def _write_lock(out: Renderer, lock: int, wait: int) -> int:
    out.need(_grammar.IN_MYSQL | _grammar.IN_POSTGRESQL, "row locks (FOR UPDATE, FOR SHARE)")
    if lock == 2:
        out.text.put(" FOR UPDATE")
    elif out.dialect == POSTGRESQL or wait:
        out.text.put(" FOR SHARE")
    else:
        out.text.put(" LOCK IN SHARE MODE")
    if wait:
        out.text.put(" NOWAIT" if wait == 1 else " SKIP LOCKED")
    return 0
