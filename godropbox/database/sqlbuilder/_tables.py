"""Tables: their names, their columns, and the methods that start statements.

A table never changes: ``alias`` and the index hints return new tables.
"""

from ..._kernels._identity import refuse_copies
from . import _grammar
from ._columns import Column, bound
from ._names import check_name, shown
from ._nodes import Expression
from ._render import Renderer
from ._selects import Select, Source
from ._statement import Query
from ._terms import star_node
from ._unions import NamedQuery, Union, name_query, new_union
from ._writes import Delete, Insert, Update, new_delete, new_insert, new_update

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Columns", "Subquery", "Table", "TableSource", "cte", "subquery", "union", "union_all"]


class Columns:
    """Columns of a table by name: ``table.c.name`` or ``table.c["name"]``."""

    __reduce_ex__ = refuse_copies

    # Kept in the class, because reading the instance's dict would make CPython drop the fast path
    # for attributes. Each table has its own class.
    __columns__: "dict[str, Column]" = {}  # noqa: RUF012  # ClassVar would import typing

    def __getitem__(self, name: str) -> Column:
        known = type(self).__columns__
        if name not in known:
            raise KeyError(f"no column {name!r}; there are {', '.join(known)}")
        return known[name]

    def __contains__(self, name: object) -> bool:
        return name in type(self).__columns__

    def __iter__(self) -> "Iterator[Column]":
        return iter(type(self).__columns__.values())

    def __len__(self) -> int:
        return len(type(self).__columns__)


class TableSource(Source):
    """Base class of tables: writes the table in FROM and as a target."""

    __slots__ = ("_alias", "_all", "_hint", "_quoted", "_table", "_ticked")

    _alias: "str | None"
    _all: "tuple[Column, ...]"
    _hint: "str | None"
    _quoted: str
    _table: str
    _ticked: str

    def _columns(self) -> "tuple[Column, ...]":
        return self._all

    def _write_source(self, out: Renderer) -> int:
        out.table(self._ticked, self._quoted)
        if self._alias is not None:
            out.text.put(" AS ")
            out.name(self._alias)
        if self._hint is not None:
            out.need(_grammar.IN_MYSQL, "index hints")
            out.text.put(self._hint)
        return 0

    def _write_target(self, out: Renderer) -> int:
        # INSERT, DELETE and LOCK accept no index hint.
        if self._alias is not None:
            raise ValueError(f"write to table {self._table}, not to its alias {self._alias}")
        return out.table(self._ticked, self._quoted)

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

    __slots__ = ("c",)

    c: Columns

    def __init__(self, name: str, *columns: Column) -> None:
        checked = check_name("table name", name)
        for column in columns:
            if not isinstance(column, Column):
                raise TypeError(f"columns of table {checked} must be columns, got {shown(column)}")
        if not columns:
            raise ValueError(f"table {checked} must have at least one column")
        fill(self, checked, None, None, columns)
        self.c = columns_of(checked, self.columns)
        if len(self.c) != len(columns):
            names = [column.name for column in columns]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"table {checked} has two columns named {twice}")

    def alias(self, name: str) -> "Table":
        """Return the table under another name and with its own columns, for self joins."""
        node = Table.__new__(Table)
        fill(node, self.name, check_name("alias", name), None, self.columns)
        node.c = columns_of(name, node.columns)
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
        quoted = ",".join([f"`{check_name('index name', name)}`" for name in names])
        node = Table.__new__(Table)
        hint(node, self, f" {word} INDEX ({quoted})")
        node.c = self.c
        return node


def columns_of(owner: str, columns: "Iterable[Column]") -> Columns:
    """Return the namespace of `columns`.

    It has its own class, so that Python's message about an unknown attribute names the table.
    """
    named = {column.name: column for column in columns}
    space: Columns = type(f"{owner}.c", (Columns,), {"__columns__": named})()
    for name, column in named.items():
        setattr(space, name, column)
    return space


def fill(
    node: TableSource,
    name: str,
    alias: "str | None",
    hint: "str | None",
    columns: "tuple[Column, ...]",
) -> int:
    """Initialize a new table."""
    owner = name if alias is None else alias
    node._level = 1
    node._names = (owner,)
    node._table = name
    node._ticked = f"`.`{name}`"
    node._quoted = f'"."{name}"'
    node._alias = alias
    node._hint = hint
    node._all = tuple([bound(column, owner) for column in columns])
    return 0


def hint(node: TableSource, table: TableSource, text: str) -> int:
    """Initialize a new table as `table` with one more index hint."""
    node._level = 1
    node._names = table._names
    node._table = table._table
    node._ticked = table._ticked
    node._quoted = table._quoted
    node._alias = table._alias
    node._hint = text if table._hint is None else table._hint + text
    node._all = table._all
    return 0


class Subquery(NamedQuery):
    """Named query, whose columns are ``query.c.name``."""

    __slots__ = ("c",)

    c: Columns

    def __init__(self, name: str, query: Query, shared: bool) -> None:
        name_query(self, check_name("query name", name), query, shared)
        self.c = columns_of(name, self.columns)


def subquery(name: str, query: Query) -> Subquery:
    """Return `query` as a named source for FROM: ``(SELECT ...) AS name``."""
    return Subquery(name, query, False)


def cte(name: str, query: Query) -> Subquery:
    """Return `query` as a common table expression, to pass to ``with_`` and then read from."""
    return Subquery(name, query, True)


def union(*selects: Select) -> Union:
    """Return the UNION of `selects`: distinct rows, in no order."""
    return new_union(selects, False)


def union_all(*selects: Select) -> Union:
    """Return the UNION ALL of `selects`: every row, in no order."""
    return new_union(selects, True)
