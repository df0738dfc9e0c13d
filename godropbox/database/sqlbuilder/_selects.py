"""Sources of rows (joins and their base class), and the SELECT statement.

``_tables`` has the tables themselves, ``_queries`` what every query can do, ``_extras`` the clauses
that few statements have.
"""

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
)
from ._columns import Column, nullable_copy, output_column
from ._extras import (
    Extras,
    Grouping,
    checked_hint,
    count_term,
    depth_of_windows,
    extended,
    grouped,
    named_window,
    ungrouped,
    write_count,
    write_group,
    write_order,
    write_windows,
)
from ._names import (
    check_comment,
    check_count,
    check_identifier,
    is_plain,
    quoted,
    shown,
)
from ._nodes import Expression, conjunction
from ._queries import SelectBase
from ._render import Renderer, bad_scope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Self

    import cython  # type: ignore[import-untyped]  # only its compiler reads this

    from ._windows import Window
else:
    from ..._kernels import _uncompiled as cython

__all__ = [
    "Join",
    "Select",
    "Source",
    "named",
    "new_select",
    "select",
    "write_with",
]

MAX_DEPTH = _grammar.MAX_DEPTH

# The tables of a SELECT without FROM, as the error for a column of another one shows them.
NOWHERE = ("none: call from_()",)


class Source:
    """Source of rows for FROM: a table, a join, a named query, a list of rows or a function."""

    __slots__ = ("_level", "_names")
    __signature__ = declared

    _level: int
    _names: "tuple[str, ...]"

    def _write_source(self, out: Renderer) -> int:
        raise TypeError(f"{type(self).__name__} is abstract")

    def _write_target(self, out: Renderer) -> int:
        raise TypeError(f"{type(self).__name__} cannot be written to")

    def _write_definition(self, out: Renderer) -> int:
        raise TypeError(f"{type(self).__name__} has no definition for WITH")

    def _is_recursive(self) -> bool:
        """Return whether the definition for WITH reads from itself."""
        return False

    def _is_lateral(self) -> bool:
        """Return whether the source, or a part of it, may use columns of the tables before it."""
        return False

    def _loose(self) -> "tuple[str, ...]":
        """Return the names of the tables whose rows an outer join may fill with NULL."""
        return ()

    def _write_deleted(self, out: Renderer) -> int:
        """Write the name of this table in the list of those that a DELETE deletes from."""
        raise TypeError(f"{type(self).__name__} cannot be written to")

    def _is_alias(self) -> bool:
        return False

    def _columns(self) -> "tuple[Column, ...]":
        return ()

    def _has_column(self, name: str) -> bool:
        for column in self._columns():  # noqa: SIM110  # compiled functions have no closures
            if column._bare == name:
                return True
        return False

    @property
    def columns(self) -> "tuple[Column, ...]":
        """The columns of all tables in this source, in order of declaration."""
        return self._columns()

    def join(
        self, other: "Source", on: "Expression | None" = None, *, using: "Iterable[str]" = ()
    ) -> "Join":
        """Return ``self JOIN other ON on``, or ``self JOIN other USING (names)``.

        Raise ``ValueError`` without a condition (use ``cross_join`` to join without one; what is
        LATERAL needs none) and for a table that is in the join already (use ``table.alias`` to
        rename it).
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

    def full_join(
        self, other: "Source", on: "Expression | None" = None, *, using: "Iterable[str]" = ()
    ) -> "Join":
        """Return ``self FULL JOIN other``; the arguments are as in ``join``."""
        return _join(self, " FULL JOIN ", other, on, using)

    def cross_join(self, other: "Source") -> "Join":
        """Return ``self CROSS JOIN other``: every row of one with every row of the other."""
        return _join(self, " CROSS JOIN ", other, None, ())

    def select(self, *columns: Expression) -> "Select":
        """Return a SELECT of `columns` (columns, aliases or other expressions) from this source."""
        return new_select(self, columns)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(self._names)}>"

    def __copy__(self) -> "Self":
        return self

    def __deepcopy__(self, memo: object) -> "Self":
        return self


@cython.no_gc
@cython.cclass
class Join(Source):
    """Two sources and the condition that joins them."""

    __slots__ = ("_kind", "_lateral", "_left", "_on", "_right", "_using")

    _kind: str
    _lateral: bool
    _left: Source
    _on: "Expression | None"
    _right: Source
    _using: "tuple[str, ...]"

    def _columns(self) -> "tuple[Column, ...]":
        return self._left._columns() + self._right._columns()

    def _is_lateral(self) -> bool:
        return self._lateral

    def _loose(self) -> "tuple[str, ...]":
        left, right = self._left._loose(), self._right._loose()
        if self._kind in (" RIGHT JOIN ", " FULL JOIN "):
            left = self._left._names
        if self._kind in (" LEFT JOIN ", " FULL JOIN "):
            right = self._right._names
        return left + right

    def _write_source(self, out: Renderer) -> int:
        text = out.text
        if self._lateral:
            return self._write_lateral(out)
        self._left._write_source(out)
        if self._kind[1] == "F":  # FULL JOIN; comparing whole strings takes longer
            out.need("FULL JOIN")
        text.put(self._kind)
        if isinstance(self._right, Join):
            text.put_char("(")
            self._right._write_source(out)
            text.put_char(")")
        else:
            self._right._write_source(out)
        return self._write_condition(out)

    def _write_lateral(self, out: Renderer) -> int:
        """Write a join in whose right side the tables before it are in scope.

        The scope of every source here is its own tables, then those whose columns it may use.
        """
        whole = out.scope
        before: tuple[str, ...] = () if whole is None else whole[len(self._names) :]
        if whole is not None:
            out.scope = self._left._names + before
        self._left._write_source(out)
        if self._kind[1] == "F":  # FULL JOIN; comparing whole strings takes longer
            out.need("FULL JOIN")
        out.text.put(self._kind)
        if whole is not None:
            out.scope = self._right._names + before
            if self._kind[1] not in "RF":  # RIGHT and FULL JOIN hide the left side from LATERAL
                out.scope = self._right._names + self._left._names + before
        if isinstance(self._right, Join):
            out.text.put("(")
            self._right._write_source(out)
            out.text.put(")")
        else:
            self._right._write_source(out)
        out.scope = whole
        if self._on is None and not self._using and self._kind != " CROSS JOIN ":
            out.text.put(" ON TRUE")
        return self._write_condition(out)

    def _write_condition(self, out: Renderer) -> int:
        if self._on is not None:
            out.text.put(" ON ")
            self._on._write(out)
        elif self._using:
            out.text.put(" USING (")
            for index in range(len(self._using)):
                if index:
                    out.text.put(",")
                out.name(self._using[index])
            out.text.put(")")
        return 0


@cython.no_gc
@cython.cclass
class Select(SelectBase):
    """SELECT statement, made by ``select`` and ``table.select``."""

    __slots__ = (
        "_comment",
        "_distinct",
        "_extras",
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
    _extras: "Extras | None"
    _group: "tuple[object, ...]"
    _having: "Expression | None"
    _limit: int
    _list: "tuple[Expression, ...]"
    _lock: int  # 1 KEY SHARE, 2 SHARE, 3 NO KEY UPDATE, 4 UPDATE
    _offset: int
    _order: "tuple[object, ...]"
    _source: "Source | None"
    _wait: int  # 1 NOWAIT, 2 SKIP LOCKED
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
        node._extras = self._extras
        node._lock = self._lock
        node._wait = self._wait
        return node

    def from_(self, *sources: Source) -> "Select":
        """Return the statement with its FROM replaced by `sources`, a cross join if several."""
        if not sources:
            raise ValueError("FROM needs at least one table")
        node = self._copy()
        node._source = None
        for source in sources:
            node._source = _cross(node._source, source)
        return node

    def select_from(self, *sources: Source) -> "Select":
        """Return ``from_(*sources)``; an alias."""
        return self.from_(*sources)

    def join(
        self, other: Source, on: "Expression | None" = None, *, using: "Iterable[str]" = ()
    ) -> "Select":
        """Return the statement with ``JOIN other`` at the end of its FROM; see ``Source.join``."""
        return _joined(self, " JOIN ", other, on, using)

    def left_join(
        self, other: Source, on: "Expression | None" = None, *, using: "Iterable[str]" = ()
    ) -> "Select":
        """Return the statement with ``LEFT JOIN other`` at the end of its FROM."""
        return _joined(self, " LEFT JOIN ", other, on, using)

    def right_join(
        self, other: Source, on: "Expression | None" = None, *, using: "Iterable[str]" = ()
    ) -> "Select":
        """Return the statement with ``RIGHT JOIN other`` at the end of its FROM."""
        return _joined(self, " RIGHT JOIN ", other, on, using)

    def full_join(
        self, other: Source, on: "Expression | None" = None, *, using: "Iterable[str]" = ()
    ) -> "Select":
        """Return the statement with ``FULL JOIN other`` at the end of its FROM."""
        return _joined(self, " FULL JOIN ", other, on, using)

    def cross_join(self, other: Source) -> "Select":
        """Return the statement with ``CROSS JOIN other`` at the end of its FROM."""
        return _joined(self, " CROSS JOIN ", other, None, ())

    def add_columns(self, *columns: "Expression | Source") -> "Select":
        """Return the statement with `columns` added to its select list."""
        node = self._copy()
        node._list = self._list + _listed(columns)
        return node

    def with_only_columns(self, *columns: "Expression | Source") -> "Select":
        """Return the statement with its select list replaced by `columns`."""
        node = self._copy()
        node._list = _listed(columns)
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

    def group_by(self, *terms: "Expression | Grouping") -> "Select":
        """Return the statement with its GROUP BY replaced by `terms`.

        They are expressions, aliases of the select list, ``rollup``, ``cube``, ``grouping_sets``.
        """
        node = self._copy()
        node._group = grouped(terms)
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

    def limit(self, count: "int | Expression") -> "Select":
        """Return the statement with LIMIT `count`, an int in [0, 2**63).

        It can be ``slot(name, int)``, or ``literal(5)`` to become a parameter in ``bind``.
        """
        node = self._copy()
        if isinstance(count, Expression):
            node._limit = -1
            node._extras = extended(self._extras)
            node._extras.limit = count_term("limit", count)
            return node
        node._limit = check_count("limit", count)
        if self._extras is not None:
            node._extras = extended(self._extras)
            node._extras.limit = None
        return node

    def offset(self, count: "int | Expression") -> "Select":
        """Return the statement with OFFSET `count`, which is as in ``limit``."""
        node = self._copy()
        if isinstance(count, Expression):
            node._offset = -1
            node._extras = extended(self._extras)
            node._extras.offset = count_term("offset", count)
            return node
        node._offset = check_count("offset", count)
        if self._extras is not None:
            node._extras = extended(self._extras)
            node._extras.offset = None
        return node

    def distinct(self, *terms: Expression) -> "Select":
        """Return the statement with DISTINCT, or with PostgreSQL's DISTINCT ON (`terms`).

        DISTINCT ON keeps the first row of each group of rows in which `terms` are equal; ORDER BY,
        which has to begin with them, says which is the first.
        """
        node = self._copy()
        node._distinct = True
        if terms or self._extras is not None:
            node._extras = extended(self._extras)
            node._extras.on = expressions("DISTINCT ON", terms) if terms else ()
        return node

    def with_shared_lock(
        self,
        *,
        of: "Source | Iterable[Source]" = (),
        key: bool = False,
        nowait: bool = False,
        skip_locked: bool = False,
    ) -> "Select":
        """Return the statement with a shared lock on its rows; FOR UPDATE stays if set.

        `key` asks for PostgreSQL's weaker FOR KEY SHARE; the others are as in ``for_update``.
        """
        return _locked(self, 1 if key else 2, of, nowait, skip_locked)

    def for_update(
        self,
        *,
        of: "Source | Iterable[Source]" = (),
        no_key: bool = False,
        nowait: bool = False,
        skip_locked: bool = False,
    ) -> "Select":
        """Return the statement with FOR UPDATE, which locks its rows.

        `of` are the tables of a join whose rows are locked, all by default. `no_key` asks for
        PostgreSQL's weaker FOR NO KEY UPDATE. The server waits for rows that others have locked.
        With `nowait` it fails at once instead; with `skip_locked` it omits those rows.
        """
        return _locked(self, 3 if no_key else 4, of, nowait, skip_locked)

    def window(self, name: str, window: "Window") -> "Select":
        """Return the statement with a window added to its WINDOW, for ``over(name)``.

        >>> users.select(func("RANK").over("w")).window("w", window(order_by=users.c.id))
        """
        node = self._copy()
        extras = extended(self._extras)
        extras.windows = (*extras.windows, named_window(name, window, extras))
        node._extras = extras
        return node

    def hint(self, text: str) -> "Select":
        """Return the statement with an optimizer hint: ``SELECT /*+ text */``.

        `text` is made of ASCII letters, digits, spaces, pairs of ``'`` and any of ``_.,()@=+-#```.
        """
        node = self._copy()
        node._extras = extended(self._extras)
        node._extras.hint = checked_hint(text)
        return node

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

    def _width(self) -> int:
        """Return the number of columns, or -1 if there is a star among them."""
        for index in range(len(self._list)):
            item = self._list[index]
            if item._is_star():
                return -1
        return len(self._list)

    def _outputs(self) -> "tuple[Column, ...]":
        found: list[Column] = []
        loose: tuple[str, ...] = () if self._source is None else self._source._loose()
        for item in self._list:
            output: Any = item._output()
            if output is None:
                raise ValueError("the columns of * are not known: select(table) names them")
            column = output if isinstance(output, Column) else output_column(output, "")
            if column._owner in loose:
                column = nullable_copy(column)
            found.append(column)
        return tuple(found)

    def _list_of_first(self) -> "tuple[Expression, ...]":
        return self._list

    def _gathering(self) -> "tuple[object, ...]":
        limit, offset = self._limit, self._offset
        extras = self._extras
        return (
            self._list,
            self._order,
            limit if extras is None or extras.limit is None else extras.limit,
            offset if extras is None or extras.offset is None else extras.offset,
            bool(self._group) or self._having is not None or self._distinct,
        )

    def _bounded(self) -> bool:
        return (
            bool(self._order)
            or self._limit >= 0
            or self._offset >= 0
            or self._lock > 0
            or self._extras is not None
        )

    def _has_with(self) -> bool:
        return bool(self._with)

    def _reads(self, name: str) -> bool:
        return self._source is not None and name in self._source._names

    def _levels(self) -> int:
        terms = (
            self._where,
            self._having,
            *self._list,
            *ungrouped(self._group),
            *unordered(self._order),
        )
        deepest = max(depth_of(terms), depth_of_windows(self._extras))
        if self._source is not None:
            deepest = max(deepest, self._source._level)
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
        source = self._source
        extras = self._extras
        names: tuple[str, ...] = NOWHERE if source is None else source._names
        out.scope = names if outer is None else names + outer
        out.aliases = None
        if self._with:
            write_with(out, self._with)
        text.put("SELECT ")
        if extras is not None:
            self._write_start(out, extras)
        if self._comment is not None:
            write_comment(out, self._comment)
        if self._distinct:
            text.put("DISTINCT ")
            if extras is not None and extras.on:
                self._write_on(out, extras)
        if not self._list:
            raise ValueError("SELECT needs at least one column: pass it to select()")
        for index in range(len(self._list)):
            if index:
                text.put_char(",")
            item = cython.cast(Expression, self._list[index])
            item._write_projection(out)
        if source is not None:
            text.put(" FROM ")
            source._write_source(out)
        elif self._where is not None:
            text.put(out.dialect.dual)
        if self._where is not None:
            text.put(" WHERE ")
            self._where._write(out)
        if self._group or self._having is not None or self._order or extras is not None:
            self._write_groups(out)
        if extras is not None and (extras.limit is not None or extras.offset is not None):
            write_count(out, self._limit, self._offset, extras.limit, extras.offset)
        elif self._limit >= 0 or self._offset >= 0:
            write_limit(out, self._limit, self._offset)
        if self._lock:
            self._write_lock(out, extras)
        out.scope = outer
        out.aliases = aliases
        out.ctes = ctes
        return 0

    def _write_start(self, out: Renderer, extras: Extras) -> int:
        if extras.hint:
            out.need("optimizer hints")
            out.text.put("/*+ ")
            out.text.put(extras.hint)
            out.text.put(" */ ")
        return 0

    def _write_on(self, out: Renderer, extras: Extras) -> int:
        out.need("DISTINCT ON")
        out.aliases = self._list
        out.text.put("ON (")
        write_order(out, extras.on)
        out.text.put(") ")
        out.aliases = None
        return 0

    def _write_groups(self, out: Renderer) -> int:
        """Write the clauses that can use aliases of the select list."""
        text = out.text
        outer, place = out.source, out.place
        rolled = False
        out.aliases = self._list
        out.place = 0
        out.source = self._source
        if self._group:
            text.put(" GROUP BY ")
            rolled = write_group(out, self._group, self._list)
        if self._having is not None:
            text.put(" HAVING ")
            self._having._write(out)
        if self._extras is not None and self._extras.windows:
            out.aliases = None  # a window cannot use them
            write_windows(out, self._extras.windows)
            out.aliases = self._list
        if self._order:
            if rolled:
                out.need("ORDER BY beside ROLLUP")
            text.put(" ORDER BY ")
            write_order(out, self._order)
        out.source = outer
        out.place = place
        return 0

    def _check_sides(self, out: Renderer, source: Source, of: "tuple[str, ...]") -> int:
        """Raise if the tables `of`, or all, include one that an outer join may leave out."""
        for name in source._loose():
            if not of or name in of:
                out.need("row locks of outer joins")
        return 0

    def _is_locked(self) -> bool:
        return self._lock > 0

    def _write_lock(self, out: Renderer, extras: "Extras | None") -> int:
        out.need("row locks")
        if self._lock == 1:
            out.need("FOR KEY SHARE")
        elif self._lock == 3:
            out.need("FOR NO KEY UPDATE")
        if self._group or self._having is not None or self._distinct:
            out.need("row locks beside GROUP BY")
        if self._source is not None:
            self._check_sides(out, self._source, () if extras is None else extras.of)
        strengths = ("", "KEY SHARE", "SHARE", "NO KEY UPDATE", "UPDATE")
        waits = ("", " NOWAIT", " SKIP LOCKED")
        of = ""
        if extras is not None and extras.of:
            out.need("FOR UPDATE OF")
            known: tuple[str, ...] = () if self._source is None else self._source._names
            for name in extras.of:
                if name not in known:
                    raise bad_scope(name, "of", known)
                if not is_plain(name):
                    out.dialect.check_name(name)
            mark = out.dialect.quote
            of = out.written(" OF " + ",".join([quoted(name, mark) for name in extras.of]))
        out.text.put(out.dialect.row_lock(strengths[self._lock], of, waits[self._wait]))
        return 0


def new_select(source: "Source | None", columns: "tuple[Expression, ...]") -> Select:
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
    node._extras = None
    node._group = node._order = node._with = ()
    node._limit = node._offset = -1
    node._comment = None
    node._distinct = False
    node._lock = node._wait = 0
    return node


def select(*items: "Expression | Source") -> Select:
    """Return a SELECT of `items`: columns, aliases, other expressions, or a table's columns.

    ``select(users)`` reads all columns of a table from it. For others, say where they are from:
    ``select(users.c.id, orders.c.id).from_(users.join(orders, ...))``. Without that, the statement
    has no FROM.
    """
    first: Source | None = None
    for item in items:
        if isinstance(item, Source):
            first = item
            break
    return new_select(first, _listed(items))


def _listed(items: "tuple[Expression | Source, ...]") -> "tuple[Expression, ...]":
    """Return the expressions among `items`, with the columns of sources in place of those."""
    found: list[Expression] = []
    for item in items:
        if isinstance(item, Source):
            source = item
            found.extend(source._columns())
        elif isinstance(item, Expression):
            found.append(item)
        else:
            raise TypeError(
                f"columns must be columns, aliases, expressions or tables, got {shown(item)} "
                f"({type(item).__name__})"
            )
    if not found:
        raise ValueError("SELECT needs at least one column: pass it to select()")
    return tuple(found)


def _cross(left: "Source | None", right: object) -> Source:
    if not isinstance(right, Source):
        raise TypeError(f"sources must be tables or joins, got {shown(right)}")
    return right if left is None else _join(left, " CROSS JOIN ", right, None, ())


def _joined(select: Select, kind: str, other: object, on: object, using: object) -> Select:
    if select._source is None:
        raise ValueError("a SELECT without FROM has nothing to join to: call from_() first")
    node = select._copy()
    node._source = _join(select._source, kind, other, on, using)
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
    node._lateral = left._is_lateral() or other._is_lateral()
    if on is not None:
        node._on = predicate("the condition of ON", on)
        node._level = max(node._level, node._on._depth + 1)
    if on is None or using:
        node._using = _using(kind, on, using, other._is_lateral())
    # The kind last: comparing strings costs more than the rest.
    lateral = other._is_lateral() and not isinstance(other, Join)
    if lateral and kind in (" RIGHT JOIN ", " FULL JOIN "):
        raise ValueError(
            f"{kind.strip()} cannot read a LATERAL source, whose rows depend on the left side: use "
            "join(), left_join() or cross_join()"
        )
    if node._level > MAX_DEPTH:
        raise ValueError(f"joins may nest at most {MAX_DEPTH} levels")
    for name in other._names:
        if name in left._names:
            raise ValueError(f"table {name} is in the join already: join table.alias(name) instead")
    node._names = left._names + other._names
    return node


def _using(kind: str, on: object, using: "Any", lateral: bool) -> "tuple[str, ...]":
    if isinstance(using, str) or not hasattr(type(using), "__iter__"):
        raise TypeError(f"using must be an iterable of column names, got {shown(using)}")
    given: Iterable[object] = using
    names = tuple([check_identifier("a column name of using", name) for name in given])
    if on is not None and names:
        raise ValueError("a join has either on or using, not both")
    if on is None and not names and kind != " CROSS JOIN " and not lateral:
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


def _locked(select: Select, lock: int, of: object, nowait: bool, skip_locked: bool) -> Select:
    if nowait and skip_locked:
        raise ValueError("a lock has either nowait or skip_locked, not both")
    tables = _locked_tables(of)
    node = select._copy()
    if lock >= node._lock:
        node._lock = lock
        node._wait = 1 if nowait else 2 if skip_locked else 0
        if tables or node._extras is not None:
            node._extras = extended(node._extras)
            node._extras.of = tables
    return node


def _locked_tables(of: "Any") -> "tuple[str, ...]":
    if isinstance(of, tuple) and not of:
        return ()
    if isinstance(of, (str, bytes)) or not (isinstance(of, Source) or hasattr(of, "__iter__")):
        raise TypeError(f"of must be a table or several, got {shown(of)}")
    found: list[str] = []
    for item in (of,) if isinstance(of, Source) else of:
        if not isinstance(item, Source):
            raise TypeError(f"of must be a table or several, got {shown(item)}")
        table = item
        found.extend(table._names)
    return tuple(found)


def write_with(out: Renderer, tables: "tuple[Source, ...]") -> int:
    """Write WITH and its queries, and bring their names into scope."""
    recursive = False
    known: list[str] = []
    for index in range(len(tables)):
        table = tables[index]
        recursive = recursive or table._is_recursive()
        if table._names[0] in known:
            raise ValueError(f"WITH has two queries named {table._names[0]}")
        known.append(table._names[0])
    out.text.put("WITH RECURSIVE " if recursive else "WITH ")
    for index in range(len(tables)):
        if index:
            out.text.put(", ")
        table = tables[index]
        table._write_definition(out)
        out.ctes = out.ctes + table._names
    out.text.put(" ")
    return 0
