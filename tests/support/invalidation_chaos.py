"""A cache that follows a server's log while everything is killed: no key may stay stale.

``PYTHONPATH=tests python -m support.invalidation_chaos SECONDS [SEED [WORD...]]`` prints what
happened; the words are ``gentle``, ``mysql`` instead of MariaDB, and ``threads`` or ``asyncio``,
for one driver alone. Threads write and read; a process follows the log, by another driver each
time. Now and then that process is killed, the database is killed and started again, its log rotated
and purged, a memcached stopped for a while or flushed. In the end all that is cached is compared
with what a SELECT says.
"""

import asyncio
import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pymysql

from godropbox.caching.binlog import (
    Applied,
    Committed,
    Generations,
    InvalidationOptions,
    Invalidator,
)
from godropbox.caching.binlog.aio import AsyncGenerations, AsyncInvalidator
from godropbox.database import binlog
from godropbox.database.binlog import aio
from godropbox.errors import DeadlineExceededError, DropboxError
from godropbox.memcache import Client
from godropbox.memcache.aio import AsyncClient
from support.logservers import LogServer
from support.memcached import Server, running

IDS = 40
REFRESH = 0.3
KEYS = {
    "shop.users": ["user:{id}", "name:{name}"],
    # Rows go with their users, of which MariaDB tells no more than the table.
    "shop.members": "members:{generation}:{user_id}",
}
_TABLES = (
    "CREATE TABLE shop.users (id INT PRIMARY KEY, name VARCHAR(20) NOT NULL, n INT NOT NULL)",
    "CREATE TABLE shop.members (id INT AUTO_INCREMENT PRIMARY KEY, user_id INT NOT NULL,"
    " FOREIGN KEY (user_id) REFERENCES shop.users (id) ON DELETE CASCADE)",
)
_LEAST = {"mariadb": "NO_LOG", "mysql": "MINIMAL"}
DRIVERS = ("threads", "asyncio")
_LOADS = {
    "user": "SELECT id, name, n FROM shop.users WHERE id = %s",
    "name": "SELECT id, n FROM shop.users WHERE name = %s ORDER BY id",
    "members": "SELECT id FROM shop.members WHERE user_id = %s ORDER BY id",
}


def client_of(addresses: list[str]) -> Client:
    return Client(addresses, timeout=0.5)


def follow(driver: str, socket: str, folder: str, seed: str, *addresses: str) -> None:
    """Follow the log: what the process does that is killed."""
    chance = random.Random(seed)
    options = InvalidationOptions(
        repeat_after=0.2, save_every=chance.choice([0, 0.2]), absent="forget"
    )
    committed = chance.choice([None, Committed(lambda: _connection(socket))])
    given: dict[str, Any] = {
        "user": "root",
        "schema": binlog.InformationSchema(lambda: _connection(socket)),
        "heartbeat": 1.0,
    }
    places = binlog.FilePositions(f"{folder}/place")
    if driver == "asyncio":
        asyncio.run(_follow_over_a_loop(socket, list(addresses), options, committed, given, places))
        return
    client = client_of(list(addresses))
    invalidator = Invalidator(
        client,
        KEYS,
        options,
        generations=Generations(client, refresh=REFRESH),
        committed=committed,
    )
    given |= invalidator.wanted
    while True:
        with contextlib.suppress(DropboxError, pymysql.Error):  # the database is away
            invalidator.follow(
                lambda position: binlog.connect(socket, position=position, **given), places
            )
        time.sleep(0.05)


async def _follow_over_a_loop(
    socket: str,
    addresses: list[str],
    options: InvalidationOptions,
    committed: Committed | None,
    given: dict[str, Any],
    places: binlog.FilePositions,
) -> None:
    async with AsyncClient(addresses, timeout=0.5) as client:
        invalidator = AsyncInvalidator(
            client,
            KEYS,
            options,
            generations=AsyncGenerations(client, refresh=REFRESH),
            committed=committed and (lambda *last: asyncio.to_thread(committed, *last)),
        )
        given |= invalidator.wanted
        while True:
            with contextlib.suppress(DropboxError, pymysql.Error):  # the database is away
                await invalidator.follow(
                    lambda position: aio.connect(socket, position=position, **given), places
                )
            await asyncio.sleep(0.05)


def _connection(socket: str) -> Any:
    return pymysql.connect(unix_socket=socket, user="root", charset="utf8mb4", autocommit=True)


class Chaos:
    """One run; `counts` says what happened."""

    def __init__(
        self,
        server: LogServer,
        caches: list[Server],
        folder: Path,
        seed: int,
        gentle: bool,
        drivers: tuple[str, ...],
    ) -> None:
        self.server = server
        self.caches = caches
        self.folder = folder
        self.chance = random.Random(seed)
        self.gentle = gentle
        self.drivers = itertools.cycle(drivers)
        self.counts: Counter[str] = Counter()
        self.written = threading.Event()  # no more writes
        self.over = threading.Event()  # no more reads
        self.addresses = [cache.address for cache in caches]
        self.client = client_of(self.addresses)
        self.patient = Client(self.addresses, timeout=30)  # which no busy machine discourages
        self.generations = Generations(self.client, refresh=REFRESH)
        self.process: subprocess.Popen[bytes] | None = None
        self.errors: list[BaseException] = []
        with server.connection() as connection, connection.cursor() as cursor:
            for statement in _TABLES:
                cursor.execute(statement)

    # The process that follows

    def begin(self) -> None:
        driver, seed = next(self.drivers), str(self.chance.random())
        arguments = [driver, self.server.socket, str(self.folder), seed]
        code = "import sys; from support.invalidation_chaos import follow; follow(*sys.argv[1:])"
        with (self.folder / "worker").open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, *arguments, *self.addresses],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                stdout=out,
                stderr=out,
            )

    def kill(self) -> None:
        """Kill the process: most times when it has begun to work, else at once."""
        if self.process is not None and self.chance.random() < 0.7:
            with contextlib.suppress(DropboxError, pymysql.Error):
                self.wait(10)
        process, self.process = self.process, None
        if process is not None:
            if process.poll() is not None:
                raise RuntimeError((self.folder / "worker").read_text()[-3000:])
            process.kill()
            process.wait()
            self.counts["invalidators killed"] += 1

    # Threads

    def write(self, seed: int) -> None:
        chance = random.Random(seed)
        self._with_connection(lambda cursor: self._one_write(cursor, chance), self.written)

    def _one_write(self, cursor: Any, chance: random.Random) -> None:
        user, name = chance.randrange(IDS), f"n{chance.randrange(IDS)}"
        what = chance.random()
        if what < 0.35:
            cursor.execute("UPDATE shop.users SET n = n + 1 WHERE id = %s", (user,))
        elif what < 0.5:
            cursor.execute("UPDATE shop.users SET name = %s WHERE id = %s", (name, user))
        elif what < 0.75:
            cursor.execute("INSERT IGNORE INTO shop.users VALUES (%s, %s, 0)", (user, name))
        elif what < 0.85:
            cursor.execute(
                "INSERT IGNORE INTO shop.members (user_id) SELECT id FROM shop.users WHERE id = %s",
                (user,),
            )
        elif what < 0.95:
            cursor.execute("DELETE FROM shop.users WHERE id = %s", (user,))
        elif what < 0.996:
            cursor.execute("UPDATE shop.users SET n = n + 1 WHERE id < 10")
        elif what < 0.998:
            cursor.execute("TRUNCATE shop.members")
        else:
            cursor.execute("SET binlog_format = 'STATEMENT'")
            cursor.execute("UPDATE shop.users SET n = 0")
            cursor.execute("SET binlog_format = 'ROW'")
        self.counts["writes"] += 1
        time.sleep(chance.random() * 0.002)

    def read(self, seed: int) -> None:
        chance = random.Random(seed)
        self._with_connection(lambda cursor: self._one_read(cursor, chance), self.over)

    def _one_read(self, cursor: Any, chance: random.Random) -> None:
        kind = chance.choice(["user", "user", "name", "members"])
        number = chance.randrange(IDS)
        value: Any = f"n{number}" if kind == "name" else number

        def load() -> Any:
            self.counts["loads"] += 1
            cursor.execute(_LOADS[kind], (value,))
            rows = cursor.fetchall()
            time.sleep(chance.choice([0, 0, 0, 0.01]))
            return repr(rows)

        try:
            self.client.get_or_set(self.key(kind, value), load, 600, lease_time=2, wait=3)
            self.counts["reads"] += 1
        except DropboxError:
            self.counts["reads failed"] += 1

    def key(self, kind: str, value: Any) -> str:
        if kind == "members":
            return f"members:{self.generations.of('shop.members')}:{value}"
        return f"{kind}:{value}"

    def _with_connection(self, act: Callable[[Any], None], over: threading.Event) -> None:
        while not over.is_set():
            try:
                with self.server.connection() as connection, connection.cursor() as cursor:
                    while not over.is_set():
                        act(cursor)
            except pymysql.Error:
                over.wait(0.02)
            except BaseException as error:
                self.errors.append(error)
                raise

    # Mishaps

    def mishap(self) -> None:
        acts = [self.kill_invalidator, self.rotate, self.purge, self.kill_server]
        if not self.gentle:
            acts += [self.kill_invalidator, self.stop_cache, self.flush_cache]
        self.chance.choice(acts)()

    def kill_invalidator(self) -> None:
        self.kill()
        time.sleep(self.chance.random() * 0.3)
        self.begin()

    def rotate(self) -> None:
        with self.server.connection() as connection, connection.cursor() as cursor:
            cursor.execute("FLUSH BINARY LOGS")
        self.counts["logs rotated"] += 1

    def purge(self) -> None:
        """Purge the log of what nobody follows."""
        self.kill()
        time.sleep(self.chance.random() * 0.3)
        with self.server.connection() as connection, connection.cursor() as cursor:
            cursor.execute("FLUSH BINARY LOGS")
            cursor.execute("SHOW BINARY LOGS")
            cursor.execute("PURGE BINARY LOGS TO %s", (cursor.fetchall()[-1][0],))
        self.counts["logs purged"] += 1
        self.begin()

    def kill_server(self) -> None:
        self.server.kill()
        time.sleep(self.chance.random() * 0.2)
        self.server.start()
        self.counts["databases killed"] += 1

    def stop_cache(self) -> None:
        process = self.chance.choice(self.caches).process
        process.send_signal(signal.SIGSTOP)
        try:
            time.sleep(self.chance.random() * 1.5)
        finally:
            process.send_signal(signal.SIGCONT)
        self.counts["memcached stopped"] += 1

    def flush_cache(self) -> None:
        with contextlib.suppress(DropboxError):
            self.client.flush_all()
        self.counts["memcached flushed"] += 1

    # The run

    def run(self, seconds: float) -> list[str]:
        """Run, and return what is stale in the end."""
        threads = [
            threading.Thread(target=act, args=(number,))
            for number, act in enumerate([self.write] * 2 + [self.read] * 3)
        ]
        self.begin()
        for thread in threads:
            thread.start()
        try:
            until = time.monotonic() + seconds
            if self.gentle:
                for act in (self.kill_server, self.kill_invalidator, self.rotate, self.purge):
                    act()
                    time.sleep(seconds / 4)
            while time.monotonic() < until:
                time.sleep(self.chance.random())
                self.mishap()
            self.written.set()
            for thread in threads[:2]:
                thread.join()
            self.wait(120)
        finally:
            self.written.set()
            self.over.set()
            for thread in threads:
                thread.join()
        if self.errors:
            raise self.errors[0]
        return self.stale()

    def wait(self, seconds: float) -> None:
        """Wait until all is applied that is in the log now."""
        with self.server.connection() as connection, connection.cursor() as cursor:
            name = "gtid_binlog_pos" if self.server.is_mariadb else "gtid_executed"
            cursor.execute(f"SELECT @@global.{name}")
            (row,) = cursor.fetchall()
        began = time.monotonic()
        if not Applied(self.patient).wait_for(row[0], seconds):
            text = (self.folder / "worker").read_text()[-3000:]
            raise DeadlineExceededError(f"{row[0]} is not applied after {seconds} s: {text}")
        self.counts["ms until all was applied"] = round((time.monotonic() - began) * 1000)

    def stale(self) -> list[str]:
        """Compare what is cached with what is stored."""
        found = []
        with self.server.connection() as connection, connection.cursor() as cursor:
            for kind in _LOADS:
                for number in range(IDS):
                    value: Any = f"n{number}" if kind == "name" else number
                    cached = self.patient.get(self.key(kind, value))
                    cursor.execute(_LOADS[kind], (value,))
                    rows = repr(cursor.fetchall())
                    self.counts["cached in the end"] += cached is not None
                    if cached not in (None, rows):
                        found.append(f"{kind}:{value} is {cached}, and {rows} in the storage")
        return found

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.client.close()
        self.patient.close()


def run(
    seconds: float,
    seed: int,
    kind: str = "mariadb",
    gentle: bool = False,
    drivers: tuple[str, ...] = DRIVERS,
) -> Chaos:
    """Run for some seconds; raise for what is stale."""
    options = ("--sync-binlog=1", f"--binlog-row-metadata={_LEAST[kind]}")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gdbx-")))
        caches = [stack.enter_context(running("tcp", _made(folder / str(n)))) for n in range(2)]
        server = stack.enter_context(LogServer(kind, 1, *options))
        chaos = Chaos(server, caches, folder, seed, gentle, drivers)
        stack.callback(chaos.close)
        stale = chaos.run(seconds)
        if stale:
            raise AssertionError("\n".join(stale))
        return chaos


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    seconds, *rest = sys.argv[1:]
    number = int(rest[0]) if rest else random.randrange(10**6)
    print("seed", number, flush=True)
    chosen: dict[str, Any] = {
        "kind": "mysql" if "mysql" in rest else "mariadb",
        "gentle": "gentle" in rest,
        "drivers": tuple(word for word in rest if word in DRIVERS) or DRIVERS,
    }
    counts = run(float(seconds), number, **chosen).counts
    for label, count in sorted(counts.items()):
        print(f"{count:9,}  {label}")
    print("        0  stale")
