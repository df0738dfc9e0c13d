"""Prints how soon a key is gone after a commit: ``python -P bench/invalidation_lag.py``.

MariaDB writes its log, threads commit at a rate, and a process of its own follows the log and
deletes the key of each row. The lag is from when the commit returned to when memcached had no value
any more, which a thread asks it for without a pause; to the time at which it began to ask so when
the key was gone already, which the last column counts. Rows of the table: keys that are deleted
once, when the log says so; and with ``Committed``, which waits until others see the transaction.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

# Last, so that an installed package comes before the one in the tree.
sys.path.append(str(Path(__file__).resolve().parent.parent))
sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

import pymysql
from support.logservers import LogServer
from support.memcached import running

from godropbox import IMPLEMENTATION
from godropbox.caching.binlog import Applied, Committed, InvalidationOptions, Invalidator
from godropbox.database import binlog
from godropbox.memcache import Client

WRITERS = 4
KEYS = 1000


def follow(socket: str, address: str, is_committed: str) -> None:
    """Follow the log, in a process of its own."""
    options = InvalidationOptions(repeat_after=0)

    def connect() -> Any:
        return pymysql.connect(unix_socket=socket, user="root", autocommit=True)

    committed = Committed(connect) if is_committed else None
    invalidator = Invalidator(Client([address]), {"lag.t": "t:{id}"}, options, committed=committed)
    with binlog.connect(socket, user="root", **invalidator.wanted) as events:
        print("ready", flush=True)
        invalidator.run(events)


@contextmanager
def following(server: LogServer, address: str, is_committed: bool) -> Iterator[None]:
    code = (
        f"import sys; sys.path.extend({sys.path[-2:]!r}); "
        "from bench.invalidation_lag import follow; follow(*sys.argv[1:])"
    )
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", code, server.socket, address, "1" if is_committed else ""],
        stdout=subprocess.PIPE,
        env=dict(os.environ),
    )
    assert process.stdout is not None
    try:
        if process.stdout.readline() != b"ready\n":
            raise RuntimeError("the process that follows the log did not start")
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class Writer(threading.Thread):
    """Commits at a rate, and asks for the key of each row until it is gone."""

    def __init__(
        self, server: LogServer, address: str, number: int, rate: float, sampled: float
    ) -> None:
        super().__init__()
        self._server = server
        self._client = Client([address])
        self._number = number
        self._rate = rate
        self._every = max(round(rate / sampled), 1)
        self.over = threading.Event()
        self.commits = 0
        self.lags: list[float] = []
        self.gone = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            with self._server.connection() as connection, connection.cursor() as cursor:
                self._write(cursor)
        except BaseException as error:
            self.error = error

    def _write(self, cursor: Any) -> None:
        due = time.perf_counter()
        while not self.over.is_set():
            row = self._number + WRITERS * (self.commits * 7 % (KEYS // WRITERS))
            is_sampled = self.commits % self._every == 0
            if is_sampled:
                self._client.set(f"t:{row}", "old")
            cursor.execute("UPDATE lag.t SET n = n + 1 WHERE id = %s", (row,))
            done = time.perf_counter()
            self.commits += 1
            if is_sampled:
                asked = 0
                while self._client.get(f"t:{row}") is not None:
                    asked += 1
                    if time.perf_counter() - done > 60:
                        raise RuntimeError(f"t:{row} is still there after a minute")
                self.lags.append(time.perf_counter() - done)
                self.gone += not asked
            due += 1 / self._rate
            pause = due - time.perf_counter()
            if pause > 0:
                time.sleep(pause)


def measured(server: LogServer, address: str, rate: float, seconds: float) -> str:
    writers = [Writer(server, address, number, rate / WRITERS, 25) for number in range(WRITERS)]
    began = time.perf_counter()
    for writer in writers:
        writer.start()
    time.sleep(seconds)
    for writer in writers:
        writer.over.set()
    for writer in writers:
        writer.join()
        if writer.error is not None:
            raise writer.error
    taken = time.perf_counter() - began
    lags = [lag for writer in writers for lag in writer.lags]
    cuts = statistics.quantiles(lags, n=100)
    commits = sum(writer.commits for writer in writers) / taken
    gone = sum(writer.gone for writer in writers) / len(lags)
    return (
        f"{commits:9,.0f} | {len(lags):7,} | {cuts[49] * 1000:6.2f} ms | "
        f"{cuts[98] * 1000:6.2f} ms | {gone:12.0%}"
    )


def early(server: LogServer, seconds: float) -> str:
    """Count the events that come before others see their transaction."""
    over = threading.Event()

    def write(row: int) -> None:
        with server.connection() as connection, connection.cursor() as cursor:
            while not over.wait(0.004):
                cursor.execute("UPDATE lag.t SET n = n + 1 WHERE id = %s", (row,))

    threads = [threading.Thread(target=write, args=(row,)) for row in range(WRITERS)]
    events = found = 0
    longest = 0.0
    with (
        server.connection() as connection,
        connection.cursor() as cursor,
        binlog.connect(server.socket, user="root", tables=["lag.t"]) as log,
    ):
        for thread in threads:
            thread.start()
        until = time.monotonic() + seconds
        for event in log:
            if isinstance(event, binlog.Rows):
                events += 1
                began = time.perf_counter()
                (_, (row, new)) = event.rows[0]
                tries = 0
                while True:
                    cursor.execute("SELECT n FROM lag.t WHERE id = %s", (row,))
                    if cursor.fetchone()[0] >= new:
                        break
                    tries += 1
                if tries:
                    found += 1
                    longest = max(longest, time.perf_counter() - began)
            if time.monotonic() > until:
                break
        over.set()
        for thread in threads:
            thread.join()
    return (
        f"{found:,} of {events:,} events came before others saw their transaction, by up to "
        f"{longest * 1000:.2f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=float, default=1000, help="commits a second")
    parser.add_argument("--seconds", type=float, default=10, help="for each row")
    given = parser.parse_args()
    with ExitStack() as stack:
        server = stack.enter_context(LogServer("mariadb", 1, "--sync-binlog=1"))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gdbx-")))
        address = stack.enter_context(running("tcp", folder)).address
        with server.connection() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE lag")
            cursor.execute("CREATE TABLE lag.t (id INT PRIMARY KEY, n INT)")
            rows = ",".join(f"({number}, 0)" for number in range(KEYS))
            cursor.execute(f"INSERT INTO lag.t VALUES {rows}")
        print(f"{IMPLEMENTATION}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}\n")
        print("| deletes            | commits/s | samples | median    | 99th      | gone at once |")
        print("| ------------------ | --------- | ------- | --------- | --------- | ------------ |")
        for is_committed in (False, True):
            with following(server, address, is_committed):
                with server.connection() as connection, connection.cursor() as cursor:
                    cursor.execute("UPDATE lag.t SET n = 1 WHERE id = 1")
                    cursor.execute("SELECT @@last_gtid")
                    Applied(Client([address])).wait_for(cursor.fetchone()[0], 60)
                label = "with ``Committed``" if is_committed else "once"
                print(f"| {label:18} | {measured(server, address, given.rate, given.seconds)} |")
        print(f"\n{early(server, given.seconds)}")


if __name__ == "__main__":
    main()
