"""Values to send through SQL text: hostile ones, random ones by a seed, and Hypothesis's own."""

import datetime
import decimal
import math
import random
import struct
import uuid
from collections.abc import Iterator

from hypothesis import strategies as st

from godropbox.database.sqltypes import MYSQL, POSTGRESQL, SQLITE, SqlMode

__all__ = ["ALPHABET", "MODES", "rows", "texts", "values"]

MODES = {
    "mysql": MYSQL,
    "mysql-no-backslash": SqlMode(backslash_escapes=False),
    "mysql-ansi": SqlMode(ansi_quotes=True),
    "mysql-ansi-no-backslash": SqlMode(backslash_escapes=False, ansi_quotes=True),
    "sqlite": SQLITE,
    "postgresql": POSTGRESQL,
}

# What ends, escapes or comments out, several times over; what other encodings take for a quote
# or a backslash (their low bytes are 0x27 and 0x5C); the ends of each width of a character.
ALPHABET = (
    "''''\\\\\\\\%%__\"\"``\0\0\b\t\n\r\x1a;;--##/**/()ExXZNn0bux.,:?@$ "
    "\u0127\u015c\u0160\u2019\u275c\u5c27\uff07\uff3c\u2028\x7f\x80\x85\xa0\xbf\xdf\xff"
    "\u0100\ud7ff\ue000\ufffd\uffff\U00010000\U0001f642\U0010ffff"
)

_TIME_LIMIT = (838 * 3600 + 59 * 60 + 59) * 10**6


def texts(rng: random.Random, count: int, longest: int = 24) -> Iterator[str]:
    """Yield random strings of hostile characters, mostly short."""
    pool = "".join(rng.choices(ALPHABET, k=4096 * longest))
    for at in range(count):
        if at % 2048 == 2047:
            pool = "".join(rng.choices(ALPHABET, k=len(pool)))
        start = rng.randrange(len(pool) - longest)
        yield pool[start : start + rng.randrange(longest + 1)]


def _float(rng: random.Random) -> float:
    if rng.random() < 0.5:
        return rng.choice([0.0, 0.5, 1e15, 1e16, 1e22, 1e-7, 123456.789]) * rng.randint(-9, 9)
    value: float = struct.unpack("<d", rng.randbytes(8))[0]
    return value if math.isfinite(value) else 1.7976931348623157e308


def _int(rng: random.Random, bits: int) -> int:
    return rng.choice([0, 1, (1 << bits) - 1, rng.getrandbits(bits), rng.getrandbits(9)])


def _decimal(rng: random.Random, digits: int, scale: int) -> decimal.Decimal:
    number = rng.randrange(10 ** rng.randint(1, digits)) * rng.choice([1, -1])
    return decimal.Decimal(number).scaleb(-rng.randint(0, scale), decimal.Context(prec=80))


def _moment(rng: random.Random) -> datetime.datetime:
    days = datetime.timedelta(
        days=rng.randrange(3652058), microseconds=rng.randrange(86_400_000_000)
    )
    return datetime.datetime(1, 1, 1) + days


def rows(rng: random.Random, count: int, mode: SqlMode) -> Iterator[tuple[object, ...]]:
    """Yield rows of one random value for each column of the tables that ``COLUMNS`` declares.

    The columns are text, bytes, a signed and an unsigned int, float, Decimal, bool, datetime,
    date, time, timedelta and UUID.
    """
    sqlite = mode.dialect == "sqlite"
    for text in texts(rng, count):
        moment = _moment(rng)
        yield (
            text if mode.dialect == "mysql" else text.replace("\0", "0"),
            rng.randbytes(rng.randrange(12)),
            _int(rng, 63) * rng.choice([1, -1]),
            _int(rng, 63 if sqlite else 64),
            _float(rng),
            _decimal(rng, 15, 15) if sqlite else _decimal(rng, 35, 30),
            rng.random() < 0.5,
            moment,
            moment.date(),
            moment.time(),
            datetime.timedelta(microseconds=rng.randint(-_TIME_LIMIT, _TIME_LIMIT)),
            uuid.UUID(bytes=rng.randbytes(16)),
        )


def values(mode: SqlMode) -> "st.SearchStrategy[tuple[object, ...]]":
    """Return Hypothesis's rows of the same columns."""
    mysql, sqlite = mode.dialect == "mysql", mode.dialect == "sqlite"
    limit = datetime.timedelta(hours=838, minutes=59, seconds=59)
    digits = 15 if sqlite else 35
    return st.tuples(
        st.text(
            st.characters(exclude_categories=["Cs"], exclude_characters="" if mysql else "\0")
            | st.sampled_from(ALPHABET.replace("\0", "")),
            max_size=30,
        ),
        st.binary(max_size=30),
        st.integers(-(1 << 63), (1 << 63) - 1),
        st.integers(0, (1 << 63 if sqlite else 1 << 64) - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.integers(-(10**digits) + 1, 10**digits - 1).map(
            lambda number: decimal.Decimal(number).scaleb(-(digits // 2), decimal.Context(prec=80))
        ),
        st.booleans(),
        st.datetimes(),
        st.dates(),
        st.times(),
        st.timedeltas(-limit, limit),
        st.uuids(),
    )
