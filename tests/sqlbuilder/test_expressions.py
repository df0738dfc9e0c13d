"""The text of the rarer expressions: precedence, dialects, and what is refused.

``tests/servers/test_expressions.py`` runs them.
"""

import copy
import pickle
from datetime import timedelta
from typing import Any

import pytest
from support.sqltables import people, shown, t1, where

from godropbox.database import sqlbuilder

sb: Any = sqlbuilder  # what is wrong on purpose here is wrong for type checkers too

a: Any = t1.c.col1
b: Any = t1.c.col2
name: Any = people.c.name
active: Any = people.c.active
A, B = "`table1`.`col1`", "`table1`.`col2`"
N = "`people`.`name`"
QA, QB, QN = '"table1"."col1"', '"table1"."col2"', '"people"."name"'
array = sb.array([1, 2])


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (-a, f"-{A}"),
        (-(a + b), f"-({A} + {B})"),
        (-a + b, f"-{A} + {B}"),
        (-a * b, f"-{A} * {B}"),
        (a * -b, f"{A} * -{B}"),
        (-a & b, f"-{A} & {B}"),
        (a - -b, f"{A} - -{B}"),
        (sb.neg(-a), f"-(-{A})"),
        (sb.neg(-5), "-(-5)"),
        (-sb.literal(-5), "-(-5)"),
        (-sb.func("f", a), f"-f({A})"),
        (~a, f"~{A}"),
        (~a & b, f"~{A} & {B}"),
        (a == ~b, f"{A}=~{B}"),
        (-a == ~-b, f"-{A}=~(-{B})"),
        (a << 1 << b, f"{A} << 1 << {B}"),
        (a << (b << 1), f"{A} << ({B} << 1)"),
        ((a << 1) >> b, f"({A} << 1) >> {B}"),
        ((a + 1) << 2, f"({A} + 1) << 2"),
        ((a << 2) == b, f"{A} << 2={B}"),
        (1 << a, f"1 << {A}"),
        (1 >> a, f"1 >> {A}"),
        (name.concat("x", name), f"CONCAT({N},'x',{N})"),
        (name.concat("x").concat(name.concat("y")), f"CONCAT({N},'x',{N},'y')"),
        (name.collate("utf8mb4_bin"), f"{N} COLLATE `utf8mb4_bin`"),
        (name.concat("x").collate("c"), f"CONCAT({N},'x') COLLATE `c`"),
        (active.is_(True), "`people`.`active` IS TRUE"),
        (active.is_not(False), "`people`.`active` IS NOT FALSE"),
        ((a == b).is_(True), f"({A}={B}) IS TRUE"),
        (a.is_(None), f"{A} IS null"),
        ((a + 1).is_not(None), f"{A} + 1 IS NOT null"),
        (a.is_distinct_from(b), f"NOT ({A} <=> {B})"),
        (a.is_distinct_from(None), f"{A} IS NOT null"),
        (a.is_not_distinct_from(b + 1), f"{A} <=> {B} + 1"),
        (a == sb.any_(t1.select(b)), f"{A}=ANY (SELECT {B} FROM `db`.`table1`)"),
        (sb.all_(t1.select(b)) > a, f"{A}<ALL (SELECT {B} FROM `db`.`table1`)"),
        (a.in_([1, b, b + 1]), f"{A} IN (1,{B},{B} + 1)"),
        (sb.tuple_(a, b).in_([(1, 2), (b, a)]), f"({A},{B}) IN ((1,2), ({B},{A}))"),
        (a.cast("integer"), f"CAST({A} AS SIGNED)"),
        (a.cast("DECIMAL(10,2)"), f"CAST({A} AS DECIMAL(10,2))"),
        (sb.extract("year", a), f"EXTRACT(YEAR FROM {A})"),
        (sb.extract("dow", a) + 1, f"(DAYOFWEEK({A}) - 1) + 1"),
        (a + sb.interval(years=1, months=3), f"{A} + INTERVAL 15 MONTH"),
        (a - sb.interval(months=-2), f"{A} - INTERVAL -2 MONTH"),
        (a.op("+")(b) * 2, f"({A} + {B}) * 2"),
        (a.op("*")(b) + 2, f"{A} * {B} + 2"),
        (sb.func.lower(name), f"lower({N})"),
        (sb.func.count(a, distinct=True), f"count(DISTINCT {A})"),
        (sb.func.current_timestamp(), "CURRENT_TIMESTAMP"),
        (sb.func("CURRENT_TIMESTAMP"), "CURRENT_TIMESTAMP()"),
        (a.label("x"), f"({A}) AS `x`"),
        (sb.func("ABS", a - b), f"ABS({A} - {B})"),
        (name["a"][0]["b c"], f'JSON_EXTRACT({N},\'$.\\"a\\"[0].\\"b c\\"\')'),
        (sb.raw("? + ?", a, b) * 2, f"({A} + {B}) * 2"),
        (sb.raw("f(?)", a), f"f({A})"),
        (sb.raw("x = '?' AND y = ??"), "x = '?' AND y = ?"),
        (sb.raw("x -?", -5), "x - -5"),
        (sb.raw("?AND?", 1, 2), "1 AND 2"),
        (sb.raw("E?", "\\' OR 1"), "E '\\\\\\' OR 1'"),
        (sb.raw("? * 2", a + 1), f"({A} + 1) * 2"),
    ],
)
def test_text(expression: Any, text: str) -> None:
    assert shown(expression) == text


@pytest.mark.parametrize(
    ("expression", "sqlite", "postgresql"),
    [
        (a == ~b, f"{QA}=~{QB}", f"{QA}=(~{QB})"),
        (~a & b, f"~{QA} & {QB}", f"(~{QA}) & {QB}"),
        (name.concat("x") == "y", f"{QN} || 'x'='y'", f"{QN} || 'x'='y'"),
        (sb.concat(a + 1, "x"), f"({QA} + 1) || 'x'", f"({QA} + 1) || 'x'"),
        (a.is_distinct_from(b), f"{QA} IS NOT {QB}", f"{QA} IS DISTINCT FROM {QB}"),
        (a.is_not_distinct_from(1), f"{QA} IS 1", f"{QA} IS NOT DISTINCT FROM 1"),
        (
            sb.tuple_(a, b).in_([(1, 2)]),
            f"({QA},{QB}) IN (VALUES (1,2))",
            f"({QA},{QB}) IN ((1,2))",
        ),
        (
            name["a"][0].as_text() == "x",
            f"CASE JSON_TYPE({QN},'$.\"a\"[0]') WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' "
            f"ELSE CAST({QN} ->> '$.\"a\"[0]' AS TEXT) END='x'",
            f"{QN} -> 'a' ->> 0='x'",
        ),
        (
            name["a"].as_integer() == 1,
            f"CAST({QN} ->> '$.\"a\"' AS INTEGER)=1",
            f"CAST({QN} ->> 'a' AS BIGINT)=1",
        ),
        (name["a"] == 1, None, f"{QN} -> 'a'=CAST('1' AS JSONB)"),
        (sb.ne("x", name["a"]), None, f"{QN} -> 'a'<>CAST('\"x\"' AS JSONB)"),
        (sb.lt(1, name["a"]), None, f"{QN} -> 'a'>CAST('1' AS JSONB)"),
        (
            name["a"].in_([1, [2]]),
            None,
            f"{QN} -> 'a' IN (CAST('1' AS JSONB),CAST('[2]' AS JSONB))",
        ),
        (name["a"], f"{QN} -> '$.\"a\"'", f"{QN} -> 'a'"),
        (name["a"].concat("x"), f"({QN} -> '$.\"a\"') || 'x'", f"({QN} -> 'a') || 'x'"),
        (array[1], None, "(ARRAY[1,2])[1]"),
        (array[1:2], None, "(ARRAY[1,2])[1 : 2]"),
        (array[:][1], None, "((ARRAY[1,2])[ : ])[1]"),
        (array[1, 2], None, "(ARRAY[1,2])[1][2]"),
        (array[1][2], None, "(ARRAY[1,2])[1][2]"),
        (sb.array([], "integer"), None, "CAST(ARRAY[] AS BIGINT[])"),
        (array.contains([2]), None, "ARRAY[1,2] @> ARRAY[2]"),
        (a == sb.any_([1, 2]), None, f"{QA}=ANY (ARRAY[1,2])"),
        (name.ilike("x_"), None, f"{QN} ILIKE 'x_'"),
        (sb.raw("? #> ?", name, "{a}"), None, f"{QN} #> '{{a}}'"),
        (
            sb.extract("month", a),
            f"CAST(STRFTIME('%m',{QA}) AS INTEGER)",
            f"EXTRACT(MONTH FROM {QA})",
        ),
    ],
)
def test_text_in_other_dialects(expression: Any, sqlite: str | None, postgresql: str) -> None:
    assert shown(expression, dialect="postgresql") == postgresql
    if sqlite is None:
        with pytest.raises(sb.UnsupportedFeature):
            shown(expression, dialect="sqlite")
    else:
        assert shown(expression, dialect="sqlite") == sqlite


def test_a_percent_in_an_operator_is_doubled_for_drivers_that_format() -> None:
    similar = people.select(name.op("<%")("ada"))
    assert similar.sql(dialect="postgresql").startswith(f"SELECT {QN} <% 'ada' FROM")
    for style, text in (("format", " <%% %s FROM"), ("qmark", " <% ? FROM")):
        assert text in similar.bind(None, style, dialect="postgresql")[0]


def test_orderings() -> None:
    terms = [a.desc(), a.asc().nulls_first(), a.desc().nulls_first(), a.nulls_last()]
    statement = t1.select(a).order_by(*terms, sb.nulls_first((a == b).desc()))
    assert statement.sql("db").partition(" ORDER BY ")[2] == (
        f"{A} DESC,{A} ASC,{A} IS NOT null,{A} DESC,{A} IS null,{A},({A}={B}) IS NOT null,"
        f"{A}={B} DESC"
    )
    assert statement.sql("db", dialect="postgresql").partition(" ORDER BY ")[2] == (
        f"{QA} DESC,{QA} ASC NULLS FIRST,{QA} DESC NULLS FIRST,{QA} NULLS LAST,"
        f"{QA}={QB} DESC NULLS FIRST"
    )


def test_aggregates_and_windows() -> None:
    total = sb.func("SUM", a)
    for expression, mysql, postgresql in [
        (
            total.over(order_by=b, rows=(None, 0)),
            f"SUM({A}) OVER (ORDER BY {B} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)",
            f"SUM({QA}) OVER (ORDER BY {QB} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)",
        ),
        (
            total.over(partition_by=[a], rows=(-1, 2)),
            f"SUM({A}) OVER (PARTITION BY {A} ROWS BETWEEN 1 PRECEDING AND 2 FOLLOWING)",
            f"SUM({QA}) OVER (PARTITION BY {QA} ROWS BETWEEN 1 PRECEDING AND 2 FOLLOWING)",
        ),
        (total.over("w"), f"SUM({A}) OVER `w`", f'SUM({QA}) OVER "w"'),
        (
            total.over("w", order_by=b),
            f"SUM({A}) OVER (`w` ORDER BY {B})",
            f'SUM({QA}) OVER ("w" ORDER BY {QB})',
        ),
        (
            total.filter(b > 1).over(),
            f"SUM(CASE WHEN {B}>1 THEN {A} END) OVER ()",
            f"SUM({QA}) FILTER (WHERE {QB}>1) OVER ()",
        ),
        (
            sb.string_agg(name, "', '%", order_by=[a.desc()], distinct=True),
            f"GROUP_CONCAT(DISTINCT {N} ORDER BY {A} DESC SEPARATOR '\\', \\'%')",
            f"STRING_AGG(DISTINCT {QN},''', ''%' ORDER BY {QA} DESC)",
        ),
    ]:
        assert shown(expression) == mysql
        assert shown(expression, dialect="postgresql") == postgresql
    text, values = t1.cross_join(people).select(sb.string_agg(name, "%")).bind("db")
    assert text.startswith(f"SELECT GROUP_CONCAT({N} SEPARATOR '%%') FROM")
    assert values == ()
    day = timedelta(days=1)
    near = total.over(order_by=a, range_=(-day, day))
    span = "INTERVAL '24:00:00.000000'"
    assert shown(near, dialect="postgresql").endswith(
        f"RANGE BETWEEN {span} PRECEDING AND {span} FOLLOWING)"
    )


def test_values_of_every_form_become_parameters() -> None:
    expressions = [
        sb.raw("? > ? OR f(??) = '%?'", a, -1),
        sb.concat("x%", name),
        name["k"].as_text(),
        name.startswith("a_"),
        a.in_([5, b]),
    ]
    text, values = t1.cross_join(people).select(*expressions).bind("db", "format")
    head = text.partition(" FROM ")[0].removeprefix("SELECT ")
    assert head == (
        f"{A} > %s OR f(?) = '%%?',CONCAT(%s,{N}),JSON_UNQUOTE(NULLIF(JSON_EXTRACT({N},%s),"
        f"CAST('null' AS JSON))),{N} LIKE %s,{A} IN (%s,{B})"
    )
    assert values == (-1, "x%", '$."k"', "a\\_%", 5)
    with pytest.raises(ValueError, match="another paramstyle than qmark"):
        t1.select(expressions[0]).bind("db", "qmark")


def test_a_slot_fills_a_form() -> None:
    word = sb.slot("word", str)
    statement = people.select(name).where(name.contains(word) & (-sb.slot("n", int) == 5))
    text = statement.prepare("db", dialect="sqlite").sql(word="x", n=-5)
    assert text.endswith(
        f"({QN} LIKE ('%' || "
        "REPLACE(REPLACE(REPLACE('x','\\','\\\\'),'%','\\%'),'_','\\_') || '%')"
        " ESCAPE '\\' AND -(-5)=5)"
    )


@pytest.mark.parametrize(
    ("text", "values", "match"),
    [
        ("a = ?", (), "got 0 values for 1 in 'a = "),
        ("a = '?'", (1,), "got 1 values for 0 in"),
        ("a = ??", (1,), "got 1 values for 0 in"),
        ("a -- b", (), "takes no comment"),
        ("a /* b */", (), "takes no comment"),
        ("a; DROP TABLE b", (), "no ; "),
        ("a = $x$b$x$", (), "no dollar quotes"),
        ("a = 'b", (), "has an open quote"),
        ('a = "b', (), "has an open quote"),
        ("a = 'b\\' OR ?'", (1,), r"takes no \\ in quotes"),
        ("f(a", (), r"misses a \)"),
        ("a) OR (b", (), r"has a \) that closes nothing"),
        ("(a]", (), r"has a \] that closes nothing"),
        (" ", (), "needs text"),
    ],
)
def test_a_raw_fragment_stays_a_fragment(text: str, values: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        sb.raw(text, *values)


def test_a_hash_opens_a_comment_in_some_dialects() -> None:
    for dialect in ("mysql", "mariadb", "sqlite"):
        with pytest.raises(sb.UnsupportedFeature, match="operators with #"):
            shown(sb.raw("a #> b"), dialect=dialect)
    assert shown(sb.raw("a = '#'")) == "a = '#'"


@pytest.mark.parametrize(
    ("wrong", "error", "match"),
    [
        (lambda: name + "x", TypeError, r"write a.concat\(b\)"),
        (lambda: "x" + name, TypeError, r"write a.concat\(b\)"),
        (lambda: name + name, TypeError, r"write a.concat\(b\)"),
        (lambda: a + "1", TypeError, r"write a.concat\(b\)"),
        (lambda: name.concat("x") + sb.literal("y"), TypeError, r"write a.concat\(b\)"),
        (lambda: -sb.literal(None), ValueError, "- with None is always null"),
        (lambda: name.concat(None), ValueError, "with None is always null"),
        (lambda: sb.concat("x"), ValueError, "at least two operands, got 1"),
        (lambda: ~name, TypeError, "must be an integer or a condition"),
        (lambda: name.collate("a b"), ValueError, "collation must be"),
        (lambda: name.collate('x" OR 1'), ValueError, "collation must be"),
        (lambda: a.cast("INT) OR (1"), ValueError, "kind must be"),
        (lambda: a.cast(""), ValueError, "kind must be"),
        (lambda: a.cast(int), TypeError, "kind must be a str"),
        (lambda: a.is_(5), TypeError, "must be None, True or False"),
        (lambda: a.is_(1), TypeError, "must be None, True or False"),
        (lambda: name.startswith(5), TypeError, "text must be a str"),
        (lambda: name.ilike(None), ValueError, "ILIKE with None is never true"),
        (lambda: a["x":"y"], TypeError, "a key of JSON must be"),
        (lambda: a[-1], ValueError, r"a position in JSON must be in \[0"),
        (lambda: a[True], TypeError, "a key of JSON must be"),
        (lambda: a["x"].contains({1}), TypeError, "must have a JSON form"),
        (lambda: a.as_text(), TypeError, "only a part of JSON has a text"),
        (lambda: array["x"], TypeError, "a subscript must be an int"),
        (lambda: array[1:2:3], ValueError, "has no step"),
        (lambda: array[None], TypeError, "a subscript must be an int"),
        (lambda: sb.array([]), ValueError, "needs the type of its elements"),
        (lambda: sb.array("ab"), TypeError, "must be a list"),
        (lambda: array.overlaps(5), TypeError, "must be compared with an array"),
        (lambda: sb.any_(5), TypeError, "the operand of ANY must be"),
        (lambda: sb.any_(t1.select(a, b)), ValueError, "must have one column, got 2"),
        (lambda: a + sb.any_([1]), TypeError, "stand only beside"),
        (lambda: a.like(sb.any_(t1.select(b))), TypeError, "stand only beside"),
        (lambda: sb.any_([1]) == sb.all_([1]), TypeError, "stand only beside"),
        (lambda: shown(sb.any_(t1.select(b))), TypeError, "stand only beside"),
        (lambda: where(sb.any_(t1.select(b)).in_([1])), TypeError, "stand only beside"),
        (lambda: sb.eq(sb.any_([1]), None), ValueError, "ANY with None is never true"),
        (lambda: sb.extract("years", a), ValueError, "field must be one of year"),
        (lambda: sb.interval(), TypeError, "duration must be a timedelta"),
        (lambda: sb.interval(months=1.5), ValueError, "months must be an int"),
        (lambda: sb.interval(years=1, months=-12), ValueError, "add up to nothing"),
        (lambda: sb.interval(timedelta(1), months=1), ValueError, "add two intervals"),
        (lambda: a.op("--"), ValueError, "must not open a comment"),
        (lambda: a.op("/*"), ValueError, "must not open a comment"),
        (lambda: a.op("-#"), ValueError, "must have no #, which opens comments in MySQL"),
        (lambda: a.op("#>"), ValueError, "must have no #, which opens comments in MySQL"),
        (lambda: name["a"] == sb.slot("v", int), TypeError, "compared with JSON, got"),
        (lambda: name["a"].in_(sb.slot("v", int, many=True)), TypeError, "compared with JSON"),
        (lambda: name["a"].between(sb.literal(1), 2), TypeError, "compared with JSON, got"),
        (lambda: a.op("OR"), ValueError, "symbol must be made of"),
        (lambda: sb.func("f; --"), ValueError, "function name must be"),
        (lambda: sb.func.count(a).over(rows=(1, 0)), ValueError, "must not start after its end"),
        (lambda: sb.func.count(a).over(rows=1), TypeError, "must be a pair"),
        (lambda: sb.func.count(a).over(rows=(0, timedelta(1))), TypeError, "must be an int or"),
        (lambda: sb.func.count(a).over(rows=(0, 0), groups=(0, 0)), ValueError, "has one of rows"),
        (lambda: sb.func.count(a).over(exclude="ties"), ValueError, "exclude needs a frame"),
        (lambda: sb.func.count(a).over(rows=(0, 0), exclude="x"), ValueError, "must be one of"),
        (lambda: sb.func.count(a).over(sb.window(), rows=(0, 0)), ValueError, "no more arguments"),
        (lambda: sb.func.count(a).filter(a), TypeError, "the condition of FILTER"),
        (lambda: sb.string_agg(name, 5), TypeError, "separator must be a str"),
        (lambda: sb.raw(5), TypeError, "text must be a str"),
        (lambda: sb.raw("?", object()), TypeError, "an operand must be"),
        (lambda: a in array, TypeError, "in has no SQL"),
    ],
)
def test_what_has_no_sql_is_refused_at_once(wrong: Any, error: Any, match: str) -> None:
    with pytest.raises(error, match=match):
        wrong()


def test_columns_of_arrays_and_documents() -> None:
    table: Any = sb.Table(
        "tagged",
        sb.ArrayColumn("tags", sb.StrColumn(), nullable=True),
        sb.JsonColumn("doc"),
        sb.EnumColumn("state", "new", "old"),
    )
    c = table.alias("t").c
    statement = (
        table.alias("t").select(c.tags[1]).where(c.tags.contains(["x"]) | c.tags[2:].is_(None))
    )
    assert statement.sql("db", dialect="postgresql") == (
        'SELECT "t"."tags"[1] FROM "db"."tagged" AS "t" '
        'WHERE ("t"."tags" @> \'{"x"}\' OR "t"."tags"[2 : ] IS null)'
    )
    documents = table.select(table.c.doc["a"]).where(table.c.doc.contains({"a": 1}))
    assert documents.sql("db").endswith("WHERE JSON_CONTAINS(`tagged`.`doc`,'{\\\"a\\\": 1}')")
    with pytest.raises(TypeError, match=r"write a.concat\(b\)"):
        c.state + sb.literal("x")


def test_expressions_are_copied_and_pickled() -> None:
    window = sb.window(order_by=a.desc().nulls_last(), rows=(-1, 0))
    expressions = [
        name.concat("x")["a"].as_text().contains("y"),
        sb.func.sum(a).filter(b > 1).over(window),
        sb.raw("f(?)", a) & (a == sb.any_(t1.select(b))),
        sb.string_agg(name, order_by=[a]),
        -a.in_([1, ~b]).cast("integer"),
        name.contains(b"x".decode()).is_(True),
        array[1:2].overlaps([1]),
    ]
    statement = t1.cross_join(people).select(*expressions).order_by(a.nulls_first())
    for copied in (copy.deepcopy(statement), pickle.loads(pickle.dumps(statement))):
        assert copied.sql("db", dialect="postgresql") == statement.sql("db", dialect="postgresql")
