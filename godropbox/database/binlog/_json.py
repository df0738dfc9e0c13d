"""MySQL's binary JSON as Python values, and the differences that partial updates log.

The format is that of the server's ``json_binary.h``: a value has a type byte, and an object or
array has offsets to the keys and values behind it.
"""

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta
from struct import Struct, error
from typing import Any, Final

from godropbox._kernels import binlog as kernel
from godropbox._kernels._binlog import DECIMAL

from ._errors import DataError

__all__ = ["JsonDiff", "apply_diffs", "json_diffs", "json_value"]

_MAX_DEPTH: Final = 100  # the servers' own limit
_LITERALS: Final = {0: None, 1: True, 2: False}
_NUMBERS: Final = {
    5: Struct("<h"),
    6: Struct("<H"),
    7: Struct("<i"),
    8: Struct("<I"),
    9: Struct("<q"),
    10: Struct("<Q"),
    11: Struct("<d"),
}
_INLINE: Final = {False: (4, 5, 6), True: (4, 5, 6, 7, 8)}  # types whose value stands in its entry
_SMALL: Final = Struct("<H")
_LARGE: Final = Struct("<I")
_PACKED: Final = Struct("<q")


def json_value(data: bytes) -> Any:
    """Return the value of a column's bytes; no bytes are null.

    Objects are dicts, arrays lists, decimals ``Decimal``, and times, dates and binary strings are
    those of ``datetime`` and bytes. Raises ``DataError`` for bytes that are no JSON.
    """
    if not data:
        return None
    try:
        return _Reader(data).value(data[0], 1, 0)
    except (error, IndexError, UnicodeDecodeError, ArithmeticError, ValueError) as wrong:
        raise DataError(f"JSON of {len(data)} bytes cannot be read: {wrong}") from None


class _Reader:
    """Reads one document; its parts lie apart, so that they cannot be more than its bytes."""

    __slots__ = ("_data", "_left")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = len(data)  # bytes that parts may still have

    def value(self, kind: int, at: int, depth: int) -> Any:
        data = self._data
        if kind < 4:
            if depth >= _MAX_DEPTH:
                raise DataError(f"JSON is nested deeper than {_MAX_DEPTH}")
            return self._container(kind, at, depth + 1)
        if kind == 4:
            return _LITERALS[data[at]] if data[at] in _LITERALS else _refused("literal", data[at])
        if kind in _NUMBERS:
            return _NUMBERS[kind].unpack_from(data, at)[0]
        if kind == 12:
            size, at = _length(data, at)
            return self._cut(at, size).decode()
        if kind == 15:
            field = data[at]
            size, at = _length(data, at + 1)
            return _opaque(field, self._cut(at, size))
        return _refused("type", kind)

    def _cut(self, at: int, size: int) -> bytes:
        self._take(size)
        return _cut(self._data, at, size)

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise DataError(f"its parts have more bytes than the {len(self._data)} of the whole")

    def _container(self, kind: int, start: int, depth: int) -> Any:
        data = self._data
        is_large, is_object = bool(kind & 1), kind < 2
        offset = _LARGE if is_large else _SMALL
        width = offset.size
        count, size = offset.unpack_from(data, start)[0], offset.unpack_from(data, start + width)[0]
        keys = 2 * width
        entries = keys + count * (width + 2) if is_object else keys
        head = entries + count * (width + 1)
        if size < head or start + size > len(data):
            raise DataError(f"it says {count} elements in {size} bytes, of {len(data) - start}")
        self._take(head)
        values = []
        for entry in range(start + entries, start + head, width + 1):
            inner = data[entry]
            if inner in _INLINE[is_large]:
                values.append(self.value(inner, entry + 1, depth))
                continue
            at = offset.unpack_from(data, entry + 1)[0]
            if at < head or at >= size:
                raise DataError(f"an element stands at {at} of {size} bytes")
            values.append(self.value(inner, start + at, depth))
        if not is_object:
            return values
        names = []
        for entry in range(start + keys, start + entries, width + 2):
            at = offset.unpack_from(data, entry)[0]
            length = _SMALL.unpack_from(data, entry + width)[0]
            names.append(self._cut(start + at, length).decode())
        return dict(zip(names, values, strict=True))


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Return a length in groups of seven bits, and where it ends."""
    size = 0
    for group in range(5):
        byte = data[at + group]
        size |= (byte & 0x7F) << 7 * group
        if byte < 0x80:
            return size, at + group + 1
    raise DataError("a length has more than five bytes")


def _cut(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise DataError(f"{size} bytes at {at} are due, of {len(data)}")
    return data[at : at + size]


def _refused(what: str, code: int) -> Any:
    raise DataError(f"unknown {what} {code}")


def _opaque(field: int, data: bytes) -> Any:
    if field == 246:
        return kernel.RowDecoder([(DECIMAL, data[0], data[1], None)], None, True, None).value(
            0, data, 2
        )[0]
    if field not in (7, 10, 11, 12):
        return data
    packed: int = _PACKED.unpack(data)[0]
    size = abs(packed)
    micros, whole = size & 0xFFFFFF, size >> 24
    seconds, minutes = whole & 63, whole >> 6 & 63
    if field == 11:
        span = timedelta(
            hours=whole >> 12 & 0x3FF, minutes=minutes, seconds=seconds, microseconds=micros
        )
        return -span if packed < 0 else span
    day, month, year = whole >> 17 & 31, (whole >> 22) % 13, (whole >> 22) // 13
    hour = whole >> 12 & 31
    try:
        if field == 10:
            return date(year, month, day)
        return datetime(year, month, day, hour, minutes, seconds, micros)  # it has no zone
    except ValueError:  # a date that is not in the calendar
        text = f"{year:04}-{month:02}-{day:02}"
        clock = f" {hour:02}:{minutes:02}:{seconds:02}.{micros:06}"
        return text if field == 10 else text + clock


class JsonDiff:
    """One change of a JSON document: ``operation`` is "replace", "insert" or "remove"."""

    __slots__ = ("operation", "path", "value")

    def __init__(self, operation: str, path: str, value: Any) -> None:
        self.operation = operation
        self.path = path
        self.value = value

    def __repr__(self) -> str:
        value = "" if self.operation == "remove" else f", {self.value!r}"
        return f"JsonDiff({self.operation!r}, {self.path!r}{value})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, JsonDiff):
            return NotImplemented
        return (self.operation, self.path, self.value) == (other.operation, other.path, other.value)

    __hash__ = None  # type: ignore[assignment]  # a value may be a dict


_OPERATIONS: Final = ("replace", "insert", "remove")


def json_diffs(
    data: bytes, lenenc: Callable[[bytes, int], tuple[int, int]]
) -> tuple[JsonDiff, ...]:
    """Return the changes that a partial update logged for a document."""
    diffs = []
    at = 0
    while at < len(data):
        code = data[at]
        if code >= len(_OPERATIONS):
            raise DataError(f"unknown operation {code} on JSON")
        size, at = lenenc(data, at + 1)
        path = _cut(data, at, size).decode()
        at += size
        value = None
        if code < 2:
            size, at = lenenc(data, at)
            value = json_value(_cut(data, at, size))
            at += size
        diffs.append(JsonDiff(_OPERATIONS[code], path, value))
    return tuple(diffs)


def apply_diffs(document: Any, diffs: tuple[JsonDiff, ...]) -> Any:
    """Return a document after changes; the one given stays as it is."""
    for diff in diffs:
        steps = _steps(diff.path)
        if len(steps) > _MAX_DEPTH:
            raise DataError(f"a path has {len(steps)} steps, more than {_MAX_DEPTH}")
        document = _applied(document, steps, diff)
    return document


def _applied(document: Any, steps: list[str | int], diff: JsonDiff) -> Any:
    if not steps:
        return diff.value
    step, rest = steps[0], steps[1:]
    if step == 0 and not isinstance(document, list):
        return _applied(document, rest, diff)  # [0] of what is no array is that itself
    if not isinstance(document, dict if isinstance(step, str) else list):
        raise DataError(f"path {diff.path} leads into a value that has no such parts")
    changed: Any = document.copy()
    try:
        if rest:
            changed[step] = _applied(changed[step], rest, diff)
        elif diff.operation == "remove":
            del changed[step]
        elif diff.operation == "insert" and isinstance(step, int):
            changed.insert(step, diff.value)
        else:
            changed[step] = diff.value
    except LookupError:
        raise DataError(f"path {diff.path} leads to nothing") from None
    return changed


def _steps(path: str) -> list[str | int]:
    """Return the steps of a path such as ``$.a[1]."b c"``."""
    if not path.startswith("$"):
        raise DataError(f"a path begins with {path[:1]!r}, not with '$'")
    steps: list[str | int] = []
    at = 1
    while at < len(path):
        if path[at] == "[":
            end = path.index("]", at)
            steps.append(int(path[at + 1 : end]))
            at = end + 1
        elif path[at + 1 : at + 2] == '"':
            end = at + 2
            while path[end] != '"':
                end += 2 if path[end] == "\\" else 1
            steps.append(json.loads(path[at + 1 : end + 1]))
            at = end + 1
        else:
            ends = [found for mark in ".[" if (found := path.find(mark, at + 1)) > 0]
            end = min(ends, default=len(path))
            steps.append(path[at + 1 : end])
            at = end
    return steps
