"""Columns whose values are checked and converted: dates, decimals, JSON, UUIDs, enums and others.

Each has a codec, which a column's comparisons and the statements that write to it ask.
"""

from ._codecs import (
    ArrayCodec,
    DateCodec,
    DecimalCodec,
    EnumCodec,
    IntervalCodec,
    JsonCodec,
    TimeCodec,
    UuidCodec,
    enum_value,
)
from ._columns import Column, codec_of, compared, encoded_by
from ._documents import JSON_DOCUMENT, JSON_EQUAL
from ._names import shown
from ._nodes import Expression, applied
from ._statement import Query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ArrayColumn",
    "CheckedColumn",
    "DateColumn",
    "DecimalColumn",
    "EnumColumn",
    "IntervalColumn",
    "JsonColumn",
    "TimeColumn",
    "UuidColumn",
    "column_source",
    "matched",
]

# The most digits of a DECIMAL in any of the servers (PostgreSQL), and after its point.
_MAX_PRECISION = 1000


class CheckedColumn(Column):
    """Base class of columns that check and convert what they are compared with."""

    __slots__ = ()

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]
        return Column.__eq__(self, self._operand(other))

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]
        return Column.__ne__(self, self._operand(other))

    def __lt__(self, other: object) -> Expression:
        return Column.__lt__(self, self._operand(other))

    def __le__(self, other: object) -> Expression:
        return Column.__le__(self, self._operand(other))

    def __gt__(self, other: object) -> Expression:
        return Column.__gt__(self, self._operand(other))

    def __ge__(self, other: object) -> Expression:
        return Column.__ge__(self, self._operand(other))

    def __hash__(self) -> int:
        return object.__hash__(self)

    def in_(self, values: "Iterable[object] | Query") -> Expression:
        """Return ``self IN (values)``; see ``Expression.in_``."""
        return Column.in_(self, self._members(values))

    def not_in(self, values: "Iterable[object] | Query") -> Expression:
        """Return ``self NOT IN (values)``; see ``Expression.not_in``."""
        return Column.not_in(self, self._members(values))

    def between(self, low: object, high: object) -> Expression:
        """Return ``self BETWEEN low AND high``, which includes both ends."""
        return Column.between(self, self._operand(low), self._operand(high))

    def not_between(self, low: object, high: object) -> Expression:
        """Return ``self NOT BETWEEN low AND high``."""
        return Column.not_between(self, self._operand(low), self._operand(high))

    def _operand(self, value: object) -> object:
        """Return what this column is compared with, checked and converted."""
        return compared(self, value)

    def _members(self, values: "Iterable[object] | Query") -> "Iterable[object] | Query":
        unread = isinstance(values, (Expression, Query, str, bytes, bytearray, memoryview))
        if unread or not hasattr(type(values), "__iter__"):
            return values  # in_() itself takes or refuses these
        return [self._operand(value) for value in values]  # type: ignore[union-attr]


def matched(left: object, right: object) -> "tuple[object, object]":
    """Return two operands of a comparison, each as the column on the other side wants it."""
    if isinstance(left, CheckedColumn):
        return left, left._operand(right)
    if isinstance(right, CheckedColumn):
        return right._operand(left), right
    return left, right


def column_source(column: Column, name: str) -> str:
    """Return a column as Python source, for an attribute of a class that is called `name`."""
    codec = codec_of(column)
    arguments = [] if codec is None else codec.arguments()
    if name and (column.name != name or isinstance(column, (ArrayColumn, EnumColumn))):
        arguments.insert(0, repr(column.name))
    elif isinstance(column, (ArrayColumn, EnumColumn)):
        arguments.insert(0, "None")
    if column.charset is not None:
        arguments.append(f"charset={column.charset!r}")
    if column.collation is not None:
        arguments.append(f"collation={column.collation!r}")
    if column.nullable:
        arguments.append("nullable=True")
    return f"sb.{type(column).__name__}({', '.join(arguments)})"


class DateColumn(CheckedColumn):
    """DATE column, for values of class ``date``."""

    __slots__ = ()

    type_name = "date"

    @property
    def python_type(self) -> type:
        """The class ``date``."""
        from datetime import date

        return date

    def __init__(self, name: "str | None" = None, *, nullable: bool = False) -> None:
        Column.__init__(self, name, nullable=nullable)
        encoded_by(self, DateCodec())


class TimeColumn(CheckedColumn):
    """TIME column, for values of class ``time`` without a time zone.

    For MySQL's TIME as a duration, declare an ``IntervalColumn``.
    """

    __slots__ = ()

    type_name = "time"

    @property
    def python_type(self) -> type:
        """The class ``time``."""
        from datetime import time

        return time

    def __init__(self, name: "str | None" = None, *, nullable: bool = False) -> None:
        Column.__init__(self, name, nullable=nullable)
        encoded_by(self, TimeCodec())


class IntervalColumn(CheckedColumn):
    """Column of durations, for values of class ``timedelta``: INTERVAL, or MySQL's TIME."""

    __slots__ = ()

    @property
    def python_type(self) -> type:
        """The class ``timedelta``."""
        from datetime import timedelta

        return timedelta

    def __init__(self, name: "str | None" = None, *, nullable: bool = False) -> None:
        Column.__init__(self, name, nullable=nullable)
        encoded_by(self, IntervalCodec())


class DecimalColumn(CheckedColumn):
    """DECIMAL or NUMERIC column, for values of class ``Decimal`` and ``int``.

    With `precision`, its number of digits, and `scale`, how many of them are after the point, a
    value with more digits raises ``ValueError``, which servers would round or refuse. A float is
    refused, because it is rarely the number that its digits show.
    """

    __slots__ = ()

    type_name = "decimal"

    @property
    def python_type(self) -> type:
        """The class ``Decimal``."""
        from decimal import Decimal

        return Decimal

    def __init__(
        self,
        name: "str | None" = None,
        *,
        precision: "int | None" = None,
        scale: int = 0,
        nullable: bool = False,
    ) -> None:
        Column.__init__(self, name, nullable=nullable)
        _check_digits(precision, scale)
        encoded_by(self, DecimalCodec(precision, scale))


def _check_digits(precision: object, scale: object) -> None:
    for what, value in (("precision", precision), ("scale", scale)):
        if value is None and what == "precision":
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{what} must be an int, got {shown(value)} ({type(value).__name__})")
    if precision is None:
        if scale:
            raise ValueError(f"scale needs precision, got scale {scale!r} alone")
        return
    if not 1 <= precision <= _MAX_PRECISION:  # type: ignore[operator]  # ints, tested above
        raise ValueError(f"precision must be an int in [1, {_MAX_PRECISION}], got {precision}")
    if not 0 <= scale <= precision:  # type: ignore[operator]
        raise ValueError(f"scale must be an int in [0, {precision}], got {scale}")


class UuidColumn(CheckedColumn):
    """Column of UUIDs: UUID, or text such as CHAR(36), or with `binary` BINARY(16)."""

    __slots__ = ()

    type_name = "uuid"

    @property
    def python_type(self) -> type:
        """The class ``UUID``."""
        from uuid import UUID

        return UUID

    def __init__(
        self, name: "str | None" = None, *, binary: bool = False, nullable: bool = False
    ) -> None:
        Column.__init__(self, name, nullable=nullable)
        if not isinstance(binary, bool):
            raise TypeError(f"binary must be a bool, got {shown(binary)}")
        encoded_by(self, UuidCodec(binary))


class EnumColumn(CheckedColumn):
    """ENUM column, declared with its values or with an ``Enum`` class whose values they are.

    >>> EnumColumn("state", "new", "paid", "sent")

    Values are these strings or members of the class; any other raises ``ValueError``.
    """

    __slots__ = ()

    python_type = str
    type_name = "text"

    def __init__(
        self, name: "str | None" = None, *values: "str | type", nullable: bool = False
    ) -> None:
        Column.__init__(self, name, nullable=nullable)
        encoded_by(self, EnumCodec(_enum_values(values)))


def _enum_values(values: "tuple[object, ...]") -> "tuple[str, ...]":
    from enum import EnumMeta

    if len(values) == 1 and isinstance(values[0], EnumMeta):
        values = tuple(values[0])
    known = [enum_value(value) for value in values]
    if not known:
        raise ValueError("an EnumColumn needs its values: strings, or an Enum class")
    for value in known:
        if not isinstance(value, str):
            raise TypeError(f"values of an EnumColumn must be str, got {shown(value)}")
    texts = [str.__str__(value) for value in known]
    for text in texts:
        if texts.count(text) > 1:
            raise ValueError(f"values of an EnumColumn must differ, got {text!r} twice")
    return tuple(texts)


class JsonColumn(CheckedColumn):
    """JSON or JSONB column: any value that ``json.dumps`` accepts, stored as its text.

    None is SQL's NULL; store JSON's own null as ``literal("null")``. MySQL and PostgreSQL (JSONB)
    compare documents, MariaDB (from 10.7) with ``==`` and ``!=`` only; elsewhere and otherwise a
    comparison raises ``UnsupportedFeature``.
    """

    __slots__ = ()

    type_name = "json"

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]
        return self._equal("=", other)

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]
        return self._equal("!=", other)

    def __hash__(self) -> int:
        return object.__hash__(self)

    def _equal(self, symbol: str, other: object) -> Expression:
        taken = compared(self, other)
        if isinstance(taken, str):
            return applied(JSON_EQUAL, (self, taken), symbol)
        return Column.__eq__(self, taken) if symbol == "=" else Column.__ne__(self, taken)

    def _operand(self, value: object) -> object:
        taken = compared(self, value)
        # Text that is compared with a document would be one JSON string.
        return applied(JSON_DOCUMENT, (taken,), None) if isinstance(taken, str) else taken

    def __init__(self, name: "str | None" = None, *, nullable: bool = False) -> None:
        Column.__init__(self, name, nullable=nullable)
        encoded_by(self, JsonCodec())


class ArrayColumn(CheckedColumn):
    """PostgreSQL's array column: lists of the values of `element`, or lists of such lists.

    `element` is a column without a name, such as ``IntColumn()``, or for elements that need no
    check the name of their type, such as ``"integer"``.
    """

    __slots__ = ()

    python_type = list

    def __init__(
        self,
        name: "str | None" = None,
        element: "Column | str | None" = None,
        *,
        nullable: bool = False,
    ) -> None:
        Column.__init__(self, name, nullable=nullable)
        if isinstance(element, Column):
            encoded_by(self, ArrayCodec(codec_of(element), column_source(element, "")))
        elif isinstance(element, str):
            encoded_by(self, ArrayCodec(None, repr(element)))
        else:
            raise TypeError(
                f"element must be a column such as IntColumn() or the name of a type, "
                f"got {shown(element)}"
            )
