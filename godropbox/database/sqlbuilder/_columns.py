"""Columns: typed, declared once in a table, and usable as expressions.

A ``Table`` copies the columns it is given, so one declaration can serve many tables. A column's
text is made once, together with its table.
"""

from . import _grammar
from ._base import operand
from ._names import check_identifier, check_name, is_plain, quoted, shown
from ._nodes import Expression
from ._render import Renderer
from ._statement import Query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._codecs import Codec

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
    "codec_of",
    "compared",
    "describe",
    "encoded",
    "encoded_by",
    "nullable_copy",
    "output_column",
    "renamed",
]

ATOM = _grammar.ATOM
TEXT = _grammar.TEXT
VALUE = _grammar.VALUE
PREDICATE = _grammar.PREDICATE


class Column(Expression):
    """Column of a table, declared as ``IntColumn`` or the like and read as ``table.c.name``.

    A column declared in the body of a class without a name has the name of its attribute.
    """

    __slots__ = (
        "_bare",
        "_codec",
        "_odd",
        "_owner",
        "_quoted",
        "_ticked",
        "charset",
        "collation",
        "nullable",
    )

    _bare: str
    _odd: bool  # whether the column's or the table's name is not plain
    _codec: "Codec | None"  # what checks and converts values for this column
    _owner: "str | None"
    _ticked: str
    _quoted: str
    charset: "str | None"
    collation: "str | None"
    nullable: bool

    def __init__(self, name: "str | None" = None, *, nullable: bool = False) -> None:
        if not isinstance(nullable, bool):
            raise TypeError(f"nullable must be a bool, got {shown(nullable)}")
        self._owner = self._codec = None
        self._take_name("" if name is None else check_identifier("column name", name))
        self._prec = ATOM
        self._kind = VALUE
        self._depth = 1
        self.nullable = nullable
        self.charset = self.collation = None

    def __set_name__(self, owner: type, name: str) -> None:
        if not self._bare:
            self._take_name(check_identifier("column name", name))

    def _take_name(self, name: str) -> int:
        self._bare = name
        self._odd = not is_plain(name)
        self._ticked = quoted(name, "`")
        self._quoted = quoted(name, '"')
        return 0

    def _row_width(self) -> int:
        return 1

    def _yields(self) -> type:
        return self.python_type  # of a subclass, which is not compiled

    def _output(self) -> "Column":
        return self

    def _is_name(self) -> bool:
        return True

    def _family(self) -> int:
        codec = self._codec
        return 0 if codec is None else codec.family

    def _listed(self, values: object) -> object:
        codec = self._codec
        return None if codec is None else codec.stored(self._bare, values)

    @property
    def name(self) -> str:
        """The column's name."""
        return self._bare

    @property
    def python_type(self) -> type:
        """The Python class of the column's values, or ``object`` if it is not known."""
        return object

    @property
    def type_name(self) -> str:
        """The name of the column's type, as for ``cast``, or nothing if it is not known."""
        return ""

    @property
    def table_name(self) -> "str | None":
        """The name or alias of the column's table; None if it has none yet."""
        return self._owner

    def _check_scope(self, out: Renderer) -> int:
        if self._owner is None:
            raise self._unbound()
        return out.check_scope(self._owner, self._ticked)

    def _unbound(self) -> Exception:
        return ValueError(
            f"column {self._bare or '?'} belongs to no table: read it as table.c.name"
        )

    def _write(self, out: Renderer) -> int:
        if self._owner is None:
            raise self._unbound()
        if self._odd or out.unqualified:
            return out.odd_column(self._owner, self._bare, self._ticked)
        return out.column(self._owner, self._ticked if out.ticks else self._quoted)


class IntColumn(Column):
    """Integer column of any size."""

    __slots__ = ()

    python_type = int
    type_name = "integer"


class StrColumn(Column):
    """VARCHAR or TEXT column, optionally with a character set and a collation."""

    __slots__ = ()

    python_type = str
    type_name = "text"

    def _family(self) -> int:
        return TEXT

    def __init__(
        self,
        name: "str | None" = None,
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

    python_type = bytes
    type_name = "bytes"


class DateTimeColumn(Column):
    """DATETIME or TIMESTAMP column."""

    __slots__ = ()

    type_name = "datetime"

    @property
    def python_type(self) -> type:
        """The class ``datetime``."""
        from datetime import datetime  # slow to import, so only here

        return datetime


class DoubleColumn(Column):
    """DOUBLE or FLOAT column."""

    __slots__ = ()

    python_type = float
    type_name = "double"


class BoolColumn(Column):
    """TINYINT or BOOLEAN column that is a condition, so that WHERE accepts it."""

    __slots__ = ()

    python_type = bool
    type_name = "boolean"

    def __init__(self, name: "str | None" = None, *, nullable: bool = False) -> None:
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


def encoded_by(column: Column, codec: "Codec") -> int:
    """Make a new column check and convert its values by `codec`."""
    column._codec = codec
    return 0


def codec_of(column: Column) -> "Codec | None":
    """Return what checks and converts values for `column`, if anything does."""
    return column._codec


def encoded(column: Column, value: object) -> object:
    """Return `value`, to be stored in `column`, as an operand."""
    codec = column._codec
    if codec is None or value is None or isinstance(value, Expression):
        return operand(value)
    return codec.stored(column._bare, value)


def compared(column: Column, value: object) -> object:
    """Return `value`, to be compared with `column`, as an operand; a query stays one."""
    codec = column._codec
    if codec is None or value is None or isinstance(value, (Expression, Query)):
        return value
    return codec.compared(column._bare, value)


def bound(column: Column, owner: str) -> Column:
    """Return a copy of `column` that belongs to the table named `owner`."""
    kind = type(column)
    node = kind.__new__(kind)
    node._bare = column._bare
    node._owner = owner
    node._odd = not (is_plain(owner) and is_plain(column._bare))
    node._ticked = quoted(owner, "`") + "." + quoted(column._bare, "`")
    node._quoted = quoted(owner, '"') + "." + quoted(column._bare, '"')
    node._prec = ATOM
    node._kind = column._kind
    node._depth = 1
    node.nullable = column.nullable
    node.charset = column.charset
    node.collation = column.collation
    node._codec = column._codec
    return node


def renamed(column: Column, name: str) -> Column:
    """Return a copy of `column` under another name."""
    node = bound(column, column._owner or "")
    node._bare = name  # the rest of the name is made when the copy is bound to a table
    return node


def nullable_copy(column: Column) -> Column:
    """Return a copy of `column` whose values may be NULL, as after an outer join."""
    node = bound(column, column._owner or "")
    node.nullable = True
    return node


def output_column(kind: type, name: str) -> Column:
    """Return the column that a query has for an expression with values of class `kind`."""
    node = _CLASSES.get(kind.__name__, Column)(name or "unnamed", nullable=True)
    node._bare = name
    return node


_CLASSES: "dict[str, type[Column]]" = {
    "bool": BoolColumn,
    "bytes": BytesColumn,
    "datetime": DateTimeColumn,
    "float": DoubleColumn,
    "int": IntColumn,
    "str": StrColumn,
}
