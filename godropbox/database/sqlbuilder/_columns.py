"""Columns: typed, declared once in a table, and usable as expressions.

A ``Table`` copies the columns it is given, so one declaration can serve many tables. A column's
text is made once, together with its table.
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
    """Column of a table, declared as ``IntColumn`` or the like and read as ``table.c.name``."""

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
        """The name or alias of the column's table; None if it has none yet."""
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
    """Integer column of any size."""

    __slots__ = ()


class StrColumn(Column):
    """VARCHAR or TEXT column, optionally with a character set and a collation."""

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
    """BINARY, VARBINARY or BLOB column."""

    __slots__ = ()


class DateTimeColumn(Column):
    """DATETIME or TIMESTAMP column."""

    __slots__ = ()


class DoubleColumn(Column):
    """DOUBLE or FLOAT column."""

    __slots__ = ()


class BoolColumn(Column):
    """TINYINT or BOOLEAN column that is a condition, so that WHERE accepts it."""

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
    """Make a new column a condition."""
    column._kind = PREDICATE
    return 0


def bound(column: Column, owner: str) -> Column:
    """Return a copy of `column` that belongs to the table named `owner`."""
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
