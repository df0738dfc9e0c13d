"""SELECT's rarer clauses: their text in each dialect, what is refused, and by whom."""

from typing import Any

import pytest
from support.sqltables import people, t1, t2

from godropbox.database import sqlbuilder

sb: Any = sqlbuilder  # what is wrong on purpose here is wrong for type checkers too

a, b, c = t1.c.col1, t1.c.col2, t1.c.col3
HEAD = 'SELECT "table1"."col1" FROM "db"."table1"'
base = t1.select(a)
n = sb.alias("n", a + 1)
total = sb.alias("total", sb.count())
DIALECTS = ("mysql", "mariadb", "sqlite", "postgresql")


def said(statement: Any, dialect: str = "postgresql") -> str:
    text: str = statement.sql("db", dialect=dialect)
    return text


def test_select_starts_from_tables_or_columns() -> None:
    assert said(sb.select(t2)) == 'SELECT "table2"."col3","table2"."col4" FROM "db"."table2"'
    assert said(sb.select(a).from_(t1)) == said(base) == said(sb.select(a).select_from(t1))
    joined = sb.select(t2, a).join(t1, using=["col3"])
    assert said(joined).endswith('FROM "db"."table2" JOIN "db"."table1" USING ("col3")')
    assert said(sb.select(a).from_(t1, t2)) == f'{HEAD} CROSS JOIN "db"."table2"'
    assert said(base.with_only_columns(b).add_columns(a)) == HEAD.replace(
        '"table1"."col1"', '"table1"."col2","table1"."col1"'
    )
    for kind in ("left", "right", "full"):
        text = said(getattr(base, f"{kind}_join")(t2, c == t2.c.col3))
        assert f' {kind.upper()} JOIN "db"."table2" ON ' in text
    assert said(base.cross_join(t2)) == f'{HEAD} CROSS JOIN "db"."table2"'


def test_select_without_from() -> None:
    one = sb.select(sb.literal(1))
    for dialect in DIALECTS:
        assert said(one, dialect) == "SELECT 1"
    where = one.where(sb.literal(1) == 2)
    assert said(where, "mysql") == said(where, "mariadb") == "SELECT 1 FROM DUAL WHERE 1=2"
    assert said(where, "sqlite") == said(where) == "SELECT 1 WHERE 1=2"
    with pytest.raises(ValueError, match=r"whose tables are none: call from_\(\)"):
        said(sb.select(a))


def test_an_alias_is_written_as_each_dialect_reads_it() -> None:
    statement = t1.select(n, total).group_by(n).having(total > 1).order_by(n, total * 2)
    tail = "GROUP BY `n` HAVING `total`>1 ORDER BY `n`,`total` * 2"
    assert said(statement, "mysql").endswith(tail)
    for dialect in ("sqlite", "postgresql"):
        assert said(statement, dialect).endswith(
            'GROUP BY 1 HAVING COUNT(*)>1 ORDER BY "n",COUNT(*) * 2'
        )
    # The name of a column is the column's, also in MySQL.
    hidden = sb.alias("col2", a + 1)
    grouped = t1.select(hidden).group_by(hidden).having(hidden * 2 > 1).order_by(sb.desc(hidden))
    assert said(grouped, "mysql").endswith(
        "GROUP BY (`table1`.`col1` + 1) HAVING (`table1`.`col1` + 1) * 2>1 ORDER BY `col2` DESC"
    )
    # Behind a star, nobody knows the position.
    starred = t1.select(sb.star(), n).group_by(n)
    assert said(starred).endswith('GROUP BY ("table1"."col1" + 1)')


def test_an_alias_after_a_subquery_is_still_known() -> None:
    inner = sb.union(base, base).order_by(a)
    statement = t1.select(total).having(sb.exists(inner) & (total > 1)).order_by(total)
    assert said(statement, "mysql").endswith(" AND `total`>1) ORDER BY `total`")


@pytest.mark.parametrize(
    ("group", "text"),
    [
        (sb.rollup(a, b), 'ROLLUP ("table1"."col1","table1"."col2")'),
        (sb.rollup((a, b), c), 'ROLLUP (("table1"."col1","table1"."col2"),"table1"."col3")'),
        (sb.cube(n), "CUBE (1)"),
        (sb.grouping_sets(a, (a, b), ()), None),
        (sb.grouping_sets(sb.rollup(a), sb.cube(b)), None),
    ],
)
def test_groupings(group: Any, text: str | None) -> None:
    found = said(t1.select(n).group_by(group)).split(" GROUP BY ")[1]
    assert found == text or (text is None and found.startswith("GROUPING SETS ("))


def test_mysql_rolls_up_all_terms() -> None:
    statement = t1.select(a).group_by(sb.rollup(a, b))
    assert said(statement, "mysql").endswith("GROUP BY `table1`.`col1`,`table1`.`col2` WITH ROLLUP")
    for group in ((a, sb.rollup(b)), (sb.rollup((a, b), c),), (sb.cube(a),)):
        with pytest.raises(sb.UnsupportedFeature, match="MySQL has no"):
            said(t1.select(a).group_by(*group), "mysql")
    with pytest.raises(sb.UnsupportedFeature, match="MariaDB has no ORDER BY beside ROLLUP"):
        said(statement.order_by(a), "mariadb")


def test_limits() -> None:
    counted = base.limit(sb.literal(5)).offset(sb.literal(2))
    assert said(counted) == f"{HEAD} LIMIT 5 OFFSET 2"
    assert counted.bind("db", "qmark") == (
        "SELECT `table1`.`col1` FROM `db`.`table1` LIMIT ?, ?",
        (2, 5),
    )
    assert counted.limit(7).offset(3).bind("db", "qmark")[0].endswith(" LIMIT 3, 7")
    assert said(base.limit(3).offset(sb.literal(1))) == f"{HEAD} LIMIT 3 OFFSET 1"
    assert said(base.offset(sb.literal(1)), "sqlite") == f"{HEAD} LIMIT -1 OFFSET 1"
    slotted = base.limit(sb.slot("n", int)).prepare("db")
    assert slotted.sql(n=3).endswith(" LIMIT 3")
    with pytest.raises(TypeError, match="slot n must be int"):
        slotted.sql(n="3")
    with pytest.raises(ValueError, match=r"slot n must be an int in \[0, 2\*\*63\), got -1"):
        slotted.sql(n=-1)


def test_locks() -> None:
    joined = t1.join(t2, using=["col3"]).select(a)
    assert said(joined.for_update(of=t1, nowait=True)).endswith(' FOR UPDATE OF "table1" NOWAIT')
    assert said(joined.for_update(of=[t1, t2]), "mysql").endswith(
        " FOR UPDATE OF `table1`,`table2`"
    )
    assert said(base.with_shared_lock(), "mysql").endswith(" LOCK IN SHARE MODE")
    assert said(base.with_shared_lock(of=t1), "mysql").endswith(" FOR SHARE OF `table1`")
    assert said(base.with_shared_lock(nowait=True), "mariadb").endswith(
        " LOCK IN SHARE MODE NOWAIT"
    )
    assert said(base.for_update(no_key=True)).endswith(" FOR NO KEY UPDATE")
    assert said(base.with_shared_lock(key=True)).endswith(" FOR KEY SHARE")
    # The strongest stays, whichever comes last.
    assert said(base.for_update(no_key=True).with_shared_lock()).endswith(" FOR NO KEY UPDATE")
    with pytest.raises(ValueError, match="table table2 is not in this statement"):
        said(base.for_update(of=t2))


def test_hints() -> None:
    text = base.hint("INDEX(t1 `i`) SET_VAR(x = 'a')").comment("who").sql("db")
    assert text.startswith("SELECT /*+ INDEX(t1 `i`) SET_VAR(x = 'a') */ /* who */`table1`")
    for wrong in ("", " ", "*/", "a*b", "x;y", "it's", "a\n", "%s", "a?", ":p", '"', "é"):
        with pytest.raises(ValueError, match="hint must be ASCII letters"):
            base.hint(wrong)


def test_distinct_on() -> None:
    statement = t1.select(n, b).distinct(n, b).order_by(n, b)
    assert said(statement).startswith('SELECT DISTINCT ON ("n","table1"."col2") ("table1"')
    assert said(statement.distinct()).startswith('SELECT DISTINCT ("table1"')


def test_named_windows() -> None:
    ranked = t1.select(sb.func("RANK").over("w"), n).window("w", sb.window(order_by=a))
    assert said(ranked.window("v", sb.window(partition_by=b)).order_by(n)).endswith(
        'FROM "db"."table1" WINDOW "w" AS (ORDER BY "table1"."col1"), '
        '"v" AS (PARTITION BY "table1"."col2") ORDER BY "n"'
    )
    with pytest.raises(ValueError, match="has a window named w already"):
        ranked.window("w", sb.window(order_by=a))
    with pytest.raises(TypeError, match=r"window must be made by window\(\)"):
        ranked.window("v", a)
    with pytest.raises(ValueError, match="alias n works only in a select list"):
        said(ranked.window("v", sb.window(order_by=n)))


def test_set_operations_nest() -> None:
    low, high = base.where(a < 5), base.where(a > 3)
    nested = low.union(high).intersect(high.except_all(low))
    text = said(nested)
    assert text.count("(") == text.count(")") == 6
    assert ") INTERSECT ((" in text
    with pytest.raises(sb.UnsupportedFeature, match="SQLite has no EXCEPT ALL"):
        said(nested, "sqlite")
    assert said(low.except_(low.except_(high)), "sqlite").count("SELECT * FROM (") == 1
    assert [column.name for column in nested.columns] == ["col1"]


def test_a_recursive_query() -> None:
    tree = sb.cte("tree", t1.select(a, b).where(a == 1))
    tree = tree.union_all(t1.join(tree, tree.c.col1 == b).select(a, b))
    text = said(sb.select(tree).with_(tree))
    assert text.startswith('WITH RECURSIVE "tree" AS (SELECT "table1"."col1","table1"."col2" FROM')
    assert ' UNION ALL SELECT "table1"."col1"' in text
    twice = tree.alias("twice")
    text = said(sb.select(twice).with_(tree))
    assert text.endswith('SELECT "twice"."col1","twice"."col2" FROM "tree" AS "twice"')


def test_a_subquery_keeps_what_its_columns_are() -> None:
    parent = people.alias("parent")
    source = people.left_join(parent, parent.c.id == people.c.id)
    query = source.select(
        people.c.id,
        people.c.active,
        sb.alias("on_top", people.c.name == "x"),
        sb.alias("parent", parent.c.id),
        total,
    )
    inner = query.subquery("q")
    kinds = [type(column).__name__ for column in inner.columns]
    assert kinds == ["IntColumn", "BoolColumn", "BoolColumn", "IntColumn", "IntColumn"]
    assert [column.nullable for column in inner.columns] == [False, False, True, True, True]
    text = said(inner.select(inner.c.id).where(inner.c.active & inner.c.on_top))
    assert text.endswith('AS "q" WHERE ("q"."active" AND "q"."on_top")')


def test_lateral_sources_see_what_is_before_them() -> None:
    inner = sb.lateral("l", t2.select(t2.c.col4).where(t2.c.col3 == c))
    text = said(t1.left_join(inner).select(inner.c.col4))
    assert ' LEFT JOIN LATERAL (SELECT "table2"."col4" FROM "db"."table2" WHERE ' in text
    assert text.endswith(') AS "l" ON TRUE')
    with pytest.raises(ValueError, match="table table1 is not in this statement"):
        said(inner.cross_join(t1).select(a))
    with pytest.raises(ValueError, match="RIGHT JOIN cannot read a LATERAL source"):
        t1.right_join(inner, a == 1)
    both = t2.alias("t").join(inner)
    assert " JOIN LATERAL " in said(t1.join(both, a == 1).select(inner.c.col4))
    with pytest.raises(ValueError, match="table table1 is not in this statement"):
        said(t1.right_join(both, a == 1).select(inner.c.col4))
    third = sb.lateral("m", sb.select(sb.alias("x", inner.c.col4 + a)))
    assert said(t1.join(inner).join(third, third.c.x > 1).select(third.c.x)).count("LATERAL") == 2
    assert said(t1.cross_join(inner.join(third)).select(third.c.x)).count("LATERAL") == 2
    # It may also use columns of the statement around its own.
    outer = t1.select(a).where(a.in_(sb.select(inner.c.col4).from_(inner)))
    assert said(outer).endswith('AS "l")')


@pytest.mark.parametrize(
    ("wrong", "error", "match"),
    [
        (lambda: sb.select(), ValueError, "SELECT needs at least one column"),
        (lambda: sb.select("col1"), TypeError, "columns must be columns, aliases, expressions or"),
        (lambda: base.from_(), ValueError, "FROM needs at least one table"),
        (lambda: base.from_(a), TypeError, "sources must be tables or joins"),
        (lambda: sb.select(a).join(t1, a == 1), ValueError, r"call from_\(\) first"),
        (lambda: base.union(), ValueError, "UNION needs at least one other query"),
        (lambda: base.union(t1), TypeError, "selects must be SELECTs"),
        (lambda: base.except_(t1.select(a, b)), ValueError, "the same number of columns"),
        (lambda: base.union(base).order_by(b), ValueError, "columns of its first SELECT, col1"),
        (lambda: base.limit(a), TypeError, "limit must be an int, a slot"),
        (lambda: base.limit(sb.slot("n", str)), TypeError, "limit must be an int, a slot"),
        (lambda: base.limit(sb.slot("n", int, nullable=True)), TypeError, "limit must be an int"),
        (lambda: base.offset(sb.literal(-1)), ValueError, r"offset must be an int in \[0"),
        (lambda: base.offset(sb.literal("1")), TypeError, "offset must be an int"),
        (lambda: base.hint(5), TypeError, "hint must be a str"),
        (lambda: base.for_update(of="table1"), TypeError, "of must be a table or several"),
        (lambda: base.for_update(of=[a]), TypeError, "of must be a table or several"),
        (lambda: base.distinct("col1"), TypeError, "a term of DISTINCT ON must be"),
        (lambda: sb.rollup(), ValueError, "ROLLUP needs at least one term"),
        (lambda: sb.rollup(()), ValueError, "must not be empty"),
        (lambda: sb.cube("a"), TypeError, "a term of CUBE must be an expression"),
        (lambda: sb.rollup(sb.rollup(a)), TypeError, "a term of ROLLUP must be an expression"),
        (lambda: said(base.order_by(sb.literal(1))), ValueError, "a literal in ORDER BY"),
        (lambda: said(base.order_by(sb.desc(sb.literal(1)))), ValueError, "a literal in ORDER BY"),
        (lambda: said(base.group_by(sb.literal(1))), ValueError, "a literal in GROUP BY"),
        (lambda: sb.subquery("x", t1.select(a, a)), ValueError, "two columns named col1"),
        (lambda: sb.cte("x", t1.select(a, sb.alias("col1", b))), ValueError, "two columns named"),
        (lambda: sb.subquery("x", t1.select(sb.star())), ValueError, r"the columns of \* are not"),
        (lambda: sb.cte("x", base).union(t1.select(a, b)), ValueError, "must have 1 columns"),
        (lambda: sb.cte("x", base).union(base).union(base), ValueError, "reads from itself"),
        (lambda: sb.subquery("x", base).union(base), ValueError, r"must be made by cte\(\)"),
        (lambda: sb.cte("x", base).union(t1), TypeError, "step must be a SELECT"),
        (
            lambda: said(base.with_(sb.cte("x", base), sb.cte("x", base))),
            ValueError,
            "WITH has two queries named x",
        ),
        (
            lambda: said(base.with_(sb.cte("x", base).alias("y"))),
            ValueError,
            "query y is an alias",
        ),
        (
            lambda: said(sb.select(sb.cte("x", base).alias("y"))),
            ValueError,
            "query x is not in the WITH",
        ),
    ],
)
def test_what_may_not_become_sql_is_refused(wrong: Any, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        wrong()
