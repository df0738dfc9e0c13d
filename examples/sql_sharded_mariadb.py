"""Spread rows over MariaDB databases: a router finds the shard of each owner by hash2.

Run it against your server: ``python examples/sql_sharded_mariadb.py --port 3306 --user root``.
It needs PyMySQL, creates databases named ``godropbox_shard0`` and so on, and drops them at the end.

One server stands for two groups of hosts here, under two of its names: that is enough to move a
shard from one to the other. With servers of their own, a move copies the database between the two
updates: see ``move``. A Go fleet that hashes with godropbox finds the same rows.
"""

import argparse
from typing import Any

import pymysql

from godropbox.database import sharding
from godropbox.database import sqlbuilder as sb

SHARDS = 4

files = sb.Table(
    "files", sb.IntColumn("owner"), sb.IntColumn("id"), sb.StrColumn("name"), sb.IntColumn("size")
)
f = files.c

# Rendered once for each shard, filled at every call.
BY_OWNER = sharding.prepare(
    files.select(f.id, f.name).where(f.owner == sb.slot("owner", int)).order_by(f.id)
)

LAYOUT = sharding.Layout(
    SHARDS,
    {"one": sharding.HostGroup("db1"), "two": sharding.HostGroup("db2")},
    {"one": "0-1", "two": "2-3"},
    database="godropbox_shard{}",
)


def save(router: sharding.ShardRouter, rows: list[tuple[int, int, str, int]]) -> dict[int, int]:
    """Insert rows, one statement for each shard; return the number of rows by shard."""
    owners = router.layout.by_shard(row[0] for row in rows)
    insert = files.insert(f.owner, f.id, f.name, f.size)
    counts = {}
    for shard, mine in sorted(owners.items()):
        held = set(mine)
        statement = insert.rows([row for row in rows if row[0] in held])
        counts[shard] = router.run_on(statement, shard).rowcount
    return counts


def move(router: sharding.ShardRouter, shard: int, to: str) -> None:
    """Move a shard: no more writes, copy it, and then send everything to its new home."""
    router.update(router.layout.read_only(shard))  # waits for writes that began before
    # Here the database is copied to the master of `to`: replicate it beforehand, wait until the
    # new master has the old one's position, and this takes no longer than that wait.
    router.update(router.layout.move(shard, to))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3306)
    parser.add_argument("--user", default="root")
    parser.add_argument("--password", default="")
    given = parser.parse_args()

    def connect(host: str) -> Any:
        # A fleet of several servers dials `host`; here there is one.
        return pymysql.connect(
            host=given.host,
            port=given.port,
            user=given.user,
            password=given.password,
            charset="utf8mb4",
            connect_timeout=5,
        )

    with sharding.ShardRouter(LAYOUT, connect, "mariadb", read_only_wait=5.0) as router:
        router.each(lambda database: f"CREATE DATABASE {database}").rows()
        router.each(
            lambda database: (
                f"CREATE TABLE {database}.files "
                "(owner INT, id INT, name VARCHAR(99), size INT, PRIMARY KEY (owner, id))"
            )
        ).rows()
        try:
            show(router)
        finally:
            router.each(lambda database: f"DROP DATABASE {database}")


def show(router: sharding.ShardRouter) -> None:
    rows = [(owner, number, f"file '{number}'", 9) for owner in range(40) for number in (1, 2)]
    print("rows per shard:", save(router, rows))
    for owner in (0, 7, 39):
        found = router.run(BY_OWNER(owner=owner), owner)
        print(f"owner {owner} on shard {found.shard}:", found.rows)

    # A transaction is on one shard.
    with router.transaction(7) as tx:
        tx.execute(files.update().values(size=10).where((f.owner == 7) & (f.id == 1)))
        tx.execute(files.delete().where((f.owner == 7) & (f.id == 2)))

    # All shards at once: rows come merged, but what each counts the caller adds up.
    largest = files.select(f.size, f.owner, f.id).order_by(f.size.desc(), f.owner, f.id).limit(3)
    print("the largest:", router.scatter(largest).rows())
    counts = router.scatter(files.select(sb.count()), merge=False).by_shard
    print("rows in all:", sum(found[0][0] for found in counts.values()))

    shard = router.layout.shard_of(7)
    there = "two" if router.layout.home(shard) == "one" else "one"
    move(router, shard, there)
    print(f"shard {shard} moved to {there}: {router.fetch(BY_OWNER(owner=7), 7)}")


if __name__ == "__main__":
    main()
