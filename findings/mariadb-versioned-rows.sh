#!/usr/bin/env bash
# MariaDB 10.11: in the row events of a system-versioned table an UPDATE ends with an insert of the old row,
# a DELETE is an update, and cleaning the history deletes rows whose keys are in use.
#
# A table WITH SYSTEM VERSIONING keeps its past rows in itself, and the binary log has each of them. An
# UPDATE is logged as an update, and then as WRITE_ROWS of the row as it was, under the same primary key; a
# DELETE as UPDATE_ROWS that changes nothing but row_end, a column that SELECT * does not show; DELETE HISTORY as
# DELETE_ROWS of past rows, with keys of rows that live. A follower (a cache, a search index, a copy in
# another database) that sets a row at an insert or update and drops it at a delete has the old value
# after each UPDATE, keeps what is deleted, and drops what is there. Nothing marks such a table in the
# log but the two columns. Take a row event of it for what it says about the present only where row_end
# is the greatest timestamp, and an update to any other row_end for a delete. That is 2038-01-19
# 03:14:07.999999 UTC, and 2106-02-07 06:28:15.999999 in 11.5 and later, where mysql-replication gives 1969-12-31.
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
from pymysqlreplication.row_event import DeleteRowsEvent, UpdateRowsEvent, WriteRowsEvent

SERVER = {"host": "127.0.0.1", "port": int(sys.argv[1]), "user": "root", "password": ""}
EXPECTED = {
    "": (["Write 1 new", "Write 2 new", "Write 3 new"], {1: "new", 2: "new", 3: "new"}),
    "UPDATE": (["Update 1 newer", "Write 1 new"], {1: "new", 2: "new", 3: "new"}),
    "DELETE": (["Update 2 new"], {1: "new", 2: "new", 3: "new"}),
    "DELETE HISTORY": (["Delete 1 new", "Delete 2 new"], {3: "new"}),
}

connection = pymysql.connect(**SERVER, autocommit=True)
cursor = connection.cursor()
cursor.execute("SELECT VERSION()")
print("MariaDB", *cursor.fetchone())
cursor.execute("CREATE DATABASE d")
cursor.execute("CREATE TABLE d.t (id INT PRIMARY KEY, name TEXT) WITH SYSTEM VERSIONING")
copy = {}


def followed(statement: str) -> list[str]:
    """Run a statement, note its row events, and keep the copy as a simple follower does."""
    cursor.execute("SHOW MASTER STATUS")
    file, position = cursor.fetchone()[:2]
    cursor.execute(statement)
    reader = BinLogStreamReader(
        connection_settings=SERVER,
        server_id=99,
        log_file=file,
        log_pos=position,
        resume_stream=True,
        only_events=[WriteRowsEvent, UpdateRowsEvent, DeleteRowsEvent],
    )
    seen = []
    for event in reader:
        kind = type(event).__name__.removesuffix("RowsEvent")
        for row in event.rows:
            values = row["after_values" if kind == "Update" else "values"]
            seen.append(f"{kind} {values['id']} {values['name']}")
            if kind == "Delete":
                copy.pop(values["id"], None)
            else:
                copy[values["id"]] = values["name"]
    reader.close()
    return seen


for statement, name in [
    ("INSERT INTO d.t VALUES (1, 'new'), (2, 'new'), (3, 'new')", ""),
    ("UPDATE d.t SET name = 'newer' WHERE id = 1", "UPDATE"),
    ("DELETE FROM d.t WHERE id = 2", "DELETE"),
    ("DELETE HISTORY FROM d.t", "DELETE HISTORY"),
]:
    seen = followed(statement)
    cursor.execute("SELECT * FROM d.t ORDER BY id")
    print(f"{statement}\n  events: {', '.join(seen)}\n  the table: {dict(cursor.fetchall())}; a copy: {copy}")
    if (seen, copy) != EXPECTED[name]:
        raise SystemExit(f"this has changed, expected {EXPECTED[name]}")
connection.close()
PYTHON
echo "as it was: a follower of a system-versioned table ends with the past"
