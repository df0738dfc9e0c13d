#!/usr/bin/env bash
# mysql-replication 1.0.17, started with auto_position (a GTID): after a lost connection it begins again
# where it was started; with a file and a position it goes on where it was.
#
# GTIDs are for readers that reconnect, so one expects the reader to know the last one that it gave.
# BinLogStreamReader reconnects by itself, and keeps log_file and log_pos at the last event for that; but
# auto_position stays what the caller passed. When a server restarts, a proxy closes an idle connection
# or a dump thread is killed, all events since the start of the process come once more, after two
# weeks those of two weeks. No error and no event says so, only a line "Re-request the connection" in the log,
# and values that are long overwritten come as new. Whoever follows with GTIDs has to note them
# (MariadbGtidEvent, GtidEvent), and to make a new reader when they go back; or to follow by file and position,
# where one server is enough.
#
# Seen with: mysql-replication 1.0.17, PyMySQL 1.2.4, MariaDB 10.11.19 of Debian 12 (bookworm). By hand: the same
# with MySQL 9.7.4.
# Needs: mariadb-server, python3 with venv, pip; writes into a temporary folder only.
set -euo pipefail

folder=$(mktemp -d)
user=()
if ((EUID == 0)); then
    chown mysql "$folder"
    user=(--user=mysql)
fi
server=
trap '[[ -z $server ]] || { kill "$server"; wait "$server" || true; }; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check mysql-replication==1.0.17 pymysql==1.2.4
mariadb-install-db --no-defaults --datadir="$folder/data" --auth-root-authentication-method=normal \
    "${user[@]}" >/dev/null
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
PATH=$PATH:/usr/sbin mariadbd --no-defaults --datadir="$folder/data" --socket="$folder/socket" \
    --bind-address=127.0.0.1 --port="$port" --pid-file="$folder/pid" --server-id=1 --log-bin \
    --binlog-format=ROW --binlog-row-metadata=FULL "${user[@]}" 2>"$folder/log" &
server=$!
for _ in {1..300}; do
    if [[ -S $folder/socket ]]; then break; fi
    sleep 0.2
done

timeout 120 "$folder/venv/bin/python" - "$port" <<'PYTHON'
import importlib.metadata
import logging
import sys
import time

import pymysql
from pymysql.constants import ER
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.row_event import WriteRowsEvent

SERVER = {"host": "127.0.0.1", "port": int(sys.argv[1]), "user": "root", "password": ""}

connection = pymysql.connect(**SERVER, autocommit=True)
cursor = connection.cursor()
cursor.execute("SELECT VERSION()")
print("mysql-replication", importlib.metadata.version("mysql-replication"), "MariaDB", *cursor.fetchone())
cursor.execute("CREATE DATABASE d")
cursor.execute("CREATE TABLE d.t (id INT PRIMARY KEY)")
cursor.execute("SELECT @@gtid_binlog_pos")
(gtid,) = cursor.fetchone()
cursor.execute("SHOW MASTER STATUS")
file, position = cursor.fetchone()[:2]
for number in range(1, 5):
    cursor.execute(f"INSERT INTO d.t VALUES ({number})")


def kill() -> None:
    """End the server's side of the reader's connection, and wait until it has ended."""
    for _ in range(400):
        cursor.execute("SELECT id FROM information_schema.processlist WHERE command = 'Binlog Dump'")
        if not (threads := cursor.fetchall()):
            return
        for (thread,) in threads:
            try:
                cursor.execute(f"KILL {thread}")
            except pymysql.OperationalError as error:
                if error.args[0] != ER.NO_SUCH_THREAD:
                    raise
        time.sleep(0.05)
    raise SystemExit("the server does not end the connection")


def read(last: int, **where: object) -> list[int]:
    """Read rows until the last, which is inserted when the connection was lost behind row 3."""
    reader = BinLogStreamReader(
        connection_settings=SERVER, server_id=99, blocking=True, only_events=[WriteRowsEvent], **where
    )
    seen: list[int] = []
    for event in reader:
        seen.append(event.rows[0]["values"]["id"])
        if seen == [1, 2, 3]:
            kill()
            cursor.execute(f"INSERT INTO d.t VALUES ({last})")
        if seen[-1] == last:
            break
    reader.close()
    return seen


logging.disable()
again = read(5, is_mariadb=True, auto_position=gtid)
print(f"auto_position, and a connection that is lost behind row 3: rows {again}")
# Row 4 may be in the client's socket when the connection ends: then it comes before them.
if again not in ([1, 2, 3, 1, 2, 3, 4, 5], [1, 2, 3, 4, 1, 2, 3, 4, 5]):
    raise SystemExit("this has changed")
once = read(6, log_file=file, log_pos=position, resume_stream=True)
print(f"log_file and log_pos, the same: rows {once}")
if once != [1, 2, 3, 4, 5, 6]:
    raise SystemExit("this has changed")
connection.close()
PYTHON
echo "as it was: auto_position begins again where it began"
