"""Build typed SQL that is safe from injection, with only Python's own SQLite.

Run it: ``python examples/sql_sqlite.py``. It creates a database in memory, writes with literals and
with parameters, reads back a hostile file name unharmed, and prints each statement.
"""

import sqlite3
from typing import Any

from godropbox.database import sqlbuilder as sb

files = sb.Table(
    "files",
    sb.IntColumn("id"),
    sb.IntColumn("owner"),
    sb.StrColumn("name"),
    sb.IntColumn("size"),
)
f = files.c


def run(connection: sqlite3.Connection, statement: sb.Statement) -> list[tuple[Any, ...]]:
    """Print a statement with its parameters, and execute it."""
    text, parameters = statement.bind("main", "qmark", dialect="sqlite")
    print(text, parameters)
    return connection.execute(text, parameters).fetchall()


def main() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute(
        "CREATE TABLE files (id INTEGER PRIMARY KEY, owner INT, name TEXT, size INT)"
    )
    hostile = "x'); DROP TABLE files; --"

    insert = files.insert(f.id, f.owner, f.name, f.size)
    run(connection, insert.rows([(1, 7, "notes.txt", 120), (2, 7, hostile, 3), (3, 8, "a.jpg", 9)]))

    # Writing a row again updates it: MySQL's ON DUPLICATE KEY UPDATE is ON CONFLICT in SQLite.
    upsert = insert.conflict_target(f.id).on_duplicate_key_update(f.size, sb.values(f.size))
    run(connection, upsert.row(3, 8, "a.jpg", 4000))

    # A statement is a value: adding a clause to `mine` leaves `mine` unchanged.
    mine = files.select(f.name, f.size).where(f.owner == 7)
    print(run(connection, mine.order_by(sb.desc(f.size)).limit(10)))
    print(run(connection, mine.and_where(f.name == hostile)))

    total = sb.alias("total", sb.func("SUM", f.size))
    print(run(connection, files.select(f.owner, total).group_by(f.owner).order_by(total)))

    # Render once, fill many times.
    by_name = (
        files.select(f.id).where(f.name == sb.slot("name", str)).prepare("main", dialect="sqlite")
    )
    for name in ("notes.txt", hostile):
        print(by_name.sql(name=name), connection.execute(by_name.sql(name=name)).fetchall())

    # A DELETE without WHERE is an error.
    try:
        files.delete().sql("main", dialect="sqlite")
    except ValueError as error:
        print("refused:", error)
    connection.close()


if __name__ == "__main__":
    main()
