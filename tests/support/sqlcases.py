"""Values to send through SQL text: hostile strings by a seed, and Hypothesis's rows."""

import datetime
import decimal
import random
from collections.abc import Iterator

from hypothesis import strategies as st

from godropbox.database.sqltypes import MYSQL, POSTGRESQL, SQLITE, SqlMode

__all__ = ["ALPHABET", "MODES", "texts", "values"]

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


def texts(rng: random.Random, count: int, longest: int = 24) -> Iterator[str]:
    """Yield random strings of hostile characters, mostly short."""
    pool = "".join(rng.choices(ALPHABET, k=4096 * longest))
    for at in range(count):
        if at % 2048 == 2047:
            pool = "".join(rng.choices(ALPHABET, k=len(pool)))
        start = rng.randrange(len(pool) - longest)
        yield pool[start : start + rng.randrange(longest + 1)]


def values(mode: SqlMode) -> "st.SearchStrategy[tuple[object, ...]]":
    """Return Hypothesis's rows of one value of each type.

    They are text, bytes, a signed and an unsigned int, float, Decimal, bool, datetime,
    date, time, timedelta and UUID.
    """
    mysql, sqlite = mode.dialect == "mysql", mode.dialect == "sqlite"
    limit = datetime.timedelta(hours=838, minutes=59, seconds=59)
    digits = 15 if sqlite else 35
    return st.tuples(
        st.text(
            st.characters(exclude_categories=["Cs"], exclude_characters="" if mysql else "\0")
            | st.sampled_from(ALPHABET if mysql else ALPHABET.replace("\0", "")),
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
