"""What plain value a Python value stands for, and how the rarer ones are written and sent.

``plain_value`` decides it, once, for literals, parameters and slots. A twin of ``sqltext`` writes
None, bool, int, float, str, bytes and naive datetimes itself; whatever else comes is taken here,
once for both, along with the words for a bad one.
"""

import math
import operator
import re
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
    "exact_kind",
    "float_text",
    "parameter",
    "parts",
    "plain_value",
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

# The types that a twin knows by itself.
_PLAINEST = frozenset({bool, bytes, float, int, str, type(None)})
# The others that a value may be exactly, and their modules.
_RARER = {
    "Decimal": "decimal",
    "UUID": "uuid",
    "date": "datetime",
    "datetime": "datetime",
    "time": "datetime",
    "timedelta": "datetime",
}
# What PostgreSQL's literals of times say after the quotes, so that they are of the types that its
# driver names. An aware datetime says none, because it must be right in TIMESTAMP (which ignores
# its zone) and in TIMESTAMPTZ (which obeys it), whatever the zone of the session is.
_TYPED = {
    "date": "::date",
    "datetime": "::timestamp",
    "time": "::time",
    "timedelta": "::interval",
}
# What drivers of MySQL and PostgreSQL are sent as it is, without a zone.
_KNOWN = frozenset({"date", "datetime", "time"})
_SURROGATE = re.compile("[\ud800-\udfff]")

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


def _clock(seconds: int, microseconds: int) -> str:
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{microseconds:06d}"


def _timedelta_text(value: "datetime.timedelta", style: int) -> str:
    if style == POSTGRESQL:
        return f"{value.days} days {_clock(value.seconds, value.microseconds)}"
    total = (value.days * 86400 + value.seconds) * 1_000_000 + value.microseconds
    if abs(total) > _TIME_LIMIT:
        raise ValueError(
            f"value must be a timedelta within 838:59:59, the range of TIME, got {shown(value)}"
        )
    return f"{'-' if total < 0 else ''}{_clock(*divmod(abs(total), 1_000_000))}"


def _quoted_text(value: object, style: int) -> str | None:
    """Return what stands between the quotes of a plain value's literal; None for a Decimal."""
    name = type(value).__name__
    if name == "Decimal":
        return None
    if name == "UUID":
        return str(value)
    import datetime

    if isinstance(value, datetime.datetime):
        zone = "+00:00" if value.tzinfo is not None and style == POSTGRESQL else ""
        return value.replace(tzinfo=None).isoformat(" ", "microseconds") + zone
    if isinstance(value, datetime.timedelta):
        return _timedelta_text(value, style)
    if isinstance(value, datetime.time):
        return value.isoformat("microseconds")
    day: datetime.date = value  # type: ignore[assignment]  # all that is left
    return day.isoformat()


def _utc(value: "datetime.datetime") -> "datetime.datetime":
    """Return a datetime in UTC, or without a zone if it has no offset."""
    import datetime

    if value.tzinfo is None:
        return value
    if value.utcoffset() is None:
        return value.replace(tzinfo=None)
    try:
        return value.astimezone(datetime.UTC)
    except OverflowError:
        raise ValueError(
            f"value must be within the years 1 to 9999 in UTC, got {shown(value)}"
        ) from None


def _plain_time(value: object) -> object:
    """Return what the datetime module has as one of its own types, and None for anything else.

    Only that module's own methods are called, because a subclass's could return anything; but a
    subclass must say that it equals what it stands for, which pandas.NaT does not.
    """
    import datetime

    plain: object
    if isinstance(value, datetime.datetime):
        if type(value) is datetime.datetime:
            return _utc(value)
        day = datetime.datetime.date(value)
        moment = datetime.datetime.combine(day, datetime.datetime.timetz(value))
        plain = moment
    elif isinstance(value, datetime.date):
        plain = datetime.date.fromordinal(datetime.date.toordinal(value))
    elif isinstance(value, datetime.timedelta):
        plain = datetime.timedelta.__add__(value, datetime.timedelta())
    elif isinstance(value, datetime.time):
        text = datetime.time.isoformat(value, "microseconds")
        if value.tzinfo is not None or len(text) > 15:  # an offset stands after the 15
            raise ValueError(f"value must be a time without a time zone, got {shown(value)}")
        plain = datetime.time.fromisoformat(text)
    else:
        return None
    if not plain == value:  # not !=, which a subclass may leave to another answer
        raise ValueError(f"value must be equal to the plain value in it, got {shown(value)}")
    return _utc(plain) if isinstance(plain, datetime.datetime) else plain


def _unenumerated(value: object, enum: type) -> object:
    """Return the value of an Enum's member, which must not be another Enum's member."""
    inner = value.value  # type: ignore[attr-defined]  # an Enum has one
    if isinstance(inner, enum):  # a chain of them need not end
        raise TypeError(f"value must not be an Enum of an Enum, got {shown(value)}")
    return inner


def exact_kind(kind: type) -> bool:
    """Return whether `kind` is one of the rarer plain types; a value without a zone is plain."""
    module = _RARER.get(kind.__name__)
    return kind.__module__ == module and getattr(sys.modules.get(module), kind.__name__) is kind


def plain_value(value: object) -> object:
    """Return the plain value that `value` stands for, which every road to a database takes.

    It is None or exactly a bool, int, float, str, bytes, Decimal, datetime, date, time, timedelta
    or UUID. An Enum stands for its value; a subclass for what it is a subclass of, whatever it
    overrides; an integer of another kind for its ``__index__``; an aware datetime for the same
    moment in UTC; a bytearray or a memoryview for its bytes.

    Raises ``TypeError`` for any other type, ``ValueError`` for a time with a time zone, a moment
    outside the years 1 to 9999, and a subclass that is unequal to its plain value (pandas.NaT).
    """
    kind = type(value)
    if kind in _PLAINEST:
        return value
    if exact_kind(kind) and getattr(value, "tzinfo", None) is None:
        return value
    # A value of one of these modules has imported it; a program without them need not pay.
    loaded = sys.modules
    if "enum" in loaded and isinstance(value, loaded["enum"].Enum):
        return plain_value(_unenumerated(value, loaded["enum"].Enum))
    if "datetime" in loaded:
        plain = _plain_time(value)
        if plain is not None:
            return plain
    if "decimal" in loaded and isinstance(value, loaded["decimal"].Decimal):
        return loaded["decimal"].Decimal(value)
    if "uuid" in loaded and isinstance(value, loaded["uuid"].UUID):
        return loaded["uuid"].UUID(int=value.int)
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
        return int.__int__(operator.index(value))  # type: ignore[arg-type]  # it has __index__
    raise TypeError(f"value must be {_ALLOWED}, got {shown(value)}")


def plainer(value: object, style: int) -> tuple[str | None, object]:
    """Return the literal of `value`, which is ASCII, or None and the plainest value that it is.

    Raises what ``plain_value`` raises, and ``ValueError`` for a value out of the dialect's range.
    """
    plain = plain_value(value)
    if type(plain) in _PLAINEST:
        return None, plain
    text = _quoted_text(plain, style)
    if text is None:
        return _decimal_text(plain, style), None  # type: ignore[arg-type]  # a Decimal is left
    if style == POSTGRESQL and getattr(plain, "tzinfo", None) is None:
        return f"'{text}'{_TYPED.get(type(plain).__name__, '')}", None
    return f"'{text}'", None


def _checked(value: object, style: int) -> object:
    """Return one of the plainest values as a driver is sent it, or raise as its literal does."""
    kind = type(value)
    if kind is int:
        limit = 1 << 63 if style == SQLITE else 1 << 64
        if not -(1 << 63) <= value < limit:  # type: ignore[operator]  # an int, tested above
            raise bad_int(value, style)
    elif kind is str:
        text: str = value  # type: ignore[assignment]  # tested above
        bad = None if text.isascii() else _SURROGATE.search(text)
        if bad is not None:
            raise bad_character(text, bad.start(), style)
    elif kind is float:
        number: float = value  # type: ignore[assignment]  # tested above
        if not math.isfinite(number):
            raise bad_float(number)
        if style != SQLITE:
            digits = float_text(number, style)
            if style == POSTGRESQL or "e" not in digits:
                return _decimal(digits)
    return value


def parameter(value: object, style: int) -> object:
    """Return what a driver is sent for `value`: the value that its literal writes.

    A float is sent as the number that its digits are, where the dialect takes them for a DECIMAL.
    SQLite's driver knows neither times nor decimals: a time is sent as its text, and a decimal as
    the int or the float that SQLite makes of its digits. A timedelta is sent to MySQL as text,
    whose sign drivers get wrong; an aware datetime to PostgreSQL, for which drivers name a type
    that a TIMESTAMP column would shift.

    Raises what a literal raises, but takes a NUL in text, which drivers send or refuse themselves.
    """
    plain = plain_value(value)
    if type(plain) in _PLAINEST:
        return _checked(plain, style)
    if (
        style != SQLITE
        and type(plain).__name__ in _KNOWN
        and getattr(plain, "tzinfo", None) is None
    ):
        return plain
    text = _quoted_text(plain, style)
    if text is None:
        return _sent_decimal(_decimal_text(plain, style), style)  # type: ignore[arg-type]
    if style == SQLITE or type(plain).__name__ == "UUID":
        return text
    import datetime

    if isinstance(plain, datetime.timedelta):
        return plain if style == POSTGRESQL else text
    if isinstance(plain, datetime.datetime) and plain.tzinfo is not None:
        return text if style == POSTGRESQL else plain.replace(tzinfo=None)
    return plain


def _decimal(digits: str) -> object:
    if "decimal" not in sys.modules:
        import decimal  # noqa: F401  # here, so that importing the package does not

    return sys.modules["decimal"].Decimal(digits)


def _sent_decimal(digits: str, style: int) -> object:
    if style != SQLITE:
        return _decimal(digits)
    if "." not in digits and -(1 << 63) <= int(digits) < 1 << 63:
        return int(digits)
    return float(digits)


def parts(value: object) -> tuple[int, bytes]:
    """Return the Go library's form of a value: its type and its bytes.

    The type is 0 for null, 1 for a whole number, 2 for a fraction, 3 for bytes and 4 for text.
    Numbers and times are written as for MySQL; raises what a literal for MySQL raises.
    """
    plain = plain_value(value)
    if plain is None:
        return 0, b""
    if isinstance(plain, str):
        try:
            return 4, plain.encode()
        except UnicodeEncodeError as error:
            raise bad_character(plain, error.start, MYSQL) from None
    if isinstance(plain, bytes):
        return 3, plain
    if isinstance(plain, bool):
        return 1, b"1" if plain else b"0"
    if isinstance(plain, int):
        if not -(1 << 63) <= plain < 1 << 64:
            raise bad_int(plain, MYSQL)
        return 1, str(plain).encode()
    if isinstance(plain, float):
        if not math.isfinite(plain):
            raise bad_float(plain)
        return 2, float_text(plain, MYSQL).encode()
    text = _quoted_text(plain, MYSQL)
    if text is None:
        return 2, _decimal_text(plain, MYSQL).encode()  # type: ignore[arg-type]
    return 4, text.encode()
