"""The page ``docs/sqlbuilder-features.md``: what each database has, and what ran on it.

The examples are the cases of three files of tests in ``tests/servers``, each with the rows it must
give. ``tests/servers/features`` runs them on every server and writes the page; a test compares the
page with the servers that are there.

A feature of ``FEATURES`` belongs to the examples whose text changes, or that are refused, when a
dialect is without it. So a feature *works* in a dialect that has it if such an example gave its
rows there. Where a dialect lacks a feature, the example may be said in other *words*, or is
refused; then the text that a dialect with the feature would write is tried as well, and the server
must have refused it, or the page says *refused* and not *no*.
"""

import argparse
import contextlib
import datetime
import functools
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from godropbox.database import sqlbuilder as sb
from godropbox.database.sqlbuilder.dialects import DIALECTS
from godropbox.database.sqlbuilder.dialects._dialect import FEATURES, LITERALS

from . import sqlservers

__all__ = [
    "COLUMNS",
    "PAGE",
    "Example",
    "ask",
    "asked",
    "examples",
    "features",
    "page",
    "renders",
    "shape",
    "versions",
]

PAGE = Path(__file__).parent.parent.parent / "docs" / "sqlbuilder-features.md"
SERVERS = Path(__file__).parent.parent / "servers"
COLUMNS = ("mysql", "mariadb", "postgresql", "sqlite")
WORKS, WORDS, REFUSED, LACKS = "works", "other words", "refused", "no"


@dataclass(frozen=True, eq=False)
class Example:
    """A statement; `run` executes it, or another text of it, and returns whether it is right."""

    area: str
    title: str
    statement: Any
    run: Callable[[Any, Any], bool]  # of a server and a dialect


def _module(name: str) -> ModuleType:
    """Return a file of tests as a module."""
    full = f"sqlfeatures_{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, SERVERS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[full] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[full]


def _speaks(server: Any, dialect: Any) -> contextlib.AbstractContextManager[None]:
    """Return a context in which a server of the tests is given another dialect's text."""

    @contextlib.contextmanager
    def change() -> Iterator[None]:
        old, server.dialect = server.dialect, dialect
        try:
            yield
        finally:
            server.dialect = old

    return change()


def _query(case: Any) -> Callable[[Any, Any], bool]:
    statement, rows, _ = case

    def run(server: Any, dialect: Any) -> bool:
        with _speaks(server, dialect):
            return all(found == rows for found in server.ways(statement))

    return run


def _expression(statement: Any, rows: Any, refill: bool = False) -> Callable[[Any, Any], bool]:
    def run(server: Any, dialect: Any) -> bool:
        if refill:
            server.refill()
        texts = [(statement.sql(server.database, dialect=dialect),)]
        style = "qmark" if server.dialect == "sqlite" else "format"
        texts.append(statement.bind(server.database, style, dialect=dialect))
        found = [server.raw(*text) for text in texts]
        return all(each == rows or (rows is None and len(each) == 3) for each in found)

    return run


def _write(case: Any) -> Callable[[Any, Any], bool]:
    _, statement, returned, rows, _ = case

    def run(server: Any, dialect: Any) -> bool:
        server.refill()
        try:
            found = server.raw(statement.sql(server.database, dialect=dialect))
            return sorted(found) == returned and (not rows or server.left() == rows)
        finally:
            server.refill()

    return run


@functools.cache
def examples() -> dict[str, list[Example]]:
    """Return the examples of each file of tests, by its name."""
    queries, expressions = _module("test_queries"), _module("test_expressions")
    writes = _module("test_write_features")
    each = []
    for title, value, *rest in expressions.EACH:
        statement = expressions.things.select(value).order_by(expressions.c.id)
        rows = None if rest[0] is None else [(item,) for item in rest[0]]
        each.append(Example("Expressions", title, statement, _expression(statement, rows)))
    for title, value, *rest in expressions.OVERALL:
        statement = expressions.things.select(value)
        each.append(Example("Aggregates", title, statement, _expression(statement, [(rest[0],)])))
    return {
        "test_queries": [
            Example("Queries", title, case[0], _query(case))
            for title, case in queries.CASES.items()
        ],
        "test_expressions": each,
        "test_write_features": [
            *[Example("Writes", case[0], case[1], _write(case)) for case in writes.CASES],
            *_more(writes),
        ],
    }


def _more(writes: ModuleType) -> Iterator[Example]:
    """Yield examples of what the files of tests have none for, on the tables of writes."""
    s, stock, news = writes.s, writes.stock, writes.news
    ids = stock.select(s.id)

    def rows(title: str, statement: Any, wanted: Any) -> Example:
        return Example("Others", title, statement, _expression(statement, wanted, refill=True))

    def leaves(title: str, statement: Any, wanted: Any) -> Example:
        return Example("Others", title, statement, _write((title, statement, [], wanted, {})))

    everything = [(1,), (2,), (3,)]
    yield rows("index hint", stock.use_index("PRIMARY").select(s.id).order_by(s.id), everything)
    yield rows("IF()", stock.select(sb.if_(s.id > 2, 1, 0)).order_by(s.id), [(0,), (0,), (1,)])
    yield rows("bitwise XOR", stock.select(s.id ^ 1).order_by(s.id), [(0,), (3,), (2,)])
    yield rows(
        "a type's # in raw()",
        stock.select(sb.raw("? # ?", s.id, 1)).order_by(s.id),
        [(0,), (3,), (2,)],
    )
    named = sb.raw("`id` > ?", 1)
    yield rows("a name in backquotes in raw()", ids.where(named).order_by(s.id), [(2,), (3,)])
    year = sb.cast("2014-01-31 00:00:00", "datetime")
    month = sb.extract("month", year + sb.interval(months=1))
    yield rows("months", stock.select(month).where(s.id == 1), [(2,)])
    local = sb.func.localtimestamp().is_not(None)
    yield rows("LOCALTIMESTAMP", stock.select(local).where(s.id == 1), [(1,)])
    yield rows(
        "NULLS FIRST",
        ids.order_by(sb.nulls_first(s.shop.desc()), s.id),
        [(3,), (1,), (2,)],
    )
    yield rows("NULLS LAST", ids.order_by(sb.nulls_last(s.shop.asc()), s.id), everything)
    day = datetime.timedelta(1)
    near = sb.count().over(order_by=[sb.cast("2014-01-31", "date")], range_=(-day, day))
    yield rows("RANGE with an INTERVAL", stock.select(near).where(s.id < 3), [(2,), (2,)])
    add = stock.insert(s.id, s.name)
    again = add.row(1, "new").on_duplicate_key_update(s.name, "new")
    yield leaves("an upsert by any key", again, writes.left((1, "new", 5, 1)))
    yield leaves(
        "INSERT that ignores duplicates",
        add.row(1, "new").row(4, "oil").ignore_duplicates(),
        writes.left((4, "oil", 3, None)),
    )
    yield leaves(
        "INSERT IGNORE",
        add.row(1, "new").row(4, "oil").ignore_errors(),
        writes.left((4, "oil", 3, None)),
    )
    defaults = stock.insert().default_values().ignore_duplicates()
    yield Example("Others", "ON CONFLICT after DEFAULT VALUES", defaults, _one_more(defaults))
    yield leaves(
        "REPLACE",
        stock.replace(s.id, s.name).row(1, "new"),
        writes.left((1, "new", 3, None)),
    )
    change = stock.update().set(s.shop, 9).where(s.id > 0).order_by(s.id)
    yield leaves("LIMIT in UPDATE", change.limit(1), writes.left((1, "tea", 5, 9)))
    yield leaves("ORDER BY in UPDATE", change, [(*row[:3], 9) for row in writes.STOCK])
    first = stock.delete().where(s.id > 0).order_by(s.id.desc())
    yield leaves("LIMIT in DELETE", first.limit(1), writes.left(gone=(3,)))
    yield leaves("ORDER BY in DELETE", first, [])
    joined = stock.delete().using(news).where(s.id == news.c.id).order_by(s.id).limit(1)
    yield leaves("LIMIT in DELETE of joined tables", joined, writes.left(gone=(1,)))
    gone = sb.cte("gone", stock.delete().where(s.id == 3).returning(s.id))
    moved: Any = (
        "a DELETE in WITH",
        sb.select(gone).with_(gone),
        [(3,)],
        writes.left(gone=(3,)),
        {},
    )
    yield Example("Others", moved[0], moved[1], _write(moved))
    for title, statement in (
        ("LOCK TABLES", sb.lock_tables().read(stock)),
        ("UNLOCK TABLES", sb.unlock_tables()),
        ("SET GTID_NEXT", sb.gtid_next(bytes(range(16)), 1)),
    ):
        yield Example("Others", title, statement, _session(statement))


def _one_more(statement: Any) -> Callable[[Any, Any], bool]:
    def run(server: Any, dialect: Any) -> bool:
        server.refill()
        server.raw(statement.sql(server.database, dialect=dialect))
        try:
            return len(server.left()) == 4
        finally:
            server.refill()

    return run


def _session(statement: Any) -> Callable[[Any, Any], bool]:
    def run(server: Any, dialect: Any) -> bool:
        server.raw(statement.sql(server.database, dialect=dialect))
        if isinstance(statement, sb.GtidNext):
            server.raw("COMMIT")
            server.raw("SET GTID_NEXT = 'AUTOMATIC'")
        else:
            server.raw(sb.unlock_tables().sql(server.database, dialect=dialect))
        return True

    return run


@functools.cache
def changed(dialect: sb.Dialect, names: "frozenset[str]") -> sb.Dialect:
    """Return a dialect with other features."""
    options = {
        name: getattr(dialect, name)
        for name in inspect.signature(sb.Dialect).parameters
        if hasattr(dialect, name)
    }
    options["features"] = names
    kinds = {number: kind for kind, number in LITERALS.items()}
    return type(dialect)(**options, literals=kinds[dialect.style])


def renders(example: Example, dialect: sb.Dialect) -> bool:
    """Return whether a dialect can say an example, which only what it lacks may prevent."""
    try:
        example.statement.sql("db", dialect=dialect)
        return True
    except sb.UnsupportedFeature:
        return False


_LACKS = "lacks "  # no statement starts with it


def _text(example: Example, dialect: Any) -> str:
    """Return an example's text, or ``lacks`` and the feature that is missing."""
    try:
        text: str = example.statement.sql("db", dialect=dialect)
        return text
    except sb.UnsupportedFeature as error:
        return _LACKS + error.feature


@functools.cache
def features(example: Example) -> "frozenset[str]":
    """Return the features that an example uses in any dialect."""
    found: set[str] = set()
    for name in COLUMNS:
        dialect = DIALECTS[name]
        text = _text(example, dialect)
        if text.startswith(_LACKS):
            found.update(FEATURES.keys() & {text.removeprefix(_LACKS)})
        found.update(_changing(example, dialect, text, tuple(FEATURES)))
    return frozenset(found)


def _changing(
    example: Example, dialect: sb.Dialect, text: str, names: "tuple[str, ...]"
) -> Iterator[str]:
    """Yield those of the features whose change in the dialect changes an example's text."""
    if _text(example, changed(dialect, dialect.features ^ frozenset(names))) == text:
        return
    if len(names) == 1:
        yield names[0]
        return
    middle = len(names) // 2
    yield from _changing(example, dialect, text, names[:middle])
    yield from _changing(example, dialect, text, names[middle:])


Results = dict[tuple[str, str], str]  # of an area and a title


def ask(dialect: str) -> "tuple[Results, dict[str, str]]":
    """Run all examples on a server; return the result of each, and that of each feature."""
    known = DIALECTS[dialect]
    results: Results = {}
    said: dict[str, str] = {}
    for file, listed in examples().items():
        for server in _module(file).start(dialect):
            for example in listed:
                result = _result(example, server, known)
                results[example.area, example.title] = result
                for feature in features(example):
                    _note(said, feature, result, known, example, server)
    return results, said


def _result(example: Example, server: Any, dialect: sb.Dialect) -> str:
    if not renders(example, dialect):
        return LACKS
    try:
        return WORKS if example.run(server, dialect) else "WRONG"
    except Exception as error:  # of any driver
        return f"WRONG: {error}"


def _note(
    said: dict[str, str],
    feature: str,
    result: str,
    dialect: sb.Dialect,
    example: Example,
    server: Any,
) -> None:
    """Write down what an example says of a feature, unless something better is known."""
    better = [LACKS, REFUSED, WORDS, WORKS]
    has = feature in dialect.features
    if result == WORKS:
        given = WORKS if has else WORDS
    elif has:
        return  # something else is missing here
    elif "ON CONFLICT" in feature and "ON CONFLICT" not in dialect.features:
        given = LACKS  # there is no text to add it to
    else:
        forced = changed(dialect, dialect.features | {feature})
        try:
            given = REFUSED if example.run(server, forced) else LACKS
        except Exception:  # of any driver
            given = LACKS
    if feature not in said or better.index(given) > better.index(said[feature]):
        said[feature] = given


# The page

BEGIN, END = "<!-- tests/servers/features writes: -->", "<!-- until here -->"
_HEAD = "| {} | MySQL | MariaDB | PostgreSQL | SQLite |\n| --- | --- | --- | --- | --- |"


def page(found: "dict[str, tuple[Results, dict[str, str]]]", versions: "dict[str, str]") -> str:
    """Return the tables of the page."""
    lines = [f"Asked: {', '.join(versions[name] for name in COLUMNS)}.", "", "## Features", ""]
    lines.append(_HEAD.format("feature | what it is").replace("---", "--- | ---", 1))
    for feature, meaning in FEATURES.items():
        cells = [found[name][1].get(feature, "untried") for name in COLUMNS]
        lines.append(f"| {_cell(feature)} | {_cell(meaning)} | {' | '.join(cells)} |")
    titles = list(found[COLUMNS[0]][0])
    for area in dict.fromkeys(area for area, _ in titles):
        lines += ["", f"## {area}", "", _HEAD.format("example")]
        for each in titles:
            if each[0] == area:
                cells = [found[name][0][each].partition(":")[0] for name in COLUMNS]
                lines.append(f"| {_cell(each[1])} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def shape(text: str) -> "dict[str, list[str]]":
    """Return the cells of each row of the page, under its heading and its first cell."""
    rows, area = {}, ""
    for line in text.partition(BEGIN)[2].partition(END)[0].splitlines():
        if line.startswith("## "):
            area = line.removeprefix("## ")
        elif line.startswith("| ") and "---" not in line and not line.endswith("SQLite |"):
            cells = line.replace("\\|", "\0").strip("| ").split(" | ")
            rows[f"{area}: {cells[0]}".replace("\0", "|")] = cells[-len(COLUMNS) :]
    return rows


def asked(text: str) -> list[str]:
    """Return the versions that the page is about, one a column."""
    return text.partition("Asked: ")[2].partition(".\n")[0].split(", ")


def versions() -> "dict[str, str]":
    """Return the versions of the servers, by the names of their dialects."""
    import sqlite3

    found = {"sqlite": f"SQLite {sqlite3.sqlite_version}"}
    with sqlservers.postgresql_connection() as connection:
        number = connection.execute("SHOW server_version").fetchone()
        found["postgresql"] = f"PostgreSQL {str((number or ('?',))[0]).split(' ')[0]}"
    for name in sqlservers.mysql_like():
        with sqlservers.connection_of(name) as other, other.cursor() as cursor:
            cursor.execute("SELECT VERSION()")
            number = cursor.fetchone()
            title = DIALECTS[name].title
            found[name] = f"{title} {str((number or ('?',))[0]).split('-')[0]}"
    return found


def main() -> int:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="compare the page, write nothing")
    options = parser.parse_args()
    if not sqlservers.has_mysql():
        parser.error("GODROPBOX_MYSQL must name a MySQL: see tests/databases --unpack")
    found = {name: ask(name) for name in COLUMNS}
    wrong = [
        f"{name}, {area}, {title}: {result}"
        for name, (results, _) in found.items()
        for (area, title), result in results.items()
        if result.startswith("WRONG")
    ]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    old = PAGE.read_text(encoding="utf-8")
    start, end = old.partition(BEGIN)[0], old.partition(END)[2]
    new = f"{start}{BEGIN}\n{page(found, versions())}{END}{end}"
    if options.check:
        return int(bool(wrong) or new != old)
    PAGE.write_text(new, encoding="utf-8")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
