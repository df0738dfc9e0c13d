"""Servers that keep binary logs: each in a folder of its own, to be killed and started again.

``LogServer("mariadb")`` and ``LogServer("mysql")`` are of the programs that ``sqlservers`` starts.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from typing import Any, Self

import pymysql

from . import sqlservers as servers

__all__ = ["LogServer", "has_tls_by_itself"]

_SECONDS = 60.0


class LogServer:
    """A server with a binary log in ROW format; ``root`` has no password, ``reader`` has one.

    `options` are more of the program's.
    """

    password = "pass'wort"

    def __init__(self, kind: str, server_id: int, *options: str) -> None:
        self.kind = kind
        self.is_mariadb = kind == "mariadb"
        self.port = servers._free_port()
        self.folder = servers._folder("mysql")
        self.socket = f"{self.folder}/socket"
        self._options = [f"--server-id={server_id}", *options]
        self._process: subprocess.Popen[bytes] | None = None
        self._command = self._mariadb() if self.is_mariadb else self._mysql()

    def _mariadb(self) -> list[str]:
        base = os.environ.get("GODROPBOX_MARIADB")
        if base:
            program = servers._named_program("GODROPBOX_MARIADB", "mariadbd")
            install = servers._named_program("GODROPBOX_MARIADB", "mariadb-install-db")
        else:
            program = servers._program("mariadbd", "mariadb-server", ["/usr/sbin"])
            install = servers._program("mariadb-install-db", "mariadb-server", [])
        own = [f"--datadir={self.folder}/data", *([f"--basedir={base}"] if base else [])]
        how = ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
        how.append(f"--tmpdir={self.folder}")  # as others may install at the same time
        servers._run([install, "--no-defaults", *own, *how], self.folder, "mysql")
        return [program, "--no-defaults", *own]

    def _mysql(self) -> list[str]:
        program = servers._named_program("GODROPBOX_MYSQL", "mysqld")
        base = os.environ["GODROPBOX_MYSQL"]
        own = [program, "--no-defaults", f"--datadir={self.folder}/data", f"--basedir={base}"]
        servers._run([*own, "--initialize-insecure"], self.folder, "mysql")
        gtids = ["--gtid-mode=ON", "--enforce-gtid-consistency=ON"]
        return [*own, "--skip-mysqlx", "--secure-file-priv=", *gtids]

    def start(self) -> Self:
        log = open(f"{self.folder}/log", "ab")  # noqa: SIM115  # the process has it
        command = [
            *self._command,
            f"--socket={self.socket}",
            f"--port={self.port}",
            f"--pid-file={self.folder}/pid",
            f"--tmpdir={self.folder}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--skip-replica-start" if not self.is_mariadb else "--skip-slave-start",
            "--log-bin=log",
            "--binlog-format=ROW",
            "--binlog-row-metadata=FULL",
            "--character-set-server=utf8mb4",
            "--innodb-buffer-pool-size=16M",
            "--innodb-flush-log-at-trx-commit=2",
            "--max-allowed-packet=64M",
            *self._options,
        ]
        with log:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                **servers._owner("mysql"),
            )
        deadline = time.monotonic() + _SECONDS
        while not self._is_ready():
            if time.monotonic() > deadline or self._process.poll() is not None:
                with open(f"{self.folder}/log", errors="replace") as told:
                    raise RuntimeError(f"{command[0]} did not start: {told.read()[-3000:]}")
            time.sleep(0.02)
        return self

    def _is_ready(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(_SECONDS)
                probe.connect(self.socket)
                return bool(probe.recv(1))
        except OSError:
            return False

    def prepare(self) -> Self:
        """Start, and make the account ``reader`` and a database."""
        self.start()
        every = "REPLICATION SLAVE, " + (
            "BINLOG MONITOR" if self.is_mariadb else "REPLICATION CLIENT"
        )
        with self.connection() as db, db.cursor() as cursor:
            cursor.execute("CREATE USER reader@'%%' IDENTIFIED BY %s", (self.password,))
            cursor.execute(f"GRANT {every} ON *.* TO reader@'%'")
            cursor.execute("CREATE DATABASE shop")
        return self

    def connection(self, charset: str = "utf8mb4") -> "pymysql.Connection[Any]":
        return pymysql.connect(
            unix_socket=self.socket, user="root", autocommit=True, charset=charset
        )

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Execute statements over one connection; return the rows of the last."""
        rows: Any = ()
        with self.connection() as db, db.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
                rows = cursor.fetchall()
        return list(rows)

    def kill(self) -> None:
        """End the server at once, as a crash does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Have the server end itself."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill_readers(self) -> int:
        """Kill the connections that send the log; return how many there were."""
        found = 0
        # MariaDB cuts the statements in it off after 100 bytes, inside of a character too.
        with self.connection("latin1") as db, db.cursor() as cursor:
            cursor.execute("SHOW PROCESSLIST")
            for row in cursor.fetchall():
                if str(row[4]).startswith("Binlog Dump"):
                    with contextlib.suppress(pymysql.Error):
                        cursor.execute(f"KILL {row[0]}")
                        found += 1
        return found

    def __enter__(self) -> Self:
        return self.prepare()

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def has_tls_by_itself(server: LogServer) -> bool:
    """Return whether it makes a certificate of its own that its passwords vouch for."""
    [(version,)] = server.execute("SELECT VERSION()")
    numbers = [int(part) for part in str(version).split("-")[0].split(".")[:2]]
    return server.is_mariadb and numbers >= [11, 4]
