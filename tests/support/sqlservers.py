"""Private MariaDB, MySQL and PostgreSQL servers for the tests, and SQLite beside them.

``mariadb()``, ``mysql()`` and ``postgresql()`` start one server each for the whole test process,
in a temporary folder, on a free port of 127.0.0.1 and on a Unix socket, and stop it at exit.
Nothing of the machine's own servers or settings is read or touched. Where the server's package is
not installed they fail with the line to type.

``GODROPBOX_MARIADB`` and ``GODROPBOX_MYSQL`` name the folders of other servers' programs, such as
``/opt/mysql`` or what ``tests/databases`` unpacks. MySQL is in no Debian release, so without its
switch MariaDB stands for it.
"""

import atexit
import contextlib
import functools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pymysql

__all__ = [
    "Server",
    "connection_of",
    "has_mysql",
    "logged_mariadb",
    "logged_mysql",
    "mariadb",
    "mariadb_connection",
    "mysql",
    "mysql_connection",
    "mysql_like",
    "postgresql",
    "postgresql_connection",
]

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_OF_MYSQL = (
    "--skip-mysqlx",
    "--secure-file-priv=",  # Debian's folder for it is not here
    "--gtid-mode=ON",
    "--enforce-gtid-consistency=ON",
)
_NO_LOG = ("--skip-log-bin",)
_LOG = ("--log-bin=binlog", "--server-id=1", "--binlog-format=ROW")


class MissingServerError(RuntimeError):
    """A server's package is not installed; the message is the line to type."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: connect as `user`, without a password, to `port` or to `socket`."""

    user: str
    port: int
    socket: str
    pid: int


def _program(name: str, package: str, folders: list[str]) -> str:
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *folders]))
    if found is None:
        raise MissingServerError(f"{name} is not here: apt-get install {package}")
    return found


def _named_program(switch: str, name: str) -> str:
    """Return a program of the server whose folder the environment variable `switch` names."""
    folder = os.environ[switch]
    under = [f"{folder}/{part}" for part in ("bin", "sbin", "scripts")]
    found = shutil.which(name, path=os.pathsep.join([folder, *under]))
    if found is None:
        raise MissingServerError(f"{switch} must name a folder with {name}, got {folder}")
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _owner(account: str) -> dict[str, Any]:
    """Return how to start a program as `account`, which both servers want instead of root."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(account)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _folder(account: str) -> Path:
    # A short path, because a Unix socket's name has at most 107 bytes.
    path = Path(tempfile.mkdtemp(prefix="gdbx-", dir="/tmp"))
    owner = _owner(account)
    if owner:
        os.chown(path, owner["user"], owner["group"])
    return path


def _run(command: list[str], folder: Path, account: str) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        **_owner(account),
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stdout.decode(errors='replace')[-2000:]}")


def _stop(process: "subprocess.Popen[bytes]", folder: Path, how: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(how)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)


def _serve(
    command: list[str],
    folder: Path,
    account: str,
    how_to_stop: signal.Signals,
    ready: Callable[[], object],
) -> int:
    """Start a server, wait until `ready` does not raise, and return the process id."""
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            **_owner(account),
        )
    atexit.register(_stop, process, folder, how_to_stop)
    ticks = int(_START_SECONDS / 0.05)
    for _ in range(ticks):
        try:
            ready()
            return process.pid
        except (OSError, psycopg.Error):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
                break
    raise RuntimeError(f"{command[0]} did not start: {log.read_text(errors='replace')[-2000:]}")


@functools.cache
def mariadb() -> Server:
    """Return the MariaDB server of this process, started at the first call."""
    return _start_mariadb(_NO_LOG)[0]


@functools.cache
def logged_mariadb() -> tuple[Server, Path]:
    """Return a second MariaDB server, which writes binary logs, and the folder they are in."""
    return _start_mariadb(_LOG)


def _start_mariadb(options: tuple[str, ...]) -> tuple[Server, Path]:
    base = os.environ.get("GODROPBOX_MARIADB")
    if base:
        program = _named_program("GODROPBOX_MARIADB", "mariadbd")
        install = _named_program("GODROPBOX_MARIADB", "mariadb-install-db")
    else:
        program = _program("mariadbd", "mariadb-server", ["/usr/sbin", "/usr/local/sbin"])
        install = _program("mariadb-install-db", "mariadb-server", [])
    folder = _folder("mysql")
    data = f"--datadir={folder}/data"
    own = [f"--basedir={base}"] if base else []
    _run(
        [
            install,
            "--no-defaults",
            data,
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
            f"--tmpdir={folder}",
            *own,
        ],
        folder,
        "mysql",
    )
    command = [program, "--no-defaults", data, *own, *options]
    return _serve_mysql(command, folder), folder / "data"


@functools.cache
def mysql() -> Server:
    """Return the MySQL server of this process, started at the first call; or MariaDB for it."""
    if not has_mysql():
        return mariadb()
    return _start_mysql(_NO_LOG)[0]


@functools.cache
def logged_mysql() -> tuple[Server, Path]:
    """Return a second MySQL server, which writes binary logs, and the folder they are in."""
    return _start_mysql(_LOG)


def _start_mysql(options: tuple[str, ...]) -> tuple[Server, Path]:
    program = _named_program("GODROPBOX_MYSQL", "mysqld")
    folder = _folder("mysql")
    base = os.environ["GODROPBOX_MYSQL"]
    command = [program, "--no-defaults", f"--datadir={folder}/data", f"--basedir={base}"]
    _run([*command, "--initialize-insecure"], folder, "mysql")
    return _serve_mysql([*command, *_OF_MYSQL, *options], folder), folder / "data"


def has_mysql() -> bool:
    """Return whether ``mysql()`` is MySQL itself, and not MariaDB instead."""
    return bool(os.environ.get("GODROPBOX_MYSQL"))


def _serve_mysql(command: list[str], folder: Path) -> Server:
    """Start mysqld or mariadbd, whose data `folder` already holds."""
    port, path = _free_port(), f"{folder}/socket"
    options = [
        f"--socket={path}",
        f"--port={port}",
        f"--pid-file={folder}/pid",
        f"--tmpdir={folder}",
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        "--character-set-server=utf8mb4",
        "--innodb-buffer-pool-size=32M",
        "--innodb-flush-log-at-trx-commit=0",
        "--max-allowed-packet=64M",
    ]

    def ready() -> None:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_START_SECONDS)
            probe.connect(path)
            probe.recv(1)  # the first byte of the greeting

    pid = _serve([*command, *options], folder, "mysql", signal.SIGTERM, ready)
    return Server("root", port, path, pid)


@functools.cache
def postgresql() -> Server:
    """Return the PostgreSQL server of this process, started at the first call."""
    folders = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    program = _program("postgres", "postgresql", folders)
    initdb = _program("initdb", "postgresql", folders)
    folder = _folder("postgres")
    data = f"{folder}/data"
    _run(
        [initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"],
        folder,
        "postgres",
    )
    port = _free_port()
    options = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": str(folder),
        "fsync": "off",
    }
    command = [program, "-D", data, *(f"--{name}={text}" for name, text in options.items())]

    def ready() -> None:
        psycopg.connect(host=str(folder), port=port, user="postgres").close()

    pid = _serve(command, folder, "postgres", signal.SIGINT, ready)
    return Server("postgres", port, f"{folder}/.s.PGSQL.{port}", pid)


def mysql_connection(
    sql_mode: str = "", charset: str = "utf8mb4", database: str | None = None
) -> "AbstractContextManager[pymysql.Connection[Any]]":
    """Connect to MySQL in a sql_mode (the default one: STRICT_TRANS_TABLES and so on)."""
    return _connection(mysql(), sql_mode, charset, database)


def mariadb_connection(
    sql_mode: str = "", charset: str = "utf8mb4", database: str | None = None
) -> "AbstractContextManager[pymysql.Connection[Any]]":
    """Connect to MariaDB; the arguments are as in ``mysql_connection``."""
    return _connection(mariadb(), sql_mode, charset, database)


def mysql_like() -> list[str]:
    """Return the dialects of the servers of that kind: MariaDB's, and MySQL's where it is."""
    return ["mariadb", "mysql"] if has_mysql() else ["mariadb"]


def connection_of(
    dialect: str, database: str | None = None
) -> "AbstractContextManager[pymysql.Connection[Any]]":
    """Connect to MariaDB or to MySQL."""
    connect = mysql_connection if dialect == "mysql" else mariadb_connection
    return connect(database=database)


@contextlib.contextmanager
def _connection(
    server: Server, sql_mode: str, charset: str, database: str | None
) -> "Iterator[pymysql.Connection[Any]]":
    connection = pymysql.connect(
        unix_socket=server.socket,
        user=server.user,
        charset=charset,
        database=database,
        autocommit=True,
    )
    with connection, connection.cursor() as cursor:
        if sql_mode:
            cursor.execute(f"SET SESSION sql_mode = '{sql_mode}'")
        yield connection


@contextlib.contextmanager
def postgresql_connection() -> "Iterator[psycopg.Connection[Any]]":
    """Connect to PostgreSQL's own database, committing each statement."""
    server = postgresql()
    folder = str(Path(server.socket).parent)
    with psycopg.connect(
        host=folder, port=server.port, user=server.user, autocommit=True
    ) as connection:
        yield connection
