"""A fleet of MariaDB servers with shards: two groups, the first with two real replicas."""

import contextlib
import functools
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pymysql

from godropbox.database.sharding import HostGroup, Layout

from .logservers import LogServer

__all__ = ["MariaDBFleet", "mariadb_fleet"]

_SECONDS = 60.0


class _Copied(LogServer):
    """A server whose data are a copy of another's that never ran: to install takes seconds."""

    def __init__(self, model: LogServer, number: int, *options: str) -> None:
        self._model = model
        super().__init__("mariadb", number, *options)

    def _mariadb(self) -> list[str]:
        data = f"--datadir={self._model.folder}/data"
        subprocess.run(
            ["cp", "-a", f"{self._model.folder}/data", f"{self.folder}/data"], check=True
        )
        own = f"--datadir={self.folder}/data"
        return [own if part == data else part for part in self._model._command]


class MariaDBFleet:
    """Masters `a` and `b`, and `r1` and `r2` that replicate `a`, all running.

    A host's name is its place in ``servers``. Shards have the table ``files``; tests write with
    owners of their own.
    """

    def __init__(self, shards: int) -> None:
        names = ("a", "r1", "r2", "b")
        options = ("--gtid-strict-mode=1", "--log-slave-updates=1")
        first = LogServer("mariadb", 1, *options)
        made = [first, *[_Copied(first, number, *options) for number in (2, 3, 4)]]
        with ThreadPoolExecutor(4) as starting:
            found = list(starting.map(LogServer.start, made))
        self.servers: dict[str, LogServer] = dict(zip(names, found, strict=True))
        self.shards = shards
        half = shards // 2
        self.layout = Layout(
            shards,
            {"a": HostGroup("a", ("r1", "r2")), "b": HostGroup("b")},
            {"a": range(half), "b": range(half, shards)},
        )
        for name in ("a", "b"):
            self.servers[name].execute(
                *[f"CREATE DATABASE shard_{shard:04}" for shard in range(shards)],
                *[
                    f"CREATE TABLE shard_{shard:04}.files "
                    "(owner INT, id INT, name VARCHAR(40), PRIMARY KEY (owner, id))"
                    for shard in range(shards)
                ],
            )
        for name in ("r1", "r2"):
            self.replicate(name)

    def replicate(self, name: str) -> None:
        """Have a server follow `a` from the beginning of its log."""
        master = self.servers["a"]
        self.servers[name].execute(
            f"CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={master.port}, "
            "MASTER_USER='root', MASTER_CONNECT_RETRY=1, MASTER_USE_GTID=slave_pos",
            "START SLAVE",
        )

    def connect(self, host: str) -> "pymysql.Connection[Any]":
        return pymysql.connect(
            host="127.0.0.1",
            port=self.servers[host].port,
            user="root",
            charset="utf8mb4",
            connect_timeout=10,
        )

    def rows(self, host: str, shard: int) -> list[Any]:
        """Return what is in a host's shard."""
        return self.servers[host].execute(
            f"SELECT owner, id FROM shard_{shard:04}.files ORDER BY owner, id"
        )

    def copy(self, shard: int, old: str, new: str) -> None:
        """Copy a shard's rows to another host, and delete them where they were."""
        rows = self.servers[old].execute(f"SELECT * FROM shard_{shard:04}.files")
        with self.connect(new) as connection, connection.cursor() as cursor:
            cursor.executemany(f"INSERT INTO shard_{shard:04}.files VALUES (%s, %s, %s)", rows)
            connection.commit()
        self.servers[old].execute(f"DELETE FROM shard_{shard:04}.files")

    @contextlib.contextmanager
    def paused(self, host: str) -> Iterator[None]:
        """Have a replica apply nothing for a while."""
        self.servers[host].execute("STOP SLAVE SQL_THREAD")
        try:
            yield
        finally:
            self.servers[host].execute("START SLAVE SQL_THREAD")

    def close(self) -> None:
        for server in self.servers.values():
            server.__exit__()


def wait_until(condition: Any) -> None:
    """Wait until `condition()` is true."""
    deadline = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < deadline, condition
        time.sleep(0.01)


@functools.cache
def mariadb_fleet() -> MariaDBFleet:
    """Return the fleet of this process, started at the first call."""
    import atexit

    fleet = MariaDBFleet(8)
    atexit.register(fleet.close)
    return fleet
