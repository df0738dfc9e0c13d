#!/usr/bin/env bash
# MariaDB 10.11 sends a transaction to those who follow the binary log before other connections can
# see its rows: who reads the row at once may get the old one.
#
# The log is written first, and the dump thread sends what is in it; the engine commits after that. A
# cache that deletes a key when the event comes, and a reader that misses and loads in between, end
# with the old row in the cache, and no later event takes it out. Mostly it is less than a
# millisecond; on a busy machine up to 0.3 s were seen. With semi-synchronous replication and
# AFTER_SYNC the server waits for a replica in between, which is as long as that takes. Read the row
# again until the server says that the transaction is visible, or delete the key once more later.
#
# A thread commits one row at a time; a reader follows the log with mysql-replication and, when the
# row comes, looks for it over another connection until it is there. It runs for 30 seconds; two
# loops beside it keep the machine busy.
#
# Seen with: MariaDB 10.11.19 of Debian 12 (bookworm), mysql-replication 1.0.17, PyMySQL 1.1.
# Needs: mariadb-server, python3 with venv, pip; writes into a temporary folder only.
set -euo pipefail

folder=$(mktemp -d)
user=()
if ((EUID == 0)); then
    chown mysql "$folder"
    user=(--user=mysql)
fi
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mysql-replication==1.0.17 pymysql
mariadb-install-db --no-defaults --datadir="$folder/data" --auth-root-authentication-method=normal \
    "${user[@]}" >/dev/null
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
PATH=$PATH:/usr/sbin mariadbd --no-defaults --datadir="$folder/data" --socket="$folder/socket" \
    --bind-address=127.0.0.1 --port="$port" --pid-file="$folder/pid" --server-id=1 --log-bin \
    --binlog-format=ROW --binlog-row-metadata=FULL "${user[@]}" 2>"$folder/log" &
server=$!
busy=()
trap 'kill "$server" "${busy[@]}"; wait || true; rm -rf "$folder"' EXIT
for _ in {1..200}; do
    if [[ -S $folder/socket ]]; then break; fi
    sleep 0.2
done
for _ in 1 2; do
    while :; do :; done &
    busy+=($!)
done

"$folder/venv/bin/python" - "$port" <<'PYTHON'
import sys
import threading
import time

import pymysql
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.row_event import WriteRowsEvent

SERVER = {"host": "127.0.0.1", "port": int(sys.argv[1]), "user": "root", "password": ""}
SECONDS = 30


def connected():
    return pymysql.connect(**SERVER, autocommit=True).cursor()


def write() -> None:
    cursor = connected()
    while time.monotonic() < until:
        wanted.wait()
        wanted.clear()
        cursor.execute("INSERT INTO d.t VALUES ()")


cursor = connected()
cursor.execute("CREATE DATABASE d")
cursor.execute("CREATE TABLE d.t (id INT AUTO_INCREMENT PRIMARY KEY)")
cursor.execute("SHOW MASTER STATUS")
file, position = cursor.fetchone()[:2]
events = BinLogStreamReader(
    connection_settings=SERVER,
    server_id=99,
    blocking=True,
    resume_stream=True,
    log_file=file,
    log_pos=position,
    only_events=[WriteRowsEvent],
)
until = time.monotonic() + SECONDS
wanted = threading.Event()
wanted.set()
threading.Thread(target=write, daemon=True).start()
early = count = 0
longest = 0.0
for event in events:
    began = time.monotonic()
    tries = 0
    while not cursor.execute("SELECT 1 FROM d.t WHERE id = %s", (event.rows[0]["values"]["id"],)):
        tries += 1
    count += 1
    if tries:
        early += 1
        longest = max(longest, time.monotonic() - began)
    if began >= until:
        break
    wanted.set()
print(f"{count} rows; {early} of them could not be seen when their event came,")
print(f"the longest for another {longest * 1000:.1f} ms")
PYTHON
