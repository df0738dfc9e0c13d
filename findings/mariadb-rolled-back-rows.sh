#!/usr/bin/env bash
# MariaDB 10.11: rows of InnoDB that were rolled back are in the binary log if their transaction made a
# temporary table, if they are behind a savepoint beside a MyISAM table, and if they were prepared by XA.
#
# One expects a log of what was committed: a transaction is kept back until COMMIT, and a rollback drops it.
# But a transaction that did what cannot be undone is written whole, so that a replica does and undoes
# the same. One CREATE TEMPORARY TABLE is enough: the rows come as events, and then a statement, ROLLBACK or
# ROLLBACK TO, instead of XID. So does a savepoint if a table without transactions was written behind it (whose
# rows come first, in a transaction of their own). And an XA transaction comes at its PREPARE, with its end,
# XA COMMIT or XA ROLLBACK, as a transaction of its own, however much later. A reader that asks
# for row events alone, as most examples do, or that takes the next GTID for the end of a transaction,
# applies rows that never were. Keep rows until XID or COMMIT; drop them at ROLLBACK, those behind the savepoint
# at ROLLBACK TO; keep what ends in XA END until its own commit comes.
#
# Seen with: MariaDB 10.11.19 of Debian 12 (bookworm), mysql-replication 1.0.17, PyMySQL 1.2.4. By hand:
# MariaDB 11.8.9 the same.
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
import sys

import pymysql
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.event import QueryEvent, XidEvent
from pymysqlreplication.row_event import WriteRowsEvent

SERVER = {"host": "127.0.0.1", "port": int(sys.argv[1]), "user": "root", "password": ""}
TEMPORARY = "CREATE TEMPORARY TABLE d.scratch (id INT)"

connection = pymysql.connect(**SERVER, autocommit=True)
cursor = connection.cursor()
cursor.execute("SELECT VERSION()")
print("MariaDB", *cursor.fetchone())
cursor.execute("CREATE DATABASE d")
cursor.execute("CREATE TABLE d.t (id INT PRIMARY KEY) ENGINE=InnoDB")
cursor.execute("CREATE TABLE d.plain (id INT PRIMARY KEY) ENGINE=MyISAM")


def logged(statements: list[str]) -> list[str]:
    """Run statements, and return what the log has of them."""
    cursor.execute("SHOW MASTER STATUS")
    file, position = cursor.fetchone()[:2]
    for statement in statements:
        cursor.execute(statement)
    reader = BinLogStreamReader(
        connection_settings=SERVER,
        server_id=99,
        log_file=file,
        log_pos=position,
        resume_stream=True,
        only_events=[WriteRowsEvent, QueryEvent, XidEvent],
    )
    seen = []
    for event in reader:
        if isinstance(event, WriteRowsEvent):
            seen += [f"{event.table} {row['values']['id']}" for row in event.rows]
        elif isinstance(event, QueryEvent):
            seen.append(event.query.replace("`", ""))
        else:
            seen.append("XID")
    reader.close()
    return seen


def insert(number: int, table: str = "t") -> str:
    return f"INSERT INTO d.{table} VALUES ({number})"


for name, statements, expected in [
    ("a rollback", ["BEGIN", insert(1), "ROLLBACK"], []),
    (
        "a rollback to a savepoint",
        ["BEGIN", insert(2), "SAVEPOINT s", insert(3), "ROLLBACK TO s", "COMMIT"],
        ["t 2", "SAVEPOINT s", "XID"],
    ),
    (
        "a temporary table, and a rollback",
        ["BEGIN", insert(4), TEMPORARY, "ROLLBACK"],
        ["t 4", "ROLLBACK"],
    ),
    ("a rollback while that table is there", ["BEGIN", insert(5), "ROLLBACK"], []),
    (
        "a temporary table behind a savepoint",
        ["DROP TEMPORARY TABLE d.scratch", "BEGIN", insert(6), "SAVEPOINT s", insert(7), TEMPORARY]
        + ["ROLLBACK TO s", "COMMIT"],
        ["t 6", "SAVEPOINT s", "t 7", "ROLLBACK TO s", "XID"],
    ),
    (
        "a MyISAM table behind a savepoint",
        ["BEGIN", insert(8), "SAVEPOINT s", insert(9), insert(9, "plain"), "ROLLBACK TO s", "COMMIT"],
        ["plain 9", "COMMIT", "t 8", "SAVEPOINT s", "t 9", "ROLLBACK TO s", "XID"],
    ),
    (
        "XA PREPARE, and XA ROLLBACK",
        ["XA START 'x'", insert(10), "XA END 'x'", "XA PREPARE 'x'", "XA ROLLBACK 'x'"],
        ["t 10", "XA END X'78',X'',1", "XA ROLLBACK X'78',X'',1"],
    ),
]:
    seen = logged(statements)
    print(f"{name}: {', '.join(seen) or 'nothing'}")
    if seen != expected:
        raise SystemExit(f"this has changed, expected {expected}")
cursor.execute("SELECT id FROM d.t ORDER BY id")
there = [number for (number,) in cursor.fetchall()]
print("the table has", there)
if there != [2, 6, 8]:
    raise SystemExit("this has changed")
connection.close()
PYTHON
echo "as it was: rows that were rolled back are in the binary log"
