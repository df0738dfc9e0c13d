"""Codecs: what checks and converts the values of a column.

A codec turns a Python value into the plain value that the server stores, or raises an error that
names the column. It looks at values only; expressions, slots and queries never reach it.
"""

from . import _grammar
from ._names import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "ArrayCodec",
    "Codec",
    "DateCodec",
    "DecimalCodec",
    "EnumCodec",
    "IntervalCodec",
    "JsonCodec",
    "TimeCodec",
    "UuidCodec",
    "enum_value",
]


class Codec:
    """Check and conversion of a column's values; `family` is that of ``_grammar``, or 0."""

    __slots__ = ()

    family = 0

    def stored(self, name: str, value: object) -> object:
        """Return `value` as a plain value to store in column `name`, or raise."""
        raise NotImplementedError

    def compared(self, name: str, value: object) -> object:
        """Return `value` as an operand to compare with column `name`, or raise."""
        return self.stored(name, value)

    def arguments(self) -> "list[str]":
        """Return the arguments, as Python source, that a column with this codec is made with."""
        return []

    def wrong(self, name: str, value: object, allowed: str) -> TypeError:
        """Return the error for a value of a wrong class."""
        return TypeError(
            f"column {name} must be given {allowed}, got {shown(value)} ({type(value).__name__})"
        )


class DateCodec(Codec):
    __slots__ = ()

    def stored(self, name: str, value: object) -> object:
        from datetime import date, datetime  # slow to import, so only here

        if isinstance(value, date) and not isinstance(value, datetime):
            return value
        raise self.wrong(name, value, "a date")


class TimeCodec(Codec):
    __slots__ = ()

    def stored(self, name: str, value: object) -> object:
        from datetime import time

        if isinstance(value, time):
            return value
        raise self.wrong(name, value, "a time")


class IntervalCodec(Codec):
    __slots__ = ()

    def stored(self, name: str, value: object) -> object:
        from datetime import timedelta

        if isinstance(value, timedelta):
            return value
        raise self.wrong(name, value, "a timedelta")


class DecimalCodec(Codec):
    __slots__ = ("_precision", "_scale")

    def __init__(self, precision: "int | None", scale: int) -> None:
        self._precision = precision
        self._scale = scale

    def arguments(self) -> "list[str]":
        if self._precision is None:
            return []
        return [f"precision={self._precision}", f"scale={self._scale}"]

    def compared(self, name: str, value: object) -> object:
        from decimal import Decimal

        if isinstance(value, Decimal) or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        raise self.wrong(name, value, "a Decimal or an int")

    def stored(self, name: str, value: object) -> object:
        from decimal import Decimal

        plain = self.compared(name, value)
        if self._precision is None:
            return plain
        number = Decimal(plain)  # type: ignore[arg-type]  # a Decimal or an int
        _, digits, exponent = number.as_tuple()
        if not isinstance(exponent, int):
            raise ValueError(f"column {name} must be given a finite number, got {shown(value)}")
        scale = self._scale
        before = len(digits) + exponent if number else 0
        trailing = len(digits) - len("".join(map(str, digits)).rstrip("0")) if number else 0
        after = max(-exponent - trailing, 0) if number else 0
        if before > self._precision - scale or after > scale:
            raise ValueError(
                f"column {name} must be given at most {self._precision - scale} digits before the "
                f"point and {scale} after it, got {shown(value)}"
            )
        return plain


class UuidCodec(Codec):
    __slots__ = ("_binary",)

    def __init__(self, binary: bool) -> None:
        self._binary = binary

    def arguments(self) -> "list[str]":
        return ["binary=True"] if self._binary else []

    def stored(self, name: str, value: object) -> object:
        from uuid import UUID

        if not isinstance(value, UUID):
            raise self.wrong(name, value, "a UUID")
        return value.bytes if self._binary else value


class EnumCodec(Codec):
    __slots__ = ("_known",)

    family = _grammar.TEXT

    def __init__(self, known: "tuple[str, ...]") -> None:
        self._known = known

    def arguments(self) -> "list[str]":
        return [repr(value) for value in self._known]

    def stored(self, name: str, value: object) -> object:
        plain = enum_value(value)
        if not isinstance(plain, str):
            raise self.wrong(name, value, f"one of {', '.join(self._known)}")
        plain = str.__str__(plain)  # a subclass may override __str__
        if plain not in self._known:
            raise ValueError(
                f"column {name} must be one of {', '.join(self._known)}, got {shown(value)}"
            )
        return plain


class JsonCodec(Codec):
    __slots__ = ()

    family = _grammar.JSON

    def stored(self, name: str, value: object) -> object:
        from json import dumps

        try:
            return dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        except (TypeError, ValueError) as error:
            raise type(error)(
                f"column {name} must be given a value that JSON can say: {error}"
            ) from None


class ArrayCodec(Codec):
    __slots__ = ("_element", "_source")

    family = _grammar.ARRAY

    def __init__(self, element: "Codec | None", source: str) -> None:
        self._element = element
        self._source = source  # the element as Python source

    def arguments(self) -> "list[str]":
        return [self._source]

    def stored(self, name: str, value: object) -> object:
        return self._text(name, value)

    def _text(self, name: str, value: object) -> str:
        if isinstance(value, (str, bytes)) or not isinstance(value, (list, tuple)):
            raise self.wrong(name, value, "a list")
        return "{" + ",".join([self._item(name, item) for item in value]) + "}"

    def _item(self, name: str, item: object) -> str:
        if isinstance(item, (list, tuple)):
            return self._text(name, item)
        if item is None:
            return "NULL"
        return _array_item(item if self._element is None else self._element.stored(name, item))


def enum_value(value: object) -> object:
    from enum import Enum

    return value.value if isinstance(value, Enum) else value


def _array_item(value: object) -> str:
    """Return a plain value as an element in PostgreSQL's text of an array."""
    from godropbox.database.sqltypes import plain_value

    plain = plain_value(value)
    if isinstance(plain, bool):
        return "t" if plain else "f"
    if isinstance(plain, (int, float)):
        return repr(plain)
    if isinstance(plain, bytes):
        text = "\\x" + plain.hex()
    elif hasattr(plain, "isoformat"):
        text = plain.isoformat()
    elif hasattr(plain, "total_seconds"):
        seconds: Any = plain  # a timedelta
        text = f"{seconds.days} days {seconds.seconds}.{seconds.microseconds:06} seconds"
    else:
        text = str(plain)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
