"""A fleet of databases with only Python's own SQLite: eight shards on two hosts, and a third later.

Run it: ``python examples/sharded_fleet_sqlite.py``. A host is a folder here, and a shard a file in
it, which every connection attaches. Rows are written and read where their owner lives, read from
all shards at once, and one shard is moved to the new host while threads write to it.
"""

import shutil
import sqlite3
import tempfile
import threading
from pathlib import Path

from godropbox.database import sharding
from godropbox.database import sqlbuilder as sb

SHARDS = 8

files = sb.Table("files", sb.IntColumn("owner"), sb.IntColumn("id"), sb.StrColumn("name"))
f = files.c

# Rendered once for each shard, filled at every call.
INSERT = sharding.prepare(
    files.insert(f.owner, f.id, f.name).row(
        sb.slot("owner", int), sb.slot("id", int), sb.slot("name", str)
    )
)
BY_OWNER = sharding.prepare(
    files.select(f.id, f.name).where(f.owner == sb.slot("owner", int)).order_by(f.id)
)
OF_OWNERS = sharding.prepare(
    files.select(f.owner, f.id)
    .where(f.owner.in_(sb.slot("owners", int, many=True)))
    .order_by(f.owner, f.id)
)


class Hosts:
    """Folders with a file for each shard; a real fleet has servers, and ``connect`` dials them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, host: str, shard: int) -> Path:
        (self.folder / host).mkdir(exist_ok=True)
        return self.folder / host / f"shard_{shard:04}.db"

    def connect(self, host: str) -> sqlite3.Connection:
        connection = sqlite3.connect(":memory:", check_same_thread=False, timeout=30)
        for shard in range(SHARDS):
            connection.execute(f"ATTACH '{self.path(host, shard)}' AS shard_{shard:04}")
        return connection


def move(router: sharding.ShardRouter, hosts: Hosts, shard: int, to: str) -> None:
    """Move a shard: no more writes, copy it, and then send everything to its new home."""
    old, new = router.layout.group_of(shard).master, router.layout.groups[to].master
    router.update(router.layout.read_only(shard))  # waits for writes that began before
    shutil.copy(hosts.path(old, shard), hosts.path(new, shard))
    router.update(router.layout.move(shard, to))
    hosts.path(old, shard).unlink()


def show(router: sharding.ShardRouter, hosts: Hosts) -> None:
    layout = router.layout
    for owner in (1, 5, 7):
        shard = layout.shard_of(owner)
        print(f"owner {owner} is on shard {shard} at {layout.group_of(shard).master}:", end=" ")
        print(router.fetch(BY_OWNER(owner=owner), owner))

    # One statement for each shard that has some of the owners, hosts side by side.
    print("of owners 1, 5 and 7:", router.scatter(OF_OWNERS, keys=[1, 5, 7]).rows())

    # ORDER BY and LIMIT are merged; what each shard counts, the caller adds up.
    last = files.select(f.owner, f.id).order_by(f.owner.desc(), f.id.desc()).limit(3)
    print("the last three:", router.scatter(last).rows())
    counts = router.scatter(files.select(sb.count()), merge=False).by_shard
    print("rows in all:", sum(rows[0][0] for rows in counts.values()))

    try:
        router.execute(INSERT(owner=7, id=1, name="again"), 7)
    except sharding.ConstraintError as error:
        print("refused:", error)


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    hosts = Hosts(folder)
    layout = sharding.Layout(
        SHARDS,
        {"one": sharding.HostGroup("db1"), "two": sharding.HostGroup("db2")},
        {"one": "0-3", "two": "4-7"},
    )
    with sharding.ShardRouter(layout, hosts.connect, "sqlite", read_only_wait=10.0) as router:
        router.each(
            lambda database: f"CREATE TABLE {database}.files (owner INT, id INT, name TEXT)"
        )
        router.each(lambda database: f"CREATE UNIQUE INDEX {database}.by_id ON files (owner, id)")
        for owner in range(10):
            with router.transaction(owner) as tx:
                for number in (1, 2):
                    tx.execute(INSERT(owner=owner, id=number, name=f"file '{number}'"))
        show(router, hosts)

        router.update(layout.with_group("three", sharding.HostGroup("db3")))
        shard = layout.shard_of(7)

        def write() -> None:
            for number in range(3, 40):
                router.execute(INSERT(owner=7, id=number, name="while it moves"), 7)

        writer = threading.Thread(target=write)
        writer.start()
        move(router, hosts, shard, "three")
        writer.join()
        found = router.run(BY_OWNER(owner=7), 7)
        print(f"after the move owner 7 is at {found.host} with {len(found.rows)} rows")
        print(router.layout.dumps())
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
