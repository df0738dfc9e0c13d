"""Spread rows over several MariaDB databases: hash2 chooses the shard from the owner.

Run it against your server: ``python examples/sql_sharded_mariadb.py --port 3306 --user root``.
It needs PyMySQL, creates databases named ``godropbox_shard0`` and so on, and drops them at the end.

A statement names its database only when it is rendered, so one statement serves every shard. A Go
fleet that hashes with godropbox finds the same rows.
"""

import argparse
from collections import defaultdict
from typing import Any

import pymysql

from godropbox import hash2
from godropbox.database import sqlbuilder as sb

SHARDS = 4

files = sb.Table(
    "files", sb.IntColumn("owner"), sb.IntColumn("id"), sb.StrColumn("name"), sb.IntColumn("size")
)
f = files.c

by_owner = files.select(f.id, f.name).where(f.owner == sb.slot("owner", int)).order_by(f.id)
# Render once per shard, fill once per call.
READS = [by_owner.prepare(f"godropbox_shard{shard}") for shard in range(SHARDS)]


def shard_of(owner: int) -> int:
    """Return an owner's shard, the same as in Go; a larger fleet moves few owners."""
    return hash2.consistent_hash(owner, SHARDS)


def database(shard: int) -> str:
    return f"godropbox_shard{shard}"


def execute(connection: Any, text: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(text)
        return list(cursor.fetchall())


def save(connection: Any, rows: list[tuple[int, int, str, int]]) -> dict[int, int]:
    """Insert rows, one statement per shard; return the number of rows per shard."""
    shards: dict[int, list[tuple[int, int, str, int]]] = defaultdict(list)
    for row in rows:
        shards[shard_of(row[0])].append(row)
    insert = files.insert(f.owner, f.id, f.name, f.size)
    for shard, mine in sorted(shards.items()):
        execute(connection, insert.rows(mine).sql(database(shard), tags={"job": "example"}))
    return {shard: len(mine) for shard, mine in sorted(shards.items())}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3306)
    parser.add_argument("--user", default="root")
    parser.add_argument("--password", default="")
    given = parser.parse_args()
    connection = pymysql.connect(
        host=given.host,
        port=given.port,
        user=given.user,
        password=given.password,
        charset="utf8mb4",
        autocommit=True,
    )
    for shard in range(SHARDS):
        execute(connection, f"CREATE DATABASE {database(shard)}")
        execute(
            connection,
            f"CREATE TABLE {database(shard)}.files "
            "(owner INT, id INT, name VARCHAR(99), size INT, PRIMARY KEY (owner, id))",
        )
    try:
        rows = [(owner, number, f"file '{number}'", 9) for owner in range(40) for number in (1, 2)]
        print("rows per shard:", save(connection, rows))
        for owner in (0, 7, 39):
            shard = shard_of(owner)
            text = READS[shard].sql(owner=owner)
            print(text)
            print(f"owner {owner} on shard {shard}:", execute(connection, text))

        # The same statement on every shard.
        count = files.select(sb.count())
        found = [execute(connection, count.sql(database(shard))) for shard in range(SHARDS)]
        print("rows in all:", sum(one[0][0] for one in found))
    finally:
        for shard in range(SHARDS):
            execute(connection, f"DROP DATABASE {database(shard)}")
        connection.close()


if __name__ == "__main__":
    main()
