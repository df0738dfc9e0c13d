"""Names: of databases, tables, columns, aliases and indexes, plain and odd, in every dialect."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.sqltables import t1

from godropbox.database import sqlbuilder as sb

DIALECTS: tuple[sb.Dialect, ...] = (sb.mysql, sb.mariadb, sb.sqlite, sb.postgresql)
ODD = ["naïve", "a b", "漢字", "1st", "it's", 'say "hi"', "back`tick", "100%", "a.b", "?:1", "a\nb"]

# Each makes a statement with the name in one place of the text.
PLACES: dict[str, Callable[[str], Any]] = {
    "database": lambda name: t1.in_database(name).select(t1.c.col1),
    "table": lambda name: sb.Table(name, sb.IntColumn("x")).select(sb.star()),
    "column": lambda name: _select(sb.Table("t", sb.IntColumn(name))),
    "new column": lambda name: _insert(sb.Table("t", sb.IntColumn(name))),
    "table alias": lambda name: _select(t1.alias(name)),
    "alias": lambda name: t1.select(sb.alias(name, t1.c.col1)),
    "query": lambda name: sb.subquery(name, t1.select(t1.c.col1)).select(sb.star()),
    "using": lambda name: t1.join(sb.Table("u", sb.IntColumn("x")), using=[name]).select(sb.star()),
    "star": lambda name: _star(t1.alias(name)),
    "window": lambda name: t1.select(sb.func.rank().over(name)).window(name, sb.window()),
    "window that adds to another": lambda name: t1.select(
        sb.func.rank().over(sb.window(name, order_by=t1.c.col1))
    ).window(name, sb.window()),
    "common table": lambda name: (lambda cte: sb.select(cte).with_(cte))(
        sb.cte(name, t1.select(t1.c.col1))
    ),
    "order of a union": lambda name: (lambda x: t1.select(x).union(t1.select(x)).order_by(x))(
        sb.alias(name, t1.c.col1)
    ),
}


def _select(table: Any) -> sb.Select:
    return table.select(*table.columns)  # type: ignore[no-any-return]


def _insert(table: Any) -> sb.Insert:
    return table.insert(*table.columns).row(1)  # type: ignore[no-any-return]


def _star(table: Any) -> sb.Select:
    return table.select(table.star)  # type: ignore[no-any-return]


def quoted(name: str, dialect: sb.Dialect) -> str:
    return dialect.quote + name.replace(dialect.quote, dialect.quote * 2) + dialect.quote


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ODD)
def test_an_odd_name_is_quoted_with_its_quotes_doubled(place: str, name: str) -> None:
    for dialect in DIALECTS:
        text = PLACES[place](name).sql("db", dialect=dialect)
        assert quoted(name, dialect) in text
        bound, _ = PLACES[place](name).bind("db", "format", dialect=dialect)
        assert quoted(name, dialect).replace("%", "%%") in bound
        named, _ = PLACES[place](name).bind("db", "named", dialect=dialect)
        assert quoted(name, dialect) in named


def test_the_database_of_a_rendering_may_have_any_name() -> None:
    query = t1.select(t1.c.col1)
    for name in ODD:
        for dialect in DIALECTS:
            q = dialect.quote
            text = query.sql(name, dialect=dialect)
            assert text.endswith(f" FROM {quoted(name, dialect)}.{q}table1{q}")
    assert "`50%%`.`table1`" in query.bind("50%")[0]
    assert "`50%`.`table1`" in query.bind("50%", "qmark")[0]


@given(
    place=st.sampled_from(sorted(PLACES)),
    name=st.text(min_size=1, max_size=12)
    | st.text(alphabet="`\"'\\;-/*# .%?\n\r\x1a\u00bf\u00a5漢", min_size=1, max_size=8),
    dialect=st.sampled_from(DIALECTS),
    style=st.sampled_from(("", "format", "qmark", "numeric_dollar")),
)
@example(place="alias", name="`; DROP TABLE x; -- ", dialect=sb.mariadb, style="")
@example(place="column", name='"; DROP TABLE x; --', dialect=sb.sqlite, style="format")
def test_no_name_leaves_its_quotes(place: str, name: str, dialect: sb.Dialect, style: Any) -> None:
    make = PLACES[place]
    plain = make("plain").sql("db", dialect=dialect)
    try:
        statement = make(name)
        if style:
            text, _ = statement.bind("db", style, dialect=dialect)
        else:
            text = statement.sql("db", dialect=dialect)
    except ValueError:
        assert "\0" in name or name[-1] == " " or max(name) > "\uffff" or has_surrogate(name)
        return
    if style == "format":
        text = text % (() if "%s" not in text.replace("%%", "") else (1,))
    elif style:
        text = re.sub(r"\((\?|\$1)\)\Z", "(1)", text)
    inside = quoted(name, dialect)
    assert text == plain.replace(quoted("plain", dialect), inside)
    q = dialect.quote
    assert inside.startswith(q)
    assert inside.endswith(q)
    assert q not in inside[1:-1].replace(q + q, "")


def has_surrogate(name: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in name)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("", ValueError, "must have at least 1 character, got none"),
        ("x" * 65, ValueError, "must have at most 64 characters, got 65"),
        ("é" * 65, ValueError, "must have at most 64 characters, got 65"),
        ("a\0b", ValueError, "must have no NUL, got 'a\\\\x00b'"),
        ("a\ud800", ValueError, "must have no lone surrogate, got 'a\\\\ud800'"),
        (b"bytes", TypeError, "must be a str, got b'bytes'"),
        (5, TypeError, "must be a str, got 5"),
    ],
)
def test_what_is_no_name(place: str, name: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        PLACES[place](name)


@pytest.mark.parametrize("place", [place for place in PLACES if place != "query"])
def test_a_dialect_refuses_what_it_would_cut_or_not_take(place: str) -> None:
    make = PLACES[place]
    for name in ("x" * 64, "é" * 32, "漢" * 22):
        assert name in make(name).sql("db")
        assert name in make(name).sql("db", dialect="sqlite")
        with pytest.raises(
            sb.UnsupportedFeature, match="a name must have at most 63 bytes in PostgreSQL, got"
        ):
            make(name).sql("db", dialect="postgresql")
    for name in ("x" * 63, "é" * 31, "漢" * 21):
        assert name in make(name).sql("db", dialect="postgresql")
    for dialect in DIALECTS[:2]:
        with pytest.raises(sb.UnsupportedFeature, match=f"above U\\+FFFF in {dialect.title}"):
            make("a😀").sql("db", dialect=dialect)
        with pytest.raises(sb.UnsupportedFeature, match=f"end with a space in {dialect.title}"):
            make("a ").sql("db", dialect=dialect)
    for dialect in DIALECTS[2:]:
        assert '"a😀"' in make("a😀").sql("db", dialect=dialect)
        assert '"a "' in make("a ").sql("db", dialect=dialect)


def test_a_database_may_be_left_out() -> None:
    query = t1.select(t1.c.col1)
    assert query.sql() == "SELECT `table1`.`col1` FROM `table1`"
    assert query.sql(dialect="sqlite") == 'SELECT "table1"."col1" FROM "table1"'
    assert query.where(t1.c.col1 == 5).bind() == (
        "SELECT `table1`.`col1` FROM `table1` WHERE `table1`.`col1`=%s",
        (5,),
    )
    assert query.prepare(dialect="postgresql").sql() == 'SELECT "table1"."col1" FROM "table1"'
    assert t1.insert(t1.c.col1).row(1).sql() == "INSERT INTO `table1` (`table1`.`col1`) VALUES (1)"
    assert t1.update().set(t1.c.col1, 1).all_rows().sql() == (
        "UPDATE `table1` SET `table1`.`col1`=1"
    )
    assert t1.delete().all_rows().sql(dialect="sqlite") == 'DELETE FROM "table1"'
    assert sb.lock_tables().read(t1).sql() == "LOCK TABLES `table1` READ"
    odd = sb.Table("a b", sb.IntColumn("x"))
    assert odd.select(odd.c.x).sql() == "SELECT `a b`.`x` FROM `a b`"


def test_two_databases_in_one_statement() -> None:
    here, there = t1, t1.in_database("archive").alias("old")
    join = here.join(there, here.c.col1 == there.c.col1).select(here.c.col1, there.c.col2)
    assert join.sql("live") == (
        "SELECT `table1`.`col1`,`old`.`col2` FROM `live`.`table1` JOIN `archive`.`table1` AS `old` "
        "ON `table1`.`col1`=`old`.`col1`"
    )
    assert join.sql(dialect="postgresql") == (
        'SELECT "table1"."col1","old"."col2" FROM "table1" JOIN "archive"."table1" AS "old" '
        'ON "table1"."col1"="old"."col1"'
    )
    moved = t1.in_database("archive")
    assert moved.c is t1.c
    assert moved.insert(t1.c.col1).row(1).sql("live") == (
        "INSERT INTO `archive`.`table1` (`table1`.`col1`) VALUES (1)"
    )
    assert moved.force_index("i").in_database("b").select(t1.c.col1).sql("live") == (
        "SELECT `table1`.`col1` FROM `b`.`table1` FORCE INDEX (`i`)"
    )
    assert t1.select(t1.c.col1).sql("live").endswith("FROM `live`.`table1`")
    with pytest.raises(ValueError, match="table table1 is in the join already"):
        t1.join(moved, t1.c.col1 == t1.c.col2)
    with pytest.raises(TypeError, match="database must be a str"):
        t1.in_database(None)


def test_index_hints_quote_their_indexes() -> None:
    table = t1.use_index("a`b", "c").ignore_index("50%")
    query = table.select(t1.c.col1)
    assert query.sql("db").endswith(" USE INDEX (`a``b`,`c`) IGNORE INDEX (`50%`)")
    assert query.bind("db")[0].endswith(" USE INDEX (`a``b`,`c`) IGNORE INDEX (`50%%`)")
    with pytest.raises(ValueError, match="no character above U\\+FFFF"):
        t1.use_index("😀").select(t1.c.col1).sql("db")
