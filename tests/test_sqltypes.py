"""Literals: the golden vectors, every type, every refusal, and the modes they are safe in."""

import copy
import datetime
import enum
import fractions
import json
import os
import pickle
import random
import uuid
from array import array
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import sqlcases
from support.sqllexer import NotOneLiteralError, read_literal

from godropbox.database import sqltypes
from godropbox.database.sqltypes import MYSQL, POSTGRESQL, SQLITE, SqlMode

# How many strings the injection fuzz takes, in all modes together.
FUZZ_STRINGS = int(os.environ.get("GODROPBOX_FUZZ_STRINGS", "60000"))

# A busy machine is no failure.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

PLAIN = SqlMode(backslash_escapes=False)
ALL_MODES = pytest.mark.parametrize("mode", sqlcases.MODES.values(), ids=sqlcases.MODES)

VALUES: dict[str, Callable[..., Any]] = {
    "null": lambda: None,
    "bool": bool,
    "int": int,
    "float": float,
    "str": str,
    "bytes": bytes.fromhex,
    "datetime": datetime.datetime.fromisoformat,
}


def test_vectors(vectors: Path) -> None:
    with (vectors / "sqltypes.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    assert len(rows) == 1500
    for row in rows:
        kind, *args = row["value"]
        value = VALUES[kind](*args)
        assert sqltypes.encode_sql(value).encode() == bytes.fromhex(row["sql_hex"])
        assert sqltypes.encode_ascii(value) == row["ascii"]
        binary = bytes.fromhex(row["binary_hex"])
        assert sqltypes.to_binary(value) == binary
        back = args[0].replace("T", " ") if kind == "datetime" else value
        assert sqltypes.from_binary(binary) == back


class Colour(enum.Enum):
    RED = "it's red"


class Number(enum.IntEnum):
    SEVEN = 7


class Loud(str):
    """A str that lies about itself."""

    __slots__ = ()

    def __str__(self) -> str:
        return "'; DROP TABLE t"

    def replace(self, *args: Any) -> "Loud":
        return self


class Meters(float):
    def __repr__(self) -> str:
        return "1; DROP TABLE t"


class Exact(Decimal):
    def __format__(self, *args: Any) -> str:
        return "1; DROP TABLE t"


class Day(datetime.datetime):
    def replace(self, *args: Any, **named: Any) -> Any:
        return "'; DROP TABLE t"

    def isoformat(self, *args: Any) -> str:
        return "'; DROP TABLE t"


class Span(datetime.timedelta):
    @property
    def days(self) -> Any:
        return "'; DROP TABLE t"


class Outer(enum.Enum):
    NESTED = Number.SEVEN


class Index:
    def __index__(self) -> int:
        return 12


HOUR = datetime.timedelta(hours=1)
EAST = datetime.timezone(2 * HOUR)
MOMENT = datetime.datetime(2014, 7, 1, 12, 34, 56, 7)


# Called with names that are known only here.
ENUM: Any = enum.Enum
FLAG: Any = enum.Flag
STR_ENUM: Any = enum.StrEnum


def typed(text: str, kind: str) -> tuple[str, str, str]:
    """Return a literal in each dialect, where PostgreSQL's says its type."""
    return text, text, f"{text}::{kind}"


@pytest.mark.parametrize(
    ("value", "mysql", "sqlite", "postgresql"),
    [
        (None, "null", "null", "null"),
        (True, "1", "1", "TRUE"),
        (False, "0", "0", "FALSE"),
        (0, "0", "0", "0"),
        (-(1 << 63), *["-9223372036854775808"] * 3),
        (1.0, "1", "1.0", "1.0"),
        (-0.0, "-0", "-0.0", "-0.0"),
        (0.1, "0.1", "0.1", "0.1"),
        (1e16, "10000000000000000", "1e+16", "1e+16"),
        (1e-7, "0.0000001", "1e-07", "1e-07"),
        (1e64, "1" + "0" * 64, "1e+64", "1e+64"),
        (1e65, "1e+65", "1e+65", "1e+65"),
        (1.5e-30, "1.5e-30", "1.5e-30", "1.5e-30"),
        (5e-324, "5e-324", "5e-324", "5e-324"),
        (Decimal("-12.50"), "-12.50", "-12.50", "-12.50"),
        (Decimal("1E+3"), "1000", "1000", "1000"),
        ("", "''", "''", "''"),
        ("it's", r"'it\'s'", "'it''s'", "'it''s'"),
        ('a"b', r"'a\"b'", "'a\"b'", "'a\"b'"),
        ("a\\b", r"'a\\b'", r"'a\b'", r"E'a\\b'"),
        ("10\\%\\_\\", r"'10\%\_\\'", "'10\\%\\_\\'", r"E'10\\%\\_\\'"),
        ("\\'\\", r"'\\\'\\'", "'\\''\\'", r"E'\\''\\'"),
        ("\b\t\n\r\x1a", r"'\b\t\n\r\Z'", "'\b\t\n\r\x1a'", "'\b\t\n\r\x1a'"),
        ("字é🙂", "'字é🙂'", "'字é🙂'", "'字é🙂'"),
        (b"", "X''", "X''", "E'\\\\x'::bytea"),
        (b"\x00'\\\xff", "X'00275cff'", "X'00275cff'", "E'\\\\x00275cff'::bytea"),
        (bytearray(b"a"), "X'61'", "X'61'", "E'\\\\x61'::bytea"),
        (memoryview(b"abcd")[::2], "X'6163'", "X'6163'", "E'\\\\x6163'::bytea"),
        (MOMENT, *typed("'2014-07-01 12:34:56.000007'", "timestamp")),
        (datetime.datetime(1, 1, 1), *typed("'0001-01-01 00:00:00.000000'", "timestamp")),
        (
            MOMENT.replace(tzinfo=EAST),
            "'2014-07-01 10:34:56.000007'",
            "'2014-07-01 10:34:56.000007'",
            "'2014-07-01 10:34:56.000007+00:00'",
        ),
        (MOMENT.date(), *typed("'2014-07-01'", "date")),
        (MOMENT.time(), *typed("'12:34:56.000007'", "time")),
        (ENUM("E", {"A": MOMENT})["A"], *typed("'2014-07-01 12:34:56.000007'", "timestamp")),
        (ENUM("E", {"A": MOMENT.date()})["A"], *typed("'2014-07-01'", "date")),
        (
            -HOUR * 30,
            "'-30:00:00.000000'",
            "'-30:00:00.000000'",
            "'-2 days 18:00:00.000000'::interval",
        ),
        (
            datetime.timedelta(hours=838, minutes=59, seconds=59),
            "'838:59:59.000000'",
            "'838:59:59.000000'",
            "'34 days 22:59:59.000000'::interval",
        ),
        (uuid.UUID(int=10), *["'00000000-0000-0000-0000-00000000000a'"] * 3),
        (Colour.RED, r"'it\'s red'", "'it''s red'", "'it''s red'"),
        (Number.SEVEN, "7", "7", "7"),
        (Loud("a'b"), r"'a\'b'", "'a''b'", "'a''b'"),
        (Meters(2.5), "2.5", "2.5", "2.5"),
        (Exact("2.50"), "2.50", "2.50", "2.50"),
        (Day(2014, 7, 1), *typed("'2014-07-01 00:00:00.000000'", "timestamp")),
        (
            Span(hours=1),
            "'01:00:00.000000'",
            "'01:00:00.000000'",
            "'0 days 01:00:00.000000'::interval",
        ),
        (Index(), "12", "12", "12"),
    ],
)
def test_literals(value: object, mysql: str, sqlite: str, postgresql: str) -> None:
    assert sqltypes.encode_sql(value) == mysql
    assert sqltypes.encode_sql(value, SqlMode(ansi_quotes=True)) == mysql
    assert sqltypes.encode_sql(value, SQLITE) == sqlite
    assert sqltypes.encode_sql(value, POSTGRESQL) == postgresql
    # The two plain modes differ only in what MySQL has no literal of its own for.
    if not isinstance(value, (float, bool)):
        assert sqltypes.encode_sql(value, PLAIN) == sqlite


class Nothing(enum.Enum):
    NONE = None


class NotATime(datetime.datetime):
    """What pandas.NaT is: a datetime that equals nothing, not even itself."""

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class Valued(int):
    value = 5


class ValuedText(str):
    __slots__ = ()
    value = "no"


class ValuedDecimal(Decimal):
    value = 5


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (-0.5, -0.5),
        ("a", "a"),
        (b"a", b"a"),
        (bytearray(b"a"), b"a"),
        (memoryview(b"abcd")[::2], b"ac"),
        (Decimal("1.50"), Decimal("1.50")),
        (Colour.RED, "it's red"),
        (Number.SEVEN, 7),
        (Nothing.NONE, None),
        (FLAG("F", "A B")["B"], 2),
        (STR_ENUM("S", "A")["A"], "a"),
        (Valued(9), 9),
        (ValuedText("yes"), "yes"),
        (ValuedDecimal("2.5"), Decimal("2.5")),
        (Loud("a'b"), "a'b"),
        (Meters(2.5), 2.5),
        (Exact("2.50"), Decimal("2.50")),
        (Index(), 12),
        (Day(2014, 7, 1), datetime.datetime(2014, 7, 1)),
        (Span(hours=1), datetime.timedelta(hours=1)),
        (MOMENT, MOMENT),
        (MOMENT.replace(tzinfo=EAST), (MOMENT - 2 * HOUR).replace(tzinfo=datetime.UTC)),
        (MOMENT.date(), MOMENT.date()),
        (MOMENT.time(), MOMENT.time()),
        (uuid.UUID(int=10), uuid.UUID(int=10)),
    ],
)
def test_plain_value(value: object, plain: object) -> None:
    for stands_for in (value, ENUM("E", {"A": value})["A"]):
        if isinstance(value, enum.Enum) and stands_for is not value:
            continue
        got = sqltypes.plain_value(stands_for)
        assert got == plain
        assert type(got) is type(plain)
        assert getattr(got, "tzinfo", None) is getattr(plain, "tzinfo", None)
        assert sqltypes.encode_sql(stands_for) == sqltypes.encode_sql(plain)
        assert sqltypes.to_binary(stands_for) == sqltypes.to_binary(plain)


def test_a_time_unequal_to_itself_is_refused() -> None:
    for value in (NotATime(1, 1, 1), ENUM("E", {"A": NotATime(1, 1, 1)})["A"]):
        for use in (sqltypes.plain_value, sqltypes.encode_sql, sqltypes.to_binary):
            with pytest.raises(ValueError, match=r"^value must be equal to the plain value in it"):
                use(value)


def test_unsigned_ints() -> None:
    for mode in (MYSQL, PLAIN, POSTGRESQL):
        assert sqltypes.encode_sql((1 << 64) - 1, mode) == "18446744073709551615"
    assert sqltypes.encode_sql((1 << 63) - 1, SQLITE) == "9223372036854775807"


def test_nul() -> None:
    assert sqltypes.encode_sql("a\0b") == r"'a\0b'"
    assert sqltypes.encode_sql("a\0b", PLAIN) == "'a\0b'"


TIME = "a timedelta within 838:59:59, the range of TIME"
FINITE = "value must be finite, got "


@pytest.mark.parametrize(
    ("value", "mode", "words"),
    [
        (float("nan"), MYSQL, FINITE + "nan"),
        (float("-inf"), POSTGRESQL, FINITE + "-inf"),
        (Decimal("sNaN"), MYSQL, FINITE + "Decimal('sNaN') (Decimal)"),
        (Decimal("Infinity"), SQLITE, FINITE + "Decimal('Infinity') (Decimal)"),
        (1 << 64, MYSQL, "an int in [-2**63, 2**64), got 18446744073709551616"),
        (-(1 << 63) - 1, MYSQL, "an int in [-2**63, 2**64), got -9223372036854775809"),
        (1 << 63, SQLITE, "an int in [-2**63, 2**63) for SQLite, got 9223372036854775808"),
        (1 << 300, MYSQL, "int of 301 bits"),
        (Decimal(10**65), MYSQL, "a Decimal of at most 65 digits, 30 of them after the point"),
        (Decimal("1e-31"), MYSQL, "a Decimal of at most 65 digits, 30 of them after the point"),
        (Decimal("1e999999"), MYSQL, "a Decimal of at most 65 digits"),
        (Decimal("1.234567890123456"), SQLITE, "a Decimal of at most 15 digits for SQLite"),
        (Decimal("1e-16384"), POSTGRESQL, "a Decimal of at most 131072 digits before the point"),
        ("a\ud800b", MYSQL, r"text without lone surrogates, got '\ud800' at index 1 of "),
        ("🙂\udfff", PLAIN, r"text without lone surrogates, got '\udfff' at index 1 of "),
        ("ab\0", SQLITE, r"text without NUL for SQLite, which has no literal for it, got '\x00'"),
        ("é\0", POSTGRESQL, "text without NUL for PostgreSQL"),
        ("字\0", POSTGRESQL, "text without NUL for PostgreSQL"),
        (MOMENT.time().replace(tzinfo=EAST), MYSQL, "a time without a time zone, got "),
        (datetime.timedelta(hours=839), MYSQL, TIME),
        (datetime.timedelta(hours=-839), SQLITE, TIME),
        (
            datetime.datetime.max.replace(tzinfo=datetime.timezone(-HOUR)),
            MYSQL,
            "within the years 1 to 9999 in UTC",
        ),
    ],
)
def test_values_out_of_range(value: object, mode: SqlMode, words: str) -> None:
    with pytest.raises(ValueError, match=r"^value must be ") as caught:
        sqltypes.encode_sql(value, mode)
    assert words in str(caught.value)
    if mode == MYSQL:
        for encode in (sqltypes.encode_ascii, sqltypes.to_binary):
            with pytest.raises(ValueError, match=r"^value must be ") as again:
                encode(value)
            assert str(again.value) == str(caught.value)


@pytest.mark.parametrize(
    "value", [object(), [1], (1, 2), {}, {1}, 1j, int, fractions.Fraction(1, 2), array("f", [1.5])]
)
def test_unknown_types(value: object) -> None:
    for encode in (sqltypes.encode_sql, sqltypes.encode_ascii, sqltypes.to_binary):
        with pytest.raises(TypeError, match=r"^value must be None, bool, int, .*, got "):
            encode(value)


def test_an_enum_of_an_enum() -> None:
    for encode in (sqltypes.encode_sql, sqltypes.encode_ascii, sqltypes.to_binary):
        with pytest.raises(TypeError, match=r"^value must not be an Enum of an Enum, got <Outer"):
            encode(Outer.NESTED)


def test_a_mode_is_a_mode() -> None:
    with pytest.raises(TypeError, match=r"^mode must be a SqlMode, got 'sqlite' \(str\)$"):
        sqltypes.encode_sql("a", "sqlite")  # type: ignore[arg-type]


@ALL_MODES
def test_nothing_escapes_from_a_literal(mode: SqlMode) -> None:
    """Each string's literal is one token for the server, and means the string."""
    rng = random.Random(str(mode))
    encode = sqltypes.encode_sql
    for text in sqlcases.texts(rng, FUZZ_STRINGS // len(sqlcases.MODES)):
        if mode.dialect != "mysql" and "\0" in text:
            text = text.replace("\0", "\\")
        assert read_literal(encode(text, mode), mode) == text


@ALL_MODES
@UNHURRIED
@given(data=st.data())
def test_every_type_is_one_literal(mode: SqlMode, data: st.DataObject) -> None:
    for value in data.draw(sqlcases.values(mode)):
        read = read_literal(sqltypes.encode_sql(value, mode), mode)
        if isinstance(value, (datetime.date, datetime.time, datetime.timedelta, uuid.UUID)):
            assert isinstance(read, str)
            assert "'" not in read
            assert "\\" not in read
        elif isinstance(value, float):
            assert isinstance(read, Decimal)
            assert float(read) == value
        else:
            assert read == value


@pytest.mark.parametrize("text", ["'a''", "'a' ", "'a'b'", "'a", "a'", "''''''' ", "--1", "1;", ""])
def test_the_lexer_knows_what_is_not_one_literal(text: str) -> None:
    for mode in sqlcases.MODES.values():
        with pytest.raises(NotOneLiteralError):
            read_literal(text, mode)
    with pytest.raises(NotOneLiteralError):
        read_literal("'\\'", MYSQL)
    assert read_literal("'\\'", PLAIN) == "\\"


def test_modes_are_values() -> None:
    assert SqlMode() == MYSQL
    assert MYSQL not in (PLAIN, SqlMode(ansi_quotes=True), SqlMode(charset="ascii"), "mysql")
    assert len({SqlMode(), MYSQL, PLAIN}) == 2
    with pytest.raises(AttributeError, match=r"^a SqlMode is frozen, so charset cannot be set$"):
        MYSQL.charset = "gbk"
    with pytest.raises(AttributeError, match=r"^a SqlMode is frozen, so style cannot be deleted$"):
        del MYSQL.style
    assert repr(SQLITE) == (
        "SqlMode(dialect='sqlite', backslash_escapes=False, ansi_quotes=True, charset='utf8')"
    )
    for mode in (PLAIN, SQLITE, POSTGRESQL):
        for again in (copy.copy(mode), copy.deepcopy(mode), pickle.loads(pickle.dumps(mode))):
            assert again == mode
            assert sqltypes.encode_sql("a\\", again) == sqltypes.encode_sql("a\\", mode)


@pytest.mark.parametrize(
    ("sql_mode", "charset", "mode"),
    [
        ("", "utf8mb4", MYSQL),
        ("STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION", "latin1", SqlMode(charset="latin1")),
        ("NO_BACKSLASH_ESCAPES", "UTF8MB3", SqlMode(backslash_escapes=False, charset="utf8mb3")),
        ("ANSI_QUOTES,NO_BACKSLASH_ESCAPES", "ascii", SqlMode("mysql", False, True, "ascii")),
        ("REAL_AS_FLOAT,PIPES_AS_CONCAT,ANSI_QUOTES,IGNORE_SPACE,ANSI", "utf8mb4", None),
    ],
)
def test_parse_mode(sql_mode: str, charset: str, mode: SqlMode | None) -> None:
    assert SqlMode.parse(sql_mode, charset) == (mode or SqlMode(ansi_quotes=True))


@pytest.mark.parametrize(
    "charset", ["gbk", "big5", "sjis", "cp932", "gb18030", "gb2312", "swe7", "GBK"]
)
def test_unsafe_charsets(charset: str) -> None:
    words = "^charset must be one in which no byte inside a character is a quote or a backslash"
    with pytest.raises(ValueError, match=words):
        SqlMode.parse("", charset)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SqlMode(charset="utf7"), "charset must be one known to be safe (ascii, binary, "),
        (lambda: SqlMode(charset="utf8mb4\n"), "charset must be one known to be safe"),
        (
            lambda: SqlMode("oracle"),
            "dialect must be one of mysql, mariadb, sqlite, postgresql, got 'oracle'",
        ),
        (lambda: SqlMode("sqlite"), "backslash_escapes must be False and ansi_quotes True for sq"),
        (
            lambda: SqlMode("postgresql", False, True, "latin1"),
            "charset must be one known to be safe (utf8), got 'latin1'",
        ),
        (
            lambda: SqlMode.parse("ANSI_QUOTES,NEW_MODE"),
            "sql_mode must be of words known to be safe, got NEW_MODE",
        ),
        (
            lambda: SqlMode.parse("NO_BACKSLASH_ESCAPES "),
            "sql_mode must be of words known to be safe, got NO_BACKSLASH_ESCAPES ",
        ),
        (
            lambda: SqlMode.parse("EMPTY_STRING_IS_NULL"),
            "sql_mode must not have EMPTY_STRING_IS_NULL: it makes '' a NULL",
        ),
    ],
)
def test_modes_that_are_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(
        ValueError, match=r"^(charset|dialect|backslash_escapes|sql_mode) "
    ) as caught:
        make()
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "value", [None, 0, -5, (1 << 64) - 1, 0.25, 1e300, "é'\0", b"\0\xff", "x" * 300, b"y" * 20_000]
)
def test_binary_form(value: object) -> None:
    data = sqltypes.to_binary(value)
    for form in (data, bytearray(data), memoryview(data)):
        assert sqltypes.from_binary(form) == value
    for size in range(min(len(data), 300)):
        with pytest.raises(ValueError, match=r"^data "):
            sqltypes.from_binary(data[:size])
    with pytest.raises(ValueError, match=r"^data must have \d+ bytes after its head, got \d+$"):
        sqltypes.from_binary(data + b"\0")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "data must have at least its type byte, got none"),
        (b"\x05\x00", "data must begin with a type byte in [0, 4], got 5"),
        (b"\x01\x80", "data ends after 2 bytes, within its length"),
        (b"\x01" + b"\xff" * 10, "data must have its length in bytes 1 to 10, got "),
        (b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "data must have 9223372036854775807 bytes"),
        (b"\x01\x02 5", "data must hold a whole number in decimal digits, got b' 5' (bytes)"),
        (b"\x01\x031_0", "data must hold a whole number in decimal digits, got b'1_0' (bytes)"),
        (b"\x02\x03nan", "data must hold a decimal fraction, got b'nan' (bytes)"),
        (b"\x04\x01\xff", r"data must hold UTF-8 text, got b'\xff' (bytes)"),
    ],
)
def test_binary_forms_that_are_wrong(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=r"^data ") as caught:
        sqltypes.from_binary(data)
    assert words in str(caught.value)


def test_binary_form_wants_bytes() -> None:
    with pytest.raises(TypeError, match=r"^data must be bytes-like, got 'text' \(str\)$"):
        sqltypes.from_binary("text")  # type: ignore[arg-type]
