#!/usr/bin/env bash
# MariaDB 11.8 with binlog_row_image=FULL: the images of UPDATE and DELETE leave generated columns out, STORED
# ones and indexed ones too; those of INSERT have them, and so have all of 10.11.
#
# FULL is to say that every column is in both images of a row, and a STORED column lies on disk like any
# other. 11.8 leaves generated columns out all the same, as a replica can work them out. A reader that
# cannot gets them at the INSERT, and never again: mysql-replication gives None for them (and says why in
# none_sources, "cols bitmap"), so a follower that writes after_values to a cache, an index or a table puts
# NULL for the right value at the first UPDATE of any column, and one that finds the row of a DELETE
# by a generated column, a key out of a JSON document for instance, finds none. Nothing in the settings differs from
# 10.11. Read such columns from the server, or work them out from the others; take None for NULL only where
# none_sources does not name the column.
#
# Seen with: MariaDB 11.8.9 of Debian sid, mysql-replication 1.0.17, PyMySQL 1.2.4. By hand: 10.11.19 has the
# columns in all images.
# Needs: mariadb-server 11.8, python3 with venv, pip; writes into a temporary folder only.
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

connection = pymysql.connect(**SERVER, autocommit=True)
cursor = connection.cursor()
cursor.execute("SELECT VERSION(), @@binlog_row_image")
version, image = cursor.fetchone()
print(f"MariaDB {version}, binlog_row_image {image}")
if not version.startswith("11.8.") or image != "FULL":
    raise SystemExit("this needs MariaDB 11.8: put its folders first in PATH")
cursor.execute("CREATE DATABASE d")
cursor.execute(
    """CREATE TABLE d.t (id INT PRIMARY KEY, name TEXT, doc JSON, upper_name TEXT AS (UPPER(name)) VIRTUAL,
    email VARCHAR(50) AS (JSON_VALUE(doc, '$.email')) STORED, KEY (email))"""
)


def images(statement: str) -> list[tuple[object, object, str]]:
    """Run a statement; return the generated columns of each image in the log, and why they are None."""
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
    found = []
    for event in reader:
        (row,) = event.rows
        for name in "before_", "after_", "":
            if f"{name}values" in row:
                values, sources = row[f"{name}values"], row[f"{name}none_sources"]
                assert values["id"] == 1 and values["doc"] is not None
                found.append((values["upper_name"], values["email"], sources.get("email", "")))
    reader.close()
    return found


THERE, LEFT_OUT = ("ANN", "a@b", ""), (None, None, "cols bitmap")
for statement, expected in [
    ("""INSERT INTO d.t (id, name, doc) VALUES (1, 'Ann', '{"email": "a@b"}')""", [THERE]),
    ("UPDATE d.t SET name = 'ANN'", [LEFT_OUT, LEFT_OUT]),
    ("""UPDATE d.t SET doc = '{"email": "c@d"}'""", [LEFT_OUT, LEFT_OUT]),
    ("DELETE FROM d.t WHERE email = 'c@d'", [LEFT_OUT]),
]:
    found = images(statement)
    print(f"{statement}\n  upper_name, email, and why None, in each image: {found}")
    if found != expected:
        raise SystemExit(f"this has changed, expected {expected}")
connection.close()
PYTHON
echo "as it was: updates and deletes come without generated columns, whatever binlog_row_image says"
