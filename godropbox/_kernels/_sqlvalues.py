"""Convert Python values to plain values, and write and send the rarer types.

``plain_value`` converts for literals, parameters and slots alike. Each twin of ``sqltext`` writes
None, bool, int, float, str, bytes and naive datetimes itself; this module handles all other types
and all error messages for both twins.
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
    "binary_parts",
    "exact_kind",
    "float_text",
    "literal_or_plain",
    "parameter",
    "plain_value",
]

# The styles of literals: the numbers of `enum gdbx_sqltext_style` in csrc/sqltext.h.
MYSQL = 0
MYSQL_PLAIN = 1
SQLITE = 2
POSTGRESQL = 3

_NAMES = ("MySQL", "MySQL", "SQLite", "PostgreSQL")

# MySQL's DECIMAL has at most 65 digits, at most 30 of them after the point, and silently drops the
# rest. PostgreSQL's numeric has at most 131072 digits before the point and 16383 after it.
_MYSQL_DIGITS = 65
_MYSQL_SCALE = 30
_POSTGRESQL_DIGITS = 131072
_POSTGRESQL_SCALE = 16383
# A Decimal of this many digits survives SQLite's 64-bit floats.
_SQLITE_DIGITS = 15

# The range of MySQL's TIME, 838:59:59, in microseconds.
_TIME_LIMIT = ((838 * 60 + 59) * 60 + 59) * 1_000_000

# The types that each twin writes itself.
_PLAINEST = frozenset({bool, bytes, float, int, str, type(None)})
# The other plain types and their modules.
_RARER = {
    "Decimal": "decimal",
    "UUID": "uuid",
    "date": "datetime",
    "datetime": "datetime",
    "time": "datetime",
    "timedelta": "datetime",
}
# The casts after PostgreSQL's literals of times, which give them the types that its driver names.
# An aware datetime has none, because it must be right in TIMESTAMP (which ignores its zone) and in
# TIMESTAMPTZ (which obeys it), whatever the session's zone.
_TYPED = {
    "date": "::date",
    "datetime": "::timestamp",
    "time": "::time",
    "timedelta": "::interval",
}
# Types without a zone that MySQL's and PostgreSQL's drivers accept unchanged.
_KNOWN = frozenset({"date", "datetime", "time"})

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
    """Return the error for a str whose character at `index` fits in no literal."""
    if value[index] == "\0":
        allowed = f"text without NUL for {_NAMES[style]}, which has no literal for it"
    else:
        allowed = "text without lone surrogates"
    return ValueError(
        f"value must be {allowed}, got {value[index]!r} at index {index} of {shown(value)}"
    )


def _positional(digits: int, exponent: int) -> tuple[int, int]:
    """Return the digits before and after the point of a number written without an exponent.

    `digits` is the number of digits, `exponent` the exponent of ``Decimal.as_tuple``.
    """
    return max(digits + exponent, 1), max(-exponent, 0)


def float_text(value: float, style: int) -> str:
    """Return the shortest text of a finite float that reads back as the same float.

    For MySQL it has no exponent if it fits a DECIMAL, the type of a number without one. Other
    dialects get the text of ``repr``, so that a float stays a float.
    """
    text = float.__repr__(value)
    if style not in (MYSQL, MYSQL_PLAIN):
        return text
    if "e" in text:
        from decimal import Decimal  # here, so that importing the package does not

        number = Decimal(text)
        _, digits, exponent = number.as_tuple()
        assert isinstance(exponent, int)  # true of every finite number
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
    """Return the text between the quotes of a plain value's literal, or None for a Decimal."""
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
    day: datetime.date = value  # type: ignore[assignment]  # the only type left
    return day.isoformat()


def _utc(value: "datetime.datetime") -> "datetime.datetime":
    """Return a datetime in UTC, or a naive one if it has no offset."""
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
    """Return an instance of a datetime type as that exact type, or None for any other value.

    Only the datetime module's own methods are called, because a subclass's could return anything.
    The result must equal the value, which excludes pandas.NaT.
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
        if value.tzinfo is not None or len(text) > 15:  # an offset follows these 15
            raise ValueError(f"value must be a time without a time zone, got {shown(value)}")
        plain = datetime.time.fromisoformat(text)
    else:
        return None
    if not plain == value:  # not !=, which a subclass may define differently
        raise ValueError(f"value must be equal to the plain value in it, got {shown(value)}")
    return _utc(plain) if isinstance(plain, datetime.datetime) else plain


def _unenumerated(value: object, enum: type) -> object:
    """Return the value of an Enum member; raise if it is an Enum member itself."""
    inner = value.value  # type: ignore[attr-defined]  # an Enum has one
    if isinstance(inner, enum):  # such a chain may never end
        raise TypeError(f"value must not be an Enum of an Enum, got {shown(value)}")
    return inner


def exact_kind(kind: type) -> bool:
    """Return whether `kind` is one of the rarer plain types; a naive value of it is plain."""
    module = _RARER.get(kind.__name__)
    return kind.__module__ == module and getattr(sys.modules.get(module), kind.__name__) is kind


def plain_value(value: object) -> object:
    """Return `value` as a plain value, as literals, parameters and slots send it.

    A plain value is None or exactly a bool, int, float, str, bytes, Decimal, datetime, date, time,
    timedelta or UUID. An Enum becomes its value; an instance of a subclass, the base type, whatever
    it overrides; another kind of integer, its ``__index__``; an aware datetime, the same moment in
    UTC; a bytearray or memoryview, bytes.

    Raise ``TypeError`` for any other type. Raise ``ValueError`` for a time with a time zone, a
    moment outside the years 1 to 9999, and a value unequal to its plain value (pandas.NaT).
    """
    kind = type(value)
    if kind in _PLAINEST:
        return value
    if exact_kind(kind) and getattr(value, "tzinfo", None) is None:
        return value
    # A value of these types means that its module is loaded; do not import it otherwise.
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
        return int.__add__(value, 0)  # PyPy's int.__int__ asks a subclass
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, (bytes, bytearray)):
        return bytes(memoryview(value))
    if isinstance(value, memoryview):
        return value.tobytes()
    if hasattr(type(value), "__index__"):
        return int.__add__(operator.index(value), 0)  # type: ignore[arg-type]  # it has __index__
    raise TypeError(f"value must be {_ALLOWED}, got {shown(value)}")


def literal_or_plain(value: object, style: int) -> tuple[str | None, object]:
    """Return the ASCII literal of `value`, or None and a plain value that each twin writes itself.

    Raise as ``plain_value`` does, and ``ValueError`` for a value out of the dialect's range.
    """
    plain = plain_value(value)
    if type(plain) in _PLAINEST:
        return None, plain
    text = _quoted_text(plain, style)
    if text is None:
        return _decimal_text(plain, style), None  # type: ignore[arg-type]  # only a Decimal is left
    if style == POSTGRESQL and getattr(plain, "tzinfo", None) is None:
        return f"'{text}'{_TYPED.get(type(plain).__name__, '')}", None
    return f"'{text}'", None


def _checked(value: object, style: int) -> object:
    """Return a common plain value as a parameter, or raise as its literal does."""
    kind = type(value)
    if kind is int:
        limit = 1 << 63 if style == SQLITE else 1 << 64
        if not -(1 << 63) <= value < limit:  # type: ignore[operator]  # an int, tested above
            raise bad_int(value, style)
    elif kind is str:
        text: str = value  # type: ignore[assignment]  # tested above
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:  # a lone surrogate
                raise bad_character(text, error.start, style) from None
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
    """Return the parameter that sends the same value as the literal of `value`.

    If the dialect reads a float's digits as a DECIMAL, the parameter is that Decimal. SQLite's
    driver takes neither times nor decimals: a time becomes text, and a decimal the int or float
    that SQLite reads from its digits. MySQL's drivers get the sign of a timedelta wrong, so it
    becomes text. PostgreSQL's drivers give an aware datetime a type that a TIMESTAMP column would
    shift, so it becomes text, too.

    Raise as a literal does, but accept a NUL in text, which drivers send or reject themselves.
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


def binary_parts(value: object) -> tuple[int, bytes]:
    """Return the type number and the bytes of a value in the Go library's form.

    The type is 0 for null, 1 for a whole number, 2 for a fraction, 3 for bytes and 4 for text.
    Numbers and times are written as for MySQL. Raise as a literal for MySQL does.
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
