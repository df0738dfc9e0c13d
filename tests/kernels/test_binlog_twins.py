"""binlog's twins: the same rows, the same errors, the same words."""

from typing import Any

import pytest
from conftest import twins
from hypothesis import given, settings
from hypothesis import strategies as st

from godropbox._kernels import _binlog as ops

pytestmark = pytest.mark.once

TWINS = twins("binlog")
ABSENT = object()


def outcome(stem: int, columns: Any, wanted: Any, name: str, *arguments: Any) -> object:
    try:
        decoder = TWINS[stem].RowDecoder(columns, wanted, True, ABSENT)
        return repr(getattr(decoder, name)(*arguments))
    except Exception as error:
        return type(error), str(error)


def same(*arguments: Any) -> object:
    found = [outcome(i, *arguments) for i in range(len(TWINS))]
    assert all(each == found[0] for each in found), found
    return found[0]


def _texts() -> st.SearchStrategy[tuple[int, int, int, object]]:
    made = st.sampled_from([None, ops.UTF8, bytes.hex])
    return st.tuples(st.just(ops.TEXT), st.integers(1, 2), st.just(0), made)


members = st.sampled_from([None, ("", "a", "b"), tuple(map(str, range(64)))])
columns = st.one_of(
    st.tuples(st.just(ops.INT), st.sampled_from([1, 2, 3, 4, 8]), st.integers(0, 1), st.none()),
    st.sampled_from([ops.FLOAT, ops.DOUBLE, ops.YEAR, ops.DATE, ops.TIME]).map(
        lambda op: (op, 0, 0, None)
    ),
    st.sampled_from([ops.DATETIME, ops.TIMESTAMP]).map(lambda op: (op, 0, 0, None)),
    st.tuples(
        st.sampled_from([ops.TIME2, ops.DATETIME2, ops.TIMESTAMP2]),
        st.integers(0, 6),
        st.just(0),
        st.none(),
    ),
    st.integers(1, 65).flatmap(
        lambda digits: st.tuples(
            st.just(ops.DECIMAL), st.just(digits), st.integers(0, min(30, digits)), st.none()
        )
    ),
    st.tuples(st.just(ops.BITS), st.integers(1, 8), st.just(0), st.none()),
    st.tuples(st.just(ops.INDEX), st.integers(1, 8), st.integers(0, 1), members),
    _texts(),
)
tables = st.lists(columns, max_size=12)


@settings(max_examples=300)
@given(tables, st.binary(max_size=120), st.binary(min_size=2, max_size=2), st.integers(0, 8))
def test_rows_of_any_bytes(table: Any, data: bytes, present: bytes, at: int) -> None:
    same(table, None, "rows", data, at, present)
    same(table, None, "pairs", data, at, present, b"\xff\xff")
    same(table, [bool(i % 3) for i in range(len(table))], "rows", data, at, present)
    same(table, None, "row", data, at, present)


@settings(max_examples=300)
@given(columns, st.binary(max_size=40), st.integers(0, 4))
def test_a_value_of_any_bytes(column: Any, data: bytes, at: int) -> None:
    same([column], None, "value", 0, data, at)


# Rows that are long enough for their columns, most of which random bytes are not.
@settings(max_examples=300)
@given(st.lists(columns.filter(lambda column: column[0] != ops.TEXT), max_size=12), st.data())
def test_whole_rows(table: Any, data: st.DataObject) -> None:
    body = data.draw(st.binary(min_size=400, max_size=420))
    result = same(table, None, "row", b"\0\0" + body, len(table) <= 8, b"\xff\xff")
    if table and isinstance(result, tuple):
        # Of an ENUM or a SET, that there is none of; or a fraction of more than a second.
        assert "member" in result[1] or "microseconds" in result[1]


@pytest.mark.parametrize(
    ("table", "wanted", "kind", "words"),
    [
        ([(ops.INT, 5, 0, None)], None, ValueError, r"columns\[0\] cannot be read: \(0, 5, 0\)"),
        ([(99, 0, 0, None)], None, ValueError, "cannot be read"),
        ([(ops.TIME2, 7, 0, None)], None, ValueError, "cannot be read"),
        ([(ops.DECIMAL, 5, 6, None)], None, ValueError, "cannot be read"),
        ([(ops.DECIMAL, 66, 0, None)], None, ValueError, "cannot be read"),
        ([(ops.TEXT, 0, 0, None)], None, ValueError, "cannot be read"),
        ([(-1, 0, 0, None)], None, ValueError, r"op must be .*, got -1"),
        ([(ops.INT, 1.5, 0, None)], None, TypeError, "a must be an int"),
        ([(ops.INT, 1, 0, None)], [True, True], ValueError, "wanted must have 1 values, got 2"),
        ([(ops.YEAR, 0, 0, None)] * 4097, None, ValueError, "columns must be at most 4096"),
    ],
)
def test_columns_that_cannot_be(table: Any, wanted: Any, kind: type, words: str) -> None:
    same(table, wanted, "rows", b"", 0, b"")
    for twin in TWINS:
        with pytest.raises(kind, match=words):
            twin.RowDecoder(table, wanted, True, ABSENT)


def test_arguments_that_cannot_be() -> None:
    table = [(ops.YEAR, 0, 0, None)]
    for arguments in [(b"", -1, b"\1"), (b"", 1, b"\1"), (b"a", 0.5, b"\1"), (b"a", 0, b"")]:
        assert isinstance(same(table, None, "rows", *arguments), tuple)
    for twin in TWINS:
        with pytest.raises(TypeError, match="data"):
            twin.RowDecoder(table, None, True, ABSENT).rows("a", 0, b"\1")


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ("ffff7f7f", "3.4028235e+38"),  # the largest; the number is above it, and is rounded to it
        ("feff7fff", "-3.4028233e+38"),
        ("01000000", "1.4013e-45"),
        ("cdcc8c3f", "1.1"),
        ("0000807f", "inf"),
        ("0000c07f", "nan"),
    ],
)
def test_a_float_is_the_shortest_number_from_six_digits_on(data: str, value: str) -> None:
    column = (ops.FLOAT, 0, 0, None)
    assert same([column], None, "value", 0, bytes.fromhex(data), 0) == f"({value}, 4)"
