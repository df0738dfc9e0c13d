"""The literals of every type but the plainest, and what both twins of ``sqltext`` say of a bad one.

A twin writes None, bool, int, float, str, bytes and naive datetimes itself; whatever else comes
is taken here, once for both.
"""

import math
import operator
import sys

from ._args import shown

TYPE_CHECKING = False  # not typing's: that module and enum take longer to import than the kernels

if TYPE_CHECKING:
    import datetime
    from decimal import Decimal

__all__ = [
    "MYSQL",
    "MYSQL_PLAIN",
    "POSTGRESQL",
    "SQLITE",
    "bad_character",
    "bad_float",
    "bad_int",
    "float_text",
    "parts",
    "plainer",
]

# The styles of literals: the numbers of `enum gdbx_sqltext_style` in csrc/sqltext.h.
MYSQL = 0
MYSQL_PLAIN = 1
SQLITE = 2
POSTGRESQL = 3

_NAMES = ("MySQL", "MySQL", "SQLite", "PostgreSQL")

# MySQL's DECIMAL: at most 65 digits, of them at most 30 after the point; it cuts off the rest
# without a word. PostgreSQL's numeric: 131072 before the point, 16383 after.
_MYSQL_DIGITS = 65
_MYSQL_SCALE = 30
_POSTGRESQL_DIGITS = 131072
_POSTGRESQL_SCALE = 16383
# Decimals of so many digits survive SQLite's 64-bit floats.
_SQLITE_DIGITS = 15

# The range of MySQL's TIME, 838:59:59, in microseconds.
_TIME_LIMIT = ((838 * 60 + 59) * 60 + 59) * 1_000_000

_ALLOWED = (
    "None, bool, int, float, Decimal, str, bytes, bytearray, memoryview, datetime, date, time,"
    " timedelta, UUID or an Enum of these"
)


def bad_int(value: object, style: int) -> ValueError:
    """Return the error for an int that the dialect cannot hold."""
    allowed = "[-2**63, 2**63) for SQLite" if style == SQLITE else "[-2**63, 2**64)"
    return ValueError(f"value must be an int in {allowed}, got {shown(value)}")


def bad_float(value: float) -> ValueError:
    """Return the error for a NaN or an infinity."""
    return ValueError(f"value must be finite, got {value!r}")


def bad_character(value: str, index: int, style: int) -> ValueError:
    """Return the error for a str with a character, at `index`, that no literal can say."""
    if value[index] == "\0":
        allowed = f"text without NUL for {_NAMES[style]}, which has no literal for it"
    else:
        allowed = "text without lone surrogates"
    return ValueError(
        f"value must be {allowed}, got {value[index]!r} at index {index} of {shown(value)}"
    )


def _positional(digits: int, exponent: int) -> tuple[int, int]:
    """Return how many digits a number written without an exponent has before and after the point.

    `digits` and `exponent` are those of ``Decimal.as_tuple``.
    """
    return max(digits + exponent, 1), max(-exponent, 0)


def float_text(value: float, style: int) -> str:
    """Return the text of a finite float: the shortest that reads back as the same float.

    MySQL has it without an exponent, as long as it is exact as a DECIMAL (its type for a number
    without one); other dialects have it as ``repr`` does, so that a float stays a float.
    """
    text = float.__repr__(value)
    if style not in (MYSQL, MYSQL_PLAIN):
        return text
    if "e" in text:
        from decimal import Decimal  # here, so that importing the package does not

        number = Decimal(text)
        _, digits, exponent = number.as_tuple()
        assert isinstance(exponent, int)  # as it is of all that is finite
        before, after = _positional(len(digits), exponent)
        if before + after > _MYSQL_DIGITS or after > _MYSQL_SCALE:
            return text
        text = format(number, "f")
    return text.removesuffix(".0")


def _decimal_text(value: "Decimal", style: int) -> str:
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError(f"value must be finite, got {shown(value)}")
    before, after = _positional(len(digits), exponent)
    if style == SQLITE:
        fits = len(digits) <= _SQLITE_DIGITS and before + after <= 300
        allowed = f"a Decimal of at most {_SQLITE_DIGITS} digits for SQLite, which has only floats"
    elif style == POSTGRESQL:
        fits = before <= _POSTGRESQL_DIGITS and after <= _POSTGRESQL_SCALE
        allowed = (
            f"a Decimal of at most {_POSTGRESQL_DIGITS} digits before the point and"
            f" {_POSTGRESQL_SCALE} after it"
        )
    else:
        fits = before + after <= _MYSQL_DIGITS and after <= _MYSQL_SCALE
        allowed = (
            f"a Decimal of at most {_MYSQL_DIGITS} digits, {_MYSQL_SCALE} of them after the point"
        )
    if not fits:
        raise ValueError(f"value must be {allowed}, got {shown(value)}")
    return format(value, "f")


def _datetime_text(value: "datetime.datetime", style: int) -> str:
    import datetime

    suffix = ""
    if value.tzinfo is not None and value.utcoffset() is not None:
        try:
            value = datetime.datetime.astimezone(value, datetime.UTC)
        except OverflowError:
            raise ValueError(
                f"value must be within the years 1 to 9999 in UTC, got {shown(value)}"
            ) from None
        suffix = "+00:00" if style == POSTGRESQL else ""
    value = datetime.datetime.replace(value, tzinfo=None)
    text = datetime.datetime.isoformat(value, " ", "microseconds")
    return f"'{text}{suffix}'"


def _clock(seconds: int, microseconds: int) -> str:
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{microseconds:06d}"


def _timedelta_text(value: "datetime.timedelta", style: int) -> str:
    if style == POSTGRESQL:
        return f"'{value.days} days {_clock(value.seconds, value.microseconds)}'"
    total = (value.days * 86400 + value.seconds) * 1_000_000 + value.microseconds
    if abs(total) > _TIME_LIMIT:
        raise ValueError(
            f"value must be a timedelta within 838:59:59, the range of TIME, got {shown(value)}"
        )
    return f"'{'-' if total < 0 else ''}{_clock(*divmod(abs(total), 1_000_000))}'"


def _time_text(value: object, style: int) -> str | None:
    """Return the literal of what the datetime module has, and None for anything else.

    Only that module's own methods are called, because a subclass's could return anything.
    """
    import datetime

    if isinstance(value, datetime.datetime):
        return _datetime_text(value, style)
    if isinstance(value, datetime.date):
        return f"'{datetime.date.isoformat(value)}'"
    if isinstance(value, datetime.timedelta):
        return _timedelta_text(datetime.timedelta.__pos__(value), style)
    if not isinstance(value, datetime.time):
        return None
    if value.tzinfo is not None:
        raise ValueError(f"value must be a time without a time zone, got {shown(value)}")
    return f"'{datetime.time.isoformat(value, 'microseconds')}'"


def _exact(value: object) -> object:
    """Return a subclass of a plain type, or what stands for one, as the plain type itself."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, (bytes, bytearray)):
        return bytes(memoryview(value))
    if isinstance(value, memoryview):
        return value.tobytes()
    if hasattr(type(value), "__index__"):
        return operator.index(value)  # type: ignore[arg-type]  # it has __index__, tested above
    raise TypeError(f"value must be {_ALLOWED}, got {shown(value)}")


def plainer(value: object, style: int) -> tuple[str | None, object]:
    """Return the literal of `value`, which is ASCII, or None and the plainer value it stands for.

    Raises ``TypeError`` for a type that has no literal and ``ValueError`` for a value out of the
    dialect's range.
    """
    # A value of one of these modules has imported it; a program without them need not pay.
    loaded = sys.modules
    if "enum" in loaded and isinstance(value, loaded["enum"].Enum):
        inner = value.value
        if isinstance(inner, loaded["enum"].Enum):  # a chain of them need not end
            raise TypeError(f"value must not be an Enum of an Enum, got {shown(value)}")
        return None, inner
    text = _time_text(value, style) if "datetime" in loaded else None
    if text is not None:
        return text, None
    if "decimal" in loaded and isinstance(value, loaded["decimal"].Decimal):
        return _decimal_text(loaded["decimal"].Decimal(value), style), None
    if "uuid" in loaded and isinstance(value, loaded["uuid"].UUID):
        return f"'{loaded['uuid'].UUID.__str__(value)}'", None
    return None, _exact(value)


def parts(value: object) -> tuple[int, bytes]:
    """Return the Go library's form of a value: its type and its bytes.

    The type is 0 for null, 1 for a whole number, 2 for a fraction, 3 for bytes and 4 for text.
    Numbers and times are written as for MySQL; raises what a literal for MySQL raises.
    """
    if value is None:
        return 0, b""
    if type(value) is str:
        try:
            return 4, value.encode()
        except UnicodeEncodeError as error:
            raise bad_character(value, error.start, MYSQL) from None
    if type(value) is bytes:
        return 3, value
    if isinstance(value, bool):
        return 1, b"1" if value else b"0"
    if type(value) is int:
        if not -(1 << 63) <= value < 1 << 64:
            raise bad_int(value, MYSQL)
        return 1, str(value).encode()
    if type(value) is float:
        if not math.isfinite(value):
            raise bad_float(value)
        return 2, float_text(value, MYSQL).encode()
    text, plain = plainer(value, MYSQL)
    if text is None:
        return parts(plain)
    return (4, text[1:-1].encode()) if text.startswith("'") else (2, text.encode())
