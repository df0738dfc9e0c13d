"""What a query yields: the names and types of its columns, and records made of a cursor's rows.

A ``Records`` is made once, next to its query, and reads any number of results. A row costs one call
of the record's class. Values pass as the driver gives them, but for what databases have no values
of their own for: a bool that comes as an int (MySQL, MariaDB, SQLite), and what SQLite keeps as
text (dates, times, decimals, UUIDs) become what the column was declared as.

``statement.columns`` and ``statement.records`` import this module when they are first used.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from functools import partial
from itertools import chain, starmap
from types import GenericAlias
from typing import Any, NamedTuple
from uuid import UUID

from ._columns import Column
from ._names import shown

__all__ = ["Records", "ResultColumn", "new_records", "result_columns"]


class ResultColumn(NamedTuple):
    """Column that a query yields.

    `name` is None for an expression without an alias. `python_type` is ``object`` where the type is
    not known. `nullable` is False only if no value can be None.
    """

    name: str | None
    python_type: type
    nullable: bool


def result_columns(outputs: "tuple[Column, ...]") -> "tuple[ResultColumn, ...]":
    """Return the description of the columns that a query yields."""
    return tuple(
        [ResultColumn(each.name or None, each.python_type, each.nullable) for each in outputs]
    )


class Records:
    """Reader of a query's rows as records, made by ``statement.records``; any thread can use it."""

    __slots__ = ("_columns", "_loads", "_make", "_record", "_width")

    _columns: "tuple[ResultColumn, ...]"
    _loads: "tuple[tuple[int, type, Callable[[Any], object]], ...]"
    _make: "Callable[[Any], object] | None"  # makes a record of a row; None to call `_record`
    _record: "Callable[..., object]"
    _width: int

    @classmethod
    def __class_getitem__(cls, parameter: object) -> GenericAlias:
        return GenericAlias(cls, parameter)  # Records[User], for type checkers

    def __call__(self, rows: "Iterable[Any]") -> "Iterator[Any]":
        """Return an iterator of records for `rows`: a cursor, or what ``fetchall`` returned.

        Raise ``TypeError`` for rows that are mappings, and ``ValueError`` for rows of another width
        than the query's; both are checked on the first row.
        """
        iterator = iter(rows)
        for first in iterator:
            self._check(first)
            iterator = chain((first,), iterator)
            break
        if self._loads:
            iterator = map(self._loaded, iterator)
        if self._make is not None:
            return map(self._make, iterator)
        return starmap(self._record, iterator)

    def one(self, row: Any) -> Any:
        """Return the record of one row, or None for None: ``read.one(cursor.fetchone())``."""
        if row is None:
            return None
        self._check(row)
        values = self._loaded(row) if self._loads else row
        return self._record(*values) if self._make is None else self._make(values)

    def _check(self, row: Any) -> None:
        if isinstance(row, Mapping):
            raise TypeError(f"rows must be sequences, got {shown(row)}: use a plain cursor")
        if len(row) != self._width:
            raise ValueError(f"rows must have {self._width} values, got {len(row)}")

    def _loaded(self, row: Any) -> "list[object]":
        values = list(row)
        for index, kind, load in self._loads:
            value = values[index]
            if type(value) is not kind and value is not None:
                values[index] = load(value)
        return values

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {getattr(self._record, '__name__', shown(self._record))}>"


def _from_text(kind: type, load: "Callable[[str], object]") -> "Callable[[Any], object]":
    """Return a function that turns text into `kind` and leaves other values alone."""

    def loaded(value: object) -> object:
        return load(value) if isinstance(value, str) else value

    return loaded


# How to read a value that is not of the column's type.
_LOADS: "dict[type, Callable[[Any], object]]" = {
    bool: bool,
    date: _from_text(date, date.fromisoformat),
    datetime: _from_text(datetime, datetime.fromisoformat),
    time: _from_text(time, time.fromisoformat),
    Decimal: lambda value: Decimal(str(value)),
    UUID: _from_text(UUID, UUID),
}


def new_records(outputs: "tuple[Column, ...]", make: "Callable[..., object] | None") -> Records:
    """Return a reader of rows with the columns `outputs` as records of `make`."""
    columns = result_columns(outputs)
    if make is None:
        make = _named_tuple(columns)
    if not callable(make):
        raise TypeError(f"make must be a class or a function, got {shown(make)}")
    _check_fields(columns, make)
    node = Records.__new__(Records)
    node._columns = columns
    node._width = len(columns)
    node._record = make
    node._make = None
    if isinstance(make, type) and issubclass(make, tuple) and "_field_defaults" in vars(make):
        # Faster than the class itself. A subclass of it may have a __new__ of its own.
        node._make = partial(tuple.__new__, make)
    node._loads = tuple(
        [
            (index, column.python_type, _LOADS[column.python_type])
            for index, column in enumerate(columns)
            if column.python_type in _LOADS
        ]
    )
    return node


def _named_tuple(columns: "tuple[ResultColumn, ...]") -> type:
    names = [column.name or f"column{number}" for number, column in enumerate(columns, 1)]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(
            f"the query has two columns named {min(twice)}: rename one with alias(), or pass make"
        )
    return namedtuple("Record", names, rename=True)  # the names come at run time


def _check_fields(columns: "tuple[ResultColumn, ...]", make: "Callable[..., object]") -> None:
    known = _fields_of(make)
    if known is None:
        return
    name = getattr(make, "__name__", shown(make))
    if len(known) != len(columns):
        raise ValueError(
            f"{name} has {len(known)} fields, {', '.join(known)}, but the query yields "
            f"{len(columns)} columns"
        )
    for number, (field, column) in enumerate(zip(known, columns, strict=True), 1):
        if column.name is not None and column.name != field and not field.startswith("_"):
            raise ValueError(
                f"column {number} is named {column.name}, but field {number} of {name} is "
                f"{field}: rename one of them, or use alias()"
            )


def _fields_of(make: "Callable[..., object]") -> "tuple[str, ...] | None":
    """Return the names of the fields of a NamedTuple or a dataclass, or None if it is neither."""
    if isinstance(make, type) and issubclass(make, tuple):
        found: tuple[str, ...] | None = getattr(make, "_fields", None)
        return found
    if not (isinstance(make, type) and is_dataclass(make)):
        return None
    taken = [field for field in fields(make) if field.init]
    for field in taken:
        if field.kw_only:
            raise ValueError(f"field {field.name} of {make.__name__} must not be keyword-only")
    return tuple([field.name for field in taken])
