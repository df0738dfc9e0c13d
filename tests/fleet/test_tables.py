"""Tables, bars and numbers as people read them."""

import io

import pytest

from godropbox.fleet.tables import Cell, Screen, Table, bar, count, share, size, span


def test_columns_are_aligned_and_numbers_are_to_the_right() -> None:
    table = Table(["name", ">keys", ""], "servers")
    table.add("a", "1", "#")
    table.add(Cell("longer", "bad"), Cell("1,000"), "")
    assert table.lines() == [
        "servers",
        "name     keys",
        "a           1  #",
        "longer  1,000",
    ]
    bare = Table([">", ""])
    bare.add("5", "copied")
    assert bare.lines() == ["5  copied"]


def test_into_a_pipe_it_is_plain_text() -> None:
    out = io.StringIO()
    screen = Screen(out)
    table = Table(["a"])
    table.add(Cell("b", "good"))
    screen.show("head", table, "end")
    assert out.getvalue() == "head\na\nb\nend\n"
    assert screen.console is None
    assert Screen(io.TextIOWrapper(io.BytesIO(), encoding="ascii")).block == "#"
    assert Screen(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")).block == "█"


def test_bars() -> None:
    assert [bar(value, 10, 4, "#") for value in (0, 0.1, 5, 10, 20)] == [
        "",
        "#",
        "##",
        "####",
        "####",
    ]
    assert bar(1, 0, 4) == ""


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (count(None), "-"),
        (count(1234567), "1,234,567"),
        (share(None), "-"),
        (share(0.1234), "12.3%"),
        (size(None), "-"),
        (size(0), "0 B"),
        (size(1023), "1,023 B"),
        (size(1536), "1.5 KiB"),
        (size(5 << 40), "5.0 TiB"),
        (size(5000 << 40), "5,000.0 TiB"),
        (span(None), "-"),
        (span(0.000123), "123 us"),
        (span(0.0123), "12.3 ms"),
        (span(1.5), "1.5 s"),
        (span(90), "1.5 min"),
        (span(7200), "2 h"),
        (span(86400 * 41.2), "41.2 d"),
    ],
)
def test_numbers(shown: str, wanted: str) -> None:
    assert shown == wanted
