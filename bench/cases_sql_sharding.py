"""A row of a sharded fleet of databases: which shard, a connection, the statement, and its row.

The floor is written by hand: a modulo, a list of idle connections under a lock, a cursor, and text
made in advance. It has no deadline, no replicas, no checks, and loses a connection where anything
is raised. The database is SQLite in memory, so that nothing is left but the way to it.

Right is that each owner's row comes back from the shard that the layout names.
"""

import sqlite3
import threading
from typing import Any

from .model import AtMost, Case, Group, Names, Row, WrongError
from .ours import PURE, load

__all__ = ["GROUPS"]

SHARDS = 8
OWNERS = range(200)


def connect(host: str) -> sqlite3.Connection:
    """Return a connection of its own to databases in memory, with a row for each owner."""
    connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    for shard in range(SHARDS):
        name = f"shard_{shard:04}"
        connection.execute(f"ATTACH ':memory:' AS {name}")
        connection.execute(f"CREATE TABLE {name}.files (owner INTEGER PRIMARY KEY, name TEXT)")
        rows = [(owner, f"{shard} {owner}") for owner in OWNERS]
        connection.executemany(f"INSERT INTO {name}.files VALUES (?, ?)", rows)
    return connection


class Host:
    """Idle connections to a host."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.idle = [connect("")]


def floor_names(_: Any) -> Names:
    hosts = [Host(), Host()]
    texts = [
        f"SELECT owner, name FROM shard_{shard:04}.files WHERE owner = ?" for shard in range(SHARDS)
    ]

    def fetch(owner: int) -> list[Any]:
        shard = owner % SHARDS
        host = hosts[shard // 4]
        with host.lock:
            connection = host.idle.pop()
        cursor = connection.cursor()
        cursor.execute(texts[shard], (owner,))
        rows = cursor.fetchall()
        cursor.close()
        with host.lock:
            host.idle.append(connection)
        return rows

    def close() -> None:
        for host in hosts:
            host.idle.pop().close()

    return {"owners": OWNERS, "fetch": fetch, "shard_of": lambda owner: owner % SHARDS} | {
        "close": close
    }


def ours_names(implementation: str, **options: Any) -> Names:
    sharding = load("database.sharding", implementation)
    sb = load("database.sqlbuilder", implementation)
    files = sb.Table("files", sb.IntColumn("owner"), sb.StrColumn("name"))
    groups = {"a": sharding.HostGroup("a"), "b": sharding.HostGroup("b")}
    layout = sharding.Layout(SHARDS, groups, {"a": "0-3", "b": "4-7"})
    router = sharding.ShardRouter(layout, connect, "sqlite", **options)
    by_owner = sharding.prepare(
        files.select(files.c.owner, files.c.name).where(files.c.owner == sb.slot("owner", int))
    )

    def built(owner: int) -> Any:
        return router.fetch(
            files.select(files.c.owner, files.c.name).where(files.c.owner == owner), owner
        )

    return {
        "owners": OWNERS,
        "router": router,
        "by_owner": by_owner,
        "built": built,
        "shard_of": layout.shard_of,
        "close": router.close,
    }


def row(label: str, expression: str, make: Any, **more: Any) -> Row:
    return Row(
        label,
        expression,
        make,
        loop="owner in owners",
        operations="len(owners)",
        check=is_right,
        **more,
    )


def is_right(result: Any, names: Names) -> None:
    wanted = [[(owner, f"{names['shard_of'](owner)} {owner}")] for owner in OWNERS]
    if result != wanted:
        raise WrongError(f"rows are {result[:3]}...")


PREPARED = "router.fetch(by_owner(owner=owner), owner)"

READ = Case(
    "a row by its key",
    (
        row("by hand", "fetch(owner)", floor_names, kind="floor"),
        row(
            "native",
            PREPARED,
            lambda _: ours_names("native"),
            kind="native",
            target=AtMost(3.0, "by hand"),
        ),
        row(
            "native, without a deadline",
            PREPARED,
            lambda _: ours_names("native", timeout=None),
            kind="native",
        ),
        row(
            "native, built each time", "built(owner)", lambda _: ours_names("native"), kind="native"
        ),
        row("pure", PREPARED, lambda _: ours_names("pure"), kind="pure", env=PURE),
    ),
    floor="by hand",
    about="SQLite in memory",
)

GROUPS = (
    Group(
        "sharding-sql",
        "Sharded SQL",
        "Reading one row from the shard that has it. The floor is a modulo, a list of connections "
        "and a cursor, by hand; over a network the difference is lost in the round trip.",
        "statement",
        (READ,),
    ),
)
