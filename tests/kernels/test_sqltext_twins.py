"""The two forms of the SQL text kernel write the same text and refuse in the same words."""

import datetime
import enum
import math
import uuid
from collections.abc import Callable
from decimal import Decimal
from types import ModuleType
from typing import Any

import pytest
from conftest import twins
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.sqlcases import ALPHABET

pytestmark = pytest.mark.once

KERNELS = twins("sqltext")
EACH = pytest.mark.parametrize("sqltext", KERNELS)

# A busy machine is no failure.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

TEXTS = (
    st.text(st.sampled_from(ALPHABET), max_size=70)
    | st.text(st.characters(exclude_categories=[]), max_size=40)
    | st.text(st.sampled_from("ab'\\\u00e9"), max_size=40)
)
PLAIN_VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(1 << 65), 1 << 65)
    | st.floats()
    | TEXTS
    | st.binary(max_size=40)
    | st.datetimes(timezones=st.none() | st.timezones())
)
VALUES = (
    PLAIN_VALUES
    | st.decimals()
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.builds(object)
    | st.lists(st.none(), max_size=1)
)
STYLES = st.integers(0, 3)


def outcome(call: Callable[[], Any]) -> Any:
    """Return what a call returns, or the class and the words of what it raises."""
    try:
        return call()
    except Exception as error:
        return type(error), str(error)


def same(calls: list[Callable[[], Any]]) -> Any:
    first, *others = [outcome(call) for call in calls]
    for other in others:
        assert other == first
    return first


@UNHURRIED
@given(value=VALUES, style=STYLES)
@example(value=-(1 << 63), style=2)
@example(value=1 << 63, style=2)
@example(value=(1 << 64) - 1, style=0)
@example(value=5e-324, style=0)
@example(value="\\" * 16 + "%", style=0)
@example(value="a" * 15 + "\\" + "_", style=0)
@example(value="\\%'\n" * 100, style=0)
@example(value="\\'\n\0" * 100, style=0)
@example(value="\ud800", style=1)
@example(value="a" * 40 + "\0", style=3)
def test_same_literal(value: object, style: int) -> None:
    found = same([lambda k=k: k.literal(value, style) for k in KERNELS])  # type: ignore[misc]
    texts = []
    for kernel in KERNELS:
        text = kernel.Text(style)
        text.raw("<")
        if isinstance(found, str):
            text.literal(value)
        else:
            assert outcome(lambda text=text: text.literal(value)) == found  # type: ignore[misc]
        texts.append(text.take())
    assert set(texts) == {f"<{found}" if isinstance(found, str) else "<"}


@UNHURRIED
@given(pieces=st.lists(st.tuples(st.booleans(), TEXTS), max_size=12), style=STYLES)
def test_same_text(pieces: list[tuple[bool, str]], style: int) -> None:
    results = []
    for kernel in KERNELS:
        text = kernel.Text(style)
        lengths = [0]
        for trusted, piece in pieces:
            outcome(lambda a=text.raw if trusted else text.literal, p=piece: a(p))  # type: ignore[misc]
            lengths.append(len(text))
        whole = text.take()
        assert len(whole) == lengths[-1]
        assert len(text) == 0
        text.raw("again")
        results.append((whole, lengths, text.take()))
    assert all(result == results[0] for result in results)


@UNHURRIED
@given(
    rows=st.lists(st.tuples(PLAIN_VALUES, PLAIN_VALUES) | st.lists(st.integers(0, 9)), max_size=5),
    style=STYLES,
    separator=st.sampled_from([",", ", ", " é ", "字"]),
)
def test_same_rows(rows: list[Any], style: int, separator: str) -> None:
    """Whole rows and lists; what raises leaves the text as it was."""
    results = []
    for kernel in KERNELS:
        text = kernel.Text(style)
        text.raw("é")
        told = [outcome(lambda text=text: text.rows(rows, 2))]  # type: ignore[misc]
        told += [outcome(lambda text=text, row=row: text.literals(row, separator)) for row in rows]  # type: ignore[misc]
        told.append(outcome(lambda text=text: text.rows(tuple(map(list, rows)), 2)))  # type: ignore[misc]
        results.append((told, text.take()))
    assert all(result == results[0] for result in results)


# Every number of decimal digits, and where CPython's own ints take one more digit of 30 bits.
EDGES = sorted(
    {
        sign * (power + off)
        for power in [10**n for n in range(19)] + [1 << 30, 1 << 60, 1 << 62]
        for off in (-1, 0, 1)
        for sign in (-1, 1)
    }
    | {-(1 << 63), (1 << 63) - 1}
)


@EACH
@pytest.mark.parametrize("style", range(4))
@pytest.mark.parametrize("before", ["", "é", "字"])
def test_ints_of_every_length(sqltext: ModuleType, style: int, before: str) -> None:
    wanted = ",".join(map(str, EDGES))
    text = sqltext.Text(style)
    text.raw(before)
    text.literals(EDGES, ",")
    assert text.take() == before + wanted
    text.raw(before)
    text.rows([EDGES], len(EDGES))
    assert text.take() == f"{before}({wanted})"
    assert [sqltext.literal(number, style) for number in EDGES] == wanted.split(",")


@UNHURRIED
@given(value=VALUES, style=STYLES)
@example(value='it\'s "é"', style=0)
@example(value="\ud800", style=0)
@example(value="\x7f'\x85\u2028", style=0)
@example(value="100\\%", style=0)
@example(value=1 << 63, style=2)
@example(value=-(1 << 63) - 1, style=0)
@example(value=True, style=3)
def test_a_list_writes_each_value_as_if_it_were_alone(value: object, style: int) -> None:
    for kernel in KERNELS:
        alone = outcome(lambda k=kernel: k.literal(value, style))  # type: ignore[misc]
        ways: list[tuple[Callable[[Any], Any], str]] = [
            (lambda text: text.literals([value, value], "-"), f"{alone}-{alone}"),
            (lambda text: text.rows([[value], (value,)], 1), f"({alone}), ({alone})"),
        ]
        for write, wanted in ways:
            text = kernel.Text(style)
            told = outcome(lambda write=write, text=text: write(text))  # type: ignore[misc]
            if isinstance(alone, str):
                assert text.take() == wanted
            else:
                assert (told, text.take()) == (alone, "")


@EACH
def test_rows_and_literals(sqltext: ModuleType) -> None:
    text = sqltext.Text(0)
    text.raw("IN (")
    text.literals([1, "a", None], ",")
    text.raw(") ")
    text.rows([(1, "x"), [2, b"y"]], 2)
    text.literals((), ",")
    text.rows((), 2)
    assert text.take() == "IN (1,'a',null) (1,'x'), (2,X'79')"


@EACH
def test_long_texts_widen_once(sqltext: ModuleType) -> None:
    text = sqltext.Text(1)
    wanted = []
    for piece in ["a" * 2000, "é" * 2000, "字" * 2000, "b", "🙂" * 2000, "é'", "c"]:
        text.raw(piece)
        text.literal(piece)
        text.literal(piece.encode())
        wanted += [piece, "'" + piece.replace("'", "''") + "'", f"X'{piece.encode().hex()}'"]
    assert text.take() == "".join(wanted)


@EACH
@pytest.mark.parametrize("size", range(70))
def test_every_place_in_a_block(sqltext: ModuleType, size: int) -> None:
    for at in range(size):
        for char, escaped in [("'", "\\'"), ("\\", "\\\\"), ("\n", "\\n"), ("\x1f", "\x1f")]:
            text = "x" * at + char + "y" * (size - at - 1)
            assert sqltext.literal(text, 0) == "'" + text.replace(char, escaped) + "'"
    for wide in ("é", "字", "🙂"):
        assert sqltext.literal("x" * size + wide + "'", 0) == "'" + "x" * size + wide + "\\''"


@UNHURRIED
@given(values=st.lists(PLAIN_VALUES).map(tuple) | st.lists(st.integers()).map(tuple))
@example(values=(-(1 << 63), (1 << 63) - 1))
@example(values=(-(1 << 63) - 1,))
@example(values=(*range(20), 1 << 63))
@example(values=(True, 1))
@example(values=())
def test_same_plainness(values: tuple[object, ...]) -> None:
    found = same([lambda k=k: k.plainness(values) for k in KERNELS])  # type: ignore[misc]
    kinds = {type(value) for value in values}
    if found == 2:
        assert all(type(v) is int and -(1 << 63) <= v < 1 << 63 for v in values)
    else:
        plain = kinds <= {int, str, float, bytes, bool, datetime.datetime}
        assert found == (plain and not any(getattr(value, "tzinfo", None) for value in values))


class Text(str):
    __slots__ = ()


@EACH
@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda k: k.literal(1, 4), ValueError, "style must be an int in [0, 4), got 4"),
        (lambda k: k.Text(-1), ValueError, "style must be an int in [0, 4), got -1"),
        (lambda k: k.Text("0"), TypeError, "style must be an int in [0, 4), got '0' (str)"),
        (lambda k: k.Text(0).raw(b"x"), TypeError, "text must be a str, got b'x' (bytes)"),
        (lambda k: k.Text(0).raw(Text("x")), TypeError, "text must be a str, got 'x' (Text)"),
        (
            lambda k: k.Text(0).literals({1}, ","),
            TypeError,
            "values must be a tuple or a list, got {1} (set)",
        ),
        (
            lambda k: k.Text(0).literals([1], None),
            TypeError,
            "separator must be a str, got None (NoneType)",
        ),
        (lambda k: k.Text(0).rows("x", 1), TypeError, "rows must be a tuple or a list, got 'x' (s"),
        (
            lambda k: k.Text(0).rows([(1,), "x"], 1),
            TypeError,
            "rows[1] must be a tuple or a list, got 'x' (str)",
        ),
        (lambda k: k.Text(0).rows([(1, 2)], 1), ValueError, "rows[0] must have 1 values, got 2"),
        (
            lambda k: k.Text(0).rows([], -1),
            ValueError,
            "width must be an int in [0, 2**31), got -1",
        ),
    ],
)
def test_arguments(
    sqltext: ModuleType,
    call: Callable[[ModuleType], object],
    kind: type[Exception],
    words: str,
) -> None:
    with pytest.raises(kind) as caught:
        call(sqltext)
    assert words in str(caught.value)


class Nested(enum.Enum):
    A = 5
    B = Decimal("1.5")
    C = uuid.UUID(int=1)
    D = datetime.timedelta(1)
    E = math.inf


@UNHURRIED
@given(style=STYLES)
def test_same_enums(style: int) -> None:
    for member in Nested:
        same([lambda k=k, m=member: k.literal(m, style) for k in KERNELS])  # type: ignore[misc]
