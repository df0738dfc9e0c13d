"""Tables: their names, their columns, and the methods that start statements.

A table never changes: ``alias`` and the index hints return new tables.
"""

from sys import version_info

from ._columns import Column, bound
from ._inserts import Insert, new_insert
from ._makers import MAKERS
from ._names import check_identifier, is_plain, quoted, shown
from ._nodes import Expression
from ._queries import SelectBase
from ._render import Renderer
from ._selects import Source
from ._spelling import no_column
from ._terms import star_node
from ._unions import (
    CompoundSelect,
    NamedQuery,
    add_step,
    name_query,
    new_compound,
    read_again,
)
from ._writes import Delete, Update, Write, new_delete, new_update, readable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any, NoReturn, Self

    from ._schema import Cursor
    from .dialects import Dialect

__all__ = [
    "Columns",
    "Subquery",
    "Table",
    "TableSource",
    "columns_of",
    "cte",
    "except_",
    "except_all",
    "intersect",
    "intersect_all",
    "lateral",
    "subquery",
    "union",
    "union_all",
]

# How much of a class's name Python 3.11's message about an unknown attribute shows.
_TITLE = 50


class Columns:
    """Columns of a table by name: ``table.c.name`` or ``table.c["name"]``.

    A subclass declares columns, each once, so that type checkers know them::

        class Users(Columns):
            id = IntColumn()
            name = StrColumn(nullable=True)
            class_ = StrColumn("class")

        users = Table("users", Users)
        users.select(users.c.name).where(users.c.id == 5)
    """

    # Kept in the class, because reading the instance's dict would make CPython drop the fast path
    # for attributes. Each table has its own class.
    __columns__: "dict[str, Column]" = {}  # noqa: RUF012  # ClassVar would import typing
    __declared__: "type[Columns]"  # the subclass that declares the columns, or Columns
    __fields__: "dict[str, Column]" = {}  # noqa: RUF012  # columns of a subclass by attribute

    def __init_subclass__(cls) -> None:
        # Columns leave the class, because an attribute of both makes CPython drop the fast path.
        fields: dict[str, Column] = {}
        for base in reversed(cls.__mro__[1:]):
            fields.update(vars(base).get("__fields__", {}))
        for name, value in tuple(vars(cls).items()):
            if isinstance(value, Column):
                fields[name] = value
                delattr(cls, name)
        cls.__fields__ = fields

    def __getitem__(self, name: str) -> Column:
        known = type(self).__columns__
        if name not in known:
            raise KeyError(no_column(type(self).__name__.partition(" ")[0], name, known))
        return known[name]

    def __contains__(self, name: object) -> bool:
        return name in type(self).__columns__

    def __iter__(self) -> "Iterator[Column]":
        return iter(type(self).__columns__.values())

    def __len__(self) -> int:
        return len(type(self).__columns__)

    def __reduce__(self) -> "tuple[object, ...]":
        columns = tuple(self)
        return columns_of, (columns[0].table_name, columns, type(self).__declared__)

    def __copy__(self) -> "Self":
        return self

    def __deepcopy__(self, memo: object) -> "Self":
        return self


def _no_attribute(space: Columns, name: str) -> "NoReturn":
    """Raise the error for an attribute that is no column: what was meant, and what there is."""
    if name.startswith("__"):
        raise AttributeError(f"{type(space).__name__!r} object has no attribute {name!r}")
    owner = type(space).__name__.partition(" ")[0]
    raise AttributeError(no_column(owner, name, vars(space)), name=name)


# Python 3.11 would look for every column the slow way.
if version_info >= (3, 12):
    Columns.__getattr__ = _no_attribute  # type: ignore[attr-defined]


class TableSource(Source):
    """Base class of tables: writes the table in FROM and as a target."""

    __slots__ = (
        "_alias",
        "_all",
        "_database",
        "_hints",
        "_odd",
        "_quoted",
        "_table",
        "_ticked",
    )

    _alias: "str | None"
    _all: "tuple[Column, ...]"
    _database: "str | None"  # that of ``in_database``
    _hints: "tuple[tuple[str, tuple[str, ...]], ...]"  # the text before the indexes, the indexes
    _odd: bool  # whether the name is not plain, or there is a database
    _quoted: str
    _table: str
    _ticked: str

    def _columns(self) -> "tuple[Column, ...]":
        return self._all

    def _write_source(self, out: Renderer) -> int:
        self._write_name(out)
        if self._alias is not None:
            out.text.put(" AS ")
            out.name(self._alias)
        if self._hints:
            out.need("index hints")
            for word, names in self._hints:
                out.text.put(word)
                for index in range(len(names)):
                    if index:
                        out.text.put(",")
                    out.name(names[index])
                out.text.put(")")
        return 0

    def _write_name(self, out: Renderer) -> int:
        if self._odd:
            return out.odd_table(self._database, self._table)
        return out.table(self._ticked, self._quoted)

    def _write_target(self, out: Renderer) -> int:
        # INSERT, DELETE and LOCK accept no index hint.
        if self._alias is not None:
            raise ValueError(f"write to table {self._table}, not to its alias {self._alias}")
        return self._write_name(out)

    def _is_alias(self) -> bool:
        return self._alias is not None

    def _write_deleted(self, out: Renderer) -> int:
        if self._alias is not None:
            return out.name(self._alias)
        return self._write_name(out)

    @property
    def name(self) -> str:
        """The table's name in the database."""
        return self._table

    @property
    def star(self) -> Expression:
        """All columns of the table: `` `table`.* ``."""
        return star_node(self._names[0])

    def insert(self, *columns: Column) -> Insert:
        """Return an INSERT into `columns`, without rows yet."""
        return new_insert(self, columns, "INSERT ")

    def replace(self, *columns: Column) -> Insert:
        """Return a REPLACE into `columns`, without rows yet."""
        return new_insert(self, columns, "REPLACE ")

    def update(self) -> Update:
        """Return an UPDATE, without assignments yet."""
        return new_update(self)

    def delete(self) -> Delete:
        """Return a DELETE; it needs ``where()`` or ``all_rows()``."""
        return new_delete(self)


class Table(TableSource):
    """Table of the database, declared with its columns.

    >>> sfj = Table("sfj", IntColumn("ns_id"), StrColumn("filename"))
    >>> sfj.select(sfj.c.filename).where(sfj.c.ns_id == 456).sql("shard1")
    'SELECT `sfj`.`filename` FROM `shard1`.`sfj` WHERE `sfj`.`ns_id`=456'

    Raise ``ValueError`` for an invalid name, no columns, or two columns with the same name.
    """

    # Not in the compiled base class, where CPython does not specialize the access.
    __slots__ = ("c",)

    c: Columns

    def __init__(self, name: str, *columns: "Column | type[Columns]") -> None:
        checked = check_identifier("table name", name)
        declared = columns[0] if columns and isinstance(columns[0], type) else Columns
        found = columns if declared is Columns else _declared(checked, columns)
        taken: list[Column] = []
        for column in found:
            if not isinstance(column, Column):
                raise TypeError(f"columns of table {checked} must be columns, got {shown(column)}")
            if not column.name:
                raise ValueError(f"a column of table {checked} has no name: {column!r}")
            taken.append(column)
        if not taken:
            raise ValueError(f"table {checked} must have at least one column")
        fill(self, checked, None, tuple(taken))
        self.c = columns_of(checked, self.columns, declared)
        if len(self.c) != len(taken):
            names = [column.name for column in taken]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"table {checked} has two columns named {twice}")

    @classmethod
    def from_information_schema(
        cls,
        cursor: "Cursor",
        name: str,
        *,
        schema: "str | None" = None,
        dialect: "Dialect | str | None" = None,
        columns: "Iterable[str] | None" = None,
        types: "Mapping[str, Callable[..., Column]] | None" = None,
    ) -> "Table":
        """Return the table `name` with the columns that the database says it has.

        `cursor` is a DB-API cursor, of any paramstyle. `schema` is the table's database in MySQL
        and MariaDB, or its schema; the connection's own by default. `dialect` is needed for a
        driver that is not known. `columns` are the names of the columns to read, in their order;
        all by default. `types` maps names of types to column classes, before the known types.

        Raise ``ValueError`` if there is no such table or column, or if a column's type is not
        known; the message names it.
        """
        from ._schema import read_columns  # rarely needed, so only here

        found = read_columns(cursor, name, schema, dialect, columns, types)
        return cls(name, *found)

    def __reduce__(self) -> "tuple[object, ...]":
        return _restored, (type(self), state_of(self), self.c)

    def declaration(self) -> str:
        """Return Python source that declares the table, for a program and its type checker.

        It is a subclass of ``Columns`` and a ``Table`` of it, with ``sqlbuilder`` imported as `sb`:
        what ``from_information_schema`` read once need not be typed.
        """
        from ._schema import declaration  # rarely needed, so only here

        return declaration(self.name, self.columns)

    def alias(self, name: str) -> "Table":
        """Return the table under another name and with its own columns, for self joins."""
        node = Table.__new__(Table)
        fill(node, self.name, check_identifier("alias", name), self.columns)
        place(node, database_of(self))
        node.c = columns_of(name, node.columns, type(self.c).__declared__)
        return node

    def in_database(self, name: str) -> "Table":
        """Return the table in database `name`, whatever database the statement is rendered for.

        The columns stay the same. `name` is a MySQL database, a SQLite schema or a PostgreSQL
        schema.
        """
        node = Table.__new__(Table)
        share(node, self)
        place(node, check_identifier("database", name))
        node.c = self.c
        return node

    def use_index(self, *names: str) -> "Table":
        """Return the table with the hint USE INDEX and the same columns."""
        return self._hinted("USE", names)

    def force_index(self, *names: str) -> "Table":
        """Return the table with the hint FORCE INDEX and the same columns."""
        return self._hinted("FORCE", names)

    def ignore_index(self, *names: str) -> "Table":
        """Return the table with the hint IGNORE INDEX and the same columns."""
        return self._hinted("IGNORE", names)

    def _hinted(self, word: str, names: "tuple[str, ...]") -> "Table":
        if not names:
            raise ValueError(f"{word} INDEX needs at least one index")
        indexes = tuple([check_identifier("index name", name) for name in names])
        node = Table.__new__(Table)
        share(node, self)
        hint(node, f" {word} INDEX (", indexes)
        node.c = self.c
        return node


def columns_of(
    owner: str, columns: "Iterable[Column]", declared: "type[Columns]" = Columns
) -> Columns:
    """Return the namespace of `columns`, whose attributes are named as in the class `declared`.

    It has its own class, so that Python 3.11's message about an unknown attribute names the table
    and, as far as the message has room, its columns.
    """
    named = {column.name: column for column in columns}
    body = {"__columns__": named, "__declared__": declared}
    space: Columns = type(_title(owner, tuple(named)), (declared,), body)()
    attributes = {column.name: name for name, column in declared.__fields__.items()}
    for name, column in named.items():
        setattr(space, attributes.get(name, name), column)
    return space


def _title(owner: str, names: "tuple[str, ...]") -> str:
    """Return ``owner.c of name, name``, with as many names as Python shows."""
    title = f"{owner}.c of {', '.join(names)}"
    if len(title) <= _TITLE:
        return title
    whole = title[: _TITLE - 5].rpartition(", ")[0]
    return f"{whole}, ..." if whole else f"{owner}.c"


def _declared(table: str, columns: "tuple[object, ...]") -> "tuple[Column, ...]":
    declared = columns[0]
    if not isinstance(declared, type) or not issubclass(declared, Columns):
        raise TypeError(
            f"columns of table {table} must be columns or a subclass of Columns, got "
            f"{shown(declared)}"
        )
    if len(columns) > 1:
        raise TypeError(f"table {table} must have either a subclass of Columns or columns")
    found = tuple(declared.__fields__.values())
    if not found:
        raise ValueError(f"class {declared.__name__} of table {table} declares no column")
    return found


def fill(
    node: TableSource,
    name: str,
    alias: "str | None",
    columns: "tuple[Column, ...]",
) -> int:
    """Initialize a new table."""
    owner = name if alias is None else alias
    node._level = 1
    node._names = (owner,)
    node._table = name
    node._ticked = "`." + quoted(name, "`")
    node._quoted = '".' + quoted(name, '"')
    node._odd = not is_plain(name)
    node._database = None
    node._alias = alias
    node._hints = ()
    node._all = tuple([bound(column, owner) for column in columns])
    return 0


def place(node: TableSource, database: "str | None") -> int:
    """Set the database of a new table."""
    node._database = database
    node._odd = database is not None or not is_plain(node._table)
    return 0


def database_of(table: TableSource) -> "str | None":
    """Return the database that ``in_database`` chose, or None."""
    return table._database


def hint(node: TableSource, words: str, indexes: "tuple[str, ...]") -> int:
    """Add an index hint to a new table."""
    node._hints = (*node._hints, (words, indexes))
    return 0


def state_of(table: TableSource) -> "tuple[object, ...]":
    """Return what ``restore`` makes a table of again."""
    return (
        table._names,
        table._table,
        table._ticked,
        table._quoted,
        table._alias,
        table._hints,
        table._odd,
        table._database,
        table._all,
    )


def restore(node: TableSource, state: "Any") -> int:
    """Initialize a new table by the state of another."""
    node._level = 1
    node._names, node._table, node._ticked, node._quoted = state[:4]
    node._alias, node._hints, node._odd, node._database, node._all = state[4:]
    return 0


def _restored(kind: "type[Table]", state: "tuple[object, ...]", columns: Columns) -> Table:
    """Return the table that ``Table.__reduce__`` took apart."""
    node = kind.__new__(kind)
    restore(node, state)
    node.c = columns
    return node


def share(node: TableSource, table: TableSource) -> int:
    """Initialize a new table as `table`."""
    node._level = 1
    node._names = table._names
    node._table = table._table
    node._ticked = table._ticked
    node._quoted = table._quoted
    node._alias = table._alias
    node._hints = table._hints
    node._odd = table._odd
    node._database = table._database
    node._all = table._all
    return 0


class Subquery(NamedQuery):
    """Named query, whose columns are ``query.c.name``."""

    __slots__ = ()

    c: Columns

    def __init__(
        self, name: str, query: SelectBase, shared: bool, materialized: "bool | None" = None
    ) -> None:
        name_query(
            self, check_identifier("query name", name), query, 2 if shared else 0, materialized
        )
        self.c = columns_of(name, self.columns)

    def alias(self, name: str) -> "Subquery":
        """Return the query under another name and with its own columns, to read it twice."""
        node = Subquery.__new__(Subquery)
        read_again(node, self, check_identifier("alias", name))
        node.c = columns_of(name, node.columns)
        return node

    def union_all(self, step: SelectBase) -> "Subquery":
        """Return a common table expression that also reads from itself: WITH RECURSIVE.

        `step` is a query from this source; the server repeats it on the rows that it made last,
        until there are none. Use ``union`` where rows may come back, to stop at those known.

        >>> ones = cte("ones", select(alias("n", literal(1))))
        >>> ones = ones.union_all(ones.select(ones.c.n + 1).where(ones.c.n < 5))
        """
        return _stepped(self, step, True)

    def union(self, step: SelectBase) -> "Subquery":
        """Return ``union_all(step)``, but without rows that are there already."""
        return _stepped(self, step, False)


def _stepped(old: Subquery, step: SelectBase, every: bool) -> Subquery:
    node = Subquery.__new__(Subquery)
    add_step(node, old, step, every)
    node.c = old.c
    return node


def subquery(name: str, query: SelectBase) -> Subquery:
    """Return `query` as a named source for FROM: ``(SELECT ...) AS name``."""
    return Subquery(name, query, False)


def lateral(name: str, query: SelectBase) -> Subquery:
    """Return `query` as a source that may use columns of the tables before it in FROM.

    Join it with ``join``, ``left_join`` or ``cross_join``; without a condition, it is ON TRUE.
    """
    node = Subquery.__new__(Subquery)
    name_query(node, check_identifier("query name", name), query, 1, None)
    node.c = columns_of(name, node.columns)
    return node


def cte(name: str, query: "SelectBase | Write", *, materialized: "bool | None" = None) -> Subquery:
    """Return `query` as a common table expression, to pass to ``with_`` and then read from.

    In PostgreSQL, an INSERT, UPDATE or DELETE with ``returning`` is such a query, too.
    `materialized` tells PostgreSQL and SQLite to compute the rows once (True) or to merge the query
    into the statement (False).
    """
    return Subquery(name, readable(query), True, materialized)  # type: ignore[arg-type]  # checked


MAKERS.update(cte=cte, lateral=lateral, subquery=subquery)


def union(*selects: SelectBase) -> CompoundSelect:
    """Return the UNION of `selects`: distinct rows, in no order."""
    return new_compound("UNION", selects)


def union_all(*selects: SelectBase) -> CompoundSelect:
    """Return the UNION ALL of `selects`: every row, in no order."""
    return new_compound("UNION ALL", selects)


def intersect(*selects: SelectBase) -> CompoundSelect:
    """Return the INTERSECT of `selects`: the distinct rows that all have, in no order."""
    return new_compound("INTERSECT", selects)


def intersect_all(*selects: SelectBase) -> CompoundSelect:
    """Return the INTERSECT ALL of `selects`: each row as often as all have it."""
    return new_compound("INTERSECT ALL", selects)


def except_(*selects: SelectBase) -> CompoundSelect:
    """Return the EXCEPT of `selects`: the distinct rows of the first that no other has."""
    return new_compound("EXCEPT", selects)


def except_all(*selects: SelectBase) -> CompoundSelect:
    """Return the EXCEPT ALL of `selects`: each row as often as the others leave it over."""
    return new_compound("EXCEPT ALL", selects)
