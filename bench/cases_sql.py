"""SQL text: a query built and rendered, a long IN, many rows, parameters, prepared statements.

The floor is ``%`` formatting by hand of the same text, byte for byte, with the same checks of the
values that its format letters give: ``%d`` for ints, and for strings the two replacements that
MySQL's default mode needs. It knows no schema and refuses nothing else. Peers build their own
text, with other quotes and spaces; a row is right if all that matters is in it. python-sql makes
parameters, never literals, so its match is ``bind``; pure ``sql`` is held to it all the same.

A SELECT by primary key is the text and the parameters that a driver gets. SQLAlchemy's is as its
connection makes it when the compiled statement is in the cache: the statement, its cache key, and
the parameters in order.
"""

import re
from typing import Any

from .model import AtMost, Case, Faster, Group, Names, Row, Within, WrongError
from .ours import PURE, load

__all__ = ["GROUPS"]

IDS = [1, 2, 3]
MANY = list(range(1, 1001))
ROWS = [(number, f"it's file {number}", number * 7) for number in range(100)]

TEXT = (
    "SELECT `sfj`.`ns_id`,`sfj`.`sjid`,`parent_prefix`.`prefix`,`sfj`.`filename` "
    "FROM `%s`.`sfj` LEFT JOIN `%s`.`parent_prefix` ON `parent_prefix`.`ns_id`=`sfj`.`ns_id` "
    "WHERE (`sfj`.`ns_id`=%d AND `sfj`.`sjid` IN (%s))"
)
BY_KEY = (
    "SELECT `sfj`.`ns_id`,`sfj`.`sjid`,`sfj`.`filename` FROM `shard1`.`sfj` WHERE `sfj`.`sjid`="
)
INSERT = "INSERT INTO `%s`.`sfj` (`sfj`.`ns_id`,`sfj`.`filename`,`sfj`.`sjid`) VALUES %s"


def quoted(text: str) -> str:
    """Return a literal of MySQL's default mode, for text without control characters."""
    return "'%s'" % text.replace("\\", "\\\\").replace("'", "\\'")  # noqa: UP031


def by_hand(database: str, ns_id: int, ids: list[int]) -> str:
    return TEXT % (database, database, ns_id, ",".join(["%d" % one for one in ids]))  # noqa: UP031  # by hand


def insert_by_hand(database: str, rows: list[tuple[int, str, int]]) -> str:
    values = ["(%d,%s,%d)" % (one, quoted(two), three) for one, two, three in rows]  # noqa: UP031
    return INSERT % (database, ", ".join(values))


def hand_names(_: Any) -> Names:
    return {
        "query": by_hand,
        "insert": insert_by_hand,
        "by_key": lambda sjid: (BY_KEY + "%s", (sjid,)),
        "filled": lambda sjid: BY_KEY + "%d" % sjid,  # noqa: UP031
        "ids": IDS,
        "many": MANY,
        "rows": ROWS,
        "sjid": 123456,
    }


def our_names(implementation: str) -> Names:
    sb = load("database.sqlbuilder", implementation)
    sfj = sb.Table("sfj", sb.IntColumn("ns_id"), sb.IntColumn("sjid"), sb.StrColumn("filename"))
    prefix = sb.Table("parent_prefix", sb.IntColumn("ns_id"), sb.StrColumn("prefix"))

    def made(ns_id: Any, ids: Any) -> Any:
        return (
            sfj.left_join(prefix, prefix.c.ns_id == sfj.c.ns_id)
            .select(sfj.c.ns_id, sfj.c.sjid, prefix.c.prefix, sfj.c.filename)
            .where((sfj.c.ns_id == ns_id) & sfj.c.sjid.in_(ids))
        )

    def query(database: str, ns_id: int, ids: list[int]) -> str:
        return (  # type: ignore[no-any-return]  # the module is of either implementation
            sfj.left_join(prefix, prefix.c.ns_id == sfj.c.ns_id)
            .select(sfj.c.ns_id, sfj.c.sjid, prefix.c.prefix, sfj.c.filename)
            .where((sfj.c.ns_id == ns_id) & sfj.c.sjid.in_(ids))
            .sql(database)
        )

    def bind(database: str, ns_id: int, ids: list[int]) -> Any:
        return (
            sfj.left_join(prefix, prefix.c.ns_id == sfj.c.ns_id)
            .select(sfj.c.ns_id, sfj.c.sjid, prefix.c.prefix, sfj.c.filename)
            .where((sfj.c.ns_id == ns_id) & sfj.c.sjid.in_(ids))
            .bind(database)
        )

    def by_key(sjid: int) -> Any:
        return (
            sfj.select(sfj.c.ns_id, sfj.c.sjid, sfj.c.filename)
            .where(sfj.c.sjid == sjid)
            .bind("shard1")
        )

    into = sfj.insert(sfj.c.ns_id, sfj.c.filename, sfj.c.sjid)
    one = sfj.select(sfj.c.ns_id, sfj.c.sjid, sfj.c.filename).where(
        sfj.c.sjid == sb.slot("sjid", int)
    )
    slots = made(sb.slot("ns_id", int), sb.slot("ids", int, many=True))
    return {
        "query": query,
        "bind": bind,
        "insert": lambda database, rows: into.rows(rows).sql(database),
        "bind_insert": lambda database, rows: into.rows(rows).bind(database),
        "fill": slots.prepare("shard1").sql,
        "by_key": by_key,
        "fill_one": one.prepare("shard1").sql,
        "bind_one": one.prepare("shard1", paramstyle="format").bind,
        "sjid": 123456,
        "ids": IDS,
        "many": MANY,
        "rows": ROWS,
    }


def native_names(_: Any) -> Names:
    return our_names("native")


def pure_names(_: Any) -> Names:
    return our_names("pure")


def sqlalchemy_names(_: Any) -> Names:
    import sqlalchemy as sa
    from sqlalchemy.dialects.mysql.mysqldb import MySQLDialect_mysqldb

    dialect = MySQLDialect_mysqldb()
    meta = sa.MetaData(schema="shard1")
    sfj = sa.Table(
        "sfj",
        meta,
        sa.Column("ns_id", sa.Integer),
        sa.Column("sjid", sa.Integer),
        sa.Column("filename", sa.String(100)),
    )
    prefix = sa.Table(
        "parent_prefix", meta, sa.Column("ns_id", sa.Integer), sa.Column("prefix", sa.String(100))
    )
    cache: Any = {}

    def made(ns_id: int, ids: list[int]) -> Any:
        return (
            sa.select(sfj.c.ns_id, sfj.c.sjid, prefix.c.prefix, sfj.c.filename)
            .select_from(sfj.outerjoin(prefix, prefix.c.ns_id == sfj.c.ns_id))
            .where((sfj.c.ns_id == ns_id) & sfj.c.sjid.in_(ids))
        )

    def query(_: str, ns_id: int, ids: list[int]) -> str:
        options = {"literal_binds": True}
        return str(made(ns_id, ids).compile(dialect=dialect, compile_kwargs=options))

    def cached(_: str, ns_id: int, ids: list[int]) -> str:
        compiled, extracted, *_ = made(ns_id, ids)._compile_w_cache(
            dialect, compiled_cache=cache, column_keys=[]
        )
        values = compiled.construct_params(extracted_parameters=extracted)
        expanded = compiled._process_parameters_for_postcompile(values)
        return f"{expanded.statement} {list(values.values())}"

    def by_key(sjid: int) -> Any:
        made = sa.select(sfj.c.ns_id, sfj.c.sjid, sfj.c.filename).where(sfj.c.sjid == sjid)
        compiled, extracted, *_ = made._compile_w_cache(
            dialect, compiled_cache=cache, column_keys=[]
        )
        values = compiled.construct_params(extracted_parameters=extracted)
        return compiled.string, tuple([values[name] for name in compiled.positiontup])

    def insert(_: str, rows: list[tuple[int, str, int]]) -> str:
        dicts = [{"ns_id": one, "filename": two, "sjid": three} for one, two, three in rows]
        return str(
            sfj.insert()
            .values(dicts)
            .compile(dialect=dialect, compile_kwargs={"literal_binds": True})
        )

    return {
        "query": query,
        "cached": cached,
        "by_key": by_key,
        "sjid": 123456,
        "insert": insert,
        "ids": IDS,
        "many": MANY,
        "rows": ROWS,
    }


def _pypika_names(pypika: Any, dialect: Any) -> Names:
    sfj = pypika.Table("sfj", schema="shard1")
    prefix = pypika.Table("parent_prefix", schema="shard1")

    def query(_: str, ns_id: int, ids: list[int]) -> str:
        return str(
            dialect.from_(sfj)
            .left_join(prefix)
            .on(prefix.ns_id == sfj.ns_id)
            .select(sfj.ns_id, sfj.sjid, prefix.prefix, sfj.filename)
            .where((sfj.ns_id == ns_id) & sfj.sjid.isin(ids))
            .get_sql()
        )

    def insert(_: str, rows: list[tuple[int, str, int]]) -> str:
        return str(dialect.into(sfj).columns("ns_id", "filename", "sjid").insert(*rows).get_sql())

    def by_key(sjid: int) -> Any:
        made = (
            dialect.from_(sfj)
            .select(sfj.ns_id, sfj.sjid, sfj.filename)
            .where(sfj.sjid == pypika.Parameter("%s"))
        )
        return made.get_sql(), (sjid,)

    return {
        "query": query,
        "by_key": by_key,
        "insert": insert,
        "ids": IDS,
        "many": MANY,
        "rows": ROWS,
        "sjid": 123456,
    }


def pypika_names(_: Any) -> Names:
    import pypika

    return _pypika_names(pypika, pypika.MySQLQuery)


def tortoise_names(_: Any) -> Names:
    import pypika_tortoise as pypika
    from pypika_tortoise.dialects import MySQLQuery

    return _pypika_names(pypika, MySQLQuery)


def python_sql_names(_: Any) -> Names:
    from sql import Flavor, Table

    Flavor.set(Flavor(paramstyle="format"))
    sfj, prefix = Table("sfj", schema="shard1"), Table("parent_prefix", schema="shard1")

    def query(_: str, ns_id: int, ids: list[int]) -> str:
        join = sfj.join(prefix, "LEFT", condition=prefix.ns_id == sfj.ns_id)
        where = (sfj.ns_id == ns_id) & (sfj.sjid.in_(ids))
        made = join.select(sfj.ns_id, sfj.sjid, prefix.prefix, sfj.filename, where=where)
        text, values = tuple(made)
        return f"{text} {values}"

    def insert(_: str, rows: list[tuple[int, str, int]]) -> str:
        made = sfj.insert([sfj.ns_id, sfj.filename, sfj.sjid], [list(row) for row in rows])
        text, values = tuple(made)
        return f"{text} {values}"

    return {"query": query, "insert": insert, "ids": IDS, "many": MANY, "rows": ROWS}


def sqlglot_names(_: Any) -> Names:
    from sqlglot import column, condition, exp, select

    def query(_: str, ns_id: int, ids: list[int]) -> str:
        text: str = (
            select("sfj.ns_id", "sfj.sjid", "parent_prefix.prefix", "sfj.filename")
            .from_("shard1.sfj")
            .join("shard1.parent_prefix", on="parent_prefix.ns_id = sfj.ns_id", join_type="left")
            .where(
                condition(column("ns_id", "sfj").eq(ns_id)).and_(column("sjid", "sfj").isin(*ids))
            )
            .sql("mysql")
        )
        return text

    def insert(_: str, rows: list[tuple[int, str, int]]) -> str:
        columns = ["ns_id", "filename", "sjid"]
        text: str = exp.insert(exp.values(rows), "shard1.sfj", columns=columns).sql("mysql")
        return text

    return {"query": query, "insert": insert, "ids": IDS, "many": MANY, "rows": ROWS}


def _words(text: str) -> str:
    bare = re.sub(r"[`\"\s()]", "", text)
    return re.sub(r"(shard1|sfj|parent_prefix|\b[ab])\.", "", bare).lower()


def _has(result: Any, *wanted: str) -> None:
    words = _words(str(result))
    for want in wanted:
        if want not in words:
            raise WrongError(f"{want} is not in {words[:300]}")


def same(result: Any, names: Names) -> None:
    """Hold a query of ours to the text by hand."""
    if result != by_hand("shard1", 456, names["ids"]):
        raise WrongError(f"another text: {result}")


def same_many(result: Any, names: Names) -> None:
    """Hold a long IN of ours to the text by hand."""
    if result != by_hand("shard1", 456, names["many"]):
        raise WrongError("another text")


def same_rows(result: Any, names: Names) -> None:
    """Hold an INSERT of ours to the text by hand."""
    if result != insert_by_hand("shard1", names["rows"]):
        raise WrongError("another text")


def bound(result: Any, names: Names) -> None:
    """Hold text with parameters to the text by hand: filled in, it is the same."""
    text, values = result
    many = len(values) > 4
    if text % values != by_hand("shard1", 456, names["many" if many else "ids"]):
        raise WrongError(f"another text: {text}")


def bound_rows(result: Any, names: Names) -> None:
    """Hold an INSERT with parameters to its rows."""
    text, values = result
    if text.count("%s") != 300 or list(values) != [one for row in names["rows"] for one in row]:
        raise WrongError("other parameters")


def by_key(result: Any, names: Names) -> None:
    """Hold a SELECT by primary key of ours to the text by hand and its one parameter."""
    if result != (BY_KEY + "%s", (names["sjid"],)):
        raise WrongError(f"another text or parameter: {result}")


def filled(result: Any, names: Names) -> None:
    """Hold a filled SELECT by primary key to the text by hand."""
    if result != f"{BY_KEY}{names['sjid']}":
        raise WrongError(f"another text: {result}")


def asks_by_key(result: Any, names: Names) -> None:
    """Hold a peer's SELECT by primary key to its columns, its condition and its parameter."""
    text, values = result
    _has(text, "selectns_id,sjid,filenamefromsfj", "wheresjid=%s")
    if values != (names["sjid"],):
        raise WrongError(f"other parameters: {values}")


def asks(result: Any, names: Names) -> None:
    """Hold a peer's query to what it must say."""
    _has(result, "ns_id,sjid,prefix,filename", "join", "456", "sjidin")


def asks_many(result: Any, names: Names) -> None:
    """Hold a peer's long IN to its first and last values."""
    _has(result, "sjidin", "456", "1,2,3,4,5,", "998,999,1000")


def inserts(result: Any, names: Names) -> None:
    """Hold a peer's INSERT to its columns and its last row."""
    _has(result, "ns_id", "filename", "sjid", "file99", "693")


PEERS = (
    ("SQLAlchemy Core, compile", "query", sqlalchemy_names, "SQLAlchemy"),
    ("PyPika", "query", pypika_names, "PyPika"),
    ("pypika-tortoise", "query", tortoise_names, "pypika-tortoise"),
    ("python-sql", "query", python_sql_names, "python-sql"),
    ("sqlglot", "query", sqlglot_names, "sqlglot"),
)


def _peer_rows(call: str, check: Any, cached: str = "") -> tuple[Row, ...]:
    rows = [
        Row(label, call, make, check=check, peer=peer, other=True) for label, _, make, peer in PEERS
    ]
    if cached:
        label = "SQLAlchemy Core, cache hit"
        made = Row(label, cached, sqlalchemy_names, check=check, peer="SQLAlchemy", other=True)
        rows.insert(1, made)
    return tuple(rows)


def _ours(call: str, check: Any, times: float) -> tuple[Row, ...]:
    target = AtMost(times, "by hand")
    return (
        Row("native", call, native_names, kind="native", check=check, target=target),
        Row(
            "pure",
            call,
            pure_names,
            kind="pure",
            check=check,
            env=PURE,
            target=AtMost(1, "python-sql"),
        ),
    )


def _case(name: str, call: str, checks: tuple[Any, Any], times: float, bind: str) -> Case:
    same_text, peers_text = checks
    same_bound = bound_rows if "insert" in call else bound
    cached = call.replace("query", "cached") if "query" in call else ""
    return Case(
        name,
        (
            Row("by hand", call, hand_names, kind="floor", check=same_text),
            *_ours(call, same_text, times),
            Row(
                "native, bind",
                bind,
                native_names,
                kind="native",
                check=same_bound,
                target=AtMost(1, "native"),
            ),
            Row(
                "pure, bind",
                bind,
                pure_names,
                kind="pure",
                check=same_bound,
                env=PURE,
                target=AtMost(1, "python-sql"),
            ),
            *_peer_rows(call, peers_text, cached),
        ),
        floor="by hand",
        base=True,
    )


FILL = Case(
    "prepared",
    (
        Row("by hand", "query('shard1', 456, ids)", hand_names, kind="floor", check=same),
        Row(
            "native",
            "fill(ns_id=456, ids=ids)",
            native_names,
            kind="native",
            check=same,
            target=Within(0.2e-6, "the project's own target"),
        ),
        Row("pure", "fill(ns_id=456, ids=ids)", pure_names, kind="pure", check=same, env=PURE),
    ),
    floor="by hand",
    base=True,
)

BIND = Case(
    "by primary key",
    (
        Row("by hand", "by_key(sjid)", hand_names, kind="floor", check=by_key),
        Row(
            "native",
            "by_key(sjid)",
            native_names,
            kind="native",
            check=by_key,
            target=(Faster(100, "SQLAlchemy Core, cache hit"), Faster(100, "PyPika")),
        ),
        Row(
            "native, prepared",
            "bind_one(sjid=sjid)",
            native_names,
            kind="native",
            check=by_key,
            target=Within(0.2e-6, "the project's own target"),
        ),
        Row("pure", "by_key(sjid)", pure_names, kind="pure", check=by_key, env=PURE),
        Row(
            "pure, prepared", "bind_one(sjid=sjid)", pure_names, kind="pure", check=by_key, env=PURE
        ),
        Row(
            "SQLAlchemy Core, cache hit",
            "by_key(sjid)",
            sqlalchemy_names,
            check=asks_by_key,
            peer="SQLAlchemy",
            other=True,
        ),
        Row("PyPika", "by_key(sjid)", pypika_names, check=asks_by_key, peer="PyPika", other=True),
        Row(
            "pypika-tortoise",
            "by_key(sjid)",
            tortoise_names,
            check=asks_by_key,
            peer="pypika-tortoise",
            other=True,
        ),
    ),
    floor="by hand",
    about="the text and the parameters",
    base=True,
)

ONE = Case(
    "prepared, one slot",
    (
        Row("by hand", "filled(sjid)", hand_names, kind="floor", check=filled),
        Row('"%d" % x', '"%d" % sjid', hand_names, kind="floor"),
        Row(
            "native",
            "fill_one(sjid=sjid)",
            native_names,
            kind="native",
            check=filled,
            target=Within(0.2e-6, "the project's own target"),
        ),
        Row("pure", "fill_one(sjid=sjid)", pure_names, kind="pure", check=filled, env=PURE),
    ),
    floor='"%d" % x',
    base=True,
)

GROUPS = (
    Group(
        "sql",
        "SQL text",
        "Statements built from Python values and rendered, against % formatting by hand.",
        "statement",
        (
            _case(
                "the query",
                "query('shard1', 456, ids)",
                (same, asks),
                1.0,
                "bind('shard1', 456, ids)",
            ),
            _case(
                "IN (1,000)",
                "query('shard1', 456, many)",
                (same_many, asks_many),
                0.12,
                "bind('shard1', 456, many)",
            ),
            _case(
                "INSERT 100x3",
                "insert('shard1', rows)",
                (same_rows, inserts),
                0.18,
                "bind_insert('shard1', rows)",
            ),
            FILL,
            ONE,
            BIND,
        ),
    ),
)
