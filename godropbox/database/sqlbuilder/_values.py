"""The plain values that stand in expressions: what is taken, and what a driver is sent.

Only the rarer types come here; ints, floats, strings, bytes, bools and None are dealt with in
place. Which types have a literal is decided by the ``sqltext`` kernel alone.
"""

from godropbox._kernels import sqltext

from ._names import shown

__all__ = ["checked_values", "plain_operand", "sent_value"]

# One name for each type that drivers know; looked up by name so that nothing is imported for it.
_IMMUTABLE = frozenset({"datetime", "decimal", "uuid"})
_NATIVE = frozenset({"Decimal", "date", "datetime", "time", "timedelta"})


def plain_operand(value: object) -> object:
    """Return a value of a rarer type as an immutable one, or raise if it has no literal."""
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if type(value).__module__ in _IMMUTABLE:
        return value
    try:
        sqltext.literal(value, 0)
    except TypeError:
        raise TypeError(
            f"an operand must be an expression or a value with a literal, got {shown(value)} "
            f"({type(value).__name__})"
        ) from None
    except ValueError:
        return value  # out of MySQL's range, perhaps not of the dialect's: known at render
    return value


def checked_values(values: object, nodes: "tuple[type, ...]") -> object:
    """Return what ``in_`` searches: a node as it is, any other iterable as a tuple."""
    if isinstance(values, nodes):
        return values
    if isinstance(values, (str, bytes, bytearray, memoryview)) or not hasattr(
        type(values), "__iter__"
    ):
        raise TypeError(
            f"values of in_() must be an iterable of values or a query, got {shown(values)} "
            f"({type(values).__name__})"
        )
    return tuple(values)  # type: ignore[arg-type]  # it has __iter__, tested above


def sent_value(value: object, style: int) -> "tuple[bool, object]":
    """Return whether a driver can be sent `value`, and as what; the same errors as a literal.

    SQLite's driver knows neither times nor decimals: a time is sent as its text, and a decimal is
    not sent, so that it stays a number.
    """
    text = sqltext.literal(value, style)
    kind = type(value)
    while hasattr(kind, "value") and hasattr(value, "value"):  # an Enum
        value = value.value
        kind = type(value)
    if isinstance(value, str):
        return True, str.__str__(value)
    if isinstance(value, float):
        return True, float.__float__(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return True, bytes(value)
    if kind.__name__ in _NATIVE:
        if style != 2:
            return True, value
        return (True, text[1:-1]) if text.startswith("'") else (False, None)
    if text.startswith("'"):
        return True, text[1:-1]  # a UUID
    return True, int(value)  # type: ignore[call-overload]  # all that is left has __index__
