"""Random transactions while a server and its reader are killed: no row is lost, none comes twice.

``PYTHONPATH=tests python -m support.log_chaos SERVER SECONDS [SEED [DRIVER]]`` says what happened.
SERVER is ``mariadb``, ``mysql``, or ``mysql-files`` for MySQL without GTIDs; DRIVER ``threads``,
``asyncio``, ``uvloop`` or ``any``, for another one after each kill.

Threads write. A process reads the log, and keeps the rows of each transaction and the place behind
it in one line of a file, its journal: so what it does with rows is done once if each is handed out
once. Now and then that process is killed, its connection is, or the server is and comes back. In
the end each row of the journal must fit on those before, and all of them make what SELECT says.
"""

import asyncio
import contextlib
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql

from godropbox.database import binlog
from godropbox.database.binlog import aio
from godropbox.errors import DropboxError
from support.aio import FACTORIES
from support.logservers import LogServer
from support.streams import KINDS

IDS = 60
TABLES = ("t0", "t1", "t2")
_OPTIONS = ("--max-binlog-size=1M", "--sync-binlog=0")
_WITHOUT_GTIDS = ("--gtid-mode=OFF", "--enforce-gtid-consistency=OFF")


def short(value: Any) -> Any:
    """Return a value as the journal has it: of a long text its length and sum."""
    if isinstance(value, str) and len(value) > 60:
        return f"{len(value)}:{zlib.crc32(value.encode())}"
    return value


def named(names: tuple[str, ...], image: tuple[Any, ...]) -> dict[str, Any]:
    """Return the columns that an image of a row has, by their names."""
    pairs = zip(names, image, strict=True)
    return {name: short(value) for name, value in pairs if value is not binlog.ABSENT}


# The reader


class Journal:
    """Rows and places, a line for each save; the end of one that was cut off is dropped."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a+b", buffering=0)
        self._rows: list[Any] = []  # of the transaction that goes on
        self._ended: list[Any] = []

    def load(self) -> Any:
        self._rows, self._ended = [], []
        size = self._file.seek(0, os.SEEK_END)
        at = max(size - (1 << 24), 0)
        self._file.seek(at)
        tail = self._file.read()
        whole = tail[: tail.rfind(b"\n") + 1]
        self._file.truncate(at + len(whole))
        if not whole:
            return None
        kind, *told = json.loads(whole[whole.rfind(b"\n", 0, -1) + 1 :])[0]
        if kind == "position":
            return binlog.Position(*told)
        return (binlog.GtidSet if kind == "mysql" else binlog.MariaDBGtidSet).parse(*told)

    def save(self, place: Any) -> None:
        if isinstance(place, binlog.Position):
            told: list[Any] = ["position", place.file, place.offset]
        else:
            told = ["mysql" if isinstance(place, binlog.GtidSet) else "mariadb", str(place)]
        line = json.dumps([told, self._ended]).encode() + b"\n"
        written = 0
        while written < len(line):
            written += self._file.write(line[written:])
        self._ended = []

    def note(self, event: binlog.Event) -> None:
        """Take an event."""
        if isinstance(event, binlog.Rows):
            names = event.columns
            assert names is not None
            for row in event.rows:
                images = row if event.kind == "update" else (row,)
                told = [named(names, image) for image in images]
                self._rows.append([event.table, event.kind, *told])
        elif isinstance(event, binlog.Changed):
            assert event.reason.startswith(("a statement: ALTER", "a statement: CREATE")), event
        elif isinstance(event, binlog.Query) and event.statement == "ROLLBACK":
            self._rows = []
        elif isinstance(event, binlog.Commit):
            self._ended += self._rows
            self._rows = []


def read(socket: str, path: str, driver: str) -> None:
    """Read the log into the journal, until killed."""
    journal = Journal(Path(path))
    given: dict[str, Any] = {
        "user": "root",
        "position": "start",
        "store": journal,
        "save_every": 0,
        "tables": [f"shop.{name}" for name in (*TABLES, "ledger")],
        "heartbeat": 0.5,
        "silence": 30.0,
        "connect_timeout": 30.0,
    }

    async def over_a_loop() -> None:
        async with aio.connect(socket, **given) as events:
            async for event in events:
                journal.note(event)

    while True:
        try:
            if driver != "threads":
                with asyncio.Runner(loop_factory=FACTORIES[driver]) as runner:
                    runner.run(over_a_loop())
            else:
                with binlog.connect(socket, **given) as events:
                    for event in events:
                        journal.note(event)
        except binlog.BinlogError:
            raise
        except DropboxError:  # the server is away when the reader begins
            time.sleep(0.05)


# What is written


class Writer:
    """Random transactions of one thread, each with a row of its own in the ledger."""

    def __init__(self, number: int, chance: random.Random, is_mariadb: bool) -> None:
        self._number = number
        self._count = itertools.count()
        self._chance = chance
        self._is_mariadb = is_mariadb

    def transaction(self, cursor: Any, counts: Counter[str]) -> None:
        """Make one."""
        chance = self._chance
        if chance.random() < 0.002:
            self._alter(cursor)
            counts["tables altered"] += 1
            return
        if not self._is_mariadb and chance.random() < 0.1:
            packs = chance.choice(["ON", "OFF"])
            cursor.execute(f"SET SESSION binlog_transaction_compression = {packs}")
        if chance.random() < 0.1:
            image = chance.choice(["FULL", "FULL", "NOBLOB", "MINIMAL"])
            cursor.execute(f"SET SESSION binlog_row_image = {image}")
        cursor.execute("BEGIN")
        cursor.execute("INSERT INTO shop.ledger VALUES (%s, %s)", (self._number, next(self._count)))
        for _ in range(chance.choice([1, 1, 1, 2, 3, 8])):
            if chance.random() < 0.1:
                cursor.execute("SAVEPOINT here")
                self._statement(cursor)
                cursor.execute("ROLLBACK TO here")
            self._statement(cursor)
        ends = "ROLLBACK" if chance.random() < 0.05 else "COMMIT"
        cursor.execute(ends)
        counts["transactions" if ends == "COMMIT" else "transactions rolled back"] += 1

    def _statement(self, cursor: Any) -> None:
        chance = self._chance
        table, row = f"shop.{chance.choice(TABLES)}", chance.randrange(IDS)
        body: Any = chance.choice(["é" * chance.randrange(30), "b" * 400, None])
        if chance.random() < 0.003:
            body = "long" * 300_000
        what = chance.random()
        if what < 0.4:
            cursor.execute(
                f"INSERT IGNORE INTO {table} (id, n, body) VALUES (%s, 0, %s)", (row, body)
            )
        elif what < 0.65:
            cursor.execute(f"UPDATE {table} SET n = n + 1 WHERE id = %s", (row,))
        elif what < 0.75:
            cursor.execute(f"UPDATE {table} SET n = n + 1, body = %s WHERE id = %s", (body, row))
        elif what < 0.8:
            cursor.execute(f"UPDATE {table} SET n = n + 1 WHERE id > %s LIMIT 20", (row,))
        else:
            cursor.execute(f"DELETE FROM {table} WHERE id = %s", (row,))

    def _alter(self, cursor: Any) -> None:
        """Add a column, or drop the one that is there."""
        table = self._chance.choice(TABLES)
        cursor.execute(
            "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = 'shop'"
            " AND table_name = %s AND column_name = 'more'",
            (table,),
        )
        place = self._chance.choice(["FIRST", "AFTER n", ""])
        change = "DROP COLUMN more" if cursor.fetchone()[0] else f"ADD COLUMN more INT {place}"
        cursor.execute(f"ALTER TABLE shop.{table} {change}")


# What is made of it


class Checker:
    """Holds the rows of a journal to those before; raises ``AssertionError``."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self.tables: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in TABLES}
        self.ledger: set[tuple[int, int]] = set()

    def take(self, table: str, kind: str, before: dict[str, Any], *after: dict[str, Any]) -> None:
        """Apply a row."""
        self._counts["rows"] += 1
        if table == "ledger":
            entry = before["writer"], before["number"]
            assert kind == "insert", f"{kind} of {entry}"
            assert entry not in self.ledger, f"{entry} comes twice"
            self.ledger.add(entry)
            return
        rows = self.tables[table]
        key = before["id"]
        told = f"{kind} of {table} {before}{after}"
        if kind == "insert":
            assert key not in rows, f"{told}: it is there"
            rows[key] = before
            return
        assert key in rows, f"{told}: it is not there"
        known = rows[key]
        for name, value in before.items():
            assert known.get(name) == value, f"{told}: it was {known}"
        if kind == "delete":
            del rows[key]
        else:
            [new] = after
            assert new["n"] == known["n"] + 1, f"{told}: it was {known}"
            rows[key] = {**known, **new}


class Chaos:
    """One run; `counts` says what happened."""

    def __init__(self, server: LogServer, folder: Path, seed: int, driver: str) -> None:
        self.server = server
        self.journal = folder / "journal"
        self.log = folder / "reader"
        self.chance = random.Random(seed)
        self.driver = driver
        self.counts: Counter[str] = Counter()
        self.over = threading.Event()
        self.errors: list[BaseException] = []
        self.process: subprocess.Popen[bytes] | None = None
        columns = "id INT PRIMARY KEY, n INT NOT NULL, body MEDIUMTEXT"
        server.execute(
            *(f"CREATE TABLE shop.{name} ({columns})" for name in TABLES),
            "CREATE TABLE shop.ledger (writer INT, number INT, PRIMARY KEY (writer, number))",
        )

    # The process that reads

    def begin(self) -> None:
        driver = self.chance.choice(KINDS) if self.driver == "any" else self.driver
        arguments = [self.server.socket, str(self.journal), driver]
        code = "import sys; from support.log_chaos import read; read(*sys.argv[1:])"
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, *arguments],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                stdout=out,
                stderr=out,
            )

    def kill(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            if process.poll() is not None:
                raise RuntimeError(self.log.read_text()[-3000:])
            process.kill()
            process.wait()

    # Mishaps

    def kill_reader(self) -> None:
        self.kill()
        self.counts["readers killed"] += 1
        self.begin()

    def kill_connection(self) -> None:
        with contextlib.suppress(pymysql.Error):
            self.counts["connections killed"] += self.server.kill_readers()

    def kill_server(self) -> None:
        self.server.kill()
        time.sleep(self.chance.random() * 0.2)
        self.server.start()
        self.counts["servers killed"] += 1
        self._pack()

    def _pack(self) -> None:
        if self.server.is_mariadb:
            self.server.execute(
                f"SET GLOBAL log_bin_compress = {self.chance.choice(['ON', 'OFF'])}"
            )

    # The run

    def write(self, number: int, seed: int) -> None:
        writer = Writer(number, random.Random(seed), self.server.is_mariadb)
        while not self.over.is_set():
            try:
                with self.server.connection() as connection, connection.cursor() as cursor:
                    while not self.over.is_set():
                        try:
                            writer.transaction(cursor, self.counts)
                        except pymysql.err.OperationalError as error:
                            if error.args[0] not in (1205, 1213):  # deadlocks
                                raise
                            cursor.execute("ROLLBACK")
            except pymysql.Error:
                self.over.wait(0.02)
            except BaseException as error:
                self.errors.append(error)
                raise

    def run(self, seconds: float) -> None:
        """Write and kill for so long, and check what was read."""
        seeds = [self.chance.randrange(10**9) for _ in range(2)]
        threads = [
            threading.Thread(target=self.write, args=(number, seed))
            for number, seed in enumerate(seeds)
        ]
        self._pack()
        self.begin()
        for thread in threads:
            thread.start()
        acts = [self.kill_reader, self.kill_connection, self.kill_server]
        try:
            for act in acts:  # each once, however short the run is
                time.sleep(min(1.0, seconds / 4))
                act()
            until = time.monotonic() + seconds
            while time.monotonic() < until and not self.errors:
                time.sleep(self.chance.random() * 1.5)
                self.chance.choice([self.kill_reader, self.kill_connection, *acts])()
        finally:
            self.over.set()
            for thread in threads:
                thread.join()
        if self.errors:
            raise self.errors[0]
        self._finish()
        self._check()

    def _finish(self) -> None:
        """Wait until the last transaction is in the journal."""
        self.server.execute("INSERT INTO shop.ledger VALUES (-1, 0)")  # by no writer
        deadline = time.monotonic() + 120
        while True:
            if b'{"writer": -1, "number": 0}' in self._newest():
                break
            assert self.process is not None
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the last row is not read: {self.log.read_text()[-3000:]}")
            time.sleep(0.02)
        self.kill()

    def _newest(self) -> bytes:
        """Return the end of the journal; nothing if no reader lived long enough to begin it."""
        if not self.journal.exists():
            return b""
        with self.journal.open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - 1000, 0))
            return file.read()

    def _check(self) -> None:
        checker = Checker(self.counts)
        with self.journal.open("rb") as lines:
            for line in lines:
                for table, kind, *images in json.loads(line)[1]:
                    checker.take(table, kind, *images)
        with self.server.connection() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT writer, number FROM shop.ledger")
            written = set(cursor.fetchall())
            assert written == checker.ledger, (
                f"{len(written ^ checker.ledger)} are lost or too many"
            )
            for table, rows in checker.tables.items():
                cursor.execute(f"SELECT id, n, body FROM shop.{table}")
                found = {row[0]: tuple(map(short, row)) for row in cursor.fetchall()}
                due = {key: (key, row["n"], row["body"]) for key, row in rows.items()}
                assert found == due, table
        self.counts["transactions read"] = len(written)

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def _running(kind: str) -> Iterator[LogServer]:
    name, _, files = kind.partition("-")
    with LogServer(name, 1, *_OPTIONS, *(_WITHOUT_GTIDS if files else ())) as server:
        yield server


def run(kind: str, seconds: float, seed: int, driver: str = "any") -> Counter[str]:
    """Run for some seconds; raise ``AssertionError`` for what is lost or comes twice."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gdbx-")))
        server = stack.enter_context(_running(kind))
        chaos = Chaos(server, folder, seed, driver)
        stack.callback(chaos.close)
        chaos.run(seconds)
        return chaos.counts


if __name__ == "__main__":
    server, seconds, *rest = sys.argv[1:]
    number = int(rest[0]) if rest else random.randrange(10**6)
    print("seed", number, flush=True)
    for label, count in sorted(run(server, float(seconds), number, *rest[1:]).items()):
        print(f"{count:9,}  {label}")
    print("        0  lost or twice")
