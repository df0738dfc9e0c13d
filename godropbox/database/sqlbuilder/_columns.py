# cython: annotation_typing=False
"""Columns: declared once in a table, typed, and readable as expressions.

A column that is given to a ``Table`` is copied into it, so one declaration may serve many tables.
The text of a column is made once, when its table is.
"""

from . import _grammar
from ._names import check_name, shown
from ._nodes import Expression
from ._render import Renderer

__all__ = [
    "BoolColumn",
    "BytesColumn",
    "Column",
    "DateTimeColumn",
    "DoubleColumn",
    "IntColumn",
    "StrColumn",
    "as_condition",
    "bound",
    "describe",
]

ATOM = _grammar.ATOM
VALUE = _grammar.VALUE
PREDICATE = _grammar.PREDICATE


class Column(Expression):
    """A column of a table; made by ``IntColumn`` and its like, and read as ``table.c.name``."""

    __slots__ = ("_bare", "_owner", "_quoted", "_ticked", "charset", "collation", "nullable")

    _bare: str
    _owner: "str | None"
    _ticked: str
    _quoted: str
    charset: "str | None"
    collation: "str | None"
    nullable: bool

    def __init__(self, name: str, *, nullable: bool = False) -> None:
        if not isinstance(nullable, bool):
            raise TypeError(f"nullable must be a bool, got {shown(nullable)}")
        self._bare = check_name("column name", name)
        self._owner = None
        self._ticked = f"`{self._bare}`"
        self._quoted = f'"{self._bare}"'
        self._prec = ATOM
        self._kind = VALUE
        self._depth = 1
        self.nullable = nullable
        self.charset = self.collation = None

    def _row_width(self) -> int:
        return 1

    @property
    def name(self) -> str:
        """The column's name."""
        return self._bare

    @property
    def table_name(self) -> "str | None":
        """The name of the table, or its alias, that the column belongs to; None for none yet."""
        return self._owner

    def _check_scope(self, out: Renderer) -> int:
        if self._owner is None:
            raise self._unbound()
        return out.check_scope(self._owner, self._ticked)

    def _unbound(self) -> Exception:
        return ValueError(f"column {self._bare} belongs to no table: read it as table.c.name")

    def _write(self, out: Renderer) -> int:
        if self._owner is None:
            raise self._unbound()
        return out.column(self._owner, self._ticked, self._quoted, self._bare)


class IntColumn(Column):
    """An integer column of any width."""

    __slots__ = ()


class StrColumn(Column):
    """A VARCHAR or TEXT column, with its character set and collation if they matter."""

    __slots__ = ()

    def __init__(
        self,
        name: str,
        *,
        nullable: bool = False,
        charset: "str | None" = None,
        collation: "str | None" = None,
    ) -> None:
        Column.__init__(self, name, nullable=nullable)
        describe(
            self,
            None if charset is None else check_name("charset", charset),
            None if collation is None else check_name("collation", collation),
        )


class BytesColumn(Column):
    """A BINARY, VARBINARY or BLOB column."""

    __slots__ = ()


class DateTimeColumn(Column):
    """A DATETIME or TIMESTAMP column."""

    __slots__ = ()


class DoubleColumn(Column):
    """A DOUBLE or FLOAT column."""

    __slots__ = ()


class BoolColumn(Column):
    """A TINYINT or BOOLEAN column that is read as a truth value, so it may stand in WHERE."""

    __slots__ = ()

    def __init__(self, name: str, *, nullable: bool = False) -> None:
        Column.__init__(self, name, nullable=nullable)
        as_condition(self)


def describe(column: Column, charset: "str | None", collation: "str | None") -> int:
    """Set the character set and the collation of a new column."""
    column.charset = charset
    column.collation = collation
    return 0


def as_condition(column: Column) -> int:
    """Make a new column one that may stand as a truth value."""
    column._kind = PREDICATE
    return 0


def bound(column: Column, owner: str) -> Column:
    """Return a copy of `column` as a column of the table named `owner`."""
    kind = type(column)
    node = kind.__new__(kind)
    node._bare = column._bare
    node._owner = owner
    node._ticked = f"`{owner}`.`{column._bare}`"
    node._quoted = f'"{owner}"."{column._bare}"'
    node._prec = ATOM
    node._kind = column._kind
    node._depth = 1
    node.nullable = column.nullable
    node.charset = column.charset
    node.collation = column.collation
    return node
